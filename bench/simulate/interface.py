"""The events and actions by which a simulator drives the broker and a front.

Two pure state machines, `Broker(config)` and `Front(config)` of
`bench.simulate.adapter`, each with `handle(now, event) -> list of actions`. Times are
seconds, `now` never decreases. Scripts, hosts and request ids are any hashable values.
Another module may define the same names: the adapter answers in the vocabulary of the
config it was given.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Config:
    """What a farm has and may use."""

    hosts: list[Any]  # VM hosts present at the start
    states: int  # limit: states in the whole farm
    clones: int  # limit: states of one script
    cores: int = 0  # of the farm; 0: not known
    seed: int = 1


# ---- to the broker -------------------------------------------------------------------


@dataclass(slots=True)
class Miss:
    """A front holds a request of a script of which it knows no state."""

    script: Any
    idle: tuple[Any, ...] = ()


@dataclass(slots=True)
class Pressure:
    """The oldest request of a script waits while all its hosts are taken."""

    script: Any
    waited: float
    queued: int
    total_s: float
    idle: tuple[Any, ...] = ()


@dataclass(slots=True)
class Use:
    """A row of a report: a script on a host since the last one."""

    script: Any
    host: Any
    n: int
    busy_s: float
    sojourn_s: float
    waited_s: float
    last: float  # when the last one finished


@dataclass(slots=True)
class Report:
    """What a front saw, every 100 ms."""

    rows: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Loaded:
    """A host has the state ready."""

    script: Any
    host: Any
    epoch: int
    load_s: float
    kib: int


@dataclass(slots=True)
class LoadFailed:
    """A host could not make the state."""

    script: Any
    host: Any
    epoch: int
    error: str


@dataclass(slots=True)
class Gone:
    """A host closed a state."""

    script: Any
    host: Any


@dataclass(slots=True)
class HostUp:
    """A host is there, and empty."""

    host: Any


@dataclass(slots=True)
class HostDown:
    """A host is no more."""

    host: Any


@dataclass(slots=True)
class Changed:
    """These files changed; somebody may wait for the answer."""

    paths: tuple[Any, ...]
    sync: Any = None


@dataclass(slots=True)
class Fenced:
    """A host has raised its fence."""

    script: Any
    host: Any
    epoch: int


@dataclass(slots=True)
class Tick:
    """A tenth of a second has passed."""


# ---- from the broker -----------------------------------------------------------------


@dataclass(slots=True)
class Load:
    """Host: make a state."""

    script: Any
    host: Any
    epoch: int = 0


@dataclass(slots=True)
class Evict:
    """Host: close the state once it is idle."""

    script: Any
    host: Any


@dataclass(slots=True)
class Publish:
    """Fronts: the hosts of a script, in hunting order."""

    script: Any
    hosts: tuple[Any, ...]
    epoch: int = 0


@dataclass(slots=True)
class Fence:
    """Host: start nothing of this script older than this."""

    script: Any
    host: Any
    epoch: int


@dataclass(slots=True)
class Answer:
    """To whoever waits for `sync`."""

    sync: Any
    ok: bool
    error: str = ""


# ---- to a front, besides Publish, HostUp and HostDown --------------------------------


@dataclass(slots=True)
class Arrive:
    """A request."""

    id: Any
    script: Any


@dataclass(slots=True)
class Reply:
    """A host has answered a request."""

    id: Any
    host: Any
    service_s: float
    foreign_s: float = 0.0


@dataclass(slots=True)
class Returned:
    """What a host had not started, in answer to Recall or for want of the state."""

    host: Any
    ids: tuple[Any, ...]


@dataclass(slots=True)
class Timer:
    """The time that `SetTimer` asked for has come."""

    tag: Any


# ---- from a front --------------------------------------------------------------------


@dataclass(slots=True)
class Send:
    """Give this request to this host."""

    id: Any
    host: Any
    epoch: int = 0


@dataclass(slots=True)
class Recall:
    """Ask a host for what it has not started."""

    host: Any


@dataclass(slots=True)
class SetTimer:
    """Say `Timer(tag)` at this time."""

    at: float
    tag: Any


@dataclass(slots=True)
class ToBroker:
    """Hand this event to the broker."""

    event: Any
