"""Hosts that were taken over: what is believed of them, and what has them killed."""

from typing import Any

import pytest
from msgspec.structs import replace

from broker import actions as act
from broker import events as ev
from broker.heat import worth
from broker.suspicion import MOST_ROWS, PATIENCE_S, UNORDERED
from luafarm.config.settings import Broker, PoolSettings, Settings
from luafarm.ends import Budget, Closing, Death
from luafarm.names import Epoch, HostId, Machine, Pool, RequestId, Script
from luafarm.wire.messages import (
    HostLost,
    HostRow,
    MachineReport,
    ScriptError,
    StateRow,
    Verdict,
)
from tests.broker.paper import Paper, script

A, B = script("a"), script("b")
THEIRS = Script(b"/r/q/x.lua")  # of pool q, whose root lies within that of pool p
H, Q = HostId("h"), HostId("q1")
MACHINE = Machine("m")


def row(path: bytes, digest: bytes = b"d", epoch: int = 5, **changes: Any) -> StateRow:
    known = {"load_us": 1000, "kib": 50, "requests": 10, "age_ms": 1000}
    fields = {**known, "dependencies": (), **changes}
    return StateRow(Script(path), Epoch(epoch), digest, **fields)


def farm(**broker: Any) -> Paper:
    """Return a farm with a host of each of two pools."""
    pools = {"p": PoolSettings(root=("/r",)), "q": PoolSettings(root=("/r/q",))}
    paper = Paper(Settings(broker=Broker(takeover=0.0, **broker), pool=pools))
    for path in (A, B):
        paper.write(path)
    paper.join(H)
    join(paper, Q, "q")
    return paper


def join(paper: Paper, name: str, pool: str, *rows: StateRow) -> list[act.Action]:
    up = replace(paper.host_up(name), pool=Pool(pool))
    paper.play(ev.HostJoined(up))
    return paper.play(ev.Inventoried(up.host, rows))


def kills(actions: list[act.Action]) -> list[act.Action]:
    return [a for a in actions if isinstance(a, act.KillHost)]


def lost(name: str, path: bytes, reason: str = "crash") -> ev.HostLeft:
    mine = (RequestId(1),)
    return ev.HostLeft(
        HostLost(HostId(name), mine[0], mine, Script(path), Death(reason), "it says")
    )


# ---- blame ---------------------------------------------------------------------------


def test_a_script_that_a_dead_host_of_another_pool_names_is_not_blamed() -> None:
    paper = farm(quarantine_deaths=1)
    paper.ask(A)
    for number in range(5):
        paper.play(lost(f"q{number + 1}", A))
        join(paper, f"q{number + 2}", "q")
    record = paper.broker.farm.records[A]
    assert (record.kills, record.last_stop) == (0, "")
    assert paper.broker.farm.quarantine.count == 0
    assert paper.ask(A).verdict == Verdict.READY


def test_a_script_that_a_dead_host_was_never_given_is_not_blamed() -> None:
    paper = farm(quarantine_deaths=1)
    paper.ask(A)
    paper.join("other")
    assert A not in paper.broker.farm.roster.hosts[HostId("other")].states
    paper.play(lost("other", A))
    assert paper.broker.farm.quarantine.count == 0


def test_a_script_that_a_host_held_loaded_or_was_to_close_is_blamed() -> None:
    for step in ("loads", "holds", "closes"):
        paper = farm(quarantine_deaths=1)
        paper.miss(A)
        if step != "loads":
            paper.run()
        if step == "closes":
            farm_ = paper.broker.farm
            farm_.drop(farm_.roster.hosts[H].states[A])
        paper.play(lost(H, A))
        assert paper.broker.farm.quarantine.count == 1, step


def test_a_claim_to_hold_anothers_script_does_not_make_it_blamed() -> None:
    paper = farm(quarantine_deaths=1)
    paper.ask(A)
    paper.play(ev.StateLoaded(Q, A, Epoch(99), 0.1, 1))
    paper.play(ev.StateGone(Q, A, paper.places[A].epoch, Closing.MEMORY))
    paper.play(lost(Q, A))
    assert paper.broker.farm.quarantine.count == 0
    assert paper.ask(A).verdict == Verdict.READY


def test_the_status_shows_no_script_at_a_host_that_was_never_given_it() -> None:
    paper = farm()
    paper.ask(A)
    rows = tuple(HostRow(name, 1, 1, A) for name in (H, Q))
    paper.play(ev.MachineReported(MACHINE, MachineReport(rows)))
    hosts = paper.broker.farm.roster.hosts
    assert (hosts[H].running, hosts[Q].running) == (A, b"")


# ---- states that nobody ordered ------------------------------------------------------


