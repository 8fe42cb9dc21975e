"""Requests that wait, one queue per script, in the order of their arrival.

Fair between scripts by start-time fair queueing: a script's tag is the virtual time at
which its next request starts; serving one moves the tag on by the work it costs, and a
script that begins to wait starts at the virtual time of now. Whoever has the smallest
tag is next, so a flood of one script delays others by one of its requests.
Goyal, Vin and Cheng, Start-time Fair Queueing (SIGCOMM 1996).
"""

# Compiled.

from fcgi.dispatch.hosts import has_room, is_out_of_patience
from fcgi.dispatch.tables import UNKNOWN_S, Entry, Host, Pending


class Backlog:
    """Owns the queues of all entries and which hosts they wait for."""

    def __init__(self, limit: int, limit_per_script: int) -> None:
        self._limit = limit
        self._limit_per_script = limit_per_script
        self._entries: dict[bytes, Entry] = {}  # all and only entries with a queue
        self._virtual: float = 0.0  # start tag of what was served last
        self.queued: int = 0  # requests in all queues

    def entries(self) -> list[Entry]:
        """Return the scripts that wait."""
        return list(self._entries.values())

    def add(self, entry: Entry, pending: Pending, now: float) -> bool:
        """Queue a request by its arrival; False when the queue is full."""
        queue = entry.queue
        if self.queued >= self._limit or len(queue) >= self._limit_per_script:
            return False
        if not queue:
            self._entries[entry.script] = entry
            entry.tag = max(entry.tag, self._virtual)
            entry.stand.served = now
            for host in entry.hosts:
                if not host.waiting:
                    host.stand.served = now
            self._wait_at_hosts(entry)
        if not queue or queue[-1].arrival <= pending.arrival:
            queue.append(pending)
        else:
            # it waited before, on a host that is gone: it keeps its place
            at = 0
            while queue[at].arrival <= pending.arrival:
                at += 1
            queue.insert(at, pending)
        self.queued += 1
        return True

    def next_for(self, host: Host, now: float) -> Entry | None:
        """Return the script that this host serves next, of those it has room for."""
        best: Entry | None = None
        for entry in host.waiting.values():
            if host.runs and not has_room(host, entry, now):
                continue
            if best is None or entry.tag < best.tag:
                best = entry
        return best

    def ahead(self, entry: Entry, host: Host) -> float:
        """Return the work, in seconds, before a request of a script that came now.

        Its own script's, and as much of each other script that waits for this host:
        those that wait are served in turn.
        """
        cost = entry.est if entry.est >= 0 else UNKNOWN_S
        ahead = len(entry.queue) * cost
        turn = ahead + cost
        for other in host.waiting.values():
            if other is not entry:
                cost = other.est if other.est >= 0 else UNKNOWN_S
                ahead += min(len(other.queue) * cost, turn)
        return ahead

    def next_lent(self, host: Host, now: float) -> Entry | None:
        """Return the script that an idle host serves next, of those it is lent to.

        Only one whose requests have waited for longer than they take.
        """
        best: Entry | None = None
        for entry in host.patient.values():
            if not is_out_of_patience(entry, now):
                continue
            if best is None or entry.tag < best.tag:
                best = entry
        return best

    def pop(self, entry: Entry) -> Pending:
        """Take the oldest request of a script that waits."""
        pending = entry.queue.popleft()
        self._taken(entry)
        return pending

    def remove(self, entry: Entry, pending: Pending) -> bool:
        """Take a request out of the middle; False when it does not wait there."""
        if pending not in entry.queue:
            return False
        entry.queue.remove(pending)
        self._taken(entry)
        return True

    def charge(self, entry: Entry, cost: float) -> None:
        """Take note that a script that waited was served, at this cost in seconds."""
        self._virtual = entry.tag
        entry.tag += cost

    def set_hosts(self, entry: Entry, hosts: list[Host], lent: list[Host]) -> None:
        """Exchange the hosts of a script, waiting or not."""
        if entry.queue:
            self._leave(entry)
        entry.hosts = hosts
        entry.lent = lent
        if entry.queue:
            self._wait_at_hosts(entry)

    def _wait_at_hosts(self, entry: Entry) -> None:
        for host in entry.hosts:
            host.waiting[entry.script] = entry
        for host in entry.lent:
            host.patient[entry.script] = entry

    def _taken(self, entry: Entry) -> None:
        self.queued -= 1
        if not entry.queue:
            del self._entries[entry.script]
            entry.stand.end()
            self._leave(entry)

    def _leave(self, entry: Entry) -> None:
        for host in entry.hosts:
            host.waiting.pop(entry.script, None)
            if not host.waiting:
                host.stand.end()
        for host in entry.lent:
            host.patient.pop(entry.script, None)

    def check(self) -> None:
        """Raise AssertionError if the tables disagree with each other."""
        for entry in self._entries.values():
            for host in entry.hosts:
                assert host.waiting
        assert self.queued == sum(len(e.queue) for e in self._entries.values())
        for script, entry in self._entries.items():
            assert script == entry.script
            assert entry.queue
            arrivals = [p.arrival for p in entry.queue]
            assert arrivals == sorted(arrivals)
            for pending in entry.queue:
                assert pending.host is None
                assert not pending.cancelled
            for host in entry.hosts:
                assert host.waiting.get(script) is entry, script
            for host in entry.lent:
                assert host.patient.get(script) is entry, script
