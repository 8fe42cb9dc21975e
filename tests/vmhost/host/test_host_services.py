"""What scripts ask a VM host for: modules, files, bodies, time."""

from pathlib import Path

import pytest
from msgspec import structs

from luafarm.names import Epoch, RequestId, Script
from luafarm.wire import codec, loglines
from luafarm.wire.messages import (
    Blob,
    Body,
    Cancel,
    Dependency,
    Dones,
    Drop,
    Finished,
    Gone,
    Inventory,
    Loaded,
    LoadFailed,
    Need,
    NeedKind,
    Outcome,
    Part,
    Source,
    TakeInventory,
    Want,
)
from tests.vmhost.host.hosting import LIMITS, Peer, Process, hosting, load, pair, run

pytestmark = pytest.mark.process

A = b"/srv/a.lua"
MODULE = b"return { name = 'module' }"
FOUND = Blob(NeedKind.MODULE, b"m", b"/srv/m.lua", b"digest of m", MODULE)
ABSENT = Blob(NeedKind.MODULE, b"m", b"", b"", b"")
EAGER = b"local m = require 'm' function main(e, con) con:puts(m.name) end"
LAZY = b"function main(e, con) con:puts(require 'm'.name) end"
PIECE = 256 << 10


def answer(broker: Peer, blob: Blob, error: str = "") -> Need:
    """Answer the broker's next `Need`."""
    need = broker.expect(Need)
    assert (need.kind, need.name) == (blob.kind, blob.name)
    broker.say(Source(need.ticket, blob, error))
    return need


def used(blob: Blob) -> Dependency:
    return Dependency(blob.kind, blob.name, blob.path, blob.digest)


def test_a_module_comes_from_the_broker_while_a_script_loads(host: Process) -> None:
    broker = host.broker()
    broker.say(load(A, EAGER, epoch=4))
    need = answer(broker, FOUND)
    assert (need.script, need.epoch) == (A, 4)
    assert broker.expect(Loaded).dependencies == (used(FOUND),)
    assert host.front().done(run(1, A))[3] == b"module"


def test_what_came_with_the_load_is_not_asked_for(host: Process) -> None:
    loaded = host.broker().load(A, EAGER, blobs=(FOUND,))
    assert loaded.dependencies == (used(FOUND),)
    assert host.front().done(run(1, A))[3] == b"module"


def test_what_came_with_the_load_and_was_not_used_is_no_dependency(
    host: Process,
) -> None:
    source = b"function main(e, con) con:puts('hello') end"
    assert host.broker().load(A, source, blobs=(FOUND,)).dependencies == ()


def test_a_missing_module_fails_the_load_and_is_a_dependency(host: Process) -> None:
    broker = host.broker()
    broker.say(load(A, EAGER))
    answer(broker, ABSENT, "no file '/srv/m.lua'")
    failed = broker.expect(LoadFailed)
    assert failed.dependencies == (used(ABSENT),)
    assert "module 'm' not found" in failed.error.message
    assert "no file '/srv/m.lua'" in failed.error.message


def test_a_missing_module_is_remembered(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, LAZY)
    front.runs(run(1, A))
    answer(broker, ABSENT, "no file")
    assert broker.expect(Loaded).dependencies == (used(ABSENT),)
    assert front.expect(Dones).rows[0][1] == Outcome.ERROR
    assert front.done(run(2, A))[1] == Outcome.ERROR
    assert broker.hears_nothing()


def test_a_module_found_while_running_is_told_before_the_reply(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, LAZY, epoch=6)
    front.runs(run(1, A))
    answer(broker, FOUND)
    told = broker.expect(Loaded)
    assert (told.epoch, told.dependencies) == (6, (used(FOUND),))
    assert front.expect(Dones).rows[0][3] == b"module"
    broker.say(TakeInventory())
    (row,) = broker.expect(Inventory).states
    assert row.dependencies == (used(FOUND),)


def test_an_error_in_a_module_shows_the_module(host: Process) -> None:
    broker = host.broker()
    broker.say(load(A, EAGER))
    answer(broker, Blob(FOUND.kind, b"m", b"/srv/m.lua", b"d", b"--\nerror('bad')\n"))
    error = broker.expect(LoadFailed).error
    assert (error.file, error.line) == ("/srv/m.lua", 2)
    assert "2| error('bad')" in error.excerpt


