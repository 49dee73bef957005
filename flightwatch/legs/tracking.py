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

from flightwatch.legs import cleaning, merging, phases, pieces, turning
from flightwatch.legs.merging import MOST_FEEDS, Merged, Numbers, Sources
from flightwatch.legs.pieces import METRES_PER_NM, Cuts, Parts, Pieces
from flightwatch.legs.rows import (
    SECOND,
    TEXTS,
    UNTOLD,
    Among,
    Flags,
    Ints,
    Rows,
    Spans,
    changes,
    compacted,
    empty_rows,
    find,
    interleaved,
)
from flightwatch.legs.rows import concatenate as rows_together
from flightwatch.legs.suspicion import Suspects


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
    back), refusals by reason, what of accepted rows was not believed, rows to look at, accepted rows that tell of an
    emergency or send a code that somebody asks for, and rows that came too late."""

    ended: Pieces
    turned: Ints
    refused: dict[str, int]
    doubted: dict[str, int]
    suspects: Suspects
    alarms: Rows
    late: Rows


def advance(state: OpenPieces, batch: Rows, preferred: Sequence[str] = ()) -> tuple[OpenPieces, Advance]:
    """Takes a batch (sorted by aircraft and time) into the open pieces. Rows older than what was seen of their
    aircraft are handed back. `preferred` are names of feeds, the better first."""
    feeds, feed = _numbered(state.feeds, batch)
    batch, source, rank = _better_first(batch, merging.sources_of(batch.grade, feed), merging.ranks(feeds, preferred))
    merged, of_batch = merging.merge(state.sources, batch, source, rank), batch.spans()
    gave_way = batch.take(merged.gives_way)
    counts, late, repeated = _in_time(state, batch, of_batch, merged)
    aircraft = _concerned(state, of_batch.aircraft[np.logical_or.reduceat(counts, of_batch.start)], gave_way)
    _, concerned = find(aircraft, state.waiting.aircraft)
    rows, is_context, waited = _merged(_context(state.pieces, aircraft), state.waiting.take(concerned), batch, counts)
    spans = rows.spans()
    pairs, mine = cleaning.pair_distances(rows, spans), spans.among(state.pieces.aircraft)
    before = _remembered(state.pieces, mine)
    verdicts, remembered, refused = cleaning.judge(rows, spans, pairs, is_context, waited, before)
    old, rows = _named(_reminded(state.pieces, mine, remembered), rows, verdicts.code, is_context, gave_way, feeds)
    waiting = _still_waiting(state.waiting.take(~concerned), rows.take(verdicts.code == cleaning.WAITING))
    suspect = Suspects.of(rows, verdicts, refused, is_context | waited)
    refusals, doubts = _counts(verdicts, repeated), _doubts(verdicts)
    kept = verdicts.code == cleaning.ACCEPTED
    if not kept.all():
        rows, verdicts, is_context = rows.take(kept), verdicts.take(kept), is_context[kept]
        remembered, spans = remembered.take(np.logical_or.reduceat(kept, spans.start)), rows.spans()
        pairs, mine = cleaning.pair_distances(rows, spans), spans.among(state.pieces.aircraft)
    rows = _without_heights(rows, verdicts.no_height)
    steps, phase = _steps(rows, pairs, is_context, verdicts, state.pieces, mine)
    cuts = Cuts.of(rows, steps)
    confirmed, sound = np.repeat(remembered.confirmed, spans.count), np.repeat(remembered.sound, spans.count)
    parts = pieces.cut(rows, phase, steps, cuts, _bits(feeds, rows), confirmed, sound)
    opened, ended = _continue(old, parts, rows, cuts)
    turned = np.unique(rows.aircraft[steps.turns])
    alarms = rows.take(np.flatnonzero(rows.alarm >= 0))
    brought = Advance(ended, turned, refusals, doubts, suspect, alarms, late)
    return OpenPieces(opened, waiting, merged.sources, feeds), brought


def _concerned(state: OpenPieces, counting: Ints, gave_way: Rows) -> Ints:
    """The aircraft that are gone through: those with rows to judge, and those with rows that wait and may be given the
    names of others."""
    also = gave_way.aircraft[np.isin(gave_way.aircraft, state.waiting.aircraft)]
    return np.union1d(counting, also) if len(also) else counting


def _counts(verdicts: cleaning.Verdicts, repeated: int) -> dict[str, int]:
    counted = np.bincount(verdicts.code[verdicts.code != cleaning.ACCEPTED], minlength=max(cleaning.REASONS) + 1)
    counted[cleaning.REPEAT] += repeated
    return {reason: int(counted[code]) for code, reason in cleaning.REASONS.items()}


def _doubts(verdicts: cleaning.Verdicts) -> dict[str, int]:
    degraded = verdicts.degraded & (verdicts.code == cleaning.ACCEPTED)
    return {"height": int(np.count_nonzero(verdicts.no_height)), "integrity": int(np.count_nonzero(degraded))}


def _remembered(open_pieces: Pieces, mine: Among) -> cleaning.Remembered:
    """What `cleaning` remembers of each aircraft."""
    return cleaning.Remembered(mine.each(open_pieces.confirmed, 0), mine.each(open_pieces.sound, False))


def _reminded(open_pieces: Pieces, mine: Among, remembered: cleaning.Remembered) -> Pieces:
    """The open pieces with what is to be remembered of their aircraft now: all of its rows may have been refused."""
    confirmed, sound = open_pieces.confirmed.copy(), open_pieces.sound.copy()
    at = mine.at[mine.there]
    confirmed[at], sound[at] = remembered.confirmed[mine.there], remembered.sound[mine.there]
    return replace(open_pieces, confirmed=confirmed, sound=sound)


def _still_waiting(before: Rows, now: Rows) -> Rows:
    if not len(before) or not len(now):
        return compacted(before if len(before) else now)
    waiting = rows_together(before, now)
    return compacted(waiting.take(np.lexsort((waiting.time, waiting.aircraft))))


def _without_heights(rows: Rows, which: Flags) -> Rows:
    if not which.any():
        return rows
    nothing = np.where(which, np.nan, 0.0)
    return replace(rows, altitude=rows.altitude + nothing, vertical_rate=rows.vertical_rate + nothing)


def _numbered(known: tuple[str, ...], batch: Rows) -> tuple[tuple[str, ...], Numbers]:
    """The names of all feeds so far, and the number of each row's feed."""
    words = batch.vocabulary["feed"]
    names = (list(known) + [w for w in dict.fromkeys(words) if w not in known])[:MOST_FEEDS]
    number = {name: i for i, name in enumerate(names)}
    numbers = np.array([*(number.get(w, MOST_FEEDS - 1) for w in words), MOST_FEEDS - 1], dtype=np.int16)
    return tuple(names), numbers.take(batch.feed)


