"""YAML files that people write: every mistake at once, each with its line and, where there is one, the word that was meant."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch.config import Secret, Settings, read_settings, secret
from flightwatch.documents import load, parse, validate
from flightwatch.errors import ConfigError
from tests.examples import tries


def problems(text: str | bytes, tmp_path: Path) -> list[tuple[int, str]]:
    path = tmp_path / "flightwatch.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as raised:
        read_settings(path)
    return [(p.line, p.message) for p in raised.value.problems]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("store: data\nretention: 3\n", 2, "did you mean `retention_days`"),
        ("retention_days: 0\n", 1, "greater than or equal to 1"),
        ("retention_days: many\n", 1, "integer"),
        ("feeds:\n  - name: a\n", 2, "base_url"),
        ("feeds:\n  - name: A b\n    base_url: http://x\n", 2, "no name here"),
        ("feeds:\n  - name: a\n    base_url: http://x\n    ask: [everything]\n", 4, "all, military, watchlists"),
        ("feeds:\n  - name: a\n    base_url: http://x\n    every_s: 0.1\n", 4, "greater than or equal to 1"),
        ("feeds:\n  - name: a\n    kind: v3\n    base_url: http://x\n", 3, "v2, receiver"),
        ("feeds:\n  - name: a\n    kind: receiver\n", 2, "base_url"),
        ("feeds:\n  - {name: a, base_url: http://x}\n  - {name: a, base_url: http://y}\n", 1, "two feeds are called `a`"),
        ("channels:\n  - {name: c, kind: slak}\n", 2, "slack"),
        ("channels:\n  - {name: c, kind: slack}\n", 2, "`channel` is missing"),
        ("channels:\n  - {name: c, kind: slack, channel: C1, webhook_env: W}\n", 2, "not both"),
        ("channels:\n  - {name: c, kind: atom}\n", 2, "`path` is missing"),
        ("channels:\n  - {name: c, kind: webhook, url: 'ftp://x', secret_env: S}\n", 2, "pattern"),
        ("channels:\n  - {name: c, kind: webhook, url: 'https://u:p@x', secret_env: S}\n", 2, "pattern"),
        ("channels:\n  - {name: c, kind: apprise, url: 'ntfy://x'}\n", 2, "`url_env` is missing"),
        ("channels:\n  - {name: digest, kind: console}\n", 1, "no channel can be called `digest`"),
        ("digest:\n  to: [a@b]\n", 1, "`from` is missing"),
        ("digest:\n  to: []\n  from: a@b\n", 2, "at least 1 item"),
        ('digest:\n  to: [a@b]\n  from: a@b\n  at: "25:00"\n', 4, "pattern"),
        ("digest:\n  to: [a@b, desk]\n  from: a@b\n", 2, "`desk` is no e-mail address"),
        ("digest:\n  to: [a@b]\n  from: Ü@b\n", 3, "no e-mail address"),
        ("digest:\n  to: [a@b]\n  from: a@b\n  user_env: U\n", 1, "go together"),
        ("digest:\n  to: [a@b]\n  from: a@b\n  attach: [xlsx]\n", 4, "csv, parquet"),
        ("digest:\n  to: [a@b]\n  from: a@b\n  timezone: Mars/Olympus\n", 4, "no time zone"),
        ("digest:\n  to: [a@b]\n  from: a@b\n  security: ssl\n", 4, "must be one of none, starttls, tls"),
        ("store: 5\n", 1, "quotes"),
        ("store: data\nstore: other\n", 2, "duplicate key"),
        ("store: [\n", 2, "is no YAML"),
        ("store: &a data\nrules: [*a]\n", 1, "anchors"),
        ("store: !!python/object:os.system x\n", 1, "tags"),
        ("rules:\n\t- c\n", 2, "is no YAML"),
        (b"store: \xff\n", 1, "UTF-8"),
        ("store: a\x00b\n", 1, "control character"),
        ("[" * 200 + "]" * 200, 1, "nested deeper"),
        ("- a\n- b\n", 1, "valid dictionary"),
    ],
)
def test_each_mistake_is_named_at_its_line(text: str | bytes, line: int, says: str, tmp_path: Path) -> None:
    found = problems(text, tmp_path)
    assert any(at == line and says in message for at, message in found), found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = problems("store: 5\nretention_days: 0\nfeds: []\n", tmp_path)
    assert [line for line, _ in found] == [1, 2, 3]


def test_a_file_that_is_too_large_is_not_parsed(tmp_path: Path) -> None:
    assert "at most" in problems("# " + "x" * (1 << 20), tmp_path)[0][1]


def test_norway_is_a_country_and_times_are_texts() -> None:
    """YAML 1.1 would read false and 45000."""
    assert parse(b"country: NO\ntime: 12:30:00\nsquawk: '0500'\n", "x").content == {
        "country": "NO",
        "time": "12:30:00",
        "squawk": "0500",
    }


def test_a_byte_order_mark_does_no_harm() -> None:
    assert parse(b"\xef\xbb\xbfstore: data\n", "x").content == {"store": "data"}


@settings(max_examples=tries(300), deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_document_or_a_problem(text: str) -> None:
    with contextlib.suppress(ConfigError):
        validate(parse(text.encode("utf-8", "surrogatepass"), "x"), Settings)


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="flightwatch init"):
        read_settings(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_a_secret_shows_itself_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLIGHTWATCH_TEST", "canary")
    value = secret("FLIGHTWATCH_TEST")
    assert "canary" not in f"{value} {value!r} {[value]}"
    assert value.reveal() == "canary"
    assert isinstance(value, Secret)
    with pytest.raises(ConfigError, match="FLIGHTWATCH_NONE"):
        secret("FLIGHTWATCH_NONE")
