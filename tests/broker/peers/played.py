"""A real broker loop in a thread, and peers that speak to it over ipc.

The broker lets go of fronts and supervisors that are silent for some seconds. So that
no test has to be quicker than that, they say what real ones say each second whenever
the test waits for anybody.
"""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import zmq

from broker.loop import Loop
from luafarm.config.settings import Broker, PoolSettings, Settings
from luafarm.keys import curve
from luafarm.names import HostId, Machine, Pool
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Fence,
    Fenced,
    Hello,
    HostLost,
    HostRow,
    HostUp,
    Inventory,
    Load,
    Loaded,
    MachineReport,
    Message,
    Report,
    Role,
    StatusIs,
    StatusWanted,
    TakeInventory,
    Welcome,
)

DEADLINE_S = 120.0
PULSE_S = 1.0

M = TypeVar("M")
Context = zmq.Context[zmq.Socket[bytes]]


class SilentError(AssertionError):
    """Nothing came in time."""


class Pulse:
    """Has all peers of a test speak each second, while it waits."""

    def __init__(self) -> None:
        self.dealers: list[Dealer] = []
        self._due = time.monotonic() + PULSE_S

    def beat(self) -> None:
        """Have them speak, if it is time."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + PULSE_S
            for dealer in self.dealers:
                dealer.live()

    def wait(self, socket: "zmq.Socket[bytes]", timeout_s: float) -> bool:
        """Say whether a message comes in time."""
        deadline = time.monotonic() + timeout_s
        while not socket.poll(round(1000 * min(PULSE_S, timeout_s))):
            if time.monotonic() >= deadline:
                return False
            self.beat()
        return True


class Dealer:
    """A front, supervisor or command."""

    def __init__(
        self,
        context: Context,
        endpoint: str,
        role: Role,
        pulse: Pulse,
        machine: str = "m",
        keys: curve.Keys | None = None,
    ) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        if keys is not None:
            curve.connect(self.socket, keys.own, keys.broker)
        self.socket.connect(endpoint)
        self.hello = Hello(PROTOCOL, role, f"{role.name.lower()}-1", Machine(machine))
        self.rows: dict[HostId, HostRow] = {}  # of a supervisor
        self._pulse = pulse

    def say(self, message: Message) -> None:
        match message:
            case HostUp(host=host):
                self.rows[host] = HostRow(host, 0, 0, b"")
            case HostLost(host=host):
                self.rows.pop(host, None)
            case MachineReport(hosts=rows):
                self.rows = {row.host: row for row in rows}
            case _:
                pass
        self.socket.send(codec.encode(message))

    def live(self) -> None:
        """Say what its role says each second."""
        if self.socket.closed:
            return
        if self.hello.role is Role.FRONT:
            self.say(Report((), ()))
        elif self.rows:
            self.say(MachineReport(tuple(self.rows.values())))

    def greet(self) -> Welcome:
        self.say(self.hello)
        welcome = self.expect(Welcome)
        self._pulse.dealers.append(self)
        return welcome

    def next(self, timeout_s: float = DEADLINE_S) -> Message:
        if not self._pulse.wait(self.socket, timeout_s):
            raise SilentError
        return codec.decode(self.socket.recv())

    def expect(
        self,
        kind: type[M],
        such: Callable[[M], bool] = lambda _: True,
        timeout_s: float = DEADLINE_S,
    ) -> M:
        """Return the next message of this kind; others before it are passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            message = self.next(max(0.0, deadline - time.monotonic()))
            if isinstance(message, kind) and such(message):
                return message

    def close(self) -> None:
        self.socket.close()


