"""Deploys under load: what is served before, while and after files change.

Three things must never be seen: a failed request, a reply made of two generations, and
an old reply to a request that was sent after a newer one had been received.
"""

import contextlib
import functools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.live import sites
from bench.live.crowd import Asker, Crowd, Seen
from luafarm.config.settings import Broker

LIMIT_S: Final = 120.0  # a deploy that is not seen by then has failed
SETTLE_S: Final = Broker().settle  # by default
_SURE: Final = 0.8  # part of the settle time in which nothing is taken for complete
_MS: Final = 1000.0


class DeployError(RuntimeError):
    """A deploy did not arrive, or what is served is not what must be."""


@dataclass(slots=True)
class Outcome:
    """What was seen of all deploys."""

    #: by kind of site, seconds from the last rename to the end of the first new reply
    delays: dict[str, list[float]] = field(default_factory=dict)
    broken: int = 0  # broken deploys that the last good generation was served through
    requests: int = 0
    #: (path, generation) of deploys that were kept waiting in their middle for longer
    #: than files take to settle: of these nobody can know that they were not complete
    torn: set[tuple[str, int]] = field(default_factory=set)
    failed: list[Seen] = field(default_factory=list)
    mixed: list[Seen] = field(default_factory=list)
    stale: list[Seen] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """Milliseconds from rename to first new reply, over all deploys."""
        every = [delay for delays in self.delays.values() for delay in delays]
        return statistics.median(every) * _MS

    @property
    def is_clean(self) -> bool:
        """Nothing was seen that must not be."""
        return not (self.failed or self.mixed or self.stale)

    def judge(self, seen: list[Seen]) -> None:
        """Sort out replies that must not be."""
        self.requests += len(seen)
        self.failed += [one for one in seen if not _is_reply(one)]
        good = [one for one in seen if _is_reply(one)]
        mixed = [one for one in good if len(set(one.body.split())) != 1]
        self.mixed += [one for one in mixed if not self._is_excused(one)]
        self.stale += list(stale(good))

    def _is_excused(self, one: Seen) -> bool:
        return any((one.path, int(word)) in self.torn for word in one.body.split())

    def __str__(self) -> str:
        """Return it as lines for people."""
        lines = [
            f"{kind}: median {statistics.median(delays) * _MS:.1f} ms, "
            f"worst {max(delays) * _MS:.1f} ms of {len(delays)}"
            for kind, delays in self.delays.items()
        ]
        lines += [
            f"rename to first new reply: median {self.median_ms:.1f} ms",
            f"{self.broken} broken deploys, last good served through them",
            f"{self.requests} requests: {len(self.failed)} failed, "
            f"{len(self.mixed)} mixed, {len(self.stale)} old after new",
        ]
        if self.torn:
            lines.append(f"{len(self.torn)} pages were deployed with too long a pause")
        shown = [*self.failed[:3], *self.mixed[:3], *self.stale[:3]]
        return "\n".join([*lines, *[str(one) for one in shown]])


def _is_more(count: Callable[[], int], before: int) -> bool:
    return count() > before


def _is_reply(one: Seen) -> bool:
    return one.status == 200 and bool(one.body.split()) and _is_numbers(one.body)


def _is_numbers(body: str) -> bool:
    return all(word.isdigit() for word in body.split())


def generation(one: Seen) -> int:
    """Return the generation of a reply: that of its script."""
    return int(one.body.split()[0])


def stale(seen: Sequence[Seen]) -> Iterator[Seen]:
    """Give the replies older than one that had come before their request was sent."""
    newest: dict[str, int] = {}
    ends = iter(sorted(seen, key=lambda one: one.ended))
    ended = next(ends, None)
    for one in sorted(seen, key=lambda one: one.started):
        while ended is not None and ended.ended < one.started:
            at = newest.get(ended.path, 0)
            newest[ended.path] = max(at, generation(ended))
            ended = next(ends, None)
        if generation(one) < newest.get(one.path, 0):
            yield one


