"""What dies, and what it may cost."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import daemon
from tests.farm.client import TIMEOUT_S, Reply, ask, connected
from tests.farm.farms import Farm, hosts_of, kill, until, up

pytestmark = pytest.mark.process

COUNTER = """
local n = 0
function main(env, con)
  n = n + 1
  con:header("Content-Type", "text/plain")
  con:puts(tostring(n))
end
"""

SLOW = """
local luafarm = require "luafarm"
function main(env, con)
  con:header("Content-Type", "text/plain")
  luafarm.sleep(0.02)
  con:puts(env.QUERY_STRING)
end
"""

SPIN = "function main() while true do end end"


@pytest.fixture
def farm() -> Iterator[Farm]:
    takeover = '[broker]\ntakeover = "4 s"\n'  # enough for whoever tells what it has
    spin = '[[script]]\npattern = "spin.lua"\nwall = "600 ms"\n'
    with up(takeover + spin) as running:
        yield running


def flood(
    farm: Farm, script: Path, method: str, count: int, clients: int
) -> tuple[list[Reply], threading.Event, list[threading.Thread]]:
    """Ask from several kept connections; the event is set once load flows."""
    replies: list[Reply] = []
    flowing = threading.Event()

    def run(client_number: int) -> None:
        with connected(farm.socket) as client:
            for number in range(count):
                query = f"{client_number}-{number}"
                client.send(script, method=method, body=b"x", query=query)
                reply = client.receive()
                replies.append(reply)
                assert reply.status != 200 or reply.body == query.encode()
                if len(replies) > clients * 2:
                    flowing.set()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    return replies, flowing, threads


def test_a_killed_host_costs_at_most_the_post_that_it_ran(farm: Farm) -> None:
    script = farm.write("slow.lua", SLOW)
    assert ask(farm.socket, script).status == 200
    replies, flowing, threads = flood(farm, script, "POST", 30, 8)
    assert flowing.wait(TIMEOUT_S)
    kill(hosts_of(farm)[0])
    for thread in threads:
        thread.join()
    failed = [r for r in replies if r.status != 200]
    assert len(replies) == 8 * 30
    assert len(failed) <= 1, [(r.status, r.stderr) for r in failed]
    assert all(r.status == 502 and r.whole for r in failed)
    until(lambda: len(hosts_of(farm)) == 4, "the host is replaced")


def test_a_killed_host_costs_no_get_at_all(farm: Farm) -> None:
    script = farm.write("slow.lua", SLOW)
    assert ask(farm.socket, script).status == 200
    replies, flowing, threads = flood(farm, script, "GET", 30, 8)
    assert flowing.wait(TIMEOUT_S)
    kill(hosts_of(farm)[0])
    for thread in threads:
        thread.join()
    assert [r.status for r in replies] == [200] * (8 * 30)


def test_a_script_over_its_wall_budget_gets_504_and_the_others_their_reply(
    farm: Farm,
) -> None:
    spin = farm.write("spin.lua", SPIN)
    counter = farm.write("counter.lua", COUNTER)
    statuses: list[int] = []
    thread = threading.Thread(
        target=lambda: statuses.append(ask(farm.socket, spin).status)
    )
    thread.start()
    while thread.is_alive():
        assert ask(farm.socket, counter).status == 200
    assert statuses == [504]
    until(lambda: len(hosts_of(farm)) == 4, "the hosts are whole again")


def test_warm_scripts_are_served_while_the_broker_is_gone_and_kept_after(
    farm: Farm,
) -> None:
    script = farm.write("counter.lua", COUNTER)
    assert ask(farm.socket, script).body == b"1"
    broker = farm.one("luafarm-broker")
    kill(broker)
    seen = [int(ask(farm.socket, script).body) for _ in range(50)]
    assert seen == list(range(2, 52))
    until(lambda: bool(farm.titled("luafarm-broker")), "the broker is back")

    def knows() -> bool:
        scripts = farm.status()["scripts"]
        return any("counter.lua" in s["script"] for s in scripts)

    until(knows, "the new broker has taken the state over")
    assert ask(farm.socket, script).body == b"52"


@pytest.mark.parametrize("title", ["luafarm-zygote", "luafarm-supervisor"])
def test_the_farm_serves_again_after_a_kill_of_its_supervision(
    farm: Farm, title: str
) -> None:
    script = farm.write("counter.lua", COUNTER)
    assert ask(farm.socket, script).status == 200
    victim = farm.one(title)
    kill(victim)
    until(lambda: farm.titled(title) not in ([], [victim]), f"{title} is back")
    until(lambda: len(hosts_of(farm)) == 4, "all hosts are there")
    until(lambda: ask(farm.socket, script).status == 200, "it serves")


def test_a_killed_front_is_replaced_and_states_live_on(farm: Farm) -> None:
    script = farm.write("counter.lua", COUNTER)
    assert ask(farm.socket, script).body == b"1"
    front = farm.one("luafarm-front")
    kill(front)
    until(lambda: farm.titled("luafarm-front") not in ([], [front]), "a new front")
    until(lambda: daemon.accepts(farm.socket), "it listens")
    assert ask(farm.socket, script).body == b"2"


def test_nothing_is_left_when_the_farm_is_killed(farm: Farm) -> None:
    until(lambda: len(farm.titled("luafarm-")) >= 8, "all processes are there")
    everything = farm.titled("luafarm-")
    kill(farm.daemons["up"].pid)

    def is_gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1] == "Z"
        except OSError:
            return True

    until(lambda: all(map(is_gone, everything)), "no process is left")
