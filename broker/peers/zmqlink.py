"""The broker's libzmq sockets: one ROUTER where everybody calls, DEALERs to VM hosts.

Nothing here blocks and nothing queues without bound: a peer that takes no more messages
is told so by `send` returning False.
"""

# Impure.

import contextlib
import logging
from typing import Final

import zmq

from luafarm.config.endpoints import parse_host_port
from luafarm.errors import ProtocolError
from luafarm.keys import curve
from luafarm.keys.handshakes import Change, Handshakes
from luafarm.process.complaints import Complaints
from luafarm.wire import codec
from luafarm.wire.messages import HostUp, Message
from luafarm.wire.received import AHEAD_BYTES, Received

logger = logging.getLogger(f"luafarm.{__name__}")

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]

_PEER_QUEUE: Final = 10_000  # messages to one front before it must ask for a snapshot
_HOST_QUEUE: Final = 10_000  # a host loads one state at a time; more cannot be ordered
_HOST_AHEAD: Final = 16  # frames of a host that may wait: the rest stays in its socket
_TCP: Final = "tcp://"
_LINGER_MS: Final = 1000
_RECONNECT_MS: Final = 20
_RECONNECT_MAX_MS: Final = 1000
_HEARTBEAT_MS: Final = 1000  # finds half-open TCP connections
_HEARTBEAT_TIMEOUT_MS: Final = 3000


def router(context: Context, endpoint: str, keys: curve.Keys | None) -> Socket:
    """Return the ROUTER to which fronts, supervisors and commands are to connect.

    endpoint: to which it is bound later, with `bind`.
    """
    socket = context.socket(zmq.ROUTER)
    socket.linger = _LINGER_MS
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.MAXMSGSIZE, codec.MAX_FRAME)
    socket.sndhwm = _PEER_QUEUE
    _keep_alive(socket, endpoint)
    if keys is not None:
        curve.serve(socket, keys.own)
    return socket


def check_place(context: Context, endpoint: str) -> None:
    """Raise zmq.ZMQError when this machine has no such address, whatever the port."""
    if endpoint.startswith(_TCP):
        with context.socket(zmq.ROUTER) as attempt:
            attempt.bind(f"{endpoint.rpartition(':')[0]}:*")


def _keep_alive(socket: Socket, endpoint: str) -> None:
    if endpoint.startswith(_TCP):
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)


class KeyLink:
    """The connection to a VM host by libzmq: over TCP, and with keys."""

    has_more = False  # whoever polls the socket is told again
    is_lost = False  # it is made again
    is_ready = True  # what is said before it is connected waits
    unsent = 0  # bytes are not told; messages are bounded

    def __init__(
        self,
        context: Context,
        up: HostUp,
        keys: curve.Keys | None,
        max_frame: int,
        complaints: Complaints,
    ) -> None:
        """Connect, and again whenever the connection breaks."""
        self.handle = context.socket(zmq.DEALER)
        self.handle.linger = 0
        self.handle.sndhwm = _HOST_QUEUE
        self.handle.rcvhwm = _HOST_AHEAD
        self.handle.setsockopt(zmq.MAXMSGSIZE, max_frame)
        self.handle.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        self.handle.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS)
        pair: curve.KeyPair | None = None
        if up.server_key and keys is not None:
            # not without keys: it hears between two runs, and is on this machine
            _keep_alive(self.handle, up.endpoint)
            pair = keys.own
            curve.connect(self.handle, pair, up.server_key)
        whom = f"a VM host of machine {up.machine}"
        self._handshakes = Handshakes(self.handle, up.endpoint, whom, pair, complaints)
        #: tells when a broken connection is whole again
        self.monitor = self._handshakes.monitor
        self._heard = 0  # frames
        self._most_unheard = max_frame + AHEAD_BYTES  # bytes since the last of them
        self._arrivals: Received | None = None
        self._connections = 0  # the last of which `_arrivals` counts
        self._port = 0  # there; 0: nobody knows how much comes
        if up.endpoint.startswith(_TCP):
            self._port = parse_host_port(up.endpoint.removeprefix(_TCP))[1]

    def open(self) -> bool:
        """Return whether there is a connection: libzmq sees to it."""
        return True

    def send(self, frame: bytes) -> bool:
        """Send a frame; return False when the host takes no more."""
        try:
            self.handle.send(frame, zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def flush(self) -> None:
        """Do nothing: libzmq sends by itself."""

    def receive(self) -> bytes | None:
        """Return the next frame, or None when there is none. Raise ProtocolError."""
        try:
            frame = self.handle.recv(zmq.DONTWAIT)
        except zmq.Again:
            return None
        self._heard += 1
        if self.handle.getsockopt(zmq.RCVMORE):
            raise ProtocolError("a message of several frames; each has one here")
        return frame

    def check(self, now: float) -> None:
        """Raise ProtocolError when a message is coming in that does not end."""
        if self._arrivals is None or self.handle.poll(0):
            return  # what is here and was not read is no such message
        unheard = self._arrivals.unheard(self._heard, now)
        if unheard > self._most_unheard:
            raise ProtocolError(
                f"{unheard} bytes of a message that does not end; "
                f"the limit is {self._most_unheard}"
            )

    def changes(self, now: float) -> list[Change]:
        """Return what became of the connection since the last call."""
        changes = self._handshakes.read(now)
        if self._handshakes.connections != self._connections:
            self._connections = self._handshakes.connections
            self._count(self._handshakes.fd)
        return changes

    def _count(self, fd: int) -> None:
        """Count what comes in on this descriptor; -1: on none."""
        if self._arrivals is not None:
            self._arrivals.close()
            self._arrivals = None
        if fd >= 0 and self._port:
            with contextlib.suppress(OSError):  # it has ended: another one comes
                self._arrivals = Received(fd, self._port)

    def retry(self, now: float) -> None:
        """Connect again if that is due."""
        self._handshakes.retry(now)

    def close(self) -> None:
        """End the connection."""
        self._count(-1)
        self._handshakes.close()
        self.handle.close()


def send(socket: Socket, peer: bytes, message: Message) -> bool | None:
    """Send to a peer of the ROUTER; False: it takes no more; None: it is gone."""
    try:
        socket.send_multipart([peer, codec.encode(message)], zmq.DONTWAIT)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno != zmq.EHOSTUNREACH:
            raise
        return None
    return True
