"""A client that keeps one connection, for checks and latencies of single requests."""

import http.client
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bench.script import HEADERS, Script

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer and how long it took."""

    status: int
    body: bytes
    seconds: float


class Client:
    """One kept HTTP connection to the loopback interface."""

    def __init__(self, port: int) -> None:
        """Connect at the first request."""
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=TIMEOUT_S
        )

    def __enter__(self) -> Self:
        """Nothing is opened before the first request."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        self._connection.close()

    def ask(self, path: str, body: bytes = b"") -> Reply:
        """GET, or POST when there is a body, with the headers of the benchmark."""
        started = time.perf_counter()
        connection = self._connection
        connection.putrequest(
            "POST" if body else "GET", path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in HEADERS.items():
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        received = response.read()
        return Reply(response.status, received, time.perf_counter() - started)


class WrongReplyError(RuntimeError):
    """A script does not answer what it must."""


def verify(port: int, peer: str, script: Script, suffix: str) -> None:
    """Raise WrongReplyError unless the script answers its exact bytes, twice."""
    with Client(port) as client:
        for _ in range(2):
            reply = client.ask(script.path(suffix), script.body)
            if reply.status != http.HTTPStatus.OK or reply.body != script.reply:
                raise WrongReplyError(
                    f"{peer}: {script.path(suffix)} answered {reply.status}"
                    f" {reply.body[:300]!r}; 200 {script.reply[:300]!r} is expected"
                )
