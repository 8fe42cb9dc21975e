"""The processes of a farm and their connections, as faults reach them.

A connection of another process is cut by a duplicate of its descriptor (pidfd_getfd(2);
it needs the right to trace that process): shutdown(2) ends it for whoever holds it, and
connect(2) to AF_UNSPEC resets it, if it is TCP.
"""

import contextlib
import ctypes
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import procfs

_PIDFD_GETFD = 438  # asm-generic/unistd.h
_UNSPEC = bytes(16)  # a sockaddr of family AF_UNSPEC

_libc = ctypes.CDLL(None, use_errno=True)


def titled(session: int, title: str) -> list[int]:
    """Return the processes of a session whose title begins so."""
    return sorted(
        pid for pid in procfs.session(session) if procfs.title(pid).startswith(title)
    )


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal to a process that may be gone; return whether it was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Let processes hang while the block runs; they may be killed meanwhile."""
    with contextlib.ExitStack() as stack:
        for pid in pids:
            # a number may be another's by the end of the block
            with contextlib.suppress(ProcessLookupError):
                held = os.pidfd_open(pid)
                stack.callback(os.close, held)
                signal.pidfd_send_signal(held, signal.SIGSTOP)
                stack.callback(_go_on, held)
        yield


def _go_on(held: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(held, signal.SIGCONT)


def holders(inode: int) -> list[int]:
    """Return the other processes that have a descriptor of this pipe."""
    wanted = f"pipe:[{inode}]"
    found: list[int] = []
    for directory in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()) == wanted for fd in directory.iterdir()):
                found.append(int(directory.parent.name))
    return sorted(set(found) - {os.getpid()})


def heeds(pid: int, number: signal.Signals) -> bool:
    """Return whether a process handles a signal by now, or puts it off."""
    bit = 1 << (number - 1)
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    masks = dict(line.split(":\t") for line in text.splitlines() if ":\t" in line)
    return any(int(masks[name], 16) & bit for name in ("SigCgt", "SigBlk", "SigIgn"))


def hangs(pid: int) -> bool:
    """Return whether a process is there and stopped."""
    return procfs.state(pid) == "T"


@contextlib.contextmanager
def without_descriptors(pid: int) -> Iterator[None]:
    """Let a process open nothing more while the block runs."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(fds(pid)) + 1, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def fds(pid: int) -> list[int]:
    """Return the descriptors of a process; none when it is gone."""
    try:
        return [int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []


def resident_kib(pid: int) -> int:
    """Return the memory of a process; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def cut(pid: int, is_meant: Callable[[str, str], bool], most: int | None = None) -> int:
    """End connections of a process; return how many.

    is_meant: whether one is, by its own address and that of its peer.
    """
    ended = 0
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return 0
    try:
        for fd in sorted(fds(pid)):
            if most is not None and ended >= most:
                break
            with contextlib.suppress(OSError), _duplicate(process, fd) as copy:
                if is_meant(_text(copy.getsockname()), _text(copy.getpeername())):
                    _end(copy)
                    ended += 1
    finally:
        os.close(process)
    return ended


@contextlib.contextmanager
def _duplicate(process: int, fd: int) -> Iterator[socket.socket]:
    """Give a duplicate of a socket of another process. Raise OSError: it is none."""
    copy = _libc.syscall(_PIDFD_GETFD, process, fd, 0)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    try:
        found = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    with found:
        yield found


def _end(connection: socket.socket) -> None:
    if connection.family == socket.AF_INET:
        _libc.connect(connection.fileno(), _UNSPEC, len(_UNSPEC))
    else:
        connection.shutdown(socket.SHUT_RDWR)


def _text(address: object) -> str:
    if isinstance(address, bytes):
        return os.fsdecode(address)
    if isinstance(address, tuple):
        return ":".join([str(part) for part in address[:2]])
    return str(address)
