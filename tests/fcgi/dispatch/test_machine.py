"""The front's decisions: events in, exact actions out."""

from itertools import combinations, count

import pytest
from msgspec.structs import replace

from fcgi.cgi.refusal import Refusal
from fcgi.dispatch.actions import Action, CancelRun, Refuse, Send, Tell
from fcgi.dispatch.catalogue import MOST_BYTES
from fcgi.dispatch.hosts import MAX_RUNS, OVERDUE_S, SILENT_S, hunt
from fcgi.dispatch.losses import MOST_LOSSES
from fcgi.dispatch.machine import ASK_AGAIN_S, Dispatch
from fcgi.dispatch.tables import STALL_S, WINDOW_S, Host, Pending
from luafarm.ends import Budget, Death
from luafarm.names import Epoch, HostId, Pool, RequestId, Script
from luafarm.wire.messages import (
    SAFE,
    Accuse,
    Miss,
    Place,
    Pressure,
    ScriptError,
    Verdict,
)

A, B = HostId("a"), HostId("b")
ONE, TWO = b"/srv/one.lua", b"/srv/two.lua"


def request(path: bytes = ONE, now: float = 0.0, flags: int = SAFE) -> Pending:
    return Pending(object(), path, flags, b"params", b"", 0, 0, now)


def place(
    script: bytes = ONE,
    *hosts: HostId,
    asked: bytes = b"",
    verdict: Verdict = Verdict.READY,
    retry_after_s: int = 0,
    error: ScriptError | None = None,
) -> Place:
    return Place(
        asked,
        Script(script),
        Pool("web"),
        verdict,
        Epoch(1),
        hosts,
        30_000,
        1 << 20,
        1 << 16,
        retry_after_s,
        error,
    )


def shown(actions: list[Action]) -> list[object]:
    """Return actions as values that compare."""
    out: list[object] = []
    for action in actions:
        match action:
            case Send(pending=pending):
                assert pending.host is not None
                out.append(("send", pending.host.name, pending))
            case Refuse(pending=pending, refusal=refusal):
                out.append(("answer", refusal, pending))
            case CancelRun(host=host, request=request_id):
                out.append(("cancel", host, request_id))
            case Tell(message=message):
                out.append(message)
    return out


def front(*hosts: HostId, remembered: int = 4096, **limits: int) -> Dispatch:
    ids = count(1)
    given = {"number": 0, "queue": 2048, "queue_per_script": 1024, **limits}
    dispatch = Dispatch(
        lambda: next(ids),
        queue_timeout_s=10.0,
        queue_target_s=0.1,
        remembered=remembered,
        **given,
    )
    for host in hosts:
        assert dispatch.host_up(host)
        assert dispatch.host_ready(host, 0.0) == []
    return dispatch


def learn(dispatch: Dispatch, path: bytes, service_us: int, now: float) -> None:
    """Run one request of a script, so that its service time is known."""
    pending = request(path, now)
    [sent] = dispatch.arrive(pending, now)
    assert isinstance(sent, Send)
    assert pending.host is not None
    name = pending.host.name
    assert dispatch.finish(name, pending.id, service_us, now, ok=True) is pending
    dispatch.fill(name, now)


def test_an_unknown_path_is_asked_for_once_and_sent_when_placed() -> None:
    dispatch = front(A, B)
    first, second = request(), request(now=0.001)
    assert shown(dispatch.arrive(first, 0.0)) == [Miss(ONE, (A, B))]
    assert dispatch.arrive(second, 0.001) == []
    actions = dispatch.place(place(ONE, A, B, asked=ONE), 0.002)
    assert shown(actions) == [("send", A, first), ("send", B, second)]
    dispatch.check()


