"""How each role is started as a child: its module, its arguments, what it inherits."""

# Impure.

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Final

from luafarm import incarnations
from luafarm.command.inheritance import Inheritance
from luafarm.command.neighbours import Neighbour, Neighbours
from luafarm.config.settings import Front
from luafarm.fronts import Fronts
from luafarm.process import children, pulse, rundir
from luafarm.process.sockets import Kept

BROKER: Final = "broker"
SUPERVISOR: Final = "vmhost"

_SWEEP_S: Final = 1.0  # after a supervisor: the kernel kills its hosts a moment later


class Starter:
    """Starts roles; knows which supervisors and brokers live side by side."""

    def __init__(
        self,
        run: Path,
        front: Front | None,
        arguments: Sequence[str],
        left: Inheritance | None,
    ) -> None:
        """run: the run directory. front: None: there are no fronts.

        arguments: --config and --set for the roles. left: by the last program of this
        process.
        """
        self._run = run
        self._sweep_at = 0.0
        self._arguments = list(arguments)
        self._fronts: Fronts | None = None
        if front is not None and left is not None:
            self._fronts = Fronts(front, left.listeners, left.handover)
        elif front is not None:
            self._fronts = Fronts(front)
        #: of the fronts
        self.names: tuple[str, ...] = ()
        if self._fronts is not None:
            self.names = self._fronts.names
        self._neighbours = Neighbours()
        self._brokers: set[int] = set()  # that live, by child

    def start(self, role: str, child: int) -> children.Watched:
        """Start a role, as a child with this number. Raise OSError."""
        if self._fronts is not None and role in self.names:
            return self._fronts.start(role, self._arguments)
        if role == SUPERVISOR:
            return self._start_supervisor(child)
        beside = ["--beside"] if self._brokers else []
        started = children.start_watched(role, [*self._arguments, *beside])
        self._brokers.add(child)
        return started

    def adopt(self, role: str, child: int, neighbour: Neighbour) -> None:
        """Take note of a child that the last program has started."""
        if role == SUPERVISOR:
            self._neighbours.comes(child, neighbour)
        elif role == BROKER:
            self._brokers.add(child)

    def hears(self, child: int, said: bytes) -> None:
        """Take note of what a child said by its pulse."""
        uids = pulse.uids_in(said)
        if uids:
            self._neighbours.takes(child, uids)

    def neighbour(self, child: int) -> Neighbour:
        """Return a supervisor; one without a number for another role."""
        return self._neighbours.of(child)

    def kept(self) -> tuple[tuple[Kept, ...], tuple[int, int] | None]:
        """Return listening sockets and handover, for the next program."""
        return ((), None) if self._fronts is None else self._fronts.kept()

    def close(self) -> None:
        """Listen no more; fronts that run go on with their connections."""
        if self._fronts is not None:
            self._fronts.close()

    def ended(self, child: int, now: float) -> None:
        """Take note of a child's end."""
        self._brokers.discard(child)
        if self._neighbours.goes(child):
            self._sweep_at = now + _SWEEP_S

    def tidy(self, now: float) -> None:
        """Remove what a supervisor that was killed has left of its VM hosts."""
        if now >= self._sweep_at:
            self._sweep_at = inf
            rundir.sweep(self._run)

    def _start_supervisor(self, child: int) -> children.Watched:
        incarnation = incarnations.fresh()
        turn = ["--incarnation", str(incarnation), *self._neighbours.arguments()]
        started = children.start_watched(SUPERVISOR, [*self._arguments, *turn])
        self._neighbours.comes(child, Neighbour(incarnation))
        return started
