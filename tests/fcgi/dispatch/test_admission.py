"""Admission: what may wait and what is refused, events in, exact actions out."""

from itertools import count

import pytest

from fcgi.cgi.refusal import Refusal
from fcgi.dispatch.actions import Action, Refuse, Send, Tell
from fcgi.dispatch.admission import BURST, PAUSE_S, STANDS, USUAL
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.tables import UNKNOWN_S, Pending
from luafarm.ends import Budget
from luafarm.names import Epoch, HostId, Pool, Script
from luafarm.wire.messages import SAFE, Place, Pressure, Verdict

A, B = HostId("a"), HostId("b")
ONE, TWO = b"/srv/one.lua", b"/srv/two.lua"
TARGET_S = 0.1
WORK_S = 0.01
FITS = round(TARGET_S / WORK_S)  # requests that one host serves within the target
START = 100.0


class Bench:
    """A front whose hosts end runs when they are told to."""

    def __init__(self, *hosts: HostId, queue: int = 1000) -> None:
        ids = count(1)
        self.dispatch = Dispatch(
            lambda: next(ids),
            number=0,
            queue=queue,
            queue_per_script=1000,
            queue_timeout_s=10.0,
            queue_target_s=TARGET_S,
            remembered=10,
        )
        for host in hosts:
            self.dispatch.host_up(host)
            self.dispatch.host_ready(host, 0.0)

    def place(self, script: bytes, *hosts: HostId, now: float = 0.0) -> list[Action]:
        place = Place(
            b"",
            Script(script),
            Pool("web"),
            Verdict.READY,
            Epoch(1),
            hosts,
            0,
            1 << 20,
            1 << 16,
            0,
            None,
        )
        return self.dispatch.place(place, now)

    def ask(self, now: float, script: bytes = ONE) -> list[Action]:
        pending = Pending(object(), script, SAFE, b"", b"", 0, 0, now)
        actions = self.dispatch.arrive(pending, now)
        self.dispatch.check()
        return actions

    def end(
        self, host: HostId, now: float, service_s: float = WORK_S, *, fill: bool = True
    ) -> list[Action]:
        """End the run that the host has begun, and give it the next."""
        request = self.dispatch.oldest_run(host)
        service_us = round(service_s * 1e6)
        assert self.dispatch.finish(host, request, service_us, now, ok=True)
        actions = self.dispatch.fill(host, now) if fill else []
        self.dispatch.check()
        return actions

    def learn(self, script: bytes = ONE, service_s: float = WORK_S) -> None:
        """Let its time be known."""
        [sent] = self.ask(0.0, script)
        assert isinstance(sent, Send)
        assert sent.pending.host is not None
        self.end(sent.pending.host.name, 0.0, service_s)


def busy(*hosts: HostId, service_s: float = WORK_S, queue: int = 1000) -> Bench:
    """Return a front whose hosts run a script each, and nothing waits."""
    bench = Bench(*hosts, queue=queue)
    bench.place(ONE, *hosts)
    bench.place(TWO, *hosts)
    bench.learn(ONE, service_s)
    for _ in hosts:
        [sent] = bench.ask(START)
        assert isinstance(sent, Send)
    return bench


def refused(actions: list[Action]) -> bool:
    """Say whether a request was refused; if not it waits."""
    if not actions:
        return False
    [action] = actions
    assert isinstance(action, Refuse)
    assert action.refusal is Refusal.OVERLOADED
    return True


def over(bench: Bench) -> float:
    """Ask for three times what host A can, until it is refused; return the time."""
    now = START
    while True:
        for _ in range(3):
            if refused(bench.ask(now)):
                return now
        now += WORK_S
        bench.end(A, now)


def test_a_burst_is_let_in_as_far_as_it_is_served_in_five_targets() -> None:
    bench = busy(A)
    answers = [refused(bench.ask(START)) for _ in range(100)]
    let_in = round(BURST * FITS) + 1
    assert answers == [False] * let_in + [True] * (100 - let_in)
    assert bench.dispatch.overloaded == 100 - let_in