def test_the_path_behind_a_script_is_its_path_info() -> None:
    dispatch = front(A)
    deep = request(ONE + b"/extra/info")
    assert shown(dispatch.arrive(deep, 0.0)) == [Miss(ONE + b"/extra/info", (A,))]
    placed = dispatch.place(place(ONE, A, asked=ONE + b"/extra/info"), 0.1)
    assert shown(placed) == [("send", A, deep)]
    assert deep.row()[1] == ONE
    assert dispatch.finish(A, deep.id, 50, 0.1, ok=True) is deep
    known = request(ONE + b"/other")
    assert shown(dispatch.arrive(known, 0.2)) == [("send", A, known)]
    dispatch.check()


def test_a_missing_script_is_refused_at_once_until_it_appears() -> None:
    dispatch = front(A)
    first = request()
    dispatch.arrive(first, 0.0)
    missing = place(ONE, asked=ONE, verdict=Verdict.MISSING)
    answers = shown(dispatch.place(missing, 0.1))
    assert answers == [("answer", Refusal.NOT_FOUND, first)]
    again = request()
    assert shown(dispatch.arrive(again, 0.2)) == [("answer", Refusal.NOT_FOUND, again)]
    dispatch.place(place(ONE), 0.3)
    third = request()
    assert shown(dispatch.arrive(third, 0.4)) == [Miss(ONE, (A,))]
    dispatch.check()


def test_a_script_that_comes_is_found_by_paths_with_path_info_as_well() -> None:
    dispatch = front(A)
    deep = ONE + b"/info"
    dispatch.arrive(request(deep), 0.0)
    dispatch.place(place(deep, asked=deep, verdict=Verdict.MISSING), 0.1)
    dispatch.place(place(deep), 0.2)  # ask again
    waits = request(deep)
    assert shown(dispatch.arrive(waits, 0.3)) == [Miss(deep, (A,))]
    assert shown(dispatch.place(place(ONE, A, asked=deep), 0.4)) == [("send", A, waits)]
    dispatch.check()


RELEASE = b"/releases/5/one.lua"


def test_a_script_is_found_by_the_directory_that_its_root_really_is() -> None:
    dispatch = front(A)
    dispatch.realign(((b"/releases/5", b"/srv"),))
    dispatch.place(place(ONE, A), 0.0)
    for extra in (b"", b"/info"):
        asked = request(RELEASE + extra)
        assert shown(dispatch.arrive(asked, 0.1)) == [("send", A, asked)]
        assert asked.row()[1] == ONE
        assert asked.path == ONE + extra
        dispatch.finish(A, asked.id, 50, 0.1, ok=True)
    own = request()
    assert shown(dispatch.arrive(own, 0.2)) == [("send", A, own)]
    dispatch.check()


def test_what_waits_by_a_name_that_was_not_known_yet_goes_to_its_script() -> None:
    dispatch = front(A)
    asked = request(RELEASE + b"/info")
    assert shown(dispatch.arrive(asked, 0.0)) == [Miss(RELEASE + b"/info", (A,))]
    dispatch.realign(((b"/releases/5", b"/srv"),))
    placed = dispatch.place(place(ONE, A, asked=RELEASE + b"/info"), 0.1)
    assert shown(placed) == [("send", A, asked)]
    assert asked.path == ONE + b"/info"
    dispatch.check()


def test_a_name_that_means_another_root_now_is_asked_for_again() -> None:
    dispatch = front(A)
    dispatch.arrive(request(RELEASE), 0.0)
    dispatch.place(place(RELEASE, asked=RELEASE, verdict=Verdict.MISSING), 0.1)
    dispatch.realign(((b"/releases/5", b"/srv"),))
    assert shown(dispatch.arrive(request(RELEASE), 0.2)) == [Miss(ONE, (A,))]
    dispatch.realign(((b"/releases/5", b"/staging"),))
    staged = b"/staging/one.lua"
    assert shown(dispatch.arrive(request(RELEASE), 0.3)) == [Miss(staged, (A,))]
    dispatch.realign(())
    assert shown(dispatch.arrive(request(RELEASE), 0.4)) == [Miss(RELEASE, (A,))]
    dispatch.check()


