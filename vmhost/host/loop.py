"""A VM host: one process that holds many Lua states and runs one request at a time.

`serve` is the thin loop around `HostMachine`, which decides, and `LuaStates`, which
runs scripts. It waits for a frame, does all the work that is queued, and waits again.
While there is work it listens now and then, so that a fence or a cancellation is heard
between two runs.

Lua needs more C stack than a main thread is sure to have (LuaJIT does not count what C
functions use), so the loop has a thread of its own. The main thread ends what is over
its time (`vmhost.host.curfew`), and waits for TERM: then what is queued is finished,
states are closed by their `shutdown` hooks, and the process ends.
"""

# Impure.

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn

from luafarm.keys.badges import Badges
from vmhost import report
from vmhost.deaths import EXIT_PROTOCOL
from vmhost.host.config import HostConfig
from vmhost.host.conversation import BrokenStateError
from vmhost.host.curfew import Curfew
from vmhost.host.link import Link
from vmhost.host.machine import PATIENCE_NS, HostMachine, LoadWork
from vmhost.host.mail import Mail
from vmhost.host.states import LuaStates
from vmhost.host.zmqlink import CurveLink
from vmhost.host.zmtplink import StreamLink
from vmhost.lua import state
from vmhost.lua.crier import crier
from vmhost.lua.dialect import choose
from vmhost.sandbox.layers import Layer
from vmhost.scoreboard import HostSlot

logger = logging.getLogger(f"luafarm.{__name__}")

_STACK_BYTES: Final = 256 << 20  # 180 nested callbacks, in coroutines; mostly untouched
_IDLE_MS: Final = 500  # the supervisor wants a beat each second
_RESTLESS_MS: Final = 100  # while the kernel timers are armed
_BEAT_NS: Final = 500_000_000
_END_NS: Final = 2_000_000_000  # for all `shutdown` hooks when the host is stopped


def serve(
    config: HostConfig,
    listen_fd: int,
    slot: HostSlot,
    report_fd: int,
    seal: Callable[[], list[Layer]],
) -> NoReturn:
    """Be a VM host, in a process that `confine.enter` has confined; never return."""
    dialect = choose(config.dialect, trusted=config.trusted, jit=config.jit)
    state.prepare(dialect, c_modules=config.trusted and bool(config.cpath))
    link: Link
    if config.secret_key:
        link = CurveLink(config, listen_fd)
    else:
        link = StreamLink(listen_fd)
    host = Host(config, link, slot)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        link.stop()

    signal.signal(signal.SIGTERM, stop)

    def begin() -> None:
        seal()
        report.write_ready(report_fd)
        os.close(report_fd)
        gc.freeze()

    os._exit(_run(host, begin))


def _run(host: "Host", begin: Callable[[], None]) -> int:
    """Run the loop in a thread with a large stack and return the exit code.

    begin: what comes before, when the thread is there: no other can be made after it.
    """
    ends: list[BaseException | None] = []
    has_begun = threading.Event()

    def guarded() -> None:
        try:
            has_begun.wait()
            host.live()
            ends.append(None)
        except BaseException as error:  # noqa: BLE001 - goes on in the main thread
            ends.append(error)
        host.bell.set()

    threading.stack_size(_STACK_BYTES)
    thread = threading.Thread(target=guarded)
    thread.start()
    begin()
    has_begun.set()
    while not ends:
        host.bell.wait(host.curfew.look(time.monotonic_ns()))
        host.bell.clear()
    thread.join()
    failure = ends[0]
    if failure is None:
        return 0
    if isinstance(failure, BrokenStateError):
        logger.error("broken Lua state: %s", failure)
        return EXIT_PROTOCOL
    raise failure


class Host:
    """The loop of a VM host."""

    def __init__(self, config: HostConfig, link: Link, slot: HostSlot) -> None:
        self.bell = threading.Event()  # rings when the main thread is to look sooner
        self.curfew = Curfew(crier().call, self.bell.set)
        self._link = link
        self._slot = slot
        badges = Badges(config.badges) if config.secret_key else None
        self._machine = HostMachine(config.host, config.max_states, badges)
        self._mail = Mail(link, self._machine)
        self._lua = LuaStates(config, self._machine, self._mail, slot, self.curfew)
        self._beat_ns = 0

    def live(self) -> None:
        """Serve until somebody stops the link."""
        link, deadman, lua = self._link, self._lua.deadman, self._lua
        while not link.is_stopped:
            heard = self._mail.hear(_RESTLESS_MS if deadman.is_armed else _IDLE_MS)
            now_ns = time.monotonic_ns()
            if heard:
                now_ns = self._work(now_ns)
            deadman.relax(now_ns)
            if now_ns >= self._beat_ns:
                self._beat_ns = now_ns + _BEAT_NS
                self._slot.beat(now_ns)
            while lua.spent and not link.has_input():
                lua.refill()
        self._end()

    def _work(self, now_ns: int) -> int:
        """Do everything that is queued; return the time."""
        machine, lua, mail = self._machine, self._lua, self._mail
        outbox = machine.peers.outbox
        listened_ns = now_ns
        while True:
            work = machine.take(now_ns)
            if outbox:
                mail.send()
            if work is None:
                return now_ns
            if isinstance(work, tuple):
                now_ns = lua.run(work, now_ns)
            elif isinstance(work, LoadWork):
                lua.load(now_ns)
                now_ns = time.monotonic_ns()
            else:
                for held in work.held:
                    lua.close(held, work.reason)
                mail.send()
                now_ns = time.monotonic_ns()
            if now_ns - listened_ns > PATIENCE_NS:
                listened_ns = now_ns
                mail.hear_all()

    def _end(self) -> None:
        """Finish what is queued, close all states and the socket."""
        self._mail.hear_all()
        self._work(time.monotonic_ns())
        end_ns = time.monotonic_ns() + _END_NS
        for held in self._machine.states():
            is_urgent = time.monotonic_ns() > end_ns
            self._lua.close(held, "stopped", is_urgent=is_urgent)
        self._mail.send()
        self._lua.deadman.disarm()
        self._link.close()
