"""How much a script may have followed: the files that it asked for, found or not.

What to ask for is up to a script, or even to its visitors, so what that takes in the
broker has a limit for each pool, and a share of it for each script. Beyond it a script
is served as any other, but changes of what is left out are not noticed: it is loaded
anew when somebody says that files have changed.
"""

# Compiled.

from collections.abc import Iterable
from typing import Final

from broker.costs import path_bytes, question_bytes
from broker.files import Files
from broker.resolve import shown
from broker.step import Step
from broker.tables import Generation, Key, Record
from luafarm.process.complaints import Complaints
from luafarm.wire.messages import Dependency

SCRIPT_SHARE: Final = 32
"""A script may take one in this many parts of what its pool may take."""


class Footprint:
    """Decides which files are followed."""

    def __init__(self, files: Files, step: Step, pool_limit: int) -> None:
        self._files = files
        self._step = step
        self._pool_limit = pool_limit
        self._script_limit = pool_limit // SCRIPT_SHARE
        self._complaints = Complaints()

    def depend(
        self, record: Record, generation: Generation, used: Iterable[Dependency]
    ) -> dict[Key, bytes]:
        """Have a generation depend on what was asked for, as far as the limits go.

        Return the paths to watch for it, with the contents seen there. Whether the pool
        may take more is asked once: it may end above its limit by one script's.
        """
        is_full = self._files.bytes_of(record.pool) >= self._pool_limit
        wanted: dict[Key, bytes] = {}
        left_out = 0
        for dependency in used:
            name = (int(dependency.kind), dependency.name)
            if name in generation.dependencies:
                continue
            if is_full:
                left_out += 1
                continue
            tried = self._files.tried(record, dependency)
            if not tried and not dependency.path:
                continue  # no file can ever be the answer
            question = question_bytes(dependency, len(tried))
            paths = sum([path_bytes(path) for _, path in tried])
            taken = generation.question_bytes + generation.path_bytes
            if taken + question + paths > self._script_limit:
                is_full = True
                left_out += 1
                continue
            generation.dependencies[name] = dependency
            generation.question_bytes += question
            generation.path_bytes += paths
            wanted.update(tried)
        if left_out:
            self._leave_out(record, generation, left_out)
        return wanted

    def _leave_out(self, record: Record, generation: Generation, number: int) -> None:
        """Note, and say once, how many files of a generation are not followed."""
        if not generation.unfollowed:
            self._step.count("partly_followed")
            script = shown(record.script)
            taken = generation.question_bytes + generation.path_bytes
            text = (
                f"script={script} asks for too many files: changes of {number} of them "
                "count after `luafarm reload`; what the broker keeps of the others is "
                f"bytes={taken} limit={self._script_limit}, for pool={record.pool} "
                f"bytes={self._files.bytes_of(record.pool)} limit={self._pool_limit} "
                "([broker] file_memory)"
            )
            line = self._complaints.line(script, text, self._step.now)
            if line:
                self._step.log("warning", line, record.pool)
        generation.unfollowed = max(generation.unfollowed, number)

    def check(self, record: Record) -> None:
        """Raise AssertionError unless each generation has its share, counted well."""
        for generation in record.generations():
            questions = paths = 0
            for dependency in generation.dependencies.values():
                tried = self._files.tried(record, dependency)
                questions += question_bytes(dependency, len(tried))
                paths += sum([path_bytes(path) for _, path in tried])
            assert questions == generation.question_bytes, record.script
            assert paths == generation.path_bytes, record.script
            assert questions + paths <= self._script_limit, record.script