def test_what_is_to_be_forgotten_and_was_never_known_takes_no_room() -> None:
    dispatch = front(A, remembered=1)
    known = place(TWO, asked=TWO, verdict=Verdict.MISSING)
    dispatch.arrive(request(TWO), 0.0)
    dispatch.place(known, 0.1)
    dispatch.place(place(ONE), 0.2)
    waits = request(TWO)
    assert shown(dispatch.arrive(waits, 0.3)) == [("answer", Refusal.NOT_FOUND, waits)]
    dispatch.check()


def test_missing_paths_are_remembered_up_to_so_many_bytes() -> None:
    dispatch = front(A, remembered=1_000_000)
    number = MOST_BYTES // 4000 + 10
    paths = [b"/srv/%08d" % i + b"x" * 3988 + b".lua" for i in range(number)]
    for path in paths:
        dispatch.arrive(request(path), 0.0)
        dispatch.place(place(path, asked=path, verdict=Verdict.MISSING), 0.1)
    oldest, newest = request(paths[0]), request(paths[-1])
    assert shown(dispatch.arrive(newest, 0.2)) == [
        ("answer", Refusal.NOT_FOUND, newest)
    ]
    assert shown(dispatch.arrive(oldest, 0.2)) == [Miss(paths[0], (A,))]
    dispatch.check()


def test_a_broken_script_is_refused_with_its_error() -> None:
    dispatch = front(A)
    error = ScriptError(
        "Syntax Error", "near end", "", "/srv/one.lua", 3, "", Budget.NONE
    )
    dispatch.place(place(ONE, verdict=Verdict.BROKEN, error=error), 0.0)
    [answer] = dispatch.arrive(request(), 0.1)
    assert isinstance(answer, Refuse)
    assert (answer.refusal, answer.error) == (Refusal.SCRIPT_FAILED, error)


def test_a_refused_script_is_asked_for_again_when_its_time_is_up() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, verdict=Verdict.REFUSED, retry_after_s=30), 0.0)
    [answer] = dispatch.arrive(request(), 10.5)
    assert isinstance(answer, Refuse)
    assert (answer.refusal, answer.retry_after_s) == (Refusal.UNAVAILABLE, 20)
    assert shown(dispatch.arrive(request(now=30.0), 30.0)) == [Miss(ONE, (A,))]
    dispatch.check()


def test_a_script_of_unknown_cost_never_shares_a_host() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    first, second = request(), request()
    assert shown(dispatch.arrive(first, 0.0)) == [("send", A, first)]
    assert dispatch.arrive(second, 0.0) == []
    assert dispatch.finish(A, first.id, 10, 0.01, ok=True) is first
    assert shown(dispatch.fill(A, 0.01)) == [("send", A, second)]
    dispatch.check()


def test_quick_requests_share_a_host_up_to_the_window() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    learn(dispatch, ONE, 50, 0.0)  # five of them fill the window of 250 us
    sent = [shown(dispatch.arrive(request(), 0.0)) for _ in range(7)]
    assert sum(bool(s) for s in sent) == round(WINDOW_S / 50e-6)
    dispatch.check()


def test_nothing_goes_behind_a_request_that_stalls() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    learn(dispatch, ONE, 50, 0.0)
    assert dispatch.arrive(request(), 1.0)
    assert dispatch.arrive(request(), 1.0 + STALL_S * 2) == []


def test_a_host_never_has_more_runs_than_its_scoreboard_can_name() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    learn(dispatch, ONE, 0, 0.0)
    sent = [dispatch.arrive(request(), 0.0) for _ in range(MAX_RUNS + 5)]
    assert sum(bool(s) for s in sent) == MAX_RUNS


