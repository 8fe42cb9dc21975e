"""What waits for a client: in its channel up to a limit, then in a file."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
import uvloop

from fcgi.channel import Channel, Channels
from fcgi.outbox import PIECE, Outbox
from fcgi.quota import Quota

WAIT_S = 120.0
HIGH = 100_000
QUOTA = 64 << 20


class Owner:
    """Passes on what the channel tells, as the owners of outboxes do."""

    def __init__(self) -> None:
        self.outbox: Outbox | None = None
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        pass

    def eof_received(self) -> None:
        pass

    def pause_writing(self) -> None:
        assert self.outbox is not None
        self.outbox.pause()

    def resume_writing(self) -> None:
        assert self.outbox is not None
        self.outbox.resume()

    def connection_lost(self) -> None:
        assert self.outbox is not None
        self.outbox.close()
        self.is_lost = True


class Play:
    """An outbox, its channel and the client's end."""

    def __init__(self, channels: Channels) -> None:
        ours, self.client = socket.socketpair()
        self.client.setblocking(False)
        self.owner = Owner()
        self.channel = Channel(channels, ours, self.owner, HIGH)
        self.quota = Quota(QUOTA)
        self.outbox = self.owner.outbox = Outbox(self.channel, self.quota)

    async def taken(self, size: int) -> bytes:
        """Return what the client reads."""
        data = bytearray()
        async with asyncio.timeout(WAIT_S):
            while len(data) < size:
                data += await asyncio.get_running_loop().sock_recv(self.client, 1 << 16)
        return bytes(data)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 - of others' doing
                await asyncio.sleep(0.001)


@pytest.fixture
def play() -> Callable[[Callable[[Play], Coroutine[None, None, None]]], None]:
    def run(script: Callable[[Play], Coroutine[None, None, None]]) -> None:
        async def within() -> None:
            channels = Channels(asyncio.get_running_loop())
            play = Play(channels)
            await script(play)
            channels.close()
            play.outbox.close()
            play.client.close()

        uvloop.run(within())

    return run


Run = Callable[[Callable[[Play], Coroutine[None, None, None]]], None]


def test_what_the_channel_takes_needs_no_file(play: Run) -> None:
    async def script(p: Play) -> None:
        p.outbox.send(b"x" * 1000)
        p.outbox.send(b"")
        assert p.outbox.is_empty
        assert p.quota.left == QUOTA
        assert await p.taken(1000) == b"x" * 1000

    play(script)


@pytest.mark.parametrize("size", [10_000, 3 * PIECE, 16 << 20])
def test_what_is_over_waits_on_disk_and_comes_in_order(play: Run, size: int) -> None:
    async def script(p: Play) -> None:
        sent = bytearray()
        while len(sent) <= 16 << 20:
            piece = os.urandom(16) * (size // 16)
            p.outbox.send(piece)
            sent += piece
        assert p.outbox.is_paused
        assert p.outbox.has_spooled
        assert p.channel.waiting <= HIGH + PIECE
        assert QUOTA - len(sent) <= p.quota.left < QUOTA
        assert await p.taken(len(sent)) == sent
        await p.until(lambda: not p.outbox.is_paused)
        assert p.outbox.is_empty
        assert p.quota.left == QUOTA

    play(script)


def test_a_client_is_stuck_when_it_takes_nothing_for_so_long(play: Run) -> None:
    async def script(p: Play) -> None:
        assert not p.outbox.is_stuck(100.0, 5.0)
        p.outbox.send(b"x" * (1 << 20))
        assert not p.outbox.is_stuck(200.0, 5.0)
        assert not p.outbox.is_stuck(204.0, 5.0)
        assert p.outbox.is_stuck(205.0, 5.0)
        await p.taken(1 << 20)
        await p.until(lambda: p.outbox.is_empty)
        assert not p.outbox.is_stuck(206.0, 5.0)
        p.outbox.send(b"x" * (1 << 20))
        assert not p.outbox.is_stuck(300.0, 5.0)
        assert p.outbox.is_stuck(305.0, 5.0)

    play(script)


def test_a_file_over_the_quota_costs_the_client_its_connection(play: Run) -> None:
    async def script(p: Play) -> None:
        p.outbox.send(b"x" * (8 << 20))
        p.quota.left = 0
        p.outbox.send(b"y")
        await p.until(lambda: p.owner.is_lost)
        assert p.quota.left > 4 << 20

    play(script)


def test_a_file_that_cannot_be_made_costs_the_client_its_connection(
    play: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    async def script(p: Play) -> None:
        p.outbox.send(b"x" * (8 << 20))
        await p.until(lambda: p.owner.is_lost)
        assert p.quota.left == QUOTA

    play(script)
