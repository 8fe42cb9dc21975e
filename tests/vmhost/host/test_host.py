"""A real VM host process: runs, loads, fences, cancellations, strange peers."""

import os
from pathlib import Path

import pytest
import zmq
from msgspec import structs

from luafarm.names import Epoch, Machine, RequestId, Script
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Blob,
    Cancel,
    Dones,
    Drop,
    Fence,
    Fenced,
    Gone,
    Hello,
    Inventory,
    Loaded,
    LoadFailed,
    Need,
    Outcome,
    Part,
    Refused,
    Role,
    Runs,
    Source,
    TakeInventory,
    Welcome,
)
from tests.loglines import decode
from tests.vmhost.host.hosting import (
    CONFIG,
    LIMITS,
    Process,
    hosting,
    load,
    run,
)
from vmhost.sandbox.confine import Confinement

pytestmark = pytest.mark.process

A, B = b"/srv/a.lua", b"/srv/b.lua"
HELLO = b"function main(env, con) con:puts('hello') end"
COUNTER = b"""
local n = 0
function main(env, con) n = n + 1 con:puts(n) if env.BOOM then
  error('boom') end end
"""
SLEEPER = b"""
function main(env, con)
  con:puts('before')
  if env.FLUSH then con:flush() end
  require 'luafarm'.sleep(tonumber(env.SECONDS))
  con:puts('after')
end
"""


def seconds(text: bytes, *, flush: bool = False) -> bytes:
    params = b"\x07" + bytes([len(text)]) + b"SECONDS" + text
    return params + b"\x05\x01FLUSH1" if flush else params


BOOM = b"\x04\x01BOOM1"


def test_runs_are_answered_in_their_order(host: Process) -> None:
    host.broker().load(A, COUNTER)
    front = host.front()
    front.runs(*[run(request, A) for request in range(1, 101)])
    rows = front.rows(100)
    assert [row[0] for row in rows] == list(range(1, 101))
    assert [row[3] for row in rows] == [b"%d" % n for n in range(1, 101)]
    assert {row[1] for row in rows} == {Outcome.OK}
    assert rows[0][2].startswith(b"Status: 200 OK\r\nContent-Type: text/html")


def test_an_unsafe_run_is_answered_before_the_next_one_starts(host: Process) -> None:
    broker = host.broker()
    broker.load(A, HELLO)
    front = host.front()
    front.done(run(1, A))
    front.runs(run(2, A, flags=0), run(3, A, flags=0), run(4, A))
    frames = [front.expect(Dones).rows for _ in range(3)]
    assert [[row[0] for row in rows] for rows in frames] == [[2], [3], [4]]


def test_a_finished_reply_does_not_wait_for_a_slow_script(host: Process) -> None:
    broker = host.broker()
    broker.load(A, HELLO)
    broker.load(B, SLEEPER)
    front = host.front()
    front.done(run(1, A))
    front.runs(run(2, A), run(3, B, params=seconds(b"30")))
    assert [row[0] for row in front.expect(Dones).rows] == [2]
    front.say(Cancel(RequestId(3)))
    assert front.expect(Dones).rows[0][1] == Outcome.CANCELLED


def test_a_script_without_a_state_is_absent(host: Process) -> None:
    assert host.front().done(run(1, A))[1] == Outcome.ABSENT


def test_a_state_below_the_wanted_epoch_is_absent(host: Process) -> None:
    host.broker().load(A, HELLO, epoch=3)
    front = host.front()
    assert front.done(run(1, A, epoch=4))[1] == Outcome.ABSENT
    assert front.done(run(2, A, epoch=3))[1] == Outcome.OK


def test_a_fence_keeps_older_states_from_starting(host: Process) -> None:
    broker, front, script = host.broker(), host.front(), b"/srv/fenced.lua"
    broker.load(script, HELLO, epoch=3)
    broker.say(Fence(Script(script), Epoch(4)))
    assert broker.expect(Fenced).epoch == 4
    assert front.done(run(1, script))[1] == Outcome.ABSENT
    broker.load(script, HELLO, epoch=4)
    assert broker.expect(Gone).reason == "replaced"
    assert front.done(run(2, script))[1] == Outcome.OK
    broker.say(load(script, HELLO, epoch=3))
    assert "newer" in broker.expect(LoadFailed).error.message


