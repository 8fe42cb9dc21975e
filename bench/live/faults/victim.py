"""A server as faults reach it: its processes by what they do, its signals, its end."""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from bench import procfs
from bench.daemon import Daemon

STOP_S: Final = 15.0  # who has not ended by then does not stop
_LEFT_S: Final = 3.0  # in which processes may end, or come back
_POLL_S: Final = 0.05
_STOPPED: Final = "T"


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Which processes a server has and which signals it knows."""

    titles: dict[str, str] = field(default_factory=dict)  # by role, how they begin
    has_children: bool = True  # its workers, if no titles tell them
    reload: signal.Signals | None = None
    stop: signal.Signals = signal.SIGTERM
    stops: bool = True  # whether that ends it, when nothing was done to it
    memory_bytes: int = 0  # address space that is left to it; 0: it has limits itself

    def workers(self, wanted: int) -> int:
        """Return how many processes so many workers are."""
        return wanted if self.titles or self.has_children else 1


WORKER: Final = "worker"
FRONT: Final = "front"
BROKER: Final = "broker"
SUPERVISOR: Final = "supervisor"


class Victim:
    """A running server."""

    def __init__(self, daemon: Daemon, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self._daemon = daemon
        self._sessions: list[int] = []
        self._take()

    @property
    def pid(self) -> int:
        """Its first process: the one that somebody has started."""
        return self._daemon.pid

    def of(self, role: str) -> list[int]:
        """Return the processes of a role."""
        if self.anatomy.titles:
            title = self.anatomy.titles[role]
            return [p for p in self._all() if procfs.title(p).startswith(title)]
        if not self.anatomy.has_children:
            return self._all()
        return [pid for pid in self._all() if pid != self.pid]

    def able(self, role: str) -> list[int]:
        """Return those of them that do not hang."""
        return [pid for pid in self.of(role) if procfs.state(pid) != _STOPPED]

    def able_soon(self, workers: int) -> int:
        """Count the workers that do not hang, when there was time to replace some."""
        _until(lambda: len(self.able(WORKER)) >= workers, _LEFT_S)
        return len(self.able(WORKER))

    def kill(self, pid: int) -> None:
        """End a process at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._reap()

    @staticmethod
    def hang(pid: int) -> None:
        """Stop a process; nothing lets it go on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)

    def reload(self) -> None:
        """Have it renew all its processes."""
        assert self.anatomy.reload is not None
        self._daemon.process.send_signal(self.anatomy.reload)

    def stop(self) -> bool:
        """End it in good order; return whether it has ended."""
        if self._daemon.process.poll() is None:
            self._daemon.process.send_signal(self.anatomy.stop)
        return _until(lambda: self._daemon.process.poll() is not None, STOP_S)

    def start(self) -> None:
        """Start it once more."""
        self._daemon.start()
        self._take()

    def left(self) -> list[int]:
        """Return what is left of it, once its first process has ended."""
        _until(lambda: not self._all(), _LEFT_S)
        return self._all()

    def close(self) -> None:
        """End all that is left."""
        for pid in self._all():
            self.kill(pid)

    def _take(self) -> None:
        self._sessions.append(self.pid)
        if bound := self.anatomy.memory_bytes:
            resource.prlimit(self.pid, resource.RLIMIT_AS, (bound, bound))

    def _all(self) -> list[int]:
        self._reap()
        found = [procfs.session(session) for session in self._sessions]
        return sorted(set().union(*found))

    def _reap(self) -> None:
        self._daemon.process.poll()  # else it stays a zombie


def _until(claim: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
