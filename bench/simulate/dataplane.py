"""The real dispatch of a front behind the interface of a simulator."""

from collections.abc import Hashable
from typing import Any, Final

from bench.simulate.names import Names, vocabulary
from fcgi.dispatch import actions as front_act
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.tables import Pending
from luafarm.ends import Budget
from luafarm.names import HostId, Pool, RequestId
from luafarm.wire.messages import (
    Miss,
    Place,
    Pressure,
    UseRow,
    Verdict,
)

_POOL: Final = Pool("p")
_ENDLESS: Final = 1 << 40  # bytes and requests: the interface knows no such limits
_REPORT_S: Final = 0.1

Config = Any
Event = Any
Action = Any


class Front:
    """The data plane: `fcgi.dispatch.machine`."""

    def __init__(self, config: Config) -> None:
        self._say = vocabulary(config)
        self._names = Names()
        self._next_id = 0
        self._dispatch = Dispatch(
            self._new_id,
            number=config.seed - 1,  # fronts begin their hunt at different hosts
            queue=_ENDLESS,
            queue_per_script=_ENDLESS,
            queue_timeout_s=float(_ENDLESS),
            queue_target_s=float(_ENDLESS),
            remembered=_ENDLESS,
        )
        self._runs: dict[Hashable, Pending] = {}  # without an answer
        self._lost: set[HostId] = set()
        self._wake_at = 0.0
        self._reports_at = 0.0
        self._is_timed = False  # a timer for the next report is set
        self._is_used = False  # there is something to report
        for host in config.hosts:
            self._up(host, 0.0)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def handle(self, now: float, event: Event) -> list[Action]:
        """Take an event; return the actions it calls for, in order."""
        self._say = vocabulary(event, self._say)
        out: list[Action] = []
        self._translate(now, self._actions(now, event), out)
        if now >= self._reports_at:
            uses = self._dispatch.take_uses(now)
            self._is_used = False
            if uses:
                out.append(self._say.ToBroker(self._report(now, uses)))
            self._reports_at = now + _REPORT_S
            self._is_timed = False
        if not self._is_timed and (self._runs or self._is_used):
            self._is_timed = True  # a simulation without requests comes to its end
            out.append(self._say.SetTimer(self._reports_at, "report"))
        wake_at = self._dispatch.wake_at()
        if wake_at and wake_at != self._wake_at:
            self._wake_at = wake_at
            out.append(self._say.SetTimer(wake_at, "wake"))
        return out

    # -- events ------------------------------------------------------------------------

    def _actions(self, now: float, event: Event) -> list[front_act.Action]:
        dispatch, names = self._dispatch, self._names
        match type(event).__name__:
            case "Arrive":
                path = names.path(event.script)
                pending = Pending(event.id, path, 0, b"", b"", 0, 0, now)
                self._runs[event.id] = pending
                return dispatch.arrive(pending, now)
            case "Reply":
                host = names.id(event.host)
                run = self._run(event.id, host)
                if run is not None:
                    del self._runs[event.id]
                    self._is_used = True
                    service_us = round(event.service_s * 1e6)
                    dispatch.finish(host, run.id, service_us, now, ok=True)
                return dispatch.fill(host, now)
            case "Publish":
                return [*self._heard_of(event, now), *self._placed(event, now)]
            case "Timer" if event.tag == "wake":
                return dispatch.wake(now)
            case "Timer":
                return dispatch.tick(now)
            case "Returned":
                host = names.id(event.host)
                actions: list[front_act.Action] = []
                for request in event.ids:
                    run = self._run(request, host)
                    if run is not None:
                        actions += dispatch.absent(host, run.id, now)
                return [*actions, *dispatch.fill(host, now)]
            case "HostUp":
                return self._up(event.host, now)
            case "HostDown":
                host = names.id(event.host)
                self._lost.add(host)
                return dispatch.host_lost(host, RequestId(0), (), Budget.NONE, now)
            case other:
                raise TypeError(f"a front knows no {other}")

    def _run(self, request: Hashable, host: HostId) -> Pending | None:
        """Return the request if this host has it; one that was lost may still speak."""
        pending = self._runs.get(request)
        if pending is None or pending.host is None or pending.host.name != host:
            return None
        return pending

    def _up(self, host: Hashable, now: float) -> list[front_act.Action]:
        name = self._names.id(host)
        self._lost.discard(name)
        self._dispatch.host_up(name)
        return self._dispatch.host_ready(name, now)

    def _heard_of(self, event: Event, now: float) -> list[front_act.Action]:
        """Know the hosts that are published, of which a simulator may tell no more."""
        actions: list[front_act.Action] = []
        for host in event.hosts:
            if self._names.id(host) not in self._lost:
                actions += self._up(host, now)
        return actions

    def _placed(self, event: Event, now: float) -> list[front_act.Action]:
        path = self._names.path(event.script)
        hosts = self._names.ids(event.hosts)
        ready = Verdict.READY
        place = Place(b"", path, _POOL, ready, event.epoch, hosts, 0, 0, 0, 0, None)
        return self._dispatch.place(place, now)

    # -- actions -----------------------------------------------------------------------

    def _translate(
        self, now: float, actions: list[front_act.Action], out: list[Action]
    ) -> None:
        for action in actions:
            match action:
                case front_act.Send():
                    pending = action.pending
                    entry, host = pending.entry, pending.host
                    assert entry is not None
                    assert host is not None
                    name = self._names.host(host.name)
                    out.append(self._say.Send(pending.owner, name, entry.epoch))
                case front_act.Tell():
                    event = self._said(action.message)
                    if event is not None:
                        out.append(self._say.ToBroker(event))
                case _:
                    pass  # refusals and cancellations: no part of the interface

    def _said(self, message: object) -> Event | None:
        names = self._names
        match message:
            case Miss(path, idle):
                return self._say.Miss(names.script(path), names.hosts(idle))
            case Pressure(path, waited_us, queued, total_us, idle):
                return self._say.Pressure(
                    names.script(path),
                    waited_us / 1e6,
                    queued,
                    total_us / 1e6,
                    names.hosts(idle),
                )
            case _:
                return None

    def _report(self, now: float, uses: tuple[UseRow, ...]) -> Event:
        rows = [
            self._say.Use(
                self._names.script(row.script),
                self._names.host(row.host),
                row.requests,
                row.busy_us / 1e6,
                (row.waited_us + row.busy_us) / 1e6,
                row.waited_us / 1e6,
                now - row.last_us / 1e6,
            )
            for row in uses
        ]
        return self._say.Report(rows)
