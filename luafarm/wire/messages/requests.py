"""What a front and a VM host say to each other: requests, and what became of them."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from luafarm.names import RequestId


class Outcome(IntEnum):
    """How a run ended; what the front may do about it stands beside each."""

    OK = 0  # head and body are the reply
    ERROR = 1  # the script failed: `error` tells; the state may live on
    BUDGET = 2  # a budget stopped it: `error.budget` names it; the state is closed
    ABSENT = 3  # never started: no state at or above the fence; place it again
    CANCELLED = 4  # the front asked for it


SAFE: Final = 1  # flag of a run: GET, HEAD or OPTIONS: may be started once more
AUTHORIZER: Final = 2  # flag of a run: FastCGI role
FILTER: Final = 4  # flag of a run: FastCGI role


RunRow = tuple[int, bytes, int, int, bytes, bytes | None, int, int]
"""(request, script, least epoch, flags, params, body or None, body bytes, data bytes).

`params` are the FastCGI name-value pairs as the web server sent them. A body of None
waits at the front: pull it with `Want`. `body bytes` is its whole length.
"""


DoneRow = tuple[int, int, bytes, bytes, bytes, bytes, int]
"""(request, Outcome, head, body, log, error, service in microseconds).

`head`: CGI header lines joined by CRLF, without the blank line; when `Part`s carried it
before, the number of bytes of their chunks in decimal: a missing one shows.
`log`: lines for STDERR and the log, see `luafarm.wire.loglines`.
`error`: an encoded `ScriptError` or empty.
"""


@dataclass(frozen=True, slots=True)
class Runs:
    """Requests to run, in this order."""

    rows: tuple[RunRow, ...]


@dataclass(frozen=True, slots=True)
class Dones:
    """Runs that ended, in the order in which they were run."""

    rows: tuple[DoneRow, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a reply before its end, because the script flushed."""

    request: RequestId
    head: bytes
    chunk: bytes
    log: bytes


@dataclass(frozen=True, slots=True)
class Want:
    """The running script reads: send `Body` from this offset, at most so many bytes."""

    request: RequestId
    stream: int  # 0 STDIN, 1 DATA
    offset: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of a request body; empty at its end."""

    request: RequestId
    stream: int
    offset: int
    chunk: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client went away: drop the run if it waits, stop it softly if it runs."""

    request: RequestId


HOST_ERROR: Final = "Host Error"
"""Kind of an error that is none of the script: the VM host did not try to load it."""


@dataclass(frozen=True, slots=True)
class ScriptError:
    """Why a script did not load or did not finish."""

    kind: str  # "Syntax Error", "Runtime Error", "Memory Error", "File Error", ...
    message: str
    traceback: str
    file: str
    line: int  # 0 when not known
    excerpt: str  # source lines around `line`, "NNN| text", empty when not known
    budget: str  # "", or the budget that was exceeded: "cpu", "wall", "memory", ...
