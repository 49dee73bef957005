"""What a leg is: take-offs, landings, holes, noise, and where it came from and went to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.legs import LegState, Model, ends
from flightwatch.legs.gaps import Edge, Fix, judge_gap
from flightwatch.legs.journeys import journeys, visit
from flightwatch.places import Airports
from flightwatch.places import airports as all_airports
from flightwatch.places.great_circle import destination
from flightwatch.rarity import Baseline
from flightwatch.records import Leg, legs_table
from flightwatch.testing.world import Flight, World
from tests.conftest import T0, positions
from tests.examples import tries
from tests.test_rarity import flown

NAN = float("nan")
SFO = (37.619, -122.375)


@cache
def model() -> Model:
    return Model(all_airports(), Baseline(all_airports()), Registry().who)


def legs_of(rows: list[dict[str, object]], after: timedelta = timedelta(minutes=1)) -> list[Leg]:
    """The legs of some rows, as they stand a while after the last one."""
    table = positions(rows)
    state, outcome = leg_stage.advance(LegState(), table, model())
    now = max(table["timestamp"].to_pylist()) + after
    drawn = leg_stage.unsettled(state, leg_stage.aircraft_of(state), model(), now).values()
    return sorted([*outcome.settled, *(leg for legs in drawn for leg in legs)], key=lambda leg: leg.first_seen or T0)


def ground(at: float, minutes: float, where: tuple[float, float] = SFO, **more: object) -> list[dict[str, object]]:
    """Standing somewhere, a row every 30 s."""
    times = np.arange(at, at + minutes * 60, 30)
    return [
        {"at": t, "icao24": "abc123", "latitude": where[0], "longitude": where[1], "groundspeed": 0.0, "onground": True, **more}
        for t in times.tolist()
    ]


def flying(
    at: float,
    minutes: float,
    start: tuple[float, float],
    course: float,
    speed: float,
    heights: tuple[float, float],
    every: float = 30,
    **more: object,
) -> list[dict[str, object]]:
    """Flying straight for some minutes, the height going from one value to the other."""
    times = np.arange(0, minutes * 60, every)
    lat, lon = destination(start[0], start[1], course, speed * times / 3600)
    height = np.interp(times, [0, minutes * 60], heights)
    return [
        {
            "at": at + t,
            "icao24": "abc123",
            "latitude": a,
            "longitude": o,
            "altitude": h,
            "groundspeed": speed,
            "track": course,
            "onground": False,
            **more,
        }
        for t, a, o, h in zip(times.tolist(), lat.tolist(), lon.tolist(), height.tolist(), strict=True)
    ]


def test_a_seen_take_off_and_landing_are_observed() -> None:
    """From San Francisco to Los Angeles, seen all the way."""
    flight = Flight("abc123", "N1", "A320", "TST1", "KSFO", "KLAX", T0)
    world = World((flight,), all_airports(), holes=())
    state, _ = leg_stage.advance(LegState(), world.positions(10.0), model())
    (leg,) = leg_stage.unsettled(state, leg_stage.aircraft_of(state), model(), T0 + timedelta(hours=3))[0xABC123]
    assert (leg.origin.airport, leg.origin.basis) == ("KSFO", "observed")
    assert (leg.destination.airport, leg.destination.basis) == ("KLAX", "observed")
    assert leg.status == "landed"
    assert leg.origin.time is not None
    assert abs(leg.origin.time - T0) < timedelta(seconds=15)
    assert leg.callsign == "TST1"


def test_a_touch_and_go_is_no_landing() -> None:
    """Wheels on the runway for twenty seconds at 90 kt, and away again."""
    down = flying(0, 4, (37.4, -122.375), 0, 150, (1500, 50))
    touch = [
        {
            "at": 240 + t,
            "icao24": "abc123",
            "latitude": 37.56 + t / 4000,
            "longitude": -122.375,
            "groundspeed": 90.0,
            "onground": True,
        }
        for t in (0, 10, 20)
    ]
    up = flying(270, 5, (37.58, -122.375), 0, 140, (100, 2500))
    assert len(legs_of(down + touch + up)) == 1


def test_a_full_stop_is_a_landing() -> None:
    down = flying(0, 4, (37.4, -122.375), 0, 150, (1500, 50))
    up = flying(900, 5, (37.63, -122.375), 0, 140, (100, 2500))
    assert len(legs_of(down + ground(250, 10) + up)) == 2


def test_taxiing_is_no_leg() -> None:
    """An aircraft that only moves about the field with a wrong flag."""
    taxi = [
        {
            "at": 600 + 10 * i,
            "icao24": "abc123",
            "latitude": 37.62 + i / 5000,
            "longitude": -122.375,
            "groundspeed": 35.0,
            "onground": False,
            "altitude": 25,
        }
        for i in range(20)
    ]
    assert legs_of(ground(0, 10) + taxi + ground(820, 5)) == []


def test_a_ground_flag_in_cruise_is_noise() -> None:
    rows = flying(0, 30, (40.0, -100.0), 90, 450, (35_000, 35_000))
    rows[30] |= {"onground": True, "altitude": None}
    (leg,) = legs_of(rows)
    assert leg.positions >= len(rows) - 1


def test_hours_without_coverage_at_cruise_are_one_leg() -> None:
    """Eight hours over the pole, out of sight: one flight, and the hole is told with its reason."""
    first = flying(0, 40, (55.9, 37.4), 20, 470, (33_000, 35_000))
    lat, lon = destination(55.9, 37.4, 20, 470 * 8 + 470 * 40 / 60)
    later = flying(40 * 60 + 8 * 3600, 40, (float(lat), float(lon)), 20, 470, (35_000, 35_000))
    (leg,) = legs_of(first + later)
    (gap,) = leg.gaps
    assert gap.decision == "flying"
    assert gap.probability > 0.9
    assert "min more than flying on" in gap.reason
    assert leg.longest_gap_s == pytest.approx(8 * 3600, rel=0.01)


@pytest.mark.parametrize("days", [2, 30, 1000])
def test_nothing_flies_for_days(days: float) -> None:
    """Cruising when it was seen last, and cruising when it was seen next, years later."""
    first = flying(0, 30, (40.0, -100.0), 90, 450, (35_000, 35_000))
    later = flying(days * 86_400, 30, (41.0, -90.0), 90, 450, (35_000, 35_000))
    assert len(legs_of(first + later)) == 2


def test_lost_in_descent_and_found_climbing_is_two_legs_with_a_stay() -> None:
    """Nobody saw it at Oakland, but nothing else explains two hours."""
    down = flying(0, 12, (38.2, -122.2), 180, 250, (16_000, 4000))
    up = flying(12 * 60 + 7200, 12, (37.75, -122.2), 0, 250, (4000, 16_000))
    first, second = legs_of(down + up)
    assert first.destination.basis == "inferred"
    assert second.origin.basis == "inferred"
    assert first.destination.airport == second.origin.airport
    assert first.status == "presumed_landed", "nobody saw it on the ground"
    assert 0.5 < first.landed_probability < 1.0


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize("every", [2, 10, 30])
def test_one_bad_speed_in_the_air_is_no_landing(flagged: bool, every: float) -> None:
    """A row that says 0 kt in the climb, with and without a ground flag in the feed."""
    rows = flying(0, 30, (50.05, 8.6), 90, 380, (3000, 30_000), every=every)
    rows = rows if flagged else [r | {"onground": None} for r in rows]
    rows[20] |= {"groundspeed": 0.0}
    (leg,) = legs_of(rows)
    assert leg.destination.basis != "observed"


@pytest.mark.parametrize("known_as", [{"category": "A7"}, {"typecode": "EC35"}, {}])
def test_a_helicopter_that_hangs_in_the_air_has_not_landed(known_as: dict[str, object]) -> None:
    """2,500 ft above an airport, standing still for five minutes, whatever is known of what it is."""
    there = flying(0, 10, (48.2, 11.79), 0, 90, (4000, 4000), **known_as)
    end = (float(there[-1]["latitude"]), float(there[-1]["longitude"]))  # type: ignore[arg-type]  # numbers
    hovering = ground(600, 5, end, onground=False, altitude=4000.0, **known_as)
    away = flying(900, 10, end, 0, 90, (4000, 4000), **known_as)
    (leg,) = legs_of(there + hovering + away)
    assert leg.destination.basis != "observed"


def test_without_a_squat_switch_standing_at_the_field_is_ground_all_the_same() -> None:
    """Light aircraft never say that they are on the ground: slow and at the field's height is enough."""
    down = flying(0, 6, (37.4, -122.375), 0, 100, (1500, 20))
    standing = ground(370, 20, onground=False, altitude=25.0)
    up = flying(1600, 6, SFO, 0, 90, (20, 2500))
    assert [leg.destination.airport for leg in legs_of(down + standing + up)] == ["KSFO", None]


