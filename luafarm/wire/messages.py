"""Every message that luafarm's processes exchange.

A message is one ZeroMQ frame, msgpack, `[kind, field, ...]` in the order of its
dataclass (`luafarm.wire.codec`). Peers say `Hello` first and are answered with
`Welcome`, or with `Refused`, which says why; a peer with another PROTOCOL is refused.
Only the two that every request needs, `Runs` and `Dones`, carry many rows in one frame.

Who says what to whom (D connects a DEALER, R binds a ROUTER):

    front D      -> VM host R     Hello Runs Body Cancel
    VM host R    -> front D       Welcome Refused Dones Part Want
    broker D     -> VM host R     Hello Load Drop Fence TakeInventory Source
    VM host R    -> broker D      Welcome Refused Loaded LoadFailed Gone Inventory Need
                                  Fenced
    front D      -> broker R      Hello Miss Pressure Report Accuse
    broker R     -> front D       Welcome Refused HostUp HostLost Place Snapshot Aliases
    supervisor D -> broker R      Hello HostUp HostLost MachineReport
    broker R     -> supervisor D  Welcome Refused Recycle Kill
    front D      -> supervisor R  Hello
    supervisor R -> front D       Welcome Refused HostLost
    command D    -> broker R      Hello StatusWanted Reload
    broker R     -> command D     Welcome Refused StatusIs Reloaded
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from luafarm.aliases import Alias
from luafarm.names import Epoch, HostId, Machine, Pool, RequestId, Script

PROTOCOL: Final = 2


class Role(IntEnum):
    """What a peer is."""

    FRONT = 1
    BROKER = 2
    HOST = 3
    SUPERVISOR = 4
    COMMAND = 5


class Outcome(IntEnum):
    """How a run ended; what the front may do about it stands beside each."""

    OK = 0  # head and body are the reply
    ERROR = 1  # the script failed: `error` tells; the state may live on
    BUDGET = 2  # a budget stopped it: `error.budget` names it; the state is closed
    ABSENT = 3  # never started: no state at or above the fence; place it again
    CANCELLED = 4  # the front asked for it


class Verdict(IntEnum):
    """What the broker knows about a path."""

    READY = 0  # a script; `hosts` hold a state of it, in hunting order, maybe none yet
    MISSING = 1  # no such file, an empty one, not a regular one, or outside the roots
    BROKEN = 2  # it does not load and there is no last good generation: `error`
    REFUSED = 3  # not now: quarantined or no room; `retry_after_s` says how long


class NeedKind(IntEnum):
    """What a running script asks its broker for."""

    MODULE = 0  # `require(name)`: looked for in the script roots and library paths
    FILE = 1  # `luafarm.read(path)`: the bytes of a file under the script roots
    CHUNK = 2  # `dofile`/`loadfile`: Lua source under the script roots


# ---- greetings, on every socket ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of whoever connects.

    Every version understands that of every other as far as `machine`.
    """

    protocol: int
    role: Role
    name: str
    machine: Machine
    incarnation: int = 0  # of a supervisor: a random number that its process chose


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to `Hello`: go on. From the broker `term` counts its incarnations."""

    protocol: int
    role: Role
    name: str
    term: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The other answer to `Hello`: not as this; nothing further will be heard.

    A supervisor gets it also later, when another process speaks for its machine.
    """

    reason: str


# ---- data plane: front and VM host -------------------------------------------------

SAFE: Final = 1  # flag of a run: GET, HEAD or OPTIONS: may be started once more
AUTHORIZER: Final = 2  # flag of a run: FastCGI role
FILTER: Final = 4  # flag of a run: FastCGI role

RunRow = tuple[int, bytes, int, int, bytes, bytes | None, int, int]
"""(request, script, least epoch, flags, params, body or None, body bytes, data bytes).

`params` are the FastCGI name-value pairs as the web server sent them. A body of None
waits at the front: pull it with `Want`. `body bytes` is its whole length.
"""

DoneRow = tuple[int, int, bytes, bytes, bytes, bytes, int]
"""(request, Outcome, head, body, log, error, service in microseconds).

`head`: CGI header lines joined by CRLF, without the blank line; when `Part`s carried it
before, the number of bytes of their chunks in decimal: a missing one shows.
`log`: lines for STDERR and the log, see `luafarm.wire.loglines`.
`error`: an encoded `ScriptError` or empty.
"""


