"""Who calls the broker on its ROUTER: fronts, supervisors and commands.

Their messages become events. Whoever is unknown is not heard; it says Hello again when
it finds out that the broker is new. Where there are keys, the key of a connection says
what its owner may be (`luafarm.keys.badges`), and each of its messages must have come
with it. One process speaks for a machine (`broker.supervisors`).
"""

# Impure.

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import zmq

from broker import events as ev
from broker.census import MACHINE_SILENCE_S
from broker.library.resting import Rest
from broker.library.tree import Library
from broker.machine import TICK_S, Broker
from broker.peers import zmqlink
from broker.peers.announced import fault
from broker.peers.commands import Commands, realign
from broker.peers.outside import Outside
from broker.supervisors import Speaker, Supervisors
from luafarm.errors import ProtocolError
from luafarm.gaps import Gaps
from luafarm.keys.badges import WORDS, Badges
from luafarm.names import HostId, Machine
from luafarm.process.complaints import Complaints
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Accuse,
    Hello,
    HostLost,
    HostUp,
    MachineReport,
    Message,
    Miss,
    Pressure,
    Refused,
    Report,
    Role,
    Welcome,
)

logger = logging.getLogger(f"luafarm.{__name__}")

NAME: Final = "broker"

_BATCH: Final = 256  # messages in one pass, before hosts and files are heard
_SILENT_S: Final = 60.0  # fronts and supervisors speak each second, commands once
MAX_CALLERS: Final = 3000
"""With one key: its owner must not keep all others out."""

_MAX_REASON: Final = 200
_MAX_NAME: Final = 255  # characters of what a peer calls itself, its machine, version

_ROLES: Final = frozenset({Role.FRONT, Role.SUPERVISOR, Role.COMMAND})


class _Caller:
    def __init__(self, hello: Hello, key: str, heard_at: float) -> None:
        self.hello = hello
        self.key = key  # with which it came in; empty without keys
        self.heard_at = heard_at
        #: takes no more messages for now; gets a snapshot when it does
        self.is_behind = False


