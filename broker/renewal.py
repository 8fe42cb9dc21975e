"""Generations: how a changed file becomes the one that is served.

A settled change gives a new generation, whose first state (the canary) is loaded beside
an old one. Once it is ready fronts are told, the other old states are renewed and
fenced. If it does not load, the last good generation goes on being served. `tend`
brings a script to what its row asks for, whatever happened before; it may be called at
any time.
"""

from typing import Final

from broker.actions import Answer, Drop, Watch
from broker.events import Changed, FileNow, LoadFailed, StateLoaded
from broker.farm import MAX_DEPENDENCIES, Farm
from broker.missing import asked_of, is_user
from broker.placement import Placement
from broker.recycling import Recycling
from broker.resolve import is_below, shown
from broker.tables import Failure, Generation, Host, Loading, Record, State
from luafarm.messages import HOST_ERROR, Dependency, ScriptError, Verdict
from luafarm.names import Epoch, Pool, Script

EMPTY: Final = bytes.fromhex("cae66941d9efbd404e4d88758ea67670")
"""Digest (BLAKE2b, 16 bytes) of an empty file, which is no script."""

MOST_STALE: Final = 5
"""A state whose files changed while it was loaded is not served but loaded again, so
often; then the files never rest, and it is served as it is."""

REFUSED_S: Final = 0.5
"""A host that refused a load gets no other one for so long."""

_SAY_AGAIN_S: Final = 60.0
_FIRST_RETRY_S: Final = 1.0
_LONGER: Final = 0.1  # weights of a measurement
_SHORTER: Final = 0.5
_MOST_RETRIES: Final = 6


