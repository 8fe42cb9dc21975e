"""Generations: change, deletion, creation, last good, fences, waiting for a deploy."""

from typing import Any

import pytest

from broker import actions as act
from broker import events as ev
from broker.convergence import EMPTY, REFUSED_S
from broker.loads import MOST_STALE
from luafarm.config.settings import ScriptSettings
from luafarm.ends import Budget, Closing, Death
from luafarm.names import HostId, Machine, RequestId, Script
from luafarm.wire.messages import (
    HostLost,
    HostRow,
    MachineReport,
    ScriptError,
    Verdict,
)
from tests.broker.paper import POOL, Paper, script, settings

A, B = script("a"), script("b")
LIB = b"/r/lib.lua"
SHADOW = b"/r/lib/init.lua"
H1 = HostId("h1")


def farm(*hosts: str, clones: int = 1, **broker: Any) -> Paper:
    """Return a farm with A, which requires lib, loaded so often, and B, not loaded."""
    override = ScriptSettings(pattern="a.lua", min_clones=clones)
    paper = Paper(settings(scripts=(override,), **broker))
    paper.requires = {A: (b"lib",)}
    for path in (A, B, LIB):
        paper.write(path)
    paper.join(*(hosts or ("h1",)))
    paper.ask(A)
    assert len(paper.places[A].hosts) == clones
    paper.orders.clear()
    return paper


def contents(paper: Paper, path: Script) -> set[bytes]:
    """Return the contents that are served where fronts send requests."""
    place = paper.places[path]
    return {paper.hosts[h].states[path].digest for h in place.hosts}


def kinds(paper: Paper) -> list[str]:
    return [type(a).__name__ for a in paper.orders if not isinstance(a, act.Log)]


# ---- change --------------------------------------------------------------------------


def test_a_change_loads_a_canary_and_only_then_moves_the_fronts() -> None:
    paper = farm()
    before = paper.places[A]
    digest = paper.write(A)
    paper.settle()
    assert kinds(paper) == ["Load"]
    load = paper.orders[0]
    assert isinstance(load, act.Load)
    assert load.digest == digest
    assert load.epoch > before.epoch
    assert [d.path for d in load.dependencies] == [LIB]  # spares the question
    assert paper.places[A] is before
    paper.run()
    assert paper.places[A].epoch == load.epoch
    assert contents(paper, A) == {digest}
    assert kinds(paper) == ["Load", "Tell", "Fence"]


def test_all_states_are_renewed_and_fenced_once_the_first_is_ready() -> None:
    paper = farm("h1", "h2", "h3", "h4", clones=3)
    hosts = paper.places[A].hosts
    paper.write(A)
    paper.settle()
    assert [a.host for a in paper.orders if isinstance(a, act.Load)] == [hosts[0]]
    canary = hosts[0]
    paper.work(canary)
    while paper.hosts[canary].answers:
        paper.deliver(canary)
    assert paper.places[A].hosts == (canary,)
    others = {h for h in hosts if h != canary}
    renewed = [a.host for a in paper.orders[1:] if isinstance(a, act.Load)]
    fenced = [a.host for a in paper.orders if isinstance(a, act.Fence)]
    assert set(renewed) == others
    assert set(fenced) == {canary, *others}
    for host in others:  # the load first: the fence must not leave it without a state
        orders = [type(a) for a in paper.hosts[host].orders]
        assert orders == [act.Load, act.Fence]
    paper.run()
    assert set(paper.places[A].hosts) == set(hosts)
    assert len(contents(paper, A)) == 1


def test_the_first_state_is_renewed_where_no_run_keeps_it_waiting() -> None:
    paper = farm("h1", "h2", "h3", clones=3)
    third = paper.places[A].hosts[-1]
    rows = [HostRow(h, 7, 0, A if h != third else b"") for h in paper.hosts]
    paper.play(ev.MachineReported(Machine("m"), MachineReport(tuple(rows))))
    paper.orders.clear()
    paper.write(A)
    paper.settle()
    assert [a.host for a in paper.orders if isinstance(a, act.Load)] == [third]


def test_a_changed_module_renews_every_script_that_used_it_and_no_other() -> None:
    paper = farm()
    paper.ask(B)
    epochs = {path: paper.places[path].epoch for path in (A, B)}
    paper.write(LIB)
    paper.settle()
    paper.run()
    assert paper.places[A].epoch > epochs[A]
    assert paper.places[B].epoch == epochs[B]


