"""On the ground or in the air, row by row.

In: accepted rows with the distance and time since the row before. Out: 0 (ground) or 1 (air) for each row. The
evidence is the ground flag, the speed (reported, else from two positions) and whether there is an altitude; where it
says nothing, an aircraft goes on as it was.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flightwatch.aircraft.types import ROTORCRAFT
from flightwatch.legs.rows import SECOND, Flags, Floats, Ints, Rows

Phases = NDArray[np.int8]

GROUND, AIR, UNCLEAR = 0, 1, -1

FLAG_DISBELIEVED_KT = 100.0
"""A ground flag above this is a runway or an error: neither tells that a flight is over."""

WALKING_KT = 30.0
"""No aeroplane flies so slowly over the ground, save in a gale."""

FLYING_KT = 50.0
"""Without a ground flag, faster than this is taken for flying: few taxi so fast."""

SLOW_BUT_HIGH_FT = 10_000.0
"""Slow and this high is a balloon or a bad speed; few airports lie higher."""

HOVERING = frozenset({"A7", "B1", "B2", "B3", "B4", "B6"})
"""Emitter categories that may hang in the air: rotorcraft, gliders, balloons, parachutists, ultralights, drones."""

SPEED_BASELINE_S = 20.0
"""Two positions closer in time than this give no usable speed."""

MOVED_BASELINE_S = 4.0
"""But they tell whether an aircraft that says it stands has moved: 4 s at 50 kt are 100 m, ten times what positions
err."""


def speeds(said: Floats, distance: Floats, elapsed: Floats) -> Floats:
    """Reported ground speed, else that between the last two positions, else NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        derived = np.where(elapsed >= SPEED_BASELINE_S * SECOND, distance / (elapsed / (3600 * SECOND)), np.nan)
    return np.where(np.isnan(said), derived, said)


def evidence(rows: Rows, distance: Floats, elapsed: Floats, no_height: Flags, degraded: Flags) -> Phases:
    """What each row says by itself: ground, air, or unclear. Rows whose height is not believed say nothing, and what has
    lost its integrity or comes from a multilateration lands nobody."""
    said = np.full(len(rows), AIR, np.int8)
    maybe = np.flatnonzero((rows.onground == 1) | ~(rows.groundspeed >= FLYING_KT))
    if len(maybe):  # few: what flies fast and does not say else is in the air
        said[maybe] = _weighed(rows, maybe, distance[maybe], elapsed[maybe])
    said[no_height | (degraded & (said == GROUND))] = UNCLEAR
    return said


def _weighed(rows: Rows, which: Ints, distance: Floats, elapsed: Floats) -> Phases:
    flag, altitude, groundspeed = rows.onground[which], rows.altitude[which], rows.groundspeed[which]
    speed = speeds(groundspeed, distance, elapsed)
    no_altitude = np.isnan(altitude)
    moved = (elapsed >= MOVED_BASELINE_S * SECOND) & (distance * (3600 * SECOND) > FLYING_KT * elapsed)
    crawling = (groundspeed < WALKING_KT) & ~moved & ~(altitude > SLOW_BUT_HIGH_FT) & ~may_hover(rows, which)
    by_flag = (flag == 1) & ~(groundspeed > FLAG_DISBELIEVED_KT)
    by_speed = (flag != 1) & crawling & ~rows.mlat[which]  # whose speeds are differences of places that stray
    by_missing_altitude = (flag == -1) & no_altitude & (speed < FLYING_KT)
    air = (flag == 0) | ((flag == -1) & ((speed >= FLYING_KT) | (np.isnan(speed) & ~no_altitude)))
    return np.where(by_flag | by_speed | by_missing_altitude, GROUND, np.where(air, AIR, UNCLEAR)).astype(np.int8)


def may_hover(rows: Rows, which: Ints | slice) -> Flags:
    """Whether each of these rows is of an aircraft that can hang in the air, as far as it says."""
    by_category = np.array([word in HOVERING for word in rows.vocabulary["category"]] + [False])
    by_type = np.array([word in ROTORCRAFT for word in rows.vocabulary["typecode"]] + [False])
    return np.asarray(by_category[rows.category[which]] | by_type[rows.typecode[which]])


def carried_on(said: Phases, first: Flags, before: Phases) -> Phases:
    """Unclear rows go on as the row before; `first` marks each aircraft's first row, `before` its phase until then
    (air if there was none)."""
    known = said != UNCLEAR
    if known.all():
        return said
    known |= first
    source = np.maximum.accumulate(np.where(known, np.arange(len(said)), 0))
    start = np.where(before == UNCLEAR, AIR, before)
    value = np.where(said == UNCLEAR, start, said)
    return np.asarray(value[source], dtype=np.int8)
