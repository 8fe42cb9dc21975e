"""A front and its VM hosts over connections that are cut at any moment.

The machines of both sides, without a socket: whatever is lost on the way, each request
is answered once, by one run, and what must not run twice does not.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from fcgi.dispatch.actions import Action, CancelRun, Refuse, Send
from fcgi.dispatch.conduct import Conduct, check_part
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.tables import Pending
from luafarm.names import Epoch, HostId, Machine, Pool, RequestId
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    SAFE,
    Cancel,
    Dones,
    Hello,
    Outcome,
    Part,
    Place,
    Recall,
    Recalled,
    Role,
    RunRow,
    Verdict,
    Welcome,
)
from tests.vmhost.host.hostdriver import BROKER, FRONT, OTHER, A, Driver
from vmhost.host import work
from vmhost.host.owed import KEPT_NS

NAMES = HostId("h0"), HostId("h1")
hosts = st.sampled_from(NAMES)
few = st.integers(0, 2)


@dataclass
class Asked:
    """A request, what ran for it, and what its client has got."""

    is_safe: bool
    runs: list[bytes] = field(default_factory=list)
    got: list[bytes] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


class Host:
    """A VM host with a script, and the connection to it."""

    def __init__(self) -> None:
        self.driver = Driver()
        self.driver.hold(A)
        self.conduct = Conduct()
        self.connections = 0
        self.is_linked = False
        self.there: deque[bytes] = deque()  # frames on their way to it
        self.here: deque[bytes] = deque()  # and back
        self.run: work.Run | None = None
        self.pieces = 0

    @property
    def peer(self) -> bytes:
        return b"connection %d" % self.connections

    def say(self) -> None:
        """Send what it has to say, if there is anybody to hear it."""
        machine = self.driver.machine
        outbox = machine.outbox()
        for peer, frame in outbox:
            if peer == self.peer and self.is_linked:
                self.here.append(frame)
            elif peer not in {FRONT, OTHER, BROKER}:
                machine.lost(peer, frame, self.driver.now_ns)
        outbox.clear()


class Life(RuleBasedStateMachine):
    """One front, two hosts."""

    def __init__(self) -> None:
        super().__init__()
        ids = count(1)
        self.now = 1.0
        self.dispatch = Dispatch(
            lambda: next(ids),
            number=0,
            queue=1000,
            queue_per_script=1000,
            queue_timeout_s=1000.0,
            queue_target_s=1000.0,
            remembered=10,
        )
        self.hosts = {name: Host() for name in NAMES}
        self.batches: dict[HostId, list[RunRow]] = {}
        self.asked: list[Asked] = []
        self.of: dict[int, Asked] = {}  # by the number of an attempt
        self.whole: dict[bytes, int] = {}  # pieces of the replies that ended
        for name in NAMES:
            self.dispatch.host_up(name)
            self.connect(name)
            self.arrive(name)
            self.hear(name)
        place = Place(
            b"", A, Pool("p"), Verdict.READY, Epoch(1), NAMES, 0, 1 << 20, 0, 0, None
        )
        self.act(self.dispatch.place(place, self.now))

    # ---- the front -----------------------------------------------------------------

    def act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(pending=pending):
                    assert pending.host is not None
                    asked = self.asker(pending)
                    asked.got.clear()
                    self.of[pending.id] = asked
                    self.batches.setdefault(pending.host.name, []).append(pending.row())
                case Refuse(pending=pending):
                    self.asker(pending).answers.append("refused")
                case CancelRun(host=name, request=request):
                    self.flush()
                    if self.hosts[name].is_linked:
                        self.hosts[name].there.append(codec.encode(Cancel(request)))
                case _:
                    pass
        self.dispatch.check()

    def asker(self, pending: Pending) -> Asked:
        assert isinstance(pending.owner, Asked)
        return pending.owner

    def flush(self) -> None:
        batches, self.batches = self.batches, {}
        for name, rows in batches.items():
            if self.hosts[name].is_linked:
                self.hosts[name].there.append(codec.encode_runs(rows))
            else:
                self.away(name, rows)

    def away(self, name: HostId, rows: list[RunRow]) -> None:
        unsent = tuple([RequestId(row[0]) for row in rows])
        self.act(self.dispatch.losses.away(name, unsent, self.now))

    @rule(is_safe=st.booleans())
    def ask(self, is_safe: bool) -> None:
        self.now += 0.001
        asked = Asked(is_safe)
        self.asked.append(asked)
        flags = SAFE if is_safe else 0
        pending = Pending(asked, A, flags, b"", b"", 0, 0, self.now)
        self.act(self.dispatch.arrive(pending, self.now))

    @rule(name=hosts)
    def hear(self, name: HostId) -> None:
        """Take the next frame of a host."""
        host, losses = self.hosts[name], self.dispatch.losses
        self.flush()
        if not host.here:
            return
        match message := codec.decode(host.here.popleft()):
            case Welcome():
                host.conduct.welcome(message)
                wanted = losses.wanted(name)
                if wanted is None:
                    self.act(self.dispatch.host_ready(name, self.now))
                else:
                    host.conduct.ask()
                    host.there.append(codec.encode(Recall(wanted)))
            case Recalled(received):
                going = host.conduct.recalled(message, losses.sent(name))
                self.act(losses.recalled(name, received, going, self.now))
            case Part(request, head, chunk, log):
                pending = self.dispatch.run(name, request)
                if pending is None:
                    assert losses.is_late(name, request), "accused"
                    return
                check_part(pending, head, chunk, log)
                self.asker(pending).got.append(chunk)
            case Dones(rows):
                for row in rows:
                    self.done(name, row[0], row[1], row[2], row[3])
                self.act(self.dispatch.fill(name, self.now))
            case _:
                raise AssertionError(message)

    def done(
        self, name: HostId, number: int, outcome: int, head: bytes, body: bytes
    ) -> None:
        request, is_ok = RequestId(number), outcome == Outcome.OK
        pending = self.dispatch.finish(name, request, 10, self.now, ok=is_ok)
        if pending is None:
            assert self.dispatch.losses.is_late(name, request), "accused"
        elif not pending.cancelled:
            asked = self.asker(pending)
            if not pending.begun:
                asked.got.append(body)
                is_ok = is_ok and head == b"head"
            elif head != b"%d" % pending.part_bytes:
                is_ok = False
            asked.answers.append("whole" if is_ok else "cut")
            if is_ok:
                assert asked.got == asked.got[:1] * self.whole[asked.got[0]], "mixed"

    # ---- connections ---------------------------------------------------------------

    @precondition(lambda self: not all(h.is_linked for h in self.hosts.values()))
    @rule(name=hosts)
    def connect(self, name: HostId) -> None:
        host = self.hosts[name]
        if not host.is_linked:
            host.is_linked = True
            host.connections += 1
            host.conduct.greet()
            hello = Hello(PROTOCOL, Role.FRONT, "f", Machine("m"), 7)
            host.there.append(codec.encode(hello))

    @rule(
        name=hosts,
        arrives=few,
        heard=few,
        works=few,
        waits=st.booleans(),
        is_back=st.booleans(),
    )
    def cut(
        self,
        name: HostId,
        arrives: int,
        heard: int,
        works: int,
        waits: bool,
        is_back: bool,
    ) -> None:
        """Cut a connection, and lose what is on its way but so many frames.

        What follows often: the host goes on, gives the front up, and is greeted again.
        """
        host = self.hosts[name]
        self.flush()
        if not host.is_linked:
            return
        for _ in range(arrives):
            self.arrive(name)
        for _ in range(heard):
            self.hear(name)
        host.there.clear()
        host.here.clear()
        host.is_linked = False
        self.away(name, self.batches.pop(name, []))
        for _ in range(works):
            self.go_on(name, is_part=False)
        if waits:
            self.wait(name)
            self.go_on(name, is_part=False)
        if is_back:
            self.connect(name)
            self.arrive(name)

    # ---- hosts ---------------------------------------------------------------------

    @rule(name=hosts)
    def arrive(self, name: HostId) -> None:
        """Let a host take the next frame."""
        host = self.hosts[name]
        self.flush()
        if host.there:
            frame = host.there.popleft()
            host.driver.machine.hear(host.peer, frame, host.driver.now_ns)
            host.say()

    @rule(name=hosts)
    def wait(self, name: HostId) -> None:
        """Let a front that is away be given up."""
        self.hosts[name].driver.now_ns += KEPT_NS + 1

    @rule(name=hosts, is_part=st.booleans())
    def go_on(self, name: HostId, is_part: bool) -> None:
        """Begin a run, send a part of its reply, or end it."""
        host = self.hosts[name]
        machine, run = host.driver.machine, host.run
        host.driver.now_ns += 1000
        if run is None:
            task = machine.take(host.driver.now_ns)
            if isinstance(task, work.Run):
                host.run, host.pieces = task, 0
                self.of[task.request].runs.append(b"%d;" % task.request)
        elif is_part and not machine.task.is_cancelled:
            head = b"" if machine.task.has_begun else b"head"
            machine.task.part(head, b"%d;" % run.request, b"")
            host.pieces += 1
        else:
            self.end(host, run)
        host.say()

    def end(self, host: Host, run: work.Run) -> None:
        machine, reply = host.driver.machine, b"%d;" % run.request
        outcome, head, body = Outcome.OK, b"head", reply
        if machine.task.is_cancelled:
            outcome, head, body = Outcome.CANCELLED, b"", b""
        elif machine.task.has_begun:
            head = b""
        self.whole[reply] = host.pieces + 1
        row = (run.request, outcome, head, body, b"", b"", 1)
        machine.finish(run, row, host.driver.now_ns, 1000)
        machine.kept(run.held, 1)
        host.run = None

    def teardown(self) -> None:
        for _ in range(20 * len(self.asked) + 100):
            for name in NAMES:
                self.connect(name)
                self.arrive(name)
                self.hear(name)
                self.go_on(name, is_part=False)
        for asked in self.asked:
            assert len(asked.answers) == 1, asked
            assert len(asked.runs) <= 1 + asked.is_safe, asked
        assert not self.dispatch.outstanding


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=80)
