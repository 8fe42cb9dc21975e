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

# Compiled.

from collections.abc import Callable
from typing import Final

from fcgi.cgi.refusal import TIME_BUDGETS, Refusal, hard_stop, of_error
from fcgi.dispatch.actions import Action, CancelRun, Refuse, Send, Tell
from fcgi.dispatch.alarms import Alarms
from fcgi.dispatch.backlog import Backlog
from fcgi.dispatch.catalogue import Catalogue
from fcgi.dispatch.conduct import begin_anew
from fcgi.dispatch.room import MAX_RUNS, bind, choose, hunt, release, time_trip
from fcgi.dispatch.tables import LEARN, Entry, Host, Pending
from fcgi.dispatch.usage import Usage
from luafarm.aliases import Alias
from luafarm.names import HostId, RequestId, Script
from luafarm.wire.messages import SAFE, Accuse, Miss, Place, Pressure, UseRow, Verdict

ASK_AGAIN_S: Final = 0.25  # a Miss without a useful answer is repeated: nothing comes
# of it while the broker is new, or does not know yet that a host is lost
OVERDUE_S: Final = 5.0  # beyond its budget and the supervisor's grace
FORSAKEN_S: Final = 30.0  # then it does not answer late, but not at all: of no use here
MOST_LOSSES: Final = 3  # hosts lost with a run as their next: one that hides what it
# ran, and ends of it, would have the same run again and again
MAX_IDLE: Final = 64  # hosts named as idle in one message
MAX_SERVICE_US: Final = 86_400_000_000  # a day, the longest budget: hosts say anything


