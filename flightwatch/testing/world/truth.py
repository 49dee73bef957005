"""What really happened in a made-up world: the legs, and which parts of them anybody could see.

Real data have no such thing. `write_truth` writes it in the form that tables of known flights have: a row a leg with
address, times and airports, in which an airport that nobody could observe may be left blank.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path as FilePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flightwatch.records import utc
from flightwatch.testing.world.flights import Flight, Path

SAME_JOURNEY = timedelta(hours=12)
"""Stays shorter than this belong to one journey."""


@dataclass(frozen=True, slots=True)
class TrueLeg:
    """One flight as it was. `first_seen` and `last_seen` bound what could be seen of it, on the ground or in the air;
    `positions` counts it, `airborne` only what flies.

    `origin_observable`: it could be seen on the ground before it took off, `destination_observable`: after it landed.
    `unseen_before_s` and `unseen_after_s` are how long it flew before it was first, and after it was last seen
    flying (None where it never was).
    """

    icao24: str
    registration: str
    typecode: str
    callsign: str
    takeoff_time: datetime
    landing_time: datetime
    origin: str
    destination: str
    origin_observable: bool
    destination_observable: bool
    first_seen: datetime | None
    last_seen: datetime | None
    positions: int
    airborne: int
    unseen_before_s: float | None
    unseen_after_s: float | None


def true_leg(flight: Flight, course: Path, visible: NDArray[np.bool_]) -> TrueLeg:
    """The leg of a flight, given which points of its path can be seen."""
    flying = visible & ~course.onground
    standing = visible & course.onground
    landed_s = course.aloft_s
    seen = course.times[visible]
    aloft = course.seconds[flying]
    return TrueLeg(
        icao24=flight.icao24,
        registration=flight.registration,
        typecode=flight.typecode,
        callsign=flight.callsign,
        takeoff_time=utc(course.start_us),
        landing_time=utc(course.start_us) + timedelta(seconds=round(landed_s)),
        origin=flight.origin,
        destination=flight.destination,
        origin_observable=bool((standing & (course.seconds < 0)).any()),
        destination_observable=bool((standing & (course.seconds > 0)).any()),
        first_seen=utc(int(seen[0])) if len(seen) else None,
        last_seen=utc(int(seen[-1])) if len(seen) else None,
        positions=int(visible.sum()),
        airborne=int(flying.sum()),
        unseen_before_s=float(aloft[0]) if len(aloft) else None,
        unseen_after_s=landed_s - float(aloft[-1]) if len(aloft) else None,
    )


def true_journeys(legs: Sequence[TrueLeg]) -> list[tuple[TrueLeg, ...]]:
    """The legs of one aircraft, in order, as chains with short stays between."""
    numbers = np.cumsum([0, *(b.takeoff_time - a.landing_time >= SAME_JOURNEY for a, b in pairwise(legs))])
    return [tuple(leg for _, leg in chain) for _, chain in groupby(zip(numbers, legs, strict=True), key=lambda pair: pair[0])]


def truth_frame(legs: Iterable[TrueLeg], *, blank_unseen: bool = False) -> pd.DataFrame:
    """The legs as a table, a row each. `blank_unseen` leaves out the airports that nobody could see it at: there an
    answer is neither right nor wrong, but must not be called observed."""
    frame = pd.DataFrame([asdict(leg) for leg in legs])
    if blank_unseen and len(frame):
        for end in ("origin", "destination"):
            frame[end] = frame[end].where(frame[f"{end}_observable"])
    return frame.drop(columns=["first_seen", "last_seen"], errors="ignore")


def write_truth(file: FilePath, legs: Iterable[TrueLeg], *, blank_unseen: bool = False) -> None:
    """Writes `truth_frame` as CSV."""
    truth_frame(legs, blank_unseen=blank_unseen).to_csv(file, index=False)
