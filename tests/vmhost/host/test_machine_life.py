"""Random lives of a VM host: whatever comes, each run is answered exactly once.

Runs start in their order and never below a fence; loads and drops are answered; states
stay within their number, and memory is freed when they use too much. Nothing is
run, collected or closed but what is there.
"""

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from luafarm.ends import Closing
from luafarm.names import Epoch, Machine, RequestId, Script
from luafarm.wire import codec
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
    Recall,
    Recalled,
    Role,
    Welcome,
)
from tests.vmhost.host.hostdriver import (
    BROKER,
    ERROR,
    FRESH,
    FRONT,
    LIMITS,
    MAX_BYTES,
    OTHER,
    Driver,
    row,
)
from vmhost.host import work
from vmhost.host.replies import PATIENCE_NS

if TYPE_CHECKING:
    from vmhost.host.held import Held

MAX_STATES = 2
A, B, C = Script(b"/a"), Script(b"/b"), Script(b"/c")
scripts = st.sampled_from([A, A, A, B, B, C])
fronts = st.sampled_from([0, 1])
epochs = st.integers(0, 6)
least = st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5])
sizes = st.sampled_from([1, MAX_BYTES // 4, MAX_BYTES // 2, MAX_BYTES + 1])
times = st.sampled_from([1, PATIENCE_NS // 4, PATIENCE_NS * 3])


class Life(RuleBasedStateMachine):
    """Two fronts and a broker around one machine."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver(MAX_STATES)
        self.machine = self.driver.machine
        self.fronts = [FRONT, OTHER]  # a new connection is a new peer
        self.incarnations = [0, 0]
        self.sent = [0, 0]  # runs of each front, ever
        self.connections = 0
        self.requests = 0
        self.waiting: dict[int, bytes] = {}  # request: front, in their order
        self.began = 0
        self.fences: dict[bytes, int] = {}
        self.loads: list[tuple[bytes, int]] = []
        self.drops: list[tuple[bytes, int]] = []
        self.there: set[Held] = set()  # what has a Lua state
        self.is_weighed = True  # nothing was made since the last run
        for front in range(len(self.fronts)):
            self.another_front(front)

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
                    self.dropped(message.script, message.epoch)
            case _:
                assert isinstance(message, Fenced), message

    def dropped(self, script: bytes, epoch: int) -> None:
        """Take note that the first order that means this generation is done."""
        for drop in self.drops:
            if drop[0] == script and drop[1] >= epoch:
                self.drops.remove(drop)
                return

    @rule(front=fronts, script=scripts, epoch=least, count=st.integers(1, 4))
    def run(self, front: int, script: Script, epoch: int, count: int) -> None:
        rows, peer = [], self.fronts[front]
        self.sent[front] += count
        for _ in range(count):
            self.requests += 1
            self.waiting[self.requests] = peer
            flags = SAFE if self.requests % 3 else 0
            rows.append(row(self.requests, script, epoch, flags))
        self.driver.runs(*rows, peer=peer)

    @rule(script=scripts, epoch=epochs)
    def load(self, script: Script, epoch: int) -> None:
        limits = FRESH if script == B else LIMITS
        self.loads.append((script, epoch))
        self.driver.hear(BROKER, self.driver.load(script, epoch, limits=limits))

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
        self.driver.lose(peer)  # with what it was not told
        self.waiting = {r: f for r, f in self.waiting.items() if f != peer}
        self.another_front(front)

    def another_front(self, front: int) -> None:
        self.connections += 1
        self.incarnations[front] = self.connections
        self.sent[front] = 0
        self.greet(front)

    def greet(self, front: int) -> None:
        self.connections += 1
        self.fronts[front] = b"%d" % self.connections
        incarnation = self.incarnations[front]
        hello = Hello(PROTOCOL, Role.FRONT, "x", Machine("m"), incarnation)
        self.driver.hear(self.fronts[front], hello)
        said = self.driver.said()
        assert (self.fronts[front], Welcome) in [(p, type(m)) for p, m in said]
        for to, message in said:
            if not isinstance(message, Welcome):
                self.hear(to, message)

    @rule(front=fronts, is_told=st.booleans(), data=st.data())
    def come_back(self, front: int, is_told: bool, data: st.DataObject) -> None:
        """Have the same front come over another connection, and ask for its runs."""
        before = self.fronts[front]
        for peer, message in self.driver.said():
            if peer != before:
                self.hear(peer, message)
            elif is_told:  # else it was on its way, and is lost in the network
                frame = codec.encode(message)
                self.machine.lost(peer, frame, self.driver.now_ns)
        mine = [r for r, peer in self.waiting.items() if peer == before]
        for request in mine:
            self.waiting[request] = b"%d" % (self.connections + 1)
        self.greet(front)
        peer = self.fronts[front]
        mine = [r for r in mine if r in self.waiting]  # the others were answered now
        wanted = [r for r in mine if data.draw(st.booleans())]
        self.driver.hear(peer, Recall(tuple([RequestId(one) for one in wanted])))
        for to, message in self.driver.said():
            if not isinstance(message, Recalled):
                self.hear(to, message)
                continue
            assert message.received == (self.sent[front] or -1)
            going = dict(message.going)
            assert going.keys() <= set(mine)
            for request in mine:
                if request not in going:
                    assert request not in self.machine_waits(), "over, and yet to come"
                    self.waiting.pop(request, None)

    def machine_waits(self) -> set[int]:
        """Return what the host has yet to begin or to finish."""
        task = self.machine.task
        return {task.request} if task.run is not None else set()

    @rule(
        service_ns=times,
        fate=st.sampled_from(["good", "good", "good", "bad"]),
        meanwhile=st.sampled_from([None, None, 0, 1]),
        size=sizes,
    )
    def go_on(
        self, service_ns: int, fate: str, meanwhile: int | None, size: int
    ) -> None:
        self.step(service_ns, fate, meanwhile, size)

    @rule(size=sizes)
    def refill(self, size: int) -> None:
        if self.machine.has_spare():
            refill = self.machine.spare()
            assert refill.held not in self.there
            self.there.add(refill.held)
            self.is_weighed = False
            self.machine.refilled(refill, size)

    def step(
        self, service_ns: int, fate: str, meanwhile: int | None, size: int
    ) -> bool:
        """Do one piece of work; False when there was none."""
        machine = self.machine
        task = machine.take(self.driver.now_ns)
        self.listen()
        self.driver.now_ns += service_ns
        match task:
            case None:
                return False
            case work.Load() if fate == "good":
                self.there.add(task.held)
                self.is_weighed = False
                machine.loaded(task, size, 1, b"")
            case work.Load():
                machine.failed(task, ERROR, b"")
            case work.Collect(held=held):
                assert held in self.there
                if fate == "good":
                    machine.collected(task, min(size, held.memory_bytes))
                else:
                    machine.ended(held, Closing.MEMORY, has_hook=False)
            case work.Close(held=held):
                self.there.discard(held)
                machine.closed(task, b"")
            case work.Run():
                self.serve(task, fate, meanwhile, size)
            case _:
                raise AssertionError(task)
        self.listen()
        return True

    def serve(self, run: work.Run, fate: str, meanwhile: int | None, size: int) -> None:
        machine, held = self.machine, run.held
        self.begun(run)
        if meanwhile is not None:
            self.leave_and_return(meanwhile)
        self.driver.finish(run, 1)
        if held not in self.there and fate == "bad":
            machine.not_made(run)
        elif fate == "bad" or held.limits.fresh:
            self.there.add(held)
            machine.ended(held, Closing.CPU, has_hook=False)
        else:
            machine.kept(held, size)
            self.is_weighed = True

    def begun(self, run: work.Run) -> None:
        held, (request, script, epoch, *_) = run.held, run.row
        assert held.script == script
        assert held.epoch >= max(epoch, self.fences.get(script, 0))
        assert request > self.began, "out of order"
        assert held in self.there or held.limits.fresh
        self.began = request
        assert request in self.waiting

    @rule(service_ns=times)
    def rest(self, service_ns: int) -> None:
        while self.step(service_ns, "good", None, 1):
            pass
        assert self.waiting == {}, "never answered"
        assert self.loads == []
        assert self.drops == []
        assert self.machine.peers.bad_frames == 0
        assert not self.is_weighed or self.machine.memory.used_bytes <= MAX_BYTES
        # an old generation beside the new one, never two
        scripts = [held.script for held in self.there]
        assert all(scripts.count(script) <= 2 for script in scripts)

    @invariant()
    def states_stay_within_their_number(self) -> None:
        known = {held for held in self.there if held.has_state}
        assert self.machine.memory.states == len(known)
        used = sum(held.memory_bytes for held in known)
        assert self.machine.memory.used_bytes == used


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40)
