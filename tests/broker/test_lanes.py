"""Which hosts slow scripts get, which one they never get, and what moves nothing.

Of the four hosts of a farm here, h1 is kept for quick scripts, h4 is of the quick lane
as well, and h2 and h3 are of the slow one.
"""

from typing import Any

import pytest

from broker import actions as act
from broker import events as ev
from broker.tables import KEPT, SLOW
from luafarm.config.settings import ScriptSettings
from luafarm.names import HostId, Machine, Script
from luafarm.patience import LEAST_S
from luafarm.wire.messages import HostRow, MachineReport
from tests.broker.paper import FRONT, Paper, script, settings

A, B, C = (script(name) for name in "abc")
HOSTS = ("h1", "h2", "h3", "h4")
SHORT_S = 0.03
LONG_S = 20.0


def farm(*hosts: str, scripts: tuple[ScriptSettings, ...] = (), **broker: Any) -> Paper:
    paper = Paper(settings(scripts=scripts, **broker))
    for path in (A, B, C):
        paper.write(path)
    paper.join(*(hosts or HOSTS))
    return paper


def pinned(name: str) -> ScriptSettings:
    return ScriptSettings(pattern=f"{name}.lua", clones=1)


def where(paper: Paper, path: Script) -> list[HostId]:
    record = paper.broker.farm.records.get(path)
    return [state.host.id for state in record.states] if record else []


def kept(paper: Paper) -> list[HostId]:
    hosts = paper.broker.farm.roster.hosts.values()
    return [host.id for host in hosts if host.lane == KEPT]


def takes(paper: Paper, path: Script, seconds: float, requests: int = 20) -> None:
    """Let requests of a script be reported that took so long."""
    busy_us = int(seconds * 1e6) * requests
    paper.use(path, where(paper, path)[0], requests, busy_us=busy_us)
    paper.run()


def press(paper: Paper, path: Script, *idle: str, waited_s: float = 1.0) -> None:
    """Let requests wait until nothing more comes of it."""
    for _ in range(8):
        paper.tick(1.0)
        paper.press(path, *idle, waited_s=waited_s, queued=100)
        paper.run()


def runs(paper: Paper, **running: Script) -> None:
    """Let the supervisor report what these hosts run, and no further request since."""
    rows = [HostRow(h, 7, 0, running.get(h, Script(b""))) for h in paper.hosts]
    paper.play(ev.MachineReported(Machine("m"), MachineReport(tuple(rows))))


def drops(paper: Paper) -> list[tuple[Script, HostId]]:
    return [(a.script, a.host) for a in paper.orders if isinstance(a, act.Drop)]


# ---- what is lent --------------------------------------------------------------------


def test_a_short_slow_script_gets_all_hosts_but_the_one_that_is_kept() -> None:
    paper = farm()
    paper.ask(B)
    paper.ask(A)
    takes(paper, A, SHORT_S)
    press(paper, A, *HOSTS)
    assert set(where(paper, A)) == {"h2", "h3", "h4"}
    assert kept(paper) == ["h1"]


def test_what_is_lent_is_published_last_and_as_lent() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, SHORT_S)
    press(paper, A, *HOSTS)
    place = paper.places[A]
    assert (place.hosts[-1], place.lent) == ("h4", 1)


def test_a_host_is_lent_only_after_requests_waited_for_half_of_what_they_take() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, SHORT_S)
    press(paper, A, *HOSTS, waited_s=SHORT_S * 0.45)
    assert set(where(paper, A)) == {"h2", "h3"}
    press(paper, A, *HOSTS, waited_s=SHORT_S * 0.55)
    assert set(where(paper, A)) == {"h2", "h3", "h4"}


def test_a_host_of_its_own_lane_comes_before_one_that_is_lent() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, SHORT_S)
    other = ({"h2", "h3"} - set(where(paper, A))).pop()
    paper.press(A, *HOSTS, waited_s=1.0, queued=1)
    paper.run()
    assert set(where(paper, A)) == {"h2", "h3"}
    assert paper.places[A].hosts[-1] == other


