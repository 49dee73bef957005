"""History fetched from loopback servers by the command line: politely, whatever stops it, and never twice."""

from __future__ import annotations

import io
import json
import re
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from rich.console import Console
from werkzeug import Request, Response

from flightwatch import cli, histories, services
from flightwatch.config import Settings
from flightwatch.feeds import releases
from flightwatch.feeds.history import windows
from flightwatch.feeds.releases import preferred
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.files import FileServer
from tests.conftest import T0, Typed
from tests.processes import Place, wait_for
from tests.samples import FLIGHT, PATH, day_archive, trace

DAY = T0.date()
NOW = datetime(2024, 3, 10, 9, 0, tzinfo=UTC)
ROWS = 4
"""Of each trace."""

TAG = "v2024.03.01-planes-readsb-prod-0"
RELEASE = f"/adsblol/globe_history_2024/releases/download/{TAG}"
LIST = "/adsblol/globe_history_2024/raw/HEAD/PREFERRED_RELEASES.txt"
ADDRESSES = ["15521f", "152c2a", "155220"]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock of the command line, which nobody waits for."""
    fake = FakeClock(NOW)
    monkeypatch.setattr("flightwatch.live.SystemClock", lambda: fake)
    return fake


def covered(folder: Path, feed: str) -> set[tuple[str, str]]:
    """Whose days are known, by the ledger."""
    with Store(folder / "s", read_only=True) as store:
        found = store.fetched(feed)
    out = set()
    for c in found:
        for member in c.scope.members or (c.scope.kind,):
            out |= {(member, str(c.first + timedelta(days=n))) for n in range((c.last - c.first).days + 1)}
    return out


def rows(folder: Path) -> int:
    with Store(folder / "s", read_only=True) as store:
        return store.snapshots.rows()


def nothing_left(folder: Path) -> bool:
    """Whether what was downloaded is gone again."""
    return not (folder / "s" / "fetched").exists()


# ------------------------------------------------------------------------------------------------------- adsb.lol's releases


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


def publish(server: FileServer, pieces: int = 2, listed: bool = True) -> bytes:
    """A day's archive, in parts, with the line that names them."""
    data = day_archive(ADDRESSES)
    size = len(data) // pieces + 1
    names = [f"{TAG}.tar"] if pieces == 1 else [f"{TAG}.tar.a{chr(97 + n)}" for n in range(pieces)]
    for n, name in enumerate(names):
        server.files[f"{RELEASE}/{name}"] = data[n * size : (n + 1) * size]
    line = ",".join(f"https://github.com{RELEASE}/{name}" for name in names)
    server.files[LIST] = f"{line}\n".encode() if listed else b"\n"
    return data


DAY_ONE = ("--from", "2024-03-01", "--to", "2024-03-01")


def fetch_day(typed: Typed, server: FileServer, *more: str, days: tuple[str, str] = ("2024-03-01", "2024-03-01")) -> Any:
    return typed("fetch-history", "adsb.lol", "--from", days[0], "--to", days[1], "--url", server.url, "--store", "s", *more)


def test_a_day_of_adsb_lol(typed: Typed, files: FileServer, tmp_path: Path) -> None:
    """Downloaded in parts, imported, its terms kept, and gone from the disk; said before and after."""
    publish(files)
    status, out, err = fetch_day(typed, files)
    assert (status, err) == (0, "")
    assert "2024-03-01: 2 files to download, 0 MB\n2024-03-01: 2 files, 12 positions\n" in out
    assert "source to be named: adsb.lol and its contributors (ODbL 1.0)" in out
    assert (rows(tmp_path), nothing_left(tmp_path)) == (ROWS * 3, True)
    assert covered(tmp_path, "import-adsb-lol") == {("world", "2024-03-01")}
    with Store(tmp_path / "s", read_only=True) as store:
        assert store.terms()["import-adsb-lol"].attribution == "adsb.lol and its contributors (ODbL 1.0)"
        assert set(store.snapshots.positions()["feed"].to_pylist()) == {"import-adsb-lol"}


def test_what_is_in_is_not_asked_for_again(typed: Typed, files: FileServer) -> None:
    """Nor for somebody who was in it."""
    publish(files)
    fetch_day(typed, files)
    count = len(files.asked)
    status, out, _ = fetch_day(typed, files)
    assert (status, len(files.asked)) == (0, count)
    assert "had from earlier runs: 1 day\n" in out
    fetch_day(typed, files, "--aircraft", "15521f")
    assert len(files.asked) == count


