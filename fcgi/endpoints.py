"""The paths that a front answers itself: ping and status."""

# Compiled.

from collections.abc import Callable

from fcgi.cgi import params
from luafarm.config.settings import Front


class Endpoints:
    """Knows them by SCRIPT_NAME."""

    def __init__(self, front: Front, status: Callable[[], bytes]) -> None:
        """status: returns the status page."""
        self._ping = front.ping_path.encode()
        self._status = front.status_path.encode()
        self._page = status

    def answer(self, pairs: bytes) -> bytes | None:
        """Return the text that answers these parameters; None: a script is to."""
        if not self._ping and not self._status:
            return None
        name = params.find(pairs, b"SCRIPT_NAME")
        if not name or name not in {self._ping, self._status}:
            return None
        return b"pong" if name == self._ping else self._page()