def _bits(feeds: tuple[str, ...], rows: Rows) -> Ints:
    """The bits of each row's feed, if it has one, and of those that gave way to it."""
    number = {name: i for i, name in enumerate(feeds)}
    words = rows.vocabulary["feed"]
    return np.array([*(1 << number.get(w, MOST_FEEDS - 1) for w in words), 0], dtype=np.int64).take(rows.feed) | rows.also


def _better_first(batch: Rows, source: Numbers, rank: Ints) -> tuple[Rows, Numbers, Ints]:
    """The batch with the better row first where several are of one aircraft and time."""
    if (source == source[:1]).all():
        return batch, source, rank
    if not ((batch.aircraft[1:] == batch.aircraft[:-1]) & (batch.time[1:] == batch.time[:-1])).any():
        return batch, source, rank
    order = np.lexsort((rank[source], batch.time, batch.aircraft))
    return batch.take(order), source[order], rank


def _in_time(state: OpenPieces, batch: Rows, spans: Spans, merged: Merged) -> tuple[Flags, Rows, int]:
    """Which rows count and are newer than everything seen of their aircraft; those that would count but are late, and do not
    say again what was known; and how many newer ones only repeat what their source said last."""
    counts = ~(merged.gives_way | merged.repeats)
    last, waiting, end = state.pieces.last, state.waiting, np.flatnonzero(np.roll(changes(state.waiting.aircraft), -1))
    known_places = (
        (spans.among(state.pieces.aircraft), state.pieces.ended, last[:, 1], last[:, 2]),
        (spans.among(waiting.aircraft[end]), waiting.time[end], waiting.latitude[end], waiting.longitude[end]),
    )
    until = np.maximum(*(mine.each(time, -pieces.NEVER) for mine, time, _, _ in known_places))
    if (batch.time[spans.start] > until).all():  # as of whatever comes in order
        return counts, batch.take(slice(0, 0)), int(np.count_nonzero(merged.repeats))
    seen_until = np.repeat(until, spans.count)
    fresh, known = batch.time > seen_until, batch.time == seen_until
    # fix times wander by tenths of a second from poll to poll (`seen_pos` is rounded), so the last fix can come again a little
    # older
    for mine, _, latitude, longitude in known_places:
        known |= (mine.told(latitude, np.nan) == batch.latitude) & (mine.told(longitude, np.nan) == batch.longitude)
    late = counts & ~fresh & (merged.news | ~known)
    return counts & fresh, batch.take(late), int(np.count_nonzero(merged.repeats & fresh))


