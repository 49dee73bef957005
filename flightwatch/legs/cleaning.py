"""Every position gets a verdict: accepted as it is, accepted without what cannot be true of it, or refused with a reason.

In: rows sorted by aircraft and time, with those that still waited for a verdict, each aircraft led by its last accepted
row where there is one (the context). Out: a verdict on each. Clean rows pass unchanged, and so do nearly all aircraft, by
a few passes over whole arrays; only from a row that does not follow from the one before is its aircraft gone through row by
row, until nothing is in doubt any more (`_Watch`).

A row that cannot be where it says belongs to a *rival* of the known track, or is alone. The rival's rows wait, four at the
most; its later ones are judged at once:

    ghost         fewer than four rows agree on the other place, or it comes from a multilateration
    elsewhere     four do while the known track is interrupted
    spoofed       they stay there, standing or circling, or the known track goes on as if nothing had been: the receiver on
                  board was told a wrong place; or one says that an aircraft in flight stands, or is slower than it can be
    two_emitters  four do while the known track goes on: two aircraft send one address
    repeat        a moving aircraft is where it was: a server goes on serving its last fix

A track that was itself seen less than four times gives way to its rival, with a break in the track; if both go on, nobody
knows which is the aircraft, and neither is believed until one has been alone for ten minutes. Multilaterations within ten
miles of the track are the aircraft, astray, and contest nothing. A rival of a longer track becomes it only after ten minutes
without the known one, if the aircraft can have got there by then and it does not stay where it began.

Which verdict is reached is decided by the sequence of rows alone, so it does not matter how that was cut into batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flightwatch.legs.phases import may_hover
from flightwatch.legs.rows import MINUTE, POOR, SECOND, SOUND, Flags, Floats, Ints, Rows, Spans, since_before
from flightwatch.places.great_circle import apart_nm, levels, steps_nm

Codes = NDArray[np.int8]

MAX_SPEED_KT = 1200.0
"""Faster than any aircraft that sends positions, with the jet stream behind it."""

SPEED_SLACK_NM = 1.5
"""Receivers' clocks and roundings: 1 s at 900 kt is 0.25 nm; MLAT positions stray by a mile."""

CONFIRMATIONS = 4
"""Rows that must agree on a new place before the old one is given up: the default of readsb's
`position-persistence`."""

GAINED_KT_S, MLAT_FACTOR, MLAT_KT = 3.0, 1.4, 50.0
"""What readsb allows a multilateration beyond the speed that it says: so much a second since the last position, times the
factor, and so much more."""

NORMAL_KT = 600.0
"""What jets fly over the ground at the most, but for a strong jet stream."""

FITTING_KT, FITTING = 50.0, 0.5
"""A row whose speed is within this, and this share, of what it takes to come from the known track may well do so."""

STANDING_KT = 50.0
"""Below this an aircraft may really be where it was: parked, or hovering."""

MOST_CLIMB_FT_MIN, HEIGHT_SLACK_FT = 12_500.0, 300.0
"""Heights that differ by more than this rate allows do not follow from each other, smaller steps always do: readsb's
window."""

HEIGHT_CONFIRMATIONS = 3
"""Rows that must agree on a new height: as adsbtrack asks of a peak."""

FAST_KT, SLOW_KT, SLOW_ABOVE_FT = 250.0, 100.0, 20_000.0
"""An aircraft that was faster than the first does not fly slower than the second this high: wings that need the one
stall long before the other, and no wind makes up for it (stall 150 kt indicated is over 200 kt true there; winds of 100 kt
and more blow higher, where the stall is faster)."""

RIVAL_SILENCE = 10 * MINUTE
"""A rival that was not seen for so long is over."""

SAME_PLACE_SILENCE = 60 * MINUTE
"""A spoofed place is expected again for as long as this: so long readsb checks speeds against the last reliable
position."""

ONE_PLACE_NM = 10.0
"""A rival that stays within this of where it began stands or circles: so do the places that spoofers send."""

LONG_ENOUGH = 4 * MINUTE
"""By then whatever flies has left the place: ten miles at 150 kt."""

