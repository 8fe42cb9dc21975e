"""Which files are scripts: by the names in a path, without looking at any file.

A requested path may have PATH_INFO behind its script, and any component could be that
script. So names decide, and not what a visitor may have put into a file: only a
component that matches a pattern of `[pool] scripts` may be run. A component that begins
with a dot is never walked into; what is behind it can only be PATH_INFO.
"""

# Compiled.

import fnmatch
import re
from typing import Final

MAX_DEPTH: Final = 64
"""Components of a requested path below its root; no honest one has more."""

_NAME_MAX: Final = 255
"""Bytes of a file's name in Linux; a longer one is of no file."""


class ScriptNames:
    """The file names that a pool runs."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        """Take shell patterns; one must match a whole name, as it is spelled."""
        self._pattern = re.compile("|".join([fnmatch.translate(p) for p in patterns]))

    def match(self, name: bytes) -> bool:
        """Say whether a file of this name is a script."""
        if not 0 < len(name) <= _NAME_MAX or name.startswith(b"."):
            return False
        text = name.decode("utf-8", "surrogateescape")
        return self._pattern.match(text) is not None

    def ends(self, path: bytes) -> list[int]:
        """Return where in a path below a root its script may end, the shortest first.

        The path begins with a slash or with its first component.
        """
        if path.count(b"/") > MAX_DEPTH:
            return []
        found: list[int] = []
        start = 1 if path.startswith(b"/") else 0
        while start < len(path):
            end = path.find(b"/", start)
            if end < 0:
                end = len(path)
            if path[start : start + 1] == b".":
                break
            if self.match(path[start:end]):
                found.append(end)
            start = end + 1
        return found
