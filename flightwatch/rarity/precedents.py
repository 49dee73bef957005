"""What was before a flight, as rules ask for it.

In: the baseline, who the aircraft is, its flight, and those of its other flights that are in memory. Out: counts of visits
as of the day of the flight, and the aircraft's own flights that were over before it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cached_property

from flightwatch.rarity import count
from flightwatch.rarity.baseline import Baseline, Tail
from flightwatch.records import Aircraft, Counted, Leg, Target


class Precedents:
    """What was before `leg` of an aircraft; `lately` are its flights that the baseline may not have yet."""

    def __init__(self, baseline: Baseline, aircraft: Aircraft, leg: Leg, lately: Sequence[Leg]) -> None:
        self._baseline = baseline
        self._aircraft = aircraft
        self._began = _began(leg)
        self._lately = lately

    @property
    def _day(self) -> date:
        return self._began.date()

    def count(self, of: str, target: Target, since: datetime | None = None) -> Counted:
        """Visits to the target before the day of the flight, and the days on which they would have been seen; all, or those
        since the day of a time. Without a target the days alone."""
        return count(self._baseline, of, target, self._aircraft, self._day, since.date() if since else None)

    def visited(self, target: Target) -> int:
        """How many of the aircraft's flights that were over before this one began led to the target."""
        known = self._baseline.destinations(self._day, self._tail)
        codes = [*known, *(leg.destination.airport for leg in self._today)]
        country_of = self._baseline.airports.country_of
        return sum(code in target.airports or country_of(code) in target.countries for code in codes)

    def flights(self, since: datetime | None = None) -> Sequence[Leg]:
        """The aircraft's flights that were over before this one began, in order; all, or those that ended since a time."""
        return [leg for leg in self._own if since is None or _ended(leg) >= since]

    @cached_property
    def _own(self) -> list[Leg]:
        return sorted((*self._baseline.flights(self._day, self._tail), *self._today), key=_began)

    @property
    def _tail(self) -> Tail:
        return self._aircraft.icao24, self._aircraft.registration

    @cached_property
    def _today(self) -> list[Leg]:
        """Those that ended on the day of this one, which the baseline does not know."""
        midnight = datetime(self._day.year, self._day.month, self._day.day, tzinfo=UTC)
        return [leg for leg in self._lately if midnight <= _ended(leg) <= self._began and _began(leg) < self._began]


def _began(leg: Leg) -> datetime:
    time = leg.first_seen or leg.origin.time or leg.destination.time
    assert time is not None  # a leg has at least one of them
    return time


def _ended(leg: Leg) -> datetime:
    return leg.last_seen or leg.destination.time or _began(leg)
