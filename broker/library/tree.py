"""The script tree as the loop sees it: sources, the watcher, and patience.

A file that may be half of a change is waited for: what a state was loaded from, and a
script that was written a moment ago, are looked at when they have rested.
"""

# Impure.

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from broker import actions as act
from broker.events import Barrier, FileNow, Found
from broker.library.resting import LONGEST_S, Rest, Resting
from broker.library.roots import Roots
from broker.library.sources import Sources, trace
from broker.library.watch import Changes, Watcher
from broker.policies import pool_paths
from broker.resolve import is_below, is_in, pool_of, shown
from broker.tables import Key
from luafarm.aliases import Alias
from luafarm.config.settings import Settings
from luafarm.names import Pool, Script
from luafarm.process import trusted
from luafarm.wire.messages import Blob, Dependency, Load, Need, NeedKind, Source

_MAX_BLOBS: Final = 16 << 20
"""Bytes of modules that travel with a Load; what is over is asked for with Need."""

_GLANCE: Final = 0.25
"""Part of the settle time after which events of a deploy that gathers are read: each by
itself would cost the broker a pass, and whoever deploys a pause."""

_AGAIN_S: Final = 0.1
"""Between two looks at a file that is waited for, because somebody is writing it."""

MOST_UNFINISHED: Final = 100
"""Questions that wait for such files. There are more when visitors make up PATH_INFO;
those are answered that the script is not to be had now."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a script asked for."""

    source: Source
    is_known: bool = True  # no: there may be one that cannot be read just now