class Dispatch:
    """Owns the front's tables: scripts, queues, hosts and what runs where."""

    def __init__(
        self,
        ids: Callable[[], int],
        *,
        number: int = 0,
        queue: int = 2048,
        queue_per_script: int = 1024,
        queue_timeout_s: float = 10.0,
        remembered: int = 4096,
    ) -> None:
        self._ids = ids
        self._number = number  # of this front; the first keeps to the published order
        self._backlog = Backlog(queue, queue_per_script)
        self._queue_timeout_s = queue_timeout_s
        self._catalogue = Catalogue(remembered)
        self._hosts: dict[HostId, Host] = {}
        self._alarms = Alarms()
        self._usage = Usage()
        self.rerun: int = 0  # requests sent once more because their host died

    # ---- requests ------------------------------------------------------------------

    def arrive(self, pending: Pending, now: float) -> list[Action]:
        """Take a request; send it, queue it or refuse it."""
        if self._catalogue.aliases:
            pending.path = self._catalogue.named(pending.path)
        entry = self._catalogue.find(pending.path)
        pending.entry = entry
        if entry.hosts and not entry.queue and entry.verdict == Verdict.READY:
            host = choose(entry, now)
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
            self._catalogue.rest(entry)
        return []

    def finish(
        self, name: HostId, request: RequestId, service_us: int, now: float, *, ok: bool
    ) -> Pending | None:
        """Take a run off its host; None when that host has no such run.

        Call `fill` once after the rows of a batch.
        """
        host = self._hosts.get(name)
        pending = release(host, request, now) if host is not None else None
        if host is None:
            return None
        if pending is None:
            return self._finish_late(host, request)
        entry = pending.entry
        assert entry is not None
        service_us = min(max(service_us, 0), MAX_SERVICE_US)
        service_s = service_us * 1e-6
        if not host.runs:
            time_trip(host, now - pending.sent - service_s)
        if entry.est < 0:
            entry.est = service_s
        else:
            entry.est += LEARN * (service_s - entry.est)
        self._usage.count(entry, name, pending, service_us, now, ok=ok)
        return pending

    def absent(self, name: HostId, request: RequestId, now: float) -> list[Action]:
        """Place a run again that its host had no state for."""
        host = self._hosts.get(name)
        if host is None:
            return []
        pending = release(host, request, now)
        if pending is None:
            self._finish_late(host, request)
            return []
        if pending.cancelled:
            return []
        entry = pending.entry
        assert entry is not None
        if host in entry.hosts:
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
            entry = self._backlog.next_for(host, now)
            if entry is None:
                break
            actions.append(self._send_next(entry, host, now))
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
        """Return a run that this host has not answered yet, also one given up."""
        host = self._hosts.get(name)
        if host is None:
            return None
        return host.runs.get(request) or host.late.get(request)

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
        for entry in list(self._catalogue.entries.values()):
            if host in entry.hosts:
                self._without(entry, host)
        actions: list[Action] = []
        started = frozenset(begun)
        following = next(iter(host.runs.values()), None)
        for pending in host.runs.values():
            pending.host = None
            if pending.cancelled:
                continue
            if pending.id == running and reason in TIME_BUDGETS:
                script = pending.entry.script if pending.entry else pending.path
                error = hard_stop(script, reason)
                actions.append(Refuse(pending, Refusal.TIMEOUT, error=error))
                continue
            if pending is following:
                pending.losses += 1
            is_begun = pending.id == running or pending.id in started
            if is_begun or pending.losses > MOST_LOSSES:
                pending.deaths += 1
                if pending.deaths > 1 or pending.begun or not pending.flags & SAFE:
                    actions.append(Refuse(pending, Refusal.HOST_LOST))
                    continue
                self.rerun += 1
            actions += self._again(pending, now)
        return actions

    # ---- placement -----------------------------------------------------------------

    def place(self, place: Place, now: float) -> list[Action]:
        """Take what the broker says of a script."""
        if self._is_nothing(place):
            return []
        entry = self._catalogue.of(place.script)
        entry.pool = place.pool
        entry.known = True
        entry.verdict = place.verdict
        entry.epoch = place.epoch
        entry.wall_s = place.wall_ms / 1000
        entry.reply_bytes = max(entry.reply_bytes, place.reply_bytes)
        entry.log_bytes = max(entry.log_bytes, place.log_bytes)
        entry.error = place.error
        entry.refused_until = now + place.retry_after_s
        hosts = [self._hosts[h] for h in place.hosts if h in self._hosts]
        if self._number and len(hosts) > 1:
            hosts = hunt(hosts, self._number)
        if hosts or place.verdict != Verdict.READY or not entry.queue:
            entry.asked = -1.0  # else the answer was of no use: ask again, not at once
        if hosts and not entry.hosts:
            entry.placed = now
        self._backlog.set_hosts(entry, hosts)
        actions: list[Action] = []
        if place.asked and place.asked != place.script:
            actions += self._redirect(place.asked, entry, now)
        actions += self._settle(entry, now)
        self._catalogue.rest(entry)
        return actions

    def _is_nothing(self, place: Place) -> bool:
        """Say whether a path that is not known here is to be forgotten."""
        return (
            place.verdict == Verdict.READY
            and not place.hosts
            and not place.asked
            and place.script not in self._catalogue.entries
        )

    def snapshot(self, places: tuple[Place, ...], now: float) -> list[Action]:
        """Take all that a broker knows; what it does not name is asked for again."""
        actions: list[Action] = []
        named = {place.script for place in places}
        for path, entry in list(self._catalogue.entries.items()):
            if path not in named:
                entry.known = False
                entry.verdict = Verdict.READY
                entry.asked = -1.0
                self._backlog.set_hosts(entry, [])
                if entry.queue:
                    actions += self._ask(entry, now)
                else:
                    self._catalogue.forget(path)
        for place in places:
            actions += self.place(place, now)
        return actions

    def realign(self, aliases: tuple[Alias, ...]) -> None:
        """Take which directories script roots really are."""
        self._catalogue.realign(aliases)

    # ---- time ----------------------------------------------------------------------

    def wake_at(self) -> float:
        """Return when `wake` wants to be called; 0: not at all."""
        return self._alarms.next_at()

    def wake(self, now: float) -> list[Action]:
        """Report pressure that has come due."""
        actions: list[Action] = []
        for entry in self._alarms.due(self._catalogue.entries, now):
            total = sum([now - p.arrival for p in entry.queue])
            pressure = Pressure(
                Script(entry.script),
                int((now - entry.queue[0].arrival) * 1e6),
                len(entry.queue),
                int(total * 1e6),
                self._idle_hosts(),
            )
            actions.append(Tell(pressure))
        return actions

    def tick(self, now: float) -> list[Action]:
        """Give up what waited or ran too long, ask again; call every 100 ms or so."""
        actions: list[Action] = []
        for entry in self._backlog.entries():
            while entry.queue and entry.queue[0].arrival + self._queue_timeout_s <= now:
                late = self._pop(entry)
                actions.append(Refuse(late, Refusal.OVERLOADED, retry_after_s=1))
            if entry.queue and not entry.hosts and now - entry.asked >= ASK_AGAIN_S:
                entry.asked = -1.0
                actions += self._ask(entry, now)
        for host in self._hosts.values():
            if host.late and now - host.late_since > FORSAKEN_S:
                host.late_since = now
                over_s = OVERDUE_S + FORSAKEN_S
                why = f"an answer {over_s:g} s over its time, and none yet"
                actions.append(Tell(Accuse(host.name, why)))
            first = next(iter(host.runs.values()), None)
            if first is None or first.entry is None or not first.entry.wall_s:
                continue
            if now - max(first.sent, host.since) > first.entry.wall_s + OVERDUE_S:
                host.late_since = now
                host.ready = False  # neither it nor its supervisor kept the deadline
                for pending in list(host.runs.values()):
                    release(host, pending.id, now)
                    host.late[pending.id] = pending
                    if pending.cancelled:
                        continue
                    pending.cancelled = True
                    actions.append(Refuse(pending, Refusal.TIMEOUT))
        return actions

    def take_uses(self, now: float) -> tuple[UseRow, ...]:
        """Return what was used since the last call, and forget it."""
        return self._usage.take(now)

    def retry_broker(self) -> None:
        """Forget that anything was asked: the broker is a new one."""
        for entry in self._backlog.entries():
            entry.asked = -1.0

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return self._backlog.queued

    @property
    def running(self) -> int:
        """Requests that are with a VM host."""
        return sum(len(h.runs) for h in self._hosts.values())

    @property
    def outstanding(self) -> int:
        """Requests that wait or run."""
        return self.queued + self.running

    # ---- inside --------------------------------------------------------------------

    def _send(self, pending: Pending, entry: Entry, host: Host, now: float) -> Send:
        bind(pending, entry, host, RequestId(self._ids()), now)
        return Send(pending)

    def _send_next(self, entry: Entry, host: Host, now: float) -> Send:
        pending = self._pop(entry)
        send = self._send(pending, entry, host, now)
        self._backlog.charge(entry, pending.cost)
        return send

    def _hold(self, pending: Pending, entry: Entry, now: float) -> list[Action]:
        """Queue a request that cannot start now, or refuse it."""
        verdict = entry.verdict
        if entry.known and verdict == Verdict.REFUSED and now >= entry.refused_until:
            entry.verdict = verdict = Verdict.READY
        if entry.known and verdict != Verdict.READY:
            return [self._refuse(pending, entry, now)]
        if not self._backlog.add(entry, pending):
            self._catalogue.rest(entry)
            return [Refuse(pending, Refusal.OVERLOADED, retry_after_s=1)]
        self._catalogue.rest(entry)
        if not entry.hosts:
            return self._ask(entry, now)
        self._alarms.watch(entry, now)
        return []

    def _refuse(self, pending: Pending, entry: Entry, now: float) -> Refuse:
        if entry.verdict == Verdict.MISSING:
            return Refuse(pending, Refusal.NOT_FOUND)
        if entry.verdict == Verdict.BROKEN:
            return Refuse(pending, of_error(entry.error), error=entry.error)
        wait = max(1, int(entry.refused_until - now + 0.999))
        return Refuse(pending, Refusal.UNAVAILABLE, wait, entry.error)

    def _ask(self, entry: Entry, now: float) -> list[Action]:
        if entry.asked >= 0:
            return []
        entry.asked = now
        return [Tell(Miss(entry.script, self._idle_hosts()))]

    def _redirect(self, asked: bytes, entry: Entry, now: float) -> list[Action]:
        """Move what waits under a path with PATH_INFO to its script."""
        waiting = self._catalogue.entries.get(asked)
        if waiting is None or waiting is entry:
            return []
        if waiting.hosts or waiting.verdict != Verdict.READY:
            return []  # it is more than a path that was asked for
        actions: list[Action] = []
        queue = list(waiting.queue)
        while waiting.queue:
            self._pop(waiting)
        self._catalogue.forget(asked)
        for pending in queue:
            pending.path = self._catalogue.named(pending.path)
            pending.entry = entry
            actions += self._again(pending, now)
        return actions

    def _again(self, pending: Pending, now: float) -> list[Action]:
        """Place a request anew; in a queue it keeps the place of its arrival."""
        assert pending.entry is not None
        begin_anew(pending)
        entry = self._catalogue.again(pending.entry)
        pending.entry = entry
        if entry.hosts and entry.verdict == Verdict.READY:
            host = choose(entry, now)
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
            host = choose(entry, now) if entry.hosts else None
            if host is None:
                break
            actions.append(self._send_next(entry, host, now))
        if entry.queue:
            if entry.hosts:
                self._alarms.watch(entry, now)
            else:
                actions += self._ask(entry, now)
        return actions

    def _finish_late(self, host: Host, request: RequestId) -> Pending | None:
        """Take a run that was given up off its host, which serves again after them."""
        pending = host.late.pop(request, None)
        if pending is not None and not host.late:
            host.ready = True
        return pending

    def _without(self, entry: Entry, host: Host) -> None:
        self._backlog.set_hosts(entry, [h for h in entry.hosts if h is not host])
        self._catalogue.rest(entry)

    def _pop(self, entry: Entry) -> Pending:
        pending = self._backlog.pop(entry)
        self._catalogue.rest(entry)
        return pending

    def _idle_hosts(self) -> tuple[HostId, ...]:
        idle = [h.name for h in self._hosts.values() if h.ready and not h.runs]
        return tuple(idle[:MAX_IDLE])

    def check(self) -> None:
        """Raise AssertionError if the tables disagree with each other."""
        self._backlog.check()
        self._catalogue.check()
        entries = self._catalogue.entries
        for entry in entries.values():
            for host in entry.hosts:
                assert self._hosts.get(host.name) is host, host.name
        for host in self._hosts.values():
            for path in host.waiting:
                assert host in entries[path].hosts, path
                assert entries[path].queue, path
            for pending in host.runs.values():
                assert pending.host is host
            total = sum(p.cost for p in host.runs.values())
            assert abs(total - host.work) < 1e-6, (total, host.work)
