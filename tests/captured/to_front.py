"""What a captured VM host says to a front."""

import itertools
import os

import msgpack

from luafarm.ends import Budget, Death
from luafarm.names import HostId, Machine, RequestId, Script
from luafarm.wire import codec, loglines
from luafarm.wire.messages import (
    PROTOCOL,
    Body,
    Finished,
    Hello,
    HostLost,
    Part,
    Role,
    Runs,
    ScriptError,
    Snapshot,
    Want,
)
from tests.captured.captive import HEAD, Captive, Run, command, done, framed
from tests.captured.crime import Fate, table

CRIMES, crime = table("front")

_MORE = 1
_MIB = 1 << 20
_CONTEXT = b"\0\0" + b"context"


def _part(run: Run, head: bytes = b"", chunk: bytes = b"", log: bytes = b"") -> bytes:
    return codec.encode(Part(RequestId(run.id), head, chunk, log))


def _finished(run: Run) -> bytes:
    return codec.encode(Finished(RequestId(run.id), HEAD, b"body", b""))


def _want(run: Run, stream: int = 0, offset: int = 0, most: int = 65536) -> bytes:
    return codec.encode(Want(RequestId(run.id), stream, offset, most))


# ---- below messages ------------------------------------------------------------------


@crime()
def front_garbage_frame(captive: Captive, run: Run) -> None:
    """A frame that is no msgpack."""
    captive.say(run.front, b"\xc1\xff\x00")


@crime()
def front_garbage_bytes(captive: Captive, run: Run) -> None:
    """Bytes that are no ZMTP."""
    captive.flood(run.front, b"\xff" * 4096)


@crime()
def front_empty_frames(captive: Captive, run: Run) -> None:
    """Frames without a byte, as many as fit."""
    captive.flood(run.front, framed(b"") * 1000)


@crime()
def front_announced_terabyte(captive: Captive, run: Run) -> None:
    """The head of a frame of a terabyte."""
    captive.put(run.front, b"\x02" + (1 << 40).to_bytes(8, "big"))


@crime()
def front_frame_of_80_mib(captive: Captive, run: Run) -> None:
    """A frame of 80 MiB, all of it."""
    captive.put(run.front, b"\x02" + (80 * _MIB).to_bytes(8, "big"))
    captive.flood(run.front, bytes(65536))


@crime(Fate.LATE)
def front_truncated_frame(captive: Captive, run: Run) -> None:
    """Half a frame, then the end of the connection."""
    captive.put(run.front, framed(bytes(100))[:50])
    captive.hang_up(run.front)


@crime()
def front_endless_more(captive: Captive, run: Run) -> None:
    """A message of parts without end."""
    captive.flood(run.front, framed(bytes(1000), _MORE) * 50)


@crime()
def front_pings_unread(captive: Captive, run: Run) -> None:
    """PINGs without end; the PONGs are not read."""
    captive.flood(run.front, command(b"PING", _CONTEXT) * 1000)


@crime()
def front_pings_read(captive: Captive, run: Run) -> None:
    """PINGs without end; the PONGs are read."""
    captive.talk_on(run.front, command(b"PING", _CONTEXT) * 1000)


@crime()
def front_unknown_commands(captive: Captive, run: Run) -> None:
    """Commands that ZMTP does not know, without end."""
    captive.flood(run.front, command(b"WHATEVER", bytes(100)) * 500)


@crime()
def front_handshake_again(captive: Captive, run: Run) -> None:
    """The greeting once more in the middle of the connection."""
    captive.put(run.front, run.front.session.opening())


@crime()
def front_error_command(captive: Captive, run: Run) -> None:
    """ERROR, as if the handshake had failed."""
    captive.put(run.front, command(b"ERROR", b"\x03why"))


@crime(Fate.LATE)
def front_hang_up(captive: Captive, run: Run) -> None:
    """The connection is closed, none is taken again, and the host lives on."""
    captive.hang_up(run.front)


# ---- answers -------------------------------------------------------------------------


@crime()
def front_done_for_a_stranger(captive: Captive, run: Run) -> None:
    """The reply to a request that it does not have."""
    captive.say(run.front, done(run.id ^ 1))


@crime()
def front_done_twice(captive: Captive, run: Run) -> None:
    """Two replies to one request."""
    captive.say(run.front, done(run.id))
    captive.say(run.front, done(run.id))


