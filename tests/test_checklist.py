"""What services and receivers are known to do, kind by kind, through the real client from servers on loopback, and every
known fault of the data through the whole of live. What other tests do in detail (paths and headers in `test_services`, columns in
`test_feeds` and `test_opensky`, files in `test_formats`) is not done again here."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch import legs as leg_stage
from flightwatch import live
from flightwatch.aircraft import Registry
from flightwatch.config import FeedSettings, Secret
from flightwatch.errors import FeedError
from flightwatch.feeds import basestation
from flightwatch.feeds.credentials import ClientCredentials
from flightwatch.feeds.http import GONE_WAIT_S, Http
from flightwatch.feeds.poller import Query, Schedule
from flightwatch.feeds.questions import queries
from flightwatch.imports import How, files_of, import_files
from flightwatch.places.great_circle import destination
from flightwatch.records import Leg, legs_from_table
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from tests.conftest import SHARED
from tests.live_runs import Ledger, pipeline
from tests.test_feeds import entry
from tests.test_opensky import state
from tests.test_services import ZONE_ROW, Receiver, eventually, flight, msg

NOW = datetime(2023, 8, 1, tzinfo=UTC)
CLOCK = NOW.timestamp()


def asked(clock: Callable[[], datetime] = lambda: NOW, key: Secret | None = None, **more: Any) -> Query:
    """The one query of a feed."""
    (query,) = queries(FeedSettings.model_validate({"name": "sky"} | more), [], key, clock)
    return query


def refusal(query: Query) -> FeedError:
    with pytest.raises(FeedError) as raised:
        query.fetch()
    assert "\n" not in str(raised.value)
    return raised.value


# -------------------------------------------------------------------------------------------------------------------- OpenSky


def test_a_token_is_renewed_half_a_minute_before_its_thirty_minutes_are_over(httpserver: HTTPServer) -> None:
    tokens = iter(f"token-{n}" for n in range(9))
    granted = lambda _: Response(json.dumps({"access_token": next(tokens), "expires_in": 1800}))  # noqa: E731
    httpserver.expect_request("/token", method="POST").respond_with_handler(granted)
    now_s = [0.0]
    account = ClientCredentials(Http(), httpserver.url_for("/token"), Secret("me"), Secret("canary"), lambda: now_s[0])
    seen = []
    for now_s[0] in (0.0, 1769.0, 1771.0, 1800.0, 3600.0):
        seen.append(account.token())
    assert seen == ["token-0", "token-0", "token-1", "token-1", "token-2"]


def test_opensky_has_a_burst_of_errors_and_comes_back(httpserver: HTTPServer) -> None:
    """Four times 503 with a page, then 17 and 18 columns: it is asked less often, and as before after a good reply."""
    answers = [503, 503, 503, 503, 200]
    body = json.dumps({"time": CLOCK, "states": [state()[:17], state(icao24="152c2a")]})

    def states(_: Request) -> Response:
        status = answers.pop(0)
        return Response(body if status == 200 else "<html>Service Unavailable</html>", status=status, content_type="text/html")

    def good(_: Request) -> Response:
        return Response(body, content_type="application/json")

    httpserver.expect_request("/api/states/all").respond_with_handler(lambda r: states(r) if len(answers) > 1 else good(r))
    query = asked(kind="opensky", base_url=httpserver.url_for("/api"), every_s=100.0)
    schedule, waits = Schedule([query], 0.0), []
    for _ in range(4):
        error = refusal(query)
        assert (error.reason, error.permanent) == ("http_503", False)
        waits.append(schedule.failed(0, 0.0, error, NOW))
    assert schedule.health[0].circuit == "open"
    assert all(100.0 <= wait <= 900.0 for wait in waits)
    answer = query.ask()
    schedule.succeeded(0, 0.0, answer.snapshot, new=True, credits_left=answer.credits_left)
    assert (schedule.health[0].circuit, len(answer.snapshot.positions)) == ("closed", 2)


def test_a_404_without_a_word_is_no_empty_sky(httpserver: HTTPServer) -> None:
    """So OpenSky says of flights that there are none; of states it means that the address is wrong. It is asked rarely."""
    httpserver.expect_request("/api/states/all").respond_with_data(b"", status=404)
    error = refusal(asked(kind="opensky", base_url=httpserver.url_for("/api")))
    assert (error.reason, error.permanent, error.retry_after_s) == ("http_404", False, GONE_WAIT_S)


# -------------------------------------------------------------------------------------------------------------- the v2 family


@pytest.mark.parametrize(
    ("body", "aircraft"),
    [
        ({"ac": [entry()], "now": CLOCK * 1000, "msg": "No error", "total": 1, "ctime": CLOCK * 1000, "ptime": 0}, ["15521f"]),
        ({"aircraft": [entry()], "now": CLOCK, "resultCount": 1, "ptime": 0.1}, ["15521f"]),
        ({"ac": [entry(alt_baro="ground")], "now": CLOCK * 1000}, ["15521f"]),
        (
            {"ac": [entry(lat=None, lon=None, lastPosition={"lat": 44.0, "lon": 131.0, "seen_pos": 75.0})], "now": CLOCK * 1000},
            ["15521f"],
        ),
        ({"ac": [entry(hex="~2a81f0"), entry(hex="15521f")], "now": CLOCK * 1000}, ["~2a81f0", "15521f"]),
        ({"ac": [], "now": CLOCK * 1000, "total": 0}, []),
        (entry(now=CLOCK * 1000), ["15521f"]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_shapes_of_the_v2_family(body: dict[str, Any], aircraft: list[str], packed: bool, httpserver: HTTPServer) -> None:
    data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    if packed:
        data, headers = gzip.compress(data), headers | {"Content-Encoding": "gzip"}
    httpserver.expect_request("/v2/all").respond_with_data(data, headers=headers)
    got = asked(base_url=httpserver.url_for(""), ask=["all"]).fetch()
    assert got.positions["icao24"].to_pylist() == aircraft
    assert got.feed_time == NOW


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason", "permanent"),
    [
        (429, '{"message": "slow down"}', "application/json", "http_429", False),
        (403, "Access is by approval: write to us.", "text/plain", "http_403", True),
        (402, '{"message": "pay"}', "application/json", "http_402", True),
        (404, "Not Found", "text/plain", "http_404", False),
        (414, "URI Too Long", "text/html", "http_414", False),
        (500, "oh", "text/html", "http_500", False),
        (200, '{"error":"invalid params"}', "application/json", "no_aircraft", False),
        (200, "<html>log in</html>", "text/html", "wrong_type", False),
    ],
)
def test_refusals_of_the_v2_family(
    status: int, body: str, kind: str, reason: str, permanent: bool, httpserver: HTTPServer
) -> None:
    """With a reason in one word and what was said; a service that does not say when to come again is left alone longer."""
    httpserver.expect_request("/v2/all").respond_with_data(body, status=status, content_type=kind)
    query = asked(base_url=httpserver.url_for(""), ask=["all"])
    error = refusal(query)
    assert (error.reason, error.permanent, error.body) == (reason, permanent, body.encode())
    schedule = Schedule([query], 0.0)
    waits = [schedule.failed(0, 0.0, error, NOW) for _ in range(6)]
    assert all(query.every_s <= wait <= max(query.every_s, GONE_WAIT_S) for wait in waits)
    assert (schedule.next() is None) == permanent


# ------------------------------------------------------------------------------------------------------------ readsb's own files


def test_a_file_that_is_replaced_while_it_is_read_is_whole_each_time(tmp_path: Path) -> None:
    """As readsb writes it: beside, then renamed over. What is read is one or the other."""
    path, stop = tmp_path / "aircraft.json", threading.Event()
    versions = [json.dumps({"now": CLOCK, "aircraft": [entry(hex=f"1552{n:02x}") for n in range(k)]}) for k in (1, 200)]
    path.write_text(versions[0])

    def write() -> None:
        while not stop.is_set():
            for version in versions:
                (tmp_path / "new").write_text(version)
                (tmp_path / "new").replace(path)

    writer = threading.Thread(target=write)
    writer.start()
    query = asked(kind="receiver", path=str(path))
    seen = Counter(len(query.fetch().positions) for _ in range(60))
    stop.set()
    writer.join()
    assert set(seen) <= {1, 200}
    assert sum(seen.values()) == 60


def test_a_history_is_read_whatever_order_its_ring_is_in(tmp_path: Path, store: Store) -> None:
    """history_0.json is not the oldest: the same positions as in order, each once."""
    folder = tmp_path / "data"
    folder.mkdir()
    for n in range(6):  # the ring was written round to 2
        at = CLOCK + 30 * ((n + 3) % 6)
        listed = [entry(lat=40 + 0.01 * ((n + 3) % 6), seen_pos=1.0)]
        (folder / f"history_{n}.json").write_text(json.dumps({"now": at, "messages": n, "aircraft": listed}))
    (folder / "receiver.json").write_text(json.dumps({"lat": 43.1, "lon": 131.9, "history": 6}))
    for parts in files_of([folder / f"history_{n}.json" for n in range(6)]):
        import_files(store, parts, How())
    rows = store.snapshots.positions().sort_by("timestamp").to_pylist()
    assert [round(r["latitude"], 2) for r in rows] == [40.0, 40.01, 40.02, 40.03, 40.04, 40.05]
    assert [r["timestamp"] for r in rows] == [NOW + timedelta(seconds=30 * n - 1) for n in range(6)]


def test_gzip_that_is_not_announced_is_told_and_no_empty_sky(httpserver: HTTPServer) -> None:
    """A file that was packed on disk, served as it stands. (Files themselves are seen by their content: test_formats.)"""
    packed = gzip.compress(json.dumps({"now": CLOCK, "aircraft": [entry()]}).encode())
    httpserver.expect_request("/data/aircraft.json").respond_with_data(packed, content_type="application/json")
    error = refusal(asked(kind="receiver", base_url=httpserver.url_for("/data/aircraft.json")))
    assert (error.reason, error.body) == ("not_json", packed)


# -------------------------------------------------------------------------------------------------------------- Flightradar24


def mirror(httpserver: HTTPServer, **more: Any) -> Query:
    return asked(kind="flightradar24-zones", enabled=True, base_url=httpserver.url_for("/zones/feed.js"), ask=["all"], **more)


def test_a_zone_with_as_many_rows_as_there_can_be_is_cut_off(httpserver: HTTPServer) -> None:
    """1,500 rows, whatever `full_count` says; one without an address is counted; keys that are no flights are none."""
    rows = {f"3{n:07x}": [f"{0x150000 + n:06X}", *ZONE_ROW[1:], "RFF1", 0, "RFF"] for n in range(1499)}
    rows["a2ffffff"] = ["", *ZONE_ROW[1:]]
    stats = {"total": {"ads-b": 14233}, "visible": {"ads-b": 1500}}
    body = {"full_count": 14233, "version": 4, "stats": stats, "selected-aircraft": {}} | rows
    httpserver.expect_request("/zones/feed.js").respond_with_json(body)
    got = mirror(httpserver, most_rows=1500).fetch()
    assert (len(got.positions), got.refused) == (1499, {"hidden_address": 1, "truncated": 1})
    assert got.scope.kind == "reported", "nothing is said of who is missing"
    assert mirror(httpserver, most_rows=1501).fetch().refused == {"hidden_address": 1}


def test_a_zone_feed_whose_server_is_broken_is_no_empty_sky(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/zones/feed.js").respond_with_json({"full_count": 14233, "version": 4, "stats": {}})
    assert refusal(mirror(httpserver)).reason == "degraded"


def test_a_zone_feed_that_leads_to_an_old_file_is_stale(httpserver: HTTPServer) -> None:
    """302 to a static file with flights of long ago."""
    old = {"full_count": 1, "version": 4, "322d530f": [*ZONE_ROW[:10], CLOCK - 86_400, *ZONE_ROW[11:]]}
    httpserver.expect_request("/static/legacy/feed.json").respond_with_json(old)
    moved = {"Location": "/static/legacy/feed.json"}
    httpserver.expect_request("/zones/feed.js").respond_with_data(b"", status=302, headers=moved)
    assert refusal(mirror(httpserver)).reason == "stale"


@pytest.mark.parametrize(
    ("status", "headers", "reason", "permanent"),
    [(403, {"cf-mitigated": "challenge"}, "challenge", True), (403, {}, "http_403", True), (520, {}, "http_520", False)],
)
def test_pages_of_a_wall_in_front_of_a_zone_feed(
    status: int, headers: dict[str, str], reason: str, permanent: bool, httpserver: HTTPServer
) -> None:
    """Nobody goes round it: a block is for good, an error of the wall's own is not."""
    httpserver.expect_request("/zones/feed.js").respond_with_data(
        b"<html>blocked</html>", status=status, headers=headers, content_type="text/html"
    )
    error = refusal(mirror(httpserver))
    assert (error.reason, error.permanent) == (reason, permanent)


@pytest.mark.parametrize("body", [{"data": [flight(source="ESTIMATED")]}, [flight(source="ESTIMATED")], {"data": []}])
def test_shapes_of_the_official_api(body: Any, httpserver: HTTPServer) -> None:
    """In `data`, bare, or empty; an estimated position keeps its name."""
    httpserver.expect_request("/api/live/flight-positions/full").respond_with_json(body)
    got = asked(key=Secret("k"), kind="flightradar24", base_url=httpserver.url_for(""), key_env="K").fetch()
    assert got.positions["source"].to_pylist() == (["estimated"] if body != {"data": []} else [])


# ---------------------------------------------------------------------------------------------------------------------- SBS-1


def test_a_line_end_that_is_split_over_packets_ends_one_line() -> None:
    """CR in one packet, LF in the next; a clock that goes back replaces nothing; what is no position is counted or passed."""
    receiver = Receiver()
    lines = basestation.Lines(receiver.address)
    first = msg(3, "15521F", NOW, lat=44.9, lon=131.2, ground=0).encode()
    late = msg(3, "15521F", NOW - timedelta(seconds=20), lat=44.0, lon=131.0, ground=0).encode()
    other = b"STA,,1,1,15521F,1,2023/08/01,00:00:00.000,2023/08/01,00:00:00.000,RM\r\n"

    def send() -> None:
        connection = receiver.accept()
        connection.sendall(first[:-1])
        time.sleep(0.05)  # else it is one packet
        connection.sendall(b"\n" + late + other)

    sender = threading.Thread(target=send)
    sender.start()
    body = b""

    def collected() -> bool:
        nonlocal body
        body += lines.read().body
        return body.endswith(other)

    assert eventually(collected)
    sender.join()
    assert body == first + late + other
    (row,) = basestation.parse(body, "sky", asked(kind="sbs", address="127.0.0.1:1").scope, NOW).positions.to_pylist()
    assert (row["latitude"], row["timestamp"]) == (44.9, NOW)
    lines.close()
    receiver.close()
    assert lines._thread is not None
    lines._thread.join(10.0)


