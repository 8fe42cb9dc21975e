"""Lines about peers: one for each cause, however often a peer gives it.

Who is refused tries again, and whoever reaches a port may try as often as the network
allows. The first time that there is cause a line is written, then one a minute while it
lasts, with how often it happened meanwhile. Of many causes at once some are left out.
"""

from typing import Final

EVERY_S: Final = 60.0
CAUSES: Final = 64
"""Causes that are told in a minute; more are strangers who try out names or keys."""

LONGEST: Final = 500
"""Characters of a line; names in it are a peer's choice."""


class _Cause:
    def __init__(self, told_at: float) -> None:
        self.told_at = told_at
        self.left_out = 0  # times since


class Complaints:
    """Decides which lines are written."""

    def __init__(self, every_s: float = EVERY_S, causes: int = CAUSES) -> None:
        self._every_s = every_s
        self._most = causes
        #: by cause, the one that was told first at the front
        self._causes: dict[str, _Cause] = {}

    def line(self, cause: str, text: str, now: float) -> str:
        """Return the line to write, empty when it is not the time for one."""
        known = self._causes.get(cause)
        if known is not None and now - known.told_at < self._every_s:
            known.left_out += 1
            return ""
        if known is None and not self._has_room(now):
            return ""
        text = text[:LONGEST]
        if known is not None:
            del self._causes[cause]
            if known.left_out:
                text = f"{text} ({known.left_out} more times since it was last told)"
        self._causes[cause] = _Cause(now)
        return text

    def _has_room(self, now: float) -> bool:
        for cause, row in list(self._causes.items()):
            if now - row.told_at < self._every_s:
                break
            del self._causes[cause]
        return len(self._causes) < self._most
