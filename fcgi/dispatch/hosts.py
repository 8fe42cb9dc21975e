"""VM hosts as a front sees them: which has room, and which is over its time.

A host has room when it can start a request soon. An empty one has room for anything, a
busy one while the expected work there stays within its window and it makes progress, so
that nothing quick waits behind anything slow; unknown and slow scripts go to empty
hosts only.
"""

# Compiled.

from typing import Final

from fcgi.dispatch.tables import (
    STALL_S,
    UNKNOWN_S,
    WINDOW_MAX_S,
    WINDOW_S,
    Entry,
    Host,
    Pending,
)
from luafarm.names import HostId, RequestId
from luafarm.patience import patience_s

MAX_RUNS: Final = 64  # outstanding on one host; fewer than HostLost.begun can name
OVERDUE_S: Final = 5.0  # beyond its budget and the supervisor's grace
SILENT_S: Final = 30.0  # then it does not answer late, but not at all: of no use here
MAX_RELEASED: Final = 128  # that are remembered: two connections' worth of runs
MAX_IDLE: Final = 64  # hosts named as idle in one message


class Hosts:
    """Owns the table of VM hosts."""

    def __init__(self) -> None:
        self._hosts: dict[HostId, Host] = {}

    def find(self, name: HostId) -> Host | None:
        """Return a host; None: it is not known."""
        return self._hosts.get(name)

    def add(self, name: HostId) -> bool:
        """Add a host; False when it is known already."""
        if name in self._hosts:
            return False
        self._hosts[name] = Host(name)
        return True

    def remove(self, name: HostId) -> Host | None:
        """Take a host out of the table, with its runs."""
        host = self._hosts.pop(name, None)
        if host is not None:
            host.ready = False
        return host

    def hunted(self, names: tuple[HostId, ...], number: int) -> list[Host]:
        """Return those of these hosts that are known, in the order of this front."""
        hosts = [self._hosts[name] for name in names if name in self._hosts]
        return hunt(hosts, number) if number and len(hosts) > 1 else hosts

    def are_ready(self) -> bool:
        """Return whether every host has said Welcome."""
        return all(host.ready for host in self._hosts.values())

    def has_ready(self) -> bool:
        """Return whether any host can be sent something."""
        return any(host.ready for host in self._hosts.values())

    def idle(self) -> tuple[HostId, ...]:
        """Return hosts that have nothing to do."""
        idle = [h.name for h in self._hosts.values() if h.ready and not h.runs]
        return tuple(idle[:MAX_IDLE])

    def running(self) -> int:
        """Return how many runs there are."""
        return sum(len(host.runs) for host in self._hosts.values())

    # ---- over their time -----------------------------------------------------------

    def give_up_overdue(self, now: float) -> list[Pending]:
        """Give up the runs of hosts that kept no deadline, nor did their supervisor.

        Return those that somebody waits for. The hosts get nothing more until they have
        answered all of them.
        """
        late: list[Pending] = []
        for host in self._hosts.values():
            first = next(iter(host.runs.values()), None)
            if first is None or first.entry is None or not first.entry.wall_s:
                continue
            if now - max(first.sent, host.since) <= first.entry.wall_s + OVERDUE_S:
                continue
            host.late_since = now
            host.ready = False
            late += [p for p in list(host.runs.values()) if give_up(host, p, now)]
        return late

    def woke(self, now: float) -> None:
        """Give all hosts their time anew: what they said meanwhile was not heard."""
        for host in self._hosts.values():
            host.since = host.late_since = now

    def silent(self, now: float) -> list[HostId]:
        """Return the hosts that have left runs that were given up without an answer."""
        found: list[HostId] = []
        for host in self._hosts.values():
            if host.is_away or not host.late:
                continue
            if now - host.late_since > SILENT_S:
                host.late_since = now
                found.append(host.name)
        return found

    def finish_late(self, host: Host, request: RequestId) -> Pending | None:
        """Take a run that was given up off its host, which serves again after them."""
        pending = host.late.pop(request, None)
        if pending is not None and not host.late:
            host.ready = not host.is_away
        return pending

    def check(self, entries: dict[bytes, Entry]) -> None:
        """Raise AssertionError if the tables disagree with each other."""
        for entry in entries.values():
            assert entry.hosts or not entry.lent
            for host in [*entry.hosts, *entry.lent]:
                assert self._hosts.get(host.name) is host, host.name
        for host in self._hosts.values():
            for path in host.waiting:
                assert host in entries[path].hosts, path
                assert entries[path].queue, path
            for path in host.patient:
                assert host in entries[path].lent, path
                assert entries[path].queue, path
            for pending in host.runs.values():
                assert pending.host is host
            total = sum(p.cost for p in host.runs.values())
            assert abs(total - host.work) < 1e-6, (total, host.work)


