"""Who may connect to CURVE servers: the answer to libzmq's question (ZeroMQ RFC 27).

Every server of ours names a ZAP domain, and `ZapHandler` denies what it does not know.
It is a socket for the caller's poll loop, not a thread. Which role a key may have is
decided when its owner says Hello (`luafarm.keys.badges`); here those are turned away
who have no key for this process at all, and the log says who tried.
"""

# Impure.

import logging
import time
from typing import Final

import zmq
from zmq.utils import z85

from luafarm.keys import monitor as monitors
from luafarm.keys.badges import Badges
from luafarm.keys.curve import DOMAIN
from luafarm.process.complaints import Complaints
from luafarm.wire.messages import Role

logger = logging.getLogger("luafarm.zap")

Socket = zmq.Socket[bytes]

_ENDPOINT: Final = "inproc://zeromq.zap.01"  # fixed by RFC 27
_VERSION: Final = b"1.0"
_FRAMES: Final = 6  # version, request id, domain, address, identity, mechanism

_NO_CURVE: Final = 0x11000002  # zmq.h: ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
_NOT_FOR_US: Final = 0x11000001  # zmq.h: ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC


class ZapHandler:
    """Lets in who has a key of one of these roles.

    Poll all `sockets` for reading and call `handle` when one is readable. One per
    context; make it before the first server binds. While nobody calls `handle`, nobody
    gets in.
    """

    def __init__(
        self, context: zmq.Context[Socket], badges: Badges, *roles: Role
    ) -> None:
        self.denied = 0
        self._badges = badges
        self._allowed = frozenset([z85.decode(key) for key in badges.keys(*roles)])
        self._complaints = Complaints()
        self._watched: list[tuple[Socket, Socket]] = []  # servers and their monitors
        self.socket: Socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(_ENDPOINT)

    @property
    def sockets(self) -> list[Socket]:
        """What to poll."""
        return [self.socket, *[monitor for _, monitor in self._watched]]

    def watch(self, server: Socket) -> None:
        """Log peers that speak no CURVE, of whom libzmq asks nothing."""
        failures = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        self._watched.append((server, server.get_monitor_socket(failures)))

    def handle(self) -> None:
        """Answer everything that has been asked."""
        self._read_monitors()
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            split = frames.index(b"") + 1 if b"" in frames else 1
            envelope, request = frames[:split], frames[split:]
            if len(request) < _FRAMES or request[0] != _VERSION:
                continue  # not libzmq: only this process can reach the endpoint
            self.socket.send_multipart([*envelope, *self._answer(request)])

    def close(self) -> None:
        """Close the sockets, before the servers: nobody gets in any more."""
        for server, monitor in self._watched:
            server.disable_monitor()
            monitor.close(0)
        self._watched.clear()
        self.socket.close()

    def _answer(self, request: list[bytes]) -> list[bytes]:
        _, request_id, domain, address, _, mechanism, *credentials = request
        user = b""
        is_curve = mechanism == b"CURVE" and domain == DOMAIN.encode()
        if is_curve and len(credentials) == 1:
            key = credentials[0]
            if key in self._allowed:
                user = z85.encode(key)
            elif len(key) == 32:  # RFC 27: the long-term key of the client
                self._deny(z85.encode(key).decode(), address)
        if not user:
            self.denied += 1
            status = [b"400", b"not allowed"]
        else:
            status = [b"200", b"OK"]
        return [_VERSION, request_id, *status, user, b""]

    def _deny(self, key: str, address: bytes) -> None:
        where = address.decode("ascii", "backslashreplace")
        owner = self._badges.owner(key)
        why = "its key is not known here" if owner == key else "it does not belong here"
        cause = where if owner == key else owner
        self._complain(cause, f"peer={where} key={owner} refused: {why}")

    def _read_monitors(self) -> None:
        for server, monitor in self._watched:
            while monitor.poll(0):
                _, kind = monitors.take(monitor)
                endpoint = server.getsockopt_string(zmq.LAST_ENDPOINT)
                if kind == _NO_CURVE:
                    text = f"a peer without keys at {endpoint} refused"
                elif kind == _NOT_FOR_US:
                    text = f"a peer that expects another key at {endpoint} refused"
                else:
                    text = f"a peer at {endpoint} refused: protocol error {kind:#x}"
                self._complain(f"{kind}", text)

    def _complain(self, cause: str, text: str) -> None:
        line = self._complaints.line(cause, text, time.monotonic())
        if line:
            logger.error("%s", line)
