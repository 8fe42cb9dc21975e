"""What waits for a client: in memory up to a limit, then in a file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcgi.outbox import PIECE, Outbox
from fcgi.spool import Room

MEMORY = 1000
ROOM = 10_000


def boxed(room: Room | None = None) -> Outbox:
    return Outbox(room or Room(ROOM), MEMORY)


def drained(outbox: Outbox) -> bytes:
    pieces: list[bytes] = []
    while outbox:
        pieces.append(outbox.take())
        assert pieces[-1]
    return b"".join(pieces)


def test_what_fits_into_memory_takes_no_room() -> None:
    room = Room(0)
    outbox = boxed(room)
    for _ in range(10):
        outbox.put(b"x" * (MEMORY // 10))
    assert len(outbox) == MEMORY
    assert drained(outbox) == b"x" * MEMORY
    assert outbox.take() == b""


def test_what_is_over_goes_to_the_file_and_leaves_it_again() -> None:
    room = Room(ROOM)
    outbox = boxed(room)
    outbox.put(b"a" * (MEMORY - 1))
    outbox.put(b"b" * 500)
    assert room.left == ROOM - 499
    assert drained(outbox) == b"a" * (MEMORY - 1) + b"b" * 500
    assert room.left == ROOM
    outbox.close()


def test_too_much_is_an_error_and_closing_gives_the_room_back() -> None:
    room = Room(ROOM)
    outbox = boxed(room)
    outbox.put(b"x" * (MEMORY + ROOM))
    with pytest.raises(OSError, match="used up"):
        outbox.put(b"x")
    assert room.left == 0
    outbox.close()
    assert room.left == ROOM
    assert not outbox


def test_long_replies_are_taken_in_pieces() -> None:
    outbox = Outbox(Room(0), 3 * PIECE)
    outbox.put(b"x" * (2 * PIECE + 1))
    assert [len(outbox.take()) for _ in range(3)] == [PIECE, PIECE, 1]


@given(st.lists(st.one_of(st.none(), st.binary(max_size=700)), max_size=30))
def test_bytes_come_in_the_order_in_which_they_went(steps: list[bytes | None]) -> None:
    """None takes, bytes are put."""
    room = Room(1 << 20)
    outbox = Outbox(room, MEMORY)
    put = taken = b""
    for step in steps:
        if step is None:
            taken += outbox.take()
        else:
            outbox.put(step)
            put += step
        assert len(outbox) == len(put) - len(taken)
        assert room.left >= (1 << 20) - max(0, len(put) - MEMORY)
    assert taken + drained(outbox) == put
    assert room.left == 1 << 20
    outbox.close()
