"""Why a VM host died: its exit code, put into a word that broker and fronts act on.

The exit codes are part of the design: budgets that nothing inside a process can refuse
to keep are kernel timers with deadly signals (SIGALRM for wall-clock time, SIGPROF and
SIGXCPU for CPU time), a forbidden system call is SIGSYS, and Lua that runs out of
memory outside a protected call aborts or panics.
"""

import signal
from dataclasses import dataclass
from typing import Final

WALL: Final = "wall"  # budgets: the front answers 504
CPU: Final = "cpu"
SECCOMP: Final = "seccomp"  # a system call that no honest host makes
ABORT: Final = "abort"  # Lua ended the process: out of memory where nothing catches it
CRASH: Final = "crash"
KILLED: Final = "killed"  # by somebody else: the kernel out of memory, an operator
STOPPED: Final = "stopped"  # as asked
SILENT: Final = "silent"  # its loop stood still, no request to blame
PROTOCOL: Final = "protocol"  # it, or a state in it, broke the protocol
START: Final = "start"  # it was not ready in time
LACKING: Final = "lacking"  # required layers of the sandbox do not hold
FAILED: Final = "failed"  # it gave up by itself, its story is on its standard error

EXIT_FAILED: Final = 70  # a host's own fault, as EX_SOFTWARE in sysexits.h
EXIT_PROTOCOL: Final = 76  # a Lua state broke its protocol, as EX_PROTOCOL there
EXIT_LACKING: Final = 77

_SIGNALS: Final = {
    signal.SIGALRM: WALL,
    signal.SIGPROF: CPU,
    signal.SIGXCPU: CPU,
    signal.SIGSYS: SECCOMP,
    signal.SIGABRT: ABORT,
    signal.SIGSEGV: CRASH,
    signal.SIGBUS: CRASH,
    signal.SIGILL: CRASH,
    signal.SIGFPE: CRASH,
    signal.SIGTRAP: CRASH,
    signal.SIGTERM: STOPPED,
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a host died: a word of the above, and a sentence."""

    reason: str
    detail: str


def cause(code: int, killed_for: Cause | None, errors: str) -> Cause:
    """Return why a process ended.

    code: its exit code, or the negative number of the signal. killed_for: why the
    supervisor ended it, if it did. errors: the end of its standard error.
    """
    if killed_for is not None and code in {-signal.SIGKILL, -signal.SIGTERM, 0}:
        return killed_for
    if code < 0:
        return _by_signal(-code)
    if code == 0:
        return Cause(STOPPED, "ended as asked")
    if code == EXIT_LACKING:
        return Cause(LACKING, "a required layer of the sandbox does not hold")
    if code == EXIT_PROTOCOL:
        return Cause(PROTOCOL, "a Lua state handed out what no honest one does")
    if "PANIC" in errors:  # Lua 5.1 and LuaJIT end with exit(1)
        return Cause(ABORT, "Lua panicked outside a protected call")
    return Cause(FAILED, f"ended with exit code {code}")


def _by_signal(number: int) -> Cause:
    try:
        known = signal.Signals(number)
    except ValueError:
        return Cause(KILLED, f"killed by signal {number}")
    reason = _SIGNALS.get(known, KILLED)
    return Cause(reason, f"killed by {known.name}")
