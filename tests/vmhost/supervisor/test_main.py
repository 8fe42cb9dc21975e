"""`python -m vmhost`: the real supervisor with real hosts."""

import signal

import pytest
import zmq

from luafarm.names import LAYERS, Machine
from luafarm.wire import codec
from luafarm.wire.messages import PROTOCOL, Hello, HostUp, Role, Welcome
from tests.vmhost.supervisor.supervised import (
    Supervised,
    is_alive,
    needs_root,
    send,
    supervised,
    until,
)

pytestmark = pytest.mark.process

REAL = ("vmhost",)
SANDBOXED = ("luajit21", "lua52", "lua53", "lua54", "lua55")


def greet(running: Supervised, up: HostUp) -> None:
    """Say hello to a host as a front does, and be welcome."""
    front: zmq.Socket[bytes] = running.context.socket(zmq.DEALER)
    try:
        front.linger = 0
        front.connect(up.endpoint)
        front.send(codec.encode(Hello(PROTOCOL, Role.FRONT, "f", Machine("box"))))
        assert front.poll(20_000), running.log.read_text()
        assert codec.decode(front.recv()) == Welcome(PROTOCOL, Role.HOST, up.host, 0)
    finally:
        front.close()


@pytest.mark.parametrize("as_nobody", [False, True])
def test_hosts_of_every_dialect_are_sealed_and_serve(as_nobody: bool) -> None:
    pools = {name: f'hosts = 1\ndialect = "{name}"' for name in SANDBOXED}
    with supervised(pools, command=REAL, as_nobody=as_nobody) as running:
        ups = running.wait_up(len(SANDBOXED))
        assert {up.pool for up in ups} == set(SANDBOXED)
        for up in ups:
            assert set(up.layers) >= set(LAYERS) - {"uid"}
            greet(running, up)


def test_hosts_of_trusted_pools_serve_with_the_compiler_on() -> None:
    pools = {
        "jit": 'hosts = 1\ntrust = "trusted"\njit = true',
        "old": 'hosts = 1\ntrust = "trusted"\ndialect = "lua51"',
    }
    with supervised(pools, command=REAL) as running:
        for up in running.wait_up(2):
            greet(running, up)


def test_a_stop_of_the_whole_group_ends_in_order() -> None:
    with supervised({"main": "hosts = 2"}, command=REAL) as running:
        ups = running.wait_up(2)
        # a terminal or a service manager may signal every process, some of them twice
        for pid in (*(up.pid for up in ups), running.zygote(), running.pid):
            send(pid, signal.SIGTERM)
        assert running.wait_end() == 0
        until(lambda: not any(is_alive(up.pid) for up in ups), "the hosts to end")
        for up in ups:
            running.wait_lost(up)


@needs_root
def test_wrong_settings_are_one_line_and_exit_code_2() -> None:
    pools = {"main": "hosts = 2"}
    with supervised(pools, 'uid_range = "70000-70000"', command=REAL) as running:
        assert running.wait_end() == 2
        (line,) = running.log.read_text().splitlines()
        assert "uid_range" in line
