"""The DNS records that receivers look at: SPF, DKIM, DMARC, MX and PTR (docs/deliverability.md says who asks for them).

Each rule reads the answers of DNS through `Names` and decides; it asks nobody else.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from newsletter.check import freemail, spf
from newsletter.check.names import Names, NoNameServer, Unanswered, is_address, is_global, is_inside, reverse_name
from newsletter.check.remedies import WANTED
from newsletter.check.values import Context, Finding, Publish, SetKey, bad, ok, warn
from newsletter.errors import NewsletterError
from newsletter.mail.signers import signers
from newsletter.model import Publication

_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_DMARC: Final = re.compile(r"v\s*=\s*DMARC1\s*(;|$)")  # in these letters (RFC 7489 section 6.4)
_REPORTS: Final = ("rua", "ruf")  # the tags that say where reports go (RFC 7489 section 6.3)
_REPORTS_TAG: Final = re.compile(r"(?P<name>(?:^|;)\s*ru[af]\s*=\s*)(?P<uris>[^;]*)", re.IGNORECASE)
# Receivers must support mailto: and no other scheme; the number is the largest report (RFC 7489 section 6.2).
_MAILTO: Final = re.compile(r"mailto:(?P<to>[^\s@,;]+@[^\s@,;!]+(?:![0-9]+[kmgt]?)?)", re.IGNORECASE)
_BARE: Final = re.compile(r"(?:mailto)?[:/]*(?P<to>[^\s@,;:/]+@[^\s@,;!/]+(?:![0-9]+[kmgt]?)?)", re.IGNORECASE)
_WALK: Final = 8  # labels of a name that are looked at for DMARC, as in the tree walk of its next version


@dataclass(frozen=True)
class Sending:
    """Where mail leaves from: public addresses. `ours`: of this machine, which then delivers mail itself."""

    addresses: tuple[str, ...]
    ours: bool


def dns(context: Context) -> Iterator[Finding]:
    """What DNS says of the sender. Without an answer a rule says so, and the others go on."""
    if context.options.offline:
        return
    names, publication = context.names, context.config.publication
    sending = _sending(context)
    keys = _keys(context)
    if freemail.is_free(publication.sender.domain) and "smtp" not in context.faulty:
        hosts = [server.host for server in context.config.smtp]
        yield from free_findings(publication.sender.domain, hosts, signed=bool(keys))
        return
    rules: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: spf_findings(names, _domain(publication.bounce_address), sending),
        lambda: dkim_findings(names, keys),
        lambda: dmarc_findings(names, publication, signed=bool(keys)),
        lambda: mx_findings(names, _domain(publication.bounce_address)),
        lambda: ptr_findings(names, sending),
    )
    for rule in rules:
        try:
            yield from rule()
        except Unanswered as error:
            yield warn("dns", str(error), context.command("check --resolver 9.9.9.9"))
            if isinstance(error, NoNameServer):
                return


def free_findings(domain: str, hosts: Sequence[str], *, signed: bool) -> Iterator[Finding]:
    """A sender at a provider's domain: only the servers of the provider may send for it, and no key of ours counts."""
    if not freemail.sends_for(domain, hosts):
        said = f"sender is at {domain}, and {', '.join(hosts)} sends: receivers take that for forged"
        yield bad("dns", said, SetKey("sender", WANTED["sender"]))
    elif signed:
        yield bad("dns", f"no DKIM key of yours can be published at {domain}", SetKey("dkim", "null"))
    else:
        yield ok("dns", f"{domain} publishes the records for its users")


def _keys(context: Context) -> list[tuple[str, str]]:
    """Name and text of the record of each key; one that cannot be read is the finding of another probe."""
    try:
        return [signer.record for signer in signers(context.config)]
    except NewsletterError:
        return []