# ----------------------------------------------------------------------------------------------- faults of the data, through live


Poll = tuple[float, list[dict[str, Any]]]
"""Seconds after `NOW` that its clock says, and who is in it."""


class Watched:
    """Polls that were served on loopback and went through live, and what was made of them."""

    def __init__(self, folder: Path, httpserver: HTTPServer, polls: Iterable[Poll]) -> None:
        clock, waiting = FakeClock(NOW), list(polls)

        def sky(_: Request) -> Response:
            at, listed = waiting.pop(0)
            return Response(json.dumps({"now": CLOCK + at, "aircraft": listed}), content_type="application/json")

        httpserver.expect_request("/data/aircraft.json").respond_with_handler(sky)
        httpserver.expect_request("/data/receiver.json").respond_with_json({})
        query = asked(clock.now, kind="receiver", base_url=httpserver.url_for("/data/aircraft.json"), every_s=1.0)
        self.ledger = Ledger()
        outlets = live.Outlets({"ledger": self.ledger}, None, None)
        with Store(folder) as store:
            runner = live.Runner(store, pipeline(store), [query], outlets, clock)
            while waiting:
                clock.sleep(max(NOW.timestamp() + waiting[0][0] - clock.now().timestamp(), 0.0))
                runner.poll(0)
            self.health = runner.schedule.health[0]
            runner._save_legs(leg_stage.aircraft_of(runner._state.legs))
            runner.deliver().run_once(clock.now())
            self.rows = store.snapshots.positions().sort_by("timestamp").to_pylist()
            self.legs: list[Leg] = legs_from_table(store.legs.table())
            runner.book.close()


