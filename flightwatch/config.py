"""The configuration: one YAML file to frozen settings, every problem with file, line and the nearest valid name.

Secrets are not in it: a setting that ends in `_env` names the environment variable that holds one, and `Secret` shows
itself as stars wherever it is printed. Paths in it are relative to the file. `shipped()` is the folder of the rules,
lists and examples that come with flightwatch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from email.utils import parseaddr
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator, model_validator

from flightwatch.documents import Strict, load, validate
from flightwatch.errors import ConfigError, Problem
from flightwatch.records import Terms
from flightwatch.services import QUESTIONS, SERVICES, SITES, V2_PATHS

NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"


def _is_a_name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise ValueError(f"`{text}` is no name here: up to 64 small letters, digits and dashes, like `my-rule`")
    return text


Name = Annotated[str, AfterValidator(_is_a_name), WithJsonSchema({"type": "string", "pattern": NAME})]

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


FeedKind = Literal["v2", "receiver", "sbs", "opensky", "flightradar24", "flightradar24-zones"]

KIND_VALUES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "opensky": {
            "base_url": "https://opensky-network.org/api",
            "ask": ["all"],
            "attribution": "The OpenSky Network (https://opensky-network.org; Schäfer et al., IPSN 2014), non-commercial use",
            "longest_wait_s": 86_400.0,  # it says when the day's credits come back
        },
        "flightradar24": {
            "base_url": "https://fr24api.flightradar24.com",
            "ask": ["all"],
            "every_s": 900.0,
            "spacing_s": 6.0,  # ten requests a minute, the smallest plan
            "retention_days": 30,
            "republish": False,
            "attribution": "Flightradar24",
            "most_rows": 30_000,
            "when_refused": "the token, the plan or its credits do not cover this question",
        },
        "flightradar24-zones": {
            "enabled": False,
            "ask": ["all"],
            "retention_days": 30,
            "republish": False,
            "attribution": "Flightradar24",
            "most_rows": 1500,
        },
    }
)
"""What a feed of a kind is without settings of its own, as `services` has it for the v2 family."""

FR24_DAYS = 30
"""Flightradar24's terms let nobody keep its positions for longer."""


class FeedSettings(Strict):
    """One feed: an API of the v2 family (a known service, or any address), a receiver (aircraft.json by address or
    file, or SBS-1 lines), OpenSky or Flightradar24. Values that are left out are those of the service or kind."""

    name: Name
    kind: FeedKind = "v2"
    service: str | None = None
    enabled: bool = True
    base_url: str = ""
    path: str = ""
    address: str = ""
    ask: list[str] = ["military", "watchlists"]
    every_s: float = Field(60.0, ge=1.0, le=86_400.0)
    paths: dict[str, str] = V2_PATHS
    spacing_s: float = Field(1.1, ge=0.0, le=3600.0)
    longest_wait_s: float = Field(900.0, ge=1.0, le=86_400.0)
    most_radius_nm: int = Field(250, ge=10, le=10_800)
    most_members: int = Field(200, ge=1, le=1000)
    most_rows: int | None = Field(None, ge=1)
    key_env: str | None = None
    key_header: str = "x-api-key"
    headers: dict[str, str] = {}
    when_refused: str = ""
    client_id_env: str | None = None
    client_secret_env: str | None = None
    token_url: str = "https://auth.opensky-network.org/auth/realms/opensky-network/protocol/openid-connect/token"
    credits_a_day: int | None = Field(None, ge=1)
    detail: Literal["light", "full"] = "full"
    attribution: str = ""
    retention_days: int | None = Field(None, ge=1)
    republish: bool = True
    reconstructed: bool = False

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, given: Any) -> Any:
        """What the feed does not set is that of its service, else of its kind."""
        if not isinstance(given, dict):
            return given
        service, kind = given.get("service"), given.get("kind", "v2")
        known = SERVICES.get(service, {}) if isinstance(service, str) else _demands_of_host(given.get("base_url"))
        values = {**KIND_VALUES.get(kind if isinstance(kind, str) else "", {}), **known, **given}
        for name in ("paths", "headers"):
            if isinstance(given.get(name), dict) and name in known:
                values[name] = {**known[name], **given[name]}
        return values

    @field_validator("service")
    @classmethod
    def _known_service(cls, service: str | None) -> str | None:
        if service is not None and service not in SERVICES:
            raise ValueError(f"`{service}` is no service that is known: write one of {', '.join(SERVICES)}, or base_url alone")
        return service

    @field_validator("paths")
    @classmethod
    def _known_paths(cls, paths: dict[str, str]) -> dict[str, str]:
        wrong = next((name for name in paths if name not in QUESTIONS), None)
        if wrong is not None:
            raise ValueError(f"`{wrong}` is no question: the paths are for {', '.join(QUESTIONS)}")
        return paths

    @field_validator("ask")
    @classmethod
    def _known_questions(cls, ask: list[str]) -> list[str]:
        for question in ask:
            if not is_question(question):
                raise ValueError(
                    f"`{question}`: ask for all, military, watchlists, point:LAT,LON,RADIUS_NM, box:SOUTH,WEST,NORTH,EAST,"
                    " or hex:, registration:, type:, callsign: or squawk: with values between commas"
                )
        return ask

    @model_validator(mode="after")
    def _has_a_source(self) -> FeedSettings:
        if self.kind == "v2" and not self.base_url:
            raise ValueError("a v2 feed needs a service (adsb-lol, ...) or base_url, for example https://api.adsb.lol")
        if self.kind == "receiver" and bool(self.base_url) == bool(self.path):
            raise ValueError("a receiver needs either base_url (http://receiver/tar1090/data/aircraft.json) or path (a file)")
        if self.kind == "sbs" and not ADDRESS.fullmatch(self.address):
            raise ValueError("an sbs feed needs address, as HOST:PORT, for example receiver.local:30003")
        if self.kind == "flightradar24-zones" and self.enabled and (not self.base_url or "flightradar24.com" in self.base_url):
            raise ValueError("this shape is for a mirror of your own (base_url); flightradar24.com wants its API to be used")
        return self

    @model_validator(mode="after")
    def _is_answered(self) -> FeedSettings:
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            raise ValueError("base_url must begin with http:// or https://")
        answered = {"v2": set(self.paths), "opensky": {"all", "hex", "box"}}.get(self.kind, {"all", "box", "point"})
        for question in self.ask if self.kind not in ("receiver", "sbs") else ():
            kind = {"watchlists": "hex", "box": "point" if self.kind == "v2" else "box"}.get(
                question.split(":")[0], question.split(":")[0]
            )
            if kind not in answered:
                raise ValueError(f"{self.service or self.kind} does not answer `{question}`: ask for something else in `ask`")
        return self

    @model_validator(mode="after")
    def _keeps_the_terms(self) -> FeedSettings:
        if self.kind.startswith("flightradar24") and (self.republish or (self.retention_days or FR24_DAYS + 1) > FR24_DAYS):
            raise ValueError(f"Flightradar24's terms: retention_days up to {FR24_DAYS}, republish: false")
        if bool(self.client_id_env) != bool(self.client_secret_env):
            raise ValueError("client_id_env and client_secret_env go together")
        if self.kind == "flightradar24" and not self.key_env and self.enabled:
            raise ValueError("the Flightradar24 API needs key_env, the name of the variable that holds the token")
        return self

    @property
    def terms(self) -> Terms:
        """Whoever forbids republishing is named, if only as the feed."""
        named = self.attribution or ("" if self.republish else self.name)
        return Terms(named, self.retention_days, self.republish, self.reconstructed)


