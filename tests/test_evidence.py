"""Evidence pages, as somebody reads them who has to stand by an alert: what was seen and what was not, whose data may be shown,
and that nothing in them can do harm."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import backfill, live
from flightwatch import evidence as evidences
from flightwatch.aircraft import Registry
from flightwatch.alerts import AlertBook
from flightwatch.alerts.links import INDEX, page_name, trackers
from flightwatch.alerts.notices import many
from flightwatch.alerts.wording import inferred_lines
from flightwatch.config import read_settings
from flightwatch.deliveries import drawings, pages
from flightwatch.deliveries.console import Console
from flightwatch.deliveries.digest import render
from flightwatch.deliveries.evidence import Evidence, IndexRow, Spot
from flightwatch.deliveries.slack import blocks
from flightwatch.deliveries.updates import as_object
from flightwatch.desk import Desk, thinned
from flightwatch.errors import ConfigError
from flightwatch.evidence import Folder, Pages
from flightwatch.places import Airports
from flightwatch.places.great_circle import between
from flightwatch.reasons import why
from flightwatch.records import EMERGENCY, UNKNOWN, Candidate, Event, Finding, Scope, Snapshot, Terms, Track
from flightwatch.store import Store
from tests.conftest import T0, Typed, positions
from tests.examples import tries
from tests.live_runs import Ledger, pipeline
from tests.processes import wait_for
from tests.test_alerts import BACK, IL62, finding, leg
from tests.test_deliveries import a_digest

LOL = Terms("adsb.lol and its contributors (ODbL 1.0)")
CLOSED = Terms("Flightradar24", 30, republish=False)
FLEETING = Terms("A Receiver", 30)
UUMU, ZKPY = (55.878, 38.062), (39.224, 125.67)
HOLE = range(60, 105)
"""Two-minute steps in which nobody heard it: an hour and a half."""

HOSTILE = "</script><script>alert(1)//"
RIGHT_TO_LEFT = "‮evil"


def rows(count: int = 210, every_s: float = 120.0, **more: object) -> list[dict[str, object]]:
    """From Moscow towards Pyongyang, with a hole, lost before it is there."""
    lat, lon = between(*UUMU, *ZKPY, round(count * 1.08))
    hole = {int(i * 120.0 / every_s) + k for i in HOLE for k in range(int(120.0 / every_s))}
    return [
        {
            "at": i * every_s,
            "icao24": "15521f",
            "callsign": "RFF7237",
            "registration": "RA-86559",
            "typecode": "IL62",
            "latitude": round(float(lat[i]) + 0.0001 * (i % 7), 5),
            "longitude": round(float(lon[i]), 5),
            "altitude": min(1000.0 * (i * every_s / 60), 34_000.0),
            "groundspeed": 470.0,
            "track": 80.0,
            "onground": False,
            "source": "adsb",
        }
        | more
        for i in range(count)
        if i not in hole
    ]


def put(store: Store, found: Sequence[dict[str, object]], feed: str = "adsb-lol", terms: Terms = LOL) -> None:
    store.set_terms(feed, terms)
    last = T0 + timedelta(seconds=max(float(str(row["at"])) for row in found))
    store.snapshots.append(Snapshot(feed, last, last, Scope("world"), positions(list(found), feed)))


def about(feeds: Sequence[str] = ("adsb-lol",), hours: float = 7.0) -> Finding:
    """A finding about that flight, of which nobody saw the end."""
    given = finding("lost")
    flown = given.there.arrival
    candidates = (Candidate("ZKPY", 0.8), Candidate("UHWW", 0.13), Candidate("KP-0020", 0.04), Candidate(UNKNOWN, 0.03))
    flown = replace(
        flown,
        leg_id="15521f-20240301T120000",
        first_seen=T0,
        last_seen=T0 + timedelta(hours=hours),
        feeds=tuple(feeds),
        gaps=(replace(flown.gaps[0], start=T0 + timedelta(hours=2), end=T0 + timedelta(hours=3.5)),),
        destination=replace(flown.destination, candidates=candidates),
    )
    return replace(given, visit=replace(given.there, visit_id=f"visit-{flown.leg_id}", way=(flown,)))


def folder_of(store: Store, airports: Airports, at: Path) -> Folder:
    registry = Registry([])
    return Folder(at, store.root, airports, lambda: registry)


def tell(store: Store, airports: Airports, *findings: Finding, now: datetime = T0, seq: int = 1) -> list[str]:
    """Puts findings into the alert book; gives the ids of their alerts."""
    with AlertBook(store.root / "alerts.sqlite") as book:
        decided = book.apply(seq, findings, Desk(store, airports, Registry([])).compose, now)
    return [d.alert.alert_id for d in decided if d.alert is not None]


def page_of(store: Store, airports: Airports, at: Path, told: Finding) -> str:
    (name,) = tell(store, airports, told)
    folder_of(store, airports, at).write([name])
    return (at / page_name(name)).read_text(encoding="utf-8")


def record_of(store: Store, airports: Airports, told: Finding) -> Evidence:
    (name,) = tell(store, airports, told)
    with AlertBook(store.root / "alerts.sqlite", read_only=True) as book:
        return evidences.evidence(why(store, book, name), Desk(store, airports, Registry([])), T0)


class Page(HTMLParser):
    """What stands on a page: its tags with their attributes, its text, and what its data addresses hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t == tag and (not kind or kind in (a.get("class") or "").split())]

    @property
    def files(self) -> dict[str, str]:
        links = [a for a in self.all("a") if a.get("download")]
        return {str(a["download"]).rsplit(".", 1)[1]: _held(str(a["href"])) for a in links}

    @property
    def track(self) -> dict[str, list[float]]:
        (text,) = [w for w in self.words if w.startswith('{"t":')]
        return json.loads(text)  # type: ignore[no-any-return]


