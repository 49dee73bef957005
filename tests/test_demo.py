"""The reference case, as somebody reads it who has just run `flightwatch demo`, and the notebook that opens what it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import re
from datetime import UTC, datetime
from email import policy
from email.parser import BytesParser
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from flightwatch import demo, explore
from flightwatch.demo import Result
from flightwatch.records import legs_from_table
from flightwatch.store import Store
from tests.conftest import Typed

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def words(text: str) -> str:
    """What stands in the panel, without its frame and line breaks."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize(
    "found",
    [
        r"Il-62 RA-86559 \(Russian Air Force\)",
        r"Took off from Chkalovskiy Air Base \(UUMU\) 25 Sep 2023 .*: observed",
        r"By now probably on the ground in North Korea: not observed; down 0\.9\d, Pyongyang 0\.\d\d",
        r"Landing not observed: down (over )?0\.9",
        r"Pyongyang Sunan International Airport \(ZKPY\) (over )?0\.\d\d",
        r"Same aircraft as in Pyongyang on 1 – 2 Aug 2023 local time \(stayed 3[5-7] h, inferred\)",
        r"its second visit in 56 days",
        r"Probably left again between 27 Sep 2023 .* not observed",
        r"after about 2 d \d h on the ground; landed in Chkalovskiy \(Moscow\) 28 Sep 2023",
        r"One earlier visit of RA-86559 to North Korea in the 1,2\d\d observed days before",
        r"Reconstruction",
    ],
)
def test_the_thread_tells_the_whole_story(found: str, demo_output: str) -> None:
    assert re.search(found, words(demo_output)), words(demo_output)


def test_one_visit_is_one_thread(demo_result: Result) -> None:
    """Updates, not new messages; and none of the other aircraft, some seventy in the air and twice as many known, is told of."""
    parent, *replies = demo_result.thread
    assert parent.edits == len(replies) >= 4
    assert demo_result.posts == demo_result.thread
    assert {r.thread_ts for r in replies} == {parent.ts}


def test_the_landing_is_never_said_to_be_seen(demo_result: Result) -> None:
    assert not [p for p in demo_result.posts if "has landed in North Korea" in p.text or "seen on the ground" in p.text]


def test_everything_says_that_it_is_a_reconstruction(demo_folder: Path, demo_result: Result) -> None:
    assert all("[Reconstruction]" in p.first_text for p in demo_result.posts[:1])
    for path in demo_folder.glob("digest-*.html"):
        assert "Reconstruction" in path.read_text(encoding="utf-8"), path.name


def test_what_it_leaves_can_be_opened(demo_folder: Path) -> None:
    """The e-mail with both parts and the map inside, the page without anything from elsewhere, the picture."""
    assert (demo_folder / "map.png").read_bytes().startswith(b"\x89PNG")
    digests = sorted(demo_folder.glob("digest-*.eml"))
    assert [p.name for p in digests] == [f"digest-2023-09-{day}.eml" for day in (26, 27, 28)]
    mail = BytesParser(policy=policy.SMTP).parsebytes(digests[-1].read_bytes())
    kinds = [part.get_content_type() for part in mail.walk()]
    assert {"text/plain", "text/html", "image/png"} <= set(kinds)
    assert "RA-86559" in mail.get_body(("plain",)).get_content()
    page = digests[-1].with_suffix(".html").read_text(encoding="utf-8")
    assert "This aircraft that day" not in page, "a reconstruction is at no tracker: no heading over nothing"
    assert "data:image/png;base64," in page
    assert not re.search(r'(src|href)="(?!data:|https://|mailto:|#)', page)
    assert "<script" not in page


def test_it_leaves_the_page_of_the_alert_and_the_index(demo_folder: Path, demo_output: str) -> None:
    """Both say what they are, hold all that they show, and are named where the demo ends."""
    index = (demo_folder / "reports" / "index.html").read_text(encoding="utf-8")
    (page,) = [p for p in (demo_folder / "reports").glob("*.html") if p.name != "index.html"]
    assert f'<a href="{page.name}">[Reconstruction] Il-62 RA-86559' in index
    text = page.read_text(encoding="utf-8")
    assert "Nobody observed them." in text
    assert "Flight Chkalovskiy (Moscow), UUMU – probably Pyongyang, ZKPY" in text
    assert len(re.findall(r"\b[0-9a-f]{64}\b", text)) > 10
    assert not re.search(r'(src|href)="(?!data:|index\.html|#)', text)
    assert f"reports/{page.name}" in words(demo_output)


