"""What of a made-up world anybody sees: the positions that its feeds give.

A position is seen where no hole covers it, its transponder is on and the feed is not out. Each feed then adds what
real ones add: messages are lost, places stray, rows come twice or late. Spoofing moves whole tracks elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flightwatch.places import Airports
from flightwatch.places.great_circle import Floats, destination, distance_nm
from flightwatch.records import POSITIONS, micros, utc
from flightwatch.testing.world.coverage import INLAND_SIBERIA, NORTH_KOREA, Region
from flightwatch.testing.world.flights import Flight, Path, path
from flightwatch.testing.world.truth import TrueLeg, true_leg
from flightwatch.testing.world.winds import CALM, Wind

Flags = NDArray[np.bool_]
Span = tuple[datetime, datetime]

SPOOFED_NM, SPOOFED_KT = 3.0, 180.0
"""Spoofed aircraft are shown going round in circles of this radius, at this speed."""

DELAY_S = 1.0
"""How long after a fix a feed usually has it."""


@dataclass(frozen=True)
class Receivers:
    """How one feed hears.

    Shares of the rows: `lost`, `repeated` (come a second time, a second later), `late` (come `late_s` after the
    others). `jitter_nm` is the spread of the places in each direction: nothing to speak of for ADS-B, half a mile for
    MLAT. Positions of one aircraft are `every_s` apart, where that is longer than what the world is asked for. `lacks`
    are columns that this feed never fills. In an outage nothing comes.
    """

    feed: str = "synthetic"
    source: str = "adsb"
    every_s: float = 0.0
    lost: float = 0.03
    repeated: float = 0.0
    late: float = 0.0
    late_s: float = 900.0
    jitter_nm: float = 0.0
    lacks: tuple[str, ...] = ()
    outages: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Spoofing:
    """A time in which whatever flies near a place reports to be near another one, going round in circles."""

    latitude: float
    longitude: float
    radius_nm: float
    shown: tuple[float, float]
    begin: datetime
    end: datetime

    def apply(self, course: Path) -> tuple[Floats, Floats, Flags]:
        """Latitudes and longitudes as they are reported, and which of them are false."""
        times = course.times
        false = (times >= micros(self.begin)) & (times < micros(self.end))
        false &= distance_nm(self.latitude, self.longitude, course.latitude, course.longitude) <= self.radius_nm
        turned = np.degrees(course.seconds / 3600 * SPOOFED_KT / SPOOFED_NM)
        lat, lon = destination(self.shown[0], self.shown[1], turned % 360, SPOOFED_NM)
        return np.where(false, lat, course.latitude), np.where(false, lon, course.longitude), false


@dataclass(frozen=True)
class World:
    """Flights and where and by whom they can be seen. `seed` makes the noise."""

    flights: tuple[Flight, ...]
    airports: Airports
    holes: tuple[Region, ...] = (NORTH_KOREA, INLAND_SIBERIA)
    seed: int = 7
    feeds: tuple[Receivers, ...] = (Receivers(),)
    wind: Wind = CALM
    spoofing: tuple[Spoofing, ...] = ()

    def positions(self, every_s: float) -> pa.Table:
        """All positions that somebody would have seen, as a table of `POSITIONS`, flight after flight."""
        rng = np.random.default_rng(self.seed)
        tables = [POSITIONS.empty_table()]
        for flight in self.flights:
            course = path(flight, self.airports, every_s, self.wind)
            audible = self._audible(flight, course)
            tables += [self._heard(flight, course, audible, feed, rng) for feed in self.feeds]
        return pa.concat_tables(tables)

    def truth(self, every_s: float) -> tuple[TrueLeg, ...]:
        """What really happened, and which parts of it could be seen, as far as the feeds lose nothing by chance. In order
        of aircraft and time."""
        legs = []
        for flight in self.flights:
            course = path(flight, self.airports, every_s, self.wind)
            heard = np.any([~_within(course.times, feed.outages) for feed in self.feeds], axis=0)
            legs.append(true_leg(flight, course, self._audible(flight, course) & heard & ~self._false(course)))
        return tuple(sorted(legs, key=lambda leg: (leg.icao24, leg.takeoff_time)))

    def _audible(self, flight: Flight, course: Path) -> Flags:
        audible = ~_within(course.times, flight.silent)
        for hole in self.holes:
            audible &= ~hole.covers(course.latitude, course.longitude, course.altitude)
        return np.asarray(audible)

    def _false(self, course: Path) -> Flags:
        false = np.zeros(len(course.seconds), bool)
        for spoofing in self.spoofing:
            false |= spoofing.apply(course)[2]
        return false

    def _heard(self, flight: Flight, course: Path, audible: Flags, feed: Receivers, rng: np.random.Generator) -> pa.Table:
        step = max(round(feed.every_s / float(course.seconds[1] - course.seconds[0])), 1)
        due = np.arange(len(audible)) % step == 0
        seen = np.flatnonzero(audible & due & (rng.random(len(audible)) > feed.lost))
        if feed.repeated:
            seen = np.sort(np.concatenate([seen, seen[rng.random(len(seen)) < feed.repeated]]))
        time = course.times[seen] - rng.integers(0, 900_000, len(seen))
        time[1:] += np.where(seen[1:] == seen[:-1], 1_000_000, 0)
        in_time = ~_within(time, feed.outages)
        seen, time = seen[in_time], time[in_time]
        n = len(seen)
        latitude, longitude = course.latitude, course.longitude
        for spoofing in self.spoofing:
            lat, lon, false = spoofing.apply(course)
            latitude, longitude = np.where(false, lat, latitude), np.where(false, lon, longitude)
        latitude, longitude = latitude[seen], longitude[seen]
        if feed.jitter_nm:
            latitude, longitude = destination(
                latitude, longitude, rng.uniform(0, 360, n), np.abs(rng.normal(0, feed.jitter_nm, n))
            )
        ground = course.onground[seen]
        columns = {
            "timestamp": pa.array(time, pa.timestamp("us", "UTC")),
            "icao24": pa.repeat(pa.scalar(flight.icao24), n),
            "callsign": pa.repeat(pa.scalar(flight.callsign), n),
            "registration": pa.repeat(pa.scalar(flight.registration), n),
            "typecode": pa.repeat(pa.scalar(flight.typecode), n),
            "latitude": np.round(latitude, 5),
            "longitude": np.round(longitude, 5),
            "altitude": pa.array(course.altitude[seen], pa.float32(), mask=ground),
            "groundspeed": pa.array(np.round(course.groundspeed[seen], 1), pa.float32()),
            "track": pa.array(np.round(course.track[seen], 1), pa.float32()),
            "vertical_rate": pa.array(course.vertical_rate[seen], pa.float32(), mask=ground),
            "onground": pa.array(ground),
            "military": pa.repeat(pa.scalar(flight.military), n),
            "source": pa.repeat(pa.scalar(feed.source), n),
            "feed": pa.repeat(pa.scalar(feed.feed), n),
        }
        if feed.late:
            delay = DELAY_S + np.where(rng.random(n) < feed.late, feed.late_s, 0.0)
            columns["received"] = pa.array(time + (delay * 1e6).astype(np.int64), pa.timestamp("us", "UTC"))
        full = {
            f.name: pa.nulls(n, f.type) if f.name in feed.lacks else columns.get(f.name, pa.nulls(n, f.type)) for f in POSITIONS
        }
        return pa.table(full, schema=POSITIONS)


def _within(times: NDArray[np.int64], spans: Sequence[Span]) -> Flags:
    """Which times (µs) lie in one of some spans."""
    inside = np.zeros(len(times), bool)
    for begin, end in spans:
        inside |= (times >= micros(begin)) & (times < micros(end))
    return inside


def polls(positions: pa.Table, every: timedelta) -> Iterator[tuple[datetime, pa.Table]]:
    """Positions as they come in: for each poll its time and what was received since the one before, late rows
    included. Polls that bring nothing are left out."""
    came = pc.coalesce(positions["received"], positions["timestamp"]).cast(pa.int64())
    number = np.asarray(came) // (every // timedelta(microseconds=1))
    for poll in np.unique(number).tolist():
        yield utc(0) + (poll + 1) * every, positions.filter(pa.array(number == poll))


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
