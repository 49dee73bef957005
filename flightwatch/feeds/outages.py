"""When a feed counts as out, and when it is back.

In: how its queries do, and the outages that are known. Out: the outages that begin, change or end. Pure functions:
nothing is told twice, whatever restarts, because the same health makes the same outage. One that comes and goes is one:
it is over when the feed has been well for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal

from flightwatch.records import Outage, QueryHealth

SILENT_AFTER = timedelta(minutes=5)
PERIODS = 3
"""Nothing new for so long, or for so many periods if that is longer, is an outage."""

WELL_AFTER = timedelta(minutes=15)
"""The longest back-off: what has not been well for so long may be flapping."""

OLD_DATA = ("stale", "future", "unchanged")
"""Reasons that mean that it answers, but not with what is now."""


def patience(health: QueryHealth) -> timedelta:
    """How long a query may bring nothing before that is told."""
    return max(SILENT_AFTER, PERIODS * timedelta(seconds=health.every_s))


def changes(known: Iterable[Outage], health: Iterable[QueryHealth], now: datetime) -> list[Outage]:
    """The outages that are new or have changed; known ones are those that have not ended."""
    out: list[Outage] = []
    ongoing = list(known)
    for feed, group in groupby(sorted(health, key=lambda h: h.feed), key=lambda h: h.feed):
        queries = list(group)
        ours = [o for o in ongoing if o.feed == feed]
        blind = next((o for o in ours if o.kind != "truncated"), None)
        cut = next((o for o in ours if o.kind == "truncated"), None)
        out += _change(blind, feed, _unanswered(queries), [h for h in queries if h.unanswered_since], now)
        out += _change(cut, feed, _truncated(queries), [h for h in queries if h.truncated_since], now)
    return out


Trouble = tuple[Literal["silent", "stale", "truncated"], datetime, tuple[str, ...], str]


def _unanswered(queries: Sequence[QueryHealth]) -> Trouble | None:
    late = [(h.unanswered_since, h) for h in queries if h.unanswered_since and _is_late(h, h.unanswered_since)]
    if not late:
        return None
    since, worst = min(late, key=lambda pair: (pair[0], pair[1].label))
    old = all(h.last_reason in OLD_DATA for _, h in late)
    return "stale" if old else "silent", since, tuple(h.label for _, h in late), worst.last_error


def _truncated(queries: Sequence[QueryHealth]) -> Trouble | None:
    late = [(h.truncated_since, h) for h in queries if h.truncated_since and _is_late(h, h.truncated_since)]
    if not late:
        return None
    since = min(since for since, _ in late)
    return "truncated", since, tuple(h.label for _, h in late), "the service sends no more rows at once"


def _is_late(health: QueryHealth, since: datetime) -> bool:
    """Whether trouble has lasted longer than the query is given."""
    return health.updated - since > patience(health)


def _change(
    known: Outage | None, feed: str, trouble: Trouble | None, unwell: Sequence[QueryHealth], now: datetime
) -> list[Outage]:
    if known is None:
        return [] if trouble is None else [Outage(feed, trouble[0], trouble[1], trouble[2], trouble[3])]
    if unwell:
        return [replace(known, well_since=None)] if known.well_since is not None else []
    if known.well_since is None:
        return [replace(known, well_since=now)]
    return [replace(known, ended=known.well_since)] if now - known.well_since >= WELL_AFTER else []
