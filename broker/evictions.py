"""Why states were closed lately that nobody's change or wish ended."""

# Compiled.

from collections import OrderedDict
from typing import Final

from luafarm.names import Script

_MOST: Final = 1000

Eviction = tuple[Script, float, str]
"""(script, when, why)"""


class Evictions:
    """The latest one of each script, of a bounded number of scripts."""

    def __init__(self) -> None:
        self._latest: OrderedDict[Script, tuple[float, str]] = OrderedDict()

    def note(self, script: Script, why: str, now: float) -> None:
        """Remember why a state of this script was closed."""
        self._latest[script] = (now, why)
        self._latest.move_to_end(script)
        if len(self._latest) > _MOST:
            self._latest.popitem(last=False)

    def of(self, script: Script) -> tuple[float, str] | None:
        """Return when and why this script lost a state last; None: not lately."""
        return self._latest.get(script)

    def recent(self, number: int) -> list[Eviction]:
        """Return this many, the latest first."""
        found: list[Eviction] = []
        for script, (at, why) in reversed(self._latest.items()):
            if len(found) == number:
                break
            found.append((script, at, why))
        return found
