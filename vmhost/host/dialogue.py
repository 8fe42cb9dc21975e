"""What the script in progress asks for, and what it is answered, as a pure machine.

A VM host runs one script at a time, so there is one dialogue: of a run, which has a
front, or of a load or a `shutdown` hook, which has none.
"""

# Compiled.

from typing import Final

from msgspec.structs import replace

from luafarm.names import RequestId
from luafarm.wire.messages import Blob, Body, Need, NeedKind, Part, Source, Want
from vmhost.host.held import MAX_DEPENDENCIES, Held
from vmhost.host.peers import Peer, Peers
from vmhost.host.sources import Sources

PIECE: Final = 256 << 10  # most bytes of a body in one frame, both ways


class Dialogue:
    """One script's questions and answers; `begin` starts anew."""

    def __init__(self, peers: Peers, sources: Sources) -> None:
        self.held: Held | None = None  # None: nothing is in progress
        self.peer: Peer = b""  # the front of the run; empty: it is no run
        self.request = 0
        self.is_cancelled = False  # nobody wants the reply any more
        self.has_begun = False  # parts of the reply are on their way
        self.part_bytes = 0  # of these parts
        self.answer: Source | Body | None = None  # to `need` or `want`
        self._peers = peers
        self._sources = sources
        self._need: Need | None = None  # asked, not answered
        self._want: Want | None = None  # the same
        self.asked = 0  # files that the broker was asked for, ever

    def begin(self, held: Held, peer: Peer = b"", request: int = 0) -> None:
        """Start the dialogue of a run, or without a peer of something else."""
        self.held = held
        self.peer = peer
        self.request = request
        self.is_cancelled = False
        self.has_begun = False
        self.part_bytes = 0

    def end(self) -> Held:
        """End it and return whose it was."""
        held = self.held
        assert held is not None
        self.held, self.peer, self.request = None, b"", 0
        return held

    def need(self, kind: NeedKind, name: bytes) -> None:
        """Get a file for the script; `answer` has it, now or later."""
        held = self.held
        assert held is not None
        self.answer = held.recall(kind, name)
        if self.answer is not None:
            return
        self.asked += 1
        need = Need(self.asked, held.script, held.epoch, kind, name)
        if held.has_room():
            self._need = need
            self.ask_again()
        else:
            self._answer_nothing(need, f"more than {MAX_DEPENDENCIES} files asked for")

    def ask_again(self) -> None:
        """Send the open `Need`, if there is one, to the newest broker."""
        need = self._need
        if need is None:
            return
        broker = self._peers.newest_broker()
        if broker is not None:
            self._peers.tell(broker, need)
        else:
            self._need = None
            self._answer_nothing(need, "the broker cannot be reached")

    def want(self, stream: int, offset: int, max_bytes: int) -> None:
        """Pull a piece of the request's body; `answer` has it later."""
        most = min(max_bytes, PIECE)
        self._want = Want(RequestId(self.request), stream, offset, most)
        self.answer = None
        self._peers.tell(self.peer, self._want)

    def part(self, head: bytes, body: bytes, log: bytes) -> None:
        """Send a piece of the reply before its end, if there is anything in it."""
        if not (head or body or log):
            return
        self.has_begun = True
        self.part_bytes += len(body)
        request = RequestId(self.request)
        for at in range(0, len(body) or 1, PIECE):
            piece = body[at : at + PIECE]
            self._peers.tell(self.peer, Part(request, head, piece, log))
            head, log = b"", b""

    def give_up(self) -> None:
        """Wait for no answer any more."""
        self._need = self._want = self.answer = None

    def hear_source(self, source: Source) -> None:
        """Take the broker's answer, if it is the one that is waited for."""
        need, held = self._need, self.held
        if need is None or held is None or source.ticket != need.ticket:
            return  # it came twice or too late
        answer = replace(source, blob=self._sources.share_blob(source.blob))
        held.learn(need.kind, need.name, answer)
        self._need = None
        self.answer = answer

    def hear_body(self, peer: Peer, body: Body) -> None:
        """Take a piece of the body, if it is the one that is waited for."""
        want = self._want
        if (
            want is not None
            and peer == self.peer
            and body.request == want.request
            and body.stream == want.stream
            and body.offset == want.offset
            and len(body.chunk) <= want.max_bytes
        ):
            self._want = None
            self.answer = body

    def cancel(self, peer: Peer, request: int) -> bool:
        """Stop the run at its next operation; False: it is not the one in progress."""
        if request != self.request or peer != self.peer:
            return False
        self.is_cancelled = True
        return True

    def lost(self, peer: Peer) -> None:
        """Go on without a peer that cannot be reached any more."""
        if peer == self.peer:
            self.is_cancelled = True

    def _answer_nothing(self, need: Need, error: str) -> None:
        blob = Blob(need.kind, need.name, b"", b"", b"")
        self.answer = Source(need.ticket, blob, error)
