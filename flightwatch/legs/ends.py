"""Where a leg came from and where it went: for ends that were not seen, a ranked and honest guess.

For every airport that could take the aircraft: prior (where this aircraft, its operator, its type go, as of the day
before; given from outside) times likelihood of the edge of the track: its direction, its height and trend against the
distance still to go, and how little of a detour the whole leg would be. The same looks backwards for an unseen
origin, with the climb for the descent. Airways bend, and so does the direction of who follows them: a way that earlier
flights between the same two places flew speaks for the place that they went to, whatever the direction. What one
leg's end says and what the next leg's beginning says of the stop
between them are put together. `unknown` is always one of the candidates: strips that the table lacks, and errors of
the model.

Angles in degrees, heights in ft, distances in nm. The constants come from descent geometry and from European regional
flights whose ends were cut off: the days before gave the prior, other days the test (see ARCHITECTURE.md).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from operator import itemgetter
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from flightwatch.aircraft.types import performance
from flightwatch.legs import silence
from flightwatch.legs.gaps import TREND_FT_MIN, Edge, Fix
from flightwatch.legs.rows import MINUTE
from flightwatch.legs.silence import Seen
from flightwatch.places import Airports
from flightwatch.places.great_circle import (
    EARTH_RADIUS_NM,
    angles,
    apart_nm,
    bearing_deg,
    bearings_deg,
    turn_deg,
    unit_vector,
    unit_vectors,
)
from flightwatch.records import UNKNOWN, Candidate

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Which = Literal["origin", "destination"]
Place = tuple[float, float]
"""Latitude and longitude."""

UNKNOWN_SHARE = 0.01
"""What is left for `unknown` however well the evidence fits: the model errs, and tables are incomplete."""

STRIP_SHARE = 0.002
"""Flights that end at a place that the table lacks, before the evidence."""

SHORT_RUNWAY = 0.05
"""Factor for an airport whose longest runway is known to be too short for the type, or not known at all for a jet."""

JET_KT, JET_RUNWAY_FT = 330.0, 4000.0
"""Faster than any propeller aircraft in common use, and the runway that jets need."""

ALONG_NM_PER_1000FT = 3.1
"""A three-degree path: 318 ft a nautical mile."""

DESCENT_RATIO, DESCENT_SPREAD = 1.05, 0.36
"""Distance still to go, over what a three-degree path needs, of aircraft seen descending: log-normal."""

CLIMB_RATIO, CLIMB_SPREAD = 0.65, 0.45
"""The same for aircraft seen climbing, looking back: they climb more steeply than they descend."""

DETOUR_NM, DETOUR_SHARE = 2.0, 0.012
"""Scale of the way flown beyond the great circle, at its shortest and as a share of the leg; one flight in five
strays eight times as far."""

STRAYING, STRAYS_TIMES = 0.2, 8.0

CIRCUIT_FT, CIRCUIT_SPREAD = 2000.0, 0.5
"""Level and this low, an aircraft is close to an airport: on a runway, in a circuit, on final."""

COURSE_DEG, TERMINAL_DEG, TERMINAL_NM = 14.0, 50.0, 25.0
"""Spread of the direction around that to the airport: en route, and in addition near it, where approaches turn."""

OFF_COURSE, OFF_COURSE_DEG, WRONG_WAY = 0.15, 60.0, 0.02
"""Aircraft that fly some other way for the moment, how far off (e-folding), and the least that is left for any
direction."""

RECEDING_NM, TERMINAL_RECEDING_NM, TURNS_BACK = 4.0, 12.0, 0.002
"""Scale of the way flown away from the airport that the flight goes to, en route and in addition near it; and flights
that turn back."""

COURSE_WEIGHT = 0.75
"""Direction and detour say partly the same."""

LEAVING_NM, LEAVING_DEG, LEAVING_DETOUR_NM = 12.0, 60.0, 10.0
"""Near the leg's other end (e-folding) departures follow the runway and arrivals turn to it: how much wider the
direction spreads there, and how far that leads astray."""

CLIMBS_OUT_NM = 15.0
"""An aircraft whose trend is not known, this near to where it took off, is climbing."""

KNOWN_WAYS = 0.95
"""The most that is believed of flights keeping to ways flown before, however many did."""

WAY_SHARPNESS = 8.0
"""How much closer together flights are that follow one another than the best that geometry alone expects."""

WORST_HEIGHT = -5.0
"""Log-likelihood below which an odd height counts no further against an airport that fits otherwise."""

SAME_PLACE = 0.97
"""A leg begins where the one before it ended, unless one in between was missed."""

MISSED_AFTER_DAYS = 20.0
"""After this long out of sight, missed legs have become likely (e-folding)."""

NEARBY_NM, NOTABLE_PRIOR = 250.0, 1e-4
"""Strips farther away than this are in question only if history gives them at least this."""

IN_QUESTION = 1e-4
"""Airports this much less likely than the likeliest one are not worth a look at the coverage on the way there."""

SLOWEST_KT = 60.0
"""Less is no speed that an aircraft flies on with."""

LISTED = 0.01
"""Candidates from this probability up are listed."""

MOST_LISTED = 20


class Prior(Protocol):
    """What history says of a leg. `over`: a probability for every row of the airport table, with a sum of at
    most one. `came_by`: for every row, how many earlier flights had it as their end, how many of these came by a
    position on this course (NaN: unknown), and which share of such flights takes a way flown before. `seen_share`: how
    much of the traffic at some positions was seen, and of how much there is no telling."""

    def came_by(
        self, which: Which, day: date, *, other: int | None, latitude: float, longitude: float, altitude: float, course: float
    ) -> tuple[Floats, Floats, Floats]: ...

    def over(
        self,
        which: Which,
        day: date,
        *,
        aircraft: str,
        operator: str | None,
        typecode: str | None,
        other: int | None,
        clock_min: int | None = None,
        military: bool = False,
    ) -> Floats: ...

    def seen_share(self, day: date, latitude: Floats, longitude: Floats, altitude: Floats) -> tuple[Floats, Floats]: ...


@dataclass(frozen=True, slots=True)
class Likelihood:
    """For each airport within reach (`rows`) the log-likelihood of one edge.

    `nowhere` is that of an end that the table lacks: such places lie about where the listed ones do, so it is their
    mean.
    """

    rows: Ints
    log: Floats
    nowhere: float


@dataclass(frozen=True, slots=True)
class Posterior:
    """Probabilities of rows of the airport table; what is missing to one is `unknown`."""

    rows: Ints
    probability: Floats

    @property
    def unknown(self) -> float:
        return max(0.0, 1.0 - float(self.probability.sum()))

    def dense(self, size: int) -> Floats:
        out = np.zeros(size)
        out[self.rows] = self.probability
        return out


def look(
    which: Which,
    edge: Edge,
    path: Sequence[Fix],
    other: int | None,
    typecode: str | None,
    fastest_kt: float,
    flown_nm: float,
    prior: Floats,
    ways: tuple[Floats, Floats, Floats],
    airports: Airports,
    silent_min: float = 0.0,
    seen: Seen = silence.nothing_known,
) -> Likelihood:
    """What the edge of a track says of the airport beyond it.

    `path` are the fixes at that edge in time order, `other` the row of the leg's other end if that is known,
    `fastest_kt` the highest speed seen on the leg (NaN where none was), which tells a jet where the type is not
    known, `ways` what `Prior.came_by` says, `silent_min` for how long nobody saw the aircraft, `seen` how much of the
    traffic is seen where. Far airports without scheduled service that nobody is known to fly to are
    left out: there are 40,000 of them, and each matters only to those who are near.
    """
    fix = edge.fix
    limits = performance(typecode)
    reach = max(limits.range_nm - flown_nm, 500.0) if which == "destination" else limits.range_nm
    here = unit_vector(fix.latitude, fix.longitude)
    rows, distance = _in_question(here, reach, prior, airports)
    vectors = airports.vectors.take(rows, axis=0)
    behind = math.inf
    if other is not None:
        behind = apart_nm(fix.latitude, fix.longitude, airports.latitude[other], airports.longitude[other])
    leaving = math.exp(-behind / LEAVING_NM)
    height = _height_log(which, fix.altitude, _climb(which, edge, behind), distance, airports.elevation_ft[rows])
    course = COURSE_WEIGHT * _course_log(courses_at(which, fix, path), here, distance, leaving, vectors)
    geometry = height + course + _receding_log(path, distance, leaving, vectors)
    best = np.full(len(rows), COURSE_WEIGHT * math.log(1 - OFF_COURSE + OFF_COURSE * (0.3 + WRONG_WAY)))
    if other is not None:
        whole = angles(vectors, airports.vectors[other]) * EARTH_RADIUS_NM
        geometry += _detour_log(np.maximum(behind + distance - whole, 0.0), whole, leaving)
        best += _detour_log(np.zeros(len(rows)), whole, leaving)
    log = _by_known_ways(geometry, best, *(of[rows] for of in ways))
    needed_ft = max(limits.runway_ft, JET_RUNWAY_FT if fastest_kt > JET_KT else 0.0)
    log += _runway_log(needed_ft, airports, rows)
    nowhere = float(np.logaddexp.reduce(geometry)) - math.log(len(rows)) if len(rows) else 0.0
    if silent_min <= 0:
        return Likelihood(rows, log, nowhere)
    silent, anywhere = _silence_log(edge, log, prior[rows], limits.cruise_kt, silent_min, seen, airports, rows)
    return Likelihood(rows, log + silent, nowhere + anywhere)


def _silence_log(
    edge: Edge, log: Floats, prior: Floats, usual_kt: float, silent_min: float, seen: Seen, airports: Airports, rows: Ints
) -> tuple[Floats, float]:
    """How little the silence since the last fix surprises, for each airport, and for places that the table lacks: as
    for the airports on the whole. That also stands for those that are hardly in question, which nobody looks at."""
    weight = log + np.log(np.maximum(prior, 1e-300))
    weight = np.exp(weight - weight.max(initial=-np.inf))
    likely = np.flatnonzero(weight > IN_QUESTION)
    fields = np.stack([airports.latitude[rows], airports.longitude[rows], np.nan_to_num(airports.elevation_ft[rows])], axis=1)
    fix, climbs = edge.fix, edge.climb_ft_min > TREND_FT_MIN
    speed = edge.speed_kt if edge.speed_kt > SLOWEST_KT else usual_kt
    at = (fix.latitude, fix.longitude, fix.altitude)
    chances = silence.to_airports(at, silence.CEILING_FT, fields[likely], speed, silent_min, seen, climbs=climbs)
    total = float(weight[likely].sum())
    anywhere = math.log(float(weight[likely] @ chances) / total) if total > 0 else 0.0
    out = np.full(len(rows), anywhere)
    out[likely] = np.log(chances)
    return out, anywhere


def _climb(which: Which, edge: Edge, behind_nm: float) -> float:
    """The trend towards the end in question (ft/min), backwards for an origin."""
    if math.isnan(edge.climb_ft_min) and behind_nm < CLIMBS_OUT_NM:
        return 2 * TREND_FT_MIN
    return edge.climb_ft_min if which == "destination" else -edge.climb_ft_min


def _by_known_ways(geometry: Floats, best: Floats, flights: Floats, came: Floats, shared: Floats) -> Floats:
    """The log-likelihood of the edge for each airport: a mixture of what geometry says and of the ways that earlier
    flights flew, as far as there were any and flights share them. `best` is the most that geometry can say."""
    if not flights.any():
        return geometry.copy()
    known = np.minimum(shared, KNOWN_WAYS) * flights / (flights + 1)
    follows = known * came / np.maximum(flights, 1e-9) * WAY_SHARPNESS
    with np.errstate(divide="ignore"):
        return np.asarray(np.logaddexp(np.log1p(-known) + geometry, np.log(follows) + best))


def _in_question(here: Floats, reach_nm: float, prior: Floats, airports: Airports) -> tuple[Ints, Floats]:
    """The airports within reach that are near, or large, or known to be flown to, and how far they are (nm)."""
    cosine = airports.vectors @ here
    near = cosine >= math.cos(NEARBY_NM / EARTH_RADIUS_NM)
    within = cosine >= math.cos(min(reach_nm / EARTH_RADIUS_NM, math.pi))
    notable = airports.notable | (prior > NOTABLE_PRIOR)
    rows = np.flatnonzero(airports.landable & (near | (within & notable)))
    return rows, angles(airports.vectors.take(rows, axis=0), here) * EARTH_RADIUS_NM


def _height_log(which: Which, altitude: float, climb: float, distance: Floats, elevation: Floats) -> Floats:
    """How well the distance fits the height: going down (seen from the end), level, or going up."""
    if math.isnan(altitude):
        return np.zeros(len(distance))
    height = np.maximum(altitude - elevation, 100.0) / 1000
    slack = 1.0 + 3.0 * np.minimum(height / 10, 1)  # manoeuvring: less of it the lower the aircraft is
    ratio = (distance + slack) / (height * ALONG_NM_PER_1000FT + slack)
    if climb < -TREND_FT_MIN:
        middle, spread = (DESCENT_RATIO, DESCENT_SPREAD) if which == "destination" else (CLIMB_RATIO, CLIMB_SPREAD)
        log = -0.5 * (np.log(ratio / middle) / spread) ** 2 - math.log(spread)
        worst = WORST_HEIGHT - 3.0 * (1 - np.minimum(height / 5, 1))
        return np.asarray(np.logaddexp(log, worst))
    if climb > TREND_FT_MIN:
        return np.where(ratio > 1.2, 0.0, -3.0)
    low = np.log(ratio / DESCENT_RATIO) / CIRCUIT_SPREAD
    level = np.where(ratio > 0.8, 0.0, -8 * (0.8 - ratio))
    return np.where(height < CIRCUIT_FT / 1000, np.maximum(-0.5 * low**2, WORST_HEIGHT - 3.0), level)


def _course_log(courses: Sequence[float], here: Floats, distance: Floats, leaving: float, vectors: Floats) -> Floats:
    """How well the direction of the last minutes fits that to the airport; the best of a short and a longer look,
    because aircraft turn."""
    if not courses:
        return np.zeros(len(vectors))
    towards = bearings_deg(here, vectors)
    off = np.min([turn_deg(towards, c) for c in courses], axis=0)
    spread = COURSE_DEG + LEAVING_DEG * leaving + TERMINAL_DEG * np.exp(-distance / TERMINAL_NM)
    on_course = np.exp(-0.5 * (off / spread) ** 2)
    return np.asarray(np.log((1 - OFF_COURSE) * on_course + OFF_COURSE * (0.3 * np.exp(-off / OFF_COURSE_DEG) + WRONG_WAY)))


def _receding_log(path: Sequence[Fix], distance: Floats, leaving: float, vectors: Floats) -> Floats:
    """How far the last minutes led away from the airport: who goes there does not pass it by and fly on."""
    seen = unit_vectors([f.latitude for f in path], [f.longitude for f in path])
    nearest = np.arccos(np.clip((vectors @ seen.T).max(axis=1), -1, 1)) * EARTH_RADIUS_NM
    away = np.maximum(distance - nearest, 0.0)
    scale = RECEDING_NM + LEAVING_DETOUR_NM * leaving + TERMINAL_RECEDING_NM * np.exp(-distance / TERMINAL_NM)
    return np.asarray(np.logaddexp(-away / scale, math.log(TURNS_BACK)))


def courses_at(which: Which, fix: Fix, path: Sequence[Fix]) -> list[float]:
    """The direction (deg) towards the end in question at the edge of a track, by a short and by a longer look."""
    courses = []
    if not math.isnan(fix.track):
        courses.append(fix.track if which == "destination" else (fix.track + 180) % 360)
    for least in (0.8 * MINUTE, 2.8 * MINUTE):
        away = [f for f in path if abs(f.time - fix.time) >= least and (f.latitude, f.longitude) != (fix.latitude, fix.longitude)]
        if away:
            near = away[-1] if which == "destination" else away[0]
            courses.append(float(bearing_deg(near.latitude, near.longitude, fix.latitude, fix.longitude)))
    return courses


def _detour_log(extra: Floats, whole: Floats, leaving: float) -> Floats:
    """How well it fits that the leg would be so much longer than the great circle (nm)."""
    scale = DETOUR_NM + LEAVING_DETOUR_NM * leaving + DETOUR_SHARE * whole
    straight = math.log(1 - STRAYING) - np.log(scale) - extra / scale
    far = STRAYS_TIMES * scale
    return np.asarray(np.logaddexp(straight, math.log(STRAYING) - np.log(far) - extra / far))


def _runway_log(needed_ft: float, airports: Airports, rows: Ints) -> Floats:
    runway = airports.runway_ft[rows]
    too_short = (runway < needed_ft) | (np.isnan(runway) & airports.small[rows] & (needed_ft >= 4000))
    return np.where(too_short, math.log(SHORT_RUNWAY), 0.0)


def posterior(likelihood: Likelihood, prior: Floats) -> Posterior:
    """Prior times likelihood, with `unknown` among the outcomes and never below its share."""
    weight = np.log(np.maximum(prior[likelihood.rows], 1e-300)) + likelihood.log
    nowhere = math.log(STRIP_SHARE) + likelihood.nowhere
    top = max(float(weight.max(initial=-np.inf)), nowhere)
    value = np.exp(weight - top)
    total = float(value.sum()) + math.exp(nowhere - top)
    return Posterior(likelihood.rows, (1 - UNKNOWN_SHARE) * value / total)


def same_stop(first: Posterior, second: Likelihood, prior: Floats, apart_days: float) -> tuple[Posterior, Posterior]:
    """Where one leg ended and where the next one began, each with what the other says: mostly they are one place.

    `first` is the end of the earlier leg by itself, `second` what the beginning of the later leg looks like, `prior`
    where such a leg begins.
    """
    same = SAME_PLACE * math.exp(-apart_days / MISSED_AFTER_DAYS)
    size = len(prior)
    seen = np.zeros(size)
    top = max(float(second.log.max(initial=-np.inf)), second.nowhere)
    seen[second.rows] = np.exp(second.log - top)
    nowhere = math.exp(second.nowhere - top)
    ended = first.dense(size)
    apart = float((prior * seen).sum()) + STRIP_SHARE * nowhere
    end = ended * (same * seen + (1 - same) * apart)
    end_unknown = first.unknown * (same * nowhere + (1 - same) * apart)
    begin = same * ended * seen + (1 - same) * prior * seen
    begin_unknown = same * first.unknown * nowhere + (1 - same) * STRIP_SHARE * nowhere
    return _normalised(end, end_unknown), _normalised(begin, begin_unknown)


def _normalised(weight: Floats, unknown: float) -> Posterior:
    """Weights as probabilities that leave `unknown` its share, whatever both legs say together."""
    total = float(weight.sum()) + unknown
    if total <= 0:
        return Posterior(np.empty(0, np.int64), np.empty(0))
    rows = np.flatnonzero(weight > 1e-9 * total)
    return Posterior(rows, (1 - UNKNOWN_SHARE) * weight[rows] / total)


def at_fields(places: Collection[Place], airports: Airports) -> dict[Place, Posterior]:
    """The airport on whose ground an aircraft stands at each of some places: near its reference point, as far as its runways
    reach. Many at once take a tenth of the time."""
    where = np.array(list(places), np.float64).reshape(-1, 2)
    at, rows, distance = airports.around(where[:, 0], where[:, 1], FIELD_NM)
    runway_ft = airports.runway_ft[rows]
    reach = 0.5 + np.where(np.isnan(runway_ft), USUAL_RUNWAY_FT, runway_ft) / FT_PER_NM / 2
    weight = np.array([FIELD_WEIGHTS[size] for size in airports.size[rows].tolist()])
    fit = weight * np.exp(-0.5 * (distance / reach) ** 2) + 1e-12
    nothing = 1e-4
    share = fit / (np.bincount(at, fit, len(where)) + nothing)[at]
    edges = pairwise(np.searchsorted(at, np.arange(len(where) + 1)).tolist())
    return {place: Posterior(rows[a:b], share[a:b]) for place, (a, b) in zip(places, edges, strict=True)}


FIELD_NM = 5.0
"""The largest airfields reach this far from their reference point."""

USUAL_RUNWAY_FT, FT_PER_NM = 2000.0, 6076.0
"""What is taken for the length of a runway that the table does not tell."""

FIELD_WEIGHTS = {"large": 1.0, "medium": 0.5, "small": 0.1, "seaplane": 0.02}
"""What an aircraft on the ground between two airports more probably stands on."""


def candidates(result: Posterior, airports: Airports) -> tuple[Candidate, ...]:
    """The listed form: airports from `LISTED` up, best first, and `unknown`, which also takes what was too small to
    list."""
    rows, probability = result.rows, result.probability
    if len(rows) > MOST_LISTED:
        worth = (probability >= LISTED).nonzero()[0]
        rows, probability = rows[worth], probability[worth]
    found = sorted(zip(probability.tolist(), rows.tolist(), strict=True), key=itemgetter(0), reverse=True)[:MOST_LISTED]
    listed = [Candidate(airports.ident[row], round(p, 4)) for p, row in found if p >= LISTED]
    rest = max(0.0, 1.0 - sum([c.probability for c in listed]))
    return (*listed, Candidate(UNKNOWN, round(rest, 4)))
