"""More requests than a farm can serve, end to end: by counts, whatever the time."""

import contextlib

import pytest

from tests.farm.client import ask, connected
from tests.farm.farms import until, up

pytestmark = pytest.mark.process

CROWD = 100
SETTINGS = '[front]\nprocesses = 1\nqueue_target = "10 ms"\n'
SPINS = """
local runs = 0
function main(env, con)
  runs = runs + 1
  local begun = os.clock()
  while os.clock() - begun < 0.05 do end
  con:puts(tostring(runs))
end
"""
QUICK = "function main(env, con) con:puts('quick') end"


def test_a_crowd_is_served_or_refused_each_once_and_nobody_else_is() -> None:
    files = {"spins.lua": SPINS, "quick.lua": QUICK}
    with up(SETTINGS, hosts=1, files=files) as farm, contextlib.ExitStack() as stack:
        spins, quick = farm.root / "spins.lua", farm.root / "quick.lua"
        assert ask(farm.socket, spins).body == b"1"  # its time is known
        assert ask(farm.socket, quick).body == b"quick"
        crowd = [stack.enter_context(connected(farm.socket)) for _ in range(CROWD)]
        for client in crowd:
            client.send(spins)
        assert ask(farm.socket, quick).body == b"quick"
        replies = [client.receive() for client in crowd]
        served = [reply for reply in replies if reply.status == 200]
        refused = [reply for reply in replies if reply.status == 503]
        assert len(served) + len(refused) == CROWD
        # four are never too many
        assert len(served) >= 4
        assert len(refused) > 0
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
        assert sorted(int(reply.body) for reply in served) == list(
            range(2, len(served) + 2)
        )
        until(
            lambda: farm.status()["fronts"][0]["overloaded"] == len(refused),
            "the refused are counted",
        )
        [front] = farm.status()["fronts"]
        assert front["errors"] == 0
        assert ask(farm.socket, spins).status == 200
        assert farm.log().count("requests are refused") == 1
