"""Sizes, durations and modes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.config import units


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("300", 300),
        ("64k", 65536),
        ("64K", 65536),
        ("64 KiB", 65536),
        ("64 kB", 64000),
        ("8 MiB", 8 << 20),
        ("8m", 8 << 20),
        ("1.5 GiB", 3 << 29),
        ("2 GB", 2 * 10**9),
        (" 7 b ", 7),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "8 PiB", "1.5", "8 Mi B", "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30.0),
        ("0.5", 0.5),
        ("500 ms", 0.5),
        ("20ms", 0.02),
        ("250 us", 0.00025),
        ("30 s", 30.0),
        ("5 min", 300.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1 d", 86400.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1 s", "8 weeks", "inf", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "mode"), [("0660", 0o660), ("660", 0o660), ("0o777", 0o777), ("0", 0)]
)
def test_a_mode_is_octal(text: str, mode: int) -> None:
    assert units.parse_mode(text) == mode


@pytest.mark.parametrize("text", ["", "0888", "rw-", "77777"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no file mode"):
        units.parse_mode(text)


@given(st.integers(0, 1 << 50))
def test_a_size_that_was_written_is_read_again(size: int) -> None:
    assert units.parse_size(units.format_size(size)) == size


@given(st.floats(0, 1e9))
def test_a_duration_that_was_written_is_read_again(seconds: float) -> None:
    assert units.parse_duration(units.format_duration(seconds)) == seconds


def test_durations_are_written_for_people() -> None:
    assert [units.format_duration(x) for x in (0.02, 0.5, 1.0, 75.0, 1.5)] == [
        "20 ms",
        "500 ms",
        "1 s",
        "75 s",
        "1.5 s",
    ]
