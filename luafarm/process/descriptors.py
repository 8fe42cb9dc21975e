"""The three standard descriptors, which a process may be started without.

FastCGI 1.0, 2.2 starts applications with descriptors 1 and 2 closed. The next socket
would take their numbers, and what is written to standard error would go to a client.
The processes that this one starts inherit them, as they would inherit open ones.
"""

import os
import sys
from typing import Final

STANDARD: Final = (0, 1, 2)


def is_terminal() -> bool:
    """Return whether standard input is a terminal, as for a job of a shell."""
    return os.isatty(sys.stdin.fileno()) if sys.stdin else False


def occupy() -> None:
    """Open the null device for each standard descriptor that is closed.

    To be called before anything else opens a descriptor.
    """
    for fd in STANDARD:
        try:
            os.fstat(fd)
        except OSError:
            # the lowest free number is this one: those below are open by now
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # Python has no file for a descriptor that was closed when it started
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