def test_files_and_chunks_come_from_the_broker(host: Process) -> None:
    source = b"""
    local farm = require 'luafarm'
    local text, why = farm.read('text')
    local none, reason = farm.read('none')
    local value = dofile('chunk.lua')
    function main(env, con) con:puts(text, '') con:puts(reason) con:puts(value) end
    """
    broker = host.broker()
    broker.say(load(A, source))
    answer(broker, Blob(NeedKind.FILE, b"text", b"/srv/text", b"1", b"\0text\xff"))
    answer(broker, Blob(NeedKind.FILE, b"none", b"", b"", b""), "no file")
    answer(broker, Blob(NeedKind.CHUNK, b"chunk.lua", b"/srv/c.lua", b"2", b"return 5"))
    kinds = [dependency.kind for dependency in broker.expect(Loaded).dependencies]
    assert kinds == [NeedKind.FILE, NeedKind.FILE, NeedKind.CHUNK]
    assert host.front().done(run(1, A))[3] == (
        b"\0text\xfffile 'none' not found:\n\tno file5"
    )


def test_without_a_broker_a_script_is_told_so(tmp_path: Path) -> None:
    with hosting(tmp_path) as host:
        broker, front = host.broker(), host.front()
        broker.load(A, LAZY)
        broker.close()
        row = front.done(run(1, A))
        assert row[1] == Outcome.ERROR
        message = codec.decode_error(row[5]).message
        assert "the broker cannot be reached" in message
        # that was no answer, so a new broker is asked
        broker = host.broker()
        front.runs(run(2, A))
        answer(broker, FOUND)
        assert broker.expect(Loaded).dependencies == (used(FOUND),)
        assert front.expect(Dones).rows[0][3] == b"module"


def test_a_new_broker_is_asked_what_the_old_one_did_not_answer(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, LAZY)
    front.runs(run(1, A))
    broker.expect(Need)
    answer(host.broker(), FOUND)
    assert front.expect(Dones).rows[0][3] == b"module"


def test_answers_to_what_was_not_asked_are_ignored(host: Process) -> None:
    broker, front = host.broker(), host.front()
    broker.load(A, LAZY)
    broker.say(Source(1, FOUND, ""))
    front.runs(run(1, A))
    need = broker.expect(Need)
    broker.say(Source(need.ticket + 1, ABSENT, "stray"))
    broker.say(Source(need.ticket, FOUND, ""))
    broker.say(Source(need.ticket, ABSENT, "late"))
    assert front.expect(Dones).rows[0][3] == b"module"


def test_a_script_cannot_ask_for_names_without_end(host: Process) -> None:
    source = b"""
    local farm = require 'luafarm'
    function main(env, con)
      for n = 1, 1e9 do
        local _, why = farm.read('file ' .. n)
        if not why:find('\\tno file$') then con:puts(n) con:puts(why) return end
      end
    end
    """
    broker, front = host.broker(), host.front()
    broker.load(A, source)
    front.runs(run(1, A))
    asked = 0
    while isinstance(message := broker.next(), Need):
        asked += 1
        blob = Blob(message.kind, message.name, b"", b"", b"")
        broker.say(Source(message.ticket, blob, "no file"))
    assert asked == 2000
    assert isinstance(message, Loaded)
    assert len(message.dependencies) == 2000
    assert front.expect(Dones).rows[0][3] == (
        b"2001file 'file 2001' not found:\n\tmore than 2000 files asked for"
    )


def feed(front: Peer, body: bytes, stream: int = 0) -> int:
    """Answer `Want`s until the whole body went; return how many there were."""
    wants = at = 0
    while at < len(body):
        want = front.expect(Want)
        assert (want.stream, want.offset) == (stream, at)
        assert want.max_bytes <= PIECE
        chunk = body[at : at + want.max_bytes]
        front.say(Body(want.request, stream, at, chunk))
        at += len(chunk)
        wants += 1
    return wants


def test_an_inline_body_is_read_without_asking(host: Process) -> None:
    host.broker().load(A, b"function main(e, con) con:puts(con:gets()) end")
    front = host.front()
    assert front.done(run(1, A, body=b"\0body"))[3] == b"\0body"


