"""A small file in each format, for one flight of RA-86559 on 1 March 2024: what the tests of formats and of hostile input
share. Values are made up."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import Any

from tests.conftest import T0

CLOCK = int(T0.timestamp())
DETAIL = {"type": "adsb_icao", "flight": "RFF7237 ", "squawk": "2054", "emergency": "none", "category": "A5", "nic": 8, "sil": 2}


def trace(address: str = "15521f", rows: list[Any] | None = None, **more: Any) -> bytes:
    """A day trace with 14 columns, as it stands before it is packed."""
    given: list[Any] = [
        [43200.5, 55.878, 38.061, "ground", 14.0, 71.2, 0, None, None, "adsb_icao", None, None, None, None],
        [43260.0, 55.884, 38.101, 1200, 171.9, 62.4, 2, 1664, DETAIL, "adsb_icao", 1425, 1728, None, 4.1],
        [43320.0, 55.911, 38.22, 5200, 262.0, 60.1, 0, 2560, None, "adsb_icao", 5450, 2560, None, 0.0],
        [50000.0, 57.44, 47.88, 33975, 452.0, 70.0, 9, 0, None, "mlat", None, 0, None, 0.1],
    ]
    top: dict[str, Any] = {"icao": address, "r": "RA-86559", "t": "IL62", "dbFlags": 1, "timestamp": CLOCK - 43200.0}
    return json.dumps(top | more | {"trace": given if rows is None else rows}).encode()


def tar(members: dict[str, bytes]) -> bytes:
    """An archive of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


def day_archive(addresses: list[str]) -> bytes:
    """A day of `globe_history` with a trace for each address, and a heat map that is nobody's."""
    packed = {f"./traces/{a[-2:]}/trace_full_{a}.json": gzip.compress(trace(a), mtime=0) for a in addresses}
    return tar({"./heatmap/00.bin.ttf": b"\x00" * 999, **packed})


LINES = [
    {
        "now": CLOCK,
        "alt_baro": "ground",
        "gscp": 19,
        "lat": 55.878,
        "lon": 38.061,
        "track": 71.2,
        "hex": "15521f",
        "flight": "N/A",
    },
    {
        "now": CLOCK + 6,
        "alt_baro": 1200,
        "gscp": 171,
        "lat": 55.884,
        "lon": 38.101,
        "track": 62,
        "hex": "15521f",
        "flight": "RFF7237",
    },
    {"flight": "N/A", "now": CLOCK + 7},
]

STATES_CSV = """\
time,icao24,lat,lon,velocity,heading,vertrate,callsign,onground,alert,spi,squawk,baroaltitude,geoaltitude,lastposupdate,lastcontact
{0},15521f,55.879,38.0512,92.6,61.2,12.03,RFF7237,False,False,False,0500,609.6,670.56,{1}.61,{1}.93
{2},15521f,,,,,,RFF7237,False,False,False,0500,,,{1}.2,{1}.9
{3},15521f,55.879,38.0512,92.6,61.2,12.03,RFF7237,False,False,False,0500,609.6,670.56,{1}.61,{1}.93
""".format(CLOCK, CLOCK - 1, CLOCK + 10, CLOCK + 900)

FLIGHT = {
    "icao24": "15521f",
    "firstSeen": CLOCK,
    "estDepartureAirport": "UUMU",
    "lastSeen": CLOCK + 28_000,
    "estArrivalAirport": None,
    "callsign": "RFF7237 ",
    "estDepartureAirportHorizDistance": 2114,
    "departureAirportCandidatesCount": 3,
}


def point(**more: Any) -> dict[str, Any]:
    """One point of a playback."""
    given: dict[str, Any] = {"timestamp": CLOCK, "latitude": 55.9, "longitude": 38.2, "altitude": {"feet": 5200, "meters": 1585}}
    given |= {"speed": {"kmh": 485.0, "kts": 262, "mph": 301.0}, "verticalSpeed": {"fpm": 2560, "ms": 13}, "heading": 60}
    return given | {"squawk": "2054", "ems": None} | more


def playback(*points: Any, modes: str | None = "15521F") -> bytes:
    flight = {
        "identification": {"id": "372355e5", "callsign": "RFF7237"},
        "aircraft": {"model": {"code": "IL62"}, "identification": {"modes": modes, "registration": "RA-86559"}},
        "track": list(points),
    }
    return json.dumps({"result": {"request": {}, "response": {"data": {"flight": flight}}}}).encode()


PLAYBACK_CSV = f"""\
Timestamp,UTC,Callsign,Position,Altitude,Speed,Direction\r
{CLOCK},2024-03-01T12:00:00Z,RFF7237,"55.881001,38.044102",0,12,62\r
{CLOCK + 60},2024-03-01T12:01:00Z,RFF7237,"55.911000,38.220100",5200,262,60\r
{CLOCK + 90},2024-03-01T12:01:30Z,RFF7237,"somewhere",5200,262,60\r
"""

KML = """\
<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>RFF7237</name>
<Placemark><TimeStamp><when>2024-03-01T12:00:00+00:00</when></TimeStamp><Point><coordinates>38.0441,55.881,0</coordinates></Point>
<description><![CDATA[<b>Altitude:</b> <span>0 ft</span><b>Speed:</b> <span>12 kt</span><b>Heading:</b> 62&deg;]]>
</description></Placemark>
<Placemark><TimeStamp><when>2024-03-01T12:01:00Z</when></TimeStamp><Point><coordinates>38.2201,55.911,1584.96</coordinates></Point></Placemark>
<Placemark><LineString><coordinates>38.0441,55.881,0 38.2201,55.911,1584</coordinates></LineString></Placemark>
</Document></kml>
"""

