"""Services of the v2 family, OpenSky, Flightradar24 and SBS-1 receivers against servers on loopback that do what those
are known to do."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch.config import FeedSettings, Secret
from flightwatch.errors import ConfigError, FeedError
from flightwatch.feeds import basestation, flightradar24
from flightwatch.feeds.http import Http
from flightwatch.feeds.poller import Query, Schedule, by_question
from flightwatch.feeds.questions import MOST_TILES, opensky_cost, queries, requests_a_round
from flightwatch.feeds.tiles import Box, Circle, box_tiles, circle_tiles
from flightwatch.places.great_circle import destination, distance_nm
from flightwatch.records import Scope
from flightwatch.services import SERVICES
from tests.examples import tries
from tests.processes import heading_for_pyongyang, reply

NOW = datetime(2023, 8, 1, tzinfo=UTC)
KEY = Secret("canary-key")


def feed(**more: Any) -> FeedSettings:
    return FeedSettings.model_validate({"name": "test"} | more)


def asked(watched: list[str] | None = None, key: Secret | None = None, **more: Any) -> list[Query]:
    return queries(feed(**more), watched or [], key, lambda: NOW)


def served(httpserver: HTTPServer) -> list[str]:
    return [request.full_path.rstrip("?") for request, _ in httpserver.log]


EVERYTHING = [
    "military",
    "point:39.2,125.7,250",
    "hex:15521f,155221",
    "registration:RA-86559,P-885",
    "type:IL62",
    "callsign:RFF7237",
    "squawk:7700",
]

PATHS = {
    "adsb-lol": [
        "/v2/mil",
        "/v2/point/39.2/125.7/250",
        "/v2/hex/15521f,155221",
        "/v2/reg/RA-86559,P-885",
        "/v2/type/IL62",
        "/v2/callsign/RFF7237",
        "/v2/squawk/7700",
    ],
    "adsb-fi": [
        "/v2/mil",
        "/v3/lat/39.2/lon/125.7/dist/250",
        "/v2/hex/15521f,155221",
        "/v2/registration/RA-86559,P-885",
        "/v3/callsign/RFF7237",
        "/v2/sqk/7700",
    ],
    "adsbexchange": [
        "/v2/mil",
        "/v2/lat/39.2/lon/125.7/dist/250",
        "/v2/hex/15521f,155221,",
        "/v2/registration/RA-86559,P-885",
        "/v2/callsign/RFF7237",
        "/v2/sqk/7700",
    ],
    "adsbexchange-rapidapi": [
        "/v2/mil",
        "/v2/lat/39.2/lon/125.7/dist/250",
        "/v2/icao/15521f,155221/",
        "/v2/registration/RA-86559,P-885",
        "/v2/callsign/RFF7237",
        "/v2/sqk/7700",
    ],
    "airplanes-live": [
        "/v2/mil",
        "/v2/point/39.2/125.7/250",
        "/v2/hex/15521f,155221",
        "/v2/reg/RA-86559,P-885",
        "/v2/type/IL62",
        "/v2/callsign/RFF7237",
        "/v2/squawk/7700",
    ],
    "readsb-api": [
        "/?all_with_pos&filter_mil&jv2",
        "/?circle=39.2,125.7,250&jv2",
        "/?find_hex=15521f,155221&jv2",
        "/?find_reg=RA-86559,P-885&jv2",
        "/?find_type=IL62&jv2",
        "/?find_callsign=RFF7237&jv2",
        "/?all_with_pos&filter_squawk=7700&jv2",
    ],
}


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_is_asked_as_it_wants_to_be(service: str, httpserver: HTTPServer) -> None:
    """Its own paths for every question that it answers, its own headers, gzip, both clocks."""
    body = reply([heading_for_pyongyang("15521f", 0)], NOW.timestamp())
    httpserver.expect_request("/", method="GET").respond_with_data(body)
    zipped = {"Content-Encoding": "gzip"}
    for path in PATHS[service]:
        if not path.startswith("/?"):
            httpserver.expect_request(path).respond_with_data(gzip.compress(body), headers=zipped)
    questions = [q for q in EVERYTHING if service in ("adsb-lol", "airplanes-live", "readsb-api") or not q.startswith("type")]
    found = asked(service=service, base_url=httpserver.url_for("").rstrip("/"), ask=questions, key=KEY)
    for query in found:
        assert len(query.fetch().positions) == 1
    assert served(httpserver) == PATHS[service]
    headers = httpserver.log[0][0].headers
    if service == "adsbexchange":
        assert headers["x-api-key"] == "canary-key"
    if service == "adsbexchange-rapidapi":
        assert (headers["X-RapidAPI-Key"], headers["X-RapidAPI-Host"]) == ("canary-key", "adsbexchange-com1.p.rapidapi.com")
    assert "canary" not in repr(found)


def test_values_of_a_service_can_be_replaced() -> None:
    got = feed(service="adsb-fi", paths={"point": "/v2/lat/{lat}/lon/{lon}/dist/{radius}"}, spacing_s=2.0)
    assert got.paths["point"].startswith("/v2/lat")
    assert got.paths["callsign"] == "/v3/callsign/{}"
    assert (got.spacing_s, got.base_url, got.republish) == (2.0, "https://opendata.adsb.fi/api", True)
    assert feed(service="adsbexchange").terms.republish is False


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"service": "adsb-lol", "ask": ["all"]}, "does not answer `all`"),
        ({"service": "adsb-fi", "ask": ["type:IL62"]}, "does not answer `type:IL62`"),
        ({"service": "adsb-one"}, "no service that is known"),
        ({"service": "adsb-lol", "paths": {"hexes": "/x"}}, "`hexes` is no question"),
        ({"service": "adsb-lol", "ask": ["point:95,0,10"]}, "point:LAT,LON"),
        ({"service": "adsb-lol", "ask": ["box:50,0,40,10"]}, "box:SOUTH"),
        ({"service": "adsb-lol", "ask": ["hex:../etc"]}, "ask for all"),
        ({"base_url": "file:///etc/passwd"}, "http:// or https://"),
        ({"kind": "sbs", "address": "receiver"}, "HOST:PORT"),
        ({"kind": "opensky", "client_id_env": "A"}, "go together"),
        ({"kind": "opensky", "ask": ["military"]}, "does not answer"),
        ({"kind": "flightradar24", "key_env": "K", "retention_days": 60}, "up to 30"),
        ({"kind": "flightradar24", "key_env": "K", "republish": True}, "republish: false"),
        ({"kind": "flightradar24"}, "needs key_env"),
        ({"kind": "flightradar24-zones", "enabled": True, "base_url": "https://data-cloud.flightradar24.com/x"}, "mirror"),
    ],
)
def test_what_a_feed_cannot_be(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=".*".join(map(str, [words.replace("(", "\\(")]))):
        feed(**more)


def test_a_service_that_wants_approval_says_so_and_is_left_alone(httpserver: HTTPServer) -> None:
    """403 with a text: permanent, with what to do; not asked again."""
    httpserver.expect_request("/v2/mil").respond_with_data("Access is by approval", status=403, content_type="text/plain")
    (query,) = asked(service="airplanes-live", base_url=httpserver.url_for("").rstrip("/"), ask=["military"])
    schedule = Schedule([query], 0.0)
    with pytest.raises(FeedError, match="gives access by approval alone") as raised:
        query.fetch()
    schedule.failed(0, 0.0, raised.value, NOW)
    assert schedule.next() is None


def test_a_page_that_checks_browsers_stops_it(httpserver: HTTPServer) -> None:
    """Whatever its status: nobody's protection is got round."""
    page = "<html><title>Just a moment...</title></html>"
    httpserver.expect_request("/v2/mil").respond_with_data(page, status=503, headers={"cf-mitigated": "challenge"})
    (query,) = asked(base_url=httpserver.url_for("").rstrip("/"), ask=["military"])
    with pytest.raises(FeedError, match="does not try to get round") as raised:
        query.fetch()
    assert (raised.value.reason, raised.value.permanent) == ("challenge", True)


