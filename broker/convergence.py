"""What a script's row asks for, and the orders that bring it about.

`tend` may be called at any time, whatever happened before: it orders what is missing
and not under way. Here as well: what becomes of a generation that does not load, of a
load that its host refused, and of those who wait for a change to be in force.
"""

# Compiled.

from typing import Final

from broker.actions import Answer
from broker.allocation import Allocation
from broker.farm import Farm
from broker.resolve import shown
from broker.tables import Failure, Generation, Loading, Record, State
from luafarm.ends import Budget
from luafarm.names import Script
from luafarm.wire.messages import ScriptError, Verdict

EMPTY: Final = bytes.fromhex("cae66941d9efbd404e4d88758ea67670")
"""Digest (BLAKE2b, 16 bytes) of an empty file, which is no script."""

REFUSED_S: Final = 0.5
"""For this time a host that refused a load gets no other one."""

_STUCK_S: Final = 0.5  # fronts that wait ask four times a second
_SAY_AGAIN_S: Final = 60.0
_FIRST_RETRY_S: Final = 1.0
_MOST_RETRIES: Final = 6


class Convergence:
    """Brings scripts to what their rows ask for."""

    def __init__(self, farm: Farm, allocation: Allocation) -> None:
        self._farm = farm
        self._step = farm.step
        self._allocation = allocation
        self._last_good = farm.settings.broker.last_good
        #: scripts with a state to be loaded where loads are refused: when to try again
        self._refused: dict[Script, float] = {}

    def tend(self, record: Record) -> None:
        """Order what the row asks for and is not under way."""
        farm = self._farm
        if farm.records.get(record.script) is not record:
            return
        is_refused = farm.quarantine.remaining_s(record.script, self._step.now) > 0.0
        if farm.bulletin.is_open and not is_refused:
            if record.next is not None:
                self._tend_canary(record, record.next)
            elif record.current is not None:
                self._tend_states(record, record.current)
        if farm.is_unused(record) and record.script not in farm.remembered:
            farm.cool(record)
        self.answer_tickets(record.script)

    def _tend_states(self, record: Record, current: Generation) -> None:
        farm = self._farm
        older = [s for s in record.states if s.generation is not current]
        for state in self._loadable(record, older):
            farm.begin(record, state.host, current, background=True)
        if record.askers and not record.states:
            if record.loads:
                self._hurry(record, current)
            else:
                self._allocation.place(record, current)
        self._allocation.move(record)
        self._allocation.top_up(record)

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
            self._hurry(record, generation)
        elif record.states:
            loadable = self._loadable(record, record.states)
            if loadable:
                first = min(loadable, key=_held)
                farm.begin(record, first.host, generation, background=True)
        else:
            self._allocation.place(record, generation)

    def _loadable(self, record: Record, states: list[State]) -> list[State]:
        """Return those of these states that can be renewed where they are, now.

        For those on hosts that load nothing for a while `retry` comes back.
        """
        now = self._step.now
        later = [s.host.refused_until for s in states if s.host.refused_until > now]
        if later:
            self._refused[record.script] = min(later)
        return [state for state in states if self.may_load(state)]

    def _hurry(self, record: Record, generation: Generation) -> None:
        """Load at once what stands in a backlog, if a request waits for it.

        Elsewhere as well if nothing came of it: it may stand behind a run without end.
        """
        if not record.askers:
            return
        loads = record.loads.values()
        if not any(x.sent for x in loads):
            self._farm.send(next(iter(loads)))
        elif not record.states:
            late = self._step.now - max(_STUCK_S, 2.0 * record.load_s)
            if all(x.since < late for x in loads):
                self._allocation.place_beside(record, generation)

    def answer_tickets(self, script: Script) -> None:
        """Answer those who wait for a change of this script that is in force."""
        farm = self._farm
        if not farm.tickets.has(script):
            return
        record = farm.records.get(script)
        error = ""
        if record is not None:
            if record.next is not None:
                return
            if record.failure is not None:
                error = record.failure.error.message
        if not error and not farm.fences.is_confirmed(script):
            return
        for ticket, failed, why in farm.tickets.settle(script, error):
            self._step.out.append(Answer(ticket, not why, why, failed))

    # -- what does not load ------------------------------------------------------------

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
        retry_at = self._step.now + _FIRST_RETRY_S * 2.0**attempts
        record.next = None
        record.stale_loads = 0
        farm.fail(record, Failure(generation, error, attempts, retry_at))
        if not is_same:
            text = f"script={shown(record.script)} does not load: {error.message}"
            self._step.log("error", text, record.pool)
        if record.current is not None and self._last_good:
            self._step.count("last_good")
            farm.following.keep(record, record.current)
            farm.following.rewatch(record)
            return
        for host in farm.holders(record, None):
            farm.fence(host, record.script, generation.epoch)
        for state in list(record.states):
            farm.drop(state)
        record.current = None
        farm.following.rewatch(record)
        farm.bulletin.refuse(record, Verdict.BROKEN, error, 0.0)

    def unsendable(self, record: Record) -> None:
        """Take it that the sources of an order are not to be had.

        A last good generation without states is lost with its sources.
        """
        farm = self._farm
        failure = record.failure
        if failure is None or record.next is not None or record.states:
            return
        self._step.log("warning", f"script={shown(record.script)}: last good is lost")
        record.current = None
        farm.following.keep(record, None)
        farm.following.rewatch(record)
        farm.bulletin.refuse(record, Verdict.BROKEN, failure.error, 0.0)

    def retry(self) -> None:
        """Try again what did not load where the reason may have been the moment."""
        farm = self._farm
        for script, due in list(self._refused.items()):
            if due <= self._step.now:
                del self._refused[script]
                if script in farm.records:
                    self.tend(farm.records[script])
        for record in list(farm.failed.values()):
            failure = record.failure
            assert failure is not None
            if self._step.now < failure.retry_at or record.next is not None:
                continue
            if record.current is None:
                farm.fail(record, None)
                farm.bulletin.forget(record.script)
                self.tend(record)
            elif failure.error.budget and failure.attempts < _MOST_RETRIES:
                again = failure.generation
                record.next = self.following(record, again.digest, again)
                self.tend(record)
        while len(farm.failed) > farm.settings.broker.missing:
            record = next(iter(farm.failed.values()))
            farm.fail(record, None)
            self.tend(record)

    def refused(self, loading: Loading, error: ScriptError) -> None:
        """Take a load that its host did not try: the script is not to blame."""
        now = self._step.now
        record, host, generation = loading.record, loading.host, loading.generation
        self._step.count("refused_loads")
        if now - host.refused_until > _SAY_AGAIN_S:
            text = f"host={host.id} does not load script={shown(record.script)}"
            self._step.log("warning", f"{text}: {error.message}")
        host.refused_until = now + REFUSED_S
        self._refused[record.script] = host.refused_until
        if error.budget:  # full: with one state less it may do
            self._allocation.shed(host, record)
        elif generation in (record.next, record.current):
            # its fence is above what this broker knew of: only a newer one will do
            record.next = self.following(record, generation.digest, generation)
        self.tend(record)

    def may_load(self, state: State) -> bool:
        """Say whether a state can be renewed where it is, now."""
        host = state.host
        return host.id not in state.record.loads and (
            host.refused_until <= self._step.now
        )

    def following(
        self, record: Record, digest: bytes, newest: Generation | None
    ) -> Generation:
        """Return a generation of this content, with what older ones used as it is now.

        That much is sent with the order to load, to spare the host its questions.
        """
        farm = self._farm
        following = Generation(farm.epochs.next(), digest)
        for old in (record.current, newest):
            if old is not None:
                now = [
                    farm.files.resolved(record, name, dependency)
                    for name, dependency in old.dependencies.items()
                ]
                farm.footprint.depend(record, following, now)
        return following


def _held(state: State) -> tuple[int, bool]:
    """Return for how long a run has held the host of a state, as was reported last.

    What is loaded there waits for the end of that run, and a deploy for the load.
    """
    return state.host.held, bool(state.host.running)


def _unreadable(script: Script, error: str) -> ScriptError:
    return load_error(script, "File Error", error, Budget.NONE)


def load_error(script: Script, kind: str, message: str, budget: Budget) -> ScriptError:
    """Return an error that is not the script's own words."""
    return ScriptError(kind, message, "", shown(script), 0, "", budget)
