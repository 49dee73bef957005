"""Several sources of one aircraft: the better one counts while it has something to say, the others where it is
silent.

In: rows sorted by aircraft and time, and what each source said last of each aircraft. Out: which rows give way, and
what each source said by now. A **source** is one feed with one way of fixing positions, in one grade of quality. A
row gives way to a better source that told something new of the same aircraft at the same time or in the
`GIVES_WAY_S` before. So positions of the same transmission count once, MLAT does not pull a track sideways between
ADS-B fixes, and a clock that is half a minute off does not make an aircraft jump to and fro; where the better source
goes silent, the others take over. Better is, in this order:

1. the way in which the position was fixed, with what it says of its own integrity (`grade`);
2. positions that were not minutes old when they came (`grade`);
3. the feed that stands first among those preferred, then by name.

A feed that only repeats the last place of a moving aircraft says nothing new: nothing gives way to it, and it is refused
(`cleaning.REPEAT`), or a frozen feed would be a ghost of the aircraft that another one sees fly on.

What a row gives way to depends on the rows before it in time alone, and not on how they were cut into batches. What
gives way stays in the store, and the leg names its feed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from flightwatch.legs.rows import (
    DOUBTED,
    LONG_AGO,
    QUALITY,
    SECOND,
    Flags,
    Floats,
    Grades,
    Ints,
    Rows,
    Spans,
    changes,
    find,
    picker,
)

MOST_FEEDS = 62
"""Feeds are remembered by a bit each; all later ones share the last bit."""

GIVES_WAY_S = 90.0
"""The usual poll of a minute with half of it to spare, more than clocks are found to be off, and short enough that
what fills in leaves no hole (`pieces.SHORT_HOLE_S`)."""
_GIVES_WAY = round(GIVES_WAY_S * SECOND)
"""The same in microseconds, whole: numpy compares integers with floats as floats."""

STANDING_KT = 50.0
"""Slower than this an aircraft may be where it was a while ago: parked, taxiing, hovering."""

_FEED_BITS, _SOURCE_BITS = 6, 11
"""A key is aircraft, grade and feed in one number; the last two are the source."""


def _voices() -> Ints:
    """For each source what it is but for the quality of the moment: its feed and the way of fixing."""
    sources = np.arange(1 << _SOURCE_BITS)
    grade, feed = sources >> _FEED_BITS, sources & (1 << _FEED_BITS) - 1
    quality = np.where(grade // 2 == DOUBTED, QUALITY["adsb"], grade // 2)
    return np.asarray((quality << _FEED_BITS) + feed)


_VOICES = _voices()

Numbers = NDArray[np.int16]
"""Of feeds and sources: there are few, and the passes over them take the less."""


@dataclass(frozen=True)
class Sources:
    """What each source said of each aircraft; arrays of one length, sorted by `key`.

    `heard` is the newest fix of all. Of those that counted and told something new, `fresh` is the newest, at
    `latitude` and `longitude`; they came without a pause longer than `GIVES_WAY_S` since `since`.
    """

    key: Ints
    heard: Ints
    since: Ints
    fresh: Ints
    latitude: Floats
    longitude: Floats

    def __len__(self) -> int:
        return len(self.key)

    @property
    def aircraft(self) -> Ints:
        return self.key >> _SOURCE_BITS

    @property
    def source(self) -> Ints:
        return self.key & (1 << _SOURCE_BITS) - 1

    @property
    def feed(self) -> Ints:
        return self.key & (1 << _FEED_BITS) - 1

    def take(self, index: Ints | Flags | slice) -> Sources:
        return Sources(**{name: getattr(self, name)[index] for name in NAMES})


NAMES = tuple(f.name for f in fields(Sources))


def no_sources() -> Sources:
    nothing, nowhere = np.empty(0, np.int64), np.empty(0, np.float64)
    return Sources(nothing, nothing, nothing, nothing, nowhere, nowhere)


def together(parts: Sequence[Sources]) -> Sources:
    """Sources of several aircraft as one, sorted; no key may stand in two of them."""
    joined = Sources(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in NAMES})
    return joined.take(np.argsort(joined.key, kind="stable"))


def ranks(feeds: Sequence[str], preferred: Sequence[str]) -> Ints:
    """For each source how good it is, 0 the best: by grade, then by the place of its feed among those preferred, then
    by the feed's name. `feeds` are the names behind the numbers."""
    wanted = {name: i for i, name in reversed(list(enumerate(preferred)))}
    order = sorted(range(len(feeds)), key=lambda n: (wanted.get(feeds[n], len(wanted)), feeds[n]))
    place = np.arange(1 << _FEED_BITS)
    place[order] = np.arange(len(order))
    grades = np.arange(1 << _SOURCE_BITS - _FEED_BITS)
    return np.asarray(((grades << _FEED_BITS)[:, None] + place).ravel())


def sources_of(grade: Grades, feed: Numbers) -> Numbers:
    """The number of each row's source."""
    return np.asarray((grade.astype(np.int16) << _FEED_BITS) + feed)


@dataclass(frozen=True)
class Merged:
    """What the sources said by now; which of the rows give way, which tell something new, and which only say again where
    their source had the moving aircraft last."""

    sources: Sources
    gives_way: Flags
    news: Flags
    repeats: Flags


def merge(known: Sources, rows: Rows, source: Numbers, rank: Ints) -> Merged:
    """Judges rows that are sorted by aircraft and time, of the same time the better first. `source` is by row, `rank`
    by source."""
    present = np.unique(source[changes(source)])
    alone = len(present) == 1 and bool((known.source == present[0]).all())
    gives_way = np.zeros(len(rows), bool) if alone else _to_known(known, rows, source, rank)
    news, repeats = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for one in present[np.argsort(rank[present])].tolist():
        mine = source == one
        if news.any():
            gives_way |= mine & _to_better(rows, news & ~_same_voice(source, one))
        mine &= ~gives_way
        told = slice(None) if mine.all() else np.flatnonzero(mine)
        news[told], repeats[told] = _news(known, rows, one, told)
    return Merged(_said(known, rows, source, news), gives_way, news, repeats)


