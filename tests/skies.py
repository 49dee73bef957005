"""Made-up position sequences for property tests: aircraft that fly, land, vanish, jump, repeat themselves and flap."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import strategies as st

from flightwatch.places.great_circle import destination

Row = dict[str, object]

ACTIONS = ("cruise", "climb", "descend", "park", "hole", "long hole", "ghost", "repeat", "flap")


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
def skies(draw: st.DrawFn, most_aircraft: int = 3, most_actions: int = 14) -> list[Row]:
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
        for action in draw(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=most_actions)):
            _act(flyer, action, step, flagged, rows)
    return sorted(rows, key=lambda row: (row["at"], row["icao24"]))  # type: ignore[arg-type,return-value]  # numbers and texts


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
    elif action == "park":
        flyer.altitude = 0.0
        for _ in range(4):
            flyer.at += step
            rows.append(_row(flyer, 0.0, True if flagged else None, None))
    elif action == "flap":
        for ground in (True, False, True, False):
            _moved(flyer, step, 140.0)
            rows.append(_row(flyer, 140.0, ground if flagged else None, None if ground else 300.0))
    else:
        rise = {"climb": 900.0, "descend": -900.0}.get(action, 0.0)
        for _ in range(5):
            _moved(flyer, step, 380.0)
            flyer.altitude = min(max(flyer.altitude + rise * step / 30, 300.0), 39_000.0)
            rows.append(_row(flyer, 380.0, in_air, math.floor(flyer.altitude)))