def test_more_hosts_let_more_in() -> None:
    bench = busy(A, B)
    assert not any(refused(bench.ask(START)) for _ in range(2 * round(BURST * FITS)))


def test_a_queue_that_stands_over_the_target_is_no_burst() -> None:
    bench = busy(A)
    for _ in range(FITS + 2):
        assert not refused(bench.ask(START))
    assert not refused(bench.ask(START + STANDS * TARGET_S - 0.001))
    assert refused(bench.ask(START + STANDS * TARGET_S + 0.001))


def test_once_it_stands_only_what_starts_within_the_target_is_let_in() -> None:
    bench = busy(A)
    now = over(bench)
    while bench.dispatch.queued > FITS:
        assert refused(bench.ask(now))
        now += WORK_S
        bench.end(A, now)
    now += WORK_S
    bench.end(A, now)
    for _ in range(3 * FITS):  # a few at a time; as many as are served are let in
        answers = [refused(bench.ask(now)) for _ in range(4)]
        assert True in answers
        assert FITS - 1 <= bench.dispatch.queued <= FITS + 1
        now += WORK_S
        bench.end(A, now)


def test_when_it_is_half_as_long_bursts_are_let_in_again() -> None:
    bench = busy(A)
    now = over(bench)
    while bench.dispatch.queued >= FITS // 2:
        now += WORK_S
        bench.end(A, now)
    for _ in range(2 * FITS):
        assert not refused(bench.ask(now))


def test_a_queue_that_was_empty_is_a_new_one() -> None:
    bench = busy(A)
    now = over(bench)
    while bench.dispatch.queued:
        now += WORK_S
        bench.end(A, now)
    for _ in range(2 * FITS):
        assert not refused(bench.ask(now))


def test_what_was_let_in_is_served_in_its_order() -> None:
    bench = Bench(A)
    bench.place(ONE, A)
    bench.learn()
    bench.ask(START)
    waiting: list[Pending] = []
    for _ in range(200):
        pending = Pending(object(), ONE, SAFE, b"", b"", 0, 0, START)
        if not bench.dispatch.arrive(pending, START):
            waiting.append(pending)
    now = START
    for expected in waiting:
        now += 2 * WORK_S  # slower than expected
        [sent] = bench.end(A, now)
        assert isinstance(sent, Send)
        assert sent.pending is expected


@pytest.mark.parametrize("service_s", [0.2, 2.0])
def test_a_script_may_wait_for_three_of_its_own_times(service_s: float) -> None:
    bench = busy(A, service_s=service_s)
    target = USUAL * service_s
    assert target > TARGET_S
    for _ in range(int(USUAL) + 1):
        assert not refused(bench.ask(START))
    assert not refused(bench.ask(START + STANDS * target - 0.01))


def test_four_visitors_for_each_host_are_never_refused_however_slow_it_is() -> None:
    bench = busy(A)
    now = START
    for _ in range(3):
        assert not refused(bench.ask(now))
    for _ in range(100):  # each comes again when it is served
        now += 20 * WORK_S
        bench.end(A, now)
        assert not refused(bench.ask(now))


def test_twenty_at_once_of_two_seconds_each_are_let_in_by_four_hosts() -> None:
    hosts = [HostId(f"h{n}") for n in range(4)]
    bench = busy(*hosts, service_s=2.0)
    assert not any(refused(bench.ask(START)) for _ in range(16))


def test_what_cannot_start_within_queue_timeout_is_refused_when_it_comes() -> None:
    bench = busy(A, service_s=2.0)
    answers = [refused(bench.ask(START)) for _ in range(8)]
    assert answers == [False] * 6 + [True] * 2


def test_a_script_that_never_ran_is_refused_by_number_only_when_it_is_cold() -> None:
    bench = Bench(A, queue=500)
    answers: list[bool] = []
    for _ in range(600):
        actions = bench.ask(START)
        if not any(isinstance(action, Tell) for action in actions):
            answers.append(refused(actions))
    assert answers == [False] * 499 + [True] * 100


