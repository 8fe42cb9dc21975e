"""A server process in the foreground: started, awaited, and ended with all it started.

Used by the benchmark and by the tests with real web servers. Every daemon leads its own
session, so that nothing it forks outlives it unnoticed.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import procfs

POLL_S = 0.01
STOP_S = 60.0  # luafarm drains before it stops; nothing else needs a second
IS_ROOT = os.geteuid() == 0


class DaemonError(RuntimeError):
    """A daemon ended early or did not become ready; the message carries its log."""


class Daemon:
    """One running server process and its descendants; ``stop`` must be called."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        """Start ``command`` with both output streams appended to ``log``.

        stdin: a file descriptor for its standard input, such as a listening socket.
        """
        self.command = list(command)
        self.log = log
        self._environment = {**os.environ, **(environment or {})}
        self._stdin = stdin
        self.process = self._started()

    @property
    def pid(self) -> int:
        """The process id of the leader."""
        return self.process.pid

    def start(self) -> None:
        """Start it once more, after it has ended."""
        self.process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as output:
            return subprocess.Popen(
                self.command,
                stdin=self._stdin,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )

    def wait_until(
        self, claim: Callable[[], bool], what: str, seconds: float = 120.0
    ) -> None:
        """Return once ``claim()`` holds; raise DaemonError if it never will."""
        deadline = time.monotonic() + seconds
        while not claim():
            if self.process.poll() is not None:
                raise DaemonError(f"{self.story()}\nended before: {what}")
            if time.monotonic() > deadline:
                raise DaemonError(f"{self.story()}\nnot within {seconds} s: {what}")
            time.sleep(POLL_S)

    def story(self) -> str:
        """Return the command and the end of its log, for an error message."""
        tail = self.log.read_text(errors="replace")[-4000:]
        return f"$ {' '.join(self.command)}\n{tail}"

    def stop(self) -> None:
        """End the process politely, then whatever is left of its tree for certain."""
        family = {pid: procfs.start_ticks(pid) for pid in procfs.tree(self.pid)}
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        for pid, started in family.items():
            if procfs.start_ticks(pid) == started:  # a reused number is not ours
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for pid in procfs.session(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(STOP_S)


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[Daemon]:
    """Run a daemon that is stopped when the block is left."""
    daemon = Daemon(command, log, environment, stdin)
    try:
        yield daemon
    finally:
        daemon.stop()


def accepts(address: str | tuple[str, int]) -> bool:
    """Something listens on the UNIX socket path or (host, port)."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(address) == 0


def free_port() -> int:
    """Find a TCP port of the loopback interface that nobody listens on just now.

    It is none of those that the kernel gives to connections: of these, one that is free
    now may be taken when the caller binds it.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