def _context(open_pieces: Pieces, aircraft: Ints) -> Rows:
    """The last accepted position of each of these aircraft as rows."""
    at, there = find(open_pieces.aircraft, aircraft)
    found = at[there]
    empty = empty_rows()
    last = open_pieces.last[found]
    columns: dict[str, Any] = {name: last[:, i] for i, name in enumerate(pieces.POINT) if name != "time"}
    n = len(last)
    columns |= {name: np.full(n, -1, np.int32) for name in TEXTS}
    return Rows(
        aircraft=open_pieces.aircraft[found],
        time=open_pieces.ended[found],
        received=np.zeros(n, np.int64),
        grade=np.zeros(n, np.int8),
        also=np.zeros(n, np.int64),
        onground=np.where(open_pieces.phase[found] == phases.GROUND, 1, 0).astype(np.int8),
        integrity=np.full(n, UNTOLD, np.int8),
        mlat=np.zeros(n, bool),
        alarm=np.full(n, -1, np.int16),
        **columns,
        vocabulary=empty.vocabulary,
    )


def _merged(context: Rows, waiting: Rows, batch: Rows, counts: Flags) -> tuple[Rows, Flags, Flags]:
    """Context, waiting rows and what counts of the batch in order, and which of them are context and which waited."""
    if not len(context) and not len(waiting):
        rows = batch.take(counts)
        return rows, np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    before, counting = rows_together(context, waiting), np.flatnonzero(counts)
    order = np.lexsort((before.time, before.aircraft)) if len(waiting) else np.arange(len(context))
    at = np.searchsorted(batch.aircraft[counting], before.aircraft[order])  # it is sorted, and newer than what was before
    order = np.insert(counting + len(before), at, order)
    is_context = order < len(context)
    return interleaved(before, batch, order), is_context, (order < len(before)) & ~is_context


# ---------------------------------------------------------------------------------------------------------------- provenance
# A leg names the feeds of the positions that gave way, too: each is noted with the last row that counts and is not after it.


def _named(
    open_pieces: Pieces, rows: Rows, code: cleaning.Codes, is_context: Flags, gave_way: Rows, feeds: tuple[str, ...]
) -> tuple[Pieces, Rows]:
    """The open pieces and the rows with the feeds of those that gave way. What a row had noted that counts no longer goes
    to the one before it; what lies before all rows belongs to the open piece, if it lies within that: earlier ones
    hardly ever miss a feed that the leg does not have."""
    if not len(gave_way) and not rows.also.any():
        return open_pieces, rows
    counts = _count(rows, code)
    handing = ~counts & (rows.also != 0)
    aircraft = np.concatenate([rows.aircraft[handing], gave_way.aircraft])
    time = np.concatenate([rows.time[handing], gave_way.time])
    bits = np.concatenate([rows.also[handing], _bits(feeds, gave_way)])
    to = _last_before(rows, counts, aircraft, time)
    also, there = np.where(counts, rows.also, 0), to >= 0
    np.bitwise_or.at(also, to[there], bits[there])
    on_context = is_context & (also != 0)
    inside = ~there & (_began(open_pieces, aircraft) <= time)
    numbers = np.concatenate([rows.aircraft[on_context], aircraft[inside]])
    named = open_pieces.feeds.copy()
    np.bitwise_or.at(named, np.searchsorted(open_pieces.aircraft, numbers), np.concatenate([also[on_context], bits[inside]]))
    return replace(open_pieces, feeds=named), replace(rows, also=also)


