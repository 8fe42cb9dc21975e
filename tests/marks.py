"""How modules say what they are: a comment below the docstring, see CONTRIBUTING.md."""

import re

MARKS = re.compile(r'"""\n\n# (Impure|Compiled|Impure, compiled)\.\n')


def marks(source: str) -> set[str]:
    """Return how a module is marked: a part of `impure` and `compiled`."""
    found = MARKS.search(source)
    return set(found[1].lower().split(", ")) if found else set()
