"""The listening sockets of a front, and all connections of its clients.

Several fronts take connections from the same sockets. All are told of a new one, and
the first to come gets it: one with much to do comes later. A few at a time, so that a
burst of connections that will be kept does not end up with one front.

A front that retires gives its idle connections to the others, unread: what a client
has sent, or sends meanwhile, is read by the one that takes the connection. So neither
side sees a close, and no request is lost to one.

Where there are as many as may be, those over HTTP that are idle close for new ones:
else a few clients that keep connections would keep out the web server. A web server's
own are left to it: it takes care of them, and may be just about to use one.
"""

# Impure.

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import ClassVar, Final, Protocol

from fcgi.channel import Channels
from fcgi.family import Handover
from fcgi.gauges import Gauges

logger = logging.getLogger("luafarm.front")

_ACCEPTS_ALONE: Final = 64
_ACCEPTS_SHARED: Final = 8
"""Connections taken in one pass of the loop. Where several fronts share them, fewer
spread kept connections better, but requests over fresh ones travel in smaller batches:
with 16 they cost two thirds to nine tenths of what they cost with 1 or 4 (2 cores)."""

_TAKES: Final = 16  # connections taken from other fronts in one pass
_FIRST_S: Final = 1.0  # for the first request of a connection taken in at the end
_COMPLAIN_S: Final = 60.0  # between two complaints that nobody can be accepted
_SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE})
_RETIRE_S: Final = 0.005  # how often a front that retires looks for idle connections


class Peer(Protocol):
    """One connection."""

    def sweep(self, now: float) -> None:
        """Act on time; once a second."""

    def drain(self) -> None:
        """Close once what is in is answered."""

    def make_way(self, now: float) -> bool:
        """Close if nothing has gone on for a while and the client can bear it."""
        ...

    def pass_on(self, give: Callable[[int], bool]) -> None:
        """Give the connection away if nothing is going on: unread, without a close.

        give: takes its descriptor, and may say no; the connection stays then.
        """


class Listener(Protocol):
    """What speaks a protocol on the connections of some listening sockets."""

    #: the byte that names the protocol to other fronts
    mark: ClassVar[bytes]

    def is_allowed(self, connection: socket.socket, address: object) -> bool:
        """Return whether a client may connect from there."""
        ...

    def take_in(self, connection: socket.socket) -> Peer:
        """Speak on a connection from now on."""
        ...


Ear = tuple[socket.socket, Listener]
"""A listening socket, and who speaks on what comes from it."""


