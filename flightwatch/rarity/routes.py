"""Where an aircraft goes from here: a distribution over all airports, given the aircraft, where it is, and the past.

In: flights, one after the other, with their destinations once they are over. Out: for each of them, from what came before,
the probability of every airport of the table, of every other code that was seen, and of a place in no table; together one.

The model is a product of experts (Hinton, Neural Computation 14, 2002) whose weights are learned flight by flight, as
compressors mix their models (Mahoney, PAQ, technical report CS-2005-16). Airports that were seen before start from how
popular they are among all. Each table of earlier destinations - of the aircraft, of the place, of both, of the operator or
the type with the place, of the place on that day of the week, of the place after the one before, of the place after a
landing elsewhere - adds w log(1 + n / q) for an airport that it has n times where q is the popularity: nothing where it
has none, so a table that knows nothing leaves the rest as it is. w is learned for each table by how often it was asked.
So are the weights of what is no table: the way back, the place that it left and was not seen to come back to, the
length of the way. One more candidate stands for all airports never seen; what goes to it is shared out by size, runway, length
of the way, country, and how near the known ones are (`Unseen`).

Weights take a step up the gradient of the log probability after each flight (AdaGrad: Duchi, Hazan and Singer, Journal of
Machine Learning Research 12, 2011). The first weights and the steps serve a charter fleet, each of its types by itself, and
a private jet alike; each list then finds its own.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flightwatch.places import Airports
from flightwatch.places.great_circle import distance_nm

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NOWHERE = -1
"""An end that is not known."""

STEP, CAUTION = 0.08, 4.0
"""How far a weight moves at first, and the squared gradients that it counts as seen before: the steps become smaller."""

FIRST_WEIGHTS = {
    "popularity": 0.7,
    "place": 0.25,
    "aircraft": 0.15,
    "aircraft and place": 0.2,
    "operator and place": 0.1,
    "type and place": 0.05,
    "place and weekday": 0.1,
    "place and the one before": 0.1,
    "place after another": 0.1,
    "there and back": 0.05,
    "its own back": 0.15,
    "length": 0.3,
}

ASKED_CLASSES = 4
"""Tables are told apart by how often they were asked: once, up to 3, up to 7 times, or more."""

FADING = {
    "place": 0.995,
    "type": 0.995,
    "operator": 0.995,
    "type and place": 0.995,
    "operator and place": 0.995,
}
"""What is left of a count when its table learns the next flight: some two hundred flights are remembered."""

FADING_OF_OTHERS = 0.97
"""Of the narrow tables thirty."""

TABLES_KEPT = 400_000
"""Tables beyond this are forgotten, those first that were not touched for the longest time: half a kilobyte each."""

OUTSIDE = 1 / 64
"""Of what goes to places never seen, the share of those that stand in no table of airports."""

NEW_FADING, NEW_FIRST, NEW_OF = 0.99, 1.0, 2.0
"""The share of flights to places never seen, over the last hundred; before any, a half."""

JUST_NOW_DAYS = 0.5, 1.5, 4.0
"""How long ago it left a place that it was not seen to come back to: the same day, the day before, some days, longer."""

LONG_GONE_DAYS = 30.0
"""Then it came back unseen, if at all."""

SOON_DAYS = 2.0
"""A way back within this is out and back."""

NEAREST_NM, LENGTH_CLASSES = 25.0, 10
"""The shortest class of lengths reaches to twice this; each other one is twice as long as the one before."""

USUAL_LENGTHS = np.array([0.3, 0.5, 0.8, 1.5, 3.0, 3.0, 2.0, 1.0, 0.4, 0.1])
"""Flights of each class before any is known: most go 200 to 2,000 nm."""

ORIGINS_KEPT = 256
"""Origins whose distances to all airports are remembered (50 kB each)."""


@dataclass(frozen=True, slots=True)
class Flight:
    """What is known of a flight when it takes off. `origin` is a row of the airport table, or a number beyond it for another
    code, or NOWHERE; `time_d` are days since 1970, UTC."""

    aircraft: Hashable
    operator: Hashable | None
    typecode: Hashable | None
    origin: int
    time_d: float


class Table:
    """Counts of places that fade as new ones come: `places` and `counts` of one length, in the order of their coming."""

    __slots__ = ("_size", "_unit", "_weights", "_where", "_wheres")

    def __init__(self) -> None:
        self._where: dict[int, int] = {}
        self._wheres = np.empty(4, np.int64)
        self._weights = np.empty(4)
        self._size = 0
        self._unit = 1.0

    def add(self, place: int, fading: float = 1.0) -> None:
        self._unit /= fading
        if self._unit > 1e9:  # long before the weights lose digits
            self._weights /= self._unit
            self._unit = 1.0
        i = self._where.setdefault(place, self._size)
        if i == self._size:
            if i == len(self._wheres):
                self._wheres, self._weights = np.resize(self._wheres, 2 * i), np.resize(self._weights, 2 * i)
            self._wheres[i], self._weights[i] = place, 0.0
            self._size += 1
        self._weights[i] += self._unit

    @property
    def places(self) -> Ints:
        return self._wheres[: self._size]

    @property
    def counts(self) -> Floats:
        return np.asarray(self._weights[: self._size] / self._unit)


Said = tuple[str, Ints, Floats]
"""What one expert says: its name, candidates by their numbers, and a value for each."""


@dataclass(frozen=True)
class Weighed:
    """The candidates of one flight, by number: the airports seen so far, in the order of their coming, and last all others.
    What the experts said stands in three arrays of one length; `probability` is one for each candidate."""

    experts: Ints
    candidates: Ints
    values: Floats
    probability: Floats


class Destinations:
    """The model. `learn` takes flights in the order in which they ended."""

    def __init__(self, airports: Airports) -> None:
        self.airports = airports
        self.experts: dict[str, int] = {}
        self.weights = np.zeros(64)
        self._squares = np.full(64, CAUTION)
        self._tables: OrderedDict[tuple[Hashable, ...], Table] = OrderedDict()
        self._seen: list[int] = []
        self._number: dict[int, int] = {}
        self._rows = np.empty(64, np.int64)
        self._popular = np.zeros(64)
        self._ones = np.ones(64)
        self._total = 0.0
        self._new, self._all = NEW_FIRST, NEW_OF
        self._lengths = np.zeros(LENGTH_CLASSES)
        self._last: dict[Hashable, tuple[int, int, float]] = {}
        self._left: defaultdict[Hashable, dict[int, float]] = defaultdict(dict)
        self._unseen = Unseen(airports)
        self._weighed: tuple[Flight, Weighed] | None = None

    # ------------------------------------------------------------------------------------------------------------ asking

    def bits(self, flight: Flight, destination: int) -> float:
        """-log2 of the probability of the destination."""
        probability = self.weigh(flight).probability
        number = self._number.get(destination)
        if number is not None:
            return -math.log2(probability[number])
        if destination >= len(self.airports):
            return -math.log2(probability[-1] * OUTSIDE)
        share = self._unseen.shares(flight.origin, self._lengths, self._seen_rows())[destination]
        return -math.log2(probability[-1] * (1 - OUTSIDE) * share)

    def distribution(self, flight: Flight) -> tuple[Floats, dict[int, float], float]:
        """The probability of each row of the airport table, of each other code that was seen, and of any other place."""
        probability = self.weigh(flight).probability
        rows = self._unseen.shares(flight.origin, self._lengths, self._seen_rows()) * (probability[-1] * (1 - OUTSIDE))
        others = {}
        for place, p in zip(self._seen, probability.tolist(), strict=False):  # the last one is for all others
            if place < len(self.airports):
                rows[place] = p
            else:
                others[place] = p
        return rows, others, float(probability[-1] * OUTSIDE)

    def weigh(self, flight: Flight) -> Weighed:
        """What the experts say of a flight, put together."""
        if self._weighed is not None and self._weighed[0] == flight:
            return self._weighed[1]
        count = len(self._seen)
        new = self._new / self._all
        popular = self._popular[:count] / max(self._total, 1.0) * (1 - new)
        said = (*self._of_all(flight, popular), *self._of_tables(flight, popular), *self._of_ways(flight))
        experts = np.repeat([self._expert(name) for name, _, _ in said], [len(values) for _, _, values in said])
        candidates = np.concatenate([numbers for _, numbers, _ in said])
        values = np.concatenate([values for _, _, values in said])
        score = np.bincount(candidates, weights=self.weights[experts] * values, minlength=count + 1)
        score[count] += math.log(new)
        score = np.exp(score - score.max())
        weighed = Weighed(experts, candidates, values, score / score.sum())
        self._weighed = flight, weighed
        return weighed

    def _expert(self, name: str) -> int:
        """The place of an expert's weight."""
        if name not in self.experts:
            number = self.experts[name] = len(self.experts)
            if number == len(self.weights):
                self.weights = np.append(self.weights, np.zeros(number))
                self._squares = np.append(self._squares, np.full(number, CAUTION))
            self.weights[number] = FIRST_WEIGHTS.get(name.partition(":")[0], 0.0)
        return self.experts[name]

    def _of_all(self, flight: Flight, popular: Floats) -> Iterator[Said]:
        """What is said of every candidate: its popularity, the length of the way; and of the new ones how well the aircraft
        and the place are known."""
        every, others = np.arange(len(popular)), np.array([len(popular)])
        yield "popularity", every, np.log(popular)
        yield "new", others, self._ones[:1]
        for name, key in (("aircraft", flight.aircraft), ("place", flight.origin)):
            known = self._tables.get((name, key))
            asked = 0.0 if known is None else float(known.counts.sum())
            yield f"new after so many: {name}", others, np.array([math.log1p(asked)])
        classes = self._length_classes(flight.origin)
        if classes is None:
            return
        lengths = classes[self._rows[: len(popular)]]  # -1, the last one, for other codes
        drawn = self._lengths + USUAL_LENGTHS
        there = np.bincount(lengths + 1, weights=popular, minlength=LENGTH_CLASSES + 1)[1:]
        ratio = np.log(drawn / drawn.sum()) - np.log(there / max(there.sum(), 1e-9) + 1e-3)
        yield "length", every, np.append(ratio, 0.0)[lengths]

    def _of_tables(self, flight: Flight, popular: Floats) -> Iterator[Said]:
        for key in self._keys(flight):
            table = self._tables.get(key)
            if table is None:
                continue
            counts, candidates = table.counts, table.places
            asked = min(int(math.log2(counts.sum() + 1)), ASKED_CLASSES - 1)
            yield f"{key[0]}:{asked}", candidates, np.log1p(counts / popular[candidates])
            yield f"known to {key[0]}:{asked}", candidates, self._ones[: len(candidates)]

    def _of_ways(self, flight: Flight) -> Iterator[Said]:
        """The way back, the place itself, and those that it left and was not seen to come back to."""
        here = flight.origin
        if (back := self._tables.get(("there and back", here))) is not None:
            counts = back.counts / self._popular[back.places]
            yield "there and back", back.places, np.log1p(counts * max(self._total, 1.0))
        if (own := self._tables.get(("its own back", flight.aircraft, here))) is not None:
            yield "its own back", own.places, np.log1p(own.counts)
        yield from self._single("stays", here)
        ages = defaultdict(list)
        for place, since_d in self._left[flight.aircraft].items():
            if place != here:
                ages[bisect_right(JUST_NOW_DAYS, flight.time_d - since_d)].append(self._number[place])
        for age, numbers in ages.items():
            yield f"left and not back:{age}", np.array(numbers), self._ones[: len(numbers)]
        if flight.aircraft in self._last:
            origin, destination, time_d = self._last[flight.aircraft]
            follows = destination == here
            soon = flight.time_d - time_d < SOON_DAYS
            if origin != here:
                yield from self._single(f"back:{follows:d}{soon:d}", origin)
            if not follows:
                yield from self._single("where it was last", destination)

    def _single(self, expert: str, place: int) -> Iterator[Said]:
        if place in self._number:
            yield expert, np.array([self._number[place]]), self._ones[:1]

    def _keys(self, flight: Flight) -> Iterator[tuple[Hashable, ...]]:
        """The tables that a flight asks and teaches."""
        here = flight.origin
        yield "aircraft", flight.aircraft
        for name, whose in (("type", flight.typecode), ("operator", flight.operator)):
            if whose is not None:
                yield name, whose
                if here != NOWHERE:
                    yield f"{name} and place", whose, here
        if here == NOWHERE:
            return
        yield "aircraft and place", flight.aircraft, here
        yield "place", here
        yield "place and weekday", here, math.floor(flight.time_d) % 7
        if flight.aircraft in self._last:
            origin, destination, _ = self._last[flight.aircraft]
            if destination == here and origin != NOWHERE:
                yield "place and the one before", origin, here
            elif destination not in (here, NOWHERE):
                yield "place after another", destination, here

    # ----------------------------------------------------------------------------------------------------------- learning

    def learn(self, flight: Flight, destination: int) -> None:
        """Takes in a flight that is over; NOWHERE where its destination is not known."""
        if destination != NOWHERE:
            self._step(flight, destination)
        for place, weight in ((flight.origin, 0.5), (destination, 1.0)):
            if place != NOWHERE:
                self._see(place, weight)
        if destination != NOWHERE:
            self._count(flight, destination)
        self._move(flight, destination)
        self._weighed = None
        while len(self._tables) > TABLES_KEPT:
            self._tables.popitem(last=False)

    def _step(self, flight: Flight, destination: int) -> None:
        """Moves the weights up the gradient of the log probability of what happened."""
        weighed = self.weigh(flight)
        truth = self._number.get(destination, len(self._seen))
        if truth == len(self._seen) and destination < len(self.airports):
            self._unseen.step(flight.origin, self._lengths, self._seen_rows(), destination)
        new = float(truth == len(self._seen))
        self._new, self._all = self._new * NEW_FADING + new, self._all * NEW_FADING + 1.0
        surprise = ((weighed.candidates == truth) - weighed.probability[weighed.candidates]) * weighed.values
        gradient = np.bincount(weighed.experts, weights=surprise, minlength=len(self.weights))
        self._squares += gradient**2
        self.weights += STEP * gradient / np.sqrt(self._squares)

    def _see(self, place: int, weight: float) -> None:
        """A place that flights only left counts as a destination by half."""
        if place not in self._number:
            self._number[place] = count = len(self._seen)
            self._seen.append(place)
            if count == len(self._rows):
                self._rows, self._popular = np.resize(self._rows, 2 * count), np.append(self._popular, np.zeros(count))
                self._ones = np.ones(2 * count)
            self._rows[count] = place if place < len(self.airports) else -1
            if place < len(self.airports):
                self._unseen.visit(place)
        elif weight < 1.0:
            return
        self._popular[self._number[place]] += weight
        self._total += weight

    def _count(self, flight: Flight, destination: int) -> None:
        number, here = self._number[destination], flight.origin
        for key in self._keys(flight):
            self._table(key).add(number, FADING.get(str(key[0]), FADING_OF_OTHERS))
        if here != NOWHERE:
            self._table(("there and back", destination)).add(self._number[here])
            self._table(("its own back", flight.aircraft, destination)).add(self._number[here])
            classes = self._length_classes(here)
            if classes is not None and destination < len(self.airports):
                self._lengths[classes[destination]] += 1

    def _table(self, key: tuple[Hashable, ...]) -> Table:
        table = self._tables.setdefault(key, Table())
        self._tables.move_to_end(key)
        return table

    def _move(self, flight: Flight, destination: int) -> None:
        """Where the aircraft is now, and which places it left without being seen to arrive there before or after."""
        left = self._left[flight.aircraft]
        left.pop(destination, None)
        for place in [place for place, since_d in left.items() if flight.time_d - since_d > LONG_GONE_DAYS]:
            del left[place]
        last = self._last.get(flight.aircraft)
        if flight.origin != NOWHERE and (last is None or last[1] != flight.origin):
            left.setdefault(flight.origin, flight.time_d)
        self._last[flight.aircraft] = flight.origin, destination, flight.time_d

    def _length_classes(self, origin: int) -> NDArray[np.int8] | None:
        return self._unseen.length_classes(origin) if 0 <= origin < len(self.airports) else None

    def _seen_rows(self) -> Ints:
        rows = self._rows[: len(self._seen)]
        return rows[rows >= 0]


