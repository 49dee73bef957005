"""Each kind of condition: whether it holds for a case, in words that people read.

In: a condition of `language` and a case. Out: its result, with the condition and the value that it met in words. What is
not known is neither true nor false: an open stop, a time that nobody saw, a history too short.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from fnmatch import translate
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from flightwatch.places import Airports, country_name
from flightwatch.places.great_circle import between, distance_nm
from flightwatch.places.regions import Region
from flightwatch.records import BEGAN, CODE, EMERGENCY, WAYPOINT, Aircraft, End, Held, Leg, Stop, Target
from flightwatch.rules.cases import NOWHERE, Case, History, Result, Truth, all_of, any_of, result
from flightwatch.rules.language import (
    DAYS,
    AfterCondition,
    AircraftCondition,
    Area,
    DormantCondition,
    DurationCondition,
    EventCondition,
    FirstSeenCondition,
    FirstVisitCondition,
    PlaceCondition,
    PositionCondition,
    RarityCondition,
    TimeCondition,
    To,
    TogetherCondition,
    VisitsCondition,
)
from flightwatch.rules.measures import PERIOD_DAYS, clock, in_clock, moment, span
from flightwatch.rules.remembering import remembered

LEAST_OBSERVED_DAYS = 90
"""With fewer days of history nothing is called rare, or a first visit."""

PATTERNS_KEPT = 4096
"""More than rules hold."""

UNWATCHED = "; not all of the days were watched"
NOWHERE_SEEN = "nowhere on its way, as far as seen"

ASKED_BY_PATTERNS = ("watchlist", "registration", "icao24", "typecode", "operator", "callsign", "country", "role")

LEAD = 0.5
"""Where an aircraft was is counted by the place that leads with at least this."""

WATCHED = 0.9
"""Share of the days of a span on which a flight would have been seen, from which on it is known that there were no others: an
outage of a day in a fortnight hides few."""

WIDEST_DEG = 180.0
"""An area across the antimeridian is told as the whole width of the world; no event is half as wide."""

STEP_NM = 5.0
"""Between two waypoints a way is asked in steps of this length; no city is smaller."""

REACH_NM = 400.0
"""Waypoints are hardly ever farther apart than this: of those that are not, both are as near to all that lies between."""

HOLE_S = 3600
"""Waypoints farther apart than this (the longest stretch of a way takes 40 minutes) leave open what lay between."""


# --------------------------------------------------------------------------------------------------------------------- aircraft


def aircraft(condition: AircraftCondition, case: Case) -> Result:
    """All that is given must hold; of an event, for one of its aircraft."""
    if not case.everybody:
        return fits(condition, case.aircraft, case.callsigns, case.sure)
    results = [fits(condition, one, one.callsigns, case.sure) for one in case.everybody]
    return next((r for r in results if r.truth), any_of(results))


def fits(condition: AircraftCondition, who: Aircraft, callsigns: tuple[str, ...], sure: bool) -> Result:
    results = []
    for name, like, words in _named(condition):
        values = _values(name, who, callsigns)
        met = [v for v in values if like(v.casefold())]
        undecided = name != "watchlist" or any(like(v.casefold()) for v in who.undecided)
        open_ = not met and not sure and undecided
        told = ", ".join(met) or ", ".join(values) or "not known"
        results.append(result(None if open_ else bool(met), words, told))
    if condition.military is not None:
        known_to_be = None if who.military is None and not sure else bool(who.military)
        truth = None if known_to_be is None else known_to_be is condition.military
        results.append(result(truth, "military" if condition.military else "not military", _yes_or_no(who.military)))
    return all_of(results)


@remembered
def _named(condition: AircraftCondition) -> list[tuple[str, Callable[[str], object], str]]:
    """What is asked for by patterns, with what tells whether a text is like them, and the condition in words."""
    wanted = {name: getattr(condition, name) for name in ASKED_BY_PATTERNS}
    return [(name, globs(tuple(like)), f"{name} {', '.join(like)}") for name, like in wanted.items() if like]


def _values(name: str, who: Aircraft, callsigns: tuple[str, ...]) -> tuple[str, ...]:
    if name == "watchlist":
        return who.watchlists
    return callsigns if name == "callsign" else _one(getattr(who, name))


def _yes_or_no(flag: bool | None) -> str:
    return "not known" if flag is None else "yes" if flag else "no"


def _one(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


@lru_cache(maxsize=PATTERNS_KEPT)
def globs(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """What tells whether a text in small letters is like one of some patterns."""
    return re.compile("|".join(translate(pattern.casefold()) for pattern in patterns)).match


# ----------------------------------------------------------------------------------------------------------------------- places


@remembered
def target_of_place(condition: PlaceCondition) -> Target:
    """The places that a condition names, those in its regions included."""
    airports = (*(condition.airport or ()), *condition.inside)
    countries = tuple(condition.country or ())
    return Target(airports, countries, place_words(condition) if condition.areas else "")


@remembered
def place_words(condition: PlaceCondition) -> str:
    return ", ".join([*(condition.airport or ()), *map(country_name, condition.country or ()), *area_words(condition)])


def area_words(condition: Area) -> list[str]:
    near = condition.near
    point = [] if near is None else [near.airport or f"{near.latitude:g}, {near.longitude:g}"]
    return [*(condition.region or ()), *(f"{near.nm:g} nm of {p}" for p in point if near)]


def place(name: str, condition: PlaceCondition, stop: Stop | None, case: Case) -> Result:
    if stop is None:
        return Result(None)
    target = target_of_place(condition)
    probability = place_probability(stop, target, case.airports) if target.airports or target.countries else 0.0
    observed = stop.basis == "observed" or not condition.observed
    truth = observed and probability >= condition.probability * case.factor
    return result(truth, f"{name} {_demanded_words(condition)}", f"{stop.basis}, {probability:.2f}{_instead(stop, truth)}")


@remembered
def _demanded_words(condition: PlaceCondition) -> str:
    seen = ", observed," if condition.observed else ""
    return f"{place_words(condition)}{seen} with at least {condition.probability:g}"


def _instead(stop: Stop, truth: bool) -> str:
    """Where it was instead, as far as known."""
    return "" if truth else f" ({stop.airport or 'no airport leads'})"


def origin(condition: PlaceCondition, case: Case) -> Result:
    return place("origin", condition, case.start, case)


def destination(condition: PlaceCondition, case: Case) -> Result:
    """Of a stay, where the aircraft went from there."""
    return place("destination", condition, case.onward if case.departure else case.place, case)


def via(condition: PlaceCondition, case: Case) -> Result:
    """One of the stops in between."""
    if case.between is None:
        return Result(None)
    results = [place("via", condition, stop, case) for stop in case.between]
    return any_of(results) if results else result(False, f"via {place_words(condition)}", "no stop in between")


def at(condition: PlaceCondition, case: Case) -> Result:
    """The place of a stay, or of an event: one of its airports, where it began, if that is told of one that grows while the
    aircraft flies on, or else the middle of the area it lay in."""
    event = case.event
    if event is None:
        return place("at", condition, case.place, case)
    target = target_of_place(condition)
    there = [a for a in event.airports if a in target.airports or case.airports.country_of(a) in target.countries]
    middle = (event.south + event.north) / 2, (event.west + event.east) / 2
    latitude, longitude = (event.evidence.get(name, at) for name, at in zip(BEGAN, middle, strict=True))
    wide = BEGAN[0] not in event.evidence and event.east - event.west > WIDEST_DEG  # it has no middle that means anything
    inside = not wide and any(area.contains([latitude], [longitude])[0] for area in condition.areas)
    where = ", ".join(there or event.airports) or ("all round the world" if wide else f"{latitude:.1f}, {longitude:.1f}")
    truth: Truth = None if wide and condition.areas and not there else bool(there or inside)
    if condition.observed and event.basis != "observed":
        truth = False
    seen = ", observed" if condition.observed else ""
    return result(truth, f"at {place_words(condition)}{seen}", f"{event.basis}, {where}")


def place_probability(stop: Stop, target: Target, airports: Airports) -> float:
    """The probability that a stop is one of the target's airports or lies in one of its countries."""
    if not target.airports and not target.countries:
        return max((c.probability for c in stop.candidates if airports.row(c.airport) is not None), default=0.0)
    named, countries, country_of, there = _airports_of(target), target.countries, airports.countries, 0.0
    for c in stop.candidates:
        if c.airport in named or (countries and country_of.get(c.airport) in countries):
            there += c.probability
    return round(min(there, 1.0), 4)