class Library:
    """Owns the files: nobody else in the broker reads or watches any."""

    def __init__(self, settings: Settings, is_single: Callable[[Key], bool]) -> None:
        """Watch nothing yet; is_single: says whether a file is all of its scripts."""
        self._settle_s = settings.broker.settle
        pools = self._pools = pool_paths(settings)
        self._places = [d for p in pools.values() for d in (*p.roots, *p.libraries)]
        circles = {Pool(n): c for n, c in trusted.circles(settings).items()}
        self._sources = Sources(pools, settings.broker.max_source, circles=circles)
        self._watcher = Watcher(
            self._sources, self._settle_s, settings.broker.poll, is_single=is_single
        )
        self._roots = Roots(pools.values())
        self._is_realigned = self._roots.refresh()
        for root in self._roots.paths:
            self._watcher.watch_barrier(root, trace(root), 0.0)
        self._resting = Resting()
        self._read_at = 0.0

    def fileno(self) -> int:
        """Return the descriptor to poll for reading, -1 when there is none."""
        return self._watcher.fileno()

    @property
    def listens(self) -> bool:
        """Say whether to poll the descriptor: not while a deploy is gathering."""
        return not self._watcher.hints.is_gathering()

    @property
    def trouble(self) -> str:
        """Why there is no inotify; empty when there is."""
        return self._watcher.trouble

    def close(self) -> None:
        """Watch nothing any more."""
        self._watcher.close()

    def status(self) -> dict[str, object]:
        """Return figures for the farm's status."""
        return self._watcher.status()

    # -- time ------------------------------------------------------------------------

    def due_at(self) -> float:
        """Return when `settled` wants to be called."""
        due = [self._watcher.polls_at(), self._resting.due_at()]
        if not self.listens:
            due.append(self._read_at + self._settle_s * _GLANCE)
        settles_at = self._watcher.hints.settles_at()
        return min(due if settles_at is None else [settles_at, *due])

    def settled(self, now: float) -> Changes:
        """Return what has changed and rested; poll what is due."""
        changed = Changes()
        if not self.listens and now >= self._read_at + self._settle_s * _GLANCE:
            self.read_events()
        if self._has_settled(now):
            # this process may have been kept waiting: is it quiet until this moment?
            self.read_events()
            if self._has_settled(now):
                changed = self._watcher.changes(now)
        self._realign(changed)
        if now >= self._watcher.polls_at():
            self._watcher.poll(now)
        return changed

    def _realign(self, changed: Changes) -> None:
        if not self._roots.paths.isdisjoint(changed.passed):
            self._is_realigned |= self._roots.refresh()

    def take_aliases(self) -> tuple[Alias, ...] | None:
        """Return which directories roots really are, if that is new."""
        is_new, self._is_realigned = self._is_realigned, False
        return self._roots.aliases if is_new else None

    def _has_settled(self, now: float) -> bool:
        settles_at = self._watcher.hints.settles_at()
        return settles_at is not None and now >= settles_at

    def release(self, now: float) -> None:
        """Do what waited for files that have rested since."""
        self._resting.release(now)

    def read_events(self) -> None:
        """Take what inotify has to say."""
        self._read_at = time.monotonic()
        self._watcher.read_events(self._read_at)

    def later(self, due: float, size: int, again: Callable[[float], None]) -> None:
        """Do this at that time; size: bytes that it holds until then."""
        self._resting.add(due, due, size, again)

    @property
    def is_full(self) -> bool:
        """Whether too much waits for files already: nothing more should be added."""
        return self._resting.is_full

    def rest(
        self,
        pool: Pool,
        paths: list[bytes],
        since: float,
        size: int,
        again: Callable[[float], None],
        *,
        are_whole: bool = True,
    ) -> Rest:
        """Say whether to wait for these files; if so, `again` is called when they rest.

        since: when the waiting began; it has an end. size: bytes that are held
        meanwhile. are_whole: nobody is known to write them.
        """
        now = time.monotonic()
        latest = since + LONGEST_S
        if now >= latest:
            return Rest.NOW
        if are_whole and not any(self._is_unsettled(pool, path) for path in paths):
            return Rest.NOW
        is_much = not are_whole and len(self._resting) >= MOST_UNFINISHED
        if is_much or self._resting.is_full:
            return Rest.FULL
        settles_at = self._watcher.hints.settles_at()
        due = settles_at if settles_at is not None else now + self._settle_s
        if not are_whole:
            due = max(due, now + _AGAIN_S)
        self._resting.add(min(due, latest), since, size, again)
        return Rest.LATER

    def _is_unsettled(self, pool: Pool, path: bytes) -> bool:
        if self._watcher.is_followed((pool, path)):
            return (pool, path) in self._watcher.hints
        return self._sources.is_young(path, self._settle_s)

    # -- what the broker orders ------------------------------------------------------

    def watch(self, action: act.Watch) -> None:
        """Report changes of a path."""
        key = (action.pool, action.path)
        self._watcher.follow(key, action.digest, time.monotonic())

    def unwatch(self, action: act.Unwatch) -> None:
        """Report them no more."""
        self._watcher.unfollow((action.pool, action.path))

    def watch_barrier(self, action: act.WatchBarrier) -> None:
        """Report when there is something else at a path."""
        self._watcher.watch_barrier(action.path, action.seen, time.monotonic())

    def unwatch_barrier(self, action: act.UnwatchBarrier) -> None:
        """Report it no more."""
        if action.path not in self._roots.paths:
            self._watcher.unwatch_barrier(action.path)

    def keep(self, action: act.Keep) -> None:
        """Keep the contents of a last good generation."""
        self._sources.keep(action.script, action.digests)

    def order(self, action: act.Load) -> Load | None:
        """Return an order with its sources, or None when the script has changed."""
        source = self._sources.content(action.pool, action.script, action.digest)
        if source is None:
            self.doubt(action.pool, action.script)
            return None
        return Load(
            action.script,
            action.epoch,
            action.digest,
            source,
            self._blobs(action.pool, action.script, action.dependencies),
            action.limits,
        )

    def doubt(self, pool: Pool, path: bytes) -> None:
        """Look at this path soon."""
        self._watcher.doubt((pool, path), time.monotonic())

    def _blobs(
        self, pool: Pool, script: Script, dependencies: tuple[Dependency, ...]
    ) -> tuple[Blob, ...]:
        blobs: list[Blob] = []
        left = _MAX_BLOBS
        for d in dependencies:
            source = b""
            if d.path:
                content = self._sources.content(pool, d.path, d.digest)
                if content is None or len(content) > left:
                    continue  # the host asks for it
                source = content
                left -= len(content)
            else:
                source = self._sources.absence(pool, script, d.kind, d.name).encode()
            blobs.append(Blob(d.kind, d.name, d.path, d.digest, source))
        return tuple(blobs)

    # -- questions -------------------------------------------------------------------

    def find(self, path: bytes) -> tuple[Found | None, Barrier | None]:
        """Return the script that a requested path means, and where the way to it ends.

        A file that somebody is writing, or that cannot be read just now, counts as
        it was before, if that is known.
        """
        found, barrier = self._sources.find(self._named(path))
        if found is None or found.error:
            return found, barrier
        key = (found.pool, found.script)
        if found.is_whole and not self._watcher.is_unfinished(key):
            return found, barrier
        known = self._watcher.known(key)
        digest = known or found.digest
        return Found(found.pool, found.script, digest, "", bool(known)), barrier

    def _named(self, path: bytes) -> bytes:
        """Return a path by the name of its root."""
        if any(is_below(path, root) for root in self._roots.paths):
            return path
        # a link may have been flipped a moment ago
        self._is_realigned |= self._roots.refresh()
        return self._roots.named(path)

    def is_outside(self, path: bytes) -> bool:
        """Say whether a path that means nothing is in no root, by any name of it."""
        named = self._roots.named(path)
        return not any(is_below(named, root) for root in self._roots.paths)

    @property
    def roots(self) -> frozenset[bytes]:
        """The roots of all pools."""
        return self._roots.paths

    def answer(
        self, pool: Pool, need: Need, since: float, again: Callable[[float], None]
    ) -> Looked | None:
        """Return what a script asked for; None: not yet, and `again` is called.

        Code that somebody is writing is waited for, or given as it was before. A
        file with data may be written to forever, and is given as it is.
        """
        found = self._sources.answer(pool, need.script, need.kind, need.name)
        if found is None:
            if self._is_held(pool, need.script, since, again):
                return None
            return Looked(_absent(need, "the broker cannot read it just now"), False)
        blob, error = found
        if not blob.path or need.kind == NeedKind.FILE:
            return Looked(Source(need.ticket, blob, error))
        if not self._watcher.is_unfinished((pool, blob.path)):
            return Looked(Source(need.ticket, blob, error))
        known = self._watcher.known((pool, blob.path))
        before = self._sources.content(pool, blob.path, known) if known else None
        if before is not None:
            blob = Blob(need.kind, need.name, blob.path, known, before)
            return Looked(Source(need.ticket, blob, ""))
        if self._is_held(pool, blob.path, since, again):
            return None
        why = "somebody has it open for writing"
        return Looked(_absent(need, f"cannot read '{shown(blob.path)}': {why}"))

    def _is_held(
        self, pool: Pool, path: bytes, since: float, again: Callable[[float], None]
    ) -> bool:
        """Say whether a question waits for a file that is not to be had now."""
        rest = self.rest(pool, [path], since, 0, again, are_whole=False)
        return rest is Rest.LATER

    def is_of(self, pool: Pool, path: bytes) -> bool:
        """Say whether a path is one of this pool's scripts and of no other pool's."""
        where = pool_of(self._pools.values(), path)
        return where is not None and where[0].pool == pool

    def unknown(self, scope: bytes) -> str:
        """Return why nothing that is served can be at a path; empty when it may be."""
        if not scope or self._watcher.meant(scope) or self._watcher.is_barrier(scope):
            return ""
        if not any(is_in(scope, p) or is_in(p, scope) for p in self._places):
            return f"{shown(scope)} is in no script root and no library"
        if not os.path.lexists(scope):
            return f"{shown(scope)}: no such file or directory"
        return ""

    def meant(self, scope: bytes) -> frozenset[bytes]:
        """Return the paths in use that lead to this one or below it."""
        return frozenset(key[1] for key in self._watcher.meant(scope))

    def check(self, scope: bytes) -> Changes:
        """Return what has changed, now, at a path, below it, or anywhere (empty)."""
        self.read_events()
        changed = self._watcher.check(scope, time.monotonic())
        self._realign(changed)
        return changed

    def used(
        self, pool: Pool, script: Script, dependencies: tuple[Dependency, ...]
    ) -> list[tuple[bytes, bytes]]:
        """Return the paths that a state depends on, with the contents that it saw."""
        return self._sources.used(pool, script, dependencies)

    def changed(
        self, pool: Pool, used: list[tuple[bytes, bytes]]
    ) -> tuple[FileNow, ...]:
        """Return those of these files that are not as they were seen.

        Not those that somebody is writing, nor those that cannot be read just now.
        """
        looks = [(self._sources.look(pool, path), digest) for path, digest in used]
        return tuple(
            [
                now
                for now, digest in looks
                if now.is_known and now.digest != digest and not self._is_open(now)
            ]
        )

    def _is_open(self, now: FileNow) -> bool:
        return bool(now.digest) and self._watcher.is_unfinished((now.pool, now.path))


def _absent(need: Need, error: str) -> Source:
    return Source(need.ticket, Blob(need.kind, need.name, b"", b"", b""), error)
