"""What faults do to processes and connections."""

import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import processes
from tests.farm.farms import until

# Opens a file for each line that it reads, and says what became of it.
OPENS = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    try:
        open("/dev/null").close()
        print("opened", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", OPENS]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout
        # Before, it may still have files open that Python starts with.
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def what_opening_gives(child: "subprocess.Popen[bytes]") -> bytes:
    assert child.stdin
    assert child.stdout
    child.stdin.write(b"open\n")
    child.stdin.flush()
    return child.stdout.readline()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_process_hangs_while_it_is_stopped_and_goes_on_after(
    child: "subprocess.Popen[bytes]",
) -> None:
    with processes.stopped([child.pid]):
        until(lambda: processes.hangs(child.pid), "it hangs")
    until(lambda: state(child.pid) in "SR", "it goes on")


def test_a_process_that_is_gone_is_no_error(
    child: "subprocess.Popen[bytes]",
) -> None:
    assert processes.send(child.pid, signal.SIGKILL)
    child.wait()
    assert not processes.send(child.pid, signal.SIGKILL)
    assert processes.fds(child.pid) == []
    assert processes.resident_kib(child.pid) == 0
    assert processes.cut(child.pid, lambda own, peer: True) == 0
    assert not processes.hangs(child.pid)
    with processes.stopped([child.pid]):
        pass


def test_a_process_that_hangs_may_be_killed_meanwhile(
    child: "subprocess.Popen[bytes]",
) -> None:
    with processes.stopped([child.pid]):
        until(lambda: processes.hangs(child.pid), "it hangs")
        assert processes.send(child.pid, signal.SIGKILL)
        child.wait()
        assert not processes.hangs(child.pid)


def test_a_process_can_open_nothing_more_and_gets_its_limit_back(
    child: "subprocess.Popen[bytes]",
) -> None:
    before = resource.prlimit(child.pid, resource.RLIMIT_NOFILE)
    with processes.without_descriptors(child.pid):
        assert what_opening_gives(child) == b"Too many open files\n"
    assert what_opening_gives(child) == b"opened\n"
    assert resource.prlimit(child.pid, resource.RLIMIT_NOFILE) == before


def test_processes_of_another_session_are_not_found(
    child: "subprocess.Popen[bytes]",
) -> None:
    assert processes.titled(child.pid, sys.executable) == [child.pid]
    assert processes.titled(os.getpid(), sys.executable) == []
    assert processes.titled(child.pid, "luafarm-") == []


def test_a_tcp_connection_is_reset_and_others_are_left() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as visitor,
        socket.create_connection(listener.getsockname()) as other,
    ):
        own = "{}:{}".format(*visitor.getsockname())
        served, _ = listener.accept()
        with served:
            assert processes.cut(os.getpid(), lambda mine, peer: mine == own) == 1
            with pytest.raises(ConnectionResetError):
                served.recv(1)
        assert not select.select([other], [], [], 0)[0]


def test_a_unix_connection_ends_for_both() -> None:
    address = f"\0chaos-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect(address)
            served, _ = listener.accept()
            with served:
                cut = processes.cut(os.getpid(), lambda own, peer: peer == address)
                assert cut == 1
                assert served.recv(1) == b""
                assert visitor.recv(1) == b""


def test_no_more_connections_are_cut_than_wanted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = "{}:{}".format(*listener.getsockname())
        with (
            socket.create_connection(listener.getsockname()),
            socket.create_connection(listener.getsockname()),
        ):
            ended = processes.cut(os.getpid(), lambda own, to: to == peer, most=1)
            assert ended == 1


def test_looking_for_connections_leaves_nothing_open() -> None:
    read, write = os.pipe()  # what is no socket is duplicated as well
    before = processes.fds(os.getpid())
    assert processes.cut(os.getpid(), lambda own, peer: False) == 0
    assert processes.fds(os.getpid()) == before
    os.close(read)
    os.close(write)
