"""Positions as arrays: what the leg computation runs on.

In: a table of `POSITIONS`, in any order. Out: `Rows`, sorted by aircraft and time, without the rows that say nothing
new. Times are int64 microseconds since 1970, units those of `POSITIONS`; what is missing is NaN, or -1 for codes and
flags.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flightwatch.records import EMERGENCY_CODES

Ints = NDArray[np.int64]
Grades = NDArray[np.int8]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SECOND = 1_000_000
MINUTE = 60 * SECOND

NON_ICAO = 1 << 24
"""Added to the number of an address that is not ICAO's (written with ~)."""

SOUND, POOR, UNTOLD = 1, 0, -1
SOUND_NIC, SOUND_NAC_P = 7.0, 8.0
"""What the FAA (14 CFR 91.227) wants of the place that an aircraft sends: it lies within 370 m, and the error is below
93 m. Integrity is sound where both are met, poor where neither is, and not told else."""

HIGHEST_FIELD_FT = 16_000.0
"""No airport lies higher (Daocheng Yading: 14,472 ft; the ellipsoid is some 200 ft off there), so nobody stands above."""

LONG_AGO = -(1 << 62)
"""Before every time, and far enough from the smallest number that the difference to a time is one."""

QUALITY = {"adsb": 0, "adsr": 1, "tisb": 2, "adsc": 3, "radar": 4, "mlat": 5, "other": 7, "mode_s": 8}
"""By `source`, the best first: what the aircraft says of itself, the same passed on by a station, then what others
make out. What names no source may be anything, and counts as `other`."""

DOUBTED = 6
"""ADS-B that vouches for nothing (NIC or NACp is 0): MLAT, which does not rest on the aircraft's own satellite
navigation, is better."""

ALARMS = (*EMERGENCY_CODES, "minfuel", "downed")
"""Codes of emergencies, and what has no code."""

CODES_FROM = 16
"""Other codes that somebody asks for are told as their own number from here on, above the places of all `ALARMS`, which saved
states know by these."""

ALARM_WORDS = {"unlawful": "7500", "nordo": "7600", "general": "7700", "minfuel": "minfuel", "downed": "downed"}
"""What the emergency field says, as the codes that mean the same. `lifeguard` is no emergency: it has the right of way."""

LAGS_S = 90.0
"""A position older than this when it came: others have had the aircraft elsewhere since."""

NUMBERS = ("latitude", "longitude", "altitude", "groundspeed", "track", "vertical_rate")
TEXTS = ("callsign", "registration", "typecode", "category", "feed")

USED = (
    *("timestamp", "received", "icao24", "source", "onground", "geoaltitude", "nic", "nac_p", "squawk", "emergency"),
    *NUMBERS,
    *TEXTS,
)
"""The columns of `POSITIONS` that are read."""


def aircraft_number(icao24: str) -> int:
    """`15521f` to 0x15521f; `~2a0001` lies above all ICAO addresses."""
    return NON_ICAO | int(icao24[1:], 16) if icao24.startswith("~") else int(icao24, 16)


def _aircraft_numbers(addresses: pa.Array) -> Ints:
    """The number of each address: all in one go, for a poll of the world has thousands."""
    characters = pc.utf8_slice_codeunits(addresses, -6, None).cast(pa.binary(6)).buffers()[1]
    ascii_codes = np.frombuffer(characters, np.uint8, 6 * len(addresses)).reshape(-1, 6)
    digits = np.where(ascii_codes >= ord("a"), ascii_codes - (ord("a") - 10), ascii_codes - ord("0"))
    numbers = np.zeros(len(addresses), np.int64)
    for digit in digits.T:
        numbers <<= 4
        numbers |= digit
    others = pc.starts_with(addresses, "~").to_numpy(zero_copy_only=False)
    return np.asarray(numbers + NON_ICAO * others)


def aircraft_text(number: int) -> str:
    """The inverse of `aircraft_number`."""
    return f"~{number - NON_ICAO:06x}" if number >= NON_ICAO else f"{number:06x}"