@pytest.mark.parametrize(("hours", "seen_at"), [(7, "UHWW"), (30, "UHWW"), (70, "UUMU")])
def test_a_return_that_nobody_saw_does_not_undo_where_it_went(hours: float, seen_at: str) -> None:
    """Lost on the way to Pyongyang; hours or days later it stands in Vladivostok, or in Moscow: it was there, and came back
    unseen. The leg back is told as one that nobody saw."""
    out = Flight("15521f", "RA-86559", "IL62", "RFF1", "UHWW", "ZKPY", T0)
    next_ = Flight("15521f", "RA-86559", "IL62", "RFF2", seen_at, "ULLI", T0 + timedelta(hours=hours))
    history = [visit_before(i) for i in range(3)]
    judged = Model(all_airports(), Baseline(all_airports(), legs_table(history)), Registry().who)
    seen = World((out, next_), all_airports()).positions(60.0)
    state, _ = leg_stage.advance(LegState(), seen, judged)
    drawn = leg_stage.current(state, leg_stage.aircraft_of(state), judged, T0 + timedelta(hours=hours + 20))[0x15521F]
    went, back, later = drawn
    assert (went.destination.airport, went.destination.basis, went.status) == ("ZKPY", "inferred", "presumed_landed")
    assert went.landed_probability > 0.5
    assert back.positions == 0
    assert (back.origin.airport, back.origin.basis) == ("ZKPY", "inferred")
    assert (back.destination.airport, back.destination.basis) == (seen_at, "inferred")
    assert (later.origin.airport, later.origin.basis) == (seen_at, "observed")
    in_order(drawn)


