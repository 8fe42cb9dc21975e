"""What a person asks the broker for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StatusWanted:
    """Ask for the farm's status."""


@dataclass(frozen=True, slots=True)
class StatusIs:
    """The farm's status as JSON."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Reload:
    """Check this path (script, module or directory; empty: all) against its files."""

    path: bytes
    wait: bool  # answer only when no front will serve the old generation


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The answer to `Reload`."""

    ok: bool
    error: str
