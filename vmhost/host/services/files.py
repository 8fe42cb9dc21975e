"""Modules, chunks and files under the script roots, which the broker reads.

REQUIRE    module name; answer: found, source or why not, chunk name
CHUNK      path; answer: found, source or why not, chunk name
FILE       path; answer: found, bytes or why not

What a state has asked for once it is told again without the broker. All of it counts as
used, also that there is no such file: a change of it makes a new generation.
"""

from typing import Final

from msgspec.structs import replace

from luafarm.wire.messages import Blob, Message, Need, NeedKind, Source
from vmhost.host.held import MAX_DEPENDENCIES
from vmhost.host.peers import Peer
from vmhost.host.services.service import Service
from vmhost.host.task import NEVER_NS, Answer, Task
from vmhost.lua.operation import Operation, Step

_NOT_FOUND: Final = b"no file under the script roots"
_NO_BROKER: Final = "the broker cannot be reached"
_TOO_MANY: Final = f"more than {MAX_DEPENDENCIES} files asked for"


class FileQuestion:
    """A file that the broker was asked for."""

    def __init__(self, need: Need) -> None:
        self.due_ns = NEVER_NS
        self._need = need

    def hear(self, task: Task, peer: Peer, message: Message) -> Answer | None:
        """Take the broker's answer, if it did not come twice or too late."""
        need = self._need
        if not isinstance(message, Source) or message.ticket != need.ticket:
            return None
        source = replace(message, blob=task.sources.share_blob(message.blob))
        task.held.learn(need.kind, need.name, source)
        return _answer(need.kind, source)

    def repeat(self, task: Task) -> Answer | None:
        """Ask the newest broker, which may be another one than was asked before."""
        broker = task.peers.newest_broker()
        if broker is None:
            return _nothing(self._need, _NO_BROKER)
        task.peers.tell(broker, self._need)
        return None

    def resume(self, task: Task) -> None:
        """Ask no front."""


def _ask(task: Task, kind: NeedKind, name: bytes) -> Answer | FileQuestion:
    held = task.held
    known = held.recall(kind, name)
    if known is not None:
        return _answer(kind, known)
    task.asked += 1
    need = Need(task.asked, held.script, held.epoch, kind, name)
    if not held.may_ask():
        return _nothing(need, _TOO_MANY)
    question = FileQuestion(need)
    return question.repeat(task) or question


def _ask_module(task: Task, step: Step, _now_ns: int) -> Answer | FileQuestion:
    return _ask(task, NeedKind.MODULE, step[1])


def _ask_chunk(task: Task, step: Step, _now_ns: int) -> Answer | FileQuestion:
    return _ask(task, NeedKind.CHUNK, step[1])


def _ask_file(task: Task, step: Step, _now_ns: int) -> Answer | FileQuestion:
    return _ask(task, NeedKind.FILE, step[1])


def _nothing(need: Need, error: str) -> Answer:
    blob = Blob(need.kind, need.name, b"", b"", b"")
    return _answer(need.kind, Source(need.ticket, blob, error))


def _answer(kind: NeedKind, source: Source) -> Answer:
    path = source.blob.path
    text = source.blob.source if path else source.error.encode() or _NOT_FOUND
    return (bool(path), text) if kind is NeedKind.FILE else (bool(path), text, path)


_CODE: Final = (bool, bytes, bytes)

REQUIRE: Final = Service(Operation("REQUIRE", 4, (bytes,), _CODE), _ask_module)
CHUNK: Final = Service(Operation("CHUNK", 5, (bytes,), _CODE), _ask_chunk)
FILE: Final = Service(Operation("FILE", 6, (bytes,), (bool, bytes)), _ask_file)
