"""Rules about events, end to end: each is told once, in words that claim no more than was seen, and taken back plainly."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightwatch.alerts import Alert, message
from flightwatch.legs.emergencies import Open, noted
from flightwatch.places import Airports
from flightwatch.records import (
    CIRCLING,
    DIVERSION,
    EMERGENCY,
    RENDEZVOUS,
    SUSPECT_POSITION,
    TRANSPONDER_LOST,
    Aircraft,
    Event,
    Finding,
    RuleReference,
)
from flightwatch.rules import Rule
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.world import Sky
from tests.conftest import T0, positions
from tests.live_runs import Ledger, running, world
from tests.test_alerts import IL62, START, _as_text, context

GOLDEN = Path(__file__).parent / "golden"
BEGIN = datetime.fromisoformat("2023-09-25T12:00:00+00:00")
RULE = RuleReference("mine", "What a watched aircraft does", "medium", ("ledger",))


AREA = {"south": 43.3, "west": 34.1, "north": 43.5, "east": 34.4}
MEETING = {"aircraft": ("15521f", "155221"), "airports": ("ZKPY",)}


def event(kind: str, reason: str, *, event_id: str = "event-1", since: datetime = START, **more: object) -> Event:
    told: dict[str, object] = {"count": 12, "words": "", "airports": (), "aircraft": ("15521f",)} | more
    return Event(
        event_id,
        kind,
        reason,
        since=since,
        until=since + timedelta(minutes=14),
        south=43.3,
        west=34.1,
        north=43.5,
        east=34.4,
        **told,
    )  # type: ignore[arg-type]


EVENTS = {
    "suspect": event(SUSPECT_POSITION, "spoofed", evidence={"farthest_nm": 612.4}),
    "circling": event(CIRCLING, "left", words="3.2 turns of 4 nm in 14 min", airports=("UUMU",)),
    "transponder_lost": event(TRANSPONDER_LOST, "cruise", basis="inferred", probability=0.91, words="where 98 % is seen"),
    "rendezvous": event(RENDEZVOUS, "ground", **MEETING, basis="inferred", probability=0.84),
    "in_the_air": event(RENDEZVOUS, "air", aircraft=("15521f", "155221"), probability=None, words="within 3 nm for 14 min"),
    "diversion": event(DIVERSION, "weather", airports=("UHWW", "ZKPY"), words="to UHWW instead of ZKPY"),
    "emergency": event(EMERGENCY, "7700", words="7700 (emergency) in 12 reports within 14 min"),
}


def finding(happened: Event, stage: str = "happened") -> Finding:
    everybody = tuple(IL62 if name == IL62.icao24 else Aircraft(name, f"RA-{name}") for name in happened.aircraft)
    return Finding(RULE, everybody[0], None, stage, 1.0, (), (), (), START, happened, everybody)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*EVENTS, "withdrawn"])
def test_the_words_of_each_kind(name: str, airports: Airports, request: pytest.FixtureRequest) -> None:
    """Golden texts; `pytest --update-golden` writes them anew, and then they are to be read."""
    found = finding(EVENTS.get(name, EVENTS["circling"]), "withdrawn" if name == "withdrawn" else "happened")
    alert = Alert("event-1", found.stage, 2 if name == "withdrawn" else 1, (RULE,), ("ledger",))
    got = _as_text(message(found, alert, context(airports)))
    path = GOLDEN / f"event_{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(got, encoding="utf-8")
    assert got == path.read_text(encoding="utf-8")


CIRCLES = Rule.model_validate(
    {
        "id": "circles",
        "title": "Circles",
        "subject": "event",
        "when": {"all": [{"aircraft": {"watchlist": "russian-state"}}, {"event": {"kind": CIRCLING}}]},
        "notify": ["ledger"],
    }
)


def test_an_event_is_told_once_however_it_grows_and_taken_back_once(tmp_path: Path, airports: Airports) -> None:
    clock, ledger = FakeClock(BEGIN + timedelta(hours=1)), Ledger()
    sky = Sky(world([], airports), 60.0)
    first = event(CIRCLING, "left", event_id="leg-circling", since=BEGIN)
    for later in (first, Event(**{f: getattr(first, f) for f in first.__slots__} | {"count": 40})):
        with running(tmp_path / "store", sky, clock, ledger, rules=[CIRCLES]) as runner:  # killed and started again
            runner.poll_next()
            runner.store.events.put([later, event(CIRCLING, "left", event_id="stranger", since=BEGIN, aircraft=("abcdef",))])
            runner.store.events.put([event(CIRCLING, "left", event_id="old", since=BEGIN - timedelta(days=5))])
            runner.look_at_events()
            runner.deliver().run_once(clock.now())
            clock.sleep(10)
    assert [(m.alert_id, m.stage) for m in ledger.sent] == [("leg-circling", "happened")]
    for _ in range(2):
        with running(tmp_path / "store", sky, clock, ledger, rules=[CIRCLES]) as runner:
            runner.poll_next()
            runner.store.events.withdraw(["leg-circling"])
            runner.look_at_events()
            runner.deliver().run_once(clock.now())
            clock.sleep(10)
    assert ledger.stages() == ["happened", "withdrawn"]


# ---------------------------------------------------------------------------------------------------------------- emergencies


def report(at: float, squawk: str | None = "7700", aircraft: str = "abc123", **more: object) -> dict[str, object]:
    place = {"latitude": 50.0, "longitude": 8.0, "source": "adsb"}
    return {"at": at, "icao24": aircraft, "squawk": squawk, **place, **more}


def told(batches: list[list[dict[str, object]]]) -> dict[str, Event]:
    open_: Open = {}
    events: dict[str, Event] = {}
    for batch in batches:
        open_, changed = noted(positions(batch), open_)
        events |= {e.event_id: e for e in changed}
    return events


def test_a_code_counts_once_it_was_sent_for_a_minute() -> None:
    assert told([[report(0), report(50)]]) == {}
    (one,) = told([[report(0), report(50), report(61)]]).values()
    assert (one.kind, one.reason, one.count, one.until) == (EMERGENCY, "7700", 3, T0 + timedelta(seconds=61))
    assert one.words == "7700 (emergency) in 3 reports within 1 min"


def test_the_word_of_an_emergency_counts_as_its_code_and_lifeguard_is_none() -> None:
    rows = [report(at, None, emergency="unlawful") for at in (0, 90)]
    assert [e.reason for e in told([rows]).values()] == ["7500"]
    assert told([[report(at, "1000", emergency="lifeguard") for at in (0, 90)]]) == {}


def test_estimated_positions_raise_nothing() -> None:
    assert told([[report(at, source="estimated") for at in (0, 90, 180)]]) == {}


def test_half_an_hour_of_silence_is_another_event() -> None:
    assert len(told([[report(0), report(90), report(2000), report(2100)]])) == 2


REPORTS = st.lists(
    st.tuples(st.integers(0, 6000), st.sampled_from(["7700", "7600", "1000"]), st.sampled_from(["abc123", "def456"])), max_size=30
)


@given(REPORTS, st.lists(st.integers(0, 30), max_size=4))
def test_cutting_the_reports_changes_nothing(found: list[tuple[int, str, str]], cuts: list[int]) -> None:
    rows = [report(at, squawk, aircraft) for at, squawk, aircraft in sorted(found)]
    edges = [0, *sorted(c % (len(rows) + 1) for c in cuts), len(rows)]
    assert told([rows[a:b] for a, b in pairwise(edges)]) == told([rows])
