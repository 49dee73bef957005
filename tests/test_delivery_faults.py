"""What goes wrong on the way to people, with servers on loopback and a clock that is told the time: nothing is lost, repeats are
at the most the outcomes that nobody could know, and nobody else notices."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from email import policy
from email.parser import BytesParser
from pathlib import Path

import pytest

from flightwatch import live
from flightwatch.alerts import AlertBook
from flightwatch.config import Secret
from flightwatch.deliveries.email import Mailer, MailServer, digest_mail
from flightwatch.deliveries.slack import Slack
from flightwatch.deliveries.worker import Worker
from flightwatch.errors import DeliveryError
from flightwatch.places import Airports
from flightwatch.records import Finding, Message, RuleReference, message_to_bytes
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.mail import CUT
from flightwatch.testing.mail import MailServer as FakeMailServer
from flightwatch.testing.slack import Failure, SlackServer
from tests.live_runs import Ledger, pipeline
from tests.test_alerts import START, finding
from tests.test_deliveries import first, unmapped

NOW = START + timedelta(days=1)
TO = ["a@example.org", "b@example.org", "c@example.org"]
BOTH = RuleReference("both", "Both", "high", ("slack", "ledger"))

RATE_LIMITED = Failure(429, b'{"ok":false,"error":"ratelimited"}', {"Retry-After": "30"})
BROKEN = Failure(500)
MAINTENANCE = Failure(200, b"<html>maintenance</html>")
NOT_NOW = Failure(200, b'{"ok":false,"error":"service_unavailable"}')
NEVER = Failure(200, b'{"ok":false,"error":"invalid_blocks"}')
GOT_LOST = Failure(drop=True)
TAKEN = (
    Failure(drop=True, after_accepting=True),
    Failure(500, after_accepting=True),
    Failure(200, b"<html>", after_accepting=True),
    Failure(200, b'{"ok":false,"error":"internal_error"}', after_accepting=True),
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def slack(clock: FakeClock) -> Iterator[SlackServer]:
    with SlackServer(lambda: clock.now().timestamp()) as server:
        yield server


@pytest.fixture
def book(tmp_path: Path) -> Iterator[AlertBook]:
    with AlertBook(tmp_path / "alerts.sqlite") as opened:
        yield opened


def visits(count: int) -> list[Finding]:
    about = finding("lost", rule=BOTH)
    return [replace(about, visit=replace(about.visit, visit_id=f"visit-{i:03d}")) for i in range(count)]


def names(slack: SlackServer) -> Counter[tuple[str, int]]:
    """What people see: how often each update stands there."""
    payloads = [post.metadata["event_payload"] for post in slack.posts]
    return Counter((payload["alert"], payload["number"]) for payload in payloads)


# ----------------------------------------------------------------------------------------------------------------------- slack


def told_through(
    book: AlertBook,
    slack: SlackServer,
    clock: FakeClock,
    airports: Airports,
    faults: Sequence[Failure | None],
    count: int,
    ledger: Ledger,
) -> None:
    """Some visits with two updates each, through faults that come one after the other, for as long as it takes."""
    slack.fail("chat.postMessage", *faults)
    for number, about in enumerate(visits(count)):  # not all at once: many share a message
        book.apply(2 * number + 1, [about], unmapped(airports), NOW)
        book.apply(2 * number + 2, [replace(about, stage="presumed_landed")], unmapped(airports), NOW)
    working = Worker(book, {"slack": Slack("C1", Secret("canary"), slack.api), "ledger": ledger}, None, [])
    for _ in range(2000):
        working.run_once(clock.now())
        clock.sleep(20)
        if not book.counts().get("waiting"):
            break


@pytest.mark.parametrize("seed", range(2))
def test_any_mixture_of_faults_loses_nothing_and_repeats_nothing(
    seed: int, book: AlertBook, slack: SlackServer, clock: FakeClock, airports: Airports
) -> None:
    """What was taken and not answered is found by its name, on whatever page of the history it stands."""
    drawn = random.Random(seed)
    faults = [drawn.choice([None, None, RATE_LIMITED, BROKEN, MAINTENANCE, NOT_NOW, GOT_LOST, *TAKEN]) for _ in range(30)]
    slack.page = 5
    ledger = Ledger()
    told_through(book, slack, clock, airports, faults, 8, ledger)
    seen = names(slack)
    assert len(seen) == 16
    assert set(seen.values()) == {1}
    assert book.counts() == {"sent": 32}
    assert len(ledger.sent) == 16
    first_posts = {p.metadata["event_payload"]["alert"]: p.ts for p in slack.posts if p.thread_ts is None}
    replies = [p for p in slack.posts if p.thread_ts is not None]
    assert len(replies) == 8, "each update stands in its thread"
    assert all(p.thread_ts == first_posts[p.metadata["event_payload"]["alert"]] for p in replies)


def test_repeats_are_at_most_the_outcomes_that_nobody_can_look_up(
    book: AlertBook, slack: SlackServer, clock: FakeClock, airports: Airports
) -> None:
    drawn = random.Random(7)
    faults = [drawn.choice([None, BROKEN, *TAKEN]) for _ in range(30)]
    for method in ("conversations.history", "conversations.replies"):
        slack.fail(method, *[Failure(200, b'{"ok":false,"error":"missing_scope"}')] * 200)
    told_through(book, slack, clock, airports, faults, 6, Ledger())
    seen = names(slack)
    assert len(seen) == 12
    assert 12 < seen.total() <= 12 + sum(fault in TAKEN for fault in faults)
    marked = [p for p in slack.posts if "possible repeat" in p.first_text]
    assert len(marked) >= seen.total() - 12, "each repeat says that it may be one"


def test_a_message_that_is_refused_for_good_keeps_nothing_from_the_others(
    book: AlertBook, slack: SlackServer, clock: FakeClock, airports: Airports
) -> None:
    told_through(book, slack, clock, airports, [NEVER, None], 4, Ledger())
    assert book.counts() == {"sent": 15, "dead": 1}
    ((subject, channel, error),) = book.undelivered()
    assert (channel, "invalid_blocks" in error) == ("slack", True)
    assert [key for key in names(slack) if key[0] == subject] == [(subject, 2)], "what comes next of the same alert is told"


def test_a_slack_that_is_down_for_hours_holds_nobody_up_and_gets_everything(
    book: AlertBook, slack: SlackServer, airports: Airports
) -> None:
    slack.fail("chat.postMessage", *[BROKEN] * 500)
    ledger = Ledger()
    book.apply(1, visits(2), unmapped(airports), NOW)
    working = Worker(book, {"slack": Slack("C1", Secret("canary"), slack.api), "ledger": ledger}, None, [])
    for second in range(2):
        working.run_once(NOW + timedelta(seconds=second))
    assert len(ledger.sent) == 2, "the other channel had both of them within two seconds"
    for minute in range(0, 8 * 60, 4):
        working.run_once(NOW + timedelta(minutes=minute))
    assert 2 * 8 * 4 <= slack.asked.count("chat.postMessage") < 2 * 8 * 15, "a few times an hour, and less than often"
    slack._failures.clear()
    for minute in range(8 * 60, 8 * 60 + 20):
        working.run_once(NOW + timedelta(minutes=minute))
    assert set(names(slack).values()) == {1}
    assert book.counts() == {"sent": 4}


def test_a_wait_that_slack_asks_for_is_kept_but_not_for_longer_than_a_quarter_of_an_hour(
    book: AlertBook, slack: SlackServer, airports: Airports
) -> None:
    """Whoever goes on in spite of 429 loses the token in the end."""
    slack.fail("chat.postMessage", replace(RATE_LIMITED, headers={"Retry-After": "300"}))
    slack.fail("chat.postMessage", replace(RATE_LIMITED, headers={"Retry-After": "86400"}))
    book.apply(1, visits(2), unmapped(airports), NOW)
    working = Worker(book, {"slack": Slack("C1", Secret("canary"), slack.api)}, None, [])
    asked: list[int] = []
    for second in range(0, 1500, 5):
        before = len(slack.asked)
        working.run_once(NOW + timedelta(seconds=second))
        asked += [second] * (len(slack.asked) - before)
    assert asked[0] == 0
    assert asked[1] == 300, "nothing else is asked meanwhile, either"
    assert asked[2] == 1200
    assert len(slack.posts) == 2


class Hanging:
    """A channel that takes a message and does not come back."""

    def __init__(self) -> None:
        self.begun, self.over = threading.Event(), threading.Event()

    def send(self, message: Message, thread: str | None) -> str:
        self.begun.set()
        self.over.wait(20)
        return "x"

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        return None


class Telling(Ledger):
    """A ledger that somebody can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.told = threading.Event()

    def send(self, message: Message, thread: str | None) -> str:
        self.told.set()
        return super().send(message, thread)


