"""The FastCGI listener: who speaks on the connections of web servers."""

# Impure.

import logging
import os
import socket
from typing import ClassVar

from fcgi.channel import Channel
from fcgi.connections import Connections
from fcgi.endpoints import endpoints
from fcgi.fastcgi.peer import Peer
from fcgi.service import Service
from fcgi.terms import Terms
from luafarm.config.settings import Front

logger = logging.getLogger("luafarm.front")


class FcgiListener:
    """Speaks FastCGI on connections of a front; see `fcgi.connections.Listener`."""

    mark: ClassVar[bytes] = b"f"

    def __init__(
        self, front: Front, terms: Terms, service: Service, connections: Connections
    ) -> None:
        self._terms = terms
        self._service = service
        self._connections = connections
        self._endpoints = endpoints(front, service.status_page)
        self._allowed = _web_server_addrs(front.web_server_addrs)

    def is_allowed(self, connection: socket.socket, address: object) -> bool:
        """Return whether a web server may connect from there (3.2)."""
        if not self._allowed:
            return True
        if connection.family == socket.AF_UNIX or not isinstance(address, tuple):
            return False  # the list names the only peers there may be
        if address[0].removeprefix("::ffff:") in self._allowed:
            return True
        logger.warning("connection from %s refused: web_server_addrs", address[0])
        return False

    def take_in(self, connection: socket.socket) -> Peer:
        """Speak on a connection from now on."""
        connections, memory = self._connections, self._terms.reply_memory
        peer = Peer(self._service, self._terms, self._endpoints, connections.gone)
        peer.open(Channel(connections.channels, connection, peer, memory))
        return peer


def _web_server_addrs(addresses: tuple[str, ...]) -> frozenset[str]:
    """Return the addresses of the settings and of FCGI_WEB_SERVER_ADDRS (2.3, 3.2)."""
    given = os.environ.get("FCGI_WEB_SERVER_ADDRS", "")
    listed = [a.strip() for a in given.split(",") if a.strip()]
    return frozenset([*addresses, *listed])