def _demands_of_host(base_url: Any) -> Mapping[str, Any]:
    """What a known service demands holds for its address, too, where the feed does not call it by its name."""
    host = urlsplit(base_url).hostname if isinstance(base_url, str) else None
    found = (s for s in SERVICES.values() if host and urlsplit(s.get("base_url", "")).hostname == host)
    return {name: value for name, value in next(found, {}).items() if name in ("attribution", "retention_days", "republish")}


TERMS: Mapping[str, Terms] = MappingProxyType(
    {
        name: Terms(values["attribution"], values.get("retention_days"), values.get("republish", True))
        for name, values in {**KIND_VALUES, **SERVICES}.items()
        if "attribution" in values
    }
    | {name: Terms(site.attribution, republish=site.republish) for name, site in SITES.items() if name not in SERVICES}
)
"""What is demanded by those whose data come as files, too: services and kinds by name."""


def is_question(text: str) -> bool:
    """Whether a feed can be asked this, as the configuration writes it."""
    if text in ("all", "military", "watchlists"):
        return True
    if match := POINT.fullmatch(text):
        lat, lon, radius = map(float, match.groups())
        return abs(lat) <= 90 and abs(lon) <= 180 and 0 < radius <= HALF_ROUND_NM
    if match := BOX.fullmatch(text):
        south, west, north, east = map(float, match.groups())
        return -90 <= south < north <= 90 and abs(west) <= 180 and abs(east) <= 180
    return LISTED.fullmatch(text) is not None


HALF_ROUND_NM = 10_800
"""Half way round the world: no circle is larger."""

_DEGREES = r"(-?\d+(?:\.\d+)?)"
POINT = re.compile(rf"point:{_DEGREES},{_DEGREES},(\d+)")
BOX = re.compile(rf"box:{_DEGREES},{_DEGREES},{_DEGREES},{_DEGREES}")
LISTED = re.compile(r"(hex|registration|type|callsign|squawk):([A-Za-z0-9~-]+(?:,[A-Za-z0-9~-]+)*)")
ADDRESS = re.compile(r"[A-Za-z0-9._-]+:\d{1,5}")


