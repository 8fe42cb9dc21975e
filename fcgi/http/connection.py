"""One connection of the embedded HTTP listener: what its client may do and how long.

uvicorn reads and writes; it waits without end for a request that does not come whole,
and for a client that does not take its reply. Here both have the limits that FastCGI
connections have. And it takes what two readers may understand in two ways, and says a
line for each request that is none.
"""

# Impure.

import asyncio
import logging
import re
import time
from typing import Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from luafarm.config.settings import Front

_AGAIN_S: Final = 60.0
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_FOLDED: Final = re.compile(rb"\n[ \t]")


class Sparing(logging.Filter):
    """Lets a warning pass once a minute: any client can bring it about."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}  # uvicorn has few of them

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is to be logged."""
        if record.levelno > logging.WARNING:
            return True
        now = time.monotonic()
        if now - self._said.get(record.msg, -_AGAIN_S) < _AGAIN_S:
            return False
        self._said[record.msg] = now
        return True


class _Strict(h11.Connection):
    """HTTP/1.1 as RFC 9112 wants a server to read it where h11 is lenient."""

    def next_event(
        self,
    ) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what comes next. Raises RemoteProtocolError."""
        if self.their_state is h11.IDLE:
            self._look_for_folds()
        event = super().next_event()
        if isinstance(event, h11.Request):
            _check_framing(event)
        return event

    def _look_for_folds(self) -> None:
        """Refuse values that go on in a further line (RFC 9112, 5.2)."""
        data = self.trailing_data[0]
        end = _HEAD_END.search(data)
        if _FOLDED.search(data, 0, end.start() if end else len(data)):
            raise h11.RemoteProtocolError("folded header line")


def _check_framing(request: h11.Request) -> None:
    """Refuse a body whose length others may read in another way (RFC 9112, 6.1)."""
    names = {name for name, _ in request.headers}
    if b"transfer-encoding" not in names:
        return
    if b"content-length" in names:
        raise h11.RemoteProtocolError("Transfer-Encoding and Content-Length")
    if request.http_version < b"1.1":
        raise h11.RemoteProtocolError("Transfer-Encoding in HTTP/1.0")


class HttpConnection(H11Protocol):
    """A connection that ends in time; it is in the state of its requests' scopes."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Read strictly; the parameters are uvicorn's."""
        super().__init__(config, server_state, app_state, _loop)
        self.conn = _Strict(h11.SERVER)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "connection": self}
        self._since = time.monotonic()  # idle, or waiting for the rest of a request
        self._has_begun = False  # some of the next request is there
        self._left = 0  # bytes that the client has not taken
        self._taken_at = self._since  # when it last took some, or there were none

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if not self._has_begun:
            self._has_begun = True
            self._since = time.monotonic()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._since = time.monotonic()
        super().on_response_complete()
        self._has_begun = bool(self.conn.trailing_data[0])

    def _should_upgrade(self) -> bool:
        return False  # RFC 9110, 7.8: the request is answered as if it did not ask

    def sweep(self, now: float, front: Front) -> None:
        """Act on time; once a second."""
        transport = self.transport
        left = transport.get_write_buffer_size()
        if not left or left != self._left:
            self._left = left
            self._taken_at = now
        elif now - self._taken_at >= front.send_timeout:
            transport.abort()
            return
        if self._is_busy():
            return  # the listener gives up a body that is late
        limit_s = front.receive_timeout if self._has_begun else front.idle_timeout
        if now - self._since >= limit_s:
            transport.close()

    def _is_busy(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete
