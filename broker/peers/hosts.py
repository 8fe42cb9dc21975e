"""The VM hosts' side of the loop: connections, and what hosts say, as events.

A host may be hostile: what it says has the right types when it gets here, but not
modest sizes or plausible numbers. Those are cut; who breaks the protocol is accused.
"""

# Impure.

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

import zmq

from broker import events as ev
from broker.allowance import Allowance
from broker.library.tree import Library
from broker.peers import zmqlink
from broker.peers.zmtplink import IPC, StreamLink
from broker.scriptlog import ScriptLog
from luafarm import scripterrors
from luafarm.errors import ProtocolError
from luafarm.keys import curve
from luafarm.names import TERM_SHIFT, Epoch, HostId, Script
from luafarm.process.complaints import Complaints
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Fenced,
    Gone,
    Hello,
    HostUp,
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
"""Of a host that may hold states of an earlier broker: 16 KiB for each of 1000."""

_EMPTY: Final = 64  # bytes of an inventory without states, and more

_MOST_VALUES: Final = 64_000  # in a message: 10,000 files, five values each
_MOST_HELD: Final = 500_000  # in an inventory

NEEDS: Final = 2000  # files that a host may ask for at once
NEEDS_PER_S: Final = 500.0
"""And then so many a second: each costs the broker some file system calls."""

MOST_QUESTIONS: Final = 16
"""That are not answered yet: a host has one thread, which waits for the answer."""

MAX_ANSWERS: Final = 8 << 20
"""Bytes of answers that a host leaves unread and asks on."""

_SHARE_FRAMES: Final = 64  # of one host in a pass, before the others are heard
_SHARE_BYTES: Final = 256 << 10
_SHARE_S: Final = 0.005

_TIME_AT_ONCE_S: Final = 0.25  # processor time that one host may cost the broker
_TIME_SHARE: Final = 0.1  # and then of every second: what it says more of waits

_GREET_AGAIN_S: Final = 1.0
_LOST_S: Final = 1.0
"""A host of this machine whose connection ended has ended itself, as its supervisor
will have told by then; or it has broken it off."""

MAX_DEPENDENCIES: Final = 10_000  # of one state; an honest script reads fewer files
_MAX_KIB: Final = 1 << 30  # a tebibyte
_MAX_LOAD_S: Final = 3600.0

TERMS_AHEAD: Final = 1 << 16
"""Terms above its own that a broker believes: of others, started more often."""


Handle = zmqlink.Socket | int
"""What a poller takes."""

HostLink = zmqlink.KeyLink | StreamLink
"""A connection to a VM host, with keys or over TCP, and without."""


class _Peer:
    """One VM host as far as it is spoken to."""

    def __init__(self, up: HostUp, link: HostLink, *, is_fresh: bool) -> None:
        self.up = up
        self.link = link
        #: holds nothing that this broker has not ordered
        self.is_fresh = is_fresh
        #: what is polled for it; None: nothing
        self.handle: Handle | None = None
        #: answered the last greeting
        self.is_welcome = False
        self.greeted_at = 0.0
        self.greetings = 0  # that it may answer
        #: when it was asked for the inventory that it owes; None: it owes none
        self.asked_at: float | None = None
        #: how often it may have the broker look for files
        self.needs = Allowance(NEEDS, NEEDS_PER_S)
        self.questions = 0  # that are not answered yet
        self.unread = 0  # bytes of answers sent since it had read everything
        #: the broker's processor time that it may cost
        self.time = Allowance(_TIME_AT_ONCE_S, _TIME_SHARE)
        self.lost_at = 0.0  # its connection ended then; 0: not
        self.is_cut = False  # it was, by us


