"""The counts of a front: written where they change, named and put together here."""

# Compiled.

import os

from fcgi.dispatch.machine import Dispatch


class Gauges:
    """What `luafarm status` and the front's own status page count."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self.accepted = 0  # connections
        self.connections = 0  # of these, those that are open
        self.requests = 0
        self.errors = 0  # of the requests, those answered with an error page, except
        # for those that were refused as too many waited
        self.is_retiring = False  # others take what comes; this one finishes

    def rows(self) -> tuple[tuple[str, int], ...]:
        """Return names and counts, by name."""
        return (
            ("accepted", self.accepted),
            ("connections", self.connections),
            ("errors", self.errors),
            ("overloaded", self._dispatch.overloaded),
            ("pid", os.getpid()),
            ("queued", self._dispatch.queued),
            ("requests", self.requests),
            ("rerun", self._dispatch.rerun),
            ("retiring", int(self.is_retiring)),
            ("running", self._dispatch.running),
        )

    def page(self, *, has_broker: bool) -> bytes:
        """Return the text of the status page."""
        rows = [
            *self.rows(),
            ("broker", int(has_broker)),
            ("outstanding", self._dispatch.outstanding),
        ]
        return "".join(f"{name}: {count}\n" for name, count in sorted(rows)).encode()
