"""What the broker and a VM host say to each other: which states there are to be."""

from enum import IntEnum

from luafarm.ends import Closing
from luafarm.names import Epoch, Script
from luafarm.wire.messages.packed import Packed
from luafarm.wire.messages.requests import ScriptError


class NeedKind(IntEnum):
    """What a running script asks its broker for."""

    MODULE = 0  # `require(name)`: looked for in the script roots and library paths
    FILE = 1  # `luafarm.read(path)`: the bytes of a file under the script roots
    CHUNK = 2  # `dofile`/`loadfile`: Lua source under the script roots


class Limits(Packed, frozen=True):
    """Budgets of one script's states and requests on a VM host."""

    memory_bytes: int
    cpu_ms: int
    wall_ms: int
    load_cpu_ms: int
    load_wall_ms: int
    reply_bytes: int
    log_lines: int
    log_bytes: int
    fresh: bool  # a new state for every request


class Blob(Packed, frozen=True):
    """A file that a script loads: what was asked for, and what the broker found."""

    kind: NeedKind
    name: bytes  # what the script asked for: module name or path
    path: bytes  # where it was found; empty: nowhere (that is remembered as well)
    digest: bytes  # of the content
    source: bytes  # with an empty path: why there is none, as `Source.error`


class Load(Packed, frozen=True, tag=9):
    """Make a state of this script; `Loaded` or `LoadFailed` answers."""

    script: Script
    epoch: Epoch
    digest: bytes
    source: bytes
    blobs: tuple[Blob, ...]  # what its last generation used, to spare the round trips
    limits: Limits


class Dependency(Packed, frozen=True):
    """A file that a state used: a change of it renews the script."""

    kind: NeedKind
    name: bytes
    path: bytes
    digest: bytes


class Loaded(Packed, frozen=True, tag=10):
    """The state is ready."""

    script: Script
    epoch: Epoch
    load_us: int
    kib: int
    dependencies: tuple[Dependency, ...]
    log: bytes


class LoadFailed(Packed, frozen=True, tag=11):
    """The state could not be made."""

    script: Script
    epoch: Epoch
    error: ScriptError
    dependencies: tuple[Dependency, ...]
    log: bytes


class Drop(Packed, frozen=True, tag=12):
    """Close the state of this epoch or older once it is idle; `Gone` follows."""

    script: Script
    epoch: Epoch


class Gone(Packed, frozen=True, tag=13):
    """A state is no more."""

    script: Script
    epoch: Epoch
    reason: Closing
    log: bytes = b""  # what its `shutdown` hook said, within the budgets of a request


class Fence(Packed, frozen=True, tag=14):
    """Start nothing of this script below this epoch any more; `Fenced` confirms."""

    script: Script
    epoch: Epoch


class Fenced(Packed, frozen=True, tag=15):
    """No run of an older epoch starts here from now on."""

    script: Script
    epoch: Epoch


class TakeInventory(Packed, frozen=True, tag=16):
    """Tell what you hold; `Inventory` answers."""


class StateRow(Packed, frozen=True):
    """One state on a VM host."""

    script: Script
    epoch: Epoch
    digest: bytes
    load_us: int
    kib: int
    requests: int
    age_ms: int
    dependencies: tuple[Dependency, ...]


class Inventory(Packed, frozen=True, tag=17):
    """All states of a VM host; how a new broker learns what there is."""

    states: tuple[StateRow, ...]


class Need(Packed, frozen=True, tag=18):
    """A script asks for a module or file while it loads or runs; `Source` answers."""

    ticket: int  # names the question; unique per VM host
    script: Script
    epoch: Epoch
    kind: NeedKind
    name: bytes


class Source(Packed, frozen=True, tag=19):
    """What a `Need` asked for; `blob.path` is empty when there is none."""

    ticket: int
    blob: Blob
    error: str  # where it was looked for in vain, lines for the script's error message
