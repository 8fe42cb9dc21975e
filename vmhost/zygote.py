"""The zygote: a warm process that forks VM hosts, so that a new one takes milliseconds.

It has imported all that a host needs and never made a ZeroMQ context or a thread, which
would not survive a fork. The supervisor starts it afresh (never forks it from itself)
and sends one datagram an order over a socket pair, with the four fds of the new host.

A host is the zygote's grandchild: the child between them ends at once, so that the
supervisor, the nearest subreaper, becomes the host's parent. So the supervisor learns
of the host's end from the kernel, and neither the death nor the renewal of the zygote
touches a host, while the death of the supervisor ends all of them.

All hosts forked from one zygote share its address layout. After `FORKS_A_LAYOUT` of
them it executes itself again to get another one.
"""

# Impure.

import contextlib
import errno
import gc
import importlib
import mmap
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import Final, NoReturn, cast

import msgpack
from setproctitle import setproctitle

from luafarm.dialects import Dialect
from luafarm.names import HostId
from luafarm.process import prctl
from luafarm.process.cplaces import NoModuleError
from vmhost import report
from vmhost.deaths import EXIT_FAILED, EXIT_LACKING, EXIT_UNOPENED
from vmhost.host.config import HostConfig, unpack
from vmhost.host.services.table import OPERATIONS
from vmhost.lua import cmodules, state
from vmhost.sandbox import confine
from vmhost.sandbox.confine import Confinement
from vmhost.sandbox.layers import Layer, lacking
from vmhost.scoreboard import HostSlot

FORKS_A_LAYOUT: Final = 64
MAX_ORDER: Final = 65536  # a configuration with many keys has 4000 bytes
FDS: Final = 4

Serve = Callable[[HostConfig, int, HostSlot, int, Callable[[], list[Layer]]], NoReturn]


@dataclass(frozen=True, slots=True)
class Order:
    """One host to fork."""

    host: HostId
    title: str  # for the list of processes
    config: bytes  # HostConfig.pack
    confinement: Confinement
    required: tuple[str, ...]  # layers without which it must not serve

    def pack(self) -> bytes:
        """Return it as one datagram."""
        return cast("bytes", msgpack.packb(astuple(self)))


@dataclass(frozen=True, slots=True)
class Fds:
    """The fds that come with an order, in this order."""

    listen: int
    page: int  # of the scoreboard
    report: int
    errors: int  # the host's standard error


@dataclass(frozen=True, slots=True)
class ForkAnswer:
    """The zygote's answer: the new host's pid, or 0 and why there is none."""

    host: HostId
    pid: int
    error: str

    def pack(self) -> bytes:
        """Return it as one datagram."""
        return cast("bytes", msgpack.packb(astuple(self)))


WARM: Final = ForkAnswer(HostId(""), 0, "")
"""What the zygote says first, when it has imported everything."""


def unpack_order(data: bytes) -> Order:
    """Return the order in a datagram of the supervisor."""
    host, title, config, wanted, required = msgpack.unpackb(data, use_list=False)
    return Order(host, title, config, Confinement(*wanted), required)


def unpack_answer(data: bytes) -> ForkAnswer:
    """Return the answer in a datagram of the zygote."""
    return ForkAnswer(*msgpack.unpackb(data))


def run(channel: socket.socket, serve: Serve) -> None:
    """Fork hosts as ordered until the supervisor closes the channel or dies."""
    supervisor = os.getppid()
    prctl.change(prctl.PR_SET_PDEATHSIG, signal.SIGKILL)
    # what a terminal or a service manager sends to all of us is for the supervisor
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    confine.prepare()
    gc.collect()
    gc.freeze()  # the hosts share these pages for as long as nobody writes to them
    channel.send(WARM.pack())
    for _ in range(FORKS_A_LAYOUT):
        data, received, _, _ = socket.recv_fds(channel, MAX_ORDER, FDS)
        if not data:
            return
        order = unpack_order(data)
        if len(received) == FDS:
            pid, error = _fork(order, Fds(*received), supervisor, serve)
        else:  # the kernel leaves out what it has no room for
            pid, error = 0, f"zygote: {os.strerror(errno.EMFILE)}"
        for fd in received:
            os.close(fd)
        channel.send(ForkAnswer(order.host, pid, error).pack())
    os.set_inheritable(channel.fileno(), True)
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own program again


