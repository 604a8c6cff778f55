"""Give damaged inputs to the parsers of feeds, mails, lists, the configuration and links: `python -m tests.fuzz`.

Every input begins as one of the project's fixtures and is cut, repeated, spliced and sprinkled with what is known to
trouble parsers. Each is parsed in a child process with bounds. Allowed are a result, an error of one line for the
operator, and, for feeds and mails, which the program itself parses so, the end at a bound. All else is a fault and is
shown with the number of its input: `--only TARGET --first NUMBER --inputs 1` repeats it.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from newsletter import bounces, config, subscriber_csv
from newsletter.children import Bounds, Nursery, Overrun
from newsletter.config import FeedConfig
from newsletter.errors import NewsletterError
from newsletter.feed.parse import parse as parse_feed
from newsletter.links import Links, Purpose
from newsletter.model import Mailbox, Publication

ROOT: Final = Path(__file__).parents[1]
DATA: Final = ROOT / "tests/data"
REF: Final = "00112233445566ff"
_BOUNDS: Final = Bounds()  # the program's own
LONGEST: Final = 500_000  # bytes of an input; of a list, which has no bounds, they take a second on a slow machine

LISTS: Final = (
    b"email,name,status,created_at\nada@reader.example,Ada,subscribed,2026-01-02\nbob@reader.example,,unsubscribed,\n",
    b"E-Mail;Vorname;Abgemeldet am\r\nada@reader.example;Ada;\r\nbob@reader.example;Bob;03.04.2026 10:00\r\n",
    b"ada@reader.example\nBob <bob@reader.example>\n",
)

# What troubles decoders and parsers, in bytes: control characters, half characters, openings without an end.
TROUBLE: Final = (
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xe2\x80\xae",
        b"\r",
        b"\r\n\r\n",
        b"\x1b[31m",
        b"\x1b$B",
    ),
    *(b"<", b"<a ", b"<!--", b"<![CDATA[", b"]]>", b"&#x110000;", b"&a;", b"<?xml version='1.0' encoding='utf-7'?>"),
    *(
        b"<!DOCTYPE a [<!ENTITY a '&b;&b;'><!ENTITY b '&a;&a;'>]>",
        b"<br>",
        b"<x:y xmlns:x='z'>",
        b"<title>",
        b"<entry>",
    ),
    *(
        b"{",
        b"[",
        b'"',
        b"\\ud800",
        b"1e999",
        b"-0",
        b"NaN",
        b"99999999999999999999",
        b"null",
        b"true",
        b"''",
        b",",
        b";",
    ),
    *(
        b"=?a?q?",
        b"=?utf-8?b?/w==?=",
        b'Content-Type: x="',
        b"\n--",
        b"boundary=",
        b"charset=punycode",
        b"\nStatus: 5.1.1",
    ),
    *(b"Content-Type: message/rfc822\n\n", b"Content-Transfer-Encoding: base64\n", b"Final-Recipient: rfc822;", b"=\n"),
    *(b"@", b"<@>", b"xn--", b"xn--a", b"\xc2\xa0", b"2026-02-30", b"24:61", b"0000-00-00", b"+9999", b"=HYPERLINK(1)"),
    *(
        b"&x",
        b"*x",
        b"!!python/object:os.system ",
        b"<<: *a",
        b"? ",
        b"${HOME}",
        b"$",
        b"- ",
        b"\t",
        b": ",
        b"#",
        b"|\n",
    ),
    *(
        b"https://[::1",
        b"http://a:b@c:99999/",
        b"javascript:",
        b"data:",
        b"file:///",
        b"//",
        b"%00",
        b"%zz",
        b"?{date}",
    ),
)


@dataclass(frozen=True)
class Target:
    """A parser, the texts that it is made for, and whether the program itself gives it bounds."""

    parse: Callable[[bytes], object]
    seeds: Sequence[bytes]
    bounded: bool = False


def _files(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(DATA.glob(pattern))]


def _feed(body: bytes) -> object:
    return parse_feed(body, FeedConfig("https://feed.example/papers"))


def _config(text: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(text)
        return config.load(path, {})


def _links() -> Links:
    sender = Mailbox("papers@sender.example", "Papers")
    publication = Publication(
        title="Papers",
        sender=sender,
        bounce_address=sender.address,
        postal_address="1 Street",
        list_id="papers.sender.example",
        base_url="https://papers.sender.example",
    )
    return Links("a secret of the tests", publication)


def _link(token: bytes) -> object:
    links, text = _links(), token.decode("utf-8", "surrogateescape")
    verified = [links.verify(purpose, text) for purpose in Purpose]
    return verified, links.verify_confirm(text), links.returned(text)


def _tokens() -> list[bytes]:
    links = _links()
    made = [links.token(purpose, REF) for purpose in Purpose]
    return [each.encode() for each in (*made, links.reverse_path(date(2026, 1, 2), REF))]


TARGETS: Final = {
    "feed": Target(_feed, _files("feeds/*"), bounded=True),
    "mail": Target(bounces.parse, _files("bounces/*.eml"), bounded=True),
    "list": Target(subscriber_csv.read, LISTS),
    "config": Target(_config, [(ROOT / "config.yaml").read_bytes()]),
    "link": Target(_link, _tokens()),
}


# --- damage ----------------------------------------------------------------------------------------------------------


def damaged(target: Target, seed: int, number: int) -> bytes:
    """Input `number`; the same for the same `seed`, of at most `LONGEST` bytes."""
    chance = random.Random(f"{seed}/{number}")
    text = chance.choice(target.seeds)
    for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
        text = chance.choice(DAMAGES)(text, chance, target)[:LONGEST]
    return text


def _cut(text: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(text) + 1)
    return start, min(len(text), start + int(chance.expovariate(1 / 40)) + 1)


def _drop(text: bytes, chance: random.Random, _: Target) -> bytes:
    start, end = _cut(text, chance)
    return text[:start] + text[end:]


def _end(text: bytes, chance: random.Random, _: Target) -> bytes:
    return text[: chance.randrange(len(text) + 1)]


def _flip(text: bytes, chance: random.Random, _: Target) -> bytes:
    if not text:
        return text
    at = chance.randrange(len(text))
    return text[:at] + bytes([chance.randrange(256)]) + text[at + 1 :]


def _insert(text: bytes, chance: random.Random, _: Target) -> bytes:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(TROUBLE) * chance.choice((1, 1, 1, 2, 50)) + text[at:]


def _repeat(text: bytes, chance: random.Random, _: Target) -> bytes:
    start, end = _cut(text, chance)
    times = chance.choice((2, 10, 1000, 20_000))
    return text[:start] + (text[start:end] * times)[:LONGEST] + text[end:]


def _replace(text: bytes, chance: random.Random, _: Target) -> bytes:
    start, end = _cut(text, chance)
    return text[:start] + chance.choice(TROUBLE) + text[end:]


def _splice(text: bytes, chance: random.Random, target: Target) -> bytes:
    other = chance.choice(target.seeds)
    return text[: chance.randrange(len(text) + 1)] + other[chance.randrange(len(other)) :]


DAMAGES: Final = (_drop, _end, _flip, _insert, _insert, _repeat, _replace, _splice)


# --- running ---------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What became of the inputs of one target: how many by verdict, the slowest (seconds), and the faults."""

    verdicts: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


