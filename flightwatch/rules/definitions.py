"""The names of `define:` put in place of what they stand for: lists, regions and conditions that several rules share.

In: rules as they were read, and the definitions of all files. Out: rules that need no names any more. A condition may use
others, a list no other lists; one that leads back to itself, or on to very many, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel

from flightwatch.documents import Document, Path_
from flightwatch.places import Airports
from flightwatch.places.regions import Region
from flightwatch.rules.language import LIST, MOST_DEEP, AircraftCondition, Area, Condition, Near, PlaceCondition

MOST_CONDITIONS = 1000
"""Conditions of one rule with all that its names stand for: a few names of names could make millions."""


@dataclass
class Names:
    """What is defined, by name; `regions` are read from their files already. `documents` tell by kind and name where each
    is defined; the names of files that cannot be read are missing where it is not `complete`."""

    lists: dict[str, list[str]] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)
    conditions: dict[str, Condition] = field(default_factory=dict)
    documents: dict[tuple[str, str], Document] = field(default_factory=dict)
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a file, and where it stands."""

    text: str
    document: Document
    path: Path_


def written_out(word: Word, names: Names) -> list[Word]:
    """A word, or those of the list that it stands for; none if there is no such list."""
    if not word.text.startswith(LIST):
        return [word]
    name = word.text.removeprefix(LIST)
    return [
        Word(text, names.documents["lists", name], ("define", "lists", name, i))
        for i, text in enumerate(names.lists.get(name, ()))
    ]


def parts_of(part: BaseModel, at: Path_) -> Iterator[tuple[Path_, BaseModel]]:
    """A part of a file and all parts in it, each with where it stands."""
    yield at, part
    for name, setting in type(part).model_fields.items():
        value, path = getattr(part, name), (*at, setting.alias or name)
        for step, inner in (((i,), v) for i, v in enumerate(value)) if isinstance(value, list) else (((), value),):
            if isinstance(inner, BaseModel):
                yield from parts_of(inner, (*path, *step))


def asks_what_it_is(condition: Condition) -> bool:
    """Whether a condition asks who is military, or what role somebody has: of most aircraft databases alone know that."""
    asked = (part for _, part in parts_of(condition, ()) if isinstance(part, AircraftCondition))
    return any(part.military is not None or part.role is not None for part in asked)


class Endless(ValueError):
    """A condition that has no end, or hardly one; `path` is where it goes wrong."""

    def __init__(self, path: Path_, told: str) -> None:
        self.path = path
        super().__init__(told)


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition that a rule comes to, and where that is written: of what a name stands for, where the name is used. `past`
    are those of the earlier flight of an `after`."""

    condition: Condition
    path: Path_
    past: bool


def followed(condition: Condition, at: Path_, names: Names) -> list[Asked]:
    """A condition and all that it is made of, names followed. Raises Endless."""
    out: list[Asked] = []
    _follow(out, Asked(condition, at, False), names, 0, ())
    return out


def _follow(out: list[Asked], asked: Asked, names: Names, depth: int, within: tuple[str, ...]) -> None:
    condition, at = asked.condition, asked.path
    if depth > MOST_DEEP:
        raise Endless(at, f"conditions stand in each other more than {MOST_DEEP} deep here")
    if len(out) >= MOST_CONDITIONS:
        raise Endless(at, f"the rule has more than {MOST_CONDITIONS} conditions with all that its names stand for")
    if condition.use is not None:
        at = at if within else (*at, "use")
        if condition.use in within:
            raise Endless(at, f"`{condition.use}` leads back to itself: {' -> '.join((*within, condition.use))}")
        if (meant := names.conditions.get(condition.use)) is not None:
            _follow(out, Asked(meant, at, asked.past), names, depth + 1, (*within, condition.use))
        return
    out.append(asked)
    inner = [(("all", i), c) for i, c in enumerate(condition.all_ or ())]
    inner += [(("any", i), c) for i, c in enumerate(condition.any_ or ())]
    steps: list[tuple[Path_, Condition]] = [*inner, *([(("not",), condition.not_)] if condition.not_ else [])]
    for step, part in steps:
        _follow(out, Asked(part, at if within else (*at, *step), asked.past), names, depth + 1, within)
    if condition.after is not None:
        path = at if within else (*at, "after", "leg")
        _follow(out, Asked(condition.after.leg, path, True), names, depth + 1, within)


def resolved(condition: Condition, names: Names, airports: Airports) -> Condition:
    """The condition without names, given that there are no unknown ones in it, and that `followed` comes to an end."""
    out: Condition = _resolved(condition, names, airports)
    return out


def _resolved(part: Any, names: Names, airports: Airports) -> Any:
    if isinstance(part, Condition) and part.use is not None:
        return _resolved(names.conditions[part.use], names, airports)
    values = {name: getattr(part, name) for name in type(part).model_fields}
    changed = {name: _replaced(value, names, airports) for name, value in values.items()}
    out = part.model_copy(update={n: v for n, v in changed.items() if v is not values[n]})
    if isinstance(out, Area):
        regions = [names.regions[name] for name in out.region or ()]
        out._areas = (*regions, *([_circle(out.near, airports)] if out.near else []))
        if isinstance(out, PlaceCondition):
            out._inside = _airports_in(out._areas, airports)
    return out


def _replaced(value: Any, names: Names, airports: Airports) -> Any:
    if isinstance(value, BaseModel):
        return _resolved(value, names, airports)
    if isinstance(value, list) and any(isinstance(item, BaseModel) for item in value):
        return [_resolved(item, names, airports) for item in value]
    if isinstance(value, list) and any(isinstance(item, str) and item.startswith(LIST) for item in value):
        return [word for item in value for word in (names.lists[item.removeprefix(LIST)] if item.startswith(LIST) else [item])]
    return value


def _circle(near: Near, airports: Airports) -> Region:
    airport = airports.get(near.airport)
    if airport is not None:
        return Region(airport.ident, centre=(airport.latitude, airport.longitude), radius_nm=near.nm)
    return Region("", centre=(near.latitude or 0.0, near.longitude or 0.0), radius_nm=near.nm)


def located(place: PlaceCondition, names: Names, airports: Airports) -> PlaceCondition:
    """A place with the regions that it names and the airports in these."""
    out: PlaceCondition = _resolved(place, names, airports)
    return out


def _airports_in(areas: Sequence[Region], airports: Airports) -> tuple[str, ...]:
    if not areas:
        return ()
    inside = np.logical_or.reduce([area.contains(airports.latitude, airports.longitude) for area in areas])
    return tuple(airports.ident[row] for row in np.flatnonzero(inside))
