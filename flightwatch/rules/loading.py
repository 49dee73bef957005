"""Rule files: read and checked.

A file holds a list of rules, or a mapping with `define:` and `rules:`, or one of them; what one file defines, all may use.
Everything that can be wrong is told at once, with its line: what the language does not know, double ids, names that stand
for nothing (lists, regions, conditions, watchlists, channels, airports, countries), conditions that cannot be asked of a
rule's subject.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel

from flightwatch.aircraft import Registry
from flightwatch.documents import Document, Path_, load, nearest, validate
from flightwatch.errors import ConfigError, InputError, Problem
from flightwatch.places import Airports, country_code, country_names
from flightwatch.places.regions import Region, polygon, read_region
from flightwatch.rules.conditions import area_words
from flightwatch.rules.definitions import Asked, Endless, Names, Word, followed, located, parts_of, resolved, written_out
from flightwatch.rules.language import (
    ADDRESS,
    LEG,
    LIST,
    MEANT_FOR,
    OF_A_PAST_LEG,
    AircraftCondition,
    Area,
    Condition,
    Definitions,
    Near,
    PlaceCondition,
    Rule,
    RuleFile,
    places,
    wrong_squawk,
)

MOST_MEANT = 12
"""A code that stands for no more airports than this is answered with all of them."""


@dataclass(frozen=True)
class Rules:
    """The rules that are in force, and where they come from; `places` tell by the id of a rule where it stands."""

    rules: tuple[Rule, ...]
    documents: tuple[Document, ...]
    places: Mapping[str, tuple[Document, Path_]] = field(default_factory=dict)

    def problem(self, rule_id: str, path: Path_, message: str) -> Problem:
        """A problem at a part of a rule."""
        document, at = self.places[rule_id]
        return document.problem((*at, *path), message)


@dataclass(frozen=True)
class _Known:
    """What the words of rules may mean."""

    names: Names
    registry: Registry
    airports: Airports
    channels: Collection[str] | None

    @cached_property
    def watchlists(self) -> tuple[str, ...]:
        return tuple(w.name for w in self.registry.watchlists)


def read_rules(
    paths: Iterable[Path],
    registry: Registry,
    airports: Airports,
    channels: Collection[str] | None,
    beside: Iterable[Path] = (),
) -> Rules:
    """Reads rule files. Raises ConfigError with the problems of all of them. `channels` are the names that `notify`
    may use besides `all`; they are not checked where it is None. Of the files `beside` only the names are taken that the
    others do not define."""
    problems: list[Problem] = []
    files: list[tuple[Document, RuleFile, Path_]] = []
    names = Names()
    own = list(dict.fromkeys(paths))
    for path in own:
        _take(path, files, names, problems)
    for document, file, _ in files:
        problems += _define(names, file.define, document)
    lent: list[tuple[Document, RuleFile, Path_]] = []
    for path in dict.fromkeys(beside):
        if path not in own:
            _take(path, lent, names, problems)
    for document, file, _ in lent:
        problems += _define(names, _undefined_yet(file.define, names), document)
    known = _Known(names, registry, airports, channels)
    stand: dict[str, tuple[Document, Path_]] = {}
    for document, file, root in files:
        for name, condition in file.define.conditions.items():
            problems += _of_condition(condition, ("define", "conditions", name), document, known)
        for index, rule in enumerate(file.rules):
            at = (*root, index)
            if rule.id in stand:
                problems.append(
                    document.problem((*at, "id"), f"two rules have the id `{rule.id}`: ids are unique over all files")
                )
            stand[rule.id] = document, at
            problems += _of_rule(rule, at, document, known)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    rules = (rule for _, file, _ in files for rule in file.rules)
    return Rules(
        tuple(rule.model_copy(update={"when": resolved(rule.when, names, airports)}) for rule in rules),
        tuple(document for document, _, _ in files),
        stand,
    )


def _take(path: Path, files: list[tuple[Document, RuleFile, Path_]], names: Names, problems: list[Problem]) -> None:
    """Reads a file, or says what is wrong with it, and that names may be missing."""
    try:
        files.append(_read_file(path))
    except ConfigError as error:
        problems += error.problems
        names.complete = False


def region_files(path: Path) -> list[Path]:
    """The files that a rule file takes its regions from, as far as can be made out: what is asked is what to keep an eye on, and
    the rule file itself, or one of them, may not be valid."""
    try:
        content = load(path).content
    except ConfigError:
        return []
    define = content.get("define") if isinstance(content, dict) else None
    regions = define.get("regions") if isinstance(define, dict) else None
    named = [region.get("file") for region in regions.values() if isinstance(region, dict)] if isinstance(regions, dict) else []
    return [path.parent / file for file in named if isinstance(file, str)]


def _undefined_yet(define: Definitions, names: Names) -> Definitions:
    kinds = ("lists", "regions", "conditions")
    return define.model_copy(
        update={kind: {k: v for k, v in getattr(define, kind).items() if (kind, k) not in names.documents} for kind in kinds}
    )


def _read_file(path: Path) -> tuple[Document, RuleFile, Path_]:
    """The file, and the path in it to its rules."""
    document = load(path)
    if isinstance(document.content, dict) and {"rules", "define"} & document.content.keys():
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
    """Takes the definitions of a file in; what is wrong with them. A region that cannot be read stays as an empty one, so that
    the rules that name it are not faulted, too."""
    problems = []
    for kind, known in (("lists", names.lists), ("regions", names.regions), ("conditions", names.conditions)):
        for name in getattr(define, kind):
            if name in known:
                told = f"`{name}` is defined twice: names are unique over all files"
                problems.append(document.problem(("define", kind, name), told))
            names.documents[kind, name] = document
    names.lists |= define.lists
    names.conditions |= define.conditions
    for name, region in define.regions.items():
        names.regions[name] = Region(name)
        try:
            names.regions[name] = (
                read_region(name, Path(document.file).parent / region.file)
                if region.file is not None
                else polygon(name, [(lon, lat) for lat, lon in region.corners or ()])
            )
        except InputError as error:
            problems.append(document.problem(("define", "regions", name), str(error)))
    return problems


# ---------------------------------------------------------------------------------------------------------- what is wrong with it


def _of_rule(rule: Rule, at: Path_, document: Document, known: _Known) -> list[Problem]:
    """What is wrong with a rule that the language alone does not know."""
    found = _of_condition(rule.when, (*at, "when"), document, known)
    if not found and known.names.complete:
        asked = followed(rule.when, (*at, "when"), known.names)
        found = [document.problem(path, told) for one in asked for path, told in _out_of_place(one, rule, known)]
    return found + [document.problem((*at, *path), told) for path, told in _of_settings(rule, known)]


def _of_condition(condition: Condition, at: Path_, document: Document, known: _Known) -> list[Problem]:
    """What is wrong with a condition, whatever asks it."""
    try:
        followed(condition, at, known.names)
    except Endless as error:
        return [document.problem(error.path, str(error))]
    words = (found for path, part in parts_of(condition, at) for found in _words_of(part, path, document, known))
    return [word.document.problem(word.path, told) for word, told in words]


Wrong = tuple[Word, str]
"""A word, and what is wrong with it."""


def _words_of(part: BaseModel, at: Path_, document: Document, known: _Known) -> Iterator[Wrong]:
    """The words of one part of a condition that stand for nothing."""
    names = known.names

    def words(setting: str) -> list[Word]:
        texts = getattr(part, setting) or ()
        return [w for i, t in enumerate(texts) for w in written_out(Word(t, document, (*at, setting, i)), names)]

    if isinstance(part, Condition) and part.use is not None and names.complete and part.use not in names.conditions:
        yield Word(part.use, document, (*at, "use")), _unknown(part.use, "condition of `define:`", list(names.conditions))
    for setting in type(part).model_fields:
        value = getattr(part, setting)
        for i, text in enumerate(value if isinstance(value, list) else ()):
            if isinstance(text, str) and text.startswith(LIST) and text.removeprefix(LIST) not in names.lists and names.complete:
                valid = [LIST + name for name in names.lists]
                yield Word(text, document, (*at, setting, i)), _unknown(text, "list of `define:`", valid)
    if isinstance(part, Condition) and part.squawk is not None:
        yield from ((w, wrong) for w in words("squawk") if (wrong := wrong_squawk(w.text)))
    if isinstance(part, AircraftCondition):
        yield from (
            (w, _unknown(w.text, "watchlist", known.watchlists))
            for w in words("watchlist")
            if w.text not in known.watchlists and "*" not in w.text
        )
        yield from ((w, f"`{w.text}` is no address: six hex digits") for w in words("icao24") if not ADDRESS.fullmatch(w.text))
    if isinstance(part, AircraftCondition | PlaceCondition):
        yield from ((w, _unknown_country(w.text)) for w in words("country") if w.text not in country_names())
    if isinstance(part, PlaceCondition):
        yield from ((w, _unknown_airport(w.text, known)) for w in words("airport") if not known.airports.is_airport(w.text))
    if isinstance(part, Area) and names.complete:
        valid = list(names.regions)
        yield from ((w, _unknown(w.text, "region of `define:`", valid)) for w in words("region") if w.text not in valid)
    if isinstance(part, Near) and part.airport is not None and not known.airports.is_airport(part.airport):
        yield Word(part.airport, document, (*at, "airport")), _unknown_airport(part.airport, known)


def _out_of_place(asked: Asked, rule: Rule, known: _Known) -> Iterator[tuple[Path_, str]]:
    """What of a condition cannot be asked of the rule's subject, or of an earlier flight."""
    condition, kind = asked.condition, asked.condition.kind.removesuffix("_")
    at, subject = (*asked.path, kind), "leg" if asked.past else rule.subject
    a_subject = f"{'an' if subject == 'event' else 'a'} {subject}"
    if asked.past and condition.kind not in OF_A_PAST_LEG:
        yield at, f"`{kind}` cannot be asked of the earlier flight of `after`"
    elif (meant := MEANT_FOR.get(kind)) is not None and subject not in meant:
        yield at, f"`{kind}` cannot be asked of {a_subject}: it is for `subject: {' or '.join(meant)}`"
    of = condition.duration.of if condition.duration is not None else None
    if of is not None and of not in ("leg", subject):
        yield at, f"the duration of a {of} cannot be asked of {a_subject}: it is for `subject: {of}`"
    for place in places(condition) if subject != "event" else []:
        there = located(place, known.names, known.airports)
        unread = any(area.is_empty for area in there.areas)  # it is told of where it stands
        if not (place.airport or place.country or there.inside or unread):
            yield at, f"there is no airport in {' or '.join(area_words(place))}, so it can never hold"


