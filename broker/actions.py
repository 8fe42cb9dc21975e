"""Everything the broker can order its loop to do. An action is data, never a call."""

from dataclasses import dataclass

from luafarm.names import Epoch, HostId, Machine, Pool, Script
from luafarm.wire.messages import (
    Aliases,
    Dependency,
    HostLost,
    HostUnlisted,
    HostUp,
    Limits,
    Place,
    Snapshot,
)


@dataclass(frozen=True, slots=True)
class Load:
    """Tell the host to make a state of exactly these contents."""

    host: HostId
    pool: Pool
    script: Script
    epoch: Epoch
    digest: bytes
    dependencies: tuple[Dependency, ...]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Drop:
    """Tell the host to close its state of this epoch or older once it is idle."""

    host: HostId
    script: Script
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Fence:
    """Tell the host to start nothing of this script below this epoch."""

    host: HostId
    script: Script
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to this front; to all of them when it is empty."""

    front: bytes
    message: Place | HostUp | HostLost | HostUnlisted | Snapshot | Aliases


@dataclass(frozen=True, slots=True)
class Watch:
    """Report when the content at this path is not this one (empty: no file).

    Of a path that is watched already: this is what is known of it now.
    """

    pool: Pool
    path: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Nobody needs to know about this path any more."""

    pool: Pool
    path: bytes


@dataclass(frozen=True, slots=True)
class WatchBarrier:
    """Report when there is something else at this path than was seen."""

    path: bytes
    seen: bytes  # as a `Barrier` has it; empty: nothing


@dataclass(frozen=True, slots=True)
class UnwatchBarrier:
    """Nothing depends on what is at this path any more."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep these contents: they are a last good generation that the disk has lost."""

    script: Script
    digests: tuple[bytes, ...]  # empty: the contents of this script may go


@dataclass(frozen=True, slots=True)
class Answer:
    """Tell who waits for a change that it is in force, or why it is not."""

    ticket: bytes
    ok: bool
    error: str
    script: Script  # whose error that is


@dataclass(frozen=True, slots=True)
class Recycle:
    """Tell the machine's supervisor to replace this host once it is idle."""

    machine: Machine
    host: HostId
    reason: str


@dataclass(frozen=True, slots=True)
class KillHost:
    """Tell the machine's supervisor to kill this host and replace it."""

    machine: Machine
    host: HostId
    reason: str


@dataclass(frozen=True, slots=True)
class Forget:
    """End the connection to a host that is no more."""

    host: HostId


@dataclass(frozen=True, slots=True)
class Log:
    """Write a line to the log."""

    level: str  # "info", "warning" or "error"
    text: str
    pool: Pool | None = None  # whose scripts have a say in the text


Action = (
    Load
    | Drop
    | Fence
    | Tell
    | Watch
    | Unwatch
    | WatchBarrier
    | UnwatchBarrier
    | Keep
    | Answer
    | Recycle
    | KillHost
    | Forget
    | Log
)