def _sending(context: Context) -> Sending:
    if "smtp" in context.faulty:
        return Sending((), ours=False)
    hosts = [server.host for server in context.config.smtp]
    if all(host in _LOCAL for host in hosts):
        return Sending(tuple(filter(is_global, own_addresses())), ours=True)
    found: list[str] = []
    for host in hosts:
        try:
            found += [str(ip_address(host))]
        except ValueError:
            try:
                found += context.names.addresses(host)
            except Unanswered:
                continue
    return Sending(tuple(filter(is_global, found)), ours=False)


def own_addresses() -> list[str]:
    """The addresses from which this machine reaches the world. Nothing is sent: a datagram socket only picks one."""
    found = []
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((far, 25))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return found


def spf_findings(names: Names, domain: str, sending: Sending) -> Iterator[Finding]:
    """SPF of the domain of MAIL FROM (RFC 7208), and whether it lets `sending` through."""
    found = spf.records(names, domain)
    terms = " ".join(map(spf.term_of, sending.addresses)) or "ip4:ADDRESS-OF-YOUR-SERVER"
    if not found and (meant := spf.misspelt(names, domain)):
        said = f"{domain} has a TXT record that receivers do not read as SPF: it must begin with `v=spf1 `"
        yield bad("dns", said, Publish(domain, "TXT", meant))
        return
    if not found:
        yield bad("dns", f"{domain} has no SPF record", Publish(domain, "TXT", f"v=spf1 {terms} -all"))
        return
    if len(found) > 1:
        several = f"{domain} has {len(found)} SPF records, which counts as an error; there may be one"
        yield bad("dns", several, Publish(domain, "TXT", spf.joined(found)))
        return
    judged = spf.judge(names, domain, None)
    if judged.result is spf.Spf.PERMERROR:
        kept = spf.repaired(found[0], judged.term, sending.addresses)
        broken = f"the SPF record of {domain} is an error at {judged.term}: {judged.why}"
        yield bad("dns", broken, Publish(domain, "TXT", kept))
        return
    if not spf.lets_anybody(found[0]):
        nobody = f"the SPF record of {domain} lets nobody send: {found[0]}"
        yield bad("dns", nobody, Publish(domain, "TXT", spf.repaired(found[0], "", sending.addresses)))
        return
    if {"+all", "all"} & set(found[0].lower().split()):
        narrow = " ".join("~all" if term.lower() in ("+all", "all") else term for term in found[0].split())
        yield warn("dns", f"the SPF record of {domain} lets the whole world send", Publish(domain, "TXT", narrow))
        return
    yield from _spf_of(names, domain, found[0], sending)


def _spf_of(names: Names, domain: str, record: str, sending: Sending) -> Iterator[Finding]:
    results = {address: spf.judge(names, domain, address).result for address in sending.addresses}
    refused = [address for address, result in results.items() if result not in (spf.Spf.PASS, spf.Spf.UNKNOWN)]
    # A relay often sends from other addresses than those that it takes mail at; its `include:` then names them.
    elsewhere = not sending.ours and any(part in record for part in ("include:", "redirect="))
    if not refused or elsewhere:
        yield ok("dns", f"SPF of {domain}: {record}")
        return
    wanted = record
    for address in refused:
        wanted = spf.with_address(wanted, address)
    said = f"the SPF record of {domain} does not let {', '.join(refused)} send"
    remedy = Publish(domain, "TXT", wanted)
    yield bad("dns", said, remedy) if sending.ours else warn("dns", said, remedy)


