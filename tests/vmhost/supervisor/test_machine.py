"""Scenarios of the supervisor: events in, the exact actions out."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from luafarm.ends import Death
from luafarm.names import HostId, Pool, RequestId, Script
from luafarm.wire.messages import HostLost
from vmhost import deaths
from vmhost.reading import Reading, Running
from vmhost.sandbox.layers import Layer
from vmhost.supervisor import events
from vmhost.supervisor.actions import (
    Action,
    Announce,
    Drain,
    End,
    Fork,
    KillHost,
    KillZygote,
    Level,
    Say,
    StartZygote,
    TellLost,
)
from vmhost.supervisor.departure import ALONE_S, LEAVE_S
from vmhost.supervisor.events import Event
from vmhost.supervisor.machine import (
    GIVE_UP,
    RECYCLED,
    TICK_S,
    ZYGOTE_S,
    Supervisor,
)
from vmhost.supervisor.plan import LONGEST_S, Patience, PoolPlan
from vmhost.supervisor.seat import (
    AHEAD_S,
    FIRST_PAUSE_S,
    FLAP_DEATHS,
    FLAP_PAUSE_S,
    SILENT_S,
    STEADY_S,
)

PATIENCE = Patience(grace_s=0.5, start_s=10.0, stop_s=8.0, spawn_max_s=5.0)
TASK = Running(RequestId(77), Script(b"/srv/slow.lua"), 1_000_000_000, 31_000_000_000)
IDLE = Reading(None, 0, 0)


def pool(name: str = "main", hosts: int = 1, **others: object) -> PoolPlan:
    values: dict[str, object] = {
        "pool": Pool(name),
        "hosts": hosts,
        "dialect": "luajit21",
        "jit": False,
        "trusted": False,
        "cpath": "",
        "c_modules": (),
        "required": (),
        "memory_bytes": 1 << 30,
        "longest_s": 60.0,
        "host_requests": 0,
        "host_age_s": 0.0,
    } | others
    return PoolPlan(**values)  # type: ignore[arg-type]


@dataclass
class Play:
    """A supervisor, a clock and everything that was done."""

    machine: Supervisor
    now: float = 100.0
    done: list[Action] = field(default_factory=list)
    answered: set[HostId] = field(default_factory=set)

    def feed(self, *happened: Event) -> list[Action]:
        """Return what must be done, less what is said below a warning."""
        actions: list[Action] = []
        for event in happened:
            actions += self.machine.handle(event, self.now)
            self.machine.check()
        self.done += actions
        return [
            action
            for action in actions
            if not (isinstance(action, Say) and action.level < Level.WARNING)
        ]

    def look(
        self,
        after: float = 0.0,
        readings: dict[HostId, Reading] | None = None,
        *,
        asleep: bool = False,
    ) -> list[Action]:
        """Let time pass, with a look each second at least, or stopped meanwhile."""
        looked = events.Looked(tuple((readings or {}).items()))
        actions: list[Action] = []
        while after > 1.0 and not asleep:
            after -= 1.0
            self.now += 1.0
            actions += self.feed(looked)
        self.now += after
        return actions + self.feed(looked)

    def serve(self) -> None:
        """Have all ordered hosts forked and ready."""
        self.look()
        for fork in [a for a in self.done if isinstance(a, Fork)]:
            if fork.host not in self.answered:
                self.answered.add(fork.host)
                self.feed(events.Forked(fork.host), events.Ready(fork.host))

    def die(
        self, host: HostId, code: int = -9, task: Running | None = None
    ) -> list[Action]:
        begun = () if task is None else (RequestId(5), task.request)
        return self.feed(events.Exited(host, code, task, begun, "last words\n"))


def play(*plans: PoolPlan, is_beside: bool = False) -> Play:
    """Return a supervisor whose zygote is warm, before its hosts are ordered."""
    made: list[str] = []

    def name(pool_name: Pool, number: int) -> HostId:
        made.append(f"{pool_name}{number}_{len(made)}")
        return HostId(made[-1])

    machine = Supervisor(plans or (pool(),), PATIENCE, name, is_beside=is_beside)
    started = Play(machine)
    assert started.look() == [StartZygote()]
    return started


def warm(*plans: PoolPlan) -> Play:
    started = play(*plans)
    started.feed(events.ZygoteWarm())
    started.serve()
    return started


def only_host(started: Play) -> HostId:
    (host,) = started.machine.serving()
    return host


def lost(actions: Sequence[Action]) -> HostLost:
    (found,) = [a.message for a in actions if isinstance(a, TellLost)]
    return found


def warnings(actions: Sequence[Action]) -> list[str]:
    return [a.text for a in actions if isinstance(a, Say)]


# ---- life ------------------------------------------------------------------------


def test_seats_are_filled_when_the_zygote_is_warm_and_hosts_announced_when_ready() -> (
    None
):
    started = play(pool("a", 2), pool("b", 1))
    a, b = pool("a", 2), pool("b", 1)
    first, second, third = HostId("a1_0"), HostId("a2_1"), HostId("b1_2")
    assert started.feed(events.ZygoteWarm()) == [
        Fork(first, a, 1, 0),
        Fork(second, a, 2, 1),
        Fork(third, b, 1, 2),
    ]
    assert started.feed(events.Forked(second), events.Ready(second)) == [
        Announce(second)
    ]
    assert started.machine.serving() == [second]


def test_a_broker_that_comes_is_told_of_every_host_that_serves() -> None:
    started = warm(pool("a", 2))
    hosts = started.machine.serving()
    assert started.feed(events.BrokerMet()) == [Announce(h) for h in hosts]
    assert started.feed(events.BrokerMet()) == [Announce(h) for h in hosts]


def test_a_host_killed_by_its_script_is_told_lost_with_request_and_script_and_replaced_at_once() -> (  # noqa: E501
    None
):
    started = warm()
    host = only_host(started)
    actions = started.die(host, -11, TASK)
    assert lost(actions) == HostLost(
        host=host,
        running=RequestId(77),
        begun=(RequestId(5), RequestId(77)),
        script=Script(b"/srv/slow.lua"),
        reason=Death.CRASH,
        detail="killed by SIGSEGV",
    )
    assert [type(a) for a in actions] == [TellLost, Say, Fork]


def test_the_log_names_the_culprit_and_the_last_words() -> None:
    started = warm()
    (said,) = warnings(started.die(only_host(started), -11, TASK))
    assert "reason=crash script=/srv/slow.lua" in said
    assert said.endswith("last words")


def test_a_crash_and_a_forbidden_system_call_are_errors_in_the_log() -> None:
    for code in (-11, -31):
        started = warm()
        actions = started.die(only_host(started), code, TASK)
        assert Level.ERROR in [a.level for a in actions if isinstance(a, Say)]


def test_a_host_that_was_never_ready_is_not_told_lost() -> None:
    started = play()
    (fork,) = started.feed(events.ZygoteWarm())
    assert isinstance(fork, Fork)
    started.feed(events.Forked(fork.host))
    assert not any(isinstance(a, TellLost) for a in started.die(fork.host, 70))


def test_every_host_has_an_id_of_its_own() -> None:
    started = warm(pool("a", 2))
    for _ in range(5):
        for host in started.machine.serving():
            started.die(host, -9, TASK)
            started.serve()
    ordered = [a.host for a in started.done if isinstance(a, Fork)]
    assert len(set(ordered)) == len(ordered)


def test_a_seat_is_not_filled_before_its_host_has_ended() -> None:
    started = warm(pool(longest_s=1.0))
    host = only_host(started)
    started.feed(events.RecycleWanted(host, "memory"))
    assert started.look(0.5) == []
    assert [type(a) for a in started.die(host, 0)] == [TellLost, Fork]


# ---- deadlines -------------------------------------------------------------------


def test_a_task_over_its_deadline_and_grace_costs_the_host_its_life() -> None:
    started = warm()
    host = only_host(started)
    busy = Reading(TASK, 0, 0)  # its deadline is 31.0
    started.now = 31.4
    assert started.look(readings={host: busy}) == []
    assert started.machine.next_due(started.now) == pytest.approx(31.5)
    assert started.look(0.1, readings={host: busy}) == [KillHost(host)]
    message = lost(started.die(host, -9, TASK))
    assert (message.reason, message.running) == ("wall", RequestId(77))


def test_a_host_that_a_signal_stopped_is_killed_in_time_but_not_for_its_script() -> (
    None
):
    started = warm()
    host = only_host(started)
    stands = Reading(TASK, 0, 0, is_stopped=True)
    started.now = 31.4
    assert started.look(readings={host: stands}) == []
    assert started.look(0.1, readings={host: stands}) == [KillHost(host)]
    assert lost(started.die(host, -9, TASK)).reason == Death.KILLED


def test_the_reason_is_wall_also_when_the_kernel_timer_came_first() -> None:
    started = warm()
    message = lost(started.die(only_host(started), -14, TASK))
    assert message.reason == Death.WALL


def test_a_killed_host_is_not_killed_twice() -> None:
    started = warm()
    host = only_host(started)
    busy = Reading(TASK, 0, 0)
    assert started.look(readings={host: busy}) == [KillHost(host)]
    assert started.look(5.0, readings={host: busy}) == []


def test_a_host_cannot_buy_time_with_a_late_deadline() -> None:
    started = warm(pool(longest_s=20.0))
    host = only_host(started)
    endless = Reading(Running(RequestId(1), Script(b"/x"), 0, 10**14), 0, 0)
    assert started.look(readings={host: endless}) == []
    assert started.look(20.4, readings={host: endless}) == []
    assert started.look(0.2, readings={host: endless}) == [KillHost(host)]


def test_short_tasks_in_a_row_are_not_one_long_task() -> None:
    started = warm(pool(longest_s=20.0))
    host = only_host(started)
    for request in range(1, 100):
        running = Running(RequestId(request), Script(b"/x"), request, 10**14)
        assert started.look(1.0, readings={host: Reading(running, 0, 0)}) == []


def until_killed(
    started: Play, host: HostId, readings: Iterator[Reading], limit_s: float
) -> float:
    """Look every half second; return when the host was killed, `limit_s` if never."""
    begun = started.now
    while started.now - begun < limit_s:
        if started.look(0.5, {host: next(readings)}):
            return started.now - begun
    return limit_s


def test_an_idle_host_whose_loop_stands_still_is_killed() -> None:
    started = warm()
    host = only_host(started)
    still = itertools.repeat(Reading(None, 7, 99))
    killed = until_killed(started, host, still, 20.0)
    assert SILENT_S < killed <= SILENT_S + 1.0
    assert lost(started.die(host)).reason == Death.SILENT


@pytest.mark.parametrize(
    "sign_of_life",
    [
        lambda n: Reading(None, 0, n),  # it beats
        lambda n: Reading(None, n, 0),  # it is never idle for long
        lambda n: Reading(Running(RequestId(1), Script(b"/x"), 0, 10**14), 0, 0),
    ],
)
def test_a_host_that_shows_any_sign_of_life_is_left_alone(
    sign_of_life: Callable[[int], Reading],
) -> None:
    started = warm()
    readings = (sign_of_life(n) for n in itertools.count())
    assert until_killed(started, only_host(started), readings, 20.0) == 20.0


def test_a_host_whose_sign_of_life_is_ahead_of_the_clock_is_killed() -> None:
    started = warm()
    host = only_host(started)
    soon = int((started.now + 1.0 + AHEAD_S) * 1e9)
    honest, lie = (Reading(None, 7, soon + one) for one in (0, 1000))
    assert started.look(1.0, {host: honest}) == []
    started.now -= 1.0
    assert started.look(1.0, {host: lie}) == [KillHost(host)]
    assert lost(started.die(host)).reason == Death.PROTOCOL


@pytest.mark.parametrize("deadline_s", [LONGEST_S + 2 * AHEAD_S, 10e9])
def test_a_host_whose_deadline_is_later_than_any_budget_is_killed_at_sight(
    deadline_s: float,
) -> None:
    started = warm()
    host = only_host(started)

    def claim(deadline_s: float) -> Reading:
        deadline_ns = int((started.now + 1.0 + deadline_s) * 1e9)
        return Reading(Running(RequestId(1), Script(b"/x"), 0, deadline_ns), 0, 0)

    assert started.look(1.0, {host: claim(LONGEST_S)}) == []
    assert started.look(1.0, {host: claim(deadline_s)}) == [KillHost(host)]
    assert lost(started.die(host)).reason == Death.PROTOCOL


def test_a_supervisor_that_was_stopped_itself_takes_no_host_for_silent() -> None:
    started = warm()
    host = only_host(started)
    still = Reading(None, 7, 99)
    started.look(readings={host: still})
    assert started.look(3600.0, readings={host: still}, asleep=True) == []


def test_a_host_that_is_not_ready_in_time_is_killed() -> None:
    started = play()
    (fork,) = started.feed(events.ZygoteWarm())
    assert isinstance(fork, Fork)
    started.feed(events.Forked(fork.host))
    assert started.look(9.9) == []
    assert started.look(0.2) == [KillHost(fork.host)]


def test_a_supervisor_that_was_stopped_itself_gives_everybody_time_anew() -> None:
    started = warm(pool("a", 2, longest_s=20.0))
    busy, leaving = started.machine.serving()
    started.feed(events.RecycleWanted(leaving, "memory"))
    task = Running(RequestId(1), Script(b"/x"), 0, int((started.now + 5) * 1e9))
    readings = {busy: Reading(task, 0, 0)}
    assert started.look(readings=readings) == []
    assert started.look(600.0, readings, asleep=True) == []
    assert started.look(PATIENCE.grace_s - 0.1, readings) == []  # the host stops it
    assert started.look(0.2, readings) == [KillHost(busy)]
    assert started.look(19.0) == []
    assert started.look(1.0) == [KillHost(leaving)]


# ---- pauses ----------------------------------------------------------------------


def pauses(started: Play, deaths_in_a_row: int) -> list[float]:
    """Kill the idle host again and again; return how long its seat stayed empty."""
    found: list[float] = []
    for _ in range(deaths_in_a_row):
        died = started.now
        started.die(only_host(started), 70)
        started.serve()
        while not started.machine.serving():
            started.now = started.machine.next_due(started.now)
            started.serve()
        found.append(round(started.now - died, 3))
    return found


def test_pauses_double_while_a_host_keeps_failing_by_itself() -> None:
    found = pauses(warm(), 8)
    assert found == [FIRST_PAUSE_S * 2**n for n in range(6)] + [5.0, 5.0]


def test_a_host_that_lived_is_replaced_at_once_and_ends_the_doubling() -> None:
    started = warm()
    pauses(started, 4)
    started.now += STEADY_S
    actions = started.die(only_host(started), 70)
    assert any(isinstance(a, Fork) for a in actions)


@pytest.mark.parametrize("code", [-9, -15, 0, -2])
def test_an_idle_host_that_is_ended_from_outside_comes_back_at_once(code: int) -> None:
    started = warm()
    for _ in range(FLAP_DEATHS - 1):
        actions = started.die(only_host(started), code)
        assert any(isinstance(a, Fork) for a in actions)
        started.serve()
    # and no faster than this, so that a loop of kills takes no processor
    died = started.now
    started.die(only_host(started), code)
    while not started.machine.serving():
        started.now = started.machine.next_due(started.now)
        started.serve()
    assert started.now - died == pytest.approx(FLAP_PAUSE_S)


def test_one_that_is_killed_before_it_is_ready_is_not_forked_in_a_loop() -> None:
    started = play()
    started.feed(events.ZygoteWarm())
    found: list[float] = []
    for _ in range(4):
        died = started.now
        (fork,) = [
            a
            for a in started.done
            if isinstance(a, Fork) and a.host not in started.answered
        ]
        started.answered.add(fork.host)
        started.feed(events.Forked(fork.host))
        before = len(started.done)
        started.die(fork.host)
        while not any(isinstance(a, Fork) for a in started.done[before:]):
            started.look(started.machine.next_due(started.now) - started.now)
        found.append(round(started.now - died, 3))
    assert found == [0.1, 0.2, 0.4, 0.8]


def test_a_pool_whose_hosts_keep_dying_is_slowed_and_that_is_said_once() -> None:
    started = warm(pool("a", 4))
    said: list[str] = []
    died = started.now
    for _ in range(FLAP_DEATHS + 5):
        died = started.now
        said += warnings(started.die(started.machine.serving()[0], -11, TASK))
        started.serve()
        while len(started.machine.serving()) < 4:
            started.now = started.machine.next_due(started.now)
            started.serve()
    assert len([text for text in said if "keep dying" in text]) == 1
    assert started.now - died == pytest.approx(FLAP_PAUSE_S)


def test_flapping_ends_with_its_cause() -> None:
    started = warm(pool("a", 1))
    for _ in range(FLAP_DEATHS):
        started.die(only_host(started), -11, TASK)
        started.now += FLAP_PAUSE_S / 5
        started.serve()
    started.now += FLAP_PAUSE_S
    started.serve()
    started.look(20.0)
    actions = started.die(only_host(started), -11, TASK)
    assert any(isinstance(a, Fork) for a in actions)


def test_one_pool_dying_does_not_slow_another() -> None:
    started = warm(pool("a", 1), pool("b", 1))
    for _ in range(FLAP_DEATHS + 1):
        victim = next(h for h in started.machine.serving() if h.startswith("a"))
        started.die(victim, -11, TASK)
        started.now += FLAP_PAUSE_S
        started.serve()
    other = next(h for h in started.machine.serving() if h.startswith("b"))
    assert any(isinstance(a, Fork) for a in started.die(other, -11, TASK))


# ---- layers ----------------------------------------------------------------------

MISSING = Layer("uid", holds=False, detail="not root")
HELD = Layer("seccomp", holds=True, detail="on")


def test_missing_layers_are_said_once_a_pool() -> None:
    started = play(pool("a", 2))
    forks = started.feed(events.ZygoteWarm())
    said: list[str] = []
    for fork in forks:
        assert isinstance(fork, Fork)
        started.feed(events.Forked(fork.host))
        said += warnings(started.feed(events.Sealed(fork.host, (HELD, MISSING), ())))
    assert said == ["pool=a sandbox lacks uid: not root"]


def test_a_pool_whose_required_layers_do_not_hold_gets_no_more_hosts() -> None:
    started = play(pool("a", 1), pool("b", 1))
    first, second = started.feed(events.ZygoteWarm())
    assert isinstance(first, Fork)
    assert isinstance(second, Fork)
    started.feed(events.Forked(second.host), events.Ready(second.host))
    started.feed(events.Forked(first.host))
    sealed = events.Sealed(first.host, (MISSING,), ("uid: not root",))
    (said,) = warnings(started.feed(sealed))
    assert "[pool.a] require_layers" in said
    assert "uid: not root" in said
    started.die(first.host, deaths.EXIT_LACKING)
    assert started.look(60.0) == []
    assert started.machine.serving() == [second.host]


def test_a_supervisor_without_any_pool_left_ends_as_wrongly_configured() -> None:
    started = play(pool("a", 1))
    (fork,) = started.feed(events.ZygoteWarm())
    assert isinstance(fork, Fork)
    started.feed(events.Forked(fork.host))
    started.feed(events.Sealed(fork.host, (MISSING,), ("uid: not root",)))
    assert started.die(fork.host, deaths.EXIT_LACKING)[-1] == End(2)


def unopened(started: Play) -> list[str]:
    """Have the host that is ordered next fail to open a C module; return warnings."""
    while isinstance(started.done[-1], Say):
        started.now = started.machine.next_due(started.now)
        started.look()
    fork = started.done[-1]
    assert isinstance(fork, Fork)
    started.feed(events.Forked(fork.host))
    actions = started.die(fork.host, deaths.EXIT_UNOPENED)
    assert not any(isinstance(a, Fork) for a in actions)  # after a pause
    return warnings(actions)


def test_c_modules_that_cannot_be_opened_are_told_once_and_tried_after_pauses() -> None:
    started = warm()
    for _ in range(2):
        started.die(only_host(started))
        (said,) = unopened(started)
        assert "failed: a C module of its pool cannot be opened\nlast words" in said
        begun = started.now
        assert [unopened(started) for _ in range(4)] == [[]] * 4
        assert started.now - begun >= FIRST_PAUSE_S * (1 + 2 + 4 + 8)
        while not started.machine.serving():
            started.now = started.machine.next_due(started.now)
            started.serve()
        started.now += STEADY_S


# ---- orders of the broker ----------------------------------------------------------


def test_an_accused_host_is_killed_and_told_lost_for_breaking_the_protocol() -> None:
    started = warm()
    host = only_host(started)
    assert started.feed(events.KillWanted(host, "a forged reply")) == [KillHost(host)]
    message = lost(started.die(host))
    assert (message.reason, message.detail) == ("protocol", "a forged reply")


def test_a_recycled_host_is_drained_and_replaced_without_a_warning() -> None:
    started = warm()
    host = only_host(started)
    assert started.feed(events.RecycleWanted(host, "memory")) == [Drain(host)]
    actions = started.die(host, 0)
    assert [type(a) for a in actions] == [TellLost, Fork]
    assert lost(actions).reason == Death.STOPPED


def test_a_drained_host_that_does_not_end_is_killed() -> None:
    started = warm(pool(longest_s=20.0))
    host = only_host(started)
    started.feed(events.RecycleWanted(host, "memory"))
    assert started.look(20.4) == []
    assert started.look(0.2) == [KillHost(host)]


def test_orders_about_unknown_hosts_change_nothing() -> None:
    started = warm()
    nobody = HostId("nobody")
    assert (
        started.feed(events.KillWanted(nobody, ""), events.RecycleWanted(nobody, ""))
        == []
    )


def test_hosts_are_replaced_long_after_their_requests_one_at_a_time() -> None:
    started = warm(pool("a", 2, host_requests=100 // RECYCLED))
    first, second = started.machine.serving()
    spent = Reading(None, 100, 0)
    assert started.look(readings={first: spent, second: spent}) == [Drain(first)]
    assert started.look(0.5, readings={first: spent, second: spent}) == []
    (_, fork) = started.die(first, 0)
    assert isinstance(fork, Fork)
    assert started.look(readings={second: spent}) == []
    started.feed(events.Forked(fork.host), events.Ready(fork.host))
    assert started.look(readings={second: spent}) == [Drain(second)]


def test_hosts_are_replaced_long_after_their_age() -> None:
    started = warm(pool(host_age_s=3600.0 / RECYCLED))
    host = only_host(started)
    assert started.look(3599.0, readings={host: IDLE}, asleep=True) == []
    assert started.look(1.0, readings={host: IDLE}) == [Drain(host)]


# ---- the zygote ------------------------------------------------------------------


def test_hosts_survive_their_zygote_and_the_next_one_fills_the_seats() -> None:
    started = warm(pool("a", 2))
    first, second = started.machine.serving()
    started.now += STEADY_S
    assert StartZygote() in started.feed(events.ZygoteEnded("killed by SIGKILL"))
    assert started.machine.serving() == [first, second]
    assert not any(isinstance(a, Fork) for a in started.die(first, -11, TASK))
    assert any(isinstance(a, Fork) for a in started.feed(events.ZygoteWarm()))


def test_an_order_that_the_zygote_did_not_answer_is_given_again() -> None:
    started = play()
    (fork,) = started.feed(events.ZygoteWarm())
    assert isinstance(fork, Fork)
    started.feed(events.ForkFailed(fork.host, "the zygote ended"))
    started.feed(events.ZygoteEnded("killed by SIGKILL"))
    started.look(FIRST_PAUSE_S)
    (again,) = started.feed(events.ZygoteWarm())
    assert isinstance(again, Fork)
    assert again.host != fork.host


def test_a_zygote_that_does_not_answer_is_killed() -> None:
    started = play()
    started.feed(events.ZygoteWarm())
    assert started.look(9.9) == []
    assert started.look(0.2) == [KillZygote(PATIENCE.start_s)]


def test_a_zygote_that_does_not_become_warm_is_killed() -> None:
    started = play()
    assert started.look(ZYGOTE_S - 0.1) == []
    assert started.look(0.2) == [KillZygote(ZYGOTE_S)]


def test_zygotes_that_never_become_warm_end_the_supervisor() -> None:
    started = play()
    for _ in range(GIVE_UP - 1):
        started.feed(events.ZygoteEnded("exit code 1"))
        started.look(5.0)
    actions = started.feed(events.ZygoteEnded("exit code 1"))
    assert actions[-1] == End(1)
    assert "no VM host can be started" in warnings(actions)[-1]


def test_a_zygote_that_was_warm_once_is_started_again_for_ever() -> None:
    started = warm()
    for _ in range(3 * GIVE_UP):
        started.feed(events.ZygoteEnded("killed by SIGKILL"))
        started.look(PATIENCE.spawn_max_s)
    assert [a for a in started.done if isinstance(a, End)] == []
    assert len([a for a in started.done if isinstance(a, StartZygote)]) > GIVE_UP


# ---- the end ---------------------------------------------------------------------


def test_stop_drains_what_serves_kills_what_starts_and_ends_with_the_last() -> None:
    started = play(pool("a", 2))
    first, second = started.feed(events.ZygoteWarm())
    assert isinstance(first, Fork)
    assert isinstance(second, Fork)
    started.feed(events.Forked(first.host), events.Ready(first.host))
    started.feed(events.Forked(second.host))
    assert started.feed(events.StopWanted()) == [
        Drain(first.host),
        KillHost(second.host),
    ]
    assert End(0) not in started.die(second.host)
    assert started.die(first.host, 0)[-1] == End(0)


def test_a_host_ordered_before_the_stop_is_killed_when_it_appears() -> None:
    started = play()
    (fork,) = started.feed(events.ZygoteWarm())
    assert isinstance(fork, Fork)
    assert started.feed(events.StopWanted()) == []
    assert started.feed(events.Forked(fork.host)) == [KillHost(fork.host)]
    assert started.die(fork.host) == [End(0)]


def test_what_has_not_ended_in_time_is_killed_at_the_stop() -> None:
    started = warm()
    host = only_host(started)
    started.feed(events.StopWanted())
    assert started.look(7.9) == []
    assert started.look(0.2) == [KillHost(host)]


def test_stop_twice_means_now() -> None:
    started = warm()
    host = only_host(started)
    started.feed(events.StopWanted())
    assert started.feed(events.StopWanted()) == [KillHost(host)]


def test_nothing_is_started_after_the_stop() -> None:
    started = warm(pool("a", 3))
    hosts = started.machine.serving()
    started.feed(events.StopWanted())
    started.feed(events.ZygoteEnded("killed by SIGKILL"))
    for host in hosts:
        started.die(host, -11, TASK)
    after = [a for a in started.done if isinstance(a, Fork | StartZygote)]
    assert len(after) == 1 + 3
    assert started.done[-1] == End(0)


def test_a_deadline_holds_also_for_a_host_that_leaves() -> None:
    started = warm()
    host = only_host(started)
    started.feed(events.StopWanted())
    busy = Reading(TASK, 0, 0)
    assert started.look(0.1, readings={host: busy}) == [KillHost(host)]
    assert lost(started.die(host, -9, TASK)).reason == Death.WALL


def test_the_loop_is_wanted_soon_but_not_all_the_time() -> None:
    started = warm()
    assert started.machine.next_due(started.now) == started.now + TICK_S


def test_the_story_tells_what_was_done_and_why() -> None:
    started = warm()
    host = only_host(started)
    started.die(host, -11, TASK)
    now, event, actions = started.machine.story[-1]
    assert now == started.now
    assert isinstance(event, events.Exited)
    assert any(isinstance(action, TellLost) for action in actions)


# ---- gaps in the supervisor's own time ---------------------------------------------


def test_a_host_that_starts_is_given_the_time_in_which_nothing_ran() -> None:
    started = play()
    started.feed(events.ZygoteWarm())
    (host,) = [a.host for a in started.done if isinstance(a, Fork)]
    started.feed(events.Forked(host))
    assert started.look() == []
    assert started.look(60.0, asleep=True) == []
    assert started.look(PATIENCE.start_s - 0.1) == []
    assert started.look(0.1) == [KillHost(host)]


def test_a_host_that_leaves_is_given_the_time_in_which_nothing_ran() -> None:
    started = warm(pool(longest_s=2.0))
    host = only_host(started)
    assert started.feed(events.RecycleWanted(host, "it is time")) == [Drain(host)]
    assert started.look() == []
    assert started.look(60.0, asleep=True) == []
    assert started.look(PATIENCE.stop_s - 0.1) == []
    assert started.look(0.2) == [KillHost(host)]


def test_a_zygote_that_starts_is_given_the_time_in_which_nothing_ran() -> None:
    started = play()
    assert started.look() == []
    assert started.look(60.0, asleep=True) == []
    assert started.look(ZYGOTE_S - 0.1) == []
    assert started.look(0.1) == [KillZygote(ZYGOTE_S)]


def test_a_host_that_came_after_the_gap_is_given_no_time_for_it() -> None:
    started = play()
    assert started.look() == []
    assert started.look(60.0, asleep=True) == []
    started.feed(events.ZygoteWarm())
    started.serve()
    host = only_host(started)
    late = Reading(Running(RequestId(1), Script(b"/x"), 0, 1), 0, 0)
    assert started.look(0.0, {host: late}) == [KillHost(host)]


def test_an_empty_seat_is_filled_no_later_for_a_gap() -> None:
    started = warm()
    started.look()
    died = started.die(only_host(started), -11)
    assert not any(isinstance(a, Fork) for a in died)
    assert any(isinstance(a, Fork) for a in started.look(60.0, asleep=True))


# ---- whether the machine serves ----------------------------------------------------


def test_a_machine_serves_when_all_hosts_do() -> None:
    started = play(pool("a", hosts=2), pool("b"))
    seen = [started.machine.serves_all()]
    started.feed(events.ZygoteWarm())
    forks = {a.host: a.plan.pool for a in started.done if isinstance(a, Fork)}
    for host in forks:
        started.feed(events.Forked(host))
    seen.append(started.machine.serves_all())
    assert started.machine.seats() == 3
    for host in forks:
        started.feed(events.Ready(host))
        seen.append(started.machine.serves_all())
    assert seen == [False, False, False, False, True]
    assert list(forks.values()) == ["a", "a", "b"]


def test_a_pool_that_is_refused_holds_up_no_other() -> None:
    started = play(pool("a"), pool("b", required=("seccomp",)))
    started.feed(events.ZygoteWarm())
    first, last = [a.host for a in started.done if isinstance(a, Fork)]
    for host in (first, last):
        started.feed(events.Forked(host))
    started.feed(events.Ready(first))
    seen = [started.machine.serves_all()]
    started.feed(events.Sealed(last, (), ("seccomp: no",)))
    seen.append(started.machine.serves_all())
    assert seen == [False, True]
    assert started.machine.seats() == 1


# ---- another supervisor comes --------------------------------------------------------


def half_refused(*, has_served: bool) -> tuple[Play, HostId]:
    """Return one beside another, a pool of which is refused, and the other's host."""
    started = play(pool("a"), pool("b", required=("uid",)), is_beside=True)
    started.feed(events.ZygoteWarm())
    first, last = [a.host for a in started.done if isinstance(a, Fork)]
    for host in (first, last):
        started.feed(events.Forked(host))
    started.feed(events.Ready(first))
    if has_served:
        started.feed(events.Ready(last), events.Served())
        started.die(last)
        last = [a.host for a in started.done if isinstance(a, Fork)][-1]
        started.feed(events.Forked(last))
    started.feed(events.Sealed(last, (), ("uid: no",)))
    started.feed(events.Exited(last, deaths.EXIT_LACKING, None, (), ""))
    return started, first


