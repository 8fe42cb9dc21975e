"""What a captured VM host says to the broker."""

import itertools
from collections.abc import Iterator

from luafarm.ends import Budget, Closing
from luafarm.names import Epoch, HostId, Machine, RequestId, Script
from luafarm.wire import codec, loglines
from luafarm.wire.messages import (
    PROTOCOL,
    Dependency,
    Fenced,
    Gone,
    Hello,
    Inventory,
    Loaded,
    LoadFailed,
    Message,
    Miss,
    Need,
    NeedKind,
    Part,
    Role,
    ScriptError,
    Source,
    StateRow,
    Welcome,
)
from tests.captured.captive import WHILE_S, Captive, Run, command, done, framed
from tests.captured.crime import Fate, table

CRIMES, crime = table("broker")

LEAKED = b"LEAKED"
"""What it answers when it got what it must not have."""

_MORE = 1
_MIB = 1 << 20
_CONTEXT = b"\0\0" + b"context"
_FAR = Epoch(1 << 30)


def _answer(captive: Captive, run: Run) -> None:
    captive.say(run.front, done(run.id))


def _row(path: bytes, number: int = 0) -> StateRow:
    return StateRow(Script(path), Epoch(1), b"%016d" % number, 1, 1, 1, 1, ())


def _flood(captive: Captive, messages: Iterator[Message]) -> None:
    captive.flood(captive.broker, (framed(codec.encode(m)) for m in messages))


def _neighbour(run: Run, number: int) -> Script:
    """Return a path beside the script of this run."""
    return Script(run.script.rpartition(b"/")[0] + b"/%d.lua" % number)


def _theirs(run: Run) -> Script:
    """Return the bystander's script."""
    place = run.script.rpartition(b"/")[0].rpartition(b"/")[0]
    return Script(place + b"/web/counter.lua")


# ---- below messages ------------------------------------------------------------------


@crime()
def broker_garbage_frame(captive: Captive, run: Run) -> None:
    """A frame that is no msgpack."""
    del run
    captive.say(captive.broker, b"\xc1\xff\x00")


@crime()
def broker_garbage_bytes(captive: Captive, run: Run) -> None:
    """Bytes that are no ZMTP."""
    del run
    captive.flood(captive.broker, b"\xff" * 4096)


@crime()
def broker_empty_frames(captive: Captive, run: Run) -> None:
    """Frames without a byte, as many as fit."""
    del run
    captive.flood(captive.broker, framed(b"") * 1000)


@crime()
def broker_announced_terabyte(captive: Captive, run: Run) -> None:
    """The head of a frame of a terabyte."""
    del run
    captive.put(captive.broker, b"\x02" + (1 << 40).to_bytes(8, "big"))


@crime()
def broker_frame_of_80_mib(captive: Captive, run: Run) -> None:
    """A frame of 80 MiB, all of it."""
    del run
    captive.put(captive.broker, b"\x02" + (80 * _MIB).to_bytes(8, "big"))
    captive.flood(captive.broker, bytes(65536))


@crime(Fate.FREE)
def broker_never_ending_frame(captive: Captive, run: Run) -> None:
    """A frame of 3 MiB that begins and does not end."""
    _answer(captive, run)
    captive.put(captive.broker, b"\x02" + (3 * _MIB).to_bytes(8, "big"))
    captive.put(captive.broker, bytes(2 * _MIB))


@crime()
def broker_endless_more(captive: Captive, run: Run) -> None:
    """A message of parts without end."""
    del run
    captive.flood(captive.broker, framed(bytes(1000), _MORE) * 50)


@crime()
def broker_pings_unread(captive: Captive, run: Run) -> None:
    """PINGs without end; the PONGs are not read."""
    del run
    captive.flood(captive.broker, command(b"PING", _CONTEXT) * 1000)


@crime()
def broker_pings_read(captive: Captive, run: Run) -> None:
    """PINGs without end; the PONGs are read."""
    del run
    captive.talk_on(captive.broker, command(b"PING", _CONTEXT) * 1000)


@crime()
def broker_unknown_commands(captive: Captive, run: Run) -> None:
    """Commands that ZMTP does not know, without end."""
    del run
    captive.flood(captive.broker, command(b"WHATEVER", bytes(100)) * 500)


@crime()
def broker_hang_up(captive: Captive, run: Run) -> None:
    """The connection is closed, and the host lives on."""
    _answer(captive, run)
    captive.hang_up(captive.broker)


