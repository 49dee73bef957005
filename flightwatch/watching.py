"""Following aircraft without writing YAML: the list entry and the rule, or a list made of a database of others, in files
that a person can go on editing."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

from flightwatch.aircraft import Registry, read_watchlist, registration_of
from flightwatch.aircraft.formats import SOURCES
from flightwatch.aircraft.watchlists import ATTRIBUTION, COLUMNS
from flightwatch.config import NAME, Settings
from flightwatch.documents import nearest
from flightwatch.errors import InputError
from flightwatch.places import Airports, country_code, country_name, country_names
from flightwatch.store import files

LIST = "my-aircraft"
HEADER = "registration,icao24,typecode,operator,note,source,source_date\n"


def add(
    aircraft: str, to: str | None, settings: Settings, base: Path, airports: Airports, registry: Registry | None = None
) -> list[str]:
    """Writes what is missing below `base`, and says what it wrote, and what the configuration lacks for it to be read.
    Raises InputError where the aircraft or the place is not clear."""
    registration, icao24 = _identify(aircraft, registry or Registry())
    condition, words = _destination(to, airports)
    told = [_add_to_list(registration, icao24, base / "watchlists" / f"{LIST}.csv")]
    rule_id = re.sub(r"[^a-z0-9]+", "-", f"watch-{aircraft}{f'-to-{to}' if to else ''}".lower()).strip("-")
    path = base / "rules" / f"{rule_id}.yaml"
    if path.exists():
        told.append(f"{path} is there already: nothing changed")
    else:
        files.write_bytes(path, _rule(rule_id, aircraft, icao24, condition, words).encode())
        told.append(f"Wrote {path}: tells of {aircraft} going to {words}.")
    told += _missing(settings, base)
    return told


def import_list(file: Path, name: str, settings: Settings, base: Path, *, replace: bool) -> list[str]:
    """Makes the list `name` below `base` of a file of plane-alert-db, whose licence asks for attribution and for the
    same licence; says what it wrote. Raises InputError."""
    if not re.fullmatch(NAME, name):
        raise InputError(f"`{name}` cannot be the name of a list: use small letters, digits and dashes")
    path = base / "watchlists" / f"{name}.csv"
    if path.exists() and not replace:
        raise InputError(f"{path} is there already: give another --name, or --replace")
    source = SOURCES["plane-alert-db"]
    try:
        found = list(source.read(file.name, file.read_bytes()))
    except (OSError, csv.Error) as error:
        raise InputError(f"{file} cannot be read ({error})") from None
    text = io.StringIO(f"{ATTRIBUTION}{source.attribution}\n", newline="")
    text.seek(0, io.SEEK_END)
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore", restval="")
    writer.writeheader()
    usable = [row for row in found if row is not None]
    for row in usable:
        writer.writerow({**row, "icao24": f"{row['address']:06x}", "source": source.name})
    files.write_bytes(path, text.getvalue().encode())
    read_watchlist(path)
    told = [f"Wrote {len(usable)} aircraft to {path}; {len(found) - len(usable)} lines refused. Data: {source.attribution}."]
    return told + _missing(settings, base)


def _identify(aircraft: str, registry: Registry) -> tuple[str, str]:
    """Registration and address; one of them is enough where a list, a database or a register's arithmetic gives the
    other, and no two of them give different ones."""
    text = aircraft.strip()
    if re.fullmatch(r"~?[0-9a-fA-F]{6}", text):
        return registration_of(text.lower()) or "", text.lower()
    found = dict.fromkeys(icao24 for icao24, _ in registry.holders(text))
    if not found:
        raise InputError(
            f"the address of `{text}` does not follow from it, and no list or database that is kept has it:"
            " if it is a registration, give its address (6 hex digits) instead"
        )
    if len(found) > 1:
        raise InputError(
            f"{text} stands for {', '.join(found)}: give one of these addresses (`flightwatch whois {text}` says why)"
        )
    icao24 = next(iter(found))
    by_rule = registration_of(icao24) or ""
    return (by_rule if by_rule.replace("-", "") == text.upper() else text.upper()), icao24


def _destination(to: str | None, airports: Airports) -> tuple[str, str]:
    """The condition on the destination, and the words for it."""
    if to is None:
        return "", "any place"
    if (country := country_code(to)) is not None:
        return f"destination: {{country: {country}, probability: 0.6}}", country_name(country)
    code = to.strip().upper()
    idents = airports.meant_by(code) if airports.readings(code) else airports.named(to)
    found = [airport for airport in map(airports.get, idents) if airport is not None]
    if not found:
        raise InputError(
            f"{to} is neither a country (KP, North Korea) nor an airport or town (ZKPY, FNJ, Pyongyang)"
            f"{nearest(code, [*country_names(), *airports.ident])}"
        )
    if len(found) == 1:
        return f"destination: {{airport: {idents[0]}, probability: 0.6}}", f"{found[0].name} ({idents[0]})"
    listed = ", ".join(idents)
    return f"destination: {{airport: [{listed}], probability: 0.6}}", f"{found[0].municipality} ({listed})"


def _rule(rule_id: str, aircraft: str, icao24: str, condition: str, words: str) -> str:
    conditions = f'      - aircraft: {{icao24: "{icao24}"}}\n' + (f"      - {condition}\n" if condition else "")
    return (
        f"# Written by `flightwatch watch`; go on editing it. `flightwatch check` tells what is wrong with it.\n"
        f"- id: {rule_id}\n  title: {_quoted(f'{aircraft} to {words}')}\n  severity: high\n  subject: journey\n"
        f"  when:\n    all:\n{conditions}  notify: [all]\n"
    )


def _quoted(text: str) -> str:
    """A text as YAML takes it whatever stands in it: JSON's double quotes are YAML's."""
    return json.dumps(text, ensure_ascii=False)


def _add_to_list(registration: str, icao24: str, path: Path) -> str:
    """The entry, once; so that the feeds are asked for this aircraft and the digest shows its movements."""
    text = path.read_text(encoding="utf-8") if path.exists() else HEADER
    if f",{icao24}," in text:
        return f"{path} has {registration or icao24} already"
    files.write_bytes(path, (text.rstrip("\n") + f"\n{registration},{icao24},,,,,\n").encode())
    return f"Wrote {registration or icao24} ({icao24}) to {path}."


def _missing(settings: Settings, base: Path) -> list[str]:
    """What the configuration lacks for these files to be read."""
    told = []
    for kind, entries in (("rules", settings.rules), ("watchlists", settings.watchlists)):
        if not any((base / e).resolve() == (base / kind).resolve() for e in entries if e != "shipped"):
            told.append(f"Add `{kind}: [shipped, {kind}]` to the configuration, so that {kind}/ is read.")
    return told
