"""What a front knows of paths: an entry for each that was asked for.

Entries of scripts that have hosts or requests stay; of the others only the newest are
kept.
"""

# Compiled.

from typing import Final

from fcgi.dispatch.tables import Entry, prefixes
from luafarm.aliases import Alias, named
from luafarm.wire.messages import Verdict

MOST_BYTES: Final = 4 << 20
"""Of paths that nothing holds on to: visitors choose them, and each may have 4 KB."""


class Catalogue:
    """Entries by path. Those without host and queue are forgotten, the oldest first."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self.entries: dict[bytes, Entry] = {}
        #: roots by the directories that they really are
        self.aliases: dict[bytes, bytes] = {}
        #: all and only entries without host and queue, oldest first
        self._resting: dict[bytes, None] = {}
        self._resting_bytes: int = 0

    def realign(self, aliases: tuple[Alias, ...]) -> None:
        """Take these other names of roots, instead of those before.

        What was said of paths by names that meant something else is forgotten.
        """
        before = self.aliases
        self.aliases = dict(aliases)
        for path in list(self._resting):
            if named(before, path) != path or named(self.aliases, path) != path:
                self.forget(path)

    def named(self, path: bytes) -> bytes:
        """Return the path by the name of its root, if it has another one."""
        if path in self.entries:
            return path
        return named(self.aliases, path)

    def find(self, path: bytes) -> Entry:
        """Return the entry of the script that a path means, or a new one.

        That is the path's own, or of the script in front of PATH_INFO.
        """
        entry = self.entries.get(path)
        if entry is not None:
            return entry
        for prefix in prefixes(path):
            entry = self.entries.get(prefix)
            if entry is not None and entry.known and entry.verdict != Verdict.MISSING:
                return entry
        return self.of(path)

    def of(self, path: bytes) -> Entry:
        """Return the entry of exactly this path, made when there is none."""
        entry = self.entries.get(path)
        if entry is None:
            entry = self.entries[path] = Entry(path)
        return entry

    def again(self, entry: Entry) -> Entry:
        """Return the entry of this one's path: itself, if it was forgotten."""
        return self.entries.setdefault(entry.script, entry)

    def rest(self, entry: Entry) -> None:
        """Note whether anything holds on to an entry; call when that may be new."""
        if entry.hosts or entry.queue:
            self._hold(entry.script)
            return
        if entry.script not in self._resting:
            self._resting[entry.script] = None
            self._resting_bytes += len(entry.script)
        while len(self._resting) > self._remembered or self._resting_bytes > MOST_BYTES:
            self.forget(next(iter(self._resting)))

    def forget(self, path: bytes) -> None:
        """Forget what is known of a path."""
        self.entries.pop(path, None)
        self._hold(path)

    def _hold(self, path: bytes) -> None:
        if path in self._resting:
            del self._resting[path]
            self._resting_bytes -= len(path)

    def check(self) -> None:
        """Raise AssertionError if the wrong entries may be forgotten."""
        for path, entry in self.entries.items():
            assert path == entry.script
            rests = not entry.hosts and not entry.queue
            assert (path in self._resting) == rests, path
        assert self._resting_bytes == sum(map(len, self._resting)) <= MOST_BYTES
