"""What a parent of roles leaves to itself when it executes itself again.

That is how a farm gets new code and new settings without an end: the process stays the
same one, with its children, its listening sockets, the queue of idle connections and
its locks. Only its program is another. All that is told to the new program goes by one
variable of the environment; descriptors go by their numbers.

First the new program is tried: started beside, with the same command line, it does no
more than to read the settings and to look whether it could serve with them.
"""

# Impure.

import os
import signal
import sys
from collections.abc import Callable, MutableMapping
from typing import Final

import msgspec

from luafarm.config.settings import Settings
from luafarm.process.sockets import Kept

_VARIABLE: Final = "LUAFARM_INHERITANCE"

_BLOCKED: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
)
"""They wait until the new program can take them."""


class Role(msgspec.Struct, frozen=True):
    """A child that holds the place of a role, or that is on its way out of it."""

    name: str
    pid: int
    pulse: int  # descriptor
    incarnation: int  # of a supervisor
    is_current: bool
    serves: bool
    beats_by: float  # monotonic seconds, of the watchdog; 0: it is not watched
    retires_by: float  # the same; 0: it need not retire, or may take long
    uids: str = ""  # of a supervisor: those of its VM hosts, in its own words


class Inheritance(msgspec.Struct, frozen=True):
    """Everything that goes on. Descriptors are owned by whoever takes it."""

    settings: Settings  # as they are in force, should those on the disk be wrong
    arguments: tuple[str, ...]  # --config and --set for the roles
    file: str  # with the settings; empty: none
    claims: dict[str, int]  # locks by role
    listeners: tuple[Kept, ...]
    handover: tuple[int, int] | None  # both ends; None: there are no fronts
    roles: tuple[Role, ...]
    is_ready: bool
    is_trial: bool = False

    def descriptors(self) -> list[int]:
        """Return all that have to stay open."""
        found = [*self.claims.values(), *(self.handover or ())]
        found += [listener.fd for listener in self.listeners]
        return found + [role.pulse for role in self.roles]


def take(environment: MutableMapping[str, str]) -> Inheritance | None:
    """Take what was left to this process out of its environment; None: nothing."""
    text = environment.pop(_VARIABLE, "")
    if not text:
        return None
    found = msgspec.json.decode(text, type=Inheritance)
    if not found.is_trial:
        for fd in found.descriptors():
            os.set_inheritable(fd, False)
    return found


def command() -> list[str]:
    """Return the command line of this process, with the Python that runs it."""
    return [sys.executable, *sys.orig_argv[1:]]


def environment(inheritance: Inheritance) -> dict[str, str]:
    """Return the environment of the next program."""
    text = msgspec.json.encode(inheritance).decode()
    return {**os.environ, _VARIABLE: text}


def leave_to_itself(
    inheritance: Inheritance, more: dict[str, str], is_wanted: Callable[[], bool]
) -> None:
    """Execute this process again. Return when it is not wanted; raise OSError.

    more: for its environment. is_wanted: is asked when signals wait already, which
    they do until the new program unblocks them.
    """
    descriptors = inheritance.descriptors()
    try:
        for fd in descriptors:
            os.set_inheritable(fd, True)
        program = command()
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        if not is_wanted():
            return
        os.execve(program[0], program, {**environment(inheritance), **more})  # noqa: S606
    finally:  # it goes on as it is
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
        for fd in descriptors:
            os.set_inheritable(fd, False)
