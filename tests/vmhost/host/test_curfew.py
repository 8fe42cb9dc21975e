"""The end of wall-clock time: who is called, when, and who hears it."""

import pytest

from tests.vmhost.states import Script, every_sandboxed_dialect
from vmhost.host.curfew import TICKETS, Curfew
from vmhost.lua.crier import crier
from vmhost.lua.dialect import Dialect
from vmhost.lua.operation import Op
from vmhost.lua.state import LuaState, StateLimits

S = 1_000_000_000


class Square:
    """Where tickets are called and the main thread is woken."""

    def __init__(self) -> None:
        self.called: list[int] = []
        self.woken = 0
        self.curfew = Curfew(self.called.append, self.wake)

    def wake(self) -> None:
        self.woken += 1


def test_a_task_is_called_once_when_its_time_is_over() -> None:
    square = Square()
    ticket = square.curfew.begin(30 * S, 30 * S)
    assert square.curfew.look(1 * S) == 1.0
    assert square.curfew.look(30 * S - S // 4) == 0.25
    assert square.called == []
    assert square.curfew.look(30 * S) == 1.0
    assert square.curfew.look(31 * S) == 1.0
    assert square.called == [ticket]


def test_a_task_that_ended_in_time_is_not_called_but_the_next_one() -> None:
    square = Square()
    first = square.curfew.begin(2 * S, 2 * S)
    second = square.curfew.begin(5 * S, 2 * S)
    square.curfew.look(3 * S)
    square.curfew.look(5 * S)
    assert square.called == [second]
    assert first != second


def test_the_pause_is_never_longer_than_a_task() -> None:
    square = Square()
    square.curfew.begin(S // 2, S // 2)
    assert square.woken == 1
    assert square.curfew.look(0) == 0.5
    square.curfew.begin(S, S // 2)
    square.curfew.begin(30 * S, 30 * S)
    assert square.woken == 1
    assert square.curfew.look(0) == 0.5
    square.curfew.begin(S, 1)
    square.curfew.begin(S, 1)
    assert square.woken == 2
    assert square.curfew.look(0) == pytest.approx(0.02)


def test_tickets_begin_again_after_the_last() -> None:
    square = Square()
    square.curfew._task = (TICKETS, 0)
    assert square.curfew.begin(S, S) == 1


@every_sandboxed_dialect
def test_only_the_task_that_is_called_stops(dialect: Dialect) -> None:
    source = b"function main(e, con) for i = 1, 1e5 do end con:puts('done') end"
    state = LuaState(dialect, StateLimits())
    assert state.load(source, b"/p.lua", ticket=1)[0] == Op.DONE
    crier().call(99)
    assert state.run(b"", b"", ticket=2)[2] == b"done"
    assert state.run(b"", b"", ticket=99)[2] == b"done"  # called long before
    crier().call(3)
    step = state.run(b"", b"", ticket=3)
    assert (step[0], step[2], step[8]) == (Op.ERROR, b"time used up", b"wall")
    assert state.must_close == "wall"


@every_sandboxed_dialect
def test_a_load_that_is_called_stops(dialect: Dialect) -> None:
    crier().call(1)
    state = LuaState(dialect, StateLimits())
    crier().call(2)
    step = state.load(b"while true do pcall(error) end", b"/p.lua", ticket=2)
    assert (step[0], step[8]) == (Op.ERROR, b"wall")


@every_sandboxed_dialect
def test_a_shutdown_that_is_called_stops(dialect: Dialect) -> None:
    source = "function shutdown() while true do end end function main() end"
    crier().call(4)
    state = Script(source, dialect).state
    crier().call(5)
    assert state.shutdown(5)[8] == b"wall"


def test_scripts_do_not_see_the_crier() -> None:
    crier().call(4)
    source = "function handler() return tostring(os.getenv('LUAFARM_CURFEW')) end"
    assert Script(source).run().text == "nil"