class Callers:
    """Peers of the ROUTER by their routing id."""

    def __init__(
        self,
        router: zmqlink.Socket,
        broker: Broker,
        library: Library,
        connect: Callable[[HostUp, int], None],
        tell: Callable[[ev.Event], None],
        work: Callable[[], None],
        badges: Badges | None,
        run: str,
    ) -> None:
        """badges: of the keys with which peers come; None: they have none."""
        self._badges = badges
        self._run = run
        self._complaints = Complaints()
        self._router = router
        self._broker = broker
        self._library = library
        self._connect = connect
        self._tell = tell
        self._work = work
        self._outside = Outside(library.roots)
        self._callers: dict[bytes, _Caller] = {}
        #: how many of them there are with each key
        self._with_key: Counter[str] = Counter()
        self._supervisors = Supervisors(MACHINE_SILENCE_S)
        self._gaps = Gaps(TICK_S)
        self.commands = Commands(router, broker, library, tell, work, self._hellos)

    def _hellos(self) -> dict[bytes, Hello]:
        return {peer: caller.hello for peer, caller in self._callers.items()}

    # -- to them ---------------------------------------------------------------------

    def tell(self, peer: bytes, message: Message) -> None:
        """Send to a front; one that takes no more gets a snapshot later instead."""
        caller = self._callers.get(peer)
        if caller is None or caller.is_behind:
            return
        sent = zmqlink.send(self._router, peer, message)
        if sent is None:
            self._forget(peer)
            self._tell(ev.FrontLeft(peer))
        elif not sent:
            logger.warning("front=%s reads too slowly", caller.hello.name)
            caller.is_behind = True

    def tell_supervisor(self, machine: Machine, message: Message) -> None:
        """Send to the supervisors of a machine: who has the host heeds the order."""
        for peer in self._supervisors.peers(machine):
            zmqlink.send(self._router, peer, message)

    def tick(self) -> None:
        """Catch up with fronts that read again; forget who is gone."""
        self.commands.tick()
        now = time.monotonic()
        fresh = now if self._gaps.tick(now) else 0.0  # nobody was heard before it
        self._supervisors.forget_silent(now, fresh)
        for peer, caller in list(self._callers.items()):
            caller.heard_at = max(caller.heard_at, fresh)
            if caller.is_behind:
                snapshot = self._broker.farm.bulletin.snapshot()
                caller.is_behind = zmqlink.send(self._router, peer, snapshot) is False
            elif caller.heard_at < now - _SILENT_S:
                self._forget(peer)

    def _forget(self, peer: bytes) -> None:
        caller = self._callers.pop(peer, None)
        if caller is not None:
            self._with_key -= Counter([caller.key])  # keeps what is more than 0

    # -- from them -------------------------------------------------------------------

    def read(self) -> None:
        """Read what has come."""
        for _ in range(_BATCH):
            try:
                frames = self._router.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            if len(frames) != 2:
                continue
            peer, frame = frames[0].bytes, frames[1]
            try:
                self._heard(peer, frame)
            except ProtocolError as error:
                caller = self._callers.get(peer)
                name = caller.hello.name if caller is not None else peer.hex()
                logger.warning("peer=%s broke the protocol: %s", name, error)

    def _heard(self, peer: bytes, frame: zmq.Frame) -> None:
        message = codec.decode(frame.bytes)
        key = "" if self._badges is None else str(frame.get("User-Id"))
        if isinstance(message, Hello):
            self._greet(peer, key, message, frame)
            return
        caller = self._callers.get(peer)
        if caller is None or caller.key != key:
            # routing ids are a peer's choice once their last owner is gone
            return
        now = caller.heard_at = time.monotonic()
        match caller.hello.role:
            case Role.FRONT:
                self._front(peer, message)
            case Role.SUPERVISOR:
                self._supervisor(peer, caller, message, now)
            case Role.COMMAND:
                self.commands.take(peer, message)
            case role:
                raise ProtocolError(f"{role.name} sent {type(message).__name__}")

    # -- who may be what -------------------------------------------------------------

    def _greet(self, peer: bytes, key: str, hello: Hello, frame: zmq.Frame) -> None:
        self._forget(peer)
        now = time.monotonic()
        if hello.protocol != PROTOCOL:
            self._welcome(peer)  # which tells it ours
            why = f"it speaks protocol {hello.protocol}, this broker {PROTOCOL}"
            self._complain(hello, key, frame, why, now)
            return
        why = self._objection(hello, key, now)
        if why:
            zmqlink.send(self._router, peer, Refused(why))
            self._complain(hello, key, frame, why, now)
            return
        self._welcome(peer)
        self._callers[peer] = _Caller(hello, key, now)
        self._with_key[key] += 1
        if hello.role == Role.FRONT:
            self._tell(ev.FrontJoined(peer))
        elif hello.role == Role.SUPERVISOR:
            machine = hello.machine
            if self._supervisors.take(machine, _speaker(hello, key), peer, now):
                logger.info("machine=%s has a new supervisor", machine)
            living = self._supervisors.incarnations(machine)
            self._tell(ev.SupervisorChanged(machine, living))
            self._work()  # before it announces its hosts

    def _objection(self, hello: Hello, key: str, now: float) -> str:
        """Return why somebody may not be what it says it is; empty: it may."""
        if hello.role not in _ROLES:
            return f"a {WORDS[hello.role]} does not call the broker"
        longest = max(map(len, (hello.name, hello.machine, hello.version)))
        if longest > _MAX_NAME:
            return f"a name of {longest} characters; the limit is {_MAX_NAME}"
        if self._badges is not None:
            why = self._badges.refusal(key, hello)
            if why:
                return why
        if self._with_key[key] >= MAX_CALLERS:
            return f"{MAX_CALLERS} others have come with this key; that is the limit"
        if hello.role != Role.SUPERVISOR:
            return ""
        rivals = self._supervisors.rivals(hello.machine, _speaker(hello, key), now)
        # an answer to a greeting said twice does no harm, and shows who is gone
        if all(self._welcome(rival) is None for rival in rivals):
            return ""
        return (
            f"machine {hello.machine} has a supervisor, which lives; give each machine "
            "a name of its own, [vmhost] machine"
        )

    def _complain(
        self, hello: Hello, key: str, frame: zmq.Frame, why: str, now: float
    ) -> None:
        name = hello.name[:_MAX_NAME]
        text = f"peer={name} role={WORDS[hello.role].replace(' ', '-')}"
        text += f" machine={hello.machine[:_MAX_NAME]}"
        if self._badges is not None:
            text += f" key={self._badges.owner(key)}"
            text += f" address={frame.get('Peer-Address')}"
        cause = f"{key} {hello.role} {name} {why}"
        line = self._complaints.line(cause, f"{text} refused: {why}", now)
        if line:
            logger.error("%s", line)

    def _welcome(self, peer: bytes) -> bool | None:
        """Welcome a peer; None: it is gone."""
        welcome = Welcome(PROTOCOL, Role.BROKER, NAME, self._broker.farm.epochs.term)
        return zmqlink.send(self._router, peer, welcome)

    def _front(self, peer: bytes, message: Message) -> None:
        if peer not in self._broker.fronts:
            self._tell(ev.FrontJoined(peer))  # it was silent for long, or is just new
        match message:
            case Miss(path, idle):
                self._missed(peer, path, idle, time.monotonic())
            case Pressure(script, waited_us, queued, total_us, idle):
                waited_s, total_s = waited_us / 1e6, total_us / 1e6
                self._tell(ev.Pressed(script, waited_s, queued, total_s, idle))
            case Report():
                self._tell(ev.Reported(peer, message))
                if message.is_last:
                    self._forget(peer)
            case Accuse(host, why):
                self._tell(ev.Accused(host, why[:_MAX_REASON]))
            case _:
                raise ProtocolError(f"a front sent {type(message).__name__}")

    def _missed(
        self, peer: bytes, path: bytes, idle: tuple[HostId, ...], since: float
    ) -> None:
        found, barrier = self._library.find(path)
        realign(self._library, self._tell)
        if barrier is None and self._library.is_outside(path):
            line = self._outside.line(path, time.monotonic())
            if line:
                logger.warning("%s", line)

        def again(since: float) -> None:
            self._missed(peer, path, idle, since)

        if found is not None:
            rest = self._library.rest(
                found.pool,
                [found.script],
                since,
                len(path),
                again,
                are_whole=found.is_whole,
            )
            if rest is Rest.LATER:
                return
            if rest is Rest.FULL:
                found = replace(found, is_whole=False)  # refused, for now
        self._tell(ev.Missed(peer, path, found, idle, barrier))

    def _supervisor(
        self, peer: bytes, caller: _Caller, message: Message, now: float
    ) -> None:
        machine, incarnation = caller.hello.machine, caller.hello.incarnation
        speaker = _speaker(caller.hello, caller.key)
        if not self._supervisors.hears(machine, speaker, peer, now):
            why = f"another supervisor speaks for machine {machine} by now"
            zmqlink.send(self._router, peer, Refused(why))
            return
        match message:
            case HostUp():
                is_guarded = self._badges is not None
                wrong = fault(message, machine, self._run, is_guarded=is_guarded)
                if wrong:
                    raise ProtocolError(wrong)
                self._connect(message, incarnation)
                self._tell(ev.HostJoined(message, incarnation))
            case HostLost():
                host = self._broker.farm.roster.hosts.get(message.host)
                if host is not None and host.up.machine == machine:
                    self._tell(ev.HostLeft(message))
            case MachineReport():
                if not self._broker.census.knows((machine, incarnation)):
                    self._welcome(peer)  # so it announces its hosts again
                self._tell(ev.MachineReported(machine, message, incarnation))
            case _:
                raise ProtocolError(f"a supervisor sent {type(message).__name__}")


def _speaker(hello: Hello, key: str) -> Speaker:
    return Speaker(hello.incarnation, key, hello.beside)
