"""Fronts whose connection breaks, and what becomes of their runs.

A connection is not its front. A front that is away is expected over another one for a
while (`vmhost.host.owed`): what it has sent goes on, and the replies wait. Then it asks
what became of its runs, and is told. How many rows it has ever sent is counted, so that
it knows which of them never came; nothing else is exact, however long it was away.

What still comes over the connection before is dropped: it was not counted.
"""

# Compiled.

from luafarm.names import RequestId
from luafarm.wire import codec
from luafarm.wire.messages import Dones, Outcome, Part, Recalled, Want
from vmhost.host.owed import Owed
from vmhost.host.peers import Peer, Peers
from vmhost.host.queue import Queue
from vmhost.host.replies import Replies
from vmhost.host.task import Task


class Fronts:
    """Decides what is kept for fronts, and tells them what became of their runs."""

    def __init__(
        self, peers: Peers, queue: Queue, replies: Replies, task: Task
    ) -> None:
        self._peers = peers
        self._queue = queue
        self._replies = replies
        self._task = task
        self._owed = Owed()
        self.is_any_deaf = False  # one is to be told that a reply is lost

    @property
    def is_any_away(self) -> bool:
        """Whether `look` has something to look at."""
        return self._owed.is_any

    def look(self, now_ns: int) -> None:
        """Give up the fronts that have been away for too long."""
        for peer in self._owed.late(now_ns):
            self._give_up(peer)

    def lost(self, peer: Peer, frame: bytes, now_ns: int) -> None:
        """Keep a frame for a front that cannot be reached."""
        if not self._owed.keep(peer, frame, now_ns):
            self._give_up(peer)

    def deaf(self, peer: Peer, frame: bytes) -> None:
        """Take note that a frame is lost, as its front takes none, and lives.

        No reply has a hole: that of the run is told to have failed.
        """
        match codec.decode(frame):
            case Part(request) | Want(request):
                self._task.cancel(peer, request)
            case Dones(rows):
                for row in rows:
                    self._replies.refuse(peer, row[0], Outcome.CANCELLED)
                self.is_any_deaf = self.is_any_deaf or bool(rows)
            case _:
                pass

    def move(self, before: Peer, peer: Peer) -> None:
        """Take note of a front's other connection, and say there what it is owed."""
        outbox = self._peers.outbox
        said = [frame for whom, frame in outbox if whom == before]
        outbox[:] = [mail for mail in outbox if mail[0] != before]
        outbox.extend([(peer, frame) for frame in self._owed.take(before) + said])
        self._queue.move(before, peer)
        self._replies.move(before, peer)
        self._task.move(before, peer)

    def recall(self, peer: Peer, wanted: frozenset[RequestId]) -> None:
        """Tell a front what became of its runs; drop those that it does not want."""
        self._replies.flush()
        going: list[tuple[int, int]] = []
        task = self._task
        if task.run is not None and task.peer == peer:
            going.append((task.request, task.sent()))
            if task.request not in wanted:
                task.cancel(peer, task.request)
        for request in self._queue.requests(peer):
            if request in wanted:
                going.append((request, -1))
            else:
                self._queue.cancel(peer, request)
        is_known = peer in self._peers.returned
        received = self._peers.received[peer] if is_known else -1
        self._peers.tell(peer, Recalled(received, tuple(going)))

    def _give_up(self, peer: Peer) -> None:
        """Forget a front, and what it waits for."""
        self._peers.forget(peer)
        self._owed.take(peer)
        self._replies.forget(peer)
        self._task.lost(peer)
        self._queue.forget(peer)
