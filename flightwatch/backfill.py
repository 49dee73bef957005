"""Drives the pipeline with what is stored: legs of imports and of what came while nobody was looking.

In: a store. Out: its legs, and the state in which live goes on. Everything is derived again from the stored
positions; a leg that overlaps one known before keeps its id, and legs whose positions are no longer stored stay as
they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from flightwatch import legs as leg_stage
from flightwatch import pipeline as pipes
from flightwatch.pipeline import Correction, Pipeline, State, corrected
from flightwatch.rarity import Baseline, Exposure
from flightwatch.records import Leg, utc
from flightwatch.store import EVERYTHING, Store

BATCH_ROWS = 1_000_000

__all__ = ["EVERYTHING", "Derived", "derive", "exposures", "frozen_baseline", "newest", "rederive_late", "refresh"]

Progress = Callable[[int, int], None]
"""Hears of the positions that are done, and how many there are in all."""


@dataclass(frozen=True)
class Derived:
    """The state after the snapshot `seq`, and the time up to which anything is known."""

    state: State
    seq: int
    now: datetime


def exposures(store: Store) -> Callable[[], Sequence[Exposure]]:
    """The covered days of a store, asked anew each time."""
    return lambda: [Exposure(c.scope, c.first, c.last) for c in store.covered()]


def refresh(store: Store, pipeline: Pipeline, progress: Progress | None = None) -> None:
    """Brings the stored legs up to all that is stored, those in the air included; leaves what live has told and will
    tell alone."""
    saved = store.load_checkpoint()
    if saved is None or store.marked():
        derive(store, pipeline, progress)
        return
    state, seq = pipes.from_bytes(saved, frozen_baseline(store, pipeline))
    for _, snapshot in store.snapshots.after(seq):
        state, outcome = pipeline.absorb(state, snapshot.positions)
        store.legs.put(outcome.settled)
    store.legs.put(pipeline.all_unsettled(state, newest(store)))


def frozen_baseline(store: Store, pipeline: Pipeline) -> Baseline:
    """The history as it stood when the model of the day was frozen."""
    return Baseline(pipeline.airports, store.legs.frozen_table(), pipeline.exposures())


def derive(store: Store, pipeline: Pipeline, progress: Progress | None = None) -> Derived:
    """Derives all legs from the stored positions, and stores them."""
    seq, marked, now = store.snapshots.last(), store.marked(), newest(store)
    state = pipeline.start(_given(store))
    found: dict[str, Leg] = {}
    frozen: dict[str, Leg] = {}
    late: set[str] = set()
    done, total = 0, store.snapshots.rows()
    for batch in store.snapshots.batches(BATCH_ROWS):
        state, outcome = pipeline.absorb(state, batch)
        found |= {leg.leg_id: leg for leg in outcome.settled}
        frozen |= {leg.leg_id: leg for leg in outcome.frozen or ()}
        late |= set(outcome.late)
        done += len(batch)
        if progress:
            progress(done, total)
    for icao24 in sorted(late):
        state, correction = pipeline.rederive(state, icao24, store.snapshots.positions(aircraft=[icao24]), (), now)
        found = {k: leg for k, leg in found.items() if leg.icao24 != icao24} | {leg.leg_id: leg for leg in correction.legs}
    found |= {leg.leg_id: leg for leg in pipeline.all_unsettled(state, now)}
    aliases = _keep(store, list(found.values()))
    state = replace(state, legs=leg_stage.renamed(state.legs, aliases))
    store.legs.freeze([leg_stage.rename(leg, aliases) for leg in frozen.values()], anew=True)
    store.save_checkpoint(pipes.to_bytes(state, seq))
    store.unmark(marked)
    return Derived(state, seq, now)


def rederive_late(store: Store, pipeline: Pipeline, state: State, late: Iterable[str], now: datetime) -> State:
    """Derives the aircraft again whose positions came too late to be taken in order, and corrects their legs."""
    for icao24 in late:
        positions = store.snapshots.positions(aircraft=[icao24])
        state, correction = pipeline.rederive(state, icao24, positions, store.legs.tracked_of([icao24]), now)
        _store(store, correction)
        store.unmark([icao24])
    return state


def newest(store: Store) -> datetime:
    """The time of the newest position or snapshot: what is known, is known up to then."""
    return utc(store.snapshots.newest_us())


def _given(store: Store) -> pa.Table:
    """The legs that are not derived from stored positions: flight lists, and tracked ones from before the first
    stored position."""
    table = store.legs.table()
    older = pc.less(table["last_seen"], pa.scalar(utc(store.snapshots.oldest_us()), table.schema.field("last_seen").type))
    return table.filter(pc.or_(pc.equal(table["source"], "listed"), pc.fill_null(older, False)))


def _keep(store: Store, legs: Sequence[Leg]) -> dict[str, str]:
    """Stores derived legs under the ids that they had; returns the other names that they would have now."""
    by_aircraft: dict[str, list[Leg]] = {}
    for leg in legs:
        by_aircraft.setdefault(leg.aircraft, []).append(leg)
    known: dict[str, list[Leg]] = {}
    for leg in store.legs.tracked_of(sorted(by_aircraft)) if by_aircraft else ():
        known.setdefault(leg.aircraft, []).append(leg)
    corrections = [corrected(own, known.get(name, ())) for name, own in by_aircraft.items()]
    for correction in corrections:
        _store(store, correction)
    return {new: old for correction in corrections for new, old in correction.aliases.items()}


def _store(store: Store, correction: Correction) -> None:
    store.legs.put(correction.legs)
    store.legs.withdraw(correction.gone)
