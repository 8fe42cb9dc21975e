"""What fronts are told, and whom an answer is owed.

Fronts hear of every script that is loaded, and of what they asked for. An answer is the
same message as an unasked one, with the path that was asked for; every `Miss` gets one.
"""

# Compiled.

from collections import deque
from typing import Final

from broker.actions import Tell
from broker.roster import Roster
from broker.step import Step
from broker.tables import Record, State
from luafarm.aliases import Alias
from luafarm.names import Epoch, Pool, Script
from luafarm.wire import loglines
from luafarm.wire.messages import (
    Aliases,
    HostLost,
    HostUnlisted,
    HostUp,
    Place,
    ScriptError,
    Snapshot,
    Verdict,
)

ANSWER_S: Final = 60.0
"""A `Miss` that is older is refused; its front has given up."""

MOST_OWED: Final = 100_000
"""Unanswered questions of all fronts; beyond, a further one is refused at once."""

Asker = tuple[bytes, bytes]
"""(front, path it asked for)"""


class Bulletin:
    """Places as fronts know them, and unanswered questions."""

    def __init__(
        self, step: Step, records: dict[Script, Record], roster: Roster
    ) -> None:
        self._step = step
        self._records = records
        self._roster = roster
        #: fronts are told nothing before the broker knows what there is
        self.is_open = False
        self._aliases: tuple[Alias, ...] = ()
        #: answers to all rows' `askers`
        self.owed = 0
        self._asked: deque[tuple[float, Record, Asker]] = deque()

    # -- places ----------------------------------------------------------------------

    def servable(self, record: Record) -> list[State]:
        """Return the states that requests may go to, in hunting order.

        Those on hosts that are about to be replaced count while there are no others.
        """
        states = [s for s in record.states if s.generation is record.current]
        staying = [s for s in states if not s.host.is_retiring]
        return staying or states

    def served(self, record: Record) -> Place:
        """Return where a script is served."""
        limits = record.policy.limits
        hosts = [s.host for s in self.servable(record)]
        home = [h for h in hosts if self._roster.is_at_home(record, h)]
        lent = [h for h in hosts if h not in home] if home else []
        return Place(
            b"",
            record.script,
            record.pool,
            Verdict.READY,
            record.current.epoch if record.current is not None else Epoch(0),
            tuple([host.id for host in (home or hosts) + lent]),
            limits.wall_ms,
            limits.reply_bytes,
            loglines.longest(limits.log_bytes, limits.log_lines),
            0,
            None,
            len(lent),
        )

    def unserved(
        self,
        script: Script,
        pool: Pool,
        verdict: Verdict,
        error: ScriptError | None = None,
        after_s: float = 0.0,
    ) -> Place:
        """Return why a path is not served; READY: because nobody asked for it yet."""
        retry_after_s = int(after_s) + 1 if verdict == Verdict.REFUSED else 0
        return Place(
            asked=b"",
            script=script,
            pool=pool,
            verdict=verdict,
            epoch=Epoch(0),
            hosts=(),
            wall_ms=0,
            reply_bytes=0,
            log_bytes=0,
            retry_after_s=retry_after_s,
            error=error,
        )

    def publish(self, record: Record) -> None:
        """Tell all fronts where a script is served, and answer those that wait."""
        place = self.served(record)
        told = (int(place.verdict), place.hosts, place.epoch, place.lent)
        if told != record.told and (place.hosts or record.told is not None):
            record.told = told
            self.tell(place)
        if place.hosts and record.askers:
            self.answer(record, place)

    def refuse(
        self,
        record: Record,
        verdict: Verdict,
        error: ScriptError | None,
        after_s: float,
    ) -> None:
        """Tell all fronts why a script is not served, and answer those that wait."""
        place = self.unserved(record.script, record.pool, verdict, error, after_s)
        record.told = (int(verdict), (), Epoch(0), 0)
        self.tell(place)
        self.answer(record, place)

    def forget(self, path: Script) -> None:
        """Let fronts ask again when they need this path."""
        self.tell(self.unserved(path, Pool(""), Verdict.READY))

    def realign(self, aliases: tuple[Alias, ...]) -> None:
        """Tell all fronts by which other names they may hear of roots."""
        self._aliases = aliases
        self.tell(Aliases(aliases))

    def tell(self, message: Place | HostUp | HostLost | HostUnlisted | Aliases) -> None:
        """Tell all fronts."""
        if self.is_open:
            self._step.out.append(Tell(b"", message))

    def snapshot(self) -> Snapshot:
        """Return all that a front must know; about the rest it asks."""
        ups = [host.up for host in self._roster.hosts.values()]
        records = self._records.values()
        places = [self.served(r) for r in records if r.told is not None and r.told[1]]
        return Snapshot(tuple(ups), tuple(places), self._aliases)

    # -- answers -------------------------------------------------------------------

    def owe(self, record: Record, front: bytes, asked: bytes) -> bool:
        """Owe an answer; return False when there are too many to owe one more."""
        if self.owed >= MOST_OWED:
            return False
        asker = (front, asked)
        if asker not in record.askers:
            record.askers[asker] = self._step.now
            self.owed += 1
            self._asked.append((self._step.now, record, asker))
        return True

    def answer(self, record: Record, place: Place) -> None:
        """Answer all fronts that wait for this script."""
        askers = list(record.askers)
        self.owed -= len(askers)
        record.askers.clear()
        record.idle = ()
        for front, asked in askers:
            self.reply(front, asked, place)

    def reply(self, front: bytes, asked: bytes, place: Place) -> None:
        """Answer one front."""
        self._step.count("answers")
        answer = Place(
            asked,
            place.script,
            place.pool,
            place.verdict,
            place.epoch,
            place.hosts,
            place.wall_ms,
            place.reply_bytes,
            place.log_bytes,
            place.retry_after_s,
            place.error,
            place.lent,
        )
        self._step.out.append(Tell(front, answer))

    def expire(self) -> list[Record]:
        """Refuse what could not be answered in time; return the scripts."""
        late: list[Record] = []
        before = self._step.now - ANSWER_S
        while self._asked and self._asked[0][0] <= before:
            since, record, asker = self._asked.popleft()
            if record.askers.get(asker) != since:
                continue  # answered, and maybe asked again
            del record.askers[asker]
            self.owed -= 1
            self._step.count("late_answers")
            place = self.unserved(record.script, record.pool, Verdict.REFUSED)
            self.reply(asker[0], asker[1], place)
            late.append(record)
        return late

    def check(self) -> None:
        """Raise AssertionError if questions are lost, or fronts were told wrong."""
        records = self._records.values()
        assert self.owed == sum([len(r.askers) for r in records])
        for record in records:
            if record.told is not None and record.told[1]:
                servable = {s.host.id for s in self.servable(record)}
                assert set(record.told[1]) == servable, record.script
                assert self.is_open or not record.askers, record.script
