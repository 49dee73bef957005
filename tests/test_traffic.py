"""A day of made-up traffic of the whole world, a little one here: as much as was asked for, sorted, flyable, and with
the truth about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.legs import LegState, Model
from flightwatch.places import airports as all_airports
from flightwatch.places.great_circle import bearing_deg, distance_nm, turn_deg
from flightwatch.rarity import Baseline
from flightwatch.records import POSITIONS, Leg
from flightwatch.testing.world import INLAND_SIBERIA, NORTH_KOREA, OCEANS, Jets, low_level
from flightwatch.testing.world.coverage import floors
from flightwatch.testing.world.traffic import Traffic
from tests.conftest import T0

TABLE = all_airports()
LITTLE = Traffic(TABLE, T0, aloft=40, every_s=60.0, wind=Jets())


@pytest.fixture(scope="module")
def day() -> pa.Table:
    return pa.concat_tables(LITTLE.pieces())


def test_as_many_are_aloft_as_was_asked_for() -> None:
    """On average over the day; flights of one aircraft follow each other where the one before ended."""
    flights = LITTLE.schedule
    assert flights.aloft.sum() / 86_400 == pytest.approx(40, rel=0.1)
    assert 45 * 60 < np.median(flights.aloft) < 4 * 3600
    same = flights.aircraft[1:] == flights.aircraft[:-1]
    assert np.array_equal(flights.destination[:-1][same], flights.origin[1:][same])
    assert np.all((flights.takeoff[1:] - flights.takeoff[:-1] - flights.aloft[:-1])[same] > 20 * 60)


def test_pieces_are_whole_aircraft_sorted_by_aircraft_and_time(day: pa.Table) -> None:
    """And the day as a file is all of them."""
    pieces = list(LITTLE.pieces(rows=5000))
    assert len(pieces) > 5
    assert all(piece.schema.equals(POSITIONS) for piece in pieces)
    seen = [set(piece["icao24"].to_pylist()) for piece in pieces]
    assert sum(map(len, seen)) == len(set.union(*seen))
    keys = list(zip(day["icao24"].to_pylist(), day["timestamp"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_the_same_day_again_is_the_same(day: pa.Table, tmp_path: Path) -> None:
    assert replace(LITTLE).write(tmp_path / "day.parquet") == len(day)
    assert pq.read_table(tmp_path / "day.parquet").equals(day)
    assert not pa.concat_tables(replace(LITTLE, seed=8).pieces()).equals(day)


def test_aircraft_move_as_they_say(day: pa.Table) -> None:
    """Speed and direction of each row against the place of the next."""
    lat, lon, speed, track = (day[name].to_numpy() for name in ("latitude", "longitude", "groundspeed", "track"))
    air = ~np.asarray(day["onground"])
    seconds = np.diff(np.asarray(day["timestamp"].cast(pa.int64()))) / 1e6
    steady = (seconds > 0) & (seconds < 130) & air[1:] & air[:-1] & (np.abs(np.diff(speed)) < 15)
    moved = distance_nm(lat[:-1], lon[:-1], lat[1:], lon[1:])[steady] / seconds[steady] * 3600
    assert np.abs(moved / speed[:-1][steady] - 1).mean() < 0.02
    off = turn_deg(bearing_deg(lat[:-1], lon[:-1], lat[1:], lon[1:]), track[:-1])[steady]
    assert np.quantile(off, 0.95) < 12
    heights = day["altitude"].to_numpy()
    assert np.nanmax(heights) < 43_000
    assert np.isnan(heights[~air]).all()


def test_what_lies_below_the_floor_is_not_heard(day: pa.Table) -> None:
    deaf = replace(LITTLE, floor=floors((NORTH_KOREA, *OCEANS)))
    some = sum(len(piece) for piece in deaf.pieces())
    assert 0.5 * len(day) < some < len(day)


def legs_of(positions: pa.Table) -> list[Leg]:
    """Without any history, in order of aircraft and time."""
    model = Model(TABLE, Baseline(TABLE), Registry().who)
    state, outcome = leg_stage.advance(LegState(), positions, model)
    now = max(positions["timestamp"].to_pylist()) + timedelta(hours=1)
    drawn = leg_stage.unsettled(state, leg_stage.aircraft_of(state), model, now).values()
    return sorted([*outcome.settled, *(leg for legs in drawn for leg in legs)], key=lambda leg: (leg.icao24, leg.first_seen))


def test_the_legs_of_the_day_are_the_flights_of_the_day(day: pa.Table) -> None:
    """Everything is heard, so every flight that was over is one leg with both ends seen."""
    legs = legs_of(day)
    truth = LITTLE.truth()
    assert len(legs) == len(truth)
    told = [(leg.icao24, leg.origin.airport, leg.destination.airport) for leg in legs]
    flown = truth[["icao24", "origin", "destination"]].itertuples(index=False, name=None)
    right = np.mean([a == b for a, b in zip(told, flown, strict=True)])
    assert right > 0.98
    assert {leg.destination.basis for leg in legs} == {"observed"}


@pytest.mark.slow
def test_a_day_with_half_of_the_large_airports_deaf_is_told_honestly(told_figures: Callable[[str], None]) -> None:
    """Nothing is heard below 4,000 ft but near every other large airport, nor over oceans, Siberia and North Korea."""
    large = [ident for ident, size in zip(TABLE.ident, TABLE.size, strict=True) if size == "large"]
    deaf = floors((NORTH_KOREA, INLAND_SIBERIA, *OCEANS, low_level(4000.0, large[::2], TABLE)))
    traffic = replace(LITTLE, aloft=300, floor=deaf)
    told: dict[str, list[Leg]] = {}
    for leg in legs_of(pa.concat_tables(traffic.pieces())):
        told.setdefault(leg.icao24 or "", []).append(leg)
    flown = traffic.truth().groupby("icao24")
    apart = {icao24: flights for icao24, flights in flown if len(flights) == len(told.get(icao24, ()))}
    ends = [
        (end.basis, end.airport, airport)
        for icao24, flights in apart.items()
        for leg, flight in zip(told[icao24], flights.itertuples(), strict=True)
        for end, airport in ((leg.origin, flight.origin), (leg.destination, flight.destination))
    ]
    right = np.mean([named == airport for _, named, airport in ends])
    wrong = np.mean([named not in (None, airport) for _, named, airport in ends])
    observed_wrong = sum(basis == "observed" and named not in (None, airport) for basis, named, airport in ends)
    told_figures(
        f"SYNTHETIC day, half deaf: {len(apart)} of {len(flown)} aircraft with all their legs; "
        f"of {len(ends)} ends right {right:.3f}, wrong {wrong:.3f}, observed elsewhere {observed_wrong}"
    )
    assert len(apart) / len(flown) > 0.99
    assert right > 0.9
    assert wrong < 0.03
    assert observed_wrong < 0.01 * len(ends)
