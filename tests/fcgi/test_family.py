"""What fronts of one machine have in common: their numbers, and the handover."""

import os
import socket
from collections.abc import Iterator

import pytest

from fcgi import family
from fcgi.family import Family, Handover


@pytest.fixture
def pair() -> Iterator[tuple[Handover, Handover]]:
    """Two fronts on one queue."""
    give, take = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one = Handover(os.dup(give.fileno()), os.dup(take.fileno()))
    other = Handover(give.detach(), take.detach())
    yield one, other
    one.close()
    other.close()


def test_a_front_without_a_parent_is_the_only_one() -> None:
    assert family.parse(["--set", "a.b=c"]) == (Family(), ["--set", "a.b=c"])
    assert Family().title("luafarm-front") == "luafarm-front"


def test_what_the_parent_says_is_taken_from_between_the_settings() -> None:
    argv = ["--config", "x", "--number", "2", "--count", "3", "--set", "a.b=c"]
    argv += ["--handover", "8,9"]
    mine, rest = family.parse(argv)
    assert mine == Family(2, 3, (8, 9))
    assert rest == ["--config", "x", "--set", "a.b=c"]
    assert mine.title("luafarm-front") == "luafarm-front 2"


def test_what_was_sent_before_and_after_reaches_the_front_that_takes_it(
    pair: tuple[Handover, Handover],
) -> None:
    one, other = pair
    client, served = socket.socketpair()
    client.sendall(b"before ")
    assert one.give(b"p", served.fileno())
    served.close()
    client.sendall(b"after")
    found = other.take()
    assert found is not None
    mark, taken = found
    assert mark == b"p"
    client.close()
    with taken:
        assert taken.recv(100) == b"before after"
        assert not os.get_inheritable(taken.fileno())


def test_there_may_be_nothing_to_take(pair: tuple[Handover, Handover]) -> None:
    assert pair[0].take() is None


def test_a_full_queue_says_so_and_empties(pair: tuple[Handover, Handover]) -> None:
    one, other = pair
    with socket.socket(socket.AF_UNIX) as connection:
        given = 0
        while one.give(b"p", connection.fileno()):
            given += 1
        assert given > 16
        for _ in range(given):
            taken = other.take()
            assert taken is not None
            taken[1].close()
        assert other.take() is None
        assert one.give(b"p", connection.fileno())


def test_what_is_in_the_queue_outlives_the_front_that_gave_it(
    pair: tuple[Handover, Handover],
) -> None:
    give, take = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    dying = Handover(os.dup(give.fileno()), os.dup(take.fileno()))
    client, served = socket.socketpair()
    assert dying.give(b"p", served.fileno())
    served.close()
    dying.close()
    living = Handover(give.detach(), take.detach())
    taken = living.take()
    assert taken is not None
    taken[1].close()
    assert client.recv(1) == b""  # only now
    client.close()
    living.close()
