"""Hosts of the other lane: for requests that have waited, and only while they idle."""

from itertools import count

import pytest

from fcgi.dispatch.actions import Action, Send
from fcgi.dispatch.machine import LEAST_LEARNT_S, Dispatch
from fcgi.dispatch.tables import Pending
from luafarm.ends import Budget
from luafarm.names import Epoch, HostId, Pool, RequestId, Script
from luafarm.patience import LEAST_S, MOST_S
from luafarm.wire.messages import SAFE, Place, Verdict

HOME, LENT, MORE = HostId("home"), HostId("lent"), HostId("more")
SLOW, QUICK = b"/srv/slow.lua", b"/srv/quick.lua"


def place(script: bytes, *hosts: HostId, lent: int = 0) -> Place:
    ready = Verdict.READY
    path, pool = Script(script), Pool("web")
    sizes = (30_000, 1 << 20, 1 << 16)
    return Place(b"", path, pool, ready, Epoch(1), hosts, *sizes, 0, None, lent)


def front(number: int = 0) -> Dispatch:
    """Return a front that knows a slow script, at home on one host and lent another."""
    ids = count(1)
    dispatch = Dispatch(
        lambda: next(ids),
        number=number,
        queue=100,
        queue_per_script=100,
        queue_timeout_s=10.0,
        queue_target_s=0.25,
        remembered=10,
    )
    for host in (HOME, LENT, MORE):
        dispatch.host_up(host)
        dispatch.host_ready(host, 0.0)
    dispatch.place(place(SLOW, HOME, LENT, lent=1), 0.0)
    dispatch.place(place(QUICK, LENT), 0.0)
    return dispatch


def ask(dispatch: Dispatch, script: bytes, now: float) -> Pending:
    pending = Pending(object(), script, SAFE, b"", b"", 0, 0, now)
    dispatch.arrive(pending, now)
    dispatch.check()
    return pending


def host(pending: Pending) -> HostId | None:
    return pending.host.name if pending.host else None


def sent(actions: list[Action]) -> list[Pending]:
    return [action.pending for action in actions if isinstance(action, Send)]


def ends(dispatch: Dispatch, pending: Pending, seconds: float, now: float) -> None:
    """Let a run end and its host have what waits for it."""
    name = host(pending)
    assert name is not None
    assert dispatch.finish(name, pending.id, int(seconds * 1e6), now, ok=True)
    dispatch.fill(name, now)
    dispatch.check()


def wake(dispatch: Dispatch, until: float) -> list[tuple[float, Pending]]:
    """Wake the front whenever it wants to be; return what it sent, and when."""
    found: list[tuple[float, Pending]] = []
    while 0.0 < dispatch.wake_at() <= until:
        now = dispatch.wake_at()
        found += [(now, pending) for pending in sent(dispatch.wake(now))]
        dispatch.check()
    return found


def test_a_request_that_waited_goes_to_an_idle_host_that_is_lent() -> None:
    dispatch = front()
    assert host(ask(dispatch, SLOW, 0.0)) == HOME
    second = ask(dispatch, SLOW, 0.0)
    assert host(second) is None
    [(at, pending)] = wake(dispatch, 1.0)
    assert pending is second
    assert host(second) == LENT
    assert LEAST_S <= at < 4 * LEAST_S


@pytest.mark.parametrize(("takes_s", "waits_s"), [(0.1, 0.05), (20.0, MOST_S)])
def test_it_waits_for_half_of_what_its_script_takes_but_no_longer_than_that(
    takes_s: float, waits_s: float
) -> None:
    dispatch = front()
    ends(dispatch, ask(dispatch, SLOW, 0.0), takes_s, takes_s)
    ask(dispatch, SLOW, 30.0)
    second = ask(dispatch, SLOW, 30.0)
    [(at, pending)] = wake(dispatch, 50.0)
    assert pending is second
    assert waits_s <= at - 30.0 < waits_s + 0.04


