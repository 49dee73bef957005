"""Rows to pieces: a piece is a stretch of one aircraft's track that is all in the air or all on the ground, without a
hole.

In: batches of rows, and the piece that each aircraft is in the middle of. Out: the pieces that ended, and the new
open ones. A piece holds sums, extremes, and a few positions at either end (the first in each of the first and last
minutes), nothing else, so two parts of one piece join exactly: the pieces do not depend on how the rows were cut into
batches.

What a hole is: see `is_hole`. Distances are whole metres, because integers add up to the same in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flightwatch.legs import turning, ways
from flightwatch.legs.phases import GROUND, Phases
from flightwatch.legs.rows import MINUTE, SECOND, Flags, Floats, Ints, Rows, changes, find, picker, reduced

METRES_PER_NM = 1852.0

ENDS = 6
"""Positions kept at either end: enough to see a climb, a descent and a turn."""

HOLE_S = 600.0
"""Longer than this without a position is always a hole, to be decided on and told."""

SHORT_HOLE_S = 180.0
"""Shorter than this is never one: nobody lands, turns round and takes off in three minutes."""

GROUND_HOLE_S = 300.0
"""A parked aircraft that is silent for longer starts a new piece."""

STEEPEST_FT_MIN = 6000.0
"""No transport aircraft climbs or descends faster for long: the bound on whether it can have been down in between."""

NEVER = np.iinfo(np.int64).max

ON_THE_MOVE_KT = 2.0
"""Below this an aircraft on the ground stands."""

POINT = ("time", "latitude", "longitude", "altitude", "groundspeed", "track", "vertical_rate")
"""What is kept of each position at the ends of a piece."""


@dataclass(frozen=True)
class Parts:
    """Rows that lie in one piece each, and what they add up to: arrays of one length, sorted by aircraft and time.

    `last` has shape (n, 7), columns as `POINT`; times in it are microseconds, which a float holds exactly until the year
    2255. `still_from` and `still_until` bound the time in which the aircraft was seen to stand. `confirmed` and `sound` are
    what `cleaning` remembers of the aircraft; `heading`, `stretch` and `turns` what `turning` does.
    """

    aircraft: Ints
    phase: Phases
    started: Ints
    ended: Ints
    count: Ints
    metres: Ints
    longest_gap: Ints
    highest: Floats
    lowest: Floats
    fastest: Floats
    slowest: Floats
    still_from: Ints
    still_until: Ints
    after_jump: Flags
    feeds: Ints
    last: Floats
    heading: Ints
    stretch: turning.Stretches
    turns: NDArray[np.object_]
    confirmed: Ints
    sound: Flags
    callsign: NDArray[np.object_]
    registration: NDArray[np.object_]
    typecode: NDArray[np.object_]
    category: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.aircraft)

    def take(self, index: Ints | Flags | slice) -> Self:
        """Those of some places, or where a flag is set: mostly that is all or none."""
        if isinstance(index, np.ndarray):
            index = np.flatnonzero(index) if index.dtype == bool else index
            if len(index) == len(self) and (index == np.arange(len(self))).all():
                return self
        pick = picker(index)
        return type(self)(**{f.name: pick(getattr(self, f.name)) for f in fields(self)})


@dataclass(frozen=True)
class Pieces(Parts):
    """Parts that are whole, as far as it goes, with what is kept of the positions at their ends and in between.

    `head` and `tail` have shape (n, ENDS, 7), columns as `POINT`, NaN where unused. `way`: see `ways`.
    """

    head: Floats
    tail: Floats
    way: ways.Waypoints


NAMES = tuple(f.name for f in fields(Pieces))
WORDS = ("callsign", "registration", "typecode", "category")


def is_hole(altitude: Floats, phase: Phases, elapsed: Floats) -> Flags:
    """Whether a hole lies before each row: long, or long enough to have come down and gone up again from the heights
    at both ends."""
    holes = np.zeros(len(elapsed), bool)
    i = np.flatnonzero(elapsed > SHORT_HOLE_S * SECOND)
    height, before = (np.maximum(np.nan_to_num(altitude[at], nan=0.0), 0.0) for at in (i, np.maximum(i - 1, 0)))
    bound = np.clip((height + before) / STEEPEST_FT_MIN * MINUTE + MINUTE, SHORT_HOLE_S * SECOND, HOLE_S * SECOND)
    holes[i] = elapsed[i] > np.where(phase[i] == GROUND, GROUND_HOLE_S * SECOND, bound)
    return holes


@dataclass(frozen=True)
class Steps:
    """What lies between each row and the one before it of the same aircraft, which may belong to an earlier batch.

    `begins` marks the first row of a piece, `turns` those of them where something happened (not just a short hole),
    `first` the first row of each aircraft in this batch, `context` the rows before these that belong to earlier ones.
    `heading` is the direction in which a row was reached. All numbers are whole, microseconds and thousandths of a degree,
    too: sums of them are exact.
    """

    metres: Floats
    elapsed: Floats
    begins: Flags
    turns: Flags
    first: Flags
    context: Flags
    jump: Flags
    heading: Floats
    turned: Floats


@dataclass(frozen=True)
class Cuts:
    """Where rows are cut: each part is the rows from its `start` to below its `stop`, and either `goes_on` with the open piece
    of its aircraft or begins one. `minutes` are those of its rows that are the first of a minute in their piece: whatever
    stretch of time is kept of that, one of these is its first. Each part has them from its `first` to below its `end`."""

    start: Ints
    stop: Ints
    goes_on: Flags
    minutes: Ints
    first: Ints
    end: Ints

    @staticmethod
    def of(rows: Rows, steps: Steps) -> Cuts:
        edges = np.flatnonzero(steps.begins | steps.first | steps.context)
        new = ~steps.context[edges]
        start, stop = edges[new], np.append(edges[1:], len(rows))[new]
        goes_on = steps.first[start] & ~steps.begins[start]
        opens = changes(rows.time // MINUTE)  # what goes on lies behind the last row of its piece
        opens[start[~goes_on]] = True
        opens[steps.context] = False
        minutes = np.flatnonzero(opens)
        return Cuts(start, stop, goes_on, minutes, np.searchsorted(minutes, start), np.searchsorted(minutes, stop))

    def __len__(self) -> int:
        return len(self.start)

    def take(self, index: Ints) -> Cuts:
        """Those of some parts, in order."""
        chosen = np.zeros(len(self), bool)
        chosen[index] = True
        many = (self.end - self.first)[index]
        minutes = self.minutes[np.repeat(chosen, self.end - self.first)]
        end = np.cumsum(many)
        return Cuts(self.start[index], self.stop[index], self.goes_on[index], minutes, end - many, end)


def cut(rows: Rows, phase: Phases, steps: Steps, cuts: Cuts, feed_bits: Ints, confirmed: Ints, sound: Flags) -> Parts:
    """Rows (sorted, all accepted) as parts of pieces. One that goes on counts what lies between it and its piece."""
    if not len(cuts):
        return empty_pieces()
    start, stop = cuts.start, cuts.stop
    metres, elapsed = steps.metres.copy(), steps.elapsed.copy()
    begins = start[~cuts.goes_on]
    metres[begins] = elapsed[begins] = 0  # what lies between two pieces belongs to neither
    still_from, still_until = _still(rows, phase, steps, start, stop)
    stretch, turns = turning.stretched(rows, cuts.minutes, steps.turned, start, stop)
    return Parts(
        aircraft=rows.aircraft[start],
        phase=phase[start],
        started=rows.time[start],
        ended=rows.time[stop - 1],
        count=stop - start,
        metres=reduced(np.add, metres, start, stop).astype(np.int64),
        longest_gap=reduced(np.maximum, elapsed, start, stop).astype(np.int64),
        highest=reduced(np.fmax, rows.altitude, start, stop),
        lowest=reduced(np.fmin, rows.altitude, start, stop),
        fastest=reduced(np.fmax, rows.groundspeed, start, stop),
        slowest=reduced(np.fmin, rows.groundspeed, start, stop),
        still_from=still_from,
        still_until=still_until,
        after_jump=steps.jump[start],
        feeds=reduced(np.bitwise_or, feed_bits, start, stop),
        last=_points(rows, stop - 1),
        heading=steps.heading[stop - 1].astype(np.int64),
        stretch=stretch,
        turns=turns,
        confirmed=confirmed[start],
        sound=sound[start],
        **{name: _last_word(rows, name, start, stop) for name in WORDS},
    )


def _begun(parts: Parts, rows: Rows, cuts: Cuts) -> Pieces:
    """The parts of some cuts as the pieces that they begin."""
    heads, tails = cuts.first[:, None] + np.arange(ENDS), cuts.end[:, None] + np.arange(-ENDS, 0)
    head, tail = _ends(rows, cuts, heads, heads < cuts.end[:, None]), _ends(rows, cuts, tails, tails >= cuts.first[:, None])
    return Pieces(**{f.name: getattr(parts, f.name) for f in fields(parts)}, head=head, tail=tail, way=_ways(rows, cuts))


def _ways(rows: Rows, cuts: Cuts) -> ways.Waypoints:
    return ways.thinned(rows, cuts.minutes, cuts.start, cuts.stop)


def _still(rows: Rows, phase: Phases, steps: Steps, start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """When each piece was first and last seen to stand on the ground; never, if it was not."""
    i = np.flatnonzero(phase == GROUND)
    # of two feeds one place may come twice within a second, which says nothing of an aircraft that tells its speed
    tells = (steps.elapsed[i] >= SECOND) | np.isnan(rows.groundspeed[i])
    unmoved = ~steps.begins[i] & (steps.metres[i] == 0) & tells
    time = rows.time[still := i[(rows.groundspeed[i] < ON_THE_MOVE_KT) | unmoved]]
    first, end = np.searchsorted(still, start), np.searchsorted(still, stop)
    stood = first < end
    begun, ended = np.full(len(start), NEVER), np.full(len(start), -NEVER)
    begun[stood], ended[stood] = time[first[stood]], time[end[stood] - 1]
    return begun, ended


def _last_word(rows: Rows, name: str, start: Ints, stop: Ints) -> NDArray[np.object_]:
    """The last text in each piece, or None."""
    codes, words = getattr(rows, name), np.array([*rows.vocabulary[name], None], dtype=object)
    last = codes[stop - 1]
    silent = np.flatnonzero(last < 0) if len(words) > 1 else ()
    for i in silent:
        told = np.flatnonzero(codes[start[i] : stop[i]] >= 0)
        last[i] = codes[start[i] + told[-1]] if len(told) else -1
    return np.asarray(words[last], dtype=object)


def _points(rows: Rows, index: Ints) -> Floats:
    """Columns as `POINT` of some rows."""
    points = np.empty((*index.shape, len(POINT)))
    for i, name in enumerate(POINT):
        points[..., i] = getattr(rows, name)[index]
    return points


def _ends(rows: Rows, cuts: Cuts, places: Ints, used: Flags) -> Floats:
    """The positions at some places among the minutes, NaN where they are unused."""
    ends = np.full((*places.shape, len(POINT)), np.nan)
    ends[used] = _points(rows, cuts.minutes[places[used]])
    return ends


def followed(old: Pieces, parts: Parts, rows: Rows, cuts: Cuts) -> tuple[Pieces, Pieces]:
    """The open pieces after these parts, which the rows were cut into, and those that ended by that."""
    on, new = np.flatnonzero(cuts.goes_on), np.flatnonzero(~cuts.goes_on)
    begun = _begun(parts.take(new), rows, cuts.take(new))
    last = np.roll(changes(begun.aircraft), -1)
    newest = begun.take(last)
    at, known = find(old.aircraft, newest.aircraft)
    columns = _with_room(old, at[~known], newest.take(~known))
    _go_on(columns, parts.take(on), rows, cuts.take(on))
    at = np.searchsorted(columns["aircraft"], newest.aircraft[known])
    over = Pieces(**{name: column[at] for name, column in columns.items()})
    for name, column in columns.items():
        column[at] = getattr(newest, name)[known]
    return Pieces(**columns), concatenate([over, begun.take(~last)])


def _with_room(old: Pieces, at: Ints, more: Pieces) -> dict[str, NDArray[Any]]:
    """Copies of the columns of open pieces, with those of aircraft that had none at these places. They are mostly few, and
    copying what lies between them takes half of the time that `np.insert` does."""
    places, first = np.unique(at, return_index=True)
    before = [slice(*bounds) for bounds in pairwise([0, *places.tolist(), len(old)])]
    there = [slice(*bounds) for bounds in pairwise([*first.tolist(), len(more), len(more)])]
    columns = {}
    for name in NAMES:
        column, values = getattr(old, name), getattr(more, name)
        columns[name] = np.concatenate([part for a, b in zip(before, there, strict=True) for part in (column[a], values[b])])
    return columns


def _go_on(columns: dict[str, NDArray[Any]], parts: Parts, rows: Rows, cuts: Cuts) -> None:
    """Changes columns of open pieces, copied just now, where these parts go on with them: a poll changes a little of each of
    ten thousand, so everything is copied once and no more."""
    at = np.searchsorted(columns["aircraft"], parts.aircraft)
    before = columns["ended"][at]
    for name in ("count", "metres"):
        columns[name][at] += getattr(parts, name)
    columns["feeds"][at] |= parts.feeds
    for name, extreme in EXTREMES.items():
        columns[name][at] = extreme(columns[name][at], getattr(parts, name))
    stretch, turns = columns["stretch"], columns["turns"]
    stretch[at], turns[at] = turning.joined(stretch[at], turns[at], parts.stretch, parts.turns)
    for name in ("ended", "last", "heading", "confirmed", "sound"):
        columns[name][at] = getattr(parts, name)
    for name in WORDS:
        said = getattr(parts, name)
        others = np.flatnonzero(said != columns[name][at])
        news = others[said[others] != np.array(None)]
        columns[name][at[news]] = said[news]
    _add_to_heads(columns["head"], at, rows, cuts)
    _add_to_tails(columns["tail"], at, rows, cuts)
    longer = np.flatnonzero(ways.grow(before, parts.ended))
    way, added = columns["way"], _ways(rows, cuts.take(longer))
    way[at[longer]] = ways.joined(way[at[longer]], added, before[longer], parts.ended[longer])


EXTREMES = {
    **dict.fromkeys(("lowest", "slowest"), np.fmin),
    **dict.fromkeys(("highest", "fastest"), np.fmax),
    "still_from": np.minimum,
    **dict.fromkeys(("still_until", "longest_gap"), np.maximum),
}


def _add_to_heads(heads: Floats, at: Ints, rows: Rows, cuts: Cuts) -> None:
    """The first positions in the minutes of each part, as far as there is room in the heads at these places."""
    some = np.flatnonzero((cuts.first < cuts.end) & np.isnan(heads[at, -1, 0]))
    places = cuts.first[some, None] + np.arange(ENDS)
    both = np.concatenate([heads[at[some]], _ends(rows, cuts, places, places < cuts.end[some, None])], axis=1)
    used_first = np.argsort(np.isnan(both[..., 0]), axis=1, kind="stable")[:, :ENDS]
    heads[at[some]] = np.take_along_axis(both, used_first[..., None], axis=1)


def _add_to_tails(tails: Floats, at: Ints, rows: Rows, cuts: Cuts) -> None:
    """The first positions in the last minutes of each part, which move those in the tails at these places forward."""
    many = np.minimum(cuts.end - cuts.first, ENDS)
    for n in range(1, ENDS + 1):
        some = np.flatnonzero(many == n)
        added = _points(rows, cuts.minutes[cuts.end[some, None] + np.arange(-n, 0)])
        tails[at[some]] = np.concatenate([tails[at[some]][:, n:], added], axis=1)


def empty_pieces() -> Pieces:
    kinds: dict[str, type | np.dtype[np.void]] = {"phase": np.int8, "after_jump": bool, "sound": bool, "way": ways.RAW}
    kinds |= {"stretch": turning.RAW, **dict.fromkeys((*WORDS, "turns"), object)}
    floats = ("highest", "lowest", "fastest", "slowest", "head", "tail", "last")
    shapes = {"head": (0, ENDS, len(POINT)), "tail": (0, ENDS, len(POINT)), "last": (0, len(POINT)), "way": (0, ways.MOST)}
    kinds |= dict.fromkeys(floats, np.float64)
    return Pieces(**{name: np.empty(shapes.get(name, (0,)), kinds.get(name, np.int64)) for name in NAMES})


def concatenate(parts: list[Pieces]) -> Pieces:
    """Pieces of several arrays, each sorted by aircraft and time, as one that is."""
    joined = in_a_row(parts)
    return joined if any(joined is p for p in parts) else joined.take(np.lexsort((joined.started, joined.aircraft)))


def in_a_row(parts: list[Pieces]) -> Pieces:
    """Pieces of several arrays, one after the other."""
    parts = [p for p in parts if len(p)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    return Pieces(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in NAMES})