@dataclass(frozen=True)
class Spans:
    """Of rows sorted by aircraft, an element an aircraft: its number, the place of its first row, and how many it has.
    Whatever is the same for all rows of an aircraft is looked up once."""

    aircraft: Ints
    start: Ints
    count: Ints

    @staticmethod
    def of(aircraft: Ints) -> Spans:
        """Those of rows of these aircraft, sorted."""
        start = np.flatnonzero(changes(aircraft))
        return Spans(aircraft[start], start, np.diff(start, append=len(aircraft)))

    def among(self, keys: Ints) -> Among:
        """Where these aircraft stand among sorted numbers."""
        return Among(*find(keys, self.aircraft), self.count)


@dataclass(frozen=True)
class Among:
    """Of each aircraft of some rows its place among others, whether it is one of them, and how many rows it has."""

    at: Ints
    there: Flags
    count: Ints

    def each(self, values: NDArray[Any], default: float) -> NDArray[Any]:
        """For each aircraft its value among the others, or the default."""
        found = np.full(len(self.at), default, values.dtype)
        found[self.there] = values[self.at[self.there]]
        return found

    def told(self, values: NDArray[Any], default: float) -> NDArray[Any]:
        """The same for each row."""
        return np.repeat(self.each(values, default), self.count)


@dataclass(frozen=True)
class Rows:
    """Arrays of one length. Texts are codes into `vocabulary`, -1 for null. `grade`: see `_grades`; `also` has the bits
    of the feeds whose positions gave way to this one (see `tracking`); `alarm` is the place of what it says of an emergency
    in `ALARMS`, or the code that it sends and somebody asks for (`alarm_text`), -1 where it says neither."""

    aircraft: Ints
    time: Ints
    received: Ints
    latitude: Floats
    longitude: Floats
    altitude: Floats
    groundspeed: Floats
    track: Floats
    vertical_rate: Floats
    onground: NDArray[np.int8]
    integrity: NDArray[np.int8]
    mlat: Flags
    grade: Grades
    also: Ints
    alarm: NDArray[np.int16]
    callsign: NDArray[np.int32]
    registration: NDArray[np.int32]
    typecode: NDArray[np.int32]
    category: NDArray[np.int32]
    feed: NDArray[np.int32]
    vocabulary: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.aircraft)

    def take(self, index: Ints | Flags | slice) -> Rows:
        if isinstance(index, np.ndarray) and index.dtype == bool and index.all():
            return self
        pick = picker(index)
        picked: dict[str, Any] = {name: pick(getattr(self, name)) for name in ARRAYS}
        return replace(self, **picked)

    def spans(self) -> Spans:
        """Where the rows of each aircraft lie; they have to be sorted."""
        return Spans.of(self.aircraft)

    def text(self, name: str, codes: NDArray[np.int32]) -> list[str | None]:
        words = self.vocabulary[name]
        return [words[c] if c >= 0 else None for c in codes.tolist()]


ARRAYS = tuple(f.name for f in fields(Rows) if f.name != "vocabulary")

LONG_RUN = 400
"""Rows that lie together by so many are copied run by run, which takes less than row by row."""


