"""Drafts to legs: fills in both ends, times, status and what is probable by now.

In: the log of one aircraft, the model, and the time it is. Out: `Leg` records. A stop between two legs is judged with
both of them in view; once the later one is over too, the earlier is settled and nothing but late data changes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Protocol

import numpy as np
from msgspec import structs

from flightwatch.aircraft.types import performance
from flightwatch.legs import ends, manoeuvres, ways
from flightwatch.legs.ends import Posterior, Prior
from flightwatch.legs.gaps import HOUR, Fix
from flightwatch.legs.manoeuvres import Heading
from flightwatch.legs.pieces import ENDS, METRES_PER_NM
from flightwatch.legs.rows import MINUTE, SECOND, aircraft_text
from flightwatch.legs.segmentation import CONTIGUOUS_S, Draft, Ground, Hole, Log
from flightwatch.legs.ways import ended
from flightwatch.places import Airports
from flightwatch.places.great_circle import apart_nm, distance_nm
from flightwatch.records import (
    JOURNEY_BREAK,
    UNKNOWN,
    WAYPOINT,
    Aircraft,
    Basis,
    Candidate,
    End,
    Event,
    Gap,
    Leg,
    Status,
    micros,
    utc,
)

LOST_AFTER = 20 * MINUTE
"""Without a position for this long an aircraft in the air is lost; the slowest feed polls every 15 minutes."""

PRESUMED_LANDED = 0.9
"""From this probability on, an aircraft that nobody sees is presumed to be down."""

SURELY_DOWN = 0.99
"""Nothing unseen is more certain than this."""

SEEN_ARRIVING = 0.95
"""An aircraft that was seen on the ground a plausible time after it was lost in the air flew there directly."""

UNSEEN_LEG = 0.1
"""Of the flights that leave a place where an aircraft was lost, the share of which nothing at all is seen."""

TURNED_BACK = 0.01
"""The least that is believed of an aircraft having ended where it was seen on the ground next, whatever its course."""

QUICKEST_TURNROUND = 20 * MINUTE

USUAL = 0.05
"""Of the flights like this one, the share that makes a place one that they go to."""

BACK_WIND = 1.2
"""How much faster than it showed an aircraft may have been over the ground, both ways."""

NEGLIGIBLE = 1e-4
"""Candidates with less than this do not move the probability of being down."""

APPROACH = 8 * MINUTE
DELAY = 30 * MINUTE
"""What taxiing, holding and a field without coverage add to the flying between the ground and the air."""

SETTLED_KEPT = 12
"""Settled legs that an aircraft keeps in memory: a journey there and back with stops."""


class Who(Protocol):
    """Tells who an address is on a date; what a feed says of it fills in where nobody else says anything."""

    def __call__(self, icao24: str, on: date, *, registration: str | None = None, typecode: str | None = None) -> Aircraft: ...


@dataclass(frozen=True)
class Model:
    """What legs are judged with: places, history as of the day before, and who an address is on a date. Legs of the
    `fleeting` feeds, whose positions nobody may keep for long, keep no way; the `preferred` feeds come before others of
    the same quality, in their order."""

    airports: Airports
    prior: Prior
    who: Who
    fleeting: frozenset[str] = frozenset()
    preferred: Sequence[str] = ()


@dataclass(frozen=True)
class Names:
    """What the numbers of feeds stand for, and under which id a leg is known that would get another one now, because
    late data moved its beginning."""

    feeds: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)


def settle(log: Log, model: Model, names: Names) -> tuple[Log, tuple[Leg, ...]]:
    """Moves drafts that nothing coming can change to the settled legs: those with two later ones. Returns the newly
    settled ones, too."""
    done: list[Leg] = []
    if len(log.legs) > 2:
        log = structs.replace(log, legs=(*_with_unseen_legs(log.legs[:-1], model), log.legs[-1]))
    while len(log.legs) > 2:
        first, second, *rest = log.legs
        last_seen = utc(first.last_seen)
        leg, origin = _finish(first, second, log.settled[-1] if log.settled else None, model, names, last_seen)
        done.append(leg)
        log = structs.replace(
            log, legs=(structs.replace(second, origin=origin), *rest), settled=(*log.settled, leg)[-SETTLED_KEPT:]
        )
    return log, tuple(done)


def complete(log: Log, model: Model, now: datetime, names: Names) -> tuple[Leg, ...]:
    """The drafts of a log as legs, as they stand at `now`."""
    legs: list[Leg] = []
    previous = log.settled[-1] if log.settled else None
    drafts = _with_unseen_legs(log.legs, model)
    for i, draft in enumerate(drafts):
        following = drafts[i + 1] if i + 1 < len(drafts) else None
        previous, origin = _finish(draft, following, previous, model, names, now)
        legs.append(previous)
        if following is not None:
            drafts[i + 1] = structs.replace(following, origin=origin)
    return tuple(legs)


def _finish(
    draft: Draft, following: Draft | None, previous: Leg | None, model: Model, names: Names, now: datetime
) -> tuple[Leg, End | None]:
    """One leg, and the origin of the one after it."""
    who = _identity(draft, model)
    origin = draft.origin or _first_origin(draft, model)
    destination = _destination_alone(draft, origin, who, model, following.head[0].time if following is not None else micros(now))
    following_origin = None
    if following is not None:
        destination, following_origin = _stop(draft, destination, following, model)
    landed = _landed_probability(draft, destination, who, model, now)
    end = _end("destination", draft, destination, model, latest=following.head[0].time if following else None)
    if following is not None and following_origin is not None:
        end, following_origin = _in_order(end, following_origin, draft, following)
    leg = _leg(draft, previous, who, origin, end, landed, model.fleeting, now, names)
    found = _events(leg, draft, who, model)
    return replace(leg, events=found) if found else leg, following_origin


def _in_order(landing: End, takeoff: End, draft: Draft, following: Draft) -> tuple[End, End]:
    """The times of a stop, so that it lands before it leaves: what one interval says bounds the other. Where they
    exclude each other, the flying was faster than thought, and only what was seen bounds both."""
    assert landing.earliest is not None  # as `_end` makes it
    assert landing.latest is not None
    assert takeoff.earliest is not None
    assert takeoff.latest is not None
    if landing.earliest > takeoff.latest:
        first, last = utc(draft.tail[-1].time), utc(following.head[0].time)
        middle = first + (last - first) / 2
        return _within(landing, first, middle), _within(takeoff, middle, last)
    latest, earliest = min(landing.latest, takeoff.latest), max(takeoff.earliest, landing.earliest)
    return _within(landing, landing.earliest, latest), _within(takeoff, earliest, takeoff.latest)


def _within(end: End, earliest: datetime, latest: datetime) -> End:
    middle = earliest + (latest - earliest) / 2
    return End(end.airport, end.basis, end.probability, end.candidates, end.reason, middle, earliest, latest)


def _events(leg: Leg, draft: Draft, who: Aircraft, model: Model) -> tuple[Event, ...]:
    """What the leg did besides. Where it was heading is asked of a leg that is over and went out of its way, and only where
    history expected another end than it came to: without earlier flights to a place nobody knows that it was meant."""
    heading, usual_return = None, 0.0
    origin, place = (model.airports.row(end.airport) for end in (leg.origin, leg.destination))
    over = draft.count > 0 and manoeuvres.is_over(leg) and manoeuvres.went_out_of_its_way(leg, draft, model.airports)
    if over and origin is not None and place is not None:
        prior = _prior("destination", draft, who, origin, model)
        usual_return = float(prior[origin])
        if prior[place] < USUAL and float(prior.max(initial=0.0)) >= USUAL:
            heading = _heading(draft, origin, place, who, prior, model)
    seen = partial(model.prior.seen_share, utc(draft.first_seen).date())
    return manoeuvres.events_of(leg, draft, heading, usual_return, model.airports, seen)


def _heading(draft: Draft, origin: int, place: int, who: Aircraft, prior: ends.Floats, model: Model) -> Heading | None:
    """The place other than that where it landed that led for long enough while it was under way: what was to be thought
    at each of its waypoints. The last such time counts."""
    way = np.frombuffer(draft.way, WAYPOINT)
    fixes = _fixes_of(way)
    runs: list[Heading] = []
    for i in range(1, len(fixes)):
        until = structs.replace(draft, tail=fixes[: i + 1][-ENDS:], metres=_metres(fixes[: i + 1]), landing=None, ending="open")
        found = ends.posterior(_look(until, "destination", origin, who, prior, model), prior)
        lead = int(found.probability.argmax()) if len(found.rows) else -1
        led = float(found.probability[lead]) if lead >= 0 else 0.0
        if led < manoeuvres.HEADED or found.rows[lead] in (place, origin):
            continue
        ident, at = model.airports.ident[int(found.rows[lead])], fixes[i].time
        last = runs[-1] if runs else None
        if last is not None and last.airport == ident and last.until == fixes[i - 1].time:
            runs[-1] = replace(last, probability=min(last.probability, led), until=at)
        else:
            runs.append(Heading(ident, led, at, at))
    long = [run for run in runs if run.until - run.since >= manoeuvres.HEADED_FOR]
    return long[-1] if long else None


def _fixes_of(way: ways.Waypoints) -> tuple[Fix, ...]:
    """Waypoints as fixes: speed, direction and trend follow from two of them."""
    nothing = math.nan
    return tuple(Fix(t * SECOND, lat, lon, height, nothing, nothing, nothing) for t, lat, lon, height in way.tolist())


def _metres(fixes: Sequence[Fix]) -> int:
    latitude, longitude = np.array([f.latitude for f in fixes]), np.array([f.longitude for f in fixes])
    return round(float(distance_nm(latitude[:-1], longitude[:-1], latitude[1:], longitude[1:]).sum()) * METRES_PER_NM)


# --------------------------------------------------------------------------------------------------------- legs that nobody saw


def _with_unseen_legs(drafts: Sequence[Draft], model: Model) -> list[Draft]:
    """The drafts, with a leg put in wherever an aircraft was lost on its way to one place and was seen next on the
    ground at another."""
    return [part for draft in drafts for part in _parted(draft, model)]


def _parted(draft: Draft, model: Model) -> tuple[Draft, ...]:
    ground = draft.landing
    if ground is None or not _arrived_unseen(draft, ground):
        return (draft,)
    found = _where_it_went(draft, ground, draft.origin, _identity(draft, model), model)
    elsewhere = 1.0 - float(found.probability[_at(found, ground, model)].sum())
    if elsewhere < 0.5:
        return (draft,)
    went = structs.replace(draft, landing=None, ending="gap", landed_in_gap=elsewhere)
    return went, _unseen_leg(draft, ground, elsewhere)


def _arrived_unseen(draft: Draft, ground: Ground) -> bool:
    return draft.count > 0 and not _direct(draft.tail[-1], ground.first, draft)


def _unseen_leg(draft: Draft, ground: Ground, probability: float) -> Draft:
    """The leg from wherever it went to where it was seen on the ground next."""
    at, last = ground.first, draft.tail[-1]
    way = apart_nm(last.latitude, last.longitude, at.latitude, at.longitude)
    hole = Hole(draft.last_seen, ground.since, 0.0, "lost on the way to another place, seen next on the ground here")
    return structs.replace(
        draft,
        first_seen=draft.last_seen,
        last_seen=ground.since,
        head=(at,),
        tail=(at,),
        count=0,
        metres=round(way * METRES_PER_NM),
        longest_gap=ground.since - draft.last_seen,
        highest=math.nan,
        fastest=math.nan,
        holes=(hole,),
        takeoff=None,
        began_in_gap=probability,
        way=b"",
        turns=b"",
        origin=None,
    )


def _where_it_went(draft: Draft, ground: Ground, origin: End | None, who: Aircraft, model: Model) -> Posterior:
    """Where a leg ended that was lost, when the aircraft was seen next on the ground, too late to have flown there and
    no more: there, or somewhere else from where it came there unseen."""
    other = model.airports.row(origin.airport) if origin else None
    prior = _prior("destination", draft, who, other, model)
    alone = ends.posterior(_look(draft, "destination", other, who, prior, model, ground.since), prior)
    field = ends.at_field(ground.first.latitude, ground.first.longitude, model.airports)
    there = np.isin(alone.rows, field.rows[field.probability > NEGLIGIBLE])
    share = max(float(alone.probability[there].sum()), TURNED_BACK)
    possible = _there_and_on(draft.tail[-1], ground.first, alone.rows, _speed(draft), model)
    weight = np.where(there, 0.0, alone.probability * UNSEEN_LEG * possible)
    rows = np.concatenate([field.rows, alone.rows[~there]])
    values = np.concatenate([share * field.probability, weight[~there]])
    total = float(values.sum()) + alone.unknown * UNSEEN_LEG
    return Posterior(rows, values / total)


def _at(found: Posterior, ground: Ground, model: Model) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    field = ends.at_field(ground.first.latitude, ground.first.longitude, model.airports)
    return np.isin(found.rows, field.rows)


@dataclass(frozen=True)
class Guess:
    """Where one end of a leg was: a posterior, how it was come by, and the words for it."""

    posterior: Posterior
    basis: Basis
    reason: str


def _identity(draft: Draft, model: Model) -> Aircraft:
    """Who it is: lists and databases, and what the aircraft or its feed says where they are silent."""
    day = utc(draft.first_seen).date()
    return model.who(aircraft_text(draft.aircraft), day, registration=draft.registration, typecode=draft.typecode)


# ------------------------------------------------------------------------------------------------------------------- the two ends


def _first_origin(draft: Draft, model: Model) -> End:
    """The origin of a leg with nothing known before it but perhaps the ground."""
    return _end("origin", draft, _origin_guess(draft, draft.takeoff, model), model)


def _origin_guess(draft: Draft, ground: Ground | None, model: Model) -> Guess:
    start = draft.head[0]
    if ground is None:
        likelihood, prior = _origin_unseen(draft, model)
        alone = ends.posterior(likelihood, prior)
        return Guess(alone, "inferred", _unseen_words("first", draft))
    field = ends.at_field(ground.latitude, ground.longitude, model.airports)
    if draft.count == 0:
        return Guess(_weaker(field), "inferred", f"seen on the ground there last {utc(ground.until):%d %b %H:%M} UTC")
    if start.time - ground.until <= CONTIGUOUS_S * SECOND:
        return Guess(field, "observed", "seen on the ground there until it took off")
    apart_days = (start.time - ground.until) / (24 * HOUR)
    _, begin = ends.same_stop(field, *_origin_unseen(draft, model), apart_days)
    return Guess(begin, "inferred", f"stood there until {utc(ground.until):%d %b %H:%M} UTC; {_unseen_words('first', draft)}")


def _origin_unseen(draft: Draft, model: Model) -> tuple[ends.Likelihood, ends.Floats]:
    """What the beginning of a track says of where it came from, and where such legs begin."""
    who, other = _identity(draft, model), _landing_row(draft, model)
    prior = _prior("origin", draft, who, other, model)
    return _look(draft, "origin", other, who, prior, model), prior


def _destination_alone(draft: Draft, origin: End, who: Aircraft, model: Model, silent_until: int) -> Guess:
    """Where the leg went, by what was seen of it alone, and that it was not seen until a time."""
    if draft.landing is not None:
        return _seen_down(draft, draft.landing, origin, who, model)
    other = model.airports.row(origin.airport)
    prior = _prior("destination", draft, who, other, model)
    result = ends.posterior(_look(draft, "destination", other, who, prior, model, silent_until), prior)
    return Guess(result, "inferred", _unseen_words("last", draft))


def _seen_down(draft: Draft, landing: Ground, origin: End, who: Aircraft, model: Model) -> Guess:
    field = ends.at_field(landing.first.latitude, landing.first.longitude, model.airports)
    unseen_h = (landing.since - draft.last_seen) / HOUR if draft.count > 0 else (landing.since - draft.first_seen) / HOUR
    reason = f"seen on the ground there {unseen_h:.1f} h after it was last seen elsewhere"
    if draft.count == 0:
        return Guess(_weaker(field), "inferred", reason)
    if _arrived_unseen(draft, landing):
        return Guess(_where_it_went(draft, landing, origin, who, model), "inferred", reason)
    return Guess(field, "observed", "seen on the ground there after it landed")


def _weaker(field: Posterior) -> Posterior:
    """The airport where it stood, if nothing in between was missed."""
    return Posterior(field.rows, field.probability * SEEN_ARRIVING)


def _stop(draft: Draft, alone: Guess, following: Draft, model: Model) -> tuple[Guess, End]:
    """The end of one leg and the beginning of the next, each with what the other says of the stop between them."""
    if following.count == 0 and following.takeoff is None and following.landing is not None:
        return _stop_before_unseen(draft, following, following.landing, _identity(following, model), model)
    if draft.landing is not None:
        seen = _origin_guess(following, following.takeoff, model)
        return alone, _end("origin", following, seen, model, earliest=draft.landing.since)
    likelihood, prior = _origin_unseen(following, model)
    apart_days = (following.head[0].time - draft.tail[-1].time) / (24 * HOUR)
    end, begin = ends.same_stop(_in_time(alone.posterior, draft, following, model), likelihood, prior, apart_days)
    later = f"; seen again {utc(following.first_seen):%d %b %H:%M} UTC on its next leg"
    origin = Guess(begin, "inferred", _unseen_words("first", following) + "; the leg before it was lost on the way there")
    return Guess(end, "inferred", alone.reason + later), _end("origin", following, origin, model, earliest=draft.tail[-1].time)


def _in_time(found: Posterior, draft: Draft, following: Draft, model: Model) -> Posterior:
    """Where a leg ended, without the places too far away for what was seen next of the aircraft, if that leaves any."""
    speed = BACK_WIND * max(_speed(draft), _speed(following))
    there = _there_and_on(draft.tail[-1], following.head[0], found.rows, speed, model)
    weight = found.probability * there
    return Posterior(found.rows, weight / (float(weight.sum()) + found.unknown)) if there.any() else found


def _there_and_on(last: Fix, then: Fix, rows: ends.Ints, speed: float, model: Model) -> ends.Floats:
    """1 for airports that leave the time to fly there, turn round, and fly to where the aircraft was seen next."""
    table = model.airports
    out = distance_nm(last.latitude, last.longitude, table.latitude[rows], table.longitude[rows])
    back = distance_nm(table.latitude[rows], table.longitude[rows], then.latitude, then.longitude)
    return ((out + back) / speed * HOUR + QUICKEST_TURNROUND <= then.time - last.time).astype(np.float64)


def _stop_before_unseen(draft: Draft, following: Draft, ground: Ground, who: Aircraft, model: Model) -> tuple[Guess, End]:
    """The stop before a leg that nobody saw: the end of the leg before may be where that one ends, too, and then
    there was none."""
    found = _where_it_went(draft, ground, draft.origin, who, model)
    later = f"; seen next {utc(ground.since):%d %b %H:%M} UTC on the ground elsewhere"
    there = _at(found, ground, model)
    left = found.probability[~there]
    total = float(left.sum()) + found.unknown
    origin = Guess(Posterior(found.rows[~there], left / total), "inferred", "nobody saw this leg; where the leg before it went")
    end = Guess(found, "inferred", _unseen_words("last", draft) + later)
    return end, _end("origin", following, origin, model, earliest=draft.tail[-1].time)


def _look(
    draft: Draft,
    which: ends.Which,
    other: int | None,
    who: Aircraft,
    prior: ends.Floats,
    model: Model,
    silent_until: int | None = None,
) -> ends.Likelihood:
    """What one end of a track says. Of the silence before an origin nothing follows: nobody knows whether anybody was
    listening before, and feeds begin in the middle of flights."""
    edge, path = (draft.end, draft.tail) if which == "destination" else (draft.start, draft.head)
    flown = draft.metres / METRES_PER_NM
    ways = _ways(which, draft, edge.fix, path, other, model)
    silent_min = 0.0 if silent_until is None else (silent_until - edge.fix.time) / MINUTE
    seen = partial(model.prior.seen_share, utc(draft.first_seen).date())
    return ends.look(which, edge, path, other, who.typecode, draft.fastest, flown, prior, ways, model.airports, silent_min, seen)


def _ways(
    which: ends.Which, draft: Draft, fix: Fix, path: Sequence[Fix], other: int | None, model: Model
) -> tuple[ends.Floats, ends.Floats, ends.Floats]:
    """What the ways of earlier flights say of one end."""
    courses = ends.courses_at(which, fix, path)
    course = math.nan if not courses else courses[0] if which == "destination" else (courses[0] + 180) % 360
    return model.prior.came_by(
        which,
        utc(draft.first_seen).date(),
        other=other,
        latitude=fix.latitude,
        longitude=fix.longitude,
        altitude=fix.altitude,
        course=course,
    )


def _prior(which: ends.Which, draft: Draft, who: Aircraft, other: int | None, model: Model) -> ends.Floats:
    begun, over = utc(draft.first_seen), utc(draft.last_seen)
    there = begun if which == "destination" else over
    return model.prior.over(
        which,
        begun.date(),
        aircraft=aircraft_text(draft.aircraft),
        operator=who.operator,
        typecode=who.typecode,
        other=other,
        clock_min=60 * there.hour + there.minute,
        military=bool(who.military),
    )


def _landing_row(draft: Draft, model: Model) -> int | None:
    """The airport on whose ground the leg was seen to end."""
    if draft.landing is None:
        return None
    field = ends.at_field(draft.landing.first.latitude, draft.landing.first.longitude, model.airports)
    return int(field.rows[field.probability.argmax()]) if len(field.rows) else None


def _unseen_words(which: str, draft: Draft) -> str:
    fix = draft.tail[-1] if which == "last" else draft.head[0]
    height = "" if math.isnan(fix.altitude) else f" at {fix.altitude:,.0f} ft"
    course = "" if math.isnan(fix.track) else f" on course {fix.track:03.0f}"
    return f"{which} seen {utc(fix.time):%d %b %H:%M} UTC at {fix.latitude:.2f}, {fix.longitude:.2f}{height}{course}"


# ------------------------------------------------------------------------------------------------------------------ times, status


def _end(
    which: ends.Which, draft: Draft, guess: Guess, model: Model, *, earliest: int | None = None, latest: int | None = None
) -> End:
    """The record of one end, with its time: seen, or the middle of the interval that the flying leaves."""
    listed = ends.candidates(guess.posterior, model.airports)
    lead = next((c for c in listed if c.airport != UNKNOWN), None)
    named = lead is not None and lead.probability >= 0.5
    basis: Basis = guess.basis if named or guess.basis == "observed" else "unknown"
    reason = guess.reason if named or basis != "observed" else f"{guess.reason}, where the table has no airport"
    likely = lead if named else None
    span = _takeoff_span(draft, likely, model, earliest) if which == "origin" else _landing_span(draft, likely, model, latest)
    first, last = span
    middle = utc((first + last) // 2)
    return End(
        airport=lead.airport if lead is not None and named else None,
        basis=basis,
        probability=lead.probability if lead is not None else 0.0,
        candidates=listed,
        reason=reason,
        time=middle,
        earliest=utc(first),
        latest=utc(last),
    )


def _takeoff_span(draft: Draft, lead: Candidate | None, model: Model, earliest: int | None) -> tuple[int, int]:
    start = draft.head[0]
    ground = draft.takeoff
    if draft.count == 0 and draft.landing is not None:  # never seen flying: it took off and landed somewhen in between
        return draft.first_seen, draft.landing.since
    if ground is not None and start.time - ground.until <= CONTIGUOUS_S * SECOND:
        return ground.until, start.time
    shortest, longest = _flying_span(start, lead, draft, model)
    floor = max([t for t in (earliest, ground.until if ground else None) if t is not None], default=start.time - longest)
    latest = max(start.time - shortest, floor)
    return min(max(start.time - longest, floor), latest), latest


def _landing_span(draft: Draft, lead: Candidate | None, model: Model, latest: int | None) -> tuple[int, int]:
    last, ground = draft.tail[-1], draft.landing
    if ground is not None and draft.count == 0:
        return draft.first_seen, ground.since
    if ground is not None:
        return min(last.time + _flying_span(last, lead, draft, model)[0], ground.since), ground.since
    shortest, longest = _flying_span(last, lead, draft, model)
    ceiling = latest if latest is not None else last.time + longest
    first = min(last.time + shortest, ceiling)
    return first, max(min(last.time + longest, ceiling), first)


def _flying_span(fix: Fix, lead: Candidate | None, draft: Draft, model: Model) -> tuple[int, int]:
    """The shortest and longest time (µs) that it takes from a fix to the leading airport; unbounded but for the range
    where there is none."""
    row = model.airports.row(lead.airport) if lead is not None else None
    if row is None:
        return 0, round(performance(draft.typecode).range_nm / _speed(draft) * HOUR)
    way = apart_nm(fix.latitude, fix.longitude, model.airports.latitude[row], model.airports.longitude[row])
    direct = way / _speed(draft) * HOUR
    return round(0.95 * direct), round(1.3 * direct + APPROACH + 2 * MINUTE)


def _speed(draft: Draft) -> float:
    """A speed that the aircraft keeps: what it showed, within what is usual."""
    shown = [s for s in (draft.end.speed_kt, 0.9 * draft.fastest) if s > 80]
    return max(shown, default=0.85 * performance(draft.typecode).cruise_kt)


def _landed_probability(draft: Draft, destination: Guess, who: Aircraft, model: Model, now: datetime) -> float:
    """That it is down by now: seen on the ground, seen on its next leg, or long enough out of sight for each
    candidate."""
    if draft.ending == "ground":
        return 1.0
    if draft.ending == "gap":
        return draft.landed_in_gap
    last = draft.tail[-1]
    elapsed = (now - utc(last.time)).total_seconds() / 3600
    speed = _speed(draft)
    likely = destination.posterior.probability > NEGLIGIBLE
    rows, probability = destination.posterior.rows[likely], destination.posterior.probability[likely]
    way = distance_nm(last.latitude, last.longitude, model.airports.latitude[rows], model.airports.longitude[rows])
    arrival = way / speed + APPROACH / HOUR
    spread = 0.12 * arrival + 0.08
    down = [0.5 * math.erfc((a - elapsed) / (s * math.sqrt(2))) for a, s in zip(arrival.tolist(), spread.tolist(), strict=True)]
    left = max(performance(who.typecode).range_nm - draft.metres / METRES_PER_NM, 500.0) / speed
    somewhere = min(elapsed / left, 1.0)
    known = sum(p * d for p, d in zip(probability.tolist(), down, strict=True))
    total = known + (1.0 - float(probability.sum())) * somewhere
    return round(min(float(total), SURELY_DOWN), 4)


def _status(draft: Draft, landed: float, now: datetime) -> Status:
    if draft.ending == "ground":
        return "landed"
    if draft.ending == "gap":  # it was seen flying again: it must have been down, and nobody saw it
        return "presumed_landed"
    if landed >= PRESUMED_LANDED:
        return "presumed_landed"
    return "lost" if now - utc(draft.last_seen) > timedelta(microseconds=LOST_AFTER) else "airborne"


def _leg(
    draft: Draft,
    previous: Leg | None,
    who: Aircraft,
    origin: End,
    destination: End,
    landed: float,
    fleeting: frozenset[str],
    now: datetime,
    names: Names,
) -> Leg:
    """The leg, without its events."""
    name, last, begun = aircraft_text(draft.aircraft), draft.tail[-1], utc(draft.first_seen)
    leg_id = f"{name}-{begun:%Y%m%dT%H%M%S}"
    leg_id = names.aliases.get(leg_id, leg_id)
    feeds = tuple(sorted(feed for bit, feed in enumerate(names.feeds) if draft.feeds >> bit & 1))
    keeps_way = fleeting.isdisjoint(feeds)
    return Leg(
        leg_id=leg_id,
        revision=1,
        journey_id=_journey_id(leg_id, origin, previous),
        icao24=name,
        registration=who.registration,
        typecode=who.typecode,
        operator=who.operator,
        callsign=draft.callsign,
        first_seen=utc(_taxi_out(draft)),
        last_seen=utc(_taxi_in(draft)),
        origin=origin,
        destination=destination,
        landed_probability=landed,
        status=_status(draft, landed, now),
        gaps=tuple(_gap(h) for h in draft.holes),
        longest_gap_s=draft.longest_gap / SECOND,
        distance_nm=round(draft.metres / METRES_PER_NM, 1),
        positions=draft.count,
        model=begun.date().isoformat(),
        source="tracked",
        feeds=feeds,
        way=ended(draft.way, last.time, last.latitude, last.longitude, last.altitude) if keeps_way else b"",
    )


def _taxi_out(draft: Draft) -> int:
    """When the leg was first seen: from where the aircraft last stood still, if it flew directly from there."""
    ground = draft.takeoff
    if ground is None or not _direct(ground.last, draft.head[0], draft):
        return draft.first_seen
    return ground.still_until if ground.since <= ground.still_until <= ground.until else ground.since


def _taxi_in(draft: Draft) -> int:
    ground = draft.landing
    if ground is None or not _direct(draft.tail[-1], ground.first, draft):
        return draft.last_seen
    return ground.still_from if ground.since <= ground.still_from <= ground.until else ground.until


def _direct(a: Fix, b: Fix, draft: Draft) -> bool:
    """Whether the time between the ground and the air, or the air and the ground, is what flying there takes, with
    some delay."""
    elapsed = b.time - a.time
    if elapsed <= DELAY:
        return True
    way = apart_nm(a.latitude, a.longitude, b.latitude, b.longitude)
    return elapsed <= 1.5 * way / _speed(draft) * HOUR + DELAY


def _gap(hole: Hole) -> Gap:
    landed = hole.landed >= 0.5
    probability = hole.landed if landed else 1 - hole.landed
    return Gap(utc(hole.start), utc(hole.end), "landed" if landed else "flying", round(probability, 4), hole.reason)


def _journey_id(leg_id: str, origin: End, previous: Leg | None) -> str:
    """A journey is named after its first leg."""
    if previous is None or previous.destination.time is None or origin.time is None:
        return leg_id
    stay = origin.time - previous.destination.time
    return previous.journey_id if stay < JOURNEY_BREAK else leg_id