def hunt(hosts: list[Host], number: int) -> list[Host]:
    """Return the order in which the front of this number hunts these hosts.

    Fronts do not see what the others have sent. So they go out in pairs, one each way,
    from places as far apart as can be: 0, 1/2, 1/4, 3/4, ... (van der Corput). Two meet
    where both have come to their last.
    """
    place, part, pair = 0.0, 0.5, number >> 1
    while pair:
        place += part * (pair & 1)
        part /= 2
        pair >>= 1
    cut = int(place * len(hosts))
    order = hosts[cut:] + hosts[:cut]
    if number & 1:
        order.reverse()
    return order


def choose(entry: Entry, now: float) -> Host | None:
    """Return the first host in hunting order that has room, or None."""
    for host in entry.hosts:
        if host.ready and (not host.runs or has_room(host, entry, now)):
            return host
    return None


def is_out_of_patience(entry: Entry, now: float) -> bool:
    """Say whether the oldest request of a queue may go to a host that is lent to it."""
    return now - entry.queue[0].arrival >= patience_s(entry.est)


def has_room(host: Host, entry: Entry, now: float) -> bool:
    """Say whether a busy host can start a further request of this script soon."""
    return (
        entry.est >= 0
        and entry.est + host.work <= host.window
        and now - host.since <= STALL_S
        and len(host.runs) < MAX_RUNS
    )


def bind(
    pending: Pending, entry: Entry, host: Host, request: RequestId, now: float
) -> None:
    """Put a request on a host, under the id of this attempt."""
    pending.id = request
    pending.host = host
    host.bound += 1
    pending.serial = host.bound
    pending.sent = now
    cost = entry.est if entry.est >= 0 else UNKNOWN_S
    pending.cost = cost
    if not host.runs:
        host.since = now
    host.runs[request] = pending
    host.work += cost


def release(host: Host, request: RequestId, now: float) -> Pending | None:
    """Take a run off its host; None when the host has no such run."""
    pending = host.runs.pop(request, None)
    if pending is None:
        return None
    pending.host = None
    host.since = now
    if host.runs:
        host.work = max(0.0, host.work - pending.cost)
    else:
        host.work = 0.0  # no rounding error outlives an empty host
    return pending


def give_up(host: Host, pending: Pending, now: float) -> bool:
    """Give up a run that its host may yet answer; return whether somebody waits."""
    release(host, pending.id, now)
    host.late[pending.id] = pending
    was_cancelled = pending.cancelled
    pending.cancelled = True
    return not was_cancelled


def forget(host: Host, pending: Pending, now: float) -> None:
    """Take a run off a host that told what became of it; what comes late is dropped."""
    release(host, pending.id, now)
    host.released[pending.id] = 0
    while len(host.released) > MAX_RELEASED:
        del host.released[next(iter(host.released))]


def time_trip(host: Host, trip: float) -> None:
    """Learn how long a lone run is on its way to the host and back."""
    if 0 < trip < host.best_trip:
        host.best_trip = trip
        host.window = min(max(WINDOW_S, 2 * trip), WINDOW_MAX_S)
