"""What a leg did besides going from one place to another, as events: diverted, turned back, held, circled, fell silent.

In: a leg as it stands with the draft that it was made of, and where it was heading. Out: its events. All that they rest on
belongs to the leg, so they are the same live and afterwards, and change or go with it.

    leg.diversion     landed elsewhere than it had been heading for half an hour
    leg.turn_back     came back to where it took off, from 50 nm away or more
    flight.holding    two full turns or more on its arrival from somewhere else, one of them at a constant height
    flight.circling   three full turns or more over one place, higher than a circuit, that is no holding
    transponder.lost  out of sight for 20 minutes at cruise, where it would have been seen

Distances in nm, heights in ft. What is not known makes no event: a leg whose landing is less sure than `SURE` has neither
diverted nor turned back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flightwatch.legs.gaps import HOUR, TREND_FT_MIN
from flightwatch.legs.rows import MINUTE, SECOND, Flags, Floats, Ints
from flightwatch.legs.segmentation import Draft, Hole
from flightwatch.legs.silence import Seen
from flightwatch.legs.turning import MILLI, STRETCH, STRETCH_S
from flightwatch.places import Airports
from flightwatch.places.airports import Airport
from flightwatch.places.great_circle import (
    EARTH_RADIUS_NM,
    apart_nm,
    bearing_deg,
    bearings_deg,
    destination,
    distance_nm,
    turn_deg,
    unit_vector,
    unit_vectors,
)
from flightwatch.records import (
    CIRCLING,
    DIVERSION,
    HOLDING,
    TRANSPONDER_LOST,
    TURN_BACK,
    WAYPOINT,
    Basis,
    End,
    Event,
    Leg,
    utc,
)

SURE = 0.9
"""From this probability on a place counts as where the leg was: as with landings that are presumed."""

HEADED, HEADED_FOR = 0.8, 30 * MINUTE
"""A leg was heading for a place that led with so much for so long."""

ELSEWHERE_NM = 60.0
"""Airports closer together than this serve one region; going to the other one is told as the landing that it is."""

OUT_OF_THE_WAY, TURNED_OFF_DEG, ON_COURSE_DEG = 1.15, 50.0, 30.0
"""Nine in ten scheduled flights of more than 300 nm fly less than this times the straight line (1.14; measured on 422 regional
ones). Ten of 1,650 flights seemed to head for another place for half an hour and were not diverted: one of them turned off
by so much while it flew there."""

TURNED_BACK_NM = 50.0
"""Beyond the area in which departing aircraft are led around (as TURNS_BACK of a terminal area)."""

USUAL_RETURN = 0.1
"""Who comes back from one flight in ten does so on purpose: survey, training, tests."""

WANDERED, WANDERED_NM = 3.0, 30.0
"""Who flew farther than there and back, half as much again and an approach was not on the way to anywhere."""

HELD_DEG, CIRCLED_DEG = 720.0, 1080.0
"""Two rounds make a holding, because an approach alone may turn by one; three over one place are meant."""

ROUND_PAUSE_S = 2 * STRETCH_S
"""A race track's straight parts between two turns, at most."""

ONE_PLACE_NM = 15.0
"""Radius of what is one place: a circle of ten nm that the wind drifts."""

HOLDING_NM, HOLDING_BEFORE = 80.0, 30 * MINUTE
"""Holdings belong to the arrival: within this of the destination, and in the last half hour."""

LEVEL_DEG, LEVEL_FT = 360.0, 1500.0
"""Of a holding at least one round is flown at a height; a spiral has none. A step down in a stack is 1,000 ft; pressure and
reports move heights by some 300 ft."""

CIRCUIT_NM, CIRCUIT_FT = 5.0, 2000.0
"""Circuits are flown at 1,000 to 1,500 ft above the field, within its control zone."""

CRUISE_FT = 15_000.0
"""Lower than this, terrain and the ends of coverage hide aircraft (adsbtrack takes the same height)."""

