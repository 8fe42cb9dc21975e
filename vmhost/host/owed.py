"""What a VM host has to say to fronts that are away, until they come again.

A connection is not its front: one that is lost is soon there again, over another
connection. Its replies wait for it meanwhile, in their order, for a time and up to so
many bytes; then it is given up, with all that it has sent.
"""

# Compiled.

from typing import Final

from vmhost.host.peers import Peer

KEPT_NS: Final = 5_000_000_000  # a front that hangs for longer is replaced
KEPT_BYTES: Final = 1 << 20  # for each front; a whole reply, unless it is a large one


class _Debt:
    def __init__(self, since_ns: int) -> None:
        self.since_ns: Final = since_ns
        self.frames: Final[list[bytes]] = []
        self.bytes = 0


class Owed:
    """The frames that are kept for each front."""

    def __init__(self) -> None:
        self._debts: dict[Peer, _Debt] = {}
        self.is_any = False  # whether anybody is away

    def keep(self, peer: Peer, frame: bytes, now_ns: int) -> bool:
        """Keep a frame for a front; False: it is too much, or has waited too long."""
        debt = self._debts.get(peer)
        if debt is None:
            debt = self._debts[peer] = _Debt(now_ns)
            self.is_any = True
        debt.frames.append(frame)
        debt.bytes += len(frame)
        return debt.bytes <= KEPT_BYTES and now_ns - debt.since_ns <= KEPT_NS

    def take(self, peer: Peer) -> list[bytes]:
        """Return what is kept for a front, and keep it no more."""
        debt = self._debts.pop(peer, None)
        self.is_any = bool(self._debts)
        return [] if debt is None else debt.frames

    def late(self, now_ns: int) -> list[Peer]:
        """Return the fronts that have been away for too long."""
        return [
            peer
            for peer, debt in self._debts.items()
            if now_ns - debt.since_ns > KEPT_NS
        ]
