"""What a front knows of paths: an entry each, few of them for longer than needed."""

from fcgi.placement import Entry, prefixes
from luafarm.messages import Verdict


class Catalogue:
    """Entries by path. Those without host and queue are forgotten, the oldest first."""

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self.entries: dict[bytes, Entry] = {}
        #: all and only entries without host and queue, oldest first
        self._resting: dict[bytes, None] = {}

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
            self._resting.pop(entry.script, None)
            return
        self._resting[entry.script] = None
        while len(self._resting) > self._remembered:
            self.forget(next(iter(self._resting)))

    def forget(self, path: bytes) -> None:
        """Forget what is known of a path."""
        self.entries.pop(path, None)
        self._resting.pop(path, None)

    def check(self) -> None:
        """Raise AssertionError if the wrong entries may be forgotten."""
        for path, entry in self.entries.items():
            assert path == entry.script
            rests = not entry.hosts and not entry.queue
            assert (path in self._resting) == rests, path
