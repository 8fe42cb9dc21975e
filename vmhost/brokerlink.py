"""The supervisor's connection to the broker: a DEALER that says hello until welcome."""

import logging
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from luafarm import curve, wire
from luafarm.errors import ProtocolError
from luafarm.messages import PROTOCOL, Hello, Message, Role, Welcome
from luafarm.names import Machine

logger = logging.getLogger("luafarm.vmhost.brokerlink")

_HELLO_EVERY_S: Final = 1.0
_QUEUE: Final = 1000  # messages for a broker that does not read; more are dropped
_LINGER_MS: Final = 500  # for the last words of a supervisor that ends
_MAX_MESSAGE: Final = 1 << 20  # a broker sends supervisors a few hundred bytes


class BrokerLink:
    """One broker, which may come, go and come back.

    A new connection is a new broker, or one that has forgotten: hello is said again,
    and the answer counts as the first one.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        machine: Machine,
        keys: curve.Keys | None,
    ) -> None:
        self._hello = Hello(PROTOCOL, Role.SUPERVISOR, machine, machine)
        self._is_welcome = False
        self._hello_due = 0.0
        self._has_refused = False
        self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        self.socket.linger = _LINGER_MS
        self.socket.sndhwm = _QUEUE
        self.socket.maxmsgsize = _MAX_MESSAGE
        self.socket.immediate = True
        self.socket.reconnect_ivl = 50
        self.socket.reconnect_ivl_max = 1000
        self.socket.heartbeat_ivl = 1000
        self.socket.heartbeat_timeout = 5000
        if keys is not None and endpoint.startswith("tcp://"):
            curve.connect(self.socket, keys.own, keys.broker)
        self.monitor: zmq.Socket[bytes] = self.socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        self.socket.connect(endpoint)

    @property
    def is_welcome(self) -> bool:
        """Whether the broker knows this supervisor."""
        return self._is_welcome

    def watch(self, now: float) -> None:
        """Take what the monitor says; say hello when that is due."""
        while self.monitor.poll(0):
            happened = recv_monitor_message(self.monitor, zmq.DONTWAIT)["event"]
            self._is_welcome = False
            self._hello_due = 0.0
            if happened == zmq.EVENT_DISCONNECTED:
                logger.info("broker lost")
        if not self._is_welcome and now >= self._hello_due:
            self._hello_due = now + _HELLO_EVERY_S
            self.send(self._hello)

    def receive(self) -> Message | None:
        """Return the next message of the broker; None when there is none for now.

        A `Welcome` of the wrong protocol is not one.
        """
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return None
            try:
                message = wire.decode(frames[0])
            except ProtocolError as error:
                logger.warning("broker sent no message: %s", error)
                continue
            if not isinstance(message, Welcome):
                return message
            if message.protocol == PROTOCOL:
                self._is_welcome = True
                return message
            if not self._has_refused:
                self._has_refused = True
                text = "broker speaks protocol %d, this is %d: update them together"
                logger.error(text, message.protocol, PROTOCOL)

    def send(self, message: Message) -> bool:
        """Send a message if the broker is there; return whether it was."""
        try:
            self.socket.send(wire.encode(message), zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Close the connection; what was sent is on its way."""
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close()
