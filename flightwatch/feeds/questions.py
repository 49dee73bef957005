"""What a configured feed is asked: its settings as queries.

In: the settings of a feed, the watched addresses, its secrets. Out: queries, each a request with a scope of its own. A
large area becomes circles that the service takes, a long list several requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode, urljoin, urlsplit

from flightwatch.config import BOX, LISTED, POINT, FeedSettings, Secret, secret
from flightwatch.connections import shown
from flightwatch.errors import ConfigError, FeedError, Problem
from flightwatch.feeds.basestation import Lines
from flightwatch.feeds.credentials import ClientCredentials, authorized
from flightwatch.feeds.http import Http, Reply
from flightwatch.feeds.poller import Pace, Query
from flightwatch.feeds.receivers import Receiver
from flightwatch.feeds.tiles import Box, Circle, box_tiles, circle_tiles
from flightwatch.records import Scope

MOST_TILES = 400
"""At a request a second they take seven minutes: for more there are services that answer for the whole world."""

LONGEST_LIST = 6_000
"""Characters of values in one address: every server takes 8 kB."""

OPENSKY_ANONYMOUS, OPENSKY_STANDARD = 400, 4000
"""Credits a day, without and with an account."""

DAY_S = 86_400.0

Clock = Callable[[], datetime]


def queries(settings: FeedSettings, watched: Sequence[str], key: Secret | None, clock: Clock) -> list[Query]:
    """What a configured feed asks for. `watched` are the addresses on all watchlists. Raises ConfigError where a secret
    is missing or an area is too large."""
    if not settings.enabled:
        return []
    if settings.kind == "receiver":
        return [_receiver(settings, clock)]
    if settings.kind == "sbs":
        lines = Lines(settings.address)
        return [Query(settings.name, "SBS-1 lines", Scope("area"), settings.every_s, lines.read, clock, "sbs")]
    build = {"opensky": _opensky, "flightradar24": _flightradar24, "flightradar24-zones": _zones}.get(settings.kind, _v2)
    return list(build(settings, watched, key, clock))


def requests_a_round(settings: FeedSettings, watched: Sequence[str]) -> int:
    """How many requests a feed takes to ask everything once; needs no secret. Raises ConfigError where an area is too
    large."""
    if not settings.enabled:
        return 0
    if settings.kind == "v2":
        return len(list(_requests(settings, watched)))
    return len(list(_states_requests(settings, watched))) if settings.kind == "opensky" else len(settings.ask)


def secrets_of(settings: FeedSettings) -> Secret | None:
    """The key of a feed, if it has one. Raises ConfigError where its variable is not set."""
    return secret(settings.key_env) if settings.key_env and settings.enabled else None


# -------------------------------------------------------------------------------------------------------------- the v2 family


def _v2(settings: FeedSettings, watched: Sequence[str], key: Secret | None, clock: Clock) -> Iterator[Query]:
    headers = {**settings.headers, **({settings.key_header: key.reveal()} if key else {})}
    http = Http(headers=headers, when_refused=settings.when_refused)
    pace = _pace(settings)
    for path, label, scope in _requests(settings, watched):
        url = settings.base_url.rstrip("/") + (f"/{path}" if path.startswith("?") else path)
        yield Query(
            settings.name, label, scope, settings.every_s, _asking(http, url), clock, pace=pace, most_rows=settings.most_rows
        )


def _asking(http: Http, url: str) -> Callable[[], Reply]:
    return lambda: http.ask(url)


Request = tuple[str, str, Scope]
"""The path, what it asks for in words, and its scope."""


def _requests(settings: FeedSettings, watched: Sequence[str]) -> Iterator[Request]:
    paths = settings.paths
    for question in settings.ask:
        if question == "all":
            yield paths["all"], "everything", Scope("world")
        elif question == "military":
            yield paths["military"], "military aircraft", Scope("military")
        elif question == "watchlists":
            yield from _listed(settings, "hex", watched, "watched aircraft")
        elif match := LISTED.fullmatch(question):
            yield from _listed(settings, match[1], match[2].split(","), WORDS[match[1]])
        else:
            for tile in _tiles(settings, question):
                lat, lon, radius = f"{tile.latitude:g}", f"{tile.longitude:g}", str(tile.radius_nm)
                scope = Scope("area", (lat, lon, radius))
                yield paths["point"].format(lat=lat, lon=lon, radius=radius), f"within {radius} nm of {lat}, {lon}", scope


WORDS = {"hex": "addresses", "registration": "registrations", "type": "types", "callsign": "callsigns", "squawk": "squawks"}


def _listed(settings: FeedSettings, kind: str, values: Sequence[str], words: str) -> Iterator[Request]:
    parts = list(_parts(values, settings.most_members))
    for part in parts:
        path = settings.paths[kind].format(",".join(part))
        # with a comma at the end a single address is answered by a list like any other
        bare = kind == "hex" and len(part) == 1 and settings.paths[kind].endswith("{}") and not settings.service
        one_of_many = words == "watched aircraft" and len(parts) == 1
        named = "" if one_of_many else f" ({', '.join(part) if len(part) <= 3 else f'{part[0]} to {part[-1]}'})"
        yield path + ("," if bare else ""), f"{len(part)} {words}{named}", _scope(kind, part)


def _scope(kind: str, values: Sequence[str]) -> Scope:
    """Who is in the reply, wherever it is. Of callsigns and squawks nobody knows in advance."""
    if kind == "hex":
        return Scope("aircraft", tuple(v.lower() for v in values))
    if kind == "registration":
        return Scope("aircraft", tuple(f":{v.upper()}" for v in values))
    return Scope("types", tuple(v.upper() for v in values)) if kind == "type" else Scope("reported")


def _parts(values: Sequence[str], most: int) -> Iterator[list[str]]:
    """Values in portions that an address can hold."""
    part: list[str] = []
    for value in values:
        if part and (len(part) == most or sum(map(len, part)) + len(part) + len(value) > LONGEST_LIST):
            yield part
            part = []
        part.append(value)
    if part:
        yield part


def _tiles(settings: FeedSettings, question: str) -> list[Circle]:
    if match := POINT.fullmatch(question):
        area = Circle(float(match[1]), float(match[2]), int(match[3]))
        tiles = circle_tiles(area, settings.most_radius_nm)
    else:
        tiles = box_tiles(_box(question), settings.most_radius_nm)
    if len(tiles) > MOST_TILES:
        problem = f"feed {settings.name}: `{question}` takes {len(tiles)} requests, at most {MOST_TILES}: watch less"
        raise ConfigError([Problem("configuration", 1, problem)])
    return tiles


def _box(question: str) -> Box:
    match = BOX.fullmatch(question)
    assert match is not None  # the configuration has checked it
    return Box(*map(float, match.groups()))


def _pace(settings: FeedSettings, credits_a_day: int | None = None) -> Pace:
    """By host: two feeds that ask one service share its pace."""
    host = urlsplit(settings.base_url).netloc
    return Pace(host, settings.spacing_s, settings.longest_wait_s, credits_a_day)


# ------------------------------------------------------------------------------------------------------------------ receivers


def _receiver(settings: FeedSettings, clock: Clock) -> Query:
    """A receiver by address or by file, with receiver.json beside it."""
    if settings.path:
        path = Path(settings.path)
        beside = path.with_name("receiver.json")
        label, receiver = str(path), Receiver(lambda: Reply(_read_file(path)), lambda: Reply(_read_file(beside)))
    else:
        http = Http()
        label = shown(settings.base_url)
        receiver = Receiver(_asking(http, settings.base_url), _asking(http, urljoin(settings.base_url, "receiver.json")))
    return Query(settings.name, label, Scope("area"), settings.every_s, receiver.read, clock)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FeedError("unreachable", f"{path} cannot be read ({error.strerror})") from None


# -------------------------------------------------------------------------------------------------------------------- OpenSky


def _opensky(settings: FeedSettings, watched: Sequence[str], key: Secret | None, clock: Clock) -> Iterator[Query]:
    http = Http(when_refused=settings.when_refused)
    token: ClientCredentials | None = None
    if settings.client_id_env and settings.client_secret_env:
        token = ClientCredentials(http, settings.token_url, secret(settings.client_id_env), secret(settings.client_secret_env))
    a_day = settings.credits_a_day or (OPENSKY_STANDARD if token else OPENSKY_ANONYMOUS)
    pace = _pace(settings, a_day)
    asked = list(_states_requests(settings, watched))
    # what the credits of a day give, unless somebody says otherwise
    share = DAY_S * sum(cost for *_, cost in asked) / a_day
    every = settings.every_s if "every_s" in settings.model_fields_set else max(share, MIN_OPENSKY_S)
    base = settings.base_url.rstrip("/") + "/states/all?"
    for parameters, label, scope, cost in asked:
        read = authorized(http, base + urlencode([("extended", "1"), *parameters]), token)
        yield Query(
            name=settings.name,
            label=label,
            scope=scope,
            every_s=every,
            read=read,
            clock=clock,
            format="opensky",
            pace=pace,
            cost=cost,
            most_rows=settings.most_rows,
        )


MIN_OPENSKY_S = 10.0
"""Its states change every ten seconds for those without an account."""


def _states_requests(settings: FeedSettings, watched: Sequence[str]) -> Iterator[tuple[list[tuple[str, str]], str, Scope, int]]:
    for question in settings.ask:
        if question == "all":
            yield [], "everything", Scope("world"), opensky_cost(None)
        elif question.startswith("box:"):
            box = _box(question)
            for part in _east_and_west(box):
                corners = (("lamin", part.south), ("lomin", part.west), ("lamax", part.north), ("lomax", part.east))
                named = f"{part.south:g} to {part.north:g} N, {part.west:g} to {part.east:g} E"
                scope = Scope("area", tuple(f"{value:g}" for _, value in corners))
                yield [(name, f"{value:g}") for name, value in corners], named, scope, opensky_cost(part)
        else:
            match = LISTED.fullmatch(question)
            for hexes in _parts(watched if match is None else match[2].lower().split(","), settings.most_members):
                label = f"{len(hexes)} addresses ({hexes[0]} to {hexes[-1]})"
                yield [("icao24", h) for h in hexes], label, Scope("aircraft", tuple(hexes)), opensky_cost(None)


def opensky_cost(box: Box | None) -> int:
    """Credits for one request of states: by the square degrees of the box, the whole world and lists cost most."""
    area = 1e9 if box is None else (box.north - box.south) * box.width
    return next((cost for limit, cost in ((25, 1), (100, 2), (400, 3)) if area <= limit), 4)


def _east_and_west(box: Box) -> list[Box]:
    """A box that crosses the antimeridian as two."""
    if box.west <= box.east:
        return [box]
    return [Box(box.south, box.west, box.north, 180.0), Box(box.south, -180.0, box.north, box.east)]


# -------------------------------------------------------------------------------------------------------------- Flightradar24


FR24_ROW_COST = {"light": 6, "full": 8}
"""Credits for each flight in a reply, by detail."""


def _flightradar24(settings: FeedSettings, watched: Sequence[str], key: Secret | None, clock: Clock) -> Iterator[Query]:
    """The official API. Its credits are counted here, if the configuration says how many a day there are: it does not
    tell."""
    http = Http(headers=fr24_headers(settings, key), when_refused=settings.when_refused)
    path = f"{settings.base_url.rstrip('/')}/api/live/flight-positions/{settings.detail}"
    pace = _pace(settings, settings.credits_a_day)
    for box, label, scope in _bounded(settings):
        bounds = f"{box.north:g},{box.south:g},{box.west:g},{box.east:g}"
        url = f"{path}?{urlencode({'bounds': bounds, 'limit': settings.most_rows or FR24_LIMIT}, safe=',')}"
        yield Query(
            name=settings.name,
            label=label,
            scope=scope,
            every_s=settings.every_s,
            read=_asking(http, url),
            clock=clock,
            format="flightradar24",
            pace=pace,
            row_cost=FR24_ROW_COST[settings.detail],
            most_rows=settings.most_rows or FR24_LIMIT,
        )


def fr24_headers(settings: FeedSettings, key: Secret | None) -> dict[str, str]:
    """What the API wants to be told with every question."""
    return {"Accept-Version": "v1", **settings.headers, **({"Authorization": f"Bearer {key.reveal()}"} if key else {})}


FR24_LIMIT = 30_000
"""Flights in one reply, at most."""


def _zones(settings: FeedSettings, watched: Sequence[str], key: Secret | None, clock: Clock) -> Iterator[Query]:
    """The shape of the zone feed, from a mirror of one's own."""
    http = Http(headers=settings.headers, when_refused=settings.when_refused)
    for box, label, scope in _bounded(settings):
        bounds = f"{box.north:g},{box.south:g},{box.west:g},{box.east:g}"
        url = f"{settings.base_url}{'&' if '?' in settings.base_url else '?'}{urlencode({'bounds': bounds}, safe=',')}"
        yield Query(
            name=settings.name,
            label=label,
            scope=scope,
            every_s=settings.every_s,
            read=_asking(http, url),
            clock=clock,
            format="flightradar24-zones",
            pace=_pace(settings),
            most_rows=settings.most_rows,
        )


def _bounded(settings: FeedSettings) -> Iterator[tuple[Box, str, Scope]]:
    for question in settings.ask:
        if question == "all":
            yield Box(-90.0, -180.0, 90.0, 180.0), "everything", Scope("world")
            continue
        match = POINT.fullmatch(question)
        boxes = [_box(question)] if match is None else [Circle(float(match[1]), float(match[2]), int(match[3])).box]
        for part in (half for box in boxes for half in _east_and_west(box)):
            named = f"{part.south:g} to {part.north:g} N, {part.west:g} to {part.east:g} E"
            yield part, named, Scope("area", tuple(f"{v:g}" for v in (part.south, part.west, part.north, part.east)))


__all__ = ["fr24_headers", "opensky_cost", "queries", "requests_a_round", "secrets_of"]
