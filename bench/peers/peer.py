"""What the benchmark asks of every peer."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.daemon import Daemon


@dataclass(frozen=True, slots=True)
class Room:
    """Where a peer runs: a directory of its own, and how much machine it may use."""

    directory: Path
    workers: int
    nginx_workers: int


@dataclass(frozen=True, slots=True)
class Served:
    """A peer that answers on a port, and the processes whose cost is counted."""

    port: int
    root: Path
    web: Daemon | None
    backend: Daemon | None


class Peer(Protocol):
    """One server and its way of running the scripts."""

    @property
    def name(self) -> str:
        """What the tables call it."""
        ...

    @property
    def about(self) -> str:
        """How it is run, for the foot of the tables."""
        ...

    @property
    def suffix(self) -> str:
        """How its scripts end."""
        ...

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        ...

    def serve(self, room: Room) -> AbstractContextManager[Served]:
        """Start it with the benchmark's scripts; it stops at the end of the block."""
        ...
