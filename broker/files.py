"""What is known of files: the content of each one that some script used.

The table holds all and only paths that a script's row has in `watched`. The first user
of a path makes the loop watch it, the last one lets it go.

It counts what all that takes for each pool: a path once, however many scripts use it.
"""

# Compiled.

from collections.abc import Iterable
from itertools import islice

from broker.actions import Action, Unwatch, Watch
from broker.costs import path_bytes
from broker.few import Few
from broker.resolve import PoolPaths, candidates
from broker.tables import DependencyName, Generation, Key, Record
from luafarm.names import Pool, Script
from luafarm.wire.messages import Dependency


class _File:
    __slots__ = ("digest", "error", "users")

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.error = ""
        self.users: Few[Script] = Few()


class Files:
    """Contents by path and the scripts that depend on them."""

    def __init__(self, pools: dict[Pool, PoolPaths]) -> None:
        self._pools = pools
        self._files: dict[Key, _File] = {}
        self._bytes = dict.fromkeys(pools, 0)

    def __len__(self) -> int:
        """Return the number of paths in use."""
        return len(self._files)

    def bytes_of(self, pool: Pool) -> int:
        """Return what the scripts of a pool take by what they asked for."""
        return self._bytes[pool]

    def charge(self, record: Record) -> None:
        """Count what the questions of a script's generations take now."""
        now = sum([generation.question_bytes for generation in record.generations()])
        self._bytes[record.pool] += now - record.question_bytes
        record.question_bytes = now

    def use(self, key: Key, user: Script, digest: bytes, out: list[Action]) -> None:
        """Count a user of this path, who saw this content."""
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = _File(digest)
            self._bytes[key[0]] += path_bytes(key[1])
            out.append(Watch(key[0], key[1], digest))
        file.users.add(user)

    def release(self, key: Key, user: Script, out: list[Action]) -> None:
        """Count a user less."""
        file = self._files[key]
        file.users.discard(user)
        if not file.users:
            del self._files[key]
            self._bytes[key[0]] -= path_bytes(key[1])
            out.append(Unwatch(key[0], key[1]))

    def set(self, key: Key, digest: bytes, error: str) -> tuple[Script, ...]:
        """Note what is there now; return the users of this path."""
        file = self._files.get(key)
        if file is None:
            return ()
        file.digest = digest
        file.error = error
        return file.users.members()

    def users(self, key: Key) -> tuple[Script, ...]:
        """Return the users of this path."""
        file = self._files.get(key)
        return file.users.members() if file is not None else ()

    def are_few(self, keys: Iterable[Key]) -> bool:
        """Say whether there is a file at one of these used paths at most."""
        there = (key for key in keys if self._files[key].digest)
        return len(tuple(islice(there, 2))) < 2

    def is_news(self, key: Key, digest: bytes, error: str) -> bool:
        """Say whether a used path is known to have another content or error."""
        file = self._files.get(key)
        return file is not None and (file.digest != digest or file.error != error)

    def digest(self, key: Key) -> bytes:
        """Return the content at a used path, empty when there is no file."""
        file = self._files.get(key)
        return file.digest if file is not None else b""

    def error(self, key: Key) -> str:
        """Return why the file at a used path cannot be read, empty when it can."""
        file = self._files.get(key)
        return file.error if file is not None else ""

    def tried(self, record: Record, dependency: Dependency) -> dict[Key, bytes]:
        """Return the paths that answered a question, with the contents seen there."""
        paths = self._pools[record.pool]
        seen: dict[Key, bytes] = {}
        for path in candidates(paths, record.script, dependency.kind, dependency.name):
            if path == dependency.path:
                seen[record.pool, path] = dependency.digest
                return seen
            seen[record.pool, path] = b""
        # a path that the broker never gave out: only what is its own answer counts
        return seen if not dependency.path else {}

    def resolved(
        self, record: Record, name: DependencyName, old: Dependency
    ) -> Dependency:
        """Return what a question that was answered before is answered with now."""
        paths = self._pools[record.pool]
        for path in candidates(paths, record.script, name[0], name[1]):
            digest = self.digest((record.pool, path))
            if digest:
                return Dependency(old.kind, old.name, path, digest)
        return Dependency(old.kind, old.name, b"", b"")

    def is_stale(self, record: Record, generation: Generation) -> bool:
        """Say whether any file of the generation has changed, or may have."""
        if generation.is_doubted:
            return True
        if self.digest((record.pool, record.script)) != generation.digest:
            return True
        return any(
            self.resolved(record, name, old) != old
            for name, old in generation.dependencies.items()
        )

    def check(self, records: dict[Script, Record]) -> None:
        """Raise AssertionError unless users and the rows' `watched` agree."""
        watched = {s: record.watched for s, record in records.items()}
        sizes = dict.fromkeys(self._pools, 0)
        for pool, path in self._files:
            sizes[pool] += path_bytes(path)
        for record in records.values():
            sizes[record.pool] += record.question_bytes
        assert sizes == self._bytes
        for key, file in self._files.items():
            assert file.users, key
            for user in file.users.members():
                assert key in watched.get(user, {}), (key, user)
        for user, keys in watched.items():
            for key in keys:
                assert user in self._files[key].users, (key, user)
