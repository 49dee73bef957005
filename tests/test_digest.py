"""The daily digest from the store: the rarest flights, one mail a day and recipient, files attached, a page to look at first."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import digests, live
from flightwatch.aircraft import Registry
from flightwatch.alerts import AlertBook
from flightwatch.config import DigestSettings, Secret
from flightwatch.deliveries.digest import MOST_MAPS, render
from flightwatch.deliveries.slack import Slack
from flightwatch.deliveries.worker import Worker
from flightwatch.desk import Desk
from flightwatch.evidence import Folder
from flightwatch.places import Airports
from flightwatch.rarity import Baseline, Exposure
from flightwatch.rarity.baseline import Columns
from flightwatch.rarity.rarest import rarest
from flightwatch.records import End, Leg, Scope, legs_table
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.slack import SlackServer
from tests.conftest import Typed
from tests.examples import tries
from tests.live_runs import pipeline
from tests.test_alerts import RULE, finding, told
from tests.test_deliveries import a_digest, unmapped

DAY = datetime(2024, 3, 1, tzinfo=UTC)
WANTED = DigestSettings.model_validate({"to": ["desk@example.org"], "from": "flightwatch@example.org"})
WATCHED = [Exposure(Scope("world"), date(2023, 1, 1), date(2024, 3, 1))]


def leg(number: int, way: tuple[str, str], departed: datetime, icao24: str = "3c0001", **changes: object) -> Leg:
    """A flight of two hours that was seen from end to end."""
    ends = [
        End(airport, "observed", 1.0, (), "", time, time, time)
        for airport, time in zip(way, (departed, departed + timedelta(hours=2)), strict=True)
    ]
    made = Leg(
        leg_id=f"leg-{number}",
        revision=1,
        journey_id="j",
        icao24=icao24,
        registration=f"D-{number:04d}",
        typecode="A320",
        operator=None,
        callsign=None,
        first_seen=departed,
        last_seen=departed + timedelta(hours=2),
        origin=ends[0],
        destination=ends[1],
        landed_probability=1.0,
        status="landed",
        gaps=(),
        longest_gap_s=0.0,
        distance_nm=300.0,
        positions=100,
        model="",
        source="tracked",
        feeds=("adsb-lol",),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of a leg


HISTORY = [
    *(leg(i, ("EDDF", "EGLL"), DAY - timedelta(days=300 - i)) for i in range(250)),
    leg(900, ("EDDF", "EKCH"), DAY - timedelta(days=90)),
]


# ---------------------------------------------------------------------------------------------------------------------- rarest


def test_the_rarest_come_first_and_say_how_rare(airports: Airports) -> None:
    today = [
        leg(1, ("EDDF", "EGLL"), DAY),
        leg(2, ("EDDF", "EKCH"), DAY + timedelta(hours=1)),
        leg(3, ("EDDF", "ZKPY"), DAY + timedelta(hours=2), registration="RA-86559"),
    ]
    found = rarest(Baseline(airports, legs_table(HISTORY), WATCHED), legs_table(today), 2)
    assert [one.leg.leg_id for one in found.legs] == ["leg-3", "leg-2"]
    assert (found.judged, found.days) == (3, 425)
    assert found.legs[0].sentence == (
        "No flight from Frankfurt (Frankfurt am Main) to Pyongyang in the 425 observed days before,"
        " by any aircraft of this history."
        " Expected: 0.17 a year, 0 in 30 days (a 90% interval)."
    )
    assert found.legs[1].sentence.startswith(
        "One flight from Frankfurt (Frankfurt am Main) to Copenhagen in the 425 observed days before,"
        " by any aircraft of this history,"
        " by D-0002; the last on 2 Dec 2023."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "airborne"},
        {"status": "lost"},
        {"source": "listed"},
        {"destination": End("ZKPY", "inferred", 0.7, (), "", None, None, None)},
        {"destination": End(None, "unknown", 0.0, (), "", None, None, None)},
        {"destination": End("EDDF", "observed", 1.0, (), "", None, None, None)},
    ],
)
def test_what_is_not_known_for_sure_is_not_called_rare(changes: dict[str, object], airports: Airports) -> None:
    """A wrong guess looks rarer than anything that was flown."""
    guessed = leg(1, ("EDDF", "ZKPY"), DAY, **changes)
    found = rarest(Baseline(airports, legs_table(HISTORY), WATCHED), legs_table([guessed]), 10)
    assert found.legs == ()
    assert found.judged == 0


def test_a_short_history_calls_nothing_rare(airports: Airports) -> None:
    short = [Exposure(Scope("world"), date(2024, 2, 20), date(2024, 3, 1))]
    found = rarest(Baseline(airports, legs_table(HISTORY), short), legs_table([leg(1, ("EDDF", "ZKPY"), DAY)]), 10)
    assert (found.legs, found.days) == ((), 11)


ENDS = st.sampled_from(["EDDF", "EGLL", "EKCH", "ZKPY"])
FLIGHTS = st.lists(
    st.tuples(ENDS, ENDS, st.integers(0, 5000), st.sampled_from(["3c0001", "3c0002"])), max_size=25, unique_by=lambda f: f[2]
)


@settings(max_examples=tries(30), deadline=None)
@given(FLIGHTS, FLIGHTS, st.integers(0, 25))
def test_counts_are_those_of_going_through_all_flights(airports: Airports, past: list, later: list, also_known: int) -> None:
    """Also where the history has some of the day's legs already."""
    before = [leg(i, (o, d), DAY - timedelta(minutes=t + 1), a) for i, (o, d, t, a) in enumerate(past)]
    today = [leg(100 + i, (o, d), DAY + timedelta(minutes=t), a) for i, (o, d, t, a) in enumerate(later)]
    baseline = Baseline(airports, legs_table([*before, *today[:also_known]]), WATCHED)
    for one in rarest(baseline, legs_table(today), 100).legs:
        same = [
            x
            for x in (*before, *today)
            if (x.origin.airport, x.destination.airport) == (one.leg.origin.airport, one.leg.destination.airport)
            and x.first_seen < one.leg.first_seen
        ]
        words = {0: "No flight", 1: "One flight"}.get(len(same), f"{len(same)} flights")
        assert one.sentence.startswith(f"{words} from")
        if len(same) > 1:
            own = sum(x.icao24 == one.leg.icao24 for x in same)
            assert f"{ {0: 'none', len(same): 'all'}.get(own, own) } of them by" in one.sentence


