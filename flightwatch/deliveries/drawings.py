"""The pictures of evidence pages as geometry: the map, height and speed over time, the timeline, the baseline.

In: records of `evidence`. Out: numbers and paths in the units of each picture, which templates put into SVG. Nothing here is
markup, so no text of a feed can become any. What was seen is drawn solid, what is inferred dashed, and holes stay holes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flightwatch.deliveries.evidence import Evidence, Profile, Spot, Step, Way
from flightwatch.places.great_circle import EARTH_RADIUS_NM, between
from flightwatch.places.projection import Middle, half_spans, joined, middle_of, project

Floats = NDArray[np.float64]

MAP_WIDTH, MAP_HEIGHT = 960, 600
SMALLEST_SPAN_NM, MARGIN = 60.0, 0.15
AROUND = 1.4
"""How far the outlines reach beyond the picture, so that it can be moved."""

OUTLINE_BYTES = 110_000
"""Outlines are made coarser until they are no larger: the page has room for more than a map."""

LEAST_BYTES = 3
"""A point of an outline takes no less, unless it lies outside of the frame."""

FINEST = 0.25
"""The finest outlines, in units of the picture; each try is twice as coarse."""

STEPS = 24
LIKELY = 0.05
"""Candidates that are less probable than this do not widen the map; they are on it where it shows their place."""

LOW = np.array([MAP_WIDTH, MAP_HEIGHT]) * (1 - AROUND) / 2
HIGH = np.array([MAP_WIDTH, MAP_HEIGHT]) * (1 + AROUND) / 2
"""The corners of the frame that outlines reach to."""

LABEL_HEIGHT, LETTER = 15.0, 7.2
"""About how large a letter of a label is, to keep labels apart."""

TO_THE_LEFT = 0.7
"""Beyond this share of the width a label stands on the left of its spot, or it would leave the picture."""

WIDTH = 960
LEFT, RIGHT = 64, 14
ALTITUDE_TOP, ALTITUDE_HEIGHT = 18, 140
SPEED_TOP, SPEED_HEIGHT = 186, 84
PROFILE_HEIGHT = 304
ROW = 46
TIMELINE_TOP = 8
STRIP_HEIGHT = 92
BAR_ROW = 40
TICK_STEPS_MIN = (5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400, 43200)
MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A spot on the map: its place, how large its ring is, its label, whether that stands to the left, and whether another label
    is in the way."""

    x: float
    y: float
    ring: float
    label: str
    candidate: bool
    left: bool
    crowded: bool


@dataclass(frozen=True, slots=True, eq=False)
class MapDrawing:
    """`land` and `borders` are paths in tenths of units; `seen` and `inferred` paths in units; `dots` single positions; `x` and
    `y` where each position of the way lies."""

    land: str
    borders: str
    seen: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]
    inferred: tuple[str, ...]
    marks: tuple[Mark, ...]
    units_per_nm: float
    x: Floats
    y: Floats


# ------------------------------------------------------------------------------------------------------------------------- map


def map_of(evidence: Evidence) -> MapDrawing | None:
    """The map; None where there is no place to show."""
    way, spots = evidence.way, evidence.spots
    wide = [s for s in spots if s.probability is None or s.probability >= LIKELY]
    lat = np.array([*way.latitude, *(v for a, _, b, _ in evidence.dashed for v in (a, b)), *(s.latitude for s in wide)])
    lon = np.array([*way.longitude, *(v for _, a, _, b in evidence.dashed for v in (a, b)), *(s.longitude for s in wide)])
    if not len(lat):
        return None
    middle = middle_of(lat, lon)
    half_width, _ = half_spans(lat, lon, middle, MAP_WIDTH / MAP_HEIGHT, SMALLEST_SPAN_NM, MARGIN)
    unit = MAP_WIDTH / 2 / half_width

    def placed(latitude: Floats, longitude: Floats) -> tuple[Floats, Floats]:
        east, north = project(latitude, longitude, middle)
        return MAP_WIDTH / 2 + east * unit, MAP_HEIGHT / 2 - north * unit

    x, y = placed(way.latitude, way.longitude)
    pieces = way.pieces()
    land, borders = _outlines(middle, unit)
    return MapDrawing(
        land=land,
        borders=borders,
        seen=tuple(_path(x[p], y[p]) for p in pieces if p.stop - p.start > 1),
        dots=tuple((round(float(x[p.start]), 2), round(float(y[p.start]), 2)) for p in pieces if p.stop - p.start == 1),
        inferred=tuple(_path(*placed(*between(*line, STEPS))) for line in evidence.dashed),
        marks=tuple(_marks(spots, *placed(*_ends(spots)))),
        units_per_nm=unit,
        x=x,
        y=y,
    )