@remembered
def _airports_of(target: Target) -> frozenset[str]:
    return frozenset(target.airports)


# -------------------------------------------------------------------------------------------------------------------- positions


def position(condition: PositionCondition, case: Case) -> Result:
    """Whether the way of a flight has a point that fits in every respect. A way is what was seen, thinned to a position
    every few minutes; between these it is taken to run straight. Where it has a hole, it may have been anywhere."""
    words = _position_words(condition)
    if not case.way:
        return Result(None)
    results = [_flown(condition, leg, words) for leg in case.way]
    return any_of(results)


def may_fit(
    condition: PositionCondition,
    latitude: np.ndarray[Any, Any],
    longitude: np.ndarray[Any, Any],
    altitude: np.ndarray[Any, Any],
    speed: np.ndarray[Any, Any],
    reach_nm: float,
) -> np.ndarray[Any, Any]:
    """Which of some aircraft, by where they are (deg, ft, kt), may have a way that fits by now: those within reach of a
    region, or, where none is named, those that fly so high and fast, as far as known."""
    if condition.areas:
        return np.asarray(np.logical_or.reduce([area.near(latitude, longitude, reach_nm) for area in condition.areas]))
    fit = np.ones(len(latitude), bool)
    for value, limit, sign in _limits(condition, altitude, speed):
        fit &= np.isnan(value) | (sign * (value - limit) > 0)
    return fit