def test_a_module_that_appears_earlier_in_the_search_renews_the_script() -> None:
    paper = farm()
    del paper.files[LIB]
    paper.write(SHADOW)
    paper.settle()
    paper.run()
    assert paper.hosts[H1].states[A].used[SHADOW]
    paper.write(LIB)
    paper.settle()
    paper.run()
    assert paper.hosts[H1].states[A].used[LIB]
    assert SHADOW not in paper.hosts[H1].states[A].used


def test_the_same_content_again_renews_nothing() -> None:
    paper = farm()
    digest = paper.files[A]
    paper.play(ev.Changed((ev.FileNow(POOL, A, digest),)))
    assert paper.orders == []


def test_a_change_that_is_taken_back_leaves_all_as_it_was() -> None:
    paper = farm()
    before = (paper.places[A].hosts, contents(paper, A))
    old = paper.files[A]
    paper.write(A)
    paper.settle()
    paper.files[A] = old
    paper.settle()
    paper.run()
    assert (paper.places[A].hosts, contents(paper, A)) == before


def test_changes_in_quick_succession_end_with_the_last() -> None:
    paper = farm("h1", "h2", "h3", "h4", clones=2)
    for _ in range(5):
        paper.write(A)
        paper.settle()
    paper.run()
    assert contents(paper, A) == {paper.files[A]}
    assert paper.count("superseded_loads") == 1


def test_a_state_made_of_old_and_new_files_is_never_served() -> None:
    paper = farm()
    before = paper.places[A]
    paper.write(A)
    paper.settle()
    paper.work(H1)  # loads the new script with the old module
    paper.write(LIB)
    while paper.hosts[H1].answers:
        paper.deliver(H1)
    assert paper.places[A].hosts == ()
    assert before.epoch == paper.places[A].epoch
    # whoever asks for the old epoch nevertheless gets the old state
    assert paper.hosts[H1].olds[A].epoch == before.epoch
    paper.run()
    held = paper.hosts[H1].states[A]
    assert held.used == {A: paper.files[A], LIB: paper.files[LIB]}
    assert contents(paper, A) == {paper.files[A]}
    assert paper.count("stale_loads") == 1
    assert paper.hosts[H1].olds == {}


def test_files_that_never_rest_are_served_as_they_are_in_the_end() -> None:
    paper = farm()
    paper.write(A)
    paper.settle()
    for _ in range(20):
        while not isinstance(paper.hosts[H1].orders[0], act.Load):
            paper.work(H1)
        paper.work(H1)
        paper.write(LIB)
        while paper.hosts[H1].answers:
            paper.deliver(H1)
        if paper.count("stale_loads") > MOST_STALE:
            assert paper.places[A].hosts == (H1,)
    assert paper.count("stale_loads") == 20
    paper.run()
    assert paper.hosts[H1].states[A].used[LIB] == paper.files[LIB]


def test_a_clone_that_read_newer_files_is_not_served_beside_older_ones() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    first = paper.places[A].hosts[0]
    paper.use(A, first, 10)
    other = next(h for h in ("h1", "h4") if h != first)
    paper.press(A, other)
    # the order names the old module; the host did not keep it and asks anew
    load = paper.hosts[HostId(other)].orders.popleft()
    assert isinstance(load, act.Load)
    bare = act.Load(load.host, load.pool, A, load.epoch, load.digest, (), load.limits)
    paper.hosts[HostId(other)].orders.append(bare)
    paper.write(LIB)
    paper.run()
    paper.settle()
    paper.run()
    for held in (paper.hosts[HostId(h)].states[A] for h in paper.places[A].hosts):
        assert held.used[LIB] == paper.files[LIB]
    assert len(paper.places[A].hosts) == 2


def test_a_lazily_required_module_is_a_dependency_from_then_on() -> None:
    paper = farm()
    paper.ask(B)
    assert (POOL, LIB) in paper.watched
    held = paper.hosts[H1].states[B]
    paper.requires[B] = (b"lib",)
    late = paper._need(B, b"lib")
    paper.play(ev.StateLoaded(H1, B, held.epoch, 0.001, 100, (late,)))
    before = paper.places[B].epoch
    paper.write(LIB)
    paper.settle()
    paper.run()
    assert paper.places[B].epoch > before


