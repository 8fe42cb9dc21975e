"""A front's connections by libzmq, against peers that say too much."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop
import zmq

from fcgi import turn
from fcgi.links import Link
from tests.fcgi.test_streamlink import WAIT_S, until

MAX_BYTES = 100_000


class Heard:
    """A link and what it told its owner."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", at: str) -> None:
        self.frames: list[bytes] = []
        self.connected = 0
        self.lost: list[str] = []
        self.link = Link(
            asyncio.get_running_loop(),
            context,
            at,
            self.frames.append,
            self._connect,
            self.lost.append,
            ahead=8,
            max_frame=MAX_BYTES,
        )

    def _connect(self) -> None:
        self.connected += 1


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


def test_a_host_that_says_much_leaves_others_a_turn(
    router: "zmq.Socket[bytes]", tmp_path: Path
) -> None:
    frame = bytes(10_000)

    async def talk() -> None:
        heard, peer = await connected(router, tmp_path)
        sending = asyncio.create_task(asyncio.to_thread(flood, peer))
        turns: list[int] = []
        while len(heard.frames) < 500:
            turns.append(len(heard.frames))
            await asyncio.sleep(0)
        await sending
        most = turn.BYTES // len(frame) + 1
        assert max(b - a for a, b in pairwise(turns)) <= 2 * most
        heard.link.close()

    def flood(peer: bytes) -> None:
        for _ in range(500):
            router.send_multipart([peer, frame])

    uvloop.run(talk())
