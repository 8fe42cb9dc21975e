"""Binding requests to VM hosts: at once, or as soon as one has room.

A request that cannot be bound waits in its script's queue, if the broker has told of
hosts or is asked for them, or is refused.
"""

# Compiled.

from collections.abc import Callable

from fcgi.cgi.refusal import Refusal, of_error
from fcgi.dispatch.actions import Action, Refuse, Send, Tell
from fcgi.dispatch.admission import Admission, note_served
from fcgi.dispatch.alarms import Alarms
from fcgi.dispatch.backlog import Backlog
from fcgi.dispatch.catalogue import Catalogue
from fcgi.dispatch.conduct import begin_anew
from fcgi.dispatch.hosts import MAX_RUNS, Hosts, bind, choose, is_out_of_patience
from fcgi.dispatch.tables import Entry, Host, Pending
from luafarm.names import RequestId
from luafarm.wire.messages import Miss, Verdict


class Binding:
    """Decides for each request whether it goes, waits or is refused."""

    def __init__(
        self,
        ids: Callable[[], int],
        backlog: Backlog,
        catalogue: Catalogue,
        hosts: Hosts,
        alarms: Alarms,
        admission: Admission,
    ) -> None:
        """ids: of attempts to run a request."""
        self._ids = ids
        self._backlog = backlog
        self._catalogue = catalogue
        self._hosts = hosts
        self._alarms = alarms
        self._admission = admission

    def begin(self, pending: Pending, now: float) -> list[Action]:
        """Bind a request that has just come, behind those that wait."""
        entry = self._catalogue.find(pending.path)
        pending.entry = entry
        if entry.hosts and not entry.queue and entry.verdict == Verdict.READY:
            host = choose(entry, now)
            if host is not None:
                return [self._send(pending, entry, host, now)]
        if entry.verdict == Verdict.READY and not self._admission.admits(entry, now):
            return [self._admission.refuse(pending, entry)]
        return self._hold(pending, entry, now)

    def again(self, pending: Pending, now: float) -> list[Action]:
        """Bind a request anew; in a queue it keeps the place of its arrival."""
        assert pending.entry is not None
        begin_anew(pending)
        entry = self._catalogue.again(pending.entry)
        pending.entry = entry
        if entry.hosts and entry.verdict == Verdict.READY:
            host = choose(entry, now)
            if host is not None:
                return [self._send(pending, entry, host, now)]
        actions = self._hold(pending, entry, now)
        self._catalogue.rest(entry)  # it may have been forgotten meanwhile
        return actions

    def fill(self, host: Host, now: float) -> list[Action]:
        """Give a host what waits for it, as far as it has room."""
        actions: list[Action] = []
        while host.waiting and len(host.runs) < MAX_RUNS:
            entry = self._backlog.next_for(host, now)
            if entry is None:
                break
            actions.append(self._send_next(entry, host, now))
        if host.patient and not host.runs:
            entry = self._backlog.next_lent(host, now)
            if entry is not None:
                actions.append(self._send_next(entry, host, now))
        return actions

    def lend(self, entry: Entry, now: float) -> list[Action]:
        """Give what has waited for a while to the idle hosts that are lent to it."""
        actions: list[Action] = []
        for host in entry.lent:
            if not entry.queue or not is_out_of_patience(entry, now):
                break
            if host.ready and not host.runs and not host.waiting:
                actions.append(self._send_next(entry, host, now))
        return actions

    def settle(self, entry: Entry, now: float) -> list[Action]:
        """Serve or refuse what waits, after the broker's word on it."""
        actions: list[Action] = []
        if entry.verdict != Verdict.READY:
            while entry.queue:
                actions.append(_refusal(self.pop(entry), entry, now))
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
                actions += self.ask(entry, now)
        return actions

    def ask(self, entry: Entry, now: float) -> list[Action]:
        """Ask the broker for a script, unless that is done."""
        if entry.asked >= 0:
            return []
        entry.asked = now
        return [Tell(Miss(entry.script, self._hosts.idle()))]

    def pop(self, entry: Entry) -> Pending:
        """Take the oldest request out of a queue."""
        pending = self._backlog.pop(entry)
        self._catalogue.rest(entry)
        return pending

    def without(self, entry: Entry, host: Host) -> None:
        """Take note that a host has no state of a script."""
        hosts = [h for h in entry.hosts if h is not host]
        lent = [h for h in entry.lent if h is not host]
        self.place(entry, hosts, lent)
        self._catalogue.rest(entry)

    def place(self, entry: Entry, hosts: list[Host], lent: list[Host]) -> None:
        """Take these hosts for a script; without others it is at home where lent."""
        self._backlog.set_hosts(entry, hosts or lent, lent if hosts else [])

    def _send(self, pending: Pending, entry: Entry, host: Host, now: float) -> Send:
        bind(pending, entry, host, RequestId(self._ids()), now)
        return Send(pending)

    def _send_next(self, entry: Entry, host: Host, now: float) -> Send:
        note_served(entry.stand, now)
        note_served(host.stand, now)
        pending = self.pop(entry)
        send = self._send(pending, entry, host, now)
        self._backlog.charge(entry, pending.cost)
        return send

    def _hold(self, pending: Pending, entry: Entry, now: float) -> list[Action]:
        """Queue a request that cannot start now, or refuse it."""
        verdict = entry.verdict
        if entry.known and verdict == Verdict.REFUSED and now >= entry.refused_until:
            entry.verdict = verdict = Verdict.READY
        if entry.known and verdict != Verdict.READY:
            return [_refusal(pending, entry, now)]
        if not self._backlog.add(entry, pending, now):
            self._catalogue.rest(entry)
            return [self._admission.refuse(pending, entry)]
        self._catalogue.rest(entry)
        if not entry.hosts:
            return self.ask(entry, now)
        self._alarms.watch(entry, now)
        return []


def _refusal(pending: Pending, entry: Entry, now: float) -> Refuse:
    """Return how a request is answered after the broker's verdict on its script."""
    if entry.verdict == Verdict.MISSING:
        return Refuse(pending, Refusal.NOT_FOUND)
    if entry.verdict == Verdict.BROKEN:
        return Refuse(pending, of_error(entry.error), error=entry.error)
    wait = max(1, int(entry.refused_until - now + 0.999))
    return Refuse(pending, Refusal.UNAVAILABLE, wait, entry.error)