FIRST = (44.908722, 131.224431)


def cruise(seconds: Iterable[float], hex_: str = "15521f", start: tuple[float, float] = FIRST, **more: Any) -> list[Poll]:
    """A flight straight north at 450 kt, a poll for each of these seconds."""
    out = []
    for at in seconds:
        lat, lon = (float(v) for v in destination(*start, 0.0, 450 * at / 3600))
        fields = {"lat": lat, "lon": lon, "track": 0.0, "seen_pos": 0.0, "seen": 0.0, "baro_rate": 0} | more
        out.append((at, [entry(hex=hex_, **fields)]))
    return out


def with_values(polls: list[Poll], **values: list[Any]) -> list[Poll]:
    """One value a poll for each of these fields."""
    return [(at, [row | {name: v[n] for name, v in values.items()} for row in rows]) for n, (at, rows) in enumerate(polls)]


VNUKOVO = {"lat": 55.5915, "lon": 37.2615}
EVERY_20_S = [20.0 * n for n in range(12)]


def test_fault_teleport(tmp_path: Path, httpserver: HTTPServer) -> None:
    """Half round the world in ten seconds, once: a ghost, and the flight goes on as one leg where it was."""
    polls = cruise(EVERY_20_S)
    polls[6] = (polls[6][0], [polls[6][1][0] | VNUKOVO])
    (leg,) = Watched(tmp_path, httpserver, polls).legs
    assert (leg.status, leg.destination.basis) == ("airborne", "unknown")


