"""Rule files: read and checked.

A file holds a list of rules, or a mapping with `define:` and `rules:`; what one file defines, all of them may use.
Everything that can be wrong is told at once, with its line: what the language does not know, double ids, names that stand
for nothing (lists, regions, conditions, watchlists, channels, airports, countries), conditions that cannot be asked of a
rule's subject.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flightwatch.aircraft import Registry
from flightwatch.documents import Document, Path_, load, nearest, validate
from flightwatch.errors import ConfigError, InputError, Problem
from flightwatch.places import Airports, country_code, country_names
from flightwatch.places.regions import polygon, read_region
from flightwatch.rules.definitions import Names, Undefined, resolved, undefined
from flightwatch.rules.language import (
    LEG,
    LIST,
    MEANT_FOR,
    OF_A_PAST_LEG,
    Condition,
    Definitions,
    Rule,
    RuleFile,
    conditions,
    places,
)

MOST_MEANT = 12
"""A code that stands for no more airports than this is answered with all of them."""


@dataclass(frozen=True)
class Rules:
    """The rules that are in force, and where each comes from."""

    rules: tuple[Rule, ...]
    documents: tuple[Document, ...]


def read_rules(paths: Iterable[Path], registry: Registry, airports: Airports, channels: Collection[str] | None) -> Rules:
    """Reads rule files. Raises ConfigError with the problems of all of them. `channels` are the names that `notify`
    may use besides `all`; they are not checked where it is None."""
    problems: list[Problem] = []
    files: list[tuple[Document, RuleFile, Path_]] = []
    for path in paths:
        try:
            files.append(_read_file(path))
        except ConfigError as error:
            problems += error.problems
    names = Names()
    for document, file, _ in files:
        problems += _define(names, file.define, document)
    rules: list[Rule] = []
    for document, file, root in files:
        for index, rule in enumerate(file.rules):
            at = (*root, index)
            if rule.id in {r.id for r in rules}:
                problems.append(
                    document.problem((*at, "id"), f"two rules have the id `{rule.id}`: ids are unique over all files")
                )
            found = _problems(rule, at, document, names, registry, airports, channels)
            problems += found
            rules.append(rule if found else rule.model_copy(update={"when": resolved(rule.when, names, airports)}))
    if problems:
        raise ConfigError(problems)
    return Rules(tuple(rules), tuple(document for document, _, _ in files))


def _read_file(path: Path) -> tuple[Document, RuleFile, Path_]:
    """The file, and the path in it to its rules."""
    document = load(path)
    if isinstance(document.content, dict) and "rules" in document.content:
        return document, validate(document, RuleFile), ("rules",)
    if not isinstance(document.content, list):
        raise ConfigError([document.problem((), "a rule file is a list: begin each rule with `- id:`, or has `rules:`")])
    try:
        file = validate(
            Document(document.file, None, {("rules", *p): place for p, place in document.places.items()}),
            RuleFile,
            {"rules": document.content},
        )
    except ConfigError as error:
        raise ConfigError([Problem(p.file, p.line, p.message, p.column) for p in error.problems]) from None
    return document, file, ()


def _define(names: Names, define: Definitions, document: Document) -> list[Problem]:
    """Takes the definitions of a file in; what is wrong with them."""
    problems = []
    for kind, known in (("lists", names.lists), ("regions", names.regions), ("conditions", names.conditions)):
        for name in getattr(define, kind):
            if name in known:
                told = f"`{name}` is defined twice: names are unique over all files"
                problems.append(document.problem(("define", kind, name), told))
    names.lists |= define.lists
    names.conditions |= define.conditions
    for name, region in define.regions.items():
        try:
            names.regions[name] = (
                read_region(name, Path(document.file).parent / region.file)
                if region.file is not None
                else polygon(name, [(lon, lat) for lat, lon in region.corners or ()])
            )
        except InputError as error:
            problems.append(document.problem(("define", "regions", name), str(error)))
    return problems


def _problems(
    rule: Rule,
    at: Path_,
    document: Document,
    names: Names,
    registry: Registry,
    airports: Airports,
    channels: Collection[str] | None,
) -> list[Problem]:
    """What is wrong with a rule that the language alone does not know."""
    unknown = [*undefined(rule.when, names, airports), *_unknown_names(rule, names, registry, airports, channels)]
    found = [document.problem(_find(document, at, one.name), _told(one)) for one in dict.fromkeys(unknown)]
    if not found:
        whole = resolved(rule.when, names, airports)
        found = [document.problem((*at, "when"), told) for told in _out_of_place(rule, whole)]
    if rule.quiet is not None:
        try:
            ZoneInfo(rule.quiet.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            told = f"`{rule.quiet.zone}` is no time zone: write one like Europe/Berlin"
            found.append(document.problem((*at, "quiet", "zone"), told))
    return found


def _out_of_place(rule: Rule, when: Condition) -> list[str]:
    """Conditions that cannot be asked of the rule's subject, or of an earlier flight."""
    told = []
    for condition in conditions(when):
        meant = MEANT_FOR.get(condition.kind)
        if meant is not None and rule.subject not in meant:
            told.append(f"`{condition.kind}` cannot be asked of a {rule.subject}: it is for `subject: {' or '.join(meant)}`")
        if condition.after is not None:
            inner = [c.kind for c in conditions(condition.after.leg) if c.kind not in OF_A_PAST_LEG]
            told += [f"`{kind}` cannot be asked of the earlier flight of `after`" for kind in inner]
    return list(dict.fromkeys(told))


