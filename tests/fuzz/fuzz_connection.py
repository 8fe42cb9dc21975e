"""Fuzz a connection: nothing raises, check() holds, each begun id ends at most once.

    python -m tests.fuzz.fuzz_connection [-max_total_time=60] [CORPUS_DIR]

Whatever a peer sends and a loop does. It needs atheris, and puts its seeds into an
empty CORPUS_DIR; `replay` needs nothing and is run by the tests.
"""

import sys
from pathlib import Path

from fcgi.arrival import limits
from fcgi.closing import CLOSE
from fcgi.fastcgi.connection import Connection
from fcgi.fastcgi.request import Aborted, Event, Request
from luafarm.config.settings import Front
from tests.fcgi.fastcgi import wire

LIMITS = limits(
    Front(
        requests_per_connection=2,
        max_params=400,
        max_param=300,
        max_body=200,
        inline_body=40,
    )
)
HEAD = b"Status: 200 OK\r\n\r\n"


class Loop:
    """Plays the loop: acts on every event, and counts what goes out."""

    def __init__(self) -> None:
        self.machine = Connection(LIMITS, 0.0)
        self.now = 0.0
        self.due: list[Request] = []
        self.sent = b""

    def act(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Request):
                self.due.append(event)
            elif isinstance(event, Aborted) and event.request in self.due:
                self.due.remove(event.request)
        self.sent += self.machine.data_to_send()
        self.machine.check()

    def order(self, number: int, data: bytes) -> None:
        """Do one of the things that a loop does."""
        machine = self.machine
        request = self.due[number % len(self.due)] if self.due else None
        match number % 8:
            case 0 | 1 | 2:
                self.act(machine.receive(data, self.now))
            case 3 if request is not None:
                self.due.remove(request)
                self.sent += machine.reply(request, HEAD, data, data[:3])
                assert machine.end(request) == b""
            case 4 if request is not None:
                self.sent += machine.stdout(request, data)
            case 5 if request is not None:
                self.sent += machine.stderr(request, data)
            case 6:
                self.now += number
                self.act(machine.expired(self.now, number > 128))
            case 7 if number > 250:
                self.act(machine.eof(self.now))
            case 7 if number > 240:
                machine.drain()
            case _:
                self.act(machine.receive(data, self.now))
        machine.check()


def begun(data: bytes) -> dict[int, int]:
    """Return how often each id can have been begun at most, wherever records start."""
    found: dict[int, int] = {}
    at = data.find(b"\x01\x01")
    while at >= 0:
        number = int.from_bytes(data[at + 2 : at + 4], "big")
        found[number] = found.get(number, 0) + 1
        at = data.find(b"\x01\x01", at + 1)
    return found


def replay(data: bytes) -> None:
    """Play one input: (order, length, bytes) again and again."""
    loop = Loop()
    received = b""
    at = 0
    while at + 2 <= len(data):
        number, size = data[at], data[at + 1]
        part = data[at + 2 : at + 2 + size]
        at += 2 + size
        received += part
        loop.order(number, part)
    loop.act(loop.machine.lost())
    assert loop.machine.closing == CLOSE
    assert loop.machine.active() == 0
    may = begun(received)
    ends: dict[int, int] = {}
    for record in wire.all_records(loop.sent):
        if record.type == wire.END:
            ends[record.id] = ends.get(record.id, 0) + 1
    for number, count in ends.items():
        assert count <= may.get(number, 0), f"id {number} ended {count} times"


def seeds() -> list[bytes]:
    """Return inputs to start from."""
    small = {"SCRIPT_FILENAME": "/a.lua", "CONTENT_LENGTH": "3"}
    talks = [
        wire.req(small, b"abc", keep=True),
        wire.req(small, b"abc", role=3, data=b"d" * 60, chunk=20, keep=True),
        wire.req(small, role=2, keep=True) + wire.rec(wire.ABORT, 1),
        wire.begin(2, flags=1) + wire.rec(wire.PARAMS, 2, b"\x01"),
        wire.rec(wire.GET_VALUES, 0, wire.blob({"FCGI_MAX_REQS": ""})),
        wire.rec(99, 0, b"x"),
    ]
    found: list[bytes] = []
    for talk in talks:
        parts = [talk[i : i + 255] for i in range(0, len(talk), 255)]
        found.append(
            b"".join(bytes([0, len(part)]) + part for part in parts)
            + b"\x04\x03abc\x05\x02ee\x03\x04body"
        )
    return [*found, b"".join(found)]


def main() -> None:
    """Fuzz until stopped."""
    import atheris

    for folder in map(Path, sys.argv[1:]):
        if folder.is_dir() and not any(folder.iterdir()):
            for number, data in enumerate(seeds()):
                (folder / f"seed-{number}").write_bytes(data)
    atheris.instrument_all()
    atheris.Setup(sys.argv, replay)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
