"""Rarity: how often this happened before, as far as anybody was looking.

In: legs and the days that were covered (`Baseline`), an aircraft and the places in question. Out: counts for the
aircraft, its operator, its type and anybody, and the sentences that a reader gets. Everything is asked as of the day
of the flight and answered from the days before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from flightwatch.places import Airports, country_name
from flightwatch.rarity.baseline import Baseline, Exposure
from flightwatch.records import Aircraft, Counted, EarlierVisit, Rarity, Target

__all__ = ["Baseline", "Exposure", "count", "place_flags", "place_name", "rarities", "visits_of_tail"]

ANYBODY = ""
"""An address that only a scope of the whole world covers."""


def count(baseline: Baseline, of: str, target: Target, aircraft: Aircraft, day: date) -> Counted:
    """Visits of `tail`, `fleet` (the operator's aircraft), `type` or `anybody` to the target before a day."""
    visits = baseline.count_visits(day, place_flags(target, baseline.airports), **_subject(of, aircraft))
    return Counted(visits, baseline.observed_days(day, _who(baseline, of, aircraft, day)))


def visits_of_tail(baseline: Baseline, target: Target, aircraft: Aircraft, day: date) -> list[EarlierVisit]:
    """The aircraft's own visits before a day, oldest first."""
    return _visits(baseline, "tail", target, aircraft, day)


def rarities(baseline: Baseline, target: Target, aircraft: Aircraft, day: date) -> tuple[Rarity, ...]:
    """What history says of the aircraft itself and of its operator's others, with the sentences for it."""
    place = place_name(target, baseline.airports)
    name = aircraft.registration or aircraft.icao24 or "this aircraft"
    own = _visits(baseline, "tail", target, aircraft, day)
    days = baseline.observed_days(day, _who(baseline, "tail", aircraft, day))
    told = [
        Rarity(
            name,
            place,
            len(own),
            own[-1].arrived if own else None,
            days,
            _own_sentence(name, place, own, days, baseline.airports),
        )
    ]
    if aircraft.operator:
        fleet = _visits(baseline, "fleet", target, aircraft, day)
        others = [v for v in fleet if v.registration != aircraft.registration]
        members = _who(baseline, "fleet", aircraft, day)
        days = baseline.observed_days(day, members)
        known = len(set(members) - {aircraft.icao24, aircraft.registration})
        sentence = _fleet_sentence(aircraft.operator, place, others, known, days, baseline.airports)
        told.append(Rarity(aircraft.operator, place, len(fleet), fleet[-1].arrived if fleet else None, days, sentence))
    return tuple(told)


def _visits(baseline: Baseline, of: str, target: Target, aircraft: Aircraft, day: date) -> list[EarlierVisit]:
    return baseline.earlier_visits(day, place_flags(target, baseline.airports), **_subject(of, aircraft))


def _subject(of: str, aircraft: Aircraft) -> dict[str, str]:
    """Whose visits are counted, as the baseline asks for it."""
    if of == "tail":
        return {"aircraft": aircraft.icao24 or aircraft.registration or ANYBODY}
    if of == "fleet":
        return {"operator": aircraft.operator or ANYBODY}
    return {"typecode": aircraft.typecode or ANYBODY} if of == "type" else {}


def _who(baseline: Baseline, of: str, aircraft: Aircraft, day: date) -> list[str]:
    """Those who must have been in the scope of a day for it to count."""
    own = aircraft.icao24 or aircraft.registration or ANYBODY
    if of == "tail":
        return [own]
    if of == "fleet" and aircraft.operator:
        return baseline.covered_members(aircraft.operator, day) or [own]
    return [ANYBODY]


def place_flags(target: Target, airports: Airports) -> NDArray[np.bool_]:
    """Which rows of the airport table the target means."""
    rows = [r for r in (airports.row(a) for a in target.airports) if r is not None]
    return np.asarray(np.isin(airports.country, list(target.countries)) | np.isin(np.arange(len(airports)), rows))


def place_name(target: Target, airports: Airports) -> str:
    """The target in words."""
    found = [airport for airport in map(airports.get, target.airports) if airport is not None]
    return " or ".join([*map(country_name, target.countries), *(a.municipality or a.name for a in found)])


def _own_sentence(name: str, place: str, visits: Sequence[EarlierVisit], days: int, airports: Airports) -> str:
    span = f"in the {days:,} observed days before" if days else "on record; on no day before would it surely have been seen"
    if not visits:
        return f"No earlier visit of {name} to {place} {span}."
    last = _local_day(visits[-1], airports)
    if len(visits) == 1:
        return f"One earlier visit of {name} to {place} {span}: on {last}."
    return f"{len(visits)} earlier visits of {name} to {place} {span}, the last on {last}."


def _fleet_sentence(operator: str, place: str, others: Sequence[EarlierVisit], known: int, days: int, airports: Airports) -> str:
    if not others and not known:
        return f"Whether other aircraft of the {operator} went to {place} is not known: this history has none of them."
    times = {0: "no visit", 1: "one visit"}.get(len(others), f"{len(others)} visits")
    last = (
        f", the last on {_local_day(others[-1], airports)} by {others[-1].registration or 'a tail not known'}" if others else ""
    )
    if not (days and known):
        return (
            f"Other aircraft of the {operator}: {times} to {place} on record{last};"
            " on no day before would they surely have been seen."
        )
    them = "one other known aircraft" if known == 1 else f"{known} other known aircraft"
    return f"The {them} of the {operator}: {times} to {place} in the {days:,} observed days before{last}."


def _local_day(visit: EarlierVisit, airports: Airports) -> str:
    """The day on which it arrived, as it was there."""
    airport = airports.get(visit.airport)
    return f"{visit.arrived.astimezone(ZoneInfo(airport.timezone if airport else 'UTC')):%-d %b %Y}"
