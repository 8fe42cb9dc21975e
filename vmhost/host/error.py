"""What a script's failure looks like to fronts: from a state's ERROR step."""

from typing import Final

from luafarm import ends
from luafarm.ends import Budget
from luafarm.scripterrors import cut
from luafarm.wire.loglines import printable
from luafarm.wire.messages import HOST_ERROR, ScriptError
from vmhost.host.held import Held
from vmhost.lua.operation import ERROR, Step

# What stops a script other than its own error, beside the budgets that Lua keeps.
WALL: Final = Budget.WALL
MEMORY: Final = Budget.MEMORY
CANCELLED: Final = "cancelled"
REPLY: Final = Budget.REPLY
OVER: Final = "Budget Exceeded"  # kind of an error by a budget

_AROUND: Final = 4  # lines before and after the one that failed
_MAX_LINE: Final = 200  # bytes of a line of source that are shown


def failure(step: Step, held: Held, stop: str, wall_ms: int) -> ScriptError:
    """Return why a script failed.

    step: its last one. stop: if that is no ERROR, the budget that ended it: "wall", of
    `wall_ms`, "memory", or "reply" (after its last instruction).
    """
    if stop == REPLY:
        message = f"reply of more than {held.limits.reply_bytes} bytes"
        return ScriptError(OVER, message, "", _text(held.script), 0, "", Budget(stop))
    if step[0] == ERROR:
        return cut(_told(step, held, wall_ms))
    message = "not enough memory: the state is full" + _of_memory(held)
    if stop == WALL:
        message = _used_up(wall_ms)
    kind = OVER if stop == WALL else "Memory Error"
    return ScriptError(kind, message, "", _text(held.script), 0, "", Budget(stop))


def _told(step: Step, held: Held, wall_ms: int) -> ScriptError:
    _, kind, message, trace, file, line, _, _, budget = step
    said = _text(message)
    if budget == WALL.encode():  # Lua does not know how much there was
        said = _used_up(wall_ms)
    elif budget == MEMORY.encode():
        said += _of_memory(held)
    return ScriptError(
        kind=_text(kind),
        message=said,
        traceback=_text(trace),
        file=_text(file or held.script),
        line=line,
        excerpt=excerpt(held.source_of(file), line),
        budget=ends.budget(budget),
    )


def _used_up(wall_ms: int) -> str:
    return f"time of {wall_ms / 1000:g} s used up"


def _of_memory(held: Held) -> str:
    return f" ({held.limits.memory_bytes / (1 << 20):g} MiB)"


def full_error(max_bytes: int) -> ScriptError:
    """Return the error of a script for which the host has no memory."""
    message = f"the states of this VM host use up its {max_bytes >> 20} MiB"
    return ScriptError(HOST_ERROR, message, "", "", 0, "", MEMORY)


def log_of(step: Step) -> bytes:
    """Return the log lines of a DONE or ERROR step."""
    log: bytes = step[6] if step[0] == ERROR else step[3]
    return log


def excerpt(source: bytes, line: int) -> str:
    """Return the lines around one, "NNN| text" each; empty when there is no such."""
    lines = source.split(b"\n", line + _AROUND)[: line + _AROUND] if line > 0 else []
    if line > len(lines):
        return ""
    first = max(1, line - _AROUND)
    width = len(str(line + _AROUND))
    return "\n".join(
        f"{number:>{width}}| {_shown(lines[number - 1])}"
        for number in range(first, len(lines) + 1)
    )


def _shown(line: bytes) -> str:
    return printable(_text(line[:_MAX_LINE]).rstrip())


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
