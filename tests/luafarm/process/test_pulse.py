"""What a process says to whoever watches it."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from luafarm.process import pulse
from luafarm.process.notify import Manager
from luafarm.process.pulse import BEAT, BLIND, EVERY_S, SERVES, Pulse
from tests.luafarm.farms import environment


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends; the second is given away."""
    heard, told = os.pipe()
    os.set_blocking(heard, False)
    yield heard, told
    os.close(heard)


def heard(pipe: tuple[int, int]) -> bytes:
    try:
        return os.read(pipe[0], 1000)
    except BlockingIOError:
        return b""


def test_however_often_a_loop_turns_it_beats_once_in_the_time(
    pipe: tuple[int, int],
) -> None:
    mine = Pulse(pipe[1])
    turns = 1000
    beats = [mine.beat(5.0 + turn * 3 * EVERY_S / turns) for turn in range(turns)]
    assert sum(beats) == 3
    assert heard(pipe) == BEAT * 3
    os.close(pipe[1])


@pytest.mark.parametrize(("knows", "said"), [(True, SERVES), (False, BLIND)])
def test_the_parent_hears_whether_the_farm_is_known(
    pipe: tuple[int, int], knows: bool, said: bytes
) -> None:
    Pulse(pipe[1]).serves("serving", knows_farm=knows)
    assert heard(pipe) == said
    os.close(pipe[1])


def test_the_parent_hears_which_uids_are_taken(pipe: tuple[int, int]) -> None:
    mine = Pulse(pipe[1])
    mine.beat(1.0)
    mine.takes("7000:7003,7007:7007")
    mine.beat(5.0)
    said = heard(pipe)
    assert pulse.uids_in(said) == "7000:7003,7007:7007"
    assert pulse.uids_in(BEAT + SERVES) == ""
    assert SERVES not in said
    assert BLIND not in said
    os.close(pipe[1])


def test_a_parent_that_has_ended_is_no_fault() -> None:
    receiver, sender = os.pipe()
    os.close(receiver)
    mine = Pulse(sender)
    mine.serves("serving")
    assert mine.beat(1.0)
    os.close(sender)


def test_a_parent_that_does_not_read_holds_up_nobody(pipe: tuple[int, int]) -> None:
    mine = Pulse(pipe[1])
    for turn in range(70_000):  # more than a pipe takes
        mine.beat(turn * 2.0)
    assert mine.beat(1e9)
    os.close(pipe[1])


def test_a_process_without_a_parent_or_manager_tells_nobody() -> None:
    mine, rest = pulse.take(["--set", "a.b=c"])
    assert rest == ["--set", "a.b=c"]
    mine.serves("serving")
    mine.reloads()
    mine.stops()
    assert mine.beat(1.0)


def test_the_parents_pipe_is_taken_from_between_the_settings(
    pipe: tuple[int, int],
) -> None:
    argv = ["--config", "x", *pulse.option(pipe[1]), "--set", "a.b=c"]
    mine, rest = pulse.take(argv)
    assert rest == ["--config", "x", "--set", "a.b=c"]
    mine.beat(1.0)
    assert heard(pipe) == BEAT
    os.close(pipe[1])


def test_no_process_that_it_starts_has_the_pipe(pipe: tuple[int, int]) -> None:
    os.set_inheritable(pipe[1], True)
    mine = Pulse(pipe[1])
    text = f"import os\nos.write({pipe[1]}, b'x')"
    done = subprocess.run(
        [sys.executable, "-c", text],
        env=environment(),
        close_fds=False,
        capture_output=True,
        check=False,
    )
    assert b"Bad file descriptor" in done.stderr
    mine.beat(1.0)
    assert heard(pipe) == BEAT
    os.close(pipe[1])


def test_a_manager_that_wants_it_oftener_hears_oftener(tmp_path: Path) -> None:
    at = str(tmp_path / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        contextlib.closing(Manager(at, watchdog_s=0.5)) as told,
    ):
        manager.bind(at)
        mine = Pulse(manager=told)
        assert mine.every_s == 0.25
        for turn in range(10):
            mine.beat(turn * 0.125)
        for _ in range(5):
            assert manager.recv(100) == b"WATCHDOG=1"
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)
