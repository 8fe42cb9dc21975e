"""What each key may be, and where: real processes do what docs/deployment.md says."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from bench import daemon
from luafarm.keys import curve, handshakes
from luafarm.keys.badges import WORDS
from luafarm.names import Machine
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Hello,
    HostUp,
    Message,
    Refused,
    Role,
    Snapshot,
)
from luafarm.wire.messages import Welcome as WelcomeMessage
from tests.farm.farms import LUAFARM, directory

pytestmark = pytest.mark.process

DOCS = Path(__file__).parent.parent.parent / "docs" / "deployment.md"

NAMED = ("fcgi-web2", "vmhost-a", "vmhost-b", "command-web2")
KEYS = ("broker", "vmhost", "fcgi", "command", *NAMED, "stranger", "none")
SERVERS = ("the broker", "a VM host", "a supervisor's notices")
MACHINES = ("a", "b", "web2", "elsewhere")
HOME = "home"  # the machine of the supervisor that runs

PATIENCE_S = 120.0

Socket = zmq.Socket[bytes]


def table() -> dict[str, dict[str, str]]:
    """Return by row of the documented table what it says of each server."""
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith("|")]
    rows = [line.split("|")[1:-1] for line in lines]
    [at] = [i for i, row in enumerate(rows) if row[0].strip() == "public key"]
    heads = [cell.strip().removeprefix("at ") for cell in rows[at][1:]]
    found: dict[str, dict[str, str]] = {}
    for row in rows[at + 2 :]:
        cells = [cell.strip() for cell in row]
        found[cells[0].strip("`")] = dict(zip(heads, cells[1:], strict=True))
        if cells[0].startswith("any other"):
            return found
    raise AssertionError("the table has no end")


TABLE = table()


def is_documented(key: str, server: str, role: Role, machine: str) -> bool:
    """Return whether the documents let the owner of a key be this."""
    kind, _, name = key.partition("-")
    row = f"{kind}-NAME.public" if name else f"{kind}.public"
    cell = TABLE.get(row, TABLE["any other, or none"])[server]
    said = re.fullmatch(r"(?P<word>[a-zA-Z ]+?)(?P<named> of machine NAME)?", cell)
    if said is None or said["word"] != WORDS[role]:
        return False
    if said["named"]:
        return machine == name
    return f"{kind}-{machine}" not in NAMED  # "has no key of its own in that role"


@dataclass(frozen=True)
class Server:
    """Where one can connect, and the key that proves it."""

    endpoint: str
    key: bytes


@dataclass(frozen=True)
class Farm:
    """A broker and a supervisor over TCP, and the keys of everybody."""

    place: Path
    servers: dict[str, Server]
    pairs: dict[str, curve.KeyPair | None]


class Caller:
    """A connection of a test."""

    def __init__(
        self, context: zmq.Context[Socket], server: Server, pair: curve.KeyPair | None
    ) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        if pair is not None:
            curve.connect(self._socket, pair, server.key)
        self._monitor = self._socket.get_monitor_socket(handshakes.EVENTS)
        self._socket.connect(server.endpoint)
        self._poller = zmq.Poller()
        for polled in (self._socket, self._monitor):
            self._poller.register(polled, zmq.POLLIN)

    def answer(self, message: Message) -> Message | None:
        """Return what is answered; None: the handshake is refused."""
        self._socket.send(codec.encode(message), zmq.DONTWAIT)
        return self.next()

    def next(self) -> Message | None:
        """Return the next message; None: the handshake is refused."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            ready = dict(self._poller.poll(1000))
            if self._socket in ready:
                return codec.decode(self._socket.recv())
            if self._monitor in ready:
                event = recv_monitor_message(self._monitor)["event"]
                if event != zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    return None
        raise AssertionError("no answer")

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close()


@contextlib.contextmanager
def calling(server: Server, pair: curve.KeyPair | None) -> Iterator[Caller]:
    context: zmq.Context[Socket] = zmq.Context()
    caller = Caller(context, server, pair)
    try:
        yield caller
    finally:
        caller.close()
        context.term()


def pairs_of(keys: Path) -> dict[str, curve.KeyPair | None]:
    found: dict[str, curve.KeyPair | None] = {"stranger": curve.fresh(), "none": None}
    for path in keys.glob("*.secret"):
        public = path.with_suffix(".public").read_bytes().strip()
        found[path.stem] = curve.KeyPair(public, path.read_bytes().strip())
    return found


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    """Run a broker and a supervisor; learn from the broker where its host is."""
    with directory() as place, contextlib.ExitStack() as stack:
        root, keys = place / "root", place / "keys"
        root.mkdir()
        curve.keygen(keys)
        curve.keygen(keys, NAMED)
        broker = f"tcp://127.0.0.1:{daemon.free_port()}"
        for role in ("broker", "vmhost"):
            config = place / f"{role}.toml"
            config.write_text(
                f'[paths]\nrun = "{place}/{role}"\n[security]\nkeys = "{keys}"\n'
                f'[broker]\nendpoint = "{broker}"\n'
                f'[vmhost]\nmachine = "{HOME}"\nendpoint = "tcp://127.0.0.1:*"\n'
                f'[pool.web]\nroot = ["{root}"]\nhosts = 1\n'
            )
            command = [*LUAFARM, role, "--config", str(config)]
            stack.enter_context(daemon.running(command, place / f"{role}.log"))
        pairs = pairs_of(keys)
        own = pairs["broker"]
        assert own is not None
        servers = {"the broker": Server(broker, own.public)}
        up = learned(servers["the broker"], pairs["fcgi"])
        servers["a VM host"] = Server(up.endpoint, up.server_key)
        servers["a supervisor's notices"] = Server(up.notices, up.notices_key)
        yield Farm(place, servers, pairs)


