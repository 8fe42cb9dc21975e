"""What VM hosts say: checked, cut, and told on as events.

A host may be hostile: what it says has the right types when it gets here, but not
modest sizes or plausible numbers. Those are cut; who breaks the protocol is accused.
"""

# Impure.

import logging
import time
from collections.abc import Callable
from typing import Final

from broker import events as ev
from broker.library.resting import Rest
from broker.library.tree import Library
from broker.peers.peer import Peer
from broker.scriptlog import ScriptLog
from luafarm import scripterrors
from luafarm.ends import Closing
from luafarm.errors import ProtocolError
from luafarm.names import TERM_SHIFT, Epoch, Script
from luafarm.process.complaints import Complaints
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Fenced,
    Gone,
    Inventory,
    Loaded,
    LoadFailed,
    Message,
    Need,
    Refused,
    TakeInventory,
    Welcome,
)

logger = logging.getLogger(f"luafarm.{__name__}")

MAX_FRAME: Final = 4 << 20
"""Bytes of one message: what 10,000 files are called, an error, a log."""

MAX_INVENTORY: Final = 16 << 20
"""Bytes of the inventory of a host that may hold states of an earlier broker: 1000
states, 16 KiB each."""

_EMPTY: Final = 64  # bytes: enough for an inventory without states

_VALUES: Final = 64_000  # in a message: 10,000 files, five values each
_INVENTORY_VALUES: Final = 500_000  # in an inventory

MOST_QUESTIONS: Final = 16
"""That are not answered yet: a host has one thread, which waits for the answer."""

MAX_ANSWERS: Final = 8 << 20
"""Bytes of unread answers; a host that has not read them has nothing more to ask."""

MOST_DEPENDENCIES: Final = 10_000  # told of one state: a VM host tells of 2000
_MAX_KIB: Final = 1 << 30  # a tebibyte
_MAX_LOAD_S: Final = 3600.0

TERMS_AHEAD: Final = 1 << 16
"""Terms above its own that a broker believes: other brokers were started more often."""


