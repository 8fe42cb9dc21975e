"""Log lines of scripts as they travel: `level letter, text, NUL` each, in one bytes.

The prelude writes them (it replaces NUL in texts), a hostile host may send anything:
what has no known letter counts as info, and `decode` never fails.
"""

from typing import Final

LEVELS: Final = {"d": "debug", "i": "info", "w": "warning", "e": "error"}


def encode(level: str, text: str) -> bytes:
    """Return one line; `level` is a value of LEVELS."""
    clean = text.encode("utf-8", "replace").replace(b"\0", b"?")
    return level[:1].encode() + clean + b"\0"


def decode(data: bytes) -> list[tuple[str, str]]:
    """Return (level, text) of every line, control characters made harmless."""
    lines: list[tuple[str, str]] = []
    for record in data.split(b"\0")[:-1]:
        text = record.decode("utf-8", "backslashreplace")
        level = LEVELS.get(text[:1], "info")
        lines.append((level, printable(text[1:])))
    return lines


def printable(text: str) -> str:
    """Return text that cannot forge a log line or drive a terminal."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text
    ).replace("\n", "\n\t")
