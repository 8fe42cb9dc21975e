"""What a command prints: standard output must take it, standard error may.

A reader that has seen enough, or a full disk, ends a command and never with a
traceback. What goes to standard error tells of something else, which counts whether or
not anybody can read of it.
"""

import contextlib
import os
import sys
from typing import Final

GONE: Final = 141
"""Exit code when the reader has gone, as a shell shows an end by SIGPIPE."""


class OutputError(Exception):
    """Standard output does not take what is printed."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror}")
        #: nobody reads any more, and nobody misses the rest
        self.is_gone = isinstance(error, BrokenPipeError)


def put(text: str | bytes) -> None:
    """Print to standard output at once; raise OutputError if that is not possible.

    str: paths in it come out as the bytes that they are, whatever the terminal's
    encoding thinks of them.
    """
    flush()
    data = os.fsencode(text) if isinstance(text, str) else text
    try:
        if data:  # a full device refuses even nothing
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except OSError as error:
        _give_up(1)
        raise OutputError(error) from None


def flush() -> None:
    """Have printed what others wrote; raise OutputError if that is not possible."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _give_up(1)
        raise OutputError(error) from None


def say(text: str | bytes) -> None:
    """Print a line to standard error, if that can be; bytes: lines, as they are."""
    try:
        if isinstance(text, bytes):
            sys.stderr.flush()
            sys.stderr.buffer.write(text)
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        _give_up(2)


def _give_up(fd: int) -> None:
    """Let what is buffered go nowhere, or the end of the process would try again."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, fd)
        os.close(null)
