"""A VM host without Lua: it does what it is told, one command a message.

`python -m tests.vmhost.supervisor.fakehost FD` is the zygote of such hosts. A command
is a frame, name and arguments with NULs between; the answer is `ok` or what went wrong.
Its connections are those of a real host, without keys or with them.
"""

import contextlib
import ctypes
import errno
import importlib
import mmap
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from setproctitle import setproctitle

from luafarm.process import prctl
from vmhost import report, zygote
from vmhost.host.config import HostConfig
from vmhost.host.link import Link
from vmhost.host.zmqlink import CurveLink
from vmhost.host.zmtplink import ZmtpLink
from vmhost.sandbox import kernel
from vmhost.sandbox.layers import Layer
from vmhost.scoreboard import HostSlot

BATCH = 3  # SCHED_BATCH
FASTOPEN = 0x20000000
PARENT = [0]  # the supervisor: a sealed host may not ask
ORPHAN_S = 600.0  # no test leaves a host for longer, whatever goes wrong


def attempt(action: Callable[[], object]) -> str:
    """Return `ok`, or the name of the errno with which an action failed."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except (RuntimeError, ValueError) as error:
        return str(error)
    return "ok"


def map_executable() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def connect(family: int, address: object) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.connect(address)  # type: ignore[arg-type]


def change_policy(pid: int) -> None:
    """Have the kernel schedule a process as one that computes for long."""
    priority = ctypes.create_string_buffer(4)  # struct sched_param
    kernel.syscall("sched_setscheduler", pid, BATCH, priority)


def share_memory() -> None:
    mmap.mmap(-1, 4096).close()


def connect_without_connect() -> None:
    """Make a connection of the listening socket, with a port that the host names."""
    kernel.syscall("sendto", -1, None, 0, FASTOPEN, None, 0)


def start_thread() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


ATTEMPTS: dict[str, Callable[[], object]] = {
    "open": lambda: os.close(os.open("/etc/passwd", os.O_RDONLY)),
    "listdir": lambda: list(Path("/").iterdir()),
    "stat": lambda: Path("/etc/passwd").stat(),
    "mkdir": lambda: Path("/tmp/escaped").mkdir(),
    "unlink": lambda: Path("/etc/luafarm-none").unlink(),
    "chdir": lambda: os.chdir("/"),
    "socket": lambda: socket.socket(socket.AF_INET).close(),
    "socketpair": socket.socketpair,
    "fork": fork,
    "execve": lambda: os.execv("/bin/true", ["true"]),
    "kill": lambda: os.kill(PARENT[0], 0),
    "kill self": lambda: os.kill(os.getpid(), 0),
    "setuid": lambda: os.setuid(0),
    "unshare": lambda: kernel.unshare(kernel.CLONE_NEWUSER),
    "prctl": lambda: prctl.change(prctl.PR_SET_DUMPABLE, 1),
    "ptrace": lambda: kernel.syscall("ptrace", 16, PARENT[0], 0, 0),
    "process_vm_readv": lambda: kernel.syscall("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "memfd_create": lambda: os.close(os.memfd_create("x")),
    "io_uring_setup": lambda: kernel.syscall("io_uring_setup", 1, 0),
    "bpf": lambda: kernel.syscall("bpf", 0, 0, 0),
    "userfaultfd": lambda: kernel.syscall("userfaultfd", 0),
    "executable mmap": map_executable,
    "executable mprotect": kernel.try_new_code,
    "rlimit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    "signal": lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
    "shared mmap": share_memory,
    "fixed mremap": lambda: kernel.syscall("mremap", 0, 0, 0, 2),
    "thread": start_thread,
    "schedule parent": lambda: change_policy(PARENT[0]),
    "schedule itself": lambda: change_policy(0),
    "policy of parent": lambda: kernel.syscall("sched_getscheduler", PARENT[0]),
    "clock of parent": lambda: time.clock_gettime(~PARENT[0] << 3 | 2),
    "sleep by clock of parent": lambda: kernel.syscall(
        "clock_nanosleep", ~PARENT[0] << 3 | 2, 0, None, None
    ),
    "rename": lambda: prctl.change(15),
    "accept": lambda: kernel.syscall("accept", -1, None, None),
    "recvfrom": lambda: kernel.syscall("recvfrom", -1, None, 0, 0, None, None),
    "sendto": lambda: kernel.syscall("sendto", -1, None, 0, 0, None, 0),
    "sendto that connects": connect_without_connect,
    "getpeername": lambda: kernel.syscall("getpeername", -1, None, None),
    "peer credentials": lambda: kernel.syscall("getsockopt", -1, 1, 17, None, None),
    "shutdown": lambda: kernel.syscall("shutdown", -1, 2),
    "no delay": lambda: kernel.syscall("setsockopt", -1, 6, 1, None, 0),
    "other protocol": lambda: kernel.syscall("setsockopt", -1, 6, 31, None, 0),
    "dup": lambda: kernel.syscall("fcntl", 2, 0, 50),
    "dup and close on exec": lambda: kernel.syscall("fcntl", 2, 1030, 50),
    "flags": lambda: kernel.syscall("fcntl", 2, 3, 0),
    "signals of a socket": lambda: kernel.syscall("fcntl", 2, 4, 0x2000),
    "futex of another kind": lambda: kernel.syscall("futex", None, 6, 0),  # LOCK_PI
    "merged memory": lambda: kernel.syscall("madvise", None, 0, 12),  # MERGEABLE
    "memory given back": lambda: kernel.syscall("madvise", None, 0, 4),
    "memory in no dump": lambda: kernel.syscall("madvise", None, 0, 16),
    "locked memory": lambda: kernel.syscall("mlock", None, 0),
    "usage": lambda: kernel.syscall("getrusage", 0, None),
    "sleep": lambda: time.sleep(0.01),
    "urandom": lambda: os.urandom(8),
    "timer": lambda: signal.setitimer(signal.ITIMER_REAL, 0),
    "abort": os.abort,
    "crash": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
}


class FakeHost:
    """Obeys until it is told to end."""

    def __init__(self, link: Link, slot: HostSlot) -> None:
        self._link = link
        self._slot = slot
        self._is_beating = True
        self._is_ending = False

    def run(self) -> None:
        end = time.monotonic() + ORPHAN_S
        while not self._is_ending and time.monotonic() < end:
            if self._is_beating:
                self._slot.beat(time.monotonic_ns())
            received = self._link.receive(100)
            if received is not None:
                peer, frame, _ = received
                answer = self.obey(*frame.decode().split("\0"))
                self._link.send(peer, answer.encode())

    def end(self) -> None:
        self._is_ending = True

    def obey(self, command: str, *words: str) -> str:
        match command, words:
            case "begin", (request, script, budget_ms):
                now = time.monotonic_ns()
                until = now + int(budget_ms) * 1_000_000
                self._slot.begin(int(request), script.encode(), now, until)
            case "end", ():
                self._slot.end()
            case "stand still", ():
                self._is_beating = False
            case "getenv", (name,):
                return os.environ.get(name, "none")
            case "attempt", (what,):
                return attempt(ATTEMPTS[what])
            case _:
                DEEDS[command](*words)
        return "ok"


def write(text: str, times: str) -> None:
    with contextlib.suppress(BlockingIOError):
        os.write(2, text.encode() * int(times))


def chatter() -> None:
    while True:
        os.write(2, b".")
        time.sleep(0.02)


def alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(ORPHAN_S)


def burn() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0.01)
    while True:
        pass


DEEDS: dict[str, Callable[..., object]] = {
    "ping": str,
    "write": write,
    "chatter": chatter,
    "alarm": alarm,
    "burn": burn,
    "hang": lambda: time.sleep(ORPHAN_S),
}


def serve(
    config: HostConfig,
    listen_fd: int,
    slot: HostSlot,
    report_fd: int,
    seal: Callable[[], list[Layer]],
) -> NoReturn:
    """Serve commands on the host's own endpoint."""
    PARENT[0] = os.getppid()
    if config.pool == "never-ready":
        time.sleep(ORPHAN_S)
    if config.pool == "fail":
        raise RuntimeError("told to fail")
    link: Link
    if config.secret_key:
        link = CurveLink(config, listen_fd)
    else:
        link = ZmtpLink(listen_fd)
    host = FakeHost(link, slot)
    signal.signal(signal.SIGTERM, lambda *_: host.end())
    seal()
    report.write_ready(report_fd)
    host.run()
    os._exit(0)


def main() -> None:
    """Be the zygote."""
    setproctitle("luafarm-zygote")
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    for dialect in sys.argv[2:]:
        importlib.import_module(f"lupa.{dialect}")
    zygote.run(channel, serve)


if __name__ == "__main__":
    main()
