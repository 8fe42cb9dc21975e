"""A front's connection to VM hosts, against libzmq's ROUTER and sockets that lie."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop
import zmq

from fcgi import share
from fcgi.hosts.zmtplink import MAX_WAITING, ZmtpLink
from luafarm.wire import zmtp
from luafarm.wire.codec import MAX_FRAME
from luafarm.wire.zmtp import DEALER, ROUTER, Session

WAIT_S = 120.0
OPENING = Session(ROUTER, DEALER).opening()


class Heard:
    """A link and what it told its owner."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: str,
        hear: Callable[[], None] = lambda: None,
    ) -> None:
        self._do = hear  # at each frame
        self.frames: list[bytes] = []
        self.connected = 0
        self.lost = 0
        self.why = ""
        self.link = ZmtpLink(loop, endpoint, self._hear, self._connect, self._lose)

    def _hear(self, frame: bytes) -> None:
        self.frames.append(frame)
        self._do()

    def _connect(self) -> None:
        self.connected += 1

    def _lose(self, why: str) -> None:
        self.lost += 1
        self.why = why


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - of others' doing
            await asyncio.sleep(0.001)


@pytest.fixture
def router() -> Iterator["zmq.Socket[bytes]"]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = context.socket(zmq.ROUTER)
    made.rcvtimeo = made.sndtimeo = int(WAIT_S * 1000)
    yield made
    context.destroy(linger=0)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        made.listen()
        made.settimeout(WAIT_S)
        yield made


@pytest.mark.parametrize("kind", ["ipc", "tcp"])
def test_it_talks_to_libzmq(
    router: "zmq.Socket[bytes]", tmp_path: Path, kind: str
) -> None:
    router.bind(f"ipc://{tmp_path / 's'}" if kind == "ipc" else "tcp://127.0.0.1:*")
    endpoint = router.getsockopt_string(zmq.LAST_ENDPOINT)

    async def talk() -> None:
        heard = Heard(asyncio.get_running_loop(), endpoint)
        await until(lambda: heard.connected == 1)
        sent: list[bytes] = []
        for frame in (b"", b"small", bytes(300), bytes(1 << 20)):
            assert heard.link.send(frame)
            peer, got = await asyncio.to_thread(router.recv_multipart)
            assert got == frame
            router.send_multipart([peer, frame])
            sent.append(frame)
            await until(lambda: heard.frames == sent)
        router.close(linger=0)
        await until(lambda: heard.lost == 1)
        assert not heard.link.send(b"late")
        heard.link.close()

    uvloop.run(talk())


def test_it_waits_until_somebody_listens(tmp_path: Path) -> None:
    async def wait() -> None:
        path = tmp_path / "later"
        heard = Heard(asyncio.get_running_loop(), f"ipc://{path}")
        await asyncio.sleep(0.01)
        assert not heard.link.send(b"to nobody")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
            sock.listen()
            sock.setblocking(False)
            connection, _ = await asyncio.get_running_loop().sock_accept(sock)
            connection.send(OPENING)
            await until(lambda: heard.connected == 1)
            connection.close()
        await until(lambda: heard.lost == 1)

    uvloop.run(wait())


def test_a_host_that_takes_nothing_is_no_place_to_send_to(
    listener: socket.socket,
) -> None:
    async def flood() -> None:
        heard = Heard(asyncio.get_running_loop(), f"ipc://{listener.getsockname()}")
        await asyncio.sleep(0)
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.send(OPENING)
        await until(lambda: heard.connected == 1)
        frame = bytes(1 << 20)
        sent = 0
        while heard.link.send(frame):
            sent += 1
        assert MAX_WAITING <= (sent + 1) << 20 <= 2 * MAX_WAITING
        # it reads again: everything comes, and there is room
        wanted = len(zmtp.head(len(frame))) + len(frame)
        connection.setblocking(False)
        left = sent * wanted + len(Session(DEALER, ROUTER).opening())
        while left:
            got = await asyncio.get_running_loop().sock_recv(connection, 1 << 20)
            assert got
            left -= len(got)
        assert heard.link.send(frame)
        heard.link.close()
        connection.close()

    uvloop.run(flood())


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 400 Bad Request\r\n".ljust(64), OPENING + b"\x08\x00"]
)
def test_who_speaks_no_zmtp_is_lost(listener: socket.socket, words: bytes) -> None:
    async def lose() -> None:
        heard = Heard(asyncio.get_running_loop(), f"ipc://{listener.getsockname()}")
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.send(words)
        await until(lambda: heard.lost == 1)
        assert connection.recv(1 << 16)  # its opening, and then the end
        assert not connection.recv(1)
        assert heard.frames == []
        heard.link.close()
        connection.close()

    uvloop.run(lose())