def test_hosts_are_hunted_in_the_published_order() -> None:
    dispatch = front(A, B)
    dispatch.place(place(ONE, B, A), 0.0)
    first, second = request(), request()
    assert shown(dispatch.arrive(first, 0.0)) == [("send", B, first)]
    assert shown(dispatch.arrive(second, 0.0)) == [("send", A, second)]


def test_a_flood_of_one_script_delays_another_by_one_request() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    dispatch.place(place(TWO, A), 0.0)
    learn(dispatch, ONE, 10_000, 0.0)
    learn(dispatch, TWO, 10_000, 0.0)
    flood = [request(ONE, 0.001 * i) for i in range(10)]
    for pending in flood:
        dispatch.arrive(pending, pending.arrival)
    other = request(TWO, 0.05)
    dispatch.arrive(other, 0.05)
    served: list[Pending] = []
    running = flood[0]
    for step in range(4):
        assert dispatch.finish(A, running.id, 10_000, 0.06 + step, ok=True)
        [send] = dispatch.fill(A, 0.06 + step)
        assert isinstance(send, Send)
        running = send.pending
        served.append(running)
    assert other in served[:2]
    dispatch.check()


def test_pressure_is_reported_with_growing_pauses() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    dispatch.arrive(request(), 0.0)
    dispatch.arrive(request(), 0.0)
    due: list[float] = []
    for _ in range(8):
        now = dispatch.wake_at()
        due.append(round(now, 3))
        [told] = shown(dispatch.wake(now))
        assert isinstance(told, Pressure)
        assert told.queued == 1
    assert due == [0.001, 0.003, 0.007, 0.015, 0.031, 0.063, 0.095, 0.127]


def test_what_waits_too_long_is_refused_and_the_broker_is_asked_again() -> None:
    dispatch = front(A)
    pending = request()
    assert shown(dispatch.arrive(pending, 0.0)) == [Miss(ONE, (A,))]
    assert dispatch.tick(ASK_AGAIN_S / 2) == []
    assert shown(dispatch.tick(ASK_AGAIN_S)) == [Miss(ONE, (A,))]
    assert shown(dispatch.tick(10.0)) == [("answer", Refusal.UNAVAILABLE, pending)]
    dispatch.check()


def test_full_queues_refuse_at_once() -> None:
    dispatch = front(A, queue=2, queue_per_script=1)
    assert len(dispatch.arrive(request(ONE), 0.0)) == 1
    full = request(ONE)
    assert shown(dispatch.arrive(full, 0.0)) == [("answer", Refusal.OVERLOADED, full)]
    dispatch.arrive(request(TWO), 0.0)
    third = request(b"/srv/three.lua")
    assert shown(dispatch.arrive(third, 0.0)) == [("answer", Refusal.OVERLOADED, third)]
    dispatch.check()


def lost_with_three(
    begun: int, *, flags: int, reason: str = "crash"
) -> tuple[list[object], list[Pending]]:
    """Lose a host with three runs, of which the first `begun` had begun."""
    dispatch = front(A, B)
    dispatch.place(place(ONE, A), 0.0)
    learn(dispatch, ONE, 10, 0.0)
    runs = [request(flags=flags) for _ in range(3)]
    for pending in runs:
        assert dispatch.arrive(pending, 1.0)
    dispatch.place(place(ONE, A, B), 1.0)
    ids = tuple(p.id for p in runs[:begun])
    running = ids[-1] if ids else RequestId(0)
    actions = shown(dispatch.host_lost(A, running, ids, Death(reason).budget, 1.1))
    dispatch.check()
    return actions, runs


def test_a_lost_host_costs_only_the_unsafe_request_that_it_ran() -> None:
    actions, runs = lost_with_three(1, flags=0)
    assert actions == [
        ("answer", Refusal.HOST_LOST, runs[0]),
        ("send", B, runs[1]),
        ("send", B, runs[2]),
    ]


