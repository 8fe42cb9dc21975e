"""A simulator's words and values as ours, and back."""

import sys
from collections.abc import Hashable
from typing import Any

from bench.simulate import interface
from luafarm.names import HostId, Script


def vocabulary(word: object, otherwise: Any = interface) -> Any:  # noqa: ANN401
    """Return the module whose classes the simulator uses, by one that it made."""
    module = sys.modules.get(type(word).__module__)
    if module is None or not hasattr(module, "Publish"):
        return otherwise
    return module


class Names:
    """Scripts and hosts are any hashable values there, paths and ids here."""

    def __init__(self) -> None:
        self._paths: dict[Hashable, Script] = {}
        self._scripts: dict[bytes, Hashable] = {}
        self._ids: dict[Hashable, HostId] = {}
        self._hosts: dict[HostId, Hashable] = {}

    def path(self, script: Hashable) -> Script:
        """Return the path of a script."""
        path = self._paths.get(script)
        if path is None:
            path = self._paths[script] = Script(b"/%d" % len(self._paths))
            self._scripts[path] = script
        return path

    def script(self, path: bytes) -> Hashable:
        """Return the script of a path."""
        return self._scripts[path]

    def id(self, host: Hashable) -> HostId:
        """Return the id of a host."""
        name = self._ids.get(host)
        if name is None:
            name = self._ids[host] = HostId(f"h{len(self._ids)}")
            self._hosts[name] = host
        return name

    def ids(self, hosts: tuple[Hashable, ...]) -> tuple[HostId, ...]:
        """Return the ids of hosts."""
        return tuple([self.id(host) for host in hosts])

    def host(self, name: HostId) -> Hashable:
        """Return the host of an id."""
        return self._hosts[name]

    def hosts(self, names: tuple[HostId, ...]) -> tuple[Hashable, ...]:
        """Return the hosts of ids."""
        return tuple([self._hosts[name] for name in names])
