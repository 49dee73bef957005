"""Batches of rows in, pieces out: the part of the leg computation that sees every row.

`OpenPieces` is all that is carried from batch to batch: for each aircraft the piece that it is in the middle of, the
rows that wait for a verdict, and what each source said last. Cut the same rows into batches any way you like: the
pieces are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flightwatch.legs import cleaning, merging, phases, pieces
from flightwatch.legs.merging import MOST_FEEDS, Merged, Sources
from flightwatch.legs.pieces import METRES_PER_NM, Pieces
from flightwatch.legs.rows import SECOND, TEXTS, Flags, Ints, Rows, compacted, empty_rows
from flightwatch.legs.rows import concatenate as rows_together

GAVE_WAY = 4
"""Beside the codes of `cleaning`: a better source told it already."""


@dataclass(frozen=True)
class OpenPieces:
    """The open piece of each aircraft, the rows that wait for a verdict, what each source said last, and the names
    behind the numbers of feeds, which are those of their bits, too."""

    pieces: Pieces
    waiting: Rows
    sources: Sources
    feeds: tuple[str, ...]

    @staticmethod
    def none() -> OpenPieces:
        return OpenPieces(pieces.empty_pieces(), empty_rows(), merging.no_sources(), ())


@dataclass(frozen=True)
class Advance:
    """What a batch brought: the pieces that ended, the aircraft that turned to something else (took off, landed, came
    back), refusals by reason, and rows that came too late."""

    ended: Pieces
    turned: Ints
    refused: dict[str, int]
    late: Rows


def advance(state: OpenPieces, batch: Rows, preferred: Sequence[str] = ()) -> tuple[OpenPieces, Advance]:
    """Takes a batch (sorted by aircraft and time) into the open pieces. Rows older than what was seen of their
    aircraft are handed back. `preferred` are names of feeds, the better first."""
    feeds, feed = _numbered(state.feeds, batch)
    batch, source, rank = _better_first(batch, merging.sources_of(batch.grade, feed), merging.ranks(feeds, preferred))
    merged = merging.merge(state.sources, batch, source, rank)
    before = _named_behind(state.pieces, batch, merged.gives_way, feeds)
    taken, late = _in_time(state, batch, merged)
    numbers = np.unique(np.concatenate([batch.aircraft[taken], state.waiting.aircraft]))
    rows, is_context, aside = _merged(_context(before, numbers), state.waiting, batch.take(taken), merged.gives_way[taken])
    code, jump = _verdicts(rows, is_context, aside)
    rows = _named(rows, code, aside, feeds)
    kept = code == cleaning.ACCEPTED
    before = _named_on(before, rows.take(is_context))
    new, steps, phase = _steps(rows.take(kept), is_context[kept], jump[kept], before)
    parts = pieces.cut(new, phase, steps, _bits(feeds, new) | new.also)
    opened, ended = _continue(before, parts, steps, new)
    refused = {reason: int(np.sum(code == number)) for number, reason in cleaning.REASONS.items()}
    waiting = compacted(rows.take(code == cleaning.WAITING))
    now = OpenPieces(opened, waiting, merged.sources, feeds)
    return now, Advance(ended, np.unique(new.aircraft[steps.turns]), refused, batch.take(late))


def _numbered(known: tuple[str, ...], batch: Rows) -> tuple[tuple[str, ...], Ints]:
    """The names of all feeds so far, and the number of each row's feed."""
    words = batch.vocabulary["feed"]
    names = (list(known) + [w for w in dict.fromkeys(words) if w not in known])[:MOST_FEEDS]
    number = {name: i for i, name in enumerate(names)}
    numbers = np.array([*(number.get(w, MOST_FEEDS - 1) for w in words), MOST_FEEDS - 1], dtype=np.int64)
    return tuple(names), numbers[batch.feed]


def _bits(feeds: tuple[str, ...], rows: Rows) -> Ints:
    """The bit of each row's feed; 0 where it has none."""
    number = {name: i for i, name in enumerate(feeds)}
    words = rows.vocabulary["feed"]
    return np.array([*(1 << number.get(w, MOST_FEEDS - 1) for w in words), 0], dtype=np.int64)[rows.feed]


def _better_first(batch: Rows, source: Ints, rank: Ints) -> tuple[Rows, Ints, Ints]:
    """The batch with the better row first where several are of one aircraft and time."""
    if not ((batch.aircraft[1:] == batch.aircraft[:-1]) & (batch.time[1:] == batch.time[:-1])).any():
        return batch, source, rank
    order = np.lexsort((rank[source], batch.time, batch.aircraft))
    return batch.take(order), source[order], rank


