"""The scripts of the farm, their releases, and the ways in which they are deployed.

A pool's root is a symlink to a release: a directory with all scripts and the module
`release`. A script carries its own generation; each deploy of it has a further one.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.chaos import mix
from tests.chaos.record import Version
from tests.chaos.versions import ABSENT

_TEMPLATES = Path(__file__).with_name("scripts")
_SCRIPTS = (*mix.SCRIPTS, mix.LEAVING)


class Site:
    """What is deployed; the deploys come one after the other, from one thread.

    acknowledge: has the farm look at a path; says whether nothing old is served by now.
    """

    def __init__(self, place: Path, acknowledge: Callable[[Path], bool]) -> None:
        self.root = place / "www"
        self.ledger = place / "ledger"
        self._releases = place / "releases"
        self._acknowledge = acknowledge
        self._versions: list[Version] = []
        self._generation = 0
        self._release = dict.fromkeys(mix.POOLS, 0)
        self._lock = threading.Lock()
        self.root.mkdir()
        self._releases.mkdir()
        self.ledger.touch()
        self.ledger.chmod(0o666)  # VM hosts have users of their own
        for pool in mix.POOLS:
            self._lay(pool, time.monotonic())
            for script in _SCRIPTS:
                self._is_served(pool, script)

    def versions(self) -> tuple[Version, ...]:
        """Return what was deployed, in order."""
        with self._lock:
            return tuple(self._versions)

    # ---- deploys -------------------------------------------------------------------

    def flip(self, pick: int) -> str:
        """Put a further release in place of a pool's, all scripts at once."""
        pool = mix.POOLS[pick % len(mix.POOLS)]
        self._lay(pool, None)
        return self._ask(pool, _SCRIPTS)

    def rename(self, pick: int) -> str:
        """Replace one script as a careful deploy does."""
        pool, script = _picked(pick)
        text = self._next(pool, script)
        fresh = self.root / pool / f".{script}.new"
        fresh.write_text(text)
        fresh.rename(self.root / pool / script)
        return self._ask(pool, (script,))

    def write_in_place(self, pick: int) -> str:
        """Write over one script, piece by piece."""
        pool, script = _picked(pick)
        text = self._next(pool, script)
        with (self.root / pool / script).open("w") as file:
            for start in range(0, len(text), 256):
                file.write(text[start : start + 256])
                file.flush()
        return self._ask(pool, (script,))

    def delete(self, pick: int) -> str:
        """Take one script away and bring it back."""
        pool = mix.POOLS[pick % len(mix.POOLS)]
        self._note(pool, mix.LEAVING, ABSENT)
        (self.root / pool / mix.LEAVING).unlink()
        first = self._ask(pool, (mix.LEAVING,))
        text = self._next(pool, mix.LEAVING)
        (self.root / pool / mix.LEAVING).write_text(text)
        return first + self._ask(pool, (mix.LEAVING,))

    # ---- inside --------------------------------------------------------------------

    def _lay(self, pool: str, at: float | None) -> None:
        """Make a release of everything and point a pool's root to it."""
        self._release[pool] += 1
        release = self._releases / f"{pool}-{self._release[pool]}"
        release.mkdir()
        (release / "release.lua").write_text(f"return {self._release[pool]}\n")
        if pool == mix.SANDBOXED_POOL:
            (release / "greedy.lua").write_text((_TEMPLATES / "greedy.lua").read_text())
        for script in _SCRIPTS:
            (release / script).write_text(self._next(pool, script, at))
        link = self.root / f".{pool}"
        link.symlink_to(release)
        link.rename(self.root / pool)

    def _next(self, pool: str, script: str, at: float | None = None) -> str:
        """Return the text of a script's next version, which is noted as begun."""
        self._generation += 1
        self._note(pool, script, self._generation, at)
        ledger = f'"{self.ledger}"' if pool == mix.LEDGER_POOL else "nil"
        return (
            (_TEMPLATES / "page.lua")
            .read_text()
            .replace("@SCRIPT@", script)
            .replace("@GENERATION@", str(self._generation))
            .replace("@LEDGER@", ledger)
        )

    def _note(
        self, pool: str, script: str, generation: int, at: float | None = None
    ) -> None:
        begun = time.monotonic() if at is None else at
        version = Version(pool, script, generation, self._release[pool], begun)
        with self._lock:
            self._versions.append(version)

    def _ask(self, pool: str, scripts: tuple[str, ...]) -> str:
        if not self._acknowledge(self.root / pool):
            return "not acknowledged; "
        for script in scripts:
            self._is_served(pool, script)
        return ""

    def _is_served(self, pool: str, script: str) -> None:
        """Note that from now on nothing older may be served of a script."""
        now = time.monotonic()
        with self._lock:
            of_it = [
                n
                for n, version in enumerate(self._versions)
                if (version.pool, version.script) == (pool, script)
            ]
            self._versions[of_it[-1]] = replace(
                self._versions[of_it[-1]], acknowledged=now
            )


def _picked(pick: int) -> tuple[str, str]:
    return mix.POOLS[pick % 2], mix.SCRIPTS[pick // 2 % len(mix.SCRIPTS)]
