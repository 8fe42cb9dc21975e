"""What a VM host is to do next, as values: each carries all that is needed for it.

`HostMachine.take` hands them out, one at a time; each says what must be told back. They
are plain classes, not dataclasses: one is made for every request.
"""

# Compiled.

from typing import Final

from luafarm.ends import Closing
from luafarm.wire.messages import SAFE, RunRow
from vmhost.host.held import Held
from vmhost.host.peers import Peer


class Run:
    """Serve a request; `finish`, then `kept`, `ended` or `not_made` must follow."""

    def __init__(self, held: Held, peer: Peer, row: RunRow) -> None:
        self.held: Final = held
        self.peer: Final = peer
        self.request: Final = row[0]
        self.is_safe: Final = row[3] & SAFE != 0  # it may be started once more
        self.row: Final = row


class Load:
    """Make the state of a new generation; `loaded` or `failed` must follow."""

    def __init__(self, held: Held) -> None:
        self.held: Final = held


class Refill:
    """Make a fresh state ahead of its run; `refilled` or `not_refilled` must follow."""

    def __init__(self, held: Held) -> None:
        self.held: Final = held


class Collect:
    """Collect a state's garbage; `collected` or `ended` must follow."""

    def __init__(self, held: Held) -> None:
        self.held: Final = held


class Close:
    """Close a state, if there is one; `closed` must follow."""

    def __init__(
        self,
        held: Held,
        reason: Closing,
        *,
        has_hook: bool = True,
        is_last: bool = True,
    ) -> None:
        self.held: Final = held
        self.reason: Final = reason
        self.has_hook: Final = has_hook  # the script's `shutdown` hook comes first
        self.is_last: Final = (
            is_last  # False: a fresh state of the same takes its place
        )


Work = Run | Load | Refill | Collect | Close
