"""Which VM hosts are not to be believed, and are killed.

A host may have been taken over. It is believed about scripts of its own pool that it
was given, as far as numbers go that could be true. What it says of others is left out;
what no honest host says, repeats or leaves unsaid has it killed.
"""

from typing import Final

from broker.actions import KillHost
from broker.farm import Farm
from broker.policies import longest_s
from broker.resolve import is_normal, pool_of, shown
from broker.tables import Host
from luafarm.allowance import Allowance
from luafarm.gaps import GAP_S
from luafarm.names import Pool, Script
from luafarm.wire.messages import StateRow

MOST_ROWS: Final = 10_000
"""States of one host: an honest one has no memory for more."""

UNORDERED: Final = 64
"""What a host may say at once of states that nobody ordered, and twice for each state
that there may be: an earlier broker may have ordered it, and two generations go."""

UNORDERED_PER_S: Final = 10.0

PATIENCE_S: Final = 10.0
"""Beyond the longest run of its pool, in which a host cannot hear, it answers."""

ACCUSE_AGAIN_S: Final = 1.0
"""Until a host that was to be killed and has not left is accused again."""


class Suspicion:
    """Judges hosts by what they say, and by what they owe."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._step = farm.step
        self._ticked_at = farm.step.now

    def met(self, host: Host) -> None:
        """Begin to watch a host that has joined."""
        host.joined_s = self._farm.watched_s
        host.unordered = Allowance(UNORDERED + 2 * self._farm.limit, UNORDERED_PER_S)

    def accuse(self, host: Host, why: str) -> None:
        """Have a host killed that breaks the protocol."""
        if not host.accused_at:
            self._step.count("accusations")
        host.accused_at = self._step.now
        host.accused_of = why
        self._step.out.append(KillHost(host.up.machine, host.id, why))

    def allows_unordered(self, host: Host, what: str) -> bool:
        """Take note of what a host says of a state that nobody ordered from it.

        An honest one does so around a change of brokers, or when it closes two
        generations at once. Return False when it does so too often, and is accused.
        """
        self._step.count("unordered")
        if host.unordered.take(self._step.now) <= 0.0:
            return True
        self.accuse(host, f"{what} that nobody ordered, again and again")
        return False

    def is_of(self, pool: Pool, script: Script) -> bool:
        """Say whether a path is one of this pool's and of no other's."""
        if not is_normal(script):
            return False
        where = pool_of(self._farm.pools.values(), script)
        return where is not None and where[0].pool == pool

    def admits(self, host: Host, rows: tuple[StateRow, ...]) -> bool:
        """Say whether an honest host may hold this; if none may, it is accused."""
        wrong = ""
        if len(rows) > MOST_ROWS:
            wrong = f"an inventory of {len(rows)} states; the limit is {MOST_ROWS}"
        elif len({row.script for row in rows}) < len(rows):
            wrong = "an inventory that names a script twice"
        elif rows and host.is_fresh and not host.is_known:
            wrong = f"an inventory of {len(rows)} states, of which none was ordered"
        if wrong:
            self.accuse(host, wrong)
        return not wrong

    def tick(self) -> None:
        """Accuse hosts that owe an answer for longer than any run may keep them.

        A host hears the broker between two runs, and while a script waits. A broker
        that was stopped itself blames nobody for that time.
        """
        farm = self._farm
        passed_s = self._step.now - self._ticked_at
        self._ticked_at = self._step.now
        farm.watched_s += min(passed_s, GAP_S)
        for host in list(farm.roster.hosts.values()):
            if host.accused_at:
                if self._step.now - host.accused_at >= ACCUSE_AGAIN_S:
                    self.accuse(host, host.accused_of)
            elif not host.is_known:
                self._judge_late(host, host.joined_s, "an inventory")
        for name, script, since_s in farm.fences.oldest():
            late = farm.roster.hosts[name]
            if not late.accused_at:
                what = f"the confirmation of a fence of {shown(script)}"
                self._judge_late(late, since_s, what)

    def _judge_late(self, host: Host, since_s: float, what: str) -> None:
        limit_s = longest_s(self._farm.settings, host.pool) + PATIENCE_S
        if self._farm.watched_s - since_s > limit_s:
            self.accuse(host, f"it owes {what} for longer than {limit_s:.0f} s")
