"""The composition: live, restarts, and backfill tell the same story, and tell it once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightwatch import ahead, backfill
from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry, read_watchlist
from flightwatch.errors import FlightwatchError
from flightwatch.imports import import_file
from flightwatch.pipeline import Pipeline, State
from flightwatch.places import Airports, airports
from flightwatch.records import LEGS, Leg, Scope, Snapshot, legs_from_table
from flightwatch.rules import Rule, read_rules
from flightwatch.store import Portion, Store, files
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.world import Flight, Sky
from tests.conftest import T0, positions
from tests.examples import tries
from tests.live_runs import POLL_S, Ledger, pipeline, poll_until, running, world

BEGIN = datetime(2023, 9, 25, 12, 0, tzinfo=UTC)
STATE_TAIL = Flight("15521f", "RA-86559", "IL62", "RFF7237", "UHWW", "ZKPY", BEGIN + timedelta(minutes=30), military=True)
OTHER = Flight("71bf00", "HL9000", "A321", "DMO1", "RKSI", "RJTT", BEGIN)
PLACES = ("UHWW", "ZKPY", "UHHH", "RKSI", "ZYYJ")


@st.composite
def flights(draw: st.DrawFn) -> list[Flight]:
    """A state aircraft and others that hop between places around North Korea, some of which nobody sees."""
    found: list[Flight] = []
    for kind in (STATE_TAIL, replace(STATE_TAIL, icao24="15520a", registration="RA-85042", callsign="RFF1"), OTHER):
        at, place = draw(st.integers(5, 200)), draw(st.sampled_from(PLACES))
        for _ in range(draw(st.integers(0, 3))):
            there = draw(st.sampled_from([p for p in PLACES if p != place]))
            found.append(replace(kind, origin=place, destination=there, takeoff=BEGIN + timedelta(minutes=at)))
            at, place = at + draw(st.sampled_from([180, 260, 900])), there
    return found


def tracked(store: Store) -> dict[str, Leg]:
    """The tracked legs by id, without how often they were revised."""
    found = legs_from_table(store.legs.table())
    return {leg.leg_id: replace(leg, revision=0) for leg in found if leg.source == "tracked"}


def lived(folder: Path, sky: Sky, ledger: Ledger, end: datetime, kills: list[int], every_s: float = POLL_S) -> State:
    """Polls to the end, killed and started again after so many polls; returns the last state."""
    clock = FakeClock(BEGIN)
    for after in [*sorted(kills), 10**6]:
        with running(folder, sky, clock, ledger, every_s=every_s) as runner:
            poll_until(runner, clock, min(end, BEGIN + timedelta(seconds=every_s * after)))
            if clock.now() >= end:
                runner.checkpoint()
                runner.store.legs.put(runner._pipeline.all_unsettled(runner._state, backfill.newest(runner.store)))
                return runner._state
    raise AssertionError("the end was not reached")


def test_two_processes_make_the_same_legs_as_one_in_however_many_batches(
    tmp_path: Path, airports: Airports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a state that goes on alike."""
    sky = world(
        [STATE_TAIL, OTHER, replace(OTHER, origin="RJTT", destination="RKSI", takeoff=BEGIN + timedelta(hours=20))], airports
    ).positions(60.0)
    told = []
    for name, worth_it in (("one", ahead.WORTH_IT), ("two", 0)):
        monkeypatch.setattr(ahead, "WORTH_IT", worth_it)
        monkeypatch.setattr(backfill, "BATCH_ROWS", 100)
        with Store(tmp_path / name) as store:
            store.snapshots.register_history("made", store.snapshots.write_history("a", "made", sky))
            derived = backfill.derive(store, pipeline(store))
            told.append((tracked(store), leg_stage.to_bytes(derived.state.legs)))
    assert len(told[0][0]) == 3
    assert told[0] == told[1]


