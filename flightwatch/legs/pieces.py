"""Rows to pieces: a piece is a stretch of one aircraft's track that is all in the air or all on the ground, without a
hole.

In: batches of rows, and the piece that each aircraft is in the middle of. Out: the pieces that ended, and the new
open ones. A piece holds sums, extremes, and a few positions at either end (the first in each of the first and last
minutes), nothing else, so two parts of one piece join exactly: the pieces do not depend on how the rows were cut into
batches.

What a hole is: see `is_hole`. Distances are whole metres, because integers add up to the same in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flightwatch.legs import turning, ways
from flightwatch.legs.phases import GROUND, Phases
from flightwatch.legs.rows import MINUTE, SECOND, Flags, Floats, Ints, Rows, changes, find, picker, reduced
from flightwatch.records import WAYPOINT

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
class Pieces:
    """Arrays of one length, sorted by aircraft and time.

    `head` and `tail` have shape (n, ENDS, 7) and `last` (n, 7), columns as `POINT`, NaN where unused; times in them
    are microseconds, which a float holds exactly until the year 2255. `still_from` and `still_until` bound the time
    in which the aircraft was seen to stand. `way`: see `ways`; `confirmed` and `sound` are what `cleaning` remembers of
    the aircraft; `heading`, `stretch` and `turns` what `turning` does.
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
    head: Floats
    tail: Floats
    last: Floats
    way: ways.Waypoints
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

    def take(self, index: Ints | Flags | slice) -> Pieces:
        """Those of some places, or where a flag is set: mostly that is all or none."""
        if isinstance(index, np.ndarray):
            index = np.flatnonzero(index) if index.dtype == bool else index
            if len(index) == len(self) and (index == np.arange(len(self))).all():
                return self
        pick = picker(index)
        return Pieces(**{name: pick(getattr(self, name)) for name in NAMES})


NAMES = tuple(f.name for f in fields(Pieces))
WORDS = ("callsign", "registration", "typecode", "category")