def _held(address: str) -> str:
    head, _, data = address.partition(",")
    return (base64.b64decode(data) if head.endswith(";base64") else unquote_to_bytes(data)).decode()


@pytest.fixture
def seen(store: Store) -> Store:
    put(store, rows())
    return store


# --------------------------------------------------------------------------------------------------------------- what it says


def test_a_hole_is_dashed_and_never_drawn_solid(seen: Store, airports: Airports, tmp_path: Path) -> None:
    page = Page(page_of(seen, airports, tmp_path / "r", about()))
    svg = [t for t, _ in page.tags].index("svg")
    on_map = page.tags[svg : [t for t, _ in page.tags].index("input")]
    solid = [a["d"] for t, a in on_map if t == "path" and a.get("class") == "seen" and str(a["d"]) != "M1 7h32"]
    dashed = [a["d"] for t, a in on_map if t == "path" and a.get("class") == "inferred"]
    assert len(solid) == 2, "before the hole and after it"
    assert len(dashed) == 2, "across the hole, and on to the place that leads"
    assert [a["d"] for t, a in on_map if a.get("class") == "casing"] == dashed, "so that two on each other stay dashed"
    ends = [np.array([[float(v) for v in p.split()] for p in re.split("[ML]", str(d))[1:]]) for d in solid]
    across = np.array([[float(v) for v in p.split()] for p in re.split("[ML]", str(dashed[0]))[1:]])
    assert across[0] == pytest.approx(ends[0][-1], abs=0.02)
    assert across[-1] == pytest.approx(ends[1][0], abs=0.02)
    assert "1 h 32 min from 13:58: not seen; taken for flying on (0.99)" in page.text
    assert len(page.all("rect", "hole")) == 1


def test_candidates_of_an_unseen_end_stand_in_a_table_and_on_the_map(seen: Store, airports: Airports, tmp_path: Path) -> None:
    html = page_of(seen, airports, tmp_path / "r", about())
    cells = [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in re.findall("<tr>.*?</tr>", html)]
    told = [c for c in cells if re.search(r"0\.\d\d( [\d,]+ nm)?$", c) and "destination" not in c]
    assert [re.search(r"0\.\d\d", c)[0] for c in told] == ["0.80", "0.13", "0.04", "0.03"]  # type: ignore[index]
    assert told[0].startswith("Pyongyang Sunan International Airport ZKPY, North Korea 0.80 ")
    assert told[-1] == "unknown: none of the above 0.03"
    page = Page(html)
    rings = [float(str(a["r"])) for a in page.all("circle", "ring") if a["r"] != "6"]
    assert len(rings) == 3
    assert max(rings) == rings[-1], "the most probable one lies on top and is the largest"
    assert "Pyongyang 0.80" in page.text
    assert "Landing: candidates and how probable they are (inferred)" in page.text


