"""Generations: how a changed file becomes the one that is served.

A settled change gives a new generation, whose first state (the canary) is loaded beside
an old one. Once it is ready fronts are told, the other old states are renewed and
fenced.
If it does not load, the last good generation goes on being served. `tend` brings a
script to what its row asks for, whatever happened before; it may be called at any time.
"""

from typing import Final

from broker.actions import Answer
from broker.events import Changed, LoadFailed, StateLoaded
from broker.farm import Farm
from broker.missing import asked_of, is_user
from broker.placement import Placement
from broker.resolve import is_below
from broker.tables import Failure, Generation, Host, Record
from luafarm.messages import Dependency, ScriptError, Verdict
from luafarm.names import Pool, Script

EMPTY: Final = bytes.fromhex("cae66941d9efbd404e4d88758ea67670")
"""Digest (BLAKE2b, 16 bytes) of an empty file, which is no script."""

MOST_STALE: Final = 5
"""A state whose files changed while it was loaded is not served but loaded again, so
often; then the files never rest, and it is served as it is."""

_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 60.0


class Renewal:
    """Decides about generations."""

    def __init__(self, farm: Farm, placement: Placement) -> None:
        self._farm = farm
        self._placement = placement
        self._last_good = farm.settings.broker.last_good

    # -- files -----------------------------------------------------------------------

    def changed(self, event: Changed) -> None:
        """Take a settled batch of files; whoever waits for it is answered in time."""
        farm = self._farm
        affected: dict[Script, None] = {}
        for file in event.files:
            for user in farm.files.set((file.pool, file.path), file.digest, file.error):
                affected[user] = None
        for user in affected:
            if is_user(user):
                self._appeared(asked_of(user))
        scripts = [user for user in affected if user in farm.records]
        awaited = [*scripts, *self._pending(event.scope)] if event.ticket else []
        farm.waits.wait(event.ticket, awaited)
        for script in scripts:
            record = farm.records.get(script)
            if record is not None:
                self.review(record)
                self.tend(record)
        for script in awaited:
            self.answer_waits(script)
        if event.ticket and not awaited:
            farm.out.append(Answer(event.ticket, True, ""))

    def _pending(self, scope: bytes) -> list[Script]:
        """Return the scripts with a file in scope whose last change is not in force."""
        farm = self._farm
        found = farm.waits.fenced_scripts()
        for script, record in farm.records.items():
            if record.next is not None or record.failure is not None:
                found[script] = None
        return [s for s in found if not scope or self._is_in_scope(s, scope)]

    def _is_in_scope(self, script: Script, scope: bytes) -> bool:
        record = self._farm.records.get(script)
        paths = [
            script,
            *([k[1] for k in record.watched] if record is not None else []),
        ]
        return any(path == scope or is_below(path, scope) for path in paths)

    def _appeared(self, asked: bytes) -> None:
        farm = self._farm
        if asked in farm.missing:
            farm.missing.forget(asked, farm.out)
            farm.forget_place(Script(asked), Pool(""))

    def review(self, record: Record) -> None:
        """Compare a script with its files; start a new generation when they differ."""
        farm = self._farm
        digest = farm.files.digest((record.pool, record.script))
        error = farm.files.error((record.pool, record.script))
        if (not digest and not error) or digest == EMPTY:
            self._delete(record)
            return
        newest = record.next or (
            record.failure.generation if record.failure is not None else record.current
        )
        if newest is not None and not farm.files.is_stale(record, newest):
            return
        farm.quarantine.pardon(record.script)
        current = record.current
        if current is None and not record.loads and not record.waiting:
            # broken or refused before: the next request tries what is there now
            farm.forget_place(record.script, record.pool)
            farm.cool(record)
            return
        if current is not None and not farm.files.is_stale(record, current):
            record.next = None  # back to what is served
            record.failure = None
            farm.keep(record, None)
            return
        farm.count("generations")
        self._begin(record, digest, newest)

    def _begin(self, record: Record, digest: bytes, newest: Generation | None) -> None:
        farm = self._farm
        following = Generation(farm.next_epoch(), digest)
        for old in (record.current, newest):
            if old is None:
                continue
            for name, dependency in old.dependencies.items():
                following.dependencies[name] = farm.files.resolved(
                    record, name, dependency
                )
        record.next = following

    def _delete(self, record: Record) -> None:
        farm = self._farm
        farm.count("deletions")
        script = record.script
        epoch = farm.next_epoch()
        hosts = {s.host.id: s.host for s in record.states}
        hosts.update({x.host.id: x.host for x in record.loads.values()})
        for loading in list(record.loads.values()):
            if not loading.sent:
                farm.end(loading)
        for host in hosts.values():
            farm.fence(host, script, epoch)
        for state in list(record.states):
            farm.drop(state)
        farm.quarantine.pardon(script)
        place = farm.unserved(script, record.pool, Verdict.MISSING)
        farm.tell(place)
        farm.answer(record, place)
        for asked in farm.missing.remember(script, farm.out):
            farm.forget_place(Script(asked), record.pool)
        record.current = None
        record.next = None
        record.failure = None
        if record.loads:
            farm.watch(record, {})
            record.told = None
        else:
            farm.cool(record)

    # -- loads -----------------------------------------------------------------------

    def loaded(self, event: StateLoaded) -> None:
        """Take a state that is ready, or the further files that one used."""
        farm = self._farm
        host = farm.roster.hosts.get(event.host)
        record = farm.records.get(event.script)
        if host is None or record is None:
            return
        loading = host.loads.get(event.script)
        if loading is None or loading.epoch != event.epoch:
            self._used_further(record, host, event)
            return
        record.load_s += (event.load_s - record.load_s) * (
            0.3 if record.load_s else 1.0
        )
        generation = loading.generation
        state = farm.settle(loading, event.kib)
        if generation is not record.current and generation is not record.next:
            farm.count("superseded_loads")
            if record.current is None and record.next is None:
                farm.drop(state)  # deleted meanwhile
            farm.publish(record)
            self.tend(record)
            return
        self._note(record, generation, event.dependencies, event)
        if generation is record.next:
            if farm.files.is_stale(record, generation) and (
                record.stale_loads < MOST_STALE
            ):
                farm.count("stale_loads")
                record.stale_loads += 1
                farm.publish(record)
                self.review(record)
            else:
                self._promote(record, generation)
        else:
            farm.publish(record)
            self._placement.leave_lane(record)
            farm.publish(record)
        self.tend(record)

    def _used_further(self, record: Record, host: Host, event: StateLoaded) -> None:
        state = host.states.get(event.script)
        if state is not None and state.epoch == event.epoch:
            self._note(record, state.generation, event.dependencies, event)
            self.review(record)
            self.tend(record)

    def _note(
        self,
        record: Record,
        generation: Generation,
        dependencies: tuple[Dependency, ...],
        event: StateLoaded | LoadFailed,
    ) -> None:
        """Remember what a state used, and look at it as it is now."""
        farm = self._farm
        for dependency in dependencies:
            name = (int(dependency.kind), dependency.name)
            if len(generation.dependencies) < 4096 or name in generation.dependencies:
                generation.dependencies[name] = dependency
        farm.rewatch(record)
        for file in event.changed:
            farm.files.set((file.pool, file.path), file.digest, file.error)

    def _promote(self, record: Record, generation: Generation) -> None:
        """Serve this generation from now on."""
        farm = self._farm
        record.current = generation
        record.next = None
        record.stale_loads = 0
        if record.failure is not None:
            farm.log("info", f"script={record.script!r} loads again")
            record.failure = None
        farm.keep(record, None)
        farm.rewatch(record)
        farm.publish(record)
        for state in list(record.states):
            if state.generation is not generation:
                host = state.host
                if host.id not in record.loads:
                    farm.begin(record, host, generation, background=False)
                farm.fence(host, record.script, generation.epoch)

    def failed(self, event: LoadFailed) -> None:
        """Take a generation that does not load."""
        farm = self._farm
        host = farm.roster.hosts.get(event.host)
        record = farm.records.get(event.script)
        if host is None or record is None:
            return
        loading = host.loads.get(event.script)
        if loading is None or loading.epoch != event.epoch:
            return
        farm.end(loading)
        farm.count("failed_loads")
        generation = loading.generation
        if generation is record.next:
            self._note(record, generation, event.dependencies, event)
            if farm.files.is_stale(record, generation) and (
                record.stale_loads < MOST_STALE
            ):
                record.stale_loads += 1
                self.review(record)
            else:
                self._reject(record, generation, event.error)
        elif generation is record.current and not farm.servable(record):
            # it loaded before: a budget, or luck; not for its content
            record.current = None
            self._reject(record, generation, event.error)
        self.tend(record)

    def _reject(
        self, record: Record, generation: Generation, error: ScriptError
    ) -> None:
        """Do not serve this generation; go on with the last good one, if any."""
        farm = self._farm
        before = record.failure
        failure = Failure(generation, error, farm.now)
        pause_s = _FIRST_RETRY_S
        if before is not None and before.generation.digest == generation.digest:
            pause_s = min(2.0 * (before.retry_at - before.at), _LAST_RETRY_S)
        failure.retry_at = farm.now + pause_s
        record.failure = failure
        record.next = None
        record.stale_loads = 0
        if before is None or before.error != error:
            farm.log(
                "error", f"script={record.script!r} does not load: {error.message}"
            )
        if record.current is not None and self._last_good:
            farm.count("last_good")
            farm.keep(record, record.current)
            farm.rewatch(record)
            return
        if record.current is not None:
            for state in list(record.states):
                farm.fence(state.host, record.script, generation.epoch)
                farm.drop(state)
            record.current = None
        farm.rewatch(record)
        farm.refuse(record, Verdict.BROKEN, error, 0.0)

    def retry(self, record: Record) -> None:
        """Try again what did not load: the reason may have been the moment."""
        failure = record.failure
        if (
            failure is None
            or self._farm.now < failure.retry_at
            or record.next is not None
        ):
            return
        if record.current is None:
            record.failure = None
            self._farm.forget_place(record.script, record.pool)
            if not record.loads and not record.waiting:
                self._farm.cool(record)
        elif failure.error.budget:
            self._begin(record, failure.generation.digest, failure.generation)
            self.tend(record)

    # -- convergence -----------------------------------------------------------------

    def tend(self, record: Record) -> None:
        """Order what the row asks for and is not under way."""
        farm = self._farm
        if record.next is not None:
            self._tend_canary(record, record.next)
        elif record.current is not None:
            for state in record.states:
                if state.generation is not record.current and (
                    state.host.id not in record.loads
                ):
                    farm.begin(record, state.host, record.current, background=True)
            if not farm.servable(record) and not record.loads and record.waiting:
                self._placement.place(record, record.current)
            self._placement.top_up(record)
        if farm.is_unused(record) and record.script not in farm.ghosts:
            farm.cool(record)
        self.answer_waits(record.script)

    def _tend_canary(self, record: Record, generation: Generation) -> None:
        farm = self._farm
        error = farm.files.error((record.pool, record.script))
        if error:
            self._reject(record, generation, _unreadable(record.script, error))
            return
        for loading in list(record.loads.values()):
            if loading.generation is generation:
                if record.waiting and not loading.sent:
                    farm.send(loading)
                return
            if not loading.sent:
                farm.end(loading)
        if record.loads:
            return  # what is under way is of no use; its end brings us back here
        if record.states:
            farm.begin(record, record.states[0].host, generation, background=True)
        else:
            self._placement.place(record, generation)

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
        self._answer(script, error)

    def _answer(self, script: Script, error: str) -> None:
        for ticket, first_error in self._farm.waits.settled(script, error):
            self._farm.out.append(Answer(ticket, not first_error, first_error))


def _unreadable(script: Script, error: str) -> ScriptError:
    return ScriptError(
        kind="File Error",
        message=error,
        traceback="",
        file=script.decode("utf-8", "backslashreplace"),
        line=0,
        excerpt="",
        budget="",
    )