def picker(index: Ints | Flags | slice) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What picks these rows out of any array."""
    if isinstance(index, slice):
        return lambda values: values[index]
    if index.dtype == bool and (runs := _long_runs(index)):
        return lambda values: np.concatenate([values[run] for run in runs])
    places = np.flatnonzero(index) if index.dtype == bool else index
    return lambda values: values.take(places, axis=0)


def _long_runs(flags: NDArray[Any]) -> list[slice]:
    """Where flags are set, run by run; nothing where runs are short."""
    edges = np.flatnonzero(changes(flags))
    if len(edges) * LONG_RUN > 2 * len(flags):  # a run has two
        return []
    bounds = np.append(edges, len(flags)).tolist()
    return [slice(begin, end) for begin, end in pairwise(bounds) if flags[begin]]


def reduced(function: np.ufunc, values: NDArray[Any], start: Ints, stop: Ints) -> NDArray[Any]:
    """The values from each start to its stop as one; what lies between a stop and the next start is left out."""
    found = values[start]
    if (several := np.flatnonzero(stop - start > 1)).size:
        bounds = np.stack([start[several], stop[several]], axis=1).ravel()
        found[several] = function.reduceat(values, bounds[:-1] if bounds[-1] == len(values) else bounds)[::2]
    return found


def find(keys: Ints, wanted: Ints) -> tuple[Ints, Flags]:
    """Where each of some numbers stands among sorted keys, and whether it does."""
    at = np.searchsorted(keys, wanted)
    there = at < len(keys)
    there[there] = keys[at[there]] == wanted[there]
    return at, there


def changes(values: NDArray[Any]) -> Flags:
    """Whether each value differs from the one before it; the first one does."""
    found = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def since_before(values: NDArray[Any]) -> NDArray[Any]:
    """What each value adds to the one before it; the first adds nothing."""
    added = np.empty_like(values)
    added[:1] = 0
    np.subtract(values[1:], values[:-1], out=added[1:])
    return added


_BY = ("aircraft", "time", "feed", "grade", "integrity", "received")
RANKED = (*_BY, *(name for name in ARRAYS if name not in _BY))
"""What rows of one moment are sorted by, the first the most important: all that there is."""


def _floats(table: pa.Table, name: str) -> Floats:
    column = pc.cast(table[name], pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _times(table: pa.Table, name: str) -> Ints:
    column = pc.fill_null(pc.cast(table[name], pa.int64()), 0)
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.int64)


def _codes(table: pa.Table, name: str) -> tuple[NDArray[np.int32], list[str]]:
    """A column of texts, plain or as a dictionary, as codes into its words; -1 where there is none."""
    codes, words = _encoded(table, name)
    return codes, words.to_pylist()


def _encoded(table: pa.Table, name: str) -> tuple[NDArray[np.int32], pa.Array]:
    column = table[name]
    if _is_empty(table, name):
        return np.full(len(table), -1, np.int32), pa.array([], pa.string())
    encoded = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    encoded = encoded.chunk(0) if encoded.num_chunks == 1 else encoded.combine_chunks()
    codes = pc.fill_null(encoded.indices, -1) if encoded.indices.null_count else encoded.indices
    return np.asarray(codes.to_numpy(), dtype=np.int32), encoded.dictionary


def _aircraft(table: pa.Table) -> Ints:
    """The number of each row's aircraft. Those of a poll are all different, so they are not made a dictionary first."""
    if not pa.types.is_dictionary(table["icao24"].type):
        return _aircraft_numbers(table["icao24"].combine_chunks())
    codes, addresses = _encoded(table, "icao24")
    return _aircraft_numbers(addresses)[codes]


def _is_empty(table: pa.Table, name: str) -> bool:
    """Whether a column says nothing, as those that a feed does not have."""
    return bool(table[name].null_count == len(table))


def _by_word(codes: NDArray[np.int32], words: list[str], values: Mapping[str, int], default: int) -> NDArray[np.int8]:
    """What stands for the word of each row; the default for other words, and for none."""
    return np.array([*(values.get(word, default) for word in words), default], dtype=np.int8)[codes]


def usable(table: pa.Table) -> pa.Table:
    """Rows with an address, a time and a place that an aircraft reported: nothing rests on estimated positions."""
    known = [pc.is_valid(table[name]) for name in ("latitude", "longitude", "icao24", "timestamp") if table[name].null_count]
    source, words = _codes(table, "source")
    if "estimated" in words:
        known.append(pa.array(source != words.index("estimated")))
    return table.filter(reduce(pc.and_, known)) if known else table


def _grades(table: pa.Table, source: NDArray[np.int32], words: list[str], time: Ints, received: Ints) -> Grades:
    """How good each position is, 0 the best: twice its quality, and one more where it was old when it came. `source` are
    codes into `words`."""
    quality = _by_word(source, words, QUALITY, QUALITY["other"])
    for name in ("nic", "nac_p"):
        if not _is_empty(table, name):
            unsure = _floats(table, name) == 0
            quality = np.where(unsure & (quality == QUALITY["adsb"]), DOUBTED, quality).astype(np.int8)
    return np.asarray(2 * quality + (received - time > LAGS_S * SECOND), dtype=np.int8)


