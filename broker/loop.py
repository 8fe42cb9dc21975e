"""The broker's loop: messages and file changes to events, actions to messages.

It polls, and decides nothing about the farm. Who calls is heard in
`broker.peers.callers`, VM hosts in `broker.peers.hosts`, files in
`broker.library.tree`; what they have to say are events for `broker.machine`, whose
actions are carried out here.
"""

# Impure.

import logging
import os
import signal
import time
from collections import deque
from pathlib import Path
from typing import assert_never

import zmq

from broker import actions as act
from broker import events as ev
from broker.library.tree import Library
from broker.machine import TICK_S, Broker
from broker.peers import zmqlink
from broker.peers.callers import NAME, Callers
from broker.peers.hosts import Hosts
from broker.preload import preloads
from broker.recorder import Recorder
from broker.resolve import shown
from broker.scriptlog import ScriptLog
from luafarm.config.settings import Settings
from luafarm.ends import Closing
from luafarm.keys import curve
from luafarm.keys.zap import ZapHandler
from luafarm.names import Script
from luafarm.process import rundir
from luafarm.process.pulse import Pulse
from luafarm.wire.messages import (
    PROTOCOL,
    Drop,
    Fence,
    Hello,
    HostUp,
    Kill,
    Recycle,
    Reloaded,
    Role,
)

logger = logging.getLogger(f"luafarm.{__name__}")


