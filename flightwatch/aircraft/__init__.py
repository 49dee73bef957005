"""Aircraft: who an address is on a date, what types can do, and the lists of those that somebody follows.

`Registry` answers from watchlists and from the arithmetic of registers (`registers`); `types` holds names and limits
of types.
"""

from __future__ import annotations

from flightwatch.aircraft.registers import address_of, registration_of
from flightwatch.aircraft.types import performance, type_name
from flightwatch.aircraft.watchlists import Registry, Watchlist, read_watchlist

__all__ = ["Registry", "Watchlist", "address_of", "performance", "read_watchlist", "registration_of", "type_name"]