class FakeHost:
    """A VM host: binds a ROUTER, greets the broker, keeps its last sender."""

    def __init__(
        self, context: Context, directory: Path, name: str, pulse: Pulse
    ) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        # what a broker has not read yet is kept: a ROUTER drops what is too much
        self.socket.sndhwm = 0
        self.endpoint = f"ipc://{directory}/{name}.sock"
        self.socket.bind(self.endpoint)
        self.up = HostUp(
            HostId(name),
            Pool("p"),
            Machine("m"),
            self.endpoint,
            b"",
            "",
            b"",
            (),
            (),
            1,
            1,
        )
        self._pulse = pulse
        self.peer = b""
        self.inventory = Inventory(())
        self.seen: list[Message] = []

    def say(self, message: Message) -> None:
        self.socket.send_multipart([self.peer, codec.encode(message)])

    def expect(self, kind: type[M], timeout_s: float = DEADLINE_S) -> M:
        """Return the next message of this kind; greetings are answered on the way."""
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            if not self._pulse.wait(self.socket, left_s):
                raise SilentError(f"{kind.__name__}; seen: {self.seen}")
            self.peer, frame = self.socket.recv_multipart()
            message = codec.decode(frame)
            self.seen.append(message)
            if isinstance(message, Hello):
                self.say(Welcome(PROTOCOL, Role.HOST, self.up.host, 0))
            elif isinstance(message, TakeInventory):
                self.say(self.inventory)
            if isinstance(message, kind):
                return message

    def load(self, *, kib: int = 64) -> Load:
        """Take the next order to load and carry it out; return it."""
        load = self.expect(Load)
        self.say(Loaded(load.script, load.epoch, 1000, kib, (), b""))
        return load

    def fence(self) -> Fence:
        fence = self.expect(Fence)
        self.say(Fenced(fence.script, fence.epoch))
        return fence

    def close(self) -> None:
        self.socket.close()


class Bench:
    """A broker that serves `root`, and everything that a test connects to it."""

    def __init__(
        self,
        directory: Path,
        *,
        pool: PoolSettings | None = None,
        broker: Broker | None = None,
        endpoint: str = "",
        keys: curve.Keys | None = None,
        record: Path | None = None,
    ) -> None:
        self.record = record
        self.directory = directory
        self.root = directory / "root"
        self.root.mkdir(exist_ok=True)
        self.settings = Settings(
            broker=broker or Broker(takeover=0.0),
            pool={"p": pool or PoolSettings(root=(str(self.root),))},
        )
        self.endpoint = endpoint or f"ipc://{directory}/broker.sock"
        self.keys = keys
        self.context: Context = zmq.Context()
        self.pulse = Pulse()
        self.opened: list[Dealer | FakeHost] = []
        self.failure: list[BaseException] = []
        self.start()

    def start(self, term: int = 3) -> None:
        self.loop = Loop(self.settings, self.endpoint, term, self.keys, self.record)
        self.loop.open()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.loop.run()
        except BaseException as error:  # noqa: BLE001 - the test is told
            self.failure.append(error)

    def stop(self) -> None:
        self.loop.stop()
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        assert not self.failure, self.failure

    def __enter__(self) -> "Bench":
        """Return itself, running."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the broker and close all peers."""
        self.stop()
        for peer in self.opened:
            peer.close()
        self.context.term()

    def write(self, name: str, text: str) -> bytes:
        """Replace a file at once; return its path."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        other = path.with_name(f".{path.name}.new")
        other.write_text(text)
        other.rename(path)
        return bytes(path)

    def dealer(
        self, role: Role, machine: str = "m", keys: curve.Keys | None = None
    ) -> Dealer:
        dealer = Dealer(self.context, self.endpoint, role, self.pulse, machine, keys)
        self.opened.append(dealer)
        return dealer

    def front(self) -> Dealer:
        front = self.dealer(Role.FRONT)
        front.greet()
        return front

    def supervisor(self, *hosts: FakeHost, machine: str = "m") -> Dealer:
        """Return a supervisor whose hosts the broker knows and may use."""
        supervisor = self.dealer(Role.SUPERVISOR, machine)
        supervisor.greet()
        for host in hosts:
            supervisor.say(host.up)
            host.expect(TakeInventory)
        names = {host.up.host for host in hosts}
        self.wait_for(
            lambda status: names <= {h["host"] for h in status["hosts"] if h["ready"]}
        )
        return supervisor

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the status as soon as it is like this.

        The peer that asks is closed with all others: its descriptors, which libzmq
        frees some time after that, would be there for tests that are to have none.
        """
        command = self.dealer(Role.COMMAND, keys=self.keys)
        deadline = time.monotonic() + DEADLINE_S
        command.greet()
        while True:
            self.pulse.beat()
            command.say(StatusWanted())
            status: dict[str, Any] = json.loads(command.expect(StatusIs).text)
            if condition(status):
                return status
            assert time.monotonic() < deadline, status

    def host(self, name: str = "h1") -> FakeHost:
        host = FakeHost(self.context, self.directory, name, self.pulse)
        self.opened.append(host)
        return host
