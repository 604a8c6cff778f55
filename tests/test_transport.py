"""SMTP over real sockets: what each answer means, and that nothing is ever sent in a weaker way than was asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from newsletter.config import Secret, SmtpConfig
from newsletter.errors import SenderRefused, TransportMisconfigured, TransportUnavailable
from newsletter.model import Delivery, Envelope, Outcome, OutcomeKind
from newsletter.slots import Grant, Permits, SlotOrder, granted
from newsletter.transport import Answer, Copy, Down, Pool, Rest, connect
from newsletter.transport.relay import RECONNECT
from newsletter.transport.session import Session
from tests.smtpd import CLOSE, DRIP, SILENT, Authority, Script, Smtpd, smtpd

MESSAGE = b"Subject: papers\r\n\r\n..hidden\r\nwords\r\n"  # as the wire carries it
DELIVERY = Delivery(1, 1, 1, "0" * 16, "ada@example.org", 0)


def envelope(rcpt_to: str = "ada@example.org", *pieces: bytes) -> Envelope:
    return Envelope("bounces@news.example.org", rcpt_to, pieces or (MESSAGE,))


class Driver:
    """Carries one copy after the other, or several at once, through a pool, as the send loop does."""

    def __init__(
        self,
        *servers: SmtpConfig,
        after_dot: float = 1.0,
        reserve: Callable[[Sequence[SlotOrder]], None] | None = None,
        reconnect: Sequence[float] = RECONNECT,
        breaks: Sequence[float] = (),
        resting: dict[str, Rest] | None = None,
    ) -> None:
        self.pool = Pool(servers, after_dot=after_dot, reconnect=reconnect, breaks=breaks, resting=resting)
        self.reserve = reserve or Granter().reserve

    def send(self, one: Envelope) -> Outcome:
        (outcome,) = self.send_all([one])
        return outcome

    def send_all(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        """The outcomes in the order in which they came."""
        waiting = [Copy(DELIVERY, each) for each in reversed(envelopes)]
        outcomes: list[Outcome] = []
        while len(outcomes) < len(envelopes):
            self.order(len(waiting))
            _, events = self.pool.offer(lambda: waiting.pop() if waiting else None)
            events = events or self.pool.turn(has_more=bool(waiting))
            outcomes += [event.outcome for event in events if isinstance(event, Answer)]
        return outcomes

    def order(self, most: int) -> None:
        orders = self.pool.orders(most)
        self.reserve(orders)
        self.pool.granted(orders)


class Granter:
    """Grants slots as the store does, for this process alone, and with nothing said about days."""

    def __init__(self) -> None:
        self.permits = Permits()

    def reserve(self, orders: Sequence[SlotOrder]) -> None:
        for order in orders:
            now = time.monotonic()
            slots, self.permits = granted(self.permits, now, order)
            order.grant = Grant(slots, now, now, now)


def transport(server: Smtpd, **changes: Any) -> Driver:
    return driver(config(server, **changes))


def driver(*servers: SmtpConfig, **changes: Any) -> Driver:
    made = Driver(*servers, **changes)
    _OPEN.append(made)
    return made


def config(server: Smtpd, **changes: Any) -> SmtpConfig:
    return replace(SmtpConfig(host="127.0.0.1", port=server.port, timeout=2.0, connections=1), **changes)


_OPEN: list[Driver] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Hang up after each test, as the pipeline does."""
    yield
    while _OPEN:
        _OPEN.pop().pool.close()


def write_out(session: Session) -> None:
    """The socket takes everything that the session wants to write."""
    session.wrote(sum(map(len, session.outbox)))