ACCEPTED, REPEAT, WAITING, GHOST, ELSEWHERE, SPOOFED, TWO_EMITTERS = 0, 1, 2, 3, 4, 5, 6
REASONS = {
    REPEAT: "repeat",
    GHOST: "ghost",
    ELSEWHERE: "elsewhere",
    SPOOFED: "spoofed",
    TWO_EMITTERS: "two_emitters",
}
"""Refusals. A repeat is nothing but late; somebody may want to look at the others. Of two reasons for rows of one rival the
greater was found later and says more."""

CONTESTED = -1
"""Instead of the number of confirmations: two tracks, and nobody knows which is the aircraft."""

FOLLOWS, TOO_FAR, TOO_SLOW, TOO_HIGH = 0, 1, 2, 3
"""What speaks against a row coming after another one."""


@dataclass(frozen=True)
class Verdicts:
    """One element a row.

    `jump` marks rows before which the track breaks because the aircraft turned out to be elsewhere; `no_height` those
    accepted whose height is not believed; `degraded` those sent by equipment that has known its place better.
    """

    code: Codes
    jump: Flags
    no_height: Flags
    degraded: Flags

    def take(self, which: Flags | slice) -> Verdicts:
        return Verdicts(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True)
class Remembered:
    """One element an aircraft: how many rows have confirmed its known track (no more than are asked for), and whether its
    integrity was ever sound."""

    confirmed: Ints
    sound: Flags

    def take(self, which: Flags) -> Remembered:
        return Remembered(self.confirmed[which], self.sound[which])

    @staticmethod
    def nothing(aircraft: int) -> Remembered:
        return Remembered(np.zeros(aircraft, np.int64), np.zeros(aircraft, bool))


@dataclass(frozen=True)
class Refused:
    """The rows that were refused and are no mere repeats, by aircraft and in the order of the refusals: their places among all
    rows, the time of the first of their kind, and how far and how long (microseconds) they were from the known track."""

    at: Ints
    began: Ints
    away_nm: Floats
    unseen: Ints


@dataclass(frozen=True)
class Pairs:
    """What lies between each row and the one before: nm, whole microseconds, nothing where that is of another aircraft, and
    whether it is of the same one. `north` and `east` are degrees of latitude and longitude, whoever that is of; `level` is
    the cosine of the row's own latitude."""

    distance: Floats
    elapsed: Floats
    same: Flags
    north: Floats
    east: Floats
    level: Floats


def pair_distances(rows: Rows, spans: Spans) -> Pairs:
    north, east, level = since_before(rows.latitude), since_before(rows.longitude), levels(rows.latitude)
    distance = steps_nm(rows.latitude, rows.longitude, north, east, level)
    elapsed, same = since_before(rows.time).astype(np.float64), np.ones(len(rows), bool)
    distance[spans.start] = elapsed[spans.start] = 0.0
    same[spans.start] = False
    return Pairs(distance, elapsed, same, north, east, level)


def reachable(distance: Floats | float, elapsed: Floats | float, limit_kt: Floats | float = MAX_SPEED_KT) -> Flags:
    """Whether an aircraft can have flown this far in this time (microseconds)."""
    return np.asarray(distance <= SPEED_SLACK_NM + limit_kt * (np.asarray(elapsed) / (60 * MINUTE)))


def _limit_kt(speed: Floats | float, elapsed: Floats | float) -> Floats:
    """How fast an MLAT position may have moved that says this speed: ghosts of multilateration zigzag."""
    limit = (speed + GAINED_KT_S * (np.asarray(elapsed) / SECOND)) * MLAT_FACTOR + MLAT_KT
    return np.asarray(np.fmin(limit, MAX_SPEED_KT))


def judge(
    rows: Rows, spans: Spans, pairs: Pairs, context: Flags, waited: Flags, before: Remembered
) -> tuple[Verdicts, Remembered, Refused]:
    """The verdict on every row, what is to be remembered of each aircraft after all of them, as it was `before`, and what is
    to be said of rows that were refused. `pairs` are those of `pair_distances`. Context rows are accepted already, `waited`
    ones waited for their verdicts."""
    n, start = len(rows), spans.start
    again = _repeats(rows, pairs)
    strange = np.sort(_odd(rows, pairs, ~again))
    odd = np.r_[np.flatnonzero(waited), start[before.confirmed == CONTESTED], strange]
    odd = np.unique(np.searchsorted(start, odd, side="right") - 1)
    accepted = np.add.reduceat(~(again | context), start, dtype=np.int64)
    degraded, sound = _degraded(rows, spans, before.sound)
    known = Remembered(np.minimum(before.confirmed + accepted, CONFIRMATIONS), sound)
    found = Verdicts(np.full(n, ACCEPTED, np.int8), np.zeros(n, bool), np.zeros(n, bool), degraded)
    found.code[again] = REPEAT
    refused: list[tuple[int, int, float, int]] = []
    if len(odd):
        hovers, edges = may_hover(rows, slice(None)), np.append(start, n)
        for one, first, stop in zip(odd.tolist(), edges[odd].tolist(), edges[odd + 1].tolist(), strict=True):
            own, confirmed = slice(first, stop), int(before.confirmed[one])
            watch = _Watch(rows.take(own), hovers[own], context[own], waited[own], again[own], found.take(own), confirmed)
            mine = strange[np.searchsorted(strange, first) : np.searchsorted(strange, stop)]
            known.confirmed[one] = watch.run((mine - first).tolist())
            refused += [(first + i, *what) for i, *what in watch.refused]
    at, began, away_nm, unseen = zip(*refused, strict=True) if refused else ((),) * 4
    return found, known, Refused(np.array(at, int), np.array(began, int), np.array(away_nm, float), np.array(unseen, int))


def _repeats(rows: Rows, pairs: Pairs) -> Flags:
    """Rows that only say again where the moving aircraft was: servers keep serving the last fix of a lost one, with what
    else they hear of it."""
    again = pairs.same & (pairs.north == 0) & (pairs.east == 0)
    return np.asarray(again & (rows.onground != 1) & ~(rows.groundspeed < STANDING_KT))


def _odd(rows: Rows, pairs: Pairs, which: Flags) -> Ints:
    """Of these rows, those that do not follow from the one before of the same aircraft."""
    everyone = bool(which.all())  # as nearly always
    if not everyone:
        index = np.flatnonzero(which)
        rows = rows.take(index)
        pairs = pair_distances(rows, rows.spans())
    distance, elapsed, height, speed = pairs.distance, pairs.elapsed, rows.altitude, rows.groundspeed
    # few are so far from the one before, or so much higher, lower or slower, that it needs a closer look
    far = np.flatnonzero(distance > SPEED_SLACK_NM)
    limit = np.where(rows.mlat[far], _limit_kt(np.fmax(speed[far - 1], speed[far]), elapsed[far]), MAX_SPEED_KT)
    climb = np.abs(since_before(height))
    steep = np.flatnonzero(climb > HEIGHT_SLACK_FT)
    slow = np.flatnonzero((speed[1:] < SLOW_KT) & (speed[:-1] >= FAST_KT)) + 1
    strange: Ints = np.concatenate(
        [
            far[~reachable(distance[far], elapsed[far], limit)],
            steep[climb[steep] > HEIGHT_SLACK_FT + MOST_CLIMB_FT_MIN * (elapsed[steep] / MINUTE)],
            slow[height[slow] > SLOW_ABOVE_FT],
        ]
    )
    strange = strange[pairs.same[strange]]
    return strange if everyone else index[strange]


def _degraded(rows: Rows, spans: Spans, sound: Flags) -> tuple[Flags, Flags]:
    """Rows whose integrity is poor though their aircraft has shown better: what never did has old equipment, and its low
    numbers mean nothing. And whether each aircraft has shown better by now; `sound` says whether it had before."""
    good, poor = rows.integrity == SOUND, rows.integrity == POOR
    shown = sound | np.logical_or.reduceat(good, spans.start)
    if not poor.any():
        return poor, shown
    last_good = np.maximum.accumulate(np.where(good, np.arange(len(rows)), -1))
    return poor & (np.repeat(sound, spans.count) | (last_good >= np.repeat(spans.start, spans.count))), shown


@dataclass
class _Watch:
    """Goes through the rows of one aircraft in order, against its last accepted one (`known`), with the rows of its rival
    that wait. Writes into the arrays of `found`, and adds to those `refused` (as `Refused` tells of them)."""

    rows: Rows
    hovers: Flags
    context: Flags
    waited: Flags
    again: Flags
    found: Verdicts
    confirmed: int
    known: int | None = None
    rival: list[int] = field(default_factory=list)
    refused: list[tuple[int, int, float, int]] = field(default_factory=list)

    def run(self, strange: list[int]) -> int:
        """The number of confirmations of the known track after all rows, of which the `strange` ones do not follow from the
        one before."""
        rows, stop = self.rows, len(self.rows)
        self._time: list[int] = rows.time.tolist()
        self._latitude: list[float] = rows.latitude.tolist()
        self._longitude: list[float] = rows.longitude.tolist()
        self._altitude: list[float] = rows.altitude.tolist()
        self._groundspeed: list[float] = rows.groundspeed.tolist()
        self._onground: list[int] = rows.onground.tolist()
        self._mlat: list[bool] = rows.mlat.tolist()
        self._latest: list[int] = np.maximum.accumulate(np.where(self.again, -1, np.arange(stop))).tolist()
        self.found.code[:] = np.where(self.context, ACCEPTED, WAITING)
        self.known = next(iter(np.flatnonzero(self.context).tolist()), None)  # there is one at most
        self.rival = np.flatnonzero(self.waited).tolist()
        i = int(np.count_nonzero(self.context | self.waited))
        for odd in [*strange, stop]:
            while i < odd and not self._is_clear(i):
                self._next(i)
                i += 1
            if i < odd:
                self._go_on(i, odd)
                i = odd
            if i == odd < stop:
                self._next(i)
                i += 1
        return self.confirmed

    def _is_clear(self, i: int) -> bool:
        """Whether nothing is in doubt before a row, and it comes right after the known track."""
        return not self.rival and self.confirmed != CONTESTED and i > 0 and self.known == self._latest_before(i)

    def _latest_before(self, i: int) -> int:
        """The last row before this one that is no repeat."""
        return self._latest[i - 1]

    def _go_on(self, begin: int, end: int) -> None:
        """The rows from a clear one to the next that does not follow from the one before."""
        again = self.again[begin:end]
        self.found.code[begin:end] = np.where(again, REPEAT, ACCEPTED)
        self.known = self._latest_before(end)
        self.confirmed = min(self.confirmed + int(np.count_nonzero(~again)), CONFIRMATIONS)

    # ------------------------------------------------------------------------------------------------------------- one row

    def _next(self, i: int) -> None:
        if self.confirmed == CONTESTED:
            self._contested(i)
            return
        if self.rival and not self._may_go_on(i):
            self._drop_rival()
        if self.known is None:
            self._accept(i)
            return
        if self._repeats(self.known, i) or (self.rival and self._repeats(self.rival[-1], i)):
            self.found.code[i] = REPEAT
            return
        doubt = self._doubt(self.known, i)
        if self.rival and self._in_doubt_of_height():
            self._after_a_height(i, doubt)
        elif self.rival and self._goes_on_with_rival(i, doubt):
            self._join_rival(i, doubt)
        else:
            if self.rival and (doubt != FOLLOWS or self._is_over()):
                self._drop_rival()
            if doubt == FOLLOWS:
                self._accept(i)
            else:
                self.rival = [i]

    def _accept(self, i: int) -> None:
        self.found.code[i] = ACCEPTED
        self.known = i
        self.confirmed = min(self.confirmed + 1, CONFIRMATIONS)

    def _drop_rival(self) -> None:
        if not self.rival:
            return
        if self._in_doubt_of_height():
            self._accept_without_height()
        else:
            self._refuse(self.rival, self._reason(over=True))
        self.rival = []

    def _refuse(self, indices: list[int], reason: int) -> None:
        assert self.known is not None  # it came before everything that is refused
        began = self._time[self.rival[0] if self.rival else indices[0]]
        for i in indices:
            self.found.code[i] = reason
            self.refused.append((i, began, self._distance(self.known, i), self._elapsed(self.known, i)))

    def _is_over(self) -> bool:
        """Whether the known track going on says all that there is to say of the rival: not of a few rows, that may be the
        first of an emitter beside it."""
        established = len(self.rival) >= CONFIRMATIONS and not self._is_beside()
        return established or self._contradicts_itself(self.rival[0])

    def _is_beside(self) -> bool:
        """Whether the known track was seen since the rival began."""
        assert self.known is not None  # there is no rival without it
        return self._elapsed(self.rival[0], self.known) > 0

    def _reason(self, *, over: bool = False) -> int:
        """What the rows of the rival are, as they stand or when it is over."""
        assert self.known is not None  # there is no rival without it
        first = self.rival[0]
        if self._contradicts_itself(first):
            return SPOOFED
        if len(self.rival) < CONFIRMATIONS or self._mlat[first]:
            return GHOST
        if self._is_beside():
            return TWO_EMITTERS
        stays = self._distance(first, self.rival[-1]) <= ONE_PLACE_NM
        return SPOOFED if stays and (over or self._elapsed(first, self.rival[-1]) >= LONG_ENOUGH) else ELSEWHERE

    def _contradicts_itself(self, i: int) -> bool:
        """Whether a row says that an aircraft is slower than it can be, or stands though it flew fast a minute ago."""
        assert self.known is not None  # asked of a rival's row
        stopped = self._groundspeed[i] < STANDING_KT and self._groundspeed[self.known] >= FAST_KT
        return self._doubt(self.known, i) == TOO_SLOW or (stopped and 0 <= self._elapsed(self.known, i) < MINUTE)

    # ----------------------------------------------------------------------------------------------------------- the rival

    def _may_go_on(self, i: int) -> bool:
        """Whether the rival is not over when a row comes: it was seen lately, or, if it interrupts the known track, not
        long ago and at the same place."""
        silent = self._elapsed(self.rival[-1], i)
        if silent <= RIVAL_SILENCE:
            return True
        stands = len(self.rival) >= CONFIRMATIONS and not self._is_beside()
        return stands and silent <= SAME_PLACE_SILENCE and self._distance(self.rival[-1], i) <= ONE_PLACE_NM

    def _goes_on_with_rival(self, i: int, doubt: int) -> bool:
        """Whether a row belongs to the rival rather than to the known track. While nothing is seen of that, a rival of
        some standing goes on with whatever a jet can reach from it; else the one whose speed fits better."""
        assert self.known is not None  # there is no rival without it
        last = self.rival[-1]
        if not self._reachable(last, i):
            return False
        if doubt in (TOO_FAR, TOO_SLOW):
            return True
        if not self._mlat[i] and self._strays():
            return False
        if self._doubt(self.known, self.rival[0]) == TOO_SLOW:
            return False
        to_rival, to_known = self._needed_kt(last, i), self._needed_kt(self.known, i)
        if len(self.rival) >= CONFIRMATIONS and not self._is_beside():
            return to_rival <= NORMAL_KT
        speed = next((s for s in (self._groundspeed[k] for k in (i, self.known)) if not math.isnan(s)), math.nan)
        if math.isnan(speed):
            return to_known > NORMAL_KT
        return abs(to_known - speed) > FITTING_KT + FITTING * speed and abs(to_rival - speed) < abs(to_known - speed)

    def _join_rival(self, i: int, doubt: int) -> None:
        self.rival.append(i)
        established = self.confirmed >= CONFIRMATIONS
        if not established and self._is_beside() and len(self.rival) >= 2 and not self._strays():
            self._refuse(self.rival[:-1], TWO_EMITTERS)
            self.confirmed, self.rival = CONTESTED, [i]
        elif len(self.rival) >= CONFIRMATIONS and not established:
            self.found.jump[self.rival[0]] = True
            for row in self.rival:
                self._accept(row)
            self.rival = []
        elif doubt == FOLLOWS and self._takes_over(i):
            self.rival.pop()
            self._drop_rival()
            self._accept(i)
        elif len(self.rival) > CONFIRMATIONS:
            self._refuse([self.rival[1]], self._reason())
            del self.rival[1]

    def _strays(self) -> bool:
        """Whether the rival may be the known aircraft itself: multilaterations of one that stands or taxies zigzag by more
        than its speed allows, which says nothing of a second emitter."""
        assert self.known is not None  # there is no rival without it
        first = self.rival[0]
        return self._mlat[first] and self._distance(self.known, first) <= ONE_PLACE_NM

    def _takes_over(self, i: int) -> bool:
        """Whether the rival is the aircraft after all: it has gone on for long, alone, and away from where it began."""
        first = self.rival[0]
        alone = self._elapsed(first, i) > RIVAL_SILENCE and not self._is_beside()
        return alone and self._distance(first, i) > ONE_PLACE_NM and not self._contradicts_itself(first)

    def _contested(self, i: int) -> None:
        """Nothing is believed until the rows have agreed for long. `rival` is the first and the last of those that do."""
        if self.rival and self._reachable(self.rival[-1], i) and self._elapsed(self.rival[-1], i) <= RIVAL_SILENCE:
            if self._elapsed(self.rival[0], i) >= RIVAL_SILENCE:
                self._refuse(self.rival, TWO_EMITTERS)
                self.rival, self.confirmed = [], CONFIRMATIONS - 1
                self.found.jump[i] = True
                self._accept(i)
                return
            self._refuse(self.rival[1:], TWO_EMITTERS)
            self.rival = [self.rival[0], i]
        else:
            self._refuse(self.rival, TWO_EMITTERS)
            self.rival = [i]

    # -------------------------------------------------------------------------------------------------------------- heights

    def _in_doubt_of_height(self) -> bool:
        assert self.known is not None  # there is no rival without it
        first = self.rival[0]
        return self.confirmed != CONTESTED and self._elapsed(self.known, first) > 0 and self._doubt(self.known, first) == TOO_HIGH

    def _after_a_height(self, i: int, doubt: int) -> None:
        """The rows that wait are where they say, at a height that they cannot have: until three agree on it."""
        if doubt not in (TOO_HIGH, FOLLOWS) or (doubt == FOLLOWS and not self._at_that_height(i)):
            self._accept_without_height()
            self._next(i)
            return
        self.rival.append(i)
        if len(self.rival) < HEIGHT_CONFIRMATIONS:
            return
        if all(self._height_follows(a, b) for a, b in pairwise(self.rival)):
            for row in self.rival:
                self._accept(row)
            self.rival = []
        else:
            self._accept_without_height()

    def _at_that_height(self, i: int) -> bool:
        """Whether a row that may come from the known height is nearer to the one in doubt."""
        assert self.known is not None  # it is in doubt because of that
        height = self._altitude[i]
        off, back = (abs(height - self._altitude[k]) for k in (self.rival[-1], self.known))
        return off < back and self._height_follows(self.rival[-1], i)

    def _accept_without_height(self) -> None:
        for row in self.rival:
            self._accept(row)
            self.found.no_height[row] = True
            self._altitude[row] = math.nan
        self.rival = []

    # --------------------------------------------------------------------------------------------------------- pairs of rows

    def _doubt(self, i: int, j: int) -> int:
        """What speaks against row j coming after row i."""
        if not self._reachable(i, j):
            return TOO_FAR
        slow = self._groundspeed[j] < SLOW_KT and self._groundspeed[i] >= FAST_KT
        if slow and all(self._altitude[k] > SLOW_ABOVE_FT for k in (i, j)) and not self.hovers[j]:
            return TOO_SLOW
        return FOLLOWS if self._height_follows(i, j) else TOO_HIGH

    def _height_follows(self, i: int, j: int) -> bool:
        step = abs(self._altitude[j] - self._altitude[i])
        return not step > HEIGHT_SLACK_FT + MOST_CLIMB_FT_MIN * (self._elapsed(i, j) / MINUTE)

    def _repeats(self, i: int, j: int) -> bool:
        if self._latitude[i] != self._latitude[j] or self._longitude[i] != self._longitude[j]:
            return False
        return self._onground[j] != 1 and not self._groundspeed[j] < STANDING_KT

    def _reachable(self, i: int, j: int) -> bool:
        elapsed, limit = abs(self._elapsed(i, j)), MAX_SPEED_KT
        if self._mlat[j]:
            limit = float(_limit_kt(np.fmax(self._groundspeed[i], self._groundspeed[j]), elapsed))
        return self._distance(i, j) <= SPEED_SLACK_NM + limit * elapsed / (60 * MINUTE)

    def _needed_kt(self, i: int, j: int) -> float:
        """The speed that it takes to get from row i to row j."""
        return self._distance(i, j) * (60 * MINUTE) / max(abs(self._elapsed(i, j)), SECOND)

    def _elapsed(self, i: int, j: int) -> int:
        return self._time[j] - self._time[i]

    def _distance(self, i: int, j: int) -> float:
        return apart_nm(self._latitude[i], self._longitude[i], self._latitude[j], self._longitude[j])
