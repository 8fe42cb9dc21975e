"""One Lua state: the only module that touches lupa, and the only one with `Any`.

The rules of handling lupa, each from a reproduced failure, are kept here:

- Only bytes, int, float and bool cross. No Python object enters a state, no table or
  function of a script leaves it; a result is never `str()`ed, iterated or written to.
- No Python callable is reachable from Lua: host services are operations that the
  trusted prelude yields (`vmhost.lua.operation`).
- The allocator's limit is quota + reserve. lupa pushes arguments outside any protected
  call, so a full state would abort the process: before each entry the use must be below
  the quota, and after each request a state above it is collected or given up.
- Collection runs inside a trusted Lua function, never through lupa's unprotected one.

The prelude is precompiled once a process (`prepare`), because a confined host has no
file system and because loading bytecode is quicker than compiling text.
"""

# Impure, compiled.

import ctypes
import importlib
import os
import random
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import md5
from typing import Any, Final

from luafarm.config.settings import Compat, PoolSettings
from vmhost.lua import crier, prelude
from vmhost.lua.dialect import Dialect, choose
from vmhost.lua.operation import ANSWERS, SHAPES, Flat, Op, Step

RESERVE_BYTES: Final = 2 * 1024 * 1024
"""Allocator's limit above the quota, so that lupa's own pushes never fail."""

MESSAGE_BYTES: Final = RESERVE_BYTES // 4
"""What one call may push within the reserve; more raises the limit for that call."""

COLLECT_MARGIN: Final = 0.5
"""A collection is due when a request took the state this far from its last live size
towards the quota: a state that rightly holds much is not collected at each request."""


_POOL: Final = PoolSettings()


@dataclass(frozen=True, slots=True)
class StateLimits:
    """Budgets of one state and its requests; sizes are bytes, times seconds."""

    memory_bytes: int = _POOL.memory
    cpu_s: float = _POOL.cpu
    load_cpu_s: float = _POOL.load_cpu
    reply_bytes: int = _POOL.reply
    part_bytes: int = 256 * 1024  # a reply is flushed when so much of it is buffered
    head_bytes: int = 7 * 1024
    read_bytes: int = 256 * 1024  # most that one READ asks for
    log_lines: int = _POOL.log_lines
    log_bytes: int = _POOL.log_bytes


MEMORY_FULL: Final = b"not enough memory: the state is full"


@dataclass(frozen=True, slots=True)
class _Code:
    """What a process needs to make states of one dialect."""

    module: Any  # the lupa submodule
    lua_error: type[Exception]  # its LuaError
    prelude: bytes  # bytecode
    builtins: dict[bytes, bytes]  # bytecode by module name


_COMPILE: Final = b"""
return function(text)
  return string.dump(assert((loadstring or load)(text, "=luafarm")), true)
end
"""


def _deny(*_: object) -> None:
    raise AttributeError("no access")


def _runtime(module: Any, max_bytes: int) -> Any:  # noqa: ANN401
    return module.LuaRuntime(
        encoding=None,
        register_eval=False,
        register_builtins=False,
        unpack_returned_tuples=True,
        attribute_handlers=(_deny, _deny),
        max_memory=max_bytes,
    )


