"""Scripts that budgets stop again and again get few VM hosts, and are never refused."""

import pytest

from broker import actions as act
from broker import events as ev
from broker.restraint import Restraint
from luafarm.config.settings import ScriptSettings
from luafarm.ends import Budget, Closing
from luafarm.names import HostId, Script
from luafarm.wire.messages import Report, StopRow, Verdict
from tests.broker.paper import FRONT, Paper, script, settings

A, B = script("a"), script("b")


def farm(hosts: int, stops: int = 4, min_clones: int | None = None) -> Paper:
    """Return a farm on which A is loaded; it may have 32 states."""
    mine = ScriptSettings(pattern="a.lua", min_clones=min_clones)
    paper = Paper(settings(scripts=(mine,), restraint_stops=stops))
    paper.join(*[f"h{i:02}" for i in range(hosts)])
    paper.write(A)
    paper.write(B)
    assert paper.ask(A).verdict == Verdict.READY
    return paper


def is_restrained(paper: Paper, path: Script = A) -> bool:
    tables = paper.broker.farm
    return tables.is_restrained(tables.records[path])


def hosts_of(paper: Paper, path: Script = A) -> list[HostId]:
    return [h for h, host in paper.hosts.items() if path in host.states]


def exhaust(paper: Paper, reason: str = "cpu", path: Script = A) -> None:
    """Let a budget end a request, and with it a state, wherever one is."""
    paper.ask(path)
    host = hosts_of(paper, path)[0]
    held = paper.hosts[host].states.pop(path)
    paper.play(ev.StateGone(host, path, held.epoch, Closing(reason)))
    paper.run()


def spread(paper: Paper) -> int:
    """Let requests wait for A for as long as that brings it states; return them."""
    paper.ask(A)
    before = -1
    while len(hosts_of(paper)) > before:
        before = len(hosts_of(paper))
        for host in hosts_of(paper):
            paper.use(A, host, busy_us=10_000)
        paper.press(A, *paper.hosts, waited_s=5.0, queued=500)
        paper.run()
        paper.tick(10.0)
    return before


@pytest.mark.parametrize("reason", ["cpu", "wall", "memory"])
def test_soft_stops_alone_never_refuse_a_script(reason: str) -> None:
    paper = farm(4)
    for _ in range(200):
        exhaust(paper, reason)
    assert paper.ask(A).verdict == Verdict.READY
    assert len(paper.broker.farm.quarantine) == 0


def test_a_script_that_is_stopped_too_often_gets_one_host_of_a_small_pool() -> None:
    paper = farm(7)
    assert spread(paper) > 1
    for _ in range(4):
        assert not is_restrained(paper)
        exhaust(paper)
    assert is_restrained(paper)
    assert spread(paper) == 1
    assert paper.ask(A).verdict == Verdict.READY


def test_it_gets_a_quarter_of_a_large_pool() -> None:
    paper = farm(40)
    assert spread(paper) > 10
    for _ in range(4):
        exhaust(paper)
    assert spread(paper) == 10


def test_it_lives_in_the_slow_lane_however_quick_the_rest_of_it_is() -> None:
    paper = farm(4)
    paper.ask(B)
    for _ in range(4):
        exhaust(paper)
    paper.ask(A)
    for _ in range(20):
        for host in hosts_of(paper):
            paper.use(A, host, requests=50, busy_us=5_000)
        paper.run()
    lanes = {h.id: h.lane for h in paper.broker.farm.roster.hosts.values()}
    [where] = hosts_of(paper)
    assert lanes[where] == paper.broker.farm.records[A].lane == 1
    paper.tick(61.0)  # then it may be quick again
    for host in hosts_of(paper):
        paper.use(A, host, requests=50, busy_us=5_000)
    paper.run()
    assert paper.broker.farm.records[A].lane == 0


def test_states_on_order_do_not_make_it_more() -> None:
    paper = farm(7)
    for _ in range(3):
        exhaust(paper)
    paper.ask(A)
    [host] = hosts_of(paper)
    paper.use(A, host, busy_us=10_000)
    paper.press(A, *paper.hosts, waited_s=5.0, queued=500)
    held = paper.hosts[host].states.pop(A)
    assert paper.broker.farm.records[A].loads
    paper.play(ev.StateGone(host, A, held.epoch, Closing.CPU))
    assert is_restrained(paper)
    paper.run()
    assert len(hosts_of(paper)) == 1


