"""Asking feeds: how often, and what to do when the answer is no.

A query is one question to a feed, repeated. The cadence is steady, from a monotonic clock, and missed polls are not
made up for. All queries of one service share its pace: there is a rest between any two requests to it. A failing
query is asked less and less often (doubling with jitter, up to 15 minutes, and no earlier than the server says): its
circuit is open. One that is refused for good is not asked again until flightwatch is started anew: it is shut. Where a
service gives credits for a day, what is left of them is spread over what is left of the day.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType

from flightwatch.errors import FeedError
from flightwatch.feeds import basestation, flightradar24, opensky, v2
from flightwatch.feeds.http import Reply
from flightwatch.feeds.outages import PERIODS
from flightwatch.records import Circuit, QueryHealth, Scope, Snapshot

log = logging.getLogger(__name__)

STALE_AFTER = timedelta(minutes=5)
"""A reply whose clock is older than this is a copy from a cache, or its server is stuck: it says nothing about
now."""

AHEAD = timedelta(seconds=60)
"""A clock further ahead than this is wrong, or ours is."""

LONGEST_BACKOFF_S = 900.0

OPEN_AFTER = 3
"""Failures in a row after which a circuit counts as open: one or two are the weather of the internet."""

REST_S = 1800.0
"""A wait for credits is a rest, and people are told of it, from here on, if it is longer than three periods, too."""

LEAST_CREDITS_SHARE = 0.05
"""Of the credits that are left this much is not planned with: a restart asks everything at once."""

Parse = Callable[[bytes, str, Scope, datetime], Snapshot]

FORMATS: dict[str, Parse] = {
    "v2": v2.parse,
    "opensky": opensky.parse_states,
    "sbs": basestation.parse,
    "flightradar24": flightradar24.parse,
    "flightradar24-zones": flightradar24.parse_zones,
}
"""How a reply becomes a snapshot, by the word that stands in recordings."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What all queries of one service share: the rest between two requests, the longest wait that it may ask for, and
    how many credits it gives a day (None where it counts none)."""

    service: str
    spacing_s: float = 1.1
    longest_wait_s: float = LONGEST_BACKOFF_S
    credits_a_day: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query brought, and what the service says is left of its credits."""

    snapshot: Snapshot
    credits_left: int | None = None


