"""Rules about events, end to end: each is told once, in words that claim no more than was seen, and taken back plainly."""

from __future__ import annotations

import io
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import backfill, rules
from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.alerts import Alert, message
from flightwatch.alerts.lifecycle import alert_id
from flightwatch.deliveries.console import Console
from flightwatch.deliveries.digest import Digest, render
from flightwatch.deliveries.slack import blocks
from flightwatch.imports import import_file
from flightwatch.legs import LegState, Model
from flightwatch.legs.rows import rows_from_table
from flightwatch.legs.squawks import Open, noted
from flightwatch.legs.tracking import OpenPieces, advance
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports
from flightwatch.rarity import Baseline
from flightwatch.records import (
    BEGAN,
    CIRCLING,
    CODE,
    DIVERSION,
    EMERGENCY,
    HOLDING,
    LEGS,
    RENDEZVOUS,
    SUSPECT_POSITION,
    TRANSPONDER_LOST,
    TURN_BACK,
    Aircraft,
    Event,
    Finding,
    Held,
    RuleReference,
    Terms,
)
from flightwatch.rules import Rule
from flightwatch.store import Store, files
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.world import Sky
from tests.conftest import T0, positions
from tests.examples import tries
from tests.live_runs import POLL_S, Ledger, pipeline, poll_until, running, world
from tests.test_alerts import IL62, START, _as_text, context
from tests.test_events import STATE_TAIL, SpoofedSky
from tests.test_pipeline import OTHER

GOLDEN = Path(__file__).parent / "golden"
BEGIN = datetime.fromisoformat("2023-09-25T12:00:00+00:00")
RULE = RuleReference("mine", "What a watched aircraft does", "medium", ("ledger",))


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


LEG = "15521f-20230925T131139"
EVENTS = {
    "suspect": event(SUSPECT_POSITION, "spoofed", evidence={"farthest_nm": 612.4, "slowest_kt": 0.0}),
    "two_emitters": event(SUSPECT_POSITION, "two_emitters", count=1, evidence={"farthest_nm": 2112.0}),
    "jamming": event(SUSPECT_POSITION, "jamming", aircraft=("15521f", "155221", "155223", "155224")),
    "circling": event(
        CIRCLING,
        "left",
        event_id=f"{LEG}-flight.round-20230925T1310",
        words="3.2 rounds to the left in 14 min around 43.40, 34.25 at 9,000 to 9,300 ft",
        evidence={"rounds": 3.2, "minutes": 14.0, "radius_nm": 2.1, "lowest_ft": 9000.0, "highest_ft": 9300.0},
    ),
    "holding": event(HOLDING, "right", airports=("URSS",), words="2.1 rounds to the right in 14 min, before landing at URSS"),
    "transponder_lost": event(
        TRANSPONDER_LOST,
        "until the end",
        basis="inferred",
        probability=0.96,
        words="last heard 25 Sep 13:10 UTC near 43.40, 34.25 at 34,000 ft, where 96% of the traffic is seen",
        evidence={"altitude_ft": 34_000.0, "seen_share": 0.96},
    ),
    "rendezvous": event(RENDEZVOUS, "ground", **MEETING, basis="inferred", probability=0.84, words="on the ground at ZKPY: both"),
    "in_the_air": event(
        RENDEZVOUS, "air", aircraft=("15521f", "155221"), basis="inferred", probability=None, words="within 3 nm for 14 min"
    ),
    "diversion": event(
        DIVERSION,
        "observed",
        airports=("ZKPY", "UHWW"),
        basis="inferred",
        probability=0.87,
        words="was heading for ZKPY for 42 min until 25 Sep 13:10 UTC, landed at UHWW (seen there)",
        evidence={"apart_nm": 377.0, "headed_min": 42.0, "headed_probability": 0.87},
    ),
    "turn_back": event(TURN_BACK, "observed", airports=("UUMU",), words="took off at UUMU, was 212 nm away, and came back"),
    "emergency": event(EMERGENCY, "7700", words="sent 7700 (emergency) with 12 positions in 14 min"),
    "code": event(CODE, "7001", words="sent 7001 with 12 positions in 14 min"),
}