def test_a_large_body_is_pulled_and_a_large_reply_comes_in_parts(
    host: Process,
) -> None:
    source = b"""
    function main(e, con)
      con:header('X-Length', tostring(e.LENGTH))
      con:puts(con:gets())
    end
    """
    host.broker().load(A, source)
    body = bytes(range(256)) * 4096 + b"end"
    front = host.front()
    front.runs(run(1, A, body=None, body_bytes=len(body)))
    assert feed(front, body) == 5
    head = b""
    chunks: list[bytes] = []
    while isinstance(message := front.next(), Part):
        assert len(message.chunk) <= PIECE
        assert bool(message.head) == (not chunks)
        head += message.head
        chunks.append(message.chunk)
    assert isinstance(message, Dones)
    assert message.rows[0][:4] == (1, Outcome.OK, b"%d" % len(body), b"")
    assert b"".join(chunks) == body
    assert b"X-Length: " in head


def test_a_body_is_read_in_pieces_as_the_script_asks(host: Process) -> None:
    source = b"""
    function main(e, con)
      con:puts(#con:read(10))
      con:puts(con:read(3))
      con:puts(con:read() .. '.' .. tostring(con:read()))
    end
    """
    host.broker().load(A, source)
    front = host.front()
    front.runs(run(1, A, body=None, body_bytes=17))
    for offset, most, chunk in (
        (0, 10, b"0123456789"),
        (10, 3, b"abc"),
        (13, PIECE, b"rest"),
    ):
        want = front.expect(Want)
        assert (want.offset, want.max_bytes) == (offset, most)
        front.say(Body(want.request, 0, offset + 1, b"stray"))
        front.say(Body(want.request, 0, offset, chunk))
    assert front.expect(Dones).rows[0][3] == b"10abcrest.nil"


def test_a_filter_reads_its_data(host: Process) -> None:
    source = b"""
    local farm = require 'luafarm'
    function main(e, con)
      con:puts(con:gets())
      for piece in farm.data do con:puts(piece:upper()) end
    end
    """
    host.broker().load(A, source)
    front = host.front()
    front.runs(run(1, A, body=b"stdin:", data_bytes=7))
    feed(front, b"filter?", stream=1)
    assert front.expect(Dones).rows[0][3] == b"stdin:FILTER?"


def test_a_body_that_never_comes_ends_with_the_client(host: Process) -> None:
    host.broker().load(A, b"function main(e, con) con:puts(con:gets()) end")
    front = host.front()
    front.runs(run(1, A, body=None, body_bytes=100))
    front.expect(Want)
    front.say(Cancel(RequestId(1)))
    assert front.expect(Dones).rows[0][1] == Outcome.CANCELLED
    front.runs(run(2, A, body=None, body_bytes=2))
    feed(front, b"ok")
    assert front.expect(Dones).rows[0][3] == b"ok"


def test_a_finished_reply_comes_before_its_script_ends(host: Process) -> None:
    source = b"""
    local luafarm = require "luafarm"
    function main(env, con)
      con:puts("answer") con:finish()
      luafarm.sleep(0.01) con:log("work done") con:puts("lost")
    end
    """
    host.broker().load(A, source)
    front = host.front()
    front.runs(run(1, A))
    whole = front.expect(Finished)
    assert (whole.request, whole.body, whole.log) == (1, b"answer", b"")
    front.say(Cancel(RequestId(1)))
    [row] = front.expect(Dones).rows
    assert row[1:5] == (Outcome.OK, b"6", b"", b"iwork done\0")


def test_a_detached_script_goes_on_when_its_client_leaves(host: Process) -> None:
    source = b"""
    local luafarm = require "luafarm"
    function main(env, con)
      if env.D then con:detach() end
      con:puts("begun") con:flush()
      luafarm.sleep(0.2) con:log("done")
    end
    """
    host.broker().load(A, source)
    front = host.front()
    for request, blob, outcome, log in (
        (1, b"", Outcome.CANCELLED, b""),
        (2, pair(b"D", b"1"), Outcome.OK, b"idone\0"),
    ):
        front.runs(run(request, A, params=blob))
        front.expect(Part)
        front.say(Cancel(RequestId(request)))
        [row] = front.expect(Dones).rows
        assert (row[1], row[4]) == (outcome, log)


