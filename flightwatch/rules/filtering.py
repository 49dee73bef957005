"""Which legs a rule may hold for, found over columns, so that only these are looked at one by one.

In: a rule, and the legs of many aircraft as arrays. Out: a flag for each leg. A filter has no meaning of its own: each
condition gives two masks, where it may hold and where it may not, and where columns cannot tell, both are set. So no leg is
lost for which `evaluation.matches` finds something; it is asked about all that are left. Left to it are history, positions,
local times, what lies between several legs, and places of small probability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flightwatch.places import Airports
from flightwatch.records import Aircraft, micros
from flightwatch.rules import conditions as kinds
from flightwatch.rules.language import (
    DAYS,
    AircraftCondition,
    Condition,
    DurationCondition,
    PlaceCondition,
    Rule,
    Subject,
    TimeCondition,
)
from flightwatch.rules.measures import in_clock, moment, span

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

NULL = -1
NO_TIME = np.iinfo(np.int64).min
"""Stands in columns of times where there is none."""

SURE = 0.95
"""Ends whose leading airport has at least this stand in the columns by that alone; of the others all candidates do."""

ROUNDED = 1e-3
"""Sums of probabilities that are closer to a limit than this are left open."""

MINUTE_US, DAY_US = 60_000_000, 86_400_000_000
FIRST_WEEKDAY = 3
"""1 January 1970 was a Thursday."""


class Masks(NamedTuple):
    """Where a condition may hold, and where it may not; both, where columns do not tell."""

    may: Flags
    may_not: Flags


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

    def at(self, index: Ints) -> Stops:
        """The stops with some numbers (-1: none) as a column."""
        airport = np.where(index == NULL, NULL, self.airport[index]).astype(np.int32)
        observed = np.where(index == NULL, False, self.observed[index])
        if not len(self.spread):
            return Stops(airport, observed, self.spread, self.of, self.candidate, self.chance)
        known = np.minimum(np.searchsorted(self.spread, index), len(self.spread) - 1)
        spread = np.flatnonzero(self.spread[known] == index)
        begins = np.searchsorted(self.of, np.arange(len(self.spread) + 1))
        first, many = begins[known[spread]], np.diff(begins)[known[spread]]
        of = np.repeat(np.arange(len(spread)), many)
        rows = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many) + np.repeat(first, many)
        return Stops(airport, observed, spread, of, self.candidate[rows], self.chance[rows])


@dataclass(frozen=True)
class Times:
    """When each leg began and ended, in µs since 1970; `takeoff` and `landing` are (earliest, time, latest)."""

    first_seen: Ints
    last_seen: Ints
    takeoff: tuple[Ints, Ints, Ints]
    landing: tuple[Ints, Ints, Ints]
    down: Flags


@dataclass(frozen=True)
class LegColumns:
    """Legs as arrays of one length, those of one aircraft together and in order.

    `aircraft` are numbers into `people`: who it is on the journey, where lists that go by callsigns are undecided.
    `callsign` and places are numbers into `callsigns` and `codes`. `first` is the first leg of the journey that a leg is
    on, `next` the aircraft's next leg (-1: none). `ends` are what the legs say of their own ends: first the origins of all
    of them, then their destinations. Without `times`, conditions on them are left open.
    """

    people: Sequence[Aircraft]
    aircraft: Codes
    callsigns: Sequence[str]
    callsign: Codes
    codes: Sequence[str]
    first: Ints
    next: Ints
    ends: Stops
    times: Times | None

    def __len__(self) -> int:
        return len(self.aircraft)

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
            return self.ends.at(np.arange(size))
        before = np.arange(size) - 1  # on a journey, legs follow each other
        return self.ends.at(np.where(self.first == np.arange(size), np.arange(size), self._arrived[before]))

    @cached_property
    def places(self) -> Stops:
        """Where each leg ended."""
        return self.ends.at(self._arrived)

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


@dataclass
class _Asked:
    """What the masks of one rule need. `rows` are the legs in question, all where it is None."""

    legs: LegColumns
    airports: Airports
    subject: Subject
    rows: Ints | None = None

    def of(self, column: NDArray[Any]) -> NDArray[Any]:
        return column if self.rows is None else column[self.rows]

    def __len__(self) -> int:
        return len(self.legs) if self.rows is None else len(self.rows)


def possible(rule: Rule, legs: LegColumns, airports: Airports) -> Ints:
    """The legs with whose ends the rule may find something: those at whose end it may hold, from wherever on their
    journey."""
    if rule.subject == "event":
        return np.empty(0, np.int64)
    asked = _Asked(legs, airports, rule.subject, np.flatnonzero(legs.next != NULL) if rule.subject == "stay" else None)
    for part in _flat(rule.when):
        rows = np.flatnonzero(_masks(part, asked).may)
        asked = _Asked(legs, airports, rule.subject, rows if asked.rows is None else asked.rows[rows])
    return np.arange(len(legs)) if asked.rows is None else asked.rows


def _flat(condition: Condition) -> list[Condition]:
    """The conditions that must all hold, who it is first: that leaves few legs for the others."""
    parts = [part for inner in condition.all_ for part in _flat(inner)] if condition.all_ else [condition]
    return sorted(parts, key=lambda part: part.aircraft is None)


def _masks(condition: Condition, asked: _Asked) -> Masks:
    """Kleene's logic; a history that is not known and is let pass (`evaluation`) is open here."""
    if condition.all_ is not None:
        return _all(_masks(part, asked) for part in condition.all_)
    if condition.any_ is not None:
        parts = [_masks(part, asked) for part in condition.any_]
        return Masks(np.logical_or.reduce([p.may for p in parts]), np.logical_and.reduce([p.may_not for p in parts]))
    if condition.not_ is not None:
        return Masks(*reversed(_masks(condition.not_, asked)))
    kind = _KINDS.get(condition.kind)
    return _open(asked) if kind is None else kind(getattr(condition, condition.kind), asked)


