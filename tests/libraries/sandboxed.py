"""Jobs in states as VM hosts have them, with files as the broker finds them.

`python -m tests.libraries.sandboxed DIALECT` does jobs in a process of its own, so that
nothing that a library does can end the tests: a line of JSON for each and each answer.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.library.sources import Sources
from broker.resolve import PoolPaths
from luafarm.dialects import UNSOUND, Dialect
from luafarm.names import Pool
from luafarm.wire.messages import NeedKind
from tests.libraries.outcome import Outcome, read
from tests.libraries.site import Job, Site
from tests.loglines import decode
from vmhost.host.services import files, flush
from vmhost.host.services.table import OPERATIONS
from vmhost.lua.limits import StateLimits
from vmhost.lua.operation import DONE, ERROR, Step
from vmhost.lua.state import LuaState

END: Final = (
    "function main(_, con) run(function(text) con:puts(text) con:flush() end) end"
)
LIMITS: Final = StateLimits(
    memory_bytes=512 << 20,
    cpu_s=100.0,
    load_cpu_s=100.0,
    reply_bytes=64 << 20,
)
JOB_S: Final = 120
MAX_SOURCE: Final = 8 << 20
_POOL: Final = Pool("libraries")

_KINDS: Final = {
    files.REQUIRE.operation.number: NeedKind.MODULE,
    files.CHUNK.operation.number: NeedKind.CHUNK,
    files.FILE.operation.number: NeedKind.FILE,
}


def perform(
    root: Path, paths: list[Path], work: str, text: str, dialect: Dialect
) -> Outcome:
    """Do a job in a state of its own, in this process."""
    trusted = dialect in UNSOUND
    if trusted:  # their scripts find real files from their own directory
        os.chdir(root / work)
    pool = PoolPaths(_POOL, (os.fsencode(root),), tuple(map(os.fsencode, paths)))
    sources = Sources({_POOL: pool}, MAX_SOURCE)
    script = os.fsencode(root / work / "luafarm-suite.lua")
    state = LuaState(dialect, LIMITS, OPERATIONS, trusted=trusted)
    output, last_words, log = b"", "", b""
    step = state.load(text.encode(), script, b"s1", 1)
    is_loaded = False
    while True:
        if step[0] == DONE and not is_loaded:
            is_loaded = True
            step = state.run(b"", b"")
        elif step[0] == DONE:
            output, log = output + step[2], log + step[3]
            break
        elif step[0] == ERROR:
            log += step[6]
            last_words = step[2].decode("utf-8", "replace")
            break
        elif step[0] == flush.FLUSH.operation.number:
            output, log = output + step[2], log + step[3]
            step = state.resume(True)
        else:
            step = _answer(state, sources, script, step)
    state.close()
    outcome = read(output, last_words)
    if not outcome.is_whole:  # what it wrote may say why
        outcome.last_words += "".join(f" [{text}]" for _, text in decode(log)[-3:])
    return outcome


def _answer(state: LuaState, sources: Sources, script: bytes, step: Step) -> Step:
    """Give a state what it waits for; files as the broker would."""
    kind = _KINDS.get(step[0])
    if kind is None:
        return state.resume(True)
    answer = sources.answer(_POOL, script, kind, step[1])
    assert answer is not None, "a file that cannot be read just now"
    blob, why = answer
    is_found = bool(blob.path)
    text = blob.source if is_found else why.encode()
    if kind is NeedKind.FILE:
        return state.resume(is_found, text)
    return state.resume(is_found, text, blob.path)


@dataclass(slots=True)
class Worker:
    """A process that does jobs in states of one dialect, and is replaced if it ends."""

    dialect: Dialect
    process: "subprocess.Popen[str] | None" = None

    def run(self, site: Site, job: Job) -> Outcome:
        """Do a job; one that takes the process with it has said what it said."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.libraries.sandboxed", self.dialect],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.process.stdin
        assert self.process.stdout
        order = {
            "root": str(site.root),
            "paths": [str(path) for path in site.paths],
            "work": job.work,
            "text": job.text(END),
        }
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.close()
            return Outcome(last_words=f"the process ended with status {status}")
        said = json.loads(line)
        return Outcome(said["tests"], said["is_whole"], said["last_words"])

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            assert self.process.stdin
            assert self.process.stdout
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def working(dialect: Dialect) -> Iterator[Worker]:
    """Give a worker that is ended when it is not needed any more."""
    worker = Worker(dialect)
    try:
        yield worker
    finally:
        worker.close()


def main() -> None:
    """Do one job after the other, until there are no more."""
    dialect = Dialect(sys.argv[1])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a trusted script prints is no answer
    for line in sys.stdin:
        order = json.loads(line)
        paths = [Path(path) for path in order["paths"]]
        signal.alarm(JOB_S)  # ends the process: one call of a C function may never end
        outcome = perform(
            Path(order["root"]), paths, order["work"], order["text"], dialect
        )
        signal.alarm(0)
        answer = {
            "tests": outcome.tests,
            "is_whole": outcome.is_whole,
            "last_words": outcome.last_words,
        }
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
