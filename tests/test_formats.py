"""The formats that people's files are in: each is seen by its content, gives what it says, and fails with one line."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flightwatch import cli
from flightwatch.aircraft import Registry, address_of
from flightwatch.backfill import derive
from flightwatch.errors import ConfigError, InputError
from flightwatch.feeds import contents, files
from flightwatch.feeds.columnmaps import read_map
from flightwatch.feeds.contents import held
from flightwatch.imports import import_file
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports
from flightwatch.records import Leg, legs_from_table
from flightwatch.store import Store
from tests.conftest import T0, real
from tests.hostile import mutated
from tests.samples import (
    CLOCK,
    DETAIL,
    FLIGHT,
    FR24_POINT,
    FR24_WHO,
    GX_KML,
    INSIDE,
    KML,
    SAMPLES,
    STATES_CSV,
    playback,
    point,
    summary,
    trace,
)

NEEDS_AN_AIRCRAFT = ("fr24-tracks", "fr24-csv", "fr24-kml")


def brought(store: Store, folder: Path, content: bytes | str, name: str = "file", **how: Any) -> list[dict[str, Any]]:
    """The stored rows of a file with this content, by time, and nothing that is null."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    import_file(store, path, **how)
    rows = store.snapshots.positions().sort_by("timestamp").to_pylist()
    return [{k: v for k, v in row.items() if v is not None and k not in ("received", "feed")} for row in rows]


def refused(store: Store, folder: Path, content: bytes | str, **how: Any) -> dict[str, int]:
    path = folder / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return dict(import_file(store, path, **how).refused)


@pytest.mark.parametrize("name", list(SAMPLES))
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_is_seen_by_its_content(name: str, packed: bool, tmp_path: Path, store: Store) -> None:
    """Packed or not, whatever the file is called."""
    path = tmp_path / "whatever.txt"
    path.write_bytes(gzip.compress(SAMPLES[name]) if packed else SAMPLES[name])
    registration = "RA-86559" if name in NEEDS_AN_AIRCRAFT else None
    done = import_file(store, path, registration=registration)
    assert (done.format, done.rows > 0) == (name, True)
    assert not import_file(store, path, registration=registration).new


def test_the_formats_that_help_names_are_those_that_there_are() -> None:
    assert cli.IMPORT_FORMATS == files.NAMES
    assert set(cli.LEG_FORMATS) == {f.name for f in files.FORMATS if f.legs is not None}
    assert set(SAMPLES) == set(files.NAMES)


