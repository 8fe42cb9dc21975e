"""The supervisor's connection to the broker: a DEALER that says hello until welcome."""

# Impure.

import logging
from typing import Final

import zmq

from luafarm.errors import ProtocolError
from luafarm.keys import curve
from luafarm.keys.handshakes import Change, Handshakes
from luafarm.names import Machine
from luafarm.process.complaints import Complaints
from luafarm.version import VERSION
from luafarm.wire import codec
from luafarm.wire.messages import PROTOCOL, Hello, Message, Refused, Role, Welcome
from vmhost.supervisor.turn import Turn

logger = logging.getLogger("luafarm.vmhost.brokerlink")

_HELLO_EVERY_S: Final = 1.0
_STAND_BACK_S: Final = 3.0
"""After a new connection, for one that was refused: if another process has the name of
this machine, and the broker is new, the other one is to be heard first."""

_QUEUE: Final = 1000  # messages for a broker that does not read; more are dropped
_LINGER_MS: Final = 500  # for the last words of a supervisor that ends
_MAX_MESSAGE: Final = 1 << 20  # a broker sends supervisors a few hundred bytes


class BrokerLink:
    """One broker, which may come, go and come back.

    A new connection is a new broker, or one that has forgotten: hello is said again,
    and the answer counts as the first one. Who is refused asks again and again: the
    name of this machine may be free by then.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        machine: Machine,
        keys: curve.Keys | None,
        turn: Turn,
    ) -> None:
        self._hello = Hello(
            PROTOCOL,
            Role.SUPERVISOR,
            machine,
            machine,
            turn.incarnation,
            turn.beside,
            VERSION,
        )
        self._is_welcome = False
        self._hello_due = 0.0
        self._is_refused = False  # by the last answer to a hello
        self._complaints = Complaints()
        self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        self.socket.linger = _LINGER_MS
        self.socket.sndhwm = _QUEUE
        self.socket.maxmsgsize = _MAX_MESSAGE
        self.socket.immediate = True
        self.socket.reconnect_ivl = 50
        self.socket.reconnect_ivl_max = 1000
        self.socket.heartbeat_ivl = 1000
        self.socket.heartbeat_timeout = 5000
        pair: curve.KeyPair | None = None
        if keys is not None and endpoint.startswith("tcp://"):
            pair = keys.own
            curve.connect(self.socket, pair, keys.broker)
        self._handshakes = Handshakes(
            self.socket, endpoint, "the broker", pair, self._complaints
        )
        self.monitor = self._handshakes.monitor

    @property
    def is_welcome(self) -> bool:
        """Whether the broker knows this supervisor."""
        return self._is_welcome

    def watch(self, now: float) -> None:
        """Take what the monitor says; say hello when that is due."""
        for change in self._handshakes.read(now):
            self._is_welcome = False
            self._hello_due = now + _STAND_BACK_S if self._is_refused else 0.0
            if change is Change.LOST:
                logger.info("broker gone")
        self._handshakes.retry(now)
        if not self._is_welcome and now >= self._hello_due:
            self._hello_due = now + _HELLO_EVERY_S
            self.send(self._hello)

    def receive(self, now: float) -> Message | None:
        """Return the next message of the broker; None when there is none for now.

        What does not let this supervisor in is told in the log and is not one.
        """
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return None
            try:
                message = codec.decode(frames[0])
            except ProtocolError as error:
                logger.warning("broker sent no message: %s", error)
                continue
            if isinstance(message, Refused):
                self._refused(message.reason, now)
            elif not isinstance(message, Welcome):
                return message
            elif message.protocol == PROTOCOL:
                if not self._is_welcome:
                    logger.info("broker found machine=%s", self._hello.machine)
                self._is_welcome = True
                self._is_refused = False
                return message
            else:
                theirs = message.protocol
                text = f"it speaks protocol {theirs}, this is {PROTOCOL}"
                self._refused(f"{text}: update them together", now)

    def send(self, message: Message) -> bool:
        """Send a message if the broker is there; return whether it was."""
        try:
            self.socket.send(codec.encode(message), zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Close the connection; what was sent is on its way."""
        self._handshakes.close()
        self.socket.close()

    def _refused(self, reason: str, now: float) -> None:
        self._is_welcome = False
        self._is_refused = True
        machine = self._hello.machine
        text = f"the broker refuses this supervisor of machine {machine}: {reason}"
        line = self._complaints.line(reason, text, now)
        if line:
            logger.error("%s", line)