def test_what_nobody_saw_is_probable_and_what_was_seen_is_not(seen: Store, airports: Airports, tmp_path: Path) -> None:
    told = about()
    landed = replace(told.there.arrival, status="presumed_landed")
    page = Page(page_of(seen, airports, tmp_path / "r", replace(told, visit=replace(told.there, way=(landed,)))))
    assert "took off 25 Sep 2023 13:10 UTC" in page.text
    assert "; probably landed between" in page.text
    assert "probably took off" not in page.text
    assert "from: observed; to: inferred 0.93; down 0.97" in page.text


def test_why_it_was_told_and_what_it_rests_on(seen: Store, airports: Airports, tmp_path: Path) -> None:
    seen.snapshots.flush_all()
    page = Page(page_of(seen, airports, tmp_path / "r", about()))
    for said in (
        "destination North Korea with at least 0.6 inferred, 0.93",
        "Russian state aircraft to North Korea (russian-state-to-north-korea, high)",
        "One earlier visit of RA-86559 to North Korea in the 1,289 observed days before.",
        "opened",
        f"Data: {LOL.attribution}.",
        "leg 15521f-20240301T120000, revision 1, model 2023-09-25",
    ):
        assert said in page.text, said
    files = [f.path for f in seen.snapshots.files(T0, T0 + timedelta(hours=8))]
    assert files
    assert all(path in page.text for path in files)
    assert len(re.findall(r"\b[0-9a-f]{64}\b", page.text)) == len(files)


def test_it_leads_to_public_trackers_and_loads_nothing(seen: Store, airports: Airports, tmp_path: Path) -> None:
    page = Page(page_of(seen, airports, tmp_path / "r", about()))
    links = [str(a["href"]) for a in page.all("a") if str(a["href"]).startswith("http")]
    for site in ("adsb.lol", "globe.adsbexchange.com", "globe.adsb.fi", "www.flightradar24.com", "www.flightaware.com"):
        assert any(site in link for link in links), site
    assert "https://globe.adsb.fi/?icao=15521f&showTrace=2024-03-01" in links
    loads = [(t, a) for t, a in page.tags for name in ("src", "srcset", "data", "poster", "xlink:href") if a.get(name)]
    assert not loads
    assert [a["href"] for a in page.all("link")] == ["data:,"]
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in str(policy)
    assert not [a for _, a in page.tags if "style" in a or any(name.startswith("on") for name in a)]


def test_a_reconstruction_says_so_and_leads_to_no_tracker(store: Store, airports: Airports, tmp_path: Path) -> None:
    put(store, rows(), "made-up", Terms("reconstructed from press reports", reconstructed=True))
    page = Page(page_of(store, airports, tmp_path / "r", about(["made-up"])))
    assert "[Reconstruction] Il-62 RA-86559" in page.text
    assert "Nobody observed them." in page.text
    assert not [a for a in page.all("a") if str(a["href"]).startswith("http")]
    assert "Reconstruction: nobody observed what stands under made-up." in (tmp_path / "r" / INDEX).read_text(encoding="utf-8")


def test_addresses_that_are_nobodys_lead_nowhere() -> None:
    day = date(2024, 3, 1)
    assert list(trackers("~15521f", None, day)) == []
    assert [name for name, _, _ in trackers(None, "RA-86559", day)] == ["Flightradar24", "FlightAware"]
    (first, second) = trackers(None, '"><x', day)
    assert '"' not in first[2] + second[2]


