"""Positions to legs: one flight stays one flight.

In: batches of positions, any amount at a time, and the model they are judged with. Out: `Leg` records. `LegState` is
all that lasts from batch to batch; it can be saved and restored between any two of them (`to_bytes`, `from_bytes`),
and how the positions were cut into batches changes nothing. On a crash nothing is lost but the state, which the
stored positions make again.

    rows          positions as sorted arrays
    merging       several sources of one aircraft: the better one counts
    cleaning      a verdict on every position: impossible ones refused
    suspicion     what was refused and may be of interest, as events
    squawks       codes of emergencies and those that are asked for, as events
    phases        on the ground or in the air
    pieces        stretches of track without a hole
    ways          the track of a leg, thinned
    turning       how much it turned, and where
    tracking      batches of rows to pieces
    silence       where others are seen, what it tells that this one was not
    gaps          a hole: flying on, or a landing in between
    segmentation  pieces to drafts of legs
    ends          where it came from and went to, ranked
    completion    drafts to legs
    manoeuvres    what legs did besides going from one place to another, as events
    journeys      legs to stays, journeys and visits
    meetings      watched aircraft that meet, as events
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import structs

from flightwatch.errors import Damaged
from flightwatch.legs import merging as _merging
from flightwatch.legs import pieces as _pieces
from flightwatch.legs import squawks, suspicion, turning, ways
from flightwatch.legs.cleaning import ACCEPTED, Remembered, judge, pair_distances
from flightwatch.legs.completion import LOST_AFTER, Model, Names, complete, settle
from flightwatch.legs.manoeuvres import CIRCLED_DEG, CRUISE_FT
from flightwatch.legs.merging import Sources
from flightwatch.legs.pieces import Pieces
from flightwatch.legs.rows import ARRAYS, LONG_AGO, Floats, Ints, Rows, aircraft_text, rows_from_table
from flightwatch.legs.rows import concatenate as rows_together
from flightwatch.legs.segmentation import Log, absorb, each_piece
from flightwatch.legs.tracking import Advance, OpenPieces
from flightwatch.legs.tracking import advance as _track
from flightwatch.legs.turning import MILLI, STRETCH, STRETCH_S, notable
from flightwatch.places import Airports
from flightwatch.places.great_circle import EARTH_RADIUS_NM, unit_vectors
from flightwatch.records import CODE, Event, Leg, micros, utc

__all__ = [
    "LEAST_SENT",
    "LOST_AFTER",
    "LegState",
    "Model",
    "Outcome",
    "Says",
    "Tracked",
    "absent",
    "advance",
    "aircraft_of",
    "began_again",
    "believed",
    "codes_sent",
    "current",
    "draw_up",
    "emptied",
    "from_bytes",
    "going_round",
    "idle_since",
    "joined",
    "lost_at_cruise",
    "nearer_than",
    "part_of",
    "polled",
    "rename",
    "renamed",
    "replaced",
    "says",
    "seen_last",
    "seen_since",
    "to_bytes",
    "track",
    "unsettled",
    "without",
]

STATE_VERSION = 6

LEAST_SENT = squawks.LEAST
"""Positions with a code that make an event."""

SILENT_FOR_GOOD = timedelta(hours=36)
"""A feed that is out for longer than any aircraft stays up holds nothing back any more."""

FEW_LOGS = 1_000
"""Logs that changed lately are kept apart from all others until they are so many: a poll changes some dozens of them, and to
copy those of all aircraft takes milliseconds."""

STRUCTURED = {"way": ways.RAW, "stretch": turning.RAW}
"""How the saved form names arrays of records."""


@dataclass(frozen=True)
class LegState:
    """Where every aircraft stands: its open piece, and its log of legs, by the number of its address. `aliases`: see
    `Names`; `events` are those that may still grow (see `suspicion` and `squawks`); `clocks` has the time up to which
    each polled feed told anything (see `_in_sight_until`), in microseconds."""

    open: OpenPieces = field(default_factory=OpenPieces.none)
    logs: Mapping[int, Log] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    events: suspicion.Open = field(default_factory=dict)
    clocks: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> Names:
        return Names(self.open.feeds, self.aliases)


@dataclass(frozen=True)
class Outcome:
    """What a batch brought.

    `turned` are the aircraft that took off, landed, came back or were lost from one piece to the next; `settled` legs
    that only late data can change; `refused` counts positions by reason, `doubted` those taken without something that
    they say; `events` are those that began or grew; `late` are aircraft with the earliest of their positions that came
    too late to be taken in order.
    """

    turned: tuple[int, ...]
    settled: tuple[Leg, ...]
    refused: Mapping[str, int]
    doubted: Mapping[str, int]
    events: tuple[Event, ...]
    late: Mapping[str, datetime]


@dataclass(frozen=True)
class Tracked:
    """Positions as pieces of tracks: `step` is what they brought, `opened` are the open pieces after them. They are many, so
    where another process tracks (`ahead`) they are only told when somebody asks, and are None till then; `feeds` are theirs."""

    feeds: tuple[str, ...]
    step: Advance
    opened: OpenPieces | None


def advance(state: LegState, positions: pa.Table, model: Model, codes: Collection[str] = ()) -> tuple[LegState, Outcome]:
    """Takes positions (columns of `POSITIONS`, any order) into the state; `codes` are those of transponders that make events."""
    return draw_up(state, track(state.open, rows_from_table(positions, codes), model.preferred), model)


def track(opened: OpenPieces, rows: Rows, preferred: Sequence[str]) -> Tracked:
    """The part of `advance` that goes through positions. It knows neither history nor names, so it can run ahead."""
    opened, step = _track(opened, rows, preferred)
    return Tracked(opened.feeds, step, opened)


def draw_up(state: LegState, tracked: Tracked, model: Model) -> tuple[LegState, Outcome]:
    """The part of `advance` that makes legs: the state with the positions that were tracked from its open pieces on."""
    step = tracked.step
    names = Names(tracked.feeds, state.aliases)
    changed: dict[int, Log] = {}
    for piece in each_piece(step.ended):
        log = changed.get(piece.aircraft) or state.logs.get(piece.aircraft, Log())
        changed[piece.aircraft] = absorb(log, piece, model.airports, model.prior.seen_share)
    changed, settled = settle(changed, model, names)
    turned = tuple(step.turned.tolist())
    late = {aircraft_text(int(n)): utc(int(t)) for n, t in zip(*_earliest(step.late), strict=True)}
    logs = _with_logs(state.logs, changed) if changed else state.logs
    open_events, suspect = suspicion.noted(step.suspects, state.events)
    open_events, sent = squawks.noted(step.alarms, open_events)
    opened = state.open if tracked.opened is None else tracked.opened
    state = replace(state, open=opened, logs=logs, events=open_events)
    return state, Outcome(turned, settled, step.refused, step.doubted, (*suspect, *sent), late)


def _with_logs(logs: Mapping[int, Log], changed: Mapping[int, Log]) -> Mapping[int, Log]:
    """The logs with those that changed, in the order in which one dictionary would have them."""
    lately, others = logs.maps if isinstance(logs, ChainMap) else ({}, logs)
    lately = {**lately, **changed}
    if len(lately) > FEW_LOGS:
        return {**others, **lately}
    return ChainMap(lately, others)  # type: ignore[arg-type]  # which nobody changes


def codes_sent(positions: pa.Table, codes: Collection[str], preferred: Sequence[str]) -> list[Event]:
    """The events of some codes that all positions of some aircraft make."""
    step = track(OpenPieces.none(), rows_from_table(positions, codes), preferred).step
    return [event for event in squawks.noted(step.alarms, {})[1] if event.kind == CODE]


def believed(positions: pa.Table) -> pa.Table:
    """Those positions of one aircraft that make legs, in order of time; what stands before and after them is not asked."""
    rows = rows_from_table(positions)
    nothing = np.zeros(len(rows), bool)
    spans = rows.spans()
    pairs, before = pair_distances(rows, spans), Remembered.nothing(len(spans.start))
    verdicts, _, _ = judge(rows, spans, pairs, nothing, nothing, before)
    accepted = pa.array(rows.time[verdicts.code == ACCEPTED])
    times = positions["timestamp"].cast(pa.int64())
    return positions.filter(pc.is_in(times, accepted)).sort_by("timestamp")


def _earliest(rows: Rows) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    first = np.flatnonzero(np.r_[np.ones(min(len(rows), 1), bool), rows.aircraft[1:] != rows.aircraft[:-1]])
    return rows.aircraft[first], rows.time[first]


def polled(state: LegState, feed: str, time: datetime) -> LegState:
    """The state after a feed told how the sky was at a time, whether or not there was anything in it."""
    clock = max(micros(time), state.clocks.get(feed, LONG_AGO))
    return replace(state, clocks={**state.clocks, feed: clock})


def _in_sight_until(state: LegState, numbers: Iterable[int], now: datetime) -> dict[int, int]:
    """Of these aircraft, those that only feeds heard lately which are behind `now`, with the time (µs) up to which they
    would have been seen: an outage of ours says nothing of the aircraft.

    Lately is within `LOST_AFTER` of its last position. A feed that was never polled (an import) is not waited for.
    """
    clocks = np.array([state.clocks.get(name, micros(now)) for name in state.open.feeds], dtype=np.int64)
    clocks[clocks < micros(now - SILENT_FOR_GOOD)] = micros(now)
    if not (clocks < micros(now)).any():
        return {}
    found = state.open.sources.take(np.isin(state.open.sources.aircraft, np.array(list(numbers), dtype=np.int64)))
    if not len(found):
        return {}
    first = np.flatnonzero(np.r_[True, found.aircraft[1:] != found.aircraft[:-1]])
    newest = np.maximum.reduceat(found.heard, first)
    lately = found.heard >= np.repeat(newest, np.diff(np.r_[first, len(found)])) - LOST_AFTER
    until = np.maximum(np.maximum.reduceat(np.where(lately, clocks[found.feed], LONG_AGO), first), newest)
    aircraft = found.aircraft[first]
    behind = until < micros(now)
    return dict(zip(aircraft[behind].tolist(), until[behind].tolist(), strict=True))


def current(state: LegState, numbers: Iterable[int], model: Model, now: datetime) -> dict[int, tuple[Leg, ...]]:
    """The legs of these aircraft as they stand at `now`: those settled and in memory, then those that may still
    change."""
    drawn_up = unsettled(state, numbers, model, now)
    return {n: state.logs.get(n, Log()).settled + legs for n, legs in drawn_up.items()}


def unsettled(state: LegState, numbers: Iterable[int], model: Model, now: datetime) -> dict[int, tuple[Leg, ...]]:
    """The legs of these aircraft that may still change, as they stand at `now`; of those that only feeds hear which
    have been out since, as they stood then."""
    wanted = np.array(sorted(numbers), dtype=np.int64)
    mine = state.open.pieces.take(np.isin(state.open.pieces.aircraft, wanted))
    logs = {int(n): state.logs.get(int(n), Log()) for n in wanted}
    for piece in each_piece(mine):
        logs[piece.aircraft] = absorb(logs[piece.aircraft], piece, model.airports, model.prior.seen_share)
    until = dict.fromkeys(logs, micros(now)) | _in_sight_until(state, logs, now)
    return complete(logs, model, until, state.names)


def seen_since(state: LegState, time: datetime) -> set[int]:
    """The aircraft with a position at or after a time."""
    return set(state.open.pieces.aircraft[state.open.pieces.ended >= micros(time)].tolist())


def lost_at_cruise(state: LegState, since: datetime, until: datetime) -> set[int]:
    """The aircraft that were seen last between two times, high up."""
    pieces = state.open.pieces
    lost = (pieces.ended >= micros(since)) & (pieces.ended < micros(until)) & (pieces.last[:, 3] >= CRUISE_FT)
    return set(pieces.aircraft[lost].tolist())


def aircraft_of(state: LegState) -> set[int]:
    """The numbers of all aircraft in the state."""
    found = set(state.open.pieces.aircraft.tolist())
    found.update(*(state.logs.maps if isinstance(state.logs, ChainMap) else [state.logs]))  # dictionaries are taken fast
    return found


def absent(state: LegState, numbers: Iterable[int]) -> list[int]:
    """Those of some aircraft that are not in the state."""
    missing: list[int] = np.setdiff1d(np.array(list(numbers), dtype=np.int64), state.open.pieces.aircraft).tolist()
    return missing


def nearer_than(state: LegState, numbers: set[int], airports: Airports, rows: Sequence[int], radius_nm: float) -> set[int]:
    """Of these aircraft, those seen last, or at the end of the leg before, within a radius of one of these
    airports."""
    mine, last = seen_last(state, numbers)
    ends = [(n, log.legs[-1].tail[-1]) for n in numbers if (log := state.logs.get(n)) is not None and log.legs]
    found = np.concatenate([mine, np.array([n for n, _ in ends], dtype=np.int64)])
    latitude = np.concatenate([last[:, 1], [f.latitude for _, f in ends]])
    longitude = np.concatenate([last[:, 2], [f.longitude for _, f in ends]])
    cosine = (unit_vectors(latitude, longitude) @ airports.vectors[list(rows)].T).max(axis=1, initial=-1.0)
    return set(found[cosine >= np.cos(radius_nm / EARTH_RADIUS_NM)].tolist())


def seen_last(state: LegState, numbers: set[int]) -> tuple[Ints, Floats]:
    """Of these aircraft those with a position, and the last one of each (columns as `pieces.POINT`)."""
    mine = np.isin(state.open.pieces.aircraft, np.array(sorted(numbers), dtype=np.int64))
    return state.open.pieces.aircraft[mine], state.open.pieces.last[mine]


@dataclass(frozen=True, slots=True)
class Says:
    """What an aircraft, or its feed, says of itself."""

    registration: str | None = None
    typecode: str | None = None
    callsign: str | None = None


def says(state: LegState, number: int) -> Says:
    """What an aircraft said last; nothing where it is not in the state."""
    pieces = state.open.pieces
    at = int(np.searchsorted(pieces.aircraft, number))
    if at == len(pieces) or pieces.aircraft[at] != number:
        return Says()
    return Says(pieces.registration[at], pieces.typecode[at], pieces.callsign[at])


def began_again(state: LegState, numbers: Iterable[int]) -> set[int]:
    """Of these aircraft, those of which more is known than what they are in the middle of."""
    return {n for n in numbers if n in state.logs}


def going_round(state: LegState, since: datetime) -> set[int]:
    """The aircraft seen since a time that have turned three times round or more one way, and were turning not long before."""
    pieces = state.open.pieces
    found = []
    for i in np.flatnonzero((pieces.ended >= micros(since)) & (pieces.turns != b"")).tolist():
        stretches = np.r_[np.frombuffer(pieces.turns[i], STRETCH), pieces.stretch[i : i + 1].view(STRETCH)]
        turned = stretches["turned"].astype(np.int64)
        lately = stretches["time"][notable(stretches)][-1:] >= since.timestamp() - 2 * STRETCH_S
        if lately.any() and max(turned[turned > 0].sum(), -turned[turned < 0].sum()) >= CIRCLED_DEG * MILLI:
            found.append(int(pieces.aircraft[i]))
    return set(found)


def emptied(state: LegState) -> LegState:
    """A state without any aircraft that numbers the feeds as this one does."""
    return LegState(replace(OpenPieces.none(), feeds=state.open.feeds), clocks=state.clocks)


def replaced(state: LegState, number: int, alone: LegState) -> LegState:
    """The state with one aircraft's part taken from another state, in which it is alone and which began as
    `emptied`."""
    return joined(without(state, [number]), alone, [number])


def idle_since(state: LegState, time: datetime) -> list[int]:
    """The aircraft of which there was no position since a time."""
    return sorted(aircraft_of(state) - seen_since(state, time))


def without(state: LegState, numbers: Iterable[int]) -> LegState:
    """The state without some aircraft."""
    gone = set(numbers)
    others = np.isin(state.open.pieces.aircraft, list(gone), invert=True)
    waiting = np.isin(state.open.waiting.aircraft, list(gone), invert=True)
    sources = np.isin(state.open.sources.aircraft, list(gone), invert=True)
    opened = replace(
        state.open,
        pieces=state.open.pieces.take(others),
        waiting=state.open.waiting.take(waiting),
        sources=state.open.sources.take(sources),
    )
    names = {aircraft_text(n) for n in gone}
    events = {name: events for name, events in state.events.items() if name not in names}
    return replace(state, open=opened, logs={n: log for n, log in state.logs.items() if n not in gone}, events=events)


def part_of(state: LegState, number: int) -> LegState:
    """The state of one aircraft alone."""
    pieces, waiting, sources = state.open.pieces, state.open.waiting, state.open.sources
    ours, held, heard = (slice(*np.searchsorted(a.aircraft, [number, number + 1])) for a in (pieces, waiting, sources))
    opened = replace(state.open, pieces=pieces.take(ours), waiting=waiting.take(held), sources=sources.take(heard))
    name = aircraft_text(number)
    events = {name: state.events[name]} if name in state.events else {}
    return LegState(opened, {number: state.logs[number]} if number in state.logs else {}, events=events)


def joined(state: LegState, other: LegState, numbers: Iterable[int]) -> LegState:
    """The state with the aircraft of another one, which it lacks and whose feeds it numbers alike."""
    if (
        other.open.feeds != state.open.feeds[: len(other.open.feeds)]
        and state.open.feeds != other.open.feeds[: len(state.open.feeds)]
    ):
        raise Damaged("a part of the saved state of the legs numbers the feeds differently: run `flightwatch rebuild`")
    feeds = max(state.open.feeds, other.open.feeds, key=len)
    waiting = rows_together(state.open.waiting, other.open.waiting)
    waiting = waiting.take(np.lexsort((waiting.time, waiting.aircraft)))
    pieces = _pieces.concatenate([state.open.pieces, other.open.pieces])
    opened = OpenPieces(pieces, waiting, _merging.together([state.open.sources, other.open.sources]), feeds)
    numbers = list(numbers)
    logs = {**state.logs, **{n: other.logs.get(n, Log()) for n in numbers}}
    names = [name for n in numbers if (name := aircraft_text(n)) in other.events]
    return replace(state, open=opened, logs=logs, events={**state.events, **{name: other.events[name] for name in names}})


def renamed(state: LegState, aliases: Mapping[str, str]) -> LegState:
    """The state with legs under the ids that they are known by: those settled get theirs at once, the others when
    they are drawn up."""
    if not aliases:
        return state
    logs = {
        n: structs.replace(log, settled=tuple(rename(leg, aliases) for leg in log.settled)) if log.settled else log
        for n, log in state.logs.items()
    }
    return replace(state, logs=logs, aliases={**state.aliases, **aliases})


def rename(leg: Leg, aliases: Mapping[str, str]) -> Leg:
    """A leg under the id that it is known by."""
    name = aliases.get(leg.leg_id, leg.leg_id)
    events = tuple(replace(e, event_id=name + e.event_id.removeprefix(leg.leg_id), legs=(name,)) for e in leg.events)
    return replace(leg, leg_id=name, journey_id=aliases.get(leg.journey_id, leg.journey_id), events=events)


# ------------------------------------------------------------------------------------------------------------------- saving


class _Saved(msgspec.Struct):
    """The saved form, MessagePack: arrays as (dtype, shape, little-endian bytes), texts as lists, logs as maps by
    field name."""

    version: int
    feeds: tuple[str, ...]
    pieces: dict[str, tuple[str, tuple[int, ...], bytes]]
    words: dict[str, list[str | None]]
    turns: list[bytes]
    waiting: dict[str, tuple[str, tuple[int, ...], bytes]]
    vocabulary: dict[str, list[str]]
    sources: dict[str, tuple[str, tuple[int, ...], bytes]]
    logs: dict[int, Log]
    aliases: dict[str, str]
    events: dict[str, tuple[Event, ...]]
    clocks: dict[str, int]


def to_bytes(state: LegState) -> bytes:
    """The whole state, to be restored with `from_bytes`."""
    arrays = {n: _packed(getattr(state.open.pieces, n)) for n in _pieces.NAMES if n not in (*_pieces.WORDS, "turns")}
    words = {n: getattr(state.open.pieces, n).tolist() for n in _pieces.WORDS}
    waiting = {n: _packed(getattr(state.open.waiting, n)) for n in ARRAYS}
    saved = _Saved(
        STATE_VERSION,
        state.open.feeds,
        arrays,
        words,
        state.open.pieces.turns.tolist(),
        waiting,
        state.open.waiting.vocabulary,
        {n: _packed(getattr(state.open.sources, n)) for n in _merging.NAMES},
        dict(state.logs),
        dict(state.aliases),
        dict(state.events),
        dict(state.clocks),
    )
    return msgspec.msgpack.encode(saved)


def from_bytes(data: bytes) -> LegState:
    """The inverse of `to_bytes`. Raises Damaged where it is not one."""
    try:
        saved = msgspec.msgpack.decode(data, type=_Saved)
    except msgspec.DecodeError as error:
        raise Damaged(f"the saved state of the legs cannot be read ({error}): run `flightwatch rebuild`") from None
    if saved.version != STATE_VERSION:
        raise Damaged(f"the saved state of the legs has version {saved.version}, not {STATE_VERSION}: run `flightwatch rebuild`")
    arrays: dict[str, Any] = {n: _unpacked(packed) for n, packed in saved.pieces.items()}
    arrays |= {n: _objects(texts) for n, texts in saved.words.items()} | {"turns": _objects(saved.turns)}
    rows: dict[str, Any] = {n: _unpacked(packed) for n, packed in saved.waiting.items()}
    waiting = Rows(**rows, vocabulary=saved.vocabulary)
    told: dict[str, Any] = {n: _unpacked(packed) for n, packed in saved.sources.items()}
    opened = OpenPieces(Pieces(**arrays), waiting, Sources(**told), tuple(saved.feeds))
    return LegState(opened, saved.logs, saved.aliases, saved.events, saved.clocks)


def _packed(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> tuple[str, tuple[int, ...], bytes]:
    for name, kind in STRUCTURED.items():
        if array.dtype == kind:
            return name, array.shape, array.tobytes()
    return array.dtype.newbyteorder("<").str, array.shape, array.astype(array.dtype.newbyteorder("<")).tobytes()


def _unpacked(packed: tuple[str, tuple[int, ...], bytes]) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    kind, shape, data = packed
    return np.frombuffer(data, dtype=STRUCTURED.get(kind, kind)).reshape(shape).copy()


def _objects(texts: Sequence[str | bytes | None]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