def test_what_a_dead_host_sent_is_still_heard(listener: socket.socket) -> None:
    async def drain() -> None:
        heard = Heard(asyncio.get_running_loop(), f"ipc://{listener.getsockname()}")
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.send(OPENING)
        await until(lambda: heard.connected == 1)
        connection.send((zmtp.head(1) + b"x") * 50_000)
        connection.close()
        assert not heard.link.send(b"to the dead")
        assert not heard.link.send(b"again")
        while heard.link.hear_next():
            pass
        assert heard.frames == [b"x"] * 50_000
        await until(lambda: heard.lost == 1)

    uvloop.run(drain())


def test_nothing_is_heard_after_close(listener: socket.socket) -> None:
    async def close() -> None:
        loop = asyncio.get_running_loop()
        links: list[ZmtpLink] = []
        heard: list[bytes] = []

        def hear(frame: bytes) -> None:
            heard.append(frame)
            links[0].close()  # as a service does with a host that lies

        links.append(
            ZmtpLink(
                loop,
                f"ipc://{listener.getsockname()}",
                hear,
                lambda: None,
                lambda _: heard.clear(),
            )
        )
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.send(OPENING + (zmtp.head(1) + b"x") * 3)
        await until(lambda: heard == [b"x"])
        connection.close()
        await asyncio.sleep(0.01)
        assert heard == [b"x"]
        links[0].close()

    uvloop.run(close())


def test_a_host_that_says_much_at_once_leaves_others_their_share(
    listener: socket.socket,
) -> None:
    async def listen() -> None:
        loop = asyncio.get_running_loop()
        heard = Heard(loop, f"ipc://{listener.getsockname()}")
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.send(OPENING)
        await until(lambda: heard.connected == 1)
        passes: list[int] = []

        def look() -> None:
            passes.append(len(heard.frames))
            if passes[-1] < 30_000:
                loop.call_soon(look)

        look()
        connection.send((zmtp.head(1) + b"x") * 30_000)
        await until(lambda: len(heard.frames) == 30_000)
        steps = {after - before for before, after in pairwise(passes)}
        assert max(steps) <= share.FRAMES
        heard.link.close()
        connection.close()

    uvloop.run(listen())


def test_a_host_whose_frames_take_long_has_few_of_them_in_a_pass(
    listener: socket.socket,
) -> None:
    async def listen() -> None:
        loop = asyncio.get_running_loop()
        heard = Heard(loop, f"ipc://{listener.getsockname()}", slowly)
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.send(OPENING + (zmtp.head(1) + b"x") * 64)
        await until(lambda: heard.connected == 1)
        passes: list[int] = []
        while len(heard.frames) < 64:
            passes.append(len(heard.frames))
            await asyncio.sleep(0)
        assert max(b - a for a, b in pairwise(passes)) <= 2 * share.UNTIMED
        heard.link.close()
        connection.close()

    def slowly() -> None:
        end_s = time.monotonic() + share.SECONDS
        while time.monotonic() < end_s:
            pass

    uvloop.run(listen())


def test_a_frame_that_is_too_long_is_refused_by_what_it_announces(
    listener: socket.socket,
) -> None:
    async def refuse() -> None:
        heard = Heard(asyncio.get_running_loop(), f"ipc://{listener.getsockname()}")
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.send(OPENING + zmtp.head(MAX_FRAME) + b"x")
        connection.send(b"y" * 1000)
        await until(lambda: heard.connected == 1)
        assert heard.lost == 0
        connection.close()
        await until(lambda: heard.lost == 1)
        assert heard.why == ""
        heard.link.close()
        heard = Heard(asyncio.get_running_loop(), f"ipc://{listener.getsockname()}")
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.send(OPENING + zmtp.head(MAX_FRAME + 1))
        await until(lambda: heard.lost == 1)
        size = MAX_FRAME + 1
        assert heard.why == f"a frame of {size} bytes; the limit is {MAX_FRAME}"
        heard.link.close()
        connection.close()

    uvloop.run(refuse())


def test_what_is_asked_for_is_known_to_be_taken_or_not(listener: socket.socket) -> None:
    async def send() -> None:
        loop = asyncio.get_running_loop()
        heard = Heard(loop, f"ipc://{listener.getsockname()}")
        connection, _ = await asyncio.to_thread(listener.accept)
        connection.send(OPENING)
        await until(lambda: heard.connected == 1)
        assert heard.link.send_piece(b"small") <= heard.link.taken
        mark = heard.link.send_piece(bytes(4 << 20))
        assert mark > heard.link.taken
        connection.setblocking(False)
        left = mark
        while left:
            left -= len(await loop.sock_recv(connection, 1 << 20))
        await until(lambda: heard.link.taken == mark)
        heard.link.close()
        connection.close()
        assert heard.link.send_piece(b"late") == 0

    uvloop.run(send())
