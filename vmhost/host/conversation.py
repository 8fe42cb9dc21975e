"""The conversation of a host with the script that runs: what it asks for is answered.

A script that asks for something (a module, a piece of the body, time to sleep) waits
here, while frames go on being heard. Whatever it waits for ends with its wall-clock
budget or with the client.
"""

# Impure, compiled.

import time
from typing import Final

from luafarm.wire.messages import Body, NeedKind, RunRow, Source
from vmhost.host.error import CANCELLED, WALL
from vmhost.host.machine import HostMachine
from vmhost.host.mail import Mail
from vmhost.lua.operation import Flat, Op, Step
from vmhost.lua.state import LuaState
from vmhost.scoreboard import HostSlot

_ASK_AGAIN_NS: Final = 1_000_000_000  # the broker may be a new one
_KINDS: Final = {
    Op.REQUIRE: NeedKind.MODULE,
    Op.CHUNK: NeedKind.CHUNK,
    Op.FILE: NeedKind.FILE,
}
_ERROR: Final = int(Op.ERROR)
_NOT_FOUND: Final = b"no file under the script roots"


class BrokenStateError(Exception):
    """A Lua state broke its protocol: this process is not to be trusted any more."""


class Conversation:
    """Answers the operations of one script at a time."""

    def __init__(self, machine: HostMachine, mail: Mail, slot: HostSlot) -> None:
        self._machine = machine
        self._dialogue = machine.dialogue
        self._mail = mail
        self._slot = slot

    def hold(
        self, state: LuaState, step: Step, until_ns: int, row: RunRow | None
    ) -> tuple[Step, str]:
        """Answer operations until the script ends or is stopped; say why it was.

        row: the request; None while a script is loaded or closed.
        """
        dialogue = self._dialogue
        offsets = [0, 0]  # of the two streams, as far as they were read
        while step[0] > _ERROR:
            answer = self._answer(step, until_ns, row, offsets)
            dialogue.give_up()
            if dialogue.is_cancelled:
                return state.cancel(), CANCELLED
            if time.monotonic_ns() >= until_ns:
                return state.cancel(), WALL
            step = state.resume(*answer)
        return step, ""

    def _answer(
        self, step: Step, until_ns: int, row: RunRow | None, offsets: list[int]
    ) -> tuple[Flat, ...]:
        """Return the answer to an operation; any, when the script is to be stopped."""
        dialogue = self._dialogue
        op, argument = step[0], step[1]
        if op in _KINDS:
            dialogue.need(_KINDS[Op(op)], argument)
            self._wait(until_ns)
            source = dialogue.answer
            if not isinstance(source, Source):
                return (False, b"") if op == Op.FILE else (False, b"", b"")
            path = source.blob.path
            text = source.blob.source if path else source.error.encode() or _NOT_FOUND
            return (bool(path), text) if op == Op.FILE else (bool(path), text, path)
        if op == Op.SLEEP:
            seconds_ns = int(argument * 1e9)
            self._wait(min(time.monotonic_ns() + seconds_ns, until_ns))
            return (True,)
        if row is None:
            raise BrokenStateError(f"operation {op} without a request")
        if op == Op.FLUSH:
            _, head, chunk, log = step
            self._machine.flush()
            dialogue.part(head, chunk, log)
            self._mail.hear_all()
            return (True,)
        assert op == Op.READ
        return (self._read(row, argument, step[2], until_ns, offsets),)

    def _read(
        self, row: RunRow, stream: int, most: int, until_ns: int, offsets: list[int]
    ) -> bytes:
        """Pull a piece of a stream from the front; empty at its end."""
        if not 0 <= stream < len(offsets) or most < 1:
            raise BrokenStateError(f"READ of {most} bytes of stream {stream}")
        size = row[7] if stream else row[6]
        if offsets[stream] >= size:
            return b""
        dialogue = self._dialogue
        dialogue.want(stream, offsets[stream], most)
        self._wait(until_ns)
        body = dialogue.answer
        if not isinstance(body, Body):
            return b""
        offsets[stream] += len(body.chunk)
        return body.chunk

    def _wait(self, until_ns: int) -> None:
        """Hear frames until there is an answer, nobody wants it, or the time is up."""
        dialogue, mail = self._dialogue, self._mail
        now_ns = asked_ns = time.monotonic_ns()
        while (
            dialogue.answer is None and not dialogue.is_cancelled and now_ns < until_ns
        ):
            self._machine.flush()
            mail.send()
            mail.hear(min((until_ns - now_ns) // 1_000_000 + 1, 1000))
            now_ns = time.monotonic_ns()
            if now_ns - asked_ns > _ASK_AGAIN_NS:
                asked_ns = now_ns
                dialogue.ask_again()
                self._slot.beat(now_ns)
