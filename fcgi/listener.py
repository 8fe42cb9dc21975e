"""FastCGI listeners: the listening sockets of a front and all their connections."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import time
from pathlib import Path
from typing import cast

from fcgi import params, reply
from fcgi.peer import FcgiExchange, Peer
from fcgi.request import Limits
from fcgi.service import Service
from luafarm.settings import Settings

logger = logging.getLogger("luafarm.front")


class Server:
    """The FastCGI listeners of one front and all their connections."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, settings: Settings, service: Service
    ) -> None:
        self.front = front = settings.front
        self.heads = reply.Heads(front.max_reply_header)
        self.trusted_pools = frozenset(
            [name for name, pool in settings.pool.items() if pool.trust == "trusted"]
        )
        self.service = service
        self.limits = Limits(
            max_connections=front.max_connections,
            requests_per_connection=front.requests_per_connection,
            max_params=front.max_params,
            max_param=front.max_param,
            max_body=front.max_body,
            inline_body=front.inline_body,
            idle_s=front.idle_timeout,
            receive_s=front.receive_timeout,
        )
        self.peers: set[Peer] = set()
        self._loop = loop
        self._sockets: list[socket.socket] = []
        self._is_accepting = False
        self._is_draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening = 0  # accepted, not in `peers` yet
        self._allowed = _web_server_addrs(front.web_server_addrs)
        self._ping = front.ping_path.encode()
        self._status = front.status_path.encode()
        self._spare = os.open(os.devnull, os.O_RDONLY)  # given up to answer EMFILE
        self._sweeper = loop.call_later(1.0, self._sweep)
        self.accepted = 0

    def listen(self, sock: socket.socket) -> None:
        """Accept connections from a listening socket."""
        sock.setblocking(False)
        self._sockets.append(sock)
        self._loop.add_reader(sock.fileno(), self._accept, sock)
        self._is_accepting = True

    def drain(self) -> None:
        """Accept nothing more; close each connection when it is idle."""
        self._is_draining = True
        self._stop_accepting()
        for sock in self._sockets:
            _close_listener(sock)
        self._sockets = []
        for peer in list(self.peers):
            peer.drain()

    def close(self) -> None:
        """Let go of everything."""
        self._sweeper.cancel()
        os.close(self._spare)

    def gone(self, peer: Peer) -> None:
        """Take note that a connection is no more."""
        self.peers.discard(peer)
        if not self._is_accepting and not self._is_draining:
            for sock in self._sockets:
                self._loop.add_reader(sock.fileno(), self._accept, sock)
            self._is_accepting = True

    def gauges(self) -> dict[str, int]:
        """Return the counts of `luafarm status`."""
        return {"connections": len(self.peers), "accepted": self.accepted}

    def answers_itself(self, exchange: FcgiExchange) -> bool:
        """Answer the front's own endpoints, ping and status."""
        if not self._ping and not self._status:
            return False
        name = params.find(exchange.request.params, b"SCRIPT_NAME")
        if not name or name not in {self._ping, self._status}:
            return False
        body = b"pong" if name == self._ping else self._status_text()
        exchange.reply(b"Status: 200 OK\r\nContent-Type: text/plain", body, b"")
        return True

    def _status_text(self) -> bytes:
        gauges = {
            **self.gauges(),
            "requests": self.service.requests,
            "errors": self.service.errors,
            "outstanding": self.service.outstanding,
            "broker": int(self.service.term > 0),
        }
        return "".join(f"{k}: {v}\n" for k, v in sorted(gauges.items())).encode()

    # ---- accepting -----------------------------------------------------------------

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(64):
            if len(self.peers) + self._opening >= self.front.max_connections:
                logger.warning(
                    "max_connections=%d reached; no more are accepted until one closes",
                    self.front.max_connections,
                )
                self._stop_accepting()
                return
            try:
                connection, address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._accept_failed(sock, error)
                return
            self.accepted += 1
            if self._allowed and not self._is_allowed(connection, address):
                connection.close()
                continue
            connection.setblocking(False)
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._opening += 1
            task = self._loop.create_task(self._open(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: cast("asyncio.Protocol", Peer(self)), connection
            )
        except OSError as error:
            logger.info("connection lost at its start: %s", error)
            connection.close()
        finally:
            self._opening -= 1

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

    def _stop_accepting(self) -> None:
        self._is_accepting = False
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())

    def _sweep(self) -> None:
        now = time.monotonic()
        for peer in list(self.peers):
            peer.sweep(now)
        self._sweeper = self._loop.call_later(1.0, self._sweep)


def _web_server_addrs(addresses: tuple[str, ...]) -> frozenset[str]:
    """Return the addresses of the settings and of FCGI_WEB_SERVER_ADDRS (2.3, 3.2)."""
    given = os.environ.get("FCGI_WEB_SERVER_ADDRS", "")
    listed = [a.strip() for a in given.split(",") if a.strip()]
    return frozenset([*addresses, *listed])


def _close_listener(sock: socket.socket) -> None:
    name = sock.getsockname()
    is_unix = sock.family == socket.AF_UNIX
    sock.close()
    if is_unix and name:
        Path(os.fsdecode(name)).unlink(missing_ok=True)
