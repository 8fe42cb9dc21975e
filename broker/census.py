"""VM hosts that come, what they hold already, and VM hosts that go.

A broker that starts knows nothing; the hosts know what they hold. States of an earlier
broker are taken over as they are: their files are watched with the contents that the
states saw, so those that are stale show up as changed and are renewed.

A host may have been taken over: what it may say is judged in `broker.suspicion`.
"""

# Compiled.

from typing import Final

from broker.actions import Drop, Fence, Forget
from broker.allocation import Allocation
from broker.convergence import Convergence, load_error
from broker.events import Accused, HostJoined, Inventoried, StateGone
from broker.farm import Farm
from broker.recycling import Recycling
from broker.resolve import shown
from broker.restraint import EXHAUSTING
from broker.suspicion import Suspicion
from broker.tables import Generation, Host, Record, State
from luafarm.names import Epoch, HostId, Machine, RequestId, Script
from luafarm.wire.messages import HostLost, StateRow, StopRow, Verdict

MACHINE_SILENCE_S: Final = 5.0
"""A supervisor that is silent for so long is gone, and its VM hosts with it."""

UNSENT: Final = "unsent"
"""Why a state is gone whose order could not be sent: its sources are not to be had."""

NO_FAULT: Final = frozenset({"stopped", "recycled", "silent", "dropped", "replaced"})
"""Why hosts and states go without a script being to blame."""

MOST_RATE: Final = 10_000.0
"""Requests a second that the states of one host may have served, all together."""

_RATE_AGE_S: Final = 1.0


