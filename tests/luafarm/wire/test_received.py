"""How much has come in on a connection, as the kernel counts it."""

import socket

import pytest

from luafarm.wire.received import IDLE_RATE, Received

WAIT_S = 60.0


def test_what_came_since_the_last_frame_is_counted_but_for_heartbeats() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as ours:
            theirs, _ = listener.accept()
            arrivals = Received(ours.fileno(), port)
            assert arrivals.unheard(0, 0.0) == 0
            theirs.sendall(bytes(100_000))
            assert received(ours, 100_000)
            assert arrivals.unheard(0, 0.0) == 100_000
            assert arrivals.unheard(0, 10.0) == 100_000 - 10 * IDLE_RATE
            assert arrivals.unheard(1, 10.0) == 0
            theirs.sendall(bytes(10))
            assert received(ours, 10)
            assert arrivals.unheard(1, 10.0) == 10
            arrivals.close()
            theirs.close()


def received(sock: socket.socket, size: int) -> bool:
    sock.settimeout(WAIT_S)
    while size:
        size -= len(sock.recv(size))
    return True


def test_a_descriptor_that_is_another_connection_by_now_is_not_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ours = socket.create_connection(("127.0.0.1", port))
        with ours, pytest.raises(ConnectionError, match="no connection to port"):
            Received(ours.fileno(), port - 1)
        with pytest.raises(OSError, match="not connected"):
            Received(listener.fileno(), port)
    ends = socket.socketpair()
    with ends[0], ends[1], pytest.raises(ConnectionError):
        Received(ends[0].fileno(), port)