def _ends(spots: Sequence[Spot]) -> tuple[Floats, Floats]:
    return np.array([s.latitude for s in spots], dtype=float), np.array([s.longitude for s in spots], dtype=float)


def _marks(spots: Sequence[Spot], x: Floats, y: Floats) -> Iterator[Mark]:
    """Those that are known first, then by probability; a label that would lie on an earlier one waits until there is room."""
    taken: list[tuple[float, float, float]] = []
    order = sorted(range(len(spots)), key=lambda i: -2.0 if (p := spots[i].probability) is None else -p)
    for i in order:
        spot, chance = spots[i], spots[i].probability
        label = spot.name if chance is None else f"{spot.name} {'over 0.99' if chance > 0.99 else f'{chance:.2f}'}"
        width = len(label) * LETTER
        left = float(x[i]) > MAP_WIDTH * TO_THE_LEFT
        begins = float(x[i]) - 8 - width if left else float(x[i]) + 8
        crowded = any(abs(float(y[i]) - b) < LABEL_HEIGHT and begins < a + w and a < begins + width for a, b, w in taken)
        if not crowded:
            taken.append((begins, float(y[i]), width))
        ring = 0.0 if chance is None else 5 + 13 * float(np.sqrt(chance))
        yield Mark(round(float(x[i]), 2), round(float(y[i]), 2), round(ring, 1), label, chance is not None, left, crowded)


def _path(x: Floats, y: Floats) -> str:
    return "M" + "L".join(f"{a:.2f} {b:.2f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def _outlines(middle: Middle, unit: float) -> tuple[str, str]:
    """Land and borders around the middle, as fine as there is room for."""
    rings, lines = list(_land(middle, unit)), list(_borders(middle, unit))
    step = FINEST
    while True:
        rings, lines = [_coarser(ring, step) for ring in rings], [_coarser(line, step) for line in lines]
        if sum(map(len, rings + lines)) * LEAST_BYTES <= OUTLINE_BYTES:
            land = "".join(_compact(part) + "z" for ring in rings if len(part := _framed(ring)) > 2)
            borders = "".join(_compact(line) for line in lines if len(line) > 1)
            if len(land) + len(borders) <= OUTLINE_BYTES:
                return land, borders
        step *= 2


def _pixels(kind: Literal["land", "borders"], middle: Middle, unit: float) -> tuple[Floats, NDArray[np.int64]]:
    points, starts = joined(kind)
    east, north = project(points[:, 0], points[:, 1], middle)
    return np.stack([MAP_WIDTH / 2 + east * unit, MAP_HEIGHT / 2 - north * unit], axis=1), starts


def _land(middle: Middle, unit: float) -> Iterator[Floats]:
    """The rings of land that reach into the picture. One around the opposite point of the earth would turn inside out: it is
    left out."""
    pixels, starts = _pixels("land", middle, unit)
    lowest, highest = np.minimum.reduceat(pixels, starts[:-1]), np.maximum.reduceat(pixels, starts[:-1])
    touching = np.flatnonzero(np.all((lowest < HIGH) & (highest > LOW), axis=1))
    for i in touching.tolist():
        ring = pixels[starts[i] : starts[i + 1]]
        if not _is_inside_out(ring, unit):
            yield ring


def _is_inside_out(ring: Floats, unit: float) -> bool:
    """Whether what a ring surrounds on the earth has the point opposite to the middle in it, and not the middle. A ring that
    winds around the middle has one of the two: land, which goes round one way, the middle where it winds that way, too; a
    lake, which goes the other way and is small, what it lies near to."""
    east, south = ring[:, 0] - MAP_WIDTH / 2, ring[:, 1] - MAP_HEIGHT / 2
    course, away_nm = np.arctan2(south, east), np.hypot(east, south) / unit
    turns = (np.diff(np.r_[course, course[0]]) + np.pi) % (2 * np.pi) - np.pi
    winds = round(float(turns.sum()) / (2 * np.pi))
    quarter_nm = EARTH_RADIUS_NM * np.pi / 2
    return bool(away_nm.max() > quarter_nm) if winds < 0 else bool(away_nm.min() > quarter_nm) if winds > 0 else False


def _borders(middle: Middle, unit: float) -> Iterator[Floats]:
    pixels, starts = _pixels("borders", middle, unit)
    near = np.all((pixels > LOW) & (pixels < HIGH), axis=1)
    some = np.flatnonzero(np.add.reduceat(near, starts[:-1]))
    for i in some.tolist():
        inside = np.flatnonzero(near[starts[i] : starts[i + 1]]) + starts[i]
        yield from (pixels[run] for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1))


