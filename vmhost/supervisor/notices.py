"""Where fronts hear at once of lost hosts, also when there is no broker: a ROUTER."""

# Impure.

import logging
import time
from typing import Final

import zmq

from luafarm.errors import ProtocolError
from luafarm.keys import curve
from luafarm.keys.badges import WORDS, Badges
from luafarm.names import Machine
from luafarm.process.complaints import Complaints
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Hello,
    HostLost,
    Message,
    Refused,
    Role,
    Welcome,
)

logger = logging.getLogger("luafarm.vmhost.notices")

_FRONTS: Final = 256  # that are remembered; more connections than any farm has fronts
_QUEUE: Final = 1000  # notices for a front that does not read
_LINGER_MS: Final = 500
_MAX_NAME: Final = 100  # characters of a peer's name in the log
_MAX_MESSAGE: Final = 65536  # fronts say hello and nothing else


class Notices:
    """The fronts that said hello, and the socket that reaches them."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        machine: Machine,
        keys: curve.Keys | None,
    ) -> None:
        """Bind; `endpoint` may be `tcp://HOST:*`. With keys CURVE guards tcp."""
        self._welcome = Welcome(PROTOCOL, Role.SUPERVISOR, machine, 0)
        self._fronts: dict[bytes, None] = {}  # routing ids, oldest first
        self._badges: Badges | None = None  # of the fronts' keys, if they have any
        self._complaints = Complaints()
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.linger = _LINGER_MS
        self.socket.sndhwm = _QUEUE
        self.socket.maxmsgsize = _MAX_MESSAGE
        self.socket.router_mandatory = True
        self.socket.heartbeat_ivl = 1000
        self.socket.heartbeat_timeout = 5000
        if keys is not None and endpoint.startswith("tcp://"):
            self._badges = keys.badges
            curve.serve(self.socket, keys.own)
        self.socket.bind(endpoint)
        self.bound = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def greet(self) -> None:
        """Answer the fronts that have said hello since."""
        while True:
            try:
                routing_id, *frames = self.socket.recv_multipart(
                    zmq.DONTWAIT, copy=False
                )
            except zmq.Again:
                return
            if len(frames) != 1:
                continue
            try:
                message = codec.decode(frames[0].bytes)
            except ProtocolError as error:
                self._complain("garbage", f"no greeting on the notices: {error}")
                continue
            if isinstance(message, Hello):
                self._hear(routing_id.bytes, message, frames[0])

    def _hear(self, peer: bytes, hello: Hello, frame: zmq.Frame) -> None:
        why = self._objection(hello, frame)
        if why:
            self._fronts.pop(peer, None)
            self._send(peer, Refused(why))
            name = hello.name[:_MAX_NAME]
            self._complain(f"{name} {why}", f"peer={name} refused: {why}")
        elif self._send(peer, self._welcome):
            self._fronts.pop(peer, None)
            self._fronts[peer] = None
            while len(self._fronts) > _FRONTS:
                del self._fronts[next(iter(self._fronts))]

    def _objection(self, hello: Hello, frame: zmq.Frame) -> str:
        """Return why this one is told nothing; empty: it is a front."""
        if hello.protocol != PROTOCOL:
            return (
                f"it speaks protocol {hello.protocol}, this supervisor {PROTOCOL}; "
                "update them together"
            )
        if hello.role is not Role.FRONT:
            return f"a {WORDS[hello.role]} is told nothing of lost hosts"
        if self._badges is None:
            return ""
        return self._badges.refusal(str(frame.get("User-Id")), hello)

    def _complain(self, cause: str, text: str) -> None:
        line = self._complaints.line(cause, text, time.monotonic())
        if line:
            logger.error("%s", line)

    def tell(self, lost: HostLost) -> None:
        """Tell all fronts that a host is lost."""
        for peer in list(self._fronts):
            if not self._send(peer, lost):
                del self._fronts[peer]

    def close(self) -> None:
        """Close the socket; what was sent is on its way."""
        self.socket.close()

    def _send(self, peer: bytes, message: Message) -> bool:
        """Return False when the front is gone; one that does not read misses it."""
        try:
            self.socket.send_multipart([peer, codec.encode(message)], zmq.DONTWAIT)
        except zmq.Again:
            return True
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        return True
