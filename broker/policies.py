"""The settings that hold for one script: its pool's, overridden by `[[script]]`."""

# Compiled.

import os
import posixpath
from fnmatch import fnmatchcase

from broker.resolve import PoolPaths
from broker.tables import Policy
from luafarm.config.settings import PoolSettings, ScriptSettings, Settings
from luafarm.names import Pool, Script
from luafarm.wire.messages import Limits


def pool_paths(settings: Settings) -> dict[Pool, PoolPaths]:
    """Return the directories of every pool, normalised and absolute."""
    return {
        Pool(name): PoolPaths(
            Pool(name), _absolute(pool.root), _absolute(pool.library), pool.scripts
        )
        for name, pool in settings.pool.items()
    }


def _absolute(directories: tuple[str, ...]) -> tuple[bytes, ...]:
    # normpath keeps two leading slashes, which POSIX lets mean something else
    return tuple(
        b"/" + posixpath.normpath(os.fsencode(d)).lstrip(b"/") for d in directories
    )


def longest_s(settings: Settings, pool: Pool) -> float:
    """Return how long a run or load of any script of a pool may take."""
    mine = settings.pool[pool]
    overrides = [
        budget
        for script in settings.script
        for budget in (script.wall, script.load_wall)
        if budget is not None
    ]
    return max(mine.wall, mine.load_wall, *overrides)


def policy(settings: Settings, paths: PoolPaths, script: Script) -> Policy:
    """Return what holds for this script."""
    pool = settings.pool[paths.pool]
    mine = _override(settings, paths, script)
    clones = _or(mine.clones, settings.broker.clones)
    return Policy(
        limits=_limits(pool, mine),
        clones=max(1, min(clones, settings.broker.states)),
        min_clones=max(
            1, min(_or(mine.min_clones, settings.broker.min_clones), clones)
        ),
        state_requests=pool.state_requests,
        state_age_s=pool.state_age,
    )


def _override(settings: Settings, paths: PoolPaths, script: Script) -> ScriptSettings:
    root = paths.root_of(script) or b""
    relative = script[len(root) :].lstrip(b"/")
    for override in settings.script:
        if fnmatchcase(os.fsdecode(relative), override.pattern):
            return override
    return ScriptSettings()


def _limits(pool: PoolSettings, mine: ScriptSettings) -> Limits:
    return Limits(
        memory_bytes=_or(mine.memory, pool.memory),
        cpu_ms=_ms(pool.cpu if mine.cpu is None else mine.cpu),
        wall_ms=_ms(pool.wall if mine.wall is None else mine.wall),
        load_cpu_ms=_ms(pool.load_cpu if mine.load_cpu is None else mine.load_cpu),
        load_wall_ms=_ms(pool.load_wall if mine.load_wall is None else mine.load_wall),
        reply_bytes=_or(mine.reply, pool.reply),
        log_lines=_or(mine.log_lines, pool.log_lines),
        log_bytes=_or(mine.log_bytes, pool.log_bytes),
        fresh=mine.state == "fresh",
    )


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
