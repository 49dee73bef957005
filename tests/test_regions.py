"""Regions: what lies in them, out of which files, and which files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightwatch.errors import InputError
from flightwatch.places.regions import LARGEST, MOST_CORNERS, Region, polygon, read_region

SQUARE = [[10, 50], [20, 50], [20, 60], [10, 60], [10, 50]]
HOLE = [[14, 54], [14, 56], [16, 56], [16, 54], [14, 54]]


def read(tmp_path: Path, shape: Any, name: str = "area.geojson") -> Region:
    path = tmp_path / name
    path.write_bytes(shape if isinstance(shape, bytes) else json.dumps(shape).encode())
    return read_region("area", path)


def inside(region: Region, *points: tuple[float, float]) -> list[bool]:
    """Of points as latitude, longitude."""
    return [bool(flag) for flag in region.contains([p[0] for p in points], [p[1] for p in points])]


def feature(geometry: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": {}, "geometry": geometry}


def test_a_hole_is_outside(tmp_path: Path) -> None:
    area = read(tmp_path, {"type": "Polygon", "coordinates": [SQUARE, HOLE]})
    assert inside(area, (51, 11), (55, 15), (59, 19), (55, 21), (61, 15)) == [True, False, True, False, False]


def test_all_polygons_of_a_file_are_one_region(tmp_path: Path) -> None:
    """Two that overlap are no hole where they do, and a hole in one of them is filled by another."""
    east = [[[x + 5, y] for x, y in SQUARE]]
    shapes = [
        {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], east]},
        {
            "type": "FeatureCollection",
            "features": [feature({"type": "Polygon", "coordinates": c}) for c in ([SQUARE, HOLE], east)],
        },
        {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": c} for c in ([SQUARE, HOLE], east)]},
    ]
    for shape in shapes:
        area = read(tmp_path, shape)
        assert inside(area, (55, 12), (57, 17), (55, 15.5), (55, 14.5), (55, 24), (55, 26)) == [
            True,
            True,
            True,
            False,
            True,
            False,
        ]


KML = """<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><MultiGeometry>
<Polygon><outerBoundaryIs><LinearRing><coordinates>10,50,0 20,50,0 20,60,0
 10,60,0 10,50,0</coordinates></LinearRing></outerBoundaryIs>
