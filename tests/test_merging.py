"""Several feeds at once: the better source of an aircraft counts, the others where it is silent, and none is lost."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flightwatch import backfill
from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.errors import FeedError
from flightwatch.feeds.http import Reply
from flightwatch.feeds.poller import Query
from flightwatch.feeds.sanity import with_all_columns
from flightwatch.imports import import_file
from flightwatch.legs import LegState, Model
from flightwatch.legs.merging import GIVES_WAY_S
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports, airports
from flightwatch.rarity import Baseline
from flightwatch.records import Leg, Scope, legs_from_table
from flightwatch.store import Store, files
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.world import Flight, Receivers, Sky, World
from tests.conftest import T0, positions, real
from tests.examples import tries
from tests.live_runs import Ledger, pipeline, poll_until, running
from tests.test_leg_invariants import derived_with
from tests.test_pipeline import tracked

FLIGHT = Flight("71bf00", "HL9000", "A321", "DMO1", "RKSI", "RKPC", datetime(2024, 3, 1, 12, 0, tzinfo=UTC))
SECOND_US = 1_000_000


@cache
def model() -> Model:
    return Model(airports(), Baseline(airports()), Registry().who, preferred=("good", "other"))


def derived(batches: Sequence[pa.Table], *, restart: bool = False) -> list[Leg]:
    """The legs of batches that come in the order of time, first to last."""
    found = derived_with(model(), batches, restart=restart)
    return sorted(found.values(), key=lambda leg: (leg.first_seen or T0, leg.leg_id))


@cache
def flown(every_s: float, feed: str, seed: int = 7) -> pa.Table:
    """The whole flight as a good feed sees it."""
    return World((FLIGHT,), airports(), holes=(), seed=seed, feeds=(Receivers(feed),)).positions(every_s)


def with_values(table: pa.Table, **columns: object) -> pa.Table:
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    return table


def with_source(table: pa.Table, source: str) -> pa.Table:
    return with_values(table, source=[source] * len(table))


def shifted(table: pa.Table, seconds: float) -> pa.Table:
    """The positions with times that a clock gives which is off."""
    times = np.asarray(table["timestamp"].cast(pa.int64())) + round(seconds * SECOND_US)
    return with_values(table, timestamp=times)


def strayed(table: pa.Table, degrees: float, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    away = {name: np.asarray(table[name]) + rng.uniform(-degrees, degrees, len(table)) for name in ("latitude", "longitude")}
    return with_values(table, **away)


def part(table: pa.Table, begin: float, end: float) -> pa.Table:
    """The positions between two shares of the time."""
    times = np.asarray(table["timestamp"].cast(pa.int64()))
    first, span = times.min(), np.ptp(times)
    return table.filter(pa.array((times >= first + begin * span) & (times <= first + end * span)))


def ends(legs: Sequence[Leg]) -> list[tuple[str | None, str, str | None, str, str]]:
    return [(leg.origin.airport, leg.origin.basis, leg.destination.airport, leg.destination.basis, leg.status) for leg in legs]


WHOLE = [("RKSI", "observed", "RKPC", "observed", "landed")]


# -------------------------------------------------------------------------------------------------------- two feeds, a flight


@dataclass(frozen=True)
class Worse:
    """What is wrong with the second feed: the way it fixes positions, how far they stray (degrees), how far its clock
    is off (s), how often it tells (s), from which share of the flight to which, and which feed's copy it is."""

    source: str
    stray: float
    clock: float
    every_s: float
    begin: float
    end: float
    seed: int

    def table(self) -> pa.Table:
        seen = part(flown(self.every_s, "other", self.seed), self.begin, self.end)
        return shifted(strayed(with_source(seen, self.source), self.stray, self.seed), self.clock)


worse = st.builds(
    Worse,
    st.sampled_from(["mlat", "adsb", "other", "tisb"]),
    st.sampled_from([0.0, 0.002, 0.02]),
    st.sampled_from([0.0, 0.4, 5.0, -5.0, 30.0, -30.0, 60.0]),
    st.sampled_from([5.0, 10.0, 60.0]),
    st.sampled_from([0.05, 0.3, 0.5]),
    st.sampled_from([0.6, 0.8, 0.95]),
    st.sampled_from([7, 8]),  # 7: the very messages that the good feed has
)


def cut(table: pa.Table, cuts: Sequence[float]) -> list[pa.Table]:
    """The rows of each span of time, in any order within it."""
    edges = [0.0, *sorted(cuts), 1.0]
    times = np.asarray(table["timestamp"].cast(pa.int64()))
    at = (times - times.min()) / np.ptp(times)
    return [table.filter(pa.array((at >= a) & ((at < b) | (b == 1.0)))) for a, b in itertools.pairwise(edges)]


