"""`python -m bench.simulate`: the policies against others, as tables, in two minutes.

--seeds 1,2,3   the traces of everything
--only NAME     evictions, dispatch, farm, crowds or decisions
--trace FILE    evictions on what a broker recorded (LUAFARM_RECORD=FILE) instead

With the Python of an environment that has the wheel installed, it is the wheel that is
measured, also from the source tree. Ends with 1 when a target is missed.
"""

import argparse
import sys
import sysconfig
from pathlib import Path


def _prefer_wheel() -> None:
    """Import the installed packages, if there are any, not the tree's."""
    installed = sysconfig.get_path("purelib")
    if (Path(installed) / "broker").is_dir():
        sys.path.insert(0, installed)


def main() -> int:
    """Run what was asked for and print it; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.simulate", description="Judge the policies by simulation."
    )
    names = ["evictions", "dispatch", "farm", "crowds", "decisions"]
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--only", choices=names)
    parser.add_argument("--trace", type=Path)
    arguments = parser.parse_args()
    _prefer_wheel()
    from bench.simulate import shows, tables, targets, traces

    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    if arguments.trace:
        print(shows.of_traces([traces.Recorded(arguments.trace)])[0])
        return 0
    reached: list[targets.Target] = []
    for name in [arguments.only] if arguments.only else names:
        shown, judged = shows.SHOWS[name](seeds)
        print(shown, flush=True)
        reached += judged
    title = f"Targets, by the worst of the seeds {arguments.seeds}"
    head = ["", "at most", "result", ""]
    print(tables.table(title, head, [target.row() for target in reached]))
    return 0 if all(target.is_met for target in reached) else 1


if __name__ == "__main__":
    sys.exit(main())
