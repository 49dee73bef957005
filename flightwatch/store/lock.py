"""One writer at a time: a lock of the operating system, which goes with the process that holds it, and a line that
says who that is."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from flightwatch.errors import StoreBusy


class WriterLock:
    """Holds the store for writing until `release` or the end of the process. Raises StoreBusy with the holder's
    name."""

    def __init__(self, folder: Path) -> None:
        path = folder / "writer.lock"
        self._file: TextIO = path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise StoreBusy(
                f"the store {folder} is being written by {holder}: stop that first, or read without writing"
            ) from None
        self._file.truncate(0)
        self._file.write(
            f"pid {os.getpid()} on {socket.gethostname()} ({_command()}) since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n"
        )
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def holder(folder: Path) -> str | None:
    """Who holds the store for writing, or None. Takes nothing."""
    path = folder / "writer.lock"
    if not path.exists():
        return None
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return file.read().strip() or "another process"
    return None


def _command() -> str:
    """The subcommand alone: arguments can hold what is nobody's business."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:2]]
    return " ".join(word for word in words if word)
