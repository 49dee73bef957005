"""Aircraft: who an address is on a date, what types can do, and the lists of those that somebody follows.

`Registry` weighs what `watchlists`, `databases` and the arithmetic of `registers` say; `blocks` tells the country of an
address; `formats` reads the databases of others; `types` holds names and limits of types.
"""

from __future__ import annotations

from flightwatch.aircraft.registers import address_of, as_written, registration_of
from flightwatch.aircraft.registry import Identity, Registry
from flightwatch.aircraft.types import performance, type_name
from flightwatch.aircraft.watchlists import Watchlist, read_watchlist

__all__ = [
    "Identity",
    "Registry",
    "Watchlist",
    "address_of",
    "as_written",
    "performance",
    "read_watchlist",
    "registration_of",
    "type_name",
]
