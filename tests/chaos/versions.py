"""Which versions of a script may answer a request: nothing old after new.

A version may be seen by whoever's reply ended after the version began to be put in
place, and whose request was sent before a later one was acknowledged.
"""

from collections.abc import Iterable

from tests.chaos.record import Version

ABSENT = 0


def allowed(versions: Iterable[Version], sent: float, ended: float) -> list[Version]:
    """Return those of one script, oldest first, that a request may have got."""
    found: list[Version] = []
    for version in versions:
        if version.begun > ended:
            break
        if version.acknowledged is not None and version.acknowledged <= sent:
            found.clear()
        found.append(version)
    return found