def test_a_reply_streams_as_the_script_flushes(host: Process) -> None:
    source = b"""
    function main(e, con)
      con:header('X-One', '1')
      con:puts('one') con:flush()
      con:puts('two') con:flush()
      con:puts('three')
    end
    """
    host.broker().load(A, source)
    front = host.front()
    front.runs(run(1, A))
    first = front.expect(Part)
    assert first.head.endswith(b"X-One: 1")
    assert first.chunk == b"one"
    second = front.expect(Part)
    assert (second.head, second.chunk) == (b"", b"two")
    assert front.expect(Part).chunk == b"three"
    assert front.expect(Dones).rows[0][:4] == (1, Outcome.OK, b"11", b"")


def test_a_flush_of_nothing_says_nothing(host: Process) -> None:
    source = b"""
    function main(e, con)
      con:flush()
      for _ = 1, 100 do con:puts('') con:flush() end
      con:puts('end')
    end
    """
    host.broker().load(A, source)
    front = host.front()
    front.runs(run(1, A))
    assert front.expect(Part).head
    assert front.expect(Part).chunk == b"end"
    assert front.expect(Dones).rows[0][2] == b"3"


def test_what_was_not_logged_is_told_once_however_often_a_script_flushes(
    host: Process,
) -> None:
    source = b"""
    function main(e, con)
      for i = 1, 100 do con:log(i) con:puts('.') con:flush() end
    end
    """
    limits = structs.replace(LIMITS, log_lines=10, log_bytes=100)
    host.broker().load(A, source, limits=limits)
    front = host.front()
    front.runs(run(1, A))
    log = b""
    while isinstance(message := front.next(), Part):
        log += message.log
    assert isinstance(message, Dones)
    log += message.rows[0][4]
    lines = [loglines.line(text)[1] for text in log.split(b"\0")[:-1]]
    assert lines[:-1] == [str(number) for number in range(1, 11)]
    assert lines[-1] == "90 more log lines (limits: 10 lines, 100 bytes)"
    assert len(log) <= loglines.longest(limits.log_bytes, limits.log_lines)


def test_a_reply_over_its_budget_is_none_also_where_a_script_cannot_flush(
    host: Process,
) -> None:
    source = b"""
    function main(e, con)
      (' '):rep(e.LENGTH):gsub('.', function() con:puts((' '):rep(1000)) end)
    end
    """
    limits = structs.replace(LIMITS, reply_bytes=400_000)
    host.broker().load(A, source, limits=limits)
    front = host.front()
    row = front.done(run(1, A, params=pair(b"LENGTH", b"401")))
    assert row[1:4] == (Outcome.BUDGET, b"", b"")
    error = codec.decode_error(row[5])
    assert (error.budget, error.message) == ("reply", "reply of more than 400000 bytes")


def test_a_reply_of_all_its_budget_is_sent(host: Process) -> None:
    source = b"function main(e, con) con:puts((' '):rep(400000)) end"
    host.broker().load(A, source, limits=structs.replace(LIMITS, reply_bytes=400_000))
    front = host.front()
    front.runs(run(1, A))
    size = 0
    while isinstance(message := front.next(), Part):
        size += len(message.chunk)
    assert isinstance(message, Dones)
    assert message.rows[0][:3] == (1, Outcome.OK, b"400000")
    assert size == 400_000


def test_other_requests_wait_while_a_script_sleeps_but_messages_are_heard(
    host: Process,
) -> None:
    source = b"function main(e, con) con:flush() require'luafarm'.sleep(0.1) end"
    broker, front, other = host.broker(), host.front(), host.front()
    broker.load(A, source)
    broker.load(b"/srv/b.lua", b"function main(e, con) con:puts('b') end")
    front.runs(run(1, A))
    front.expect(Part)
    other.runs(run(2, b"/srv/b.lua"))
    broker.say(TakeInventory())
    assert len(broker.expect(Inventory).states) == 2
    task = host.scoreboard.read().task
    assert task is not None
    assert (task.request, task.script) == (1, A)
    assert front.expect(Dones).rows[0][1] == Outcome.OK
    assert other.expect(Dones).rows[0][3] == b"b"


def test_a_shutdown_hook_may_ask_before_its_state_is_gone(host: Process) -> None:
    source = b"""
    function main() end
    function shutdown() require 'm' error('too late to matter') end
    """
    broker = host.broker()
    broker.load(A, source, epoch=1)
    broker.say(load(A, LAZY, epoch=2))
    assert broker.expect(Loaded).epoch == 2
    broker.say(Drop(Script(A), Epoch(1)))
    answer(broker, FOUND)
    gone = broker.expect(Gone)
    assert (gone.epoch, gone.reason) == (1, "dropped")
