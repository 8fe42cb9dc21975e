"""Suspicions that files have changed, and when they have settled.

A hint comes from a name in a directory, and means the paths that go through it. What
may be a part of something larger is left to rest; what is whole at once need not be.
A path can be doubted as well, by those who look at files without any event.
"""

from collections.abc import Iterable
from typing import Final

from broker.tables import Key

ALONE: Final = 0.25
"""Part of the settle time after which a hint about a single name is acted on, if that
is a script without modules, or a symlink or directory: an atomic replace or a flipped
symlink is whole at once; what may come in steps waits."""

LONGEST: Final = 250.0
"""Settle times after which hints are acted on although new ones keep coming."""

PAUSE: Final = 0.5
"""Part of the time that a batch has taken so far during which it may pause: what is
copied slowly comes with long gaps."""


class Hints:
    """The suspected paths of one batch."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        #: True: what is on the way to the path may have changed as well
        self._keys: dict[Key, bool] = {}
        #: where the hints came from: names by directory
        self._names: dict[bytes, set[bytes]] = {}
        #: one of them may be a part of a larger change
        self._is_partial = False
        self._first_at = 0.0
        self._last_at = 0.0

    def __contains__(self, key: Key) -> bool:
        """Say whether a change of this path is suspected."""
        return key in self._keys

    def add(
        self,
        keys: Iterable[tuple[Key, bool]],
        at: bytes,
        name: bytes,
        now: float,
        *,
        is_partial: bool = False,
    ) -> None:
        """Suspect these paths, because of this name in this directory."""
        if not self._keys:
            self._first_at = now
        for key, is_deep in keys:
            self._keys[key] = self._keys.get(key, False) or is_deep
        self._names.setdefault(at, set()).add(name)
        self._is_partial |= is_partial
        self._last_at = now

    def doubt(self, key: Key, now: float) -> None:
        """Suspect this path because of a look at it, which is no event.

        Looks go on for as long as the change is not acted on: one at a path that is
        suspected already does not put that off.
        """
        if key in self._keys:
            self._keys[key] = True
        else:
            self.add([(key, True)], b"", key[1], now)

    def go_on(self, at: bytes, now: float) -> None:
        """Wait on if a batch in this directory goes on with files that nobody uses."""
        if at in self._names and self.is_gathering():
            self._last_at = now

    def drop(self, key: Key) -> None:
        """Suspect this path no more."""
        if self._keys.pop(key, None) is not None and not self._keys:
            self.take()

    def take(self) -> dict[Key, bool]:
        """Return all suspected paths, and begin anew."""
        taken, self._keys = self._keys, {}
        self._names.clear()
        self._is_partial = False
        return taken

    def settles_at(self) -> float | None:
        """Return when the hints will have settled; None when there are none."""
        if not self._keys:
            return None
        if self._is_alone():
            quiet_s = self._settle_s * ALONE
        else:
            taken_s = self._last_at - self._first_at
            quiet_s = max(self._settle_s, taken_s * PAUSE)
        return min(self._last_at + quiet_s, self._first_at + self._settle_s * LONGEST)

    def is_gathering(self) -> bool:
        """Say whether files change one after the other."""
        return bool(self._keys) and not self._is_alone()

    def _is_alone(self) -> bool:
        """Say whether all hints come from one name, which is whole at once."""
        return not self._is_partial and sum(map(len, self._names.values())) == 1
