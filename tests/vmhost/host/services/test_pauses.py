"""Scripts that wait for nothing but time: SLEEP, and FLUSH for what has come in."""

import pytest

from luafarm.names import RequestId
from luafarm.wire.messages import Cancel, Dones, Part
from tests.vmhost.host.hostdriver import FRONT, QUICK_NS, A, Driver, row
from vmhost.host.services.flush import FLUSH
from vmhost.host.services.sleep import SLEEP

SLEEP_NUMBER, FLUSH_NUMBER = SLEEP.operation.number, FLUSH.operation.number


@pytest.fixture
def farm() -> Driver:
    """Return a host at a run, with a finished reply that waits for company."""
    driver = Driver()
    driver.hold(A, service_ns=QUICK_NS)
    driver.runs(row(1), row(2))
    driver.run()
    driver.take_run()
    assert driver.said() == []
    return driver


def test_a_sleeping_script_goes_on_when_it_is_time(farm: Driver) -> None:
    farm.machine.ask((SLEEP_NUMBER, 1.5), 1000)
    assert farm.task.is_waiting()
    assert farm.task.due_ns() == 1_500_001_000
    assert farm.task.take() == (True,)
    assert not farm.task.is_waiting()


def test_no_reply_waits_for_a_script_that_waits(farm: Driver) -> None:
    farm.machine.ask((SLEEP_NUMBER, 1.5), 0)
    assert farm.answered() == [[(1, 0)]]


def test_a_flush_sends_what_there_is_and_waits_for_nothing(farm: Driver) -> None:
    farm.machine.ask((FLUSH_NUMBER, b"head", b"chunk", b"log"), 1000)
    assert farm.task.due_ns() == 1000
    said = farm.told(FRONT)
    assert Part(RequestId(2), b"head", b"chunk", b"log") in said
    assert isinstance(said[-1], Dones)
    assert farm.task.take() == (True,)


def test_an_empty_flush_says_nothing(farm: Driver) -> None:
    farm.machine.ask((FLUSH_NUMBER, b"", b"", b""), 0)
    assert not any(isinstance(message, Part) for message in farm.told(FRONT))


def test_a_script_that_waits_stops_waiting_when_it_is_cancelled(farm: Driver) -> None:
    farm.machine.ask((SLEEP_NUMBER, 1000.0), 0)
    farm.hear(FRONT, Cancel(RequestId(2)))
    assert not farm.task.is_waiting()
    assert farm.task.is_cancelled


def test_a_script_that_waits_stops_waiting_when_its_front_is_gone(
    farm: Driver,
) -> None:
    farm.machine.ask((SLEEP_NUMBER, 1000.0), 0)
    farm.lose(FRONT)
    assert not farm.task.is_waiting()
