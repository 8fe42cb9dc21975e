"""What a supervisor keeps alive: its pools and seats, worked out from the settings."""

import math
from dataclasses import dataclass
from typing import Final

from luafarm.config.settings import PoolSettings, Settings
from luafarm.names import Pool

_HOSTS_A_CPU: Final = 2  # so that the kernel shares a core between quick and slow
_FEWEST: Final = 4
_FEWEST_EACH: Final = 3  # one for quick scripts, and two that no single run can take
ALWAYS: Final = ("no_new_privs", "seccomp")
"""Layers without which nothing is sandboxed: code that broke out of Lua could make any
system call. Every sandboxed pool requires them, whatever its settings say."""

LONGEST_S: Final = 2 * 86_400.0
"""No settings allow a task more: loading a fresh state and the run that wants it, each
for a day. `PoolPlan.longest_s` is what the settings of this machine say."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the supervisor waits for what, in seconds ([vmhost] settings)."""

    grace_s: float  # over a task's deadline
    start_s: float  # for a host to be ready
    stop_s: float  # for running requests when the farm stops
    spawn_max_s: float  # longest pause before a seat is filled again


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """One pool on this machine."""

    pool: Pool
    hosts: int
    dialect: str
    jit: bool
    trusted: bool
    cpath: str
    c_modules: tuple[str, ...]
    required: tuple[str, ...]  # layers of the sandbox
    memory_bytes: int  # of all states of a host
    longest_s: float  # no task of any script may take longer
    host_requests: int  # a host is replaced after as many; 0: never
    host_age_s: float  # and at this age; 0: never


def pools(settings: Settings, cpus: int) -> tuple[PoolPlan, ...]:
    """Return the plans of all pools on a machine with this number of processors."""
    unset = sum(1 for pool in settings.pool.values() if not pool.hosts)
    shared = max(_FEWEST, _HOSTS_A_CPU * cpus)
    share = max(_FEWEST_EACH, math.ceil(shared / unset)) if unset else 0
    overrides = [script.wall for script in settings.script if script.wall is not None]
    return tuple(
        PoolPlan(
            pool=Pool(name),
            hosts=pool.hosts or share,
            dialect=pool.dialect,
            jit=pool.jit,
            trusted=pool.trust == "trusted",
            cpath=pool.cpath,
            c_modules=pool.c_modules,
            required=_required(pool),
            memory_bytes=pool.host_memory,
            longest_s=max(pool.wall, pool.load_wall, *overrides),
            host_requests=pool.host_requests,
            host_age_s=pool.host_age,
        )
        for name, pool in settings.pool.items()
    )


def _required(pool: PoolSettings) -> tuple[str, ...]:
    always = ALWAYS if pool.trust == "sandboxed" else ()
    return tuple(dict.fromkeys([*always, *pool.require_layers]))
