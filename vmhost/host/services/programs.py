"""What trusted scripts ask of the system where Lua cannot: `io.popen`, `os.tmpname`.

lupa builds PUC Lua without popen(3) and mkstemp(3). A program is started here with a
pipe, of which the script opens its end as a file of its own. Only trusted states are
answered, which may start programs by `os.execute` as well; in a sandboxed VM host the
kernel forbids it.

START   "r" or "w", and a command; answer: the program's number, a tab, the path of the
        script's end of the pipe; or 0, a tab, errno, a tab and what it means
WAIT    a program's number, once the script has closed its end; answer: its exit status,
        or less than 0 the signal that ended it
TMPNAME 0; answer: the path of a new file of our user's alone; empty: it cannot be made
"""

import errno
import os
import signal
from typing import Final

from vmhost.lua.operation import Operation

_MOST: Final = 64  # programs that run, or whose end nobody has asked for

_ends: dict[int, int] = {}
"""The script's end of the pipe as we keep it open, by the program's number."""


def _start(question: bytes) -> bytes:
    writes, command = question[:1] == b"w", question[1:].partition(b"\0")[0]
    if len(_ends) >= _MOST:
        _sweep()
    if len(_ends) >= _MOST:
        return _failure(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    try:
        ends = os.pipe2(os.O_CLOEXEC)
    except OSError as error:
        return _failure(error)
    ours, its = (ends[1], ends[0]) if writes else ends
    try:
        pid = os.posix_spawn(
            "/bin/sh",
            [b"sh", b"-c", command],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, its, 0 if writes else 1)],
            setsigdef=[signal.SIGPIPE],  # Python ignores it
            setsigmask=[],
        )
    except OSError as error:
        os.close(ours)
        return _failure(error)
    finally:
        os.close(its)
    _ends[pid] = ours
    return b"%d\t/proc/self/fd/%d" % (pid, ours)


def _wait(number: float) -> int:
    pid = int(number)
    if pid not in _ends:
        return 0
    os.close(_ends.pop(pid))  # a program that reads waits for its end
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _name_file(_: int) -> bytes:
    path = b"/tmp/lua_" + os.urandom(6).hex().encode()  # which nobody can guess
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o600))
    except OSError:
        return b""
    return path


def _sweep() -> None:
    """Forget the programs that have ended and whose end nobody has asked for."""
    for pid, ours in list(_ends.items()):
        if os.waitpid(pid, os.WNOHANG)[0]:
            os.close(ours)
            del _ends[pid]


def _failure(error: OSError) -> bytes:
    return b"0\t%d\t%b" % (error.errno or 0, (error.strerror or "").encode())


OPERATIONS: Final = (
    Operation("START", 37, (bytes,), (bytes,), _start, needs_trust=True),
    Operation("WAIT", 38, (int,), (int,), _wait, needs_trust=True),
    Operation("TMPNAME", 39, (int,), (bytes,), _name_file, needs_trust=True),
)
