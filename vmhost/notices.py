"""Where fronts hear at once of lost hosts, also when there is no broker: a ROUTER."""

import logging
from typing import Final

import zmq

from luafarm import curve, wire
from luafarm.errors import ProtocolError
from luafarm.messages import PROTOCOL, Hello, HostLost, Message, Role, Welcome
from luafarm.names import Machine

logger = logging.getLogger("luafarm.vmhost.notices")

_FRONTS: Final = 256  # that are remembered; more connections than any farm has fronts
_QUEUE: Final = 1000  # notices for a front that does not read
_LINGER_MS: Final = 500
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
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.linger = _LINGER_MS
        self.socket.sndhwm = _QUEUE
        self.socket.maxmsgsize = _MAX_MESSAGE
        self.socket.router_mandatory = True
        self.socket.heartbeat_ivl = 1000
        self.socket.heartbeat_timeout = 5000
        if keys is not None and endpoint.startswith("tcp://"):
            curve.serve(self.socket, keys.own)
        self.socket.bind(endpoint)
        self.bound = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def greet(self) -> None:
        """Answer the fronts that have said hello since."""
        while True:
            try:
                peer, *frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                message = wire.decode(b"".join(frames))
            except ProtocolError as error:
                logger.warning("no greeting on the notices endpoint: %s", error)
                continue
            if not isinstance(message, Hello) or message.role is not Role.FRONT:
                continue
            if message.protocol != PROTOCOL:
                text = "front=%s speaks protocol %d, this is %d: update them together"
                logger.error(text, message.name, message.protocol, PROTOCOL)
            elif self._send(peer, self._welcome):
                self._fronts.pop(peer, None)
                self._fronts[peer] = None
                while len(self._fronts) > _FRONTS:
                    del self._fronts[next(iter(self._fronts))]

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
            self.socket.send_multipart([peer, wire.encode(message)], zmq.DONTWAIT)
        except zmq.Again:
            return True
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        return True
