"""What a person asks the broker for."""

from luafarm.wire.messages.packed import Packed


class StatusWanted(Packed, frozen=True, tag=30):
    """Ask for the farm's status."""


class StatusIs(Packed, frozen=True, tag=31):
    """The farm's status as JSON."""

    text: bytes


class Reload(Packed, frozen=True, tag=32):
    """Check this path (script, module or directory; empty: all) against its files."""

    path: bytes
    wait: bool  # answer only when no front will serve the old generation


class Reloaded(Packed, frozen=True, tag=33):
    """The answer to `Reload`."""

    ok: bool
    error: str