def may_have_flown(condition: PositionCondition, ways: Sequence[bytes | None]) -> np.ndarray[Any, Any]:
    """Which of some ways may have a point that surely fits (`position`): those with a waypoint in the wider neighbourhood of a
    region or, where none is named, with any. Of where a flight without a way was, nothing is sure."""
    kept = [way or b"" for way in ways]
    points = np.frombuffer(b"".join(kept), dtype=WAYPOINT)
    of = np.repeat(np.arange(len(kept)), [len(way) // WAYPOINT.itemsize for way in kept])
    fit = np.ones(len(points), bool)
    if condition.areas and len(points):
        latitude, longitude = points["latitude"].astype(np.float64), points["longitude"].astype(np.float64)
        stretch = distance_nm(latitude[:-1], longitude[:-1], latitude[1:], longitude[1:])
        fit = np.logical_or.reduce([area.near(latitude, longitude, REACH_NM) for area in condition.areas])
        fit[:-1] |= (of[:-1] == of[1:]) & (stretch > REACH_NM)
    found = np.zeros(len(kept), bool)
    found[of[fit]] = True
    return found


def _limits(
    condition: PositionCondition, altitude: np.ndarray[Any, Any], speed: np.ndarray[Any, Any]
) -> list[tuple[np.ndarray[Any, Any], float, int]]:
    """The values that a position has limits of, with the limit and on which side of it they have to lie."""
    limits = (
        (altitude, condition.below, -1),
        (altitude, condition.above, 1),
        (speed, condition.slower, -1),
        (speed, condition.faster, 1),
    )
    return [(value, limit, sign) for value, limit, sign in limits if limit is not None]


def _position_words(condition: PositionCondition) -> str:
    area = " or ".join(area_words(condition))
    told = [f"{condition.moving or 'in'} {area}"] if area else []
    limits = (("below", "ft"), ("above", "ft"), ("slower", "kt"), ("faster", "kt"))
    told += [f"{name} {getattr(condition, name):g} {unit}" for name, unit in limits if getattr(condition, name) is not None]
    return "position " + ", ".join(told)


def _flown(condition: PositionCondition, leg: Leg, words: str) -> Result:
    way = np.frombuffer(leg.way, dtype=WAYPOINT)
    if not len(way):
        return result(None, words, "not known: no way is kept of this flight")
    points = _densified(way)
    latitude, longitude, altitude, speed = points[:, 1], points[:, 2], points[:, 3], points[:, 4]
    inside = there = _inside(condition.areas, latitude, longitude)
    outside_next = np.zeros(len(points), bool)
    if condition.moving == "entering":
        outside_next[1:] = ~inside[:-1]
    elif condition.moving == "leaving":
        inside, outside_next[1:] = ~inside, inside[:-1]
    fit = inside & (outside_next if condition.moving else True)
    known = np.ones(len(points), bool)
    for value, limit, sign in _limits(condition, altitude, speed):
        known &= ~np.isnan(value)
        fit &= np.isnan(value) | (sign * (value - limit) > 0)
    sure = np.flatnonzero(fit & known)
    if len(sure):
        when = datetime.fromtimestamp(points[sure[0], 0], UTC)
        return result(True, words, f"{latitude[sure[0]]:.2f}, {longitude[sure[0]]:.2f} about {when:%-d %b %H:%M} UTC")
    if fit.any():
        return result(None, words, "not known: no altitude or speed there")
    if (np.diff(way["time"].astype(np.int64)) > HOLE_S).any():
        return result(None, words, "not known: part of its way was not seen")
    return result(False, words, _missed_by(condition, points, there))


def _missed_by(condition: PositionCondition, points: np.ndarray[Any, Any], there: np.ndarray[Any, Any]) -> str:
    """By how much a way, without a hole, has no such point: how far from the region it stayed, or how low, high, slow and fast
    it was in there."""
    if not there.any():
        away = min(area.away_nm(points[:, 1], points[:, 2]) for area in condition.areas)
        return f"{NOWHERE_SEEN}; the nearest was {away:,.0f} nm away"
    altitude, speed = points[there, 3], points[there, 4]
    told = [
        f"{word} {fit(value):,.0f} {unit}"
        for limit, word, unit, fit, value in (
            (condition.below, "lowest", "ft", np.nanmin, altitude),
            (condition.above, "highest", "ft", np.nanmax, altitude),
            (condition.slower, "slowest", "kt", np.nanmin, speed),
            (condition.faster, "fastest", "kt", np.nanmax, speed),
        )
        if limit is not None and not np.isnan(value).all()
    ]
    return f"{NOWHERE_SEEN}: {', '.join(told)}" + (" there" if condition.areas else "") if told else NOWHERE_SEEN


def _inside(areas: Sequence[Region], latitude: np.ndarray[Any, Any], longitude: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if not areas:
        return np.ones(len(latitude), bool)
    return np.asarray(np.logical_or.reduce([area.contains(latitude, longitude) for area in areas]))


def _densified(way: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A way in short steps: time (s), latitude, longitude, altitude (ft), speed (kt); shape (n, 5). Holes stay holes."""
    first = way[0]
    rows = [np.array([[first["time"], first["latitude"], first["longitude"], first["altitude"], np.nan]], dtype=np.float64)]
    for a, b in pairwise(way):
        seconds = float(b["time"]) - float(a["time"])
        nm = float(distance_nm(a["latitude"], a["longitude"], b["latitude"], b["longitude"]))
        speed = nm / seconds * 3600 if 0 < seconds <= HOLE_S else np.nan
        steps = max(1, int(np.ceil(nm / STEP_NM))) if seconds <= HOLE_S else 1
        lat, lon = between(float(a["latitude"]), float(a["longitude"]), float(b["latitude"]), float(b["longitude"]), steps)
        share = np.linspace(0, 1, steps + 1)
        when = float(a["time"]) + share * seconds
        altitude = float(a["altitude"]) + share * (float(b["altitude"]) - float(a["altitude"]))
        rows.append(np.stack([when, lat, lon, altitude, np.full(steps + 1, speed)], axis=1)[1:])
    points = np.concatenate(rows)
    points[0, 4] = points[min(1, len(points) - 1), 4]  # it left as fast as it went on
    return points


# ------------------------------------------------------------------------------------------------------------------- time, span


def time_(condition: TimeCondition, case: Case) -> Result:
    """Whether a take-off or landing, or the beginning of an event, lies in a span of time; not known where it may or may
    not."""
    if case.event is None and not case.way:
        return Result(None)
    if case.event is not None:
        what, stop = "time", None
        likely: datetime | None = case.event.since
        first = last = likely
    else:
        leaving = condition.of == "takeoff"
        end, stop = (case.way[0].origin, case.start) if leaving else (case.way[-1].destination, case.place)
        what, likely, first, last = condition.of, end.time, end.earliest or end.time, end.latest or end.time
    words, zone = _time_words(what, condition), _zone(condition, stop, case)
    if likely is None or first is None or last is None or zone is None:
        return result(None, words, "not known when" if likely is None else "not known in which time zone")
    truths = {_is_in(condition, one) for one in _turns(condition, first.astimezone(zone), last.astimezone(zone))}
    told = f"{likely.astimezone(zone):%a %-d %b %Y %H:%M} ({zone})" + ("" if first == last else ", not observed")
    return result(truths.pop() if len(truths) == 1 else None, words, told)


def _turns(condition: TimeCondition, first: datetime, last: datetime) -> list[datetime]:
    """The first time of a span, and all others in it from which on the condition may hold or no longer hold."""
    marks: list[datetime] = [_in_zone(limit, first) for limit in (condition.since, condition.until) if limit is not None]
    minutes = (0, *(clock(condition.between) if condition.between else ()))
    for number in range((last.date() - first.date()).days + 1):
        midnight = datetime.combine(first.date() + timedelta(days=number), time(), first.tzinfo)
        marks += [midnight + timedelta(minutes=minute) for minute in minutes]
    return [first, *(mark.astimezone(first.tzinfo) for mark in marks if first < mark <= last)]


def _zone(condition: TimeCondition, stop: Stop | None, case: Case) -> ZoneInfo | None:
    if condition.zone == "UTC":
        return ZoneInfo("UTC")
    airport = case.airports.get(stop.airport if stop else next(iter(case.event.airports if case.event else ()), None))
    return ZoneInfo(airport.timezone) if airport else None


def _is_in(condition: TimeCondition, when: datetime) -> bool:
    return (
        (condition.days is None or DAYS[when.weekday()] in condition.days)
        and (condition.between is None or in_clock(condition.between, when.hour * 60 + when.minute))
        and (condition.since is None or when >= _in_zone(condition.since, when))
        and (condition.until is None or when < _in_zone(condition.until, when))
    )


def _in_zone(limit: str, like: datetime) -> datetime:
    """A limit, in the zone of another time where it names none."""
    read = moment(limit)
    return read if read.tzinfo else read.replace(tzinfo=like.tzinfo)


def _time_words(what: str, condition: TimeCondition) -> str:
    told: list[str] = [what]
    told += [f"on {', '.join(condition.days)}"] if condition.days else []
    told += [f"between {condition.between}"] if condition.between else []
    told += [f"{name} {limit}" for name in ("since", "until") if (limit := getattr(condition, name)) is not None]
    return f"{' '.join(told)} {condition.zone}"


def duration(condition: DurationCondition, case: Case) -> Result:
    """How long it took: a stay, once the aircraft has left; a journey as far as the place in question; one of the flights on
    the way there. What is not over has lasted at least until now."""
    of = condition.of or ("stay" if case.departure else "leg" if len(case.way) == 1 else "journey")
    words = f"duration of the {of} " + " and ".join(
        f"{name.replace('_', ' ')} {limit}" for name in ("at_least", "at_most") if (limit := getattr(condition, name))
    )
    if of == "leg":
        return any_of([_lasted(condition, words, _way_bounds((leg,))) for leg in case.way]) if case.way else Result(None)
    return _lasted(condition, words, _stay_bounds(case) if of == "stay" else _way_bounds(case.way))


Bounds = tuple[timedelta, timedelta | None, timedelta | None]
"""The least that a time can have lasted, what it probably has, and the most."""


def _lasted(condition: DurationCondition, words: str, bounds: Bounds | None) -> Result:
    if bounds is None:
        return result(None, words, "not known")
    least, likely, most = bounds
    truths = []
    if condition.at_least:
        truths.append(_beyond(span(condition.at_least), least, likely, most))
    if condition.at_most:
        longer = _beyond(span(condition.at_most) + timedelta(microseconds=1), least, likely, most)
        truths.append(None if longer is None else not longer)
    truth = False if False in truths else None if None in truths else True
    return result(truth, words, _hours(likely) if likely is not None else f"at least {_hours(least)}")


def _beyond(limit: timedelta, least: timedelta, likely: timedelta | None, most: timedelta | None) -> Truth:
    if least >= limit:
        return True
    if most is not None and most < limit:
        return False
    return None if likely is None else likely >= limit


def _stay_bounds(case: Case) -> Bounds | None:
    if case.departure is None or not case.way:
        return None
    down, up = case.way[-1].destination, case.departure.origin
    if down.time is None or up.time is None:
        return None
    least = (up.earliest or up.time) - (down.latest or down.time)
    return max(least, timedelta(0)), up.time - down.time, (up.latest or up.time) - (down.earliest or down.time)


def _way_bounds(way: Sequence[Leg]) -> Bounds | None:
    if not way:
        return None
    up, down = way[0].origin, way[-1].destination
    over = down.time is not None and way[-1].status in ("landed", "presumed_landed")
    began, ended = up.latest or up.time or way[0].first_seen, (down.earliest or down.time) if over else way[-1].last_seen
    least = max(ended - began, timedelta(0)) if began and ended else timedelta(0)
    if not over or up.time is None or down.time is None:
        return least, None, None
    return least, down.time - up.time, (down.latest or down.time) - (up.earliest or up.time)


def _hours(length: timedelta) -> str:
    minutes = round(length.total_seconds() / 60)
    days, rest = divmod(minutes, 1440)
    return f"{days} d {rest // 60} h" if days else f"{rest // 60} h {rest % 60} min"


# ---------------------------------------------------------------------------------------------------------------------- history


def visits(condition: VisitsCondition, case: Case) -> Result:
    """How many visits there were to the place in the time before, this one included. The aircraft's own are counted up to
    its take-off, those of others up to the day before. There may have been more than are on record unless nearly all of
    the days were watched."""
    words = f"visits of {condition.of} to the {condition.to} within {condition.within}" + "".join(
        f", {name.replace('_', ' ')} {limit}" for name in ("at_least", "at_most") if (limit := getattr(condition, name))
    )
    if case.history is None or not case.way:
        return Result(None)
    target, began = leading(case.place, condition.to, case.airports), began_at(case)
    if target is None or began is None:
        return result(None, words, "not known where or when")
    since = began - span(condition.within)
    if condition.of == "tail":
        earlier = sum(_is_there(leg.destination, target, case.airports) for leg in case.history.flights(since))
    else:
        counted = case.history.count(condition.of, target, since)
        earlier = counted.count + counted.unwatched
    count, watched = earlier + 1, _watched(case, case.history, since, condition.of)
    enough: Truth = condition.at_least is None or count >= condition.at_least or (False if watched else None)
    few: Truth = condition.at_most is None or (count <= condition.at_most and (True if watched else None))
    truth = False if False in (enough, few) else None if None in (enough, few) else True
    return result(truth, words, f"{count}, this one included" + ("" if watched else UNWATCHED))


def _watched(case: Case, history: History, since: datetime, of: str = "tail") -> bool:
    """Whether nearly all days from a time until the case began were watched. The day on which it began is nobody's."""
    began = began_at(case)
    days = (began.date() - since.date()).days if began else 0
    return history.count(of, NOWHERE, since).observed_days >= WATCHED * days


def _is_there(end: End, target: Target, airports: Airports) -> bool:
    return end.airport is not None and (end.airport in target.airports or airports.country_of(end.airport) in target.countries)


def leading(stop: Stop | None, to: To, airports: Airports) -> Target | None:
    """The airport or country that a stop lies in with at least `LEAD`."""
    if stop is None:
        return None
    if to == "airport":
        return Target((stop.airport,), ()) if stop.airport else None
    chances: dict[str, float] = {}
    for candidate in stop.candidates:
        if country := airports.country_of(candidate.airport):
            chances[country] = chances.get(country, 0.0) + candidate.probability
    best = max(chances, key=lambda c: chances[c], default=None)
    return Target((), (best,)) if best is not None and chances[best] >= LEAD else None


def began_at(case: Case) -> datetime | None:
    """When the first flight of a case began, as far as known."""
    return _began(case.way[0])


def _began(leg: Leg) -> datetime | None:
    return leg.first_seen or leg.origin.time or leg.destination.time


def _flown_before(case: Case, history: History, since: datetime | None = None) -> list[Leg]:
    """The aircraft's flights before the first one of the case: history knows those before the last one."""
    first = began_at(case)
    return [leg for leg in history.flights(since) if first and (began := _began(leg)) and began < first]


def dormant(condition: DormantCondition, case: Case) -> Result:
    """Whether the aircraft did not fly for so long: none of its flights is on record, and it would have been seen on that
    many days."""
    words = f"first flight for {condition.at_least}"
    began = began_at(case) if case.way else None
    if case.history is None or began is None:
        return Result(None)
    flights = _flown_before(case, case.history)
    last = max((t for leg in flights if (t := leg.destination.time or leg.last_seen)), default=None)
    least = span(condition.at_least)
    if last is not None and began - last < least:
        return result(False, words, f"flew {_hours(began - last)} before")
    observed = case.history.count("tail", NOWHERE, last).observed_days
    told = f"last flight on record {last:%-d %b %Y}" if last else "no earlier flight on record"
    days = f"{observed} observed days" + (" since" if last else "")
    enough = observed >= least.days
    return result(True if enough else None, words, f"{told}; {days}" + ("" if enough else ": too few"))


def first_seen(condition: FirstSeenCondition, case: Case) -> Result:
    """Whether no earlier flight of the aircraft is on record, on enough observed days."""
    words = "first flight of the aircraft"
    if case.history is None or not case.way or began_at(case) is None:
        return Result(None)
    if flights := _flown_before(case, case.history):
        last = max((t for leg in flights if (t := leg.destination.time or leg.last_seen)), default=None)
        return result(False, words, f"{len(flights)} on record" + (f", the last on {last:%-d %b %Y}" if last else ""))
    observed = case.history.count("tail", NOWHERE).observed_days
    if observed < LEAST_OBSERVED_DAYS:
        return not_known(condition.unknown, words, f"{observed} observed days are too few")
    return result(True, words, f"none on record in {observed} observed days")


def first_visit(condition: FirstVisitCondition, case: Case) -> Result:
    """Whether no earlier visit is on record, on enough observed days."""
    words = f"first visit of {condition.of} to the {condition.to}"
    if case.history is None:
        return Result(None)
    target = leading(case.place, condition.to, case.airports)
    if target is None:
        return not_known(condition.unknown, words, "the place is not known")
    counted = case.history.count(condition.of, target)
    own = case.history.visited(target) if condition.of == "tail" else 0
    earlier = max(counted.count + counted.unwatched, own)
    if earlier:
        return result(False, words, f"{earlier} before")
    if counted.observed_days < LEAST_OBSERVED_DAYS:
        return not_known(condition.unknown, words, f"{counted.observed_days} observed days are too few")
    return result(True, words, f"none in {counted.observed_days} observed days")


def rarity(condition: RarityCondition, case: Case) -> Result:
    if case.history is None:
        return Result(None)
    limit = condition.per_day
    words = f"rarity of {condition.of}: " + (f"at most {condition.at_most}" if condition.at_most else _budget_words(condition))
    if not (case.target.airports or case.target.countries):
        return not_known(condition.unknown, words, "the place is not known")
    counted = case.history.count(condition.of, case.target)
    if counted.observed_days < LEAST_OBSERVED_DAYS:
        return not_known(condition.unknown, words, f"{counted.observed_days} observed days are too few")
    if limit is None:
        return not_known(condition.unknown, words, "too little history to know what the budget means")
    rate = counted.count / counted.observed_days
    return result(rate <= limit, words, f"{counted.count} in {counted.observed_days} observed days", rate)


def _budget_words(condition: RarityCondition) -> str:
    limit = condition.per_day
    rare = "" if limit is None or limit == float("inf") else f", that is at most {limit * PERIOD_DAYS['year']:.3g} per year"
    return f"a budget of {condition.budget}{rare}"


def not_known(unknown: str | None, words: str, why: str) -> Result:
    truth: Truth = {"match": True, "skip": False, None: None}[unknown]
    return result(truth, words, f"unknown: {why}")


# ----------------------------------------------------------------------------------------------------------------------- events


def event(condition: EventCondition, case: Case) -> Result:
    if case.event is None:
        return Result(None)
    results = []
    if condition.kind:
        results.append(result(case.event.kind in condition.kind, f"event {', '.join(condition.kind)}", case.event.kind))
    if condition.reason:
        met = bool(globs(tuple(condition.reason))(case.event.reason.casefold()))
        results.append(result(met, f"reason {', '.join(condition.reason)}", case.event.reason))
    if condition.probability is not None:
        known = case.event.probability
        truth = None if known is None else known >= condition.probability * case.factor
        told = "no number" if known is None else f"{known:.2f}"
        results.append(result(truth, f"probability of at least {condition.probability:g}", told))
    return all_of(results)


def squawk(condition: list[str], case: Case) -> Result:
    """Whether the event is that of an aircraft which sends one of some codes, those of emergencies included."""
    if case.event is None:
        return Result(None)
    sent = case.event.reason if case.event.kind in (CODE, EMERGENCY) else ""
    return result(bool(globs(tuple(condition))(sent)), f"squawk {', '.join(condition)}", sent or f"none, but {case.event.kind}")


def together(condition: TogetherCondition, case: Case) -> Result:
    words = f"at least {condition.at_least} of its aircraft"
    if case.event is None:
        return Result(None)
    wanted = condition.aircraft
    fit = [one for one in case.everybody if wanted is None or fits(wanted, one, one.callsigns, case.sure).truth]
    told = ", ".join(one.registration or one.icao24 or "somebody" for one in fit)
    return result(len(fit) >= condition.at_least, words, f"{len(fit)}: {told}")


# --------------------------------------------------------------------------------------------------------------- an earlier leg


def after(condition: AfterCondition, case: Case, evaluate: Callable[[Any, Case], Result]) -> Result:
    """Whether an earlier flight of the same aircraft fits, one that was over before the case began. There may have been one that
    is not on record unless nearly all of the days were watched."""
    words = f"after another flight within {condition.within}"
    began = began_at(case) if case.way else None
    if case.history is None or began is None:
        return Result(None)
    since, results = began - span(condition.within), []
    for leg in reversed(_flown_before(case, case.history, since)):
        found = evaluate(condition.leg, past_case(leg, case))
        if found.truth:
            ends = f"{leg.origin.airport or 'unknown'}-{leg.destination.airport or 'unknown'}"
            return Result(True, (Held(words, f"{ends}, {_day_of(leg)}"), *found.held))
        results.append(found)
    watched = _watched(case, case.history, since)
    undecided = not watched or any(r.truth is None for r in results)
    return result(None if undecided else False, words, _how_many(results) + ("" if watched else UNWATCHED))


def _how_many(results: Iterable[Result]) -> str:
    count = len(list(results))
    return "none on record" if not count else f"{count} on record, none fits"


def _day_of(leg: Leg) -> str:
    began = _began(leg)
    return f"{began:%-d %b %Y}" if began else "day not known"


def past_case(leg: Leg, case: Case) -> Case:
    """An earlier flight as a case."""
    start, stop = (Stop(end.candidates, end.basis) for end in (leg.origin, leg.destination))
    return Case(case.aircraft, case.airports, _one(leg.callsign), start, stop, (), way=(leg,))