@pytest.mark.parametrize("address", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]"])
def test_addresses_of_the_cloud_are_not_asked(address: str) -> None:
    """Nobody connects to find out."""
    with pytest.raises(FeedError, match="which is not asked"):
        Http().get(f"http://{address}/latest/meta-data/")


def test_a_name_that_leads_to_a_metadata_address_is_refused(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is looked at, not the name; nothing is sent."""
    import ipaddress

    from flightwatch import connections

    monkeypatch.setattr(connections, "METADATA_ADDRESSES", (ipaddress.ip_address("127.0.0.1"),))
    httpserver.expect_request("/x").respond_with_data("{}")
    with pytest.raises(FeedError, match="metadata address, which is not asked") as raised:
        Http().get(httpserver.url_for("/x"))
    assert (raised.value.reason, raised.value.permanent) == ("refused_address", True)
    assert httpserver.log == []


def test_another_scheme_is_refused() -> None:
    with pytest.raises(FeedError, match="neither http nor https"):
        Http().get("file:///etc/passwd")


# ---------------------------------------------------------------------------------------------------------------------- tiles


@settings(max_examples=tries(150), deadline=None)
@given(st.floats(-90, 89), st.floats(1, 60), st.floats(-180, 180), st.floats(0.5, 359), st.sampled_from([100, 250]), st.data())
def test_tiles_cover_a_box(south: float, height: float, west: float, width: float, radius: int, data: st.DataObject) -> None:
    """Also one across the antimeridian or up to a pole: every point of it lies in a tile."""
    north = min(south + height, 90.0)
    east = (west + width + 180) % 360 - 180
    box = Box(south, west, north, east)
    tiles = box_tiles(box, radius)
    assume(len(tiles) < 4000)
    shares = [data.draw(st.tuples(st.floats(0, 1), st.floats(0, 1))) for _ in range(8)] + [(0, 0), (0, 1), (1, 0), (1, 1)]
    for up, along in shares:
        lat, lon = south + up * (north - south), west + along * box.width
        apart = distance_nm(lat, lon, [t.latitude for t in tiles], [t.longitude for t in tiles])
        assert apart.min() <= radius
    assert all(-180 <= t.longitude < 180 and -90 <= t.latitude <= 90 for t in tiles)


@settings(max_examples=tries(150), deadline=None)
@given(st.floats(-90, 90), st.floats(-180, 180), st.integers(10, 2500), st.floats(0, 360), st.floats(0, 1))
def test_tiles_cover_a_circle(lat: float, lon: float, wide: int, bearing: float, share: float) -> None:
    tiles = circle_tiles(Circle(lat, lon, wide), 250)
    there = destination(lat, lon, bearing, share * wide)
    assert distance_nm(*there, [t.latitude for t in tiles], [t.longitude for t in tiles]).min() <= 250 + 1e-6
    assert len(tiles) <= 4 + 4 * (wide / 250 + 1) ** 2


def test_a_large_area_is_asked_for_in_tiles_at_the_pace_of_the_service() -> None:
    found = asked(service="adsb-lol", ask=["box:33,122,44,133", "point:60,179,600"])
    assert len(found) > 10
    assert {q.scope.kind for q in found} == {"area"}
    assert len({q.label for q in found}) == len(found)
    assert {q.pace for q in found} == {found[0].pace}
    schedule, now, times = Schedule(found, 0.0), 0.0, []
    for _ in found:
        due = schedule.next()
        assert due is not None
        now = max(now, due[1])
        times.append(now)
        schedule.failed(due[0], now, FeedError("timeout", "no"), NOW)
    assert min(np.diff(times)) >= 1.1 - 1e-9


def test_too_large_an_area_is_refused_with_the_number() -> None:
    with pytest.raises(ConfigError, match=f"at most {MOST_TILES}"):
        asked(service="adsb-lol", ask=["box:-90,-180,90,180"])
    with pytest.raises(ConfigError, match=f"at most {MOST_TILES}"):
        requests_a_round(feed(service="adsb-lol", ask=["box:-90,-180,90,180"]), [])
    assert requests_a_round(feed(service="adsb-lol", ask=["military", "box:33,122,44,133"]), []) == 5


def test_long_lists_come_in_parts_that_an_address_holds() -> None:
    found = asked(
        watched=[f"{n:06x}" for n in range(1200)], service="readsb-api", base_url="http://127.0.0.1:1", ask=["watchlists"]
    )
    assert sum(len(q.scope.members) for q in found) == 1200
    assert all(7 * len(q.scope.members) <= 6_100 for q in found)
    assert len({q.label for q in found}) == len(found)


# -------------------------------------------------------------------------------------------------------------------- OpenSky


class OpenSky:
    """The states with credits and tokens, as the service has them."""

    def __init__(self, httpserver: HTTPServer, credits_left: int = 400) -> None:
        self.credits_left, self.tokens, self.valid = credits_left, 0, ""
        self.status: list[int] = []
        self.url = httpserver.url_for("").rstrip("/")
        httpserver.expect_request("/token", method="POST").respond_with_handler(self.token)
        httpserver.expect_request("/api/states/all").respond_with_handler(self.states)

    def token(self, request: Request) -> Response:
        if request.form["client_secret"] != "canary-secret":
            return Response('{"error":"unauthorized_client"}', status=401)
        self.tokens += 1
        self.valid = f"token-{self.tokens}"
        return Response(json.dumps({"access_token": self.valid, "expires_in": 1800}))

    def states(self, request: Request) -> Response:
        if self.status and (status := self.status.pop(0)) != 200:
            return Response("", status=status)
        if "Authorization" in request.headers and request.headers["Authorization"] != f"Bearer {self.valid}":
            return Response("", status=401)
        if self.credits_left <= 0:
            wait = {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Retry-After-Seconds": "41212"}
            return Response("", status=429, headers=wait)
        self.credits_left -= 4
        now = int(NOW.timestamp())
        row = ["15521f", "RFF7237 ", "Russian Federation", now - 3, now - 1, 131.2, 44.9, 10058.4, False, 231.5, 203.1, -0.3]
        states = [[*row, None, 10363.2, "2054", False, 0], [*row, None, None, None, False, 0, 6]]
        body = json.dumps({"time": now, "states": None if request.args.get("lamin") == "0" else states})
        return Response(body, headers={"X-Rate-Limit-Remaining": str(self.credits_left)})

    def asked(self, monkeypatch: pytest.MonkeyPatch, **more: Any) -> list[Query]:
        monkeypatch.setenv("FLIGHTWATCH_ID", "me")
        monkeypatch.setenv("FLIGHTWATCH_SECRET", more.pop("secret", "canary-secret"))
        account = {"client_id_env": "FLIGHTWATCH_ID", "client_secret_env": "FLIGHTWATCH_SECRET"}
        urls = {"kind": "opensky", "base_url": f"{self.url}/api", "token_url": f"{self.url}/token"}
        return asked(**urls, **account, **more)


def test_opensky_without_an_account(httpserver: HTTPServer) -> None:
    """As often as its credits give: the world every 864 s; a small box costs a quarter."""
    service = OpenSky(httpserver)
    base = {"kind": "opensky", "base_url": f"{service.url}/api"}
    (world,) = asked(**base)
    assert (world.every_s, world.cost) == (864.0, 4)
    answer = world.ask()
    assert len(answer.snapshot.positions) == 2
    assert answer.credits_left == 396
    assert "Authorization" not in httpserver.log[0][0].headers
    (korea,) = asked(**base, ask=["box:37,123,44,133"])
    assert (korea.every_s, korea.cost) == (432.0, 2)
    east, west = asked(**base, ask=["box:50,175,60,-175"])
    assert (east.cost, west.cost) == (2, 2)
    (empty,) = asked(**base, ask=["box:0,0,4,4"])
    assert len(empty.fetch().positions) == 0
    assert (empty.cost, opensky_cost(None)) == (1, 4)


def test_opensky_with_an_account(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One token for many polls; one that is refused is renewed once, and a second refusal is final."""
    service = OpenSky(httpserver, 4000)
    (query,) = service.asked(monkeypatch)
    assert query.every_s == 86.4
    for _ in range(3):
        query.fetch()
    assert service.tokens == 1
    service.valid = "another"
    query.fetch()
    assert service.tokens == 2
    service.status = [401, 401]
    with pytest.raises(FeedError, match="401") as raised:
        query.fetch()
    assert raised.value.permanent
    service.status = [503, 200]
    with pytest.raises(FeedError) as raised:
        query.fetch()
    assert not raised.value.permanent
    assert len(query.fetch().positions) == 2


def test_a_wrong_secret_is_told_without_it(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (query,) = OpenSky(httpserver).asked(monkeypatch, secret="canary-wrong")
    with pytest.raises(FeedError, match="client id or secret is wrong") as raised:
        query.fetch()
    assert raised.value.permanent
    assert "canary" not in f"{raised.value}{raised.value!r}{query!r}"
    assert raised.value.body == b""


def test_credits_that_are_gone_are_waited_for_as_long_as_it_says(httpserver: HTTPServer) -> None:
    service = OpenSky(httpserver, 8)
    (query,) = asked(kind="opensky", base_url=f"{service.url}/api", every_s=100.0)
    schedule = Schedule([query], 0.0)
    answer = query.ask()
    schedule.succeeded(0, 0.0, answer.snapshot, new=True, credits_left=answer.credits_left)
    assert schedule.every_s(0) > 80_000, "the last four credits are kept for the end of the day"
    query.fetch()
    with pytest.raises(FeedError) as raised:
        query.fetch()
    assert schedule.failed(0, 0.0, raised.value, NOW) >= 41212
    assert schedule.health[0].circuit == "open"


# -------------------------------------------------------------------------------------------------------------- Flightradar24


def flight(**more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"fr24_id": "322d530f", "lat": 44.9, "lon": 131.2, "track": 203, "alt": 33000, "gspeed": 450}
    fields |= {"vspeed": -64, "squawk": "2054", "timestamp": "2023-07-31T23:59:57Z", "source": "ADSB", "hex": "15521F"}
    return fields | {"callsign": "RFF7237", "reg": "RA-86559", "type": "IL62"} | more


def test_flightradar24_positions(httpserver: HTTPServer) -> None:
    """Hidden addresses are counted, estimated positions keep their name, what is cut off says so."""
    body = {"data": [flight(), flight(hex=None), flight(hex="155220", source="ESTIMATED"), flight(lat="x")]}
    httpserver.expect_request("/api/live/flight-positions/full").respond_with_json(body)
    base = {"kind": "flightradar24", "base_url": httpserver.url_for("").rstrip("/"), "key_env": "K", "key": KEY}
    (query,) = asked(**base, ask=["box:37,123,44,133"])
    got = query.fetch()
    assert [(r["icao24"], r["source"]) for r in got.positions.to_pylist()] == [("15521f", "adsb"), ("155220", "estimated")]
    assert got.positions.to_pylist()[0]["timestamp"] == NOW - timedelta(seconds=3)
    assert got.refused == {"bad_entry": 1, "hidden_address": 1}
    request = httpserver.log[0][0]
    assert request.query_string == b"bounds=44,37,123,133&limit=30000"
    assert (request.headers["Authorization"], request.headers["Accept-Version"]) == ("Bearer canary-key", "v1")
    (cut,) = asked(**base, ask=["all"], most_rows=4)
    assert cut.fetch().refused["truncated"] == 1
    assert feed(kind="flightradar24", key_env="K").terms.retention_days == 30


def test_credits_that_are_told_of_are_counted_over_the_day(httpserver: HTTPServer) -> None:
    """1,000 a day at 8 a flight: after a reply of ten it is asked as often as the rest allows; also after a restart."""
    body = {"data": [flight(hex=f"15520{n}") for n in range(10)]}
    httpserver.expect_request("/api/live/flight-positions/full").respond_with_json(body)
    base = {"kind": "flightradar24", "base_url": httpserver.url_for("").rstrip("/"), "key_env": "K", "key": KEY}
    (query,) = asked(**base, credits_a_day=1000)
    schedule = Schedule([query], 0.0)
    answer = query.ask()
    schedule.succeeded(0, 0.0, answer.snapshot, new=True, credits_left=answer.credits_left)
    assert schedule.health[0].credits_left == 920
    assert schedule.every_s(0) == pytest.approx(86_400 / (920 * 0.95 / 80))
    again = Schedule([query], 0.0, by_question(schedule.report(NOW, NOW)))
    again.succeeded(0, 0.0, query.fetch(), new=True)
    assert again.health[0].credits_left == 840
    later = Schedule([query], 0.0, by_question(schedule.report(NOW, NOW - timedelta(days=1))))
    later.succeeded(0, 0.0, query.fetch(), new=True)
    assert later.health[0].credits_left == 920


@pytest.mark.parametrize(
    ("status", "permanent", "words"), [(402, True, "credits"), (403, True, "the plan"), (429, False, "too many requests")]
)
def test_flightradar24_refusals(httpserver: HTTPServer, status: int, permanent: bool, words: str) -> None:
    httpserver.expect_request("/api/live/flight-positions/light").respond_with_json({"message": "no"}, status=status)
    base = {"kind": "flightradar24", "base_url": httpserver.url_for("").rstrip("/"), "key_env": "K", "detail": "light"}
    (query,) = asked(**base, key=KEY)
    with pytest.raises(FeedError, match=words) as raised:
        query.fetch()
    assert raised.value.permanent == permanent


def test_an_empty_list_of_flights_is_an_empty_sky() -> None:
    for body in (b'{"data": []}', b"[]"):
        assert len(flightradar24.parse(body, "test", Scope("world"), NOW).positions) == 0
    with pytest.raises(FeedError, match="no `data`"):
        flightradar24.parse(b'{"message": "x"}', "test", Scope("world"), NOW)


ZONE_ROW = [
    "15521F",
    44.9087,
    131.2244,
    203,
    33000,
    450,
    "2054",
    "T-1",
    "IL62",
    "RA-86559",
    NOW.timestamp() - 3,
    "",
    "",
    "",
    0,
    -64,
]


def zones(rows: dict[str, Any], count: int = 14233) -> Any:
    body = json.dumps({"full_count": count, "version": 4, "stats": {"total": {}}} | rows).encode()
    return flightradar24.parse_zones(body, "test", Scope("world"), NOW)


def test_the_shape_of_the_zone_feed() -> None:
    """Any key whose value is a list is a flight; hidden ones are counted; a broken server is no empty sky."""
    hidden = ["", *ZONE_ROW[1:]]
    got = zones({"322d530f": [*ZONE_ROW, "RFF7237", 0, "RFF"], "a1": hidden, "a2": [*ZONE_ROW[:14], 1, 0, "X"], "a3": [1]})
    first, second = got.positions.to_pylist()
    assert (first["icao24"], first["callsign"], first["altitude"], first["onground"]) == ("15521f", "RFF7237", 33000, False)
    assert (second["onground"], second["altitude"]) == (True, None)
    assert got.refused == {"hidden_address": 1, "bad_entry": 1}
    assert len(zones({}, count=0).positions) == 0
    with pytest.raises(FeedError, match="no empty sky"):
        zones({})
    assert not feed(kind="flightradar24-zones").enabled


# ------------------------------------------------------------------------------------------------------------------ receivers


def test_the_place_of_a_receiver_is_kept_with_the_scope(httpserver: HTTPServer, tmp_path: Path) -> None:
    """By address and by file; one that does not say where it is is read all the same."""
    body = reply([heading_for_pyongyang("15521f", 0)], NOW.timestamp())
    httpserver.expect_request("/data/aircraft.json").respond_with_data(body)
    place = {"refresh": 1000, "history": 120, "lat": 43.12, "lon": 131.9, "readsb": True, "version": "3.14"}
    httpserver.expect_request("/data/receiver.json").respond_with_json(place)
    (query,) = asked(kind="receiver", base_url=httpserver.url_for("/data/aircraft.json"))
    for _ in range(3):
        assert query.fetch().scope == Scope("area", ("43.12", "131.9"))
    assert served(httpserver).count("/data/receiver.json") == 1
    (tmp_path / "aircraft.json").write_bytes(body)
    for said in (None, b"{}", b'{"lat": 95.0, "lon": 0.0}', b"<html>"):
        if said is not None:
            (tmp_path / "receiver.json").write_bytes(said)
        (query,) = asked(kind="receiver", path=str(tmp_path / "aircraft.json"))
        assert query.fetch().scope == Scope("area")


# ---------------------------------------------------------------------------------------------------------------------- SBS-1


def msg(kind: int, hex_: str, at: datetime, **fields: object) -> str:
    row = [""] * 22
    row[:10] = ["MSG", str(kind), "1", "1", hex_, "1", f"{at:%Y/%m/%d}", f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}", "", ""]
    index = {
        "callsign": 10,
        "altitude": 11,
        "speed": 12,
        "track": 13,
        "lat": 14,
        "lon": 15,
        "rate": 16,
        "squawk": 17,
        "ground": 21,
    }
    for name, value in fields.items():
        row[index[name]] = str(value)
    return ",".join(row) + "\r\n"


def said(at: datetime) -> str:
    """One aircraft in the air, one on the ground, and what is no position."""
    lines = [
        msg(1, "15521F", at - timedelta(seconds=0.3), callsign="RFF7237", ground=0),
        msg(4, "15521F", at - timedelta(seconds=0.2), speed=450, track=203, rate=-64, ground=0),
        msg(6, "15521F", at - timedelta(seconds=0.1), squawk="2054"),
        msg(3, "15521F", at + timedelta(seconds=0.2), altitude=33000, lat=44.90872, lon=131.22443, ground=0),
        msg(3, "15521F", at - timedelta(seconds=30), altitude=33000, lat=10.0, lon=10.0, ground=0),
        msg(2, "780A51", at, speed=8, track=92.8, lat=40.07811, lon=116.59, ground=-1),
        "STA,,1,1,15521F,1,2023/08/01,00:05:00.000,2023/08/01,00:05:00.000,RM\r\n",
        "MSG,3,1,1,15\r\n",
        "\r\n",
    ]
    return "".join(lines)


@pytest.mark.parametrize("zone_h", [0, 3, -5, 5.75])
def test_lines_become_positions_whatever_zone_the_sender_is_in(zone_h: float) -> None:
    got = basestation.parse(said(NOW - timedelta(seconds=1) + timedelta(hours=zone_h)).encode(), "test", Scope("area"), NOW)
    parked, flying = got.positions.to_pylist()
    assert (flying["icao24"], flying["callsign"], flying["squawk"], flying["altitude"]) == ("15521f", "RFF7237", "2054", 33000)
    assert (flying["groundspeed"], flying["vertical_rate"], flying["onground"]) == (450, -64, False)
    assert flying["latitude"] == pytest.approx(44.90872), "a position that comes late replaces none"
    assert flying["timestamp"] == NOW - timedelta(seconds=0.8)
    assert (parked["icao24"], parked["onground"]) == ("780a51", True)
    assert got.refused == {"bad_line": 1}


class Receiver:
    """Sends text in pieces to whoever connects."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.connections: list[socket.socket] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> socket.socket:
        connection, _ = self.listener.accept()
        self.connections.append(connection)
        return connection

    def close(self) -> None:
        for connection in (*self.connections, self.listener):
            connection.close()


def eventually(what: Callable[[], Any], seconds: float = 10.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if got := what():
                return got
        except FeedError:
            pass
        time.sleep(0.02)  # the collector is a thread behind a socket: it is looked at again, until the limit
    raise AssertionError("it did not happen in time")


def test_lines_are_collected_across_packets_and_broken_connections() -> None:
    """A line split over packets is one; what breaks off in the middle is not joined to what comes next."""
    receiver = Receiver()
    lines = basestation.Lines(receiver.address)
    line = msg(3, "15521F", NOW, lat=44.9, lon=131.2, ground=0).encode()
    sender = threading.Thread(target=lambda: receiver.accept().sendall(line + line[:30]))
    sender.start()
    assert eventually(lambda: lines.read().body) == line
    sender.join()
    receiver.connections[0].sendall(line[30:] + line[:30])
    assert eventually(lambda: lines.read().body) == line
    receiver.connections[0].close()
    again = receiver.accept()
    again.sendall(line)
    assert eventually(lambda: lines.read().body) == line
    lines.close()
    receiver.close()
    assert lines._thread is not None
    lines._thread.join(10.0)


def test_a_receiver_that_is_not_there_is_no_quiet_sky() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (query,) = asked(kind="sbs", address=address)
    assert query.format == "sbs"
    lines = basestation.Lines(address)
    with pytest.raises(FeedError, match="refused") as raised:
        replace(query, read=lines.read).fetch()
    assert raised.value.reason == "unreachable"
    lines.close()
    assert lines._thread is not None
    lines._thread.join(10.0)  # a thread that outlives the test would write into the next one's log
    assert not lines._thread.is_alive()


def test_what_nobody_collects_is_bounded_and_counted() -> None:
    lines = basestation.Lines("127.0.0.1:1")
    line = msg(3, "15521F", NOW, lat=44.9, lon=131.2, ground=0).encode().rstrip() + b"," * 2000 + b"\r\n"
    for _ in range(200):
        lines._keep(line * 50)
    assert len(lines._buffer) <= basestation.LARGEST_BUFFER
    assert lines._buffer[:3] == b"MSG"
    lines._keep(b"x" * (basestation.LONGEST_LINE + 1))
    lines._error, lines._thread = "", threading.current_thread()
    got = basestation.parse(lines.read().body, "test", Scope("area"), NOW)
    assert got.refused["buffer_full"] == 1


@given(st.binary(max_size=400), st.text("MSG,0123456789./:-\r\n", max_size=400))
def test_any_bytes_are_lines_or_nothing(junk: bytes, text: str) -> None:
    for body in (junk, text.encode(), msg(3, text[:6], NOW, lat=text[:4], lon=text[4:9]).encode("ascii", "replace")):
        basestation.parse(body, "test", Scope("area"), NOW)