def _fork(order: Order, fds: Fds, supervisor: int, serve: Serve) -> tuple[int, str]:
    """Return the pid of a new host and no error, or 0 and the error."""
    with mmap.mmap(-1, mmap.PAGESIZE) as answer:
        try:
            between = os.fork()
        except OSError as error:
            return 0, f"fork: {error.strerror}"
        if between == 0:
            _fork_again(answer, order, fds, supervisor, serve)
        os.waitpid(between, 0)
        pid = int.from_bytes(answer[:8], "little")
        return pid, "" if pid else "fork: no second process"


def _fork_again(
    answer: mmap.mmap, order: Order, fds: Fds, supervisor: int, serve: Serve
) -> NoReturn:
    try:
        between = os.getpid()
        pid = os.fork()
        if pid == 0:
            _await_adoption(between, supervisor)
            _become_host(order, fds, serve)
        answer[:8] = pid.to_bytes(8, "little")
    finally:
        os._exit(0)


def _become_host(order: Order, fds: Fds, serve: Serve) -> NoReturn:
    try:
        setproctitle(order.title)
        os.dup2(fds.errors, 1)
        os.dup2(fds.errors, 2)
        # mapped before its fd goes; nobody may unmap it, that would close a strange fd
        slot = HostSlot(fds.page)
        config = unpack(order.config)
        # while there are files; each host its own, for symbols are of one dialect
        opened = _open(config)
        for fd in (fds.listen, fds.report):  # programs of trusted scripts have neither
            os.set_inheritable(fd, False)
        layers = confine.enter(order.confinement, (fds.listen, fds.report))

        def seal() -> list[Layer]:
            layers.extend(confine.seal(order.confinement))
            in_vain = lacking(layers, order.required)
            report.write_sealed(fds.report, layers, in_vain)
            if in_vain:
                os._exit(EXIT_LACKING)
            return layers

        serve(replace(config, opened=opened), fds.listen, slot, fds.report, seal)
    except BaseException:  # noqa: BLE001 - the last frame of this process
        with contextlib.suppress(OSError):
            traceback.print_exc()
    finally:
        os._exit(EXIT_FAILED)


def _open(config: HostConfig) -> str:
    """Open the C modules of a host's pool, or end it with one line.

    They could be opened when the farm started: the operator has exchanged a file, maybe
    not for long. So it is tried again, with the pauses of hosts that fail.
    """
    try:
        return cmodules.open_all(
            config.c_modules, Dialect(config.dialect), config.cpath
        )
    except NoModuleError as wrong:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"[pool.{config.pool}] c_modules: {wrong}\n")
        os._exit(EXIT_UNOPENED)


def _await_adoption(between: int, supervisor: int) -> None:
    """Wait until the process in between has ended and the supervisor is our parent."""
    while os.getppid() == between:
        os.sched_yield()  # it ends at once: its next call is exit
    if os.getppid() != supervisor:
        os._exit(EXIT_FAILED)  # there is nobody to tell


def main() -> None:
    """Run the zygote: `-m vmhost.zygote CHANNEL-FD DIALECT...`."""
    setproctitle("luafarm-zygote")
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    for dialect in sys.argv[2:]:
        # it reads files, which a host cannot; remembered
        state.prepare(Dialect(dialect), OPERATIONS)
    serve = importlib.import_module("vmhost.host.loop").serve
    # the supervisor is gone, and SIGKILL on its way to us
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        run(channel, cast("Serve", serve))


if __name__ == "__main__":
    main()