def password(value: str = "hunter2") -> Secret:
    return Secret(lambda: value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


# --- what an answer means --------------------------------------------------------------------------------------------


def test_a_message_arrives_as_it_was_handed_over() -> None:
    with smtpd() as server:
        outcome = transport(server).send(envelope())
    assert (outcome.kind, outcome.code, outcome.text) == (OutcomeKind.ACCEPTED, 250, "kept")
    assert server.messages == [MESSAGE]
    assert f"MAIL FROM:<bounces@news.example.org> SIZE={len(MESSAGE)}" in server.commands


@pytest.mark.parametrize("tls", ["none", "starttls"])
def test_a_message_of_more_pieces_than_the_system_gathers_arrives_whole(authority: Authority, tls: str) -> None:
    pieces = [f"line {n} ".encode() + b"x" * (n % 900) + b"\r\n" for n in range(5_000)]
    with smtpd(Script(tls=authority.context())) as server:
        sending = transport(server, host="localhost", tls=tls, ca_file=authority.file)
        assert sending.send(envelope("ada@example.org", *pieces)).kind is OutcomeKind.ACCEPTED
    assert server.messages == [b"".join(pieces)]


@pytest.mark.parametrize(
    ("stage", "reply", "kind"),
    [
        ("RCPT", "550 5.1.1 no such user", OutcomeKind.REFUSED),
        ("RCPT", "553 bad address", OutcomeKind.REFUSED),
        ("RCPT", "450 4.2.1 greylisted", OutcomeKind.DEFERRED),
        ("RCPT", "452 4.5.3 too many", OutcomeKind.DEFERRED),
        ("RCPT", "554 something that nobody has heard of", OutcomeKind.REFUSED),
        ("dot", "552 Requested mail action aborted: exceeded storage allocation", OutcomeKind.DEFERRED),
        ("RCPT", "550 5.2.1 this user is receiving mail at a rate that prevents more", OutcomeKind.DEFERRED),
        ("RCPT", "550 No such user here", OutcomeKind.REFUSED),
        ("dot", "554 5.3.2 system not accepting network messages", OutcomeKind.BLOCKED),
        ("RCPT", "550 5.7.1 you look like spam", OutcomeKind.BLOCKED),
        ("MAIL", "451 4.3.0 try later", OutcomeKind.DEFERRED),
        ("DATA", "451 not now", OutcomeKind.DEFERRED),
        ("dot", "451 4.3.0 no room just now", OutcomeKind.DEFERRED),
        ("dot", "554 5.6.0 cannot read it", OutcomeKind.REFUSED),
        ("dot", "552 5.2.2 quota exceeded", OutcomeKind.DEFERRED),
        ("DATA", "552 5.2.3 too large for this mailbox", OutcomeKind.REFUSED),
        ("dot", "550 5.7.26 not signed", OutcomeKind.BLOCKED),
        ("MAIL", "421 4.3.2 closing", OutcomeKind.NOT_SENT),
        ("RCPT", "421 too many connections", OutcomeKind.NOT_SENT),
        ("dot", "421 closing", OutcomeKind.NOT_SENT),
        ("MAIL", CLOSE, OutcomeKind.NOT_SENT),
        ("DATA", CLOSE, OutcomeKind.NOT_SENT),
        ("RCPT", SILENT, OutcomeKind.NOT_SENT),
        ("body", CLOSE, OutcomeKind.UNCERTAIN),
        ("dot", CLOSE, OutcomeKind.UNCERTAIN),
        ("dot", SILENT, OutcomeKind.UNCERTAIN),
    ],
)
@pytest.mark.parametrize("pipelining", [False, True], ids=["one-by-one", "pipelining"])
def test_an_answer_is_a_fact_about_one_reader_and_the_next_goes_on(
    stage: str, reply: str, kind: OutcomeKind, pipelining: bool
) -> None:
    offered = ("SIZE 10000000", "PIPELINING") if pipelining else ("SIZE 10000000",)
    with smtpd(Script(replies={stage: [reply]}, extensions=offered)) as server:
        sending = transport(server, timeout=0.4 if reply == SILENT else 2.0)
        outcome = sending.send(envelope())
        assert outcome.kind is kind
        if reply[0].isdigit():
            assert outcome.text.endswith(reply[4:])
        assert sending.send(envelope("emmy@example.org")).kind is OutcomeKind.ACCEPTED


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("MAIL", "550 5.1.8 sender unknown"),
        ("MAIL", "530 5.7.0 log in first"),
        ("RCPT", "530 5.7.0 log in first"),
        ("dot", "552 5.3.4 too big"),
    ],
)
def test_what_concerns_everybody_stops_the_run(stage: str, reply: str) -> None:
    with smtpd(Script(replies={stage: [reply]})) as server:
        sending = transport(server)
        assert sending.send(envelope()).kind is OutcomeKind.NOT_SENT  # charged to nobody
        with pytest.raises(TransportMisconfigured, match=reply):
            sending.send(envelope())


def test_a_message_over_the_server_s_limit_is_not_even_offered() -> None:
    with smtpd(Script(extensions=("SIZE 20",))) as server:
        sending = transport(server)
        assert sending.send(envelope()).kind is OutcomeKind.NOT_SENT
        with pytest.raises(TransportMisconfigured, match="takes messages of 20 bytes"):
            sending.send(envelope())
        assert not any(command.startswith("MAIL") for command in server.commands)