@crime()
def front_dones_of_100000_rows(captive: Captive, run: Run) -> None:
    """A frame with a hundred thousand replies."""
    row = [run.id ^ 1, 0, b"", b"", b"", b"", 1]
    captive.say(run.front, msgpack.packb([codec.DONES, [row] * 100_000]))


@crime()
def front_wrong_outcome(captive: Captive, run: Run) -> None:
    """An outcome that there is not."""
    row = [run.id, 9, HEAD, b"x", b"", b"", 1]
    captive.say(run.front, msgpack.packb([codec.DONES, [row]]))


@crime()
def front_nested_without_end(captive: Captive, run: Run) -> None:
    """Arrays in arrays, five thousand deep."""
    captive.say(run.front, b"\x91" * 5000 + b"\x90")


@crime(Fate.FREE)
def front_absurd_time(captive: Captive, run: Run) -> None:
    """A reply that took longer than the world exists."""
    captive.say(run.front, done(run.id, service_us=(1 << 64) - 1))


@crime(Fate.FREE)
def front_part_before_head(captive: Captive, run: Run) -> None:
    """A piece of a body before any header."""
    captive.say(run.front, _part(run, chunk=b"body"))
    captive.say(run.front, done(run.id, b"", head=b"4"))


@crime()
def front_part_after_done(captive: Captive, run: Run) -> None:
    """A piece of a body after its end."""
    captive.say(run.front, done(run.id))
    captive.say(run.front, _part(run, HEAD, b"more"))


@crime()
def front_part_after_the_reply(captive: Captive, run: Run) -> None:
    """A piece of a reply that is whole, of a run that goes on."""
    captive.say(run.front, _finished(run))
    captive.say(run.front, _part(run, b"", b"more"))


@crime()
def front_reply_finished_twice(captive: Captive, run: Run) -> None:
    """A reply that is whole, again and again."""
    captive.say(run.front, _finished(run))
    captive.flood(run.front, framed(_finished(run)) * 100)


@crime()
def front_parts_beyond_the_budget(captive: Captive, run: Run) -> None:
    """A reply that never ends, in pieces of 60 kB."""
    captive.say(run.front, _part(run, HEAD, b"x"))
    captive.flood(run.front, framed(_part(run, b"", bytes(60_000))))


@crime()
def front_empty_parts(captive: Captive, run: Run) -> None:
    """Pieces without a byte, as many as fit."""
    captive.say(run.front, _part(run, HEAD))
    captive.flood(run.front, framed(_part(run)) * 100)


@crime()
def front_part_for_a_stranger(captive: Captive, run: Run) -> None:
    """A piece of the reply to a request of others."""
    part = Part(RequestId(run.id ^ 1), HEAD, b"forged", b"")
    captive.say(run.front, codec.encode(part))
    captive.say(run.front, done(run.id))


@crime()
def front_parts_for_strangers(captive: Captive, run: Run) -> None:
    """Pieces of replies to requests of others, without end."""
    numbers = itertools.count(1)
    captive.flood(
        run.front,
        (
            framed(codec.encode(Part(RequestId(next(numbers)), HEAD, b"forged", b"")))
            for _ in itertools.repeat(None)
        ),
    )


@crime(Fate.FREE)
def front_split_header(captive: Captive, run: Run) -> None:
    """A header that holds a second reply."""
    head = HEAD + b"\r\nX: a\r\n\r\nHTTP/1.1 200 OK"
    captive.say(run.front, done(run.id, head=head))


@crime(Fate.FREE)
def front_nul_in_header(captive: Captive, run: Run) -> None:
    """A header with a NUL."""
    captive.say(run.front, done(run.id, head=HEAD + b"\r\nX: a\0b"))


@crime(Fate.FREE)
def front_huge_header(captive: Captive, run: Run) -> None:
    """A header of a megabyte."""
    captive.say(run.front, done(run.id, head=HEAD + b"\r\nX: " + b"a" * _MIB))


@crime(Fate.FREE)
def front_content_length_lies(captive: Captive, run: Run) -> None:
    """A Content-Length of more than there is."""
    captive.say(run.front, done(run.id, head=HEAD + b"\r\nContent-Length: 1000"))


@crime(Fate.FREE)
def front_count_lies(captive: Captive, run: Run) -> None:
    """The end of a reply that counts bytes which were never sent."""
    captive.say(run.front, _part(run, HEAD, b"abc"))
    captive.say(run.front, done(run.id, b"", head=b"4711"))


