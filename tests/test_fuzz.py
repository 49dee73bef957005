"""Hostile input in bulk (`make fuzz`): feeds, files and rules, more of it than the fast tests have time for."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightwatch.config import Settings
from flightwatch.documents import parse, validate
from flightwatch.errors import ConfigError, FeedError, FlightwatchError, InputError
from flightwatch.feeds import archives, files, v2
from flightwatch.feeds.columnmaps import ColumnMap
from flightwatch.feeds.contents import held
from flightwatch.feeds.opensky import parse_states
from flightwatch.imports import import_file
from flightwatch.places import Airports
from flightwatch.rules.language import RuleFile
from flightwatch.store import Store
from tests.samples import SAMPLES
from tests.test_feeds import GOOD, JSON, NOW, WORLD, entry
from tests.test_formats import PARSERS, mutated, read_or_refused

BULK = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
FIELDS = [*entry(), "lastPosition", "mlat", "category", "alt_geom"]
CLOCKS = st.sampled_from([NOW.timestamp(), NOW.timestamp() * 1000, 0, -1, 1e300, "x", None, True])


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


@pytest.mark.fuzz
def test_a_reply_with_any_bytes_changed_is_a_snapshot_or_a_feed_error() -> None:
    lot = random.Random(1)
    for _ in range(30_000):
        body = bytearray(GOOD)
        for _ in range(lot.randint(1, 6)):
            body[lot.randrange(len(body))] = lot.randrange(256)
        with contextlib.suppress(FeedError):
            v2.parse(bytes(body[: lot.randint(0, len(body))] if lot.random() < 0.3 else body), "fuzz", WORLD, NOW)


@pytest.mark.fuzz
@BULK
@given(st.text(alphabet=st.sampled_from("-: []{}&*!|>'\"#,\n\t abRU01.é\x00"), max_size=120))
def test_any_text_is_a_document_or_a_problem_with_a_line(text: str) -> None:
    for model in (Settings, RuleFile, ColumnMap):
        with contextlib.suppress(ConfigError):
            validate(parse(text.encode("utf-8", "surrogatepass"), "x"), model)


@pytest.mark.fuzz
def test_any_file_can_be_asked_to_be_imported(tmp_path: Path) -> None:
    """Good files of each format with bytes changed, cut, doubled: stored, refused, or named; never a traceback."""
    lot = random.Random(2)
    originals = [
        b"timestamp,icao24,latitude,longitude,altitude\n" + b"2024-03-01T12:00:00Z,15521f,55.5,37.5,ground\n" * 5,
        b'{"timestamp":1709294400,"icao24":"15521f","latitude":55.5,"longitude":37.5}\n' * 5,
        b"date,registration,origin,destination\n" + b"2024-03-01,RA-86559,MOW,FNJ\n" * 5,
        GOOD,
    ]
    with Store(tmp_path / "s") as store:
        for number in range(1500):
            data = bytearray(lot.choice(originals))
            for _ in range(lot.randint(0, 5)):
                data[lot.randrange(len(data))] = lot.randrange(256)
            path = tmp_path / "file"
            path.write_bytes(bytes(data[: lot.randint(1, len(data))] if number % 3 == 0 else data))
            with contextlib.suppress(FlightwatchError):
                import_file(store, path, format=lot.choice([None, None, "positions", "legs", "readsb-snapshot"]))


@pytest.mark.fuzz
@pytest.mark.parametrize("name", PARSERS)
def test_any_bytes_of_any_format_are_rows_or_a_refusal(name: str) -> None:
    lot = random.Random(f"bulk {name}")
    reader = next(f for f in files.FORMATS if f.name == name).positions
    assert reader is not None
    for _ in range(20_000):
        with contextlib.suppress(*files.UNREADABLE, InputError):
            list(reader(held(mutated(SAMPLES[name], lot), Path("file")), files.Given("RA-86559", "15521f"), {}))


@pytest.mark.fuzz
@pytest.mark.parametrize("name", [n for n in SAMPLES if n != "globe-history"])
def test_any_file_of_any_format_is_read_to_its_end_or_refused(name: str, airports: Airports) -> None:
    """Through the plausibility of positions, with the format given and seen."""
    lot = random.Random(f"bulk {name}")
    for number in range(20_000):
        read_or_refused(mutated(SAMPLES[name], lot), name if number % 4 else None, airports)


@pytest.mark.fuzz
def test_states_with_any_bytes_changed_are_a_snapshot_or_a_feed_error() -> None:
    lot = random.Random(7)
    for _ in range(30_000):
        with contextlib.suppress(FeedError):
            parse_states(mutated(SAMPLES["opensky-states"], lot), "fuzz", WORLD, NOW)


@pytest.mark.fuzz
def test_archives_with_any_bytes_changed_are_batches_or_a_refusal(tmp_path: Path) -> None:
    lot, path = random.Random(8), tmp_path / "day.tar"
    for _ in range(20_000):
        path.write_bytes(mutated(SAMPLES["globe-history"], lot))
        with contextlib.suppress(InputError):
            for batch in archives.batches([path]):
                list(archives.read(batch, {}))
