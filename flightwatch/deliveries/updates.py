"""An alert update as a JSON object, for programs: what the JSON lines file has a line of, and a webhook the body.
docs/channels.md says what each field means (a test holds the two together). Texts are plain: one line each, without control
characters; whoever shows them escapes them. Positions are not in it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flightwatch.deliveries.plain import clean
from flightwatch.records import Message

VERSION = 1


def key_of(message: Message) -> str:
    """The name of an update."""
    return f"{message.alert_id}/{message.number}"


def as_object(message: Message, sent: datetime) -> dict[str, Any]:
    """The update, ready for a JSON encoder."""
    return {
        "version": VERSION,
        "key": key_of(message),
        "alert": message.alert_id,
        "number": message.number,
        "stage": message.stage,
        "severity": message.severity,
        "headline": clean(message.headline),
        "qualifier": clean(message.qualifier),
        "facts": [clean(fact) for fact in message.facts],
        "update": clean(message.update),
        "links": [{"label": clean(label), "url": url} for label, url in message.links],
        "page": message.page,
        "footer": [clean(line) for line in message.footer],
        "sent": sent.isoformat(timespec="seconds"),
    }