def test_a_state_of_another_pool_costs_its_host_the_life() -> None:
    paper = farm()
    actions = paper.play(ev.StateLoaded(H, THEIRS, Epoch(9), 0.1, 1))
    why = "a state of /r/q/x.lua, which is none of its pool"
    assert actions == [act.KillHost(MACHINE, H, why)]


@pytest.mark.parametrize("path", [b"/r/../etc/x.lua", b"r/x.lua", b"/r//x.lua", b""])
def test_a_state_of_what_is_no_path_costs_its_host_the_life(path: bytes) -> None:
    paper = farm()
    assert kills(paper.play(ev.StateLoaded(H, Script(path), Epoch(9), 0.1, 1)))


def test_some_states_that_nobody_ordered_are_closed_and_many_cost_the_life() -> None:
    paper = farm(states=100)
    most = UNORDERED + 200
    for number in range(most):
        path = script(f"n{number}")
        actions = paper.play(ev.StateLoaded(H, path, Epoch(9), 0.1, 1))
        assert actions == [act.Drop(H, path, Epoch(9))]
    [kill] = paper.play(ev.StateLoaded(H, script("more"), Epoch(9), 0.1, 1))
    assert isinstance(kill, act.KillHost)
    assert len(paper.broker.farm.closings) == most


def test_ends_and_fences_of_nothing_are_left_out_and_many_cost_the_life() -> None:
    for event in (
        ev.StateGone(H, A, Epoch(9), Closing.DROPPED),
        ev.FenceRaised(H, A, Epoch(9)),
        ev.LoadFailed(H, A, Epoch(9), ScriptError("x", "", "", "", 1, "", Budget.NONE)),
    ):
        paper = farm(states=100)
        for _ in range(UNORDERED + 200):
            assert paper.play(event) == []
        assert kills(paper.play(event))


def test_what_nobody_ordered_may_be_said_again_after_a_while() -> None:
    paper = farm(states=100)
    for _ in range(20):
        for _ in range(100):
            assert paper.play(ev.StateGone(H, A, Epoch(9), Closing.DROPPED)) == []
        paper.now += 15.0


def test_who_does_not_close_its_states_keeps_no_other_pool_from_room() -> None:
    paper = farm(states=100)
    paper.hosts.pop(H)  # it carries out nothing
    for number in range(90):
        path = script(f"n{number}")
        paper.play(ev.StateLoaded(H, path, Epoch(9), 0.1, 1))
    allocation = paper.broker.allocation
    assert allocation._is_closing_much(Pool("p"))
    assert not allocation._is_closing_much(Pool("q"))


# ---- inventories ---------------------------------------------------------------------


def test_a_host_that_was_just_started_holds_nothing() -> None:
    paper = farm()
    paper.report()
    paper.now += 3.0
    paper.report()
    paper.now += 3.0
    actions = join(paper, "new", "p", row(A, paper.files[A]))
    why = "an inventory of 1 states, of which none was ordered"
    assert actions == [act.KillHost(MACHINE, HostId("new"), why)]
    assert paper.broker.farm.taken == 0


def test_hosts_of_a_machine_that_comes_back_may_hold_what_they_held() -> None:
    paper = farm()
    for host in list(paper.broker.farm.roster.hosts):
        paper.play(ev.HostUnreached(host))
    for _ in range(10):
        paper.now += 1.0
        paper.play(ev.Ticked())  # nobody hears of the machine
    assert not paper.broker.farm.roster.hosts
    paper.report()
    actions = join(paper, "old", "p", row(A, paper.files[A]))
    assert not kills(actions)
    assert paper.broker.farm.taken == 1


def test_hosts_of_another_supervisor_of_a_machine_may_hold_what_they_held() -> None:
    paper = farm()
    paper.report()
    paper.now += 3.0
    paper.report()
    paper.now += 3.0
    paper.play(ev.SupervisorChanged(MACHINE))
    actions = join(paper, "old", "p", row(A, paper.files[A]))
    assert not kills(actions)
    assert paper.broker.farm.taken == 1


def test_an_inventory_that_names_a_script_twice_costs_its_host_the_life() -> None:
    paper = farm()
    assert kills(join(paper, "new", "p", row(A), row(A, epoch=6)))
    assert paper.broker.farm.taken == 0


def test_an_inventory_of_more_than_a_host_can_hold_costs_it_the_life() -> None:
    paper = farm()
    rows = [row(b"/r/%d.lua" % number) for number in range(MOST_ROWS + 1)]
    assert kills(join(paper, "new", "p", *rows))
    assert paper.broker.farm.taken == 0


