"""How fast rules are judged over a store of many legs, and in how much memory.

    python benchmarks/backtest.py [--legs 10000000] [--store FOLDER]

The legs are made from a seed: 20,000 aircraft over ten years, most of them from flight lists, a tenth tracked, with ends
that lie between airports. Of the 50 rules about half name aircraft, the others places, types, times and lengths; a third
asks history. A store that is there already is used again. Nothing here is a test: no figure fails.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flightwatch.aircraft import Registry
from flightwatch.backtesting import backtest
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports, airports
from flightwatch.rarity import Exposure
from flightwatch.records import LEGS, TIME, UNKNOWN, Scope
from flightwatch.rules import Rule
from flightwatch.rules.definitions import Names, resolved
from flightwatch.store import Store

AIRCRAFT, OPERATORS, DAYS = 20_000, 400, 3650
BEGIN = datetime(2015, 1, 1, tzinfo=UTC)
PER_FILE = 1_000_000
TRACKED_EVERY = 10
IN_FULL = 150
"""Three examples of each rule, as a report tells of."""

SAMPLED_S = 0.02
"""Memory is looked at so often."""

FEW, RARELY = 97, 0.01
"""One aircraft in so many goes to the rare places, with so many of its flights."""

TYPES = ("A320", "B738", "A333", "B77W", "E190", "AT76", "IL76", "IL62", "GLF6", "C17")
RARE = ("ZKPY", "OIIE", "UUMU", "OSDI", "HLLM", "SVMI", "MUHA", "UMMS")


def fill(folder: Path, legs: int, table: Airports) -> None:
    """A store of so many legs."""
    rng = np.random.default_rng(5)
    places = np.array(table.ident)[table.notable & (table.size != "city")]
    homes = rng.integers(0, len(places), (AIRCRAFT, 6))
    with Store(folder) as store:
        for number, first in enumerate(range(0, legs, PER_FILE)):
            many = min(PER_FILE, legs - first)
            made = legs_of(rng, many, first, places, homes, tracked=number % TRACKED_EVERY == TRACKED_EVERY - 1)
            path, written = store.legs.write_list(f"made-{number:04d}", made)
            with store.catalog.transaction():
                store.legs.register_list(path, made, written)


def legs_of(rng: np.random.Generator, many: int, first: int, places: np.ndarray, homes: np.ndarray, *, tracked: bool) -> pa.Table:
    who = rng.integers(0, AIRCRAFT, many)
    times = np.sort(rng.integers(0, DAYS * 86_400, many)) * 1_000_000 + int(BEGIN.timestamp()) * 1_000_000
    ends = [places[homes[who, rng.integers(0, 6, many)]].astype(object) for _ in range(2)]
    for end in ends:
        rare = (who % FEW == 0) & (rng.random(many) < RARELY)
        end[rare] = rng.choice(RARE, int(rare.sum()))
    lasted = rng.integers(1800, 30_000, many) * 1_000_000
    columns: dict[str, pa.Array] = {f.name: pa.nulls(many, f.type) for f in LEGS}
    ids = pa.array([f"{'t' if tracked else 'l'}-{n}" for n in range(first, first + many)])
    addresses, registrations = ([f.format(n) for n in range(AIRCRAFT)] for f in ("1{:05x}", "T-{:05d}"))
    aircraft = pa.DictionaryArray.from_arrays(pa.array(who.astype(np.int32)), pa.array(addresses))
    tails = pa.DictionaryArray.from_arrays(pa.array(who.astype(np.int32)), pa.array(registrations))
    fleets = pa.array([f"Operator {n}" for n in range(OPERATORS)])
    columns |= {
        "leg_id": ids,
        "journey_id": ids,
        "revision": pa.array(np.ones(many, np.int32)),
        "icao24": aircraft.cast(pa.string()),
        "registration": tails.cast(pa.string()),
        "typecode": pa.array(np.array(TYPES, object)[who % len(TYPES)], pa.string()),
        "operator": pa.DictionaryArray.from_arrays(pa.array((who % OPERATORS).astype(np.int32)), fleets).cast(pa.string()),
        "callsign": pa.array(np.array([f"OP{n}" for n in range(1000)], object)[who % 1000], pa.string()),
        "source": pa.array(["tracked" if tracked else "listed"] * many),
        "feeds": pa.array([["made-up", f"list-{first}"]] * many),
        "status": pa.array(["landed"] * many),
        "list_order": pa.array(np.arange(many)),
        "landed_probability": pa.array(np.ones(many)),
        "longest_gap_s": pa.array(np.zeros(many)),
        "distance_nm": pa.array(np.zeros(many)),
        "positions": pa.array(np.zeros(many, np.int64)),
        "model": pa.array([""] * many),
    }
    if tracked:
        columns |= {"first_seen": stamps(times), "last_seen": stamps(times + lasted)}
    for end, event, idents, at in (("origin", "takeoff", ends[0], times), ("destination", "landing", ends[1], times + lasted)):
        others = places[rng.integers(0, len(places), many)].astype(object)
        probability = np.where(tracked & (rng.random(many) < 0.2), 0.6, 0.98)
        columns |= {
            end: pa.array(idents, pa.string()),
            f"{end}_basis": pa.array(["inferred"] * many),
            f"{end}_probability": pa.array(probability),
            f"{end}_reason": pa.array(["as the flight list has it"] * many),
            f"{end}_candidates": candidates(idents, others, probability),
            **{f"{event}_{part}": stamps(at) for part in ("time", "earliest", "latest")},
        }
    return pa.table([columns[f.name] for f in LEGS], schema=LEGS)


def stamps(times_us: np.ndarray) -> pa.Array:
    return pa.array(times_us).cast(pa.timestamp("us")).cast(TIME)


def candidates(idents: np.ndarray, others: np.ndarray, probability: np.ndarray) -> pa.Array:
    """The leading airport, half of the rest for another one, and half for none."""
    many = len(idents)
    names = np.stack([idents, others, np.full(many, UNKNOWN, object)], axis=1).ravel()
    rest = (1 - probability) / 2
    flat = pa.StructArray.from_arrays(
        [pa.array(names, pa.string()), pa.array(np.stack([probability, rest, rest], axis=1).ravel())], ["airport", "probability"]
    )
    return pa.ListArray.from_arrays(pa.array(np.arange(many + 1, dtype=np.int32) * 3), flat)


def fifty_rules(table: Airports) -> list[Rule]:
    """Rules such as people write, over and over with other aircraft and places."""
    made: list[dict[str, Any]] = []
    for n in range(5):
        country, other = ("KP", "IR", "SY", "LY", "VE")[n], ("RU", "BY", "CU", "CN", "AE")[n]
        fleet, tails = {"operator": f"Operator {n}?"}, {"registration": [f"T-{n}{d}0*" for d in range(10)]}
        near, late = {"near": {"airport": RARE[n + 3], "nm": 80}}, {"of": "landing", "between": "22:00-05:00"}
        weekend = {"days": ["sat", "sun"]}
        there = {"destination": {"country": country, "probability": 0.6}}
        made += [
            {"all": [{"aircraft": fleet}, {"origin": {"country": other}}, there]},
            {"all": [{"aircraft": tails}, there, {"rarity": {"of": "fleet", "at_most": "12 per year"}}]},
            {"all": [{"aircraft": {"typecode": ["IL76", "IL62"]}}, there, {"first_visit": {"of": "tail", "to": "country"}}]},
            {"all": [{"aircraft": {"icao24": f"10{n}*"}}, {"not": {"origin": {"country": other}}}, there]},
            {"all": [{"origin": {"country": country}}, {"destination": {"country": other, "observed": True}}]},
            {
                "all": [
                    {"aircraft": {"operator": "Operator 1?"}},
                    {"destination": {"airport": RARE[n]}},
                    {"time": weekend},
                ]
            },
            {"all": [{"aircraft": {"callsign": f"OP{n}7*"}}, there, {"visits": {"at_least": 2, "within": "90 days"}}]},
            {"all": [{"aircraft": {"registration": f"T-0{n}0*"}}, there, {"dormant": {"at_least": "30 days"}}]},
            {"all": [{"aircraft": tails}, {"any": [there, {"origin": {"country": country}}]}, {"duration": {"at_least": "5 h"}}]},
            {
                "all": [
                    {"aircraft": fleet},
                    {"destination": near},
                    {"time": late},
                ]
            },
        ]
    rules = [Rule.model_validate({"id": f"rule-{n}", "title": f"Rule {n}", "when": when}) for n, when in enumerate(made)]
    return [rule.model_copy(update={"when": resolved(rule.when, Names(), table)}) for rule in rules]


def judge(folder: Path) -> None:
    """One backtest in this process, and what it took."""
    table = airports()
    watched = [Exposure(Scope("world"), BEGIN.date(), date(2025, 1, 1))]
    pipeline = Pipeline(table, Registry(), fifty_rules(table), lambda: watched)
    with Store(folder, read_only=True) as store:
        begun, worked = time.perf_counter(), worked_s()
        done = backtest(store, pipeline)
        took, cost = time.perf_counter() - begun, worked_s() - worked
        print(
            f"{done.legs:,} legs, {len(pipeline.rules)} rules: {took:.1f} s, {cost:.1f} s of processors;"
            f" {len(done.findings):,} findings"
        )
        begun = time.perf_counter()
        told = [done.in_full(finding) for finding in done.findings[-IN_FULL:]]
        print(f"How rare the last {len(told)} of them are: {time.perf_counter() - begun:.1f} s")


def worked_s() -> float:
    """What this process and those that it began, and that are over, took of the processors."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def held(process: int, began_by: bytes = b"") -> int:
    """The memory (bytes) that a process and those that it began hold now, as Linux tells. One that has not turned to a program
    of its own yet shares that of the process that began it (whose command line is given)."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
        own = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
        began = [path.read_text(encoding="ascii").split() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except (OSError, IndexError):  # it is over
        return 0
    if command == began_by:
        return 0
    return own + sum(held(int(other), command) for several in began for other in several)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--legs", type=int, default=10_000_000)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.judge:
        judge(asked.judge)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = asked.store or Path(made)
        if not (folder / "catalog.sqlite").exists():
            fill(folder, asked.legs, airports())
        judging, most = subprocess.Popen([sys.executable, __file__, "--judge", str(folder)]), 0
        while judging.poll() is None:
            most = max(most, held(judging.pid))
            time.sleep(SAMPLED_S)
        print(f"Memory, of both processes together: {most / (1 << 30):.2f} GiB at most")
        sys.exit(judging.returncode)


if __name__ == "__main__":
    main()
