"""When a feed counts as out, and when it is back.

In: how its queries do, and the outages that are known. Out: the outages that begin, change or end. Pure functions:
nothing is told twice, whatever restarts, because the same health makes the same outage. One that comes and goes is one:
it is over when the feed has been well for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby

from flightwatch.records import Outage, OutageKind, QueryHealth

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
        for kinds, begins, lasts in COURSES:
            out += _changes([o for o in ongoing if o.feed == feed and o.kind in kinds], feed, queries, begins, lasts, now)
    return out


Trouble = tuple[OutageKind, datetime, tuple[str, ...], str]


def _unanswered_when_asked(queries: Sequence[QueryHealth]) -> Trouble | None:
    """What rests is told for that, and is no news in another way."""
    return _unanswered([h for h in queries if not h.rests_since])


def _resting(queries: Sequence[QueryHealth]) -> Trouble | None:
    """A rest for want of credits is known for what it is as soon as it begins."""
    resting = [(h.rests_since, h) for h in queries if h.rests_since]
    if not resting:
        return None
    untils = [h.rests_until for _, h in resting if h.rests_until]
    until = f"{min(untils):%-d %b %H:%M} UTC" if untils else "flightwatch is started anew"
    return "resting", min(since for since, _ in resting), tuple(h.label for _, h in resting), f"rests until {until}"


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


COURSES = (
    (("silent", "stale"), _unanswered_when_asked, _unanswered),
    (("truncated",), _truncated, _truncated),
    (("resting",), _resting, _resting),
)
"""What goes its own way: the kinds of outages, what begins one, and as long as what it lasts."""


def _is_late(health: QueryHealth, since: datetime) -> bool:
    """Whether trouble has lasted longer than the query is given."""
    return health.updated - since > patience(health)


def _changes(
    known: Sequence[Outage],
    feed: str,
    queries: Sequence[QueryHealth],
    begins: Callable[[Sequence[QueryHealth]], Trouble | None],
    lasts: Callable[[Sequence[QueryHealth]], Trouble | None],
    now: datetime,
) -> list[Outage]:
    """The known ones of a feed, as far as they change, and one more for questions that none of them is about."""
    still = {outage.subject: outage for outage in known}
    told = {label for outage in known for label in outage.questions}
    more = begins([h for h in queries if h.label not in told])
    changed: dict[str, Outage] = {}
    if more is not None:
        new = Outage(feed, more[0], more[1], more[2], more[3])
        with_it = _wave(known, new, dark=len(told) + len(more[2]) >= len(queries), span=patience(queries[0]))
        joined = new if with_it is None else replace(with_it, questions=(*with_it.questions, *new.questions))
        still[joined.subject] = changed[joined.subject] = joined
    for outage in known:
        after = _turned(still[outage.subject], lasts([h for h in queries if h.label in outage.questions]), now)
        if after != outage:
            changed[after.subject] = after
    return list(changed.values())


def _wave(known: Sequence[Outage], new: Outage, *, dark: bool, span: timedelta) -> Outage | None:
    """The outage that a new one belongs to: the questions of a feed go down one after the other, and that is told once;
    and once more when none is left that answers. Credits are those of all questions: that all rest is clear from the
    first."""
    same = next((o for o in known if o.subject == new.subject), None)
    if same is not None or (dark and new.kind != "resting"):
        return same
    return next((o for o in known if o.kind == new.kind and abs(new.since - o.since) <= span), None)


def _turned(known: Outage, trouble: Trouble | None, now: datetime) -> Outage:
    """A known one as it is now: on, seemingly over, or over. A poll that failed now and then is no part of it."""
    if trouble is not None:
        return replace(known, well_since=None)
    if known.well_since is None:
        return replace(known, well_since=now)
    return replace(known, ended=known.well_since) if now - known.well_since >= WELL_AFTER else known
