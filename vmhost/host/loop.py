"""A VM host: one process that holds many Lua states and runs one request at a time.

`serve` is the thin loop around `HostMachine`, which decides, and `LuaStates`, which
runs scripts. It waits for a frame, does all the work that is queued, and waits again.
While there is work it listens now and then, so that a fence or a cancellation is heard
between two runs.

Lua needs more C stack than a main thread is sure to have (LuaJIT does not count what C
functions use), so the loop has a thread of its own. The main thread tells what is over
its time (`vmhost.host.alarm`), and waits for TERM: then what is queued is finished,
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
from vmhost.host.alarm import Alarm
from vmhost.host.config import HostConfig
from vmhost.host.deadlines import Deadlines
from vmhost.host.link import Link
from vmhost.host.machine import HostMachine
from vmhost.host.mail import Mail
from vmhost.host.services.table import OPERATIONS
from vmhost.host.states import LuaStates
from vmhost.host.timer import KernelTimer
from vmhost.host.zmqlink import CurveLink
from vmhost.host.zmtplink import ZmtpLink
from vmhost.lua import cmodules, state
from vmhost.lua.alarmword import alarm_word
from vmhost.lua.dialect import choose
from vmhost.lua.operation import BrokenStateError
from vmhost.sandbox.layers import Layer
from vmhost.scoreboard import HostSlot

logger = logging.getLogger(f"luafarm.{__name__}")

_STACK_BYTES: Final = 256 << 20  # 180 nested callbacks, in coroutines; mostly untouched
_IDLE_MS: Final = 500  # the supervisor wants a beat each second
_RESTLESS_MS: Final = 100  # while the kernel timers are armed


def serve(
    config: HostConfig,
    listen_fd: int,
    slot: HostSlot,
    report_fd: int,
    seal: Callable[[], list[Layer]],
) -> NoReturn:
    """Be a VM host, in a process that `confine.enter` has confined; never return."""
    dialect = choose(config.dialect, trusted=config.trusted, jit=config.jit)
    state.prepare(dialect, OPERATIONS)
    if config.trusted:
        cmodules.show_symbols(dialect)
    link: Link
    if config.secret_key:
        link = CurveLink(config, listen_fd)
    else:
        link = ZmtpLink(listen_fd)
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
        host.wakes.set()

    threading.stack_size(_STACK_BYTES)
    thread = threading.Thread(target=guarded)
    thread.start()
    begin()
    has_begun.set()
    while not ends:
        host.wakes.wait(host.alarm.look(time.monotonic_ns()))
        host.wakes.clear()
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
        self.wakes = threading.Event()  # the main thread, when it is to look sooner
        word = alarm_word()
        word.say(0)  # a process forked from one that had alarms says none of theirs
        self.alarm = Alarm(word.say, self.wakes.set)
        self._link = link
        badges = Badges(config.badges) if config.secret_key else None
        self._machine = HostMachine(
            config.host, config.max_states, config.max_bytes, badges
        )
        self._mail = Mail(link, self._machine)
        timer = KernelTimer(config.grace_s)
        self._deadlines = Deadlines(slot, timer, self.alarm)
        self._states = LuaStates(config, self._machine, self._mail, self._deadlines)

    def live(self) -> None:
        """Serve until somebody stops the link."""
        link, mail, deadlines = self._link, self._mail, self._deadlines
        while not link.is_stopped:
            heard = mail.hear(_RESTLESS_MS if deadlines.is_armed else _IDLE_MS)
            now_ns = time.monotonic_ns()
            if heard:
                now_ns = self._states.work(now_ns)
            deadlines.rest(now_ns)
            while self._machine.has_spare() and not link.has_input():
                self._states.do(self._machine.spare(), now_ns)
        self._end()

    def _end(self) -> None:
        """Finish what is queued, close all states and the socket."""
        self._mail.hear_all()
        now_ns = self._states.work(time.monotonic_ns())
        self._machine.stop(now_ns)
        self._states.work(now_ns)
        self._deadlines.disarm()
        self._link.close()
