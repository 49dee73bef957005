"""Drafts to legs: fills in both ends, times, status and what is probable by now.

In: the log of one aircraft, the model, and the time it is. Out: `Leg` records. A stop between two legs is judged with
both of them in view; once the later one is over too, the earlier is settled and nothing but late data changes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import Struct, structs

from flightwatch.aircraft.types import performance
from flightwatch.legs import ends, manoeuvres, ways
from flightwatch.legs.ends import Place, Posterior, Prior
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
    Gap,
    Leg,
    Status,
    day_of,
    utc,
)

Span = tuple[int, int]
"""The earliest and the latest that something may have been (µs)."""

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
    the same quality, in their order. `fields` are airports that were looked up already, by where an aircraft stood."""

    airports: Airports
    prior: Prior
    who: Who
    fleeting: frozenset[str] = frozenset()
    preferred: Sequence[str] = ()
    fields: Mapping[Place, Posterior] = field(default_factory=dict)

    def looked_up(self, drafts: Iterable[Draft]) -> Model:
        """The model with the airports where these drafts were seen on the ground looked up, all at once."""
        places = set()
        for draft in drafts:
            if draft.takeoff is not None:
                places.add((draft.takeoff.latitude, draft.takeoff.longitude))
            if draft.landing is not None:
                places.add((draft.landing.first.latitude, draft.landing.first.longitude))
        return replace(self, fields=ends.at_fields(places, self.airports))

    def at_field(self, latitude: float, longitude: float) -> Posterior:
        """The airport on whose ground an aircraft stands."""
        place = latitude, longitude
        return self.fields[place] if place in self.fields else ends.at_fields([place], self.airports)[place]


@dataclass(frozen=True)
class Names:
    """What the numbers of feeds stand for, and under which id a leg is known that would get another one now, because
    late data moved its beginning."""

    feeds: Sequence[str] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)


class Drawn(NamedTuple):
    """A leg that was drawn up, but for its events; what it was drawn from; and what it says of where the next one began."""

    leg: Leg
    draft: Draft
    who: Aircraft
    onward: End | None


def settle(logs: Mapping[int, Log], model: Model, names: Names) -> tuple[dict[int, Log], tuple[Leg, ...]]:
    """Moves drafts that nothing coming can change to the settled legs, in all of some logs: those with two later ones. Returns
    the newly settled ones, too."""
    ripe = {number: log for number, log in logs.items() if len(log.legs) > 2}
    model = model.looked_up(draft for log in ripe.values() for draft in log.legs[:-1])
    drawn = {number: _drawn_for_good(log, model, names) for number, log in ripe.items()}
    settled = _with_events([one for found, _ in drawn.values() for one in found], model)
    each, moved = iter(settled), {}
    for number, (found, left) in drawn.items():
        log, new = logs[number], islice(each, len(found))
        moved[number] = structs.replace(log, legs=left, settled=(*log.settled, *new)[-SETTLED_KEPT:])
    return {**logs, **moved}, tuple(settled)


def _drawn_for_good(log: Log, model: Model, names: Names) -> tuple[list[Drawn], tuple[Draft, ...]]:
    """The legs of a log that have two later ones, and the drafts that are left."""
    drawn: list[Drawn] = []
    previous = log.settled[-1] if log.settled else None
    left = [log.legs[0]]
    for second in log.legs[1:-1]:
        left = _with_unseen_legs([*left, second], model)
        while len(left) > 1:
            first, following, *rest = left
            one = _drawn_up(first, following, previous, model, names, first.last_seen)
            drawn.append(one)
            previous, left = one.leg, [structs.replace(following, origin=one.onward), *rest]
    return drawn, (*left, log.legs[-1])


def complete(logs: Mapping[int, Log], model: Model, now: Mapping[int, int], names: Names) -> dict[int, tuple[Leg, ...]]:
    """The drafts of some logs as legs, as each of them stands at a time (µs)."""
    model = model.looked_up(draft for log in logs.values() for draft in log.legs)
    drawn = {number: _drawn_so_far(log, model, now[number], names) for number, log in logs.items()}
    each = iter(_with_events([one for found in drawn.values() for one in found], model))
    return {number: tuple(islice(each, len(found))) for number, found in drawn.items()}


def _drawn_so_far(log: Log, model: Model, now: int, names: Names) -> list[Drawn]:
    drawn: list[Drawn] = []
    previous = log.settled[-1] if log.settled else None
    drafts = _with_unseen_legs(log.legs, model)
    for i, draft in enumerate(drafts):
        following = drafts[i + 1] if i + 1 < len(drafts) else None
        one = _drawn_up(draft, following, previous, model, names, now)
        drawn.append(one)
        previous = one.leg
        if following is not None:
            drafts[i + 1] = structs.replace(following, origin=one.onward)
    return drawn