@dataclass(frozen=True)
class Query:
    """One request of a feed, repeated. `label` says what it asks for, in words; `format` is one of `FORMATS`; `cost`
    what one request costs in credits, `row_cost` what each aircraft in the reply does; a reply of `most_rows` or more was
    cut off by the service."""

    name: str
    label: str
    scope: Scope
    every_s: float
    read: Callable[[], Reply]
    clock: Callable[[], datetime]
    format: str = "v2"
    pace: Pace = Pace("")
    cost: int = 0
    row_cost: int = 0
    most_rows: int | None = None

    def fetch(self) -> Snapshot:
        """Asks once. Raises FeedError where the answer is no, or not of now."""
        return self.ask().snapshot

    def ask(self) -> Answer:
        """Asks once. Raises FeedError as `fetch` does, and nothing else: what nobody foresaw in one reply must not end
        the polling of all."""
        try:
            return self._ask()
        except FeedError:
            raise
        except Exception as error:
            log.exception("%s (%s): a reply could not be read: please report this", self.name, self.label)
            what = f"{self.name} ({self.label}): the reply could not be read ({type(error).__name__})"
            raise FeedError("not_understood", what) from None

    def _ask(self) -> Answer:
        reply = self.read()
        received = self.clock()
        snapshot = FORMATS[self.format](reply.body, self.name, reply.scope or self.scope, received)
        self._refuse_old(snapshot, reply.body)
        return Answer(self._marked(snapshot), reply.credits_left)

    def _refuse_old(self, snapshot: Snapshot, body: bytes) -> None:
        age = snapshot.received - snapshot.feed_time
        if age > STALE_AFTER or age < -AHEAD:
            direction = "old" if age > timedelta(0) else "ahead"
            raise FeedError(
                "stale" if direction == "old" else "future",
                f"{self.name} ({self.label}): the reply's clock says {snapshot.feed_time:%Y-%m-%d %H:%M:%S} UTC,"
                f" ours {snapshot.received:%Y-%m-%d %H:%M:%S}:"
                f" {direction}, so it is not used; if our clock is wrong, set it",
                body=body,
            )

    def _marked(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot that was cut off says so, and nothing of what it does not mention."""
        rows = len(snapshot.positions) + sum(snapshot.refused.values())
        if self.most_rows is None or rows < self.most_rows:
            return snapshot
        scope = snapshot.scope if snapshot.scope.kind == "area" else Scope("reported")
        return replace(snapshot, scope=scope, refused={**snapshot.refused, TRUNCATED: 1})


AFTER_MIDNIGHT_S = 120.0
"""When new credits are there for certain, though our clock and the service's differ."""

TRUNCATED = "truncated"
"""Among the reasons of a snapshot: the service had more than it sent."""


@dataclass(frozen=True)
class Health:
    """How a query has done since the start; the times of trouble are older where it lasts from before."""

    good: int = 0
    unchanged: int = 0
    positions: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    in_a_row: int = 0
    last_good: datetime | None = None
    last_error: str = ""
    last_reason: str = ""
    unanswered_since: datetime | None = None
    truncated_since: datetime | None = None
    as_of: datetime | None = None
    """When this was so, where the query was not asked since the start."""
    credits_left: int | None = None
    rests_since: datetime | None = None
    rests_until: datetime | None = None
    waiting: bool = False
    given_up: bool = False

    @property
    def circuit(self) -> Circuit:
        if self.given_up:
            return "shut"
        return "open" if self.waiting or self.in_a_row >= OPEN_AFTER else "closed"

    def after_snapshot(self, snapshot: Snapshot, *, new: bool, credits_left: int | None = None) -> Health:
        left = self.credits_left if credits_left is None else credits_left
        if not new:
            since = self.unanswered_since or snapshot.received
            return replace(
                self,
                as_of=None,
                unchanged=self.unchanged + 1,
                in_a_row=0,
                rests_since=None,
                rests_until=None,
                waiting=False,
                credits_left=left,
                unanswered_since=since,
                last_reason="unchanged",
                last_error="the same reply again and again",
            )
        cut = TRUNCATED in snapshot.refused
        return replace(
            self,
            as_of=None,
            good=self.good + 1,
            positions=self.positions + len(snapshot.positions),
            refused=self.refused + Counter(snapshot.refused),
            in_a_row=0,
            rests_since=None,
            rests_until=None,
            waiting=False,
            last_good=snapshot.feed_time,
            last_error="",
            last_reason="",
            unanswered_since=None,
            truncated_since=(self.truncated_since or snapshot.received) if cut else None,
            credits_left=left,
        )

    def after_failure(self, error: FeedError, at: datetime) -> Health:
        return replace(
            self,
            as_of=None,
            failed=self.failed + Counter([error.reason]),
            in_a_row=self.in_a_row + 1,
            rests_since=None,
            rests_until=None,
            waiting=error.retry_after_s is not None,
            given_up=error.permanent,
            last_error=str(error),
            last_reason=error.reason,
            unanswered_since=self.unanswered_since or at,
        )


def wait_s(every_s: float, in_a_row: int, retry_after_s: float | None, longest_s: float = LONGEST_BACKOFF_S) -> float:
    """How long to wait after so many failures in a row: at least the cadence, and what the server asks for up to a
    limit, a quarter of an hour unless the service is known to mean what it says."""
    ceiling = min(every_s * 2 ** min(in_a_row, 16), LONGEST_BACKOFF_S)
    backoff = random.uniform(min(every_s, ceiling), max(ceiling, every_s))  # no secret hangs on it
    return max(backoff, min(retry_after_s or 0.0, longest_s))


def asked_again(error: FeedError, wait_s: float) -> str:
    """When a query that failed is asked again, for a log."""
    return "not asked again until flightwatch is started anew" if error.permanent else f"next try in {wait_s:.0f} s"


def budgeted_s(every_s: float, cost: int, left: int, now: datetime) -> float:
    """The cadence at which the credits that are left last until the day (UTC) is over, if that is slower. `cost` is that
    of one round of all queries that share them."""
    midnight = (now.astimezone(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    spendable = left * (1 - LEAST_CREDITS_SHARE)
    rounds = spendable / cost if cost else float("inf")
    if rounds < 1:  # asked a little after midnight: a clock that is seconds off must not cost another day
        return max(every_s, (midnight - now).total_seconds() + AFTER_MIDNIGHT_S)
    return max(every_s, (midnight - now).total_seconds() / rounds)


class Schedule:
    """When each query is due, on a monotonic clock."""

    def __init__(
        self, found: Sequence[Query], start: float, before: Mapping[tuple[str, str], QueryHealth] = MappingProxyType({})
    ) -> None:
        """`before` is how queries (by feed and label) did when they were asked last."""
        self.queries = tuple(found)
        self.health = {i: _taken_up(before.get((q.name, q.label))) for i, q in enumerate(found)}
        self._every = {i: q.every_s for i, q in enumerate(found)}
        self._due = dict.fromkeys(range(len(found)), start)
        self._free: dict[str, float] = {}
        self._left = _left_before(found, before)
        self._costs: dict[int, int] = {}

    def next(self) -> tuple[int, float] | None:
        """The query that is due next, and when; None where all have been given up. A service that rests makes its
        queries wait, the one that was due first goes first."""
        open_ = [i for i in self._due if not self.health[i].given_up]
        found = min(open_, key=lambda i: (self.when(i), self._due[i]), default=None)
        return None if found is None else (found, self.when(found))

    def when(self, index: int) -> float:
        return max(self._due[index], self._free.get(self.queries[index].pace.service, self._due[index]))

    def every_s(self, index: int) -> float:
        """How often a query is asked now: its own cadence, or slower where credits are short."""
        return self._every[index]

    def succeeded(self, index: int, now: float, snapshot: Snapshot, *, new: bool, credits_left: int | None = None) -> None:
        """Due again one period after it was due; polls that were missed meanwhile are not made up for."""
        query = self.queries[index]
        round_cost = query.cost
        if query.row_cost:
            round_cost = query.row_cost * (len(snapshot.positions) + sum(snapshot.refused.values()))
            credits_left = self._charged(query.pace, round_cost, snapshot.received)
        rested = self.health[index].rests_since
        self.health[index] = self.health[index].after_snapshot(snapshot, new=new, credits_left=credits_left)
        if credits_left is not None:
            self._costs[index] = round_cost
            self._spread(index, credits_left, snapshot.received)
        every = self._every[index]
        missed = max(int((now - self._due[index]) // every), 0)
        self._due[index] += (missed + 1) * every
        self._rest(index, now)
        self._note_rest(index, rested or snapshot.received, snapshot.received, self._due[index] - now)

    def _charged(self, pace: Pace, cost: int, now: datetime) -> int | None:
        """What is left of the day's credits after a reply, where the service does not say so and we were told how many
        there are."""
        if pace.credits_a_day is None:
            return None
        day, left = self._left.get(pace.service, (now.date(), pace.credits_a_day))
        left = (left if day == now.date() else pace.credits_a_day) - cost
        self._left[pace.service] = now.date(), max(left, 0)
        return max(left, 0)

    def _spread(self, index: int, left: int, now: datetime) -> None:
        """Spreads the credits that are left over the rest of the day, for all queries that share them."""
        pace = self.queries[index].pace
        sharing = self._sharing(pace)
        cost = sum(self._costs.get(i, self.queries[i].cost) for i in sharing)
        for i in sharing:
            self._every[i] = budgeted_s(self.queries[i].every_s, cost, left, now)

    def failed(self, index: int, now: float, error: FeedError, at: datetime | None = None) -> float:
        """Due again after a wait, which is returned. What the server asks for holds for all of its queries. The pace that
        credits made slow ends with it."""
        query, at = self.queries[index], at or datetime.now(UTC)
        before = self.health[index]
        self.health[index] = before.after_failure(error, at)
        self._every[index] = query.every_s
        wait = wait_s(query.every_s, self.health[index].in_a_row, error.retry_after_s, query.pace.longest_wait_s)
        self._due[index] = now + wait
        asked = min(error.retry_after_s or 0.0, query.pace.longest_wait_s) if error.reason == "http_429" else 0.0
        self._rest(index, now, asked)
        if asked and query.pace.credits_a_day is not None:
            for i in self._sharing(query.pace):
                self._note_rest(i, self.health[i].rests_since or before.rests_since or at, at, asked)
        elif error.reason == "http_402" and query.row_cost:  # elsewhere it may mean that a key is not paid for
            self.health[index] = replace(self.health[index], rests_since=before.rests_since or at)
        return wait

    def _note_rest(self, index: int, since: datetime, at: datetime, wait_s: float) -> None:
        """Where credits keep a query from being asked for long, that is a rest."""
        if wait_s > max(REST_S, PERIODS * self.queries[index].every_s):
            self.health[index] = replace(self.health[index], rests_since=since, rests_until=at + timedelta(seconds=wait_s))

    def _sharing(self, pace: Pace) -> list[int]:
        """The queries that share a pace and its credits."""
        return [i for i, q in enumerate(self.queries) if q.pace.service == pace.service and not self.health[i].given_up]

    def _rest(self, index: int, now: float, at_least_s: float = 0.0) -> None:
        pace = self.queries[index].pace
        if pace.service:
            self._free[pace.service] = max(now + max(pace.spacing_s, at_least_s), self._free.get(pace.service, now))

    def report(self, started: datetime, now: datetime) -> list[QueryHealth]:
        """How every query does, for other processes."""
        return [
            QueryHealth(
                feed=q.name,
                label=q.label,
                every_s=self._every[i],
                started=started,
                updated=now,
                circuit=h.circuit,
                good=h.good,
                unchanged=h.unchanged,
                positions=h.positions,
                failed=dict(h.failed),
                refused=dict(h.refused),
                last_good=h.last_good,
                last_error=h.last_error,
                last_reason=h.last_reason,
                unanswered_since=h.unanswered_since,
                truncated_since=h.truncated_since,
                credits_left=h.credits_left,
                rests_since=h.rests_since,
                rests_until=h.rests_until,
            )
            for i, (q, h) in enumerate(zip(self.queries, self.health.values(), strict=True))
        ]


def _taken_up(before: QueryHealth | None) -> Health:
    """What a new start goes on with: trouble that was there stays as old as it is. What stopped for good is asked once
    more."""
    if before is None:
        return Health()
    return Health(
        last_good=before.last_good,
        last_error=before.last_error,
        last_reason=before.last_reason,
        unanswered_since=before.unanswered_since,
        truncated_since=before.truncated_since,
        as_of=before.updated,
        credits_left=before.credits_left,
        rests_since=before.rests_since,
        rests_until=before.rests_until,
    )


def _left_before(found: Sequence[Query], before: Mapping[tuple[str, str], QueryHealth]) -> dict[str, tuple[date, int]]:
    """What was left of the credits that we count ourselves when they were counted last, and on which day."""
    left: dict[str, tuple[date, int]] = {}
    for query in found:
        health = before.get((query.name, query.label))
        if query.row_cost and health is not None and health.credits_left is not None:
            known = left.get(query.pace.service, (health.updated.date(), health.credits_left))
            left[query.pace.service] = max(known[0], health.updated.date()), min(known[1], health.credits_left)
    return left


def by_question(health: Iterable[QueryHealth]) -> dict[tuple[str, str], QueryHealth]:
    """Kept health by feed and label, as `Schedule` takes it."""
    return {(h.feed, h.label): h for h in health}
