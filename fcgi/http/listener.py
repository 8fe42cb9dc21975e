"""The embedded HTTP listener: for development and small sites, without a web server.

A request becomes FastCGI parameters and goes the same way as any other. Its script is
looked for in all roots of all pools, in the order of the settings, by the names that
each pool's `scripts` allow; a directory means its `index.lua`. Error pages are those
for developers, with the source around the error, unless `show_errors` is off.
"""

# Impure.

import contextlib
import socket
from typing import ClassVar

from fcgi.channel import Channel
from fcgi.connections import Connections
from fcgi.http import variables
from fcgi.http.peer import HttpPeer
from fcgi.http.roots import Roots
from fcgi.http.site import Site
from fcgi.service import Service
from fcgi.terms import Terms
from luafarm.config.settings import Settings
from luafarm.errors import SettingsError


class HttpListener:
    """Speaks HTTP on connections of a front; see `fcgi.connections.Listener`."""

    mark: ClassVar[bytes] = b"h"

    def __init__(
        self,
        settings: Settings,
        terms: Terms,
        service: Service,
        connections: Connections,
    ) -> None:
        """Raise SettingsError where there is nothing to serve."""
        roots = Roots(settings.pool.values())
        if not roots:
            raise SettingsError("[front] http needs a pool with a root to serve")
        self._site = Site(roots, service, terms, connections)

    def is_allowed(self, connection: socket.socket, address: object) -> bool:
        """Return whether a client may connect from there: from anywhere."""
        return True

    def take_in(self, connection: socket.socket) -> HttpPeer:
        """Speak on a connection from now on."""
        client = server = None
        with contextlib.suppress(OSError):  # the client has left already
            client, server = connection.getpeername(), connection.getsockname()
        ends = variables.Ends(variables.end(client), variables.end(server))
        site = self._site
        peer = HttpPeer(site, ends)
        memory = site.terms.reply_memory
        peer.open(Channel(site.connections.channels, connection, peer, memory))
        return peer
