"""One Lua state: the only module that touches lupa, and the only one with `Any`.

The rules of handling lupa, each from a reproduced failure, are kept here:

- Only bytes, int, float and bool cross. No Python object enters a state, no table or
  function of a script leaves it; a result is never `str()`ed, iterated or written to.
- No Python callable is reachable from Lua: host services are operations that the
  trusted prelude yields (`vmhost.operation`).
- The allocator's limit is quota + reserve. lupa pushes arguments outside any protected
  call, so a full state would abort the process: before each entry the use must be below
  the quota, and after each request a state above it is collected or given up.
- Collection runs inside a trusted Lua function, never through lupa's unprotected one.

The prelude is precompiled once a process (`prepare`), because a confined host has no
file system and because loading bytecode is quicker than compiling text.
"""

import importlib
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from luafarm.settings import Compat
from vmhost.dialect import Dialect, choose
from vmhost.operation import ANSWERS, SHAPES, Flat, Op, Step

PRELUDE: Final = (
    "capture",
    "budget",
    "coroutines",
    "strings",
    "tables",
    "numbers",
    "environment",
    "chunks",
    "log",
    "params",
    "reply",
    "request",
    "handlers",
    "handler_main",
    "handler_readme",
    "worker",
)
"""Lua files of the prelude, in the order in which they run."""

BUILTINS: Final = ("luafarm", "luafcgid", "md5", "base64", "json")
"""Modules that `require` finds without a file; loaded into a state when asked for."""

RESERVE_BYTES: Final = 2 * 1024 * 1024
"""Allocator's limit above the quota, so that lupa's own pushes never fail."""

MESSAGE_BYTES: Final = RESERVE_BYTES // 4
"""What one call may push within the reserve; more raises the limit for that call."""

COLLECT_MARGIN: Final = 0.5
"""A collection is due when a request took the state this far from its last live size
towards the quota: a state that rightly holds much is not collected at each request."""


@dataclass(frozen=True, slots=True)
class StateLimits:
    """Budgets of one state and of each of its requests; sizes are bytes, times seconds."""

    memory_bytes: int = 32 * 1024 * 1024
    cpu_s: float = 10.0
    load_cpu_s: float = 5.0
    reply_bytes: int = 64 * 1024 * 1024
    part_bytes: int = 256 * 1024  # a reply is flushed when so much of it is buffered
    head_bytes: int = 7 * 1024
    read_bytes: int = 256 * 1024  # most that one READ asks for
    log_lines: int = 200
    log_bytes: int = 32 * 1024


MEMORY_FULL: Final = b"not enough memory: the state is full"


class _ShapeError(Exception):
    """The prelude handed out what it never does."""


@dataclass(frozen=True, slots=True)
class _Code:
    """What a process needs to make states of one dialect."""

    module: Any  # the lupa submodule
    prelude: bytes  # bytecode
    builtins: dict[bytes, bytes]  # bytecode by module name


_COMPILE: Final = b"""
local text, name = ...
local f, message = (loadstring or load)(text, name)
if not f then error(message, 0) end
return string.dump(f, true)
"""


def _deny(*_: object) -> None:
    raise AttributeError("no access")


def _runtime(module: Any, max_bytes: int) -> Any:
    return module.LuaRuntime(
        encoding=None,
        register_eval=False,
        register_builtins=False,
        unpack_returned_tuples=True,
        attribute_handlers=(_deny, _deny),
        max_memory=max_bytes,
    )


def _sources() -> dict[str, bytes]:
    folder = files("vmhost.lua")
    names = PRELUDE + tuple(f"module_{name}" for name in BUILTINS)
    return {name: folder.joinpath(f"{name}.lua").read_bytes() for name in names}


