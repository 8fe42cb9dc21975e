"""The real machines as a simulated farm has them: one pool, one computer, no files.

Scripts and hosts are numbers in a simulation, paths and ids here.
"""

from typing import Final

from broker import events as ev
from broker.machine import Broker
from luafarm.config.settings import Broker as BrokerSettings
from luafarm.config.settings import PoolSettings, Settings
from luafarm.names import Epoch, HostId, Machine, Pool, Script
from luafarm.wire.messages import (
    HostRow,
    HostUp,
    MachineReport,
    Miss,
    Place,
    Pressure,
    Report,
    UseRow,
    Verdict,
)

POOL: Final = Pool("p")
ALIVE_S: Final = 1.0
"""How often the supervisor tells of its hosts."""

_MACHINE: Final = Machine("m")
_ENDLESS: Final = 1 << 40  # bytes: no VM host is short of memory
_DIGEST: Final = b"content"  # no script ever changes


def path(script: int) -> Script:
    """Return the path of a script."""
    return Script(b"/%d" % script)


def number(script: Script) -> int:
    """Return the script of a path."""
    return int(script[1:])


def host_id(host: int) -> HostId:
    """Return the id of a host."""
    return HostId(f"h{host}")


def host_number(host: HostId) -> int:
    """Return the host of an id."""
    return int(host[1:])


def broker(hosts: int, states: int, clones: int, cores: int = 0) -> Broker:
    """Return a broker that knows these hosts, which hold nothing."""
    settings = Settings(
        broker=BrokerSettings(states=states, clones=clones, takeover=0.0),
        pool={POOL: PoolSettings(root=("/",), host_memory=_ENDLESS)},
    )
    made = Broker(settings, term=1, now=0.0, cores=cores)
    for n in range(hosts):
        name = host_id(n)
        up = HostUp(name, POOL, _MACHINE, "", b"", "", b"", (), (), 1, 1)
        made.handle(ev.HostJoined(up), 0.0)
        made.handle(ev.Inventoried(name), 0.0)
    return made


def alive(hosts: int) -> ev.MachineReported:
    """Return what the supervisor of these hosts says of them."""
    rows = tuple([HostRow(host_id(n), 0, 0, b"") for n in range(hosts)])
    return ev.MachineReported(_MACHINE, MachineReport(rows))


def missed(script: int, front: bytes, idle: tuple[HostId, ...] = ()) -> ev.Missed:
    """Return a front's question for a script."""
    found = ev.Found(POOL, path(script), _DIGEST)
    return ev.Missed(front, found.script, found, idle)


def used(script: int, host: int, times: int, busy_us: int, last_us: int) -> UseRow:
    """Return a row of a report: of a script on a host; last_us: ago."""
    return UseRow(path(script), host_id(host), times, busy_us, 0, last_us, 0)


def said(message: object, front: bytes) -> ev.Event | None:
    """Return what a front's message is to the broker; None: nothing."""
    match message:
        case Miss(asked, idle):
            return missed(number(Script(asked)), front, idle)
        case Pressure(script, waited_us, queued, total_us, idle):
            waited_s, total_s = waited_us / 1e6, total_us / 1e6
            return ev.Pressed(script, waited_s, queued, total_s, idle)
        case Report():
            return ev.Reported(front, message)
        case _:
            return None


def place(script: int, hosts: tuple[int, ...], epoch: int) -> Place:
    """Return where a script is served."""
    names = tuple([host_id(host) for host in hosts])
    ready = Verdict.READY
    return Place(b"", path(script), POOL, ready, Epoch(epoch), names, 0, 0, 0, 0, None)
