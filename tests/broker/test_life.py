"""Random lives of a farm: whatever happens, the tables agree and nothing is lost."""

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from broker import events as ev
from luafarm.config.settings import PoolSettings, ScriptSettings
from luafarm.ends import Budget, Closing
from luafarm.names import TERM_SHIFT, HostId, Script
from luafarm.wire.messages import HostRow, MachineReport, Verdict
from tests.broker.paper import FRONT, TERM, Held, Paper, PaperHost, script, settings

SCRIPTS = [script(name) for name in "abcdef"]
MODULE = b"/r/lib.lua"
SHADOW = b"/r/lib/init.lua"
ODD = [b"/r/none.lua", b"/r/a.lua/info", b"/elsewhere/x.lua"]

scripts = st.sampled_from(SCRIPTS)
UNLOADED = [Budget.MEMORY, Budget.NONE, Closing.UNSENT, Closing.UNREAD]
CLOSINGS = [Closing.MEMORY, Closing.BROKEN, Closing.CPU]

picks = st.integers(0, 5)


class FarmLife(RuleBasedStateMachine):
    """A small farm with little room, a shared module and hosts that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.born = 0
        self.brokers = 0
        self.waits = 0
        self.tickets: dict[bytes, dict[bytes, int]] = {}
        self.checked: set[bytes] = set()
        self.farm = Paper(
            settings(
                PoolSettings(root=("/r",), state_requests=40, state_age=30.0),
                (
                    ScriptSettings(pattern="c.lua", min_clones=2),
                    ScriptSettings(pattern="d.lua", clones=1),
                ),
                states=5,
                clones=3,
                missing=2,
                quarantine_deaths=2,
                restraint_stops=2,
            )
        )
        for path in SCRIPTS[:4]:
            self.farm.write(path)
        self.farm.write(MODULE)
        self.farm.requires = {SCRIPTS[0]: (b"lib",), SCRIPTS[1]: (b"lib", b"gone")}

    def pick(self, of: list[HostId], n: int) -> HostId:
        return sorted(of)[n % len(of)]

    # -- hosts -----------------------------------------------------------------------

    @precondition(lambda self: len(self.farm.hosts) < 5)
    @rule(machine=st.sampled_from(["m", "n"]))
    def host_joins(self, machine: str) -> None:
        self.born += 1
        self.farm.join(f"h{self.born}", machine=machine)

    @precondition(lambda self: self.farm.hosts)
    @rule(
        n=picks,
        reason=st.sampled_from(["crash", "wall", "stopped"]),
        of=st.sampled_from([b"", *SCRIPTS]),
    )
    def host_dies(self, n: int, reason: str, of: bytes) -> None:
        self.farm.die(self.pick(list(self.farm.hosts), n), reason, of)

    @precondition(lambda self: any(h.orders for h in self.farm.hosts.values()))
    @rule(n=picks)
    def host_works(self, n: int) -> None:
        busy = [h.up.host for h in self.farm.hosts.values() if h.orders]
        self.farm.work(self.pick(busy, n))

    @precondition(lambda self: any(h.loads() for h in self.farm.hosts.values()))
    @rule(n=picks, end=st.sampled_from(UNLOADED))
    def order_is_not_carried_out(self, n: int, end: Budget | Closing) -> None:
        """Have a host load nothing, or the sources of the order not to be had."""
        ordered = [h.up.host for h in self.farm.hosts.values() if h.loads()]
        self.farm.refuse(self.pick(ordered, n), end)

    @precondition(lambda self: any(h.answers for h in self.farm.hosts.values()))
    @rule(n=picks)
    def answer_arrives(self, n: int) -> None:
        waiting = [h.up.host for h in self.farm.hosts.values() if h.answers]
        self.farm.deliver(self.pick(waiting, n))

    @precondition(lambda self: any(h.states for h in self.farm.hosts.values()))
    @rule(n=picks, reason=st.sampled_from(CLOSINGS))
    def state_is_closed(self, n: int, reason: Closing) -> None:
        holding = [h.up.host for h in self.farm.hosts.values() if h.states]
        host = self.farm.hosts[self.pick(holding, n)]
        path = sorted(host.states)[n % len(host.states)]
        held = host.states.pop(path)
        host.answers.append(ev.StateGone(host.up.host, path, held.epoch, reason))

    @precondition(lambda self: any(h.states for h in self.farm.hosts.values()))
    @rule(n=picks)
    def order_is_lost(self, n: int) -> None:
        """Break and heal a connection: orders are gone, the inventory tells."""
        host = self.farm.hosts[self.pick(list(self.farm.hosts), n)]
        while host.answers:
            self.farm.deliver(host.up.host)
        host.orders.clear()
        rows = self.farm.inventory(host.up.host)
        self.farm.play(ev.Inventoried(host.up.host, rows))

    @rule(settles=st.booleans())
    def a_new_broker_takes_over(self, settles: bool) -> None:
        """Let the broker die: what it knew is gone, hosts work off their orders."""
        self.brokers += 1
        for ticket in set(self.tickets) - set(self.farm.answers):
            del self.tickets[ticket]
        self.farm.restart(TERM + self.brokers, settles=settles)

    # -- fronts ----------------------------------------------------------------------

    @rule(path=scripts, idle=st.sampled_from([(), ("h1",), ("h2", "h3"), ("h4",)]))
    def script_is_asked_for(self, path: Script, idle: tuple[str, ...]) -> None:
        self.farm.miss(path, *idle)

    @rule(path=st.sampled_from(ODD))
    def odd_path_is_asked_for(self, path: bytes) -> None:
        self.farm.miss(path)

    @rule(path=scripts, queued=st.integers(1, 500))
    def requests_wait(self, path: Script, queued: int) -> None:
        idle = sorted(self.farm.hosts)
        self.farm.press(path, *idle, waited_s=0.02, queued=queued)

    @rule(
        path=scripts, requests=st.integers(1, 30), busy_us=st.sampled_from([50, 9000])
    )
    def requests_are_served(self, path: Script, requests: int, busy_us: int) -> None:
        place = self.farm.places.get(path)
        if place is not None and place.hosts:
            self.farm.use(path, place.hosts[0], requests, busy_us * requests)

    @precondition(lambda self: any(h.states for h in self.farm.hosts.values()))
    @rule(n=picks)
    def a_run_does_not_end(self, n: int) -> None:
        """Let the supervisor of a host find it at the same run again and again."""
        holding = [h.up.host for h in self.farm.hosts.values() if h.states]
        name = self.pick(holding, n)
        path = min(self.farm.hosts[name].states)
        machine = self.farm.hosts[name].up.machine
        members = [h for h, m in self.farm.hosts.items() if m.up.machine == machine]
        rows = [HostRow(h, 1, 0, path if h == name else b"") for h in members]
        for _ in range(3):
            self.farm.play(ev.MachineReported(machine, MachineReport(tuple(rows))))

    @rule()
    def front_joins(self) -> None:
        self.farm.play(ev.FrontJoined(FRONT))

    # -- files and time --------------------------------------------------------------

    @rule(path=st.sampled_from([*SCRIPTS, MODULE, SHADOW, *ODD]), broken=st.booleans())
    def file_is_written(self, path: bytes, broken: bool) -> None:
        self.farm.write(path, broken=broken)

    @rule(path=st.sampled_from([*SCRIPTS, MODULE, SHADOW]))
    def file_is_deleted(self, path: bytes) -> None:
        self.farm.files.pop(path, None)

    @rule(path=scripts)
    def mode_is_changed(self, path: bytes) -> None:
        self.farm.unreadable ^= {path}

    @rule()
    def watcher_notices(self) -> None:
        self.farm.settle()

    @rule(scope=st.sampled_from([b"", b"/r", *SCRIPTS]))
    def somebody_waits_for_a_deploy(self, scope: bytes) -> None:
        self.waits += 1
        ticket = b"t%d" % self.waits
        self.tickets[ticket] = {
            path: int(digest[1:])
            for path, digest in self.farm.files.items()
            if not scope or path == scope or path.startswith(scope + b"/")
        }
        self.farm.settle(ticket, scope)

    @rule(seconds=st.sampled_from([0.1, 1.0, 20.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.farm.tick(seconds)

    # -- what must hold --------------------------------------------------------------

    @invariant()
    def states_of_a_script_are_recycled_one_at_a_time(self) -> None:
        for record in self.farm.broker.farm.records.values():
            renewed = [
                state
                for state in record.states
                if record.script in state.host.loads
                and state.host.loads[record.script].generation is state.generation
            ]
            assert len(renewed) <= 1, record.script

    @invariant()
    def an_acknowledged_deploy_is_in_force(self) -> None:
        for ticket, answer in self.farm.answers.items():
            if ticket in self.checked:
                continue
            self.checked.add(ticket)
            if not answer.ok:
                continue
            for host in self.farm.hosts.values():
                for path, held in host.states.items():
                    fence = host.fences.get(path, 0)
                    if held.epoch < fence or self.is_unheard_of(host, held, path):
                        continue
                    for used, digest in held.used.items():
                        oldest = self.tickets[ticket].get(used)
                        if oldest is not None and digest:
                            assert int(digest[1:]) >= oldest, (ticket, path, used)

    def is_unheard_of(self, host: PaperHost, held: Held, path: Script) -> bool:
        """Say whether an earlier broker ordered this, and no front knows of it."""
        farm = self.farm.broker.farm
        row = farm.roster.hosts.get(host.up.host)
        is_known = row is not None and (path in row.states or path in row.draining)
        return held.epoch >> TERM_SHIFT < farm.epochs.term and not is_known

    def teardown(self) -> None:
        """In the end all rests, every question has an answer, nothing stale is left."""
        farm = self.farm
        if not farm.hosts:
            farm.join("last")
        farm.unreadable.clear()
        self.what_was_noticed_is_in_force()
        for _ in range(4):
            farm.run()
            farm.settle()
            farm.run()
            farm.use_all()
            farm.tick(35.0)
        farm.run()
        assert not farm.asked
        assert set(farm.answers) >= set(self.tickets)
        self.farm_holds_what_the_machine_thinks()
        self.every_script_can_be_had()

    def what_was_noticed_is_in_force(self) -> None:
        """No change waits for anything but time, once hosts carry out their orders."""
        for _ in range(4):
            self.farm.run()
            self.farm.tick(1.0)
        self.farm.run()
        farm = self.farm.broker.farm
        for record in farm.records.values():
            if farm.quarantine.remaining_s(record.script, self.farm.now) <= 0.0:
                assert record.next is None, record.script

    def farm_holds_what_the_machine_thinks(self) -> None:
        thought = {
            (host.id, path)
            for host in self.farm.broker.farm.roster.hosts.values()
            for path in host.states
        }
        held = {
            (host.up.host, path)
            for host in self.farm.hosts.values()
            for path in host.states
        }
        assert thought == held
        assert not self.farm.broker.farm.closings
        for record in self.farm.broker.farm.records.values():
            if record.failure is None:
                for state in record.states:
                    held_state = self.farm.hosts[state.host.id].states[record.script]
                    for path, digest in held_state.used.items():
                        assert self.farm.files.get(path, b"") == digest, path

    def every_script_can_be_had(self) -> None:
        farm = self.farm
        farm.tick(1000.0)
        for path in SCRIPTS:
            place = farm.ask(path)
            used = {farm.files.get(path, b"")}
            if path not in farm.files:
                assert place.verdict == Verdict.MISSING, place
            elif used & farm.broken:
                assert place.verdict in {Verdict.BROKEN, Verdict.READY}, place
            elif not farm.requires.get(path):
                assert place.verdict == Verdict.READY, place
                assert place.hosts
            farm.use_all()
            farm.tick(1.5)


FarmLife.TestCase.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=50
)
TestFarmLife = FarmLife.TestCase