class Census:
    """Decides what follows when hosts and states come and go."""

    def __init__(
        self,
        farm: Farm,
        allocation: Allocation,
        convergence: Convergence,
        recycling: Recycling,
        suspicion: Suspicion,
    ) -> None:
        self._farm = farm
        self._step = farm.step
        self._allocation = allocation
        self._convergence = convergence
        self._recycling = recycling
        self._suspicion = suspicion
        #: when each supervisor was heard last
        self.machines: dict[Machine, float] = {}
        #: since when each has been heard, of one supervisor and never silent for long
        self._met: dict[Machine, float] = {}
        #: scripts with an order that could not be sent, to be given again
        self._unsent: dict[Script, Record] = {}
        #: when a host joined or told what it holds
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
        """Begin anew with a machine whose supervisor is another: it has hosts too."""
        self._met[machine] = self._step.now

    def _hear(self, machine: Machine) -> None:
        if machine not in self.machines:
            self.meet(machine)
        self.machines[machine] = self._step.now

    def is_fresh(self, machine: Machine, now: float) -> bool:
        """Say whether a host of this machine that is announced now was just started.

        A supervisor that meets a broker announces all hosts that it has, and speaks
        every second: so later ones are new, and hold nothing that nobody ordered.
        """
        return now - self._met.get(machine, now) > MACHINE_SILENCE_S

    def inventoried(self, event: Inventoried) -> None:
        """Compare what a host holds with what it should hold."""
        farm = self._farm
        host = farm.roster.hosts.get(event.host)
        if host is None:
            return
        self.news_at = self._step.now
        told = {row.script: row.epoch for row in event.states}
        if not self._suspicion.admits(host, event.states):
            return
        for row in event.states:
            farm.epochs.seen(row.epoch)
        was_known = host.is_known
        if not was_known:
            farm.roster.ready(host)
        self._repeat(host, told)
        self._forget_untold(host, told, event.asked_at)
        adopted: list[Record] = []
        uses = sum([_rate(row) for row in event.states])
        share = min(1.0, MOST_RATE / uses) if uses > 0.0 else 0.0
        for row in event.states:
            if row.script in host.states or row.script in host.loads:
                continue
            if row.epoch <= host.draining.get(row.script, 0):
                continue
            if was_known:  # nothing but orders has made any since it was asked first
                if not self._suspicion.allows_unordered(host, "a state"):
                    return
                farm.close(host, row.script, row.epoch)
                continue
            record = self._adopt(host, row, share)
            if record is not None:
                adopted.append(record)
        for record in adopted:
            farm.bulletin.publish(record)
            self._convergence.tend(record)

    def _repeat(self, host: Host, told: dict[Script, Epoch]) -> None:
        """Give the orders again that the host may not have got."""
        for script, epoch in list(host.draining.items()):
            if told.get(script, epoch + 1) <= epoch:
                self._step.out.append(Drop(host.id, script, epoch))
            else:
                self._farm.closings.confirm(host, script, epoch)
        for script, epoch in self._farm.fences.of(host.id):
            self._step.out.append(Fence(host.id, script, epoch))

    def _forget_untold(
        self, host: Host, told: dict[Script, Epoch], asked_at: float
    ) -> None:
        """Forget what a host was ordered or known to have, and has not."""
        touched: list[Record] = []
        sent = [loading for loading in host.loads.values() if loading.sent]
        for loading in sent:
            if (
                loading.since <= asked_at
                and told.get(loading.record.script) != loading.epoch
            ):
                self._farm.end(loading)
                touched.append(loading.record)
        for script, state in list(host.states.items()):
            if state.loaded_at <= asked_at and told.get(script) != state.epoch:
                self._farm.lose(state)
                touched.append(state.record)
        for record in touched:
            self._farm.bulletin.publish(record)
            self._convergence.tend(record)

    def _adopt(self, host: Host, row: StateRow, share: float) -> Record | None:
        """Take over a state that the host holds, of whatever age it is.

        share: of the uses that it claims, those that are believed.
        """
        farm = self._farm
        known = farm.records.get(row.script)
        if not self._is_welcome(host, row, known):
            self._step.count("unwanted_states")
            farm.close(host, row.script, row.epoch)
            return None
        record = farm.record(host.pool, row.script)
        generation = Generation(row.epoch, row.digest)
        farm.footprint.depend(record, generation, row.dependencies)
        current = record.current
        if current is None:
            record.current = generation
        elif _is_same(current, generation):
            # the same content, whatever it was called: requests may go to either
            farm.footprint.depend(record, current, row.dependencies)
            current.epoch = min(current.epoch, generation.epoch)
            generation = current
        elif generation.epoch > current.epoch and not farm.bulletin.is_open:
            record.current = generation
        farm.following.rewatch(record)
        limits = record.policy.limits
        kib = min(max(row.kib, 0), limits.memory_bytes >> 10)
        state = farm.adopt(record, host, generation, row.epoch, kib)
        self._recycling.born(state)
        state.requests = max(row.requests, 0)
        record.load_s = min(max(row.load_us / 1e6, 0.0), limits.load_wall_ms / 1e3)
        self._warm(state, row, share)
        farm.served(state)
        self._step.count("adopted_states")
        return record

    def _is_welcome(self, host: Host, row: StateRow, known: Record | None) -> bool:
        farm = self._farm
        if not self._suspicion.is_of(host.pool, row.script) or farm.is_pool_full(
            host.pool
        ):
            return False
        if known is not None:
            hosts = len({s.host.id for s in known.states} | set(known.loads))
            if known.pool != host.pool or hosts >= known.policy.clones:
                return False
        return farm.taken < farm.limit or self._allocation.make_share(host.pool)

    def _warm(self, state: State, row: StateRow, share: float) -> None:
        """Guess the heat of a state from its age and uses, as if they came evenly."""
        farm = self._farm
        lasting_s = min(
            _age_s(row), farm.fading.half_life_s * 1.44
        )  # 1 / ln 2: the whole of the decay
        uses = _rate(row) * share * lasting_s
        state.heat.add(uses, farm.lived())
        state.record.heat.add(uses, farm.lived())

    # -- hosts that go ---------------------------------------------------------------

    def left(self, lost: HostLost) -> None:
        """Forget a host; blame the script that cost it the life.

        Which one that was is what the host wrote last: only one that it has counts.
        """
        host = self._farm.roster.hosts.get(lost.host)
        if host is None:
            return
        record = self._farm.records.get(lost.script)
        is_fault = (
            record is not None and host.has(record) and lost.reason not in NO_FAULT
        )
        is_served = is_fault and not lost.running and self._reject(host, lost)
        if is_fault and not is_served:
            why = f"host={lost.host} died of it: {lost.reason}"
            self._blame(lost.script, why)
        if is_fault and record is not None:
            record.kills += 1
            record.last_stop = f"{lost.reason}: {lost.detail}"
        self._forget(host, lost)

    def _reject(self, host: Host, lost: HostLost) -> bool:
        """Do not load at once again what was fatal to load.

        Return whether the last good generation is served instead. A first load that
        died of something else than its budget may do better on another host.
        """
        loading = host.loads.get(lost.script)
        if loading is None or not loading.sent:
            return False
        record, generation = loading.record, loading.generation
        budget = lost.reason if lost.reason in EXHAUSTING else ""
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

    def _forget(self, host: Host, lost: HostLost) -> None:
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
        farm.bulletin.tell(lost)
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
                self._forget_silent(host, "its supervisor does not have it")

    def tick(self) -> None:
        """Give orders again; lose the hosts of machines that are silent."""
        unsent, self._unsent = self._unsent, {}
        for record in unsent.values():
            self._convergence.tend(record)
        silent = self._step.now - MACHINE_SILENCE_S
        for machine, heard_at in list(self.machines.items()):
            if heard_at >= silent:
                continue
            del self.machines[machine]
            del self._met[machine]
            self._step.log(
                "warning", f"machine={machine} is silent: its hosts are lost"
            )
            for host in self._farm.roster.of_machine(machine):
                text = f"its supervisor was silent for {MACHINE_SILENCE_S:.0f} s"
                self._forget_silent(host, text)

    def _forget_silent(self, host: Host, why: str) -> None:
        nobody, nothing = RequestId(0), Script(b"")
        self._forget(host, HostLost(host.id, nobody, (), nothing, "silent", why))

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
            if event.reason == UNSENT:
                # the files are about to be looked at; until then it would end the same
                self._unsent[event.script] = loading.record
                self._convergence.unsendable(loading.record)
            else:
                self._convergence.tend(loading.record)
            return
        state = host.states.get(event.script)
        if state is None and loading is None:
            self._suspicion.allows_unordered(host, "the end of a state")
        if state is None or state.epoch != event.epoch or event.reason == "replaced":
            return  # "replaced": `StateLoaded` of the new one follows
        self._step.count("lost_states")
        record = state.record
        if event.reason not in NO_FAULT:
            why = f"closed by its host: {event.reason}"
            farm.evictions.note(record.script, why, self._step.now)
        farm.lose(state)
        if event.reason in EXHAUSTING:
            self._restrain(record, event.reason, 1)
        farm.bulletin.publish(record)
        self._convergence.tend(record)

    def stopped(self, row: StopRow) -> None:
        """Take note of requests that a budget stopped."""
        record = self._farm.records.get(row.script)
        if record is None or row.times < 1:
            return
        record.stopped(row.budget, row.times, row.last)
        if record.policy.limits.fresh and row.budget in EXHAUSTING:
            # of a state for one request nobody tells how it ended
            self._restrain(record, row.budget, row.times)

    def _restrain(self, record: Record, budget: str, times: int) -> None:
        """Count what a budget stopped; restrain the script when that was too often.

        Whoever may send a request can bring that about, so it is not refused.
        """
        farm, now = self._farm, self._step.now
        why = f"budget={budget} exceeded"
        if not farm.restraint.stopped(record.script, why, now, times):
            return
        text = f"script={shown(record.script)} gets few VM hosts for now: {why}"
        self._step.log("warning", f"{text}; see [broker] restraint_stops")
        self._allocation.restrain(record)

    def _blame(self, script: Script, why: str) -> None:
        """Count against a script what it did; refuse it when that was too often."""
        farm = self._farm
        record = farm.records.get(script)
        if record is None:
            return
        if not farm.quarantine.blame(script, why, self._step.now):
            return
        after_s = farm.quarantine.remaining_s(script, self._step.now)
        text = f"script={shown(script)} is refused for {after_s:.0f} s: {why}"
        self._step.log("error", f"{text}; see [broker] quarantine_deaths")
        for loading in list(record.loads.values()):
            if not loading.sent:
                farm.end(loading)
        for state in list(record.states):
            farm.drop(state)
        farm.remembered.pop(script, None)
        if record.current is not None or record.next is not None:
            farm.following.rewatch(record)
        elif record.digest:
            farm.following.watch(record, {(record.pool, script): record.digest})
        farm.bulletin.refuse(record, Verdict.REFUSED, None, after_s)

    def release(self) -> None:
        """Forget scripts whose quarantine has ended and that nobody asked for since.

        Those whose restraint has ended get what they should have.
        """
        for script in self._farm.quarantine.released(self._step.now):
            record = self._farm.records.get(script)
            if record is not None:
                self._convergence.tend(record)
        for script in self._farm.restraint.released(self._step.now):
            record = self._farm.records.get(script)
            if record is not None:
                self._allocation.review_lane(record)
                self._convergence.tend(record)


def _age_s(row: StateRow) -> float:
    return max(row.age_ms / 1000.0, _RATE_AGE_S)


def _rate(row: StateRow) -> float:
    """Return how many requests a second a state says that it served."""
    return max(row.requests, 0) / _age_s(row)


def _is_same(one: Generation, other: Generation) -> bool:
    """Say whether two generations have the same content, as far as both are known."""
    return one.digest == other.digest and all(
        one.dependencies.get(name, dependency) == dependency
        for name, dependency in other.dependencies.items()
    )
