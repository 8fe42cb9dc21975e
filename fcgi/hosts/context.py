"""What a front's ZeroMQ connections share: libzmq's context, our name and our keys."""

# Impure.

import asyncio
import logging
import time
from collections.abc import Callable

import zmq
from msgspec.structs import replace

from fcgi.hosts.zmqlink import HWM, ZmqLink
from luafarm import incarnations
from luafarm.keys import curve
from luafarm.names import Machine
from luafarm.process.complaints import Complaints
from luafarm.version import VERSION
from luafarm.wire import codec
from luafarm.wire.codec import MAX_FRAME
from luafarm.wire.messages import PROTOCOL, Hello, Role

logger = logging.getLogger("luafarm.front")


class Context:
    """Makes connections, and says for all of them who we are."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        machine: Machine,
        keys: curve.Keys | None,
    ) -> None:
        self.loop = loop
        self.keys = keys
        self._hello = Hello(PROTOCOL, Role.FRONT, name, machine, version=VERSION)
        #: what we say first to brokers and supervisors
        self.hello = codec.encode(self._hello)
        self._complaints = Complaints()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 4096)

    def new_hello(self) -> bytes:
        """Return what we say first to one VM host, over every connection to it.

        It knows us by that. One that was forgotten and is met anew is told another: we
        know no more of what it was sent before.
        """
        hello = replace(self._hello, incarnation=incarnations.fresh())
        return codec.encode(hello)

    def connect(
        self,
        endpoint: str,
        server_key: bytes,
        whom: str,
        on_frame: Callable[[bytes], None],
        on_connected: Callable[[], None],
        on_lost: Callable[[str], None],
        ahead: int = HWM,
        max_frame: int = MAX_FRAME,
    ) -> ZmqLink:
        """Return a connection through libzmq; see `ZmqLink`. server_key: b"": none."""
        return ZmqLink(
            self.loop,
            self._context,
            endpoint,
            whom,
            self._complaints,
            on_frame,
            on_connected,
            on_lost,
            self.keys.own if self.keys else None,
            server_key,
            ahead,
            max_frame,
        )

    def refused(self, whom: str, reason: str) -> None:
        """Tell the log that we are not let in."""
        text = f"{whom} refuses this front: {reason}"
        line = self._complaints.line(f"{whom} refuses", text, time.monotonic())
        if line:
            logger.error("%s", line)

    def close(self) -> None:
        """Close what is still open."""
        self._context.destroy(linger=0)
