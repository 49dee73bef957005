"""Evidence pages and their index: one file each, which needs nothing from anywhere.

In: `Evidence`, or the rows of an index. Out: HTML (jinja2, everything escaped). A page holds its pictures as SVG, its data as
JSON that no script runs, and one small script of its own; what may be loaded or run is bounded by a content security policy
with the digests of that script and the style sheet. Without the script everything but zooming and searching is there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from flightwatch.deliveries import downloads, drawings
from flightwatch.deliveries.drawings import MapDrawing
from flightwatch.deliveries.evidence import Evidence, IndexRow
from flightwatch.deliveries.plain import clean
from flightwatch.places import country_name

LARGEST = 400_000
"""Bytes of a page: what a mail takes, and a phone opens at once."""

CHANGED = "flightwatch-changed"
"""The name under which a page says as of when it is."""


def page(evidence: Evidence) -> str:
    """The page of an alert."""
    drawn = drawings.map_of(evidence)
    values = {
        "e": evidence,
        "map": drawn,
        "profiles": [drawings.profile_of(profile, evidence.way) for profile in evidence.profiles],
        "timeline": drawings.timeline_of(evidence.steps),
        "baseline": drawings.baseline_of(evidence),
        "rates": drawings.rates_of(evidence),
        "downloads": _downloads(evidence),
        "data": _data(evidence, drawn),
        "d": drawings,
    }
    return _rendered("evidence", values)


def index(rows: Sequence[IndexRow], notes: Iterable[str] = ()) -> str:
    """The index over all alerts, the newest first."""
    newest = sorted(rows, key=lambda row: (row.updated, row.alert_id), reverse=True)
    choices = {
        "stage": sorted({row.stage for row in rows}),
        "severity": [s for s in ("high", "medium", "low") if s in {row.severity for row in rows}],
        "rule": sorted({rule for row in rows for rule in row.rules}),
    }
    return _rendered("index", {"rows": newest, "choices": choices, "notes": tuple(notes)})


def _rendered(name: str, values: dict[str, Any]) -> str:
    style, script = _file("evidence.css"), _file(f"{name}.js")
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}"
    policy += "; base-uri 'none'; form-action 'none'"
    given = {"policy": Markup(policy), "style": Markup(style), "script": Markup(script), "changed_name": CHANGED}
    return _template(f"{name}.html.j2").render(values | given)


@cache
def _template(name: str) -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"clean": clean, "country": country_name, "words": _words}
    return environment.from_string(_file(name))


def _words(name: str) -> str:
    return name.replace("_", " ")


@cache
def _file(name: str) -> str:
    return (resources.files("flightwatch.deliveries") / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How a content security policy names what may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data(evidence: Evidence, drawn: MapDrawing | None) -> Markup:
    """The positions for the script, as JSON in which no tag can end or begin."""
    way = evidence.way
    found = {
        "t": way.seconds.tolist(),
        "lat": [round(v, 4) for v in way.latitude.tolist()],
        "lon": [round(v, 4) for v in way.longitude.tolist()],
        "ft": [None if math.isnan(v) else round(v) for v in way.altitude.tolist()],
        "kt": [None if math.isnan(v) else round(v) for v in way.groundspeed.tolist()],
        "x": [round(v, 2) for v in drawn.x.tolist()] if drawn else [],
        "y": [round(v, 2) for v in drawn.y.tolist()] if drawn else [],
        "unit": drawn.units_per_nm if drawn else 1,
    }
    return Markup(json.dumps(found, separators=(",", ":")).replace("<", "\\u003c"))


def _downloads(evidence: Evidence) -> list[tuple[str, str, str]]:
    """What the track can be had as: the name of the format, that of the file, the address that holds it. Nothing where no
    position may be passed on."""
    if not len(evidence.way):
        return []
    made = [
        ("KML", "kml", "application/vnd.google-earth.kml+xml", downloads.kml_text(evidence)),
        ("GeoJSON", "geojson", "application/geo+json", downloads.geojson_text(evidence)),
        ("CSV", "csv", "text/csv;charset=utf-8", downloads.csv_text(evidence)),
    ]
    return [
        (name, f"{clean(evidence.alert_id).replace('/', '_')}.{suffix}", _data_url(kind, text))
        for name, suffix, kind, text in made
    ]


def _data_url(kind: str, text: str) -> str:
    """Whichever of the two ways to write it is shorter."""
    data = text.encode()
    plain, encoded = quote(data, safe=",:;/?@&=+$!*()~{}[]'"), base64.b64encode(data).decode()
    return f"data:{kind},{plain}" if len(plain) <= len(encoded) + 7 else f"data:{kind};base64,{encoded}"
