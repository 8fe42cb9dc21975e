"""What a VM host decides, as a pure machine: what runs next, and what is told to whom.

Frames come in through `hear`; `take` hands out the next work, and `finish`, `loaded`,
`failed` and `expel` take back how it went. Frames to send collect in `outbox`, in
order. Runs, loads and closings stand in one queue, first in, first out; everything else
takes effect when it is heard, also while a script waits for something: a fence or drop
holds for whatever has not begun, a closing comes after the loads before it.

A finished reply waits for others that end soon after it, to share a frame with them,
but no longer than PATIENCE, and not behind anything that may take longer than that.
"""

from collections import deque
from dataclasses import replace
from typing import Final

from luafarm import wire
from luafarm.errors import ProtocolError
from luafarm.messages import (
    PROTOCOL,
    SAFE,
    Blob,
    Body,
    Cancel,
    Dependency,
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
    Need,
    NeedKind,
    Outcome,
    Part,
    Role,
    RunRow,
    ScriptError,
    Source,
    TakeInventory,
    Want,
    Welcome,
)
from luafarm.names import HostId, RequestId
from vmhost.held import MAX_DEPENDENCIES, Held
from vmhost.sources import Sources

PATIENCE_NS: Final = 250_000  # what the front plans ahead for one host
MAX_QUEUE: Final = 4096  # runs and loads that wait; honest fronts stay far below
MAX_PEERS: Final = 64  # more connections than the host has fds for
MAX_FENCES: Final = 8192
MAX_COMPLAINTS: Final = 20  # log lines of one host about its peers
PIECE: Final = 256 << 10  # most bytes of a body in one frame, both ways

Peer = bytes
"""The routing id of one connection."""

_ROLES: Final = frozenset({Role.FRONT, Role.BROKER})


class LoadWork:
    """A state is to be made; `loaded` or `failed` must follow."""

    def __init__(self, load: Load) -> None:
        self.load = load


class CloseWork:
    """States are to be closed, and `expel` called for each."""

    def __init__(self, drop: Drop, held: list[Held]) -> None:
        self.drop = drop
        self.held = held  # out of service already


Work = tuple[Peer, RunRow] | LoadWork | CloseWork


