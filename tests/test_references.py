"""Reference databases: files of others, read, kept with their terms, and looked up."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from datetime import date
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch.aircraft import Registry
from flightwatch.aircraft.databases import open_databases
from flightwatch.aircraft.formats import SOURCES
from flightwatch.errors import FeedError, FlightwatchError, InputError
from flightwatch.feeds.http import Http, Limits
from flightwatch.references import add, listed, source_named, table_of, update
from tests.test_http import raw_server

DAY = date(2024, 1, 1)

TAR1090 = "15521F;RA-86559;IL62;10;ILYUSHIN Il-62;\n14FA3A;RA-64058;T204;00;TUPOLEV Tu-204;\nnonsense;X;;;\n~15521f;X;;;\n\n"
PLANE_ALERT = (
    "$ICAO,$Registration,$Operator,$Type,$ICAO Type,#CMPG,$Tag 1,$#Tag 2,$#Tag 3,Category,$#Link\n"
    '14FA3A,RA-64508,Special Flight Detachment,Tupolev Tu-204-300,T204,Gov,"a, b",,,Dictator,\n'
    "7278A1,p-881,Somebody,Il-62,IL62,Mil\n"
)
STANDING = (
    "ICAO,Registration,ModelICAO,Manufacturer,Model,ManufacturerAndModel,IsPrivateOperator,Operator,AirlineCode,SerialNumber,YearBuilt\n"
    "14FA33,RA-64051,T204,Tupolev,Tu-204 100C,Tupolev Tu-204 100C,0,Aviastar-Tu,TUP,1,2009\n"
    "400A1B,G-CIVO,C172,Cessna,172,Cessna 172,1,Private,,2,1980\n"
    "490040,DTRN,-TWR,,Beacon,Beacon,0,,,,\n"
)
OPENSKY = (
    "'icao24','registration','typecode','operator','owner','registered','reguntil'\n"
    "'15521f','RA-86559','IL62','','Somebody','2020-05-01','2021-05-01'\n"
)
MICTRONICS = (
    '{"1F": ["RA-86559", "IL62", "10", "ILYUSHIN Il-62"], "20": {"r": "RA-86560", "t": "IL62", "f": "00"}, "children": ["155"]}'
)


def kept(folder: Path, source: str, text: str, name: str = "file.csv") -> Registry:
    """The registry that has this file as its one database."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    add([path], source_named(source), folder / "reference", DAY)
    return Registry([], open_databases(folder / "reference"))


def test_tar1090_db(tmp_path: Path) -> None:
    """Flags are characters by position; what is no address is refused and counted."""
    registry = kept(tmp_path, "tar1090-db", TAR1090)
    found = registry.who("15521f", DAY)
    assert (found.registration, found.typecode, found.military) == ("RA-86559", "IL62", True)
    assert not registry.who("14fa3a", DAY).military
    (about,) = listed(tmp_path / "reference")
    assert (about.rows, about.refused, about.dated) == (2, 2, DAY)


def test_plane_alert_db(tmp_path: Path) -> None:
    """Short lines and small letters occur; government aircraft are the state's."""
    registry = kept(tmp_path, "plane-alert-db", PLANE_ALERT)
    found = registry.who("7278a1", DAY)
    assert (found.registration, found.operator, found.role, found.military) == ("P-881", "Somebody", "military", True)
    assert registry.who("14fa3a", DAY).role == "state"


def test_databases_that_disagree_with_the_register_are_shown_so(tmp_path: Path) -> None:
    """Two digits swapped: the register's rule and another database outweigh the one, and it is still told."""
    kept(tmp_path, "plane-alert-db", PLANE_ALERT)
    registry = kept(tmp_path, "tar1090-db", TAR1090)
    found = registry.who("14fa3a", DAY)
    assert found.registration == "RA-64058"
    assert found.conflicts == ("registration: RA-64058 (tar1090-db, arithmetic of the register), but RA-64508 (plane-alert-db)",)
    assert registry.holders("RA-64508") == [("14fbfc", "arithmetic of the register"), ("14fa3a", "plane-alert-db")]


