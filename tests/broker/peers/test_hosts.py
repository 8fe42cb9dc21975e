"""Connections of the broker to VM hosts that take no orders."""

import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zmq

from broker import events as ev
from broker.library.tree import Library
from broker.peers.hearing import MAX_INVENTORY
from broker.peers.hosts import MAX_RESTING, Hosts
from broker.peers.zmtplink import MAX_UNSENT
from broker.scriptlog import ScriptLog
from luafarm.config.settings import Broker, Settings
from luafarm.ends import Closing
from luafarm.names import Epoch, HostId, Machine, Pool, Script
from luafarm.wire import codec, zmtp
from luafarm.wire.messages import PROTOCOL, Drop, Gone, Hello, HostUp, Loaded, Role
from luafarm.wire.received import AHEAD_BYTES
from luafarm.wire.zmtp import Session
from tests.broker.peers.played import DEADLINE_S, Context

if TYPE_CHECKING:
    from broker.events import Event

ORDER = Drop(Script(b"/r/a.lua"), Epoch(1))
NAMES = HostId("h1"), HostId("h2")
SETTLE_S = 300.0  # nothing rests while a test runs


@pytest.fixture
def context() -> Iterator[Context]:
    context: Context = zmq.Context()
    yield context
    context.destroy(linger=0)


class Deaf:
    """VM hosts that say they are ready, and nothing more, and read nothing."""

    def __init__(self, context: Context, directory: Path) -> None:
        settings = Settings(broker=Broker(settle=SETTLE_S))
        self.library = Library(settings, lambda _: True)
        hello = Hello(PROTOCOL, Role.BROKER, "broker", Machine("m"))
        self.poller = zmq.Poller()
        self.told: list[Event] = []
        self.hosts = Hosts(
            context,
            None,
            self.library,
            ScriptLog(settings),
            hello,
            1,
            self.told.append,
            self.poller,
            lambda: None,
        )
        self.listeners: dict[HostId, socket.socket] = {}
        for name in NAMES:
            self.listeners[name] = socket.socket(socket.AF_UNIX)
            self.listeners[name].bind(f"{directory}/{name}")
            self.listeners[name].listen()
            self.hosts.connect(up(directory, name))
        self.peers = {n: self._accept(n) for n in NAMES}

    def _accept(self, name: HostId) -> socket.socket:
        """Take a connection, and go as far as the end of the handshake."""
        host, _ = self.listeners[name].accept()
        host.sendall(Session(b"ROUTER", b"DEALER").opening())
        deadline = time.monotonic() + DEADLINE_S
        while not self.hosts.send(name, ORDER):
            assert time.monotonic() < deadline
            self.turn()
        return host

    def fill(self, name: HostId) -> None:
        """Send orders until no more are taken, and some more."""
        while self.hosts.send(name, ORDER):
            pass
        for _ in range(100):
            assert not self.hosts.send(name, ORDER)

    def turn(self) -> None:
        self.hosts.read(dict(self.poller.poll(10)))

    def close(self) -> None:
        self.hosts.close()
        self.library.close()
        for sock in (*self.listeners.values(), *self.peers.values()):
            sock.close()


@pytest.fixture
def deaf(context: Context, tmp_path: Path) -> Iterator[Deaf]:
    found = Deaf(context, tmp_path)
    yield found
    found.close()


def up(directory: Path, name: HostId) -> HostUp:
    endpoint = f"ipc://{directory}/{name}"
    machine = Machine("m")
    return HostUp(name, Pool("p"), machine, endpoint, b"", "", b"", (), (), 1, 1)


def complaints(caplog: pytest.LogCaptureFixture, name: HostId) -> int:
    return caplog.messages.count(f"host={name} takes no more orders")


