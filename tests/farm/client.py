"""A blocking FastCGI client, as little as the tests of the farm need."""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fcgi.fastcgi import wire

TIMEOUT_S = 120.0
Address = str | tuple[str, int]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    stderr: bytes
    whole: bool  # END_REQUEST came


class Client:
    """One kept connection."""

    def __init__(self, address: Address) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(address)

    def send(
        self,
        script: Path | str,
        *,
        method: str = "GET",
        body: bytes = b"",
        query: str = "",
        content_type: str = "",
        role: int = 1,
    ) -> None:
        """Send a whole request with id 1."""
        name = "/" + str(script).rpartition("/")[2]
        pairs = {
            "SCRIPT_FILENAME": str(script),
            "SCRIPT_NAME": name,
            "REQUEST_METHOD": method,
            "REQUEST_URI": name,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)) if body else "",
        }
        if content_type:
            pairs["CONTENT_TYPE"] = content_type
        self.socket.sendall(wire.req(pairs, body, keep=True, role=role))

    def receive(self) -> Reply:
        """Read until END_REQUEST or the end of the connection."""
        data = b""
        whole = False
        while not whole:
            try:
                piece = self.socket.recv(1 << 16)
            except ConnectionResetError:
                break
            if not piece:
                break
            data += piece
            records, _ = wire.split(data)
            whole = any(r.type == wire.END for r in records)
        records, _ = wire.split(data)
        stdout = wire.joined(records, wire.STDOUT)
        head, _, content = stdout.partition(b"\r\n\r\n")
        headers: dict[str, str] = {}
        for line in head.decode("latin-1").split("\r\n"):
            key, _, value = line.partition(":")
            headers[key.lower()] = value.strip()
        status = int(headers.get("status", "200" if head else "0")[:3])
        stderr = wire.joined(records, wire.STDERR)
        return Reply(status, headers, content, stderr, whole)

    def close(self) -> None:
        self.socket.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """A request of a crowd: when it was sent, and its answer."""

    started: float  # time.monotonic
    reply: Reply


@contextlib.contextmanager
def asking(
    address: Address, scripts: Sequence[Path | str], clients: int = 4
) -> Iterator[list[Seen]]:
    """Have clients ask for these scripts in turn while the block runs."""
    seen: list[Seen] = []
    over = threading.Event()
    failures: list[BaseException] = []

    def ask_on() -> None:
        try:
            with connected(address) as client:
                for script in itertools.cycle(scripts):
                    if over.is_set():
                        return
                    started = time.monotonic()
                    client.send(script)
                    seen.append(Seen(started, client.receive()))
                    over.wait(0.002)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def connected(address: Address) -> Iterator[Client]:
    """Give a client that is closed when the block is left."""
    client = Client(address)
    try:
        yield client
    finally:
        client.close()


def ask(
    address: Address,
    script: Path | str,
    *,
    method: str = "GET",
    body: bytes = b"",
    query: str = "",
    content_type: str = "",
) -> Reply:
    """Send one request over a connection of its own."""
    with connected(address) as client:
        client.send(
            script, method=method, body=body, query=query, content_type=content_type
        )
        return client.receive()
