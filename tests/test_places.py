"""Airports by any code and by place, and the geometry under all of it."""

from __future__ import annotations

import numpy as np
import pytest
from geopy.distance import great_circle as geopy_great_circle
from hypothesis import given
from hypothesis import strategies as st

from flightwatch.places import Airports, country_name, outlines, shown_distance_nm
from flightwatch.places.great_circle import (
    EARTH_RADIUS_NM,
    angles,
    bearing_deg,
    bearings_deg,
    between,
    destination,
    distance_nm,
    levels,
    middle,
    steps_nm,
    turn_deg,
    unit_vector,
)

LATITUDES, LONGITUDES = st.floats(-89, 89), st.floats(-180, 180)


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_distance_agrees_with_geopy(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    """The array formula gives what geopy gives on the same sphere."""
    expected = geopy_great_circle((lat1, lon1), (lat2, lon2)).nautical
    assert float(distance_nm(lat1, lon1, lat2, lon2)) == pytest.approx(expected, rel=1e-5, abs=1e-3)


@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=8), st.sampled_from([0.001, 0.1, 1.0]))
def test_steps_along_a_way_are_the_distances_between_its_points(points: list[tuple[float, float]], share: float) -> None:
    """Short ones by series, long ones by the formula: across the poles and the antimeridian, too."""
    lat, lon = np.array(points).T
    lat, lon = lat[0] + share * (lat - lat[0]), lon[0] + share * (lon - lon[0])
    steps = steps_nm(lat, lon, np.diff(lat, prepend=lat[0]), np.diff(lon, prepend=lon[0]), levels(lat))
    assert steps[0] == 0.0
    assert steps[1:] == pytest.approx(distance_nm(lat[:-1], lon[:-1], lat[1:], lon[1:]), rel=2e-9, abs=1e-6)


@given(LATITUDES, LONGITUDES, st.floats(0, 360), st.floats(1, 5000))
def test_going_there_takes_as_far_as_it_is(lat: float, lon: float, course: float, way: float) -> None:
    """`destination` and `distance_nm` are inverse to each other."""
    lat2, lon2 = destination(lat, lon, course, way)
    assert float(distance_nm(lat, lon, lat2, lon2)) == pytest.approx(way, rel=1e-6, abs=1e-6)


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_points_between_lie_on_the_way(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    """A point halfway is as far from one end as from the other, across the antimeridian, too."""
    whole = float(distance_nm(lat1, lon1, lat2, lon2))
    if whole > 10_000:  # nearly opposite points have many ways between them
        return
    lat, lon = between(lat1, lon1, lat2, lon2, 2)
    halves = [float(distance_nm(lat[1], lon[1], a, o)) for a, o in ((lat1, lon1), (lat2, lon2))]
    assert halves == pytest.approx([whole / 2, whole / 2], rel=1e-5, abs=1e-2)
    assert float(distance_nm(lat[1], lon[1], *middle(lat1, lon1, lat2, lon2))) == pytest.approx(0, abs=1e-2)


@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_vectors_tell_the_same_as_degrees(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    """Distance and direction between two points; of nearly the same and of opposite points there is no telling a direction."""
    here, there = unit_vector(lat1, lon1), unit_vector(lat2, lon2)
    far = float(distance_nm(lat1, lon1, lat2, lon2))
    assert float(angles(there[None, :], here)[0]) * EARTH_RADIUS_NM == pytest.approx(far, abs=1e-3)
    if 1 < far < 10_000:
        assert float(turn_deg(bearings_deg(here, there), bearing_deg(lat1, lon1, lat2, lon2))) == pytest.approx(0, abs=1e-4)


def test_bearings_and_turns() -> None:
    """East is 90; a turn across north is small."""
    assert float(bearing_deg(0, 0, 0, 1)) == pytest.approx(90)
    assert float(turn_deg(350, 10)) == pytest.approx(20)


@pytest.mark.parametrize(
    ("code", "ident"),
    [("ZKPY", "ZKPY"), ("FNJ", "ZKPY"), ("fnj", "ZKPY"), ("KP-0020", "KP-0020"), ("BQK", "KBQK"), ("MOW", "MOW")],
)
def test_codes_of_every_kind_are_found(airports: Airports, code: str, ident: str) -> None:
    """ICAO, IATA, local and city codes, and idents of fields that have no other."""
    assert airports.ident[airports.readings(code)[0]] == ident


def test_a_list_decides_what_an_ambiguous_code_means(airports: Airports) -> None:
    """CRQ is Caravelas to the world and Carlsbad to an American list."""
    assert airports.resolve(["CRQ", "BFI", "PDX", "TEB"])["CRQ"] == "KCRQ"
    assert airports.resolve(["CRQ", "SBGR", "SBSP", "SBRJ"])["CRQ"] == "SBCV"


def test_unknown_codes_are_kept_as_given(airports: Airports) -> None:
    assert airports.resolve(["XQQ9", None, ""]) == {"XQQ9": "XQQ9"}


@given(st.lists(st.tuples(st.floats(-90, 90), LONGITUDES), min_size=1, max_size=4), st.floats(1, 300))
def test_near_finds_what_brute_force_finds(places: list[tuple[float, float]], radius: float) -> None:
    """Also near the poles and the antimeridian, and of several places at once the same as of each alone."""
    from flightwatch.places import airports as all_airports

    table = all_airports()
    at, rows_around, distances_around = table.around(*np.array(places).T, radius)
    for i, (lat, lon) in enumerate(places):
        rows, distances = table.near(lat, lon, radius)
        everything = distance_nm(lat, lon, table.latitude, table.longitude)
        inside = set(np.flatnonzero((everything <= radius - 0.01) & table.landable).tolist())
        assert inside <= set(rows.tolist())
        assert np.all(np.diff(distances) >= 0)
        assert np.all(everything[rows] <= radius + 0.01)
        assert set(rows_around[at == i].tolist()) == set(rows.tolist())
        assert distances_around[at == i] == pytest.approx(distances, abs=1e-3)


def test_cities_are_no_airports(airports: Airports) -> None:
    """A code for several airports has a country and can be no leg's end that somebody landed at."""
    row = airports.row("MOW")
    assert row is not None
    assert airports.country_of("MOW") == "RU"
    assert row not in airports.near(55.66, 37.53, 30)[0]


@pytest.mark.parametrize(
    ("ident", "name"),
    [("ZKPY", "Pyongyang"), ("UHWW", "Vladivostok (Artyom)"), ("UUMU", "Chkalovskiy (Moscow)"), ("KLAX", "Los Angeles")],
)
def test_airports_are_called_what_people_call_them(airports: Airports, ident: str, name: str) -> None:
    airport = airports.get(ident)
    assert airport is not None
    assert airport.short_name == name


def test_every_airport_has_a_time_zone_and_a_country(airports: Airports) -> None:
    from zoneinfo import ZoneInfo

    assert all(airports.timezone)
    assert all(ZoneInfo(name) for name in set(airports.timezone))
    assert country_name("KP") == "North Korea"
    assert country_name("XQ") == "XQ"


def test_shown_distances_are_on_the_ellipsoid() -> None:
    """Moscow to Pyongyang as published: 6,394 km."""
    assert shown_distance_nm(55.9726, 37.4146, 39.2241, 125.67) * 1.852 == pytest.approx(6394, rel=0.004)


def test_outlines_are_lines_and_closed_rings() -> None:
    drawn = outlines()
    assert len(drawn.lines) > 1000
    assert all(np.allclose(ring[0], ring[-1]) for ring in drawn.land)
