"""States and VM hosts are replaced while they serve, and nobody notices."""

from collections.abc import Iterator

import pytest

from tests.farm.client import Seen, ask, asking
from tests.farm.farms import Farm, during, until, up

pytestmark = pytest.mark.process

COUNTER = """
local n = 0
function main(env, con)
  n = n + 1
  con:puts(tostring(n))
end
"""
CLONES = '[[script]]\npattern = "hot.lua"\nmin_clones = 3\n'


def failed(seen: list[Seen]) -> list[object]:
    return [one.reply for one in seen if one.reply.status != 200]


def began(seen: list[Seen]) -> int:
    """Return how many states have answered their first request."""
    return sum(one.reply.body == b"1" for one in list(seen))


def counts(farm: Farm, name: str) -> int:
    found: int = farm.status()["counts"].get(name, 0)
    return found


@pytest.fixture
def by_requests() -> Iterator[Farm]:
    with up(CLONES, pool="state_requests = 40") as running:
        yield running


def test_states_are_renewed_after_so_many_requests_one_at_a_time(
    by_requests: Farm,
) -> None:
    farm = by_requests
    path = farm.write("hot.lua", COUNTER)
    assert ask(farm.socket, path).status == 200
    until(lambda: len(farm.script("hot.lua")["states"]) == 3, "it has its clones")
    fewest: list[int] = []

    def look() -> None:
        script = farm.script("hot.lua")
        fewest.append(len(script["states"]))
        assert len(script["loading"]) <= 1

    with asking(farm.socket, [path], clients=6) as seen, during(look):
        until(lambda: counts(farm, "recycled_states") >= 12, "states were renewed")
    assert failed(seen) == []
    assert min(fewest) == 3
    assert max(int(one.reply.body) for one in seen) >= 40
    assert began(seen) >= 11  # each that went had begun anew; the first one before


def test_states_are_renewed_at_an_age() -> None:
    with up(CLONES, pool='state_age = "1 s"') as farm:
        path = farm.write("hot.lua", COUNTER)
        with asking(farm.socket, [path]) as seen:
            until(lambda: counts(farm, "recycled_states") >= 6, "all are renewed")
            until(lambda: began(seen) >= 2, "what answers has begun anew")
        assert failed(seen) == []


def test_a_state_over_its_memory_ends_alone() -> None:
    source = """
    local kept = {}
    function main(env, con)
      kept[#kept + 1] = string.rep("x", 100000) .. #kept
      con:puts(tostring(#kept))
    end
    """
    with up(CLONES, pool='memory = "4 MiB"') as farm:
        path = farm.write("hot.lua", COUNTER)
        greedy = farm.write("greedy.lua", source)
        assert ask(farm.socket, path).status == 200
        with asking(farm.socket, [path], clients=2) as seen:
            replies = [ask(farm.socket, greedy) for _ in range(120)]
        assert failed(seen) == []
        assert sum(reply.body == b"1" for reply in replies) >= 2
        # the request that met the limit is told so; the next one has a new state
        assert sum(reply.status == 200 for reply in replies) > 100
    assert len(replies) == 120


@pytest.mark.parametrize(
    "pool",
    ["host_requests = 200", 'host_age = "2 s"'],
    ids=["requests", "age"],
)
def test_hosts_are_replaced_one_after_the_other_under_load(pool: str) -> None:
    with up(CLONES, hosts=3, pool=pool) as farm:
        path = farm.write("hot.lua", COUNTER)
        assert ask(farm.socket, path).status == 200
        first = {host["host"] for host in farm.status()["hosts"]}
        at_once: list[int] = []
        left: list[set[str]] = []

        def look() -> None:
            hosts = farm.status()["hosts"]
            at_once.append(sum(host["retiring"] for host in hosts))
            left.append(first & {host["host"] for host in hosts})

        with asking(farm.socket, [path]) as seen, during(look):
            # by requests: those that fronts prefer come first, the last one may idle
            until(lambda: bool(left) and len(left[-1]) <= 1, "hosts are new ones")
        assert failed(seen) == []
        assert max(at_once) <= 1


def test_a_host_that_has_grown_is_replaced() -> None:
    leaks = """
    local ffi = require "ffi"
    ffi.cdef "void *malloc(size_t size); void *memset(void *at, int byte, size_t size);"
    function main(env, con)
      local size = 16 * 2 ^ 20
      ffi.C.memset(ffi.C.malloc(size), 1, size)
      con:puts("ok")
    end
    """
    with up(hosts=2, pool='trust = "trusted"\nhost_memory = "64 MiB"') as farm:
        small = farm.write("small.lua", COUNTER)
        leak = farm.write("leak.lua", leaks)

        def are_known() -> bool:
            known = [host for host in farm.status()["hosts"] if host["rss_kib"]]
            return len(known) == 2

        until(are_known, "the broker knows what new hosts take")
        # 144 MiB: however they fall to the two, one takes more than it may
        assert [ask(farm.socket, leak).status for _ in range(9)] == [200] * 9
        with asking(farm.socket, [small]) as seen:
            until(lambda: counts(farm, "recycled_hosts") >= 1, "it is replaced")
        assert failed(seen) == []
