"""A real VM host process for tests, and peers that speak to it."""

import logging
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import zmq

from luafarm.dialects import Dialect
from luafarm.names import Epoch, HostId, Machine, Pool, Script
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    SAFE,
    Blob,
    DoneRow,
    Dones,
    Hello,
    Limits,
    Load,
    Loaded,
    Message,
    Role,
    RunRow,
    Welcome,
)
from vmhost.host import loop
from vmhost.host.config import HostConfig
from vmhost.host.services.table import OPERATIONS
from vmhost.lua import state
from vmhost.sandbox import confine
from vmhost.sandbox.confine import Confinement
from vmhost.sandbox.layers import Layer
from vmhost.scoreboard import HostSlot, Scoreboard, create

PATIENCE_S = 120.0
PATIENCE_MS = 120_000
LIMITS = Limits(
    memory_bytes=32 << 20,
    cpu_ms=10_000,
    wall_ms=30_000,
    load_cpu_ms=5_000,
    load_wall_ms=10_000,
    reply_bytes=64 << 20,
    log_lines=200,
    log_bytes=32 << 10,
    fresh=False,
)
CONFIG = HostConfig(
    host=HostId("m-p-1-0"),
    pool=Pool("p"),
    machine=Machine("m"),
    endpoint="",
    dialect="luajit21",
    jit=False,
    trusted=False,
    cpath="",
    max_states=100,
    max_bytes=1 << 30,
)
PATIENT = replace(CONFIG, grace_s=60.0)
"""Where only soft stops are meant: no timer is quicker, however busy the machine is."""

M = TypeVar("M")


def pair(name: bytes, value: bytes) -> bytes:
    """Return a FastCGI name-value pair of short strings."""
    return bytes([len(name), len(value)]) + name + value


def run(
    request: int,
    script: bytes,
    *,
    epoch: int = 0,
    flags: int = SAFE,
    params: bytes = b"",
    body: bytes | None = b"",
    body_bytes: int | None = None,
    data_bytes: int = 0,
) -> RunRow:
    """Return a row of `Runs`."""
    size = len(body or b"") if body_bytes is None else body_bytes
    return (request, script, epoch, flags, params, body, size, data_bytes)


def load(
    script: bytes,
    source: bytes,
    epoch: int = 1,
    blobs: tuple[Blob, ...] = (),
    limits: Limits = LIMITS,
) -> Load:
    """Return the order to load a script."""
    return Load(
        Script(script),
        Epoch(epoch),
        source[:16],
        source,
        blobs,
        limits,
    )


class Peer:
    """A front or broker: one DEALER."""

    def __init__(self, socket_: "zmq.Socket[bytes]") -> None:
        self._socket = socket_

    def say(self, *messages: Message) -> None:
        """Send messages."""
        for message in messages:
            self.send(codec.encode(message))

    def send(self, frame: bytes) -> None:
        """Send a frame as it is."""
        self._socket.send(frame)

    def close(self) -> None:
        """Go away."""
        self._socket.close()

    def hears_nothing(self) -> bool:
        """Return whether nothing has come in."""
        return self._socket.poll(0) == 0

    def hears_soon(self) -> bool:
        """Return whether something comes in within half a second."""
        return self._socket.poll(500) != 0

    def next(self) -> Message:
        """Return the next message; fail when none comes."""
        assert self._socket.poll(PATIENCE_MS), "the host says nothing"
        return codec.decode(self._socket.recv())

    def expect(self, kind: type[M]) -> M:
        """Return the next message, which must be of this kind."""
        message = self.next()
        assert isinstance(message, kind), message
        return message

    def hello(self, role: Role) -> None:
        """Greet and be welcomed."""
        self.say(Hello(PROTOCOL, role, "test", Machine("m")))
        assert self.expect(Welcome).protocol == PROTOCOL

    def runs(self, *rows: RunRow) -> None:
        """Ask for runs in one batch."""
        self.send(codec.encode_runs(list(rows)))

    def done(self, *rows: RunRow) -> DoneRow:
        """Ask for runs and return the first row that comes."""
        self.runs(*rows)
        return self.expect(Dones).rows[0]

    def rows(self, count: int) -> list[DoneRow]:
        """Return this many rows, in whatever frames they come."""
        rows: list[DoneRow] = []
        while len(rows) < count:
            rows += self.expect(Dones).rows
        return rows

    def load(
        self,
        script: bytes,
        source: bytes,
        epoch: int = 1,
        blobs: tuple[Blob, ...] = (),
        limits: Limits = LIMITS,
    ) -> Loaded:
        """Have a script loaded."""
        self.say(load(script, source, epoch, blobs, limits))
        return self.expect(Loaded)