SIZES = {"large": 40.0, "medium": 6.0, "small": 0.3, "seaplane": 0.05, "city": 0.01}
"""Relative traffic of airports by size before any history; lists name cities now and then."""

SCHEDULED = 3.0
"""Airports with scheduled service see more of everything."""

SHORTEST_FT, LONGEST_FT = 1000.0, 12_000.0
"""Beyond these a runway makes no difference; one whose length is not known counts as 3,000 ft."""

NEIGHBOUR_NM = 30.0
"""Being as near as this to a known airport speaks for an airport, and being nearer hardly more so."""

FAR_NM = 10_000.0

UNSEEN_WEIGHTS = np.array([1.2, 0.5, 0.6, 0.5, 0.3])
UNSEEN_STEP, UNSEEN_CAUTION = 0.1, 10.0
"""First weights of size, runway, length, country and nearness; steps as above, smaller, because new airports are few."""


class Unseen:
    """How probable each airport is among those that no flight of the history touched."""

    def __init__(self, airports: Airports) -> None:
        self.airports = airports
        self.weights = UNSEEN_WEIGHTS.copy()
        self._squares = np.full(len(UNSEEN_WEIGHTS), UNSEEN_CAUTION)
        size = np.array([SIZES[s] for s in airports.size]) * np.where(airports.scheduled, SCHEDULED, 1.0)
        runway_ft = np.clip(np.nan_to_num(airports.runway_ft, nan=3000.0), SHORTEST_FT, LONGEST_FT)
        self._size, self._traffic, self._runway = np.log(size), size, np.log(runway_ft / SHORTEST_FT)
        self._country = np.unique(airports.country, return_inverse=True)[1]
        self._nearest_nm = np.full(len(airports), FAR_NM)
        self._classes: OrderedDict[int, NDArray[np.int8]] = OrderedDict()

    def visit(self, row: int) -> None:
        """An airport is known from now on."""
        table = self.airports
        away = distance_nm(table.latitude[row], table.longitude[row], table.latitude, table.longitude)
        self._nearest_nm = np.minimum(self._nearest_nm, away)

    def shares(self, origin: int, lengths: Floats, seen: Ints) -> Floats:
        """A probability for each row of the airport table; zero for those seen. `lengths`: earlier flights by class."""
        return self._shares(self._features(origin, lengths, seen), seen)

    def step(self, origin: int, lengths: Floats, seen: Ints, destination: int) -> None:
        """Learns from a flight to an airport that was not seen before."""
        features = self._features(origin, lengths, seen)
        gradient = features[:, destination] - features @ self._shares(features, seen)
        self._squares += gradient**2
        self.weights += UNSEEN_STEP * gradient / np.sqrt(self._squares)

    def _shares(self, features: Floats, seen: Ints) -> Floats:
        score = self.weights @ features
        score[seen] = -np.inf
        share = np.exp(score - score.max())
        return np.asarray(share / share.sum())

    def _features(self, origin: int, lengths: Floats, seen: Ints) -> Floats:
        """One row for each weight, one column for each airport."""
        near = -np.log1p(self._nearest_nm / NEIGHBOUR_NM)
        if not 0 <= origin < len(self.airports):
            nothing = np.zeros(len(self.airports))
            return np.stack([self._size, self._runway, nothing, nothing, near])
        traffic = self._traffic.copy()
        traffic[seen] = 0.0
        classes = self.length_classes(origin)
        there = np.bincount(classes, weights=traffic, minlength=LENGTH_CLASSES)
        drawn = lengths + USUAL_LENGTHS
        length = np.log(drawn / drawn.sum()) - np.log(there / there.sum() + 1e-3)
        same = self._country == self._country[origin]
        return np.stack([self._size, self._runway, length[classes], same.astype(np.float64), near])

    def length_classes(self, origin: int) -> NDArray[np.int8]:
        """The class of the way to each airport."""
        if origin not in self._classes:
            table = self.airports
            nm = distance_nm(table.latitude[origin], table.longitude[origin], table.latitude, table.longitude)
            doublings = np.floor(np.log2(np.maximum(nm, NEAREST_NM) / NEAREST_NM))
            self._classes[origin] = np.minimum(doublings, LENGTH_CLASSES - 1).astype(np.int8)
            while len(self._classes) > ORIGINS_KEPT:
                self._classes.popitem(last=False)
        self._classes.move_to_end(origin)
        return self._classes[origin]
