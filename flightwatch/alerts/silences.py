"""Silences: what nobody wants to hear of for a while, by whose word, and why.

A silence is about a rule, an aircraft, an area, or those of them together. While it lasts, what it is about stands in
the book and in the digest, and no message goes out. What was told before is still taken back where it proves wrong:
a silence keeps news from people, not corrections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from flightwatch.places import Airports, airports
from flightwatch.places.great_circle import distance_nm
from flightwatch.records import Finding

USUAL_RADIUS_NM = 25.0
"""Around an airport that is named without a distance: its approaches and the fields of the same town."""


@dataclass(frozen=True, slots=True)
class Silence:
    """`aircraft` is an address, `near` the ident of an airport with `within_nm` around it, `country` an ISO code; at least
    one of these and `rule` is set, and all that are set have to fit. `ended` is set where somebody ended it early."""

    number: int
    rule: str | None
    aircraft: str | None
    near: str | None
    within_nm: float
    country: str | None
    since: datetime
    until: datetime
    who: str
    why: str
    ended: datetime | None = None
    ended_by: str | None = None

    def holds_at(self, now: datetime) -> bool:
        """A silence that begins later was made by a clock that has been set back since; it counts from now on."""
        return self.ended is None and now < self.until

    @property
    def words(self) -> str:
        """What it is about."""
        parts = [
            f"rule {self.rule}" if self.rule else "",
            f"aircraft {self.aircraft}" if self.aircraft else "",
            f"within {self.within_nm:g} nm of {self.near}" if self.near else "",
            f"in {self.country}" if self.country else "",
        ]
        return ", ".join(part for part in parts if part)


def silenced(finding: Finding, silences: Iterable[Silence]) -> Silence | None:
    """The first of these silences that a finding falls under."""
    return next((silence for silence in silences if _falls_under(finding, silence)), None)


def _falls_under(finding: Finding, silence: Silence) -> bool:
    concerned = {finding.aircraft.icao24, *(one.icao24 for one in finding.everybody)}
    if silence.rule not in (None, finding.rule.rule_id):
        return False
    if silence.aircraft is not None and silence.aircraft not in concerned:
        return False
    if silence.near is None and silence.country is None:
        return True
    return any(_lies_in(place, silence) for place in _places(finding, airports()))


@dataclass(frozen=True, slots=True)
class _Place:
    latitude: float
    longitude: float
    country: str | None


def _places(finding: Finding, table: Airports) -> Iterator[_Place]:
    """Where it happened, or where the aircraft is thought to be going: nothing where no airport leads."""
    if finding.event is not None:
        event = finding.event
        idents, middle = event.airports, ((event.south + event.north) / 2, (event.west + event.east) / 2)
        yield _Place(*middle, None)
    else:
        idents = tuple(ident for ident in [finding.there.place.airport] if ident)
    for airport in map(table.get, idents):
        if airport is not None:
            yield _Place(airport.latitude, airport.longitude, airport.country)


def _lies_in(place: _Place, silence: Silence) -> bool:
    if silence.country not in (None, place.country):
        return False
    if silence.near is None:
        return True
    centre = airports().get(silence.near)
    if centre is None:
        return False
    return float(distance_nm(centre.latitude, centre.longitude, place.latitude, place.longitude)) <= silence.within_nm
