"""Why a VM host died: its exit code, put into the word that broker and fronts act on.

The exit codes are part of the design: budgets that nothing inside a process can refuse
to keep are kernel timers with deadly signals (SIGALRM for wall-clock time, SIGPROF and
SIGXCPU for CPU time), a forbidden system call is SIGSYS, and Lua that runs out of
memory outside a protected call aborts or panics.
"""

import signal
from dataclasses import dataclass
from typing import Final

from luafarm.ends import Death

EXIT_FAILED: Final = 70  # a host's own fault, as EX_SOFTWARE in sysexits.h
EXIT_PROTOCOL: Final = 76  # a Lua state broke its protocol, as EX_PROTOCOL there
EXIT_LACKING: Final = 77
EXIT_UNOPENED: Final = 78  # a C module of its pool, as EX_CONFIG there

_SIGNALS: Final = {
    signal.SIGALRM: Death.WALL,
    signal.SIGPROF: Death.CPU,
    signal.SIGXCPU: Death.CPU,
    signal.SIGSYS: Death.SECCOMP,
    signal.SIGABRT: Death.ABORT,
    signal.SIGSEGV: Death.CRASH,
    signal.SIGBUS: Death.CRASH,
    signal.SIGILL: Death.CRASH,
    signal.SIGFPE: Death.CRASH,
    signal.SIGTRAP: Death.CRASH,
    signal.SIGTERM: Death.STOPPED,
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a host died: a word, and a sentence."""

    reason: Death
    detail: str


def cause(
    code: int, killed_for: Cause | None, errors: str, *, is_running: bool = False
) -> Cause:
    """Return why a process ended.

    code: its exit code, or the negative number of the signal. killed_for: why the
    supervisor ended it, if it did. errors: the end of its standard error. is_running:
    its scoreboard says that something runs; who ends as asked ends that first.
    """
    if killed_for is not None and code in {-signal.SIGKILL, -signal.SIGTERM, 0}:
        return killed_for
    if code < 0:
        return _by_signal(-code)
    if code == 0 and is_running:
        return Cause(Death.FAILED, "what it ran ended its process")
    if code == 0:
        return Cause(Death.STOPPED, "ended as asked")
    if code == EXIT_LACKING:
        return Cause(Death.LACKING, "a required layer of the sandbox does not hold")
    if code == EXIT_UNOPENED:
        return Cause(Death.FAILED, "a C module of its pool cannot be opened")
    if code == EXIT_PROTOCOL:
        return Cause(Death.PROTOCOL, "a Lua state handed out what no honest one does")
    if "PANIC" in errors:  # Lua 5.1 and LuaJIT end with exit(1)
        return Cause(Death.ABORT, "Lua panicked outside a protected call")
    return Cause(Death.FAILED, f"ended with exit code {code}")


def _by_signal(number: int) -> Cause:
    try:
        known = signal.Signals(number)
    except ValueError:
        return Cause(Death.KILLED, f"killed by signal {number}")
    reason = _SIGNALS.get(known, Death.KILLED)
    return Cause(reason, f"killed by {known.name}")