def test_one_connection_is_kept_and_reopened_when_the_server_ends_it() -> None:
    with smtpd(Script(messages_per_connection=3)) as server:
        kinds = [transport(server).send(envelope()).kind for _ in range(1)]
        sending = transport(server)
        kinds = [sending.send(envelope()).kind for _ in range(9)]
        assert kinds.count(OutcomeKind.ACCEPTED) >= 7  # one offered to a line that is closing was not handed over
        assert set(kinds) <= {OutcomeKind.ACCEPTED, OutcomeKind.NOT_SENT}
    assert server.connections >= 4


def test_a_connection_is_renewed_after_as_many_messages_as_the_server_takes() -> None:
    with smtpd(Script(messages_per_connection=3)) as server:
        sending = transport(server, messages_per_connection=3)
        assert {outcome.kind for outcome in sending.send_all([envelope()] * 9)} == {OutcomeKind.ACCEPTED}
    assert server.connections == 3


def test_an_address_beyond_ascii_needs_a_server_that_takes_it() -> None:
    with smtpd() as server:
        assert transport(server).send(envelope("用户@example.org")).kind is OutcomeKind.ACCEPTED
        assert "RCPT TO:<用户@example.org>" in server.commands
        assert any(command.endswith(" SMTPUTF8") for command in server.commands)
    with smtpd(Script(extensions=())) as server:
        outcome = transport(server).send(envelope("用户@example.org"))
        assert outcome.kind is OutcomeKind.REFUSED
        assert "RFC 6531" in outcome.text


# --- what keeps everybody waiting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["421 not now", "554 go away", CLOSE, SILENT])
def test_a_greeting_that_is_none_is_nobody_s_fault(reply: str) -> None:
    with smtpd(Script(replies={"greeting": [reply]})) as server, pytest.raises(TransportUnavailable) as caught:
        transport(server, timeout=0.3 if reply == SILENT else 2.0).send(envelope())
    assert caught.value.exit_code == 75
    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(TransportUnavailable, match=r"127\.0\.0\.1:1: Connection refused"):
        driver(SmtpConfig(host="127.0.0.1", port=1)).send(envelope())
    with pytest.raises(TransportUnavailable, match=r"nowhere\.invalid:25: "):
        driver(SmtpConfig(host="nowhere.invalid", timeout=5)).send(envelope())


# --- TLS never steps down --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_tls_with_a_certificate_that_fits_works(authority: Authority, mode: str) -> None:
    script = Script(tls=authority.context(), implicit=mode == "implicit", extensions=("AUTH PLAIN",))
    with smtpd(script) as server:
        sending = transport(
            server, host="localhost", tls=mode, ca_file=authority.file, username="me", password=password()
        )
        assert sending.send(envelope()).kind is OutcomeKind.ACCEPTED


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize(
    "fault", [{"host": "other.example.org"}, {"expired": True}, {"self_signed": True}], ids=["host", "expired", "self"]
)
def test_a_certificate_that_does_not_fit_ends_it_before_the_login(
    authority: Authority, mode: str, fault: dict[str, Any]
) -> None:
    context = authority.context(**fault)
    with smtpd(Script(tls=context, implicit=mode == "implicit", extensions=("AUTH PLAIN",))) as server:
        sending = transport(
            server, host="localhost", tls=mode, ca_file=authority.file, username="me", password=password()
        )
        with pytest.raises(TransportMisconfigured, match="certificate cannot be trusted"):
            sending.send(envelope())
    assert not any(command.startswith("AUTH") for command in server.commands)


@pytest.mark.parametrize("replies", [{}, {"STARTTLS": ["454 4.7.0 not available"]}, {"STARTTLS": ["501 what?"]}])
def test_without_the_tls_that_was_asked_for_nothing_is_said(
    authority: Authority, replies: dict[str, list[str]]
) -> None:
    offered = authority.context() if replies else None
    with smtpd(Script(tls=offered, replies=dict(replies), extensions=("AUTH PLAIN",))) as server:
        sending = transport(
            server, host="localhost", tls="starttls", ca_file=authority.file, username="me", password=password()
        )
        with pytest.raises(TransportUnavailable, match="STARTTLS"):
            sending.send(envelope())
    assert not any(command.startswith(("AUTH", "MAIL")) for command in server.commands)


