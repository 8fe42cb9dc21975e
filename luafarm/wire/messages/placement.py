"""What the broker and a front say to each other: which script is served where."""

from enum import IntEnum

from luafarm.aliases import Alias
from luafarm.ends import Budget
from luafarm.names import Epoch, HostId, Pool, Script
from luafarm.wire.messages.hosts import HostUp
from luafarm.wire.messages.packed import Packed
from luafarm.wire.messages.requests import ScriptError


class Verdict(IntEnum):
    """What the broker knows about a path."""

    READY = 0  # a script; `hosts` hold a state of it, in hunting order, maybe none yet
    MISSING = 1  # no such file, an empty one, not a regular one, or outside the roots
    BROKEN = 2  # it does not load and there is no last good generation: `error`
    REFUSED = 3  # not now: quarantined or no room; `retry_after_s` says how long


class Miss(Packed, frozen=True, tag=20):
    """A front holds a request for a path that it knows nothing about, or no host of."""

    path: bytes  # normalised absolute path, maybe with PATH_INFO behind the script
    idle: tuple[HostId, ...]  # hosts on which this front has nothing outstanding


class Pressure(Packed, frozen=True, tag=21):
    """The oldest request of a script waits while every host with a state is taken."""

    script: Script
    waited_us: int
    queued: int
    total_us: int  # waited by all of them
    idle: tuple[HostId, ...]


class UseRow(Packed, frozen=True):
    """What a front saw of one script on one host since its last report."""

    script: Script
    host: HostId
    requests: int
    busy_us: int
    waited_us: int
    last_us: int  # how long ago the last one finished
    errors: int


class StopRow(Packed, frozen=True):
    """Requests of one script that one budget stopped since the last report."""

    script: Script
    budget: Budget
    times: int
    last: str  # about the last of them: where, and what was used


class Report(Packed, frozen=True, tag=22):
    """A front's counts since its last report, and its gauges now."""

    uses: tuple[UseRow, ...]
    gauges: tuple[tuple[str, int], ...]
    stops: tuple[StopRow, ...] = ()
    is_last: bool = False  # the front is no more: nothing follows


class Accuse(Packed, frozen=True, tag=34):
    """A VM host broke the protocol: it is to be killed and replaced."""

    host: HostId
    why: str


class Place(Packed, frozen=True, tag=23):
    """What fronts must know of a script from now on."""

    asked: bytes  # the path of the `Miss` this answers; empty: unasked
    script: Script
    pool: Pool
    verdict: Verdict
    epoch: Epoch
    hosts: tuple[HostId, ...]
    wall_ms: int  # budget of a request of it
    reply_bytes: int  # the same
    log_bytes: int  # most that comes with one, see `loglines.longest`
    retry_after_s: int
    error: ScriptError | None
    lent: int = 0  # the last of `hosts`, only for requests that have waited a while


class Snapshot(Packed, frozen=True, tag=24):
    """Everything a front must know: what is not in it is gone."""

    hosts: tuple[HostUp, ...]
    places: tuple[Place, ...]
    aliases: tuple[Alias, ...] = ()


class Aliases(Packed, frozen=True, tag=25):
    """The directories that script roots really are: these, and no longer any others.

    A path below one of them means the same path below the root.
    """

    aliases: tuple[Alias, ...]
