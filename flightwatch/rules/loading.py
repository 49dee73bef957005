"""Rule files: read, checked, and tested by the tests that stand in them.

A file holds a list of rules. Everything that can be wrong is told at once, with its line: what the language does not
know, double ids, lists, channels, airports and countries that do not exist.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from flightwatch.aircraft import Registry
from flightwatch.documents import Document, Path_, load, nearest, validate
from flightwatch.errors import ConfigError, Problem
from flightwatch.places import Airports, country_code, country_names
from flightwatch.records import UNKNOWN, Aircraft, Candidate, Counted, End, Journey, Leg, Stop, Target
from flightwatch.rules.evaluation import Count, matches
from flightwatch.rules.language import HISTORY, LEG, Given, InlineTest, Rule, RuleFile, conditions


@dataclass(frozen=True)
class Rules:
    """The rules that are in force, and where each comes from."""

    rules: tuple[Rule, ...]
    documents: tuple[Document, ...]


def read_rules(paths: Iterable[Path], registry: Registry, airports: Airports, channels: Collection[str] | None) -> Rules:
    """Reads rule files. Raises ConfigError with the problems of all of them. `channels` are the names that `notify`
    may use besides `all`; they are not checked where it is None."""
    problems: list[Problem] = []
    rules: list[Rule] = []
    documents = []
    for path in paths:
        try:
            document, found = _read_file(path)
        except ConfigError as error:
            problems += error.problems
            continue
        documents.append(document)
        for index, rule in enumerate(found):
            if rule.id in {r.id for r in rules}:
                problems.append(
                    document.problem((index, "id"), f"two rules have the id `{rule.id}`: ids are unique over all files")
                )
            problems += _unknown_names(rule, (index,), document, registry, airports, channels)
            rules.append(rule)
    if problems:
        raise ConfigError(problems)
    return Rules(tuple(rules), tuple(documents))


def _read_file(path: Path) -> tuple[Document, list[Rule]]:
    document = load(path)
    if not isinstance(document.content, list):
        raise ConfigError([document.problem((), "a rule file is a list: begin each rule with `- id:`")])
    try:
        file = validate(
            Document(document.file, None, {("rules", *p): place for p, place in document.places.items()}),
            RuleFile,
            {"rules": document.content},
        )
    except ConfigError as error:
        raise ConfigError([Problem(p.file, p.line, p.message, p.column) for p in error.problems]) from None
    return document, file.rules


def _unknown_names(
    rule: Rule, at: Path_, document: Document, registry: Registry, airports: Airports, channels: Collection[str] | None
) -> list[Problem]:
    problems = []
    lists = [w.name for w in registry.watchlists]
    for condition in conditions(rule.when):
        places = [p for p in (condition.origin, condition.destination) if p]
        aircraft = condition.aircraft
        for name in (aircraft.watchlist or ()) if aircraft else ():
            if name not in lists:
                problems.append((name, "watchlist", lists))
        for code in (c for p in places for c in p.country or ()):
            if code not in country_names():
                meant = country_code(code)
                problems.append((code, "country (two capital letters)", [meant] if meant else list(country_names())))
        for code in (a for p in places for a in p.airport or ()):
            if not airports.is_airport(code):
                problems.append((code, "airport ident", airports.meant_by(code) or airports.named(code) or airports.ident))
    for code in (c for t in rule.tests for leg in [*t.given.legs, *(t.given.history or ())] for c in _codes(leg)):
        if not airports.readings(code):
            problems.append((code, "airport", airports.ident))
    if channels is not None:
        valid = [*channels, "all"]
        problems += [(name, "channel", valid) for name in rule.notify if name not in valid]
    return [
        document.problem(_find(document, at, name), f"`{name}` is no {what} that is known{_hint(name, valid)}")
        for name, what, valid in problems
    ]


def _codes(leg: str) -> tuple[str, ...]:
    """The two airports of a leg, dated or not."""
    match = LEG.fullmatch(leg.split()[0])
    return match.groups() if match else ()


def _hint(name: str, valid: Sequence[str]) -> str:
    if len(valid) == 1:
        return f": did you mean `{valid[0]}`?"
    close = nearest(name, valid)
    return close or (f": it means one of {', '.join(valid)}" if len(valid) <= MOST_MEANT else "")


def _find(document: Document, at: Path_, value: str) -> Path_:
    """Where a value stands below a part of a document."""
    for path in document.places:
        if path[: len(at)] == at:
            part = document.content
            for step in path:
                part = part[step]
            if part == value or (isinstance(part, list) and value in part and path[-1] in ("notify",)):
                return path
            if path[-1] in ("legs", "history") and isinstance(part, list) and any(value in _codes(str(leg)) for leg in part):
                return path
    return at


# ----------------------------------------------------------------------------------------------------------------- inline tests


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What an inline test came to."""

    rule_id: str
    name: str
    passed: bool
    detail: str


