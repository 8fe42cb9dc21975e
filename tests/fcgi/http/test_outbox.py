"""What waits for a client: in memory up to a limit, then in a file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcgi.http.outbox import PIECE, Outbox
from fcgi.quota import Quota

MEMORY = 1000
QUOTA = 10_000


def boxed(quota: Quota | None = None) -> Outbox:
    return Outbox(quota or Quota(QUOTA), MEMORY)


def drained(outbox: Outbox) -> bytes:
    pieces: list[bytes] = []
    while outbox:
        pieces.append(outbox.take())
        assert pieces[-1]
    return b"".join(pieces)


def test_what_fits_into_memory_takes_no_room() -> None:
    quota = Quota(0)
    outbox = boxed(quota)
    for _ in range(10):
        outbox.put(b"x" * (MEMORY // 10))
    assert len(outbox) == MEMORY
    assert drained(outbox) == b"x" * MEMORY
    assert outbox.take() == b""


def test_what_is_over_goes_to_the_file_and_leaves_it_again() -> None:
    quota = Quota(QUOTA)
    outbox = boxed(quota)
    outbox.put(b"a" * (MEMORY - 1))
    outbox.put(b"b" * 500)
    assert quota.left == QUOTA - 499
    assert drained(outbox) == b"a" * (MEMORY - 1) + b"b" * 500
    assert quota.left == QUOTA
    outbox.close()


def test_too_much_is_an_error_and_closing_gives_the_room_back() -> None:
    quota = Quota(QUOTA)
    outbox = boxed(quota)
    outbox.put(b"x" * (MEMORY + QUOTA))
    with pytest.raises(OSError, match="used up"):
        outbox.put(b"x")
    assert quota.left == 0
    outbox.close()
    assert quota.left == QUOTA
    assert not outbox


def test_long_replies_are_taken_in_pieces() -> None:
    outbox = Outbox(Quota(0), 3 * PIECE)
    outbox.put(b"x" * (2 * PIECE + 1))
    assert [len(outbox.take()) for _ in range(3)] == [PIECE, PIECE, 1]


@given(st.lists(st.one_of(st.none(), st.binary(max_size=700)), max_size=30))
def test_bytes_come_in_the_order_in_which_they_went(steps: list[bytes | None]) -> None:
    """None takes, bytes are put."""
    quota = Quota(1 << 20)
    outbox = Outbox(quota, MEMORY)
    put = taken = b""
    for step in steps:
        if step is None:
            taken += outbox.take()
        else:
            outbox.put(step)
            put += step
        assert len(outbox) == len(put) - len(taken)
        assert quota.left >= (1 << 20) - max(0, len(put) - MEMORY)
    assert taken + drained(outbox) == put
    assert quota.left == 1 << 20
    outbox.close()
