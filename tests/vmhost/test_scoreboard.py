"""The scoreboard: what a reader sees between any two stores of the writer."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.names import RequestId, Script
from vmhost import scoreboard
from vmhost.reading import Running
from vmhost.scoreboard import NAME_BYTES, RECENT, SIZE, HostSlot, Scoreboard


@pytest.fixture
def page() -> Iterator[int]:
    fd = scoreboard.create()
    yield fd
    os.close(fd)


class Watched:
    """The words of a page; calls a function before each store."""

    def __init__(self, words: "memoryview[int]", before: Callable[[], None]) -> None:
        self._words = words
        self._before = before

    def __setitem__(self, at: int, value: int) -> None:  # noqa: D105
        self._before()
        self._words[at] = value

    def __getitem__(self, at: int) -> int:  # noqa: D105
        return self._words[at]


def task(request: int, script: bytes, started: int, deadline: int) -> Running:
    return Running(RequestId(request), Script(script), started, deadline)


def test_a_new_page_is_idle_and_empty(page: int) -> None:
    reading = Scoreboard(page).read()
    assert reading.task is None
    assert reading.requests == reading.beat_ns == 0
    assert Scoreboard(page).recent() == ()


def test_what_runs_is_there_until_it_ends(page: int) -> None:
    slot, board = HostSlot(page), Scoreboard(page)
    slot.begin(7, b"/srv/a.lua", 100, 5000)
    assert board.read().task == task(7, b"/srv/a.lua", 100, 5000)
    slot.end()
    reading = board.read()
    assert (reading.task, reading.requests) == (None, 1)


def test_loads_and_hooks_are_work_but_no_requests(page: int) -> None:
    slot, board = HostSlot(page), Scoreboard(page)
    slot.begin(0, b"/srv/a.lua", 100, 5000)
    slot.end()
    slot.begin(7, b"/srv/a.lua", 200, 5000)
    slot.end()
    slot.begin(0, b"/srv/a.lua", 300, 5000)
    slot.end()
    reading = board.read()
    assert reading.requests == 1


def test_a_load_is_a_task_without_a_request(page: int) -> None:
    slot, board = HostSlot(page), Scoreboard(page)
    slot.begin(0, b"/srv/a.lua", 1, 2)
    assert board.read().task == task(0, b"/srv/a.lua", 1, 2)
    assert board.recent() == ()


def test_beats_arrive(page: int) -> None:
    slot, board = HostSlot(page), Scoreboard(page)
    slot.beat(99)
    reading = board.read()
    assert reading.beat_ns == 99


def test_the_page_cannot_be_made_smaller(page: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(page, 0)
    with pytest.raises(PermissionError):
        os.ftruncate(page, SIZE * 2)


@given(st.binary(min_size=0, max_size=NAME_BYTES + 500))
def test_a_long_path_is_cut_and_a_shorter_one_leaves_no_rest(path: bytes) -> None:
    fd = scoreboard.create()
    try:
        slot, board = HostSlot(fd), Scoreboard(fd)
        slot.begin(1, b"x" * NAME_BYTES, 1, 2)
        slot.end()
        slot.begin(2, path, 1, 2)
        seen = board.read().task
        assert seen is not None
        assert seen.script == path[:NAME_BYTES]
    finally:
        os.close(fd)


requests = st.integers(1, 2**63 - 1)
times = st.integers(0, 2**63)
tasks = st.builds(
    task, requests, st.sampled_from([b"/a", b"/bb.lua", b"/c" * 400]), times, times
)


@given(st.lists(tasks, max_size=12, unique_by=lambda t: t.request))
def test_a_reader_sees_one_whole_task_or_none_between_any_two_stores(
    done: list[Running],
) -> None:
    fd = scoreboard.create()
    try:
        slot, board = HostSlot(fd), Scoreboard(fd)
        allowed: list[Running | None] = [None]
        begun: list[RequestId] = []

        def look() -> None:
            assert board.read().task in allowed
            # a request that is about to begin may count already, never the reverse
            assert set(board.recent()) in (set(begun), set(begun[:-1]))

        # the stores go through a spy, one reading before each of them
        slot._words = Watched(slot._words, look)  # type: ignore[assignment]
        for one in done:
            begun.append(one.request)
            allowed[:] = [None, one]
            slot.begin(one.request, one.script, one.started_ns, one.deadline_ns)
            assert board.read().task == one
            slot.end()
            assert board.read().task is None
        look()
    finally:
        os.close(fd)


@given(st.integers(0, 3 * RECENT))
def test_the_last_requests_are_remembered_in_order(count: int) -> None:
    fd = scoreboard.create()
    try:
        slot, board = HostSlot(fd), Scoreboard(fd)
        for request in range(1, count + 1):
            slot.begin(request, b"/a", 1, 2)
            slot.end()
        expected = range(max(1, count + 1 - RECENT), count + 1)
        assert board.recent() == tuple(expected)
    finally:
        os.close(fd)


@given(st.binary(min_size=1, max_size=64))
def test_any_page_of_a_taken_over_host_can_be_read(garbage: bytes) -> None:
    fd = scoreboard.create()
    try:
        os.pwrite(fd, (garbage * SIZE)[:SIZE], 0)
        board = Scoreboard(fd)
        seen = board.read().task
        assert seen is None or len(seen.script) <= NAME_BYTES
        assert all(0 < request < 2**63 for request in board.recent())
    finally:
        os.close(fd)


@pytest.mark.process
def test_a_live_reader_never_sees_a_mixture(page: int) -> None:
    writer = os.fork()
    if writer == 0:
        try:
            slot = HostSlot(page)
            for request in range(1, 2**40):
                name = b"/%d.lua" % request
                slot.begin(request, name, request * 3, request * 5)
                slot.end()
        finally:
            os._exit(0)
    try:
        board = Scoreboard(page)
        seen = 0
        end = time.monotonic() + 120
        while seen < 2000 and time.monotonic() < end:
            found = board.read().task
            if found is not None:
                request = found.request
                name = Script(b"/%d.lua" % request)
                assert found == Running(request, name, request * 3, request * 5)
                seen += 1
        assert seen == 2000
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