@pytest.mark.parametrize("worth_it", [ahead.WORTH_IT, 0], ids=["one", "two"])
def test_a_damaged_file_is_named_and_legs_are_made_of_the_rest(
    tmp_path: Path, airports: Airports, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, worth_it: int
) -> None:
    """Whichever process reads it."""
    monkeypatch.setattr(ahead, "WORTH_IT", worth_it)
    with Store(tmp_path) as store:
        for name, flown in (("whole", STATE_TAIL), ("spoilt", OTHER)):
            written = store.snapshots.write_history(name, "made", world([flown], airports).positions(60.0))
            store.snapshots.register_history("made", written)
        spoilt = {path for (path,) in store.catalog.db.execute("SELECT path FROM files WHERE path LIKE '%spoilt%'")}
        for path in spoilt:
            (store.root / path).write_bytes(b"PAR1" + bytes(range(200)))
        backfill.derive(store, pipeline(store))
        assert {leg.registration for leg in tracked(store).values()} == {STATE_TAIL.registration}
        marked = {path for (path,) in store.catalog.db.execute("SELECT path FROM files WHERE damaged = 1")}
    assert marked == spoilt
    assert all(path in caplog.text for path in spoilt)


def test_a_second_process_that_ends_early_is_told_of_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the machine is out of memory."""
    monkeypatch.setattr(ahead, "WORTH_IT", 0)
    with pytest.raises(FlightwatchError, match="ended early"):
        list(ahead.tracked([Portion(("timestamp",), ())], 1, ()))


def stages(state: State) -> dict[tuple[str, str], str]:
    said = [r for many in state.reported.values() for r in many if r.stage != "withdrawn"]
    return {(r.rule_id, r.visit_id): r.stage for r in said}


PATIENT = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=tries(12), deadline=None, suppress_health_check=PATIENT)
@given(flown=flights(), kills=st.lists(st.integers(1, 105), max_size=3), hours=st.integers(4, 7))
def test_live_with_any_restarts_is_backfill(
    flown: list[Flight], kills: list[int], hours: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _live_is_backfill(flown, kills, hours, tmp_path_factory)


@pytest.mark.slow
@settings(max_examples=tries(20), deadline=None, suppress_health_check=PATIENT)
@given(flown=flights(), kills=st.lists(st.integers(1, 400), max_size=5), hours=st.integers(4, 26))
def test_live_with_many_restarts_is_backfill(
    flown: list[Flight], kills: list[int], hours: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _live_is_backfill(flown, kills, hours, tmp_path_factory)


def _live_is_backfill(flown: list[Flight], kills: list[int], hours: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same legs to the last digit, and the same visits at the same stage, each told once."""
    folder, ledger = tmp_path_factory.mktemp("live"), Ledger()
    sky = Sky(world(flown, airports()), 60.0, shown_s=POLL_S)
    state = lived(folder, sky, ledger, BEGIN + timedelta(hours=hours), kills)
    copied = tmp_path_factory.mktemp("copy") / "store"
    shutil.copytree(folder, copied)
    with Store(folder, read_only=True) as store:
        alive = tracked(store)
    with Store(copied) as store:
        store.catalog.db.executescript("DELETE FROM legs; DELETE FROM frozen_legs;")
        store.drop_checkpoint()
        derived = backfill.derive(store, pipeline(store))
        assert tracked(store) == alive
        again, then = (stages(pipeline(store).take_stock(derived.state, at, None)) for at in (derived.now, state.ticked or BEGIN))
    told = stages(state)
    assert {key for key, stage in again.items() if told.get(key) not in (stage, then.get(key))} == set(), "live looks at ticks"
    for rule_id, visit_id in told.keys() - again.keys():  # told before, and not unlikely enough by now to be taken back
        assert _still_possible(state, rule_id, visit_id, copied)
    keys = [(m.alert_id, m.number) for m in ledger.sent]
    assert len(set(keys)) == len(keys), "nothing is told twice"


def _still_possible(state: State, rule_id: str, visit_id: str, folder: Path) -> bool:
    number = next(n for n, said in state.reported.items() if any(r.visit_id == visit_id for r in said))
    with Store(folder) as store:
        pipes, now = pipeline(store), backfill.newest(store)
        legs = leg_stage.current(state.legs, [number], pipes.model(state), now)[number]
        return any(f.key == (rule_id, visit_id) for f in pipes.judge(state, number, legs, now, frozenset({(rule_id, visit_id)})))