def finding(happened: Event, stage: str = "happened") -> Finding:
    everybody = tuple(IL62 if name == IL62.icao24 else Aircraft(name, f"RA-{name}") for name in happened.aircraft)
    asked = CIRCLING if stage == "withdrawn" else happened.kind
    held = (Held(f"event {asked}", happened.kind),) if stage == "happened" or asked != happened.kind else ()
    return Finding(RULE, everybody[0], None, stage, 1.0, held, (), (), START, happened, everybody)  # type: ignore[arg-type]


TAKEN_BACK = {
    "withdrawn": ("circling", "withdrawn"),
    "held_after_all": ("holding", "withdrawn"),
    "back": ("circling", "happened"),
}
"""Golden texts of what comes second in a thread: of which event, at which stage."""


@pytest.mark.parametrize("name", [*EVENTS, *TAKEN_BACK])
def test_the_words_of_each_kind(name: str, airports: Airports, request: pytest.FixtureRequest) -> None:
    """Golden texts; `pytest --update-golden` writes them anew, and then they are to be read."""
    of, stage = TAKEN_BACK.get(name, (name, "happened"))
    found = finding(EVENTS[of], stage)
    alert = Alert("event-1", found.stage, 2 if name in TAKEN_BACK else 1, (RULE,), ("ledger",))
    got = _as_text(message(found, alert, context(airports)))
    path = GOLDEN / f"event_{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(got, encoding="utf-8")
    assert got == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["suspect", "two_emitters", "jamming"])
def test_a_place_that_is_not_believed_is_nobodys_place(name: str, airports: Airports) -> None:
    """Neither in the headline nor as a dot or a dashed line on a map."""
    found = finding(EVENTS[name])
    made = message(found, Alert("event-1", "happened", 1, (RULE,), ()), context(airports))
    assert not any(word in f"{made.headline} {made.qualifier}" for word in (" near ", " over ", " from ", "43.", "34."))
    assert made.map is None or (made.map.places, made.map.inferred) == ((), ())


def test_slack_digest_and_console_tell_of_events(airports: Airports) -> None:
    """A callsign-like text of strangers stays text, and the map of what is believed goes with it."""
    strange = replace(EVENTS["circling"], words="<b>3 rounds</b>")
    made = message(finding(strange), Alert("event-1", "happened", 1, (RULE,), ()), context(airports))
    day = Digest(START.date(), "UTC", START, START, (made,), (), (), "", (), (), (), (), ())
    rendered, screen = render(day), io.StringIO()
    Console(screen).send(made, None)
    for text in (rendered.plain, screen.getvalue(), str(blocks(made)), rendered.html):
        assert made.headline in text
        assert "Why: event flight.circling" in text
    assert "<b>3 rounds" not in rendered.html + str(blocks(made))
    assert list(rendered.pictures) == ["map-event-1"]


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


def test_circling_that_turns_out_to_be_a_holding_is_taken_back_as_that(tmp_path: Path, airports: Airports) -> None:
    """The event stays the same one, of another kind; another rule that asks for it still tells of it."""
    clock, ledger = FakeClock(BEGIN + timedelta(hours=1)), Ledger()
    going_round = event(CIRCLING, "left", event_id="leg-flight.round", since=BEGIN)
    held = replace(going_round, kind=HOLDING, words="before landing at URSS")
    with running(tmp_path / "store", Sky(world([], airports), 60.0), clock, ledger, rules=[CIRCLES]) as runner:
        runner.poll_next()
        for now in (going_round, held, held, going_round):
            runner.store.events.put([now])
            runner.look_at_events()
            runner.deliver().run_once(clock.now())
            clock.sleep(10)
    assert ledger.stages() == ["happened", "withdrawn", "happened"]
    assert "held for 14 min" in ledger.sent[1].update
    assert ledger.sent[2].update.startswith("Not withdrawn any more")


