"""Request traces: synthetic ones with all that popularity does, and recorded ones."""

import bisect
import itertools
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Request = tuple[float, int]
"""(seconds, script)"""

_EPOCH_S: Final = 10.0  # popularity is constant in between


@dataclass(frozen=True, slots=True)
class Shape:
    """What a synthetic trace is like."""

    scripts: int = 4000
    rate: float = 250.0  # requests per second
    seconds: float = 400.0
    zipf: float = 0.9
    drift: float = 0.02  # part of the ranks that change places in each epoch
    flashes: int = 4  # crowds that take a third of all requests for a while
    scans: int = 2  # crawlers that ask for every script once
    releases: int = 2  # a twentieth of the scripts is replaced by new ones
    pollers: int = 100  # scripts asked for every 30 s, like clockwork


class Trace:
    """Requests in order of time, with the rates behind them and the cost of loading."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self.shape = shape
        self.seed = seed
        chance = random.Random(seed)
        total = shape.scripts + shape.releases * (shape.scripts // 20)
        #: seconds that loading takes: tiny scripts and heavy frameworks
        self.load_s = [_load_s(chance) for _ in range(total)]
        self.kib = [int(30 + 20 * chance.expovariate(0.5)) for _ in range(total)]
        self._weights = [1.0 / (n + 1) ** shape.zipf for n in range(shape.scripts)]
        self._rates: list[dict[int, float]] = []
        self.requests = list(self._generate(chance))

    @property
    def scripts(self) -> int:
        """Return the number of scripts that exist at any time."""
        return len(self.load_s)

    def rates(self, now: float) -> dict[int, float]:
        """Return requests per second by script, as an oracle knows them."""
        return self._rates[min(int(now / _EPOCH_S), len(self._rates) - 1)]

    def _generate(self, chance: random.Random) -> Iterator[Request]:
        shape = self.shape
        ranked = list(range(shape.scripts))
        chance.shuffle(ranked)
        epochs = math.ceil(shape.seconds / _EPOCH_S)
        flash_at = {chance.randrange(epochs): None for _ in range(shape.flashes)}
        scan_at = {chance.randrange(epochs): None for _ in range(shape.scans)}
        release_at = [
            (n + 1) * epochs // (shape.releases + 1) for n in range(shape.releases)
        ]
        polled = chance.sample(range(shape.scripts), shape.pollers)
        offsets = {script: chance.uniform(0.0, 30.0) for script in polled}
        cumulative = list(itertools.accumulate(self._weights))
        for epoch in range(epochs):
            start = epoch * _EPOCH_S
            if epoch in release_at:
                first = shape.scripts + release_at.index(epoch) * (shape.scripts // 20)
                for i in range(shape.scripts // 20):
                    ranked[chance.randrange(shape.scripts)] = first + i
            for _ in range(int(shape.drift * shape.scripts)):
                i, j = chance.randrange(shape.scripts), chance.randrange(shape.scripts)
                ranked[i], ranked[j] = ranked[j], ranked[i]
            flash = chance.choice(ranked) if epoch in flash_at else None
            self._rates.append(self._rates_of(ranked, cumulative[-1], flash, polled))
            requests = self._epoch(chance, start, ranked, cumulative, flash)
            if epoch in scan_at:
                step = _EPOCH_S / shape.scripts * 2
                part = range(0, shape.scripts, 2)
                requests += [(start + n / 2 * step, ranked[n]) for n in part]
            for script, offset in offsets.items():
                due = offset + math.ceil((start - offset) / 30.0) * 30.0
                if start <= due < start + _EPOCH_S:
                    requests.append((due, script))
            yield from sorted(r for r in requests if r[0] < shape.seconds)

    def _epoch(
        self,
        chance: random.Random,
        start: float,
        ranked: list[int],
        cumulative: list[float],
        flash: int | None,
    ) -> list[Request]:
        requests: list[Request] = []
        rate = self.shape.rate * (1.5 if flash is not None else 1.0)
        at = start + chance.expovariate(rate)
        while at < start + _EPOCH_S:
            if flash is not None and chance.random() < 1 / 3:
                requests.append((at, flash))
            else:
                point = chance.random() * cumulative[-1]
                requests.append((at, ranked[bisect.bisect(cumulative, point)]))
            at += chance.expovariate(rate)
        return requests

    def _rates_of(
        self, ranked: list[int], total: float, flash: int | None, polled: list[int]
    ) -> dict[int, float]:
        rates = {
            script: self.shape.rate * weight / total
            for script, weight in zip(ranked, self._weights, strict=True)
        }
        if flash is not None:
            rates[flash] = rates.get(flash, 0.0) + self.shape.rate / 2
        for script in polled:
            rates[script] = rates.get(script, 0.0) + 1 / 30
        return rates


class Recorded(Trace):
    """The requests that a broker recorded (`[broker] record`)."""

    def __init__(self, file: Path) -> None:
        self.shape = Shape()
        self.seed = 0
        numbers: dict[str, int] = {}
        costs: dict[str, tuple[float, int]] = {}
        self.requests = []
        for line in file.read_text("ascii").splitlines():
            entry = json.loads(line)
            script = numbers.setdefault(entry["script"], len(numbers))
            if "load_s" in entry:
                costs[entry["script"]] = (entry["load_s"], entry["kib"])
            else:
                self.requests += [(entry["at"], script)] * entry["requests"]
        self.requests.sort()
        #: by number
        self.names = list(numbers)
        known = [costs.get(name, (0.002, 100)) for name in numbers]
        self.load_s = [load_s for load_s, _ in known]
        self.kib = [kib for _, kib in known]
        times = [at for at, _ in self.requests] or [0.0]
        seconds = max(times[-1] - times[0], 1.0)
        counted = [0] * len(numbers)
        for _, script in self.requests:
            counted[script] += 1
        # an oracle of a recorded trace knows the rates over all of it
        self._rates = [{n: count / seconds for n, count in enumerate(counted)}]


def _load_s(chance: random.Random) -> float:
    """Return what loading a script takes: 0.05 to 200 ms, 3.5 on average."""
    return min(max(chance.lognormvariate(math.log(0.0006), 2.0), 0.00005), 0.2)
