"""How good rarity is on flight lists: imports each into a store of its own, runs `flightwatch rarity`, and prints what came
true. Flights in time order, the first fifth not counted, both ends known.

    python benchmarks/rarity.py LIST.csv[:DAYS] ...

DAYS (21) is the follow-up of routes that are seen for the first time. What is printed, a line each:

bits       mean of -log2 of the probability of the destination; beside it add-one counts by origin over 2,000 airports
again      area under the ROC curve of the score for first flights of a route that no other one follows within DAYS, among
           all that have so long a follow-up in the list; routes of anybody, and routes of each aircraft; beside it that of
           popularity
intervals  share of the 90 % intervals for the flights on a route in the following 30 days that held, one a route and week,
           and their mean width; beside it the width of a gamma-Poisson fit (in hindsight, by the likelihood of these very
           outcomes, equal tails) at the first level at which no fewer hold
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

Floats = NDArray[np.float64]

UNCOUNTED, FOLLOW_UP_DAYS, MONTH_DAYS = 0.2, 21.0, 30.0
VOCABULARY = 2000
SHAPES, RATES_D = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0), (1.0, 3.0, 10.0, 30.0, 100.0)
LEVELS = np.r_[0.5:0.95:0.01, 0.95:0.999:0.002]
MOST = 500


def table_of(path: Path) -> tuple[pd.DataFrame, float]:
    """The rows that the command writes for a list, and how many seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        store, output = Path(folder, "store"), Path(folder, "rarity.parquet")
        run("import", "--store", store, path)
        began = time.perf_counter()
        run("rarity", "--store", store, "-o", output)
        return pq.read_table(output).to_pandas(), time.perf_counter() - began


def run(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "flightwatch", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def add_one(rows: pd.DataFrame, counted: int) -> float:
    counts: Counter[tuple[str, str]] = Counter()
    asked: Counter[str] = Counter()
    bits = []
    for origin, destination in zip(rows.origin, rows.destination, strict=True):
        bits.append(-math.log2((counts[origin, destination] + 1) / (asked[origin] + VOCABULARY)))
        counts[origin, destination] += 1
        asked[origin] += 1
    return float(np.mean(bits[counted:]))


def area(rare: Floats, common: Floats) -> float:
    """The share of pairs in which the rare one has more."""
    if not len(rare) or not len(common):
        return math.nan
    return float(np.mean((rare[:, None] > common) + 0.5 * (rare[:, None] == common)))


def again(
    rows: pd.DataFrame, days: Floats, counted: int, follow_up: float, *, of_aircraft: bool
) -> tuple[float, float, int, int]:
    """The areas of score and popularity, and how many first flights were followed by none and by others."""
    keys = list(zip(rows.registration if of_aircraft else [""] * len(rows), rows.origin, rows.destination, strict=True))
    flights, popular, seen = defaultdict(list), Counter[str](), set()
    for key, day in zip(keys, days, strict=True):
        flights[key].append(day)
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for i, (key, day) in enumerate(zip(keys, days, strict=True)):
        if key not in seen and i >= counted and day + follow_up <= days[-1]:
            followed = any(day < other <= day + follow_up for other in flights[key])
            popularity = math.log(popular[key[1]] + 0.5) + math.log(popular[key[2]] + 0.5)
            found[followed].append((float(rows.score.iloc[i]), -popularity))
        seen.add(key)
        popular.update(key[1:])
    once, more = (np.array(found[followed]).reshape(-1, 2) for followed in (False, True))
    return area(once[:, 0], more[:, 0]), area(once[:, 1], more[:, 1]), len(once), len(more)


def outcomes(rows: pd.DataFrame, days: Floats, counted: int) -> pd.DataFrame:
    """One row a route and week: how many flights followed in a month, what was foretold, and what a fit has to go by."""
    keys = list(zip(rows.origin, rows.destination, strict=True))
    flights, seen, out = defaultdict(list), set(), []
    for key, day in zip(keys, days, strict=True):
        flights[key].append(day)
    for i, (key, day) in enumerate(zip(keys, days, strict=True)):
        week = key, (day - days[0]) // 7
        if i < counted or day + MONTH_DAYS > days[-1] or week in seen:
            continue
        seen.add(week)
        row = rows.iloc[i]
        y = sum(day < other <= day + MONTH_DAYS for other in flights[key])
        out.append((y, row.n_before, day - days[0], row.flights_30d_low, row.flights_30d_high))
    return pd.DataFrame(out, columns=["y", "n", "days", "low", "high"])


def gamma_poisson(found: pd.DataFrame) -> tuple[float, float]:
    """Coverage and mean width of the best fit at the first level that holds no fewer than those foretold."""
    y = found.y.to_numpy()
    wanted = np.mean((found.low <= found.y) & (found.y <= found.high))
    fits = []
    for a, b in itertools.product(SHAPES, RATES_D):
        chances = np.stack(
            [negative_binomial(a + n, (b + days) / (b + days + MONTH_DAYS)) for n, days in zip(found.n, found.days, strict=True)]
        )
        fits.append((float(np.log(np.maximum(chances[np.arange(len(y)), y], 1e-300)).sum()), chances))
    cumulative = np.cumsum(max(fits, key=lambda fit: fit[0])[1], axis=1)
    for level in LEVELS:
        low, high = (np.array([np.searchsorted(c, q) for c in cumulative]) for q in ((1 - level) / 2, (1 + level) / 2))
        held = float(np.mean((low <= y) & (y <= high)))
        if held >= wanted:
            break
    return held, float(np.mean(high - low))


def negative_binomial(shape: float, p: float) -> Floats:
    k = np.arange(1, MOST)
    return np.exp(shape * math.log(p) + np.r_[0.0, np.cumsum(np.log((shape + k - 1) / k * (1 - p)))])


def measure(path: Path, follow_up: float) -> None:
    table, seconds = table_of(path)
    print(f"{path.name}: {len(table):,} legs, {seconds:.1f} s with start; nulls: {int(table.isna().sum().sum())}")
    rows = table[(table.origin != "unknown") & (table.destination != "unknown")].reset_index(drop=True)
    counted = int(UNCOUNTED * len(rows))
    days = rows.time.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64) / 86_400e6
    print(f"  bits       {rows.bits[counted:].mean():.3f} (add-one {add_one(rows, counted):.2f})")
    for of_aircraft, whose in ((False, "anybody"), (True, "each aircraft")):
        score, popularity, once, more = again(rows, days, counted, follow_up, of_aircraft=of_aircraft)
        print(f"  again      {score:.3f} (popularity {popularity:.3f}); {once} once, {more} again; routes of {whose}")
    found = outcomes(rows, days, counted)
    held, width = np.mean((found.low <= found.y) & (found.y <= found.high)), (found.high - found.low).mean()
    other_held, other_width = gamma_poisson(found)
    fit = f"fit: {other_held:.3f}, {other_width:.2f}: {width / other_width:.2f}"
    print(f"  intervals  {held:.3f} of {len(found)} hold, width {width:.2f} ({fit})")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        name, _, days = argument.rpartition(":")
        measure(Path(name or days), float(days) if name else FOLLOW_UP_DAYS)