def test_what_terms_let_nobody_keep_is_not_taken_back(tmp_path: Path, airports: Airports) -> None:
    clock, ledger = FakeClock(BEGIN + timedelta(hours=1)), Ledger()
    with running(tmp_path / "store", Sky(world([], airports), 60.0), clock, ledger, rules=[CIRCLES]) as runner:
        runner.store.set_terms("fleeting", Terms(retention_days=1))
        runner.poll_next()
        runner.store.events.put([event(CIRCLING, "left", event_id="leg-round", since=BEGIN, feeds=("fleeting",))])
        runner.look_at_events()
        clock.sleep(86_400 * 1.5)
        runner.store.keep_terms(clock.now())
        assert runner.store.events.between() == []
        runner.look_at_events()
        runner.deliver().run_once(clock.now())
    assert ledger.stages() == ["happened"]


# ------------------------------------------------------------------------------------------------------------ live and backfill


@dataclass(frozen=True)
class TroubledSky(SpoofedSky):
    """The spoofed aircraft of `test_events`, and another one that sends 7001 for a while and 7700 from the second hour on."""

    def entries(self, now: float) -> list[dict[str, object]]:
        minutes = (now - BEGIN.timestamp()) / 60
        code = {"squawk": "7700" if minutes >= 60 else "7001" if minutes >= 20 else "1000"}
        return [entry | code if entry["hex"] == OTHER.icao24 else entry for entry in super().entries(now)]


ANYTHING = Rule.model_validate(
    {"id": "any", "title": "Anything", "subject": "event", "when": {"event": {"kind": [SUSPECT_POSITION, EMERGENCY]}}}
)
SPECIAL = Rule.model_validate({"id": "codes", "title": "Special codes", "subject": "event", "when": {"squawk": ["70*", "0021"]}})


def troubled(airports: Airports) -> TroubledSky:
    return TroubledSky(replace(world([STATE_TAIL, OTHER], airports), holes=()), 60.0, shown_s=POLL_S)


def test_live_tells_of_the_events_that_backfill_finds_and_of_each_once(tmp_path: Path, airports: Airports) -> None:
    """Killed in the middle of them, twice."""
    sky, ledger, clock = troubled(airports), Ledger(), FakeClock(BEGIN)
    for polls in (18, 25, 40):
        with running(tmp_path / "store", sky, clock, ledger, rules=[ANYTHING, SPECIAL]) as runner:
            poll_until(runner, clock, BEGIN + timedelta(seconds=POLL_S * polls))
            now = backfill.newest(runner.store)
    assert ledger.stages() == ["happened"] * 3, [m.headline for m in ledger.sent]
    said = sorted(m.headline for m in ledger.sent)
    assert "sent the code 7001" in said[0]
    assert "sent the emergency code 7700" in said[1]
    assert "that cannot be true" in said[2]
    assert any(m.map is not None and m.map.track.latitude for m in ledger.sent)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    with Store(tmp_path / "copy") as store:
        store.catalog.db.execute("DELETE FROM events")
        pipe = pipeline(store, [ANYTHING, SPECIAL])
        backfill.derive(store, pipe)
        found = pipe.judge_events(store.events.between(), now)
    assert {alert_id(f) for f in found} == {m.alert_id for m in ledger.sent}


def test_codes_that_nobody_asked_for_are_searched_for_in_what_is_stored(tmp_path: Path, airports: Airports) -> None:
    """By a backtest, once; a run looks for those of its rules from then on, and tells of nothing that is past."""
    sky, ledger, clock = troubled(airports), Ledger(), FakeClock(BEGIN)
    with running(tmp_path / "store", sky, clock, ledger, rules=[ANYTHING]) as runner:
        poll_until(runner, clock, BEGIN + timedelta(seconds=POLL_S * 10))
        assert runner.store.events.unsearched(rules.codes_of([SPECIAL]), BEGIN).keys() == rules.codes_of([SPECIAL])
        runner.reread(lambda: pipeline(runner.store, [SPECIAL]))
        since = runner.store.events.unsearched(rules.codes_of([SPECIAL]), BEGIN)["7001"]
        assert since == backfill.newest(runner.store)
        poll_until(runner, clock, BEGIN + timedelta(seconds=POLL_S * 20))
    assert len([m for m in ledger.sent if "7001" in m.headline]) == 1, "it went on sending"
    with Store(tmp_path / "store") as store:
        (late,) = [e for e in store.events.between() if e.kind == CODE]
        backfill.look_back(store, rules.codes_of([SPECIAL]))
        assert store.events.unsearched(rules.codes_of([SPECIAL]), BEGIN) == {}
        assert [e for e in store.events.between() if e.kind == CODE] == [late], "the end of one sending, which was told of"
        backfill.derive(store, pipeline(store, []))  # knows no rule
        assert [e for e in store.events.between() if e.kind == CODE] == [late]
        for table in ("events", "codes"):
            store.catalog.db.execute(f"DELETE FROM {table}")
        backfill.look_back(store, rules.codes_of([SPECIAL]))
        (whole,) = store.events.between()
        assert whole.since < since < late.since < whole.until == late.until
        store.catalog.db.execute("DELETE FROM events")
        backfill.derive(store, pipeline(store, [SPECIAL]))
        assert [e for e in store.events.between() if e.kind == CODE] == [whole]


