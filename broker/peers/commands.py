"""What commands ask of the broker: its status, and reloads."""

# Impure.

import time
from collections.abc import Callable
from typing import Final

from broker import events as ev
from broker.library.tree import Library
from broker.machine import Broker
from broker.peers import zmqlink
from broker.resolve import shown
from broker.status import status
from luafarm.errors import ProtocolError
from luafarm.wire.messages import (
    Hello,
    Message,
    Reload,
    Reloaded,
    StatusIs,
    StatusWanted,
)

_MAX_TICKETS: Final = 1000


class Commands:
    """Those who have asked, and those of them who wait for an answer."""

    def __init__(
        self,
        router: zmqlink.Socket,
        broker: Broker,
        library: Library,
        tell: Callable[[ev.Event], None],
        work: Callable[[], None],
        hellos: Callable[[], dict[bytes, Hello]],
    ) -> None:
        """hellos: of all peers of the router."""
        self._router = router
        self._broker = broker
        self._library = library
        self._tell = tell
        self._work = work
        self._hellos = hellos
        #: who waits until a reload has come everywhere
        self._tickets: dict[bytes, bytes] = {}
        self._next_ticket = 0
        #: reloads that wait until the broker knows what hosts hold
        self._early: list[tuple[bytes, bytes, bool]] = []

    def take(self, peer: bytes, message: Message) -> None:
        """Do what a command asks for. Raise ProtocolError."""
        match message:
            case StatusWanted():
                self._work()
                files = self._library.status()
                text = status(self._broker, self._hellos(), files, time.monotonic())
                zmqlink.send(self._router, peer, StatusIs(text))
            case Reload(path, is_waiting):
                self._reload(peer, path, is_waiting=is_waiting)
            case _:
                raise ProtocolError(f"a command sent {type(message).__name__}")

    def answer(self, ticket: bytes, message: Message) -> None:
        """Answer the command that waits for this."""
        peer = self._tickets.pop(ticket, None)
        if peer is not None:
            zmqlink.send(self._router, peer, message)

    def tick(self) -> None:
        """Do what was put off, if it can be done by now."""
        if self._early and self._broker.farm.bulletin.is_open:
            early, self._early = self._early, []
            for peer, path, is_waiting in early:
                self._reload(peer, path, is_waiting=is_waiting)

    def _reload(self, peer: bytes, path: bytes, *, is_waiting: bool) -> None:
        if not self._broker.farm.bulletin.is_open:
            # what the hosts hold is not known yet, and so not what may be old
            if len(self._early) < _MAX_TICKETS:
                self._early.append((peer, path, is_waiting))
            return
        unknown = self._library.unknown(path)
        if unknown:
            zmqlink.send(self._router, peer, Reloaded(False, unknown))
            return
        changed = self._library.check(path)
        realign(self._library, self._tell)
        if changed.unread:
            # the rest is not taken back: the watcher would not find it again
            self._tell(ev.Changed(tuple(changed.files), passed=tuple(changed.passed)))
            file = changed.unread[0]
            why = f"cannot read {shown(file.path)} just now: {file.error}"
            zmqlink.send(self._router, peer, Reloaded(False, why))
            return
        if not is_waiting:
            self._tell(ev.Changed(tuple(changed.files), passed=tuple(changed.passed)))
            self._work()
            zmqlink.send(self._router, peer, Reloaded(True, ""))
            return
        if len(self._tickets) >= _MAX_TICKETS:
            zmqlink.send(self._router, peer, Reloaded(False, "too many wait already"))
            return
        self._next_ticket += 1
        ticket = b"%d" % self._next_ticket
        self._tickets[ticket] = peer
        files, passed = tuple(changed.files), tuple(changed.passed)
        meant = self._library.meant(path)
        self._tell(ev.Changed(files, ticket, path, meant, passed))


def realign(library: Library, tell: Callable[[ev.Event], None]) -> None:
    """Tell of other names of roots before what is said by them."""
    aliases = library.take_aliases()
    if aliases is not None:
        tell(ev.Realigned(aliases))
