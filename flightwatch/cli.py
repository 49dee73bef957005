"""The command line. Each command is a few lines around what the stages do; everything that can be wrong comes out as
one line and a status that is not zero.

Status: 0 done, 1 an error, 2 wrong arguments, 3 the store is held by another process.
"""

from __future__ import annotations

import getpass
import logging
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from flightwatch.errors import ConfigError, FlightwatchError, InputError, Problem, StoreBusy, StoreError

if TYPE_CHECKING:  # at run time each command imports what it needs: all of it takes a second
    from flightwatch.aircraft import Registry
    from flightwatch.alerts import AlertBook
    from flightwatch.config import Settings
    from flightwatch.doctor import Check
    from flightwatch.feeds.poller import Query
    from flightwatch.imports import How
    from flightwatch.live import Clock, Runner
    from flightwatch.pipeline import Pipeline
    from flightwatch.rules import Rule
    from flightwatch.store import Import, Store
    from flightwatch.userfiles import UserFiles

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Rebuilds flights from ADS-B feeds and tells people of the rare ones.",
)
rules_app = typer.Typer(no_args_is_help=True, help="Rules: test them, see what they would have found, help editors.")
app.add_typer(rules_app, name="rules")
reference_app = typer.Typer(no_args_is_help=True, help="Databases of others: who has which address.")
app.add_typer(reference_app, name="reference")
alerts_app = typer.Typer(no_args_is_help=True, help="Alerts: what was told, and what could not be delivered.")
app.add_typer(alerts_app, name="alerts")
watchlist_app = typer.Typer(no_args_is_help=True, help="Watchlists: make one from a database of others.")
app.add_typer(watchlist_app, name="watchlist")

errors = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigPath = Annotated[Path, typer.Option("--config", help="The configuration.", show_default=True)]
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
SinceOption = Annotated[datetime | None, typer.Option("--since", help="UTC.", formats=TIMES)]
UntilOption = Annotated[datetime | None, typer.Option("--until", help="UTC.", formats=TIMES)]
StorePath = Annotated[
    Path | None, typer.Option("--store", help="The store; without it the one of the configuration, else data/.")
]

DEFAULT_FILE = Path("flightwatch.yaml")
"""As `config` has it: importing that would take longer than `--help` may."""

BUSY = 3

BETWEEN_DOWNLOADS_S = 2.0
"""Two of them may come from one server."""

IMPORT_FORMATS = (
    "positions",
    "dictator-alert",
    "legs",
    "readsb-snapshot",
    "readsb-trace",
    "readsb-lines",
    "opensky-states",
    "opensky-flights",
    "opensky-track",
    "fr24-positions",
    "fr24-tracks",
    "fr24-summary",
    "fr24-playback",
    "fr24-csv",
    "fr24-kml",
    "sbs",
    "globe-history",
)
LEG_FORMATS = ("dictator-alert", "legs", "opensky-flights", "fr24-summary")
"""As `feeds.files` has them (a test holds them together): importing that would take longer than `--help` may."""


HISTORIES = (
    "adsb.lol",
    "opensky",
    "flightradar24",
    "globe-history",
    "adsb-fi",
    "adsbexchange",
    "airplanes-live",
    "theairtraffic",
)
"""As `histories` has them, for the same reason; the first has everybody in one archive."""


def main() -> None:
    """Runs a command; errors that are ours come out as their text alone."""
    try:
        command()()
    except StoreBusy as error:
        _fail(error, BUSY)
    except FlightwatchError as error:
        _fail(error, 1)
    except sqlite3.OperationalError as error:
        _fail(StoreError(f"the store or the outbox cannot be written ({error}): make room, then start again"), 1)
    except BrokenPipeError:  # whoever read our output has seen enough
        with suppress(OSError):
            sys.stdout.close()
        sys.exit(1)


@cache
def command() -> Callable[[], object]:
    """All commands as one, put together from their signatures once: that takes as long as many a command itself."""
    return typer.main.get_command(app)


def _fail(error: Exception, status: int) -> None:
    for line in str(error).splitlines():
        errors.print(f"flightwatch: {line}", markup=False)
    sys.exit(status)