GX_KML = """\
<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2"><Placemark><gx:Track>
<when>2024-03-01T12:00:00Z</when><when>2024-03-01T12:01:00Z</when>
<gx:coord>38.0441 55.881 304.8</gx:coord><gx:coord>38.2201 55.911 1584.96</gx:coord></gx:Track></Placemark></kml>
"""

SBS = """\
MSG,1,1,1,15521F,1,2024/03/01,12:00:00.000,2024/03/01,12:00:00.040,RFF7237,,,,,,,,,,,0\r
MSG,4,1,1,15521F,1,2024/03/01,12:00:00.500,2024/03/01,12:00:00.540,,,450,203,,,-64,,,,,0\r
MSG,6,1,1,15521F,1,2024/03/01,12:00:00.900,2024/03/01,12:00:00.940,,,,,,,,2054,0,0,0,0\r
MSG,3,1,1,15521F,1,2024/03/01,12:00:01.000,2024/03/01,12:00:01.040,,33000,,,44.90872,131.22443,,,0,0,0,0\r
STA,,1,1,15521F,1,2024/03/01,12:05:00.000,2024/03/01,12:05:00.000,RM\r
MSG,2,1,1,780A51,1,2024/03/01,12:00:02.000,2024/03/01,12:00:02.040,,,8,92.8,40.07811,116.59000,,,,,,-1\r
MSG,3,1,1,15521F,1,2024/03/01,12:02:00.000,2024/03/01,12:02:00.040,,33000,,,44.95,131.3,,,0,0,0,0\r
MSG,3,1,1,15521F,1,2024/03/01,12:02:
"""

STATE = [
    "15521f",
    "RFF7237 ",
    "Russian Federation",
    CLOCK - 3,
    CLOCK - 1,
    131.2,
    44.9,
    10058.4,
    False,
    231.55,
    203.1,
    -0.33,
    None,
]
STATE += [10363.2, "2054", False, 0]

PATH = [[CLOCK, 55.8812, 38.0441, None, 62, True], [CLOCK + 620, 56.0931, 39.1127, 5486.4, 71, False]]

INSIDE = [
    {"time": CLOCK + 60 * i, "lat": 55.88 + i / 10, "lon": 38.04, "alt_baro": "ground" if i == 0 else 900 * i} for i in range(3)
]
DICTATOR_ALERT = (
    "icao,from,to,start,end,positions\n"
    + '15521F,UUMU,ZKPY,2024-03-01T12:00:00Z,2024-03-01T20:00:00Z,"{}"\n'.format(json.dumps(INSIDE).replace('"', '""'))
)

FR24_WHO = {"fr24_id": "322d530f", "hex": "15521F", "reg": "RA-86559", "type": "IL62", "flight": None, "dest_icao": None}
FR24_POINT = {"timestamp": "2024-03-01T12:01:00Z", "lat": 55.911, "lon": 38.2201, "alt": 5200, "gspeed": 262, "vspeed": 2560}
FR24_POINT |= {"track": 60, "squawk": "2054", "callsign": "RFF7237", "source": "ADSB"}


def summary(**more: Any) -> dict[str, Any]:
    """One flight of a summary: over, and landed somewhere that nobody saw."""
    ends: dict[str, Any] = {"orig_icao": "UUMU", "orig_iata": "CKL", "dest_icao": None, "dest_iata": None}
    ends |= {"dest_icao_actual": None, "dest_iata_actual": None, "datetime_landed": None, "flight_ended": True}
    ends |= {
        "datetime_takeoff": "2024-03-01T12:00:00Z",
        "first_seen": "2024-03-01T11:57:02Z",
        "last_seen": "2024-03-01T19:58:20Z",
    }
    return FR24_WHO | {"callsign": "RFF7237", "operating_as": "RFF", "category": "M"} | ends | more


SAMPLES: dict[str, bytes] = {
    "positions": b"timestamp,icao24,latitude,longitude,altitude\n" + b"2024-03-01T12:00:00Z,15521f,55.5,37.5,ground\n" * 5,
    "legs": b"date,registration,origin,destination\n" + b"2024-03-01,RA-86559,MOW,FNJ\n" * 5,
    "dictator-alert": DICTATOR_ALERT.encode(),
    "readsb-snapshot": json.dumps(
        {"now": CLOCK, "aircraft": [{"hex": "15521f", "lat": 55.5, "lon": 37.5, "seen_pos": 2.0, "alt_baro": "ground"}]}
    ).encode(),
    "readsb-trace": trace(),
    "readsb-lines": "\n".join(map(json.dumps, LINES)).encode(),
    "opensky-states": json.dumps({"time": CLOCK, "states": [STATE, STATE]}).encode(),
    "opensky-flights": json.dumps([FLIGHT]).encode(),
    "opensky-track": json.dumps(
        {"icao24": "15521f", "startTime": CLOCK, "endTime": CLOCK + 620, "calllsign": "RFF7237 ", "path": PATH}
    ).encode(),
    "fr24-positions": json.dumps({"data": [FR24_POINT | FR24_WHO]}).encode(),
    "fr24-tracks": json.dumps([{"fr24_id": "322d530f", "tracks": [FR24_POINT]}]).encode(),
    "fr24-summary": json.dumps({"data": [summary()]}).encode(),
    "fr24-playback": playback(point(), point(altitude={"feet": 0}, speed={"kts": 12})),
    "fr24-csv": PLAYBACK_CSV.encode(),
    "fr24-kml": KML.encode(),
    "sbs": SBS.encode(),
    "globe-history": day_archive(["15521f", "152c2a"]),
}
"""By the name of the format."""
