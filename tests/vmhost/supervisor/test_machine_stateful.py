"""Random lives of a supervisor.

Whatever dies, every host is announced and told lost once, no seat has two, and as soon
as the world behaves all seats serve again.
"""

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from luafarm.gaps import GAP_S
from luafarm.names import HostId, Pool, RequestId, Script
from tests.vmhost.supervisor.test_machine import PATIENCE, pool
from vmhost.reading import Reading, Running
from vmhost.supervisor import events
from vmhost.supervisor.actions import (
    Action,
    Announce,
    Drain,
    End,
    Fork,
    KillHost,
    KillZygote,
    Say,
    StartZygote,
    TellLost,
)
from vmhost.supervisor.departure import LEAVE_S
from vmhost.supervisor.events import Event
from vmhost.supervisor.machine import TICK_S, Supervisor

codes = st.sampled_from([0, 1, 70, -6, -9, -11, -14, -27, -31])
PLANS = (pool("a", 2), pool("b", 1, host_requests=50))


class World(RuleBasedStateMachine):
    """The processes around the machine: they die, hang and lie as they please."""

    def __init__(self) -> None:
        super().__init__()
        self.names = 0
        self.machine = Supervisor(PLANS, PATIENCE, self.name)
        self.now = 50.0
        self.looked_at = inf
        self.woke_at: dict[HostId, float] = {}  # gaps end, for those that live then
        self.zygote = "none"  # starting, warm
        self.orders: dict[HostId, int] = {}  # seat of each
        self.alive: dict[HostId, int] = {}
        self.ready: set[HostId] = set()
        self.announced: set[HostId] = set()
        self.killed: set[HostId] = set()
        self.drained: set[HostId] = set()
        self.is_stopping = False
        self.is_leaving = False
        self.code: int | None = None

    def name(self, _pool: Pool, _number: int) -> HostId:
        self.names += 1
        return HostId(f"h{self.names}")

    def feed(self, event: Event) -> None:
        if self.code is not None:
            return  # the process has ended
        for action in self.machine.handle(event, self.now):
            assert self.code is None, "something follows the end"
            self.do(action)

    def look(self, readings: tuple[tuple[HostId, Reading], ...] = ()) -> None:
        if self.now - self.looked_at > TICK_S + GAP_S:
            self.woke_at = dict.fromkeys([*self.orders, *self.alive], self.now)
        self.looked_at = self.now
        self.feed(events.Looked(readings))

    def do(self, action: Action) -> None:
        match action:
            case StartZygote():
                assert self.zygote == "none"
                assert not self.is_stopping
                assert not self.is_leaving
                self.zygote = "starting"
            case KillZygote():
                assert self.zygote != "none"
            case Fork(host, _, _, seat):
                assert self.zygote == "warm"
                assert not self.is_stopping
                assert not self.is_leaving
                assert seat not in [*self.orders.values(), *self.alive.values()]
                assert host not in self.announced
                self.orders[host] = seat
            case KillHost(host):
                assert host in self.alive
                assert host not in self.killed
                self.killed.add(host)
            case Drain(host):
                assert host in self.ready
                assert host not in self.drained
                self.drained.add(host)
            case Announce(host):
                assert host in self.ready
                self.announced.add(host)
            case TellLost(message):
                self.announced.remove(message.host)
            case End(code):
                assert not self.alive
                self.code = code
            case Say():
                pass

    def pick(self, data: st.DataObject, hosts: "set[HostId]") -> HostId:
        return data.draw(st.sampled_from(sorted(hosts)))

    @precondition(lambda self: self.zygote == "starting")
    @rule()
    def zygote_becomes_warm(self) -> None:
        self.zygote = "warm"
        self.feed(events.ZygoteWarm())

    @precondition(lambda self: self.zygote != "none")
    @rule()
    def zygote_dies(self) -> None:
        self.zygote = "none"
        for host in list(self.orders):
            del self.orders[host]
            self.feed(events.ForkFailed(host, "the zygote ended"))
        self.feed(events.ZygoteEnded("killed"))

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), works=st.booleans())
    def zygote_answers(self, data: st.DataObject, works: bool) -> None:
        host = self.pick(data, set(self.orders))
        seat = self.orders.pop(host)
        if works:
            self.alive[host] = seat
            self.feed(events.Forked(host))
        else:
            self.feed(events.ForkFailed(host, "fork: no memory"))

    @precondition(lambda self: set(self.alive) - self.ready)
    @rule(data=st.data())
    def host_is_ready(self, data: st.DataObject) -> None:
        host = self.pick(data, set(self.alive) - self.ready)
        self.ready.add(host)
        if host in self.killed:
            self.ready.discard(host)
            self.feed(events.Ready(host))  # said before the kill reached it
            assert host not in self.announced
        else:
            self.feed(events.Ready(host))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), code=codes, busy=st.booleans())
    def host_dies(self, data: st.DataObject, code: int, busy: bool) -> None:
        host = self.pick(data, set(self.alive))
        del self.alive[host]
        self.ready.discard(host)
        task = Running(RequestId(1), Script(b"/x"), 0, 0) if busy else None
        self.feed(events.Exited(host, code, task, (), ""))
        assert host not in self.announced

    @precondition(lambda self: self.ready)
    @rule(data=st.data(), kill=st.booleans())
    def broker_orders(self, data: st.DataObject, kill: bool) -> None:
        host = self.pick(data, self.ready)
        why = "because"
        event = events.KillWanted if kill else events.RecycleWanted
        self.feed(event(host, why))

    @rule()
    def broker_comes(self) -> None:
        before = set(self.announced)
        self.feed(events.BrokerMet())
        assert self.announced == before

    @rule(
        after=st.sampled_from([0.0, 0.1, 0.6, 1.2, 3.0]),
        busy=st.sets(st.integers(0, 2)),
        late=st.booleans(),
        spent=st.booleans(),
    )
    def time_passes(
        self, after: float, busy: set[int], late: bool, spent: bool
    ) -> None:
        self.now += after
        deadline = 1 if late else int((self.now + 30) * 1e9)
        task = Running(RequestId(9), Script(b"/x"), int(self.now * 1e9), deadline)
        readings = [
            (
                host,
                Reading(task if seat in busy else None, 60 if spent else 0, 0),
            )
            for host, seat in self.alive.items()
        ]
        self.look(tuple(readings))
        if late:
            patient = self.now - PATIENCE.grace_s
            in_seats = {
                host
                for host, seat in self.alive.items()
                if seat in busy and self.woke_at.get(host, 0.0) <= patient
            }
            assert in_seats & self.ready <= self.killed

    @rule(seconds=st.sampled_from([2.0, 8.0, 60.0]))
    def nothing_runs_for_a_while(self, seconds: float) -> None:
        self.look()
        before = set(self.killed)
        self.now += seconds
        self.look()
        assert self.killed == before

    @precondition(lambda self: not self.is_stopping)
    @rule()
    def operator_stops(self) -> None:
        self.is_stopping = True
        self.feed(events.StopWanted())

    @precondition(lambda self: not self.is_leaving)
    @rule(has_broker=st.booleans())
    def another_supervisor_comes(self, has_broker: bool) -> None:
        self.is_leaving = True
        self.feed(events.LeaveWanted(has_broker))

    @invariant()
    def tables_agree(self) -> None:
        self.machine.check()
        assert set(self.machine.serving()) == self.announced

    @invariant()
    def the_loop_is_wanted_in_time(self) -> None:
        assert self.machine.next_due(self.now) <= self.now + 0.25

    def teardown(self) -> None:
        if self.code is None:
            self.behave()
        if self.is_stopping or self.is_leaving:
            assert self.code is not None, "it never ends"
        elif self.code is None:
            assert len(self.announced) == 3, "a seat stays empty"

    def behave(self) -> None:
        """Let time pass in which everything works as it should."""
        end = self.now + 60 + LEAVE_S
        while self.code is None and self.now < end:
            self.now += 0.4
            self.look()
            if self.zygote == "starting":
                self.zygote_becomes_warm()
            for host, seat in list(self.orders.items()):
                del self.orders[host]
                self.alive[host] = seat
                self.feed(events.Forked(host))
            for host in list(self.alive):
                if host in self.killed or host in self.drained:
                    del self.alive[host]
                    self.ready.discard(host)
                    self.feed(events.Exited(host, -9, None, (), ""))
                elif host not in self.ready:
                    self.ready.add(host)
                    self.feed(events.Ready(host))


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=150, stateful_step_count=40)