@pytest.mark.parametrize("outage_s", [0.3, 5.0])
def test_what_waited_for_an_outage_is_served_and_so_is_what_comes_behind(
    outage_s: float,
) -> None:
    bench = busy(A)
    number = round(0.9 * outage_s / WORK_S)
    for index in range(number):
        assert not refused(bench.ask(START + index * outage_s / number))
    now = START + outage_s
    assert now - START > PAUSE_S
    for _ in range(round(outage_s / WORK_S) - 2):
        now += WORK_S
        [sent] = bench.end(A, now)
        assert isinstance(sent, Send)
        if bench.dispatch.queued < 0.9 * outage_s / WORK_S - 1:
            assert not refused(bench.ask(now))


def test_after_an_outage_a_queue_that_stands_as_long_again_is_overload() -> None:
    bench = busy(A)
    for index in range(80):
        assert not refused(bench.ask(START + index * 0.0125))
    now = START + 1.0
    answers: list[bool] = []
    for _ in range(120):
        now += WORK_S
        bench.end(A, now)
        answers.append(refused(bench.ask(now)))
    assert not any(answers[:100])
    assert all(answers[102:])


@pytest.mark.parametrize("is_whole", [False, True])
def test_of_hosts_that_come_back_one_by_one_the_others_count_for_a_while(
    is_whole: bool,
) -> None:
    hosts = [HostId(f"h{number}") for number in range(4)]
    fresh = HostId("fresh")
    bench = busy(*hosts)
    bench.ask(START)  # waits: so the rate of all of them is known
    for host in hosts:
        bench.dispatch.losses.unlisted(host)
    outage_s = 1.0
    number = round(2 * outage_s / WORK_S)  # half of what four hosts can do
    for index in range(number):
        bench.ask(START + index * outage_s / number)
    now = START + outage_s
    bench.dispatch.host_up(fresh)
    bench.dispatch.host_ready(fresh, now)
    bench.place(ONE, fresh, now=now)
    now += outage_s * (1.01 if is_whole else 0.9)
    assert bench.dispatch.queued * WORK_S > outage_s  # more than an outage lets in
    assert refused(bench.ask(now)) is is_whole


def test_nothing_is_refused_while_hosts_are_away() -> None:
    bench = busy(A)
    bench.dispatch.losses.away(A, (), START)
    assert not any(refused(bench.ask(START + n)) for n in range(9) for _ in range(99))


def test_what_waited_in_vain_for_a_host_is_no_overload() -> None:
    bench = Bench()
    bench.ask(START)
    [gone] = bench.dispatch.tick(START + 10.0)[-1:]
    assert isinstance(gone, Refuse)
    assert gone.refusal is Refusal.UNAVAILABLE
    assert gone.retry_after_s >= 1
    assert (bench.dispatch.overloaded, bench.dispatch.unserved) == (0, 1)


def test_a_queue_that_is_full_while_no_host_is_there_is_no_overload() -> None:
    bench = Bench(queue=1)
    bench.ask(START)
    [full] = bench.ask(START)
    assert isinstance(full, Refuse)
    assert full.refusal is Refusal.UNAVAILABLE
    assert (bench.dispatch.overloaded, bench.dispatch.unserved) == (0, 1)


def test_what_is_begun_anew_is_not_refused() -> None:
    bench = busy(A, B)
    now = over(bench)
    lost = bench.dispatch.oldest_run(B)
    actions = bench.dispatch.host_lost(B, lost, (lost,), Budget.NONE, now)
    assert actions == []  # it waits, before all others
    [sent] = bench.end(A, now)
    assert isinstance(sent, Send)
    assert sent.pending.deaths == 1


def test_a_flood_of_one_script_keeps_no_other_out() -> None:
    bench = busy(A)
    now = over(bench)
    for _ in range(50):
        while not refused(bench.ask(now)):
            pass
        assert not refused(bench.ask(now, TWO))
        now += WORK_S
        sent = bench.end(A, now)
        now += WORK_S
        sent += bench.end(A, now)
        paths = [action.pending.path for action in sent if isinstance(action, Send)]
        assert TWO in paths  # it waited for no more than one of the others


