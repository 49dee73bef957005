"""Map pictures: drawn offline, small enough for a message, also where the world ends."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest

from flightwatch import maps
from flightwatch.places.great_circle import between
from flightwatch.records import MapSpec, Track


def spec(latitude: list[float], longitude: list[float], breaks: tuple[int, ...] = ()) -> MapSpec:
    track = Track(tuple(latitude), tuple(longitude), breaks)
    ends = ((latitude[-1], longitude[-1], latitude[-1] + 1, longitude[-1]),) if latitude else ()
    return MapSpec("A title with $dollars$ and <b>marks</b>", track, ends, (("Somewhere", 55.0, 37.0),), "Solid: seen.")


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        ([55.9, 56.8, 52.3], [37.4, 60.6, 104.4]),
        ([60.0, 61.0, 60.0], [170.0, 179.9, -170.0]),  # across the antimeridian
        ([88.0, 89.9, 88.0], [10.0, 90.0, -170.0]),  # over the pole
        ([-33.9], [151.2]),
        ([], []),
    ],
)
def test_a_picture_of_any_flight(latitude: list[float], longitude: list[float]) -> None:
    png = maps.draw(spec(latitude, longitude))
    pixels = matplotlib.image.imread(io.BytesIO(png), format="png")
    assert pixels.shape[0] > 200
    assert len(png) < 300_000
    assert len(set(map(bytes, pixels[::4, ::4].reshape(-1, pixels.shape[-1])))) > 3, "it shows something"


def test_the_same_flight_is_the_same_picture() -> None:
    assert maps.draw(spec([55.9, 56.8], [37.4, 60.6])) == maps.draw(spec([55.9, 56.8], [37.4, 60.6]))


def test_a_line_across_the_antimeridian_does_not_cross_the_world() -> None:
    """From Kamchatka to Alaska: the picture is of the Pacific, no line runs through Europe."""
    red = maps.draw(spec([60.0, 61.0, 60.0], [170.0, 179.9, -170.0]))
    pixels = matplotlib.image.imread(io.BytesIO(red), format="png")[..., :3]
    is_red = (pixels[..., 0] > 0.6) & (pixels[..., 1] < 0.3) & (pixels[..., 2] < 0.3)
    columns = np.flatnonzero(is_red.any(axis=0))
    assert len(columns) > 20
    assert np.diff(columns).max() < 40, "one line, in one piece"


def test_two_inferred_ways_that_lie_on_each_other_do_not_look_seen() -> None:
    """There and back: the dashes of one would fill the gaps of the other."""
    there = (55.0, 40.0, 55.0, 80.0)
    lat, lon = between(*there, 57)
    back = (float(lat[-2]), float(lon[-2]), float(lat[1]), float(lon[1]))

    def red(*lines: tuple[float, float, float, float]) -> int:
        made = maps.draw(MapSpec("", Track((), (), ()), lines, (("Somewhere", 55.0, 37.0),), ""))
        pixels = matplotlib.image.imread(io.BytesIO(made), format="png")[..., :3]
        return int(((pixels[..., 0] > 0.6) & (pixels[..., 1] < 0.35) & (pixels[..., 2] < 0.35)).sum())

    assert red(there, back) < 1.2 * red(there)
