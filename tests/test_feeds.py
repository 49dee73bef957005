"""What feeds send, as it is and as it goes wrong: bytes to snapshots."""

from __future__ import annotations

import contextlib
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightwatch.config import FeedSettings
from flightwatch.errors import FeedError
from flightwatch.feeds import v2
from flightwatch.feeds.poller import Schedule, wait_s
from flightwatch.feeds.questions import queries
from flightwatch.records import Scope
from tests.conftest import real
from tests.examples import tries

NOW = datetime(2023, 8, 1, tzinfo=UTC)
WORLD = Scope("world")


def entry(**more: Any) -> dict[str, Any]:
    """One aircraft as readsb lists it."""
    fields: dict[str, Any] = {"hex": "15521f", "type": "adsb_icao", "flight": "RFF7237 ", "r": "RA-86559", "t": "IL62"}
    fields |= {"alt_baro": 33000, "gs": 450.1, "track": 203.1, "baro_rate": -64, "squawk": "2054", "dbFlags": 1}
    fields |= {"lat": 44.908722, "lon": 131.224431, "seen_pos": 1.3, "seen": 0.4}
    return fields | more


def parsed(*entries: dict[str, Any], now: Any = None, key: str = "ac") -> Any:
    clock = NOW.timestamp() * 1000 if now is None else now
    return v2.parse(json.dumps({key: list(entries), "now": clock, "msg": "No error"}).encode(), "test", WORLD, NOW)


def row(**more: Any) -> dict[str, Any]:
    (only,) = parsed(entry(**more)).positions.to_pylist()
    return dict(only)


def test_a_position_as_it_should_be() -> None:
    got = row()
    assert got["timestamp"] == NOW - timedelta(seconds=1.3)
    assert got["last_contact"] == NOW - timedelta(seconds=0.4)
    assert (got["icao24"], got["callsign"], got["registration"], got["typecode"]) == ("15521f", "RFF7237", "RA-86559", "IL62")
    assert (got["onground"], got["military"], got["source"], got["feed"]) == (False, True, "adsb", "test")
    assert got["altitude"] == 33000


@pytest.mark.parametrize("key", ["ac", "aircraft"])
@pytest.mark.parametrize("now", [NOW.timestamp(), NOW.timestamp() * 1000])
def test_both_envelopes_and_both_clocks(key: str, now: float) -> None:
    assert parsed(entry(), now=now, key=key).feed_time == NOW


def test_ground_is_a_word() -> None:
    got = row(alt_baro="ground", true_heading=92.0, track=None)
    assert (got["onground"], got["altitude"], got["track"]) == (True, None, 92.0)


def test_a_height_that_is_missing_says_nothing_of_the_ground() -> None:
    assert row(alt_baro=None)["onground"] is None


def test_the_last_position_stands_elsewhere_after_a_minute() -> None:
    old = entry(lat=None, lon=None, seen_pos=None, lastPosition={"lat": 44.0, "lon": 131.0, "seen_pos": 75.0, "nic": 8})
    got = parsed(old).positions.to_pylist()[0]
    assert (got["latitude"], got["timestamp"]) == (44.0, NOW - timedelta(seconds=75))
    too_old = entry(lat=None, lon=None, lastPosition={"lat": 44.0, "lon": 131.0, "seen_pos": 86_400.0})
    assert parsed(too_old).refused == {"old_position": 1}


def test_a_rough_position_is_no_fix() -> None:
    assert parsed(entry(lat=None, lon=None, rr_lat=44.0, rr_lon=131.0)).refused == {"no_position": 1}


def test_mlat_is_told_by_its_keys() -> None:
    assert row(mlat=["lat", "lon"])["source"] == "mlat"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"hex": "000000"}, "dummy_address"),
        ({"hex": "15521"}, "bad_address"),
        ({"hex": "15521g"}, "bad_address"),
        ({"hex": ""}, "bad_address"),
        ({"lat": 91.0}, "bad_position"),
        ({"lon": 540.0}, "bad_position"),
        ({"lat": 90.0, "lon": 0.0}, "bad_position"),
        ({"lat": 0.004, "lon": -0.004}, "null_island"),
        ({"lat": None}, "no_position"),
        ({"seen_pos": None}, "no_time"),
        ({"seen_pos": -5}, "no_time"),
        ({"category": "C2"}, "surface_vehicle"),
    ],
)
def test_rows_that_cannot_be_used_are_counted_by_reason(more: dict[str, Any], reason: str) -> None:
    snapshot = parsed(entry(**more), entry())
    assert snapshot.refused == {reason: 1}
    assert len(snapshot.positions) == 1


