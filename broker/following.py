"""What is watched and kept for each script, by the generations that its row holds."""

# Compiled.

from typing import TYPE_CHECKING

from broker.actions import Keep
from broker.files import Files
from broker.step import Step
from broker.tables import Generation, Key, Record

if TYPE_CHECKING:
    from luafarm.names import Script


class Following:
    """Has the loop watch files, and keep contents that the disk has lost."""

    def __init__(self, files: Files, step: Step) -> None:
        self._files = files
        self._step = step
        #: scripts of which contents are kept
        self._kept: dict[Script, None] = {}

    def rewatch(self, record: Record) -> None:
        """Watch all and only the files of the generations that the row holds."""
        wanted: dict[Key, bytes] = {}
        for generation in record.generations():
            wanted[record.pool, record.script] = generation.digest
            for dependency in generation.dependencies.values():
                wanted.update(self._files.tried(record, dependency))
        self.watch(record, wanted)

    def watch(self, record: Record, wanted: dict[Key, bytes]) -> None:
        """Watch all and only these paths for the script, which saw these contents."""
        self.watch_also(record, wanted)
        for path in list(record.watched):
            if path not in wanted:
                del record.watched[path]
                self._files.release(path, record.script, self._step.out)

    def watch_also(self, record: Record, wanted: dict[Key, bytes]) -> None:
        """Watch these paths as well."""
        for path, digest in wanted.items():
            if path not in record.watched:
                record.watched[path] = None
                self._files.use(path, record.script, digest, self._step.out)
        self._files.charge(record)

    def keep(self, record: Record, generation: Generation | None) -> None:
        """Have the contents of this generation kept, or those of the script let go."""
        if generation is None:
            if record.script in self._kept:
                del self._kept[record.script]
                self._step.out.append(Keep(record.script, ()))
            return
        digests = {d.digest for d in generation.dependencies.values() if d.path}
        self._kept[record.script] = None
        kept = (generation.digest, *sorted(digests))
        self._step.out.append(Keep(record.script, kept))
