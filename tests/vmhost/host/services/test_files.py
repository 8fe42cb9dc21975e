"""Files that scripts ask for: from what is known, or from the broker."""

import pytest

from luafarm.names import Script
from luafarm.wire.messages import Blob, Need, NeedKind, Source
from tests.vmhost.host.hostdriver import BROKER, FRONT, A, Driver
from vmhost.host.held import MAX_DEPENDENCIES, Held
from vmhost.host.services.files import CHUNK, FILE, REQUIRE
from vmhost.host.services.service import Service
from vmhost.host.task import Answer
from vmhost.host.work import Load

KINDS = [
    (REQUIRE, NeedKind.MODULE, (True, b"text", b"/m")),
    (CHUNK, NeedKind.CHUNK, (True, b"text", b"/m")),
    (FILE, NeedKind.FILE, (True, b"text")),
]


@pytest.fixture
def farm() -> Driver:
    driver = Driver()
    driver.hear(BROKER, driver.load(A))
    assert isinstance(driver.take(), Load)
    driver.said()
    return driver


def ask(farm: Driver, service: Service, name: bytes = b"m") -> list[Need]:
    """Ask for a file; return what the broker is asked."""
    farm.machine.ask((service.operation.number, name), farm.now_ns)
    needs = [message for message in farm.told() if isinstance(message, Need)]
    assert farm.task.is_waiting() is bool(needs)
    return needs


def tell(farm: Driver, need: Need, blob: Blob, error: str = "") -> Answer:
    """Have the broker answer, and return what the script is told."""
    farm.hear(BROKER, Source(need.ticket, blob, error))
    assert not farm.task.is_waiting()
    return farm.task.take()


@pytest.mark.parametrize(("service", "kind", "answer"), KINDS)
def test_a_file_comes_from_the_broker_once(
    farm: Driver, service: Service, kind: NeedKind, answer: Answer
) -> None:
    [need] = ask(farm, service)
    assert (need.script, need.epoch, need.kind, need.name) == (A, 1, kind, b"m")
    assert tell(farm, need, Blob(kind, b"m", b"/m", b"digest", b"text")) == answer
    assert ask(farm, service) == []
    assert farm.task.take() == answer
    assert list(map(type, answer)) == list(service.operation.answer)


@pytest.mark.parametrize(("service", "kind", "answer"), KINDS)
def test_that_there_is_no_file_is_an_answer_with_its_reason(
    farm: Driver, service: Service, kind: NeedKind, answer: Answer
) -> None:
    [need] = ask(farm, service)
    told = tell(farm, need, Blob(kind, b"m", b"", b"", b""), "no file /m")
    assert told[:2] == (False, b"no file /m")
    assert len(told) == len(answer)
    [need] = ask(farm, service, b"other")
    told = tell(farm, need, Blob(kind, b"other", b"", b"", b""))
    assert told[1] == b"no file under the script roots"


def test_the_kind_that_a_broker_tells_does_not_change_the_answers_shape(
    farm: Driver,
) -> None:
    [need] = ask(farm, REQUIRE)
    told = tell(farm, need, Blob(NeedKind.FILE, b"m", b"/m", b"digest", b"text"))
    assert told == (True, b"text", b"/m")


def test_only_the_answer_to_this_question_counts(farm: Driver) -> None:
    [need] = ask(farm, FILE)
    blob = Blob(NeedKind.FILE, b"m", b"/m", b"digest", b"text")
    farm.hear(BROKER, Source(need.ticket + 1, blob, ""))
    farm.hear(FRONT, Source(need.ticket, blob, ""))
    assert farm.task.is_waiting()
    assert farm.machine.peers.bad_frames == 1  # a front says no such thing
    assert tell(farm, need, blob) == (True, b"text")
    farm.hear(BROKER, Source(need.ticket, blob, "again"))
    assert farm.task.answer is None


def test_a_state_may_ask_for_a_limited_number_of_files(farm: Driver) -> None:
    held: Held = farm.task.held
    for number in range(MAX_DEPENDENCIES):
        name = b"%d" % number
        blob = Blob(NeedKind.FILE, name, b"", b"", b"")
        held.learn(NeedKind.FILE, name, Source(1, blob, ""))
    assert ask(farm, FILE, b"one more") == []
    assert farm.task.take() == (False, b"more than 2000 files asked for")
    assert held.script == Script(A)
