"""Who has said Hello to a VM host, and what is told to them.

Frames collect in `outbox`, in order; the loop sends and clears it.
"""

from typing import Final

from luafarm import wire
from luafarm.messages import PROTOCOL, Hello, Message, Role, Welcome
from luafarm.names import HostId

MANY: Final = 64  # a sandboxed host has fewer fds: some of so many must be gone
MAX_COMPLAINTS: Final = 20  # log lines of one host about its peers
ROLES: Final = frozenset({Role.FRONT, Role.BROKER})

Peer = bytes
"""The routing id of one connection; a new connection has a new one."""


class Peers:
    """The table of peers."""

    def __init__(self, host: HostId) -> None:
        self.outbox: list[tuple[Peer, bytes]] = []
        self.complaints: list[str] = []  # for the log, taken by the loop
        self.bad_frames = 0  # frames that were dropped
        self.roles: dict[Peer, Role] = {}  # who said Hello, the latest last
        self._host = host

    def greet(self, peer: Peer, hello: Hello, allowed: frozenset[Role]) -> bool:
        """Welcome a peer, if it speaks our protocol and may be what it says it is."""
        if hello.protocol != PROTOCOL:
            self.complain(f"{hello.name} speaks protocol {hello.protocol}: ignored")
            return False
        if hello.role not in ROLES or hello.role not in allowed:
            self.complain(f"{hello.name} may not speak as {hello.role.name}: ignored")
            return False
        self.roles.pop(peer, None)
        if len(self.roles) >= MANY:
            self._probe()
        self.roles[peer] = hello.role
        self.tell(peer, Welcome(PROTOCOL, Role.HOST, self._host, 0))
        return True

    def newest_broker(self) -> Peer | None:
        """Return the broker that said Hello last; None: no broker is known."""
        found = None
        for peer, role in self.roles.items():
            if role is Role.BROKER:
                found = peer
        return found

    def tell(self, peer: Peer, message: Message) -> None:
        """Say something to one peer."""
        self.outbox.append((peer, wire.encode(message)))

    def tell_brokers(self, message: Message) -> None:
        """Say something to all brokers: a new one may take over from an old one."""
        frame = wire.encode(message)
        for peer, role in self.roles.items():
            if role is Role.BROKER:
                self.outbox.append((peer, frame))

    def complain(self, text: str) -> None:
        """Count a frame that was dropped; the first ones are worth a line."""
        self.bad_frames += 1
        if self.bad_frames <= MAX_COMPLAINTS:
            self.complaints.append(text)

    def _probe(self) -> None:
        """Say something harmless to all: who is gone turns out when it is sent."""
        nothing = wire.encode_dones([])
        for peer, role in self.roles.items():
            if role is Role.FRONT:
                self.outbox.append((peer, nothing))
            else:
                self.tell(peer, Welcome(PROTOCOL, Role.HOST, self._host, 0))
