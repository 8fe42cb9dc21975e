"""What became of all requests of a trial: judged from their answers and the ledger.

The ledger is a file to which a script appends a line when it begins and one when it
ends, each with one write(2) to a descriptor opened with O_APPEND; so runs are counted
exactly, also those whose process was killed a moment later.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.live.faults import order
from bench.live.faults.order import Body, Order

_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request came to; times of a monotonic clock, in seconds."""

    order: Order
    sent: float
    ended: float
    status: int  # 0: there was none
    content: bytes
    why: str = ""  # why it is not whole; empty: it is

    @property
    def loss(self) -> str:
        """How it was lost, as its visitor sees it; empty: it is a whole 200."""
        if self.status not in {0, _OK}:
            return str(self.status)
        if self.status and self.why:
            return "cut"
        return self.why


@dataclass(frozen=True, slots=True)
class Deployed:
    """A generation, and when the last of its files was in place."""

    generation: int
    at: float


@dataclass(frozen=True, slots=True)
class Span:
    """When there was load, and since when nothing more was done to the server."""

    begun: float
    quiet: float
    ended: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was seen in one trial."""

    asked: int = 0
    lost: Counter[str] = field(default_factory=Counter)  # by how
    begun: int = 0  # of the lost: how many had begun to run
    twice: int = 0  # POSTs that ran more than once
    again: int = 0  # GETs that did
    bodies: Counter[Body] = field(default_factory=Counter)  # of whole 200s
    old_after_new: int = 0
    lag_s: float = 0.0  # how old the oldest was that was served after a deploy
    gap_s: float = 0.0  # longest time without a right answer
    is_back: bool = True  # there was a right answer to what was asked after the fault
    newest: bool = True  # and it was of the last generation


def judge(
    answers: Sequence[Answer], ledger: str, deploys: Sequence[Deployed], span: Span
) -> Verdict:
    """Return the verdict on all answers; visitors who left have none."""
    begun = runs(ledger)
    lost: Counter[str] = Counter()
    bodies: Counter[Body] = Counter()
    right: list[tuple[Answer, int]] = []
    begun_lost = 0
    for one in answers:
        if one.loss:
            lost[one.loss] += 1
            begun_lost += one.order.id in begun
            continue
        reply = order.read(one.order, one.content)
        bodies[reply.body] += 1
        if reply.body in {Body.RIGHT, Body.MIXED}:
            right.append((one, reply.generation))
    doubled = [methods for methods in begun.values() if len(methods) > 1]
    late = [generation for one, generation in right if one.sent > span.quiet]
    return Verdict(
        asked=len(answers),
        lost=lost,
        begun=begun_lost,
        twice=sum(methods[0] == "POST" for methods in doubled),
        again=sum(methods[0] == "GET" for methods in doubled),
        bodies=bodies,
        old_after_new=_old_after_new(right),
        lag_s=max([_lag(one, g, deploys) for one, g in right], default=0.0),
        gap_s=_gap([one.ended for one, _ in right], span),
        is_back=bool(late),
        newest=not late or max(late) == deploys[-1].generation,
    )


def merged(seen: Sequence[Verdict]) -> Verdict:
    """Return the verdict on several trials of the same: sums, and the worst of each."""
    return Verdict(
        asked=sum(one.asked for one in seen),
        lost=sum([one.lost for one in seen], Counter()),
        begun=sum(one.begun for one in seen),
        twice=sum(one.twice for one in seen),
        again=sum(one.again for one in seen),
        bodies=sum([one.bodies for one in seen], Counter()),
        old_after_new=sum(one.old_after_new for one in seen),
        lag_s=max(one.lag_s for one in seen),
        gap_s=max(one.gap_s for one in seen),
        is_back=all(one.is_back for one in seen),
        newest=all(one.newest for one in seen),
    )


def runs(ledger: str) -> dict[str, list[str]]:
    """Return by request the methods of its runs that have begun."""
    begun: dict[str, list[str]] = {}
    for line in ledger.splitlines():
        word, request, method = line.split(" ")
        if word == "begin":
            begun.setdefault(request, []).append(method)
    return begun


def _old_after_new(right: Sequence[tuple[Answer, int]]) -> int:
    """Count what is older than an answer that had come before it was asked for."""
    ends = sorted([(one.ended, generation) for one, generation in right])
    newest, at, count = 0, 0, 0
    for one, generation in sorted(right, key=lambda pair: pair[0].sent):
        while at < len(ends) and ends[at][0] < one.sent:
            newest = max(newest, ends[at][1])
            at += 1
        count += generation < newest
    return count


def _lag(one: Answer, generation: int, deploys: Sequence[Deployed]) -> float:
    """Return for how long there had been a newer one when it was asked for."""
    newer = [deploy.at for deploy in deploys if deploy.generation > generation]
    return max(0.0, one.sent - min(newer)) if newer else 0.0


def _gap(ends: Sequence[float], span: Span) -> float:
    within = [at for at in sorted(ends) if span.begun < at < span.ended]
    times = [span.begun, *within, span.ended]
    return max(later - sooner for sooner, later in itertools.pairwise(times))
