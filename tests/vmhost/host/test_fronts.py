"""Fronts whose connection breaks: what waits for them, and what they are told."""

import pytest

from luafarm.names import Machine, RequestId
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Body,
    Cancel,
    Dones,
    Hello,
    Outcome,
    Part,
    Recall,
    Recalled,
    Role,
    Want,
    Welcome,
)
from tests.vmhost.host.hostdriver import QUICK_NS, A, Driver, row
from vmhost.host.owed import KEPT_BYTES, KEPT_NS
from vmhost.host.peers import MANY
from vmhost.host.services.body import READ
from vmhost.host.task import ASK_AGAIN_NS

OLD, NEW = b"old", b"new"


def come(farm: Driver, peer: bytes, incarnation: int = 7) -> list[object]:
    """Have the front greet over a connection; return what it is told there."""
    hello = Hello(PROTOCOL, Role.FRONT, "f", Machine("m"), incarnation)
    farm.hear(peer, hello)
    return list(farm.told(peer))


@pytest.fixture
def farm() -> Driver:
    driver = Driver()
    driver.hold(A, service_ns=QUICK_NS)
    assert [type(one) for one in come(driver, OLD)] == [Welcome]
    return driver


def lose_what_is_said(farm: Driver) -> None:
    """Have the connection before take nothing that is said."""
    for peer, message in farm.said():
        assert peer == OLD
        farm.machine.lost(OLD, codec.encode(message), farm.now_ns)


def recall(farm: Driver, *wanted: int, peer: bytes = NEW) -> list[object]:
    farm.hear(peer, Recall(tuple([RequestId(one) for one in wanted])))
    return list(farm.told(peer))


def rows(said: list[object]) -> list[int]:
    return [r[0] for m in said if isinstance(m, Dones) for r in m.rows]


def test_replies_wait_for_a_front_and_come_before_it_asks(farm: Driver) -> None:
    farm.runs(row(1), row(2, flags=0), peer=OLD)
    farm.run()
    farm.run()
    farm.rest()
    lose_what_is_said(farm)
    welcome, *replies = come(farm, NEW)
    assert isinstance(welcome, Welcome)
    assert rows(replies) == [1, 2]
    assert recall(farm) == [Recalled(2, ())]


def test_runs_go_on_for_a_front_that_comes_again(farm: Driver) -> None:
    farm.runs(row(1), row(2), row(3), peer=OLD)
    run = farm.take_run()
    farm.said()
    come(farm, NEW)
    assert recall(farm, 1, 2, 3) == [Recalled(3, ((1, -1), (2, -1), (3, -1)))]
    farm.finish(run)
    farm.machine.kept(run.held, 1)
    assert [farm.run(), farm.run()] == [2, 3]
    farm.rest()
    assert rows(farm.told(NEW)) == [1, 2, 3]  # type: ignore[arg-type]


def test_what_a_front_does_not_want_any_more_is_dropped_or_stopped(
    farm: Driver,
) -> None:
    farm.runs(row(1), row(2), row(3), peer=OLD)
    farm.runs(row(4), peer=b"other")
    run = farm.take_run()
    farm.said()
    come(farm, NEW)
    assert recall(farm, 3) == [Recalled(3, ((1, -1), (3, -1)))]
    assert farm.task.is_cancelled
    farm.finish(run)
    farm.machine.kept(run.held, 1)
    assert farm.run() == 3


def test_a_front_is_told_how_much_of_a_reply_was_sent(farm: Driver) -> None:
    farm.runs(row(1), peer=OLD)
    farm.take_run()
    farm.task.part(b"head", b"12345", b"")
    parts = [m for m in farm.told(OLD) if isinstance(m, Part)]
    assert len(parts) == 1  # and was lost in the network
    come(farm, NEW)
    assert recall(farm, 1) == [Recalled(1, ((1, 5),))]


def test_what_still_comes_over_the_connection_before_is_not_run(farm: Driver) -> None:
    farm.runs(row(1), peer=OLD)
    come(farm, NEW)
    farm.runs(row(2), peer=OLD)
    farm.hear(OLD, Cancel(RequestId(1)))
    assert recall(farm, 1, 2) == [Recalled(1, ((1, -1),))]
    assert farm.run() == 1
    assert farm.take() is None


def test_what_a_front_has_sent_is_counted_over_all_its_connections(
    farm: Driver,
) -> None:
    farm.runs(row(1), row(2), peer=OLD)
    come(farm, b"lost before it asked")
    come(farm, NEW)
    farm.runs(row(3), peer=NEW)
    come(farm, b"newer")
    going = ((1, -1), (2, -1), (3, -1))
    assert recall(farm, 1, 2, 3, peer=b"newer") == [Recalled(3, going)]


