"""Errors of scripts as VM hosts tell them, hostile ones too: cut to what is read."""

from typing import Final

from msgspec.structs import replace

from luafarm.wire.messages import ScriptError

MAX_TEXT: Final = 16 << 10  # characters of one text: all processes pass it on
MAX_WORD: Final = 200


def cut(error: ScriptError) -> ScriptError:
    """Return an error whose texts are no longer than anybody reads."""
    return replace(
        error,
        kind=error.kind[:MAX_WORD],
        message=error.message[:MAX_TEXT],
        traceback=error.traceback[:MAX_TEXT],
        file=error.file[:MAX_TEXT],
        excerpt=error.excerpt[:MAX_TEXT],
    )
