"""Whose word a front takes: a real front between fake peers."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
from msgspec.structs import replace

from fcgi.service import Service
from luafarm.config.settings import Settings
from luafarm.ends import Death
from luafarm.keys import curve
from luafarm.names import HostId, Machine, Pool, RequestId, Script
from luafarm.wire.messages import (
    PROTOCOL,
    Accuse,
    Hello,
    HostLost,
    HostUp,
    Refused,
    Report,
    Role,
    Snapshot,
    Welcome,
)
from tests.fcgi.hosts.test_hostile_host import FakePeer

pytestmark = pytest.mark.process

PATIENCE_S = 120.0


@dataclass
class Stage:
    """A front and its broker, which has welcomed it."""

    directory: Path
    context: zmq.asyncio.Context
    service: Service
    broker: FakePeer
    peers: list[FakePeer]

    def peer(self, name: str) -> FakePeer:
        """Return somebody who listens."""
        self.peers.append(FakePeer(self.context, f"ipc://{self.directory}/{name}"))
        return self.peers[-1]

    def up(self, name: str, notices: str = "") -> HostUp:
        """Return the announcement of a host that listens, unless it does already."""
        endpoint = f"ipc://{self.directory}/{name}"
        machine = Machine(name.partition("-")[0])
        return HostUp(
            HostId(name),
            Pool("web"),
            machine,
            endpoint,
            b"",
            notices,
            b"",
            (),
            (),
            1,
            1,
        )


@contextlib.asynccontextmanager
async def stage(
    directory: Path, keys: curve.Keys | None = None
) -> AsyncIterator[Stage]:
    context = zmq.asyncio.Context()
    broker = FakePeer(context, f"ipc://{directory}/broker")
    service = Service(
        asyncio.get_running_loop(),
        Settings(),
        "front",
        Machine("m"),
        broker.endpoint,
        keys,
    )
    made = Stage(directory, context, service, broker, [broker])
    try:
        async with asyncio.timeout(PATIENCE_S):
            await broker.hear(lambda m: isinstance(m, Hello))
            yield made
    finally:
        service.close()
        for peer in made.peers:
            peer.socket.close()
        context.term()


def lost(name: str) -> HostLost:
    return HostLost(HostId(name), RequestId(0), (), Script(b""), Death.KILLED, "")


def lines(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    return [text for text in caplog.messages if word in text]


async def until_logged(caplog: pytest.LogCaptureFixture, word: str) -> None:
    while not lines(caplog, word):  # noqa: ASYNC110 - a line sets no event
        await asyncio.sleep(0.01)


async def meet(peer: FakePeer, role: Role) -> None:
    """Be greeted by the front, and welcome it."""
    await peer.hear(lambda m: isinstance(m, Hello))
    await peer.say(Welcome(PROTOCOL, role, "peer", 1))


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "luafarm")


def test_a_supervisor_is_believed_about_its_own_hosts_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as farm:
            ups = []
            notices = {}
            for machine in ("a", "b"):
                notices[machine] = farm.peer(f"notices-{machine}")
                farm.peer(f"{machine}-1")
                ups.append(farm.up(f"{machine}-1", notices[machine].endpoint))
            await farm.broker.say(Welcome(PROTOCOL, Role.BROKER, "broker", 1))
            await farm.broker.say(Snapshot(tuple(ups), ()))
            for peer in notices.values():
                await meet(peer, Role.SUPERVISOR)
            await notices["b"].say(lost("a-1"))
            await notices["b"].say(lost("b-1"))
            await until_logged(caplog, "host lost host=b-1")
            assert lines(caplog, "host=a-1") == []
            await notices["a"].say(lost("a-1"))
            await until_logged(caplog, "host lost host=a-1")

    asyncio.run(play())


def test_another_key_at_the_endpoint_of_notices_is_not_in_the_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine that names the notices of another must not keep fronts from them."""

    async def play() -> None:
        async with stage(tmp_path) as farm:
            notices = farm.peer("notices-a")
            for name in ("a-1", "b-1"):
                farm.peer(name)
            liar = farm.up("b-1", notices.endpoint)
            liar = replace(liar, notices_key=curve.fresh().public)
            await farm.broker.say(Welcome(PROTOCOL, Role.BROKER, "broker", 1))
            await farm.broker.say(liar)
            await farm.broker.say(farm.up("a-1", notices.endpoint))
            for _ in range(2):  # without keys of its own the front calls both plainly
                await meet(notices, Role.SUPERVISOR)
                await notices.say(lost("a-1"))  # on either, whichever came first
            await until_logged(caplog, "host lost host=a-1")

    asyncio.run(play())


def test_a_host_whose_key_does_not_fit_is_told_once_and_not_accused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    curve.keygen(tmp_path / "keys")
    keys = curve.load(tmp_path / "keys", "fcgi", Machine("m"))

    async def play() -> None:
        async with stage(tmp_path, keys) as farm:
            server = farm.context.socket(zmq.ROUTER)
            server.linger = 0
            server.curve_server = True
            server.curve_secretkey = curve.fresh().secret
            port = server.bind_to_random_port("tcp://127.0.0.1")
            endpoint = f"tcp://127.0.0.1:{port}"
            key = curve.fresh().public
            up = replace(farm.up("a-1"), endpoint=endpoint, server_key=key)
            await farm.broker.say(Welcome(PROTOCOL, Role.BROKER, "broker", 1))
            await farm.broker.say(up)
            await until_logged(caplog, "ends the handshake")
            for _ in range(3):  # a second each
                await farm.broker.hear(lambda m: isinstance(m, Report))
            server.close()
            assert [m for m in farm.broker.heard if isinstance(m, Accuse)] == []
            [line] = lines(caplog, "ends the handshake")
            assert line.startswith(f"a VM host of machine a at {endpoint} ends the")
            assert f"{tmp_path}/keys/fcgi.secret" in line

    asyncio.run(play())


def test_with_keys_no_host_without_one_is_called_over_tcp(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    curve.keygen(tmp_path / "keys")
    keys = curve.load(tmp_path / "keys", "fcgi", Machine("m"))

    async def play() -> None:
        async with stage(tmp_path, keys) as farm:
            plain = farm.context.socket(zmq.ROUTER)
            plain.linger = 0
            port = plain.bind_to_random_port("tcp://127.0.0.1")
            up = replace(farm.up("a-1"), endpoint=f"tcp://127.0.0.1:{port}")
            near = farm.peer("a-2")
            await farm.broker.say(Welcome(PROTOCOL, Role.BROKER, "broker", 1))
            await farm.broker.say(up)
            await farm.broker.say(farm.up("a-2"))
            await near.hear(lambda m: isinstance(m, Hello))
            assert not await plain.poll(0)
            plain.close()
            assert len(lines(caplog, "host a-1 has no key")) == 1

    asyncio.run(play())


def test_a_broker_that_refuses_makes_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as farm:
            for _ in range(3):
                await farm.broker.say(Refused("vmhost.public is no key of a front"))
            await farm.broker.say(Welcome(PROTOCOL, Role.BROKER, "broker", 1))
            await until_logged(caplog, "broker found")
            assert lines(caplog, "refuses") == [
                "the broker refuses this front: vmhost.public is no key of a front"
            ]

    asyncio.run(play())