def test_a_hot_script_is_renewed_before_a_cold_one() -> None:
    paper = farm()
    paper.requires[B] = (b"lib",)
    paper.ask(B)
    paper.use(B, H1, 100)
    paper.orders.clear()
    paper.write(LIB)
    paper.settle()
    loads = [a for a in paper.orders if isinstance(a, act.Load)]
    assert [a.script for a in loads] == [B]  # one load at a time that nobody waits for
    paper.run()
    loads = [a for a in paper.orders if isinstance(a, act.Load)]
    assert [a.script for a in loads] == [B, A]


def test_a_request_hurries_a_load_that_stands_in_a_backlog() -> None:
    paper = farm()
    paper.ask(B)
    paper.write(A)
    paper.settle()  # a background load of A keeps the host
    paper.write(script("c"))
    found = paper.find(script("c"))
    assert found is not None
    paper.play(ev.Preloaded(found))
    assert len(paper.hosts[H1].orders) == 1
    paper.miss(script("c"))
    assert len(paper.hosts[H1].orders) == 2
    paper.run()
    assert not paper.asked


# ---- deletion and creation -----------------------------------------------------------


def test_a_deleted_script_is_missing_from_the_next_request_on() -> None:
    paper = farm()
    del paper.files[A]
    paper.settle()
    assert kinds(paper)[:3] == ["Fence", "Drop", "Tell"]
    assert paper.places[A].verdict == Verdict.MISSING
    paper.run()
    assert paper.ask(A).verdict == Verdict.MISSING
    assert A not in paper.hosts[H1].states


def test_a_created_script_is_served_at_once_though_a_404_was_remembered() -> None:
    paper = farm()
    new = script("new")
    assert paper.ask(new).verdict == Verdict.MISSING
    paper.write(new)
    paper.settle()
    place = paper.places[new]
    assert (place.verdict, place.hosts) == (Verdict.READY, ())  # ask again
    assert paper.ask(new).hosts == (H1,)


def test_a_script_that_appears_as_the_prefix_of_a_missing_path_is_noticed() -> None:
    paper = farm()
    asked = b"/r/new.lua/path/info"
    assert paper.ask(asked).verdict == Verdict.MISSING
    paper.write(script("new"))
    paper.settle()
    assert paper.places[Script(asked)].verdict == Verdict.READY
    place = paper.ask(asked)
    assert (place.script, place.asked) == (script("new"), asked)


def test_deleted_and_created_again_is_a_new_generation() -> None:
    paper = farm()
    before = paper.places[A].epoch
    del paper.files[A]
    paper.settle()
    paper.run()
    paper.write(A)
    paper.settle()
    assert paper.ask(A).epoch > before
    assert paper.hosts[H1].fences[A] <= paper.places[A].epoch


def test_a_script_deleted_while_it_is_loaded_is_missing() -> None:
    paper = farm()
    paper.miss(B)
    del paper.files[B]
    paper.settle()
    assert paper.verdicts[-1].verdict == Verdict.MISSING
    paper.run()
    assert B not in paper.hosts[H1].states
    assert B not in paper.broker.farm.roster.hosts[H1].loads


def test_an_empty_file_is_no_script_until_it_has_content() -> None:
    paper = farm()
    paper.files[B] = EMPTY
    assert paper.ask(B).verdict == Verdict.MISSING
    assert paper.ask(B).verdict == Verdict.MISSING
    paper.settle()
    assert paper.places[B].verdict == Verdict.MISSING
    paper.write(B)
    paper.settle()
    assert paper.ask(B).verdict == Verdict.READY


def test_another_reason_why_a_file_cannot_be_read_is_told_as_well() -> None:
    paper = farm()
    for error in ("permission denied", "too large", "too large"):
        paper.play(
            ev.Changed((ev.FileNow(POOL, A, b"", error),), b"t" + b"%d" % paper.version)
        )
        assert paper.broker.farm.records[A].failure is not None
        answer = paper.answers.pop(b"t%d" % paper.version)
        assert (answer.ok, answer.error) == (False, error)
    assert paper.count("last_good") == 2
    logged = [a.text for a in paper.orders if isinstance(a, act.Log)]
    assert len(logged) == 2