def visit_before(number: int) -> Leg:
    """A flight to Pyongyang of the year before."""
    return flown(number, 100 + 30 * number, origin="UHWW")


def in_order(legs: Sequence[Leg]) -> None:
    """Each leg lands before the next one takes off, as far as the times go."""
    for earlier, later in pairwise(legs):
        assert earlier.destination.time is not None
        assert later.origin.time is not None
        assert earlier.destination.time <= later.origin.time
        for end in (earlier.destination, later.origin):
            assert end.earliest is not None
            assert end.latest is not None
            assert end.earliest <= end.latest


def test_a_landing_on_the_way_is_believed_where_it_was_heading() -> None:
    """Lost on approach, seen on the stand there hours later: it landed there, and stood."""
    down = flying(0, 12, (38.55, -122.375), 180, 250, (16_000, 2500))
    (leg,) = legs_of(down + ground(8 * 3600, 10))
    assert (leg.destination.airport, leg.destination.basis) == ("KSFO", "inferred")
    assert leg.destination.probability > 0.9


def test_a_ghost_makes_no_leg_and_leaves_the_track_alone() -> None:
    rows = flying(0, 30, (40.0, -100.0), 90, 450, (35_000, 35_000))
    clean = legs_of(rows)
    ghosts = [
        {**rows[20], "at": 605.0, "latitude": 55.6, "longitude": 37.3},
        {**rows[40], "at": 1205.0, "latitude": 0.5, "longitude": 0.5},
    ]
    (leg,) = legs_of(sorted(rows + ghosts, key=lambda r: r["at"]))  # type: ignore[arg-type,return-value]  # numbers
    assert (leg.positions, leg.distance_nm) == (clean[0].positions, clean[0].distance_nm)


