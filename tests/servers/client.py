"""An HTTP client that tells a whole reply from one that was cut short."""

import contextlib
import http.client
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message

TIMEOUT_S = 120.0
CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; ``whole`` says that its end was seen, by length or last chunk.

    Status 0: the connection ended without any answer.
    """

    status: int
    headers: Message
    body: bytes
    whole: bool


def ask(
    port: int,
    target: str,
    *,
    method: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    chunked: bool = False,
) -> Reply:
    """Send one request over a connection of its own and read the whole reply."""
    try:
        connection, response = begin(
            port, target, method=method, body=body, headers=headers, chunked=chunked
        )
    except http.client.RemoteDisconnected:
        return Reply(0, Message(), b"", whole=False)
    try:
        received, whole = response.read(), True
    except http.client.IncompleteRead as cut:
        received, whole = cut.partial, False
    except ConnectionResetError:
        received, whole = b"", False
    finally:
        connection.close()
    return Reply(response.status, response.headers, received, whole)


def begin(
    port: int,
    target: str,
    *,
    method: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    chunked: bool = False,
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Send one request and read the header of the reply; the caller closes both."""
    connection = send(
        port, target, method=method, body=body, headers=headers, chunked=chunked
    )
    try:
        return connection, connection.getresponse()
    except BaseException:
        connection.close()
        raise


def send(
    port: int,
    target: str,
    *,
    method: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    chunked: bool = False,
) -> http.client.HTTPConnection:
    """Send one request and read nothing; the caller closes the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    # A server that refuses a body early closes while it is being sent; its answer is
    # there to be read all the same.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(
            method or ("GET" if body is None else "POST"),
            target,
            body=_pieces(body) if chunked and body is not None else body,
            headers=dict(headers or {}),
            encode_chunked=chunked,
        )
    return connection


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), CHUNK):
        yield body[start : start + CHUNK]
