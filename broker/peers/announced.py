"""VM hosts as supervisors announce them: what is believed.

Broker and fronts connect to what a supervisor names, and take what is said there for
the host's word. So it may name only what is its own.
"""

# Impure.

from luafarm.keys import curve
from luafarm.names import Machine
from luafarm.wire.messages import HostUp


def fault(up: HostUp, machine: Machine, run: str, *, is_guarded: bool) -> str:
    """Return what is wrong with the announcement of a VM host; empty: nothing.

    run: the run directory. is_guarded: supervisors are known by their keys. Then no
    machine may take an id that could be another's, and nobody connects to where no key
    or the run directory says who answers.
    """
    if up.machine != machine:
        return f"the supervisor of {machine} announced a host of machine {up.machine}"
    if not is_guarded:
        return ""
    start = f"{machine}-{up.pool}-"
    if not up.host.startswith(start):
        return f"the supervisor of {machine} announced host {up.host}, not {start}..."
    for endpoint, key in ((up.endpoint, up.server_key), (up.notices, up.notices_key)):
        if not _is_sure(endpoint, key, run):
            return f"host {up.host} at {endpoint} has no key that proves it"
    return ""


def _is_sure(endpoint: str, key: bytes, run: str) -> bool:
    if endpoint.startswith(f"ipc://{run}/"):
        return not key and "/../" not in endpoint
    return endpoint.startswith("tcp://") and curve.is_key(key)
