"""The pipe of a log."""

import os
from pathlib import Path

import pytest

from tests.chaos.output import Output
from tests.farm.farms import until


def test_what_is_written_arrives_until_nobody_can_write(tmp_path: Path) -> None:
    receiver, sender = os.pipe()
    output = Output(receiver, tmp_path / "log")
    os.write(sender, b"one\n")
    until(lambda: (tmp_path / "log").read_bytes() == b"one\n", "it arrives")
    assert output.is_open
    os.close(sender)
    output.join()
    assert not output.is_open


def test_a_stalled_pipe_fills_up_and_loses_nothing(tmp_path: Path) -> None:
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    output = Output(receiver, tmp_path / "log")
    with output.stalled():
        pipe = os.fdopen(sender, "wb", buffering=0)
        written = 0
        while (taken := pipe.write(b"x" * 1000)) is not None:
            written += taken
        assert output.is_open
    pipe.close()
    output.join()
    assert (tmp_path / "log").stat().st_size == written


def test_a_closed_pipe_is_broken_for_whoever_writes(tmp_path: Path) -> None:
    receiver, sender = os.pipe()
    output = Output(receiver, tmp_path / "log")
    output.close()
    with pytest.raises(BrokenPipeError):
        os.write(sender, b"x")
    os.close(sender)
    assert not output.is_open