@settings(max_examples=tries(40), deadline=None)
@given(worse, st.sampled_from([10.0, 60.0]))
def test_a_worse_feed_beside_a_good_one_makes_no_leg_worse(bad: Worse, every_s: float) -> None:
    """Jitter, a wrong clock, the same messages again: number and ends of the legs are those of the good feed, and the
    leg names both. Where the good feed misses no poll, the other has no part in anything else."""
    good = flown(every_s, "good")
    (alone,), both = derived([good]), derived([pa.concat_tables([bad.table(), good])])
    assert ends([alone]) == ends(both) == WHOLE
    assert set(both[0].feeds) == {"good", "other"}
    if every_s == 10.0:
        assert replace(both[0], feeds=()) == replace(alone, feeds=())


@settings(max_examples=tries(30), deadline=None)
@example(bad=Worse("mlat", 0.02, -30.0, 5.0, 0.05, 0.6, 8), dies=0.5)  # its zigzag before the good one begins
@given(worse, st.floats(0.2, 0.8))
def test_where_the_good_feed_dies_the_other_one_takes_over(bad: Worse, dies: float) -> None:
    """It goes on alone to the end, whatever its clock says, and the pause in which it was not believed is no hole."""
    rest = replace(bad, begin=0.0, end=1.0)
    both = derived([pa.concat_tables([part(flown(10.0, "good"), 0.0, dies), rest.table()])])
    assert ends(both) == WHOLE
    assert set(both[0].feeds) == {"good", "other"}
    assert both[0].gaps == ()
    pause = 2 * rest.every_s + 2  # of the other feed by itself, in which one message in thirty is lost
    assert both[0].longest_gap_s < GIVES_WAY_S + pause


@settings(max_examples=tries(30), deadline=None)
@given(worse, st.floats(0.2, 0.8), st.lists(st.floats(0.01, 0.99), max_size=5), st.booleans())
def test_two_feeds_can_be_cut_anywhere(bad: Worse, dies: float, cuts: list[float], restart: bool) -> None:
    """Chunk and restart invariance, to the last digit and with the feeds named."""
    table = pa.concat_tables([part(flown(60.0, "good"), 0.0, dies), bad.table()])
    assert derived(cut(table, cuts), restart=restart) == derived([table])


@settings(max_examples=tries(20), deadline=None)
@given(worse, st.integers(0, 1000))
def test_the_order_within_a_batch_of_two_feeds_changes_nothing(bad: Worse, seed: int) -> None:
    table = pa.concat_tables([flown(60.0, "good"), bad.table()])
    shuffled = table.take(pa.array(np.random.default_rng(seed).permutation(len(table))))
    assert sorted_feeds(derived([shuffled])) == sorted_feeds(derived([table]))


def sorted_feeds(legs: Sequence[Leg]) -> list[Leg]:
    return [replace(leg, feeds=tuple(sorted(leg.feeds))) for leg in legs]


# ----------------------------------------------------------------------------------------------------------- which is better


def row(at: float, **more: object) -> dict[str, object]:
    """A position of an aircraft that flies north, true if nothing else is said."""
    north = 40.0 + 450 / 3600 * at / 60
    said = {"at": at, "icao24": "a00001", "latitude": round(north, 5), "longitude": 9.0, "altitude": 34_000.0}
    return said | {"groundspeed": 450.0, "track": 0.0, "onground": False, "source": "adsb", "feed": "good"} | more


def way(*rows: dict[str, object]) -> tuple[int, float]:
    """How many positions the leg has, and how far it strays from the meridian (degrees)."""
    state, _ = leg_stage.advance(LegState(), positions(list(rows)), model())
    piece = state.open.pieces
    return int(piece.count.sum()), float(np.nanmax(np.abs(piece.tail[..., 2] - 9.0)))


BETTER_THAN = [
    ({"source": "adsb", "feed": "other"}, {"source": "adsr", "feed": "good"}),
    ({"source": "adsr", "feed": "other"}, {"source": "tisb", "feed": "good"}),
    ({"source": "tisb", "feed": "other"}, {"source": "mlat", "feed": "good"}),
    ({"source": "mlat", "feed": "other"}, {"source": "other", "feed": "good"}),
    ({"source": "mlat", "feed": "other"}, {"source": None, "feed": "good"}),
    ({"source": "mlat", "feed": "other"}, {"source": "adsb", "nic": 0.0, "feed": "good"}),
    ({"source": "mlat", "feed": "other"}, {"source": "adsb", "nac_p": 0.0, "nic": 8.0, "feed": "good"}),
    ({"source": "mlat", "feed": "good"}, {"source": "other", "feed": "good"}),
    ({"source": "adsb", "feed": "other"}, {"source": "adsb", "feed": "good", "received": T0 + timedelta(hours=1)}),
    ({"source": "adsb", "feed": "good"}, {"source": "adsb", "feed": "other"}),
    ({"source": "adsb", "feed": "other"}, {"source": "adsb", "feed": "a-feed-nobody-prefers"}),
    ({"source": "adsb", "feed": "a"}, {"source": "adsb", "feed": "b"}),
]


