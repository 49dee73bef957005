"""The tests that stand in rules, run: a made-up flight or event, and whether the rule holds for it.

In: rules with their tests. Out: what each came to. Nothing of a store is asked: history is what the test gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np

from flightwatch.aircraft import Registry
from flightwatch.places import Airports
from flightwatch.records import (
    CODE,
    EMERGENCY,
    EMERGENCY_CODES,
    JOURNEY_BREAK,
    UNKNOWN,
    WAYPOINT,
    Aircraft,
    Candidate,
    Counted,
    End,
    Event,
    Journey,
    Leg,
    Stop,
    Target,
)
from flightwatch.rules.cases import Result
from flightwatch.rules.evaluation import Onward, cases, evaluate, event_case
from flightwatch.rules.language import LEG, Given, GivenEvent, InlineTest, Rule, utc

TEST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
"""The day of the flights in tests that name none."""

FLOWN, EVERY = timedelta(hours=9), timedelta(hours=10)
"""How long a flight without times takes, and how often there is one."""


MOST_TOLD = 3
"""Ways of a journey on which it is told why a rule did not hold."""


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What an inline test came to; `number` is its place among those of the rule. `detail` says what held, or what did not
    though it should have."""

    rule_id: str
    number: int
    name: str
    passed: bool
    detail: str


def run_tests(rules: Iterable[Rule], registry: Registry, airports: Airports) -> list[TestOutcome]:
    """Runs the tests that stand in the rules."""
    return [_run(rule, number, test, registry, airports) for rule in rules for number, test in enumerate(rule.tests)]


def _run(rule: Rule, number: int, test: InlineTest, registry: Registry, airports: Airports) -> TestOutcome:
    asked = (_asked_of_event if test.given.event else _asked_of_legs)(rule, test.given, registry, airports)
    held = next((result for _, result in asked if result.truth), None)
    got = "no match" if held is None else "match"
    detail = _facts(held) if held else _why_not(asked)
    if got != test.expect:
        detail = f"expected {test.expect}, got {got}: {detail}"
    return TestOutcome(rule.id, number, test.name, got == test.expect, detail)


def _why_not(asked: Sequence[tuple[str, Result]]) -> str:
    if not asked:
        return "there is nothing to ask: no stay that is over, or the rule has expired"
    told = [f"{name}: {_facts(result)}" if len(asked) > 1 else _facts(result) for name, result in asked[:MOST_TOLD]]
    return "; ".join(told) + (f"; and {len(asked) - MOST_TOLD} more" if len(asked) > MOST_TOLD else "")


def _facts(result: Result) -> str:
    facts = result.missed if result.truth is False else result.held
    told = "; ".join(f"{fact.condition}: {fact.value}" for fact in facts)
    return told if result.truth is not None else f"not known whether {told}" if told else "there is nothing to ask"


def _asked_of_legs(rule: Rule, given: Given, registry: Registry, airports: Airports) -> list[tuple[str, Result]]:
    """What came of each case that the legs are for a rule, by the airports of its way."""
    legs = _legs(given, airports)
    aircraft = _aircraft(given.aircraft, given, registry)
    histories = [GivenHistory(given, legs[:i], leg, airports) for i, leg in enumerate(legs)]
    out = []
    for first, last in _journeys(legs):
        ends = [legs[first].origin, *(leg.destination for leg in legs[first:last])]
        stops = tuple(Stop(end.candidates, end.basis) for end in ends)
        onward = Onward(legs[last], stops[-1]) if last < len(legs) and rule.subject == "stay" else None
        journey = Journey("test", tuple(legs[first:last]), stops)
        for start, place, case in cases(rule, journey, aircraft, airports, histories[first:last].__getitem__, None, onward):
            name = "-".join(end.airport or "" for end in ends[start : place + 1])
            out.append((name, evaluate(rule.when, case)))
    return out


def _journeys(legs: Sequence[Leg]) -> list[tuple[int, int]]:
    """The journeys of the legs, each as the first of its legs and the one behind its last."""
    stays = [(b.origin.time or TEST_DAY) - (a.destination.time or TEST_DAY) for a, b in pairwise(legs)]
    cuts = [0, *(i for i, stay in enumerate(stays, 1) if stay >= JOURNEY_BREAK), len(legs)]
    return list(pairwise(cuts))


def _asked_of_event(rule: Rule, given: Given, registry: Registry, airports: Airports) -> list[tuple[str, Result]]:
    made_up = given.event
    assert made_up is not None  # the caller looked
    known = replace(_aircraft(given.aircraft, given, registry), callsigns=(given.callsign,) if given.callsign else ())
    everybody = [known, *(_aircraft(name, Given(aircraft=name, event=made_up), registry) for name in made_up.others)]
    event = _event(made_up, everybody, airports)
    return [(event.kind, evaluate(rule.when, event_case(event, everybody, airports)))]


