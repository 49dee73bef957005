"""How fast flightwatch is, as ratios in one run: machines differ, ratios less so.

    python benchmarks/bench.py [--aircraft 12500] [--polls 30] [--positions 2000000]

1. One live poll of a full sky through the step, against parsing the reply that it came in.
2. One reply to a snapshot that is committed to the store, without the network's time, against parsing it.
3. Stored positions to legs, reading included, against reading the same columns with pyarrow: the first so many of the day
   of the world that `traffic.py` makes. They are made once and kept in `data/bench`.
4. Where that is the whole day (`--positions 0`): live polls of the ten minutes after it, with the day behind them.

The sky is made from a seed. A busy machine changes seconds of the processor less than those by the clock. Nothing here is a
test: no figure fails.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flightwatch import ahead, backfill
from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.feeds import v2
from flightwatch.feeds.http import Reply
from flightwatch.feeds.poller import Query
from flightwatch.legs import LegState, Model
from flightwatch.legs.rows import USED
from flightwatch.live import collect_between_polls
from flightwatch.pipeline import DAY_BEGINS, Pipeline, model_day
from flightwatch.places import airports
from flightwatch.rarity import Baseline
from flightwatch.records import POSITIONS, Scope, Snapshot
from flightwatch.store import Store
from flightwatch.store.portions import Part, Portion, cut
from flightwatch.testing.world import INLAND_SIBERIA, NORTH_KOREA, OCEANS, Jets
from flightwatch.testing.world.coverage import floors
from flightwatch.testing.world.traffic import Traffic

BEGIN = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
KEPT = Path(__file__).parents[1] / "data" / "bench"
DAY = BEGIN.replace(hour=0) + DAY_BEGINS
"""A day of one model: what a portion of a store holds lies within an hour, and so within one."""

NEXT = DAY + timedelta(days=1)
LIVE, EVERY = timedelta(minutes=10), timedelta(seconds=10)
"""For how long there are live polls when the day is over, and how far they are apart."""

MADE_H = 30.0
"""Flights are made for longer than a day: as many as at noon are in the air when it ends, and not those few that land last."""

MANY = 10_000
"""Aircraft that a state of the whole world has at least."""


def a_reply(count: int, seconds: int) -> bytes:
    """A v2 reply with so many aircraft on great circles, some seconds into the run."""
    rng = np.random.default_rng(1)
    latitude, longitude = rng.uniform(-50, 65, count), rng.uniform(-180, 180, count)
    course = rng.uniform(0, 360, count)
    moved = seconds * 450 / 3600 / 60
    entries = [
        {
            "hex": f"{0x400000 + n:06x}",
            "type": "adsb_icao",
            "flight": f"TST{n:05d}"[:8],
            "t": "A320",
            "alt_baro": 35_000,
            "gs": 450.0,
            "track": round(float(course[n]), 1),
            "lat": round(float(latitude[n] + moved * np.cos(np.radians(course[n]))), 5),
            "lon": round(float(longitude[n] + moved * np.sin(np.radians(course[n])) / np.cos(np.radians(latitude[n]))), 5),
            "seen": 0.2,
            "seen_pos": 0.4,
        }
        for n in range(count)
    ]
    return json.dumps({"ac": entries, "now": (BEGIN.timestamp() + seconds) * 1000}).encode()


def polls(count: int, many: int) -> tuple[list[float], list[float]]:
    """Seconds for parsing each reply, and for the step that it goes through."""
    pipeline = Pipeline(airports(), Registry())
    state = pipeline.start(Baseline(airports())._table)
    parsing, stepping = [], []
    for i in range(many):
        body = a_reply(count, 10 * i)
        begun = time.perf_counter()
        snapshot = v2.parse(body, "bench", Scope("world"), BEGIN)
        parsed = time.perf_counter()
        state, _ = pipeline.step(state, snapshot)
        parsing.append(parsed - begun)
        stepping.append(time.perf_counter() - parsed)
    return parsing[1:], stepping[1:]  # the first poll sees every aircraft for the first time


def kept(folder: Path, count: int, many: int) -> list[float]:
    """Seconds from each reply, as it came, to its snapshot in the store."""
    taking = []
    with Store(folder) as store:
        for i in range(many):
            body, now = a_reply(count, 10 * i), BEGIN + timedelta(seconds=10 * i)
            query = Query("bench", "everything", Scope("world"), 10.0, lambda body=body: Reply(body), lambda now=now: now)
            begun = time.perf_counter()
            store.snapshots.append(query.fetch())
            taking.append(time.perf_counter() - begun)
    return taking[1:]


@dataclass(frozen=True)
class Stored:
    """What stored positions to legs took, in seconds by the clock and of the processor, beside reading the same columns; MB
    of memory of a process at most; seconds of each live poll after the whole day, and how many aircraft they have."""

    positions: int
    legs: int
    reading: float
    reading_processor: float
    whole: float
    whole_processor: float
    memory: float
    live: list[float]
    aloft: int


def day(positions: int | None) -> tuple[Path, Path]:
    """The first so many positions of the synthetic day, or all of it, sorted by aircraft and time, and those of the minutes
    after it in a file of their own; made once."""
    name = f"{DAY:%Y-%m-%dT%H}-{positions or 'whole'}"
    files = KEPT / f"day-{name}.parquet", KEPT / f"minutes-{name}.parquet"
    if not files[1].exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        heard = floors((NORTH_KOREA, INLAND_SIBERIA, *OCEANS))
        left = positions
        made = [file.with_suffix(".part") for file in files]
        with ExitStack() as opened:
            writers = [opened.enter_context(pq.ParquetWriter(file, POSITIONS, compression="zstd")) for file in made]
            for piece in Traffic(airports(), DAY, hours=MADE_H, floor=heard, wind=Jets()).pieces():
                time = piece["timestamp"]
                before = piece.filter(pc.less(time, NEXT))
                after = piece.filter(pc.and_(pc.greater_equal(time, NEXT), pc.less(time, NEXT + LIVE)))
                writers[0].write_table(before if left is None else before.slice(0, left))
                writers[1].write_table(after)
                left = None if left is None else left - len(before)
                if left is not None and left <= 0:
                    break
        for temporary, file in zip(made, files, strict=True):
            temporary.replace(file)
    return files


def portions(file: Path) -> Iterator[Portion]:
    """What legs are made of, as `Snapshots.portions` tells of an hour."""
    for addresses in cut([file], backfill.BATCH_ROWS):
        yield Portion(USED, (Part(file, "synthetic", None, *addresses),))


def read(file: Path) -> Iterator[int]:
    """How many rows it has, some row groups at a time: `iter_batches` keeps the dictionaries of all that it has read."""
    texts = [f.name for f in POSITIONS if pa.types.is_string(f.type)]
    whole = pq.ParquetFile(file, read_dictionary=texts)
    groups: list[int] = []
    for group in range(whole.num_row_groups):
        groups.append(group)
        rows = sum(whole.metadata.row_group(g).num_rows for g in groups)
        if rows + whole.metadata.row_group(group).num_rows > backfill.BATCH_ROWS or group == whole.num_row_groups - 1:
            yield len(whole.read_row_groups(groups, columns=list(USED)))
            groups = []


def stored(file: Path, minutes: Path) -> Stored:
    """Legs of a stored day, in a process that has done nothing else, or two where that is how `backfill` does it: reading is
    part of it. Then, where it is the whole day, polls of the minutes after it, with it behind them."""
    model = Model(airports(), Baseline(airports()), Registry().who)
    begun, used = time.perf_counter(), processor()
    rows = sum(read(file))
    reading, reading_used = time.perf_counter() - begun, processor() - used
    begun, used = time.perf_counter(), processor()
    state, found = LegState(), 0
    for portion in ahead.tracked(portions(file), rows, ()):
        for _, part in portion.days:
            state, outcome = leg_stage.draw_up(state, part, model)
            found += len(outcome.settled)
    whole, whole_used = time.perf_counter() - begun, processor() - used
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    after = pq.read_table(minutes, columns=list(USED))
    live = sky(state, after) if len(leg_stage.aircraft_of(state)) > MANY else []
    return Stored(rows, found, reading, reading_used, whole, whole_used, memory, live, len(after) // (LIVE // EVERY))


def sky(legs: LegState, positions: pa.Table) -> list[float]:
    """Seconds of each step of live polls, with the legs behind them."""
    pipeline = Pipeline(airports(), Registry())
    state = replace(pipeline.start(Baseline(airports())._table), legs=legs, model_day=model_day(NEXT))
    taking = []
    collect_between_polls()  # as `flightwatch run` does
    for begins in (NEXT + i * EVERY for i in range(LIVE // EVERY)):
        mine = pc.and_(pc.greater_equal(positions["timestamp"], begins), pc.less(positions["timestamp"], begins + EVERY))
        table = positions.filter(mine).combine_chunks()
        snapshot = Snapshot("synthetic", begins + EVERY, begins + EVERY, Scope("world"), table, {})
        begun = time.perf_counter()
        state, _ = pipeline.step(state, snapshot)
        taking.append(time.perf_counter() - begun)
    return taking


def processor() -> float:
    """Seconds that this process, and those that it began and that are over, have used."""
    return sum(os.times()[:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--aircraft", type=int, default=12_500)
    parser.add_argument("--polls", type=int, default=30)
    parser.add_argument("--positions", type=int, default=2_000_000, help="of the stored day; 0 is all of it, 117 million")
    asked = parser.parse_args()
    parsing, stepping = polls(asked.aircraft, asked.polls)
    middle, slowest = float(np.median(stepping)), float(np.quantile(stepping, 0.99))
    print(f"one poll of {asked.aircraft:,} aircraft: step {middle * 1000:.0f} ms median, {slowest * 1000:.0f} ms p99;")
    print(f"  {middle / float(np.median(parsing)):.1f} times what parsing the reply takes")
    with tempfile.TemporaryDirectory() as folder:
        taking = kept(Path(folder), asked.aircraft, asked.polls)
    whole, read = float(np.median(taking)) * 1000, float(np.median(parsing)) * 1000
    print(f"one reply to a stored snapshot: {whole:.0f} ms median, of which parsing {read:.0f} ms;")
    print(f"  {whole / read:.1f} times what parsing the reply takes")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        told = alone.submit(stored, *day(asked.positions or None)).result()
    print(f"stored positions to legs: {told.positions:,} positions, SYNTHETIC, {told.legs:,} final legs;")
    print(f"  {told.positions / told.whole / 1e6:.2f} million a second, ", end="")
    print(f"{told.positions / told.whole_processor / 1e6:.2f} a second of the processor, at most {told.memory:,.0f} MB;")
    print(f"  {told.whole / told.reading:.1f} times what reading the same columns takes, ", end="")
    print(f"{told.whole_processor / told.reading_processor:.1f} times on the processor")
    if told.live:
        first, *others = told.live
        middle, slowest = float(np.median(others)), float(np.quantile(others, 0.99))
        print(f"one poll of the minutes after that day, {told.aloft:,} aircraft:", end=" ")
        print(f"step {middle * 1000:.0f} ms median, {slowest * 1000:.0f} ms p99;")
        print(f"  {first * 1000:.0f} ms for the first one, at which it is looked up who all aircraft are")


if __name__ == "__main__":
    main()
