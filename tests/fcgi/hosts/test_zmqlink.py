"""A front's connections by libzmq, against peers that say too much."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop
import zmq

from fcgi import share
from fcgi.hosts.zmqlink import ZmqLink
from luafarm.process.complaints import Complaints
from luafarm.wire import zmtp
from luafarm.wire.received import AHEAD_BYTES
from luafarm.wire.zmtp import DEALER, ROUTER, Session
from tests.fcgi.hosts.test_zmtplink import WAIT_S, until

MAX_BYTES = 100_000


class Heard:
    """A link and what it told its owner."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", at: str) -> None:
        self.frames: list[bytes] = []
        self.connected = 0
        self.lost: list[str] = []
        self.greets = False  # whether it says hello by itself
        self.greeted: list[bool] = []
        self.link = ZmqLink(
            asyncio.get_running_loop(),
            context,
            at,
            "a VM host",
            Complaints(),
            self.frames.append,
            self._connect,
            self.lost.append,
            ahead=8,
            max_frame=MAX_BYTES,
        )

    def _connect(self) -> None:
        self.connected += 1
        if self.greets:
            self.greeted.append(self.link.send(b"hello"))


@pytest.fixture
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def router(context: "zmq.Context[zmq.Socket[bytes]]") -> "zmq.Socket[bytes]":
    made = context.socket(zmq.ROUTER)
    made.rcvtimeo = made.sndtimeo = int(WAIT_S * 1000)
    return made


async def connected(
    router: "zmq.Socket[bytes]", directory: Path
) -> tuple[Heard, bytes]:
    """Return a link whose host knows it, and its name there."""
    router.bind(f"ipc://{directory / 's'}")
    heard = Heard(router.context, f"ipc://{directory / 's'}")
    await until(lambda: heard.connected == 1)
    assert heard.link.send(b"hello")
    peer, _ = await asyncio.to_thread(router.recv_multipart)
    return heard, peer


def test_frames_up_to_the_limit_are_heard_and_a_longer_one_ends_the_connection(
    router: "zmq.Socket[bytes]", tmp_path: Path
) -> None:
    async def talk() -> None:
        heard, peer = await connected(router, tmp_path)
        router.send_multipart([peer, bytes(MAX_BYTES)])
        await until(lambda: heard.frames == [bytes(MAX_BYTES)])
        assert heard.lost == []
        router.send_multipart([peer, bytes(MAX_BYTES + 1)])
        await until(lambda: heard.lost == [""])
        assert heard.frames == [bytes(MAX_BYTES)]
        heard.link.close()

    uvloop.run(talk())


def test_a_connection_that_has_just_been_made_takes_a_greeting(
    router: "zmq.Socket[bytes]", tmp_path: Path
) -> None:
    async def talk() -> None:
        router.bind(f"ipc://{tmp_path / 's'}")
        for _ in range(200):
            heard = Heard(router.context, f"ipc://{tmp_path / 's'}")
            heard.greets = True
            while not heard.connected:
                heard.link.send(b"too early")  # and libzmq looks at its mail
                await asyncio.sleep(0)
            assert heard.greeted == [True]
            while (await asyncio.to_thread(router.recv_multipart))[1] != b"hello":
                pass
            heard.link.close()

    uvloop.run(talk())


def test_a_message_of_several_frames_is_told(
    router: "zmq.Socket[bytes]", tmp_path: Path
) -> None:
    async def talk() -> None:
        heard, peer = await connected(router, tmp_path)
        router.send_multipart([peer, b"one", b"two"])
        await until(lambda: bool(heard.lost))
        assert heard.lost == ["a message of several frames; each has one here"]
        assert b"one" not in heard.frames
        heard.link.close()

    uvloop.run(talk())


def test_a_host_that_says_much_leaves_others_their_share(
    router: "zmq.Socket[bytes]", tmp_path: Path
) -> None:
    frame = bytes(10_000)

    async def talk() -> None:
        heard, peer = await connected(router, tmp_path)
        sending = asyncio.create_task(asyncio.to_thread(flood, peer))
        passes: list[int] = []
        while len(heard.frames) < 500:
            passes.append(len(heard.frames))
            await asyncio.sleep(0)
        await sending
        most = share.BYTES // len(frame) + 1
        assert max(b - a for a, b in pairwise(passes)) <= 2 * most
        heard.link.close()

    def flood(peer: bytes) -> None:
        for _ in range(500):
            router.send_multipart([peer, frame])

    uvloop.run(talk())


def test_a_message_that_does_not_end_is_told_before_it_fills_the_front(
    context: "zmq.Context[zmq.Socket[bytes]]",
) -> None:
    """Its frames are short; libzmq keeps them all."""

    async def listen(listener: socket.socket) -> None:
        heard = Heard(context, f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.sendall(Session(ROUTER, DEALER).opening())
        await until(lambda: heard.connected == 1)
        connection.sendall(zmtp.head(1) + b"x")
        await until(lambda: heard.frames == [b"x"])
        part = b"\x03" + (10_000).to_bytes(8) + bytes(10_000)
        sending = asyncio.create_task(asyncio.to_thread(flood, connection, part))
        async with asyncio.timeout(WAIT_S):
            while not heard.lost:  # noqa: ASYNC110 - of others' doing
                await asyncio.sleep(0.001)
        assert re.match(r"\d+ bytes of a message that does not end", heard.lost[0])
        heard.link.close()
        await sending
        connection.close()

    def flood(connection: socket.socket, part: bytes) -> None:
        with contextlib.suppress(OSError):  # until it is cut off
            while True:
                connection.sendall(part)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        uvloop.run(listen(listener))


def test_much_that_is_heard_is_no_message_without_end(
    router: "zmq.Socket[bytes]",
) -> None:
    frame = bytes(MAX_BYTES)
    count = 3 * AHEAD_BYTES // len(frame)

    async def listen() -> None:
        port = router.bind_to_random_port("tcp://127.0.0.1")
        heard = Heard(router.context, f"tcp://127.0.0.1:{port}")
        await until(lambda: heard.connected == 1)
        assert heard.link.send(b"hello")
        peer, _ = await asyncio.to_thread(router.recv_multipart)
        await asyncio.to_thread(flood, peer)
        await until(lambda: len(heard.frames) == count)
        assert heard.lost == []
        heard.link.close()

    def flood(peer: bytes) -> None:
        for _ in range(count):
            router.send_multipart([peer, frame])

    uvloop.run(listen())