def test_a_ca_file_that_is_none_is_named(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "ca.pem").write_text("nonsense", "utf-8")
    with smtpd(Script(tls=authority.context())) as server, pytest.raises(TransportMisconfigured, match=r"ca\.pem"):
        transport(server, host="localhost", tls="starttls", ca_file=tmp_path / "ca.pem").send(envelope())


# --- the login -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code"), [("535 5.7.8 wrong password", 78), ("454 4.7.0 temporary trouble", 75), ("534 weak", 78)]
)
def test_a_login_that_fails_stops_the_run_and_shows_no_password(reply: str, code: int) -> None:
    script = Script(extensions=("AUTH PLAIN LOGIN",), replies={"AUTH": [reply] * 3})
    with smtpd(script) as server, pytest.raises(TransportUnavailable) as caught:
        transport(server, username="me", password=password()).send(envelope())
    assert caught.value.exit_code == code
    assert "the login of me" in str(caught.value)
    assert reply[4:] in str(caught.value)
    assert caught.value.__cause__ is None
    assert "hunter2" not in repr(caught.value)


def test_a_server_without_logins_is_not_sent_to_without_one() -> None:
    with smtpd() as server, pytest.raises(TransportMisconfigured, match="offers no login"):
        transport(server, username="me", password=password()).send(envelope())


# --- several connections, several servers ----------------------------------------------------------------------------


def test_copies_go_over_several_connections_at_once() -> None:
    with smtpd(Script(extensions=("PIPELINING",))) as server:
        sending = transport(server, connections=5)
        outcomes = sending.send_all([envelope(f"r{n}@example.org") for n in range(80)])
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}
    assert len(server.messages) == 80
    assert 2 <= server.connections <= 5


def test_a_server_that_allows_fewer_connections_gets_fewer() -> None:
    greetings = ["220 hello", *["421 too many connections"] * 4]
    with smtpd(Script(replies={"greeting": greetings})) as server:
        sending = transport(server, connections=5)
        outcomes = sending.send_all([envelope()] * 50)
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.ACCEPTED}


def test_a_refused_server_leaves_the_work_to_the_other() -> None:
    with smtpd(Script(replies={"MAIL": ["550 5.1.8 sender unknown"]})) as broken, smtpd() as sound:
        sending = driver(SmtpConfig(host="127.0.0.1", port=1), config(broken), config(sound))
        kinds = [outcome.kind for outcome in sending.send_all([envelope()] * 30)]
    assert kinds.count(OutcomeKind.ACCEPTED) >= 29
    assert len(sound.messages) >= 29


def test_a_server_that_takes_no_mail_now_leaves_the_work_to_the_other() -> None:
    slow = Script(slow={"dot": 0.02})  # so that the other one is asked often enough
    with smtpd(Script(replies={"MAIL": ["452 4.3.1 disk full"] * 99})) as full, smtpd(slow) as sound:
        sending = driver(config(full), config(sound))
        kinds = [outcome.kind for outcome in sending.send_all([envelope()] * 30)]
    assert kinds.count(OutcomeKind.ACCEPTED) >= 27
    (trouble,) = sending.pool.troubles
    assert str(trouble) == f"127.0.0.1:{full.port} takes no mail now: 452 4.3.1 disk full"


def test_a_server_that_never_comes_to_the_point_is_given_up() -> None:
    with smtpd(Script(replies={"RCPT": [DRIP]})) as server:
        sending = transport(server, timeout=0.3)
        assert sending.send(envelope()).text == "no answer within 0.3 seconds"
    with smtpd(Script(replies={"greeting": [DRIP]})) as server, pytest.raises(TransportUnavailable) as caught:
        transport(server, timeout=0.25).send(envelope())
    assert str(caught.value).endswith("no session within 1 seconds")


def test_one_who_is_refused_without_pipelining_is_done_with_before_the_next_begins() -> None:
    session = Session("mx", {})
    session.offer(Copy(DELIVERY, envelope()))
    write_out(session)
    session.receive(b"250 ok\r\n")
    write_out(session)
    (answer,) = session.receive(b"550 no such user\r\n")
    assert isinstance(answer, Answer)
    assert not session.free  # RSET is not answered
    write_out(session)
    session.receive(b"250 ok\r\n")
    assert session.free


