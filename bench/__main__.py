"""``python -m bench``: measure, print, and write the results."""

import signal
import sys
import time
from types import FrameType

from bench import load, measure, nginx, report
from bench.peers.peer import Peer
from bench.plan import Plan, parse


def main() -> int:
    """Run the benchmark; 0 when every peer answered every request correctly."""
    plan = parse(sys.argv[1:])
    for absent in (load.missing(), nginx.missing()):
        if absent:
            print(f"cannot measure: {absent}", file=sys.stderr)
            return 1
    signal.signal(signal.SIGTERM, _leave)
    started = time.monotonic()
    peers = _present(plan)
    taken = list(measure.samples(plan, peers, plan.scripts, _say))
    cells = measure.medians(taken)
    figures: list[report.Figure] = []
    table = report.rows(cells, plan.relative_to)
    about = [f"{peer.name}: {peer.about}" for peer in peers]
    about.append(
        f"medians of {plan.rounds} alternating rounds of {plan.seconds} s by wrk on the"
        f" same machine; ratio: requests/s relative to {plan.relative_to}"
    )
    print(report.terminal(table))
    for figure in figures:
        print(figure)
    report.write(
        plan.results,
        measure.stamp(),
        report.markdown(table, about, figures),
        {
            "machine": report.machine(),
            "about": about,
            "cells": measure.as_json(cells),
            "samples": measure.as_json(taken),
        },
    )
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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)  # so that the blocks that own processes are left


if __name__ == "__main__":
    sys.exit(main())
