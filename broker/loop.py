"""The broker's loop: messages and file changes to events, actions to messages.

The only module that polls. It decides nothing about the farm; what it delays are
events about files that may still be changing: what a state was loaded from is compared
with the files only when their changes have settled.
"""

import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, assert_never

import zmq

from broker import actions as act
from broker import events as ev
from broker import links
from broker.links import HostLink
from broker.machine import Machine
from broker.policies import pool_paths
from broker.preload import preloads
from broker.recorder import Recorder
from broker.sources import Sources
from broker.status import status
from broker.watch import Watcher
from luafarm import curve, wire
from luafarm.errors import ProtocolError
from luafarm.loglines import decode as log_lines
from luafarm.messages import (
    PROTOCOL,
    Accuse,
    Blob,
    Dependency,
    Drop,
    Fence,
    Fenced,
    Gone,
    Hello,
    HostLost,
    HostUp,
    Inventory,
    Kill,
    Load,
    Loaded,
    LoadFailed,
    MachineReport,
    Message,
    Miss,
    Need,
    Pressure,
    Recycle,
    Reload,
    Reloaded,
    Report,
    Role,
    Source,
    StatusIs,
    StatusWanted,
    TakeInventory,
    Welcome,
)
from luafarm.names import HostId, Pool, Script
from luafarm.names import Machine as MachineName
from luafarm.settings import Settings

logger = logging.getLogger(f"luafarm.{__name__}")

TICK_S: Final = 0.1

_MAX_BLOBS: Final = 16 << 20
"""Bytes of modules that travel with a Load; what is over is asked for with Need."""

_MAX_HELD: Final = 10_000
_BATCH: Final = 256  # messages from one socket before the others have a turn
_LONGEST_HOLD_S: Final = 1.0
_HELLO_AGAIN_S: Final = 1.0
_NAME: Final = "broker"

_Held = tuple[float, float, Callable[[float], None]]
"""(due, since, what to do then with `since`)."""