def test_a_fence_holds_for_runs_that_wait_already(host: Process) -> None:
    broker, front, script = host.broker(), host.front(), b"/srv/fence while.lua"
    broker.load(script, SLEEPER, epoch=3)
    front.runs(
        run(1, script, params=seconds(b"30", flush=True)),
        run(2, script, params=seconds(b"0")),
    )
    assert front.expect(Part).chunk == b"before"
    broker.say(Fence(Script(script), Epoch(4)))
    broker.expect(Fenced)
    front.say(Cancel(RequestId(1)))
    rows = front.rows(2)
    assert [row[1] for row in rows] == [Outcome.CANCELLED, Outcome.ABSENT]


def test_a_new_state_is_loaded_beside_the_one_that_runs(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, SLEEPER, epoch=1)
    front.runs(run(1, A, params=seconds(b"0.05", flush=True)))
    assert front.expect(Part).chunk == b"before"
    broker.say(load(A, HELLO, epoch=2))
    assert front.expect(Part).chunk == b"after"
    assert front.expect(Dones).rows[0][1] == Outcome.OK
    assert broker.expect(Loaded).epoch == 2
    assert front.done(run(2, A, params=seconds(b"0")))[3] == b"beforeafter"
    broker.say(Drop(Script(A), Epoch(1)))
    gone = broker.expect(Gone)
    assert (gone.epoch, gone.reason) == (1, "dropped")
    assert front.done(run(3, A))[3] == b"hello"


def test_what_does_not_load_leaves_the_old_state_in_service(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, HELLO)
    broker.say(load(A, b"-- one\n\nfunction main( end\n", epoch=2))
    failed = broker.expect(LoadFailed)
    assert failed.epoch == 2
    assert failed.error.kind == "Syntax Error"
    assert failed.error.line == 3
    assert "3| function main( end" in failed.error.excerpt
    assert front.done(run(1, A))[3] == b"hello"


def test_a_load_of_what_is_there_is_answered_at_once(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, COUNTER)
    assert front.done(run(1, A))[3] == b"1"
    assert broker.load(A, COUNTER).epoch == 1
    assert front.done(run(2, A))[3] == b"2"


def test_an_older_generation_never_replaces_a_newer_one(host: Process) -> None:
    broker = host.broker()
    broker.load(A, HELLO, epoch=5)
    broker.say(load(A, COUNTER, epoch=4))
    assert "newer" in broker.expect(LoadFailed).error.message
    assert host.front().done(run(1, A))[3] == b"hello"


def test_a_dropped_state_is_gone_after_its_run(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, SLEEPER)
    front.runs(
        run(1, A, params=seconds(b"0.05", flush=True)), run(2, A, params=seconds(b"0"))
    )
    front.expect(Part)
    broker.say(Drop(Script(A), Epoch(1)))
    assert front.expect(Part).chunk == b"after"
    rows = front.rows(2)
    assert [row[1] for row in rows] == [Outcome.OK, Outcome.ABSENT]
    assert broker.expect(Gone).reason == "dropped"
    broker.say(TakeInventory())
    assert broker.expect(Inventory).states == ()


def test_a_drop_of_nothing_is_confirmed(host: Process) -> None:
    broker = host.broker()
    broker.say(Drop(Script(A), Epoch(9)))
    assert broker.expect(Gone).epoch == 9


def test_the_inventory_tells_every_state(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, COUNTER, epoch=7)
    front.done(run(1, A))
    front.done(run(2, A))
    broker.say(TakeInventory())
    (row,) = broker.expect(Inventory).states
    assert (row.script, row.epoch, row.requests) == (A, 7, 2)
    assert row.digest == COUNTER[:16]
    assert row.kib > 0
    assert row.load_us > 0