def _all(parts: Any) -> Masks:
    masks = list(parts)
    return Masks(np.logical_and.reduce([p.may for p in masks]), np.logical_or.reduce([p.may_not for p in masks]))


def _open(asked: _Asked) -> Masks:
    return Masks(np.ones(len(asked), bool), np.ones(len(asked), bool))


def _decided(holds: Flags) -> Masks:
    return Masks(holds, ~holds)


# --------------------------------------------------------------------------------------------------------------------- aircraft


def _aircraft(condition: AircraftCondition, asked: _Asked) -> Masks:
    legs = asked.legs
    masks = []
    for name in condition.demands():
        if getattr(condition, name) is None:
            continue
        part = AircraftCondition.model_validate({name: getattr(condition, name)})
        if name == "callsign":
            flags = [bool(kinds.fits(part, Aircraft(None), (word,), True).truth) for word in legs.callsigns]
            ours = np.array([*flags, False])[legs.callsign]
            may = legs.ever_on_journey(ours) if asked.subject == "journey" else ours
            masks.append(Masks(asked.of(may), asked.of(~ours)))
        else:
            table = np.array(_truths(name, part, legs.people), dtype=bool).reshape(-1, 2)
            who = asked.of(legs.aircraft)
            masks.append(Masks(table[who, 0], table[who, 1]))
    return _all(masks)


def _truths(name: str, part: AircraftCondition, people: Sequence[Aircraft]) -> list[tuple[bool, bool]]:
    """For each of some aircraft whether a condition on one thing may hold, and whether it may not: each value is asked about
    once. Lists that go by callsigns are open."""
    known: dict[object, tuple[bool, bool]] = {}
    out = []
    for who in people:
        key = (who.watchlists, who.undecided) if name == "watchlist" else getattr(who, name)
        if key not in known:
            truth = kinds.fits(part, who, (), name != "watchlist").truth
            known[key] = (truth is not False, truth is not True)
        out.append(known[key])
    return out


