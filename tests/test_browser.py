"""Evidence pages and their index in a real browser: they draw, they can be used, and nothing leaves the machine."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from flightwatch.alerts.links import INDEX, page_name
from flightwatch.deliveries import pages
from flightwatch.deliveries.evidence import IndexRow
from flightwatch.places import Airports
from flightwatch.store import Store
from tests.browser import Browser, browsing, program
from tests.conftest import T0
from tests.test_alerts import IL62
from tests.test_evidence import HOSTILE, about, folder_of, put, rows, tell

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(program() is None, reason="no Chromium on this machine: pages are not opened in a browser"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, airports: Airports) -> Path:
    """The page of an alert whose every text is hostile, and the index."""
    where = tmp_path_factory.mktemp("pages")
    with Store(where / "store") as store:
        put(store, rows(callsign=HOSTILE, registration='"><img src=http://127.0.0.1:9/x onerror=alert(1)>'))
        told = about()
        leg = replace(told.there.arrival, callsign=HOSTILE)
        told = replace(told, aircraft=replace(IL62, operator=HOSTILE), visit=replace(told.there, way=(leg,)))
        tell(store, airports, told)
        folder_of(store, airports, where).write()
    return where


@pytest.fixture
def page(folder: Path) -> Path:
    return folder / page_name(about().there.arrival.leg_id)


def red(picture: bytes) -> int:
    """How many points of a picture have the colour of what was seen."""
    pixels = matplotlib.image.imread(io.BytesIO(picture), format="png")[..., :3]
    return int((np.abs(pixels - np.array([0xB3, 0x26, 0x1E]) / 255).max(axis=-1) < 0.06).sum())


def test_a_page_draws_its_track_and_nothing_leaves_the_machine(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.asked_for == [page.resolve().as_uri()]
    assert browser.complaints == []
    assert browser.ask("document.getElementById('maptools').hidden") is False, "the script ran"
    browser.ask("document.getElementById('where').scrollIntoView()")
    assert red(browser.picture()) > 1000
    assert browser.ask("document.querySelectorAll('img').length") == 0
    assert HOSTILE in browser.ask("document.querySelector('h1').textContent")


def test_the_map_is_used_by_keyboard_and_the_track_is_read_along(browser: Browser, page: Path) -> None:
    browser.open(page)
    shown = "document.getElementById('map').getAttribute('viewBox').split(' ').map(Number)"
    whole = browser.ask(shown)
    browser.ask("document.getElementById('map').focus()")
    browser.press("+")
    browser.press("ArrowRight")
    zoomed = browser.ask(shown)
    assert zoomed[2] == pytest.approx(whole[2] / 1.5)
    assert zoomed[0] > (whole[2] - zoomed[2]) / 2
    browser.press("0")
    assert browser.ask(shown) == whole
    browser.ask("document.getElementById('slider').focus()")
    browser.press("ArrowRight")
    told = browser.ask("document.getElementById('slider').getAttribute('aria-valuetext')")
    assert told.startswith("2024-03-01 12:02 UTC · 2,000 ft")
    assert browser.ask("document.getElementById('readout').textContent").startswith("2024-03-01 12:02 UTC")
    assert float(browser.ask("document.querySelector('.profile .cursor').getAttribute('x1')")) > 0
    assert browser.complaints == []


def test_pages_fit_a_phone(browser: Browser, page: Path, folder: Path) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    for path in (page, folder / INDEX):
        browser.open(path)
        assert browser.ask("document.documentElement.scrollWidth") <= 390
    browser.call("Emulation.clearDeviceMetricsOverride")


def test_the_index_is_searched_and_filtered(browser: Browser, folder: Path) -> None:
    made = [
        IndexRow(
            f"a{i}", "", f"{HOSTILE} {i}", "", "lost" if i % 2 else "landed", "high" if i < 10 else "low", (f"rule-{i % 3}",),
            f"RA-8{i:04d}", f"15{i:04x}", T0.date() + timedelta(days=i), T0 + timedelta(days=i),
        )
        for i in range(40)
    ]  # fmt: skip
    path = folder / "many.html"
    path.write_text(pages.index(made), encoding="utf-8")
    browser.open(path)
    assert browser.asked_for == [path.resolve().as_uri()]

    def left(**given: str) -> int:
        for name in ("text", "stage", "severity", "rule", "aircraft", "since", "until"):
            browser.ask(f"document.getElementById('{name}').value = '{given.get(name, '')}'")
        browser.ask("document.getElementById('filters').dispatchEvent(new Event('input'))")
        return int(browser.ask("document.querySelectorAll('#rows tr:not([hidden])').length"))

    assert left() == 40
    assert left(stage="lost") == 20
    assert left(severity="high", stage="lost") == 5
    assert left(rule="rule-0") == 14
    assert left(aircraft="ra-80007") == 1
    assert left(text="alert 39") == 1
    assert left(since="2024-03-05", until="2024-03-06") == 2
    assert left(text="nowhere") == 0
    assert browser.ask("document.getElementById('count').textContent") == "0 of 40 shown"
    assert browser.complaints == []
