"""What will be done to the farm and when: drawn from the seed and nothing else."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.kinds import Kind, Lane

QUIET_S = 2.0
"""Nothing is done at first, so that there is load, nor at the end, so that there is
something to see of what was done last."""

_GAPS_S = {Lane.FAULTS: (1.0, 5.0), Lane.DEPLOYS: (0.3, 2.5)}


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault to come; `pick` chooses among what can be its victim by then."""

    kind: str
    at_s: float  # from the beginning
    span_s: float
    pick: int

    def __str__(self) -> str:
        """Return it as a line of the timeline."""
        span = f" for {self.span_s:.1f} s" if self.span_s else ""
        return f"{self.at_s:6.1f} s  {self.kind}{span}"


def timeline(
    seed: int, seconds: float, kinds: Sequence[Kind]
) -> dict[Lane, tuple[Planned, ...]]:
    """Return what is done in each lane, in order."""
    return {
        lane: _drawn(
            random.Random(f"{seed} {lane.value}"),
            seconds,
            [kind for kind in kinds if kind.lane is lane],
            _GAPS_S[lane],
        )
        for lane in Lane
    }


def _drawn(
    drawing: random.Random,
    seconds: float,
    kinds: Sequence[Kind],
    gaps_s: tuple[float, float],
) -> tuple[Planned, ...]:
    planned: list[Planned] = []
    left: list[Kind] = []
    at_s = QUIET_S
    while kinds:
        if not left:  # every kind once before any comes again: short runs see all
            left = drawing.sample(kinds, len(kinds))
        at_s += drawing.uniform(*gaps_s)
        kind = left.pop()
        span_s = drawing.uniform(*kind.span_s)
        if at_s + span_s > seconds - QUIET_S:
            break
        planned.append(Planned(kind.name, at_s, span_s, drawing.randrange(1 << 16)))
        at_s += span_s
    return tuple(planned)