@pytest.mark.parametrize(
    ("name", "value", "column", "kept"),
    [
        ("alt_baro", 195_200, "altitude", None),
        ("alt_baro", -1000, "altitude", -1000.0),
        ("gs", 9999, "groundspeed", None),
        ("track", -1, "track", None),
        ("baro_rate", 90_000, "vertical_rate", None),
        ("squawk", "9999", "squawk", None),
        ("squawk", "0500", "squawk", "0500"),
        ("flight", "@@@@@@@@", "callsign", None),
        ("flight", "00000000", "callsign", None),
        ("flight", "        ", "callsign", None),
        ("flight", "AB\u202e\n\tC1🙂", "callsign", "ABC1"),
        ("hex", "~2A81F0", "icao24", "~2a81f0"),
        ("emergency", "none", "emergency", None),
    ],
)
def test_fields_that_cannot_be_true_become_null(name: str, value: Any, column: str, kept: Any) -> None:
    assert row(**{name: value})[column] == kept


def test_one_bad_entry_spoils_nothing_but_itself() -> None:
    snapshot = parsed(entry(lat="north"), entry(gs=[1]), entry())
    assert (snapshot.refused, len(snapshot.positions)) == ({"bad_entry": 2}, 1)


def test_numbers_that_json_does_not_know() -> None:
    body = json.dumps({"now": NOW.timestamp(), "ac": [entry(gs=math.nan), entry(gs=math.inf)]}).encode()
    snapshot = v2.parse(body, "test", WORLD, NOW)
    assert [r["groundspeed"] for r in snapshot.positions.to_pylist()] == [None, None]


def test_a_single_aircraft_comes_bare() -> None:
    """ADSBexchange's answer for one address."""
    assert len(v2.parse(json.dumps(entry() | {"now": NOW.timestamp() * 1000}).encode(), "test", WORLD, NOW).positions) == 1


def test_an_empty_sky_is_an_answer() -> None:
    assert len(parsed().positions) == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"<!doctype html><title>Just a moment...</title>", "not_json"),
        (b'{"now": 1, "ac": [{"hex": "15521f"', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"ac": []}', "no_aircraft"),
        (b'{"now": 1}', "no_aircraft"),
        (b'{"now": true, "ac": []}', "no_aircraft"),
        (b'{"now": 1e300, "ac": []}', "bad_clock"),
        (b'{"error":"invalid params"}', "no_aircraft"),
        (b"null", "no_aircraft"),
        (b'{"ac": 5, "now": 1}', "no_aircraft"),
        (b'{"now": 18446744072021792.0, "ac": []}', "bad_clock"),
    ],
)
def test_replies_that_are_none(body: bytes, reason: str) -> None:
    with pytest.raises(FeedError) as raised:
        v2.parse(body, "test", WORLD, NOW)
    assert raised.value.reason == reason


def _mutated(body: bytes, places: list[tuple[int, int]]) -> bytes:
    changed = bytearray(body)
    for where, what in places:
        changed[where % len(changed)] = what
    return bytes(changed)


GOOD = json.dumps({"now": NOW.timestamp(), "ac": [entry(), entry(hex="~2a81f0", alt_baro="ground"), {"hex": "780a51"}]}).encode()