# ----------------------------------------------------------------------------------------------------------------------- places


def _place(condition: PlaceCondition, stops: Stops, asked: _Asked) -> Masks:
    """Whether each stop may lie there with the probability that is asked for."""
    target = kinds.target_of_place(condition)
    airports, countries = frozenset(target.airports), frozenset(target.countries)
    meant = [code in airports or asked.airports.country_of(code) in countries for code in asked.legs.codes]
    inside = np.array([*meant, False])
    here = asked.of(inside[stops.airport])
    sure = asked.of(stops.airport) != NULL
    may = here | (sure & (condition.probability <= 1 - SURE + ROUNDED))
    surely = here & (condition.probability <= SURE)
    if len(stops.spread):
        sums = np.bincount(stops.of, weights=stops.chance * inside[stops.candidate], minlength=len(stops.spread))
        rows, among = _found(stops.spread, asked)
        may[rows] = sums[among] >= condition.probability - ROUNDED
        surely[rows] = sums[among] >= condition.probability + ROUNDED
    if condition.observed:
        observed = asked.of(stops.observed)
        may, surely = may & observed, surely & observed
    return Masks(may, ~surely)


def _found(some: Ints, asked: _Asked) -> tuple[Ints, Ints]:
    """Which of the rows in question are among some legs, and where in these they stand."""
    if asked.rows is None:
        return some, np.arange(len(some))
    where = np.minimum(np.searchsorted(some, asked.rows), len(some) - 1)
    rows = np.flatnonzero(some[where] == asked.rows)
    return rows, where[rows]


def _whole(asked: _Asked) -> _Asked:
    return _Asked(asked.legs, asked.airports, asked.subject)


def _origin(condition: PlaceCondition, asked: _Asked) -> Masks:
    """Of a journey, any of its legs up to this one may be the first."""
    if asked.subject != "journey" or asked.legs.single:
        return _place(condition, asked.legs.starts, asked)
    own = _place(condition, asked.legs.starts, _whole(asked))
    return Masks(*(asked.of(asked.legs.ever_on_journey(mask)) for mask in own))


def _destination(condition: PlaceCondition, asked: _Asked) -> Masks:
    return _place(condition, asked.legs.onward if asked.subject == "stay" else asked.legs.places, asked)


def _at(condition: PlaceCondition, asked: _Asked) -> Masks:
    return _place(condition, asked.legs.stays if asked.subject == "stay" else asked.legs.places, asked)


def _via(condition: PlaceCondition, asked: _Asked) -> Masks:
    """The shortest way of a journey has no stop in between."""
    legs = asked.legs
    before = legs.ever_on_journey(_place(condition, legs.places, _whole(asked)).may, before=True)
    may = before if asked.subject == "journey" else np.zeros(len(legs), bool)
    return Masks(asked.of(may), np.ones(len(asked), bool))


# ------------------------------------------------------------------------------------------------------------------- time, span


