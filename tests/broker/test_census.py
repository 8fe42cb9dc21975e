"""Hosts come and go, brokers too: what is adopted, blamed, repeated, given up."""

import dataclasses
from typing import Any

from msgspec.structs import replace

from broker import actions as act
from broker import events as ev
from broker.machine import Broker
from broker.unserved import LATE_S
from luafarm.config.settings import PoolSettings, Settings
from luafarm.ends import Closing
from luafarm.names import TERM_SHIFT, Epoch, HostId, Pool
from luafarm.names import Machine as Machine
from luafarm.wire.messages import (
    Dependency,
    HostLost,
    HostRow,
    HostUnlisted,
    MachineReport,
    NeedKind,
    Report,
    Snapshot,
    StateRow,
    UseRow,
    Verdict,
)
from tests.broker.paper import FRONT, POOL, TERM, Paper, script, settings

A, B, C = (script(name) for name in "abc")
LIB = b"/r/lib.lua"
H1 = HostId("h1")


def farm(*hosts: str, **broker: Any) -> Paper:
    paper = Paper(settings(**broker))
    for path in (A, B, C, LIB):
        paper.write(path)
    paper.join(*hosts)
    return paper


def row(path: Any, digest: bytes, epoch: int = 5, **changes: Any) -> StateRow:
    known = {"load_us": 1000, "kib": 50, "requests": 10, "age_ms": 1000}
    return StateRow(
        path, Epoch(epoch), digest, **{**known, "dependencies": (), **changes}
    )


# ---- a broker that starts ------------------------------------------------------------


def restarted(paper: Paper, takeover: float = 1.0) -> Paper:
    """Return the same farm under a new broker, which nobody has greeted yet."""
    paper.settings = settings(takeover=takeover)
    paper.broker = Broker(paper.settings, TERM + 1, paper.now)
    paper.watched.clear()
    paper.orders.clear()
    return paper


def greet(paper: Paper) -> None:
    for host in paper.hosts.values():
        paper.play(ev.HostJoined(host.up))
        paper.play(ev.Inventoried(host.up.host, paper.inventory(host.up.host)))


def test_a_new_broker_takes_over_without_loading_anything() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    for path in (A, B, C):
        paper.ask(path)
    before = {path: paper.places[path] for path in (A, B, C)}
    restarted(paper)
    paper.play(ev.FrontJoined(FRONT))
    greet(paper)
    paper.settle()
    assert paper.snapshots == 0  # it listens first
    paper.tick(0.5)
    assert paper.snapshots == 1
    assert {p: paper.places[p].hosts for p in before} == {
        p: before[p].hosts for p in before
    }
    assert not [a for a in paper.orders if isinstance(a, act.Load | act.Drop)]
    assert paper.count("adopted_states") == 3


def complete(paper: Paper, seats: int) -> None:
    """Let the supervisor say what it has, and how many hosts there are to be."""
    rows = tuple(HostRow(host, 0, 0, b"") for host in paper.hosts)
    paper.play(ev.MachineReported(Machine("m"), MachineReport(rows, seats)))


def test_it_listens_no_longer_than_until_the_farm_of_its_machine_is_complete() -> None:
    paper = restarted(farm("h1", "h2"))
    paper.play(ev.FrontJoined(FRONT))
    greet(paper)
    complete(paper, 3)
    assert paper.snapshots == 0
    complete(paper, 2)
    assert paper.snapshots == 1


def test_a_farm_is_not_complete_while_a_supervisor_has_not_said_what_it_has() -> None:
    paper = restarted(farm("h1", "h2"))
    paper.play(ev.FrontJoined(FRONT))
    greet(paper)
    come(paper, "n1")
    complete(paper, 2)
    assert paper.snapshots == 0
    rows = (HostRow(HostId("n1"), 0, 0, b""),)
    paper.play(ev.MachineReported(Machine("m"), MachineReport(rows, 1), 2))
    assert paper.snapshots == 1


