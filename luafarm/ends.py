"""How requests, states and VM hosts end: the words of messages, logs and status."""

from enum import StrEnum
from typing import Final


class Budget(StrEnum):
    """What a request, or the loading of a script, used too much of."""

    NONE = ""  # nothing
    CPU = "cpu"
    WALL = "wall"
    MEMORY = "memory"
    REPLY = "reply"
    STATES = "states"  # of a VM host, which holds as many as it may


TIME: Final = frozenset({Budget.CPU, Budget.WALL})
"""Budgets for which a request is answered 504."""

EXHAUSTING: Final = frozenset({Budget.CPU, Budget.WALL, Budget.MEMORY})
"""Budgets whose excess takes from others what they could use."""


class Death(StrEnum):
    """Why a VM host is no more."""

    WALL = "wall"  # a budget of the request that it ran
    CPU = "cpu"
    SECCOMP = "seccomp"  # a system call that no honest host makes
    ABORT = "abort"  # Lua ended the process: out of memory where nothing catches it
    CRASH = "crash"
    KILLED = "killed"  # by somebody else: the kernel out of memory, an operator
    STOPPED = "stopped"  # as asked
    SILENT = "silent"  # its loop stood still, or its whole machine
    PROTOCOL = "protocol"  # it, or a state in it, broke the protocol
    START = "start"  # it was not ready in time
    LACKING = "lacking"  # required layers of the sandbox do not hold
    FAILED = "failed"  # it gave up by itself, its story is on its standard error

    @property
    def budget(self) -> Budget:
        """The budget whose excess this was."""
        return _budget(self.value)


OUTSIDE: Final = frozenset({Death.KILLED, Death.STOPPED})
"""Ends of a VM host that come from outside the farm, unless it was told to end."""


class Closing(StrEnum):
    """Why a state is no more, or the order for one."""

    DROPPED = "dropped"  # as the broker asked
    REPLACED = "replaced"  # by a newer generation
    STOPPED = "stopped"  # with its VM host
    FRESH = ""  # after its one request
    BROKEN = "broken"  # it broke the protocol between Lua and its VM host
    CLOSED = "closed"
    CPU = "cpu"  # a budget
    WALL = "wall"
    MEMORY = "memory"
    REPLY = "reply"
    UNSENT = "unsent"  # the order was not sent: the broker cannot read the sources
    UNREAD = "unread"  # nor was this one: it could not read any file just then

    @property
    def budget(self) -> Budget:
        """The budget whose excess this was."""
        return _budget(self.value)


_BUDGETS: Final = {budget.value: budget for budget in Budget}
_CLOSINGS: Final = {closing.value: closing for closing in Closing}


def _budget(word: str) -> Budget:
    return _BUDGETS.get(word, Budget.NONE)


def budget(word: bytes) -> Budget:
    """Return the budget that a Lua state names, or NONE."""
    return _budget(word.decode("ascii", "replace"))


def closing(word: str) -> Closing:
    """Return why a state must close; BROKEN for what no honest one says."""
    return _CLOSINGS.get(word, Closing.BROKEN)
