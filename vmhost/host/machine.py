"""What a VM host decides, as a pure machine: what runs next, and what is told to whom.

Frames come in through `hear`; `take` hands out the next work, and `finish`, `loaded`,
`failed` and `expel` take back how it went. Runs, loads and closings stand in one queue,
first in, first out; everything else takes effect when it is heard, also while a script
waits for something: a fence or drop holds for whatever has not begun, a closing comes
after the loads before it.

A new generation of a script stands beside the old one until the broker says by a fence
or a drop that it is in force: what it was made of may have changed meanwhile, and other
hosts may still serve the old one. Until then a run starts with the old one unless its
front wants the new one, so no front gets an old reply after a new one.

A finished reply waits for others that end soon after it, to share a frame with them,
but no longer than PATIENCE, and not behind anything that may take longer than that.
"""

# Compiled.

from collections import deque
from typing import Final

from msgspec.structs import replace

from luafarm.ends import Budget, Closing, closing
from luafarm.errors import ProtocolError
from luafarm.keys.badges import Badges
from luafarm.names import HostId
from luafarm.wire import codec
from luafarm.wire.messages import (
    HOST_ERROR,
    SAFE,
    Body,
    Cancel,
    DoneRow,
    Drop,
    Fence,
    Fenced,
    Gone,
    Hello,
    Inventory,
    Load,
    Loaded,
    LoadFailed,
    Message,
    Outcome,
    Role,
    RunRow,
    Runs,
    ScriptError,
    Source,
    TakeInventory,
)
from vmhost.host.dialogue import PIECE, Dialogue
from vmhost.host.held import Held
from vmhost.host.peers import Peer, Peers
from vmhost.host.sources import Sources

PATIENCE_NS: Final = 250_000  # what the front plans ahead for one host
MAX_QUEUE: Final = 4096  # runs that wait; honest fronts stay far below
MAX_FENCES: Final = 8192


class LoadWork:
    """A state is to be made, of `dialogue.held`; `loaded` or `failed` must follow."""

    def __init__(self, load: Load) -> None:
        self.load = load


class CloseWork:
    """States are to be closed; `expel` must follow for each."""

    def __init__(self, held: list[Held], reason: str, drop: Drop | None = None) -> None:
        self.held = held  # out of service already
        self.reason = reason
        self.drop = drop  # to be answered, also when there is nothing to close


