"""What dispatch orders: data, in an order that is part of its meaning."""

from fcgi.cgi.refusal import Refusal
from fcgi.dispatch.tables import Pending
from luafarm.names import HostId, RequestId
from luafarm.wire.messages import Message, ScriptError


class Send:
    """Send this request to its host."""

    def __init__(self, pending: Pending) -> None:
        self.pending: Pending = pending


class Refuse:
    """Answer this request without a run of its script."""

    def __init__(
        self,
        pending: Pending,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
    ) -> None:
        self.pending: Pending = pending
        self.refusal: Refusal = refusal
        self.retry_after_s: int = retry_after_s
        self.error: ScriptError | None = error


class CancelRun:
    """Tell the host that nobody waits for this run."""

    def __init__(self, host: HostId, request: RequestId) -> None:
        self.host: HostId = host
        self.request: RequestId = request


class Tell:
    """Say this to the broker."""

    def __init__(self, message: Message) -> None:
        self.message: Message = message


Action = Send | Refuse | CancelRun | Tell
