"""The store: snapshots and legs on disk, durable, in files that any Parquet reader opens.

    <store>/live/feed=F/date=YYYY-MM-DD/hour=HH/     snapshots as they came, several polls a file
    <store>/history/feed=F/date=YYYY-MM-DD/hour=HH/  imports, and hours of live/ that are over: sorted by aircraft and time
    <store>/legs/                                    legs that are settled, and flight lists
    <store>/refused/                                 replies that could not be used, as they came
    <store>/fetched/                                 downloads that are not imported yet (see `histories`)
    <store>/catalog.sqlite                           what of all that is committed, and the checkpoint (see `catalog`)
    <store>/alerts.sqlite                            alerts, and the outbox (see `alerts.book`)

In: snapshots, tables to import, legs. Out: the same, by time and aircraft. What was acknowledged survives kill -9 and
power loss; a file that was being written when a process died is swept away at the next start. External readers use
history/, where every row stands once.
"""

from __future__ import annotations

from flightwatch.store.catalog import Catalog
from flightwatch.store.portions import Portion
from flightwatch.store.rebuilding import rebuild_catalog
from flightwatch.store.store import EVERYTHING, Import, Store

__all__ = ["EVERYTHING", "Catalog", "Import", "Portion", "Store", "rebuild_catalog"]