def test_a_quick_script_is_lent_an_idle_slow_host_within_its_share() -> None:
    paper = farm()
    paper.ask(B)
    takes(paper, B, SHORT_S)
    paper.ask(A)
    takes(paper, A, 0.0001)
    paper.press(A, "h2", "h3", waited_s=LEAST_S * 2, queued=1)
    paper.run()
    assert len(where(paper, A)) == 2
    assert paper.places[A].lent == 1


# ---- the host that is kept -----------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, SHORT_S, LONG_S])
def test_what_is_not_known_to_be_quick_never_gets_the_kept_host(seconds: float) -> None:
    paper = farm()
    for path in (A, B, C):
        paper.ask(path)
        if seconds:
            takes(paper, path, seconds)
        press(paper, path, *HOSTS)
        assert "h1" not in where(paper, path)


def test_a_quick_script_gets_the_kept_host_first() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, 0.0001)
    paper.press(A, *HOSTS)
    paper.run()
    assert "h1" in where(paper, A)


def test_when_the_kept_host_is_lost_another_one_is_kept_and_cleared() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, SHORT_S)
    press(paper, A, *HOSTS)
    paper.die("h1", "stopped")
    paper.tick(0.1)
    paper.run()
    assert kept(paper) == ["h4"]
    assert set(where(paper, A)) == {"h2", "h3"}


def test_of_two_hosts_one_is_kept_and_the_other_takes_what_is_slow() -> None:
    paper = farm("h1", "h2")
    paper.ask(A)
    takes(paper, A, SHORT_S)
    press(paper, A, "h1", "h2")
    assert where(paper, A) == ["h2"]


def test_a_script_that_turned_slow_leaves_the_kept_host() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, 0.0001)
    press(paper, A, *HOSTS)
    assert "h1" in where(paper, A)
    takes(paper, A, SHORT_S)
    takes(paper, A, SHORT_S)
    assert "h1" not in where(paper, A)


def test_a_run_without_end_on_the_kept_host_has_another_one_kept() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, 0.0001)
    press(paper, A, *HOSTS)
    for _ in range(3):
        runs(paper, h1=A)
    paper.run()
    assert kept(paper) != ["h1"]
    assert len(kept(paper)) == 1


def test_a_host_is_kept_when_the_run_that_prevented_it_has_ended() -> None:
    paper = farm()
    paper.ask(A)
    assert where(paper, A) == ["h4"]
    runs(paper, h4=A)
    runs(paper, h4=A)
    paper.die("h1", "stopped")
    assert kept(paper) == []
    runs(paper)
    assert kept(paper) == ["h4"]


# ---- runs without end ----------------------------------------------------------------


def test_a_run_without_end_on_a_kept_host_that_retires_has_no_third_one_kept() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, 0.0001)
    paper.press(A, "h1", waited_s=1.0)
    paper.run()
    assert "h1" in where(paper, A)
    for rss_kib in (1, 1 << 30, 1 << 30, 1 << 30, 1 << 30):
        paper.tick(1.0)
        row = HostRow(HostId("h1"), 7, rss_kib, A)
        rest = [HostRow(HostId(h), 7, 1, b"") for h in HOSTS[1:]]
        paper.play(ev.MachineReported(Machine("m"), MachineReport((row, *rest))))
    assert paper.broker.farm.roster.hosts[HostId("h1")].is_retiring
    assert kept(paper) == ["h1", "h4"]


def test_a_script_that_never_ran_to_an_end_leaves_a_host_to_others() -> None:
    paper = farm()
    paper.ask(A)
    press(paper, A, *HOSTS)
    assert len(where(paper, A)) == 2
    paper.miss(B, *(set(HOSTS) - set(where(paper, A))))
    paper.run()
    assert not set(where(paper, B)) & {"h1", *where(paper, A)}


@pytest.mark.parametrize("hosts", [3, 4, 8])
def test_a_script_of_long_requests_leaves_two_hosts_one_of_them_kept(
    hosts: int,
) -> None:
    names = [f"h{n}" for n in range(1, hosts + 1)]
    paper = farm(*names)
    paper.ask(A)
    takes(paper, A, LONG_S)
    press(paper, A, *names, waited_s=LONG_S * 2)
    assert len(where(paper, A)) == hosts - 2