def _framed(ring: Floats) -> Floats:
    """The part of a ring inside the frame."""
    for axis in (0, 1):
        ring = _cut(_cut(ring, axis, LOW[axis], 1), axis, HIGH[axis], -1)
    return ring


def _coarser(line: Floats, step: float) -> Floats:
    """Without points that lie in the same cell of a grid as the one before."""
    if len(line) < 2:
        return line
    cells = np.round(line / step)
    return np.asarray(line[np.r_[True, (np.diff(cells, axis=0) != 0).any(axis=1)]])


def _cut(ring: Floats, axis: int, limit: float, sign: int) -> Floats:
    """The part of a ring on one side of a line (Sutherland and Hodgman, Communications of the ACM 17, 1974): above the limit
    on an axis for 1, below it for -1."""
    if not len(ring):
        return ring
    inside = (ring[:, axis] - limit) * sign >= 0
    if inside.all():
        return ring
    following, follows = np.roll(ring, -1, axis=0), np.roll(inside, -1)
    rise = following[:, axis] - ring[:, axis]
    share = np.divide(limit - ring[:, axis], rise, out=np.zeros(len(ring)), where=rise != 0)
    crossed = ring + share[:, None] * (following - ring)
    both = np.stack([ring, crossed], axis=1).reshape(-1, 2)
    return np.asarray(both[np.stack([inside, inside != follows], axis=1).ravel()])


def _compact(line: Floats) -> str:
    """A path in tenths of units, each point told from the one before."""
    tenths = np.round(line * 10).astype(np.int64)
    moves = np.diff(tenths, axis=0)
    moves = moves[(moves != 0).any(axis=1)]
    told = "".join(f"{a}{b:+d}" if i == 0 or a < 0 else f" {a}{b:+d}" for i, (a, b) in enumerate(moves.tolist()))
    return f"M{tenths[0, 0]} {tenths[0, 1]}" + (f"l{told}" if told else "")