def is_hole(altitude: Floats, phase: Phases, elapsed: Ints) -> Flags:
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
    `heading` is the direction in which a row was reached.
    """

    metres: Ints
    elapsed: Ints
    begins: Flags
    turns: Flags
    first: Flags
    context: Flags
    jump: Flags
    heading: Ints
    turned: Ints


def cut(rows: Rows, phase: Phases, steps: Steps, feed_bits: Ints, confirmed: Ints, sound: Flags) -> Pieces:
    """Rows (sorted, all accepted) as pieces. The first one of an aircraft may go on with one that is open: see
    `continued`."""
    edges = np.flatnonzero(steps.begins | steps.first | steps.context)
    new = ~steps.context[edges]
    start, stop = edges[new], np.append(edges[1:], len(rows))[new]
    if not len(start):
        return empty_pieces()
    metres, elapsed = steps.metres.copy(), steps.elapsed.copy()
    metres[start] = elapsed[start] = 0  # what lies between two pieces belongs to neither
    still_from, still_until = _still(rows, phase, steps, start, stop)
    minutes = _minutes(rows, start, steps.context)
    head, tail = _ends(rows, minutes, start, stop)
    stretch, turns = turning.stretched(rows, minutes, steps.turned, start, stop)
    return Pieces(
        aircraft=rows.aircraft[start],
        phase=phase[start],
        started=rows.time[start],
        ended=rows.time[stop - 1],
        count=stop - start,
        metres=reduced(np.add, metres, start, stop),
        longest_gap=reduced(np.maximum, elapsed, start, stop),
        highest=reduced(np.fmax, rows.altitude, start, stop),
        lowest=reduced(np.fmin, rows.altitude, start, stop),
        fastest=reduced(np.fmax, rows.groundspeed, start, stop),
        slowest=reduced(np.fmin, rows.groundspeed, start, stop),
        still_from=still_from,
        still_until=still_until,
        after_jump=steps.jump[start],
        feeds=reduced(np.bitwise_or, feed_bits, start, stop),
        head=head,
        tail=tail,
        last=_points(rows, stop - 1),
        way=ways.thinned(rows, minutes, start, stop),
        heading=steps.heading[stop - 1],
        stretch=stretch,
        turns=turns,
        confirmed=confirmed[start],
        sound=sound[start],
        **{name: _last_word(rows, name, start, stop) for name in WORDS},
    )


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
    return np.stack([getattr(rows, name)[index].astype(np.float64) for name in POINT], axis=-1)


def _minutes(rows: Rows, start: Ints, context: Flags) -> Ints:
    """The first row in each minute of every piece: whatever stretch of time is kept of it, one of these is its first."""
    opens = changes(rows.time // MINUTE)
    opens[start] = True
    opens[context] = False
    return np.flatnonzero(opens)


def _ends(rows: Rows, chosen: Ints, start: Ints, stop: Ints) -> tuple[Floats, Floats]:
    """The first position in each of the first and of the last `ENDS` minutes of every piece."""
    first, end = np.searchsorted(chosen, start)[:, None], np.searchsorted(chosen, stop)[:, None]
    heads = first + np.arange(ENDS)
    tails = end - ENDS + np.arange(ENDS)

    def gather(index: Ints, used: Flags) -> Floats:
        ends = np.full((*index.shape, len(POINT)), np.nan)
        ends[used] = _points(rows, chosen[index[used]])
        return ends

    return gather(heads, heads < end), gather(tails, tails >= first)


def continued(old: Pieces, at: Ints, parts: Pieces, metres: Ints, elapsed: Ints) -> Pieces:
    """Pieces of which those at some places go on with these parts; `metres` and `elapsed` lie between them."""
    a = {name: getattr(old, name)[at] for name in GROWING}
    stretch, turns = turning.joined(old.stretch[at], old.turns[at], parts.stretch, parts.turns)
    grown: dict[str, Any] = {name: getattr(parts, name) for name in ("ended", "last", "heading", "confirmed", "sound")}
    grown |= {
        "count": a["count"] + parts.count,
        "metres": a["metres"] + parts.metres + metres,
        "longest_gap": np.maximum(np.maximum(a["longest_gap"], parts.longest_gap), elapsed),
        "feeds": a["feeds"] | parts.feeds,
        "stretch": stretch,
        "turns": turns,
    }
    grown |= {name: least(a[name], getattr(parts, name)) for name, least in EXTREMES.items()}
    for name in WORDS:
        new = getattr(parts, name)
        grown[name] = np.where(new == np.array(None), getattr(old, name)[at], new)
    columns = {name: _with(getattr(old, name), at, values) for name, values in grown.items()}
    head, tail = _heads_joined(old, at, parts), _tails_joined(old, at, parts)
    way = ways.joined(old.way, at, parts.way, old.ended[at], parts.ended)
    return replace(old, **columns, head=head, tail=tail, way=way)


EXTREMES = {
    **dict.fromkeys(("lowest", "slowest"), np.fmin),
    **dict.fromkeys(("highest", "fastest"), np.fmax),
    "still_from": np.minimum,
    "still_until": np.maximum,
}
GROWING = ("count", "metres", "longest_gap", "feeds", *EXTREMES)


def _with(column: NDArray[Any], at: Ints, values: NDArray[Any]) -> NDArray[Any]:
    """A column with other values at some places, all different."""
    if len(at) in (0, len(column)):
        return values if len(at) else column
    changed = column.copy()
    changed[at] = values
    return changed


def _adds(old: Pieces, at: Ints, parts: Pieces, ends: Floats) -> Flags:
    """Which of the positions at one end of these parts are new to the pieces that go on with them: most polls add none. The
    position of the minute in which a part starts is in the piece that it goes on with."""
    again = (old.ended[at] // MINUTE == parts.started // MINUTE)[:, None] & (ends[..., 0] == parts.started[:, None])
    return np.asarray(~(again | np.isnan(ends[..., 0])))


def _heads_joined(old: Pieces, at: Ints, parts: Pieces) -> Floats:
    """The heads of pieces that go on with these parts: those with room take what they add."""
    adds = _adds(old, at, parts, parts.head)
    some = np.flatnonzero(adds.any(axis=1) & np.isnan(old.head[at, -1, 0]))
    added = np.where(adds[some][..., None], parts.head[some], np.nan)
    both = np.concatenate([old.head[at[some]], added], axis=1)
    used_first = np.argsort(np.isnan(both[..., 0]), axis=1, kind="stable")[:, :ENDS]
    return _with(old.head, at[some], np.take_along_axis(both, used_first[..., None], axis=1))


def _tails_joined(old: Pieces, at: Ints, parts: Pieces) -> Floats:
    """The tails of pieces that go on with these parts: what they add comes last, and moves the others forward."""
    many = _adds(old, at, parts, parts.tail).sum(axis=1)
    tails = old.tail.copy() if many.any() else old.tail
    for n in np.unique(many[many > 0]).tolist():
        those = np.flatnonzero(many == n)
        tails[at[those], : ENDS - n] = old.tail[at[those], n:]
        tails[at[those], ENDS - n :] = parts.tail[those, ENDS - n :]
    return tails


def followed(old: Pieces, new: Pieces, before: Pieces) -> tuple[Pieces, Pieces]:
    """The open pieces after others began (several of one aircraft one after the other), and those that ended by that. `before`
    are the open ones before they were `continued`: what was copied then is not copied again, for few begin in a poll."""
    if not len(new):
        return old, new
    last = np.roll(changes(new.aircraft), -1)
    begun = new.take(last)
    at, there = find(old.aircraft, begun.aircraft)
    over = old.take(at[there])
    ended = concatenate([over, new.take(~last)])
    added = at[~there]  # where those come that had none
    moved = at[there] + np.searchsorted(added, at[there], side="right")
    columns = {}
    for name in NAMES:
        column, values = getattr(old, name), getattr(begun, name)
        own = column is not getattr(before, name) and column is not getattr(over, name)
        columns[name] = np.insert(column, added, values[~there], axis=0) if len(added) else column if own else column.copy()
        columns[name][moved] = values[there]
    return Pieces(**columns), ended


def empty_pieces() -> Pieces:
    kinds: dict[str, type | np.dtype[np.void]] = {"phase": np.int8, "after_jump": bool, "sound": bool, "way": WAYPOINT}
    kinds |= {"stretch": turning.STRETCH, **dict.fromkeys((*WORDS, "turns"), object)}
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