SILENT = 20 * MINUTE
FAR_FROM_DESCENT = 1.5
"""Times the way that a three-degree path takes: nearer than this to where it goes it may have been going down."""

NM_PER_FT = 3.1 / 1000

AHEAD = (0, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE)
"""Where it would have been seen had it flown on: the first quarter of an hour of its silence."""

SURELY_SEEN = 0.9
"""Of the traffic there, this much has to be seen: with what nobody knows counted as unseen, some three hours of it."""

ONCE = (DIVERSION, TURN_BACK)
"""Kinds that a leg has one of; the others go by when they began."""

NAMED_AS = {HOLDING: "flight.round", CIRCLING: "flight.round"}
"""In the ids of events: which of both it was shows when the leg is over, and the event stays the same."""

MOST_OF_ONE_SORT = 5
"""Times of going round, and times out of sight, that are told of one leg: the first ones."""


@dataclass(frozen=True, slots=True)
class Heading:
    """Where a leg was going for a while, by its track and by earlier flights; the least probability in that time (µs)."""

    airport: str
    probability: float
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Turns:
    """A time of turning one way over one place. Times in µs, `degrees` to the right positive; `level` those of them that were
    turned at one height."""

    since: int
    until: int
    degrees: float
    south: float
    west: float
    north: float
    east: float
    lowest: float
    highest: float
    level: float

    @property
    def middle(self) -> tuple[float, float]:
        across = self.east - self.west > 180  # the antimeridian
        return (self.south + self.north) / 2, 180.0 if across else (self.west + self.east) / 2

    @property
    def rounds(self) -> float:
        return abs(self.degrees) / 360


def events_of(
    leg: Leg, draft: Draft, heading: Heading | None, usual_return: float, airports: Airports, seen: Seen
) -> tuple[Event, ...]:
    """The events of a leg. `heading` is where it was going, if that was known and it went out of its way; `usual_return` the
    share of such flights that come back to where they took off."""
    turns = turns_of(draft.turns)
    rounds = _going_round(leg, turns, airports)
    circled = any(event.kind == CIRCLING for event in rounds)
    found = [
        *_diverted(leg, draft, heading, airports),
        *_turned_back(leg, draft, heading, usual_return, circled, airports),
        *rounds[:MOST_OF_ONE_SORT],
        *_silent(leg, draft, airports, seen)[:MOST_OF_ONE_SORT],
    ]
    return tuple(sorted(found, key=lambda event: (event.since, event.event_id)))


# ------------------------------------------------------------------------------------------------------------------ where it went


def is_over(leg: Leg) -> bool:
    """Whether it is known where and that a leg ended."""
    return leg.status in ("landed", "presumed_landed") and _is_sure(leg.destination) and leg.landed_probability >= SURE


def _is_sure(end: End) -> bool:
    return end.airport is not None and end.probability >= SURE


def _diverted(leg: Leg, draft: Draft, heading: Heading | None, airports: Airports) -> list[Event]:
    if heading is None or not is_over(leg) or not _is_sure(leg.origin):
        return []
    meant, landed = airports.get(heading.airport), airports.get(leg.destination.airport)
    if meant is None or landed is None or landed.ident == leg.origin.airport:
        return []
    apart = apart_nm(meant.latitude, meant.longitude, landed.latitude, landed.longitude)
    if apart < ELSEWHERE_NM or not (_flew_long(leg, landed, airports) or _turned_away(draft, heading, meant, landed)):
        return []
    way = _way(draft, heading.since)
    lasted = (heading.until - heading.since) / MINUTE
    words = (
        f"was heading for {meant.ident} for {lasted:.0f} min until {utc(heading.until):%d %b %H:%M} UTC"
        f" ({heading.probability:.0%} by its track and earlier flights),"
        f" landed at {landed.ident} ({_basis_words(leg.destination)})"
    )
    return [
        _event(
            leg,
            DIVERSION,
            leg.destination.basis,
            heading.until,
            _landed_us(leg),
            [*way["latitude"].tolist(), landed.latitude],
            [*way["longitude"].tolist(), landed.longitude],
            {"apart_nm": apart, "headed_min": lasted, "headed_probability": heading.probability},
            (meant.ident, landed.ident),
            words,
            "inferred",
            heading.probability * _certainty(leg),
        )
    ]


