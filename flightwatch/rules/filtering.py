"""Which legs a rule may hold for, found over columns, so that only these are looked at one by one.

In: a rule, and the legs of many aircraft as arrays. Out: a flag for each leg. A filter has no meaning of its own: each
condition gives two masks, where it may hold and where it may not, and where columns cannot tell, both are set. So no leg is
lost for which `evaluation.matches` finds something; it is asked about all that are left. Left to it are local times, what
lies between several legs, places of small probability, and most of history and of where a way led: of these, columns tell
what surely does not hold (`past`, `conditions.may_have_flown`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flightwatch.records import Target, micros
from flightwatch.rules import conditions as kinds
from flightwatch.rules import past
from flightwatch.rules.columns import DAY_US, NO_TIME, NULL, SURE, Flags, Ints, LegColumns, Stops
from flightwatch.rules.evaluation import COUNTING, target_of
from flightwatch.rules.language import (
    DAYS,
    AircraftCondition,
    Condition,
    DormantCondition,
    DurationCondition,
    FirstSeenCondition,
    FirstVisitCondition,
    PlaceCondition,
    PositionCondition,
    RarityCondition,
    Rule,
    Subject,
    TimeCondition,
)
from flightwatch.rules.measures import in_clock, moment, span

ROUNDED = 1e-3
"""Sums of probabilities that are closer to a limit than this are left open."""

MINUTE_US = 60_000_000
FIRST_WEEKDAY = 3
"""1 January 1970 was a Thursday."""


ONE_WORD = ("registration", "icao24", "typecode", "operator", "country")
"""What is known of an aircraft as one word, and asked for by patterns: as `conditions.fits` has it."""


class Masks(NamedTuple):
    """Where a condition may hold, and where it may not; both, where columns do not tell."""

    may: Flags
    may_not: Flags


@dataclass
class _Asked:
    """What the masks of one rule need. `rows` are the legs in question, all where it is None."""

    legs: LegColumns
    subject: Subject
    target: Target
    rows: Ints | None = None

    def of(self, column: NDArray[Any]) -> NDArray[Any]:
        return column if self.rows is None else column[self.rows]

    def time(self, column: Ints | Flags) -> NDArray[Any]:
        """The legs in question of a column of `Times`."""
        assert self.legs.times is not None  # the caller looked
        return np.asarray(column[self.of(self.legs.times.place)])

    def __len__(self) -> int:
        return len(self.legs) if self.rows is None else len(self.rows)


def possible(rule: Rule, legs: LegColumns) -> Ints:
    """The legs with whose ends the rule may find something: those at whose end it may hold, from wherever on their
    journey."""
    if rule.subject == "event":
        return np.empty(0, np.int64)
    demanded = _flat(rule.when)
    asked = _Asked(legs, rule.subject, target_of(rule), _flown_by([part.aircraft for part in demanded if part.aircraft], legs))
    demanded = [part for part in demanded if part.aircraft is None or part.aircraft.callsign is not None]
    if rule.subject == "stay":
        asked.rows = np.flatnonzero(legs.next != NULL) if asked.rows is None else asked.rows[legs.next[asked.rows] != NULL]
    direct = rule.when.all_ or [rule.when]
    parts = [(part, _masks) for part in demanded] + [(part, _counted) for part in direct if part.visits]
    for part, masks in sorted(parts, key=lambda p: _cost(p[0])):
        rows = np.flatnonzero(masks(part, asked).may)
        asked = _Asked(legs, rule.subject, asked.target, rows if asked.rows is None else asked.rows[rows])
    return np.arange(len(legs)) if asked.rows is None else asked.rows


def _flown_by(conditions: Sequence[AircraftCondition], legs: LegColumns) -> Ints | None:
    """The legs of those of whom some conditions may all hold, whatever their callsigns; None where none asks for more."""
    people = [_of_people(condition, legs) for condition in conditions]
    masks = [mask for mask in people if mask is not None]
    return legs.flown_by(_all(masks).may) if masks else None


def _flat(condition: Condition) -> list[Condition]:
    """The conditions that must all hold."""
    return [part for inner in condition.all_ for part in _flat(inner)] if condition.all_ else [condition]


def _cost(part: Condition) -> int:
    """Who it is comes first, which leaves few legs for the others; then what is asked for, then what is denied, which holds of
    most; and what counts others last."""
    return 0 if part.aircraft else 3 if part.kind in COUNTING else 2 if part.not_ else 1


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


def _all(parts: Iterable[Masks]) -> Masks:
    masks = list(parts)
    if len(masks) == 1:
        return masks[0]
    return Masks(np.logical_and.reduce([p.may for p in masks]), np.logical_or.reduce([p.may_not for p in masks]))


def _open(asked: _Asked) -> Masks:
    return Masks(np.ones(len(asked), bool), np.ones(len(asked), bool))


def _decided(holds: Flags) -> Masks:
    return Masks(holds, ~holds)


# --------------------------------------------------------------------------------------------------------------------- aircraft


def _aircraft(condition: AircraftCondition, asked: _Asked) -> Masks:
    legs, masks = asked.legs, []
    if condition.callsign is not None:
        like = kinds.globs(tuple(condition.callsign))
        table = np.array([*(like(word.casefold()) is not None for word in legs.callsigns), False])
        ours = table[asked.of(legs.callsign)]
        several = asked.subject == "journey" and not legs.single
        masks.append(Masks(asked.of(legs.ever_on_journey(table[legs.callsign])) if several else ours, ~ours))
    people = _of_people(condition, legs)
    if people is not None:
        who = asked.of(legs.aircraft)
        decided = (people.may != people.may_not).all()  # of most conditions, and looking up takes most of the time
        masks.append(_decided(people.may[who]) if decided else Masks(people.may[who], people.may_not[who]))
    return _all(masks)


def _of_people(condition: AircraftCondition, legs: LegColumns) -> Masks | None:
    """For each of the people whether what a condition asks of them beside their callsigns may hold, and may not."""
    given = [name for name in condition.demands() if name != "callsign" and getattr(condition, name) is not None]
    parts = {name: AircraftCondition.model_validate({name: getattr(condition, name)}) for name in given}
    return _all(_truths(name, part, legs) for name, part in parts.items()) if parts else None


def _truths(name: str, part: AircraftCondition, legs: LegColumns) -> Masks:
    """For each of the people whether a condition on one thing may hold, and whether it may not: each value is asked about
    once. Lists that go by callsigns are open."""
    if name in ONE_WORD:
        words, of = legs.known(name)
        like = kinds.globs(tuple(getattr(part, name)))
        holds = np.array([word is not None and like(word) is not None for word in words], bool)[of]
        return _decided(holds)
    known: dict[object, bool | None] = {}
    out = []
    for who in legs.people:
        key = (who.watchlists, who.undecided) if name == "watchlist" else getattr(who, name)
        if key not in known:
            known[key] = kinds.fits(part, who, (), name != "watchlist").truth
        out.append(known[key])
    return Masks(np.array([truth is not False for truth in out], bool), np.array([truth is not True for truth in out], bool))


# ----------------------------------------------------------------------------------------------------------------------- places


def _place(condition: PlaceCondition, stops: Stops, asked: _Asked) -> Masks:
    """Whether each stop may lie there with the probability that is asked for."""
    inside = _inside(kinds.target_of_place(condition), asked.legs)
    airport = asked.of(stops.airport)
    here = inside[airport]
    may = here | (airport != NULL) if condition.probability <= 1 - SURE + ROUNDED else here.copy()
    surely = here if condition.probability <= SURE else np.zeros_like(here)
    if len(stops.spread):
        rows, among = _found(stops.spread, asked)
        sums = stops.chances(inside, among)
        may[rows] = sums >= condition.probability - ROUNDED
        surely[rows] = sums >= condition.probability + ROUNDED
    if condition.observed:
        observed = asked.of(stops.observed)
        may, surely = may & observed, surely & observed
    return Masks(may, ~surely)


def _inside(target: Target, legs: LegColumns) -> Flags:
    """Which codes lie in a target; the last one stands for none."""
    airports, countries = frozenset(target.airports), frozenset(target.countries)
    places = zip(legs.codes, legs.countries, strict=True)
    return np.array([*(code in airports or country in countries for code, country in places), False])


def _found(some: Ints, asked: _Asked) -> tuple[Ints, Ints]:
    """Which of the rows in question are among some legs, and where in these they stand."""
    if asked.rows is None:
        return some, np.arange(len(some))
    if len(some) < len(asked.rows):
        return _common(some, asked.rows)[::-1]
    return _common(asked.rows, some)


def _common(few: Ints, many: Ints) -> tuple[Ints, Ints]:
    """Where the numbers that two rows of them have, both in order, stand in each."""
    if not len(few):
        return few, few
    where = np.minimum(np.searchsorted(many, few), len(many) - 1)
    found = np.flatnonzero(many[where] == few)
    return found, where[found]


def _whole(asked: _Asked) -> _Asked:
    return _Asked(asked.legs, asked.subject, asked.target)


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
    in_question = _whole(asked) if of_journey else asked
    first, likely, last = map(in_question.time, times.takeoff if condition.of == "takeoff" else times.landing)
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
    least, likely, most, known = _stay(asked) if of == "stay" else _flown(asked)
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


def _flown(asked: _Asked) -> Spans:
    """How long each leg took."""
    times = asked.legs.times
    assert times is not None  # the caller looked
    (up_first, up, up_last), (down_first, down, down_last) = (map(asked.time, part) for part in (times.takeoff, times.landing))
    over = (down != NO_TIME) & asked.time(times.down)
    began = _or(_or(up_last, up), asked.time(times.first_seen))
    ended = np.where(over, _or(down_first, down), asked.time(times.last_seen))
    least = np.where((began == NO_TIME) | (ended == NO_TIME), 0, np.maximum(ended - began, 0))
    return least, down - up, _or(down_last, down) - _or(up_first, up), over & (up != NO_TIME)


def _stay(asked: _Asked) -> Spans:
    """How long the aircraft stayed after each leg."""
    times, next_ = asked.legs.times, asked.of(asked.legs.next)
    assert times is not None  # the caller looked
    down_first, down, down_last = map(asked.time, times.landing)
    up_first, up, up_last = (time[times.place[next_]] for time in times.takeoff)
    known = (next_ != NULL) & (down != NO_TIME) & (up != NO_TIME)
    least = np.where(known, np.maximum(_or(up_first, up) - _or(down_last, down), 0), NO_TIME)
    return least, up - down, _or(up_last, up) - _or(down_first, down), known


def _or(time: Ints, otherwise: Ints) -> Ints:
    return np.where(time == NO_TIME, otherwise, time)


# ---------------------------------------------------------------------------------------------------------------------- history


def _ruled_out(flags: Flags) -> Masks:
    """Open, but where it surely does not hold."""
    return Masks(~flags, np.ones(len(flags), bool))


def _rows(asked: _Asked) -> Ints:
    return np.arange(len(asked.legs)) if asked.rows is None else asked.rows


def _where(asked: _Asked) -> Stops:
    return asked.legs.stays if asked.subject == "stay" else asked.legs.places


def _first_visit(condition: FirstVisitCondition, asked: _Asked) -> Masks:
    return _ruled_out(past.was_there(condition, asked.legs, _rows(asked), asked.of(_where(asked).airport)))


def _rarity(condition: RarityCondition, asked: _Asked) -> Masks:
    named = bool(asked.target.airports or asked.target.countries)
    inside = _inside(asked.target, asked.legs) if named else None
    return _ruled_out(past.is_common(condition, asked.legs, _rows(asked), asked.of(_where(asked).airport), inside))


def _dormant(condition: DormantCondition | FirstSeenCondition, asked: _Asked) -> Masks:
    """A journey may be told from any of its legs up to this one."""
    legs = asked.legs
    if asked.subject != "journey" or legs.single:
        return _ruled_out(past.flew(condition, legs, _rows(asked)))
    rows = _rows(asked)
    touched = np.zeros(len(legs), bool)
    touched[legs.first[rows]] = True
    on_them = np.flatnonzero(touched[legs.first])
    may = np.zeros(len(legs), bool)
    may[on_them] = ~past.flew(condition, legs, on_them)
    return _ruled_out(~legs.ever_on_journey(may)[rows])


def _counted(condition: Condition, asked: _Asked) -> Masks:
    """Visits, where they are demanded by themselves: inside of others, what is not known may be let pass."""
    assert condition.visits is not None  # the caller looked
    rows = _rows(asked)
    from_ = asked.legs.first[rows] if asked.subject == "journey" else rows
    return _ruled_out(past.too_few(condition.visits, asked.legs, rows, from_, asked.of(_where(asked).airport)))


# ------------------------------------------------------------------------------------------------------------------- positions


def _position(condition: PositionCondition, asked: _Asked) -> Masks:
    """Of a journey, any of its legs up to this one may have been there."""
    fit = next((flags for known, flags in asked.legs.ways if known is condition), None)
    if fit is None:
        return _open(asked)
    return Masks(asked.of(asked.legs.ever_on_journey(fit) if asked.subject == "journey" else fit), np.ones(len(asked), bool))


_KINDS: dict[str, Callable[[Any, _Asked], Masks]] = {
    "aircraft": _aircraft,
    "origin": _origin,
    "destination": _destination,
    "via": _via,
    "at": _at,
    "position": _position,
    "time": _time,
    "duration": _duration,
    "dormant": _dormant,
    "first_seen": _dormant,
    "first_visit": _first_visit,
    "rarity": _rarity,
}
"""What columns can tell something of. All else is left open."""
