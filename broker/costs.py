"""What the broker's memory has to hold for a file that a script asked for."""

# Compiled.

from typing import Final

from luafarm.wire.messages import Dependency

_PATH_BYTES: Final = 550
_STEP_BYTES: Final = 40
_USER_BYTES: Final = 100
_QUESTION_BYTES: Final = 250
"""What a path costs besides its text, each directory on its way, each script that uses
it, and a question besides its name (measured, in the tables and in the watcher)."""


def path_bytes(path: bytes) -> int:
    """Return what it takes to follow a path, without those who use it."""
    return len(path) + _PATH_BYTES + _STEP_BYTES * path.count(b"/")


def question_bytes(dependency: Dependency, paths: int) -> int:
    """Return what a question takes that stands for this many paths, without these."""
    return len(dependency.name) + _QUESTION_BYTES + _USER_BYTES * paths