def _in_time(state: OpenPieces, batch: Rows, merged: Merged) -> tuple[Flags, Flags]:
    """Which rows are newer than everything seen of their aircraft, and which are late and count: that is, do not give
    way and do not say again what was known."""
    ended = _look_up(state.pieces.aircraft, state.pieces.ended, batch.aircraft, -pieces.NEVER)
    seen_until = ended
    if len(state.waiting):
        last = np.flatnonzero(np.r_[state.waiting.aircraft[1:] != state.waiting.aircraft[:-1], True])
        waits = _look_up(state.waiting.aircraft[last], state.waiting.time[last], batch.aircraft, -pieces.NEVER)
        seen_until = np.maximum(seen_until, waits)
    fresh = batch.time > np.where(merged.gives_way, ended, seen_until)
    known = ((batch.time == seen_until) | _says_the_last_again(state.pieces, batch)) & ~merged.news
    return fresh, ~fresh & ~known & ~merged.gives_way


def _says_the_last_again(open_pieces: Pieces, batch: Rows) -> Flags:
    """Fix times wander by tenths of a second from poll to poll (`seen_pos` is rounded), so the last fix can come
    again a little older."""
    if not len(open_pieces):
        return np.zeros(len(batch), bool)
    at = np.clip(np.searchsorted(open_pieces.aircraft, batch.aircraft), 0, len(open_pieces) - 1)
    last = open_pieces.last[at]
    return np.asarray(
        (open_pieces.aircraft[at] == batch.aircraft) & (last[:, 1] == batch.latitude) & (last[:, 2] == batch.longitude)
    )


def _look_up(keys: Ints, values: Ints, wanted: Ints, default: int) -> Ints:
    """The value of each wanted key (keys sorted), or the default."""
    if not len(keys):
        return np.full(len(wanted), default)
    at = np.clip(np.searchsorted(keys, wanted), 0, len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], default)


def _context(open_pieces: Pieces, aircraft: Ints) -> Rows:
    """The last accepted position of each of these aircraft as rows."""
    found = open_pieces.take(np.isin(open_pieces.aircraft, aircraft, assume_unique=True))
    empty = empty_rows()
    columns: dict[str, Any] = {name: found.last[:, i] for i, name in enumerate(pieces.POINT) if name != "time"}
    n = len(found)
    columns |= {name: np.full(n, -1, np.int32) for name in TEXTS}
    return Rows(
        aircraft=found.aircraft,
        time=found.ended,
        received=np.zeros(n, np.int64),
        grade=np.zeros(n, np.int8),
        also=np.zeros(n, np.int64),
        onground=np.where(found.phase == phases.GROUND, 1, 0).astype(np.int8),
        **columns,
        vocabulary=empty.vocabulary,
    )


def _merged(context: Rows, waiting: Rows, batch: Rows, gives_way: Flags) -> tuple[Rows, Flags, Flags]:
    """Context, waiting rows and batch in order, and which of them are context and which give way; context rows come
    first of each aircraft because they are the oldest."""
    rows = rows_together(rows_together(context, waiting), batch)
    aside = np.r_[np.zeros(len(context) + len(waiting), bool), gives_way]
    order = np.lexsort((aside, rows.time, rows.aircraft)) if aside.any() else np.lexsort((rows.time, rows.aircraft))
    return rows.take(order), order < len(context), aside[order]


def _verdicts(rows: Rows, is_context: Flags, aside: Flags) -> tuple[cleaning.Codes, Flags]:
    """A code for each row and the rows before which the track breaks; those that give way are not judged."""
    if not aside.any():
        verdicts = cleaning.judge(rows, is_context)
        return verdicts.code, verdicts.jump
    judged = cleaning.judge(rows.take(~aside), is_context[~aside])
    code, jump = np.full(len(rows), GAVE_WAY, np.int8), np.zeros(len(rows), bool)
    code[~aside], jump[~aside] = judged.code, judged.jump
    return code, jump


# ---------------------------------------------------------------------------------------------------------------- provenance
# A leg names the feeds of the positions that gave way, too: each is noted with the last row before it that counts.


