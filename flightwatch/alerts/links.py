"""Where messages and evidence pages lead: the page of an alert, and public trackers for an aircraft and a day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from urllib.parse import quote

TOLD = ("adsb.lol", "ADS-B Exchange", "Flightradar24")
"""The trackers that a message names; a page has room for all."""


INDEX = "index.html"
"""The file of the index over all pages, beside them."""


def page_name(alert_id: str) -> str:
    """The file of an alert's page. Ids are made of addresses and times; whatever else one may hold makes no path."""
    return f"{re.sub(r'[^A-Za-z0-9._~-]', '_', alert_id).lstrip('.') or '_'}.html"


def page_url(base_url: str, alert_id: str) -> str:
    """The address of an alert's page; empty where pages have no address."""
    return f"{base_url.rstrip('/')}/{page_name(alert_id)}" if base_url else ""


def index_url(page: str) -> str:
    """The address of the index beside a page; empty where pages have no address."""
    return f"{page.rsplit('/', 1)[0]}/{INDEX}" if page else ""


def trackers(icao24: str | None, registration: str | None, day: date) -> Iterator[tuple[str, str, str]]:
    """Public trackers of an aircraft: the name, what it is asked for, the address. Those that can be asked for a day show that
    day; addresses that are not ICAO's are at none of them."""
    if icao24 and re.fullmatch(r"[0-9a-f]{6}", icao24):
        for name, site in (
            ("adsb.lol", "https://adsb.lol/"),
            ("ADS-B Exchange", "https://globe.adsbexchange.com/"),
            ("adsb.fi", "https://globe.adsb.fi/"),
        ):
            yield name, f"{day:%Y-%m-%d}", f"{site}?icao={icao24}&showTrace={day:%Y-%m-%d}"
    if registration:
        yield "Flightradar24", "", f"https://www.flightradar24.com/data/aircraft/{quote(registration.lower(), safe='')}"
        ident = re.sub(r"[^A-Za-z0-9]", "", registration)
        yield "FlightAware", "", f"https://www.flightaware.com/live/flight/{ident}/history"
