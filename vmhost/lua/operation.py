"""The operations by which a Lua state speaks to its host: flat tuples, number first.

A `Step` is what a state hands out: it has ended (DONE, ERROR) or asks for something
and waits for the answer (`LuaState.resume`). Only bytes, int, float and bool cross in
either direction.

    DONE     head, body, log
    ERROR    class, message, traceback, file, line, log, must close, budget

What a state may ask for is given to it as `Operations`: the two below, which the state
answers itself, and those of `vmhost.host.services`, which say who answers them.

`head`: CGI header lines joined by CRLF without the blank line; empty when it went with
an earlier FLUSH. `log`: lines as in `luafarm.wire.loglines`. `budget`: empty, or the
budget that was exceeded: "cpu", "wall", "memory", "reply".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

Flat = bytes | int | float | bool
"""What crosses between Python and Lua."""

Step = tuple[Any, ...]
"""What a state hands out: a number, then what belongs to it; every element a `Flat`."""

Shape = tuple[type, ...]
"""The types of a tuple that crosses."""

DONE: Final = 0
ERROR: Final = 1

ENDS: Final[dict[int, Shape]] = {
    DONE: (int, bytes, bytes, bytes),
    ERROR: (int, bytes, bytes, bytes, bytes, int, bytes, bool, bytes),
}
"""Types of the steps that end a script."""


class BrokenStateError(Exception):
    """A Lua state broke its protocol: this process is not to be trusted any more."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that a script can ask for."""

    name: str  # under which the prelude knows it: OP.NAME
    number: int  # of this operation alone
    question: Shape  # what comes with the number; anything else is a broken state
    answer: Shape
    compute: Callable[[Any], Flat] | None = None
    """The answer to a question of one value that takes no time and cannot fail for what
    the prelude hands out: then the state answers at once, and nobody else is asked."""

    needs_trust: bool = False
    """Only states of trusted pools may ask; another one that does is broken."""


BUILTIN: Final = Operation(
    "BUILTIN", 8, (bytes,), (bytes,)
)  # a module's name: its code
NOW: Final = Operation("NOW", 9, (int,), (float,))  # 0: seconds since 1970


class Operations:
    """All that the states of a process may ask for."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        """operations: those that the state does not answer itself."""
        known = (BUILTIN, NOW, *operations)
        #: what the prelude calls each number, those of the ends included
        self.numbers: Final = {
            "DONE": DONE,
            "ERROR": ERROR,
            **{o.name: o.number for o in known},
        }
        numbers = set(self.numbers.values())
        assert len(numbers) == len(known) + len(ENDS), "two with one number or name"
        asked = [o for o in known if o.compute is None and o not in (BUILTIN, NOW)]
        #: by number: types of a step, and of the answer that it waits for
        self.steps: Final[dict[int, Shape]] = {
            **ENDS,
            **{o.number: (int, *o.question) for o in asked},
        }
        self.answers: Final[dict[int, Shape]] = {o.number: o.answer for o in asked}
        self._computed: Final = [o for o in known if o.compute is not None]

    def computed(self, *, trusted: bool) -> dict[int, Callable[[Any], Flat]]:
        """Return what a state answers itself, by the operation's number."""
        return {
            o.number: o.compute
            for o in self._computed
            if o.compute is not None and (trusted or not o.needs_trust)
        }
