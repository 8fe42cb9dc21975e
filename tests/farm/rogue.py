"""VM hosts that were taken over: `python -m tests.farm.rogue --config FILE`.

Runs a supervisor. Its hosts of the pool `rogue` load and answer like honest ones, but
when they are asked for a script that is named after a crime they commit it; the hosts
of other pools are real. `python -m tests.farm.rogue FD DIALECT...` is its zygote.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import NoReturn

import setproctitle
import zmq

from luafarm import configure, logs, wire
from luafarm.messages import (
    PROTOCOL,
    Drop,
    Fence,
    Fenced,
    Gone,
    Hello,
    HostLost,
    Inventory,
    Load,
    Loaded,
    Message,
    Outcome,
    Part,
    Role,
    Runs,
    StateRow,
    TakeInventory,
    Welcome,
)
from luafarm.names import Epoch, HostId, RequestId, Script
from vmhost import host, loop, luastate, report, zygote
from vmhost.dialect import Dialect
from vmhost.hostconfig import HostConfig
from vmhost.layers import Layer
from vmhost.scoreboard import HostSlot

MODULE = "tests.farm.rogue"
POOL = "rogue"
ORPHAN_S = 600.0
HEAD = b"Status: 200 OK\r\nContent-Type: text/plain"

Say = Callable[[bytes], None]


def lie(script: Script, epoch: int) -> bytes:
    """Return an inventory with a state that nobody ordered."""
    row = StateRow(script, Epoch(epoch), b"0" * 16, 1, 1, 1, 1, ())
    return wire.encode(Inventory((row,)))


def done(request: int, body: bytes = b"x") -> bytes:
    return wire.encode_dones([(request, int(Outcome.OK), HEAD, body, b"", b"", 10)])


TO_FRONT: dict[str, Callable[[int], list[bytes]]] = {
    "garbage": lambda _: [b"\xc1\xff\x00"],
    "oversized": lambda _: [bytes(wire.MAX_FRAME + 1)],
    "stranger": lambda _: [done(4711)],
    "role": lambda _: [
        wire.encode(
            HostLost(HostId("x"), RequestId(0), (), Script(b""), "wall", "forged")
        )
    ],
}
"""Frames to the front that asked; tests/fcgi/test_hostile_host.py has further ones."""

TO_BROKER: dict[str, bytes] = {
    "broker_garbage": b"\xc1\xff\x00",
    "broker_epoch": wire.encode(Loaded(Script(b"/x"), Epoch(1 << 62), 1, 1, (), b"")),
    "broker_inventory": lie(Script(b"/x"), 1 << 62),
}
"""Frames to the broker."""


class Rogue:
    """A host without Lua."""

    def __init__(self, config: HostConfig, listen_fd: int) -> None:
        self._host = config.host
        self._router: zmq.Socket[bytes] = zmq.Context().socket(zmq.ROUTER)
        self._router.set(zmq.SNDHWM, 1000)
        self._router.set(zmq.USE_FD, listen_fd)
        self._router.bind(config.endpoint)
        self._brokers: dict[bytes, None] = {}

    def live(self, slot: HostSlot) -> None:
        end = time.monotonic() + ORPHAN_S
        while time.monotonic() < end:
            slot.beat(time.monotonic_ns())
            if not self._router.poll(100):
                continue
            peer, frame = self._router.recv_multipart()
            for answer in self._answers(peer, wire.decode(frame)):
                self._router.send_multipart([peer, answer])

    def _answers(self, peer: bytes, message: Message) -> list[bytes]:
        match message:
            case Hello(_, role):
                if role == Role.BROKER:
                    self._brokers[peer] = None
                return [wire.encode(Welcome(PROTOCOL, Role.HOST, self._host, 0))]
            case TakeInventory():
                return [wire.encode(Inventory(()))]
            case Load(script, epoch):
                return [wire.encode(Loaded(script, epoch, 100, 10, (), b""))]
            case Drop(script, epoch):
                return [wire.encode(Gone(script, epoch, "dropped"))]
            case Fence(script, epoch):
                return [wire.encode(Fenced(script, epoch))]
            case Runs(rows):
                return [f for row in rows for f in self._run(row[0], row[1])]
            case _:
                return []

    def _run(self, request: int, script: bytes) -> list[bytes]:
        crime = os.fsdecode(script).rpartition("/")[2].removesuffix(".lua")
        if crime in TO_FRONT:
            return TO_FRONT[crime](request)
        if crime in TO_BROKER:
            for broker in self._brokers:
                self._router.send_multipart([broker, TO_BROKER[crime]])
            return []
        if crime == "flood":
            part = wire.encode(Part(RequestId(request), HEAD, b"x" * 60_000, b""))
            return [*[part] * 60, done(request, b"")]
        return [done(request, b"honest")]


def serve(
    config: HostConfig,
    listen_fd: int,
    slot: HostSlot,
    report_fd: int,
    seal: Callable[[], list[Layer]],
) -> NoReturn:
    """Be a host of this pool."""
    if config.pool != POOL:
        host.serve(config, listen_fd, slot, report_fd, seal)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    rogue = Rogue(config, listen_fd)
    time.sleep(0.05)  # libzmq's thread has started
    seal()
    report.write_ready(report_fd)
    rogue.live(slot)
    os._exit(0)


def main() -> int:
    """Be the supervisor, or its zygote."""
    if sys.argv[1].isdigit():
        setproctitle.setproctitle("luafarm-zygote")
        channel = socket.socket(fileno=int(sys.argv[1]))
        channel.set_inheritable(False)
        for dialect in sys.argv[2:]:
            luastate.prepare(Dialect(dialect), c_modules=False)
        zygote.run(channel, serve)
        return 0
    settings = configure.for_role(sys.argv[1:])
    setproctitle.setproctitle("luafarm-supervisor")
    logs.setup(settings.log, "luafarm-supervisor")
    return loop.run(settings, MODULE)


if __name__ == "__main__":
    raise SystemExit(main())
