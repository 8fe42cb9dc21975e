"""Connections of the broker to VM hosts that take no orders."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from broker.hosts import Hosts
from broker.library import Library
from broker.scriptlog import ScriptLog
from luafarm.messages import PROTOCOL, Drop, Hello, HostUp, Role
from luafarm.names import Epoch, HostId, Machine, Pool, Script
from luafarm.settings import Settings
from tests.broker.peers import DEADLINE_S, Context

ORDER = Drop(Script(b"/r/a.lua"), Epoch(1))
NAMES = HostId("h1"), HostId("h2")


@pytest.fixture
def context() -> Iterator[Context]:
    context: Context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def hosts(context: Context, tmp_path: Path) -> Iterator[Hosts]:
    """Return connections to hosts that do not listen yet."""
    settings = Settings()
    library = Library(settings, lambda _: True)
    hello = Hello(PROTOCOL, Role.BROKER, "broker", Machine("m"))
    log = ScriptLog(settings)
    found = Hosts(context, None, library, log, hello, 1, lambda _: None)
    for name in NAMES:
        found.connect(up(tmp_path, name), zmq.Poller())
    yield found
    found.close()
    library.close()


def up(directory: Path, name: HostId) -> HostUp:
    endpoint = f"ipc://{directory}/{name}"
    machine = Machine("m")
    return HostUp(name, Pool("p"), machine, endpoint, b"", "", b"", (), (), 1, 1)


def fill(hosts: Hosts, name: HostId) -> None:
    """Send orders until no more are taken, and some more."""
    while hosts.send(name, ORDER):
        pass
    for _ in range(100):
        assert not hosts.send(name, ORDER)


def complaints(caplog: pytest.LogCaptureFixture, name: HostId) -> int:
    return caplog.messages.count(f"host={name} takes no more orders")


def test_a_host_that_is_stuck_is_told_of_once(
    hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luafarm")
    for name in NAMES:
        fill(hosts, name)
    assert [complaints(caplog, name) for name in NAMES] == [1, 1]


def test_a_host_that_is_stuck_again_is_told_of_again(
    hosts: Hosts, context: Context, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luafarm")
    name = NAMES[0]
    fill(hosts, name)
    with context.socket(zmq.ROUTER) as host:
        host.rcvhwm = 0  # it takes everything
        host.bind(f"ipc://{tmp_path}/{name}")
        deadline = time.monotonic() + DEADLINE_S
        while not hosts.send(name, ORDER):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    fill(hosts, name)
    assert complaints(caplog, name) == 2
