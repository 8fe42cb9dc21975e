"""Where states go: first ones, clones, victims, lanes. Events in, exact actions out."""

from typing import Any

from broker import actions as act
from broker import events as ev
from luafarm.config.settings import PoolSettings, ScriptSettings
from luafarm.names import HostId
from luafarm.wire.messages import Verdict
from tests.broker.paper import FRONT, Paper, script, settings

A, B, C, D = (script(name) for name in "abcd")


def farm(*hosts: str, scripts: int = 4, **broker: Any) -> Paper:
    """Return a farm with these hosts and some scripts."""
    paper = Paper(settings(**broker))
    for name in "abcdefgh"[:scripts]:
        paper.write(script(name))
    paper.join(*hosts)
    return paper


def loads(paper: Paper) -> list[tuple[bytes, str]]:
    return [(a.script, a.host) for a in paper.orders if isinstance(a, act.Load)]


def drops(paper: Paper) -> list[tuple[bytes, str]]:
    return [(a.script, a.host) for a in paper.orders if isinstance(a, act.Drop)]


def where(paper: Paper, path: bytes) -> list[str]:
    record = paper.broker.farm.records.get(path)  # type: ignore[call-overload]
    return [s.host.id for s in record.states] if record else []


def served(paper: Paper, path: bytes, host: str, requests: int = 1) -> None:
    paper.use(path, HostId(host), requests)  # type: ignore[arg-type]


# ---- first states --------------------------------------------------------------------


def test_a_miss_is_answered_when_the_first_state_is_loaded_and_not_before() -> None:
    paper = farm("h1")
    actions = paper.broker.handle(ev.Missed(FRONT, A, paper.find(A), ()), paper.now)
    assert [type(a) for a in actions] == [act.Watch, act.Load]
    load = actions[1]
    assert isinstance(load, act.Load)
    done = ev.StateLoaded(load.host, A, load.epoch, 0.001, 50)
    answers = paper.broker.handle(done, paper.now)
    assert [a.front for a in answers if isinstance(a, act.Tell)] == [b"", FRONT]
    place = answers[1].message  # type: ignore[union-attr]
    assert place.hosts == ("h1",)  # type: ignore[union-attr]
    assert place.asked == A  # type: ignore[union-attr]


def test_the_state_goes_to_a_host_that_the_front_knows_to_be_idle() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    paper.miss(A, "h4")
    assert loads(paper) == [(A, "h4")]


def test_states_spread_over_the_hosts_of_the_lane_but_the_one_that_is_kept() -> None:
    paper = farm("h1", "h2", "h3", "h4", "h5", "h6", scripts=8)
    for name in "abcd":
        paper.ask(script(name))
    hosts = [where(paper, script(name))[0] for name in "abcd"]
    assert sorted(hosts) == ["h4", "h4", "h6", "h6"]  # h1 is kept, the others are slow


def test_without_a_host_a_miss_waits_for_one() -> None:
    paper = farm()
    paper.miss(A)
    assert paper.count("waits_for_host") == 1
    paper.join("h1")
    paper.run()
    assert paper.places[A].hosts == ("h1",)
    assert not paper.asked


def test_a_miss_that_nobody_can_answer_is_refused_in_the_end() -> None:
    paper = farm()
    paper.miss(A)
    paper.tick(61.0)
    assert paper.verdicts[-1].verdict == Verdict.REFUSED
    assert paper.verdicts[-1].retry_after_s == 1
    assert not paper.broker.farm.records[A].askers


def test_a_front_that_asks_for_what_it_should_know_is_told_again() -> None:
    paper = farm("h1")
    paper.ask(A)
    before = len(loads(paper))
    assert paper.ask(A).hosts == ("h1",)
    assert len(loads(paper)) == before