def test_one_that_refuses_a_pool_leaves_it_to_the_one_beside_it() -> None:
    started, first = half_refused(has_served=False)
    assert Drain(first) in started.done
    assert started.die(first, 0)[-1] == End(2)


def test_one_that_has_taken_over_serves_the_pools_that_it_can() -> None:
    started, first = half_refused(has_served=True)
    assert Drain(first) not in started.done
    assert started.machine.serving() == [first]


def test_who_leaves_lets_the_broker_replace_its_hosts_and_ends_with_the_last() -> None:
    started = warm(pool(hosts=2))
    one, other = started.machine.serving()
    assert started.feed(events.LeaveWanted(has_broker=True)) == []
    assert started.machine.is_leaving
    for host, following in ((one, []), (other, [End(0)])):
        assert started.feed(events.RecycleWanted(host, "restart")) == [Drain(host)]
        told, *more = started.die(host, 0)
        assert isinstance(told, TellLost)
        assert more == following
        assert started.look(1.0) == []


def test_who_leaves_fills_no_seat_any_more() -> None:
    started = warm(pool(hosts=2))
    one, other = started.machine.serving()
    started.feed(events.LeaveWanted(has_broker=True))
    started.die(one)
    assert started.look(LEAVE_S / 2) == []
    assert started.machine.serving() == [other]


