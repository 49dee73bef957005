"""Makes the channels of the configuration, and says what stands in the way of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import assert_never

from flightwatch.config import (
    AppriseSettings,
    AtomSettings,
    ChannelSettings,
    ConsoleSettings,
    JsonLinesSettings,
    SlackSettings,
    WebhookSettings,
    secret,
)
from flightwatch.deliveries import Channel
from flightwatch.deliveries.apprise import INSTALL, Apprise
from flightwatch.deliveries.atom import AtomFeed
from flightwatch.deliveries.console import Console
from flightwatch.deliveries.jsonlines import JsonLines
from flightwatch.deliveries.slack import Slack, SlackWebhook
from flightwatch.deliveries.webhook import Webhook, place_of


def open_channel(settings: ChannelSettings, base: Path, now: Callable[[], datetime]) -> Channel:
    """The channel that some settings describe; paths are relative to `base`. Raises ConfigError where a secret or a package
    is missing."""
    if isinstance(settings, SlackSettings):
        if settings.webhook_env is not None:
            return SlackWebhook(secret(settings.webhook_env))
        buttons = settings.app_token_env is not None
        return Slack(settings.channel or "", secret(settings.token_env), settings.base_url, with_buttons=buttons)
    if isinstance(settings, ConsoleSettings):
        return Console()
    if isinstance(settings, JsonLinesSettings):
        return JsonLines(base / settings.path, now)
    if isinstance(settings, AtomSettings):
        return AtomFeed(base / settings.path, settings.name, settings.url, settings.most, now)
    if isinstance(settings, WebhookSettings):
        return Webhook(settings.url, secret(settings.secret_env), now)
    if isinstance(settings, AppriseSettings):
        return Apprise(settings.name, secret(settings.url_env))
    assert_never(settings)


def in_words(settings: ChannelSettings) -> str:
    """Where a channel leads."""
    if isinstance(settings, SlackSettings):
        return f"Slack, channel {settings.channel}" if settings.channel else "Slack, webhook without threads"
    if isinstance(settings, (JsonLinesSettings, AtomSettings)):
        return f"{settings.kind} in {settings.path}"
    if isinstance(settings, WebhookSettings):
        return f"webhook to {place_of(settings.url)}"
    return {"console": "standard output", "apprise": "Apprise"}[settings.kind]


def obstacles(settings: ChannelSettings, base: Path) -> Iterator[str]:
    """What keeps a channel from working, as far as can be told without using it. Another environment than that of the
    running process may lack its secrets."""
    yield from unset(_variables(settings))
    if isinstance(settings, AppriseSettings) and find_spec("apprise") is None:
        yield f"Apprise is not installed: {INSTALL}"
    if isinstance(settings, (JsonLinesSettings, AtomSettings)):
        path = base / settings.path
        there = next(p for p in (path.resolve(), *path.resolve().parents) if p.exists())
        fits = there.is_file() if there == path.resolve() else there.is_dir()
        if not (fits and os.access(there, os.W_OK)):
            yield f"{path} cannot be written"


def unset(variables: Iterable[str | None]) -> Iterator[str]:
    """What is to be said of variables that hold secrets and are not there."""
    yield from (f"{name} is not set in this environment" for name in variables if name and not os.environ.get(name))


def _variables(settings: ChannelSettings) -> list[str]:
    """The variables that hold its secrets."""
    if isinstance(settings, SlackSettings):
        return [settings.webhook_env or settings.token_env, *([settings.app_token_env] if settings.app_token_env else [])]
    if isinstance(settings, WebhookSettings):
        return [settings.secret_env]
    return [settings.url_env] if isinstance(settings, AppriseSettings) else []