# ---- inventories ---------------------------------------------------------------------


@crime()
def broker_inventory_unasked(captive: Captive, run: Run) -> None:
    """An inventory that nobody asked for."""
    captive.tell(captive.broker, Inventory((_row(_neighbour(run, 1)),)))


@crime()
def broker_inventories_of_3_mib(captive: Captive, run: Run) -> None:
    """Inventories of 3 MiB, one after the other."""
    rows = tuple(_row(_neighbour(run, n), n) for n in range(40_000))
    captive.flood(captive.broker, framed(codec.encode(Inventory(rows))))


@crime()
def broker_inventory_of_others(captive: Captive, run: Run) -> None:
    """An inventory with the states of another pool."""
    captive.tell(captive.broker, Inventory((_row(_theirs(run)),)))


# ---- states --------------------------------------------------------------------------


@crime()
def broker_states_without_end(captive: Captive, run: Run) -> None:
    """States of its own pool that nobody ordered, without end."""
    numbers = itertools.count()
    _flood(
        captive,
        (Loaded(_neighbour(run, n), _FAR, 1, 1, (), b"") for n in numbers),
    )


@crime()
def broker_state_of_others(captive: Captive, run: Run) -> None:
    """A state of another pool's script."""
    captive.tell(captive.broker, Loaded(_theirs(run), _FAR, 1, 1, (), b""))


@crime()
def broker_state_of_no_path(captive: Captive, run: Run) -> None:
    """A state of what is no path."""
    script = Script(run.script + b"/../../../etc/passwd")
    captive.tell(captive.broker, Loaded(script, _FAR, 1, 1, (), b""))


@crime()
def broker_state_of_the_future(captive: Captive, run: Run) -> None:
    """A state of an epoch that no broker has given."""
    epoch = Epoch(1 << 62)
    captive.tell(captive.broker, Loaded(run.script, epoch, 1, 1, (), b""))


@crime(Fate.FREE)
def broker_state_of_absurd_size(captive: Captive, run: Run) -> None:
    """Its state again, of a size and a worth that cannot be."""
    epoch, most = captive.loaded[run.script], (1 << 63) - 1
    captive.tell(captive.broker, Loaded(run.script, epoch, most, most, (), b""))
    captive.tell(captive.broker, Loaded(run.script, epoch, -most, -most, (), b""))
    _answer(captive, run)


@crime()
def broker_state_of_20000_files(captive: Captive, run: Run) -> None:
    """Its state again, made of twenty thousand files."""
    used = tuple(
        Dependency(NeedKind.MODULE, b"m%d" % n, b"", b"") for n in range(20_000)
    )
    epoch = captive.loaded[run.script]
    captive.tell(captive.broker, Loaded(run.script, epoch, 1, 1, used, b""))


@crime(Fate.FREE)
def broker_state_again_and_again(captive: Captive, run: Run) -> None:
    """Its state again and again, made of a thousand files each time."""
    used = tuple(Dependency(NeedKind.MODULE, b"m%d" % n, b"", b"") for n in range(1000))
    epoch = captive.loaded[run.script]
    frame = framed(codec.encode(Loaded(run.script, epoch, 1, 1, used, b"")))
    captive.flood(captive.broker, frame, WHILE_S)
    _answer(captive, run)


@crime(Fate.FREE)
def broker_failure_unasked(captive: Captive, run: Run) -> None:
    """A load that failed and was never ordered, of another pool's script."""
    error = ScriptError("x", "forged", "", "", 1, "", Budget.NONE)
    captive.tell(captive.broker, LoadFailed(_theirs(run), _FAR, error, (), b""))
    _answer(captive, run)


@crime()
def broker_failures_without_end(captive: Captive, run: Run) -> None:
    """Loads that failed and were never ordered, without end."""
    error = ScriptError("x", "forged", "", "", 1, "", Budget.NONE)
    numbers = itertools.count()
    _flood(
        captive,
        (LoadFailed(_neighbour(run, n), _FAR, error, (), b"") for n in numbers),
    )


@crime()
def broker_huge_failure(captive: Captive, run: Run) -> None:
    """A load that failed with an error of 8 MiB."""
    error = ScriptError("x", "m" * (8 * _MIB), "", "", 1, "", Budget.NONE)
    epoch = captive.loaded[run.script]
    captive.tell(captive.broker, LoadFailed(run.script, epoch, error, (), b""))


