"""What a captured VM host does at its birth, by the name of its pool."""

import os
import signal
from collections.abc import Callable

from luafarm.names import Epoch, Script
from luafarm.wire.messages import Dependency, NeedKind, StateRow
from vmhost import report
from vmhost.host.config import HostConfig

_MANY = 1000


def _row(path: bytes, number: int = 0, files: int = 0) -> StateRow:
    most = (1 << 62) - 1
    used = tuple(
        Dependency(NeedKind.MODULE, b"m%d" % n, b"", b"") for n in range(files)
    )
    return StateRow(
        Script(path), Epoch(1), b"%016d" % number, most, most, most, 1, used
    )


def _place(config: HostConfig) -> bytes:
    """Return the directory of all pools' roots: two above the sockets of hosts."""
    path = config.endpoint.removeprefix("ipc://")
    return os.fsencode(path.rpartition("/run/")[0])


def _stillborn(_report_fd: int) -> None:
    """It dies before it is ready, each time."""
    os.kill(os.getpid(), signal.SIGKILL)


def _garbage(report_fd: int) -> None:
    """It reports what is no report."""
    os.write(report_fd, b"\xff" * 100 + b"\n")


def _flood(report_fd: int) -> None:
    """It reports a line that does not end."""
    while True:
        os.write(report_fd, b"x" * 4096)


def _lacking(report_fd: int) -> None:
    """It says that it lacks all layers, and serves."""
    os.write(report_fd, b'{"layers": [], "lacking": ["everything: forged"]}\n')


def _ready_twice(report_fd: int) -> None:
    """It is ready twice."""
    report.write_ready(report_fd)


BIRTHS: dict[str, Callable[[int], None]] = {
    "stillborn": _stillborn,
    "garbage": _garbage,
    "flood": _flood,
    "lacking": _lacking,
    "twice": _ready_twice,
}
"""By the name of a pool: what is done with the report pipe before the host is ready."""


def _many(place: bytes) -> tuple[StateRow, ...]:
    """A thousand states of its own pool, worth more than all others."""
    return tuple(_row(place + b"/many/%d.lua" % n, n) for n in range(_MANY))


def _others(place: bytes) -> tuple[StateRow, ...]:
    """The states of another pool."""
    return tuple(_row(place + b"/web/%s.lua" % n) for n in (b"counter", b"a", b"b"))


def _double(place: bytes) -> tuple[StateRow, ...]:
    """One state a hundred times."""
    return tuple(_row(place + b"/double/a.lua", n) for n in range(100))


def _files(place: bytes) -> tuple[StateRow, ...]:
    """A state of twenty thousand files."""
    return (_row(place + b"/files/a.lua", files=20_000),)


HELD: dict[str, Callable[[bytes], tuple[StateRow, ...]]] = {
    "many": _many,
    "others": _others,
    "double": _double,
    "files": _files,
}
"""By the name of a pool: the states that a host says it holds, asked first."""


def held(config: HostConfig) -> tuple[StateRow, ...]:
    """Return what a host of this pool says it holds."""
    claim = HELD.get(config.pool)
    return claim(_place(config)) if claim is not None else ()
