"""Little room: more scripts than states, and what the simulator says of the same trace.

Each script tells how many requests its state has served, so every first reply of a
state is a cold start that somebody saw. The simulator runs the same policy modules over
the same arrivals; that it comes to the same ratio shows that it simulates this farm.
"""

import bisect
import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.live.crowd import Crowd, Due, Seen
from bench.simulate import machines
from bench.simulate.farm import Arrival, Farm

EXPONENT: Final = 0.9
SERVICE_S: Final = 0.000_2  # what a script takes that only counts
LOAD_S: Final = 0.002
WARM: Final = 0.25  # part of the trace in which the room fills

_SCRIPT: Final = """\
local served = 0
function main(env, con)
  served = served + 1
  con:header("Content-Type", "text/plain")
  con:puts(tostring(served))
end
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """How much is asked for, and how much room there is."""

    scripts: int = 200
    states: int = 50
    rate: float = 100.0  # requests per second
    seconds: float = 60.0
    seed: int = 1


def trace(shape: Shape) -> list[tuple[float, int]]:
    """Return (seconds, script) of Poisson arrivals with Zipf popularity."""
    chance = random.Random(shape.seed)
    weights = [1.0 / (n + 1) ** EXPONENT for n in range(shape.scripts)]
    cumulative = list(itertools.accumulate(weights))
    found: list[tuple[float, int]] = []
    at = chance.expovariate(shape.rate)
    while at < shape.seconds:
        point = chance.random() * cumulative[-1]
        found.append((at, bisect.bisect(cumulative, point)))
        at += chance.expovariate(shape.rate)
    return found


def simulated(shape: Shape, hosts: int, cores: int) -> float:
    """Return cold starts per request, once warm, in the simulator."""
    warm_s = shape.seconds * WARM
    arrivals = [Arrival(at, script, SERVICE_S) for at, script in trace(shape)]
    broker = machines.broker(hosts, shape.states, clones=1, cores=cores)
    farm = Farm(hosts, cores, broker, lambda _: LOAD_S, warm_s)
    requests = sum(arrival.at >= warm_s for arrival in arrivals)
    return farm.run(arrivals).loads / requests


@dataclass(slots=True)
class Outcome:
    """What was seen of the live farm."""

    requests: int = 0  # once warm
    cold: int = 0
    failed: list[Seen] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Cold starts per request."""
        return self.cold / max(self.requests, 1)


def write(root: Path, shape: Shape) -> None:
    """Put the scripts in place."""
    for number in range(shape.scripts):
        (root / f"s{number}.lua").write_text(_SCRIPT)


def live(port: int, shape: Shape) -> Outcome:
    """Ask the farm as the trace says, and return what it answered."""
    due: list[Due] = [(at, f"/s{script}.lua") for at, script in trace(shape)]
    crowd = Crowd(port)
    crowd.ask(due)
    begun = min(one.started for one in crowd.seen)
    outcome = Outcome()
    for one in crowd.seen:
        if one.status != 200 or not one.body.isdigit():
            outcome.failed.append(one)
        elif one.started - begun >= shape.seconds * WARM:
            outcome.requests += 1
            outcome.cold += one.body == "1"
    return outcome