def _named(rows: Rows, code: cleaning.Codes, aside: Flags, feeds: tuple[str, ...]) -> Rows:
    """The rows with the feeds of those that gave way after them. What a refused row had noted goes to the one before
    it."""
    counts = (code == cleaning.ACCEPTED) | (code == cleaning.WAITING)
    handed = np.where(counts, 0, rows.also)
    handed[aside] |= _bits(feeds, rows.take(aside))
    giving = np.flatnonzero(handed)
    if not len(giving):
        return rows
    to = np.maximum.accumulate(np.where(counts, np.arange(len(rows)), -1))[giving]
    mine = (to >= 0) & (rows.aircraft[to] == rows.aircraft[giving])
    also = rows.also.copy()
    np.bitwise_or.at(also, to[mine], handed[giving[mine]])
    return replace(rows, also=also)


def _named_behind(open_pieces: Pieces, batch: Rows, gives_way: Flags, feeds: tuple[str, ...]) -> Pieces:
    """The open pieces with the feeds of rows that gave way and lie within them; those of earlier pieces hardly ever
    bring a feed that the leg does not have."""
    if not gives_way.any():
        return open_pieces
    rows = batch.take(gives_way)
    started = _look_up(open_pieces.aircraft, open_pieces.started, rows.aircraft, pieces.NEVER)
    ended = _look_up(open_pieces.aircraft, open_pieces.ended, rows.aircraft, -pieces.NEVER)
    inside = (started <= rows.time) & (rows.time <= ended)
    return _with_feeds(open_pieces, rows.aircraft[inside], _bits(feeds, rows)[inside])


def _named_on(open_pieces: Pieces, context: Rows) -> Pieces:
    """The open pieces with what was noted with their last rows."""
    noted = context.also != 0
    return _with_feeds(open_pieces, context.aircraft[noted], context.also[noted])


def _with_feeds(open_pieces: Pieces, aircraft: Ints, bits: Ints) -> Pieces:
    """The open pieces of these aircraft, which are among them, with more feeds."""
    if not len(aircraft):
        return open_pieces
    feeds = open_pieces.feeds.copy()
    np.bitwise_or.at(feeds, np.searchsorted(open_pieces.aircraft, aircraft), bits)
    return replace(open_pieces, feeds=feeds)


# ------------------------------------------------------------------------------------------------------------------ pieces


def _steps(rows: Rows, is_context: Flags, jump: Flags, open_pieces: Pieces) -> tuple[Rows, pieces.Steps, phases.Phases]:
    """The accepted rows without the context, with what lies before each of them."""
    distance, elapsed, same = cleaning.pair_distances(rows)
    before = _look_up(open_pieces.aircraft, open_pieces.phase.astype(np.int64), rows.aircraft, phases.UNCLEAR).astype(np.int8)
    said = phases.evidence(rows, distance, elapsed)
    said = np.where(is_context, before, said).astype(np.int8)
    phase = phases.carried_on(said, ~same, before)
    changed = np.r_[False, phase[1:] != phase[:-1]] if len(rows) else np.zeros(0, bool)
    turns = ~same | changed | jump | (elapsed > pieces.HOLE_S * SECOND)
    begins = turns | pieces.is_hole(rows.altitude, phase, elapsed)
    new = ~is_context
    first = np.zeros(len(rows), bool)
    first[np.flatnonzero(new & np.r_[True, ~new[:-1] | ~same[1:]])] = True
    metres = np.round(distance * METRES_PER_NM).astype(np.int64)
    steps = pieces.Steps(metres[new], elapsed[new], begins[new], turns[new], first[new], jump[new])
    return rows.take(new), steps, phase[new]


def _continue(old: Pieces, parts: Pieces, steps: pieces.Steps, rows: Rows) -> tuple[Pieces, Pieces]:
    """The new parts after the old open pieces: what is open now, and what ended."""
    if not len(parts):
        return old, parts
    start = np.flatnonzero(steps.begins | steps.first)
    goes_on = steps.first[start] & ~steps.begins[start]
    parent = np.searchsorted(old.aircraft, parts.aircraft[goes_on])
    at = start[goes_on]
    joined = pieces.join(old.take(parent), parts.take(goes_on), steps.metres[at], steps.elapsed[at])
    closed_by_new = np.ones(len(old), bool)
    closed_by_new[parent] = False
    stays = ~np.isin(old.aircraft, parts.aircraft)
    together = pieces.concatenate([old.take(closed_by_new & ~stays), joined, parts.take(~goes_on)])
    is_last = np.r_[together.aircraft[1:] != together.aircraft[:-1], True]
    return pieces.concatenate([old.take(stays), together.take(is_last)]), together.take(~is_last)
