"""Room on VM hosts: which host of a script can start a request soon.

An empty host has room for anything, a busy one while the expected work there stays
within its window and it makes progress, so that nothing quick waits behind anything
slow; unknown and slow scripts go to empty hosts only.
"""

# Compiled.

from typing import Final

from fcgi.dispatch.tables import (
    STALL_S,
    UNKNOWN_S,
    WINDOW_MAX_S,
    WINDOW_S,
    Entry,
    Host,
    Pending,
)
from luafarm.names import RequestId

MAX_RUNS: Final = 64  # outstanding on one host; fewer than HostLost.begun can name


def hunt(hosts: list[Host], number: int) -> list[Host]:
    """Return the order in which the front of this number hunts these hosts.

    Fronts do not see what the others have sent. So they go out in pairs, one each way,
    from places as far apart as can be: 0, 1/2, 1/4, 3/4, ... (van der Corput). Two meet
    where both have come to their last.
    """
    place, part, pair = 0.0, 0.5, number >> 1
    while pair:
        place += part * (pair & 1)
        part /= 2
        pair >>= 1
    cut = int(place * len(hosts))
    order = hosts[cut:] + hosts[:cut]
    if number & 1:
        order.reverse()
    return order


def choose(entry: Entry, now: float) -> Host | None:
    """Return the first host in hunting order that has room, or None."""
    for host in entry.hosts:
        if host.ready and (not host.runs or has_room(host, entry, now)):
            return host
    return None


def has_room(host: Host, entry: Entry, now: float) -> bool:
    """Say whether a busy host can start a further request of this script soon."""
    return (
        entry.est >= 0
        and entry.est + host.work <= host.window
        and now - host.since <= STALL_S
        and len(host.runs) < MAX_RUNS
    )


def bind(
    pending: Pending, entry: Entry, host: Host, request: RequestId, now: float
) -> None:
    """Put a request on a host, under the id of this attempt."""
    pending.id = request
    pending.host = host
    pending.sent = now
    cost = entry.est if entry.est >= 0 else UNKNOWN_S
    pending.cost = cost
    if not host.runs:
        host.since = now
    host.runs[request] = pending
    host.work += cost


def release(host: Host, request: RequestId, now: float) -> Pending | None:
    """Take a run off its host; None when the host has no such run."""
    pending = host.runs.pop(request, None)
    if pending is None:
        return None
    pending.host = None
    host.since = now
    if host.runs:
        host.work = max(0.0, host.work - pending.cost)
    else:
        host.work = 0.0  # no rounding error outlives an empty host
    return pending


def time_trip(host: Host, trip: float) -> None:
    """Learn how long a lone run is on its way to the host and back."""
    if 0 < trip < host.best_trip:
        host.best_trip = trip
        host.window = min(max(WINDOW_S, 2 * trip), WINDOW_MAX_S)
