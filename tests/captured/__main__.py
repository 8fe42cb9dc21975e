"""`python -m tests.captured`: commit every crime, one after the other; show a table.

For each: whether its host was killed and how soon, by how much the slowest hundredth of
a bystander's answers were slower than in the second before, and by how much front,
broker and supervisor grew. Exit code 1 when a crime did not come to what it should; the
targets stand beside the figures, which are of this machine at this moment.
"""

import argparse
import sys
import time

from tests.captured import den
from tests.captured.catalogue import CRIMES
from tests.captured.crime import Crime, Fate
from tests.captured.den import Bystander, Memory
from tests.captured.trial import Pool, Verdict
from tests.farm.farms import until

POOL = "captured"
GONE_S = 2.0
SLOWER = 2.0
GROWTH_MIB = 16.0

Span = tuple[float, float]
"""From when to when, in seconds of the monotonic clock."""

_SPAN_S = 1.0  # of the bystander's answers are looked at, before and with each crime


def main() -> int:
    """Commit the crimes whose names hold the argument; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.captured")
    parser.add_argument("part", nargs="?", default="", help="part of crimes' names")
    part = parser.parse_args().part
    crimes = [crime for crime in CRIMES.values() if part in crime.name]
    failed = missed = 0
    with den.opened([POOL], 'spawn_max = "100 ms"') as farm:
        pool = Pool(farm, POOL)
        until(pool.is_honest, "captured hosts serve", den.START_S)
        memory = Memory(farm)
        with Bystander(farm) as bystander:
            quiet: list[Span] = []
            loud: list[Span] = []
            for crime in crimes:
                since = time.monotonic()
                time.sleep(_SPAN_S)
                quiet.append((since, since + _SPAN_S))
                quiet_ms = bystander.p99_ms(quiet[-1:])
                memory.forget()
                before = memory.now_kib()
                verdict = pool.commit(crime)
                loud.append((verdict.began, verdict.began + _SPAN_S))
                time.sleep(max(0.0, loud[-1][1] - time.monotonic()))
                p99_ms = bystander.p99_ms(loud[-1:])
                most = memory.most_kib()
                grown_mib = max(most[t] - before[t] for t in most) / 1024
                row, is_in_time = _row(crime, verdict, p99_ms / quiet_ms, grown_mib)
                sys.stdout.write(row)
                sys.stdout.flush()
                failed += bool(verdict.faults)
                missed += not is_in_time
        wrong = bystander.wrong()
        quiet_ms, loud_ms = bystander.p99_ms(quiet), bystander.p99_ms(loud)
    for text in wrong[:5]:
        sys.stdout.write(f"bystander: {text}\n")
    sys.stdout.write(
        f"{len(crimes)} crimes, {failed} not as they should be, {missed} of them "
        f"beyond a target (gone within {GONE_S:g} s, p99 within {SLOWER:g} x of the "
        f"second before, {GROWTH_MIB:g} MiB)\n"
        f"bystander: {len(bystander.seen)} answers, {len(wrong)} wrong; p99 of quiet "
        f"seconds {quiet_ms:.1f} ms, of the first of each crime {loud_ms:.1f} ms: "
        f"{loud_ms / quiet_ms:.2f} x\n"
    )
    return 1 if failed or wrong else 0


def _row(
    crime: Crime, verdict: Verdict, slower: float, grown_mib: float
) -> tuple[str, bool]:
    """Return a line of the table, and whether its figures are within the targets."""
    gone = "lives on" if verdict.gone_s is None else f"{verdict.gone_s:.2f} s"
    is_late = crime.fate is Fate.GONE and (verdict.gone_s or 0.0) > GONE_S
    misses = [
        name
        for name, is_missed in (
            ("late", is_late),
            ("slow", slower > SLOWER),
            ("large", grown_mib > GROWTH_MIB),
        )
        if is_missed
    ]
    faults = "; ".join(verdict.faults)
    return (
        f"{crime.name:34} {crime.fate.value:6} {gone:>9} {slower:6.1f} x "
        f"{grown_mib:6.1f} MiB {' '.join(misses)} {faults}".rstrip()
        + "\n"
    ), not misses


if __name__ == "__main__":
    raise SystemExit(main())
