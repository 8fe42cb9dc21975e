"""The broker's sockets: one ROUTER where everybody calls, one DEALER to each VM host.

Nothing here blocks and nothing queues without bound: a peer that takes no more messages
is told so by `send` returning False.
"""

import logging
from typing import Final

import zmq

from broker.allowance import Allowance
from luafarm import curve, wire
from luafarm.complaints import Complaints
from luafarm.handshakes import Change, Handshakes
from luafarm.messages import Hello, HostUp, Message

logger = logging.getLogger(f"luafarm.{__name__}")

NEEDS: Final = 2000  # files that a host may ask for at once
NEEDS_PER_S: Final = 500.0
"""And then so many a second: each costs the broker some file system calls."""

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]

_PEER_QUEUE: Final = 10_000  # messages to one front before it must ask for a snapshot
_HOST_QUEUE: Final = 10_000  # a host loads one state at a time; more cannot be ordered
_LINGER_MS: Final = 1000
_RECONNECT_MS: Final = 20
_RECONNECT_MAX_MS: Final = 1000
_GREET_AGAIN_S: Final = 1.0
_HEARTBEAT_MS: Final = 1000  # finds half-open TCP connections
_HEARTBEAT_TIMEOUT_MS: Final = 3000


def bind(context: Context, endpoint: str, keys: curve.Keys | None) -> Socket:
    """Return the ROUTER to which fronts, supervisors and commands connect."""
    socket = context.socket(zmq.ROUTER)
    socket.linger = _LINGER_MS
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.MAXMSGSIZE, wire.MAX_FRAME)
    socket.sndhwm = _PEER_QUEUE
    _keep_alive(socket, endpoint)
    if keys is not None:
        curve.serve(socket, keys.own)
    socket.bind(endpoint)
    return socket


def _keep_alive(socket: Socket, endpoint: str) -> None:
    if endpoint.startswith("tcp://"):
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)


class HostLink:
    """The connection to one VM host."""

    def __init__(
        self,
        context: Context,
        up: HostUp,
        keys: curve.Keys | None,
        complaints: Complaints,
    ) -> None:
        self.up = up
        #: answered the last greeting
        self.is_welcome = False
        self._greeted_at = 0.0
        #: when it was asked for its inventory last
        self.asked_at = 0.0
        #: how often it may have the broker look for files
        self.needs = Allowance(NEEDS, NEEDS_PER_S)
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = _HOST_QUEUE
        self.socket.rcvhwm = _HOST_QUEUE
        self.socket.setsockopt(zmq.MAXMSGSIZE, wire.MAX_FRAME)
        self.socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS)
        pair: curve.KeyPair | None = None
        if up.server_key and keys is not None:
            # not without keys: it hears between two runs, and is on this machine
            _keep_alive(self.socket, up.endpoint)
            pair = keys.own
            curve.connect(self.socket, pair, up.server_key)
        #: tells when a broken connection is whole again; an ipc one breaks for good
        self._handshakes: Handshakes | None = None
        if up.endpoint.startswith("tcp://"):
            whom = f"a VM host of machine {up.machine}"
            self._handshakes = Handshakes(
                self.socket, up.endpoint, whom, pair, complaints
            )
        else:
            self.socket.connect(up.endpoint)

    @property
    def monitor(self) -> Socket | None:
        """What to poll besides the socket."""
        return None if self._handshakes is None else self._handshakes.monitor

    def greet(self, hello: Hello, now: float) -> None:
        """Say Hello, on a new connection or when the last one found no answer."""
        if now - self._greeted_at >= _GREET_AGAIN_S:
            self._greeted_at = now
            self.send(hello)

    def send(self, message: Message) -> bool:
        """Send a message; return False when the host takes no more."""
        try:
            self.socket.send(wire.encode(message), zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def receive(self) -> bytes | None:
        """Return the next frame, or None when there is none."""
        try:
            return self.socket.recv(zmq.DONTWAIT)
        except zmq.Again:
            return None

    def reconnected(self, now: float) -> bool:
        """Say whether the connection was made (again) since the last call."""
        if self._handshakes is None:
            return False
        is_new = Change.MADE in self._handshakes.read(now)
        if is_new:
            self.is_welcome = False
            self._greeted_at = 0.0
        return is_new

    def retry(self, now: float) -> None:
        """Connect again if that is due."""
        if self._handshakes is not None:
            self._handshakes.retry(now)

    def close(self) -> None:
        """End the connection."""
        if self._handshakes is not None:
            self._handshakes.close()
        self.socket.close()


def send(socket: Socket, peer: bytes, message: Message) -> bool | None:
    """Send to a peer of the ROUTER; False: it takes no more; None: it is gone."""
    try:
        socket.send_multipart([peer, wire.encode(message)], zmq.DONTWAIT)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno != zmq.EHOSTUNREACH:
            raise
        return None
    return True
