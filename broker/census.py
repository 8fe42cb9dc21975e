"""VM hosts and states that come and go.

What a host holds already when it comes is compared in `broker.adoption`; what scripts
are blamed for when it goes, in `broker.liability`.
"""

# Compiled.

from typing import Final

from broker import guilt
from broker.actions import Forget
from broker.allocation import Allocation
from broker.convergence import Convergence, load_error
from broker.events import Accused, HostJoined, StateGone
from broker.farm import Farm
from broker.liability import Liability
from broker.recycling import Recycling
from broker.suspicion import Suspicion
from broker.tables import Host, Record
from broker.unserved import Unserved
from luafarm.ends import EXHAUSTING, Closing
from luafarm.names import HostId, Machine, Script
from luafarm.wire.messages import HostLost, HostUnlisted

MACHINE_SILENCE_S: Final = 5.0
"""A supervisor that is silent for this long hangs, or is gone with its VM hosts; those
that the broker reaches itself serve on, the others get nothing new."""

Keeper = tuple[Machine, int]
"""A supervisor: its machine and its incarnation."""

_LOST_LOADS: Final = 2
"""A generation whose loading ended as often for reasons that may not be its own is
tried once more; the load after that has to succeed."""

_ORDERLY: Final = frozenset({Closing.DROPPED, Closing.REPLACED, Closing.STOPPED})
"""Why states go without having failed."""

_UNTRIED: Final = frozenset({Closing.UNSENT, Closing.UNREAD})
"""Why loads end of which nothing is known but that files could not be had."""


