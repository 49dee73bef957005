"""Hostile input in bulk: feeds, files and rules. Hundreds of each with every run of the tests, a hundred thousand for
each parser with `make fuzz`; nothing but the errors that are meant may escape, and memory stays bounded."""

from __future__ import annotations

import contextlib
import json
import logging
import random
from collections.abc import Callable
from datetime import datetime
from mmap import mmap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightwatch.config import Secret, Settings
from flightwatch.documents import parse, validate
from flightwatch.errors import ConfigError, FeedError, FlightwatchError, InputError
from flightwatch.feeds import archives, v2
from flightwatch.feeds.columnmaps import ColumnMap
from flightwatch.feeds.credentials import ClientCredentials
from flightwatch.feeds.http import Http, Reply
from flightwatch.feeds.poller import FORMATS
from flightwatch.feeds.receivers import Receiver
from flightwatch.feeds.recordings import INDEX, open_recording
from flightwatch.imports import import_file
from flightwatch.places import Airports
from flightwatch.records import Scope
from flightwatch.rules.language import RuleFile
from flightwatch.store import Store
from tests.conftest import T0
from tests.hostile import MOST_GROWTH, bounded_memory, changed, thrown_at
from tests.samples import CLOCK, SAMPLES
from tests.test_feeds import GOOD, JSON, NOW, WORLD, entry
from tests.test_formats import read_or_refused

FEW = 200
MANY = 100_000
"""For each parser."""

BULK = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
FIELDS = [*entry(), "lastPosition", "mlat", "category", "alt_geom"]
CLOCKS = st.sampled_from([NOW.timestamp(), NOW.timestamp() * 1000, 0, -1, 1e300, "x", None, True])

FLIGHT = {"fr24_id": "322d530f", "lat": 44.9, "lon": 131.2, "track": 203, "alt": 33000, "gspeed": 450, "vspeed": -64}
FLIGHT |= {"squawk": "2054", "timestamp": "2024-03-01T11:59:57Z", "source": "ADSB", "hex": "15521F", "callsign": "RFF7237"}
ZONE = ["15521F", 44.9, 131.2, 203, 33000, 450, "2054", "T-1", "IL62", "RA-86559", CLOCK, "", "", "", 0, -64, "RFF7237", 0]
REPLIES = {
    "v2": GOOD,
    "opensky": SAMPLES["opensky-states"],
    "sbs": SAMPLES["sbs"],
    "flightradar24": json.dumps({"data": [FLIGHT, FLIGHT | {"hex": None}, FLIGHT | {"source": "ESTIMATED"}]}).encode(),
    "flightradar24-zones": json.dumps({"full_count": 9, "version": 4, "322d530f": ZONE, "a1": ["", *ZONE[1:]]}).encode(),
}
"""A good reply of each format that is polled."""


Throw = Callable[[Callable[[bytes], object], bytes, int, object], None]


@pytest.fixture
def throw(record_property: Callable[[str, object], None]) -> Throw:
    """`thrown_at`, counted for the summary."""

    def counted(reader: Callable[[bytes], object], original: bytes, count: int, seed: object) -> None:
        thrown_at(reader, original, count, seed)
        record_property("thrown", count)

    return counted


def reader_of(name: str) -> Callable[[bytes], object]:
    """The parser of a format that is polled; a reply is a snapshot or a FeedError, with a reason."""

    def read(body: bytes) -> None:
        with contextlib.suppress(FeedError):
            snapshot = FORMATS[name](body, "fuzz", WORLD, T0 if name != "v2" else NOW)
            assert isinstance(snapshot.feed_time, datetime)
            assert all(count > 0 for count in snapshot.refused.values())

    return read


def test_every_format_that_is_polled_is_fuzzed() -> None:
    assert set(REPLIES) == set(FORMATS)


@pytest.mark.parametrize("name", REPLIES)
def test_hundreds_of_changed_replies_are_snapshots_or_feed_errors(name: str, throw: Throw) -> None:
    throw(reader_of(name), REPLIES[name], FEW, name)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", REPLIES)
def test_a_hundred_thousand_changed_replies_are_snapshots_or_feed_errors(name: str, throw: Throw) -> None:
    throw(reader_of(name), REPLIES[name], MANY, f"bulk {name}")


SMALL = {
    "receiver.json": json.dumps({"refresh": 1000, "history": 120, "lat": 43.12, "lon": 131.9, "readsb": True}).encode(),
    "token": json.dumps({"access_token": "t", "expires_in": 1800, "token_type": "Bearer"}).encode(),
}


def small_reader(name: str) -> Callable[[bytes], object]:
    """What is read beside the aircraft: the place of a receiver, which is there or not; a token, or a FeedError."""

    class Posted(Http):
        def post(self, url: str, form: object) -> bytes:
            return self.headers["body"].encode("latin-1")

    def place(body: bytes) -> None:
        scope = Receiver(lambda: Reply(b""), lambda: Reply(body)).read().scope
        assert scope is None or scope.kind == "area"

    def token(body: bytes) -> None:
        http = Posted(headers={"body": body.decode("latin-1")})
        with contextlib.suppress(FeedError):
            assert ClientCredentials(http, "http://127.0.0.1/", Secret("a"), Secret("b")).token() is not None

    return {"receiver.json": place, "token": token}[name]


