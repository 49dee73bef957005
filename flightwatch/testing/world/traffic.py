"""A day of the whole world's traffic, in pieces that fit into memory, sorted by aircraft and time.

Aircraft fly out from their home and back, to a few places each, with turnarounds between; how many there are follows
from how many should be aloft on average. Flights are great circles with one dogleg, three phases (climb, cruise,
descent) with the speed over the ground changing evenly in the first and the last, and taxiing before and after: all of
it in closed form, so that rows are computed by the million. What is heard is cut by `Floors` and by chance.

The same `Traffic` gives the same schedule and the same rows, piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flightwatch.aircraft.types import performance
from flightwatch.places import Airports
from flightwatch.places.great_circle import EARTH_RADIUS_NM, Floats, bearing_deg, distance_nm, unit_vectors
from flightwatch.records import POSITIONS, micros
from flightwatch.testing.world.coverage import EVERYWHERE, Floors
from flightwatch.testing.world.flights import TAXI_KT, TAXI_S, kind_of
from flightwatch.testing.world.winds import CALM, Wind, ground_speed

Ints = NDArray[np.int64]

TYPES = (
    ("A320", 30),
    ("B738", 28),
    ("A321", 10),
    ("E190", 6),
    ("AT76", 6),
    ("B77W", 6),
    ("A333", 5),
    ("B789", 5),
    ("GLF6", 3),
    ("B763", 1),
)
"""Types of the made-up fleet, with their shares in percent."""

PLACE_SHARES = np.array([0.4, 0.25, 0.15, 0.12, 0.08])
"""How often an aircraft flies from its home to each of its places."""

DRAWN = 40
"""Places that are drawn for an aircraft; those that suit its type best are kept."""

LARGE_WEIGHT, WEIGHT_TAIL = 8.0, 1.3
"""Traffic of large airports against others, and the exponent of a Pareto law: few have most of it."""

USUAL_SHARE = 0.2
"""A usual flight goes about this share of what its type could, and none farther than `FARTHEST` times that."""

FARTHEST = 2.4

SHORTEST_NM, LONGEST_NM = 120.0, 7500.0

TURNAROUND_MIN, TURNAROUND_SPREAD = 55.0, 0.45
"""Minutes on the ground between two flights: median and spread of a log-normal."""

BUSY_SHARE = 0.72
"""Aircraft fly this share of the day, from a moment of their own on; the rest of it they stand."""

EARLIER_S = 4 * 3600.0
"""Some have begun before the day does: what they fly then is left out."""

DOGLEG = 0.02
"""How far a dogleg leads off the great circle, as a share of its length: the spread."""

CRUISE_FT, CRUISE_STEP_FT = 31_000.0, 2000.0

DESCENT_FT_MIN = 1700.0

PIECE_ROWS = 250_000
FIRST_ADDRESS = 0xA00000


@dataclass(frozen=True)
class Schedule:
    """The flights of the day as arrays of one length, sorted by aircraft and time. Ends are rows of the airport table,
    times seconds since the day began, distances nm, speeds kt.

    `climbing` and `descending` are how long that takes, `slow` and `fast` the speeds near the ground and in cruise;
    the dogleg leads `aside` (nm) of the great circle at a share `bend` of the way.
    """

    aircraft: Ints
    kind: Ints
    origin: Ints
    destination: Ints
    takeoff: Floats
    aloft: Floats
    distance: Floats
    cruise_ft: Floats
    climbing: Floats
    descending: Floats
    slow: Floats
    fast: Floats
    aside: Floats
    bend: Floats

    def __len__(self) -> int:
        return len(self.aircraft)

    def take(self, index: Ints | slice | NDArray[np.bool_]) -> Schedule:
        return Schedule(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Traffic:
    """A day of traffic: how many aircraft are in the air on average, how often each is heard (s), and what is not
    heard (`floor`, and a share that is `lost`)."""

    airports: Airports
    begin: datetime
    aloft: int = 12_500
    every_s: float = 10.0
    hours: float = 24.0
    seed: int = 7
    lost: float = 0.03
    floor: Floors = EVERYWHERE
    wind: Wind = CALM
    feed: str = "synthetic"

    @cached_property
    def schedule(self) -> Schedule:
        """All flights of the day that begin within its hours."""
        rng = np.random.default_rng(self.seed)
        wanted = self.aloft * self.hours * 3600
        parts: list[Schedule] = []
        known, flown = 0, 0.0
        while flown < wanted:
            part = self._fleet(max(self.aloft // 4, 8), known, rng)
            parts.append(part)
            known = int(part.aircraft[-1]) + 1
            flown += float(part.aloft.sum())
        found = _together(parts)
        enough = int(np.searchsorted(np.cumsum(found.aloft), wanted))
        return found.take(found.aircraft <= found.aircraft[min(enough, len(found) - 1)])

    def _fleet(self, count: int, first: int, rng: np.random.Generator) -> Schedule:
        """About so many more aircraft, and what they fly: those that have somewhere to go."""
        kind = rng.choice(len(TYPES), count, p=np.array([share for _, share in TYPES]) / 100)
        home = rng.choice(self._hubs, count, p=self._weights)
        places, suited = self._places(home, kind, rng)
        kind, home, places = kind[suited], home[suited], places[suited]
        count = len(kind)
        aircraft, where, at_home = first + np.arange(count), home.copy(), np.ones(count, bool)
        busy_s = BUSY_SHARE * self.hours * 3600
        ready = rng.uniform(0, self.hours * 3600 - busy_s, count) - rng.uniform(0, EARLIER_S, count)
        until = ready + busy_s
        flown: list[Schedule] = []
        while (ready < until).any():
            going = np.flatnonzero(ready < until)
            chosen = places[going, rng.choice(len(PLACE_SHARES), len(going), p=PLACE_SHARES)]
            there = np.where(at_home[going], chosen, home[going])
            flight = self._flights(aircraft[going], kind[going], where[going], there, ready[going], rng)
            flown.append(flight)
            where[going], at_home[going] = there, ~at_home[going]
            stay = 60 * TURNAROUND_MIN * np.exp(TURNAROUND_SPREAD * rng.standard_normal(len(going)))
            ready[going] += flight.aloft + np.maximum(stay, 2 * TAXI_S + 300)
        made = _together(flown)
        made = made.take((made.takeoff > TAXI_S) & (made.takeoff < self.hours * 3600))
        return made.take(np.lexsort((made.takeoff, made.aircraft)))

    @cached_property
    def _hubs(self) -> Ints:
        """Rows of the airports that this traffic knows: those of some size with scheduled service."""
        return np.flatnonzero(self.airports.notable & self.airports.scheduled)

    @cached_property
    def _weights(self) -> Floats:
        """How much of the traffic each of them has."""
        rng = np.random.default_rng(self.seed + 1)
        large = self.airports.size[self._hubs] == "large"
        weight = np.where(large, LARGE_WEIGHT, 1.0) * rng.pareto(WEIGHT_TAIL, len(self._hubs))
        return np.asarray(weight / weight.sum())

    def _places(self, home: Ints, kind: Ints, rng: np.random.Generator) -> tuple[Ints, NDArray[np.bool_]]:
        """The places that each aircraft flies to, usual ones first: of those drawn the ones whose distance suits the type
        best, the best one again where there are too few. And whether there is any."""
        usual = np.array([performance(code).range_nm for code, _ in TYPES])[kind][:, None] * USUAL_SHARE
        drawn = rng.choice(self._hubs, (len(home), DRAWN), p=self._weights)
        lat, lon = self.airports.latitude, self.airports.longitude
        away = distance_nm(lat[home][:, None], lon[home][:, None], lat[drawn], lon[drawn])
        odd = np.abs(np.log(np.maximum(away, 1.0) / usual))
        odd[(away < SHORTEST_NM) | (away > np.minimum(FARTHEST * usual, LONGEST_NM))] = np.inf
        best = np.argsort(odd, axis=1)[:, : len(PLACE_SHARES)]
        places = np.take_along_axis(drawn, best, axis=1)
        suited = np.isfinite(np.take_along_axis(odd, best, axis=1))
        return np.where(suited, places, places[:, :1]), suited[:, 0]

    def _flights(
        self, aircraft: Ints, kind: Ints, origin: Ints, there: Ints, takeoff: Floats, rng: np.random.Generator
    ) -> Schedule:
        """One flight of each of these aircraft, with its three phases."""
        lat, lon = self.airports.latitude, self.airports.longitude
        distance = distance_nm(lat[origin], lon[origin], lat[there], lon[there])
        cruise_kt = np.array([performance(code).cruise_kt for code, _ in TYPES])[kind]
        climb = np.array([kind_of(code).climb_ft_min for code, _ in TYPES])[kind]
        slow = np.array([kind_of(code).terminal_kt for code, _ in TYPES])[kind]
        ceiling = np.array([kind_of(code).ceiling_ft for code, _ in TYPES])[kind] - 1000
        level = np.minimum(CRUISE_FT + CRUISE_STEP_FT * rng.integers(0, 5, len(kind)), ceiling)
        middle = unit_vectors(lat[origin], lon[origin]) + unit_vectors(lat[there], lon[there])
        mid_lat = np.degrees(np.arctan2(middle[:, 2], np.hypot(middle[:, 0], middle[:, 1])))
        mid_lon = np.degrees(np.arctan2(middle[:, 1], middle[:, 0]))
        east, north = self.wind.at(mid_lat, mid_lon, level)
        fast = ground_speed(cruise_kt, bearing_deg(mid_lat, mid_lon, lat[there], lon[there]), east, north)
        mean_kt = (slow + fast) / 2
        nm_per_ft = mean_kt / 60 * (1 / climb + 1 / DESCENT_FT_MIN)  # what a foot of height costs, up and down
        level = np.minimum(level, 0.9 * distance / nm_per_ft)
        climbing, descending = level / climb * 60, level / DESCENT_FT_MIN * 60
        cruising = (distance - mean_kt * (climbing + descending) / 3600) / fast * 3600
        return Schedule(
            aircraft=aircraft,
            kind=kind,
            origin=origin,
            destination=there,
            takeoff=takeoff.copy(),
            aloft=climbing + cruising + descending,
            distance=distance,
            cruise_ft=level,
            climbing=climbing,
            descending=descending,
            slow=slow,
            fast=fast,
            aside=DOGLEG * rng.standard_normal(len(kind)) * distance,
            bend=rng.uniform(0.3, 0.7, len(kind)),
        )

    def pieces(self, rows: int = PIECE_ROWS) -> Iterator[pa.Table]:
        """The positions as tables of `POSITIONS` of about so many rows: whole aircraft, in order."""
        flights = self.schedule
        per_flight = (flights.aloft + 2 * TAXI_S) / self.every_s
        number = np.cumsum(per_flight) // rows
        first = np.r_[True, flights.aircraft[1:] != flights.aircraft[:-1]]
        number = number[np.maximum.accumulate(np.where(first, np.arange(len(flights)), 0))]  # an aircraft stays whole
        for piece in np.unique(number):
            yield self.rows(flights.take(number == piece), np.random.default_rng((self.seed, int(piece))))

    def rows(self, flights: Schedule, rng: np.random.Generator) -> pa.Table:
        """The positions of some flights."""
        counts = ((flights.aloft + 2 * TAXI_S) // self.every_s).astype(np.int64) + 1
        of = np.repeat(np.arange(len(flights)), counts)
        since = (np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)) * self.every_s - TAXI_S
        kept = rng.random(len(of), np.float32) >= self.lost
        of, since = of[kept], since[kept]
        share, height_share, speed, rate = _progress(flights, of, np.asarray(since, np.float64))
        latitude, longitude, track = self._along(flights, of, share)
        elevation = self.airports.elevation_ft
        ground_ft = elevation[flights.origin][of] * (1 - share) + elevation[flights.destination][of] * share
        altitude = ground_ft * (1 - height_share) + flights.cruise_ft[of] * height_share
        heard = self.floor.hears(latitude, longitude, altitude)
        if not heard.all():
            of, since, latitude, longitude, altitude = of[heard], since[heard], latitude[heard], longitude[heard], altitude[heard]
            speed, track, rate = speed[heard], track[heard], rate[heard]
        onground = (since < 0) | (since > flights.aloft[of])
        time = micros(self.begin) + ((flights.takeoff[of] + since) * 1e6).astype(np.int64)
        columns: dict[str, pa.Array] = {
            "timestamp": pa.array(time, pa.timestamp("us", "UTC")),
            "icao24": _words([_address(a) for a in flights.aircraft.tolist()], of),
            "callsign": _words([f"SYN{t:05.0f}" for t in flights.takeoff.tolist()], of),
            "registration": _words([f"SYN-{a}" for a in flights.aircraft.tolist()], of),
            "typecode": _words([TYPES[k][0] for k in flights.kind.tolist()], of),
            "latitude": pa.array(np.round(latitude, 5)),
            "longitude": pa.array(np.round(longitude, 5)),
            "altitude": pa.array((np.round(altitude / 25) * 25).astype(np.float32), mask=onground),
            "groundspeed": pa.array(np.where(onground, TAXI_KT, np.round(speed, 1)).astype(np.float32)),
            "track": pa.array(np.round(track, 1).astype(np.float32)),
            "vertical_rate": pa.array((np.round(rate / 64) * 64).astype(np.float32), mask=onground),
            "onground": pa.array(onground),
            "source": pa.repeat(pa.scalar("adsb"), len(of)),
            "feed": pa.repeat(pa.scalar(self.feed), len(of)),
        }
        return pa.table([columns.get(f.name, pa.nulls(len(of), f.type)) for f in POSITIONS], schema=POSITIONS)

    def _along(self, flights: Schedule, of: Ints, share: Floats) -> tuple[Floats, Floats, Floats]:
        """Latitude, longitude and direction at a share of each flight's way: along the great circle, and aside of it as
        the dogleg leads (which changes the direction by a few degrees, left out here)."""
        lat, lon = self.airports.latitude, self.airports.longitude
        start = unit_vectors(lat[flights.origin], lon[flights.origin])
        end = unit_vectors(lat[flights.destination], lon[flights.destination])
        angle = np.arccos(np.clip((start * end).sum(axis=1), -1, 1))
        pole = np.cross(start, end)
        pole /= np.maximum(np.linalg.norm(pole, axis=1), 1e-9)[:, None]
        ahead = np.cross(pole, start)
        bend = flights.bend[of]
        aside = (flights.aside / EARTH_RADIUS_NM)[of] * np.minimum(share / bend, (1 - share) / (1 - bend))
        turned = angle[of] * share
        cos_t, sin_t = np.cos(turned), np.sin(turned)
        x, y, z = (start[of, i] * cos_t + ahead[of, i] * sin_t + pole[of, i] * aside for i in range(3))
        latitude = np.degrees(np.arctan2(z, np.hypot(x, y)))
        longitude = np.degrees(np.arctan2(y, x))
        northward = ahead[of, 2] * cos_t - start[of, 2] * sin_t
        return latitude, longitude, np.degrees(np.arctan2(pole[of, 2], northward)) % 360

    def write(self, file: Path) -> int:
        """Writes the day as one Parquet file, a row group a piece, sorted by aircraft and time. Returns how many positions
        there are. In memory is one piece at a time."""
        written = 0
        with pq.ParquetWriter(file, POSITIONS, compression="zstd") as writer:
            for piece in self.pieces():
                writer.write_table(piece)
                written += len(piece)
        return written

    def truth(self) -> pd.DataFrame:
        """The flights of the day, a row each, as tables of known flights have them."""
        flights = self.schedule
        begin = pd.Timestamp(self.begin)
        ident = np.array(self.airports.ident, dtype=object)
        return pd.DataFrame(
            {
                "icao24": [_address(a) for a in flights.aircraft.tolist()],
                "takeoff_time": begin + pd.to_timedelta(flights.takeoff, unit="s"),
                "landing_time": begin + pd.to_timedelta(flights.takeoff + flights.aloft, unit="s"),
                "origin": ident[flights.origin],
                "destination": ident[flights.destination],
            }
        )


def _progress(flights: Schedule, of: Ints, since: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """For moments since take-off: the share of the way that is flown, the share of the cruising height that is reached,
    the speed (kt) and the rate of climb (ft/min). The speed changes evenly with time in climb and descent."""
    aloft, climb, descend = flights.aloft[of], flights.climbing[of], flights.descending[of]
    slow, fast, level = flights.slow[of], flights.fast[of], flights.cruise_ft[of]
    seconds = np.clip(since, 0, aloft)
    up, down = np.minimum(seconds, climb), np.maximum(seconds - (aloft - descend), 0.0)
    height_share = np.minimum(up / climb, 1 - down / descend)
    lost = (fast - slow) * (climb / 2 - (climb - up) ** 2 / (2 * climb) + down**2 / (2 * descend))  # kt s, against cruise
    way = fast * seconds - lost
    rate = np.where(seconds < climb, level / climb, 0.0) - np.where(down > 0, level / descend, 0.0)
    return way / 3600 / flights.distance[of], height_share, slow + (fast - slow) * height_share, 60 * rate


def _address(number: int) -> str:
    return f"{FIRST_ADDRESS + number:06x}"


def _words(words: Sequence[str], of: Ints) -> pa.Array:
    """A word for each row, out of one for each flight."""
    return pa.DictionaryArray.from_arrays(pa.array(of.astype(np.int32)), pa.array(words, pa.string())).cast(pa.string())


def _together(parts: Sequence[Schedule]) -> Schedule:
    return Schedule(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in Schedule.__dataclass_fields__})
