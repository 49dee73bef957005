"""The names of `define:` put in place of what they stand for: lists, regions and conditions that several rules share.

In: rules as they were read, and the definitions of all files. Out: rules that need no names any more, or problems. A
definition may use others; one that leads back to itself is a problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel

from flightwatch.places import Airports
from flightwatch.places.regions import Region
from flightwatch.rules.language import LIST, MOST_DEEP, Area, Condition, Near, PlaceCondition


@dataclass
class Names:
    """What is defined, by name; `regions` are read from their files already."""

    lists: dict[str, list[str]] = field(default_factory=dict)
    regions: dict[str, Region] = field(default_factory=dict)
    conditions: dict[str, Condition] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Undefined:
    """A name that stands for nothing, what it should be, and what there is."""

    name: str
    what: str
    valid: Sequence[str]


def undefined(condition: Condition, names: Names, airports: Airports) -> list[Undefined]:
    """The names in a condition that stand for nothing."""
    return list(_undefined(condition, names, airports, 0))


def _undefined(part: BaseModel, names: Names, airports: Airports, depth: int) -> Iterator[Undefined]:
    if depth > MOST_DEEP:
        yield Undefined(getattr(part, "use", None) or "all", f"condition that ends: it is deeper than {MOST_DEEP}", ())
        return
    if isinstance(part, Condition) and part.use is not None and part.use not in names.conditions:
        yield Undefined(part.use, "condition of `define:`", list(names.conditions))
    if isinstance(part, Condition) and part.use in names.conditions:
        yield from _undefined(names.conditions[part.use], names, airports, depth + 1)
    if isinstance(part, Area):
        for name in part.region or ():
            if name not in names.regions:
                yield Undefined(name, "region of `define:`", list(names.regions))
        if part.near and part.near.airport and not airports.is_airport(part.near.airport):
            yield Undefined(part.near.airport, "airport ident", airports.meant_by(part.near.airport) or airports.ident)
    for value in _values(part).values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, BaseModel):
                yield from _undefined(inner, names, airports, depth + 1)
            elif isinstance(inner, str) and inner.startswith(LIST) and inner.removeprefix(LIST) not in names.lists:
                yield Undefined(inner, "list of `define:`", [LIST + name for name in names.lists])


def resolved(condition: Condition, names: Names, airports: Airports) -> Condition:
    """The condition without names, given that `undefined` finds none in it."""
    out: Condition = _resolved(condition, names, airports)
    return out


def _resolved(part: Any, names: Names, airports: Airports) -> Any:
    if isinstance(part, Condition) and part.use is not None:
        return _resolved(names.conditions[part.use], names, airports)
    changed = {name: _written_out(value, names, airports) for name, value in _values(part).items()}
    out = part.model_copy(update={n: v for n, v in changed.items() if v is not getattr(part, n)})
    if isinstance(out, Area):
        regions = [names.regions[name] for name in out.region or ()]
        out._areas = (*regions, *([_circle(out.near, airports)] if out.near else []))
        if isinstance(out, PlaceCondition):
            out._inside = _airports_in(out._areas, airports)
    return out


def _written_out(value: Any, names: Names, airports: Airports) -> Any:
    if isinstance(value, BaseModel):
        return _resolved(value, names, airports)
    if isinstance(value, list) and any(isinstance(item, BaseModel) for item in value):
        return [_resolved(item, names, airports) for item in value]
    if isinstance(value, list) and any(isinstance(item, str) and item.startswith(LIST) for item in value):
        return [word for item in value for word in (names.lists[item.removeprefix(LIST)] if item.startswith(LIST) else [item])]
    return value


def _values(part: BaseModel) -> Mapping[str, Any]:
    return {name: getattr(part, name) for name in type(part).model_fields}


def _circle(near: Near, airports: Airports) -> Region:
    airport = airports.get(near.airport)
    if airport is not None:
        return Region(airport.ident, centre=(airport.latitude, airport.longitude), radius_nm=near.nm)
    return Region("", centre=(near.latitude or 0.0, near.longitude or 0.0), radius_nm=near.nm)


def _airports_in(areas: Sequence[Region], airports: Airports) -> tuple[str, ...]:
    if not areas:
        return ()
    inside = np.logical_or.reduce([area.contains(airports.latitude, airports.longitude) for area in areas])
    return tuple(airports.ident[row] for row in np.flatnonzero(inside))
