"""VM hosts that were taken over: killed and replaced, and nobody else is disturbed."""

import contextlib
import sys
import threading
from collections.abc import Iterator

import pytest

from bench import daemon, procfs
from tests.farm import rogue
from tests.farm.client import TIMEOUT_S, ask
from tests.farm.farms import LUAFARM, Farm, directory, hosts_of, until

pytestmark = pytest.mark.process

COUNTER = "local n = 0 function main(env, con) n = n + 1 con:puts(tostring(n)) end"


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with directory() as place, contextlib.ExitStack() as stack:
        for pool in ("web", "rogue"):
            (place / pool).mkdir()
        for crime in [*rogue.TO_FRONT, *rogue.TO_BROKER, "flood", "honest"]:
            (place / "rogue" / f"{crime}.lua").write_text("-- never run")
        (place / "web" / "counter.lua").write_text(COUNTER)
        config = place / "luafarm.toml"
        config.write_text(
            f'[paths]\nrun = "{place}/run"\n'
            f'[vmhost]\nspawn_max = "100 ms"\n'
            f'[front]\nqueue_timeout = "3 s"\nlisten = ["unix:{place}/front.sock"]\n'
            f'[pool.web]\nroot = ["{place}/web"]\nhosts = 1\n'
            f'[pool.rogue]\nroot = ["{place}/rogue"]\nhosts = 1\nwall = "1 s"\n'
        )
        farm = Farm(place, place / "rogue", config, str(place / "front.sock"))
        supervisor = [sys.executable, "-m", rogue.MODULE]
        for name, command in {
            "broker": [*LUAFARM, "broker"],
            "vmhost": supervisor,
            "fcgi": [*LUAFARM, "fcgi"],
        }.items():
            process = daemon.running(
                [*command, "--config", str(config)], place / f"{name}.log"
            )
            farm.daemons[name] = stack.enter_context(process)
        farm.daemons["fcgi"].wait_until(
            lambda: daemon.accepts(farm.socket), "it listens"
        )
        until(lambda: served(farm) == b"honest", "the rogues serve")
        yield farm


def served(farm: Farm) -> bytes:
    return ask(farm.socket, farm.root / "honest.lua").body


def hosts(farm: Farm, pool: str) -> list[int]:
    return [
        pid
        for pid in hosts_of(farm)
        if procfs.title(pid).startswith(f"luafarm-vmhost {pool}/")
    ]


@pytest.mark.parametrize("crime", [*rogue.TO_FRONT, *rogue.TO_BROKER])
def test_a_rogue_is_killed_and_replaced_and_its_neighbours_notice_nothing(
    farm: Farm, crime: str
) -> None:
    counter = farm.place / "web" / "counter.lua"
    neighbours = hosts(farm, "web")
    count = int(ask(farm.socket, counter).body)
    until(lambda: served(farm) == b"honest", "the rogues serve")
    [before] = hosts(farm, "rogue")
    # a safe request is tried once more, on the next rogue: that one dies as well
    asking = threading.Thread(
        target=ask, args=(farm.socket, farm.root / f"{crime}.lua"), daemon=True
    )
    asking.start()
    until(lambda: before not in hosts(farm, "rogue"), "it is killed")
    asking.join(TIMEOUT_S)
    assert not asking.is_alive()
    until(lambda: served(farm) == b"honest", "it is replaced")
    assert int(ask(farm.socket, counter).body) == count + 1  # its state lives on
    assert hosts(farm, "web") == neighbours
    scripts = {s["script"] for s in farm.status()["scripts"]}
    assert "/x" not in scripts


def test_the_supervisor_says_why_they_died(farm: Farm) -> None:
    ask(farm.socket, farm.root / "garbage.lua")
    until(lambda: "lost reason=protocol" in farm.log(), "it is told")


def test_a_flood_of_parts_from_a_rogue_does_not_hold_up_others(farm: Farm) -> None:
    counter = farm.place / "web" / "counter.lua"
    asking = threading.Thread(
        target=ask, args=(farm.socket, farm.root / "flood.lua"), daemon=True
    )
    count = int(ask(farm.socket, counter).body)
    asking.start()
    for number in range(50):
        assert int(ask(farm.socket, counter).body) == count + number + 1
    asking.join(TIMEOUT_S)
    assert not asking.is_alive()
