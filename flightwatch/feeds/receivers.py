"""A receiver of one's own (readsb, dump1090, tar1090): its aircraft.json, and beside it receiver.json with its place.

The place goes into the scope of every snapshot, so that it is known later where somebody was listening. A receiver
hears what is near it, and nobody knows how near: the scope has no radius, and counts as no exposure. A receiver
that does not say where it is, or has no receiver.json, is asked all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from flightwatch.errors import FeedError
from flightwatch.feeds.http import Reply
from flightwatch.records import Scope

ASKED_AGAIN_S = 3600.0
"""A place changes when somebody carries the receiver away, and may be there later than the aircraft."""


class Described(msgspec.Struct):
    """What receiver.json says of the place; rounded to two digits unless somebody wants it exact."""

    lat: float | None = None
    lon: float | None = None


_described = msgspec.json.Decoder(Described)


@dataclass
class Receiver:
    """Reads both files; `aircraft` and `receiver` get them."""

    aircraft: Callable[[], Reply]
    receiver: Callable[[], Reply]
    now_s: Callable[[], float] = time.monotonic
    _scope: Scope | None = None
    _asked_s: float = field(default=float("-inf"))

    def read(self) -> Reply:
        """What the receiver hears, with its place where it is known."""
        reply = self.aircraft()
        if self.now_s() - self._asked_s >= ASKED_AGAIN_S:
            self._asked_s = self.now_s()
            self._scope = self._place() or self._scope
        return replace(reply, scope=self._scope)

    def _place(self) -> Scope | None:
        try:
            said = _described.decode(self.receiver().body)
        except (FeedError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if said.lat is None or said.lon is None or not (-90 <= said.lat <= 90 and -180 <= said.lon <= 180):
            return None
        return Scope("area", (f"{said.lat:g}", f"{said.lon:g}"))
