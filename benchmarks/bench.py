"""How fast flightwatch is, as ratios in one run: machines differ, ratios less so.

    python benchmarks/bench.py [--aircraft 12500] [--polls 30]

1. One live poll of a full sky through the step, against parsing the reply that it came in.
2. One reply to a snapshot that is committed to the store, without the network's time, against parsing it.
3. Stored positions to legs, against reading the same columns with pyarrow.

The sky is made from a seed. Nothing here is a test: no figure fails.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.feeds import v2
from flightwatch.feeds.http import Reply
from flightwatch.feeds.poller import Query
from flightwatch.legs import LegState, Model
from flightwatch.pipeline import Pipeline
from flightwatch.places import airports
from flightwatch.rarity import Baseline
from flightwatch.records import Scope
from flightwatch.store import Store, files
from flightwatch.testing.world import Flight, World

BEGIN = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
BIG = (
    "EDDF",
    "EGLL",
    "LFPG",
    "LEMD",
    "KJFK",
    "KLAX",
    "KORD",
    "RJTT",
    "ZBAA",
    "OMDB",
    "WSSS",
    "YSSY",
    "SBGR",
    "FAOR",
    "UUEE",
    "VIDP",
)


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


def stored(folder: Path) -> tuple[int, float, float]:
    """Positions, seconds to read them, seconds to make legs of them."""
    rng = np.random.default_rng(2)
    one = Flight("400000", "T-1", "A320", "TST1", "EDDF", "EGLL", BEGIN)
    flights = []
    for n in range(400):
        origin, to = rng.choice(BIG, 2, replace=False)
        takeoff = BEGIN + timedelta(minutes=float(rng.uniform(0, 600)))
        flights.append(replace(one, icao24=f"{0x400000 + n:06x}", origin=str(origin), destination=str(to), takeoff=takeoff))
    table = (
        World(tuple(flights), airports(), holes=()).positions(10.0).sort_by([("icao24", "ascending"), ("timestamp", "ascending")])
    )
    files.write_parquet(folder / "day.parquet", table)
    begun = time.perf_counter()
    read = pq.read_table(folder / "day.parquet")
    reading = time.perf_counter()
    leg_stage.advance(LegState(), read, Model(airports(), Baseline(airports()), Registry().who))
    return len(read), reading - begun, time.perf_counter() - reading


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--aircraft", type=int, default=12_500)
    parser.add_argument("--polls", type=int, default=30)
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
    with tempfile.TemporaryDirectory() as folder:
        rows, reading, deriving = stored(Path(folder))
    print(f"stored positions to legs: {rows:,} positions, {rows / deriving / 1e6:.2f} million a second;")
    print(f"  {deriving / reading:.1f} times what reading them takes")


if __name__ == "__main__":
    main()
