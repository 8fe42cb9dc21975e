"""Everything a supervisor's machine orders. An action is data, never a call."""

from dataclasses import dataclass
from enum import IntEnum

from luafarm.names import HostId
from luafarm.wire.messages import HostLost
from vmhost.supervisor.plan import PoolPlan


@dataclass(frozen=True, slots=True)
class StartZygote:
    """Start a zygote; `ZygoteWarm` or `ZygoteEnded` follows."""


@dataclass(frozen=True, slots=True)
class KillZygote:
    """End the zygote, which has not answered in time; `ZygoteEnded` follows."""

    limit_s: float


@dataclass(frozen=True, slots=True)
class Fork:
    """Have a host forked; `Forked` or `ForkFailed` follows."""

    host: HostId
    plan: PoolPlan
    number: int  # within its pool, from 1
    seat: int  # within the machine, from 0: no two living hosts share one


@dataclass(frozen=True, slots=True)
class Drain:
    """Ask a host to finish what it has and end (SIGTERM)."""

    host: HostId


@dataclass(frozen=True, slots=True)
class KillHost:
    """End a host now (SIGKILL)."""

    host: HostId


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the broker that this host is up."""

    host: HostId


@dataclass(frozen=True, slots=True)
class TellLost:
    """Tell the broker and all fronts that a host is lost."""

    message: HostLost


class Level(IntEnum):
    """How much a line of the log matters (Python's logging levels)."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True)
class Say:
    """Write a line to the log."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class End:
    """End the supervisor with this exit code; no host is left."""

    code: int


Action = (
    StartZygote | KillZygote | Fork | Drain | KillHost | Announce | TellLost | Say | End
)
