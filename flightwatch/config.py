"""The configuration: one YAML file to frozen settings, every problem with file, line and the nearest valid name.

Secrets are not in it: a setting that ends in `_env` names the environment variable that holds one, and `Secret` shows
itself as stars wherever it is printed. Paths in it are relative to the file. `shipped()` is the folder of the rules,
lists and examples that come with flightwatch.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from flightwatch.documents import Strict, load, validate
from flightwatch.errors import ConfigError, Problem
from flightwatch.records import Terms

NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"
Name = Annotated[str, Field(pattern=NAME)]

DEFAULT_FILE = Path("flightwatch.yaml")


class Secret:
    """A text that must not be seen: `reveal` is the only way to it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__


def secret(variable: str) -> Secret:
    """The secret in an environment variable. Raises ConfigError where it is not set."""
    text = os.environ.get(variable, "")
    if not text:
        raise ConfigError(
            [Problem("environment", 1, f"{variable} is not set: export it with the secret, or remove the setting that names it")]
        )
    return Secret(text)


class FeedSettings(Strict):
    """One feed: an API of the v2 family, or a receiver's aircraft.json (address or file)."""

    name: Name
    kind: Literal["v2", "receiver"] = "v2"
    base_url: str = ""
    path: str = ""
    ask: list[str] = ["military", "watchlists"]
    every_s: float = Field(60.0, ge=1.0, le=3600.0)
    key_env: str | None = None
    key_header: str = "x-api-key"
    attribution: str = ""
    retention_days: int | None = Field(None, ge=1)
    republish: bool = True
    reconstructed: bool = False

    @field_validator("ask")
    @classmethod
    def _known_questions(cls, ask: list[str]) -> list[str]:
        for question in ask:
            if question not in ("all", "military", "watchlists") and not POINT.fullmatch(question):
                raise ValueError(
                    f"`{question}`: ask for all, military, watchlists, or point:LAT,LON,RADIUS_NM with a radius up to 250"
                )
        return ask

    @model_validator(mode="after")
    def _has_a_source(self) -> FeedSettings:
        if self.kind == "v2" and not self.base_url:
            raise ValueError("a v2 feed needs base_url, for example https://api.adsb.lol")
        if self.kind == "receiver" and bool(self.base_url) == bool(self.path):
            raise ValueError("a receiver needs either base_url (http://receiver/tar1090/data/aircraft.json) or path (a file)")
        return self

    @property
    def terms(self) -> Terms:
        return Terms(self.attribution, self.retention_days, self.republish, self.reconstructed)


POINT = re.compile(r"point:(-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?),(\d{1,2}|1\d\d|2[0-4]\d|250)")


class SlackSettings(Strict):
    """A channel of a Slack workspace, through a bot token."""

    name: Name
    kind: Literal["slack"]
    channel: str
    token_env: str = "FLIGHTWATCH_SLACK_TOKEN"  # the name of a variable
    base_url: str = "https://slack.com/api/"


class ConsoleSettings(Strict):
    """Alerts as lines on standard output."""

    name: Name
    kind: Literal["console"]


ChannelSettings = Annotated[SlackSettings | ConsoleSettings, Field(discriminator="kind")]


class DigestSettings(Strict):
    """The daily e-mail."""

    to: list[str] = Field(min_length=1)
    sender: str = Field(alias="from")
    at: str = Field("07:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    timezone: str = "UTC"
    host: str = "localhost"
    port: int = Field(25, ge=1, le=65535)
    security: Literal["none", "starttls", "tls"] = "none"
    user_env: str | None = None
    password_env: str | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"`{name}` is no time zone: write one like Europe/Berlin") from None
        return name


def _default_feeds() -> list[FeedSettings]:
    """adsb.lol: it needs no key, and its data may be used with attribution."""
    return [
        FeedSettings(name="adsb-lol", base_url="https://api.adsb.lol", attribution="adsb.lol and its contributors (ODbL 1.0)")
    ]


class Settings(Strict):
    """The whole configuration."""

    store: str = "data"
    retention_days: int = Field(30, ge=1)
    feeds: list[FeedSettings] = Field(default_factory=_default_feeds)
    channels: list[ChannelSettings] = []
    digest: DigestSettings | None = None
    rules: list[str] = ["shipped"]
    watchlists: list[str] = ["shipped"]
    history: list[str] = ["shipped"]
    reference: str = "reference"

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        for what, names in (("feed", [f.name for f in self.feeds]), ("channel", [c.name for c in self.channels])):
            double = next((n for n in names if names.count(n) > 1), None)
            if double:
                raise ValueError(f"two {what}s are called `{double}`: give each a name of its own")
        if "digest" in [c.name for c in self.channels]:
            raise ValueError("no channel can be called `digest`: that is the daily e-mail")
        return self


def read_settings(path: Path) -> Settings:
    """Reads the configuration. Raises ConfigError with every problem."""
    if not path.exists():
        raise ConfigError([Problem(str(path), 1, "does not exist: `flightwatch init` writes one")])
    document = load(path)
    if document.content is None:
        return Settings()
    return validate(document, Settings)


def shipped() -> Path:
    """The folder of what ships: inside the installed package, or config/ of a checkout."""
    installed = Path(__file__).parent / "shipped"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "config"


def files_in(entries: list[str], kind: str, base: Path) -> list[Path]:
    """The files of a kind (rules, watchlists or history) that the entries name: `shipped` for those that ship, else
    files or folders relative to `base`. Raises ConfigError."""
    suffixes = {"rules": (".yaml", ".yml"), "watchlists": (".csv", ".yaml", ".yml")}.get(kind, (".csv",))
    found: list[Path] = []
    for entry in entries:
        path = shipped() / kind if entry == "shipped" else base / entry
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix in suffixes)
        elif path.is_file():
            found.append(path)
        elif entry not in (f"{kind}", f"{kind}/"):  # the folders that `init` names need not be there yet
            raise ConfigError([Problem(str(path), 1, f"does not exist: correct `{kind}:` in the configuration")])
    return list(dict.fromkeys(found))
