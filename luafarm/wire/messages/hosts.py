"""What supervisors say of their VM hosts, and what the broker wants of these."""

from luafarm.ends import Death
from luafarm.names import HostId, Machine, Pool, RequestId, Script
from luafarm.wire.messages.packed import Packed


class HostUp(Packed, frozen=True, tag=26):
    """A VM host is ready to be connected to."""

    host: HostId
    pool: Pool
    machine: Machine
    endpoint: str
    server_key: bytes  # CURVE public key, empty on ipc
    notices: str  # endpoint of its supervisor's notices
    notices_key: bytes
    layers: tuple[str, ...]  # layers of the sandbox that hold
    missing: tuple[str, ...]  # layers that do not, "name: why"
    pid: int
    uid: int


class HostLost(Packed, frozen=True, tag=27):
    """A VM host is no more."""

    host: HostId
    running: RequestId  # which request it was running, from the scoreboard; 0: none
    begun: tuple[RequestId, ...]  # the last requests it began (at most 128), in order
    script: Script  # and of which script (also while it loaded one); empty: none
    reason: Death
    detail: str  # one sentence for the log


class HostUnlisted(Packed, frozen=True, tag=37):
    """The broker does not hear of a VM host any more: nothing new is to go there.

    Whether it lives nobody has said. What it runs goes on where it is reached.
    """

    host: HostId


class HostRow(Packed, frozen=True):
    """A VM host as its supervisor sees it."""

    host: HostId
    requests: int
    rss_kib: int
    running: bytes  # script, empty when idle
    silent_ms: int = 0  # while it was idle: since it has said that its loop turns


class MachineReport(Packed, frozen=True, tag=28):
    """A supervisor's heartbeat, once a second."""

    hosts: tuple[HostRow, ...]
    seats: int = 0  # hosts that there are to be; 0: it does not say
    is_leaving: bool = False  # another one has come: its VM hosts are to be replaced


class Recycle(Packed, frozen=True, tag=29):
    """Replace this VM host once it is idle."""

    host: HostId
    reason: str


class Kill(Packed, frozen=True, tag=35):
    """Kill this VM host at once and replace it."""

    host: HostId
    reason: str
