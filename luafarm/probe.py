"""Whether a farm that was just started serves: its listeners and its status."""

import socket
from collections import Counter
from typing import cast

from luafarm import endpoints
from luafarm.settings import Front

_TIMEOUT_S = 0.2


def is_listening(front: Front) -> bool:
    """Return whether all listeners of the front accept connections."""
    listeners = [endpoints.parse_listener(text) for text in front.listen]
    if front.http:
        host, port = endpoints.parse_host_port(front.http)
        listeners.append(endpoints.Listener("", host, port, -1))
    return all(_accepts(listener) for listener in listeners)


def host_counts(status: object) -> Counter[str]:
    """Return the number of VM hosts of each pool in a farm's status."""
    counts: Counter[str] = Counter()
    if isinstance(status, dict):
        for host in cast("list[dict[str, str]]", status.get("hosts", [])):
            counts[host.get("pool", "")] += 1
    return counts


def _accepts(listener: endpoints.Listener) -> bool:
    if listener.fd >= 0:
        return True  # whoever handed it in listens already
    try:
        if listener.path:
            with socket.socket(socket.AF_UNIX) as unix:
                unix.settimeout(_TIMEOUT_S)
                unix.connect(listener.path)
        else:
            address = (listener.host or "localhost", listener.port)
            socket.create_connection(address, _TIMEOUT_S).close()
    except OSError:
        return False
    return True