@cache
def prepare(dialect: Dialect, *, c_modules: bool = False) -> _Code:
    """Import and compile what states of this dialect need; before files are shut off.

    c_modules: make the Lua symbols of lupa's library visible to Lua's C modules. That
    works only for the first dialect that a process imports.
    """
    flags = sys.getdlopenflags()
    if c_modules:
        sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
    try:
        module: Any = importlib.import_module(f"lupa.{dialect}")
    finally:
        sys.setdlopenflags(flags)
    sources = _sources()
    pieces = [b"local T = { config = {}, OP = {} }\n"]
    pieces += [b"local function values(t, ...) local a = { ... }\n"]
    pieces += [b"for i = 1, #a, 2 do t[a[i]] = a[i + 1] end end\n"]
    pieces += [f"T.OP.{op.name} = {op.value}\n".encode() for op in Op]
    pieces += [b"values(T.config, ...)\n"]
    pieces += [
        b"(function(...) " + sources[name] + b"\nend)(T)\n" for name in PRELUDE[:-1]
    ]
    pieces += [b"return (function(...) " + sources[PRELUDE[-1]] + b"\nend)(T)\n"]
    text = b";".join(pieces[1:])
    compiler = _runtime(module, 64 * 1024 * 1024)
    dump = compiler.execute(b"return function(...) " + _COMPILE + b" end")
    return _Code(
        module=module,
        prelude=dump(pieces[0] + text, b"=luafarm"),
        builtins={
            name.encode(): dump(sources[f"module_{name}"], b"=luafarm")
            for name in BUILTINS
        },
    )


