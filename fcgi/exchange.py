"""What the front needs of a request's source, FastCGI connection or HTTP listener."""

from typing import Final, Protocol

from fcgi.placement import Pending
from fcgi.refusal import Refusal
from luafarm.errors import ProtocolError
from luafarm.messages import ScriptError

MAX_PIECE: Final = 256 * 1024
"""Bytes of a body in one message: whoever asks for more asks again."""

_FAR: Final = 1 << 40  # bytes, behind the end of any body; files know no 2**64


class Exchange(Protocol):
    """One request and the way back to its client.

    Exactly one of `reply`, `finish` and `refuse` ends it; `part` may come before
    `finish` and `refuse`. Nothing happens once the client went away.
    """

    pending: Pending | None

    def reply(self, head: bytes, body: bytes, stderr: bytes) -> None:
        """Send a whole reply. Raises BadHeaderError, then nothing was sent."""
        ...

    def part(self, head: bytes, chunk: bytes, stderr: bytes) -> None:
        """Send a piece, the first one with the head. Raises BadHeaderError."""
        ...

    def finish(self, stderr: bytes) -> None:
        """End a reply that was sent in parts."""
        ...

    def refuse(
        self,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        stderr: bytes = b"",
    ) -> None:
        """Answer with an error page; cut the reply visibly if it has begun."""
        ...

    def read_body(self, stream: int, offset: int, max_bytes: int) -> bytes:
        """Return bytes of a body that did not travel with the request."""
        ...


def piece(exchange: Exchange, stream: int, offset: int, max_bytes: int) -> bytes:
    """Return what a VM host wants of a body, in part. Raises ProtocolError."""
    if stream not in {0, 1} or offset < 0 or max_bytes < 0:
        raise ProtocolError(f"no body at {offset} of stream {stream}, {max_bytes} long")
    return exchange.read_body(stream, min(offset, _FAR), min(max_bytes, MAX_PIECE))
