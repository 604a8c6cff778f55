"""SPF (RFC 7208): whether a domain's record lets an address send. Macros are not expanded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from newsletter.check.names import Names

_LOOKUPS: Final = 10  # terms that ask DNS (section 4.6.4)
_VOID: Final = 2  # of them that may find nothing
_ASKING: Final = ("include", "a", "mx", "ptr", "exists", "redirect")
_KNOWN: Final = ("all", "ip4", "ip6", *_ASKING, "exp")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9_-]+\.)+[A-Za-z0-9-]+\.?")  # a domain-spec without macros (section 7.1)
_RESULTS: Final = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}


class Spf(StrEnum):
    """The result for an address (section 2.6). UNKNOWN: it depends on a macro, which only a receiver can expand."""

    PASS = "pass"  # noqa: S105 - a result, no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    PERMERROR = "permerror"
    UNKNOWN = "unknown"


@dataclass
class Judged:
    """A result, and what is wrong with the record: the term and why. Empty if nothing is."""

    result: Spf
    term: str = ""
    why: str = ""


@dataclass
class _Walk:
    names: Names
    address: str | None
    lookups: int = 0
    void: int = 0  # of them that found nothing
    seen: list[str] = field(default_factory=list)


def records(names: Names, domain: str) -> list[str]:
    """The SPF records of a domain; more than one is an error (section 4.5)."""
    return [text for text in names.txt(domain) if text.lower().split(" ")[0] == "v=spf1"]


def misspelt(names: Names, domain: str) -> str:
    """What the domain's owner meant by a record that is nearly one of SPF; empty if there is none."""
    for text in names.txt(domain):
        words = text.strip(" \"'").replace(";", " ").split()
        if words and words[0].lower().replace(" ", "") in ("v=spf1", "spf1", "v=spf", "v=spf2"):
            return " ".join(["v=spf1", *words[1:]])
    return ""


def lets_anybody(record: str) -> bool:
    """Whether a term before ``all`` lets somebody send, or ``all`` does; terms behind it do not count (section 5.1)."""
    for term in record.split()[1:]:
        if _passes(term):
            return True
        if term.lower().lstrip("-~?") == "all":
            return False
    return False


def judge(names: Names, domain: str, address: str | None) -> Judged:
    """Whether `address` may send for `domain`; without an address only whether the record is sound.

    Raises Unanswered.
    """
    return _of(_Walk(names, address), domain)


def _of(walk: _Walk, domain: str) -> Judged:
    found = records(walk.names, domain)
    if not found:
        return Judged(Spf.NONE)
    if len(found) > 1:
        return Judged(Spf.PERMERROR, "", f"{domain} has {len(found)} SPF records")
    walk.seen.append(domain)
    redirect, result = "", Judged(Spf.NEUTRAL)
    for term in found[0].split()[1:]:
        sign, name, value = _split(term)
        redirect = value if name == "redirect" else redirect
        matched = _matches(walk, term, name, value, domain)
        if isinstance(matched, Judged):
            return matched
        if matched is None:
            result = Judged(Spf.UNKNOWN)
        elif matched and result.result is not Spf.UNKNOWN:
            return Judged(Spf(_RESULTS[sign]))
    if redirect and "%" not in redirect and redirect not in walk.seen:
        ended = _of(walk, redirect)
        return ended if ended.result is not Spf.NONE else Judged(Spf.PERMERROR, f"redirect={redirect}", "has no SPF")
    return result


def _split(term: str) -> tuple[str, str, str]:
    """Sign, name and value of a term, such as ("~", "include", "example.org")."""
    sign, rest = (term[0], term[1:]) if term[0] in _RESULTS else ("+", term)
    for mark in ":=":
        name, found, value = rest.partition(mark)
        if found:
            return sign, name.lower(), value
    name, found, value = rest.partition("/")
    return sign, name.lower(), f"/{value}" if found else ""


def _matches(walk: _Walk, term: str, name: str, value: str, domain: str) -> bool | Judged | None:
    """Whether a mechanism matches the address; None if only a receiver can tell; Judged if the record is wrong."""
    if name not in _KNOWN and "=" not in term:
        return Judged(Spf.PERMERROR, term, "no such mechanism")
    walk.lookups += name in _ASKING
    if walk.lookups > _LOOKUPS:
        return Judged(Spf.PERMERROR, term, f"more than {_LOOKUPS} questions to DNS (RFC 7208 section 4.6.4)")
    host = value.partition("/")[0] if name in ("a", "mx") else value
    if name in _ASKING and host and "%" not in host and not _HOST.fullmatch(host):
        return Judged(Spf.PERMERROR, term, "not the name of a host")
    if "%" in value or name in ("ptr", "exists"):
        return None
    if name in ("ip4", "ip6"):
        return _in_network(walk, term, name, value)
    if name == "include":
        return _included(walk, term, value)
    if name in ("a", "mx"):
        return _of_hosts(walk, term, name, value, domain)
    return name == "all"


