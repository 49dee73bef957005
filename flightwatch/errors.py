"""Every error that flightwatch raises on purpose.

    FlightwatchError
    ├── ConfigError      configuration, rules or watchlists are wrong: carries every problem with file and line
    ├── FeedError        a feed gave nothing usable: transient or permanent, with the reason in a word
    ├── InputError       a file that somebody asked to import cannot be read
    ├── StoreError       the store cannot do what was asked
    │   ├── StoreBusy    another process writes to it
    │   └── Damaged      something in it is not what was written
    └── DeliveryError    a message did not get out: permanent, to be retried, or of unknown outcome

Each says what happened, where, and what to do, in one line for the user.
"""

from __future__ import annotations

from dataclasses import dataclass


class FlightwatchError(Exception):
    """The root: the command line prints it as one line and exits with a status that is not zero."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file that the user wrote."""

    file: str
    line: int
    message: str
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigError(FlightwatchError):
    """All problems of a configuration at once, in the order of the files."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.file, p.line, p.column))
        super().__init__("\n".join(map(str, self.problems)))


class FeedError(FlightwatchError):
    """A request to a feed brought nothing that can be stored.

    `reason` is one word for counting (`http_429`, `stale`, `not_json`, ...); `permanent` means that asking again
    cannot help; `retry_after_s` is what the server asked for; `body` holds up to 64 kB of the reply, for the
    quarantine.
    """

    def __init__(
        self, reason: str, message: str, *, permanent: bool = False, retry_after_s: float | None = None, body: bytes = b""
    ) -> None:
        self.reason = reason
        self.permanent = permanent
        self.retry_after_s = retry_after_s
        self.body = body
        super().__init__(message)


class InputError(FlightwatchError):
    """A file to import is not what its format says, or its format is not known."""


class StoreError(FlightwatchError):
    """The store cannot do what was asked of it."""


class StoreBusy(StoreError):
    """Another process holds the store for writing."""


class Damaged(StoreError):
    """A file of the store does not hold what was written to it."""


class DeliveryError(FlightwatchError):
    """A message was not delivered, or nobody knows whether it was.

    `permanent`: sending it again cannot help. `outcome_unknown`: the channel may have taken it, so look before
    repeating.
    """

    def __init__(
        self, message: str, *, permanent: bool = False, retry_after_s: float | None = None, outcome_unknown: bool = False
    ) -> None:
        self.permanent = permanent
        self.retry_after_s = retry_after_s
        self.outcome_unknown = outcome_unknown
        super().__init__(message)