def test_a_channel_that_hangs_holds_no_other_up(tmp_path: Path, airports: Airports) -> None:
    hanging, ledger, stop = Hanging(), Telling(), threading.Event()
    clock = live.SystemClock()
    with Store(tmp_path) as store:
        outlets = live.Outlets({"hanging": hanging, "ledger": ledger}, None, None)
        runner = live.Runner(store, pipeline(store, []), [], outlets, clock)
        runner.book.post("x", 1, ["hanging"], message_to_bytes(first(airports)), clock.now())

        def watch() -> None:
            if hanging.begun.wait(20):
                with AlertBook(tmp_path / "alerts.sqlite") as book:
                    book.post("x", 1, ["ledger"], message_to_bytes(first(airports)), clock.now())
                ledger.told.wait(20)
            told.append(not hanging.over.is_set() and len(ledger.sent) == 1)
            hanging.over.set()
            stop.set()

        told: list[bool] = []
        watching = threading.Thread(target=watch)
        watching.start()
        live.run(runner, clock, stop, tmp_path / "alerts.sqlite", lambda: None)
        watching.join()
        assert told == [True]
        runner.book.close()


def test_messages_for_a_channel_that_is_not_configured_any_more_are_dead_and_can_be_had(
    tmp_path: Path, airports: Airports
) -> None:
    """Nobody would ever claim them; they are told of, and sent once the channel is back."""
    clock, ledger = live.SystemClock(), Ledger()

    def runner(store: Store, outlets: dict[str, Ledger]) -> live.Runner:
        return live.Runner(store, pipeline(store, []), [], live.Outlets(outlets, None, None), clock)

    with Store(tmp_path) as store:
        begun = runner(store, {"old": ledger})
        begun.book.post("x", 1, ["old"], message_to_bytes(first(airports)), clock.now())
        begun.book.close()
        renamed = runner(store, {"new": ledger})
        (dead,) = renamed.book.dead()
        assert dead.error == "the configuration has no such channel any more"
        renamed.book.close()
        back = runner(store, {"old": ledger})
        back.book.retry([dead.number], "somebody", clock.now())
        back.deliver().run_once(clock.now() + timedelta(seconds=1))
        assert len(ledger.sent) == 1
        back.book.close()


