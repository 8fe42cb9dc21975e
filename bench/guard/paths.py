"""The main paths of a request in one process: no web server, clock or other process.

Each path does the same work at every turn, a batch of requests, so that the
instructions of one request can be counted to the digit. Clocks are replaced, as the
paths decide by time and a counted process is fifty times slower.
"""

import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

import fcgi.fastcgi.peer
import fcgi.hosts.context
import fcgi.service
import vmhost.host.loop
import vmhost.host.mail
import vmhost.host.states
from bench.question import parameters, question
from fcgi.connections import Connections
from fcgi.fastcgi.listener import FcgiListener
from fcgi.service import Service
from fcgi.terms import Terms
from luafarm.config.settings import Settings
from luafarm.names import Epoch, HostId, Machine, Pool, Script
from luafarm.wire import codec, zmtp
from luafarm.wire.connection import Connection
from luafarm.wire.messages import (
    PROTOCOL,
    SAFE,
    Blob,
    Dones,
    Hello,
    HostUp,
    Limits,
    Load,
    Need,
    Outcome,
    Place,
    Role,
    Runs,
    Snapshot,
    Source,
    Verdict,
    Welcome,
)
from vmhost import scoreboard
from vmhost.host.config import HostConfig
from vmhost.host.link import Link, Sent
from vmhost.host.loop import Host
from vmhost.scoreboard import HostSlot

if TYPE_CHECKING:
    import asyncio

BATCH: Final = 16
"""Requests of a turn: about what a busy front sends a VM host at a time."""

HOST: Final = HostId("host")
MACHINE: Final = Machine("machine")
SCRIPT: Final = Script(b"/srv/www/hello.lua")
HEAD: Final = b"Status: 200 OK\r\nContent-Type: text/html"
BODY: Final = b"Hello World"
SCRIPTS: Final = Path(__file__).resolve().parents[1] / "scripts" / "luafarm"
DAY_MS: Final = 86_400_000
LIMITS: Final = Limits(
    1 << 25, DAY_MS, DAY_MS, DAY_MS, DAY_MS, 1 << 25, 100, 1 << 15, fresh=False
)
FRONT: Final = b"front"
BROKER: Final = b"broker"

ENVIRONMENT: Final = {
    "QUERY_STRING": "a=1&b=2",
    "REQUEST_METHOD": "GET",
    "CONTENT_TYPE": "",
    "CONTENT_LENGTH": "",
    "SCRIPT_NAME": "/hello.lua",
    "REQUEST_URI": "/hello.lua?a=1&b=2",
    "DOCUMENT_URI": "/hello.lua",
    "DOCUMENT_ROOT": "/srv/www",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REQUEST_SCHEME": "http",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SERVER_SOFTWARE": "nginx/1.22.1",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "50000",
    "SERVER_ADDR": "127.0.0.1",
    "SERVER_PORT": "80",
    "SERVER_NAME": "localhost",
    "REDIRECT_STATUS": "200",
    "SCRIPT_FILENAME": SCRIPT.decode(),
    "HTTP_HOST": "localhost",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0",
    "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate",
    "HTTP_CONNECTION": "keep-alive",
    "HTTP_COOKIE": "session=0123456789abcdef0123456789abcdef",
}
"""What nginx sends for a browser's GET with its fastcgi_params."""


class RequestPath(Protocol):
    """One path of a request."""

    def run(self, turns: int) -> list[int]:
        """Do so many batches, once; return the CPU time of each in nanoseconds.

        Raises AssertionError when a reply is missing.
        """
        ...


class Clock:
    """A clock that moves by what a hello takes at each look."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def monotonic_ns(self) -> int:
        """Return nanoseconds."""
        self.now_ns += 5_000
        return self.now_ns

    def monotonic(self) -> float:
        """Return seconds."""
        return self.monotonic_ns() / 1e9

    thread_time_ns = monotonic_ns


class Timer:
    """A timer that never fires."""

    def cancel(self) -> None:
        """Forget it."""


class Loop:
    """An event loop without time, that looks at a descriptor when it is told to."""

    def __init__(self) -> None:
        self._soon: deque[Callable[[], object]] = deque()
        self.readers: list[Callable[[], object]] = []

    def create_task(self, steps: Coroutine[None, None, None]) -> None:
        """Run it: it waits for nothing."""
        with contextlib.suppress(StopIteration):
            steps.send(None)

    def add_reader(self, _fd: int, callback: Callable[[], object]) -> None:
        """Keep whom to tell that something has come in."""
        self.readers.append(callback)

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call it at the next `run`."""
        self._soon.append(callback)

    def call_later(self, _delay: float, *_: object) -> Timer:
        """Do nothing: it is never later here."""
        return Timer()

    def run(self) -> None:
        """Call what is due."""
        while self._soon:
            self._soon.popleft()()