def test_a_wrong_first_position_is_given_up() -> None:
    """The track goes on elsewhere: four positions say so, and the first one was the error."""
    rows = flying(60, 20, (40.0, -100.0), 90, 450, (35_000, 35_000))
    wrong = {**rows[0], "at": 0.0, "latitude": -40.0, "longitude": 20.0}
    (leg,) = legs_of([wrong, *rows])
    assert leg.positions == len(rows)


def test_a_repeated_fix_of_a_lost_aircraft_is_not_a_position() -> None:
    rows = flying(0, 10, (40.0, -100.0), 90, 450, (35_000, 35_000))
    stale = [{**rows[-1], "at": float(rows[-1]["at"]) + 30 * i} for i in range(1, 20)]  # type: ignore[arg-type]  # a number
    (leg,) = legs_of(rows + stale)
    assert leg.positions == len(rows)


def test_estimated_positions_make_nothing() -> None:
    rows = flying(0, 30, (40.0, -100.0), 90, 450, (35_000, 35_000))
    assert legs_of(rows + [{**r, "at": 1800 + float(r["at"]), "source": "estimated"} for r in rows])[0].positions == len(rows)  # type: ignore[arg-type]


def test_seen_on_the_ground_elsewhere_is_a_leg_that_nobody_saw() -> None:
    """The whole trip dark (P-881 in August 2024): from and to are known, the way is not."""
    rows = ground(0, 10, (39.224, 125.67)) + ground(12 * 3600, 10, (55.59, 37.26))
    (leg,) = legs_of(rows)
    assert (leg.origin.airport, leg.destination.airport) == ("ZKPY", "UUWW")
    assert leg.positions == 0
    assert leg.gaps
    assert leg.destination.basis == "inferred"


def test_the_end_of_a_track_is_no_landing() -> None:
    """Lost at cruise far from everything: airborne, then lost, then presumed down; never landed."""
    rows = flying(0, 60, (50.0, -30.0), 90, 480, (37_000, 37_000))
    seen = [legs_of(rows, after=timedelta(minutes=m))[0] for m in (5, 45, 24 * 60)]
    assert [leg.status for leg in seen] == ["airborne", "lost", "presumed_landed"]
    assert all(leg.destination.basis != "observed" for leg in seen)
    assert [leg.landed_probability for leg in seen] == sorted(leg.landed_probability for leg in seen)
    assert seen[-1].landed_probability < 1.0


def test_a_landing_off_any_airport_is_seen_and_named_as_such() -> None:
    """Touched down in a salt lake: observed, at no airport."""
    field = (40.80, -119.10)
    down = flying(0, 6, (40.95, -119.10), 180, 120, (6500, 4000))
    (leg,) = legs_of(down + ground(360, 5, field))
    assert leg.destination.basis == "observed"
    nearest = all_airports().near(*field, ends.FIELD_NM)[0]
    if not len(nearest):
        assert leg.destination.airport is None
        assert "no airport" in leg.destination.reason


# ----------------------------------------------------------------------------------------------------------------------- gaps


def _edge(minutes: float, lat: float, lon: float, altitude: float, climb: float, speed: float = 450.0) -> Edge:
    return Edge(Fix(int(minutes * 60e6), lat, lon, altitude, speed, NAN, climb), speed, climb)


@settings(max_examples=tries(100), deadline=None)
@given(st.floats(10, 600), st.floats(200, 520))
def test_flying_on_is_believed_when_time_and_distance_agree(minutes: float, speed: float) -> None:
    lat, lon = destination(60.0, 90.0, 90.0, speed * minutes / 60)
    before, after = _edge(0, 60.0, 90.0, 34_000, 0, speed), _edge(minutes, float(lat), float(lon), 34_000, 0, speed)
    assert judge_gap(before, after, speed, 450, all_airports()).landed < 0.2


