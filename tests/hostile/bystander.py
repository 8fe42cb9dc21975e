"""Somebody who is asked 200 times a second while others are attacked.

`python -m tests.hostile.bystander PORT TARGET` asks `TARGET?N` with a number N of its
own each time, when it is due and not when the last one was answered, until its standard
input ends; then it prints an account. Lateness counts from when a request was due, so
it holds whatever kept this client, the web server or the farm from being in time.
"""

import contextlib
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

PERIOD_S = 0.005
GIVE_UP_S = 120.0
_MOST_FAULTS = 20
_WORST = 20


@dataclass(frozen=True, slots=True)
class Account:
    """How the bystander was served, in milliseconds."""

    asked: int
    right: int
    faults: list[str]
    median_ms: float
    p99_ms: float
    p999_ms: float
    most_ms: float
    own_ms: float  # the longest that it was late in asking
    worst: list[tuple[float, float]]  # (due, in seconds of CLOCK_MONOTONIC; lateness)

    def sentence(self) -> str:
        """Return it in one line."""
        return (
            f"{self.right} of {self.asked} answered right; median "
            f"{self.median_ms:.1f}, 99 % {self.p99_ms:.1f}, 99.9 % "
            f"{self.p999_ms:.1f}, at most {self.most_ms:.1f} ms "
            f"(asked late by up to {self.own_ms:.1f} ms)"
        )


@dataclass
class _Call:
    """One kept connection, and the request on it."""

    sock: socket.socket
    number: int = -1
    due: float = 0.0
    data: bytearray = field(default_factory=bytearray)


class _Asking:
    """The requests of one bystander."""

    def __init__(self, port: int, target: str) -> None:
        self._port = port
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        self._free: list[_Call] = []
        self._asked = 0
        self._waiting: dict[int, _Call] = {}
        self._faults: list[str] = []
        self._wrong = 0
        self._own_ms = 0.0
        self._late_ms: list[tuple[float, float]] = []

    def run(self) -> Account:
        """Ask until the standard input ends."""
        due = time.monotonic()
        sys.stdout.write("\n")
        sys.stdout.flush()
        has_ended = is_over = False
        while not is_over or self._waiting:
            now = time.monotonic()
            while due <= now and not is_over:
                self._ask(due)
                due += PERIOD_S
            is_over = has_ended  # what was due by then is asked
            self._give_up(now)
            wait_s = max(0.0, due - time.monotonic()) if not is_over else 1.0
            for key, _ in self._selector.select(wait_s):
                if isinstance(key.data, _Call):
                    self._read(key.data)
                else:
                    has_ended = True
                    self._selector.unregister(sys.stdin)
        return self._account()

    def _ask(self, due: float) -> None:
        number = self._asked
        self._asked += 1
        try:
            call = self._free.pop() if self._free else self._connect()
            call.number, call.due = number, due
            self._own_ms = max(self._own_ms, (time.monotonic() - due) * 1000)
            text = f"GET {self._target}?{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            call.sock.sendall(text.encode())
        except OSError as error:
            self._fault(number, str(error))
            return
        self._waiting[number] = call

    def _connect(self) -> _Call:
        call = _Call(socket.create_connection(("127.0.0.1", self._port), GIVE_UP_S))
        self._selector.register(call.sock, selectors.EVENT_READ, call)
        return call

    def _read(self, call: _Call) -> None:
        try:
            data = call.sock.recv(1 << 16)
        except OSError as error:
            self._drop(call, str(error))
            return
        if not data:
            self._drop(call, "the connection ended")
            return
        call.data += data
        head, blank, body = bytes(call.data).partition(b"\r\n\r\n")
        if not blank:
            return
        lines = [line.partition(b": ") for line in head.lower().split(b"\r\n")]
        headers = {name: value for name, _, value in lines}
        if len(body) >= int(headers.get(b"content-length", b"0")):
            is_kept = headers.get(b"connection") == b"keep-alive"
            self._answered(call, head, body, is_kept=is_kept)

    def _answered(
        self, call: _Call, head: bytes, body: bytes, *, is_kept: bool
    ) -> None:
        late_ms = (time.monotonic() - call.due) * 1000
        if not head.startswith(b"HTTP/1.1 200 ") or body != b"%d" % call.number:
            self._drop(call, f"{bytes(call.data)[:200]!r}")
            return
        self._late_ms.append((call.due, late_ms))
        self._waiting.pop(call.number, None)
        call.number = -1
        call.data.clear()
        if is_kept:
            self._free.append(call)
        else:
            self._drop(call, "")

    def _drop(self, call: _Call, why: str) -> None:
        self._selector.unregister(call.sock)
        call.sock.close()
        if call in self._free:
            self._free.remove(call)
        if self._waiting.pop(call.number, None) is not None:
            self._fault(call.number, why)

    def _give_up(self, now: float) -> None:
        for call in [c for c in self._waiting.values() if now - c.due > GIVE_UP_S]:
            self._drop(call, f"no answer within {GIVE_UP_S:.0f} s")

    def _fault(self, number: int, why: str) -> None:
        self._wrong += 1
        if len(self._faults) < _MOST_FAULTS:
            self._faults.append(f"request {number}: {why}")

    def _account(self) -> Account:
        late = sorted([ms for _, ms in self._late_ms])
        return Account(
            self._asked,
            len(late),
            self._faults,
            _at(late, 0.5),
            _at(late, 0.99),
            _at(late, 0.999),
            late[-1] if late else 0.0,
            self._own_ms,
            sorted(self._late_ms, key=lambda one: -one[1])[:_WORST],
        )


class Bystander:
    """The process that asks."""

    def __init__(self, port: int, target: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.bystander", str(port), target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it begins

    def account(self) -> Account:
        """End it and return how it was served."""
        said, _ = self._process.communicate(timeout=2 * GIVE_UP_S)
        return Account(**json.loads(said))

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextlib.contextmanager
def asking(port: int, target: str) -> Iterator[Bystander]:
    """Ask while the block is run."""
    bystander = Bystander(port, target)
    try:
        yield bystander
    finally:
        bystander.close()


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0


def main() -> None:
    """Ask, and print the account."""
    account = _Asking(int(sys.argv[1]), sys.argv[2]).run()
    sys.stdout.write(json.dumps(asdict(account)))


if __name__ == "__main__":
    main()