# ------------------------------------------------------------------------------------------------------------------------ mail


def posted(book: AlertBook, recipients: Sequence[str] = TO, day: str = "2023-09-26") -> None:
    mails = [(to, digest_mail("f@example.org", to, day, NOW, "subject", "text", "<p>text", {})) for to in recipients]
    assert book.post_digest(day, mails, NOW)


def mailing(book: AlertBook, port: int) -> Worker:
    return Worker(book, {}, Mailer(MailServer("127.0.0.1", port), "f@example.org"), TO)


def run(working: Worker, begin: datetime, minutes: int, step_s: int = 20) -> None:
    for second in range(0, minutes * 60, step_s):
        working.run_once(begin + timedelta(seconds=second))


def test_a_mail_server_that_is_down_loses_nothing(book: AlertBook) -> None:
    """For twelve hours nobody listens; then everybody has the digest once, within a quarter of an hour."""
    server = FakeMailServer()
    posted(book)
    working = mailing(book, server.port)
    run(working, NOW, 12 * 60, 360)
    assert book.counts() == {"waiting": 3}
    assert all("still trying" in error for _, _, error in book.undelivered())
    with server:
        run(working, NOW + timedelta(hours=12), 16)
        assert sorted(to for to, _ in server.received) == TO
    assert book.counts() == {"sent": 3}


