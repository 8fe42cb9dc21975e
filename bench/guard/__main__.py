"""``python -m bench.guard``: count the main paths and compare with the kept figures.

Instructions of a request are the difference between two runs of different length under
valgrind, so that what starts and ends a process cancels out; they hardly depend on the
machine and not on what else it does. CPU time is the quickest batch, relative to a loop
of plain Python timed in the same process; it is only to notice what instructions do not
tell, and has a wide tolerance.

``--keep`` writes what was found as the new figures.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from luafarm.command.tables import render

PATHS: Final = ("front, hello", "host, hello", "host, dump", "host, bench1")
KEPT: Final = Path(__file__).with_name("figures.json")
RUN: Final = Path(__file__).with_name("run.py")
BATCH: Final = 16
SHORT: Final = 10  # batches
LONG: Final = 50
TIMED: Final = 600
INSTRUCTIONS: Final = 0.03  # of a figure: as much worse is a fault
CPU: Final = 1.0  # the loop itself differs by half between runs
LIMIT_S: Final = 150

_COUNTED: Final = re.compile(r"I\s+refs:\s+([\d,]+)")
COLUMNS: Final = ("path", "instructions", "kept", "more", "loops", "kept", "more", "µs")


class GuardError(RuntimeError):
    """A path could not be run or counted."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one request of a path costs."""

    instructions: int  # 0: not counted
    loops: float  # CPU time, in runs of the loop of plain Python
    cpu_us: float  # the same on this machine, now


def main() -> int:
    """Return 0 when no path got clearly worse than its kept figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep what is found")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: instructions are not counted")
    try:
        found = {path: measure(path) for path in PATHS}
    except GuardError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    kept = {name: Found(**row) for name, row in json.loads(KEPT.read_text()).items()}
    print(
        render(COLUMNS, [_row(path, found[path], kept.get(path)) for path in PATHS]),
        end="",
    )
    if options.keep:
        rows = {path: asdict(one) for path, one in found.items()}
        KEPT.write_text(json.dumps(rows, indent=1) + "\n")
        return 0
    worse = [path for path in PATHS if is_worse(found[path], kept.get(path))]
    for path in worse:
        print(f"{path}: clearly more than the kept figures", file=sys.stderr)
    return 1 if worse else 0


def measure(path: str) -> Found:
    """Run a path three times: timed, and counted at two lengths."""
    timed = _run([path, str(TIMED)], [])
    loops, cpu_us = timed.split()
    instructions = 0
    if shutil.which("valgrind") is not None:
        counts = [_count(path, turns) for turns in (SHORT, LONG)]
        instructions = round((counts[1] - counts[0]) / ((LONG - SHORT) * BATCH))
    return Found(instructions, round(float(loops), 3), round(float(cpu_us), 2))


def is_worse(found: Found, kept: Found | None) -> bool:
    """Return whether a path costs clearly more than it did."""
    if kept is None:
        return False
    return _excess(found.instructions, kept.instructions) > INSTRUCTIONS or (
        _excess(found.loops, kept.loops) > CPU
    )


def _excess(found: float, kept: float) -> float:
    return found / kept - 1 if kept else 0.0


def _count(path: str, turns: int) -> int:
    tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no"]
    tool.append(f"--cachegrind-out-file={os.devnull}")
    said = _run([path, str(turns)], tool)
    counted = _COUNTED.search(said)
    if counted is None:
        raise GuardError(f"{path}: valgrind counted nothing: {said[-500:]}")
    return int(counted[1].replace(",", ""))


def _run(arguments: list[str], tool: list[str]) -> str:
    """Run a path in a process of its own, with the modules that are installed."""
    command = [*tool, sys.executable, "-P", str(RUN), *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        cwd="/",
    )
    if done.returncode:
        raise GuardError(f"{arguments[0]}: {done.stderr[-2000:]}")
    return done.stderr if tool else done.stdout


def _row(path: str, found: Found, kept: Found | None) -> tuple[str, ...]:
    before = kept or Found(0, 0.0, 0.0)
    return (
        path,
        f"{found.instructions}",
        f"{before.instructions}",
        f"{_excess(found.instructions, before.instructions):+.1%}",
        f"{found.loops:.2f}",
        f"{before.loops:.2f}",
        f"{_excess(found.loops, before.loops):+.0%}",
        f"{found.cpu_us:.1f}",
    )


if __name__ == "__main__":
    sys.exit(main())
