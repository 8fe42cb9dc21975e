"""A front's life: whatever happens, each request ends once and the tables agree."""

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fcgi.dispatch.actions import Action, CancelRun, Refuse, Send
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.tables import Pending
from luafarm.ends import Budget
from luafarm.names import Epoch, HostId, Pool, RequestId, Script
from luafarm.wire.messages import SAFE, Place, Verdict

SCRIPTS = [b"/s/a.lua", b"/s/b.lua", b"/s/c.lua"]


def placed(
    script: bytes,
    asked: bytes,
    *hosts: HostId,
    verdict: Verdict = Verdict.READY,
    lent: int = 0,
) -> Place:
    return Place(
        asked,
        Script(script),
        Pool("p"),
        verdict,
        Epoch(1),
        hosts,
        1000,
        1 << 20,
        1 << 16,
        1,
        None,
        lent,
    )


class Life(RuleBasedStateMachine):
    """Random events; the model knows who was answered and who was begun."""

    def __init__(self) -> None:
        super().__init__()
        ids = count(1)
        self.dispatch = Dispatch(
            lambda: next(ids),
            number=0,
            queue=12,
            queue_per_script=8,
            queue_timeout_s=10.0,
            queue_target_s=0.01,
            remembered=2,
        )
        self.names = count()
        self.now = 0.0
        self.hosts: dict[HostId, dict[RequestId, Pending]] = {}
        self.ready: set[HostId] = set()
        self.away: set[HostId] = set()
        self.open: dict[Pending, None] = {}  # in order of arrival
        self.starts: dict[Pending, int] = {}
        self.counted: set[RequestId] = set()  # attempts
        self.came: dict[HostId, int] = {}  # the last run that a host had before it left

    @initialize(is_warm=st.booleans())
    def begin(self, is_warm: bool) -> None:
        """Begin with nothing, or with two hosts that have all scripts."""
        if not is_warm:
            return
        for _ in range(2):
            self.come_and_serve_all()

    @precondition(lambda self: len(self.hosts) < 4)
    @rule()
    def come_and_serve_all(self) -> None:
        """Have a new host serve all scripts, beside those that are there."""
        name = HostId(f"h{next(self.names)}")
        self.hosts[name] = {}
        assert self.dispatch.host_up(name)
        self.ready.add(name)
        self.act(self.dispatch.host_ready(name, self.now))
        names = sorted(self.hosts)
        for script in SCRIPTS:
            self.act(self.dispatch.place(placed(script, script, *names), self.now))

    def act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(pending=pending):
                    assert pending in self.open
                    assert not pending.begun, "a second run of a reply that has begun"
                    assert pending.host is not None
                    assert pending.host.name in self.ready
                    self.hosts[pending.host.name][pending.id] = pending
                case Refuse(pending=pending):
                    del self.open[pending]
                case CancelRun(host=host, request=request):
                    assert request in self.hosts[host]
                case _:
                    pass

    @rule(
        script=st.sampled_from(SCRIPTS),
        safe=st.booleans(),
        extra=st.booleans(),
        count=st.integers(1, 3),
    )
    def arrive_some(self, script: bytes, safe: bool, extra: bool, count: int) -> None:
        for _ in range(count):
            self.arrive(script, safe, extra)

    def arrive(self, script: bytes, safe: bool, extra: bool) -> None:
        path = script + b"/info" if extra else script
        flags = SAFE if safe else 0
        pending = Pending(object(), path, flags, b"", b"", 0, 0, self.now)
        self.open[pending] = None
        self.starts[pending] = 0
        self.act(self.dispatch.arrive(pending, self.now))

    @rule()
    def host_up(self) -> None:
        name = HostId(f"h{next(self.names)}")
        self.hosts[name] = {}
        assert self.dispatch.host_up(name)

    @precondition(lambda self: self.hosts)
    @rule(data=st.data())
    def host_ready(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.hosts)))
        if name in self.away:
            return  # `come_back` is what happens to it
        self.ready.add(name)
        self.act(self.dispatch.host_ready(name, self.now))

    @rule(
        data=st.data(),
        script=st.sampled_from(SCRIPTS),
        verdict=st.sampled_from([*list(Verdict), *[Verdict.READY] * 6]),
        extra=st.booleans(),
    )
    def place(
        self, data: st.DataObject, script: bytes, verdict: Verdict, extra: bool
    ) -> None:
        chosen: list[HostId] = []
        if verdict is Verdict.READY and self.hosts:
            names = st.sampled_from(sorted(self.hosts))
            chosen = data.draw(st.lists(names, unique=True))
        asked = script + b"/info" if extra else script
        lent = data.draw(st.integers(0, len(chosen)))
        message = placed(script, asked, *chosen, verdict=verdict, lent=lent)
        self.act(self.dispatch.place(message, self.now))

    def running(self) -> list[tuple[HostId, RequestId]]:
        return [(h, r) for h, runs in self.hosts.items() for r in runs]

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def part(self, data: st.DataObject) -> None:
        """Have a host send a part of a reply."""
        name, request = data.draw(st.sampled_from(self.running()))
        pending = self.dispatch.run(name, request)
        if name not in self.away and pending is not None:
            pending.begun = True
            pending.part_bytes += 1

    @precondition(lambda self: self.running())
    @rule(data=st.data(), service_us=st.sampled_from([5, 60, 20_000]))
    def finish(self, data: st.DataObject, service_us: int) -> None:
        name, request = data.draw(st.sampled_from(self.running()))
        if name in self.away:
            return
        expected = self.hosts[name].pop(request)
        found = self.dispatch.finish(name, request, service_us, self.now, ok=True)
        assert found is expected
        self.start(expected)
        if not expected.cancelled:
            del self.open[expected]
        self.act(self.dispatch.fill(name, self.now))

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def absent(self, data: st.DataObject) -> None:
        name, request = data.draw(st.sampled_from(self.running()))
        run = self.dispatch.run(name, request)
        if name in self.away or run is None or run.begun:
            return
        del self.hosts[name][request]
        self.act(self.dispatch.absent(name, request, self.now))

    @precondition(lambda self: self.hosts)
    @rule(
        data=st.data(),
        begun=st.sampled_from([None, 0, 1, 2, 3]),
        budget=st.sampled_from([Budget.WALL, Budget.NONE, Budget.NONE]),
        is_busy=st.booleans(),
    )
    def lose(
        self, data: st.DataObject, begun: int | None, budget: Budget, is_busy: bool
    ) -> None:
        """End a host; begun: runs that its scoreboard names, None: nobody knows."""
        if is_busy:
            self.arrive(SCRIPTS[0], data.draw(st.booleans()), extra=False)
        name = data.draw(st.sampled_from(sorted(self.hosts)))
        runs = self.hosts.pop(name)
        self.ready.discard(name)
        self.away.discard(name)
        ids = None if begun is None else tuple(runs)[:begun]
        for request in runs if ids is None else ids:
            self.start(runs[request])
        running = ids[-1] if ids else RequestId(0)
        self.act(self.dispatch.host_lost(name, running, ids, budget, self.now))

    def start(self, pending: Pending) -> None:
        """Count a run that a host has begun, unless it was counted already."""
        if pending.id not in self.counted:
            self.counted.add(pending.id)
            self.starts[pending] += 1

    @precondition(lambda self: self.hosts)
    @rule(data=st.data())
    def broker_says_that_it_is_lost(self, data: st.DataObject) -> None:
        """Have the broker hear nothing of a host whose connection to here lives."""
        name = data.draw(st.sampled_from(sorted(self.hosts)))
        self.dispatch.losses.unlisted(name)

    @precondition(lambda self: self.ready)
    @rule(data=st.data(), unsent=st.integers(0, 2), busy=st.integers(0, 3))
    def connection_breaks(self, data: st.DataObject, unsent: int, busy: int) -> None:
        for _ in range(busy):  # so that there is something to lose, mostly
            self.arrive(SCRIPTS[0], data.draw(st.booleans()), extra=False)
        name = data.draw(st.sampled_from(sorted(self.ready)))
        self.away.add(name)
        self.ready.discard(name)
        waiting = [r for r in self.hosts[name] if r > self.came.get(name, 0)]
        tail = tuple(waiting[len(waiting) - unsent :]) if unsent else ()
        tail = tuple([r for r in tail if not self.hosts[name][r].begun])
        for request in tail:
            del self.hosts[name][request]
        self.act(self.dispatch.losses.away(name, tail, self.now))

    @precondition(lambda self: self.away)
    @rule(data=st.data(), is_long=st.sampled_from([True, False, False, False]))
    def nobody_reaches_it_for_long(self, data: st.DataObject, is_long: bool) -> None:
        if not is_long:
            self.come_back(data)
            return
        name = data.draw(st.sampled_from(sorted(self.away)))
        for pending in self.hosts[name].values():
            self.start(pending)
        self.act(self.dispatch.losses.unreached(name, self.now))

    @precondition(lambda self: self.away)
    @rule(data=st.data())
    def it_is_there_again(self, data: st.DataObject) -> None:
        self.come_back(data)

    def come_back(self, data: st.DataObject) -> None:
        """Have a host tell over another connection what came, and what goes on."""
        over = data.draw(st.integers(0, 3))
        never = data.draw(st.integers(0, 2))
        hole, is_known = data.draw(st.booleans()), data.draw(st.booleans())
        name = data.draw(st.sampled_from(sorted(self.away)))
        runs = self.hosts[name]
        wanted = self.dispatch.losses.wanted(name) or ()
        fresh = [r for r in runs if r > self.came.get(name, 0)]
        lost = fresh[max(len(fresh) - never, 0) :] if is_known else fresh
        came = [r for r in runs if r not in lost]
        if not is_known:
            came = []
        ended, going = came[:over], came[over:]
        for request in [*ended, *([] if is_known else list(runs))]:
            self.start(runs[request])
        received = self.dispatch.losses.sent(name) - len(lost) if is_known else -1
        rows: dict[RequestId, int] = {}
        for request in going:
            if request not in wanted and not data.draw(st.booleans()):
                continue  # it waited there, and was dropped
            run = runs[request]
            rows[request] = (run.part_bytes if run.begun else -1) + hole
        self.hosts[name] = {r: runs[r] for r in rows}
        self.came[name] = max([self.came.get(name, 0), *runs], default=0)
        self.away.discard(name)
        self.ready.add(name)
        self.act(self.dispatch.losses.recalled(name, received, rows, self.now))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        pending = list(self.open)[data.draw(st.integers(0, len(self.open) - 1))]
        del self.open[pending]
        self.act(self.dispatch.cancel(pending))

    @rule(
        script=st.sampled_from(SCRIPTS),
        with_hosts=st.sampled_from([True, True, True, False]),
    )
    def snapshot(self, script: bytes, with_hosts: bool) -> None:
        hosts = tuple(self.hosts) if with_hosts else ()
        message = Place(
            b"",
            Script(script),
            Pool("p"),
            Verdict.READY,
            Epoch(2),
            hosts,
            1000,
            1 << 20,
            1 << 16,
            0,
            None,
        )
        self.act(self.dispatch.snapshot((message,), self.now))

    @rule(seconds=st.sampled_from([0.0, 0.0005, 0.01, 2.0, 11.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.act(self.dispatch.wake(self.now))
        self.act(self.dispatch.tick(self.now))
        for name in list(self.hosts):
            self.hosts[name] = {
                r: p
                for r, p in self.hosts[name].items()
                if self.dispatch.run(name, r) is not None
            }

    @invariant()
    def tables_agree(self) -> None:
        self.dispatch.check()
        assert self.dispatch.outstanding >= len(self.open)

    @invariant()
    def an_unsafe_request_starts_at_most_once_and_a_safe_one_twice(self) -> None:
        for pending, starts in self.starts.items():
            assert starts <= (2 if pending.flags & SAFE else 1)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=40)