@pytest.mark.parametrize("name", SMALL)
def test_hundreds_of_changed_answers_beside_the_aircraft_are_read_or_refused(name: str, throw: Throw) -> None:
    throw(small_reader(name), SMALL[name], FEW, name)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", SMALL)
def test_a_hundred_thousand_changed_answers_beside_the_aircraft_are_read_or_refused(name: str, throw: Throw) -> None:
    throw(small_reader(name), SMALL[name], MANY, f"bulk {name}")


def file_reader(name: str, airports: Airports) -> Callable[[bytes], object]:
    """A file of a format to its end, plausibility of positions and flights included, with the format given and (one in
    four) seen; whatever is wrong with it may come out as InputError alone, in one line."""
    number = 0

    def read(data: bytes) -> None:
        nonlocal number
        number += 1
        read_or_refused(data, name if number % 4 else None, airports)

    return read


FILES = [name for name in SAMPLES if name != "globe-history"]


@pytest.mark.fuzz
@pytest.mark.parametrize("name", FILES)
def test_a_hundred_thousand_changed_files_are_read_to_their_end_or_refused(name: str, airports: Airports, throw: Throw) -> None:
    throw(file_reader(name, airports), SAMPLES[name], MANY, f"bulk {name}")


def archive_reader(folder: Path) -> Callable[[bytes], object]:
    """An archive to its end: batches, or an InputError where it breaks off."""
    path = folder / "day.tar"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            for batch in archives.batches([path]):
                list(archives.read(batch, {}))

    return read


@pytest.mark.fuzz
def test_a_hundred_thousand_changed_archives_are_batches_or_a_refusal(tmp_path: Path, throw: Throw) -> None:
    throw(archive_reader(tmp_path), SAMPLES["globe-history"], MANY, "bulk archives")


LINE = {
    "time": T0.isoformat(),
    "feed": "sky",
    "label": "everything",
    "format": "v2",
    "every_s": 60.0,
    "scope": Scope("world").to_json(),
}
RECORDED = json.dumps(LINE | {"body": "00000001.gz", "headers": {"Date": "x"}, "error": "", "message": ""}).encode()


def recording_reader(folder: Path) -> Callable[[bytes], object]:
    """The index of a recording: entries, or an InputError; and what its lines ask for."""

    def read(data: bytes) -> None:
        (folder / INDEX).write_bytes(RECORDED + b"\n" + data + b"\n")
        with contextlib.suppress(InputError):
            recording = open_recording(folder)
            for entry_ in recording.entries:
                for query in recording.queries(lambda entry_=entry_: entry_, lambda: T0):  # type: ignore[misc]  # a default
                    with contextlib.suppress(FeedError):
                        query.read()

    return read


def test_hundreds_of_changed_recordings_are_entries_or_a_refusal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, throw: Throw
) -> None:
    caplog.set_level(logging.ERROR)  # each line that is passed over is told
    throw(recording_reader(tmp_path), RECORDED, FEW, "recordings")


@pytest.mark.fuzz
def test_a_hundred_thousand_changed_recordings_are_entries_or_a_refusal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, throw: Throw
) -> None:
    caplog.set_level(logging.ERROR)
    throw(recording_reader(tmp_path), RECORDED, MANY, "bulk recordings")


# ------------------------------------------------------------------------------------------------- entries, documents, imports


@pytest.mark.fuzz
@BULK
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=12), max_size=4), CLOCKS)
def test_every_entry_of_any_reply_is_stored_or_refused(entries: list[dict[str, object]], now: object) -> None:
    """Or the whole reply is, and nothing else escapes."""
    try:
        snapshot = v2.parse(json.dumps({"ac": entries, "now": now}).encode(), "fuzz", WORLD, NOW)
    except FeedError:
        return
    assert len(snapshot.positions) + sum(snapshot.refused.values()) == len(entries)
    for row in snapshot.positions.to_pylist():
        assert -90 < row["latitude"] < 90
        assert -180 <= row["longitude"] <= 180
        assert row["timestamp"] <= snapshot.feed_time


@pytest.mark.fuzz
@BULK
@given(st.text(alphabet=st.sampled_from("-: []{}&*!|>'\"#,\n\t abRU01.é\x00"), max_size=120))
def test_any_text_is_a_document_or_a_problem_with_a_line(text: str) -> None:
    for model in (Settings, RuleFile, ColumnMap):
        with contextlib.suppress(ConfigError):
            validate(parse(text.encode("utf-8", "surrogatepass"), "x"), model)


@pytest.mark.fuzz
def test_any_file_can_be_asked_to_be_imported(tmp_path: Path) -> None:
    """Good files of each format, changed: stored, refused, or named; never a traceback."""
    lot = random.Random(2)
    originals = [SAMPLES["positions"], SAMPLES["legs"], SAMPLES["readsb-lines"], GOOD]
    with Store(tmp_path / "s") as store:
        for _ in range(3000):
            path = tmp_path / "file"
            path.write_bytes(changed(lot.choice(originals), lot))
            with contextlib.suppress(FlightwatchError):
                import_file(store, path, format=lot.choice([None, None, "positions", "legs", "readsb-snapshot"]))


def test_what_memory_is_bounded_by_is_noticed() -> None:
    """The bound itself: twice as much, fresh from the system, does not pass."""
    with pytest.raises(AssertionError, match="memory grew by"), bounded_memory(MOST_GROWTH), mmap(-1, 2 * MOST_GROWTH) as kept:
        kept.write(b"x" * len(kept))
