"""How many files a process may open: sockets of connections, hosts and peers."""

# Impure.

import logging
import resource
from typing import Final

ENOUGH: Final = 65_536
"""For broker and supervisor. Not all that the hard limit allows: where the kernel has
no close_range(2), a child closes every number below the limit by itself."""

_RESERVE: Final = 512  # of a front: VM hosts, spools, logs
_NEEDED: Final = 40  # of a front with four VM hosts and nothing else to do
_NEEDED_HOST: Final = 4  # by front and supervisor, for a further VM host

logger = logging.getLogger("luafarm.limits")


def raise_files(enough: int = ENOUGH) -> int:
    """Let this process open this many files, or what is allowed; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return enough if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def shortage(hosts: int) -> str:
    """Say why a process may not open enough files for so many VM hosts; else empty."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = _NEEDED + _NEEDED_HOST * hosts
    if hard == resource.RLIM_INFINITY or hard >= needed:
        return ""
    return (
        f"a process may open {hard} files here; with {hosts} VM hosts it needs at "
        f"least {needed} (LimitNOFILE, ulimit -Hn)"
    )


def connections(wanted: int) -> int:
    """Make room for this many connections; return how many fit, log if fewer do."""
    files = raise_files(max(ENOUGH, wanted + _RESERVE))
    if files >= wanted + _RESERVE:
        return wanted
    fit = max(1, files - _RESERVE, min(files // 2, files - _NEEDED))
    logger.warning(
        "max_connections=%d: this front can hold %d, because it may open %d files "
        "(LimitNOFILE, ulimit -Hn)",
        wanted,
        fit,
        files,
    )
    return fit