def _to_known(known: Sources, rows: Rows, source: Numbers, rank: Ints) -> Flags:
    """Which rows give way to what is known from before."""
    found = np.zeros(len(rows), bool)
    if not len(known) or not len(rows):
        return found
    spans = rows.spans()
    numbers = spans.aircraft
    first, stop = np.searchsorted(known.key, numbers << _SOURCE_BITS), np.searchsorted(known.key, (numbers + 1) << _SOURCE_BITS)
    if int(np.max(stop - first)) == 0:
        return found
    of = np.repeat(np.arange(len(numbers)), spans.count)
    for nth in range(int(np.max(stop - first))):
        at = np.minimum(first + nth, len(known) - 1)
        other, since, fresh = known.source[at], known.since[at], known.fresh[at]
        better = (first + nth < stop)[of] & (rank[other][of] < rank[source]) & ~_same_voice(other[of], source)
        found |= better & (since[of] <= rows.time) & (rows.time - fresh[of] <= _GIVES_WAY)
    return found


def _same_voice(a: Ints | Numbers, b: Ints | Numbers | int) -> Flags:
    """Whether two sources are one feed with one way of fixing: nothing of its own gives way to what came sooner, nor to
    what vouched for more. An aircraft that loses its integrity is for `cleaning` to judge."""
    return np.asarray(_VOICES[a] == _VOICES[b])


def _to_better(rows: Rows, news: Flags) -> Flags:
    """Which rows have one of these of the same aircraft at the same time or not long before."""
    last = np.maximum.accumulate(np.where(news, np.arange(len(rows)), -1))
    near = (rows.aircraft[last] == rows.aircraft) & (rows.time - rows.time[last] <= _GIVES_WAY)
    return np.asarray((last >= 0) & near)


def _news(known: Sources, rows: Rows, source: int, mine: Ints | slice) -> tuple[Flags, Flags]:
    """Which of these rows of one source tell something new, a place other than that before, or of an aircraft that may
    stand; and which only repeat the place."""
    names = ("aircraft", "time", "latitude", "longitude", "groundspeed", "onground")
    pick = picker(mine)
    aircraft, time, latitude, longitude, groundspeed, onground = (pick(getattr(rows, name)) for name in names)
    spans = Spans.of(aircraft)
    before_lat, before_lon, newest = (np.full(len(spans.start), nothing) for nothing in (np.nan, np.nan, LONG_AGO))
    at, there = find(known.key, (spans.aircraft << _SOURCE_BITS) + source)
    at = at[there]
    before_lat[there], before_lon[there], newest[there] = known.latitude[at], known.longitude[at], known.fresh[at]
    same_place = ~(changes(latitude) | changes(longitude))
    same_place[spans.start] = (latitude[spans.start] == before_lat) & (longitude[spans.start] == before_lon)
    repeats = same_place & ~(groundspeed < STANDING_KT) & (onground != 1)
    news = ~repeats
    if not (time[spans.start] > newest).all():
        news &= time > np.repeat(newest, spans.count)
    return news, np.asarray(repeats)


def _said(known: Sources, rows: Rows, source: Numbers, news: Flags) -> Sources:
    """What the sources said, with these rows."""
    if not len(rows):
        return known
    key = rows.aircraft << _SOURCE_BITS
    key += source
    order = None if (key[1:] >= key[:-1]).all() else np.argsort(key, kind="stable")  # of one source, which is the rule, it is
    if order is not None:
        key, news = key[order], news[order]
    begins = np.flatnonzero(changes(key))
    known, at = _with_keys(known, key[begins])
    columns = {name: getattr(known, name).copy() for name in NAMES}
    bounds, new = np.append(begins, len(key)), np.flatnonzero(news)
    ends, told = (bounds[1:] - 1, new) if order is None else (order[bounds[1:] - 1], order[new])
    columns["heard"][at] = np.maximum(columns["heard"][at], rows.time[ends])
    edges = np.searchsorted(new, bounds)
    some = edges[1:] > edges[:-1]
    at, first, last = at[some], edges[:-1][some], edges[1:][some] - 1
    time = rows.time[told]
    pauses = np.ones(len(time), bool)
    np.greater(np.diff(time), _GIVES_WAY, out=pauses[1:])
    pauses[first] = time[first] - known.fresh[at] > _GIVES_WAY
    paused = np.flatnonzero(pauses)
    latest = np.searchsorted(paused, last, side="right") - 1
    again = np.r_[paused, -1][latest] >= first
    columns["since"][at[again]] = time[paused[latest[again]]]
    columns["fresh"][at] = time[last]
    columns["latitude"][at], columns["longitude"][at] = rows.latitude[told[last]], rows.longitude[told[last]]
    return Sources(**columns)


def _with_keys(known: Sources, keys: Ints) -> tuple[Sources, Ints]:
    """The sources with these among them, and where these stand."""
    at, there = find(known.key, keys)
    if there.all():
        return known, at
    new, place = keys[~there], at[~there]
    never, nowhere = np.full(len(new), LONG_AGO), np.full(len(new), np.nan)
    more = Sources(new, never, never, never, nowhere, nowhere)
    columns = {name: np.insert(getattr(known, name), place, getattr(more, name)) for name in NAMES}
    return Sources(**columns), at + np.cumsum(~there) - ~there
