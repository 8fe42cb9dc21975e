"""What an honest VM host says to a front, and how much: the rest is accused.

A VM host that was taken over may say anything at any rate. What it asks for and what
it answers is counted against what its scripts may do, before anything of it is passed
on: each piece of a body is asked for once, in order and after the one before it was
taken; a reply is no longer than the `reply` budget and its log no longer than the
log's; what carries nothing is not said again and again. Every check is a comparison of
numbers.

Budgets are those that the broker has told for the script (`Entry`), the largest ever: a
state that was loaded before its settings changed goes on with the old ones.
"""

# Compiled.

from typing import Final

from fcgi.dispatch.tables import Pending
from luafarm.allowance import Allowance
from luafarm.config.settings import PoolSettings, Settings
from luafarm.errors import ProtocolError
from luafarm.names import RequestId
from luafarm.wire import loglines
from luafarm.wire.messages import PROTOCOL, Recalled, Role, Want, Welcome

MAX_PIECE: Final = 256 * 1024
"""Bytes of a body in one message: a VM host asks for no more at a time."""

FRAME_BYTES: Final = 2 << 20
"""Bytes of the largest frame besides logs: twice a piece of a reply, its head, an error
with its traceback, and as much again."""

MAX_EMPTY: Final = 16
"""Asks for a piece of one body that may get nothing: its client is gone, and the VM
host is told so before the answer."""

IDLE_AT_ONCE: Final = 100
"""Messages that ask and answer nothing, and commands of ZMTP: a VM host sends none but
for a test of who is still there."""

IDLE_PER_S: Final = 10.0


class Conduct:
    """What one VM host has said that is not about a run."""

    def __init__(self) -> None:
        self._is_greeted = False  # and has not answered yet
        self._is_asked = False  # what became of its runs, and has not answered yet
        self._idle = Allowance(IDLE_AT_ONCE, IDLE_PER_S)

    def greet(self) -> None:
        """Take note that it was told Hello."""
        self._is_greeted = True

    def welcome(self, message: Welcome) -> None:
        """Take its Welcome. Raise ProtocolError when it is none for us."""
        if message.protocol != PROTOCOL or message.role != Role.HOST:
            raise ProtocolError(
                f"Welcome as {message.role.name} of protocol {message.protocol}; "
                f"it is HOST and {PROTOCOL}"
            )
        if not self._is_greeted:
            raise ProtocolError("a Welcome without a Hello")
        self._is_greeted = False

    def ask(self) -> None:
        """Take note that it is asked what became of its runs."""
        self._is_asked = True

    def recalled(self, message: Recalled, sent: int) -> dict[RequestId, int]:
        """Return its runs that go on, of those that it was sent. Raise ProtocolError.

        They are named with the bytes of their replies that it sent in parts, or -1.
        """
        if not self._is_asked:
            raise ProtocolError("what became of its runs, which nobody asked for")
        self._is_asked = False
        if message.received > sent:
            raise ProtocolError(f"{message.received} runs came; it was sent {sent}")
        return {RequestId(request): size for request, size in message.going}

    def idle(self, now: float) -> None:
        """Take a message without content. Raise ProtocolError at one too many."""
        if self._idle.take(now) > 0.0:
            raise ProtocolError(too_many("messages without content"))


def too_many(what: str) -> str:
    """Return what a VM host is accused of that says too many of these."""
    return f"more than {IDLE_AT_ONCE} {what} at once, then {IDLE_PER_S:g} a second"


def check_part(pending: Pending, head: bytes, chunk: bytes, log: bytes) -> None:
    """Count a part of a reply. Raise ProtocolError when it is one too many."""
    if not (head or chunk or log):
        raise ProtocolError("a part of a reply with nothing in it")
    if pending.finished:
        raise ProtocolError("a part of a reply that is finished")
    if head and pending.begun:
        raise ProtocolError("a second head of a reply")
    pending.part_bytes += len(chunk)
    entry = pending.entry
    assert entry is not None
    if pending.part_bytes > entry.reply_bytes:
        raise ProtocolError(_too_long("a reply", pending.part_bytes, entry.reply_bytes))
    _count_log(pending, log)
    pending.begun = True