def out_of_their_way(flown: Sequence[tuple[Leg, Draft]], airports: Airports) -> list[bool]:
    """Of legs with their drafts which flew longer than who goes there from the start, or turned towards it somewhere. The
    others meant to go there, whatever was to be thought on the way."""
    landed = [airports.get(leg.destination.airport) for leg, _ in flown]
    out = [there is not None and _flew_long(leg, there, airports) for (leg, _), there in zip(flown, landed, strict=True)]
    open_ = [(i, there) for i, there in enumerate(landed) if there is not None and not out[i]]
    whose, turned = _turned_off([flown[i][1] for i, _ in open_], [there for _, there in open_])
    for at in set(whose[turned].tolist()):
        out[open_[at][0]] = True
    return out


def _flew_long(leg: Leg, landed: Airport, airports: Airports) -> bool:
    origin = airports.get(leg.origin.airport)
    if origin is None:
        return False
    straight = apart_nm(origin.latitude, origin.longitude, landed.latitude, landed.longitude)
    return leg.distance_nm >= max(OUT_OF_THE_WAY * straight, straight + ELSEWHERE_NM)


def _turned_off(drafts: Sequence[Draft], landed: Sequence[Airport]) -> tuple[Ints, Flags]:
    """At which inner waypoints of some legs each of them turned to fly to its airport that was still far; with whose waypoints
    these are."""
    track, _, inner, whose = _tracks(drafts)
    there = unit_vectors([a.latitude for a in landed], [a.longitude for a in landed])[whose]
    then = track[inner + 1]
    far = np.vecdot(then, there) <= math.cos(ELSEWHERE_NM / EARTH_RADIUS_NM)
    courses = bearings_deg(track[inner - 1], track[inner])
    return whose, np.asarray(far & (turn_deg(courses, bearings_deg(then, there)) >= TURNED_OFF_DEG))


def _turned_away(draft: Draft, heading: Heading, meant: Airport, landed: Airport) -> bool:
    """Whether it turned off while it was heading for a place, and flying there."""
    track, time, inner, _ = _tracks([draft])
    there = bearings_deg(track[inner], unit_vector(meant.latitude, meant.longitude))
    on_course = turn_deg(bearings_deg(track[inner - 1], track[inner]), there) <= ON_COURSE_DEG
    meanwhile = (time[inner] >= heading.since) & (time[inner] <= heading.until)
    return bool((_turned_off([draft], [landed])[1] & on_course & meanwhile).any())