def test_all_fronts_that_wait_are_answered() -> None:
    paper = farm("h1")
    for front in (b"f1", b"f2"):
        paper.asked.add(A)
        paper.play(ev.Missed(front, A, paper.find(A), ()))
    load = paper.hosts[HostId("h1")].orders[0]
    assert isinstance(load, act.Load)
    done = ev.StateLoaded(load.host, A, load.epoch, 0.001, 50)
    told = [
        a.front for a in paper.broker.handle(done, paper.now) if isinstance(a, act.Tell)
    ]
    assert told == [b"", b"f1", b"f2"]


def test_a_host_that_dies_while_it_loads_is_replaced_by_another() -> None:
    paper = farm("h1", "h2")
    paper.miss(A)
    first = loads(paper)[0][1]
    paper.die(first, "stopped")
    paper.run()
    assert not paper.asked
    assert where(paper, A) == [({"h1", "h2"} - {first}).pop()]


# ---- room ----------------------------------------------------------------------------


def test_the_state_worth_least_makes_room() -> None:
    paper = farm("h1", states=2)
    for path, requests in ((A, 50), (B, 1)):
        paper.ask(path)
        served(paper, path, "h1", requests)
    paper.ask(C)
    assert drops(paper) == [(B, "h1")]
    assert paper.places[B].hosts == ()
    found = paper.broker.farm.evictions.of(B)
    assert found is not None
    assert found[1].startswith("space for /r/c.lua: heat 2.00")


def test_a_full_pool_makes_room_from_its_own_states() -> None:
    paper = Paper(settings(PoolSettings(root=("/r",), states=2), states=100))
    for path in (A, B, C):
        paper.write(path)
    paper.join("h1")
    for path, requests in ((A, 50), (B, 1)):
        paper.ask(path)
        served(paper, path, "h1", requests)
    paper.ask(C)
    assert drops(paper) == [(B, "h1")]
    assert paper.broker.farm.taken == 2
    paper.broker.check()


def test_uses_fade_so_that_yesterdays_favourite_goes() -> None:
    paper = farm("h1", states=2)
    paper.ask(A)
    served(paper, A, "h1", 50)
    paper.tick(600.0)
    paper.ask(B)
    served(paper, B, "h1", 2)
    paper.ask(C)
    assert drops(paper) == [(A, "h1")]


def test_of_equally_hot_scripts_the_one_that_loads_fast_goes() -> None:
    paper = farm("h1", states=2)
    for path, load_s in ((A, 0.05), (B, 0.0001)):
        paper.miss(path)
        load = paper.hosts[HostId("h1")].orders.popleft()
        assert isinstance(load, act.Load)
        paper.hosts[HostId("h1")].states = {}
        paper.broker.handle(
            ev.StateLoaded(load.host, path, load.epoch, load_s, 50), paper.now
        )
        paper.asked.clear()
        served(paper, path, "h1", 3)
    paper.miss(C)
    assert drops(paper) == [(B, "h1")]


def test_a_state_that_has_not_served_yet_is_no_victim() -> None:
    paper = farm("h1", states=1)
    paper.ask(A)
    paper.miss(B)
    paper.run()
    assert drops(paper) == []
    assert paper.broker.allocation.wanting() == 1
    served(paper, A, "h1")
    paper.run()
    assert drops(paper) == [(A, "h1")]
    assert paper.places[B].hosts == ("h1",)
    assert not paper.asked


def test_a_state_that_nobody_came_for_is_a_victim_after_a_second() -> None:
    paper = farm("h1", states=1)
    paper.ask(A)
    paper.miss(B)
    paper.tick(1.1)
    paper.run()
    assert paper.places[B].hosts == ("h1",)


def test_what_many_ask_for_is_spared_while_others_may_have_served() -> None:
    paper = farm("h1", states=2)
    paper.ask(A)
    served(paper, A, "h1", 1000)
    paper.ask(B)
    paper.miss(C)  # nobody has told yet that B has served
    paper.run()
    assert drops(paper) == []
    assert paper.broker.allocation.wanting() == 1
    served(paper, B, "h1")
    paper.run()
    assert drops(paper) == [(B, "h1")]
    assert paper.places[C].hosts == ("h1",)
    assert paper.places[A].hosts == ("h1",)