def test_events_that_are_imported_alert_nobody(tmp_path: Path, airports: Airports) -> None:
    """A file with 7700 in it comes in while live is stopped."""
    rows = [report(60 * i, "7700", aircraft="71bf00") for i in range(20)]
    files.write_parquet(tmp_path / "old.parquet", positions(rows))
    with Store(tmp_path / "store") as store:
        import_file(store, tmp_path / "old.parquet")
    ledger, clock = Ledger(), FakeClock(T0 + timedelta(hours=1))
    with running(tmp_path / "store", Sky(world([], airports), 60.0), clock, ledger, rules=[ANYTHING]) as runner:
        assert [e.kind for e in runner.store.events.between()] == [EMERGENCY]
        poll_until(runner, clock, T0 + timedelta(hours=1, minutes=10))
    assert ledger.sent == []


def test_who_it_is_comes_from_what_it_says_where_no_list_has_it(airports: Airports) -> None:
    """A rule by registration finds an aircraft that only its feed tells of."""
    rule = Rule.model_validate(
        {
            "id": "mine",
            "title": "Mine",
            "subject": "event",
            "when": {"all": [{"aircraft": {"registration": "HL*"}}, {"event": {"kind": EMERGENCY}}]},
        }
    )
    pipe = Pipeline(airports, Registry(), [rule])
    rows = [report(at, aircraft="71bf00", registration="HL9000", typecode="A321") for at in (0, 60, 120)]
    state, brought = pipe.absorb(pipe.start(LEGS.empty_table()), positions(rows))
    (found,) = pipe.judge_events(brought.events, T0 + timedelta(hours=1), state)
    assert (found.aircraft.registration, found.aircraft.typecode) == ("HL9000", "A321")


# ---------------------------------------------------------------------------------------------------------------- emergencies


def report(at: float, squawk: str | None = "7700", aircraft: str = "abc123", **more: object) -> dict[str, object]:
    """A position on a straight way to the north at 360 kt."""
    place = {"latitude": 40.0 + at / 36_000, "longitude": 8.0, "altitude": 30_000.0, "groundspeed": 360.0, "source": "adsb"}
    return {"at": at, "icao24": aircraft, "squawk": squawk, **place, **more}


def told(batches: list[list[dict[str, object]]], codes: Collection[str] = ()) -> dict[str, Event]:
    opened = OpenPieces.none()
    open_: Open = {}
    events: dict[str, Event] = {}
    for batch in batches:
        opened, step = advance(opened, rows_from_table(positions(batch), codes))
        open_, changed = noted(step.alarms, open_)
        events |= {e.event_id: e for e in changed}
    return events


def test_a_code_counts_once_it_was_sent_for_a_minute_and_more_than_twice() -> None:
    """One that was read wrong, or turned through, or two of them apart, raise nothing."""
    assert told([[report(0), report(20), report(50)]]) == {}
    assert told([[report(0), report(900)]]) == {}
    (one,) = told([[report(0), report(50), report(61)]]).values()
    assert (one.kind, one.reason, one.count, one.until) == (EMERGENCY, "7700", 3, T0 + timedelta(seconds=61))
    assert one.words == "sent 7700 (emergency) with 3 positions in 1 min"
    assert [one.evidence[name] for name in BEGAN] == [40.0, 8.0]