def test_too_much_of_everything_is_overload_as_well() -> None:
    bench = busy(A)
    scripts = [b"/srv/%d.lua" % n for n in range(400)]
    for script in scripts:
        bench.place(script, A)
    answers = [refused(bench.ask(START, script)) for script in scripts]
    let_in = answers.index(True)
    assert let_in == pytest.approx(BURST * TARGET_S / UNKNOWN_S, abs=1)
    assert all(answers[let_in:])


def shared(bench: Bench, times: int) -> float:
    """Have another front's runs between ours: each takes so many times as long."""
    now = START
    for _ in range(50):
        bench.ask(now)
        bench.ask(now)
        now += times * WORK_S
        bench.end(A, now)
    return now


def test_time_that_others_take_of_a_host_counts() -> None:
    bench = busy(A)
    shared(bench, 3)
    let_in = bench.dispatch.queued
    assert let_in * 3 * WORK_S < 2.5 * TARGET_S


def test_a_burst_is_judged_by_the_rate_that_was_seen_last() -> None:
    bench = busy(A)
    bench.ask(START)
    now = START
    for _ in range(20):
        bench.ask(now)
        now += 3 * WORK_S
        bench.end(A, now)
    for _ in range(2):
        bench.end(A, now)
    now += 30.0
    [sent] = bench.ask(now)
    assert isinstance(sent, Send)
    let_in = 0
    while not refused(bench.ask(now)):
        let_in += 1
    assert let_in == pytest.approx(BURST * TARGET_S / (3 * WORK_S), abs=2)


def test_the_broker_hears_of_the_refused_as_of_waiting_ones() -> None:
    bench = busy(A)
    now = over(bench)
    since = bench.dispatch.overloaded
    for _ in range(9):
        assert refused(bench.ask(now))
    bench.end(A, now)
    [told] = bench.dispatch.wake(now + 1.0)
    assert isinstance(told, Tell)
    pressure = told.message
    assert isinstance(pressure, Pressure)
    assert pressure.queued == bench.dispatch.queued + since + 9
    assert pressure.waited_us >= 1_000_000
    assert pressure.total_us > pressure.queued * 900_000


def test_retry_after_is_when_the_queue_is_gone_and_spread_to_twice_that() -> None:
    bench = busy(A, service_s=1.0)
    told: list[int] = []
    for _ in range(100):
        for action in bench.ask(START):
            assert isinstance(action, Refuse)
            told.append(action.retry_after_s)
    assert bench.dispatch.queued == 11  # ten seconds of work before the last
    # the last of them is given up after the ten seconds of queue_timeout
    assert set(told) == set(range(10, 21))


def test_what_delays_quick_runs_is_not_held_against_slow_ones() -> None:
    bench = busy(A)
    now = shared(bench, 10)
    while bench.dispatch.queued:
        now += 10 * WORK_S
        bench.end(A, now)
    bench.end(A, now)
    [sent] = bench.ask(now, TWO)
    assert isinstance(sent, Send)
    bench.end(A, now + 2.0, service_s=2.0)  # nothing waited, so no rate is learnt
    now += 3.0
    actions = [action for _ in range(20) for action in bench.ask(now, TWO)]
    told = [a.retry_after_s for a in actions if isinstance(a, Refuse)]
    assert bench.dispatch.queued * 2.0 == pytest.approx(10.0, abs=2.0)
    assert min(told) == pytest.approx(10.0, abs=2.0)
    assert max(told) <= 20


def test_retry_after_is_at_least_a_second() -> None:
    bench = busy(A)
    told: list[int] = []
    for _ in range(100):
        for action in bench.ask(START):
            assert isinstance(action, Refuse)
            told.append(action.retry_after_s)
    assert set(told) == {1, 2}


def test_what_waited_in_vain_is_counted_and_told_when_to_come_again() -> None:
    bench = busy(A)
    bench.ask(START)
    [gone] = bench.dispatch.tick(START + 10.0)
    assert isinstance(gone, Refuse)
    assert gone.refusal is Refusal.OVERLOADED
    assert gone.retry_after_s >= 1
    assert bench.dispatch.overloaded == 1
