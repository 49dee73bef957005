"""Reference databases: big tables of who has which address, kept as one Parquet file each in a folder of their own.

The file is sorted by address. What must be known of it (source, licence, date, SHA-256 of what was read, attribution,
retention, whether it may be republished) stands in the metadata of its schema, so that a table and its terms cannot
part. It is read when somebody asks for the first time, whole: asking again then takes microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flightwatch.aircraft.blocks import number_of
from flightwatch.errors import InputError

AIRCRAFT = pa.schema(
    [
        pa.field("address", pa.uint32(), metadata={"unit": "24 bits"}),
        pa.field("registration", pa.string()),
        pa.field("typecode", pa.string()),
        pa.field("operator", pa.string()),
        pa.field("role", pa.string(), metadata={"unit": "state, military, police, private or civil"}),
        pa.field("note", pa.string()),
        pa.field("valid_from", pa.date32()),
        pa.field("valid_until", pa.date32()),
    ]
)
"""The columns of a database of aircraft."""

REPEATED = ["typecode", "operator", "role", "note"]
"""Columns whose texts come again and again: held once each in memory."""

ABOUT = b"flightwatch.reference"


@dataclass(frozen=True, slots=True)
class About:
    """What must be known of a database. `dated` is the day it was downloaded, or that of the file; `confidence` how
    often it is right, as far as that was checked; `sha256` and `file` are those of what was read."""

    source: str
    kind: str
    dated: date
    rows: int
    refused: int
    file: str
    sha256: str
    licence: str
    attribution: str
    retention_days: int | None
    republish: bool
    confidence: float


@dataclass(frozen=True, slots=True)
class Row:
    """What a database says of one address."""

    icao24: str
    registration: str | None
    typecode: str | None
    operator: str | None
    role: str | None
    note: str | None
    valid_from: date | None
    valid_until: date | None

    def holds_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_until is None or day <= self.valid_until)


class Database:
    """One database of aircraft. Opening it reads nothing but what it says of itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.about = about(path)

    @property
    def name(self) -> str:
        return self.about.source

    def rows(self, icao24: str) -> list[Row]:
        """What stands under an address: nothing, a row, or several where it was used again."""
        number = number_of(icao24)
        if number is None:
            return []
        both = np.array([number, number + 1], dtype=np.uint32)  # any other type would have the column converted each time
        first, end = (int(i) for i in np.searchsorted(self._addresses, both))
        return [self._row(i) for i in range(first, end)]

    def holders(self, registration: str) -> list[Row]:
        """The rows with a registration, which may be several: aircraft change addresses, and people mistype them."""
        return self._where(pc.equal(self._table["registration"], registration.upper()))

    def alike(self, icao24: str) -> list[Row]:
        """The rows of other addresses with the same low 16 bits."""
        number = number_of(icao24)
        if number is None:
            return []
        same = (self._addresses & 0xFFFF) == (number & 0xFFFF)
        return [self._row(int(i)) for i in np.flatnonzero(same & (self._addresses != number))]

    def _where(self, mask: pa.ChunkedArray) -> list[Row]:
        return [self._row(int(i)) for i in pc.indices_nonzero(mask).to_pylist()]

    def _row(self, index: int) -> Row:
        values = {name: column[index].as_py() for name, column in self._columns.items()}
        return Row(f"{int(self._addresses[index]):06x}", **values)

    @cached_property
    def _table(self) -> pa.Table:
        try:
            return pq.read_table(self.path, read_dictionary=REPEATED, page_checksum_verification=True).combine_chunks()
        except (pa.ArrowException, OSError) as error:
            raise damaged(self.path, error) from None

    @cached_property
    def _columns(self) -> Mapping[str, Any]:
        """The columns as single arrays: asking those for a value is quickest."""
        names = [name for name in self._table.column_names if name != "address"]
        return {name: pa.concat_arrays(self._table[name].chunks or [pa.nulls(0)]) for name in names}

    @cached_property
    def _addresses(self) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
        return np.asarray(self._table["address"], dtype=np.uint32)


def about(path: Path) -> About:
    """What a kept table says of itself. Raises InputError where it is none."""
    try:
        known = json.loads((pq.read_schema(path).metadata or {})[ABOUT])
        return About(**(known | {"dated": date.fromisoformat(known["dated"])}))
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise damaged(path, error) from None


def described(table: pa.Table, about: About) -> pa.Table:
    """The table with what must be known of it."""
    told = json.dumps(asdict(about) | {"dated": about.dated.isoformat()})
    return table.replace_schema_metadata({ABOUT: told})


def damaged(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
    return InputError(f"{path} cannot be read ({reason}): delete it, and add or update that database again")


def kept(folder: Path) -> list[Path]:
    """The tables in a folder of databases, which need not be there."""
    return sorted(folder.glob("*.parquet")) if folder.is_dir() else []


def open_databases(folder: Path) -> list[Database]:
    """The databases of aircraft in a folder, the surest first. Raises InputError where one cannot be read."""
    found = [Database(path) for path in kept(folder) if about(path).kind == "aircraft"]
    return sorted(found, key=lambda d: (-d.about.confidence, d.name))


def aircraft_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of `AIRCRAFT` as a table, sorted by address and time."""
    table = pa.Table.from_pylist(list(rows), schema=AIRCRAFT)
    return table.sort_by([("address", "ascending"), ("valid_from", "ascending")])
