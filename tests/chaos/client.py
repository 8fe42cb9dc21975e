"""An HTTP client that tells exactly how a reply ended, and whether more came after.

Each request has a connection of its own: on a kept one nobody can tell a request that
was lost from one that met the end of the connection, which a web server may bring about
at any time between two requests. Between nginx and the farm connections are kept.
"""

import contextlib
import socket
import threading
import time

from tests.chaos import body
from tests.chaos.record import Framing, Order, Seen

PATIENCE_S = 120.0
"""Who has no answer by then will have none."""

_SLOW_BYTES = 4096
_SLOW_S = 0.002
_CHUNK = 1 << 16
_MOST_KEPT = 4096  # bytes of a reply that is an error page


def ask(port: int, order: Order) -> Seen:
    """Send one request and take what comes."""
    sent = time.monotonic()
    reply = _Reply(order)
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            _send(connection, order)
            framing = reply.receive(connection)
    except (_EndedError, OSError, ValueError) as error:
        reply.why = f"{type(error).__name__}: {error}"
        framing = Framing.CUT if reply.status else Framing.NONE
    ended = time.monotonic()
    content = bytes(reply.body)
    return Seen(order, sent, ended, framing, reply.status, content, reply.why)


def target(order: Order) -> str:
    """Return what a request asks for."""
    query = [f"id={order.id}", f"lines={order.lines}", f"pieces={order.pieces}"]
    if order.wait_s:
        query.append(f"wait={order.wait_s:.4f}")
    if order.has_length:
        query.append("length=1")
    if order.is_raw:
        query.append("raw=1")
    return f"/{order.pool}/{order.script}?{'&'.join(query)}"


def _send(connection: socket.socket, order: Order) -> None:
    content = body.upload(order) if order.method == "POST" else b""
    head = [
        f"{order.method} {target(order)} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
    ]
    if order.method == "POST":
        head.append(f"Content-Length: {len(content)}")
    # whoever refuses a body early closes; its answer is there all the same
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall("\r\n".join([*head, "", ""]).encode() + content)


class _EndedError(Exception):
    """The connection ended."""


class _Reply:
    """What has come of a reply so far."""

    def __init__(self, order: Order) -> None:
        self.status = 0
        self.body = bytearray()
        self.why = ""
        self._order = order
        self._data = b""
        self._never = threading.Event()

    def receive(self, connection: socket.socket) -> Framing:
        """Take the reply to its end. Raise _EndedError, OSError, ValueError."""
        head = self._until(connection, b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if self._order.leaves and self.status == 200:
            return Framing.LEFT
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while length := int(self._until(connection, b"\r\n"), 16):
                self._take(connection, length)
                self._until(connection, b"\r\n")
            self._until(connection, b"\r\n")
        elif "content-length" in headers:
            self._take(connection, int(headers["content-length"]))
        else:
            self.why = "neither a length nor chunks"
            return Framing.CUT
        return self._after(connection)

    def _after(self, connection: socket.socket) -> Framing:
        """Read on to the end of the connection, where nothing more should be."""
        # how the connection ends no longer matters
        with contextlib.suppress(_EndedError, OSError):
            while not self._data:
                self._more(connection)
        if not self._data:
            return Framing.WHOLE
        self.why = repr(self._data[:200])
        return Framing.EXTRA

    def _until(self, connection: socket.socket, end: bytes) -> bytes:
        while end not in self._data:
            self._more(connection)
        found, _, self._data = self._data.partition(end)
        return found

    def _take(self, connection: socket.socket, length: int) -> None:
        while length:
            if not self._data:
                self._more(connection)
            piece = self._data[:length]
            self._data = self._data[length:]
            length -= len(piece)
            if self.status == 200 or len(self.body) < _MOST_KEPT:
                self.body += piece

    def _more(self, connection: socket.socket) -> None:
        is_slow = self._order.reads_slowly
        if is_slow:
            self._never.wait(_SLOW_S)
        data = connection.recv(_SLOW_BYTES if is_slow else _CHUNK)
        if not data:
            raise _EndedError("the connection ended")
        self._data += data
