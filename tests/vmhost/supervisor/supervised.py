"""A real supervisor with fake hosts, and the broker and the fronts it speaks to."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest
import zmq

from luafarm.keys import curve
from luafarm.names import Machine
from luafarm.process import children
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Hello,
    HostLost,
    HostUp,
    Message,
    Role,
    Welcome,
)

PATIENCE_S = 120.0
MACHINE = Machine("box")
NOBODY = 65534
FAKE = "tests.vmhost.supervisor.fakehost"

T = TypeVar("T")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def until(question: Callable[[], T | None], what: str, log: Path | None = None) -> T:
    """Ask until there is an answer that is true; fail when there is none in time."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.01)
    story = "" if log is None else log.read_text()
    raise AssertionError(f"not within {PATIENCE_S:g} s: {what}\n{story}")


def is_alive(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def children_of(pid: int) -> list[int]:
    """Return the pids of the living children of a process."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(line) for line in found.stdout.split() if is_alive(int(line))]


def title(pid: int) -> str:
    """Return a process's title as `ps` shows it."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


@cache
def python_for_all() -> str:
    """Return a Python that uid 65534 can run with our packages; skip without one."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for candidate in (sys.executable, shutil.which(version, path="/usr/bin:/bin")):
        if candidate is None:
            continue
        with contextlib.suppress(PermissionError):
            tried = subprocess.run(
                [
                    candidate,
                    "-c",
                    "import zmq, lupa.luajit21, msgpack, msgspec, setproctitle",
                ],
                env=environment(),
                user=None if os.geteuid() else NOBODY,
                capture_output=True,
                check=False,
                cwd="/",
            )
            if tried.returncode == 0:
                return candidate
    pytest.skip("no Python that an ordinary user can run")


def environment() -> dict[str, str]:
    """Return the environment in which any Python finds luafarm and its packages."""
    packages = Path(zmq.__file__).parent.parent
    base = {**os.environ, "PYTHONPATH": str(packages)}
    return children.environment(base)


class Supervised:
    """A running supervisor as seen by its broker, which this is."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", run: Path, log: Path
    ) -> None:
        self.process = process
        self.run = run
        self.keys = run.parent / "keys"
        self.log = log
        self.heard: list[Message] = []
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.peer = b""
        self.router = self.bind()

    # ---- the broker's side -------------------------------------------------------

    def bind(self) -> "zmq.Socket[bytes]":
        """Be a broker."""
        path = self.run / "broker.sock"
        path.unlink(missing_ok=True)
        router: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        router.linger = 0
        router.bind(f"ipc://{path}")
        path.chmod(0o666)
        return router

    def hear(self) -> None:
        """Take what the supervisor has sent; welcome it."""
        while self.router.poll(0):
            self.peer, frame = self.router.recv_multipart()
            message = codec.decode(frame)
            self.heard.append(message)
            if isinstance(message, Hello):
                assert message.role is Role.SUPERVISOR
                self.send(Welcome(PROTOCOL, Role.BROKER, "broker", 1))

    def send(self, message: Message) -> None:
        """Send a message to the supervisor."""
        self.router.send_multipart([self.peer, codec.encode(message)])

    def all_of(self, kind: type[T]) -> list[T]:
        """Return the messages of one kind so far."""
        self.hear()
        return [message for message in self.heard if isinstance(message, kind)]

    def up(self) -> list[HostUp]:
        """Return the hosts that are up now."""
        lost = {message.host for message in self.all_of(HostLost)}
        return [
            message
            for message in {m.host: m for m in self.all_of(HostUp)}.values()
            if message.host not in lost
        ]

    def wait_up(self, count: int) -> list[HostUp]:
        """Wait until this many hosts are up; return them."""

        def enough() -> list[HostUp] | None:
            self.fail_if_ended()
            found = self.up()
            return found if len(found) == count else None

        return until(enough, f"{count} hosts up", self.log)

    def wait_lost(self, up: HostUp) -> HostLost:
        """Wait until a host is lost; return what was said of it."""

        def found() -> HostLost | None:
            return next((m for m in self.all_of(HostLost) if m.host == up.host), None)

        return until(found, f"{up.host} lost", self.log)

    # ---- a host's peers ----------------------------------------------------------

    def tell(self, up: HostUp, *words: str) -> None:
        """Give a fake host a command that it will not answer."""
        self.ask(up, *words, wait=False)

    def ask(self, up: HostUp, *words: str, wait: bool = True) -> str:
        """Give a fake host a command; return its answer, "" when it died."""
        dealer: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        try:
            dealer.linger = 1000
            if up.server_key:
                front = curve.load(self.keys, "fcgi", MACHINE).own
                curve.connect(dealer, front, up.server_key)
            dealer.connect(up.endpoint)
            dealer.send("\0".join(words).encode())
            end = time.monotonic() + PATIENCE_S
            while wait and time.monotonic() < end:
                if dealer.poll(20):
                    return dealer.recv().decode()
                if not is_alive(up.pid) and not dealer.poll(0):
                    return ""
            assert not wait, f"{up.host} does not answer {words}"
            return ""
        finally:
            dealer.close()

    # ---- processes ---------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The supervisor's pid."""
        return self.process.pid

    def zygote(self) -> int:
        """Return the pid of the zygote."""

        def find() -> int | None:
            for pid in children_of(self.pid):
                if title(pid) == "luafarm-zygote":
                    return pid
            return None

        return until(find, "a zygote")

    def fail_if_ended(self) -> None:
        """Fail with the log when the supervisor has ended."""
        code = self.process.poll()
        assert code is None, f"ended with {code}\n{self.log.read_text()}"

    def wait_end(self) -> int:
        """Wait for the supervisor's end; return its exit code."""
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end\n{self.log.read_text()}") from None

    def close(self) -> None:
        """End everything, whatever state it is in."""
        family = [*children_of(self.pid), self.pid]
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.router.close()
        self.context.term()
        until(lambda: not any(map(is_alive, family)), "the family to end")


