"""The day traces that readsb's web sites keep, one file an aircraft and day:

    <base>/globe_history/2025/01/03/traces/1f/trace_full_15521f.json

A 404 says that the receivers of that site did not see the aircraft on that day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from flightwatch.errors import FeedError
from flightwatch.feeds.history import Brought, Clock, Flight, Missing, Piece, Polite, Watcher, by_day, kept
from flightwatch.feeds.http import Http

SPACING_S = 0.5
NOT_SEEN = ("http_404", "http_204")
FORMAT = "readsb-trace"


@dataclass
class DayTraces:
    """One such site as a source; one piece is an aircraft on a day. `keeps_days` is for how long a site keeps them, if
    not for good: what is older says nothing."""

    http: Http
    clock: Clock
    base: str
    name: str
    service: str | None
    keeps_days: int | None = None
    _polite: Polite = field(init=False)

    def __post_init__(self) -> None:
        self._polite = Polite(self.clock, SPACING_S)

    def pieces(self, missing: Missing, flights: Callable[[], Sequence[Flight]]) -> Iterator[Piece]:
        for day, aircraft in by_day(missing):
            for icao24 in aircraft:
                yield Piece(f"{icao24}-{day}", day, day, (icao24,), FORMAT, address(self.base, icao24, day))

    def fetch(self, piece: Piece, folder: Path, watcher: Watcher) -> Brought:
        path = folder / piece.address.rsplit("/", 1)[-1]
        if path.exists():
            return Brought((path,))
        try:
            body = self._polite.ask(lambda: self.http.get(piece.address))
        except FeedError as error:
            if error.reason not in NOT_SEEN:
                raise
            age = (self.clock.now().date() - piece.first).days
            return Brought(known=self.keeps_days is None or age < self.keeps_days)
        return Brought((kept(path, body),))


def address(base: str, icao24: str, day: date) -> str:
    """Where the trace of an aircraft and a day is."""
    return f"{base.rstrip('/')}/globe_history/{day:%Y/%m/%d}/traces/{icao24[-2:]}/trace_full_{icao24}.json"
