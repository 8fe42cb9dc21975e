"""The `shutdown` hook of a state that is closed: what it says and how it ends."""

import signal
from pathlib import Path

import pytest
from msgspec import structs

from luafarm.names import Epoch, Script
from luafarm.wire.messages import Drop, Gone, Limits, Outcome, TakeInventory
from tests.loglines import decode
from tests.vmhost.host.hosting import LIMITS, PATIENT, Peer, Process, hosting, run

pytestmark = pytest.mark.process

A = b"/srv/a.lua"
MAIN = b"function main(e, con) con:puts('x') end "
FEW_LINES = structs.replace(LIMITS, log_lines=3, log_bytes=1000)


def closed(
    broker: Peer, source: bytes, limits: Limits = LIMITS
) -> list[tuple[str, str]]:
    """Load a script, drop it, and return what it logged on its way out."""
    broker.load(A, MAIN + source, limits=limits)
    broker.say(Drop(Script(A), Epoch(1)))
    gone = broker.expect(Gone)
    assert gone.reason == "dropped"
    return decode(gone.log)


def test_what_a_hook_prints_and_logs_is_told(host: Process) -> None:
    source = b"""
    function shutdown()
      print('one', 1)
      require 'luafarm'.log('warning', 'two')
    end
    """
    assert closed(host.broker(), source) == [("info", "one\t1"), ("warning", "two")]


def test_an_error_of_a_hook_is_told_with_its_place(host: Process) -> None:
    source = b"\nfunction shutdown() print('before') error('oops') end"
    before, error = closed(host.broker(), source)
    assert before == ("info", "before")
    assert error[0] == "error"
    assert error[1].startswith("shutdown: /srv/a.lua:2: oops")
    assert "stack traceback" in error[1]


def test_a_state_without_a_hook_says_nothing(host: Process) -> None:
    assert closed(host.broker(), b"print('loaded')") == []


def test_a_hook_has_the_log_budget_of_a_request(tmp_path: Path) -> None:
    source = b"function shutdown() for _ = 1, 10 do print('line') end end"
    with hosting(tmp_path, PATIENT) as host:
        lines = closed(host.broker(), source, FEW_LINES)
    assert [text for _, text in lines[:3]] == ["line"] * 3
    assert "more log lines" in lines[3][1]
    assert len(lines) == 4


def test_a_hook_without_end_is_stopped_when_its_time_is_up(tmp_path: Path) -> None:
    source = b"function shutdown() while true do print('line') end end"
    with hosting(tmp_path, PATIENT) as host:
        lines = closed(host.broker(), source, FEW_LINES)
    assert lines[-1][0] == "error"
    assert "time of 1 s used up" in lines[-1][1]
    assert len(lines) <= 5  # the error comes on top of what a request may log


def test_the_hook_of_a_fresh_state_is_told_with_the_next_run(tmp_path: Path) -> None:
    source = MAIN + b"print('load') function shutdown() print('shutdown') end"
    limits = structs.replace(LIMITS, fresh=True)
    with hosting(tmp_path) as host:
        broker, front = host.broker(), host.front()
        loaded = broker.load(A, source, limits=limits)
        assert decode(loaded.log) == [("info", "load")]
        assert front.done(run(1, A))[4] == b""
        row = front.done(run(2, A))
        assert decode(row[4]) == [("info", "shutdown"), ("info", "load")]


def test_a_second_term_changes_nothing(tmp_path: Path) -> None:
    source = MAIN + b"function shutdown() require 'luafarm'.sleep(0.3) print('end') end"
    with hosting(tmp_path) as host:
        broker, front = host.broker(), host.front()
        broker.load(A, source)
        assert front.done(run(1, A))[1] == Outcome.OK
        host.terminate()
        host.terminate()
        gone = broker.expect(Gone)
        assert (gone.reason, decode(gone.log)) == ("stopped", [("info", "end")])
        broker.say(TakeInventory())  # it is on its way out
        while host.code is None:
            host.send(signal.SIGTERM)
        assert host.code == 0
