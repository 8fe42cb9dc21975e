"""The way of frames between a VM host's socket and its machine."""

# Impure, compiled.

import logging
import time
from typing import Final

from vmhost.host.link import Link, Sent
from vmhost.host.machine import HostMachine

logger = logging.getLogger(f"luafarm.{__name__}")

_MAX_HEARD: Final = 64  # frames taken at one look, so that work goes on


class Mail:
    """Hears frames for the machine and sends what it says."""

    def __init__(self, link: Link, machine: HostMachine) -> None:
        self._link = link
        self._machine = machine
        self._peers = machine.peers

    def hear(self, wait_ms: int) -> bool:
        """Hand one frame to the machine; False when none came in that time."""
        received = self._link.receive(wait_ms)
        if received is None:
            return False
        peer, frame, key = received
        self._machine.hear(peer, frame, time.monotonic_ns(), key)
        complaints = self._peers.complaints
        if complaints:
            for text in complaints:
                logger.warning("%s", text)
            complaints.clear()
        return True

    def hear_all(self) -> None:
        """Hand what has come in to the machine and send what it answers."""
        for _ in range(_MAX_HEARD):
            if not self._link.has_input():
                break
            self.hear(0)
        self.send()

    def send(self) -> None:
        """Send everything that the machine has to say."""
        outbox = self._peers.outbox
        for peer, frame in outbox:  # `lost` may add to it meanwhile
            if self._link.send(peer, frame) is Sent.LOST:
                self._machine.lost(peer)
        outbox.clear()
