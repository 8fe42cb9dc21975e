"""The paths that a front answers itself: ping and status."""

# Compiled.

from collections.abc import Callable

from fcgi.cgi import params
from luafarm.config.settings import Front


def endpoints(front: Front, page: Callable[[], bytes]) -> "Endpoints | None":
    """Return the front's own paths; None: the settings have none."""
    if not front.ping_path and not front.status_path:
        return None
    return Endpoints(front, page)


class Endpoints:
    """Knows them by SCRIPT_NAME."""

    def __init__(self, front: Front, page: Callable[[], bytes]) -> None:
        """page: returns the text of the status page."""
        self._ping = front.ping_path.encode()
        self._status = front.status_path.encode()
        self._page = page

    def answer(self, pairs: bytes) -> bytes | None:
        """Return the text that answers these parameters; None: a script is to."""
        name = params.find(pairs, b"SCRIPT_NAME")
        if not name or name not in {self._ping, self._status}:
            return None
        return b"pong" if name == self._ping else self._page()
