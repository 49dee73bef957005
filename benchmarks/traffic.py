"""Makes a day of synthetic traffic of the whole world, and says how fast.

    python benchmarks/traffic.py day.parquet [--aloft 12500] [--every 10] [--hours 24] [--truth day.truth.csv]

One file, sorted by aircraft and time; in memory is a quarter of a million positions at a time. A full day has some 117
million positions and takes 2.6 GB on disk.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path

from flightwatch.places import airports
from flightwatch.testing.world import INLAND_SIBERIA, NORTH_KOREA, OCEANS, Jets
from flightwatch.testing.world.coverage import floors
from flightwatch.testing.world.traffic import Traffic

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--aloft", type=int, default=12_500, help="aircraft in the air, on average")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two positions")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--truth", type=Path, help="where to write the flights themselves")
    asked = parser.parse_args()
    heard = floors((NORTH_KOREA, INLAND_SIBERIA, *OCEANS))
    traffic = Traffic(airports(), BEGIN, asked.aloft, asked.every, asked.hours, asked.seed, floor=heard, wind=Jets())
    begun, used = time.perf_counter(), time.process_time()
    flights = len(traffic.schedule)
    positions = sum(map(len, traffic.pieces()))
    seconds, of_processor = time.perf_counter() - begun, time.process_time() - used
    begun = time.perf_counter()
    traffic.write(asked.file)
    print(f"{positions:,} positions of {flights:,} flights;")
    print(
        f"  made: {positions / seconds / 1e6:.1f} million a second ({positions / of_processor / 1e6:.1f} a second of one core);"
    )
    print(f"  made and written: {positions / (time.perf_counter() - begun) / 1e6:.1f} million a second")
    print(f"  {asked.file}: {asked.file.stat().st_size / 1e6:,.0f} MB, SYNTHETIC: nobody observed any of it")
    if asked.truth:
        traffic.truth().to_csv(asked.truth, index=False)


if __name__ == "__main__":
    main()