def test_a_host_that_is_stuck_is_told_of_once(
    deaf: Deaf, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luafarm")
    for name in NAMES:
        deaf.fill(name)
    assert [complaints(caplog, name) for name in NAMES] == [1, 1]


def test_a_host_that_is_stuck_again_is_told_of_again(
    deaf: Deaf, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luafarm")
    name = NAMES[0]
    deaf.fill(name)
    host = deaf.peers[name]
    host.setblocking(False)
    deadline = time.monotonic() + DEADLINE_S
    while not deaf.hosts.send(name, ORDER):
        assert time.monotonic() < deadline
        with contextlib.suppress(BlockingIOError):
            host.recv(1 << 20)
        deaf.turn()
    deaf.fill(name)
    assert complaints(caplog, name) == 2


def test_what_waits_for_a_host_that_does_not_read_is_bounded_in_bytes(
    deaf: Deaf,
) -> None:
    order = Drop(Script(b"/r/" + b"a" * (1 << 20)), Epoch(1))
    name = NAMES[0]
    taken = 0
    while deaf.hosts.send(name, order):
        taken += 1
    in_socket = 2
    assert taken <= (MAX_UNSENT >> 20) + 1 + in_socket


def test_the_flood_of_one_host_does_not_keep_the_broker_from_another(
    deaf: Deaf,
) -> None:
    flooding, other = NAMES
    gone = codec.encode(Gone(Script(b"/r/a.lua"), Epoch(1), Closing.DROPPED))
    deaf.peers[flooding].setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            deaf.peers[flooding].send(zmtp.head(len(gone)) + gone)
    deaf.peers[other].sendall(zmtp.head(len(gone)) + gone)
    said: list[HostId] = []
    while other not in said:
        deaf.turn()
        said = [e.host for e in deaf.told if isinstance(e, ev.StateGone)]
    assert (
        0 < said.count(flooding) <= 128
    )  # of thousands: a turn before, and one beside


def test_a_host_whose_messages_wait_for_files_is_not_heard_beyond_a_bound(
    deaf: Deaf, tmp_path: Path
) -> None:
    young = tmp_path / "a.lua"
    young.write_text("one")
    talking, other = NAMES
    log = bytes(1 << 20)
    frame = codec.encode(Loaded(Script(bytes(young)), Epoch(1), 1, 1, (), log))
    data = memoryview((zmtp.head(len(frame)) + frame) * (4 * MAX_RESTING >> 20))
    host = deaf.peers[talking]
    host.setblocking(False)
    sent = blocked = 0
    while sent < len(data) and blocked < 100:
        try:
            sent += host.send(data[sent : sent + (1 << 16)])
            blocked = 0
        except BlockingIOError:
            blocked += 1
        deaf.turn()
        deaf.hosts.tick(time.monotonic())
    in_sockets = 2 << 20
    assert MAX_RESTING < sent < MAX_RESTING + 2 * len(frame) + in_sockets
    assert not deaf.told
    gone = codec.encode(Gone(Script(b"/r/a.lua"), Epoch(1), Closing.DROPPED))
    deaf.peers[other].sendall(zmtp.head(len(gone)) + gone)
    while not deaf.told:
        deaf.turn()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x04\x07\x04PING\0\0" * 64,
        b"\x01\x01x",  # the first of many frames
        b"\x02" + (17 << 20).to_bytes(8, "big"),
        b"\x00\x01\xc1",
        b"\x00\x00",
        b"\xff" * 100,
    ],
)
def test_what_no_honest_host_says_ends_its_connection_and_accuses_it(
    deaf: Deaf, raw: bytes
) -> None:
    name = NAMES[0]
    deaf.peers[name].sendall(raw)
    while not deaf.told:
        deaf.turn()
    [accused] = deaf.told
    assert isinstance(accused, ev.Accused)
    assert accused.host == name
    assert not deaf.hosts.send(name, ORDER)
    with contextlib.suppress(ConnectionResetError):
        while deaf.peers[name].recv(1 << 16):
            pass


# ---- over TCP, where libzmq reads ----------------------------------------------------

FAR = HostId("far")


@pytest.fixture
def far(deaf: Deaf) -> Iterator[socket.socket]:
    """Yield the end of a VM host on another machine, which was greeted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        machine = Machine("m")
        deaf.hosts.connect(
            HostUp(FAR, Pool("p"), machine, endpoint, b"", "", b"", (), (), 1, 1)
        )
        host, _ = listener.accept()
        with host:
            host.sendall(Session(b"ROUTER", b"DEALER").opening())
            said = b""
            while b"broker" not in said:
                deaf.turn()
                with contextlib.suppress(BlockingIOError):
                    said += host.recv(1 << 16, socket.MSG_DONTWAIT)
            yield host


def test_a_message_without_end_is_told_before_it_fills_the_broker(
    deaf: Deaf, far: socket.socket
) -> None:
    """Its parts are short; libzmq keeps them all."""
    parts = (b"\x03" + (10_000).to_bytes(8) + bytes(10_000)) * 200
    far.setblocking(False)
    sent = 0
    while not deaf.told:
        with contextlib.suppress(OSError):  # it is full, or cut off
            for _ in range(8):
                sent += far.send(parts[sent % len(parts) :])
        deaf.turn()
        deaf.hosts.tick(time.monotonic())
    [accused] = deaf.told
    assert isinstance(accused, ev.Accused)
    assert accused.host == FAR
    assert "bytes of a message that does not end" in accused.why
    assert sent < MAX_INVENTORY + AHEAD_BYTES + (16 << 20)


def test_a_message_of_several_frames_accuses_its_host(
    deaf: Deaf, far: socket.socket
) -> None:
    far.sendall(b"\x01\x01x" + b"\x00\x01y")
    while not deaf.told:
        deaf.turn()
    [accused] = deaf.told
    assert isinstance(accused, ev.Accused)
    assert accused.why == "a message of several frames; each has one here"
