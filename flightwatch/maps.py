"""Map pictures, made offline: solid where an aircraft was seen, dashed where its way is inferred; and where traffic is
seen, by altitude band.

Coasts and borders are Natural Earth's (1:50m, public domain); the projection is that of `places.projection`.
"""

from __future__ import annotations

import io
import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from flightwatch.places.great_circle import between
from flightwatch.places.projection import Middle, half_spans, joined, land, middle_of, project, visible_lines
from flightwatch.records import CoverageMap, CoveredBand, MapSpec

Floats = NDArray[np.float64]

WIDTH_PX, HEIGHT_PX, DPI = 900, 520, 100
SEA, LAND, LINE, SEEN, GUESSED, INK = "#dce8f0", "#f7f5ef", "#9fb2c1", "#b3261e", "#b3261e", "#1f2a33"
SMALLEST_SPAN_NM = 250.0
MARGIN = 0.18
COVERAGE_PX, BESIDE_PX, ABOVE_PX, TALLEST_PX = 1300, 150, 180, 1500
"""The width of a picture of coverage, what of width and height is not maps, and the most that it is high."""

COVERAGE_MARGIN_DEG, COVERAGE_SPAN_DEG = 3.0, 12.0
SHARES = "viridis"
"""Colours that are told apart without seeing red and green, and in print."""
BELOW = 1.9
"""What is inferred is drawn below what was seen."""

STEPS = 24
"""Points along each dashed line: enough to see that it is a great circle."""


def draw(spec: MapSpec) -> bytes:
    """The picture as PNG."""
    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = _points(spec)
    middle = middle_of(*points)
    span = half_spans(points[0], points[1], middle, WIDTH_PX / HEIGHT_PX, SMALLEST_SPAN_NM, MARGIN)
    axes.set_facecolor(SEA)
    axes.add_artist(PathPatch(_land(middle), facecolor=LAND, linewidth=0))  # a patch is measured, which takes a second
    axes.add_collection(LineCollection(visible_lines(middle, max(span) * 1.3), colors=LINE, linewidths=0.7), autolim=False)
    for lat, lon in _seen(spec):
        x, y = project(lat, lon, middle)
        axes.plot(x, y, color=SEEN, linewidth=2.2, solid_capstyle="round", marker="." if len(x) == 1 else None)
    for line in spec.inferred:
        x, y = project(*between(*line, STEPS), middle)
        # without what lies under it, the dashes of two ways that lie on each other make one that looks seen
        axes.plot(x, y, color=LAND, linewidth=4.5, zorder=BELOW)
        axes.plot(x, y, color=GUESSED, linewidth=1.6, linestyle=(0, (4, 3)), zorder=BELOW)
    for name, latitude, longitude in spec.places:
        x, y = project(np.array([latitude]), np.array([longitude]), middle)
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


def draw_coverage(spec: CoverageMap) -> bytes:
    """Where traffic is seen as PNG: a map for each altitude band, straight in latitude and longitude, of the part of
    the world that is known."""
    west, east, south, north = _window(np.concatenate([band.cells for band in spec.bands]))
    stretch = 1 / max(float(np.cos(np.radians((south + north) / 2))), 0.2)
    height = min((COVERAGE_PX - BESIDE_PX) * (north - south) * stretch / (east - west) + ABOVE_PX, TALLEST_PX)
    figure = Figure(figsize=(COVERAGE_PX / DPI, height / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2).ravel()
    for axes, band in zip(panels, spec.bands, strict=False):
        axes.add_collection(_cells(band, west))
        axes.add_collection(LineCollection(_outlines_from(west), colors=LINE, linewidths=0.7))
        axes.set_xlim(west, east)
        axes.set_ylim(south, north)
        axes.set_aspect(stretch)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(band.name if len(band.share) else f"{band.name}: not known", fontsize=10.5, color=INK, loc="left")
    figure.suptitle(_short(spec.title), fontsize=12, color=INK, parse_math=False)
    figure.supxlabel("\n".join(textwrap.wrap(spec.note, 190)), fontsize=8.5, color=INK, parse_math=False)
    scale = figure.colorbar(ScalarMappable(norm=Normalize(0, 1), cmap=SHARES), ax=list(panels), shrink=0.6)
    scale.set_label("share seen", color=INK)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": "flightwatch"})
    return picture.getvalue()


def _window(cells: Floats) -> tuple[float, float, float, float]:
    """West, east, south and north of what holds all cells, with a margin; it begins after the widest part of the world
    that has none, so it may lie across the antimeridian."""
    begins = np.sort(cells[:, 0])
    free = np.diff(np.append(begins, begins[0] + 360))
    west = float(begins[(int(np.argmax(free)) + 1) % len(begins)])
    width = float((((cells[:, 2] - west - 1e-9) % 360) + 1e-9).max())
    south, north = float(cells[:, 1].min()), float(cells[:, 3].max())
    beside = max(COVERAGE_MARGIN_DEG, (COVERAGE_SPAN_DEG - width) / 2)
    above = max(COVERAGE_MARGIN_DEG, (COVERAGE_SPAN_DEG - north + south) / 2)
    if width + 2 * beside > 360:
        return -180.0, 180.0, max(south - above, -90.0), min(north + above, 90.0)
    return west - beside, west + width + beside, max(south - above, -90.0), min(north + above, 90.0)


def _cells(band: CoveredBand, west: float) -> PolyCollection:
    left, low, _, high = band.cells.T
    x = (left - west) % 360 + west
    right = x + band.cells[:, 2] - left
    corners = np.stack([np.stack([x, low], 1), np.stack([right, low], 1), np.stack([right, high], 1), np.stack([x, high], 1)], 1)
    return PolyCollection(list(corners), array=band.share, cmap=SHARES, norm=Normalize(0, 1), linewidths=0)


def _outlines_from(west: float) -> list[Floats]:
    """The outlines of the world, with longitudes from one on; cut where that divides them."""
    points, starts = joined("lines")
    line = np.stack([(points[:, 1] - west) % 360 + west, points[:, 0]], axis=1)
    cuts = np.union1d(starts[1:-1], np.flatnonzero(np.abs(np.diff(line[:, 0])) > 180) + 1)
    return [part for part in np.split(line, cuts) if len(part) > 1]


def _short(title: str) -> str:
    """At most two lines."""
    return "\n".join(textwrap.wrap(title, 105, max_lines=2, placeholder=" ..."))


def _points(spec: MapSpec) -> Floats:
    lat = [*spec.track.latitude, *(v for line in spec.inferred for v in (line[0], line[2])), *(p[1] for p in spec.places)]
    lon = [*spec.track.longitude, *(v for line in spec.inferred for v in (line[1], line[3])), *(p[2] for p in spec.places)]
    return np.array([lat, lon]) if lat else np.array([[0.0], [0.0]])


def _seen(spec: MapSpec) -> list[tuple[Floats, Floats]]:
    """The track in its pieces."""
    lat, lon = np.array(spec.track.latitude), np.array(spec.track.longitude)
    pieces = zip(np.split(lat, list(spec.track.breaks)), np.split(lon, list(spec.track.breaks)), strict=True)
    return [(a, o) for a, o in pieces if len(a)]


def _land(middle: Middle) -> Path:
    """All land as one path."""
    points, starts = land(middle)
    codes = np.full(len(points), Path.LINETO, dtype=Path.code_type)
    codes[starts[:-1]] = Path.MOVETO
    return Path(points, codes)
