"""Orders to close a state that their hosts have not confirmed.

Until then a host may still hold it, of whatever age, known to the tables or not.
"""

# Compiled.

from collections.abc import Iterable

from broker.tables import Host
from luafarm.names import Epoch, HostId, Pool, Script


class Closings:
    """All and only rows of the hosts' `draining`, by pool and by script."""

    def __init__(self, pools: Iterable[Pool]) -> None:
        #: number of such orders, by pool of the hosts
        self.of_pool = dict.fromkeys(pools, 0)
        self._hosts: dict[Script, dict[HostId, Host]] = {}

    def __len__(self) -> int:
        """Return the number of all of them."""
        return sum(self.of_pool.values())

    def order(self, host: Host, script: Script, epoch: Epoch) -> None:
        """Note that a host was ordered to close what it has up to this epoch."""
        if script not in host.draining:
            self.of_pool[host.pool] += 1
            self._hosts.setdefault(script, {})[host.id] = host
        host.draining[script] = epoch

    def confirm(self, host: Host, script: Script, epoch: Epoch) -> bool:
        """Note that a state is closed; return whether that had been ordered."""
        meant = host.draining.get(script)
        if meant is None or epoch > meant:
            return False
        del host.draining[script]
        self.of_pool[host.pool] -= 1
        hosts = self._hosts[script]
        del hosts[host.id]
        if not hosts:
            del self._hosts[script]
        return True

    def of(self, script: Script) -> dict[HostId, Host]:
        """Return the hosts that have a state of this script to close."""
        return self._hosts.get(script, {})

    def scripts(self) -> tuple[Script, ...]:
        """Return the scripts with a state that is to be closed."""
        return tuple(self._hosts)

    def check(self, hosts: Iterable[Host]) -> None:
        """Raise AssertionError unless this is what the hosts' rows say."""
        rows = 0
        for host in hosts:
            rows += len(host.draining)
            for script in host.draining:
                assert self._hosts[script][host.id] is host, (host.id, script)
        assert rows == len(self) == sum(map(len, self._hosts.values()))
