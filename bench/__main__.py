"""``python -m bench``: measure, print, and write the results."""

import dataclasses
import signal
import sys
import time
from collections.abc import Sequence
from statistics import median
from subprocess import SubprocessError
from types import FrameType

from bench import load, measure, nginx, plot, probes, report, sandbox
from bench.client import WrongReplyError
from bench.daemon import DaemonError
from bench.measure import Cell, Sample
from bench.peers.luafarm import Luafarm
from bench.peers.peer import Peer
from bench.plan import Plan, parse
from bench.probes import ProbeError
from bench.report import Figure


def main() -> int:
    """Run the benchmark; 0 when every peer answered every request correctly."""
    plan = parse(sys.argv[1:])
    for absent in (load.missing(), nginx.missing()):
        if absent:
            print(f"cannot measure: {absent}", file=sys.stderr)
            return 1
    signal.signal(signal.SIGTERM, _leave)
    try:
        return _run(plan)
    except (DaemonError, ProbeError, WrongReplyError, SubprocessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(plan: Plan) -> int:
    started = time.monotonic()
    peers = _present(plan)
    taken = list(measure.samples(plan, peers, plan.scripts, _say))
    figures: list[Figure] = []
    for peer in peers:
        if isinstance(peer, Luafarm) and plan.probes:
            figures += _probe(plan, peer)
            taken_apart, cost = _sandbox(plan)
            taken += taken_apart
            figures += cost
    figures += _noise(taken)
    _publish(plan, peers, taken, figures)
    _say(f"{time.monotonic() - started:.0f} s; results in {plan.results}")
    return 1 if any(sample.errors for sample in taken) else 0


def _present(plan: Plan) -> list[Peer]:
    present = []
    for peer in plan.peers:
        absent = peer.missing()
        if absent:
            print(f"skipped {peer.name}: {absent}")
        else:
            present.append(peer)
    return present


def _probe(plan: Plan, peer: Luafarm) -> list[Figure]:
    _say("probes: cold scripts, changed scripts, a lost VM host")
    with measure.serving(plan, peer) as (served, _):
        return list(probes.figures(served, plan.probes))


def _sandbox(plan: Plan) -> tuple[list[Sample], list[Figure]]:
    """Sandboxed against trusted, at the highest moderate concurrency of the plan."""
    moderate = [c for c in plan.concurrency if c <= sandbox.CONCURRENCY]
    narrow = dataclasses.replace(plan, concurrency=tuple(moderate[-1:]))
    scripts = [one for one in plan.scripts if one.name in sandbox.SCRIPTS]
    taken = list(measure.samples(narrow, sandbox.peers(plan.luafarm), scripts, _say))
    return taken, sandbox.cost(measure.medians(taken))


def _noise(taken: Sequence[Sample]) -> list[Figure]:
    """How much else went on: above a few per cent, measure again on a quiet machine."""
    shares = [100 * sample.foreign for sample in taken]
    if not shares:
        return []
    return [
        Figure("CPU of other processes, median over loads", median(shares), "%"),
        Figure("CPU of other processes, worst load", max(shares), "%"),
    ]


def _publish(
    plan: Plan, peers: Sequence[Peer], taken: Sequence[Sample], figures: list[Figure]
) -> None:
    cells: list[Cell] = measure.medians(taken)
    table = report.rows(cells, plan.relative_to)
    about = [f"{peer.name}: {peer.about}" for peer in peers]
    about.append(
        f"medians of {plan.rounds} alternating rounds of {plan.seconds} s by wrk on the"
        f" same machine; ratio: requests/s relative to {plan.relative_to}"
    )
    print(report.terminal(table))
    for figure in figures:
        print(figure)
    name = measure.stamp()
    report.write(
        plan.results,
        name,
        report.markdown(table, about, figures),
        {
            "machine": report.machine(),
            "about": about,
            "figures": [dataclasses.asdict(figure) for figure in figures],
            "cells": [dataclasses.asdict(cell) for cell in cells],
            "samples": [dataclasses.asdict(sample) for sample in taken],
        },
    )
    plot.write(plan.results, cells)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)  # so that the blocks that own processes are left


if __name__ == "__main__":
    sys.exit(main())
