"""The same positions through the leg computation and through the flight splitting of the `traffic` library.

    python benchmarks/against_traffic.py PYTHON [--positions 2000000]

PYTHON is that of an environment with traffic 2.13, which needs a pandas older than ours: `make bench-traffic` makes it. Both
get the first so many positions of the day that `traffic.py` makes, sorted, in memory, as each reads them from the same file:
ours as the store does, with texts as dictionaries. Timed is what makes flights of them, by the clock and on the processor,
which a busy machine changes less. Ours judges every position, decides holes and ranks the ends of each flight; theirs numbers
what has one address and callsign and no pause of ten minutes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.legs import LegState, Model
from flightwatch.places import airports
from flightwatch.rarity import Baseline
from flightwatch.testing.world import INLAND_SIBERIA, NORTH_KOREA, OCEANS, Jets
from flightwatch.testing.world.coverage import floors
from flightwatch.testing.world.traffic import Traffic

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
THEIRS = Path(__file__).with_name("assign_id.py")
COLUMNS = ["timestamp", "icao24", "callsign", "latitude", "longitude", "altitude", "groundspeed", "track", "vertical_rate"]
"""What their flights are made of; ours has them all."""

PIECE = 250_000
"""Positions that ours takes at a time."""


def positions(wanted: int) -> tuple[pa.Table, int]:
    """So many positions of the day's first aircraft, sorted by aircraft and time, and how many flights these aircraft made."""
    heard = floors((NORTH_KOREA, INLAND_SIBERIA, *OCEANS))
    day = Traffic(airports(), BEGIN, floor=heard, wind=Jets())
    pieces, many = [], 0
    for piece in day.pieces():
        pieces.append(piece)
        many += len(piece)
        if many >= wanted:
            break
    table = pa.concat_tables(pieces).slice(0, wanted)
    return table, int((day.truth()["icao24"] <= table["icao24"][-1].as_py()).sum())


def ours(table: pa.Table) -> tuple[float, float, int]:
    """Seconds by the clock and of the processor, and legs found."""
    model = Model(airports(), Baseline(airports()), Registry().who)
    begun, used = time.perf_counter(), sum(os.times()[:4])
    state, found = LegState(), 0
    for start in range(0, len(table), PIECE):
        state, outcome = leg_stage.advance(state, table.slice(start, PIECE), model)
        found += len(outcome.settled)
        gc.freeze()  # as `ahead` does
    last = leg_stage.unsettled(state, leg_stage.aircraft_of(state), model, BEGIN + timedelta(days=3))
    return time.perf_counter() - begun, sum(os.times()[:4]) - used, found + sum(map(len, last.values()))


def theirs(python: str, file: Path) -> list[dict[str, float]]:
    """The same of one process and of two."""
    told = subprocess.run([python, "-I", str(THEIRS), str(file)], capture_output=True, text=True, check=True).stdout
    found: list[dict[str, float]] = json.loads(told.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("python", help="the Python of the environment that has traffic")
    parser.add_argument("--positions", type=int, default=2_000_000)
    asked = parser.parse_args()
    table, flown = positions(asked.positions)
    print(f"{len(table):,} positions of {flown:,} flights, SYNTHETIC;")
    with tempfile.TemporaryDirectory() as folder:
        file, other = Path(folder, "positions.parquet"), Path(folder, "theirs.parquet")
        pq.write_table(table, file)
        pq.write_table(table.select(COLUMNS), other)
        texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
        seconds, processor, legs = ours(pq.read_table(file, read_dictionary=texts))
        found = theirs(asked.python, other)
    print(f"  flightwatch: {seconds:.1f} s, {processor:.1f} s of the processor, {legs:,} legs;")
    for told in found:
        print(
            f"  assign_id, processes {told['processes']}: {told['seconds']:.1f} s, {told['processor']:.1f} s of the processor,",
            end=" ",
        )
        print(f"{told['flights']:,} flights;")
        print(f"    {told['seconds'] / seconds:.1f} times our time, {told['processor'] / processor:.1f} times on the processor")


if __name__ == "__main__":
    main()
