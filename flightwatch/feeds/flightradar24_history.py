"""Flightradar24's past, from its API: the flights of an aircraft (`/api/flight-summary/full`) and the track of each
(`/api/flight-tracks`).

Both want a token and cost credits: a question names an aircraft by its registration, and each flight of the answer and
each track is charged. A span has 14 days at the most; each begins a day before the days that it is asked for, so that
no flight is lost at an edge, and one that was still in the air is met again. Plans cut their answers off at so many
flights: then the question goes on from the last of them. Historic positions of the whole sky are not fetched, as each
aircraft of each moment would be charged; saved ones can be imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import urlencode

from flightwatch.errors import FeedError
from flightwatch.feeds.flightradar24 import Summary, moment_of, parse_summaries, parse_tracks
from flightwatch.feeds.history import Brought, Clock, Missing, Piece, Polite, Watcher, kept, windows
from flightwatch.feeds.http import Http

FLIGHTS, TRACK = "fr24-summary", "fr24-tracks"

LONGEST_SPAN = timedelta(days=14)
"""As public clients of the API have it; its documents at hand are silent."""

SHARED = timedelta(days=1)
DAYS_OF_A_WINDOW = (LONGEST_SPAN - SHARED).days

LIMIT = 20_000
"""Flights in one reply, at most."""

CUT_AT = (20, 300, LIMIT)
"""Replies of as many flights may have been cut off: smaller plans are said to answer with 20 or 300 at most."""

FIRST = date(2016, 5, 11)
"""It has nothing from before."""

TRACK_CREDITS = 40
SUMMARY_CREDITS = 8
"""Credits for a track, and for each flight of a summary; the second is not documented at hand and counted as what a full
position costs, so that the count is too high sooner than too low."""

WAITS_S = (60.0, 60.0, 60.0)
"""The limits of the plans are per minute, so after a 429 a minute is enough."""

FLIGHT_ID = re.compile("[0-9a-fA-F]{1,16}")


@dataclass
class Flightradar24History:
    """Flightradar24's flights and tracks as a source. `registration` tells the one of an address on a day, if it is
    known."""

    http: Http
    clock: Clock
    base: str
    spacing_s: float
    registration: Callable[[str, date], str | None]
    name: str = "flightradar24"
    service: str | None = "flightradar24"
    _polite: Polite = field(init=False)

    def __post_init__(self) -> None:
        self._polite = Polite(self.clock, self.spacing_s, WAITS_S)

    def pieces(self, missing: Missing) -> Iterator[Piece]:
        """The windows, by time; those that cannot be asked for have no address. The tracks follow from the flights."""
        spans = [(*span, icao24) for icao24, days in missing.items() for span in self._windows(icao24, days)]
        for first, last, icao24 in sorted(spans):
            names = self._registrations(icao24, first, last)
            url = self.base + summary_path(names, *asked(first, last)) if names else ""
            yield Piece(f"flights-{icao24}-{first}-{last}", first, last, (icao24,), FLIGHTS, url)

    def _windows(self, icao24: str, days: Sequence[date]) -> list[tuple[date, date]]:
        """Days that can be asked for in windows of that length, the others each kind by itself."""
        early = [day for day in days if day < FIRST]
        later = [day for day in days if day >= FIRST]
        named = [day for day in later if self.registration(icao24, day)]
        nameless = [day for day in later if not self.registration(icao24, day)]
        return windows(early, len(early)) + windows(nameless, len(nameless)) + windows(named, DAYS_OF_A_WINDOW)

    def _registrations(self, icao24: str, first: date, last: date) -> list[str]:
        """All that it had from a first day to a last: it may have changed between."""
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return list(dict.fromkeys(name for day in days if (name := self.registration(icao24, day))))

    def fetch(self, piece: Piece, folder: Path, watcher: Watcher) -> Brought:
        (icao24,) = piece.aircraft
        if piece.format == TRACK:
            return self._track(piece, folder, watcher)
        if piece.last < FIRST:
            return Brought(known=False)
        if not piece.address:
            raise FeedError("no_registration", f"{icao24}, {piece.first} to {piece.last}: {NO_REGISTRATION}")
        return self._flights(piece, folder, watcher)

    def _flights(self, piece: Piece, folder: Path, watcher: Watcher) -> Brought:
        """The summaries of a window, one reply after the other where they are cut off."""
        pages: list[Path] = []
        found: dict[str, Summary] = {}
        count, known, url = 0, True, piece.address
        names = self._registrations(piece.aircraft[0], piece.first, piece.last)
        begin, until = asked(piece.first, piece.last)
        while True:
            page = folder / f"{piece.key}-{len(pages) + 1}.json"
            body = page.read_bytes() if page.exists() else self._ask(url)
            flights, bad = parse_summaries(body)
            if not (pages or flights or bad):
                return Brought()
            pages.append(kept(page, body))
            found |= {flight.fr24_id.lower(): flight for flight in flights}
            count += len(flights) + bad
            if len(flights) + bad not in CUT_AT:
                break
            newest = max((seen for f in flights if (seen := moment_of(f.first_seen or f.datetime_takeoff))), default=begin)
            if newest <= begin:
                watcher.warn(f"{piece.key}: the reply may be cut off, and does not say from where to go on")
                known = False
                break
            begin, url = newest, self.base + summary_path(names, newest, until)
        others = {f.hex.lower() for f in found.values() if f.hex} - set(piece.aircraft)
        if others:
            whose = f"{', '.join(names)} is {', '.join(sorted(others))} there, not {piece.aircraft[0]}"
            watcher.warn(f"{piece.first} to {piece.last}: {whose}: such flights are listed as that aircraft's, without tracks")
        tracks = (self._track_of(piece, flight) for flight in found.values())
        following = tuple(track for track in tracks if track is not None)
        return Brought(tuple(pages), known and not others, following, SUMMARY_CREDITS * count)

    def _track_of(self, piece: Piece, flight: Summary) -> Piece | None:
        """The track of a flight that is over, was in the air on the days of the piece, and is not another aircraft's."""
        times = (flight.first_seen, flight.datetime_takeoff, flight.datetime_landed, flight.last_seen)
        days = [moment.astimezone(UTC).date() for text in times if (moment := moment_of(text))] or [piece.first]
        if flight.flight_ended is False or max(days) < piece.first or not FLIGHT_ID.fullmatch(flight.fr24_id):
            return None
        (icao24,) = piece.aircraft
        if flight.hex and flight.hex.lower() != icao24:
            return None
        ident = flight.fr24_id.lower()
        url = self.base + track_path(ident)
        return Piece(f"track-{ident}", min(days), max(days), (icao24,), TRACK, url, covers=False)

    def _track(self, piece: Piece, folder: Path, watcher: Watcher) -> Brought:
        path = folder / f"{piece.key}.json"
        if not path.exists():
            try:
                body = self._ask(piece.address)
            except FeedError as error:
                if error.reason != "http_404":
                    raise
                watcher.say(f"{piece.first}: the flight {piece.key.removeprefix('track-')} of {piece.aircraft[0]} has no track")
                return Brought()
            parse_tracks(body, piece.aircraft[0])  # before it is kept: it was paid for, and nobody wants to pay twice
            kept(path, body)
        return Brought((path,), credits=TRACK_CREDITS)

    def _ask(self, url: str) -> bytes:
        """Raises FeedError; what the plan does not have is refused for good, whatever day it is asked for."""
        try:
            return self._polite.ask(lambda: self.http.get(url))
        except FeedError as error:
            if error.reason != "http_403":
                raise
            raise FeedError("refused", str(error), permanent=True, body=error.body) from None


NO_REGISTRATION = (
    "Flightradar24 is asked by registration, and none is known: write address and registration into a watchlist, or get a"
    " database (`flightwatch reference update tar1090-db`)"
)


def asked(first: date, last: date) -> tuple[datetime, datetime]:
    """The span that is asked about for the sake of these days."""
    return datetime.combine(max(first - SHARED, FIRST), time(), UTC), datetime.combine(last, time(23, 59, 59), UTC)


def summary_path(registrations: Sequence[str], since: datetime, until: datetime) -> str:
    """The question for the flights under these registrations, the earliest first."""
    parameters = {
        "registrations": ",".join(registrations),
        "flight_datetime_from": f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "flight_datetime_to": f"{until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "sort": "asc",
        "limit": LIMIT,
    }
    return f"/api/flight-summary/full?{urlencode(parameters, safe=',:')}"


def track_path(flight_id: str) -> str:
    return f"/api/flight-tracks?{urlencode({'flight_id': flight_id})}"
