"""What a front and a VM host say to each other: requests, and what became of them."""

from enum import IntEnum
from typing import Annotated, Final

from msgspec import Meta

from luafarm.ends import Budget
from luafarm.names import RequestId
from luafarm.wire.messages.packed import Packed


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


_Outcome = Annotated[int, Meta(ge=0, le=4)]  # a number: the rows are plain

DoneRow = tuple[int, _Outcome, bytes, bytes, bytes, bytes, int]
"""(request, Outcome, head, body, log, error, service in microseconds).

`head`: CGI header lines joined by CRLF, without the blank line; when `Part`s carried it
before, the number of bytes of their chunks in decimal: a missing one shows.
`log`: lines for STDERR and the log, see `luafarm.wire.loglines`.
`error`: an encoded `ScriptError` or empty.
"""


class Runs(Packed, frozen=True, tag=3):
    """Requests to run, in this order."""

    rows: tuple[RunRow, ...]


class Dones(Packed, frozen=True, tag=4):
    """Runs that ended, in the order in which they were run."""

    rows: tuple[DoneRow, ...]


class Part(Packed, frozen=True, tag=5):
    """A piece of a reply before its end, because the script flushed."""

    request: RequestId
    head: bytes
    chunk: bytes
    log: bytes


class Finished(Packed, frozen=True, tag=40):
    """A reply is whole, and its run goes on: a row of `Dones` ends it, without one.

    head: as in that row; after `Part`s the number of their bytes.
    """

    request: RequestId
    head: bytes
    body: bytes
    log: bytes


class Want(Packed, frozen=True, tag=6):
    """The running script reads: send `Body` from this offset, at most `max_bytes`."""

    request: RequestId
    stream: int  # 0 STDIN, 1 DATA
    offset: int
    max_bytes: int


class Body(Packed, frozen=True, tag=7):
    """A piece of a request body; empty at its end."""

    request: RequestId
    stream: int
    offset: int
    chunk: bytes


class Cancel(Packed, frozen=True, tag=8):
    """The client went away: drop the run if it waits, stop it softly if it runs."""

    request: RequestId


class Recall(Packed, frozen=True, tag=38):
    """A front is there again over another connection, and still wants these runs.

    What else it has sent is dropped where it waits and stopped where it runs.
    """

    requests: tuple[RequestId, ...]


class Recalled(Packed, frozen=True, tag=39):
    """What became of a front's runs; replies that it had not taken come before.

    A run that is not named has ended, if it was one of those that came.
    """

    received: int  # rows of `Runs` of this front so far, in their order; -1: not known
    going: tuple[tuple[int, int], ...]  # request, bytes of its `Part`s or -1: none yet


HOST_ERROR: Final = "Host Error"
"""Kind of an error that is none of the script: the VM host did not try to load it."""


class ScriptError(Packed, frozen=True):
    """Why a script did not load or did not finish."""

    kind: str  # "Syntax Error", "Runtime Error", "Memory Error", "File Error", ...
    message: str
    traceback: str
    file: str
    line: int  # 0 when not known
    excerpt: str  # source lines around `line`, "NNN| text", empty when not known
    budget: Budget  # that was exceeded
