"""The values of the table of replies: a stage, of whom a reply speaks, a row, and what a row says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """What the server was answering. The values stand in messages to the operator."""

    CONNECT = "the connection"
    LOGIN = "the login"
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    DOT = "the message"
    RESET = "RSET"
    REPORT = "a report"  # a bounce report quotes a reply and seldom says to which command


class Concern(StrEnum):
    """Of whom a reply speaks."""

    RECIPIENT = "recipient"  # the reader's address or mailbox
    SENDER = "sender"  # us: login, address, quota, rate, reputation, authentication
    SERVER = "server"  # the server that answers: full, out of order, closing
    MESSAGE = "message"  # this message: its size, its form
    MOMENT = "moment"  # nobody: the network, greylisting, a time-out
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a reply means.

    `for_good`: the same reply will come again until a person changes something. The reader has no such address, or the
    operator has a wrong login. `rule` is the name of the row that decided. `certain`: the server's own words leave no
    doubt of whom they speak; a code alone, or a word such as "spam", is used too loosely for that. `limit`: it is a
    quota or a rate of the sender, which time lifts.
    """

    concern: Concern
    for_good: bool
    rule: str
    certain: bool = False
    limit: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table. A condition that is None or empty holds for every reply.

    `codes` are reply codes or their first digits. `enhanced` are subject and detail of an enhanced status code, such as
    ``1.1``, or the subject alone, such as ``1.``. `source` says where the words or the meaning of the code come from.
    With `loose`, the words do not make the judgement certain. `limit` is as in Judgement.
    """

    name: str
    concern: Concern
    for_good: bool
    source: str
    words: tuple[re.Pattern[str], ...] = ()
    codes: tuple[str, ...] = ()
    enhanced: tuple[str, ...] = ()
    stages: frozenset[Stage] = frozenset(Stage)
    loose: bool = False
    limit: bool = False
