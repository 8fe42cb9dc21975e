"""A broker like luafcgid: the least recently used goes, pressure always clones."""

from collections import OrderedDict
from typing import Final

from bench.simulate import machines
from broker import actions as act
from broker import events as ev
from luafarm.names import Epoch, HostId, Script
from luafarm.wire.messages import Limits

_EPOCH: Final = 1  # nothing ever changes
_NO_LIMITS: Final = Limits(0, 0, 0, 0, 0, 0, 0, 0, False)


class ReflexBroker:
    """Places in turn, evicts the least recently used state, clones by reflex."""

    def __init__(self, hosts: int, states: int, clones: int) -> None:
        self._hosts = hosts
        self._limit = states
        self._clones = clones
        self._next = 0
        self._used: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._where: dict[int, list[int]] = {}
        self._loading: dict[int, set[int]] = {}
        self._young: set[tuple[int, int]] = set()

    def handle(self, event: ev.Event, now: float) -> list[act.Action]:
        """Take an event; return the actions it calls for, in order."""
        del now
        match event:
            case ev.Missed(_, path, _, idle):
                script = machines.number(Script(path))
                if self._where.get(script):
                    return [self._publish(script)]
                return [] if self._loading.get(script) else self._load(script, idle)
            case ev.Pressed(path, idle=idle):
                script = machines.number(path)
                held = len(self._where.get(script, ())) + len(
                    self._loading.get(script, ())
                )
                return self._load(script, idle) if held < self._clones else []
            case ev.StateLoaded(name, path):
                script, host = machines.number(path), machines.host_number(name)
                self._loading[script].discard(host)
                self._where.setdefault(script, []).append(host)
                self._used[script, host] = None
                self._young.add((script, host))
                return [self._publish(script)]
            case ev.Reported(_, report):
                for row in report.uses:
                    state = machines.number(row.script), machines.host_number(row.host)
                    if state in self._used:
                        self._used.move_to_end(state)
                        self._young.discard(state)
                return []
            case _:
                return []

    def _publish(self, script: int) -> act.Action:
        hosts = tuple(self._where.get(script, ()))
        return act.Tell(b"", machines.place(script, hosts, _EPOCH))

    def _load(self, script: int, names: tuple[HostId, ...]) -> list[act.Action]:
        idle = [machines.host_number(name) for name in names]
        taken = {*self._where.get(script, ()), *self._loading.get(script, ())}
        free = [h for h in idle if h not in taken]
        if not free:
            following = range(self._next, self._next + self._hosts)
            free = [h % self._hosts for h in following if h % self._hosts not in taken]
        if not free:
            return []
        self._next += 1
        actions: list[act.Action] = []
        loading = sum(len(hosts) for hosts in self._loading.values())
        if len(self._used) + loading >= self._limit:
            victim = next((v for v in self._used if v not in self._young), None)
            victim = victim or next(iter(self._used), None)
            if victim is None:
                return []
            del self._used[victim]
            self._young.discard(victim)
            self._where[victim[0]].remove(victim[1])
            actions = [self._publish(victim[0]), _drop(*victim)]
        self._loading.setdefault(script, set()).add(free[0])
        return [*actions, _load(script, free[0])]


def _drop(script: int, host: int) -> act.Drop:
    return act.Drop(machines.host_id(host), machines.path(script), Epoch(_EPOCH))


def _load(script: int, host: int) -> act.Load:
    name, path = machines.host_id(host), machines.path(script)
    return act.Load(name, machines.POOL, path, Epoch(_EPOCH), b"", (), _NO_LIMITS)
