"""Starting the roles as child processes that cannot outlive their parent."""

# Impure.

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from luafarm.process import prctl, pulse

Child = subprocess.Popen[bytes]

_HANDLED: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What a role is told by signals that would end one that does not handle them yet."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A role that was started; `pulse` is where it says that it lives."""

    child: Child
    pulse: int


def command(module: str, arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs a module of luafarm in this Python.

    -P keeps the current directory out of the module path: it is the user's, and a
    `broker.py` in it must not run in place of ours.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which `command` finds luafarm's packages."""
    result = dict(base)
    home = Path(__file__).resolve().parents[2]
    if (home / "pyproject.toml").exists():  # not installed: run from its source tree
        result["PYTHONPATH"] = os.pathsep.join(
            [str(home), *filter(None, [base.get("PYTHONPATH", "")])]
        )
    return result


def start(
    module: str,
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
    sockets: Collection[int] = (),
) -> Child:
    """Start a role in this process group; it is killed when this process ends.

    It never sees the SIGINT of a Ctrl-C, which goes to the whole group: who stops first
    is decided by the parent, with SIGTERM. sockets: descriptors that it inherits.
    """
    return subprocess.Popen(
        command(module, arguments),
        env=environment(os.environ if env is None else env),
        stdin=None if 0 in sockets else subprocess.DEVNULL,
        pass_fds=[fd for fd in sockets if fd > 2],
        preexec_fn=_tie(os.getpid()),  # noqa: PLW1509 - this process has one thread
    )


def start_watched(
    module: str, arguments: Sequence[str], sockets: Collection[int] = ()
) -> Watched:
    """Start a role as `start` does, with a pipe to this process as its pulse."""
    heard, told = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        child = start(
            module,
            [*arguments, *pulse.option(told)],
            sockets=[*sockets, told],
        )
    except OSError:
        os.close(heard)
        raise
    finally:
        os.close(told)
    return Watched(child, heard)


def ignore_signals() -> None:
    """Ignore what would end this process until the role that it becomes handles it."""
    for number in _HANDLED:
        signal.signal(number, signal.SIG_IGN)


def _tie(parent: int) -> Callable[[], None]:
    prctl.libc()  # looked up before the fork

    def tie() -> None:
        if not prctl.tie(parent, signal.SIGKILL):
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        ignore_signals()

    return tie
