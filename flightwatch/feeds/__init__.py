"""Feeds: what other people's receivers and services say, as snapshots and tables of positions.

In: bytes from the network or from files. Out: `Snapshot` records and tables of `POSITIONS`, with what could not be
used counted by reason; or a `FeedError` that says why there is nothing. One file a format (`v2`, `flightlists`,
`files`), one place for the rules of plausibility (`sanity`), one for the limits of HTTP (`http`), one for the pace
(`poller`).
"""

from __future__ import annotations

from typing import Protocol

from flightwatch.records import Snapshot


class Feed(Protocol):
    """Something that can be asked for a snapshot. Raises FeedError where there is none."""

    @property
    def name(self) -> str: ...

    def fetch(self) -> Snapshot: ...
