"""The scoreboard: one page a VM host, in memory shared with its supervisor.

The host writes what it runs, the supervisor reads it at any time, also after the host
died: so it knows deadlines without asking, and which request and script a host died of.

The order of the stores makes it safe without a lock. `begin` writes time and name while
the request id is 0 and stores the id last; `end` stores 0 first. Each store is one
aligned word. So an id that is there names a request that may have started, and 0 means
that none is running; a reader that finds the same id before and after reading the rest
has read what belongs to it. On processors that reorder stores a live reading may still
be mixed for some nanoseconds: the supervisor acts on two readings that agree.

Ids that ended stay in `recent` for a while: the reply to one may have died with the
host, and it must not be run twice.

Nothing in here is to be trusted: the host may have been taken over.
"""

# Impure, compiled.

import fcntl
import mmap
import os
from typing import Final

from luafarm.names import RequestId, Script
from vmhost.reading import Reading, Running

SIZE: Final = 4096
NAME_BYTES: Final = 1792  # a longer script path is cut
RECENT: Final = 128  # more than fronts ever have outstanding on one host

_LOADING: Final = (1 << 64) - 1  # request ids have 63 bits

# where in the page, counted in words of 8 bytes
_REQUEST_AT: Final = 0
_STARTED_AT: Final = 1
_DEADLINE_AT: Final = 2
_LENGTH_AT: Final = 3  # of the script's path, which follows
_NAME_AT: Final = 32  # in bytes
_COUNTS_AT: Final = 256  # requests that ended, beat, requests that began
_RECENT_AT: Final = 384

_TRIES: Final = (
    8  # a reading is torn only when the host goes on in the same microsecond
)

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def create() -> int:
    """Return the fd of a new page; nobody can change its size any more."""
    fd = os.memfd_create("luafarm-scoreboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, SIZE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


class HostSlot:
    """The host's side. Hot: a few stores of a word a call."""

    __slots__ = ("_begun", "_page", "_requests", "_script", "_words")

    def __init__(self, fd: int) -> None:
        self._page = memoryview(mmap.mmap(fd, SIZE))
        self._words = self._page.cast("Q")
        self._script = b""  # the name that the page holds
        self._begun = 0
        self._requests = 0

    def begin(
        self, request: int, script: bytes, started_ns: int, deadline_ns: int
    ) -> None:
        """Say what starts now; `end` must follow. request 0: a script is loaded."""
        words = self._words
        words[_STARTED_AT] = started_ns
        words[_DEADLINE_AT] = deadline_ns
        if script != self._script:
            self._name(script)
        if request:
            words[_RECENT_AT + self._begun % RECENT] = request
            self._begun += 1
            words[_COUNTS_AT + 2] = self._begun
            words[_REQUEST_AT] = request
        else:
            words[_REQUEST_AT] = _LOADING

    def end(self) -> None:
        """Say that it is over, once its reply has been handed to the socket."""
        words = self._words
        if words[_REQUEST_AT] != _LOADING:
            self._requests += 1
        words[_REQUEST_AT] = 0
        words[_COUNTS_AT] = self._requests

    def beat(self, now_ns: int) -> None:
        """Say that the loop is alive; at least once a second while nothing runs."""
        self._words[_COUNTS_AT + 1] = now_ns

    def _name(self, script: bytes) -> None:
        self._script = script
        name = script[:NAME_BYTES]
        self._words[_LENGTH_AT] = len(name)
        self._page[_NAME_AT : _NAME_AT + len(name)] = name


class Scoreboard:
    """The supervisor's side of one page."""

    __slots__ = ("_page", "_words")

    def __init__(self, fd: int) -> None:
        self._page = memoryview(mmap.mmap(fd, SIZE, prot=mmap.PROT_READ))
        self._words = self._page.cast("Q")

    def read(self) -> Reading:
        """Return what the page says now."""
        requests, beat_ns = self._words[_COUNTS_AT : _COUNTS_AT + 2]
        return Reading(self._task(), requests, beat_ns)

    def recent(self) -> tuple[RequestId, ...]:
        """Return the requests begun lately in order, the running one at the end."""
        ids = self._words[_RECENT_AT : _RECENT_AT + RECENT].tolist()
        oldest = self._words[_COUNTS_AT + 2] % RECENT
        ordered = ids[oldest:] + ids[:oldest]
        # 63 bits: more is no id, and would not fit the wire
        return tuple(RequestId(i) for i in ordered if 0 < i <= _LOADING >> 1)

    def _task(self) -> Running | None:
        words = self._words
        for _ in range(_TRIES):
            request = words[_REQUEST_AT]
            if not request:
                return None
            started, deadline = words[_STARTED_AT], words[_DEADLINE_AT]
            length = min(words[_LENGTH_AT], NAME_BYTES)
            script = Script(bytes(self._page[_NAME_AT : _NAME_AT + length]))
            if words[_REQUEST_AT] == request:
                known = RequestId(0 if request == _LOADING else request)
                return Running(known, script, started, deadline)
        return None  # it does nothing but begin and end
