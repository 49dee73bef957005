"""What columns tell of conditions on history: where these surely do not hold.

In: a condition, the legs as columns, and which of them are in question (`rows`), with the airports at their ends (numbers of
codes; -1: none is sure). Out: a flag for each of them. History as a whole is asked by `conditions`; here counts by the day
rule out most legs before anybody looks at them. Counts are too small rather than too large, or the other way round, as each
function needs it.
"""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np

from flightwatch.rules.columns import DAY_US, NOT_ONE, NULL, Codes, Flags, Ints, LegColumns, Past
from flightwatch.rules.conditions import LEAST_OBSERVED_DAYS
from flightwatch.rules.language import (
    DormantCondition,
    FirstSeenCondition,
    FirstVisitCondition,
    RarityCondition,
    To,
    VisitsCondition,
)
from flightwatch.rules.measures import LONGEST, span

ROUNDING = 1e-6
"""Counts that are closer to a limit than this are left open."""

BITS = 20
"""What a day since 1970 or the number of a place takes at most: 2,800 years, a million places."""


def was_there(condition: FirstVisitCondition, legs: LegColumns, rows: Ints, airport: Codes) -> Flags:
    """Whether a visit before the day is on record."""
    places = _places(legs, condition.to)
    who, place = _who(legs.past, legs, condition.of, rows), places[airport]
    known = (who != NOT_ONE) & (place != NULL)
    counts = _visits(legs.past, condition.of, who, place, places, until=_day(legs.past.times.began(rows)))
    return np.asarray(known & (counts > 0))


def is_common(condition: RarityCondition, legs: LegColumns, rows: Ints, airport: Codes, inside: Flags | None) -> Flags:
    """Whether there were more visits than the limit lets pass, to the places inside or, where none are named, to the
    airport."""
    limit = condition.per_day
    if limit is None or math.isinf(limit):
        return np.zeros(len(rows), bool)
    past, day = legs.past, _day(legs.past.times.began(rows))
    if inside is None:
        places = _places(legs, "airport")
        place = places[airport]
    else:
        places = np.where(inside & (_places(legs, "airport") != NULL), 0, NULL)
        place = np.zeros(len(rows), np.int64)
    who = _who(past, legs, condition.of, rows)
    counts = _visits(past, condition.of, who, place, places, until=day, on=past.everybody)
    least, most = np.searchsorted(past.everybody, day), np.searchsorted(past.somebody, day)
    known = (who != NOT_ONE) & (place != NULL) & (least >= LEAST_OBSERVED_DAYS)
    return np.asarray(known & (counts > limit * most + ROUNDING))


def flew(condition: DormantCondition | FirstSeenCondition, legs: LegColumns, rows: Ints) -> Flags:
    """Whether the aircraft flew within the time before the leg began, and was down before that day."""
    past, began = legs.past, legs.past.times.began(rows)
    who = _who(past, legs, "tail", rows)
    within = span(condition.at_least) if isinstance(condition, DormantCondition) else LONGEST
    since = _day(began - within // timedelta(microseconds=1)) + 1
    mine = _of(past, "tail", who)
    mine = mine[past.counted[mine] & past.times.is_over(mine)]
    mine = mine[past.times.began(mine) <= past.times.arrived(mine)]
    number = past.subjects["tail"][0][mine].astype(np.int64)
    counts = _between(number, _day(past.times.arrived(mine)), who, since, _day(began))
    return np.asarray((who != NOT_ONE) & (counts > 0))


def too_few(condition: VisitsCondition, legs: LegColumns, rows: Ints, from_: Ints, airport: Codes) -> Flags:
    """Whether there were fewer visits than demanded, however they are counted. `from_` are the legs that the journeys began
    with."""
    if condition.at_least is None:
        return np.zeros(len(rows), bool)
    past, places = legs.past, _places(legs, condition.to)
    who, place = _who(past, legs, condition.of, rows), places[airport]
    known = (who != NOT_ONE) & (place != NULL)
    since, day = _day(past.times.began(from_) - _us(condition.within)), _day(past.times.began(rows))
    if condition.of != "tail":
        counts = _visits(past, condition.of, who, place, places, since=since, until=day)
    else:  # those that were over by the next day, and not over before the time began, whichever way it is known
        mine = _of(past, "tail", who)
        key, asked = _joined(past.subjects["tail"][0][mine], places[past.destination[mine]]), _joined(who, place)
        ended, arrived = _day(past.times.ended(mine)), _day(past.times.arrived(mine))
        start = np.zeros(len(rows), np.int64)
        over = _between(key, np.minimum(ended, arrived), asked, start, day + 2)
        counts = over - _between(key, np.maximum(ended, arrived), asked, start, since)
    return np.asarray(known & (counts + 1 < condition.at_least))


# ------------------------------------------------------------------------------------------------------------------- counting


def _who(past: Past, legs: LegColumns, of: str, rows: Ints) -> Ints:
    """The numbers of those whom the question is about."""
    return past.subjects[of][1][legs.aircraft[rows]]


def _places(legs: LegColumns, to: To) -> Ints:
    """For each code the number of the airport or country that it means (-1 where it is in no table), and one for none."""
    known = {country: number for number, country in enumerate(dict.fromkeys(c for c in legs.countries if c is not None))}
    numbers = [NULL if c is None else known[c] if to == "country" else code for code, c in enumerate(legs.countries)]
    return np.array([*numbers, NULL], np.int64)


def _visits(
    past: Past, of: str, who: Ints, place: Ints, places: Ints, *, until: Ints, since: Ints | None = None, on: Ints | None = None
) -> Ints:
    """The visits of each to a place from one day to before another; `on`: on some days alone."""
    there = _of(past, of, who)
    there = there[past.counted[there] & (places[past.destination[there]] != NULL)]
    day = _day(past.times.arrived(there))
    if on is not None:
        there, day = there[np.isin(day, on)], day[np.isin(day, on)]
    key = _joined(past.subjects[of][0][there], places[past.destination[there]])
    return _between(key, day, _joined(who, place), np.zeros(len(until), np.int64) if since is None else since, until)


def _of(past: Past, of: str, who: Ints) -> Ints:
    """The legs of those who are asked about."""
    number = past.subjects[of][0]
    asked = np.zeros(int(max(number.max(initial=0), who.max(initial=0))) + 2, bool)
    asked[who[who >= 0]] = True
    return np.flatnonzero(asked[number])


def _joined(who: Ints | Codes, place: Ints) -> Ints:
    return (who.astype(np.int64) << BITS) + place + 1


def _between(key: Ints, day: Ints, asked: Ints, since: Ints, until: Ints) -> Ints:
    """How many there are with each of the asked keys from one day to before another."""
    order = np.sort((key << BITS) + _bounded(day))
    first, last = (np.searchsorted(order, (asked << BITS) + _bounded(limit)) for limit in (since, until))
    return np.asarray(np.maximum(last - first, 0))


def _bounded(day: Ints) -> Ints:
    return np.clip(day, 0, (1 << BITS) - 1)


def _day(time: Ints) -> Ints:
    """Days since 1970."""
    return time // DAY_US


def _us(text: str) -> int:
    return round(span(text).total_seconds() * 1_000_000)
