"""Lines that scripts log, as they travel."""

from luafarm.wire import loglines


def decode(data: bytes) -> list[tuple[str, str]]:
    """Return (level, text) of every line."""
    return [loglines.line(record) for record in data.split(b"\0")[:-1]]