class HostMachine:
    """One VM host: its peers, its queue, and the generations it holds."""

    def __init__(self, host: HostId, max_states: int) -> None:
        self.outbox: list[tuple[Peer, bytes]] = []  # to be sent and cleared by the loop
        self.complaints: list[str] = []  # for the log; cleared by the loop
        self.bad_frames = 0  # frames that were dropped
        # What is going on: a run has peer and request, a load only `held`.
        self.held: Held | None = None
        self.request = 0
        self.is_cancelled = False  # nobody wants the run's reply any more
        self.answer: Source | Body | None = None  # to `need` or `want`
        self._peer: Peer = b""
        self._is_safe = False
        self._need: Need | None = None  # asked, not answered
        self._want: Want | None = None  # the same
        self._tickets = 0
        self._host = host
        self._max_states = max_states
        self._peers: dict[Peer, Role] = {}  # who said Hello, the latest last
        self._queue: deque[Work] = deque()
        self._states: dict[bytes, Held] = {}  # by script: what runs may start with
        self._fences: dict[bytes, int] = {}  # by script: least epoch that may start
        self._sources = Sources()
        self._pending: dict[Peer, list[DoneRow]] = {}  # finished, not yet in a frame
        self._pending_bytes = 0
        self._pending_since_ns = 0

    # ---- what peers say ------------------------------------------------------------

    def hear(
        self, peer: Peer, frame: bytes, now_ns: int, roles: frozenset[Role] = _ROLES
    ) -> None:
        """Take a frame of a peer that may have one of these roles."""
        try:
            value = wire.unpack(frame)
            role = self._peers.get(peer)
            if role is Role.FRONT and value[0] == wire.RUNS:
                self._queue_runs(peer, wire.run_rows(value))
                return
            message = wire.build(value)
            if isinstance(message, Hello):
                self._greet(peer, message, roles)
            elif role is Role.FRONT:
                self._hear_front(peer, message)
            elif role is Role.BROKER:
                self._hear_broker(peer, message, now_ns)
            else:
                raise ProtocolError("no Hello before it")
        except ProtocolError as error:
            self._complain(f"frame dropped: {error}")

    def lost(self, peer: Peer) -> None:
        """Forget a peer that cannot be reached any more, and what it waits for."""
        role = self._peers.pop(peer, None)
        self._pending.pop(peer, None)
        if peer == self._peer:
            self.is_cancelled = True
        if role is Role.FRONT:
            waiting = [w for w in self._queue if type(w) is not tuple or w[0] != peer]
            self._queue = deque(waiting)
        elif role is Role.BROKER:
            self.ask_again()

    def _greet(self, peer: Peer, hello: Hello, roles: frozenset[Role]) -> None:
        if hello.protocol != PROTOCOL:
            self._complain(f"{hello.name} speaks protocol {hello.protocol}: ignored")
            return
        if hello.role not in _ROLES or hello.role not in roles:
            self._complain(f"{hello.name} may not speak as {hello.role.name}: ignored")
            return
        self._peers.pop(peer, None)
        if len(self._peers) >= MAX_PEERS:
            self.lost(next(iter(self._peers)))
        self._peers[peer] = hello.role
        self._tell(peer, Welcome(PROTOCOL, Role.HOST, self._host, 0))
        if hello.role is Role.BROKER:
            self.ask_again()

    def _queue_runs(self, peer: Peer, rows: list[RunRow]) -> None:
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
                self._cancel(peer, message.request)
            case Body():
                want = self._want
                if (
                    peer == self._peer
                    and want is not None
                    and message.request == want.request
                    and message.stream == want.stream
                    and message.offset == want.offset
                    and len(message.chunk) <= want.max_bytes
                ):
                    self._want = None
                    self.answer = message
            case _:
                raise ProtocolError(f"{type(message).__name__} from a front")

    def _cancel(self, peer: Peer, request: RequestId) -> None:
        if request == self.request and peer == self._peer:
            self.is_cancelled = True
            return
        for work in self._queue:
            if type(work) is tuple and work[0] == peer and work[1][0] == request:
                self._queue.remove(work)
                self._pend(peer, _empty(request, Outcome.CANCELLED))
                return

    def _hear_broker(self, peer: Peer, message: Message, now_ns: int) -> None:
        match message:
            case Load():
                self._queue.append(LoadWork(message))
            case Drop():
                held = self._states.get(message.script)
                going = []
                if held is not None and held.epoch <= message.epoch:
                    del self._states[message.script]
                    going.append(held)
                self._queue.append(CloseWork(message, going))
            case Fence():
                self._fence(message)
                self._tell(peer, Fenced(message.script, message.epoch))
            case TakeInventory():
                rows = [held.row(now_ns) for held in self._states.values()]
                self._tell(peer, Inventory(tuple(rows)))
            case Source():
                self._take_source(message)
            case _:
                raise ProtocolError(f"{type(message).__name__} from the broker")

    def _fence(self, fence: Fence) -> None:
        script = fence.script
        least = max(fence.epoch, self._fences.pop(script, 0))
        self._fences[script] = least
        if len(self._fences) > MAX_FENCES:
            del self._fences[next(iter(self._fences))]
        held = self._states.get(script)
        if held is not None and held.epoch < least:
            held.is_fenced = True

    def _take_source(self, source: Source) -> None:
        need, held = self._need, self.held
        if need is None or held is None or source.ticket != need.ticket:
            return  # an answer that came twice or too late
        answer = replace(source, blob=self._sources.share_blob(source.blob))
        held.learn(need.kind, need.name, answer)
        self._need = None
        self.answer = answer

    # ---- work ----------------------------------------------------------------------

    def take(self, now_ns: int) -> RunRow | LoadWork | CloseWork | None:
        """Return what is to be done now; None: nothing, and every reply is on its way.

        What is in `outbox` is to be sent before it is done.
        """
        queue = self._queue
        while queue:
            work = queue.popleft()
            if isinstance(work, tuple):
                peer, row = work
                held = self._states.get(row[1])
                if held is None or held.is_fenced or held.epoch < row[2]:
                    self._pend(peer, _empty(row[0], Outcome.ABSENT))
                    continue
                if self._pending and (
                    not 0 < held.service_ns <= PATIENCE_NS
                    or now_ns - self._pending_since_ns > PATIENCE_NS
                ):
                    self.flush()
                self._peer = peer
                self._is_safe = row[3] & SAFE != 0
                self.request = row[0]
                self.held = held
                self.is_cancelled = False
                return row
            if isinstance(work, LoadWork):
                if self._is_answered(work.load):
                    continue
                self.held = Held(self._shared(work.load), now_ns)
            elif not self._gather(work):
                continue
            self.flush()
            return work
        if self._pending:
            self.flush()
        return None

    def finish(self, row: DoneRow, now_ns: int, service_ns: int) -> None:
        """Take the reply of the run that `take` handed out."""
        held, peer = self.held, self._peer
        assert held is not None
        self.held, self._peer, self.request = None, b"", 0
        self.is_cancelled = False
        held.ran(service_ns)
        if held.has_news:
            self._tell_loaded(held, b"")
        if peer not in self._peers:
            return  # it went away meanwhile
        size = len(row[3])
        if size > PIECE:
            row = self._cut(peer, row)
        if not self._pending:
            self._pending_since_ns = now_ns
        self._pend(peer, row)
        self._pending_bytes += size
        if not self._is_safe or self._pending_bytes > PIECE:
            self.flush()

    def loaded(self, log: bytes) -> Held | None:
        """Take the new state into service; return the one it replaces, to be closed."""
        held = self._end_load()
        held.is_fenced = held.epoch < self._fences.get(held.script, 0)
        old = self._states.get(held.script)
        self._states[held.script] = held
        self._tell_loaded(held, log)
        return old

    def failed(self, error: ScriptError, log: bytes) -> None:
        """Tell that the state could not be made; an older one stays in service."""
        held = self._end_load()
        used = tuple(held.used.values())
        self._tell_brokers(LoadFailed(held.script, held.epoch, error, used, log))

    def expel(self, held: Held, reason: str) -> None:
        """Take a state out of service and tell why; the loop closes it."""
        if self._states.get(held.script) is held:
            del self._states[held.script]
        self._tell_brokers(Gone(held.script, held.epoch, reason))

    def states(self) -> list[Held]:
        """Return all generations in service."""
        return list(self._states.values())

    def _end_load(self) -> Held:
        held = self.held
        assert held is not None
        self.held = None
        return held

    def _is_answered(self, load: Load) -> bool:
        """Answer a load that needs no state; False: make one."""
        known = self._states.get(load.script)
        if known is not None and known.epoch == load.epoch:
            self._tell_loaded(known, b"")
            return True
        if known is not None and known.epoch > load.epoch:
            reason = "a newer generation is loaded here"
        elif load.epoch < self._fences.get(load.script, 0):
            reason = "newer generations only since the last fence"
        elif known is None and len(self._states) >= self._max_states:
            reason = f"the VM host holds {self._max_states} states, as many as it may"
        else:
            return False
        error = ScriptError("Host Error", reason, "", "", 0, "", "")
        self._tell_brokers(LoadFailed(load.script, load.epoch, error, (), b""))
        return True

    def _gather(self, work: CloseWork) -> bool:
        """Add what was loaded since the drop was heard; False: nothing to close."""
        drop = work.drop
        held = self._states.get(drop.script)
        if held is not None and held.epoch <= drop.epoch:
            del self._states[drop.script]
            work.held.append(held)
        if not work.held:
            self._tell_brokers(Gone(drop.script, drop.epoch, "dropped"))
        return bool(work.held)

    def _shared(self, load: Load) -> Load:
        share = self._sources
        return replace(
            load,
            source=share.share(load.digest, load.source),
            blobs=tuple([share.share_blob(blob) for blob in load.blobs]),
        )

    # ---- what the script in progress asks for ----------------------------------------

    def need(self, kind: NeedKind, name: bytes) -> None:
        """Get a file's content for the script; `answer` has it, now or later."""
        held = self.held
        assert held is not None
        self.answer = held.recall(kind, name)
        if self.answer is not None:
            return
        self._tickets += 1
        need = Need(self._tickets, held.script, held.epoch, kind, name)
        if held.has_room():
            self._need = need
            self.ask_again()
        else:
            self._answer_nothing(need, f"more than {MAX_DEPENDENCIES} files asked for")

    def ask_again(self) -> None:
        """Send the open `Need`, if any, once more, to the newest broker."""
        need = self._need
        if need is None:
            return
        brokers = [peer for peer, role in self._peers.items() if role is Role.BROKER]
        if brokers:
            self._tell(brokers[-1], need)
        else:
            self._need = None
            self._answer_nothing(need, "the broker cannot be reached")

    def want(self, stream: int, offset: int, max_bytes: int) -> None:
        """Pull a piece of the request's body; `answer` has it later."""
        self._want = Want(
            RequestId(self.request), stream, offset, min(max_bytes, PIECE)
        )
        self.answer = None
        self._tell(self._peer, self._want)

    def part(self, head: bytes, chunk: bytes, log: bytes) -> None:
        """Send a piece of the reply before its end."""
        request = RequestId(self.request)
        for at in range(0, len(chunk) or 1, PIECE):
            piece = chunk[at : at + PIECE]
            self._tell(self._peer, Part(request, head, piece, log))
            head, log = b"", b""

    def give_up(self) -> None:
        """Wait for no answer any more."""
        self._need = self._want = self.answer = None

    def _answer_nothing(self, need: Need, error: str) -> None:
        blob = Blob(need.kind, need.name, b"", b"", b"")
        self.answer = Source(need.ticket, blob, error)

    # ---- what is told ----------------------------------------------------------------

    def flush(self) -> None:
        """Put all finished replies into frames."""
        for peer, rows in self._pending.items():
            self.outbox.append((peer, wire.encode_dones(rows)))
        self._pending.clear()
        self._pending_bytes = 0

    def _pend(self, peer: Peer, row: DoneRow) -> None:
        rows = self._pending.get(peer)
        if rows is None:
            self._pending[peer] = [row]
        else:
            rows.append(row)

    def _cut(self, peer: Peer, row: DoneRow) -> DoneRow:
        """Send all but the end of a large body as parts; return the row of the end."""
        request, outcome, head, body, log, error, service_us = row
        self.flush()
        end = (len(body) - 1) // PIECE * PIECE
        for at in range(0, end, PIECE):
            part = Part(RequestId(request), head, body[at : at + PIECE], b"")
            self._tell(peer, part)
            head = b""
        return request, outcome, head, body[end:], log, error, service_us

    def _tell_loaded(self, held: Held, log: bytes) -> None:
        held.has_news = False
        used: tuple[Dependency, ...] = tuple(held.used.values())
        kib = held.memory_bytes >> 10
        message = Loaded(held.script, held.epoch, held.load_us, kib, used, log)
        self._tell_brokers(message)

    def _tell_brokers(self, message: Message) -> None:
        frame = wire.encode(message)
        for peer, role in self._peers.items():
            if role is Role.BROKER:
                self.outbox.append((peer, frame))

    def _tell(self, peer: Peer, message: Message) -> None:
        self.outbox.append((peer, wire.encode(message)))

    def _complain(self, text: str) -> None:
        self.bad_frames += 1
        if self.bad_frames <= MAX_COMPLAINTS:
            self.complaints.append(text)


def _empty(request: int, outcome: Outcome) -> DoneRow:
    return request, outcome, b"", b"", b"", b"", 0