@cache
def prepare(dialect: Dialect, *, c_modules: bool = False) -> _Code:
    """Import and compile what states of this dialect need; before files are shut off.

    c_modules: make the Lua symbols of lupa's library visible to Lua's C modules; of one
    dialect in a process. It may have been imported before, by the zygote.
    """
    module: Any = importlib.import_module(f"lupa.{dialect}")
    if c_modules:
        ctypes.CDLL(module.__file__, os.RTLD_NOW | os.RTLD_GLOBAL)
    compiler = _runtime(module, 64 * 1024 * 1024)
    dump = compiler.execute(_COMPILE)
    return _Code(
        module=module,
        lua_error=module.LuaError,
        prelude=dump(prelude.text()),
        builtins={
            name.encode(): dump(prelude.builtin(name)) for name in prelude.BUILTINS
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
        "_answers",
        "_cancel",
        "_code",
        "_collect",
        "_due_bytes",
        "_idle",
        "_limits",
        "_load",
        "_raised",
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
        clock: Callable[[], float] = time.time,
    ) -> None:
        choose(dialect, trusted=trusted, jit=jit)
        compat = compat or Compat()
        self._code = prepare(dialect, c_modules=trusted and bool(cpath))
        self._limits = limits
        #: Operations that need no host: functions of one flat value that are quick and
        #: cannot fail for what the prelude hands out.
        self._answers: dict[int, Callable[[Any], Flat]] = {
            Op.BUILTIN: self._code.builtins.__getitem__,
            Op.NOW: lambda _: clock(),
            Op.MD5: lambda text: md5(text, usedforsecurity=False).digest(),
            Op.MD5_HEX: lambda text: (
                md5(text, usedforsecurity=False).hexdigest().encode()
            ),
            Op.BASE64_ENCODE: lambda text: b2a_base64(text, newline=False),
            Op.BASE64_DECODE: a2b_base64,
        }
        self._idle = True  #: neither waiting nor due to close: may be entered
        self._waiting: Op | None = None  #: the operation that the last step was
        self._raised = False  #: the allocator's limit is above quota + reserve
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
            b"compute_bytes": MESSAGE_BYTES // 2,
            b"log_lines": limits.log_lines,
            b"log_bytes": limits.log_bytes,
            b"trusted": trusted,
            b"jit": jit,
            b"handler": compat.handler.encode(),
            b"status": compat.httpstatus.encode(),
            b"content_type": compat.contenttype.encode(),
            b"headers": compat.headers.encode(),
            b"buffering": compat.buffering,
            b"cpath": os.fsencode(cpath),
            b"builtins": " ".join(prelude.BUILTINS).encode(),
            b"seed": random.SystemRandom().getrandbits(31),
            b"born": clock(),
            b"curfew": crier.VARIABLE,
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
        # Lua 5.2 and 5.3 make the registry's free list at the first release of a
        # reference. A full state could not, and would abort the process as it is freed.
        self._runtime.execute(b"return function() end")

    @property
    def memory_bytes(self) -> int:
        """Memory that the state uses now, without what an empty state takes."""
        return self._used()

    def load(
        self,
        source: bytes,
        name: bytes,
        state_id: bytes = b"",
        generation: int = 0,
        ticket: int = 0,
    ) -> Step:
        """Run the main chunk, then `startup()` if the script has one."""
        assert self._idle, "load on a state that waits or must close"
        return self._enter(self._load, (source, name, state_id, generation, ticket))

    def run(
        self,
        params: bytes,
        body: bytes | None,
        body_bytes: int = 0,
        data_bytes: int = 0,
        ticket: int = 0,
    ) -> Step:
        """Serve one request.

        params: FastCGI name-value pairs. body: all of STDIN; None when the host has it,
        `body_bytes` of it: then the script asks with READ. data_bytes: size of DATA.
        ticket, here and elsewhere: what `crier` calls when the wall-clock time is over.
        """
        stdin = body or b""
        more = body is None and body_bytes > 0
        if len(params) + len(stdin) > MESSAGE_BYTES:
            arguments = (params, stdin, more, data_bytes > 0, ticket)
            return self._enter(self._run, arguments)
        # `_enter` without what is not needed here, as every request pays for it: the
        # last one left less than `_due_bytes` in use.
        assert self._idle, "run on a state that waits or must close"
        try:
            step: Step = self._run(params, stdin, more, data_bytes > 0, ticket)
        except self._code.lua_error as error:
            return self._broken(error)
        if (
            type(step) is tuple
            and len(step) == 4
            and step[0] == 0
            and type(step[1]) is type(step[2]) is type(step[3]) is bytes
            and self._used() < self._due_bytes
        ):
            return step
        return self._finish(step)

    def resume(self, *answer: Flat) -> Step:
        """Answer the operation that the last step was."""
        assert self._waiting, "resume on a state that does not wait"
        assert tuple(map(type, answer)) == ANSWERS[self._waiting], (
            "answer of wrong shape"
        )
        return self._enter(self._resume, answer)

    def cancel(self) -> Step:
        """Give up the request that waits for an answer; the state lives on."""
        assert self._waiting, "cancel on a state that does not wait"
        return self._enter(self._cancel, ())

    def shutdown(self, ticket: int = 0) -> Step:
        """Run the script's `shutdown()` if it has one; `close` comes next."""
        assert self._idle, "shutdown of a state that waits or must close"
        return self._enter(self._shutdown, (ticket,))

    def collect(self) -> None:
        """Free what the script does not reach any more."""
        assert self._idle, "collect of a state that waits or must close"
        self._clean()

    def close(self) -> None:
        """Free the state. Nothing else may be called after it."""
        self.must_close = self.must_close or "closed"
        self._idle, self._waiting = False, None
        if self._runtime is not None:
            self._runtime.set_max_memory(0)
        self._run = self._load = self._resume = self._shutdown = None
        self._cancel = self._collect = None
        self._used = int
        self._runtime = None

    def _enter(self, entry: Any, arguments: tuple[Flat, ...]) -> Step:  # noqa: ANN401
        """Call into Lua with the allocator's limit high enough for the arguments."""
        quota = self._limits.memory_bytes
        if self._used() >= quota:
            self._clean()
            if self.must_close:
                return self._ended(b"Memory Error", MEMORY_FULL)
        size = sum(len(item) for item in arguments if type(item) is bytes)
        try:
            if size > MESSAGE_BYTES:
                self._raised = True
                self._runtime.set_max_memory(quota + RESERVE_BYTES + 2 * size)
            step: Step = entry(*arguments)
        except self._code.lua_error as error:
            return self._broken(error)
        return self._finish(step)

    def _finish(self, step: Step) -> Step:
        """Check a step, answer what needs no host, and keep the books."""
        answers, quota = self._answers, self._limits.memory_bytes
        try:
            while type(step) is tuple and step[0] in answers:
                answer = answers[step[0]](step[1])
                if self._used() >= quota:
                    self._clean()
                    if self.must_close:
                        return self._ended(b"Memory Error", MEMORY_FULL)
                step = self._resume(answer)
        except self._code.lua_error as error:
            return self._broken(error)
        except (TypeError, ValueError, LookupError) as error:
            return self._broken(error)
        if type(step) is not tuple:
            return self._broken(None)
        shape = tuple(map(type, step))
        if step[0] == Op.SLEEP and shape == (int, int):  # 5.1 has one type of number
            step, shape = (step[0], float(step[1])), (int, float)
        if shape != SHAPES.get(step[0]):
            return self._broken(None)
        return self._settle(step)

    def _settle(self, step: Step) -> Step:
        """Keep the books of a step whose form is right."""
        if step[0] > Op.ERROR:
            self._idle, self._waiting = False, Op(step[0])
            return step
        self._idle, self._waiting = True, None
        if step[0] == Op.ERROR and step[7]:
            self._idle, self.must_close = False, bytes(step[8]).decode()
            return step
        if self._used() > self._due_bytes:
            self._clean()
        if self._raised and not self.must_close:
            self._raised = False
            self._runtime.set_max_memory(self._limits.memory_bytes + RESERVE_BYTES)
        if step[0] == Op.ERROR and self.must_close:
            step = (*step[:7], True, step[8] or b"memory")
        return step

    def _clean(self) -> None:
        """Collect garbage; a state that stays above its quota must close.

        The state may be full: the call itself needs room.
        """
        quota = self._limits.memory_bytes
        limit = self._runtime.get_max_memory()
        self._runtime.set_max_memory(limit + RESERVE_BYTES)
        try:
            self._collect()
        except self._code.lua_error as error:
            self._broken(error)
            return
        self._runtime.set_max_memory(limit)
        used = self._used()
        if used >= quota:
            self._idle, self.must_close = False, "memory"
        self._due_bytes = used + (quota - used) * COLLECT_MARGIN

    def _broken(self, error: Exception | None) -> Step:
        """Give the state up: full in a place where only our own code runs, or worse."""
        self._waiting = None
        if isinstance(error, MemoryError):
            self._idle, self.must_close = False, "memory"
            return self._ended(b"Memory Error", MEMORY_FULL)
        self._idle, self.must_close = False, "broken"
        text = f"the Lua state is broken: {error or 'unknown operation'}"
        return self._ended(b"Unknown Error", text[:500].encode())

    def _ended(self, kind: bytes, message: bytes) -> Step:
        budget = b"memory" if self.must_close == "memory" else b""
        return (int(Op.ERROR), kind, message, b"", b"", 0, b"", True, budget)