def _in_network(walk: _Walk, term: str, name: str, value: str) -> bool | Judged:
    """The same of ``ip4`` and ``ip6`` (section 5.6)."""
    network = _network(value)
    if network is None or (network.version == 4) != (name == "ip4"):
        return Judged(Spf.PERMERROR, term, "not a network")
    return walk.address is not None and ip_address(walk.address) in network


def _of_hosts(walk: _Walk, term: str, name: str, value: str, domain: str) -> bool | Judged:
    """The same of ``a`` and ``mx`` (sections 5.3 and 5.4)."""
    networks = list(_networks(walk, name, value, domain))
    walk.void += not networks
    if walk.void > _VOID:
        return Judged(Spf.PERMERROR, term, f"more than {_VOID} names without an address (RFC 7208 section 4.6.4)")
    return walk.address is not None and any(ip_address(walk.address) in each for each in networks)


def _included(walk: _Walk, term: str, domain: str) -> bool | Judged | None:
    """The same of an include, whose record must exist and be sound (section 5.2)."""
    if domain in walk.seen:
        return Judged(Spf.PERMERROR, term, "includes itself")
    inner = _of(walk, domain)
    if inner.result in (Spf.NONE, Spf.PERMERROR):
        return Judged(Spf.PERMERROR, term, inner.why or f"{domain} has no SPF record")
    return None if inner.result is Spf.UNKNOWN else inner.result is Spf.PASS


def _networks(walk: _Walk, name: str, value: str, domain: str) -> Iterator[IPv4Network | IPv6Network]:
    """What the hosts of an ``a`` or ``mx`` stand for: their addresses, with the width that the term gives."""
    host, slash, prefix = value.partition("/")
    host = host or domain
    hosts = [host] if name == "a" else walk.names.mx(host)[:10]
    for each in hosts:
        for address in walk.names.addresses(each):
            width = prefix.partition("//")[0] if slash and ":" not in address else ""
            network = _network(f"{address}/{width}" if width else address)
            if network is not None:
                yield network


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def repaired(record: str, term: str, addresses: Sequence[str]) -> str:
    """`record` with its wrong `term` as it was meant, as far as that is plain, else without it.

    A record that would then let nobody send gets `addresses`, or the words for what only the operator knows.
    """
    meant = _meant(term) if term else ""
    terms = [each if each != term else meant for each in record.split() if each != term or meant]
    last = [each for each in terms if each.lower().lstrip("-~?") == "all"][:1]
    kept = " ".join([*(each for each in terms if each not in last), *last])
    if lets_anybody(kept):
        return kept
    for address in addresses or ("ADDRESS-OF-YOUR-SERVER",):
        kept = with_address(kept, address)
    return kept


def _meant(term: str) -> str:
    """A mechanism as it is written right: ``ip4:`` for ``ipv4:``, and a colon for an equals sign; empty if unknown."""
    sign, name, value = _split(term)
    name = {"ipv4": "ip4", "ipv6": "ip6", "ip": "ip4"}.get(name, name)
    if not value or name not in ("ip4", "ip6", "include", "a", "mx", "exists"):
        return ""
    right = f"{'' if sign == '+' else sign}{name}:{value}"
    return "" if right.lower() == term.lower() or (name.startswith("ip") and _network(value) is None) else right


def _passes(term: str) -> bool:
    """Whether a term can let somebody send."""
    sign, name, _ = _split(term)
    return sign == "+" and name != "exp"


def with_address(record: str, address: str) -> str:
    """`record` with a term for `address` before the last term if that is ``all`` or ``redirect``, else at the end."""
    terms = record.split()
    last = terms[-1].lower().lstrip("+-~?")
    at = len(terms) - 1 if last == "all" or last.startswith("redirect=") else len(terms)
    return " ".join([*terms[:at], term_of(address), *terms[at:]])


def term_of(address: str) -> str:
    """The mechanism that allows one address."""
    return f"ip6:{address}" if ":" in address else f"ip4:{address}"


def joined(found: list[str]) -> str:
    """Several records as the one that a domain may have, with the strictest ``all`` of them."""
    terms = [term for record in found for term in record.split()[1:]]
    ends = [term for term in terms if term.lower().lstrip("+-~?") == "all"]
    kept = dict.fromkeys(term for term in terms if term not in ends)
    end = next((sign + "all" for sign in "-~?" if sign + "all" in ends), "~all")
    return " ".join(["v=spf1", *kept, end])
