"""Pieces of a request's body, as scripts pull them from the front."""

import pytest

from luafarm.names import RequestId
from luafarm.wire.messages import SAFE, Body, Want
from tests.vmhost.host.hostdriver import FRONT, OTHER, A, Driver
from vmhost.host.services.body import READ
from vmhost.host.task import PIECE
from vmhost.lua.operation import BrokenStateError


@pytest.fixture
def farm() -> Driver:
    """Return a host at a run whose STDIN has 10 bytes, and DATA as many."""
    driver = Driver()
    driver.hold(A)
    driver.runs((7, A, 0, SAFE, b"", None, 10, 10))
    driver.take_run()
    return driver


def read(farm: Driver, stream: int, most: int) -> None:
    farm.machine.ask((READ.operation.number, stream, most), farm.now_ns)


def piece(stream: int, offset: int, chunk: bytes, request: int = 7) -> Body:
    return Body(RequestId(request), stream, offset, chunk)


def test_a_body_is_read_piece_by_piece_to_its_end(farm: Driver) -> None:
    read(farm, 0, 6)
    assert farm.told(FRONT) == [Want(RequestId(7), 0, 0, 6)]
    farm.hear(FRONT, piece(0, 0, b"012345"))
    assert farm.task.take() == (b"012345",)
    read(farm, 0, PIECE + 1)
    assert farm.told(FRONT) == [Want(RequestId(7), 0, 6, PIECE)]
    farm.hear(FRONT, piece(0, 6, b"6789"))
    assert farm.task.take() == (b"6789",)
    read(farm, 0, 6)
    assert farm.said() == []
    assert farm.task.take() == (b"",)


def test_the_two_streams_are_read_apart(farm: Driver) -> None:
    read(farm, 0, 4)
    farm.hear(FRONT, piece(0, 0, b"0123"))
    assert farm.task.take() == (b"0123",)
    farm.said()
    read(farm, 1, 4)
    assert farm.told(FRONT) == [Want(RequestId(7), 1, 0, 4)]


def test_the_next_request_is_read_from_its_beginning(farm: Driver) -> None:
    read(farm, 0, 10)
    farm.hear(FRONT, piece(0, 0, b"0123456789"))
    farm.task.take()
    run = farm.task.run
    assert run is not None
    farm.finish(run)
    farm.machine.kept(run.held, 1)
    farm.runs((8, A, 0, SAFE, b"", None, 10, 0))
    farm.take_run()
    read(farm, 0, 10)
    assert Want(RequestId(8), 0, 0, 10) in farm.told(FRONT)


@pytest.mark.parametrize(
    "body",
    [
        piece(0, 0, b"0123", request=8),
        piece(1, 0, b"0123"),
        piece(0, 1, b"0123"),
        piece(0, 0, b"01234"),
    ],
)
def test_a_piece_that_was_not_asked_for_is_dropped(farm: Driver, body: Body) -> None:
    read(farm, 0, 4)
    farm.hear(FRONT, body)
    farm.hear(OTHER, piece(0, 0, b"0123"))
    assert farm.task.is_waiting()
    farm.hear(FRONT, piece(0, 0, b"0123"))
    assert farm.task.take() == (b"0123",)


@pytest.mark.parametrize(("stream", "most"), [(-1, 1), (2, 1), (0, 0), (0, -1)])
def test_what_the_prelude_never_asks_is_a_broken_state(
    farm: Driver, stream: int, most: int
) -> None:
    with pytest.raises(BrokenStateError):
        read(farm, stream, most)
