"""Zygotes and the hosts they fork, without the machine that decides about them."""

import contextlib
import os
import resource
import select
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from luafarm.config.settings import Compat
from luafarm.names import HostId, Machine
from tests.vmhost.supervisor.supervised import is_alive, needs_root, send, until
from tests.vmhost.supervisor.test_machine import pool
from vmhost.supervisor import events
from vmhost.supervisor.actions import Fork
from vmhost.supervisor.events import Event
from vmhost.supervisor.processes import Processes
from vmhost.supervisor.provision import HostBasis, new_host_id
from vmhost.zygote import FORKS_A_LAYOUT

pytestmark = pytest.mark.process

PLAN = pool("main", 4, trusted=True)  # the quickest to start


class Watched:
    """A supervisor's processes and what has happened to them."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.happened: list[Event] = []
        self.orders = 0

    def wait(self, kind: type[Event], host: HostId | None = None) -> Event:
        """Return the first event of a kind, of a host if one is named."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            for event in self.happened:
                of = getattr(event, "host", None)
                if isinstance(event, kind) and host in {None, of}:
                    self.happened.remove(event)
                    return event
            for fd in select.select(self.processes.fds(), [], [], 0.02)[0]:
                self.happened += self.processes.read(fd)
            self.happened += self.processes.reap()
        raise AssertionError(f"no {kind.__name__} of {host} in {self.happened}")

    def order(self) -> HostId:
        self.orders += 1
        host = new_host_id(Machine("m"), PLAN.pool, 1)
        self.happened += self.processes.fork(Fork(host, PLAN, 1, self.orders % 64))
        return host

    def serve(self) -> HostId:
        host = self.order()
        self.wait(events.Ready, host)
        return host

    def end(self, host: HostId) -> events.Exited:
        self.processes.kill(host)
        ended = self.wait(events.Exited, host)
        assert isinstance(ended, events.Exited)
        return ended


@pytest.fixture
def run() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lf") as name:
        for part in ("h", "empty"):
            (Path(name) / part).mkdir()
        yield Path(name)


def basis(run: Path, zygote: str = "tests.vmhost.supervisor.fakehost") -> HostBasis:
    return HostBasis(
        machine=Machine("m"),
        run=run,
        endpoint="",
        notices="",
        notices_key=b"",
        max_states=100,
        compat=Compat(),
        uids=range(61200, 61300) if os.geteuid() == 0 else None,
        badges=(),
        zygote=zygote,
    )


@pytest.fixture
def held(run: Path) -> Iterator[Watched]:
    before = signal.getsignal(signal.SIGCHLD)
    others = children()  # farms that other tests keep
    processes = Processes(basis(run), (PLAN,))
    found = Watched(processes)
    assert processes.start_zygote() == []
    found.wait(events.ZygoteWarm)
    yield found
    processes.close()
    assert signal.getsignal(signal.SIGCHLD) is before
    until(lambda: processes.reap() == [] and children() <= others, "no child is left")


def children() -> set[str]:
    """Return the pids of the children of this process."""
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return set(own.read_text().split())


def test_a_host_that_ends_before_the_zygote_answers_is_not_forgotten(
    held: Watched,
) -> None:
    host = held.order()
    # the answer waits in the channel while the host starts, is killed and reaped
    pid = until(lambda: grandchild(), "a host")
    send(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid), "its end")
    assert held.processes.reap() == []
    held.wait(events.Forked, host)
    held.wait(events.Exited, host)


