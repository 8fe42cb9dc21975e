"""A broker like luafcgid: the least recently used goes, pressure always clones."""

from collections import OrderedDict
from typing import Any

from bench.simulate import interface as say


class ReflexBroker:
    """Places in turn, evicts the least recently used state, clones by reflex."""

    def __init__(self, hosts: int, states: int, clones: int) -> None:
        self._hosts = hosts
        self._limit = states
        self._clones = clones
        self._turn = 0
        self._used: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._where: dict[int, list[int]] = {}
        self._loading: dict[int, set[int]] = {}
        self._young: set[tuple[int, int]] = set()

    def handle(self, now: float, event: Any) -> list[Any]:  # noqa: ANN401 - a union
        """Take an event; return the actions it calls for, in order."""
        match event:
            case say.Miss(script, idle):
                if self._where.get(script):
                    return [self._publish(script)]
                return [] if self._loading.get(script) else self._load(script, idle)
            case say.Pressure(script, idle=idle):
                held = len(self._where.get(script, ())) + len(
                    self._loading.get(script, ())
                )
                return self._load(script, idle) if held < self._clones else []
            case say.Loaded(script, host):
                self._loading[script].discard(host)
                self._where.setdefault(script, []).append(host)
                self._used[script, host] = None
                self._young.add((script, host))
                return [self._publish(script)]
            case say.Report(rows):
                for use in rows:
                    if (use.script, use.host) in self._used:
                        self._used.move_to_end((use.script, use.host))
                        self._young.discard((use.script, use.host))
                return []
            case _:
                return []

    def _publish(self, script: int) -> Any:  # noqa: ANN401
        return say.Publish(script, tuple(self._where.get(script, ())), 1)

    def _load(self, script: int, idle: tuple[int, ...]) -> list[Any]:
        taken = {*self._where.get(script, ()), *self._loading.get(script, ())}
        free = [h for h in idle if h not in taken]
        if not free:
            turn = range(self._turn, self._turn + self._hosts)
            free = [h % self._hosts for h in turn if h % self._hosts not in taken]
        if not free:
            return []
        self._turn += 1
        actions: list[Any] = []
        loading = sum(len(hosts) for hosts in self._loading.values())
        if len(self._used) + loading >= self._limit:
            victim = next((v for v in self._used if v not in self._young), None)
            victim = victim or next(iter(self._used), None)
            if victim is None:
                return []
            del self._used[victim]
            self._young.discard(victim)
            self._where[victim[0]].remove(victim[1])
            actions = [self._publish(victim[0]), say.Evict(*victim)]
        self._loading.setdefault(script, set()).add(free[0])
        return [*actions, say.Load(script, free[0], 1)]
