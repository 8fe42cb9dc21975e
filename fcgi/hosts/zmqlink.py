"""The front's ZeroMQ sockets: DEALERs to the broker, VM hosts and supervisors.

ZMQ_FD is edge-triggered, and a send can swallow the edge of what comes in: after each
send the socket is asked whether there is something to read (zmq_getsockopt, ZMQ_FD).
"""

# Impure.

import asyncio
import contextlib
import time
from collections.abc import Callable
from math import inf
from typing import Final, cast

import zmq

from fcgi import share
from luafarm.config.endpoints import parse_host_port
from luafarm.keys import curve
from luafarm.keys.handshakes import Change, Handshakes
from luafarm.process.complaints import Complaints
from luafarm.wire import keepalive
from luafarm.wire.codec import MAX_FRAME
from luafarm.wire.received import AHEAD_BYTES, Received

HWM: Final = 2000  # messages
HOST_HWM: Final = 32  # that a VM host may be ahead of us: 8 MiB of pieces
_HOST_SNDHWM: Final = 160  # every run, its end, and a piece of the body of some
_FRAME_BYTES: Final = 2 << 10  # what a frame of no size counts
LOOK_S: Final = 0.1  # between two looks at how much has come in
_CONNECT_MS: Final = 2000  # the kernel tries for minutes, at ever longer intervals
_TCP: Final = "tcp://"

# Plain numbers: arithmetic on the enum members of pyzmq costs microseconds each.
_DONTWAIT: Final = int(zmq.DONTWAIT)
_POLLIN: Final = int(zmq.POLLIN)
_POLLOUT: Final = int(zmq.POLLOUT)
_EVENTS: Final = zmq.EVENTS
_RCVMORE: Final = zmq.RCVMORE