def _unknown_names(
    rule: Rule, names: Names, registry: Registry, airports: Airports, channels: Collection[str] | None
) -> list[Undefined]:
    used = [name for c in conditions(rule.when) if (name := c.use) in names.conditions]
    told = [rule.when, *(names.conditions[name] for name in used if name is not None)]
    inner = [c.after.leg for w in told for c in conditions(w) if c.after]
    problems = []
    lists = tuple(w.name for w in registry.watchlists)
    for condition in (c for part in (*told, *inner) for c in conditions(part)):
        aircraft = [a for a in (condition.aircraft, condition.together.aircraft if condition.together else None) if a]
        for name in _written(w for a in aircraft for w in a.watchlist or ()):
            if name not in lists:
                problems.append(Undefined(name, "watchlist", lists))
        countries = [p.country for p in places(condition)] + [a.country for a in aircraft]
        for code in _written((c for found in countries for c in found or ()), names):
            if code not in country_names():
                meant = country_code(code)
                problems.append(Undefined(code, "country (two capital letters)", (meant,) if meant else tuple(country_names())))
        for code in _written((a for p in places(condition) for a in p.airport or ()), names):
            if not airports.is_airport(code):
                meant_by = airports.meant_by(code) or airports.named(code) or airports.ident
                problems.append(Undefined(code, "airport ident", tuple(meant_by)))
    given = [leg for t in rule.tests for leg in [*t.given.legs, *(t.given.history or ())]]
    for code in (c for leg in given for c in codes(leg)):
        if not airports.readings(code):
            problems.append(Undefined(code, "airport", tuple(airports.ident)))
    if channels is not None:
        valid = (*channels, "all")
        problems += [Undefined(name, "channel", valid) for name in rule.notify if name not in valid]
    return problems


def _written(words: Iterable[str], names: Names | None = None) -> list[str]:
    """Words, with those of defined lists."""
    out = []
    for word in words:
        if not word.startswith(LIST):
            out.append(word)
        elif names is not None:
            out += names.lists.get(word.removeprefix(LIST), [])
    return out


def codes(leg: str) -> tuple[str, ...]:
    """The two airports of a leg, dated or not."""
    match = LEG.fullmatch(leg.split()[0])
    return match.groups() if match else ()


def _told(unknown: Undefined) -> str:
    return f"`{unknown.name}` is no {unknown.what} that is known{_hint(unknown.name, unknown.valid)}"


def _hint(name: str, valid: Sequence[str]) -> str:
    if len(valid) == 1:
        return f": did you mean `{valid[0]}`?"
    close = nearest(name, valid)
    return close or (f": it means one of {', '.join(valid)}" if 0 < len(valid) <= MOST_MEANT else "")


def _find(document: Document, at: Path_, value: str) -> Path_:
    """Where a value stands below a part of a document, or, if not there, among its definitions."""
    for inside in (at, ("define",)):
        for path in document.places:
            if path[: len(inside)] == inside:
                part: Any = document.content
                for step in path:
                    part = part[step]
                if part == value or (isinstance(part, list) and value in part and path[-1] in ("notify",)):
                    return path
                flights = part if path[-1] in ("legs", "history") and isinstance(part, list) else ()
                if any(value in codes(str(leg)) for leg in flights):
                    return path
    return at
