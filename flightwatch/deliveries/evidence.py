"""What an evidence page says of an alert: plain records, words that are ready to be read, and the positions that may be shown.

They are put together by `flightwatch.evidence`; `pages` lays them out, `drawings` draws them, `downloads` writes the track for
other programs. All text may come from strangers, and is escaped where it is laid out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flightwatch.records import Basis, Held, Rarity, Severity, Stage

Floats = NDArray[np.float64]
Line = tuple[float, float, float, float]
"""From one point to another: latitude, longitude, latitude, longitude (deg)."""


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """Positions that are believed and may be shown, in order; arrays of one length. `seconds` since 1970; deg; ft, kt and deg
    true, NaN where nobody sent them. A hole lies before each index in `breaks`. `total` is how many there were before
    they were thinned."""

    seconds: NDArray[np.int64]
    latitude: Floats
    longitude: Floats
    altitude: Floats
    groundspeed: Floats
    course: Floats
    onground: NDArray[np.bool_]
    aircraft: tuple[str, ...]
    callsign: tuple[str, ...]
    feed: tuple[str, ...]
    source: tuple[str, ...]
    breaks: tuple[int, ...]
    total: int

    def __len__(self) -> int:
        return len(self.seconds)

    def pieces(self) -> list[slice]:
        """The stretches between holes."""
        edges = [0, *self.breaks, len(self)]
        return [slice(a, b) for a, b in pairwise(edges) if b > a]


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on the map. `probability` is that of a candidate for an end that nobody saw; null for a place that is
    known, or only a landmark."""

    name: str
    latitude: float
    longitude: float
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A candidate for an end that nobody saw; without an airport it is that none of them is right."""

    name: str
    ident: str
    country: str
    probability: float
    away_nm: float | None


@dataclass(frozen=True, slots=True)
class UnseenEnd:
    """An end of a flight that nobody saw, with all its candidates."""

    title: str
    reason: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Hole:
    """A time without a position to show, and what is known of it."""

    since: datetime
    until: datetime
    words: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Height and speed of one flight over time: the positions from one index of the way to below another."""

    title: str
    since: datetime
    until: datetime
    first: int
    stop: int
    holes: tuple[Hole, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A flight or a stay, for the timeline and its table. Between `began` and `ended` (either may be an interval) it was seen
    in the spans of `seen`."""

    kind: str
    words: str
    certainty: str
    began: tuple[datetime, datetime]
    ended: tuple[datetime, datetime]
    seen: tuple[tuple[datetime, datetime], ...]
    when: str
    rests_on: str


@dataclass(frozen=True, slots=True)
class PastVisit:
    """An earlier visit of the aircraft. `watched`: on a day that counts."""

    day: date
    words: str
    watched: bool


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of positions that the alert rests on; `sha256` is null where it is gone."""

    path: str
    feed: str
    rows: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class DecisionMade:
    """What was decided about the alert, by the time of the data."""

    time: datetime
    stage: str
    reason: str
    told: bool


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Everything that the page of an alert says.

    `changed` is when the alert was last written down, `written` when the page was. `watched` are the spans of days before
    the alert's (`day`) on which the aircraft would have been seen. `dashed` are inferred ways. `withheld` says whose
    positions are left out, and why; `track_note` what else is to be known of those that are shown; `downloads`, that
    they may be had.
    """

    alert_id: str
    number: int
    stage: Stage
    severity: Severity
    headline: str
    qualifier: str
    facts: tuple[str, ...]
    notes: tuple[str, ...]
    opened: datetime
    updated: datetime
    changed: datetime
    written: datetime
    version: str
    rules: tuple[tuple[str, str, str], ...]
    held_for: str
    held: tuple[Held, ...]
    rarity: tuple[Rarity, ...]
    day: date
    watched: tuple[tuple[date, date], ...]
    visits: tuple[PastVisit, ...]
    steps: tuple[Step, ...]
    ends: tuple[UnseenEnd, ...]
    way: Way
    dashed: tuple[Line, ...]
    spots: tuple[Spot, ...]
    profiles: tuple[Profile, ...]
    withheld: str
    track_note: str
    decisions: tuple[DecisionMade, ...]
    files: tuple[StoredFile, ...]
    files_note: str
    sources: tuple[str, ...]
    trackers: tuple[tuple[str, str, str], ...]
    reconstructed: bool


@dataclass(frozen=True, slots=True)
class IndexRow:
    """An alert in the index. `page` is empty where it has no page."""

    alert_id: str
    page: str
    headline: str
    qualifier: str
    stage: Stage
    severity: Severity
    rules: tuple[str, ...]
    aircraft: str
    address: str
    day: date
    updated: datetime


def basis_words(basis: Basis, probability: float) -> str:
    """`observed`, `inferred 0.93`, `unknown`."""
    if basis == "observed":
        return "observed"
    return "unknown" if basis == "unknown" else f"inferred {'over 0.99' if probability > 0.99 else f'{probability:.2f}'}"
