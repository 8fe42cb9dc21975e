"""What cold starts cost with one state per script, and less room than scripts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.simulate import machines
from bench.simulate.caches import (
    Belady,
    Gdsf,
    Lfu,
    Lru,
    Policy,
    RateOracle,
    S3Fifo,
    Sieve,
    WTinyLfu,
)
from bench.simulate.traces import Trace
from broker import actions as act
from broker import events as ev
from luafarm.ends import Closing
from luafarm.wire.messages import Report

_HOSTS: Final = 8
_FRONT: Final = b"front"
_USE_US: Final = 500  # that each use takes
_REPORT_S: Final = 0.1
_LONG_S: Final = 0.010


@dataclass
class Result:
    """What a policy cost on a trace, after the room was filled once."""

    policy: str
    requests: int = 0
    cold: int = 0
    cold_s: float = 0.0
    long_waits: int = 0

    @property
    def cold_percent(self) -> float:
        """Cold starts per hundred requests."""
        return 100.0 * self.cold / max(self.requests, 1)

    @property
    def cold_ms(self) -> float:
        """Milliseconds of waiting for cold starts, per request."""
        return 1000.0 * self.cold_s / max(self.requests, 1)

    @property
    def long_percent(self) -> float:
        """Requests per hundred that waited longer than 10 ms."""
        return 100.0 * self.long_waits / max(self.requests, 1)

    def count(self, cold_s: float | None) -> None:
        """Count a request, and what it waited if it was cold."""
        self.requests += 1
        if cold_s is not None:
            self.cold += 1
            self.cold_s += cold_s
            self.long_waits += cold_s > _LONG_S


BASELINES: Final[dict[str, Callable[[Trace, int], Policy]]] = {
    "LRU (luafcgid)": lambda _trace, _room: Lru(),
    "SIEVE": lambda _trace, _room: Sieve(),
    "S3-FIFO": lambda _trace, room: S3Fifo(room),
    "W-TinyLFU": lambda _trace, room: WTinyLfu(room),
    "LFU, halved": lambda _trace, _room: Lfu(),
    "GDSF": lambda trace, _room: Gdsf(trace),
    "oracle of rates x cost": lambda trace, _room: RateOracle(trace),
    "Belady (clairvoyant)": lambda trace, _room: Belady(trace),
}


def baseline(name: str, trace: Trace, room: int) -> Result:
    """Run a policy of `caches` over the trace."""
    policy = BASELINES[name](trace, room)
    result = Result(name)
    resident: set[int] = set()
    is_warm = False
    for now, script in trace.requests:
        cold_s = None
        if script in resident:
            policy.hit(script, now)
        else:
            cold_s = trace.load_s[script]
            if len(resident) >= room:
                is_warm = True
                resident.remove(policy.victim(now))
            resident.add(script)
            policy.add(script, now)
        if is_warm:
            result.count(cold_s)
    return result


def broker(trace: Trace, room: int) -> Result:
    """Run the real broker over the trace: loads take their time, nothing else does."""
    return _BrokerRun(trace, room).run()


class _BrokerRun:
    def __init__(self, trace: Trace, room: int) -> None:
        self._trace = trace
        self._room = room
        self._broker = machines.broker(_HOSTS, states=room, clones=1)
        self._alive_at = 0.0
        self._where: dict[int, int] = {}
        self._missed: dict[int, float] = {}
        self._uses: dict[tuple[int, int], list[float]] = {}
        self._result = Result("broker")
        self._is_warm = False

    def run(self) -> Result:
        """Return the result."""
        next_report_s = _REPORT_S
        for now, script in self._trace.requests:
            while now >= next_report_s:
                self._report(next_report_s)
                next_report_s += _REPORT_S
            self._request(now, script)
        return self._result

    def _request(self, now: float, script: int) -> None:
        host = self._where.get(script)
        if host is not None:
            self._used(now, script, host)
            self._count(None)
        elif script not in self._missed:
            self._missed[script] = now
            self._play(now, machines.missed(script, _FRONT))
        else:
            self._count(now - self._missed[script])  # waits with the first one

    def _used(self, now: float, script: int, host: int) -> None:
        self._uses.setdefault((script, host), []).append(now)

    def _count(self, cold_s: float | None) -> None:
        if self._is_warm:
            self._result.count(cold_s)

    def _play(self, now: float, event: ev.Event) -> None:
        for action in self._broker.handle(event, now):
            match action:
                case act.Load(host=name, script=path, epoch=epoch):
                    script, host = machines.number(path), machines.host_number(name)
                    load_s = self._trace.load_s[script]
                    kib = self._trace.kib[script]
                    self._where[script] = host
                    self._play(now, ev.StateLoaded(name, path, epoch, load_s, kib))
                    since = self._missed.pop(script, None)
                    if since is not None:
                        self._count(now - since + load_s)
                        self._used(now, script, host)
                case act.Drop(name, path, epoch):
                    self._is_warm = True
                    script, host = machines.number(path), machines.host_number(name)
                    if self._where.get(script) == host:
                        del self._where[script]
                    self._play(now, ev.StateGone(name, path, epoch, Closing.DROPPED))
                case _:
                    pass

    def _report(self, now: float) -> None:
        if now >= self._alive_at:
            self._alive_at = now + machines.ALIVE_S
            self._play(now, machines.alive(_HOSTS))
        rows = [
            machines.used(
                script, host, len(uses), _USE_US * len(uses), _us(now - uses[-1])
            )
            for (script, host), uses in self._uses.items()
        ]
        self._uses.clear()
        self._play(now, ev.Reported(_FRONT, Report(tuple(rows), ())))
        self._play(now, ev.Ticked())


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