def test_unsafe_requests_that_had_begun_are_not_started_again() -> None:
    actions, runs = lost_with_three(3, flags=0)
    assert actions == [("answer", Refusal.HOST_LOST, p) for p in runs]


def test_a_safe_request_is_started_once_more_and_not_twice() -> None:
    dispatch = front(A, B)
    dispatch.place(place(ONE, A, B), 0.0)
    pending = request()
    dispatch.arrive(pending, 0.0)
    first = pending.id
    assert shown(dispatch.host_lost(A, first, (first,), Budget.NONE, 0.1)) == [
        ("send", B, pending)
    ]
    assert pending.id != first
    again = pending.id
    assert shown(dispatch.host_lost(B, again, (again,), Budget.NONE, 0.2)) == [
        ("answer", Refusal.HOST_LOST, pending)
    ]
    dispatch.check()


def test_a_request_over_its_time_budget_is_answered_504_though_it_is_safe() -> None:
    actions, runs = lost_with_three(1, flags=SAFE, reason="wall")
    assert actions[0] == ("answer", Refusal.TIMEOUT, runs[0])
    assert [a[0] for a in actions[1:] if isinstance(a, tuple)] == ["send", "send"]


def test_a_reply_that_has_begun_is_never_started_again() -> None:
    dispatch = front(A, B)
    dispatch.place(place(ONE, A, B), 0.0)
    pending = request()
    dispatch.arrive(pending, 0.0)
    pending.begun = True
    lost = dispatch.host_lost(A, pending.id, (pending.id,), Budget.NONE, 0.1)
    assert shown(lost) == [("answer", Refusal.HOST_LOST, pending)]


def test_a_run_whose_state_is_gone_is_placed_again() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    pending = request()
    dispatch.arrive(pending, 0.0)
    assert shown(dispatch.absent(A, pending.id, 0.1)) == [Miss(ONE, (A,))]
    dispatch.check()


def test_a_broker_that_knows_no_better_is_asked_with_pauses() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    pending = request()
    dispatch.arrive(pending, 0.0)
    assert shown(dispatch.absent(A, pending.id, 0.1)) == [Miss(ONE, (A,))]
    again = dispatch.place(place(ONE, A, asked=ONE), 0.1)
    assert shown(again) == [("send", A, pending)]
    assert dispatch.absent(A, pending.id, 0.1) == []
    assert dispatch.tick(0.2) == []
    assert shown(dispatch.tick(0.2 + ASK_AGAIN_S)) == [Miss(ONE, (A,))]
    dispatch.check()


def test_a_cancelled_request_leaves_its_queue_or_is_cancelled_on_its_host() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    running, waiting = request(), request()
    dispatch.arrive(running, 0.0)
    dispatch.arrive(waiting, 0.0)
    assert dispatch.cancel(waiting) == []
    assert shown(dispatch.cancel(running)) == [("cancel", A, running.id)]
    assert dispatch.finish(A, running.id, 5, 0.1, ok=True) is running
    assert dispatch.fill(A, 0.1) == []
    assert dispatch.outstanding == 0
    dispatch.check()


def test_a_host_that_nobody_stops_in_time_is_given_up() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    pending = request()
    dispatch.arrive(pending, 0.0)
    assert dispatch.tick(30.0 + OVERDUE_S) == []
    late = shown(dispatch.tick(30.1 + OVERDUE_S))
    assert late == [("answer", Refusal.TIMEOUT, pending)]
    dispatch.check()


