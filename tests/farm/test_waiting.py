"""What scripts that wait cost the others, as docs/sandbox.md tells it."""

import concurrent.futures

import pytest

from tests.farm.client import ask
from tests.farm.farms import directory, until, up

pytestmark = pytest.mark.process

SLEEPS = "function main(env, con) require('luafarm').sleep(20) end"
QUICK = "function main(env, con) con:puts('quick') end"
QUEUE = '[front]\nqueue_timeout = "2 s"\n'


def test_scripts_that_wait_hold_the_hosts_of_their_pool_and_no_other() -> None:
    with directory() as other:
        (other / "quick.lua").write_text(QUICK)
        settings = f'{QUEUE}[pool.other]\nroot = "{other}"\nhosts = 1\n'
        files = {f"sleeps{n}.lua": SLEEPS for n in range(4)} | {"quick.lua": QUICK}
        with (
            concurrent.futures.ThreadPoolExecutor() as threads,
            up(settings, hosts=2, pool='wall = "10 s"', files=files) as farm,
        ):
            for quick in (farm.root / "quick.lua", other / "quick.lua"):
                until(lambda: ask(farm.socket, quick).body == b"quick", "it is warm")  # noqa: B023
            sleeping = [
                threads.submit(ask, farm.socket, farm.root / f"sleeps{n}.lua")
                for n in range(4)
            ]

            def both_are_held() -> bool:
                hosts = farm.status()["hosts"]
                return sum(bool(host["running"]) for host in hosts) == 2

            until(both_are_held, "two sleep")
            refused = ask(farm.socket, farm.root / "quick.lua")
            assert refused.status == 503
            assert "retry-after" in refused.headers
            assert ask(farm.socket, other / "quick.lua").body == b"quick"
            for each in sleeping:
                each.result()
