"""The databases of others: which there are, on what terms, and how their files read.

In: the name of a file and its bytes. Out: rows of `databases.AIRCRAFT`, and None for every line that names no address.
Only columns whose meaning is certain are read. Nothing of these data ships with flightwatch.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import Any

from flightwatch.aircraft.blocks import number_of
from flightwatch.errors import InputError

Rows = Iterator[Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Source:
    """A database of somebody else. `url` is where it is downloaded, None where that is more than one file, or nobody
    is sure. `confidence` is how often its registrations are right, as far as that was checked."""

    name: str
    kind: str
    url: str | None
    licence: str
    attribution: str
    republish: bool
    confidence: float
    read: Callable[[str, bytes], Rows]
    retention_days: int | None = None


def tar1090(name: str, data: bytes) -> Rows:
    """`icao;registration;type;flags;description`, no header; more columns may follow. The flags are characters by
    position, of which the first says military."""
    for row in csv.reader(_text(data), delimiter=";", quoting=csv.QUOTE_NONE):
        if row:
            registration, typecode, flags, note = [*row[1:5], "", "", "", ""][:4]
            yield _row(row[0], registration, typecode, role="military" if flags[:1] == "1" else "", note=note)


def mictronics(name: str, data: bytes) -> Rows:
    """JSON: an object by address (or by the rest of one, in a file named after its beginning) of lists `registration,
    type, flags, description`, or of objects with `r`, `t`, `f`, `d`; or the same as tar1090-db's CSV."""
    if data.lstrip()[:1] != b"{":
        yield from tar1090(name, data)
        return
    try:
        found = json.loads(data)
    except ValueError as error:
        raise InputError(f"{name} is no JSON ({error})") from None
    stem = PurePath(name).stem.upper()
    for key, value in found.items():
        if key == "children":  # names of other files
            continue
        icao24 = key if len(key) == 6 else stem + key
        texts = [value.get(k) for k in "rtfd"] if isinstance(value, dict) else value
        if not isinstance(texts, list):
            yield None
            continue
        registration, typecode, flags, note = [*(str(t or "") for t in texts[:4]), "", "", "", ""][:4]
        yield _row(icao24, registration, typecode, role="military" if flags[:1] == "1" else "", note=note)


def opensky(name: str, data: bytes) -> Rows:
    """CSV with a header; newer files quote with apostrophes. `registered` is the day from which a row holds; `reguntil`
    is when a paper expires, which ends nothing, and is left out."""
    quote = "'" if data.lstrip()[:1] == b"'" else '"'
    for row in _named(name, data, ("icao24", "registration"), quote):
        operator = row.get("operator") or row.get("owner") or ""
        yield _row(row["icao24"], row["registration"], row.get("typecode", ""), operator, since=_day(row.get("registered", "")))


def plane_alert(name: str, data: bytes) -> Rows:
    """CSV with a header whose names begin with $ and #. `CMPG` says civil, military, police or government."""
    roles = {"mil": "military", "gov": "state", "pol": "police", "civ": "civil"}
    for row in _named(name, data, ("ICAO", "Registration")):
        role = roles.get(row.get("CMPG", "").casefold(), "")
        yield _row(row["ICAO"], row["Registration"], row.get("ICAO Type", ""), row.get("Operator", ""), role, row.get("Type", ""))


def standing_data(name: str, data: bytes) -> Rows:
    """Virtual Radar Server's CSV (schema 1). A model that begins with a dash is a vehicle or a tower."""
    for row in _named(name, data, ("ICAO", "Registration", "ModelICAO")):
        if row["ModelICAO"].startswith("-"):
            yield None
            continue
        private = row.get("IsPrivateOperator") == "1"
        operator = "" if private else row.get("Operator", "")
        model = row.get("ManufacturerAndModel", "")
        yield _row(row["ICAO"], row["Registration"], row["ModelICAO"], operator, "private" if private else "", model)


def our_airports(name: str, data: bytes) -> Rows:
    """CSV with a header; kept as it is."""
    yield from _named(name, data, ("ident", "type", "latitude_deg"))


SOURCES = {
    source.name: source
    for source in (
        Source(
            "tar1090-db",
            "aircraft",
            "https://raw.githubusercontent.com/wiedehopf/tar1090-db/csv/aircraft.csv.gz",
            "none stated",
            "tar1090-db (wiedehopf, after Mictronics)",
            republish=False,
            confidence=0.97,  # 1,781 of 1,834 Russian rows agree with the register's rule
            read=tar1090,
        ),
        Source(
            "mictronics",
            "aircraft",
            None,
            "as its site states: look there before passing it on",
            "Mictronics aircraft database",
            republish=False,
            confidence=0.9,
            read=mictronics,
        ),
        Source(
            "opensky",
            "aircraft",
            "https://s3.opensky-network.org/data-samples/metadata/aircraft-database-complete-2025-08.csv",
            "OpenSky's terms: research and other non-commercial use",
            "The OpenSky Network, https://opensky-network.org",
            republish=False,
            confidence=0.9,
            read=opensky,
        ),
        Source(
            "plane-alert-db",
            "aircraft",
            "https://raw.githubusercontent.com/sdr-enthusiasts/plane-alert-db/main/plane-alert-db.csv",
            "ODbL 1.0 (attribution, share-alike)",
            "plane-alert-db and its contributors (ODbL 1.0)",
            republish=True,
            confidence=0.98,  # 306 of 308 Russian and North Korean rows agree with the registers' rules; people type it
            read=plane_alert,
        ),
        Source(
            "vrs-standing-data",
            "aircraft",
            None,  # several hundred small files
            "none stated",
            "Virtual Radar Server standing data and its users",
            republish=False,
            confidence=0.9,
            read=standing_data,
        ),
        Source(
            "ourairports",
            "airports",
            "https://davidmegginson.github.io/ourairports-data/airports.csv",
            "public domain",
            "OurAirports",
            republish=True,
            confidence=0.9,
            read=our_airports,
        ),
    )
}


def _row(
    icao24: str, registration: str, typecode: str, operator: str = "", role: str = "", note: str = "", since: date | None = None
) -> Mapping[str, Any] | None:
    number = number_of(icao24.strip())
    if number is None:
        return None
    code = typecode.strip().upper()
    return {
        "address": number,
        "registration": registration.strip().upper() or None,
        "typecode": code if re.fullmatch(r"[A-Z0-9]{2,4}", code) else None,
        "operator": operator.strip() or None,
        "role": role or None,
        "note": note.strip() or None,
        "valid_from": since,
        "valid_until": None,
    }


def _named(name: str, data: bytes, needed: Iterable[str], quote: str = '"') -> Iterator[dict[str, str]]:
    """Rows by the names of their columns, without the signs that plane-alert-db puts before these; short rows are
    filled up."""
    reader = csv.reader(_text(data), quotechar=quote)
    header = [column.strip().lstrip("$#") for column in next(reader, [])]
    missing = [column for column in needed if column not in header]
    if missing:
        raise InputError(f"{name} lacks the column {missing[0]} in its first line: is it a file of this source?")
    for values in reader:
        if values:
            yield dict(zip(header, [*values, *[""] * (len(header) - len(values))], strict=False))


def _text(data: bytes) -> io.StringIO:
    return io.StringIO(data.decode("utf-8-sig", errors="replace").replace("\0", ""), newline="")


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        return None