# ---------------------------------------------------------------------------------------------------------------- from the store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "s") as opened:
        opened.legs.put([*HISTORY, leg(1, ("EDDF", "ZKPY"), DAY, callsign="=HYPERLINK")])
        yield opened


@pytest.fixture
def book(tmp_path: Path) -> Iterator[AlertBook]:
    with AlertBook(tmp_path / "alerts.sqlite") as opened:
        yield opened


def mails_of(store: Store, book: AlertBook, airports: Airports, wanted: DigestSettings) -> list[EmailMessage]:
    desk = Desk(store, airports, Registry())
    baseline = Baseline(airports, store.legs.table(), WATCHED)
    made = digests.mails(desk, book, DAY, DAY + timedelta(days=1), wanted, baseline)
    return [BytesParser(policy=policy.SMTP).parsebytes(mail) for _, mail in made]  # type: ignore[misc]  # an EmailMessage


def test_a_day_without_any_rule_shows_its_rarest_flight(store: Store, book: AlertBook, airports: Airports) -> None:
    (mail,) = mails_of(store, book, airports, WANTED)
    assert mail["Subject"] == "flightwatch 2 Mar 2024: nothing flagged"
    for part in ("plain", "html"):
        text = " ".join(mail.get_body((part,)).get_content().split())
        assert "No flight from Frankfurt (Frankfurt am Main) to Pyongyang in the 425 observed days before" in text
        assert "The rarest of 1 flights that are over" in text
        assert "Frankfurt (Frankfurt am Main), EDDF – Pyongyang, ZKPY" in text


