"""Parents of roles: `luafarm up`, and each role by itself. The loop around `roles`."""

# Impure.

import contextlib
import importlib
import logging
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from types import FrameType
from typing import Final

from luafarm.command import greeting, inheritance
from luafarm.command.inheritance import Inheritance
from luafarm.command.neighbours import Neighbour
from luafarm.command.reload import Reload
from luafarm.command.roles import Action, End, Kill, Retire, Roles, Start, Stop
from luafarm.command.starter import BROKER, SUPERVISOR, Starter
from luafarm.command.watchdog import Watchdog
from luafarm.config.configure import Configuration
from luafarm.process import children, descriptors, rundir
from luafarm.process.pulse import BLIND, SERVES, Pulse

FRONTS: Final = "fcgi"
ROLES: Final = (BROKER, SUPERVISOR, FRONTS)

_READY_EVERY_S: Final = 0.05
_SLOW_START_S: Final = 15.0
_STOP_MARGIN_S: Final = 5.0  # beyond what the roles themselves allow to finish
_RETIRE_S: Final = {BROKER: 3.0}
"""A broker has nothing to finish, and another one waits. The others may take as long as
their requests may, and are watched meanwhile."""
_PULSE_BYTES: Final = 4096
_NOT_STARTED: Final = 1  # as if it had ended so

logger = logging.getLogger("luafarm.up")


