"""A VM host without Lua: it does what it is told, one command a message.

`python -m tests.vmhost.fakehost FD` is the zygote of such hosts. A command is a list of
frames, name and arguments; the answer is `ok` or what went wrong.
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

import zmq
from setproctitle import setproctitle

from vmhost import kernel, report, zygote
from vmhost.hostconfig import HostConfig
from vmhost.layers import Layer
from vmhost.scoreboard import HostSlot

ORPHAN_S = 60.0  # no test leaves a host for longer, whatever goes wrong


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
    "kill": lambda: os.kill(os.getppid(), 0),
    "kill self": lambda: os.kill(os.getpid(), 0),
    "setuid": lambda: os.setuid(0),
    "unshare": lambda: kernel.unshare(kernel.CLONE_NEWUSER),
    "prctl": lambda: kernel.prctl(kernel.PR_SET_DUMPABLE, 1),
    "ptrace": lambda: kernel.syscall("ptrace", 16, os.getppid(), 0, 0),
    "process_vm_readv": lambda: kernel.syscall("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "memfd_create": lambda: os.close(os.memfd_create("x")),
    "io_uring_setup": lambda: kernel.syscall("io_uring_setup", 1, 0),
    "bpf": lambda: kernel.syscall("bpf", 0, 0, 0),
    "userfaultfd": lambda: kernel.syscall("userfaultfd", 0),
    "executable mmap": map_executable,
    "executable mprotect": kernel.try_new_code,
    "rlimit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    "signal": lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN),
    "thread": start_thread,
    "sleep": lambda: time.sleep(0.01),
    "urandom": lambda: os.urandom(8),
    "timer": lambda: signal.setitimer(signal.ITIMER_REAL, 0),
    "abort": os.abort,
    "crash": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
}


class FakeHost:
    """Obeys until it is told to end."""

    def __init__(self, sock: "zmq.Socket[bytes]", slot: HostSlot) -> None:
        self._sock = sock
        self._slot = slot
        self._is_beating = True
        self._is_ending = False

    def run(self) -> None:
        end = time.monotonic() + ORPHAN_S
        while not self._is_ending and time.monotonic() < end:
            if self._is_beating:
                self._slot.beat(time.monotonic_ns())
            if not self._sock.poll(100):
                continue
            peer, *frames = self._sock.recv_multipart()
            answer = self.obey(*[frame.decode() for frame in frames])
            self._sock.send_multipart([peer, answer.encode()])

    def end(self) -> None:
        self._is_ending = True

    def obey(self, command: str, *words: str) -> str:
        match command, words:
            case "begin", (request, script, budget_ms):
                now = time.monotonic_ns()
                until = now + int(budget_ms) * 1_000_000
                self._slot.begin(int(request), script.encode(), now, until)
            case "end", ():
                self._slot.end(time.monotonic_ns())
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
    if config.pool == "never-ready":
        time.sleep(ORPHAN_S)
    if config.pool == "fail":
        raise RuntimeError("told to fail")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sock: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    sock.setsockopt(zmq.USE_FD, listen_fd)
    sock.bind(config.endpoint)
    host = FakeHost(sock, slot)
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
