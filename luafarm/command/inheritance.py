"""What a parent of roles leaves to itself when it executes itself again.

That is how a farm gets new code and new settings without an end: the process stays the
same one, with its children, its listening sockets, the queue of idle connections and
its locks. Only its program is another. All that is told to the new program goes by a
file in memory, of which the environment says the descriptor; descriptors go by their
numbers.

First the new program is tried: started beside, with the same command line, it does no
more than to read the settings and to look whether it could serve with them. What breaks
between that and its own start ends nothing (`luafarm.again`).
"""

# Impure.

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from luafarm import again
from luafarm.config.settings import Settings
from luafarm.process.sockets import Kept

_TRIAL: Final = "LUAFARM_TRIAL"
"""Of the environment of a trial: the descriptor of what would be left."""

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
    source: int = -1  # descriptor from which it was taken

    def descriptors(self) -> list[int]:
        """Return all that have to stay open."""
        found = [*self.claims.values(), *(self.handover or ())]
        found += [listener.fd for listener in self.listeners]
        return found + [role.pulse for role in self.roles]


def take() -> Inheritance | None:
    """Return what was left to this process; None: nothing. `settle` must follow."""
    number = os.environ.pop(_TRIAL, "") or os.environ.get(again.VARIABLE, "")
    if not number:
        return None
    fd = int(number)
    # not by its position: this may be read again
    text = os.pread(fd, os.fstat(fd).st_size, 0)
    found = msgspec.json.decode(text, type=Inheritance)
    return msgspec.structs.replace(found, source=fd)


def settle(inheritance: Inheritance) -> None:
    """Note that all is taken: no program that follows needs it once more."""
    again.done()
    os.close(inheritance.source)
    for fd in inheritance.descriptors():
        with contextlib.suppress(OSError):  # it is closed, as nothing is for it now
            os.set_inheritable(fd, False)


@contextlib.contextmanager
def environment(inheritance: Inheritance) -> Iterator[dict[str, str]]:
    """Give the environment of a program that takes this. Raise OSError."""
    fd = os.memfd_create("luafarm", 0)  # it lives on in what is executed
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(msgspec.json.encode(inheritance))
        name = _TRIAL if inheritance.is_trial else again.VARIABLE
        yield {**os.environ, name: str(fd)}
    finally:
        os.close(fd)


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
        program = again.command()
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        if not is_wanted():
            return
        with environment(inheritance) as variables:
            os.execve(program[0], program, {**variables, **more})  # noqa: S606
    finally:  # it goes on as it is
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
        for fd in descriptors:
            os.set_inheritable(fd, False)
