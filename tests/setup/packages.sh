#!/usr/bin/env bash
# packages.sh: as root on Debian or Ubuntu, installs the programs that tests drive for real. Elsewhere it does nothing,
# and those tests are skipped by name; with CI=true a missing program fails them.
set -euo pipefail
declare -A package_of=(
    [postfix]=postfix [dovecot]=dovecot-imapd [/usr/lib/dovecot/lmtp]=dovecot-lmtpd [cron]=cron [faketime]=faketime
    [chromium]=chromium [chromedriver]=chromium-driver [openssl]=openssl [/usr/lib/postgresql]=postgresql
    [nginx]=nginx [caddy]=caddy [opendkim]=opendkim [git]=git [curl]=curl [groff]=groff-base [systemd-analyze]=systemd
    # The heights of mails are measured with the font that stands in for Arial and Helvetica.
    [/usr/share/fonts/truetype/liberation]=fonts-liberation
)
# The tests start servers of their own, so the machine is left without new ones, now and after a reboot.
declare -A service_of=([postfix]=postfix [dovecot-imapd]=dovecot [postgresql]=postgresql [nginx]=nginx [caddy]=caddy [opendkim]=opendkim)

[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
missing=()
for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || [ -e "$program" ] || [ -e "/usr/sbin/$program" ] ||
        missing+=("${package_of[$program]}")
done
[ "${#missing[@]}" != 0 ] || exit 0

echo "installing for the tests: ${missing[*]}"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
fi
echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
export DEBIAN_FRONTEND=noninteractive
install_quietly() { apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
apt-get update -qq || true
install_quietly "${missing[@]}" || for package in "${missing[@]}"; do
    install_quietly "$package" || echo "could not install $package: the tests that need it will say so" >&2
done
command -v systemctl >/dev/null || exit 0
for package in "${missing[@]}"; do
    service=${service_of[$package]:-}
    [ -z "$service" ] || systemctl disable --quiet "$service" 2>/dev/null || true
done
