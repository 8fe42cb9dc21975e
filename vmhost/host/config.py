"""What one VM host process is told when it starts, and how that travels to it."""

from dataclasses import astuple, dataclass, field
from typing import cast

import msgpack

from luafarm.config.settings import Compat
from luafarm.keys.badges import Badge
from luafarm.names import HostId, Machine, Pool
from luafarm.wire.messages import Role


@dataclass(frozen=True, slots=True)
class HostConfig:
    """One VM host's identity, policy and keys. Limits of scripts come with `Load`."""

    host: HostId
    pool: Pool
    machine: Machine
    endpoint: str  # what to bind: `ipc://PATH` or `tcp://ADDRESS:PORT` of the listen fd
    dialect: str  # of the pool: "luajit21", "lua51" ... "lua55"
    jit: bool
    trusted: bool  # full libraries; otherwise sandboxed
    cpath: str  # where C modules are; empty: in the system's own directories
    max_states: int  # more states than this are refused; the broker evicts earlier
    max_bytes: int  # memory of all states together (`host_memory`)
    grace_s: float = 0.5  # over a budget; then the supervisor kills the host
    c_modules: tuple[str, ...] = ()  # C modules that sandboxed states have as well
    opened: str = ""  # where they are, as `cmodules.open_all` says, once they are open
    secret_key: bytes = b""  # CURVE secret key as Z85; empty on ipc
    badges: tuple[Badge, ...] = ()  # of keys that may speak as fronts or the broker
    compat: Compat = field(default_factory=Compat)

    def pack(self) -> bytes:
        """Return it as msgpack, for the way through the zygote."""
        return cast("bytes", msgpack.packb(astuple(self)))


def unpack(data: bytes) -> HostConfig:
    """Return the HostConfig that `HostConfig.pack` wrote; our own bytes, unchecked."""
    *fields, badges, compat = msgpack.unpackb(data, use_list=False)
    read = tuple([Badge(key, Role(role), *rest) for key, role, *rest in badges])
    return HostConfig(*[*fields, read, Compat(*compat)])
