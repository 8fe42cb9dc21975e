"""How many files a process may open: sockets of connections, hosts and peers."""

# Impure.

import logging
import resource
from typing import Final

ENOUGH: Final = 65_536
"""For broker and supervisor. Not all that the hard limit allows: where the kernel has
no close_range(2), a child closes every number below the limit by itself."""

_RESERVE: Final = 512  # of a front: VM hosts, spools, logs

logger = logging.getLogger("luafarm.limits")


def raise_files(enough: int = ENOUGH) -> int:
    """Let this process open this many files, or what is allowed; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return enough if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def connections(wanted: int) -> int:
    """Make room for this many connections; return how many fit, log if fewer do."""
    files = raise_files(max(ENOUGH, wanted + _RESERVE))
    if files >= wanted + _RESERVE:
        return wanted
    fit = max(1, files - _RESERVE, files // 2)
    logger.warning(
        "max_connections=%d: this front can hold %d, because it may open %d files "
        "(LimitNOFILE, ulimit -Hn)",
        wanted,
        fit,
        files,
    )
    return fit
