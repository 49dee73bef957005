"""What feeds and tables demand is obeyed: who is named wherever their data are shown, what may not be republished stays
inside, and what may be kept for some days is gone after them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flightwatch import backfill, explore, legtables, maps
from flightwatch.aircraft import Registry
from flightwatch.alerts import Alert, AlertBook
from flightwatch.config import DigestSettings, FeedSettings
from flightwatch.deliveries.slack import blocks
from flightwatch.desk import Desk
from flightwatch.errors import InputError
from flightwatch.feeds.http import Reply
from flightwatch.feeds.poller import Query
from flightwatch.feeds.recordings import BODIES, Recorder, expire, open_recording, terms_in
from flightwatch.imports import How, import_file, import_files
from flightwatch.places import Airports
from flightwatch.rarity import Baseline
from flightwatch.records import Message, Scope, Snapshot, Terms, Track, legs_from_table
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from tests.conftest import T0, Typed, positions
from tests.live_runs import Ledger, pipeline, poll_until, running, state_registry
from tests.processes import reply
from tests.samples import SAMPLES
from tests.test_alerts import RULE, finding
from tests.test_cli import FLIGHT, flight
from tests.test_recovery import BEGIN, sky
from tests.test_store import poll

LOL = Terms("adsb.lol and its contributors (ODbL 1.0)")
FR24 = Terms("Flightradar24", 30, republish=False)
MONTH = timedelta(days=30)


def store_of(folder: Path, feeds: dict[str, Terms], *, start: float = 0.0) -> Store:
    """A store in which these feeds heard one flight, one after the other, and its legs."""
    store = Store(folder)
    for number, (feed, terms) in enumerate(feeds.items()):
        store.set_terms(feed, terms)
        part = len(FLIGHT) // len(feeds)
        for row in FLIGHT[number * part : (number + 1) * part]:
            time = T0 + timedelta(seconds=start + float(str(row["at"])))
            table = positions([row | {"received": time, "at": start + float(str(row["at"]))}], feed)
            store.snapshots.append(Snapshot(feed, time, time, Scope("world"), table))
    backfill.refresh(store, pipeline(store, []))
    return store


def told(store: Store, airports: Airports) -> Message:
    """The message about the flight in the store."""
    (leg,) = legs_from_table(store.legs.table())
    about = finding("lost")
    mine = replace(about.visit, way=(replace(about.visit.way[0], **_track_of(leg)),))
    return Desk(store, airports, Registry([])).compose(replace(about, visit=mine), Alert(leg.leg_id, "lost", 1, (RULE,), ()))


def _track_of(leg: object) -> dict[str, object]:
    return {name: getattr(leg, name) for name in ("first_seen", "last_seen", "icao24", "feeds", "leg_id")}


# ----------------------------------------------------------------------------------------------------------------- declaring


def test_a_known_address_has_the_terms_of_its_service_whatever_it_is_called() -> None:
    by_address = FeedSettings.model_validate({"name": "x", "base_url": "https://api.airplanes.live", "ask": ["military"]})
    by_name = FeedSettings.model_validate({"name": "x", "service": "airplanes-live"})
    assert by_address.terms == by_name.terms
    assert by_name.terms.republish is False
    assert FeedSettings.model_validate({"name": "x", "base_url": "http://127.0.0.1:1"}).terms == Terms()


def test_who_forbids_republishing_is_named_if_only_as_the_feed() -> None:
    own = FeedSettings.model_validate({"name": "mine", "base_url": "http://127.0.0.1:1", "republish": False})
    assert own.terms.credit == "mine (not to be republished)"


@pytest.mark.parametrize(
    ("format", "feed", "terms"),
    [
        ("fr24-playback", "import-flightradar24", FR24),
        ("opensky-states", "import-opensky", None),
        ("readsb-trace", "import", Terms()),
    ],
)
def test_an_import_has_the_terms_of_those_whose_format_it_is(format: str, feed: str, terms: Terms | None, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(SAMPLES[format])
    with Store(tmp_path / "s") as store:
        import_file(store, tmp_path / "file")
        known = store.terms()
        assert list(known) == [feed]
        assert terms in (None, known[feed])
        assert known[feed].attribution or format == "readsb-trace"
        assert set(store.snapshots.positions()["feed"].to_pylist()) == {feed}


def test_an_archive_of_a_service_is_brought_in_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "day.tar").write_bytes(SAMPLES["globe-history"])
    (tmp_path / "flight.csv").write_bytes(SAMPLES["fr24-csv"])
    with Store(tmp_path / "s") as store:
        import_files(store, (tmp_path / "day.tar",), How(service="adsb-lol"))
        assert store.terms() == {"import-adsb-lol": LOL}
        with pytest.raises(InputError, match="did you mean `adsb-lol`"):
            import_files(store, (tmp_path / "day.tar",), How(service="adsb-lo"))
        with pytest.raises(InputError, match="fr24-csv is flightradar24's"):
            import_files(store, (tmp_path / "flight.csv",), How(service="adsb-lol", registration="RA-86559"))


# -------------------------------------------------------------------------------------------------------------------- naming


def test_a_message_and_its_map_name_whose_data_they_show(tmp_path: Path, airports: Airports) -> None:
    with store_of(tmp_path, {"adsb-lol": LOL}) as store:
        made = told(store, airports)
    assert made.footer[-1] == f"Data: {LOL.attribution}."
    assert made.map is not None
    assert made.map.note == f"Solid: seen. Dashed: inferred. Data: {LOL.attribution}."
    assert LOL.attribution in json.dumps(blocks(made))
    assert maps.draw(made.map) != maps.draw(replace(made.map, note="Solid: seen. Dashed: inferred.")), "it is on the picture"


def test_positions_that_may_not_be_republished_are_in_no_message(tmp_path: Path, airports: Airports) -> None:
    """Their statements stay, with whom they are from; the map leaves the track out and says so."""
    with store_of(tmp_path / "both", {"adsb-lol": LOL, "fr24": FR24}) as store:
        made = told(store, airports)
        assert len(store.snapshots.positions()) == 20
    assert made.map is not None
    assert len(made.map.track.latitude) == 10, "those of adsb.lol alone"
    assert "or seen by Flightradar24 alone, which may not be republished" in made.map.note
    assert made.footer[-2:] == (
        f"Data: {LOL.attribution}; Flightradar24 (not to be republished).",
        "Not on the map: positions of Flightradar24, which may not be republished.",
    )
    with store_of(tmp_path / "one", {"fr24": FR24}) as store:
        made = told(store, airports)
    assert made.map is not None
    assert made.map.track == Track((), (), ())


def test_the_digest_names_everybody_once(tmp_path: Path, airports: Airports) -> None:
    settings = DigestSettings.model_validate({"to": ["a@example.org"], "from": "b@example.org"})
    with store_of(tmp_path, {"adsb-lol": LOL, "fr24": FR24}) as store:
        book = AlertBook(tmp_path / "alerts.sqlite")
        desk = Desk(store, airports, state_registry())
        digest = desk.digest(book, T0 - timedelta(days=1), T0 + timedelta(days=1), settings, Baseline(airports))
        ((_, mail),) = desk.digest_mails(digest, settings)
        book.close()
    assert len(digest.movements) == 1
    assert digest.sources == (LOL.attribution, "Flightradar24 (not to be republished)")
    assert mail.count(b"Data: adsb.lol") == 2, "in the text and in the HTML"


def test_files_of_legs_carry_the_terms(tmp_path: Path) -> None:
    with store_of(tmp_path / "s", {"adsb-lol": LOL, "fr24": FR24}) as store:
        table = store.legs.table()
        named = legtables.sources(table, store.terms(), state_registry())
    for name in ("legs.parquet", "legs.csv", "legs.json"):
        lines = legtables.write(table, tmp_path / name, named)
        assert lines[1] == f"Data: {LOL.attribution}; Flightradar24 (not to be republished)."
    kept = json.loads(pq.read_schema(tmp_path / "legs.parquet").metadata[legtables.TERMS_KEY])
    assert kept["fr24"] == {"attribution": "Flightradar24", "retention_days": 30, "republish": False, "reconstructed": False}
    for name in ("legs.csv", "legs.json"):
        text = (tmp_path / f"{name}.terms.txt").read_text(encoding="utf-8")
        assert "fr24: Flightradar24 (not to be republished); its positions are kept for 30 days at most" in text
    assert not (tmp_path / "legs.parquet.terms.txt").exists()


def test_the_terminal_names_feeds_and_tables(typed: Typed, tmp_path: Path) -> None:
    """`legs` and `whois`; also the database that says what an aircraft is."""
    (tmp_path / "planes.csv").write_text(
        "$ICAO,$Registration,$Operator,$Type,$ICAO Type,#CMPG\n15521F,RA-86559,Air Force,Il-62,IL62,Mil\n", encoding="utf-8"
    )
    typed("reference", "add", "planes.csv", "--source", "plane-alert-db")
    typed("import", str(flight(tmp_path)), "--store", "s", "--service", "adsb-lol")
    _, out, _ = typed("legs", "--store", "s")
    assert out.splitlines()[-1].startswith(f"Data: {LOL.attribution}; plane-alert-db and its contributors (ODbL 1.0)")
    _, out, _ = typed("legs", "--store", "s", "-o", "legs.csv")
    assert "plane-alert-db" in out
    assert "plane-alert-db" in (tmp_path / "legs.csv.terms.txt").read_text(encoding="utf-8")
    _, out, _ = typed("whois", "15521f", "--store", "s")
    assert f"data            {LOL.attribution}" in out
    _, out, _ = typed("whois", "15521f", "--store", "s", "--json")
    assert LOL.attribution in json.loads(out)["aircraft"][0]["attribution"]


def test_frames_of_notebooks_carry_whose_data_they_are(tmp_path: Path) -> None:
    """Also into the Parquet file that pandas writes of them."""
    store_of(tmp_path / "s", {"adsb-lol": LOL, "fr24": FR24}).close()
    sky_ = explore.open_store(tmp_path / "s")
    legs = sky_.legs()
    both = [LOL.attribution, "Flightradar24 (not to be republished)"]
    assert legs.attrs["data"] == both
    assert sky_.positions("15521f", until=T0 + timedelta(minutes=3)).attrs["data"] == both[:1]
    legs.to_parquet(tmp_path / "x.parquet")
    assert b"Flightradar24" in pq.read_schema(tmp_path / "x.parquet").metadata[b"PANDAS_ATTRS"]
    assert sky_.picture(legs["leg_id"].iloc[0]).startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------------------------------------- keeping


def everything_in(folder: Path) -> list[Path]:
    return [p for kind in ("live", "history", "refused") for p in (folder / kind).rglob("*") if p.is_file()]


def test_positions_are_gone_from_the_disk_when_their_time_is_over(tmp_path: Path) -> None:
    """Small polls that wait in the catalog, files, and replies that could not be used; the legs stay."""
    with store_of(tmp_path, {"fr24": FR24}) as store:
        store.refuse(T0, "fr24", "bad_json", "no", b'{"lat": 41.81')
        store.refuse(T0, "other", "bad_json", "no", b"{")
        end = T0 + MONTH
        store.keep_terms(end - timedelta(hours=2))
        assert (len(store.snapshots.positions()), len(everything_in(tmp_path)) >= 2) == (20, True)
        store.keep_terms(end - timedelta(minutes=30))
        assert len(store.snapshots.positions()) == 0, "nobody begins to read it any more"
        assert [p.suffix for p in everything_in(tmp_path)].count(".parquet") == 2, "who is reading it can go on"
        store.keep_terms(end)
        assert [p.suffix for p in everything_in(tmp_path)].count(".parquet") == 1, "the later one has a quarter of an hour"
        store.keep_terms(end + timedelta(minutes=20))
        assert [p.name.split("-")[1] for p in everything_in(tmp_path)] == ["other"]
        assert store.catalog.db.execute("SELECT count(*) FROM pending").fetchone() == (0,)
        assert store.refused(T0 - MONTH, T0 + MONTH) == {("fr24", "bad_json"): 1, ("other", "bad_json"): 1}
        backfill.refresh(store, pipeline(store, []))
        assert len(store.legs.table()) == 1


def test_what_was_imported_may_be_kept_from_the_day_it_was_brought_in(tmp_path: Path) -> None:
    """A playback of years ago is not deleted at once, and not kept for longer either."""
    (tmp_path / "file").write_bytes(SAMPLES["fr24-playback"])
    with Store(tmp_path / "s") as store:
        before = datetime.now(UTC)
        import_file(store, tmp_path / "file")
        backfill.refresh(store, pipeline(store, []))
        assert store.keep_terms(before + MONTH - timedelta(hours=2)) == 0
        assert len(store.snapshots.positions()) == 2
        assert store.keep_terms(before + MONTH + timedelta(minutes=1)) == 1
        assert (len(store.snapshots.positions()), everything_in(tmp_path / "s")) == (0, [])


def test_terms_end_also_while_all_feeds_are_silent(tmp_path: Path, airports: Airports) -> None:
    """Nothing new comes in that would tell the time; what has no terms of its own stays."""
    clock = FakeClock(BEGIN)
    with running(tmp_path, sky(airports), clock, Ledger()) as runner:
        poll_until(runner, clock, BEGIN + timedelta(minutes=50))
        runner.store.snapshots.append(poll((BEGIN - T0).total_seconds(), feed="fr24"))
        runner.store.set_terms("fr24", FR24)
        own = len(runner.store.snapshots.positions()) - 3
        clock._start += MONTH + timedelta(hours=1)
        runner.keep_house()
        assert len(runner.store.snapshots.positions()) == own > 0


def test_legs_deletes_what_is_over_and_says_so(typed: Typed, tmp_path: Path) -> None:
    """Where nothing runs, this does it; after the legs were made."""
    store_of(tmp_path / "s", {"fr24": FR24}, start=-400 * 86400.0).close()
    status, out, err = typed("legs", "--store", "s")
    assert (status, "2 files of positions were deleted" in err, "RA-86559" in out) == (0, True, True)
    assert everything_in(tmp_path / "s") == []
    _, again, err = typed("legs", "--store", "s")
    assert (again, err) == (out, ""), "the leg is the same without them"


def test_a_rebuilt_store_knows_what_its_imports_demand(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(SAMPLES["fr24-playback"])
    typed("import", "file", "--store", "s")
    typed("import", str(flight(tmp_path)), "--store", "s", "--reconstructed")
    with Store(tmp_path / "s", read_only=True) as store:
        before = store.terms()
    typed("rebuild", "--store", "s")
    with Store(tmp_path / "s", read_only=True) as store:
        assert {name: terms for name, terms in store.terms().items() if name in before} == before


def query(feed: str, clock: Callable[[], datetime]) -> Query:
    """A sky without aircraft."""
    return Query(feed, "all", Scope("world"), 60.0, lambda: Reply(reply([], clock().timestamp())), clock)


def test_recorded_replies_are_removed_when_their_time_is_over(tmp_path: Path) -> None:
    """While a recording is made, and when it is opened; those of other feeds stay and play."""
    now = [T0]
    recorder = Recorder(tmp_path, {"fr24": FR24, "adsb-lol": LOL})
    both = [recorder.recorded(query(feed, lambda: now[0])) for feed in ("fr24", "adsb-lol")]
    for asked in both:
        asked.fetch()
    now[0] += timedelta(days=20)
    both[0].fetch()
    assert len(list((tmp_path / BODIES).iterdir())) == 3
    now[0] = T0 + MONTH
    both[1].fetch()
    assert [(e.feed, e.time) for e in open_recording(tmp_path).entries] == [
        ("adsb-lol", T0),
        ("fr24", T0 + timedelta(days=20)),
        ("adsb-lol", T0 + MONTH),
    ]
    assert (expire(tmp_path, T0 + timedelta(days=50)), expire(tmp_path, T0 + timedelta(days=50))) == (1, 0)
    assert {e.feed for e in open_recording(tmp_path).entries} == {"adsb-lol"}
    assert sorted(p.name for p in (tmp_path / BODIES).iterdir()) == sorted(e.body for e in open_recording(tmp_path).entries)
    assert terms_in(Recorder(tmp_path)._folder) == {"fr24": FR24, "adsb-lol": LOL}, "whoever goes on keeps to them"


def test_a_recording_that_lost_its_terms_is_not_taken_for_free(tmp_path: Path) -> None:
    Recorder(tmp_path, {"fr24": FR24}).recorded(query("fr24", lambda: T0)).fetch()
    (tmp_path / "feeds.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"feeds\.json cannot be read"):
        expire(tmp_path, T0)