def test_an_error_tells_where_and_the_state_lives_on(host: Process) -> None:
    host.broker().load(A, COUNTER)
    front = host.front()
    assert front.done(run(1, A))[3] == b"1"
    row = front.done(run(2, A, params=BOOM))
    assert row[1] == Outcome.ERROR
    assert row[3] == b""
    error = codec.decode_error(row[5])
    assert error.kind == "Runtime Error"
    assert error.message.endswith(":4: boom")
    assert error.file == A.decode()
    assert error.line == 4
    assert error.excerpt == (
        "1| \n"
        "2| local n = 0\n"
        "3| function main(env, con) n = n + 1 con:puts(n) if env.BOOM then\n"
        "4|   error('boom') end end\n"
        "5| "
    )
    assert "traceback" in error.traceback
    assert front.done(run(3, A))[3] == b"3"


def test_log_lines_travel_with_replies_and_loads(host: Process) -> None:
    broker = host.broker()
    loaded = broker.load(A, b"print('loading')\n" + COUNTER + b"print('loaded')")
    lines = [("info", "loading"), ("info", "loaded")]
    assert decode(loaded.log) == lines
    broker.load(B, b"function main(e, con) con:log('a') con:flush() print('b') end")
    front = host.front()
    front.runs(run(1, B))
    assert decode(front.expect(Part).log) == [("info", "a")]
    assert decode(front.expect(Dones).rows[0][4]) == [("info", "b")]


def test_a_queued_run_is_cancelled_and_never_started(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, SLEEPER)
    broker.load(B, COUNTER)
    front.runs(run(1, A, params=seconds(b"30", flush=True)), run(2, B), run(3, B))
    front.expect(Part)
    front.say(Cancel(RequestId(2)), Cancel(RequestId(1)))
    rows = {row[0]: row for row in front.rows(3)}
    assert rows[1][1] == rows[2][1] == Outcome.CANCELLED
    assert rows[3][3] == b"1"


def test_a_cancelled_run_stops_at_its_next_flush(host: Process) -> None:
    source = b"function main(e, con) while true do con:puts('x') con:flush() end end"
    host.broker().load(A, source)
    front = host.front()
    front.runs(run(1, A))
    front.expect(Part)
    front.say(Cancel(RequestId(1)))
    while isinstance(message := front.next(), Part):
        pass
    assert isinstance(message, Dones)
    assert message.rows[0][1] == Outcome.CANCELLED


def test_nobody_cancels_the_run_of_another_front(host: Process) -> None:
    host.broker().load(A, SLEEPER)
    front, stranger = host.front(), host.front()
    front.runs(run(1, A, params=seconds(b"0.05", flush=True)))
    front.expect(Part)
    stranger.say(Cancel(RequestId(1)))
    assert front.expect(Part).chunk == b"after"
    assert front.expect(Dones).rows[0][1] == Outcome.OK


def test_a_fresh_script_has_a_new_state_for_each_request(host: Process) -> None:
    broker, front = host.broker(), host.front()
    source = b"print('made')\n" + COUNTER
    broker.load(A, source, limits=structs.replace(LIMITS, fresh=True))
    front.runs(*[run(request, A) for request in range(1, 6)])
    rows = front.rows(5)
    assert [row[3] for row in rows] == [b"1"] * 5
    # the first one's log went with Loaded
    logs = [decode(row[4]) for row in rows]
    assert logs == [[]] + [[("info", "made")]] * 4


def test_a_fresh_script_that_fails_to_load_later_says_so(tmp_path: Path) -> None:
    source = b"assert(require 'luafarm'.state.id:match('/1$'), 'again')\n" + COUNTER
    with hosting(tmp_path) as host:
        broker, front = host.broker(), host.front()
        broker.load(A, source, limits=structs.replace(LIMITS, fresh=True))
        assert front.done(run(1, A))[1] == Outcome.OK
        for request in (2, 3):
            row = front.done(run(request, A))
            assert row[1] == Outcome.ERROR
            assert codec.decode_error(row[5]).message.endswith(":1: again")
        broker.say(Drop(Script(A), Epoch(1)))
        assert broker.expect(Gone).reason == "dropped"
        assert front.done(run(4, A))[1] == Outcome.ABSENT


def test_garbage_is_dropped_and_the_peer_served_on(host: Process) -> None:
    host.broker().load(A, HELLO)
    front = host.front()
    for frame in (b"", b"\xc1", b"\x91", b"GET / HTTP/1.0\r\n\r\n", b"\x92\x7f\x00"):
        front.send(frame)
    front.send(codec.encode_runs([run(1, A)])[:-1])
    front.say(TakeInventory())
    assert front.done(run(2, A))[0] == 2


