"""Finished replies, which wait for others that end soon to share a frame with them.

They wait no longer than PATIENCE, not behind anything that may take longer than that,
and not once they are many bytes.
"""

# Compiled.

from typing import Final

from luafarm.wire import codec
from luafarm.wire.messages import DoneRow, Outcome
from vmhost.host.peers import Peer, Peers
from vmhost.host.task import PIECE

PATIENCE_NS: Final = 250_000  # what the front plans ahead for one host


class Replies:
    """The rows that are not in a frame yet, by front."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._rows: dict[Peer, list[DoneRow]] = {}
        self._bytes = 0
        self._since_ns = 0  # when the first run of them ended

    def finish(
        self, peer: Peer, row: DoneRow, size: int, now_ns: int, *, is_safe: bool
    ) -> None:
        """Take the reply of a run; size: of its body, in whatever way that goes.

        One that must not be done twice goes at once: a host that dies has not told it.
        """
        if not self._rows:
            self._since_ns = now_ns
        self.add(peer, row)
        self._bytes += size + len(row[4]) + len(row[5])
        if not is_safe or self._bytes > PIECE:
            self.flush()

    def refuse(self, peer: Peer, request: int, outcome: Outcome) -> None:
        """Answer a run that was not begun."""
        self.add(peer, (request, outcome, b"", b"", b"", b"", 0))

    def add(self, peer: Peer, row: DoneRow) -> None:
        """Take a row that goes with the next frame."""
        rows = self._rows.get(peer)
        if rows is None:
            self._rows[peer] = [row]
        else:
            rows.append(row)

    def begin(self, service_ns: int, now_ns: int) -> None:
        """Let go what would wait too long for a run that takes about this time."""
        if self._rows and (
            not 0 < service_ns <= PATIENCE_NS or now_ns - self._since_ns > PATIENCE_NS
        ):
            self.flush()

    def move(self, before: Peer, peer: Peer) -> None:
        """Take note that a front has another connection."""
        rows = self._rows.pop(before, None)
        if rows is not None:
            self._rows[peer] = rows

    def forget(self, peer: Peer) -> None:
        """Drop what is for a front that is gone."""
        self._rows.pop(peer, None)

    def flush(self) -> None:
        """Put all of them into frames."""
        if not self._rows:
            return
        for peer, rows in self._rows.items():
            self._peers.outbox.append((peer, codec.encode_dones(rows)))
        self._rows.clear()
        self._bytes = 0
