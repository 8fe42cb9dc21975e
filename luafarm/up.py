"""`luafarm up`: a whole farm in one terminal. The loop around `luafarm.roles`."""

import contextlib
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Final

from luafarm import asking, children, endpoints, greeting, probe
from luafarm.configure import Configuration
from luafarm.roles import Action, End, Kill, Roles, Start, Stop

ROLES: Final = ("broker", "vmhost", "fcgi")

_READY_EVERY_S: Final = 0.05
_SLOW_START_S: Final = 15.0
_STOP_MARGIN_S: Final = 5.0  # beyond what the roles themselves allow to finish
_PASSED_ON: Final = (signal.SIGHUP, signal.SIGUSR1)
_STATUS_TIMEOUT_S: Final = 0.2  # signals wait for so long at most

logger = logging.getLogger("luafarm.up")


class Farm:
    """The roles as child processes, and the signals that reach this process."""

    def __init__(self, configuration: Configuration, arguments: Sequence[str]) -> None:
        self._configuration = configuration
        self._arguments = list(arguments)  # --config and --set for the roles
        settings = configuration.settings
        self._roles = Roles(ROLES, settings.vmhost.stop_timeout + _STOP_MARGIN_S)
        listeners = [endpoints.parse_listener(x) for x in settings.front.listen]
        self._sockets = [listener.fd for listener in listeners if listener.fd >= 0]
        self._children: dict[str, children.Child] = {}
        self._signals: list[int] = []
        self._is_ready = False
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
                self._reap()
                now = time.monotonic()
                self._do(self._roles.tick(now))
                if not self._is_ready and not self._roles.is_stopping:
                    self._look_whether_ready()
                    if now > slow and not self._is_ready:
                        logger.warning("not ready after %.0f s", now - started)
                        slow = float("inf")
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
            os.close(receiver)
            os.close(sender)

    def _wait(self, wakeup: int) -> None:
        due = self._roles.next_due()
        timeout = None if due is None else max(0.0, due - time.monotonic())
        if not self._is_ready and not self._roles.is_stopping:
            timeout = _READY_EVERY_S
        select.select([wakeup], [], [], timeout)
        with contextlib.suppress(BlockingIOError):
            os.read(wakeup, 4096)

    def _take_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            # a terminal that is closed says HUP as well, and means the end
            if number in _PASSED_ON and not (number == signal.SIGHUP and _is_a_job()):
                for child in self._children.values():
                    child.send_signal(number)
                continue
            if not self._roles.is_stopping:
                logger.info("stopping; once more to stop at once")
            self._do(self._roles.stop(time.monotonic()))

    def _reap(self) -> None:
        for role, child in list(self._children.items()):
            code = child.poll()
            if code is None:
                continue
            del self._children[role]
            actions = self._roles.exited(role, code, time.monotonic())
            if not self._roles.is_stopping:
                pause = self._roles.pause_s(role)
                logger.error("role=%s %s; restarting in %g s", role, _how(code), pause)
            elif actions and code not in {0, -signal.SIGTERM}:
                logger.error("role=%s %s", role, _how(code))
            self._do(actions)

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Start(role):
                    sockets = self._sockets if role == "fcgi" else ()
                    self._children[role] = children.start(
                        role, self._arguments, sockets=sockets
                    )
                case Stop(role):
                    self._children[role].terminate()
                case Kill(role):
                    logger.warning("role=%s killed", role)
                    self._children[role].kill()
                case End(code):
                    self._code = code

    def _look_whether_ready(self) -> None:
        settings = self._configuration.settings
        if not probe.is_listening(settings.front):
            return
        try:
            status = json.loads(asking.status(settings, _STATUS_TIMEOUT_S))
        except (asking.NoAnswerError, ValueError):
            return
        hosts = probe.host_counts(status)
        if any(
            hosts[name] < max(1, pool.hosts) for name, pool in settings.pool.items()
        ):
            return
        self._is_ready = True
        self._roles.ready()
        greeting.show(settings)

    def _kill_all(self) -> None:
        # only when something unforeseen ended the loop are there any
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            child.wait()


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Let the wakeup descriptor tell of a child that ended."""


def _is_a_job() -> bool:
    return os.isatty(sys.stdin.fileno()) if sys.stdin else False


def _how(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
