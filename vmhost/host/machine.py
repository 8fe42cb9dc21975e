"""What a VM host decides, as a pure machine: what it does next, and tells to whom.

Frames come in through `hear`; `take` hands out the next work as a value, and the
methods that its class names take back how it went. `outbox` is what is to be sent.

Runs, loads and closings stand in one queue, first in, first out. Before it comes what
follows from the work that was done last: a state that is over or replaced is closed,
and memory is freed when it is full. Everything else takes effect when it is heard,
also while a script waits for something: a fence or drop holds for whatever has not
begun, a closing comes after the loads before it.
"""

# Compiled.

from typing import Final

from luafarm.ends import Closing
from luafarm.errors import ProtocolError
from luafarm.keys.badges import Badges
from luafarm.names import HostId
from luafarm.wire import codec, messages
from luafarm.wire.messages import (
    HOST_ERROR,
    Body,
    Cancel,
    DoneRow,
    Drop,
    Fence,
    Fenced,
    Gone,
    Hello,
    Inventory,
    LoadFailed,
    Message,
    Outcome,
    Recall,
    Role,
    RunRow,
    Runs,
    ScriptError,
    Source,
    TakeInventory,
)
from vmhost.host.error import full_error
from vmhost.host.fronts import Fronts
from vmhost.host.generations import Generations
from vmhost.host.held import Held
from vmhost.host.memory import Memory
from vmhost.host.peers import Peer, Peers
from vmhost.host.queue import Dropping, Queue
from vmhost.host.replies import Replies
from vmhost.host.services.table import SERVICES
from vmhost.host.sources import Sources
from vmhost.host.task import PIECE, Task
from vmhost.host.work import Close, Collect, Load, Refill, Run, Work
from vmhost.lua.operation import BrokenStateError, Step

HOOKS_NS: Final = 2_000_000_000  # for all `shutdown` hooks when the host is stopped


