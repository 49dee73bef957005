"""Feeds: what other people's receivers and services say, as snapshots and tables of positions.

In: bytes from the network or from files. Out: `Snapshot` records and tables of `POSITIONS`, with what could not be
used counted by reason; or a `FeedError` that says why there is nothing.

    v2, opensky                             replies of live feeds, and files of them
    traces, archives, lines, sbs, fr24      what receivers and services write, one file a format
    tables, columnmaps, flightlists         tables that people have
    dictatoralert                           flights with their positions inside
    files, contents                         which format a file is in; what is in it, seen through gzip
    sanity, columns                         the rules of plausibility; loose values as columns
    flightradar24, receivers, basestation   replies of its API; a receiver's aircraft.json and place; its lines
    flightradar24_history                   what its API is asked for the past
    http, credentials                       the limits of HTTP; tokens
    history                                 what a source of history is, and its pace
    releases, day_traces, opensky_history   adsb.lol's archives, readsb's web sites, OpenSky's flights and tracks as such
    questions, tiles, poller                what a configured feed is asked; large areas; pace and health
    outages, recordings                     when a feed counts as out; replies kept and played again
"""

from __future__ import annotations

from typing import Protocol

from flightwatch.records import Snapshot


class Feed(Protocol):
    """Something that can be asked for a snapshot. Raises FeedError where there is none."""

    @property
    def name(self) -> str: ...

    def fetch(self) -> Snapshot: ...
