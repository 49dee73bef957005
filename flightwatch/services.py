"""Public services and programs that feeds come from: where they are, what they can be asked, how often, on what terms.

Each is a set of values for a feed of the configuration (`service: adsb-lol`); whatever the feed sets itself holds
instead. Paths have `{}` for a list of values, or `{lat}`, `{lon}`, `{radius}` (nm); a question without a path is one that
the service does not answer. Facts are those of the services' own documents; where they are silent the value is the
slower one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

QUESTIONS = ("all", "military", "point", "hex", "registration", "type", "callsign", "squawk")
"""What a service can have a path for."""

CIRCLE = "/v2/lat/{lat}/lon/{lon}/dist/{radius}"

V2_PATHS = {
    "all": "/v2/all",
    "military": "/v2/mil",
    "point": "/v2/point/{lat}/{lon}/{radius}",
    "hex": "/v2/hex/{}",
    "registration": "/v2/reg/{}",
    "type": "/v2/type/{}",
    "callsign": "/v2/callsign/{}",
    "squawk": "/v2/squawk/{}",
}
"""The paths that most of the family share; those of a feed that names no service."""

ADSBX_PATHS = {
    "all": "/v2/all",
    "military": "/v2/mil",
    "point": CIRCLE,
    "hex": "/v2/hex/{},",  # with the comma at the end a single address is answered by a list like any other
    "registration": "/v2/registration/{}",
    "callsign": "/v2/callsign/{}",
    "squawk": "/v2/sqk/{}",
}

REAPI_PATHS = {
    "all": "?all_with_pos&jv2",
    "military": "?all_with_pos&filter_mil&jv2",
    "point": "?circle={lat},{lon},{radius}&jv2",
    "hex": "?find_hex={}&jv2",
    "registration": "?find_reg={}&jv2",
    "type": "?find_type={}&jv2",
    "callsign": "?find_callsign={}&jv2",
    "squawk": "?all_with_pos&filter_squawk={}&jv2",
}


def _without(paths: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: path for name, path in paths.items() if name not in names}


SERVICES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "adsb-lol": {
            "base_url": "https://api.adsb.lol",
            "paths": _without(V2_PATHS, "all"),  # /v2/all is not there any more
            "attribution": "adsb.lol and its contributors (ODbL 1.0)",
        },
        "adsb-fi": {  # its older paths: {point: /v2/lat/{lat}/lon/{lon}/dist/{radius}, callsign: /v2/callsign/{}}
            "base_url": "https://opendata.adsb.fi/api",
            "paths": {
                "military": "/v2/mil",
                "point": "/v3/lat/{lat}/lon/{lon}/dist/{radius}",
                "hex": "/v2/hex/{}",
                "registration": "/v2/registration/{}",
                "callsign": "/v3/callsign/{}",
                "squawk": "/v2/sqk/{}",
            },
            "attribution": "adsb.fi (https://adsb.fi), non-commercial use",
        },
        "adsbexchange": {
            "base_url": "https://gateway.adsbexchange.com/api/aircraft",
            "paths": ADSBX_PATHS,
            "key_header": "x-api-key",
            "republish": False,
            "attribution": "ADS-B Exchange",
            "when_refused": "the key comes with a contract (adsbexchange.com)",
        },
        "adsbexchange-rapidapi": {
            "base_url": "https://adsbexchange-com1.p.rapidapi.com",
            "paths": {**_without(ADSBX_PATHS, "all"), "hex": "/v2/icao/{}/"},
            "key_header": "X-RapidAPI-Key",
            "headers": {"X-RapidAPI-Host": "adsbexchange-com1.p.rapidapi.com"},
            "every_s": 600.0,  # 4,464 requests a month for each question; the small plan has about 10,000
            "republish": False,
            "attribution": "ADS-B Exchange, non-commercial use",
        },
        "airplanes-live": {
            "base_url": "https://api.airplanes.live",
            "paths": _without(V2_PATHS, "all"),
            "republish": False,
            "attribution": "airplanes.live, non-commercial use",
            "when_refused": "airplanes.live gives access by approval alone: write to its operators, then start flightwatch anew",
        },
        "readsb-api": {  # readsb --net-api-port, or the web server in front of it: base_url is the feed's own
            "paths": REAPI_PATHS,
            "most_radius_nm": 10_800,  # half way round the world: readsb sets no limit of its own
            "spacing_s": 0.2,  # a program in the house
            "most_members": 1000,
        },
    }
)


@dataclass(frozen=True, slots=True)
class Site:
    """A web site that keeps the day traces of its receivers. `keeps_days` is for how long, where that is not for good;
    what it demands is said here where it is no service as well."""

    url: str
    keeps_days: int | None = None
    attribution: str = ""
    republish: bool = True


SITES: Mapping[str, Site] = MappingProxyType(
    {
        "adsb-fi": Site("https://globe.adsb.fi"),
        "adsbexchange": Site("https://globe.adsbexchange.com"),
        "airplanes-live": Site("https://globe.airplanes.live"),
        "theairtraffic": Site("https://globe.theairtraffic.com", keeps_days=90, attribution="TheAirTraffic", republish=False),
    }
)
"""None of them publishes terms for history: what is asked of them is asked slowly, and refusals are taken as such."""
