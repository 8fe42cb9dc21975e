"""`python -m tests.chaos`: run the suite, show what was done and what went wrong.

`--seed N --seconds S` repeats a run: what is done and what is asked come from the seed
alone. Exit code 1 when something happened that must not.
"""

import argparse
import random
import shutil
import signal
import sys
from pathlib import Path
from typing import NoReturn

from tests.chaos import kinds, report, trial
from tests.chaos.record import Act
from tests.chaos.schedule import timeline


def main() -> int:
    """Run the suite once for each seed; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="by default another one each time")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--runs", type=int, default=1, help="with one seed more each")
    parser.add_argument(
        "--faults", default="", help="names or their beginnings: kill,-kill_front,hup"
    )
    parser.add_argument("--logs", type=Path, help="a directory that keeps the logs")
    parser.add_argument("--list", action="store_true", help="tell what there is")
    arguments = parser.parse_args()
    try:
        chosen = kinds.chosen(arguments.faults)
    except ValueError as error:
        parser.error(str(error))
    if arguments.list:
        for kind in chosen:
            sys.stdout.write(f"{kind.name:18} {kind.about}\n")
        return 0
    seed = arguments.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 31)
    signal.signal(signal.SIGTERM, _end)
    runs = [
        _run(seed + n, arguments.seconds, chosen, arguments.logs)
        for n in range(arguments.runs)
    ]
    return 0 if all(runs) else 1


def _run(
    seed: int, seconds: float, chosen: tuple[kinds.Kind, ...], logs: Path | None
) -> bool:
    sys.stdout.write(f"seed {seed}, {seconds:g} s\n")
    planned = timeline(seed, seconds, chosen)
    for one in sorted(sum(planned.values(), ()), key=lambda one: one.at_s):
        sys.stdout.write(f"  planned {one}\n")
    sys.stdout.flush()

    def keep(log: Path) -> None:
        if logs is not None and log.exists():
            logs.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, logs / f"{seed}-{log.name}")

    outcome = trial.run(seed, seconds, chosen, tell=_tell, keep=keep)
    sys.stdout.write(
        f"\nseed {seed}, {seconds:g} s, "
        f"{'TCP' if outcome.is_tcp else 'UNIX socket'} behind nginx\n"
        + report.table(outcome.trial, outcome.verdicts, outcome.start)
    )
    sys.stdout.flush()
    return not outcome.verdicts


def _end(number: int, frame: object) -> NoReturn:
    """End as by Ctrl-C, with everything that was started."""
    raise KeyboardInterrupt


def _tell(start: float, act: Act) -> None:
    note = f" ({act.note.strip()[:120]})" if act.note else ""
    sys.stdout.write(
        f"  {act.began - start:6.1f} to {act.ended - start:5.1f} s  {act.kind}"
        f", {act.victims} victims{note}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
