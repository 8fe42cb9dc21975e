"""The connections to VM hosts: who is spoken to, and who is heard when.

What hosts say is taken by `broker.peers.hearing`.
"""

# Impure.

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

import zmq

from broker import events as ev
from broker.library.tree import Library
from broker.peers import zmqlink
from broker.peers.hearing import MAX_FRAME, MAX_INVENTORY, Hearing
from broker.peers.peer import Handle, HostLink, Peer
from broker.peers.zmtplink import IPC, ZmtpLink
from broker.scriptlog import ScriptLog
from luafarm.errors import ProtocolError
from luafarm.keys import curve
from luafarm.keys.handshakes import Change
from luafarm.names import HostId
from luafarm.process.complaints import Complaints
from luafarm.wire import codec
from luafarm.wire.messages import (
    Hello,
    HostUp,
    Message,
)

logger = logging.getLogger(f"luafarm.{__name__}")

_SHARE_FRAMES: Final = 64  # of one host in a pass, before the others are heard
_SHARE_BYTES: Final = 256 << 10
_SHARE_S: Final = 0.005

MAX_RESTING: Final = 4 << 20
"""Bytes that one host has said and that wait until files rest; then it is not heard."""

_FILES_S: Final = 0.05  # until it is tried again whether files have rested

_GREET_AGAIN_S: Final = 1.0
_LOST_S: Final = 1.0
"""A host of this machine whose connection ended has ended itself, as its supervisor
will have told by then; or it has broken it off."""


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
        self._context = context
        self._keys = keys
        self._library = library
        self._hearing = Hearing(library, script_log, term, tell, work, self._send)
        self._hello = hello
        self._tell = tell
        self._complaints = Complaints()
        self._poller = poller
        self._work = work
        self._peers: dict[HostId, Peer] = {}
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
            link = ZmtpLink(up.endpoint, max_frame)
        else:
            link = zmqlink.KeyLink(
                self._context, up, self._keys, max_frame, self._complaints
            )
            self._monitors[link.monitor] = up.host
            self._poller.register(link.monitor, zmq.POLLIN)
        peer = self._peers[up.host] = Peer(up, link, is_fresh=is_fresh)
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

    def _poll(self, peer: Peer, handle: Handle | None) -> None:
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

    def _send(self, peer: Peer, frame: bytes) -> bool:
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
                try:
                    peer.link.check(now)
                except ProtocolError as error:
                    self._accuse(peer, error)
            if not peer.is_welcome and not peer.is_cut:
                self._greet(peer, now)
            if peer.lost_at and now - peer.lost_at > _LOST_S:
                peer.lost_at = 0.0
                self._tell(ev.Accused(peer.up.host, "it ended its connection"))

    def _greet(self, peer: Peer, now: float) -> None:
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

    def _reconnected(self, peer: Peer) -> None:
        now = time.monotonic()
        if not isinstance(peer.link, zmqlink.KeyLink):
            return
        changes = peer.link.changes(now)
        if Change.LOST in changes:
            self._tell(ev.HostUnreached(peer.up.host))
        if Change.MADE in changes:
            peer.is_welcome = False
            peer.asked_at = None
            peer.greeted_at = 0.0
            self._greet(peer, now)

    def _attend(self, peer: Peer) -> None:
        if peer.link.unsent:
            peer.link.flush()
            if not peer.link.unsent and peer.handle is not None:
                self._poller.modify(peer.handle, zmq.POLLIN)
        self._hear(peer)

    def _hear(self, peer: Peer) -> None:
        """Hear a host's share of this pass; pause it when it costs too much time."""
        self._reconnected(peer)  # else a new connection would seem to say the unasked
        self._work()  # what was told before this is not its doing
        began_s = time.thread_time()
        spent_s = 0.0
        left = _SHARE_BYTES
        for _ in range(_SHARE_FRAMES):
            if peer.is_cut:
                return
            if self._waits_much(peer):
                break
            try:
                frame = peer.link.receive()
                if frame is None:
                    break
                left -= len(frame)
                if self._hearing.take(peer, frame):
                    began_s = time.thread_time()  # it was asked for all of that
            except ProtocolError as error:
                self._accuse(peer, error)
                break
            spent_s = time.thread_time() - began_s
            if left <= 0 or spent_s > _SHARE_S:
                break
        self._work()
        self._let_wait(peer, max(spent_s, time.thread_time() - began_s))

    def _accuse(self, peer: Peer, error: ProtocolError) -> None:
        logger.warning("host=%s broke the protocol: %s", peer.up.host, error)
        self.cut(peer.up.host)
        self._tell(ev.Accused(peer.up.host, str(error)))

    def _waits_much(self, peer: Peer) -> bool:
        """Say whether too much that it said waits for files: then it is not heard."""
        return peer.resting_bytes >= MAX_RESTING or self._library.is_full

    def _let_wait(self, peer: Peer, spent_s: float) -> None:
        host = peer.up.host
        if peer.is_cut:
            return
        now = time.monotonic()
        wait_s = peer.time.take(now, spent_s)
        if self._waits_much(peer):
            wait_s = max(wait_s, _FILES_S)
        if peer.link.is_lost:
            if peer.handle is not None:
                self._poll(peer, None)
                peer.lost_at = now
                self._tell(ev.HostUnreached(peer.up.host))
        elif wait_s > 0.0:
            self._poll(peer, None)
            self._paused[host] = now + wait_s
        elif peer.link.has_more:
            self._unheard[host] = None
        if not peer.greeted_at:
            self._greet(peer, now)  # the handshake may be over
