"""The life of the roles that one command starts: order, restarts, the way to the end.

A role that dies is started again after a pause that doubles while it keeps dying; one
that says its configuration is wrong (exit code 2) ends the farm, and so does one that
dies again and again before the farm was ever ready. At the end the roles stop in the
order in which requests come in: the front finishes what it accepted while the VM hosts
still run; the broker goes last.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

STOP_ORDER: Final = ("fcgi", "vmhost", "broker")

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
STEADY_S: Final = 10.0
"""A role that lived so long is healthy: its next death counts as the first."""

GIVE_UP: Final = 5
"""Deaths in a row before the farm was ready: it will not get better by itself."""

WRONG_SETTINGS: Final = 2  # exit code of a role that cannot start


@dataclass(frozen=True, slots=True)
class Start:
    """Start this role."""

    role: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask this role to finish its work and end."""

    role: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End this role now."""

    role: str


@dataclass(frozen=True, slots=True)
class End:
    """All roles have ended: end with this exit code."""

    code: int


Action = Start | Stop | Kill | End


class _State(Enum):
    RUNNING = 1
    PAUSED = 2
    STOPPING = 3
    ENDED = 4


class _Role:
    """One role. `since` is when it entered its state, `due` when it must leave it."""

    def __init__(self, now: float) -> None:
        self.state = _State.RUNNING
        self.since = now
        self.due = 0.0
        self.deaths = 0


class Roles:
    """Decides what to start, stop and kill. Times are monotonic seconds."""

    def __init__(self, names: tuple[str, ...], patience_s: float) -> None:
        self._names = names
        self._patience_s = patience_s  # how long a role may take to stop
        self._roles: dict[str, _Role] = {}
        self._code = 0
        self._is_ready = False
        self._is_stopping = False
        self._has_ended = False

    @property
    def is_stopping(self) -> bool:
        """Whether the way to the end has begun."""
        return self._is_stopping

    def begin(self, now: float) -> list[Action]:
        """Start everything."""
        self._roles = {name: _Role(now) for name in self._names}
        return [Start(name) for name in self._names]

    def ready(self) -> None:
        """Note that the farm has served: from now on no death ends it."""
        self._is_ready = True

    def exited(self, name: str, code: int, now: float) -> list[Action]:
        """Decide what follows when a role ended; code: negative for a signal."""
        role = self._roles[name]
        if self._is_stopping:
            role.state = _State.ENDED
            return self._go_on_stopping(now)
        if code == WRONG_SETTINGS:
            role.state = _State.ENDED
            return self._stop_with(WRONG_SETTINGS, now)
        role.deaths = 1 if now - role.since >= STEADY_S else role.deaths + 1
        if role.deaths >= GIVE_UP and not self._is_ready:
            role.state = _State.ENDED
            return self._stop_with(1, now)
        role.state = _State.PAUSED
        role.due = now + self.pause_s(name)
        return []

    def pause_s(self, name: str) -> float:
        """Return how long this role waits before its next start."""
        doublings = min(self._roles[name].deaths - 1, 10)
        return min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)

    def stop(self, now: float) -> list[Action]:
        """Begin the end; called again: end at once."""
        if not self._is_stopping:
            return self._stop_with(0, now)
        kills: list[Action] = [
            Kill(name)
            for name, role in self._roles.items()
            if role.state in {_State.RUNNING, _State.STOPPING}
        ]
        return kills

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        actions: list[Action] = []
        for name, role in self._roles.items():
            if role.state is _State.PAUSED and now >= role.due:
                role.state, role.since = _State.RUNNING, now
                actions.append(Start(name))
            elif role.state is _State.STOPPING and now >= role.due:
                role.due = now + self._patience_s
                actions.append(Kill(name))
        return actions

    def next_due(self) -> float | None:
        """Return when `tick` has something to do next."""
        waiting = {_State.PAUSED, _State.STOPPING}
        dues = [role.due for role in self._roles.values() if role.state in waiting]
        return min(dues, default=None)

    def _stop_with(self, code: int, now: float) -> list[Action]:
        self._is_stopping = True
        self._code = code
        for role in self._roles.values():
            if role.state is _State.PAUSED:
                role.state = _State.ENDED
        return self._go_on_stopping(now)

    def _go_on_stopping(self, now: float) -> list[Action]:
        for name in STOP_ORDER:
            role = self._roles.get(name)
            if role is None or role.state is _State.ENDED:
                continue
            if role.state is _State.STOPPING:
                return []
            role.state = _State.STOPPING
            role.due = now + self._patience_s
            return [Stop(name)]
        if self._has_ended:
            return []
        self._has_ended = True
        return [End(self._code)]