<innerBoundaryIs><LinearRing><coordinates>14,54 14,56 16,56 16,54 14,54</coordinates></LinearRing></innerBoundaryIs></Polygon>
<Polygon><outerBoundaryIs><LinearRing><coordinates>15,50 25,50 25,60 15,60</coordinates></LinearRing></outerBoundaryIs></Polygon>
</MultiGeometry></Placemark><Placemark><Point><coordinates>0,0</coordinates></Point></Placemark></Document></kml>"""


def test_kml(tmp_path: Path) -> None:
    area = read(tmp_path, KML.encode(), "area.kml")
    assert inside(area, (55, 12), (57, 17), (55, 15.5), (55, 14.5), (55, 24), (0, 0)) == [True, True, True, False, True, False]


BERING = [(60, 179), (60, -179), (60, 175), (60, -175), (60, 165), (60, -165), (60, 0), (70, 180), (60, 180), (60, -180)]
WITHIN = [True, True, True, True, False, False, False, False, True, True]


@pytest.mark.parametrize(
    "parts",
    [
        [[[170, 55], [180, 55], [180, 65], [170, 65]], [[-180, 55], [-170, 55], [-170, 65], [-180, 65]]],
        [[[170, 55], [190, 55], [190, 65], [170, 65]]],
        [[[-190, 55], [-170, 55], [-170, 65], [-190, 65]]],
        [[[170, 55], [-170, 55], [-170, 65], [170, 65]]],
        [[[-170, 65], [170, 65], [170, 55], [-170, 55]]],
    ],
    ids=["cut", "running on to the east", "running on to the west", "jumping", "jumping, the other way round"],
)
def test_across_the_antimeridian(parts: Any, tmp_path: Path) -> None:
    area = read(tmp_path, {"type": "MultiPolygon", "coordinates": [[part] for part in parts]})
    assert inside(area, *BERING) == WITHIN


def test_all_round_the_world_and_to_the_pole() -> None:
    south = polygon("south", [(-180, -90), (180, -90), (180, -60), (-180, -60)])
    assert inside(south, (-75, 0), (-75, 179.9), (-75, -180), (-50, 0)) == [True, True, True, False]
    with pytest.raises(InputError, match="goes round a pole"):
        polygon("arctic", [(lon, 66 + lon % 20 / 20) for lon in range(-180, 180, 15)])


def test_a_circle_crosses_the_antimeridian_and_the_pole() -> None:
    fiji = Region("fiji", centre=(-17.0, 179.5), radius_nm=100.0)
    assert inside(fiji, (-17, -179.5), (-17, 179), (-17, 176)) == [True, True, False]
    assert inside(Region("pole", centre=(89.5, 0.0), radius_nm=60.0), (89.6, 180), (85, 0)) == [True, False]


def test_a_place_that_is_not_known_lies_nowhere() -> None:
    assert inside(polygon("square", SQUARE), (float("nan"), 15), (55, float("nan"))) == [False, False]


coordinate = st.tuples(st.integers(-30, 30), st.integers(-30, 30))


@given(
    st.lists(coordinate, min_size=3, max_size=9),
    st.lists(coordinate, min_size=1, max_size=20),
    st.sampled_from([0, 150, 170, 180]),
)
def test_a_point_lies_inside_if_its_winding_is_odd(corners: list[Any], points: list[Any], shift: int) -> None:
    """Against the sum of the angles under which a point sees the edges, anywhere on the globe; points stand between the
    corners' meridians and parallels, where no edge of whole numbers can blur the answer."""
    at = [(y + 0.39, x + 0.47) for x, y in points]
    ring = [(x, y) for x, y in corners]
    try:
        area = polygon("any", [((x + shift + 180) % 360 - 180, y) for x, y in ring])
    except InputError:
        assert len({x for x, _ in ring}) == 1 or len({y for _, y in ring}) == 1
        return
    found = inside(area, *((lat, (lon + shift + 180) % 360 - 180) for lat, lon in at))
    for (lat, lon), told in zip(at, found, strict=True):
        seen = np.array([complex(x - lon, y - lat) for x, y in [*ring, ring[0]]])
        if np.abs(np.abs(np.angle(seen[1:] / seen[:-1])) - np.pi).min() > 1e-6:  # it does not lie on an edge
            winding = round(float(np.sum(np.angle(seen[1:] / seen[:-1]))) / (2 * np.pi))
            assert told is bool(winding % 2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no GeoJSON or KML"),
        (b"[1, 2]", "is no GeoJSON or KML"),
        (b'{"type": "Polygon"}', "there is no 'coordinates'"),
        (b'{"features": []}', "there is no 'type'"),
        (b'{"type": "Polygon", "coordinates": []}', "has no polygon"),
        (b'{"type": "LineString", "coordinates": [[1, 2], [3, 4]]}', "has no polygon"),
        (b'{"type": "Feature", "geometry": null}', "has no polygon"),
        (b'{"type": "Polygon", "coordinates": [[]]}', "three corners"),
        (b'{"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}', "three corners"),
        (b'{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [5]]]}', "is no GeoJSON or KML"),
        (b'{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], "56"]]}', "is no GeoJSON or KML|three corners"),
        (b'{"type": "Polygon", "coordinates": [[[1, 2], [3, null], [5, 6]]]}', "is no GeoJSON or KML|three corners"),
        (b'{"type": "Polygon", "coordinates": [[[1, 2], [3, 1e999], [5, 6]]]}', "three corners"),
        (b'{"type": "Polygon", "coordinates": [[[1, 2], [3, 1' + b"0" * 400 + b"], [5, 6]]]}", "is no GeoJSON or KML"),
        (b'{"type": "Polygon", "coordinates": [[[50, 100], [60, 110], [70, 100]]]}', "a latitude lies between"),
        (b'{"type": "Polygon", "coordinates": [[[1, 2], [2, 2], [3, 2]]]}', "has no area"),
        (b'{"type": "GeometryCollection", "geometries": ' + b"[" * 100_000, "is no GeoJSON or KML"),
        (b"<kml><Document></kml>", "is no GeoJSON or KML"),
        (b'<!DOCTYPE kml [<!ENTITY a "aaa">]><kml>&a;</kml>', "document type"),
        (
            '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE kml [<!ENTITY a "aaa">]><kml/>'.encode("utf-16-le"),
            "save it as UTF-8",
        ),
        (b"<kml><LineString><coordinates>1,2 3,4 5,6</coordinates></LineString></kml>", "has no polygon"),
        (b"<kml><Polygon><LinearRing><coordinates>1,2 3 5,6</coordinates></LinearRing></Polygon></kml>", "is no GeoJSON or KML"),
        (b"\xff\xfe\x00", "is no GeoJSON or KML"),
    ],
)
def test_what_is_no_region_is_refused_in_one_line(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says) as raised:
        read(tmp_path, content)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_how_far_points_are_from_a_region() -> None:
    square = polygon("square", [(175, -5), (-175, -5), (-175, 5), (175, 5)])
    assert square.away_nm([0.0], [174.0]) == pytest.approx(60, rel=0.01)
    assert square.away_nm([0.0, 8.0], [-160.0, -178.0]) == pytest.approx(180, rel=0.01), "the nearest of several"
    assert Region("circle", centre=(50.0, 10.0), radius_nm=30).away_nm([52.0], [10.0]) == pytest.approx(90, rel=0.01)


def test_files_that_are_too_large_or_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="simplify the outline"):
        read(tmp_path, b" " * (LARGEST + 1))
    turns = np.linspace(0, 2 * np.pi, MOST_CORNERS + 1)
    circle = np.stack([10 * np.cos(turns), 10 * np.sin(turns)], axis=1).tolist()
    with pytest.raises(InputError, match="corners; at most"):
        read(tmp_path, {"type": "Polygon", "coordinates": [circle]})
    with pytest.raises(InputError, match="cannot be read: it is no file"):
        read_region("area", tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_region("area", tmp_path / "none.kml")
    with pytest.raises(InputError, match="no file can have such a name"):
        read_region("area", tmp_path / "no\0ne.kml")
