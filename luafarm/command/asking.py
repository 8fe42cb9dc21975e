"""One question to the broker and its answer, for commands."""

# Impure.

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import zmq

from luafarm.config.settings import Settings
from luafarm.errors import NoAnswerError, ProtocolError, SettingsError
from luafarm.keys import curve, handshakes, monitor
from luafarm.names import Machine
from luafarm.process import rundir
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Hello,
    Message,
    Refused,
    Reload,
    Reloaded,
    Role,
    StatusIs,
    StatusWanted,
    Welcome,
)

_RECONNECT_MS: Final = 20
_PATIENCE_S: Final = 1.0  # a broker that is there takes the connection in milliseconds

Tell = Callable[[str], None]
"""Takes a sentence for whoever waits in front of the terminal."""


def status(settings: Settings, timeout_s: float) -> bytes:
    """Return the farm's status, JSON. Raise NoAnswerError."""
    answer = _ask(settings, StatusWanted(), timeout_s)
    if not isinstance(answer, StatusIs):
        raise NoAnswerError(f"the broker answered with {type(answer).__name__}")
    return answer.text


def reload(
    settings: Settings,
    path: bytes,
    timeout_s: float,
    *,
    wait: bool,
    tell: Tell | None = None,
) -> str:
    """Have a path compared with its files; return an error or "". Raise NoAnswerError.

    wait: until no front will serve an old generation. tell: takes why nothing happens
    while no broker is there; it may be starting.
    """
    answer = _ask(settings, Reload(path, wait), timeout_s, tell)
    if not isinstance(answer, Reloaded):
        raise NoAnswerError(f"the broker answered with {type(answer).__name__}")
    return "" if answer.ok else answer.error or "refused without a reason"


def _ask(
    settings: Settings, question: Message, timeout_s: float, tell: Tell | None = None
) -> Message:
    endpoint = rundir.broker_endpoint(settings)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        socket.linger = 0
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.setsockopt(zmq.MAXMSGSIZE, codec.MAX_FRAME)
        machine = rundir.machine(settings)
        pair: curve.KeyPair | None = None
        if curve.is_wanted(settings.security, endpoint):
            keys = _keys(Path(settings.security.keys), machine)
            pair = keys.own
            curve.connect(socket, pair, keys.broker)
        monitor = socket.get_monitor_socket(handshakes.EVENTS)
        socket.connect(endpoint)
        hello = Hello(
            PROTOCOL, Role.COMMAND, f"command-{machine}-{os.getpid()}", machine
        )
        waiting = _Waiting(socket, monitor, endpoint, pair, (hello, question))
        waiting.ask()
        now = time.monotonic()
        if tell is not None and timeout_s > _PATIENCE_S:
            waiting.connect(now + _PATIENCE_S)
            if not waiting.is_connected:
                tell(f"{waiting.silence()} Waiting for it for {timeout_s:g} s.")
        return waiting.answer(now + timeout_s)
    finally:
        socket.disable_monitor()
        context.destroy(linger=0)


def _keys(directory: Path, machine: Machine) -> curve.Keys:
    try:
        return curve.load(directory, "command", machine)
    except SettingsError as error:
        key = f"command.secret or command-{machine}.secret"
        who = f"a machine from which the farm may be asked has {key}"
        raise SettingsError(f"{error}; {who}", error.place) from None


class _Waiting:
    """The wait for an answer, and what is known meanwhile of why there is none."""

    def __init__(
        self,
        socket: "zmq.Socket[bytes]",
        monitor: "zmq.Socket[bytes]",
        endpoint: str,
        pair: curve.KeyPair | None,
        words: tuple[Message, ...],
    ) -> None:
        """words: what is asked. It does no harm if it is asked twice."""
        self._socket = socket
        self._words = words
        self._monitor = monitor
        self._endpoint = endpoint
        self._pair = pair
        self.is_connected = False  # or was: somebody listens there
        self._is_welcome = False
        self._was_left = False  # by a broker, which may have had the question
        self._cuts = 0  # handshakes that were cut off without a reason
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(monitor, zmq.POLLIN)

    def ask(self) -> None:
        """Ask, now or when there is a connection."""
        for word in self._words:
            self._socket.send(codec.encode(word))

    def connect(self, deadline_s: float) -> None:
        """Wait for a connection, no longer than this. Raise NoAnswerError."""
        while not self.is_connected:
            left_ms = round((deadline_s - time.monotonic()) * 1000)
            if left_ms <= 0 or not self._monitor.poll(left_ms):
                return
            self._look()

    def answer(self, deadline_s: float) -> Message:
        """Return the broker's answer. Raise NoAnswerError."""
        while True:
            left_ms = round((deadline_s - time.monotonic()) * 1000)
            ready = dict(self._poller.poll(left_ms)) if left_ms > 0 else {}
            if not ready:
                raise NoAnswerError(self.silence())
            if self._monitor in ready:
                self._look()
            if self._socket in ready:
                message = self._heard()
                if message is not None:
                    return message

    def silence(self) -> str:
        """Return why there is no answer yet, as far as it can be seen from here."""
        if self._is_welcome:
            return (
                f"the broker at {self._endpoint} is there but did not answer in time; "
                f"see `luafarm status`, or give it longer with --timeout"
            )
        if self._cuts >= handshakes.CUT:
            cut = handshakes.reason(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, self._pair)
            return f"the broker at {self._endpoint} {cut}"
        path = Path(self._endpoint.removeprefix("ipc://"))
        try:
            path.lstat()
        except PermissionError:
            who = "ask as root or as the user of the farm"
            return f"the broker at {self._endpoint} is out of reach here; {who}"
        except OSError:
            pass  # tcp, or no farm
        return f"no broker answers at {self._endpoint}; does the farm run?"

    def _look(self) -> None:
        """Take what the monitor says. Raise NoAnswerError when there is no hope."""
        event, _ = monitor.take(self._monitor)
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.is_connected = True
            if self._was_left:  # another broker knows nothing of the question
                self._was_left = False
                self.ask()
            return
        if event == zmq.EVENT_DISCONNECTED:
            self._was_left = self.is_connected
            return
        if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            self._cuts += 1
            return
        why = handshakes.reason(event, self._pair)
        raise NoAnswerError(f"the broker at {self._endpoint} {why}")

    def _heard(self) -> Message | None:
        """Return what the broker said, None when the answer is still to come."""
        try:
            message = codec.decode(self._socket.recv())
        except ProtocolError as error:
            raise NoAnswerError(f"what answers at {self._endpoint}: {error}") from None
        if isinstance(message, Refused):
            raise NoAnswerError(
                f"the broker at {self._endpoint} refuses: {message.reason}"
            )
        if isinstance(message, Welcome):
            if message.protocol != PROTOCOL:
                raise NoAnswerError(
                    f"the broker speaks protocol {message.protocol}, we {PROTOCOL}"
                )
            self._is_welcome = True
            return None
        return message