def test_a_connection_that_had_carried_others_excuses_the_copy_that_it_was_lost_with() -> None:
    with smtpd(Script(extensions=("PIPELINING",), messages_per_connection=1)) as server:
        pool = driver(config(server)).pool
        copies = [Copy(DELIVERY, envelope()) for _ in range(2)]
        waiting = [*copies]
        answers: list[Answer] = []
        while len(answers) < 2:
            answers += [event for event in pool.turn(has_more=bool(waiting)) if isinstance(event, Answer)]
            pool.offer(lambda: waiting.pop(0) if waiting else None)
        assert [answer.outcome.kind for answer in answers] == [OutcomeKind.ACCEPTED, OutcomeKind.NOT_SENT]
        assert [copy.excused for copy in copies] == [False, True]
        assert pool._relays[0].not_before == 0.0  # reconnect at once


def test_after_a_connection_that_carried_nothing_the_next_waits() -> None:
    with smtpd(Script(replies={"MAIL": ["421 4.3.2 too busy"]})) as server:
        sending = transport(server)
        begin = time.monotonic()
        assert sending.send(envelope()).kind is OutcomeKind.NOT_SENT
        assert sending.pool._relays[0].not_before > begin


def test_a_server_that_drops_every_connection_is_given_up() -> None:
    with smtpd(Script(replies={"MAIL": [CLOSE] * 99})) as server:
        sending = driver(config(server), reconnect=[0.01])
        with pytest.raises(TransportUnavailable, match="drops every connection"):
            sending.send_all([envelope()] * 99)
    assert server.connections == 5


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "dot"])
def test_a_server_that_speaks_of_the_sender_gets_no_further_copy(stage: str) -> None:
    with smtpd(Script(replies={stage: ["250 ok", "550 5.4.5 Daily sending quota exceeded"]})) as server:
        if stage == "DATA":
            server.script.replies[stage][0] = "354 go on"
        sending = transport(server)
        kinds = [outcome.kind for outcome in sending.send_all([envelope()] * 2)]
        assert kinds == [OutcomeKind.ACCEPTED, OutcomeKind.SENDER]
        with pytest.raises(SenderRefused, match=r"550 5\.4\.5 Daily sending quota exceeded"):
            sending.send(envelope())
        assert 299 < sending.pool.rests[f"127.0.0.1:{server.port}"] <= 300
        assert sending.pool.next_try == pytest.approx(300, abs=1)


def test_a_server_that_is_told_to_be_slower_goes_on_after_a_break() -> None:
    with smtpd(Script(replies={"dot": ["454 Throttling failure: Maximum sending rate exceeded"]})) as server:
        sending = driver(config(server), breaks=(0.05,))
        assert sending.send(envelope()).kind is OutcomeKind.SENDER
        assert sending.send(envelope()).kind is OutcomeKind.ACCEPTED
        assert not sending.pool.rests


def test_a_server_that_rested_before_is_left_alone_and_longer_the_next_time() -> None:
    with smtpd(Script(replies={"MAIL": ["550 5.4.5 Daily sending quota exceeded"]})) as server:
        name = f"127.0.0.1:{server.port}"
        with pytest.raises(SenderRefused, match="left alone"):
            driver(config(server), resting={name: Rest(60, 1)}).send(envelope())
        assert not server.commands
        again = driver(config(server), resting={name: Rest(-1, 2)})
        assert again.send(envelope()).kind is OutcomeKind.SENDER
        assert again.pool.rests[name] == pytest.approx(1_800, abs=5)


def test_a_login_that_meets_a_limit_is_no_wrong_configuration() -> None:
    script = Script(
        replies={"AUTH": ["550 Too many messages. Try again in 92 seconds."] * 2}, extensions=("AUTH PLAIN",)
    )
    with smtpd(script) as server:
        sending = transport(server, username="mia", password=password())
        with pytest.raises(SenderRefused, match="Too many messages"):
            sending.send(envelope())
        assert sending.pool.next_try == pytest.approx(92, abs=2)


@pytest.mark.parametrize("early", ["250 kept", "554 no", "451 later"])
def test_what_comes_before_its_question_is_no_answer(early: str) -> None:
    with smtpd(Script(replies={"DATA": [f"354 go on\r\n{early}"]})) as server:
        sending = transport(server)
        outcome = sending.send(envelope())
        assert outcome.kind is OutcomeKind.NOT_SENT
        assert early in outcome.text
        assert sending.send(envelope()).kind is OutcomeKind.ACCEPTED
        assert server.connections == 2


