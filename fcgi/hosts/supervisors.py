"""Supervisors as a front knows them: they tell which of their VM hosts has ended.

Of each VM host one supervisor's word counts, that of the endpoint and key which the
broker has told with the host: nobody else can have a front give it up.
"""

# Impure.

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from fcgi.hosts.context import Context
from luafarm.errors import ProtocolError
from luafarm.names import HostId
from luafarm.wire import codec
from luafarm.wire.messages import HostLost, HostUp, Refused

if TYPE_CHECKING:
    from fcgi.hosts.zmqlink import ZmqLink

logger = logging.getLogger("luafarm.front")

Notices = tuple[str, bytes]
"""Endpoint and key of a supervisor's notices."""


class Supervisors:
    """The connections to the notices of all supervisors."""

    def __init__(self, context: Context, on_lost: Callable[[HostLost], None]) -> None:
        """on_lost: is told of a host that has ended."""
        self._context = context
        self._on_lost = on_lost
        self._links: dict[Notices, ZmqLink] = {}
        self._of: dict[HostId, Notices] = {}  # each host's, until it is forgotten

    def listen(self, up: HostUp) -> None:
        """Connect to the supervisor of a host, unless that is done."""
        notices = (up.notices, up.notices_key)
        self._of[up.host] = notices
        if not up.notices or notices in self._links:
            return
        link = self._context.connect(
            up.notices,
            up.notices_key,
            f"the supervisor of machine {up.machine}",
            lambda frame: self._hear(notices, frame),
            lambda: self._greet(notices),
            lambda _: None,
        )
        self._links[notices] = link

    def forget(self, host: HostId) -> None:
        """Hear nothing more of a host, nor of a supervisor without others."""
        notices = self._of.pop(host, None)
        if notices in self._links and notices not in self._of.values():
            self._links.pop(notices).close()

    def close(self) -> None:
        """Close every connection."""
        for link in self._links.values():
            link.close()

    def _greet(self, notices: Notices) -> None:
        self._links[notices].send(self._context.hello)

    def _hear(self, notices: Notices, frame: bytes) -> None:
        try:
            message = codec.decode(frame)
        except ProtocolError as error:
            logger.error("supervisor: %s", error)  # noqa: TRY400
            return
        if isinstance(message, Refused):
            self._context.refused(f"the supervisor at {notices[0]}", message.reason)
        elif isinstance(message, HostLost) and self._of.get(message.host) == notices:
            self._on_lost(message)
