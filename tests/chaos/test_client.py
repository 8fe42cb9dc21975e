"""How a reply ended, told by its bytes alone."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos import client
from tests.chaos.record import Framing, Order

ORDER = Order("01-000001", "open", "quick.lua")
HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = HEAD + b"Content-Length: 5\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@contextlib.contextmanager
def answering(data: bytes) -> Iterator[int]:
    """Answer one request with these bytes; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                while b"\r\n\r\n" not in connection.recv(1 << 16):
                    pass
                connection.sendall(data)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            port: int = listener.getsockname()[1]
            yield port
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("data", "framing"),
    [
        (LENGTH + b"hello", Framing.WHOLE),
        (LENGTH + b"hell", Framing.CUT),
        (LENGTH + b"hello!", Framing.EXTRA),
        (CHUNKED + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", Framing.WHOLE),
        (CHUNKED + b"3\r\nhel\r\n2\r\nlo\r\n", Framing.CUT),
        (CHUNKED + b"3\r\nhel\r\n2\r\nl", Framing.CUT),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n" + LENGTH, Framing.EXTRA),
        (HEAD + b"\r\nhello", Framing.CUT),
        (b"", Framing.NONE),
        (b"HTTP/1.1 20", Framing.NONE),
    ],
)
def test_the_end_of_a_reply_is_told(data: bytes, framing: Framing) -> None:
    with answering(data) as port:
        seen = client.ask(port, ORDER)
    assert seen.framing is framing
    if framing is Framing.WHOLE:
        assert (seen.status, seen.body) == (200, b"hello")


def test_whoever_leaves_takes_the_head_and_goes() -> None:
    order = Order("01-000001", "open", "quick.lua", leaves=True)
    with answering(LENGTH) as port:
        assert client.ask(port, order).framing is Framing.LEFT


def test_a_port_where_nobody_listens_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert client.ask(port, ORDER).framing is Framing.NONE