@pytest.mark.parametrize(("better", "inferior"), BETTER_THAN)
@pytest.mark.parametrize("late_s", [0.0, 0.2, 5.0])
def test_the_better_source_counts(better: dict[str, object], inferior: dict[str, object], late_s: float) -> None:
    """By the way of fixing, then the age at which it came, then the order of the feeds; alone each of them counts."""
    good = [row(10.0 * i, **better) for i in range(12)]
    bad = [row(10.0 * i + late_s, longitude=9.02, **inferior) for i in range(12)]
    assert way(*good, *bad) == way(*bad, *good) == (12, 0.0)
    assert way(*bad) == (12, pytest.approx(0.02))


def test_nothing_rests_on_estimated_positions() -> None:
    estimated = [row(10.0 * i, source="estimated", longitude=9.5, feed="other") for i in range(60)]
    assert way(*(row(10.0 * i) for i in range(12)), *estimated) == (12, 0.0)


def test_a_feed_that_repeats_itself_hides_nobody() -> None:
    """The good feed has lost the aircraft and sends its last place with new times; the other one sees it fly on."""
    lost = [row(10.0 * i) for i in range(12)] + [row(110.0) | {"at": 110.0 + 10.0 * i} for i in range(1, 60)]
    other = [row(10.0 * i + 4.0, source="mlat", feed="other") for i in range(70)]
    count, stray = way(*lost, *other)
    assert count >= 12 + 49, "all of the other's from 90 s after the good one's last"
    state, _ = leg_stage.advance(LegState(), positions([*lost, *other]), model())
    assert state.open.pieces.last[0, 1] == pytest.approx(row(694.0)["latitude"])
    assert stray == 0.0


def test_an_aircraft_on_the_ground_may_say_where_it_is_again() -> None:
    """Standing is news: MLAT of a parked aircraft gives way."""
    parked = {"groundspeed": 0.0, "onground": True, "latitude": 40.0}
    good = [row(30.0 * i, **parked) for i in range(20)]
    bad = [row(30.0 * i + 3, source="mlat", feed="other", **parked | {"latitude": 40.01}) for i in range(20)]
    state, _ = leg_stage.advance(LegState(), positions([*good, *bad]), model())
    assert state.open.pieces.count.tolist() == [20]


def test_positions_in_between_need_not_be_taken_up_again() -> None:
    """The other feed is a little behind: what it says of the time before gives way at once, and nothing is derived
    anew."""
    state, late = LegState(), []
    for i in range(60):
        now = 10.0 * i
        batch = [row(now)] if i % 2 == 0 or i < 3 else [row(now - 15.0, source="mlat", feed="other", longitude=9.01)]
        state, outcome = leg_stage.advance(state, positions(batch), model())
        late += list(outcome.late)
    assert late == []
    (leg,) = leg_stage.unsettled(state, leg_stage.aircraft_of(state), model(), T0)[0xA00001]
    assert leg.feeds == ("good", "other")
    assert leg.positions == 31


# ------------------------------------------------------------------------------------------------------------------------- stores


def legs_in(store: Store) -> list[Leg]:
    backfill.derive(store, Pipeline(airports(), Registry(), exposures=backfill.exposures(store), preferred=("good", "other")))
    found = [replace(leg, revision=0) for leg in legs_from_table(store.legs.table()) if leg.source == "tracked"]
    return sorted(found, key=lambda leg: leg.leg_id)


def imported(folder: Path, tables: dict[str, pa.Table]) -> Store:
    store = Store(folder / "store")
    for feed, table in tables.items():
        files.write_parquet(folder / f"{feed}.parquet", table)
        import_file(store, folder / f"{feed}.parquet", feed=feed)
    return store


def test_real_flights_imported_twice_have_the_same_legs(tmp_path: Path) -> None:
    """The second time every third position strays by a mile and is said to be MLAT, and the clock is 5 s off."""
    table = with_all_columns(pq.read_table(real("tracks/at72_first_half.parquet")))
    names = table["icao24"].unique().slice(100, 20)
    table = table.filter(pc.is_in(table["icao24"], names)).sort_by([("icao24", "ascending"), ("timestamp", "ascending")])
    third = np.arange(len(table)) % 3 == 0
    jitter = np.random.default_rng(1).uniform(-0.02, 0.02, len(table)) * third
    degraded = with_values(
        shifted(table, 5.0),
        latitude=np.asarray(table["latitude"]) + jitter,
        source=np.where(third, "mlat", np.asarray(table["source"].to_pylist(), dtype=object)),
    )
    with imported(tmp_path, {"good": table}) as store:
        alone = legs_in(store)
        files.write_parquet(tmp_path / "again.parquet", degraded)
        import_file(store, tmp_path / "again.parquet", feed="other")
        assert store.snapshots.rows() == 2 * len(table), "the store keeps all"
        both = legs_in(store)
    assert len(alone) >= 20
    assert {leg.feeds for leg in both} == {("good", "other")}
    assert [replace(leg, feeds=()) for leg in both] == [replace(leg, feeds=()) for leg in alone]