# --------------------------------------------------------------------------------------------------------------------- profiles


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in a picture over time: where it begins, how wide it is, and its label if there is room for it."""

    x: float
    width: float
    words: str
    label: str


@dataclass(frozen=True, slots=True)
class ProfileDrawing:
    """Height above, speed below, over one axis of time."""

    profile: Profile
    altitude: tuple[str, ...]
    speed: tuple[str, ...]
    altitude_ticks: tuple[Tick, ...]
    speed_ticks: tuple[Tick, ...]
    times: tuple[Tick, ...]
    gaps: tuple[Gap, ...]
    highest_ft: float | None
    fastest_kt: float | None


def profile_of(profile: Profile, way: Way) -> ProfileDrawing:
    """The curves of one flight; a line breaks off at each hole."""
    span = (profile.since.timestamp(), profile.until.timestamp())
    part = slice(profile.first, profile.stop)
    x = _over(way.seconds[part].astype(float), span)
    edges = [b - profile.first for b in way.breaks if profile.first < b < profile.stop]
    highest, altitude_step = _ceiling(way.altitude[part], (5_000, 10_000), 4)
    fastest, speed_step = _ceiling(way.groundspeed[part], (50, 100, 200), 3)
    gaps = []
    for hole in profile.holes:
        first, last = (float(v) for v in _over(np.array([hole.since.timestamp(), hole.until.timestamp()]), span))
        short = _duration(hole.until - hole.since)
        words = f"{short} from {hole.since:%H:%M}: {hole.words}"
        label = next((w for w in (f"{hole.words.split(';')[0]}, {short}", short) if len(w) * LETTER < last - first), "")
        gaps.append(Gap(round(first, 1), round(last - first, 1), words, label))
    return ProfileDrawing(
        profile=profile,
        altitude=tuple(_curves(x, way.altitude[part], edges, ALTITUDE_TOP, ALTITUDE_HEIGHT, highest)),
        speed=tuple(_curves(x, way.groundspeed[part], edges, SPEED_TOP, SPEED_HEIGHT, fastest)),
        altitude_ticks=tuple(_levels(ALTITUDE_TOP, ALTITUDE_HEIGHT, highest, altitude_step)),
        speed_ticks=tuple(_levels(SPEED_TOP, SPEED_HEIGHT, fastest, speed_step)),
        times=tuple(time_ticks(profile.since, profile.until, LEFT, WIDTH - RIGHT)),
        gaps=tuple(gaps),
        highest_ft=_most(way.altitude[part]),
        fastest_kt=_most(way.groundspeed[part]),
    )


def _most(values: Floats) -> float | None:
    return float(np.nanmax(values)) if np.isfinite(values).any() else None


def _over(seconds: Floats, span: tuple[float, float]) -> Floats:
    """Times to places between the left and the right edge."""
    return np.asarray(LEFT + (seconds - span[0]) / max(span[1] - span[0], 1.0) * (WIDTH - LEFT - RIGHT))


def _ceiling(values: Floats, steps: Sequence[int], most: int) -> tuple[float, int]:
    """Up to where an axis goes, and in which steps."""
    top = max(float(np.nanmax(values)), 1.0) if np.isfinite(values).any() else float(steps[0])
    step = next((s for s in steps if top / s <= most), steps[-1])
    return float(np.ceil(top / step) * step), step


def _levels(top: float, height: float, ceiling: float, step: int) -> Iterator[Tick]:
    for level in np.arange(0, ceiling + step / 2, step):
        yield Tick(round(top + height * (1 - level / ceiling), 1), f"{level:,.0f}")


def _curves(x: Floats, values: Floats, edges: Sequence[int], top: float, height: float, ceiling: float) -> Iterator[str]:
    known = np.isfinite(values)
    y = top + height * (1 - np.clip(np.where(known, values, 0) / ceiling, 0, 1))
    for index in np.split(np.arange(len(x)), edges):
        for run in np.split(index, np.flatnonzero(np.diff(known[index])) + 1):
            if len(run) and known[run[0]]:
                yield _path(x[run], y[run]) if len(run) > 1 else f"M{x[run[0]] - 1:.1f} {y[run[0]]:.1f}h2"


def time_ticks(since: datetime, until: datetime, left: float, right: float) -> Iterator[Tick]:
    """Round times of UTC between two times, with the day where it changes."""
    minutes = (until - since).total_seconds() / 60
    step_s = 60 * next((s for s in TICK_STEPS_MIN if minutes / s <= MOST_TICKS), TICK_STEPS_MIN[-1])
    first = -(-since.timestamp() // step_s) * step_s
    span, day = max((until - since).total_seconds(), 1.0), None
    for at in np.arange(first, until.timestamp() + 1, step_s):
        time = datetime.fromtimestamp(float(at), UTC)
        words = f"{time:%-d %b}" if step_s >= 86_400 else f"{time:%H:%M}" if time.date() == day else f"{time:%-d %b %H:%M}"
        day = time.date()
        yield Tick(round(left + (float(at) - since.timestamp()) / span * (right - left), 1), words)


def _duration(span: timedelta) -> str:
    minutes = max(round(span.total_seconds() / 60), 0)
    if minutes >= 48 * 60:
        return f"{minutes // 1440} d {minutes % 1440 // 60} h"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


# --------------------------------------------------------------------------------------------------------------------- timeline


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of the timeline: what it is, the whole span, the parts of it that were seen, and the intervals in which it began
    and ended."""

    y: float
    step: Step
    x: float
    width: float
    seen: tuple[tuple[float, float], ...]
    unsure: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    height: float
    bars: tuple[Bar, ...]
    times: tuple[Tick, ...]


