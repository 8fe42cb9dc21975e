"""Logging as all luafarm processes do it: one line a record, to one descriptor.

A line is `time title level text`; continuation lines are indented, control characters
are made visible, so that nothing that is logged can forge a line. Lines are written
with one `write` each and never buffered: what is logged before a crash is there. If
nobody reads them, lines are left out (`luafarm.process.sink`), and how many is told.

A file in a directory where strangers may write is refused: they could put a link to
another file in its place, which we may write and they may not.
"""

# Impure.

import atexit
import contextlib
import grp
import logging
import os
import signal
import stat
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

from luafarm import strangers
from luafarm.config.settings import Log
from luafarm.errors import SettingsError
from luafarm.process.sink import Sink
from luafarm.wire.loglines import printable

_MODE: Final = 0o640

_LEFT_OUT: Final = "%d lines were left out: nobody read the log"

_GROUPS: Final = ("adm", "syslog")
"""Who writes the system's logs may write ours: `/var/log` is theirs on some systems."""


def setup(log: Log, title: str, owner: tuple[int, int] | None = None) -> None:
    """Send the records of this process to the file or standard error, from now on.

    title: the process title, such as "luafarm-broker". USR1 reopens the file. owner:
    uid and gid to which a file belongs that is made; None: those of this process.
    """
    handler = _Handler(log.file, owner)
    handler.setFormatter(_Formatter(title))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)  # what libraries have to say
    logging.getLogger("luafarm").setLevel(log.level.upper())
    logging.raiseExceptions = False  # a full disk must not stop the farm

    def reopen(_signal: int, _frame: FrameType | None) -> None:
        handler.reopen()

    signal.signal(signal.SIGUSR1, reopen)
    # the interpreter gives handlers up before it ends; one that comes then would kill
    atexit.register(signal.signal, signal.SIGUSR1, signal.SIG_IGN)


def refusal(
    log: Log, owner: tuple[int, int] | None = None, *, is_beside: bool = False
) -> str:
    """Return why `setup` would refuse the file, which is not made; empty: it takes it.

    is_beside: others write it meanwhile, so that the reader of a FIFO sees no end.
    """
    if not log.file:
        return ""
    file = Path(log.file)
    try:
        if is_beside or not file.is_fifo():
            os.close(_first_opened(file, owner, 0))
    except FileNotFoundError:  # `setup` makes it, where a link to it leads
        parent = Path(os.path.realpath(file)).parent
        if not os.access(parent, os.W_OK | os.X_OK):
            return f"the directory {parent} is missing or not writable"
    except (strangers.StrangerError, OSError) as error:
        return _why(error)
    return ""


class _Handler(logging.Handler):
    """Writes lines to a descriptor that `reopen` exchanges in place."""

    def __init__(self, file: str, owner: tuple[int, int] | None) -> None:
        super().__init__()
        self._file = file
        self._owner = owner
        self._fd = sys.__stderr__.fileno() if sys.__stderr__ else 2
        if file:
            try:
                self._fd = _first_opened(Path(file), owner, os.O_CREAT)
            except (strangers.StrangerError, OSError) as error:
                reason = f'[log] file = "{file}": {_why(error)}'
                raise SettingsError(reason) from None
        self._sink = Sink(self._fd)

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if self._sink.left_out:
            # before the first line that finds room again
            told = logging.makeLogRecord(record.__dict__)
            told.levelno, told.levelname = logging.WARNING, "WARNING"
            told.msg, told.args, told.exc_info = _LEFT_OUT, (self._sink.left_out,), None
            text = f"{self.format(told)}\n{text}"
        self._sink.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def reopen(self) -> None:
        """Write to the file that now has the name, if it can be opened.

        What rotates logs makes that file as root. A process that is still root gives it
        to the owner, so that those that it passes the signal on to can open it.
        """
        if not self._file:
            return
        try:
            fd = _opened(Path(self._file), self._owner, os.O_CREAT)
        except OSError as error:
            reason = f"log_file={self._file} not reopened: {error.strerror}"
            logging.getLogger("luafarm.logs").warning(reason)
            return
        if self._owner is not None:
            _give(fd, Path(self._file), *self._owner)
        # dup2 exchanges it at once: safe even in a signal handler amid a write
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)

    def close(self) -> None:
        self._sink.close()
        if self._file:
            os.close(self._fd)
            self._file = ""
        super().close()


def _first_opened(file: Path, owner: tuple[int, int] | None, flags: int) -> int:
    strangers.check(file.absolute().parent, _circle(owner))
    return _opened(file, owner, flags)


def _opened(file: Path, owner: tuple[int, int] | None, flags: int) -> int:
    # O_NONBLOCK is for a FIFO that has the name
    flags |= os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
    if owner is not None and flags & os.O_CREAT:
        # only what is made here is given away: no file that a link leads to
        with contextlib.suppress(FileExistsError):
            fd = os.open(file, flags | os.O_EXCL, _MODE)
            with contextlib.suppress(OSError):  # without CAP_CHOWN it stays ours
                os.fchown(fd, *owner)
            return fd
    return os.open(file, flags, _MODE)


def _why(error: strangers.StrangerError | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def _give(fd: int, file: Path, uid: int, gid: int) -> None:
    """Give a file of root's to the owner of the log, unless a link has led to it."""
    found = os.fstat(fd)
    is_plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
    if os.geteuid() != 0 or found.st_uid != 0 or not is_plain:
        return
    with contextlib.suppress(OSError):  # without CAP_CHOWN it stays root's
        if os.path.samestat(found, file.lstat()):
            os.fchown(fd, uid, gid)


def _circle(owner: tuple[int, int] | None) -> strangers.Circle:
    """Return who may write where the log is."""
    uids = strangers.own_circle().uids
    gids: set[int] = set()
    for name in _GROUPS:
        with contextlib.suppress(KeyError):
            gids.add(grp.getgrnam(name).gr_gid)
    return strangers.Circle(uids | {owner[0]} if owner else uids, frozenset(gids))


class _Formatter(logging.Formatter):
    """`2026-03-01 12:00:00.000 luafarm-front info text`, local time."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        level = record.levelname.lower()
        return f"{when}.{int(record.msecs):03} {self._title} {level} {printable(text)}"
