"""Everything that can happen to a supervisor. No event knows where it came from."""

from dataclasses import dataclass

from luafarm.names import HostId, RequestId
from vmhost.reading import Reading, Running
from vmhost.sandbox.layers import Layer


@dataclass(frozen=True, slots=True)
class ZygoteWarm:
    """The zygote takes orders."""


@dataclass(frozen=True, slots=True)
class ZygoteEnded:
    """The zygote is no more; every order it had not answered has failed before."""

    why: str


@dataclass(frozen=True, slots=True)
class Forked:
    """An ordered host exists; it reports in a moment."""

    host: HostId


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """An ordered host does not and will not exist."""

    host: HostId
    why: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A host is confined. With `lacking` layers it refuses to serve and ends."""

    host: HostId
    layers: tuple[Layer, ...]
    lacking: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A host serves."""

    host: HostId


@dataclass(frozen=True, slots=True)
class Exited:
    """A host's process ended."""

    host: HostId
    code: int  # exit code, or the negative number of the signal that killed it
    task: Running | None  # what it was running
    begun: tuple[RequestId, ...]  # what it began lately, in order
    errors: str  # the end of its standard error


@dataclass(frozen=True, slots=True)
class Looked:
    """Time has passed; this is what the scoreboards of the forked hosts say."""

    readings: tuple[tuple[HostId, Reading], ...]


@dataclass(frozen=True, slots=True)
class BrokerMet:
    """A broker said welcome and knows nothing of this machine yet."""


@dataclass(frozen=True, slots=True)
class RecycleWanted:
    """The broker wants this host replaced once it is idle."""

    host: HostId
    why: str


@dataclass(frozen=True, slots=True)
class KillWanted:
    """The broker wants this host dead: it broke a protocol."""

    host: HostId
    why: str


@dataclass(frozen=True, slots=True)
class Served:
    """Whoever started this supervisor was told that it serves."""


@dataclass(frozen=True, slots=True)
class StopWanted:
    """The operator wants an end: running requests may finish."""


@dataclass(frozen=True, slots=True)
class LeaveWanted:
    """Another supervisor has come: go when the broker has moved what is here."""

    has_broker: bool  # one that knows this supervisor


OfHost = Forked | ForkFailed | Sealed | Ready | Exited | RecycleWanted | KillWanted

OfOthers = BrokerMet | Served | StopWanted | LeaveWanted

Event = ZygoteWarm | ZygoteEnded | OfHost | Looked | OfOthers
