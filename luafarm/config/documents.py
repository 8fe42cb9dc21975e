"""A configuration file as a TOML document: read, bounded, refused in plain words."""

# Impure.

import os
import re
import select
import stat
import time
import tomllib
from pathlib import Path
from typing import BinaryIO, Final

from luafarm.errors import SettingsError

_MOST_BYTES: Final = 1 << 20
"""Ten thousand scripts with settings of their own."""

_PIPE_S: Final = 5.0
"""A pipe of the shell (`--config <(...)`) is written at once; into another one nobody
may ever write."""

_CHUNK: Final = 1 << 16

_TWICE: Final = re.compile(r"Cannot declare \((.*?),?\) twice")


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