def test_greylisting_delays_and_repeats_nothing(book: AlertBook) -> None:
    with FakeMailServer() as server:
        server.refused = {to: ["450 4.2.0 greylisted"] * 3 + ["250 OK"] for to in TO[:2]}
        server.refused["a@example.org"].pop()
        posted(book)
        working = mailing(book, server.port)
        working.run_once(NOW)
        assert [to for to, _ in server.received] == ["c@example.org"], "the third had no reason to wait"
        server.refused = {}
        run(working, NOW + timedelta(minutes=1), 20)
        assert sorted(to for to, _ in server.received) == TO
    assert book.counts() == {"sent": 3}


def test_one_bad_recipient_keeps_nothing_from_the_others(book: AlertBook) -> None:
    """The others have it once; the one is a dead letter of its own, for good and all."""
    with FakeMailServer() as server:
        server.refused = {"b@example.org": ["550 5.1.1 no such user"]}
        posted(book)
        working = mailing(book, server.port)
        run(working, NOW, 60)
        assert [to for to, _ in server.received] == ["a@example.org", "c@example.org"]
    assert book.counts() == {"sent": 2, "dead": 1}
    ((subject, channel, error),) = book.undelivered()
    assert (subject, channel) == ("digest-2023-09-26", "mail:b@example.org")
    assert error == "the mail server refuses b@example.org: 550 5.1.1 no such user"


def test_a_line_that_is_cut_after_the_message_repeats_it_under_the_same_name(book: AlertBook) -> None:
    """Nobody can look into a mailbox. A mail program shows one message of two with one Message-ID, or files them together."""
    with FakeMailServer() as server:
        server.answers = [CUT, CUT]
        posted(book, TO[:1])
        run(mailing(book, server.port), NOW, 30)
        got = [BytesParser(policy=policy.SMTP).parsebytes(mail)["Message-ID"] for _, mail in server.received]
    assert len(got) == 3, "twice it was unknown"
    assert set(got) == {"<digest-2023-09-26-a.example.org@example.org>"}
    assert book.counts() == {"sent": 1}


@pytest.mark.parametrize("answer", ["450 greylisted", "421 try later", "452 disk full"])
def test_a_mail_that_is_put_off_is_sent_once_later(answer: str, book: AlertBook) -> None:
    with FakeMailServer() as server:
        server.answers = [answer] * 3
        posted(book, TO[:1])
        run(mailing(book, server.port), NOW, 60)
        assert [to for to, _ in server.received] == TO[:1]
    assert book.counts() == {"sent": 1}


def test_an_account_that_the_server_does_not_know_is_no_fault_of_the_digest(book: AlertBook) -> None:
    """It waits for somebody to mend the password, and the error names no secret."""
    with FakeMailServer() as server:
        wrong = Mailer(
            MailServer("127.0.0.1", server.port, "none", Secret("canary-user"), Secret("canary-password")), "f@example.org"
        )
        with pytest.raises(DeliveryError) as raised:
            wrong.send(b"\r\n", TO[0])
    assert not raised.value.permanent
    assert raised.value.retry_after_s == 900.0
    assert "canary" not in str(raised.value)