def test_one_visit_is_one_story(tmp_path: Path, airports: Airports) -> None:
    """There, unseen, and back after a day: one alert, with an update for each thing that happened."""
    back = replace(STATE_TAIL, origin="ZKPY", destination="UHWW", takeoff=STATE_TAIL.takeoff + timedelta(hours=26))
    ledger, sky = Ledger(), Sky(world([STATE_TAIL, back, OTHER], airports), 60.0, shown_s=1200.0)
    lived(tmp_path, sky, ledger, BEGIN + timedelta(hours=30), [], every_s=1200.0)
    assert len({m.alert_id for m in ledger.sent}) == 1
    assert [m.number for m in ledger.sent] == list(range(1, len(ledger.sent) + 1))
    assert ledger.stages()[-2:] == ["left_again", "returned"]
    assert "presumed_landed" in ledger.stages()
    assert "landed" not in ledger.stages(), "nobody saw it land"


def test_an_aircraft_listed_by_its_registration_is_known_when_the_feed_tells_it(tmp_path: Path, airports: Airports) -> None:
    """No arithmetic leads from the registration to the address, and the list does not have it."""
    (tmp_path / "mine.csv").write_text("registration,operator\nRF-85136,Somebody\n", encoding="utf-8")
    flown = replace(STATE_TAIL, icao24="1f0001", registration="RF-85136")
    rule = Rule.model_validate({"id": "mine", "title": "Mine", "when": {"aircraft": {"watchlist": ["mine"]}}})
    registry = Registry([read_watchlist(tmp_path / "mine.csv")])
    with Store(tmp_path / "store") as store:
        files.write_parquet(tmp_path / "flown.parquet", world([flown, OTHER], airports).positions(60.0))
        import_file(store, tmp_path / "flown.parquet")
        derived = backfill.derive(store, Pipeline(airports, registry, [rule]))
        assert {(leg.registration, leg.operator) for leg in tracked(store).values()} == {
            ("RF-85136", "Somebody"),
            ("HL9000", None),
        }
        known = Pipeline(airports, registry, [rule]).take_stock(derived.state, derived.now, None)
    assert [rule_id for rule_id, _ in stages(known)] == ["mine"]


def test_a_flight_that_turns_away_is_taken_back(tmp_path: Path, airports: Airports) -> None:
    """It heads for Pyongyang, then goes to Yanji: what was said is withdrawn, in the same thread."""
    turning = replace(STATE_TAIL, destination="ZYYJ", over=((41.9, 130.75),))
    ledger, sky = Ledger(), Sky(world([turning, OTHER], airports), 60.0, shown_s=POLL_S)
    lived(tmp_path, sky, ledger, BEGIN + timedelta(hours=4), [])
    if ledger.sent:
        assert ledger.stages()[-1] == "withdrawn"
        assert len({m.alert_id for m in ledger.sent}) == 1


def test_what_is_imported_alerts_nobody(tmp_path: Path, airports: Airports) -> None:
    """History comes in while live is stopped: its visits are known afterwards, and not news."""
    made = world([STATE_TAIL, OTHER], airports)
    files.write_parquet(tmp_path / "old.parquet", made.positions(60.0))
    with Store(tmp_path / "store") as store:
        import_file(store, tmp_path / "old.parquet")
    ledger, clock = Ledger(), FakeClock(BEGIN + timedelta(hours=6))
    empty = Sky(world([OTHER], airports), 60.0)
    with running(tmp_path / "store", empty, clock, ledger) as runner:
        poll_until(runner, clock, BEGIN + timedelta(hours=7))
        assert stages(runner._state)
    assert ledger.sent == []