def test_who_leaves_ends_hosts_that_do_not_serve_yet() -> None:
    started = warm()
    (old,) = started.machine.serving()
    started.feed(events.RecycleWanted(old, "age"))
    started.die(old, 0)
    fork = next(a for a in reversed(started.done) if isinstance(a, Fork))
    started.feed(events.Forked(fork.host))
    assert started.feed(events.LeaveWanted(has_broker=True)) == [KillHost(fork.host)]
    assert started.die(fork.host) == [End(0)]


@pytest.mark.parametrize(("has_broker", "seconds"), [(True, LEAVE_S), (False, ALONE_S)])
def test_what_no_broker_has_replaced_in_time_is_drained(
    has_broker: bool, seconds: float
) -> None:
    started = warm(pool(hosts=2))
    hosts = started.machine.serving()
    started.feed(events.LeaveWanted(has_broker))
    assert started.look(seconds - 1.0) == []
    assert started.look(2.0) == [Drain(host) for host in hosts]
    assert started.look(2.0) == []


def test_a_broker_that_comes_later_has_its_time() -> None:
    started = warm()
    (host,) = started.machine.serving()
    started.feed(events.LeaveWanted(has_broker=False))
    started.look(ALONE_S / 2)
    assert started.feed(events.BrokerMet()) == [Announce(host)]
    assert started.look(ALONE_S) == []
    assert started.look(LEAVE_S) == [Drain(host)]


def test_who_leaves_may_be_stopped() -> None:
    started = warm()
    (host,) = started.machine.serving()
    started.feed(events.LeaveWanted(has_broker=True))
    assert started.feed(events.StopWanted()) == [Drain(host)]
    assert End(0) in started.die(host, 0)
