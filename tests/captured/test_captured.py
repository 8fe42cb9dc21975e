"""Every crime of a captured VM host, while somebody else's script is asked.

The crimes come first; the tests look at what came of them.
"""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.captured import births, den
from tests.captured.catalogue import CRIMES
from tests.captured.crime import Crime, Fate
from tests.captured.den import Bystander, Memory
from tests.captured.trial import Pool, Verdict
from tests.farm.farms import until

pytestmark = [pytest.mark.process, pytest.mark.long, pytest.mark.timeout(600)]

POOLS = ("captured1", "captured2", "captured3")
GROWTH_KIB = 16 << 10


@dataclass
class Outcome:
    """What is left when all is over."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    log: str = ""
    wrong: list[str] = field(default_factory=list)
    answers: int = 0
    grown_kib: dict[str, int] = field(default_factory=dict)
    neighbours: tuple[list[int], list[int]] = ([], [])
    reloaded: str = ""


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    found = Outcome()
    with den.opened(POOLS, 'spawn_max = "100 ms"') as farm:
        pools = [Pool(farm, name) for name in POOLS]
        for pool in pools:
            until(pool.is_honest, "captured hosts serve", den.START_S)
            pool.commit(CRIMES["front_garbage_frame"])  # all of the code is warm
        memory = Memory(farm)
        memory.forget()
        before = memory.now_kib()
        neighbours = den.hosts(farm, "web")
        with Bystander(farm) as bystander:
            # those that take long first, so that no pool is left alone with one
            left = iter(sorted(CRIMES.values(), key=lambda c: c.fate is not Fate.LATE))
            threads = [
                threading.Thread(target=_commit_all, args=(pool, left, found.verdicts))
                for pool in pools
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            done = farm.command("reload", "--wait", str(farm.place / "web"))
            found.reloaded = done.stdout + done.stderr if done.returncode else ""
        found.wrong = bystander.wrong()
        found.answers = len(bystander.seen)
        most = memory.most_kib()
        found.grown_kib = {title: most[title] - before[title] for title in most}
        found.neighbours = neighbours, den.hosts(farm, "web")
        found.status, found.log = farm.status(), farm.log()
    return found


def _commit_all(
    pool: Pool, crimes: Iterator[Crime], verdicts: dict[str, Verdict]
) -> None:
    for crime in crimes:
        try:
            verdicts[crime.name] = pool.commit(crime)
        except (OSError, AssertionError) as error:
            verdicts[crime.name] = Verdict([f"{type(error).__name__}: {error}"])


@pytest.mark.parametrize("name", CRIMES)
def test_the_crime_comes_to_what_it_should(outcome: Outcome, name: str) -> None:
    assert outcome.verdicts[name].faults == []


def test_the_bystander_got_every_reply_from_one_state(outcome: Outcome) -> None:
    assert outcome.answers > 100
    assert outcome.wrong == []


def test_no_host_of_the_bystander_died(outcome: Outcome) -> None:
    before, after = outcome.neighbours
    assert before == after
    assert not re.search(r"host=\S*-web-\S* lost", outcome.log)


def test_front_broker_and_supervisor_did_not_grow(outcome: Outcome) -> None:
    grown = {t: kib for t, kib in outcome.grown_kib.items() if kib > GROWTH_KIB}
    assert grown == {}


def test_nothing_is_known_that_captured_hosts_made_up(outcome: Outcome) -> None:
    status = outcome.status
    refused = re.findall(r"script=(\S+) is refused", outcome.log)
    assert all("/captured" in script for script in refused), refused
    known = {script["script"].rpartition("/")[2] for script in status["scripts"]}
    assert known <= {*(f"{name}.lua" for name in CRIMES), "honest.lua", "counter.lua"}
    pools = {host["pool"] for host in status["hosts"]}
    assert pools == {"web", *POOLS}
    assert status["draining"] == 0


def test_no_line_of_the_log_is_forged(outcome: Outcome) -> None:
    for line in outcome.log.split("\n"):
        assert line.isprintable() or line.replace("\t", "").isprintable()
        assert not re.match(r"\S+ \S+ ERROR luafarm.broker forged", line)


def test_a_deploy_of_the_bystander_was_in_force_beside_a_host_that_never_fences(
    outcome: Outcome,
) -> None:
    assert outcome.reloaded == ""


def test_no_crime_waits_for_an_end_that_only_comes_late_unless_it_is_silence() -> None:
    late = {name for name, crime in CRIMES.items() if crime.fate is Fate.LATE}
    assert late == {
        "front_never_ending_frame",
        "front_truncated_frame",  # it answers no greeting over another connection
        "front_hang_up",
    }


def test_hosts_that_are_captured_from_birth_harm_nobody_else() -> None:
    pools = [*births.BIRTHS, *births.HELD]
    with den.opened(pools) as farm:
        neighbours = den.hosts(farm, "web")
        memory = Memory(farm)
        before = memory.now_kib()
        with Bystander(farm) as bystander:
            lost = 3 * len(births.BIRTHS)
            until(lambda: farm.log().count(" lost reason=") >= lost, "deaths", 60.0)
        assert bystander.wrong() == []
        assert den.hosts(farm, "web") == neighbours
        most = memory.most_kib()
        assert all(most[t] - before[t] <= GROWTH_KIB for t in most), (before, most)
        status = farm.status()
        [counter] = [
            s for s in status["scripts"] if s["script"].endswith("counter.lua")
        ]
        assert counter["pool"] == "web"
        assert len(counter["states"]) == 1
        # half of them die, each pause twice as long as the one before
        assert farm.log().count(" lost reason=") < 200
