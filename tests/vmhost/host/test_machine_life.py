"""Random lives of a VM host: whatever comes, each run is answered exactly once.

Runs start in their order and never below a fence; loads and drops are answered; states
stay within their number.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from luafarm.names import Epoch, Machine, RequestId, Script
from luafarm.wire.messages import (
    PROTOCOL,
    SAFE,
    Cancel,
    Dones,
    Drop,
    Fence,
    Fenced,
    Gone,
    Hello,
    Loaded,
    LoadFailed,
    Message,
    Role,
)
from tests.vmhost.host.hostdriver import BROKER, ERROR, FRONT, OTHER, Driver, done, row
from vmhost.host.machine import PATIENCE_NS, CloseWork, LoadWork

MAX_STATES = 2
A, B, C = Script(b"/a"), Script(b"/b"), Script(b"/c")
scripts = st.sampled_from([A, A, A, B, B, C])
fronts = st.sampled_from([0, 1])
epochs = st.integers(0, 6)
least = st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5])
times = st.sampled_from([1, PATIENCE_NS // 4, PATIENCE_NS * 3])


class Life(RuleBasedStateMachine):
    """Two fronts and a broker around one machine."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver(MAX_STATES)
        self.machine = self.driver.machine
        self.fronts = [FRONT, OTHER]  # a new connection is a new peer
        self.connections = 0
        self.requests = 0
        self.waiting: dict[int, bytes] = {}  # request: front, in their order
        self.began = 0
        self.fences: dict[bytes, int] = {}
        self.loads: list[tuple[bytes, int]] = []
        self.drops: list[tuple[bytes, int]] = []

    @initialize(epoch=epochs)
    def start(self, epoch: int) -> None:
        self.load(A, epoch)
        self.load(B, epoch)
        self.rest(1)

    def listen(self) -> None:
        for peer, message in self.driver.said():
            self.hear(peer, message)

    def hear(self, peer: bytes, message: Message) -> None:
        match message:
            case Dones():
                for answer in message.rows:
                    assert self.waiting.pop(answer[0]) == peer, "answered again"
            case Loaded() | LoadFailed():
                self.loads.remove((message.script, message.epoch))
            case Gone():
                if message.reason == "dropped":
                    self.drops.remove((message.script, message.epoch))
            case _:
                assert isinstance(message, Fenced), message

    @rule(front=fronts, script=scripts, epoch=least, count=st.integers(1, 4))
    def run(self, front: int, script: Script, epoch: int, count: int) -> None:
        rows, peer = [], self.fronts[front]
        for _ in range(count):
            self.requests += 1
            self.waiting[self.requests] = peer
            flags = SAFE if self.requests % 3 else 0
            rows.append(row(self.requests, script, epoch, flags))
        self.driver.runs(*rows, peer=peer)

    @rule(script=scripts, epoch=epochs)
    def load(self, script: Script, epoch: int) -> None:
        self.loads.append((script, epoch))
        self.driver.hear(BROKER, self.driver.load(script, epoch))

    @rule(script=scripts, epoch=epochs)
    def drop(self, script: Script, epoch: int) -> None:
        self.drops.append((script, epoch))
        self.driver.hear(BROKER, Drop(script, Epoch(epoch)))

    @rule(script=scripts, epoch=least)
    def fence(self, script: Script, epoch: int) -> None:
        self.fences[script] = max(epoch, self.fences.get(script, 0))
        self.driver.hear(BROKER, Fence(script, Epoch(epoch)))

    @rule(front=fronts, back=st.integers(0, 5))
    def cancel(self, front: int, back: int) -> None:
        request = RequestId(max(0, self.requests - back))
        self.driver.hear(self.fronts[front], Cancel(request))

    @rule(front=fronts)
    def leave_and_return(self, front: int) -> None:
        peer = self.fronts[front]
        self.machine.flush()
        self.listen()
        self.machine.lost(peer)
        self.waiting = {r: f for r, f in self.waiting.items() if f != peer}
        self.connections += 1
        self.fronts[front] = b"%d" % self.connections
        hello = Hello(PROTOCOL, Role.FRONT, "x", Machine("m"))
        self.driver.hear(self.fronts[front], hello)
        assert len(self.driver.said()) == 1

    @rule(
        service_ns=times,
        fate=st.sampled_from(["good", "good", "good", "bad"]),
        meanwhile=st.sampled_from([None, None, 0, 1]),
    )
    def work(self, service_ns: int, fate: str, meanwhile: int | None) -> None:
        self.step(service_ns, fate, meanwhile)

    def step(self, service_ns: int, fate: str, meanwhile: int | None) -> bool:
        """Do one piece of work; False when there was none."""
        work = self.machine.take(self.driver.now_ns)
        self.listen()
        self.driver.now_ns += service_ns
        if isinstance(work, LoadWork):
            if fate == "good":
                old = self.machine.loaded(b"")
                if old is not None:
                    self.machine.expel(old, "replaced")
            else:
                self.machine.failed(ERROR, b"")
        elif isinstance(work, CloseWork):
            assert work.held
            for held in work.held:
                self.machine.expel(held, "closed")
            if work.drop is not None:
                self.drops.remove((work.drop.script, work.drop.epoch))
        elif work is not None:
            self.begun(work[0], work[1], work[2])
            if meanwhile is not None:
                self.leave_and_return(meanwhile)
            self.machine.finish(done(work[0]), self.driver.now_ns, service_ns)
            for held in self.machine.states():
                if fate == "bad" and held.script == work[1]:
                    self.machine.expel(held, "cpu")
        self.listen()
        return work is not None

    def begun(self, request: int, script: bytes, epoch: int) -> None:
        held = self.machine.dialogue.held
        assert held is not None
        assert held.script == script
        assert held.epoch >= max(epoch, self.fences.get(script, 0))
        assert request > self.began, "out of order"
        self.began = request
        assert request in self.waiting

    @rule(service_ns=times)
    def rest(self, service_ns: int) -> None:
        while self.step(service_ns, "good", None):
            pass
        assert self.waiting == {}, "never answered"
        assert self.loads == []
        assert self.drops == []
        assert self.machine.peers.bad_frames == 0

    @invariant()
    def states_stay_within_their_number(self) -> None:
        states = self.machine.states()
        assert len({held.script for held in states}) <= MAX_STATES
        # an old generation beside the new one, never two
        assert len(states) <= 2 * len({held.script for held in states})


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40)