def attempt(target: Target, text: bytes, children: Nursery, bounds: Bounds) -> tuple[str, str]:
    """The verdict on `text`, and what is wrong with it if it is ``fault``."""
    try:
        children.call(bounds, _quietly, target.parse, text)
    except NewsletterError as error:
        message = str(error)
        if message.strip() and message.isprintable():
            return "refused", ""
        return "fault", f"the message is not one printable line: {message!r}"
    except Overrun as error:
        return ("ended at a bound", "") if target.bounded else ("fault", f"no end: {error}")
    except Exception as error:
        return "fault", f"{type(error).__name__}: {error}"
    return "read", ""


def _quietly(parse: Callable[[bytes], object], text: bytes) -> None:
    parse(text)  # the result stays in the child: only its end matters


def run(
    names: Sequence[str], seed: int, first: int, inputs: int, seconds: float, bounds: Bounds = _BOUNDS
) -> dict[str, Outcome]:
    """Try inputs of each target in turn, until there are `inputs` of each, or `seconds` have passed."""
    outcomes = {name: Outcome() for name in names}
    end = time.monotonic() + seconds
    with Nursery() as children:
        for number in range(first, first + inputs):
            for name, outcome in outcomes.items():
                if time.monotonic() > end:
                    return outcomes
                text, began = damaged(TARGETS[name], seed, number), time.monotonic()
                verdict, wrong = attempt(TARGETS[name], text, children, bounds)
                outcome.slowest = max(outcome.slowest, time.monotonic() - began)
                outcome.verdicts[verdict] += 1
                if wrong:
                    outcome.faults.append(f"{name} {number}: {wrong}")
    return outcomes


def main() -> int:
    """Print a line for each target and each fault; 1 if there are faults."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n", 1)[0])
    options.add_argument("--seconds", type=float, default=600.0)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", choices=TARGETS, action="append")
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--inputs", type=int, default=sys.maxsize // 2)
    given = options.parse_args()
    outcomes = run(given.only or list(TARGETS), given.seed, given.first, given.inputs, given.seconds)
    for name, outcome in outcomes.items():
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(outcome.verdicts.items()))
        print(f"{name}: {outcome.verdicts.total()} inputs: {counts}; the slowest took {outcome.slowest:.2f} s")
    faults = [fault for outcome in outcomes.values() for fault in outcome.faults]
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{sum(outcome.verdicts.total() for outcome in outcomes.values())} inputs, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
