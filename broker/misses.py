"""Requests for paths of which fronts know no state, and how they are answered.

A path may mean no script, one that is refused or does not load, one that is served, or
one that is to be loaded first; then its front is owed an answer.
"""

# Compiled.

from broker.convergence import EMPTY, Convergence
from broker.events import FileNow, Found, Missed, Preloaded
from broker.farm import Farm
from broker.renewal import Renewal
from broker.resolve import pool_of
from broker.tables import Generation, Record
from luafarm.names import Pool, Script
from luafarm.wire.messages import Verdict


class Misses:
    """Answers fronts, and has loaded what they ask for."""

    def __init__(self, farm: Farm, convergence: Convergence, renewal: Renewal) -> None:
        self._farm = farm
        self._step = farm.step
        self._convergence = convergence
        self._renewal = renewal

    def missed(self, event: Missed) -> None:
        """Answer a front that holds a request, now or when a state is loaded."""
        farm = self._farm
        self._step.count("misses")
        found = event.found
        if found is not None and not found.is_whole and not self._is_served(found):
            place = farm.bulletin.unserved(found.script, found.pool, Verdict.REFUSED)
            farm.bulletin.reply(event.front, event.asked, place)
            return
        if found is None or (found.digest == EMPTY and not self._is_kept(found)):
            self._missing(event, found)
            return
        refused_s = farm.quarantine.remaining_s(found.script, self._step.now)
        if refused_s > 0.0:
            place = farm.bulletin.unserved(
                found.script, found.pool, Verdict.REFUSED, None, refused_s
            )
            farm.bulletin.reply(event.front, event.asked, place)
            return
        # it was missing until now, and the watcher has not said so yet
        self._renewal.passed(found.script)
        if event.asked in farm.missing:
            farm.missing.forget(event.asked, self._step.out)
            farm.bulletin.forget(Script(event.asked))
        record = self._found(found)
        failure = record.failure
        if record.current is not None and farm.bulletin.servable(record):
            place = farm.bulletin.served(record)
            farm.bulletin.reply(event.front, event.asked, place)
        elif failure is not None and record.current is None and record.next is None:
            place = farm.bulletin.unserved(
                record.script, record.pool, Verdict.BROKEN, failure.error
            )
            farm.bulletin.reply(event.front, event.asked, place)
        else:
            self._owe(record, event)

    def _is_served(self, found: Found) -> bool:
        """Say whether a script has states, whatever its file is now."""
        record = self._farm.records.get(found.script)
        return record is not None and record.current is not None

    def _is_kept(self, found: Found) -> bool:
        """Say whether a script is served although its file was emptied."""
        record = self._farm.records.get(found.script)
        return record is not None and self._renewal.has_last_good(record)

    def _missing(self, event: Missed, found: Found | None) -> None:
        farm = self._farm
        where = pool_of(farm.pools.values(), event.asked)
        pool = where[0].pool if where is not None else Pool("")
        record = farm.records.get(Script(event.asked))
        is_owed = True
        if record is not None and record.watched and found is None:
            # gone before the watcher has said so; that answers all who wait
            is_owed = (event.front, event.asked) not in record.askers
            self._renewal.learn((FileNow(record.pool, record.script, b""),), None)
        if is_owed:
            place = farm.bulletin.unserved(Script(event.asked), pool, Verdict.MISSING)
            farm.bulletin.reply(event.front, event.asked, place)
        barrier = event.barrier
        for asked in farm.missing.remember(event.asked, barrier, self._step.out):
            farm.bulletin.forget(Script(asked))

    def _found(self, found: Found) -> Record:
        """Return the row of a script that is there, with a generation to be loaded."""
        farm = self._farm
        record = farm.record(found.pool, found.script)
        if record.current is None and record.next is None and record.failure is None:
            if record.digest and record.digest != found.digest:
                farm.restraint.pardon(record.script)  # changed while nobody looked
            record.next = Generation(farm.epochs.next(), found.digest)
            farm.following.rewatch(record)
            now = FileNow(found.pool, found.script, found.digest, found.error)
            self._renewal.learn((now,), record)
        return record

    def _owe(self, record: Record, event: Missed) -> None:
        farm = self._farm
        if not farm.bulletin.owe(record, event.front, event.asked):
            place = farm.bulletin.unserved(record.script, record.pool, Verdict.REFUSED)
            farm.bulletin.reply(event.front, event.asked, place)
            return
        record.idle = event.idle
        self._convergence.tend(record)

    def preloaded(self, event: Preloaded) -> None:
        """Load a script that nobody has asked for yet."""
        if event.found.digest != EMPTY:
            self._convergence.tend(self._found(event.found))
