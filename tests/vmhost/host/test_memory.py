"""What a VM host does when its memory is full, and with scripts that want it fresh."""

import pytest

from luafarm.ends import Budget, Closing
from luafarm.names import Epoch, Script
from luafarm.wire.messages import Drop, Fence, Gone, LoadFailed, Outcome
from tests.vmhost.host.hostdriver import (
    BROKER,
    FRESH,
    MAX_BYTES,
    A,
    B,
    Driver,
    row,
)
from vmhost.host.machine import HOOKS_NS
from vmhost.host.memory import FULL
from vmhost.host.work import Close, Collect, Load, Refill

C = Script(b"/c")
FULL_BYTES = int(MAX_BYTES * FULL)


@pytest.fixture
def farm() -> Driver:
    return Driver()


def serve(farm: Driver, script: Script, size: int) -> None:
    """Do a run, after which the state of the script has this size."""
    farm.runs(row(1, script))
    farm.run(size=size)


def test_over_its_memory_a_host_collects_the_largest_first_until_it_is_not_full(
    farm: Driver,
) -> None:
    a, b = farm.make(A, size=300), farm.make(B, size=400)
    farm.make(C, size=1)
    serve(farm, C, 500)
    collect = farm.take()
    assert isinstance(collect, Collect)
    assert collect.held.script == C
    farm.machine.collected(collect, 250)
    collect = farm.take()
    assert isinstance(collect, Collect)
    assert collect.held is b
    farm.machine.collected(collect, FULL_BYTES - 250 - 300)
    farm.rest()
    assert (a.memory_bytes, farm.machine.memory.used_bytes) == (300, FULL_BYTES)


def test_up_to_its_memory_a_host_collects_nothing(farm: Driver) -> None:
    farm.make(A, size=300)
    serve(farm, A, MAX_BYTES)
    farm.rest()
    serve(farm, A, MAX_BYTES + 1)
    assert isinstance(farm.take(), Collect)


def test_where_collecting_is_not_enough_the_largest_states_are_closed(
    farm: Driver,
) -> None:
    for script, size in ((A, 300), (B, 400), (C, 1)):
        farm.make(script, size=size)
    serve(farm, C, 500)
    farm.said()
    for _ in range(3):
        collect = farm.take()
        assert isinstance(collect, Collect)
        farm.machine.collected(collect, collect.held.memory_bytes)
    [close] = farm.close()
    assert (close.held.script, close.reason, close.has_hook) == (
        C,
        Closing.MEMORY,
        True,
    )
    assert farm.told() == [Gone(C, Epoch(1), Closing.MEMORY)]
    assert farm.machine.memory.used_bytes == 700
    farm.runs(row(2, C))
    farm.rest()
    assert farm.answered() == [[(2, Outcome.ABSENT)]]


def test_with_the_largest_state_its_older_generation_goes_as_well(
    farm: Driver,
) -> None:
    farm.make(A, size=300)
    farm.make(A, epoch=2, size=400)
    farm.runs(row(1, A, epoch=2))
    farm.run(size=900)
    for _ in range(2):
        collect = farm.take()
        assert isinstance(collect, Collect)
        farm.machine.collected(collect, collect.held.memory_bytes)
    reasons = [(close.held.epoch, close.reason) for close in farm.close()]
    assert reasons == [(2, Closing.MEMORY), (1, "replaced")]
    assert farm.machine.memory.used_bytes == 0


def test_a_state_that_does_not_survive_its_collection_is_closed_without_its_hook(
    farm: Driver,
) -> None:
    farm.make(A, size=300)
    serve(farm, A, MAX_BYTES + 1)
    collect = farm.take()
    assert isinstance(collect, Collect)
    farm.machine.ended(collect.held, Closing.MEMORY, has_hook=False)
    [close] = farm.close()
    assert (close.held, close.has_hook) == (collect.held, False)


def test_memory_is_freed_before_anything_else_is_run(farm: Driver) -> None:
    farm.make(A, size=300)
    farm.runs(row(1), row(2))
    farm.run(size=MAX_BYTES + 1)
    collect = farm.take()
    assert isinstance(collect, Collect)
    assert farm.answered()[-1] == [(1, Outcome.OK)]
    farm.machine.collected(collect, 10)
    assert farm.run() == 2


