"""Made-up flights through real places, with the holes that real coverage has.

A flight goes along great circles between points, climbs and descends as transport aircraft do, taxies before and
after. `Coverage` says where nobody listens. Everything is computed from the flights and a seed: the same arguments
make the same world. What comes out is synthetic, and whoever shows it has to say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flightwatch.aircraft.types import performance
from flightwatch.places import Airports
from flightwatch.places.great_circle import bearing_deg, between, distance_nm
from flightwatch.records import POSITIONS, micros

Floats = NDArray[np.float64]

CLIMB_FT_MIN, DESCENT_FT_PER_NM = 1800.0, 318.0
"""A usual mean rate of climb, and the three-degree path down."""

TAXI_S = 600.0
TAXI_NM = 0.4
TERMINAL_KT = 160.0
"""Speed near the ground; it rises to cruise with height."""


@dataclass(frozen=True)
class Flight:
    """One flight: who, from where over which points to where, when it leaves the ground, how high it cruises (ft)."""

    icao24: str
    registration: str
    typecode: str
    callsign: str
    origin: str
    destination: str
    takeoff: datetime
    over: tuple[tuple[float, float], ...] = ()
    cruise_ft: float = 34_000.0
    military: bool = False


@dataclass(frozen=True)
class Region:
    """A part of the sky where nobody listens below a height: a polygon of (latitude, longitude), and circles in it
    where somebody does (with nm)."""

    corners: tuple[tuple[float, float], ...]
    below_ft: float = 99_000.0
    but: tuple[tuple[float, float, float], ...] = ()

    def covers(self, latitude: Floats, longitude: Floats, altitude: Floats) -> NDArray[np.bool_]:
        """Which of these positions lie in it."""
        inside = _inside(self.corners, latitude, longitude) & (altitude < self.below_ft)
        for lat, lon, radius in self.but:
            inside &= distance_nm(lat, lon, latitude, longitude) > radius
        return inside


def _inside(corners: tuple[tuple[float, float], ...], latitude: Floats, longitude: Floats) -> NDArray[np.bool_]:
    """Even-odd rule; regions here do not cross the antimeridian."""
    inside = np.zeros(len(latitude), bool)
    for (lat1, lon1), (lat2, lon2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        crosses = (lat1 > latitude) != (lat2 > latitude)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (lon2 - lon1) * (latitude - lat1) / (lat2 - lat1) + lon1
        inside ^= crosses & (longitude < at)
    return inside


NORTH_KOREA = Region(
    (
        (42.4, 130.7),
        (43.0, 129.7),
        (42.1, 128.0),
        (41.5, 126.6),
        (40.0, 124.2),
        (39.4, 124.3),
        (37.8, 124.7),
        (37.8, 126.7),
        (38.6, 128.5),
        (39.8, 128.6),
        (41.2, 130.2),
    )
)
"""No receiver: aircraft vanish at the border and come back at it."""

INLAND_SIBERIA = Region(
    ((74.0, 62.0), (74.0, 128.0), (49.0, 128.0), (49.0, 62.0)),
    but=((55.0, 82.9, 150.0), (56.2, 92.5, 110.0), (52.3, 104.4, 130.0)),
)
"""Hours without coverage between Novosibirsk, Krasnoyarsk and Irkutsk, and beyond."""


@dataclass(frozen=True)
class Path:
    """A flight as a table of what it is at each second since it left the stand."""

    start_us: int
    seconds: Floats
    latitude: Floats
    longitude: Floats
    altitude: Floats
    groundspeed: Floats
    track: Floats
    vertical_rate: Floats
    onground: NDArray[np.bool_]


def path(flight: Flight, airports: Airports, every_s: float = 10.0) -> Path:
    """The course of a flight, from ten minutes before take-off to ten minutes after landing."""
    origin, destination = airports.get(flight.origin), airports.get(flight.destination)
    assert origin is not None  # worlds are made of airports that exist
    assert destination is not None
    points = [(origin.latitude, origin.longitude), *flight.over, (destination.latitude, destination.longitude)]
    lat, lon, along = _course(points)
    total = float(along[-1])
    cruise_kt = performance(flight.typecode).cruise_kt
    way = np.linspace(0, total, max(int(total), 2) + 1)
    height = _height(way, total, flight.cruise_ft, origin.elevation_ft, destination.elevation_ft, cruise_kt)
    speed = TERMINAL_KT + (cruise_kt - TERMINAL_KT) * np.clip((height - 1500) / 23_000, 0, 1)
    steps = np.diff(way) / ((speed[1:] + speed[:-1]) / 2) * 3600
    elapsed = np.concatenate([[0.0], np.cumsum(steps)])
    times = np.arange(-TAXI_S, elapsed[-1] + TAXI_S, every_s)
    aloft = np.clip(times, 0, elapsed[-1])
    at = np.interp(aloft, elapsed, way)
    taxi = np.where(times < 0, times / TAXI_S, np.where(times > elapsed[-1], (times - elapsed[-1]) / TAXI_S, 0.0)) * TAXI_NM / 60
    latitude, longitude = np.interp(at, along, lat) + taxi, np.interp(at, along, lon)
    altitude = np.interp(at, way, height)
    ground = (times < 0) | (times > elapsed[-1])
    track = bearing_deg(latitude[:-1], longitude[:-1], latitude[1:], longitude[1:])
    return Path(
        start_us=micros(flight.takeoff),
        seconds=times,
        latitude=latitude,
        longitude=(longitude + 180) % 360 - 180,
        altitude=np.round(altitude / 25) * 25,
        groundspeed=np.where(ground, 12.0, np.interp(at, way, speed)),
        track=np.append(track, track[-1]),
        vertical_rate=np.where(ground, 0.0, np.round(np.gradient(altitude, every_s) * 60 / 64) * 64),
        onground=ground,
    )


def _course(points: Sequence[tuple[float, float]]) -> tuple[Floats, Floats, Floats]:
    """Latitudes, unwrapped longitudes, and the way (nm) along great circles between the points."""
    lats: list[Floats] = []
    lons: list[Floats] = []
    for (lat1, lon1), (lat2, lon2) in pairwise(points):
        parts = max(int(float(distance_nm(lat1, lon1, lat2, lon2)) // 10), 1)
        lat, lon = between(lat1, lon1, lat2, lon2, parts)
        lats.append(lat if not lats else lat[1:])
        lons.append(lon if not lons else lon[1:])
    latitude, longitude = np.concatenate(lats), np.degrees(np.unwrap(np.radians(np.concatenate(lons))))
    steps = distance_nm(latitude[:-1], longitude[:-1], latitude[1:], longitude[1:])
    return latitude, longitude, np.concatenate([[0.0], np.cumsum(steps)])


def _height(way: Floats, total: float, cruise_ft: float, start_ft: float, end_ft: float, cruise_kt: float) -> Floats:
    climb_ft_per_nm = CLIMB_FT_MIN * 60 / (0.75 * cruise_kt)
    up = start_ft + way * climb_ft_per_nm
    down = end_ft + (total - way) * DESCENT_FT_PER_NM
    return np.minimum(np.minimum(up, down), cruise_ft)


@dataclass(frozen=True)
class World:
    """Flights and where they can be seen. `seed` makes the noise."""

    flights: tuple[Flight, ...]
    airports: Airports
    holes: tuple[Region, ...] = (NORTH_KOREA, INLAND_SIBERIA)
    seed: int = 7
    source: str = "adsb"
    feed: str = "synthetic"

    def positions(self, every_s: float) -> pa.Table:
        """All positions that somebody would have seen, as a table of `POSITIONS`."""
        rng = np.random.default_rng(self.seed)
        return pa.concat_tables([POSITIONS.empty_table(), *(self._seen(f, every_s, rng) for f in self.flights)])

    def _seen(self, flight: Flight, every_s: float, rng: np.random.Generator) -> pa.Table:
        course = path(flight, self.airports, every_s)
        seen = (
            ~np.any([r.covers(course.latitude, course.longitude, course.altitude) for r in self.holes], axis=0)
            if self.holes
            else np.ones(len(course.seconds), bool)
        )
        seen &= rng.random(len(seen)) > 0.03  # a few messages are lost anywhere
        n = int(seen.sum())
        time = course.start_us + (course.seconds[seen] * 1e6).astype(np.int64) - rng.integers(0, 900_000, n)
        ground = course.onground[seen]
        columns = {
            "timestamp": pa.array(time, pa.timestamp("us", "UTC")),
            "icao24": pa.repeat(pa.scalar(flight.icao24), n),
            "callsign": pa.repeat(pa.scalar(flight.callsign), n),
            "registration": pa.repeat(pa.scalar(flight.registration), n),
            "typecode": pa.repeat(pa.scalar(flight.typecode), n),
            "latitude": np.round(course.latitude[seen], 5),
            "longitude": np.round(course.longitude[seen], 5),
            "altitude": pa.array(course.altitude[seen], pa.float32(), mask=ground),
            "groundspeed": pa.array(np.round(course.groundspeed[seen], 1), pa.float32()),
            "track": pa.array(np.round(course.track[seen], 1), pa.float32()),
            "vertical_rate": pa.array(course.vertical_rate[seen], pa.float32(), mask=ground),
            "onground": pa.array(ground),
            "military": pa.repeat(pa.scalar(flight.military), n),
            "source": pa.repeat(pa.scalar(self.source), n),
            "feed": pa.repeat(pa.scalar(self.feed), n),
        }
        full = {f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in POSITIONS}
        return pa.table(full, schema=POSITIONS)


@dataclass(frozen=True)
class Sky:
    """A world as a feed shows it: for any moment, the aircraft seen within the last minute."""

    world: World
    every_s: float
    shown_s: float = 60.0

    @cached_property
    def _rows(self) -> tuple[NDArray[np.int64], list[tuple[object, ...]]]:
        """The times of all positions (µs), and the positions as tuples of what an entry needs."""
        table = self.world.positions(self.every_s).sort_by("timestamp")
        columns = [table[name].to_pylist() for name in ENTRY]
        return np.asarray(table["timestamp"].cast(pa.int64())), list(zip(*columns, strict=True))

    def entries(self, now: float) -> list[dict[str, object]]:
        """The aircraft list of a v2 reply at a time (seconds since 1970)."""
        times, rows = self._rows
        last = int(np.searchsorted(times, now * 1e6, side="right"))
        first = int(np.searchsorted(times, (now - self.shown_s) * 1e6))
        newest = {rows[i][0]: i for i in range(first, last)}
        return [_entry(rows[i], round(now - float(times[i]) / 1e6, 1)) for i in newest.values()]


ENTRY = (
    "icao24",
    "callsign",
    "registration",
    "typecode",
    "altitude",
    "groundspeed",
    "track",
    "vertical_rate",
    "latitude",
    "longitude",
    "onground",
    "military",
)


def _entry(row: tuple[object, ...], age_s: float) -> dict[str, object]:
    values = dict(zip(ENTRY, row, strict=True))
    entry = {
        "hex": values["icao24"],
        "type": "adsb_icao",
        "flight": f"{values['callsign']!s:<8}",
        "r": values["registration"],
        "t": values["typecode"],
        "alt_baro": "ground" if values["onground"] else values["altitude"],
        "gs": values["groundspeed"],
        "track": values["track"],
        "baro_rate": values["vertical_rate"],
        "lat": values["latitude"],
        "lon": values["longitude"],
        "seen_pos": age_s,
        "seen": age_s,
        "dbFlags": 1 if values["military"] else 0,
    }
    return {name: value for name, value in entry.items() if value is not None}