class Hearing:
    """Takes the frames of all hosts."""

    def __init__(
        self,
        library: Library,
        script_log: ScriptLog,
        term: int,
        tell: Callable[[ev.Event], None],
        work: Callable[[], None],
        send: Callable[[Peer, bytes], bool],
    ) -> None:
        """tell: takes what was said; work: has the broker act upon it; send: answers.

        term: the broker's own.
        """
        self._latest = term + TERMS_AHEAD << TERM_SHIFT
        self._library = library
        self._script_log = script_log
        self._tell = tell
        self._work = work
        self._send = send
        self._complaints = Complaints()

    def take(self, peer: Peer, frame: bytes) -> bool:
        """Take what a host says; return whether that was its answer to a question.

        What nobody asked for, and what is too large, is not even unpacked.
        """
        is_inventory = codec.kind_of(frame) == codec.INVENTORY
        if is_inventory and peer.asked_at is None:
            raise ProtocolError("an inventory that nobody asked for")
        most_bytes = MAX_FRAME
        if is_inventory:
            most_bytes = _EMPTY if peer.is_fresh else MAX_INVENTORY
        if len(frame) > most_bytes:
            raise ProtocolError(
                f"a message of {len(frame)} bytes; the limit is {most_bytes}"
            )
        most = _INVENTORY_VALUES if is_inventory else _VALUES
        self._heard(peer, codec.decode(frame, most), len(frame))
        if is_inventory:
            self._work()
        return is_inventory

    def _heard(self, peer: Peer, message: Message, size: int) -> None:
        host = peer.up.host
        match message:
            case Welcome(protocol):
                self._welcomed(peer, protocol)
            case Refused(reason):
                self._refused(peer, reason)
            case Inventory(states):
                for state in states:
                    self._check_epoch(state.epoch)
                    _check_dependencies(len(state.dependencies))
                asked_at, peer.asked_at = peer.asked_at, None
                assert asked_at is not None
                self._tell(ev.Inventoried(host, states, asked_at))
            case Loaded() | LoadFailed():
                self._check_epoch(message.epoch)
                _check_dependencies(len(message.dependencies))
                self._loaded(peer, message, size, time.monotonic())
            case Gone(script, epoch, reason, log):
                self._check_epoch(epoch)
                self._log(peer, script, log)
                self._tell(ev.StateGone(host, script, epoch, reason))
            case Fenced(script, epoch):
                self._check_epoch(epoch)
                self._tell(ev.FenceRaised(host, script, epoch))
            case Need():
                self._need(peer, message, size)
            case _:
                raise ProtocolError(f"a VM host sent {type(message).__name__}")

    def _welcomed(self, peer: Peer, protocol: int) -> None:
        if not peer.greetings:
            raise ProtocolError("a welcome to a greeting that nobody said")
        peer.greetings -= 1
        if protocol != PROTOCOL:
            raise ProtocolError(f"it speaks protocol {protocol}")
        if not peer.is_welcome:  # else an answer to a greeting said twice
            peer.is_welcome = True
            peer.asked_at = time.monotonic()
            self._send(peer, codec.encode(TakeInventory()))

    def _refused(self, peer: Peer, reason: str) -> None:
        cause = f"refused by {peer.up.machine}"
        text = f"host={peer.up.host} refuses this broker: {reason}"
        line = self._complaints.line(cause, text, time.monotonic())
        if line:
            logger.error("%s", line)

    def _log(self, peer: Peer, script: Script, log: bytes) -> None:
        """Log what a script said, in the name of none but its pool's own."""
        if log and self._library.is_of(peer.up.pool, script):
            self._script_log.lines(peer.up.pool, script, log, time.monotonic())

    def _check_epoch(self, epoch: Epoch) -> None:
        # the broker counts on above what it hears: nobody may push it over the edge
        if not 0 <= epoch < self._latest:
            raise ProtocolError(f"epoch {epoch} is not of any broker so far")

    def _loaded(
        self, peer: Peer, message: Loaded | LoadFailed, size: int, since: float
    ) -> None:
        if peer.is_cut:
            return
        pool, script = peer.up.pool, message.script
        self._library.read_events()
        used = self._library.used(pool, script, message.dependencies)
        paths = [script, *[path for path, _ in used]]

        def again(since: float) -> None:
            peer.resting_bytes -= size
            self._loaded(peer, message, size, since)

        if self._library.rest(pool, paths, since, size, again) is Rest.LATER:
            peer.resting_bytes += size
            return
        changed = self._library.changed(pool, used)
        is_unread = peer.unread == script
        peer.unread = None
        self._log(peer, script, message.log)
        if isinstance(message, Loaded):
            self._tell(
                ev.StateLoaded(
                    peer.up.host,
                    script,
                    message.epoch,
                    min(max(message.load_us / 1e6, 0.0), _MAX_LOAD_S),
                    min(max(message.kib, 0), _MAX_KIB),
                    message.dependencies,
                    changed,
                )
            )
        elif is_unread:
            self._tell(
                ev.StateGone(peer.up.host, script, message.epoch, Closing.UNREAD)
            )
        else:
            self._tell(
                ev.LoadFailed(
                    peer.up.host,
                    script,
                    message.epoch,
                    scripterrors.cut(message.error),
                    message.dependencies,
                    changed,
                )
            )

    def _need(self, peer: Peer, need: Need, size: int) -> None:
        now = time.monotonic()
        if not peer.link.unsent:
            peer.unread_bytes = 0
        if peer.questions >= MOST_QUESTIONS or peer.unread_bytes > MAX_ANSWERS:
            raise ProtocolError(
                f"it asks on with {peer.questions} questions open and answers of "
                f"{peer.unread_bytes} bytes waiting; "
                f"the limits are {MOST_QUESTIONS} and {MAX_ANSWERS}"
            )
        peer.questions += 1
        wait_s = peer.needs.take(now)
        if wait_s > 0.0:
            self._library.later(
                now + wait_s, size, lambda since: self._answer(peer, need, since)
            )
        else:
            self._answer(peer, need, now)

    def _answer(self, peer: Peer, need: Need, since: float) -> None:
        if peer.is_cut:
            return

        def again(since: float) -> None:
            self._answer(peer, need, since)

        answer = self._library.answer(peer.up.pool, need, since, again)
        if answer is not None:
            peer.questions -= 1
            if not answer.is_known:
                peer.unread = need.script
            frame = codec.encode(answer.source)
            peer.unread_bytes += len(frame)
            self._send(peer, frame)


def _check_dependencies(number: int) -> None:
    if number > MOST_DEPENDENCIES:
        limit = f"the limit is {MOST_DEPENDENCIES}"
        raise ProtocolError(f"a state with {number} dependencies; {limit}")
