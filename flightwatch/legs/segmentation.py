"""Pieces to legs: what belongs to one flight of one aircraft.

In: the pieces of one aircraft in order. Out: drafts, one a leg, with what was seen of its beginning and end. The
state of an aircraft (`Log`) is the drafts that may still change and where it was last seen on the ground. Decisions
on holes come from `gaps`; where a leg came from and went to is worked out in `completion`.

What there are many of is a `Struct`, which is made and changed several times as fast as a frozen dataclass; none can refer to
itself, so the garbage collector need not look.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from functools import partial
from itertools import islice, repeat
from typing import Literal, Protocol

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from flightwatch.aircraft.types import performance
from flightwatch.legs.gaps import Edge, Fix, edge, judge_gap
from flightwatch.legs.phases import GROUND, WALKING_KT
from flightwatch.legs.pieces import HOLE_S, METRES_PER_NM, NEVER, Pieces
from flightwatch.legs.rows import MINUTE, SECOND
from flightwatch.legs.silence import Floats, Seen
from flightwatch.legs.turning import MOST as MOST_TURNS
from flightwatch.legs.turning import STRETCH, notable, worth_keeping
from flightwatch.legs.ways import packed, together
from flightwatch.places import Airports
from flightwatch.places.great_circle import apart_nm
from flightwatch.records import End, Leg, utc

SAME_FIELD_NM = 4.0
"""Two places on the ground closer than this lie on one airport (the largest measure 4 nm across)."""

CONTIGUOUS_S = 300.0
"""Ground and air this close in time were seen one right after the other."""

FASTEST_DESCENT_FT_MIN = 8000.0
"""A row that says `ground` sooner after a height than this allows is noise."""

ORPHAN_ROWS = 4
"""A piece with fewer rows before a break in the track was the wrong place, not the aircraft."""

TAXIING_KT, HOP_NM, HOP_FT = 60.0, 5.0, 500.0
"""Slower, shorter and lower above the field than this was no flight but taxiing with a wrong flag; pressure moves
heights by some 300 ft."""


SAME_COUNTRYSIDE_NM, ABOVE_GROUND_FT = 10.0, 1500.0
"""Airports this near lie about as high as the ground below; pressure moves heights by up to 1,000 ft."""

INITIAL_CLIMB_FT_MIN = 1000.0
"""What transport aircraft do at least after take-off."""


class SeenShare(Protocol):
    """How much of the traffic at some positions was seen in the time before a day, and of how much there is no
    telling."""

    def __call__(self, day: date, latitude: Floats, longitude: Floats, altitude: Floats) -> tuple[Floats, Floats]: ...


class Track(Struct, frozen=True, gc=False):
    """What is kept of the positions of a piece: see `Pieces`."""

    head: tuple[Fix, ...]
    tail: tuple[Fix, ...]
    way: bytes
    turns: bytes


class Piece(Struct, frozen=True, gc=False):
    """One element of `Pieces`, for reading one at a time. Its track is read at once with those of others if it is in the air:
    of what is taken for ground it is hardly ever asked for."""

    aircraft: int
    started: int
    ended: int
    count: int
    metres: int
    longest_gap: int
    highest: float
    lowest: float
    fastest: float
    slowest: float
    still_from: int
    still_until: int
    after_jump: bool
    feeds: int
    callsign: str | None
    registration: str | None
    typecode: str | None
    category: str | None
    first: Fix
    last: Fix
    airborne: Track | None
    pieces: Pieces
    at: int

    @property
    def track(self) -> Track:
        return self.airborne or next(_tracks(self.pieces.take(slice(self.at, self.at + 1))))


AS_THEY_ARE = Piece.__struct_fields__[: Piece.__struct_fields__.index("first")]
"""The fields of a `Piece` that are arrays of `Pieces`."""


def each_piece(pieces: Pieces) -> Iterator[Piece]:
    """The elements of `Pieces`, in order."""
    airborne = pieces.phase != GROUND
    tracks = _tracks(pieces.take(airborne))
    columns = [getattr(pieces, name).tolist() for name in AS_THEY_ARE]
    columns += [_fixes(pieces.head[:, 0]), _fixes(pieces.last), [next(tracks) if up else None for up in airborne.tolist()]]
    yield from map(Piece, *columns, repeat(pieces), range(len(pieces)))


def _tracks(pieces: Pieces) -> Iterator[Track]:
    heads, tails = pieces.head, np.concatenate([pieces.tail, pieces.last[:, None]], axis=1)
    tails[tails[:, -2, 0] == tails[:, -1, 0], -1] = np.nan  # the last position is the first in its minute
    return map(Track, _runs_of_fixes(heads), _runs_of_fixes(tails), packed(pieces.way), _turns(pieces))


def _turns(pieces: Pieces) -> list[bytes]:
    """The stretches of turning that are worth keeping: mostly there are none."""
    stretches = [earlier + last for earlier, last in zip(pieces.turns.tolist(), map(bytes, pieces.stretch), strict=True)]
    whose = np.repeat(np.arange(len(stretches)), [len(of) // STRETCH.itemsize for of in stretches])
    turned = set(whose[notable(np.frombuffer(b"".join(stretches), STRETCH))].tolist())
    return [worth_keeping(of) if i in turned else b"" for i, of in enumerate(stretches)]


def _runs_of_fixes(points: Floats) -> Iterator[tuple[Fix, ...]]:
    """Of points (shape (n, any, 7), columns as `POINT`) those that are used, as fixes."""
    used = ~np.isnan(points[..., 0])
    fixes = iter(_fixes(points[used]))
    return (tuple(islice(fixes, many)) for many in used.sum(axis=1).tolist())


def _fixes(points: Floats) -> list[Fix]:
    """Points (shape (n, 7)) as fixes."""
    return list(map(Fix, points[:, 0].astype(np.int64).tolist(), *points[:, 1:].T.tolist()))


class Ground(Struct, frozen=True, gc=False):
    """A time on the ground at one place: when it was seen there first and last, and standing still."""

    since: int
    until: int
    latitude: float
    longitude: float
    first: Fix
    last: Fix
    still_from: int
    still_until: int
    stopped: bool
    count: int


class Hole(Struct, frozen=True, gc=False):
    """A stretch without positions in a leg, and why it was taken for flying (or landed, at its end)."""

    start: int
    end: int
    landed: float
    reason: str


class Draft(Struct, frozen=True, gc=False):
    """A leg as seen. `takeoff` and `landing` are the times on the ground before and after it, where those were seen.

    `origin` is set once the leg before is settled. `ending`: open (nothing seen since), ground (seen on the ground
    after), gap (seen flying again, after a hole that hides a landing).
    """

    aircraft: int
    first_seen: int
    last_seen: int
    head: tuple[Fix, ...]
    tail: tuple[Fix, ...]
    count: int
    metres: int
    longest_gap: int
    highest: float
    fastest: float
    holes: tuple[Hole, ...]
    takeoff: Ground | None
    landing: Ground | None
    ending: Literal["open", "ground", "gap"]
    began_in_gap: float
    landed_in_gap: float
    feeds: int
    callsign: str | None
    registration: str | None
    typecode: str | None
    category: str | None
    way: bytes = b""
    turns: bytes = b""
    origin: End | None = None

    @property
    def start(self) -> Edge:
        return edge(self.head, at_end=False)

    @property
    def end(self) -> Edge:
        return edge(self.tail, at_end=True)


class Log(Struct, frozen=True, gc=False):
    """One aircraft: its last legs as drafts, the last of them perhaps open, and where it stands if it was last seen
    on the ground.

    `settled` are the legs before the drafts, which nothing but late data can change.
    """

    legs: tuple[Draft, ...] = ()
    ground: Ground | None = None
    settled: tuple[Leg, ...] = ()

    @property
    def flying(self) -> Draft | None:
        return self.legs[-1] if self.legs and self.legs[-1].ending == "open" else None


def absorb(log: Log, piece: Piece, airports: Airports, seen_share: SeenShare) -> Log:
    """The log after one more piece of the same aircraft. `seen_share` tells before which day how much of the traffic was
    seen where."""
    if piece.airborne and not (log.ground is not None and _never_flew(log.ground, piece, airports)):
        return _absorb_air(log, piece, airports, seen_share)
    if not piece.airborne and log.flying is not None and _hangs_in_the_air(piece, airports):
        return _absorb_air(log, piece, airports, seen_share)
    return _absorb_ground(log, piece)


def _hangs_in_the_air(piece: Piece, airports: Airports) -> bool:
    """Whether a piece that was taken for ground because it is slow is well above all land that is known near it."""
    if math.isnan(piece.lowest):
        return False
    last = piece.last
    rows, _ = airports.near(last.latitude, last.longitude, SAME_COUNTRYSIDE_NM)
    return len(rows) > 0 and piece.lowest > float(airports.elevation_ft[rows].max()) + ABOVE_GROUND_FT


def _never_flew(ground: Ground, piece: Piece, airports: Airports) -> bool:
    """Whether a piece that says `air` is taxiing at the field where the aircraft stands: slow, near and low."""
    first = piece.first
    away = apart_nm(ground.latitude, ground.longitude, first.latitude, first.longitude)
    if away > SAME_FIELD_NM or not piece.fastest < TAXIING_KT or piece.metres > HOP_NM * METRES_PER_NM:
        return False
    rows, _ = airports.near(ground.latitude, ground.longitude, SAME_FIELD_NM)
    field_ft = float(airports.elevation_ft[rows[0]]) if len(rows) else piece.lowest
    return not piece.highest > field_ft + HOP_FT


def _absorb_air(log: Log, piece: Piece, airports: Airports, seen_share: SeenShare) -> Log:
    flying = log.flying
    if flying is not None and piece.after_jump and flying.count < ORPHAN_ROWS:
        return _replace_last(log, _begin(piece, flying.takeoff))
    if flying is not None:
        return _after_gap(log, flying, piece, airports, partial(seen_share, utc(flying.first_seen).date()))
    if log.legs and _touched_and_went(log, piece):
        again = replace(log.legs[-1], ending="open", landing=None)
        return replace(log, legs=(*log.legs[:-1], _extend(again, piece, None)), ground=None)
    return _append(log, _begin(piece, log.ground))


def _touched_and_went(log: Log, piece: Piece) -> bool:
    """Whether the wheels touched and the aircraft went on flying without having stopped."""
    ground = log.ground
    landing = log.legs[-1].landing
    if ground is None or landing is None or landing.since != ground.since:
        return False
    return not ground.stopped and _contiguous(ground.until, piece.started)


def _after_gap(log: Log, flying: Draft, piece: Piece, airports: Airports, seen: Seen) -> Log:
    fastest, usual = max_known(flying.fastest, piece.fastest), performance(piece.typecode or flying.typecode).cruise_kt
    judged = judge_gap(_last_edge(flying), edge(piece.track.head, at_end=False), fastest, usual, airports, seen)
    hole = Hole(flying.last_seen, piece.started, judged.landed, judged.reason)
    if judged.landed < 0.5:
        return _replace_last(log, _extend(flying, piece, hole))
    closed = replace(flying, ending="gap", landed_in_gap=judged.landed)
    return _append(_replace_last(log, closed), replace(_begin(piece, None), began_in_gap=judged.landed))


def _last_edge(flying: Draft) -> Edge:
    """How the track ends; of an aircraft that has just taken off and was seen once since, it is known that it was
    going up."""
    end = flying.end
    if math.isnan(end.climb_ft_min) and flying.takeoff is not None and _contiguous(flying.takeoff.until, flying.last_seen):
        return replace(end, climb_ft_min=INITIAL_CLIMB_FT_MIN)
    return end


def _absorb_ground(log: Log, piece: Piece) -> Log:
    ground = _ground(piece)
    flying = log.flying
    if flying is not None:
        if _impossibly_down(flying.tail[-1], ground):
            return log
        return replace(_replace_last(log, replace(flying, ending="ground", landing=ground)), ground=ground)
    if log.ground is not None and _same_field(log.ground, ground):
        merged = _stayed(log.ground, ground)
        landing = log.legs[-1].landing if log.legs else None
        if landing is not None and landing.since == log.ground.since:
            return replace(_replace_last(log, replace(log.legs[-1], landing=merged)), ground=merged)
        return replace(log, ground=merged)
    if log.ground is not None:
        return replace(_append(log, _dark_leg(piece, log.ground, ground)), ground=ground)
    return replace(log, ground=ground)


def _impossibly_down(last: Fix, ground: Ground) -> bool:
    """Whether the aircraft was too high too shortly before; an airport may lie up to 10,000 ft high, and then so does
    the height."""
    height = last.altitude - 10_000
    return (ground.since - last.time) * FASTEST_DESCENT_FT_MIN < height * MINUTE


def _ground(piece: Piece) -> Ground:
    first, last = piece.first, piece.last
    slow = piece.slowest < WALKING_KT if not math.isnan(piece.slowest) else piece.ended - piece.started >= MINUTE
    slow = slow and piece.count > 1  # one bad row is no stop
    return Ground(
        piece.started,
        piece.ended,
        last.latitude,
        last.longitude,
        first,
        last,
        piece.still_from,
        piece.still_until,
        slow,
        piece.count,
    )


def _stayed(a: Ground, b: Ground) -> Ground:
    """One time on the ground out of two at the same field. A silence between them is standing."""
    silent = b.since - a.until > CONTIGUOUS_S * SECOND
    return replace(
        b,
        since=a.since,
        first=a.first,
        still_from=min(a.still_from, b.still_from, a.until if silent else NEVER),
        still_until=max(a.still_until, b.still_until, b.since if silent else -NEVER),
        stopped=a.stopped or b.stopped or silent,
        count=a.count + b.count,
    )


def _same_field(a: Ground, b: Ground) -> bool:
    return apart_nm(a.latitude, a.longitude, b.latitude, b.longitude) <= SAME_FIELD_NM


def _contiguous(ended: int, started: int) -> bool:
    return started - ended <= CONTIGUOUS_S * SECOND


def _begin(piece: Piece, takeoff: Ground | None) -> Draft:
    track = piece.track
    return Draft(
        aircraft=piece.aircraft,
        first_seen=piece.started,
        last_seen=piece.ended,
        head=track.head,
        tail=track.tail,
        count=piece.count,
        metres=piece.metres,
        longest_gap=piece.longest_gap,
        highest=piece.highest,
        fastest=piece.fastest,
        holes=(),
        takeoff=takeoff,
        landing=None,
        ending="open",
        began_in_gap=0.0,
        landed_in_gap=0.0,
        feeds=piece.feeds,
        callsign=piece.callsign,
        registration=piece.registration,
        typecode=piece.typecode,
        category=piece.category,
        way=track.way,
        turns=track.turns,
    )


def _extend(draft: Draft, piece: Piece, hole: Hole | None) -> Draft:
    """The leg goes on with a piece, after a hole that was judged or none."""
    between = apart_nm(draft.tail[-1].latitude, draft.tail[-1].longitude, piece.first.latitude, piece.first.longitude)
    track = piece.track
    told = hole is not None and hole.end - hole.start >= HOLE_S * SECOND
    return replace(
        draft,
        last_seen=piece.ended,
        tail=(*draft.tail, *track.tail)[-7:],
        head=(*draft.head, *track.head)[:6],
        count=draft.count + piece.count,
        metres=draft.metres + piece.metres + round(between * METRES_PER_NM),
        longest_gap=max(draft.longest_gap, piece.longest_gap, piece.started - draft.last_seen),
        highest=max_known(draft.highest, piece.highest),
        fastest=max_known(draft.fastest, piece.fastest),
        holes=(*draft.holes, hole) if told and hole else draft.holes,
        feeds=draft.feeds | piece.feeds,
        callsign=piece.callsign or draft.callsign,
        registration=piece.registration or draft.registration,
        typecode=piece.typecode or draft.typecode,
        category=piece.category or draft.category,
        way=together(draft.way, track.way, piece.ended),
        turns=(draft.turns + track.turns)[: MOST_TURNS * STRETCH.itemsize],
    )


def _dark_leg(piece: Piece, left: Ground, arrived: Ground) -> Draft:
    """A flight of which nothing was seen but that the aircraft stands elsewhere now."""
    hole = Hole(left.until, arrived.since, 0.0, "seen on the ground at both ends and never between")
    dark = replace(
        _begin(piece, left),
        head=(left.last,),
        tail=(left.last,),
        count=0,
        metres=0,
        fastest=math.nan,
        highest=math.nan,
        way=b"",
        turns=b"",
    )
    return replace(
        dark,
        first_seen=left.until,
        last_seen=arrived.since,
        metres=round(apart_nm(left.latitude, left.longitude, arrived.latitude, arrived.longitude) * METRES_PER_NM),
        longest_gap=arrived.since - left.until,
        holes=(hole,),
        landing=arrived,
        ending="ground",
    )


def _replace_last(log: Log, draft: Draft) -> Log:
    return replace(log, legs=(*log.legs[:-1], draft), ground=None)


def _append(log: Log, draft: Draft) -> Log:
    return replace(log, legs=(*log.legs, draft), ground=None)


def max_known(a: float, b: float) -> float:
    """The larger of two numbers, of which either may be NaN."""
    return b if math.isnan(a) else a if math.isnan(b) else max(a, b)
