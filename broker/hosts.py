"""The VM hosts' side of the loop: connections, and what hosts say, as events.

A host may be hostile: what it says has the right types when it gets here, but not
modest sizes or plausible numbers. Those are cut; who breaks the protocol is accused.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

import zmq

from broker import events as ev
from broker import links
from broker.library import Library
from broker.links import HostLink
from broker.scriptlog import ScriptLog
from luafarm import curve, scripterrors, wire
from luafarm.complaints import Complaints
from luafarm.errors import ProtocolError
from luafarm.messages import (
    PROTOCOL,
    Fenced,
    Gone,
    Hello,
    HostUp,
    Inventory,
    Loaded,
    LoadFailed,
    Message,
    Need,
    Refused,
    TakeInventory,
    Welcome,
)
from luafarm.names import TERM_SHIFT, Epoch, HostId

logger = logging.getLogger(f"luafarm.{__name__}")

_BATCH: Final = 256  # messages from one host before the others have a turn

MAX_DEPENDENCIES: Final = 10_000  # of one state; an honest script reads fewer files
_MAX_KIB: Final = 1 << 30  # a tebibyte
_MAX_LOAD_S: Final = 3600.0

TERMS_AHEAD: Final = 1 << 16
"""Terms above its own that a broker believes: of others, started more often."""


class Hosts:
    """Connections by host."""

    def __init__(
        self,
        context: links.Context,
        keys: curve.Keys | None,
        library: Library,
        script_log: ScriptLog,
        hello: Hello,
        term: int,
        tell: Callable[[ev.Event], None],
    ) -> None:
        """Connect to nobody yet; term: the broker's own."""
        self._latest = term + TERMS_AHEAD << TERM_SHIFT
        self._context = context
        self._keys = keys
        self._library = library
        self._script_log = script_log
        self._hello = hello
        self._tell = tell
        self._complaints = Complaints()
        self._links: dict[HostId, HostLink] = {}
        self._sockets: dict[links.Socket, HostId] = {}
        self._monitors: dict[links.Socket, HostId] = {}
        #: hosts that took no more orders last time; all and only those that were logged
        self._stuck: set[HostId] = set()

    # -- connections -----------------------------------------------------------------

    def connect(self, up: HostUp, poller: zmq.Poller) -> None:
        """Connect to a host that is not connected yet."""
        if up.host in self._links:
            return
        link = HostLink(self._context, up, self._keys, self._complaints)
        self._links[up.host] = link
        self._sockets[link.socket] = up.host
        poller.register(link.socket, zmq.POLLIN)
        if link.monitor is not None:
            self._monitors[link.monitor] = up.host
            poller.register(link.monitor, zmq.POLLIN)
        link.greet(self._hello, time.monotonic())

    def disconnect(self, host: HostId, poller: zmq.Poller) -> None:
        """End the connection to a host that is no more."""
        link = self._links.pop(host, None)
        if link is None:
            return
        self._stuck.discard(host)
        del self._sockets[link.socket]
        poller.unregister(link.socket)
        if link.monitor is not None:
            del self._monitors[link.monitor]
            poller.unregister(link.monitor)
        link.close()

    def link(self, host: HostId) -> HostLink | None:
        """Return the connection to a host."""
        return self._links.get(host)

    def send(self, host: HostId, message: Message) -> bool:
        """Send to a host; False when it is not there or takes no more."""
        link = self._links.get(host)
        if link is None:
            return False
        if not link.send(message):
            if host not in self._stuck:
                self._stuck.add(host)
                logger.error("host=%s takes no more orders", host)
            return False
        self._stuck.discard(host)
        return True

    def greet(self) -> None:
        """Greet again those that have not answered, and call who turned us away."""
        now = time.monotonic()
        for link in self._links.values():
            link.retry(now)
            if not link.is_welcome:
                link.greet(self._hello, now)

    def close(self) -> None:
        """End all connections."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    # -- what they say ---------------------------------------------------------------

    def read(self, socket: links.Socket) -> None:
        """Read from a socket that is readable, if it is a host's."""
        if socket in self._monitors:
            link = self._links[self._monitors[socket]]
            now = time.monotonic()
            if link.reconnected(now):
                link.greet(self._hello, now)
        elif socket in self._sockets:
            self._read(self._links[self._sockets[socket]])

    def _read(self, link: HostLink) -> None:
        for _ in range(_BATCH):
            frame = link.receive()
            if frame is None:
                return
            try:
                self._heard(link, wire.decode(frame))
            except ProtocolError as error:
                host = link.up.host
                logger.warning("host=%s broke the protocol: %s", host, error)
                self._tell(ev.Accused(host, str(error)))
                return

    def _heard(self, link: HostLink, message: Message) -> None:
        host = link.up.host
        match message:
            case Welcome(protocol):
                if protocol != PROTOCOL:
                    raise ProtocolError(f"it speaks protocol {protocol}")
                if not link.is_welcome:  # else an answer to a greeting said twice
                    link.is_welcome = True
                    link.asked_at = time.monotonic()
                    link.send(TakeInventory())
            case Refused(reason):
                cause = f"refused by {link.up.machine}"
                text = f"host={host} refuses this broker: {reason}"
                line = self._complaints.line(cause, text, time.monotonic())
                if line:
                    logger.error("%s", line)
            case Inventory(states):
                for state in states:
                    self._check_epoch(state.epoch)
                    _check_dependencies(len(state.dependencies))
                self._tell(ev.Inventoried(host, states, link.asked_at))
            case Loaded() | LoadFailed():
                self._check_epoch(message.epoch)
                _check_dependencies(len(message.dependencies))
                self._loaded(link, message, time.monotonic())
            case Gone(script, epoch, reason, log):
                self._check_epoch(epoch)
                self._script_log.lines(link.up.pool, script, log, time.monotonic())
                self._tell(
                    ev.StateGone(host, script, epoch, reason[: scripterrors.MAX_WORD])
                )
            case Fenced(script, epoch):
                self._check_epoch(epoch)
                self._tell(ev.FenceRaised(host, script, epoch))
            case Need():
                self._need(link, message)
            case _:
                raise ProtocolError(f"a VM host sent {type(message).__name__}")

    def _check_epoch(self, epoch: Epoch) -> None:
        # the broker counts on above what it hears: nobody may push it over the edge
        if not 0 <= epoch < self._latest:
            raise ProtocolError(f"epoch {epoch} is not of any broker so far")

    def _loaded(
        self, link: HostLink, message: Loaded | LoadFailed, since: float
    ) -> None:
        pool, script = link.up.pool, message.script
        self._library.read_events()
        used = self._library.used(pool, script, message.dependencies)
        paths = [script, *[path for path, _ in used]]

        def again(since: float) -> None:
            self._loaded(link, message, since)

        if self._library.waits(pool, paths, since, again):
            return
        changed = self._library.changed(pool, used)
        self._script_log.lines(pool, script, message.log, time.monotonic())
        if isinstance(message, Loaded):
            self._tell(
                ev.StateLoaded(
                    link.up.host,
                    script,
                    message.epoch,
                    min(max(message.load_us / 1e6, 0.0), _MAX_LOAD_S),
                    min(max(message.kib, 0), _MAX_KIB),
                    message.dependencies,
                    changed,
                )
            )
        else:
            self._tell(
                ev.LoadFailed(
                    link.up.host,
                    script,
                    message.epoch,
                    scripterrors.cut(message.error),
                    message.dependencies,
                    changed,
                )
            )

    def _need(self, link: HostLink, need: Need) -> None:
        now = time.monotonic()
        wait_s = link.needs.take(now)
        if wait_s > 0.0:
            self._library.later(
                now + wait_s, lambda since: self._answer(link, need, since)
            )
        else:
            self._answer(link, need, now)

    def _answer(self, link: HostLink, need: Need, since: float) -> None:
        if self._links.get(link.up.host) is not link:
            return

        def again(since: float) -> None:
            self._answer(link, need, since)

        source = self._library.answer(link.up.pool, need, since, again)
        if source is not None:
            link.send(source)


def _check_dependencies(number: int) -> None:
    if number > MAX_DEPENDENCIES:
        limit = f"the limit is {MAX_DEPENDENCIES}"
        raise ProtocolError(f"a state with {number} dependencies; {limit}")