def _drawn_up(draft: Draft, following: Draft | None, previous: Leg | None, model: Model, names: Names, now: int) -> Drawn:
    """One leg as it stands at a time (µs)."""
    who = _identity(draft, model)
    origin = draft.origin or _first_origin(draft, model)
    latest = following.head[0].time if following is not None else None
    guess = _destination_alone(draft, origin, who, model, now if latest is None else latest)
    onward: End | None = None
    if following is None:
        landed = _landed_probability(draft, guess, who, model, now)
        end = _named(guess, model)
        first, last = _landing_span(draft, end.airport, model, latest)
        destination = _timed(end, first, (first + last) // 2, last)
    else:
        guess, begin, earliest = _stop(draft, guess, following, model)
        landed = _landed_probability(draft, guess, who, model, now)
        end, start = _named(guess, model), _named(begin, model)
        landing = _landing_span(draft, end.airport, model, latest)
        takeoff = _takeoff_span(following, start.airport, model, earliest)
        landing, takeoff = _in_order(landing, takeoff, draft, following)
        destination = _timed(end, landing[0], _halfway(*landing), landing[1])
        onward = _timed(start, takeoff[0], _halfway(*takeoff), takeoff[1])
    return Drawn(_leg(draft, previous, who, origin, destination, landed, model.fleeting, now, names), draft, who, onward)


def _in_order(landing: Span, takeoff: Span, draft: Draft, following: Draft) -> tuple[Span, Span]:
    """The times of a stop, so that it lands before it leaves: what one interval says bounds the other. Where they
    exclude each other, the flying was faster than thought, and only what was seen bounds both."""
    if landing[0] > takeoff[1]:
        first, last = draft.tail[-1].time, following.head[0].time
        middle = _halfway(first, last)
        return (first, middle), (middle, last)
    return (landing[0], min(landing[1], takeoff[1])), (max(takeoff[0], landing[0]), takeoff[1])


def _with_events(drawn: Sequence[Drawn], model: Model) -> list[Leg]:
    """The legs with what they did besides. Where one was heading is asked of a leg that is over and went out of its way, and
    only where history expected another end than it came to: without earlier flights to a place nobody knows that it was
    meant."""
    over = [one for one in drawn if one.draft.count > 0 and manoeuvres.is_over(one.leg)]
    astray = manoeuvres.out_of_their_way([(one.leg, one.draft) for one in over], model.airports)
    strays = {id(one) for one, strayed in zip(over, astray, strict=True) if strayed}
    legs = []
    for one in drawn:
        heading, usual_return = _meant(one, model) if id(one) in strays else (None, 0.0)
        seen = partial(model.prior.seen_share, day_of(one.draft.first_seen))
        found = manoeuvres.events_of(one.leg, one.draft, heading, usual_return, model.airports, seen)
        legs.append(replace(one.leg, events=found) if found else one.leg)
    return legs


def _meant(one: Drawn, model: Model) -> tuple[Heading | None, float]:
    """Where a leg was heading that came to another end, and which share of such flights comes back."""
    origin, place = (model.airports.row(end.airport) for end in (one.leg.origin, one.leg.destination))
    if origin is None or place is None:
        return None, 0.0
    prior = _prior("destination", one.draft, one.who, origin, model)
    expected = prior[place] < USUAL and float(prior.max(initial=0.0)) >= USUAL
    return _heading(one.draft, origin, place, one.who, prior, model) if expected else None, float(prior[origin])


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
    field = model.at_field(ground.first.latitude, ground.first.longitude)
    there = np.isin(alone.rows, field.rows[field.probability > NEGLIGIBLE])
    share = max(float(alone.probability[there].sum()), TURNED_BACK)
    possible = _there_and_on(draft.tail[-1], ground.first, alone.rows, _speed(draft), model)
    weight = np.where(there, 0.0, alone.probability * UNSEEN_LEG * possible)
    rows = np.concatenate([field.rows, alone.rows[~there]])
    values = np.concatenate([share * field.probability, weight[~there]])
    total = float(values.sum()) + alone.unknown * UNSEEN_LEG
    return Posterior(rows, values / total)


def _at(found: Posterior, ground: Ground, model: Model) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    field = model.at_field(ground.first.latitude, ground.first.longitude)
    return np.isin(found.rows, field.rows)


class Guess(Struct, frozen=True, gc=False):
    """Where one end of a leg was: a posterior, how it was come by, and the words for it."""

    posterior: Posterior
    basis: Basis
    reason: str


def _identity(draft: Draft, model: Model) -> Aircraft:
    """Who it is: lists and databases, and what the aircraft or its feed says where they are silent."""
    return model.who(
        aircraft_text(draft.aircraft), day_of(draft.first_seen), registration=draft.registration, typecode=draft.typecode
    )


# ------------------------------------------------------------------------------------------------------------------- the two ends


def _first_origin(draft: Draft, model: Model) -> End:
    """The origin of a leg with nothing known before it but perhaps the ground."""
    origin = _named(_origin_guess(draft, draft.takeoff, model), model)
    first, last = _takeoff_span(draft, origin.airport, model, None)
    return _timed(origin, first, (first + last) // 2, last)


def _origin_guess(draft: Draft, ground: Ground | None, model: Model) -> Guess:
    start = draft.head[0]
    if ground is None:
        likelihood, prior = _origin_unseen(draft, model)
        alone = ends.posterior(likelihood, prior)
        return Guess(alone, "inferred", _unseen_words("first", draft))
    field = model.at_field(ground.latitude, ground.longitude)
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
    field = model.at_field(landing.first.latitude, landing.first.longitude)
    unseen = _arrived_unseen(draft, landing)
    if draft.count > 0 and not unseen:
        return Guess(field, "observed", "seen on the ground there after it landed")
    unseen_h = (landing.since - (draft.last_seen if unseen else draft.first_seen)) / HOUR
    found = _where_it_went(draft, landing, origin, who, model) if unseen else _weaker(field)
    return Guess(found, "inferred", f"seen on the ground there {unseen_h:.1f} h after it was last seen elsewhere")


def _weaker(field: Posterior) -> Posterior:
    """The airport where it stood, if nothing in between was missed."""
    return Posterior(field.rows, field.probability * SEEN_ARRIVING)


def _stop(draft: Draft, alone: Guess, following: Draft, model: Model) -> tuple[Guess, Guess, int]:
    """The end of one leg and the beginning of the next, each with what the other says of the stop between them, and when that
    was at the earliest."""
    if following.count == 0 and following.takeoff is None and following.landing is not None:
        return _stop_before_unseen(draft, following.landing, _identity(following, model), model)
    if draft.landing is not None:
        return alone, _origin_guess(following, following.takeoff, model), draft.landing.since
    likelihood, prior = _origin_unseen(following, model)
    apart_days = (following.head[0].time - draft.tail[-1].time) / (24 * HOUR)
    end, begin = ends.same_stop(_in_time(alone.posterior, draft, following, model), likelihood, prior, apart_days)
    later = f"; seen again {utc(following.first_seen):%d %b %H:%M} UTC on its next leg"
    origin = Guess(begin, "inferred", _unseen_words("first", following) + "; the leg before it was lost on the way there")
    return Guess(end, "inferred", alone.reason + later), origin, draft.tail[-1].time


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


def _stop_before_unseen(draft: Draft, ground: Ground, who: Aircraft, model: Model) -> tuple[Guess, Guess, int]:
    """The stop before a leg that nobody saw: the end of the leg before may be where that one ends, too, and then
    there was none."""
    found = _where_it_went(draft, ground, draft.origin, who, model)
    later = f"; seen next {utc(ground.since):%d %b %H:%M} UTC on the ground elsewhere"
    there = _at(found, ground, model)
    left = found.probability[~there]
    total = float(left.sum()) + found.unknown
    origin = Guess(Posterior(found.rows[~there], left / total), "inferred", "nobody saw this leg; where the leg before it went")
    return Guess(found, "inferred", _unseen_words("last", draft) + later), origin, draft.tail[-1].time


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
    seen = partial(model.prior.seen_share, day_of(draft.first_seen))
    return ends.look(which, edge, path, other, who.typecode, draft.fastest, flown, prior, ways, model.airports, silent_min, seen)


def _ways(
    which: ends.Which, draft: Draft, fix: Fix, path: Sequence[Fix], other: int | None, model: Model
) -> tuple[ends.Floats, ends.Floats, ends.Floats]:
    """What the ways of earlier flights say of one end."""
    courses = ends.courses_at(which, fix, path)
    course = math.nan if not courses else courses[0] if which == "destination" else (courses[0] + 180) % 360
    return model.prior.came_by(
        which,
        day_of(draft.first_seen),
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
    field = model.at_field(draft.landing.first.latitude, draft.landing.first.longitude)
    return int(field.rows[field.probability.argmax()]) if len(field.rows) else None


def _unseen_words(which: str, draft: Draft) -> str:
    fix = draft.tail[-1] if which == "last" else draft.head[0]
    height = "" if math.isnan(fix.altitude) else f" at {fix.altitude:,.0f} ft"
    course = "" if math.isnan(fix.track) else f" on course {fix.track:03.0f}"
    return f"{which} seen {utc(fix.time):%d %b %H:%M} UTC at {fix.latitude:.2f}, {fix.longitude:.2f}{height}{course}"


# ------------------------------------------------------------------------------------------------------------------ times, status


class Named(Struct, frozen=True, gc=False):
    """What is told of one end of a leg but for its time."""

    airport: str | None
    basis: Basis
    probability: float
    candidates: tuple[Candidate, ...]
    reason: str


def _named(guess: Guess, model: Model) -> Named:
    listed = ends.candidates(guess.posterior, model.airports)
    lead = listed[0] if listed[0].airport != UNKNOWN else None
    probability = lead.probability if lead is not None else 0.0
    if lead is not None and probability >= 0.5:
        return Named(lead.airport, guess.basis, probability, listed, guess.reason)
    observed = guess.basis == "observed"
    reason = f"{guess.reason}, where the table has no airport" if observed else guess.reason
    return Named(None, "observed" if observed else "unknown", probability, listed, reason)


def _timed(end: Named, first: int, middle: int, last: int) -> End:
    """The record of one end, with its time: seen, or the middle of the interval that the flying leaves."""
    return End(end.airport, end.basis, end.probability, end.candidates, end.reason, utc(middle), utc(first), utc(last))


def _halfway(first: int, last: int) -> int:
    """Between two times (µs); a half goes to the even one, as with datetimes."""
    return first + round((last - first) / 2)


def _takeoff_span(draft: Draft, airport: str | None, model: Model, earliest: int | None) -> Span:
    start = draft.head[0]
    ground = draft.takeoff
    if draft.count == 0 and draft.landing is not None:  # never seen flying: it took off and landed somewhen in between
        return draft.first_seen, draft.landing.since
    if ground is not None and start.time - ground.until <= CONTIGUOUS_S * SECOND:
        return ground.until, start.time
    shortest, longest = _flying_span(start, airport, draft, model)
    floor = max([t for t in (earliest, ground.until if ground else None) if t is not None], default=start.time - longest)
    latest = max(start.time - shortest, floor)
    return min(max(start.time - longest, floor), latest), latest


def _landing_span(draft: Draft, airport: str | None, model: Model, latest: int | None) -> Span:
    last, ground = draft.tail[-1], draft.landing
    if ground is not None and draft.count == 0:
        return draft.first_seen, ground.since
    if ground is not None:
        return min(last.time + _flying_span(last, airport, draft, model)[0], ground.since), ground.since
    shortest, longest = _flying_span(last, airport, draft, model)
    ceiling = latest if latest is not None else last.time + longest
    first = min(last.time + shortest, ceiling)
    return first, max(min(last.time + longest, ceiling), first)


def _flying_span(fix: Fix, airport: str | None, draft: Draft, model: Model) -> Span:
    """The shortest and longest time (µs) that it takes from a fix to the leading airport; unbounded but for the range
    where there is none."""
    row = model.airports.row(airport)
    if row is None:
        return 0, round(performance(draft.typecode).range_nm / _speed(draft) * HOUR)
    way = apart_nm(fix.latitude, fix.longitude, model.airports.latitude.item(row), model.airports.longitude.item(row))
    direct = way / _speed(draft) * HOUR
    return round(0.95 * direct), round(1.3 * direct + APPROACH + 2 * MINUTE)


def _speed(draft: Draft) -> float:
    """A speed that the aircraft keeps: what it showed, within what is usual."""
    shown = [s for s in (draft.end.speed_kt, 0.9 * draft.fastest) if s > 80]
    return max(shown) if shown else 0.85 * performance(draft.typecode).cruise_kt


def _landed_probability(draft: Draft, destination: Guess, who: Aircraft, model: Model, now: int) -> float:
    """That it is down by now: seen on the ground, seen on its next leg, or long enough out of sight for each
    candidate."""
    if draft.ending == "ground":
        return 1.0
    if draft.ending == "gap":
        return draft.landed_in_gap
    last = draft.tail[-1]
    elapsed = (now - last.time) / SECOND / 3600
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


def _status(draft: Draft, landed: float, now: int) -> Status:
    if draft.ending == "ground":
        return "landed"
    if draft.ending == "gap":  # it was seen flying again: it must have been down, and nobody saw it
        return "presumed_landed"
    if landed >= PRESUMED_LANDED:
        return "presumed_landed"
    return "lost" if now - draft.last_seen > LOST_AFTER else "airborne"


def _leg(
    draft: Draft,
    previous: Leg | None,
    who: Aircraft,
    origin: End,
    destination: End,
    landed: float,
    fleeting: frozenset[str],
    now: int,
    names: Names,
) -> Leg:
    """The leg, without its events."""
    name, last, begun = aircraft_text(draft.aircraft), draft.tail[-1], utc(draft.first_seen).isoformat()
    leg_id = f"{name}-{begun[:19].replace('-', '').replace(':', '')}"
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
        gaps=tuple(map(_gap, draft.holes)),
        longest_gap_s=draft.longest_gap / SECOND,
        distance_nm=round(draft.metres / METRES_PER_NM, 1),
        positions=draft.count,
        model=begun[:10],
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
