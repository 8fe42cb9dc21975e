"""Call everything that a sandboxed script can reach with every odd argument.

    python -m tests.vmhost.lua.arguments DIALECT [FUNCTION...]

Looks for C code that takes a number for another one (2^31, NaN, 2^63...) and then
loops, crashes, or fills memory. Prints the calls that took longer than SLOW_S of CPU
time, and those under which the process died. With all values it takes minutes a
dialect; the tests run a few of them (`survey`).
"""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from luafarm.dialects import Dialect
from tests.vmhost.states import Script, params
from vmhost.lua.limits import StateLimits

SLOW_S: Final = 0.05
CPU_S: Final = 60.0  # a hang; many calls on a slow machine are none
DEEP: Final = (
    "string.sub", "string.byte", "string.find", "string.rep", "string.format",
    "string.unpack", "table.", "utf8.", "bit32.", "os.", "math.random", "select",
    "unpack",
)  # fmt: skip
"""What works with ranges: these are tried with three arguments, the others with two."""
SLOW: Final = {"luafarm.crypto.hash_password": 1, "table.concat": 2}
"""With how many arguments what takes its time is tried. An object may say that it has
2^53 elements: then `table.concat` ends when the memory does."""

SOURCE: Final = Path(__file__).with_name("arguments.lua").read_text("utf-8")
LIMITS: Final = StateLimits(
    cpu_s=1e6, load_cpu_s=1e6, memory_bytes=64 << 20, log_lines=3
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one function did with a first argument: how often, and what was odd."""

    function: str
    calls: int
    odd: tuple[str, ...]


class Prober:
    """Asks one state after the other to try calls."""

    def __init__(self, dialect: Dialect, *, few: bool) -> None:
        self._dialect = dialect
        self._few = str(int(few))
        self._script = Script(SOURCE, dialect, limits=LIMITS)

    def functions(self) -> list[str]:
        """Return the names of all that can be called."""
        return self._ask().split()

    def values(self) -> int:
        """Return how many values there are."""
        return int(self._ask(NAME="type"))

    def try_one(self, function: str, first: int, depth: int) -> Finding:
        """Call a function with this many arguments, the first of which is given."""
        told = self._ask(
            NAME=function, FIRST=str(first), COUNT=str(depth), LIMIT=str(SLOW_S)
        )
        calls, *odd = told.split("\n")
        return Finding(function, int(calls), tuple(line for line in odd if line))

    def _ask(self, **values: str) -> str:
        if self._script.state.must_close:
            self._script = Script(SOURCE, self._dialect, limits=LIMITS)
        reply = self._script.run(params(FEW=self._few, **values))
        if reply.error is not None:
            return f"0\n{reply.error.kind}: {reply.error.message}"
        return reply.text.rpartition("@@")[2]


def survey(dialect: Dialect) -> int:
    """Try a few values on everything, in a process of its own; return its status.

    A function that takes CPU_S is killed: the status is -SIGPROF.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            prober = Prober(dialect, few=True)
            values = prober.values()
            for function in prober.functions():
                signal.setitimer(signal.ITIMER_PROF, CPU_S)  # anew
                deep = 3 if function.startswith(DEEP) else 2
                depth = SLOW.get(function, deep)
                calls = sum(values**more for more in range(depth))
                for first in range(1, values + 1):
                    found = prober.try_one(function, first, depth)
                    assert found.calls == calls, found
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def explore(dialect: Dialect, wanted: list[str]) -> None:
    """Try all values and print what is odd."""
    prober = Prober(dialect, few=False)
    values = prober.values()
    for function in wanted or prober.functions():
        calls = 0
        for first in range(1, values + 1):
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                signal.setitimer(signal.ITIMER_PROF, CPU_S)
                found = prober.try_one(function, first, 3)
                os.write(writer, repr([found.calls, *found.odd]).encode())
                os._exit(0)
            os.close(writer)
            with os.fdopen(reader) as file:
                told = file.read()
            _, status = os.waitpid(pid, 0)
            if status:
                print(f"{function}, value {first}: died with {status}")  # noqa: T201
            else:
                number, *odd = eval(told)
                calls += number
                for line in odd:
                    print(f"  {line}")  # noqa: T201
        print(f"{function}: {calls} calls", flush=True)  # noqa: T201


if __name__ == "__main__":
    explore(Dialect(sys.argv[1]), sys.argv[2:])
