"""The real broker and the real dispatch behind the interface of a simulator.

Everything is translated one to one; nothing is decided here. What the interface leaves
out is filled in as it is when all is well: files are there and readable, supervisors
are alive, fronts have room for every request.
"""

import sys
from collections.abc import Callable, Hashable
from typing import Any, Final

from bench.simulate import interface
from broker import actions as act
from broker import events as ev
from broker.machine import Machine
from fcgi import actions as front_act
from fcgi.dispatch import Dispatch
from fcgi.placement import Pending
from luafarm.messages import (
    HostLost,
    HostRow,
    HostUp,
    MachineReport,
    Miss,
    Place,
    Pressure,
    Report,
    ScriptError,
    UseRow,
    Verdict,
)
from luafarm.names import HostId, Pool, RequestId, Script
from luafarm.names import Machine as MachineName
from luafarm.settings import Broker as BrokerSettings
from luafarm.settings import PoolSettings, Settings

_POOL: Final = Pool("p")
_MACHINE: Final = MachineName("m")
_FRONT: Final = b"front"

_ALIVE_S: Final = 1.0  # how often the supervisor that the interface has not speaks
_GONE_S: Final = 1.0  # a simulator that confirms no Evict has closed the state by then
_ENDLESS: Final = 1 << 40  # bytes and requests: the interface knows no such limits

Event = Any
Action = Any


def _vocabulary(config: interface.Config) -> Any:  # noqa: ANN401 - any module
    """Return the module whose classes the simulator uses."""
    module = sys.modules.get(type(config).__module__)
    return module if module is not None and hasattr(module, "Publish") else interface


class _Names:
    """The simulator's values as our names, and back."""

    def __init__(self) -> None:
        self._paths: dict[Hashable, Script] = {}
        self._scripts: dict[bytes, Hashable] = {}
        self._ids: dict[Hashable, HostId] = {}
        self._hosts: dict[HostId, Hashable] = {}

    def path(self, script: Hashable) -> Script:
        path = self._paths.get(script)
        if path is None:
            path = self._paths[script] = Script(b"/%d" % len(self._paths))
            self._scripts[path] = script
        return path

    def script(self, path: bytes) -> Hashable:
        return self._scripts[path]

    def id(self, host: Hashable) -> HostId:
        name = self._ids.get(host)
        if name is None:
            name = self._ids[host] = HostId(f"h{len(self._ids)}")
            self._hosts[name] = host
        return name

    def ids(self, hosts: tuple[Hashable, ...]) -> tuple[HostId, ...]:
        return tuple([self.id(host) for host in hosts])

    def host(self, name: HostId) -> Hashable:
        return self._hosts[name]

    def hosts(self, names: tuple[HostId, ...]) -> tuple[Hashable, ...]:
        return tuple([self._hosts[name] for name in names])


