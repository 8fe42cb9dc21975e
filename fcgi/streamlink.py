"""A front's connection to a VM host that wants no key: ZMTP on the front's own loop.

The same as `fcgi.links.Link` to its owner, without libzmq's thread between: a reply
wakes the front and nothing else. A connection that was made once is not made again: a
VM host's endpoint is never used twice, and it ends with the host.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from luafarm import zmtp
from luafarm.endpoints import parse_host_port
from luafarm.errors import ProtocolError
from luafarm.stream import Stream

MAX_WAITING: Final = 16 << 20  # bytes that a VM host has not taken: it is in trouble
_TURN_FRAMES: Final = 64  # of one host before all others have a turn
_RETRY_S: Final = 0.05  # until it listens, at first
_RETRY_MAX_S: Final = 1.0
_IPC: Final = "ipc://"
_TCP: Final = "tcp://"


class StreamLink:
    """One DEALER: frames in through a callback, frames out by `send`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: str,
        on_frame: Callable[[bytes], None],
        on_connected: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        """Connect, now or as soon as somebody listens there."""
        self._loop = loop
        self._on_frame = on_frame
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._stream: Stream | None = None
        self._is_open = True
        self._takes = True  # the host has not closed its end
        self._is_due = False  # the loop is to say when more can be sent
        self._unheard: list[bytes] = []  # frames for the next turn
        self._opening: asyncio.Task[None] | None = loop.create_task(
            self._open(endpoint)
        )

    def send(self, frame: bytes) -> bool:
        """Send a frame; False when the peer is gone or takes no more."""
        stream = self._stream
        if stream is None or not self._takes or stream.waiting > MAX_WAITING:
            return False
        try:
            stream.write(frame)
        except OSError:
            self._takes = False  # what it sent before is still to be read: then its end
            return False
        if stream.waiting:
            self._flush_later(stream)
        return True

    def drain(self) -> None:
        """Hand every frame that has come in to the callback; of a dead peer only."""
        while self._stream is not None and self._read():
            pass

    def close(self) -> None:
        """Close the connection; what was not sent is dropped."""
        self._is_open = False
        self._drop()

    async def _open(self, endpoint: str) -> None:
        pause_s = _RETRY_S
        while True:
            sock = _new_socket(endpoint)
            try:
                await self._connect(sock, endpoint)
                stream = Stream(sock.fileno(), zmtp.DEALER, zmtp.ROUTER)
                stream.open()
            except OSError:
                sock.close()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _RETRY_MAX_S)
                continue
            except asyncio.CancelledError:
                sock.close()
                raise
            sock.detach()
            self._stream = stream
            self._opening = None
            self._loop.add_reader(stream.fd, self._read)
            return

    async def _connect(self, sock: socket.socket, endpoint: str) -> None:
        if endpoint.startswith(_IPC):
            # by hand: a full backlog looks to a loop like a connection on its way
            sock.connect(endpoint.removeprefix(_IPC))
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            address = parse_host_port(endpoint.removeprefix(_TCP))
            await self._loop.sock_connect(sock, address)

    def _read(self) -> bool:
        """Hand some of what came in to the callback; False: there was nothing."""
        stream = self._stream
        assert stream is not None
        frames = self._unheard
        if not frames:
            was_ready = stream.is_ready
            try:
                frames = stream.read()
            except BlockingIOError:
                return False
            except (OSError, ProtocolError):
                self._break()
                return False
            if not was_ready and stream.is_ready:
                self._on_connected()
        if len(frames) > _TURN_FRAMES:
            self._unheard = frames[_TURN_FRAMES:]
            del frames[_TURN_FRAMES:]
            self._loop.call_soon(self._read_on)
        elif self._unheard:
            self._unheard = []
        for frame in frames:
            if self._stream is None:
                break  # the frame before was one too many
            self._on_frame(frame)
        return True

    def _read_on(self) -> None:
        if self._unheard and self._stream is not None:
            self._read()

    def _flush_later(self, stream: Stream) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.add_writer(stream.fd, self._flush)

    def _flush(self) -> None:
        stream = self._stream
        assert stream is not None
        try:
            is_done = stream.flush()
        except OSError:
            self._takes, is_done = False, True
        if is_done:
            self._is_due = False
            self._loop.remove_writer(stream.fd)

    def _break(self) -> None:
        """Let go of a lost connection; the owner hears of it in the next turn."""
        self._drop()
        if self._is_open:
            self._loop.call_soon(self._on_lost)

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if stream is not None:
            self._loop.remove_reader(stream.fd)
            self._loop.remove_writer(stream.fd)
            os.close(stream.fd)


def _new_socket(endpoint: str) -> socket.socket:
    if endpoint.startswith(_IPC):
        family = socket.AF_UNIX
    else:
        is_v6 = endpoint.startswith(f"{_TCP}[")
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock
