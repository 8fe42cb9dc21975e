"""`python -m tests.hostile`: attack a farm with every script; report.

Without `bystander` each attack is a real request in a sandboxed pool of every dialect
at once; what did not end as its header says, or not in time, is printed, then a count.
With it, all of them go through nginx to a pool of one dialect after the other, while
somebody else's script is asked 200 times a second. Exit code 1 when something was not
as promised. Here the clock counts as well, so it takes a machine that has nothing else
to do.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from luafarm.dialects import Dialect
from tests.hostile import catalogue, colony, siege
from tests.hostile.catalogue import DIALECTS, Attack, Ground
from tests.hostile.trial import Pool, Verdict

_SHOWN = 5
PROMISE_S = 3.0
"""Beyond the budget, for what is not the script's: five pools, their supervisor, front
and this client share the processors, and a host that was killed is forked anew."""


def main() -> int:
    """Run the attacks whose names hold the argument; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("part", nargs="?", default="", help="part of attacks' names")
    parser.add_argument(
        "--bystander",
        metavar="DIALECT",
        nargs="*",
        choices=[d.value for d in DIALECTS],
        help="through nginx, with a bystander; DIALECT: every one unless given",
    )
    arguments = parser.parse_args()
    attacks = [a for a in catalogue.attacks() if arguments.part in a.name]
    if arguments.bystander is None:
        return _all_at_once(attacks)
    dialects = [Dialect(d) for d in arguments.bystander] or DIALECTS
    return max([_beside(dialect, attacks) for dialect in dialects])


def _all_at_once(attacks: Sequence[Attack]) -> int:
    failed = runs = 0
    for ground in Ground:
        with colony.settled(ground, {d.value: d for d in DIALECTS}) as farm:
            pools = [Pool(farm, d.value, d) for d in DIALECTS]
            for attack in attacks:
                attacked = [p for p in pools if attack.is_for(p.dialect, ground)]
                with ThreadPoolExecutor(len(pools)) as threads:
                    tried = threads.map(lambda pool, a=attack: pool.attack(a), attacked)
                    verdicts = list(tried)
                for pool, verdict in zip(attacked, verdicts, strict=True):
                    faults = verdict.faults + _lateness(ground, verdict)
                    runs += 1
                    failed += bool(faults)
                    for fault in faults:
                        sys.stdout.write(
                            f"{attack.name} {pool.dialect}: {fault[:300]}\n"
                        )
    sys.stdout.write(f"{len(attacks)} attacks, {runs} runs, {failed} not as expected\n")
    return 1 if failed else 0


def _lateness(ground: Ground, verdict: Verdict) -> list[str]:
    if verdict.elapsed_s <= colony.TIME_S[ground] + PROMISE_S:
        return []
    return [f"answered after {verdict.elapsed_s:.1f} s"]


def _beside(dialect: Dialect, attacks: Sequence[Attack]) -> int:
    return max([_beside_on(ground, dialect, attacks) for ground in Ground])


def _beside_on(ground: Ground, dialect: Dialect, attacks: Sequence[Attack]) -> int:
    besieged = siege.lay(ground, dialect, attacks)
    account = besieged.account
    sys.stdout.write(f"{dialect}, {ground}: bystander: {account.sentence()}\n")
    for line in besieged.worst()[:_SHOWN]:
        sys.stdout.write(f"  {line}\n")
    faults = [f"bystander: {fault}" for fault in account.faults]
    if account.most_ms > siege.PROMISE_MS:
        faults.append(f"bystander: a reply later than {siege.PROMISE_MS:.0f} ms")
    for name, verdict in besieged.verdicts.items():
        faults += [f"{name}: {fault[:300]}" for fault in verdict.faults]
        faults += [f"{name}: {fault}" for fault in _lateness(ground, verdict)]
    for fault in faults:
        sys.stdout.write(f"{dialect} {fault}\n")
    sys.stdout.write(
        f"{len(besieged.verdicts)} attacks, {len(faults)} things not as promised\n"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
