"""How rare the legs of a store were, for people and their tools: as lines on the terminal, and as Parquet, CSV or JSON files.

A row for each leg in the order of departure, each from what came before it alone. A leg that is tracked and stands in a
list, too, or in two lists, is one flight and has one row. No cell is empty: what cannot be known has the value that the
field's metadata name. Whose data it rests on stands in the metadata of a Parquet file, and beside the others in a file
of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pyarrow as pa

from flightwatch.errors import InputError
from flightwatch.records import FORMULA_STARTS, TERMS_KEY, TIME, RouteRarity, Terms, credits_of
from flightwatch.store import files

SHOWN = 20


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"meaning": meaning})


RARITY = pa.schema(
    [
        _field("leg_id", pa.string(), "as in a table of legs"),
        _field("registration", pa.string(), "the address where it is not known"),
        _field("origin", pa.string(), "OurAirports ident, or the code of a list; `unknown` where nobody knows"),
        _field(
            "destination", pa.string(), "as the origin; where it is unknown, counts, rates, bits and score are 0 and mean nothing"
        ),
        _field("time", TIME, "UTC, take-off; the middle of the day where a list gives the day alone"),
        _field(
            "n_before", pa.int64(), "flights on this route on record before, of any aircraft; of unknown origin: to this place"
        ),
        _field("last_before", TIME, "UTC, take-off of the last of them; 1970-01-01 where there is none"),
        _field("observed_days", pa.int64(), "days before on which this aircraft would have been seen"),
        _field("expected_per_year", pa.float64(), "flights on this route; the prior's value where there is little history"),
        _field(
            "flights_30d_low", pa.int64(), "of the shortest interval that their number in the next 30 days falls into with 0.9"
        ),
        _field("flights_30d_high", pa.int64(), "its other end, included"),
        _field("bits", pa.float64(), "-log2 of the probability of the destination, given aircraft, origin and the past"),
        _field(
            "score", pa.float64(), "higher is rarer: -log2 of flights a year, less the log odds (bits) of a new route to last"
        ),
        _field("sentence", pa.string(), "for people; says where the history is too little"),
    ],
    metadata={"flightwatch": "rarity 1"},
)


def write(rows: Sequence[RouteRarity], path: Path, sources: Mapping[str, Terms]) -> list[str]:
    """Writes rows in the format that the file's name ends in, and tells what must be known of the file, a line each. Raises
    InputError for another format."""
    suffix, told = path.suffix.lower(), credits_of(sources.values())
    table = pa.Table.from_pylist([{name: getattr(row, name) for name in RARITY.names} for row in rows], schema=RARITY)
    if suffix == ".parquet":
        terms = json.dumps({name: asdict(term) for name, term in sources.items()}).encode()
        files.write_parquet(path, table.replace_schema_metadata({**(RARITY.metadata or {}), TERMS_KEY: terms}))
    elif suffix == ".csv":
        frame = pd.DataFrame(table.to_pylist(), columns=RARITY.names)
        for name in ("registration", "origin", "destination"):
            frame[name] = [f"'{text}" if text.startswith(FORMULA_STARTS) else text for text in frame[name]]
        files.write_bytes(path, frame.to_csv(index=False).encode())
    elif suffix == ".json":
        files.write_bytes(path, json.dumps(table.to_pylist(), default=lambda time: str(time.isoformat()), indent=1).encode())
    else:
        raise InputError(f"{path}: rarity is written as .parquet, .csv or .json")
    if told and suffix != ".parquet":
        files.write_bytes(path.with_name(f"{path.name}.terms.txt"), "".join(f"{line}\n" for line in told).encode())
    return [f"{path}: {len(rows):,} legs", *([f"Data: {'; '.join(told)}."] if told else [])]


def show(rows: Sequence[RouteRarity], sources: Mapping[str, Terms]) -> str:
    """The rarest legs, a line each, the rarest first; those of which nothing can be said are counted."""
    known = [row for row in rows if row.enough_history]
    rarest = sorted(known, key=lambda row: (-row.score, row.time))[:SHOWN]
    lines = [f"{row.time:%Y-%m-%d}  {row.registration:<8} {row.origin:>7} {row.destination:<7}  {row.sentence}" for row in rarest]
    more = [f"... and {len(known) - SHOWN:,} that are less rare: -o FILE writes all"] if len(known) > SHOWN else []
    if unknown := len(rows) - len(known):
        more.append(
            f"{unknown:,} more after too little history, or to places that are not known: nothing is said of how rare they are."
        )
    told = credits_of(sources.values())
    return "\n".join([*lines, *more, *(["", f"Data: {'; '.join(told)}."] if told else [])])
