"""Hosts that are lost, cut off or unheard of: what becomes of their runs."""

import pytest

from fcgi.cgi.refusal import Refusal
from fcgi.dispatch.actions import Action
from fcgi.dispatch.hosts import OVERDUE_S, SILENT_S
from fcgi.dispatch.losses import MOST_LATE, MOST_LOSSES
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.tables import Pending
from luafarm.ends import Budget
from luafarm.names import RequestId
from luafarm.wire.messages import SAFE, Verdict
from tests.fcgi.dispatch.test_machine import (
    ONE,
    A,
    B,
    front,
    learn,
    place,
    request,
    shown,
)


def running(*flags: int) -> tuple[Dispatch, list[Pending]]:
    """Return a front with two hosts, the first of which has a run for each of these."""
    dispatch = front(A, B)
    dispatch.place(place(ONE, A), 0.0)
    learn(dispatch, ONE, 10, 0.0)
    runs = [request(flags=flag) for flag in flags]
    for pending in runs:
        assert dispatch.arrive(pending, 1.0)
    dispatch.place(place(ONE, A, B), 1.0)
    return dispatch, runs


def cut(dispatch: Dispatch, *unsent: Pending) -> list[object]:
    """Break the connection to the host."""
    ids = tuple([pending.id for pending in unsent])
    return shown(dispatch.losses.away(A, ids, 1.1))


def back(
    dispatch: Dispatch, never: int = 0, going: dict[RequestId, int] | None = None
) -> list[Action]:
    """Have the host answer over another connection; never: runs that did not come."""
    received = dispatch.losses.sent(A) - never
    return dispatch.losses.recalled(A, received, going or {}, 1.2)


def test_a_word_of_the_broker_ends_no_run_and_stops_new_ones() -> None:
    dispatch, [busy] = running(0)
    dispatch.losses.unlisted(A)
    dispatch.check()
    fresh = request()
    dispatch.place(place(ONE, B), 1.2)
    dispatch.arrive(fresh, 1.2)
    assert fresh.host is None or fresh.host.name == B
    assert dispatch.losses.has_runs(A)
    assert dispatch.finish(A, busy.id, 5, 9.0, ok=True) is busy
    assert not dispatch.losses.has_runs(A)
    dispatch.check()


def test_a_run_that_never_comes_they_say_is_not_sent_for_ever() -> None:
    dispatch, [busy] = running(0)
    dispatch.place(place(ONE, A), 1.0)
    for _ in range(MOST_LOSSES):
        cut(dispatch)
        assert shown(back(dispatch, never=1)) == [("send", A, busy)]
    cut(dispatch)
    assert shown(back(dispatch, never=1)) == [("answer", Refusal.HOST_LOST, busy)]
    dispatch.check()


def test_all_that_was_sent_has_begun_when_nobody_knows_better() -> None:
    dispatch, runs = running(0, SAFE, 0)
    lost = dispatch.host_lost(A, RequestId(0), None, Budget.NONE, 1.1)
    assert shown(lost) == [
        ("answer", Refusal.HOST_LOST, runs[0]),
        ("send", B, runs[1]),
        ("answer", Refusal.HOST_LOST, runs[2]),
    ]
    dispatch.check()


def test_a_reply_of_which_a_part_came_is_cut_whatever_the_scoreboard_says() -> None:
    dispatch, [pending] = running(SAFE)
    pending.begun = True
    lost = dispatch.host_lost(A, RequestId(0), (), Budget.NONE, 1.1)
    assert shown(lost) == [("answer", Refusal.HOST_LOST, pending)]


def test_runs_go_on_over_another_connection() -> None:
    dispatch, [first, second] = running(0, 0)
    assert cut(dispatch) == []
    assert shown(dispatch.arrive(request(), 1.1))[0][:2] == ("send", B)  # type: ignore[index]
    first.begun, first.part_bytes = True, 7
    assert back(dispatch, going={first.id: 7, second.id: -1}) == []
    assert dispatch.finish(A, first.id, 5, 9.0, ok=True) is first
    assert dispatch.finish(A, second.id, 5, 9.0, ok=True) is second
    dispatch.check()


def test_what_never_came_is_sent_again_and_what_is_over_only_if_it_is_safe() -> None:
    dispatch, runs = running(0, SAFE, 0)
    cut(dispatch)
    assert shown(back(dispatch, never=1)) == [
        ("answer", Refusal.HOST_LOST, runs[0]),
        ("send", A, runs[1]),
        ("send", A, runs[2]),
    ]
    dispatch.check()


def test_a_host_that_does_not_know_its_front_has_begun_all() -> None:
    dispatch, runs = running(0, SAFE)
    cut(dispatch)
    assert shown(dispatch.losses.recalled(A, -1, {}, 1.2)) == [
        ("answer", Refusal.HOST_LOST, runs[0]),
        ("send", A, runs[1]),
    ]
    assert dispatch.losses.sent(A) == 1  # both count anew


