"""What a condition is asked of, and what comes of asking.

A case is one leg, journey, stay or event with all that conditions may ask about it; what is not known yet stays open.
The answer is three-valued: yes, no, or not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from flightwatch.places import Airports
from flightwatch.records import Aircraft, Counted, Event, Held, Leg, Stop, Target

Truth = bool | None

NOWHERE = Target((), ())


class History(Protocol):
    """What was before the case: seen from the day of its flight where others are counted, from its take-off where its own
    flights are."""

    def count(self, of: str, target: Target, since: datetime | None = None) -> Counted:
        """The visits of `tail`, `fleet`, `type` or `anybody` to a target before the day, and the days on which they would
        have been seen; all, or those since a time."""

    def visited(self, target: Target) -> int:
        """How many of these flights led to a target."""

    def flights(self, since: datetime | None = None) -> Sequence[Leg]:
        """The flights of the same aircraft that were over before the case began, in order; all, or those that ended since
        a time."""


@dataclass(frozen=True)
class Case:
    """A case as far as it is known. A stop is None while it is open; so is `history` when nobody can count yet.

    `start` and `place` are the ends of the `way`, `between` the stops of it, `onward` where the aircraft went from a stay.
    `everybody` are all aircraft of an event. `factor` scales the probabilities that conditions demand; without `sure`, what
    is not known of the aircraft may still turn out to fit.
    """

    aircraft: Aircraft
    airports: Airports
    callsigns: tuple[str, ...] = ()
    start: Stop | None = None
    place: Stop | None = None
    between: tuple[Stop, ...] | None = None
    onward: Stop | None = None
    way: tuple[Leg, ...] = ()
    departure: Leg | None = None
    event: Event | None = None
    everybody: tuple[Aircraft, ...] = ()
    target: Target = NOWHERE
    history: History | None = None
    factor: float = 1.0
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """Whether a condition holds, and what made it so: `held` are the parts that hold or are not known, `missed` those that
    do not."""

    truth: Truth
    held: tuple[Held, ...] = ()
    missed: tuple[Held, ...] = ()


def result(truth: Truth, condition: str, value: str, number: float | None = None) -> Result:
    """The result of one condition that is made of no others."""
    fact = (Held(condition, value, number),)
    return Result(truth, missed=fact) if truth is False else Result(truth, held=fact)


def all_of(results: Sequence[Result]) -> Result:
    """Kleene's `and`."""
    truths = [r.truth for r in results]
    truth = False if False in truths else None if None in truths else True
    return Result(truth, tuple(h for r in results for h in r.held), tuple(m for r in results for m in r.missed))


def any_of(results: Sequence[Result]) -> Result:
    """Kleene's `or`; what does not hold is told only where nothing does."""
    truths = [r.truth for r in results]
    truth = True if True in truths else None if None in truths else False
    held = tuple(h for r in results if r.truth is not False for h in r.held)
    return Result(truth, held, () if truth else tuple(m for r in results for m in r.missed))


def negated(inner: Result) -> Result:
    """Kleene's `not`."""
    facts = inner.missed if inner.truth is False else inner.held
    told = tuple(Held(f"not: {fact.condition}", fact.value) for fact in facts)
    return Result(False, missed=told) if inner.truth else Result(True if inner.truth is False else None, held=told)