# --------------------------------------------------------------------------------------------------------------- configuration


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path()) -> None:
    """Write a commented configuration, and folders for rules and lists of your own."""
    from flightwatch.config import shipped

    target = folder / DEFAULT_FILE
    if target.exists():
        raise ConfigError([Problem(str(target), 1, "is there already: it is not overwritten")])
    for name in ("rules", "watchlists"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    target.write_text((shipped() / "flightwatch.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    print(f"Wrote {target}. Next: `flightwatch check`, then `flightwatch run`.")


@app.command()
def check(config: ConfigPath = DEFAULT_FILE) -> None:
    """Check the configuration, the rules and the watchlists; tell every problem with its line."""
    from flightwatch.deliveries.opening import in_words, obstacles, unset
    from flightwatch.feeds.questions import requests_a_round
    from flightwatch.rules.definitions import asks_what_it_is
    from flightwatch.userfiles import read_all

    found = read_all(config)
    settings, lists = found.settings, found.registry.watchlists
    for feed in settings.feeds:
        count = requests_a_round(feed, found.registry.addresses())
        if count * feed.spacing_s > feed.every_s:
            takes = f"{count} requests a round take {count * feed.spacing_s:.0f} s"
            print(f"feed {feed.name}: {takes}, so it is not asked every {feed.every_s:g} s")
    print(f"{config}: {len(settings.feeds)} feeds, {len(settings.channels)} channels, {'a' if settings.digest else 'no'} digest")
    for channel in settings.channels:
        found_wanting = "; ".join(obstacles(channel, config.parent))
        print(f"channel {channel.name}: {in_words(channel)}" + (f"; {found_wanting}" if found_wanting else ""))
    if (mail := settings.digest) is not None:
        way = f"digest: at {mail.at} ({mail.timezone}) to {', '.join(mail.to)}, by {mail.host}:{mail.port}"
        print("; ".join([way, *unset([mail.user_env, mail.password_env])]))
    open_ = sum(e.icao24 is None for w in lists for e in w.entries)
    others = f" and {open_} entries by registration, operator, callsign or type" if open_ else ""
    print(f"rules: {len(found.rules.rules)}; watchlists: {len(lists)} with {len(found.registry.addresses())} addresses{others}")
    if found.registry.databases:
        print(f"reference databases: {', '.join(f'{d.name} of {d.about.dated}' for d in found.registry.databases)}")
    elif asking := [rule.id for rule in found.rules.rules if asks_what_it_is(rule.when)]:
        print(
            f"no reference database: of the aircraft that are on no list, {', '.join(asking)} can find those of the American"
            " forces alone; `flightwatch reference update tar1090-db` tells who else is military"
        )
    print("No problem found.")


@app.command()
def watch(
    aircraft: Annotated[str, typer.Argument(help="A registration (RA-86559) or an address (15521f).")],
    to: Annotated[
        str | None, typer.Option("--to", help="Only where it goes there: a country (KP) or an airport (ZKPY, FNJ).")
    ] = None,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Follow an aircraft: writes the list entry and the rule."""
    from flightwatch.places import airports
    from flightwatch.userfiles import read_all, read_lists, settings_of
    from flightwatch.watching import add

    settings = settings_of(config)
    told = add(aircraft, to, settings, config.parent, airports(), read_lists(settings, config.parent))
    for line in told:
        print(line)
    read_all(config)
    if not any(line.startswith("Add ") for line in told):
        print("Checked. A running flightwatch takes it in when it is started again.")


@app.command()
def whois(
    aircraft: Annotated[str, typer.Argument(help="A registration (RA-86559) or an address (15521f).")],
    on: Annotated[
        datetime | None, typer.Option("--on", help="The day that is asked about; today without it.", formats=["%Y-%m-%d"])
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As data, for programs.")] = False,
    config: ConfigPath = DEFAULT_FILE,
    store: StorePath = None,
) -> None:
    """Tell all that is known of an address or a registration, and from where."""
    from json import dumps

    from flightwatch.store import Store
    from flightwatch.userfiles import read_lists, settings_of
    from flightwatch.whois import data, lines, look_up

    settings = settings_of(config)
    registry = read_lists(settings, config.parent)
    day = (on or datetime.now(UTC)).date()
    root = _root(store, settings, config)
    opened = Store(root, read_only=True) if store is not None or (root / "catalog.sqlite").exists() else None
    try:
        answers = look_up(aircraft, day, registry, opened)
    finally:
        if opened is not None:
            opened.close()
    print(dumps(data(answers, aircraft, day), ensure_ascii=False, indent=2) if json else "\n".join(lines(answers, aircraft, day)))


@rules_app.command("test")
def rules_test(
    paths: Annotated[list[Path], typer.Argument(help="Rule files or folders of them.")], config: ConfigPath = DEFAULT_FILE
) -> None:
    """Run the tests that stand in rule files."""
    from flightwatch.config import files_in
    from flightwatch.places import airports
    from flightwatch.rules import read_rules, run_tests
    from flightwatch.userfiles import read_lists, settings_of

    settings, base = settings_of(config), config.parent
    files = [f for path in paths for f in files_in([str(path.resolve())], "rules", base)]
    beside = [f.resolve() for f in files_in(settings.rules, "rules", base)]
    rules = read_rules(files, registry := read_lists(settings, base, files), airports(), None, beside)
    outcomes = run_tests(rules.rules, registry, airports())
    for outcome in outcomes:
        told = f"{outcome.rule_id}: {outcome.name}"
        failure = rules.problem(outcome.rule_id, ("tests", outcome.number), f"{told}: {outcome.detail}")
        print(f"ok   {told}" if outcome.passed else f"FAIL {failure}")
    failed = sum(not o.passed for o in outcomes)
    untested = [f"{rule.id} has no test" for rule in rules.rules if not rule.tests]
    print("; ".join([f"{len(outcomes)} tests, {failed} failed", *untested]))
    raise typer.Exit(1 if failed else 0)


@rules_app.command("schema")
def rules_schema(
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write it to this file instead of showing it.")] = None,
) -> None:
    """Show or write the JSON Schema of rule files, with which editors check and complete them."""
    from json import dumps

    from flightwatch.rules import schema

    text = dumps(schema(), indent=2, ensure_ascii=False)
    if output is None:
        print(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")
        print(f"Wrote {output}.")


@rules_app.command("calibrate")
def rules_calibrate(
    paths: Annotated[list[Path], typer.Argument(help="Rule files or folders of them, with rules that have a budget.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The curves as a picture: curves.png.")] = None,
    store: StorePath = None,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Show what the alert budgets of rules mean: alerts a week for each limit, by what the store has."""
    from flightwatch.calibration import calibrated, in_words, picture, table
    from flightwatch.store.files import write_bytes
    from flightwatch.userfiles import settings_of

    settings = settings_of(config)
    pipeline = _judging(paths, settings, config)
    with _brought_up(store, settings, config, pipeline.registry) as opened:
        judging = _with_exposures(pipeline, opened)
        curves = [curve for rule in pipeline.rules if (curve := calibrated(opened, judging, rule)) is not None]
    if not curves:
        raise InputError("no rule there has a budget: write `rarity: {of: tail, budget: 2 per week}`")
    for curve in curves:
        print("\n".join([in_words(curve), *table(curve)]))
    if output is not None:
        write_bytes(output, picture(curves))
        print(f"Wrote {output}.")


@rules_app.command("backtest")
def rules_backtest(
    paths: Annotated[list[Path] | None, typer.Argument(help="Rule files or folders of them.")] = None,
    diff: Annotated[
        tuple[Path, Path] | None, typer.Option("--diff", help="Two versions of rules, old and new, to compare instead.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="All findings: findings.parquet.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="The report as one page: report.html.")] = None,
    tell: Annotated[str | None, typer.Option("--tell", help="A channel that gets the report, as one message.")] = None,
    store: StorePath = None,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Tell what rules would have found in the legs of a store: when, of whom, how many a week, and why."""
    from flightwatch import reports
    from flightwatch.alerts import AlertBook
    from flightwatch.backtesting import backtest
    from flightwatch.desk import Desk
    from flightwatch.places import airports
    from flightwatch.records import message_to_bytes
    from flightwatch.store.files import write_bytes
    from flightwatch.userfiles import settings_of

    if (not paths) == (diff is None):
        raise typer.BadParameter("give rule files, or --diff OLD NEW", param_hint="PATHS")
    settings = settings_of(config)
    if tell is not None and tell not in {channel.name for channel in settings.channels}:
        raise InputError(f"{tell} is no channel of {config}: it has {', '.join(c.name for c in settings.channels) or 'none'}")
    versions = [[*(paths or ())]] if diff is None else [[path] for path in diff]
    pipelines = [_judging(version, settings, config) for version in versions]
    asked = [rule for pipeline in pipelines for rule in pipeline.rules]
    with _brought_up(store, settings, config, pipelines[-1].registry, asked) as opened:
        done = [backtest(opened, _with_exposures(pipeline, opened), _utc(since), _utc(until)) for pipeline in pipelines]
        desk = Desk(opened, airports(), pipelines[-1].registry)
        told = reports.report(done[-1], desk, done[0] if diff else None)
        written = reports.write(done[-1], output, desk) if output is not None else []
    print(reports.summary(told))
    for line in written:
        print(line)
    if html is not None:
        write_bytes(html, reports.page(told).encode())
        print(f"Wrote {html}.")
    if tell is not None:
        message = reports.message(told)
        with AlertBook(_root(store, settings, config) / "alerts.sqlite") as book:
            book.post(message.alert_id, message.number, [tell], message_to_bytes(message), datetime.now(UTC))
        print(f"A running flightwatch sends it to {tell}, once.")


def _judging(paths: list[Path], settings: Settings, config: Path) -> Pipeline:
    """A pipeline with some rules, and the lists beside them."""
    from flightwatch.config import files_in
    from flightwatch.pipeline import Pipeline
    from flightwatch.places import airports
    from flightwatch.rules import read_rules
    from flightwatch.userfiles import read_lists

    files = [f for path in paths for f in files_in([str(path.resolve())], "rules", config.parent)]
    registry = read_lists(settings, config.parent, files)
    return Pipeline(airports(), registry, read_rules(files, registry, airports(), None).rules)


def _with_exposures(pipeline: Pipeline, store: Store) -> Pipeline:
    from flightwatch import backfill

    return replace(pipeline, exposures=backfill.exposures(store), fleeting=store.fleeting)


# ----------------------------------------------------------------------------------------------------------- reference databases


@reference_app.command("list")
def reference_list(config: ConfigPath = DEFAULT_FILE) -> None:
    """Show the databases that are kept, with their terms, and those that could be."""
    from flightwatch.references import listed, table_of

    for line in table_of(listed(_reference_folder(config))):
        print(line)


@reference_app.command("add")
def reference_add(
    files: Annotated[list[Path], typer.Argument(help="Files as they were downloaded; ZIP archives and folders, too.")],
    source: Annotated[str, typer.Option("--source", help="Whose they are: tar1090-db, plane-alert-db, opensky, ...")],
    dated: Annotated[
        datetime | None, typer.Option("--date", help="Their day; that of the newest file without it.", formats=["%Y-%m-%d"])
    ] = None,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Keep a database that you downloaded."""
    from flightwatch.references import add, source_named

    done = add(files, source_named(source), _reference_folder(config), dated.date() if dated else None)
    print(f"{done.source}: {done.rows:,} {done.kind} of {done.dated}; {done.refused:,} lines refused. Licence: {done.licence}.")


@reference_app.command("update")
def reference_update(
    sources: Annotated[list[str] | None, typer.Argument(help="Which; without any, all that are kept.")] = None,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Download databases, where there is a newer version."""
    from flightwatch.aircraft.formats import SOURCES
    from flightwatch.errors import InputError
    from flightwatch.references import listed, source_named, update

    folder = _reference_folder(config)
    wanted = [source_named(name) for name in sources or [a.source for a in listed(folder) if SOURCES[a.source].url]]
    if not wanted:
        raise InputError(f"no database is kept yet: name one of {', '.join(n for n, s in SOURCES.items() if s.url)}")
    for number, source in enumerate(wanted):
        if number:
            threading.Event().wait(BETWEEN_DOWNLOADS_S)
        done = update(source, folder, datetime.now(UTC).date()).about
        print(f"{source.name}: {f'{done.rows:,} {done.kind}' if done else 'nothing newer'}. Licence: {source.licence}.")


@watchlist_app.command("import")
def watchlist_import(
    file: Annotated[Path, typer.Argument(help="A CSV file of plane-alert-db.")],
    name: Annotated[str, typer.Option("--name", help="What the list is called.")],
    replace: Annotated[bool, typer.Option("--replace", help="Write over a list of that name.")] = False,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Make a watchlist of a file of plane-alert-db, with its attribution."""
    from flightwatch.userfiles import settings_of
    from flightwatch.watching import import_list

    for line in import_list(file, name, settings_of(config), config.parent, replace=replace):
        print(line)


def _reference_folder(config: Path) -> Path:
    from flightwatch.userfiles import settings_of

    return config.parent / settings_of(config).reference


# ------------------------------------------------------------------------------------------------------------------------ live


@app.command()
def run(
    once: Annotated[bool, typer.Option("--once", help="Ask every feed once, deliver, and stop.")] = False,
    record: Annotated[Path | None, typer.Option("--record", help="A folder for the replies as they come.")] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", help="A recording: it is played instead of asking, and told on the terminal alone.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option("--speed", min=0.001, help="Of a replay: 60 plays an hour a minute; else as fast as it goes."),
    ] = None,
    config: ConfigPath = DEFAULT_FILE,
    store: StorePath = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Poll the feeds, rebuild legs, match rules, alert; until it is told to stop."""
    from flightwatch import live
    from flightwatch.userfiles import read_all

    _log(verbose)
    found = read_all(config)
    settings = found.settings
    if replay is not None:
        _replay(replay, found, config, store, speed)
        return
    clock = live.SystemClock()
    outlets = live.outlets(settings, config.parent, clock.now)
    with _open(store, settings, config) as opened:
        _import_shipped_history(opened, settings, config)
        for feed in settings.feeds:
            opened.set_terms(feed.name, feed.terms)
        pipeline = _pipeline(opened, found, list(outlets.channels))
        asked = _recorded(_queries(found, clock.now), record, settings)
        for line in live.describe(asked):
            logging.getLogger("flightwatch").info("%s", line)
        days, url = settings.retention_days, settings.reports.base_url
        runner = live.Runner(opened, pipeline, asked, outlets, clock, retention_days=days, pages_url=url)
        reports = _reports(opened.root, settings, config)
        try:
            failed = _once(runner) if once else _until_stopped(runner, clock, opened, config, reports)
            if once:  # else there is a thread that does
                runner.pages(reports).keep_up()
        finally:
            runner.close()
    raise typer.Exit(1 if failed else 0)


@app.command()
def doctor(config: ConfigPath = DEFAULT_FILE, store: StorePath = None) -> None:
    """Tell how it is: store, feeds, outbox, disk; status 0 if all is well."""
    from flightwatch.doctor import examine, is_well
    from flightwatch.userfiles import settings_of

    settings = settings_of(config)
    checks = [*examine(settings, config.parent, _root(store, settings, config), datetime.now(UTC)), _rules_check(config)]
    for found in checks:
        print(found)
    well = is_well(checks)
    print("All is well." if well else f"{sum(not c.good for c in checks)} of {len(checks)} checks are bad.")
    raise typer.Exit(0 if well else 1)


def _rules_check(config: Path) -> Check:
    """Whether the rules and lists on the disk are valid; a run goes on with the old ones if not."""
    from flightwatch.doctor import Check
    from flightwatch.userfiles import read_all

    try:
        found = read_all(config).rules.rules
    except ConfigError as error:
        return Check(False, f"rules and lists: {len(error.problems)} problems; `flightwatch check` shows them")
    today = datetime.now(UTC).date()
    over = [rule.id for rule in found if rule.expires is not None and rule.expires <= today]
    return Check(True, f"rules: {len(found)}" + (f"; expired: {', '.join(over)}" if over else ""))


# ---------------------------------------------------------------------------------------------------------------------- alerts

Numbers = Annotated[list[int], typer.Argument(help="Their numbers, as the list of them shows.")]
Because = Annotated[str, typer.Option("--because", help="Why; others read it.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides that; the user of this machine without it.")]


@app.command()
def digest(
    preview: Annotated[bool, typer.Option("--preview", help="Write it as a page and open that; nothing is sent.")] = False,
    day: Annotated[datetime | None, typer.Option("--day", help="That of another day.", formats=["%Y-%m-%d"])] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where the page goes (HTML).")] = None,
    config: ConfigPath = DEFAULT_FILE,
    store: StorePath = None,
) -> None:
    """Show what the daily digest would say; `flightwatch run` sends it."""
    import webbrowser

    from flightwatch.backfill import exposures
    from flightwatch.config import DigestSettings
    from flightwatch.desk import Desk
    from flightwatch.digests import preview as page_of
    from flightwatch.places import airports
    from flightwatch.rarity import Baseline
    from flightwatch.userfiles import read_lists, settings_of

    if not preview:
        raise InputError("`flightwatch run` sends the digest at its time: --preview shows what it would say")
    settings = settings_of(config)
    registry = read_lists(settings, config.parent)
    how = settings.digest or DigestSettings.model_validate({"to": ["nobody@localhost"], "from": "flightwatch@localhost"})
    with _book(store, config, read_only=True) as book, _brought_up(store, settings, config, registry) as opened:
        baseline = Baseline(airports(), opened.legs.table(), exposures(opened)())
        desk = Desk(opened, airports(), registry)
        name, page = page_of(desk, book, day.date() if day else None, datetime.now(UTC), how, baseline)
    path = output or Path(f"digest-{name}.html")
    path.write_text(page, encoding="utf-8")
    print(path)
    if not webbrowser.open(path.resolve().as_uri()):
        print("No browser could be opened: open the file in one.")


@alerts_app.command("list")
def alerts_list(config: ConfigPath = DEFAULT_FILE, store: StorePath = None) -> None:
    """Show the last alerts: how far each has got, what it says, and what became of its messages on each channel."""
    from flightwatch.alerts.listing import list_of

    with _book(store, config, read_only=True) as book:
        print("\n".join(list_of(book.alerts(), book.deliveries())))


@alerts_app.command("dead")
def alerts_dead(config: ConfigPath = DEFAULT_FILE, store: StorePath = None) -> None:
    """Show the messages that could not be delivered, why, and what was done with earlier ones."""
    from flightwatch.alerts.listing import dead_ones

    with _book(store, config, read_only=True) as book:
        print("\n".join(dead_ones(book.dead(), book.handled())))


@alerts_app.command("acknowledge")
def alerts_acknowledge(
    what: Annotated[list[str], typer.Argument(help="Alerts, or numbers of dead messages.")],
    by: By = None,
    why: Because = "",
    config: ConfigPath = DEFAULT_FILE,
    store: StorePath = None,
) -> None:
    """Say that you look after alerts (their threads say so), or that you know of dead messages, which are not sent."""
    now, who = datetime.now(UTC), by or _user()
    numbers = [int(one) for one in what if one.isdecimal()]
    with _book(store, config) as book:
        for dead in book.acknowledge(numbers, who, now) if numbers else []:
            print(f"{dead.number}: acknowledged; {dead.channel} does not get it ({dead.subject})")
        for alert in [one for one in what if not one.isdecimal()]:
            book.acknowledge_alert(alert, who, why, now)
            print(f"{alert}: {who} looks after it; a running flightwatch tells those who heard of it")


@alerts_app.command("silence")
def alerts_silence(
    rule: Annotated[str | None, typer.Option("--rule", help="The id of a rule.")] = None,
    aircraft: Annotated[str | None, typer.Option("--aircraft", help="An address or a registration.")] = None,
    near: Annotated[str | None, typer.Option("--near", help="An airport; what happens there or goes there.")] = None,
    within: Annotated[float, typer.Option("--within", min=0.1, help="Of that airport, in nm.")] = 25.0,
    country: Annotated[str | None, typer.Option("--country", help="Its ISO code, like KP.")] = None,
    alert: Annotated[str | None, typer.Option("--alert", help="The aircraft of this alert.")] = None,
    lasting: Annotated[str, typer.Option("--for", help="How long, like `12 h` or `3 days`.")] = "24 h",
    by: By = None,
    why: Because = "",
    config: ConfigPath = DEFAULT_FILE,
    store: StorePath = None,
) -> None:
    """Hear nothing of a rule, an aircraft or an area for a while; all that is given has to fit. The digest goes on."""
    from flightwatch.places import airports, country_names
    from flightwatch.rules.measures import span
    from flightwatch.userfiles import read_all

    found = read_all(config)
    if rule is not None and rule not in {r.id for r in found.rules.rules}:
        raise InputError(f"there is no rule {rule}: `flightwatch check` names them")
    address = found.registry.address(aircraft) if aircraft else None
    if aircraft and address is None:
        raise InputError(f"{aircraft} is not known by an address: give that, six hex digits")
    airport = airports().get(near.upper()) if near else None
    if near and airport is None:
        raise InputError(f"{near} is no airport that is known by its ICAO code")
    if country and country.upper() not in country_names():
        raise InputError(f"{country} is no ISO code of a country, like KP")
    now = datetime.now(UTC)
    try:
        until = now + span(lasting)
    except ValueError as error:
        raise InputError(str(error)) from None
    with _book(store, config) as book:
        address = book.named(alert).finding.aircraft.icao24 if alert else address
        silence = book.silence(
            now, until, by or _user(), why,
            rule=rule, aircraft=address, near=airport.ident if airport else None, within_nm=within,
            country=country.upper() if country else None,
        )  # fmt: skip
    print(f"{silence.number}: silent until {silence.until:%-d %b %Y %H:%M} UTC: {silence.words}")
    print("What was told of it before is still taken back if it proves wrong; the digest tells of it all.")


@alerts_app.command("silences")
def alerts_silences(config: ConfigPath = DEFAULT_FILE, store: StorePath = None) -> None:
    """Show what nobody wants to hear of, until when, by whom, and why."""
    from flightwatch.alerts.listing import silences_of

    with _book(store, config, read_only=True) as book:
        print("\n".join(silences_of(book.silences(), datetime.now(UTC))))


@alerts_app.command("unsilence")
def alerts_unsilence(numbers: Numbers, by: By = None, config: ConfigPath = DEFAULT_FILE, store: StorePath = None) -> None:
    """End silences early."""
    with _book(store, config) as book:
        for number in numbers:
            silence = book.end_silence(number, by or _user(), datetime.now(UTC))
            print(f"{silence.number}: over: {silence.words}")


@alerts_app.command("retry")
def alerts_retry(numbers: Numbers, by: By = None, config: ConfigPath = DEFAULT_FILE, store: StorePath = None) -> None:
    """Send dead messages again, once what was wrong with them has been mended."""
    with _book(store, config) as book:
        for dead in book.retry(numbers, by or _user(), datetime.now(UTC)):
            print(f"{dead.number}: a running flightwatch sends it to {dead.channel} ({dead.subject})")


@app.command()
def why(
    alert: Annotated[str, typer.Argument(help="An alert, as `flightwatch alerts list` names it.")],
    json: Annotated[bool, typer.Option("--json", help="As data, for programs.")] = False,
    config: ConfigPath = DEFAULT_FILE,
    store: StorePath = None,
) -> None:
    """Tell what an alert rests on: the conditions that held, how rare it was, legs, files, decisions."""
    from json import dumps

    from flightwatch.reasons import why, why_data, why_lines
    from flightwatch.store import Store
    from flightwatch.userfiles import settings_of

    root = _root(store, settings_of(config), config)
    with _book(store, config, read_only=True) as book, Store(root, read_only=True) as opened:
        found = why(opened, book, alert)
    print(dumps(why_data(found), ensure_ascii=False, indent=2, default=str) if json else "\n".join(why_lines(found)))


@app.command()
def report(
    alerts: Annotated[
        list[str] | None,
        typer.Argument(help="Alerts, as `flightwatch alerts list` names them; else all whose page is missing or old."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder; that of the configuration, else one beside the store.")
    ] = None,
    config: ConfigPath = DEFAULT_FILE,
    store: StorePath = None,
) -> None:
    """Write the evidence pages of alerts, each a file that needs no network, and the index over all."""
    from flightwatch.evidence import Folder
    from flightwatch.places import airports
    from flightwatch.userfiles import read_lists, settings_of

    settings = settings_of(config)
    root, registry = _root(store, settings, config), read_lists(settings, config.parent)
    with _book(store, config, read_only=True):  # which says so where nothing was ever told
        folder = Folder(output or _reports(root, settings, config), root, airports(), lambda: registry)
        written = folder.write(alerts or ())
    for path in written:
        print(f"Wrote {path}.")


@app.command("why-not")
def why_not(
    rule: Annotated[str, typer.Argument(help="The id of a rule.")],
    aircraft: Annotated[str, typer.Option("--aircraft", help="An address or a registration.")],
    since: SinceOption = None,
    until: UntilOption = None,
    json: Annotated[bool, typer.Option("--json", help="As data, for programs.")] = False,
    config: ConfigPath = DEFAULT_FILE,
    store: StorePath = None,
) -> None:
    """Tell why a rule did not speak up: for each leg of an aircraft what failed, was held back, or could not be seen."""
    from dataclasses import asdict
    from json import dumps

    from flightwatch.alerts import AlertBook
    from flightwatch.backfill import oldest
    from flightwatch.reasons import unobserved, unsearched_words, why_not, why_not_lines
    from flightwatch.rules import codes_of
    from flightwatch.userfiles import read_all

    found = read_all(config)
    asked = [r for r in found.rules.rules if r.id == rule]
    with _brought_up(store, found.settings, config, found.registry, asked) as opened:
        path = opened.root / "alerts.sqlite"
        with AlertBook(path, read_only=True) if path.exists() else nullcontext() as book:
            pipeline = _pipeline(opened, found, [])
            answers = why_not(opened, book, pipeline, rule, aircraft, _utc(since), _utc(until))
        known = found.registry.who(found.registry.address(aircraft) or "", None)
        begin = _utc(since)
        blind = list(unobserved(opened, known, begin, _utc(until) or datetime.now(UTC))) if begin else []
        blind += unsearched_words(opened.events.unsearched(codes_of(asked), begin or oldest(opened)))
    if json:
        print(dumps({"legs": [asdict(a) for a in answers], "unobserved": blind}, ensure_ascii=False, indent=2, default=str))
        return
    for line in [*why_not_lines(answers, rule, known), *(f"  Not observable: {told}" for told in blind)]:
        print(line)


@contextmanager
def _book(store: Path | None, config: Path, *, read_only: bool = False) -> Iterator[AlertBook]:
    """The alert book; a running flightwatch may have it open, too."""
    from flightwatch.alerts import AlertBook
    from flightwatch.userfiles import settings_of

    path = _root(store, settings_of(config), config) / "alerts.sqlite"
    if not path.exists():
        raise StoreError(f"there is no {path}: nothing was ever told; `flightwatch run` makes it")
    book = AlertBook(path, read_only=read_only)
    try:
        yield book
    finally:
        book.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        return f"user {os.getuid()}"


def _recorded(asked: list[Query], folder: Path | None, settings: Settings) -> list[Query]:
    """The queries, with what they bring kept in a folder if there is one."""
    if folder is None:
        return asked
    from flightwatch.feeds.recordings import Recorder

    recorder = Recorder(folder, {feed.name: feed.terms for feed in settings.feeds})
    return [recorder.recorded(query) for query in asked]


def _replay(folder: Path, found: UserFiles, config: Path, store: Path | None, speed: float | None) -> None:
    """Plays a recording into a store of its own. What it finds is told on the terminal: nobody else waits for it."""
    from flightwatch import live, replaying
    from flightwatch.deliveries.console import Console as Terminal
    from flightwatch.feeds.recordings import expire, open_recording, terms_in

    if expired := expire(folder, datetime.now(UTC)):
        errors.print(f"flightwatch: {folder}: {expired} replies were removed, as their feeds' terms demand")
    recording = open_recording(folder)
    root = store if store is not None else folder / "store"
    if (root / "catalog.sqlite").exists():
        raise StoreError(f"there is a store in {root} already: name another one with --store, or remove it")
    head = replaying.Playhead(recording.entries)
    outlets = live.Outlets({"console": Terminal()}, None, None)
    stop = _stop_when_asked()
    with _open(root, found.settings, config) as opened:
        _import_shipped_history(opened, found.settings, config)
        for name, terms in (terms_in(folder) | {feed.name: feed.terms for feed in found.settings.feeds}).items():
            opened.set_terms(name, terms)
        pipeline = _pipeline(opened, found, ["console"], only=True)
        runner = live.Runner(opened, pipeline, recording.queries(head.current, head.now), outlets, head)
        try:
            good = replaying.replay(runner, recording, head, speed, lambda seconds: stop.wait(max(seconds, 0.0)))
            runner.pages(_reports(root, None, config)).keep_up()
        finally:
            runner.close()
    print(f"{folder}: {good} of {len(recording.entries)} replies were good; {root} has what was made of them")


@app.command()
def record(
    folder: Annotated[Path, typer.Argument(help="Where the replies are kept.")],
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, help="Ask everything so often, then stop.")] = None,
    config: ConfigPath = DEFAULT_FILE,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Ask the feeds and keep the replies as they come, for `run --replay`; until it is told to stop."""
    from flightwatch.feeds import recordings
    from flightwatch.live import SystemClock
    from flightwatch.userfiles import read_all

    _log(verbose)
    found = read_all(config)
    asked = _recorded(_queries(found, SystemClock().now), folder, found.settings)
    good = recordings.record(asked, _stop_when_asked(), rounds)
    print(f"{folder}: {good} good replies")
    raise typer.Exit(0 if good else 1)


def _once(runner: Runner) -> bool:
    good = list(runner.poll_each())
    runner.look_after()
    worker = runner.deliver()
    while worker.run_once(datetime.now(UTC)):
        threading.Event().wait(1.05)
    print(runner.heartbeat())
    for query, health in zip(runner.schedule.queries, runner.schedule.health.values(), strict=True):
        refused = ", ".join(f"{n} {reason}" for reason, n in health.refused.most_common()) or "none"
        print(f"{query.name} ({query.label}): {health.positions} positions stored; refused: {refused}")
    return not any(good)


def _until_stopped(runner: Runner, clock: Clock, store: Store, config: Path, reports: Path) -> bool:
    from flightwatch import live
    from flightwatch.rules.budgets import budget_of
    from flightwatch.userfiles import Changes, read_all

    changes, latest, day = Changes(config), read_all(config), clock.now().date()

    def changed() -> Pipeline | None:
        nonlocal latest, day
        found = changes.read()
        budgets_due = clock.now().date() != day and any(map(budget_of, latest.rules.rules))
        latest, day = found or latest, clock.now().date()
        return _pipeline(store, latest, list(runner.outlets.channels)) if found is not None or budgets_due else None

    live.run(runner, clock, _stop_when_asked(), store.root / "alerts.sqlite", changed, reports)
    return False


def _stop_when_asked() -> threading.Event:
    """Set by SIGTERM and SIGINT."""
    stop = threading.Event()

    def ask_to_stop(_: int, __: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    return stop


# ------------------------------------------------------------------------------------------------------------- history and legs


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders of them.")],
    store: StorePath = None,
    format: Annotated[
        str | None, typer.Option("--format", help=f"Seen from the content without it: {', '.join(IMPORT_FORMATS)}.")
    ] = None,
    columns: Annotated[
        Path | None, typer.Option("--columns", help="For any other CSV: a YAML file that says which of its columns are which.")
    ] = None,
    aircraft: Annotated[
        list[str] | None,
        typer.Option("--aircraft", help="Of an archive only this one: an address or a registration; may be given several times."),
    ] = None,
    registration: Annotated[
        str | None,
        typer.Option("--registration", help="Whose flights they are, where the file does not say: a registration or an address."),
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(
            "--scope", help="What the file covers: world, aircraft (all flights of those in it), or reported (single reports)."
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option("--service", help="Whose data they are, where the format does not say: adsb-lol, adsbexchange, ..."),
    ] = None,
    reconstructed: Annotated[
        bool, typer.Option("--reconstructed", help="Nobody observed this: it says so wherever it is shown.")
    ] = False,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Bring history in: positions, traces and snapshots of receivers, archives, flight lists."""
    from flightwatch.feeds.columnmaps import read_map
    from flightwatch.imports import How, files_of
    from flightwatch.userfiles import settings_of

    settings = settings_of(config)
    how = How(
        format=format,
        registration=registration,
        scope=scope,
        reconstructed=reconstructed,
        columns=read_map(columns) if columns is not None else None,
        aircraft=tuple(aircraft or ()),
        service=service,
    )
    groups = files_of(paths)
    with _open(store, settings, config) as opened:
        imported = [_import(opened, parts, how) for parts in groups]
    raise typer.Exit(0 if all(imported) else 1)


def _import(store: Store, parts: tuple[Path, ...], how: How) -> bool:
    """Imports one file (or an archive in parts) and says what came of it; one that cannot be read spoils no other."""
    from flightwatch.imports import import_files

    with _bytes_progress(parts) as advance:
        try:
            done = import_files(store, parts, how, advance)
        except InputError as error:
            errors.print(f"flightwatch: {error}", markup=False)
            return False
    print(f"{parts[0]}: {_brought(done) if done.new else 'imported before, nothing changed'}")
    for note in done.notes:
        print(f"  {note}")
    return True


@app.command("fetch-history")
def fetch_history(
    source: Annotated[str, typer.Argument(help=f"From where: {', '.join(HISTORIES)}.")],
    from_: Annotated[datetime, typer.Option("--from", help="The first day, UTC.", formats=["%Y-%m-%d"])],
    to: Annotated[datetime, typer.Option("--to", help="The last day, UTC.", formats=["%Y-%m-%d"])],
    aircraft: Annotated[
        list[str] | None,
        typer.Option(
            "--aircraft",
            help="An address or a registration; may be given several times. Without it the watchlists; of adsb.lol everybody.",
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="The web site of a readsb for globe-history, or a mirror of adsb.lol's releases.")
    ] = None,
    store: StorePath = None,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Download history and bring it in: days of adsb.lol, traces of readsb's sites, flights of OpenSky and Flightradar24."""
    from flightwatch import histories
    from flightwatch.live import SystemClock
    from flightwatch.userfiles import read_lists, settings_of

    first, last = from_.date(), to.date()
    if last < first:
        raise typer.BadParameter(f"{last} is before {first}", param_hint="--to")
    settings, clock = settings_of(config), SystemClock()
    registry = read_lists(settings, config.parent)
    chosen = _fetched_aircraft(source, aircraft or [], registry, last)
    found = histories.source_named(source, url, settings, clock, registry)
    summary = histories.begun(found, first, last, clock)
    with _open(store, settings, config) as opened, _Onlooker() as onlooker:
        try:
            histories.fetch(opened, found, chosen, clock, onlooker, summary)
        except KeyboardInterrupt:
            summary.interrupted = True
    for line in summary.lines():
        print(line)
    raise typer.Exit(0 if summary.complete else 1)


def _fetched_aircraft(source: str, given: list[str], registry: Registry, on: date) -> list[str]:
    """The addresses that are meant; those on the watchlists if none is given, but for archives of everybody."""
    addresses = {text: registry.address(text, on) for text in given}
    if unknown := [text for text, address in addresses.items() if address is None]:
        raise InputError(f"no address is known for {', '.join(unknown)}: give the address (six hex digits)")
    chosen = [address for address in addresses.values() if address is not None]
    if given or source == HISTORIES[0]:
        return chosen
    if not (listed := registry.addresses()):
        raise InputError("no address is on the watchlists: give --aircraft")
    return listed


class _Onlooker:
    """Shows how a download does: bars on a terminal, lines where there is none."""

    def __init__(self) -> None:
        self._days = Progress(TextColumn("Days"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bytes = Progress(*_bytes_columns(TextColumn("{task.description}", markup=False)), transient=True)
        self._task = self._days.add_task("", total=None)
        shown = Live(Group(self._days, self._bytes), console=errors, transient=True, redirect_stdout=sys.stdout.isatty())
        self._live = shown if errors.is_terminal else nullcontext()

    def __enter__(self) -> _Onlooker:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def say(self, line: str) -> None:
        print(line, flush=True)

    def warn(self, line: str) -> None:
        errors.print(f"flightwatch: {line}", markup=False)

    def reached(self, days: int, of: int) -> None:
        self._days.update(self._task, completed=days, total=of)

    @contextmanager
    def progress(self, name: str, size: int | None) -> Iterator[Callable[[int], object]]:
        task = self._bytes.add_task(name, total=size)
        try:
            yield lambda count: self._bytes.advance(task, count)
        finally:
            self._bytes.remove_task(task)


def _brought(done: Import) -> str:
    """What an import brought, in one line; of a flight list that nobody else had brought before."""
    what = f"{done.rows:,} positions"
    if done.format in LEG_FORMATS:
        what = f"{done.rows:,} legs" if not done.known else f"{done.rows:,} new legs, {done.known:,} that other lists had brought"
        what += f", and {done.inside:,} positions" if done.inside else ""
    refused = [
        f"{n:,} {reason}" + (f" ({done.where[reason]})" if reason in done.where else "")
        for reason, n in sorted(done.refused.items())
    ]
    return f"{what} ({done.format}){'; refused: ' if refused else ''}{', '.join(refused)}"


@app.command()
def legs(
    store: StorePath = None,
    aircraft: Annotated[
        list[str] | None, typer.Option("--aircraft", help="An address or a registration; may be given several times.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="legs.parquet, legs.csv or legs.json.")] = None,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Show or write the legs of a store, imported flight lists included."""
    from flightwatch.backfill import newest
    from flightwatch.legtables import show, sources, write
    from flightwatch.userfiles import read_lists, settings_of

    settings = settings_of(config)
    registry = read_lists(settings, config.parent)
    with _brought_up(store, settings, config, registry) as opened:
        table, as_of, terms = opened.legs.table(_utc(since), _utc(until), aircraft), newest(opened), opened.terms()
        stored = opened.snapshots.rows()
    named = sources(table, terms, registry)
    if not len(table):
        print(
            "No such leg in this store: check the aircraft and the times."
            if aircraft or since or until
            else f"No leg in this store: it has {stored:,} positions, and no flight can be made of them."
        )
    elif output is None:
        print(show(table, as_of, named))
    if output is not None:
        for line in write(table, output, named):
            print(line)


@app.command()
def events(
    store: StorePath = None,
    aircraft: Annotated[list[str] | None, typer.Option("--aircraft", help="An address; may be given several times.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="events.parquet, events.csv or events.json.")] = None,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Show or write what happened besides legs: diversions, turning back, holding, circling, silence, meetings of watched
    aircraft, and positions that cannot be true."""
    from flightwatch.eventtables import show, write
    from flightwatch.userfiles import read_lists, settings_of

    settings = settings_of(config)
    names = [name.lower() for name in aircraft or ()]
    with _brought_up(store, settings, config, read_lists(settings, config.parent)) as opened:
        found, terms = opened.events.between(_utc(since), _utc(until), names), opened.terms()
    if not found:
        print("No such event in this store: check the aircraft and the times." if names or since or until else "No event.")
    elif output is None:
        print(show(found, terms))
    if output is not None:
        for line in write(found, output, terms):
            print(line)


@app.command()
def rarity(
    store: StorePath = None,
    since: SinceOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="rarity.parquet, rarity.csv or rarity.json.")] = None,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Show or write how rare each leg of a store was, from what came before it alone."""
    from flightwatch.backfill import exposures
    from flightwatch.legtables import sources
    from flightwatch.places import airports
    from flightwatch.rarity import Baseline
    from flightwatch.rarity.scores import scores
    from flightwatch.raritytables import show, write
    from flightwatch.userfiles import read_lists, settings_of

    settings = settings_of(config)
    registry = read_lists(settings, config.parent)
    with _brought_up(store, settings, config, registry) as opened:
        table, days, terms = opened.legs.table(), exposures(opened)(), opened.terms()
    baseline = Baseline(airports(), table, days)
    callsigns = dict(zip(table["leg_id"].to_pylist(), table["callsign"].to_pylist(), strict=True))
    found, named = list(scores(baseline, callsigns, _utc(since))), sources(table, terms, registry)
    if not found:
        print("No leg in this store since then." if since else "No leg in this store.")
    elif output is None:
        print(show(found, named))
    if output is not None:
        for line in write(found, output, named):
            print(line)


@app.command()
def coverage(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the picture goes (PNG).")] = Path("coverage.png"),
    store: StorePath = None,
    config: ConfigPath = DEFAULT_FILE,
) -> None:
    """Show where traffic is seen, by altitude band, as far as the legs of a store tell."""
    from flightwatch.explore import Explorer
    from flightwatch.maps import draw_coverage
    from flightwatch.store.files import write_bytes
    from flightwatch.userfiles import read_lists, settings_of

    settings = settings_of(config)
    with _brought_up(store, settings, config, read_lists(settings, config.parent)) as opened:
        known = Explorer(opened).coverage()
    for band in known.bands:
        hours = band.seen_h + band.unseen_h
        print(f"{band.name}: " + (f"{band.seen_h / hours:.0%} of {hours:,.1f} flying hours seen" if hours else "not known"))
    write_bytes(output, draw_coverage(known))
    print(f"Wrote {output}.")


@app.command()
def rebuild(store: StorePath = None, config: ConfigPath = DEFAULT_FILE) -> None:
    """Make the catalog and all legs anew from the stored files, after damage."""
    from flightwatch import backfill
    from flightwatch.imports import restore_terms
    from flightwatch.pipeline import Pipeline
    from flightwatch.places import airports
    from flightwatch.rules import codes_of
    from flightwatch.store import rebuild_catalog
    from flightwatch.userfiles import read_all

    found = read_all(config)
    settings = found.settings
    root = _root(store, settings, config)
    for line in rebuild_catalog(root):
        print(line)
    with _open(root, settings, config) as opened:
        opened.drop_checkpoint()
        for feed in settings.feeds:
            opened.set_terms(feed.name, feed.terms)
        restore_terms(opened)
        pipeline = Pipeline(
            airports(),
            found.registry,
            exposures=backfill.exposures(opened),
            fleeting=opened.fleeting,
            preferred=settings.feed_names,
            codes=codes_of(found.rules.rules),
        )
        _with_progress("Legs", lambda advance: backfill.derive(opened, pipeline, advance))
        print(f"{len(opened.legs.table()):,} legs")


@app.command()
def demo(folder: Annotated[Path, typer.Argument(help="Where it leaves what it made.")] = Path("data/demo")) -> None:
    """Run the reference case from end to end: an Il-62 goes to North Korea and nobody sees it land."""
    from flightwatch import demo as reference_case

    reference_case.run(folder, Console())


# ------------------------------------------------------------------------------------------------------------------- put together


def _log(verbose: bool) -> None:
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        force=True,
    )
    for name in ("apscheduler", "urllib3", "slack_sdk"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)


def _root(store: Path | None, settings: Settings, config: Path) -> Path:
    return store if store is not None else config.parent / settings.store


def _reports(root: Path, settings: Settings | None, config: Path) -> Path:
    """The folder of the evidence pages: that of the configuration, else one beside the store."""
    return config.parent / settings.reports.folder if settings and settings.reports.folder else root.parent / "reports"


def _open(store: Path | None, settings: Settings, config: Path, *, make: bool = True) -> Store:
    from flightwatch.store import Store

    root = _root(store, settings, config)
    if not make and not (root / "catalog.sqlite").exists():
        return Store(root, read_only=True)  # which says that there is none
    opened = Store(root)
    opened.snapshots.remove_retired(datetime.now(UTC))
    return opened


def _pipeline(store: Store, found: UserFiles, channels: list[str], *, only: bool = False) -> Pipeline:
    """`only` tells everything on these channels and on no other."""
    from flightwatch import backfill
    from flightwatch.pipeline import Pipeline
    from flightwatch.places import airports
    from flightwatch.rules.budgets import budget_of

    rules = [_to_all(rule.model_copy(update={"notify": ["all"]}) if only else rule, channels) for rule in found.rules.rules]
    made = Pipeline(airports(), found.registry, rules, backfill.exposures(store), store.fleeting, found.settings.feed_names)
    if not any(map(budget_of, rules)):
        return made
    from flightwatch.calibration import within_budgets

    return replace(made, rules=within_budgets(store, made))


def _to_all(rule: Rule, channels: list[str]) -> Rule:
    """The rule with `all` among its channels spelled out."""
    names = [n for name in rule.notify for n in ([*channels, "digest"] if name == "all" else [name])]
    return rule.model_copy(update={"notify": list(dict.fromkeys(names))})


def _queries(found: UserFiles, now: Callable[[], datetime]) -> list[Query]:
    from flightwatch.feeds.questions import queries, secrets_of

    watched = found.registry.addresses()
    return [q for feed in found.settings.feeds for q in queries(feed, watched, secrets_of(feed), now)]


@contextmanager
def _brought_up(
    store: Path | None, settings: Settings, config: Path, registry: Registry, rules: Sequence[Rule] = ()
) -> Iterator[Store]:
    """A store to read, with its legs brought up to what it has, and without what its feeds' terms let nobody keep any
    longer, searched for the codes that `rules` ask for; as it is, where a run holds it."""
    from flightwatch.backfill import look_back
    from flightwatch.rules import codes_of
    from flightwatch.store import Store

    held = False
    try:
        opened = _open(store, settings, config, make=False)
    except StoreBusy as busy:
        errors.print(f"flightwatch: {busy}; showing what it has stored so far", markup=False)
        opened, held = Store(_root(store, settings, config), read_only=True), True
    with opened:
        if not held:
            _derive(opened, registry, settings)
            names = settings.feed_names
            _with_progress("Codes", lambda advance: look_back(opened, codes_of(rules), names, advance))
            if expired := opened.keep_terms(datetime.now(UTC)):
                errors.print(f"flightwatch: {expired} files of positions were deleted, as their feeds' terms demand; legs stay")
        yield opened


def _derive(store: Store, registry: Registry, settings: Settings) -> None:
    """Brings the legs up to what is stored."""
    from flightwatch import backfill
    from flightwatch.pipeline import Pipeline
    from flightwatch.places import airports

    exposures = backfill.exposures(store)
    pipeline = Pipeline(airports(), registry, exposures=exposures, fleeting=store.fleeting, preferred=settings.feed_names)
    _with_progress("Legs", lambda advance: backfill.refresh(store, pipeline, advance))


def _with_progress(label: str, work: Callable[[Callable[[int, int], None]], object]) -> None:
    """Runs something that tells how far it is; shown on a terminal only."""
    columns = (
        TextColumn(label),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} positions"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task(label, total=None)
        work(lambda done, total: progress.update(task, completed=done, total=total))


@contextmanager
def _bytes_progress(files: tuple[Path, ...]) -> Iterator[Callable[[int], None]]:
    """How much of some files was read, how fast, and how long the rest takes; shown on a terminal only."""
    columns = _bytes_columns(TextColumn(files[0].name, markup=False))
    total = sum(file.stat().st_size for file in files if file.is_file())
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.advance(task, count)


def _bytes_columns(name: TextColumn) -> tuple[ProgressColumn, ...]:
    return name, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()


def _import_shipped_history(store: Store, settings: Settings, config: Path) -> None:
    """The flight lists of the configuration, so that the first day knows what happened before."""
    from flightwatch.config import files_in
    from flightwatch.imports import import_file

    for path in files_in(settings.history, "history", config.parent):
        import_file(store, path, format="legs", scope="reported", feed="reported")


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=UTC)
