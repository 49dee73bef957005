"""The made-up world: what it makes is what it says, and the same again from the same seed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.aircraft.types import performance
from flightwatch.legs import LegState, Model
from flightwatch.places import airports as all_airports
from flightwatch.places.great_circle import distance_nm
from flightwatch.rarity import Baseline
from flightwatch.records import POSITIONS, Leg
from flightwatch.testing.world import (
    CALM,
    OCEANS,
    Flight,
    Hold,
    Jets,
    Receivers,
    Region,
    Spoofing,
    World,
    airway,
    diverted,
    landing,
    landing_at,
    low_level,
    onward,
    path,
    polls,
    true_journeys,
    write_truth,
)
from flightwatch.testing.world.coverage import box, floors
from flightwatch.testing.world.winds import ground_speed
from tests.conftest import T0
from tests.examples import tries

TABLE = all_airports()
PLAIN = Flight("3c0001", "D-TEST", "A320", "TST1", "EDDF", "LEMD", T0)
SOMEWHERE = ("EDDF", "KSFO", "NZAA", "PHNL", "UHWW", "SBGR", "FAOR", "ENSB")


def seen(*flights: Flight, every_s: float = 10.0, **world: object) -> pa.Table:
    return World(flights, TABLE, **({"holes": ()} | world)).positions(every_s)  # type: ignore[arg-type]  # fields of a world


def legs_of(table: pa.Table) -> list[Leg]:
    """The legs of some positions, a day later, without any history."""
    model = Model(TABLE, Baseline(TABLE), Registry().who)
    state, outcome = leg_stage.advance(LegState(), table, model)
    now = max(table["timestamp"].to_pylist()) + timedelta(days=1)
    drawn = leg_stage.unsettled(state, leg_stage.aircraft_of(state), model, now).values()
    return sorted([*outcome.settled, *(leg for legs in drawn for leg in legs)], key=lambda leg: leg.first_seen or T0)


# ------------------------------------------------------------------------------------------------------------------- one flight


@settings(max_examples=tries(40), deadline=None)
@given(
    st.sampled_from(SOMEWHERE),
    st.sampled_from(SOMEWHERE),
    st.sampled_from(["A320", "B77W", "AT76", "C172", "EC35", "GLF6", "IL62"]),
    st.floats(0, 120),
    st.integers(0, 2),
    st.one_of(st.none(), st.builds(Hold, st.floats(15, 60), st.floats(5, 40))),
)
def test_a_flight_is_one_that_its_type_could_fly(
    origin: str, there: str, typecode: str, wind_kt: float, missed: int, hold: Hold | None
) -> None:
    """Continuous, from airport to airport, no faster than the type and the wind, no higher than it goes."""
    if origin == there:
        return
    flight = replace(PLAIN, origin=origin, destination=there, typecode=typecode, missed=missed, hold=hold)
    course = path(flight, TABLE, 20.0, Jets(wind_kt))
    steps = distance_nm(course.latitude[:-1], course.longitude[:-1], course.latitude[1:], course.longitude[1:])
    fastest = performance(typecode).cruise_kt + 1.1 * wind_kt
    assert float(steps.max()) <= fastest * 20 / 3600 * 1.02 + 0.01
    assert float(course.groundspeed.max()) <= fastest
    for ident, end in ((origin, 0), (there, -1)):
        airport = TABLE.get(ident)
        assert airport is not None
        assert float(distance_nm(airport.latitude, airport.longitude, course.latitude[end], course.longitude[end])) < 1.0
        assert abs(course.altitude[end] - airport.elevation_ft) <= 25
    assert np.abs(course.vertical_rate).max() < 6000
    assert np.all(np.diff(course.onground.astype(int)).nonzero()[0].shape == (2,))


def test_a_flight_east_is_faster_than_back() -> None:
    """The wind triangle: along with the jet, against it, and slowed by a crosswind that it holds its track against."""
    there = replace(PLAIN, origin="KJFK", destination="EGLL", typecode="B772")
    back = replace(there, origin="EGLL", destination="KJFK")
    jet = Jets(90.0, seed=2)
    with_wind, against, calm = (landing(f, TABLE, w) - T0 for f, w in ((there, jet), (back, jet), (there, CALM)))
    assert with_wind < calm < against
    across = ground_speed(np.array([400.0]), np.array([0.0]), np.array([100.0]), np.array([0.0]))
    assert across[0] == pytest.approx(np.sqrt(400**2 - 100**2))


def test_a_hold_costs_its_time_at_one_height() -> None:
    held = replace(PLAIN, hold=Hold(30.0, 20.0))
    assert landing(held, TABLE) - landing(PLAIN, TABLE) == pytest.approx(timedelta(minutes=20), abs=timedelta(minutes=3))
    course = path(held, TABLE)
    level = (course.altitude == np.round(course.altitude[np.searchsorted(course.seconds, course.aloft_s - 900)] / 25) * 25).sum()
    assert level * 10 > 600


def test_a_missed_approach_comes_down_twice_and_is_one_leg() -> None:
    """Down to two hundred feet over the runway, round once more, and down."""
    course = path(replace(PLAIN, missed=1), TABLE)
    field = TABLE.get("LEMD")
    assert field is not None
    late = course.seconds > course.aloft_s - 3600
    low = late & (course.altitude < field.elevation_ft + 500) & ~course.onground
    assert len(np.flatnonzero(np.diff(low.astype(int)) == 1)) == 2
    (leg,) = legs_of(seen(replace(PLAIN, missed=1)))
    assert (leg.origin.airport, leg.destination.airport, leg.destination.basis) == ("EDDF", "LEMD", "observed")


def test_a_diversion_lands_elsewhere_and_a_return_where_it_began() -> None:
    assert [leg.destination.airport for leg in legs_of(seen(diverted(PLAIN, TABLE, 0.7, "LFBO")))] == ["LFBO"]
    assert [leg.destination.airport for leg in legs_of(seen(diverted(PLAIN, TABLE, 0.2, "EDDF")))] == ["EDDF"]


def test_an_airway_strays_from_the_great_circle_and_not_far() -> None:
    points = airway("EDDF", "KJFK", TABLE)
    assert len(points) > 8
    assert points == airway("EDDF", "KJFK", TABLE)
    assert points != airway("EDDF", "KJFK", TABLE, number=1)
    flown = replace(PLAIN, destination="KJFK")
    direct, bent = ((landing(f, TABLE) - T0).total_seconds() for f in (flown, replace(flown, over=points)))
    assert 1.0 < bent / direct < 1.1


def test_the_next_flight_leaves_after_its_stay_and_a_landing_can_be_set() -> None:
    second = onward(PLAIN, TABLE, timedelta(minutes=50), "LFPG", "TST2")
    assert second.takeoff - landing(PLAIN, TABLE) == timedelta(minutes=50)
    assert (second.origin, second.callsign) == ("LEMD", "TST2")
    assert landing(landing_at(PLAIN, TABLE, T0), TABLE) == T0


# ---------------------------------------------------------------------------------------------------------------- what is seen


def test_the_same_seed_makes_the_same_world_and_another_one_another() -> None:
    noisy = {"feeds": (Receivers(jitter_nm=0.3, repeated=0.1, late=0.1),)}
    assert seen(PLAIN, seed=1, **noisy).equals(seen(PLAIN, seed=1, **noisy))
    assert not seen(PLAIN, seed=1, **noisy).equals(seen(PLAIN, seed=2, **noisy))
    assert seen(PLAIN).schema.equals(POSITIONS)


def test_a_floor_on_a_grid_is_the_regions_but_for_their_edges() -> None:
    regions = (low_level(5000.0, ["EDDF"], TABLE), *OCEANS)
    rng = np.random.default_rng(1)
    lat, lon, height = rng.uniform(-60, 70, 5000), rng.uniform(-180, 180, 5000), rng.uniform(0, 40_000, 5000)
    exact = ~np.any([r.covers(lat, lon, height) for r in regions], axis=0)
    assert np.mean(floors(regions).hears(lat, lon, height) == exact) > 0.99
    assert floors(()).hears(lat, lon, height).all()


def test_nobody_hears_what_flies_low_but_near_receivers() -> None:
    """Seen on the ground where somebody listens, and from 5,000 ft on elsewhere."""
    world = World((PLAIN,), TABLE, (low_level(5000.0, ["EDDF"], TABLE),))
    (true,) = world.truth(10.0)
    assert true.origin_observable
    assert not true.destination_observable
    assert true.unseen_after_s is not None
    assert 120 < true.unseen_after_s < 900
    (leg,) = legs_of(world.positions(10.0))
    assert (leg.origin.basis, leg.destination.basis) == ("observed", "inferred")


def test_an_outage_is_silent_and_another_feed_fills_it() -> None:
    out = ((T0 + timedelta(minutes=30), T0 + timedelta(minutes=70)),)
    alone, both = (Receivers("one", outages=out),), (Receivers("one", outages=out), Receivers("two"))
    quiet = [t for t in seen(PLAIN, feeds=alone)["timestamp"].to_pylist() if out[0][0] < t < out[0][1]]
    assert not quiet
    assert {leg.feeds for leg in legs_of(seen(PLAIN, feeds=both))} == {("one", "two")}
    (leg,) = legs_of(seen(PLAIN, feeds=alone))
    assert [gap.decision for gap in leg.gaps] == ["flying"]


def test_each_feed_has_its_cadence() -> None:
    """One hears every ten seconds, another every four minutes; the leg is one."""
    table = seen(PLAIN, feeds=(Receivers("often", lost=0.0), Receivers("seldom", lost=0.0, every_s=240.0)))
    counts = {row["values"]: row["counts"] for row in pc.value_counts(table["feed"]).to_pylist()}
    assert counts["often"] == pytest.approx(24 * counts["seldom"], rel=0.05)
    (leg,) = legs_of(table)
    assert leg.feeds == ("often", "seldom")


def test_rows_that_come_twice_or_late_come_so() -> None:
    noisy = seen(PLAIN, feeds=(Receivers(lost=0.0, repeated=0.2, late=0.1, late_s=900.0),))
    once = seen(PLAIN, feeds=(Receivers(lost=0.0),))
    assert len(noisy) == pytest.approx(1.2 * len(once), rel=0.05)
    delay = pc.subtract(noisy["received"].cast(pa.int64()), noisy["timestamp"].cast(pa.int64())).to_numpy()
    assert np.mean(delay > 800e6) == pytest.approx(0.1, abs=0.05)
    parts = list(polls(noisy, timedelta(minutes=4)))
    assert sum(len(part) for _, part in parts) == len(noisy)
    assert all(a[0] < b[0] for a, b in pairwise(parts))
    assert any(min(part["timestamp"].to_pylist()) < at - timedelta(minutes=10) for at, part in parts)


def test_mlat_strays_and_the_leg_is_the_same() -> None:
    """Places half a mile off, without heights from the transponder's own position."""
    (plain,), (strayed,) = legs_of(seen(PLAIN)), legs_of(seen(PLAIN, feeds=(Receivers(source="mlat", jitter_nm=0.4),)))
    assert strayed.destination.airport == plain.destination.airport
    assert strayed.distance_nm == pytest.approx(plain.distance_nm, rel=0.2)


