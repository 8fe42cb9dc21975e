"""The supervisor process: the poll loop around `vmhost.supervisor.machine`."""

# Impure.

import logging
import math
import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final, assert_never

import zmq
from msgspec import structs

from luafarm.config.settings import Settings
from luafarm.errors import SettingsError
from luafarm.keys import curve
from luafarm.keys.zap import ZapHandler
from luafarm.names import HostId
from luafarm.process import privileges, rundir
from luafarm.process.pulse import Pulse
from luafarm.wire.messages import (
    HostLost,
    HostUp,
    Kill,
    MachineReport,
    Message,
    Recycle,
    Role,
    Welcome,
)
from vmhost.host.peers import ROLES as HOST_PEERS
from vmhost.supervisor import actions, events, listening, plan, rights, uids
from vmhost.supervisor.actions import Action
from vmhost.supervisor.brokerlink import BrokerLink
from vmhost.supervisor.events import Event
from vmhost.supervisor.machine import Supervisor
from vmhost.supervisor.notices import Notices
from vmhost.supervisor.processes import Processes
from vmhost.supervisor.provision import HostBasis, new_host_id
from vmhost.supervisor.turn import Turn

logger = logging.getLogger("luafarm.vmhost")

_REPORT_EVERY_S: Final = 1.0
_LATE_S: Final = 30.0  # hosts that do not serve by then hold up the others no more
_MOST_UNTOLD: Final = 256  # dead hosts that a broker hears of when it returns
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_SIGNALS: Final = (*_STOPS, signal.SIGHUP, signal.SIGUSR2)


def run(
    settings: Settings, pulse: Pulse, turn: Turn, zygote: str = "vmhost.zygote"
) -> int:
    """Run this machine's supervisor until it is told to stop; return the exit code.

    pulse: where to say that it lives. zygote: the module that is run as the zygote.
    Raise SettingsError when something is wrong with the settings.
    """
    plans = plan.pools(settings, os.cpu_count() or 1)
    machine = rundir.machine(settings)
    is_root = os.geteuid() == 0
    run_dir = rundir.prepare(settings.paths, settings.security.user)
    broker = rundir.broker_endpoint(settings)  # which depends on who asks: still root
    place = os.fsencode(run_dir)
    own = None
    if is_root:
        seats = sum(one.hosts for one in plans)
        own = uids.choose(settings, seats, place, turn.taken)
        pulse.takes(uids.told(own))
    target = privileges.ids(settings.security)
    keys = _keys(settings)
    badges = () if keys is None else keys.badges.all
    if target is not None:
        rights.keep_few(*target)
    basis = HostBasis(
        machine=machine,
        run=run_dir,
        endpoint=settings.vmhost.endpoint,
        notices="",
        notices_key=b"",
        max_states=settings.broker.states,
        compat=settings.compat,
        uids=own,
        badges=tuple([badge for badge in badges if badge.role in HOST_PEERS]),
        grace_s=settings.vmhost.grace,
        zygote=zygote,
    )
    basis.empty.mkdir(mode=0o700, exist_ok=True)
    return _Loop(settings, plans, basis, broker, keys, pulse, turn).run()


def check(settings: Settings) -> None:
    """Raise SettingsError if a supervisor could not start with these settings."""
    plans = plan.pools(settings, os.cpu_count() or 1)
    if os.geteuid() == 0:
        place = os.fsencode(rundir.locate(settings.paths))
        uids.choose(settings, sum(one.hosts for one in plans), place)
    _keys(settings)


def _keys(settings: Settings) -> curve.Keys | None:
    directory = settings.security.keys
    if not directory:
        return None
    return curve.load(Path(directory), "vmhost", rundir.machine(settings))


