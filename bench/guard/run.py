"""Run one path in this process: ``python -P bench/guard/run.py PATH BATCHES``.

Prints the CPU time of a request in runs of `loop`, and in microseconds.
"""

import sys
import time
from pathlib import Path

LOOPS = 200


def loop() -> int:
    """Do a fixed piece of plain Python: what CPU time is compared with."""
    found: dict[bytes, int] = {}
    for number in range(20):
        found[b"%d" % (number & 7)] = len(found) + number
    return len(found)


def loop_ns() -> float:
    """Return the CPU time of one loop, the quickest of many."""
    times = []
    for _ in range(LOOPS):
        began = time.thread_time_ns()
        for _ in range(20):
            loop()
        times.append(time.thread_time_ns() - began)
    return min(times) / 20


if __name__ == "__main__":
    # behind the installed packages: the source tree would hide the compiled modules
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from bench.guard.paths import BATCH, PATHS

    request_ns = min(PATHS[sys.argv[1]]().run(int(sys.argv[2]))) / BATCH
    print(request_ns / loop_ns(), request_ns / 1000)