class HostMachine:
    """One VM host: its peers, its queue, and the generations it holds."""

    def __init__(
        self,
        host: HostId,
        max_states: int,
        max_bytes: int,
        badges: Badges | None = None,
    ) -> None:
        """badges: of the keys of its peers; None: they have none."""
        self.peers: Final = Peers(host, badges)
        self.memory: Final = Memory(max_bytes)
        self._sources = Sources()
        self.task: Final = Task(self.peers, self._sources)
        self._replies = Replies(self.peers)
        self._generations = Generations(max_states)
        self._queue = Queue()
        self._fronts = Fronts(self.peers, self._queue, self._replies, self.task)
        self._closings: list[Close] = []  # before anything in the queue
        self._freed_for: messages.Load | None = None
        self._spent: dict[Held, None] = {}  # want a fresh state for their next run
        self._stopped_ns = 0  # when the last hook may begin; 0: it goes on

    # ---- what peers say ------------------------------------------------------------

    def hear(self, peer: Peer, frame: bytes, now_ns: int, key: str = "") -> None:
        """Take a frame of a peer that came in with this key."""
        try:
            message = codec.decode(frame)
            role = self.peers.roles.get(peer)
            if role is Role.FRONT and isinstance(message, Runs):
                self.peers.received[peer] += len(message.rows)
                if not self._queue.add_runs(peer, message.rows):
                    for row in message.rows:
                        self._replies.refuse(peer, row[0], Outcome.ABSENT)
            elif isinstance(message, Hello):
                if self.peers.greet(peer, message, key):
                    before = self.peers.meet(peer, message, key)
                    if before is not None:
                        self._fronts.move(before, peer)
                    self.task.repeat()
            elif role is Role.FRONT:
                self._hear_front(peer, message)
            elif role is Role.BROKER:
                self._hear_broker(peer, message, now_ns)
            else:
                raise ProtocolError("no Hello before it")
        except ProtocolError as error:
            self.peers.complain(f"frame dropped: {error}")

    def lost(self, peer: Peer, frame: bytes, now_ns: int) -> None:
        """Take note that a peer cannot be reached, and did not get this frame."""
        role = self.peers.roles.get(peer)
        if role is Role.FRONT:
            self._fronts.lost(peer, frame, now_ns)
            return
        self.peers.forget(peer)
        if role is Role.BROKER:
            self.task.repeat()

    def deaf(self, peer: Peer, frame: bytes) -> None:
        """Take note that a peer takes nothing, and did not get this frame."""
        if self.peers.roles.get(peer) is Role.FRONT:
            self._fronts.deaf(peer, frame)

    def outbox(self) -> list[tuple[Peer, bytes]]:
        """Return what is to be sent, in order; who sends it clears the list.

        No finished reply waits while a script does.
        """
        if self.task.question is not None or self._fronts.is_any_deaf:
            self._fronts.is_any_deaf = False
            self._replies.flush()
        return self.peers.outbox

    def _hear_front(self, peer: Peer, message: Message) -> None:
        match message:
            case Cancel():
                request = message.request
                if self.task.cancel(peer, request):
                    return
                if self._queue.cancel(peer, request):
                    self._replies.refuse(peer, request, Outcome.CANCELLED)
            case Body():
                self.task.hear(peer, message)
            case Recall(requests):
                self._fronts.recall(peer, frozenset(requests))
            case _:
                raise ProtocolError(f"{type(message).__name__} from a front")

    def _hear_broker(self, peer: Peer, message: Message, now_ns: int) -> None:
        match message:
            case messages.Load():
                self._queue.add(message)
            case Drop():
                out = self._generations.drop(message.script, message.epoch)
                self._queue.add(Dropping(message, out))
            case Fence():
                old = self._generations.fence(message.script, message.epoch)
                if old is not None:
                    self._queue.add(Close(old, Closing.REPLACED))
                self.peers.tell(peer, Fenced(message.script, message.epoch))
            case TakeInventory():
                kept, out = self._generations.choose()
                for held in out:
                    self._queue.add(Close(held, Closing.REPLACED))
                rows = [held.row(now_ns) for held in kept]
                self.peers.tell(peer, Inventory(tuple(rows)))
            case Source():
                self.task.hear(peer, message)
            case _:
                raise ProtocolError(f"{type(message).__name__} from the broker")

    # ---- work ----------------------------------------------------------------------

    def take(self, now_ns: int) -> Work | None:
        """Return what is to be done now; None: nothing, and every reply is on its way.

        What is in the outbox is to be sent before it is done.
        """
        if self._fronts.is_any_away:
            self._fronts.look(now_ns)
        if self._closings or self.memory.is_short:
            follow_up = self._follow_up(now_ns)
            if follow_up is not None:
                self._replies.flush()
                return follow_up
        while (queued := self._queue.next()) is not None:
            if isinstance(queued, tuple):
                run = self._run(queued[0], queued[1], now_ns)
                if run is not None:
                    return run
                continue
            work: Work | None = None
            if isinstance(queued, messages.Load):
                work = self._load(queued, now_ns)
            elif isinstance(queued, Dropping):
                work = self._drop(queued, now_ns)
            else:
                work = self._close(queued, now_ns)
            if work is not None:
                self._replies.flush()
                return work
        self._replies.flush()
        return None

    def has_spare(self) -> bool:
        """Whether there is something to do while nothing else is wanted."""
        return bool(self._spent) and not self._closings

    def spare(self) -> Refill:
        """Return what is to be done while nothing else is wanted."""
        held, _ = self._spent.popitem()
        self.task.begin(held)
        return Refill(held)

    def stop(self, now_ns: int) -> None:
        """Have all states closed and nothing else done: the host ends."""
        self._stopped_ns = now_ns + HOOKS_NS
        out = self._generations.clear()
        self._closings.extend([Close(held, Closing.STOPPED) for held in out])

    def _run(self, peer: Peer, row: RunRow, now_ns: int) -> Run | None:
        """Return a run with the state that it starts with; None: it is refused."""
        held = self._generations.find(row[1], row[2])
        if held is None:
            self._replies.refuse(peer, row[0], Outcome.ABSENT)
            return None
        self._replies.begin(held.service_ns, now_ns)
        run = Run(held, peer, row)
        self.task.begin(held, run)
        return run

    def _load(self, load: messages.Load, now_ns: int) -> Work | None:
        """Return a load, or what frees memory for it; None: it was answered."""
        if self._stopped_ns:
            return None
        known = self._generations.known(load)
        if known is not None:
            self._tell_loaded(known)
            return None
        reason, budget = self._generations.objection(load)
        if reason:
            self._refuse(load, ScriptError(HOST_ERROR, reason, "", "", 0, "", budget))
            return None
        if self.memory.is_full:
            if self._freed_for is load:
                self._refuse(load, full_error(self.memory.max_bytes))
                return None
            self._freed_for = load
            self._queue.put_back(load)
            self.memory.want_freed(may_close=False)
            return self._follow_up(now_ns)
        held = Held(self._sources.share_load(load), now_ns)
        self.task.begin(held)
        return Load(held)

    def _drop(self, queued: Dropping, now_ns: int) -> Work | None:
        """Return the first of the closings; None: there was nothing to close."""
        order = queued.order
        out = [*queued.out, *self._generations.drop(order.script, order.epoch)]
        if not out:
            self.peers.tell_brokers(Gone(order.script, order.epoch, Closing.DROPPED))
            return None
        self._closings.extend([Close(held, Closing.DROPPED) for held in out])
        return self._follow_up(now_ns)

    def _follow_up(self, now_ns: int) -> Work | None:
        """Return what follows from work that was done; None: nothing more."""
        if self._closings:
            return self._close(self._closings.pop(0), now_ns)
        if not self.memory.is_short:
            return None
        work = self.memory.next_to_free()
        if isinstance(work, Close):
            self._remove(work.held)
            return self._close(work, now_ns)
        return work

    def _close(self, close: Close, now_ns: int) -> Close:
        held = close.held
        self.memory.release(held)
        self.task.begin(held)
        if self._stopped_ns and now_ns > self._stopped_ns and close.has_hook:
            return Close(held, close.reason, has_hook=False)
        return close

    # ---- how it went ---------------------------------------------------------------

    def ask(self, step: Step, now_ns: int) -> None:
        """Take an operation of the script; `task` has its answer, now or later."""
        service = SERVICES.get(step[0])
        if service is None or (service.needs_run and self.task.run is None):
            raise BrokenStateError(f"operation {step[0]} without a request")
        self.task.put(service.ask(self.task, step, now_ns), now_ns)

    def finish(self, run: Run, row: DoneRow, now_ns: int, service_ns: int) -> None:
        """Take the reply of a run; what becomes of its state is told next."""
        held, task = run.held, self.task
        peer = task.peer  # it may have another connection since the run began
        held.ran(service_ns)
        if held.has_news:
            self._tell_loaded(held)
        size = len(row[3])
        if size > PIECE or (task.has_begun and row[1] == Outcome.OK):
            self._replies.flush()
            row = task.finish_parts(row)
        task.end()
        if peer in self.peers.roles:  # else it went away meanwhile
            is_safe = run.is_safe
            self._replies.finish(peer, row, size, now_ns, is_safe=is_safe)

    def kept(self, held: Held, memory_bytes: int) -> None:
        """Take note that a state lives on, and what it uses."""
        self.memory.keep(held, memory_bytes)
        self.memory.check()

    def ended(self, held: Held, reason: Closing, *, has_hook: bool) -> None:
        """Take note that a state must not be used any more."""
        if held.limits.fresh:
            close = Close(held, reason, has_hook=has_hook, is_last=False)
            self._closings.append(close)
        else:
            self._retire(held, reason, has_hook=has_hook)

    def not_made(self, run: Run) -> None:
        """Take note that a run found no fresh state, and none could be made."""
        self._spent[run.held] = None

    def loaded(self, load: Load, memory_bytes: int, load_us: int, log: bytes) -> None:
        """Take the new state into service."""
        held = load.held
        held.load_us = load_us
        self.task.end()
        self.memory.keep(held, memory_bytes)
        replaced = self._generations.add(held)
        self._tell_loaded(held, log)
        if replaced is not None:
            self._closings.append(Close(replaced, Closing.REPLACED))

    def failed(self, load: Load, error: ScriptError, log: bytes) -> None:
        """Tell that the state could not be made; an older one stays in service."""
        held = load.held
        self.task.end()
        used = tuple(held.used.values())
        failed = LoadFailed(held.script, held.epoch, error, used, log)
        self.peers.tell_brokers(failed)

    def refilled(self, refill: Refill, memory_bytes: int) -> None:
        """Take note that there is a fresh state for the next run."""
        self.task.end()
        self.memory.keep(refill.held, memory_bytes)

    def not_refilled(self) -> None:
        """Take note that there is none: the next run tries again, and is told."""
        self.task.end()

    def collected(self, collect: Collect, memory_bytes: int) -> None:
        """Take note of what a state uses without its garbage."""
        self.memory.keep(collect.held, memory_bytes)

    def closed(self, close: Close, log: bytes) -> None:
        """Tell that a state is gone; log: of its closing."""
        held = close.held
        self.task.end()
        if close.is_last:
            self._spent.pop(held, None)
            log, held.preface = held.preface + log, b""
            gone = Gone(held.script, held.epoch, close.reason, log)
            self.peers.tell_brokers(gone)
        else:
            held.preface = log  # with the next run; this one has taken what was there
            self._spent[held] = None

    # ---- what follows --------------------------------------------------------------

    def _retire(self, held: Held, reason: Closing, *, has_hook: bool) -> None:
        """Take a state out of service and have it closed next."""
        self._remove(held)
        self._closings.append(Close(held, reason, has_hook=has_hook))

    def _remove(self, held: Held) -> None:
        old = self._generations.remove(held)
        if old is not None:
            self._queue.add(Close(old, Closing.REPLACED))

    def _tell_loaded(self, held: Held, log: bytes = b"") -> None:
        """Tell that a state is there, and what it has used so far."""
        held.has_news = False
        self.peers.tell_brokers(held.loaded(log))

    def _refuse(self, load: messages.Load, error: ScriptError) -> None:
        failed = LoadFailed(load.script, load.epoch, error, (), b"")
        self.peers.tell_brokers(failed)
