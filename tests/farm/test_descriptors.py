"""Processes that have no descriptor left, get some again, or may never have many."""

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from bench import daemon
from tests.farm.client import ask, connected
from tests.farm.farms import LUAFARM, Farm, directory, kill, until, up

pytestmark = pytest.mark.process

FILES = {f"{name}.lua": "function main(e, con) con:puts('x') end" for name in "ab"}


def first_free(pid: int) -> int:
    """Return the number that the next descriptor of a process gets."""
    taken = {int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    return next(n for n in count() if n not in taken)


@contextmanager
def no_descriptors(farm: Farm, title: str = "luafarm-broker") -> Iterator[None]:
    """Let the broker, or another process, open nothing more."""
    pid = farm.one(title)
    with no_more_of(pid):
        yield


@contextmanager
def no_more_of(pid: int) -> Iterator[None]:
    """Let a process open nothing more."""
    # looked at again and again: it may have had a file open for a moment
    free = min(first_free(pid) for _ in range(50))
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_a_new_script_is_503_while_the_broker_cannot_read_it_and_200_after() -> None:
    with up(files=FILES) as farm:
        warm, cold = farm.root / "a.lua", farm.root / "b.lua"
        assert ask(farm.socket, warm).status == 200
        with no_descriptors(farm):
            reply = ask(farm.socket, cold)
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) > 0
            assert ask(farm.socket, warm).status == 200
        until(lambda: ask(farm.socket, cold).status == 200, "it is served")
        assert "too many open files" not in farm.log()


def test_who_cannot_be_accepted_waits_and_is_served_when_somebody_leaves() -> None:
    with up(hosts=1, files=FILES) as farm, contextlib.ExitStack() as stack:
        script = farm.root / "a.lua"
        kept = stack.enter_context(connected(farm.socket))
        kept.send(script)
        assert kept.receive().status == 200
        with no_descriptors(farm, "luafarm-front"):
            waiting = [stack.enter_context(connected(farm.socket)) for _ in range(20)]
            for client in waiting:
                client.send(script)
            until(lambda: "no more are accepted" in farm.log(), "it says so")
            kept.send(script)
            assert kept.receive().status == 200
        for client in waiting:
            assert client.receive().status == 200
            client.close()
        assert farm.log().count("no more are accepted until one closes") == 1


@pytest.mark.parametrize("title", ["luafarm-broker", "luafarm-supervisor"])
def test_a_role_that_cannot_be_started_again_ends_nobody_and_is_tried_again(
    title: str,
) -> None:
    with up(files=FILES) as farm:
        script = farm.root / "a.lua"
        assert ask(farm.socket, script).status == 200
        role = farm.one(title)
        with no_more_of(farm.daemons["up"].pid):
            kill(role)
            until(lambda: "cannot be started: Too many" in farm.log(), "it says so")
            assert not farm.titled(title)
        until(lambda: bool(farm.titled(title)), "it is started")
        until(lambda: ask(farm.socket, script).status == 200, "it is served")


def low(number: int, *command: str) -> list[str]:
    """Return a command that may open so many files, and no more."""
    return ["sh", "-c", f'ulimit -n {number} && exec "$@"', "sh", *command]


@pytest.mark.parametrize("command", ["up", "fcgi", "broker", "vmhost"])
def test_too_low_a_limit_is_one_clear_line(command: str) -> None:
    with directory() as place:
        settings = ["--set", f"pool.web.root={place}", "--set", "pool.web.hosts=3"]
        settings += ["--set", f"front.listen=unix:{place}/s"]
        settings += ["--set", f"paths.run={place}/run"]
        done = subprocess.run(
            low(50, *LUAFARM, command, *settings),
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (
            2,
            "luafarm: configuration: a process may open 50 files here; with 3 VM hosts "
            "it needs at least 52 (LimitNOFILE, ulimit -Hn)\n",
        )


def test_a_farm_with_few_descriptors_serves_many_clients_and_says_little() -> None:
    with directory() as place, contextlib.ExitStack() as stack:
        (place / "a.lua").write_text(FILES["a.lua"])
        address = f"{place}/s"
        settings = ["--set", f"pool.web.root={place}", "--set", "pool.web.hosts=4"]
        settings += ["--set", f"front.listen=unix:{address}"]
        settings += ["--set", f"paths.run={place}/run"]
        process = stack.enter_context(
            daemon.running(low(64, *LUAFARM, "up", *settings), place / "log")
        )
        process.wait_until(lambda: daemon.accepts(address), "it listens")
        for _ in range(3):
            clients = [stack.enter_context(connected(address)) for _ in range(90)]
            for client in clients:
                client.send(place / "a.lua")
            for client in clients:
                assert client.receive().status == 200
                client.close()
        log = (place / "log").read_text()
        assert log.count("until one closes") <= 2, log
        assert "Traceback" not in log
