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
from luafarm.ends import EXHAUSTING, Closing
from luafarm.names import HostId, Machine, Script
from luafarm.wire.messages import HostLost, HostUnlisted

MACHINE_SILENCE_S: Final = 5.0
"""A supervisor that is silent for this long hangs, or is gone with its VM hosts; those
that the broker reaches itself serve on, the others get nothing new."""

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
        self.machines: dict[Machine, float] = {}
        #: machines with hosts whose supervisor has been silent for too long
        self._silent: set[Machine] = set()
        #: since when each has been heard, of one supervisor and never silent for long
        self._met: dict[Machine, float] = {}
        #: scripts with an order that could not be sent, to be given again
        self._unsent: dict[Script, Record] = {}
        #: when a host joined last
        self.news_at = farm.step.now

    # -- hosts that come -------------------------------------------------------------

    def joined(self, event: HostJoined) -> None:
        """Know a host; it gets states once it has told what it holds."""
        farm = self._farm
        up = event.up
        self._hear(up.machine)
        if up.host in farm.roster.hosts:
            return
        if up.pool not in farm.pools:
            text = f"host={up.host} is of pool {up.pool}, which this broker has not"
            self._step.log("warning", text)
            return
        self.news_at = self._step.now
        host = farm.roster.join(up, self._step.now)
        host.is_fresh = self.is_fresh(up.machine, self._step.now)
        self._suspicion.met(host)
        farm.bulletin.tell(up)

    def meet(self, machine: Machine) -> None:
        """Begin anew with a machine: it has another supervisor, with other hosts."""
        self._met[machine] = self._step.now

    def _hear(self, machine: Machine) -> None:
        if machine not in self.machines:
            self.meet(machine)
            self._silent.discard(machine)
        self.machines[machine] = self._step.now

    def is_fresh(self, machine: Machine, now: float) -> bool:
        """Say whether a host of this machine that is announced now was just started.

        A supervisor that meets a broker announces all hosts that it has, and speaks
        every second: so later ones are new, and hold nothing that nobody ordered.
        """
        return now - self._met.get(machine, now) > MACHINE_SILENCE_S

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

    def knows(self, machine: Machine) -> bool:
        """Return whether its supervisor was heard and has not been silent since."""
        return machine in self.machines

    def reported(self, machine: Machine, named: frozenset[HostId]) -> None:
        """Note that a supervisor is alive, and which hosts it has.

        One that was started anew does not know the hosts of its predecessor, which died
        with it and of whose death nobody else will tell.
        """
        self._hear(machine)
        for host in self._farm.roster.of_machine(machine):
            if host.id not in named:
                self._unlist(host)

    def tick(self) -> None:
        """Give orders again; unlist hosts of which nobody is heard."""
        unsent, self._unsent = self._unsent, {}
        for record in unsent.values():
            self._convergence.tend(record)
        silent = self._step.now - MACHINE_SILENCE_S
        for machine, heard_at in list(self.machines.items()):
            if heard_at >= silent:
                continue
            del self.machines[machine]
            del self._met[machine]
            self._silent.add(machine)
            text = f"its supervisor was silent for {MACHINE_SILENCE_S:.0f} s"
            self._step.log(
                "warning",
                f"machine={machine} {text}; its VM hosts serve on while they answer",
            )
        for machine in list(self._silent):
            hosts = self._farm.roster.of_machine(machine)
            for host in hosts:
                if not host.is_reached or host.accused_at:
                    self._unlist(host)
            if not hosts:
                self._silent.discard(machine)

    def renew(self) -> None:
        """Hear all supervisors as if for the first time: this broker was stopped."""
        for machine in self.machines:
            self.machines[machine] = self._step.now

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
