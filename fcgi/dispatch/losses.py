"""What becomes of the runs of a VM host that is lost, or was out of reach.

What was sent has begun unless somebody knows better: the scoreboard of a dead host, or
a host that is there again and tells what came. Of what has begun, a reply of which a
part came is cut; a run of a safe method is started once more, when the first one is
over for sure; everything else is answered 502.
"""

# Compiled.

from typing import Final

from fcgi.cgi.refusal import Refusal, hard_stop
from fcgi.dispatch.actions import Action, CancelRun, Refuse
from fcgi.dispatch.binding import Binding
from fcgi.dispatch.catalogue import Catalogue
from fcgi.dispatch.hosts import Hosts, forget, give_up, release
from fcgi.dispatch.tables import Host, Pending
from luafarm.ends import TIME, Budget
from luafarm.names import HostId, RequestId
from luafarm.wire.messages import SAFE

MOST_LOSSES: Final = 3  # hosts lost with a run as their next, and connections with
# which it was lost, they say: one that hides what it ran, and ends of it or breaks off,
# would have the same run again and again

MOST_LATE: Final = 64  # messages about a run after its end was told: more than libzmq
# keeps of one connection (`fcgi.hosts.zmqlink`)


class Losses:
    """Decides which runs begin again elsewhere, and which are answered."""

    def __init__(self, binding: Binding, catalogue: Catalogue, hosts: Hosts) -> None:
        self._binding = binding
        self._catalogue = catalogue
        self._hosts = hosts
        self.rerun: int = 0  # requests sent once more because their host died

    # ---- hosts that are away -------------------------------------------------------

    def away(
        self, name: HostId, unsent: tuple[RequestId, ...], now: float
    ) -> list[Action]:
        """Send nothing more to a host whose connection is lost, or that is dead.

        unsent: runs that were not sent any more. `recalled` or `lost` follows.
        """
        host = self._hosts.find(name)
        if host is None:
            return []
        host.ready = False
        host.is_away = True
        actions: list[Action] = []
        for request in unsent:
            host.bound -= 1
            pending = release(host, request, now)
            if pending is not None and not pending.cancelled:
                actions += self._binding.again(pending, now)
        return actions

    def unlisted(self, name: HostId) -> None:
        """Send nothing new to a host that the broker does not hear of.

        What it has goes on: only who is connected to it, or saw it die, knows more.
        """
        host = self._hosts.find(name)
        if host is not None:
            self._withdraw(host)

    def wanted(self, name: HostId) -> tuple[RequestId, ...] | None:
        """Return the runs of a host that somebody waits for; None: it was sent none.

        If it was, it is to tell what became of them when it is there again.
        """
        host = self._hosts.find(name)
        if host is None or not (host.bound or host.late):
            return None
        runs = host.runs.values()
        return tuple([run.id for run in runs if run.finished or not run.cancelled])

    def has_runs(self, name: HostId) -> bool:
        """Return whether a host has still to answer something."""
        host = self._hosts.find(name)
        return host is not None and bool(host.runs or host.late)

    def sent(self, name: HostId) -> int:
        """Return how many runs a host was sent, ever."""
        host = self._hosts.find(name)
        return 0 if host is None else host.bound

    def is_late(self, name: HostId, request: RequestId) -> bool:
        """Return whether a host told before that this run is over, and this is late.

        What was on its way over the connection before may come after it.
        """
        host = self._hosts.find(name)
        if host is None or request not in host.released:
            return False
        host.released[request] += 1
        return host.released[request] <= MOST_LATE

    def recalled(
        self, name: HostId, received: int, going: dict[RequestId, int], now: float
    ) -> list[Action]:
        """Go on with a host that is there again over another connection.

        received: how many of all runs that it was sent have come there; -1: nobody
        knows. going: those that go on, with the bytes of reply that it sent in parts;
        -1: none. Others of those that came are over.
        """
        host = self._hosts.find(name)
        if host is None:
            return []
        actions: list[Action] = []
        host.is_away = False
        host.late = {r: late for r, late in host.late.items() if r in going}
        host.late_since = now
        over: list[Pending] = []
        for pending in list(host.runs.values()):
            sent = going.get(pending.id)
            if sent is None:
                forget(host, pending, now)
                over.append(pending)
            elif sent == (pending.part_bytes if pending.begun else -1):
                pending.body_mark = 0  # of the connection before
                pending.may_repeat = True
            else:  # a part of its reply was lost with the connection
                if give_up(host, pending, now):
                    actions.append(Refuse(pending, Refusal.HOST_LOST))
                actions.append(CancelRun(name, pending.id))
        host.ready = not host.late
        host.bound = max(received, 0)  # as the host counts on
        for pending in over:
            if pending.cancelled:
                continue
            has_come = not 0 <= received < pending.serial or pending.begun
            if not has_come:
                pending.losses += 1
            if has_come or pending.losses > MOST_LOSSES:
                actions += self._once_more(pending, now)
            else:
                actions += self._binding.again(pending, now)
        return actions + self._binding.fill(host, now) if host.ready else actions

    def unreached(self, name: HostId, now: float) -> list[Action]:
        """Answer the runs of a host that may live, but was away for too long."""
        host = self._hosts.find(name)
        if host is None:
            return []
        return [
            Refuse(pending, Refusal.HOST_LOST)
            for pending in list(host.runs.values())
            if give_up(host, pending, now)
        ]

    # ---- hosts that are no more ----------------------------------------------------

    def lost(
        self,
        name: HostId,
        running: RequestId,
        begun: tuple[RequestId, ...] | None,
        budget: Budget,
        now: float,
    ) -> list[Action]:
        """Take a host out that is no more; see `Dispatch.host_lost`."""
        host = self._hosts.remove(name)
        if host is None:
            return []
        self._withdraw(host)
        actions: list[Action] = []
        started = frozenset(begun or ())
        following = next(iter(host.runs.values()), None)
        for pending in host.runs.values():
            pending.host = None
            if pending.cancelled:
                continue
            if pending.id == running and budget in TIME:
                script = pending.entry.script if pending.entry else pending.path
                error = hard_stop(script, budget)
                actions.append(Refuse(pending, Refusal.TIMEOUT, error=error))
                continue
            if pending is following:
                pending.losses += 1
            is_begun = begun is None or pending.id == running or pending.id in started
            if is_begun or pending.begun or pending.losses > MOST_LOSSES:
                actions += self._once_more(pending, now)
            else:
                actions += self._binding.again(pending, now)
        return actions

    def _withdraw(self, host: Host) -> None:
        for entry in list(self._catalogue.entries.values()):
            if host in entry.hosts or host in entry.lent:
                self._binding.without(entry, host)

    def _once_more(self, pending: Pending, now: float) -> list[Action]:
        """Start a run again that has begun and is over, if that may be done."""
        pending.deaths += 1
        if pending.deaths > 1 or pending.begun or not pending.flags & SAFE:
            return [Refuse(pending, Refusal.HOST_LOST)]
        self.rerun += 1
        return self._binding.again(pending, now)