def test_what_few_ask_for_is_not_worth_a_wait() -> None:
    paper = farm("h1", states=2)
    paper.ask(A)
    served(paper, A, "h1", 10)
    paper.ask(B)
    paper.miss(C)
    paper.run()
    assert drops(paper) == [(A, "h1")]


def test_a_script_that_comes_back_has_its_heat() -> None:
    paper = farm("h1", states=2)
    paper.ask(A)
    served(paper, A, "h1", 20)
    paper.ask(B)
    served(paper, B, "h1", 100)
    paper.ask(C)
    served(paper, C, "h1", 60)
    assert drops(paper) == [(A, "h1")]
    paper.ask(A)
    assert drops(paper)[-1] == (C, "h1")
    served(paper, A, "h1", 1)
    paper.ask(D)
    # 21 remembered uses of A are worth less than 100 of B
    assert drops(paper)[-1] == (A, "h1")


def test_remembered_scripts_are_bounded() -> None:
    paper = farm("h1", scripts=0, states=1)
    paper.checks = False  # 5000 of them take their time
    for i in range(1200):
        path = b"/r/s%d.lua" % i
        paper.files[path] = b"v"
        paper.ask(path)
        served(paper, path, "h1")
    assert len(paper.broker.farm.records) <= 1002
    assert len(paper.watched) == 1
    paper.broker.check()


def test_a_host_full_of_memory_loses_what_is_worth_least_there() -> None:
    paper = Paper(settings(PoolSettings(root=("/r",), host_memory=256 * 1024)))
    for name in "abc":
        paper.write(script(name))
    paper.join("h1")
    for path, requests in ((A, 9), (B, 1)):
        paper.ask(path)
        served(paper, path, "h1", requests)
    paper.ask(C)
    assert drops(paper) == [(B, "h1")]
    assert "memory of host h1" in str(paper.broker.farm.evictions.of(B))


# ---- clones --------------------------------------------------------------------------


def pressed(**broker: Any) -> Paper:
    """Return a farm where only A is loaded, on h1, and has served."""
    paper = farm("h1", "h2", "h3", "h4", **broker)
    paper.ask(A)
    served(paper, A, where(paper, A)[0])
    return paper


def test_pressure_clones_onto_an_idle_host_and_fronts_hunt_it_last() -> None:
    paper = pressed()
    first = where(paper, A)[0]
    other = next(h for h in ("h1", "h4") if h != first)
    paper.press(A, first, other)
    paper.run()
    assert paper.places[A].hosts == (first, other)
    assert paper.count("clones") == 1


def test_no_clone_is_loaded_where_it_cannot_help() -> None:
    paper = pressed()
    first = where(paper, A)[0]
    paper.press(A)  # no host is idle
    paper.press(A, first)  # only the one that has it
    paper.press(A, "unknown")
    paper.press(A, "h4", waited_s=0.0015)  # loading takes 2 ms: longer than the wait
    paper.press(B, "h4")  # not loaded at all
    assert paper.count("clones") == 0


def test_a_clone_is_no_reflex_repeated_pressure_is_answered_by_doubling() -> None:
    paper = farm(*[f"h{i}" for i in range(32)], scripts=1)
    paper.ask(A)
    paper.use(A, HostId(where(paper, A)[0]), 10, busy_us=1000)
    hosts = sorted(paper.hosts)
    sizes = []
    for _ in range(5):
        paper.press(A, *hosts, waited_s=0.05, queued=1000)
        paper.run()
        sizes.append(len(where(paper, A)))
    assert sizes == [2, 4, 8, 16, 32]


def test_clones_never_exceed_the_limit_of_their_script() -> None:
    paper = Paper(settings(scripts=(ScriptSettings(pattern="a.lua", clones=3),)))
    paper.write(A)
    paper.join(*[f"h{i}" for i in range(9)])
    paper.ask(A)
    for _ in range(9):
        paper.press(A, *sorted(paper.hosts), queued=1000)
        paper.run()
    assert len(where(paper, A)) == 3
    assert paper.count("clones_at_limit") > 0