def test_the_word_of_an_emergency_counts_as_its_code_and_lifeguard_is_none() -> None:
    rows = [report(at, None, emergency="unlawful") for at in (0, 60, 90)]
    assert [e.reason for e in told([rows]).values()] == ["7500"]
    assert [e.reason for e in told([[row | {"emergency": "minfuel"} for row in rows]]).values()] == ["minfuel"]
    assert told([[report(at, "1000", emergency="lifeguard") for at in (0, 60, 90)]]) == {}


def test_a_code_that_is_asked_for_counts_as_those_of_emergencies_do() -> None:
    rows = [report(at, "0021") for at in (0, 30, 61)]
    assert told([rows]) == told([rows], ["0022"]) == {}
    (one,) = told([rows], ["0021", "7001"]).values()
    assert (one.kind, one.reason, one.words) == (CODE, "0021", "sent 0021 with 3 positions in 1 min")
    assert told([rows[:2]], ["0021"]) == {}
    (word,) = told([[row | {"emergency": "minfuel"} for row in rows]], ["0021"]).values()
    assert word.reason == "minfuel", "the word of an emergency comes before a code that says something else"


def test_an_aircraft_that_goes_through_all_codes_is_remembered_for_half_an_hour() -> None:
    """What stays open is bounded, whatever comes in."""
    opened, open_ = OpenPieces.none(), dict[str, tuple[Event, ...]]()
    for at in range(0, 4000, 40):
        rows = [report(at + more, f"{at // 40:04o}") for more in (0, 20)]
        opened, step = advance(opened, rows_from_table(positions(rows), rules.language.EVERY_SQUAWK))
        open_ = dict(noted(step.alarms, open_)[0])
    assert len(open_["abc123"]) <= 1800 // 40 + 2


def test_a_state_from_before_codes_were_asked_for_is_read(airports: Airports) -> None:
    """Rows that waited had one byte for what they say of an emergency."""
    model = Model(airports, Baseline(airports, LEGS.empty_table()), Registry().who)
    waits = [report(0), report(30), report(60, "7700", latitude=49.0)]
    before, _ = leg_stage.advance(LegState(), positions(waits), model)
    assert len(before.open.waiting)
    saved = msgspec.msgpack.decode(leg_stage.to_bytes(before))
    saved["waiting"]["alarm"] = "|i1", [len(before.open.waiting)], before.open.waiting.alarm.astype(np.int8).tobytes()
    state = leg_stage.from_bytes(msgspec.msgpack.encode(saved))
    _, brought = leg_stage.advance(state, positions([report(90), report(120, "0021")]), model, ["0021"])
    assert [e.count for e in brought.events if e.kind == EMERGENCY] == [3]


def test_positions_that_are_estimated_or_not_believed_raise_nothing() -> None:
    assert told([[report(at, source="estimated") for at in (0, 60, 90, 180)]]) == {}
    flown = [report(at, "1000") for at in range(0, 600, 20)]
    spoofed = [report(at + 1, "7700", latitude=55.0 + at / 1e6, groundspeed=0.0) for at in range(200, 400, 20)]
    assert told([sorted(flown + spoofed, key=lambda row: row["at"])]) == {}  # type: ignore[arg-type, return-value]


def test_half_an_hour_of_silence_is_another_event() -> None:
    assert len(told([[report(at) for at in (0, 30, 90, 2000, 2050, 2100)]])) == 2


REPORTS = st.lists(
    st.tuples(st.integers(0, 6000), st.sampled_from(["7700", "7001", "1000"]), st.sampled_from(["abc123", "def456"])),
    max_size=30,
    unique_by=lambda report: (report[0], report[2]),
)


@settings(max_examples=tries(40), deadline=None)
@given(REPORTS, st.lists(st.integers(0, 30), max_size=4))
def test_cutting_the_reports_changes_nothing(found: list[tuple[int, str, str]], cuts: list[int]) -> None:
    rows = [report(at, squawk, aircraft) for at, squawk, aircraft in sorted(found)]
    edges = [0, *sorted(c % (len(rows) + 1) for c in cuts), len(rows)]
    assert told([rows[a:b] for a, b in pairwise(edges)], ["7001"]) == told([rows], ["7001"])