def timeline_of(steps: Sequence[Step]) -> Timeline | None:
    """All flights and stays over one axis of time."""
    if not steps:
        return None
    since = min(t for s in steps for t in (s.began[0], *(a for a, _ in s.seen)))
    until = max(t for s in steps for t in (s.ended[1], *(b for _, b in s.seen)))
    span = (since.timestamp(), until.timestamp())

    def spans(given: Iterable[tuple[datetime, datetime]]) -> tuple[tuple[float, float], ...]:
        ends = [(float(a), float(b)) for a, b in (_over(np.array([f.timestamp(), u.timestamp()]), span) for f, u in given)]
        return tuple((round(a, 1), round(max(b - a, 1.5), 1)) for a, b in ends)

    bars = []
    for i, step in enumerate(steps):
        ((x, width),) = spans([(step.began[0], step.ended[1])])
        unsure = [s for s in (step.began, step.ended) if s[1] > s[0]]
        bars.append(Bar(TIMELINE_TOP + i * ROW, step, x, width, spans(step.seen), spans(unsure)))
    height = TIMELINE_TOP + len(steps) * ROW + 26
    return Timeline(height, tuple(bars), tuple(time_ticks(since, until, LEFT, WIDTH - RIGHT)))


# --------------------------------------------------------------------------------------------------------------------- baseline


@dataclass(frozen=True, slots=True)
class Baseline:
    """The days before the alert: those on which the aircraft would have been seen, its visits on those (`watched`) and on
    others, and the years."""

    spans: tuple[tuple[float, float], ...]
    watched: tuple[tuple[float, str], ...]
    unwatched: tuple[tuple[float, str], ...]
    today: float
    years: tuple[Tick, ...]


def baseline_of(evidence: Evidence) -> Baseline | None:
    """The history that the visit is counted in; None where there is none."""
    days = [*(first for first, _ in evidence.watched), *(v.day for v in evidence.visits)]
    if not days:
        return None
    first = min(days)
    span = max((evidence.day - first).days, 1)

    def at(day: date) -> float:
        return round(LEFT + (day - first).days / span * (WIDTH - LEFT - RIGHT), 1)

    years = [date(year, 1, 1) for year in range(first.year + 1, evidence.day.year + 1)]
    few = years[:: max(len(years) // MOST_TICKS, 1)]
    return Baseline(
        spans=tuple((at(a), round(max(at(b + timedelta(days=1)) - at(a), 0.5), 1)) for a, b in evidence.watched),
        watched=tuple((at(v.day), v.words) for v in evidence.visits if v.watched),
        unwatched=tuple((at(v.day), v.words) for v in evidence.visits if not v.watched),
        today=at(evidence.day),
        years=(Tick(LEFT, f"{first:%-d %b %Y}"), *(Tick(at(y), str(y.year)) for y in few if at(y) > LEFT + 90)),
    )


@dataclass(frozen=True, slots=True)
class Rate:
    """Visits a year to be expected of a subject: the mean, and the interval of 0.9."""

    y: float
    subject: str
    mean: float
    low: float
    high: float
    words: str


@dataclass(frozen=True, slots=True)
class Rates:
    height: float
    rows: tuple[Rate, ...]
    ticks: tuple[Tick, ...]


def rates_of(evidence: Evidence) -> Rates | None:
    """What the baseline expects a year; None where it is too short to say."""
    known = [r for r in evidence.rarity if r.expected_per_year is not None and r.year_high is not None]
    if not known:
        return None
    most, step = _ceiling(np.array([float(r.year_high or 0) for r in known] + [1.0]), (1, 2, 5, 10, 20, 50, 100, 500), 8)

    def at(value: float) -> float:
        return round(LEFT + value / most * (WIDTH - LEFT - RIGHT), 1)

    rows = [
        Rate(
            8 + i * BAR_ROW,
            r.subject,
            at(r.expected_per_year or 0.0),
            at(r.year_low or 0),
            at(r.year_high or 0),
            f"{r.subject} to {r.place}: {r.expected_per_year:.2g} a year expected, {r.year_low} to {r.year_high} in any one",
        )
        for i, r in enumerate(known)
    ]
    ticks = tuple(Tick(at(float(v)), f"{v:,.0f}") for v in np.arange(0, most + step / 2, step))
    return Rates(8 + len(rows) * BAR_ROW + 26, tuple(rows), ticks)
