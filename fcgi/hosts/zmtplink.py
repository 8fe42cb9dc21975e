"""A front's connection to a VM host that wants no key: ZMTP on the front's own loop.

The same as `fcgi.hosts.zmqlink.ZmqLink` to its owner, without libzmq's thread between:
a reply wakes the front and nothing else. A connection that is lost is made again when
the owner says so: a VM host's endpoint is never used twice, and it ends with the host.
"""

# Impure, compiled.

import asyncio
import os
import socket
import time
from collections.abc import Callable
from typing import Final

from fcgi import share
from fcgi.dispatch.conduct import IDLE_AT_ONCE, IDLE_PER_S, too_many
from luafarm.allowance import Allowance
from luafarm.config.endpoints import parse_host_port
from luafarm.errors import ProtocolError
from luafarm.wire import keepalive, zmtp
from luafarm.wire.codec import MAX_FRAME
from luafarm.wire.connection import Connection

MAX_WAITING: Final = 16 << 20  # bytes that a VM host has not taken: it is in trouble
_RETRY_S: Final = 0.05  # until it listens, at first
_RETRY_MAX_S: Final = 1.0
_STEADY_S: Final = 1.0  # a connection that lasted is made again at once
_CONNECT_S: Final = 2.0  # the kernel tries for minutes, at ever longer intervals
_IPC: Final = "ipc://"
_TCP: Final = "tcp://"