def _of_settings(rule: Rule, known: _Known) -> Iterator[tuple[Path_, str]]:
    """What is wrong with the rest of a rule: its channels, its hours, its tests."""
    if known.channels is not None:
        valid = (*known.channels, "all")
        for i, name in enumerate(rule.notify):
            if name not in valid:
                yield ("notify", i), _unknown(name, "channel", valid)
    if rule.quiet is not None:
        try:
            ZoneInfo(rule.quiet.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield ("quiet", "zone"), f"`{rule.quiet.zone}` is no time zone: write one like Europe/Berlin"
    for number, test in enumerate(rule.tests):
        at: Path_ = ("tests", number, "given")
        for setting, flights in (("legs", test.given.legs), ("history", test.given.history or [])):
            for i, flight in enumerate(flights):
                for code in codes(flight):
                    if not known.airports.readings(code):
                        yield (*at, setting, i), _unknown(code, "airport", known.airports.ident)
        if (test.given.event is not None) != (rule.subject == "event"):
            wanted = "an `event`" if rule.subject == "event" else "`legs`"
            yield at, f"a rule about {'an event' if rule.subject == 'event' else f'a {rule.subject}'} is tested with {wanted}"
        for i, code in enumerate(test.given.event.airports if test.given.event else ()):
            if not known.airports.is_airport(code):
                yield (*at, "event", "airports", i), _unknown_airport(code, known)


def codes(leg: str) -> tuple[str, ...]:
    """The two airports of a leg, dated or not."""
    match = LEG.fullmatch(leg.split()[0])
    return match.groups() if match else ()


def _unknown_country(code: str) -> str:
    meant = country_code(code)
    return _unknown(code, "country (two capital letters)", (meant,) if meant else tuple(country_names()))


def _unknown_airport(code: str, known: _Known) -> str:
    meant = known.airports.meant_by(code) or known.airports.named(code) or known.airports.ident
    return _unknown(code, "airport ident", tuple(meant))


def _unknown(name: str, what: str, valid: Sequence[str]) -> str:
    return f"`{name}` is no {what} that is known{_hint(name, valid)}"


def _hint(name: str, valid: Sequence[str]) -> str:
    if len(valid) == 1:
        return f": did you mean `{valid[0]}`?"
    close = nearest(name, valid)
    return close or (f": it means one of {', '.join(valid)}" if 0 < len(valid) <= MOST_MEANT else "")
