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
        self._complaints = machine.peers.complaints

    def hear(self, wait_ms: int) -> bool:
        """Send what there is to say and hear one frame; False: none came in that time.

        The frame's answer is sent with what comes next.
        """
        self.send()
        received = self._link.receive(wait_ms)
        if received is None:
            return False
        peer, frame, key = received
        self._machine.hear(peer, frame, time.monotonic_ns(), key)
        complaints = self._complaints
        if complaints:
            for text in complaints:
                logger.warning("%s", text)
            complaints.clear()
        return True

    def hear_all(self) -> None:
        """Hear what has come in already, and send what there is to say to it."""
        self.send()
        for _ in range(_MAX_HEARD):
            if not self._link.has_input():
                break
            self.hear(0)
        self.send()

    def send(self) -> None:
        """Send everything that the machine has to say."""
        outbox = self._machine.outbox()
        if outbox:
            for peer, frame in outbox:  # `lost` may add to it meanwhile
                sent = self._link.send(peer, frame)
                if sent is Sent.LOST:
                    self._machine.lost(peer, frame, time.monotonic_ns())
                elif sent is Sent.DROPPED:
                    self._machine.deaf(peer, frame)
            outbox.clear()
