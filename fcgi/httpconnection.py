"""One connection of the embedded HTTP listener: what its client may take time for.

uvicorn reads and writes; it waits without end for a request that does not come whole,
and for a client that does not take its reply. Here both have the limits that FastCGI
connections have.
"""

import asyncio
import time

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from luafarm.settings import Front


class HttpConnection(H11Protocol):
    """A connection that ends in time; it is in the state of its requests' scopes."""

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
