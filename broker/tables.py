"""The rows of the broker's tables: scripts, VM hosts, and the states that join them.

Only `broker.machine` and its policy modules change them. A script's row owns its states
in hunting order; the host's row finds them by script.
"""

# Compiled.

from collections import deque
from typing import Final

from broker.heat import Heat
from luafarm.allowance import Allowance
from luafarm.ends import Budget
from luafarm.names import Epoch, HostId, Pool, Script
from luafarm.wire.messages import Dependency, HostUp, Limits, ScriptError

QUICK = 0
SLOW = 1
KEPT = 2
"""Of a host only: one of the quick lane where no slow script ever runs."""

LONG_S: Final = 2.0
"""A request that takes longer may well never end."""

_LONG_MEMORY_S: Final = 60.0
"""For this time a script is known for its last such request."""

MAX_BUDGETS = 16
"""That are counted for one script: their names come from VM hosts."""

_LONGER: Final = 0.1  # weights of a measurement of loading
_SHORTER: Final = 0.5

DependencyName = tuple[int, bytes]
"""(NeedKind, name): what a script asks for."""

Key = tuple[Pool, bytes]
"""A path as one pool sees it."""


class Policy:
    """The settings that hold for one script."""

    def __init__(
        self,
        limits: Limits,
        clones: int,
        min_clones: int,
        state_requests: int,
        state_age_s: float,
    ) -> None:
        self.limits = limits
        self.clones = clones
        self.min_clones = min_clones
        self.state_requests = state_requests
        self.state_age_s = state_age_s


class Generation:
    """One content of a script and of all files that its states used."""

    def __init__(self, epoch: Epoch, digest: bytes) -> None:
        self.epoch = epoch
        #: content of the script itself
        self.digest = digest
        #: what was asked for and what it was; all states of the generation together
        self.dependencies: dict[DependencyName, Dependency] = {}
        #: what these take by themselves, and all paths that they stand for
        self.question_bytes = 0
        self.path_bytes = 0
        #: how much else was asked for, which nobody follows for want of space
        self.unfollowed = 0
        #: what nobody follows may have changed
        self.is_doubted = False
        #: loads of it that ended with their VM host, maybe by somebody else's doing
        self.lost_loads = 0

    def forget(self) -> None:
        """Depend on nothing but the script: what it uses is about to be told."""
        self.dependencies = {}
        self.question_bytes = self.path_bytes = self.unfollowed = 0


class Failure:
    """A generation that did not load."""

    def __init__(
        self, generation: Generation, error: ScriptError, attempts: int, retry_at: float
    ) -> None:
        self.generation = generation
        self.error = error
        #: how often this very content failed
        self.attempts = attempts
        #: from then on it is tried again: the moment may have been to blame
        self.retry_at = retry_at


class Loading:
    """A state under way: ordered from a host, or waiting for the host to be free."""

    def __init__(
        self,
        record: "Record",
        host: "Host",
        generation: Generation,
        epoch: Epoch,
        since: float,
    ) -> None:
        self.record = record
        self.host = host
        self.generation = generation
        #: the generation's, or a newer one where an equal state is only renewed
        self.epoch = epoch
        self.since = since
        #: epoch of the state that it replaces, which somebody else ordered; 0: none
        self.foreign = Epoch(0)
        #: False: stands in the host's backlog
        self.sent = False
        #: for a clone: number and mean of the waits that led to it; 0: a first state
        self.uses = 0.0
        self.wait_s = 0.0


class State:
    """A Lua state of a script on a host."""

    def __init__(
        self,
        record: "Record",
        host: "Host",
        generation: Generation,
        epoch: Epoch,
        serial: int,
        now: float,
    ) -> None:
        self.record = record
        self.host = host
        #: fronts are told of it while this is the record's `current`
        self.generation = generation
        self.epoch = epoch
        self.serial = serial
        self.born_at = now
        #: the same until it is renewed
        self.loaded_at = now
        self.heat = Heat()
        self.kib = 0
        self.requests = 0
        #: has answered since it was loaded; before that it is no victim
        self.served = False
        #: what one use saves when it is a clone; 0 for a first state
        self.wait_s = 0.0
        #: place in the order of worth; kept by Victims
        self.key = 0.0
        self.position = -1


class Host:
    """A VM host."""

    def __init__(self, up: HostUp, lane: int) -> None:
        self.id: HostId = up.host
        self.pool: Pool = up.pool
        self.up = up
        #: of its supervisor
        self.incarnation = 0
        self.lane = lane
        #: told its inventory: may be given states
        self.is_known = False
        #: the broker's own connection to it lives
        self.is_reached = False
        #: in the list of those that may be given states; -1: not there
        self.place = -1
        #: gets nothing new, as it is replaced soon
        self.is_retiring = False
        self.retiring_since = 0.0
        self.retiring_for = ""
        #: had no space for a load: gets none before this time
        self.refused_until = 0.0
        #: of its states, as they were after loading
        self.kib = 0
        self.states: dict[Script, State] = {}
        self.loads: dict[Script, Loading] = {}
        #: orders to close that `Gone` has not confirmed: the newest epoch meant
        self.draining: dict[Script, Epoch] = {}
        #: started after this broker met its machine: it held nothing when it joined
        self.is_fresh = False
        #: what it may still say of states that nobody ordered from it
        self.unordered = Allowance(0, 1.0)
        #: its supervisor was ordered to kill it, then; 0: not
        self.accused_at = 0.0
        self.accused_of = ""
        #: the one load at a time that no request waits for
        self.background: Loading | None = None
        self.backlog: deque[Loading] = deque()
        self.busy = Heat()
        self.joined_at = 0.0
        self.joined_s = 0.0  # the same, as the time that the broker has watched
        self.requests = 0
        #: reports of its machine in a row that found it at the same run as before
        self.held = 0
        self.rss_kib = 0
        self.first_rss_kib = 0  # as it was reported first
        self.running = b""
        #: as its supervisor has reported: idle, without a sign of life
        self.silent_s = 0.0

    def has(self, record: "Record") -> bool:
        """Say whether it holds, loads or still has to close a state of this script.

        Only of such scripts is anything believed that is said of this host.
        """
        return record.pool == self.pool and self.is_given(record.script)

    def is_given(self, script: Script) -> bool:
        """Say whether a state of this script was ordered here, or is to be closed."""
        return script in self.states or script in self.loads or script in self.draining


class Record:
    """A script as the broker knows it."""

    def __init__(
        self, script: Script, pool: Pool, policy: Policy, *, is_pinned: bool = False
    ) -> None:
        self.script = script
        self.pool = pool
        self.policy = policy
        #: has one state at most, unlike other scripts: what it keeps there counts
        self.is_pinned = is_pinned
        #: the generation that is served; None: none ever loaded
        self.current: Generation | None = None
        #: a newer one of which the first state is being loaded
        self.next: Generation | None = None
        #: why the newest content is not served
        self.failure: Failure | None = None
        #: in hunting order; older than `current` only while they are being renewed
        self.states: list[State] = []
        self.loads: dict[HostId, Loading] = {}
        #: (front, path it asked for) to whom an answer is owed: since
        self.askers: dict[tuple[bytes, bytes], float] = {}
        #: hosts on which the fronts that wait have nothing outstanding
        self.idle: tuple[HostId, ...] = ()
        #: paths that count as its files
        self.watched: dict[Key, None] = {}
        #: what its pool is charged for the questions of its generations
        self.question_bytes = 0
        #: what fronts were told last: (verdict, hosts, epoch, lent); None: nothing
        self.told: tuple[int, tuple[HostId, ...], Epoch, int] | None = None
        self.heat = Heat()
        self.waited = Heat()
        self.errors = 0
        self.requests = 0
        #: by budget: how often it stopped a request or a load
        self.stops: dict[str, int] = {}
        self.last_stop = ""
        #: VM hosts that died of it
        self.kills = 0
        #: runs that ended well and excuse deaths: see `broker.guilt`
        self.credit = 0.0
        self.load_s = 0.0
        self.kib = 0
        #: mean time of its requests; 0: none has ended yet
        self.service_s = 0.0
        self.lane = QUICK
        #: when a request of it was last seen to take longer than LONG_S; < 0: never
        self.long_at = -_LONG_MEMORY_S
        #: loads in a row during which files changed
        self.stale_loads = 0
        #: changed its lane and has states in the other one
        self.is_moving = False
        #: content of the script when it was last loaded, empty when never
        self.digest = b""

    def generations(self) -> list[Generation]:
        """Return those whose files are followed."""
        failed = self.failure.generation if self.failure is not None else None
        held = (self.current, self.next, failed)
        return [generation for generation in held if generation is not None]

    def is_known(self) -> bool:
        """Say whether it is known how long its requests take."""
        return self.service_s > 0.0

    def is_long(self, now: float) -> bool:
        """Say whether its requests took longer than LONG_S of late."""
        return now - self.long_at < _LONG_MEMORY_S

    def stopped(self, budget: Budget, times: int, last: str) -> None:
        """Count what a budget stopped."""
        if budget not in self.stops and len(self.stops) >= MAX_BUDGETS:
            return
        self.stops[budget] = self.stops.get(budget, 0) + times
        self.last_stop = f"{budget}: {last}"

    def learn_load(self, load_s: float) -> None:
        """Learn what loading takes.

        A measurement above the others tells more of the moment than of the script.
        """
        if self.load_s <= 0.0:
            self.load_s = load_s
        else:
            weight = _LONGER if load_s > self.load_s else _SHORTER
            self.load_s += (load_s - self.load_s) * weight


def is_home(record: Record, host: Host) -> bool:
    """Say whether a host is of the script's own lane."""
    return (host.lane == SLOW) == (record.lane == SLOW)


def cannot_leave(record: Record) -> bool:
    """Say whether a script's state stays where it is: there can be no second one."""
    return record.policy.clones == 1
