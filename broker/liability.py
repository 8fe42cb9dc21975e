"""What scripts do to others, and what follows: few VM hosts for a while, or none.

Which budget stops a script is up to its visitors, so that lowers its share
(`broker.restraint`). A death of its VM host, as far as it answers for it
(`broker.guilt`), has it refused (`broker.quarantine`). Both end by themselves, and with
a change of its files.
"""

# Compiled.

from broker import guilt
from broker.allocation import Allocation
from broker.convergence import Convergence
from broker.farm import Farm
from broker.resolve import shown
from broker.tables import Record
from luafarm.ends import EXHAUSTING, Death
from luafarm.wire.messages import StopRow, Verdict


class Liability:
    """Counts stops and deaths, and draws the consequences."""

    def __init__(
        self, farm: Farm, allocation: Allocation, convergence: Convergence
    ) -> None:
        self._farm = farm
        self._step = farm.step
        self._allocation = allocation
        self._convergence = convergence

    def stopped(self, row: StopRow) -> None:
        """Take note of requests that a budget stopped."""
        record = self._farm.records.get(row.script)
        if record is None or row.times < 1:
            return
        record.stopped(row.budget, row.times, row.last)
        if record.policy.limits.fresh and row.budget in EXHAUSTING:
            # of a state for one request nobody tells how it ended
            self.restrain(record, row.budget, row.times)
            self._convergence.tend(record)

    def restrain(self, record: Record, budget: str, times: int) -> None:
        """Count what a budget stopped; restrain the script when that was too often.

        Whoever may send a request can bring that about, so it is not refused. Loads
        that were not begun are given up: the row is to be tended afterwards.
        """
        farm, now = self._farm, self._step.now
        why = f"budget={budget} exceeded"
        if not farm.restraint.stopped(record.script, why, now, times):
            return
        text = f"script={shown(record.script)} gets few VM hosts for now: {why}"
        self._step.log("warning", f"{text}; see [broker] restraint_stops")
        self._allocation.restrain(record)

    def blame(self, record: Record, reason: Death, why: str) -> None:
        """Weigh the death of a host that ran a script; refuse that after too many.

        A budget that took a kill to enforce is a stop as well. The row is to be tended
        afterwards.
        """
        farm, script = self._farm, record.script
        weight, record.credit = guilt.weigh(reason, record.credit)
        if not weight:
            self._step.count("excused_deaths")
        if not farm.quarantine.blame(script, why, self._step.now, weight):
            if reason.budget in EXHAUSTING:
                self.restrain(record, reason.budget, 1)
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
