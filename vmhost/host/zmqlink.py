"""A VM host's socket where keys are wanted: libzmq's ROUTER with CURVE.

A second, in-process connection lets the main thread end the wait for frames (`stop`).

A peer is a routing id together with the key with which it came in: routing ids are the
peers' choice, and whoever takes that of one that is gone is another peer.
"""

# Impure.

import secrets
import time
from typing import Final

import zmq

from luafarm.keys import curve
from luafarm.keys.badges import Badges
from luafarm.keys.curve import KEY_BYTES
from luafarm.keys.zap import ZapHandler
from luafarm.wire.codec import MAX_FRAME
from vmhost.host.config import HostConfig
from vmhost.host.link import LINGER_MS, PATIENCE_S, Sent
from vmhost.host.peers import ROLES

HWM: Final = 64  # frames that may wait for a peer: 16 MiB of pieces
BACKLOG_HWM: Final = 1000  # frames of one peer that may wait for us
_RETRY_S: Final = 0.0005
_STOP_ENDPOINT: Final = "inproc://stop"

_SENDING: Final = zmq.DONTWAIT | zmq.SNDMORE


class CurveLink:
    """The ROUTER of a VM host and who is at its other ends."""

    def __init__(self, config: HostConfig, listen_fd: int) -> None:
        self.is_stopped = False  # somebody called `stop`
        self._is_stopping = False  # the same, as the main thread sees it
        self.dropped = 0  # frames that a deaf peer did not take
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._deaf: set[bytes] = set()
        router = self._router = self._context.socket(zmq.ROUTER)
        router.set(zmq.ROUTER_MANDATORY, 1)
        router.set(zmq.SNDHWM, HWM)
        router.set(zmq.RCVHWM, BACKLOG_HWM)
        router.set(zmq.MAXMSGSIZE, MAX_FRAME)
        router.set(zmq.LINGER, LINGER_MS)
        self._stop_id = secrets.token_bytes(16)  # a peer cannot take it: it is taken
        router.bind(_STOP_ENDPOINT)
        self._stopper = self._context.socket(zmq.DEALER)
        self._stopper.set(zmq.ROUTING_ID, self._stop_id)
        self._stopper.set(zmq.LINGER, 0)
        self._stopper.connect(_STOP_ENDPOINT)
        self._zap = self._guard(config)
        router.set(zmq.USE_FD, listen_fd)
        router.bind(config.endpoint)
        self._poller = zmq.Poller()
        self._poller.register(router, zmq.POLLIN)
        self._poller.register(self._zap.socket, zmq.POLLIN)

    def stop(self) -> None:
        """End the wait of `receive`; see `Link`."""
        if not self._is_stopping:
            self._is_stopping = True
            self._stopper.send(b"")

    def receive(self, wait_ms: int) -> tuple[bytes, bytes, str] | None:
        """Return a peer, its next frame and its key; None: nothing came."""
        ready = dict(self._poller.poll(wait_ms))
        if self._zap.socket in ready:
            self._zap.handle()
        if self._router not in ready:
            return None
        routing_id = self._router.recv()
        frame = self._router.recv(copy=False)
        if frame.more:
            self._skip()
            return None
        if routing_id == self._stop_id:
            self.is_stopped = True
            return None
        key = str(frame.get("User-Id"))
        return routing_id + key.encode(), frame.bytes, key

    def has_input(self) -> bool:
        """Return whether `receive` would return at once."""
        return int(self._router.get(zmq.EVENTS)) & zmq.POLLIN != 0

    def send(self, peer: bytes, frame: bytes) -> Sent:
        """Send one frame, within PATIENCE or not at all."""
        give_up_s = 0.0
        while True:
            try:
                self._router.send(peer[:-KEY_BYTES], _SENDING)
                self._router.send(frame, zmq.DONTWAIT)
            except zmq.Again:
                now_s = time.monotonic()
                give_up_s = give_up_s or now_s + PATIENCE_S
                if now_s >= give_up_s or peer in self._deaf:
                    self._deaf.add(peer)
                    self.dropped += 1
                    return Sent.DROPPED
                time.sleep(_RETRY_S)
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                self._deaf.discard(peer)
                return Sent.LOST
            else:
                if self._deaf:
                    self._deaf.discard(peer)
                return Sent.YES

    def close(self) -> None:
        """Send what is on its way, for LINGER at most, and close."""
        self._zap.close()
        self._stopper.close()
        self._router.close()
        self._context.term()

    def _guard(self, config: HostConfig) -> ZapHandler:
        """Let in only who has a key."""
        public = zmq.curve_public(config.secret_key)
        curve.serve(self._router, curve.KeyPair(public, config.secret_key))
        return ZapHandler(self._context, Badges(config.badges), *ROLES)

    def _skip(self) -> None:
        """Skip the rest of a message of more than one frame: it is none of ours."""
        while self._router.get(zmq.RCVMORE):
            self._router.recv()
