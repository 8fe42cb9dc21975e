"""Budgets of scripts on a VM host: soft stops, kernel timers, memory, states."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from luafarm.dialects import UNSOUND, Dialect
from luafarm.wire import codec
from luafarm.wire.messages import (
    DoneRow,
    Dones,
    Gone,
    Loaded,
    LoadFailed,
    Need,
    Outcome,
    Part,
    ScriptError,
)
from tests.vmhost.host.hosting import (
    CONFIG,
    LIMITS,
    PATIENT,
    Process,
    hosting,
    load,
    pair,
    run,
)

pytestmark = pytest.mark.process

A, B = b"/srv/a.lua", b"/srv/b.lua"
COUNTER = b"local n = 0 function main(e, con) n = n + 1 con:puts(n) end"
# a little more than 1 MiB, and less than what the allocator keeps in reserve
FILL = b"""
local kept = {}
function fill() for n = 1, 20 do kept[n] = string.char(n):rep(60000) end end
"""
LOOP = b"function main() while true do end end"
# one call into C that no hook interrupts
STUCK = b"function main() (('a'):rep(60000)):find(('.-'):rep(8) .. 'b') end"
SHORT = structs.replace(LIMITS, wall_ms=300, load_wall_ms=300)
LITTLE = structs.replace(LIMITS, cpu_ms=200, load_cpu_ms=200)


def error_of(row: DoneRow) -> ScriptError:
    assert row[1] == Outcome.BUDGET
    return codec.decode_error(row[5])


def test_a_loop_costs_its_state_and_no_other(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, LOOP, limits=LITTLE)
    broker.load(B, COUNTER)
    assert front.done(run(1, B))[3] == b"1"
    error = error_of(front.done(run(2, A)))
    assert error.budget == "cpu"
    assert error.file == A.decode()
    gone = broker.expect(Gone)
    assert (gone.script, gone.epoch, gone.reason) == (A, 1, "cpu")
    assert front.done(run(3, A))[1] == Outcome.ABSENT
    assert front.done(run(4, B))[3] == b"2"


def test_time_that_a_script_waits_counts(host: Process) -> None:
    source = b"""
    function main(e, con)
      con:puts('begun') con:flush()
      require 'luafarm'.sleep(60)
    end
    """
    broker, front = host.broker(), host.front()
    broker.load(A, source, limits=SHORT)
    front.runs(run(1, A))
    assert front.expect(Part).chunk == b"begun"
    (row,) = front.rows(1)
    assert error_of(row).budget == "wall"
    assert row[2:4] == (b"", b"")
    assert broker.expect(Gone).reason == "wall"


TEMPTING = b"""
    local function forever() while true do end end
    local loops = {
      loop = forever,
      pcall = function() while true do pcall(forever) end end,
      coroutine = function() coroutine.wrap(forever)() end,
    }
    function main(e, con) loops[e.L]() end
