"""History from the Flightradar24 API: the flights that some aircraft made in a span of time, and the track of each.

In: registrations, a span, and `ask`, which gets the body that a path answers or raises FeedError. Out: pieces, each one
reply as it came with how it is to be imported. Summaries come before their tracks and the spans in order, so what lies
before the span at which it stopped is complete.

A question names up to 15 registrations and spans up to 14 days; two spans share a day, so that no flight is lost at an
edge. Requests keep the distance of the plan; after a 429 it waits as long as the service says. A 402 (no credits left),
401 or 403 (not in the plan) ends it: nothing gets round that.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from flightwatch.aircraft import address_of, as_written
from flightwatch.config import KIND_VALUES, FeedSettings, Secret
from flightwatch.errors import FeedError
from flightwatch.feeds.flightradar24 import Summary, moment_of, parse_summaries
from flightwatch.feeds.http import Http, Limits

log = logging.getLogger(__name__)

MOST_REGISTRATIONS = 15
LIMIT = 20_000
"""Flights in one reply, at most."""

LONGEST_SPAN = timedelta(days=14)
"""As public clients of the API have it; its documents at hand are silent."""

SHARED = timedelta(days=1)

CUT_AT = (20, 300, LIMIT)
"""Replies of as many flights may have been cut off: smaller plans are said to answer with 20 or 300 at most."""

FIRST = datetime(2016, 5, 11, tzinfo=UTC)
"""It has nothing from before."""

TRACK_CREDITS = 40
SUMMARY_CREDITS = 8
"""Credits for a track, and for each flight of a summary; the second is not documented at hand and counted as what a full
position costs, so that the count is too high sooner than too low."""

TRIES = 4
LIMITS = Limits(deadline_s=60.0)
"""A summary of thousands of flights takes longer than a poll."""

LONGEST_WAIT_S = 900.0
"""Somebody waits for it: what takes longer is for another day."""

A_MINUTE_S = 60.0
"""The limits of the plans are per minute, so after a 429 that says nothing a minute is enough."""

Ask = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Piece:
    """One reply: a name for its file, its bytes, the format that it is imported as, and whose it is (a registration or an
    address) where it does not say; and the credits that it is thought to have cost."""

    name: str
    body: bytes
    format: str
    registration: str | None
    credits: int


def asking(settings: FeedSettings, key: Secret) -> Ask:
    """Asks the service of a feed of the kind `flightradar24`."""
    headers = {"Accept-Version": "v1", **settings.headers, "Authorization": f"Bearer {key.reveal()}"}
    http = Http(LIMITS, headers=headers, when_refused=settings.when_refused)
    return lambda path: http.get(settings.base_url.rstrip("/") + path)


def spans(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """A time in spans that can be asked for, in order."""
    start = max(since, FIRST)
    while start < until:
        end = min(start + LONGEST_SPAN, until)
        yield start, end
        if end == until:
            return
        start = end - SHARED


def summary_path(registrations: Sequence[str], since: datetime, until: datetime) -> str:
    """The question for the flights of up to 15 aircraft, the earliest first."""
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


def pieces(
    ask: Ask,
    registrations: Sequence[str],
    since: datetime,
    until: datetime,
    *,
    spacing_s: float = KIND_VALUES["flightradar24"]["spacing_s"],
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Piece]:
    """Asks for the flights of these aircraft and their tracks, `spacing_s` seconds between two requests. Raises FeedError
    where it cannot go on, saying from when on something is missing; what came before is good."""
    paced = _Paced(ask, spacing_s, wait)
    names = list(dict.fromkeys(map(as_written, registrations)))
    groups = [names[i : i + MOST_REGISTRATIONS] for i in range(0, len(names), MOST_REGISTRATIONS)]
    tracked: set[str] = set()
    for start, end in spans(since, until):
        try:
            for number, group in enumerate(groups, start=1):
                yield from _pieces(paced, group, start, end, f"{start:%Y%m%d}-{end:%Y%m%d}-{number}", tracked)
        except FeedError as error:
            where = f"; stopped here: what lies before {start:%Y-%m-%d} is in, begin there again"
            raise FeedError(
                error.reason, f"{error}{where}", permanent=error.permanent, retry_after_s=error.retry_after_s, body=error.body
            ) from None


def _pieces(paced: _Paced, group: Sequence[str], start: datetime, end: datetime, name: str, tracked: set[str]) -> Iterator[Piece]:
    """The summaries of one span, each followed by the tracks of its flights."""
    begin, page = start, 1
    while True:
        body = paced.ask(summary_path(group, begin, end))
        flights, bad = parse_summaries(body)
        yield Piece(f"summary-{name}-{page}.json", body, "fr24-summary", None, SUMMARY_CREDITS * (len(flights) + bad))
        yield from _tracks(paced, flights, tracked)
        newest = max(
            (seen for f in flights if (seen := moment_of(f.first_seen or f.datetime_takeoff)) is not None), default=begin
        )
        if len(flights) + bad not in CUT_AT:
            return
        if newest <= begin:
            log.warning("flights of %s from %s on: the reply may be cut off, and does not say from where to go on", group, begin)
            return
        begin, page = newest, page + 1


def _tracks(paced: _Paced, flights: Sequence[Summary], tracked: set[str]) -> Iterator[Piece]:
    """The tracks of flights that are over and were not asked for yet."""
    for flight in flights:
        if flight.flight_ended is False or flight.fr24_id in tracked or not re.fullmatch("[0-9a-fA-F]{1,16}", flight.fr24_id):
            continue
        tracked.add(flight.fr24_id)
        whose = flight.hex or (address_of(flight.reg) if flight.reg else None)
        if whose is None:
            log.warning("flight %s of %s has no address: its track is not asked for", flight.fr24_id, flight.reg)
            continue
        try:
            body = paced.ask(track_path(flight.fr24_id))
        except FeedError as error:
            if error.reason != "http_404":
                raise
            log.warning("flight %s of %s has no track", flight.fr24_id, flight.reg or whose)
            continue
        yield Piece(f"track-{flight.fr24_id.lower()}.json", body, "fr24-tracks", whose, TRACK_CREDITS)


class _Paced:
    """Asks with a rest between two requests; what may be better in a while is tried again."""

    def __init__(self, ask: Ask, spacing_s: float, wait: Callable[[float], None]) -> None:
        self._ask, self._spacing_s, self._wait = ask, spacing_s, wait
        self._asked = False

    def ask(self, path: str) -> bytes:
        """Raises FeedError where there is no answer to be had."""
        for attempt in range(1, TRIES + 1):
            if self._asked:
                self._wait(self._spacing_s)
            self._asked = True
            try:
                return self._ask(path)
            except FeedError as error:
                rest = self._rest_s(error, attempt)
                if error.permanent or error.reason in HOPELESS or attempt == TRIES or rest > LONGEST_WAIT_S:
                    raise
                log.warning("%s; next try in %.0f s", error, rest)
                self._wait(rest)
        raise AssertionError("the last try returns or raises")

    def _rest_s(self, error: FeedError, attempt: int) -> float:
        if error.retry_after_s is not None:
            return error.retry_after_s
        return A_MINUTE_S if error.reason == "http_429" else self._spacing_s * 2**attempt


HOPELESS = ("http_400", "http_404")
"""The same question gets the same answer."""