class Connections:
    """All connections of a front."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        max_connections: int,
        backlog: int,
        gauges: Gauges,
        handover: Handover | None = None,
    ) -> None:
        """backlog: connections that may wait in the kernel, per socket."""
        self.channels = Channels(loop)
        self._peers: dict[Peer, Listener] = {}  # who has taken it in
        self._loop = loop
        self._ears: Sequence[Ear] = ()
        self._max_connections = max_connections
        self._backlog = backlog
        self._gauges = gauges
        self._handover = handover
        self._accepts = _ACCEPTS_ALONE if handover is None else _ACCEPTS_SHARED
        self._is_accepting = False
        self._is_draining = False
        self._was_full = False  # and said so; half of them may close before it is again
        self._retiring: asyncio.TimerHandle | None = None
        self._complained_at = -_COMPLAIN_S  # that none can be accepted
        self._sweeper = loop.call_later(1.0, self._sweep)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._peers)

    def listen(self, ears: Sequence[Ear]) -> None:
        """Accept connections from listening sockets, and take those of other fronts."""
        for sock, _ in ears:
            sock.setblocking(False)
        self._ears = ears
        self._start_accepting()

    def drain(self) -> None:
        """Take in what waits, then nothing; close each connection when it is idle."""
        self._stop_retiring()
        # a connection with a request that nobody has looked at yet is not idle
        self.channels.attend_to_all()
        for peer in list(self._peers):
            peer.drain()
        for sock, listener in self._ears:
            for _ in range(self._backlog):
                if not self._accept_one(sock, listener, is_last=True):
                    break
        self._close_listeners()

    def retire(self) -> None:
        """Accept nothing more; give each connection to other fronts when it is idle."""
        self._close_listeners()
        self._give_away()

    def close(self) -> None:
        """Let go of everything."""
        self._stop_retiring()
        self._sweeper.cancel()
        self.channels.close()
        if self._handover is not None:
            self._handover.close()

    def gone(self, peer: Peer) -> None:
        """Take note that a connection is no more."""
        self._peers.pop(peer, None)
        self._gauges.connections = len(self._peers)
        if not self._is_accepting and not self._is_draining:
            self._start_accepting()

    # ---- accepting -----------------------------------------------------------------

    def _accept(self, sock: socket.socket, listener: Listener) -> None:
        for _ in range(self._accepts):
            if self._is_full() or not self._accept_one(sock, listener):
                return

    def _accept_one(
        self, sock: socket.socket, listener: Listener, *, is_last: bool = False
    ) -> bool:
        """Take a connection; False when there is none, or none can be had now."""
        try:
            connection, address = sock.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError as error:
            self._accept_failed(error)
            return False
        self._gauges.accepted += 1
        if not listener.is_allowed(connection, address):
            connection.close()
            return True
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = self._take_in(connection, listener)
        if is_last:  # it waited for us: its first request is on its way
            self._loop.call_later(_FIRST_S, peer.drain)
        return True

    def _take_in(self, connection: socket.socket, listener: Listener) -> Peer:
        peer = listener.take_in(connection)
        self._peers[peer] = listener
        self._gauges.connections = len(self._peers)
        return peer

    def _is_full(self) -> bool:
        """Return whether no more may be taken in; stop accepting if so.

        Somebody waits, so those that can be spared make way for him.
        """
        if len(self._peers) < self._max_connections:
            return False
        if not self._was_full:
            self._was_full = True
            logger.warning(
                "max_connections=%d reached; no more are accepted until one closes",
                self._max_connections,
            )
        self._stop_accepting()
        self._make_way(time.monotonic())
        return True

    def _make_way(self, now: float) -> None:
        spare = (peer for peer in list(self._peers) if peer.make_way(now))
        for _ in islice(spare, self._accepts):
            pass

    def _accept_failed(self, error: OSError) -> None:
        """Leave it to the kernel's queue, or others, who cannot be accepted now.

        Until a connection closes, or the next look: a listener that is asked on and on
        would take a processor, and who is accepted to be closed has lost a request.
        """
        self._stop_accepting()
        now = time.monotonic()
        self._make_way(now)
        if now - self._complained_at < _COMPLAIN_S:
            return
        self._complained_at = now
        hint = "; raise LimitNOFILE (ulimit -n)" if error.errno in _SHORT else ""
        logger.warning(
            "accept: %s: with %d connections no more are accepted until one closes%s",
            error.strerror,
            len(self._peers),
            hint,
        )

    def _start_accepting(self) -> None:
        self._is_accepting = True
        for sock, listener in self._ears:
            self._loop.add_reader(sock.fileno(), self._accept, sock, listener)
        if self._handover is not None:
            self._loop.add_reader(self._handover.fileno(), self._take_over)

    def _stop_accepting(self) -> None:
        if not self._is_accepting:
            return
        self._is_accepting = False
        for sock, _ in self._ears:
            self._loop.remove_reader(sock.fileno())
        if self._handover is not None:
            self._loop.remove_reader(self._handover.fileno())

    def _close_listeners(self) -> None:
        self._is_draining = True
        self._stop_accepting()
        for sock, _ in self._ears:
            sock.close()
        self._ears = ()

    # ---- other fronts --------------------------------------------------------------

    def _take_over(self) -> None:
        """Take connections that another front has given away."""
        assert self._handover is not None
        for _ in range(_TAKES):
            if self._is_full():
                return
            taken = self._handover.take()
            if taken is None:
                return
            mark, connection = taken
            self._adopt(mark, connection)

    def _adopt(self, mark: bytes, connection: socket.socket) -> None:
        for _, listener in self._ears:
            if listener.mark == mark:
                self._take_in(connection, listener)
                return
        connection.close()  # its protocol is served here no more

    def _give_away(self) -> None:
        """Give every idle connection to the other fronts, now and in a moment again."""
        handover = self._handover
        assert handover is not None
        for peer, listener in list(self._peers.items()):
            peer.pass_on(partial(handover.give, listener.mark))
        # looked for again and again: it would cost every request to be told
        self._retiring = self._loop.call_later(_RETIRE_S, self._give_away)

    def _stop_retiring(self) -> None:
        if self._retiring is not None:
            self._retiring.cancel()
            self._retiring = None

    def _sweep(self) -> None:
        now = time.monotonic()
        for peer in list(self._peers):
            peer.sweep(now)
        if len(self._peers) <= self._max_connections // 2:
            self._was_full = False
        if self._ears and not self._is_accepting:
            self._start_accepting()  # some that could not be spared may be idle now
        self._sweeper = self._loop.call_later(1.0, self._sweep)
