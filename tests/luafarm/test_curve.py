"""Keys, and who may connect with them: real sockets, polled in this thread."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from luafarm import curve
from luafarm.curve import KeyPair, ZapHandler
from luafarm.errors import SettingsError
from luafarm.settings import Security

Context = zmq.Context["zmq.Socket[bytes]"]

SOON_MS = 120_000
REFUSED_MS = 300  # a handshake takes a few milliseconds


class Server:
    """A CURVE ROUTER with its ZapHandler, and clients that try to reach it."""

    def __init__(self, context: Context, *allowed: bytes, domain: str = "") -> None:
        self.context = context
        self.sockets: list[zmq.Socket[bytes]] = []
        self.zap = ZapHandler(context, allowed, domain or curve.DOMAIN)
        self.pair = curve.fresh()
        self.router = self._socket(zmq.ROUTER)
        curve.serve(self.router, self.pair)
        port = self.router.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"

    def client(self, pair: KeyPair | None, server: bytes = b"") -> "zmq.Socket[bytes]":
        socket = self._socket(zmq.DEALER)
        if pair is not None:
            curve.connect(socket, pair, server or self.pair.public)
        socket.connect(self.endpoint)
        return socket

    def rogue(self) -> "zmq.Socket[bytes]":
        socket = self._socket(zmq.DEALER)
        socket.connect("inproc://zeromq.zap.01")
        return socket

    def close(self) -> None:
        self.zap.close()
        for socket in self.sockets:
            socket.close(linger=0)

    def _socket(self, kind: int) -> "zmq.Socket[bytes]":
        socket = self.context.socket(kind)
        self.sockets.append(socket)
        return socket

    def hears(self, socket: "zmq.Socket[bytes]", timeout_ms: int) -> bool:
        socket.send(b"let me in")
        poller = zmq.Poller()
        poller.register(self.zap.socket, zmq.POLLIN)
        poller.register(self.router, zmq.POLLIN)
        while ready := dict(poller.poll(timeout_ms)):
            if self.zap.socket in ready:
                self.zap.handle()
            if self.router in ready:
                return self.router.recv_multipart()[1:] == [b"let me in"]
        return False

    def denies(self, socket: "zmq.Socket[bytes]") -> bool:
        """Say whether its key is looked at, and it is not heard then."""
        denied = self.zap.denied
        socket.send(b"let me in")
        while self.zap.denied == denied:
            if not self.zap.socket.poll(SOON_MS):
                return False
            self.zap.handle()
        return not self.router.poll(REFUSED_MS)


Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    """Give a way to start servers that are closed when the test ends."""
    context: Context = zmq.Context()
    servers: list[Server] = []

    def started(*allowed: bytes, domain: str = "") -> Server:
        servers.append(Server(context, *allowed, domain=domain))
        return servers[-1]

    yield started
    for server in servers:
        server.close()
    context.term()


# ---- key files ---------------------------------------------------------------------


def test_keygen_makes_a_pair_for_each_role(tmp_path: Path) -> None:
    paths = curve.keygen(tmp_path / "keys")
    assert sorted(path.name for path in paths) == [
        "broker.public",
        "broker.secret",
        "command.public",
        "command.secret",
        "fcgi.public",
        "fcgi.secret",
        "vmhost.public",
        "vmhost.secret",
    ]
    for path in paths:
        mode = 0o600 if path.suffix == ".secret" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert len({path.read_bytes() for path in paths}) == len(paths)


def test_keygen_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "vmhost.secret").write_text("mine")
    with pytest.raises(SettingsError, match=r"vmhost\.secret exists already"):
        curve.keygen(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["vmhost.secret"]


def test_a_role_loads_its_pair_the_broker_and_whom_it_lets_in(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    read = {path.name: path.read_bytes().strip() for path in tmp_path.iterdir()}
    keys = curve.load(tmp_path, "vmhost")
    assert keys.own == KeyPair(read["vmhost.public"], read["vmhost.secret"])
    assert keys.broker == read["broker.public"]
    assert keys.allowed == {read["broker.public"], read["fcgi.public"]}
    assert curve.load(tmp_path, "fcgi").allowed == frozenset()
    assert curve.load(tmp_path, "broker").allowed == {
        read["fcgi.public"],
        read["vmhost.public"],
        read["command.public"],
    }


def test_a_second_front_has_a_key_of_its_own(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    other = curve.fresh()
    (tmp_path / "fcgi-web2.public").write_bytes(other.public)
    assert other.public in curve.load(tmp_path, "broker").allowed
    assert other.public in curve.allowed(tmp_path, "fcgi")
    assert other.public not in curve.allowed(tmp_path, "broker", "vmhost")


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    (tmp_path / "fcgi.secret").chmod(0o640)
    with pytest.raises(SettingsError, match="others can read it"):
        curve.load(tmp_path, "fcgi")


def test_a_key_that_others_may_write_is_refused(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    (tmp_path / "broker.public").chmod(0o666)
    with pytest.raises(SettingsError, match=r"broker\.public may be written by others"):
        curve.load(tmp_path, "fcgi")
    with pytest.raises(SettingsError, match=r"broker\.public may be written by others"):
        curve.allowed(tmp_path, "broker")


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_directory_in_which_others_may_put_keys_is_refused(
    tmp_path: Path, mode: int
) -> None:
    keys = tmp_path / "keys"
    curve.keygen(keys)
    keys.chmod(mode)
    for look in (lambda: curve.load(keys, "fcgi"), lambda: curve.allowed(keys, "fcgi")):
        with pytest.raises(SettingsError, match="keys may be written by others"):
            look()


def test_a_directory_that_others_may_exchange_is_refused(tmp_path: Path) -> None:
    keys = tmp_path / "shared" / "keys"
    curve.keygen(keys)
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(SettingsError, match="shared may be written by others"):
        curve.load(keys, "fcgi")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_key_of_a_stranger_is_refused(tmp_path: Path) -> None:
    curve.keygen(tmp_path)
    os.chown(tmp_path / "fcgi.public", 4711, -1)
    with pytest.raises(SettingsError, match=r"fcgi\.public belongs to uid 4711"):
        curve.allowed(tmp_path, "fcgi")
    curve.load(tmp_path, "fcgi")  # which it is not asked for
    for file in (tmp_path, *tmp_path.iterdir()):
        os.chown(file, 4711, -1)
    curve.load(tmp_path, "broker")  # the whole directory is one user's


@pytest.mark.parametrize("content", [b"", b"x" * 40 + b"\xff", b"~" * 40, b"x" * 39])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    curve.keygen(tmp_path)
    (tmp_path / "broker.public").write_bytes(content)
    with pytest.raises(SettingsError, match=r"broker\.public: no CURVE key"):
        curve.load(tmp_path, "fcgi")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"fcgi\.secret: No such file"):
        curve.load(tmp_path, "fcgi")


def test_curve_is_for_tcp_once_there_are_keys() -> None:
    with_keys = Security(keys="/keys")
    assert curve.is_wanted(with_keys, "tcp://127.0.0.1:1")
    assert not curve.is_wanted(with_keys, "ipc:///x")
    assert not curve.is_wanted(Security(), "tcp://127.0.0.1:1")


# ---- who gets in -------------------------------------------------------------------


def test_a_known_key_gets_in(start: Start) -> None:
    pair = curve.fresh()
    server = start(pair.public)
    assert server.hears(server.client(pair), SOON_MS)
    assert server.zap.denied == 0


@pytest.mark.parametrize(
    "allowed", [lambda: (), lambda: (curve.fresh().public,)], ids=["nobody", "another"]
)
def test_an_unknown_key_is_denied(
    start: Start, allowed: Callable[[], tuple[bytes, ...]]
) -> None:
    server = start(*allowed())
    assert server.denies(server.client(curve.fresh()))


def test_a_client_without_curve_is_denied(start: Start) -> None:
    server = start(curve.fresh().public)
    assert not server.hears(server.client(None), REFUSED_MS)


def test_a_client_that_expects_another_server_does_not_talk(start: Start) -> None:
    pair = curve.fresh()
    server = start(pair.public)
    assert not server.hears(server.client(pair, curve.fresh().public), REFUSED_MS)


def test_another_domain_is_denied(start: Start) -> None:
    pair = curve.fresh()
    server = start(pair.public, domain="elsewhere")
    assert server.denies(server.client(pair))


def test_a_key_is_let_in_once_it_is_allowed(start: Start) -> None:
    pair = curve.fresh()
    server = start()
    assert server.denies(server.client(pair))
    server.zap.allow([pair.public])
    assert server.hears(server.client(pair), SOON_MS)


def test_nobody_gets_in_while_nobody_asks(start: Start) -> None:
    pair = curve.fresh()
    server = start(pair.public)
    client = server.client(pair)
    client.send(b"let me in")
    assert not server.router.poll(REFUSED_MS)


def test_garbage_on_the_handlers_socket_is_ignored(start: Start) -> None:
    pair = curve.fresh()
    server = start(pair.public)
    rogue = server.rogue()
    rogue.send_multipart([b"", b"1.0"])
    rogue.send_multipart([b"2.0", b"1", b"luafarm", b"a", b"i", b"CURVE", b"x"])
    rogue.send(b"x")
    rogue.send_multipart(
        [b"", b"1.0", b"7", b"luafarm", b"a", b"i", b"CURVE", b"short"]
    )
    assert server.hears(server.client(pair), SOON_MS)
    assert server.zap.denied == 1
