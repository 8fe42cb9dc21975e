"""What one Lua state and each of its requests may use."""

from dataclasses import dataclass
from typing import Final

from luafarm.config.settings import PoolSettings

_POOL: Final = PoolSettings()


@dataclass(frozen=True, slots=True)
class StateLimits:
    """Budgets of one state and its requests; sizes are bytes, times seconds."""

    memory_bytes: int = _POOL.memory
    cpu_s: float = _POOL.cpu
    load_cpu_s: float = _POOL.load_cpu
    reply_bytes: int = _POOL.reply
    part_bytes: int = 256 * 1024  # of a reply that is buffered before it is flushed
    head_bytes: int = 7 * 1024
    read_bytes: int = 256 * 1024  # most that one READ asks for
    log_lines: int = _POOL.log_lines
    log_bytes: int = _POOL.log_bytes
