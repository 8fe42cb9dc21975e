"""Generations: how a changed file becomes the one that is served.

A settled change gives a script a new generation. Here rows are changed;
`broker.convergence` orders what they ask for, and `broker.loads` says what comes of it:
the new generation is served once a state of it is ready. If it does not load, the last
good one goes on being served.
"""

# Compiled.

from broker.actions import Answer, Watch
from broker.convergence import EMPTY, Convergence
from broker.events import Barrier, Changed, FileNow
from broker.farm import Farm
from broker.resolve import is_in, shown
from broker.tables import Record
from luafarm.names import Script
from luafarm.wire.messages import Verdict


class Renewal:
    """Decides about generations."""

    def __init__(self, farm: Farm, convergence: Convergence) -> None:
        self._farm = farm
        self._step = farm.step
        self._convergence = convergence
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
        record.credit = 0.0
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
        record.credit = 0.0
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