def _time(condition: TimeCondition, asked: _Asked) -> Masks:
    """Where an end was seen; or where the span that it lies in is of one day, and the condition one that turns at midnight at
    most."""
    times = asked.legs.times
    if times is None or condition.zone != "UTC":
        return _open(asked)
    of_journey = asked.subject == "journey" and condition.of == "takeoff" and not asked.legs.single
    first, likely, last = times.takeoff if condition.of == "takeoff" else times.landing
    if not of_journey:
        first, likely, last = (asked.of(time) for time in (first, likely, last))
    first, last = _or(first, likely), _or(last, likely)
    then, at_last = _holds_at(condition, first), _holds_at(condition, last)
    steady = first == last
    if condition.between is None and (condition.since is None or condition.until is None):
        steady |= (first // DAY_US == last // DAY_US) & (then == at_last)
    told = steady & (likely != NO_TIME)
    masks = Masks(then | ~told, ~then | ~told)
    return Masks(*(asked.of(asked.legs.ever_on_journey(mask)) for mask in masks)) if of_journey else masks


def _holds_at(condition: TimeCondition, time: Ints) -> Flags:
    holds = np.ones(len(time), bool)
    if condition.days is not None:
        holds &= np.array([day in condition.days for day in DAYS])[(time // DAY_US + FIRST_WEEKDAY) % 7]
    if condition.between is not None:
        holds &= np.array([in_clock(condition.between, minute) for minute in range(1440)])[time // MINUTE_US % 1440]
    if condition.since is not None:
        holds &= time >= _limit(condition.since)
    if condition.until is not None:
        holds &= time < _limit(condition.until)
    return holds


def _limit(text: str) -> int:
    read = moment(text)
    return micros(read if read.tzinfo else read.replace(tzinfo=UTC))


def _duration(condition: DurationCondition, asked: _Asked) -> Masks:
    legs = asked.legs
    of = condition.of or asked.subject
    if legs.times is None or (of == "stay" and asked.subject != "stay") or (asked.subject == "journey" and not legs.single):
        return _open(asked)
    least, likely, most, known = (asked.of(column) for column in (_stay(legs) if of == "stay" else _flown(legs, legs.times)))
    masks = [_open(asked)]
    if condition.at_least:
        masks = [_beyond(_us(condition.at_least), least, likely, most, known)]
    if condition.at_most:
        longer = _beyond(_us(condition.at_most) + 1, least, likely, most, known)
        shorter = Masks(longer.may_not, longer.may)
        masks = [*masks, shorter] if condition.at_least else [shorter]
    return _all(masks)


def _us(text: str) -> int:
    return round(span(text).total_seconds() * 1_000_000)


def _beyond(limit: int, least: Ints, likely: Ints, most: Ints, known: Flags) -> Masks:
    """As `conditions` has it; where it is not known how long it took, it lasted `least` or longer."""
    surely = least >= limit
    surely_not = ~surely & known & ((most < limit) | (likely < limit))
    return Masks(~surely_not, ~(surely | (known & (most >= limit) & (likely >= limit))))


Spans = tuple[Ints, Ints, Ints, Flags]
"""At least, likely and at most so long (µs), and whether the last two are known."""


def _flown(legs: LegColumns, times: Times) -> Spans:
    """How long each leg took."""
    (up_first, up, up_last), (down_first, down, down_last) = times.takeoff, times.landing
    over = (down != NO_TIME) & times.down
    began = _or(_or(up_last, up), times.first_seen)
    ended = np.where(over, _or(down_first, down), times.last_seen)
    least = np.where((began == NO_TIME) | (ended == NO_TIME), 0, np.maximum(ended - began, 0))
    return least, down - up, _or(down_last, down) - _or(up_first, up), over & (up != NO_TIME)


def _stay(legs: LegColumns) -> Spans:
    """How long the aircraft stayed after each leg."""
    assert legs.times is not None  # the caller looked
    down_first, down, down_last = legs.times.landing
    up_first, up, up_last = (time[legs.next] for time in legs.times.takeoff)
    known = (legs.next != NULL) & (down != NO_TIME) & (up != NO_TIME)
    least = np.where(known, np.maximum(_or(up_first, up) - _or(down_last, down), 0), NO_TIME)
    return least, up - down, _or(up_last, up) - _or(down_first, down), known


def _or(time: Ints, otherwise: Ints) -> Ints:
    return np.where(time == NO_TIME, otherwise, time)


_KINDS: dict[str, Callable[[Any, _Asked], Masks]] = {
    "aircraft": _aircraft,
    "origin": _origin,
    "destination": _destination,
    "via": _via,
    "at": _at,
    "time": _time,
    "duration": _duration,
}
"""What columns can tell something of. All else is left open."""