@crime()
def front_log_flood(captive: Captive, run: Run) -> None:
    """Lines for the log, without end."""
    lines = loglines.encode("w", "w" * 100) * 500
    captive.say(run.front, _part(run, HEAD))
    captive.flood(run.front, framed(_part(run, log=lines)))


@crime(Fate.FREE)
def front_log_of_garbage(captive: Captive, run: Run) -> None:
    """A log that is no lines."""
    captive.say(run.front, done(run.id, log=os.urandom(4096) + b"\n\x1b[2J\r\0"))


@crime(Fate.FREE)
def front_huge_error(captive: Captive, run: Run) -> None:
    """An error of two megabytes."""
    text = "\0" * (_MIB // 2)
    error = ScriptError(text, text, text, text, 1, "", Budget.NONE)
    captive.say(run.front, done(run.id, outcome=1, error=codec.encode_error(error)))


@crime()
def front_error_of_garbage(captive: Captive, run: Run) -> None:
    """An error that cannot be read."""
    captive.say(run.front, done(run.id, outcome=1, error=b"junk"))


# ---- questions -----------------------------------------------------------------------


@crime(body_bytes=_MIB)
def front_wants_unread(captive: Captive, run: Run) -> None:
    """The body again and again, and never read."""
    captive.flood(run.front, framed(_want(run)) * 100)


@crime(body_bytes=_MIB)
def front_wants_read(captive: Captive, run: Run) -> None:
    """The body again and again, many times before it came once."""
    captive.talk_on(run.front, framed(_want(run)) * 100)


@crime()
def front_wants_of_strangers(captive: Captive, run: Run) -> None:
    """The bodies of requests of others, without end."""
    want = Want(RequestId(run.id ^ 1), 0, 0, 65536)
    captive.talk_on(run.front, framed(codec.encode(want)) * 100)


@crime()
def front_want_before_its_start(captive: Captive, run: Run) -> None:
    """A body before its start."""
    captive.say(run.front, _want(run, offset=-1))


@crime()
def front_want_of_less_than_nothing(captive: Captive, run: Run) -> None:
    """Less than nothing of a body."""
    captive.say(run.front, _want(run, most=-1))


@crime()
def front_want_of_a_third_stream(captive: Captive, run: Run) -> None:
    """A body that there is not."""
    captive.say(run.front, _want(run, stream=2))


@crime()
def front_want_beyond_its_end(captive: Captive, run: Run) -> None:
    """A body far behind its end."""
    captive.say(run.front, _want(run, offset=1 << 62, most=1 << 62))
    captive.await_message(Body)
    captive.say(run.front, done(run.id))


# ---- in the name of others -----------------------------------------------------------


@crime()
def front_hears_of_a_death(captive: Captive, run: Run) -> None:
    """HostLost, as if it were a supervisor."""
    lost = HostLost(HostId("x"), RequestId(0), (), Script(b""), Death.WALL, "forged")
    captive.tell(run.front, lost)


@crime()
def front_hears_of_a_place(captive: Captive, run: Run) -> None:
    """Snapshot, as if it were the broker: there is nothing any more."""
    captive.tell(run.front, Snapshot((), ()))


@crime()
def front_is_greeted(captive: Captive, run: Run) -> None:
    """Hello, as if it had connected."""
    hello = Hello(PROTOCOL, Role.SUPERVISOR, "supervisor", Machine("m"))
    captive.tell(run.front, hello)


@crime()
def front_gets_requests(captive: Captive, run: Run) -> None:
    """Runs, as if the front were a VM host."""
    row = (1, b"/x", 0, 0, b"", b"", 0, 0)
    captive.tell(run.front, Runs((row,)))


# ---- silence -------------------------------------------------------------------------


@crime(Fate.LATE)
def front_never_ending_frame(captive: Captive, run: Run) -> None:
    """A frame of a MiB that begins and does not end."""
    captive.put(run.front, b"\x02" + _MIB.to_bytes(8, "big") + bytes(1000))


@crime(Fate.FREE)
def front_answers_late(captive: Captive, run: Run) -> None:
    """An answer when nobody waits for it any more."""
    captive.wait(8.0)
    captive.say(run.front, done(run.id))


@crime(Fate.FREE)
def front_byte_by_byte(captive: Captive, run: Run) -> None:
    """An answer a byte at a time."""
    for byte in framed(done(run.id, bytes(200))):
        captive.put(run.front, bytes((byte,)))
        captive.wait(0.005)