@pytest.mark.parametrize("is_absent", [False, True])
def test_a_host_that_was_given_up_serves_again_once_it_has_answered(
    is_absent: bool,
) -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    late, waiting = request(), request(now=40.0)
    dispatch.arrive(late, 0.0)
    number = late.id
    assert shown(dispatch.tick(40.0)) == [("answer", Refusal.TIMEOUT, late)]
    assert dispatch.arrive(waiting, 40.0) == []
    assert dispatch.run(A, number) is late  # what it says of it is no lie
    assert late.cancelled  # but nobody waits for it
    assert dispatch.fill(A, 40.0) == []
    if is_absent:
        assert dispatch.absent(A, number, 40.1) == []
    else:
        assert dispatch.finish(A, number, 5, 40.1, ok=True) is late
    assert shown(dispatch.fill(A, 40.1)) == [("send", A, waiting)]
    assert dispatch.run(A, number) is None
    assert dispatch.finish(A, number, 5, 40.2, ok=True) is None
    dispatch.check()


def test_a_host_that_was_given_up_and_never_answers_is_accused() -> None:
    dispatch = front(A, B)
    dispatch.place(place(ONE, A), 0.0)
    dispatch.arrive(request(), 0.0)
    assert shown(dispatch.tick(40.0))
    assert dispatch.tick(40.0 + SILENT_S) == []
    [accusation] = shown(dispatch.tick(40.1 + SILENT_S))
    assert isinstance(accusation, Accuse)
    assert accusation.host == A
    assert dispatch.tick(40.2 + SILENT_S) == []


def test_a_run_that_its_hosts_die_of_and_say_nothing_is_not_begun_for_ever() -> None:
    hosts = [HostId(f"h{number}") for number in range(6)]
    dispatch = front(*hosts)
    dispatch.place(place(ONE, *hosts), 0.0)
    first = request(flags=0)
    dispatch.arrive(first, 0.0)
    for number in range(MOST_LOSSES):
        [sent] = shown(
            dispatch.host_lost(hosts[number], RequestId(0), (), Budget.NONE, 0.1)
        )
        assert sent == ("send", hosts[number + 1], first)
    assert shown(
        dispatch.host_lost(hosts[MOST_LOSSES], RequestId(0), (), Budget.NONE, 0.1)
    ) == [("answer", Refusal.HOST_LOST, first)]
    dispatch.check()


def test_what_a_dead_host_says_that_it_began_touches_no_run_of_another() -> None:
    dispatch = front(A, B)
    dispatch.place(place(ONE, A), 0.0)
    dispatch.place(place(TWO, B), 0.0)
    mine, theirs = request(ONE), request(TWO)
    dispatch.arrive(mine, 0.0)
    dispatch.arrive(theirs, 0.0)
    dispatch.host_lost(A, theirs.id, (theirs.id, mine.id), Budget.WALL, 0.1)
    assert dispatch.run(B, theirs.id) is theirs
    assert theirs.deaths == 0
    assert dispatch.finish(B, theirs.id, 5, 0.2, ok=True) is theirs
    dispatch.check()


def test_a_run_that_is_placed_again_begins_anew() -> None:
    dispatch = front(A, B)
    dispatch.place(place(ONE, A, B), 0.0)
    pending = request()
    dispatch.arrive(pending, 0.0)
    pending.body_at = pending.data_at = pending.body_mark = pending.log_bytes = 7
    assert shown(dispatch.host_lost(A, pending.id, (), Budget.NONE, 0.1)) == [
        ("send", B, pending)
    ]
    assert (pending.body_at, pending.data_at) == (0, 0)
    assert (pending.body_mark, pending.log_bytes) == (0, 0)


def test_the_largest_budget_that_was_ever_told_of_a_script_holds() -> None:
    dispatch = front(A)
    for reply_bytes, log_bytes in ((10, 30), (20, 10), (5, 5)):
        told = replace(place(ONE, A), reply_bytes=reply_bytes, log_bytes=log_bytes)
        dispatch.place(told, 0.0)
    pending = request()
    dispatch.arrive(pending, 0.0)
    assert pending.entry is not None
    assert (pending.entry.reply_bytes, pending.entry.log_bytes) == (20, 30)


