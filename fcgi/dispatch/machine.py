"""The front's decisions: which request goes to which VM host, and when.

Late binding: one queue per script; a request is bound to a host only when that host can
start it soon (`binding`). Ordered hunting: the first host that has room, in the order
the broker published, takes the request. That a busy host with room comes before an
empty one behind it costs at most the window (`hosts`) and saves waking the empty one,
which costs the machine more than a quick script. A host that has room takes the next
request of the waiting script that is due (`backlog`), so that a flood of one script
delays the others by one service time, not by its backlog.

Nothing here reads a clock or a socket: `now` is monotonic seconds, ids come from a
function given at the start. Calls return actions; order is part of their meaning. More
in docs/architecture.md, "Dispatch".
"""

# Compiled.

from collections.abc import Callable
from typing import Final

from fcgi.cgi.refusal import Refusal
from fcgi.dispatch.actions import Action, CancelRun, Refuse, Tell
from fcgi.dispatch.admission import Admission, note_work
from fcgi.dispatch.alarms import Alarms, pressure
from fcgi.dispatch.backlog import Backlog
from fcgi.dispatch.binding import Binding
from fcgi.dispatch.catalogue import Catalogue
from fcgi.dispatch.hosts import (
    OVERDUE_S,
    SILENT_S,
    Hosts,
    release,
    time_trip,
)
from fcgi.dispatch.losses import Losses
from fcgi.dispatch.tables import LEARN, Entry, Pending
from fcgi.dispatch.usage import Usage
from luafarm.aliases import Alias
from luafarm.ends import Budget
from luafarm.names import HostId, RequestId
from luafarm.wire.messages import Accuse, Place, UseRow, Verdict

ASK_AGAIN_S: Final = 0.25  # a Miss without a useful answer is repeated: nothing comes
# of it while the broker is new, or does not know yet that a host is lost
LEAST_LEARNT_S: Final = 2.0  # of a run that its client gave up
MAX_SERVICE_US: Final = 86_400_000_000  # a day, the longest budget: hosts say anything


