"""What one decision of the broker costs: 20,000 states on 1000 hosts, all full."""

import random
import time
from dataclasses import dataclass

from broker import actions as act
from broker import events as ev
from broker.machine import Broker
from luafarm.config.settings import Broker as BrokerSettings
from luafarm.config.settings import PoolSettings, Settings
from luafarm.ends import Closing
from luafarm.names import HostId, Machine, Pool, Script
from luafarm.wire.messages import HostRow, HostUp, MachineReport, Report, UseRow

POOL = Pool("p")
FRONT = b"front"
ALL = "all"


@dataclass(frozen=True, slots=True)
class Cost:
    """Mean and worst CPU time of one kind of decision."""

    name: str
    decisions: int
    mean_us: float
    p99_us: float
    worst_us: float


class Farm:
    """A machine whose hosts load at once whatever it orders."""

    def __init__(self, states: int, hosts: int) -> None:
        broker = BrokerSettings(takeover=0.0, states=states, clone_cpu_share=1.0)
        settings = Settings(broker=broker, pool={"p": PoolSettings(root=("/",))})
        self.broker = Broker(settings, 1, 0.0, cores=hosts // 4)
        self.now = 1.0
        self.spent: dict[str, list[float]] = {}
        self.hosts = [HostId(f"host-{n}") for n in range(hosts)]
        for host in self.hosts:
            name = Machine("m" + host[-1])
            up = HostUp(host, POOL, name, "", b"", "", b"", (), (), 1, 1)
            self.play(ev.HostJoined(up))
            self.play(ev.Inventoried(host))

    def play(self, event: ev.Event) -> list[act.Action]:
        """Hand an event to the machine and time it; loads are done at once."""
        self.now += 0.0001
        started = time.thread_time()
        actions = self.broker.handle(event, self.now)
        spent = time.thread_time() - started
        self.spent.setdefault(type(event).__name__, []).append(spent)
        for action in actions:
            match action:
                case act.Load(host, _, script, epoch):
                    self.play(ev.StateLoaded(host, script, epoch, 0.002, 100))
                case act.Drop(host, script, epoch):
                    self.play(ev.StateGone(host, script, epoch, Closing.DROPPED))
                case _:
                    pass
        return actions

    def heartbeat(self) -> None:
        """Let all supervisors report their hosts."""
        for digit in range(10):
            rows = tuple([HostRow(h, 1, 20_000, b"") for h in self.hosts[digit::10]])
            name = Machine(f"m{digit}")
            self.play(ev.MachineReported(name, MachineReport(rows)))

    def miss(self, n: int, idle: tuple[HostId, ...]) -> None:
        """Let a front ask for the n-th script."""
        path = b"/s%d" % n
        found = ev.Found(POOL, Script(path), b"%d" % n)
        self.play(ev.Missed(FRONT, path, found, idle))

    def where(self, n: int) -> list[HostId]:
        """Return the hosts of the n-th script."""
        record = self.broker.farm.records.get(Script(b"/s%d" % n))
        return [s.host.id for s in record.states] if record is not None else []


def measure(
    states: int = 20_000, hosts: int = 1000, events: int = 30_000
) -> list[Cost]:
    """Fill a farm, then let scripts come, go, clone and be used; return the costs."""
    farm = Farm(states, hosts)
    chance = random.Random(1)
    for n in range(states):
        farm.miss(n, ())
        for host in farm.where(n):
            row = UseRow(Script(b"/s%d" % n), host, 1, 500, 0, 0, 0)
            farm.play(ev.Reported(FRONT, Report((row,), ())))
    farm.spent.clear()
    for _ in range(events):
        n = int(states * 1.3 * chance.random() ** 2)
        at = farm.where(n)
        idle = tuple(chance.sample(farm.hosts, 16))
        if not at:
            farm.miss(n, idle)
            at = farm.where(n)
        if at:
            row = UseRow(Script(b"/s%d" % n), at[0], 3, 1500, 900, 1000, 0)
            farm.play(ev.Reported(FRONT, Report((row,), ())))
        if chance.random() < 0.2:
            farm.play(ev.Pressed(Script(b"/s%d" % n), 0.02, 10, 0.2, idle))
        if chance.random() < 0.002:
            farm.heartbeat()
            farm.play(ev.Ticked())
    costs = [_cost(name, times) for name, times in sorted(farm.spent.items())]
    everything = [t for times in farm.spent.values() for t in times]
    return [*costs, _cost(ALL, everything)]


def _cost(name: str, times: list[float]) -> Cost:
    ordered = sorted(times)
    us = 1e6
    return Cost(
        name,
        len(times),
        sum(times) / len(times) * us,
        ordered[int(len(ordered) * 0.99)] * us,
        ordered[-1] * us,
    )


def is_compiled() -> bool:
    """Say whether the machine is native code."""
    import broker.machine as module

    return not (module.__file__ or "").endswith(".py")
