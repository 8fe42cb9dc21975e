"""What a VM host's loop wants of its socket, and which kind of socket it gets.

Peers connect, the host only accepts: its listening socket was made by the supervisor.
A frame for a peer that is gone is lost at once. A peer that takes nothing for PATIENCE
is deaf: it is not waited for again until it has taken what it was sent, and what is too
much meanwhile ends its connection, or is dropped where libzmq has the connection.
"""

from enum import Enum
from typing import Final, Protocol

PATIENCE_S: Final = 1.0  # a living front takes frames at once, a busy one in time
LINGER_MS: Final = 1000  # for what is on its way when the host ends


class Sent(Enum):
    """What became of a frame."""

    YES = 1
    LOST = 2  # there is no such peer any more
    DROPPED = 3  # the peer takes nothing


class Link(Protocol):
    """The socket of a VM host and who is at its other ends."""

    is_stopped: bool  # somebody called `stop`
    dropped: int  # frames that a deaf peer did not take

    def stop(self) -> None:
        """End the wait of `receive`, from the main thread only; later calls do nothing.

        It may be called again when the link is closed already.
        """

    def receive(self, wait_ms: int) -> tuple[bytes, bytes, str] | None:
        """Return a peer, its next frame and its key, empty where there are none.

        None: nothing came.
        """
        ...

    def has_input(self) -> bool:
        """Return whether `receive` would return at once."""
        ...

    def send(self, peer: bytes, frame: bytes) -> Sent:
        """Send one frame, within PATIENCE if the peer takes what it is sent."""
        ...

    def close(self) -> None:
        """Send what is on its way, for LINGER at most, and close."""
