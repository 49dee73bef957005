"""Drives the pipeline with what is stored: legs of imports and of what came while nobody was looking.

In: a store. Out: its legs, and the state in which live goes on. Everything is derived again from the stored
positions; a leg that overlaps one known before keeps its id, and legs whose positions are no longer stored stay as
they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from flightwatch import ahead
from flightwatch import legs as leg_stage
from flightwatch import pipeline as pipes
from flightwatch.legs.meetings import APART, LONGEST_STAY
from flightwatch.legs.rows import USED, aircraft_number
from flightwatch.pipeline import Correction, Pipeline, State, corrected
from flightwatch.rarity import Baseline, Exposure
from flightwatch.records import CODE, RENDEZVOUS, Event, Leg, legs_from_table, legs_table, utc
from flightwatch.store import EVERYTHING, Store

BATCH_ROWS = 500_000
"""Positions that are taken at a time: some 0.3 GB of memory, and enough that going through what is open of all aircraft does
not count."""

AT_ONCE = 10
"""Aircraft of which all positions are in memory at once: a month of one has a quarter of a million."""

EVER = datetime(1970, 1, 1, tzinfo=UTC)

MEETINGS_RENEWED = timedelta(days=3.5)
MEETINGS_LOOK_BACK = MEETINGS_RENEWED + APART + LONGEST_STAY + timedelta(days=1)
"""Live, meetings that began since the first are found anew, by the legs that began since the second: all those whose stays can
belong to such a meeting, if no flight lasts longer than a day. Legs leave the catalog after these seven days."""

__all__ = [
    "EVERYTHING",
    "Derived",
    "derive",
    "exposures",
    "frozen_baseline",
    "look_back",
    "newest",
    "oldest",
    "rederive_late",
    "refresh",
]

Progress = Callable[[int, int], None]
"""Hears of the positions that are done, and how many there are in all."""


@dataclass(frozen=True)
class Derived:
    """The state after the snapshot `seq`, the time up to which anything is known, and the marks that are dealt with
    once the state is kept."""

    state: State
    seq: int
    now: datetime
    marked: tuple[str, ...]


def exposures(store: Store) -> Callable[[], Sequence[Exposure]]:
    """The covered days of a store, asked anew each time."""
    return lambda: [Exposure(c.scope, c.first, c.last) for c in store.covered()]


def refresh(store: Store, pipeline: Pipeline, progress: Progress | None = None) -> None:
    """Brings the stored legs up to all that is stored, those in the air included; leaves what live has told and will
    tell, and its checkpoint, alone."""
    saved, pipeline = store.load_checkpoint(), _noting(store, pipeline)
    if store.legs_due() or (saved is None and store.snapshots.last()):
        derive(store, pipeline, progress)
    elif saved is not None:
        state, seq = pipes.from_bytes(saved, frozen_baseline(store, pipeline))
        for _, snapshot in store.snapshots.after(seq):
            state = pipeline.polled(recalled(store, pipeline, state, snapshot.positions), snapshot.feed, snapshot.feed_time)
            state, outcome = pipeline.absorb(state, snapshot.positions)
            store.legs.put(outcome.settled)
            store.events.put(outcome.events)
        store.legs.put(pipeline.all_unsettled(state, newest(store)))
        note_meetings(store, pipeline, state, newest(store))


def recalled(store: Store, pipeline: Pipeline, state: State, positions: pa.Table) -> State:
    """The state with the aircraft in these positions that had been put aside because nothing was seen of them."""
    here = map(aircraft_number, positions["icao24"].unique().to_pylist())
    return pipeline.with_recalled(state, store.idle(leg_stage.absent(state.legs, here)))


def frozen_baseline(store: Store, pipeline: Pipeline) -> Baseline:
    """The history as it stood when the model of the day was frozen."""
    return Baseline(pipeline.airports, store.legs.frozen_table(), pipeline.exposures())


def derive(store: Store, pipeline: Pipeline, progress: Progress | None = None) -> Derived:
    """Derives all legs from the stored positions, and stores them. What becomes of the state is for the caller to
    say: only live knows what was told."""
    seq, marked, now, pipeline = store.snapshots.last(), tuple(store.marked()), newest(store), _noting(store, pipeline)
    derivable = _derivable(store)
    state = pipeline.start(_given(store, derivable))
    found: dict[str, Leg] = {}
    frozen: dict[str, Leg] = {}
    events: dict[str, Event] = {}
    late: set[str] = set()
    done, total = 0, store.snapshots.rows()
    for portion in ahead.tracked(store.snapshots.portions(BATCH_ROWS, USED), total, pipeline.preferred, pipeline.noted):
        for path, problem in portion.damaged:
            store.snapshots.note_damaged(path, problem)
        state, outcome = pipeline.absorb_tracked(state, portion.days)
        found |= {leg.leg_id: leg for leg in outcome.settled}
        frozen |= {leg.leg_id: leg for leg in outcome.frozen}
        events |= {event.event_id: event for event in outcome.events}
        late |= set(outcome.late)
        done += portion.rows
        if progress:
            progress(done, total)
    for feed, time in store.snapshots.clocks().items():
        state = pipeline.polled(state, feed, time)
    for icao24, positions in _positions_of(store, late):
        state, correction = pipeline.rederive(state, icao24, positions, (), now)
        found = {k: leg for k, leg in found.items() if leg.icao24 != icao24} | {leg.leg_id: leg for leg in correction.legs}
        events = {k: e for k, e in events.items() if e.aircraft != (icao24,)} | {e.event_id: e for e in correction.events}
    found |= {leg.leg_id: leg for leg in pipeline.all_unsettled(state, now)}
    aliases = _keep(store, list(found.values()), derivable)
    _keep_events(store, events, store.events.between(), pipeline.noted)
    store.events.looked_back(pipeline.noted, oldest(store))
    if watched := pipeline.registry.addresses():
        store.events.replace(RENDEZVOUS, pipeline.meetings(state, store.legs.tracked_of(watched)), EVER)
    state = replace(state, legs=leg_stage.renamed(state.legs, aliases))
    store.legs.freeze([leg_stage.rename(leg, aliases) for leg in frozen.values()], anew=True)
    store.legs_done()
    return Derived(state, seq, now, marked)


def rederive_late(store: Store, pipeline: Pipeline, state: State, late: Sequence[str], now: datetime) -> State:
    """Derives the aircraft again whose positions came too late to be taken in order, and corrects their legs."""
    derivable = _derivable(store)
    known = _by_aircraft(store.legs.tracked_of(late))
    for icao24, positions in _positions_of(store, late):
        state, correction = pipeline.rederive(state, icao24, positions, known.get(icao24, ()), now, derivable)
        _store(store, correction)
        alone = [event for event in store.events.between(aircraft=[icao24]) if len(event.aircraft) == 1]
        _keep_events(store, {event.event_id: event for event in correction.events}, alone, pipeline.noted)
        store.unmark([icao24])
    return state


def note_meetings(store: Store, pipeline: Pipeline, state: State, now: datetime) -> None:
    """Stores the meetings of the last days anew, by the legs that are stored of the aircraft on the lists. Entries without
    an address are not asked about: who they are is known when they turn up."""
    if watched := pipeline.registry.addresses():
        found = pipeline.meetings(state, store.legs.recent_of(watched, now - MEETINGS_LOOK_BACK))
        since = now - MEETINGS_RENEWED
        store.events.replace(RENDEZVOUS, [event for event in found if event.since >= since], since)


def look_back(store: Store, codes: Collection[str], preferred: Sequence[str] = (), progress: Progress | None = None) -> None:
    """Makes the events of these codes of what is stored, as far as it was not searched for them when it came in. The legs stay
    as they are."""
    first = oldest(store)
    missing = store.events.unsearched(codes, first)
    if not missing:
        return
    sent: Counter[str] = Counter()
    done, total = 0, store.snapshots.rows()
    for portion in store.snapshots.portions(BATCH_ROWS, ("icao24", "squawk")):
        table, damaged = portion.read()
        for path, problem in damaged:
            store.snapshots.note_damaged(path, problem)
        senders = table.filter(pc.is_in(table["squawk"].cast(pa.string()), pa.array(sorted(missing))))["icao24"]
        sent.update(senders.cast(pa.string()).to_pylist())
        done += len(table)
        if progress:
            progress(done, total)
    often = sorted(name for name, count in sent.items() if name and count >= leg_stage.LEAST_SENT)
    for at in range(0, len(often), AT_ONCE):
        for name, positions in _positions_of(store, often[at : at + AT_ONCE]):
            found = leg_stage.codes_sent(positions, missing, preferred)
            store.events.put(_without_told(found, store.events.between(aircraft=[name])))
    store.events.looked_back(missing, first)


def _without_told(found: Iterable[Event], known: Sequence[Event]) -> list[Event]:
    """Events without those of codes of which the store has a part under another name: of what was sent when a run began to look
    for the code it told from then on, and goes on saying so."""
    told = [event for event in known if event.kind == CODE]
    return [event for event in found if event.kind != CODE or not any(_is_rest(k, event) for k in told)]


def _is_rest(event: Event, whole: Event) -> bool:
    """Whether an event is the later part of one whose beginning is known, too."""
    sent = (event.kind, event.reason, event.aircraft) == (whole.kind, whole.reason, whole.aircraft)
    return sent and whole.since < event.since <= whole.until


def _noting(store: Store, pipeline: Pipeline) -> Pipeline:
    """The pipeline with the codes of which the store has events, whatever its own rules ask for."""
    return replace(pipeline, codes=pipeline.codes | store.events.codes().keys())


def oldest(store: Store) -> datetime:
    """The hour of the oldest stored position; that of now where there is none."""
    return min((hour for _, hour in store.snapshots.stored_hours()), default=newest(store))


def newest(store: Store) -> datetime:
    """The time of the newest position or snapshot: what is known, is known up to then."""
    return utc(store.snapshots.newest_us())


def _positions_of(store: Store, aircraft: Iterable[str]) -> Iterator[tuple[str, pa.Table]]:
    """All stored positions of each of these aircraft, read in one go."""
    if names := sorted(aircraft):
        table = store.snapshots.positions(aircraft=names)
        for name in names:
            yield name, table.filter(pc.equal(table["icao24"], name))


def _derivable(store: Store) -> Callable[[Leg], bool]:
    """Whether the positions that a tracked leg was made of are still stored, as far as hours tell."""
    hours = store.snapshots.stored_hours()

    def ask(leg: Leg) -> bool:
        times = (leg.first_seen, leg.last_seen)
        return all(t is not None and any((feed, _hour(t)) in hours for feed in leg.feeds) for t in times)

    return ask


def _hour(time: datetime) -> datetime:
    return time.replace(minute=0, second=0, microsecond=0)


def _given(store: Store, derivable: Callable[[Leg], bool]) -> pa.Table:
    """The legs that are not derived from stored positions: flight lists, and tracked ones whose positions are
    gone."""
    table = store.legs.table()
    listed = table.filter(pc.equal(table["source"], "listed"))
    tracked = legs_from_table(table.filter(pc.equal(table["source"], "tracked")))
    return pa.concat_tables([listed, legs_table(leg for leg in tracked if not derivable(leg))])


def _keep(store: Store, legs: Sequence[Leg], derivable: Callable[[Leg], bool]) -> dict[str, str]:
    """Stores derived legs under the ids that they had; returns the other names that they would have now."""
    by_aircraft = _by_aircraft(legs)
    known = _by_aircraft(store.legs.tracked_of(sorted(by_aircraft)) if by_aircraft else ())
    corrections = [corrected(own, known.get(name, ()), derivable) for name, own in by_aircraft.items()]
    stored = {leg.leg_id: leg for group in known.values() for leg in group}
    for correction in corrections:
        store.legs.keep_events(correction.legs)
        changed = tuple(leg for leg in correction.legs if not _is_stored(leg, stored.get(leg.leg_id)))
        _store(store, replace(correction, legs=changed))
    return {new: old for correction in corrections for new, old in correction.aliases.items()}


def _keep_events(store: Store, found: Mapping[str, Event], known: Sequence[Event], codes: Collection[str]) -> None:
    """Stores the events of positions that were derived; those of the known ones go that were not found again, unless their
    positions are no longer stored, or nobody searched for their `codes` any more. Events of legs come and go with these."""
    hours = store.snapshots.stored_hours()
    derived = [
        e
        for e in known
        if not e.legs
        and (e.kind != CODE or e.reason in codes)
        and any((feed, _hour(time)) in hours for feed in e.feeds for time in (e.since, e.until))
    ]
    sent = [event for event in found.values() if event.kind == CODE]
    gone = [event for event in derived if event.event_id not in found]
    told = [event for event in gone if event.kind == CODE and any(_is_rest(event, whole) for whole in sent)]
    store.events.put(_without_told(found.values(), told))
    store.events.withdraw(event.event_id for event in gone if event not in told)


def _is_stored(leg: Leg, stored: Leg | None) -> bool:
    return stored is not None and replace(leg, revision=stored.revision) == stored


def _by_aircraft(legs: Iterable[Leg]) -> dict[str, list[Leg]]:
    found: dict[str, list[Leg]] = {}
    for leg in legs:
        found.setdefault(leg.aircraft, []).append(leg)
    return found


def _store(store: Store, correction: Correction) -> None:
    store.legs.put(correction.legs)
    store.legs.withdraw(correction.gone)
