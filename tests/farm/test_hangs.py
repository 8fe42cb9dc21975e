"""What hangs or is cut off, and lives: nothing runs twice, and nothing is mixed."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.chaos import processes
from tests.farm.client import Reply, ask
from tests.farm.farms import Farm, hosts_of, kill, until, up

pytestmark = pytest.mark.process

WAITER = """
local luafarm = require "luafarm"
function main(env, con)
  local run, wait = env.QUERY_STRING:match("(%w+)=(%d)")
  luafarm.log("info", "began " .. run)
  con:header("Content-Type", "text/plain")
  luafarm.sleep(tonumber(wait))
  con:puts("end of " .. run)
end
"""

STREAM = """
local luafarm = require "luafarm"
local runs = 0
function main(env, con)
  runs = runs + 1
  local run, wait = env.QUERY_STRING:match("(%w+)=(%d)")
  luafarm.log("info", "began " .. run)
  con:header("Content-Type", "text/plain")
  con:puts(runs .. ":begun;")
  con:flush()
  for line = 1, 20 do
    luafarm.sleep(wait / 20)
    con:puts(runs .. ":" .. line .. ";")
    con:flush()
  end
end
"""


def is_of_one_run(body: bytes) -> bool:
    """Return whether a stream is whole, and no line of it is of another run."""
    run = body.partition(b":")[0].decode()
    lines = "".join([f"{run}:{line};" for line in range(1, 21)])
    return body == f"{run}:begun;{lines}".encode()


@pytest.fixture
def farm() -> Iterator[Farm]:
    files = {"waiter.lua": WAITER, "stream.lua": STREAM, "quick.lua": WAITER}
    # nobody is to replace what hangs here
    with up("[roles]\nwatchdog = 0\n", hosts=4, files=files) as running:
        for name in files:
            assert ask(running.socket, running.root / name, query="w=0").status == 200
        yield running


class Asking:
    """Two requests that take a while, asked side by side."""

    def __init__(self, farm: Farm, seconds: int) -> None:
        self._farm = farm
        self._replies: dict[str, Reply] = {}
        self._threads = [
            threading.Thread(target=self._ask, args=(name, method, run, seconds))
            for name, method, run in (
                ("waiter.lua", "POST", f"P{seconds}"),
                ("stream.lua", "GET", f"G{seconds}"),
            )
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, name: str, method: str, run: str, seconds: int) -> None:
        path, query = self._farm.root / name, f"{run}={seconds}"
        reply = ask(self._farm.socket, path, method=method, body=b"x", query=query)
        self._replies[run] = reply

    def end(self) -> None:
        """Wait for both; each has its whole reply, of the one run that there was."""
        for thread in self._threads:
            thread.join()
        for run, reply in self._replies.items():
            assert reply.status == 200
            assert reply.whole
            is_stream = run.startswith("G")
            body = reply.body
            assert (
                is_of_one_run(body) if is_stream else body == f"end of {run}".encode()
            )
            assert self._farm.log().count(f"began {run}") == 1


def test_a_supervisor_that_hangs_costs_nothing_and_scripts_are_served(
    farm: Farm,
) -> None:
    hosts = hosts_of(farm)
    supervisor = farm.one("luafarm-supervisor")
    kill(supervisor, signal.SIGSTOP)
    asking = Asking(farm, 8)
    until(lambda: "serve on while they answer" in farm.log(), "the broker notices")
    quick = ask(farm.socket, farm.root / "quick.lua", query="q=0")
    assert quick.body == b"end of q"
    asking.end()
    kill(supervisor, signal.SIGCONT)
    assert farm.command("reload", "--wait").returncode == 0
    assert hosts_of(farm) == hosts


def test_a_broker_that_was_stopped_takes_nobody_for_lost(farm: Farm) -> None:
    hosts = hosts_of(farm)
    broker = farm.one("luafarm-broker")
    kill(broker, signal.SIGSTOP)
    Asking(farm, 7).end()
    asking = Asking(farm, 2)
    kill(broker, signal.SIGCONT)
    asking.end()
    assert {host["pid"] for host in farm.status()["hosts"]} == set(hosts)
    assert farm.command("reload", "--wait").returncode == 0
    assert hosts_of(farm) == hosts


@pytest.mark.skipif(os.geteuid() != 0, reason="cuts connections of other processes")
def test_connections_to_vm_hosts_that_are_cut_cost_nothing(farm: Farm) -> None:
    hosts = hosts_of(farm)
    front = farm.one("luafarm-front")
    theirs = str(farm.place / "run" / "h")
    asking = Asking(farm, 3)
    until(lambda: "began P3" in farm.log() and "began G3" in farm.log(), "both run")
    assert processes.cut(front, lambda own, peer: peer.startswith(theirs)) == 4
    asking.end()
    assert hosts_of(farm) == hosts
    assert "broke the protocol" not in farm.log()
    assert farm.status()["counts"].get("accusations", 0) == 0
