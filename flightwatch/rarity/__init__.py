"""Rarity: how often this happened before, as far as anybody was looking.

In: legs and the days that were covered (`Baseline`), an aircraft and the places in question. Out: counts for the
aircraft, its operator, its type and anybody, and the sentences that a reader gets. Everything is asked as of the day
of the flight and answered from the days before.

How often is counted on observed days alone: visits that are on record from other days (a press report of years ago)
are told, and say nothing of how often. A day counts for all places alike, also for those where nobody sees aircraft come
down: what visits there are known from is where the signal died, and how much of the flying around there is seen is told
beside the count (`Baseline.low_share`), so that none of them is taken for more than it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from flightwatch.places import Airports, country_name
from flightwatch.rarity.baseline import ANYBODY, Baseline, Exposure, Tail, Visits
from flightwatch.rarity.rates import ENOUGH_DAYS, HOLDS, Expected, expected, rate
from flightwatch.records import Aircraft, Counted, EarlierVisit, Rarity, Target

__all__ = ["Baseline", "Exposure", "count", "place_flags", "place_name", "rarities", "visits_of_tail"]

Flags = NDArray[np.bool_]

TARGETS_KEPT = 512
"""Targets whose places are remembered (80 kB each): those of the rules, and the airports that are asked about lately."""

MOSTLY = 0.5
"""Where less of the flying around a place is seen than this, it is said."""


def count(baseline: Baseline, of: str, target: Target, aircraft: Aircraft, day: date, since: date | None = None) -> Counted:
    """Visits of `tail`, `fleet` (the operator's aircraft), `type` or `anybody` to the target on the observed days
    before a day; all, or those since another day. Where fleet or type is not known, nothing is known; without a target
    there are the days alone."""
    subject = _subject(of, aircraft)
    if subject is None:
        return Counted(0, 0)
    first = since.toordinal() if since else 0
    days = baseline.observed_days(day, _watched(baseline, of, aircraft, day))
    days = days[np.searchsorted(days, first) :]
    if not (target.airports or target.countries):
        return Counted(0, len(days))
    visits = baseline.earlier_visits(day, place_flags(target, baseline.airports), **subject)
    watched = int(visits.on(days).sum())
    return Counted(watched, len(days), int((visits.days >= first).sum()) - watched)


def visits_of_tail(baseline: Baseline, target: Target, aircraft: Aircraft, day: date) -> list[EarlierVisit]:
    """The aircraft's own visits before a day, oldest first."""
    return list(_past(baseline, "tail", target, aircraft, day).visits)


def rarities(baseline: Baseline, target: Target, aircraft: Aircraft, day: date) -> tuple[Rarity, ...]:
    """What history says of the aircraft itself and of its operator's others, with the sentences for it."""
    place = place_name(target, baseline.airports)
    name = aircraft.registration or aircraft.icao24 or "this aircraft"
    own = _past(baseline, "tail", target, aircraft, day)
    sight = _sight_sentence(baseline.low_share(day, place_flags(target, baseline.airports)))
    told = [_with_rate(_rarity(name, place, own, _own_sentence(name, place, own, baseline.airports) + sight), own)]
    if aircraft.operator:
        fleet = _past(baseline, "fleet", target, aircraft, day)
        others = replace(fleet, visits=fleet.visits.where(~fleet.visits.of_registration(aircraft.registration)))
        known = sum(aircraft.icao24 != icao24 for icao24, _ in fleet.members)
        sentence = _fleet_sentence(aircraft.operator, place, others, known, baseline.airports)
        of_fleet = _rarity(aircraft.operator, place, fleet, sentence)
        told.append(_with_rate(of_fleet, fleet, " of all its aircraft") if known else of_fleet)
    anybody = _past(baseline, "anybody", target, aircraft, day)
    strangers = anybody.visits.where(~_are_told(anybody.visits, aircraft))
    if strangers:
        told.append(_rarity("anybody", place, anybody, _strangers_sentence(place, strangers, baseline.airports)))
    return tuple(told)


def _are_told(visits: Visits, aircraft: Aircraft) -> Flags:
    """Which visits are among those of the aircraft itself or of its operator."""
    same = visits.of_registration(aircraft.registration) & (aircraft.registration is not None)
    return np.asarray(same | (visits.of_operator(aircraft.operator) & (aircraft.operator is not None)))


@dataclass(frozen=True)
class Past:
    """The visits of a subject before a day, and the observed days (ordinals, ascending) on which none of its members would
    have been missed."""

    members: tuple[Tail, ...]
    days: NDArray[np.int64]
    visits: Visits

    @cached_property
    def watched(self) -> Visits:
        """Those on observed days."""
        return self.visits.where(self._seen)

    @cached_property
    def unwatched(self) -> Visits:
        return self.visits.where(~self._seen)

    @cached_property
    def _seen(self) -> Flags:
        return self.visits.on(self.days)


def _past(baseline: Baseline, of: str, target: Target, aircraft: Aircraft, day: date) -> Past:
    members = _watched(baseline, of, aircraft, day)
    subject = _subject(of, aircraft)
    assert subject is not None  # nobody asks about a fleet that is not known
    visits = baseline.earlier_visits(day, place_flags(target, baseline.airports), **subject)
    return Past(tuple(members), baseline.observed_days(day, members), visits)


def _rarity(subject: str, place: str, past: Past, sentence: str) -> Rarity:
    last = past.visits[-1].arrived if past.visits else None
    return Rarity(subject, place, len(past.watched), len(past.unwatched), last, len(past.days), sentence)


def _with_rate(told: Rarity, past: Past, of: str = "") -> Rarity:
    """With the visits that are to be expected in a year, where the history suffices to say so."""
    if len(past.days) < ENOUGH_DAYS:
        return replace(told, sentence=told.sentence + _too_little(past))
    year = expected(len(past.watched), len(past.days))
    often = f" Expected{of}: {rate(year.per_year)} a year, {_span(year)} in any one (a {HOLDS:.0%} interval)."
    return replace(
        told,
        sentence=told.sentence + often,
        expected_per_year=year.per_year,
        year_low=year.low,
        year_high=year.high,
    )


def _too_little(past: Past) -> str:
    """What is said where some days were observed, and too few."""
    return f" That is too little history to say how often (fewer than {ENOUGH_DAYS} days)." if len(past.days) else ""


def _span(year: Expected) -> str:
    return f"{year.low} to {year.high}" if year.high > year.low else ("none" if year.high == 0 else f"{year.low}")


def _subject(of: str, aircraft: Aircraft) -> dict[str, Any] | None:
    """Whose visits are counted, as the baseline asks for it; None where that is not known."""
    if of == "tail":
        return {"tail": _tail(aircraft)}
    if of == "fleet":
        return {"operator": aircraft.operator} if aircraft.operator else None
    if of == "type":
        return {"typecode": aircraft.typecode} if aircraft.typecode else None
    return {}


def _tail(aircraft: Aircraft) -> Tail:
    return aircraft.icao24, aircraft.registration


def _watched(baseline: Baseline, of: str, aircraft: Aircraft, day: date) -> list[Tail]:
    """Those who must have been in the scope of a day for it to count."""
    if of == "tail":
        return [_tail(aircraft)]
    if of == "fleet" and aircraft.operator:
        return baseline.covered_members(aircraft.operator, day) or [_tail(aircraft)]
    return [ANYBODY]


@lru_cache(maxsize=TARGETS_KEPT)
def place_flags(target: Target, airports: Airports) -> NDArray[np.bool_]:
    """Which rows of the airport table the target means; not to be written to."""
    flags = np.isin(airports.country, list(target.countries))
    flags[[r for r in (airports.row(a) for a in target.airports) if r is not None]] = True
    flags.flags.writeable = False
    return flags


def place_name(target: Target, airports: Airports) -> str:
    """The target in words."""
    if target.name:
        return target.name
    found = [airport for airport in map(airports.get, target.airports) if airport is not None]
    return " or ".join([*map(country_name, target.countries), *(a.municipality or a.name for a in found)])


# ------------------------------------------------------------------------------------------------------------------- in words


def _own_sentence(name: str, place: str, past: Past, airports: Airports) -> str:
    if not len(past.days):
        told = f"{_visits(len(past.visits), 'No', 'One')} of {name} to {place} on record{_last(past.visits, airports)}"
        return f"{told}; on no day before would it surely have been seen."
    told = f"{_visits(len(past.watched), 'No', 'One')} of {name} to {place} in the {len(past.days):,} observed days before"
    return f"{told}{_last(past.watched, airports)}{_besides(past, airports)}."


def _fleet_sentence(operator: str, place: str, others: Past, known: int, airports: Airports) -> str:
    if not others.visits and not known:
        return f"Whether other aircraft of the {operator} went to {place} is not known: this history has none of them."
    if not (len(others.days) and known):
        times = _visits(len(others.visits), "no", "one", earlier="")
        return (
            f"Other aircraft of the {operator}: {times} to {place} on record{_last(others.visits, airports, tails=True)};"
            " on no day before would they surely have been seen."
        )
    them = "one other known aircraft" if known == 1 else f"{known} other known aircraft"
    times = _visits(len(others.watched), "no", "one", earlier="")
    told = f"The {them} of the {operator}: {times} to {place} in the {len(others.days):,} observed days before"
    return f"{told}{_last(others.watched, airports, tails=True)}{_besides(others, airports)}."


def _strangers_sentence(place: str, visits: Sequence[EarlierVisit], airports: Airports) -> str:
    last = visits[-1]
    whose = f" ({last.operator})" if last.operator else ""
    times = "One visit" if len(visits) == 1 else f"{len(visits):,} visits"
    return f"{times} of others to {place} on record{_last(visits, airports, tails=True)}{whose}."


def _sight_sentence(share: float | None) -> str:
    """What the coverage around a place means for the counts; nothing where most is seen, or where it is not known."""
    if share is None or share >= MOSTLY:
        return ""
    seen = "Next to nothing" if share < 0.01 else f"Only {share:.0%}"
    return f" {seen} of the flying below 10,000 ft around there was seen: landings are inferred, and some may be missing."


def _visits(number: int, none: str, one: str, earlier: str = "earlier ") -> str:
    return f"{ {0: none, 1: one}.get(number, str(number)) } {earlier}visit{'s' if number > 1 else ''}"


def _last(visits: Sequence[EarlierVisit], airports: Airports, *, tails: bool = False) -> str:
    """When the last of some visits was, and whose where they are those of several."""
    if not visits:
        return ""
    by = f" by {visits[-1].registration or 'a tail not known'}" if tails else ""
    return f", {'the last ' if len(visits) > 1 else ''}on {_local_day(visits[-1], airports)}{by}"


def _besides(past: Past, airports: Airports) -> str:
    """The visits that are on record from days that count for nothing."""
    if not past.unwatched:
        return ""
    more = f"{len(past.unwatched)} more" if past.watched else f"{len(past.unwatched)}"
    return f"; on record from other days: {more}{_last(past.unwatched, airports)}"


def _local_day(visit: EarlierVisit, airports: Airports) -> str:
    """The day on which it arrived, as it was there; a day that a list gives is that day."""
    airport = None if visit.days_only else airports.get(visit.airport)
    return f"{visit.arrived.astimezone(ZoneInfo(airport.timezone if airport else 'UTC')):%-d %b %Y}"