def test_fault_spoof_to_an_airport(tmp_path: Path, httpserver: HTTPServer) -> None:
    """At the reference point of an airport, at a height, at no speed, for minutes: nobody landed there."""
    near = cruise(EVERY_20_S, start=(55.7, 37.4), alt_baro=12_000, baro_rate=0)
    spoofed = [(240.0 + 8 * n, [entry(alt_baro=12_000, gs=0, baro_rate=0, seen_pos=0.0, **VNUKOVO)]) for n in range(20)]
    after = cruise([420.0 + at for at in EVERY_20_S], start=(55.7, 37.4), alt_baro=12_000)
    seen = Watched(tmp_path, httpserver, near + spoofed + after)
    assert seen.legs
    assert not [leg for leg in seen.legs if leg.status == "landed" or leg.destination.basis == "observed"]
    assert not [leg for leg in seen.legs if leg.origin.basis == "observed"]
    told = [(m.stage, "positions that cannot be true" in m.headline) for m in seen.ledger.sent]
    assert [m for m in told if m[0] not in ("outage", "outage_over")] == [("happened", True)], "of the positions, not of a place"


def test_fault_jamming(tmp_path: Path, httpserver: HTTPServer) -> None:
    """Integrity drops to nothing: it is kept with each position, and tells of no landing."""
    polls = with_values(cruise(EVERY_20_S), nic=[8] * 6 + [0] * 6, nac_p=[10] * 6 + [0] * 6, sil=[3] * 12)
    seen = Watched(tmp_path, httpserver, polls)
    assert [(r["nic"], r["nac_p"], r["sil"]) for r in seen.rows[5:7]] == [(8, 10, 3), (0, 0, 3)]
    assert [leg.status for leg in seen.legs] == ["airborne"]
    assert seen.ledger.sent == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"hex": "000000", "lat": 1.0, "lon": 1.0}, "dummy_address"), ({"lat": 0.0, "lon": 0.0}, "null_island")],
)
def test_fault_dummy_address_and_null_island(fields: dict[str, Any], reason: str, tmp_path: Path, httpserver: HTTPServer) -> None:
    seen = Watched(tmp_path, httpserver, [(0.0, [entry(seen_pos=0.0), entry(**fields)])])
    assert (len(seen.rows), seen.health.refused) == (1, Counter({reason: 1}))


