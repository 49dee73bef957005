"""Whether a rule holds for a journey, a leg, a stay or an event, and why.

In: a rule, what happened with its probabilities, who the aircraft is, and its history. Out: the matches, with the
conditions that held and the values that they met. Logic is three-valued: a condition on something that is not known is
neither true nor false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flightwatch.places import Airports
from flightwatch.records import Aircraft, Event, Held, Journey, Leg, Stop, Target
from flightwatch.rules import conditions as kinds
from flightwatch.rules.cases import Case, History, Result, all_of, any_of, negated
from flightwatch.rules.conditions import place_probability, target_of_place
from flightwatch.rules.language import Condition, PositionCondition, Rule, conditions, names_somebody_or_somewhere
from flightwatch.rules.remembering import remembered

_TESTS: dict[str, Callable[[Any, Case], Result]] = {
    "aircraft": kinds.aircraft,
    "origin": kinds.origin,
    "destination": kinds.destination,
    "via": kinds.via,
    "at": kinds.at,
    "position": kinds.position,
    "time": kinds.time_,
    "duration": kinds.duration,
    "visits": kinds.visits,
    "dormant": kinds.dormant,
    "first_seen": kinds.first_seen,
    "first_visit": kinds.first_visit,
    "rarity": kinds.rarity,
    "event": kinds.event,
    "squawk": kinds.squawk,
    "together": kinds.together,
}

COUNTING = ("visits", "after", "dormant", "first_seen", "first_visit", "rarity")
"""What asks history, and is asked last."""


@dataclass(frozen=True, slots=True)
class Match:
    """A pair of stops of a journey for which a rule holds."""

    start: int
    place: int
    held: tuple[Held, ...]
    probability: float


@dataclass(frozen=True, slots=True)
class Onward:
    """The flight with which an aircraft left the last stop of a journey, and the stop as both flights tell of it."""

    leg: Leg
    stop: Stop


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rule says of a pair of stops."""

    start: int
    place: int
    result: Result


def answers(
    rule: Rule,
    journey: Journey,
    aircraft: Aircraft,
    airports: Airports,
    history: Callable[[int], History],
    onward: Onward | None = None,
) -> Iterator[Answer]:
    """For each place that the journey came to what the rule says of the shortest way there for which it holds, or may, or,
    if there is none, of the shortest way at all."""
    best: dict[int, Answer] = {}
    for start, place, case in cases(rule, journey, aircraft, airports, history, None, onward):
        found = Answer(start, place, evaluate(rule.when, case))
        if place not in best or _worth(found.result) > _worth(best[place].result):
            best[place] = found
    yield from best.values()


def _worth(result: Result) -> int:
    return {True: 2, None: 1, False: 0}[result.truth]


def matches(
    rule: Rule,
    journey: Journey,
    aircraft: Aircraft,
    airports: Airports,
    history: Callable[[int], History],
    factors: Sequence[float] | None = None,
    onward: Onward | None = None,
) -> Iterator[Match]:
    """For each place that the journey came to, the shortest way there for which the rule holds.

    `history(leg)` counts as of the day of a leg; `factors` scale the demanded probabilities for the place at the end of
    each leg.
    """
    named, done = target_of(rule), 0
    for start, place, case in cases(rule, journey, aircraft, airports, history, factors, onward):
        if place > done and (found := evaluate(rule.when, case)).truth and case.place is not None:
            yield Match(start, place, found.held, place_probability(case.place, named, airports))
            done = place


def cases(
    rule: Rule,
    journey: Journey,
    aircraft: Aircraft,
    airports: Airports,
    history: Callable[[int], History],
    factors: Sequence[float] | None = None,
    onward: Onward | None = None,
) -> Iterator[tuple[int, int, Case]]:
    """What a rule is asked of on a journey, with the numbers of the stops: each place, from the nearest start to the
    farthest."""
    named = target_of(rule)
    for place in range(1, len(journey.stops)):
        last = journey.legs[place - 1]
        if has_expired(rule, last.first_seen or last.origin.time or last.destination.time):
            continue
        stop, departure, beyond = journey.stops[place], None, None
        if rule.subject == "stay":
            if place < len(journey.legs):
                departure, beyond = journey.legs[place], journey.stops[place + 1]
            elif onward is not None:
                departure, stop = onward.leg, onward.stop
                beyond = Stop(departure.destination.candidates, departure.destination.basis)
            else:
                continue
        target = named if named.airports or named.countries else Target(_one(stop.airport), ())
        for length in range(1, (place if rule.subject == "journey" else 1) + 1):
            start = place - length
            way = journey.legs[start:place]
            yield (
                start,
                place,
                Case(
                    aircraft,
                    airports,
                    callsigns=tuple(leg.callsign for leg in way if leg.callsign),
                    start=journey.stops[start],
                    place=stop,
                    between=journey.stops[start + 1 : place],
                    onward=beyond,
                    way=way,
                    departure=departure,
                    target=target,
                    history=history(place - 1),
                    factor=factors[place - 1] if factors else 1.0,
                ),
            )


