"""Made-up position sequences for property tests: aircraft that fly, land, vanish, jump, repeat themselves and flap, are
spoofed, jammed, and share their address with another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import strategies as st

from flightwatch.places.great_circle import destination

Row = dict[str, object]

CLEAN = ("cruise", "climb", "descend", "circle", "park", "hole", "long hole")
DIRTY = ("ghost", "repeat", "flap", "spoof", "away", "twin", "spike", "slow", "jam", "zigzag")
ACTIONS = CLEAN + DIRTY
RIVALS = ("ghost", "spoof", "away", "stray", "twin")
"""What puts an aircraft where it cannot be."""


@dataclass
class _Flyer:
    """Where a made-up aircraft is."""

    icao24: str
    at: float
    latitude: float
    longitude: float
    altitude: float
    course: float


def _moved(flyer: _Flyer, seconds: float, speed: float) -> None:
    flyer.at += seconds
    lat, lon = destination(flyer.latitude, flyer.longitude, flyer.course, speed * seconds / 3600)
    flyer.latitude, flyer.longitude = float(lat), float(lon)


def _row(flyer: _Flyer, speed: float, onground: bool | None, altitude: float | None) -> Row:
    return {
        "at": round(flyer.at, 3),
        "icao24": flyer.icao24,
        "latitude": round(flyer.latitude, 5),
        "longitude": round(flyer.longitude, 5),
        "altitude": altitude,
        "groundspeed": speed,
        "track": round(flyer.course, 1),
        "onground": onground,
        "callsign": f"T{flyer.icao24[:3].upper()}",
        "source": "adsb",
    }


@st.composite
def skies(draw: st.DrawFn, most_aircraft: int = 3, most_actions: int = 14, actions: tuple[str, ...] = ACTIONS) -> list[Row]:
    """Rows of a few aircraft in time order; every value is one that a feed could send."""
    rows: list[Row] = []
    for number in range(draw(st.integers(1, most_aircraft))):
        flyer = _Flyer(
            icao24=f"a{number:05x}",
            at=draw(st.floats(0, 600)),
            latitude=draw(st.sampled_from([43.4, 55.9, 37.6, 0.5, -33.9])),
            longitude=draw(st.sampled_from([132.1, 37.4, -122.4, 179.9, 151.2])),
            altitude=draw(st.sampled_from([0.0, 2000.0, 33000.0])),
            course=draw(st.floats(0, 359)),
        )
        step = draw(st.sampled_from([5.0, 20.0, 60.0, 240.0]))
        flagged = draw(st.booleans())
        for action in draw(st.lists(st.sampled_from(actions), min_size=1, max_size=most_actions)):
            _act(flyer, action, step, flagged, rows)
    return sorted(rows, key=lambda row: (row["at"], row["icao24"]))  # type: ignore[arg-type,return-value]  # numbers and texts


@st.composite
def rivals_by_turns(draw: st.DrawFn) -> list[Row]:
    """Rows of an aircraft at cruise that seems to be elsewhere time and again, and goes on in between as if nothing had been."""
    rows: list[Row] = []
    flyer = _Flyer("a00000", 0.0, 43.4, 132.1, 33000.0, 90.0)
    step = draw(st.sampled_from([20.0, 60.0]))
    for rival in draw(st.lists(st.sampled_from(RIVALS), min_size=2, max_size=4)):
        _act(flyer, "cruise", step, True, rows)
        _act(flyer, rival, step, True, rows)
    return rows


def _act(flyer: _Flyer, action: str, step: float, flagged: bool, rows: list[Row]) -> None:
    in_air = False if flagged else None
    if action in ("hole", "long hole"):
        _moved(flyer, 1500.0 if action == "hole" else 30_000.0, 300.0 if flyer.altitude > 1000 else 0.0)
    elif action == "ghost":
        flyer.at += step
        rows.append(_row(flyer, 400.0, in_air, flyer.altitude) | {"latitude": -flyer.latitude, "longitude": 10.0})
    elif action == "repeat" and rows and rows[-1]["icao24"] == flyer.icao24:
        flyer.at += step
        rows.append({**rows[-1], "at": round(flyer.at, 3)})
    elif action == "circle":
        for _ in range(32):
            flyer.course = (flyer.course + min(max(1.5 * step, 40.0), 110.0)) % 360
            _moved(flyer, step, 200.0)
            rows.append(_row(flyer, 200.0, in_air, flyer.altitude))
    elif action == "park":
        flyer.altitude = 0.0
        for _ in range(4):
            flyer.at += step
            rows.append(_row(flyer, 0.0, True if flagged else None, None))
    elif action == "flap":
        for ground in (True, False, True, False):
            _moved(flyer, step, 140.0)
            rows.append(_row(flyer, 140.0, ground if flagged else None, None if ground else 300.0))
    elif action in ("spoof", "away"):
        _spoofed(flyer, step, rows, straight=action == "away")
    elif action == "stray":
        _strayed(flyer, rows)
    elif action == "twin":
        for i in range(6):
            _moved(flyer, step, 380.0)
            rows.append(_row(flyer, 380.0, in_air, flyer.altitude))
            other = _Flyer(flyer.icao24, flyer.at + step / 2, -40.0, 20.0 + i * step / 1000, 30_000.0, 90.0)
            rows.append(_row(other, 400.0, in_air, other.altitude))
            flyer.at = other.at
    elif action in ("spike", "slow", "jam", "zigzag"):
        for i in range(5):
            _moved(flyer, step, 380.0)
            row = _row(flyer, 380.0, in_air, flyer.altitude)
            if action == "spike" and i in (1, 3):
                row["altitude"] = 60_000.0 - 7_000 * i
            elif action == "slow" and 0 < i < 4:
                row |= {"groundspeed": 60.0, "altitude": 36_000.0}
            elif action == "jam":
                row |= {"nic": 8.0 if i < 2 else 0.0, "nac_p": 9.0 if i < 2 else 0.0}
            elif action == "zigzag":
                row |= {"source": "mlat", "latitude": round(flyer.latitude + (0.2 if i % 2 else 0.0), 5)}
            rows.append(row)
    else:
        rise = {"climb": 900.0, "descend": -900.0}.get(action, 0.0)
        for _ in range(5):
            _moved(flyer, step, 380.0)
            flyer.altitude = min(max(flyer.altitude + rise * step / 30, 300.0), 39_000.0)
            rows.append(_row(flyer, 380.0, in_air, math.floor(flyer.altitude)))


def _spoofed(flyer: _Flyer, step: float, rows: list[Row], *, straight: bool) -> None:
    """The receiver on board is told another place, where it circles or goes straight on, while the aircraft flies on."""
    for i in range(8):
        _moved(flyer, step, 380.0)
        lat, lon = destination(55.6, 60.0, 0.0 if straight else 45.0 * i, 380.0 * step / 3600 * i if straight else 1.5)
        row = _row(flyer, 380.0 if straight else 120.0, None, flyer.altitude)
        rows.append(row | {"latitude": round(float(lat), 5), "longitude": round(float(lon), 5)})


def _strayed(flyer: _Flyer, rows: list[Row]) -> None:
    """The receiver on board is told that it stays somewhere else, and after six minutes that it flies away from there."""
    for i in range(12):
        _moved(flyer, 60.0, 380.0)
        lat, lon = destination(55.6, 60.0, 0.0, max(i / 10, 6.0 * (i - 6)))
        row = _row(flyer, 380.0, None, flyer.altitude)
        rows.append(row | {"latitude": round(float(lat), 5), "longitude": round(float(lon), 5)})
