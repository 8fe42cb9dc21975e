"""Every attack on every dialect, as real requests, the dialects side by side.

The trials come first, one ground after the other; the tests look at what came of each.
"""

import json
import os
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from luafarm.dialects import Dialect
from tests.farm.farms import until
from tests.hostile import colony
from tests.hostile.catalogue import DIALECTS, Attack, Ground, attacks
from tests.hostile.trial import Pool, Verdict

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(1500)]

ATTACKS = attacks()
RUNS = [(d, attack) for d in DIALECTS for attack in ATTACKS if d in attack.outcomes]
REPORT = Path(__file__).resolve().parents[2] / "build" / "hostile.json"

AT_ONCE = threading.BoundedSemaphore(max(2, len(os.sched_getaffinity(0))))
"""Attacks that run at a time: more would only share the processors."""

Key = tuple[Dialect, str]


@dataclass
class Outcome:
    """What is left of one ground when all is over."""

    verdicts: dict[Key, Verdict]
    status: dict[str, Any]
    log: str
    rss_kib: dict[str, tuple[int, int]]  # before and after, by title of the process


@pytest.fixture(scope="module")
def outcomes() -> dict[Ground, Outcome]:
    found = {ground: _tried_on(ground) for ground in Ground}
    _write_report(found.values())
    return found


every_ground = pytest.mark.parametrize("ground", Ground)


def _tried_on(ground: Ground) -> Outcome:
    with colony.settled(ground, {d.value: d for d in DIALECTS}) as farm:
        pools = [Pool(farm, dialect.value, dialect) for dialect in DIALECTS]
        before = farm.resident_kib()
        verdicts: dict[Key, Verdict] = {}
        threads = [
            threading.Thread(target=_try_all, args=(pool, ground, verdicts))
            for pool in pools
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = farm.resident_kib()
        expected = sum(verdict.deaths for verdict in verdicts.values())
        until(
            lambda: farm.status()["counts"].get("hosts_lost", 0) >= expected, "deaths"
        )
        rss_kib = {title: (before[title], after[title]) for title in before}
        return Outcome(verdicts, farm.status(), farm.log(), rss_kib)


def _try_all(pool: Pool, ground: Ground, verdicts: dict[Key, Verdict]) -> None:
    for attack in ATTACKS:
        if attack.is_for(pool.dialect, ground):
            with AT_ONCE:
                verdicts[pool.dialect, attack.name] = _try(pool, attack)


def _try(pool: Pool, attack: Attack) -> Verdict:
    try:
        return pool.attack(attack)
    except (OSError, AssertionError) as error:  # no answer, no new host
        return Verdict(faults=[f"{type(error).__name__}: {error}"])


def _write_report(outcomes: Iterable[Outcome]) -> None:
    """Write what each attack came to, for whoever wants to read it."""
    rows = {
        f"{dialect} {name}": [verdict.outcome, round(verdict.elapsed_s, 3)]
        for outcome in outcomes
        for (dialect, name), verdict in outcome.verdicts.items()
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(rows, indent=1, sort_keys=True))


def _name(value: Dialect | Attack) -> str:
    return value.name if isinstance(value, Attack) else value.value


@pytest.mark.parametrize(("dialect", "attack"), RUNS, ids=_name)
def test_the_attack_comes_to_what_it_should(
    outcomes: dict[Ground, Outcome], dialect: Dialect, attack: Attack
) -> None:
    outcome = outcomes[attack.ground(dialect)]
    assert outcome.verdicts[dialect, attack.name].faults == []


@every_ground
def test_no_vm_host_died_but_of_what_only_its_death_could_stop(
    outcomes: dict[Ground, Outcome], ground: Ground
) -> None:
    outcome = outcomes[ground]
    died = set(
        re.findall(r"lost reason=(\w+) script=\S*?/roots/(\S+)\.lua", outcome.log)
    )
    assert {reason for reason, _ in died} <= {"cpu"}
    may_kill = {
        f"{dialect}/{attack.name}"
        for dialect, attack in RUNS
        if any(one.kind == "kill" for one in attack.outcomes[dialect])
    }
    assert {script for _, script in died} <= may_kill
    deaths = sum(verdict.deaths for verdict in outcome.verdicts.values())
    assert outcome.status["counts"].get("hosts_lost", 0) == deaths


@every_ground
def test_the_log_is_one_fact_a_line_whatever_scripts_wrote(
    outcomes: dict[Ground, Outcome], ground: Ground
) -> None:
    log = outcomes[ground].log
    for line in log.split("\n"):
        assert line.isprintable() or line.replace("\t", "").isprintable()
        assert not re.match(r"\S+ \S+ ERROR luafarm.broker forged", line)
    assert "no protocol" not in log


@every_ground
def test_nobody_broke_the_protocol(
    outcomes: dict[Ground, Outcome], ground: Ground
) -> None:
    assert "broke the protocol" not in outcomes[ground].log
    assert outcomes[ground].status["counts"].get("accusations", 0) == 0


@every_ground
def test_front_broker_and_supervisor_did_not_grow(
    outcomes: dict[Ground, Outcome], ground: Ground
) -> None:
    for title, (before, after) in outcomes[ground].rss_kib.items():
        assert after - before < 64 * 1024, f"{title}: {before} KiB to {after} KiB"