def test_spoofed_aircraft_are_shown_elsewhere_in_circles() -> None:
    """Everything within 150 nm of a place reports to be at another one, for half an hour."""
    false = Spoofing(46.5, 4.0, 150.0, (55.6, 37.3), T0, T0 + timedelta(hours=2))
    table = seen(PLAIN, spoofing=(false,))
    away = distance_nm(55.6, 37.3, table["latitude"].to_numpy(), table["longitude"].to_numpy()) < 4
    assert 30 < away.sum() < len(table)
    assert (
        World((PLAIN,), TABLE, (), spoofing=(false,)).truth(10.0)[0].positions
        < World((PLAIN,), TABLE, ()).truth(10.0)[0].positions
    )


def test_a_spoofed_stretch_makes_no_landing_where_it_is_shown() -> None:
    false = Spoofing(46.5, 4.0, 150.0, (55.6, 37.3), T0, T0 + timedelta(hours=2))
    legs = legs_of(seen(PLAIN, spoofing=(false,)))
    assert not [leg for leg in legs if leg.destination.airport == "UUWW" and leg.destination.basis == "observed"]
    assert [leg.destination.airport for leg in legs][-1] == "LEMD"


def test_a_spoofed_stretch_is_no_way_that_was_flown() -> None:
    """Twenty minutes of circles over Moscow in a flight from Frankfurt to Madrid."""
    false = Spoofing(46.5, 4.0, 150.0, (55.6, 37.3), T0, T0 + timedelta(hours=2))
    (plain,), (spoofed,) = legs_of(seen(PLAIN)), legs_of(seen(PLAIN, spoofing=(false,)))
    assert spoofed.distance_nm == pytest.approx(plain.distance_nm, rel=0.2)