def dkim_findings(names: Names, keys: list[tuple[str, str]]) -> Iterator[Finding]:
    """Whether the public key of each key that signs is in DNS (RFC 6376 section 3.6)."""
    for name, text in keys:
        found = [each for each in names.txt(name) if "p=" in each]
        remedy = Publish(name, "TXT", text)
        if not found:
            yield bad("dns", f"{name} has no DKIM record, so that no signature can be verified", remedy)
        elif len(found) > 1:
            yield bad("dns", f"{name} has {len(found)} DKIM records; there may be one", remedy)
        elif (tags := _tags(found[0])).get("p", "") == "":
            yield bad("dns", f"{name} says that the key is revoked (p= is empty)", remedy)
        elif (tags["p"], tags.get("k", "rsa")) != (_tags(text)["p"], _tags(text)["k"]):
            yield bad("dns", f"the DKIM record of {name} holds another key than private_key_file", remedy)
        elif wrong := _unfit(tags):
            yield bad("dns", f"the DKIM record of {name} does not hold for our mail: {wrong}", remedy)
        elif "y" in tags.get("t", "").split(":"):
            yield warn("dns", f"{name} says t=y, that DKIM is only tested: receivers may ignore it", remedy)
        else:
            yield ok("dns", f"DKIM: {name} holds our key")


def _unfit(tags: dict[str, str]) -> str:
    """The tag for which a verifier ignores a key (RFC 6376 section 3.6.1); empty if there is none."""
    wanted = (("v", "DKIM1", ("DKIM1",)), ("h", "sha256", ("sha256",)), ("s", "*", ("*", "email")))
    for tag, default, fit in wanted:
        if not set(tags.get(tag, default).split(":")) & set(fit):
            return f"{tag}={tags[tag]}"
    return ""


def dmarc_findings(names: Names, publication: Publication, *, signed: bool) -> Iterator[Finding]:
    """The DMARC policy of the From domain (RFC 7489), and whether SPF or DKIM is aligned with it."""
    domain, returned = publication.sender.domain, _domain(publication.bounce_address)
    place, found = _policy(names, domain)
    wanted = Publish(f"_dmarc.{domain}", "TXT", f"v=DMARC1; p=none; rua=mailto:{publication.bounce_address}")
    if not found:
        yield warn("dns", f"{domain} has no DMARC record", wanted)
        return
    tags = _tags(found[0])
    if len(found) > 1 or tags.get("p", "").lower() not in ("none", "quarantine", "reject"):
        fault = f"{len(found)} records, which count as none" if len(found) > 1 else "no valid p="
        repaired = Publish(f"_dmarc.{place}", "TXT", f"v=DMARC1; p=none; rua=mailto:{publication.bounce_address}")
        yield warn("dns", f"DMARC at _dmarc.{place}: {fault}", repaired)
        return
    unread = _unread(tags)
    if unread:
        said = f"{unread}={tags[unread]} names no mailto: address, so receivers send no reports there"
        repaired = Publish(f"_dmarc.{place}", "TXT", _with_mailto(found[0], publication.bounce_address))
        yield warn("dns", f"DMARC at _dmarc.{place}: {said}", repaired)
    if signed or _aligned(names, domain, returned, strict=tags.get("aspf", "r").lower() == "s"):
        if not unread:
            yield ok("dns", f"DMARC of {domain}: {found[0]}")
        return
    said = (
        f"MAIL FROM is at {returned} and From at {domain}: SPF does not count for DMARC, and no DKIM key is configured"
    )
    remedy = SetKey("bounce_address", publication.sender.address)
    yield warn("dns", said, remedy) if tags["p"].lower() == "none" else bad("dns", said, remedy)


def _unread(tags: dict[str, str]) -> str:
    """The tag of a DMARC record with a URI for reports that no receiver uses; empty if there is none."""
    for name in _REPORTS:
        uris = filter(None, tags.get(name, "").split(","))
        if not all(map(_MAILTO.fullmatch, uris)):
            return name
    return ""


def _with_mailto(record: str, address: str) -> str:
    """A DMARC record in which each URI for reports begins with ``mailto:``; one without any address gets `address`."""

    def mended(tag: re.Match[str]) -> str:
        uris = []
        for uri in filter(None, map(str.strip, tag["uris"].split(","))):
            found = _MAILTO.fullmatch(uri) or _BARE.fullmatch(uri)
            uris.append(f"mailto:{found['to']}" if found else f"mailto:{address}")
        return f"{tag['name']}{','.join(dict.fromkeys(uris))}"

    return _REPORTS_TAG.sub(mended, record)