@dataclass(frozen=True, slots=True)
class Runs:
    """Requests to run, in this order."""

    rows: tuple[RunRow, ...]


@dataclass(frozen=True, slots=True)
class Dones:
    """Runs that ended, in the order in which they were run."""

    rows: tuple[DoneRow, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a reply before its end, because the script flushed."""

    request: RequestId
    head: bytes
    chunk: bytes
    log: bytes


@dataclass(frozen=True, slots=True)
class Want:
    """The running script reads: send `Body` from this offset, at most so many bytes."""

    request: RequestId
    stream: int  # 0 STDIN, 1 DATA
    offset: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of a request body; empty at its end."""

    request: RequestId
    stream: int
    offset: int
    chunk: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client went away: drop the run if it waits, stop it softly if it runs."""

    request: RequestId


HOST_ERROR: Final = "Host Error"
"""Kind of an error that is none of the script: the VM host did not try to load it."""


@dataclass(frozen=True, slots=True)
class ScriptError:
    """Why a script did not load or did not finish."""

    kind: str  # "Syntax Error", "Runtime Error", "Memory Error", "File Error", ...
    message: str
    traceback: str
    file: str
    line: int  # 0 when not known
    excerpt: str  # source lines around `line`, "NNN| text", empty when not known
    budget: str  # "", or the budget that was exceeded: "cpu", "wall", "memory", ...


# ---- control plane: broker and VM host ---------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets of one script's states and requests on a VM host."""

    memory_bytes: int
    cpu_ms: int
    wall_ms: int
    load_cpu_ms: int
    load_wall_ms: int
    reply_bytes: int
    log_lines: int
    log_bytes: int
    fresh: bool  # a new state for every request


@dataclass(frozen=True, slots=True)
class Blob:
    """A file that a script loads: what was asked for, and what the broker found."""

    kind: NeedKind
    name: bytes  # what the script asked for: module name or path
    path: bytes  # where it was found; empty: nowhere (that is remembered as well)
    digest: bytes  # of the content
    source: bytes  # with an empty path: why there is none, as `Source.error`


@dataclass(frozen=True, slots=True)
class Load:
    """Make a state of this script; `Loaded` or `LoadFailed` answers."""

    script: Script
    epoch: Epoch
    digest: bytes
    source: bytes
    blobs: tuple[Blob, ...]  # what its last generation used, to spare the round trips
    limits: Limits


@dataclass(frozen=True, slots=True)
class Dependency:
    """A file that a state used: a change of it renews the script."""

    kind: NeedKind
    name: bytes
    path: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Loaded:
    """The state is ready."""

    script: Script
    epoch: Epoch
    load_us: int
    kib: int
    dependencies: tuple[Dependency, ...]
    log: bytes


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The state could not be made."""

    script: Script
    epoch: Epoch
    error: ScriptError
    dependencies: tuple[Dependency, ...]
    log: bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the state of this epoch or older once it is idle; `Gone` follows."""

    script: Script
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Gone:
    """A state is no more."""

    script: Script
    epoch: Epoch
    reason: str  # "dropped", or the budget or error that closed it
    log: bytes = b""  # what its `shutdown` hook said, within the budgets of a request


@dataclass(frozen=True, slots=True)
class Fence:
    """Start nothing of this script below this epoch any more; `Fenced` confirms."""

    script: Script
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Fenced:
    """No run of an older epoch starts here from now on."""

    script: Script
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class TakeInventory:
    """Tell what you hold; `Inventory` answers."""


@dataclass(frozen=True, slots=True)
class StateRow:
    """One state on a VM host."""

    script: Script
    epoch: Epoch
    digest: bytes
    load_us: int
    kib: int
    requests: int
    age_ms: int
    dependencies: tuple[Dependency, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """All states of a VM host; how a new broker learns what there is."""

    states: tuple[StateRow, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """A script asks for a module or file while it loads or runs; `Source` answers."""

    ticket: int  # names the question; unique per VM host
    script: Script
    epoch: Epoch
    kind: NeedKind
    name: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """What a `Need` asked for; `blob.path` is empty when there is none."""

    ticket: int
    blob: Blob
    error: str  # where it was looked for in vain, lines for the script's error message


# ---- placement: broker and front ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Miss:
    """A front holds a request for a path that it knows nothing about, or no host of."""

    path: bytes  # normalised absolute path, maybe with PATH_INFO behind the script
    idle: tuple[HostId, ...]  # hosts on which this front has nothing outstanding


@dataclass(frozen=True, slots=True)
class Pressure:
    """The oldest request of a script waits while every host with a state is taken."""

    script: Script
    waited_us: int
    queued: int
    total_us: int  # waited by all of them
    idle: tuple[HostId, ...]


@dataclass(frozen=True, slots=True)
class UseRow:
    """What a front saw of one script on one host since its last report."""

    script: Script
    host: HostId
    requests: int
    busy_us: int
    sojourn_us: int
    waited_us: int
    last_us: int  # how long ago the last one finished
    errors: int


@dataclass(frozen=True, slots=True)
class StopRow:
    """Requests of one script that one budget stopped since the last report."""

    script: Script
    budget: str
    times: int
    last: str  # about the last of them: where, and what was used


@dataclass(frozen=True, slots=True)
class Report:
    """A front's counts since its last report, and its gauges now."""

    uses: tuple[UseRow, ...]
    gauges: tuple[tuple[str, int], ...]
    stops: tuple[StopRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """What fronts must know of a script from now on."""

    asked: bytes  # the path of the `Miss` this answers; empty: unasked
    script: Script
    pool: Pool
    verdict: Verdict
    epoch: Epoch
    hosts: tuple[HostId, ...]
    wall_ms: int  # budget of a request of it
    reply_bytes: int  # the same
    log_bytes: int  # most that comes with one, see `loglines.longest`
    retry_after_s: int
    error: ScriptError | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a front must know: what is not in it is no more."""

    hosts: tuple["HostUp", ...]
    places: tuple[Place, ...]
    aliases: tuple[Alias, ...] = ()


@dataclass(frozen=True, slots=True)
class Aliases:
    """The directories that script roots really are: these, and no others any more.

    A path below one of them means the same path below the root.
    """

    aliases: tuple[Alias, ...]


# ---- supervision -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HostUp:
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


@dataclass(frozen=True, slots=True)
class HostLost:
    """A VM host is no more."""

    host: HostId
    running: RequestId  # which request it was running, from the scoreboard; 0: none
    begun: tuple[RequestId, ...]  # the last requests it began (at most 128), in order
    script: Script  # and of which script (also while it loaded one); empty: none
    reason: str  # "wall", "cpu", "seccomp", "crash", "killed", "stopped", ...
    detail: str  # one sentence for the log


@dataclass(frozen=True, slots=True)
class HostRow:
    """A VM host as its supervisor sees it."""

    host: HostId
    requests: int
    states: int
    rss_kib: int
    busy_us: int
    running: bytes  # script, empty when idle


@dataclass(frozen=True, slots=True)
class MachineReport:
    """A supervisor's heartbeat, once a second."""

    hosts: tuple[HostRow, ...]
    restarts: int


@dataclass(frozen=True, slots=True)
class Recycle:
    """Replace this VM host once it is idle."""

    host: HostId
    reason: str


@dataclass(frozen=True, slots=True)
class Accuse:
    """A VM host broke the protocol: it is to be killed and replaced."""

    host: HostId
    why: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill this VM host at once and replace it."""

    host: HostId
    reason: str


# ---- commands ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StatusWanted:
    """Ask for the farm's status."""


@dataclass(frozen=True, slots=True)
class StatusIs:
    """The farm's status as JSON."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Reload:
    """Check this path (script, module or directory; empty: all) against its files."""

    path: bytes
    wait: bool  # answer only when no front will serve the old generation


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The answer to `Reload`."""

    ok: bool
    error: str


Message = (
    Hello
    | Welcome
    | Runs
    | Dones
    | Part
    | Want
    | Body
    | Cancel
    | Load
    | Loaded
    | LoadFailed
    | Drop
    | Gone
    | Fence
    | Fenced
    | TakeInventory
    | Inventory
    | Need
    | Source
    | Miss
    | Pressure
    | Report
    | Place
    | Snapshot
    | Aliases
    | HostUp
    | HostLost
    | MachineReport
    | Recycle
    | StatusWanted
    | StatusIs
    | Reload
    | Reloaded
    | Accuse
    | Kill
    | Refused
)