def test_runs_after_a_return_are_counted_as_the_host_counts_them() -> None:
    dispatch, [first, never] = running(0, 0)
    cut(dispatch)
    came = dispatch.losses.sent(A) - 1
    assert shown(back(dispatch, never=1, going={first.id: -1})) == [("send", A, never)]
    assert dispatch.losses.sent(A) == came + 1
    cut(dispatch)
    # this time it came, and is over
    assert shown(back(dispatch, going={first.id: -1})) == [
        ("answer", Refusal.HOST_LOST, never)
    ]


def test_what_was_not_sent_any_more_goes_elsewhere() -> None:
    dispatch, [sent, unsent] = running(0, 0)
    before = dispatch.losses.sent(A)
    assert cut(dispatch, unsent) == [("send", B, unsent)]
    assert dispatch.losses.sent(A) == before - 1
    assert dispatch.run(A, sent.id) is sent
    dispatch.check()


def test_a_reply_that_has_lost_a_part_is_cut() -> None:
    for has_part in (False, True):
        dispatch, [pending] = running(SAFE)
        cut(dispatch)
        pending.begun, pending.part_bytes = has_part, 7 * has_part
        assert shown(back(dispatch, going={pending.id: 9})) == [
            ("answer", Refusal.HOST_LOST, pending),
            ("cancel", A, pending.id),
        ]
        assert dispatch.run(A, pending.id) is pending  # its end is no lie
        assert pending.cancelled


def test_an_answer_that_comes_after_its_run_was_told_to_be_over_is_dropped() -> None:
    dispatch, [pending] = running(0)
    number = pending.id
    cut(dispatch)
    back(dispatch)
    assert dispatch.run(A, number) is None
    assert all(dispatch.losses.is_late(A, number) for _ in range(MOST_LATE))
    assert not dispatch.losses.is_late(A, number)  # a host that goes on lies
    assert not dispatch.losses.is_late(A, RequestId(4711))


def test_a_host_out_of_reach_is_not_accused_and_its_runs_are_started_nowhere() -> None:
    dispatch, runs = running(0, SAFE)
    cut(dispatch)
    assert shown(dispatch.losses.unreached(A, 7.0)) == [
        ("answer", Refusal.HOST_LOST, pending) for pending in runs
    ]
    assert dispatch.losses.unreached(A, 7.1) == []
    assert dispatch.tick(8.0 + SILENT_S) == []
    assert dispatch.losses.wanted(A) == ()
    [first, _] = runs
    assert back(dispatch, going={first.id: -1}) == []  # it ends yet, as it is told to
    assert dispatch.fill(A, 50.0) == []
    assert dispatch.finish(A, first.id, 5, 50.0, ok=True) is first
    assert first.cancelled
    again = request()
    assert shown(dispatch.arrive(again, 50.0)) == [("send", A, again)]
    dispatch.check()


def test_a_client_that_left_while_its_host_was_away_wants_nothing() -> None:
    dispatch, [gone, kept] = running(0, 0)
    cut(dispatch)
    dispatch.cancel(gone)
    assert dispatch.losses.wanted(A) == (kept.id,)
    assert shown(back(dispatch)) == [("answer", Refusal.HOST_LOST, kept)]
    assert dispatch.running == 0
    dispatch.check()


def test_what_is_forgotten_while_a_run_is_away_is_so_again_after_it() -> None:
    dispatch, [pending] = running(SAFE)
    cut(dispatch)
    dispatch.losses.unlisted(A)
    dispatch.losses.unlisted(B)
    dispatch.place(place(ONE, verdict=Verdict.MISSING), 1.1)
    for number in range(5000):
        dispatch.place(place(b"/%d" % number, verdict=Verdict.MISSING), 1.1)
    assert shown(back(dispatch)) == [("answer", Refusal.NOT_FOUND, pending)]
    dispatch.check()


def test_a_host_that_was_sent_nothing_has_nothing_to_tell() -> None:
    dispatch = front(A)
    assert dispatch.losses.wanted(A) is None


def test_a_front_that_was_stopped_gives_up_nothing_for_that_time() -> None:
    dispatch, [pending] = running(0)
    dispatch.place(place(ONE), 1.0)
    waits = request(now=1.0)
    dispatch.arrive(waits, 1.0)
    dispatch.woke(600.0, 601.0)
    assert [a for a in shown(dispatch.tick(601.0)) if isinstance(a, tuple)] == []
    over = 30.1 + OVERDUE_S
    late = [a for a in shown(dispatch.tick(601.0 + over)) if isinstance(a, tuple)]
    assert ("answer", Refusal.TIMEOUT, pending) in late
    assert ("answer", Refusal.UNAVAILABLE, waits) in late


@pytest.mark.parametrize("sent", [0, 1])
def test_a_host_that_takes_nothing_is_used_again_when_it_does(sent: int) -> None:
    dispatch, runs = running(*[0] * sent)
    cut(dispatch)
    dispatch.place(place(ONE, A), 1.1)
    waits = request(now=1.1)
    assert dispatch.arrive(waits, 1.1) == []
    for pending in runs:
        dispatch.finish(A, pending.id, 5, 1.2, ok=True)
    assert shown(dispatch.host_ready(A, 1.2)) == [("send", A, waits)]