class Broker:
    """The control plane: `broker.machine`."""

    def __init__(self, config: interface.Config) -> None:
        self._say = _vocabulary(config)
        self._names = _Names()
        self._machine = Machine(
            Settings(
                broker=BrokerSettings(
                    states=config.states, clones=config.clones, takeover=0.0
                ),
                pool={_POOL: PoolSettings(root=("/",), host_memory=_ENDLESS)},
            ),
            term=1,
            now=0.0,
            cores=config.cores,
            memory_kib=config.memory_kib,
        )
        self._joining = list(config.hosts)
        self._present: dict[HostId, None] = {}
        self._contents: dict[Script, int] = {}
        self._epochs: dict[tuple[Script, HostId], Any] = {}
        self._evicted: dict[tuple[Script, HostId], float] = {}
        self._syncs: dict[bytes, Hashable] = {}
        self._alive_at = 0.0

    def handle(self, now: float, event: Event) -> list[Action]:
        """Take an event; return the actions it calls for, in order."""
        actions: list[Action] = []
        for host in self._joining:
            self._play(now, self._joined(host), actions)
        self._joining = []
        if now >= self._alive_at:
            self._alive_at = now + _ALIVE_S
            self._play(now, [self._alive()], actions)
        self._play(now, self._events(now, event), actions)
        return actions

    def _play(self, now: float, events: list[ev.Event], out: list[Action]) -> None:
        for event in events:
            for action in self._machine.handle(event, now):
                translated = self._action(now, action)
                # one word to all fronts and the answer to one say the same
                if translated is not None and translated not in out:
                    out.append(translated)

    # -- events ------------------------------------------------------------------------

    def _events(self, now: float, event: Event) -> list[ev.Event]:
        return _EVENTS[type(event).__name__](self, now, event)

    def _joined(self, host: Hashable) -> list[ev.Event]:
        name = self._names.id(host)
        self._present[name] = None
        up = HostUp(name, _POOL, _MACHINE, "", b"", "", b"", (), (), 1, 1)
        return [ev.HostJoined(up), ev.Inventoried(name)]

    def _alive(self) -> ev.Event:
        rows = tuple([HostRow(name, 0, 0, 0, 0, b"") for name in self._present])
        return ev.MachineReported(_MACHINE, MachineReport(rows, 0))

    def _host_up(self, _now: float, event: Event) -> list[ev.Event]:
        return self._joined(event.host)

    def _host_down(self, _now: float, event: Event) -> list[ev.Event]:
        name = self._names.id(event.host)
        self._present.pop(name, None)
        nobody, nothing = RequestId(0), Script(b"")
        lost = HostLost(name, nobody, (), nothing, "killed", "")
        return [ev.HostLeft(lost)]

    def _miss(self, _now: float, event: Event) -> list[ev.Event]:
        path = self._names.path(event.script)
        found = ev.Found(_POOL, path, self._digest(path))
        return [ev.Missed(_FRONT, path, found, self._names.ids(event.idle))]

    def _digest(self, path: Script) -> bytes:
        return b"v%d" % self._contents.get(path, 0)

    def _pressure(self, _now: float, event: Event) -> list[ev.Event]:
        return [
            ev.Pressed(
                self._names.path(event.script),
                event.waited,
                event.queued,
                event.total_s,
                self._names.ids(event.idle),
            )
        ]

    def _report(self, now: float, event: Event) -> list[ev.Event]:
        rows = [
            UseRow(
                self._names.path(use.script),
                self._names.id(use.host),
                use.n,
                round(use.busy_s * 1e6),
                round(use.sojourn_s * 1e6),
                round(use.waited_s * 1e6),
                round((now - use.last) * 1e6),
                0,
            )
            for use in event.rows
        ]
        return [ev.Reported(_FRONT, Report(tuple(rows), ()))]

    def _loaded(self, _now: float, event: Event) -> list[ev.Event]:
        path, host = self._names.path(event.script), self._names.id(event.host)
        self._epochs[path, host] = event.epoch
        return [ev.StateLoaded(host, path, event.epoch, event.load_s, event.kib)]

    def _load_failed(self, _now: float, event: Event) -> list[ev.Event]:
        path, host = self._names.path(event.script), self._names.id(event.host)
        error = ScriptError("Error", str(event.error), "", "", 0, "", "")
        return [ev.LoadFailed(host, path, event.epoch, error)]

    def _gone(self, _now: float, event: Event) -> list[ev.Event]:
        path, host = self._names.path(event.script), self._names.id(event.host)
        self._evicted.pop((path, host), None)
        epoch = self._epochs.pop((path, host), 0)
        return [ev.StateGone(host, path, epoch, "gone")]

    def _changed(self, _now: float, event: Event) -> list[ev.Event]:
        files: list[ev.FileNow] = []
        for script in event.paths:
            path = self._names.path(script)
            self._contents[path] = self._contents.get(path, 0) + 1
            files.append(ev.FileNow(_POOL, path, self._digest(path)))
        ticket = b""
        if event.sync is not None:
            ticket = b"%d" % (len(self._syncs) + 1)
            self._syncs[ticket] = event.sync
        return [ev.Changed(tuple(files), ticket, b"/-" if event.paths else b"")]

    def _fenced(self, _now: float, event: Event) -> list[ev.Event]:
        path, host = self._names.path(event.script), self._names.id(event.host)
        return [ev.FenceRaised(host, path, event.epoch)]

    def _tick(self, now: float, _event: Event) -> list[ev.Event]:
        events: list[ev.Event] = []
        for (path, host), at in list(self._evicted.items()):
            if now - at < _GONE_S:
                break
            del self._evicted[path, host]
            epoch = self._epochs.pop((path, host), 0)
            events.append(ev.StateGone(host, path, epoch, "dropped"))
        return [*events, ev.Ticked()]

    # -- actions -----------------------------------------------------------------------

    def _action(self, now: float, action: act.Action) -> Action | None:
        names, say = self._names, self._say
        match action:
            case act.Load(host, _, path, epoch):
                return say.Load(names.script(path), names.host(host), epoch)
            case act.Drop(host, path, epoch):
                if epoch < self._epochs.get((path, host), 0):
                    return None  # of the state before; the interface has no such
                self._evicted.pop((path, host), None)
                self._evicted[path, host] = now
                return say.Evict(names.script(path), names.host(host))
            case act.Fence(host, path, epoch):
                return say.Fence(names.script(path), names.host(host), epoch)
            case act.Tell(_, Place() as place) if place.verdict == Verdict.READY:
                hosts = names.hosts(place.hosts)
                return say.Publish(names.script(place.script), hosts, place.epoch)
            case act.Answer(ticket, is_ok, error):
                return say.Answer(self._syncs.pop(ticket), is_ok, error)
            case _:
                return None  # files, logs, sockets: not of the simulator's world