class Census:
    """Decides what follows when hosts and states come and go."""

    def __init__(
        self,
        farm: Farm,
        allocation: Allocation,
        convergence: Convergence,
        recycling: Recycling,
        suspicion: Suspicion,
        liability: Liability,
    ) -> None:
        self._farm = farm
        self._step = farm.step
        self._allocation = allocation
        self._convergence = convergence
        self._recycling = recycling
        self._suspicion = suspicion
        self._liability = liability
        #: when each supervisor was heard last
        self.supervisors: dict[Keeper, float] = {}
        #: those that have been silent for too long, and still have hosts
        self._silent: set[Keeper] = set()
        #: since when each has been heard, and never silent for long
        self._met: dict[Keeper, float] = {}
        #: how many hosts each is to have, as far as it has said
        self._seats: dict[Keeper, int] = {}
        #: scripts with an order that could not be sent, to be given again
        self._unsent: dict[Script, Record] = {}
        self._unserved = Unserved(farm.step)
        #: when a host joined last
        self.news_at = farm.step.now

    # -- hosts that come -------------------------------------------------------------

    def joined(self, event: HostJoined) -> None:
        """Know a host; it gets states once it has told what it holds."""
        farm = self._farm
        up = event.up
        keeper = (up.machine, event.incarnation)
        self._hear(keeper)
        if up.host in farm.roster.hosts:
            return
        if up.pool not in farm.pools:
            self._unserved.joined(keeper, up)
            return
        self.news_at = self._step.now
        host = farm.roster.join(up, self._step.now)
        host.incarnation = event.incarnation
        host.is_fresh = self.is_fresh(keeper, self._step.now)
        self._suspicion.met(host)
        farm.bulletin.tell(up)

    def changed(self, machine: Machine, incarnations: tuple[int, ...]) -> None:
        """Forget supervisors of a machine that are no more.

        incarnations: of those that may live, heard or silent.
        """
        for keeper in list(self.supervisors):
            if keeper[0] == machine and keeper[1] not in incarnations:
                self._lose(keeper)
        for keeper in list(self._silent):
            if keeper[0] == machine and keeper[1] not in incarnations:
                self._silent.discard(keeper)

    def _lose(self, keeper: Keeper) -> None:
        del self.supervisors[keeper]
        del self._met[keeper]
        self._seats.pop(keeper, None)
        self._unserved.lost(keeper)

    def is_complete(self) -> bool:
        """Say whether supervisors have been heard, and all of their hosts are known."""
        return bool(self.supervisors) and all(
            keeper in self._seats
            and sum(h.is_known for h in self._hosts_of(keeper)) >= self._seats[keeper]
            for keeper in self.supervisors
        )

    def _hear(self, keeper: Keeper) -> None:
        if keeper not in self.supervisors:
            self._met[keeper] = self._step.now
            self._silent.discard(keeper)
        self.supervisors[keeper] = self._step.now

    def is_fresh(self, keeper: Keeper, now: float) -> bool:
        """Say whether a host that this supervisor announces now was just started.

        A supervisor that meets a broker announces all hosts that it has, and speaks
        every second: so later ones are new, and hold nothing that nobody ordered.
        """
        return now - self._met.get(keeper, now) > MACHINE_SILENCE_S

    # -- hosts that go ---------------------------------------------------------------

    def left(self, lost: HostLost) -> None:
        """Forget a host; blame the script that cost it the life.

        Which one that was is what the host wrote last: only one that it has counts.
        """
        host = self._farm.roster.hosts.get(lost.host)
        if host is None:
            return
        record = self._farm.records.get(lost.script)
        is_its = record is not None and host.has(record)
        if is_its and record is not None and not guilt.is_blameless(lost.reason):
            if lost.running or not self._reject(host, lost):
                why = f"host={lost.host} died of it: {lost.reason}"
                self._liability.blame(record, lost.reason, why)
            record.kills += 1
            record.last_stop = f"{lost.reason}: {lost.detail}"
        self._forget(host, lost)

    def unreached(self, name: HostId) -> None:
        """Take note that the connection to a host is lost."""
        host = self._farm.roster.hosts.get(name)
        if host is not None:
            host.is_reached = False

    def _reject(self, host: Host, lost: HostLost) -> bool:
        """Do not load at once again what was fatal to load.

        Return whether the last good generation is served instead. A first load that
        died of something else than its budget may do better on another host, and so may
        one whose host somebody else may have killed.
        """
        loading = host.loads.get(lost.script)
        if loading is None or not loading.sent:
            return False
        record, generation = loading.record, loading.generation
        if guilt.is_doubtful(lost.reason) and generation.lost_loads < _LOST_LOADS:
            generation.lost_loads += 1
            return False
        budget = lost.reason.budget
        if generation is record.next:
            if record.current is None and not budget:
                return False
        elif budget and generation is record.current and not record.states:
            if len(record.loads) > 1:
                return False
            record.current = None
        else:
            return False
        text = f"loading it ended its VM host: {lost.reason}. {lost.detail}"
        error = load_error(lost.script, "Load Error", text, budget)
        self._convergence.reject(record, generation, error)
        return record.current is not None

    def _forget(self, host: Host, news: HostLost | HostUnlisted) -> None:
        farm = self._farm
        self._step.count("hosts_lost")
        farm.roster.leave(host)
        self._recycling.left(host)
        for script, epoch in list(host.draining.items()):
            farm.closings.confirm(host, script, epoch)
        host.backlog.clear()
        touched: dict[Script, Record] = {}
        hot: list[Record] = []
        for loading in list(host.loads.values()):
            touched[loading.record.script] = loading.record
            farm.end(loading)
        for state in list(host.states.values()):
            record = state.record
            touched[record.script] = record
            if self._recycling.is_hot(record):
                hot.append(record)
            farm.lose(state)
        farm.bulletin.tell(news)
        self._step.out.append(Forget(host.id))
        for script in farm.fences.lost(host.id):
            self._convergence.answer_tickets(script)
        for record in hot:
            self._rebuild(record)
        for record in touched.values():
            farm.bulletin.publish(record)
            self._convergence.tend(record)

    def _rebuild(self, record: Record) -> None:
        """Load a hot script again that lost its last state, before somebody asks."""
        farm = self._farm
        if record.states or record.loads or record.next or record.current is None:
            return
        if farm.quarantine.remaining_s(record.script, self._step.now) <= 0.0:
            self._allocation.place(record, record.current)

    def knows(self, keeper: Keeper) -> bool:
        """Return whether this supervisor was heard and has not been silent since."""
        return keeper in self.supervisors

    def reported(
        self,
        keeper: Keeper,
        named: frozenset[HostId],
        seats: int,
        *,
        is_leaving: bool = False,
    ) -> None:
        """Note that a supervisor is alive, and which hosts it has.

        One that was started anew does not know the hosts of its predecessor, which died
        with it and of whose death nobody else will tell. Those of one that is silent
        are no such orphans: it may live.
        """
        self._hear(keeper)
        if seats:
            self._seats[keeper] = seats
        self._unserved.reported(keeper, named, is_leaving=is_leaving)
        machine, incarnation = keeper
        for host in self._farm.roster.of_machine(machine):
            is_its = host.incarnation == incarnation
            its = (machine, host.incarnation)
            is_orphan = its not in self.supervisors and its not in self._silent
            if (is_its or is_orphan) and host.id not in named:
                self._unlist(host)

    def tick(self) -> None:
        """Give orders again; unlist hosts of which nobody is heard."""
        self._unserved.tick()
        unsent, self._unsent = self._unsent, {}
        for record in unsent.values():
            self._convergence.tend(record)
        silent = self._step.now - MACHINE_SILENCE_S
        for keeper, heard_at in list(self.supervisors.items()):
            if heard_at >= silent:
                continue
            self._lose(keeper)
            if not self._hosts_of(keeper):
                continue  # it has ended, and its hosts before it
            self._silent.add(keeper)
            text = f"its supervisor was silent for {MACHINE_SILENCE_S:.0f} s"
            self._step.log(
                "warning",
                f"machine={keeper[0]} {text}; its VM hosts serve on while they answer",
            )
        for keeper in list(self._silent):
            hosts = self._hosts_of(keeper)
            for host in hosts:
                if not host.is_reached or host.accused_at:
                    self._unlist(host)
            if not hosts:
                self._silent.discard(keeper)

    def _hosts_of(self, keeper: Keeper) -> list[Host]:
        machine, incarnation = keeper
        hosts = self._farm.roster.of_machine(machine)
        return [host for host in hosts if host.incarnation == incarnation]

    def renew(self) -> None:
        """Hear all supervisors as if for the first time: this broker was stopped."""
        for keeper in self.supervisors:
            self.supervisors[keeper] = self._step.now

    def _unlist(self, host: Host) -> None:
        """Forget a host of which nobody says how it ended.

        What it runs is not told to be over: it may live, and fronts may reach it.
        """
        self._forget(host, HostUnlisted(host.id))

    def accused(self, event: Accused) -> None:
        """Have a host killed that breaks the protocol."""
        host = self._farm.roster.hosts.get(event.host)
        if host is not None:
            self._suspicion.accuse(host, event.why)

    # -- states that go --------------------------------------------------------------

    def gone(self, event: StateGone) -> None:
        """Take a state, or the order for one, off the tables."""
        farm = self._farm
        host = farm.roster.hosts.get(event.host)
        if host is None or farm.closings.confirm(host, event.script, event.epoch):
            return
        loading = host.loads.get(event.script)
        if loading is not None and loading.sent and loading.epoch == event.epoch:
            self._step.count("lost_loads")
            farm.end(loading)
            record = loading.record
            if event.reason is Closing.UNSENT:
                self._convergence.unsendable(record)
            if event.reason in _UNTRIED and not farm.is_unused(record):
                # the files are about to be looked at; until then it would end the same
                self._unsent[event.script] = record
            else:
                self._convergence.tend(record)
            return
        state = host.states.get(event.script)
        if state is None and loading is None:
            self._suspicion.allows_unordered(host, "the end of a state")
        if state is None or state.epoch != event.epoch:
            return
        if event.reason is Closing.REPLACED:
            return  # `StateLoaded` of the new one follows
        self._step.count("lost_states")
        record = state.record
        if event.reason not in _ORDERLY:
            why = f"closed by its host: {event.reason}"
            farm.evictions.note(record.script, why, self._step.now)
        farm.lose(state)
        if event.reason.budget in EXHAUSTING:
            self._liability.restrain(record, event.reason, 1)
        farm.bulletin.publish(record)
        self._convergence.tend(record)
