"""One VM host as its supervisor holds it: its page, its report, its last words."""

# Impure.

import contextlib
import dataclasses
import os
import time
from typing import TYPE_CHECKING, Final

from luafarm.errors import ProtocolError
from luafarm.names import HostId
from luafarm.wire.messages import HostRow, HostUp
from vmhost import report
from vmhost.reading import Reading
from vmhost.report import LayersTold, ServingTold
from vmhost.scoreboard import Scoreboard

if TYPE_CHECKING:
    from vmhost.sandbox.layers import Layer

_ERRORS_KEPT: Final = 4096  # the end of its standard error, for the log
_ERRORS_READ: Final = 65536  # a second; what is more waits in the pipe or is lost
_CHUNK: Final = 16384
_LARGEST: Final = (1 << 63) - 1  # counts come from the host: any 64 bits


class Child:
    """One host from its order to its end. The fds are ours to close."""

    def __init__(self, up: HostUp, page: int, report_fd: int, errors_fd: int) -> None:
        self.up = up  # complete once `pid` and `layers` are known
        self.pid = 0  # 0: ordered
        self.layers: tuple[Layer, ...] = ()
        self.scoreboard = Scoreboard(page)
        self.report_fd = report_fd  # -1 once it is ready
        self.errors_fd = errors_fd  # -1 once it has ended
        self._report = bytearray()
        self._errors = bytearray()
        self._errors_read = 0

    @property
    def host(self) -> HostId:
        """Its id."""
        return self.up.host

    @property
    def errors(self) -> str:
        """The end of what it wrote to its standard error."""
        return self._errors.decode("utf-8", "backslashreplace")

    def read_report(self) -> list[LayersTold | ServingTold]:
        """Return what it has reported. Raise ProtocolError when it is no report."""
        if self.report_fd < 0:
            return []
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.report_fd, _CHUNK)
            self._report += data
            if not data:
                self._close_report()
        *lines, rest = self._report.split(b"\n")
        if len(rest) > report.MAX_LINE:
            raise ProtocolError(f"a report of more than {report.MAX_LINE} bytes")
        self._report = rest
        said = [report.parse(bytes(line)) for line in lines]
        for one in said:
            if isinstance(one, LayersTold):
                self.layers = one.layers
            else:
                self._close_report()
        return said

    def fds(self) -> list[int]:
        """Return the fds that want to be read: not the errors of a host that floods."""
        fds = [self.report_fd]
        if self._errors_read < _ERRORS_READ:
            fds.append(self.errors_fd)
        return [fd for fd in fds if fd >= 0]

    def read_errors(self) -> bool:
        """Read what it has written to its standard error; False: nothing is left."""
        if self.errors_fd < 0:
            return False
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.errors_fd, _CHUNK)
            self._errors = (self._errors + data)[-_ERRORS_KEPT:]
            self._errors_read += len(data)
            if not data:
                os.close(self.errors_fd)
                self.errors_fd = -1
            return bool(data)
        return False

    def listen_again(self) -> None:
        """Read its standard error again; to be called once a second."""
        self._errors_read = 0

    def reading(self) -> Reading:
        """Return what its page says, and of a late one whether a signal stopped it."""
        said = self.scoreboard.read()
        if said.task is None or said.task.deadline_ns > time.monotonic_ns():
            return said
        return dataclasses.replace(said, is_stopped=_is_stopped(self.pid))

    def row(self, now_ns: int) -> HostRow:
        """Return its line in the heartbeat. now_ns: monotonic, as hosts count."""
        reading = self.scoreboard.read()
        task = reading.task
        silent_ms = 0
        if task is None and reading.beat_ns:  # whatever it says, no sooner than ever
            silent_ms = max(now_ns - reading.beat_ns, 0) // 1_000_000
        return HostRow(
            host=self.host,
            requests=min(reading.requests, _LARGEST),
            rss_kib=_resident_kib(self.pid),
            running=b"" if task is None else task.script,
            silent_ms=silent_ms,
        )

    def close(self) -> None:
        """Close its fds."""
        self._close_report()
        if self.errors_fd >= 0:
            os.close(self.errors_fd)
            self.errors_fd = -1

    def _close_report(self) -> None:
        if self.report_fd >= 0:
            os.close(self.report_fd)
            self.report_fd = -1


def _is_stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as below
            state = file.read().rpartition(b") ")[2][:1]
    except OSError:
        return False
    return state in {b"T", b"t"}  # t: by a debugger


def _resident_kib(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - each second
            pages = int(file.read().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024