def test_who_has_not_said_hello_is_ignored(host: Process) -> None:
    host.broker().load(A, HELLO)
    stranger = host.connect()
    stranger.say(Runs((run(1, A),)), TakeInventory())
    stranger.hello(Role.FRONT)
    assert stranger.done(run(2, A))[0] == 2


def test_another_protocol_is_refused(host: Process) -> None:
    peer = host.connect()
    peer.say(Hello(PROTOCOL + 1, Role.FRONT, "new", Machine("m")))
    peer.say(Hello(PROTOCOL, Role.COMMAND, "status", Machine("m")))
    peer.say(Hello(PROTOCOL, Role.FRONT, "old", Machine("m")))
    assert f"protocol {PROTOCOL + 1}" in peer.expect(Refused).reason
    assert "a command does not call" in peer.expect(Refused).reason
    assert peer.expect(Welcome).role == Role.HOST
    assert peer.hears_nothing()


def test_a_front_that_never_reads_delays_nobody_for_long(host: Process) -> None:
    broker = host.broker()
    source = b"local s = ('x'):rep(2^18) function main(e, c) c:puts(s) end"
    broker.load(A, source)
    broker.load(B, HELLO)
    deaf = host.connect(lambda dealer: dealer.set(zmq.RCVHWM, 1))
    deaf.hello(Role.FRONT)
    deaf.runs(*[run(request, A) for request in range(1, 301)])
    front = host.front()
    assert front.done(run(1, B))[3] == b"hello"
    seen: list[int] = []  # what fitted is there, in its order
    while len(seen) < 3:
        message = deaf.next()
        assert isinstance(message, Dones | Part)
        if isinstance(message, Dones):
            seen += [row[0] for row in message.rows]
    assert seen == list(range(1, len(seen) + 1))


def test_a_front_that_went_away_costs_nothing(host: Process) -> None:
    broker, front, gone = host.broker(), host.front(), host.front()
    broker.load(A, SLEEPER)
    broker.load(B, COUNTER)
    gone.runs(run(1, A, params=seconds(b"0.05", flush=True)), run(2, B), run(3, B))
    gone.expect(Part)
    gone.close()
    assert front.done(run(4, B))[1] == Outcome.OK


def test_a_stopped_host_finishes_what_it_has(tmp_path: Path) -> None:
    with hosting(tmp_path) as host:
        broker, front = host.broker(), host.front()
        hook = b"function shutdown() require 'luafarm'.read('last words') end"
        broker.load(A, SLEEPER + hook)
        front.runs(run(1, A, params=seconds(b"0.2", flush=True)))
        front.runs(run(2, A, params=seconds(b"0")))
        front.expect(Part)
        host.terminate()
        assert front.expect(Part).chunk == b"after"
        assert [row[1] for row in front.rows(2)] == [Outcome.OK, Outcome.OK]
        need = broker.expect(Need)
        blob = Blob(need.kind, need.name, b"", b"", b"")
        broker.say(Source(need.ticket, blob, "none left"))
        assert broker.expect(Gone).reason == "stopped"
        assert host.wait() == 0


def test_a_confined_host_serves(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    confinement = Confinement(
        trusted=False,
        jit=False,
        keys=False,
        supervisor=os.getpid(),
        uid=None,
        gid=0,
        groups=(),
        address_space=64 << 30,  # it is forked from a process with many tests behind it
        empty=str(empty),
    )
    with hosting(tmp_path, CONFIG, confinement) as host:
        broker, front = host.broker(), host.front()
        broker.load(A, SLEEPER)
        broker.load(B, COUNTER)
        assert front.done(run(1, A, params=seconds(b"0.001")))[1] == Outcome.OK
        assert front.done(run(2, B, params=BOOM))[1] == Outcome.ERROR
        front.send(b"\xc1")
        assert front.done(run(3, B))[3] == b"2"
        broker.say(Drop(Script(B), Epoch(1)))
        broker.expect(Gone)
        host.terminate()
        assert host.wait() == 0