_EVENTS: Final[dict[str, Callable[[Broker, float, Event], list[ev.Event]]]] = {
    "Miss": Broker._miss,
    "Pressure": Broker._pressure,
    "Report": Broker._report,
    "Loaded": Broker._loaded,
    "LoadFailed": Broker._load_failed,
    "Gone": Broker._gone,
    "HostUp": Broker._host_up,
    "HostDown": Broker._host_down,
    "Changed": Broker._changed,
    "Fenced": Broker._fenced,
    "Tick": Broker._tick,
}

_REPORT_S: Final = 0.1


class Front:
    """The data plane: `fcgi.dispatch`."""

    def __init__(self, config: interface.Config) -> None:
        self._say = _vocabulary(config)
        self._names = _Names()
        self._next_id = 0
        self._dispatch = Dispatch(
            self._new_id,
            turn=config.seed - 1,  # fronts begin their hunt at different hosts
            queue=_ENDLESS,
            queue_per_script=_ENDLESS,
            queue_timeout_s=float(_ENDLESS),
            remembered=_ENDLESS,
        )
        self._runs: dict[Hashable, Pending] = {}
        self._wake_at = 0.0
        self._reports_at = 0.0
        for host in config.hosts:
            self._up(host, 0.0)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def handle(self, now: float, event: Event) -> list[Action]:
        """Take an event; return the actions it calls for, in order."""
        out: list[Action] = []
        self._translate(now, self._actions(now, event), out)
        if now >= self._reports_at:
            report = self._dispatch.report(now, {})
            if report.uses:
                out.append(self._say.ToBroker(self._report(now, report)))
            self._reports_at = now + _REPORT_S
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
                pending = self._runs.pop(event.id)
                host = names.id(event.host)
                service_us = round(event.service_s * 1e6)
                dispatch.finish(host, pending.id, service_us, now, ok=True)
                return dispatch.fill(host, now)
            case "Publish":
                return dispatch.place(self._place(event), now)
            case "Timer" if event.tag == "wake":
                return dispatch.wake(now)
            case "Timer":
                return dispatch.tick(now)
            case "Returned":
                host = names.id(event.host)
                actions: list[front_act.Action] = []
                for request in event.ids:
                    run = self._runs[request].id
                    actions += dispatch.absent(host, run, now)
                return actions
            case "HostUp":
                return self._up(event.host, now)
            case "HostDown":
                host = names.id(event.host)
                return dispatch.host_lost(host, RequestId(0), (), "killed", now)
            case other:
                raise TypeError(f"a front knows no {other}")

    def _up(self, host: Hashable, now: float) -> list[front_act.Action]:
        name = self._names.id(host)
        self._dispatch.host_up(name)
        return self._dispatch.host_ready(name, now)

    def _place(self, event: Event) -> Place:
        path = self._names.path(event.script)
        hosts = self._names.ids(event.hosts)
        ready = Verdict.READY
        return Place(b"", path, _POOL, ready, event.epoch, hosts, 0, 0, None)

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

    def _report(self, now: float, report: Report) -> Event:
        rows = [
            self._say.Use(
                self._names.script(row.script),
                self._names.host(row.host),
                row.requests,
                row.busy_us / 1e6,
                row.sojourn_us / 1e6,
                row.waited_us / 1e6,
                now - row.last_us / 1e6,
            )
            for row in report.uses
        ]
        return self._say.Report(rows)