def test_fault_altitude_spike(tmp_path: Path, httpserver: HTTPServer) -> None:
    """One sample of 125,898 ft: the position stays, the height is none."""
    heights = [33_000] * 5 + [125_898] + [33_000] * 6
    seen = Watched(tmp_path, httpserver, with_values(cruise(EVERY_20_S), alt_baro=heights))
    assert [r["altitude"] for r in seen.rows[4:7]] == [33_000, None, 33_000]
    assert [leg.status for leg in seen.legs] == ["airborne"]


def test_fault_ground_flapping(tmp_path: Path, httpserver: HTTPServer) -> None:
    """The wheels are on and off the ground at take-off speed: one take-off."""
    times = [10.0 * n for n in range(20)]
    heights = ["ground"] * 8 + ["ground", 650, "ground", 700, 1200] + [1500 + 400 * n for n in range(7)]
    speeds = [5.0] * 5 + [60, 100, 130] + [150, 155, 158, 160, 170] + [180 + 5 * n for n in range(7)]
    along = 0.0
    polls: list[Poll] = []
    for n, at in enumerate(times):
        along += speeds[n] * 10 / 3600
        lat, lon = (float(v) for v in destination(37.6189, -122.375, 298.0, along))
        fields = {
            "lat": lat,
            "lon": lon,
            "track": 298.0,
            "seen_pos": 0.0,
            "alt_baro": heights[n],
            "gs": speeds[n],
            "baro_rate": 1500,
        }
        polls.append((at, [entry(**fields)]))
    (leg,) = Watched(tmp_path, httpserver, polls).legs
    assert (leg.origin.airport, leg.origin.basis, leg.status) == ("KSFO", "observed", "airborne")


def test_fault_false_ground_in_the_air(tmp_path: Path, httpserver: HTTPServer) -> None:
    """`ground` at 34,000 ft and 450 kt is no landing."""
    heights: list[Any] = [33_000] * 5 + ["ground"] * 2 + [33_000] * 5
    seen = Watched(tmp_path, httpserver, with_values(cruise(EVERY_20_S, alt_geom=34_000), alt_baro=heights))
    assert [leg.status for leg in seen.legs] == ["airborne"]


def test_fault_repeats_of_a_stale_fix(tmp_path: Path, httpserver: HTTPServer) -> None:
    """The same fix, older each time, and moved to `lastPosition` after a minute: it was there once."""
    fix = {"lat": 44.9, "lon": 131.2}
    polls: list[Poll] = [
        (0.0, [entry(seen_pos=1.0, seen=1.0, **fix)]),
        (30.0, [entry(seen_pos=31.0, seen=1.0, **fix)]),
        (60.0, [entry(seen_pos=None, seen=1.0, lat=None, lon=None, lastPosition=fix | {"seen_pos": 61.0})]),
    ]
    seen = Watched(tmp_path, httpserver, polls)
    assert {r["timestamp"] for r in seen.rows} == {NOW - timedelta(seconds=1)}
    (leg,) = seen.legs
    assert (leg.first_seen, leg.last_seen) == (NOW - timedelta(seconds=1), NOW - timedelta(seconds=1))