class HostMachine:
    """One VM host: its peers, its queue, and the generations it holds."""

    def __init__(
        self, host: HostId, max_states: int, badges: Badges | None = None
    ) -> None:
        """badges: of the keys of its peers; None: they have none."""
        self.peers = Peers(host, badges)
        self._sources = Sources()
        self.dialogue = Dialogue(self.peers, self._sources)
        self._is_safe = False  # the run in progress may be started once more
        self._max_states = max_states
        self._queue: deque[tuple[Peer, RunRow] | LoadWork | CloseWork] = deque()
        self._states: dict[bytes, Held] = {}  # by script: what runs may start with
        self._olds: dict[bytes, Held] = {}  # before it, until that one is in force
        self._fences: dict[bytes, int] = {}  # by script: least epoch that may start
        self._pending: dict[Peer, list[DoneRow]] = {}  # finished, not yet in a frame
        self._pending_bytes = 0
        self._pending_since_ns = 0

    # ---- what peers say ------------------------------------------------------------

    def hear(self, peer: Peer, frame: bytes, now_ns: int, key: str = "") -> None:
        """Take a frame of a peer that came in with this key."""
        try:
            message = codec.decode(frame)
            role = self.peers.roles.get(peer)
            if role is Role.FRONT and isinstance(message, Runs):
                self._queue_runs(peer, message.rows)
            elif isinstance(message, Hello):
                if self.peers.greet(peer, message, key):
                    self.dialogue.ask_again()
            elif role is Role.FRONT:
                self._hear_front(peer, message)
            elif role is Role.BROKER:
                self._hear_broker(peer, message, now_ns)
            else:
                raise ProtocolError("no Hello before it")
        except ProtocolError as error:
            self.peers.complain(f"frame dropped: {error}")

    def lost(self, peer: Peer) -> None:
        """Forget a peer that cannot be reached any more, and what it waits for."""
        role = self.peers.roles.pop(peer, None)
        self._pending.pop(peer, None)
        self.dialogue.lost(peer)
        if role is Role.FRONT:
            queue = self._queue
            left = [w for w in queue if not isinstance(w, tuple) or w[0] != peer]
            self._queue = deque(left)
        elif role is Role.BROKER:
            self.dialogue.ask_again()

    def _queue_runs(self, peer: Peer, rows: tuple[RunRow, ...]) -> None:
        queue = self._queue
        if len(queue) + len(rows) > MAX_QUEUE:
            for row in rows:
                self._pend(peer, _empty(row[0], Outcome.ABSENT))
            return
        for row in rows:
            queue.append((peer, row))

    def _hear_front(self, peer: Peer, message: Message) -> None:
        match message:
            case Cancel():
                if not self.dialogue.cancel(peer, message.request):
                    self._cancel_queued(peer, message.request)
            case Body():
                self.dialogue.hear_body(peer, message)
            case _:
                raise ProtocolError(f"{type(message).__name__} from a front")

    def _cancel_queued(self, peer: Peer, request: int) -> None:
        for work in self._queue:
            if isinstance(work, tuple) and work[0] == peer and work[1][0] == request:
                self._queue.remove(work)
                self._pend(peer, _empty(request, Outcome.CANCELLED))
                return

    def _hear_broker(self, peer: Peer, message: Message, now_ns: int) -> None:
        match message:
            case Load():
                self._queue.append(LoadWork(message))
            case Drop():
                work = CloseWork([], "dropped", message)
                self._take_out(work.held, message)
                self._queue.append(work)
            case Fence():
                self._fence(message)
                self.peers.tell(peer, Fenced(message.script, message.epoch))
            case TakeInventory():
                self._choose()
                rows = [held.row(now_ns) for held in self._states.values()]
                self.peers.tell(peer, Inventory(tuple(rows)))
            case Source():
                self.dialogue.hear_source(message)
            case _:
                raise ProtocolError(f"{type(message).__name__} from the broker")

    def _take_out(self, out: list[Held], drop: Drop) -> None:
        """Take the states that a drop means out of service, if they are there."""
        for states in (self._states, self._olds):
            held = states.get(drop.script)
            if held is not None and held.epoch <= drop.epoch:
                del states[drop.script]
                out.append(held)

    def _fence(self, fence: Fence) -> None:
        script = fence.script
        least = max(fence.epoch, self._fences.pop(script, 0))
        self._fences[script] = least
        if len(self._fences) > MAX_FENCES:
            del self._fences[next(iter(self._fences))]
        held = self._states.get(script)
        if held is not None and held.epoch < least:
            held.is_fenced = True
        old = self._olds.get(script)
        if old is not None and old.epoch < least:
            self._retire(script)

    def _retire(self, script: bytes) -> None:
        """Have the old state of a script closed, if there is one beside the newest."""
        old = self._olds.pop(script, None)
        if old is not None:
            self._queue.append(CloseWork([old], "replaced"))

    def _choose(self) -> None:
        """Settle for one state of each script: a broker that asks knows of no other.

        The newest counts if a front knew of it, for then it was in force.
        """
        for script, old in self._olds.items():
            newest = self._states[script]
            if newest.is_wanted:
                self._queue.append(CloseWork([old], "replaced"))
            else:
                self._states[script] = old
                self._queue.append(CloseWork([newest], "replaced"))
        self._olds.clear()

    # ---- work ----------------------------------------------------------------------

    def take(self, now_ns: int) -> RunRow | LoadWork | CloseWork | None:
        """Return what is to be done now; None: nothing, and every reply is on its way.

        What is in the outbox is to be sent before it is done.
        """
        queue = self._queue
        while queue:
            work = queue.popleft()
            if isinstance(work, tuple):
                peer, row = work
                held = self._states.get(row[1])
                if held is not None and self._olds:
                    held = self._of_front(held, row[2])
                if held is None or held.is_fenced or held.epoch < row[2]:
                    self._pend(peer, _empty(row[0], Outcome.ABSENT))
                    continue
                if self._pending and (
                    not 0 < held.service_ns <= PATIENCE_NS
                    or now_ns - self._pending_since_ns > PATIENCE_NS
                ):
                    self.flush()
                self._is_safe = row[3] & SAFE != 0
                self.dialogue.begin(held, peer, row[0])
                return row
            if isinstance(work, LoadWork):
                if self._is_answered(work.load):
                    continue
                self.dialogue.begin(Held(self._shared(work.load), now_ns))
            elif work.drop is not None:
                drop = work.drop
                self._take_out(work.held, drop)
                if not work.held:
                    gone = Gone(drop.script, drop.epoch, Closing.DROPPED)
                    self.peers.tell_brokers(gone)
                    continue
            self.flush()
            return work
        if self._pending:
            self.flush()
        return None

    def _of_front(self, newest: Held, least: int) -> Held:
        """Return which of two generations a run starts with: as its front knows."""
        old = self._olds.get(newest.script)
        if old is None:
            return newest
        if least >= newest.epoch:
            newest.is_wanted = True
        return old if least <= old.epoch else newest

    def finish(self, row: DoneRow, now_ns: int, service_ns: int) -> None:
        """Take the reply of the run that `take` handed out."""
        dialogue = self.dialogue
        held = dialogue.held
        assert held is not None
        peer = dialogue.peer
        held.ran(service_ns)
        if held.has_news:
            self.tell_loaded(held)
        size = len(row[3])
        if size > PIECE or (dialogue.has_begun and row[1] == Outcome.OK):
            row = self._finish_parts(row)
        dialogue.end()
        if peer not in self.peers.roles:
            return  # it went away meanwhile
        if not self._pending:
            self._pending_since_ns = now_ns
        self._pend(peer, row)
        self._pending_bytes += size + len(row[4]) + len(row[5])
        if not self._is_safe or self._pending_bytes > PIECE:
            self.flush()

    def loaded(self, log: bytes) -> Held | None:
        """Take the new state into service; return one that is to be closed for it."""
        held = self.dialogue.end()
        script, least = held.script, self._fences.get(held.script, 0)
        held.is_fenced = held.epoch < least
        replaced = self._states.get(script)
        self._states[script] = held
        self.tell_loaded(held, log)
        if replaced is None or script in self._olds:
            return replaced  # the one before it was never in force
        if replaced.epoch < least:
            return replaced
        self._olds[script] = replaced
        return None

    def failed(self, error: ScriptError, log: bytes) -> None:
        """Tell that the state could not be made; an older one stays in service."""
        held = self.dialogue.end()
        used = tuple(held.used.values())
        failed = LoadFailed(held.script, held.epoch, error, used, log)
        self.peers.tell_brokers(failed)

    def expel(self, held: Held, reason: str, log: bytes = b"") -> None:
        """Take a state out of service for good and tell why; log: of its closing."""
        script = held.script
        if self._states.get(script) is held:
            del self._states[script]
            self._retire(script)
        elif self._olds.get(script) is held:
            del self._olds[script]
        self.peers.tell_brokers(Gone(held.script, held.epoch, closing(reason), log))

    def states(self) -> list[Held]:
        """Return all generations in service."""
        return [*self._states.values(), *self._olds.values()]

    def tell_loaded(self, held: Held, log: bytes = b"") -> None:
        """Tell that a state is there, and what it has used so far."""
        held.has_news = False
        self.peers.tell_brokers(
            Loaded(
                held.script,
                held.epoch,
                held.load_us,
                held.memory_bytes >> 10,
                tuple(held.used.values()),
                log,
            )
        )

    def flush(self) -> None:
        """Put all finished replies into frames."""
        for peer, rows in self._pending.items():
            self.peers.outbox.append((peer, codec.encode_dones(rows)))
        self._pending.clear()
        self._pending_bytes = 0

    def _pend(self, peer: Peer, row: DoneRow) -> None:
        rows = self._pending.get(peer)
        if rows is None:
            self._pending[peer] = [row]
        else:
            rows.append(row)

    def _finish_parts(self, row: DoneRow) -> DoneRow:
        """Send the body as parts; return the row that ends them."""
        request, outcome, head, body, log, error, service_us = row
        self.flush()
        if body or not self.dialogue.has_begun:
            self.dialogue.part(head, body, b"")
        count = b"%d" % self.dialogue.part_bytes
        return request, outcome, count, b"", log, error, service_us

    def _is_answered(self, load: Load) -> bool:
        """Answer a load that needs no state; False: make one."""
        budget = Budget.NONE
        known = self._states.get(load.script)
        if known is not None and known.epoch == load.epoch:
            self.tell_loaded(known)
            return True
        if known is not None and known.epoch > load.epoch:
            reason = "a newer generation is loaded here"
        elif load.epoch < self._fences.get(load.script, 0):
            reason = "newer generations only since the last fence"
        elif known is None and len(self._states) >= self._max_states:
            reason = f"the VM host holds {self._max_states} states, as many as it may"
            budget = Budget.STATES
        else:
            return False
        error = ScriptError(HOST_ERROR, reason, "", "", 0, "", budget)
        failed = LoadFailed(load.script, load.epoch, error, (), b"")
        self.peers.tell_brokers(failed)
        return True

    def _shared(self, load: Load) -> Load:
        sources = self._sources
        return replace(
            load,
            source=sources.share(load.digest, load.source),
            blobs=tuple([sources.share_blob(blob) for blob in load.blobs]),
        )


def _empty(request: int, outcome: Outcome) -> DoneRow:
    return request, outcome, b"", b"", b"", b"", 0
