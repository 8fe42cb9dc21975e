"""Farms' workloads: scripts from 10 microseconds to half a second, mixed."""

import bisect
import itertools
import math
import random
from dataclasses import dataclass
from typing import Final

from bench.simulate.farm import Arrival

SHORT_S: Final = 0.001
"""Requests that take less are short: nothing slow may stand in their way."""


@dataclass(frozen=True, slots=True)
class Scripts:
    """What each script takes: typical service time, and loading."""

    service_s: tuple[float, ...]
    load_s: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def mean_s(self) -> float:
        """Return the mean service time of a request."""
        pairs = zip(self.service_s, self.weights, strict=True)
        return sum(s * w for s, w in pairs) / sum(self.weights)


def mixed(number: int, seed: int) -> Scripts:
    """Return scripts of which most are short and a few take up to half a second."""
    chance = random.Random(seed)
    service: list[float] = []
    ranks = list(range(1, number + 1))
    chance.shuffle(ranks)
    for rank in ranks:
        # what half a site asks for all the time is not what takes half a second
        kind = chance.random() * (0.9 if rank <= number // 50 else 1.0)
        if kind < 0.80:
            service.append(math.exp(chance.uniform(math.log(10e-6), math.log(1e-3))))
        elif kind < 0.97:
            service.append(math.exp(chance.uniform(math.log(1e-3), math.log(20e-3))))
        else:
            service.append(math.exp(chance.uniform(math.log(20e-3), math.log(0.5))))
    load = [
        min(max(chance.lognormvariate(-6.9, 1.4), 5e-5), 0.1) for _ in range(number)
    ]
    weights = [1.0 / rank**0.9 for rank in ranks]
    return Scripts(tuple(service), tuple(load), tuple(weights))


def arrivals(
    scripts: Scripts, cores: int, busy: float, seconds: float, seed: int
) -> list[Arrival]:
    """Return Poisson arrivals that keep this part of the cores busy."""
    chance = random.Random(seed)
    rate = busy * cores / scripts.mean_s
    cumulative = list(itertools.accumulate(scripts.weights))
    found: list[Arrival] = []
    at = chance.expovariate(rate)
    while at < seconds:
        script = bisect.bisect(cumulative, chance.random() * cumulative[-1])
        # most requests of a script take about the same time, a few three times as long
        factor = (
            chance.choice((0.8, 0.9, 1.0, 1.0, 1.1)) if chance.random() < 0.95 else 3
        )
        found.append(Arrival(at, script, scripts.service_s[script] * factor))
        at += chance.expovariate(rate)
    return found
