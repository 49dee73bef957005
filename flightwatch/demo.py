"""The reference case from end to end, with nothing made up but the sky.

RA-86559, an Il-62M of the Russian Air Force, flew from Moscow to Pyongyang on 31 July 2023, stayed for about 36 hours
and went back, and again on 25 September, for two days. Nobody outside saw it land: receivers end at the border, and
there are none across inland Siberia. Tail, days, stays and directions are from press reports; the tracks between are
reconstructed, everything else in this sky is made up, and every output says so.

The summer comes in by import, September is polled from a server on loopback that answers in the v2 format; Slack and
the mail server are on loopback, too. The program is the real one, on a clock that runs as fast as it is asked.
"""

from __future__ import annotations

import csv
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from email import policy
from email.parser import BytesParser
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from flightwatch import backfill, live, maps
from flightwatch.aircraft import Registry, address_of, read_watchlist
from flightwatch.alerts import AlertBook
from flightwatch.alerts.links import INDEX
from flightwatch.config import Settings, files_in, read_settings
from flightwatch.deliveries.email import with_pictures_inside
from flightwatch.feeds.questions import queries
from flightwatch.imports import import_file
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports, airports
from flightwatch.rules import read_rules
from flightwatch.store import Store, files
from flightwatch.testing import slack_page
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.feed import FeedServer
from flightwatch.testing.mail import MailServer
from flightwatch.testing.slack import Post, SlackServer
from flightwatch.testing.world import Flight, Sky, World, path
from flightwatch.testing.world.cases import ALONG_THE_BORDER

SEED = 20230925
POLL_S = 240
BEGIN, END = datetime(2023, 9, 25, 12, 0, tzinfo=UTC), datetime(2023, 9, 28, 9, 30, tzinfo=UTC)
HISTORY_BEGINS = date(2020, 3, 15)
HISTORY_DAYS = 1290
CHECKPOINT_EVERY = timedelta(hours=6)
"""Of this clock, which runs some thousand times too fast."""

CHANNEL = "C0DEMO"
SLACK_PAGE = "slack.html"
REPORTS = "reports"
HISTORY, SUMMER = "made-up-history.csv", "reconstructed-summer-2023.parquet"

AROUND_A_VISIT = timedelta(days=4)
"""No made-up flight of the tail itself stands closer to its visits than this."""