def test_standing_data_in_an_archive(tmp_path: Path) -> None:
    """Several hundred small files: a ZIP archive or a folder of them is one database."""
    with zipfile.ZipFile(tmp_path / "standing.zip", "w") as archive:
        archive.writestr("aircraft/1/14F.csv", "".join(STANDING.splitlines(keepends=True)[:2]))
        archive.writestr("aircraft/4/400.csv", "".join(STANDING.splitlines(keepends=True)[i] for i in (0, 2, 3)))
        archive.writestr("README.md", "words")
    done = add([tmp_path / "standing.zip"], source_named("vrs-standing-data"), tmp_path / "reference")
    assert (done.rows, done.refused) == (2, 1), "a tower is no aircraft"
    registry = Registry([], open_databases(tmp_path / "reference"))
    assert registry.who("14fa33", DAY).operator == "Aviastar-Tu"
    private = registry.who("400a1b", DAY)
    assert (private.role, private.operator, registry.address("g-civo")) == ("private", None, "400a1b")


def test_opensky_rows_hold_from_their_registration_on(tmp_path: Path) -> None:
    """The day on which a paper expires ends nothing."""
    registry = kept(tmp_path, "opensky", OPENSKY)
    assert registry.who("15521f", date(2024, 1, 1)).operator == "Somebody"
    assert registry.who("15521f", date(2019, 1, 1)).operator is None
    assert [c.value for c in registry.identify("15521f", date(2019, 1, 1)).others] == ["RA-86559", "IL62", "Somebody"]


def test_mictronics_shards(tmp_path: Path) -> None:
    """A file is named after the beginning of the addresses in it."""
    registry = kept(tmp_path, "mictronics", MICTRONICS, "1552.json")
    assert registry.who("15521f", DAY).military
    assert registry.who("155220", DAY).typecode == "IL62"


def test_our_airports_are_kept_beside_the_aircraft(tmp_path: Path) -> None:
    registry = kept(tmp_path, "ourairports", "id,ident,type,name,latitude_deg\n1,ZKPY,medium_airport,Pyongyang,39.2\n")
    assert registry.databases == ()
    assert [(a.source, a.kind, a.rows) for a in listed(tmp_path / "reference")] == [("ourairports", "airports", 1)]


def test_a_table_keeps_its_terms(tmp_path: Path) -> None:
    """Source, licence, date, SHA-256 of the file, attribution and whether it may be republished: also when it is listed."""
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TAR1090.encode()))
    add([tmp_path / "a.csv.gz"], source_named("tar1090-db"), tmp_path / "reference", DAY)
    (about,) = listed(tmp_path / "reference")
    assert about.sha256 == hashlib.sha256((tmp_path / "a.csv.gz").read_bytes()).hexdigest()
    text = "\n".join(table_of([about]))
    for words in (
        "tar1090-db: 2 aircraft of 2024-01-01",
        "may be republished: no",
        about.sha256,
        SOURCES["tar1090-db"].attribution,
    ):
        assert words in text
    assert "plane-alert-db: not kept" in text


@pytest.mark.parametrize(
    ("source", "data", "says"),
    [
        ("opensky", b"a,b\n1,2\n", "lacks the column icao24"),
        ("tar1090-db", b"no such lines\n", "no line that can be read"),
        ("mictronics", b"{broken", "is no JSON"),
        ("tar1090-db", b"\x1f\x8bbroken", "cannot be unpacked"),
    ],
)
def test_a_file_of_something_else_is_refused(source: str, data: bytes, says: str, tmp_path: Path) -> None:
    """What was kept before stays."""
    kept(tmp_path, source, {"opensky": OPENSKY, "mictronics": MICTRONICS}.get(source, TAR1090), "1552.json")
    (tmp_path / "wrong").write_bytes(data)
    with pytest.raises(InputError, match=says) as raised:
        add([tmp_path / "wrong"], source_named(source), tmp_path / "reference")
    assert len(str(raised.value).splitlines()) == 1
    assert open_databases(tmp_path / "reference")[0].rows("15521f")