class ZmqLink:
    """One DEALER: frames in through a callback, frames out by `send`."""

    taken: Final = 0  # of what was sent, libzmq does not tell
    is_refused: Final = False  # nor why nobody answers

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        whom: str,
        complaints: Complaints,
        on_frame: Callable[[bytes], None],
        on_connected: Callable[[], None],
        on_lost: Callable[[str], None],
        pair: curve.KeyPair | None = None,
        server_key: bytes = b"",
        ahead: int = HWM,
        max_frame: int = MAX_FRAME,
    ) -> None:
        """Connect; whom: to this one.

        on_lost: is told how the peer broke the protocol, or nothing. ahead: frames of
        it that may wait to be read. max_frame: bytes.
        """
        self._loop = loop
        self._on_frame = on_frame
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._socket = context.socket(zmq.DEALER)
        self._socket.set(zmq.IMMEDIATE, 1)
        self._socket.set(zmq.MAXMSGSIZE, max_frame)
        self._socket.set(zmq.SNDHWM, HWM if ahead == HWM else _HOST_SNDHWM)
        self._socket.set(zmq.RCVHWM, ahead)
        self._socket.set(zmq.RECONNECT_IVL, 50)
        self._socket.set(zmq.RECONNECT_IVL_MAX, 1000)
        self._socket.set(zmq.CONNECT_TIMEOUT, _CONNECT_MS)
        if endpoint.startswith(_TCP):
            self._socket.set(zmq.TCP_KEEPALIVE, 1)
            self._socket.set(zmq.TCP_KEEPALIVE_IDLE, keepalive.IDLE_S)
            self._socket.set(zmq.TCP_KEEPALIVE_INTVL, keepalive.EVERY_S)
            self._socket.set(zmq.TCP_KEEPALIVE_CNT, keepalive.MOST_UNANSWERED)
            self._socket.set(zmq.TCP_MAXRT, keepalive.UNTAKEN_MS)
        used = pair if server_key else None
        if used is not None:
            curve.connect(self._socket, used, server_key)
        self._retry: asyncio.TimerHandle | None = None
        self._handshakes = Handshakes(self._socket, endpoint, whom, used, complaints)
        self._fd = self._socket.fileno()
        self._monitor_fd = self._handshakes.monitor.fileno()
        loop.add_reader(self._fd, self._read)
        loop.add_reader(self._monitor_fd, self._watch)
        self._is_open = True
        self._is_due = False  # `_read` will be called
        self._heard = 0  # frames
        self._most_unheard = max_frame + AHEAD_BYTES  # bytes since the last of them
        self._received: Received | None = None
        self._connections = 0  # the last of which `_received` counts
        self._port = 0  # there; 0: nobody knows how much comes
        if ahead != HWM and endpoint.startswith(_TCP):
            self._port = parse_host_port(endpoint.removeprefix(_TCP))[1]
            self._looking = loop.call_later(LOOK_S, self._look)
        loop.call_soon(self._watch)

    def send(self, frame: bytes) -> bool:
        """Send a frame; False when the peer is gone or takes no more."""
        if not self._is_open:
            return False
        if not self._try(frame):
            # libzmq looks at its mail at most once a millisecond when it is to send:
            # of a connection that has just been made only the question tells it
            if not cast("int", self._socket.get(_EVENTS)) & _POLLOUT:
                return False
            if not self._try(frame):
                return False
        if self._has_input():
            self._read_soon()
        return True

    def _try(self, frame: bytes) -> bool:
        try:
            self._socket.send(frame, _DONTWAIT)
        except zmq.Again:
            return False
        return True

    def send_piece(self, frame: bytes) -> int:
        """Send what the host has asked for; return where it ends, as `taken` counts."""
        self.send(frame)
        return 0

    def hear_next(self) -> bool:
        """Hand a frame to the callback; False: there is none, or the end has come."""
        # asked for each time: an exception for "nothing" costs more than the question
        is_there = self._is_open and self._has_input()
        if is_there:
            self._hear()
        return is_there

    def _read_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        """Hand a share of frames to the callback, and go on after the others."""
        self._is_due = False
        left = share.BYTES
        end = time.monotonic() + share.SECONDS
        while self._is_open and self._has_input():
            if left <= 0 or time.monotonic() >= end:
                self._read_soon()
                return
            left -= self._hear() + _FRAME_BYTES

    def _hear(self) -> int:
        """Hand one frame to the callback; return its size."""
        frame = self._socket.recv(_DONTWAIT)
        self._heard += 1
        if self._socket.get(_RCVMORE):
            self._on_lost("a message of several frames; each has one here")
        else:
            self._on_frame(frame)
        return len(frame)

    def reconnect(self) -> None:
        """Do nothing: libzmq makes a connection again that was lost."""

    def close(self, linger_ms: int = 0) -> None:
        """Close the socket; what is not sent within this time is dropped."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._fd)
        self._loop.remove_reader(self._monitor_fd)
        if self._port:
            self._looking.cancel()
        self._count(-1)
        if self._retry is not None:
            self._retry.cancel()
        self._handshakes.close()
        self._socket.close(linger=linger_ms)

    def _has_input(self) -> bool:
        return cast("int", self._socket.get(_EVENTS)) & _POLLIN != 0

    def _watch(self) -> None:
        now = time.monotonic()
        changes = self._handshakes.read(now) if self._is_open else []
        if self._handshakes.connections != self._connections:
            self._connections = self._handshakes.connections
            self._count(self._handshakes.fd)
        for change in changes:
            if not self._is_open:
                return  # the one before it had us close
            if change is Change.MADE:
                self._on_connected()
            else:
                self._on_lost("")
        due_at = self._handshakes.due_at
        if due_at != inf and self._retry is None:
            self._retry = self._loop.call_later(due_at - now, self._call_again)

    def _call_again(self) -> None:
        self._retry = None
        # the loop's clock may be a little ahead: it is due
        self._handshakes.retry(self._handshakes.due_at)
        self._watch()

    def _count(self, fd: int) -> None:
        """Count what comes in on this descriptor; -1: on none."""
        if self._received is not None:
            self._received.close()
            self._received = None
        if fd >= 0 and self._port:
            with contextlib.suppress(OSError):  # it has ended: another one comes
                self._received = Received(fd, self._port)

    def _look(self) -> None:
        """Give up a peer whose message does not end."""
        self._looking = self._loop.call_later(LOOK_S, self._look)
        if self._received is None:
            return
        if self._has_input():
            self._read_soon()  # asking may have swallowed the edge
            return
        unheard = self._received.unheard(self._heard, time.monotonic())
        if unheard > self._most_unheard:
            self._count(-1)
            self._on_lost(
                f"{unheard} bytes of a message that does not end; "
                f"the limit is {self._most_unheard}"
            )
