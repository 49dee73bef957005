"""Legs as columns: what the filter over them reads.

Numbers stand for words and places; those of one aircraft and source stand together and in order. Times are µs since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from flightwatch.records import Aircraft
from flightwatch.rules.language import PositionCondition

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

NULL = -1
NO_TIME = np.iinfo(np.int64).min
"""Stands in columns of times where there is none."""

SURE = 0.95
"""Ends whose leading airport has at least this stand in the columns by that alone; of the others all candidates do."""

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Stops:
    """A stop for each leg: `airport` is the code of the one that it is with at least `SURE`, or null. Of the legs in
    `spread`, in order, it is one of several: `candidate` and `chance` are those of the leg `spread[of]`."""

    airport: Codes
    observed: Flags
    spread: Ints
    of: Ints
    candidate: Codes
    chance: Floats

    @cached_property
    def begins(self) -> Ints:
        """Where the candidates of each leg of `spread` begin, and where the last ones end."""
        return np.searchsorted(self.of, np.arange(len(self.spread) + 1))

    def chances(self, inside: Flags, among: Ints) -> Floats:
        """How probable it is for some of `spread` (their numbers in it) that they lie in one of some places (a flag for each
        code, and one for none)."""
        rows, of = _ranges(self.begins[among], np.diff(self.begins)[among])
        chances = self.chance[rows] * inside[self.candidate[rows]]
        return np.bincount(of, weights=chances, minlength=len(among)).astype(np.float64)

    def part(self, first: int, last: int) -> Stops:
        """The stops from one number to below another."""
        a, b = np.searchsorted(self.spread, [first, last]).tolist()
        rows = slice(*self.begins[[a, b]].tolist())
        spread, of = self.spread[a:b] - first, self.of[rows] - a
        return Stops(self.airport[first:last], self.observed[first:last], spread, of, self.candidate[rows], self.chance[rows])

    def at(self, index: Ints) -> Stops:
        """The stops with some numbers (-1: none) as a column."""
        airport = np.where(index == NULL, NULL, self.airport[index]).astype(np.int32)
        observed = np.where(index == NULL, False, self.observed[index])
        if not len(self.spread):
            return Stops(airport, observed, self.spread, self.of, self.candidate, self.chance)
        known = np.minimum(np.searchsorted(self.spread, index), len(self.spread) - 1)
        spread = np.flatnonzero(self.spread[known] == index)
        rows, of = _ranges(self.begins[known[spread]], np.diff(self.begins)[known[spread]])
        return Stops(airport, observed, spread, of, self.candidate[rows], self.chance[rows])


def _ranges(begins: Ints, many: Ints) -> tuple[Ints, Ints]:
    """So many numbers from each of some beginnings on, and which of these each belongs to."""
    of = np.repeat(np.arange(len(many)), many)
    return np.arange(len(of)) - np.repeat(np.cumsum(many) - many, many) + np.repeat(begins, many), of


@dataclass(frozen=True)
class Times:
    """When each leg began and ended, in µs since 1970; `takeoff` and `landing` are (earliest, time, latest). These are in the
    order of the store, and `place` is where in it each leg stands: few of them are ever asked for."""

    place: Ints
    first_seen: Ints
    last_seen: Ints
    takeoff: tuple[Ints, Ints, Ints]
    landing: tuple[Ints, Ints, Ints]
    down: Flags


def first_known(*times: Ints) -> Ints:
    """The first of some times that is known."""
    found = times[-1]
    for time in reversed(times[:-1]):
        found = np.where(time == NO_TIME, found, time)
    return found


def or_1970(times: Ints) -> Ints:
    """Times, with the beginning of 1970 where there is none, as the baseline has it."""
    return np.where(times == NO_TIME, 0, times)


Rows = Ints | Flags | slice

EVERY = slice(None)

_when_begun = attrgetter("first_seen", "takeoff", "landing")
_when_ended = attrgetter("last_seen", "landing", "takeoff", "first_seen")


@dataclass(frozen=True)
class Moments:
    """The times of legs by which they are counted, in µs since 1970, as the baseline has them. They are worked out for the legs
    in question alone, from columns in the order of the store, in which each leg stands at `place`. `vague` are those of which
    a list gives the day alone."""

    place: Ints
    first_seen: Ints
    last_seen: Ints
    takeoff: Ints
    landing: Ints
    vague: Flags

    def began(self, rows: Rows) -> Ints:
        return self._first(rows, *_when_begun(self))

    def departed(self, rows: Rows) -> Ints:
        return or_1970(self._first(rows, self.takeoff, self.first_seen, self.landing))

    def arrived(self, rows: Rows) -> Ints:
        return or_1970(self._first(rows, self.landing, self.last_seen, self.takeoff))

    def ended(self, rows: Rows) -> Ints:
        return self._first(rows, *_when_ended(self))

    def bounds(self) -> tuple[int, int]:
        """When the first of all legs began, and the last one was over."""
        return int(first_known(*_when_begun(self)).min()), int(first_known(*_when_ended(self)).max())

    def is_over(self, rows: Rows) -> Flags:
        """Whether anybody knows when it arrived."""
        place = self.place[rows]
        return np.asarray((self.landing[place] != NO_TIME) | (self.last_seen[place] != NO_TIME))

    def is_vague(self, rows: Rows) -> Flags:
        return self.vague[self.place[rows]]

    def _first(self, rows: Rows, *columns: Ints) -> Ints:
        place = self.place[rows]
        return first_known(*(column[place] for column in columns))


NOT_ONE = -2
"""Stands for the number of whom a question is about where that is nobody known, or goes by several numbers."""


@dataclass(frozen=True)
class Past:
    """What history counts of each leg: its times, the airport that leads at its end, and whether it counts at all (`counted`:
    not where another one tells of the same flight).

    `subjects` are, for `tail`, `fleet`, `type` and `anybody`, the number of each leg's and the number that stands for each
    of `people` (`NOT_ONE`: none does). `everybody` are the days since 1970, ascending, on which whoever flew would have been
    seen, `somebody` those on which some would have been.
    """

    times: Moments
    destination: Codes
    counted: Flags
    subjects: Mapping[str, tuple[Codes, Ints]]
    everybody: Ints
    somebody: Ints


@dataclass(frozen=True)
class LegColumns:
    """Legs as arrays of one length, those of one aircraft together and in order.

    `aircraft` are numbers into `people`: who it is on the journey, where lists that go by callsigns are undecided.
    `callsign` and places are numbers into `callsigns` and `codes`; `countries` are those of the codes (null: not in the table
    of airports). `first` is the first leg of the journey that a leg is
    on, `next` the aircraft's next leg (-1: none). `ends` are what the legs say of their own ends: first the origins of all
    of them, then their destinations. Without `times`, conditions on them are left open. `ways` tell for conditions on
    positions which legs may have a way that fits.
    """

    people: Sequence[Aircraft]
    aircraft: Codes
    callsigns: Sequence[str]
    callsign: Codes
    codes: Sequence[str]
    countries: Sequence[str | None]
    first: Ints
    next: Ints
    ends: Stops
    times: Times | None
    past: Past
    ways: Sequence[tuple[PositionCondition, Flags]] = ()

    def __len__(self) -> int:
        return len(self.aircraft)

    def known(self, name: str) -> tuple[list[str | None], Ints]:
        """The words that are known of `people` under a name, each once and in small letters, and for each of them which it
        is."""
        if name not in self._known:
            numbers: dict[str | None, int] = {}
            of = [numbers.setdefault(getattr(who, name), len(numbers)) for who in self.people]
            self._known[name] = [word and word.casefold() for word in numbers], np.array(of, np.int64)
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, tuple[list[str | None], Ints]]:
        return {}

    def flown_by(self, people: Flags) -> Ints:
        """The legs of some people (a flag for each), in order."""
        begins, ends = self._runs
        chosen = people[self.aircraft[begins]]
        return _ranges(begins[chosen], (ends - begins)[chosen])[0]

    @cached_property
    def _runs(self) -> tuple[Ints, Ints]:
        """Where somebody's legs, which stand together, begin and end."""
        begins = np.flatnonzero(np.diff(self.aircraft, prepend=np.int32(NULL)))
        return begins, np.append(begins, len(self))[1:]

    @cached_property
    def single(self) -> bool:
        """Whether every leg is a journey of its own."""
        return bool((self.first == np.arange(len(self))).all())

    @cached_property
    def _departed(self) -> Ints:
        """For each leg the end that tells where it ended: its own, or the beginning of the next one where only that was
        seen."""
        size = len(self)
        own = np.arange(size) + size
        better = (self.next != NULL) & self.ends.observed[self.next] & ~self.ends.observed[own]
        return np.where(better, self.next, own)

    @cached_property
    def _onward_on_journey(self) -> Flags:
        return np.asarray((self.next != NULL) & (self.first[self.next] == self.first))

    @cached_property
    def _arrived(self) -> Ints:
        return np.where(self._onward_on_journey, self._departed, np.arange(len(self)) + len(self))

    @cached_property
    def starts(self) -> Stops:
        """Where each leg began, as stops of its journey tell it."""
        size = len(self)
        if self.single:
            return self.ends.part(0, size)
        before = np.arange(size) - 1  # on a journey, legs follow each other
        return self.ends.at(np.where(self.first == np.arange(size), np.arange(size), self._arrived[before]))

    @cached_property
    def places(self) -> Stops:
        """Where each leg ended."""
        return self.ends.part(len(self), 2 * len(self)) if self.single else self.ends.at(self._arrived)

    @cached_property
    def stays(self) -> Stops:
        """The same, where the leg after that may belong to the next journey."""
        return self.ends.at(self._departed)

    @cached_property
    def onward(self) -> Stops:
        """Where the aircraft went from there."""
        size = len(self)
        own = self.next + size
        return self.ends.at(np.where(self.next == NULL, NULL, np.where(self._onward_on_journey, self._arrived[self.next], own)))

    def ever_on_journey(self, flags: Flags, *, before: bool = False) -> Flags:
        """Whether a flag is set for a leg or one before it on its journey; `before`: for one before it alone."""
        if self.single:
            return np.zeros_like(flags) if before else flags
        up_to = np.concatenate([[0], np.cumsum(flags)])
        last = np.arange(len(self)) + (0 if before else 1)
        return np.asarray(up_to[last] > up_to[self.first])
