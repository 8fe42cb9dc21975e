"""The real broker behind the interface of a simulator."""

from collections.abc import Callable, Hashable
from typing import Any, Final

from bench.simulate.names import Names, vocabulary
from broker import actions as act
from broker import events as ev
from broker import machine
from luafarm.config.settings import Broker as BrokerSettings
from luafarm.config.settings import PoolSettings, Settings
from luafarm.ends import Budget, Closing, Death
from luafarm.names import HostId, Machine, Pool, RequestId, Script
from luafarm.wire.messages import (
    HostLost,
    HostRow,
    HostUp,
    MachineReport,
    Place,
    Report,
    ScriptError,
    UseRow,
)

_POOL: Final = Pool("p")
_MACHINE: Final = Machine("m")
_FRONT: Final = b"front"

_ALIVE_S: Final = 1.0  # how often the supervisor that the interface has not speaks
_GONE_S: Final = 1.0  # a simulator that confirms no Evict has closed the state by then
_ENDLESS: Final = 1 << 40  # bytes and requests: the interface knows no such limits

Config = Any
Event = Any
Action = Any


class Broker:
    """The control plane: `broker.machine`."""

    def __init__(self, config: Config) -> None:
        self._say = vocabulary(config)
        self._names = Names()
        self._machine = machine.Broker(
            Settings(
                broker=BrokerSettings(
                    states=config.states, clones=config.clones, takeover=0.0
                ),
                pool={_POOL: PoolSettings(root=("/",), host_memory=_ENDLESS)},
            ),
            term=1,
            now=0.0,
            cores=config.cores,
        )
        self._joining = list(config.hosts)
        self._present: dict[HostId, None] = {}
        self._contents: dict[Script, int] = {}
        #: of states that the hosts have, as they said
        self._epochs: dict[tuple[Script, HostId], Any] = {}
        #: orders to close: (since, up to which epoch)
        self._evicted: dict[tuple[Script, HostId], tuple[float, Any]] = {}
        self._confirms = False  # the simulator says Gone after Evict
        self._syncs: dict[bytes, Hashable] = {}
        self._alive_at = 0.0

    def handle(self, now: float, event: Event) -> list[Action]:
        """Take an event; return the actions it calls for, in order."""
        self._say = vocabulary(event, self._say)
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
                if isinstance(action, act.Drop) and self._is_replaced(action):
                    gone = ev.StateGone(
                        action.host, action.script, action.epoch, Closing.DROPPED
                    )
                    self._play(now, [gone], out)
                    continue
                translated = self._action(now, action)
                # one word to all fronts and the answer to one say the same
                if translated is not None and translated not in out:
                    out.append(translated)

    def _is_replaced(self, drop: act.Drop) -> bool:
        """Say whether a newer state took the place of the one to be closed.

        In the interface a host has one state of a script at any time.
        """
        return bool(drop.epoch < self._epochs.get((drop.script, drop.host), 0))

    # -- events ------------------------------------------------------------------------

    def _events(self, now: float, event: Event) -> list[ev.Event]:
        return _EVENTS[type(event).__name__](self, now, event)

    def _joined(self, host: Hashable) -> list[ev.Event]:
        name = self._names.id(host)
        self._present[name] = None
        up = HostUp(name, _POOL, _MACHINE, "", b"", "", b"", (), (), 1, 1)
        return [ev.HostJoined(up), ev.Inventoried(name)]

    def _alive(self) -> ev.Event:
        rows = tuple([HostRow(name, 0, 0, b"") for name in self._present])
        return ev.MachineReported(_MACHINE, MachineReport(rows))

    def _host_up(self, _now: float, event: Event) -> list[ev.Event]:
        return self._joined(event.host)

    def _host_down(self, _now: float, event: Event) -> list[ev.Event]:
        name = self._names.id(event.host)
        self._present.pop(name, None)
        for table in (self._epochs, self._evicted):
            for key in [key for key in table if key[1] == name]:
                del table[key]
        nobody, nothing = RequestId(0), Script(b"")
        lost = HostLost(name, nobody, (), nothing, Death.KILLED, "")
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
        error = ScriptError("Error", str(event.error), "", "", 0, "", Budget.NONE)
        return [ev.LoadFailed(host, path, event.epoch, error)]

    def _gone(self, _now: float, event: Event) -> list[ev.Event]:
        path, host = self._names.path(event.script), self._names.id(event.host)
        evicted = self._evicted.pop((path, host), None)
        if evicted is None:
            epoch = self._epochs.pop((path, host), 0)
            return [ev.StateGone(host, path, epoch, Closing.BROKEN)]
        self._confirms = True
        return [self._closed(path, host, evicted[1])]

    def _closed(self, path: Script, host: HostId, epoch: Any) -> ev.Event:  # noqa: ANN401
        if self._epochs.get((path, host), epoch) <= epoch:  # else loaded again
            self._epochs.pop((path, host), None)
        return ev.StateGone(host, path, epoch, Closing.DROPPED)

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
        late: list[ev.Event] = []
        for (path, host), (since, epoch) in list(self._evicted.items()):
            if self._confirms or now - since < _GONE_S:
                break
            del self._evicted[path, host]
            late.append(self._closed(path, host, epoch))
        return [*late, ev.Ticked()]

    # -- actions -----------------------------------------------------------------------

    def _action(self, now: float, action: act.Action) -> Action | None:
        names, say = self._names, self._say
        match action:
            case act.Load(host, _, path, epoch):
                return say.Load(names.script(path), names.host(host), epoch)
            case act.Drop(host, path, epoch):
                self._evicted.pop((path, host), None)
                self._evicted[path, host] = (now, epoch)
                return say.Evict(names.script(path), names.host(host))
            case act.Fence(host, path, epoch):
                return say.Fence(names.script(path), names.host(host), epoch)
            case act.Tell(_, Place() as place):  # not to be had: no hosts
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
