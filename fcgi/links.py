"""The front's ZeroMQ sockets: DEALERs to the broker, VM hosts and supervisors.

ZMQ_FD is edge-triggered, and a send can swallow the edge of what comes in: after each
send the socket is asked whether there is something to read (zmq_getsockopt, ZMQ_FD).
"""

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import Final, cast

import zmq

from luafarm import curve
from luafarm.complaints import Complaints
from luafarm.handshakes import Change, Handshakes
from luafarm.wire import MAX_FRAME

_HWM: Final = 2000  # messages
HOST_HWM: Final = 32  # that a VM host may be ahead of us: 8 MiB of pieces
_TURN_BYTES: Final = 64 << 10  # of one peer before all others have a turn
_FRAME_BYTES: Final = 4 << 10  # what a frame of no size counts

# Plain numbers: arithmetic on the enum members of pyzmq costs microseconds each.
_DONTWAIT: Final = int(zmq.DONTWAIT)
_POLLIN: Final = int(zmq.POLLIN)
_EVENTS: Final = zmq.EVENTS


class Link:
    """One DEALER: frames in through a callback, frames out by `send`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        whom: str,
        complaints: Complaints,
        on_frame: Callable[[bytes], None],
        on_connected: Callable[[], None],
        on_lost: Callable[[], None],
        pair: curve.KeyPair | None = None,
        server_key: bytes = b"",
        ahead: int = _HWM,
    ) -> None:
        """Connect; whom: to this one. ahead: frames of it that may wait to be read."""
        self._loop = loop
        self._on_frame = on_frame
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._socket = context.socket(zmq.DEALER)
        self._socket.set(zmq.IMMEDIATE, 1)
        self._socket.set(zmq.MAXMSGSIZE, MAX_FRAME)
        self._socket.set(zmq.SNDHWM, _HWM)
        self._socket.set(zmq.RCVHWM, ahead)
        self._socket.set(zmq.RECONNECT_IVL, 50)
        self._socket.set(zmq.RECONNECT_IVL_MAX, 1000)
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
        loop.call_soon(self._watch)

    def send(self, frame: bytes) -> bool:
        """Send a frame; False when the peer is gone or takes no more."""
        if not self._is_open:
            return False
        try:
            self._socket.send(frame, _DONTWAIT)
        except zmq.Again:
            return False
        if self._has_input():
            self._read_soon()
        return True

    def drain(self) -> None:
        """Hand every frame that has come in to the callback; of a dead peer only."""
        # asked for each time: an exception for "nothing" costs more than the question
        while self._is_open and self._has_input():
            self._on_frame(self._socket.recv(_DONTWAIT))

    def _read_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        """Hand some frames to the callback, and go on after the others' turn."""
        self._is_due = False
        left = _TURN_BYTES
        while left > 0:
            if not self._is_open or not self._has_input():
                return
            frame = self._socket.recv(_DONTWAIT)
            left -= len(frame) + _FRAME_BYTES
            self._on_frame(frame)
        self._read_soon()

    def close(self) -> None:
        """Close the socket; what was not sent is dropped."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._fd)
        self._loop.remove_reader(self._monitor_fd)
        if self._retry is not None:
            self._retry.cancel()
        self._handshakes.close()
        self._socket.close(linger=0)

    def _has_input(self) -> bool:
        return cast("int", self._socket.get(_EVENTS)) & _POLLIN != 0

    def _watch(self) -> None:
        now = time.monotonic()
        changes = self._handshakes.read(now) if self._is_open else []
        for change in changes:
            if not self._is_open:
                return  # the one before it had us close
            if change is Change.MADE:
                self._on_connected()
            else:
                self._on_lost()
        due_at = self._handshakes.due_at
        if due_at != inf and self._retry is None:
            self._retry = self._loop.call_later(due_at - now, self._call_again)

    def _call_again(self) -> None:
        self._retry = None
        # the loop's clock may be a little ahead: it is due
        self._handshakes.retry(self._handshakes.due_at)
        self._watch()