def test_some_aircraft_of_a_day(typed: Typed, files: FileServer, tmp_path: Path) -> None:
    """Those who are not in it did not fly where somebody listens; another one later is another download."""
    publish(files)
    _, out, _ = fetch_day(typed, files, "--aircraft", "RA-86559", "--aircraft", "150001")
    assert "4 positions" in out
    assert covered(tmp_path, "import-adsb-lol") == {("15521f", "2024-03-01"), ("150001", "2024-03-01")}
    count = len(files.downloads())
    fetch_day(typed, files, "--aircraft", "150001")
    assert len(files.downloads()) == count
    fetch_day(typed, files, "--aircraft", "150001", "--aircraft", "152c2a")
    assert (len(files.downloads()), rows(tmp_path)) == (count + 3, 2 * ROWS)


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_day_that_stands_in_no_list(typed: Typed, files: FileServer, pieces: int, tmp_path: Path) -> None:
    publish(files, pieces, listed=False)
    assert fetch_day(typed, files)[0] == 0
    assert rows(tmp_path) == ROWS * 3


def test_a_download_that_broke_off_goes_on(typed: Typed, files: FileServer, tmp_path: Path) -> None:
    """No byte is asked for twice, neither of the part that was whole nor of the one that was not."""
    publish(files)
    second = f"{RELEASE}/{TAG}.tar.ab"
    files.breaks[second] = 1000
    status, out, err = fetch_day(typed, files)
    assert status == 1
    assert "broke off" in err
    assert "left for the next run: 1 cut_off; run it again" in out
    status, out, err = fetch_day(typed, files)
    assert (status, err, rows(tmp_path)) == (0, "", ROWS * 3)
    got = [(name, begin) for name, begin in files.downloads() if name.startswith(TAG)]
    assert got == [(f"{TAG}.tar.aa", 0), (f"{TAG}.tar.ab", 0), (f"{TAG}.tar.ab", 1000)]
    assert "1 file to download" in out


def test_a_part_that_a_busy_server_refuses_to_go_on_with_is_kept(typed: Typed, files: FileServer) -> None:
    publish(files, 1)
    path = f"{RELEASE}/{TAG}.tar"
    files.breaks[path] = 1000
    fetch_day(typed, files)
    files.refusals[path] = [(503, {})]  # of the question for the size
    fetch_day(typed, files)
    assert fetch_day(typed, files)[0] == 0
    assert [begin for name, begin in files.downloads() if name.startswith(TAG)] == [0, 1000]


