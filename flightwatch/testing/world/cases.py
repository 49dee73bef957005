"""Reported flights between Russia and North Korea, 2018 to 2026, reconstructed: where, when and by whom is from press
reports as far as they say; the tracks, and whatever they leave open, are assumed here. None of it was observed.

A case is a row of hops. Times are UTC. Where no tail number was told the aircraft is made up (RA-989.., P-99.), and where
reports say only Moscow the flight begins at the home of those who fly it. What is assumed beyond that stands in
`assumed`. Visits of which reports tell no route (14 November 2023, 17 June, July and 28 November 2024, 11 July 2025)
are left out, but for one that no feed heard at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from flightwatch.aircraft import address_of
from flightwatch.places import Airports
from flightwatch.places.great_circle import distance_nm
from flightwatch.records import utc
from flightwatch.testing.world.coverage import INLAND_SIBERIA, NORTH_KOREA, Region
from flightwatch.testing.world.flights import Flight, landing_at, onward, path, silent_from
from flightwatch.testing.world.seeing import World

Point = tuple[float, float]

ALONG_THE_BORDER: tuple[Point, ...] = (
    (56.8, 60.6),
    (55.0, 82.9),
    (52.3, 104.4),
    (52.0, 113.5),
    (50.3, 127.5),
    (48.5, 135.2),
    (44.0, 132.3),
    (42.0, 130.9),
)
"""Moscow to Pyongyang as it is flown: within Russia along the Chinese border, then down the coast."""

OVER_THE_SEA: tuple[Point, ...] = ((41.6, 131.2), (40.0, 129.2))
"""Vladivostok to Wonsan, off the coast."""

ACROSS_RUSSIA = ALONG_THE_BORDER[:-2]

WAYS: dict[tuple[str, str], tuple[Point, ...]] = {
    **{(origin, "ZKPY"): ALONG_THE_BORDER for origin in ("UUMU", "UUWW", "UUEE", "ULLI")},
    **{("UHWW", west): tuple(reversed(ACROSS_RUSSIA)) for west in ("UUMU", "RU-8602")},
    ("UUMU", "UHWW"): ACROSS_RUSSIA,
    ("UNNT", "UHWW"): ACROSS_RUSSIA[2:],
    ("UNKL", "ZKPY"): ALONG_THE_BORDER[2:],
    ("UEEE", "ZKPY"): ALONG_THE_BORDER[-2:],
    ("UHWW", "ZKWS"): OVER_THE_SEA,
}
"""How these routes are flown, and back the same way; all others are flown straight."""

SEEN_FROM_THE_SOUTH_FT = 12_000.0
"""What flies higher over North Korea was heard from beyond its borders on some days."""

SOUTHERN_EARS: tuple[Region, ...] = (replace(NORTH_KOREA, below_ft=SEEN_FROM_THE_SOUTH_FT), INLAND_SIBERIA)

STATIONS = (NORTH_KOREA, INLAND_SIBERIA)


@dataclass(frozen=True)
class Hop:
    """One flight of a case. Of the first `off` (leaves the ground) or `on` (touches down) is given, of later ones
    that or `after_min`, the minutes since the one before it landed.

    Its signal is lost at a time or place, and found again at another: nothing in between is heard by anybody.
    """

    route: str
    callsign: str = ""
    off: str | None = None
    on: str | None = None
    after_min: float | None = None
    over: tuple[Point, ...] | None = None
    lost: str | Point | None = None
    found: str | Point | None = None


@dataclass(frozen=True)
class Case:
    """A reported trip: of one aircraft, or of several that flew alike, `apart_min` minutes one after the other. `others`
    are those of them that are of other types."""

    name: str
    tails: tuple[str, ...]
    typecode: str
    hops: tuple[Hop, ...]
    assumed: str = ""
    military: bool = True
    apart_min: float = 0.0
    others: tuple[tuple[str, str], ...] = ()
    holes: tuple[Region, ...] = STATIONS

    def flights(self, airports: Airports) -> tuple[Flight, ...]:
        """All flights of the case, aircraft by aircraft, in order."""
        found: list[Flight] = []
        for number, (tail, typecode) in enumerate([*((tail, self.typecode) for tail in self.tails), *self.others]):
            later = timedelta(minutes=number * self.apart_min)
            found += [replace(f, takeoff=f.takeoff + later) for f in self._of(tail, typecode, airports)]
        return tuple(found)

    def world(self, airports: Airports) -> World:
        """The case, as feeds would have heard it."""
        return World(self.flights(airports), airports, self.holes)

    def _of(self, tail: str, typecode: str, airports: Airports) -> list[Flight]:
        flights: list[Flight] = []
        for hop in self.hops:
            origin, there = ends_of(hop.route)
            over = way_of(hop.route) if hop.over is None else hop.over
            if flights and hop.after_min is not None:
                stay = timedelta(minutes=hop.after_min)
                flight = onward(flights[-1], airports, stay, there, hop.callsign, over=over)
            else:
                start = _time(hop.off or hop.on or "")
                address = ADDRESSES.get(tail) or address_of(tail) or ""
                flight = Flight(address, tail, typecode, hop.callsign, origin, there, start, over, military=self.military)
                if hop.off is None:
                    flight = landing_at(flight, airports, start)
            flights.append(_with_silence(flight, hop, airports))
        return flights


ADDRESSES = {
    "P-633": "7277a9",
    "P-671": "7277cf",
    "P-881": "7278a1",
    "P-885": "7278a5",
    **{f"P-99{n}": f"727f0{n}" for n in range(6)},
}
"""Addresses of North Korean aircraft, the last six made up."""


def ends_of(route: str) -> tuple[str, str]:
    """`UHWW>ZKPY`; idents have dashes in them."""
    origin, _, there = route.partition(">")
    return origin, there


def way_of(route: str) -> tuple[Point, ...]:
    """The points that a route is flown over."""
    origin, there = ends_of(route)
    return WAYS.get((origin, there)) or tuple(reversed(WAYS.get((there, origin), ())))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _with_silence(flight: Flight, hop: Hop, airports: Airports) -> Flight:
    if hop.lost is None:
        return flight
    return silent_from(flight, _moment(hop.lost, flight, airports), _moment(hop.found, flight, airports) if hop.found else None)


def _moment(when: str | Point, flight: Flight, airports: Airports) -> datetime:
    """A time, or when the flight passes a point."""
    if isinstance(when, str):
        return _time(when)
    course = path(flight, airports, 20.0)
    return utc(int(course.times[np.argmin(distance_nm(*when, course.latitude, course.longitude))]))


CASES = (
    Case("R01", ("RA-98901",), "IL62", (Hop("UUMU>ZKPY", on="2019-07-03 01:00"),), "the day"),
    Case(
        "R02",
        ("RA-98902",),
        "IL76",
        (Hop("ZSPD>UHWW", "SYN902", off="2022-01-25 00:30", over=((36.5, 124.2), (39.2, 125.7), (41.5, 129.8))),),
        "the clock, and that it passed over Pyongyang",
        military=False,
    ),
    Case(
        "R03",
        ("RA-96102",),
        "IL96",
        (Hop("UUWW>ZKPY", on="2023-07-25 05:00"), Hop("ZKPY>UUWW", off="2023-07-27 16:00")),
        "the clocks",
    ),
    Case(
        "R04",
        ("RA-86559",),
        "IL62",
        (Hop("UUMU>ZKPY", on="2023-07-31 21:40"), Hop("ZKPY>UUMU", off="2023-08-02 09:40")),
        "the clocks",
    ),
    Case(
        "R05",
        ("RA-86559",),
        "IL62",
        (Hop("UUMU>ZKPY", "RFF7237", on="2023-09-25 22:20"), Hop("ZKPY>UUMU", "RFF7237", off="2023-09-27 23:20")),
        "the clocks",
    ),
    Case(
        "R06",
        ("RA-86559",),
        "IL62",
        (
            Hop("UUMU>UHWW", "RFF78376", off="2023-11-06 14:00"),
            Hop("UHWW>ZKPY", "RFF7260", after_min=120),
            Hop("ZKPY>UHWW", "RFF7260", off="2023-11-11 01:00"),
            Hop("UHWW>UUMU", "RFF78376", after_min=120),
        ),
        "the clocks",
    ),
    Case("R08", ("RA-98908",), "IL62", (Hop("UHWW>ZKPY", on="2023-11-22 03:25"),)),
    Case("R09", ("RA-98909",), "IL62", (Hop("UHWW>ZKPY", on="2024-01-06 03:00"),)),
    Case(
        "R10",
        ("RA-76842",),
        "IL76",
        (
            Hop("ZSPD>ZKPY", "SYN842", off="2024-03-11 08:30", over=((40.2, 119.5),)),
            Hop("ZKPY>ZYTX", "SYN842", after_min=120),
        ),
        "that it was heading north over the Gulf of Bohai before it turned, and where in China it went afterwards",
        military=False,
    ),
    Case(
        "R11",
        ("RA-98911",),
        "T204",
        (Hop("UUWW>ZKPY", on="2024-06-02 21:00"), Hop("ZKPY>UUWW", off="2024-06-04 12:24")),
        "the ten hours of one report, not the five of the other; the airport of the return",
    ),
    Case(
        "R13",
        ("RA-98913", "RA-98914", "RA-98915"),
        "IL96",
        (Hop("UEEE>ZKPY", on="2024-06-18 16:13"),),
        "the middle one of the three landings",
        apart_min=42.0,
    ),
    Case(
        "R15",
        ("RA-85843",),
        "T154",
        (
            Hop("UUMU>UNNT", "RFF7015", off="2024-08-13 20:00"),
            Hop("UNNT>UHWW", "RFF7015", after_min=120),
            Hop("UHWW>ZKPY", "RFF7016", after_min=90),
            Hop("ZKPY>UHWW", "RFF7016", off="2024-08-15 08:00"),
            Hop("UHWW>UNNT", "RFF7015", after_min=90),
            Hop("UNNT>UUMU", "RFF7015", after_min=90),
        ),
        "clocks and callsigns",
    ),
    Case(
        "R16",
        ("RA-85843",),
        "T154",
        (Hop("UHWW>ZKPY", off="2024-08-25 22:12"), Hop("ZKPY>UHWW", off="2024-08-26 01:36")),
    ),
    Case("R17", ("RA-64530",), "T204", (Hop("ULLI>ZKPY", on="2024-09-13 00:30"),)),
    Case(
        "R18",
        ("RA-85843",),
        "T154",
        (
            Hop("UHWW>ZKWS", off="2024-09-19 10:30", lost="2024-09-19 11:17"),
            Hop("ZKWS>UHWW", on="2024-09-19 18:08", lost="2024-09-19 12:00", found="2024-09-19 17:17"),
        ),
        holes=SOUTHERN_EARS,
    ),
    Case(
        "R19",
        ("RA-86559",),
        "IL62",
        (
            Hop("UUMU>UHWW", "RFF7019", on="2024-09-19 23:00"),
            Hop("UHWW>ZKPY", "RFF7020", on="2024-09-20 02:30"),
            Hop("ZKPY>UHHH", "RFF7020", off="2024-09-20 03:37"),
        ),
        "the landing in Vladivostok, and the callsigns",
    ),
    Case(
        "R20",
        ("RA-86559",),
        "IL62",
        (
            Hop("UHHH>UHWW", on="2024-09-22 08:00"),
            Hop("UHWW>ZKPY", on="2024-09-22 12:00"),
            Hop("ZKPY>UHWW", off="2024-09-22 16:00"),
            Hop("UHWW>UUMU", after_min=90, over=(*reversed(ACROSS_RUSSIA), (58.4, 45.0), (57.7, 40.2)), lost=(57.7, 40.2)),
        ),
        "the clocks but for the landing in Pyongyang, and that the track that ended near Yaroslavl led to Chkalovsky",
    ),
    Case("R21", ("RA-86559",), "IL62", (Hop("UUMU>ZKPY", on="2024-10-17 02:00"),), "the clock"),
    Case(
        "R22",
        ("RA-96014",),
        "IL96",
        (Hop("UUWW>ZKPY", on="2024-10-23 05:30"), Hop("ZKPY>UUWW", off="2024-10-23 12:00")),
        "Sunan, not Hwangju; the clock of the return",
    ),
    Case(
        "R23",
        ("RA-86561",),
        "IL62",
        (
            Hop("UHWW>ZKWS", off="2024-10-27 12:00"),
            Hop("ZKWS>UHWW", off="2024-10-27 14:30"),
            Hop("UHWW>RU-8602", after_min=90, lost=(51.6, 46.32)),
        ),
        "Wonsan, not Hamhung; the evening of two clocks; Engels behind the last position in the fields",
    ),
    Case(
        "R24",
        ("RA-98924",),
        "IL62",
        (
            Hop("UHWW>ZKPY", on="2024-11-07 01:30"),
            Hop("ZKPY>UHWW", after_min=45),
            Hop("UHWW>RU-8602", off="2024-11-08 07:00", lost=(54.7, 49.2), over=(*reversed(ACROSS_RUSSIA), (55.2, 50.0))),
        ),
        "the 7th of two days; Engels at the end of a way that was lost south of Kazan",
    ),
    Case(
        "R26",
        ("RA-98926",),
        "IL96",
        (Hop("UUWW>ZKPY", on="2025-01-08 02:30", lost="2025-01-07 00:00"),),
        "everything: an aircraft stood in Pyongyang on a picture, and no feed had heard it",
    ),
    Case("R27", ("RA-96014",), "IL96", (Hop("UUWW>ZKPY", on="2025-06-17 02:30"),), "which airport of Moscow"),
    Case(
        "R29",
        ("RA-98929",),
        "IL62",
        (Hop("UUMU>UHWW", "RFF7029", on="2025-07-14 00:15"), Hop("UHWW>ZKPY", "RFF7030", on="2025-07-14 03:46")),
        "the landing in Vladivostok, and the callsigns",
    ),
    Case(
        "R30",
        ("RA-73340",),
        "B772",
        (Hop("UUEE>ZKPY", "NWS6107", on="2025-07-28 00:30"), Hop("ZKPY>UUEE", "NWS6108", off="2025-07-29 03:00")),
        "the way back",
        military=False,
    ),
    Case(
        "R31",
        ("RA-67147",),
        "CL60",
        (
            Hop("UUWW>UNKL", off="2025-10-23 14:00"),
            Hop("UNKL>ZKPY", after_min=120),
            Hop("ZKPY>UNKL", off="2025-10-27 03:00"),
        ),
        "the clocks, and where it went from Pyongyang",
        military=False,
    ),
    Case(
        "R32",
        ("RA-86572",),
        "IL62",
        (
            Hop("UUMU>UHWW", "RFF7032", on="2026-02-09 06:30"),
            Hop("UHWW>ZKPY", "RFF7033", on="2026-02-09 10:30"),
            Hop("ZKPY>UHWW", "RFF7033", off="2026-02-10 01:20"),
            Hop("UHWW>UUMU", "RFF7032", after_min=120),
        ),
        "clocks in Vladivostok, and the callsigns",
    ),
    Case(
        "D01",
        ("P-885",),
        "IL62",
        (Hop("ZKPY>UHWW", "KOR685", on="2018-07-09 00:39"), Hop("UHWW>ZKPY", "KOR686", off="2018-07-09 03:40")),
        "the callsigns",
    ),
    Case(
        "D02",
        ("P-990", "P-991", "P-992"),
        "IL76",
        (Hop("ZKPY>UHWW", "KOR990", off="2018-07-30 00:00"),),
        "the clocks",
        military=False,
        apart_min=60.0,
        others=(("P-993", "IL62"), ("P-994", "T154")),
    ),
    Case(
        "D03",
        ("P-671",),
        "A148",
        (Hop("ZKPY>ZKHM", "KOR671", off="2019-04-23 12:40", over=((40.03, 127.95),), lost=(40.03, 127.95)),),
        "Orang behind the place where it was lost",
        military=False,
        holes=SOUTHERN_EARS,
    ),
    Case(
        "D04",
        ("P-671",),
        "A148",
        (Hop("ZKPY>ZKWS", "KOR671", off="2020-04-23 01:00"),),
        "Wonsan: nobody knows where it went; heard from the south for as long as it was high",
        military=False,
        holes=SOUTHERN_EARS,
    ),
    Case(
        "D05",
        ("P-633",),
        "T204",
        (
            Hop(
                "ZKPY>ZKPY",
                "KOR633",
                off="2022-07-14 00:50",
                over=((39.6, 126.6), (39.9, 127.3), (39.75, 127.5), (39.4, 126.8)),
                lost=(39.85, 127.2),
                found=(39.7, 127.4),
            ),
        ),
        "how high it flew",
        military=False,
        holes=SOUTHERN_EARS,
    ),
    Case("D06", ("P-671",), "A148", (Hop("ZKPY>UHWW", "KOR621", off="2023-09-11 21:57"),), military=False),
    Case(
        "D07",
        ("P-995",),
        "T204",
        (Hop("ZKPY>UHWW", "KOR271", off="2023-11-15 23:50"), Hop("UHWW>ZKPY", "KOR272", off="2023-11-16 02:36")),
        military=False,
    ),
    Case(
        "D08",
        ("P-881",),
        "IL62",
        (
            Hop("ZKPY>UUWW", off="2024-08-29 00:00", lost="2024-08-28 00:00", found=(55.9, 39.0)),
            Hop("UUWW>ZKPY", off="2024-08-31 05:48", lost=(56.8, 60.6)),
        ),
        "the clock of the way to Moscow, and how much of both ways was heard",
    ),
)

BY_NAME = {case.name: case for case in CASES}