class Renewal:
    """Decides about generations."""

    def __init__(self, farm: Farm, placement: Placement, recycling: Recycling) -> None:
        self._farm = farm
        self._turn = farm.turn
        self._placement = placement
        self._recycling = recycling
        self._last_good = farm.settings.broker.last_good
        #: scripts with a load that a host refused: when to try again
        self._refused: dict[Script, float] = {}

    # -- files -----------------------------------------------------------------------

    def changed(self, event: Changed) -> None:
        """Take a settled batch of files; whoever waits for it is answered in time."""
        scripts = self._affected(event.files)
        awaited: list[Script] = []
        if event.ticket:
            self._farm.fence_closing()
            awaited = [*scripts, *self._pending(event)]
        self._farm.waits.wait(event.ticket, awaited)
        self._review_all(scripts)
        for script in awaited:
            self.answer_waits(script)
        if event.ticket and not awaited:
            self._turn.out.append(Answer(event.ticket, True, "", Script(b"")))

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
            self._turn.out.append(Watch(file.pool, file.path, file.digest))
        scripts = self._affected(tuple(news))
        self._review_all([s for s in scripts if but is None or s != but.script])

    def _affected(self, files: tuple[FileNow, ...]) -> list[Script]:
        """Note what files are now; return the scripts that use them, hot ones first."""
        farm = self._farm
        affected: dict[Script, None] = {}
        for file in files:
            for user in farm.files.set((file.pool, file.path), file.digest, file.error):
                if not is_user(user):
                    affected[user] = None
                elif file.error or file.digest not in {b"", EMPTY}:
                    self._appeared(file.pool, asked_of(user))
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
                self.tend(record)

    def _pending(self, event: Changed) -> list[Script]:
        """Return the scripts with a file in scope whose last change is not in force.

        Those without a row are being closed; what they used is not known any more.
        """
        farm = self._farm
        found = farm.waits.fenced_scripts()
        for script, record in farm.records.items():
            if record.next is not None or record.failure is not None:
                found[script] = None
        return [s for s in found if not event.scope or self._is_meant(s, event)]

    def _is_meant(self, script: Script, event: Changed) -> bool:
        record = self._farm.records.get(script)
        if record is None or not record.watched:
            return True
        scope = event.scope
        return any(
            path == scope or is_below(path, scope) or path in event.meant
            for _, path in record.watched
        )

    def _appeared(self, pool: Pool, asked: bytes) -> None:
        farm = self._farm
        if asked in farm.missing:
            farm.missing.forget(asked, self._turn.out)
            farm.bulletin.forget(Script(asked), pool)

    def review(self, record: Record) -> None:
        """Compare a script with its files; start a new generation when they differ."""
        farm = self._farm
        digest = farm.files.digest((record.pool, record.script))
        error = farm.files.error((record.pool, record.script))
        if (not digest and not error) or (
            digest == EMPTY and not self.has_last_good(record)
        ):
            self._delete(record, digest)
            return
        current, newest = record.current, record.next or record.current
        if record.failure is not None and record.next is None:
            newest = record.failure.generation
        if newest is not None and not farm.files.is_stale(record, newest):
            failure = record.failure
            # a file that cannot be read has no content to compare, but a reason
            if failure is None or not error or failure.error.message == error:
                return
        was_refused = farm.quarantine.remaining_s(record.script, self._turn.now) > 0.0
        farm.quarantine.pardon(record.script)
        if was_refused:
            self._turn.log(
                "info", f"script={shown(record.script)} changed: no more refused"
            )
        if current is None and not (record.states or record.loads or record.waiting):
            # broken or refused before: the next request tries what is there now
            record.next = None
            farm.fail(record, None)
            farm.bulletin.forget(record.script, record.pool)
        elif current is not None and not farm.files.is_stale(record, current):
            record.next = None  # back to what is served
            farm.fail(record, None)
            farm.keep(record, None)
            farm.rewatch(record)
        else:
            self._turn.count("generations")
            record.next = self.following(record, digest, newest)

    def has_last_good(self, record: Record) -> bool:
        """Say whether a generation is served that an emptied file does not end."""
        return record.current is not None and self._last_good

    def following(
        self, record: Record, digest: bytes, newest: Generation | None
    ) -> Generation:
        """Return a generation of this content, with what older ones used as it is now.

        That much is sent with the order to load, to spare the host its questions.
        """
        farm = self._farm
        following = Generation(farm.next_epoch(), digest)
        for old in (record.current, newest):
            if old is not None:
                for name, dependency in old.dependencies.items():
                    now = farm.files.resolved(record, name, dependency)
                    following.dependencies[name] = now
        return following

    def _delete(self, record: Record, digest: bytes) -> None:
        farm = self._farm
        self._turn.count("deletions")
        script = record.script
        epoch = farm.next_epoch()
        for loading in list(record.loads.values()):
            if not loading.sent:
                farm.end(loading)
        for host in farm.holders(record, None):
            farm.fence(host, script, epoch)
        for state in list(record.states):
            farm.drop(state)
        farm.quarantine.pardon(script)
        farm.bulletin.refuse(record, Verdict.MISSING, None, 0.0)
        for asked in farm.missing.remember(script, digest, self._turn.out):
            farm.bulletin.forget(Script(asked), record.pool)
        record.current = None
        record.next = None
        farm.fail(record, None)
        farm.keep(record, None)
        farm.watch(record, {})

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
        record.load_s = _learned(record.load_s, event.load_s)
        generation = loading.generation
        replaced = host.states.get(event.script)
        old_epoch = replaced.epoch if replaced is not None else Epoch(0)
        state = farm.settle(loading, event.kib)
        self._recycling.born(state)
        if generation is record.next:
            generation.dependencies = {}  # what was expected is known now
            self._note(record, generation, event.dependencies, event.changed)
            self._judge_canary(record, generation, host if replaced else None)
        elif generation is record.current:
            self._note(record, generation, event.dependencies, event.changed)
            self._judge(record, state, event.dependencies)
            if replaced is not None:
                # until it hears so, the host serves the old one to fronts
                self._turn.out.append(Drop(host.id, event.script, old_epoch))
        else:
            self._turn.count("superseded_loads")
            if record.current is None and record.next is None:
                farm.drop(state)  # deleted or refused meanwhile
        farm.bulletin.publish(record)
        self.tend(record)
        self._placement.relieve(host)

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
        self._turn.count("stale_loads")
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
        self._turn.count("stale_loads")
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
            loading.stray = event.epoch
        elif state is None:
            # ordered and given up meanwhile
            self._farm.close(host, event.script, event.epoch)
        if record is None or state is None or state.epoch > event.epoch:
            return
        if state.epoch < event.epoch:
            self.doubt(state, event.epoch)
            return
        self._note(record, state.generation, event.dependencies, event.changed)
        self.review(record)
        self.tend(record)

    def doubt(self, state: State, epoch: Epoch) -> None:
        """Renew a state that an earlier broker still replaced, or fenced off.

        epoch: that of the state which the host has now, or may start at least.
        """
        self._turn.count("doubted_states")
        self._farm.seen_epoch(epoch)
        state.epoch = epoch
        state.generation = Generation(epoch, b"")
        self._farm.bulletin.publish(state.record)
        self.tend(state.record)

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
        for dependency in dependencies:
            name = (int(dependency.kind), dependency.name)
            if name in generation.dependencies:
                continue
            if len(record.watched) < MAX_DEPENDENCIES:
                generation.dependencies[name] = dependency
                farm.watch_more(record, farm.files.tried(record, dependency))
            else:
                self._turn.count("unwatched_files")
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
            self._turn.log("info", f"script={shown(record.script)} loads again")
            farm.fail(record, None)
        farm.keep(record, None)
        farm.rewatch(record)
        farm.bulletin.publish(record)
        fenced = farm.holders(record, generation)
        if beside is not None and beside not in fenced:
            fenced.append(beside)
        for state in record.states:
            if state.generation is not generation and self._may_load(state):
                farm.begin(record, state.host, generation, background=False)
        for host in fenced:
            farm.fence(host, record.script, generation.epoch)

    def failed(self, event: LoadFailed) -> None:
        """Take a generation that does not load."""
        farm = self._farm
        host = farm.roster.hosts.get(event.host)
        record = farm.records.get(event.script)
        loading = host.loads.get(event.script) if host is not None else None
        if host is None or record is None:
            return
        if loading is None or loading.epoch != event.epoch:
            return
        farm.end(loading)
        if loading.stray:
            farm.close(host, event.script, loading.stray)
        if event.error.kind == HOST_ERROR:
            self._refused_load(loading, event.error)
            return
        self._turn.count("failed_loads")
        if event.error.budget:
            record.stopped(event.error.budget, 1, f"loading: {event.error.message}")
        generation = loading.generation
        if generation is record.next:
            generation.dependencies = {}
            self._note(record, generation, event.dependencies, event.changed)
            stale = farm.files.is_stale(record, generation)
            if stale and record.stale_loads < MOST_STALE:
                record.stale_loads += 1
                self.review(record)
            else:
                self.reject(record, generation, event.error)
        elif generation is record.current:
            self._failed_again(record, generation, host, event.error)
        self.tend(record)

    def _refused_load(self, loading: Loading, error: ScriptError) -> None:
        """Take a load that its host did not try: the script is not to blame."""
        now = self._turn.now
        record, host, generation = loading.record, loading.host, loading.generation
        self._turn.count("refused_loads")
        if now - host.refused_until > _SAY_AGAIN_S:
            text = f"host={host.id} does not load script={shown(record.script)}"
            self._turn.log("warning", f"{text}: {error.message}")
        host.refused_until = now + REFUSED_S
        self._refused[record.script] = host.refused_until
        if error.budget:  # full: with one state less it may do
            self._placement.shed(host, record)
        elif generation in (record.next, record.current):
            # its fence is above what this broker knew of: only a newer one will do
            record.next = self.following(record, generation.digest, generation)
        self.tend(record)

    def _may_load(self, state: State) -> bool:
        """Say whether a state can be renewed where it is, now."""
        host = state.host
        return host.id not in state.record.loads and (
            host.refused_until <= self._turn.now
        )

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
            self.reject(record, generation, error)

    def died(self, loading: Loading, error: ScriptError) -> None:
        """Take a new generation whose loading cost its host the life."""
        if loading.generation is loading.record.next:
            self.reject(loading.record, loading.generation, error)

    def reject(
        self, record: Record, generation: Generation, error: ScriptError
    ) -> None:
        """Do not serve this generation; go on with the last good one, if any."""
        farm = self._farm
        before = record.failure
        is_same = (
            before is not None
            and before.generation.digest == generation.digest
            and (bool(generation.digest) or before.error.message == error.message)
        )
        attempts = before.attempts + 1 if before is not None and is_same else 1
        retry_at = self._turn.now + _FIRST_RETRY_S * 2.0**attempts
        record.next = None
        record.stale_loads = 0
        farm.fail(record, Failure(generation, error, attempts, retry_at))
        if not is_same:
            text = f"script={shown(record.script)} does not load: {error.message}"
            self._turn.log("error", text)
        if record.current is not None and self._last_good:
            self._turn.count("last_good")
            farm.keep(record, record.current)
            farm.rewatch(record)
            return
        for host in farm.holders(record, None):
            farm.fence(host, record.script, generation.epoch)
        for state in list(record.states):
            farm.drop(state)
        record.current = None
        farm.rewatch(record)
        farm.bulletin.refuse(record, Verdict.BROKEN, error, 0.0)

    def unsendable(self, record: Record) -> None:
        """Take it that the sources of an order are not to be had.

        A last good generation without states is lost with its sources.
        """
        farm = self._farm
        failure = record.failure
        if failure is None or record.next is not None or record.states:
            return
        self._turn.log("warning", f"script={shown(record.script)}: last good is lost")
        record.current = None
        farm.keep(record, None)
        farm.rewatch(record)
        farm.bulletin.refuse(record, Verdict.BROKEN, failure.error, 0.0)

    def retry(self) -> None:
        """Try again what did not load where the reason may have been the moment."""
        farm = self._farm
        for script, due in list(self._refused.items()):
            if due <= self._turn.now:
                del self._refused[script]
                if script in farm.records:
                    self.tend(farm.records[script])
        for record in list(farm.failed.values()):
            failure = record.failure
            assert failure is not None
            if self._turn.now < failure.retry_at or record.next is not None:
                continue
            if record.current is None:
                farm.fail(record, None)
                farm.bulletin.forget(record.script, record.pool)
                self.tend(record)
            elif failure.error.budget and failure.attempts < _MOST_RETRIES:
                again = failure.generation
                record.next = self.following(record, again.digest, again)
                self.tend(record)
        while len(farm.failed) > farm.settings.broker.missing:
            record = next(iter(farm.failed.values()))
            farm.fail(record, None)
            self.tend(record)

    # -- convergence -----------------------------------------------------------------

    def tend(self, record: Record) -> None:
        """Order what the row asks for and is not under way."""
        farm = self._farm
        if farm.records.get(record.script) is not record:
            return
        is_refused = farm.quarantine.remaining_s(record.script, self._turn.now) > 0.0
        if farm.bulletin.is_open and not is_refused:
            if record.next is not None:
                self._tend_canary(record, record.next)
            elif record.current is not None:
                self._tend_states(record, record.current)
        if farm.is_unused(record) and record.script not in farm.ghosts:
            farm.cool(record)
        self.answer_waits(record.script)

    def _tend_states(self, record: Record, current: Generation) -> None:
        farm = self._farm
        for state in record.states:
            if state.generation is not current and self._may_load(state):
                farm.begin(record, state.host, current, background=True)
        if record.waiting and not record.states:
            if record.loads:
                self._hurry(record)
            else:
                self._placement.place(record, current)
        self._placement.move(record)
        self._placement.top_up(record)

    def _tend_canary(self, record: Record, generation: Generation) -> None:
        farm = self._farm
        error = farm.files.error((record.pool, record.script))
        if generation.digest == EMPTY:
            error = "the file is empty"
        if error:
            self.reject(record, generation, _unreadable(record.script, error))
            return
        for loading in list(record.loads.values()):
            if loading.generation is not generation and not loading.sent:
                farm.end(loading)
        if record.loads:
            # the canary, or something of no use any more whose end brings us back
            self._hurry(record)
        elif record.states:
            hosts = [state.host for state in record.states if self._may_load(state)]
            if hosts:  # else `retry` comes back
                farm.begin(record, hosts[0], generation, background=True)
        else:
            self._placement.place(record, generation)

    def _hurry(self, record: Record) -> None:
        """Load at once what stands in a backlog, if a request waits for it."""
        if record.waiting and not any(x.sent for x in record.loads.values()):
            self._farm.send(next(iter(record.loads.values())))

    def answer_waits(self, script: Script) -> None:
        """Answer those who wait for a change of this script that is in force."""
        farm = self._farm
        if not farm.waits.is_awaited(script):
            return
        record = farm.records.get(script)
        error = ""
        if record is not None:
            if record.next is not None:
                return
            if record.failure is not None:
                error = record.failure.error.message
        if not error and not farm.waits.is_fenced(script):
            return
        for ticket, failed, why in farm.waits.settled(script, error):
            self._turn.out.append(Answer(ticket, not why, why, failed))


def _learned(known_s: float, load_s: float) -> float:
    """Return what loading a script takes, by a further measurement.

    One that is longer than the others tells more of the moment than of the script.
    """
    if known_s <= 0.0:
        return load_s
    return known_s + (load_s - known_s) * (_LONGER if load_s > known_s else _SHORTER)


def _unreadable(script: Script, error: str) -> ScriptError:
    return load_error(script, "File Error", error, "")


def load_error(script: Script, kind: str, message: str, budget: str) -> ScriptError:
    """Return an error that is not the script's own words."""
    return ScriptError(kind, message, "", shown(script), 0, "", budget)