def test_other_machines_are_waited_for_all_the_same() -> None:
    paper = farm("h1")
    paper.settings = replace_endpoint(restarted(paper).settings)
    paper.broker = Broker(paper.settings, TERM + 1, paper.now)
    paper.play(ev.FrontJoined(FRONT))
    greet(paper)
    complete(paper, 1)
    assert paper.snapshots == 0
    paper.tick(0.5)
    assert paper.snapshots == 1


def replace_endpoint(config: Settings) -> Settings:
    """Return the settings of a broker that other machines can reach."""
    broker = dataclasses.replace(config.broker, endpoint="tcp://127.0.0.1:1")
    return dataclasses.replace(config, broker=broker)


def test_it_waits_for_hosts_that_were_announced_but_not_for_ever() -> None:
    paper = restarted(farm("h1"))
    paper.play(ev.FrontJoined(FRONT))
    paper.play(ev.HostJoined(paper.hosts[H1].up))
    paper.tick(0.9)
    assert paper.snapshots == 0
    paper.tick(0.2)
    assert paper.snapshots == 1


def test_a_broker_that_waited_for_its_predecessor_has_its_whole_time_to_listen() -> (
    None
):
    paper = restarted(farm())
    paper.play(ev.FrontJoined(FRONT))
    paper.broker = Broker(paper.settings, TERM + 1, paper.now)
    paper.now += 60.0
    paper.play(ev.Begun())
    paper.play(ev.FrontJoined(FRONT))
    paper.tick(0.9)
    assert paper.snapshots == 0
    paper.tick(0.2)
    assert paper.snapshots == 1


def test_without_any_host_it_opens_when_the_time_is_up() -> None:
    paper = restarted(farm())
    paper.play(ev.FrontJoined(FRONT))
    paper.miss(A)
    assert not paper.verdicts
    paper.tick(1.1)
    assert paper.snapshots == 1
    assert paper.count("misses") == 1


def test_questions_that_came_early_are_answered_after_the_snapshot() -> None:
    paper = farm("h1")
    paper.ask(A)
    restarted(paper)
    paper.play(ev.FrontJoined(FRONT))
    paper.miss(A)
    greet(paper)
    paper.tick(0.5)
    told = [a.message for a in paper.orders if isinstance(a, act.Tell)]
    assert isinstance(told[0], Snapshot)
    assert paper.verdicts[-1].hosts == (H1,)


def test_a_state_that_is_stale_is_adopted_and_renewed() -> None:
    paper = farm("h1")
    paper.requires[A] = (b"lib",)
    paper.ask(A)
    old = paper.places[A].epoch
    paper.write(LIB)
    restarted(paper)
    greet(paper)
    paper.settle()
    paper.tick(0.5)
    assert paper.places[A].hosts == (H1,)  # served on, until the new one is ready
    paper.run()
    assert paper.places[A].epoch > old
    assert paper.hosts[H1].states[A].used[LIB] == paper.files[LIB]


def test_a_script_deleted_while_no_broker_looked_is_dropped() -> None:
    paper = farm("h1")
    paper.ask(A)
    restarted(paper)
    del paper.files[A]
    greet(paper)
    paper.settle()
    paper.tick(0.5)
    paper.run()
    assert paper.ask(A).verdict == Verdict.MISSING
    assert not paper.hosts[H1].states


def test_epochs_go_on_above_all_that_hosts_have_seen() -> None:
    paper = restarted(farm())
    term = TERM + 40
    state = row(A, paper.files[A], term << TERM_SHIFT | 9)
    paper.join("h1", states=(state,))
    assert paper.broker.farm.epochs.term == term + 1
    paper.tick(1.1)
    paper.write(A)
    paper.settle()
    loads = [a for a in paper.orders if isinstance(a, act.Load)]
    assert loads[0].epoch > state.epoch


def test_equal_states_under_different_epochs_are_one_generation() -> None:
    paper = restarted(farm())
    digest = paper.files[A]
    paper.join("h1", states=(row(A, digest, 5),))
    paper.join("h2", states=(row(A, digest, 9),))
    paper.tick(1.1)
    place = paper.broker.farm.bulletin.served(paper.broker.farm.records[A])
    assert set(place.hosts) == {"h1", "h2"}
    assert place.epoch == 5
    assert paper.count("loads") == 0


