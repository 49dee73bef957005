"""What an aircraft is called in messages."""

from __future__ import annotations

from flightwatch.aircraft.types import type_name
from flightwatch.records import Aircraft


def who(aircraft: Aircraft) -> str:
    """`Il-62 RA-86559 (Russian Air Force)`."""
    name = f"{type_name(aircraft.typecode)} {aircraft.registration or aircraft.icao24}"
    return f"{name} ({aircraft.operator})" if aircraft.operator else name
