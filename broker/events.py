"""Everything that can happen to the broker. Times are seconds, `now` comes beside."""

from dataclasses import dataclass
from math import inf

from luafarm.aliases import Alias
from luafarm.ends import Closing
from luafarm.names import Epoch, HostId, Machine, Pool, Script
from luafarm.wire.messages import (
    Dependency,
    HostLost,
    HostUp,
    MachineReport,
    Report,
    ScriptError,
    StateRow,
)


@dataclass(frozen=True, slots=True)
class FileNow:
    """What is at a path now, seen from one pool."""

    pool: Pool
    path: bytes
    digest: bytes  # of the content; empty: no regular file that the pool may read
    error: str = ""  # why a file that is there cannot be read
    is_known: bool = True  # no: it cannot be read just now, and nothing is known of it


@dataclass(frozen=True, slots=True)
class Found:
    """The script that a requested path means."""

    pool: Pool
    script: Script
    digest: bytes
    error: str = ""
    #: no: it is still being written, or it cannot be read just now, and nothing older
    #: is known
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Barrier:
    """What keeps a requested path from meaning a script: all depends on it."""

    path: bytes  # of the first component on the way that is no directory
    seen: bytes  # what is there (`broker.library.sources.trace`); empty: nothing


@dataclass(frozen=True, slots=True)
class FrontJoined:
    """A front said `Hello`, for the first time or again."""

    front: bytes


@dataclass(frozen=True, slots=True)
class FrontLeft:
    """A front can be reached no more, or was silent for too long."""

    front: bytes


@dataclass(frozen=True, slots=True)
class Missed:
    """A front holds a request for a path of which it knows no state."""

    front: bytes
    asked: bytes
    found: Found | None
    idle: tuple[HostId, ...] = ()
    barrier: Barrier | None = None  # None: no file can ever make the path a script


@dataclass(frozen=True, slots=True)
class Preloaded:
    """This script is to be loaded before anybody asks for it."""

    found: Found


@dataclass(frozen=True, slots=True)
class Pressed:
    """The oldest request of a script waits while all its hosts are taken."""

    script: Script
    waited_s: float
    queued: int
    total_s: float
    idle: tuple[HostId, ...] = ()


@dataclass(frozen=True, slots=True)
class Reported:
    """A front tells what it saw since its last report."""

    front: bytes
    report: Report


@dataclass(frozen=True, slots=True)
class HostJoined:
    """A supervisor announced a VM host; what it holds is not known yet."""

    up: HostUp
    incarnation: int = 0  # of its supervisor


@dataclass(frozen=True, slots=True)
class Inventoried:
    """A VM host told all that it holds: from now on it can be given states.

    What it was ordered after it was asked is not in it.
    """

    host: HostId
    states: tuple[StateRow, ...] = ()
    asked_at: float = inf


@dataclass(frozen=True, slots=True)
class HostLeft:
    """A VM host is no more."""

    lost: HostLost


@dataclass(frozen=True, slots=True)
class HostUnreached:
    """The connection to a VM host is lost; `Inventoried` follows when it is again."""

    host: HostId


@dataclass(frozen=True, slots=True)
class Accused:
    """A front says that a host breaks the protocol."""

    host: HostId
    why: str


@dataclass(frozen=True, slots=True)
class SupervisorChanged:
    """Another process speaks for a machine from now on; its predecessor is gone."""

    machine: Machine
    incarnations: tuple[int, ...] = ()  # of all that speak for it


@dataclass(frozen=True, slots=True)
class MachineReported:
    """A supervisor's heartbeat."""

    machine: Machine
    report: MachineReport
    incarnation: int = 0


@dataclass(frozen=True, slots=True)
class StateLoaded:
    """A host has a state ready, or its state used further files while it ran."""

    host: HostId
    script: Script
    epoch: Epoch
    load_s: float
    kib: int
    dependencies: tuple[Dependency, ...] = ()
    changed: tuple[FileNow, ...] = ()  # those of its files that have changed since


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """A host could not make the state."""

    host: HostId
    script: Script
    epoch: Epoch
    error: ScriptError
    dependencies: tuple[Dependency, ...] = ()
    changed: tuple[FileNow, ...] = ()


@dataclass(frozen=True, slots=True)
class StateGone:
    """A host closed a state, or an order to load one could not be delivered."""

    host: HostId
    script: Script
    epoch: Epoch
    reason: Closing


@dataclass(frozen=True, slots=True)
class FenceRaised:
    """No run of an older epoch of this script starts on this host from now on."""

    host: HostId
    script: Script
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Changed:
    """A settled batch of files and barriers that have changed."""

    files: tuple[FileNow, ...]
    ticket: bytes = b""  # names who waits; empty: nobody
    scope: bytes = b""  # for this script, module or directory; empty: for all
    meant: frozenset[bytes] = frozenset()  # paths that are there through symlinks
    passed: tuple[bytes, ...] = ()  # barriers that have changed


@dataclass(frozen=True, slots=True)
class Realigned:
    """Script roots lead to other directories than before."""

    aliases: tuple[Alias, ...]


@dataclass(frozen=True, slots=True)
class Begun:
    """From now on the farm is heard; it comes before all others."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """A tenth of a second has passed."""


Event = (
    FrontJoined
    | FrontLeft
    | Missed
    | Preloaded
    | Pressed
    | Reported
    | HostJoined
    | Inventoried
    | HostLeft
    | HostUnreached
    | Accused
    | SupervisorChanged
    | MachineReported
    | StateLoaded
    | LoadFailed
    | StateGone
    | FenceRaised
    | Changed
    | Realigned
    | Begun
    | Ticked
)
