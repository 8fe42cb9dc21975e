"""What a task begins and ends with: scoreboard, kernel timer and alarm together."""

import os
from collections.abc import Iterator
from typing import cast

import pytest

from luafarm.names import RequestId, Script
from vmhost.host.alarm import Alarm
from vmhost.host.deadlines import Deadlines
from vmhost.host.timer import Budget, KernelTimer
from vmhost.reading import Running
from vmhost.scoreboard import HostSlot, Scoreboard, create

BUDGET, OTHER = (30.0, 10.0), (10.0, 5.0)
S = 1_000_000_000


class Timer:
    """What the kernel's timer was told; a real one would be pytest's as well."""

    def __init__(self) -> None:
        self.is_armed = False
        self.armed: list[tuple[Budget, int]] = []
        self.relaxed: list[int] = []

    def arm(self, budget: Budget, now_ns: int) -> None:
        self.armed.append((budget, now_ns))

    def relax(self, now_ns: int) -> None:
        self.relaxed.append(now_ns)


class Stage:
    """Deadlines and all that they move."""

    def __init__(self, page: int) -> None:
        self.board = Scoreboard(page)
        self.timer = Timer()
        self.said: list[int] = []
        self.alarm = Alarm(self.said.append, lambda: None)
        self.deadlines = Deadlines(
            HostSlot(page), cast("KernelTimer", self.timer), self.alarm
        )


@pytest.fixture
def stage() -> Iterator[Stage]:
    page = create()
    yield Stage(page)
    os.close(page)


def test_a_task_is_told_to_all_three_and_ends(stage: Stage) -> None:
    number = stage.deadlines.begin(7, b"/a", BUDGET, 1 * S, 31 * S)
    task = Running(RequestId(7), Script(b"/a"), 1 * S, 31 * S)
    assert stage.board.read().task == task
    assert stage.timer.armed == [(BUDGET, 1 * S)]
    stage.alarm.look(31 * S)
    assert stage.said == [number]
    stage.deadlines.end()
    reading = stage.board.read()
    assert (reading.task, reading.requests) == (None, 1)


def test_what_comes_next_in_a_task_has_a_budget_and_an_alarm_of_its_own(
    stage: Stage,
) -> None:
    first = stage.deadlines.begin(7, b"/a", OTHER, 1 * S, 41 * S)
    second = stage.deadlines.allow(BUDGET, 5 * S, 35 * S)
    assert first != second
    assert stage.timer.armed == [(OTHER, 1 * S), (BUDGET, 5 * S)]
    assert stage.board.read().task == Running(
        RequestId(7), Script(b"/a"), 1 * S, 41 * S
    )
    stage.alarm.look(35 * S)
    assert stage.said == [second]


def test_a_host_at_rest_tells_twice_a_second_that_it_lives(stage: Stage) -> None:
    for now_ns, beat_ns in ((1 * S, 1), (1 * S + 1, 1), (2 * S, 2)):
        stage.deadlines.rest(now_ns)
        assert stage.board.read().beat_ns == beat_ns * S
    assert stage.timer.relaxed == [1 * S, 1 * S + 1, 2 * S]
