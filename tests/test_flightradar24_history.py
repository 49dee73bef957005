"""Flightradar24's flights and tracks, fetched from loopback by the command line: what is asked, paid, and ended by a no."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch import histories
from flightwatch.feeds.flightradar24_history import CUT_AT, DAYS_OF_A_WINDOW, FIRST, LONGEST_SPAN, asked
from flightwatch.feeds.history import windows
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from tests.conftest import T0, Typed
from tests.samples import FR24_POINT, summary
from tests.test_histories import NOW, covered, nothing_left, raising

TOKEN = "canary-token"
FEED = "import-flightradar24"


def flight(number: int, **more: object) -> dict[str, Any]:
    """A flight of an hour, an hour after the one before; the first at noon of 1 March."""
    begin = T0 + timedelta(hours=number)
    end = begin + timedelta(minutes=50)
    times = {"first_seen": begin, "datetime_takeoff": begin, "datetime_landed": end, "last_seen": end}
    texts = {name: f"{time:%Y-%m-%dT%H:%M:%SZ}" for name, time in times.items()}
    return summary(**({"fr24_id": f"{number:08x}"} | texts | more))


class Api:
    """Answers from its flights, `most` at once; statuses of `failures` come first where a question of theirs does."""

    def __init__(self, server: HTTPServer, clock: FakeClock) -> None:
        self.url = server.url_for("/").rstrip("/")
        self.flights: list[dict[str, Any]] = [flight(0)]
        self.most = 20_000
        self.failures: dict[str, list[tuple[int, dict[str, str]]]] = {"summary": [], "tracks": []}
        self.untracked: set[str] = set()
        self.points = [FR24_POINT, FR24_POINT | {"timestamp": "2024-03-01T12:02:00Z", "source": "ESTIMATED"}]
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.times: list[float] = []
        self._clock = clock
        server.expect_request("/api/flight-summary/full").respond_with_handler(lambda r: self._answer("summary", r))
        server.expect_request("/api/flight-tracks").respond_with_handler(lambda r: self._answer("tracks", r))

    def _answer(self, kind: str, request: Request) -> Response:
        assert (request.headers["Authorization"], request.headers["Accept-Version"]) == (f"Bearer {TOKEN}", "v1")
        query = request.args.to_dict()
        self.asked.append((kind, query))
        self.times.append(self._clock.monotonic())
        if self.failures[kind]:
            status, headers = self.failures[kind].pop(0)
            return Response(json.dumps({"message": "no"}), status=status, headers=headers)
        if kind == "tracks":
            if query["flight_id"] in self.untracked:
                return Response("", status=404)
            return Response(json.dumps([{"fr24_id": query["flight_id"], "tracks": self.points}]))
        since, until = (datetime.fromisoformat(query[f"flight_datetime_{end}"]) for end in ("from", "to"))
        mine = [f for f in self.flights if f["reg"] in query["registrations"].split(",")]
        found = [f for f in mine if since <= datetime.fromisoformat(f["first_seen"]) <= until]
        return Response(json.dumps({"data": found[: self.most]}))

    def spans(self) -> list[tuple[str, str]]:
        return [(q["flight_datetime_from"], q["flight_datetime_to"]) for kind, q in self.asked if kind == "summary"]

    def names(self) -> list[str]:
        return [query["registrations"] for kind, query in self.asked if kind == "summary"]

    def tracks(self) -> list[str]:
        return [query["flight_id"] for kind, query in self.asked if kind == "tracks"]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock(NOW)
    monkeypatch.setattr("flightwatch.live.SystemClock", lambda: fake)
    return fake


@pytest.fixture
def api(httpserver: HTTPServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Api:
    service = Api(httpserver, clock)
    monkeypatch.setenv("KEY", TOKEN)
    feed = f"{{name: fr, kind: flightradar24, base_url: '{service.url}', key_env: KEY}}"
    (tmp_path / "flightwatch.yaml").write_text(f"feeds: [{feed}]\nstore: s\nwatchlists: [mine.csv]\n", encoding="utf-8")
    (tmp_path / "mine.csv").write_text("icao24,registration\n406a3b,G-CIVO\n", encoding="utf-8")
    return service


def fetch(typed: Typed, first: str = "2024-03-01", last: str = "2024-03-01", *more: str) -> tuple[int, str, str]:
    chosen = more or ("--aircraft", "15521f")
    status, out, err = typed("fetch-history", "flightradar24", "--from", first, "--to", last, *chosen)
    assert TOKEN not in out + err
    return status, out, err


def test_flights_and_their_tracks(typed: Typed, api: Api, tmp_path: Path) -> None:
    """The aircraft by its registration, the track as its own; terms kept, credits counted, and nothing asked twice."""
    status, out, err = fetch(typed)
    assert (status, err) == (0, "")
    assert (api.names(), api.tracks()) == (["RA-86559"], ["00000000"])
    assert (api.asked[0][1]["sort"], api.asked[0][1]["limit"]) == ("asc", "20000")
    assert "2 files, 2 positions, 1 flight stored" in out
    assert "credits: about 48, counted here, because the service does not tell; `run` counts its own apart" in out
    assert "source to be named: Flightradar24; not to be republished" in out
    with Store(tmp_path / "s", read_only=True) as store:
        found = store.snapshots.positions()
        assert set(found["icao24"].to_pylist()) == {"15521f"}
        assert found["source"].to_pylist() == ["adsb", "estimated"]
        assert store.terms()[FEED].retention_days == 30
    assert (covered(tmp_path, FEED), nothing_left(tmp_path)) == ({("15521f", "2024-03-01")}, True)
    status, out, _ = fetch(typed)
    assert (status, len(api.asked)) == (0, 2)
    assert "credits" not in out


def test_the_token_may_be_in_the_environment_alone(typed: Typed, tmp_path: Path) -> None:
    status, _, err = typed("fetch-history", "flightradar24", "--from", "2024-03-01", "--to", "2024-03-01", "--aircraft", "15521f")
    assert status == 1
    assert "FR24_TOKEN is not set" in err


def test_a_question_spans_fourteen_days_of_which_the_first_is_shared(typed: Typed, api: Api) -> None:
    """A flight that lies in two spans is tracked once; one that was over before the days that were asked for is not."""
    over, across, shared = flight(-24), flight(-11), flight(12 * 24)
    across |= {"last_seen": "2024-03-01T02:00:00Z", "fr24_id": "aaa"}
    api.flights = [over | {"fr24_id": "bbb"}, across, shared]
    status, _, _ = fetch(typed, "2024-03-01", "2024-03-09")
    assert status == 0
    assert api.spans() == [("2024-02-29T00:00:00Z", "2024-03-09T23:59:59Z")]
    assert api.tracks() == ["aaa"]
    api.asked.clear()
    fetch(typed, "2024-02-10", "2024-02-29")
    assert api.spans() == [("2024-02-09T00:00:00Z", "2024-02-22T23:59:59Z"), ("2024-02-22T00:00:00Z", "2024-02-29T23:59:59Z")]
    assert api.tracks() == ["bbb"]


@given(st.integers(0, 5000), st.integers(0, 400))
def test_spans_cover_the_days_without_a_hole_and_none_is_too_long(start: int, count: int) -> None:
    days = [FIRST + timedelta(days=start + n) for n in range(count)]
    spans = [asked(first, last) for first, last in windows(days, DAYS_OF_A_WINDOW)]
    assert all(timedelta(0) < end - begin < LONGEST_SPAN for begin, end in spans)
    assert all(later[0] < earlier[1] for earlier, later in pairwise(spans))
    assert all(span[0].date() <= days[0] for span in spans[:1])
    assert all(span[1].date() == days[-1] for span in spans[-1:])
    assert all(begin.date() >= FIRST for begin, _ in spans)


def test_the_days_before_the_service_had_any_are_not_asked_for(typed: Typed, api: Api, tmp_path: Path) -> None:
    status, out, _ = fetch(typed, "2016-05-01", "2016-05-12")
    assert status == 0
    assert api.spans() == [("2016-05-11T00:00:00Z", "2016-05-12T23:59:59Z")]
    assert "not to be had there, for good: 10, which count as unwatched" in out
    assert {day for _, day in covered(tmp_path, FEED)} == {"2016-05-11", "2016-05-12"}


def test_a_reply_that_was_cut_off_is_gone_on_with(typed: Typed, api: Api) -> None:
    """The smallest plan answers with 20 flights at most. The flight in both replies is one."""
    most = CUT_AT[0]
    moments = [T0 + timedelta(minutes=n) for n in range(most + 12)]
    api.flights = [flight(0, fr24_id=f"{n:x}", first_seen=f"{t:%Y-%m-%dT%H:%M:%SZ}") for n, t in enumerate(moments)]
    api.failures["tracks"] = [(402, {})]
    api.most = most
    status, out, _ = fetch(typed)
    assert status == 1
    assert len(api.spans()) == 2
    assert f"{most + 12} flights stored" in out
    assert f"left for the next run: {most + 12} http_402" in out


def test_a_cut_reply_that_leads_no_further_covers_nothing(typed: Typed, api: Api, tmp_path: Path) -> None:
    api.flights = [summary(fr24_id=f"{n:x}", first_seen="2024-02-29T00:00:00Z") for n in range(20)]
    api.most = 20
    _, out, err = fetch(typed)
    assert "may be cut off" in err
    assert "20 flights stored" in out
    assert "not to be had there, for good: 1" in out
    assert covered(tmp_path, FEED) == set()
    count = len(api.asked)
    fetch(typed)
    assert len(api.asked) == count


def test_whose_track_it_is_must_be_known(typed: Typed, api: Api, tmp_path: Path) -> None:
    """One that does not say it has the address that was asked for; that of another one is said, and not paid for, and
    nobody knows then whether the first one flew."""
    api.flights = [
        flight(0, hex=None, reg="G-CIVO"),
        flight(1, hex="406A3C", reg="G-CIVO"),
        flight(2, fr24_id="../usage", hex="406A3B", reg="G-CIVO"),
    ]
    status, _, err = fetch(typed, "2024-03-01", "2024-03-01", "--aircraft", "406a3b")
    assert (status, api.tracks()) == (0, ["00000000"])
    assert "G-CIVO is 406a3c there, not 406a3b: such flights are listed as that aircraft's, without tracks" in err
    assert covered(tmp_path, FEED) == set()
    with Store(tmp_path / "s", read_only=True) as store:
        assert set(store.snapshots.positions()["icao24"].to_pylist()) == {"406a3b"}


def test_an_aircraft_without_a_registration_is_said_and_stops_no_other(typed: Typed, api: Api, tmp_path: Path) -> None:
    chosen = [word for n in range(12) for word in ("--aircraft", f"0100{n:02x}")]
    status, out, err = fetch(typed, "2024-03-01", "2024-03-30", *chosen, "--aircraft", "15521f")
    assert status == 1
    assert err.count("Flightradar24 is asked by registration, and none is known") == 12, "a line each, whatever the span"
    assert "left for the next run: 12 no_registration" in out
    assert api.tracks() == ["00000000"]
    assert {who for who, _ in covered(tmp_path, FEED)} == {"15521f"}


def test_each_registration_of_the_time_is_asked_for(typed: Typed, api: Api, tmp_path: Path) -> None:
    rows = ["406a3b,G-OLDE,,2024-03-02", "406a3b,G-CIVO,2024-03-03,"]
    (tmp_path / "mine.csv").write_text("\n".join(["icao24,registration,valid_from,valid_until", *rows]), encoding="utf-8")
    fetch(typed, "2024-03-01", "2024-03-04", "--aircraft", "406a3b")
    assert api.names() == ["G-OLDE,G-CIVO"]


@pytest.mark.parametrize(("status", "reason"), [(401, "http_401"), (402, "http_402"), (403, "refused")])
@pytest.mark.parametrize("kind", ["summary", "tracks"])
def test_a_no_ends_it_at_once(status: int, reason: str, kind: str, typed: Typed, api: Api, tmp_path: Path) -> None:
    """Nothing is asked after it; what came before is in, and the next run goes on there."""
    api.flights = [flight(0), flight(1)]
    api.failures[kind] = [(status, {})]
    ended, out, err = fetch(typed, "2024-02-01", "2024-03-01")
    assert ended == 1
    assert api.asked[-1][0] == kind
    assert f"answered {status}" in err
    assert err.count("flightradar24: nothing more is asked for") == 1
    count = {"summary": 3, "tracks": 2}[kind]
    assert f"left for the next run: {count} {reason}; run it again" in out
    before = len(api.asked)
    assert fetch(typed, "2024-02-01", "2024-03-01")[0] == 0
    assert len(api.asked) - before == {"summary": 5, "tracks": 2}[kind]
    assert nothing_left(tmp_path)


def test_what_is_left_of_others_is_not_paid_for(typed: Typed, api: Api) -> None:
    api.failures["tracks"] = [(402, {})]
    fetch(typed)
    count = len(api.tracks())
    fetch(typed, "2024-03-01", "2024-03-01", "--aircraft", "406a3b")
    fetch(typed, "2024-03-05", "2024-03-05")
    assert len(api.tracks()) == count
    fetch(typed)
    assert len(api.tracks()) == count + 1


def test_too_many_requests_are_given_a_minute(typed: Typed, api: Api) -> None:
    """Or what the service asks for; otherwise the distance of the plan."""
    api.failures["tracks"] = [(429, {"Retry-After": "17"}), (429, {})]
    assert fetch(typed)[0] == 0
    assert [round(later - earlier) for earlier, later in pairwise(api.times)] == [6, 17, 60]


@pytest.mark.parametrize(
    ("answers", "asked_for"), [([(429, {})] * 9, 4), ([(429, {"Retry-After": "7200"})], 1), ([(400, {})], 1)]
)
def test_it_is_not_asked_for_ever(answers: list[tuple[int, dict[str, str]]], asked_for: int, typed: Typed, api: Api) -> None:
    """A service that wants a long rest has it, from questions of both kinds."""
    api.failures["summary"] = list(answers)
    status, out, _ = fetch(typed)
    assert (status, len(api.asked)) == (1, asked_for)
    assert ("not before 2024-03-10 11:00 UTC" in out) == (asked_for == 1 and answers[0][0] == 429)


def test_a_flight_without_a_track_is_passed_over(typed: Typed, api: Api) -> None:
    api.flights = [flight(0), flight(1)]
    api.untracked = {"00000000"}
    status, out, _ = fetch(typed)
    assert status == 0
    assert "2024-03-01: the flight 00000000 of 15521f has no track" in out
    fetch(typed)
    assert len(api.tracks()) == 2


def test_a_flight_that_is_still_in_the_air_is_met_again(typed: Typed, api: Api) -> None:
    api.flights = [flight(11, flight_ended=False)]
    _, out, _ = fetch(typed)
    assert "refused: 1 not_ended" in out
    assert api.tracks() == []
    api.flights = [flight(11, last_seen="2024-03-02T02:00:00Z")]
    _, out, _ = fetch(typed, "2024-03-02", "2024-03-02")
    assert "1 flight stored" in out
    assert len(api.tracks()) == 1


def test_what_is_no_reply_is_left_and_what_is_no_track_counted(typed: Typed, api: Api) -> None:
    api.failures["summary"] = [(200, {})]  # an object without `data`
    status, out, _ = fetch(typed)
    assert status == 1
    assert "left for the next run: 1 no_flights" in out
    api.points = "nonsense"  # type: ignore[assignment]  # hostile
    status, out, _ = fetch(typed)
    assert status == 0
    assert "refused: 1 bad_entry" in out


@pytest.mark.parametrize("where", ["import_files", "_note"])
def test_what_was_paid_for_is_not_paid_for_again(
    where: str, typed: Typed, api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Stopped in any way after the summary came, before or after its import."""
    with monkeypatch.context() as patched:
        target = histories if where == "import_files" else histories._Run
        patched.setattr(target, where, raising(MemoryError))
        with pytest.raises(MemoryError):
            fetch(typed)
    assert fetch(typed)[0] == 0
    assert [kind for kind, _ in api.asked] == ["summary", "tracks"]
    assert covered(tmp_path, FEED) == {("15521f", "2024-03-01")}


def test_when_its_time_is_over_the_days_are_unknown_again(typed: Typed, api: Api, tmp_path: Path) -> None:
    """A list that had to go would else count as days without a flight; so would days on which it had none, against it."""
    fetch(typed, "2024-03-05", "2024-03-05")
    fetch(typed, "2024-03-01", "2024-03-02")
    assert len(covered(tmp_path, FEED)) == 3
    lying = tmp_path / "s" / "fetched" / FEED / "flights-x" / "flights-x-1.json"
    lying.parent.mkdir(parents=True)
    lying.write_bytes(b"{}")
    with Store(tmp_path / "s") as store:
        store.keep_terms(datetime.now(UTC) + timedelta(days=29))
        assert lying.exists()
        assert len(store.fetched(FEED)) == 2
        assert store.keep_terms(datetime.now(UTC) + timedelta(days=31)) == 2, "files of positions and lists, no more"
        assert (store.fetched(FEED), store.covered(), lying.exists()) == ([], [], False)


def test_the_watchlists_are_asked_for_without_aircraft(typed: Typed, api: Api, tmp_path: Path) -> None:
    typed("fetch-history", "flightradar24", "--from", "2024-03-01", "--to", "2024-03-01")
    assert "G-CIVO" in api.names()