class Loop:
    """One broker: its sockets, its files, its machine."""

    def __init__(
        self,
        settings: Settings,
        endpoint: str,
        term: int,
        keys: curve.Keys | None = None,
        record: Path | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        """Make ready all but the endpoint, or raise SettingsError; then `open` it.

        record: file for what fronts and hosts report (`broker.recorder`). pulse: where
        to say that it lives.
        """
        now = time.monotonic()
        self.broker = Broker(settings, term, now, cores=os.cpu_count() or 1)
        self._settings = settings
        self._pulse = Pulse() if pulse is None else pulse
        self._has_said = False  # that it serves
        self._events: deque[ev.Event] = deque()
        self._recorder = Recorder(record) if record is not None else None
        self._poller = zmq.Poller()
        self._context: zmqlink.Context = zmq.Context()
        guard = keys if endpoint.startswith("tcp://") else None
        self._zap: ZapHandler | None = None
        if guard is not None:
            self._zap = ZapHandler(
                self._context, guard.badges, Role.FRONT, Role.SUPERVISOR, Role.COMMAND
            )
        self._router = zmqlink.router(self._context, endpoint, guard)
        if self._zap is not None:
            self._zap.watch(self._router)
        #: where it is to be bound; once it is, with the port that the system chose
        self.endpoint = endpoint
        self._library = Library(settings, self.broker.is_single)
        hello = Hello(PROTOCOL, Role.BROKER, NAME, rundir.machine(settings))
        tell = self._events.append
        self._script_log = ScriptLog(settings)
        self._hosts = Hosts(
            self._context,
            keys,
            self._library,
            self._script_log,
            hello,
            term,
            tell,
            self._poller,
            self._work,
        )
        self._callers = Callers(
            self._router,
            self.broker,
            self._library,
            self._connect,
            tell,
            self._work,
            None if guard is None else guard.badges,
            str(rundir.locate(settings.paths)),
        )
        self._next_tick = 0.0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_stopping = False

    # -- life ------------------------------------------------------------------------

    def check(self) -> None:
        """Raise zmq.ZMQError when it cannot be bound even where nobody else is."""
        zmqlink.check_place(self._context, self.endpoint)

    def open(self) -> None:
        """Bind the endpoint. Raise zmq.ZMQError when that cannot be."""
        self._router.bind(self.endpoint)
        self.endpoint = self._router.getsockopt_string(zmq.LAST_ENDPOINT)

    def run(self) -> None:
        """Serve until `stop`; to be called when it is open."""
        self._events.append(ev.Begun())
        self._poller.register(self._router, zmq.POLLIN)
        self._poller.register(self._wake_read, zmq.POLLIN)
        if self._library.fileno() < 0:
            logger.warning("%s; files are polled instead", self._library.trouble)
        if self._zap is not None:
            for socket in self._zap.sockets:
                self._poller.register(socket, zmq.POLLIN)
        self._preload()
        try:
            while not self._is_stopping:
                self._pass()
            self._pulse.stops()
        except Exception:
            for when, event, orders in self.broker.story:
                logger.warning(
                    "story now=%.6f event=%r actions=%r", when, event, orders
                )
            raise
        finally:
            self.close()

    def stop(self) -> None:
        """End `run` soon; may be called from a signal handler or another thread."""
        if self._is_stopping:
            return  # the pipe may be closed
        os.write(self._wake_write, b"x")
        # last: once it is set `run` may close the pipe. At worst it waits for a tick
        self._is_stopping = True

    def catch_signals(self) -> None:
        """Let TERM and INT end `run`, and USR2: another broker waits to take over."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
            signal.signal(number, lambda _number, _frame: self.stop())

    def close(self) -> None:
        """Close all sockets and watches."""
        self._hosts.close()
        if self._zap is not None:
            self._zap.close()
        self._router.close()
        self._library.close()
        if self._recorder is not None:
            self._recorder.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._context.term()

    def _pass(self) -> None:
        self._listen()
        due_s = min(self._next_tick, self._library.due_at()) - time.monotonic()
        # rounded up: a poll that ends too early would only poll again
        wait_ms = 0 if self._hosts.is_behind else max(0, int(due_s * 1000 + 0.999))
        ready = dict(self._poller.poll(wait_ms))
        now = time.monotonic()
        if self._library.fileno() in ready:
            self._library.read_events()
        if self._wake_read in ready:
            os.read(self._wake_read, 1000)
        if self._zap is not None:
            self._zap.handle()
        if self._router in ready:
            self._callers.read()
        self._hosts.read(ready)
        changed = self._library.settled(now)
        self._realign()
        if changed:
            files, passed = tuple(changed.files), tuple(changed.passed)
            self._events.append(ev.Changed(files, passed=passed))
        self._library.release(now)
        if now >= self._next_tick:
            self._next_tick = now + TICK_S
            self._events.append(ev.Ticked())
            self._callers.tick()
            self._hosts.tick(now)
            self._script_log.tick(now)
            self._live(now)
        self._work()

    def _live(self, now: float) -> None:
        """Say that this loop turns, and from when on it decides."""
        self._pulse.beat(now)
        if not self._has_said and self.broker.farm.bulletin.is_open:
            self._has_said = True
            self._pulse.serves("serving")

    def _realign(self) -> None:
        aliases = self._library.take_aliases()
        if aliases is not None:
            self._events.append(ev.Realigned(aliases))

    def _listen(self) -> None:
        """Have inotify wake us, or not while that is of no use."""
        fd = self._library.fileno()
        if fd >= 0 and self._library.listens != (fd in self._poller):
            if self._library.listens:
                self._poller.register(fd, zmq.POLLIN)
            else:
                self._poller.unregister(fd)

    def _preload(self) -> None:
        for path in preloads(self._settings, self.broker.farm.pools):
            self._pulse.beat(time.monotonic())
            found, _ = self._library.find(path)
            if found is not None and found.is_whole:
                self._events.append(ev.Preloaded(found))

    def _connect(self, up: HostUp, incarnation: int) -> None:
        if up.pool in self.broker.farm.pools:
            keeper = (up.machine, incarnation)
            is_fresh = self.broker.census.is_fresh(keeper, time.monotonic())
            self._hosts.connect(up, is_fresh=is_fresh)

    # -- actions ---------------------------------------------------------------------

    def _work(self) -> None:
        while self._events:
            event = self._events.popleft()
            now = time.monotonic()
            self._pulse.beat(now)  # many events may take long
            if self._recorder is not None:
                self._recorder.record(event, now)
            for action in self.broker.handle(event, now):
                self._act(action)

    def _act(self, action: act.Action) -> None:  # noqa: C901 - one row each
        match action:
            case act.Tell(front, message):
                for peer in (front,) if front else tuple(self.broker.fronts):
                    self._callers.tell(peer, message)
            case act.Load():
                self._load(action)
            case act.Drop(host, script, epoch):
                self._hosts.send(host, Drop(script, epoch))
            case act.Fence(host, script, epoch):
                self._hosts.send(host, Fence(script, epoch))
            case act.Watch():
                self._library.watch(action)
            case act.Unwatch():
                self._library.unwatch(action)
            case act.WatchBarrier():
                self._library.watch_barrier(action)
            case act.UnwatchBarrier():
                self._library.unwatch_barrier(action)
            case act.Keep():
                self._library.keep(action)
            case act.Answer(ticket, is_ok, error, script):
                self._callers.commands.answer(
                    ticket, Reloaded(is_ok, _told(script, error))
                )
            case act.Recycle(machine, host, reason):
                self._callers.tell_supervisor(machine, Recycle(host, reason))
            case act.KillHost(machine, host, reason):
                self._hosts.cut(host)
                self._callers.tell_supervisor(machine, Kill(host, reason))
            case act.Forget(host):
                self._hosts.disconnect(host)
            case act.Log(level, text, pool):
                if pool is None:
                    logger.log(getattr(logging, level.upper()), "%s", text)
                else:
                    self._script_log.write(pool, level, text, time.monotonic())
            case _:
                assert_never(action)

    def _load(self, action: act.Load) -> None:
        order = self._library.order(action)
        if order is None or not self._hosts.send(action.host, order):
            # the file has changed, or the host takes no more
            host, script, epoch = action.host, action.script, action.epoch
            self._events.append(ev.StateGone(host, script, epoch, Closing.UNSENT))


def _told(script: Script, error: str) -> str:
    """Return an error with the name of its script, as most have it already."""
    name = shown(script)
    return error if name in error else f"{name}: {error}"