def test_a_journey_in_stages_is_told_from_where_it_began(seen: Store, airports: Airports, tmp_path: Path) -> None:
    """Each of its flights has its ends; the track is tied to where the first one came from, not to a stop on the way."""
    told = about()
    second = told.there.arrival
    first = replace(
        leg("15521f-20240301T060000", origin=("ULLI", 0.7, "inferred"), to=("UUMU", 0.99, "observed")),
        first_seen=T0 - timedelta(hours=3),
        last_seen=T0 - timedelta(hours=2),
        feeds=("adsb-lol",),
    )
    staged = replace(told, visit=replace(told.there, way=(first, replace(second, origin=first.destination))))
    page = Page(page_of(seen, airports, tmp_path / "r", staged))
    assert "Take-off of flight 1: candidates" in page.text
    assert "Landing of flight 2: candidates" in page.text
    assert "Landing of flight 1: candidates" not in page.text, "that was seen"
    pulkovo = airports.get("ULLI")
    assert pulkovo is not None
    line = inferred_lines(staged, Track((55.9, 56.0), (38.0, 39.0), ()), airports)[0]
    assert line == (55.9, 38.0, pulkovo.latitude, pulkovo.longitude)


def test_a_stay_that_nobody_saw_lies_between_two_flights(store: Store, airports: Airports, tmp_path: Path) -> None:
    """There and back: both dashed ways meet at the place that leads, on the page and on the map of the message."""
    there = rows()
    back = [row | {"at": 36_000 + there[-1]["at"] - row["at"], "track": 260.0} for row in reversed(there)]  # type: ignore[operator]
    put(store, [*there, *back])
    told = about()
    begins = T0 + timedelta(seconds=float(str(back[0]["at"])))
    home = replace(BACK, first_seen=begins, last_seen=begins + timedelta(hours=7), feeds=("adsb-lol",))
    returned = replace(told, stage="returned", visit=replace(told.there, departure=home))
    page = Page(page_of(store, airports, tmp_path / "r", returned))
    with AlertBook(store.root / "alerts.sqlite", read_only=True) as book:
        (alert,) = book.alerts()
    assert alert.message.map is not None
    pyongyang = airports.get("ZKPY")
    assert pyongyang is not None
    assert sum(line[2:] == (pyongyang.latitude, pyongyang.longitude) for line in alert.message.map.inferred) == 2
    assert "Stay: probably Pyongyang, ZKPY, about" in page.text
    assert len(page.all("svg", "profile")) == 2


def test_an_event_is_shown_with_what_was_seen_around_it_and_nothing_inferred(
    store: Store, airports: Airports, tmp_path: Path
) -> None:
    put(store, rows())
    backfill.refresh(store, pipeline(store, []))
    since, until = T0 + timedelta(minutes=80), T0 + timedelta(minutes=90)
    event = Event("e-1", EMERGENCY, "7700", ("15521f",), since, until, 56.0, 50.0, 56.5, 52.0, 6, ("adsb-lol",))
    told = replace(about(), visit=None, event=event, everybody=(IL62,), stage="happened", rarity=(), earlier=())
    page = Page(page_of(store, airports, tmp_path / "r", told))
    assert "sent the emergency code 7700" in page.text
    assert page.track["t"][0] >= (since - timedelta(minutes=31)).timestamp()
    assert page.track["t"][-1] <= (until + timedelta(minutes=31)).timestamp()
    assert [a["d"] for a in page.all("path", "inferred")] == ["M1 7h32"], "the legend alone"
    assert "No history is counted for this alert." in page.text
    assert "Ends that nobody saw" not in page.text


# ------------------------------------------------------------------------------------------------------------- whose data it is


