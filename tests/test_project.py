"""What the project says of itself is so: the README's commands and promises exist, importing does nothing else."""

from __future__ import annotations

import os
import pkgutil
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import typer

import flightwatch
from flightwatch.cli import app
from flightwatch.config import Settings
from flightwatch.documents import parse, validate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> dict[str, str]:
    """The help of every command by the words that call it."""
    found: dict[str, str] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        if hasattr(command, "commands"):  # a group
            for name, inner in command.commands.items():
                walk(inner, (*words, name))
        else:
            found[" ".join(words)] = command.help

    walk(typer.main.get_command(app), ("flightwatch",))
    return found


def test_every_command_stands_in_the_readme_and_explains_itself() -> None:
    for name, text in commands().items():
        assert f"`{name}" in README, f"{name} is missing in the README"
        assert text, f"{name} has no help"


def test_every_command_in_the_readme_exists() -> None:
    known = commands()
    for words in re.findall(r"`flightwatch ([a-z-]+(?: [a-z]+)?)", README):
        assert f"flightwatch {words}" in known or f"flightwatch {words.split()[0]}" in known, words


def test_every_promise_has_the_test_that_it_names() -> None:
    """P1 to P9, each with a test that would fail if it broke."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    promised = re.findall(r"^\| (P\d) \|.*\|(.*)\|$", README, flags=re.MULTILINE)
    assert [number for number, _ in promised] == [f"P{n}" for n in range(1, 10)]
    for number, cell in promised:
        names = re.findall(r"`(test_\w+)`", cell)
        assert names, number
        for name in names:
            assert f"def {name}(" in text, f"{number} names {name}, which does not exist"


def test_files_that_the_documents_name_exist() -> None:
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text(encoding="utf-8")):
            if "://" not in target:
                assert (ROOT / target).exists(), f"{document} links to {target}"


UNIT = ROOT / "docs" / "flightwatch.service"
SYSTEMD = shutil.which("systemd-analyze")


def test_the_systemd_unit_calls_what_exists() -> None:
    unit = UNIT.read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=\S+/flightwatch (\w+) (.*)$", unit, re.MULTILINE)
    assert command is not None
    called = typer.main.get_command(app).get_command(None, command[1])  # type: ignore[attr-defined,arg-type]
    known = {option for parameter in called.params for option in parameter.opts}
    assert set(re.findall(r"--[\w-]+", command[2])) <= known


@pytest.mark.skipif(SYSTEMD is None, reason="only systemd can tell what it takes, and it is not on this machine")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With a program and a user that this machine has."""
    assert SYSTEMD is not None
    here = re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (tmp_path / "flightwatch.service").write_text(re.sub(r"^User=.*\n", "", here, flags=re.MULTILINE))
    done = subprocess.run([SYSTEMD, "verify", tmp_path / "flightwatch.service"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_slack_manifest_asks_for_the_scopes_that_are_explained() -> None:
    text = (ROOT / "docs" / "slack.md").read_text(encoding="utf-8")
    manifest = parse(textwrap.dedent(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]).encode(), "manifest").content
    assert manifest["oauth_config"]["scopes"]["bot"] == re.findall(r"^\| `([a-z]+:[a-z]+)` \|", text, re.MULTILINE)
    configured = [b for b in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "channels:" in b and "oauth" not in b]
    assert configured
    for block in configured:
        validate(parse(textwrap.dedent(block).encode(), "docs/slack.md"), Settings)


SILENT = """
import importlib, os, socket, sys
def refuse(*_, **__): raise SystemExit("importing opened a connection")
socket.socket.connect = refuse
before = set(sys.argv[2:]) or None
for name in sys.argv[1].split(","):
    importlib.import_module(name)
left = [os.path.join(folder, f) for folder, _, files in os.walk(os.environ["HOME"]) for f in files]
if left: raise SystemExit(f"importing wrote {left}")
"""


def test_importing_does_nothing_else(tmp_path: Path) -> None:
    """No file, no connection, no need of the environment."""
    names = [m.name for m in pkgutil.walk_packages(flightwatch.__path__, "flightwatch.")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path.parent / "mpl")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SILENT, ",".join(names)],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_line_starts_without_the_heavy_packages() -> None:
    """`flightwatch --help` answers at once; what takes long to import is imported by who needs it."""
    code = "import sys, flightwatch.cli; print([m for m in ('pandas', 'pyarrow', 'matplotlib', 'slack_sdk') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_starts_without_what_draws() -> None:
    """matplotlib is a fifth of all that is imported for a start; the first message with a map fetches it."""
    code = "import sys, flightwatch.live; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("word", ["sk-", "xox" + "b-", "PRIVATE KEY"])
def test_no_secret_is_committed(word: str) -> None:
    done = subprocess.run(["git", "grep", "-lI", "-e", word], cwd=ROOT, capture_output=True, text=True, check=False)
    assert [f for f in done.stdout.split() if f != "tests/test_project.py"] == []