class Loop:
    """One broker: its sockets, its watcher, its machine."""

    def __init__(
        self,
        settings: Settings,
        endpoint: str,
        term: int,
        keys: curve.Keys | None = None,
    ) -> None:
        self.machine = Machine(
            settings, term, time.monotonic(), cores=os.cpu_count() or 1
        )
        self._settings = settings
        self._keys = keys
        paths = pool_paths(settings)
        self._sources = Sources(paths, settings.broker.max_source)
        self._watcher = Watcher(
            self._sources, settings.broker.settle, settings.broker.poll
        )
        self._context: links.Context = zmq.Context()
        self._zap: curve.ZapHandler | None = None
        if keys is not None:
            self._zap = curve.ZapHandler(self._context, keys.allowed)
        self._router = links.bind(self._context, endpoint, keys)
        #: where it is bound, with the port that the system chose
        self.endpoint = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self._peers: dict[bytes, Hello] = {}
        self._behind: dict[bytes, None] = {}
        self._supervisors: dict[MachineName, bytes] = {}
        self._hosts: dict[HostId, HostLink] = {}
        self._sockets: dict[links.Socket, HostId] = {}
        self._monitors: dict[links.Socket, HostId] = {}
        self._poller = zmq.Poller()
        self._events: deque[ev.Event] = deque()
        self._recorder: Recorder | None = None
        if settings.broker.record:
            self._recorder = Recorder(Path(settings.broker.record))
        self._held: list[_Held] = []
        self._tickets: dict[bytes, bytes] = {}
        self._next_ticket = 0
        self._next_tick = 0.0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False

    # -- life ------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until `stop`."""
        self._poller.register(self._router, zmq.POLLIN)
        self._poller.register(self._wake_read, zmq.POLLIN)
        if self._watcher.fileno() >= 0:
            self._poller.register(self._watcher.fileno(), zmq.POLLIN)
        else:
            logger.warning("%s; files are polled instead", self._watcher.trouble)
        if self._zap is not None:
            self._poller.register(self._zap.socket, zmq.POLLIN)
        self._preload()
        try:
            while not self._stopping:
                self._turn()
        except Exception:
            for when, event, orders in self.machine.story:
                logger.warning(
                    "story now=%.6f event=%r actions=%r", when, event, orders
                )
            raise
        finally:
            self.close()

    def stop(self) -> None:
        """End `run` soon; may be called from a signal handler or another thread."""
        self._stopping = True
        os.write(self._wake_write, b"x")

    def catch_signals(self) -> None:
        """Let TERM and INT end `run`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self.stop())

    def close(self) -> None:
        """Close all sockets and watches."""
        for link in self._hosts.values():
            link.close()
        self._hosts.clear()
        self._router.close()
        if self._zap is not None:
            self._zap.close()
        self._watcher.close()
        if self._recorder is not None:
            self._recorder.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._context.term()

    def _turn(self) -> None:
        ready = dict(self._poller.poll(max(0, round(self._wait_s() * 1000 + 0.4))))
        now = time.monotonic()
        if self._watcher.fileno() in ready:
            self._watcher.read_events(now)
        if self._wake_read in ready:
            os.read(self._wake_read, 1000)
        if self._zap is not None and self._zap.socket in ready:
            self._zap.handle()
        if self._router in ready:
            self._read_router()
        for socket in ready:
            if isinstance(socket, zmq.Socket):
                if socket in self._sockets:
                    self._read_host(self._sockets[socket])
                elif socket in self._monitors:
                    self._host_connected(self._monitors[socket])
        self._watch(now)
        self._release(now)
        if now >= self._next_tick:
            self._next_tick = now + TICK_S
            self._ticked()
        self._work()

    def _wait_s(self) -> float:
        now = time.monotonic()
        due = [self._next_tick, self._watcher.polls_at()]
        settles_at = self._watcher.settles_at()
        if settles_at is not None:
            due.append(settles_at)
        due += [held[0] for held in self._held]
        return max(0.0, min(due) - now)

    def _ticked(self) -> None:
        self._event(ev.Ticked())
        for peer in list(self._behind):
            if (
                links.send(self._router, peer, self.machine.farm.bulletin.snapshot())
                is not False
            ):
                self._behind.pop(peer, None)
        for link in self._hosts.values():
            if not link.is_welcome:
                link.send(self._hello())

    def _preload(self) -> None:
        for path in preloads(self._settings, self.machine.farm.pools):
            found = self._sources.find(path)
            if found is not None:
                self._event(ev.Preloaded(found))

    # -- events and actions ----------------------------------------------------------

    def _event(self, event: ev.Event) -> None:
        self._events.append(event)

    def _work(self) -> None:
        while self._events:
            event = self._events.popleft()
            now = time.monotonic()
            if self._recorder is not None:
                self._recorder.record(event, now)
            for action in self.machine.handle(event, now):
                self._act(action)

    def _act(self, action: act.Action) -> None:  # noqa: C901 - one row each
        match action:
            case act.Tell(front, message):
                for peer in (front,) if front else tuple(self.machine.fronts):
                    self._tell(peer, message)
            case act.Load():
                self._load(action)
            case act.Drop(host, script, epoch):
                self._to_host(host, Drop(script, epoch))
            case act.Fence(host, script, epoch):
                self._to_host(host, Fence(script, epoch))
            case act.Watch(pool, path, digest):
                self._watcher.follow((pool, path), digest, time.monotonic())
            case act.Unwatch(pool, path):
                self._watcher.unfollow((pool, path))
            case act.Keep(script, digests):
                self._sources.keep(script, digests)
            case act.Answer(ticket, is_ok, error):
                self._answer(ticket, Reloaded(is_ok, error))
            case act.Recycle(machine, host, reason):
                self._to_supervisor(machine, Recycle(host, reason))
            case act.Kill(machine, host, reason):
                self._to_supervisor(machine, Kill(host, reason))
            case act.Forget(host):
                self._disconnect(host)
            case act.Log(level, text):
                logger.log(getattr(logging, level.upper()), "%s", text)
            case _:
                assert_never(action)

    def _tell(self, peer: bytes, message: Message) -> None:
        if peer in self._behind:
            return  # it gets a snapshot as soon as it takes messages again
        sent = links.send(self._router, peer, message)
        if sent is None:
            self._peers.pop(peer, None)
            self._event(ev.FrontLeft(peer))
        elif not sent:
            logger.warning("front=%s reads too slowly", self._name(peer))
            self._behind[peer] = None

    def _to_host(self, host: HostId, message: Message) -> None:
        link = self._hosts.get(host)
        if link is not None and not link.send(message):
            logger.error("host=%s takes no more orders", host)

    def _to_supervisor(self, machine: MachineName, message: Message) -> None:
        peer = self._supervisors.get(machine)
        if peer is not None:
            links.send(self._router, peer, message)

    def _answer(self, ticket: bytes, message: Message) -> None:
        peer = self._tickets.pop(ticket, None)
        if peer is not None:
            links.send(self._router, peer, message)

    def _load(self, action: act.Load) -> None:
        pool = action.pool
        source = self._sources.content(pool, action.script, action.digest)
        link = self._hosts.get(action.host)
        if source is not None and link is not None:
            order = Load(
                action.script,
                action.epoch,
                action.digest,
                source,
                self._blobs(pool, action.dependencies),
                action.limits,
            )
            if link.send(order):
                return
        # the file is another one by now, or the host takes no more
        self._watcher.hint((pool, action.script), time.monotonic())
        reason = "unsent"
        self._event(ev.StateGone(action.host, action.script, action.epoch, reason))

    def _blobs(
        self, pool: Pool, dependencies: tuple[Dependency, ...]
    ) -> tuple[Blob, ...]:
        blobs: list[Blob] = []
        left = _MAX_BLOBS
        for d in dependencies:
            source = b""
            if d.path:
                content = self._sources.content(pool, d.path, d.digest)
                if content is None or len(content) > left:
                    continue  # the host asks for it
                source = content
                left -= len(content)
            blobs.append(Blob(d.kind, d.name, d.path, d.digest, source))
        return tuple(blobs)

    # -- files -----------------------------------------------------------------------

    def _watch(self, now: float) -> None:
        settles_at = self._watcher.settles_at()
        if settles_at is not None and now >= settles_at:
            changed = self._watcher.changes()
            if changed:
                self._event(ev.Changed(tuple(changed)))
        if now >= self._watcher.polls_at():
            self._watcher.poll(now)

    def _hold(self, since: float, again: Callable[[float], None]) -> None:
        """Do this again when the files have settled."""
        due = self._watcher.settles_at()
        now = time.monotonic()
        if due is None:
            due = now + self._settings.broker.settle
        self._held.append((due, since, again))

    def _release(self, now: float) -> None:
        if not self._held:
            return
        due = [held for held in self._held if held[0] <= now]
        self._held = [held for held in self._held if held[0] > now]
        for _, since, again in due:
            again(since)

    def _is_unsettled(self, pool: Pool, paths: list[bytes], since: float) -> bool:
        """Say whether one of these files may be half of a change that goes on."""
        if time.monotonic() - since > _LONGEST_HOLD_S or len(self._held) >= _MAX_HELD:
            return False
        settle_s = self._settings.broker.settle
        return any(
            self._watcher.is_hinted((pool, path))
            if self._watcher.is_followed((pool, path))
            else self._sources.is_young(path, settle_s)
            for path in paths
        )

    # -- fronts, supervisors, commands -----------------------------------------------

    def _read_router(self) -> None:
        for _ in range(_BATCH):
            try:
                frames = self._router.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            if len(frames) != 2:
                continue
            peer, frame = frames
            try:
                self._from_peer(peer, wire.decode(frame))
            except ProtocolError as error:
                logger.warning(
                    "peer=%s broke the protocol: %s", self._name(peer), error
                )

    def _name(self, peer: bytes) -> str:
        hello = self._peers.get(peer)
        return hello.name if hello is not None else peer.hex()

    def _from_peer(self, peer: bytes, message: Message) -> None:
        if isinstance(message, Hello):
            self._greet(peer, message)
            return
        hello = self._peers.get(peer)
        if hello is None:
            return  # it says Hello again when it finds out that we are new
        match hello.role:
            case Role.FRONT:
                self._from_front(peer, message)
            case Role.SUPERVISOR:
                self._from_supervisor(peer, hello, message)
            case Role.COMMAND:
                self._from_command(peer, message)
            case _:
                raise ProtocolError(f"{hello.role.name} sent {type(message).__name__}")

    def _greet(self, peer: bytes, hello: Hello) -> None:
        self._welcome(peer)
        if hello.protocol != PROTOCOL:
            logger.error(
                "peer=%s speaks protocol %d, this broker %d; it is refused",
                hello.name,
                hello.protocol,
                PROTOCOL,
            )
            return
        self._peers[peer] = hello
        if hello.role == Role.FRONT:
            self._behind.pop(peer, None)
            self._event(ev.FrontJoined(peer))
        elif hello.role == Role.SUPERVISOR:
            self._supervisors[hello.machine] = peer

    def _welcome(self, peer: bytes) -> None:
        term = self.machine.farm.term
        links.send(self._router, peer, Welcome(PROTOCOL, Role.BROKER, _NAME, term))

    def _from_front(self, peer: bytes, message: Message) -> None:
        match message:
            case Miss(path, idle):
                self._missed(peer, path, idle, time.monotonic())
            case Pressure(script, waited_us, queued, total_us, idle):
                self._event(
                    ev.Pressed(script, waited_us / 1e6, queued, total_us / 1e6, idle)
                )
            case Report():
                self._event(ev.Reported(peer, message))
            case Accuse(host, why):
                self._event(ev.Accused(host, why))
            case _:
                raise ProtocolError(f"a front sent {type(message).__name__}")

    def _missed(
        self, peer: bytes, path: bytes, idle: tuple[HostId, ...], since: float
    ) -> None:
        found = self._sources.find(path)
        if found is not None and self._is_unsettled(found.pool, [found.script], since):
            self._hold(since, lambda since: self._missed(peer, path, idle, since))
            return
        self._event(ev.Missed(peer, path, found, idle))

    def _from_supervisor(self, peer: bytes, hello: Hello, message: Message) -> None:
        match message:
            case HostUp() if message.machine == hello.machine:
                self._connect(message)
            case HostLost():
                link = self._hosts.get(message.host)
                if link is not None and link.up.machine == hello.machine:
                    self._event(ev.HostLeft(message))
            case MachineReport():
                if not self.machine.census.knows(hello.machine):
                    self._welcome(peer)  # so it announces its hosts again
                self._event(ev.MachineReported(hello.machine, message))
            case _:
                raise ProtocolError(f"a supervisor sent {type(message).__name__}")

    def _from_command(self, peer: bytes, message: Message) -> None:
        match message:
            case StatusWanted():
                self._work()
                names = {p: hello.name for p, hello in self._peers.items()}
                text = status(
                    self.machine, names, self._watcher.status(), time.monotonic()
                )
                links.send(self._router, peer, StatusIs(text))
            case Reload(path, is_waiting):
                self._reload(peer, path, is_waiting)
            case _:
                raise ProtocolError(f"a command sent {type(message).__name__}")

    def _reload(self, peer: bytes, path: bytes, is_waiting: bool) -> None:
        self._watcher.read_events(time.monotonic())
        changed = tuple(self._watcher.check(path))
        self._next_ticket += 1
        ticket = b"%d" % self._next_ticket if is_waiting else b""
        if is_waiting:
            self._tickets[ticket] = peer
        self._event(ev.Changed(changed, ticket, path))
        if not is_waiting:
            self._work()
            links.send(self._router, peer, Reloaded(True, ""))

    # -- VM hosts --------------------------------------------------------------------

    def _hello(self) -> Hello:
        machine = MachineName(self._settings.vmhost.machine)
        return Hello(PROTOCOL, Role.BROKER, _NAME, machine)

    def _connect(self, up: HostUp) -> None:
        if up.host not in self._hosts and up.pool in self.machine.farm.pools:
            link = HostLink(self._context, up, self._keys)
            self._hosts[up.host] = link
            self._sockets[link.socket] = up.host
            self._poller.register(link.socket, zmq.POLLIN)
            if link.monitor is not None:
                self._monitors[link.monitor] = up.host
                self._poller.register(link.monitor, zmq.POLLIN)
            link.send(self._hello())
        self._event(ev.HostJoined(up))

    def _host_connected(self, host: HostId) -> None:
        link = self._hosts[host]
        if link.reconnected():
            link.send(self._hello())

    def _disconnect(self, host: HostId) -> None:
        link = self._hosts.pop(host, None)
        if link is None:
            return
        del self._sockets[link.socket]
        self._poller.unregister(link.socket)
        if link.monitor is not None:
            del self._monitors[link.monitor]
            self._poller.unregister(link.monitor)
        link.close()

    def _read_host(self, host: HostId) -> None:
        for _ in range(_BATCH):
            link = self._hosts.get(host)
            frame = link.receive() if link is not None else None
            if link is None or frame is None:
                return
            try:
                self._from_host(link, wire.decode(frame))
            except ProtocolError as error:
                logger.warning("host=%s broke the protocol: %s", host, error)
                self._event(ev.Accused(host, str(error)))
                return

    def _from_host(self, link: HostLink, message: Message) -> None:
        host = link.up.host
        match message:
            case Welcome(protocol):
                if protocol != PROTOCOL:
                    raise ProtocolError(f"it speaks protocol {protocol}")
                link.is_welcome = True
                link.send(TakeInventory())
            case Inventory(states):
                self._event(ev.Inventoried(host, states))
            case Loaded() | LoadFailed():
                self._loaded(link, message, time.monotonic())
            case Gone(script, epoch, reason):
                self._event(ev.StateGone(host, script, epoch, reason))
            case Fenced(script, epoch):
                self._event(ev.FenceRaised(host, script, epoch))
            case Need():
                self._need(link, message)
            case _:
                raise ProtocolError(f"a VM host sent {type(message).__name__}")

    def _loaded(
        self, link: HostLink, message: Loaded | LoadFailed, since: float
    ) -> None:
        host, pool = link.up.host, link.up.pool
        script = message.script
        self._watcher.read_events(time.monotonic())
        used = self._sources.used(pool, script, message.dependencies)
        paths = [script, *[path for path, _ in used]]
        if self._is_unsettled(pool, paths, since):
            self._hold(since, lambda since: self._loaded(link, message, since))
            return
        changed = [
            now
            for path, digest in used
            if (now := self._sources.look(pool, path)).digest != digest
        ]
        self._log_script(script, message.log)
        if isinstance(message, Loaded):
            self._event(
                ev.StateLoaded(
                    host,
                    script,
                    message.epoch,
                    message.load_us / 1e6,
                    message.kib,
                    message.dependencies,
                    tuple(changed),
                )
            )
        else:
            self._event(
                ev.LoadFailed(
                    host,
                    script,
                    message.epoch,
                    message.error,
                    message.dependencies,
                    tuple(changed),
                )
            )

    def _log_script(self, script: Script, log: bytes) -> None:
        for level, text in log_lines(log):
            logger.log(
                getattr(logging, level.upper()),
                "script=%s %s",
                os.fsdecode(script),
                text,
            )

    def _need(self, link: HostLink, need: Need) -> None:
        blob, error = self._sources.answer(
            link.up.pool, need.script, need.kind, need.name
        )
        link.send(Source(need.ticket, blob, error))