def has_expired(rule: Rule, began: datetime | None) -> bool:
    """Whether a rule was over on the day when something began. What began before goes on being told."""
    return rule.expires is not None and began is not None and began.date() >= rule.expires


def event_case(event: Event, everybody: Sequence[Aircraft], airports: Airports) -> Case:
    """An event as a case."""
    return Case(everybody[0], airports, event=event, everybody=tuple(everybody))


def is_about(rule: Rule, aircraft: Aircraft, airports: Airports) -> bool:
    """Whether the rule is not about others by what it demands of aircraft."""
    return evaluate(rule.when, Case(aircraft, airports, aircraft.callsigns)).truth is not False


def could_match(rule: Rule, aircraft: Aircraft, journey: Journey | None, airports: Airports) -> bool:
    """Whether the rule can still hold for this aircraft, wherever it goes: on the journey that it is on, or, without
    one, on any."""
    if rule.subject == "event":
        return False
    if journey is None:
        return evaluate(rule.when, Case(aircraft, airports, sure=False)).truth is not False
    starts = range(len(journey.legs)) if rule.subject == "journey" else [len(journey.legs) - 1]
    callsigns = tuple(leg.callsign for leg in journey.legs if leg.callsign)
    open_ = [Case(aircraft, airports, callsigns, journey.stops[start]) for start in starts]
    return any(evaluate(rule.when, case).truth is not False for case in open_)


@remembered
def target_of(rule: Rule) -> Target:
    """The places that the rule demands as a destination, or as the place of a stay. Without any, history is asked about the
    place in question."""
    found = conditions(rule.when, denied=False)
    named = [p for c in found if (p := c.at if rule.subject == "stay" else c.destination) is not None]
    targets = [target_of_place(p) for p in named]
    return Target(
        tuple(a for t in targets for a in t.airports),
        tuple(c for t in targets for c in t.countries),
        ", ".join(kinds.place_words(p) for p in named) if any(t.name for t in targets) else "",
    )


def positions_of(rule: Rule) -> tuple[PositionCondition, ...]:
    """What the rule demands of where, how high and how fast an aircraft flies."""
    return tuple(c.position for c in rule.when.all_ or [rule.when] if c.position is not None)


def evaluate(condition: Condition, case: Case) -> Result:
    if condition.all_ is not None:
        return _together(condition.all_, case)
    if condition.any_ is not None:
        return any_of([evaluate(part, case) for part in condition.any_])
    if condition.not_ is not None:
        return negated(evaluate(condition.not_, case))
    if condition.after is not None:
        return kinds.after(condition.after, case, evaluate)
    kind = _kind(condition)
    return _TESTS[kind](getattr(condition, kind), case)


@remembered
def _kind(condition: Condition) -> str:
    return condition.kind


@remembered
def _in_turn(parts: Sequence[Condition]) -> list[int]:
    """The conditions in the order in which they are asked: what counts history comes last."""
    return sorted(range(len(parts)), key=lambda i: _counts(parts[i]))


def _together(parts: Sequence[Condition], case: Case) -> Result:
    """All of them; the counting of history comes last, and not at all where something else fails. A history that is not
    known holds beside a condition that demands certain aircraft or places, and nowhere else."""
    results: dict[int, Result] = {}
    for i in _in_turn(parts):
        results[i] = evaluate(parts[i], case)
        if results[i].truth is False:
            return Result(False, missed=results[i].missed)
    whole = all_of([results[i] for i in range(len(parts))])
    decided = case.history is not None  # else a place is open that will be known later
    waived = whole.truth is None and all(r.truth is not None or _asks_how_rare(parts[i]) for i, r in results.items())
    if waived and decided and any(map(names_somebody_or_somewhere, parts)):
        return replace(whole, truth=True)
    return whole


def _counts(condition: Condition) -> bool:
    return any(getattr(part, name) is not None for part in conditions(condition) for name in COUNTING)


def _asks_how_rare(condition: Condition) -> bool:
    return any(part.rarity or part.first_visit for part in conditions(condition))


def _one(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)
