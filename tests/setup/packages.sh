#!/usr/bin/env bash
# packages.sh: as root on Debian or Ubuntu, installs the programs that tests drive for real. Elsewhere it does nothing,
# and those tests are skipped by name; with CI=true a missing program fails them.
set -euo pipefail
declare -A package_of=(
    [postfix]=postfix [dovecot]=dovecot-imapd [cron]=cron [chromium]=chromium [openssl]=openssl
    [/usr/lib/dovecot/lmtp]=dovecot-lmtpd [/usr/lib/postgresql]=postgresql
)
missing=()
for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || [ -e "$program" ] || [ -e "/usr/sbin/$program" ] || missing+=("${package_of[$program]}")
done
if [ "${#missing[@]}" = 0 ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then exit 0; fi
echo "installing ${missing[*]} for the tests"
# Debian's postfix asks what it is for, and starts a server of its own; the tests bring their own.
command -v debconf-set-selections >/dev/null && echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' > $policy; chmod +x $policy; trap 'rm -f $policy' EXIT; fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
