"""A supervisor that stood still for a while, and goes on."""

import signal

import pytest

from tests.farm.client import ask
from tests.farm.farms import hosts_of, kill, until, up

pytestmark = pytest.mark.process


def test_a_host_that_dies_while_its_supervisor_hangs_is_missed_and_replaced() -> None:
    # the supervisor must be found and replaced by nobody meanwhile
    with up("[roles]\nwatchdog = 0\n", hosts=2) as farm:
        script = farm.write("hello.lua", "function main(e, c) c:puts('hello') end")
        assert ask(farm.socket, script).body == b"hello"
        supervisor = farm.one("luafarm-supervisor")
        dies, lives = hosts_of(farm)
        kill(supervisor, signal.SIGSTOP)
        kill(dies)
        try:
            until(lambda: len(farm.status()["hosts"]) == 1, "it is out of reach")
            until(lambda: ask(farm.socket, script).body == b"hello", "one serves")
        finally:
            kill(supervisor, signal.SIGCONT)
        until(lambda: len(farm.status()["hosts"]) == 2, "its seat is filled")
        assert ask(farm.socket, script).body == b"hello"
        assert lives in hosts_of(farm)
        assert dies not in hosts_of(farm)