def test_of_different_states_the_newer_one_is_served_and_the_other_renewed() -> None:
    paper = restarted(farm())
    paper.join("h1", states=(row(A, b"old", 5),))
    paper.join("h2", states=(row(A, paper.files[A], 9),))
    paper.tick(1.1)
    place = paper.broker.farm.bulletin.served(paper.broker.farm.records[A])
    assert place.hosts == ("h2",)
    paper.run()
    place = paper.broker.farm.bulletin.served(paper.broker.farm.records[A])
    assert set(place.hosts) == {"h1", "h2"}


def test_more_states_than_there_is_room_for_are_closed() -> None:
    paper = restarted(farm())
    paper.settings = settings(takeover=1.0, states=1)
    paper.broker = Broker(paper.settings, TERM + 1, paper.now)
    rows = (row(A, paper.files[A]), row(B, paper.files[B]))
    paper.join("h1", states=rows)
    assert paper.count("unwanted_states") == 1
    assert [a for a in paper.orders if isinstance(a, act.Drop)]


def test_states_of_scripts_outside_the_roots_are_closed() -> None:
    paper = restarted(farm())
    paper.join("h1", states=(row(b"/elsewhere/x.lua", b"d"),))
    assert paper.count("unwanted_states") == 1


def test_hosts_of_a_pool_that_is_not_configured_are_left_alone() -> None:
    paper = farm()
    up = paper.host_up("h1")
    other = ev.HostJoined(replace(up, pool=Pool("other")))
    actions = paper.play(other)
    assert [type(a) for a in actions] == [act.Log]
    assert paper.play(ev.Inventoried(up.host, ())) == []


def unserved() -> Paper:
    """Return a farm with a host of a pool that the broker has not."""
    paper = farm()
    up = replace(paper.host_up("h1"), pool=Pool("other"))
    for _ in range(2):
        paper.play(ev.HostJoined(up))
    return paper


def said(paper: Paper, level: str) -> list[str]:
    logged = [a for a in paper.orders if isinstance(a, act.Log)]
    return [a.text for a in logged if a.level == level]


def test_hosts_of_a_pool_that_is_no_more_end_when_their_supervisor_leaves() -> None:
    paper = unserved()
    for _ in range(2):
        leaving(paper, "h1")
    assert recycled(paper) == [(H1, "its pool is no more")]
    assert said(paper, "warning") == []
    assert len(said(paper, "info")) == 1


def test_pools_that_a_broker_never_has_are_warned_of_once_when_it_lasts() -> None:
    paper = unserved()
    rows = (HostRow(H1, 0, 0, b""),)
    for _ in range(3):
        paper.play(ev.MachineReported(Machine("m"), MachineReport(rows)))
        paper.tick(LATE_S / 2)
    assert recycled(paper) == []
    [warning] = said(paper, "warning")
    assert "machine=m has VM hosts of pools that this broker has not: other" in warning


def test_a_host_that_a_broken_connection_kept_away_is_told_again() -> None:
    paper = farm("h1", states=1)
    paper.ask(A)
    paper.use(A, H1)
    paper.miss(B)  # Drop of A and Load of B are lost on the way
    rows = paper.inventory("h1")
    paper.hosts[H1].orders.clear()
    paper.play(ev.Inventoried(H1, rows))
    assert [type(a) for a in paper.hosts[H1].orders] == [act.Drop, act.Load]
    paper.run()
    assert set(paper.hosts[H1].states) == {B}
    assert not paper.asked


def test_an_inventory_says_nothing_about_later_orders() -> None:
    paper = farm("h1")
    asked_at = paper.now
    paper.now += 0.1
    paper.miss(A)
    assert paper.play(ev.Inventoried(H1, (), asked_at)) == []
    paper.run()
    assert paper.play(ev.Inventoried(H1, (), asked_at)) == []
    assert paper.places[A].hosts == (H1,)


