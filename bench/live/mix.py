"""Quick and slow scripts mixed: how long quick ones take beside slow ones.

Scripts of 10 microseconds to half a second arrive at random and fill four fifths of the
processors. Beside them stands what one queue before all processors would do with the
same arrivals, if it cost nothing: first come, first served.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.live.crowd import Crowd, Due, Seen
from bench.simulate.farm import Arrival, central_queue

QUICK_S: Final = 0.001
"""What is no slower than this is quick."""

TARGET: Final = 1.5  # times the ideal queue's 99 %

SHARES: Final = {
    0.00001: 0.25,
    0.0001: 0.25,
    0.001: 0.25,
    0.01: 0.18,
    0.1: 0.045,
    0.5: 0.025,
}
"""Parts of the requests, by CPU seconds of the script."""

_SCRIPT: Final = """\
function main(env, con)
  local clock = os.clock
  local begun = clock()
  while clock() - begun < {seconds} do end
  con:header("Content-Type", "text/plain")
  con:puts("done")
end
"""


@dataclass(frozen=True, slots=True)
class Mix:
    """How much is asked for."""

    cores: int
    seconds: float = 60.0
    load: float = 0.8
    seed: int = 1

    def arrivals(self) -> list[Arrival]:
        """Return Poisson arrivals; the script is the index of its time."""
        chance = random.Random(self.seed)
        times = list(SHARES)
        mean_s = sum(time * share for time, share in SHARES.items())
        rate = self.load * self.cores / mean_s
        found: list[Arrival] = []
        at = chance.expovariate(rate)
        while at < self.seconds:
            [script] = chance.choices(range(len(times)), list(SHARES.values()))
            found.append(Arrival(at, script, times[script]))
            at += chance.expovariate(rate)
        return found


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds that quick requests took: half, and 99 % of them, took no longer."""

    live: tuple[float, float]
    ideal: tuple[float, float]
    failed: list[Seen]

    @property
    def ratio(self) -> float:
        """99 % on the live farm, in 99 % in the ideal queue."""
        return self.live[1] / self.ideal[1]


def write(root: Path) -> None:
    """Put the scripts in place."""
    for number, seconds in enumerate(SHARES):
        (root / f"m{number}.lua").write_text(_SCRIPT.format(seconds=seconds))


def run(port: int, mix: Mix) -> Outcome:
    """Ask the farm, and compute the queue."""
    arrivals = mix.arrivals()
    warm: list[Due] = [(0.0, f"/m{number}.lua") for number in range(len(SHARES))] * 3
    Crowd(port).ask(warm)
    crowd = Crowd(port)
    crowd.ask([(one.at, f"/m{one.script}.lua") for one in arrivals])
    quick = {
        f"/m{number}.lua" for number, seconds in enumerate(SHARES) if seconds <= QUICK_S
    }
    live = [one.ended - one.started for one in crowd.seen if one.path in quick]
    ideal = [
        sojourn
        for arrival, sojourn in central_queue(arrivals, mix.cores).answered
        if arrival.service_s <= QUICK_S
    ]
    failed = [one for one in crowd.seen if (one.status, one.body) != (200, "done")]
    return Outcome(_shares(live), _shares(ideal), failed)


def _shares(values: list[float]) -> tuple[float, float]:
    values = sorted(values)
    return values[len(values) // 2], values[int(len(values) * 0.99)]
