"""What becomes of a DEALER's connection: accepted, turned away, or lost.

libzmq gives up an endpoint for good after some failures of the handshake, and after
others it tries again every few milliseconds. Here both are the same: one line says who
does not let us in and why, and it is tried again after pauses that double, because keys
may be put right at the other end.
"""

# Impure.

import logging
from contextlib import suppress
from enum import Enum
from math import inf
from typing import Final

import zmq

from luafarm.keys import monitor
from luafarm.keys.curve import KeyPair
from luafarm.process.complaints import Complaints

logger = logging.getLogger("luafarm.handshakes")

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0

CUT: Final = 3
"""Handshakes in a row that the peer cut off; one or two may be its own end."""

EVENTS: Final = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
"""What a monitor must tell of how a handshake ended."""


class Change(Enum):
    """What became of the connection."""

    MADE = 1
    LOST = 2  # after it was made


class Handshakes:
    """Watches a DEALER and its one endpoint.

    Call `read` when `monitor` is readable, and `retry` at `due_at`.
    """

    def __init__(
        self,
        socket: "zmq.Socket[bytes]",
        endpoint: str,
        whom: str,
        pair: KeyPair | None,
        complaints: Complaints,
    ) -> None:
        """Connect; whom: who is at the endpoint. pair: our keys if they are used."""
        self._socket = socket
        self._endpoint = endpoint
        self._whom = whom
        self._pair = pair
        self._complaints = complaints
        self._is_made = False
        self._failures = 0  # in a row
        self._cuts = 0  # in a row, without a reason
        #: of the connection, -1: none; libzmq told it, it may be of another by now
        self.fd = -1
        self.connections = 0  # so far
        #: when `retry` has something to do; inf: libzmq tries by itself
        self.due_at = inf
        events = EVENTS | zmq.EVENT_CONNECTED
        self.monitor: zmq.Socket[bytes] = socket.get_monitor_socket(events)
        socket.connect(endpoint)

    def read(self, now: float) -> list[Change]:
        """Return what has happened since, in order."""
        changes: list[Change] = []
        while self.monitor.poll(0):
            event, value = monitor.take(self.monitor)
            if event == zmq.EVENT_CONNECTED:
                self.fd = value
                self.connections += 1
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._is_made = True
                self._failures = self._cuts = 0
                changes.append(Change.MADE)
            elif event == zmq.EVENT_DISCONNECTED:
                self.fd = -1
                if self._is_made:
                    self._is_made = False
                    changes.append(Change.LOST)
            else:
                self._failed(event, now)
        return changes

    def retry(self, now: float) -> None:
        """Try again if it is time."""
        if now >= self.due_at:
            self.due_at = inf
            self._socket.connect(self._endpoint)

    def close(self) -> None:
        """Watch no more; the socket itself is the caller's."""
        self.due_at = inf
        self._socket.disable_monitor()
        self.monitor.close(0)

    def _failed(self, event: int, now: float) -> None:
        self.fd = -1
        why = reason(event, self._pair)
        if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            self._cuts += 1
            if self._cuts < CUT:
                why = ""
        if why:
            text = f"{self._whom} at {self._endpoint} {why}"
            # of one cause libzmq may tell in several ways: who is first closes
            line = self._complaints.line(f"{self._whom} turns away", text, now)
            if line:
                logger.error("%s", line)
        if self.due_at == inf:
            pause_s = FIRST_PAUSE_S * 2.0 ** min(self._failures, 10)
            self.due_at = now + min(pause_s, LONGEST_PAUSE_S)
            self._failures += 1
            with suppress(zmq.ZMQError):  # libzmq may have given it up already
                self._socket.disconnect(self._endpoint)


def reason(event: int, pair: KeyPair | None) -> str:
    """Return what a failed handshake says of a peer; pair: ours, None without keys."""
    if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH and pair is not None:
        key = pair.public.decode()
        return f"does not let in the owner of {pair.file}, public key {key}"
    if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
        if pair is None:
            return "lets nobody in without a key: [security] keys names none here"
        return f"speaks without keys, which {pair.file} is for"
    if pair is None:
        return "ends the handshake: it may want a key, and [security] keys names none"
    return (
        f"ends the handshake with {pair.file}: it takes no keys, or has not the secret "
        "of the public key that is known of it here"
    )