def test_an_answer_before_the_envelope_is_out_ends_the_session_too() -> None:
    session = Session("mx", {})
    copy = Copy(DELIVERY, envelope())
    session.offer(copy)
    write_out(session)
    answer, down = session.receive(b"250 ok\r\n250 ok\r\n")
    assert isinstance(answer, Answer)
    assert answer.outcome.kind is OutcomeKind.NOT_SENT
    assert isinstance(down, Down)
    assert session.closed


def test_a_server_that_blocks_us_by_policy_is_left_alone() -> None:
    with smtpd(Script(replies={"dot": ["550 5.7.1 you are spam"] * 99})) as server:
        sending = transport(server)
        with pytest.raises(TransportUnavailable, match="refuses copies in a row"):
            sending.send_all([envelope()] * 99)
    assert sum(command.startswith("MAIL") for command in server.commands) == 3


def test_only_a_far_server_gets_the_next_envelope_before_it_has_answered_the_message() -> None:
    for far in (False, True):
        session = Session("mx", {"pipelining": ""}, far=far)
        copy = Copy(DELIVERY, envelope())
        session.offer(copy)
        write_out(session)
        session.receive(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        assert session.sent is copy
        assert session.free is far


@pytest.mark.parametrize(("quick", "far"), [(64, False), (0, True)])  # one would do, if the machine were idle
def test_a_server_is_far_when_none_of_many_answers_came_soon(quick: int, far: bool) -> None:
    with smtpd(Script(extensions=("PIPELINING",), slow={"MAIL": 0.02}, quick=quick)) as server:
        sending = transport(server, connections=4)
        sending.send_all([envelope()] * (256 + 128))  # each connection hears something after 256 answers
        assert {line.session.far for relay in sending.pool._relays for line in relay.lines} == {far}


class _OneByOne(dict[str, float]):
    """How long the dot takes: nobody is answered before `begin`, then each a little later than the one before."""

    def __init__(self) -> None:
        super().__init__(dot=0.0)
        self.begin, self.waits = threading.Event(), count(0.02, 0.02)

    def __getitem__(self, stage: str) -> float:
        self.begin.wait(10)
        return next(self.waits)


def test_answers_that_come_one_by_one_are_waited_for_so_that_they_share_a_commit() -> None:
    slow = _OneByOne()
    with smtpd(Script(extensions=("PIPELINING",), slow=slow)) as server:
        pool = Pool([config(server, connections=16)], monotonic=lambda: 0.0)  # no wait is ever over
        while pool.in_flight < 16:
            pool.turn(has_more=True)
            pool.offer(lambda: Copy(DELIVERY, envelope()))
        slow.begin.set()
        answers = pool.turn(has_more=False)
        pool.close()
    assert len(answers) >= 3


def test_a_connection_says_goodbye_only_when_what_it_was_answered_can_have_been_noted() -> None:
    with smtpd() as server:
        sending = transport(server, messages_per_connection=1)
        assert sending.send(envelope()).kind is OutcomeKind.ACCEPTED
        sending.pool.offer(lambda: Copy(DELIVERY, envelope()))
        time.sleep(0.1)
        assert "QUIT" not in server.commands
        sending.pool.turn(has_more=True)
        while "QUIT" not in server.commands:
            time.sleep(0.01)


@pytest.mark.parametrize("noted", [False, True])
def test_in_the_end_only_a_connection_whose_answer_was_noted_says_goodbye(noted: bool) -> None:
    """The ledger cannot be written to: the copy goes again, and no log may say that its reply was read."""
    with smtpd() as server:
        sending = transport(server)
        assert sending.send(envelope()).kind is OutcomeKind.ACCEPTED
        if noted:
            sending.order(0)
        sending.pool.close()
        _OPEN.clear()
    assert ("QUIT" in server.commands) is noted


def test_a_connection_that_was_opened_too_late_is_closed_with_the_others() -> None:
    with smtpd() as server:
        pool = Pool([config(server)])
        pool.turn(has_more=True)
        pool._relays[0].numbers[99] = 0
        pool._opened.put((pool._relays[0], 99, late := connect(config(server))))
        pool.close()
    assert late.socket.fileno() == -1


# --- limits ----------------------------------------------------------------------------------------------------------


def test_the_rate_holds_at_the_server_too() -> None:
    with smtpd() as server:
        sending = transport(server, rate=40.0, connections=3)
        began = time.monotonic()
        sending.send_all([envelope()] * 31)
        assert time.monotonic() - began >= 0.75  # 30 gaps of 1/40 s: no machine makes them shorter
