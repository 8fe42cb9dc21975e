"""The configuration file: found, judged, and read as a TOML document.

A file that nobody has named counts only if no stranger could have written it: whoever
goes into a directory does not mean to obey it. One that is named is its owner's affair;
when others may write it as well, this is told, and root refuses it.
"""

# Impure.

import os
import re
import select
import stat
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from luafarm import strangers
from luafarm.errors import SettingsError

FILES: Final = (Path("luafarm.toml"), Path("/etc/luafarm/luafarm.toml"))
"""Where the configuration file is looked for when none is named."""

_MOST_BYTES: Final = 1 << 20
"""Ten thousand scripts with settings of their own."""

_PIPE_S: Final = 5.0
"""A pipe of the shell (`--config <(...)`) is written at once; into another one nobody
may ever write."""

_CHUNK: Final = 1 << 16

_TWICE: Final = re.compile(r"Cannot declare \((.*?),?\) twice")


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration file, or none, and what is to be said of those looked at."""

    file: Path | None
    content: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def look() -> Document:
    """Return the first of FILES that is there and of which no stranger has a part."""
    notes: list[str] = []
    circle = strangers.own_circle()
    for path in FILES:
        try:
            stream = strangers.open_found(path, circle)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except strangers.StrangerError as wrong:
            notes.append(
                f"{path.absolute()} is left out: {wrong}; --config uses a file all "
                "the same"
            )
        except OSError as error:
            notes.append(f"{path.absolute()} is left out: {error.strerror}")
        else:
            with stream:
                return Document(path, read(path, stream), tuple(notes))
    return Document(None, notes=tuple(notes))


def named(file: Path) -> Document:
    """Return a file that somebody has named. Raise SettingsError."""
    try:
        with opened(file) as stream:
            wrong = _others_may_write(file, stream)
            if wrong and os.geteuid() == 0:
                raise SettingsError(f"{file}: not for root: {wrong}")
            return Document(file, read(file, stream), (wrong,) if wrong else ())
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None


def _others_may_write(file: Path, stream: BinaryIO) -> str:
    """Return how somebody besides the owner could write or replace a file; or "".

    A pipe of the shell is no file: nobody can.
    """
    status = os.fstat(stream.fileno())
    if not stat.S_ISREG(status.st_mode):
        return ""
    circle = strangers.own_circle().with_uid(status.st_uid)
    wrong = strangers.fault(file, status, circle)
    real = Path(os.path.realpath(file))
    for directory in dict.fromkeys([file.absolute().parent, real.parent]):
        wrong = wrong or strangers.fault(
            directory, directory.stat(), circle, is_on_the_way=True
        )
    return wrong


def read(
    file: Path, stream: BinaryIO, patience_s: float = _PIPE_S
) -> dict[str, object]:
    """Return what the file says; stream: it, by `opened`. Raise SettingsError, OSError.

    patience_s: with who writes into a pipe.
    """
    if _is_pipe(stream):
        text = _from_pipe(file, stream.fileno(), patience_s)
    else:
        text = stream.read(_MOST_BYTES + 1)  # /dev/zero has no end
    if len(text) > _MOST_BYTES:
        raise SettingsError(f"{file}: more than {_MOST_BYTES} bytes")
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {_TWICE.sub(_in_words, str(error))}") from None


def opened(file: Path) -> BinaryIO:
    """Open a file; of a pipe nobody need have the other end. Raise OSError."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    stream = os.fdopen(os.open(file, flags), "rb")
    if not _is_pipe(stream):
        os.set_blocking(stream.fileno(), True)
    return stream


def _is_pipe(stream: BinaryIO) -> bool:
    return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)


def _from_pipe(file: Path, fd: int, patience_s: float) -> bytes:
    deadline = time.monotonic() + patience_s
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    text = b""
    while len(text) <= _MOST_BYTES:
        left_ms = (deadline - time.monotonic()) * 1000
        if left_ms <= 0 or not poller.poll(left_ms):
            raise SettingsError(
                f"{file}: a pipe whose end has not come within {patience_s:g} s; "
                f"{len(text)} bytes have; a file belongs here"
            )
        try:
            chunk = os.read(fd, _CHUNK)
        except BlockingIOError:
            continue
        if not chunk:
            break
        text += chunk
    return text


def _in_words(match: re.Match[str]) -> str:
    name = ".".join([word.strip(" '\"") for word in match[1].split(",")])
    return f"[{name}] is there twice; or, if it is not, its ] is missing"
