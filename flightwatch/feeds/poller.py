"""Asking feeds: what to ask, how often, and what to do when the answer is no.

A configured feed is one or several queries (military aircraft, the watched addresses, ...), each a request with a
scope of its own. The cadence is steady, from a monotonic clock, and missed polls are not made up for. A failing query
is asked less and less often (doubling with jitter, up to 15 minutes, and no earlier than the server says); one that
is refused for good is not asked again until flightwatch is started anew.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from flightwatch.config import POINT, FeedSettings, Secret
from flightwatch.errors import FeedError
from flightwatch.feeds import v2
from flightwatch.feeds.http import Http, shown
from flightwatch.records import Scope, Snapshot

STALE_AFTER = timedelta(minutes=5)
"""A reply whose clock is older than this is a copy from a cache, or its server is stuck: it says nothing about
now."""

AHEAD = timedelta(seconds=60)
"""A clock further ahead than this is wrong, or ours is."""

MOST_ADDRESSES = 200
"""Addresses in one request: 1,400 characters, which every server takes."""

LONGEST_BACKOFF_S = 900.0
SPACING_S = 1.1
"""Between two requests to one service: the slowest limit among the public ones is one a second."""


@dataclass(frozen=True)
class Query:
    """One request of a feed, repeated. `label` says what it asks for, in words."""

    name: str
    label: str
    scope: Scope
    every_s: float
    read: Callable[[], bytes]
    clock: Callable[[], datetime]

    def fetch(self) -> Snapshot:
        """Asks once. Raises FeedError where the answer is no, or not of now."""
        body = self.read()
        received = self.clock()
        snapshot = v2.parse(body, self.name, self.scope, received)
        age = received - snapshot.feed_time
        if age > STALE_AFTER or age < -AHEAD:
            direction = "old" if age > timedelta(0) else "ahead"
            raise FeedError(
                "stale" if direction == "old" else "future",
                f"{self.name} ({self.label}): the reply's clock says {snapshot.feed_time:%Y-%m-%d %H:%M:%S} UTC,"
                f" ours {received:%Y-%m-%d %H:%M:%S}:"
                f" {direction}, so it is not used; if our clock is wrong, set it",
                body=body,
            )
        return snapshot


def queries(settings: FeedSettings, watched: Sequence[str], key: Secret | None, clock: Callable[[], datetime]) -> list[Query]:
    """What a configured feed asks for. `watched` are the addresses on all watchlists."""
    http = Http(headers={settings.key_header: key.reveal()} if key else {})
    if settings.kind == "receiver":
        return [_receiver(settings, http, clock)]
    base = settings.base_url.rstrip("/")

    def query(path: str, label: str, scope: Scope) -> Query:
        return Query(settings.name, label, scope, settings.every_s, lambda: http.get(base + path), clock)

    found: list[Query] = []
    for question in settings.ask:
        if question == "all":
            found.append(query("/v2/all", "everything", Scope("world")))
        elif question == "military":
            found.append(query("/v2/mil", "military aircraft", Scope("military")))
        elif match := POINT.fullmatch(question):
            lat, lon, radius = match.groups()
            found.append(
                query(f"/v2/point/{lat}/{lon}/{radius}", f"within {radius} nm of {lat}, {lon}", Scope("area", (lat, lon, radius)))
            )
        else:
            for start in range(0, len(watched), MOST_ADDRESSES):
                part = tuple(watched[start : start + MOST_ADDRESSES])
                # with the comma at the end a single address is answered by a list like any other
                found.append(
                    query(
                        f"/v2/hex/{','.join(part)}{',' if len(part) == 1 else ''}",
                        f"{len(part)} watched aircraft",
                        Scope("aircraft", part),
                    )
                )
    return found


def _receiver(settings: FeedSettings, http: Http, clock: Callable[[], datetime]) -> Query:
    """A receiver hears what is near it, and nobody knows how near: its scope is an area without bounds, which counts
    as no exposure."""
    if settings.path:
        path = Path(settings.path)
        return Query(settings.name, str(path), Scope("area"), settings.every_s, lambda: _read_file(path), clock)
    return Query(
        settings.name, shown(settings.base_url), Scope("area"), settings.every_s, lambda: http.get(settings.base_url), clock
    )


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FeedError("unreachable", f"{path} cannot be read ({error.strerror})") from None


@dataclass(frozen=True)
class Health:
    """How a query has done since the start."""

    good: int = 0
    unchanged: int = 0
    positions: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    in_a_row: int = 0
    last_good: datetime | None = None
    given_up: bool = False

    def after_snapshot(self, snapshot: Snapshot, *, new: bool) -> Health:
        if not new:
            return replace(self, unchanged=self.unchanged + 1)
        return replace(
            self,
            good=self.good + 1,
            positions=self.positions + len(snapshot.positions),
            refused=self.refused + Counter(snapshot.refused),
            in_a_row=0,
            last_good=snapshot.feed_time,
        )

    def after_failure(self, error: FeedError) -> Health:
        return replace(self, failed=self.failed + Counter([error.reason]), in_a_row=self.in_a_row + 1, given_up=error.permanent)


def wait_s(every_s: float, in_a_row: int, retry_after_s: float | None) -> float:
    """How long to wait after so many failures in a row: at least the cadence, and what the server asks for up to a
    quarter of an hour."""
    ceiling = min(every_s * 2 ** min(in_a_row, 16), LONGEST_BACKOFF_S)
    backoff = random.uniform(min(every_s, ceiling), max(ceiling, every_s))  # no secret hangs on it
    return max(backoff, min(retry_after_s or 0.0, LONGEST_BACKOFF_S))


class Schedule:
    """When each query is due, on a monotonic clock."""

    def __init__(self, found: Sequence[Query], start: float) -> None:
        self.queries = tuple(found)
        self.health = {i: Health() for i in range(len(found))}
        self._due = {i: start + i * SPACING_S for i in range(len(found))}

    def next(self) -> tuple[int, float] | None:
        """The query that is due next, and when; None where all have been given up."""
        open_ = [i for i in self._due if not self.health[i].given_up]
        return min(((i, self._due[i]) for i in open_), key=lambda p: p[1], default=None)

    def succeeded(self, index: int, now: float, snapshot: Snapshot, *, new: bool) -> None:
        """Due again one period after it was due; polls that were missed meanwhile are not made up for."""
        self.health[index] = self.health[index].after_snapshot(snapshot, new=new)
        every = self.queries[index].every_s
        missed = max(int((now - self._due[index]) // every), 0)
        self._due[index] += (missed + 1) * every

    def failed(self, index: int, now: float, error: FeedError) -> float:
        """Due again after a wait, which is returned."""
        self.health[index] = self.health[index].after_failure(error)
        wait = wait_s(self.queries[index].every_s, self.health[index].in_a_row, error.retry_after_s)
        self._due[index] = now + wait
        return wait