def test_one_script_leaves_hosts_to_the_others() -> None:
    paper = farm(*[f"h{i}" for i in range(8)])
    paper.ask(A)
    paper.ask(B)
    for _ in range(9):
        paper.press(A, *sorted(paper.hosts), queued=1000)
        paper.run()
    assert len(where(paper, A)) == 6


def test_clones_cost_a_bounded_share_of_the_farm() -> None:
    paper = farm(*[f"h{i}" for i in range(32)], scripts=1, clone_cpu_share=0.0)
    paper.ask(A)
    paper.press(A, *sorted(paper.hosts), queued=1000)
    assert paper.count("clones") == 0
    assert paper.count("clones_over_budget") == 1


def test_when_full_a_clone_must_be_worth_more_than_its_victim() -> None:
    paper = farm("h1", "h2", "h3", "h4", states=2)
    paper.ask(A)
    paper.ask(B)
    served(paper, A, where(paper, A)[0])
    served(paper, B, where(paper, B)[0], 100)  # worth about 0.4 s
    idle = [h for h in ("h1", "h4") if h not in where(paper, A)]
    paper.press(A, *idle, waited_s=0.01, queued=5)
    assert paper.count("clones") == 0
    paper.press(A, *idle, waited_s=0.1, queued=20)
    assert paper.count("clones") == 1
    assert drops(paper) == [(B, where(paper, A)[0])] or drops(paper)[0][0] == B


def test_an_unused_clone_is_the_next_victim() -> None:
    paper = farm("h1", "h2", "h3", "h4", states=3)
    paper.ask(A)
    first = where(paper, A)[0]
    served(paper, A, first, 50)
    paper.press(A, "h1", "h4", queued=3)
    paper.run()
    clone = where(paper, A)[1]
    served(paper, A, clone, 1)
    paper.ask(B)
    served(paper, B, where(paper, B)[0], 20)
    paper.tick(120.0)
    served(paper, A, first, 50)
    served(paper, B, where(paper, B)[0], 20)
    paper.ask(C)
    assert drops(paper) == [(A, clone)]
    assert paper.places[A].hosts == (first,)


def test_min_clones_are_loaded_at_once_and_made_up_for() -> None:
    paper = Paper(settings(scripts=(ScriptSettings(pattern="a.lua", min_clones=2),)))
    paper.write(A)
    paper.join("h1", "h2", "h3", "h4")
    paper.ask(A)
    assert len(where(paper, A)) == 2
    paper.die(where(paper, A)[0], "stopped")
    paper.run()
    assert len(where(paper, A)) == 2


def twins(states: int) -> Paper:
    """Return a full farm where A has two states at least, of which one is used."""
    least = ScriptSettings(pattern="a.lua", min_clones=2)
    paper = Paper(settings(scripts=(least,), states=states))
    for name in "abcd":
        paper.write(script(name))
    paper.join("h1", "h2", "h3", "h4")
    paper.ask(A)
    for path in (B, C)[: states - 2]:
        paper.ask(path)
    first, second = where(paper, A)
    served(paper, A, first, 100)
    served(paper, A, second, 1)
    return paper


def test_an_idle_state_stays_while_a_script_would_have_too_few() -> None:
    paper = twins(states=3)
    served(paper, B, where(paper, B)[0], 10)  # more than the second state of A
    paper.ask(C)
    assert [path for path, _ in drops(paper)] == [B]
    assert len(where(paper, A)) == 2


def test_a_script_that_cools_goes_as_a_whole() -> None:
    paper = twins(states=3)
    served(paper, B, where(paper, B)[0], 1000)
    paper.ask(C)
    assert [path for path, _ in drops(paper)] == [A, A]
    assert where(paper, A) == []
    assert paper.places[A].hosts == ()
    paper.ask(D)
    assert len(drops(paper)) == 2