def test_the_legs_of_the_day_come_along_if_they_are_asked_for(store: Store, book: AlertBook, airports: Airports) -> None:
    """The same rows as `flightwatch legs -o` writes, formulas disarmed; a mail without the wish has none."""
    (mail,) = mails_of(store, book, airports, WANTED)
    assert list(mail.iter_attachments()) == []
    (mail,) = mails_of(store, book, airports, WANTED.model_copy(update={"attach": ["csv", "parquet"]}))
    found = {part.get_filename(): part for part in mail.iter_attachments()}
    assert list(found) == ["legs-2024-03-02.csv", "legs-2024-03-02.parquet"]
    table = pd.read_csv(io.StringIO(found["legs-2024-03-02.csv"].get_content()))
    assert table[["leg_id", "destination", "callsign"]].values.tolist() == [["leg-1", "ZKPY", "'=HYPERLINK"]]
    frame = pd.read_parquet(io.BytesIO(found["legs-2024-03-02.parquet"].get_content()))
    assert frame["leg_id"].tolist() == ["leg-1"]
    assert mail.get_body(("plain",)) is not None, "the text is still the text"


def test_files_that_no_server_takes_are_left_out_and_that_is_said(
    store: Store, book: AlertBook, airports: Airports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "MOST_ATTACHED", 100)
    (mail,) = mails_of(store, book, airports, WANTED.model_copy(update={"attach": ["csv"]}))
    assert list(mail.iter_attachments()) == []
    assert "The 1 legs are not attached" in mail.get_body(("plain",)).get_content()


def test_five_hundred_alerts_are_all_in_the_digest_and_most_of_them_in_a_line(
    store: Store, book: AlertBook, airports: Airports
) -> None:
    about = finding("lost")
    many = [replace(about, visit=replace(about.visit, visit_id=f"visit-{i:03d}")) for i in range(500)]
    book.apply(1, many, unmapped(airports), DAY + timedelta(hours=1))
    desk = Desk(store, airports, Registry())
    made = desk.digest(book, DAY, DAY + timedelta(days=1), WANTED, Baseline(airports))
    rendered = render(made)
    assert rendered.subject == "flightwatch 2 Mar 2024: 500 flights flagged"
    for text in (rendered.html, rendered.plain):
        assert text.count("was probably heading for North Korea") >= 500
    assert rendered.html.count('class="flight high"') == MOST_MAPS
    assert len(rendered.html.encode()) < 150_000


@pytest.mark.slow
def test_five_hundred_findings_at_once_are_few_messages_and_all_in_digest_and_index(
    store: Store, book: AlertBook, airports: Airports, tmp_path: Path
) -> None:
    """Maps are messages, too."""
    about = finding("lost", replace(RULE, notify=("slack",)))
    many = [replace(about, visit=replace(about.visit, visit_id=f"visit-{i:03d}")) for i in range(500)]
    now = DAY + timedelta(hours=1)
    with SlackServer(now.timestamp) as slack:
        book.apply(1, many, told(airports), now)
        worker = Worker(book, {"slack": Slack("C1", Secret("canary"), slack.api)}, None, [])
        while worker.run_once(now):
            now += timedelta(seconds=2)
        uploads = slack.calls.count("files.completeUploadExternal")
        assert len(slack.posts) + uploads <= 20
        assert uploads > 0
    assert book.counts() == {"sent": len(slack.posts)}
    rendered = render(Desk(store, airports, Registry()).digest(book, DAY, DAY + timedelta(days=1), WANTED, Baseline(airports)))
    index = Folder(tmp_path / "pages", store.root, airports, Registry).write_index(book.alerts(), store).read_text("utf-8")
    for text in (rendered.html, rendered.plain, index):
        assert text.count("was probably heading for North Korea") >= 500