@pytest.mark.parametrize("name", [n for n in SAMPLES if n != "globe-history"])
def test_a_large_file_is_read_as_a_small_one_is(name: str, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files over a size are streamed and not held: the same rows come out, and it is the same import."""
    path = tmp_path / "file"
    path.write_bytes(SAMPLES[name])
    small = import_file(store, path, registration="RA-86559")
    monkeypatch.setattr(contents, "HELD", 0)
    assert not import_file(store, path, registration="RA-86559").new
    with Store(tmp_path / "other") as other:
        large = import_file(other, path, registration="RA-86559")
    assert (large.format, large.rows, large.refused) == (small.format, small.rows, small.refused)


# ------------------------------------------------------------------------------------------------------------------- traces


def test_a_trace_says_when_where_and_who(tmp_path: Path, store: Store) -> None:
    ground, climbing, _, cruise = brought(store, tmp_path, trace())
    assert ground["timestamp"] == T0 + timedelta(seconds=0.5)
    assert (ground["onground"], "altitude" in ground) == (True, False)
    assert (climbing["registration"], climbing["typecode"], climbing["military"]) == ("RA-86559", "IL62", True)
    assert (climbing["altitude"], climbing["geoaltitude"], climbing["vertical_rate"]) == (1200, 1425, 1664)
    assert (cruise["timestamp"], cruise["source"]) == (T0 + timedelta(seconds=6800), "mlat")


def test_details_hold_until_they_change_and_end_with_the_leg(tmp_path: Path, store: Store) -> None:
    rows = [
        [0, 55.0, 38.0, 1000, None, None, 0, None, DETAIL | {"emergency": "nordo"}],
        [60, 55.1, 38.0, 2000, None, None, 0, None, None],
        [120, 55.2, 38.0, 3000, None, None, 0, None, {"squawk": "7600"}],
        [36000, 55.3, 38.0, 3000, None, None, 3, None, None],
    ]
    got = brought(store, tmp_path, trace(rows=rows))
    assert [r.get("callsign") for r in got] == ["RFF7237", "RFF7237", "RFF7237", None]
    assert [r.get("squawk") for r in got] == ["2054", "2054", "7600", None]
    assert [r.get("emergency") for r in got] == ["nordo", "nordo", None, None]
    assert [r.get("category") for r in got] == ["A5"] * 4


def test_a_row_after_a_gap_is_as_good_as_any_and_one_that_is_null_is_refused(tmp_path: Path, store: Store) -> None:
    rows = [[0, 55.0, 38.0, 1000, 1, 1, 1, 0, None], None, [60, None, None, 2000, 1, 1, 0, 0, None]]
    assert refused(store, tmp_path, trace(rows=rows)) == {"bad_entry": 1, "no_position": 1}
    assert store.snapshots.rows() == 1


def test_a_height_that_is_geometric_is_not_called_barometric(tmp_path: Path, store: Store) -> None:
    (row,) = brought(store, tmp_path, trace(rows=[[0, 55.0, 38.0, 33975, 450, 70, 8, 0, None]]))
    assert (row["geoaltitude"], "altitude" in row, row["onground"]) == (33975, False, False)


def test_a_trace_of_nobody_in_particular_keeps_its_mark(tmp_path: Path, store: Store) -> None:
    rows = brought(store, tmp_path, trace("~2a3b4c", r=None, dbFlags=None))
    assert {r["icao24"] for r in rows} == {"~2a3b4c"}
    assert not any("military" in r for r in rows)


@pytest.mark.parametrize("address", ["a3c78c", "a8758b", "aa178d", "ac671b"])
def test_every_row_of_a_real_trace_is_stored(address: str, store: Store) -> None:
    path = real(f"feeds/readsb_trace_full_{address}.json" + ("" if address == "ac671b" else ".gz"))
    data = path.read_bytes()
    rows = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)["trace"]
    done = import_file(store, path)
    assert (done.format, done.rows, dict(done.refused)) == ("readsb-trace", len(rows), {})


# --------------------------------------------------------------------------------------------------------------------- lines


def test_lines_of_a_logger(tmp_path: Path, store: Store) -> None:
    ground, climbing = brought(store, tmp_path, SAMPLES["readsb-lines"])
    assert (ground["timestamp"], ground["onground"], "callsign" in ground) == (T0, True, False)
    assert (climbing["callsign"], climbing["altitude"], climbing["groundspeed"]) == ("RFF7237", 1200, 171)


def test_lines_without_an_aircraft_and_torn_ones_are_counted(tmp_path: Path, store: Store) -> None:
    whole = SAMPLES["readsb-lines"]
    assert refused(store, tmp_path, whole + b'\n{"now": 17092') == {"no_aircraft": 1, "bad_line": 1}


def test_a_height_in_other_words_is_none(tmp_path: Path, store: Store) -> None:
    line = {"now": CLOCK, "alt_baro": "0", "lat": 55.8, "lon": 38.0, "hex": "15521f"}
    (row,) = brought(store, tmp_path, json.dumps(line) + "\n")
    assert not {"altitude", "onground"} & row.keys()


@pytest.mark.parametrize(
    ("name", "rows", "silent"), [("black_rock_1hr.jsonl", 4920, 847), ("monterey_20250601.jsonl.gz", 44120, 0)]
)
def test_every_real_line_is_stored_or_refused(name: str, rows: int, silent: int, store: Store) -> None:
    done = import_file(store, real(f"tracks/{name}"))
    assert (done.format, done.rows, done.refused.get("no_aircraft", 0)) == ("readsb-lines", rows, silent)


# ------------------------------------------------------------------------------------------------------------------- OpenSky


def written_states(folder: Path, kind: str) -> bytes:
    if kind == "csv":
        return STATES_CSV.encode()
    (folder / "in.csv").write_text(STATES_CSV)
    frame = pd.read_csv(folder / "in.csv", dtype={"squawk": str} if kind == "parquet" else {})
    frame.to_parquet(folder / "states.parquet")
    return (folder / "states.parquet").read_bytes()


@pytest.mark.parametrize("kind", ["csv", "parquet", "parquet with numbers for squawks"])
def test_weekly_samples_of_states(kind: str, tmp_path: Path, store: Store) -> None:
    """The time is that of the position, not that of the row; what is long past is refused, as it is live."""
    data = written_states(tmp_path, kind)
    (row,) = brought(store, tmp_path, data)
    assert row["timestamp"] == datetime(2024, 3, 1, 11, 59, 59, 610_000, tzinfo=UTC)
    assert row["altitude"] == pytest.approx(2000)
    assert row["groundspeed"] == pytest.approx(180)
    assert (row["callsign"], row["squawk"], row["onground"]) == ("RFF7237", "0500", False)
    path = tmp_path / "file"
    assert dict(import_file(store, path).refused) == {"old_position": 1, "no_position": 1}


def test_flights_become_legs_and_what_is_not_known_stays_so(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "flights.json"
    path.write_text(json.dumps([FLIGHT, FLIGHT | {"icao24": "152c2a", "estDepartureAirport": None, "estArrivalAirport": "ZKPY"}]))
    done = import_file(store, path)
    assert (done.format, done.rows) == ("opensky-flights", 2)
    found = {leg.icao24: leg for leg in legs_from_table(store.legs.table())}
    assert (found["15521f"].origin.airport, found["15521f"].destination.airport) == ("UUMU", None)
    assert (found["152c2a"].origin.airport, found["152c2a"].destination.airport) == (None, "ZKPY")
    assert (found["15521f"].callsign, found["15521f"].source, found["15521f"].destination.basis) == (
        "RFF7237",
        "listed",
        "unknown",
    )
    assert (found["15521f"].origin.time, found["15521f"].destination.time) == (T0, T0 + timedelta(seconds=28_000))


def test_a_track_has_its_latitude_first(tmp_path: Path, store: Store) -> None:
    ground, air = brought(store, tmp_path, SAMPLES["opensky-track"])
    assert (ground["latitude"], ground["longitude"], ground["onground"]) == (55.8812, 38.0441, True)
    assert (air["callsign"], air["onground"], air["timestamp"]) == ("RFF7237", False, T0 + timedelta(seconds=620))
    assert air["altitude"] == pytest.approx(18_000)


# ------------------------------------------------------------------------------------------------------- the Flightradar24 API


def listed(store: Store, folder: Path, content: bytes | str, **how: Any) -> list[Leg]:
    path = folder / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    import_file(store, path, **how)
    return legs_from_table(store.legs.table())


@pytest.mark.parametrize("envelope", [True, False])
def test_saved_positions_keep_what_they_are_estimated_or_not(envelope: bool, tmp_path: Path, store: Store) -> None:
    flights = [FR24_POINT | FR24_WHO, FR24_POINT | FR24_WHO | {"source": "ESTIMATED"}, FR24_POINT | {"fr24_id": "1", "hex": None}]
    content = json.dumps({"data": flights} if envelope else flights)
    first, second = brought(store, tmp_path, content)
    assert (first["icao24"], first["registration"], first["typecode"], first["callsign"]) == (
        "15521f",
        "RA-86559",
        "IL62",
        "RFF7237",
    )
    assert (first["altitude"], first["groundspeed"], first["vertical_rate"], first["squawk"]) == (5200, 262, 2560, "2054")
    assert {first["source"], second["source"]} == {"adsb", "estimated"}
    assert dict(import_file(store, tmp_path / "file").refused) == {"hidden_address": 1}


@pytest.mark.parametrize("envelope", [True, False])
def test_a_track_is_that_of_the_aircraft_that_is_named(envelope: bool, tmp_path: Path, store: Store) -> None:
    tracks = [
        {"fr24_id": "322d530f", "tracks": [FR24_POINT, FR24_POINT | {"timestamp": "2024-03-01T20:00:00Z", "lat": 43.1}, "x"]}
    ]
    (tmp_path / "file").write_text(json.dumps({"data": tracks} if envelope else tracks))
    with pytest.raises(InputError, match="--registration"):
        import_file(store, tmp_path / "file")
    done = import_file(store, tmp_path / "file", registration="ra86559")
    assert (done.format, done.rows, dict(done.refused)) == ("fr24-tracks", 2, {"bad_entry": 1})
    rows = store.snapshots.positions().to_pylist()
    assert {(r["icao24"], r["registration"], r["callsign"]) for r in rows} == {("15521f", "RA-86559", "RFF7237")}


def test_nothing_is_made_of_a_track_that_is_estimated(tmp_path: Path, store: Store, airports: Airports) -> None:
    points = [
        FR24_POINT | {"source": "ESTIMATED", "timestamp": f"2024-03-01T12:{m:02d}:00Z", "lat": 55 + m / 10} for m in range(9)
    ]
    (tmp_path / "file").write_text(json.dumps([{"fr24_id": "1", "tracks": points}]))
    assert import_file(store, tmp_path / "file", registration="RA-86559").rows == 9
    derive(store, Pipeline(airports, Registry(())))
    assert len(store.legs.table()) == 0


@pytest.mark.parametrize(
    ("more", "ends"),
    [
        ({}, ("UUMU", None)),
        ({"dest_icao": "ZKPY"}, ("UUMU", None)),  # it was going there, and nobody knows that it landed
        ({"dest_icao": "ZKPY", "datetime_landed": "2024-03-01T20:00:00Z"}, ("UUMU", "ZKPY")),
        ({"dest_icao": "ZKPY", "dest_icao_actual": "UHWW", "datetime_landed": "2024-03-01T20:00:00Z"}, ("UUMU", "UHWW")),
        ({"dest_iata": "FNJ", "dest_iata_actual": "VVO"}, ("UUMU", "UHWW")),
        ({"orig_icao": None, "orig_iata": "SVO"}, ("UUEE", None)),
        ({"orig_icao": None, "orig_iata": None}, (None, None)),
    ],
)
def test_a_summary_says_where_a_flight_went_and_not_where_it_was_going(
    more: dict[str, Any], ends: tuple[str | None, str | None], tmp_path: Path, store: Store
) -> None:
    (leg,) = listed(store, tmp_path, json.dumps({"data": [summary(**more)]}))
    assert (leg.origin.airport, leg.destination.airport) == ends
    assert (leg.icao24, leg.registration, leg.typecode, leg.callsign) == ("15521f", "RA-86559", "IL62", "RFF7237")
    assert leg.origin.time == T0
    assert (leg.destination.time is None) == ("datetime_landed" not in more)


def test_a_flight_of_a_summary_that_is_not_over_waits(tmp_path: Path, store: Store) -> None:
    unseen = summary(fr24_id="2", datetime_takeoff=None)
    nights = summary(fr24_id="3", datetime_takeoff=None, last_seen="2024-03-02T03:00:00Z")
    (leg,) = listed(store, tmp_path, json.dumps({"data": [summary(flight_ended=False), unseen, nights, 5]}))
    assert (leg.origin.earliest, leg.origin.latest) == (
        T0.replace(hour=0),
        T0.replace(hour=0) + timedelta(days=1, microseconds=-1),
    )
    assert dict(import_file(store, tmp_path / "file").refused) == {"bad_entry": 1, "not_ended": 1, "bad_time": 1}


@pytest.mark.parametrize("content", [b'{"data": []}', b'{\n "data": [\n ]\n}\n'])
def test_an_empty_reply_is_no_error(content: bytes, tmp_path: Path, store: Store) -> None:
    assert brought(store, tmp_path, content) == []
    assert listed(store, tmp_path, content, format="fr24-summary") == []


def test_what_comes_from_flightradar24_goes_when_its_terms_say(tmp_path: Path, store: Store, airports: Airports) -> None:
    """Thirty days after it came, however old it is; what was made of the positions stays, what a list covered goes with
    it."""
    points = [FR24_POINT | {"timestamp": f"2024-03-01T12:{m:02d}:00Z", "lat": 55.9 + m / 10} for m in range(9)]
    (tmp_path / "track.json").write_text(json.dumps([{"fr24_id": "1", "tracks": points}]))
    (tmp_path / "summary.json").write_bytes(SAMPLES["fr24-summary"])
    (tmp_path / "own.json").write_bytes(SAMPLES["readsb-trace"])
    for name in ("track", "summary", "own"):
        import_file(store, tmp_path / f"{name}.json", registration="RA-86559")
    terms = store.terms()["import-flightradar24"]
    assert (terms.retention_days, terms.republish, terms.attribution) == (30, False, "Flightradar24")
    derive(store, Pipeline(airports, Registry(()), fleeting=store.fleeting))
    now = datetime.now(UTC)
    assert store.keep_terms(now + timedelta(days=29)) == 0
    assert len(store.covered()) == 1
    assert store.keep_terms(now + timedelta(days=31)) == 2
    assert set(store.snapshots.positions()["feed"].to_pylist()) == {"import"}
    assert {leg.source for leg in legs_from_table(store.legs.table())} == {"tracked"}
    assert [leg.way for leg in legs_from_table(store.legs.table()) if "import-flightradar24" in leg.feeds] == [b""]
    assert store.covered() == []
    assert import_file(store, tmp_path / "summary.json", registration="RA-86559").new, "it may be got again"


def test_another_file_under_its_name_does_not_loosen_the_terms(tmp_path: Path, store: Store) -> None:
    brought(store, tmp_path, SAMPLES["fr24-positions"])
    brought(store, tmp_path, SAMPLES["readsb-trace"], feed="import-flightradar24")
    assert store.terms()["import-flightradar24"].retention_days == 30


def test_a_made_up_reply_stands_among_what_is_made_up(tmp_path: Path, store: Store) -> None:
    brought(store, tmp_path, SAMPLES["fr24-positions"], reconstructed=True)
    assert store.made_up() == {"reconstructed"}
    assert set(store.snapshots.positions()["feed"].to_pylist()) == {"reconstructed"}


# ------------------------------------------------------------------------------------------------------------- Dictator Alert


def exported(*positions: Any) -> str:
    """A row for each cell of positions."""
    cells = ['"' + json.dumps(p).replace('"', '""') + '"' if not isinstance(p, str) else p for p in positions]
    rows = [f"15521F,UUMU,ZKPY,2024-03-0{n}T12:00:00Z,2024-03-0{n}T20:00:00Z,{c}\n" for n, c in enumerate(cells, start=1)]
    return "icao,from,to,start,end,positions\n" + "".join(rows)


def test_flights_come_with_the_positions_inside_them(tmp_path: Path, store: Store) -> None:
    ground, climbing, _ = brought(store, tmp_path, SAMPLES["dictator-alert"])
    assert (ground["timestamp"], ground["icao24"], ground["onground"], "altitude" in ground) == (T0, "15521f", True, False)
    assert (climbing["latitude"], climbing["altitude"], climbing["onground"]) == (pytest.approx(55.98), 900, False)
    (leg,) = legs_from_table(store.legs.table())
    assert (leg.origin.airport, leg.destination.airport, leg.origin.time) == ("UUMU", "ZKPY", T0)


@pytest.mark.parametrize(
    "given",
    [
        [{"timestamp": "2024-03-01T12:00:00Z", "latitude": 55.9, "longitude": 38.2, "altitude": 1500}],
        [{"ts": CLOCK * 1000, "lat": "55.9", "lng": "38.2"}],
    ],
)
def test_a_height_whose_unit_nobody_knows_is_none(given: list[Any], tmp_path: Path, store: Store) -> None:
    (row,) = brought(store, tmp_path, exported(given))
    assert (row["timestamp"], row["latitude"], row["longitude"]) == (T0, 55.9, 38.2)
    assert not {"altitude", "onground"} & row.keys()


def test_positions_in_a_form_that_is_not_known_are_counted_and_the_flight_stays(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "file"
    path.write_text(exported([[55.9, 38.2], {"lat": 55.9}], {"type": "LineString"}, "", "[cut off", []))
    done = import_file(store, path)
    assert (done.format, done.rows, done.inside) == ("dictator-alert", 5, 0)
    assert dict(done.refused) == {"unknown_form_of_point": 2, "unknown_form_of_positions": 2}


def test_an_export_in_json_is_as_good(tmp_path: Path, store: Store) -> None:
    flight = {"registration": "RA86559", "from": "UUMU", "to": None, "start": CLOCK, "end": None, "positions": INSIDE}
    assert {row["icao24"] for row in brought(store, tmp_path, json.dumps([flight]))} == {"15521f"}
    (leg,) = legs_from_table(store.legs.table())
    assert (leg.registration, leg.origin.time, leg.destination.airport, leg.destination.time) == ("RA-86559", T0, None, None)


def test_a_list_that_counts_positions_is_a_flight_list(tmp_path: Path, store: Store) -> None:
    assert (
        import_file(store, _written(tmp_path, "icao,from,to,start,positions\n15521F,UUMU,ZKPY,2024-03-01,12\n")).format == "legs"
    )
    with pytest.raises(InputError, match="no column `positions`"):
        import_file(store, _written(tmp_path, "icao,from,to,start\n15521F,UUMU,ZKPY,2024-03-01\n"), format="dictator-alert")


def _written(folder: Path, text: str) -> Path:
    (folder / "file").write_text(text)
    return folder / "file"


# ----------------------------------------------------------------------------------------------------------------- playbacks


def test_a_playback_says_whose_flight_it_was(tmp_path: Path, store: Store) -> None:
    ground, air = brought(
        store, tmp_path, playback(point(timestamp=CLOCK - 60, altitude={"feet": 0}, speed={"kts": 12}), point())
    )
    assert (ground["onground"], "altitude" in ground) == (True, False)
    assert (air["icao24"], air["registration"], air["typecode"], air["callsign"]) == ("15521f", "RA-86559", "IL62", "RFF7237")
    assert (air["altitude"], air["groundspeed"], air["vertical_rate"], air["track"]) == (5200, 262, 2560, 60)
    assert air["onground"] is False


def test_a_height_of_nothing_at_speed_is_not_the_ground(tmp_path: Path, store: Store) -> None:
    (row,) = brought(store, tmp_path, playback(point(altitude={"feet": 0}, speed={"kts": 450})))
    assert not {"altitude", "onground"} & row.keys()


def test_a_real_playback(store: Store) -> None:
    done = import_file(store, real("feeds/fr24_playback.json"))
    assert (done.rows, dict(done.refused)) == (634, {})
    assert set(store.snapshots.positions()["icao24"].to_pylist()) == {"4baac6"}


@pytest.mark.parametrize("content", [SAMPLES["fr24-csv"], KML.encode(), GX_KML.encode()])
def test_playbacks_that_name_nobody_need_to_be_told(content: bytes, tmp_path: Path, store: Store) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    for registration in (None, "G-CIVO"):  # no address follows from a British one
        with pytest.raises(InputError, match="--registration") as told:
            import_file(store, path, registration=registration)
        assert "\n" not in str(told.value)
    assert store.snapshots.rows() == 0
    import_file(store, path, registration="15521F")
    rows = store.snapshots.positions().sort_by("timestamp").to_pylist()
    assert [(r["icao24"], r["latitude"], r["longitude"]) for r in rows][-1] == ("15521f", 55.911, 38.2201)
    assert rows[-1]["altitude"] == pytest.approx(5200)
    assert rows[0]["timestamp"] == T0


def test_a_registration_is_kept_with_the_address_that_follows_from_it(tmp_path: Path, store: Store) -> None:
    first, second = brought(store, tmp_path, SAMPLES["fr24-csv"], registration="RA-86559")
    assert (first["icao24"], first["registration"], first["onground"]) == ("15521f", "RA-86559", True)
    assert (second["altitude"], second["track"]) == (5200, 60)


def test_words_in_a_placemark_are_read(tmp_path: Path, store: Store) -> None:
    first, _ = brought(store, tmp_path, KML, registration="RA-86559")
    assert (first["onground"], first["groundspeed"], first["track"]) == (True, 12, 62)


BOMB = '<!DOCTYPE kml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><kml><Placemark>&b;</Placemark></kml>'


@pytest.mark.parametrize("content", [BOMB.encode(), BOMB.encode("utf-16"), KML[:-9].encode(), b"<kml><Placemark>"])
def test_kml_that_declares_things_or_is_cut_off_is_refused_in_a_line(content: bytes, tmp_path: Path, store: Store) -> None:
    path = tmp_path / "file.kml"
    path.write_bytes(content)
    with pytest.raises(InputError) as told:
        import_file(store, path, format="fr24-kml", registration="RA-86559")
    assert "\n" not in str(told.value)


# ------------------------------------------------------------------------------------------------------------------------ SBS


def test_positions_of_a_log_are_completed_with_what_was_heard_lately(tmp_path: Path, store: Store) -> None:
    whole, ground, later = brought(store, tmp_path, SAMPLES["sbs"])
    assert (whole["timestamp"], whole["callsign"], whole["squawk"]) == (T0 + timedelta(seconds=1), "RFF7237", "2054")
    assert (whole["groundspeed"], whole["track"], whole["vertical_rate"]) == (450, 203, -64)
    assert (ground["icao24"], ground["onground"], ground["groundspeed"]) == ("780a51", True, 8)
    assert "callsign" not in ground, "nobody else's"
    assert (later["callsign"], "groundspeed" in later) == ("RFF7237", False), "two minutes later the speed is another one"


def test_torn_lines_of_a_log_are_counted_and_others_are_not(tmp_path: Path, store: Store) -> None:
    assert refused(store, tmp_path, SAMPLES["sbs"]) == {"bad_line": 1}


# ------------------------------------------------------------------------------------------------------------- any other CSV

FOREIGN = "When,Hex,Lat,Lon,Height,Speed,Climb\n01,x,,,,,\n{},15521F,55.9,38.2,1584.96,485.224,13.0048\n"
MAP = """\
timestamp: {column: When, time: epoch_ms}
icao24: Hex
latitude: Lat
longitude: Lon
altitude: {column: Height, unit: m}
groundspeed: {column: Speed, unit: km/h}
vertical_rate: {column: Climb, unit: m/s}
"""


def mapped(folder: Path, text: str) -> Any:
    (folder / "map.yaml").write_text(text)
    return read_map(folder / "map.yaml")


def test_any_csv_by_a_map_of_its_columns(tmp_path: Path, store: Store) -> None:
    content = FOREIGN.format(CLOCK * 1000)
    (row,) = brought(store, tmp_path, content, columns=mapped(tmp_path, MAP))
    assert (row["timestamp"], row["icao24"], row["latitude"], row["longitude"]) == (T0, "15521f", 55.9, 38.2)
    assert [round(row[n]) for n in ("altitude", "groundspeed", "vertical_rate")] == [5200, 262, 2560]


@pytest.mark.parametrize(
    ("time", "text"),
    [("iso", "2024-03-01 12:00:00"), ("iso", "2024-03-01T15:00:00+03:00"), ("epoch_s", str(CLOCK)), ("epoch_ms", f"{CLOCK}000")],
)
def test_times_of_a_map(time: str, text: str, tmp_path: Path, store: Store) -> None:
    columns = mapped(tmp_path, f"timestamp: {{column: t, time: {time}}}\nlatitude: a\nlongitude: b\n")
    (row,) = brought(store, tmp_path, f"t,a,b\n{text},55.9,38.2\n", columns=columns, registration="RA-86559")
    assert (row["timestamp"], row["icao24"], row["registration"]) == (T0, "15521f", "RA-86559")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (MAP.replace("unit: m}", "unit: miles}"), 5, "must be one of ft, m"),
        (MAP.replace("altitude", "altitud"), 5, "did you mean `altitude`"),
        (MAP.replace("latitude: Lat\n", ""), 1, "`latitude` is missing"),
        (MAP.replace("time: epoch_ms", "time: local"), 1, "must be one of iso, epoch_s, epoch_ms"),
    ],
)
def test_a_map_that_is_wrong_says_where(text: str, line: int, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        mapped(tmp_path, text)
    (problem,) = told.value.problems
    assert problem.line == line
    assert words in problem.message


def test_a_column_that_the_file_lacks_is_named(tmp_path: Path, store: Store) -> None:
    with pytest.raises(InputError, match=r"no column Hex, Height.*it has When, Lat"):
        brought(store, tmp_path, "When,Lat,Lon,Speed,Climb\n1,2,3,4,5\n", columns=mapped(tmp_path, MAP))


# --------------------------------------------------------------------------------------------------------------- hostile input


def read_or_refused(data: bytes, name: str | None, airports: Airports) -> None:
    """Reads a file to its end; whatever is wrong with it may come out as InputError alone, in one line."""
    told = ""
    try:
        source = files.open_file(held(data, Path("file")), "fuzz", airports, address_of, format=name, registration="RA-86559")
        for _ in source.positions() if source.positions is not None else ():
            pass
    except InputError as error:
        told = str(error)
    assert "\n" not in told


@pytest.mark.parametrize("name", [n for n in SAMPLES if n != "globe-history"])
def test_any_file_of_any_format_is_read_or_refused(name: str, airports: Airports) -> None:
    lot = random.Random(name)
    for number in range(40):
        read_or_refused(mutated(SAMPLES[name], lot), name if number % 4 else None, airports)


PARSERS = [
    n
    for n in SAMPLES
    if n not in ("positions", "legs", "dictator-alert", "globe-history", "opensky-flights", "fr24-summary", "fr24-csv")
]


@pytest.mark.parametrize("name", PARSERS)
def test_any_bytes_are_rows_or_a_refusal(name: str) -> None:
    """The parsers by themselves, many times; `make fuzz` does it a hundred thousand times."""
    lot = random.Random(name)
    reader = next(f for f in files.FORMATS if f.name == name).positions
    assert reader is not None
    for _ in range(400):
        with contextlib.suppress(*files.UNREADABLE, InputError):
            list(reader(held(mutated(SAMPLES[name], lot), Path("file")), files.Given("RA-86559", "15521f"), {}))