def test_before_a_load_garbage_is_collected_if_memory_is_full(farm: Driver) -> None:
    farm.make(A, size=FULL_BYTES + 1)
    farm.hear(BROKER, farm.load(B))
    collect = farm.take()
    assert isinstance(collect, Collect)
    farm.machine.collected(collect, 10)
    load = farm.take()
    assert isinstance(load, Load)
    assert load.held.script == B


def test_no_state_is_closed_for_one_that_is_to_be_loaded(farm: Driver) -> None:
    farm.make(A, size=FULL_BYTES + 1)
    farm.said()
    farm.hear(BROKER, farm.load(B))
    collect = farm.take()
    assert isinstance(collect, Collect)
    farm.machine.collected(collect, FULL_BYTES + 1)
    farm.rest()
    [failed] = farm.told()
    assert isinstance(failed, LoadFailed)
    assert (failed.script, failed.error.budget) == (B, Budget.MEMORY)
    assert "use up its" in failed.error.message


# ---- fresh states ----------------------------------------------------------------


def fresh(farm: Driver) -> Close:
    """Have a run of a script that wants a fresh state each, and return its closing."""
    farm.runs(row(1))
    run = farm.take_run()
    farm.finish(run)
    farm.machine.ended(run.held, Closing.FRESH, has_hook=True)
    close = farm.take()
    assert isinstance(close, Close)
    assert not close.is_last
    return close


def test_after_a_run_a_fresh_state_is_made_when_nothing_else_is_wanted(
    farm: Driver,
) -> None:
    held = farm.make(A, limits=FRESH)
    assert not farm.machine.has_spare()
    farm.said()
    farm.machine.closed(fresh(farm), b"log of its hook")
    farm.rest()
    assert farm.told() == []
    assert held.preface == b"log of its hook"
    assert not held.has_state
    assert farm.machine.has_spare()
    refill = farm.machine.spare()
    assert (type(refill), refill.held) == (Refill, held)
    farm.machine.refilled(refill, 7)
    assert (held.has_state, farm.machine.memory.used_bytes) == (True, 7)
    assert not farm.machine.has_spare()


def test_a_fresh_state_that_cannot_be_made_is_tried_again_by_the_next_run_alone(
    farm: Driver,
) -> None:
    held = farm.make(A, limits=FRESH)
    farm.machine.closed(fresh(farm), b"")
    farm.machine.spare()
    farm.machine.not_refilled()
    assert not farm.machine.has_spare()
    farm.runs(row(2))
    run = farm.take_run()
    farm.finish(run)
    farm.machine.not_made(run)
    assert farm.machine.spare().held is held


def test_for_a_script_that_is_dropped_no_fresh_state_is_made(farm: Driver) -> None:
    farm.make(A, limits=FRESH)
    close = fresh(farm)
    farm.hear(BROKER, Drop(A, Epoch(1)))  # while its hook runs
    farm.machine.closed(close, b"log")
    farm.said()
    [close] = farm.close()
    assert (close.reason, close.is_last) == ("dropped", True)
    assert farm.told() == [Gone(A, Epoch(1), Closing.DROPPED, b"log")]
    assert not farm.machine.has_spare()


# ---- the end ---------------------------------------------------------------------


def test_at_the_end_all_states_are_closed_with_hooks_as_long_as_there_is_time(
    farm: Driver,
) -> None:
    for script in (A, B, C):
        farm.make(script)
    farm.machine.stop(farm.now_ns)
    hooks = []
    for _ in range(3):
        close = farm.take()
        assert isinstance(close, Close)
        hooks.append((close.held.script, close.reason, close.has_hook))
        farm.machine.closed(close, b"")
        farm.now_ns += HOOKS_NS // 2 + 1
    assert hooks == [(A, "stopped", True), (B, "stopped", True), (C, "stopped", False)]
    farm.rest()


def test_at_the_end_nothing_more_is_loaded_or_run(farm: Driver) -> None:
    farm.make(A)
    farm.machine.stop(farm.now_ns)
    farm.hear(BROKER, farm.load(B), Fence(A, Epoch(1)))
    farm.runs(row(5))
    assert len(farm.close()) == 1
    assert [(5, Outcome.ABSENT)] in farm.answered()
