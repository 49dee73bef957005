"""Small phrases that messages share: what an aircraft is called, how probable something is, how long it took."""

from __future__ import annotations

from datetime import timedelta

from flightwatch.aircraft.types import type_name
from flightwatch.records import Aircraft


def who(aircraft: Aircraft) -> str:
    """`Il-62 RA-86559 (Russian Air Force)`."""
    name = f"{type_name(aircraft.typecode)} {aircraft.registration or aircraft.icao24}"
    return f"{name} ({aircraft.operator})" if aircraft.operator else name


def chance(probability: float) -> str:
    """A probability as people read it: what nobody saw is never certain."""
    return "over 0.99" if probability > 0.99 else f"{probability:.2f}"


def duration(span: timedelta) -> str:
    """`2 d 1 h`, `36 h`, `1 h 5 min`, `50 min`: what a reader can use, no more exact than that."""
    minutes = max(round(span.total_seconds() / 60), 0)
    hours = round(minutes / 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"
    if minutes >= 10 * 60:
        return f"{hours} h"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    return capital(text.strip()).rstrip(".") + "." if text else ""
