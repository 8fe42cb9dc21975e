"""A machine that stood still for a while: suspended, moved, or out of memory."""

import signal

import pytest

from tests.farm.client import ask
from tests.farm.farms import hosts_of, kill, until, up

pytestmark = pytest.mark.process


def test_a_supervisor_that_was_silent_gets_its_hosts_back() -> None:
    # it must be found and replaced by nobody meanwhile
    with up("[roles]\nwatchdog = 0\n", hosts=2) as farm:
        script = farm.write("hello.lua", "function main(e, c) c:puts('hello') end")
        assert ask(farm.socket, script).body == b"hello"
        [supervisor] = farm.titled("luafarm-supervisor")
        before = hosts_of(farm)
        kill(supervisor, signal.SIGSTOP)
        try:
            until(lambda: farm.status()["hosts"] == [], "its hosts are lost")
        finally:
            kill(supervisor, signal.SIGCONT)
        until(lambda: len(farm.status()["hosts"]) == 2, "its hosts are known again")
        until(lambda: ask(farm.socket, script).body == b"hello", "they serve")
        assert hosts_of(farm) == before