@pytest.mark.parametrize("terms", [CLOSED, FLEETING], ids=["not-to-be-republished", "not-to-be-kept"])
def test_positions_that_may_not_be_passed_on_are_in_no_page(
    terms: Terms, store: Store, airports: Airports, tmp_path: Path
) -> None:
    """Neither drawn nor in the data nor in a download; the page says whose are missing."""
    whole = rows()
    put(store, whole[: len(whole) // 2])
    put(store, whole[len(whole) // 2 :], "other", terms)
    html = page_of(store, airports, tmp_path / "r", about(["adsb-lol", "other"]))
    page = Page(html)
    everything = html + "".join(page.files.values())
    hidden = whole[len(whole) // 2 :]
    if not terms.republish:  # messages show what may only not be kept, and their words stay
        assert not [row for row in hidden if f"{row['latitude']:.4f}" in everything]
    assert len(page.track["t"]) == len(whole) // 2
    assert max(page.track["t"]) < T0.timestamp() + float(str(hidden[0]["at"]))
    assert f"Not on this page: positions of {terms.attribution}" in page.text
    if not terms.republish:
        assert "nm from Pyongyang" not in page.text, "the track ends before it was seen last"
    assert len(list(csv.DictReader(io.StringIO(page.files["csv"])))) == len(whole) // 2
    assert "no position that may be shown" in page.text


def test_a_page_of_nothing_but_closed_data_has_no_track_and_says_why(store: Store, airports: Airports, tmp_path: Path) -> None:
    put(store, rows(), "fr24", CLOSED)
    html = page_of(store, airports, tmp_path / "r", about(["fr24"]))
    page = Page(html)
    assert page.track["t"] == []
    assert page.files == {}
    assert "There is no position to download." in page.text
    assert "Flightradar24 (not to be republished)" in page.text
    assert "Pyongyang 0.80" in page.text, "what was concluded stays"


def test_downloads_are_what_other_programs_read(seen: Store, airports: Airports, tmp_path: Path) -> None:
    files = Page(page_of(seen, airports, tmp_path / "r", about())).files
    table = list(csv.DictReader(io.StringIO(files["csv"])))
    assert len(table) == 165
    assert (table[0]["timestamp"], table[0]["icao24"], table[-1]["altitude_ft"]) == ("2024-03-01T12:00:00Z", "15521f", "34000")
    shapes = json.loads(files["geojson"])["features"]
    assert [s["properties"]["basis"] for s in shapes] == ["observed"] * 2 + ["inferred"] * 5
    assert len(shapes[0]["geometry"]["coordinates"]) == len(shapes[0]["properties"]["times"]) == 60
    assert shapes[-1]["geometry"]["type"] == "Point"
    kml = ET.fromstring(files["kml"])
    google = "{http://www.google.com/kml/ext/2.2}"
    tracks = list(kml.iter(f"{google}Track"))
    assert len(tracks) == 2
    assert len(list(tracks[0].iter(f"{google}coord"))) == len(list(tracks[0].iter("{http://www.opengis.net/kml/2.2}when"))) == 60
    assert LOL.attribution in files["kml"]
    assert LOL.attribution in files["geojson"]


# ----------------------------------------------------------------------------------------------------------------- hostile text


@pytest.mark.parametrize(
    "text", [HOSTILE, '"><img src=x onerror=alert(1)>', "' onload='alert(1)", RIGHT_TO_LEFT, "=HYPERLINK(1)"]
)
def test_text_of_strangers_stays_text(text: str, store: Store, airports: Airports, tmp_path: Path) -> None:
    put(store, rows(callsign=text, registration=text))
    told = about()
    flown = replace(told.there.arrival, callsign=text, registration=text)
    hostile = replace(
        told,
        aircraft=replace(IL62, registration=text, operator=text),
        visit=replace(told.there, way=(flown,)),
        held=(replace(told.held[0], value=text),),
        rarity=(replace(told.rarity[0], sentence=text, subject=text),),
    )
    for html in (page_of(store, airports, tmp_path / "r", hostile), (tmp_path / "r" / INDEX).read_text(encoding="utf-8")):
        page = Page(html)
        scripts = [a.get("type") for a in page.all("script")]
        assert scripts in (["application/json", None], [None])
        assert not {"img", "iframe", "object", "embed", "form", "base"} & {t for t, _ in page.tags}
        assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
        assert "‮" not in html
        assert "alert(1)" not in "".join(re.findall("<script>(.*?)</script>", html, re.S))
    files = Page((tmp_path / "r" / page_name(flown.leg_id)).read_text(encoding="utf-8")).files
    ET.fromstring(files["kml"])
    json.loads(files["geojson"])
    assert not [row for row in csv.reader(io.StringIO(files["csv"])) if row[2].startswith("=")]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", "x\x00y", "<b>", "15521f-20240301T120000", "~abc-1"])
def test_an_id_makes_no_path(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*\.html", page_name(name))


# ------------------------------------------------------------------------------------------------------------------------ size


def test_a_long_track_makes_a_page_of_bounded_size_that_says_that_it_is_thinned(
    store: Store, airports: Airports, tmp_path: Path
) -> None:
    put(store, rows(12_600, 2.0))
    html = page_of(store, airports, tmp_path / "r", about())
    assert len(html.encode()) < pages.LARGEST
    page = Page(html)
    found = re.search(r"The track is thinned: (\d+) of ([\d,]+) positions", page.text)
    assert found is not None
    shown = int(found[1])
    assert 590 <= shown <= 610
    assert len(page.track["t"]) == len(list(csv.DictReader(io.StringIO(page.files["csv"])))) == shown
    assert len(page.all("rect", "hole")) == 1, "thinning makes no hole and closes none"


@pytest.mark.slow
def test_long_names_and_many_files_make_no_larger_page(store: Store, airports: Airports, tmp_path: Path) -> None:
    """It has fewer positions then, and says so."""
    name = "a-feed-with-" + "x" * 52
    for n, part in enumerate(np.array_split(np.array(rows(12_600, 2.0)), 70)):
        put(store, [*part], f"{name[:-2]}{n:02d}")
    store.snapshots.flush_all()
    html = page_of(store, airports, tmp_path / "r", about([f"{name[:-2]}{n:02d}" for n in range(70)]))
    assert len(html.encode()) < pages.LARGEST
    assert "The track is thinned: " in html


@settings(max_examples=tries(60), deadline=None)
@given(st.lists(st.integers(1, 4000), max_size=400), st.integers(4, 60))
def test_thinning_keeps_both_ends_and_the_holes(steps_s: list[int], points: int) -> None:
    times = np.cumsum([0, *steps_s]).astype(np.int64) * 1_000_000
    keep, breaks = thinned(times, points)
    assert (keep[0], keep[-1]) == (0, len(times) - 1)
    assert len(keep) <= 2 * points + 2
    holes = int((np.diff(times) > 600e6).sum())
    assert len(breaks) == min(holes, points // 2 if holes * 2 > points else holes)
    assert all(times[keep[b]] - times[keep[b - 1]] > 600e6 for b in breaks)


# ------------------------------------------------------------------------------------------------------------------------- map


def drawn(lat: Sequence[float], lon: Sequence[float]) -> drawings.MapDrawing:
    spots = tuple(Spot(f"place {i}", a, o, 0.5) for i, (a, o) in enumerate(zip(lat, lon, strict=True)))
    made = drawings.map_of(replace(EMPTY, spots=spots))
    assert made is not None
    return made


EMPTY = Evidence(
    alert_id="x", number=1, stage="lost", severity="low", headline="", qualifier="", facts=(), notes=(), opened=T0, updated=T0,
    changed=T0, written=T0, version="", rules=(), held_for="", held=(), rarity=(), day=T0.date(), watched=(), visits=(), steps=(),
    ends=(), way=evidences._way([], 0), dashed=(), spots=(), profiles=(), withheld="", track_note="", decisions=(), files=(),
    files_note="", sources=(), trackers=(), reconstructed=False,
)  # fmt: skip


def shape(path: str) -> list[list[tuple[int, int]]]:
    """The rings of a path in tenths of units."""
    out = []
    for ring in filter(None, re.split("[Mz]", path)):
        x, y = 0, 0
        points = []
        for pair in re.findall(r"(-?\d+)[ +]?(-?\d+)", ring.replace("l", " ")):
            x, y = (int(pair[0]), int(pair[1])) if not points else (x + int(pair[0]), y + int(pair[1]))
            points.append((x, y))
        out.append(points)
    return out


def is_land(made: drawings.MapDrawing) -> bool:
    """Whether the middle of the picture is on land, by the rule of even and odd."""
    x, y, inside = drawings.MAP_WIDTH * 5, drawings.MAP_HEIGHT * 5, False
    for ring in shape(made.land):
        for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
                inside = not inside
    return inside


@pytest.mark.parametrize(
    ("where", "land"),
    [
        ((60.0, 100.0), True),  # Siberia
        ((-27.1, -109.4 + 8), False),  # off Easter Island, opposite to Asia
        ((42.0, 50.5), False),  # the Caspian
        ((88.0, 0.0), False),
        ((-28.0, 24.0), True),  # South Africa
        ((75.0, -40.0), True),  # Greenland, opposite to Antarctica
        ((-80.0, 60.0), True),
        ((52.5, 179.9), False),
        ((0.0, -160.0), False),
    ],
)
@pytest.mark.parametrize("wide", [0.5, 30.0])
def test_land_is_land_and_sea_is_sea_wherever_the_map_is(where: tuple[float, float], land: bool, wide: float) -> None:
    lat, lon = where
    made = drawn([lat, lat], [lon - wide / 2, lon + wide / 2])
    assert is_land(made) == land


@settings(max_examples=tries(12), deadline=None)
@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=6))
def test_any_places_make_a_map_of_bounded_size(places: list[tuple[float, float]]) -> None:
    made = drawn([a for a, _ in places], [o for _, o in places])
    assert len(made.land) + len(made.borders) <= drawings.OUTLINE_BYTES
    assert all(-1 <= m.x <= drawings.MAP_WIDTH + 1 and -1 <= m.y <= drawings.MAP_HEIGHT + 1 for m in made.marks)
    assert "nan" not in made.land + made.borders


# ----------------------------------------------------------------------------------------------------------------------- index


def test_the_index_lists_all_alerts_and_can_be_filtered(seen: Store, airports: Airports, tmp_path: Path) -> None:
    tell(seen, airports, about())
    folder_of(seen, airports, tmp_path / "r").write()
    page = Page((tmp_path / "r" / INDEX).read_text(encoding="utf-8"))
    (row,) = [a for a in page.all("tr") if "data-day" in a]
    assert (row["data-stage"], row["data-severity"], row["data-rule"]) == ("lost", "high", "russian-state-to-north-korea")
    assert "RA-86559" in str(row["data-aircraft"])
    assert "15521f" in str(row["data-aircraft"])
    assert row["data-day"] == "2024-03-01"
    (link,) = page.all("a")
    assert (tmp_path / "r" / str(link["href"])).exists()
    labels = page.text
    assert all(word in labels for word in ("Search", "State", "Severity", "Rule", "Aircraft", "From day", "To day"))


def test_an_empty_index_is_no_quiet_sky() -> None:
    assert "not the same as nothing having happened" in pages.index([])


def test_five_hundred_alerts_are_all_on_the_index() -> None:
    rows_ = [
        IndexRow(f"a{i}", "", f"Alert {i}", "", "lost", "low", ("rule",), "T-1", "abc123", T0.date(), T0 + timedelta(minutes=i))
        for i in range(500)
    ]
    html = pages.index(rows_)
    assert html.count("data-day=") == 500
    assert html.index("Alert 499") < html.index("Alert 498"), "the newest first"


# ------------------------------------------------------------------------------------------------------------------ keeping up


def test_pages_keep_up_with_the_book_and_are_not_written_twice(seen: Store, airports: Airports, tmp_path: Path) -> None:
    folder = folder_of(seen, airports, tmp_path / "r")
    keeper = Pages(folder)
    assert keeper.keep_up() == 0, "there is no book yet"
    (name,) = tell(seen, airports, about())
    assert keeper.keep_up() == 1
    page = tmp_path / "r" / page_name(name)
    assert "when its signal was lost" in page.read_text(encoding="utf-8")
    written = page.stat().st_mtime_ns
    assert (keeper.keep_up(), Pages(folder).keep_up()) == (0, 0), "also after a restart"
    assert page.stat().st_mtime_ns == written
    tell(seen, airports, replace(about(), stage="presumed_landed"), now=T0 + timedelta(minutes=1), seq=2)
    assert keeper.keep_up() == 1
    assert "has probably landed in North Korea" in page.read_text(encoding="utf-8")
    page.unlink()
    assert Pages(folder).keep_up() == 1, "one that is gone is made again at the next start"


def test_a_folder_that_cannot_be_written_costs_no_alert(
    seen: Store, airports: Airports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told of, and tried again."""
    (tmp_path / "r").write_text("a file where the folder should be", encoding="utf-8")
    keeper = Pages(folder_of(seen, airports, tmp_path / "r"))
    (name,) = tell(seen, airports, about())
    assert keeper.keep_up() == 0
    with AlertBook(seen.root / "alerts.sqlite") as book:
        assert book.claim(T0, ["slack"]) is not None
    (tmp_path / "r").unlink()
    assert keeper.keep_up() == 0, "not before a while is over"
    monkeypatch.setattr(evidences, "AGAIN_AFTER_S", 0.0)
    again = Pages(folder_of(seen, airports, tmp_path / "r"))
    assert again.keep_up() == 1
    assert (tmp_path / "r" / page_name(name)).exists()


def test_a_run_writes_pages_while_it_goes_on(
    seen: Store, airports: Airports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAGES_EVERY_S", 0.02)
    runner = live.Runner(seen, pipeline(seen, []), [], live.Outlets({"ledger": Ledger()}, None, None), live.SystemClock())
    runner.book.apply(1, [about()], Desk(seen, airports, Registry([])).compose, T0)
    page, stop = tmp_path / "r" / page_name("15521f-20240301T120000"), threading.Event()

    def wait() -> None:
        try:
            wait_for((tmp_path / "r" / INDEX).exists)
        finally:
            stop.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    live.run(runner, live.SystemClock(), stop, seen.root / "alerts.sqlite", lambda: None, tmp_path / "r")
    waiting.join()
    runner.book.close()
    assert page.exists()


# ----------------------------------------------------------------------------------------------------------------------- links


def test_messages_lead_to_the_page_where_it_has_an_address(seen: Store, airports: Airports) -> None:
    with AlertBook(seen.root / "alerts.sqlite") as book:
        book.apply(1, [about()], Desk(seen, airports, Registry([]), "https://desk.example.org/alerts/").compose, T0)
        (alert,) = book.alerts()
    address = "https://desk.example.org/alerts/15521f-20240301T120000.html"
    assert alert.message.page == address
    assert f"<{address}|Evidence page>" in json.dumps(blocks(alert.message), ensure_ascii=False)
    said = io.StringIO()
    Console(said).send(alert.message, None)
    assert f"  Evidence page: {address}\n" in said.getvalue()
    assert "Evidence page" not in json.dumps(blocks(replace(alert.message, page="")))
    digest = render(replace(a_digest(airports), flagged=(alert.message,), still_open=(alert.message,)))
    assert digest.html.count(f'<a href="{address}">Evidence page</a>') == 2
    assert f"Evidence page: {address}" in digest.plain
    assert many([alert.message] * 30).page == "https://desk.example.org/alerts/index.html"
    assert as_object(alert.message, T0)["page"] == address


@pytest.mark.parametrize("url", ["desk.example.org", "javascript:alert(1)", "https://", "https://a b", "file:///x"])
def test_an_address_that_nobody_can_open_is_refused(url: str, tmp_path: Path) -> None:
    (tmp_path / "flightwatch.yaml").write_text(f'reports: {{base_url: "{url}"}}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="base_url must be an address"):
        read_settings(tmp_path / "flightwatch.yaml")


def test_the_command_writes_pages_and_index(airports: Airports, tmp_path: Path, typed: Typed) -> None:
    with Store(tmp_path / "data") as store:
        put(store, rows())
        (name,) = tell(store, airports, about())
    status, out, _ = typed("report", name, "-o", "here")
    assert status == 0
    assert out.splitlines() == [f"Wrote here/{name}.html.", "Wrote here/index.html."]
    status, out, _ = typed("report")
    assert (tmp_path / "reports" / f"{name}.html").exists(), "beside the store"
    assert typed("report")[1].splitlines() == [out.splitlines()[-1]], "the index alone: the page is as it should be"
    status, _, error = typed("report", "nobody")
    assert (status, "there is no alert nobody" in error) == (1, True)


def times_of(html: str) -> Iterator[datetime]:
    for text in re.findall(r'name="flightwatch-changed" content="([^"]+)"', html):
        yield datetime.fromisoformat(text).astimezone(UTC)


def test_a_page_says_as_of_when_it_is(seen: Store, airports: Airports, tmp_path: Path) -> None:
    assert list(times_of(page_of(seen, airports, tmp_path / "r", about()))) == [T0]