class Wire:
    """In the place of `fcgi.hosts.zmqlink.ZmqLink`, to the broker: told what comes."""

    made: Final[list["Wire"]] = []

    def __init__(
        self,
        loop: object,
        context: object,
        endpoint: str,
        whom: str,
        complaints: object,
        on_frame: Callable[[bytes], None],
        *_: object,
    ) -> None:
        self.on_frame = on_frame
        Wire.made.append(self)

    def send(self, _frame: bytes) -> bool:
        """Send nothing."""
        return True


class HostEnd:
    """The other end of the front's connection to a VM host, on a real socket."""

    def __init__(self) -> None:
        name = f"\0luafarm-guard-{os.getpid()}"  # without a file: unix(7)
        self.endpoint = f"ipc://{name}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(name)
        self._listener.listen()

    def accept(self) -> Connection:
        """Return the connection that the front has made."""
        connection = self._listener.accept()[0]
        connection.setblocking(False)
        link = Connection(connection.detach(), zmtp.ROUTER, zmtp.DEALER)
        link.open()
        link.read()
        return link


class FrontPath:
    """nginx's bytes to a frame of runs, and a frame of replies to nginx's bytes."""

    def __init__(self) -> None:
        clock = Clock()
        replace(fcgi.fastcgi.peer, time=clock)
        replace(fcgi.service, time=clock)
        replace(fcgi.hosts.context, ZmqLink=Wire)
        self._loop = Loop()
        loop = cast("asyncio.AbstractEventLoop", self._loop)
        settings = Settings()
        service = Service(loop, settings, "front", MACHINE, "broker", None)
        connections = Connections(loop, BATCH, BATCH, service.gauges)
        terms = Terms(settings)
        listener = FcgiListener(settings.front, terms, service, connections)
        broker = Wire.made[0]
        broker.on_frame(codec.encode(Welcome(PROTOCOL, Role.BROKER, "broker", 1)))
        end = HostEnd()
        up = HostUp(HOST, Pool("p"), MACHINE, end.endpoint, b"", "", b"", (), (), 1, 1)
        broker.on_frame(codec.encode(Snapshot((up,), ())))
        self._host = end.accept()
        self._attend, self._hear = self._loop.readers
        self._hear()
        self._host.read()  # Hello
        self._host.write(codec.encode(Welcome(PROTOCOL, Role.HOST, HOST, 0)))
        self._hear()
        place = Place(
            asked=b"",
            script=SCRIPT,
            pool=Pool("p"),
            verdict=Verdict.READY,
            epoch=Epoch(1),
            hosts=(HOST,),
            wall_ms=DAY_MS,
            reply_bytes=LIMITS.reply_bytes,
            log_bytes=LIMITS.log_bytes,
            retry_after_s=0,
            error=None,
        )
        broker.on_frame(codec.encode(place))
        self._request = question(ENVIRONMENT)
        self._clients = [self._connect(listener) for _ in range(BATCH)]

    def run(self, turns: int) -> list[int]:
        """Serve batches, each request on a connection of its own."""
        times = [time.thread_time_ns()]
        for _ in range(turns):
            self._turn()
            times.append(time.thread_time_ns())
        return differences(times)

    def _turn(self) -> None:
        for client in self._clients:
            client.send(self._request)
        self._attend()
        answered = 0
        while answered < BATCH:  # the window lets so many go at a time
            self._loop.run()
            [frame] = self._host.read()
            runs = codec.decode(frame)
            assert isinstance(runs, Runs)
            rows = runs.rows
            dones = [(row[0], 0, HEAD, BODY, b"", b"", 10) for row in rows]
            self._host.write(codec.encode_dones(dones))
            self._hear()
            answered += len(rows)
        for client in self._clients:
            if BODY not in client.recv(4096):
                raise AssertionError("a reply is missing")

    @staticmethod
    def _connect(listener: FcgiListener) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        listener.take_in(theirs)
        return ours


