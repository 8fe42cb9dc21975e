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
from vmhost.host.machine import PATIENCE_NS, HostMachine, LoadWork

A, B = Script(b"/a"), Script(b"/b")
FRONT, OTHER, BROKER = b"front", b"other", b"broker"
LIMITS = Limits(1 << 20, 1000, 1000, 1000, 1000, 1 << 20, 10, 1000, fresh=False)
ERROR = ScriptError("Syntax Error", "no", "", "", 0, "", Budget.NONE)
QUICK_NS, SLOW_NS = PATIENCE_NS // 10, PATIENCE_NS * 2


def row(request: int, script: bytes = A, epoch: int = 0, flags: int = SAFE) -> RunRow:
    return (request, script, epoch, flags, b"", b"", 0, 0)


def done(request: int, body: bytes = b"", log: bytes = b"") -> DoneRow:
    return (request, Outcome.OK, b"head", body, log, b"", 1)


class Driver:
    """A machine, what it says, and a clock that only the test moves."""

    def __init__(self, max_states: int = 10) -> None:
        self.machine = HostMachine(HostId("host"), max_states)
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

    def runs(self, *rows: RunRow, peer: bytes = FRONT) -> None:
        self.machine.hear(peer, codec.encode_runs(list(rows)), self.now_ns)

    def said(self) -> list[tuple[bytes, Message]]:
        """Return and forget what is in the outbox."""
        outbox = self.machine.peers.outbox
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

    def load(self, script: Script, epoch: int = 1, source: bytes = b"source") -> Load:
        return Load(script, Epoch(epoch), b"d" + source, source, (), LIMITS)

    def hold(self, script: Script, epoch: int = 1, service_ns: int = 0) -> None:
        """Have a state loaded, which has run before if it has a service time."""
        self.hear(BROKER, self.load(script, epoch))
        assert isinstance(self.machine.take(self.now_ns), LoadWork)
        self.machine.loaded(b"")
        if service_ns:
            self.runs(row(99, script))
            self.run(service_ns)
        assert self.machine.take(self.now_ns) is None
        self.said()

    def run(
        self, service_ns: int = QUICK_NS, body: bytes = b"", log: bytes = b""
    ) -> int:
        """Do one run and return its request."""
        work = self.machine.take(self.now_ns)
        assert isinstance(work, tuple)
        self.now_ns += service_ns
        self.machine.finish(done(work[0], body, log), self.now_ns, service_ns)
        return work[0]

    def rest(self) -> None:
        assert self.machine.take(self.now_ns) is None
