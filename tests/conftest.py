"""What tests share: real data where it is at hand, made-up positions, and a clean environment."""

from __future__ import annotations

import io
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import settings
from rich.console import Console

from flightwatch import cli, demo
from flightwatch.demo import Result
from flightwatch.places import Airports
from flightwatch.places import airports as all_airports
from flightwatch.records import POSITIONS
from flightwatch.store import Store
from tests.examples import QUICK

settings.load_profile(QUICK)  # `--hypothesis-profile` comes later and counts

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real tracks and replies with known truth. They are not part of the project; without them the tests that need them
say so and skip."""

Typed = Callable[..., tuple[int, str, str]]
"""A command by its words: its exit status, what it printed, and what it complained."""

T0 = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)

MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Free bytes without which files of tests are not kept in memory: the slow ones write gigabytes."""


def real(name: str) -> Path:
    """A file of real data, or a skip that says what is missing."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"real data {name} is not at hand")
    return path


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's secrets or proxies."""
    for name in list(os.environ):
        if name.startswith("FLIGHTWATCH_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def airports() -> Airports:
    return all_airports()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as opened:
        yield opened


@pytest.fixture(autouse=True)
def loggers_that_speak() -> None:
    """The kernel of a notebook and others turn off loggers that are there when they start in this process, or make the
    root's level higher."""
    logging.disable(logging.NOTSET)
    logging.root.setLevel(logging.WARNING)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("flightwatch") and isinstance(logger, logging.Logger):
            logger.disabled = False
            logger.setLevel(logging.NOTSET)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Typed:
    """Types a command in an empty folder; gives the exit status, what it printed, and what it complained."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["flightwatch", *words])
        handlers, level = logging.root.handlers[:], logging.root.level
        with pytest.raises(SystemExit) as ended:
            cli.main()
        logging.root.handlers[:] = handlers  # `run` logs to a stream that is closed after its test
        logging.root.setLevel(level)
        out, err = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else int(code is not None)), out, err

    return run


def positions(rows: list[dict[str, object]], feed: str = "test") -> pa.Table:
    """A table of `POSITIONS` from dicts; `at` is seconds after `T0`, what is left out is null."""
    full = []
    for row in rows:
        given = dict(row)
        at = given.pop("at", None)
        if at is not None:
            given["timestamp"] = T0 + timedelta(seconds=float(at))  # type: ignore[arg-type]  # a number
        full.append({f.name: given.get(f.name) for f in POSITIONS} | {"feed": given.get("feed", feed)})
    return pa.Table.from_pylist(full, schema=POSITIONS)


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, str]:
    """The demo, run once: its result and what it printed."""
    printed = io.StringIO()
    result = demo.run(tmp_path_factory.mktemp("demo"), Console(file=printed, width=120))
    return result, printed.getvalue()


@pytest.fixture(scope="session")
def demo_result(demo_run: tuple[Result, str]) -> Result:
    return demo_run[0]


@pytest.fixture(scope="session")
def demo_folder(demo_run: tuple[Result, str]) -> Path:
    return demo_run[0].folder


@pytest.fixture(scope="session")
def demo_output(demo_run: tuple[Result, str]) -> str:
    return demo_run[1]


def pytest_configure(config: pytest.Config) -> None:
    """Files of tests lie in memory where there is room: a store waits for the disk after every change, which in the tests
    takes half of the time, and none of them cuts the power."""
    asked = config.getoption("basetemp") or os.environ.get("PYTEST_DEBUG_TEMPROOT")
    if not asked and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The demo first: it takes longest, and one process runs it while the other has the files that follow."""
    items.sort(key=lambda item: item.path.name != "test_demo.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden texts anew")


@pytest.fixture
def told_figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes what a test measured; it stands at the end of the run, whoever ran the test."""
    return lambda text: record_property("figures", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much hostile input there was, and what tests measured."""
    calls = [r for reports in terminalreporter.stats.values() for r in reports if getattr(r, "when", "") == "call"]
    told = [(name, value, report.passed) for report in calls for name, value in report.user_properties]
    if counts := [value for name, value, passed in told if name == "thrown" and passed]:
        terminalreporter.write_line(f"{sum(counts):,} changed replies and files, at {len(counts)} parsers: none got through")
    for name, text, _ in told:
        if name == "figures":
            terminalreporter.write_line(f"\n{text}")
