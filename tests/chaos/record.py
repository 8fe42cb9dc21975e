"""What is said of a run of the suite: requests, answers, versions, faults, executions.

Times are seconds of one monotonic clock.
"""

from dataclasses import dataclass
from enum import Enum

SAFE = frozenset({"GET"})


@dataclass(frozen=True, slots=True)
class Order:
    """One request, as it was drawn."""

    id: str
    pool: str
    script: str
    method: str = "GET"
    lines: int = 1
    pieces: int = 1  # flushed one by one, if more than one
    wait_s: float = 0.0  # after each piece
    has_length: bool = False  # the script says Content-Length
    is_raw: bool = False  # nginx is to pass on what comes, unbuffered
    upload_bytes: int = 0
    reads_slowly: bool = False
    leaves: bool = False  # the client goes when the reply has begun
    pause_s: float = 0.0  # of the client, before it

    @property
    def is_safe(self) -> bool:
        """Whether it may be run once more."""
        return self.method in SAFE


class Framing(Enum):
    """How a reply ended, as far as HTTP tells."""

    WHOLE = "whole"
    CUT = "cut"
    NONE = "none"  # not even a status line
    EXTRA = "extra"  # whole, and more came that nobody asked for
    LEFT = "left"  # the client went away


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client got for one request."""

    order: Order
    sent: float
    ended: float
    framing: Framing
    status: int = 0
    body: bytes = b""
    why: str = ""  # of a reply that did not end well


@dataclass(frozen=True, slots=True)
class Version:
    """One content of a script, or its absence (generation 0)."""

    pool: str
    script: str
    generation: int
    release: int
    begun: float  # nobody can have it before
    acknowledged: float | None = None  # nobody may get an older one who asks later


@dataclass(frozen=True, slots=True)
class Act:
    """One fault or deploy that was committed."""

    kind: str
    began: float
    ended: float
    victims: int = 1
    note: str = ""
    unreplaced: tuple[str, ...] = ()  # processes that hung on, and nobody replaced

    def __str__(self) -> str:
        """Return it as a part of a line."""
        return f"{self.kind}@{self.began:.1f}-{self.ended:.1f}"


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a script as the ledger has it."""

    id: str
    mark: str  # state and how manieth run of it
    method: str
    has_ended: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """All that happened in one run of the suite."""

    seen: tuple[Seen, ...]
    versions: tuple[Version, ...]
    acts: tuple[Act, ...]
    executions: tuple[Execution, ...]
    ledger_pools: frozenset[str]  # whose scripts write the ledger
    left: tuple[str, ...] = ()  # what was left over, a sentence each
