"""OpenSky's past: the flights of an aircraft (`/flights/aircraft`) and the tracks of those of the last 30 days
(`/tracks/all`).

Both want an account. A window of flights has two UTC dates at the most and ends yesterday; no flight in it is a 404 with
an empty body. Flights and tracks have credits of their own; the service says what is left of them, and for how long it
wants no more questions when they are used up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import msgspec

from flightwatch.errors import FeedError
from flightwatch.feeds.columns import LATEST_S, typed
from flightwatch.feeds.credentials import ClientCredentials, authorized
from flightwatch.feeds.history import Brought, Clock, Missing, Piece, Polite, Watcher, kept, windows
from flightwatch.feeds.http import Http

FLIGHTS, TRACK = "opensky-flights", "opensky-track"
DAYS_OF_A_WINDOW = 2

CREDITS = 30
"""For flights or a track of one or two days, as OpenSky's documentation has it."""

TRACKS_KEPT = timedelta(days=30)


class Flight(msgspec.Struct):
    """What a track is asked for by, of a flight in a reply; both in seconds since 1970."""

    firstSeen: Annotated[int, msgspec.Meta(ge=0, le=int(LATEST_S))]  # noqa: N815  # as the service writes it
    lastSeen: Annotated[int, msgspec.Meta(ge=0, le=int(LATEST_S))]  # noqa: N815


def _flights(body: bytes) -> list[Flight]:
    """Those of a reply; what is none is refused when it is imported."""
    try:
        listed = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return []
    return typed(listed, Flight)[0] if isinstance(listed, list) else []


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

    def pieces(self, missing: Missing) -> Iterator[Piece]:
        """The windows, by time; the tracks follow from the flights that they bring."""
        spans = [(span, icao24) for icao24, days in missing.items() for span in windows(days, DAYS_OF_A_WINDOW)]
        for (first, last), icao24 in sorted(spans):
            url = self._window(icao24, first, last)
            yield Piece(f"flights-{icao24}-{first}-{last}", first, last, (icao24,), FLIGHTS, url, allowance=FLIGHTS)

    def _tracks(self, piece: Piece, body: bytes) -> Iterator[Piece]:
        """Those of the flights of a window, which may be had for a month."""
        (icao24,) = piece.aircraft
        for flight in _flights(body):
            takeoff = datetime.fromtimestamp(flight.firstSeen, UTC)
            if takeoff > self.clock.now() - TRACKS_KEPT:
                at = (flight.firstSeen + flight.lastSeen) // 2
                url = f"{self.base}/tracks/all?{urlencode({'icao24': icao24, 'time': at})}"
                day = takeoff.date()
                yield Piece(f"track-{icao24}-{at}", day, day, (icao24,), TRACK, url, covers=False, allowance=TRACK)

    def _window(self, icao24: str, first: date, last: date) -> str:
        begin = datetime.combine(first, time(), UTC)
        end = datetime.combine(last, time(23, 59, 59), UTC)
        asked = {"icao24": icao24, "begin": int(begin.timestamp()), "end": int(end.timestamp())}
        return f"{self.base}/flights/aircraft?{urlencode(asked)}"

    def fetch(self, piece: Piece, folder: Path, watcher: Watcher) -> Brought:
        path = folder / f"{piece.key}.json"
        if path.exists():
            return self._brought(piece, path)
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
        return self._brought(piece, kept(path, reply.body))

    def _brought(self, piece: Piece, path: Path) -> Brought:
        return Brought((path,), following=tuple(self._tracks(piece, path.read_bytes())) if piece.format == FLIGHTS else ())

    def _dry(self, piece: Piece) -> str:
        what = "flights" if piece.format == FLIGHTS else "tracks"
        return f"{self.name}: the day's credits for {what} are used up ({self.left[piece.format]} left, {CREDITS} are needed)"

    def _until_tomorrow_s(self) -> float:
        now = self.clock.now()
        return (datetime.combine(now.date() + timedelta(days=1), time(), UTC) - now).total_seconds()
