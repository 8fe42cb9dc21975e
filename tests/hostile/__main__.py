"""`python -m tests.hostile [PART-OF-NAME]`: attack a farm with every script; report.

Each attack is a real request in a sandboxed pool of every dialect at once. Prints what
did not end as its header says, then a count; exit code 1 when there was anything.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from tests.hostile import catalogue, colony
from tests.hostile.trial import Pool


def main() -> int:
    """Run the attacks whose names hold the argument; return the exit code."""
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    attacks = [a for a in catalogue.attacks() if part in a.name]
    failed = runs = 0
    with colony.settled({d.value: d for d in catalogue.DIALECTS}) as farm:
        pools = [Pool(farm, d.value, d) for d in catalogue.DIALECTS]
        for attack in attacks:
            attacked = [p for p in pools if p.dialect in attack.outcomes]
            with ThreadPoolExecutor(len(attacked)) as threads:
                tried = threads.map(lambda pool, a=attack: pool.attack(a), attacked)
                verdicts = list(tried)
            for pool, verdict in zip(attacked, verdicts, strict=True):
                runs += 1
                failed += bool(verdict.faults)
                for fault in verdict.faults:
                    sys.stdout.write(f"{attack.name} {pool.dialect}: {fault[:300]}\n")
    sys.stdout.write(f"{len(attacks)} attacks, {runs} runs, {failed} not as expected\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
