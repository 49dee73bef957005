"""Deliveries against servers on loopback: nothing lost, nothing twice without a doubt, nothing injected."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import policy
from email.parser import BytesParser
from pathlib import Path

import pytest

from flightwatch.alerts import Alert, AlertBook, message
from flightwatch.config import Secret
from flightwatch.deliveries.console import Console
from flightwatch.deliveries.digest import Digest, FeedDay, Movement, RareMovement, render
from flightwatch.deliveries.email import Mailer, MailServer, digest_mail, with_pictures_inside
from flightwatch.deliveries.plain import clean
from flightwatch.deliveries.slack import Slack, blocks, escape, fallback
from flightwatch.deliveries.worker import Worker
from flightwatch.errors import DeliveryError
from flightwatch.places import Airports
from flightwatch.records import Finding, Message, RuleReference
from flightwatch.testing import slack_page
from flightwatch.testing.mail import MailServer as FakeMailServer
from flightwatch.testing.slack import Failure, SlackServer
from tests.test_alerts import GOLDEN, RULE, START, context, finding, told

HOSTILE = "<!channel> *x* `y` & \u202e\n=HYPERLINK <script>alert(1)</script>"
NOW = START + timedelta(days=1)
TOKEN = Secret("canary-token")


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer(lambda: NOW.timestamp()) as server:
        yield server


@pytest.fixture
def book(tmp_path: Path) -> Iterator[AlertBook]:
    opened = AlertBook(tmp_path / "alerts.sqlite")
    yield opened
    opened.close()


def first(airports: Airports, number: int = 1) -> Message:
    return message(finding("lost"), Alert("15521f-20230925T131139", "lost", number, (RULE,), ("slack",)), context(airports))


def unmapped(airports: Airports) -> Callable[[Finding, Alert], Message]:
    """Drawing maps takes most of the time of a delivery."""
    return lambda f, alert: replace(told(airports)(f, alert), map=None)


def worker(book: AlertBook, slack: SlackServer) -> Worker:
    return Worker(book, {"slack": Slack("C1", TOKEN, slack.api)}, None, [])


def run(book: AlertBook, slack: SlackServer, minutes: int = 60) -> None:
    """A worker for some time, in steps of 20 s."""
    working = worker(book, slack)
    for step in range(minutes * 3):
        working.run_once(NOW + timedelta(seconds=20 * step))


# ----------------------------------------------------------------------------------------------------------------------- slack


def test_one_thread_for_one_alert(book: AlertBook, slack: SlackServer, airports: Airports) -> None:
    """A post, then replies below it; the post always says how things stand."""
    for seq, stage in enumerate(("heading_there", "lost", "presumed_landed"), start=1):
        book.apply(seq, [finding(stage)], told(airports), NOW)  # type: ignore[arg-type]  # stages
    run(book, slack)
    parent, *replies = slack.posts
    assert parent.thread_ts is None
    assert [p.thread_ts for p in replies] == [parent.ts, parent.ts]
    assert "is probably heading" in parent.first_text
    assert "has probably landed" in parent.text
    assert parent.edits == 2
    assert parent.files, "a map is attached"
    assert book.counts() == {"sent": 3}


@pytest.mark.parametrize(
    "failure",
    [
        Failure(429, b'{"ok":false,"error":"ratelimited"}', {"Retry-After": "30"}),
        Failure(500),
        Failure(200, b'{"ok":false,"error":"internal_error"}'),
        Failure(200, b"<html>maintenance</html>"),
        Failure(drop=True),
        Failure(503, b""),
    ],
)
def test_what_was_not_taken_is_sent_again(failure: Failure, book: AlertBook, slack: SlackServer, airports: Airports) -> None:
    slack.fail("chat.postMessage", failure, failure)
    book.apply(1, [finding("lost")], unmapped(airports), NOW)
    run(book, slack)
    assert len(slack.posts) == 1
    assert book.counts() == {"sent": 1}


@pytest.mark.parametrize(
    "failure",
    [
        Failure(drop=True, after_accepting=True),
        Failure(500, after_accepting=True),
        Failure(200, b"<html>", after_accepting=True),
        Failure(200, b'{"ok":false,"error":"fatal_error"}', after_accepting=True),
    ],
)
@pytest.mark.parametrize("number", [1, 2])
def test_what_was_taken_but_not_answered_is_looked_for_first(
    failure: Failure, number: int, book: AlertBook, slack: SlackServer, airports: Airports
) -> None:
    book.apply(1, [finding("lost")], unmapped(airports), NOW)
    if number == 2:
        run(book, slack, minutes=1)
        book.apply(2, [finding("presumed_landed")], unmapped(airports), NOW)
    slack.fail("chat.postMessage", failure)
    run(book, slack)
    assert len(slack.posts) == number
    assert book.counts() == {"sent": number}


def test_a_repeat_is_better_than_silence_where_the_channel_cannot_be_read(
    book: AlertBook, slack: SlackServer, airports: Airports
) -> None:
    slack.fail("chat.postMessage", Failure(drop=True, after_accepting=True))
    slack.fail("conversations.history", Failure(200, b'{"ok":false,"error":"missing_scope"}'))
    book.apply(1, [finding("lost")], unmapped(airports), NOW)
    run(book, slack)
    assert [p.text.count("possible repeat") for p in slack.posts] == [0, 1]
    assert book.counts() == {"sent": 1}


@pytest.mark.parametrize("code", ["msg_too_long", "invalid_blocks"])
def test_what_can_never_work_is_put_aside(code: str, book: AlertBook, slack: SlackServer, airports: Airports) -> None:
    slack.fail("chat.postMessage", Failure(200, f'{{"ok":false,"error":"{code}"}}'.encode()))
    book.apply(1, [finding("lost")], unmapped(airports), NOW)
    run(book, slack)
    assert book.counts() == {"dead": 1}
    ((_, channel, error),) = book.undelivered()
    assert (channel, code in error, "canary" in error) == ("slack", True, False)


@pytest.mark.parametrize("code", ["channel_not_found", "invalid_auth", "not_in_channel", "token_revoked"])
def test_a_channel_that_is_set_up_wrongly_keeps_its_messages_until_somebody_mends_it(
    code: str, book: AlertBook, slack: SlackServer, airports: Airports
) -> None:
    """Asked once in a quarter of an hour, told of in the digest, and delivered in the end."""
    slack.fail("chat.postMessage", *[Failure(200, f'{{"ok":false,"error":"{code}"}}'.encode())] * 6)
    book.apply(1, [finding("lost")], unmapped(airports), NOW)
    working = worker(book, slack)
    for minute in range(89):
        working.run_once(NOW + timedelta(minutes=minute))
    ((_, _, error),) = book.undelivered()
    assert code in error
    assert "tried 6 times, still trying" in error
    for minute in range(89, 140):
        working.run_once(NOW + timedelta(minutes=minute))
    assert book.counts() == {"sent": 1}
    assert len(slack.posts) == 1


def test_a_first_message_that_was_deleted_keeps_nobody_from_the_news(
    book: AlertBook, slack: SlackServer, airports: Airports
) -> None:
    book.apply(1, [finding("lost")], unmapped(airports), NOW)
    run(book, slack, minutes=1)
    slack.posts.clear()
    book.apply(2, [finding("presumed_landed")], unmapped(airports), NOW)
    book.apply(3, [finding("left_again")], unmapped(airports), NOW)
    run(book, slack, minutes=5)
    assert book.counts() == {"sent": 3}
    assert len(slack.posts) == 2


def test_a_rule_that_joins_tells_its_own_channel(book: AlertBook, slack: SlackServer, airports: Airports) -> None:
    """At the same stage, so nobody else hears of it again."""
    other = RuleReference("other", "Another rule", "high", ("console",))
    book.apply(1, [finding("landed")], unmapped(airports), NOW)
    book.apply(2, [finding("landed", rule=other)], unmapped(airports), NOW)
    written = io.StringIO()
    working = Worker(book, {"slack": Slack("C1", TOKEN, slack.api), "console": Console(written)}, None, [])
    for minute in range(3):
        working.run_once(NOW + timedelta(minutes=minute))
    assert len(slack.posts) == 1
    assert written.getvalue().count("ALERT") == 1


class Unforeseen:
    """A channel that errs in a way that nobody thought of."""

    def send(self, message: Message, thread: str | None) -> str:
        raise ZeroDivisionError

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        raise UnicodeError


def test_a_channel_that_errs_in_an_unforeseen_way_stops_no_other(
    book: AlertBook, slack: SlackServer, airports: Airports, caplog: pytest.LogCaptureFixture
) -> None:
    both = RuleReference("both", "Both", "high", ("strange", "slack"))
    book.apply(1, [finding("landed", rule=both)], unmapped(airports), NOW)
    working = Worker(book, {"strange": Unforeseen(), "slack": Slack("C1", TOKEN, slack.api)}, None, [])
    with caplog.at_level(logging.CRITICAL):
        for minute in range(30):
            working.run_once(NOW + timedelta(minutes=minute))
    assert len(slack.posts) == 1
    assert book.counts() == {"sent": 1, "waiting": 1}


def test_a_doubt_is_kept_through_a_look_that_failed(book: AlertBook, slack: SlackServer, airports: Airports) -> None:
    """It may have been sent; looking for it fails once; it is looked for again before anything is sent."""
    slack.fail("chat.postMessage", Failure(after_accepting=True, drop=True))
    slack.fail("conversations.history", Failure(429, b"", {"Retry-After": "5"}))
    book.apply(1, [finding("lost")], unmapped(airports), NOW)
    run(book, slack)
    assert book.counts() == {"sent": 1}
    assert len(slack.posts) == 1


def test_a_clock_that_is_set_back_makes_nobody_wait(book: AlertBook, slack: SlackServer, airports: Airports) -> None:
    book.apply(1, [finding("lost")], unmapped(airports), NOW)
    working = worker(book, slack)
    assert working.run_once(NOW) == 1
    book.apply(2, [finding("presumed_landed")], unmapped(airports), NOW)
    assert working.run_once(NOW - timedelta(hours=1)) == 1


def test_a_failed_map_blocks_no_alert(book: AlertBook, slack: SlackServer, airports: Airports) -> None:
    slack.fail("files.getUploadURLExternal", Failure(500))
    book.apply(1, [finding("lost")], told(airports), NOW)
    run(book, slack, minutes=1)
    assert len(slack.posts) == 1
    assert book.counts() == {"sent": 1}


def test_a_dead_slack_is_no_unknown_outcome(airports: Airports) -> None:
    with SlackServer(lambda: 0.0) as gone:
        api = gone.api
    with pytest.raises(DeliveryError) as raised:
        Slack("C1", TOKEN, api).send(first(airports), None)
    assert not raised.value.outcome_unknown
    assert "canary" not in str(raised.value)


def test_a_channel_that_is_down_keeps_nothing_from_the_others(
    book: AlertBook, slack: SlackServer, airports: Airports, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.test_alerts import OTHER

    slack.fail("chat.postMessage", *[Failure(500)] * 50)
    book.apply(1, [finding("lost"), finding("lost", OTHER)], told(airports), NOW)
    Worker(book, {"slack": Slack("C1", TOKEN, slack.api), "console": Console()}, None, []).run_once(NOW)
    assert "ALERT 15521f-20230925T131139" in capsys.readouterr().out
    assert book.counts() == {"sent": 1, "waiting": 1}


def test_at_most_one_message_a_second(book: AlertBook, slack: SlackServer, airports: Airports) -> None:
    for seq in range(1, 4):
        other = replace(finding("lost"), visit=replace(finding("lost").visit, visit_id=f"visit-{seq}"))
        book.apply(seq, [other], told(airports), NOW)
    working = worker(book, slack)
    tried = [working.run_once(NOW + timedelta(milliseconds=250 * i)) for i in range(9)]
    assert tried == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_feed_text_cannot_mention_link_or_format(airports: Airports) -> None:
    hostile = replace(
        first(airports), headline=HOSTILE, facts=(HOSTILE,), footer=(HOSTILE,), links=((HOSTILE, "https://x/?a=<b>|c"),)
    )
    texts = [
        fallback(hostile),
        *(b["text"]["text"] if "text" in b else e["text"] for b in blocks(hostile) for e in b.get("elements", [b])),
    ]
    for text in texts:
        assert "<!" not in text
        assert "<script" not in text
        assert "`" not in text
        assert "\u202e" not in text
    assert escape("a & <b>") == "a &amp; &lt;b&gt;"


def test_messages_stay_within_slacks_limits(airports: Airports) -> None:
    long = replace(
        first(airports), headline="x" * 5000, facts=tuple(f"{i} " + "y" * 900 for i in range(60)), footer=("z" * 9000,) * 30
    )
    made = blocks(long)
    assert len(made) <= 40
    assert all(len(b["text"]["text"]) <= 3000 for b in made if b["type"] == "section")
    assert all(len(b["elements"]) <= 10 for b in made if b["type"] == "context")
    assert sum(len(b["text"]["text"]) for b in made if b["type"] == "section") <= 13_000
    assert "see the digest" in made[-2]["text"]["text"]
    many = replace(first(airports), footer=(*(f"Rule {i}." for i in range(20)), "Data: adsb.lol."))
    assert blocks(many)[-1]["elements"][-1]["text"] == "Data: adsb.lol.", "whose data it is stays, whatever is left out"


def test_clean_text_is_one_harmless_line() -> None:
    assert clean("A\u202eB\n\tC\x00 D\x1b[31m") == "AB C D[31m"
    assert len(clean("x" * 9999)) == 2000


# ---------------------------------------------------------------------------------------------------------------------- digest


def a_digest(airports: Airports, *, flagged: int = 1, text: str | None = None) -> Digest:
    messages = tuple(replace(first(airports), alert_id=f"a-{i}") for i in range(flagged))
    if text is not None:
        messages = tuple(replace(m, headline=text, facts=(text,)) for m in messages)
    return Digest(
        day=date(2023, 9, 26),
        zone="Europe/London",
        since=datetime(2023, 9, 25, 6, 0, tzinfo=UTC),
        written=datetime(2023, 9, 26, 9, 0, tzinfo=UTC),
        flagged=messages,
        still_open=(),
        rarest=(
            RareMovement(
                Movement(text or "B738 HL8001", "Seoul – Vladivostok", "25 Sep 2023 04:00 UTC", "from: observed; to: observed"),
                text or "No flight from Seoul to Vladivostok in the 1,289 observed days before, by any aircraft of this history.",
            ),
        )
        if flagged
        else (),
        rarest_of="The rarest of 214 flights." if flagged else "The history is too short to say what is rare.",
        movements=(
            Movement(
                text or "Il-62 RA-86559", "Moscow – Pyongyang", "25 Sep 2023 13:10 UTC", "from: observed; to: inferred 0.93"
            ),
        )
        if flagged
        else (),
        feeds=(FeedDay("adsb-lol", 1440, 100_000, "3 null island", "2 http 429", "SILENT 20 min"),) if flagged else (),
        unobserved=("RA-86559: its landing after 25 Sep 21:38 UTC was not seen",) if flagged else (),
        undelivered=(),
        notes=(),
        sources=("adsb.lol and its contributors (ODbL 1.0)", "Flightradar24 (not to be republished)") if flagged else (),
    )


def test_the_digest_in_plain_text(airports: Airports, request: pytest.FixtureRequest) -> None:
    for name, digest in (("digest_flagged", a_digest(airports)), ("digest_empty", a_digest(airports, flagged=0))):
        got, path = render(digest).plain, GOLDEN / f"{name}.txt"
        if request.config.getoption("--update-golden"):
            path.write_text(got, encoding="utf-8")
        assert got == path.read_text(encoding="utf-8")


def test_an_empty_day_is_told_too_and_claims_no_quiet_sky(airports: Airports) -> None:
    rendered = render(a_digest(airports, flagged=0))
    assert "nothing flagged" in rendered.subject
    assert "Nothing can be said about this day" in rendered.plain


def test_no_feed_text_becomes_markup(airports: Airports) -> None:
    html = render(a_digest(airports, text=HOSTILE)).html
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_the_mail_has_both_parts_the_map_inside_and_a_name_of_its_own(airports: Airports) -> None:
    rendered = render(a_digest(airports))

    def made(recipient: str) -> bytes:
        return digest_mail(
            "flightwatch@example.org",
            recipient,
            "2023-09-26",
            NOW,
            rendered.subject,
            rendered.plain,
            rendered.html,
            rendered.pictures,
        )

    mail = BytesParser(policy=policy.SMTP).parsebytes(made("desk@example.org"))
    assert mail["Message-ID"] == "<digest-2023-09-26-desk.example.org@example.org>"
    assert mail["List-Id"]
    assert mail["Auto-Submitted"] == "auto-generated"
    kinds = [part.get_content_type() for part in mail.walk()]
    assert kinds == ["multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"]
    assert "cid:" not in with_pictures_inside(made("desk@example.org"))
    assert made("a@example.org") == made("a@example.org"), "a repeat is the same message"
    assert len(rendered.html) < 100_000, "mail programs cut longer pages"


def test_a_header_cannot_be_broken_out_of(airports: Airports) -> None:
    rendered = render(a_digest(airports, text="x\r\nBcc: all@example.org"))
    mail = digest_mail("f@example.org", "d@example.org", "2023-09-26", NOW, rendered.subject, rendered.plain, rendered.html, {})
    assert BytesParser(policy=policy.SMTP).parsebytes(mail)["Bcc"] is None


# ------------------------------------------------------------------------------------------------------------------------ mail


@pytest.mark.parametrize("answer", ["450 greylisted", "421 try later"])
def test_a_mail_that_is_put_off_is_sent_once_later(answer: str, book: AlertBook) -> None:
    with FakeMailServer() as server:
        server.answers = [answer] * 3
        book.post_digest("2023-09-26", [("desk@example.org", b"Message-ID: <1@x>\r\nSubject: s\r\n\r\ntext\r\n")], NOW)
        working = Worker(book, {}, Mailer(MailServer("127.0.0.1", server.port), "f@example.org"), ["desk@example.org"])
        for step in range(200):
            working.run_once(NOW + timedelta(seconds=20 * step))
        assert [to for to, _ in server.received] == ["desk@example.org"]
    assert book.counts() == {"sent": 1}


def test_what_the_fake_took_can_be_looked_at_and_injects_nothing(slack: SlackServer, airports: Airports) -> None:
    """A hostile name stays text, links and marks are shown as Slack shows them."""
    channel = Slack("C1", TOKEN, slack.api)
    hostile = replace(first(airports), headline=HOSTILE, map=None)
    ts = channel.send(hostile, None)
    channel.send(replace(hostile, number=2, update="It landed"), ts)
    html = slack_page.page("desk", slack.posts)
    assert "<script>" not in html
    assert "&lt;!channel&gt;" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert '<a href="https://adsb.lol/?icao=15521f&amp;showTrace=' in html
    assert "<code>flightwatch alerts acknowledge 15521f-20230925T131139</code>" in html
    assert html.index('class="replies"') < html.index("It landed")
