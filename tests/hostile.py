"""Hostile input: what becomes of a good reply or file when somebody changes it. The same seed gives the same."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STRANGE: list[Any] = [None, True, -1, 0, 1e308, 10**400, float("nan"), "", "x", "9" * 400, "\ud800", "\x00", [], {}, [[[]]]]
"""Values that stand in no place of a good reply, or in few."""

MOST_GROWTH = 48 << 20
"""Bytes of memory that any number of replies of a few kilobytes may take, one after the other. Allocators keep some for
later; what is kept of each reply is more than this after a hundred thousand if it is half a kilobyte."""

WARMED_UP = 150
"""Replies after which allocators, caches and compiled patterns are there."""


def mutated(original: bytes, lot: random.Random) -> bytes:
    """Some bytes changed, a piece doubled or cut out, or the end gone."""
    data = bytearray(original)
    for _ in range(lot.randint(1, 5)):
        data[lot.randrange(len(data))] = (
            lot.choice(b'0123456789-.,:"[]{}<>e \n\x00\xff') if lot.random() < 0.7 else lot.randrange(256)
        )
    start, stop = sorted(lot.randrange(len(data)) for _ in range(2))
    kind = lot.random()
    if kind < 0.15:
        return bytes(data[:start])
    if kind < 0.25:
        return bytes(data[:start] + data[stop:])
    return bytes(data[:stop] + data[start:]) if kind < 0.35 else bytes(data)


def warped(original: Any, lot: random.Random) -> bytes:
    """JSON that is still JSON, with strange values in some places, and some that are gone or there twice."""
    whole = json.loads(json.dumps(original))
    for _ in range(lot.randint(1, 3)):
        holder, key = lot.choice([*_places(whole)] or [(None, None)])
        if holder is None:
            return json.dumps(_strange(lot)).encode()
        kind = lot.random()
        if kind < 0.7:
            holder[key] = _strange(lot)
        elif kind < 0.85:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, holder[key])
        else:
            holder[key] = [holder[key]]
    return json.dumps(whole).encode()


def _strange(lot: random.Random) -> Any:
    return copy.deepcopy(lot.choice(STRANGE))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a value of JSON, as what holds it and the key or index there."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, key
            yield from _places(inner)


def changed(original: bytes, lot: random.Random) -> bytes:
    """Either of the two; bytes alone where it is no JSON."""
    if lot.random() < 0.5:
        try:
            return warped(json.loads(original), lot)
        except ValueError:
            pass
    return mutated(original, lot)


def thrown_at(reader: Callable[[bytes], object], original: bytes, count: int, seed: object) -> None:
    """So many changed copies at a reader: what it raises escapes, and memory stays bounded."""
    lot = random.Random(str(seed))
    for _ in range(WARMED_UP):
        reader(changed(original, lot))
    with bounded_memory(MOST_GROWTH):
        for _ in range(count - WARMED_UP):
            reader(changed(original, lot))


@contextmanager
def bounded_memory(most: int) -> Iterator[None]:
    """Fails where the memory of this process was at any moment more than `most` bytes above where it began. Only Linux
    tells; elsewhere nothing is measured."""
    status, forget = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not forget.exists():
        yield
        return
    forget.write_text("5")  # the peak is counted from here on: man 5 proc
    before = _kilobytes(status, "VmRSS")
    yield
    grown = (_kilobytes(status, "VmHWM") - before) << 10
    assert grown < most, f"memory grew by {grown >> 20} MB"


def _kilobytes(status: Path, name: str) -> int:
    match = re.search(rf"{name}:\s+(\d+) kB", status.read_text())
    assert match is not None
    return int(match[1])