def rows_from_table(table: pa.Table, codes: Collection[str] = ()) -> Rows:
    """A table with the columns of `POSITIONS` as sorted rows; of rows alike in aircraft, time and feed, the best
    stays, and of those the one received first. Besides emergencies, `codes` are told of those that send them."""
    table = usable(table)
    texts = {name: _codes(table, name) for name in TEXTS}
    columns: dict[str, Any] = {name: _floats(table, name) for name in NUMBERS}
    columns |= {name: codes for name, (codes, _) in texts.items()}
    time, received = _times(table, "timestamp"), _times(table, "received")
    source, sources = _codes(table, "source")
    rows = Rows(
        aircraft=_aircraft(table),
        time=time,
        received=received,
        onground=_on_ground(table),
        integrity=_integrity(table, _is_word("adsb", source, sources)),
        mlat=_is_word("mlat", source, sources),
        grade=_grades(table, source, sources, time, received),
        also=np.zeros(len(time), np.int64),
        alarm=_alarms(table, codes),
        **columns,
        vocabulary={name: words for name, (_, words) in texts.items()},
    )
    return _sorted_once(rows)


def _on_ground(table: pa.Table) -> NDArray[np.int8]:
    """The ground flag; one that is sent from where no ground is says nothing."""
    flag = pc.fill_null(pc.cast(table["onground"], pa.int8()), -1).to_numpy(zero_copy_only=False).astype(np.int8)
    if table["geoaltitude"].null_count < len(table):
        flag = np.where((flag == 1) & (_floats(table, "geoaltitude") > HIGHEST_FIELD_FT), -1, flag)
    return np.asarray(flag, dtype=np.int8)


def _is_word(word: str, codes: NDArray[np.int32], words: list[str]) -> Flags:
    return np.asarray(codes == words.index(word) if word in words else np.zeros(len(codes), bool))


def _integrity(table: pa.Table, own: Flags) -> NDArray[np.int8]:
    """`own`: positions that the aircraft itself sent; what ground stations send on has numbers of its own, and often none."""
    if _is_empty(table, "nic"):
        return np.full(len(table), UNTOLD, np.int8)
    nic, nac_p = _floats(table, "nic"), _floats(table, "nac_p")
    sound = own & (nic >= SOUND_NIC) & (nac_p >= SOUND_NAC_P)
    poor = own & (nic < SOUND_NIC) & (nac_p < SOUND_NAC_P)
    return np.where(sound, SOUND, np.where(poor, POOR, UNTOLD)).astype(np.int8)


def _alarms(table: pa.Table, asked: Collection[str]) -> NDArray[np.int16]:
    """What each position says of an emergency: its code, or the word beside it where the code is another; else its code where
    somebody asks for that."""
    numbers = {code: CODES_FROM + int(code, 8) for code in asked} | {code: i for i, code in enumerate(ALARMS)}
    sent, words = _codes(table, "squawk")
    code = np.array([*(numbers.get(word, -1) for word in words), -1], dtype=np.int16)[sent]
    if _is_empty(table, "emergency"):
        return code
    said = {word: ALARMS.index(same) for word, same in ALARM_WORDS.items()}
    word = _by_word(*_codes(table, "emergency"), said, -1)
    return np.where((word >= 0) & ((code < 0) | (code >= CODES_FROM)), word, code)


def alarm_text(number: int) -> str:
    """What a row tells of by its `alarm`: a word of `ALARMS`, or a code."""
    return ALARMS[number] if number < CODES_FROM else f"{number - CODES_FROM:04o}"


