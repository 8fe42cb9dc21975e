"""Errors of scripts as VM hosts report them, cut to a length that people read."""

from typing import Final

from msgspec.structs import replace

from luafarm.wire.messages import ScriptError

MAX_TEXT: Final = 16 << 10  # characters of one text: all processes pass it on
MAX_WORD: Final = 200


def cut(error: ScriptError) -> ScriptError:
    """Return an error with its texts cut: the host that sent it may be hostile."""
    return replace(
        error,
        kind=error.kind[:MAX_WORD],
        message=error.message[:MAX_TEXT],
        traceback=error.traceback[:MAX_TEXT],
        file=error.file[:MAX_TEXT],
        excerpt=error.excerpt[:MAX_TEXT],
    )