def test_a_fence_that_was_lost_is_ordered_again() -> None:
    paper = farm("h1")
    paper.ask(A)
    del paper.files[A]
    paper.settle(b"t")
    paper.hosts[H1].orders.clear()
    rows = paper.inventory("h1")
    paper.play(ev.Inventoried(H1, rows))
    paper.run()
    assert paper.answers[b"t"].ok


def test_a_state_that_an_earlier_broker_ordered_late_is_closed() -> None:
    paper = farm("h1")
    actions = paper.play(ev.StateLoaded(H1, A, Epoch(99), 0.001, 50))
    assert actions == [act.Drop(H1, A, Epoch(99))]


def test_a_state_that_an_earlier_broker_replaced_is_renewed() -> None:
    paper = farm("h1")
    paper.ask(A)
    epoch = Epoch(paper.places[A].epoch + 50)
    actions = paper.play(ev.StateLoaded(H1, A, epoch, 0.001, 50))
    loads = [a for a in actions if isinstance(a, act.Load)]
    assert loads[0].epoch > epoch
    assert paper.places[A].hosts == ()


def test_a_fence_of_an_earlier_broker_above_a_state_renews_it() -> None:
    paper = farm("h1")
    paper.ask(A)
    epoch = Epoch(paper.places[A].epoch + 50)
    actions = paper.play(ev.FenceRaised(H1, A, epoch))
    loads = [a for a in actions if isinstance(a, act.Load)]
    assert loads[0].epoch > epoch


# ---- hosts that go -------------------------------------------------------------------


def test_fronts_hear_of_a_lost_host_and_of_the_places_without_it() -> None:
    paper = farm("h1", "h2")
    paper.ask(A)
    host = paper.places[A].hosts[0]
    paper.orders.clear()
    paper.die(host, "stopped")
    kinds = [
        type(a.message).__name__ if isinstance(a, act.Tell) else type(a).__name__
        for a in paper.orders
    ]
    assert kinds[:3] == ["HostLost", "Forget", "Place"]
    assert paper.places[A].hosts == ()


def test_a_hot_script_that_lost_its_last_state_is_loaded_again_unasked() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    paper.ask(A)
    paper.ask(B)
    host = paper.places[A].hosts[0]
    paper.use(A, host, 100)
    paper.orders.clear()
    paper.die(host, "stopped")
    paper.run()
    assert len(paper.places[A].hosts) == 1
    loaded = {a.script for a in paper.orders if isinstance(a, act.Load)}
    assert A in loaded
    assert loaded <= {A}


def silence(paper: Paper, seconds: int) -> None:
    """Let a time pass in which no supervisor speaks."""
    for _ in range(seconds):
        paper.now += 1.0
        paper.play(ev.Ticked())


def told_of(paper: Paper, host: HostId) -> list[object]:
    """Return what fronts were told of a host's end."""
    news = [a.message for a in paper.orders if isinstance(a, act.Tell)]
    ends = [m for m in news if isinstance(m, HostLost | HostUnlisted)]
    return [end for end in ends if end.host == host]


def test_hosts_of_a_silent_machine_that_nobody_reaches_are_unlisted() -> None:
    paper = farm("h1")
    paper.ask(A)
    paper.report()
    paper.play(ev.HostUnreached(H1))
    silence(paper, 5)
    assert paper.places[A].hosts == (H1,)
    silence(paper, 1)
    assert paper.places[A].hosts == ()
    assert not paper.broker.farm.roster.hosts
    assert told_of(paper, H1) == [HostUnlisted(H1)]  # not that it died, or of what


def test_hosts_that_answer_serve_on_while_their_supervisor_hangs() -> None:
    paper = farm("h1")
    paper.ask(A)
    paper.report()
    silence(paper, 60)
    assert paper.places[A].hosts == (H1,)
    paper.play(ev.HostUnreached(H1))
    silence(paper, 1)
    assert paper.places[A].hosts == ()
    assert told_of(paper, H1) == [HostUnlisted(H1)]


