"""A FastCGI client that sends any bytes and believes nothing it gets."""

import contextlib
import fcntl
import select
import socket
import struct
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.fcgi.fastcgi import wire
from tests.fcgi.fastcgi.wire import Got

TIMEOUT_S = 120.0  # until a test fails; nothing waits that long
Address = str | tuple[str, int]


@dataclass
class Answer:
    """All records of one request's answer, END_REQUEST last."""

    id: int
    records: list[Got] = field(default_factory=list)

    @property
    def stdout(self) -> bytes:
        return wire.joined(self.records, wire.STDOUT, self.id)

    @property
    def stderr(self) -> bytes:
        return wire.joined(self.records, wire.STDERR, self.id)

    @property
    def has_ended(self) -> bool:
        return bool(self.records) and self.records[-1].type == wire.END

    @property
    def protocol_status(self) -> int:
        return self.records[-1].content[4]

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Header lines in their order."""
        head, blank, _ = self.stdout.partition(b"\r\n\r\n")
        assert blank, f"no header in {self.stdout[:200]!r}"
        pairs = [line.partition(":") for line in head.decode("latin-1").split("\r\n")]
        assert all(colon and name for name, colon, _ in pairs), head
        return [(name.lower(), value.strip()) for name, _, value in pairs]

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.lines)

    @property
    def status(self) -> int:
        return int(self.headers.get("status", "200")[:3])

    @property
    def body(self) -> bytes:
        return self.stdout.partition(b"\r\n\r\n")[2]

    def check(self) -> None:
        """Assert what holds of every answer of an application (3.3, 5.5, 6.1)."""
        kinds = [r.type for r in self.records]
        for record in self.records:
            assert record.type in {wire.STDOUT, wire.STDERR, wire.END}
            assert (record.version, record.reserved) == (1, 0)
            assert (len(record.content) + record.padding) % 8 == 0
        assert kinds.count(wire.END) == 1
        assert kinds[-1] == wire.END
        assert len(self.records[-1].content) == 8
        assert self.records[-1].content[5:] == bytes(3)
        if self.protocol_status != 0:
            return  # refused: it never began
        assert kinds.count(wire.STDOUT) > 0
        for kind in (wire.STDOUT, wire.STDERR):
            contents = [r.content for r in self.records if r.type == kind]
            if contents:
                assert contents[-1] == b"", f"stream {kind} is not ended"
                assert contents.count(b"") == 1, f"stream {kind} is ended twice"


class Client:
    """One connection."""

    def __init__(self, address: Address, timeout: float = TIMEOUT_S) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(timeout)
        self.timeout = timeout
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = bytearray()
        self._seen: list[Got] = []  # read, wanted by nobody yet

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_apart(self, parts: list[bytes]) -> None:
        """Send so that each part is out of this kernel's hands before the next."""
        for part in parts[:-1]:
            self.send(part)
            self._wait_until_taken()
        self.send(parts[-1])

    def wait_until_heard(self) -> None:
        """Return when the peer has read what was sent, which it may leave unread."""
        self.send(wire.rec(wire.GET_VALUES, 0))  # 4.1: answered at any time
        while (got := self.record()) is not None:
            if got.type == wire.RESULT:
                return
            self._seen.append(got)
        raise AssertionError("the connection has ended")

    def _wait_until_taken(self) -> None:
        deadline = time.monotonic() + self.timeout
        while True:
            waiting = fcntl.ioctl(self.socket, termios.TIOCOUTQ, struct.pack("i", 0))
            if struct.unpack("i", waiting)[0] == 0:
                return
            assert time.monotonic() < deadline, "the peer does not read"

    def finish(self) -> None:
        """Shut down the sending half."""
        self.socket.shutdown(socket.SHUT_WR)

    def record(self) -> Got | None:
        """Return the next record, None at the end of the connection."""
        header = self._take(wire.HEADER.size)
        if header is None:
            return None
        version, kind, number, size, padding, reserved = wire.HEADER.unpack(header)
        rest = self._take(size + padding)
        assert rest is not None, f"a record cut short after its header {header!r}"
        return Got(kind, number, rest[:size], padding, version, reserved)

    def _take(self, size: int) -> bytes | None:
        """Return so many bytes, None at the end of the connection."""
        while len(self._data) < size:
            piece = self.socket.recv(1 << 18)
            if not piece:
                assert not self._data, f"a record cut short: {bytes(self._data)!r}"
                return None
            self._data += piece
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    def answer(self, request_id: int = 1) -> Answer:
        """Return the whole answer to a request, checked; others are kept for later."""
        answer = Answer(request_id)
        kept, self._seen = self._seen, []
        for record in kept:
            is_ours = record.id == request_id and not answer.has_ended
            (answer.records if is_ours else self._seen).append(record)
        while not answer.has_ended:
            found = self.record()
            assert found is not None, f"closed before END_REQUEST: {answer}"
            (answer.records if found.id == request_id else self._seen).append(found)
        answer.check()
        return answer

    def next_end(self) -> int:
        """Return the id that ends next."""
        while True:
            record = self.record()
            assert record is not None, "closed before END_REQUEST"
            self._seen.append(record)
            if record.type == wire.END:
                return record.id

    def management(self) -> Got:
        """Return the next record with id 0; others are kept for later."""
        while True:
            record = self.record()
            assert record is not None, "closed before a management record"
            if record.id == 0:
                return record
            self._seen.append(record)

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long, not even the end."""
        if self._data or self._seen:
            return False
        return not select.select([self.socket], [], [], seconds)[0]

    def rest(self) -> list[Got]:
        """Return all records until the end of the connection."""
        found = self._seen
        self._seen = []
        while True:
            try:
                record = self.record()
            except ConnectionResetError:
                return found
            if record is None:
                return found
            found.append(record)

    def is_at_end(self) -> bool:
        """Whether the connection ends without another byte."""
        return self.rest() == []


@contextlib.contextmanager
def connected(address: Address, timeout: float = TIMEOUT_S) -> Iterator[Client]:
    """Give a connection that is closed when the block is left."""
    client = Client(address, timeout)
    try:
        yield client
    finally:
        client.close()
