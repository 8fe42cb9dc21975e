"""The fences that hosts were ordered to raise and have not confirmed.

A change is in force when its first state is loaded (or the script is gone) and every
host that held an older state has confirmed its fence, or is gone itself. Fronts were
told before, but they are not asked: what runs is decided at the hosts.
"""

# Compiled.

from luafarm.names import Epoch, HostId, Script


class Fences:
    """Unconfirmed fences by script and by host."""

    def __init__(self) -> None:
        self._by_script: dict[Script, dict[HostId, Epoch]] = {}
        #: by host and script, oldest first: when a fence was ordered that still stands
        self._by_host: dict[HostId, dict[Script, float]] = {}

    def ordered(self, host: HostId, script: Script, epoch: Epoch, at: float) -> None:
        """Note that a fence was ordered."""
        self._by_script.setdefault(script, {})[host] = epoch
        self._by_host.setdefault(host, {}).setdefault(script, at)

    def is_owed(self, host: HostId, script: Script) -> bool:
        """Say whether a host has a fence of this script to confirm."""
        return script in self._by_host.get(host, ())

    def oldest(self) -> list[tuple[HostId, Script, float]]:
        """Return the oldest fence of each host that owes any, and since when."""
        firsts = [(h, next(iter(f.items()))) for h, f in self._by_host.items()]
        return [(host, script, at) for host, (script, at) in firsts]

    def confirm(self, host: HostId, script: Script, epoch: Epoch) -> bool:
        """Note that a host confirmed; return whether it was the script's last."""
        hosts = self._by_script.get(script)
        if hosts is None or host not in hosts or hosts[host] > epoch:
            return False
        return self._clear(host, script)

    def _clear(self, host: HostId, script: Script) -> bool:
        hosts = self._by_script[script]
        del hosts[host]
        mine = self._by_host[host]
        del mine[script]
        if not mine:
            del self._by_host[host]
        if not hosts:
            del self._by_script[script]
        return not hosts

    def lost(self, host: HostId) -> list[Script]:
        """Note that a host is gone; return the scripts that are confirmed thereby."""
        scripts = list(self._by_host.get(host, ()))
        return [script for script in scripts if self._clear(host, script)]

    def is_confirmed(self, script: Script) -> bool:
        """Say whether all hosts have confirmed what they were ordered for a script."""
        return script not in self._by_script

    def of(self, host: HostId) -> list[tuple[Script, Epoch]]:
        """Return the fences that this host has not confirmed."""
        return [(s, self._by_script[s][host]) for s in self._by_host.get(host, ())]

    def unconfirmed(self) -> dict[Script, None]:
        """Return the scripts that have unconfirmed fences."""
        return dict.fromkeys(self._by_script)