@pytest.mark.parametrize("last_good", [True, False])
def test_an_emptied_file_is_as_one_that_does_not_load(last_good: bool) -> None:
    paper = farm(last_good=last_good)
    digest = paper.files[A]
    paper.files[A] = EMPTY
    paper.settle(b"t")
    paper.run()
    if not last_good:
        assert paper.places[A].verdict == Verdict.MISSING
        assert answered(paper) == (True, "")
        return
    assert answered(paper) == (False, "the file is empty")
    assert contents(paper, A) == {digest}
    assert paper.ask(A).verdict == Verdict.READY
    # the state is gone: it is made again of what is kept
    held = paper.hosts[H1].states.pop(A)
    paper.play(ev.StateGone(H1, A, held.epoch, Closing.MEMORY))
    assert paper.ask(A).verdict == Verdict.READY
    assert contents(paper, A) == {digest}
    paper.write(A)
    paper.settle()
    paper.run()
    assert contents(paper, A) == {paper.files[A]}


def test_remembered_missing_paths_are_bounded_and_the_oldest_is_asked_again() -> None:
    paper = farm(missing=3)
    for i in range(4):
        paper.ask(b"/r/none%d.lua" % i)
    assert len(paper.broker.farm.missing) == 3
    oldest = paper.places[Script(b"/r/none0.lua")]
    assert (oldest.verdict, oldest.hosts) == (Verdict.READY, ())
    assert set(paper.barriers) == {b"/r/none%d.lua" % i for i in (1, 2, 3)}


@pytest.mark.parametrize("asked", [b"/elsewhere/x.lua", b"/r", b"/" + b"x" * 3000])
def test_a_path_outside_of_every_root_is_missing_and_costs_nothing(
    asked: bytes,
) -> None:
    paper = farm()
    watched = len(paper.watched)
    assert paper.ask(asked).verdict == Verdict.MISSING
    assert len(paper.watched) == watched
    assert len(paper.broker.farm.missing) == 0


@pytest.mark.parametrize(
    "asked",
    [b"/r" + b"/x" * 500 + b".lua", b"/r/x.jpg", b"/r/.git/x.lua", b"/r/a.lua~"],
)
def test_what_can_never_be_a_script_is_remembered_by_fronts_alone(asked: bytes) -> None:
    paper = farm()
    paper.files[asked] = paper.files[A]
    assert paper.ask(asked).verdict == Verdict.MISSING
    assert paper.places[Script(asked)].verdict == Verdict.MISSING
    assert len(paper.broker.farm.missing) == 0
    assert not paper.barriers


# ---- broken --------------------------------------------------------------------------


def test_the_last_good_generation_is_served_through_broken_deploys() -> None:
    paper = farm("h1", "h2", "h3", "h4", clones=2)
    before = (paper.places[A].epoch, contents(paper, A))
    for _ in range(20):
        paper.write(A, broken=True)
        paper.settle()
        paper.run()
        assert (paper.places[A].epoch, contents(paper, A)) == before
    assert paper.count("last_good") == 20
    digest = paper.write(A)
    paper.settle()
    paper.run()
    assert contents(paper, A) == {digest}


def test_the_last_good_contents_are_kept_and_clones_are_made_of_them() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    good = (paper.files[A], paper.files[LIB])
    paper.write(LIB, broken=True)
    paper.settle()
    paper.run()
    assert paper.kept[A] == good
    first = paper.places[A].hosts[0]
    paper.use(A, first, 10)
    paper.press(A, "h1", "h4")
    paper.run()
    assert len(paper.places[A].hosts) == 2
    for host in paper.places[A].hosts:
        assert paper.hosts[host].states[A].used == dict(
            zip((A, LIB), good, strict=True)
        )
    paper.write(LIB)
    paper.settle()
    paper.run()
    assert paper.kept[A] == ()
    assert len(paper.places[A].hosts) == 2


def test_a_host_that_dies_gets_the_last_good_again_elsewhere() -> None:
    paper = farm("h1", "h2")
    paper.write(A, broken=True)
    paper.settle()
    paper.run()
    good = contents(paper, A)
    paper.die(paper.places[A].hosts[0], "stopped")
    paper.run()
    paper.ask(A)
    assert contents(paper, A) == good


def test_without_last_good_the_error_is_served() -> None:
    paper = farm(last_good=False)
    paper.write(A, broken=True)
    paper.settle()
    paper.run()
    assert paper.places[A].verdict == Verdict.BROKEN
    assert paper.places[A].error is not None
    assert A not in paper.hosts[H1].states
    assert paper.ask(A).verdict == Verdict.BROKEN


