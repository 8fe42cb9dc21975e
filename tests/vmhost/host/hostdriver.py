"""A VM host's machine, what it says, and a clock that only the test moves."""

from luafarm.ends import Budget
from luafarm.names import Epoch, HostId, Machine, Script
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    SAFE,
    DoneRow,
    Dones,
    Hello,
    Limits,
    Load,
    Message,
    Outcome,
    Role,
    RunRow,
    ScriptError,
)
from vmhost.host import work
from vmhost.host.held import Held
from vmhost.host.machine import HostMachine
from vmhost.host.owed import KEPT_BYTES
from vmhost.host.replies import PATIENCE_NS
from vmhost.host.work import Close, Work

A, B = Script(b"/a"), Script(b"/b")
FRONT, OTHER, BROKER = b"front", b"other", b"broker"
LIMITS = Limits(1 << 20, 1000, 1000, 1000, 1000, 1 << 20, 10, 1000, fresh=False)
FRESH = Limits(1 << 20, 1000, 1000, 1000, 1000, 1 << 20, 10, 1000, fresh=True)
ERROR = ScriptError("Syntax Error", "no", "", "", 0, "", Budget.NONE)
QUICK_NS, SLOW_NS = PATIENCE_NS // 10, PATIENCE_NS * 2
MAX_BYTES = 1000


def row(request: int, script: bytes = A, epoch: int = 0, flags: int = SAFE) -> RunRow:
    return (request, script, epoch, flags, b"", b"", 0, 0)


def done(request: int, body: bytes = b"", log: bytes = b"") -> DoneRow:
    return (request, Outcome.OK, b"head", body, log, b"", 1)


class Driver:
    """A machine, what it says, and a clock that only the test moves."""

    def __init__(self, max_states: int = 10, max_bytes: int = MAX_BYTES) -> None:
        self.machine = HostMachine(HostId("host"), max_states, max_bytes)
        self.task = self.machine.task
        self.now_ns = 1_000
        for peer, role in (
            (FRONT, Role.FRONT),
            (OTHER, Role.FRONT),
            (BROKER, Role.BROKER),
        ):
            self.hear(peer, Hello(PROTOCOL, role, "x", Machine("m")))
        assert len(self.said()) == 3

    def hear(self, peer: bytes, *messages: Message) -> None:
        for message in messages:
            self.machine.hear(peer, codec.encode(message), self.now_ns)

    def lose(self, peer: bytes) -> None:
        """Lose a peer for good: it is owed more than is kept for any."""
        self.machine.lost(peer, bytes(KEPT_BYTES + 1), self.now_ns)

    def runs(self, *rows: RunRow, peer: bytes = FRONT) -> None:
        self.machine.hear(peer, codec.encode_runs(list(rows)), self.now_ns)

    def said(self) -> list[tuple[bytes, Message]]:
        """Return and forget what is in the outbox."""
        outbox = self.machine.outbox()
        said = [(peer, codec.decode(frame)) for peer, frame in outbox]
        outbox.clear()
        return said

    def told(self, peer: bytes = BROKER) -> list[Message]:
        """Return what one peer was told, and forget the rest."""
        return [message for to, message in self.said() if to == peer]

    def answered(self) -> list[list[tuple[int, int]]]:
        """Return (request, outcome) of the rows of each frame with replies."""
        return [
            [(r[0], r[1]) for r in message.rows]
            for _, message in self.said()
            if isinstance(message, Dones)
        ]

    def load(
        self,
        script: Script,
        epoch: int = 1,
        source: bytes = b"source",
        limits: Limits = LIMITS,
    ) -> Load:
        return Load(script, Epoch(epoch), b"d" + source, source, (), limits)

    def take(self) -> Work | None:
        return self.machine.take(self.now_ns)

    def take_run(self) -> work.Run:
        """Take a run, which must be next."""
        run = self.take()
        assert isinstance(run, work.Run)
        return run

    def make(
        self, script: Script, epoch: int = 1, size: int = 1, limits: Limits = LIMITS
    ) -> Held:
        """Have a state loaded, with all that must be done before."""
        self.hear(BROKER, self.load(script, epoch, limits=limits))
        while not isinstance(load := self.take(), work.Load):
            assert load is not None
            self.do(load)
        self.machine.loaded(load, size, 5, b"")
        return load.held

    def hold(self, script: Script, epoch: int = 1, service_ns: int = 0) -> Held:
        """Have a state loaded, which has run before if it has a service time."""
        held = self.make(script, epoch)
        if service_ns:
            self.runs(row(99, script))
            self.run(service_ns)
        self.rest()
        self.said()
        return held

    def run(
        self,
        service_ns: int = QUICK_NS,
        body: bytes = b"",
        log: bytes = b"",
        size: int = 1,
    ) -> int:
        """Do one run, after which its state has this size, and return its request."""
        run = self.take_run()
        self.finish(run, service_ns, body, log)
        self.machine.kept(run.held, size)
        return run.request

    def finish(
        self,
        run: work.Run,
        service_ns: int = QUICK_NS,
        body: bytes = b"",
        log: bytes = b"",
    ) -> None:
        self.now_ns += service_ns
        reply = done(run.request, body, log)
        self.machine.finish(run, reply, self.now_ns, service_ns)

    def do(self, task: Work) -> None:
        """Do well what a host does without anybody who waits for it."""
        match task:
            case work.Close():
                self.machine.closed(task, b"")
            case work.Collect():
                self.machine.collected(task, task.held.memory_bytes)
            case work.Refill():
                self.machine.refilled(task, 1)
            case _:
                raise AssertionError(task)

    def close(self) -> list[Close]:
        """Close what is to be closed, which is all there is to do; return it."""
        closed: list[Close] = []
        while (task := self.take()) is not None:
            assert isinstance(task, Close)
            self.do(task)
            closed.append(task)
        return closed

    def rest(self) -> None:
        assert self.take() is None