def test_the_least_number_of_states_waits_until_it_is_over() -> None:
    paper = farm(7, min_clones=3)
    assert len(hosts_of(paper)) == 3
    for _ in range(4):
        exhaust(paper)
    paper.ask(A)
    assert len(hosts_of(paper)) == 1
    paper.tick(61.0)
    paper.run()
    assert len(hosts_of(paper)) == 3


def test_it_lasts_while_stops_go_on_and_no_longer() -> None:
    paper = farm(4)
    for _ in range(20):
        exhaust(paper)
        paper.tick(14.0)
    assert is_restrained(paper)
    paper.tick(40.0)
    assert not is_restrained(paper)
    exhaust(paper)
    assert not is_restrained(paper)


def test_a_changed_file_ends_it() -> None:
    paper = farm(4)
    for seen in (True, False):  # whether a state has its file looked at
        for _ in range(4):
            exhaust(paper)
        if seen:
            paper.ask(A)
        assert is_restrained(paper)
        paper.write(A)
        paper.settle()
        paper.ask(A)
        assert not is_restrained(paper)


def test_of_fresh_states_the_fronts_tell() -> None:
    mine = ScriptSettings(pattern="a.lua", state="fresh")
    paper = Paper(settings(scripts=(mine,)))
    paper.join("h1", "h2", "h3", "h4")
    paper.write(A)
    paper.ask(A)
    paper.play(
        ev.Reported(FRONT, Report((), (), (StopRow(A, Budget.REPLY, 9, "much"),)))
    )
    assert not is_restrained(paper)
    paper.play(
        ev.Reported(FRONT, Report((), (), (StopRow(A, Budget.CPU, 9, "used up"),)))
    )
    assert is_restrained(paper)
    assert paper.ask(A).verdict == Verdict.READY


def test_a_change_of_a_restrained_script_is_loaded_nevertheless() -> None:
    mine = ScriptSettings(pattern="a.lua", state="fresh")
    paper = Paper(settings(scripts=(mine,), restraint_stops=4))
    paper.join("h1")
    for path in (A, B):
        paper.write(path)
        paper.ask(path)
    for path in (B, A):  # in the background the host loads one after the other
        paper.write(path)
        paper.settle()
    stops = (StopRow(A, Budget.CPU, 9, "used up"),)
    paper.play(ev.Reported(FRONT, Report((), (), stops)))
    assert is_restrained(paper)
    paper.run()
    (state,) = [host.states[A] for host in paper.hosts.values()]
    assert state.digest == paper.files[A]


def test_it_is_logged_once_for_each_time_with_the_setting() -> None:
    paper = farm(4)
    said: list[act.Log] = []
    for _ in range(8):
        paper.ask(A)
        [host] = hosts_of(paper)
        held = paper.hosts[host].states.pop(A)
        actions = paper.play(ev.StateGone(host, A, held.epoch, Closing.MEMORY))
        said += [action for action in actions if isinstance(action, act.Log)]
        paper.run()
    assert [line.level for line in said] == ["warning"]
    assert said[0].text == (
        "script=/r/a.lua gets few VM hosts for now: budget=memory exceeded; "
        "see [broker] restraint_stops"
    )


def test_zero_stops_means_never() -> None:
    paper = farm(4, stops=0)
    for _ in range(50):
        exhaust(paper)
    assert not is_restrained(paper)


def test_it_is_counted_by_the_stops_within_the_window() -> None:
    restraint = Restraint(3, window_s=60.0)
    assert not restraint.stopped(A, "why", 0.0, times=2)
    assert restraint.stopped(A, "because", 10.0)
    assert not restraint.stopped(A, "because", 20.0)  # it is already
    assert [restraint.left_s(A, now) for now in (20.0, 59.0, 61.0)] == [40.0, 1.0, 0.0]
    assert restraint.current(20.0) == [(A, 40.0, "because")]
    assert (restraint.released(59.0), restraint.released(60.0)) == ([], [A])
    assert (restraint.released(61.0), restraint.current(61.0)) == ([], [])
    assert Restraint(3, 60.0).stopped(B, "why", 0.0, times=10**9)
    assert restraint.stopped(A, "again", 61.0)
    assert restraint.count == 2
    assert restraint.pardon(A)
    assert not restraint.pardon(A)
    assert restraint.left_s(A, 61.0) == 0.0


def test_suspects_are_forgotten_when_there_are_too_many() -> None:
    restraint = Restraint(1, 60.0)
    for i in range(10_000):
        restraint.stopped(Script(b"/r/%d" % i), "why", i / 1000)
    assert len(restraint) <= 4096
