"""Streams: frames over real sockets that take little, and peers that go."""

import os
import socket
from collections.abc import Iterator

import pytest

from luafarm.errors import ProtocolError
from luafarm.wire.connection import MAX_ANSWERS, Connection
from luafarm.wire.zmtp import DEALER, ROUTER

Pair = tuple[Connection, Connection]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ends = socket.socketpair()
    for sock in ends:
        sock.setblocking(False)
    dealer = Connection(ends[0].fileno(), DEALER, ROUTER)
    router = Connection(ends[1].fileno(), ROUTER, DEALER)
    for connection in (dealer, router):
        connection.open()
    assert dealer.read() == router.read() == []
    yield dealer, router
    for sock in ends:
        sock.close()


def read_all(connection: Connection) -> list[bytes]:
    frames: list[bytes] = []
    while True:
        try:
            frames += connection.read()
        except BlockingIOError:
            return frames


def test_both_are_ready_after_one_look_each(pair: Pair) -> None:
    assert pair[0].is_ready
    assert pair[1].is_ready


@pytest.mark.parametrize("size", [0, 1, 255, 256, 16383, 16384, 65536])
def test_a_frame_of_any_size_arrives(pair: Pair, size: int) -> None:
    dealer, router = pair
    frame = os.urandom(size)
    dealer.write(frame)
    assert read_all(router) == [frame]


def test_what_the_peer_does_not_take_waits_and_goes_on_in_order(pair: Pair) -> None:
    dealer, router = pair
    frames = [bytes([i]) * 100_000 for i in range(20)] + [b"small", b""]
    for frame in frames:
        dealer.write(frame)
    assert dealer.waiting > 1_000_000
    assert not dealer.flush()
    got: list[bytes] = []
    for _ in range(1000):
        got += read_all(router)
        if dealer.flush():
            break
    got += read_all(router)
    assert got == frames
    assert dealer.waiting == 0


def test_a_frame_is_one_message_when_several_wait(pair: Pair) -> None:
    dealer, router = pair
    for text in (b"one", b"two", b"three"):
        dealer.write(text)
    assert router.read() == [b"one", b"two", b"three"]
    with pytest.raises(BlockingIOError):
        router.read()


PING = b"\x04\x17\x04PING\x00\x64" + b"c" * 16


def test_a_peer_that_asks_and_does_not_listen_is_an_error(pair: Pair) -> None:
    dealer, router = pair
    dealer.write(bytes(4 << 20))  # more than the socket takes
    waiting = dealer.waiting
    for _ in range(MAX_ANSWERS // (len(PING) - 2)):  # a PONG has no TTL
        os.write(router.fd, PING)
        dealer.read()
    os.write(router.fd, PING)
    with pytest.raises(ProtocolError, match=r"PINGs whose \d+ bytes .* limit is 4096"):
        dealer.read()
    assert dealer.waiting - waiting <= MAX_ANSWERS


def test_a_peer_that_listens_is_answered_as_often_as_it_asks(pair: Pair) -> None:
    dealer, router = pair
    for _ in range(1000):
        os.write(router.fd, PING)
        dealer.read()
        assert router.read() == []
    assert router.take_commands() == 1000
    assert router.take_commands() == 0


def test_a_peer_that_closed_is_an_error_of_read_and_write(pair: Pair) -> None:
    dealer, router = pair
    router.write(b"last words")
    sock = socket.socket(fileno=os.dup(router.fd))
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()
    assert dealer.read() == [b"last words"]
    with pytest.raises(ConnectionResetError):
        dealer.read()
    with pytest.raises(OSError, match="Broken pipe"):
        dealer.write(b"too late")