class Parent:
    """Roles as child processes, and the signals that reach this process."""

    def __init__(
        self,
        configuration: Configuration,
        arguments: Sequence[str],
        roles: Sequence[str],
        claims: Mapping[str, int],
        pulse: Pulse,
        left: Inheritance | None,
        refused: str = "",
    ) -> None:
        """arguments: --config and --set for the roles.

        roles: those of ROLES that it starts. claims: locks, by what they are for. left:
        by the program that this process executed before. refused: why it goes on as it
        was, with what was left. Raise SettingsError, OSError.
        """
        self._settings = settings = configuration.settings
        self._arguments = list(arguments)
        self._file = configuration.file
        self._claims = dict(claims)
        self._is_whole = set(roles) == set(ROLES)
        front = settings.front if FRONTS in roles else None
        run = rundir.locate(settings.paths)
        self._starter = Starter(run, front, arguments, left)
        fronts = [self._starter.names] if FRONTS in roles else []
        others = [(role,) for role in (SUPERVISOR, BROKER) if role in roles]
        self._roles = Roles(
            [*fronts, *others],
            settings.vmhost.stop_timeout + _STOP_MARGIN_S,
            {**dict.fromkeys([SUPERVISOR, *self._starter.names], inf), **_RETIRE_S},
        )
        self._left = left
        self._children: dict[int, children.Child] = {}
        self._names: dict[int, str] = {}  # roles of the children
        self._pulses: dict[int, int] = {}  # children by the ends of their pipes
        self._unready: set[int] = set()  # children that do not serve yet
        self._killed: set[int] = set()  # children that are known to end by that
        self._pulse = pulse
        self._watchdog = Watchdog(settings.roles.watchdog)
        self._signals: list[int] = []
        self._is_ready = False
        self._is_slow = False  # to become ready, which a manager has not been told
        self._reload = Reload(pulse, left, refused)
        self._code: int | None = None

    def run(self) -> int:
        """Run until told to stop or unable to go on; return the exit code."""
        with self._caught_signals() as wakeup:
            started = time.monotonic()
            slow = started + _SLOW_START_S
            if self._left is not None:
                self._adopt(self._left, started)
            self._do(self._roles.begin(started))
            if self._reload.is_renewal:
                self._do(self._roles.renew(self._roles.names, started))
            while self._code is None:
                self._wait(wakeup)
                self._take_signals()
                self._hear_children()
                self._reap()
                now = time.monotonic()
                self._end_silent(now)
                self._do(self._roles.tick(now))
                self._starter.tidy(now)
                if not self._roles.is_stopping:
                    self._go_on(now)
                self._live(now)
                if not self._is_ready and not self._roles.is_stopping:
                    self._look_whether_ready()
                    if now > slow and not self._is_ready:
                        logger.warning("not ready after %.0f s", now - started)
                        slow = inf
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

        stops = (signal.SIGINT, signal.SIGTERM)
        caught = (*stops, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
        before = {number: signal.signal(number, note) for number in caught}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _wake)
        signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
        # they wait since the last program was left
        signal.pthread_sigmask(signal.SIG_UNBLOCK, before)
        try:
            yield receiver
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._kill_all()
            self._reload.close()
            self._starter.close()
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
            is_job = descriptors.is_terminal()
            if number == signal.SIGUSR2 or (number == signal.SIGHUP and not is_job):
                self._reload.want()
            elif number == signal.SIGUSR1:
                self._pass_on(number)
            else:
                if not self._roles.is_stopping:
                    logger.info("stopping; once more to stop at once")
                    self._pulse.stops()
                    self._reload.close()
                self._do(self._roles.stop(time.monotonic()))

    def _pass_on(self, number: int) -> None:
        for child in self._children.values():
            child.send_signal(number)

    def _go_on(self, now: float) -> None:
        """Do the next step of a reload, unless something else goes on."""
        # one that has ended is reaped in a moment
        is_settled = set(self._pulses.values()) == set(self._children)
        if not self._roles.is_renewing and is_settled:
            self._reload.go_on(now, self._inheritance, lambda: not self._signals)

    def _inheritance(self) -> Inheritance:
        listeners, handover = self._starter.kept()
        pulses = {number: fd for fd, number in self._pulses.items()}
        return Inheritance(
            settings=self._settings,
            arguments=tuple(self._arguments),
            file="" if self._file is None else str(self._file),
            claims=self._claims,
            listeners=listeners,
            handover=handover,
            roles=tuple(
                inheritance.Role(
                    self._names[number],
                    child.pid,
                    pulses[number],
                    self._starter.neighbour(number).incarnation,
                    self._roles.is_current(number),
                    number not in self._unready,
                    self._watchdog.beats_by(number),
                    self._roles.retires_by(number),
                    self._starter.neighbour(number).uids,
                )
                for number, child in self._children.items()
            ),
            is_ready=self._is_ready,
        )

    def _adopt(self, left: Inheritance, now: float) -> None:
        """Take over the children that the last program has started."""
        fronts = list(self._starter.names)
        for one in left.roles:
            name, is_current = one.name, one.is_current
            if name not in {SUPERVISOR, BROKER}:  # they may be more or fewer now
                is_current = is_current and bool(fronts)
                name = fronts.pop(0) if is_current else self._starter.names[0]
            if is_current:
                number = self._roles.adopt(name, now)
            else:
                number = self._roles.adopt_retired(name, one.retires_by, now)
            self._names[number] = name
            self._children[number] = children.Child(one.pid)
            self._pulses[one.pulse] = number
            self._starter.adopt(name, number, Neighbour(one.incarnation, one.uids))
            self._watchdog.adopt(number, one.beats_by, now)
            if not one.serves:
                self._unready.add(number)
            if one.is_current and not is_current:
                self._do([Retire(number)])
        if left.is_ready:
            self._is_ready = True
            self._roles.ready()

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
            self._starter.hears(number, said)
            if number in self._unready and (SERVES in said or BLIND in said):
                self._unready.remove(number)
                self._hear_serving(number, knows_farm=SERVES in said)

    def _hear_serving(self, number: int, *, knows_farm: bool) -> None:
        if not knows_farm and self._roles.is_fresh(number):
            logger.error("HUP: no broker tells a fresh front of the farm")
            self._do(self._roles.fails(number, time.monotonic()))
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
        if self._is_ready and not self._roles.is_renewing:
            self._reload.settle(self._roles.unrenewed)

    def _reap(self) -> None:
        for number, child in list(self._children.items()):
            code = child.poll()
            if code is None:
                continue
            del self._children[number]
            self._watchdog.leaves(number)
            self._unready.discard(number)
            self._starter.ended(number, time.monotonic())
            self._ended(number, code, children.how(code))

    def _ended(self, number: int, code: int, how: str) -> None:
        """Do what follows when a child has ended, or could not be started."""
        role = self._names.pop(number)
        is_killed = number in self._killed
        self._killed.discard(number)
        is_current = self._roles.is_current(number)
        is_fresh = self._roles.is_fresh(number)
        actions = self._roles.exited(number, code, time.monotonic())
        if self._roles.is_stopping:
            if actions and code not in {0, -signal.SIGTERM}:
                logger.error("role=%s %s", role, how)
        elif is_fresh and self._roles.is_held(role):
            if not is_killed:
                logger.error("role=%s %s; the old one goes on", role, how)
        elif is_current and self._roles.is_vacant(role):
            logger.error("role=%s %s; another one takes its place", role, how)
        elif is_fresh or is_current:
            pause = self._roles.pause_s(role)
            logger.error("role=%s %s; restarting in %g s", role, how, pause)
        elif code and not is_killed:
            logger.error("role=%s %s while it retired", role, how)
        self._do(actions)

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Start(role, number):
                    self._start(role, number)
                case Retire(number):  # it beats until it has ended
                    self._children[number].send_signal(signal.SIGUSR2)
                case Stop(number):
                    self._watchdog.leaves(number)
                    self._children[number].terminate()
                case Kill(number):
                    logger.warning("role=%s killed", self._names[number])
                    self._killed.add(number)
                    self._watchdog.leaves(number)
                    self._children[number].kill()
                case End(code):
                    self._code = code

    def _start(self, role: str, number: int) -> None:
        self._names[number] = role
        try:
            started = self._starter.start(role, number)
        except OSError as error:  # no descriptor, process or memory is left
            if not self._is_ready:
                raise  # whoever starts the farm is told at once
            how = f"cannot be started: {error.strerror}"
            self._ended(number, _NOT_STARTED, how)
            return
        self._unready.add(number)
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
        elif self._starter.names:
            for listener in self._settings.front.listen:
                for line in greeting.access(listener):
                    logger.info("%s: %s", listener, line)

    def _has_hosts(self) -> bool:
        # imported when all else is ready: what it needs would put off the start
        readiness = importlib.import_module("luafarm.command.readiness")
        return bool(readiness.has_hosts(self._settings))

    def _kill_all(self) -> None:
        # only when something unforeseen ended the loop are there any
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            child.wait()


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Let the wakeup descriptor tell of a child that ended."""
