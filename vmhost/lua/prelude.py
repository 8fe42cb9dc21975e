"""The text of the trusted prelude: the Lua files of `vmhost/lua`, put together."""

from importlib.resources import files
from typing import Final

from vmhost.lua.operation import Op

FILES: Final = (
    "capture",
    "memory",
    "params",
    "budget",
    "coroutines",
    "strings",
    "tables",
    "numbers",
    "environment",
    "chunks",
    "log",
    "urlencoded",
    "reply",
    "request",
    "handlers",
    "handler_main",
    "handler_readme",
    "trace",
    "worker",
)
"""Lua files of the prelude, in the order in which they run."""

BUILTINS: Final = ("luafarm", "luafcgid", "md5", "base64", "json")
"""Modules that `require` finds without a file; loaded into a state when asked for."""

_HEAD: Final = """\
local T = { config = {}, OP = {} }
local function take(name, value, ...)
  if name ~= nil then
    T.config[name] = value
    return take(...)
  end
end
take(...)
"""


def _source(name: str) -> str:
    return files("vmhost.lua").joinpath(f"{name}.lua").read_text("utf-8")


def text() -> bytes:
    """Return one chunk: takes names and values of `T.config`, returns the entries."""
    parts = [_HEAD, *(f"T.OP.{op.name} = {op.value}\n" for op in Op)]
    for name in FILES:
        call = f"(function(...)\n{_source(name)}\nend)(T)\n"
        parts.append(f"return {call}" if name == FILES[-1] else f";{call}")
    return "".join(parts).encode()


def builtin(name: str) -> bytes:
    """Return the source of a built-in module: called with T it returns the module."""
    return _source(f"module_{name}").encode()
