"""Log lines of scripts as they travel: `level letter, text, NUL` each, in one bytes.

The prelude writes them (it replaces NUL in texts), a hostile host may send anything:
what has no known letter counts as info, and `decode` never fails.
"""

# Compiled.

from typing import Final

LEVELS: Final = {"d": "debug", "i": "info", "w": "warning", "e": "error"}


_BESIDES: Final = 2  # bytes of a line besides its text: the level, NUL
_SLACK: Final = 256  # how many were left out, where one was cut
_ERRORS: Final = 64 << 10  # texts of a `shutdown` hook's error, each byte escaped
_SOURCES: Final = 4  # the run itself; before it its state's start, and another's end


def longest(log_bytes: int, log_lines: int) -> int:
    """Return the bytes of the longest log that comes with a run, by its budgets.

    A state that is made for one request also logs when it is made, and when the one
    before it was closed.
    """
    return _SOURCES * (log_bytes + _BESIDES * log_lines + _SLACK) + _ERRORS


def encode(level: str, text: str) -> bytes:
    """Return one line; `level` is a value of LEVELS."""
    clean = text.encode("utf-8", "replace").replace(b"\0", b"?")
    return level[:1].encode() + clean + b"\0"


def line(record: bytes) -> tuple[str, str]:
    """Return (level, text) of one line without its NUL, made harmless."""
    text = record.decode("utf-8", "backslashreplace")
    return LEVELS.get(text[:1], "info"), printable(text[1:])


def printable(text: str) -> str:
    """Return text that cannot forge a log line or drive a terminal."""
    if text.isprintable():
        return text
    # asked once for each character that occurs, not for each occurrence
    harmless = {
        ord(c): f"\\x{ord(c):02x}" for c in set(text) - {"\t"} if not c.isprintable()
    }
    harmless[ord("\n")] = "\n\t"
    return text.translate(harmless)