def test_a_script_that_never_loaded_is_broken_until_its_file_changes() -> None:
    paper = farm()
    paper.write(B, broken=True)
    assert paper.ask(B).verdict == Verdict.BROKEN
    loads = paper.count("loads")
    assert paper.ask(B).verdict == Verdict.BROKEN
    assert paper.count("loads") == loads
    paper.write(B)
    paper.settle()
    assert paper.places[B].verdict == Verdict.READY
    assert paper.ask(B).hosts == (H1,)


def test_a_broken_script_is_fixed_by_its_module() -> None:
    paper = farm()
    paper.requires[B] = (b"lib", b"other")
    paper.write(b"/r/other.lua", broken=True)
    assert paper.ask(B).verdict == Verdict.BROKEN
    paper.write(b"/r/other.lua")
    paper.settle()
    assert paper.ask(B).verdict == Verdict.READY


def test_a_broken_script_is_tried_again_after_a_while_in_case_it_was_the_moment() -> (
    None
):
    paper = farm()
    paper.write(B, broken=True)
    paper.ask(B)
    paper.tick(5.0)
    assert paper.places[B].verdict == Verdict.READY
    paper.broken.clear()
    assert paper.ask(B).verdict == Verdict.READY


def test_a_last_good_script_stopped_by_a_budget_is_tried_again_a_few_times() -> None:
    paper = farm()
    paper.write(A)
    paper.settle()
    for _ in range(20):
        orders = paper.hosts[H1].orders
        while orders:
            load = orders.popleft()
            assert isinstance(load, act.Load)
            error = ScriptError("Budget", "too slow", "", "", 0, "", Budget.CPU)
            paper.play(ev.LoadFailed(H1, A, load.epoch, error))
        paper.tick(100.0)
    assert paper.count("failed_loads") == 6
    assert paper.places[A].verdict == Verdict.READY


def test_an_unreadable_script_is_an_error_that_says_why() -> None:
    paper = farm()
    paper.unreadable.add(B)
    place = paper.ask(B)
    assert place.verdict == Verdict.BROKEN
    assert place.error is not None
    assert place.error.message == "permission denied"
    paper.unreadable.clear()
    paper.settle()
    assert paper.ask(B).verdict == Verdict.READY


def test_a_script_that_becomes_unreadable_is_served_as_it_was() -> None:
    paper = farm()
    paper.unreadable.add(A)
    paper.settle()
    assert paper.places[A].verdict == Verdict.READY
    assert paper.broker.farm.records[A].failure is not None
    paper.unreadable.clear()
    paper.settle()
    paper.run()
    assert paper.broker.farm.records[A].failure is None


def test_loading_that_kills_its_host_is_a_failure_of_the_new_generation_only() -> None:
    paper = farm("h1", "h2")
    host = paper.places[A].hosts[0]
    paper.write(A)
    paper.settle()
    del paper.hosts[host]
    lost = HostLost(host, RequestId(0), (), A, Death.SECCOMP, "bad call")
    paper.play(ev.HostLeft(lost))
    failure = paper.broker.farm.records[A].failure
    assert failure is not None
    assert failure.error.message == "loading it ended its VM host: seccomp. bad call"
    paper.run()
    assert paper.ask(A).verdict == Verdict.READY
    assert len(paper.broker.farm.quarantine) == 0


def test_a_deploy_survives_two_kills_from_outside_while_it_loads_and_no_third() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    paper.write(A)
    paper.settle()
    record = paper.broker.farm.records[A]
    failures = []
    for _ in range(3):
        (host,) = record.loads
        del paper.hosts[host]
        lost = HostLost(host, RequestId(0), (), A, Death.KILLED, "killed by SIGKILL")
        paper.play(ev.HostLeft(lost))
        failures.append(record.failure is not None)
    assert failures == [False, False, True]
    paper.run()
    assert paper.ask(A).verdict == Verdict.READY


def test_an_order_whose_sources_are_gone_is_given_again_in_time() -> None:
    paper = farm()
    paper.miss(B)
    load = paper.hosts[H1].orders.pop()
    assert isinstance(load, act.Load)
    # the loop could not send it: the file is another one by now
    actions = paper.play(ev.StateGone(H1, B, load.epoch, Closing.UNSENT))
    assert actions == []
    paper.write(B)
    paper.settle()
    paper.run()
    assert contents(paper, B) == {paper.files[B]}