def test_a_host_that_is_asked_again_gets_nothing_for_what_it_was_not_given() -> None:
    paper = farm()
    actions = paper.play(ev.Inventoried(H, (row(A, paper.files[A]), row(THEIRS))))
    assert actions == [act.Drop(H, A, Epoch(5)), act.Drop(H, THEIRS, Epoch(5))]
    assert paper.broker.farm.taken == 0
    assert not paper.watched


@pytest.mark.parametrize("path", [THEIRS, b"/r/../x.lua", b"/r//x.lua", b"/x.lua"])
def test_a_claim_to_a_path_that_is_none_of_its_pool_is_not_adopted(path: bytes) -> None:
    paper = farm()
    join(paper, "old", "p", row(path))
    assert paper.count("unwanted_states") == 1
    assert not paper.broker.farm.records


def test_who_tells_first_takes_no_more_than_it_leaves_the_other_pools() -> None:
    paper = farm(states=10)
    join(paper, "greedy", "p", *[row(b"/r/%d.lua" % n) for n in range(10)])
    assert paper.broker.farm.taken == 10
    join(paper, "late", "q", *[row(b"/r/q/%d.lua" % n) for n in range(6)])
    assert paper.broker.farm.taken_by == {"p": 5, "q": 5}
    assert paper.count("unwanted_states") == 1


def test_what_a_state_says_that_it_is_worth_is_no_more_than_could_be_true() -> None:
    paper = farm()
    huge = 1 << 62
    join(
        paper,
        "liar",
        "p",
        row(A, load_us=huge, kib=huge, requests=huge, age_ms=-huge),
        row(B, load_us=-huge, kib=-huge, requests=-huge),
    )
    farm_ = paper.broker.farm
    record = farm_.records[A]
    [state] = record.states
    pool = PoolSettings()
    assert record.load_s <= pool.load_wall
    assert state.kib <= pool.memory >> 10
    most = 10_000 * farm_.fading.half_life_s * 1.5
    assert worth(state.key, farm_.lived()) <= most * (pool.load_wall + 1)
    assert farm_.records[B].load_s == 0.0
    assert farm_.kib == state.kib


# ---- what is owed --------------------------------------------------------------------


def pass_time(paper: Paper, seconds: float) -> list[act.Action]:
    done: list[act.Action] = []
    for _ in range(round(seconds * 2)):
        paper.now += 0.5
        paper.report()
        done += paper.play(ev.Ticked())
    return done


LIMIT_S = max(PoolSettings().wall, PoolSettings().load_wall) + PATIENCE_S


def fenced() -> Paper:
    """Return a farm in which somebody waits for a fence."""
    paper = farm()
    paper.ask(A)
    paper.hosts[Q] = paper.hosts[H]  # so that it is reported as well
    del paper.files[A]
    paper.settle(b"t")
    assert b"t" not in paper.answers
    return paper


def test_a_host_that_never_confirms_a_fence_is_killed_and_the_deploy_goes_on() -> None:
    paper = fenced()
    assert not kills(pass_time(paper, LIMIT_S - 1.0))
    kill, *_ = kills(pass_time(paper, 2.0))
    assert isinstance(kill, act.KillHost)
    assert kill.host == H
    assert "fence of /r/a.lua" in kill.reason
    paper.play(lost(H, b""))
    assert paper.answers[b"t"].ok


def test_a_broker_that_was_stopped_blames_nobody_for_that_time() -> None:
    paper = fenced()
    for _ in range(5):
        paper.now += 4.9 * LIMIT_S
        paper.report()
        assert not kills(paper.play(ev.Ticked()))


def test_a_host_that_never_tells_what_it_holds_is_killed() -> None:
    paper = farm()
    paper.hosts[Q] = paper.hosts[H]
    silent = replace(paper.host_up("silent"))
    paper.play(ev.HostJoined(silent))
    paper.hosts[silent.host] = paper.hosts[H]
    paper.hosts[silent.host].orders.clear()
    assert not kills(pass_time(paper, LIMIT_S - 1.0))
    assert {
        k.host for k in kills(pass_time(paper, 2.0)) if isinstance(k, act.KillHost)
    } == {"silent"}


def test_an_accusation_is_repeated_until_the_host_is_gone() -> None:
    paper = farm()
    paper.play(ev.Accused(H, "why"))
    paper.hosts[Q] = paper.hosts[H]
    repeated = kills(pass_time(paper, 3.0))
    assert repeated == [act.KillHost(MACHINE, H, "why")] * len(repeated)
    assert 2 <= len(repeated) <= 3
    assert paper.count("accusations") == 1
    paper.play(lost(H, b""))
    assert not kills(pass_time(paper, 3.0))
