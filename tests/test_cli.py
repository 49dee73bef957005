"""The command line as somebody types it: what it prints, how it ends, what it leaves."""

from __future__ import annotations

import getpass
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from flightwatch import cli
from flightwatch.alerts import AlertBook
from flightwatch.config import shipped
from flightwatch.places import Airports
from flightwatch.store import Store
from tests.conftest import Typed, positions, real
from tests.samples import SAMPLES, day_archive, trace
from tests.test_alerts import RULE, START, finding, told
from tests.test_coverage import world as hidden_sky

FLIGHT: list[dict[str, object]] = [
    {
        "at": 60 * i,
        "icao24": "15521f",
        "latitude": 55.88 + i / 10,
        "longitude": 38.06,
        "altitude": 1000.0 + 900 * i,
        "onground": False,
    }
    for i in range(20)
]


def flight(folder: Path) -> Path:
    path = folder / "flight.parquet"
    pq.write_table(positions(FLIGHT), path)
    return path


# ---------------------------------------------------------------------------------------------------------------- configuration


def test_a_new_configuration_is_right_as_it_is(typed: Typed, tmp_path: Path) -> None:
    status, out, _ = typed("init")
    assert (status, (tmp_path / "flightwatch.yaml").exists()) == (0, True)
    assert "flightwatch check" in out
    status, out, _ = typed("check")
    assert status == 0
    assert "No problem found" in out
    assert "no reference database: of the aircraft that are on no list, state-aircraft-converge" in " ".join(out.split())
    status, _, err = typed("init")
    assert status == 1
    assert "is not overwritten" in err


def test_check_tells_everything_that_is_wrong_at_once(typed: Typed, tmp_path: Path) -> None:
    """The configuration, a rule and a list, each with file and line, in one go."""
    typed("init")
    config = (tmp_path / "flightwatch.yaml").read_text(encoding="utf-8")
    (tmp_path / "flightwatch.yaml").write_text(config.replace("retention_days", "retention_dayz"), encoding="utf-8")
    (tmp_path / "rules" / "mine.yaml").write_text(
        "- id: mine\n  title: x\n  when:\n    aircraft: {watchlist: russian-stat}\n  notify: [all]\n", encoding="utf-8"
    )
    (tmp_path / "watchlists" / "own.csv").write_text("registration,icao24\nRA-1,xyz\n", encoding="utf-8")
    status, _, err = typed("check")
    assert status == 1
    lines = err.splitlines()
    assert any("flightwatch.yaml:" in line and "did you mean `retention_days`" in line for line in lines), err
    assert any("mine.yaml:4:" in line and "did you mean `russian-state`" in line for line in lines), err
    assert any("own.csv:2:" in line and "hex digits" in line for line in lines), err


def test_watching_an_aircraft_needs_no_yaml(typed: Typed, tmp_path: Path) -> None:
    typed("init")
    status, out, _ = typed("watch", "ra-86559", "--to", "kp")
    assert status == 0
    assert "North Korea" in out
    (rule,) = (tmp_path / "rules").glob("*.yaml")
    assert "15521f" in rule.read_text(encoding="utf-8")
    assert "15521f" in (tmp_path / "watchlists" / "my-aircraft.csv").read_text(encoding="utf-8")
    status, out, _ = typed("check")
    assert status == 0
    status, out, _ = typed("watch", "RA-86559", "--to", "KP")
    assert status == 0
    assert "nothing changed" in out


@pytest.mark.parametrize(
    ("to", "airports"),
    [("Pyongyang", "ZKPY"), ("north korea", "country: KP"), ("UK", "country: GB"), ("MOW", "UUMU"), ("fnj", "ZKPY")],
)
def test_places_may_be_named_as_people_name_them(to: str, airports: str, typed: Typed, tmp_path: Path) -> None:
    typed("init")
    status, _, err = typed("watch", "RA86559", "--to", to)
    assert status == 0, err
    (rule,) = (tmp_path / "rules").glob("*.yaml")
    assert airports in rule.read_text(encoding="utf-8")


def test_made_up_legs_say_so_on_the_terminal_and_in_files(typed: Typed, tmp_path: Path) -> None:
    typed("import", str(flight(tmp_path)), "--store", "s", "--reconstructed")
    status, out, _ = typed("legs", "--store", "s")
    assert status == 0
    assert out.count("RECONSTRUCTION") == 2
    typed("legs", "--store", "s", "-o", "x.csv")
    assert pd.read_csv(tmp_path / "x.csv")["reconstructed"].tolist() == [True]


