"""One made-up flight: along great circles between points, climbing and descending as its kind of aircraft does, with
taxiing before and after.

`Flight` says what is flown, `path` computes where it is at each moment. The functions below it make flights out of
flights: stages of a trip, diversions, returns to the field, ways along airways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flightwatch.aircraft.types import ROTORCRAFT, performance
from flightwatch.places import Airport, Airports
from flightwatch.places.great_circle import Floats, bearing_deg, between, destination, distance_nm
from flightwatch.records import micros, utc
from flightwatch.testing.world.winds import CALM, Calm, Wind, ground_speed

DESCENT_FT_PER_NM = 318.0
"""The three-degree path down."""

TAXI_S = 600.0
TAXI_NM = 0.4
TAXI_KT = 12.0

FULL_SPEED_FT = 24_500.0
"""From this height on an aircraft flies as fast as it does in cruise; below 1,500 ft as near the ground."""

HOLD_NM, HOLD_KT = 3.0, 230.0
"""Radius of the circles flown in a hold, and the highest speed in one."""

MISSED_FT, CIRCUIT_FT = 200.0, 3000.0
"""Heights above the runway at which an approach is broken off, and flown for the next one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a class of aircraft climbs (ft/min, the mean), how slow it is near the ground (kt) and how high it goes
    (ft)."""

    climb_ft_min: float
    terminal_kt: float
    ceiling_ft: float


JET, PROPELLER, LIGHT, ROTOR = Kind(1800, 160, 43_000), Kind(1200, 125, 25_000), Kind(700, 75, 10_000), Kind(800, 60, 6000)
JETS_FROM_KT, PROPELLERS_FROM_KT = 330.0, 200.0
"""Cruise speeds from which a type is taken for a jet, and for a propeller aircraft of some size."""


def kind_of(typecode: str) -> Kind:
    """The class of a type."""
    if typecode in ROTORCRAFT:
        return ROTOR
    cruise_kt = performance(typecode).cruise_kt
    return JET if cruise_kt >= JETS_FROM_KT else PROPELLER if cruise_kt >= PROPELLERS_FROM_KT else LIGHT


@dataclass(frozen=True, slots=True)
class Hold:
    """Circles flown so far (nm) before the destination, for so many minutes."""

    to_go_nm: float
    minutes: float


@dataclass(frozen=True)
class Flight:
    """One flight: who, from where over which points to where, when it leaves the ground, how high it cruises (ft).

    `missed` approaches are flown before the one that ends in a landing. In the `silent` times its transponder is off,
    wherever anybody listens.
    """

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
    hold: Hold | None = None
    missed: int = 0
    silent: tuple[tuple[datetime, datetime], ...] = ()


@dataclass(frozen=True)
class Path:
    """A flight as a table of what it is at each second since it left the ground."""

    start_us: int
    seconds: Floats
    latitude: Floats
    longitude: Floats
    altitude: Floats
    groundspeed: Floats
    track: Floats
    vertical_rate: Floats
    onground: NDArray[np.bool_]

    @property
    def times(self) -> NDArray[np.int64]:
        """Microseconds since 1970."""
        return self.start_us + (self.seconds * 1e6).astype(np.int64)

    @property
    def aloft_s(self) -> float:
        """Seconds from take-off to landing."""
        return float(self.seconds[~self.onground][-1])


@dataclass(frozen=True)
class Course:
    """The way over the ground: latitudes, unwrapped longitudes and the way (nm) at the points of a line, and the
    stretches of the way that are flown at one height for waiting."""

    latitude: Floats
    longitude: Floats
    along: Floats
    waiting: tuple[float, float] = (0.0, 0.0)

    @property
    def total(self) -> float:
        return float(self.along[-1])


def path(flight: Flight, airports: Airports, every_s: float = 10.0, wind: Wind = CALM) -> Path:
    """The course of a flight, from ten minutes before take-off to ten minutes after landing."""
    course, way, speed, height, elapsed = _flown(flight, airports, wind)
    times = np.arange(-TAXI_S, elapsed[-1] + TAXI_S, every_s)
    at = np.interp(np.clip(times, 0, elapsed[-1]), elapsed, way)
    taxi = np.where(times < 0, times / TAXI_S, np.where(times > elapsed[-1], (times - elapsed[-1]) / TAXI_S, 0.0)) * TAXI_NM / 60
    latitude, longitude = np.interp(at, course.along, course.latitude) + taxi, np.interp(at, course.along, course.longitude)
    altitude = np.interp(at, way, height)
    ground = (times < 0) | (times > elapsed[-1])
    track = bearing_deg(latitude[:-1], longitude[:-1], latitude[1:], longitude[1:])
    return Path(
        start_us=micros(flight.takeoff),
        seconds=times,
        latitude=latitude,
        longitude=(longitude + 180) % 360 - 180,
        altitude=np.round(altitude / 25) * 25,
        groundspeed=np.where(ground, TAXI_KT, np.interp(at, way, speed)),
        track=np.append(track, track[-1]),
        vertical_rate=np.where(ground, 0.0, np.round(np.gradient(altitude, every_s) * 60 / 64) * 64),
        onground=ground,
    )


def landing(flight: Flight, airports: Airports, wind: Wind = CALM) -> datetime:
    """When a flight touches down."""
    *_, elapsed = _flown(flight, airports, wind)
    return flight.takeoff + timedelta(seconds=round(float(elapsed[-1])))


def landing_at(flight: Flight, airports: Airports, time: datetime, wind: Wind = CALM) -> Flight:
    """The flight, leaving so that it touches down at a time."""
    return replace(flight, takeoff=flight.takeoff + (time - landing(flight, airports, wind)))


def _flown(flight: Flight, airports: Airports, wind: Wind) -> tuple[Course, Floats, Floats, Floats, Floats]:
    """The course; and along it, a mile at a time, the way (nm), speed over the ground (kt), height (ft) and seconds
    since take-off."""
    origin, there = airport(flight.origin, airports), airport(flight.destination, airports)
    kind, cruise_kt = kind_of(flight.typecode), performance(flight.typecode).cruise_kt
    course = _with_hold(
        _course([(origin.latitude, origin.longitude), *flight.over, (there.latitude, there.longitude)]), flight.hold
    )
    first = course.total
    for _ in range(flight.missed):
        course = _once_round(course)
    way = np.linspace(0, course.total, max(int(course.total), 2) + 1)
    climb_ft_per_nm = kind.climb_ft_min * 60 / (0.75 * cruise_kt)
    end_ft = there.elevation_ft + (MISSED_FT if flight.missed else 0.0)
    level_ft = min(flight.cruise_ft, kind.ceiling_ft)
    height = _height(way, _to_go(way, first, course.waiting), level_ft, origin.elevation_ft, end_ft, climb_ft_per_nm)
    for number in range(flight.missed):
        round_nm = (course.total - first) / flight.missed
        begin, last = first + number * round_nm, number == flight.missed - 1
        again = _height(
            way - begin,
            begin + round_nm - way,
            there.elevation_ft + CIRCUIT_FT,
            end_ft,
            there.elevation_ft + (0.0 if last else MISSED_FT),
            climb_ft_per_nm,
        )
        height = np.where(way > begin, again, height)
    full = np.clip((height - 1500) / (FULL_SPEED_FT - 1500), 0, 1)
    terminal_kt = min(kind.terminal_kt, cruise_kt)
    airspeed = terminal_kt + (cruise_kt - terminal_kt) * full
    waits = (way > course.waiting[0]) & (way < course.waiting[1])
    airspeed = np.where(waits, np.minimum(airspeed, HOLD_KT), airspeed)
    speed = _over_ground(airspeed, course, way, height, wind)
    elapsed = np.concatenate([[0.0], np.cumsum(np.diff(way) / ((speed[1:] + speed[:-1]) / 2) * 3600)])
    return course, way, speed, height, elapsed


def _over_ground(airspeed: Floats, course: Course, way: Floats, height: Floats, wind: Wind) -> Floats:
    """Speed over the ground along a course."""
    if isinstance(wind, Calm):
        return airspeed
    latitude, longitude = np.interp(way, course.along, course.latitude), np.interp(way, course.along, course.longitude)
    track = bearing_deg(latitude[:-1], longitude[:-1], latitude[1:], longitude[1:])
    east, north = wind.at(latitude, longitude, height)
    return ground_speed(airspeed, np.append(track, track[-1]), east, north)


def airport(ident: str, airports: Airports) -> Airport:
    """An airport that a made-up world names; worlds are made of airports that exist."""
    found = airports.get(ident)
    assert found is not None, ident
    return found


def _course(points: Sequence[tuple[float, float]]) -> Course:
    """Great circles between the points."""
    lats: list[Floats] = []
    lons: list[Floats] = []
    for (lat1, lon1), (lat2, lon2) in pairwise(points):
        parts = max(int(float(distance_nm(lat1, lon1, lat2, lon2)) // 10), 1)
        lat, lon = between(lat1, lon1, lat2, lon2, parts)
        lats.append(lat if not lats else lat[1:])
        lons.append(lon if not lons else lon[1:])
    return _measured(np.concatenate(lats), np.concatenate(lons))


def _measured(latitude: Floats, longitude: Floats) -> Course:
    longitude = np.degrees(np.unwrap(np.radians(longitude)))
    steps = distance_nm(latitude[:-1], longitude[:-1], latitude[1:], longitude[1:])
    return Course(latitude, longitude, np.concatenate([[0.0], np.cumsum(steps)]))


def _with_hold(course: Course, hold: Hold | None) -> Course:
    """The course with whole circles to the right put in where the hold is."""
    if hold is None:
        return course
    at = max(course.total - hold.to_go_nm, 0.0)
    here = [float(np.interp(at, course.along, values)) for values in (course.latitude, course.longitude)]
    after = int(np.searchsorted(course.along, at, side="right"))
    onward = float(bearing_deg(here[0], here[1], course.latitude[after], course.longitude[after]))
    middle = destination(here[0], here[1], (onward + 90) % 360, HOLD_NM)
    circles = max(round(hold.minutes / 60 * HOLD_KT / (2 * np.pi * HOLD_NM)), 1)
    lat, lon = destination(middle[0], middle[1], (onward - 90 + np.arange(0, 360 * circles + 1, 15)) % 360, HOLD_NM)
    whole = _measured(
        np.concatenate([course.latitude[:after], lat, course.latitude[after:]]),
        np.concatenate([course.longitude[:after], lon, course.longitude[after:]]),
    )
    return replace(whole, waiting=(at, at + whole.total - course.total))


def _once_round(course: Course) -> Course:
    """The course with a left-hand circuit and another approach at its end."""
    lat, lon = float(course.latitude[-1]), float(course.longitude[-1])
    final = float(bearing_deg(course.latitude[-2], course.longitude[-2], lat, lon))
    ahead = destination(lat, lon, final, 5.0)
    abeam = destination(*ahead, final - 90, 4.0)
    out = destination(lat, lon, final + 180, 10.0)
    back = destination(*out, final - 90, 4.0)
    points = [(lat, lon), *((float(a), float(o)) for a, o in (ahead, abeam, back, out)), (lat, lon)]
    circuit = _course(points)
    latitude = np.concatenate([course.latitude, circuit.latitude[1:]])
    return replace(_measured(latitude, np.concatenate([course.longitude, circuit.longitude[1:]])), waiting=course.waiting)


def _to_go(way: Floats, total: float, waiting: tuple[float, float]) -> Floats:
    """The way left to the end of the first approach, in which the hold does not count."""
    begin, end = waiting
    return total - way - np.clip(end - np.maximum(way, begin), 0.0, end - begin)


def _height(way: Floats, to_go: Floats, cruise_ft: float, start_ft: float, end_ft: float, climb_ft_per_nm: float) -> Floats:
    up = start_ft + way * climb_ft_per_nm
    down = end_ft + to_go * DESCENT_FT_PER_NM
    return np.minimum(np.minimum(up, down), cruise_ft)


# ------------------------------------------------------------------------------------------------------------ flights of flights


def airway(
    origin: str, there: str, airports: Airports, number: int = 0, every_nm: float = 250.0
) -> tuple[tuple[float, float], ...]:
    """Points of a way with doglegs, as airways make it: on the great circle, give or take a tenth of the distance
    between the points. Whoever takes the way with this number between the two places takes the same."""
    a, b = airport(origin, airports), airport(there, airports)
    rng = np.random.default_rng([*f"{origin} {there}".encode(), number])
    parts = int(float(distance_nm(a.latitude, a.longitude, b.latitude, b.longitude)) // every_nm) + 1
    lat, lon = between(a.latitude, a.longitude, b.latitude, b.longitude, parts)
    lat, lon = lat[1:-1], lon[1:-1]
    side = bearing_deg(lat, lon, b.latitude, b.longitude) + 90
    lat, lon = destination(lat, lon, side, rng.normal(0, every_nm / 10, len(lat)))
    return tuple(zip(lat.tolist(), lon.tolist(), strict=True))


def diverted(flight: Flight, airports: Airports, flown: float, to: str) -> Flight:
    """The flight, turned away after a share of the straight way and landed elsewhere; back at its origin for a return
    to the field."""
    a, b = airport(flight.origin, airports), airport(flight.destination, airports)
    lat, lon = between(a.latitude, a.longitude, b.latitude, b.longitude, 1000)
    turn = round(flown * 1000)
    return replace(flight, over=((float(lat[turn]), float(lon[turn])),), destination=to)


def onward(flight: Flight, airports: Airports, stay: timedelta, to: str, callsign: str | None = None, **more: object) -> Flight:
    """The next flight of the same aircraft: it leaves a while after this one has landed."""
    then = landing(flight, airports) + stay
    plain = replace(flight, origin=flight.destination, destination=to, takeoff=then, over=(), hold=None, missed=0, silent=())
    return replace(plain, callsign=flight.callsign if callsign is None else callsign, **more)  # type: ignore[arg-type]  # fields of a flight


def silent_from(flight: Flight, begin: datetime, end: datetime | None = None) -> Flight:
    """The flight with its transponder off from a time on, until another or for good."""
    return replace(flight, silent=(*flight.silent, (begin, end or utc(micros(begin)) + timedelta(days=2))))
