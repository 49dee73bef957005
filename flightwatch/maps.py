"""Map pictures, made offline: solid where an aircraft was seen, dashed where its way is inferred.

Coasts and borders are Natural Earth's (1:50m, public domain). The projection is azimuthal and equidistant around the
middle of what is shown, so a great circle through the middle is straight, nothing breaks at the antimeridian, and the
poles are places like others.
"""

from __future__ import annotations

import io
import textwrap
from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from flightwatch.places import outlines
from flightwatch.places.great_circle import EARTH_RADIUS_NM, bearing_deg, between, distance_nm, unit_vectors
from flightwatch.records import MapSpec

Floats = NDArray[np.float64]

WIDTH_PX, HEIGHT_PX, DPI = 900, 520, 100
SEA, LAND, LINE, SEEN, GUESSED, INK = "#dce8f0", "#f7f5ef", "#9fb2c1", "#b3261e", "#b3261e", "#1f2a33"
SMALLEST_SPAN_NM = 250.0
MARGIN = 0.18
STEPS = 24
"""Points along each dashed line: enough to see that it is a great circle."""


def draw(spec: MapSpec) -> bytes:
    """The picture as PNG."""
    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = _points(spec)
    middle = _middle(points)
    span = _span(points, middle)
    axes.set_facecolor(SEA)
    axes.add_patch(PathPatch(_land(middle), facecolor=LAND, linewidth=0))
    axes.add_collection(LineCollection(_visible(middle, max(span) * 1.3), colors=LINE, linewidths=0.7))
    for lat, lon in _seen(spec):
        x, y = _project(lat, lon, middle)
        axes.plot(x, y, color=SEEN, linewidth=2.2, solid_capstyle="round", marker="." if len(x) == 1 else None)
    for line in spec.inferred:
        x, y = _project(*between(*line, STEPS), middle)
        axes.plot(x, y, color=GUESSED, linewidth=1.6, linestyle=(0, (4, 3)))
    for name, latitude, longitude in spec.places:
        x, y = _project(np.array([latitude]), np.array([longitude]), middle)
        axes.plot(x, y, marker="o", color=INK, markersize=5)
        axes.annotate(name, (float(x[0]), float(y[0])), xytext=(6, 5), textcoords="offset points", fontsize=10, color=INK)
    axes.set_xlim(-span[0], span[0])
    axes.set_ylim(-span[1], span[1])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(_short(spec.title), fontsize=10.5, color=INK, loc="left", parse_math=False)
    axes.set_xlabel("\n".join(textwrap.wrap(spec.note, 145)), fontsize=8.5, color=INK, loc="left", parse_math=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": "flightwatch"})
    return picture.getvalue()


def _short(title: str) -> str:
    """At most two lines."""
    return "\n".join(textwrap.wrap(title, 105, max_lines=2, placeholder=" ..."))


def _points(spec: MapSpec) -> Floats:
    lat = [*spec.track.latitude, *(v for line in spec.inferred for v in (line[0], line[2])), *(p[1] for p in spec.places)]
    lon = [*spec.track.longitude, *(v for line in spec.inferred for v in (line[1], line[3])), *(p[2] for p in spec.places)]
    return np.array([lat, lon]) if lat else np.array([[0.0], [0.0]])


def _middle(points: Floats) -> tuple[float, float]:
    """The middle of the smallest span: halfway between the two points that lie farthest apart."""
    lat, lon = points
    mean = unit_vectors(lat, lon).mean(axis=0)
    away = distance_nm(
        np.degrees(np.arcsin(np.clip(mean[2] / max(np.linalg.norm(mean), 1e-9), -1, 1))),
        np.degrees(np.arctan2(mean[1], mean[0])),
        lat,
        lon,
    )
    one = int(np.argmax(away))
    other = int(np.argmax(distance_nm(lat[one], lon[one], lat, lon)))
    mid_lat, mid_lon = between(lat[one], lon[one], lat[other], lon[other], 2)
    return float(mid_lat[1]), float(mid_lon[1])


def _span(points: Floats, middle: tuple[float, float]) -> tuple[float, float]:
    """Half width and half height (nm) that hold all points, with a margin, in the picture's proportions."""
    x, y = _project(points[0], points[1], middle)
    width = max(float(np.max(np.abs(x))) * (1 + MARGIN), SMALLEST_SPAN_NM)
    height = max(float(np.max(np.abs(y))) * (1 + MARGIN), SMALLEST_SPAN_NM * HEIGHT_PX / WIDTH_PX)
    shape = WIDTH_PX / HEIGHT_PX
    return max(width, height * shape), max(height, width / shape)


def _project(lat: Floats, lon: Floats, middle: tuple[float, float]) -> tuple[Floats, Floats]:
    """Azimuthal equidistant: nm east and north of the middle."""
    away, course = distance_nm(*middle, lat, lon), np.radians(bearing_deg(*middle, lat, lon))
    return away * np.sin(course), away * np.cos(course)


def _seen(spec: MapSpec) -> list[tuple[Floats, Floats]]:
    """The track in its pieces."""
    lat, lon = np.array(spec.track.latitude), np.array(spec.track.longitude)
    pieces = zip(np.split(lat, list(spec.track.breaks)), np.split(lon, list(spec.track.breaks)), strict=True)
    return [(a, o) for a, o in pieces if len(a)]


@cache
def _joined(kind: Literal["lines", "land"]) -> tuple[Floats, NDArray[np.int64]]:
    """All lines or rings in one array (latitude, longitude), and where each begins."""
    parts = outlines().lines if kind == "lines" else outlines().land
    return np.concatenate(parts)[:, ::-1], np.cumsum([0, *map(len, parts)])


def _visible(middle: tuple[float, float], radius_nm: float) -> list[Floats]:
    """The outlines around a point, projected; what lies on the far side of the earth is left out."""
    points, starts = _joined("lines")
    x, y = _project(points[:, 0], points[:, 1], middle)
    near = np.hypot(x, y) < min(radius_nm * 1.6, EARTH_RADIUS_NM * np.pi * 0.9)
    projected = np.stack([x, y], axis=1)
    out = []
    for start, stop in pairwise(starts.tolist()):
        if near[start:stop].any():
            inside = np.flatnonzero(near[start:stop]) + start
            out += [projected[run] for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1) if len(run) > 1]
    return out


def _land(middle: tuple[float, float]) -> Path:
    """All land as one path; lakes are rings inside rings. A ring around the opposite point of the earth turns inside
    out, far outside the picture."""
    points, starts = _joined("land")
    x, y = _project(points[:, 0], points[:, 1], middle)
    codes = np.full(len(x), Path.LINETO, dtype=Path.code_type)
    codes[starts[:-1]] = Path.MOVETO
    return Path(np.stack([x, y], axis=1), codes)