def test_a_poll_that_comes_late_is_taken_in(tmp_path: Path, airports: Airports) -> None:
    """Positions of an hour ago, from another feed: the leg is corrected under the id that it had."""
    made = world([OTHER], airports)
    positions = made.positions(60.0)
    first = positions["timestamp"].to_pylist()[0]
    early = positions.filter(pa_less(positions, first + timedelta(minutes=40)))
    ledger, clock = Ledger(), FakeClock(BEGIN + timedelta(minutes=30))
    sky = Sky(world([OTHER], airports), 60.0, shown_s=POLL_S)
    with running(tmp_path, sky, clock, ledger) as runner:
        poll_until(runner, clock, BEGIN + timedelta(minutes=80))
        runner.checkpoint()
        (before,) = tracked(runner.store).values()
        assert before.origin.basis != "observed", "live began when it was in the air"
        late = Snapshot("other", clock.now(), clock.now(), Scope("reported"), early, {})
        seq = runner.store.snapshots.append(late)
        assert seq is not None
        runner._step(seq, late)
        assert "71bf00" in runner.store.marked()
        runner.checkpoint()
        (after,) = tracked(runner.store).values()
        assert runner.store.marked() == {}
    assert (after.leg_id, after.origin.airport, after.origin.basis) == (before.leg_id, "RKSI", "observed")
    assert after.first_seen is not None
    assert before.first_seen is not None
    assert after.first_seen < before.first_seen


def pa_less(positions, limit):  # type: ignore[no-untyped-def]  # pyarrow has no types
    import pyarrow.compute as pc

    return pc.less(positions["timestamp"], pa.scalar(limit, positions.schema.field("timestamp").type))


def over(folder: Path, nm: float, more: str = "") -> Rule:
    """A rule for who flies over the sea half-way from Seoul to Tokyo."""
    (folder / "over.yaml").write_text(
        "rules:\n- {id: over, title: Over the sea, subject: leg, notify: [ledger],\n"
        f"   when: {{position: {{near: {{latitude: 36.67, longitude: 133.5, nm: {nm}}}{more}}}}}}}\n",
        encoding="utf-8",
    )
    (rule,) = read_rules([folder / "over.yaml"], Registry(), airports(), ["ledger"]).rules
    return rule


def test_a_rule_for_positions_looks_where_they_may_be(tmp_path: Path, airports: Airports) -> None:
    """Every few minutes, of all aircraft, at those that may have been in the region since; and at those whose flight is over."""
    rows = [
        {"at": 0, "icao24": name, "latitude": latitude, "longitude": 133.5, "altitude": altitude, "onground": False}
        for name, latitude, altitude in (("000001", 37.0, 30_000.0), ("000002", 45.0, 30_000.0), ("000003", -20.0, 900.0))
    ]
    moment = Snapshot("test", T0, T0, Scope("world"), positions(rows))

    def looked_at(rule: Rule) -> set[int]:
        pipe = Pipeline(airports, Registry(), (rule,))
        state, _ = pipe.step(pipe.start(LEGS.empty_table()), moment)
        return pipe._worth_a_look(state, [1, 2, 3], everything=True)

    assert looked_at(over(tmp_path, 20.0)) == {1}
    assert looked_at(over(tmp_path, 20.0, ", moving: leaving")) == {1}
    low = Rule.model_validate({"id": "low", "title": "Low", "subject": "leg", "when": {"position": {"below": 1000}}})
    assert looked_at(low) == {3}
    event = Rule.model_validate({"id": "e", "title": "E", "subject": "event", "when": {"event": {"kind": "rendezvous"}}})
    assert looked_at(event) == set()


def test_who_was_in_a_region_between_two_polls_is_told_of(tmp_path: Path, airports: Airports) -> None:
    """Ten nautical miles are flown in a minute and a half, and polls come every four; the way in between is taken to be
    straight. The rule names no place, so its title says what it found, and where it went comes second."""
    ledger, sky, clock = Ledger(), Sky(world([OTHER], airports), 60.0, shown_s=POLL_S), FakeClock(BEGIN)
    with running(tmp_path / "store", sky, clock, ledger, rules=[over(tmp_path, 10.0)]) as runner:
        poll_until(runner, clock, BEGIN + timedelta(hours=2))
    assert {m.alert_id for m in ledger.sent} == {ledger.sent[0].alert_id}
    assert ledger.sent[0].headline == "A321 HL9000: Over the sea"
    assert ledger.sent[0].facts[0].startswith("Why: position in 10 nm of 36.67, 133.5 (36.")
