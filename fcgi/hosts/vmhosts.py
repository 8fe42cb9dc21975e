"""VM hosts as a front knows them: their connections, from their birth to their end.

A host that breaks the protocol is accused at the broker, which has it killed, and is
not heard any more. One that has died is heard to its end first: what it sent before is
still an answer.
"""

# Impure, compiled.

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from fcgi import share
from fcgi.dispatch import conduct
from fcgi.dispatch.conduct import Conduct
from fcgi.hosts.context import Context
from fcgi.hosts.supervisors import Supervisors
from fcgi.hosts.zmqlink import HOST_HWM, ZmqLink
from fcgi.hosts.zmtplink import ZmtpLink
from luafarm.config.settings import Settings
from luafarm.ends import Budget, Death
from luafarm.names import HostId, RequestId
from luafarm.wire import loglines
from luafarm.wire.messages import Accuse, HostLost, HostUp, Message

logger = logging.getLogger("luafarm.front")

NOTICE_S: Final = 0.25  # how long HostLost may come after the connection broke
DRAIN_S: Final = 1.0  # how long a dead host may be heard: as much as a socket holds
MAX_WHY: Final = 300  # characters of what it is accused of
MAX_ACCUSED: Final = 1024  # VM hosts that are remembered: their names never come again

HostLink = ZmqLink | ZmtpLink
"""A connection to a VM host, with keys and without."""


class Owner(Protocol):
    """Who is told of VM hosts."""

    def host_found(self, name: HostId) -> None:
        """Take note of a new one, which has not said Welcome yet."""

    def host_says(self, name: HostId, frame: bytes) -> None:
        """Take what one says."""

    def host_suspect(self, name: HostId) -> None:
        """Send one nothing more: its end will be told."""

    def host_gone(
        self,
        name: HostId,
        running: RequestId | None,
        begun: tuple[RequestId, ...],
        budget: Budget,
    ) -> None:
        """Take one out.

        running: what it ran, None: nobody knows. budget: whose excess ended it.
        """


class _Host:
    """One VM host."""

    def __init__(self, link: HostLink) -> None:
        self.link = link
        self.conduct = Conduct()
        self.is_dead = False  # and is being heard to its end


