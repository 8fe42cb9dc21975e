"""The end of wall-clock time: whose alarm is said, when, and who hears it."""

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import Op, Script, every_sandboxed_dialect
from vmhost.host.alarm import NUMBERS, Alarm
from vmhost.host.services.table import OPERATIONS
from vmhost.lua.alarmword import alarm_word
from vmhost.lua.limits import StateLimits
from vmhost.lua.state import LuaState

S = 1_000_000_000


class Watched:
    """An alarm, what it said, and how often the main thread was woken."""

    def __init__(self) -> None:
        self.said: list[int] = []
        self.woken = 0
        self.alarm = Alarm(self.said.append, self.wake)

    def wake(self) -> None:
        self.woken += 1


def test_the_alarm_of_a_task_is_said_once_when_its_time_is_over() -> None:
    watched = Watched()
    number = watched.alarm.set(30 * S, 30 * S)
    assert watched.alarm.look(1 * S) == 1.0
    assert watched.alarm.look(30 * S - S // 4) == 0.25
    assert watched.said == []
    assert watched.alarm.look(30 * S) == 1.0
    assert watched.alarm.look(31 * S) == 1.0
    assert watched.said == [number]


def test_of_a_task_that_ended_in_time_nothing_is_said_but_of_the_next_one() -> None:
    watched = Watched()
    first = watched.alarm.set(2 * S, 2 * S)
    second = watched.alarm.set(5 * S, 2 * S)
    watched.alarm.look(3 * S)
    watched.alarm.look(5 * S)
    assert watched.said == [second]
    assert first != second


def test_the_pause_is_never_longer_than_a_task() -> None:
    watched = Watched()
    watched.alarm.set(S // 2, S // 2)
    assert watched.woken == 1
    assert watched.alarm.look(0) == 0.5
    watched.alarm.set(S, S // 2)
    watched.alarm.set(30 * S, 30 * S)
    assert watched.woken == 1
    assert watched.alarm.look(0) == 0.5
    watched.alarm.set(S, 1)
    watched.alarm.set(S, 1)
    assert watched.woken == 2
    assert watched.alarm.look(0) == pytest.approx(0.02)


def test_numbers_begin_again_after_the_last() -> None:
    watched = Watched()
    watched.alarm._task = (NUMBERS, 0)
    assert watched.alarm.set(S, S) == 1


@every_sandboxed_dialect
def test_only_the_task_whose_alarm_is_said_stops(dialect: Dialect) -> None:
    source = b"function main(e, con) for i = 1, 1e5 do end con:puts('done') end"
    state = LuaState(dialect, StateLimits(), OPERATIONS)
    assert state.load(source, b"/p.lua", alarm=1)[0] == Op.DONE
    alarm_word().say(99)
    assert state.run(b"", b"", alarm=2)[2] == b"done"
    assert state.run(b"", b"", alarm=99)[2] == b"done"  # said long before
    alarm_word().say(3)
    step = state.run(b"", b"", alarm=3)
    assert (step[0], step[2], step[8]) == (Op.ERROR, b"time used up", b"wall")
    assert state.must_close == "wall"


@every_sandboxed_dialect
def test_a_load_whose_alarm_is_said_stops(dialect: Dialect) -> None:
    alarm_word().say(1)
    state = LuaState(dialect, StateLimits(), OPERATIONS)
    alarm_word().say(2)
    step = state.load(b"while true do pcall(error) end", b"/p.lua", alarm=2)
    assert (step[0], step[8]) == (Op.ERROR, b"wall")


@every_sandboxed_dialect
def test_a_shutdown_whose_alarm_is_said_stops(dialect: Dialect) -> None:
    source = "function shutdown() while true do end end function main() end"
    alarm_word().say(4)
    state = Script(source, dialect).state
    alarm_word().say(5)
    assert state.shutdown(5)[8] == b"wall"


def test_scripts_do_not_see_the_alarm() -> None:
    alarm_word().say(4)
    source = "function handler() return tostring(os.getenv('LUAFARM_ALARM')) end"
    assert Script(source).run().text == "nil"
