"""What a VM host is given when it is forked: its id, configuration, uid and sandbox."""

# Impure.

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from luafarm.config.settings import Compat
from luafarm.keys.badges import Badge
from luafarm.names import HostId, Machine, Pool
from vmhost.host.config import HostConfig
from vmhost.sandbox.confine import Confinement
from vmhost.supervisor.actions import Fork

OWN_SPACE: Final = 768 << 20
"""Address space of a host without any state: Python and its libraries take 100 MB, the
stack of the Lua thread 256 MB, arenas of the allocator the rest."""


@dataclass(frozen=True, slots=True)
class HostBasis:
    """What all hosts of this supervisor have in common."""

    machine: Machine
    run: Path
    endpoint: str  # [vmhost] endpoint
    notices: str
    notices_key: bytes
    max_states: int
    compat: Compat
    uids: Sequence[int] | None  # of the seats; None: hosts keep the supervisor's uid
    badges: tuple[Badge, ...]  # of those that may call hosts; empty: no CURVE
    grace_s: float = 0.5
    zygote: str = "vmhost.zygote"  # the module that is run as the zygote

    @property
    def empty(self) -> Path:
        """A directory that stays empty: the root of hosts without a mount namespace."""
        return self.run / "empty"


def new_host_id(machine: Machine, pool: Pool, number: int) -> HostId:
    """Return an id that no host has had."""
    return HostId(f"{machine}-{pool}-{number}-{secrets.token_hex(4)}")


def uid_of(order: Fork, basis: HostBasis) -> int | None:
    """Return the uid of a host of its own; None: it keeps the supervisor's.

    A trusted pool reads the files that the supervisor's user may read.
    """
    uids = basis.uids
    return None if uids is None or order.plan.trusted else uids[order.seat]


def config(order: Fork, basis: HostBasis, endpoint: str, secret: bytes) -> HostConfig:
    """Return what a host is told; secret: its CURVE key, empty without keys."""
    plan = order.plan
    return HostConfig(
        host=order.host,
        pool=plan.pool,
        machine=basis.machine,
        endpoint=endpoint,
        dialect=plan.dialect,
        jit=plan.jit,
        trusted=plan.trusted,
        cpath=plan.cpath,
        c_modules=plan.c_modules,
        max_states=basis.max_states,
        max_bytes=plan.memory_bytes,
        grace_s=basis.grace_s,
        secret_key=secret,
        badges=basis.badges if secret else (),
        compat=basis.compat,
    )


def confinement(
    order: Fork, basis: HostBasis, uid: int | None, *, supervisor: int, keys: bool
) -> Confinement:
    """Return what is to be taken away from a host; supervisor: its pid."""
    plan = order.plan
    return Confinement(
        trusted=plan.trusted,
        jit=plan.jit,
        keys=keys,
        supervisor=supervisor,
        uid=uid,
        gid=-1 if uid is None else uid,
        groups=(),
        address_space=plan.memory_bytes + OWN_SPACE,
        empty=str(basis.empty),
    )
