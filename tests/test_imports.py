"""Files that people bring: their format is seen, what cannot be used is counted, and twice is once."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flightwatch import legtables
from flightwatch.errors import InputError
from flightwatch.feeds.files import detect
from flightwatch.imports import import_file
from flightwatch.records import legs_from_table
from flightwatch.store import Store
from tests.conftest import T0, positions, real

ROWS: list[dict[str, object]] = [
    {"at": 60 * i, "icao24": "15521f", "latitude": 55.0 + i / 10, "longitude": 37.0, "altitude": 30_000.0, "onground": False}
    for i in range(5)
]
BAD: list[dict[str, object]] = [
    {"at": 1, "icao24": "xyz", "latitude": 1.0, "longitude": 1.0},
    {"at": 2, "icao24": "15521f", "latitude": 0.001, "longitude": 0.001},
    {"at": 3, "icao24": "15521f"},
]


def test_times_that_no_aircraft_can_have_sent_are_refused(tmp_path: Path, store: Store) -> None:
    """The year -24, as a damaged file of positions has it, and the year 2527."""
    table = positions(ROWS)
    at = table.schema.get_field_index("timestamp")
    times = table["timestamp"].cast(pa.int64()).to_pylist()
    odd = pa.array([-62_919_374_400_000_000, 17_600_000_000_000_000, *times[2:]]).cast(table.schema.field(at).type)
    pq.write_table(table.set_column(at, table.schema.field(at), odd), tmp_path / "odd.parquet")
    done = import_file(store, tmp_path / "odd.parquet")
    assert (done.rows, dict(done.refused)) == (3, {"bad_time": 2})


def written(folder: Path, kind: str) -> Path:
    """The same eight positions in a format."""
    table = positions(ROWS + BAD)
    frame = table.to_pandas()
    path = folder / f"positions.{kind.removesuffix('.gz')}"
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True, date_format="iso")
    elif kind == "json":
        frame.to_json(path, orient="records", date_format="iso")
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "json", "csv.gz"])
def test_positions_in_any_form(kind: str, tmp_path: Path, store: Store) -> None:
    done = import_file(store, written(tmp_path, kind))
    assert (done.format, done.rows) == ("positions", 5)
    assert dict(done.refused) == {"bad_address": 1, "null_island": 1, "no_position": 1}
    stored = store.snapshots.positions()
    assert stored["latitude"].to_pylist() == [row["latitude"] for row in ROWS]
    assert stored["timestamp"].to_pylist()[0] == T0
    assert stored["altitude"].to_pylist() == [30_000.0] * 5
    assert stored["onground"].to_pylist() == [False] * 5


def test_twice_is_once(tmp_path: Path, store: Store) -> None:
    path = written(tmp_path, "csv")
    assert import_file(store, path).new
    before = store.snapshots.positions()
    again = import_file(store, path)
    assert (again.new, again.rows) == (False, 5)
    assert store.snapshots.positions().equals(before)


def test_names_of_other_tools_are_not_demanded(tmp_path: Path, store: Store) -> None:
    """Seconds since 1970, upper-case addresses, 0 and 1."""
    path = tmp_path / "p.csv"
    path.write_text(
        "timestamp,icao24,latitude,longitude,onground\n1709294400,15521F,55.5,37.5,1\n1709294460.5,15521F,55.6,37.5,0\n"
    )
    assert import_file(store, path).rows == 2
    table = store.snapshots.positions()
    assert table["timestamp"].to_pylist() == [T0, datetime(2024, 3, 1, 12, 1, 0, 500_000, tzinfo=UTC)]
    assert table["icao24"].to_pylist() == ["15521f"] * 2
    assert table["onground"].to_pylist() == [True, False]


def test_a_snapshot_of_a_receiver(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "aircraft.json"
    aircraft = [{"hex": "15521f", "lat": 55.5, "lon": 37.5, "seen_pos": 2.0, "alt_baro": "ground"}, {"hex": "abcdef"}]
    path.write_text(json.dumps({"now": T0.timestamp(), "messages": 5, "aircraft": aircraft}))
    done = import_file(store, path)
    assert (done.format, done.rows, dict(done.refused)) == ("readsb-snapshot", 1, {"no_position": 1})
    assert store.snapshots.positions()["onground"].to_pylist() == [True]


def test_registration_for_a_file_that_names_none(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "flights.csv"
    path.write_text("date,origin,destination\n2024-03-01,UUWW,ZKPY\n2024-03-03,ZKPY,UUWW\n")
    with pytest.raises(InputError, match="registration"):
        import_file(store, path, format="legs")
    import_file(store, path, format="legs", registration="RA-86559")
    found = legs_from_table(store.legs.table())
    assert [(leg.registration, leg.origin.airport, leg.destination.airport) for leg in found] == [
        ("RA-86559", "UUWW", "ZKPY"),
        ("RA-86559", "ZKPY", "UUWW"),
    ]


# ---------------------------------------------------------------------------------------------------------------- what it is


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (b"timestamp,icao24,latitude,longitude\n1,a,1,1\n", "positions"),
        (b'{"timestamp":1,"icao24":"a","latitude":1,"longitude":1}\n{"timestamp":2}\n', "positions"),
        (b"registration,origin,destination,date\nN1,KSFO,KLAX,2024-01-01\n", "legs"),
        (b"reg,from,to,departure_time\nN1,SFO,LAX,2024-01-01T00:00\n", "legs"),
        (b'{"now":1,"aircraft":[]}', "readsb-snapshot"),
        (b'{"ac":[],"now":1,"ctime":1}', "readsb-snapshot"),
    ],
)
def test_the_format_is_seen(content: bytes, format: str) -> None:
    assert detect(content, Path("x")) == format


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"a,b\n1,2\n", b"a,b\rc,d\n1,2\n", b"[]", b"{}", bytes(range(256))])
def test_what_is_nothing_known_says_which_formats_there_are(content: bytes, tmp_path: Path, store: Store) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InputError, match="--format"):
        import_file(store, path)
    assert store.snapshots.rows() == 0


def test_damaged_gzip_and_missing_files_are_named(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"timestamp,icao24\n" * 999)[:60])
    with pytest.raises(InputError, match=r"x\.gz is damaged gzip"):
        import_file(store, path)
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match=r"x\.gz is damaged Parquet"):
        import_file(store, path)
    with pytest.raises(InputError, match="not a file"):
        import_file(store, tmp_path / "none")
    with pytest.raises(InputError, match="use one of"):
        import_file(store, written(tmp_path, "csv"), format="excel")
    with pytest.raises(InputError, match="world, aircraft or reported"):
        import_file(store, written(tmp_path, "csv"), scope="everything")


# ---------------------------------------------------------------------------------------------------------------- flight lists


LIST = """date,registration,origin,destination,typecode
2024-03-01,N1,KSFO,KLAX,C172
2024-03-01,N1,KSFO,KLAX,C172
2024-03-01,N1,KLAX,,C172
2024-03-01,N1,,XX99,C172
2024-03-02,,KSFO,KLAX,C172
nonsense,N1,KSFO,KLAX,C172
"""


def test_a_flight_list_keeps_what_it_was_given(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "list.csv"
    path.write_text(LIST)
    done = import_file(store, path)
    assert (done.format, done.rows, dict(done.refused)) == ("legs", 4, {"no_aircraft": 1, "bad_time": 1})
    found = legs_from_table(store.legs.table())
    assert [(leg.origin.airport, leg.destination.airport) for leg in found] == [
        ("KSFO", "KLAX"),
        ("KSFO", "KLAX"),
        ("KLAX", None),
        (None, "XX99"),
    ]
    assert len({leg.leg_id for leg in found}) == 4, "two alike flights of a day are two"
    assert {leg.source for leg in found} == {"listed"}
    assert {end.basis for leg in found for end in (leg.origin, leg.destination)} == {"inferred", "unknown"}


def test_a_longer_copy_of_a_list_brings_only_what_is_new(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.csv").write_text(LIST)
    (tmp_path / "b.csv").write_text(LIST + "2024-03-05,N1,KSFO,KLAX,C172\n")
    import_file(store, tmp_path / "a.csv")
    assert import_file(store, tmp_path / "b.csv").rows == 1
    assert len(store.legs.table()) == 5


@pytest.mark.parametrize(
    ("code", "airport"), [("SVO", "UUEE"), ("UUEE", "UUEE"), ("FNJ", "ZKPY"), ("zkpy", "ZKPY"), ("Farm", "FARM")]
)
def test_codes_of_any_kind(code: str, airport: str, tmp_path: Path, store: Store) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"date,registration,origin,destination\n2024-03-01,RA-86559,{code},UUWW\n")
    import_file(store, path)
    (leg,) = legs_from_table(store.legs.table())
    assert (leg.origin.airport, leg.icao24) == (airport, "15521f")


@pytest.mark.parametrize(
    ("name", "flights"), [("legs/legs_charter_fleet_to_20200315.csv", 4502), ("legs/legs_n757af_to_2014.csv", 266)]
)
def test_real_lists_lose_nothing(name: str, flights: int, store: Store) -> None:
    path = real(name)
    frame = pd.read_csv(path, dtype=str)
    done = import_file(store, path, registration=None if "registration" in frame.columns else "N757AF")
    assert done.rows + sum(done.refused.values()) == len(frame)
    assert done.rows == flights
    assert len(set(store.legs.table()["leg_id"].to_pylist())) == flights


@pytest.mark.parametrize(
    ("row", "takeoff", "landing"),
    [
        ({"date": "2023-09-25", "takeoff_time": "18:02"}, "2023-09-25T18:02", None),
        ({"date": "2023-09-25", "takeoff_time": "23:10", "landing_time": "07:05"}, "2023-09-25T23:10", "2023-09-26T07:05"),
        ({"takeoff_time": "2023-09-25T18:02:00+03:00"}, "2023-09-25T15:02", None),
        ({"takeoff_time": "1695664920"}, "2023-09-25T18:02", None),
        ({"takeoff_time": 1695664920000}, "2023-09-25T18:02", None),
        ({"landing_time": pd.Timestamp("2023-09-25 18:02")}, None, "2023-09-25T18:02"),
        ({"date": pd.Timestamp("2023-09-25")}, "a day", "a day"),
    ],
)
def test_times_of_lists_mean_what_they_say(
    row: dict[str, object], takeoff: str | None, landing: str | None, tmp_path: Path, store: Store
) -> None:
    """A clock belongs to its date, numbers are seconds or milliseconds, a midnight in the date column is a whole day."""
    path = tmp_path / "list.parquet"
    pd.DataFrame([{"registration": "RA-86559", "origin": "UUMU", "destination": "ZKPY", **row}]).to_parquet(path)
    assert import_file(store, path).rows == 1
    (leg,) = legs_from_table(store.legs.table())
    for end, want in ((leg.origin, takeoff), (leg.destination, landing)):
        if want is None:
            assert (end.time, end.earliest, end.latest) == (None, None, None), "what the list does not say has no time"
            continue
        assert end.earliest is not None
        assert end.latest is not None
        if want == "a day":
            assert (end.latest - end.earliest).total_seconds() > 86_000
        else:
            assert end.earliest == end.latest == datetime.fromisoformat(want).replace(tzinfo=UTC)


def test_times_that_the_way_cannot_take_are_days_alone(tmp_path: Path, store: Store) -> None:
    """Five hours for 3,450 nm: whichever of the two times is wrong, the days are what is left."""
    row = {"registration": "RA-64057", "typecode": "T204", "origin": "UUWW", "destination": "ZKPY"}
    times = {"takeoff_time": "2024-06-02T16:00:00Z", "landing_time": "2024-06-02T21:00:00Z"}
    pd.DataFrame([row | times]).to_csv(tmp_path / "list.csv", index=False)
    done = import_file(store, tmp_path / "list.csv")
    (leg,) = legs_from_table(store.legs.table())
    assert leg.destination.reason.startswith("the flight list has it, but 5.0 h for 3,4")
    for end in (leg.origin, leg.destination):
        assert end.earliest == datetime(2024, 6, 2, tzinfo=UTC)
        assert end.latest == datetime(2024, 6, 2, 23, 59, 59, 999_999, tzinfo=UTC)
    assert done.notes == ("1 flight takes a time that the way does not: of it the days alone are kept",)


@pytest.mark.parametrize("text", ["09/10/2023", "25.09.2023", "2023-09", "18:02", "soon", "99999999999999"])
def test_times_that_can_be_read_in_two_ways_are_refused(text: str, tmp_path: Path, store: Store) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"takeoff_time,registration,origin,destination\n{text},RA-86559,UUMU,ZKPY\n")
    assert dict(import_file(store, path).refused) == {"bad_time": 1}


def test_a_registration_that_is_given_stands_in_and_overrides_nothing(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "list.csv"
    path.write_text("date,registration,origin,destination\n2024-03-01,RA-85843,UUWW,ZKPY\n2024-03-03,,ZKPY,UUWW\n")
    import_file(store, path, registration="RA-86559")
    assert [leg.registration for leg in legs_from_table(store.legs.table())] == ["RA-85843", "RA-86559"]


def test_rows_that_differ_in_any_column_are_two(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "list.csv"
    path.write_text("date,registration,origin,destination,flight no\n2024-03-01,N1,KSFO,KLAX,1\n2024-03-01,N1,KSFO,KLAX,2\n")
    (tmp_path / "b.csv").write_text("date,registration,origin,destination,flight no\n2024-03-01,N1,KSFO,KLAX,3\n")
    assert import_file(store, path).rows == 2
    assert import_file(store, tmp_path / "b.csv").rows == 1


def test_refused_rows_are_named_by_their_lines(tmp_path: Path, store: Store) -> None:
    """As an editor counts them, whatever blank lines and quoted ends of lines there are; the first few of each reason."""
    path = tmp_path / "list.csv"
    bad = "soon,N1,KSFO,KLAX,\n" * 7
    path.write_text(
        'date,registration,origin,destination,note\n\n2024-03-01,N1,KSFO,KLAX,"two\nlines"\n' + bad + "2024-03-02,,KSFO,KLAX,\n"
    )
    done = import_file(store, path)
    assert dict(done.refused) == {"bad_time": 7, "no_aircraft": 1}
    assert dict(done.where) == {"bad_time": "lines 5, 6, 7, 8, 9 and 2 more", "no_aircraft": "line 12"}


def test_refused_rows_of_what_has_no_lines_are_counted(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"date": day, "reg": "N1", "from": "KSFO", "to": "KLAX"} for day in ("2024-03-01", "soon")]))
    assert dict(import_file(store, path).where) == {"bad_time": "row 2"}


def test_codes_in_no_table_and_columns_that_are_not_read_are_named(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "list.csv"
    rows = ["N1,Palm Beach,KLAX", "N1,KLAX,Palm Beach", "N1,SFO,QQQ9", "N1,,KLAX"]
    path.write_text("pilot,registration,from,to,date,day\n" + "".join(f"Jo,{row},2024-03-01,1\n" for row in rows))
    done = import_file(store, path)
    assert (done.rows, dict(done.refused)) == (4, {})
    codes, columns = done.notes
    assert codes == (
        "2 airport codes are in no table, kept as given, so no rule about places sees them: Palm Beach (2 times), QQQ9"
    )
    assert columns == "2 columns are not read: pilot, day"
    (tmp_path / "b.csv").write_text("registration,from,to,date\nN1,KSFO,KLAX,2024-03-01\n")
    assert import_file(store, tmp_path / "b.csv").notes == ()


def test_a_place_without_a_code_is_not_an_island_in_japan(tmp_path: Path, store: Store) -> None:
    """ZZZZ stands for any field in flight plans, and for one airport in the table."""
    path = tmp_path / "list.csv"
    path.write_text("registration,from,to,date\nN1,KSFO,zzzz,2024-03-01\n")
    done = import_file(store, path)
    (leg,) = legs_from_table(store.legs.table())
    assert (leg.destination.airport, leg.destination.basis) == (None, "unknown")
    assert done.notes == ("ZZZZ is no airport but a place without a code: left open, 1 time",)


def test_many_unknown_codes_are_no_flood(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "list.csv"
    path.write_text("registration,from,to,date\n" + "".join(f"N1,Place {n},KLAX,2024-03-01\n" for n in range(50)))
    (note,) = import_file(store, path).notes
    assert note.startswith("50 airport codes are")
    assert note.endswith("Place 7 and 42 more")


@pytest.mark.parametrize(
    ("written", "registration", "address"), [("RA86559", "RA-86559", "15521f"), ("n757af", "N757AF", "aa3410")]
)
def test_a_registration_without_its_hyphen_is_the_same_aircraft(
    written: str, registration: str, address: str, tmp_path: Path, store: Store
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"date,registration,origin,destination\n2024-03-01,{written},UUWW,ZKPY\n")
    import_file(store, path)
    (leg,) = legs_from_table(store.legs.table())
    assert (leg.registration, leg.icao24) == (registration, address)
    (covered,) = store.covered()
    assert covered.scope.covers(None, registration)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_legs_of_flightwatch_s_own_are_nobody_s_word(suffix: str, tmp_path: Path, store: Store) -> None:
    path = tmp_path / "list.csv"
    path.write_text(LIST)
    import_file(store, path)
    legtables.write(store.legs.table(), tmp_path / f"legs.{suffix}", {})
    for format in (None, "legs"):
        with pytest.raises(InputError, match=r"legs\.\w+: these are legs that flightwatch wrote"):
            import_file(store, tmp_path / f"legs.{suffix}", format=format)


# ------------------------------------------------------------------------------------------------------------ what it covers


def covered_days(store: Store) -> dict[str, int]:
    """How many days each kind of scope covers."""
    out: dict[str, int] = {}
    for c in store.covered():
        out[c.scope.kind] = out.get(c.scope.kind, 0) + (c.last - c.first).days + 1
    return out


def test_two_positions_months_apart_cover_no_months(tmp_path: Path, store: Store) -> None:
    """A file of the whole sky covers the days of which it has most hours."""
    path = tmp_path / "p.csv"
    hours = [f"2024-01-05T{hour:02d}:30:00Z,15521f,55.5,37.5\n" for hour in range(24)]
    ends = ["2024-01-01T12:00:00Z,15521f,55.5,37.5\n", "2024-04-10T12:00:00Z,15521f,55.5,37.5\n"]
    path.write_text("timestamp,icao24,latitude,longitude\n" + "".join(hours + ends))
    import_file(store, path, scope="world")
    assert covered_days(store) == {"world": 1}


def test_a_file_of_all_that_its_aircraft_did_covers_its_span(tmp_path: Path, store: Store) -> None:
    path = written(tmp_path, "csv")
    import_file(store, path, scope="aircraft")
    (covered,) = store.covered()
    assert (covered.scope.members, covered.first, covered.last) == (("15521f",), T0.date(), T0.date())


def test_a_file_that_nobody_vouched_for_covers_nothing(tmp_path: Path, store: Store) -> None:
    import_file(store, written(tmp_path, "csv"))
    assert covered_days(store) == {}


# ------------------------------------------------------------------------------------------------------------------ bad columns


def test_one_empty_time_spoils_no_other(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "p.csv"
    path.write_text(
        "timestamp,icao24,latitude,longitude\n1709294400,15521f,55.5,37.5\n,15521f,55.6,37.5\n1709294460000,15521f,55.7,37.5\n"
    )
    done = import_file(store, path)
    assert (done.rows, dict(done.refused)) == (2, {"no_time": 1})


def test_a_file_without_one_usable_row_is_no_crash(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "p.csv"
    path.write_text("timestamp,icao24,latitude,longitude\nnever,xyz,99,999\n")
    assert import_file(store, path).rows == 0


def test_words_among_numbers_become_nothing(tmp_path: Path, store: Store) -> None:
    """`ground` for a height, dictionary-encoded texts, times without a zone, in Parquet as other tools write it."""
    frame = pd.DataFrame(
        {
            "timestamp": pd.to_datetime([T0.replace(tzinfo=None)] * 2),
            "icao24": pd.Categorical(["15521f", "15521f"]),
            "latitude": [55.5, 55.6],
            "longitude": [37, 38],
            "altitude": ["ground", "1200"],
        }
    )
    frame.to_parquet(tmp_path / "p.parquet")
    assert import_file(store, tmp_path / "p.parquet").rows == 2
    assert store.snapshots.positions()["altitude"].to_pylist() == [None, 1200.0]
    assert set(store.snapshots.positions()["timestamp"].to_pylist()) == {T0}


def test_json_lines_that_were_cut_off_lose_one_line(tmp_path: Path, store: Store) -> None:
    whole = written(tmp_path, "jsonl").read_bytes()
    (tmp_path / "cut.jsonl").write_bytes(whole[:-30])
    done = import_file(store, tmp_path / "cut.jsonl")
    assert done.refused["bad_line"] == 1
    assert done.rows == 5


@pytest.mark.parametrize("header", ["timestamp,icao24,latitude,longitude", "date,registration,origin,destination"])
def test_a_table_of_no_rows_is_no_error(header: str, tmp_path: Path, store: Store) -> None:
    path = tmp_path / "empty.csv"
    path.write_text(f"{header}\n")
    done = import_file(store, path)
    assert (done.rows, dict(done.refused)) == (0, {})
