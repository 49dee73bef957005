"""Whether a rule holds for a journey or a leg, and why.

In: a rule, the stops of a journey with their probabilities, who the aircraft is, and a way to count history. Out: the
match, with the conditions that held and the values that they met. Logic is three-valued: a condition on something
that is not known is neither true nor false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from flightwatch.places import Airports, country_name
from flightwatch.records import Aircraft, Counted, Held, Journey, Stop, Target
from flightwatch.rules.language import (
    AircraftCondition,
    Condition,
    PlaceCondition,
    RarityCondition,
    Rule,
    conditions,
    names_somebody_or_somewhere,
)

Truth = bool | None

LEAST_OBSERVED_DAYS = 90
"""With fewer days of history nothing is called rare."""


Count = Callable[[str, Target], Counted]
"""Counts the visits of `tail`, `fleet`, `type` or `anybody` to a target, before the day of the flight."""


@dataclass(frozen=True)
class Case:
    """What a condition is tested on. A stop is None while it is left open.

    `factor` scales the probabilities that conditions demand; without `sure`, what is not known of the aircraft may
    still turn out to fit.
    """

    aircraft: Aircraft
    callsigns: tuple[str, ...]
    start: Stop | None
    place: Stop | None
    airports: Airports
    target: Target
    count: Count | None
    factor: float = 1.0
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """The truth of a condition and what made it so."""

    truth: Truth
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """A pair of stops of a journey for which a rule holds."""

    start: int
    place: int
    held: tuple[Held, ...]
    probability: float


def matches(
    rule: Rule,
    journey: Journey,
    aircraft: Aircraft,
    airports: Airports,
    count: Callable[[int], Count],
    factors: Sequence[float] | None = None,
) -> Iterator[Match]:
    """For each place that the journey came to, the shortest way there for which the rule holds.

    `count(leg)` counts as of the day of a leg; `factors` scale the demanded probabilities for the place at the end of
    each leg.
    """
    named = target_of(rule)
    for place in range(1, len(journey.stops)):
        target = named if named.airports or named.countries else Target(_one(journey.stops[place].airport), ())
        longest = place if rule.subject == "journey" else 1
        for length in range(1, longest + 1):
            start = place - length
            callsigns = tuple(leg.callsign for leg in journey.legs[start:place] if leg.callsign)
            factor = factors[place - 1] if factors else 1.0
            case = Case(
                aircraft, callsigns, journey.stops[start], journey.stops[place], airports, target, count(place - 1), factor
            )
            result = evaluate(rule.when, case)
            if result.truth:
                yield Match(start, place, result.held, place_probability(journey.stops[place], named, airports))
                break


def could_match(rule: Rule, aircraft: Aircraft, journey: Journey | None, airports: Airports) -> bool:
    """Whether the rule can still hold for this aircraft, wherever it goes: on the journey that it is on, or, without
    one, on any."""
    if journey is None:
        case = Case(aircraft, (), None, None, airports, Target((), ()), None, sure=False)
        return evaluate(rule.when, case).truth is not False
    starts = journey.stops[:-1] if rule.subject == "journey" else journey.stops[-2:-1]
    callsigns = tuple(leg.callsign for leg in journey.legs if leg.callsign)
    cases = (Case(aircraft, callsigns, start, None, airports, Target((), ()), None) for start in starts)
    return any(evaluate(rule.when, case).truth is not False for case in cases)


def target_of(rule: Rule) -> Target:
    """The places that the rule demands as a destination. Without any, history is asked about the place in question."""
    places = [c.destination for c in conditions(rule.when, denied=False) if c.destination]
    return Target(tuple(a for p in places for a in p.airport or ()), tuple(c for p in places for c in p.country or ()))


def evaluate(condition: Condition, case: Case) -> Result:
    if condition.all_ is not None:
        return _together(condition.all_, case)
    if condition.any_ is not None:
        return _either([evaluate(c, case) for c in condition.any_])
    if condition.not_ is not None:
        inner = evaluate(condition.not_, case).truth
        return Result(None if inner is None else not inner)
    if condition.aircraft is not None:
        return _aircraft(condition.aircraft, case)
    if condition.rarity is not None:
        return _rarity(condition.rarity, case)
    if condition.origin is not None:
        return _place("origin", condition.origin, case.start, case)
    assert condition.destination is not None  # a condition is one of these
    return _place("destination", condition.destination, case.place, case)


def _together(parts: Sequence[Condition], case: Case) -> Result:
    """All of them; the counting of history comes last, and not at all where something else fails. A rarity that is not
    known holds beside a condition that demands certain aircraft or places, and nowhere else."""
    results: dict[int, Result] = {}
    for i in sorted(range(len(parts)), key=lambda i: parts[i].rarity is not None):
        results[i] = evaluate(parts[i], case)
        if results[i].truth is False:
            return Result(False)
    whole = _all_of([results[i] for i in range(len(parts))])
    decided = case.count is not None  # else a place is open that will be known later
    if whole.truth is None and decided and any(map(names_somebody_or_somewhere, parts)):
        return Result(True, whole.held)
    return whole


def _all_of(results: Sequence[Result]) -> Result:
    truths = [r.truth for r in results]
    held = tuple(h for r in results for h in r.held)
    return Result(False if False in truths else None if None in truths else True, held)


def _either(results: Sequence[Result]) -> Result:
    truths = [r.truth for r in results]
    held = tuple(h for r in results if r.truth is not False for h in r.held)
    return Result(True if True in truths else None if None in truths else False, held)


def _aircraft(condition: AircraftCondition, case: Case) -> Result:
    known = {
        "watchlist": case.aircraft.watchlists,
        "registration": _one(case.aircraft.registration),
        "icao24": _one(case.aircraft.icao24),
        "typecode": _one(case.aircraft.typecode),
        "operator": _one(case.aircraft.operator),
        "callsign": case.callsigns,
    }
    results = []
    for name, values in known.items():
        wanted = getattr(condition, name)
        if wanted:
            met = [v for v in values if any(_glob(v, w) for w in wanted)]
            undecided = name != "watchlist" or any(_glob(v, w) for v in case.aircraft.undecided for w in wanted)
            open_ = not met and not case.sure and undecided
            results.append(
                Result(None if open_ else bool(met), (Held(f"{name} {', '.join(wanted)}", ", ".join(met)),) if met else ())
            )
    return _all_of(results)


def _one(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _glob(value: str, pattern: str) -> bool:
    return fnmatchcase(value.casefold(), pattern.casefold())


def _place(which: str, condition: PlaceCondition, stop: Stop | None, case: Case) -> Result:
    if stop is None:
        return Result(None)
    target = Target(tuple(condition.airport or ()), tuple(condition.country or ()))
    probability = place_probability(stop, target, case.airports)
    if probability < condition.probability * case.factor:
        return Result(False)
    wanted = ", ".join([*target.airports, *(country_name(c) for c in target.countries)])
    return Result(True, (Held(f"{which} {wanted} with at least {condition.probability:g}", f"{stop.basis}, {probability:.2f}"),))


def place_probability(stop: Stop, target: Target, airports: Airports) -> float:
    """The probability that a stop is one of the target's airports or lies in one of its countries."""
    if not target.airports and not target.countries:
        return max((c.probability for c in stop.candidates if airports.row(c.airport) is not None), default=0.0)
    total = sum(
        c.probability
        for c in stop.candidates
        if c.airport in target.airports or airports.country_of(c.airport) in target.countries
    )
    return round(min(total, 1.0), 4)


def _rarity(condition: RarityCondition, case: Case) -> Result:
    if case.count is None:
        return Result(None)
    name = f"rarity of {condition.of}: at most {condition.at_most}"
    if not (case.target.airports or case.target.countries):
        return _not_known(condition, name, "unknown: the place is not known")
    counted = case.count(condition.of, case.target)
    if counted.observed_days < LEAST_OBSERVED_DAYS:
        return _not_known(condition, name, f"unknown: {counted.observed_days} observed days are too few")
    rare = counted.count / counted.observed_days <= condition.per_day
    return Result(rare, (Held(name, f"{counted.count} in {counted.observed_days} observed days"),) if rare else ())


def _not_known(condition: RarityCondition, name: str, why: str) -> Result:
    truth = {"match": True, "skip": False, None: None}[condition.unknown]
    return Result(truth, (Held(name, why),) if truth is not False else ())
