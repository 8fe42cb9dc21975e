"""What the front needs of a request's source, FastCGI connection or HTTP listener."""

from typing import Protocol

from fcgi.cgi.refusal import Refusal
from fcgi.dispatch.tables import Pending
from luafarm.wire.messages import ScriptError


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
