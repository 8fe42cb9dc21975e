"""Channels: what a web server's socket does, and what their owner is told."""

import asyncio
import fcntl
import os
import socket
import sys
import termios
from collections.abc import Callable, Coroutine, Iterator

import pytest
import uvloop

from fcgi.channel import Channel, Channels

WAIT_S = 120.0
HIGH = 100_000


class Owner:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.told: list[str] = []
        self.take: Callable[[bytes], None] | None = None  # instead of keeping it

    def data_received(self, data: bytes) -> None:
        if self.take is not None:
            self.take(data)
        self.data += data

    def eof_received(self) -> None:
        self.told.append("eof")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self) -> None:
        self.told.append("lost")


class Play:
    """A channel, its owner and its client."""

    def __init__(self, channels: Channels, ours: socket.socket) -> None:
        self.owner = Owner()
        self.channels = channels
        self.channel = Channel(channels, ours, self.owner, HIGH)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 - of others' doing
                await asyncio.sleep(0.001)

    def die(self) -> None:
        """Close the descriptor as the kernel does when the process dies."""
        self.channels.open.clear()
        self.channel.shut()

    async def lost(self) -> None:
        await self.until(lambda: "lost" in self.owner.told)
        assert self.channels.open == {}
        await asyncio.sleep(0.01)
        assert self.owner.told.count("lost") == 1


Script = Callable[[Play, socket.socket], Coroutine[None, None, None]]


@pytest.fixture(params=["unix", "tcp"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, ...]]:
    if request.param == "unix":
        ours, client = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
    client.setblocking(False)
    yield ours, client
    client.close()


def play(ends: tuple[socket.socket, ...], script: Script) -> None:
    async def run() -> None:
        channels = Channels(asyncio.get_running_loop())
        await script(Play(channels, ends[0]), ends[1])
        channels.close()

    uvloop.run(run())


async def read_all(client: socket.socket) -> bytes:
    data = bytearray()
    async with asyncio.timeout(WAIT_S):
        while piece := await asyncio.get_running_loop().sock_recv(client, 1 << 16):
            data += piece
    return bytes(data)


def test_bytes_go_both_ways(ends: tuple[socket.socket, ...]) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        client.send(b"question")
        await p.until(lambda: p.owner.data == b"question")
        p.channel.write(b"answer")
        assert await asyncio.get_running_loop().sock_recv(client, 100) == b"answer"
        assert p.owner.told == []

    play(ends, script)


