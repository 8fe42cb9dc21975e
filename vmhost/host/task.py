"""What a VM host is at: a run, or the loading or closing of a state.

A script that asks for something has one question at a time, which waits here for its
answer: from the broker, from the front of the run, or from the clock.

A VM host executes one script at a time and so far finishes what it has begun, so it has
one task, which `begin` starts anew. Runs that are parked while they wait will have one
each.
"""

# Compiled.

from typing import Final, Protocol

from luafarm.names import RequestId
from luafarm.wire.messages import DoneRow, Finished, Message, Part
from vmhost.host.held import Held
from vmhost.host.peers import Peer, Peers
from vmhost.host.sources import Sources
from vmhost.host.work import Run
from vmhost.lua.operation import Flat

PIECE: Final = 256 << 10  # most bytes of a body in one frame, both ways
NEVER_NS: Final = (1 << 62) - 1  # of CLOCK_MONOTONIC: the machine will be gone
ASK_AGAIN_NS: Final = 1_000_000_000  # who was asked may be gone, another may be there

Answer = tuple[Flat, ...]
"""What a script gets for a question; its shape is the operation's."""

_GRANTED: Final[Answer] = (True,)


class Question(Protocol):
    """Something that a script waits for."""

    due_ns: int  # at which it is answered with True if it is not before

    def hear(self, task: "Task", peer: Peer, message: Message) -> Answer | None:
        """Return the answer if this message has it."""
        ...

    def repeat(self, task: "Task") -> Answer | None:
        """Ask once more; the answer if there is nobody to ask any more."""
        ...

    def resume(self, task: "Task") -> None:
        """Ask a front again that has another connection, if it was asked."""


class Pause:
    """A question to the clock alone: whether it is time to go on."""

    def __init__(self, due_ns: int) -> None:
        self.due_ns = due_ns

    def hear(self, task: "Task", peer: Peer, message: Message) -> Answer | None:
        """Hear nothing: nobody was asked."""
        return None  # mypyc aborts at an end that only mypy allows

    def repeat(self, task: "Task") -> Answer | None:
        """Ask nobody."""
        return None

    def resume(self, task: "Task") -> None:
        """Ask nobody."""


