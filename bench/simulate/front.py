"""The dispatch of a real front, with what its loop does for it: timers and reports."""

from dataclasses import dataclass, field
from typing import Final

from bench.simulate.machines import host_id, path
from fcgi.dispatch import actions as act
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.tables import Pending
from luafarm.wire.messages import Place, Report

_ENDLESS: Final = 1 << 40  # requests: none is refused
_REPORT_S: Final = 0.1


@dataclass(slots=True)
class Orders:
    """What a front wants to be done."""

    sent: list[tuple[int, str]] = field(default_factory=list)  # (request, host id)
    told: list[object] = field(default_factory=list)  # messages to the broker
    timers: list[tuple[float, str]] = field(default_factory=list)  # (when, which)


class Front:
    """One front of a farm whose hosts are all there from the beginning."""

    def __init__(self, number: int, hosts: int) -> None:
        """Know all hosts; number: of the front, by which it begins its hunt."""
        self._next_id = 0
        self._dispatch = Dispatch(
            self._new_id,
            number=number,
            queue=_ENDLESS,
            queue_per_script=_ENDLESS,
            queue_timeout_s=float(_ENDLESS),
            queue_target_s=float(_ENDLESS),
            remembered=_ENDLESS,
        )
        self._runs: dict[int, Pending] = {}  # without an answer
        self._wake_at = 0.0
        self._reports_at = 0.0
        self._is_timed = False  # a timer for the next report is set
        self._is_used = False  # there is something to report
        for host in range(hosts):
            self._dispatch.host_up(host_id(host))
            self._dispatch.host_ready(host_id(host), 0.0)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def arrive(self, now: float, request: int, script: int) -> Orders:
        """Take a request."""
        pending = Pending(request, path(script), 0, b"", b"", 0, 0, now)
        self._runs[request] = pending
        return self._orders(now, self._dispatch.arrive(pending, now))

    def replied(self, now: float, request: int, host: int, service_s: float) -> Orders:
        """Take an answer."""
        name = host_id(host)
        run = self._runs.pop(request)
        self._is_used = True
        self._dispatch.finish(name, run.id, round(service_s * 1e6), now, ok=True)
        return self._orders(now, self._dispatch.fill(name, now))

    def returned(self, now: float, request: int, host: int) -> Orders:
        """Take back a request whose state was not there."""
        name = host_id(host)
        actions = self._dispatch.absent(name, self._runs[request].id, now)
        return self._orders(now, [*actions, *self._dispatch.fill(name, now)])

    def placed(self, now: float, place: Place) -> Orders:
        """Take what the broker says of a script."""
        return self._orders(now, self._dispatch.place(place, now))

    def timer(self, now: float, which: str) -> Orders:
        """Go on at a time that was asked for."""
        if which == "wake":
            return self._orders(now, self._dispatch.wake(now))
        return self._orders(now, self._dispatch.tick(now))

    def _orders(self, now: float, actions: list[act.Action]) -> Orders:
        orders = Orders()
        for action in actions:
            match action:
                case act.Send():
                    host = action.pending.host
                    assert host is not None
                    assert isinstance(action.pending.owner, int)
                    orders.sent.append((action.pending.owner, host.name))
                case act.Tell():
                    orders.told.append(action.message)
                case _:
                    pass  # refusals and cancellations: there are none
        if now >= self._reports_at:
            uses = self._dispatch.take_uses(now)
            self._is_used = False
            if uses:
                orders.told.append(Report(uses, ()))
            self._reports_at = now + _REPORT_S
            self._is_timed = False
        if not self._is_timed and (self._runs or self._is_used):
            self._is_timed = True  # a simulation without requests comes to its end
            orders.timers.append((self._reports_at, "report"))
        wake_at = self._dispatch.wake_at()
        if wake_at and wake_at != self._wake_at:
            self._wake_at = wake_at
            orders.timers.append((wake_at, "wake"))
        return orders