def learned(broker: Server, pair: curve.KeyPair | None) -> HostUp:
    """Return what the broker tells a front of the host."""
    end = time.monotonic() + PATIENCE_S
    hello = Hello(PROTOCOL, Role.FRONT, "first", Machine("elsewhere"))
    while time.monotonic() < end:
        with calling(broker, pair) as caller:
            found = caller.answer(hello)
            while found is not None:
                if isinstance(found, Snapshot) and found.hosts:
                    return found.hosts[0]
                found = found if isinstance(found, HostUp) else caller.next()
                if isinstance(found, HostUp):
                    return found
    raise AssertionError("no host is up")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_may_be_what_the_documents_say_and_nothing_else(
    farm: Farm, key: str, role: Role, server: str
) -> None:
    for machine in MACHINES:
        # the same process each time: another one would have to wait for its end
        hello = Hello(PROTOCOL, role, "x", Machine(machine), incarnation=1)
        with calling(farm.servers[server], farm.pairs[key]) as caller:
            answer = caller.answer(hello)
        is_welcome = isinstance(answer, WelcomeMessage)
        assert is_welcome == is_documented(key, server, role, machine), answer
        if not is_welcome:
            assert answer is None or isinstance(answer, Refused)


def test_the_documents_let_everybody_in_somewhere() -> None:
    """So that a table which nobody can read would not pass for one that holds."""
    for key in KEYS:
        found = [
            (server, role, machine)
            for server in SERVERS
            for role in Role
            for machine in MACHINES
            if is_documented(key, server, role, machine)
        ]
        assert bool(found) == (key not in {"stranger", "none"}), key


def is_open(idle: socket.socket) -> bool:
    idle.setblocking(False)
    try:
        return bool(idle.recv(1))
    except BlockingIOError:
        return True


@pytest.mark.parametrize("server", SERVERS)
def test_many_who_never_say_who_they_are_keep_nobody_out(
    farm: Farm, server: str
) -> None:
    asked = farm.servers[server]
    host, _, port = asked.endpoint.removeprefix("tcp://").rpartition(":")
    hello = Hello(PROTOCOL, Role.FRONT, "x", Machine("elsewhere"))
    end = time.monotonic() + PATIENCE_S
    are_all_there = False
    while not are_all_there and time.monotonic() < end:
        with contextlib.ExitStack() as stack:
            idle = [
                stack.enter_context(socket.create_connection((host, port), PATIENCE_S))
                for _ in range(200)
            ]
            for one in idle:
                assert one.recv(10), "a server speaks first"
            with calling(asked, farm.pairs["fcgi"]) as caller:
                assert isinstance(caller.answer(hello), WelcomeMessage)
            # on a busy machine some were sent away before the last one came
            are_all_there = all(map(is_open, idle))
    assert are_all_there


def test_both_logs_say_who_was_turned_away_and_why(farm: Farm) -> None:
    fcgi, stranger = farm.pairs["fcgi"], farm.pairs["stranger"]
    assert stranger is not None
    hello = Hello(PROTOCOL, Role.SUPERVISOR, "mallory", Machine("elsewhere"), 1)
    for _ in range(5):
        with calling(farm.servers["the broker"], fcgi) as caller:
            answer = caller.answer(hello)
        assert answer == Refused("fcgi.public is no key of a supervisor")
        for server in ("the broker", "a supervisor's notices"):
            with calling(farm.servers[server], stranger) as caller:
                assert caller.answer(hello) is None
    broker = (farm.place / "broker.log").read_text().splitlines()
    line, *more = [text for text in broker if "peer=mallory" in text]
    assert len(more) < 4  # another one after a minute, on a very busy machine
    assert (
        "error peer=mallory role=supervisor machine=elsewhere key=fcgi.public "
        "address=127.0.0.1 refused: fcgi.public is no key of a supervisor"
    ) in line
    key = stranger.public.decode()
    for log in ("broker", "vmhost"):
        lines = (farm.place / f"{log}.log").read_text().splitlines()
        line, *more = [text for text in lines if key in text]
        assert len(more) < 4
        assert f"peer=127.0.0.1 key={key} refused: its key is not known here" in line
