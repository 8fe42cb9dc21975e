"""Whether a farm that was just started serves, by its status."""

from collections import Counter
from typing import cast


def host_counts(status: object) -> Counter[str]:
    """Return the number of VM hosts of each pool in a farm's status."""
    counts: Counter[str] = Counter()
    if isinstance(status, dict):
        for host in cast("list[dict[str, str]]", status.get("hosts", [])):
            counts[host.get("pool", "")] += 1
    return counts
