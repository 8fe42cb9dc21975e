"""Which luafarm this is."""

import platform
from importlib.util import find_spec
from typing import Final

VERSION: Final = "0.1.0"

_COMPILED: Final = (
    "fcgi.fastcgi.records",
    "fcgi.dispatch.machine",
    "luafarm.wire.codec",
)
"""Modules that show whether this installation was compiled."""


def is_compiled() -> bool:
    """Return whether the hot modules are native code; nothing is imported for it."""
    specs = [find_spec(name) for name in _COMPILED]
    return all(spec and (spec.origin or "").endswith(".so") for spec in specs)


def describe() -> str:
    """Return the line that `luafarm --version` prints."""
    modules = "compiled" if is_compiled() else "plain Python"
    python = platform.python_version()
    return f"luafarm {VERSION} (hot modules: {modules}; Python {python})"