def test_a_snapshot_forgets_what_it_does_not_name_and_asks_for_what_waits() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    dispatch.place(place(TWO, A), 0.0)
    busy, waiting = request(TWO), request(TWO)
    dispatch.arrive(busy, 0.0)
    dispatch.arrive(waiting, 0.0)
    assert shown(dispatch.snapshot((), 0.1)) == [Miss(TWO, ())]
    assert dispatch.finish(A, busy.id, 5, 0.2, ok=True) is busy
    dispatch.fill(A, 0.2)
    dispatch.check()
    assert shown(dispatch.place(place(TWO, A), 0.3)) == [("send", A, waiting)]


def test_paths_without_a_script_are_forgotten_beyond_a_number() -> None:
    dispatch = front(A, remembered=3)
    for number in range(10):
        path = b"/srv/%d.lua" % number
        dispatch.arrive(request(path), 0.0)
        dispatch.place(place(path, asked=path, verdict=Verdict.MISSING), 0.0)
        dispatch.check()
    oldest = request(b"/srv/0.lua")
    assert shown(dispatch.arrive(oldest, 1.0)) == [Miss(b"/srv/0.lua", (A,))]
    newest = request(b"/srv/9.lua")
    answer = shown(dispatch.arrive(newest, 1.0))
    assert answer == [("answer", Refusal.NOT_FOUND, newest)]


def test_a_report_counts_each_use_once() -> None:
    dispatch = front(A)
    dispatch.place(place(ONE, A), 0.0)
    learn(dispatch, ONE, 40, 0.0)
    learn(dispatch, ONE, 60, 0.0)
    [row] = dispatch.take_uses(1.0)
    assert (row.script, row.host, row.requests, row.busy_us) == (ONE, A, 2, 100)
    assert dispatch.take_uses(2.0) == ()


def test_a_wait_for_the_first_state_is_no_wait_for_want_of_clones() -> None:
    dispatch = front(A)
    dispatch.arrive(request(now=0.0), 0.0)
    (send,) = dispatch.place(place(ONE, A), 0.5)
    assert isinstance(send, Send)
    dispatch.arrive(request(now=0.6), 0.6)
    dispatch.finish(A, send.pending.id, 1000, 0.8, ok=True)
    (send,) = dispatch.fill(A, 0.8)
    assert isinstance(send, Send)
    dispatch.finish(A, send.pending.id, 1000, 0.9, ok=True)
    [row] = dispatch.take_uses(1.0)
    assert (row.requests, row.waited_us) == (2, 200_000)


@pytest.mark.parametrize("fronts", [2, 3, 4])
@pytest.mark.parametrize("number", [8, 16, 33])
def test_fronts_meet_late_when_they_hunt(fronts: int, number: int) -> None:
    hosts = [Host(HostId(f"h{n}")) for n in range(number)]
    orders = [hunt(hosts, number) for number in range(fronts)]
    assert orders[0] == hosts
    for order in orders:
        assert sorted(h.name for h in order) == sorted(h.name for h in hosts)
    firsts = [{h.name for h in order[: number // 4]} for order in orders]
    assert not any(one & other for one, other in combinations(firsts, 2))


def test_fronts_start_hunting_at_different_hosts() -> None:
    dispatch = front(A, B, number=1)
    dispatch.place(place(ONE, A, B), 0.0)
    pending = request()
    assert shown(dispatch.arrive(pending, 0.0)) == [("send", B, pending)]


def test_a_front_that_ends_refuses_what_waits_and_nothing_that_runs() -> None:
    dispatch = front(A)
    first, second, third = request(), request(), request(TWO)
    for pending in (first, second, third):
        dispatch.arrive(pending, 0.0)
    dispatch.place(place(ONE, A, asked=ONE), 0.0)
    assert shown(dispatch.give_up()) == shown(
        [
            Refuse(second, Refusal.UNAVAILABLE),
            Refuse(third, Refusal.UNAVAILABLE),
        ]
    )
    dispatch.check()
    assert (dispatch.queued, dispatch.running) == (0, 1)