class ZmtpLink:
    """One DEALER: frames in through a callback, frames out by `send`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: str,
        on_frame: Callable[[bytes], None],
        on_connected: Callable[[], None],
        on_lost: Callable[[str], None],
        max_frame: int = MAX_FRAME,
    ) -> None:
        """Connect, now or as soon as somebody listens there.

        on_lost: is told how the host broke the protocol, or nothing. max_frame: bytes.
        """
        self._loop = loop
        self._endpoint = endpoint
        self._on_frame = on_frame
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._max_frame = max_frame
        self._commands = Allowance(IDLE_AT_ONCE, IDLE_PER_S)
        self._connection: Connection | None = None
        self._is_open = True
        self._takes = True  # the host has not closed its end
        self._is_due = False  # the loop is to say when more can be sent
        self._unheard: list[bytes] = []  # frames of the next share
        self._has_more = False  # that one is asked for
        #: nobody listens at the socket of a host of this machine
        self.is_refused = False
        self._made_at = 0.0
        self._pause_s = 0.0  # before the next connection
        self._opening: asyncio.Task[None] | None = loop.create_task(self._open())

    def send(self, frame: bytes) -> bool:
        """Send a frame; False when the peer is gone or takes no more."""
        connection = self._connection
        if connection is None or not self._takes or connection.waiting > MAX_WAITING:
            return False
        try:
            connection.write(frame)
        except OSError:
            self._takes = False  # what it sent before is still to be read: then its end
            return False
        if connection.waiting:
            self._flush_later(connection)
        return True

    @property
    def taken(self) -> int:
        """Bytes that the host has taken, of all that it was sent."""
        connection = self._connection
        return 0 if connection is None else connection.written - connection.waiting

    def send_piece(self, frame: bytes) -> int:
        """Send what the host has asked for; return where it ends, as `taken` counts.

        It may wait whatever waits already: the owner answers one ask at a time.
        """
        connection = self._connection
        if connection is None or not self._takes:
            return 0
        try:
            connection.write(frame)
        except OSError:
            self._takes = False
            return 0
        if connection.waiting:
            self._flush_later(connection)
        return connection.written

    def hear_next(self) -> bool:
        """Hand some frames to the callback; False: none, or the end has come."""
        return self._connection is not None and self._read()

    def reconnect(self) -> None:
        """Make a connection that was lost again; `on_connected` tells when it is."""
        if not self._is_open or self._connection or self._opening:
            return
        if time.monotonic() - self._made_at >= _STEADY_S:
            self._pause_s = 0.0
        else:
            self._pause_s = min(2 * self._pause_s + _RETRY_S, _RETRY_MAX_S)
        self._opening = self._loop.create_task(self._open())

    def close(self) -> None:
        """Close the connection; what was not sent is dropped."""
        self._is_open = False
        self._drop()

    async def _open(self) -> None:
        endpoint = self._endpoint
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        pause_s = _RETRY_S
        while True:
            sock = _new_socket(endpoint)
            try:
                await self._connect(sock, endpoint)
                connection = self._new_stream(sock.fileno())
                connection.open()
            except OSError as error:  # a timeout among them
                sock.close()
                self.is_refused = endpoint.startswith(_IPC) and isinstance(
                    error, ConnectionRefusedError | FileNotFoundError
                )
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _RETRY_MAX_S)
                continue
            except asyncio.CancelledError:
                sock.close()
                raise
            sock.detach()
            self._connection = connection
            self._opening = None
            self._takes = True
            self.is_refused = False
            self._made_at = time.monotonic()
            self._loop.add_reader(connection.fd, self._wake)
            return

    def _new_stream(self, fd: int) -> Connection:
        return Connection(fd, zmtp.DEALER, zmtp.ROUTER, self._max_frame)

    async def _connect(self, sock: socket.socket, endpoint: str) -> None:
        if endpoint.startswith(_IPC):
            # by hand: a full backlog looks to a loop like a connection on its way
            sock.connect(endpoint.removeprefix(_IPC))
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keepalive.keep(sock)
            address = parse_host_port(endpoint.removeprefix(_TCP))
            connecting = self._loop.sock_connect(sock, address)
            await asyncio.wait_for(connecting, _CONNECT_S)

    def _wake(self) -> None:
        """Take what has come in, unless a further share is asked for already."""
        if not self._has_more:
            self._read()

    def _read_on(self) -> None:
        self._has_more = False
        self.hear_next()

    def _read(self) -> bool:
        """Hand some of what came in to the callback; False: there was nothing."""
        connection = self._connection
        assert connection is not None
        frames = self._unheard
        if not frames:
            try:
                frames = self._take(connection)
            except BlockingIOError:
                return False
            except OSError:
                self._break("")
                return False
            except ProtocolError as error:
                self._break(str(error))
                return False
        if len(frames) > share.UNTIMED:
            frames = self._within_time(frames)
        elif self._unheard:
            self._unheard = []
        for frame in frames:
            if self._connection is None:
                return True  # the frame before was one too many
            self._on_frame(frame)
        if (self._unheard or connection.has_more) and not self._has_more:
            self._has_more = True
            self._loop.call_soon(self._read_on)
        return True

    def _take(self, connection: Connection) -> list[bytes]:
        """Return what has come in, at most a share; see `Connection.read`."""
        was_ready = connection.is_ready
        frames = connection.read(share.FRAMES)
        commands = connection.take_commands()
        if commands and self._commands.take(time.monotonic(), commands) > 0.0:
            raise ProtocolError(too_many("commands of ZMTP"))
        if connection.waiting:
            self._flush_later(connection)
        if not was_ready and connection.is_ready:
            self._on_connected()
        return frames

    def _within_time(self, frames: list[bytes]) -> list[bytes]:
        """Hand frames to the callback while there is time; return the last of them."""
        end = time.monotonic() + share.SECONDS
        at = 0
        self._unheard = []
        while len(frames) - at > share.UNTIMED:
            for frame in frames[at : at + share.UNTIMED]:
                if self._connection is None:
                    return []
                self._on_frame(frame)
            at += share.UNTIMED
            if time.monotonic() >= end:
                self._unheard = frames[at:]
                return []
        return frames[at:]

    def _flush_later(self, connection: Connection) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.add_writer(connection.fd, self._flush)

    def _flush(self) -> None:
        connection = self._connection
        assert connection is not None
        try:
            is_done = connection.flush()
        except OSError:
            self._takes, is_done = False, True
        if is_done:
            self._is_due = False
            self._loop.remove_writer(connection.fd)

    def _break(self, why: str) -> None:
        """Let go of a lost connection; the owner hears of it in the next pass."""
        self._drop()
        if self._is_open:
            self._loop.call_soon(self._on_lost, why)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._unheard = []
        self._is_due = False
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        if connection is not None:
            self._loop.remove_reader(connection.fd)
            self._loop.remove_writer(connection.fd)
            os.close(connection.fd)


def _new_socket(endpoint: str) -> socket.socket:
    if endpoint.startswith(_IPC):
        family = socket.AF_UNIX
    else:
        is_v6 = endpoint.startswith(f"{_TCP}[")
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock
