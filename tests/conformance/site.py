"""What the suite talks to, and the requests that it sends."""

from dataclasses import dataclass
from pathlib import Path

from tests.conformance.client import TIMEOUT_S, Address, Answer, Client, connected
from tests.fcgi.fastcgi import wire

Pairs = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Site:
    """A front at one address, and the scripts behind it."""

    address: Address
    root: Path

    def connect(self, timeout: float = TIMEOUT_S) -> Client:
        return Client(self.address, timeout)

    def pairs(
        self, script: str, length: int | str | None = None, **more: str
    ) -> dict[str, str]:
        """Return the parameters of a request; no length: a GET without a body."""
        found = {
            "SCRIPT_FILENAME": str(self.root / script),
            "SCRIPT_NAME": f"/{script}",
            "REQUEST_METHOD": "GET" if length is None else "POST",
            "REQUEST_URI": f"/{script}",
            "QUERY_STRING": "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "GATEWAY_INTERFACE": "CGI/1.1",
        }
        if length is not None:
            found["CONTENT_LENGTH"] = str(length)
        return {**found, **more}

    def get(
        self,
        script: str = "hello.lua",
        *,
        id: int = 1,
        keep: bool = False,
        role: int = 1,
        pad: int | None = None,
        **more: str,
    ) -> bytes:
        """Return a whole GET."""
        pairs = self.pairs(script, None, **more)
        return wire.req(pairs, id=id, keep=keep, role=role, pad=pad)

    def post(
        self,
        script: str,
        body: bytes,
        *,
        id: int = 1,
        keep: bool = False,
        chunk: int = 65535,
        pad: int | None = None,
        **more: str,
    ) -> bytes:
        """Return a whole POST."""
        pairs = self.pairs(script, len(body), **more)
        return wire.req(pairs, body, id=id, keep=keep, chunk=chunk, pad=pad)

    def ask(self, request: bytes) -> Answer:
        """Return the answer to one request, id 1, on a connection of its own."""
        with connected(self.address) as client:
            client.send(request)
            return client.answer()

    def is_well(self) -> bool:
        """Whether an ordinary request is answered."""
        answer = self.ask(self.get())
        return (answer.status, answer.body) == (200, b"Hello World")


def dumped(body: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """Return the parameters and the body that dump.lua saw."""
    found: dict[bytes, bytes] = {}
    while not body.startswith(b"\n"):
        line, _, body = body.partition(b"\n")
        name, value = map(int, line.split())
        found[body[:name]] = body[name : name + value]
        body = body[name + value :]
    return found, body[1:]
