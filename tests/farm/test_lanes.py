"""Slow scripts use the hosts that idle, one host is always free for the quick ones."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.farm.client import Client, ask, connected
from tests.farm.farms import Farm, until, up

pytestmark = pytest.mark.process

HOSTS = 4
ENDLESS = """
function main(env, con)
  con:header("Content-Type", "text/event-stream")
  while true do
    con:puts("data: x\\n\\n")
    con:flush()
    require("luafarm").sleep(0.05)
  end
end
"""
NAPS = """
function main(env, con)
  require("luafarm").sleep(tonumber(env.QUERY_STRING) or 0.02)
  con:puts("slept")
end
"""
COUNTS = """
local times = 0
function main(env, con)
  times = times + 1
  require("luafarm").sleep(tonumber(env.QUERY_STRING) or 0)
  con:puts(times)
end
"""
QUICK = "function main(env, con) con:puts('quick') end"
FILES = {
    "endless.lua": ENDLESS,
    "naps.lua": NAPS,
    "page.lua": NAPS,
    "counts.lua": COUNTS,
    "quick.lua": QUICK,
}
ENDLESS_WALL = 'wall = "300 s"'


@contextlib.contextmanager
def visitors(farm: Farm, name: str, query: str, number: int) -> Iterator[list[Client]]:
    """Have visitors ask for a script and stay."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(farm.socket)) for _ in range(number)]
        for client in clients:
            client.send(farm.root / name, query=query)
        yield clients


def running(farm: Farm, name: str) -> set[str]:
    """Return the hosts that run this script, by their supervisor's last report."""
    path = str(farm.root / name)
    return {h["host"] for h in farm.status()["hosts"] if h["running"] == path}


def kept(farm: Farm) -> set[str]:
    return {h["host"] for h in farm.status()["hosts"] if h["lane"] == "kept"}


def warm(farm: Farm, name: str, body: bytes) -> Path:
    """Ask for a script until the broker knows how long its requests take."""
    path = farm.root / name

    def is_known() -> bool:
        assert ask(farm.socket, path).body == body
        return bool(farm.script(name).get("requests"))

    until(is_known, f"{name} is known")
    return path


@pytest.mark.parametrize("is_known", [False, True])
def test_a_slow_page_is_answered_while_visitors_listen_without_end(
    is_known: bool,
) -> None:
    with up(hosts=HOSTS, pool=ENDLESS_WALL, files=FILES) as farm:
        quick = warm(farm, "quick.lua", b"quick")
        if is_known:
            warm(farm, "page.lua", b"slept")
        with visitors(farm, "endless.lua", "", HOSTS + 1):
            until(lambda: len(running(farm, "endless.lua")) == 2, "two listen")
            for _ in range(3):
                assert ask(farm.socket, farm.root / "page.lua").body == b"slept"
                assert ask(farm.socket, quick).body == b"quick"
            assert len(running(farm, "endless.lua")) == 2


def test_slow_requests_run_on_all_hosts_but_one_side_by_side() -> None:
    with up(hosts=HOSTS, files=FILES) as farm:
        quick = warm(farm, "quick.lua", b"quick")
        warm(farm, "naps.lua", b"slept")
        until(lambda: farm.script("naps.lua")["lane"] == "slow", "it is slow")
        with visitors(farm, "naps.lua", "25", HOSTS):
            until(lambda: len(running(farm, "naps.lua")) == HOSTS - 1, "three nap")
            for _ in range(3):
                assert ask(farm.socket, quick).body == b"quick"
            assert not running(farm, "naps.lua") & kept(farm)
            assert len(running(farm, "naps.lua")) == HOSTS - 1


def test_the_only_state_of_a_script_survives_that_it_becomes_slow() -> None:
    settings = '[[script]]\npattern = "counts.lua"\nclones = 1\n'
    with up(settings, hosts=HOSTS, files=FILES) as farm:
        path, times = farm.root / "counts.lua", 0
        for lane, query in (("quick", ""), ("slow", "0.02"), ("slow", "")):
            while True:
                times += 1
                assert int(ask(farm.socket, path, query=query).body) == times
                if farm.script("counts.lua").get("lane") == lane:
                    break
        for _ in range(20):
            times += 1
            assert int(ask(farm.socket, path).body) == times
        assert len(farm.script("counts.lua")["states"]) == 1
