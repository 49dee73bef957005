"""Makes the tables of this package from public sources; run by hand when they are to be renewed:

    python -m flightwatch.places.tables --airports airports.csv --runways runways.csv --countries countries.csv \\
        --topology countries-50m.json

`airports.csv`, `runways.csv` and `countries.csv` are the files of ourairports.com/data (public domain), plain or
gzipped; the topology is that of the npm package world-atlas (Natural Earth, public domain). Time zones, cities with
several airports and the airports that OurAirports lacks come from the Python package `airportsdata` (MIT), which must
be installed for this.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flightwatch.places.great_circle import unit_vectors

DATA = Path(__file__).parent / "data"
SIZES = {"large_airport": "large", "medium_airport": "medium", "small_airport": "small", "seaplane_base": "seaplane"}
COLUMNS = [
    "ident", "name", "latitude", "longitude", "elevation_ft", "country", "municipality",
    "size", "scheduled", "icao", "iata", "local", "runway_ft", "timezone",
]  # fmt: skip


def airports(airports_csv: Path, runways_csv: Path) -> pd.DataFrame:
    """Airports in use with their longest runway; no heliports, whose pads stand beside everything and take no
    aeroplane."""
    raw = pd.read_csv(airports_csv, keep_default_na=False, dtype=str)
    raw = raw[raw["type"].isin(SIZES)]
    runways = pd.read_csv(runways_csv)
    longest = runways[runways.closed == 0].groupby("airport_ident").length_ft.max()
    return pd.DataFrame(
        {
            "ident": raw.ident,
            "name": raw.name.str.strip(),
            "latitude": pd.to_numeric(raw.latitude_deg).round(5),
            "longitude": pd.to_numeric(raw.longitude_deg).round(5),
            "elevation_ft": pd.to_numeric(raw.elevation_ft, errors="coerce"),
            "country": raw.iso_country,
            "municipality": raw.municipality.str.strip(),
            "size": raw["type"].map(SIZES),
            "scheduled": (raw.scheduled_service == "yes").astype(int),
            "icao": raw.gps_code,
            "iata": raw.iata_code,
            "local": raw.local_code,
            "runway_ft": raw.ident.map(longest),
        }
    )


def with_current_idents(table: pd.DataFrame, listed: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Where an airport has got an ICAO code since the table was made, its ident is that code (US-0571 became
    KXWA)."""
    renamed = table.icao.isin(listed) & ~table.ident.isin(listed) & (table.icao != table.ident)
    renamed &= ~table.icao.duplicated(keep=False) & ~table.icao.isin(table.ident)
    return table.assign(ident=table.icao.where(renamed, table.ident))


def newcomers(known: pd.DataFrame, listed: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Airports with a three-letter code that the older table does not have under any code."""
    codes = set(known.ident) | set(known.icao) | set(known.iata) - {""}
    new = [a for icao, a in listed.items() if a["iata"] and icao not in codes and a["iata"] not in codes]
    return pd.DataFrame(
        {
            "ident": [a["icao"] for a in new],
            "name": [a["name"] for a in new],
            "latitude": [round(a["lat"], 5) for a in new],
            "longitude": [round(a["lon"], 5) for a in new],
            "elevation_ft": [a["elevation"] for a in new],
            "country": [a["country"] for a in new],
            "municipality": [a["city"] for a in new],
            "size": "medium",
            "scheduled": 1,
            "icao": [a["icao"] for a in new],
            "iata": [a["iata"] for a in new],
            "local": [a["lid"] for a in new],
            "runway_ft": np.nan,
        }
    )


def cities(macs_csv: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Codes of cities with several airports (MOW): they tell a country and roughly a place, and are never a leg's end
    by themselves."""
    with macs_csv.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_iata = table[table.iata != ""].drop_duplicates("iata").set_index("iata")
    members: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        members.setdefault(row["City Code"], []).append(row)
    out = []
    for code, group in members.items():
        own = by_iata.reindex([g["Airport Code"] for g in group]).dropna(subset=["latitude"])
        if code not in by_iata.index and len(own):
            place = {"latitude": round(own.latitude.mean(), 3), "longitude": round(own.longitude.mean(), 3)}
            city = {"ident": code, "name": f"{group[0]['City Name']} (any airport)", "municipality": group[0]["City Name"]}
            out.append({**city, **place, "country": group[0]["Country"], "size": "city", "iata": code, "scheduled": 0})
    return pd.DataFrame(out)


def with_timezones(table: pd.DataFrame, listed: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The time zone by code, else that of the nearest airport in the same country, else of the nearest of all."""
    zone = table.ident.map({k: a["tz"] for k, a in listed.items()})
    vectors = unit_vectors(table.latitude, table.longitude)
    countries = table.country.to_numpy()
    known = np.flatnonzero(zone.notna())
    values = zone.to_numpy(dtype=object, copy=True)
    for i in np.flatnonzero(zone.isna()):
        own = known[countries[known] == countries[i]]
        pool = own if len(own) else known
        values[i] = values[pool[np.argmax(vectors[pool] @ vectors[i])]]
    return table.assign(timezone=values)


def outlines(topology_json: Path, decimals: int = 2) -> dict[str, Any]:
    """Coasts and borders as `lines` of [longitude, latitude], each once (TopoJSON arcs are shared by neighbours), and
    `land` as rings of line numbers.

    A negative number n stands for line ~n backwards, as in TopoJSON.
    """
    topology = json.loads(topology_json.read_text())
    scale, shift = np.array(topology["transform"]["scale"]), np.array(topology["transform"]["translate"])
    lines = [np.round(np.cumsum(arc, axis=0) * scale + shift, decimals).tolist() for arc in topology["arcs"]]
    polygons = [ring for part in topology["objects"]["land"]["geometries"] for polygon in part["arcs"] for ring in polygon]
    return {"lines": lines, "land": polygons}


def write_gzip(path: Path, data: bytes) -> None:
    """Gzip without a time stamp, so that the same input makes the same file."""
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("airports", "runways", "countries", "topology"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    paths = parser.parse_args()
    airportsdata = import_module("airportsdata")
    listed = airportsdata.load("ICAO")
    macs = Path(str(resources.files("airportsdata") / "iata_macs.csv"))
    table = with_current_idents(airports(paths.airports, paths.runways), listed)
    table = pd.concat([table, newcomers(table, listed)], ignore_index=True)
    table = pd.concat([table, cities(macs, table)], ignore_index=True)
    table = with_timezones(table, listed)[COLUMNS].sort_values("ident")
    for column in ("elevation_ft", "runway_ft"):
        table[column] = table[column].round().astype("Int64")
    DATA.mkdir(exist_ok=True)
    write_gzip(DATA / "airports.csv.gz", table.to_csv(index=False).encode())
    names = pd.read_csv(paths.countries, keep_default_na=False)[["code", "name"]].sort_values("code")
    names.to_csv(DATA / "countries.csv", index=False)
    write_gzip(DATA / "outlines.json.gz", json.dumps(outlines(paths.topology), separators=(",", ":")).encode())


if __name__ == "__main__":
    main()
