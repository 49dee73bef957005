"""The way of a flight: its track thinned to a few positions, for those who compare it with other flights.

In: the rows of pieces, or two parts of a way. Out: at most `MOST` waypoints, the first position in each stretch of
time; the way of a leg ends with its very last position. How long the stretches are follows from when the way began and
ended, so it is the same however the positions came in.
"""

from __future__ import annotations

from itertools import pairwise
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from flightwatch.legs.rows import SECOND, Flags, Ints, Rows, changes
from flightwatch.records import WAYPOINT

MOST = 24
"""Waypoints of one way: two hours in stretches of five minutes, sixteen in stretches of forty."""

STRETCH_S = 300
"""The shortest stretch; longer ones are twice, four times ... as long. An airliner covers 40 nm in it, less than what
lies between the bends of most airways."""

UNUSED = 0
"""The time where there is no waypoint."""

Waypoints = NDArray[np.void]

RAW = np.dtype((np.void, WAYPOINT.itemsize))
"""What waypoints are kept as: numpy copies elements that have fields field by field, which takes ten times as long."""

AS_BYTES = Struct("<Ifff")
"""One element of `WAYPOINT` as bytes: an array of one takes several times as long."""


def thinned(rows: Rows, minutes: Ints, start: Ints, stop: Ints) -> Waypoints:
    """The ways of the pieces that begin and end at these rows: shape (pieces, MOST) of `RAW`, used ones first. `minutes` are
    the first rows in each minute of each of them."""
    time = rows.time[minutes] // SECOND
    first = np.searchsorted(minutes, start)
    piece = np.repeat(np.arange(len(start)), np.diff(first, append=len(minutes)))
    opens = changes(time // _stretches(rows.time[start] // SECOND, rows.time[stop - 1] // SECOND)[piece])
    opens[first] = True
    chosen, piece, time = minutes[opens], piece[opens], time[opens]
    many = np.bincount(piece)
    place = np.arange(len(chosen)) - (np.cumsum(many) - many)[piece]
    ways = np.zeros((len(start), MOST), WAYPOINT)
    ways["time"][piece, place] = time
    for name in ("latitude", "longitude", "altitude"):
        ways[name][piece, place] = getattr(rows, name)[chosen]
    return ways.view(RAW)


def _stretches(began: Ints, ended: Ints) -> Ints:
    """The length (s) of the stretches of ways between these times: the shortest that leaves no more than `MOST`."""
    length = np.full(len(began), STRETCH_S, np.int64)
    while (crowded := ended // length - began // length >= MOST).any():
        length[crowded] *= 2
    return length


def grow(before: Ints, ended: Ints) -> Flags:
    """Whether ways that ended before (µs), and now end later, grow by that: most polls add nothing, for the shortest stretch
    has its position already."""
    return np.asarray(before // SECOND // STRETCH_S != ended // SECOND // STRETCH_S)


def joined(ways: Waypoints, parts: Waypoints, before: Ints, ended: Ints) -> Waypoints:
    """Ways that go on with these parts, element by element: they ended at `before` (µs), and now at `ended`."""
    time, added = ways.view(WAYPOINT)["time"].astype(np.int64), parts.view(WAYPOINT)["time"].astype(np.int64)
    length = _stretches(time[:, 0], ended // SECOND)
    # mostly one position comes after all others, which stay
    plain = (added[:, 1] == UNUSED) & (length == _stretches(time[:, 0], before // SECOND))
    used = (time != UNUSED).sum(axis=1)
    new = np.flatnonzero(plain & (added[:, 0] // length > time[np.arange(len(time)), used - 1] // length))
    grown = ways.copy()
    grown[new, used[new]] = parts[new, 0]
    others = np.flatnonzero(~plain)
    grown[others] = _thinned_again(np.concatenate([ways[others], parts[others]], axis=1), ended[others] // SECOND)
    return grown


def _thinned_again(ways: Waypoints, end: Ints) -> Waypoints:
    time = ways.view(WAYPOINT)["time"].astype(np.int64)
    stretch = np.where(time == UNUSED, -1, time // _stretches(time[:, 0], end)[:, None])
    before = np.maximum.accumulate(stretch, axis=1)[:, :-1]
    opens: Flags = np.concatenate([np.ones((len(time), 1), bool), stretch[:, 1:] > before], axis=1)
    order = np.argsort(~opens, axis=1, kind="stable")[:, :MOST]
    kept = np.take_along_axis(ways, order, axis=1)
    kept[~np.take_along_axis(opens, order, axis=1)] = np.zeros((), RAW)
    return kept


def packed(ways: Waypoints) -> list[bytes]:
    """Each way as the bytes of its waypoints."""
    stored, whole = ways.tobytes(), ways.shape[1] * WAYPOINT.itemsize
    used = (ways.view(WAYPOINT)["time"] != UNUSED).sum(axis=1) * WAYPOINT.itemsize
    return [stored[begin : begin + many] for begin, many in zip(range(0, len(stored), whole), used.tolist(), strict=True)]


def together(a: bytes, b: bytes, ended: int) -> bytes:
    """Two parts of one way as bytes: `b` lies after `a` and ended at this time (µs)."""
    if not (a and b):
        return a or b
    both, size = a + b, AS_BYTES.size
    times = [time for time, *_ in AS_BYTES.iter_unpack(both)]
    length = int(_stretches(np.array(times[:1]), np.array([ended // SECOND]))[0])
    stretches = [time // length for time in times]
    opens = [place for place, (before, now) in enumerate(pairwise([-1, *stretches])) if now > before]
    return b"".join([both[size * place : size * (place + 1)] for place in opens])


def ended(way: bytes, time: int, latitude: float, longitude: float, altitude: float) -> bytes:
    """A way that keeps the last position (time in µs) of its leg, too."""
    if not way or AS_BYTES.unpack_from(way, len(way) - AS_BYTES.size)[0] >= time // SECOND:
        return way
    return way + AS_BYTES.pack(time // SECOND, latitude, longitude, altitude)