class Deploys:
    """Deploys the sites of a root in turn while a crowd asks for them."""

    def __init__(
        self,
        port: int,
        root: Path,
        *,
        clients: int = 8,
        pause_s: float = 0.02,
        files: int = sites.TREE,
        every_s: float = 0.0,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._settle_s = settle_s
        self._port = port
        self._root = root
        self._clients = clients
        self._pause_s = pause_s
        self._every_s = every_s
        self._sites: list[sites.Site] = [
            sites.File(root),
            sites.Module(root),
            sites.Pair(root),
            sites.Symlink(root),
            sites.Tree(root, files),
        ]
        self._generations = [0] * len(self._sites)
        self._next_at = 0.0
        self._own: list[Seen] = []
        self.outcome = Outcome()

    @contextlib.contextmanager
    def load(self) -> Iterator[None]:
        """Have all sites asked for while the block runs; then judge what was seen."""
        for number in range(len(self._sites)):
            self.deploy(number, is_counted=False)
        paths = [path for site in self._sites for path in site.paths]
        # the tree has most of the pages: half of the crowd asks for the rest
        paths += [p for site in self._sites[:-1] for p in site.paths] * 4
        crowd = Crowd(self._port)
        self._next_at = time.monotonic()
        with crowd.asking(paths, self._clients, self._pause_s):
            yield
        self.outcome.judge([*crowd.seen, *self._own])

    def deploy(self, number: int, *, is_counted: bool = True) -> None:
        """Deploy one site and wait until all of it is new."""
        site = self._sites[number]
        self._generations[number] += 1
        new = self._generations[number]
        site.stage(new)
        self._pace()
        pause_s = site.switch(new)
        renamed = time.perf_counter()
        if pause_s > self._settle_s * _SURE:
            self.outcome.torn.update((path, new) for path in site.paths)
        with contextlib.closing(Asker(self._port, self._own)) as asker:
            for path in site.paths:
                one = asker.ask(path)
                while not _is_reply(one) or generation(one) != new:
                    if one.ended - renamed > LIMIT_S:
                        raise DeployError(f"no reply of generation {new}: {one}")
                    one = asker.ask(path)
                if is_counted and path == site.paths[0]:
                    kind = type(site).__name__.lower()
                    delays = self.outcome.delays.setdefault(kind, [])
                    delays.append(one.ended - renamed)
        if not is_counted:
            self._own.clear()  # before the first generation there is nothing

    def rounds(self, deploys: int) -> None:
        """Deploy this often, each site in its turn."""
        for turn in range(deploys):
            self.deploy(turn % len(self._sites))

    def broken(self, number: int, rejected: Callable[[], int]) -> None:
        """Break the single script this many times; it must go on being served.

        rejected: returns how often the farm has kept a last good generation so far.
        """
        sites.prepare_broken(self._root)
        path = self._root / "file.lua"
        ways = list(sites.BROKEN.items())
        with contextlib.closing(Asker(self._port, self._own)) as asker:
            for turn in range(number):
                self._pace()
                name, change = ways[turn % len(ways)]
                before = rejected()
                change(path)
                self._await(asker, functools.partial(_is_more, rejected, before), name)
                one = asker.ask("/file.lua")
                if not _is_reply(one) or generation(one) != self._generations[0]:
                    raise DeployError(f"{name}: {one} instead of the last good")
                self.outcome.broken += 1
        self.deploy(0)

    def _await(self, asker: Asker, claim: Callable[[], bool], what: str) -> None:
        deadline = time.perf_counter() + LIMIT_S
        while not claim():
            one = asker.ask("/file.lua")
            if one.ended > deadline:
                raise DeployError(f"{what}: not noticed within {LIMIT_S} s")

    def _pace(self) -> None:
        self._next_at += self._every_s
        time.sleep(max(0.0, self._next_at - time.monotonic()))
