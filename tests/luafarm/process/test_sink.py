"""Log lines where nobody reads: left out, and nobody waits for ever."""

import fcntl
import os
import pty
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from luafarm.process.sink import Sink

LINE = b"x" * 99 + b"\n"
F_SETPIPE_SZ = 1031  # linux/fcntl.h


@dataclass
class Reader:
    """The descriptor to write to, and how what was written is read."""

    fd: int
    read: Callable[[], bytes]


@pytest.fixture(params=["pipe", "socket", "terminal"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    """Give each kind of descriptor that has a reader."""
    if request.param == "socket":
        ours, theirs = socket.socketpair()
        heard, fd = ours.detach(), theirs.detach()
    elif request.param == "terminal":
        heard, fd = pty.openpty()
    else:
        heard, fd = os.pipe()
        fcntl.fcntl(fd, F_SETPIPE_SZ, 4096)
    os.set_blocking(heard, False)

    def read() -> bytes:
        found = b""
        while True:
            try:
                found += os.read(heard, 65536)
            except BlockingIOError:
                return found

    yield Reader(fd, read)
    os.close(heard)
    os.close(fd)


def filled(sink: Sink) -> int:
    """Write lines until one is left out; return how many were taken."""
    for number in range(1_000_000):
        sink.write(LINE)
        if sink.left_out:
            return number
    raise AssertionError("it is never full")


def test_when_nobody_reads_lines_are_left_out_and_counted(reader: Reader) -> None:
    sink = Sink(reader.fd)
    filled(sink)
    for _ in range(1000):  # none of them waits
        sink.write(LINE)
    assert sink.left_out == 1001
    sink.close()


def test_what_was_written_is_whole_lines_once_somebody_reads(reader: Reader) -> None:
    sink = Sink(reader.fd)
    taken = filled(sink)
    found = reader.read()
    while sink.left_out:
        sink.write(b"after\n")
        found += reader.read()
    found += reader.read()
    lines = found.replace(b"\r\n", b"\n").split(b"\n")
    assert lines[:taken] == [LINE[:-1]] * taken
    assert set(lines[taken:]) <= {LINE[:-1], b"after", b""}
    assert b"after" in lines
    sink.close()


def test_others_who_write_to_it_wait_as_before(reader: Reader) -> None:
    sink = Sink(reader.fd)
    assert os.get_blocking(reader.fd)
    sink.close()
    os.write(reader.fd, b"it is still theirs\n")
    assert b"it is still theirs" in reader.read()


def test_a_reader_that_is_gone_is_no_fault() -> None:
    heard, fd = os.pipe()
    sink = Sink(fd)
    os.close(heard)
    sink.write(LINE)
    sink.close()
    os.close(fd)


def test_a_file_is_written_as_it_is(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    sink = Sink(fd)
    sink.write(LINE)
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    os.dup2(other, fd)  # as `logs` reopens a file
    sink.write(b"later\n")
    sink.close()
    assert (tmp_path / "log").read_bytes() == LINE
    assert (tmp_path / "other").read_bytes() == b"later\n"
    os.close(fd)
    os.close(other)
