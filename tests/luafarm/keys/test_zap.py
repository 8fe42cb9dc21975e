"""Who may connect with which key: real sockets, polled in this thread."""

import logging
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from luafarm.keys import curve
from luafarm.keys.badges import Badge, Badges
from luafarm.keys.curve import KeyPair
from luafarm.keys.zap import ZapHandler
from luafarm.names import Machine
from luafarm.wire.messages import Role

Context = zmq.Context["zmq.Socket[bytes]"]

BROKER = curve.fresh()
SOON_MS = 120_000
REFUSED_MS = 300  # a handshake takes a few milliseconds


class Server:
    """A CURVE ROUTER with its ZapHandler, and clients that try to reach it."""

    def __init__(self, context: Context, *allowed: bytes, domain: str = "") -> None:
        self.context = context
        self.sockets: list[zmq.Socket[bytes]] = []
        badges = [
            Badge(key, Role.FRONT, Machine(""), f"fcgi-{number}.public")
            for number, key in enumerate(allowed)
        ]
        other = Badge(BROKER.public, Role.BROKER, Machine(""), "broker.public")
        self.zap = ZapHandler(context, Badges([*badges, other]), Role.FRONT)
        self.pair = curve.fresh()
        self.router = self._socket(zmq.ROUTER)
        curve.serve(self.router, self.pair)
        if domain:
            self.router.setsockopt_string(zmq.ZAP_DOMAIN, domain)
        self.zap.watch(self.router)
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
        for polled in self.zap.sockets:
            poller.register(polled, zmq.POLLIN)
        poller.register(self.router, zmq.POLLIN)
        end = time.monotonic() + timeout_ms / 1000
        while (left_s := end - time.monotonic()) > 0:
            ready = dict(poller.poll(round(left_s * 1000)))
            self.zap.handle()
            if self.router in ready:
                return self.router.recv_multipart()[1:] == [b"let me in"]
        return False

    def handle_until(self, claim: Callable[[], bool]) -> bool:
        """Judge who comes until the claim holds; return whether it does."""
        poller = zmq.Poller()
        for polled in self.zap.sockets:
            poller.register(polled, zmq.POLLIN)
        end = time.monotonic() + SOON_MS / 1000
        while not claim() and time.monotonic() < end:
            poller.poll(REFUSED_MS)
            self.zap.handle()
        return claim()

    def denies(self, socket: "zmq.Socket[bytes]") -> bool:
        """Say whether its key is looked at, and it is not heard then."""
        denied = self.zap.denied
        socket.send(b"let me in")
        looked = self.handle_until(lambda: self.zap.denied > denied)
        return looked and not self.router.poll(REFUSED_MS)


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


# ---- what the log says -------------------------------------------------------------


def refuse(
    server: Server,
    *pairs: KeyPair | None,
    until: Callable[[], bool],
    expected: bytes = b"",
) -> None:
    """Have clients with these keys turned away until a claim holds."""
    clients = [server.client(pair, expected) for pair in pairs]
    for client in clients:
        client.send(b"let me in")
    assert server.handle_until(until)
    assert not server.router.poll(0)


def test_a_stranger_makes_one_line_with_its_key_and_address(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server, pair = start(), curve.fresh()
    with caplog.at_level(logging.ERROR):
        refuse(server, pair, pair, pair, until=lambda: server.zap.denied >= 3)
    key = pair.public.decode()
    assert caplog.messages == [
        f"peer=127.0.0.1 key={key} refused: its key is not known here"
    ]


def test_strangers_with_many_keys_at_one_address_make_one_line(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()
    keys = [curve.fresh() for _ in range(3)]
    with caplog.at_level(logging.ERROR):
        refuse(server, *keys, until=lambda: server.zap.denied >= 3)
    assert len(caplog.messages) == 1


def test_a_key_that_belongs_elsewhere_is_named(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()
    with caplog.at_level(logging.ERROR):
        refuse(server, BROKER, until=lambda: bool(caplog.messages))
    assert caplog.messages == [
        "peer=127.0.0.1 key=broker.public refused: it does not belong here"
    ]


def test_who_has_no_key_and_who_expects_another_one_are_told_apart(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()
    stranger, another = curve.fresh(), curve.fresh().public
    with caplog.at_level(logging.ERROR):
        refuse(server, None, until=lambda: len(caplog.messages) == 1)
        refuse(
            server,
            stranger,
            until=lambda: len(caplog.messages) == 2,
            expected=another,
        )
    assert caplog.messages == [
        f"a peer without keys at {server.endpoint} refused",
        f"a peer that expects another key at {server.endpoint} refused",
    ]
