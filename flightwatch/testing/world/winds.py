"""Winds: a westerly jet in each hemisphere, as strong as the seed and the place make it.

A field that never changes, smooth over the globe. It is no weather of any day: it makes flights east faster than
flights west, and no two speeds alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flightwatch.places.great_circle import Floats

JET_LATITUDE, JET_WIDTH = 42.0, 12.0
"""Where the mean jet streams blow (deg north and south), and how wide they are."""

JET_HEIGHT_FT, JET_DEPTH_FT = 36_000.0, 14_000.0

SLOWEST_SHARE = 0.25
"""What is left of the speed through the air against any wind: keeps made-up flights moving."""


class Wind(Protocol):
    """A wind: the speed (kt) towards the east and towards the north at each place and height (ft)."""

    def at(self, latitude: Floats, longitude: Floats, altitude: Floats) -> tuple[Floats, Floats]: ...


@dataclass(frozen=True)
class Calm:
    """No wind at all."""

    def at(self, latitude: Floats, longitude: Floats, altitude: Floats) -> tuple[Floats, Floats]:
        return np.zeros(np.shape(latitude)), np.zeros(np.shape(latitude))


CALM = Calm()


@dataclass(frozen=True)
class Jets:
    """The two jets, `strength_kt` at their core, with waves whose places come from the seed."""

    strength_kt: float = 80.0
    seed: int = 1

    def at(self, latitude: Floats, longitude: Floats, altitude: Floats) -> tuple[Floats, Floats]:
        shift, meander = np.random.default_rng(self.seed).uniform(0, 2 * np.pi, 2)
        lon = np.radians(longitude)
        core = JET_LATITUDE + 6 * np.sin(4 * lon + meander)
        across = np.exp(-(((np.abs(latitude) - core) / JET_WIDTH) ** 2))
        height = np.exp(-(((np.asarray(altitude) - JET_HEIGHT_FT) / JET_DEPTH_FT) ** 2))
        speed = self.strength_kt * across * height * (0.75 + 0.25 * np.sin(3 * lon + shift))
        return np.asarray(speed), np.asarray(0.35 * speed * np.cos(4 * lon + meander))


def ground_speed(airspeed: Floats, track: Floats, east: Floats, north: Floats) -> Floats:
    """The wind triangle: the speed over the ground (kt) along a track (deg) that is held against the wind."""
    course: NDArray[np.float64] = np.radians(track)
    along = east * np.sin(course) + north * np.cos(course)
    across = east * np.cos(course) - north * np.sin(course)
    through_air = np.sqrt(np.maximum(airspeed**2 - across**2, 0.0))
    return np.asarray(np.maximum(through_air + along, SLOWEST_SHARE * airspeed))