def test_a_host_of_its_own_that_is_free_in_time_serves_it() -> None:
    dispatch = front()
    first = ask(dispatch, SLOW, 0.0)
    second = ask(dispatch, SLOW, 0.0)
    ends(dispatch, first, 0.005, 0.005)
    assert host(second) == HOME
    assert not wake(dispatch, 1.0)


def test_what_is_lent_is_never_shared_with_a_run() -> None:
    dispatch = front()
    quick = ask(dispatch, QUICK, 0.0)
    ask(dispatch, SLOW, 0.0)
    second = ask(dispatch, SLOW, 0.0)
    assert not wake(dispatch, 1.0)
    ends(dispatch, quick, 0.001, 1.0)
    assert host(second) == LENT


def test_who_is_at_home_on_a_host_comes_before_whom_it_is_lent_to() -> None:
    dispatch = front()
    running = ask(dispatch, QUICK, 0.0)
    waiting = ask(dispatch, QUICK, 0.9)
    ask(dispatch, SLOW, 0.0)
    slow = ask(dispatch, SLOW, 0.0)
    ends(dispatch, running, 1.0, 1.0)
    assert host(waiting) == LENT
    assert host(slow) is None
    ends(dispatch, waiting, 0.1, 1.1)
    assert host(slow) == LENT


def test_a_run_over_its_patience_does_not_wait_for_a_host_that_is_not_ready() -> None:
    dispatch = front()
    dispatch.losses.away(LENT, (), 0.0)
    ask(dispatch, SLOW, 0.0)
    second = ask(dispatch, SLOW, 0.0)
    assert not wake(dispatch, 1.0)
    assert host(second) is None


def test_without_a_host_of_its_own_a_script_is_at_home_where_it_is_lent() -> None:
    dispatch = front()
    dispatch.host_lost(HOME, RequestId(0), (), Budget.NONE, 0.0)
    dispatch.check()
    assert host(ask(dispatch, SLOW, 0.0)) == LENT


def test_a_lent_host_that_is_lost_is_lent_no_more() -> None:
    dispatch = front()
    ask(dispatch, SLOW, 0.0)
    second = ask(dispatch, SLOW, 0.0)
    dispatch.host_lost(LENT, RequestId(0), (), Budget.NONE, 0.0)
    dispatch.check()
    assert not wake(dispatch, 1.0)
    dispatch.host_up(LENT)
    dispatch.host_ready(LENT, 1.0)
    assert host(second) is None


def test_a_lent_host_without_the_state_is_lent_no_more() -> None:
    dispatch = front()
    ask(dispatch, SLOW, 0.0)
    second = ask(dispatch, SLOW, 0.0)
    wake(dispatch, 0.1)
    assert not sent(dispatch.absent(LENT, second.id, 0.1))
    dispatch.check()
    assert not wake(dispatch, 1.0)


@pytest.mark.parametrize("number", range(4))
def test_every_front_goes_to_hosts_of_the_lane_first(number: int) -> None:
    dispatch = front(number)
    dispatch.place(place(SLOW, HOME, LENT, MORE, lent=2), 0.0)
    assert host(ask(dispatch, SLOW, 0.0)) == HOME
    ask(dispatch, SLOW, 0.0)
    ask(dispatch, SLOW, 0.0)
    assert {host(pending) for _, pending in wake(dispatch, 1.0)} == {LENT, MORE}


def test_more_lent_hosts_than_hosts_are_all_of_them() -> None:
    dispatch = front()
    dispatch.place(place(SLOW, HOME, lent=3), 0.0)
    assert host(ask(dispatch, SLOW, 0.0)) == HOME


def test_a_run_that_its_client_gave_up_does_not_make_its_script_short() -> None:
    dispatch = front()
    first = ask(dispatch, SLOW, 0.0)
    dispatch.cancel(first)
    ends(dispatch, first, LEAST_LEARNT_S / 2, 1.0)
    assert not dispatch.take_uses(1.0)
    second = ask(dispatch, SLOW, 1.0)
    dispatch.cancel(second)
    ends(dispatch, second, LEAST_LEARNT_S * 2, 5.0)
    [use] = dispatch.take_uses(5.0)
    assert use.busy_us == LEAST_LEARNT_S * 2e6