class Inbox:
    """In the place of `vmhost.host.link.Link`: frames in a row, then the end."""

    def __init__(self) -> None:
        self.is_stopped = False
        self.waiting: deque[tuple[bytes, bytes]] = deque()
        self.sent: list[bytes] = []
        self.times: list[int] = []  # at which a front's frames were taken, and the end

    def receive(self, _wait_ms: int) -> tuple[bytes, bytes, str] | None:
        """Return the next frame; stop the host at the end."""
        if not self.waiting:
            self.times.append(time.thread_time_ns())
            self.is_stopped = True
            return None
        peer, frame = self.waiting.popleft()
        if peer == FRONT:
            self.times.append(time.thread_time_ns())
        return peer, frame, ""

    def has_input(self) -> bool:
        """Return False: the host does one frame's work before it hears the next."""
        return False

    def send(self, peer: bytes, frame: bytes) -> Sent:
        """Keep it; there is no file that a script needs."""
        self.sent.append(frame)
        if peer == BROKER:
            said = codec.decode(frame)
            if isinstance(said, Need):
                blob = Blob(said.kind, said.name, b"", b"", b"")
                source = codec.encode(Source(said.ticket, blob, "no file"))
                self.waiting.appendleft((BROKER, source))
        return Sent.YES

    def close(self) -> None:
        """Close nothing."""


class HostPath:
    """A frame of runs to a frame of replies, through a real Lua state."""

    def __init__(self, script: str) -> None:
        clock = Clock()
        for module in (vmhost.host.loop, vmhost.host.states, vmhost.host.mail):
            replace(module, time=clock)
        self._source = (SCRIPTS / f"{script}.lua").read_bytes()

    def run(self, turns: int) -> list[int]:
        """Be a VM host for so many batches."""
        config = HostConfig(
            host=HOST,
            pool=Pool("p"),
            machine=MACHINE,
            endpoint="",
            dialect="luajit21",
            jit=False,
            trusted=False,
            cpath="",
            max_states=10,
            max_bytes=1 << 30,
        )
        inbox = Inbox()
        load = Load(SCRIPT, Epoch(1), b"digest", self._source, (), LIMITS)
        for peer, message in (
            (FRONT, Hello(PROTOCOL, Role.FRONT, "x", MACHINE)),
            (BROKER, Hello(PROTOCOL, Role.BROKER, "x", MACHINE)),
            (BROKER, load),
        ):
            inbox.waiting.append((peer, codec.encode(message)))
        inbox.waiting += [(FRONT, runs_frame())] * turns
        page = scoreboard.create()
        Host(config, cast("Link", inbox), HostSlot(page)).live()
        os.close(page)
        answered = 0
        for frame in inbox.sent:
            said = codec.decode(frame)
            if isinstance(said, Dones):
                answered += sum(row[1] == Outcome.OK for row in said.rows)
        if answered != turns * BATCH:
            raise AssertionError(f"{answered} good replies of {turns * BATCH}")
        return differences(inbox.times[1:])  # without the front's Hello


def runs_frame() -> bytes:
    """Return BATCH requests as a front sends them."""
    pairs = parameters(ENVIRONMENT)
    numbers = range(1, BATCH + 1)
    return codec.encode_runs(
        [(number, SCRIPT, 1, SAFE, pairs, b"", 0, 0) for number in numbers]
    )


def differences(times: list[int]) -> list[int]:
    """Return how long it was from each to the next."""
    return [after - before for before, after in pairwise(times)]


def replace(module: object, **names: object) -> None:
    """Put something else in the place of what a module has under these names."""
    for name, value in names.items():
        setattr(module, name, value)


PATHS: Final[dict[str, Callable[[], RequestPath]]] = {
    "front, hello": FrontPath,
    "host, hello": lambda: HostPath("hello"),
    "host, dump": lambda: HostPath("dump"),
    "host, bench1": lambda: HostPath("bench1"),
}
