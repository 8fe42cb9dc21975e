"""The life of the roles that one command starts: order, restarts, renewal, the end.

A role that dies is started again after a pause that doubles while it keeps dying. Until
the farm has been ready, one that says its configuration is wrong (exit code 2) ends the
farm, and so does one that dies again and again. At the end the roles stop in stages, in
the order in which requests come in: the fronts finish what they accepted while the VM
hosts still run; the broker goes last.

Renewal replaces roles one after the other without a gap: a fresh child is started; once
it serves, the old one retires, which means that it finishes what it has begun and ends.
If the fresh one does not come to serve, the old one goes on and the renewal is over.
An old one that dies meanwhile leaves its place vacant until the fresh one serves; if
that one fails as well, the role is started again like any that died.

The parent may have executed itself again: then its children live already and are
adopted, each with the place that it had.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from types import MappingProxyType
from typing import Final

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
STEADY_S: Final = 10.0
"""A role that lived this long is healthy: its next death counts as the first."""

GIVE_UP: Final = 5
"""Deaths in a row before the farm was ready: it will not get better by itself."""

FRESH_S: Final = 40.0
"""A fresh child that does not serve by then is given up."""

WRONG_SETTINGS: Final = 2  # exit code of a role that cannot start


@dataclass(frozen=True, slots=True)
class Start:
    """Start a process for this role; `child` is its number from now on."""

    role: str
    child: int


@dataclass(frozen=True, slots=True)
class Retire:
    """Ask this child to leave its place to another that serves already."""

    child: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask this child to finish its work and end."""

    child: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End this child now."""

    child: int


@dataclass(frozen=True, slots=True)
class End:
    """All children have ended: end with this exit code."""

    code: int


Action = Start | Retire | Stop | Kill | End


class _State(Enum):
    RUNNING = 1
    PAUSED = 2
    STOPPING = 3
    ENDED = 4
    VACANT = 5  # its holder has ended early: the fresh child is to come


class _Role:
    """One role. `since` is when it entered its state, `due` when it must leave it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = _State.ENDED
        self.since = 0.0
        self.due = 0.0
        self.deaths = 0
        self.child = 0  # the one that holds the place, where the state has one
        self.fresh = 0  # the one that is to take the place; 0: none
        #: all and only children besides `child`, and when each is killed
        self.others: dict[int, float] = {}

    @property
    def is_over(self) -> bool:
        return self.state is _State.ENDED and not self.others


