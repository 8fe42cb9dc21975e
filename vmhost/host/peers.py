"""Who has said Hello to a VM host, and what is told to them.

Frames collect in `outbox`, in order; the loop sends and clears it.
"""

# Compiled.

from typing import Final

from luafarm.keys.badges import WORDS, Badges
from luafarm.names import HostId
from luafarm.wire import codec
from luafarm.wire.messages import PROTOCOL, Hello, Message, Refused, Role, Welcome

MANY: Final = 64  # no farm has as many fronts: some of these must be gone
MAX_COMPLAINTS: Final = 20  # log lines of one host about its peers
_MAX_NAME: Final = 100  # characters of a peer's name in a complaint
ROLES: Final = frozenset({Role.FRONT, Role.BROKER})

Peer = bytes
"""The routing id of one connection; a new connection has a new one."""


class Peers:
    """The table of peers."""

    def __init__(self, host: HostId, badges: Badges | None = None) -> None:
        """badges: of the keys of peers; None: they have none, and may be anything."""
        self._badges = badges
        self.outbox: list[tuple[Peer, bytes]] = []
        self.complaints: list[str] = []  # for the log, taken by the loop
        self.bad_frames = 0  # frames that were dropped
        self.roles: dict[Peer, Role] = {}  # who said Hello, the latest last
        self.received: dict[Peer, int] = {}  # runs of each front, ever
        self.returned: set[Peer] = set()  # fronts whose earlier runs are counted in it
        self._fronts: dict[str, Peer] = {}  # the latest connection of each
        self._host = host

    def greet(self, peer: Peer, hello: Hello, key: str) -> bool:
        """Welcome a peer, if it speaks our protocol and may be what it says it is."""
        why = self._objection(hello, key)
        if why:
            self.complain(f"peer={hello.name[:_MAX_NAME]} refused: {why}")
            self.tell(peer, Refused(why))
            return False
        self.roles.pop(peer, None)
        if len(self.roles) >= MANY:
            self._probe()
        self.roles[peer] = hello.role
        self.tell(peer, Welcome(PROTOCOL, Role.HOST, self._host, 0))
        return True

    def meet(self, peer: Peer, hello: Hello, key: str) -> Peer | None:
        """Take note of a front; return the connection that it had before this one.

        One that has sent nothing over its first may have been given up before that, and
        may not have heard so: it counts on from what is forgotten here.
        """
        if hello.role is not Role.FRONT or peer in self.received:
            return None
        self.received[peer] = 0
        if not hello.incarnation:
            return None
        who = f"{key} {hello.incarnation} {hello.name}"
        before = self._fronts.pop(who, None)
        self._fronts[who] = peer
        while len(self._fronts) > MANY:
            oldest = next(iter(self._fronts))
            self.returned.discard(self._fronts.pop(oldest))
        if before is None:
            return None
        self.roles.pop(before, None)
        self.received[peer] = self.received.pop(before, 0)
        if before in self.returned or self.received[peer]:
            self.returned.add(peer)
        self.returned.discard(before)
        return before

    def forget(self, peer: Peer) -> None:
        """Forget a peer; a front that comes again is another one."""
        self.roles.pop(peer, None)
        self.received.pop(peer, None)
        self.returned.discard(peer)
        for who, front in self._fronts.items():
            if front == peer:
                del self._fronts[who]
                return

    def _objection(self, hello: Hello, key: str) -> str:
        if hello.protocol != PROTOCOL:
            return f"it speaks protocol {hello.protocol}, this VM host {PROTOCOL}"
        if hello.role not in ROLES:
            return f"a {WORDS[hello.role]} does not call VM hosts"
        return "" if self._badges is None else self._badges.refusal(key, hello)

    def newest_broker(self) -> Peer | None:
        """Return the broker that said Hello last; None: no broker is known."""
        found = None
        for peer, role in self.roles.items():
            if role is Role.BROKER:
                found = peer
        return found

    def tell(self, peer: Peer, message: Message) -> None:
        """Say something to one peer."""
        self.outbox.append((peer, codec.encode(message)))

    def tell_brokers(self, message: Message) -> None:
        """Say something to all brokers: a new one may take over from an old one."""
        frame = codec.encode(message)
        for peer, role in self.roles.items():
            if role is Role.BROKER:
                self.outbox.append((peer, frame))

    def complain(self, text: str) -> None:
        """Count a frame that was dropped; the first ones are worth a line."""
        self.bad_frames += 1
        if self.bad_frames <= MAX_COMPLAINTS:
            self.complaints.append(text)

    def probe(self, front: Peer) -> None:
        """Say something harmless to a front: that it is gone turns out by that."""
        self.outbox.append((front, codec.encode_dones([])))

    def _probe(self) -> None:
        """Say something harmless to all: who is gone turns out when it is sent."""
        for peer, role in self.roles.items():
            if role is Role.FRONT:
                self.probe(peer)
            else:
                self.tell(peer, Welcome(PROTOCOL, Role.HOST, self._host, 0))