def test_who_was_silent_while_the_broker_was_stopped_is_accused_of_nothing() -> None:
    paper = farm("h1")
    paper.play(ev.FrontJoined(FRONT))
    paper.ask(A)
    paper.report()
    paper.play(ev.HostUnreached(H1))
    paper.play(ev.Ticked())
    paper.now += 60.0
    paper.play(ev.Ticked())
    silence(paper, 5)
    assert paper.places[A].hosts == (H1,)
    assert list(paper.broker.fronts) == [FRONT]
    silence(paper, 1)
    assert paper.places[A].hosts == ()


def test_hosts_that_their_supervisor_does_not_have_are_unlisted() -> None:
    paper = farm("h1")
    paper.ask(A)
    report = MachineReport(())
    paper.play(ev.MachineReported(Machine("n"), report))
    assert paper.places[A].hosts == (H1,)
    paper.play(ev.MachineReported(Machine("m"), report))
    assert paper.places[A].hosts == ()
    assert told_of(paper, H1) == [HostUnlisted(H1)]


def test_a_stranger_that_dies_or_speaks_is_ignored() -> None:
    paper = farm("h1")
    paper.hosts[HostId("ghost")] = paper.hosts[H1]
    paper.die("ghost", "crash", A)
    ghost = HostId("ghost")
    for event in (
        ev.StateGone(ghost, A, Epoch(1), Closing.MEMORY),
        ev.StateLoaded(ghost, A, Epoch(1), 0.1, 1),
        ev.FenceRaised(ghost, A, Epoch(1)),
        ev.Inventoried(ghost, (row(A, b"x"),)),
    ):
        assert paper.play(event) == []


# ---- blame ---------------------------------------------------------------------------


def killed(paper: Paper, path: Any, reason: str = "crash") -> None:
    """Let the script kill a host that runs it, and a new host join."""
    host = paper.places[path].hosts[0]
    paper.die(host, reason, path)
    paper.join(f"{host}x")
    paper.run()


def refused(paper: Paper) -> Paper:
    """Return a farm where A has killed three hosts, and B is served."""
    paper = farm("h1", "h2", "h3", "h4")
    paper.ask(B)
    for _ in range(3):
        paper.ask(A)
        killed(paper, A)
    return paper


def test_a_script_that_keeps_killing_hosts_is_refused_and_others_are_not() -> None:
    paper = refused(farm())
    place = paper.ask(A)
    assert place.verdict == Verdict.REFUSED
    assert 1 <= place.retry_after_s <= 31
    assert not [h for h in paper.hosts.values() if A in h.states]
    assert paper.ask(B).verdict == Verdict.READY


def test_the_refusal_ends_with_time() -> None:
    paper = refused(farm())
    paper.tick(31.0)
    assert paper.ask(A).verdict == Verdict.READY
    killed(paper, A)
    assert paper.ask(A).verdict == Verdict.REFUSED
    paper.tick(31.0)
    assert paper.ask(A).verdict == Verdict.REFUSED
    paper.tick(31.0)
    assert paper.ask(A).verdict == Verdict.READY


def test_the_refusal_ends_with_a_change_of_the_file() -> None:
    paper = refused(farm())
    paper.write(A)
    paper.settle()
    paper.run()
    assert paper.ask(A).verdict == Verdict.READY


def test_hosts_that_were_stopped_or_replaced_are_nobodys_fault() -> None:
    paper = farm("h1", "h2")
    for reason in ("stopped", "silent") * 5:
        paper.ask(A)
        killed(paper, A, reason)
    assert paper.ask(A).verdict == Verdict.READY


def in_between(paper: Paper, path: Any, runs: int) -> None:
    """Have a script run well so many times, wherever it is."""
    paper.use(path, paper.places[path].hosts[0], requests=runs)


def test_three_kills_from_outside_take_no_script_away_that_runs_well() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    for _ in range(30):
        paper.ask(A)
        in_between(paper, A, 20)
        killed(paper, A, "killed")
        paper.tick(1.0)
    assert paper.ask(A).verdict == Verdict.READY
    assert paper.count("excused_deaths") == 30