def test_min_clones_wait_for_hosts() -> None:
    paper = Paper(settings(scripts=(ScriptSettings(pattern="a.lua", min_clones=2),)))
    paper.write(A)
    paper.join("h1")
    paper.ask(A)
    assert len(where(paper, A)) == 1
    paper.join("h2")
    paper.tick()
    paper.run()
    assert where(paper, A) == ["h1", "h2"]


def test_clones_prefer_another_machine() -> None:
    paper = Paper(settings(scripts=(ScriptSettings(pattern="*", min_clones=2),)))
    for name in "abcdef":
        paper.write(script(name))
    paper.join("h1", "h2", "h3", "h4", machine="m")
    paper.join("k1", "k2", "k3", "k4", machine="n")
    for name in "abcdef":
        paper.ask(script(name))
        machines = {h[0] for h in where(paper, script(name))}
        assert machines == {"h", "k"}


# ---- lanes ---------------------------------------------------------------------------


def slow(paper: Paper, path: bytes, requests: int = 20) -> None:
    host = where(paper, path)[0]
    paper.use(path, HostId(host), requests, busy_us=20_000 * requests)  # type: ignore[arg-type]


def quick(paper: Paper, path: bytes, requests: int = 20) -> None:
    host = where(paper, path)[0]
    paper.use(path, HostId(host), requests, busy_us=50 * requests)  # type: ignore[arg-type]


def test_a_slow_script_moves_to_hosts_of_its_own() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    paper.ask(A)
    assert where(paper, A)[0] in {"h1", "h4"}
    slow(paper, A)
    paper.run()
    assert where(paper, A)[0] in {"h2", "h3"}
    assert paper.places[A].hosts == tuple(where(paper, A))
    assert paper.count("lane_changes") == 1


def test_a_script_stays_in_its_lane_between_the_two_bounds() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    paper.ask(A)
    slow(paper, A)
    paper.run()
    for _ in range(20):
        paper.use(A, HostId(where(paper, A)[0]), 10, busy_us=30_000)
        paper.run()
    assert paper.count("lane_changes") == 1
    quick(paper, A, 50)
    paper.run()
    assert paper.count("lane_changes") == 2


def test_it_is_served_where_it_is_until_it_has_moved() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    paper.ask(A)
    before = where(paper, A)
    slow(paper, A)
    assert paper.places[A].hosts == tuple(before)


def test_quick_scripts_spill_over_only_while_no_slow_one_is_there() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    paper.ask(A)
    paper.press(A, "h2", "h3")
    paper.run()
    assert set(where(paper, A)) & {"h2", "h3"}
    paper.ask(B)
    slow(paper, B)
    paper.run()
    before = where(paper, A)
    paper.press(A, "h2", "h3", queued=1000)
    paper.run()
    assert where(paper, A) == before


def test_a_machine_with_one_host_has_no_lanes() -> None:
    paper = farm("h1")
    paper.ask(A)
    slow(paper, A)
    paper.run()
    assert where(paper, A) == ["h1"]
    paper.ask(B)
    assert where(paper, B) == ["h1"]


def test_lanes_stay_even_when_hosts_are_replaced() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    lanes = [paper.broker.farm.roster.hosts[h].lane for h in sorted(paper.hosts)]
    paper.die("h2", "stopped")
    paper.join("h5")
    now = {h: paper.broker.farm.roster.hosts[h].lane for h in paper.hosts}
    assert sorted(now.values()) == sorted(lanes)


# ---- other ---------------------------------------------------------------------------


def test_a_preloaded_script_is_there_before_anybody_asks() -> None:
    paper = farm("h1")
    found = paper.find(A)
    assert found is not None
    paper.play(ev.Preloaded(found))
    paper.run()
    assert paper.places[A].hosts == ("h1",)
    assert paper.count("misses") == 0


def test_an_accused_host_is_killed_by_its_supervisor() -> None:
    paper = farm("h1")
    actions = paper.play(ev.Accused(HostId("h1"), "bad reply"))
    assert actions == [
        act.KillHost(paper.hosts[HostId("h1")].up.machine, HostId("h1"), "bad reply")
    ]
    assert paper.play(ev.Accused(HostId("stranger"), "x")) == []
