"""Who waits for a change to be in force, and the fences that stand between.

A change is in force when its first state is loaded (or the script is gone) and every
host that held an older state has confirmed its fence or is gone itself. Fronts were
told before, but they are not asked: what runs is decided at the hosts.
"""

# Compiled.

from luafarm.names import Epoch, HostId, Script


class Waits:
    """Unconfirmed fences by script and by host, and tickets by script."""

    def __init__(self) -> None:
        self._fences: dict[Script, dict[HostId, Epoch]] = {}
        #: by host and script, oldest first: when a fence was ordered that still stands
        self._by_host: dict[HostId, dict[Script, float]] = {}
        self._pending: dict[bytes, dict[Script, None]] = {}
        self._tickets: dict[Script, dict[bytes, None]] = {}
        #: by ticket: the first script that failed, and why
        self._errors: dict[bytes, tuple[Script, str]] = {}

    def raised(self, host: HostId, script: Script, epoch: Epoch, at: float) -> None:
        """Note that a fence was ordered."""
        self._fences.setdefault(script, {})[host] = epoch
        self._by_host.setdefault(host, {}).setdefault(script, at)

    def is_ordered(self, host: HostId, script: Script) -> bool:
        """Say whether a fence of this script was ordered that is not confirmed."""
        return script in self._by_host.get(host, ())

    def oldest(self) -> list[tuple[HostId, Script, float]]:
        """Return the oldest fence of each host that owes any, and since when."""
        firsts = [(h, next(iter(f.items()))) for h, f in self._by_host.items()]
        return [(host, script, at) for host, (script, at) in firsts]

    def confirmed(self, host: HostId, script: Script, epoch: Epoch) -> bool:
        """Note that a host confirmed; return whether it was the script's last."""
        ordered = self._fences.get(script)
        if ordered is None or host not in ordered or ordered[host] > epoch:
            return False
        return self._clear(host, script)

    def _clear(self, host: HostId, script: Script) -> bool:
        ordered = self._fences[script]
        del ordered[host]
        mine = self._by_host[host]
        del mine[script]
        if not mine:
            del self._by_host[host]
        if not ordered:
            del self._fences[script]
        return not ordered

    def lost(self, host: HostId) -> list[Script]:
        """Note that a host is gone; return the scripts that have no fence now."""
        scripts = list(self._by_host.get(host, ()))
        return [script for script in scripts if self._clear(host, script)]

    def is_fenced(self, script: Script) -> bool:
        """Say whether no fence of the script is unconfirmed."""
        return script not in self._fences

    def of(self, host: HostId) -> list[tuple[Script, Epoch]]:
        """Return the fences that this host has not confirmed."""
        return [(s, self._fences[s][host]) for s in self._by_host.get(host, ())]

    def fenced_scripts(self) -> dict[Script, None]:
        """Return the scripts that have unconfirmed fences."""
        return dict.fromkeys(self._fences)

    def wait(self, ticket: bytes, scripts: list[Script]) -> None:
        """Let somebody wait for these scripts; without any, nothing is noted."""
        if not scripts:
            return
        pending = self._pending.setdefault(ticket, {})
        for script in scripts:
            pending[script] = None
            self._tickets.setdefault(script, {})[ticket] = None

    def settled(self, script: Script, error: str) -> list[tuple[bytes, Script, str]]:
        """Note that this script's change is in force or failed.

        Return the tickets that wait for nothing more, each with the first script that
        failed and its error; both are empty when none did.
        """
        done: list[tuple[bytes, Script, str]] = []
        for ticket in self._tickets.pop(script, {}):
            pending = self._pending[ticket]
            del pending[script]
            if error:
                self._errors.setdefault(ticket, (script, error))
            if not pending:
                del self._pending[ticket]
                failed, why = self._errors.pop(ticket, (Script(b""), ""))
                done.append((ticket, failed, why))
        return done

    def is_awaited(self, script: Script) -> bool:
        """Say whether anybody waits for this script."""
        return script in self._tickets