def test_kills_from_outside_count_little_while_nothing_is_known_of_the_script() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    for _ in range(11):
        assert paper.ask(A).verdict == Verdict.READY
        killed(paper, A, "killed")
    assert paper.ask(A).verdict == Verdict.READY
    killed(paper, A, "killed")
    assert paper.ask(A).verdict == Verdict.REFUSED


def test_a_script_that_is_killed_whenever_it_runs_is_refused_whatever_its_past() -> (
    None
):
    paper = farm("h1", "h2", "h3", "h4")
    paper.ask(A)
    in_between(paper, A, 1_000_000)
    deaths = 0
    while paper.ask(A).verdict == Verdict.READY:
        killed(paper, A, "killed")
        deaths += 1
        assert deaths < 100
    assert deaths == 15 + 12


def test_one_that_crashes_a_host_each_time_is_refused_at_the_third_death() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    for reason in ("crash", "abort"):
        paper.ask(A)
        in_between(paper, A, 100)
        killed(paper, A, reason)
    assert paper.ask(A).verdict == Verdict.READY
    killed(paper, A, "seccomp")
    assert paper.ask(A).verdict == Verdict.REFUSED


def test_visitors_whose_requests_take_a_kill_to_end_leave_the_script_to_the_others() -> (  # noqa: E501
    None
):
    paper = farm("h1", "h2", "h3", "h4")
    for _ in range(20):
        paper.ask(A)
        in_between(paper, A, 100)
        killed(paper, A, "wall")
        paper.tick(5.0)
    assert paper.ask(A).verdict == Verdict.READY
    assert paper.broker.farm.restraint.left_s(A, paper.now) > 0.0


def test_runs_that_failed_excuse_nothing() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    for _ in range(3):
        paper.ask(A)
        paper.use(A, paper.places[A].hosts[0], requests=5000, errors=5000)
        killed(paper, A)
    assert paper.ask(A).verdict == Verdict.REFUSED


def test_credit_is_of_the_content_that_ran() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    paper.ask(A)
    in_between(paper, A, 1_000_000)
    paper.write(A)
    paper.settle()
    paper.run()
    for _ in range(3):
        paper.ask(A)
        killed(paper, A)
    assert paper.ask(A).verdict == Verdict.REFUSED


def test_a_state_closed_by_an_error_is_loaded_again_by_the_next_request() -> None:
    paper = farm("h1")
    paper.ask(A)
    held = paper.hosts[H1].states.pop(A)
    paper.play(ev.StateGone(H1, A, held.epoch, Closing.BROKEN))
    assert paper.places[A].hosts == ()
    assert paper.ask(A).hosts == (H1,)


# ---- fronts --------------------------------------------------------------------------


def test_a_front_that_joins_again_gets_everything_again() -> None:
    paper = farm("h1")
    paper.ask(A)
    paper.play(ev.FrontJoined(FRONT))
    paper.play(ev.FrontJoined(FRONT))
    assert paper.snapshots == 2
    assert list(paper.places) == [A]


def test_a_front_that_says_its_last_word_is_forgotten_and_what_it_says_counts() -> None:
    paper = farm("h1")
    paper.play(ev.FrontJoined(FRONT))
    paper.ask(A)
    row = UseRow(A, H1, 7, 100, 0, 0, 0)
    paper.play(ev.Reported(FRONT, Report((row,), (), is_last=True)))
    assert FRONT not in paper.broker.fronts
    assert paper.broker.farm.records[A].requests == 7


def test_a_silent_front_is_forgotten() -> None:
    paper = farm("h1")
    paper.play(ev.FrontJoined(FRONT))
    silence(paper, 11)
    assert paper.broker.fronts == {}
    paper.play(ev.FrontJoined(FRONT))
    paper.play(ev.FrontLeft(FRONT))
    assert paper.broker.fronts == {}


# ---- replacing what is old -----------------------------------------------------------


