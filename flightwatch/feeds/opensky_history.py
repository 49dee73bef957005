"""OpenSky's past: the flights of an aircraft (`/flights/aircraft`) and the tracks of those of the last 30 days
(`/tracks/all`).

Both want an account. A window of flights has two UTC dates at the most and ends yesterday; no flight in it is a 404 with
an empty body. Flights and tracks have credits of their own; the service says what is left of them, and for how long it
wants no more questions when they are used up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import urlencode

from flightwatch.errors import FeedError
from flightwatch.feeds.credentials import ClientCredentials, authorized
from flightwatch.feeds.history import Brought, Clock, Flight, Missing, Piece, Polite, Watcher, kept, windows
from flightwatch.feeds.http import Http

FLIGHTS, TRACK = "opensky-flights", "opensky-track"
DAYS_OF_A_WINDOW = 2

CREDITS = 30
"""For flights or a track of one or two days, as OpenSky's documentation has it."""

TRACKS_KEPT = timedelta(days=30)


@dataclass
class OpenSkyHistory:
    """OpenSky's flights and tracks as a source."""

    http: Http
    clock: Clock
    base: str
    credentials: ClientCredentials
    spacing_s: float
    credits_a_day: int
    name: str = "opensky"
    service: str | None = "opensky"
    left: dict[str, int] = field(default_factory=dict)
    _polite: Polite = field(init=False)

    def __post_init__(self) -> None:
        self._polite = Polite(self.clock, self.spacing_s)

    def pieces(self, missing: Missing, flights: Callable[[], Sequence[Flight]]) -> Iterator[Piece]:
        """The windows first, by time; then the tracks of the flights that they brought."""
        spans = [(span, icao24) for icao24, days in missing.items() for span in windows(days, DAYS_OF_A_WINDOW)]
        for (first, last), icao24 in sorted(spans):
            yield Piece(f"flights-{icao24}-{first}-{last}", first, last, (icao24,), FLIGHTS, self._window(icao24, first, last))
        for icao24, takeoff, landing in flights():
            if takeoff > self.clock.now() - TRACKS_KEPT:
                middle = takeoff + (landing - takeoff) / 2
                at = int(middle.timestamp())
                url = f"{self.base}/tracks/all?{urlencode({'icao24': icao24, 'time': at})}"
                day = takeoff.date()
                yield Piece(f"track-{icao24}-{at}", day, day, (icao24,), TRACK, url, covers=False)

    def _window(self, icao24: str, first: date, last: date) -> str:
        begin = datetime.combine(first, time(), UTC)
        end = datetime.combine(last, time(23, 59, 59), UTC)
        asked = {"icao24": icao24, "begin": int(begin.timestamp()), "end": int(end.timestamp())}
        return f"{self.base}/flights/aircraft?{urlencode(asked)}"

    def fetch(self, piece: Piece, folder: Path, watcher: Watcher) -> Brought:
        path = folder / f"{piece.key}.json"
        if path.exists():
            return Brought((path,))
        left = self.left.get(piece.format, self.credits_a_day)
        if left < CREDITS:
            raise FeedError("credits", self._dry(piece), retry_after_s=self._until_tomorrow_s())
        try:
            reply = self._polite.ask(authorized(self.http, piece.address, self.credentials))
        except FeedError as error:
            self.left[piece.format] = left - CREDITS
            if error.reason != "http_404" or error.body:
                raise
            return Brought()
        told = reply.credits_left
        self.left[piece.format] = left - CREDITS if told is None else told
        if reply.body.strip() == b"[]":
            return Brought()
        return Brought((kept(path, reply.body),))

    def _dry(self, piece: Piece) -> str:
        what = "flights" if piece.format == FLIGHTS else "tracks"
        return f"{self.name}: the day's credits for {what} are used up ({self.left[piece.format]} left, {CREDITS} are needed)"

    def _until_tomorrow_s(self) -> float:
        now = self.clock.now()
        return (datetime.combine(now.date() + timedelta(days=1), time(), UTC) - now).total_seconds()
