"""Brokers that are stopped, killed and started again while files change."""

import functools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.live.deploys import Deploys
from tests.farm.client import ask, asking
from tests.farm.farms import Farm, behind_nginx, kill, until, up

pytestmark = pytest.mark.process

COUNTER = """
local n = 0
function main(env, con)
  n = n + 1
  con:puts("%s " .. n)
end
"""


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up('[broker]\nsettle = "150 ms"\ntakeover = "4 s"\n') as running:
        yield running


def body(farm: Farm, name: str) -> list[str]:
    return ask(farm.socket, farm.root / name).body.decode().split()


def is_answered(farm: Farm, path: Path, status: int) -> bool:
    return ask(farm.socket, path).status == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_changed_while_the_broker_was_away_is_noticed_and_nothing_else_renewed(
    farm: Farm, number: signal.Signals
) -> None:
    at = f"{number.name}/"
    for name in ("changed", "gone", "same", "touched"):
        farm.write(f"{at}{name}.lua", COUNTER % "old")
        assert body(farm, f"{at}{name}.lua") == ["old", "1"]
    farm.write(f"{at}lib.lua", "return 'old'")
    source = 'local w = require "lib"\nfunction main(e, c) c:puts(w .. " 0") end'
    farm.write(f"{at}module.lua", source)
    assert body(farm, f"{at}module.lua")[0] == "old"
    assert ask(farm.socket, farm.root / f"{at}late.lua").status == 404
    broker = farm.one("luafarm-broker")
    kill(broker, number)
    farm.write(f"{at}changed.lua", COUNTER % "new")
    farm.write(f"{at}lib.lua", "return 'new'")
    farm.write(f"{at}touched.lua", COUNTER % "old")  # another file, the same content
    farm.write(f"{at}late.lua", COUNTER % "here")
    (farm.root / f"{at}gone.lua").unlink()
    until(lambda: farm.titled("luafarm-broker") not in ([], [broker]), "it is back")
    until(lambda: body(farm, f"{at}changed.lua")[0] == "new", "a script is noticed")
    until(lambda: body(farm, f"{at}module.lua")[0] == "new", "a module is noticed")
    for name, status in (("gone", 404), ("late", 200)):
        path = farm.root / f"{at}{name}.lua"
        until(functools.partial(is_answered, farm, path, status), f"{name} is noticed")
    # persistent values of what did not change are as they were
    assert body(farm, f"{at}same.lua") == ["old", "2"]
    assert body(farm, f"{at}touched.lua") == ["old", "2"]
    counts = farm.status()["counts"]
    assert counts["adopted_states"] >= 4
    assert counts.get("superseded_loads", 0) == 0


def test_nothing_old_is_served_after_deploys_during_which_brokers_were_killed(
    farm: Farm,
) -> None:
    with behind_nginx(farm) as port:
        deploys = Deploys(port, farm.root, clients=4, files=100)
        with deploys.load():
            for number in range(4):
                brokers = farm.titled("luafarm-broker")
                for pid in brokers:
                    kill(pid)
                deploys.deploy(number)
    outcome = deploys.outcome
    # the page of a tree that a state is made of may have been half new when a broker
    # began to look; but nothing may fail, and nothing go back
    assert outcome.failed == [], str(outcome)
    assert outcome.stale == [], str(outcome)


def test_a_broker_that_hangs_does_not_keep_old_code_in_service(farm: Farm) -> None:
    path = farm.write("hang.lua", COUNTER % "one")
    assert body(farm, "hang.lua")[0] == "one"
    broker = farm.one("luafarm-broker")
    kill(broker, signal.SIGSTOP)
    with asking(farm.socket, [path]) as seen:
        farm.write("hang.lua", COUNTER % "two")
        until(lambda: len(seen) > 50, "warm scripts are served meanwhile")
        kill(broker, signal.SIGCONT)
        until(lambda: body(farm, "hang.lua")[0] == "two", "the change counts")
    assert {one.reply.status for one in seen} == {200}