def test_an_order_that_could_not_be_sent_for_another_reason_is_repeated() -> None:
    paper = farm()
    paper.miss(B)
    load = paper.hosts[H1].orders.pop()
    assert isinstance(load, act.Load)
    paper.play(ev.StateGone(H1, B, load.epoch, Closing.UNSENT))
    paper.tick()
    paper.run()
    assert not paper.asked


def test_a_last_good_generation_whose_sources_are_lost_is_broken() -> None:
    paper = farm("h1", "h2")
    paper.write(A, broken=True)
    paper.settle()
    paper.run()
    paper.die(paper.places[A].hosts[0], "stopped")
    paper.miss(A)
    ((host, load),) = [(h, h.orders.pop()) for h in paper.hosts.values() if h.orders]
    assert isinstance(load, act.Load)
    paper.play(ev.StateGone(host.up.host, A, load.epoch, Closing.UNSENT))
    assert paper.verdicts[-1].verdict == Verdict.BROKEN


# ---- waiting for a deploy ------------------------------------------------------------


def answered(paper: Paper) -> tuple[bool, str] | None:
    answer = paper.answers.get(b"t")
    return (answer.ok, answer.error) if answer is not None else None


def test_a_deploy_is_acknowledged_when_every_host_has_confirmed_its_fence() -> None:
    paper = farm("h1", "h2", "h3", "h4", clones=3)
    paper.write(A)
    paper.settle(b"t")
    assert answered(paper) is None
    hosts = paper.places[A].hosts
    # the canary first; fenced with the others, it stops to serve the old one as well
    for i, host in enumerate([*hosts, hosts[0]]):
        assert answered(paper) is None, i
        while paper.hosts[host].orders:
            paper.work(host)
        while paper.hosts[host].answers:
            paper.deliver(host)
    assert answered(paper) == (True, "")


def test_a_host_that_is_gone_needs_no_fence() -> None:
    paper = farm("h1", "h2", "h3", "h4", clones=2)
    first, second = paper.places[A].hosts
    paper.write(A)
    paper.settle(b"t")
    paper.work(first)
    while paper.hosts[first].answers:
        paper.deliver(first)
    paper.work(first)
    paper.deliver(first)
    assert answered(paper) is None
    paper.die(second, "stopped")
    assert answered(paper) == (True, "")


def test_a_deploy_that_does_not_load_is_refused_with_the_error() -> None:
    paper = farm()
    paper.write(A, broken=True)
    paper.settle(b"t")
    paper.run()
    assert answered(paper) == (False, "broken")


def test_a_deploy_without_a_change_is_acknowledged_at_once() -> None:
    paper = farm()
    paper.settle(b"t")
    assert answered(paper) == (True, "")


def test_a_change_that_is_under_way_already_is_waited_for() -> None:
    paper = farm()
    paper.write(A)
    paper.settle()
    paper.settle(b"t")
    assert answered(paper) is None
    paper.run()
    assert answered(paper) == (True, "")


@pytest.mark.parametrize("scope", [A, LIB, b"/r", b""])
def test_what_waits_is_what_the_path_is_part_of(scope: bytes) -> None:
    paper = farm()
    paper.write(A)
    paper.settle()
    paper.settle(b"t", scope)
    assert answered(paper) is None


def test_a_change_elsewhere_is_not_waited_for() -> None:
    paper = farm()
    paper.write(A)
    paper.settle()
    paper.settle(b"t", B)
    assert answered(paper) == (True, "")


def test_a_script_that_is_still_broken_is_told_when_asked_for_it() -> None:
    paper = farm()
    paper.write(A, broken=True)
    paper.settle()
    paper.run()
    paper.settle(b"t", A)
    assert answered(paper) == (False, "broken")


def test_a_deletion_is_acknowledged_when_it_is_fenced() -> None:
    paper = farm()
    del paper.files[A]
    paper.settle(b"t")
    assert answered(paper) is None
    paper.run()
    assert answered(paper) == (True, "")


def test_a_state_being_closed_is_fenced_before_a_deploy_is_acknowledged() -> None:
    paper = farm(states=1)
    paper.use(A, H1)
    paper.miss(B)  # A makes room; the host has not heard of it yet
    paper.write(A)
    paper.settle(b"t", A)
    assert answered(paper) is None
    paper.run()
    assert answered(paper) == (True, "")


