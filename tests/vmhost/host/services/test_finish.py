"""Runs that go on without their client: finished replies, detached runs."""

import pytest

from luafarm.names import RequestId
from luafarm.wire.messages import (
    SAFE,
    Body,
    Cancel,
    Dones,
    Finished,
    Part,
    Recall,
    Recalled,
)
from tests.vmhost.host.hostdriver import FRONT, A, Driver
from vmhost.host.services.body import READ
from vmhost.host.services.finish import DETACH, FINISH
from vmhost.host.services.flush import FLUSH
from vmhost.host.task import PIECE
from vmhost.host.work import Run

SEVEN = RequestId(7)


@pytest.fixture
def farm() -> Driver:
    driver = Driver()
    driver.hold(A)
    driver.runs((7, A, 0, SAFE, b"", None, 10, 0))
    return driver


@pytest.fixture
def run(farm: Driver) -> Run:
    return farm.take_run()


def finish(farm: Driver, head: bytes, body: bytes, log: bytes = b"") -> None:
    farm.machine.ask((FINISH.operation.number, head, body, log), farm.now_ns)
    assert farm.task.take() == (True,)


def is_stopped(farm: Driver) -> bool:
    """Say whether the run ends at its next operation."""
    return farm.task.is_cancelled


def detach(farm: Driver) -> None:
    farm.machine.ask((DETACH.operation.number, 0), farm.now_ns)
    assert farm.task.take() == (True,)


def end(farm: Driver, run: Run) -> None:
    farm.machine.finish(run, (7, 0, b"", b"", b"log", b"", 1), farm.now_ns, 1)
    farm.machine.kept(run.held, 1)
    farm.rest()


def test_a_whole_reply_goes_before_its_run_has_ended(farm: Driver, run: Run) -> None:
    finish(farm, b"head", b"body", b"log")
    assert farm.told(FRONT) == [Finished(SEVEN, b"head", b"body", b"log")]
    assert farm.task.run is run
    end(farm, run)
    (last,) = farm.told(FRONT)
    assert isinstance(last, Dones)
    assert last.rows == ((7, 0, b"4", b"", b"log", b"", 1),)


def test_a_reply_in_parts_is_finished_with_their_bytes(farm: Driver, run: Run) -> None:
    farm.machine.ask((FLUSH.operation.number, b"head", b"abc", b""), farm.now_ns)
    farm.task.take()
    finish(farm, b"", b"de")
    assert farm.told(FRONT) == [
        Part(SEVEN, b"head", b"abc", b""),
        Part(SEVEN, b"", b"de", b""),
        Finished(SEVEN, b"5", b"", b""),
    ]
    end(farm, run)


def test_a_long_reply_is_finished_in_parts(farm: Driver, run: Run) -> None:
    finish(farm, b"head", b"x" * (PIECE + 1))
    *parts, last = farm.told(FRONT)
    assert [type(part) for part in parts] == [Part, Part]
    assert last == Finished(SEVEN, b"%d" % (PIECE + 1), b"", b"")
    end(farm, run)


def test_a_run_that_is_detached_goes_on_when_its_client_has_left(
    farm: Driver, run: Run
) -> None:
    detach(farm)
    farm.hear(FRONT, Cancel(SEVEN))
    assert not is_stopped(farm)
    end(farm, run)


def test_a_run_can_be_detached_after_its_client_has_left(
    farm: Driver, run: Run
) -> None:
    farm.hear(FRONT, Cancel(SEVEN))
    assert is_stopped(farm)
    detach(farm)
    assert not is_stopped(farm)
    end(farm, run)


def test_a_finished_run_goes_on_when_its_front_is_gone(farm: Driver, run: Run) -> None:
    finish(farm, b"head", b"")
    farm.lose(FRONT)
    assert not is_stopped(farm)
    end(farm, run)
    assert farm.told(FRONT) == [Finished(SEVEN, b"head", b"", b"")]


def test_a_recall_names_a_finished_run_and_does_not_stop_it(
    farm: Driver, run: Run
) -> None:
    finish(farm, b"head", b"body")
    farm.said()
    farm.hear(FRONT, Recall(()))
    (recalled,) = farm.told(FRONT)
    assert isinstance(recalled, Recalled)
    assert recalled.going == ((7, 4),)
    assert not is_stopped(farm)
    end(farm, run)


def test_a_detached_run_whose_body_is_gone_ends_and_reads_no_half(
    farm: Driver, run: Run
) -> None:
    detach(farm)
    farm.machine.ask((READ.operation.number, 0, 10), farm.now_ns)
    farm.hear(FRONT, Body(SEVEN, 0, 0, b""))
    assert is_stopped(farm)
    end(farm, run)


def test_a_detached_run_that_waits_for_its_body_ends_with_its_client(
    farm: Driver, run: Run
) -> None:
    detach(farm)
    farm.machine.ask((READ.operation.number, 0, 5), farm.now_ns)
    farm.hear(FRONT, Body(SEVEN, 0, 0, b"01234"))
    assert farm.task.take() == (b"01234",)
    farm.hear(FRONT, Cancel(SEVEN))
    assert not is_stopped(farm)
    farm.machine.ask((READ.operation.number, 0, 5), farm.now_ns)
    farm.hear(FRONT, Cancel(SEVEN))
    assert is_stopped(farm)
    end(farm, run)


def test_the_next_run_is_not_detached(farm: Driver, run: Run) -> None:
    finish(farm, b"head", b"")
    end(farm, run)
    farm.runs((8, A, 0, SAFE, b"", b"", 0, 0))
    farm.take_run()
    farm.hear(FRONT, Cancel(RequestId(8)))
    assert is_stopped(farm)
