"""The front's tables: VM hosts, scripts with their queues, and requests on their way.

Plain records of `fcgi.dispatch.machine`, which alone changes them.
"""

# Compiled.

from collections import deque
from typing import Final

from fcgi.cgi.scriptname import told_apart
from luafarm.names import HostId, RequestId
from luafarm.wire.messages import RunRow, ScriptError, Verdict

WINDOW_S: Final = 0.000_25
"""Expected work that may wait on a host, at least: twice a good round trip. Less than a
round trip costs throughput, more costs only delay (simulated)."""

WINDOW_MAX_S: Final = 0.001
"""And at most, on machines or networks whose best round trip is long."""

STALL_S: Final = 0.001
"""A host without progress for this long gets nothing more behind its first run."""

UNKNOWN_S: Final = 2 * WINDOW_MAX_S
"""Expected time of a script that never ran: it goes to an empty host only."""

LEARN: Final = 0.125
"""Weight of the newest service time in a script's moving average."""


class Pending:
    """A request from its arrival to its answer; in one queue or on one host."""

    def __init__(
        self,
        owner: object,
        path: bytes,
        flags: int,
        params: bytes,
        body: bytes | None,
        body_bytes: int,
        data_bytes: int,
        arrival: float,
    ) -> None:
        self.owner: object = owner  # whom the answer goes to; not read here
        self.path: bytes = path  # as asked, maybe with PATH_INFO behind the script
        self.flags: int = flags
        self.params: bytes = params
        self.body: bytes | None = body
        self.body_bytes: int = body_bytes
        self.data_bytes: int = data_bytes
        self.arrival: float = arrival
        self.id: RequestId = RequestId(0)  # of this attempt; 0 before the first
        self.deaths: int = 0  # VM hosts that died under it
        self.losses: int = (
            0  # VM hosts and connections lost with it, untouched they say
        )
        self.absences: int = 0  # VM hosts that had no state for it after all
        self.serial: int = 0  # its place among all runs sent to its host
        self.sent: float = 0.0
        self.cost: float = 0.0  # expected seconds, as added to its host's work
        self.entry: Entry | None = None
        self.host: Host | None = None  # None while it waits
        self.begun: bool = False  # a part of its reply came, for the client
        # What its host has said of it so far; see `fcgi.dispatch.conduct`.
        self.part_bytes: int = 0  # of these parts
        self.log_bytes: int = 0
        self.body_at: int = 0  # the next byte of STDIN to be asked for
        self.data_at: int = 0  # the same of DATA
        self.body_mark: int = 0  # end of the last piece in all that its host is sent
        self.empty_pieces: int = 0  # asked for in vain
        self.may_repeat: bool = False  # its host may ask for the last piece once more
        self.cancelled: bool = False  # nobody waits for the reply
        self.finished: bool = False  # so, as it is whole; its script goes on

    def row(self) -> RunRow:
        """Return the request as it travels to its host."""
        entry = self.entry
        assert entry is not None
        params = self.params
        if len(self.path) != len(entry.script):
            params = told_apart(params, self.path, entry.script)
        return (
            self.id,
            entry.script,
            entry.epoch,
            self.flags,
            params,
            self.body,
            self.body_bytes,
            self.data_bytes,
        )


class Stand:
    """How a queue has stood lately; see `fcgi.dispatch.admission`."""

    def __init__(self) -> None:
        self.over_since: float = -1.0  # longer than the target; < 0: it is not
        self.is_over: bool = False  # for so long that it is no burst
        self.served: float = 0.0  # when one left it, or it began; 0: nothing waits
        self.pause: float = 0.0  # longest time without, since it was short
        self.turned_away: int = 0  # since then, or pressure was told: refused

    def clear(self) -> None:
        """Take note that it is short."""
        self.over_since = -1.0
        self.is_over = False
        self.pause = 0.0
        self.turned_away = 0

    def end(self) -> None:
        """Take note that nothing waits any more."""
        self.clear()
        self.served = 0.0


class Host:
    """A VM host as one front sees it."""

    def __init__(self, name: HostId) -> None:
        self.name: HostId = name
        self.ready: bool = False  # it said Welcome and is not given up
        self.is_away: bool = False  # its connection is lost
        self.bound: int = 0  # runs that were sent to it, ever
        self.runs: dict[RequestId, Pending] = {}  # sent, unanswered, in order
        self.late: dict[RequestId, Pending] = {}  # the same, but given up: too late
        self.late_since = 0.0
        self.released: dict[RequestId, int] = {}  # told to be over; messages since
        self.work: float = 0.0  # sum of the runs' cost, seconds
        self.since: float = 0.0  # last progress
        self.window: float = WINDOW_S  # expected work that may wait here, seconds
        self.best_trip: float = 3600.0  # shortest round trip of a lone run
        self.waiting: dict[bytes, Entry] = {}  # all and only backlogged scripts here
        self.patient: dict[bytes, Entry] = {}  # the same, to which it is only lent
        self.stand: Stand = Stand()  # of all that waits here
        self.share: float = 1.0  # seconds that its runs took, in a second of waiting
        self.others_s: float = 0.0  # that passed with each of them besides
        self.measured_from: float = 0.0  # 0: nothing waited since, it is not measured
        self.measured_s: float = 0.0  # what runs took since then
        self.measured_runs: int = 0  # how many these were


class Use:
    """What happened to one script on one host since the last report."""

    def __init__(self) -> None:
        self.requests: int = 0
        self.busy_us: int = 0
        self.waited_s: float = 0.0
        self.last: float = 0.0
        self.errors: int = 0


class Entry:
    """What a front knows of one path, and the requests that wait for it."""

    def __init__(self, script: bytes) -> None:
        self.script: bytes = script
        self.pool: str = ""
        self.known: bool = False  # the broker has said something about it
        self.verdict: Verdict = Verdict.READY
        self.epoch: int = 0
        self.hosts: list[Host] = []  # in hunting order
        self.lent: list[Host] = []  # further ones, for requests that waited for a while
        self.placed: float = 0.0  # when there began to be any; before it was cold
        self.rate: float = 0.0  # at which all of them worked of late; 0: unknown
        self.whole_at: float = 0.0  # until then those that were lost are coming back
        self.wall_s: float = 0.0
        self.reply_bytes: int = 0  # most that a run of it may answer, ever told
        self.log_bytes: int = 0  # most that may be logged with it, ever told
        self.error: ScriptError | None = None
        self.refused_until: float = 0.0
        self.queue: deque[Pending] = deque()
        self.est: float = -1.0  # moving average of its service time; < 0: unknown
        self.stand: Stand = Stand()  # of its queue
        self.tag: float = 0.0  # virtual start time of its next request (fair queueing)
        self.asked: float = -1.0  # when the broker was asked; < 0: it was not
        self.is_watched: bool = False  # an alarm will look at its queue
        self.pressure_s: float = 0.0  # pause before the next report of pressure
        self.pressed: float = -1.0  # when pressure was reported last
        self.uses: dict[HostId, Use] = {}


def prefixes(path: bytes) -> list[bytes]:
    """Return a path's proper prefixes at its slashes, longest first; at most 64."""
    found: list[bytes] = []
    at = path.rfind(b"/")
    while at > 0 and len(found) < 64:
        found.append(path[:at])
        at = path.rfind(b"/", 0, at)
    return found