class VmHosts:
    """The connections to all VM hosts."""

    def __init__(
        self,
        context: Context,
        settings: Settings,
        owner: Owner,
        say: Callable[[Message], None],
    ) -> None:
        """say: to the broker."""
        self._context = context
        self._settings = settings
        self._owner = owner
        self._say = say
        self._hosts: dict[HostId, _Host] = {}
        self._accused: dict[HostId, str] = {}  # why; not heard any more
        self._supervisors = Supervisors(context, self.lost)

    def up(self, up: HostUp) -> None:
        """Connect to a host that the broker has announced, unless that is done."""
        name = up.host
        why = self._accused.get(name)
        if why is not None:  # nobody has heard: the broker was away, or is a new one
            self._say(Accuse(name, why))
            return
        is_open = up.endpoint.startswith("tcp://") and not up.server_key
        if is_open and self._context.keys is not None:
            whom = f"machine {up.machine}"
            self._context.refused(whom, f"host {name} has no key")
            return
        if name in self._hosts:
            return
        self._owner.host_found(name)
        self._hosts[name] = _Host(self._connect(up))
        self._supervisors.listen(up)

    def only(self, named: set[HostId]) -> None:
        """Forget hosts that the broker does not know."""
        for name in [name for name in self._hosts if name not in named]:
            self._forget(name, RequestId(0), (), Budget.NONE)
        for name in [name for name in self._accused if name not in named]:
            del self._accused[name]

    def lost(self, lost: HostLost) -> None:
        """Take note that a host has ended; it is told once it is heard to its end."""
        self._accused.pop(lost.host, None)
        host = self._hosts.get(lost.host)
        if host is None or host.is_dead:
            return
        logger.info(
            "host lost host=%s reason=%s script=%s",
            lost.host,
            lost.reason,
            loglines.printable(lost.script.decode("utf-8", "replace")),
        )
        self._owner.host_suspect(lost.host)
        host.is_dead = True
        self._hear_out(host.link, lost, time.monotonic() + DRAIN_S)

    def send(self, name: HostId, frame: bytes) -> bool:
        """Send a frame; False when the host is gone or takes no more."""
        host = self._hosts.get(name)
        return host is not None and host.link.send(frame)

    def send_piece(self, name: HostId, frame: bytes) -> int:
        """Send what the host has asked for; return where it ends, as `taken` counts."""
        return self._hosts[name].link.send_piece(frame)

    def taken(self, name: HostId) -> int:
        """Return the bytes that a host has taken, of all that it was sent."""
        return self._hosts[name].link.taken

    def conduct(self, name: HostId) -> Conduct:
        """Return what a host has said that is not about a run."""
        return self._hosts[name].conduct

    def accuse(self, name: HostId, why: str) -> None:
        """Have a host killed that broke the protocol, and hear no more of it."""
        if name not in self._hosts:
            return
        why = loglines.printable(why[:MAX_WHY])  # it may quote the host
        logger.error("host %s broke the protocol: %s", name, why)
        if len(self._accused) >= MAX_ACCUSED:
            del self._accused[next(iter(self._accused))]
        self._accused[name] = why
        self._say(Accuse(name, why))
        self._forget(name, None, (), Budget.NONE)

    def close(self) -> None:
        """Close every connection."""
        for host in self._hosts.values():
            host.link.close()
        self._supervisors.close()

    def _connect(self, up: HostUp) -> HostLink:
        name = up.host
        hear = partial(self._owner.host_says, name)
        greet = partial(self._greet, name)
        lose = partial(self._connection_lost, name)
        largest = conduct.longest_frame(self._settings, up.pool)
        if not up.server_key:
            loop = self._context.loop
            return ZmtpLink(loop, up.endpoint, hear, greet, lose, largest)
        whom = f"a VM host of machine {up.machine}"
        return self._context.connect(
            up.endpoint, up.server_key, whom, hear, greet, lose, HOST_HWM, largest
        )

    def _greet(self, name: HostId) -> None:
        host = self._hosts[name]
        host.conduct.greet()
        host.link.send(self._context.hello)

    def _connection_lost(self, name: HostId, why: str) -> None:
        """Take note that a connection is over; why: its host broke the protocol."""
        if why:
            self.accuse(name, why)
            return
        self._owner.host_suspect(name)
        self._context.loop.call_later(NOTICE_S, self._give_up, name)

    def _give_up(self, name: HostId) -> None:
        """Take out a host of which nobody has said how it ended.

        If it lives it is of no use to this front any more: its identity and endpoint
        are never used twice. So it is to be replaced.
        """
        if name in self._hosts:
            self._say(Accuse(name, "its connection to a front broke"))
            self._forget(name, None, (), Budget.NONE)

    def _hear_out(self, link: HostLink, lost: HostLost, until: float) -> None:
        """Hear a dead host to its end, a share in each pass; then take it out.

        until: seconds; then the rest is dropped: one that still sends is not dead.
        """
        share_ends = time.monotonic() + share.SECONDS
        while link.hear_next():
            now = time.monotonic()
            if now >= until:
                break
            if now >= share_ends:
                self._context.loop.call_soon(self._hear_out, link, lost, until)
                return
        running: RequestId | None = lost.running
        if lost.reason is Death.PROTOCOL and not running:
            running = None  # it may have hidden what it ran: the next is not to have it
        self._forget(lost.host, running, lost.begun, lost.reason.budget)

    def _forget(
        self,
        name: HostId,
        running: RequestId | None,
        begun: tuple[RequestId, ...],
        budget: Budget,
    ) -> None:
        host = self._hosts.pop(name, None)
        if host is None:
            return
        self._supervisors.forget(name)
        host.link.close()
        self._owner.host_gone(name, running, begun, budget)
