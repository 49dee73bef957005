"""History from the Flightradar24 API: what is asked, how fast, and what a no ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from flightwatch.config import FeedSettings, Secret
from flightwatch.errors import FeedError
from flightwatch.feeds.flightradar24_history import CUT_AT, LONGEST_SPAN, Piece, asking, pieces, spans
from flightwatch.imports import import_file
from flightwatch.records import legs_from_table
from flightwatch.store import Store
from flightwatch.testing.servers import LoopbackServer, QuietHandler
from tests.conftest import T0
from tests.samples import FR24_POINT, summary

SINCE, UNTIL = T0 - timedelta(days=1), T0 + timedelta(days=1)
TOKEN = "made-up-token"


def flight(number: int, **more: object) -> dict[str, object]:
    """A flight an hour after the one before."""
    seen = T0 + timedelta(hours=number)
    times = {"first_seen": f"{seen:%Y-%m-%dT%H:%M:%SZ}", "datetime_takeoff": f"{seen:%Y-%m-%dT%H:%M:%SZ}"}
    return summary(**({"fr24_id": f"{number:08x}"} | times | more))


class Api:
    """Answers from some flights; `failures` are raised first, one a request, where a request of theirs comes."""

    def __init__(self, *flights: dict[str, object], most: int = 20_000) -> None:
        self.flights, self.most = flights, most
        self.asked: list[str] = []
        self.failures: dict[str, list[FeedError]] = {}

    def __call__(self, path: str) -> bytes:
        self.asked.append(path)
        place, query = urlsplit(path).path, parse_qs(urlsplit(path).query)
        if waiting := self.failures.get(place):
            raise waiting.pop(0)
        if place == "/api/flight-tracks":
            return json.dumps([{"fr24_id": query["flight_id"][0], "tracks": [FR24_POINT]}]).encode()
        since, until = (datetime.fromisoformat(query[f"flight_datetime_{end}"][0]) for end in ("from", "to"))
        names = query["registrations"][0].split(",")
        found = [f for f in self.flights if f["reg"] in names and since <= datetime.fromisoformat(str(f["first_seen"])) <= until]
        return json.dumps({"data": found[: self.most]}).encode()

    def tracks(self) -> list[str]:
        return [path.split("=")[1] for path in self.asked if "tracks" in path]


def fetched(api: Api, registrations: list[str] | None = None, since: datetime = SINCE, until: datetime = UNTIL) -> list[Piece]:
    return list(pieces(api, registrations or ["RA-86559"], since, until, wait=lambda _: None))


def refusal(status: int, **more: object) -> FeedError:
    return FeedError(f"http_{status}", f"the service answered {status}", permanent=status in (401, 402, 403), **more)  # type: ignore[arg-type]  # as `Http` raises it


def test_flights_and_their_tracks_become_legs_and_positions(tmp_path: Path, store: Store) -> None:
    """Each piece is imported as it says: the track, which names nobody, as the aircraft of its summary."""
    got = fetched(Api(flight(0)))
    assert [(p.format, p.registration) for p in got] == [("fr24-summary", None), ("fr24-tracks", "15521F")]
    assert [p.credits for p in got] == [8, 40]
    for piece in got:
        (tmp_path / piece.name).write_bytes(piece.body)
        done = import_file(store, tmp_path / piece.name, format=piece.format, registration=piece.registration)
        assert (done.rows, dict(done.refused)) == (1, {})
    (leg,) = legs_from_table(store.legs.table())
    assert (leg.icao24, leg.registration, leg.feeds[0]) == ("15521f", "RA-86559", "import-flightradar24")
    assert store.snapshots.positions()["icao24"].to_pylist() == ["15521f"]


def test_a_question_names_fifteen_and_spans_fourteen_days() -> None:
    names = [f"RA-{number:05d}" for number in range(17)]
    api = Api()
    fetched(api, names, SINCE, SINCE + timedelta(days=20))
    asked = [parse_qs(urlsplit(path).query) for path in api.asked]
    assert [len(q["registrations"][0].split(",")) for q in asked] == [15, 2, 15, 2]
    assert {(q["sort"][0], q["limit"][0]) for q in asked} == {("asc", "20000")}
    assert asked[0]["flight_datetime_from"] == ["2024-02-29T12:00:00Z"]


def test_spans_cover_the_time_without_a_hole_and_none_is_too_long() -> None:
    found = list(spans(SINCE, SINCE + timedelta(days=400)))
    assert (found[0][0], found[-1][1]) == (SINCE, SINCE + timedelta(days=400))
    assert all(timedelta(0) < end - start <= LONGEST_SPAN for start, end in found)
    assert all(later[0] < earlier[1] for earlier, later in pairwise(found))
    assert list(spans(UNTIL, SINCE)) == []
    assert next(spans(datetime(2010, 1, 1, tzinfo=UTC), UNTIL))[0] == datetime(2016, 5, 11, tzinfo=UTC)


def test_a_flight_in_two_spans_is_tracked_once() -> None:
    api = Api(flight(0))
    got = fetched(api, since=T0 - LONGEST_SPAN + timedelta(hours=1), until=T0 + timedelta(days=9))
    assert [p.format for p in got] == ["fr24-summary", "fr24-tracks", "fr24-summary"]
    assert api.tracks() == ["00000000"]


@pytest.mark.parametrize("most", CUT_AT[:2])
def test_a_reply_that_was_cut_off_is_gone_on_with(most: int) -> None:
    """Plans answer with 20 or 300 flights at most."""
    api = Api(*(flight(number) for number in range(most + 12)), most=most)
    fetched(api, until=T0 + timedelta(days=13))
    assert len(api.tracks()) == len(set(api.tracks())) == most + 12


def test_a_cut_reply_that_leads_no_further_is_told_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    api = Api(*(summary(fr24_id=f"{n:x}", first_seen="2024-02-29T12:00:00Z") for n in range(20)), most=20)
    assert len(fetched(api)) == 21
    assert "may be cut off" in caplog.text


def test_flights_in_the_air_and_those_of_nobody_have_no_track_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    hidden = flight(1, hex=None, reg="G-CIVO")
    api = Api(flight(0, flight_ended=False), hidden, flight(2, hex=None), flight(3, fr24_id="../usage"))
    got = fetched(api, ["RA-86559", "G-CIVO"])
    assert [p.registration for p in got] == [None, "15521f"], "an address that follows from the registration does"
    assert "of G-CIVO has no address" in caplog.text


@pytest.mark.parametrize(
    ("status", "place"), [(402, "/api/flight-tracks"), (403, "/api/flight-summary/full"), (401, "/api/flight-tracks")]
)
def test_a_no_ends_it_at_once_and_says_from_when_on_something_is_missing(status: int, place: str) -> None:
    api = Api(flight(0), flight(1))
    api.failures[place] = [refusal(status)]
    got: list[Piece] = []
    with pytest.raises(FeedError, match=f"answered {status}; stopped here: what lies before 2024-02-29 is in") as told:
        got.extend(pieces(api, ["RA-86559"], SINCE, UNTIL, wait=lambda _: None))
    assert told.value.permanent
    assert len(api.asked) == len(got) + 1, "nothing was asked after the no"


def test_what_was_too_much_is_asked_again_when_the_service_says() -> None:
    api, waits = Api(flight(0)), list[float]()
    api.failures["/api/flight-tracks"] = [refusal(429, retry_after_s=17.0), refusal(429), refusal(503)]
    assert len(list(pieces(api, ["RA-86559"], SINCE, UNTIL, spacing_s=2.0, wait=waits.append))) == 2
    assert waits == [2.0, 17.0, 2.0, 60.0, 2.0, 16.0, 2.0], "the rest between two requests, and what each no asks for"


@pytest.mark.parametrize(
    ("errors", "asked"), [([refusal(429)] * 9, 4), ([refusal(429, retry_after_s=7200.0)], 1), ([refusal(400)], 1)]
)
def test_it_is_not_asked_for_ever(errors: list[FeedError], asked: int) -> None:
    api = Api()
    api.failures["/api/flight-summary/full"] = list(errors)
    with pytest.raises(FeedError, match="stopped here"):
        fetched(api)
    assert len(api.asked) == asked


def test_a_flight_without_a_track_is_passed_over() -> None:
    api = Api(flight(0), flight(1))
    api.failures["/api/flight-tracks"] = [refusal(404)]
    assert [p.name for p in fetched(api)] == ["summary-20240229-20240302-1-1.json", "track-00000001.json"]


class _Handler(QuietHandler):
    def do_GET(self) -> None:  # noqa: N802  # the name that the server calls
        fake: Service = self.server.fake  # type: ignore[attr-defined]
        fake.headers.append({name: self.headers[name] for name in ("Authorization", "Accept-Version", "Accept")})
        self.answer(*fake.answers.pop(0))


class Service(LoopbackServer):
    """The API on loopback: what it answers, in turn, and the headers that it was asked with."""

    handler = _Handler

    def __init__(self, *answers: tuple[int, bytes] | tuple[int, bytes, str, dict[str, str]]) -> None:
        self.answers = list(answers)
        self.headers: list[dict[str, str]] = []


def test_the_service_is_asked_with_the_token_which_stands_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    waits: list[float] = []
    wait: Callable[[float], None] = waits.append
    answers = [(429, b'{"message":"Too Many"}', "application/json", {"Retry-After": "3"}), (402, b'{"message":"none left"}')]
    with Service(*answers) as service:
        settings = FeedSettings.model_validate(
            {"name": "fr24", "kind": "flightradar24", "base_url": service.url, "key_env": "KEY"}
        )
        with pytest.raises(FeedError, match="credits are used up") as told:
            list(pieces(asking(settings, Secret(TOKEN)), ["RA-86559"], SINCE, UNTIL, spacing_s=1.0, wait=wait))
    assert service.headers == [{"Authorization": f"Bearer {TOKEN}", "Accept-Version": "v1", "Accept": "application/json"}] * 2
    assert waits == [3.0, 1.0]
    assert TOKEN not in str(told.value) + caplog.text
