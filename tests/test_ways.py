"""The ways of earlier flights: thinned the same however the rows came in, and a help in saying where a flight goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.legs import LegState, Model, ways
from flightwatch.legs.rows import MINUTE, SECOND, changes, rows_from_table
from flightwatch.places import Airports
from flightwatch.places.great_circle import bearing_deg, distance_nm
from flightwatch.rarity import Baseline
from flightwatch.rarity.flown import AT_ONCE, COMPARED, flown
from flightwatch.records import WAYPOINT, Leg, legs_table
from tests.conftest import T0, positions
from tests.examples import tries
from tests.test_legs import flying, ground, legs_of


def track(times: list[float]) -> list[dict[str, object]]:
    return [
        {"at": t, "icao24": "abc123", "latitude": 10 + t / 1e5, "longitude": 20.0, "altitude": 30_000.0, "onground": False}
        for t in times
    ]


def way_of(times: list[float]) -> ways.Waypoints:
    rows = rows_from_table(positions(track(times)))
    minutes = np.flatnonzero(changes(rows.time // MINUTE))
    return ways.thinned(rows, minutes, np.array([0]), np.array([len(rows)]))


@settings(max_examples=tries(60), deadline=None)
@given(st.lists(st.integers(0, 60_000), min_size=2, max_size=80, unique=True), st.integers(1, 79))
def test_two_parts_of_a_way_are_the_way_of_the_whole(seconds: list[int], cut: int) -> None:
    times = [float(t) for t in sorted(seconds)]
    cut = 1 + cut % (len(times) - 1)
    whole = way_of(times)
    time = rows_from_table(positions(track(times))).time
    before, ended = time[cut - 1 : cut], time[-1:]
    parts = way_of(times[:cut]), way_of(times[cut:])
    grown = ways.joined(*parts, before, ended) if ways.grow(before, ended).all() else parts[0]
    assert ways.packed(grown) == ways.packed(whole)
    assert ways.together(*(ways.packed(p)[0] for p in parts), int(ended[0])) == ways.packed(whole)[0]


def test_a_way_keeps_the_first_position_of_each_stretch_and_never_too_many() -> None:
    short, long = (np.frombuffer(ways.packed(way_of(np.arange(0, end, 10.0).tolist()))[0], WAYPOINT) for end in (3600, 50_000))
    begin = int(T0.timestamp())
    assert np.diff(short["time"]).tolist() == [300] * 11
    assert short["time"][0] == begin
    assert 12 <= len(long) <= ways.MOST
    assert rows_from_table(positions(track([0.0]))).time[0] == begin * SECOND


BEND = (47.5, 11.0)
"""Where flights from Munich turn, to the south-west or to the south-east."""


def south(to: tuple[float, float], minutes: float, icao24: str = "abc123") -> list[dict[str, object]]:
    """From Munich to the bend, and from there towards a place, down to 1,500 ft by the end."""
    munich = (48.354, 11.786)
    first = min(float(distance_nm(*munich, *BEND)) / 300 * 60, minutes)
    rows = ground(0, 10, munich)
    rows += flying(600, first, munich, float(bearing_deg(*munich, *BEND)), 300, (2000, 24_000), every=60)
    onwards = float(bearing_deg(*BEND, *to))
    rows += flying(600 + first * 60, minutes - first, BEND, onwards, 300, (24_000, 1500), every=60)
    return [row | {"icao24": icao24} for row in rows]


def known(numbers: int, to: tuple[float, float], airports: Airports) -> list[Leg]:
    """Earlier flights that went that way, seen on the ground at both ends."""
    made = []
    for number in range(numbers):
        icao24 = f"bb000{number}"
        minutes = float(distance_nm(48.354, 11.786, *BEND) + distance_nm(*BEND, *to)) / 300 * 60
        rows = south(to, minutes, icao24=icao24) + ground(620 + minutes * 60, 10, to, icao24=icao24)
        (leg,) = legs_of(rows)
        back = timedelta(days=number + 2)
        moved = {
            end: replace(getattr(leg, end), **{f: getattr(getattr(leg, end), f) - back for f in ("time", "earliest", "latest")})
            for end in ("origin", "destination")
        }
        first, last = leg.first_seen, leg.last_seen
        assert first is not None
        assert last is not None
        made.append(replace(leg, leg_id=f"{leg.leg_id}-{number}", first_seen=first - back, last_seen=last - back, **moved))
    return made


VERONA = (45.396, 10.888)


def lost_on_the_way(history: list[Leg], airports: Airports) -> dict[str, float]:
    """Where a flight goes that was lost on the course to the bend, as far as this history tells."""
    table = positions(south(VERONA, 9))
    model = Model(airports, Baseline(airports, legs_table(history)), Registry().who)
    state, _ = leg_stage.advance(LegState(), table, model)
    drawn = leg_stage.unsettled(state, leg_stage.aircraft_of(state), model, max(table["timestamp"].to_pylist()))
    ((leg,),) = drawn.values()
    return {c.airport: c.probability for c in leg.destination.candidates}


def test_who_flew_this_way_before_tells_where_it_leads(airports: Airports) -> None:
    """The course before a bend points elsewhere; five earlier flights that took it all went to Verona."""
    before, after = lost_on_the_way([], airports), lost_on_the_way(known(5, VERONA, airports), airports)
    assert before.get("LIPX", 0.0) < 0.1
    assert after["LIPX"] > 0.7


def test_flights_that_came_another_way_are_no_evidence_for_this_one(airports: Airports) -> None:
    """As many flights to Verona count for less on a way that none of them took."""
    history = known(5, VERONA, airports)
    elsewhere = [replace(leg, way=moved(leg.way, 2.0)) for leg in history]
    assert lost_on_the_way(elsewhere, airports).get("LIPX", 0.0) < lost_on_the_way(history, airports)["LIPX"]


def moved(way: bytes, east_deg: float) -> bytes:
    points = np.frombuffer(way, WAYPOINT).copy()
    points["longitude"] += east_deg
    return points.tobytes()


@pytest.mark.parametrize("longitude", [179.9, -179.9, 0.0])
def test_a_way_is_found_across_the_date_line(longitude: float, airports: Airports) -> None:
    points = np.zeros(2, WAYPOINT)
    points["time"], points["latitude"], points["altitude"] = [1_700_000_000, 1_700_000_300], 10.0, 30_000.0
    points["longitude"] = [179.7, -179.8] if longitude else [-0.2, 0.3]
    nowhere = np.full((1, 2, 3), np.nan)
    found = flown([points.tobytes()], nowhere, np.zeros((1, 2), bool)).near(10.0, longitude, 30_000.0, 90.0)
    assert found[0].tolist() == [0]
    assert found[1][0] > 0.9
    assert found[2][0] == 0.0


def test_a_flight_follows_one_of_the_last_on_its_route_however_many_routes_there_are() -> None:
    """Ways A and B lie a degree apart: who flew A after nobody but B for long took a new way."""
    flights = "ABAA" + COMPARED * "B" + "A"
    told = [0.0, 1.0, 1.0, *[1.0] * COMPARED, 0.0]
    routes = AT_ONCE // len(flights) + 3
    points = np.zeros((2, 2), WAYPOINT)
    points["time"], points["longitude"], points["altitude"] = [1_700_000_000, 1_700_000_300], [0.0, 0.5], 30_000.0
    points["latitude"] = [[10.0], [11.0]]
    ways_flown = {"A": points[0].tobytes(), "B": points[1].tobytes()}
    legs = len(flights) * routes
    history = flown([ways_flown[which] for which in flights * routes], np.full((legs, 2, 3), np.nan), np.zeros((legs, 2), bool))
    route = np.repeat(np.arange(-1, routes - 1), len(flights))
    found = history.follows(route).reshape(routes, len(flights))
    assert np.isnan(found[0]).all()  # no route is known
    assert np.isnan(found[1:, 0]).all()
    assert (found[1:, 1:] == told).all()
    mine = history.near(10.0, 0.25, 30_000.0, 90.0, np.array([0, 1, 2, len(flights)]))
    assert mine[0].tolist() == [0, 2, len(flights)]  # of those that were asked about, those on way A


def test_what_nobody_saw_of_a_way_says_nothing_either_way() -> None:
    """A hole in the track of an earlier flight: it may have come by here, or not."""
    points = np.zeros(4, WAYPOINT)
    points["time"], points["latitude"] = [1_700_000_000, 1_700_000_300, 1_700_010_000, 1_700_010_300], 10.0
    points["longitude"], points["altitude"] = [0.0, 0.5, 20.0, 20.5], 30_000.0
    legs, seen, unseen = flown([points.tobytes()], np.full((1, 2, 3), np.nan), np.zeros((1, 2), bool)).near(
        10.0, 10.0, 30_000.0, 90.0
    )
    assert (legs.tolist(), seen.tolist()) == ([0], [0.0])
    assert unseen[0] > 0.9
