"""A VM host in the hands of somebody else: it says whatever a crime wants it to.

It is confined like any other, and honest until a request names a script after a crime.
It speaks ZMTP by itself, so that it can break that as well, and ignores TERM.
"""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from luafarm.ends import Closing
from luafarm.names import Epoch, Script
from luafarm.wire import codec, zmtp
from luafarm.wire.messages import (
    PROTOCOL,
    Drop,
    Fence,
    Fenced,
    Gone,
    Hello,
    Inventory,
    Load,
    Loaded,
    Message,
    Outcome,
    Role,
    Runs,
    StateRow,
    TakeInventory,
    Welcome,
)
from luafarm.wire.zmtp import Session
from vmhost.host.config import HostConfig
from vmhost.scoreboard import HostSlot

HEAD = b"Status: 200 OK\r\nContent-Type: text/plain"
LEAVE_BYTES = 4711
"""The length of the body of a request at which it ends."""

FLOOD_S = 5.0
"""No flood lasts longer."""

WHILE_S = 1.5
"""What is endured lasts so long."""

_ORPHAN_S = 300.0
_READ_BYTES = 1 << 16


class Peer:
    """One connection that a front or the broker has made."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.session = Session(b"ROUTER", b"DEALER")
        self.role: Role | None = None


class Run:
    """The request that asks for a crime."""

    def __init__(self, peer: Peer, request: int, script: Script, body: int) -> None:
        self.front = peer
        self.id = request
        self.script = script
        self.body_bytes = body


Deed = Callable[["Captive", Run], None]


class Captive:
    """The process."""

    def __init__(
        self,
        config: HostConfig,
        listen_fd: int,
        slot: HostSlot,
        report_fd: int,
        crimes: dict[str, Deed],
        held: tuple[StateRow, ...] = (),
    ) -> None:
        """held: states that it says it holds when it is asked first."""
        self.slot = slot
        self.report_fd = report_fd
        self.confirms_fences = True
        self.heard: list[Message] = []
        self.loaded: dict[Script, Epoch] = {}
        self._host = config.host
        self._held = held
        self._crimes = crimes
        self._listener = socket.socket(fileno=listen_fd)
        self._peers: dict[int, Peer] = {}

    # ---- honest --------------------------------------------------------------------

    def live(self) -> NoReturn:
        """Answer like an honest host, until a crime is asked for, and after it."""
        end = time.monotonic() + _ORPHAN_S
        while time.monotonic() < end:
            self.slot.beat(time.monotonic_ns())
            self.attend(100)
        os._exit(0)

    def attend(self, wait_ms: int) -> None:
        """Take and answer what comes within a time."""
        poller = select.poll()
        for fd in (self._listener.fileno(), *self._peers):
            poller.register(fd, select.POLLIN)
        for fd, _ in poller.poll(wait_ms):
            if fd == self._listener.fileno():
                connection, _ = self._listener.accept()
                peer = Peer(connection.detach())
                self._peers[peer.fd] = peer
                self.put(peer, peer.session.opening())
            elif fd in self._peers:
                self._read(self._peers[fd])

    def _read(self, peer: Peer) -> None:
        data = os.read(peer.fd, _READ_BYTES)
        if not data:
            self.hang_up(peer)
            return
        for frame in peer.session.receive(data):
            self._heard(peer, codec.decode(frame))
        answers, peer.session.answers = peer.session.answers, b""
        if answers:
            self.put(peer, answers)

    def _heard(self, peer: Peer, message: Message) -> None:
        self.heard.append(message)
        match message:
            case Hello(_, role):
                peer.role = role
                self.tell(peer, Welcome(PROTOCOL, Role.HOST, self._host, 0))
            case TakeInventory():
                self.tell(peer, Inventory(self._held))
            case Load(script, epoch):
                self.loaded[script] = epoch
                self.tell(peer, Loaded(script, epoch, 100, 10, (), b""))
            case Drop(script, epoch):
                self.tell(peer, Gone(script, epoch, Closing.DROPPED))
            case Fence(script, epoch):
                if self.confirms_fences:
                    self.tell(peer, Fenced(script, epoch))
            case Runs(rows):
                for row in rows:
                    self._run(Run(peer, row[0], Script(row[1]), row[6]))
            case _:
                pass

    def _run(self, run: Run) -> None:
        name = os.fsdecode(run.script).rpartition("/")[2].removesuffix(".lua")
        if run.body_bytes == LEAVE_BYTES:
            os._exit(0)
        crime = self._crimes.get(name)
        if crime is None:
            self.say(run.front, done(run.id, b"honest"))
        else:
            crime(self, run)

    # ---- for crimes ----------------------------------------------------------------

    @property
    def broker(self) -> Peer:
        """The broker's connection."""
        return next(p for p in self._peers.values() if p.role is Role.BROKER)

    def put(self, peer: Peer, data: bytes, seconds: float = FLOOD_S) -> bool:
        """Write bytes as they are; False: not taken in time, or the peer is gone."""
        end = time.monotonic() + seconds
        poller = select.poll()
        poller.register(peer.fd, select.POLLOUT)
        view = memoryview(data)
        while view:
            left_s = end - time.monotonic()
            if left_s <= 0 or not poller.poll(min(100.0, left_s * 1000)):
                if left_s <= 0:
                    return False
                continue
            try:
                # never more than a socket takes at once: the descriptor blocks
                view = view[os.write(peer.fd, view[:4096]) :]
            except OSError:
                return False
        return True

    def say(self, peer: Peer, frame: bytes, flags: int = 0) -> bool:
        """Send a frame."""
        return self.put(peer, framed(frame, flags))

    def tell(self, peer: Peer, message: Message) -> bool:
        """Send a message."""
        return self.say(peer, codec.encode(message))

    def flood(
        self, peer: Peer, pieces: Iterator[bytes] | bytes, seconds: float = FLOOD_S
    ) -> None:
        """Write bytes again and again, until killed or for a time; read nothing."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            data = pieces if isinstance(pieces, bytes) else next(pieces)
            if not self.put(peer, data, end - time.monotonic()):
                return
            self.slot.beat(time.monotonic_ns())

    def talk_on(self, peer: Peer, data: bytes) -> None:
        """Write bytes again and again, and read what comes, honest otherwise."""
        end = time.monotonic() + FLOOD_S
        while time.monotonic() < end and self.put(peer, data, 1.0):
            self.slot.beat(time.monotonic_ns())
            if peer.fd not in self._peers:
                return
            self.attend(0)

    def wait(self, seconds: float, *, beats: bool = True) -> None:
        """Do nothing, but look alive if `beats`."""
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            if beats:
                self.slot.beat(time.monotonic_ns())
            select.poll().poll(min(100.0, left_s * 1000))

    def await_message(self, kind: type[Message]) -> Message | None:
        """Return the next message of a kind, honest meanwhile; None: none comes."""
        self.heard.clear()
        end = time.monotonic() + FLOOD_S
        while time.monotonic() < end:
            for message in self.heard:
                if isinstance(message, kind):
                    return message
            self.heard.clear()
            self.slot.beat(time.monotonic_ns())
            self.attend(100)
        return None

    def hang_up(self, peer: Peer) -> None:
        """End a connection."""
        del self._peers[peer.fd]
        os.close(peer.fd)


def framed(frame: bytes, flags: int = 0) -> bytes:
    """Return a frame as it travels."""
    head = zmtp.head(len(frame))
    return bytes((head[0] | flags,)) + head[1:] + frame


def command(name: bytes, body: bytes) -> bytes:
    """Return a ZMTP command as it travels."""
    return bytes((4, 1 + len(name) + len(body), len(name))) + name + body


def done(
    request: int,
    body: bytes = b"x",
    *,
    outcome: int = int(Outcome.OK),
    head: bytes = HEAD,
    log: bytes = b"",
    error: bytes = b"",
    service_us: int = 10,
) -> bytes:
    """Return the end of a run."""
    row = (request, outcome, head, body, log, error, service_us)
    return codec.encode_dones([row])
