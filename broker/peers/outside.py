"""Requests for paths outside of all roots, as the log tells of them.

A web server that means other directories than the settings do gets 404 for every
script, and nothing else says why. A line now and then is enough for that; visitors who
make such requests cannot fill the log.
"""

from collections.abc import Iterable
from typing import Final

from broker.resolve import shown

EVERY_S: Final = 10.0

_LONGEST: Final = 200  # bytes of a path in a line
_MOST_ROOTS: Final = 8


class Outside:
    """Says what to write about such paths, and when."""

    def __init__(self, roots: Iterable[bytes]) -> None:
        self._roots = sorted(roots)
        self._next_at = 0.0
        self._untold = 0

    def line(self, path: bytes, now: float) -> str:
        """Return a line for the log; empty: none is due."""
        if now < self._next_at:
            self._untold += 1
            return ""
        self._next_at = now + EVERY_S
        roots = ", ".join([shown(root) for root in self._roots[:_MOST_ROOTS]])
        if len(self._roots) > _MOST_ROOTS:
            roots += ", ..."
        more = f"; {self._untold} more since the last line" if self._untold else ""
        self._untold = 0
        return (
            f"path={shown(path[:_LONGEST])} is outside of all script roots: "
            f"{roots or 'there are none'} ([pool] root){more}"
        )
