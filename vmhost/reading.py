"""What a scoreboard says, as values: see `vmhost.scoreboard`."""

from dataclasses import dataclass

from luafarm.names import RequestId, Script


@dataclass(frozen=True, slots=True)
class Running:
    """What a host runs: a request, or the loading of a script (request 0)."""

    request: RequestId
    script: Script
    started_ns: int  # CLOCK_MONOTONIC
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One host's page at one moment."""

    task: Running | None  # None: idle
    requests: int  # that ended
    beat_ns: int  # when the host was last at its loop, CLOCK_MONOTONIC
    is_stopped: bool = False  # a signal lets it stand still; asked if its task is late
