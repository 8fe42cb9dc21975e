"""Scripts that kill VM hosts are refused, those that budgets stop get few of them."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.farm.client import Reply, ask
from tests.farm.farms import Farm, hosts_of, kill, until, up

pytestmark = pytest.mark.process

SETTINGS = """
[broker]
quarantine_deaths = 2
quarantine = "{pause} s"
quarantine_window = "300 s"

[[script]]
pattern = "kills*"
cpu = "20 s"
wall = "300 ms"

[[script]]
pattern = "exhausts*"
cpu = "50 ms"

[[script]]
pattern = "form*"
memory = "128 MiB"

[[script]]
pattern = "fresh*"
cpu = "50 ms"
state = "fresh"
"""

KILLS = "function main() return (('a'):rep(30000)):find('.-.-.-b') end"
EXHAUSTS = """
function main(env, con)
  while env.QUERY_STRING == "slow" do end
end
"""
FORM = """
local luafarm = require "luafarm"

function main(env, con)
  local form, problem = luafarm.parse(con:gets())
  if not form then con:status(400) end
  con:puts(form and form.a or problem)
end
"""
GOOD = "local n = 0 function main(env, con) n = n + 1 con:puts(tostring(n)) end"


@pytest.fixture
def farm() -> Iterator[Farm]:
    with up(SETTINGS.replace("{pause}", "600"), hosts=2) as running:
        yield running


def until_refused(farm: Farm, name: str, most: int) -> tuple[Reply, int]:
    """Ask until it is refused; return that reply and how many were not."""
    for number in range(most + 1):
        reply = ask(farm.socket, farm.root / name)
        if "retry-after" in reply.headers:
            assert reply.status == 503
            return reply, number
        assert reply.status in {504, 502}, reply.body
        until(lambda: len(hosts_of(farm)) == 2, "the hosts are whole")
    raise AssertionError(f"{name} was not refused after {most} requests")


def counts(farm: Farm) -> tuple[int, int]:
    """Return the loads and the lost hosts so far."""
    found: dict[str, Any] = farm.status()["counts"]
    return found.get("loads", 0), found.get("hosts_lost", 0)


def test_a_killer_is_refused_without_a_load_or_a_lost_host_until_its_file_changes(
    farm: Farm,
) -> None:
    farm.write("kills.lua", KILLS)
    good = farm.write("good.lua", GOOD)
    refused, deaths = until_refused(farm, "kills.lua", 6)
    assert deaths >= 2
    assert 0 < int(refused.headers["retry-after"]) <= 601
    assert ask(farm.socket, good).status == 200
    before, hosts = counts(farm), hosts_of(farm)
    served = int(ask(farm.socket, good).body)
    for number in range(20):
        assert ask(farm.socket, farm.root / "kills.lua").status == 503
        # another of the pool keeps its state
        assert int(ask(farm.socket, good).body) == served + number + 1
    assert counts(farm) == before
    assert hosts_of(farm) == hosts
    farm.write("kills.lua", "function main(env, con) con:puts('mended') end")
    until(
        lambda: ask(farm.socket, farm.root / "kills.lua").body == b"mended",
        "the changed file is served",
    )
    assert farm.status()["quarantined"] == []


def test_the_culprit_is_named_in_log_and_status(farm: Farm) -> None:
    script = farm.write("kills.lua", KILLS)
    until_refused(farm, "kills.lua", 6)
    log = farm.log()
    assert f"lost reason=wall script={script}" in log
    assert f"script={script} is refused for " in log
    assert "died of it: wall; see [broker] quarantine_deaths" in log
    status = farm.status()
    [quarantined] = status["quarantined"]
    assert quarantined["script"] == str(script)
    assert 0 < quarantined["left_s"] <= 600
    assert "died of it: wall" in quarantined["why"]
    [known] = [s for s in status["scripts"] if s["script"] == str(script)]
    assert (known["verdict"], known["kills"]) == ("refused", 2)
    text = " ".join(farm.command("status").stdout.split())
    assert "1 quarantined" in text
    assert f"{script}: refused until {quarantined['until'][:13]}" in text


@pytest.mark.parametrize("name", ["exhausts.lua", "fresh.lua"])
def test_one_that_exhausts_is_never_refused_but_gets_few_hosts(
    farm: Farm, name: str
) -> None:
    script = farm.write(name, EXHAUSTS)
    hosts = hosts_of(farm)
    for _ in range(15):
        assert ask(farm.socket, script, query="slow").status == 504
    assert ask(farm.socket, script).status == 200
    assert hosts_of(farm) == hosts
    until(lambda: bool(farm.status()["restrained"]), "it is restrained")
    status = farm.status()
    [restrained] = status["restrained"]
    assert status["quarantined"] == []
    assert restrained["script"] == str(script)
    assert restrained["why"] == "budget=cpu exceeded"
    [known] = [s for s in status["scripts"] if s["script"] == str(script)]
    assert (known["verdict"], known["lane"]) == ("ready", "slow")
    assert known["restrained_s"] > 0
    assert f"script={script} gets few VM hosts for now: " in farm.log()
    text = " ".join(farm.command("status").stdout.split())
    assert "0 quarantined, 1 restrained" in text
    assert f"{script}: few VM hosts until {restrained['until'][:13]}" in text
    farm.write(name, EXHAUSTS + " -- changed")
    until(lambda: farm.status()["restrained"] == [], "the changed file is another")


def test_forms_that_visitors_send_take_a_script_from_nobody(farm: Farm) -> None:
    script = farm.write("form.lua", FORM)
    for _ in range(12):
        reply = ask(farm.socket, script, method="POST", body=b"a&" * (4 << 20))
        assert reply.status == 400
        assert reply.body.endswith(b"text of 8388608 bytes; limits.bytes is 1048576")
    assert ask(farm.socket, script, method="POST", body=b"a=1").body == b"1"
    known = farm.script("form.lua")
    assert (known["verdict"], known["stops"], known["kills"]) == ("ready", {}, 0)
    assert known["restrained_s"] == 0


def test_the_back_off_ends_and_is_longer_the_next_time() -> None:
    with up(SETTINGS.replace("{pause}", "1"), hosts=2) as farm:
        script = farm.write("kills.lua", KILLS)
        refused = f"script={script} is refused for "

        def has_come_back() -> bool:
            assert ask(farm.socket, script).status in {502, 503, 504}
            return farm.log().count(refused) >= 3

        until(has_come_back, "it was tried again, twice")
        _, *further = farm.log().split(refused)
        assert [text.split()[0] for text in further] == ["1", "2", "4"]
        died = f"lost reason=wall script={script}"
        until(lambda: farm.log().count(died) >= 4, "the deaths are told")
        # two at first, then one more is enough, twice
        assert farm.log().count(died) == 4


QUICK = """
function main(env, con)
  local until_then = os.clock() + 0.002
  while os.clock() < until_then do end
  con:puts("ok")
