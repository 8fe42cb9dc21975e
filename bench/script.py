"""The scripts of the benchmark: each exists once per peer and answers the same bytes.

``scripts/PEER/NAME.*`` has the same work in that peer's own language and interface; the
reply expected of all of them is computed here, by a third implementation.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).with_name("scripts")
HEADERS = {
    "Host": "bench.example",
    "Accept": "text/html,application/xhtml+xml",
    "Accept-Language": "en-GB,en;q=0.5",
    "User-Agent": "bench/1.0",
    "Cookie": "session=0123456789abcdef; theme=dark",
}
"""What every request carries, about as much as a browser sends."""

HELLO = b"Hello World"
QUERY = "a=1&b=two"


@dataclass(frozen=True, slots=True)
class Script:
    """One script: what is asked of it and what it must answer, byte by byte."""

    name: str
    about: str
    reply: bytes
    query: str = ""
    body: bytes = b""

    @property
    def method(self) -> str:
        """POST when there is a body."""
        return "POST" if self.body else "GET"

    def path(self, suffix: str) -> str:
        """Build the request target for a peer whose scripts end in ``suffix``."""
        return f"/{self.name}.{suffix}" + (f"?{self.query}" if self.query else "")


def _digest(text: bytes) -> bytes:
    return hashlib.md5(base64.b64encode(text)).hexdigest().encode()


def _dump() -> bytes:
    names = {"HTTP_" + name.upper().replace("-", "_"): v for name, v in HEADERS.items()}
    names |= {
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": QUERY,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
    }
    lines = sorted(f"{name}={value}\n" for name, value in names.items())
    return "".join(lines).encode()


def _upload() -> bytes:
    return bytes(range(256)) * 40


ALL = (
    Script("hello", "11 bytes", HELLO),
    Script("test4", "one md5 of base64", HELLO + b" = " + _digest(HELLO)),
    Script(
        "bench1",
        "100 lines of md5 of base64",
        b"".join(
            b"%s%d = %s\n" % (HELLO, i, _digest(b"%s%d" % (HELLO, i)))
            for i in range(1, 101)
        ),
    ),
    Script("dump", "the request's environment", _dump(), query=QUERY),
    Script("big", "a reply of 100 KiB", b"0123456789abcdef" * 6400),
    Script(
        "post",
        "a body of 10 KiB",
        b"%d %s" % (len(_upload()), _upload()[-16:]),
        body=_upload(),
    ),
)
