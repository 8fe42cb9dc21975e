"""A stranger's vocabulary: the words of a simulator that knows nothing of ours."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Config:
    hosts: list[Any]
    states: int
    clones: int
    cores: int = 0
    seed: int = 1


@dataclass(slots=True)
class Miss:
    script: Any
    idle: tuple[Any, ...] = ()


@dataclass(slots=True)
class Pressure:
    script: Any
    waited: float
    queued: int
    total_s: float
    idle: tuple[Any, ...] = ()


@dataclass(slots=True)
class Use:
    script: Any
    host: Any
    n: int
    busy_s: float
    sojourn_s: float
    waited_s: float
    last: float


@dataclass(slots=True)
class Report:
    rows: list[Use]


@dataclass(slots=True)
class Loaded:
    script: Any
    host: Any
    epoch: int
    load_s: float
    kib: int


@dataclass(slots=True)
class LoadFailed:
    script: Any
    host: Any
    epoch: int
    error: str


@dataclass(slots=True)
class Gone:
    script: Any
    host: Any


@dataclass(slots=True)
class HostUp:
    host: Any


@dataclass(slots=True)
class HostDown:
    host: Any


@dataclass(slots=True)
class Changed:
    paths: tuple[Any, ...]
    sync: Any = None


@dataclass(slots=True)
class Fenced:
    script: Any
    host: Any
    epoch: int


@dataclass(slots=True)
class Tick:
    pass


@dataclass(slots=True)
class Load:
    script: Any
    host: Any
    epoch: int = 0


@dataclass(slots=True)
class Evict:
    script: Any
    host: Any


@dataclass(slots=True)
class Publish:
    script: Any
    hosts: tuple[Any, ...]
    epoch: int = 0


@dataclass(slots=True)
class Fence:
    script: Any
    host: Any
    epoch: int


@dataclass(slots=True)
class Answer:
    sync: Any
    ok: bool
    error: str = ""


@dataclass(slots=True)
class Arrive:
    id: Any
    script: Any


@dataclass(slots=True)
class Reply:
    id: Any
    host: Any
    service_s: float
    foreign_s: float = 0.0


@dataclass(slots=True)
class Returned:
    host: Any
    ids: tuple[Any, ...]


@dataclass(slots=True)
class Timer:
    tag: Any


@dataclass(slots=True)
class Send:
    id: Any
    host: Any
    epoch: int = 0


@dataclass(slots=True)
class Recall:
    host: Any


@dataclass(slots=True)
class SetTimer:
    at: float
    tag: Any


@dataclass(slots=True)
class ToBroker:
    event: Any
