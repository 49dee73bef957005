"""How much an aircraft turned: for each piece the stretches of five minutes in which it turned a lot, with their place.

In: the rows of pieces, or two parts of the same pieces. Out: stretches of fixed times (twelve an hour, whenever the piece
began), so they are the same however the rows were cut into batches. Turns are whole thousandths of a degree, to the
right positive, because integers add up the same in any order; figures of eight and rows of parallel lines cancel out.

Only rows that follow closely tell of turning: an aircraft at standard rate is round in two minutes.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flightwatch.legs.cleaning import Pairs
from flightwatch.legs.rows import SECOND, Flags, Floats, Ints, Rows, changes, reduced, since_before

STRETCH_S = 300
"""Holding once round takes four minutes, a wide circle at survey speed ten to fifteen."""

STRETCH = np.dtype(
    [
        ("time", "<u4"),
        ("turned", "<i4"),
        ("south", "<f4"),
        ("west", "<f4"),
        ("north", "<f4"),
        ("east", "<f4"),
        ("lowest", "<f4"),
        ("highest", "<f4"),
    ]
)
"""One stretch: when it began (seconds since 1970), thousandths of a degree, the area (deg), heights (ft, NaN where
unknown)."""

RAW = np.dtype((np.void, STRETCH.itemsize))
"""What stretches are kept as: see `ways.RAW`."""

HEAD = Struct(f"<Ii{STRETCH.itemsize - 8}x")
"""When one stretch began, and how far it turned, of its bytes: an array of a few takes several times as long."""

NOTABLE_DEG = 90.0
"""A stretch with less is left out: once round in twenty minutes, ten nm at 190 kt."""

MOST = 96
"""Notable stretches of one piece that are kept: eight hours."""

SLOWEST_S, SLOWEST_KT, SHORTEST_NM = 120.0, 50.0, 0.01
"""Steps that take longer, are slower (taxiing, hovering) or shorter (noise, 60 ft) have no direction of their own."""

AMBIGUOUS_DEG = 150.0
"""More than this from one step to the next may have been to the left as well as to the right."""

MILLI = 1000
ROUND = 360 * MILLI
UNKNOWN = -1

Stretches = NDArray[np.void]


def headings(pairs: Pairs, at: Ints, known: Ints) -> Floats:
    """The direction (whole thousandths of a degree) in which each row was reached, or `UNKNOWN`; one that has hardly moved
    goes on as the row before. Of the rows `at` some places, which were seen before, it is known."""
    along = pairs.east + 180
    across = np.flatnonzero((along < 0) | (along >= 360))  # the antimeridian
    along[across] %= 360
    along -= 180
    moved = pairs.distance >= SHORTEST_NM
    along *= pairs.level
    with np.errstate(divide="ignore", invalid="ignore"):  # due east, and where it stands
        told = np.divide(along, pairs.north, out=along)
    np.arctan(told, out=told)  # a third of what the arctangent of two takes
    told *= MILLI * np.degrees(1.0)
    told[~moved] = 0.0
    np.round(told, out=told)
    np.add(told, ROUND // 2, out=told, where=np.signbit(pairs.north))
    np.add(told, ROUND, out=told, where=told < 0)
    slow = pairs.distance * (3600 * SECOND) < SLOWEST_KT * pairs.elapsed
    slow |= ~pairs.same | (pairs.elapsed > SLOWEST_S * SECOND)
    told[slow] = UNKNOWN
    told[at] = known
    hardly = ~(moved | slow)
    hardly[at] = False
    if (some := np.flatnonzero(hardly)).size:
        others = np.flatnonzero(~hardly)  # the first row of an aircraft is among them
        told[some] = told[others[np.searchsorted(others, some) - 1]]
    return told


def turns(heading: Floats, begins: Flags) -> Floats:
    """How far each row turned from the one before (whole thousandths of a degree, to the right positive); nothing at the
    beginning of a piece."""
    turned = since_before(heading)
    size, most = np.abs(turned), AMBIGUOUS_DEG * MILLI
    over = np.flatnonzero(size > ROUND // 2)  # through north
    turned[over] -= np.copysign(ROUND, turned[over])
    unknown = heading == UNKNOWN
    unknown[1:] |= unknown[:-1]
    turned[begins | unknown | ((size > most) & (size < ROUND - most))] = 0
    return turned


def stretched(rows: Rows, minutes: Ints, turned: Floats, start: Ints, stop: Ints) -> tuple[Stretches, NDArray[np.object_]]:
    """Of the parts of pieces that begin and end at these rows the last stretch (`RAW`), which may go on, and the bytes of those
    before it: the first one, of which a part may lie in an earlier batch, and the notable ones. `minutes` are the rows that
    are the first of a minute in their piece."""
    begins = np.zeros(len(rows), bool)
    begins[start] = True
    edges = begins.copy()
    edges[minutes] = True
    at = np.flatnonzero(edges)
    number = rows.time[at] // (STRETCH_S * SECOND)
    opens = changes(number) | begins[at]
    at, number = at[opens], number[opens]
    first = np.flatnonzero(begins[at])
    last = np.append(first[1:], len(at)) - 1
    until = np.append(at[1:], stop[-1])
    until[last] = stop
    turn = reduced(np.add, turned, at, until)
    kept = _is_much(turn)
    kept[first] = kept[last] = True
    at, until = at[kept], until[kept]
    found = np.zeros(len(at), STRETCH)
    found["time"] = number[kept] * STRETCH_S
    found["turned"] = turn[kept]
    for name, extreme, column in EXTREMES:
        found[name] = reduced(extreme, getattr(rows, column), at, until)
    raw, first = found.view(RAW), np.flatnonzero(begins[at])
    last = np.append(first[1:], len(at)) - 1
    stored, size, earlier = raw.tobytes(), STRETCH.itemsize, np.full(len(start), b"", object)
    several = np.flatnonzero(last > first)
    for i, begin, end in zip(several.tolist(), first[several].tolist(), last[several].tolist(), strict=True):
        earlier[i] = stored[begin * size : end * size]
    return raw[last], earlier


EXTREMES = (
    ("south", np.fmin, "latitude"),
    ("west", np.fmin, "longitude"),
    ("north", np.fmax, "latitude"),
    ("east", np.fmax, "longitude"),
    ("lowest", np.fmin, "altitude"),
    ("highest", np.fmax, "altitude"),
)


def notable(stretches: Stretches) -> Flags:
    return _is_much(stretches["turned"])


def _is_much(turned: NDArray[Any]) -> Flags:
    return np.asarray(np.abs(turned) >= NOTABLE_DEG * MILLI)


def joined(
    a: Stretches, a_earlier: NDArray[np.object_], b: Stretches, b_earlier: NDArray[np.object_]
) -> tuple[Stretches, NDArray[np.object_]]:
    """Two parts of the same pieces, element by element, `b` after `a`; as `stretched` gives them."""
    goes_on = b_earlier == b""
    before = a.view(STRETCH)
    one = goes_on & (before["time"] == b.view(STRETCH)["time"])
    last = b.copy()
    last[one] = _together(a[one].view(STRETCH), b[one].view(STRETCH)).view(RAW)
    earlier = a_earlier.copy()
    for i in np.flatnonzero(~goes_on | (~one & notable(before))).tolist():
        earlier[i] = _followed(a_earlier[i], a[i].tobytes(), b_earlier[i])
    return last, earlier


def _together(a: Stretches, b: Stretches) -> Stretches:
    """Two parts of the same stretches."""
    out = np.empty(len(a), STRETCH)
    out["time"] = b["time"]
    out["turned"] = a["turned"] + b["turned"]
    for name, extreme, _ in EXTREMES:
        out[name] = extreme(a[name], b[name])
    return out


def _followed(before: bytes, last: bytes, after: bytes) -> bytes:
    goes_on, rest = after[: STRETCH.itemsize], after[STRETCH.itemsize :]
    if goes_on and HEAD.unpack_from(goes_on)[0] == HEAD.unpack_from(last)[0]:
        last, after = _together(np.frombuffer(last, STRETCH), np.frombuffer(goes_on, STRETCH)).tobytes(), rest
    return worth_keeping(before + last + after)


def worth_keeping(stretches: bytes) -> bytes:
    """The notable ones of some stretches, as many as are kept."""
    size = STRETCH.itemsize
    turns = [turned for _, turned in HEAD.iter_unpack(stretches)]
    kept = [i * size for i, turned in enumerate(turns) if abs(turned) >= NOTABLE_DEG * MILLI]
    return b"".join(stretches[at : at + size] for at in kept[:MOST])