def _tracks(drafts: Sequence[Draft]) -> tuple[Floats, Ints, Ints, Ints]:
    """The waypoints of some ways, one way after the other, as unit vectors, and their times (µs); which of them have one before
    and one after them, and of which way each of these is."""
    way = np.frombuffer(b"".join([draft.way for draft in drafts]), WAYPOINT)
    whose = np.repeat(np.arange(len(drafts)), [len(draft.way) // WAYPOINT.itemsize for draft in drafts])
    inner = np.flatnonzero(whose[2:] == whose[:-2]) + 1
    places = unit_vectors(way["latitude"].astype(np.float64), way["longitude"].astype(np.float64))
    return places, way["time"].astype(np.int64) * SECOND, inner, whose[inner]


def _turned_back(
    leg: Leg, draft: Draft, heading: Heading | None, usual_return: float, circled: bool, airports: Airports
) -> list[Event]:
    if leg.destination.airport != leg.origin.airport or circled or not is_over(leg) or not _is_sure(leg.origin):
        return []
    origin = airports.get(leg.origin.airport)
    if origin is None:
        return []
    way = _way(draft)
    away = distance_nm(origin.latitude, origin.longitude, way["latitude"], way["longitude"])
    farthest = float(np.max(away, initial=0.0))
    wandered = leg.distance_nm > WANDERED * farthest + WANDERED_NM
    if farthest < TURNED_BACK_NM or wandered or usual_return >= USUAL_RETURN:
        return []
    turned = int(way["time"][int(np.argmax(away))]) * SECOND
    towards = f", heading for {heading.airport} ({heading.probability:.0%})" if heading else ""
    words = (
        f"took off at {origin.ident}, was {farthest:.0f} nm away at {utc(turned):%d %b %H:%M} UTC{towards},"
        f" and came back ({_basis_words(leg.destination)})"
    )
    return [
        _event(
            leg,
            TURN_BACK,
            leg.destination.basis,
            turned,
            _landed_us(leg),
            [*way["latitude"].tolist(), origin.latitude],
            [*way["longitude"].tolist(), origin.longitude],
            {"farthest_nm": farthest, "flown_nm": leg.distance_nm},
            (origin.ident,),
            words,
            leg.destination.basis if leg.origin.basis == "observed" else "inferred",
            leg.origin.probability * _certainty(leg),
        )
    ]


def _certainty(leg: Leg) -> float:
    """That it landed, and there."""
    return leg.destination.probability * leg.landed_probability


def _basis_words(end: End) -> str:
    return "seen there" if end.basis == "observed" else f"inferred, {end.probability:.0%}"


def _way(draft: Draft, since: int = 0) -> NDArray[np.void]:
    way = np.frombuffer(draft.way, WAYPOINT)
    return way[way["time"].astype(np.int64) * SECOND >= since - MINUTE] if since else way


def _landed_us(leg: Leg) -> int:
    time = leg.destination.time
    assert time is not None  # tracked legs have times at both ends
    return round(time.timestamp() * SECOND)


# ---------------------------------------------------------------------------------------------------------------- going round


def turns_of(stretches: bytes) -> list[Turns]:
    """Stretches of turning (`turning.STRETCH`) put together: one way round, over one place, without a long pause."""
    found: list[Turns] = []
    for row in np.frombuffer(stretches, STRETCH).tolist() if stretches else ():
        one = _one_stretch(*row)
        whole = _both(found[-1], one) if found else one
        goes_on = bool(found) and one.degrees * found[-1].degrees > 0 and one.since - found[-1].until <= ROUND_PAUSE_S * SECOND
        if goes_on and _radius_nm(whole) <= ONE_PLACE_NM:
            found[-1] = whole
        else:
            found.append(one)
    return found


def _one_stretch(
    time: int, turned: int, south: float, west: float, north: float, east: float, lowest: float, highest: float
) -> Turns:
    level = turned / MILLI if highest - lowest <= LEVEL_FT else 0.0
    return Turns(time * SECOND, (time + STRETCH_S) * SECOND, turned / MILLI, south, west, north, east, lowest, highest, level)


def _both(a: Turns, b: Turns) -> Turns:
    return Turns(
        a.since,
        b.until,
        a.degrees + b.degrees,
        min(a.south, b.south),
        min(a.west, b.west),
        max(a.north, b.north),
        max(a.east, b.east),
        float(np.fmin(a.lowest, b.lowest)),
        float(np.fmax(a.highest, b.highest)),
        a.level + b.level,
    )


def _radius_nm(turns: Turns) -> float:
    return apart_nm(turns.south, turns.west, turns.north, turns.east) / 2


def _going_round(leg: Leg, turns: Sequence[Turns], airports: Airports) -> list[Event]:
    found = []
    for one in turns:
        held = abs(one.level) >= LEVEL_DEG and is_over(leg) and _is_arriving(leg, one, airports)
        if abs(one.degrees) >= (HELD_DEG if held else CIRCLED_DEG) and not _in_a_circuit(one, airports):
            found.append(_round(leg, HOLDING if held else CIRCLING, one))
    return found


def _is_arriving(leg: Leg, turns: Turns, airports: Airports) -> bool:
    """Whether it turns near where it goes to land, at the end of a leg from somewhere else. Who comes back to where it
    took off flies for the sake of flying."""
    place = airports.get(leg.destination.airport)
    if place is None or leg.last_seen is None or place.ident == leg.origin.airport:
        return False
    away = apart_nm(*turns.middle, place.latitude, place.longitude)
    return away <= HOLDING_NM and turns.until >= round(leg.last_seen.timestamp() * SECOND) - HOLDING_BEFORE


def _in_a_circuit(turns: Turns, airports: Airports) -> bool:
    """Whether it is as low over an airport as who practises landings, or as nobody tells."""
    rows, _ = airports.near(*turns.middle, CIRCUIT_NM)
    return len(rows) > 0 and not turns.lowest > float(airports.elevation_ft[rows].max()) + CIRCUIT_FT


def _round(leg: Leg, kind: str, turns: Turns) -> Event:
    side = "right" if turns.degrees > 0 else "left"
    place = leg.destination.airport if kind == HOLDING else None
    height = "an unknown height" if math.isnan(turns.lowest) else f"{turns.lowest:,.0f} to {turns.highest:,.0f} ft"
    lasted = (turns.until - turns.since) / MINUTE
    latitude, longitude = turns.middle
    words = f"{turns.rounds:.1f} rounds to the {side} in {lasted:.0f} min around {latitude:.2f}, {longitude:.2f} at {height}"
    if place is not None:
        words += f", before landing at {place} ({_basis_words(leg.destination)})"
    evidence = {"rounds": turns.rounds, "minutes": lasted, "radius_nm": _radius_nm(turns)}
    evidence |= {} if math.isnan(turns.lowest) else {"lowest_ft": turns.lowest, "highest_ft": turns.highest}
    return _event(
        leg,
        kind,
        side,
        turns.since,
        turns.until,
        [turns.south, turns.north],
        [turns.west, turns.east],
        evidence,
        (place,) if place else (),
        words,
        "observed",
        1.0 if kind == CIRCLING else _certainty(leg),
    )


# ------------------------------------------------------------------------------------------------------------------- out of sight


def _silent(leg: Leg, draft: Draft, airports: Airports, seen: Seen) -> list[Event]:
    """Times in which nothing was heard of it although it would have been. Unknown coverage proves nothing."""
    found = [event for hole in draft.holes if (event := _silent_between(leg, draft, hole, seen)) is not None]
    last = _lost_for_good(leg, draft, airports, seen)
    return found if last is None else [*found, last]


def _silent_between(leg: Leg, draft: Draft, hole: Hole, seen: Seen) -> Event | None:
    """A hole in the middle of a leg, at cruise on both sides."""
    if hole.end - hole.start < SILENT:
        return None
    way = np.frombuffer(draft.way, WAYPOINT)
    times = way["time"].astype(np.int64) * SECOND
    before, after = np.flatnonzero(times <= hole.start), np.flatnonzero(times >= hole.end)
    if not len(before) or not len(after):
        return None
    a, b = way[before[-1]], way[after[0]]
    if hole.start - times[before[-1]] > 2 * STRETCH_S * SECOND or not min(a["altitude"], b["altitude"]) >= CRUISE_FT:
        return None
    hours = (times[after[0]] - times[before[-1]]) / HOUR
    course = float(bearing_deg(a["latitude"], a["longitude"], b["latitude"], b["longitude"]))
    speed = apart_nm(a["latitude"], a["longitude"], b["latitude"], b["longitude"]) / hours
    place = float(a["latitude"]), float(a["longitude"]), float(a["altitude"])
    probability = _would_have_been_seen(*place, course, speed, seen)
    if probability is None:
        return None
    return _silence(leg, "between", hole.start, hole.end, place, probability, f"seen again {utc(hole.end):%d %b %H:%M} UTC")


def _lost_for_good(leg: Leg, draft: Draft, airports: Airports, seen: Seen) -> Event | None:
    """A leg that ends out of sight, far from where it probably went to."""
    if draft.count == 0 or draft.ending == "ground" or leg.status == "airborne":
        return None
    fix, edge = draft.tail[-1], draft.end
    if edge.climb_ft_min < -TREND_FT_MIN:
        return None
    course = fix.track if not math.isnan(fix.track) else _course(draft)
    if not fix.altitude >= CRUISE_FT or math.isnan(course) or math.isnan(edge.speed_kt):
        return None
    place = airports.get(leg.destination.airport)
    if place is not None:
        left = apart_nm(fix.latitude, fix.longitude, place.latitude, place.longitude)
        if left < FAR_FROM_DESCENT * NM_PER_FT * fix.altitude:
            return None
    where = fix.latitude, fix.longitude, fix.altitude
    probability = _would_have_been_seen(*where, course, edge.speed_kt, seen)
    if probability is None:
        return None
    went = "where it went is not known" if place is None else f"it went to {place.ident} ({_basis_words(leg.destination)})"
    return _silence(leg, "until the end", fix.time, fix.time + SILENT, where, probability, went)


def _course(draft: Draft) -> float:
    a, b = draft.tail[0], draft.tail[-1]
    return math.nan if len(draft.tail) < 2 else float(bearing_deg(a.latitude, a.longitude, b.latitude, b.longitude))


def _would_have_been_seen(
    latitude: float, longitude: float, altitude: float, course: float, speed_kt: float, seen: Seen
) -> float | None:
    """The least share of the traffic that is seen on the way ahead, if it is everywhere high enough. Where little is known
    the share is small."""
    ahead = destination(latitude, longitude, course, speed_kt * np.array(AHEAD) / HOUR)
    shares, _ = seen(*ahead, np.full(len(AHEAD), altitude))
    least = float(shares.min())
    return least if least >= SURELY_SEEN else None


def _silence(
    leg: Leg, reason: str, since: int, until: int, place: tuple[float, float, float], probability: float, then: str
) -> Event:
    latitude, longitude, altitude = place
    words = (
        f"last heard {utc(since):%d %b %H:%M} UTC near {latitude:.2f}, {longitude:.2f} at {altitude:,.0f} ft, where"
        f" {probability:.0%} of the traffic is seen; {then}"
    )
    evidence = {"altitude_ft": altitude, "seen_share": probability}
    return _event(
        leg, TRANSPONDER_LOST, reason, since, until, [latitude], [longitude], evidence, (), words, "inferred", probability
    )


def _event(
    leg: Leg,
    kind: str,
    reason: str,
    since: int,
    until: int,
    latitudes: Sequence[float],
    longitudes: Sequence[float],
    evidence: dict[str, float],
    about: tuple[str, ...],
    words: str,
    basis: Basis,
    probability: float,
) -> Event:
    wide = max(longitudes) - min(longitudes) > 180 or any(abs(a - b) > 180 for a, b in pairwise(longitudes))
    return Event(
        event_id=f"{leg.leg_id}-{NAMED_AS.get(kind, kind)}" + ("" if kind in ONCE else f"-{utc(since):%Y%m%dT%H%M%S}"),
        kind=kind,
        reason=reason,
        aircraft=(leg.aircraft,),
        since=utc(since),
        until=utc(max(since, until)),
        south=min(latitudes),
        west=-180.0 if wide else min(longitudes),
        north=max(latitudes),
        east=180.0 if wide else max(longitudes),
        count=leg.positions,
        feeds=leg.feeds,
        evidence={name: round(float(value), 2) for name, value in sorted(evidence.items())},
        legs=(leg.leg_id,),
        airports=about,
        words=words,
        basis=basis,
        probability=round(probability, 4),
    )
