"""The system call filter of real VM hosts, in each dialect, with keys and without."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import daemon
from luafarm.keys import curve
from tests.farm.client import ask
from tests.farm.farms import Farm, directory, hosts_of, kill, until, up

pytestmark = pytest.mark.process

DIALECTS = ("luajit21", "lua52", "lua53", "lua54", "lua55")
PATIENCE_S = 120.0
BODY = b"a line\n" * 40_000
STRAIN = {
    # the allocator asks for memory and gives it back, also while it is full
    "memory": """
local kept = {}
function main(env, con)
  for round = 1, 3 do
    pcall(function()
      local t = {}
      for i = 1, 1e6 do t[i] = ("y"):rep(5000 + i) end
    end)
    collectgarbage()
  end
  for i = 1, 400 do kept[#kept + 1] = ("z"):rep(10000 + i) end
  kept = {}
  collectgarbage()
  con:puts("done")
end
""",
    "large": "function main(env, con) con:puts(('x'):rep(3000000)) end",
    "parts": """
function main(env, con)
  for i = 1, 30 do con:puts(("x"):rep(100000)) con:flush() end
end
""",
    "body": """
function main(env, con)
  local n = 0
  local line = con:gets()
  while line do n = n + #line line = con:gets() end
  con:puts(n)
end
""",
    "clocks": """
function main(env, con)
  require("luafarm").sleep(0.01)
  con:puts(os.time() > 0 and os.clock() > 0 and os.date() ~= "" and math.random(9) > 0
    and "done" or "no")
end
""",
    "coroutines": """
function main(env, con)
  local all = {}
  for i = 1, 2000 do
    all[i] = coroutine.wrap(function() coroutine.yield(i) end)
    all[i]()
  end
  print("they live")
  con:puts("done")
end
""",
    "fails": "function main(env, con) error('told so') end",
    "broken": "function main(",
    "too_long": "function main(env, con) while true do end end",
}
EXPECTED = {
    "memory": (200, b"done"),
    "large": (200, b"x" * 3_000_000),
    "parts": (200, b"x" * 3_000_000),
    "body": (200, b"280000"),
    "clocks": (200, b"done"),
    "coroutines": (200, b"done"),
    "fails": (500, None),
    "broken": (500, None),
    "too_long": (504, None),
}


def pools(place: Path) -> str:
    """Write the scripts and return a pool for each dialect."""
    text = ""
    for dialect in DIALECTS:
        root = place / dialect
        root.mkdir()
        for name, script in STRAIN.items():
            (root / f"{name}.lua").write_text(script)
        text += (
            f'[pool.{dialect}]\nroot = "{root}"\ndialect = "{dialect}"\nhosts = 1\n'
            'memory = "24 MiB"\ncpu = "5 s"\n'
        )
    return text + '[[script]]\npattern = "too_long.lua"\ncpu = "200 ms"\n'


@contextlib.contextmanager
def straining(keys: bool) -> Iterator[tuple[Farm, Path]]:
    """Run a farm of all dialects; give it and the directory of their roots."""
    with directory() as place:
        settings = pools(place)
        if keys:
            curve.keygen(place / "keys")
            settings += (
                f'[security]\nkeys = "{place}/keys"\n'
                f'[broker]\nendpoint = "tcp://127.0.0.1:{daemon.free_port()}"\n'
                '[vmhost]\nendpoint = "tcp://127.0.0.1:*"\n'
            )
        with up(settings, hosts=1) as farm:
            yield farm, place


def strain(farm: Farm, place: Path) -> None:
    """Ask every script of every dialect."""
    for dialect in DIALECTS:
        for name, (status, body) in EXPECTED.items():
            script = place / dialect / f"{name}.lua"
            sent = BODY if name == "body" else b""
            reply = ask(farm.socket, script, method="POST", body=sent)
            assert reply.status == status, (script, reply)
            assert body is None or reply.body == body, script


@pytest.mark.parametrize("keys", [False, True], ids=["without keys", "with keys"])
def test_hosts_of_all_dialects_live_behind_their_filter(keys: bool) -> None:
    with straining(keys) as (farm, place):
        count = len(DIALECTS) + 1
        until(lambda: len(farm.status()["hosts"]) == count, "all serve", PATIENCE_S)
        hosts = set(hosts_of(farm))
        strain(farm, place)
        # whoever was connected is gone, and others come
        for pid in farm.titled("luafarm-front"):
            kill(pid)
        until(lambda: daemon.accepts(farm.socket), "a front", PATIENCE_S)
        broker = farm.one("luafarm-broker")
        kill(broker)
        until(lambda: farm.command("status").returncode == 0, "a broker", PATIENCE_S)
        until(lambda: len(farm.status()["hosts"]) == count, "it knows", PATIENCE_S)
        strain(farm, place)
        assert set(hosts_of(farm)) == hosts  # nobody died of a call
        farm.daemons["up"].stop()
        assert farm.daemons["up"].process.returncode == 0
        assert "SIGSYS" not in farm.log()