def test_a_state_is_renewed_after_so_many_requests_beside_itself() -> None:
    pool = PoolSettings(root=("/r",), state_requests=100)
    paper = Paper(settings(pool))
    paper.write(A)
    paper.join("h1")
    paper.ask(A)
    before = paper.places[A]
    paper.use(A, H1, 99)
    assert not paper.hosts[H1].orders
    paper.use(A, H1, 1)
    load = paper.hosts[H1].orders[0]
    assert isinstance(load, act.Load)
    assert load.epoch > before.epoch
    paper.run()
    assert paper.places[A].epoch == before.epoch  # the content is the same
    assert paper.places[A].hosts == (H1,)
    assert paper.broker.farm.records[A].states[0].requests == 0
    assert paper.count("recycled_states") == 1


def test_never_are_all_states_of_a_script_renewed_at_once() -> None:
    pool = PoolSettings(root=("/r",), state_age=60.0)
    paper = Paper(settings(pool, min_clones=3))
    paper.write(A)
    paper.join("h1", "h2", "h3", "h4")
    paper.ask(A)
    renewed = 0
    for _ in range(20):
        paper.tick(1.0)
        paper.now += 3.0
        under_way = sum(bool(h.orders) for h in paper.hosts.values())
        assert under_way <= 1
        renewed += under_way
        paper.run()
    assert renewed >= 3


def old_host(**limits: Any) -> Paper:
    paper = Paper(settings(PoolSettings(root=("/r",), **limits)))
    for path in (A, B):
        paper.write(path)
    paper.join("h1", "h2", "h3", "h4")
    paper.ask(A)
    paper.ask(B)
    paper.use(A, paper.places[A].hosts[0], 100)
    return paper


def recycled(paper: Paper) -> list[tuple[str, str]]:
    return [(a.host, a.reason) for a in paper.orders if isinstance(a, act.Recycle)]


def test_a_host_is_replaced_after_its_hot_states_are_elsewhere() -> None:
    paper = old_host(host_requests=1000)
    host = paper.places[A].hosts[0]
    paper.report(of=host, requests=1001)
    assert recycled(paper) == []
    assert paper.places[A].hosts == (host,)
    paper.run()
    assert host not in paper.places[A].hosts
    assert len(paper.places[A].hosts) == 1
    paper.tick()
    assert recycled(paper) == [(host, "requests")]
    paper.die(host, "stopped")
    assert len(paper.places[A].hosts) == 1


def test_only_one_host_of_a_pool_is_replaced_at_a_time() -> None:
    paper = old_host(host_age=10.0)
    paper.tick(20.0)
    for _ in range(3):
        paper.report()
        paper.run()
        paper.tick(6.0)
    hosts = paper.broker.farm.roster.hosts.values()
    assert len([host for host in hosts if host.is_retiring]) == 1
    ((first, _),) = recycled(paper)
    paper.die(first, "stopped")
    paper.report()
    assert len([host for host in hosts if host.is_retiring]) == 1


def test_a_host_whose_memory_grew_is_replaced() -> None:
    paper = old_host(host_memory=64 << 20)
    host = paper.places[B].hosts[0]
    paper.report(of=host, rss_kib=40 << 10)
    paper.report(of=host, rss_kib=100 << 10)
    paper.run()
    paper.tick()
    assert recycled(paper) == []
    paper.report(of=host, rss_kib=130 << 10)
    paper.run()
    paper.tick()
    assert recycled(paper) == [(host, "memory")]


def test_a_host_is_replaced_though_its_states_cannot_be_moved() -> None:
    paper = old_host(host_requests=10)
    host = paper.places[A].hosts[0]
    paper.report(of=host, requests=11)
    paper.tick(6.0)
    assert recycled(paper) == [(host, "requests")]


def leaving(paper: Paper, *hosts: str) -> None:
    """Let the supervisor of these hosts say that another one has come."""
    rows = tuple(HostRow(HostId(host), 0, 0, b"") for host in hosts)
    report = MachineReport(rows, is_leaving=True)
    paper.play(ev.MachineReported(Machine("m"), report))


