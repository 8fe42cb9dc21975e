"""FastCGI listeners: the listening sockets of a front and all their connections.

Several fronts take connections from the same sockets. All are told of a new one, and
the first to come gets it: one with much to do comes later. A few at a time, so that a
burst of connections that will be kept does not end up with one front.

A front that retires gives its idle connections to the others, unread: what a web server
has sent, or sends meanwhile, is read by the one that takes the connection. So neither
side sees a close, and no request is lost to one.
"""

# Impure.

import asyncio
import contextlib
import errno
import logging
import os
import socket
import time
from typing import Final

from fcgi.channel import Channel, Channels
from fcgi.endpoints import endpoints
from fcgi.family import Handover
from fcgi.fastcgi.peer import Peer
from fcgi.service import Service
from fcgi.terms import Terms
from luafarm.config.settings import Front

logger = logging.getLogger("luafarm.front")

_ACCEPTS_ALONE: Final = 64
_ACCEPTS_SHARED: Final = 8
"""Connections taken in one pass of the loop. Where several fronts share them, fewer
spread kept connections better, but requests over fresh ones travel in smaller batches:
with 16 they cost two thirds to nine tenths of what they cost with 1 or 4 (2 cores)."""

_TAKES: Final = 16  # connections taken from other fronts in one pass
_FIRST_S: Final = 1.0  # for the first request of a connection taken in at the end
_RETIRE_S: Final = 0.005  # how often a front that retires looks for idle connections


class Server:
    """The FastCGI listeners of one front and all their connections."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        front: Front,
        terms: Terms,
        service: Service,
        handover: Handover | None = None,
    ) -> None:
        self._loop = loop
        self._service = service
        self._terms = terms
        self._endpoints = endpoints(front, service.status_page)
        self._gauges = service.gauges
        self._backlog = front.backlog
        self._peers: set[Peer] = set()
        self._channels = Channels(loop)
        self._sockets: list[socket.socket] = []
        self._handover = handover
        self._accepts = _ACCEPTS_ALONE if handover is None else _ACCEPTS_SHARED
        self._is_accepting = False
        self._is_draining = False
        self._retiring: asyncio.TimerHandle | None = None
        self._allowed = _web_server_addrs(front.web_server_addrs)
        self._spare = os.open(os.devnull, os.O_RDONLY)  # given up to answer EMFILE
        self._sweeper = loop.call_later(1.0, self._sweep)

    def listen(self, sockets: list[socket.socket]) -> None:
        """Accept connections from listening sockets, and take those of other fronts."""
        for sock in sockets:
            sock.setblocking(False)
        self._sockets = sockets
        self._start_accepting()

    def drain(self) -> None:
        """Take in what waits, then nothing; close each connection when it is idle."""
        self._stop_retiring()
        for peer in list(self._peers):
            peer.drain()
        for sock in self._sockets:
            for _ in range(self._backlog):
                if not self._accept_one(sock):
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
        self._channels.close()
        os.close(self._spare)
        if self._handover is not None:
            self._handover.close()

    def take_in(self, connection: socket.socket) -> None:
        """Serve a connection."""
        peer = Peer(self._service, self._terms, self._endpoints, self._gone)
        self._peers.add(peer)
        self._gauges.connections = len(self._peers)
        memory = self._terms.reply_memory
        peer.open(Channel(self._channels, connection, peer, memory))
        if self._is_draining:  # it waited for us: its first request is on its way
            self._loop.call_later(_FIRST_S, peer.drain)

    def is_empty(self) -> bool:
        """Return whether no connection is left."""
        return not self._peers

    # ---- accepting -----------------------------------------------------------------

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(self._accepts):
            if self._is_full() or not self._accept_one(sock):
                return

    def _accept_one(self, sock: socket.socket) -> bool:
        """Take a connection; False when there is none, or none can be had now."""
        try:
            connection, address = sock.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError as error:
            self._accept_failed(sock, error)
            return False
        self._gauges.accepted += 1
        if self._allowed and not self._is_allowed(connection, address):
            connection.close()
        else:
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.take_in(connection)
        return True

    def _is_full(self) -> bool:
        """Return whether no more may be taken in; stop accepting if so."""
        most = self._terms.limits.max_connections
        if len(self._peers) < most:
            return False
        logger.warning(
            "max_connections=%d reached; no more are accepted until one closes",
            most,
        )
        self._stop_accepting()
        return True

    def _gone(self, peer: Peer) -> None:
        """Take note that a connection is no more."""
        self._peers.discard(peer)
        self._gauges.connections = len(self._peers)
        if not self._is_accepting and not self._is_draining:
            self._start_accepting()

    def _accept_failed(self, sock: socket.socket, error: OSError) -> None:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            logger.error("accept: %s", error)
            return
        # without a free descriptor the listener would spin: take one and refuse
        logger.warning("out of file descriptors; raise LimitNOFILE (ulimit -n)")
        os.close(self._spare)
        with contextlib.suppress(OSError):
            sock.accept()[0].close()
        self._spare = os.open(os.devnull, os.O_RDONLY)

    def _is_allowed(self, connection: socket.socket, address: object) -> bool:
        if connection.family == socket.AF_UNIX or not isinstance(address, tuple):
            return False  # 3.2: the list names the only peers there may be
        if address[0].removeprefix("::ffff:") in self._allowed:
            return True
        logger.warning("connection from %s refused: web_server_addrs", address[0])
        return False

    def _start_accepting(self) -> None:
        self._is_accepting = True
        for sock in self._sockets:
            self._loop.add_reader(sock.fileno(), self._accept, sock)
        if self._handover is not None:
            self._loop.add_reader(self._handover.fileno(), self._take_over)

    def _stop_accepting(self) -> None:
        if not self._is_accepting:
            return
        self._is_accepting = False
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
        if self._handover is not None:
            self._loop.remove_reader(self._handover.fileno())

    def _close_listeners(self) -> None:
        self._is_draining = True
        self._stop_accepting()
        for sock in self._sockets:
            sock.close()
        self._sockets = []

    # ---- other fronts --------------------------------------------------------------

    def _take_over(self) -> None:
        """Take connections that another front has given away."""
        assert self._handover is not None
        for _ in range(_TAKES):
            if self._is_full():
                return
            connection = self._handover.take()
            if connection is None:
                return
            self.take_in(connection)

    def _give_away(self) -> None:
        """Give every idle connection to the other fronts, now and in a moment again."""
        handover = self._handover
        assert handover is not None
        for peer in list(self._peers):
            peer.pass_on(handover.give)
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
        self._sweeper = self._loop.call_later(1.0, self._sweep)


def _web_server_addrs(addresses: tuple[str, ...]) -> frozenset[str]:
    """Return the addresses of the settings and of FCGI_WEB_SERVER_ADDRS (2.3, 3.2)."""
    given = os.environ.get("FCGI_WEB_SERVER_ADDRS", "")
    listed = [a.strip() for a in given.split(",") if a.strip()]
    return frozenset([*addresses, *listed])
