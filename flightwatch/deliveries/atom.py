"""Alerts as an Atom feed (RFC 4287) in a file, for feed readers: put it where a web server finds it.

An entry an update, the newest first. The id of an entry is made of the alert and its number alone, so that a repeat takes
its own place and readers show nothing twice. The file is replaced as a whole, so nobody reads half of one. The feed in
the file is all that there is: one that cannot be read is begun anew.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from flightwatch.deliveries.files import replace_whole
from flightwatch.deliveries.plain import clean
from flightwatch.deliveries.updates import key_of
from flightwatch.errors import DeliveryError
from flightwatch.records import Message

log = logging.getLogger(__name__)

ATOM, XHTML = "http://www.w3.org/2005/Atom", "http://www.w3.org/1999/xhtml"
IDS = uuid.UUID("8d0c8a0e-6f43-5d7e-9d7c-1a4e2f1b7c55")
"""The name space of the ids of feeds and entries, drawn once."""


class AtomFeed:
    """A feed in a file, of the newest `most` entries. `name` is that of the channel; `url` is where the file can be read,
    where that is known."""

    def __init__(self, path: Path, name: str, url: str | None, most: int, now: Callable[[], datetime]) -> None:
        self._path = path
        self._name = name
        self._url = url
        self._most = most
        self._now = now

    def send(self, message: Message, thread: str | None) -> str:
        name = _id(self._name, key_of(message))
        now = self._now().isoformat(timespec="seconds")
        try:
            older = [entry for entry in self._entries() if entry.findtext(f"{{{ATOM}}}id") != name]
            self._write([_entry(message, name, now), *older][: self._most], now)
        except OSError as error:
            raise DeliveryError(f"{self._path} cannot be written ({error.strerror})") from None
        return name

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        """A repeat takes the place of the entry that is there."""
        return None

    def _entries(self) -> list[ET.Element]:
        try:
            return ET.fromstring(self._path.read_bytes()).findall(f"{{{ATOM}}}entry")
        except FileNotFoundError:
            return []
        except ET.ParseError as error:
            log.warning("%s cannot be read (%s): it is begun anew", self._path, error)
            return []

    def _write(self, entries: list[ET.Element], now: str) -> None:
        feed = ET.Element(f"{{{ATOM}}}feed")
        _texts(feed, [("title", f"flightwatch: {self._name}"), ("id", _id(self._name, "feed")), ("updated", now)])
        _texts(ET.SubElement(feed, f"{{{ATOM}}}author"), [("name", "flightwatch")])
        if self._url is not None:
            ET.SubElement(feed, f"{{{ATOM}}}link", rel="self", type="application/atom+xml", href=self._url)
        feed.extend(entries)
        ET.register_namespace("", ATOM)
        ET.register_namespace("xhtml", XHTML)
        replace_whole(self._path, ET.tostring(feed, encoding="utf-8", xml_declaration=True))


def _id(channel: str, what: str) -> str:
    return uuid.uuid5(IDS, f"{channel}/{what}").urn


def _entry(message: Message, name: str, now: str) -> ET.Element:
    entry = ET.Element(f"{{{ATOM}}}entry")
    title = clean(message.update or f"{message.headline} ({message.qualifier})")
    _texts(entry, [("id", name), ("title", title), ("updated", now)])
    if message.page:
        ET.SubElement(entry, f"{{{ATOM}}}link", rel="alternate", type="text/html", href=message.page)
    for label, url in message.links[:1]:
        ET.SubElement(entry, f"{{{ATOM}}}link", rel="related", title=clean(label), href=url)
    ET.SubElement(entry, f"{{{ATOM}}}category", term=message.severity)
    content = ET.SubElement(entry, f"{{{ATOM}}}content", type="xhtml")
    content.append(_page(message))
    return entry


def _page(message: Message) -> ET.Element:
    """How the alert stands, as XHTML; ElementTree escapes all texts."""
    page = ET.Element(f"{{{XHTML}}}div")
    for text in _paragraphs(message):
        ET.SubElement(page, f"{{{XHTML}}}p").text = clean(text)
    facts = ET.SubElement(page, f"{{{XHTML}}}ul")
    for fact in message.facts:
        ET.SubElement(facts, f"{{{XHTML}}}li").text = clean(fact)
    for label, url in message.links:
        line = ET.SubElement(page, f"{{{XHTML}}}p")
        ET.SubElement(line, f"{{{XHTML}}}a", href=url).text = clean(label)
    for text in message.footer:
        line = ET.SubElement(page, f"{{{XHTML}}}p")
        ET.SubElement(line, f"{{{XHTML}}}small").text = clean(text)
    return page


def _paragraphs(message: Message) -> Iterator[str]:
    if message.update:
        yield message.update
    yield f"{message.headline} ({message.qualifier})"


def _texts(parent: ET.Element, texts: list[tuple[str, str]]) -> None:
    for tag, text in texts:
        ET.SubElement(parent, f"{{{ATOM}}}{tag}").text = text