def grandchild() -> int | None:
    """Return the pid of a child of this process that is a host."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text().rpartition(")")[2].split()
            name = (path / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat[1]) == os.getpid() and name.startswith(b"luafarm-vmhost"):
            return int(path.name)
    return None


def test_a_host_that_reports_before_the_zygote_answers_is_forked_first(
    held: Watched,
) -> None:
    host = held.order()
    report_fd = held.processes.child(host).report_fd
    assert select.select([report_fd], [], [], 20)[0], "no report"
    assert report_fd not in held.processes.fds()
    held.wait(events.Ready, host)
    kinds = [type(event) for event in held.happened]
    assert kinds == [events.Forked, events.Sealed]


def test_an_exit_tells_code_and_signal(held: Watched) -> None:
    assert held.end(held.serve()).code == -signal.SIGKILL
    host = held.serve()
    held.processes.drain(host)
    ended = held.wait(events.Exited, host)
    assert isinstance(ended, events.Exited)
    assert ended.code == 0


def test_signals_to_hosts_that_are_gone_reach_nobody(held: Watched) -> None:
    host = held.serve()
    held.end(host)
    held.processes.kill(host)
    held.processes.drain(HostId("nobody"))


def test_the_socket_of_a_host_goes_with_it(held: Watched, run: Path) -> None:
    host = held.serve()
    assert len(list((run / "h").iterdir())) == 1
    held.end(host)
    assert list((run / "h").iterdir()) == []


def test_a_zygote_that_ends_fails_its_orders_first(held: Watched) -> None:
    held.processes.kill_zygote()
    held.wait(events.ZygoteEnded)
    assert held.processes.start_zygote() == []
    # not warm yet: the order waits in the channel of a process that is killed
    host = held.order()
    held.processes.kill_zygote()
    held.wait(events.ForkFailed, host)
    ended = held.wait(events.ZygoteEnded)
    assert ended == events.ZygoteEnded("killed by SIGKILL")


def test_an_order_that_cannot_be_given_fails_and_leaves_nothing(
    held: Watched, run: Path
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    (run / "h").rename(run / "gone")
    host = held.order()
    held.wait(events.ForkFailed, host)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    (run / "gone").rename(run / "h")
    held.end(held.serve())


def test_a_zygote_that_cannot_be_started_is_an_event(run: Path) -> None:
    found = Watched(Processes(basis(run, "tests.vmhost.supervisor.nothing"), (PLAN,)))
    assert found.processes.start_zygote() == []
    assert found.wait(events.ZygoteEnded) == events.ZygoteEnded("exit code 1")
    found.processes.close()


def test_a_zygote_for_which_no_descriptor_is_left_is_an_event(run: Path) -> None:
    processes = Processes(basis(run), (PLAN,))
    with opening_nothing(os.getpid()):
        assert processes.start_zygote() == [
            events.ZygoteEnded("not started: Too many open files")
        ]
    processes.close()


def test_a_zygote_that_gets_no_descriptors_fails_that_order_alone(
    held: Watched, run: Path
) -> None:
    [zygote] = [int(pid) for pid in children() if b"zygote" in command_of(pid)]
    with opening_nothing(zygote):
        host = held.order()
        assert held.wait(events.ForkFailed, host) == events.ForkFailed(
            host, "zygote: Too many open files"
        )
    assert list((run / "h").iterdir()) == []
    held.end(held.serve())
    assert not any(isinstance(e, events.ZygoteEnded) for e in held.happened)


def command_of(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@contextlib.contextmanager
def opening_nothing(pid: int) -> Iterator[None]:
    """Let a process open no descriptor."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@needs_root
def test_a_zygote_renews_its_address_layout_under_its_pid(held: Watched) -> None:
    first = held.serve()
    layout = code_address(held.processes.child(first).pid)
    second = held.serve()
    assert code_address(held.processes.child(second).pid) == layout
    for _ in range(FORKS_A_LAYOUT - 2):
        host = held.order()
        held.wait(events.Forked, host)
        held.end(host)
    held.wait(events.ZygoteWarm)  # the same process, executed again
    third = held.serve()
    assert code_address(held.processes.child(third).pid) != layout
    assert not any(isinstance(e, events.ZygoteEnded) for e in held.happened)


def code_address(pid: int) -> str:
    """Return where libzmq lies in a process."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if "libzmq" in line:
            return line.partition("-")[0]
    raise AssertionError("no libzmq")