def test_a_script_is_long_while_the_supervisor_sees_one_run_of_it_go_on() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, SHORT_S)
    press(paper, A, *HOSTS)
    assert len(where(paper, A)) == 3
    for _ in range(3):
        runs(paper, h2=A)
    paper.run()
    assert len(where(paper, A)) == 2
    press(paper, A, *HOSTS)
    assert len(where(paper, A)) == 2
    paper.tick(61.0)
    press(paper, A, *HOSTS)
    assert len(where(paper, A)) == 3


def test_a_script_that_only_runs_often_is_not_long() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, 0.0001)
    [host] = where(paper, A)
    for requests in range(1, 5):
        rows = (HostRow(host, requests, 0, A),)
        paper.play(ev.MachineReported(Machine("m"), MachineReport(rows)))
    assert paper.broker.farm.records[A].lane != SLOW


def test_a_state_that_closes_behind_its_last_run_still_counts() -> None:
    """It holds its host for as long as that run goes on."""
    paper = farm()
    paper.ask(A)
    [first] = where(paper, A)
    for _ in range(3):
        runs(paper, **{first: A})
    paper.play(ev.Ticked())
    while paper.hosts[HostId("h2")].orders or paper.hosts[HostId("h3")].orders:
        for name in ("h2", "h3"):
            while paper.hosts[HostId(name)].orders:
                paper.work(HostId(name))
            while paper.hosts[HostId(name)].answers:
                paper.deliver(HostId(name))
    assert (A, first) in drops(paper)
    [now] = where(paper, A)
    paper.press(A, *HOSTS, waited_s=60.0, queued=100)
    assert where(paper, A) == [now]
    assert not paper.broker.farm.records[A].loads


def test_a_load_that_stands_behind_a_run_without_end_is_ordered_elsewhere_as_well() -> (
    None
):
    paper = farm()
    paper.miss(B, "h4")
    [stuck] = paper.broker.farm.records[B].loads
    for _ in range(2):
        paper.tick(0.3)
        paper.play(ev.Missed(FRONT, B, paper.find(B), (HostId("h2"),)))
    assert set(paper.broker.farm.records[B].loads) == {stuck, "h2"}
    while paper.hosts[HostId("h2")].orders:
        paper.work(HostId("h2"))
        paper.deliver(HostId("h2"))
    assert paper.places[B].hosts == ("h2",)


# ---- what moves nothing --------------------------------------------------------------


def test_of_a_script_with_a_single_state_nothing_is_ever_dropped() -> None:
    paper = farm(scripts=(pinned("a"),))
    paper.ask(A)
    before = where(paper, A)
    for _ in range(6):
        takes(paper, A, 0.0001, 50)
        takes(paper, A, SHORT_S, 50)
    assert paper.count("lane_changes") > 5
    assert where(paper, A) == before
    assert not drops(paper)
    assert paper.count("loads") == 1


def test_where_all_scripts_have_a_single_state_nothing_is_dropped_either() -> None:
    paper = farm(clones=1)
    for path in (A, B, C):
        paper.ask(path)
        takes(paper, path, SHORT_S)
    assert not drops(paper)


def test_a_single_state_that_is_slow_has_another_host_kept() -> None:
    paper = farm(scripts=(pinned("a"),))
    paper.ask(B)
    takes(paper, B, SHORT_S)
    press(paper, B, *HOSTS)
    paper.ask(A)
    assert where(paper, A) == kept(paper) == ["h1"]
    takes(paper, A, SHORT_S)
    assert where(paper, A) == ["h1"]
    assert kept(paper) == ["h4"]
    assert "h4" not in where(paper, B)


def test_a_script_that_became_quick_stays_where_it_is() -> None:
    paper = farm()
    paper.ask(A)
    takes(paper, A, SHORT_S)
    before, orders = where(paper, A), len(drops(paper))
    for _ in range(5):
        takes(paper, A, 0.0001, 50)
        assert where(paper, A) == before
        takes(paper, A, SHORT_S, 50)
        assert where(paper, A) == before
    assert len(drops(paper)) == orders
