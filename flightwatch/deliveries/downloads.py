"""The track of an evidence page for other programs: CSV, GeoJSON (RFC 7946) and KML 2.2 with Google's tracks.

In: the record of a page, which holds no position that may not be passed on. Out: texts. Heights are ft in CSV, as they were sent,
and metres in the others, as these formats want them; both are barometric. What is inferred stands apart and says so.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from flightwatch.deliveries.evidence import Evidence
from flightwatch.deliveries.plain import clean
from flightwatch.places.great_circle import between
from flightwatch.records import FORMULA_STARTS

FT = 0.3048
"""Metres."""

STEPS = 12
COLUMNS = (
    "timestamp", "icao24", "callsign", "latitude", "longitude", "altitude_ft", "groundspeed_kt", "track_deg", "onground",
    "source", "feed",
)  # fmt: skip


def csv_text(evidence: Evidence) -> str:
    """One row a position. Cells that a spreadsheet would take for a formula begin with an apostrophe."""
    way, out = evidence.way, io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for i in range(len(way)):
        numbers = [_number(values[i]) for values in (way.altitude, way.groundspeed, way.course)]
        texts = [_cell(text[i]) for text in (way.source, way.feed)]
        place = (f"{way.latitude[i]:.5f}", f"{way.longitude[i]:.5f}")
        writer.writerow(
            [_iso(way.seconds[i]), way.aircraft[i], _cell(way.callsign[i]), *place, *numbers, int(way.onground[i]), *texts]
        )
    return out.getvalue()


def geojson_text(evidence: Evidence) -> str:
    """A line for each stretch that was seen, one for each inferred way, a point for each candidate."""
    features = [*_seen_features(evidence)]
    for line in evidence.dashed:
        lat, lon = between(*line, STEPS)
        path = [[round(b, 4), round(a, 4)] for a, b in zip(lat.tolist(), lon.tolist(), strict=True)]
        features.append(_feature({"type": "LineString", "coordinates": path}, {"basis": "inferred"}))
    for spot in evidence.spots:
        if spot.probability is not None:
            point = {"type": "Point", "coordinates": [spot.longitude, spot.latitude]}
            features.append(_feature(point, {"basis": "inferred", "name": clean(spot.name), "probability": spot.probability}))
    about = {"alert": evidence.alert_id, "headline": clean(evidence.headline), "data": [*map(clean, evidence.sources)]}
    return json.dumps({"type": "FeatureCollection", **about, "features": features}, ensure_ascii=False, separators=(",", ":"))


def _seen_features(evidence: Evidence) -> Iterator[dict[str, Any]]:
    way = evidence.way
    for piece in way.pieces():
        places = [_place(evidence, i) for i in range(piece.start, piece.stop)]
        times = [_iso(second) for second in way.seconds[piece]]
        kind = {"type": "LineString", "coordinates": places} if len(places) > 1 else {"type": "Point", "coordinates": places[0]}
        yield _feature(kind, {"basis": "observed", "icao24": way.aircraft[piece.start], "times": times})


def _place(evidence: Evidence, i: int) -> list[float]:
    way = evidence.way
    flat = [round(float(way.longitude[i]), 5), round(float(way.latitude[i]), 5)]
    return flat if np.isnan(way.altitude[i]) else [*flat, round(float(way.altitude[i]) * FT)]


def _feature(geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def kml_text(evidence: Evidence) -> str:
    """A track with its times for each stretch that was seen, a line for each inferred way, a mark for each candidate."""
    marks = [*_kml_tracks(evidence)]
    for line in evidence.dashed:
        lat, lon = between(*line, STEPS)
        path = " ".join(f"{b:.4f},{a:.4f}" for a, b in zip(lat.tolist(), lon.tolist(), strict=True))
        marks.append(
            "<Placemark><name>inferred, not seen</name><styleUrl>#i</styleUrl>"
            f"<LineString><tessellate>1</tessellate><coordinates>{path}</coordinates></LineString></Placemark>"
        )
    for spot in evidence.spots:
        if spot.probability is not None:
            marks.append(
                f"<Placemark><name>{_xml(spot.name)}: inferred {spot.probability:.2f}</name>"
                f"<Point><coordinates>{spot.longitude:.5f},{spot.latitude:.5f}</coordinates></Point></Placemark>"
            )
    about = f"{evidence.qualifier}. {'Data: ' + '; '.join(evidence.sources) + '.' if evidence.sources else ''}"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2"><Document>'
        f"<name>{_xml(evidence.headline)}</name><description>{_xml(about)}</description>"
        '<Style id="s"><LineStyle><color>ff1e26b3</color><width>3</width></LineStyle></Style>'
        '<Style id="i"><LineStyle><color>801e26b3</color><width>2</width></LineStyle></Style>'
        f"{''.join(marks)}</Document></kml>\n"
    )


def _kml_tracks(evidence: Evidence) -> Iterator[str]:
    way = evidence.way
    for piece in way.pieces():
        times = "".join(f"<when>{_iso(second)}</when>" for second in way.seconds[piece])
        triples = [[*_place(evidence, i), 0][:3] for i in range(piece.start, piece.stop)]
        places = "".join(f"<gx:coord>{longitude} {latitude} {height}</gx:coord>" for longitude, latitude, height in triples)
        known = not np.isnan(way.altitude[piece]).any()
        mode = "<altitudeMode>absolute</altitudeMode>" if known else "<altitudeMode>clampToGround</altitudeMode>"
        name = _xml(f"{way.aircraft[piece.start]}, observed")
        yield f"<Placemark><name>{name}</name><styleUrl>#s</styleUrl><gx:Track>{mode}{times}{places}</gx:Track></Placemark>"


def _iso(second: int) -> str:
    return f"{datetime.fromtimestamp(int(second), UTC):%Y-%m-%dT%H:%M:%SZ}"


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.0f}"


def _cell(text: str) -> str:
    plain = clean(text)
    return f"'{plain}" if plain.startswith(FORMULA_STARTS) else plain


def _xml(text: str) -> str:
    return escape(clean(text))
