"""Feeds: what other people's receivers and services say, as snapshots and tables of positions.

In: bytes from the network or from files. Out: `Snapshot` records and tables of `POSITIONS`, with what could not be
used counted by reason; or a `FeedError` that says why there is nothing. One file a format (`v2`, `opensky`,
`flightradar24`, `sbs`, `receivers`, `flightlists`, `files`), one place for the rules of plausibility (`sanity`), one for the
limits of HTTP (`http`), one for tokens (`credentials`). `questions` and `tiles` make queries of a configured feed, `poller`
keeps their pace and health, `outages` says when a feed counts as out, `recordings` keeps replies and plays them.
"""

from __future__ import annotations

from typing import Protocol

from flightwatch.records import Snapshot


class Feed(Protocol):
    """Something that can be asked for a snapshot. Raises FeedError where there is none."""

    @property
    def name(self) -> str: ...

    def fetch(self) -> Snapshot: ...