@dataclass
class Process:
    """A VM host process and the means to speak to it."""

    pid: int
    endpoint: str
    scoreboard: Scoreboard
    context: "zmq.Context[zmq.Socket[bytes]]"
    peers: list[Peer] = field(default_factory=list)
    code: int | None = None

    def hang_up(self) -> None:
        """Close all connections."""
        for peer in self.peers:
            peer.close()
        self.peers.clear()

    def connect(
        self, prepare: Callable[["zmq.Socket[bytes]"], None] | None = None
    ) -> Peer:
        """Return a peer that has not said Hello."""
        dealer = self.context.socket(zmq.DEALER)
        dealer.linger = 0
        if prepare is not None:
            prepare(dealer)
        dealer.connect(self.endpoint)
        peer = Peer(dealer)
        self.peers.append(peer)
        return peer

    def front(self) -> Peer:
        """Return a new front."""
        peer = self.connect()
        peer.hello(Role.FRONT)
        return peer

    def broker(self) -> Peer:
        """Return a new broker."""
        peer = self.connect()
        peer.hello(Role.BROKER)
        return peer

    def terminate(self) -> None:
        """Ask it to end; `wait` says how it did."""
        os.kill(self.pid, signal.SIGTERM)

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended: then `code` is there."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.code = os.waitstatus_to_exitcode(status)
        else:
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Return its exit code, negative for a signal, once it has ended."""
        end = time.monotonic() + PATIENCE_S
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            else:
                assert time.monotonic() < end, "the host does not end"
                time.sleep(0.005)
        return self.code


@contextmanager
def hosting(
    directory: Path,
    config: HostConfig = CONFIG,
    confinement: Confinement | None = None,
) -> Iterator[Process]:
    """Run a VM host until the end of the block, with or without its sandbox."""
    if config.endpoint.startswith("tcp:"):
        listener = socket.create_server(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(directory / "host.sock"))
        listener.listen(16)
        endpoint = f"ipc://{directory / 'host.sock'}"
    page = create()
    ready, report = os.pipe()
    with warnings.catch_warnings():  # the child leaves our threads' state alone
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(ready)
        config = replace(config, endpoint=endpoint)
        _become(config, listener.detach(), HostSlot(page), report, confinement)
    os.close(report)
    listener.close()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    process = Process(pid, endpoint, Scoreboard(page), context)
    try:
        assert os.read(ready, 100), "the host did not get ready"
        yield process
    finally:
        os.close(ready)
        os.close(page)
        process.hang_up()
        context.term()
        if process.code is None:
            os.kill(pid, signal.SIGKILL)
            process.wait()


def _become(
    config: HostConfig,
    listen_fd: int,
    slot: HostSlot,
    report: int,
    confinement: Confinement | None,
) -> None:
    """Be the host, as the zygote's children are."""
    try:
        logging.getLogger().handlers.clear()  # pytest's
        for number in (signal.SIGALRM, signal.SIGPROF):
            signal.signal(number, signal.SIG_DFL)

        def seal() -> list[Layer]:
            return [] if confinement is None else confine.seal(confinement)

        if confinement is not None:
            state.prepare(Dialect(config.dialect), OPERATIONS)
            confine.enter(confinement, (listen_fd, report))
        loop.serve(config, listen_fd, slot, report, seal)
    except BaseException:  # noqa: BLE001 - the last frame of this process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(70)