def test_the_store_has_both_visits_as_whole_legs(demo_folder: Path) -> None:
    """Four legs, each across hours without coverage, in the summer as in September."""
    with Store(demo_folder / "store", read_only=True) as store:
        legs = legs_from_table(store.legs.table(aircraft=["RA-86559"]))
    tracked = [leg for leg in legs if leg.source == "tracked"]
    assert [(leg.origin.airport, leg.destination.airport) for leg in tracked] == [("UUMU", "ZKPY"), ("ZKPY", "UUMU")] * 2
    assert [leg.destination.basis for leg in tracked] == ["inferred", "observed"] * 2
    assert min(leg.longest_gap_s for leg in tracked) > 3600


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    """What the demo did not make, it does not remove."""
    mine = tmp_path / "notes.txt"
    mine.write_text("mine", encoding="utf-8")
    (tmp_path / "holiday.png").write_bytes(b"mine, too")
    (tmp_path / "digest-2020-01-01.html").write_text("an older run's", encoding="utf-8")
    demo.clear(tmp_path)
    assert mine.read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "holiday.png").exists()
    assert not (tmp_path / "digest-2020-01-01.html").exists()


# ---------------------------------------------------------------------------------------------------------------- the notebook


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jupyter's own packages
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLIGHTWATCH_STORE", str(demo_folder / "store"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    done = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(path.parent)}}).execute(env=dict(os.environ))
    outputs = [o for cell in done.cells if cell.cell_type == "code" for o in cell.outputs]
    text = "\n".join(str(o.get("text", "")) + str(o.get("data", {}).get("text/plain", "")) for o in outputs)
    assert "Reconstruction" in text
    assert "ZKPY" in text
    assert sum("image/png" in o.get("data", {}) for o in outputs) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_output_is_committed(path: Path) -> None:
    """What a notebook showed once may be somebody's data."""
    cells = nbformat.read(path, as_version=4).cells
    assert not [c for c in cells if c.cell_type == "code" and (c.outputs or c.execution_count)]


# ------------------------------------------------------------------------------------------------------------------- its reasons


@pytest.fixture
def where(demo_folder: Path) -> tuple[str, ...]:
    return "--config", str(demo_folder / "flightwatch.yaml"), "--store", str(demo_folder / "store")


def test_why_tells_the_conditions_the_rarity_the_legs_and_the_files(
    typed: Typed, where: tuple[str, ...], demo_folder: Path
) -> None:
    alert = explore.open_store(demo_folder / "store").alerts()["alert_id"].iloc[-1]
    _, told, _ = typed("why", alert, *where)
    assert "destination North Korea with at least 0.6: inferred, 0.9" in told
    assert "rarity of fleet: at most 12 per year: 1 in" in told
    assert "earlier visit of RA-86559 to North Korea in the" in told
    assert "heading there: opened" in told
    found = json.loads(typed("why", alert, "--json", *where)[1])
    assert found["alert_id"] == alert
    assert {"condition": "watchlist russian-state", "value": "russian-state", "number": None} in found["held"]
    assert found["files"]
    for file in found["files"]:
        assert hashlib.sha256((demo_folder / "store" / file["path"]).read_bytes()).hexdigest() == file["sha256"]


def test_why_not_names_the_condition_that_failed_and_what_became_of_a_match(typed: Typed, where: tuple[str, ...]) -> None:
    asked = ("why-not", "russian-state-to-north-korea", "--aircraft", "RA-86559")
    _, told, _ = typed(*asked, "--since", "2023-07-01", "--until", "2023-10-01", *where)
    assert "ZKPY-UUMU: not matched" in told, "the way home is no visit"
    assert "origin Russia with at least 0.5: inferred, 0.00 (ZKPY)" in told
    assert "no alert is known of it" in told, "August was imported, not watched"
    assert "messages were delivered" in told
    assert "Not observable: on" in told
    answers = json.loads(typed(*asked, "--json", *where)[1])["legs"]
    assert [a["outcome"] for a in answers[:2]] == ["matched", "not matched"]


def test_why_not_says_what_it_does_not_know(typed: Typed, where: tuple[str, ...]) -> None:
    for asked, says in (
        (("no-such-rule", "--aircraft", "RA-86559"), "no rule has the id no-such-rule"),
        (("russian-state-to-north-korea", "--aircraft", "XX-NOBODY"), "give the address"),
    ):
        status, _, error = typed("why-not", *asked, *where)
        assert (status, says in error) == (1, True)
    status, _, error = typed("why", "nobody", *where)
    assert (status, "no alert nobody" in error) == (1, True)


def test_notebooks_ask_the_same(demo_folder: Path) -> None:
    sky = explore.open_store(demo_folder / "store")
    alert = sky.alerts()["alert_id"].iloc[-1]
    assert sky.why(alert)["alert_id"] == alert
    answers = sky.why_not("russian-state-to-north-korea", "RA-86559", demo_folder / "flightwatch.yaml")
    assert set(answers["outcome"]) >= {"matched", "not matched"}
    since = datetime(2023, 9, 25, tzinfo=UTC)
    asked = sky.why_not("russian-state-to-north-korea", "RA-86559", demo_folder / "flightwatch.yaml", since)
    assert any("nobody would surely have seen it" in told for told in asked.attrs["unobserved"])