def test_a_better_feed_that_comes_later_corrects_the_leg_under_its_id(tmp_path: Path, airports: Airports) -> None:
    """MLAT was all there was; then somebody imports ADS-B of the same flight, which saw it from stand to stand."""
    mlat = part(strayed(with_source(flown(10.0, "other"), "mlat"), 0.02, 1), 0.15, 0.8)
    with imported(tmp_path, {"other": mlat}) as store:
        (before,) = legs_in(store)
        files.write_parquet(tmp_path / "good.parquet", flown(10.0, "good"))
        import_file(store, tmp_path / "good.parquet", feed="good")
        (after,) = legs_in(store)
    assert after.leg_id == before.leg_id
    assert ends([before]) != WHOLE
    assert ends([after]) == WHOLE
    assert after.distance_nm < before.distance_nm + 200
    assert set(after.feeds) == {"good", "other"}


# --------------------------------------------------------------------------------------------------------------------------- live


@dataclass(frozen=True)
class Second:
    """How the second feed is: what it fixes positions with, how old they are when it tells them, how far its clock is
    off, and from which minute to which it is down."""

    kind: str
    old_s: float
    clock_s: float
    down: tuple[int, int]


seconds = st.builds(
    Second,
    st.sampled_from(["adsb_icao", "mlat"]),
    st.sampled_from([0.0, 20.0, 45.0]),
    st.sampled_from([0.0, -20.0, 20.0]),
    st.tuples(st.integers(5, 30), st.integers(20, 50)),
)


def asked(sky: Sky, clock: FakeClock, name: str, like: Second) -> Query:
    def read() -> Reply:
        now = clock.now().timestamp()
        if like.down[0] <= (clock.now() - FLIGHT.takeoff).total_seconds() / 60 < like.down[1]:
            raise FeedError("http_503", f"{name} answered 503")
        shown = sky.entries(now - like.old_s)
        entries = [e | {"type": like.kind, "seen_pos": round(e["seen_pos"] + like.old_s, 1)} for e in shown]  # type: ignore[operator]  # a number
        return Reply(json.dumps({"ac": entries, "now": round((now + like.clock_s) * 1000)}).encode())

    return Query(name, "everything", Scope("world"), 120.0, read, clock.now)


def unnamed(legs: dict[str, Leg]) -> list[Leg]:
    """Legs without their ids: one that late positions made begin sooner keeps the id that it had, and from the store alone
    it would have got another."""
    return [replace(leg, leg_id="", journey_id="") for _, leg in sorted(legs.items())]


@settings(max_examples=tries(8), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(second=Second("adsb_icao", 20.0, -20.0, (5, 20)), preferred=True, kills=[])
@given(second=seconds, preferred=st.booleans(), kills=st.lists(st.integers(1, 60), max_size=2))
def test_live_with_two_feeds_is_backfill(
    second: Second, preferred: bool, kills: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Positions come in the order of the polls, those of the feed that is behind after others that are newer; whatever
    the second feed is like, the flight is one leg, and the same from the store as it was live."""
    folder, clock = tmp_path_factory.mktemp("live"), FakeClock(FLIGHT.takeoff - timedelta(minutes=9))
    sky = Sky(World((FLIGHT,), airports(), holes=(), seed=3), 10.0)
    first = asked(sky, clock, "b", Second("adsb_icao", 0.0, 0.0, (0, 0)))
    other = asked(sky, clock, "a" if preferred else "c", second)
    until = FLIGHT.takeoff + timedelta(minutes=70)
    for minutes in [*sorted(kills), None]:
        with running(folder, sky, clock, Ledger(), rules=[], asked=[first, other]) as runner:
            end = until if minutes is None else FLIGHT.takeoff + timedelta(minutes=minutes)
            poll_until(runner, clock, end)
            if minutes is None:
                runner.checkpoint()
                runner.store.legs.put(runner._pipeline.all_unsettled(runner._state, backfill.newest(runner.store)))
    with Store(folder) as store:
        alive = tracked(store)
        store.catalog.db.executescript("DELETE FROM legs; DELETE FROM frozen_legs;")
        store.drop_checkpoint()
        backfill.derive(store, pipeline(store, []))
        assert unnamed(tracked(store)) == unnamed(alive)
    (leg,) = alive.values()
    assert ends([leg]) == WHOLE
    assert set(leg.feeds) == {first.name, other.name}
