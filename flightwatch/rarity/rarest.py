"""The rarest of some legs, whether or not a rule asks for them.

In: a `Baseline` and the legs of a day. Out: those whose routes were flown least before, each with its sentence. What counts
is how often anybody of the history flew the route in the observed days before; between routes alike, the one whose destination
had fewer arrivals. The models of `scores` learn flight by flight over the whole history, which takes minutes where it is long;
counting takes one pass over arrays, so a run can do it without missing a poll.

A place that was only guessed looks rare when the guess is wrong, so both ends must be observed or surely inferred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flightwatch.rarity.baseline import DAY_US, EPOCH_ORDINAL, Baseline
from flightwatch.rarity.rates import ENOUGH_DAYS, MONTH_DAYS, USUAL_RATE_D, USUAL_SHAPE, expected
from flightwatch.rarity.scores import in_words
from flightwatch.records import Leg, legs_from_table, utc

Ints = NDArray[np.int64]

SURE = 0.8
"""The least probability of each end."""

OVER = ("landed", "presumed_landed")
"""Where a leg goes that is not over is a forecast."""


@dataclass(frozen=True, slots=True)
class RareLeg:
    """A leg, and how rare its route was."""

    leg: Leg
    sentence: str


@dataclass(frozen=True, slots=True)
class Rarest:
    """The rarest legs, the rarest first; `judged` is how many there were to choose from, `days` how many days were observed
    before the last of them (in all, where there were none)."""

    legs: tuple[RareLeg, ...]
    judged: int
    days: int


def rarest(baseline: Baseline, table: pa.Table, most: int) -> Rarest:
    """The rarest legs of a table of `LEGS`, at most so many. None after fewer than 30 observed days."""
    legs = _judgeable(table)
    departed = np.asarray(_departures(legs))
    watched = _watched_days(baseline)
    days = np.searchsorted(watched, departed // DAY_US)
    known = days >= ENOUGH_DAYS
    legs, departed, days = legs.filter(pa.array(known)), departed[known], days[known]
    if not len(legs):
        return Rarest((), 0, len(watched))
    count, last, own = _before(baseline, legs, departed)
    arrivals = _arrivals(baseline, legs)
    order = np.lexsort((departed, arrivals, (USUAL_SHAPE + count) / (USUAL_RATE_D + days)))[:most]
    chosen = legs_from_table(legs.take(pa.array(order)))
    return Rarest(
        tuple(
            RareLeg(leg, _sentence(baseline, leg, int(count[i]), int(last[i]), int(own[i]), int(days[i])))
            for leg, i in zip(chosen, order.tolist(), strict=True)
        ),
        len(legs),
        int(days.max()),
    )


def _judgeable(table: pa.Table) -> pa.Table:
    """The tracked legs that are over and of which both ends are known well enough, and differ."""
    keep = pc.and_(pc.equal(table["source"], "tracked"), pc.is_in(table["status"], value_set=pa.array(OVER)))
    for end in ("origin", "destination"):
        sure = pc.or_(pc.equal(table[f"{end}_basis"], "observed"), pc.greater_equal(table[f"{end}_probability"], SURE))
        keep = pc.and_(keep, pc.and_(pc.is_valid(table[end]), sure))
    keep = pc.and_(keep, pc.not_equal(table["origin"], table["destination"]))
    return table.filter(pc.fill_null(keep, False))


def _departures(legs: pa.Table) -> pa.ChunkedArray:
    return pc.coalesce(legs["takeoff_time"], legs["first_seen"]).cast(pa.int64())


def _watched_days(baseline: Baseline) -> NDArray[np.float64]:
    """Days since 1970 on which anybody of the history was watched, in order."""
    found = {d for e in baseline.exposures for d in range(e.first.toordinal(), e.last.toordinal() + 1)}
    return np.array(sorted(found), np.float64) - EPOCH_ORDINAL


def _before(baseline: Baseline, legs: pa.Table, departed: Ints) -> tuple[Ints, Ints, Ints]:
    """For each leg how often its route was flown before, the departure of the last of these flights (0: none), and how many of
    them were its own: in the history and among these legs."""
    columns = baseline.columns
    origin, destination = baseline.numbers(legs["origin"]), baseline.numbers(legs["destination"])
    width = int(max(origin.max(), destination.max(), columns.origin.max(initial=0), columns.destination.max(initial=0))) + 1
    route = origin * width + destination
    past = (columns.origin >= 0) & (columns.destination >= 0)
    past &= np.isin(columns.origin * width + columns.destination, route)
    own_ids = set(legs["leg_id"].to_pylist())
    rows = np.flatnonzero(past)
    rows = rows[[leg_id not in own_ids for leg_id in baseline.leg_ids(rows)]]
    routes = np.concatenate([columns.origin[rows] * width + columns.destination[rows], route])
    times = np.concatenate([columns.departed[rows], departed])
    whose = np.concatenate([columns.aircraft[rows], baseline.words(legs["icao24"])])
    count, last = _earlier(routes, times)
    own, _ = _earlier(routes * (int(whose.max()) + 2) + whose + 1, times)
    mine = slice(len(rows), None)
    return count[mine], last[mine], own[mine]


def _earlier(group: Ints, times: Ints) -> tuple[Ints, Ints]:
    """For each row how many rows of its group are earlier, and the time of the last of them (0: none)."""
    order = np.lexsort((times, group))
    begins = np.r_[True, np.diff(group[order]) != 0]
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    count, last = np.empty_like(order), np.empty_like(times)
    count[order] = rank
    last[order] = np.where(begins, 0, np.r_[0, times[order][:-1]])
    return count, last


def _arrivals(baseline: Baseline, legs: pa.Table) -> Ints:
    """How many flights of the history went to each leg's destination."""
    there = baseline.columns.destination
    number = baseline.numbers(legs["destination"])
    return np.bincount(there[there >= 0], minlength=int(number.max()) + 1)[number]


def _sentence(baseline: Baseline, leg: Leg, count: int, last: int, own: int, days: int) -> str:
    name = leg.registration or leg.icao24 or "this aircraft"
    places = [baseline.airports.get(end.airport or "") for end in (leg.origin, leg.destination)]
    way = [place.short_name if place else end.airport for place, end in zip(places, (leg.origin, leg.destination), strict=True)]
    return in_words(
        f"from {way[0]} to {way[1]}",
        f"{days:,} observed days",
        count,
        own,
        utc(last) if count else None,
        name,
        expected(count, days, MONTH_DAYS),
    )
