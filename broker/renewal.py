"""Generations: how a changed file becomes the one that is served.

A settled change gives a new generation, whose first state (the canary) is loaded beside
an old one. Once it is ready fronts are told, the other old states are renewed and
fenced. If it does not load, the last good generation goes on being served. Here rows
are changed; `broker.convergence` orders what they ask for.
"""

# Compiled.

from typing import Final

from broker.actions import Answer, Drop, Watch
from broker.allocation import Allocation
from broker.convergence import EMPTY, Convergence
from broker.events import Barrier, Changed, FileNow, LoadFailed, StateLoaded
from broker.farm import Farm
from broker.recycling import Recycling
from broker.resolve import is_in, shown
from broker.suspicion import Suspicion
from broker.tables import Generation, Host, Record, State
from luafarm.names import Epoch, Script
from luafarm.wire.messages import HOST_ERROR, Dependency, ScriptError, Verdict

MOST_STALE: Final = 5
"""A state whose files changed while it was loaded is not served but loaded again, so
often; then the files never rest, and it is served as it is."""


class Renewal:
    """Decides about generations."""

    def __init__(
        self,
        farm: Farm,
        allocation: Allocation,
        recycling: Recycling,
        convergence: Convergence,
        suspicion: Suspicion,
    ) -> None:
        self._farm = farm
        self._step = farm.step
        self._allocation = allocation
        self._recycling = recycling
        self._convergence = convergence
        self._suspicion = suspicion
        self._last_good = farm.settings.broker.last_good

    # -- files -----------------------------------------------------------------------

    def changed(self, event: Changed) -> None:
        """Take a settled batch of files; whoever waits for it is answered in time."""
        for barrier in event.passed:
            self.passed(barrier)
        scripts = self._affected(event.files)
        awaited: list[Script] = []
        if event.ticket:
            scripts = list(dict.fromkeys([*scripts, *self._doubted(event.scope)]))
            self._farm.fence_closing()
            awaited = [*scripts, *self._pending(event)]
        self._farm.tickets.add(event.ticket, awaited)
        self._review_all(scripts)
        for script in awaited:
            self._convergence.answer_tickets(script)
        if event.ticket and not awaited:
            self._step.out.append(Answer(event.ticket, True, "", Script(b"")))

    def learn(self, files: tuple[FileNow, ...], but: Record | None) -> None:
        """Take what somebody saw of files before the watcher said so.

        The scripts that use them are reviewed, except for one that is looked at anyway.
        """
        farm = self._farm
        news = [
            file
            for file in files
            if farm.files.is_news((file.pool, file.path), file.digest, file.error)
        ]
        for file in news:
            self._step.out.append(Watch(file.pool, file.path, file.digest))
        scripts = self._affected(tuple(news))
        self._review_all([s for s in scripts if but is None or s != but.script])

    def _affected(self, files: tuple[FileNow, ...]) -> list[Script]:
        """Note what files are now; return the scripts that use them, hot ones first."""
        farm = self._farm
        affected: dict[Script, None] = {}
        for file in files:
            for user in farm.files.set((file.pool, file.path), file.digest, file.error):
                affected[user] = None
        if len(affected) < 2:
            return list(affected)
        records = [farm.records[script] for script in affected]
        heats = [(-record.heat.now(farm.lived()), record.script) for record in records]
        return [script for _, script in sorted(heats)]

    def _review_all(self, scripts: list[Script]) -> None:
        for script in scripts:
            record = self._farm.records.get(script)
            if record is not None:
                self.review(record)
                self._convergence.tend(record)

    def _doubted(self, scope: bytes) -> list[Script]:
        """Doubt scripts that may have used more files in scope than are followed.

        Return them: they are loaded anew.
        """
        doubted: list[Script] = []
        for script, record in self._farm.records.items():
            partial = [g for g in record.generations() if g.unfollowed]
            if partial and self._farm.pools[record.pool].may_read_in(scope):
                doubted.append(script)
                for generation in partial:
                    generation.is_doubted = True
        return doubted

    def _pending(self, event: Changed) -> list[Script]:
        """Return the scripts with a file in scope whose last change is not in force.

        Those without a row are being closed; what they used is not known any more.
        """
        farm = self._farm
        found = farm.fences.unconfirmed()
        for script, record in farm.records.items():
            if record.next is not None or record.failure is not None:
                found[script] = None
        return [s for s in found if not event.scope or self._is_meant(s, event)]

    def _is_meant(self, script: Script, event: Changed) -> bool:
        record = self._farm.records.get(script)
        if record is None or not record.watched:
            return True
        return any(
            is_in(path, event.scope) or path in event.meant
            for _, path in record.watched
        )

    def passed(self, barrier: bytes) -> None:
        """Let fronts ask again for the paths that waited for this."""
        for asked in self._farm.missing.passed(barrier, self._step.out):
            self._farm.bulletin.forget(Script(asked))

    def review(self, record: Record) -> None:
        """Compare a script with its files; start a new generation when they differ."""
        farm = self._farm
        digest = farm.files.digest((record.pool, record.script))
        error = farm.files.error((record.pool, record.script))
        if (not digest and not error) or (
            digest == EMPTY and not self.has_last_good(record)
        ):
            self._delete(record)
            return
        current, newest = record.current, record.next or record.current
        if record.failure is not None and record.next is None:
            newest = record.failure.generation
        if newest is not None and not farm.files.is_stale(record, newest):
            failure = record.failure
            # a file that cannot be read has no content to compare, but a reason
            if failure is None or not error or failure.error.message == error:
                return
        was_refused = farm.quarantine.remaining_s(record.script, self._step.now) > 0.0
        farm.quarantine.pardon(record.script)
        farm.restraint.pardon(record.script)
        if was_refused:
            self._step.log(
                "info", f"script={shown(record.script)} changed: no more refused"
            )
        if current is None and not (record.states or record.loads or record.askers):
            # broken or refused before: the next request tries what is there now
            record.next = None
            farm.fail(record, None)
            farm.bulletin.forget(record.script)
        elif current is not None and not farm.files.is_stale(record, current):
            record.next = None  # back to what is served
            farm.fail(record, None)
            farm.following.keep(record, None)
            farm.following.rewatch(record)
        else:
            self._step.count("generations")
            record.next = self._convergence.following(record, digest, newest)

    def has_last_good(self, record: Record) -> bool:
        """Say whether a generation is served that an emptied file does not end."""
        return record.current is not None and self._last_good

    def _delete(self, record: Record) -> None:
        farm = self._farm
        self._step.count("deletions")
        script = record.script
        epoch = farm.epochs.next()
        for loading in list(record.loads.values()):
            if not loading.sent:
                farm.end(loading)
        for host in farm.holders(record, None):
            farm.fence(host, script, epoch)
        for state in list(record.states):
            farm.drop(state)
        farm.quarantine.pardon(script)
        farm.restraint.pardon(script)
        farm.bulletin.refuse(record, Verdict.MISSING, None, 0.0)
        # what is left of it, if anything, is found out by whoever watches the path
        barrier = Barrier(script, b"")
        for asked in farm.missing.remember(script, barrier, self._step.out):
            farm.bulletin.forget(Script(asked))
        record.current = None
        record.next = None
        farm.fail(record, None)
        farm.following.keep(record, None)
        farm.following.watch(record, {})

    # -- loads -----------------------------------------------------------------------

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
        self.review(record)

    def _judge(
        self, record: Record, state: State, dependencies: tuple[Dependency, ...]
    ) -> None:
        """Serve a further state, if its files are those of its generation."""
        self.review(record)
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
        self.review(record)
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
        self.learn(changed, record)

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
                self.review(record)
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