@pytest.mark.parametrize(
    ("origin", "there", "typecode"),
    [
        ("KJFK", "EGLL", "B772"),
        ("NZAA", "KSFO", "B789"),
        ("RJTT", "KLAX", "B77W"),
        ("SBGR", "FAOR", "A333"),
        ("KLAX", "NFFN", "B789"),
    ],
)
def test_an_ocean_is_one_leg_with_a_hole_whichever_way_the_wind_blows(origin: str, there: str, typecode: str) -> None:
    """Hours out of sight, across the antimeridian and the equator too."""
    for a, b in ((origin, there), (there, origin)):
        world = World((replace(PLAIN, origin=a, destination=b, typecode=typecode),), TABLE, OCEANS, wind=Jets(100.0))
        (leg,) = legs_of(world.positions(60.0))
        assert (leg.origin.airport, leg.destination.airport) == (a, b)
        assert leg.longest_gap_s > 20 * 60
        assert {gap.decision for gap in leg.gaps} == {"flying"}


@pytest.mark.parametrize(("before_min", "after_min"), [(-30, 75), (-20, 65), (-60, 100)])
def test_an_outage_over_a_turnaround_hides_a_landing_and_makes_none_observed(before_min: float, after_min: float) -> None:
    """The feed is out from before the landing until after the next take-off: two legs, and what was not seen is not
    said to have been."""
    second = onward(PLAIN, TABLE, timedelta(minutes=45), "LFPG", "TST2")
    down = landing(PLAIN, TABLE)
    out = (down + timedelta(minutes=before_min), down + timedelta(minutes=after_min))
    first, then = legs_of(seen(PLAIN, second, feeds=(Receivers(outages=(out,)),)))
    assert first.destination.basis != "observed"
    assert then.origin.basis != "observed"
    assert first.destination.candidates[0].airport == "LEMD"
    assert (first.origin.airport, then.destination.airport) == ("EDDF", "LFPG")