class Roles:
    """Decides what to start, stop and kill. Times are monotonic seconds."""

    def __init__(
        self,
        stages: Sequence[Sequence[str]],
        patience_s: float,
        retire_s: Mapping[str, float] = MappingProxyType({}),
        fresh_s: float = FRESH_S,
    ) -> None:
        """retire_s: how long a child may take to retire, where not `patience_s`."""
        self._stages = stages  # in the order in which they stop
        self._patience_s = patience_s  # how long a child may take to stop
        self._retire_s = retire_s
        self._fresh_s = fresh_s
        self._roles = {n: _Role(n) for stage in reversed(stages) for n in stage}
        self._owners: dict[int, _Role] = {}  # by child, all that live
        self._renewing: list[str] = []  # whose turn is still to come
        #: what was to be renewed and is not, or not yet
        self.unrenewed: list[str] = []
        self._children = 0
        self._code = 0
        self._is_ready = False
        self._is_stopping = False
        self._stage = 0  # the one that stops; those before it are over
        self._stage_begun = False
        self._has_ended = False

    @property
    def names(self) -> list[str]:
        """All roles, in the order in which they are started."""
        return list(self._roles)

    @property
    def is_stopping(self) -> bool:
        """Whether the way to the end has begun."""
        return self._is_stopping

    @property
    def is_renewing(self) -> bool:
        """Whether children are still to be replaced by fresh ones."""
        return bool(self._renewing) or any(r.fresh for r in self._roles.values())

    def adopt(self, name: str, now: float) -> int:
        """Return a number for a child that holds the place of a role already.

        To be called before `begin`.
        """
        role = self._roles[name]
        role.child = self._new_child(role)
        role.state, role.since = _State.RUNNING, now
        return role.child

    def adopt_retired(self, name: str, by: float, now: float) -> int:
        """Return a number for a child that has left its place, and finishes.

        by: what `retires_by` was; 0: it leaves its place now, or may take long.
        """
        role = self._roles[name]
        child = self._new_child(role)
        role.others[child] = by or self._retired_until(role, now)
        return child

    def retires_by(self, child: int) -> float:
        """Return when a child is killed that has left its place; 0: never."""
        role = self._owners.get(child)
        due = 0.0 if role is None else role.others.get(child, 0.0)
        return 0.0 if due == inf else due

    def begin(self, now: float) -> list[Action]:
        """Start everything that does not run yet."""
        absent = [r for r in self._roles.values() if r.state is _State.ENDED]
        return [self._start(role, now) for role in absent]

    def ready(self) -> None:
        """Note that the farm has served: from now on no death ends it."""
        self._is_ready = True

    def is_current(self, child: int) -> bool:
        """Return whether a child holds the place of its role."""
        role = self._owners.get(child)
        return role is not None and child not in role.others

    def is_held(self, name: str) -> bool:
        """Return whether a child holds the place of this role."""
        return self._roles[name].state in {_State.RUNNING, _State.STOPPING}

    def is_vacant(self, name: str) -> bool:
        """Return whether a fresh child is to come where the old one has ended."""
        return self._roles[name].state is _State.VACANT

    def is_fresh(self, child: int) -> bool:
        """Return whether a child is to take the place of another."""
        role = self._owners.get(child)
        return role is not None and child == role.fresh

    # ---- renewal -------------------------------------------------------------------

    def renew(self, names: Sequence[str], now: float) -> list[Action]:
        """Replace the children of these roles, one after the other."""
        if self._is_stopping:
            return []
        waits = set(self._renewing)
        self._renewing += [name for name in names if name not in waits]
        self.unrenewed = list(self._renewing)
        return self._renew_next(now)

    def serves(self, child: int, now: float) -> list[Action]:
        """Take note that a child serves: a fresh one takes its place."""
        role = self._owners.get(child)
        if role is None or role.fresh != child or self._is_stopping:
            return []
        old = role.child
        is_vacant = role.state is _State.VACANT
        self._promote(role, now)
        if is_vacant:
            return self._renew_next(now)
        role.others[old] = self._retired_until(role, now)
        return [Retire(old), *self._renew_next(now)]

    def fails(self, child: int, now: float) -> list[Action]:
        """Take note that a fresh child knows too little; the old one goes on.

        Where there is none any more, the fresh one is better than nobody.
        """
        role = self._owners.get(child)
        if role is None or role.fresh != child:
            return []
        self._renewing = []  # the next one would fail as well
        if role.state is _State.VACANT:
            self._promote(role, now)
            return []
        role.fresh = 0
        return [Kill(child)]

    # ---- what happens --------------------------------------------------------------

    def exited(self, child: int, code: int, now: float) -> list[Action]:
        """Decide what follows when a child ended; code: negative for a signal."""
        role = self._owners.pop(child)
        if role.others.pop(child, None) is not None:
            return self._other_exited(role, child, code, now)
        if self._is_stopping:
            role.state = _State.ENDED
            return self._go_on_stopping(now)
        if role.fresh:
            role.state, role.since = _State.VACANT, now
            return []
        return self._died(role, code, now)

    def _other_exited(
        self, role: _Role, child: int, code: int, now: float
    ) -> list[Action]:
        if self._is_stopping:
            return self._go_on_stopping(now)
        if role.fresh != child:
            return []
        role.fresh = 0
        self._renewing = []  # the next one would fail as well
        return self._died(role, code, now) if role.state is _State.VACANT else []

    def _died(self, role: _Role, code: int, now: float) -> list[Action]:
        """Start a role again that nobody holds any more, or end."""
        if code == WRONG_SETTINGS and not self._is_ready:
            role.state = _State.ENDED
            return self._stop_with(WRONG_SETTINGS, now)
        role.deaths = 1 if now - role.since >= STEADY_S else role.deaths + 1
        if role.deaths >= GIVE_UP and not self._is_ready:
            role.state = _State.ENDED
            return self._stop_with(1, now)
        role.state = _State.PAUSED
        role.due = now + self.pause_s(role.name)
        return []

    def pause_s(self, name: str) -> float:
        """Return how long this role waits before its next start."""
        doublings = min(self._roles[name].deaths - 1, 10)
        return min(FIRST_PAUSE_S * 2.0**doublings, LONGEST_PAUSE_S)

    def stop(self, now: float) -> list[Action]:
        """Begin the end; called again: end at once."""
        if not self._is_stopping:
            return self._stop_with(0, now)
        return [Kill(child) for child in self._owners]

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        actions: list[Action] = []
        for role in self._roles.values():
            if role.state is _State.PAUSED and now >= role.due:
                actions.append(self._start(role, now))
            elif role.state is _State.STOPPING and now >= role.due:
                role.due = now + self._patience_s
                actions.append(Kill(role.child))
            for child, due in role.others.items():
                if now >= due:
                    role.others[child] = now + self._patience_s
                    actions.append(Kill(child))
        return actions

    def woke(self, gap_s: float) -> None:
        """Give all that have to end by some time that in which this did not run."""
        for role in self._roles.values():
            if role.state is _State.STOPPING:
                role.due += gap_s
            for child in role.others:
                role.others[child] += gap_s

    def next_due(self) -> float | None:
        """Return when `tick` has something to do next."""
        waiting = {_State.PAUSED, _State.STOPPING}
        dues = [role.due for role in self._roles.values() if role.state in waiting]
        for role in self._roles.values():
            dues += role.others.values()
        return min(dues, default=None)

    # ---- inside --------------------------------------------------------------------

    def _new_child(self, role: _Role) -> int:
        self._children += 1
        self._owners[self._children] = role
        return self._children

    def _start(self, role: _Role, now: float) -> Start:
        role.state, role.since = _State.RUNNING, now
        role.child = self._new_child(role)
        return Start(role.name, role.child)

    def _retired_until(self, role: _Role, now: float) -> float:
        return now + self._retire_s.get(role.name, self._patience_s)

    def _promote(self, role: _Role, now: float) -> None:
        """Let the fresh child of a role hold its place."""
        if role.name in self.unrenewed:
            self.unrenewed.remove(role.name)
        del role.others[role.fresh]
        role.child, role.fresh = role.fresh, 0
        role.state, role.since, role.deaths = _State.RUNNING, now, 0

    def _renew_next(self, now: float) -> list[Action]:
        actions: list[Action] = []
        while self._renewing and not any(r.fresh for r in self._roles.values()):
            role = self._roles[self._renewing.pop(0)]
            if role.state is _State.PAUSED:
                self.unrenewed.remove(role.name)
                actions.append(self._start(role, now))
                continue
            role.fresh = self._new_child(role)
            role.others[role.fresh] = now + self._fresh_s
            actions.append(Start(role.name, role.fresh))
        return actions

    def _stop_with(self, code: int, now: float) -> list[Action]:
        self._is_stopping = True
        self._code = code
        self._renewing = []
        for role in self._roles.values():
            role.fresh = 0
            if role.state in {_State.PAUSED, _State.VACANT}:
                role.state = _State.ENDED
        return self._go_on_stopping(now)

    def _go_on_stopping(self, now: float) -> list[Action]:
        while self._stage < len(self._stages):
            actions: list[Action] = []
            roles = [self._roles[name] for name in self._stages[self._stage]]
            if not self._stage_begun:
                self._stage_begun = True
                for role in roles:
                    actions += self._stop_role(role, now)
            if not all(role.is_over for role in roles):
                return actions
            self._stage += 1
            self._stage_begun = False
        if self._has_ended:
            return []
        self._has_ended = True
        return [End(self._code)]

    def _stop_role(self, role: _Role, now: float) -> list[Action]:
        due = now + self._patience_s
        actions: list[Action] = []
        if role.state is _State.RUNNING:
            role.state = _State.STOPPING
            role.due = due
            actions.append(Stop(role.child))
        for child in role.others:
            role.others[child] = due
            actions.append(Stop(child))
        return actions
