"""What legs did besides going from one place to another, and who met whom: made-up flights, real ones, live and
afterwards."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import backfill
from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry, read_watchlist
from flightwatch.alerts import AlertBook
from flightwatch.config import DigestSettings, Settings
from flightwatch.desk import Desk
from flightwatch.doctor import examine
from flightwatch.eventtables import show
from flightwatch.imports import import_file
from flightwatch.legs.rows import Floats
from flightwatch.legs.turning import STRETCH, worth_keeping
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports
from flightwatch.places import airports as all_airports
from flightwatch.places.great_circle import destination
from flightwatch.rarity import Baseline
from flightwatch.records import CODE, HAPPENED, Event, Scope, Snapshot, legs_from_table
from flightwatch.rules import Rule
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.world import Flight, Hold, Region, Sky, World, diverted, landing, silent_from
from tests.conftest import Typed, real
from tests.examples import tries
from tests.live_runs import Ledger, poll_until, running
from tests.live_runs import pipeline as state_pipeline

BEGIN = datetime(2024, 3, 20, 6, 0, tzinfo=UTC)
MOSCOW, SOCHI, MINVODY, NOVOSIBIRSK = "UUEE", "URSS", "URMM", "UNNT"
PLANE = Flight("a00001", "RA-00001", "A320", "TST1", MOSCOW, SOCHI, BEGIN)
OFF_SOCHI = (44.2, 39.6)
EVERY_S = 30.0

Place = tuple[float, float]


def ring(latitude: float, longitude: float, rounds: float, radius_nm: float = 3.0, *, left: bool = False) -> tuple[Place, ...]:
    """Points around a place, sixteen a round: to the right from its north on, to the left from its south on."""
    courses = [180 - 22.5 * i if left else 22.5 * i for i in range(round(16 * rounds) + 1)]
    points = [destination(latitude, longitude, course, radius_nm) for course in courses]
    return tuple((float(lat), float(lon)) for lat, lon in points)


def seen(flights: Sequence[Flight], holes: tuple[Region, ...] = (), every_s: float = EVERY_S) -> pa.Table:
    return World(tuple(flights), all_airports(), holes, seed=3).positions(every_s)


def filled(store: Store, positions: pa.Table) -> None:
    newest = max(positions["timestamp"].to_pylist())
    store.snapshots.append(Snapshot("synthetic", newest, newest, Scope("world"), positions, {}))


def events_of(store: Store, positions: pa.Table, registry: Registry | None = None) -> list[Event]:
    """What is told of positions, derived once."""
    filled(store, positions)
    pipe = Pipeline(all_airports(), registry or Registry(), exposures=backfill.exposures(store))
    backfill.derive(store, pipe)
    return store.events.between()


def daily(flight: Flight, days: int) -> list[Flight]:
    """The flight on each of the days before, by other aircraft, too."""
    return [
        replace(flight, icao24=f"b0000{i % 3}", registration=f"RA-1000{i % 3}", takeoff=flight.takeoff - timedelta(days=i))
        for i in range(days, 0, -1)
    ]


# --------------------------------------------------------------------------------------------------------- where it went


def test_a_flight_that_is_known_to_go_somewhere_and_lands_elsewhere_was_diverted(store: Store) -> None:
    astray = diverted(PLANE, all_airports(), 0.85, MINVODY)
    (event,) = events_of(store, seen([*daily(PLANE, 12), astray], every_s=60.0))
    assert (event.kind, event.aircraft, event.airports) == ("leg.diversion", ("a00001",), (SOCHI, MINVODY))
    assert (event.reason, event.basis) == ("observed", "inferred"), "where it landed was seen, where it meant to go was not"
    assert 0.8 <= event.probability < 1
    assert event.evidence["headed_min"] >= 30
    assert "was heading for URSS" in event.words
    assert "landed at URMM (seen there)" in event.words


@pytest.mark.parametrize(
    ("earlier", "flight"),
    [
        (12, PLANE),  # it went where it always goes
        (0, diverted(PLANE, all_airports(), 0.85, MINVODY)),  # nobody knows where it meant to go
        (12, replace(PLANE, destination=MINVODY)),  # it went elsewhere from the start
    ],
)
def test_no_other_flight_was(earlier: int, flight: Flight, store: Store) -> None:
    assert events_of(store, seen([*daily(PLANE, earlier), flight], every_s=60.0)) == []


def test_who_comes_back_turned_back(store: Store) -> None:
    back = replace(PLANE, over=((52.5, 38.2),), destination=MOSCOW)
    (event,) = events_of(store, seen([back]))
    assert (event.kind, event.reason, event.basis, event.airports) == ("leg.turn_back", "observed", "observed", (MOSCOW,))
    assert event.evidence["farthest_nm"] == pytest.approx(210, abs=20)
    assert event.since < event.until


def test_who_comes_back_as_usual_or_stayed_near_did_not(store: Store) -> None:
    out_and_back = replace(PLANE, over=((52.5, 38.2),), destination=MOSCOW)
    survey = [replace(out_and_back, takeoff=BEGIN + timedelta(days=i)) for i in range(4)]
    around = replace(PLANE, icao24="a00002", over=((55.5, 37.6),), destination=MOSCOW)
    found = [event.since.date() for event in events_of(store, seen([*survey, around], every_s=60.0))]
    assert found == [BEGIN.date()], "of the first flight nobody knew that it would become a habit"


# --------------------------------------------------------------------------------------------------------- going round


def test_rounds_at_a_height_before_landing_are_a_holding(store: Store) -> None:
    held = replace(PLANE, hold=Hold(to_go_nm=40, minutes=15))
    (event,) = events_of(store, seen([held]))
    assert (event.kind, event.reason, event.airports, event.basis) == ("flight.holding", "right", (SOCHI,), "observed")
    assert event.evidence["rounds"] >= 2
    assert event.evidence["minutes"] == pytest.approx(15, abs=6)
    assert "before landing at URSS (seen there)" in event.words


def test_rounds_on_the_way_are_circling_and_few_of_them_nothing(store: Store) -> None:
    circled = replace(PLANE, over=ring(51.0, 39.0, 5, left=True))
    once = replace(PLANE, icao24="a00002", over=ring(51.0, 39.0, 1.5), takeoff=BEGIN + timedelta(minutes=20))
    (event,) = events_of(store, seen([circled, once]))
    assert (event.kind, event.reason, event.aircraft, event.airports) == ("flight.circling", "left", ("a00001",), ())
    assert event.evidence["rounds"] == pytest.approx(5, abs=0.7)
    assert "around 51.0" in event.words


def test_eights_and_parallel_lines_cancel_out(store: Store) -> None:
    eights = sum((ring(51.0, 39.0, 1, 6.0) + ring(51.2, 39.0, 1, 6.0, left=True) for _ in range(4)), ())
    lines = tuple((50.0 + i / 20, 39.0 + (i // 2 + i) % 2 / 3) for i in range(14))
    flights = [replace(PLANE, over=eights), replace(PLANE, icao24="a00002", over=lines)]
    assert events_of(store, seen(flights)) == []


def test_slow_polls_tell_of_no_turning(store: Store) -> None:
    assert events_of(store, seen([replace(PLANE, over=ring(51.0, 39.0, 5))], every_s=240.0)) == []


def test_what_is_kept_of_turning_is_bounded() -> None:
    many = np.zeros(5000, STRETCH)
    many["turned"] = 360_000
    assert len(worth_keeping(many.tobytes())) == 96 * STRETCH.itemsize


# --------------------------------------------------------------------------------------------------------- out of sight


class Seeing(Baseline):
    """History that knows nothing but how much of the traffic is seen to the west of a meridian."""

    share, east_end = 0.97, 180.0

    def seen_share(self, day: date, latitude: Floats, longitude: Floats, altitude: Floats) -> tuple[Floats, Floats]:
        seen = np.where(np.asarray(longitude) < self.east_end, self.share, 0.0)
        return seen, np.where(seen > 0, 0.0, 1.0)


def told_of_silence(flight: Flight, share: float = 0.97, east_end: float = 180.0) -> list[Event]:
    """The events of a flight where so much of the traffic is seen."""
    prior = Seeing(all_airports())
    prior.share, prior.east_end = share, east_end
    model = leg_stage.Model(all_airports(), prior, Registry().who)
    state, _ = leg_stage.advance(leg_stage.LegState(), seen([flight]), model)
    found = leg_stage.unsettled(state, leg_stage.aircraft_of(state), model, BEGIN + timedelta(hours=4))
    return [event for legs in found.values() for leg in legs for event in leg.events]


EAST = replace(PLANE, destination=NOVOSIBIRSK)
LOST = silent_from(EAST, BEGIN + timedelta(hours=1))


@pytest.mark.parametrize(("share", "told"), [(0.97, 1), (0.5, 0), (0.0, 0)])
def test_silence_counts_where_aircraft_are_surely_seen(share: float, told: int) -> None:
    found = told_of_silence(LOST, share)
    assert [event.kind for event in found] == ["transponder.lost"] * told
    for event in found:
        assert (event.reason, event.basis, event.probability) == ("until the end", "inferred", 0.97)
        assert event.since == pytest.approx(BEGIN + timedelta(hours=1), abs=timedelta(minutes=1))


def test_silence_in_the_middle_ends_when_it_is_heard_again() -> None:
    (event,) = told_of_silence(silent_from(EAST, BEGIN + timedelta(hours=1), BEGIN + timedelta(minutes=100)))
    assert event.reason == "between"
    assert event.until - event.since == pytest.approx(timedelta(minutes=40), abs=timedelta(minutes=1))
    assert "seen again" in event.words


def test_silence_at_the_end_of_coverage_or_on_the_way_down_proves_nothing() -> None:
    assert told_of_silence(LOST, east_end=51.0) == []
    assert told_of_silence(silent_from(EAST, landing(EAST, all_airports()) - timedelta(minutes=15))) == []


def test_where_everybody_was_heard_before_it_is_told_from_what_is_stored(store: Store) -> None:
    before = [replace(EAST, icao24=f"c{i:05x}", takeoff=BEGIN - timedelta(hours=8 * i)) for i in range(1, 46)]
    later = replace(EAST, icao24="a00003", takeoff=BEGIN + timedelta(hours=1))  # time goes on
    (event,) = events_of(store, seen([*before, LOST, later], every_s=120.0))
    assert (event.kind, event.aircraft) == ("transponder.lost", ("a00001",))
    assert event.probability is not None
    assert event.probability >= 0.9


# --------------------------------------------------------------------------------------------------------- meetings


@pytest.fixture
def watching(tmp_path: Path) -> Registry:
    path = tmp_path / "mine.csv"
    path.write_text("icao24,registration\na00001,RA-00001\na00002,RA-00002\n")
    return Registry([read_watchlist(path)])


SECOND = replace(PLANE, icao24="a00002", registration="RA-00002", callsign="TST2", origin=NOVOSIBIRSK)


@pytest.mark.parametrize(("hours", "told"), [(5, 1), (60, 0)])
def test_two_watched_aircraft_at_one_airport_meet(hours: int, told: int, store: Store, watching: Registry) -> None:
    later = replace(SECOND, takeoff=BEGIN + timedelta(hours=hours))
    left = replace(PLANE, origin=SOCHI, destination=MOSCOW, takeoff=BEGIN + timedelta(hours=4))
    found = events_of(store, seen([PLANE, left, later], every_s=60.0), registry=watching)
    assert [(event.kind, event.reason) for event in found] == [("rendezvous", "ground")] * told
    for event in found:
        assert (event.aircraft, event.airports, event.basis) == (("a00001", "a00002"), (SOCHI,), "observed")
        assert len(event.legs) == 2
        assert "RA-00001" in event.words


def test_where_an_aircraft_always_goes_it_meets_nobody(store: Store, watching: Registry) -> None:
    days = [replace(PLANE, takeoff=BEGIN - timedelta(days=i)) for i in range(8, 0, -1)]
    home = [replace(f, origin=SOCHI, destination=MOSCOW, takeoff=f.takeoff + timedelta(hours=4)) for f in days]
    found = events_of(store, seen([*days, *home, PLANE, SECOND], every_s=120.0), registry=watching)
    assert [event for event in found if event.since > BEGIN - timedelta(hours=1)] == []


@pytest.mark.parametrize(("apart_s", "told"), [(20, 1), (400, 0)])
def test_two_watched_aircraft_side_by_side_meet_in_the_air(apart_s: int, told: int, store: Store, watching: Registry) -> None:
    beside = replace(SECOND, origin=MOSCOW, destination=MINVODY, over=(OFF_SOCHI,), takeoff=BEGIN + timedelta(seconds=apart_s))
    first = replace(PLANE, over=(OFF_SOCHI,))
    found = [event for event in events_of(store, seen([first, beside]), registry=watching) if event.reason == "air"]
    assert len(found) == told
    for event in found:
        assert (event.basis, event.probability) == ("inferred", None), "a thinned track bears no number"
        assert event.aircraft == ("a00001", "a00002")
        assert event.evidence["minutes"] >= 10


def test_nobody_is_told_of_who_is_not_watched(store: Store) -> None:
    assert events_of(store, seen([PLANE, SECOND, replace(PLANE, icao24="a00007")], every_s=60.0)) == []


# --------------------------------------------------------------------------------------------------------- live and afterwards


WATCHED_AND_UP_TO_SOMETHING = Rule.model_validate(
    {
        "id": "up-to-something",
        "title": "A watched aircraft does something",
        "subject": "event",
        "when": {"all": [{"aircraft": {"watchlist": "russian-state"}}, {"event": {"kind": [k for k in HAPPENED if k != CODE]}}]},
    }
)


@pytest.mark.parametrize("kills", [pytest.param([], marks=pytest.mark.slow), [70, 130]])
def test_live_tells_the_same_events_as_what_was_stored(kills: list[int], tmp_path: Path, airports: Airports) -> None:
    """Polled every minute and killed in the middle, or not; then derived anew, twice. A rule about events tells of each of
    them once, of circling while it goes on."""
    rules = [WATCHED_AND_UP_TO_SOMETHING]
    circled = replace(PLANE, icao24="15521f", over=ring(51.0, 39.0, 5))
    back = replace(PLANE, over=((52.5, 38.2),), destination=MOSCOW, takeoff=BEGIN + timedelta(minutes=10))
    beside = replace(circled, icao24="155221", registration="RA-86561", takeoff=BEGIN + timedelta(seconds=20))
    sky = Sky(World((circled, back, beside), airports, (), seed=3), 20.0)
    ledger, clock = Ledger(), FakeClock(BEGIN - timedelta(minutes=10))
    for minutes in [*kills, 210]:
        often = timedelta(minutes=20)
        with running(tmp_path / "store", sky, clock, ledger, every_s=60.0, checkpoint_every=often, rules=rules) as runner:
            poll_until(runner, clock, BEGIN + timedelta(minutes=minutes - 10))
            alive = {event.event_id: event for event in runner.store.events.between()}
            told = {a.alert.alert_id: a for a in runner.book.alerts()}
    kinds = Counter(event.kind for event in alive.values())
    assert (kinds["flight.circling"], kinds["leg.turn_back"], kinds["rendezvous"]) == (2, 1, 3), "before, on the way, and after"
    assert {m.alert_id for m in ledger.sent} == set(told) == {e.event_id for e in alive.values() if "a00001" not in e.aircraft}
    assert ledger.stages() == ["happened"] * len(told)
    circling = [a for a in told.values() if a.alert.alert_id in alive and alive[a.alert.alert_id].kind == "flight.circling"]
    assert all(a.opened <= alive[a.alert.alert_id].until + timedelta(minutes=8) for a in circling), "long before it landed"
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    with Store(tmp_path / "copy") as store:
        store.catalog.db.execute("DELETE FROM events")
        for _ in range(2):
            backfill.derive(store, state_pipeline(store))
            assert {event.event_id: event for event in store.events.between()} == alive


ROUND_AND_ROUND = seen([replace(PLANE, over=ring(51.0, 39.0, 5))])


@settings(max_examples=tries(25), deadline=None)
@given(st.lists(st.integers(0, len(ROUND_AND_ROUND)), max_size=5))
def test_events_of_legs_depend_on_the_positions_alone(cuts: list[int]) -> None:
    """One batch or many, with restarts in between: the same rounds, to the last digit."""
    positions = ROUND_AND_ROUND.sort_by("timestamp")
    model, state = leg_stage.Model(all_airports(), Baseline(all_airports()), Registry().who), leg_stage.LegState()
    for begin, end in pairwise([0, *sorted(cuts), len(positions)]):
        state, _ = leg_stage.advance(state, positions.slice(begin, end - begin), model)
        state = leg_stage.from_bytes(leg_stage.to_bytes(state))
    whole, _ = leg_stage.advance(leg_stage.LegState(), positions, model)
    told, expected = (leg_stage.unsettled(s, leg_stage.aircraft_of(s), model, BEGIN + timedelta(days=1)) for s in (state, whole))
    assert told == expected
    assert [event.kind for (leg,) in told.values() for event in leg.events] == ["flight.circling"]


def test_late_data_revise_an_event_and_take_it_back(store: Store) -> None:
    """The half of the rounds that was missing comes late; then it turns out that the aircraft landed in between."""
    positions = seen([replace(PLANE, over=ring(51.0, 39.0, 8))])
    times = np.asarray(positions["timestamp"].cast(pa.int64()))
    missing = np.zeros(len(times), bool)
    missing[len(times) // 2 - 8 : len(times) // 2 + 8] = True
    filled(store, positions.filter(pa.array(~missing)))
    pipe = Pipeline(all_airports(), Registry())
    state = backfill.derive(store, pipe).state
    before = {event.event_id: event.evidence["rounds"] for event in store.events.between()}
    late = positions.filter(pa.array(missing))
    newest = max(positions["timestamp"].to_pylist()) + timedelta(minutes=1)
    store.snapshots.append(Snapshot("synthetic", newest, newest, Scope("world"), late, {}))
    backfill.rederive_late(store, pipe, state, ["a00001"], newest)
    after = {event.event_id: event.evidence["rounds"] for event in store.events.between()}
    assert list(after) == list(before)[: len(after)]
    assert sum(after.values()) > sum(before.values())
    (leg,) = legs_from_table(store.legs.table())
    assert tuple(store.events.between()) == leg.events
    store.legs.withdraw([leg.leg_id])
    assert store.events.between() == []


# --------------------------------------------------------------------------------------------------------- how it is shown


def test_events_of_legs_are_shown_and_counted(tmp_path: Path, typed: Typed) -> None:
    with Store(tmp_path / "s") as store:
        events = events_of(store, seen([replace(PLANE, over=ring(51.0, 39.0, 5))]))
        told = [check.text for check in examine(Settings(), Path(), tmp_path / "s", BEGIN + timedelta(days=1))]
    assert "events in the last day of data: 1 circled; `flightwatch events` shows them" in told
    assert "a00001: circled (observed): " in show(events, {})
    assert "suspect" not in show(events, {})
    status, said, _ = typed("events", "--store", str(tmp_path / "s"))
    assert (status, "circled (observed)" in said) == (0, True)


def test_the_digest_counts_them(tmp_path: Path, airports: Airports) -> None:
    with Store(tmp_path / "s") as store:
        events_of(store, seen([replace(PLANE, over=ring(51.0, 39.0, 5))]))
        wanted = DigestSettings.model_validate({"to": ["a@b.c"], "from": "f@b.c"})
        book = AlertBook(tmp_path / "s" / "alerts.sqlite")
        digest = Desk(store, airports, Registry()).digest(book, BEGIN, BEGIN + timedelta(days=1), wanted, Baseline(airports))
        book.close()
    assert any(note.startswith("What else happened, of all aircraft in sight: 1 circled.") for note in digest.notes)


# --------------------------------------------------------------------------------------------------------- real tracks


@pytest.mark.parametrize(
    ("name", "aircraft", "circling", "others"),
    [
        ("airline_multileg", "a339b4", range(1), range(1)),
        pytest.param("airline_multileg", "", range(1), range(1), marks=pytest.mark.slow),
        ("surveillance_aeroptic", "a954a8", range(7, 12), range(1)),
    ],
)
def test_real_aircraft_circle_where_they_do(
    name: str, aircraft: str, circling: range, others: range, store: Store, tmp_path: Path, airports: Airports
) -> None:
    """Airliners do not, survey aircraft do (one of six, for the sake of time, and one of the five airliners in the fast set)."""
    table = pq.read_table(real(f"tracks/{name}.parquet"))
    pq.write_table(table.filter(pc.equal(table["icao24"], aircraft)) if aircraft else table, tmp_path / f"{name}.parquet")
    import_file(store, tmp_path / f"{name}.parquet")
    backfill.derive(store, Pipeline(airports, Registry(), exposures=backfill.exposures(store)))
    found = [leg.events for leg in legs_from_table(store.legs.table())]
    circled = sum(any(event.kind == "flight.circling" for event in events) for events in found)
    assert circled in circling
    assert sum(event.kind != "flight.circling" for events in found for event in events) in others
    assert all(not math.isnan(event.south) for events in found for event in events)
