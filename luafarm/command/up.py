"""`luafarm up` and `luafarm fcgi`: roles as children. The loop around `roles`."""

# Impure.

import contextlib
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final

from luafarm import fronts
from luafarm.command import asking, greeting, probe
from luafarm.command.roles import Action, End, Kill, Retire, Roles, Start, Stop
from luafarm.command.watchdog import Watchdog
from luafarm.config.configure import Configuration
from luafarm.config.settings import Front
from luafarm.errors import SettingsError
from luafarm.fronts import Fronts
from luafarm.process import children
from luafarm.process.pulse import BLIND, SERVES, Pulse

ROLES: Final = ("broker", "vmhost", "fcgi")

_READY_EVERY_S: Final = 0.05
_SLOW_START_S: Final = 15.0
_STOP_MARGIN_S: Final = 5.0  # beyond what the roles themselves allow to finish
_PASSED_ON: Final = (signal.SIGHUP, signal.SIGUSR1)
_STATUS_TIMEOUT_S: Final = 0.2  # signals wait for this long at most
_PULSE_BYTES: Final = 4096
_NOT_STARTED: Final = 1  # as if it had ended so

logger = logging.getLogger("luafarm.up")


class Farm:
    """Roles as child processes, and the signals that reach this process.

    configured: reads the configuration again, for HUP. pulse: that of this process.
    is_whole: broker and VM hosts are children as well; otherwise only the fronts are.
    """

    def __init__(
        self,
        configuration: Configuration,
        arguments: Sequence[str],
        configured: Callable[[], Configuration],
        pulse: Pulse,
        *,
        is_whole: bool,
    ) -> None:
        self._settings = settings = configuration.settings
        self._arguments = list(arguments)  # --config and --set for the roles
        self._configured = configured
        self._file = configuration.file
        self._is_whole = is_whole
        self._fronts = Fronts(settings.front)
        others = [("vmhost",), ("broker",)] if is_whole else []
        self._roles = Roles(
            [self._fronts.names, *others], settings.vmhost.stop_timeout + _STOP_MARGIN_S
        )
        self._children: dict[int, children.Child] = {}
        self._names: dict[int, str] = {}  # roles of the children
        self._pulses: dict[int, int] = {}  # children by the ends of their pipes
        self._unready: set[int] = set()  # fronts that do not serve yet
        self._pulse = pulse
        self._watchdog = Watchdog(settings.roles.watchdog)
        self._signals: list[int] = []
        self._is_ready = False
        self._is_slow = False  # to become ready, which a manager has not been told
        self._is_reloading = False
        self._code: int | None = None

    def run(self) -> int:
        """Run until told to stop or unable to go on; return the exit code."""
        with self._caught_signals() as wakeup:
            started = time.monotonic()
            slow = started + _SLOW_START_S
            self._do(self._roles.begin(started))
            while self._code is None:
                self._wait(wakeup)
                self._take_signals()
                self._hear_children()
                self._reap()
                now = time.monotonic()
                self._end_silent(now)
                self._do(self._roles.tick(now))
                self._live(now)
                if not self._is_ready and not self._roles.is_stopping:
                    self._look_whether_ready()
                    if now > slow and not self._is_ready:
                        logger.warning("not ready after %.0f s", now - started)
                        slow = float("inf")
                        self._is_slow = True
        return self._code

    @contextlib.contextmanager
    def _caught_signals(self) -> Iterator[int]:
        receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        reopen = signal.getsignal(signal.SIGUSR1)  # as `logs` has set it

        def note(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)
            if number == signal.SIGUSR1 and callable(reopen):
                reopen(number, frame)

        caught = (signal.SIGINT, signal.SIGTERM, *_PASSED_ON)
        before = {number: signal.signal(number, note) for number in caught}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _wake)
        signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
        try:
            yield receiver
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._kill_all()
            self._fronts.close()
            for fd in self._pulses:
                os.close(fd)
            os.close(receiver)
            os.close(sender)

    def _wait(self, wakeup: int) -> None:
        now = time.monotonic()
        dues = (self._roles.next_due(), self._watchdog.next_look())
        waits = [due - now for due in dues if due is not None]
        timeout = max(0.0, min([*waits, self._pulse.every_s]))
        if not self._is_ready and not self._roles.is_stopping:
            timeout = _READY_EVERY_S
        select.select([wakeup, *self._pulses], [], [], timeout)
        with contextlib.suppress(BlockingIOError):
            os.read(wakeup, 4096)

    def _take_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            # a terminal that is closed says HUP as well, and means the end
            if number == signal.SIGHUP and not _is_a_job():
                self._reload()
            elif number == signal.SIGUSR1:
                self._pass_on(number)
            else:
                if not self._roles.is_stopping:
                    logger.info("stopping; once more to stop at once")
                    self._pulse.stops()
                self._do(self._roles.stop(time.monotonic()))

    def _pass_on(self, number: int) -> None:
        for child in self._children.values():
            child.send_signal(number)

    def _reload(self) -> None:
        """Exchange the fronts for others with the settings as they are now."""
        try:
            now = self._configured()
            if self._file not in {None, now.file}:
                raise SettingsError("; ".join([f"no {self._file} counts", *now.notes]))
        except SettingsError as error:
            logger.error("HUP: nothing is changed: %s", error)  # noqa: TRY400
            return
        front = now.settings.front
        if fronts.names(front) != self._fronts.names or not _is_same_listening(
            front, self._settings.front
        ):
            logger.warning("HUP: listeners and their number count at the next start")
        logger.info("HUP: fronts are replaced one after the other")
        self._pulse.reloads()
        self._is_reloading = True
        self._pass_on(signal.SIGHUP)
        self._do(self._roles.renew(self._fronts.names, time.monotonic()))

    def _hear_children(self) -> None:
        """Take note of children that live, and of fronts that have come to serve."""
        for fd, number in list(self._pulses.items()):
            try:
                said = os.read(fd, _PULSE_BYTES)
            except BlockingIOError:
                continue
            if not said:  # it has ended, and is reaped
                os.close(fd)
                del self._pulses[fd]
                continue
            self._watchdog.beats(number, time.monotonic())
            if number in self._unready and (SERVES in said or BLIND in said):
                self._unready.remove(number)
                self._hear_serving(number, knows_farm=SERVES in said)

    def _hear_serving(self, number: int, *, knows_farm: bool) -> None:
        if not knows_farm and self._roles.is_fresh(number):
            logger.error("HUP: no broker tells a fresh front of the farm")
            self._do(self._roles.fails(number))
        else:
            self._do(self._roles.serves(number, time.monotonic()))

    def _end_silent(self, now: float) -> None:
        """End what stands still; what follows is decided when it has ended."""
        self._roles.woke(self._watchdog.gap_s(now))
        for number in self._watchdog.look(now):
            role, limit_s = self._names[number], self._settings.roles.watchdog
            logger.error("role=%s has been silent for %g s: killed", role, limit_s)
            self._children[number].kill()

    def _live(self, now: float) -> None:
        """Say that this loop turns, and what a service manager waits for."""
        self._pulse.beat(now)
        if self._roles.is_stopping:
            return
        if self._is_slow and not self._unready:
            self._is_slow = False
            # a manager would end what serves a part at least
            self._pulse.serves("not all VM hosts serve")
        if self._is_reloading and not self._roles.is_renewing:
            self._is_reloading = False
            self._pulse.serves("serving")

    def _reap(self) -> None:
        for number, child in list(self._children.items()):
            code = child.poll()
            if code is None:
                continue
            del self._children[number]
            self._watchdog.leaves(number)
            self._unready.discard(number)
            self._ended(number, code, _how(code))

    def _ended(self, number: int, code: int, how: str) -> None:
        """Do what follows when a child has ended, or could not be started."""
        role = self._names.pop(number)
        is_current = self._roles.is_current(number)
        is_fresh = self._roles.is_fresh(number)
        actions = self._roles.exited(number, code, time.monotonic())
        if self._roles.is_stopping:
            if actions and code not in {0, -signal.SIGTERM}:
                logger.error("role=%s %s", role, how)
        elif is_fresh:
            logger.error("role=%s %s; the old one goes on", role, how)
        elif is_current:
            pause = self._roles.pause_s(role)
            logger.error("role=%s %s; restarting in %g s", role, how, pause)
        elif code:
            logger.error("role=%s %s while it retired", role, how)
        self._do(actions)

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Start(role, number):
                    self._start(role, number)
                case Retire(number):
                    self._watchdog.leaves(number)
                    self._children[number].send_signal(signal.SIGUSR2)
                case Stop(number):
                    self._watchdog.leaves(number)
                    self._children[number].terminate()
                case Kill(number):
                    logger.warning("role=%s killed", self._names[number])
                    self._watchdog.leaves(number)
                    self._children[number].kill()
                case End(code):
                    self._code = code

    def _start(self, role: str, number: int) -> None:
        self._names[number] = role
        try:
            if role in self._fronts.names:
                started = self._fronts.start(role, self._arguments)
                self._unready.add(number)
            else:
                started = children.start_watched(role, self._arguments)
        except OSError as error:  # no descriptor, process or memory is left
            if not self._is_ready:
                raise  # whoever starts the farm is told at once
            how = f"cannot be started: {error.strerror}"
            self._ended(number, _NOT_STARTED, how)
            return
        self._children[number] = started.child
        self._pulses[started.pulse] = number
        self._watchdog.starts(number, time.monotonic())

    def _look_whether_ready(self) -> None:
        if self._unready:
            return
        if self._is_whole and not self._has_hosts():
            return
        self._is_ready = True
        self._roles.ready()
        self._is_slow = False
        self._pulse.serves("serving")
        if self._is_whole:
            greeting.show(self._settings)
        else:
            for listener in self._settings.front.listen:
                for line in greeting.access(listener):
                    logger.info("%s: %s", listener, line)

    def _has_hosts(self) -> bool:
        settings = self._settings
        try:
            status = json.loads(asking.status(settings, _STATUS_TIMEOUT_S))
        except (asking.NoAnswerError, ValueError):
            return False
        hosts = probe.host_counts(status)
        return all(hosts[n] >= max(1, pool.hosts) for n, pool in settings.pool.items())

    def _kill_all(self) -> None:
        # only when something unforeseen ended the loop are there any
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            child.wait()


def _is_same_listening(one: Front, other: Front) -> bool:
    return (one.listen, one.http) == (other.listen, other.http)


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Let the wakeup descriptor tell of a child that ended."""


def _is_a_job() -> bool:
    return os.isatty(sys.stdin.fileno()) if sys.stdin else False


def _how(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
