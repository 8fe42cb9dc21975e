"""VM hosts as a front knows them: their connections, from their birth to their end.

A connection is not its host. If it is lost it is made again, and the host is asked what
became of what it was sent; until then its runs wait. They end when its supervisor says
that it died, or when nobody listens at its socket any more; what it sent before is
still an answer, so it is heard to the end of its connection first. What the broker does
not hear of gets nothing new, and is let go when it has answered.

A host that breaks the protocol is accused at the broker, which has it killed, and is
not heard any more.
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
from fcgi.dispatch.losses import MOST_LATE
from fcgi.hosts.context import Context
from fcgi.hosts.supervisors import Supervisors
from fcgi.hosts.zmqlink import HOST_HWM, ZmqLink
from fcgi.hosts.zmtplink import ZmtpLink
from luafarm.config.settings import Settings
from luafarm.ends import Budget, Death
from luafarm.names import HostId, RequestId
from luafarm.wire import codec, loglines
from luafarm.wire.messages import (
    Accuse,
    Cancel,
    HostLost,
    HostUp,
    Message,
    Recall,
)

logger = logging.getLogger("luafarm.front")

NOTICE_S: Final = 0.25  # how long HostLost may come after nobody listens any more
ASK_S: Final = 5.0
"""How long a host of another machine may be out of reach before its runs are answered
without it. One of this machine may be busy for longer, and cannot be cut off."""

PATIENCE_S: Final = 10.0
"""Beyond its longest run, in which it cannot hear, a host of this machine answers."""

DRAIN_S: Final = 1.0  # how long a dead host may be heard: what is on its way takes less
MAX_WHY: Final = 300  # characters of what it is accused of
MAX_ACCUSED: Final = 1024  # VM hosts that are remembered: their names never come again

_NOTHING: Final = codec.encode(Cancel(RequestId(0)))  # no run has this number

HostLink = ZmqLink | ZmtpLink
"""A connection to a VM host, with keys and without."""


class Owner(Protocol):
    """Who is told of VM hosts."""

    def host_found(self, name: HostId) -> None:
        """Take note of a new one, which has not said Welcome yet."""

    def host_says(self, name: HostId, frame: bytes) -> None:
        """Take what one says."""

    def host_away(self, name: HostId) -> None:
        """Send one nothing more: its end, or its return, will be told."""

    def host_back(self, name: HostId) -> None:
        """Send one something again, which took nothing for a while."""

    def host_unlisted(self, name: HostId) -> None:
        """Send one nothing new: the broker does not hear of it."""

    def host_unreached(self, name: HostId) -> None:
        """Answer what one has that is away for too long, and may live."""

    def has_runs(self, name: HostId) -> bool:
        """Return whether one has still to answer something."""
        ...

    def host_gone(
        self,
        name: HostId,
        running: RequestId | None,
        begun: tuple[RequestId, ...] | None,
        budget: Budget,
    ) -> None:
        """Take one out.

        running: what it ran, None: the oldest that it has. begun: what it began, None:
        nobody knows. budget: whose excess ended it.
        """


class _Host:
    """One VM host."""

    def __init__(
        self, link: HostLink, hello: bytes, most_away_s: float, *, is_local: bool
    ) -> None:
        self.link = link
        self.hello = hello  # it knows us by that over all connections
        self.is_local = is_local
        #: for longer no honest host leaves a greeting unanswered
        self.most_away_s = most_away_s
        self.is_linked = False  # there is a connection
        self.conduct = Conduct()
        self.lost: HostLost | None = None  # it is dead, and heard to its end
        self.until = 0.0  # at most
        self.away_since = 0.0  # its connection was lost then; 0: it has answered since
        self.is_unreached = False  # for so long that its runs were answered


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
        self._away: dict[HostId, _Host] = {}  # all and only those, and the dead
        self._stuck: set[HostId] = set()  # took something no more; not away, they think
        self._unlisted: set[HostId] = set()  # the broker does not hear of them
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
        self._unlisted.discard(name)
        if name in self._hosts:
            return
        self._owner.host_found(name)
        self._hosts[name] = _Host(
            self._connect(up),
            self._context.new_hello(),
            conduct.longest_s(self._settings, up.pool) + PATIENCE_S,
            is_local=up.endpoint.startswith("ipc://"),
        )
        self._supervisors.listen(up)

    def only(self, named: set[HostId]) -> None:
        """Send nothing new to hosts that the broker does not know."""
        for name in [name for name in self._hosts if name not in named]:
            self.unlisted(name)
        for name in [name for name in self._accused if name not in named]:
            del self._accused[name]

    def unlisted(self, name: HostId) -> None:
        """Send a host nothing new; let it go when it has answered what it has."""
        if name in self._hosts:
            self._unlisted.add(name)
            self._owner.host_unlisted(name)

    def lost(self, lost: HostLost) -> None:
        """Take note that a host has ended; it is told once it is heard to its end."""
        self._accused.pop(lost.host, None)
        host = self._hosts.get(lost.host)
        if host is None or host.lost is not None:
            return
        if lost.reason is Death.STOPPED:
            logger.debug("host ended as asked host=%s", lost.host)
        else:
            logger.info(
                "host lost host=%s reason=%s script=%s",
                lost.host,
                lost.reason,
                loglines.printable(lost.script.decode("utf-8", "backslashreplace")),
            )
        self._owner.host_away(lost.host)
        host.lost = lost
        host.until = time.monotonic() + DRAIN_S
        self._away[lost.host] = host
        self._hear_out(host, lost)

    def send(self, name: HostId, frame: bytes) -> bool:
        """Send a frame; False when the host is gone or takes no more."""
        host = self._hosts.get(name)
        if host is None:
            return False
        is_sent = host.link.send(frame)
        if not is_sent and name not in self._away:
            self._stuck.add(name)
        return is_sent

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
        self._forget(name, None, None, Budget.NONE)

    def answered(self, name: HostId) -> None:
        """Take note that a host is there, and has told all that it was asked."""
        host = self._hosts[name]
        host.away_since = 0.0
        host.is_unreached = False
        if host.lost is None:
            self._away.pop(name, None)

    def recall(self, name: HostId, wanted: tuple[RequestId, ...]) -> None:
        """Ask a host that is there again what became of its runs."""
        host = self._hosts[name]
        host.conduct.ask()
        host.link.send(codec.encode(Recall(wanted)))

    def tick(self, now: float) -> None:
        """Look at who is away; call every 100 ms or so."""
        for name in list(self._away):
            self._look(name, self._away[name], now)
        for name in list(self._stuck):
            if name in self._away:
                self._stuck.discard(name)
            elif self._hosts[name].link.send(_NOTHING):
                self._stuck.discard(name)
                self._owner.host_back(name)
        for name in list(self._unlisted):
            host = self._hosts[name]
            is_needed = host.lost is not None or self._owner.has_runs(name)
            if not is_needed:
                self._forget(name, RequestId(0), None, Budget.NONE)

    def woke(self, now: float) -> None:
        """Give everybody who is away as much time again: this front was stopped."""
        for host in self._away.values():
            host.until = now + DRAIN_S
            if host.away_since:
                host.away_since = now

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
        host.is_linked = True
        host.conduct.greet()
        host.link.send(host.hello)

    def _connection_lost(self, name: HostId, why: str) -> None:
        """Take note that a connection is over; why: its host broke the protocol."""
        if why:
            self.accuse(name, why)
            return
        host = self._hosts.get(name)
        if host is None:
            return
        # what came over this one is heard before the next one says anything
        for _ in range(MOST_LATE):
            if name not in self._hosts or not host.link.hear_next():
                break
        if name not in self._hosts:
            return
        host.is_linked = False
        host.away_since = host.away_since or time.monotonic()
        if host.lost is not None:
            self._end(host.lost)
            return
        self._away[name] = host
        self._owner.host_away(name)
        host.link.reconnect()

    def _look(self, name: HostId, host: _Host, now: float) -> None:
        """Decide whether a host that is away is waited for any longer."""
        if host.lost is not None:
            if now >= host.until:
                self._end(host.lost)
            return
        away_s = now - host.away_since
        if host.link.is_refused and away_s >= NOTICE_S:
            # on this machine: a host that lives has its socket until it ends
            self._say(Accuse(name, "nobody listens at its socket"))
            self._forget(name, RequestId(0), None, Budget.NONE)
        elif host.is_local or host.is_linked:  # it may be busy
            if away_s >= host.most_away_s:
                self.accuse(name, f"it answers no greeting for {away_s:.0f} s")
        elif away_s >= ASK_S and name in self._unlisted:
            # the broker does not reach it either
            self._forget(name, RequestId(0), None, Budget.NONE)
        elif away_s >= ASK_S and not host.is_unreached:
            host.is_unreached = True
            logger.warning("host %s cannot be reached; its runs are given up", name)
            self._owner.host_unreached(name)

    def _hear_out(self, host: _Host, lost: HostLost) -> None:
        """Hear a dead host to its end, a share in each pass; then take it out.

        What it sent last may be on its way yet: its end is that of the connection.
        """
        share_ends = time.monotonic() + share.SECONDS
        while host.link.hear_next():
            now = time.monotonic()
            if now >= host.until:  # one that still sends is not dead
                break
            if now >= share_ends:
                self._context.loop.call_soon(self._hear_out, host, lost)
                return
        if not host.is_linked and self._hosts.get(lost.host) is host:
            self._end(lost)

    def _end(self, lost: HostLost) -> None:
        running: RequestId | None = lost.running
        if lost.reason is Death.PROTOCOL and not running:
            running = None  # it may have hidden what it ran: the next is not to have it
        self._forget(lost.host, running, lost.begun, lost.reason.budget)

    def _forget(
        self,
        name: HostId,
        running: RequestId | None,
        begun: tuple[RequestId, ...] | None,
        budget: Budget,
    ) -> None:
        host = self._hosts.pop(name, None)
        if host is None:
            return
        self._away.pop(name, None)
        self._unlisted.discard(name)
        self._stuck.discard(name)
        self._supervisors.forget(name)
        host.link.close()
        self._owner.host_gone(name, running, begun, budget)
