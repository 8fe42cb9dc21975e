"""Whether a farm that has just been started is all there, by the word of its broker."""

# Impure.

import json
from typing import Final

from luafarm.command import asking, probe
from luafarm.config.settings import Settings
from luafarm.errors import NoAnswerError

_TIMEOUT_S: Final = 0.2  # signals to whoever asks wait for this long at most


def has_hosts(settings: Settings) -> bool:
    """Return whether each pool has as many VM hosts as it should have."""
    try:
        status = json.loads(asking.status(settings, _TIMEOUT_S))
    except (NoAnswerError, ValueError):
        return False
    hosts = probe.host_counts(status)
    return all(hosts[n] >= max(1, pool.hosts) for n, pool in settings.pool.items())
