"""What OpenSky sends, as it is and as it goes wrong: bytes to a snapshot."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flightwatch.errors import FeedError
from flightwatch.feeds.opensky import parse_states
from flightwatch.records import Scope, Snapshot
from tests.conftest import real

NOW = datetime(2023, 8, 1, tzinfo=UTC)
CLOCK = int(NOW.timestamp())
WORLD = Scope("world")
FIELDS = "icao24 callsign origin_country time_position last_contact longitude latitude baro_altitude on_ground velocity"
MORE = "true_track vertical_rate sensors geo_altitude squawk spi position_source category"
NAMES = f"{FIELDS} {MORE}".split()


def state(**more: Any) -> list[Any]:
    """One row as served, with the category that `extended=1` adds."""
    values: list[Any] = ["15521f", "RFF7237 ", "Russian Federation", CLOCK - 3, CLOCK - 1, 131.2244, 44.9087, 10058.4, False]
    values += [231.55, 203.1, -0.33, None, 10363.2, "2054", False, 0, 6]
    return [more.get(name, value) for name, value in zip(NAMES, values, strict=True)]


def reply(*states: Any, **more: Any) -> bytes:
    return json.dumps({"time": CLOCK, "states": list(states)} | more).encode()


def parsed(*states: Any, **more: Any) -> Snapshot:
    return parse_states(reply(*states, **more), "opensky", WORLD, NOW)


def row(**more: Any) -> dict[str, Any]:
    (only,) = parsed(state(**more)).positions.to_pylist()
    return dict(only)


def test_metres_become_feet_and_longitude_stands_first() -> None:
    got = row()
    assert (got["latitude"], got["longitude"]) == (44.9087, 131.2244)
    assert (got["altitude"], got["geoaltitude"]) == (33_000, 34_000)
    assert got["groundspeed"] == pytest.approx(450.1, abs=0.05)
    assert got["vertical_rate"] == pytest.approx(-65, abs=0.1)
    assert (got["timestamp"], got["last_contact"]) == (NOW - timedelta(seconds=3), NOW - timedelta(seconds=1))
    assert (got["icao24"], got["callsign"], got["squawk"], got["category"]) == ("15521f", "RFF7237", "2054", "A5")
    assert (got["onground"], got["source"], got["feed"]) == (False, "adsb", "opensky")


@pytest.mark.parametrize("fields", [17, 18, 23])
def test_rows_may_be_shorter_and_may_grow(fields: int) -> None:
    whole = [*state(), *["new"] * 5]
    assert len(parsed(whole[:fields]).positions) == 1


def test_no_states_are_an_empty_sky() -> None:
    snapshot = parsed(states=None)
    assert (len(snapshot.positions), dict(snapshot.refused), snapshot.feed_time) == (0, {}, NOW)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"longitude": None}, "no_position"),
        ({"time_position": None}, "no_time"),
        ({"time_position": CLOCK + 3600}, "no_time"),
        ({"time_position": CLOCK - 3600}, "old_position"),
        ({"icao24": "000000"}, "dummy_address"),
        ({"latitude": 95.0}, "bad_position"),
        ({"category": 17}, "surface_vehicle"),
        ({"latitude": "north"}, "bad_entry"),
        ({"icao24": None}, "bad_entry"),
    ],
)
def test_rows_that_cannot_be_used_are_counted_by_reason(more: dict[str, Any], reason: str) -> None:
    snapshot = parsed(state(**more), state())
    assert (snapshot.refused, len(snapshot.positions)) == ({reason: 1}, 1)


def test_a_row_that_is_none_spoils_no_other() -> None:
    assert parsed(state(), None, [], {"icao24": "15521f"}, state(icao24="152c2a")).refused == {"bad_entry": 3}


@pytest.mark.parametrize(
    ("code", "source"), [(0, "adsb"), (1, "radar"), (2, "mlat"), (3, "other"), (9, "other"), (None, "other")]
)
def test_sources_are_told_apart(code: int | None, source: str) -> None:
    assert row(position_source=code)["source"] == source


@pytest.mark.parametrize(("code", "category"), [(0, None), (1, None), (2, "A1"), (8, "A7"), (9, "B1"), (15, "B7"), (99, None)])
def test_categories_are_those_of_other_feeds(code: int, category: str | None) -> None:
    assert row(category=code)["category"] == category


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>blocked</html>",
        b"[]",
        b"{}",
        b'{"time": 1690848000}',
        b'{"states": []}',
        b'{"time": "x", "states": []}',
        b'{"time": 1e300, "states": []}',
        b'{"time": 1690848000, "states": {}}',
        b'{"now": 1, "ac": []}',
        reply(state())[:-9],
    ],
)
def test_what_is_no_such_reply_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(FeedError) as caught:
        parse_states(body, "opensky", WORLD, NOW)
    assert caught.value.reason in ("not_json", "no_states", "bad_clock")


@pytest.mark.parametrize("name", ["opensky_states_20220408_extended.json", "opensky_states_20250131.json"])
def test_every_row_of_a_real_reply_is_stored_or_refused(name: str) -> None:
    body = real(f"feeds/{name}").read_bytes()
    snapshot = parse_states(body, "opensky", WORLD, NOW)
    assert len(snapshot.positions) + sum(snapshot.refused.values()) == len(json.loads(body)["states"])
    assert sum(snapshot.refused.values()) < 0.03 * len(snapshot.positions)


STRANGE = [None, True, -1, 10**400, 1e308, float("nan"), "", "x", "\ud800", [], {}, [[[]]]]


def test_any_value_in_any_place_is_a_row_or_a_refusal() -> None:
    lot = random.Random(2)
    for _ in range(600):
        rows = [state(**{lot.choice(NAMES): lot.choice(STRANGE) for _ in range(2)}) for _ in range(2)]
        snapshot = parsed(*rows)
        assert len(snapshot.positions) + sum(snapshot.refused.values()) == 2