"""


@pytest.mark.parametrize("dialect", [d for d in Dialect if d not in UNSOUND])
def test_a_loop_is_stopped_by_wall_clock_time_without_a_kill(
    tmp_path: Path, dialect: Dialect
) -> None:
    limits = structs.replace(SHORT, cpu_ms=100_000)
    with hosting(tmp_path, replace(PATIENT, dialect=dialect)) as host:
        broker, front = host.broker(), host.front()
        broker.load(B, COUNTER)
        for epoch, loop in enumerate([b"loop", b"pcall", b"coroutine"], 1):
            broker.load(A, TEMPTING, epoch, limits=limits)
            error = error_of(front.done(run(epoch, A, params=pair(b"L", loop))))
            assert (error.budget, error.file) == ("wall", A.decode())
            assert error.line > 0
            assert error.message == "time of 0.3 s used up"
            assert broker.expect(Gone).reason == "wall"
        assert front.done(run(9, B))[3] == b"1"


def test_a_load_that_loops_is_stopped_by_wall_clock_time(tmp_path: Path) -> None:
    limits = structs.replace(SHORT, load_cpu_ms=100_000)
    with hosting(tmp_path, PATIENT) as host:
        broker = host.broker()
        broker.load(B, COUNTER)
        broker.say(load(A, b"while true do end", limits=limits))
        error = broker.expect(LoadFailed).error
        assert (error.budget, error.line) == ("wall", 1)
        assert error.message == "time of 0.3 s used up"
        assert host.front().done(run(2, B))[3] == b"1"


def test_a_load_that_loops_or_waits_too_long_fails(host: Process) -> None:
    broker = host.broker()
    broker.say(load(A, b"while true do end", limits=LITTLE))
    assert broker.expect(LoadFailed).error.budget == "cpu"
    broker.say(load(A, b"require 'm'", limits=SHORT))
    broker.expect(Need)
    failed = broker.expect(LoadFailed)
    assert failed.error.budget == "wall"
    assert "0.3 s" in failed.error.message


def test_a_script_that_fills_its_memory_is_closed(host: Process) -> None:
    source = b"local t = {} function main() for n = 1, 1e9 do t[n] = {n} end end"
    broker, front = host.broker(), host.front()
    broker.load(A, source, limits=structs.replace(LIMITS, memory_bytes=4 << 20))
    assert error_of(front.done(run(1, A))).budget == "memory"
    assert broker.expect(Gone).reason == "memory"


def test_a_state_that_is_full_after_its_reply_is_closed(host: Process) -> None:
    keep = b"function main(e, con) fill() con:puts('ok') end" + FILL
    limits = structs.replace(LIMITS, memory_bytes=1 << 20)
    broker, front = host.broker(), host.front()
    broker.load(A, keep, limits=limits)
    assert front.done(run(1, A))[1:4:2] == (Outcome.OK, b"ok")
    assert broker.expect(Gone).reason == "memory"


def test_a_state_that_is_full_after_loading_is_not_kept(host: Process) -> None:
    full = FILL + COUNTER + b" fill()"
    limits = structs.replace(LIMITS, memory_bytes=1 << 20)
    broker, front = host.broker(), host.front()
    broker.say(load(A, full, limits=limits))
    assert broker.expect(LoadFailed).error.budget == "memory"
    assert front.done(run(1, A))[1] == Outcome.ABSENT


def test_a_quota_that_holds_no_state_fails_the_load(host: Process) -> None:
    broker = host.broker()
    tiny = structs.replace(LIMITS, memory_bytes=-(2 << 20) + 20_000)  # less the reserve
    broker.say(load(A, COUNTER, limits=tiny))
    error = broker.expect(LoadFailed).error
    assert (error.kind, error.budget) == ("Memory Error", "memory")
    assert broker.load(A, COUNTER).epoch == 1


def test_a_reply_without_end_is_stopped(host: Process) -> None:
    source = b"""
    local s = ('x'):rep(100000)
    function main(e, con) while true do con:puts(s) end end
    """
    broker, front = host.broker(), host.front()
    broker.load(A, source, limits=structs.replace(LIMITS, reply_bytes=1 << 20))
    front.runs(run(1, A))
    size = 0
    while isinstance(message := front.next(), Part):
        size += len(message.chunk)
    assert size <= 1 << 20
    assert isinstance(message, Dones)
    assert error_of(message.rows[0]).budget == "reply"
    assert broker.expect(Gone).reason == "reply"


def test_a_fresh_script_that_loops_goes_on_with_its_next_state(host: Process) -> None:
    source = b"function main(e, con) if e.L then while true do end end con:puts(1) end"
    broker, front = host.broker(), host.front()
    broker.load(A, source, limits=structs.replace(LITTLE, fresh=True))
    assert error_of(front.done(run(1, A, params=b"\x01\x01L1"))).budget == "cpu"
    assert front.done(run(2, A))[3] == b"1"
    assert broker.hears_nothing()


def test_what_lua_cannot_stop_the_kernel_does_by_wall_time(tmp_path: Path) -> None:
    with hosting(tmp_path) as host:
        host.broker().load(A, STUCK, limits=SHORT)
        front = host.front()
        front.runs(run(77, A))
        assert host.wait() == -signal.SIGALRM
        task = host.scoreboard.read().task
        assert task is not None
        assert (task.request, task.script) == (77, A)
        assert front.hears_nothing()


def test_what_lua_cannot_stop_the_kernel_does_by_cpu_time(tmp_path: Path) -> None:
    with hosting(tmp_path) as host:
        host.broker().load(A, STUCK, limits=LITTLE)
        host.front().runs(run(78, A))
        assert host.wait() == -signal.SIGPROF


def test_a_load_that_is_stuck_ends_as_well(tmp_path: Path) -> None:
    with hosting(tmp_path) as host:
        broker = host.broker()
        broker.say(load(A, STUCK + b" main()", limits=SHORT))
        assert host.wait() == -signal.SIGALRM
        task = host.scoreboard.read().task
        assert task is not None
        assert (task.request, task.script) == (0, A)


def test_no_timer_outlives_its_run(tmp_path: Path) -> None:
    with hosting(tmp_path) as host:
        broker, front = host.broker(), host.front()
        broker.load(
            A, COUNTER, limits=structs.replace(SHORT, wall_ms=1000, load_wall_ms=1000)
        )
        assert front.done(run(1, A))[3] == b"1"
        # longer than any timer of that script, with and without other messages
        broker.load(B, b"function main() require 'luafarm'.sleep(1.5) end")
        assert front.done(run(2, B))[1] == Outcome.OK
        beat = host.scoreboard.read().beat_ns
        while host.scoreboard.read().beat_ns < beat + 2_000_000_000:
            broker.load(A, COUNTER)
        assert front.done(run(3, A))[3] == b"2"


def test_a_host_holds_no_more_states_than_it_may(tmp_path: Path) -> None:
    with hosting(tmp_path, replace(CONFIG, max_states=1)) as host:
        broker, front = host.broker(), host.front()
        broker.load(A, COUNTER)
        broker.say(load(B, COUNTER))
        failed = broker.expect(LoadFailed)
        assert (failed.script, failed.error.budget) == (B, "states")
        assert front.done(run(1, A))[3] == b"1"
        # a new generation takes the place of the old one
        assert broker.load(A, COUNTER, epoch=2).epoch == 2


def test_the_largest_states_go_when_the_host_is_full(tmp_path: Path) -> None:
    source = b"""
    local kept = {}
    function main(e, con)
      kept[#kept + 1] = string.char(65 + #kept):rep(2^20)
      con:puts(#kept)
    end
    """
    with hosting(tmp_path, replace(CONFIG, max_bytes=8 << 20)) as host:
        broker, front = host.broker(), host.front()
        broker.load(A, COUNTER)
        broker.load(B, source)
        while broker.hears_nothing():
            assert front.done(run(1, B))[1] in {Outcome.OK, Outcome.ABSENT}
        gone = broker.expect(Gone)
        assert (gone.script, gone.reason) == (B, "memory")
        assert front.done(run(100, A))[3] == b"1"


@pytest.mark.dialects(*Dialect)
def test_a_full_host_loads_nothing_more(tmp_path: Path, dialect: Dialect) -> None:
    config = replace(CONFIG, dialect=dialect, trusted=True, max_bytes=8 << 20)
    with hosting(tmp_path, config) as host:
        broker = host.broker()
        broker.load(A, b"s = ('x'):rep(7.5 * 2^20) " + COUNTER)
        broker.say(load(B, COUNTER))
        error = broker.expect(LoadFailed).error
        assert (error.kind, error.budget) == ("Host Error", "memory")


@pytest.mark.dialects(*Dialect)
def test_garbage_does_not_make_a_host_full(tmp_path: Path, dialect: Dialect) -> None:
    litter = b"('x'):rep(7.5 * 2^20) collectgarbage('stop') " + COUNTER
    config = replace(CONFIG, dialect=dialect, trusted=True, max_bytes=8 << 20)
    with hosting(tmp_path, config) as host:
        broker, front = host.broker(), host.front()
        broker.load(A, b"local _ = " + litter)
        broker.load(B, COUNTER)
        assert front.done(run(1, A))[3] == b"1"


def test_garbage_is_collected_before_any_state_is_closed(tmp_path: Path) -> None:
    litter = b"""
    local n = 0
    function main(e, con)
      local s = ('x'):rep(2^20)
      n = n + 1
      con:puts(n)
    end
    """
    with hosting(tmp_path, replace(CONFIG, max_bytes=4 << 20)) as host:
        broker, front = host.broker(), host.front()
        scripts = [b"/srv/%d.lua" % number for number in range(8)]
        for script in scripts:
            broker.load(script, litter)
        for count in (b"1", b"2"):
            for number, script in enumerate(scripts, 1):
                assert front.done(run(number, script))[3] == count
        assert broker.hears_nothing()


def test_loaded_tells_what_a_state_takes(host: Process) -> None:
    broker = host.broker()
    small = broker.load(A, COUNTER)
    large = broker.load(B, b"local s = ('x'):rep(2^20)" + COUNTER)
    assert isinstance(small, Loaded)
    assert small.kib < 1024 <= large.kib