@settings(max_examples=tries(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=12))
def test_mutated_replies_are_snapshots_or_feed_errors(places: list[tuple[int, int]]) -> None:
    """Nothing else escapes, whatever bytes come."""
    with contextlib.suppress(FeedError):
        v2.parse(_mutated(GOOD, places), "test", WORLD, NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["lat", "lon", "seen_pos", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=tries(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.dictionaries(st.sampled_from([*entry(), "lastPosition", "mlat", "category", "alt_geom"]), JSON, max_size=12),
        max_size=4,
    )
)
def test_any_values_in_any_field(entries: list[dict[str, Any]]) -> None:
    """Every stored row is one that could be true."""
    body = json.dumps({"now": NOW.timestamp(), "ac": entries}).encode()
    for got in v2.parse(body, "test", WORLD, NOW).positions.to_pylist():
        assert -90 < got["latitude"] < 90
        assert -180 <= got["longitude"] <= 180
        assert got["timestamp"] <= NOW


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("readsb_global_20220501", 7500),
        ("readsb_receiver_1", 60),
        ("readsb_receiver_2", 60),
        ("readsb_receiver_3", 70),
        ("v2_point", 12),
    ],
)
def test_real_replies(name: str, least: int) -> None:
    body = real(f"feeds/{name}.json").read_bytes()
    snapshot = v2.parse(body, "test", WORLD, NOW)
    sent = json.loads(body)
    assert len(snapshot.positions) >= least
    assert len(snapshot.positions) + sum(snapshot.refused.values()) == len(sent.get("ac", sent.get("aircraft")))


# --------------------------------------------------------------------------------------------------------------------- polling


def _feed(**more: Any) -> FeedSettings:
    return FeedSettings(**({"name": "test", "base_url": "http://127.0.0.1:1"} | more))


def test_what_is_asked_has_a_scope_of_its_own() -> None:
    found = queries(_feed(ask=["all", "military", "watchlists", "point:39.2,125.7,250"]), ["15521f"], None, lambda: NOW)
    assert [q.scope.kind for q in found] == ["world", "military", "aircraft", "area"]
    assert found[2].scope.members == ("15521f",)


def test_a_long_watchlist_is_asked_for_in_parts() -> None:
    watched = [f"{n:06x}" for n in range(450)]
    found = queries(_feed(ask=["watchlists"]), watched, None, lambda: NOW)
    assert [len(q.scope.members) for q in found] == [200, 200, 50]


def test_a_stale_reply_says_nothing_about_now(tmp_path: Path) -> None:
    path = tmp_path / "aircraft.json"
    path.write_text(json.dumps({"now": NOW.timestamp(), "aircraft": [entry()]}))
    for clock, reason in ((NOW + timedelta(hours=1), "stale"), (NOW - timedelta(hours=1), "future")):
        (query,) = queries(FeedSettings(name="mine", kind="receiver", path=str(path)), [], None, lambda clock=clock: clock)
        with pytest.raises(FeedError, match="clock") as raised:
            query.fetch()
        assert raised.value.reason == reason
    (query,) = queries(FeedSettings(name="mine", kind="receiver", path=str(path)), [], None, lambda: NOW)
    assert len(query.fetch().positions) == 1


@given(st.floats(1, 3600), st.integers(1, 60), st.none() | st.floats(0, 1e6))
def test_failures_are_waited_out_but_not_for_ever(every: float, in_a_row: int, retry_after: float | None) -> None:
    wait = wait_s(every, in_a_row, retry_after)
    assert wait >= min(every, 900)
    assert wait >= min(retry_after or 0, 900)
    assert wait <= max(every, 900)


def test_the_cadence_is_steady_and_missed_polls_are_not_made_up_for() -> None:
    (query,) = queries(_feed(ask=["all"], every_s=10.0), [], None, lambda: NOW)
    schedule = Schedule([query], 0.0)
    snapshot = parsed(entry())
    schedule.succeeded(0, 0.4, snapshot, new=True)
    assert schedule.next() == (0, 10.0)
    schedule.succeeded(0, 47.0, snapshot, new=True)
    assert schedule.next() == (0, 50.0)


def test_a_permanent_refusal_is_not_asked_again() -> None:
    (query,) = queries(_feed(ask=["all"]), [], None, lambda: NOW)
    schedule = Schedule([query], 0.0)
    schedule.failed(0, 0.0, FeedError("http_403", "no", permanent=True))
    assert schedule.next() is None


def test_half_a_character_spoils_one_entry() -> None:
    """JSON can write one (`\\ud800`), nothing else can hold it."""
    assert parsed(entry(flight="\ud800"), entry()).refused == {"bad_entry": 1}