def come(paper: Paper, *names: str) -> None:
    """Let a second supervisor of the machine have hosts."""
    paper.incarnation = 2
    paper.join(*names)
    paper.incarnation = 0


def test_hosts_of_a_supervisor_that_leaves_are_replaced_when_all_is_elsewhere() -> None:
    paper = old_host()
    old = ("h1", "h2", "h3", "h4")
    paper.use(B, paper.places[B].hosts[0], 100)
    come(paper, "n1", "n2")
    leaving(paper, *old)
    for path in (A, B):  # nothing is taken away before it is there again
        assert set(paper.places[path].hosts) <= set(old)
    paper.run()
    for path in (A, B):
        assert set(paper.places[path].hosts) <= {"n1", "n2"}
    paper.tick()
    assert sorted(recycled(paper)) == [(host, "restart") for host in old]


def test_hosts_of_a_supervisor_that_leaves_stay_while_there_are_no_others() -> None:
    paper = old_host()
    leaving(paper, "h1", "h2", "h3", "h4")
    paper.tick()
    assert recycled(paper) == []
    come(paper, "n1")
    leaving(paper, "h1", "h2", "h3", "h4")
    paper.run()
    paper.tick()
    assert len(recycled(paper)) == 4


def test_a_script_with_one_state_is_served_until_it_has_another_one() -> None:
    paper = farm("h1", "h2", clones=1)
    paper.ask(A)
    paper.use(A, paper.places[A].hosts[0], 100)
    come(paper, "n1")
    leaving(paper, "h1", "h2")
    assert len(paper.places[A].hosts) == 1
    paper.run()
    assert paper.places[A].hosts == (HostId("n1"),)


def test_a_supervisor_beside_another_does_not_know_the_hosts_of_that_one() -> None:
    paper = farm("h1")
    paper.ask(A)
    come(paper, "n1")
    report = MachineReport((HostRow(HostId("n1"), 0, 0, b""),))
    paper.play(ev.MachineReported(Machine("m"), report, 2))
    assert paper.places[A].hosts == (H1,)
    assert set(paper.broker.farm.roster.hosts) == {"h1", "n1"}


def test_hosts_of_one_that_hangs_serve_on_whatever_the_one_beside_it_reports() -> None:
    paper = farm("h1")
    paper.ask(A)
    paper.report()
    come(paper, "n1")
    report = MachineReport((HostRow(HostId("n1"), 0, 0, b""),))
    for _ in range(60):
        silence(paper, 1)
        paper.play(ev.MachineReported(Machine("m"), report, 2))
    assert paper.places[A].hosts == (H1,)
    paper.play(ev.SupervisorChanged(Machine("m"), (2,)))  # it is known to be dead
    paper.play(ev.MachineReported(Machine("m"), report, 2))
    assert told_of(paper, H1) == [HostUnlisted(H1)]


def test_hosts_of_a_supervisor_that_is_replaced_are_unlisted() -> None:
    paper = farm("h1")
    paper.ask(A)
    paper.play(ev.SupervisorChanged(Machine("m"), (2,)))
    come(paper, "n1")
    report = MachineReport((HostRow(HostId("n1"), 0, 0, b""),))
    paper.play(ev.MachineReported(Machine("m"), report, 2))
    assert told_of(paper, H1) == [HostUnlisted(H1)]
    assert set(paper.broker.farm.roster.hosts) == {"n1"}


def test_nothing_new_goes_to_a_host_that_is_to_be_replaced() -> None:
    paper = old_host(host_requests=10)
    paper.report(of="h1", requests=11)
    for i in range(6):
        path = script(f"n{i}")
        paper.write(path)
        assert paper.ask(path).hosts != (HostId("h1"),)


def test_dependencies_of_adopted_states_are_watched() -> None:
    paper = restarted(farm())
    used = Dependency(NeedKind.MODULE, b"lib", LIB, paper.files[LIB])
    paper.join("h1", states=(row(A, paper.files[A], dependencies=(used,)),))
    assert set(paper.watched) == {(POOL, A), (POOL, LIB)}