MOST_MEANT = 12
"""A code that stands for no more airports than this is answered with all of them."""

TEST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
"""The day of the flights in inline tests without a history."""


def run_tests(rules: Iterable[Rule], registry: Registry, airports: Airports) -> list[TestOutcome]:
    """Runs the tests that stand in the rules."""
    return [_run(rule, test, registry, airports) for rule in rules for test in rule.tests]


def _run(rule: Rule, test: InlineTest, registry: Registry, airports: Airports) -> TestOutcome:
    aircraft = _aircraft(test.given, registry)
    journey = _journey(test.given, airports)
    found = next(matches(rule, journey, aircraft, airports, lambda _: _counter(test.given, airports)), None)
    got = "match" if found else "no match"
    detail = "; ".join(f"{h.condition}: {h.value}" for h in found.held) if found else ""
    return TestOutcome(
        rule.id, test.name, got == test.expect, detail if got == test.expect else f"expected {test.expect}, got {got}"
    )


def _aircraft(given: Given, registry: Registry) -> Aircraft:
    address = registry.address(given.aircraft)
    known = registry.who(
        address or "",
        TEST_DAY.date(),
        registration=None if address else given.aircraft.upper(),
        typecode=given.typecode,
        callsigns=(given.callsign,) if given.callsign else (),
    )
    return known if given.typecode is None else replace(known, typecode=given.typecode)


def _journey(given: Given, airports: Airports) -> Journey:
    pairs = [match.groups() for leg in given.legs if (match := LEG.fullmatch(leg))]
    codes = airports.resolve(code for pair in pairs for code in pair)
    legs = tuple(_leg(given, codes[a], codes[b], TEST_DAY + i * timedelta(hours=10)) for i, (a, b) in enumerate(pairs))
    ends = [legs[0].origin, *(leg.destination for leg in legs)]
    return Journey("test", legs, tuple(Stop(end.candidates, end.basis) for end in ends))


def _leg(given: Given, origin: str, destination: str, start: datetime) -> Leg:
    landing = start + timedelta(hours=9)
    ends = [
        End(code, "observed", 1.0, (Candidate(code, 1.0), Candidate(UNKNOWN, 0.0)), "given", t, t, t)
        for code, t in ((origin, start), (destination, landing))
    ]
    return Leg(
        leg_id=f"test-{start:%H}",
        revision=1,
        journey_id="test",
        icao24=None,
        registration=None,
        typecode=None,
        operator=None,
        callsign=given.callsign,
        first_seen=start,
        last_seen=landing,
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
    )


def _counter(given: Given, airports: Airports) -> Count:
    """Counts the flights of `history`, seen from its first day on; without one nothing has been observed."""
    dated = [(LEG.fullmatch(m[1]), date.fromisoformat(m[2])) for item in given.history or () if (m := HISTORY.fullmatch(item))]
    codes = airports.resolve(leg[2] for leg, _ in dated if leg)
    days = (TEST_DAY.date() - min((day for _, day in dated), default=TEST_DAY.date())).days

    def count(of: str, target: Target) -> Counted:
        there = [codes[leg[2]] for leg, _ in dated if leg]
        hits = sum(code in target.airports or airports.country_of(code) in target.countries for code in there)
        return Counted(hits, days)

    return count