def _sorted_once(rows: Rows) -> Rows:
    if not _are_sorted(rows):
        rows = rows.take(np.lexsort((rows.time, rows.aircraft)))
    if not _repeats(rows, "aircraft", "time").any():
        return rows
    rows = rows.take(np.lexsort((_alphabetical(rows, "feed"), rows.time, rows.aircraft)))
    again = _repeats(rows, "aircraft", "time", "feed")
    alike = np.flatnonzero(again | np.r_[again[1:], False])
    order = np.arange(len(rows))
    order[alike] = alike[_best_first(rows.take(alike))]
    return rows.take(order).take(~again)


def _are_sorted(rows: Rows) -> bool:
    before, after = rows.aircraft[:-1], rows.aircraft[1:]
    return bool(((after > before) | ((after == before) & (rows.time[1:] >= rows.time[:-1]))).all())


def _best_first(rows: Rows) -> Ints:
    """The order of rows by aircraft, time and feed, of those alike by quality and receipt, and then by all that tells them
    apart, so that it does not matter in which order they came."""
    return np.lexsort([_alphabetical(rows, name) if name in TEXTS else getattr(rows, name) for name in reversed(RANKED)])


def _alphabetical(rows: Rows, name: str) -> Ints:
    """The place of each row's word among those of all rows, sorted; nothing comes last."""
    used, code = np.unique(getattr(rows, name), return_inverse=True)
    words = rows.text(name, used)
    place = np.empty(len(used), np.int64)
    place[sorted(range(len(used)), key=lambda i: (words[i] is None, words[i] or ""))] = np.arange(len(used))
    return place[code]


def _repeats(rows: Rows, *names: str) -> Flags:
    """Whether a row has these values of the one before it."""
    same = np.ones(max(len(rows) - 1, 0), bool)
    for name in names:
        values = getattr(rows, name)
        same &= values[1:] == values[:-1]
    return np.asarray(np.r_[np.zeros(min(len(rows), 1), bool), same], dtype=bool)


def concatenate(first: Rows, second: Rows) -> Rows:
    """Two sets of rows as one, in this order; the vocabularies are joined."""
    vocabulary, columns = _in_words_after(first, second)
    return Rows(**{name: np.concatenate([getattr(first, name), columns[name]]) for name in ARRAYS}, vocabulary=vocabulary)


def interleaved(some: Rows, rows: Rows, order: Ints) -> Rows:
    """Rows of two sets in an order, which counts those of the second on from the first."""
    vocabulary, columns = _in_words_after(rows, some)
    columns = {name: np.concatenate([columns[name], getattr(rows, name)]).take(order) for name in ARRAYS}
    return Rows(**columns, vocabulary=vocabulary)


def _in_words_after(first: Rows, second: Rows) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The words of two sets of rows, and the columns of the second with codes into these."""
    vocabulary, columns = {}, {name: getattr(second, name) for name in ARRAYS}
    for name in TEXTS:
        words, codes = first.vocabulary[name], columns[name]
        vocabulary[name] = words + second.vocabulary[name]
        columns[name] = np.where(codes >= 0, codes + len(words), -1).astype(np.int32)
    return vocabulary, columns


def compacted(rows: Rows) -> Rows:
    """The same rows with the words that they use alone: rows that are kept from batch to batch must not drag along the
    words of all others."""
    if not len(rows):
        return empty_rows()
    vocabulary: dict[str, list[str]] = {}
    codes: dict[str, Any] = {}
    for name in TEXTS:
        used, code = np.unique(getattr(rows, name), return_inverse=True)
        known = used >= 0
        vocabulary[name] = [rows.vocabulary[name][c] for c in used[known].tolist()]
        codes[name] = (code - int((~known).sum())).astype(np.int32)
    return replace(rows, vocabulary=vocabulary, **codes)


def empty_rows() -> Rows:
    kinds: dict[str, Any] = dict.fromkeys(("aircraft", "time", "received", "also"), np.int64)
    kinds |= dict.fromkeys(("onground", "integrity", "grade"), np.int8) | dict.fromkeys(TEXTS, np.int32)
    kinds |= {"alarm": np.int16, "mlat": bool}
    arrays: dict[str, Any] = {name: np.empty(0, kinds.get(name, np.float64)) for name in ARRAYS}
    return Rows(**arrays, vocabulary={name: [] for name in TEXTS})