end
"""


def test_kills_from_outside_under_load_refuse_no_script_that_runs_well() -> None:
    with up("", hosts=2) as farm:
        script = farm.write("quick.lua", QUICK)
        assert ask(farm.socket, script).status == 200
        statuses: list[int] = []
        over = threading.Event()

        def visit() -> None:
            while not over.is_set():
                statuses.append(ask(farm.socket, script).status)

        visitors = [threading.Thread(target=visit) for _ in range(4)]
        for visitor in visitors:
            visitor.start()
        try:
            for _ in range(12):
                served = len(statuses)
                until(lambda served=served: len(statuses) > served + 50, "it serves")  # type: ignore[misc]
                before = hosts_of(farm)
                for host in before:
                    kill(host)
                until(
                    lambda before=before: len(set(hosts_of(farm)) - set(before)) == 2,  # type: ignore[misc]
                    "the hosts are replaced",
                )
        finally:
            over.set()
            for visitor in visitors:
                visitor.join()
        status = farm.status()
        assert status["counts"].get("hosts_lost", 0) >= 20
        assert (status["quarantined"], status["quarantines"]) == ([], 0)
        assert "is refused for" not in farm.log()
        # a GET whose host died twice is 502; nothing else may come of it
        assert set(statuses) <= {200, 502}
        assert statuses.count(200) > len(statuses) * 0.9


@pytest.mark.parametrize(
    "ending",
    [
        "os.execute('kill -ABRT $PPID') while true do end",
        "os.execute('kill -SEGV $PPID') while true do end",
    ],
)
def test_a_script_that_ends_its_process_whenever_it_runs_is_refused(
    ending: str,
) -> None:
    quarantine = '[broker]\nquarantine = "600 s"\nquarantine_window = "300 s"\n'
    with up(quarantine, hosts=2, pool='trust = "trusted"') as farm:
        script = farm.write("ends.lua", f"function main() {ending} end")
        until(
            lambda: "retry-after" in ask(farm.socket, script).headers, "it is refused"
        )
        [refused] = farm.status()["quarantined"]
        assert refused["script"] == str(script)
        # the fourth may have been on its way
        assert 3 <= farm.script("ends.lua")["kills"] <= 4
