"""The text of the trusted prelude: the Lua files of `vmhost/lua`, put together.

They share one table, T. Each file says in its header what it puts there ("Provides:"),
and finds what the files before it have put there. Lua would read a name that nobody
provides as nil and fail one day, in a request; so the text is checked when it is put
together, once a process: names of T, of T.config and of T.OP.
"""

import re
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Final

FILES: Final = (
    "capture",
    "memory",
    "arguments",
    "params",
    "budget",
    "coroutines",
    "late",
    "strings",
    "tables",
    "numbers",
    "environment",
    "io",
    "chunks",
    "log",
    "package",
    "urlencoded",
    "reply",
    "request",
    "os",
    "handlers",
    "handler_main",
    "handler_readme",
    "trace",
    "worker",
)
"""Lua files of the prelude, in the order in which they run."""

BUILTINS: Final = (
    "luafarm",
    "luafarm.cookies",
    "luafarm.crypto",
    "luafarm.form",
    "luafcgid",
    "md5",
    "base64",
    "json",
)
"""Modules that `require` finds without a file; loaded into a state when asked for."""

FOREIGN: Final = (
    "foreign_table",
    "foreign_request",
    "foreign_modlua",
    "foreign_wsapi",
    "foreign_ngx_library",
    "foreign_openresty",
    "foreign_ngx",
    "foreign_handlers",
)
"""Lua files for scripts of other servers, loaded into states that need them; `require`
does not find them."""

LATE: Final = (
    "addresses",
    "bits",
    "c_modules",
    "dates",
    "debug",
    "garbage",
    "io",
    "math",
    "names",
    "objects",
    "os",
    "package",
    "posix",
    "programs",
    "reply",
    "standard",
    "streams",
    "strings",
    "tables",
)
"""Files of the prelude that a sandboxed state runs when it first needs them."""

CONFIG: Final = frozenset(
    {
        "address",
        "alarm_variable",
        "born",
        "buffering",
        "builtins",
        "compute_bytes",
        "c_modules",
        "content_type",
        "cpath",
        "cpu_s",
        "handler",
        "head_bytes",
        "headers",
        "jit",
        "late_variable",
        "load_cpu_s",
        "log_bytes",
        "log_lines",
        "memory_bytes",
        "part_bytes",
        "path",
        "read_bytes",
        "reply_bytes",
        "seed",
        "status",
        "trusted",
        "zones",
    }
)
"""Names in T.config: what every state is told when it is made."""

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

_HEADER: Final = re.compile(r"^-- Provides: (.*(?:\n--   .*)*)$", re.MULTILINE)
_NO_CODE: Final = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|--[^\n]*')
_ASSIGNED: Final = re.compile(
    r"(?:^|[\s;])((?:T\.\w+\s*,\s*)*T\.\w+)\s*=(?!=)|function\s+(T\.\w+)\s*\(",
    re.MULTILINE,
)
_NAME: Final = re.compile(r"\bT\.(\w+)")


class PreludeError(Exception):
    """A file of the prelude uses what nobody provides, or does not say what it does."""


def text(numbers: Mapping[str, int]) -> bytes:
    """Return one chunk: takes names and values of `T.config`, returns the entries.

    numbers: of the operations, by name. Raise PreludeError.
    """
    sources = {name: _source(name) for name in FILES}
    modules = {file: _source(file) for file in _loadable().values()}
    check(sources, modules, numbers)
    parts = [_HEAD, *(f"T.OP.{name} = {number}\n" for name, number in numbers.items())]
    for name, source in sources.items():
        call = f"(function(...)\n{source}\nend)(T)\n"
        parts.append(f"return {call}" if name == FILES[-1] else f";{call}")
    return "".join(parts).encode()


def loadable() -> dict[str, bytes]:
    """Return what a state gets when it asks: sources by name, to be called with T."""
    return {name: _source(file).encode() for name, file in _loadable().items()}


def check(
    sources: Mapping[str, str], modules: Mapping[str, str], operations: Collection[str]
) -> None:
    """Raise PreludeError unless every name is provided by whom it says, and in time.

    sources: the prelude by file, in their order. modules: what comes when it is there.
    """
    provided = {"config": "", "OP": ""}  # by whom
    for file, source in {**sources, **modules}.items():
        code = _NO_CODE.sub('""', source)
        declared = _declared(source)
        assigned = _assigned(code)
        if declared != assigned:
            odd = ", ".join(sorted(declared ^ assigned))
            raise PreludeError(f"{file}.lua: provided and not said, or said: {odd}")
        for name in declared:
            if name in provided:
                raise PreludeError(f"{file}.lua: T.{name} is {provided[name]}.lua's")
            provided[name] = file
        _check(file, "T", set(_NAME.findall(code)), provided)
        _check(file, "T.config", set(re.findall(r"\bconfig\.(\w+)", code)), CONFIG)
        _check(file, "T.OP", set(re.findall(r"\bOP\.(\w+)", code)), operations)


def _check(file: str, table: str, used: set[str], known: Collection[str]) -> None:
    for name in sorted(used.difference(known)):
        raise PreludeError(f"{file}.lua: nobody before it provides {table}.{name}")


def _declared(source: str) -> set[str]:
    return {
        name
        for header in _HEADER.findall(source)
        for name in re.findall(r"\w+", header.replace("--", ""))
    }


def _assigned(code: str) -> set[str]:
    return {
        name
        for several, function in _ASSIGNED.findall(code)
        for name in _NAME.findall(several or function)
    }


def _loadable() -> dict[str, str]:
    """Return the files of what a state can ask for, by its name."""
    return {
        **{name: f"module_{name.replace('.', '_')}" for name in BUILTINS},
        **{name: name for name in FOREIGN},
        **{name: f"late_{name}" for name in LATE},
    }


def _source(name: str) -> str:
    return files("vmhost.lua").joinpath(f"{name}.lua").read_text("utf-8")
