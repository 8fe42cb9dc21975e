"""Pieces of the request's body, from the front that has it.

READ    stream (0 STDIN, 1 DATA), most bytes; answer: bytes, empty at the stream's end
"""

from typing import Final

from luafarm.names import RequestId
from luafarm.wire.messages import Body, Message, Want
from vmhost.host.peers import Peer
from vmhost.host.services.service import Service
from vmhost.host.task import NEVER_NS, PIECE, Answer, Task
from vmhost.lua.operation import BrokenStateError, Operation, Step

_END: Final[Answer] = (b"",)


class BodyQuestion:
    """A piece that the front was asked for."""

    def __init__(self, want: Want) -> None:
        self.due_ns = NEVER_NS
        self._want = want

    def hear(self, task: Task, peer: Peer, message: Message) -> Answer | None:
        """Take the piece, if it is the one that was asked for, from whom was asked."""
        want = self._want
        if (
            not isinstance(message, Body)
            or peer != task.peer
            or message.request != want.request
            or message.stream != want.stream
            or message.offset != want.offset
            or len(message.chunk) > want.max_bytes
        ):
            return None
        task.needs_front = False
        if not message.chunk:  # there is more, but its client has left
            task.is_cancelled = True
        task.read_bytes()[want.stream] += len(message.chunk)
        return (message.chunk,)

    def repeat(self, task: Task) -> Answer | None:
        """Do not ask again, as a front that lives has heard it; see whether it does.

        One that has ended says nothing of it: that turns out when it is sent something.
        """
        task.probe()
        return None

    def resume(self, task: Task) -> None:
        """Ask again: question or answer may be lost with the connection."""
        task.tell(self._want)


def _ask(task: Task, step: Step, now_ns: int) -> Answer | BodyQuestion:
    _, stream, most = step
    sizes = task.streams()
    if not 0 <= stream < len(sizes) or most < 1:
        raise BrokenStateError(f"READ of {most} bytes of stream {stream}")
    offset = task.read_bytes()[stream]
    if offset >= sizes[stream]:
        return _END
    want = Want(RequestId(task.request), stream, offset, min(most, PIECE))
    task.needs_front = True
    task.tell(want)
    return BodyQuestion(want)


READ: Final = Service(Operation("READ", 3, (int, int), (bytes,)), _ask, needs_run=True)