def test_a_damaged_table_says_what_to_do(tmp_path: Path) -> None:
    kept(tmp_path, "tar1090-db", TAR1090)
    (tmp_path / "reference" / "tar1090-db.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match="delete it, and add or update"):
        open_databases(tmp_path / "reference")


def test_an_unknown_source_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean `tar1090-db`"):
        source_named("tar1090")
    with pytest.raises(InputError, match="reference add"):
        update(SOURCES["mictronics"], Path("nowhere"), DAY)


# -------------------------------------------------------------------------------------------------------------------- downloads


def test_a_version_that_is_kept_is_not_downloaded_again(httpserver: HTTPServer, tmp_path: Path) -> None:
    asked: list[str | None] = []

    def serve(request: Request) -> Response:
        asked.append(request.headers.get("If-None-Match"))
        return Response(status=304) if asked[-1] == '"v1"' else Response(TAR1090, headers={"ETag": '"v1"'})

    httpserver.expect_request("/aircraft.csv").respond_with_handler(serve)
    url = httpserver.url_for("/aircraft.csv")
    first = update(SOURCES["tar1090-db"], tmp_path, DAY, url=url)
    assert first.about is not None
    assert (first.about.rows, first.about.file) == (2, "aircraft.csv")
    assert update(SOURCES["tar1090-db"], tmp_path, DAY, url=url).about is None
    assert asked == [None, '"v1"']
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tar1090-db.etag", "tar1090-db.parquet"]


def test_a_download_that_broke_off_goes_on_where_it_stopped(httpserver: HTTPServer, tmp_path: Path) -> None:
    body = TAR1090.encode()
    head = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: %d\r\n\r\n' % len(body)
    stops = pytest.raises(FeedError, match="it goes on where it stopped")
    with raw_server(lambda connection: connection.sendall(head + body[:40])) as url, stops as raised:
        update(SOURCES["tar1090-db"], tmp_path, DAY, url=url)
    assert raised.value.reason == "cut_off"

    def rest(request: Request) -> Response:
        assert (request.headers["Range"], request.headers["If-Range"]) == ("bytes=40-", '"v1"')
        span = f"bytes 40-{len(body) - 1}/{len(body)}"
        return Response(body[40:], status=206, headers={"ETag": '"v1"', "Content-Range": span})

    httpserver.expect_request("/a").respond_with_handler(rest)
    done = update(SOURCES["tar1090-db"], tmp_path, DAY, url=httpserver.url_for("/a"))
    httpserver.check_assertions()
    assert done.about is not None
    assert done.about.sha256 == hashlib.sha256(body).hexdigest()


def test_a_part_of_another_place_is_not_put_in(httpserver: HTTPServer, tmp_path: Path) -> None:
    """Some servers answer with a range that nobody asked for."""
    (tmp_path / "tar1090-db.part").write_bytes(b"half")
    (tmp_path / "tar1090-db.part.version").write_text('"v1"', encoding="utf-8")
    httpserver.expect_request("/a").respond_with_data(b"x", status=206, headers={"Content-Range": "bytes 0-0/9"})
    with pytest.raises(FeedError, match="another part"):
        update(SOURCES["tar1090-db"], tmp_path, DAY, url=httpserver.url_for("/a"))
    assert not (tmp_path / "tar1090-db.part").exists()


def test_another_version_is_downloaded_from_its_beginning(httpserver: HTTPServer, tmp_path: Path) -> None:
    """The server answers 200 where the part is of an older version."""
    (tmp_path / "tar1090-db.part").write_bytes(b"old and half")
    (tmp_path / "tar1090-db.part.version").write_text('"v0"', encoding="utf-8")
    httpserver.expect_request("/a").respond_with_data(TAR1090, headers={"ETag": '"v1"'})
    done = update(SOURCES["tar1090-db"], tmp_path, DAY, url=httpserver.url_for("/a"))
    assert done.about is not None
    assert done.about.sha256 == hashlib.sha256(TAR1090.encode()).hexdigest()


@pytest.mark.parametrize(("status", "says"), [(404, "404"), (403, "does not try to get round that"), (302, "redirects")])
def test_a_download_that_is_refused_says_why(httpserver: HTTPServer, status: int, says: str, tmp_path: Path) -> None:
    httpserver.expect_request("/a").respond_with_data("no", status=status, headers={"Location": "http://127.0.0.2/"})
    with pytest.raises(FlightwatchError, match=says):
        update(SOURCES["tar1090-db"], tmp_path, DAY, url=httpserver.url_for("/a"))


def test_a_download_has_a_limit(httpserver: HTTPServer, tmp_path: Path) -> None:
    httpserver.expect_request("/a").respond_with_data(b"x" * 300_000)
    with pytest.raises(FeedError, match="refused"):
        update(SOURCES["tar1090-db"], tmp_path, DAY, Http(Limits(size=100_000)), httpserver.url_for("/a"))
