"""What the lines of a job mean, and which reason covers what is missing."""

from luafarm.dialects import Dialect
from tests.libraries import comparison, outcome, table
from tests.libraries.catalogue import LIBRARIES
from tests.libraries.comparison import Comparison, Reason


def test_lines_are_told_from_whatever_a_library_prints() -> None:
    output = (
        b"noise\n\x01ok\tone\nok\ttwo\n\x01not ok\tthree\twhy not\n"
        b"x\x01ok\tfour\n\x01end\tfile.lua\n"
    )
    found = outcome.read(output)
    assert found.tests == {"one": "", "three": "why not"}
    assert found.passed == {"one"}
    assert found.is_whole


def test_what_does_not_come_to_its_end_is_known() -> None:
    found = outcome.read(b"\n\x01ok\tone\n", "killed")
    assert not found.is_whole
    assert found.last_words == "killed"


def test_a_reason_covers_its_library_its_dialects_and_its_names() -> None:
    reason = Reason("lib", ("spec/*",), ("luajit21",), "no files")
    assert reason.covers("lib", Dialect.LUAJIT21, "spec/a: b")
    assert not reason.covers("other", Dialect.LUAJIT21, "spec/a: b")
    assert not reason.covers("lib", Dialect.LUA54, "spec/a: b")
    assert not reason.covers("lib", Dialect.LUAJIT21, "test/a")


def test_every_reason_is_of_a_library_that_there_is() -> None:
    assert {reason.library for reason in comparison.reasons()} <= set(LIBRARIES)


def test_the_table_counts_what_passes_and_says_what_does_not() -> None:
    one = Comparison("penlight", Dialect.LUA54)
    one.files.add("pl", None)
    one.tests.add("a", None)
    one.tests.add("tests/test-xml.lua", "no file")
    one.tests.add("b", "broken")
    text = table.render([one])
    assert "| penlight | 1/1; 1/3 |" in text
    assert "| **all** | **1/1; 1/3** |" in text
    assert "- writes a file: penlight 1" in text
    assert "- not known: penlight 1" in text
