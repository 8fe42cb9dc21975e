"""Starting the roles as child processes that cannot outlive their parent."""

# Impure.

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from luafarm.process import prctl, pulse

TRIAL: Final = "--trial"
"""Option of a role that looks whether it could serve, and ends."""

_POLL_S: Final = 0.01

_HANDLED: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What a role is told by signals that would end one that does not handle them yet."""


class Child:
    """A child process by its pid, which is its own until its end was asked for here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        code = self._wait(0)
        assert code is not None
        return code

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, so long at most; return whether it came."""
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL_S)
        return True

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self.send_signal(signal.SIGKILL)

    def _wait(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


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
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        # inherited from whoever started us: the kernel would keep no exit codes
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process = subprocess.Popen(
        command(module, arguments),
        env=environment(os.environ if env is None else env),
        stdin=None if 0 in sockets else subprocess.DEVNULL,
        pass_fds=[fd for fd in sockets if fd > 2],
        preexec_fn=_role(),  # noqa: PLW1509 - this process has one thread
    )
    process.returncode = 0  # it is asked for here: `Popen` need not look after it
    return Child(process.pid)


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


def tie() -> Callable[[], None]:
    """Return what a child does before its program, to end with this process."""
    parent = os.getpid()
    prctl.libc()  # looked up before the fork

    def tied() -> None:
        if not prctl.tie(parent, signal.SIGKILL):
            os._exit(1)

    return tied


def _role() -> Callable[[], None]:
    tied = tie()

    def become() -> None:
        tied()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        ignore_signals()

    return become


def how(code: int) -> str:
    """Return in words how a child ended; code: negative for a signal."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
