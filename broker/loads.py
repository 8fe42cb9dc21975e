"""What becomes of the orders to load: a state that is ready, or none.

The first state of a new generation (the canary) decides for all: once it is there, and
made of files that are still so, fronts are told, the other old states are renewed and
fenced. What does not load is not served.
"""

# Compiled.

from typing import Final

from broker.actions import Drop
from broker.allocation import Allocation
from broker.convergence import Convergence
from broker.events import FileNow, LoadFailed, StateLoaded
from broker.farm import Farm
from broker.recycling import Recycling
from broker.renewal import Renewal
from broker.resolve import shown
from broker.suspicion import Suspicion
from broker.tables import Generation, Host, Record, State
from luafarm.names import Epoch
from luafarm.wire.messages import HOST_ERROR, Dependency, ScriptError

MOST_STALE: Final = 5
"""Loads in a row during which files changed. Such a state is not served but loaded
again; after this many the files never rest, and it is served as it is."""


class Loads:
    """Decides what is served of what hosts have loaded."""

    def __init__(
        self,
        farm: Farm,
        allocation: Allocation,
        recycling: Recycling,
        convergence: Convergence,
        suspicion: Suspicion,
        renewal: Renewal,
    ) -> None:
        self._farm = farm
        self._step = farm.step
        self._allocation = allocation
        self._recycling = recycling
        self._convergence = convergence
        self._suspicion = suspicion
        self._renewal = renewal

    def loaded(self, event: StateLoaded) -> None:
        """Take a state that is ready, or the further files that one used."""
        farm = self._farm
        host = farm.roster.hosts.get(event.host)
        record = farm.records.get(event.script)
        if host is None:
            return
        loading = host.loads.get(event.script)
        if record is None or loading is None or loading.epoch != event.epoch:
            self._used_further(record, host, event)
            return
        record.learn_load(event.load_s)
        generation = loading.generation
        replaced = host.states.get(event.script)
        old_epoch = replaced.epoch if replaced is not None else Epoch(0)
        state = farm.settle(loading, event.kib)
        self._recycling.born(state)
        if generation is record.next:
            generation.forget()  # what was expected is known now
            self._note(record, generation, event.dependencies, event.changed)
            self._judge_canary(record, generation, host if replaced else None)
        elif generation is record.current:
            self._note(record, generation, event.dependencies, event.changed)
            self._judge(record, state, event.dependencies)
            if replaced is not None:
                # until it hears so, the host serves the old one to fronts
                self._step.out.append(Drop(host.id, event.script, old_epoch))
        else:
            self._step.count("superseded_loads")
            if record.current is None and record.next is None:
                farm.drop(state)  # deleted or refused meanwhile
        farm.bulletin.publish(record)
        self._convergence.tend(record)
        self._allocation.relieve(host)

    def _judge_canary(
        self, record: Record, generation: Generation, beside: Host | None
    ) -> None:
        """Serve a new generation, if its state is made of files that are still so.

        beside: the host, if it has a state of an older generation as well.
        """
        if not self._farm.files.is_stale(record, generation):
            record.stale_loads = 0
            self._promote(record, generation, beside)
            return
        self._step.count("stale_loads")
        record.stale_loads += 1
        if record.stale_loads > MOST_STALE:
            self._promote(record, generation, beside)
        self._renewal.review(record)

    def _judge(
        self, record: Record, state: State, dependencies: tuple[Dependency, ...]
    ) -> None:
        """Serve a further state, if its files are those of its generation."""
        self._renewal.review(record)
        known = state.generation.dependencies
        for dependency in dependencies:
            name = (int(dependency.kind), dependency.name)
            if known.get(name, dependency) != dependency:
                break
        else:
            record.stale_loads = 0
            return
        self._step.count("stale_loads")
        if record.stale_loads < MOST_STALE:
            record.stale_loads += 1
            # as any other old state: renewed by `tend`
            state.generation = Generation(state.epoch, b"")

    def _used_further(
        self, record: Record | None, host: Host, event: StateLoaded
    ) -> None:
        state = host.states.get(event.script)
        loading = host.loads.get(event.script)
        if state is None and loading is not None:
            loading.foreign = event.epoch
        elif state is None:
            self._given_up(host, event)
        if record is None or state is None or state.epoch > event.epoch:
            return
        if state.epoch < event.epoch:
            self.doubt(state, event.epoch)
            return
        self._note(record, state.generation, event.dependencies, event.changed)
        self._renewal.review(record)
        self._convergence.tend(record)

    def _given_up(self, host: Host, event: StateLoaded) -> None:
        """Have a state closed that was ordered and given up meanwhile."""
        farm = self._farm
        if event.script not in host.draining:
            if not self._suspicion.is_of(host.pool, event.script):
                path = shown(event.script)
                self._suspicion.accuse(
                    host, f"a state of {path}, which is none of its pool"
                )
                return
            if not self._suspicion.allows_unordered(host, "a state"):
                return
        farm.close(host, event.script, event.epoch)

    def doubt(self, state: State, epoch: Epoch) -> None:
        """Renew a state that an earlier broker still replaced, or fenced off.

        epoch: that of the state which the host has now, or may start at least.
        """
        self._step.count("doubted_states")
        self._farm.epochs.seen(epoch)
        state.epoch = epoch
        state.generation = Generation(epoch, b"")
        self._farm.bulletin.publish(state.record)
        self._convergence.tend(state.record)

    def _note(
        self,
        record: Record,
        generation: Generation,
        dependencies: tuple[Dependency, ...],
        changed: tuple[FileNow, ...],
    ) -> None:
        """Remember what a state used, and look at it as it is now.

        What two states saw differently stays as the first one saw it: with the file
        as it is now the generation is stale then, and both are renewed.
        """
        farm = self._farm
        farm.files.charge(record)
        used = farm.footprint.depend(record, generation, dependencies)
        farm.following.watch_also(record, used)
        self._renewal.learn(changed, record)

    def _promote(
        self, record: Record, generation: Generation, beside: Host | None
    ) -> None:
        """Serve this generation from now on.

        beside: the host of its first state, which serves an older one until fenced.
        """
        farm = self._farm
        record.current = generation
        record.digest = generation.digest
        record.next = None
        if record.failure is not None:
            self._step.log("info", f"script={shown(record.script)} loads again")
            farm.fail(record, None)
        farm.following.keep(record, None)
        farm.following.rewatch(record)
        farm.bulletin.publish(record)
        fenced = farm.holders(record, generation)
        if beside is not None and beside not in fenced:
            fenced.append(beside)
        for state in record.states:
            if state.generation is not generation and self._convergence.may_load(state):
                farm.begin(record, state.host, generation, background=False)
        for host in fenced:
            farm.fence(host, record.script, generation.epoch)

    def failed(self, event: LoadFailed) -> None:
        """Take a generation that does not load."""
        farm = self._farm
        host = farm.roster.hosts.get(event.host)
        record = farm.records.get(event.script)
        loading = host.loads.get(event.script) if host is not None else None
        if host is None:
            return
        if record is None or loading is None or loading.epoch != event.epoch:
            if not host.is_given(event.script):
                self._suspicion.allows_unordered(host, "a failure to load")
            return
        farm.end(loading)
        if loading.foreign:
            farm.close(host, event.script, loading.foreign)
        if event.error.kind == HOST_ERROR:
            self._convergence.refused(loading, event.error)
            return
        self._step.count("failed_loads")
        if event.error.budget:
            record.stopped(event.error.budget, 1, f"loading: {event.error.message}")
        generation = loading.generation
        if generation is record.next:
            generation.forget()
            self._note(record, generation, event.dependencies, event.changed)
            stale = farm.files.is_stale(record, generation)
            if stale and record.stale_loads < MOST_STALE:
                record.stale_loads += 1
                self._renewal.review(record)
            else:
                self._convergence.reject(record, generation, event.error)
        elif generation is record.current:
            self._failed_again(record, generation, host, event.error)
        self._convergence.tend(record)

    def _failed_again(
        self, record: Record, generation: Generation, host: Host, error: ScriptError
    ) -> None:
        """Take a further state of what loaded before: a budget, or bad luck."""
        farm = self._farm
        old = host.states.get(record.script)
        if old is not None and old.generation is not generation:
            # its state is fenced off and cannot be renewed here
            farm.drop(old)
        if not record.states and not record.loads:
            record.current = None
            self._convergence.reject(record, generation, error)
