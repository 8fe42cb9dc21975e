"""The front's decisions: which request goes to which VM host, and when.

Late binding: one queue per script; a request is bound to a host only when that host can
start it soon. Ordered hunting: the first host in the order the broker published that
has room takes the request. An empty host has room for anything, a busy one while the
expected work there stays within its window, so that nothing quick waits behind anything
slow; unknown and slow scripts go to empty hosts only. That a busy host with room comes
before an empty one behind it costs at most the window and saves waking the empty one,
which costs the machine more than a quick script. A host that has room takes the next
request of the waiting script with the smallest virtual start time (start-time fair
queueing), so that a flood of one script delays the others by one service time, not by
its backlog.

Nothing here reads a clock or a socket: `now` is monotonic seconds, ids come from a
function given at the start. Calls return actions; order is part of their meaning.
References: docs/architecture.md, "Dispatch"; Goyal et al., Start-time Fair Queueing
(SIGCOMM 1996).
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from fcgi.actions import Action, Answer, CancelRun, Send, Tell
from fcgi.backlog import Backlog
from fcgi.placement import (
    LEARN,
    STALL_S,
    UNKNOWN_S,
    WINDOW_MAX_S,
    WINDOW_S,
    Entry,
    Host,
    Pending,
    Use,
    prefixes,
)
from fcgi.refusal import TIME_BUDGETS, Refusal, hard_stop, of_error
from luafarm.messages import (
    SAFE,
    Miss,
    Place,
    Pressure,
    Report,
    UseRow,
    Verdict,
)
from luafarm.names import HostId, RequestId, Script

PRESSURE_S: Final = 0.001  # first report of pressure; then doubling
PRESSURE_MAX_S: Final = 0.032  # uncapped, one refused clone would starve a script
PRESSURE_RESET_S: Final = 0.1  # without pressure for so long: it starts quickly again
ASK_AGAIN_S: Final = 0.25  # a Miss without a useful answer is repeated: nothing comes
# of it while the broker is new, or does not know yet that a host is lost
OVERDUE_S: Final = 5.0  # beyond its budget and the supervisor's grace
MAX_RUNS: Final = 64  # outstanding on one host; fewer than HostLost.begun can name
MAX_IDLE: Final = 64  # hosts named as idle in one message


class Dispatch:
    """Owns the front's tables: scripts, queues, hosts and what runs where."""

    def __init__(
        self,
        ids: Callable[[], int],
        *,
        turn: int = 0,
        queue: int = 2048,
        queue_per_script: int = 1024,
        queue_timeout_s: float = 10.0,
        remembered: int = 4096,
    ) -> None:
        self._ids = ids
        self._turn = turn  # fronts start hunting at different hosts
        self._backlog = Backlog(queue, queue_per_script)
        self._queue_timeout_s = queue_timeout_s
        self._remembered = remembered
        self._entries: dict[bytes, Entry] = {}
        self._idle: dict[
            bytes, None
        ] = {}  # entries without host and queue, oldest first
        self._hosts: dict[HostId, Host] = {}
        self._alarms: list[tuple[float, bytes]] = []  # pressure to look at, a heap
        self._used: dict[bytes, Entry] = {}  # entries with something to report
        self.rerun: int = 0  # requests sent once more because their host died

    # ---- requests ------------------------------------------------------------------

    def arrive(self, pending: Pending, now: float) -> list[Action]:
        """Take a request; send it, queue it or refuse it."""
        entry = self._entries.get(pending.path)
        if entry is None:
            entry = self._find(pending.path)
        pending.entry = entry
        if entry.hosts and not entry.queue and entry.verdict == Verdict.READY:
            host = self._choose(entry, now)
            if host is not None:
                return [self._send(pending, entry, host, now)]
        return self._hold(pending, entry, now)

    def cancel(self, pending: Pending) -> list[Action]:
        """Forget a request whose client went away."""
        pending.cancelled = True
        host = pending.host
        if host is not None:
            return [CancelRun(host.name, pending.id)]
        entry = pending.entry
        if entry is not None and self._backlog.remove(entry, pending):
            self._rest(entry)
        return []

    def finish(
        self, name: HostId, request: RequestId, service_us: int, now: float, *, ok: bool
    ) -> Pending | None:
        """Take a run off its host; None when that host has no such run.

        Call `fill` once after the rows of a batch.
        """
        pending = self._take(name, request, now)
        if pending is None:
            return None
        entry = pending.entry
        assert entry is not None
        service_s = service_us * 1e-6
        host = self._hosts[name]
        if not host.runs:
            self._time_trip(host, now - pending.sent - service_s)
        if entry.est < 0:
            entry.est = service_s
        else:
            entry.est += LEARN * (service_s - entry.est)
        use = entry.uses.get(name)
        if use is None:
            use = entry.uses[name] = Use()
            self._used[entry.script] = entry
        use.requests += 1
        use.busy_us += service_us
        use.sojourn_s += now - pending.arrival
        use.waited_s += pending.sent - pending.arrival
        use.last = now
        if not ok:
            use.errors += 1
        return pending

    def absent(self, name: HostId, request: RequestId, now: float) -> list[Action]:
        """Place a run again that its host had no state for."""
        pending = self._take(name, request, now)
        if pending is None or pending.cancelled:
            return []
        entry = pending.entry
        assert entry is not None
        host = self._hosts.get(name)
        if host is not None and host in entry.hosts:
            self._without(entry, host)
        pending.absences += 1
        if pending.absences > 1:
            entry.asked = now  # the broker does not know better yet: ask with a pause
        return self._again(pending, now)

    def fill(self, name: HostId, now: float) -> list[Action]:
        """Give a host what waits for it, as far as it has room."""
        host = self._hosts.get(name)
        if host is None or not host.waiting or not host.ready:
            return []
        actions: list[Action] = []
        while host.waiting and len(host.runs) < MAX_RUNS:
            best: Entry | None = None
            for entry in host.waiting.values():
                if host.runs and not self._has_room(host, entry, now):
                    continue
                if best is None or entry.tag < best.tag:
                    best = entry
            if best is None:
                break
            actions.append(self._send_next(best, host, now))
        return actions

    # ---- hosts ---------------------------------------------------------------------

    def host_up(self, name: HostId) -> bool:
        """Add a host; False when it is known already."""
        if name in self._hosts:
            return False
        self._hosts[name] = Host(name)
        return True

    def host_ready(self, name: HostId, now: float) -> list[Action]:
        """Start to use a host: it said Welcome."""
        host = self._hosts.get(name)
        if host is None:
            return []
        host.ready = True
        return self.fill(name, now)

    def host_suspect(self, name: HostId) -> None:
        """Send nothing more to a host whose connection broke, until it is lost."""
        host = self._hosts.get(name)
        if host is not None:
            host.ready = False

    def is_ready(self) -> bool:
        """Return whether every host has said Welcome."""
        return all(host.ready for host in self._hosts.values())

    def run(self, name: HostId, request: RequestId) -> Pending | None:
        """Return a run that this host has not answered yet."""
        host = self._hosts.get(name)
        return host.runs.get(request) if host is not None else None

    def oldest_run(self, name: HostId) -> RequestId:
        """Return the host's oldest unanswered run, which it has begun; 0: none."""
        host = self._hosts.get(name)
        return next(iter(host.runs), RequestId(0)) if host else RequestId(0)

    def host_lost(
        self,
        name: HostId,
        running: RequestId,
        begun: tuple[RequestId, ...],
        reason: str,
        now: float,
    ) -> list[Action]:
        """Take a host out; send on, send again or answer what was there.

        Only a run that had not begun, or of a safe method under its first dead host and
        not over its budget, is started elsewhere.
        """
        host = self._hosts.pop(name, None)
        if host is None:
            return []
        host.ready = False
        for entry in list(self._entries.values()):
            if host in entry.hosts:
                self._without(entry, host)
        actions: list[Action] = []
        started = frozenset(begun)
        for pending in host.runs.values():
            pending.host = None
            if pending.cancelled:
                continue
            if pending.id == running and reason in TIME_BUDGETS:
                script = pending.entry.script if pending.entry else pending.path
                error = hard_stop(script, reason)
                actions.append(Answer(pending, Refusal.TIMEOUT, error=error))
                continue
            if pending.id == running or pending.id in started:
                pending.deaths += 1
                if pending.deaths > 1 or pending.begun or not pending.flags & SAFE:
                    actions.append(Answer(pending, Refusal.HOST_LOST))
                    continue
                self.rerun += 1
            actions += self._again(pending, now)
        return actions

    # ---- placement -----------------------------------------------------------------

    def place(self, place: Place, now: float) -> list[Action]:
        """Take what the broker says of a script."""
        entry = self._entries.get(place.script)
        if entry is None:
            entry = self._entries[place.script] = Entry(place.script)
        entry.pool = place.pool
        entry.known = True
        entry.verdict = place.verdict
        entry.epoch = place.epoch
        entry.wall_s = place.wall_ms / 1000
        entry.error = place.error
        entry.refused_until = now + place.retry_after_s
        hosts = [self._hosts[h] for h in place.hosts if h in self._hosts]
        if hosts and self._turn:
            cut = self._turn % len(hosts)
            hosts = hosts[cut:] + hosts[:cut]
        if hosts or place.verdict != Verdict.READY or not entry.queue:
            entry.asked = -1.0  # else the answer was of no use: ask again, not at once
        self._backlog.set_hosts(entry, hosts)
        actions: list[Action] = []
        if place.asked and place.asked != place.script:
            actions += self._redirect(place.asked, entry, now)
        actions += self._settle(entry, now)
        self._rest(entry)
        return actions

    def snapshot(self, places: tuple[Place, ...], now: float) -> list[Action]:
        """Take all that a broker knows; what it does not name is asked for again."""
        actions: list[Action] = []
        named = {place.script for place in places}
        for path, entry in list(self._entries.items()):
            if path not in named:
                entry.known = False
                entry.verdict = Verdict.READY
                entry.asked = -1.0
                self._backlog.set_hosts(entry, [])
                if entry.queue:
                    actions += self._ask(entry, now)
                else:
                    self._entries.pop(path)
                    self._idle.pop(path, None)
        for place in places:
            actions += self.place(place, now)
        return actions

    # ---- time ----------------------------------------------------------------------

    def wake_at(self) -> float:
        """Return when `wake` wants to be called; 0: not at all."""
        return self._alarms[0][0] if self._alarms else 0.0

    def wake(self, now: float) -> list[Action]:
        """Report pressure that has come due."""
        actions: list[Action] = []
        while self._alarms and self._alarms[0][0] <= now:
            _, path = heappop(self._alarms)
            entry = self._entries.get(path)
            if entry is None or not entry.is_watched:
                continue
            waited = now - entry.queue[0].arrival if entry.queue else 0.0
            if not entry.hosts or waited < PRESSURE_S:
                entry.is_watched = False
                if entry.queue and entry.hosts:
                    self._watch(entry, now)
                continue
            total = sum(now - p.arrival for p in entry.queue)
            actions.append(
                Tell(
                    Pressure(
                        Script(path),
                        int(waited * 1e6),
                        len(entry.queue),
                        int(total * 1e6),
                        self._idle_hosts(),
                    )
                )
            )
            entry.pressed = now
            entry.pressure_s = min(entry.pressure_s * 2, PRESSURE_MAX_S)
            heappush(self._alarms, (now + entry.pressure_s, path))
        return actions

    def tick(self, now: float) -> list[Action]:
        """Give up what waited or ran too long, ask again; call every 100 ms or so."""
        actions: list[Action] = []
        for entry in self._backlog.entries():
            while entry.queue and entry.queue[0].arrival + self._queue_timeout_s <= now:
                late = self._pop(entry)
                actions.append(Answer(late, Refusal.OVERLOADED, retry_after_s=1))
            if entry.queue and not entry.hosts and now - entry.asked >= ASK_AGAIN_S:
                entry.asked = -1.0
                actions += self._ask(entry, now)
        for host in self._hosts.values():
            first = next(iter(host.runs.values()), None)
            if first is None or first.entry is None or not first.entry.wall_s:
                continue
            if now - max(first.sent, host.since) > first.entry.wall_s + OVERDUE_S:
                host.ready = False  # neither it nor its supervisor kept the deadline
                for pending in list(host.runs.values()):
                    self._take(host.name, pending.id, now)
                    if pending.cancelled:
                        continue
                    actions.append(Answer(pending, Refusal.TIMEOUT))
        return actions

    def report(self, now: float, gauges: dict[str, int]) -> Report:
        """Return the counts since the last report, and forget them."""
        rows: list[UseRow] = []
        for entry in self._used.values():
            for name, use in entry.uses.items():
                rows.append(
                    UseRow(
                        Script(entry.script),
                        name,
                        use.requests,
                        use.busy_us,
                        int(use.sojourn_s * 1e6),
                        int(use.waited_s * 1e6),
                        int((now - use.last) * 1e6),
                        use.errors,
                    )
                )
            entry.uses = {}
        self._used = {}
        gauges["queued"] = self._backlog.queued
        gauges["running"] = sum(len(h.runs) for h in self._hosts.values())
        gauges["rerun"] = self.rerun
        return Report(tuple(rows), tuple(sorted(gauges.items())))

    def retry_broker(self) -> None:
        """Forget that anything was asked: the broker is a new one."""
        for entry in self._backlog.entries():
            entry.asked = -1.0

    @property
    def outstanding(self) -> int:
        """Requests that wait or run."""
        return self._backlog.queued + sum(len(h.runs) for h in self._hosts.values())

    # ---- inside --------------------------------------------------------------------

    def _find(self, path: bytes) -> Entry:
        """Return the entry of the script in front of PATH_INFO, or a new one."""
        for prefix in prefixes(path):
            entry = self._entries.get(prefix)
            if entry is not None and entry.known and entry.verdict != Verdict.MISSING:
                return entry
        entry = self._entries[path] = Entry(path)
        return entry

    def _choose(self, entry: Entry, now: float) -> Host | None:
        for host in entry.hosts:
            if host.ready and (not host.runs or self._has_room(host, entry, now)):
                return host
        return None

    def _has_room(self, host: Host, entry: Entry, now: float) -> bool:
        return (
            entry.est >= 0
            and entry.est + host.work <= host.window
            and now - host.since <= STALL_S
            and len(host.runs) < MAX_RUNS
        )

    def _time_trip(self, host: Host, trip: float) -> None:
        """Learn how long a run is on its way to the host and back."""
        if 0 < trip < host.best_trip:
            host.best_trip = trip
            host.window = min(max(WINDOW_S, 2 * trip), WINDOW_MAX_S)

    def _send(self, pending: Pending, entry: Entry, host: Host, now: float) -> Send:
        request = RequestId(self._ids())
        pending.id = request
        pending.host = host
        pending.sent = now
        cost = entry.est if entry.est >= 0 else UNKNOWN_S
        pending.cost = cost
        if not host.runs:
            host.since = now
        host.runs[request] = pending
        host.work += cost
        return Send(pending)

    def _send_next(self, entry: Entry, host: Host, now: float) -> Send:
        pending = self._pop(entry)
        send = self._send(pending, entry, host, now)
        self._backlog.charge(entry, pending.cost)
        return send

    def _take(self, name: HostId, request: RequestId, now: float) -> Pending | None:
        host = self._hosts.get(name)
        if host is None:
            return None
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

    def _hold(self, pending: Pending, entry: Entry, now: float) -> list[Action]:
        """Queue a request that cannot start now, or refuse it."""
        verdict = entry.verdict
        if entry.known and verdict == Verdict.REFUSED and now >= entry.refused_until:
            entry.verdict = verdict = Verdict.READY
        if entry.known and verdict != Verdict.READY:
            return [self._refuse(pending, entry, now)]
        if not self._backlog.add(entry, pending):
            self._rest(entry)
            return [Answer(pending, Refusal.OVERLOADED, retry_after_s=1)]
        self._idle.pop(entry.script, None)
        if not entry.hosts:
            return self._ask(entry, now)
        self._watch(entry, now)
        return []

    def _watch(self, entry: Entry, now: float) -> None:
        """Look at a script's queue in a moment: it may be pressure."""
        if entry.is_watched:
            return
        if now - entry.pressed >= PRESSURE_RESET_S:
            entry.pressure_s = PRESSURE_S
        entry.is_watched = True
        heappush(self._alarms, (now + entry.pressure_s, entry.script))

    def _refuse(self, pending: Pending, entry: Entry, now: float) -> Answer:
        if entry.verdict == Verdict.MISSING:
            return Answer(pending, Refusal.NOT_FOUND)
        if entry.verdict == Verdict.BROKEN:
            return Answer(pending, of_error(entry.error), error=entry.error)
        wait = max(1, int(entry.refused_until - now + 0.999))
        return Answer(pending, Refusal.UNAVAILABLE, wait, entry.error)

    def _ask(self, entry: Entry, now: float) -> list[Action]:
        if entry.asked >= 0:
            return []
        entry.asked = now
        return [Tell(Miss(entry.script, self._idle_hosts()))]

    def _redirect(self, asked: bytes, entry: Entry, now: float) -> list[Action]:
        """Move what waits under a path with PATH_INFO to its script."""
        waiting = self._entries.get(asked)
        if waiting is None or waiting is entry or waiting.known:
            return []
        actions: list[Action] = []
        queue = list(waiting.queue)
        while waiting.queue:
            self._pop(waiting)
        self._entries.pop(asked)
        self._idle.pop(asked, None)
        for pending in queue:
            pending.entry = entry
            actions += self._again(pending, now)
        return actions

    def _again(self, pending: Pending, now: float) -> list[Action]:
        """Place a request anew; in a queue it keeps the place of its arrival."""
        assert pending.entry is not None
        entry = self._entries.setdefault(pending.entry.script, pending.entry)
        pending.entry = entry
        if entry.hosts and entry.verdict == Verdict.READY:
            host = self._choose(entry, now)
            if host is not None:
                return [self._send(pending, entry, host, now)]
        return self._hold(pending, entry, now)

    def _settle(self, entry: Entry, now: float) -> list[Action]:
        """Serve or refuse what waits, after the broker's word on it."""
        actions: list[Action] = []
        if entry.verdict != Verdict.READY:
            while entry.queue:
                actions.append(self._refuse(self._pop(entry), entry, now))
            return actions
        while entry.queue:
            host = self._choose(entry, now) if entry.hosts else None
            if host is None:
                break
            actions.append(self._send_next(entry, host, now))
        if entry.queue:
            if entry.hosts:
                self._watch(entry, now)
            else:
                actions += self._ask(entry, now)
        return actions

    def _without(self, entry: Entry, host: Host) -> None:
        self._backlog.set_hosts(entry, [h for h in entry.hosts if h is not host])
        self._rest(entry)

    def _pop(self, entry: Entry) -> Pending:
        pending = self._backlog.pop(entry)
        self._rest(entry)
        return pending

    def _rest(self, entry: Entry) -> None:
        """Remember an entry that nothing holds on to; forget the oldest of them."""
        if entry.hosts or entry.queue:
            self._idle.pop(entry.script, None)
            return
        self._idle[entry.script] = None
        while len(self._idle) > self._remembered:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            self._entries.pop(oldest, None)

    def _idle_hosts(self) -> tuple[HostId, ...]:
        idle = [h.name for h in self._hosts.values() if h.ready and not h.runs]
        return tuple(idle[:MAX_IDLE])

    def check(self) -> None:
        """Raise AssertionError if the tables disagree with each other."""
        self._backlog.check()
        for path, entry in self._entries.items():
            assert path == entry.script
            idle = not entry.hosts and not entry.queue
            assert (path in self._idle) == idle, path
            for host in entry.hosts:
                assert self._hosts.get(host.name) is host, host.name
        for host in self._hosts.values():
            for path in host.waiting:
                assert host in self._entries[path].hosts, path
                assert self._entries[path].queue, path
            for pending in host.runs.values():
                assert pending.host is host
            total = sum(p.cost for p in host.runs.values())
            assert abs(total - host.work) < 1e-6, (total, host.work)