@settings(max_examples=tries(100), deadline=None)
@given(st.floats(45, 3000))
def test_a_landing_is_believed_when_nothing_else_explains_the_time(minutes: float) -> None:
    before, after = _edge(0, 55.95, 37.5, 2500, -900, 160), _edge(minutes, 55.96, 37.45, 2500, 1500, 180)
    assert judge_gap(before, after, 450, 450, all_airports()).landed > 0.9


# ----------------------------------------------------------------------------------------------------------------------- ends


@settings(max_examples=tries(60), deadline=None)
@given(st.floats(-60, 70), st.floats(-180, 180), st.floats(0, 40_000), st.floats(-2500, 2500), st.floats(0, 359))
def test_the_posterior_is_a_distribution_with_room_for_unknown(
    lat: float, lon: float, altitude: float, climb: float, course: float
) -> None:
    table: Airports = all_airports()
    fix = Fix(0, lat, lon, altitude, 400.0, course, climb)
    prior = Baseline(table).over("destination", date(2024, 1, 1), aircraft="abc123", operator=None, typecode=None, other=None)
    none = np.zeros(len(table))
    likelihood = ends.look(
        "destination", Edge(fix, 400.0, climb), (fix,), None, "A320", 400.0, 0.0, prior, (none, none, none), table
    )
    result = ends.posterior(likelihood, prior)
    assert np.all(result.probability >= 0)
    assert result.unknown >= ends.UNKNOWN_SHARE - 1e-9
    assert float(result.probability.sum()) + result.unknown == pytest.approx(1.0)
    assert sum(c.probability for c in ends.candidates(result, table)) == pytest.approx(1.0, abs=1e-3)


def test_an_aircraft_that_has_passed_an_airport_is_not_going_there() -> None:
    """Level at 34,000 ft, forty miles beyond Vladivostok and flying away from it."""
    rows = flying(0, 12, (43.6, 132.3), 215, 460, (34_000, 34_000), typecode="IL62")
    (leg,) = legs_of(rows)
    chances = {c.airport: c.probability for c in leg.destination.candidates}
    assert chances.get("UHWW", 0.0) < 0.02


def test_low_and_slow_beside_a_runway_leaves_little_doubt() -> None:
    """Seen last on short final: inferred, not observed, and nearly certain."""
    (leg,) = legs_of(flying(0, 6, (38.61, -77.03), 0, 140, (3000, 150), every=10), after=timedelta(minutes=20))
    assert leg.destination.airport == "KDCA"
    assert leg.destination.basis == "inferred"
    assert leg.destination.probability > 0.9


# ------------------------------------------------------------------------------------------------------------------- journeys


def _hop(origin: str, destination_: str, takeoff_h: float) -> Flight:
    return Flight("15521f", "RA-86559", "IL62", "RFF1", origin, destination_, T0 + timedelta(hours=takeoff_h))


def test_stages_with_short_stays_are_one_journey_and_the_visit_ties_there_and_back() -> None:
    """Moscow, Vladivostok, Pyongyang, and back after two days; nothing is seen inside North Korea."""
    flights = (_hop("UUMU", "UHWW", 0), _hop("UHWW", "ZKPY", 12), _hop("ZKPY", "UHWW", 62), _hop("UHWW", "UUMU", 66))
    state, outcome = leg_stage.advance(LegState(), World(flights, all_airports()).positions(60.0), model())
    state, more = leg_stage.advance(state, positions([]), model())
    drawn = leg_stage.current(state, leg_stage.aircraft_of(state), model(), T0 + timedelta(days=5))[0x15521F]
    assert next(leg.destination.airport for leg in drawn) == "UHWW"
    there, back = journeys(drawn)
    assert (len(there.legs), len(back.legs)) == (2, 2)
    assert there.stops[0].airport == "UUMU"
    found = visit(drawn, there, 0, 2)
    assert found.departure == back.legs[0]
    assert found.arrival == there.legs[1]
    assert found.place.basis != "observed"
    assert not more.settled
    assert {leg.leg_id for leg in outcome.settled} <= {leg.leg_id for leg in drawn}