IL62 = Flight("15521f", "RA-86559", "IL62", "", "UUMU", "ZKPY", BEGIN, military=True)
SUMMER_LANDING = datetime(2023, 7, 31, 21, 40, tzinfo=UTC)
SUMMER_LEAVING = datetime(2023, 8, 2, 9, 40, tzinfo=UTC)
AUTUMN_LANDING = datetime(2023, 9, 25, 22, 20, tzinfo=UTC)
AUTUMN_LEAVING = datetime(2023, 9, 27, 23, 20, tzinfo=UTC)
FLEETS: tuple[tuple[str, str, int, tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = (
    # operator, registration and first address, how many, types, homes with the places flown to; addresses are such that no
    # arithmetic of a register gives them another registration
    (
        "Demo Air Russia",
        "RA-98000",
        32,
        ("SU95", "A320", "B738"),
        (("UUEE", "ULLI", "URSS", "USSS", "UNNT"), ("UUDD", "UWKD", "UNKL", "UIII"), ("UNNT", "UHHH", "UEEE", "UUEE")),
    ),
    ("Demo Far East", "RA-98200", 12, ("SU95", "AN26"), (("UHWW", "UHHH", "UHSS", "UHPP"), ("UHHH", "UHWW", "UHBB"))),
    (
        "Demo China",
        "B-9000/780f00",
        32,
        ("A320", "B738", "A333"),
        (("ZBAA", "ZSPD", "ZYTX", "ZYCC"), ("ZSPD", "ZGGG", "ZBAA", "RKSI"), ("ZYYJ", "ZBAA", "RKSI")),
    ),
    ("Demo Korea", "HL9000/718f00", 20, ("A321", "B738", "B772"), (("RKSI", "RJTT", "ZBAA", "RJCC"), ("RKSS", "RKPC", "RKPK"))),
    ("Demo Japan", "JA9000/87ff00", 20, ("A320", "B788"), (("RJTT", "RJCC", "RJFF", "ROAH"), ("RJBB", "RKSI", "ZSPD"))),
    (
        "Demo Europe",
        "PH-D00/480f00",
        24,
        ("A320", "E190", "AT76"),
        (("EDDF", "EGLL", "LFPG", "LEMD"), ("EDDM", "LIRF", "EKCH", "EPWA"), ("LFPG", "LEBL", "EHAM")),
    ),
)
STATE_TAILS = 14
STATE_ROUTES = ("UHHH", "ULLI", "UNNT", "USSS", "UHWW", "URSS")


@dataclass(frozen=True, slots=True)
class Tail:
    """One made-up aircraft and where it flies."""

    icao24: str
    registration: str
    typecode: str
    operator: str
    home: str
    places: tuple[str, ...]
    military: bool = False


@dataclass(frozen=True)
class Result:
    """What the demo made, for those who want to look closer than its output."""

    folder: Path
    thread: list[Post]
    posts: list[Post]
    seconds: float


def run(folder: Path, console: Console) -> Result:
    """Runs the demo and leaves its results in a folder."""
    started = time.monotonic()
    logging.basicConfig(level=logging.ERROR, force=True)
    clear(folder)
    table = airports()
    tails = made_up_tails()
    _say(console, "Reconstructing the tracks of RA-86559 from press reports, and making up the sky around them ...")
    _write_history(folder / HISTORY, tails)
    summer = World((*_summer(table), *_ordinary(tails, datetime(2023, 7, 31, tzinfo=UTC), 3, table, share=0.2)), table, seed=SEED)
    files.write_parquet(folder / SUMMER, summer.positions(60.0))
    autumn = World((*_autumn(table), *_ordinary(tails, BEGIN, 3, table, share=0.3)), table, seed=SEED + 1)
    clock = FakeClock(BEGIN)
    sky = Sky(autumn, 60.0, shown_s=POLL_S)
    with (
        FeedServer(lambda _: sky.entries(clock.now().timestamp()), lambda: clock.now().timestamp()) as feed,
        SlackServer(lambda: clock.now().timestamp()) as slack,
        MailServer() as mail,
        _secret("FLIGHTWATCH_DEMO_SLACK_TOKEN", "not-a-real-token"),
    ):
        (folder / "flightwatch.yaml").write_text(_configuration(feed.url, slack.api, mail.port), encoding="utf-8")
        settings = read_settings(folder / "flightwatch.yaml")
        with Store(folder / "store") as store:
            _import(store, folder, settings, console)
            _live(store, settings, clock, console, folder / REPORTS)
        thread = slack.thread(slack.posts[0].ts) if slack.posts else []
        (folder / SLACK_PAGE).write_text(slack_page.page(CHANNEL.lower(), slack.posts), encoding="utf-8")
        _leave(folder, mail, store.root)
        _show(console, thread, slack, folder, time.monotonic() - started)
        return Result(folder, thread, slack.posts, time.monotonic() - started)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)


def clear(folder: Path) -> None:
    """Removes what an earlier run left, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for made in ("store", REPORTS):
        shutil.rmtree(folder / made, ignore_errors=True)
    for pattern in ("digest-*.eml", "digest-*.html", "map.png", SLACK_PAGE, HISTORY, SUMMER, "flightwatch.yaml"):
        for old in folder.glob(pattern):
            old.unlink()


@contextmanager
def _secret(variable: str, value: str) -> Iterator[None]:
    os.environ[variable] = value
    try:
        yield
    finally:
        del os.environ[variable]


# ---------------------------------------------------------------------------------------------------------------------- the sky


def _summer(table: Airports) -> tuple[Flight, ...]:
    return _visit(SUMMER_LANDING, SUMMER_LEAVING, "", table)


def _autumn(table: Airports) -> tuple[Flight, ...]:
    return _visit(AUTUMN_LANDING, AUTUMN_LEAVING, "RFF7237", table)


def _visit(landing: datetime, leaving: datetime, callsign: str, table: Airports) -> tuple[Flight, ...]:
    """There and back, landing and leaving when the press says."""
    there = replace(IL62, callsign=callsign, over=ALONG_THE_BORDER)
    aloft = timedelta(seconds=float(path(there, table).seconds[-1]) - 600)
    back = replace(there, origin="ZKPY", destination="UUMU", takeoff=leaving, over=tuple(reversed(ALONG_THE_BORDER)))
    return (replace(there, takeoff=landing - aloft), back)


def made_up_tails() -> list[Tail]:
    """More than a hundred aircraft that do not exist, and a dozen of the Air Force's that do not either."""
    rng = np.random.default_rng(SEED)
    tails = [
        Tail(*_names(names, i), str(rng.choice(types)), operator, homes[i % len(homes)][0], homes[i % len(homes)][1:])
        for operator, names, count, types, homes in FLEETS
        for i in range(count)
    ]
    for i in range(STATE_TAILS):
        registration = f"RA-{98900 + i}"
        tails.append(
            Tail(
                address_of(registration) or "",
                registration,
                str(rng.choice(["IL62", "T154", "A148"])),
                "Russian Air Force",
                "UUMU",
                STATE_ROUTES,
                True,
            )
        )
    return tails


def _names(names: str, i: int) -> tuple[str, str]:
    """Address and registration of the i-th aircraft of a fleet."""
    registration, _, first = names.partition("/")
    if not first:
        number = f"RA-{int(registration[3:]) + i}"
        return address_of(number) or "", number
    return f"{int(first, 16) + i:06x}", f"{registration[:-2]}{i:02d}"


def _ordinary(tails: list[Tail], begin: datetime, days: int, table: Airports, share: float) -> tuple[Flight, ...]:
    """Each aircraft goes out and back on some of the days."""
    rng = np.random.default_rng(SEED + begin.toordinal())
    flights: list[Flight] = []
    for tail in tails:
        for day in range(days):
            if rng.random() > (0.25 if tail.military else 0.75) * share:
                continue
            leaves = begin + timedelta(days=day, hours=float(rng.uniform(0, 12)))
            away = str(rng.choice(tail.places))
            out = Flight(
                tail.icao24,
                tail.registration,
                tail.typecode,
                _callsign(tail, rng),
                tail.home,
                away,
                leaves,
                military=tail.military,
            )
            home = (
                leaves
                + timedelta(seconds=float(path(out, table, 60.0).seconds[-1]))
                + timedelta(minutes=float(rng.uniform(50, 120)))
            )
            flights += [out, replace(out, origin=away, destination=tail.home, takeoff=home)]
    return tuple(flights)


def _callsign(tail: Tail, rng: np.random.Generator) -> str:
    return f"{'RFF' if tail.military else 'DMO'}{rng.integers(100, 9999)}"


def _write_history(file: Path, tails: list[Tail]) -> None:
    """The ordinary routes of all of them over three and a half years, as a flight list, and those of RA-86559 but for
    its visits."""
    rng = np.random.default_rng(SEED + 1)
    own = Tail(IL62.icao24, IL62.registration, "IL62", "Russian Air Force", "UUMU", STATE_ROUTES, military=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["date", "icao24", "registration", "typecode", "operator", "origin", "destination", "note"])
        for tail in [own, *tails]:
            trips = 45 if tail.military else 25
            days = {0, HISTORY_DAYS - 1, *rng.integers(1, HISTORY_DAYS - 1, trips).tolist()}
            for day in sorted(days):
                when = HISTORY_BEGINS + timedelta(days=int(day))
                if tail is own and any(abs(when - time.date()) < AROUND_A_VISIT for time in (SUMMER_LANDING, AUTUMN_LANDING)):
                    continue
                away = str(rng.choice(tail.places))
                for ends in ((tail.home, away), (away, tail.home)):
                    named = [tail.icao24, tail.registration, tail.typecode, tail.operator]
                    writer.writerow([when.isoformat(), *named, *ends, "made up"])


# ------------------------------------------------------------------------------------------------------------------- the program


def _configuration(feed_url: str, slack_api: str, mail_port: int) -> str:
    return f"""# The demo's configuration: an ordinary one, but that every server is on this machine and the sky is reconstructed.
store: store
retention_days: 3650
feeds:
  - name: demo-sky
    base_url: {feed_url}
    ask: [all]
    every_s: {POLL_S}
    attribution: reconstructed from press reports, and made up around them
    reconstructed: true
channels:
  - {{name: slack-desk, kind: slack, channel: {CHANNEL}, base_url: "{slack_api}", token_env: FLIGHTWATCH_DEMO_SLACK_TOKEN}}
digest:
  to: [desk@example.org]
  from: flightwatch@example.org
  at: "10:00"
  timezone: Europe/London
  host: 127.0.0.1
  port: {mail_port}
rules: [shipped]
watchlists: [shipped]
history: [shipped]
"""


def _import(store: Store, folder: Path, settings: Settings, console: Console) -> None:
    done = [
        import_file(store, p, format="legs", scope="reported", feed="reported")
        for p in files_in(settings.history, "history", folder)
    ]
    done.append(import_file(store, folder / HISTORY, scope="aircraft", reconstructed=True))
    done.append(import_file(store, folder / SUMMER, reconstructed=True))
    for feed in settings.feeds:
        store.set_terms(feed.name, feed.terms)
    for one in done:
        _say(console, f"  import {one.name}: {one.rows:,} {'legs' if one.format == 'legs' else 'positions'}")


def _live(store: Store, settings: Settings, clock: FakeClock, console: Console, reports: Path) -> None:
    registry = Registry([read_watchlist(p) for p in files_in(settings.watchlists, "watchlists", Path())])
    outlets = live.outlets(settings, store.root, clock.now)
    names = [*outlets.channels, "digest"]
    found = read_rules(files_in(settings.rules, "rules", Path()), registry, airports(), list(outlets.channels))
    rules = [rule.model_copy(update={"notify": names}) for rule in found.rules]
    pipeline = Pipeline(airports(), registry, rules, backfill.exposures(store), store.fleeting, settings.feed_names)
    asked = [q for f in settings.feeds for q in queries(f, registry.addresses(), None, clock.now)]
    runner = live.Runner(
        store, pipeline, asked, outlets, clock, retention_days=settings.retention_days, checkpoint_every=CHECKPOINT_EVERY
    )
    worker, pages = runner.deliver(), runner.pages(reports)
    columns = (
        TextColumn("  polling {task.fields[now]}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} polls"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("", total=int((END - BEGIN).total_seconds() // POLL_S), now="")
            while clock.now() < END and runner.poll_next():
                runner.look_after()
                worker.run_once(clock.now())
                pages.keep_up()
                progress.update(task, advance=1, now=f"{clock.now():%-d %b %H:%M} UTC")
        _say(console, f"  {runner.heartbeat()}")
    finally:
        runner.close()


# ------------------------------------------------------------------------------------------------------------------------ results


def _leave(folder: Path, mail: MailServer, root: Path) -> None:
    """The digests as files, and the map of the last alert."""
    for _, message in mail.received:
        day = BytesParser(policy=policy.SMTP).parsebytes(message)["Message-ID"].split("-", 1)[1][:10]
        files.write_bytes(folder / f"digest-{day}.eml", message)
        files.write_bytes(folder / f"digest-{day}.html", with_pictures_inside(message).encode())
    book = AlertBook(root / "alerts.sqlite")
    try:
        for alert in book.alerts()[-1:]:
            if alert.message.map is not None:
                files.write_bytes(folder / "map.png", maps.draw(alert.message.map))
    finally:
        book.close()


def _show(console: Console, thread: list[Post], slack: SlackServer, folder: Path, seconds: float) -> None:
    console.print()
    if not thread:
        _say(console, "No alert was raised: that is a fault, please report it.")
        return
    parent, *replies = thread
    edited = f", edited {parent.edits} times since" if parent.edits else ""
    title = f"#{CHANNEL.lower()} as Slack shows it: one message{edited}, {len(replies)} replies in its thread"
    body = Text()
    body.append(f"flightwatch  {_clock(parent.ts)}\n", style="bold")
    body.append(f"(first posted as: {_unmarked(parent.first_text)})\n", style="dim")
    for block in parent.blocks:
        texts = [block["text"]["text"]] if "text" in block else [e["text"] for e in block.get("elements", [])]
        for text in texts:
            body.append(_unmarked(text) + "\n", style="dim" if "elements" in block else "")
    for reply in replies:
        body.append(f"\n  ↳ flightwatch  {_clock(reply.ts)}\n", style="bold")
        body.append(f"    {_unmarked(reply.text)}\n")
    console.print(Panel(body, title=Text(title), title_align="left", width=min(console.width, 120)))
    others = len([p for p in slack.posts if p not in thread])
    _say(console, f"{len(slack.posts)} posts in all, {others} outside this thread; {len(parent.files)} maps attached to it.")
    digests = sorted(p.name for p in folder.glob("digest-*.html"))
    _say(console, f"Done in {seconds:.0f} s. Everything here is a reconstruction. In {folder}/:")
    _say(
        console,
        f"  {digests[-1] if digests else 'no digest'}, the digest e-mail as a page: open it in a browser;"
        f" the .eml beside it in a mail program ({len(digests)} days)",
    )
    _say(console, f"  {SLACK_PAGE}, the channel as a page")
    told = sorted(p.name for p in (folder / REPORTS).glob("*.html") if p.name != INDEX)
    _say(
        console,
        f"  {REPORTS}/{INDEX}, all alerts, and {REPORTS}/{told[-1] if told else 'no page'}, what the alert rests on:"
        " open them in a browser, without a network",
    )
    _say(console, "  map.png, the flight as a picture: open it in any viewer")
    _say(console, f"  {HISTORY} and {SUMMER}, what was imported: made up, as their names say")
    _say(
        console,
        f"  store/, all positions and legs: `{_program()} legs --store {folder}/store --aircraft RA-86559`,"
        " or open notebooks/flagged_flights.ipynb (`make notebook`)",
    )


def _program() -> str:
    """How flightwatch is called here."""
    return "flightwatch" if shutil.which("flightwatch") else sys.argv[0]


def _clock(ts: str) -> str:
    return f"{datetime.fromtimestamp(int(ts.split('.')[0]), UTC):%-d %b %Y %H:%M} UTC"


def _unmarked(text: str) -> str:
    """Slack's markup as a terminal can show it."""
    for mark, plain in (
        (":red_circle:", "●"),
        (":large_orange_circle:", "●"),
        (":large_blue_circle:", "●"),
        ("*", ""),
        ("_", ""),
    ):
        text = text.replace(mark, plain)
    parts = text.split("<")
    shown = [parts[0]]
    for part in parts[1:]:
        link, _, rest = part.partition(">")
        shown.append(link.split("|")[-1] + rest)
    return "".join(shown).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
