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

import importlib
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from luafarm.config.settings import Compat
from luafarm.dialects import Dialect
from luafarm.process import cplaces
from vmhost.lua import alarmword, latecode, prelude
from vmhost.lua.dialect import choose
from vmhost.lua.limits import StateLimits
from vmhost.lua.operation import (
    BUILTIN,
    ERROR,
    NOW,
    Flat,
    Operations,
    Step,
)

RESERVE_BYTES: Final = 2 * 1024 * 1024
"""Allocator's limit above the quota, so that lupa's own pushes never fail."""

MESSAGE_BYTES: Final = RESERVE_BYTES // 4
"""What one call may push within the reserve; more raises the limit for that call."""

COLLECT_MARGIN: Final = 0.5
"""A collection is due when a request took the state this far from its last live size
towards the quota: a state that rightly holds much is not collected at each request."""


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
def prepare(dialect: Dialect, operations: Operations) -> _Code:
    """Import and compile what states of this dialect need; before files are shut off.

    operations: what they may ask for.
    """
    module: Any = importlib.import_module(f"lupa.{dialect}")
    compiler = _runtime(module, 64 * 1024 * 1024)
    dump = compiler.execute(_COMPILE)
    return _Code(
        module=module,
        lua_error=module.LuaError,
        prelude=dump(prelude.text(operations.numbers)),
        builtins={
            name.encode(): dump(source) for name, source in prelude.loadable().items()
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
        "_operations",
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
        operations: Operations,
        *,
        trusted: bool = False,
        jit: bool = False,
        compat: Compat | None = None,
        cpath: str = "",
        c_modules: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        choose(dialect, trusted=trusted, jit=jit)
        compat = compat or Compat()
        self._code = prepare(dialect, operations)
        if not trusted:
            latecode.keep(dialect, self._code.builtins)
        elif not cpath:
            cpath = cplaces.default_cpath(dialect)
        self._limits = limits
        self._operations = operations
        #: operations that the state answers itself, of one flat value each
        self._answers: dict[int, Callable[[Any], Flat]] = {
            **operations.computed(trusted=trusted),
            BUILTIN.number: self._code.builtins.__getitem__,
            NOW.number: lambda _: clock(),
        }
        self._idle = True  #: neither waiting nor due to close: may be entered
        self._waiting = 0  #: the operation that the last step was; 0: none
        self._raised = False  #: the allocator's limit is above quota + reserve
        self.must_close = ""  #: why this state must not be used any more; empty: it may
        self._due_bytes = limits.memory_bytes * COLLECT_MARGIN
        self._runtime: Any = _runtime(
            self._code.module, limits.memory_bytes + RESERVE_BYTES
        )
        self._used: Callable[[], int] = self._runtime.get_memory_used
        config: dict[str, Flat] = {
            "memory_bytes": limits.memory_bytes,
            "cpu_s": limits.cpu_s,
            "load_cpu_s": limits.load_cpu_s,
            "reply_bytes": limits.reply_bytes,
            "part_bytes": min(limits.part_bytes, limits.reply_bytes),
            "head_bytes": limits.head_bytes,
            "read_bytes": limits.read_bytes,
            "compute_bytes": MESSAGE_BYTES // 2,
            "log_lines": limits.log_lines,
            "log_bytes": limits.log_bytes,
            "trusted": trusted,
            "jit": jit,
            "handler": compat.handler.encode(),
            "status": compat.httpstatus.encode(),
            "content_type": compat.contenttype.encode(),
            "headers": compat.headers.encode(),
            "buffering": compat.buffering,
            "path": cplaces.default_path(dialect).encode() if trusted else b"",
            "cpath": os.fsencode(cpath),
            "c_modules": os.fsencode(c_modules),
            "builtins": " ".join(prelude.BUILTINS).encode(),
            "late_variable": latecode.variable(dialect),
            "seed": random.SystemRandom().getrandbits(31),
            "address": random.SystemRandom().getrandbits(30),
            "born": clock(),
            "zones": "\t".join(time.tzname).encode(),
            "alarm_variable": alarmword.VARIABLE,
        }
        assert config.keys() == prelude.CONFIG, "not what the prelude expects"
        flat: list[Flat] = []
        for name, value in config.items():
            flat += name.encode(), value
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
        alarm: int = 0,
    ) -> Step:
        """Run the main chunk, then `startup()` if the script has one."""
        assert self._idle, "load on a state that waits or must close"
        return self._enter(self._load, (source, name, state_id, generation, alarm))

    def run(
        self,
        params: bytes,
        body: bytes | None,
        body_bytes: int = 0,
        data_bytes: int = 0,
        alarm: int = 0,
    ) -> Step:
        """Serve one request.

        params: FastCGI name-value pairs. body: all of STDIN; None when the host has it,
        `body_bytes` of it: then the script asks with READ. data_bytes: size of DATA.
        alarm, here and elsewhere: what `alarmword` says when wall-clock time is over.
        """
        stdin = body or b""
        more = body is None and body_bytes > 0
        if len(params) + len(stdin) > MESSAGE_BYTES:
            arguments = (params, stdin, more, data_bytes > 0, alarm)
            return self._enter(self._run, arguments)
        # `_enter` without what is not needed here, as every request pays for it: the
        # last one left less than `_due_bytes` in use.
        assert self._idle, "run on a state that waits or must close"
        try:
            step: Step = self._run(params, stdin, more, data_bytes > 0, alarm)
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
        expected = self._operations.answers[self._waiting]
        assert tuple(map(type, answer)) == expected, "answer of wrong shape"
        return self._enter(self._resume, answer)

    def cancel(self) -> Step:
        """Give up the request that waits for an answer; the state lives on."""
        assert self._waiting, "cancel on a state that does not wait"
        return self._enter(self._cancel, ())

    def shutdown(self, alarm: int = 0) -> Step:
        """Run the script's `shutdown()` if it has one; `close` comes next."""
        assert self._idle, "shutdown of a state that waits or must close"
        return self._enter(self._shutdown, (alarm,))

    def collect(self) -> None:
        """Free what the script does not reach any more."""
        assert self._idle, "collect of a state that waits or must close"
        self._clean()

    def close(self) -> None:
        """Free the state. Nothing else may be called after it."""
        self.must_close = self.must_close or "closed"
        self._idle, self._waiting = False, 0
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
        expected = self._operations.steps.get(step[0])
        if shape == (int, int) and expected == (
            int,
            float,
        ):  # 5.1 has one type of number
            step, shape = (step[0], float(step[1])), (int, float)
        if shape != expected:
            return self._broken(None)
        return self._settle(step)

    def _settle(self, step: Step) -> Step:
        """Keep the books of a step whose form is right."""
        if step[0] > ERROR:
            self._idle, self._waiting = False, step[0]
            return step
        self._idle, self._waiting = True, 0
        if step[0] == ERROR and step[7]:
            self._idle, self.must_close = False, bytes(step[8]).decode()
            return step
        if self._used() > self._due_bytes:
            self._clean()
        if self._raised and not self.must_close:
            self._raised = False
            self._runtime.set_max_memory(self._limits.memory_bytes + RESERVE_BYTES)
        if step[0] == ERROR and self.must_close:
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
        self._waiting = 0
        if isinstance(error, MemoryError):
            self._idle, self.must_close = False, "memory"
            return self._ended(b"Memory Error", MEMORY_FULL)
        self._idle, self.must_close = False, "broken"
        text = f"the Lua state is broken: {error or 'unknown operation'}"
        return self._ended(b"Unknown Error", text[:500].encode())

    def _ended(self, kind: bytes, message: bytes) -> Step:
        budget = b"memory" if self.must_close == "memory" else b""
        return (ERROR, kind, message, b"", b"", 0, b"", True, budget)