@pytest.mark.parametrize("ended", [KeyboardInterrupt, MemoryError])
def test_stopped_between_download_and_import(
    ended: type[BaseException], typed: Typed, files: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By somebody, or in any other way: what is here is imported by the next run."""
    publish(files)
    with monkeypatch.context() as patched:
        patched.setattr(histories, "import_files", raising(ended))
        if ended is KeyboardInterrupt:
            status, out, _ = fetch_day(typed, files)
            assert status == 1
            assert "stopped: what was downloaded is kept" in out
        else:
            with pytest.raises(MemoryError):
                fetch_day(typed, files)
    count = len(files.downloads())
    assert fetch_day(typed, files)[0] == 0
    assert len(files.downloads()) == count + 1, "the list of releases, no more"
    assert (rows(tmp_path), nothing_left(tmp_path)) == (ROWS * 3, True)


@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_of_a_download(number: signal.Signals, files: FileServer, tmp_path: Path) -> None:
    """A process of its own, half of a part in: the next one asks for the rest."""
    place, path, half = Place(tmp_path), f"{RELEASE}/{TAG}.tar", 300_000
    addresses = [f"15{n:04x}" for n in range(700)]
    publish(files, 1)
    files.files[path] = day_archive(addresses)
    files.hangs[path] = half
    words = ("fetch-history", "adsb.lol", *DAY_ONE, "--url", files.url, "--store", "s")
    part = tmp_path / "s" / "fetched" / "import-adsb-lol" / "2024-03-01" / f"{TAG}.tar.part"
    process = place.start(*words)
    wait_for(lambda: part.exists() and part.stat().st_size > half - 65_536)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == (1 if number == signal.SIGINT else -number)
    assert ("stopped: what was downloaded is kept" in out) == (number == signal.SIGINT)
    assert "Traceback" not in err
    had = part.stat().st_size
    files.hangs.clear()
    files.released.set()
    again = place.run(*words)
    assert (again.returncode, again.stderr) == (0, "")
    assert [begin for name, begin in files.downloads() if name.startswith(TAG)] == [0, had]
    assert (rows(tmp_path), nothing_left(tmp_path)) == (ROWS * len(addresses), True)


def raising(error: BaseException | type[BaseException]) -> Callable[..., Any]:
    def die(*_: Any, **__: Any) -> Any:
        raise error

    return die


def test_stopped_between_ledger_and_tidying_up(
    typed: Typed, files: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is left lying about is removed by the next run of that source, whichever days it is for."""
    publish(files)
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", raising(MemoryError))
        with pytest.raises(MemoryError):
            fetch_day(typed, files)
    assert not nothing_left(tmp_path)
    fetch_day(typed, files, days=("2024-03-10", "2024-03-10"))
    assert nothing_left(tmp_path)


def test_a_disk_that_fills_up_while_it_is_imported(
    typed: Typed, files: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(files)
    with monkeypatch.context() as patched:
        patched.setattr(histories, "import_files", raising(OSError(28, "No space left on device")))
        status, out, err = fetch_day(typed, files, days=("2024-03-01", "2024-03-02"))
    assert status == 1
    assert "s cannot be written (No space left on device): make room, then run it again" in err
    assert "left for the next run: 2 not_written" in out
    count = len([name for name, _ in files.downloads() if name.startswith(TAG)])
    fetch_day(typed, files)
    assert len([name for name, _ in files.downloads() if name.startswith(TAG)]) == count
    assert (rows(tmp_path), nothing_left(tmp_path)) == (ROWS * 3, True)


def test_stopped_between_import_and_ledger(
    typed: Typed, files: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(files)
    with monkeypatch.context() as patched:
        patched.setattr(histories._Run, "_note", raising(MemoryError))
        with pytest.raises(MemoryError):
            fetch_day(typed, files)
    count = len(files.asked)
    fetch_day(typed, files)
    assert (rows(tmp_path), len(files.asked), nothing_left(tmp_path)) == (ROWS * 3, count, True)
    assert covered(tmp_path, "import-adsb-lol") == {("world", "2024-03-01")}


def test_bars_on_a_terminal(typed: Typed, files: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are gone at the end, and the lines are the same."""
    publish(files)
    _, plain, _ = fetch_day(typed, files)
    shown = io.StringIO()
    monkeypatch.setattr(cli, "errors", Console(file=shown, force_terminal=True, width=100))
    _, out, _ = typed("fetch-history", "adsb.lol", *DAY_ONE, "--url", files.url, "--store", "other")
    assert out == plain
    assert "Days" in shown.getvalue()
    assert "1/1" in shown.getvalue()


def test_a_day_that_is_not_there(typed: Typed, files: FileServer, tmp_path: Path) -> None:
    """Of an old day that is final, and said; nobody watched. A recent one may still come."""
    status, out, _ = fetch_day(typed, files)
    assert status == 0
    assert "2024-03-01: adsb.lol has no archive of this day, and none will come" in out
    assert "not kept there, for good: 1, which count as unwatched" in out
    assert covered(tmp_path, "import-adsb-lol") == set()
    count = len(files.asked)
    fetch_day(typed, files, "--aircraft", "15521f")
    assert len(files.asked) == count
    status, out, err = fetch_day(typed, files, days=("2024-03-08", "2024-03-08"))
    assert status == 1
    assert "2024-03-08: adsb.lol has not published this day yet" in err


def test_a_rebuilt_catalog_has_forgotten_what_was_fetched(typed: Typed, files: FileServer, tmp_path: Path) -> None:
    """Which days are known, and with it that they are here; not whose they are. Fetched again, it is there once."""
    publish(files)
    fetch_day(typed, files)
    (tmp_path / "s" / "catalog.sqlite").unlink()
    typed("rebuild", "--store", "s")
    assert covered(tmp_path, "import-adsb-lol") == set()
    with Store(tmp_path / "s", read_only=True) as store:
        assert store.terms()["import-adsb-lol"].attribution == "adsb.lol and its contributors (ODbL 1.0)"
    fetch_day(typed, files)
    assert rows(tmp_path) == ROWS * 3
    assert covered(tmp_path, "import-adsb-lol") == {("world", "2024-03-01")}


def test_a_disk_without_room_is_told_before(
    typed: Typed, files: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(files)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    status, _, err = fetch_day(typed, files, days=("2024-03-01", "2024-03-02"))
    assert status == 1
    assert "make room, then run it again" in err
    assert [name for name, _ in files.downloads() if name.startswith(TAG)] == []


def test_a_server_that_wants_a_long_rest_ends_the_run(typed: Typed, files: FileServer) -> None:
    """And says until when; the days after it are not asked for."""
    publish(files)
    files.refusals[f"{RELEASE}/{TAG}.tar.aa"] = [(429, {"Retry-After": "3600"})]
    status, out, err = fetch_day(typed, files, days=("2024-03-01", "2024-03-03"))
    assert status == 1
    assert err.count("429") == 1
    assert "left for the next run: 3 http_429; not before 2024-03-10 10:00 UTC" in out


def test_a_damaged_archive_is_fetched_anew(typed: Typed, files: FileServer, tmp_path: Path) -> None:
    data = publish(files, 1)
    files.files[f"{RELEASE}/{TAG}.tar"] = data[:4000]
    status, out, err = fetch_day(typed, files)
    assert status == 1
    assert "is damaged or cut off" in err
    assert "1 damaged" in out
    assert nothing_left(tmp_path)
    publish(files, 1)
    assert fetch_day(typed, files)[0] == 0
    assert rows(tmp_path) == ROWS * 3


def test_storage_elsewhere(typed: Typed, files: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """GitHub redirects to its storage, which is named; to no other place."""
    with FileServer() as storage:
        publish(storage, 1)
        files.files[LIST] = storage.files[LIST]
        files.redirects[f"{RELEASE}/{TAG}.tar"] = f"{storage.url}{RELEASE}/{TAG}.tar?signature=canary"
        status, _, err = fetch_day(typed, files)
        assert status == 1
        assert "redirects to another place" in err
        assert "canary" not in err
        assert storage.asked == []
        monkeypatch.setattr(releases, "ELSEWHERE", (storage.url,))
        assert fetch_day(typed, files)[0] == 0
        assert rows(tmp_path) == ROWS * 3


def test_storage_is_reached_by_tls_alone() -> None:
    assert all(origin.startswith("https://") for origin in releases.ELSEWHERE)


def test_lists_of_releases() -> None:
    """What names multilateration alone, no release, or parts of two is left out; so are a second line for a day, and a host
    of somebody else's."""
    line = "https://x.example/releases/download/{0}/{0}.tar.ab,https://x.example/releases/download/{0}/{0}.tar.aa"
    text = "\n".join([line.format(TAG), line.format("v2024.03.02-planes-readsb-mlatonly-0"), "nonsense", ",", "v2024.99.99"])
    other = "v2024.03.01-planes-readsb-staging-0"
    text += f"\n{line.format(other)}\n{line.format(TAG).split(',')[0]},{line.format(other).split(',')[0]}"
    address = "https://github.com" + RELEASE
    assert preferred(text, "https://github.com", 2024) == {DAY: [f"{address}/{TAG}.tar.aa", f"{address}/{TAG}.tar.ab"]}


def test_the_last_days_of_a_year_may_be_with_the_next(typed: Typed, files: FileServer, tmp_path: Path) -> None:
    tag = "v2023.12.30-planes-readsb-staging-0"
    data = day_archive(ADDRESSES)
    files.files[f"/adsblol/globe_history_2024/releases/download/{tag}/{tag}.tar"] = data
    assert fetch_day(typed, files, days=("2023-12-30", "2023-12-30"))[0] == 0
    assert rows(tmp_path) == ROWS * 3


# ----------------------------------------------------------------------------------------------------------------- day traces


class Site:
    """A web site of readsb: traces by address and day, or a status for everything."""

    def __init__(self, server: HTTPServer, clock: FakeClock) -> None:
        self.url = server.url_for("/").rstrip("/")
        self.traces: dict[tuple[str, str], bytes] = {}
        self.status: Callable[[str, str], int] = lambda icao24, day: 404
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.times: list[float] = []
        self._clock = clock
        server.expect_request(re.compile("/globe_history/.*")).respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        *_, year, month, day, _, end, name = request.path.split("/")
        icao24 = name.removeprefix("trace_full_").removesuffix(".json")
        assert end == icao24[-2:]
        key = (icao24, f"{year}-{month}-{day}")
        self.asked.append(key)
        self.times.append(self._clock.monotonic())
        if key in self.traces:
            return Response(self.traces[key], content_type="application/json")
        return Response("", status=self.status(*key), headers=self.headers)

    def fly(self, icao24: str, day: str) -> None:
        midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
        self.traces[icao24, day] = trace(icao24, timestamp=midnight.timestamp())


@pytest.fixture
def site(httpserver: HTTPServer, clock: FakeClock) -> Site:
    return Site(httpserver, clock)


def fetch_traces(typed: Typed, site: Site, first: str, last: str, *aircraft: str) -> tuple[int, str, str]:
    chosen = [word for a in aircraft or ("15521f", "155220") for word in ("--aircraft", a)]
    command = ("fetch-history", "globe-history", "--url", site.url, "--store", "s", "--from", first, "--to", last)
    return typed(*command, *chosen)


def feed_of(site: Site) -> str:
    return "import-globe-history-of-" + site.url.removeprefix("http://").replace(".", "-").replace(":", "-")


def test_traces_of_a_watchlist(typed: Typed, site: Site, tmp_path: Path) -> None:
    """An aircraft without a trace was not seen: that day is known, too. Nothing is asked for twice."""
    site.fly("15521f", "2024-03-01")
    site.fly("155220", "2024-03-02")
    status, out, err = fetch_traces(typed, site, "2024-03-01", "2024-03-02")
    assert (status, err, len(site.asked)) == (0, "", 4)
    assert "2024-03-01: 1 file, 4 positions, 1 not seen" in out
    assert "not seen: on 2 days of aircraft, which count as watched" in out
    assert covered(tmp_path, feed_of(site)) == {(a, d) for a in ("15521f", "155220") for d in ("2024-03-01", "2024-03-02")}
    status, out, _ = fetch_traces(typed, site, "2024-03-01", "2024-03-03")
    assert sorted(site.asked[4:]) == [("15521f", "2024-03-03"), ("155220", "2024-03-03")]
    assert (rows(tmp_path), nothing_left(tmp_path)) == (2 * ROWS, True)


def test_the_watchlists_are_asked_for_without_aircraft(typed: Typed, site: Site, tmp_path: Path) -> None:
    (tmp_path / "flightwatch.yaml").write_text("watchlists: [mine.csv]\n", encoding="utf-8")
    (tmp_path / "mine.csv").write_text("icao24\nabcdef\n", encoding="utf-8")
    command = ("fetch-history", "globe-history", "--url", site.url, "--from", "2024-03-01", "--to", "2024-03-01")
    assert typed(*command)[0] == 0
    assert ("abcdef", "2024-03-01") in site.asked


def test_requests_keep_their_distance(typed: Typed, site: Site) -> None:
    fetch_traces(typed, site, "2024-03-01", "2024-03-03")
    assert all(later - earlier >= 0.5 for earlier, later in zip(site.times, site.times[1:], strict=False))


def test_too_many_requests_are_asked_more_slowly(typed: Typed, site: Site) -> None:
    """Three rests, the last of half a minute; then it is left, and nothing more is asked."""
    site.status = lambda icao24, day: 429
    status, out, err = fetch_traces(typed, site, "2024-03-01", "2024-03-02")
    rests = [round(later - earlier, 1) for earlier, later in zip(site.times, site.times[1:], strict=False)]
    assert (status, rests) == (1, [2.0, 8.0, 30.0])
    assert "left for the next run: 4 http_429" in out
    assert err.count("429") == 1


def test_a_rest_that_is_asked_for_is_given(typed: Typed, site: Site) -> None:
    site.headers = {"Retry-After": "12"}
    site.status = lambda icao24, day: 429 if len(site.asked) == 1 else 404
    assert fetch_traces(typed, site, "2024-03-01", "2024-03-01")[0] == 0
    assert site.times[1] - site.times[0] >= 12.0


def test_three_refused_days_in_a_row_end_the_run(typed: Typed, site: Site, tmp_path: Path) -> None:
    """The rest of a refused day is not asked for either; a good day between begins the count anew."""
    site.status = lambda icao24, day: 404 if day == "2024-03-03" else 403
    status, out, err = fetch_traces(typed, site, "2024-03-01", "2024-03-09")
    asked = [day for _, day in site.asked]
    assert status == 1
    assert asked == [f"2024-03-0{n}" for n in (1, 2, 3, 3, 4, 5, 6)]
    assert "3 days in a row were refused: nothing more is asked for" in err
    assert "left for the next run: 16 http_403; run it again" in out
    assert covered(tmp_path, feed_of(site)) == {("15521f", "2024-03-03"), ("155220", "2024-03-03")}
    site.status = lambda icao24, day: 404
    count = len(site.asked)
    assert fetch_traces(typed, site, "2024-03-01", "2024-03-09")[0] == 0
    assert len(site.asked) == count + 16


def test_what_fails_is_asked_again_by_the_next_run(typed: Typed, site: Site) -> None:
    site.status = lambda icao24, day: 503 if icao24 == "155220" else 204
    assert fetch_traces(typed, site, "2024-03-01", "2024-03-04")[0] == 1
    site.asked.clear()
    fetch_traces(typed, site, "2024-03-01", "2024-03-04")
    assert {icao24 for icao24, _ in site.asked} == {"155220"}
    assert len(site.asked) == 4


def test_a_server_that_is_down_is_not_asked_for_a_year(typed: Typed, site: Site) -> None:
    site.status = lambda icao24, day: 502
    _, out, err = fetch_traces(typed, site, "2023-03-01", "2024-02-29", "15521f")
    assert len(site.asked) == 10
    assert "10 failures in a row" in err
    assert "366 http_502" in out


def test_today_is_never_fetched(typed: Typed, site: Site, clock: FakeClock) -> None:
    """Nor a day that has just ended: what is not written out yet would be taken for nothing."""
    status, out, _ = fetch_traces(typed, site, "2024-03-09", "2024-03-12", "15521f")
    assert status == 0
    assert site.asked == [("15521f", "2024-03-09")]
    assert "from 2024-03-10 on: not over; to be had from 2024-03-11 02:00 UTC on" in out
    clock.sleep((15 + 1) * 3600)  # 01:00 on the 11th
    fetch_traces(typed, site, "2024-03-10", "2024-03-10", "15521f")
    assert len(site.asked) == 1
    clock.sleep(3600)
    fetch_traces(typed, site, "2024-03-10", "2024-03-10", "15521f")
    assert site.asked[1:] == [("15521f", "2024-03-10")]


def test_a_page_instead_of_a_trace_is_told_and_left(typed: Typed, site: Site, tmp_path: Path) -> None:
    site.traces["15521f", "2024-03-01"] = b"<html>please log in</html>"
    status, out, _ = fetch_traces(typed, site, "2024-03-01", "2024-03-01", "15521f")
    assert status == 1
    assert "1 damaged" in out
    assert covered(tmp_path, feed_of(site)) == set()
    assert nothing_left(tmp_path)


def test_a_trace_that_was_downloaded_is_imported_by_the_next_run(
    typed: Typed, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site.fly("15521f", "2024-03-01")
    with monkeypatch.context() as patched:
        patched.setattr(histories, "import_files", raising(MemoryError))
        with pytest.raises(MemoryError):
            fetch_traces(typed, site, "2024-03-01", "2024-03-01", "15521f")
    assert fetch_traces(typed, site, "2024-03-01", "2024-03-01", "15521f")[0] == 0
    assert (len(site.asked), rows(tmp_path)) == (1, ROWS)


def test_what_a_site_has_dropped_is_not_taken_for_a_quiet_day(
    typed: Typed, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A 404 for a day that is older than what the site keeps says nothing, and is not asked for again."""
    short = services.Site(site.url, keeps_days=5)
    monkeypatch.setattr(histories, "SITES", {**histories.SITES, "theairtraffic": short})
    command = ("fetch-history", "theairtraffic", "--aircraft", "15521f", "--store", "s", "--from", "2024-03-01")
    status, out, _ = typed(*command, "--to", "2024-03-07")
    assert status == 0
    assert "not kept there, for good: 5" in out
    assert "source to be named: TheAirTraffic; not to be republished" in out
    assert covered(tmp_path, "import-theairtraffic") == {("15521f", "2024-03-06"), ("15521f", "2024-03-07")}
    count = len(site.asked)
    typed(*command, "--to", "2024-03-07")
    assert len(site.asked) == count


# -------------------------------------------------------------------------------------------------------------------- OpenSky


class OpenSky:
    """Flights by window and tracks by time, for those who have a token."""

    def __init__(self, server: HTTPServer) -> None:
        self.url = server.url_for("/").rstrip("/")
        self.flights: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.tokens = 0
        self.expired: set[str] = set()
        self.credits: dict[str, int | None] = {"flights": None, "tracks": None}
        self.rest: str | None = None
        server.expect_request("/token", method="POST").respond_with_handler(self._token)
        server.expect_request("/api/flights/aircraft").respond_with_handler(self._flights)
        server.expect_request("/api/tracks/all").respond_with_handler(self._track)

    def _token(self, request: Request) -> Response:
        if request.form["client_secret"] != "canary-secret":
            return Response("canary-secret is wrong", status=401)
        self.tokens += 1
        return Response(json.dumps({"access_token": f"token-{self.tokens}", "expires_in": 1800}))

    def _refusal(self, request: Request, kind: str) -> Response | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token.startswith("token-") or token in self.expired:
            return Response("", status=401)
        self.asked.append((kind, request.args.to_dict()))
        left = self.credits[kind]
        if left is not None:
            if left < 30:
                return Response("", status=429, headers={"X-Rate-Limit-Retry-After-Seconds": self.rest or "41212"})
            self.credits[kind] = left - 30
        return None

    def _headers(self, kind: str) -> dict[str, str]:
        left = self.credits[kind]
        return {} if left is None else {"X-Rate-Limit-Remaining": str(left)}

    def _flights(self, request: Request) -> Response:
        if (refusal := self._refusal(request, "flights")) is not None:
            return refusal
        begin, end = int(request.args["begin"]), int(request.args["end"])
        mine = [f for f in self.flights if f["icao24"] == request.args["icao24"] and begin <= f["firstSeen"] <= end]
        return Response(json.dumps(mine) if mine else "", status=200 if mine else 404, headers=self._headers("flights"))

    def _track(self, request: Request) -> Response:
        if (refusal := self._refusal(request, "tracks")) is not None:
            return refusal
        at = int(request.args["time"])
        found = [f for f in self.flights if f["firstSeen"] <= at <= f["lastSeen"]]
        if not found:
            return Response("", status=404)
        track = {"icao24": "15521f", "startTime": PATH[0][0], "endTime": PATH[1][0], "calllsign": "RFF7237 ", "path": PATH}
        return Response(json.dumps(track), headers=self._headers("tracks"))

    def windows(self) -> list[tuple[str, str]]:
        out = []
        for kind, asked in self.asked:
            if kind == "flights":
                begin, end = (datetime.fromtimestamp(int(asked[name]), UTC) for name in ("begin", "end"))
                assert (begin.strftime("%H:%M:%S"), end.strftime("%H:%M:%S")) == ("00:00:00", "23:59:59")
                out.append((begin.date().isoformat(), end.date().isoformat()))
        return out


@pytest.fixture
def opensky(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> OpenSky:
    service = OpenSky(httpserver)
    service.flights = [FLIGHT]
    monkeypatch.setenv("A", "canary-id")
    monkeypatch.setenv("B", "canary-secret")
    urls = f"base_url: '{service.url}/api', token_url: '{service.url}/token'"
    feed = f"{{name: os, kind: opensky, {urls}, client_id_env: A, client_secret_env: B}}"
    (tmp_path / "flightwatch.yaml").write_text(f"feeds: [{feed}]\nstore: s\n", encoding="utf-8")
    return service


def fetch_flights(typed: Typed, first: str = "2024-02-29", last: str = "2024-03-04") -> tuple[int, str, str]:
    status, out, err = typed("fetch-history", "opensky", "--from", first, "--to", last, "--aircraft", "15521f")
    assert "canary" not in out + err
    assert "token-" not in out + err
    return status, out, err


def test_flights_and_tracks_of_opensky(typed: Typed, opensky: OpenSky, tmp_path: Path) -> None:
    """In windows of two dates, yesterday and older; the flight's track after it; empty windows are known, too."""
    status, out, err = fetch_flights(typed)
    assert (status, err) == (0, "")
    assert opensky.windows() == [("2024-02-29", "2024-03-01"), ("2024-03-02", "2024-03-03"), ("2024-03-04", "2024-03-04")]
    assert [kind for kind, _ in opensky.asked] == ["flights"] * 3 + ["tracks"]
    assert "2 files, 2 positions, 1 flight stored" in out
    assert "The OpenSky Network" in out
    assert covered(tmp_path, "import-opensky") == {
        ("15521f", d) for d in ("2024-02-29", "2024-03-01", "2024-03-02", "2024-03-03", "2024-03-04")
    }
    count = len(opensky.asked)
    assert fetch_flights(typed)[0] == 0
    assert len(opensky.asked) == count
    status, out, _ = typed("legs", "--aircraft", "15521f")
    assert "UUMU" in out


def test_windows_of_a_later_run_hold_the_missing_days_alone(typed: Typed, opensky: OpenSky) -> None:
    fetch_flights(typed, "2024-03-03", "2024-03-04")
    opensky.asked.clear()
    fetch_flights(typed, "2024-03-02", "2024-03-07")
    assert opensky.windows() == [("2024-03-02", "2024-03-02"), ("2024-03-05", "2024-03-06"), ("2024-03-07", "2024-03-07")]


def test_tracks_of_old_flights_are_not_asked_for(typed: Typed, opensky: OpenSky, clock: FakeClock) -> None:
    clock.sleep(60 * 86_400)
    assert fetch_flights(typed)[0] == 0
    assert {kind for kind, _ in opensky.asked} == {"flights"}


def test_a_token_that_ended_is_renewed(typed: Typed, opensky: OpenSky) -> None:
    opensky.expired = {"token-1"}
    assert fetch_flights(typed)[0] == 0
    assert opensky.tokens == 2


def test_a_wrong_secret_ends_the_run_at_once(typed: Typed, opensky: OpenSky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("B", "canary-wrong")
    status, out, err = fetch_flights(typed)
    assert status == 1
    assert err.count("the client id or secret is wrong") == 1
    assert "3 no_token" in out


def test_an_account_is_needed(typed: Typed, tmp_path: Path) -> None:
    status, _, err = typed("fetch-history", "opensky", "--from", "2024-03-01", "--to", "2024-03-01", "--aircraft", "15521f")
    assert status == 1
    assert "OPENSKY_CLIENT_ID is not set" in err


def test_credits_that_run_dry(typed: Typed, opensky: OpenSky, clock: FakeClock) -> None:
    """It stops before it is told to, says when it can go on, and goes on there."""
    opensky.credits["flights"] = 60
    status, out, err = fetch_flights(typed)
    assert status == 1
    assert len(opensky.windows()) == 2
    assert "the day's credits for flights are used up (0 left, 30 are needed)" in err
    assert "left for the next run: 1 credits; not before 2024-03-11 00:00 UTC" in out
    assert [kind for kind, _ in opensky.asked][-1] == "tracks", "they have credits of their own"
    clock.sleep(86_400)
    opensky.credits["flights"] = 4000
    opensky.asked.clear()
    assert fetch_flights(typed)[0] == 0
    assert opensky.windows() == [("2024-03-04", "2024-03-04")]


def test_a_service_that_wants_no_more_says_for_how_long(typed: Typed, opensky: OpenSky) -> None:
    opensky.credits["tracks"] = 0
    status, out, _ = fetch_flights(typed)
    assert status == 1
    assert "1 http_429; not before 2024-03-10 20:" in out
    opensky.credits["tracks"] = 4000
    opensky.asked.clear()
    assert fetch_flights(typed)[0] == 0
    assert [kind for kind, _ in opensky.asked] == ["tracks"]


@given(st.sets(st.integers(0, 60), max_size=40), st.integers(1, 4))
def test_windows_hold_each_day_once_and_no_other(numbers: set[int], most: int) -> None:
    days = [DAY + timedelta(days=n) for n in sorted(numbers)]
    spans = windows(days, most)
    inside = [first + timedelta(days=n) for first, last in spans for n in range((last - first).days + 1)]
    assert inside == days
    assert all((last - first).days < most for first, last in spans)


# ------------------------------------------------------------------------------------------------------------------ arguments


def test_a_store_that_somebody_writes_to_is_told_before_anything_is_asked(
    typed: Typed, files: FileServer, tmp_path: Path
) -> None:
    publish(files)
    with Store(tmp_path / "s"):
        assert fetch_day(typed, files)[0] == cli.BUSY
    assert files.asked == []


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("nowhere",), 1, "is no source of history"),
        (("theairtrafic",), 1, "theairtraffic"),
        (("globe-history",), 1, "needs --url"),
        (("globe-history", "--url", "ftp://x"), 1, "must begin with http"),
        (("adsb-fi", "--url", "http://x"), 1, "has its own address"),
        (("adsb.lol", "--aircraft", "nobody"), 1, "no address is known for nobody"),
        (("adsb.lol", "--to", "2024-02-01"), 2, "is before"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], status: int, says: str, typed: Typed, tmp_path: Path) -> None:
    ended, _, err = typed("fetch-history", "--from", "2024-03-01", "--to", "2024-03-01", "--store", "s", *words)
    assert ended == status
    assert says in err
    assert not (tmp_path / "s").exists()


def test_the_command_line_names_all_sources() -> None:
    assert histories.NAMES == cli.HISTORIES
    for name in histories.NAMES[3:]:
        assert histories.source_named(name, None, Settings(), FakeClock(NOW)).name == name
