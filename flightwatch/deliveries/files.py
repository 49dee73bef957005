"""Files that channels write: a line more at the end, or the whole of it anew, so that a crash spoils neither."""

from __future__ import annotations

import os
from pathlib import Path

TEMPORARY = ".tmp"


def append_line(path: Path, line: bytes) -> None:
    """Writes a line at the end of a file in one go, and syncs it. What a crash left of another one is ended first. Raises
    OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("ab", buffering=0) as file:
        data = line + b"\n"
        if file.tell() and not _ends_a_line(path):
            data = b"\n" + data
        if file.write(data) != len(data):
            raise OSError(0, "the disk took a part of it: make room")
        os.fsync(file.fileno())
    if is_new:
        _sync_folder(path.parent)


def replace_whole(path: Path, data: bytes) -> None:
    """Whoever reads finds the old file or the new one, also after a power loss. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY)
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