def test_what_could_not_be_delivered_stands_in_the_digest(
    store: Store, book: AlertBook, airports: Airports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flightwatch.desk.MOST_LINES", 3)
    for number in range(5):
        book.post(f"alert-{number}", 1, ["slack"], b"", DAY)
        due = book.claim(DAY, ["slack"])
        assert due is not None
        book.failed(due, DAY, "Slack refuses <it>", permanent=True, retry_after_s=None, outcome_unknown=False)
    made = Desk(store, airports, Registry()).digest(book, DAY, DAY + timedelta(days=1), WANTED, Baseline(airports))
    assert made.undelivered[0] == "alert-0 to slack: Slack refuses <it>"
    assert made.undelivered[-1] == "and 2 more"
    rendered = render(made)
    assert "NOT DELIVERED\n* alert-0 to slack" in rendered.plain
    assert "Slack refuses &lt;it&gt;" in rendered.html


@pytest.mark.parametrize(
    ("begin", "at"), [(datetime(2024, 3, 30, 12, tzinfo=UTC), "02:30"), (datetime(2024, 10, 26, 12, tzinfo=UTC), "02:30")]
)
def test_one_digest_a_local_day_through_restarts_and_changes_of_the_clock(begin: datetime, at: str, tmp_path: Path) -> None:
    """In spring the hour of the digest is not there, in autumn it comes twice."""
    to = ["a@example.org", "b@example.org"]
    wanted = DigestSettings.model_validate({"to": to, "from": "f@example.org", "at": at, "timezone": "Europe/Berlin"})
    clock = FakeClock(begin)
    posted: list[str] = []
    with Store(tmp_path) as store:
        made = pipeline(store, [])
        for _ in range(6):  # it is started anew every seven hours
            runner = live.Runner(store, made, [], live.Outlets({}, None, wanted), clock)
            for _ in range(21):
                if runner.send_digest_if_due(clock.now()):
                    posted.append(clock.now().astimezone(ZoneInfo("Europe/Berlin")).date().isoformat())
                clock.sleep(1200)
            counts = runner.book.by_channel()
            runner.book.close()
    assert posted == [(begin.date() + timedelta(days=n)).isoformat() for n in (1, 2)]
    assert counts == {f"mail:{recipient}": {"waiting": 2} for recipient in to}


class Broken(Baseline):
    """A history that errs in a way that nobody thought of."""

    @property
    def columns(self) -> Columns:
        raise ZeroDivisionError


def test_a_digest_that_cannot_be_put_together_says_so_and_nothing_else(
    store: Store, book: AlertBook, airports: Airports, caplog: pytest.LogCaptureFixture
) -> None:
    """A mail that does not come looks like a quiet day, and a run must not end for it."""
    desk = Desk(store, airports, Registry())
    broken = Broken(airports, store.legs.table(), WATCHED)
    with caplog.at_level(logging.CRITICAL):
        ((to, data),) = digests.mails(desk, book, DAY, DAY + timedelta(days=1), WANTED, broken)
    mail = BytesParser(policy=policy.SMTP).parsebytes(data)
    assert (to, mail["Subject"]) == ("desk@example.org", "flightwatch 2 Mar 2024: the digest could not be put together")
    assert mail["Message-ID"] == "<digest-2024-03-02-desk.example.org@example.org>"
    assert "No rule fired" not in data.decode()


# --------------------------------------------------------------------------------------------------------------------- preview


def test_a_preview_is_a_page_of_its_own_and_sends_nothing(
    tmp_path: Path, airports: Airports, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER", "true")
    with Store(tmp_path / "data") as store:
        store.legs.put([leg(1, ("EDDF", "EGLL"), DAY)])
    with AlertBook(tmp_path / "data" / "alerts.sqlite") as book:
        book.apply(1, [finding("lost")], unmapped(airports), DAY + timedelta(hours=1))
    (tmp_path / "flightwatch.yaml").write_text("rules: []\nfeeds: []\ndigest: {to: [a@example.org], from: b@example.org}\n")
    page = tmp_path / "page.html"
    config = ("--config", str(tmp_path / "flightwatch.yaml"))
    status, said, _ = typed("digest", "--preview", "--day", "2024-03-01", "-o", str(page), *config)
    assert (status, said.splitlines()[0]) == (0, str(page))
    text = page.read_text(encoding="utf-8")
    assert "RA-86559" in text
    assert "alerts stand here as they are now" in text
    assert "cid:" not in text
    with AlertBook(tmp_path / "data" / "alerts.sqlite", read_only=True) as book:
        assert book.by_channel() == {"slack": {"waiting": 1}}, "nothing was put into the outbox"
    assert typed("digest", *config)[0] == 1


def test_the_plain_and_the_html_part_tell_the_same(airports: Airports) -> None:
    """Whoever reads one of them misses nothing but the maps."""
    digest = a_digest(airports)
    made = render(replace(digest, flagged=tuple(replace(m, map=None) for m in digest.flagged)))
    headings = [line for line in made.plain.splitlines() if line and line == line.upper() and line[0].isalpha()]
    assert len(headings) == 6
    for heading in headings:
        assert f"<h2>{heading.capitalize()}</h2>".lower() in made.html.lower()