class Hosts:
    """Connections by host.

    In each pass a host has a share, bounded in frames, bytes and time. One that costs
    too much of the broker's time is paused: what it sends waits in its socket.
    """

    def __init__(
        self,
        context: zmqlink.Context,
        keys: curve.Keys | None,
        library: Library,
        script_log: ScriptLog,
        hello: Hello,
        term: int,
        tell: Callable[[ev.Event], None],
        poller: zmq.Poller,
        work: Callable[[], None],
    ) -> None:
        """Connect to nobody yet; term: the broker's own.

        tell: takes what was said; work: has the broker act upon it.
        """
        self._latest = term + TERMS_AHEAD << TERM_SHIFT
        self._context = context
        self._keys = keys
        self._library = library
        self._script_log = script_log
        self._hello = hello
        self._tell = tell
        self._complaints = Complaints()
        self._poller = poller
        self._work = work
        self._peers: dict[HostId, _Peer] = {}
        self._handles: dict[Handle, HostId] = {}
        self._monitors: dict[zmqlink.Socket, HostId] = {}
        #: hosts that took no more orders last time; all and only those that were logged
        self._stuck: set[HostId] = set()
        #: hosts of which something is here that was not heard
        self._unheard: dict[HostId, None] = {}
        #: hosts that have cost their share: until when they are not heard
        self._paused: dict[HostId, float] = {}

    # -- connections -----------------------------------------------------------------

    def connect(self, up: HostUp, *, is_fresh: bool = False) -> None:
        """Connect to a host that is not connected yet.

        is_fresh: it was started after this broker met its machine.
        """
        if up.host in self._peers:
            return
        max_frame = MAX_FRAME if is_fresh else MAX_INVENTORY
        link: HostLink
        if up.endpoint.startswith(IPC) and not up.server_key:
            link = StreamLink(up.endpoint, max_frame)
        else:
            link = zmqlink.KeyLink(
                self._context, up, self._keys, max_frame, self._complaints
            )
            self._monitors[link.monitor] = up.host
            self._poller.register(link.monitor, zmq.POLLIN)
        peer = self._peers[up.host] = _Peer(up, link, is_fresh=is_fresh)
        self._greet(peer, time.monotonic())

    def disconnect(self, host: HostId) -> None:
        """End the connection to a host that is no more."""
        self.cut(host)
        self._peers.pop(host, None)

    def cut(self, host: HostId) -> None:
        """Hear no more of a host, and tell it nothing: it is to be killed."""
        peer = self._peers.get(host)
        if peer is None or peer.is_cut:
            return
        peer.is_cut = True
        self._stuck.discard(host)
        self._unheard.pop(host, None)
        self._paused.pop(host, None)
        self._poll(peer, None)
        if (
            isinstance(peer.link, zmqlink.KeyLink)
            and peer.link.monitor in self._monitors
        ):
            del self._monitors[peer.link.monitor]
            self._poller.unregister(peer.link.monitor)
        peer.link.close()

    def _poll(self, peer: _Peer, handle: Handle | None) -> None:
        """Have the loop look out for this host, or not."""
        if peer.handle is not None:
            self._poller.unregister(peer.handle)
            del self._handles[peer.handle]
        peer.handle = handle
        if handle is not None:
            self._handles[handle] = peer.up.host
            flags = zmq.POLLIN | (zmq.POLLOUT if peer.link.unsent else 0)
            self._poller.register(handle, flags)

    def send(self, host: HostId, message: Message) -> bool:
        """Send to a host; False when it is not there or takes no more."""
        peer = self._peers.get(host)
        return peer is not None and self._send(peer, codec.encode(message))

    def _send(self, peer: _Peer, frame: bytes) -> bool:
        host = peer.up.host
        if peer.is_cut:
            return False
        if not peer.link.send(frame):
            if host not in self._stuck:
                self._stuck.add(host)
                logger.error("host=%s takes no more orders", host)
            return False
        self._stuck.discard(host)
        if peer.link.unsent and peer.handle is not None:
            self._poller.modify(peer.handle, zmq.POLLIN | zmq.POLLOUT)
        return True

    def tick(self, now: float) -> None:
        """Go on with those who had to wait; greet again who has not answered."""
        for host, until in list(self._paused.items()):
            if until <= now:
                del self._paused[host]
                peer = self._peers[host]
                if peer.link.open():
                    self._poll(peer, peer.link.handle)
                    self._unheard[host] = None
        for peer in self._peers.values():
            if isinstance(peer.link, zmqlink.KeyLink) and not peer.is_cut:
                peer.link.retry(now)
            if not peer.is_welcome and not peer.is_cut:
                self._greet(peer, now)
            if peer.lost_at and now - peer.lost_at > _LOST_S:
                peer.lost_at = 0.0
                self._tell(ev.Accused(peer.up.host, "it ended its connection"))

    def _greet(self, peer: _Peer, now: float) -> None:
        """Say Hello, on a new connection or when the last one found no answer."""
        if peer.link.is_lost or not peer.link.open():
            return
        if peer.handle is None and peer.up.host not in self._paused:
            self._poll(peer, peer.link.handle)
        if peer.link.is_ready and now - peer.greeted_at >= _GREET_AGAIN_S:
            peer.greeted_at = now
            peer.greetings += 1
            self._send(peer, codec.encode(self._hello))

    def close(self) -> None:
        """End all connections."""
        for host in list(self._peers):
            self.disconnect(host)

    # -- what they say ---------------------------------------------------------------

    @property
    def is_behind(self) -> bool:
        """Whether something is here that was not heard: the next pass is due."""
        return bool(self._unheard)

    def read(self, ready: Iterable[Handle]) -> None:
        """Hear those hosts of these handles that are readable, and who was not done."""
        behind, self._unheard = self._unheard, {}
        for handle in ready:
            if handle in self._monitors:
                self._reconnected(self._peers[self._monitors[handle]])
            elif handle in self._handles:
                host = self._handles[handle]
                behind.pop(host, None)
                self._attend(self._peers[host])
        for host in behind:
            if host in self._peers and host not in self._paused:
                self._hear(self._peers[host])

    def _reconnected(self, peer: _Peer) -> None:
        now = time.monotonic()
        if isinstance(peer.link, zmqlink.KeyLink) and peer.link.reconnected(now):
            peer.is_welcome = False
            peer.asked_at = None
            peer.greeted_at = 0.0
            self._greet(peer, now)

    def _attend(self, peer: _Peer) -> None:
        if peer.link.unsent:
            peer.link.flush()
            if not peer.link.unsent and peer.handle is not None:
                self._poller.modify(peer.handle, zmq.POLLIN)
        self._hear(peer)

    def _hear(self, peer: _Peer) -> None:
        """Hear a host's share of this pass; pause it when it costs too much time."""
        self._reconnected(peer)  # else a new connection would seem to say the unasked
        self._work()  # what was told before this is not its doing
        began_s = time.thread_time()
        spent_s = 0.0
        left = _SHARE_BYTES
        for _ in range(_SHARE_FRAMES):
            if peer.is_cut:
                return
            try:
                frame = peer.link.receive()
                if frame is None:
                    break
                left -= len(frame)
                if self._take(peer, frame):
                    began_s = time.thread_time()  # it was asked for so much
            except ProtocolError as error:
                logger.warning("host=%s broke the protocol: %s", peer.up.host, error)
                self.cut(peer.up.host)
                self._tell(ev.Accused(peer.up.host, str(error)))
                break
            spent_s = time.thread_time() - began_s
            if left <= 0 or spent_s > _SHARE_S:
                break
        self._work()
        self._let_wait(peer, max(spent_s, time.thread_time() - began_s))

    def _let_wait(self, peer: _Peer, spent_s: float) -> None:
        host = peer.up.host
        if peer.is_cut:
            return
        now = time.monotonic()
        wait_s = peer.time.take(now, spent_s)
        if peer.link.is_lost:
            if peer.handle is not None:
                self._poll(peer, None)
                peer.lost_at = now
        elif wait_s > 0.0:
            self._poll(peer, None)
            self._paused[host] = now + wait_s
        elif peer.link.has_more:
            self._unheard[host] = None
        if not peer.greeted_at:
            self._greet(peer, now)  # the handshake may be over

    def _take(self, peer: _Peer, frame: bytes) -> bool:
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
        most = _MOST_HELD if is_inventory else _MOST_VALUES
        self._heard(peer, codec.decode(frame, most))
        if is_inventory:
            self._work()
        return is_inventory

    def _heard(self, peer: _Peer, message: Message) -> None:
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
                self._loaded(peer, message, time.monotonic())
            case Gone(script, epoch, reason, log):
                self._check_epoch(epoch)
                self._log(peer, script, log)
                self._tell(
                    ev.StateGone(host, script, epoch, reason[: scripterrors.MAX_WORD])
                )
            case Fenced(script, epoch):
                self._check_epoch(epoch)
                self._tell(ev.FenceRaised(host, script, epoch))
            case Need():
                self._need(peer, message)
            case _:
                raise ProtocolError(f"a VM host sent {type(message).__name__}")

    def _welcomed(self, peer: _Peer, protocol: int) -> None:
        if not peer.greetings:
            raise ProtocolError("a welcome to a greeting that nobody said")
        peer.greetings -= 1
        if protocol != PROTOCOL:
            raise ProtocolError(f"it speaks protocol {protocol}")
        if not peer.is_welcome:  # else an answer to a greeting said twice
            peer.is_welcome = True
            peer.asked_at = time.monotonic()
            self._send(peer, codec.encode(TakeInventory()))

    def _refused(self, peer: _Peer, reason: str) -> None:
        cause = f"refused by {peer.up.machine}"
        text = f"host={peer.up.host} refuses this broker: {reason}"
        line = self._complaints.line(cause, text, time.monotonic())
        if line:
            logger.error("%s", line)

    def _log(self, peer: _Peer, script: Script, log: bytes) -> None:
        """Log what a script said, in the name of none but its pool's own."""
        if log and self._library.is_of(peer.up.pool, script):
            self._script_log.lines(peer.up.pool, script, log, time.monotonic())

    def _check_epoch(self, epoch: Epoch) -> None:
        # the broker counts on above what it hears: nobody may push it over the edge
        if not 0 <= epoch < self._latest:
            raise ProtocolError(f"epoch {epoch} is not of any broker so far")

    def _loaded(self, peer: _Peer, message: Loaded | LoadFailed, since: float) -> None:
        if peer.is_cut:
            return
        pool, script = peer.up.pool, message.script
        self._library.read_events()
        used = self._library.used(pool, script, message.dependencies)
        paths = [script, *[path for path, _ in used]]

        def again(since: float) -> None:
            self._loaded(peer, message, since)

        if self._library.waits(pool, paths, since, again):
            return
        changed = self._library.changed(pool, used)
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

    def _need(self, peer: _Peer, need: Need) -> None:
        now = time.monotonic()
        if not peer.link.unsent:
            peer.unread = 0
        if peer.questions >= MOST_QUESTIONS or peer.unread > MAX_ANSWERS:
            raise ProtocolError(
                f"it asks on with {peer.questions} questions and {peer.unread} bytes "
                f"of answers waiting; the limits are {MOST_QUESTIONS} and {MAX_ANSWERS}"
            )
        peer.questions += 1
        wait_s = peer.needs.take(now)
        if wait_s > 0.0:
            self._library.later(
                now + wait_s, lambda since: self._answer(peer, need, since)
            )
        else:
            self._answer(peer, need, now)

    def _answer(self, peer: _Peer, need: Need, since: float) -> None:
        if peer.is_cut:
            return

        def again(since: float) -> None:
            self._answer(peer, need, since)

        source = self._library.answer(peer.up.pool, need, since, again)
        if source is not None:
            peer.questions -= 1
            frame = codec.encode(source)
            peer.unread += len(frame)
            self._send(peer, frame)


def _check_dependencies(number: int) -> None:
    if number > MAX_DEPENDENCIES:
        limit = f"the limit is {MAX_DEPENDENCIES}"
        raise ProtocolError(f"a state with {number} dependencies; {limit}")
