"""The promises of the leg computation: how positions are cut, ordered and interrupted changes nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.feeds.sanity import with_all_columns
from flightwatch.legs import LegState, Model
from flightwatch.legs.rows import ARRAYS, TEXTS, rows_from_table
from flightwatch.places import airports
from flightwatch.rarity import Baseline
from flightwatch.records import Event, Leg, utc
from tests.conftest import T0, positions, real
from tests.examples import tries
from tests.skies import CLEAN, Row, rivals_by_turns, skies


@cache
def model() -> Model:
    return Model(airports(), Baseline(airports()), Registry().who)


def derived(batches: Sequence[pa.Table], *, restart: bool = False) -> dict[str, Leg]:
    return derived_with(model(), batches, restart=restart)


def derived_with(model: Model, batches: Sequence[pa.Table], *, restart: bool) -> dict[str, Leg]:
    """The legs of batches in their order, with the state saved and restored between them if asked for."""
    state, found = LegState(), {}
    for batch in batches:
        state, outcome = leg_stage.advance(state, batch, model)
        assert not outcome.late
        found |= {leg.leg_id: leg for leg in outcome.settled}
        if restart:
            state = leg_stage.from_bytes(leg_stage.to_bytes(state))
    now = T0 + timedelta(days=30)
    for legs in leg_stage.unsettled(state, leg_stage.aircraft_of(state), model, now).values():
        found |= {leg.leg_id: leg for leg in legs}
    return found


def doubted(batches: Sequence[pa.Table], *, restart: bool) -> tuple[Counter[str], dict[str, Event]]:
    """What is not believed of batches in their order, by reason, and the events that come of it."""
    state, counts, events = LegState(), Counter[str](), dict[str, Event]()
    for batch in batches:
        state, outcome = leg_stage.advance(state, batch, model(), ["7001"])
        counts += Counter({**outcome.refused, **outcome.doubted})
        events |= {event.event_id: event for event in outcome.events}
        assert len(state.open.waiting) <= 4 * len(leg_stage.aircraft_of(state)), "what waits is bounded"
        if restart:
            state = leg_stage.from_bytes(leg_stage.to_bytes(state))
    return counts, events


def cut(rows: list[Row], cuts: list[int]) -> list[pa.Table]:
    edges = [0, *sorted(c % (len(rows) + 1) for c in cuts), len(rows)]
    return [positions(rows[a:b]) for a, b in itertools.pairwise(edges)]


@settings(max_examples=tries(40), deadline=None)
@given(skies(), st.lists(st.integers(0, 1000), max_size=6))
def test_cutting_the_positions_changes_nothing(rows: list[Row], cuts: list[int]) -> None:
    """Chunk invariance: one batch or many, the legs are the same to the last digit."""
    assert derived(cut(rows, cuts)) == derived([positions(rows)])


@settings(max_examples=tries(40), deadline=None)
@given(skies(), st.lists(st.integers(0, 1000), min_size=1, max_size=4))
def test_a_restart_between_batches_changes_nothing(rows: list[Row], cuts: list[int]) -> None:
    """Restart invariance: the saved state is all that there is."""
    assert derived(cut(rows, cuts), restart=True) == derived([positions(rows)])


@pytest.mark.slow
@settings(max_examples=tries(100), deadline=None)
@given(skies(), st.lists(st.integers(0, 1000), max_size=6), st.booleans(), st.randoms(use_true_random=False))
def test_neither_cuts_nor_restarts_nor_the_order_change_anything(
    rows: list[Row], cuts: list[int], restart: bool, random: object
) -> None:
    """The three promises at once, in more skies."""
    parts = cut(rows, cuts)
    orders = [pa.array(random.sample(range(len(part)), len(part)), pa.int64()) for part in parts]  # type: ignore[attr-defined]  # a random.Random
    mixed = [part.take(order) for part, order in zip(parts, orders, strict=True)]
    assert derived(mixed, restart=restart) == derived([positions(rows)])


@settings(max_examples=tries(50), deadline=None)
@given(skies(), st.lists(st.integers(0, 1000), max_size=6))
def test_verdicts_and_events_depend_on_the_positions_alone(rows: list[Row], cuts: list[int]) -> None:
    """One batch or many, with restarts in between: the same is refused for the same reasons, and makes the same events."""
    assert doubted(cut(rows, cuts), restart=True) == doubted([positions(rows)], restart=False)


@settings(max_examples=tries(30), deadline=None)
@given(skies(), st.lists(st.integers(0, 1000), max_size=6), st.integers(60, 900))
def test_emergencies_depend_on_the_positions_alone(rows: list[Row], cuts: list[int], every: int) -> None:
    """Codes come and go among rows that are accepted, refused, or wait for a verdict."""
    coded = [row | {"squawk": ("7700", "7600", "7001")[int(float(str(row["at"])) / every) % 3]} for row in rows]
    assert doubted(cut(coded, cuts), restart=True) == doubted([positions(coded)], restart=False)


@settings(max_examples=tries(12), deadline=None)
@given(rivals_by_turns(), st.integers(1, 4))
def test_rivals_by_turns_make_the_same_events_however_they_came_in(rows: list[Row], many: int) -> None:
    """Ghosts, spoofed places and other emitters of one aircraft, so soon after each other that several are one event."""
    batches = [positions(rows[i : i + many]) for i in range(0, len(rows), many)]
    assert doubted(batches, restart=True) == doubted([positions(rows)], restart=False)


@settings(max_examples=tries(60), deadline=None)
@given(skies(actions=CLEAN))
def test_nothing_of_a_clean_sky_is_refused(rows: list[Row]) -> None:
    """Whatever aircraft do that fly, land, vanish and come back."""
    counts, events = doubted([positions(rows)], restart=False)
    assert (counts, events) == (Counter(), {})


def test_the_state_does_not_grow_while_an_aircraft_flies_on() -> None:
    """Later polls leave no more behind than the first hundred."""
    state, sizes = LegState(), []
    for i in range(180):
        row = {
            "at": 10 * i,
            "icao24": "a00001",
            "latitude": 40 + i / 500,
            "longitude": 9.0,
            "altitude": 30_000.0,
            "onground": False,
        }
        state, _ = leg_stage.advance(state, positions([row | {"callsign": f"T{i}", "feed": "sky"}]), model())
        sizes.append(len(leg_stage.to_bytes(state)))
    assert max(sizes[100:]) <= max(sizes[:100]) + 100


@settings(max_examples=tries(30), deadline=None)
@given(skies(), st.randoms(use_true_random=False))
def test_the_order_within_a_batch_changes_nothing(rows: list[Row], random: object) -> None:
    """Order invariance: feeds list aircraft as they like."""
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    assert derived([positions(shuffled)]) == derived([positions(rows)])


DIFFERENT = st.fixed_dictionaries(
    {
        "at": st.sampled_from([0, 10]),
        "icao24": st.sampled_from(["a00001", "a00000"]),
        "feed": st.sampled_from(["two", "one"]),
        "latitude": st.sampled_from([40.0, 40.1]),
        "longitude": st.sampled_from([9.0, 9.1]),
    },
    optional={
        "altitude": st.sampled_from([5000.0, 33_000.0]),
        "groundspeed": st.sampled_from([3.0, 400.0]),
        "track": st.sampled_from([10.0, 200.0]),
        "vertical_rate": st.sampled_from([-900.0, 900.0]),
        "onground": st.booleans(),
        "callsign": st.sampled_from(["ZZ1", "AA1"]),
        "registration": st.sampled_from(["SX-1", "D-A1"]),
        "typecode": st.sampled_from(["IL62", "A320"]),
        "category": st.sampled_from(["A5", "A3"]),
        "source": st.sampled_from(["mlat", "adsb", "tisb"]),
        "nic": st.sampled_from([0.0, 8.0]),
        "received": st.sampled_from([utc(0), utc(1)]),
    },
)
"""Rows of which several may be alike in whatever does not tell them apart at once."""


@settings(max_examples=tries(150), deadline=None)
@given(st.lists(DIFFERENT, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_of_rows_of_one_feed_and_time_the_same_stays_in_whatever_order_they_came(rows: list[Row], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    assert told(positions(shuffled)) == told(positions(rows))


@settings(max_examples=tries(60), deadline=None)
@given(st.lists(DIFFERENT, min_size=2, max_size=6), st.integers(0, 6))
def test_texts_may_be_dictionaries_of_whatever_words(rows: list[Row], at: int) -> None:
    """As stored positions are read: each file has words of its own, and words that no row has."""
    table = positions(rows)
    parts = []
    for part in (table.slice(0, at), table.slice(at)):
        texts = [name for name in part.column_names if pa.types.is_string(part[name].type)]
        coded = {name: part[name].dictionary_encode() if name in texts else part[name] for name in part.column_names}
        parts.append(pa.table(coded))
    assert told(pa.concat_tables(parts)) == told(table)


def told(table: pa.Table) -> list[tuple[object, ...]]:
    """What the rows of a table are in their order, the words in full, and what is missing as nothing."""
    rows = rows_from_table(table)
    words = [rows.text(name, getattr(rows, name)) for name in TEXTS]
    numbers = [[None if v != v else v for v in getattr(rows, name).tolist()] for name in ARRAYS if name not in TEXTS]
    return list(zip(*numbers, *words, strict=True))


def test_what_is_known_of_many_aircraft_stays_when_little_of_it_changes_at_a_time() -> None:
    """Every aircraft is parked, silent for a while, and heard again; they come in four lots, each among those before it."""
    everybody = range(0x400000, 0x400000 + 1_400)
    lots = [everybody[lot::4] for lot in range(4)]
    state, seen = LegState(), set[int]()
    for lot in lots:
        parked = {"latitude": 50.0, "longitude": 8.0, "onground": True, "groundspeed": 0.0}
        rows = [{"at": at, "icao24": f"{number:06x}", **parked} for number in lot for at in (0, 1_000)]
        state, _ = leg_stage.advance(state, positions(rows), model())
        seen.update(lot)
        assert leg_stage.aircraft_of(state) == leg_stage.began_again(state, everybody) == seen
        assert leg_stage.to_bytes(leg_stage.from_bytes(leg_stage.to_bytes(state))) == leg_stage.to_bytes(state)


@settings(max_examples=tries(30), deadline=None)
@given(skies(most_aircraft=2))
def test_aircraft_do_not_influence_each_other(rows: list[Row]) -> None:
    """The legs of one aircraft are the same whoever else is in the sky."""
    together = derived([positions(rows)])
    for icao24 in {row["icao24"] for row in rows}:
        alone = derived([positions([row for row in rows if row["icao24"] == icao24])])
        assert {k: leg for k, leg in together.items() if leg.icao24 == icao24} == alone


@settings(max_examples=tries(30), deadline=None)
@given(skies())
def test_legs_of_an_aircraft_do_not_overlap_and_probabilities_are_probabilities(rows: list[Row]) -> None:
    by_aircraft: dict[str, list[Leg]] = {}
    for leg in derived([positions(rows)]).values():
        by_aircraft.setdefault(leg.icao24 or "", []).append(leg)
        for end in (leg.origin, leg.destination):
            assert sum(c.probability for c in end.candidates) == pytest.approx(1.0, abs=0.01)
            assert end.airport is None or end.probability >= 0.5
            assert end.earliest is None or end.time is None or end.latest is None or end.earliest <= end.time <= end.latest
        assert 0.0 <= leg.landed_probability <= 1.0
    for legs in by_aircraft.values():
        ordered = sorted(legs, key=lambda leg: (leg.first_seen or T0, leg.leg_id))
        for a, b in itertools.pairwise(ordered):
            assert a.last_seen is not None
            assert b.first_seen is not None
            assert a.last_seen <= b.first_seen


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("airline_multileg", 1),
        pytest.param("airline_multileg", 2, marks=pytest.mark.slow),
        pytest.param("surveillance_aeroptic", 1, marks=pytest.mark.slow),
        pytest.param("surveillance_aeroptic", 2, marks=pytest.mark.slow),
    ],
)
def test_real_tracks_can_be_cut_anywhere(name: str, seed: int) -> None:
    """The same on real positions, with restarts."""
    table = with_all_columns(pq.read_table(real(f"tracks/{name}.parquet")))
    times = np.asarray(table["timestamp"].cast(pa.int64()))
    cuts = np.sort(np.random.default_rng(seed).integers(times.min(), times.max(), 25))
    batch = np.searchsorted(cuts, times)
    parts = [table.filter(pa.array(batch == i)) for i in range(len(cuts) + 1)]
    assert derived(parts, restart=True) == derived([table])


def test_a_state_that_is_not_one_is_named(tmp_path: Path) -> None:
    from flightwatch.errors import Damaged

    with pytest.raises(Damaged, match="rebuild"):
        leg_stage.from_bytes(b"not a state")


def test_times_go_through_microseconds_exactly() -> None:
    from flightwatch.records import micros

    for us in (0, 1, 1_709_294_400_123_457, -1):
        assert micros(utc(us)) == us
    assert date(1970, 1, 1) == utc(0).date()