@pytest.mark.parametrize("minutes", [pytest.param(1, marks=pytest.mark.slow), 7, 60])
def test_noise_cut_into_polls_makes_the_same_legs(minutes: float) -> None:
    """Repeated rows and strayed places of two feeds, poll by poll and all at once."""
    second = onward(PLAIN, TABLE, timedelta(minutes=45), "LFPG", "TST2")
    feeds = (Receivers("one", repeated=0.1, lost=0.2), Receivers("two", source="mlat", jitter_nm=0.3, lost=0.5))
    table = seen(PLAIN, second, feeds=feeds, every_s=20.0)
    model = Model(TABLE, Baseline(TABLE), Registry().who)
    state = LegState()
    for _, part in polls(table, timedelta(minutes=minutes)):
        state, _ = leg_stage.advance(state, part, model)
    now = max(table["timestamp"].to_pylist()) + timedelta(days=1)
    drawn = leg_stage.unsettled(state, leg_stage.aircraft_of(state), model, now).values()
    assert [leg for legs in drawn for leg in legs] == legs_of(table)


# -------------------------------------------------------------------------------------------------------------------- the truth


def test_the_truth_is_written_as_tables_of_known_flights_are(tmp_path: Path) -> None:
    """With the airports that nobody could see blank, or in full."""
    second = onward(PLAIN, TABLE, timedelta(hours=2), "LFPG", "TST2")
    third = onward(second, TABLE, timedelta(hours=20), "EDDF", "TST3")
    world = World((third, PLAIN, second), TABLE, (Region(box(38.0, -6.0, 42.0, 0.0), 3000.0),))
    legs = world.truth(30.0)
    assert [leg.callsign for leg in legs] == ["TST1", "TST2", "TST3"]
    assert [len(chain) for chain in true_journeys(legs)] == [2, 1]
    write_truth(tmp_path / "truth.csv", legs, blank_unseen=True)
    truth = pd.read_csv(tmp_path / "truth.csv", keep_default_na=False)
    assert truth[["icao24", "origin", "destination"]].to_numpy().tolist() == [
        ["3c0001", "EDDF", ""],
        ["3c0001", "", "LFPG"],
        ["3c0001", "LFPG", "EDDF"],
    ]
    assert datetime.fromisoformat(truth["takeoff_time"][0]) == T0
    write_truth(tmp_path / "truth.csv", legs)
    assert pd.read_csv(tmp_path / "truth.csv")["destination"].tolist() == ["LEMD", "LFPG", "EDDF"]


def test_a_stop_that_nobody_saw_is_found_between_two_flights() -> None:
    """An hour on the ground in Madrid, both ends of it below what anybody hears."""
    second = onward(PLAIN, TABLE, timedelta(hours=1), "LFPG", "TST2")
    world = World((PLAIN, second), TABLE, (Region(box(38.0, -6.0, 42.0, 0.0), 10_000.0),))
    first, then = legs_of(world.positions(10.0))
    assert first.destination.basis == then.origin.basis == "inferred"
    assert first.destination.candidates[0].airport == "LEMD"
    assert first.journey_id == then.journey_id