def test_what_the_client_does_not_take_waits_and_pauses_its_owner(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        sent = b""
        while not p.channel.waiting:
            sent += bytes([len(sent) % 251]) * 50_000
            p.channel.write(sent[-50_000:])
        while p.owner.told == []:
            sent += b"y" * 50_000
            p.channel.write(sent[-50_000:])
        assert p.owner.told == ["pause"]
        assert p.channel.waiting > HIGH
        p.channel.write(b"end")
        sent += b"end"
        read = b""
        while len(read) < len(sent):
            read += await asyncio.get_running_loop().sock_recv(client, 1 << 16)
        assert read == sent
        await p.until(lambda: p.owner.told == ["pause", "resume"])
        assert p.channel.waiting == 0

    play(ends, script)


def test_a_channel_closes_when_all_is_written(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        data = os.urandom(5_000_000)
        p.channel.write(data)
        p.channel.close()
        p.channel.close()
        assert await read_all(client) == data
        await p.lost()
        assert p.owner.told == ["pause", "lost"]

    play(ends, script)


def test_an_end_of_our_half_comes_behind_what_waits(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        data = os.urandom(5_000_000)
        p.channel.write(data)
        p.channel.write_eof()
        assert await read_all(client) == data
        client.send(b"still heard")
        await p.until(lambda: p.owner.data == b"still heard")

    play(ends, script)


def test_a_half_that_the_client_ended_is_told_once_and_ours_lives_on(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        client.send(b"last")
        client.shutdown(socket.SHUT_WR)
        await p.until(lambda: p.owner.told == ["eof"])
        assert p.owner.data == b"last"
        await asyncio.sleep(0.01)
        p.channel.write(b"answer")
        p.channel.close()
        assert await read_all(client) == b"answer"
        await p.lost()
        assert p.owner.told == ["eof", "lost"]

    play(ends, script)


def test_nothing_is_taken_while_reading_is_paused(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        p.channel.pause_reading()
        client.send(b"x")
        await asyncio.sleep(0.01)
        assert p.owner.data == b""
        p.channel.resume_reading()
        await p.until(lambda: p.owner.data == b"x")

    play(ends, script)


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_client_that_breaks_off_is_lost(
    ends: tuple[socket.socket, ...], is_paused: bool
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        while not p.channel.waiting:
            p.channel.write(bytes(50_000))
        if is_paused:
            p.channel.pause_reading()
        client.close()  # with bytes unread: a reset
        await p.lost()
        p.channel.write(b"to nobody")
        p.channel.close()
        p.channel.abort()

    play(ends, script)


def test_an_aborted_channel_drops_what_waits(ends: tuple[socket.socket, ...]) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        while not p.channel.waiting:
            p.channel.write(bytes(50_000))
        p.channel.abort()
        assert p.channel.waiting == 0
        await p.lost()

    play(ends, script)


def test_a_connection_that_was_given_away_is_not_watched_any_more(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        with socket.socket(fileno=os.dup(p.channel.fd)) as elsewhere:
            p.channel.leave()
            client.send(b"for the other")
            await p.lost()
            assert p.channels.epoll.poll(0) == []
            assert elsewhere.recv(100) == b"for the other"
        assert p.owner.data == b""

    play(ends, script)


def test_a_channel_that_another_closed_in_the_same_turn_hears_nothing() -> None:
    async def run() -> None:
        channels = Channels(asyncio.get_running_loop())
        pairs = [socket.socketpair() for _ in range(2)]
        plays = [Play(channels, ours) for ours, _ in pairs]

        class Killer(Owner):
            def __init__(self, victim: Channel) -> None:
                super().__init__()
                self._victim = victim

            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self._victim.abort()

        ours, client = socket.socketpair()
        killer = Killer(plays[0].channel)
        Channel(channels, ours, killer, HIGH)
        client.send(b"now")
        for _, other in pairs:
            other.send(b"x")
        await plays[1].until(lambda: plays[1].owner.data == b"x")
        await plays[0].until(lambda: "lost" in plays[0].owner.told)
        assert killer.data == b"now"
        assert plays[0].owner.told == ["lost"]
        channels.close()
        for sock in (client, *[other for _, other in pairs]):
            sock.close()

    uvloop.run(run())


def test_an_owner_that_is_not_done_goes_on_in_the_next_pass_before_more_is_read(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        heard: list[bytes] = []

        def slowly(data: bytes) -> None:
            heard.append(data)
            if len(heard) < 4:
                p.channel.postpone()
                client.send(b"more")

        p.owner.take = slowly
        client.send(b"first")
        await p.until(lambda: len(heard) == 5)
        assert heard == [b"first", b"", b"", b"", b"moremoremore"]

    play(ends, script)


def test_an_owner_that_is_not_done_is_left_alone_once_it_is_closed(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        heard: list[bytes] = []

        def leave(data: bytes) -> None:
            heard.append(data)
            p.channel.postpone()
            p.channel.close()

        p.owner.take = leave
        client.send(b"first")
        await p.lost()
        assert heard == [b"first"]

    play(ends, script)


def test_a_unix_socket_tells_whether_both_halves_are_closed(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        client.shutdown(socket.SHUT_WR)
        await p.until(lambda: p.owner.told == ["eof"])
        assert not p.channel.has_hung_up()
        is_unix = client.family == socket.AF_UNIX
        client.close()
        assert p.channel.has_hung_up() == is_unix

    play(ends, script)


# ---- how a connection ends -----------------------------------------------------------


async def reset_after(client: socket.socket) -> bytes:
    """Read to the end, which has to be a reset; return what came before."""
    data = bytearray()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                piece = await loop.sock_recv(client, 1 << 16)
            except ConnectionResetError:
                return bytes(data)
            assert piece, "an orderly end"
            data += piece


async def ask(p: Play, client: socket.socket, request: bytes) -> None:
    """Have a request come in."""
    before = len(p.owner.data)
    client.send(request)
    await p.until(lambda: len(p.owner.data) == before + len(request))


def test_a_channel_that_is_aborted_does_not_end_in_order(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        await ask(p, client, b"request")
        p.channel.write(b"begun")
        p.channel.abort()
        p.channel.abort()
        assert await reset_after(client) == b"begun"
        await p.lost()

    play(ends, script)


@pytest.mark.parametrize("request_bytes", [1, 900, 5_000, 300_000])
@pytest.mark.parametrize("requests", [1, 2, 60])
def test_a_death_while_a_reply_is_sent_in_parts_resets_the_client(
    ends: tuple[socket.socket, ...], request_bytes: int, requests: int
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        for number in range(requests):
            piece = bytes([number]) * min(request_bytes, 50_000)
            for _ in range(request_bytes // len(piece)):
                await ask(p, client, piece)
        p.channel.guard()
        p.channel.write(b"begun")
        p.die()
        assert await reset_after(client) == b"begun"

    play(ends, script)


def test_a_death_while_a_client_takes_its_reply_slowly_resets_it(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        await ask(p, client, b"request")
        while not p.channel.waiting:
            p.channel.write(bytes(50_000))
        p.die()
        await reset_after(client)

    play(ends, script)


def test_an_orderly_end_of_a_guarded_channel_loses_nothing(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        await ask(p, client, b"request")
        data = os.urandom(5_000_000)
        p.channel.guard()
        p.channel.write(data)
        p.channel.close()
        assert await read_all(client) == data
        await p.lost()

    play(ends, script)


def test_a_guarded_channel_that_is_calm_ends_in_order_and_leaves_nothing_unread(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        for _ in range(40):
            await ask(p, client, b"x" * 1000)
        p.channel.guard()
        p.channel.calm()
        with socket.socket(fileno=os.dup(p.channel.fd)) as elsewhere:
            p.channel.leave()
            client.send(b"for the other")
            assert elsewhere.recv(100) == b"for the other"
        assert await read_all(client) == b""

    play(ends, script)


def unread(channel: Channel) -> int:
    """Return how many bytes lie in the socket."""
    found = fcntl.ioctl(channel.fd, termios.FIONREAD, bytes(4))
    return int.from_bytes(found, sys.byteorder)


def test_what_is_left_unread_is_bounded_and_told_once(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        sent = b""
        most = 0
        for number in range(200):
            piece = os.urandom(1 + number * 7919 % 3_000)
            await ask(p, client, piece)
            sent += piece
            most = max(most, unread(p.channel))
        assert p.owner.data == sent
        assert most <= 20_000
        p.channel.swallow(0)
        assert unread(p.channel) == 0
        await ask(p, client, b"more")
        assert p.owner.data == sent + b"more"

    play(ends, script)


def test_an_owner_that_waits_for_more_lets_a_sender_of_single_bytes_send_them_all(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        def wait_for_more(_: bytes) -> None:
            p.channel.swallow(0)

        p.owner.take = wait_for_more
        loop = asyncio.get_running_loop()
        for number in range(3_000):
            await loop.sock_sendall(client, bytes([number % 256]))
        await p.until(lambda: len(p.owner.data) == 3_000)
        assert p.owner.data == bytes([number % 256 for number in range(3_000)])

    play(ends, script)


def test_bytes_and_an_end_that_come_while_nothing_is_read_are_told_in_order(
    ends: tuple[socket.socket, ...],
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        await ask(p, client, b"first")
        p.channel.pause_reading()
        data = os.urandom(100_000)
        client.send(data)
        client.shutdown(socket.SHUT_WR)
        p.channel.resume_reading()
        await p.until(lambda: p.owner.told == ["eof"])
        assert p.owner.data == b"first" + data

    play(ends, script)


class Counting(socket.socket):
    """A socket that keeps which calls were made on it."""

    def recv(self, *arguments: int) -> bytes:
        self.calls().append("recv")
        return super().recv(*arguments)

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        self.calls().append("send")
        return super().send(data, flags)

    def setsockopt(self, level: int, name: int, value: int | bytes) -> None:  # type: ignore[override]
        self.calls().append("setsockopt")
        super().setsockopt(level, name, value)

    def setblocking(self, flag: bool) -> None:
        self.calls().append("setblocking")
        super().setblocking(flag)

    def calls(self) -> list[str]:
        return CALLS


CALLS: list[str] = []


@pytest.mark.parametrize("requests", [1, 2, 100])
def test_a_small_reply_costs_no_call_for_the_sake_of_its_end(
    ends: tuple[socket.socket, ...], requests: int
) -> None:
    async def script(p: Play, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(requests):
            await ask(p, client, b"r" * 900)
            p.channel.write(b"reply")
            assert await loop.sock_recv(client, 100) == b"reply"
        is_unix = client.family == socket.AF_UNIX
        extra = {
            "recv": requests // 19 if is_unix else 0,  # 16 KiB are much
            "setsockopt": int(is_unix and requests > 1),  # once for a connection
            "setblocking": int(requests > 1),  # else that is spared
        }
        for name, more in extra.items():
            wanted = more + (requests if name == "recv" else 0)
            assert CALLS.count(name) <= wanted, name
        assert CALLS.count("send") <= requests

    ours, client = ends
    CALLS.clear()
    counting = Counting(ours.family, ours.type, ours.proto, fileno=ours.detach())
    play((counting, client), script)
