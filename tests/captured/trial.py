"""One crime in one pool: committed, judged, and the pool served again after it."""

import contextlib
import threading
import time
from dataclasses import dataclass, field

from tests.captured import den
from tests.captured.captive import LEAVE_BYTES
from tests.captured.crime import Crime, Fate
from tests.captured.to_broker import LEAKED
from tests.farm.client import Reply, connected
from tests.farm.farms import Farm, until

GONE_S = 60.0
"""Generous: whether a host goes is asserted here, how soon is printed."""

FREE_S = 30.0

_HARMLESS = {Fate.FREE, Fate.EITHER}


@dataclass
class Verdict:
    """What came of a crime."""

    faults: list[str] = field(default_factory=list)
    began: float = 0.0
    gone_s: float | None = None  # until the host was no more


class Pool:
    """One pool of one captured host."""

    def __init__(self, farm: Farm, name: str) -> None:
        self.name = name
        self._farm = farm

    def is_honest(self) -> bool:
        """Return whether it answers as if nothing had happened."""
        return self._ask("honest").body == b"honest"

    def commit(self, crime: Crime) -> Verdict:
        """Have a crime committed, and look what comes of it."""
        verdict = Verdict(began=time.monotonic())
        for _ in range(crime.times):
            until(self.is_honest, f"{self.name} serves before {crime.name}", GONE_S)
            [pid] = den.hosts(self._farm, self.name)
            with den.Watched(pid) as host:
                self._commit_once(crime, host, verdict)
                if crime.fate in _HARMLESS:
                    self._renew(crime, host, verdict)
        return verdict

    def _renew(self, crime: Crime, host: den.Watched, verdict: Verdict) -> None:
        """Have the host end: what it has begun is not the next crime's."""
        if host.has_ended(0.0):
            if crime.fate is Fate.FREE:
                verdict.faults.append("its host died of what harms nobody")
            return
        with contextlib.suppress(OSError):
            self._ask("honest", b"x" * LEAVE_BYTES)
        assert host.has_ended(GONE_S), "it does not leave"

    def _commit_once(self, crime: Crime, before: den.Watched, verdict: Verdict) -> None:
        replies: list[Reply] = []
        asking = threading.Thread(
            target=self._suffer, args=(crime, replies), daemon=True
        )
        began = time.monotonic()
        asking.start()
        if crime.fate in _HARMLESS:
            asking.join(FREE_S)
        else:
            if before.has_ended(GONE_S):
                verdict.gone_s = time.monotonic() - began
            else:
                verdict.faults.append("its host lives on")
            asking.join(FREE_S)
        if asking.is_alive():
            verdict.faults.append("whoever asked for it has no answer")
        if any(LEAKED in reply.body for reply in replies):
            verdict.faults.append("it got what it must not have")

    def _suffer(self, crime: Crime, replies: list[Reply]) -> None:
        with contextlib.suppress(OSError):
            replies.append(self._ask(crime.name, b"x" * crime.body_bytes))

    def _ask(self, name: str, body: bytes = b"x") -> Reply:
        # a POST: what is safe would be committed once more by the next host
        with connected(self._farm.socket) as client:
            path = self._farm.place / self.name / f"{name}.lua"
            client.send(path, method="POST", body=body)
            return client.receive()
