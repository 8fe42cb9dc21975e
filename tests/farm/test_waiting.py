"""What scripts that wait cost the others, as docs/sandbox.md tells it."""

import concurrent.futures

import pytest

from tests.farm.client import ask
from tests.farm.farms import directory, until, up

pytestmark = pytest.mark.process

SLEEPS = "function main(env, con) require('luafarm').sleep(20) end"
QUICK = "function main(env, con) con:puts('quick') end"
QUEUE = '[front]\nqueue_timeout = "2 s"\n'


def test_scripts_that_wait_hold_all_hosts_of_their_pool_but_one() -> None:
    with directory() as other:
        (other / "quick.lua").write_text(QUICK)
        settings = f'{QUEUE}[pool.other]\nroot = "{other}"\nhosts = 1\n'
        files = {f"sleeps{n}.lua": SLEEPS for n in range(4)} | {"quick.lua": QUICK}
        with (
            concurrent.futures.ThreadPoolExecutor() as threads,
            up(settings, hosts=2, pool='wall = "10 s"', files=files) as farm,
        ):
            quick = farm.root / "quick.lua"
            for path in (quick, other / "quick.lua"):
                until(lambda: ask(farm.socket, path).body == b"quick", "it is warm")  # noqa: B023
            until(lambda: bool(farm.script("quick.lua")["requests"]), "it is known")
            sleeping = [
                threads.submit(ask, farm.socket, farm.root / f"sleeps{n}.lua")
                for n in range(4)
            ]

            def one_is_held() -> bool:
                hosts = farm.status()["hosts"]
                return sum(bool(host["running"]) for host in hosts) == 1

            until(one_is_held, "one sleeps")
            assert ask(farm.socket, quick).body == b"quick"
            assert ask(farm.socket, other / "quick.lua").body == b"quick"
            replies = [each.result() for each in sleeping]
            assert [r.status for r in replies].count(503) == len(sleeping) - 1
            assert all("retry-after" in r.headers for r in replies if r.status == 503)
