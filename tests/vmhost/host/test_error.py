"""What fronts are told about a script that failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.names import Epoch, Script
from luafarm.wire.messages import Blob, Limits, Load, NeedKind
from tests.vmhost.states import Op
from vmhost.host.error import MEMORY, WALL, excerpt, failure, log_of
from vmhost.host.held import Held
from vmhost.lua.operation import Step

LIMITS = Limits(1, 1, 1, 1, 1, 1, 1, 1, fresh=False)
SOURCE = b"\n".join(b"line %d" % number for number in range(1, 21))
MODULE = Blob(NeedKind.MODULE, b"m", b"/m.lua", b"d", b"in the module")


def hold() -> Held:
    return Held(Load(Script(b"/a"), Epoch(1), b"d", SOURCE, (MODULE,), LIMITS), 0)


def step(file: bytes = b"/a", line: int = 12, budget: bytes = b"") -> Step:
    number = int(Op.ERROR)
    return (number, b"Kind", b"\xff why", b"trace", file, line, b"log", False, budget)


def test_an_error_tells_what_the_state_said_and_the_source_around_it() -> None:
    error = failure(step(), hold(), "", 0)
    assert (error.kind, error.traceback, error.line) == ("Kind", "trace", 12)
    assert error.message == "\\xff why"
    assert error.excerpt.splitlines()[4] == "12| line 12"
    assert error.budget == ""


def test_the_source_is_that_of_the_file_where_it_happened() -> None:
    error = failure(step(b"/m.lua", 1), hold(), "", 0)
    assert (error.file, error.excerpt) == ("/m.lua", "1| in the module")


def test_without_a_place_the_script_itself_is_named() -> None:
    error = failure(step(b"", 0, b"cpu"), hold(), "", 0)
    assert (error.file, error.line, error.excerpt) == ("/a", 0, "")
    assert error.budget == "cpu"


def test_a_budget_that_no_error_tells_of_is_named() -> None:
    done = (int(Op.DONE), b"", b"", b"log")
    error = failure(done, hold(), WALL, 1500)
    assert (error.budget, error.message) == ("wall", "time of 1.5 s used up")
    error = failure(done, hold(), MEMORY, 1500)
    assert (error.budget, error.kind, error.file) == ("memory", "Memory Error", "/a")


def test_the_log_is_found_in_both_kinds_of_ends() -> None:
    assert log_of(step()) == b"log"
    assert log_of((int(Op.DONE), b"head", b"body", b"lines")) == b"lines"


def test_an_excerpt_shows_four_lines_on_each_side() -> None:
    lines = excerpt(SOURCE, 10).splitlines()
    assert lines == [f"{number:>2}| line {number}" for number in range(6, 15)]
    assert excerpt(SOURCE, 1).splitlines()[0] == "1| line 1"
    assert excerpt(SOURCE, 20).splitlines()[-1] == "20| line 20"


@pytest.mark.parametrize("line", [0, -1, 21, 10**9])
def test_a_line_that_is_not_there_has_no_excerpt(line: int) -> None:
    assert excerpt(SOURCE, line) == ""


@given(st.binary(max_size=300), st.integers(-2, 30))
def test_an_excerpt_of_anything_is_short(source: bytes, line: int) -> None:
    shown = excerpt(source, line)
    assert len(shown.splitlines()) <= 9
    assert all(len(text) < 4 * 200 + 10 for text in shown.splitlines())