def test_of_a_front_that_it_has_forgotten_a_host_says_that_it_knows_nothing(
    farm: Driver,
) -> None:
    farm.runs(row(1), peer=OLD)
    farm.lose(OLD)
    come(farm, NEW)
    assert recall(farm, 1) == [Recalled(-1, ())]
    for number in range(MANY):
        come(farm, b"%d" % number, incarnation=100 + number)
    come(farm, b"newer")
    assert recall(farm, peer=b"newer") == [Recalled(-1, ())]


@pytest.mark.parametrize("has_asked", [False, True])
def test_one_that_may_not_have_heard_that_it_was_given_up_is_told_so_again(
    farm: Driver, has_asked: bool
) -> None:
    farm.runs(row(1, flags=0), peer=OLD)
    farm.take_run()
    farm.lose(OLD)
    come(farm, NEW)
    if has_asked:
        recall(farm, 1)  # the answer is lost with the connection
    come(farm, b"newer")
    assert recall(farm, 1, peer=b"newer") == [Recalled(-1, ())]
    farm.runs(row(2), peer=b"newer")
    come(farm, b"newest")
    assert recall(farm, 2, peer=b"newest") == [Recalled(1, ((2, -1),))]


def test_another_front_is_not_told_what_this_one_has_sent(farm: Driver) -> None:
    farm.runs(row(1), peer=OLD)
    come(farm, NEW, incarnation=8)
    assert recall(farm, 1) == [Recalled(-1, ())]
    assert farm.run() == 1


@pytest.mark.parametrize("has_question", [False, True])
def test_a_piece_of_a_body_is_asked_for_again(farm: Driver, has_question: bool) -> None:
    farm.runs((1, A, 0, 0, b"", None, 100, 0), peer=OLD)
    farm.take_run()
    if has_question:
        farm.machine.ask((READ.operation.number, 0, 50), 0)
        assert [type(one) for one in farm.told(OLD)] == [Want]
    said = come(farm, NEW)
    assert [m for m in said if isinstance(m, Want)] == [
        Want(RequestId(1), 0, 0, 50)
    ] * has_question
    if has_question:
        farm.hear(OLD, Body(RequestId(1), 0, 0, b"x" * 50))
        assert farm.task.is_waiting()
        farm.hear(NEW, Body(RequestId(1), 0, 0, b"y" * 50))
        assert farm.task.take() == (b"y" * 50,)


def test_a_front_that_stays_away_is_forgotten(farm: Driver) -> None:
    farm.runs(row(1, flags=0), row(2), peer=OLD)
    farm.run()
    lose_what_is_said(farm)
    farm.now_ns += KEPT_NS + 1
    assert farm.take() is None
    come(farm, NEW)
    assert recall(farm, 2) == [Recalled(-1, ())]


def test_a_run_that_waits_for_a_body_ends_when_its_front_has(farm: Driver) -> None:
    farm.runs((1, A, 0, 0, b"", None, 50, 0), peer=OLD)
    farm.take_run()
    farm.machine.ask((READ.operation.number, 0, 50), farm.now_ns)
    assert farm.said() == [(OLD, Want(RequestId(1), 0, 0, 50))]  # then it dies
    end_ns = farm.now_ns + KEPT_NS + 3 * ASK_AGAIN_NS
    while farm.task.is_waiting() and farm.now_ns < end_ns:
        farm.now_ns += ASK_AGAIN_NS + 1
        farm.task.look(farm.now_ns)
        lose_what_is_said(farm)
    assert farm.task.is_cancelled


def test_what_is_kept_for_a_front_is_bounded(farm: Driver) -> None:
    farm.runs(row(1), peer=OLD)
    farm.take_run()
    for _ in range(3):
        farm.machine.lost(OLD, bytes(KEPT_BYTES // 3), farm.now_ns)
        assert not farm.task.is_cancelled
    farm.machine.lost(OLD, bytes(3), farm.now_ns)
    assert farm.task.is_cancelled


def test_a_reply_that_a_deaf_front_did_not_get_is_told_to_have_failed(
    farm: Driver,
) -> None:
    farm.runs(row(1, flags=0), peer=OLD)
    farm.run()
    for peer, message in farm.said():
        farm.machine.deaf(peer, codec.encode(message))
    again = [m for m in farm.told(OLD) if isinstance(m, Dones)]
    assert [(r[0], r[1]) for m in again for r in m.rows] == [(1, Outcome.CANCELLED)]


def test_a_part_that_a_deaf_front_did_not_get_ends_its_run(farm: Driver) -> None:
    farm.runs(row(1), peer=OLD)
    farm.take_run()
    part = codec.encode(Part(RequestId(1), b"head", b"x", b""))
    farm.machine.deaf(OLD, codec.encode(Part(RequestId(2), b"head", b"x", b"")))
    assert not farm.task.is_cancelled
    farm.machine.deaf(OLD, part)
    assert farm.task.is_cancelled