def test_no_leg_is_said_in_words(typed: Typed, tmp_path: Path) -> None:
    typed("import", str(flight(tmp_path)), "--store", "s")
    _, out, _ = typed("legs", "--store", "s", "--aircraft", "XYZ")
    assert "check the aircraft and the times" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("watch", "G-CIVO"), "give its address"),
        (("watch", "RA-86559", "--to", "XX"), "neither a country"),
        (("whois", "G-CIVO"), "give the address"),
        (("whois", "15521f", "--store", "nowhere"), "there is no store"),
        (("reference", "update"), "no database is kept yet"),
        (("reference", "update", "tar1090"), "did you mean `tar1090-db`"),
        (("reference", "add", "nothing.csv", "--source", "opensky"), "is not there"),
        (("watchlist", "import", "nothing.csv", "--name", "mine"), "cannot be read"),
        (("watchlist", "import", "nothing.csv", "--name", "Not This"), "small letters"),
        (("check", "--config", "none.yaml"), "flightwatch init"),
        (("legs", "--store", "nowhere"), "there is no store"),
        (("import", "nothing.csv", "--store", "s"), "is not a file"),
        (("import", "flightwatch.yaml", "--store", "s"), "no format that is known"),
        (("run", "--config", "broken.yaml"), "broken.yaml:1"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(words: tuple[str, ...], says: str, typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "flightwatch.yaml").write_text("store: data\n", encoding="utf-8")
    (tmp_path / "broken.yaml").write_text("stores: data\n", encoding="utf-8")
    status, _, err = typed(*words)
    assert status == 1
    assert says in err
    assert len(err.splitlines()) == 1, err
    assert "Traceback" not in err


def test_a_rule_file_uses_the_names_of_those_of_the_configuration(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "- {id: r, title: x, subject: event, when: {use: over-a-capital}, tests: [{name: Paris, expect: match, "
        "given: {aircraft: abc123, event: {kind: flight.circling, at: [48.8, 2.3]}}}]}\n",
        encoding="utf-8",
    )
    status, out, _ = typed("rules", "test", "r.yaml")
    assert (status, out.splitlines()) == (0, ["ok   r: Paris", "1 tests, 0 failed"])


def test_the_schema_of_rules_is_shown_or_written(typed: Typed, tmp_path: Path) -> None:
    status, shown, _ = typed("rules", "schema")
    assert status == 0
    assert typed("rules", "schema", "-o", "rules.schema.json")[:2] == (0, "Wrote rules.schema.json.\n")
    assert json.loads((tmp_path / "rules.schema.json").read_text()) == json.loads(shown)


def test_rule_tests_are_run_from_files_and_folders(typed: Typed, tmp_path: Path) -> None:
    """Also where the file lies outside any configuration, with a list of its own beside it."""
    status, out, _ = typed("rules", "test", str(shipped() / "rules"))
    assert status == 0
    assert "0 failed" in out
    (tmp_path / "ours.csv").write_text("registration,icao24\nRA-86559,15521f\n", encoding="utf-8")
    (tmp_path / "r.yaml").write_text(
        "- id: r\n  title: x\n  when:\n    aircraft: {watchlist: ours}\n  tests:\n"
        "    - {name: right, given: {aircraft: 15521f, legs: [UUMU-ZKPY]}, expect: match}\n"
        "    - {name: not so, given: {aircraft: 15521f, legs: [UUMU-ZKPY]}, expect: no match}\n",
        encoding="utf-8",
    )
    status, out, _ = typed("rules", "test", "r.yaml")
    assert status == 1
    assert "r.yaml:7:7: r: not so: expected no match, got match: watchlist ours: ours" in out
    assert "2 tests, 1 failed" in out


# ------------------------------------------------------------------------------------------------------------------ who is it


def test_whois_tells_what_is_known_and_from_where(typed: Typed, tmp_path: Path) -> None:
    """By registration or address, with sources and dates; and what the store has, if there is one."""
    status, out, _ = typed("whois", "ra-86559")
    assert status == 0
    for words in ("15521f", "Russia", "0x140000 + number", "Il-62", "watchlist russian-state", "2023-09-26", "military"):
        assert words in out
    assert "store" not in out
    typed("import", str(flight(tmp_path)), "--store", "data")
    _, out, _ = typed("whois", "15521F")
    assert "no legs (`flightwatch legs`" in out
    typed("legs", "--store", "data")
    _, out, _ = typed("whois", "15521f")
    assert "1 legs, last seen 2024-03-01 12:19 UTC" in out


def test_whois_as_data(typed: Typed) -> None:
    status, out, _ = typed("whois", "RA-86559", "--on", "2024-01-01", "--json")
    (found,) = json.loads(out)["aircraft"]
    assert (status, json.loads(out)["on"]) == (0, "2024-01-01")
    assert (found["icao24"], found["registration"], found["country"], found["military"]) == ("15521f", "RA-86559", "RU", True)
    assert found["watchlists"] == ["russian-state"]
    assert {c["source"] for c in found["claims"]} == {"watchlist russian-state", "arithmetic of the register"}
    assert found["confidence"]["registration"] > 0.9


def test_whois_of_an_unknown_address_gives_hints_and_no_name(typed: Typed) -> None:
    _, out, _ = typed("whois", "1d521f")
    assert "registration    unknown" in out
    assert "RA-86559 is 15521f, the same low 16 bits (watchlist russian-state)" in out
    _, out, _ = typed("whois", "728001")
    assert "Iraq" in out


def test_a_database_that_was_downloaded_is_kept_and_asked(typed: Typed, tmp_path: Path) -> None:
    """With its terms; contradictions between sources stand beside each other."""
    (tmp_path / "aircraft.csv").write_text("400A1B;G-CIVO;B744;00;BOEING 747-400;\n15521F;RA-86560;IL62;10;;\n", encoding="utf-8")
    status, out, _ = typed("reference", "add", "aircraft.csv", "--source", "tar1090-db", "--date", "2024-01-01")
    assert (status, "2 aircraft of 2024-01-01" in out) == (0, True)
    _, out, _ = typed("reference", "list")
    assert "tar1090-db: 2 aircraft of 2024-01-01" in out
    assert "may be republished: no" in out
    _, out, _ = typed("whois", "G-CIVO")
    assert "400a1b" in out
    assert "tar1090-db (wiedehopf" in out
    _, out, _ = typed("whois", "15521f")
    assert "RA-86559, 0.84, CONTRADICTED" in out
    assert "RA-86560: tar1090-db, 2024-01-01" in out
    status, out, _ = typed("watch", "G-CIVO")
    assert (status, "400a1b" in out) == (0, True)
    status, _, err = typed("watch", "RA-86560")
    assert status == 1
    assert "155220, 15521f" in err
    _, out, _ = typed("check")
    assert "reference databases: tar1090-db of 2024-01-01" in out
    assert "no reference database" not in out


def test_a_watchlist_made_of_a_database_keeps_its_attribution(typed: Typed, tmp_path: Path) -> None:
    typed("init")
    (tmp_path / "planes.csv").write_text(
        "$ICAO,$Registration,$Operator,$Type,$ICAO Type,#CMPG\n15521F,RA-86559,Air Force,Il-62,IL62,Mil\nxyz,X,,,,\n",
        encoding="utf-8",
    )
    status, out, _ = typed("watchlist", "import", "planes.csv", "--name", "planes")
    assert status == 0
    assert "Wrote 1 aircraft" in out
    assert "1 lines refused" in out
    assert "ODbL" in (tmp_path / "watchlists" / "planes.csv").read_text(encoding="utf-8").splitlines()[0]
    _, out, _ = typed("whois", "15521f")
    assert "watchlists      russian-state, planes" in out
    assert "plane-alert-db and its contributors (ODbL 1.0)" in out
    status, _, err = typed("watchlist", "import", "planes.csv", "--name", "planes")
    assert status == 1
    assert "--replace" in err
    status, _, _ = typed("watchlist", "import", "planes.csv", "--name", "planes", "--replace")
    assert status == 0


def test_two_lists_of_one_name_are_told(typed: Typed, tmp_path: Path) -> None:
    typed("init")
    (tmp_path / "watchlists" / "mine.csv").write_text("operator\n*Air Force\n", encoding="utf-8")
    _, out, _ = typed("check")
    assert "1 entries by registration, operator, callsign or type" in out, "the one beside the rules"
    (tmp_path / "watchlists" / "mine.yaml").write_text("- callsign: RFF*\n", encoding="utf-8")
    status, _, err = typed("check")
    assert status == 1
    assert "mine.yaml:1" in err
    assert "has the name of mine.csv" in err


# -------------------------------------------------------------------------------------------------------------- import and legs


def test_legs_of_what_was_imported_in_any_form(typed: Typed, tmp_path: Path) -> None:
    """No configuration is needed; the store is made; the same file twice changes nothing."""
    path = flight(tmp_path)
    status, out, _ = typed("import", str(path), "--store", "s")
    assert status == 0
    assert "20 positions" in out
    _, out, _ = typed("import", str(path), "--store", "s")
    assert "imported before, nothing changed" in out
    for name in ("legs.parquet", "legs.csv", "legs.json"):
        status, out, _ = typed("legs", "--store", "s", "-o", name)
        assert (status, "1 legs" in out) == (0, True)
    parquet = pd.read_parquet(tmp_path / "legs.parquet")
    table = pd.read_csv(tmp_path / "legs.csv", dtype={"icao24": str})
    (entry,) = json.loads((tmp_path / "legs.json").read_text(encoding="utf-8"))
    assert parquet["icao24"].tolist() == table["icao24"].tolist() == [entry["icao24"]] == ["15521f"]
    assert json.loads(table["destination_candidates"][0]) == entry["destination_candidates"]
    status, out, _ = typed("legs", "--store", "s")
    assert status == 0
    assert "RA-86559" in out


def test_coverage_is_told_by_altitude_and_drawn(typed: Typed, tmp_path: Path) -> None:
    pq.write_table(hidden_sky([("UUEE", "UNNT")], days=2).positions(60.0), tmp_path / "sky.parquet")
    typed("import", str(flight(tmp_path)), "--store", "s")
    status, _, err = typed("coverage", "--store", "s")
    assert (status, "too little is known yet" in err) == (1, True)
    typed("import", "sky.parquet", "--store", "s", "--reconstructed")
    status, out, _ = typed("coverage", "--store", "s", "-o", "seen.png")
    assert status == 0
    assert re.search(r"^above 25,000 ft: \d\d% of \d\.\d flying hours seen$", out, flags=re.MULTILINE)
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_legs_can_be_chosen_by_aircraft_and_time(typed: Typed, tmp_path: Path) -> None:
    typed("import", str(flight(tmp_path)), "--store", "s")
    for words, count in (
        (("--aircraft", "ra-86559"), 1),
        (("--aircraft", "15521F"), 1),
        (("--aircraft", "abcdef"), 0),
        (("--since", "2024-03-02"), 0),
        (("--until", "2024-03-02"), 1),
        (("--since", "2024-03-01T12:10", "--until", "2024-03-01T12:11"), 1),
    ):
        _, out, _ = typed("legs", "--store", "s", "-o", "x.csv", *words)
        assert f"{count} legs" in out, words


def test_a_store_can_be_copied(typed: Typed, tmp_path: Path) -> None:
    typed("import", str(flight(tmp_path)), "--store", "s")
    typed("legs", "--store", "s", "-o", "a.csv")
    shutil.move(tmp_path / "s", tmp_path / "elsewhere")
    typed("legs", "--store", "elsewhere", "-o", "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_rebuild_makes_the_same_legs_from_the_files(typed: Typed, tmp_path: Path) -> None:
    typed("import", str(flight(tmp_path)), "--store", "s")
    typed("legs", "--store", "s", "-o", "a.csv")
    (tmp_path / "s" / "catalog.sqlite").write_bytes(b"damaged" * 100)
    status, _, err = typed("legs", "--store", "s")
    assert status == 1
    assert "flightwatch rebuild" in err
    status, out, _ = typed("rebuild", "--store", "s")
    assert status == 0
    assert "put aside" in out
    typed("legs", "--store", "s", "-o", "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_while_another_process_writes(typed: Typed, tmp_path: Path) -> None:
    """Writing is refused with the holder's name; reading shows what is stored so far."""
    typed("import", str(flight(tmp_path)), "--store", "s")
    typed("legs", "--store", "s")
    with Store(tmp_path / "s"):
        status, _, err = typed("import", str(flight(tmp_path)), "--store", "s")
        assert status == cli.BUSY
        assert "pid" in err
        status, out, err = typed("legs", "--store", "s")
        assert status == 0
        assert "RA-86559" in out
        assert "so far" in err


# ------------------------------------------------------------------------------------------------------------- bringing files in


def test_a_folder_is_imported_and_what_cannot_be_read_spoils_no_other(typed: Typed, tmp_path: Path) -> None:
    """One line for each file, in order of their names; the status tells that one failed."""
    folder = tmp_path / "history"
    folder.mkdir()
    (folder / "1-trace.json").write_bytes(trace())
    (folder / "2-notes.txt").write_text("call them back")
    (folder / "3-log.txt").write_bytes(SAMPLES["sbs"])
    status, out, err = typed("import", "history")
    assert status == 1
    assert [line.split(": ")[0] for line in out.splitlines()] == ["history/1-trace.json", "history/3-log.txt"]
    assert "3 positions (sbs); refused: 1 bad_line" in out
    (complaint,) = err.splitlines()
    assert "2-notes.txt has no format that is known" in complaint


def test_an_import_says_what_it_left(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("date,reg,from,to,pilot\n2024-03-01,RA86559,UUWW,Nowhere,Jo\nsoon,RA86559,UUWW,ZKPY,Jo\n")
    assert typed("import", "list.csv")[:2] == (
        0,
        "list.csv: 1 legs (legs); refused: 1 bad_time (line 3)\n"
        "  1 airport code is in no table, kept as given, so no rule about places sees it: Nowhere\n"
        "  1 column is not read: pilot\n",
    )
    (tmp_path / "more.csv").write_text("date,reg,from,to,pilot\n2024-03-01,RA86559,UUWW,Nowhere,Jo\n")
    assert typed("import", "more.csv")[1].startswith("more.csv: 0 new legs, 1 that other lists had brought (legs)\n")


def test_a_file_of_flights_and_positions_says_both(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(SAMPLES["dictator-alert"])
    assert typed("import", "export.csv")[:2] == (0, "export.csv: 1 legs, and 3 positions (dictator-alert)\n")
    assert typed("import", "export.csv")[1] == "export.csv: imported before, nothing changed\n"


def test_positions_that_make_no_leg_are_there_all_the_same(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_bytes(SAMPLES["fr24-positions"].replace(b"ADSB", b"ESTIMATED"))
    assert typed("import", "one.json")[1] == "one.json: 1 positions (fr24-positions)\n"
    assert typed("legs")[1] == "No leg in this store: it has 1 positions, and no flight can be made of them.\n"


def test_an_archive_in_parts_is_one_import(typed: Typed, tmp_path: Path) -> None:
    data = day_archive(["15521f", "155221"])
    (tmp_path / "day.tar.aa").write_bytes(data[:3000])
    (tmp_path / "day.tar.ab").write_bytes(data[3000:])
    assert typed("import", "day.tar.aa", "day.tar.ab", "--aircraft", "RA-86559")[:2] == (
        0,
        "day.tar.aa: 4 positions (globe-history)\n",
    )
    assert typed("import", "day.tar.aa", "--aircraft", "15521f")[1] == "day.tar.aa: imported before, nothing changed\n"


def test_any_csv_with_a_map_of_its_columns(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "theirs.csv").write_text("t,who,y,x,h\n1709294400,15521f,55.9,38.2,1000\n")
    (tmp_path / "map.yaml").write_text(
        "timestamp: {column: t, time: epoch_s}\nicao24: who\nlatitude: y\nlongitude: x\naltitude: {column: h, unit: m}\n"
    )
    assert typed("import", "theirs.csv", "--columns", "map.yaml")[:2] == (0, "theirs.csv: 1 positions (positions)\n")
    (tmp_path / "map.yaml").write_text("timestamp: t\nlatitude: y\nlongitude: x\naltitude: {column: h, unit: yards}\n")
    status, _, err = typed("import", "theirs.csv", "--columns", "map.yaml")
    assert (status, "map.yaml:4:" in err, "must be one of ft, m" in err) == (1, True, True)


def test_a_playback_that_names_nobody_is_no_question_but_a_line(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "flight.csv").write_bytes(SAMPLES["fr24-csv"])
    status, out, err = typed("import", "flight.csv")
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert "--registration" in err
    assert typed("import", "flight.csv", "--registration", "RA-86559")[0] == 0


def test_a_real_day_trace_becomes_its_legs(typed: Typed) -> None:
    """Cruise with gaps of three quarters of an hour, and a night on the ground."""
    assert typed("import", str(real("feeds/readsb_trace_full_ac671b.json")))[0] == 0
    status, _, _ = typed("legs", "-o", "legs.csv")
    assert (status, len(pd.read_csv("legs.csv"))) == (0, 4)


# ---------------------------------------------------------------------------------------------------------------------- alerts


@pytest.fixture
def book(tmp_path: Path, airports: Airports) -> Iterator[AlertBook]:
    """The book of the store `data`: one alert, whose message Slack refused for good and the ledger took."""
    (tmp_path / "data").mkdir()
    opened = AlertBook(tmp_path / "data" / "alerts.sqlite")
    opened.apply(1, [finding("lost", replace(RULE, notify=("desk", "ledger")))], told(airports), START)
    fail(opened, "Slack refuses chat.postMessage: invalid_blocks")
    due = opened.claim(START, ["ledger"])
    assert due is not None
    opened.sent(due, "post-1")
    yield opened
    opened.close()


def fail(book: AlertBook, why: str) -> None:
    due = book.claim(datetime.now(UTC), ["desk"])
    assert due is not None
    book.failed(due, START, why, permanent=True, retry_after_s=None, outcome_unknown=False)


def test_alerts_are_listed_with_what_became_of_them(typed: Typed, book: AlertBook) -> None:
    status, out, _ = typed("alerts", "list")
    assert status == 0
    assert "15521f-20230925T131139  lost, as of 25 Sep 2023 22:10 UTC" in out
    assert "Il-62 RA-86559 (Russian Air Force) was probably heading for North Korea" in out
    assert out.splitlines()[-2:] == ["    desk: 1 dead", "    ledger: 1 sent"]


def test_a_dead_message_that_somebody_knows_of_is_no_trouble_any_more(typed: Typed, book: AlertBook, tmp_path: Path) -> None:
    """`doctor` is content; who decided that, when, and what was wrong stays."""
    with Store(tmp_path / "data"):
        pass
    _, out, _ = typed("doctor")
    assert "BAD  outbox: 1 sent, 0 waiting, 1 dead; `flightwatch alerts dead`" in out
    _, out, _ = typed("alerts", "dead")
    assert out.startswith("1: 15521f-20230925T131139 to desk: Slack refuses chat.postMessage: invalid_blocks; tried 1 times\n")
    status, out, _ = typed("alerts", "acknowledge", "1", "--by", "night desk")
    assert (status, out) == (0, "1: acknowledged; desk does not get it (15521f-20230925T131139)\n")
    _, out, _ = typed("doctor")
    assert "ok   outbox: 1 sent, 0 waiting, 0 dead, 1 acknowledged" in out
    assert "not delivered" not in out
    _, out, _ = typed("alerts", "dead")
    assert out.splitlines()[0] == "No dead message."
    assert f"1: acknowledged by night desk, {datetime.now(UTC):%-d %b %Y}" in out
    assert "(Slack refuses chat.postMessage: invalid_blocks)" in out
    status, _, err = typed("alerts", "acknowledge", "1")
    assert (status, "1 is the number of no dead message" in err) == (1, True)
    assert book.claim(datetime.now(UTC), ["desk"]) is None, "it is not sent"
    assert book.undelivered() == []


def test_a_dead_message_is_sent_again_once_what_was_wrong_is_mended(typed: Typed, book: AlertBook) -> None:
    status, out, _ = typed("alerts", "retry", "1")
    assert (status, "a running flightwatch sends it to desk" in out) == (0, True)
    fail(book, "Slack refuses chat.postMessage: msg_too_long")
    typed("alerts", "retry", "1")
    due = book.claim(datetime.now(UTC), ["desk"])
    assert due is not None
    assert (due.attempts, due.payload != b"") == (1, True)
    book.sent(due, "post-2")
    assert [(h.what, h.who, h.error.split(": ")[1]) for h in book.handled()] == [
        ("retried", getpass.getuser(), "invalid_blocks"),
        ("retried", getpass.getuser(), "msg_too_long"),
    ]


def test_old_news_are_not_sent_after_the_new(typed: Typed, book: AlertBook, airports: Airports) -> None:
    """All or none: where one of them cannot be handled, nothing changes."""
    book.apply(2, [finding("landed", replace(RULE, notify=("desk", "ledger")), 30)], told(airports), START)
    due = book.claim(datetime.now(UTC), ["desk"])
    assert due is not None
    book.sent(due, "post-2")
    status, _, err = typed("alerts", "retry", "1")
    assert (status, "a later message about 15521f-20230925T131139 has reached desk: acknowledge this one" in err) == (1, True)
    status, _, err = typed("alerts", "acknowledge", "1", "99")
    assert (status, "99 is the number of no dead message" in err) == (1, True)
    assert [d.number for d in book.dead()] == [1]
    assert book.handled() == []


def test_alerts_where_nothing_was_ever_told(typed: Typed) -> None:
    for words in (("list",), ("dead",), ("retry", "1")):
        status, _, err = typed("alerts", *words)
        assert (status, "nothing was ever told" in err) == (1, True)