def _began(open_pieces: Pieces, aircraft: Ints) -> Ints:
    """When the open piece of each of these aircraft began; never where there is none."""
    at, there = find(open_pieces.aircraft, aircraft)
    began = np.full(len(aircraft), pieces.NEVER)
    began[there] = open_pieces.started[at[there]]
    return began


def _count(rows: Rows, code: cleaning.Codes) -> Flags:
    """The rows that are accepted or may still be: of a rival that interrupts the track, and not of one beside it."""
    accepted = code == cleaning.ACCEPTED
    next_one = np.minimum.accumulate(np.where(accepted, np.arange(len(rows)), len(rows))[::-1])[::-1]
    goes_on = np.r_[rows.aircraft, -1][next_one] == rows.aircraft
    return np.asarray(accepted | ((code == cleaning.WAITING) & ~goes_on))


def _last_before(rows: Rows, counts: Flags, aircraft: Ints, time: Ints) -> Ints:
    """For each aircraft and time the last of these rows that counts, is of the aircraft, and is not later; -1 where there
    is none."""
    n = len(rows)
    aircraft = np.concatenate([rows.aircraft, aircraft])
    order = np.lexsort((np.concatenate([rows.time, time]), aircraft))  # which leaves rows before others of their time
    counting = np.zeros(len(order), bool)
    counting[:n] = counts
    latest = np.maximum.accumulate(np.where(counting[order], np.arange(len(order)), -1))
    found = np.where(latest >= 0, order[latest], 0)
    mine = (latest >= 0) & (aircraft[found] == aircraft[order])
    last = np.empty(len(order), np.int64)
    last[order] = np.where(mine, found, -1)
    return last[n:]


# ------------------------------------------------------------------------------------------------------------------ pieces


def _steps(
    rows: Rows, pairs: cleaning.Pairs, is_context: Flags, verdicts: cleaning.Verdicts, open_pieces: Pieces, mine: Among
) -> tuple[pieces.Steps, phases.Phases]:
    """What lies between accepted rows. `mine` is where their aircraft stand among those of the open pieces."""
    distance, elapsed, same = pairs.distance, pairs.elapsed, pairs.same
    before = mine.told(open_pieces.phase, phases.UNCLEAR)
    context, known = np.flatnonzero(is_context), mine.at[mine.there]  # those of the aircraft in order
    said = phases.evidence(rows, distance, elapsed, verdicts.no_height, verdicts.degraded)
    said[context] = open_pieces.phase[known]
    phase = phases.carried_on(said, ~same, before)
    turns = ~same | changes(phase) | verdicts.jump | (elapsed > pieces.HOLE_S * SECOND)
    begins = turns | pieces.is_hole(rows.altitude, phase, elapsed)
    first = ~same
    first[1:] |= is_context[:-1]
    metres = distance * METRES_PER_NM
    np.round(metres, out=metres)
    heading = turning.headings(pairs, context, open_pieces.heading[known])
    turned = turning.turns(heading, begins)
    new = ~is_context
    steps = pieces.Steps(metres, elapsed, begins & new, turns & new, first & new, is_context, verdicts.jump, heading, turned)
    return steps, phase


def _continue(old: Pieces, parts: Parts, rows: Rows, cuts: Cuts) -> tuple[Pieces, Pieces]:
    """The new parts after the old open pieces: what is open now, and what ended."""
    if not len(parts):
        return old, pieces.empty_pieces()
    low, high = np.searchsorted(old.aircraft, parts.aircraft[[0, -1]] + np.array([0, 1]))
    if 2 * (high - low) > len(old):
        low, high = 0, len(old)
    between = old.take(slice(low, high))  # where the batch is of few aircraft, all others are left alone
    opened, ended = pieces.followed(between, parts, rows, cuts)
    return pieces.in_a_row([old.take(slice(0, low)), opened, old.take(slice(high, len(old)))]), ended