def test_a_clone_on_its_way_is_fenced_too() -> None:
    paper = farm("h1", "h2", "h3", "h4")
    first = paper.places[A].hosts[0]
    paper.use(A, first, 10)
    other = HostId(next(h for h in ("h1", "h4") if h != first))
    paper.press(A, other)
    paper.write(A)
    paper.settle(b"t")
    paper.run()
    assert answered(paper) == (True, "")
    for held in (h.states[A] for h in paper.hosts.values() if A in h.states):
        assert held.digest == paper.files[A]


def test_fronts_hear_of_a_change_before_it_is_acknowledged() -> None:
    paper = farm()
    paper.write(A)
    paper.settle(b"t")
    paper.run()
    order = [
        type(a).__name__
        for a in paper.orders
        if isinstance(a, act.Answer) or (isinstance(a, act.Tell) and a.front == b"")
    ]
    assert order == ["Tell", "Answer"]


# ---- hosts that refuse ---------------------------------------------------------------


def refuse(paper: Paper, name: HostId, budget: str = "memory") -> None:
    """Let a host refuse its next order, which is a load."""
    paper.refuse(name, Budget(budget))
    paper.deliver(name)


def test_a_load_that_a_full_host_refuses_goes_to_another_one() -> None:
    paper = farm("h1", "h2")
    paper.miss(B)
    first = loading(paper, B)
    refuse(paper, first)
    assert paper.verdicts[-1].script == A  # nobody was told anything of b yet
    paper.run()
    assert paper.verdicts[-1].verdict == Verdict.READY
    assert paper.places[B].hosts != (first,)
    assert paper.broker.farm.records[B].failure is None
    assert paper.count("refused_loads") == 1
    assert paper.count("failed_loads") == 0


def test_where_all_hosts_are_full_a_request_waits_until_one_has_room() -> None:
    paper = farm("h1")
    paper.use(A, H1)
    paper.miss(B)
    refuse(paper, H1)
    # the state worth least makes room on the host that refused
    assert [a.script for a in paper.orders if isinstance(a, act.Drop)] == [A]
    paper.run()
    assert B in paper.asked
    paper.tick(2 * REFUSED_S)
    paper.run()
    assert paper.verdicts[-1].verdict == Verdict.READY


@pytest.mark.parametrize("budget", ["memory", ""])
def test_a_renewal_that_is_refused_is_tried_again_and_the_old_one_served(
    budget: str,
) -> None:
    paper = farm("h1")
    for name in "bcd":  # they make room, although they are worth more
        paper.write(script(name))
        paper.ask(script(name))
        paper.use(script(name), H1, 100)
    paper.use(A, H1)
    before = paper.places[A]
    paper.write(A)
    paper.settle(b"t")
    for _ in range(3):
        refuse(paper, H1, budget)
        assert paper.places[A] == before
        assert answered(paper) is None
        while paper.hosts[H1].orders:  # to drop what makes room
            paper.work(H1)
            paper.deliver(H1)
        paper.tick(2 * REFUSED_S)
    paper.run()
    assert answered(paper) == (True, "")
    assert contents(paper, A) == {paper.files[A]}
    warned = [a for a in paper.orders if isinstance(a, act.Log)]
    assert len(warned) == 1


def test_a_deploy_is_not_forgotten_while_its_host_loads_nothing() -> None:
    paper = farm("h1")
    paper.ask(B)
    paper.use(A, H1)
    paper.use(B, H1)
    paper.write(A)
    paper.settle()
    refuse(paper, H1, "")  # for a moment it gets no other load
    paper.write(B)
    paper.settle(b"t")
    assert answered(paper) is None
    paper.tick(2 * REFUSED_S)
    paper.run()
    assert answered(paper) == (True, "")
    assert contents(paper, B) == {paper.files[B]}


def test_a_further_state_is_not_forgotten_while_its_host_loads_nothing() -> None:
    paper = farm("h1", "h2", clones=2)
    first, second = paper.places[A].hosts
    paper.miss(B, second)
    refuse(paper, second, "")
    paper.write(A)
    paper.settle()
    paper.run()
    assert paper.places[A].hosts == (first,)
    paper.tick(2 * REFUSED_S)
    paper.run()
    assert set(paper.places[A].hosts) == {first, second}
    assert contents(paper, A) == {paper.files[A]}


def loading(paper: Paper, path: Script) -> HostId:
    (host,) = paper.broker.farm.records[path].loads
    return host
