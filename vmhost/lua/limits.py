"""What one Lua state and each of its requests may use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StateLimits:
    """Budgets of one state and its requests; sizes are bytes, times seconds."""

    memory_bytes: int = 32 * 1024 * 1024
    cpu_s: float = 10.0
    load_cpu_s: float = 5.0
    reply_bytes: int = 64 * 1024 * 1024
    part_bytes: int = 256 * 1024  # of a reply that is buffered before it is flushed
    head_bytes: int = 7 * 1024
    read_bytes: int = 256 * 1024  # most that one READ asks for
    log_lines: int = 200
    log_bytes: int = 32 * 1024
