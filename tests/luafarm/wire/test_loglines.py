"""Log lines of scripts as they travel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.wire import loglines
from tests.loglines import decode


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, \u00e9 and \u4e2d", "plain, \u00e9 and \u4e2d"),
        ("two\nlines\tand a tab", "two\n\tlines\tand a tab"),
        ("\0\x1b[2J\x7f\r", r"\x00\x1b[2J\x7f\x0d"),
        ("\u202e\ud800\U000e0001", r"\x202e\xd800\xe0001"),
        ("\x07" * 3, r"\x07\x07\x07"),
    ],
)
def test_what_could_drive_a_terminal_is_shown(text: str, shown: str) -> None:
    assert loglines.printable(text) == shown


@given(st.text())
def test_only_tabs_and_indented_lines_are_left_of_controls(text: str) -> None:
    shown = loglines.printable(text)
    assert shown.replace("\n\t", "").replace("\t", "").isprintable()
    if text.isprintable():
        assert shown == text


@given(st.sampled_from(list(loglines.LEVELS.values())), st.text())
def test_a_line_comes_back_with_its_level(level: str, text: str) -> None:
    clean = text.encode("utf-8", "replace").decode().replace("\0", "?")
    record = loglines.encode(level, text)
    assert decode(record) == [(level, loglines.printable(clean))]
    assert loglines.line(record[:-1]) == (level, loglines.printable(clean))


@given(st.binary())
def test_no_bytes_are_too_odd(data: bytes) -> None:
    assert len(decode(data)) == data.count(0)