def test_fault_clock_goes_back(tmp_path: Path, httpserver: HTTPServer) -> None:
    """Another server behind the same name is five seconds behind: nothing is turned round by it."""
    polls = cruise([0.0, 10.0, 20.0, 15.0, 30.0, 40.0])
    seen = Watched(tmp_path, httpserver, polls)
    (leg,) = seen.legs
    assert (leg.last_seen, leg.status) == (NOW + timedelta(seconds=40), "airborne")
    assert seen.health.last_good == NOW + timedelta(seconds=40)


def test_fault_two_aircraft_with_one_address(tmp_path: Path, httpserver: HTTPServer) -> None:
    """By turns near Moscow and at Vladivostok: no flight goes from one to the other."""
    here, there = cruise(EVERY_20_S, start=(55.8, 38.0)), cruise(EVERY_20_S, start=(43.4, 132.1))
    seen = Watched(tmp_path, httpserver, [(here if n % 2 == 0 else there)[n] for n in range(12)])
    assert not [leg for leg in seen.legs if leg.status == "landed" or leg.destination.airport or leg.origin.airport]
    assert len(seen.legs) <= 2


def test_fault_reused_callsign(tmp_path: Path, httpserver: HTTPServer) -> None:
    """Two aircraft fly under one callsign: two legs, each of its own address."""
    one, two = cruise(EVERY_20_S), cruise(EVERY_20_S, hex_="155221", start=(50.0, 131.0))
    seen = Watched(tmp_path, httpserver, [(a[0], a[1] + b[1]) for a, b in zip(one, two, strict=True)])
    assert sorted((leg.icao24, leg.callsign) for leg in seen.legs) == [("15521f", "RFF7237"), ("155221", "RFF7237")]


def test_fault_mixed_up_units(httpserver: HTTPServer) -> None:
    body = {"time": CLOCK, "states": [state(baro_altitude=10058.4, velocity=231.55)]}
    httpserver.expect_request("/api/states/all").respond_with_json(body)
    (row,) = asked(kind="opensky", base_url=httpserver.url_for("/api")).fetch().positions.to_pylist()
    assert (round(row["altitude"]), round(row["groundspeed"])) == (33_000, 450)


def test_fault_first_digit_of_an_address(tmp_path: Path, httpserver: HTTPServer) -> None:
    """1d521f flies beside 15521f: a hint that leads to RA-86559, and never one aircraft."""
    one, two = cruise(EVERY_20_S, r=None), cruise(EVERY_20_S, hex_="1d521f", start=(50.0, 131.0), r=None)
    seen = Watched(tmp_path, httpserver, [(a[0], a[1] + b[1]) for a, b in zip(one, two, strict=True)])
    assert {leg.icao24 for leg in seen.legs} == {"15521f", "1d521f"}
    assert Registry().who("1d521f", NOW.date()).registration is None


FAULTS = {
    "teleport": test_fault_teleport,
    "spoof to an airport": test_fault_spoof_to_an_airport,
    "jamming": test_fault_jamming,
    "hex 000000": test_fault_dummy_address_and_null_island,
    "null island": test_fault_dummy_address_and_null_island,
    "altitude spike": test_fault_altitude_spike,
    "ground flap": test_fault_ground_flapping,
    "false ground in the air": test_fault_false_ground_in_the_air,
    "repeat of a stale fix": test_fault_repeats_of_a_stale_fix,
    "clock goes back": test_fault_clock_goes_back,
    "two aircraft, one hex": test_fault_two_aircraft_with_one_address,
    "callsign reuse": test_fault_reused_callsign,
    "unit mix-up": test_fault_mixed_up_units,
    "first nibble error": test_fault_first_digit_of_an_address,
}


def test_every_known_fault_has_a_test() -> None:
    path = SHARED.parent / "reference" / "payloads" / "faults.json"
    if not path.exists():
        pytest.skip("the table of known faults is not at hand")
    assert {fault["fault"] for fault in json.loads(path.read_text())} == set(FAULTS)
