"""Hundreds of one-liners and idioms: a sandboxed state answers as a plain interpreter.

`corpus.txt` has the cases, `corpus.lua` runs them: all of a dialect in one state, and
all in one process of the interpreter of that version, as Debian has it. What differs
stands in `REASONS` with its reason, and must differ.
"""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import Script
from vmhost.lua.limits import StateLimits

HERE = Path(__file__).parent
CASES = HERE.joinpath("corpus.txt").read_text("utf-8")
RUNNER = HERE.joinpath("corpus.lua").read_text("utf-8")
LIMITS = StateLimits(cpu_s=60.0, load_cpu_s=60.0, memory_bytes=256 << 20)

INTERPRETERS = {
    Dialect.LUAJIT21: "luajit",
    Dialect.LUA52: "lua5.2",
    Dialect.LUA53: "lua5.3",
    Dialect.LUA54: "lua5.4",
    Dialect.LUA55: "lua5.4",  # Debian has no newer one
}

_JIT = (Dialect.LUAJIT21,)
_54 = (Dialect.LUA54,)
_55 = (Dialect.LUA55,)
_NEWER = "a newer version of the interpreter answers so"
_ABSENT = (
    "a Lua function of ours takes a missing argument for nil, or the other way round"
)
_FIFTY_FIVE = frozenset(
    line
    for line in HERE.joinpath("corpus55.txt").read_text("utf-8").splitlines()
    if not line.startswith("--")
)
"""Cases that Lua 5.5 answers in another way than 5.4."""

REASONS: dict[str, tuple[tuple[Dialect, ...], str]] = {
    'return pcall(string.find, "x", nil)': (tuple(INTERPRETERS), _ABSENT),
    "return pcall(string.gsub)": (_JIT, _ABSENT),
    "return pcall(table.remove)": (_JIT, _ABSENT),
    "return pcall(xpcall)": (_JIT, _ABSENT),
    "return pcall(coroutine.resume)": ((*_54, *_55), _ABSENT),
    "return pcall(coroutine.status)": ((*_54, *_55), _ABSENT),
    'return pcall(string.gsub, "x", "x", function() return {} end)': (
        _JIT,
        "LuaJIT says which of our functions called gsub",
    ),
    'return string.format("%-5s|", "ab"), string.format("%5.1f|", 2.25)': (
        _JIT,
        _NEWER,
    ),
}
"""By case: the dialects in which the answer is another one, and why."""


def differing(case: str) -> tuple[Dialect, ...]:
    """Return the dialects in which a case is answered differently, for a reason."""
    dialects, _ = REASONS.get(case, ((), ""))
    return (*dialects, *_55) if case in _FIFTY_FIVE else dialects


def compared(answer: str, dialect: Dialect) -> str:
    """Return what counts of an answer.

    Lua 5.2 looks the name of a function up in the real globals, which are empty here;
    and finds it there under one of two names, by chance.
    """
    if dialect is Dialect.LUA52:
        return re.sub(r"(?<=to ')[\w.?]*(?=')", "", answer)
    return answer


def cases() -> list[str]:
    """Return the cases: lines of the corpus without its headings."""
    return [line for line in CASES.splitlines() if not line.startswith("--")]


def program(end: str) -> str:
    """Return Lua text that runs the corpus."""
    return f"local CASES = [====[\n{CASES}]====]\n{RUNNER}\n{end}\n"


@cache
def ours(dialect: Dialect) -> list[str]:
    """Return what a sandboxed state answers to each case."""
    source = program("local text = run() function main(_, con) con:puts(text) end")
    text = Script(source, dialect, limits=LIMITS).run().text
    return text.encode("latin-1").decode("utf-8", "replace").split("\n")[:-1]


@cache
def theirs(interpreter: str) -> list[str]:
    """Return what an interpreter answers; its output is what cases print."""
    source = program("io.stderr:write(run())").encode()
    done = subprocess.run(
        [interpreter, "-"], input=source, capture_output=True, check=True, timeout=60
    )
    return done.stderr.decode("utf-8", "replace").split("\n")[:-1]


def test_the_corpus_has_some_hundred_cases_and_no_two_alike() -> None:
    assert len(set(cases())) == len(cases()) >= 300


@pytest.mark.parametrize("dialect", INTERPRETERS)
def test_a_sandboxed_state_answers_as_the_interpreter_does(dialect: Dialect) -> None:
    interpreter = INTERPRETERS[dialect]
    if not shutil.which(interpreter):
        pytest.skip(f"{interpreter} is not installed")
    odd = []
    answers = zip(cases(), ours(dialect), theirs(interpreter), strict=True)
    for case, mine, other in answers:
        differs = compared(mine, dialect) != compared(other, dialect)
        if differs != (dialect in differing(case)):
            odd.append(f"{case}\n  luafarm:     {mine}\n  {interpreter}: {other}")
    assert not odd, "\n".join(odd)
