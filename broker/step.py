"""One step of the decisions: what time it is, and the orders that it gives."""

# Compiled.

from broker.actions import Action, Log
from luafarm.names import Pool


class Step:
    """Shared by all parts that decide; `Broker.handle` begins a new one."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.out: list[Action] = []
        #: what a test or an operator wants to know, since the start
        self.counts: dict[str, int] = {}

    def begin(self, now: float) -> list[Action]:
        """Start a step; return the list that its orders will be in."""
        self.now = now
        self.out = []
        return self.out

    def count(self, name: str, number: int = 1) -> None:
        """Count something that happened."""
        self.counts[name] = self.counts.get(name, 0) + number

    def log(self, level: str, text: str, pool: Pool | None = None) -> None:
        """Have a line written to the log; pool: whose scripts have a say in it."""
        self.out.append(Log(level, text, pool))
