"""Every budget on a live farm: what stops, what is told, and what goes on."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.farm.client import ask
from tests.farm.farms import Farm, hosts_of, until, up

pytestmark = pytest.mark.process

POOL = """
memory = "4 MiB"
cpu = "300 ms"
load_cpu = "200 ms"
wall = "100 s"
load_wall = "100 s"
reply = "100 KiB"
log_lines = 5
log_bytes = "1 KiB"
"""

SETTINGS = """
[vmhost]
grace = "100 s"

[broker]
quarantine_deaths = 0

[[script]]
pattern = "roomy_*"
memory = "64 MiB"
cpu = "10 s"
load_cpu = "10 s"
reply = "1 MiB"
log_lines = 50
log_bytes = "100 KiB"

[[script]]
pattern = "sleeps.lua"
wall = "300 ms"

[[script]]
pattern = "sleeps_loading.lua"
load_wall = "300 ms"
"""

SPIN = "local t = os.clock() while os.clock() - t < {} do end"

SCRIPTS = {
    "cpu": f"function main()\n {SPIN.format(3)}\nend",
    "load_cpu": f"{SPIN.format(3)}\nfunction main() end",
    "memory": "function main()\n local t = {}"
    " for i = 1, 40 do t[i] = ('x'):rep(2e5 + i) end\nend",
    "reply": "function main(env, con) con:puts(('x'):rep(2e5)) end",
    "log_lines": "function main(env, con) for i = 1, 20 do con:log('line') end"
    " con:puts('done') end",
    "log_bytes": "function main(env, con) for i = 1, 4 do con:log(('y'):rep(900)) end"
    " con:puts('done') end",
    "sleeps": "function main() require('luafarm').sleep(5) end",
    "sleeps_loading": "require('luafarm').sleep(5)\nfunction main() end",
}


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up(SETTINGS, hosts=2, pool=POOL) as running:
        for name, text in SCRIPTS.items():
            running.write(f"{name}.lua", text)
            roomy = text.replace(SPIN.format(3), SPIN.format(0.5))
            running.write(f"roomy_{name}.lua", roomy)
        running.write("good.lua", "function main(env, con) con:puts('good') end")
        yield running


def stopped(farm: Farm, name: str) -> dict[str, Any]:
    """Return what the broker says of a script, once it knows of a stop."""
    found: dict[str, Any] = {}

    def knows() -> bool:
        found.update(farm.script(name))
        return bool(found.get("stops"))

    until(knows, "the broker knows")
    return found


STOPS = [
    # name, status, budget, what the log must name
    ("cpu", 504, "cpu", "line=2: CPU time of 0.3 s used up"),
    ("sleeps", 504, "wall", "time of 0.3 s used up"),
    ("memory", 503, "memory", "not enough memory (4 MiB)"),
    ("reply", 503, "reply", "reply of more than 102400 bytes"),
    ("load_cpu", 504, "cpu", "line=1: CPU time of 0.2 s used up"),
    ("sleeps_loading", 504, "wall", "time of 0.3 s used up"),
]


@pytest.mark.parametrize(("name", "status", "budget", "told"), STOPS)
def test_a_budget_stops_the_request_and_is_named_in_page_log_and_status(
    farm: Farm, name: str, status: int, budget: str, told: str
) -> None:
    hosts = hosts_of(farm)
    reply = ask(farm.socket, farm.root / f"{name}.lua")
    assert reply.status == status, reply.body
    assert f"<title>Budget exceeded: {budget}</title>".encode() in reply.body
    log = farm.log()
    assert f"/{name}.lua: " in log
    [line] = [x for x in log.split("\n") if f"{name}.lua: " in x and "budget=" in x]
    assert f"budget={budget}" in line
    assert told in line
    known = stopped(farm, f"{name}.lua")
    assert known["stops"] == {budget: 1}
    assert told.partition(": ")[2] in known["last_stop"]
    assert hosts_of(farm) == hosts  # a soft stop: no process had to die
    assert ask(farm.socket, farm.root / "good.lua").body == b"good"


@pytest.mark.parametrize(
    ("name", "kept", "counted"), [("log_lines", 5, 15), ("log_bytes", 1, 2)]
)
def test_what_is_logged_beyond_the_budget_is_counted(
    farm: Farm, name: str, kept: int, counted: int
) -> None:
    assert ask(farm.socket, farm.root / f"{name}.lua").body == b"done"
    lines = [x for x in farm.log().split("\n") if f"/{name}.lua: " in x]
    said = [x for x in lines if x.endswith((": line", "y" * 900))]
    assert len(said) == kept
    assert f"{counted} more log lines" in lines[-1]  # one may be cut


@pytest.mark.parametrize(
    "name", ["cpu", "load_cpu", "memory", "reply", "log_lines", "log_bytes"]
)
def test_each_budget_can_be_another_for_some_scripts(farm: Farm, name: str) -> None:
    assert ask(farm.socket, farm.root / f"roomy_{name}.lua").status == 200
    lines = [x for x in farm.log().split("\n") if f"/roomy_{name}.lua: " in x]
    assert not any("budget=" in line or "more log lines" in line for line in lines)


def test_the_status_for_people_tells_who_was_stopped(farm: Farm) -> None:
    ask(farm.socket, farm.root / "cpu.lua")
    stopped(farm, "cpu.lua")
    text = " ".join(farm.command("status", "--scripts").stdout.split())
    assert f"{farm.root}/cpu.lua: stopped by cpu " in text
    assert re.search(r"line 2: CPU time of 0.3 s used up, after \d+\.\d", text)