class LuaState:
    """One persistent Lua state of one script.

    `load` comes first, then any number of `run`; each returns a `Step`. While a step is
    an operation, answer it with `resume` until DONE or ERROR comes, or give the request
    up with `cancel`. After DONE or ERROR look at `must_close`: when it is not empty it
    names the reason, and the only call left is `close`.
    """

    __slots__ = (
        "_cancel",
        "_clock",
        "_code",
        "_collect",
        "_due_bytes",
        "_limits",
        "_load",
        "_resume",
        "_run",
        "_runtime",
        "_shutdown",
        "_used",
        "_waiting",
        "must_close",
    )

    def __init__(
        self,
        dialect: Dialect,
        limits: StateLimits,
        *,
        trusted: bool = False,
        jit: bool = False,
        compat: Compat | None = None,
        cpath: str = "",
        path: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        choose(dialect, trusted=trusted, jit=jit)
        compat = compat or Compat()
        self._code = prepare(dialect, c_modules=trusted and bool(cpath))
        self._limits = limits
        self._clock = clock
        self._waiting: Op | None = None
        self.must_close = ""  #: why this state must not be used any more; empty: it may
        self._due_bytes = limits.memory_bytes * COLLECT_MARGIN
        self._runtime: Any = _runtime(
            self._code.module, limits.memory_bytes + RESERVE_BYTES
        )
        self._used: Callable[[], int] = self._runtime.get_memory_used
        config: dict[bytes, Flat] = {
            b"memory_bytes": limits.memory_bytes,
            b"cpu_s": limits.cpu_s,
            b"load_cpu_s": limits.load_cpu_s,
            b"reply_bytes": limits.reply_bytes,
            b"part_bytes": min(limits.part_bytes, limits.reply_bytes),
            b"head_bytes": limits.head_bytes,
            b"read_bytes": limits.read_bytes,
            b"log_lines": limits.log_lines,
            b"log_bytes": limits.log_bytes,
            b"trusted": trusted,
            b"jit": jit,
            b"handler": compat.handler.encode(),
            b"status": compat.httpstatus.encode(),
            b"content_type": compat.contenttype.encode(),
            b"headers": compat.headers.encode(),
            b"buffering": compat.buffering,
            b"path": os.fsencode(path),
            b"cpath": os.fsencode(cpath),
            b"builtins": " ".join(BUILTINS).encode(),
            b"seed": random.SystemRandom().getrandbits(31),
            b"born": clock(),
        }
        flat: list[Flat] = []
        for item in config.items():
            flat += item
        (
            self._run,
            self._load,
            self._resume,
            self._shutdown,
            self._cancel,
            self._collect,
        ) = self._runtime.execute(self._code.prelude, *flat, name=b"=luafarm")

    @property
    def memory_bytes(self) -> int:
        """Memory that the state uses now, without what an empty state takes."""
        return self._used()

    def load(
        self,
        source: bytes,
        chunk_name: bytes,
        state_id: bytes = b"",
        generation: int = 0,
    ) -> Step:
        """Run the main chunk, then `startup()` if the script has one."""
        return self._enter(self._load, (source, chunk_name, state_id, generation))

    def run(
        self,
        params: bytes,
        body: bytes | None,
        body_bytes: int = 0,
        data_bytes: int = 0,
    ) -> Step:
        """Serve one request.

        params: FastCGI name-value pairs. body: all of STDIN, or None when the host has it
        (`body_bytes` of it): then the script reads it by READ. data_bytes: size of DATA.
        """
        more = body is None and body_bytes > 0
        return self._enter(self._run, (params, body or b"", more, data_bytes > 0))

    def resume(self, *answer: Flat) -> Step:
        """Answer the operation that the last step was."""
        op = self._waiting
        assert op is not None, "resume without a waiting operation"
        assert tuple(map(type, answer)) == ANSWERS[op], f"wrong answer to {op.name}"
        return self._enter(self._resume, answer, resuming=True)

    def cancel(self) -> Step:
        """Give up the request that waits for an answer; the state lives on."""
        assert self._waiting is not None, "cancel without a waiting operation"
        return self._enter(self._cancel, (), resuming=True)

    def shutdown(self) -> Step:
        """Run the script's `shutdown()` if it has one; `close` comes next."""
        return self._enter(self._shutdown, ())

    def close(self) -> None:
        """Free the state. Nothing else may be called after it."""
        self.must_close = self.must_close or "closed"
        self._run = self._load = self._resume = self._shutdown = None
        self._cancel = self._collect = None
        self._used = int
        self._runtime = None

    def _enter(
        self, entry: Any, arguments: tuple[Flat, ...], *, resuming: bool = False
    ) -> Step:
        assert not self.must_close, (
            f"entered a state that must close: {self.must_close}"
        )
        assert resuming or self._waiting is None, "entered a state that waits"
        self._waiting = None
        quota = self._limits.memory_bytes
        if self._used() >= quota:
            self._clean()
            if self.must_close:
                return self._ended(b"Memory Error", MEMORY_FULL)
        size = sum(len(item) for item in arguments if type(item) is bytes)
        try:
            if size > MESSAGE_BYTES:
                self._runtime.set_max_memory(quota + RESERVE_BYTES + 2 * size)
            step: Step = entry(*arguments)
            while step[0] >= Op.BUILTIN:
                step = self._resume(self._answer(step))
        except self._code.module.LuaMemoryError:
            self.must_close = "memory"
            return self._ended(b"Memory Error", MEMORY_FULL)
        except (self._code.module.LuaError, _ShapeError):
            self.must_close = "broken"
            return self._ended(b"Unknown Error", b"the Lua state is broken")
        if step[0] == Op.SLEEP:  # Lua 5.1 has one type of number
            step = (step[0], float(step[1]))
        if tuple(map(type, step)) != SHAPES[Op(step[0])]:
            self.must_close = "broken"
            return self._ended(b"Unknown Error", b"the Lua state is broken")
        if step[0] > Op.ERROR:
            self._waiting = Op(step[0])
            return step
        if step[0] == Op.ERROR and step[7]:
            self.must_close = bytes(step[8]).decode()
        elif self._used() > self._due_bytes:
            self._clean()
            if step[0] == Op.ERROR and self.must_close:
                step = (*step[:7], True, step[8] or b"memory")
        if size > MESSAGE_BYTES:
            self._runtime.set_max_memory(quota + RESERVE_BYTES)
        return step

    def _answer(self, step: Step) -> Flat:
        """Return the answer to an operation that needs no host."""
        if step == (Op.NOW, 0):
            return self._clock()
        code = self._code.builtins.get(step[1]) if len(step) == 2 else None
        if step[0] != Op.BUILTIN or code is None:
            raise _ShapeError
        return code

    def _clean(self) -> None:
        """Collect garbage; a state that stays above its quota must close."""
        quota = self._limits.memory_bytes
        try:
            self._collect()
        except self._code.module.LuaError:
            self.must_close = "memory"
            return
        used = self._used()
        if used >= quota:
            self.must_close = "memory"
        self._due_bytes = used + (quota - used) * COLLECT_MARGIN

    def _ended(self, kind: bytes, message: bytes) -> Step:
        budget = b"memory" if self.must_close == "memory" else b""
        return (int(Op.ERROR), kind, message, b"", b"", 0, b"", True, budget)
