"""What a farm does when the program that it goes on with turns out to be broken.

A parent of roles that executes itself again (`luafarm.command.inheritance`) has tried
the new program before; but it may be written over since, as by an installation that is
still under way. Roles serve on without their parent, so a program that cannot even
start is executed again until it can. A service manager hears meanwhile that it lives.
This module is all that must be whole for that.
"""

# Impure.

import contextlib
import os
import signal
import socket
import sys
from types import TracebackType

VARIABLE = "LUAFARM_INHERITANCE"
"""Of the environment: the descriptor of what was left."""

EVERY_S = 1.0

_SAID = "LUAFARM_BROKEN"  # of the environment: what was said of it already


def watch() -> None:
    """From now on try again what ends this program, until `done`."""
    sys.excepthook = _again


def command() -> list[str]:
    """Return the command line of this process, with the Python that runs it."""
    return [sys.executable, *sys.orig_argv[1:]]


def done() -> None:
    """Note that this program has started: what ends it from now on does so."""
    sys.excepthook = sys.__excepthook__
    for name in (VARIABLE, _SAID):
        os.environ.pop(name, None)


def _again(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}"
    said = f"{kind.__name__}: {error}{place}"
    if os.environ.get(_SAID) != said:
        os.environ[_SAID] = said
        text = f"luafarm: HUP: the program is broken by now: {said}; the farm serves on"
        with contextlib.suppress(OSError):  # nobody may read it
            os.write(2, f"{text}, and it is tried each second\n".encode())
    _live()
    # these are blocked since the last program was left
    if signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, EVERY_S) is not None:
        os._exit(1)
    try:
        os.execv(sys.executable, command())  # noqa: S606
    except OSError:
        _again(kind, error, trace)


def _live() -> None:
    """Say what sd_notify(3) has for it."""
    manager = os.environ.get("NOTIFY_SOCKET", "")
    if manager.startswith("@"):
        manager = f"\0{manager[1:]}"
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as told,
    ):
        told.sendto(b"WATCHDOG=1", manager)