@crime(Fate.FREE)
def broker_end_of_others(captive: Captive, run: Run) -> None:
    """The end of a state that another pool has, for its memory, ten times."""
    for _ in range(10):
        log = loglines.encode("e", "forged")
        gone = Gone(_theirs(run), _FAR, Closing.MEMORY, log)
        captive.tell(captive.broker, gone)
    _answer(captive, run)


@crime()
def broker_ends_without_end(captive: Captive, run: Run) -> None:
    """Ends of states that there were not, without end."""
    numbers = itertools.count()
    _flood(captive, (Gone(_neighbour(run, n), _FAR, Closing.CPU) for n in numbers))


@crime()
def broker_huge_end(captive: Captive, run: Run) -> None:
    """The end of a state with a log of 8 MiB."""
    log = loglines.encode("e", "e" * (8 * _MIB))
    captive.tell(captive.broker, Gone(run.script, _FAR, Closing.CPU, log))


@crime()
def broker_fences_without_end(captive: Captive, run: Run) -> None:
    """Confirmations of fences that nobody raised, without end."""
    numbers = itertools.count()
    _flood(captive, (Fenced(_neighbour(run, n), _FAR) for n in numbers))


@crime(Fate.FREE)
def broker_never_fences(captive: Captive, run: Run) -> None:
    """From now on no fence is confirmed."""
    captive.confirms_fences = False
    _answer(captive, run)


# ---- questions -----------------------------------------------------------------------


def _need(captive: Captive, run: Run, kind: NeedKind, name: bytes) -> Need:
    return Need(1, run.script, captive.loaded[run.script], kind, name)


@crime()
def broker_needs_unread(captive: Captive, run: Run) -> None:
    """A file of a megabyte again and again, and never read."""
    need = _need(captive, run, NeedKind.FILE, b"large.txt")
    captive.flood(captive.broker, framed(codec.encode(need)) * 10)


@crime()
def broker_needs_read(captive: Captive, run: Run) -> None:
    """Modules without end, a hundred before one is answered."""
    need = _need(captive, run, NeedKind.MODULE, b"none")
    captive.talk_on(captive.broker, framed(codec.encode(need)) * 100)


@crime(Fate.FREE)
def broker_needs_of_others(captive: Captive, run: Run) -> None:
    """Files of another pool, by every name and in every name."""
    theirs = _theirs(run)
    tries = [
        _need(captive, run, kind, name)
        for kind in NeedKind
        for name in (theirs, b"../web/counter.lua", b"../web/counter", b"web.counter")
    ]
    epoch = captive.loaded[run.script]
    tries += [Need(1, theirs, epoch, kind, b"counter") for kind in NeedKind]
    tries += [Need(1, theirs, epoch, kind, theirs) for kind in NeedKind]
    for need in tries:
        captive.tell(captive.broker, need)
        source = captive.await_message(Source)
        if not isinstance(source, Source) or source.blob.source:
            captive.say(run.front, done(run.id, LEAKED))
            return
    _answer(captive, run)


@crime(Fate.FREE)
def broker_need_of_a_huge_name(captive: Captive, run: Run) -> None:
    """A module with a name of a megabyte."""
    name = b"m" * _MIB
    captive.tell(captive.broker, _need(captive, run, NeedKind.MODULE, name))
    captive.await_message(Source)
    _answer(captive, run)


# ---- in the name of others -----------------------------------------------------------


@crime()
def broker_is_asked(captive: Captive, run: Run) -> None:
    """Miss, as if it were a front."""
    captive.tell(captive.broker, Miss(_theirs(run), (HostId("x"),)))


@crime()
def broker_is_greeted(captive: Captive, run: Run) -> None:
    """Hello, as if it had connected."""
    del run
    hello = Hello(PROTOCOL, Role.SUPERVISOR, "supervisor", Machine("m"))
    captive.tell(captive.broker, hello)


@crime()
def broker_is_welcomed(captive: Captive, run: Run) -> None:
    """Welcome without end."""
    del run
    welcome = Welcome(PROTOCOL, Role.HOST, "x", 0)
    captive.flood(captive.broker, framed(codec.encode(welcome)) * 100)


@crime()
def broker_gets_a_reply(captive: Captive, run: Run) -> None:
    """A piece of a reply, as if the broker were a front."""
    captive.tell(captive.broker, Part(RequestId(run.id), b"", b"x", b""))