class Dispatch:
    """Owns the front's tables: scripts, queues, hosts and what runs where."""

    def __init__(
        self,
        ids: Callable[[], int],
        *,
        number: int,
        queue: int,
        queue_per_script: int,
        queue_timeout_s: float,
        queue_target_s: float,
        remembered: int,
    ) -> None:
        """ids: of attempts to run a request. number: of this front, from 0."""
        self._number = number  # of this front; the first keeps to the published order
        self._backlog = Backlog(queue, queue_per_script)
        self._queue_timeout_s = queue_timeout_s
        self._catalogue = Catalogue(remembered)
        self._hosts = Hosts()
        self._alarms = Alarms()
        self._admission = Admission(
            self._backlog, self._hosts, queue_target_s, queue_timeout_s
        )
        self._binding = Binding(
            ids,
            self._backlog,
            self._catalogue,
            self._hosts,
            self._alarms,
            self._admission,
        )
        #: what becomes of the runs of hosts that are lost, or out of reach
        self.losses = Losses(self._binding, self._catalogue, self._hosts)
        self._usage = Usage()

    # ---- requests ------------------------------------------------------------------

    def arrive(self, pending: Pending, now: float) -> list[Action]:
        """Take a request; send it, queue it or refuse it."""
        if self._catalogue.aliases:
            pending.path = self._catalogue.named(pending.path)
        return self._binding.begin(pending, now)

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

    def reply_finished(self, pending: Pending) -> None:
        """Take note that a client has its whole reply, of a run that goes on.

        It keeps its place on its host until that says that it has ended: a host runs
        one script at a time, and deadlines hold for this one too.
        """
        pending.finished = pending.cancelled = pending.begun = True
        pending.owner = pending.body = None

    def finish(
        self, name: HostId, request: RequestId, service_us: int, now: float, *, ok: bool
    ) -> Pending | None:
        """Take a run off its host; None when that host has no such run.

        Call `fill` once after the rows of a batch.
        """
        host = self._hosts.find(name)
        if host is None:
            return None
        pending = release(host, request, now)
        if pending is None:
            return self._hosts.finish_late(host, request)
        entry = pending.entry
        assert entry is not None
        service_us = min(max(service_us, 0), MAX_SERVICE_US)
        service_s = service_us * 1e-6
        if not host.runs:
            time_trip(host, now - pending.sent - service_s)
        if host.waiting:
            note_work(host, service_s, now)
        else:
            host.measured_from = 0.0
        has_left = pending.cancelled and not pending.finished
        if has_left and service_s < max(entry.est, LEAST_LEARNT_S):
            return pending  # its client left before the end: it may take any time
        if entry.est < 0:
            entry.est = service_s
        else:
            entry.est += LEARN * (service_s - entry.est)
        self._usage.count(entry, name, pending, service_us, now, ok=ok)
        return pending

    def absent(self, name: HostId, request: RequestId, now: float) -> list[Action]:
        """Place a run again that its host had no state for."""
        host = self._hosts.find(name)
        if host is None:
            return []
        pending = release(host, request, now)
        if pending is None:
            self._hosts.finish_late(host, request)
            return []
        if pending.cancelled:
            return []
        entry = pending.entry
        assert entry is not None
        if host in entry.hosts or host in entry.lent:
            self._binding.without(entry, host)
        pending.absences += 1
        if pending.absences > 1:
            entry.asked = now  # the broker does not know better yet: ask with a pause
        return self._binding.again(pending, now)

    def fill(self, name: HostId, now: float) -> list[Action]:
        """Give a host what waits for it, as far as it has room."""
        host = self._hosts.find(name)
        if host is None or not (host.waiting or host.patient) or not host.ready:
            return []
        return self._binding.fill(host, now)

    # ---- hosts ---------------------------------------------------------------------

    def host_up(self, name: HostId) -> bool:
        """Add a host; False when it is known already."""
        return self._hosts.add(name)

    def host_ready(self, name: HostId, now: float) -> list[Action]:
        """Start to use a host: it said Welcome."""
        host = self._hosts.find(name)
        if host is None:
            return []
        host.ready = not host.late
        host.is_away = False
        return self.fill(name, now)

    def is_ready(self) -> bool:
        """Return whether every host has said Welcome."""
        return self._hosts.are_ready()

    def run(self, name: HostId, request: RequestId) -> Pending | None:
        """Return a run that this host has not answered yet, also one given up."""
        host = self._hosts.find(name)
        if host is None:
            return None
        return host.runs.get(request) or host.late.get(request)

    def oldest_run(self, name: HostId) -> RequestId:
        """Return the host's oldest unanswered run, which it has begun; 0: none."""
        host = self._hosts.find(name)
        return next(iter(host.runs), RequestId(0)) if host else RequestId(0)

    def host_lost(
        self,
        name: HostId,
        running: RequestId,
        begun: tuple[RequestId, ...] | None,
        budget: Budget,
        now: float,
    ) -> list[Action]:
        """Take a host out that is no more; send on, again, or answer what was there.

        begun: the runs that have, as its scoreboard says; None: nobody knows, so all
        that were sent. Only a run that had not begun, or of a safe method under its
        first dead host and not over its budget, is started elsewhere.
        """
        return self.losses.lost(name, running, begun, budget, now)

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
        home = max(len(place.hosts) - max(place.lent, 0), 0)
        hosts = self._hosts.hunted(place.hosts[:home], self._number)
        lent = self._hosts.hunted(place.hosts[home:], self._number)
        if hosts or place.verdict != Verdict.READY or not entry.queue:
            entry.asked = -1.0  # else the answer was of no use: ask again, not at once
        if hosts and not entry.hosts:
            entry.placed = now
            if entry.stand.served:
                entry.whole_at = now + (now - entry.stand.served)
        self._binding.place(entry, hosts, lent)
        actions: list[Action] = []
        if place.asked and place.asked != place.script:
            actions += self._redirect(place.asked, entry, now)
        actions += self._binding.settle(entry, now)
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
                self._backlog.set_hosts(entry, [], [])
                if entry.queue:
                    actions += self._binding.ask(entry, now)
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
        """Lend hosts to what has waited long enough; report pressure that is due."""
        actions: list[Action] = []
        for entry in self._alarms.due(self._catalogue.entries, now):
            actions += self._binding.lend(entry, now)
            if entry.queue:
                actions.append(Tell(pressure(entry, self._hosts.idle(), now)))
        return actions

    def tick(self, now: float) -> list[Action]:
        """Give up what waited or ran too long, ask again; call every 100 ms or so."""
        actions: list[Action] = []
        for entry in self._backlog.entries():
            while entry.queue and entry.queue[0].arrival + self._queue_timeout_s <= now:
                late = self._binding.pop(entry)
                actions.append(self._admission.give_up(late, entry))
            if entry.queue and not entry.hosts and now - entry.asked >= ASK_AGAIN_S:
                entry.asked = -1.0
                actions += self._binding.ask(entry, now)
        for name in self._hosts.silent(now):
            why = f"an answer {OVERDUE_S + SILENT_S:g} s over its time, and none yet"
            actions.append(Tell(Accuse(name, why)))
        for pending in self._hosts.give_up_overdue(now):
            actions.append(Refuse(pending, Refusal.TIMEOUT))
        return actions

    def woke(self, gap_s: float, now: float) -> None:
        """Count a time for nobody in which this front was stopped (`luafarm.gaps`)."""
        self._hosts.woke(now)
        for entry in self._backlog.entries():
            for pending in entry.queue:
                pending.arrival = min(pending.arrival + gap_s, now)

    def take_uses(self, now: float) -> tuple[UseRow, ...]:
        """Return what was used since the last call, and forget it."""
        return self._usage.take(now)

    def retry_broker(self) -> None:
        """Forget that anything was asked: the broker is a new one."""
        for entry in self._backlog.entries():
            entry.asked = -1.0

    def give_up(self) -> list[Action]:
        """Refuse all that waits: the front ends, and nobody has begun any of it."""
        actions: list[Action] = []
        for entry in self._backlog.entries():
            while entry.queue:
                pending = self._binding.pop(entry)
                actions.append(Refuse(pending, Refusal.UNAVAILABLE))
        return actions

    @property
    def rerun(self) -> int:
        """Requests sent once more because their host died."""
        return self.losses.rerun

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return self._backlog.queued

    @property
    def overloaded(self) -> int:
        """Requests that were refused because too many waited."""
        return self._admission.refused

    @property
    def unserved(self) -> int:
        """Requests that were refused because there was no VM host for them."""
        return self._admission.unserved

    @property
    def running(self) -> int:
        """Requests that are with a VM host."""
        return self._hosts.running()

    @property
    def outstanding(self) -> int:
        """Requests that wait or run."""
        return self.queued + self.running

    # ---- inside --------------------------------------------------------------------

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
            self._binding.pop(waiting)
        self._catalogue.forget(asked)
        for pending in queue:
            pending.path = self._catalogue.named(pending.path)
            pending.entry = entry
            actions += self._binding.again(pending, now)
        return actions

    def check(self) -> None:
        """Raise AssertionError if the tables disagree with each other."""
        self._backlog.check()
        self._catalogue.check()
        self._hosts.check(self._catalogue.entries)