def _event(given: GivenEvent, everybody: Sequence[Aircraft], airports: Airports) -> Event:
    place = airports.get(given.airports[0]) if given.airports else None
    kind, reason = given.kind or (EMERGENCY if given.squawk in EMERGENCY_CODES else CODE), given.squawk or given.reason
    latitude, longitude = given.at or ((place.latitude, place.longitude) if place else (0.0, 0.0))
    return Event(
        event_id="test",
        kind=kind,
        reason=reason,
        aircraft=tuple(one.icao24 or "" for one in everybody),
        since=TEST_DAY,
        until=TEST_DAY,
        south=latitude,
        west=longitude,
        north=latitude,
        east=longitude,
        count=1,
        airports=tuple(given.airports),
        probability=given.probability,
    )


def _aircraft(name: str, given: Given, registry: Registry) -> Aircraft:
    address = registry.address(name)
    known = registry.who(
        address or "",
        TEST_DAY.date(),
        registration=None if address else name.upper(),
        typecode=given.typecode,
        operator=given.operator,
        callsigns=(given.callsign,) if given.callsign else (),
    )
    return replace(known, typecode=given.typecode or known.typecode, operator=given.operator or known.operator)


def _legs(given: Given, airports: Airports) -> list[Leg]:
    texts = [text.split() for text in given.legs]
    pairs = [match.groups() for words in texts if (match := LEG.fullmatch(words[0]))]
    codes = airports.resolve(code for pair in pairs for code in pair)
    out = []
    for i, (words, (a, b)) in enumerate(zip(texts, pairs, strict=True)):
        begins = TEST_DAY + i * EVERY
        times = [utc(words[1]), utc(words[2])] if len(words) == 3 else [begins, begins + FLOWN]
        way = given.way if i == len(texts) - 1 else []
        out.append(_leg(f"test-{i}", given, (codes[a], codes[b]), (times[0], times[1]), way))
    return out


def _leg(
    leg_id: str,
    given: Given,
    codes: tuple[str, str],
    times: tuple[datetime, datetime],
    way: Sequence[tuple[float, float, float]] = (),
) -> Leg:
    ends = [
        End(code, "observed", 1.0, (Candidate(code, 1.0), Candidate(UNKNOWN, 0.0)), "given", t, t, t)
        for code, t in zip(codes, times, strict=True)
    ]
    return Leg(
        leg_id=leg_id,
        revision=1,
        journey_id="test",
        icao24=None,
        registration=None,
        typecode=None,
        operator=None,
        callsign=given.callsign,
        first_seen=times[0],
        last_seen=times[1],
        origin=ends[0],
        destination=ends[1],
        landed_probability=1.0,
        status="landed",
        gaps=(),
        longest_gap_s=0.0,
        distance_nm=0.0,
        positions=0,
        model="",
        source="listed",
        feeds=(),
        way=_waypoints(way, times),
    )


def _waypoints(way: Sequence[tuple[float, float, float]], times: tuple[datetime, datetime]) -> bytes:
    """A way that took all of the flight's time."""
    points = np.zeros(len(way), WAYPOINT)
    points["time"] = np.linspace(times[0].timestamp(), times[1].timestamp(), len(way))
    for column, name in enumerate(("latitude", "longitude", "altitude")):
        points[name] = [point[column] for point in way]
    return points.tobytes()


class GivenHistory:
    """The `history` of a test, with its flights before the one in question."""

    def __init__(self, given: Given, earlier: Sequence[Leg], leg: Leg, airports: Airports) -> None:
        began = leg.first_seen or TEST_DAY
        listed = [text.split() for text in given.history or ()]
        pairs = [match.groups() for words in listed if (match := LEG.fullmatch(words[0]))]
        codes = airports.resolve(code for pair in pairs for code in pair)
        self._day = began.date()
        self._airports = airports
        dated = [(codes[a], codes[b], utc(words[1])) for (a, b), words in zip(pairs, listed, strict=True)]
        past = [_leg(f"past-{i}", given, (a, b), (t, t)) for i, (a, b, t) in enumerate(dated) if t < began]
        self._earlier = [*sorted(past, key=_landed), *earlier]
        self._watched_since = given.watched_since or min((_landed(leg).date() for leg in self._earlier), default=self._day)

    def count(self, of: str, target: Target, since: datetime | None = None) -> Counted:
        first = max(self._watched_since, since.date() if since else date.min)
        there = [
            leg
            for leg in self._earlier
            if _landed(leg).date() < self._day and (since is None or _landed(leg) >= since) and self._is_there(leg, target)
        ]
        watched = sum(_landed(leg).date() >= self._watched_since for leg in there)
        return Counted(watched, max((self._day - first).days, 0), len(there) - watched)

    def visited(self, target: Target) -> int:
        return sum(self._is_there(leg, target) for leg in self._earlier)

    def flights(self, since: datetime | None = None) -> Sequence[Leg]:
        return [leg for leg in self._earlier if since is None or _landed(leg) >= since]

    def _is_there(self, leg: Leg, target: Target) -> bool:
        code = leg.destination.airport
        return code in target.airports or self._airports.country_of(code) in target.countries


def _landed(leg: Leg) -> datetime:
    return leg.destination.time or TEST_DAY