class SlackSettings(Strict):
    """A channel of a Slack workspace, through a bot token (with an app token, messages have buttons); or an incoming webhook,
    which has no threads."""

    name: Name
    kind: Literal["slack"]
    channel: str | None = None
    token_env: str = "FLIGHTWATCH_SLACK_TOKEN"  # the name of a variable
    app_token_env: str | None = None
    webhook_env: str | None = None
    base_url: str = "https://slack.com/api/"

    @model_validator(mode="after")
    def _has_one_way(self) -> SlackSettings:
        if self.channel is None and self.webhook_env is None:
            raise ValueError(
                "`channel` is missing: its id, for a bot token; or webhook_env, the variable with a webhook's address"
            )
        if self.channel is not None and self.webhook_env is not None:
            raise ValueError("write channel (bot token) or webhook_env, not both: a webhook belongs to one channel already")
        if self.app_token_env is not None and self.channel is None:
            raise ValueError("app_token_env is for buttons, which a webhook has none of: write channel, and use a bot token")
        return self


class ConsoleSettings(Strict):
    """Alerts as lines on standard output."""

    name: Name
    kind: Literal["console"]


class JsonLinesSettings(Strict):
    """Alerts as lines of a file, one JSON object an update; relative to the configuration."""

    name: Name
    kind: Literal["json-lines"]
    path: str = Field(min_length=1)


class AtomSettings(Strict):
    """Alerts as an Atom feed in a file, relative to the configuration. `url` is where others read it."""

    name: Name
    kind: Literal["atom"]
    path: str = Field(min_length=1)
    url: str | None = Field(None, pattern=r"^https?://")
    most: int = Field(100, ge=1, le=10_000)


class WebhookSettings(Strict):
    """A signed POST for each update; `secret_env` names the variable with the key that signs."""

    name: Name
    kind: Literal["webhook"]
    url: str = Field(pattern=r"^https?://[^/@]+(/|$)")
    secret_env: str


class AppriseSettings(Strict):
    """One address of Apprise's (`tgram://...`, `ntfy://...`), which holds a secret and so stands in a variable."""

    name: Name
    kind: Literal["apprise"]
    url_env: str


ChannelSettings = Annotated[
    SlackSettings | ConsoleSettings | JsonLinesSettings | AtomSettings | WebhookSettings | AppriseSettings,
    Field(discriminator="kind"),
]


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
    attach: list[Literal["csv", "parquet"]] = []

    @field_validator("to", "sender")
    @classmethod
    def _is_deliverable(cls, given: list[str] | str) -> list[str] | str:
        for text in [given] if isinstance(given, str) else given:
            address = parseaddr(text)[1]
            if not (address.isascii() and re.fullmatch(r"[^@\s]+@[^@\s]+", address)):
                raise ValueError(f"`{text}` is no e-mail address: write one like desk@example.org")
        return given

    @model_validator(mode="after")
    def _has_both_or_none(self) -> DigestSettings:
        if bool(self.user_env) != bool(self.password_env):
            raise ValueError("user_env and password_env go together")
        return self

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"`{name}` is no time zone: write one like Europe/Berlin") from None
        return name


class ReportSettings(Strict):
    """Where evidence pages are written (beside the store, without a folder), and the address under which people can read that
    folder, if there is one: then messages link to it."""

    folder: str = ""
    base_url: str = ""

    @field_validator("base_url")
    @classmethod
    def _can_be_opened(cls, url: str) -> str:
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc or set(url) & set(' <>|"')):
            raise ValueError("base_url must be an address that browsers open, for example https://desk.example.org/alerts")
        return url


def _default_feeds() -> list[FeedSettings]:
    """adsb.lol: it needs no key, and its data may be used with attribution."""
    return [FeedSettings.model_validate({"name": "adsb-lol", "service": "adsb-lol"})]


class Settings(Strict):
    """The whole configuration."""

    store: str = "data"
    retention_days: int = Field(30, ge=1)
    feeds: list[FeedSettings] = Field(default_factory=_default_feeds)
    channels: list[ChannelSettings] = []
    digest: DigestSettings | None = None
    reports: ReportSettings = ReportSettings()
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

    @property
    def feed_names(self) -> tuple[str, ...]:
        """In their order, which is that of preference where two feeds are of one quality."""
        return tuple(feed.name for feed in self.feeds)


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
    """The files of a kind (rules, watchlists or history) that the entries name: `shipped` for those that ship,
    `shipped/more` for those that do so switched off, else files or folders relative to `base`. Raises ConfigError."""
    suffixes = {"rules": (".yaml", ".yml"), "watchlists": (".csv", ".yaml", ".yml")}.get(kind, (".csv",))
    found: list[Path] = []
    for entry in entries:
        first, _, rest = entry.partition("/")
        path = shipped() / kind / rest if first == "shipped" else base / entry
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix in suffixes)
        elif path.is_file():
            found.append(path)
        elif entry not in (f"{kind}", f"{kind}/"):  # the folders that `init` names need not be there yet
            raise ConfigError([Problem(str(path), 1, f"does not exist: correct `{kind}:` in the configuration")])
    return list(dict.fromkeys(found))
