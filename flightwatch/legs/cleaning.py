"""Impossible positions are refused, with a reason; all others pass unchanged.

In: rows sorted by aircraft and time, each aircraft led by its last accepted row where there is one (the context).
Out: which rows are accepted, which are refused and why, and which must wait for the rows that come after them.

A position that no aircraft could have reached from the last accepted one is held back. If the next rows go on from
there it was a correction and all of them are accepted, with a break in the track; if they go on from the old place it
was a ghost and is refused. Which of the two is decided by the sequence of rows alone, so it does not matter how that
was cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flightwatch.legs.rows import MINUTE, Flags, Floats, Ints, Rows
from flightwatch.places.great_circle import distance_nm

Codes = NDArray[np.int8]

MAX_SPEED_KT = 1200.0
"""Faster than any aircraft that sends positions, with the jet stream behind it."""

SPEED_SLACK_NM = 1.5
"""Receivers' clocks and roundings: 1 s at 900 kt is 0.25 nm; MLAT positions stray by a mile."""

CONFIRMATIONS = 4
"""Rows that must agree on a new place before the old one is given up: the default of readsb's
`position-persistence`."""

STANDING_KT = 50.0
"""Below this an aircraft may really be where it was: parked, or hovering."""

ACCEPTED, REPEAT, TELEPORT, WAITING = 0, 1, 2, 3
REASONS = {REPEAT: "repeat", TELEPORT: "teleport"}


@dataclass(frozen=True)
class Verdicts:
    """One code a row, and the rows before which the track breaks because the aircraft turned out to be elsewhere."""

    code: Codes
    jump: Flags


def pair_distances(rows: Rows) -> tuple[Floats, Ints, Flags]:
    """For each row: nm and microseconds since the row before, and whether that row is of the same aircraft."""
    distance, elapsed = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    same = np.r_[np.zeros(min(len(rows), 1), bool), rows.aircraft[1:] == rows.aircraft[:-1]]
    if len(rows) > 1:
        distance[1:] = distance_nm(rows.latitude[:-1], rows.longitude[:-1], rows.latitude[1:], rows.longitude[1:])
        elapsed[1:] = np.diff(rows.time)
    return np.where(same, distance, 0.0), np.where(same, elapsed, 0), same


def reachable(distance: Floats | float, elapsed: Ints | int) -> Flags:
    """Whether an aircraft can have flown this far in this time."""
    return np.asarray(distance <= SPEED_SLACK_NM + MAX_SPEED_KT * (np.asarray(elapsed) / (60 * MINUTE)))


def judge(rows: Rows, context: Flags) -> Verdicts:
    """The verdict on every row; context rows are accepted already."""
    code, jump = np.zeros(len(rows), np.int8), np.zeros(len(rows), bool)
    distance, elapsed, same = pair_distances(rows)
    before = np.maximum(np.arange(len(rows)) - 1, 0)
    code[same & _repeats(rows, before, np.arange(len(rows)))] = REPEAT
    for number in np.unique(rows.aircraft[same & ~reachable(distance, elapsed)]):
        first, last = np.searchsorted(rows.aircraft, [number, number + 1])
        _judge_one(rows, context, code, jump, range(first, last))
    return Verdicts(code, jump)


def _repeats(rows: Rows, i: Ints | int, j: Ints | int) -> Flags:
    """Whether row j of a moving aircraft only says again where it was at row i: servers keep serving the last fix of
    a lost one."""
    still = (rows.latitude[i] == rows.latitude[j]) & (rows.longitude[i] == rows.longitude[j])
    level = (rows.altitude[i] == rows.altitude[j]) | (np.isnan(rows.altitude[i]) & np.isnan(rows.altitude[j]))
    moving = ~(rows.groundspeed[j] < STANDING_KT) & (rows.onground[j] != 1)
    return np.asarray(still & level & moving)


def _judge_one(rows: Rows, context: Flags, code: Codes, jump: Flags, indices: range) -> None:
    """Goes through one aircraft's rows in order, against its last accepted one; writes into `code` and `jump`."""
    accepted: int | None = None
    waiting: list[int] = []
    for i in indices:
        code[i] = ACCEPTED
        if context[i] or accepted is None or _follows(rows, accepted, i):
            if accepted is not None and _repeats(rows, accepted, i):
                code[i] = REPEAT
                continue
            code[waiting] = TELEPORT
            waiting, accepted = [], i
        elif waiting and _repeats(rows, waiting[-1], i):
            code[i] = REPEAT  # a ghost does not become true by being told again
        elif waiting and _follows(rows, waiting[-1], i):
            waiting.append(i)
            if len(waiting) == CONFIRMATIONS:
                jump[waiting[0]] = True
                waiting, accepted = [], i
        else:
            code[waiting] = TELEPORT
            waiting = [i]
    code[waiting] = WAITING


def _follows(rows: Rows, i: int, j: int) -> bool:
    distance = distance_nm(rows.latitude[i], rows.longitude[i], rows.latitude[j], rows.longitude[j])
    return bool(reachable(float(distance), int(rows.time[j] - rows.time[i])))