class _Loop:
    """Sockets, processes and signals of the supervisor; it decides nothing."""

    def __init__(
        self,
        settings: Settings,
        plans: tuple[plan.PoolPlan, ...],
        basis: HostBasis,
        broker: str,
        keys: curve.Keys | None,
        pulse: Pulse,
        turn: Turn,
    ) -> None:
        machine = basis.machine
        self._pulse = pulse
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        # before the first server binds (RFC 27)
        self._zap: ZapHandler | None = None
        if keys is not None:
            self._zap = ZapHandler(self._context, keys.badges, Role.FRONT)
        self._notices, endpoint = _bind_notices(self._context, basis, keys, turn)
        if self._zap is not None:
            self._zap.watch(self._notices.socket)
        basis = replace(
            basis,
            notices=endpoint,
            notices_key=keys.own.public
            if keys is not None and endpoint.startswith("tcp://")
            else b"",
        )
        self._basis = basis
        self._broker = BrokerLink(self._context, broker, machine, keys, turn)
        self._processes = Processes(basis, plans)
        vmhost = settings.vmhost
        self._machine = Supervisor(
            plans,
            plan.Patience(
                grace_s=vmhost.grace,
                start_s=vmhost.start_timeout,
                stop_s=vmhost.stop_timeout,
                spawn_max_s=vmhost.spawn_max,
            ),
            partial(new_host_id, machine),
            is_beside=bool(turn.beside),
        )
        self._poller = zmq.Poller()
        self._polled: set[int] = set()
        self._look_due = 0.0
        self._report_due = 0.0
        self._untold: deque[HostLost] = deque(maxlen=_MOST_UNTOLD)
        self._caught: list[int] = []
        self._exit_code: int | None = None
        self._is_beside = bool(turn.beside)
        self._has_said = False  # that it serves
        self._late_at = time.monotonic() + _LATE_S
        self._wakeup, self._wakeup_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> int:
        """Run until the machine says it is over; return the exit code."""
        self._register()
        before = self._catch_signals()
        try:
            self._feed([events.Looked(())])
            while self._exit_code is None:
                self._turn()
            return self._exit_code
        finally:
            self._processes.close()
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._close()

    def _turn(self) -> None:
        now = time.monotonic()
        self._pulse.beat(now)
        # what keeps waking this loop must not put off the look at the scoreboards
        self._look_due = min(self._look_due, self._machine.next_due(now))
        due = min(self._look_due, self._report_due)
        self._watch_fds()
        ready = self._poller.poll(math.ceil(max(0.0, due - now) * 1000))
        happened: list[Event] = []
        for source, _ in ready:
            if isinstance(source, int):
                happened += self._read(source)
        # by now the readings of the dead are final and the orders are answered
        happened += self._processes.reap()
        happened += self._take_signals()
        happened += self._hear()
        self._feed(happened)
        now = time.monotonic()
        if now >= self._look_due:
            self._feed([events.Looked(self._processes.readings())])
            self._look_due = self._machine.next_due(time.monotonic())
        if now >= self._report_due:
            self._report_due = now + _REPORT_EVERY_S
            self._processes.listen_again()
            self._live()
            self._report()

    def _read(self, fd: int) -> list[Event]:
        if fd == self._wakeup:
            os.read(fd, 4096)
            return []
        return self._processes.read(fd)

    def _take_signals(self) -> list[Event]:
        found: list[Event] = []
        while self._caught:
            number = self._caught.pop(0)
            if number == signal.SIGUSR2:
                logger.info("leaving: another supervisor has come")
                self._report_due = 0.0  # the broker is told at once
                found.append(events.LeaveWanted(self._broker.is_welcome))
            elif number in _STOPS:
                logger.info("stopping: running requests may finish")
                self._pulse.stops()
                found.append(events.StopWanted())
        return found

    def _hear(self) -> list[Event]:
        """Take what broker, fronts and libzmq have sent."""
        now = time.monotonic()
        self._broker.watch(now)
        if self._zap is not None:
            self._zap.handle()
        self._notices.greet()
        found: list[Event] = []
        while (message := self._broker.receive(now)) is not None:
            if isinstance(message, Welcome):
                self._report_due = now  # after the hosts that it is to be told of
            found += _event_of(message)
        self._tell_broker_of_the_dead()
        return found

    def _feed(self, happened: Sequence[Event]) -> None:
        for event in happened:
            for action in self._machine.handle(event, time.monotonic()):
                self._feed(self._do(action))

    def _do(self, action: Action) -> list[Event]:
        match action:
            case actions.StartZygote():
                return self._processes.start_zygote()
            case actions.KillZygote(limit_s):
                logger.error("zygote has not answered for %g s: killed", limit_s)
                self._processes.kill_zygote()
            case actions.Fork():
                return self._processes.fork(action)
            case actions.Drain(host):
                self._processes.drain(host)
            case actions.KillHost(host):
                self._processes.kill(host)
            case actions.Announce(host):
                self._broker.send(self._up(host))
            case actions.TellLost(lost):
                self._notices.tell(lost)  # first: requests wait for it
                self._untold.append(lost)
                self._tell_broker_of_the_dead()
            case actions.Say(level, text):
                logger.log(level, "%s", text)
            case actions.End(code):
                self._exit_code = code
            case _:
                assert_never(action)
        return []

    def _tell_broker_of_the_dead(self) -> None:
        """Tell the broker, or the next one, which hosts were lost and of what."""
        while self._untold and self._broker.is_welcome:
            if not self._broker.send(self._untold[0]):
                return
            self._untold.popleft()

    def _up(self, host: HostId) -> HostUp:
        child = self._processes.child(host)
        return structs.replace(
            child.up,
            pid=child.pid,
            layers=tuple(layer.name for layer in child.layers if layer.holds),
            missing=tuple(x.sentence for x in child.layers if not x.holds),
        )

    def _live(self) -> None:
        """Say from when on all hosts serve."""
        if self._has_said:
            return
        if self._is_beside and not self._broker.is_welcome:
            return  # nobody would hear of these hosts, and the others would leave
        machine = self._machine
        if machine.serves_all() or (
            # the parent would end what serves a part at least
            machine.serving() and time.monotonic() >= self._late_at
        ):
            self._has_said = True
            self._pulse.serves("serving")
            self._feed([events.Served()])

    def _report(self) -> None:
        if not self._broker.is_welcome:
            return
        machine = self._machine
        now_ns = time.monotonic_ns()
        rows = [self._processes.child(host).row(now_ns) for host in machine.serving()]
        report = MachineReport(tuple(rows), machine.seats(), machine.is_leaving)
        self._broker.send(report)

    def _register(self) -> None:
        sockets = [self._broker.socket, self._broker.monitor, self._notices.socket]
        if self._zap is not None:
            sockets += self._zap.sockets
        for sock in sockets:
            self._poller.register(sock, zmq.POLLIN)
        self._poller.register(self._wakeup, zmq.POLLIN)

    def _watch_fds(self) -> None:
        wanted = set(self._processes.fds())
        for fd in self._polled - wanted:
            self._poller.unregister(fd)
        for fd in wanted - self._polled:
            self._poller.register(fd, zmq.POLLIN)
        self._polled = wanted

    def _catch_signals(self) -> "dict[int, signal._HANDLER]":
        def note(number: int, _frame: FrameType | None) -> None:
            self._caught.append(number)

        def wake(_number: int, _frame: FrameType | None) -> None:
            """Leave it to the wakeup fd: what has ended is found by asking."""

        before: dict[int, signal._HANDLER] = {}
        for number in _SIGNALS:
            before[number] = signal.signal(number, note)
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, wake)
        signal.set_wakeup_fd(self._wakeup_end, warn_on_full_buffer=False)
        return before

    def _close(self) -> None:
        self._broker.close()
        listening.remove(self._basis.notices)
        if self._zap is not None:
            self._zap.close()
        self._notices.close()
        self._context.term()
        os.close(self._wakeup)
        os.close(self._wakeup_end)


def _bind_notices(
    context: "zmq.Context[zmq.Socket[bytes]]",
    basis: HostBasis,
    keys: curve.Keys | None,
    turn: Turn,
) -> tuple[Notices, str]:
    """Return the notices and the endpoint by which fronts reach them."""
    wanted = basis.endpoint
    if not wanted.startswith("tcp://"):
        wanted = rundir.notices_endpoint(basis.run, turn.incarnation)
        return Notices(context, wanted, basis.machine, keys), wanted
    host = listening.tcp_host(wanted)
    try:
        notices = Notices(context, f"tcp://{host}:*", basis.machine, keys)
    except zmq.ZMQError as error:
        reason = f'[vmhost] endpoint = "{wanted}": {error}'
        raise SettingsError(reason) from None
    return notices, f"tcp://{host}:{notices.bound.rpartition(':')[2]}"


def _event_of(message: Message) -> list[Event]:
    match message:
        case Welcome():
            return [events.BrokerMet()]
        case Recycle(host, why):
            return [events.RecycleWanted(host, why)]
        case Kill(host, why):
            return [events.KillWanted(host, why)]
        case _:
            logger.warning(
                "broker sent %s, which is for others", type(message).__name__
            )
            return []