class Task:
    """One script's work in progress."""

    def __init__(self, peers: Peers, sources: Sources) -> None:
        self.peers: Final = peers
        self.sources: Final = sources
        self.asked = 0  # files that the broker was asked for, ever
        self.is_cancelled = False  # nobody wants the reply any more
        self.is_detached = False  # it goes on all the same
        self.is_finished = False  # the whole reply is on its way
        self.needs_front = False  # it waits for something of its request
        self.has_begun = False  # parts of the reply are on their way
        self.part_bytes = 0  # of these parts
        self.peer: Peer = b""  # the front of the run; empty: it is no run
        self.request = 0
        self.question: Question | None = None  # asked, not answered
        self.answer: Answer | None = None  # to it, not taken yet
        self.run: Run | None = None  # None: it is no run
        self._read_bytes: list[int] = []  # of its streams; empty: none was looked at
        self._held: Held | None = None
        self._asked_ns = 0

    @property
    def held(self) -> Held:
        """Whose task it is."""
        assert self._held is not None, "nothing is in progress"
        return self._held

    def begin(self, held: Held, run: Run | None = None) -> None:
        """Start the task of a run, or of something else that a state does."""
        self._held = held
        self.run = run
        if run is not None:
            self.peer = run.peer
            self.request = run.request
        else:
            self.peer, self.request = b"", 0
        self.is_cancelled = self.is_detached = self.is_finished = False
        self.needs_front = False
        self.has_begun = False
        self.part_bytes = 0

    def end(self) -> None:
        """Be over: nothing that is heard from now on is for it."""
        self._held, self.run, self.peer, self.request = None, None, b"", 0
        if self._read_bytes:
            self._read_bytes = []

    # ---- what the script asks ------------------------------------------------------

    def put(self, asked: Answer | Question, now_ns: int) -> None:
        """Take what a service says to a question: the answer, or that it must wait."""
        if isinstance(asked, tuple):
            self.answer = asked
        else:
            self.question = asked
            self._asked_ns = now_ns

    def is_waiting(self) -> bool:
        """Return whether something may still be heard that lets the script go on."""
        waits = self.question is not None and self.answer is None
        return waits and not self.is_cancelled

    def due_ns(self) -> int:
        """Return when the script goes on, whatever is heard."""
        assert self.question is not None, "there is no question"
        due_ns: int = self.question.due_ns
        return due_ns

    def look(self, now_ns: int) -> None:
        """Take note of the time: ask again, if that was long ago."""
        if now_ns - self._asked_ns > ASK_AGAIN_NS:
            self._asked_ns = now_ns
            self.repeat()

    def take(self) -> Answer:
        """Return the answer, once nothing is waited for; without one time gave it."""
        answer = self.answer
        self.question = self.answer = None
        return _GRANTED if answer is None else answer

    # ---- the streams of the request --------------------------------------------------

    def streams(self) -> tuple[int, int]:
        """Return how long STDIN and DATA of the request are."""
        assert self.run is not None, "only a run has streams"
        row = self.run.row
        return row[6], row[7]

    def read_bytes(self) -> list[int]:
        """Return how far the script has read them; who reads more counts it here."""
        if not self._read_bytes:
            self._read_bytes = [0, 0]
        return self._read_bytes

    # ---- what is heard, and said -----------------------------------------------------

    def hear(self, peer: Peer, message: Message) -> None:
        """Take what may be an answer; it is dropped if nobody waits for it."""
        if self.question is not None and self.answer is None:
            self.answer = self.question.hear(self, peer, message)

    def repeat(self) -> None:
        """Ask again: who was asked may be gone."""
        if self.question is not None and self.answer is None:
            self.answer = self.question.repeat(self)

    def tell(self, message: Message) -> None:
        """Say something to the front of the run."""
        self.peers.tell(self.peer, message)

    def probe(self) -> None:
        """Say something harmless to the front of the run, which may be gone."""
        self.peers.probe(self.peer)

    def part(self, head: bytes, body: bytes, log: bytes) -> None:
        """Send a piece of the reply before its end, if there is anything in it."""
        if not (head or body or log):
            return
        self.has_begun = True
        self.part_bytes += len(body)
        request = RequestId(self.request)
        for at in range(0, len(body) or 1, PIECE):
            piece = body[at : at + PIECE]
            self.tell(Part(request, head, piece, log))
            head, log = b"", b""

    def finish_parts(self, row: DoneRow) -> DoneRow:
        """Send the rest of a reply as parts; return the row that ends them."""
        request, outcome, head, body, log, error, service_us = row
        if body or not self.has_begun:
            self.part(head, body, b"")
        count = b"%d" % self.part_bytes
        return request, outcome, count, b"", log, error, service_us

    def finish(self, head: bytes, body: bytes, log: bytes) -> None:
        """Send what is left of the reply, and that it is whole; the run goes on."""
        self.detach()
        self.is_finished = True
        if self.has_begun or len(body) > PIECE:
            self.part(head, body, log)
            head, body, log = b"%d" % self.part_bytes, b"", b""
        else:
            self.has_begun = True
            self.part_bytes = len(body)
        self.tell(Finished(RequestId(self.request), head, body, log))

    def detach(self) -> None:
        """Go on whatever becomes of the client, also if it has left."""
        self.is_detached = True
        self.is_cancelled = False

    def cancel(self, peer: Peer, request: int) -> bool:
        """Stop the run at its next operation; False: it is not the one in progress."""
        if request != self.request or peer != self.peer:
            return False
        self.is_cancelled = self.needs_front or not self.is_detached
        return True

    def sent(self) -> int:
        """Return the bytes of the parts of its reply, -1: there were none."""
        return self.part_bytes if self.has_begun else -1

    def move(self, before: Peer, peer: Peer) -> None:
        """Take note that the front of the run has another connection."""
        if before == self.peer:
            self.peer = peer
            if self.question is not None and self.answer is None:
                self.question.resume(self)

    def lost(self, peer: Peer) -> None:
        """Go on without a peer that cannot be reached any more."""
        if peer == self.peer:
            self.is_cancelled = self.needs_front or not self.is_detached
