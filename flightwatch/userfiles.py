"""What users write, read and checked together: the configuration, the watchlists and the rules.

In: the path of a configuration, which need not exist. Out: settings, lists and rules, or one ConfigError with the
problems of all three, so that nobody mends one file to learn of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flightwatch.aircraft import Registry, Watchlist, read_watchlist
from flightwatch.aircraft.databases import Database, open_databases
from flightwatch.config import DEFAULT_FILE, Settings, files_in, read_settings
from flightwatch.errors import ConfigError, InputError, Problem
from flightwatch.places import airports
from flightwatch.rules import Rules, read_rules, region_files

FOLDERS = Settings(rules=["shipped", "rules"], watchlists=["shipped", "watchlists"])
"""What is checked beside a configuration that cannot be read: the folders that `flightwatch init` makes."""


@dataclass(frozen=True)
class UserFiles:
    """Everything that a user wrote, valid; `base` is the folder that its paths are relative to."""

    settings: Settings
    registry: Registry
    rules: Rules
    base: Path


def settings_of(config: Path) -> Settings:
    """The configuration; what it would be if it were empty where there is none and none was asked for. Raises
    ConfigError."""
    return Settings() if config == DEFAULT_FILE and not config.exists() else read_settings(config)


def read_all(config: Path) -> UserFiles:
    """Reads the configuration and all that it names. Raises ConfigError with every problem."""
    problems: list[Problem] = []
    base = config.parent
    settings, channels = FOLDERS, None
    try:
        settings = settings_of(config)
        channels = _channels(settings)
    except ConfigError as error:
        problems += error.problems
    files = _files(settings.rules, "rules", base, problems)
    registry = _registry(settings, base, files, problems)
    rules = Rules((), ())
    try:
        rules = read_rules(files, registry, airports(), channels)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return UserFiles(settings, registry, rules, base)


class Changes:
    """Looks whether the configuration, the lists, the rules or the regions that these name have changed on the disk since it
    looked last."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._read = self._found = self._stamps()

    def read(self) -> UserFiles | None:
        """What stands on the disk if that is something new and nobody is at it any more: it has not changed since the last
        look. Raises ConfigError where it is not valid, once for each change."""
        before, self._found = self._found, self._stamps()
        if self._found == self._read or self._found != before:
            return None
        self._read = self._found
        return read_all(self._config)

    def _stamps(self) -> dict[Path, tuple[int, int]]:
        """When each file was changed last, and its size; a file that comes or goes counts, too."""
        try:
            settings = settings_of(self._config)
        except ConfigError:
            settings = FOLDERS
        base, ignored = self._config.parent, list[Problem]()
        rules = _files(settings.rules, "rules", base, ignored)
        lists = _files(["shipped", *settings.watchlists], "watchlists", base, ignored)
        regions = [region for path in rules for region in region_files(path)]
        stamps = {}
        for path in {self._config, *rules, *lists, *_beside(rules), *regions}:
            try:
                found = path.stat()
            except (OSError, ValueError):  # it went since it was listed, or there is none of that name, or can be
                continue
            stamps[path] = (found.st_mtime_ns, found.st_size)
        return stamps


def read_lists(settings: Settings, base: Path, rule_files: Sequence[Path] = ()) -> Registry:
    """The watchlists. Raises ConfigError with every problem."""
    problems: list[Problem] = []
    registry = _registry(settings, base, rule_files, problems)
    if problems:
        raise ConfigError(problems)
    return registry


def _channels(settings: Settings) -> list[str]:
    return [*(channel.name for channel in settings.channels), *(["digest"] if settings.digest else [])]


def _files(entries: list[str], kind: str, base: Path, problems: list[Problem]) -> list[Path]:
    found: list[Path] = []
    for entry in entries:
        try:
            found += files_in([entry], kind, base)
        except ConfigError as error:
            problems += error.problems
    return list(dict.fromkeys(found))


def _registry(settings: Settings, base: Path, rule_files: Sequence[Path], problems: list[Problem]) -> Registry:
    """The lists by name: those that ship, before them those of the configuration, before these those beside a
    rule. A list that cannot be read stays as an empty one, so that the rules that name it are not faulted, too."""
    files = _files(["shipped", *(e for e in settings.watchlists if e != "shipped")], "watchlists", base, problems)
    found: dict[str, Watchlist] = {}
    seen: list[Path] = []
    for path in dict.fromkeys([*files, *_beside(rule_files)]):
        double = next((p for p in seen if p.stem == path.stem and p.parent == path.parent), None)
        if double is not None:
            problems.append(Problem(str(path), 1, f"has the name of {double.name}: give one of the two lists another name"))
        seen.append(path)
        found[path.stem] = Watchlist(path.stem, ())
        try:
            found[path.stem] = read_watchlist(path)
        except ConfigError as error:
            problems += error.problems
    return Registry(list(found.values()), _databases(base / settings.reference, problems))


def _databases(folder: Path, problems: list[Problem]) -> list[Database]:
    """The reference databases that were added."""
    try:
        return open_databases(folder)
    except InputError as error:
        problems.append(Problem(str(folder), 1, str(error)))
        return []


def _beside(rule_files: Sequence[Path]) -> list[Path]:
    """The lists in a rule file's folder (CSV: a YAML file there holds rules), and in a folder `watchlists` next to
    that."""
    folders = sorted({file.parent for file in rule_files})
    places = [place for folder in folders for place in (folder.parent / "watchlists", folder)]
    kinds = {place: ("*.csv", "*.y*ml") if place.name == "watchlists" else ("*.csv",) for place in places}
    return [path for place in places if place.is_dir() for kind in kinds[place] for path in sorted(place.glob(kind))]