def _policy(names: Names, domain: str) -> tuple[str, list[str]]:
    """The domain whose DMARC record holds for `domain`, its own or a parent's, and the records there."""
    labels = domain.split(".")
    for at in range(max(0, len(labels) - _WALK), max(1, len(labels) - 1)):
        place = ".".join(labels[at:])
        if found := [text for text in names.txt(f"_dmarc.{place}") if _DMARC.match(text)]:
            return place, found
    return domain, []


def _aligned(names: Names, domain: str, other: str, *, strict: bool) -> bool:
    """Whether two domains are aligned (RFC 7489 section 3.1): equal, or relaxed: of one organisation.

    Without a list of public suffixes, one organisation is: one domain lies below the other, or both have the same
    DMARC record.
    """
    if domain == other:
        return True
    if strict:
        return False
    related = domain.endswith(f".{other}") or other.endswith(f".{domain}")
    return related or (_policy(names, other)[1] != [] and _policy(names, domain)[0] == _policy(names, other)[0])


def mx_findings(names: Names, domain: str) -> Iterator[Finding]:
    """Whether mail to the bounce address arrives: an MX record, or an address of the domain (RFC 5321 section 5.1)."""
    hosts = names.mx(domain)
    mail_host = Publish(domain, "MX", f"10 mail.{domain}.")
    if hosts == ["."]:
        yield bad("dns", f"{domain} says that it takes no mail (null MX), so no bounce arrives", mail_host)
    elif not hosts and not names.addresses(domain):
        yield bad("dns", f"{domain} has no MX record, so no bounce and no unsubscribe mail arrives", mail_host)
    elif hosts and is_address(hosts[0]):
        said = f"the MX record of {domain} names the address {hosts[0]}, and it must name a host"
        yield bad("dns", said, mail_host)
    elif hosts and not any(names.addresses(host) for host in hosts):
        lost = Publish(hosts[0], "A", "ADDRESS-OF-YOUR-MAIL-HOST")
        yield bad("dns", f"the MX host {hosts[0]} of {domain} has no address", lost)
    elif hosts and all(is_inside(address) for host in hosts for address in names.addresses(host)):
        lost = Publish(hosts[0], "A", "ADDRESS-OF-YOUR-MAIL-HOST")
        local = f"the MX host {hosts[0]} of {domain} has an address that only its own network reaches"
        yield bad("dns", local, lost if "." in hosts[0] else mail_host)
    else:
        yield ok("dns", f"MX of {domain}: {', '.join(hosts) or 'none, but it has an address, which is used instead'}")


def ptr_findings(names: Names, sending: Sending) -> Iterator[Finding]:
    """Whether the name of each address of this machine leads back to it, as Gmail requires (5.7.25).

    With a relay this is up to its operator, so nothing is looked at.
    """
    if not sending.ours:
        return
    for address in sending.addresses:
        hosts = names.ptr(address)
        if not hosts:
            wanted = Publish(reverse_name(address), "PTR", "NAME-OF-YOUR-MAIL-HOST.")
            yield bad("dns", f"{address}, from which mail leaves, has no PTR record", wanted)
        elif not any(address in names.addresses(host) for host in hosts):
            back = Publish(hosts[0], "AAAA" if ":" in address else "A", address)
            yield bad("dns", f"the PTR record of {address} names {hosts[0]}, which does not lead back", back)
        else:
            yield ok("dns", f"PTR of {address}: {hosts[0]}")


def _tags(text: str) -> dict[str, str]:
    """The tags of a DKIM or DMARC record; white space in values does not count (RFC 6376 section 3.6.1)."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): "".join(value.split()) for name, _, value in pairs}


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
