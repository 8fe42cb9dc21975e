"""Hundreds of one-liners and idioms: a sandboxed state answers as a plain interpreter.

`corpus.txt` has the cases, `corpus.lua` runs them: all of a dialect in one state, and
all in one process of the interpreter of that version, as Debian has it. What differs
stands in `REASONS` with its reason, and must differ.
"""

import locale
import re
from functools import cache
from pathlib import Path

import pytest

from luafarm.dialects import Dialect
from tests import interpreters
from tests.vmhost.states import Script
from vmhost.lua.limits import StateLimits

HERE = Path(__file__).parent
CASES = HERE.joinpath("corpus.txt").read_text("utf-8")
RUNNER = HERE.joinpath("corpus.lua").read_text("utf-8")
LIMITS = StateLimits(cpu_s=60.0, load_cpu_s=60.0, memory_bytes=256 << 20)

DEBIAN = (Dialect.LUAJIT21, Dialect.LUA52, Dialect.LUA53, Dialect.LUA54)
DIALECTS = (*DEBIAN, Dialect.LUA55)  # for which 5.4 answers: Debian has no newer one

NAMES = """
arg = nil
local found = {}
for name, value in pairs(_G) do
  found[#found + 1] = name
  if type(value) == "table" and name ~= "_G" then
    for inner in pairs(value) do found[#found + 1] = name .. "." .. tostring(inner) end
  end
end
local text = table.concat(found, " ")
"""

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
    'return pcall(string.find, "x", nil)': (DIALECTS, _ABSENT),
    "return pcall(string.gsub)": (_JIT, _ABSENT),
    "return pcall(table.remove)": (_JIT, _ABSENT),
    "return pcall(xpcall)": (_JIT, _ABSENT),
    "return pcall(coroutine.resume)": ((*_54, *_55), _ABSENT),
    "return pcall(coroutine.status)": ((*_54, *_55), _ABSENT),
    'return string.format("%-5s|", "ab"), string.format("%5.1f|", 2.25)': (
        _JIT,
        _NEWER,
    ),
}
"""By case: the dialects in which the answer is another one, and why."""

_NOT_JIT = DEBIAN[1:]
_OURS = "debug is the real one, and shows that some functions are ours"
_BUDGET = "the hook of the budgets is there, until the script takes it away"
_BUNDLED = "the interpreter that luafarm carries answers so"

TRUSTED_REASONS: dict[str, tuple[tuple[Dialect, ...], str]] = {
    "return pcall(xpcall)": (_JIT, _ABSENT),
    "return pcall(coroutine.resume)": (_54, _ABSENT),
    "return pcall(coroutine.status)": (_54, _ABSENT),
    "local i = debug.getinfo(print) return i.what, i.short_src, i.source,"
    " i.currentline, i.linedefined, i.lastlinedefined, i.func == print": (
        DEBIAN,
        _OURS,
    ),
    'local i = debug.getinfo(pcall, "u") return i.nups, i.nparams, i.isvararg': (
        DEBIAN,
        _OURS,
    ),
    "local co = coroutine.create(function(p) local q = 5 coroutine.yield() end)"
    " coroutine.resume(co, 1) return debug.getlocal(co, 1, 1)": (_NOT_JIT, _OURS),
    "return setfenv and getfenv(1) == _G, setfenv and pcall(setfenv, print, {})": (
        _JIT,
        _OURS,
    ),
    "return debug.gethook() == nil, debug.sethook(), debug.gethook() == nil": (
        DEBIAN,
        _BUDGET,
    ),
    'return string.format("%-5s|", "ab"), string.format("%5.1f|", 2.25)': (
        _JIT,
        _NEWER,
    ),
    "return pcall(table.remove, { 1, 2 }, 5)": (_54, _BUNDLED),
    "return pcall(table.remove, setmetatable({}, { __len = function() return 3 end }),"
    " 9)": (_54, _BUNDLED),
}
"""The same in trusted pools."""


def differing(case: str, *, trusted: bool = False) -> tuple[Dialect, ...]:
    """Return the dialects in which a case is answered differently, for a reason."""
    dialects, _ = (TRUSTED_REASONS if trusted else REASONS).get(case, ((), ""))
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
def ours(dialect: Dialect, *, trusted: bool) -> list[str]:
    """Return what a state answers to each case."""
    source = program("local text = run() function main(_, con) con:puts(text) end")
    before = locale.setlocale(locale.LC_ALL)
    text = Script(source, dialect, limits=LIMITS, trusted=trusted).run().text
    locale.setlocale(locale.LC_ALL, before)  # trusted scripts change this process's
    return text.encode("latin-1").decode("utf-8", "replace").split("\n")[:-1]


@cache
def theirs(dialect: Dialect) -> list[str]:
    """Return what an interpreter answers; its output is what cases print."""
    text = interpreters.said(dialect, program("io.stderr:write(run())"))
    return text.split("\n")[:-1]


def test_the_corpus_has_some_hundred_cases_and_no_two_alike() -> None:
    assert len(set(cases())) == len(cases()) >= 300


@pytest.mark.parametrize("trusted", [False, True], ids=["sandboxed", "trusted"])
@pytest.mark.parametrize("dialect", DEBIAN)
def test_every_name_of_the_interpreter_is_there(
    dialect: Dialect, *, trusted: bool
) -> None:
    plain = interpreters.said(dialect, NAMES + "io.stderr:write(text)")
    script = Script(
        f"{NAMES} function main(env, con) con:puts(text) end",
        dialect,
        trusted=trusted,
    )
    theirs = set(plain.split())
    assert "string.format" in theirs
    assert theirs <= set(script.run().text.split())


@pytest.mark.parametrize(
    ("dialect", "trusted"),
    [*((dialect, False) for dialect in DIALECTS), *((d, True) for d in DEBIAN)],
)
def test_a_state_answers_as_the_interpreter_does(
    dialect: Dialect, *, trusted: bool
) -> None:
    stock = dialect if dialect in DEBIAN else DEBIAN[-1]
    answers = zip(cases(), ours(dialect, trusted=trusted), theirs(stock), strict=True)
    odd = []
    for case, mine, other in answers:
        differs = compared(mine, dialect) != compared(other, dialect)
        if differs != (dialect in differing(case, trusted=trusted)):
            odd.append(f"{case}\n  luafarm:     {mine}\n  {stock}: {other}")
    assert not odd, "\n".join(odd)
