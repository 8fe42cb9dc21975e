"""VM hosts of pools that this broker has not: they get nothing.

That is so for a moment while a farm is renewed: broker and supervisor read the settings
at different times. A supervisor that leaves has them ended at once, as nobody waits for
anything to be loaded elsewhere. If it lasts, the two have different settings.
"""

# Compiled.

from typing import Final

from broker.actions import Recycle
from broker.step import Step
from luafarm.names import HostId, Machine, Pool
from luafarm.wire.messages import HostUp

LATE_S: Final = 60.0
"""So long a renewal may take: for a fresh supervisor to serve, and for the old one to
say that it leaves."""

_Keeper = tuple[Machine, int]


class _Strangers:
    """The hosts of one supervisor. `hosts`: all and only those not ordered to end."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.hosts: dict[HostId, Pool] = {}
        self.told: set[Pool] = set()  # of which the log has been told
        self.is_warned = False


class Unserved:
    """Which hosts these are, by supervisor."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._keepers: dict[_Keeper, _Strangers] = {}

    def joined(self, keeper: _Keeper, up: HostUp) -> None:
        """Take note of a host."""
        found = self._keepers.setdefault(keeper, _Strangers(self._step.now))
        found.hosts[up.host] = up.pool
        if up.pool not in found.told:
            found.told.add(up.pool)
            text = "which this broker has not: its VM hosts get no requests"
            self._step.log(
                "info", f"machine={up.machine} serves pool {up.pool}, {text}"
            )

    def reported(
        self, keeper: _Keeper, named: frozenset[HostId], *, is_leaving: bool
    ) -> None:
        """Forget hosts that are no more; have those end whose supervisor leaves."""
        found = self._keepers.get(keeper)
        if found is None:
            return
        for host in [host for host in found.hosts if host not in named or is_leaving]:
            del found.hosts[host]
            if host in named:
                self._step.out.append(Recycle(keeper[0], host, "its pool is no more"))

    def lost(self, keeper: _Keeper) -> None:
        """Forget a supervisor that is not heard any more."""
        self._keepers.pop(keeper, None)

    def tick(self) -> None:
        """Say once of which hosts nobody will hear anything."""
        for (machine, _), found in self._keepers.items():
            is_late = self._step.now - found.since > LATE_S
            if not found.hosts or not is_late or found.is_warned:
                continue
            found.is_warned = True
            pools = ", ".join(sorted(set(found.hosts.values())))
            self._step.log(
                "warning",
                f"machine={machine} has VM hosts of pools that this broker has not: "
                f"{pools}; the same [pool] settings belong to both",
            )
