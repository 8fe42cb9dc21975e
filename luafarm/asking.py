"""One question to the broker and its answer, for commands."""

import os
import platform
import time
from pathlib import Path

import zmq

from luafarm import curve, rundir, wire
from luafarm.errors import ProtocolError
from luafarm.messages import (
    PROTOCOL,
    Hello,
    Message,
    Reload,
    Reloaded,
    Role,
    StatusIs,
    StatusWanted,
    Welcome,
)
from luafarm.names import Machine
from luafarm.settings import Settings

_RECONNECT_MS = 20


class NoAnswerError(Exception):
    """The broker did not answer in time, or not in our protocol."""


def status(settings: Settings, timeout_s: float) -> bytes:
    """Return the farm's status, JSON. Raise NoAnswerError."""
    answer = _ask(settings, StatusWanted(), timeout_s)
    if not isinstance(answer, StatusIs):
        raise NoAnswerError(f"the broker answered with {type(answer).__name__}")
    return answer.text


def reload(settings: Settings, path: bytes, timeout_s: float, *, wait: bool) -> str:
    """Have a path compared with its files; return an error or "". Raise NoAnswerError.

    wait: until no front will serve an old generation.
    """
    answer = _ask(settings, Reload(path, wait), timeout_s)
    if not isinstance(answer, Reloaded):
        raise NoAnswerError(f"the broker answered with {type(answer).__name__}")
    return "" if answer.ok else answer.error or "refused without a reason"


def _ask(settings: Settings, question: Message, timeout_s: float) -> Message:
    endpoint = rundir.broker_endpoint(settings)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        socket.linger = 0
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.setsockopt(zmq.MAXMSGSIZE, wire.MAX_FRAME)
        if curve.is_wanted(settings.security, endpoint):
            keys = curve.load(Path(settings.security.keys), "command")
            curve.connect(socket, keys.own, keys.broker)
        socket.connect(endpoint)
        machine = Machine(platform.node())
        name = f"command-{machine}-{os.getpid()}"
        socket.send(wire.encode(Hello(PROTOCOL, Role.COMMAND, name, machine)))
        socket.send(wire.encode(question))
        return _answer(socket, endpoint, time.monotonic() + timeout_s)
    finally:
        socket.close()
        context.term()


def _answer(socket: "zmq.Socket[bytes]", endpoint: str, deadline_s: float) -> Message:
    is_there = False
    while True:
        left_ms = round((deadline_s - time.monotonic()) * 1000)
        if left_ms <= 0 or not socket.poll(left_ms):
            if is_there:
                raise NoAnswerError(
                    f"the broker at {endpoint} is there but did not answer in time; "
                    f"see `luafarm status`, or give it longer with --timeout"
                )
            raise NoAnswerError(f"no broker answers at {endpoint}; does the farm run?")
        try:
            message = wire.decode(socket.recv())
        except ProtocolError as error:
            raise NoAnswerError(f"what answers at {endpoint}: {error}") from None
        if isinstance(message, Welcome):
            if message.protocol != PROTOCOL:
                raise NoAnswerError(
                    f"the broker speaks protocol {message.protocol}, we {PROTOCOL}"
                )
            is_there = True
            continue
        return message