def check_finished(pending: Pending, head: bytes, body: bytes, log: bytes) -> None:
    """Count the end of a reply whose run goes on. Raise ProtocolError.

    What comes of the run from now on is its log, and how it ends.
    """
    if pending.finished:
        raise ProtocolError("a reply that is finished twice")
    if not (head or body):
        raise ProtocolError("the end of a reply that has no head")
    check_end(pending, body, log)
    pending.part_bytes += len(body)


def check_end(pending: Pending, body: bytes, log: bytes) -> None:
    """Count the end of a reply. Raise ProtocolError when it is too long."""
    entry = pending.entry
    assert entry is not None
    size = pending.part_bytes + len(body)
    if size > entry.reply_bytes:
        raise ProtocolError(_too_long("a reply", size, entry.reply_bytes))
    if log:
        _count_log(pending, log)


def check_want(pending: Pending, want: Want, taken: int) -> None:
    """Raise ProtocolError when no script can be waiting for this piece of its body.

    taken: bytes that its host has taken of what it was sent.
    """
    stream, offset, most = want.stream, want.offset, want.max_bytes
    if stream not in {0, 1} or not 0 < most <= MAX_PIECE:
        raise ProtocolError(
            f"an ask for {most} bytes of body {stream}; there are 0 and 1, "
            f"and 1 to {MAX_PIECE} bytes at a time"
        )
    size = pending.data_bytes if stream else pending.body_bytes
    due = pending.data_at if stream else pending.body_at
    if pending.may_repeat and due - MAX_PIECE <= offset < due:
        # the last one, or the question for it, was lost with the connection
        pending.may_repeat = False
        if stream:
            pending.data_at = due = offset
        else:
            pending.body_at = due = offset
    if offset != due or offset >= size:
        raise ProtocolError(
            f"an ask for body {stream} at {offset}; it goes on at {due} of {size}"
        )
    if pending.body_mark > taken:
        raise ProtocolError("an ask for a further piece before the last was taken")


def count_piece(pending: Pending, stream: int, size: int, mark: int) -> None:
    """Take note of a piece of this size. Raise ProtocolError: too many got nothing.

    mark: where it ends in all that its host is sent.
    """
    pending.body_mark = mark
    if stream:
        pending.data_at += size
    else:
        pending.body_at += size
    if not size:
        pending.empty_pieces += 1
        if pending.empty_pieces > MAX_EMPTY:
            raise ProtocolError(f"more than {MAX_EMPTY} asks for a body that is gone")


def begin_anew(pending: Pending) -> None:
    """Forget what a VM host has asked and answered: the run goes to another one."""
    pending.part_bytes = pending.log_bytes = 0
    pending.body_at = pending.data_at = pending.body_mark = pending.empty_pieces = 0
    pending.may_repeat = False


def longest_frame(settings: Settings, pool: str) -> int:
    """Return the bytes of the largest frame that a VM host of this pool may send."""
    ours = settings.pool.get(pool)
    pools = list(settings.pool.values()) if ours is None else [ours]
    log_bytes = [p.log_bytes for p in pools or [PoolSettings()]]
    log_lines = [p.log_lines for p in pools or [PoolSettings()]]
    log_bytes += [s.log_bytes or 0 for s in settings.script]
    log_lines += [s.log_lines or 0 for s in settings.script]
    return FRAME_BYTES + loglines.longest(max(log_bytes), max(log_lines))


def longest_s(settings: Settings, pool: str) -> float:
    """Return for how long a host of this pool may be too busy to hear anybody."""
    ours = settings.pool.get(pool)
    pools = list(settings.pool.values()) if ours is None else [ours]
    walls = [s.wall or 0.0 for s in settings.script]
    walls += [max(p.wall, p.load_wall) for p in pools or [PoolSettings()]]
    return max(walls)


def _count_log(pending: Pending, log: bytes) -> None:
    pending.log_bytes += len(log)
    entry = pending.entry
    assert entry is not None
    if pending.log_bytes > entry.log_bytes:
        raise ProtocolError(_too_long("a log", pending.log_bytes, entry.log_bytes))


def _too_long(what: str, size: int, most: int) -> str:
    return f"{what} of {size} bytes; its script may make {most}"
