"""A script in a state, with a host that answers its operations from dictionaries."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import pytest

from luafarm.config.settings import Compat
from luafarm.dialects import UNSOUND, Dialect
from tests.loglines import decode
from vmhost.host.services import body as bodies
from vmhost.host.services import files, finish, flush, sleep
from vmhost.host.services.table import OPERATIONS
from vmhost.lua.limits import StateLimits
from vmhost.lua.operation import DONE, ERROR, Step
from vmhost.lua.state import LuaState

SANDBOXED: Final = [dialect for dialect in Dialect if dialect not in UNSOUND]
EVERY: Final = list(Dialect)

# what holds in all dialects for the same reason: see dialects in tests/conftest.py
every_dialect = pytest.mark.dialects(*EVERY)
every_sandboxed_dialect = pytest.mark.dialects(*SANDBOXED)

# what has to hold against a hostile script is tried wherever there may be one
attack_on_every_dialect = pytest.mark.parametrize("dialect", EVERY)
attack_on_every_sandboxed_dialect = pytest.mark.parametrize("dialect", SANDBOXED)


class Op(IntEnum):
    """The steps of states, by names."""

    DONE = DONE
    ERROR = ERROR
    FLUSH = flush.FLUSH.operation.number
    FINISH = finish.FINISH.operation.number
    DETACH = finish.DETACH.operation.number
    READ = bodies.READ.operation.number
    REQUIRE = files.REQUIRE.operation.number
    CHUNK = files.CHUNK.operation.number
    FILE = files.FILE.operation.number
    SLEEP = sleep.SLEEP.operation.number


def pair(name: bytes, value: bytes) -> bytes:
    """Return a FastCGI name-value pair."""
    lengths = b"".join(
        len(part).to_bytes(1, "big")
        if len(part) < 128
        else (len(part) | 1 << 31).to_bytes(4, "big")
        for part in (name, value)
    )
    return lengths + name + value


def params(**values: str) -> bytes:
    """Return name-value pairs."""
    return b"".join(
        pair(name.encode(), value.encode()) for name, value in values.items()
    )


@dataclass
class Failure:
    """An ERROR step by names."""

    kind: str
    message: str
    traceback: str
    file: str
    line: int
    budget: str


@dataclass
class Reply:
    """What one request came to."""

    steps: list[Step] = field(default_factory=list)
    head: bytes = b""
    body: bytes = b""
    log: list[tuple[str, str]] = field(default_factory=list)
    error: Failure | None = None

    @property
    def text(self) -> str:
        """The body of a reply that must not be an error."""
        assert self.error is None, self.error
        return self.body.decode("latin-1")

    @property
    def headers(self) -> list[str]:
        assert self.error is None, self.error
        return self.head.decode("latin-1").split("\r\n")

    @property
    def failure(self) -> Failure:
        assert self.error is not None, f"no error but {self.body!r}"
        return self.error

    @property
    def operations(self) -> list[Op]:
        return [Op(step[0]) for step in self.steps]


class Script:
    """One loaded script; `modules` and `files` are what its host has."""

    def __init__(
        self,
        source: str | bytes,
        dialect: Dialect = Dialect.LUAJIT21,
        *,
        limits: StateLimits | None = None,
        compat: Compat | None = None,
        modules: dict[str, str] | None = None,
        files: dict[str, str] | None = None,
        trusted: bool | None = None,
        jit: bool = False,
        name: bytes = b"/srv/www/page.lua",
        cpath: str = "/nowhere/?.so",  # C modules need Lua's symbols in the process
        c_modules: str = "",
    ) -> None:
        self.modules = {k: v.encode() for k, v in (modules or {}).items()}
        self.files = {k: v.encode() for k, v in (files or {}).items()}
        self.state = LuaState(
            dialect,
            limits or StateLimits(),
            OPERATIONS,
            trusted=dialect in UNSOUND if trusted is None else trusted,
            jit=jit,
            compat=compat,
            cpath=cpath,
            c_modules=c_modules,
            clock=lambda: 1000000000.25,
        )
        source = source if isinstance(source, bytes) else source.encode()
        self.loaded = self.finish(self.state.load(source, name, b"s1", 7), b"", b"")

    def run(
        self,
        blob: bytes = b"",
        body: bytes = b"",
        *,
        pulled: bool = False,
        data: bytes = b"",
    ) -> Reply:
        """Run one request; `pulled`: the script must ask for its body."""
        assert self.loaded.error is None, self.loaded.error
        step = self.state.run(blob, None if pulled else body, len(body), len(data))
        return self.finish(step, body if pulled else b"", data)

    def finish(self, step: Step, stdin: bytes, data: bytes) -> Reply:
        """Answer operations until the end."""
        reply = Reply()
        streams = [stdin, data]
        while True:
            reply.steps.append(step)
            match step[0]:
                case Op.DONE:
                    reply.head, reply.body = reply.head + step[1], reply.body + step[2]
                    reply.log += decode(step[3])
                    return reply
                case Op.ERROR:
                    kind, message, traceback, file = (
                        part.decode("utf-8", "replace") for part in step[1:5]
                    )
                    budget = step[8].decode()
                    reply.error = Failure(
                        kind, message, traceback, file, step[5], budget
                    )
                    reply.log += decode(step[6])
                    return reply
                case Op.FLUSH | Op.FINISH:
                    reply.head, reply.body = reply.head + step[1], reply.body + step[2]
                    reply.log += decode(step[3])
                    step = self.state.resume(True)
                case Op.READ:
                    chunk = streams[step[1]][: step[2]]
                    streams[step[1]] = streams[step[1]][len(chunk) :]
                    step = self.state.resume(chunk)
                case Op.REQUIRE:
                    step = self.answer(self.modules, step[1].decode("latin-1"))
                case Op.CHUNK:
                    step = self.answer(self.files, step[1].decode("latin-1"))
                case Op.FILE:
                    content = self.files.get(step[1].decode("latin-1"))
                    if content is None:
                        step = self.state.resume(False, b"no such file")
                    else:
                        step = self.state.resume(True, content)
                case _:
                    step = self.state.resume(True)

    def answer(self, shelf: dict[str, bytes], name: str) -> Step:
        """Answer with Lua source."""
        source = shelf.get(name)
        if source is None:
            return self.state.resume(False, b"no file for " + name.encode(), b"")
        return self.state.resume(True, source, f"/srv/lib/{name}".encode())


def evaluate(code: str, dialect: Dialect, **options: object) -> str:
    """Return what code returns, as text, from a request of a script made for it."""
    source = (
        "function main(env, con)\n"
        "  local function body()\n" + code + "\n  end\n"
        "  con:puts(tostring(body()))\n"
        "end\n"
    )
    return Script(source, dialect, **options).run().text  # type: ignore[arg-type]