WITH_KEYS = 'endpoint = "tcp://127.0.0.1:*"\n[security]\nkeys = "keys"'
"""Lines of `[vmhost]`, for a supervisor whose hosts serve with keys."""


def configuration(
    run: Path, pools: dict[str, str], vmhost: str = "", others: str = ""
) -> str:
    """Return a configuration file; the texts are lines of TOML."""
    text = f'[paths]\nrun = "{run}"\n[log]\nlevel = "debug"\n'
    text += f'[vmhost]\nmachine = "{MACHINE}"\n{vmhost}\n{others}\n'
    for name, lines in pools.items():
        root = run.parent / f"scripts-{name}"
        root.mkdir()
        text += f'[pool.{name}]\nroot = ["{root}"]\n{lines}\n'
    return text


@contextmanager
def supervised(
    pools: dict[str, str],
    vmhost: str = "",
    others: str = "",
    *,
    as_nobody: bool = False,
    owner: int | None = None,
    command: tuple[str, ...] = ("tests.vmhost.supervisor.runsupervisor", FAKE),
) -> Iterator[Supervised]:
    """Run a supervisor, of fake hosts unless the command says otherwise.

    as_nobody: by uid 65534 if this is root. owner: of the run directory; the Python is
    one that any user can run then. command: module and first arguments.
    """
    with tempfile.TemporaryDirectory(prefix="lf", ignore_cleanup_errors=True) as name:
        home = Path(name)
        home.chmod(0o755)
        run = home / "run"
        run.mkdir(mode=0o700)
        (run / "h").mkdir(mode=0o700)
        uid = NOBODY if as_nobody and os.geteuid() == 0 else None
        python = sys.executable
        if uid is not None or owner is not None:
            for directory in (run, run / "h"):
                os.chown(directory, uid or owner or 0, -1)
            python = python_for_all()
        config = home / "luafarm.toml"
        config.write_text(configuration(run, pools, vmhost, others))
        curve.keygen(home / "keys")
        log = home / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [python, "-P", "-m", *command, "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=environment(),
                cwd="/",
                user=uid,
                group=uid,
                extra_groups=None if uid is None else [],
            )
        running = Supervised(process, run, log)
        try:
            yield running
        finally:
            running.close()


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that a test knows."""
    os.kill(pid, number)
