"""The supervisor's sockets: broker link and notices, against peers in this process."""

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import zmq
from msgspec import structs

from luafarm.ends import Death
from luafarm.keys import curve
from luafarm.keys.zap import ZapHandler
from luafarm.names import HostId, Machine, RequestId, Script
from luafarm.version import VERSION
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Hello,
    HostLost,
    MachineReport,
    Message,
    Recycle,
    Refused,
    Role,
    Welcome,
)
from tests.vmhost.supervisor.supervised import until
from vmhost.supervisor.brokerlink import BrokerLink
from vmhost.supervisor.notices import Notices
from vmhost.supervisor.turn import Turn

pytestmark = pytest.mark.process

BOX = Machine("box")
LOST = HostLost(
    HostId("h"), RequestId(7), (RequestId(7),), Script(b"/x"), Death.WALL, ""
)
HELLO = Hello(PROTOCOL, Role.SUPERVISOR, BOX, BOX, version=VERSION)
Sock = zmq.Socket[bytes]


class Peers:
    """Sockets that are closed when a test ends."""

    def __init__(self) -> None:
        self.context: zmq.Context[Sock] = zmq.Context()
        self.opened: list[Sock] = []

    def open(self, kind: int) -> Sock:
        self.opened.append(self.context.socket(kind))
        return self.opened[-1]

    def bound(self, kind: int, endpoint: str) -> Sock:
        sock = self.open(kind)
        sock.bind(endpoint)
        return sock


@pytest.fixture
def peers() -> Iterator[Peers]:
    made = Peers()
    yield made
    for sock in made.opened:
        sock.close(0)
    made.context.destroy(linger=0)


def heard(sock: Sock) -> list[bytes]:
    assert sock.poll(10_000), "nothing arrived"
    return sock.recv_multipart()


class Cranked:
    """A broker link whose crank is turned until something is so."""

    def __init__(self, peers: Peers, endpoint: str) -> None:
        self.link = BrokerLink(peers.context, endpoint, BOX, None, Turn())
        self.received: list[Message] = []

    def until(self, is_so: Callable[[], object]) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            self.link.watch(time.monotonic())
            while (message := self.link.receive(time.monotonic())) is not None:
                self.received.append(message)
            if is_so():
                return
            time.sleep(0.005)
        raise AssertionError("it never is")


@pytest.fixture
def cranked(peers: Peers, tmp_path: Path) -> Iterator[Cranked]:
    made = Cranked(peers, f"ipc://{tmp_path}/b")
    yield made
    made.link.close()


@pytest.fixture
def broker(peers: Peers, tmp_path: Path) -> Sock:
    return peers.bound(zmq.ROUTER, f"ipc://{tmp_path}/b")


def test_hello_is_said_until_welcome_and_again_to_the_next_broker(
    peers: Peers, cranked: Cranked, tmp_path: Path
) -> None:
    link = cranked.link
    for term in (1, 2):
        broker = peers.bound(zmq.ROUTER, f"ipc://{tmp_path}/b")
        cranked.until(partial(broker.poll, 0))
        peer, frame = heard(broker)
        hello = codec.decode(frame)
        assert isinstance(hello, Hello)
        assert structs.replace(hello, incarnation=0) == HELLO
        assert not link.is_welcome
        welcome = Welcome(PROTOCOL, Role.BROKER, "broker", term)
        broker.send_multipart([peer, codec.encode(welcome)])
        cranked.until(lambda: link.is_welcome)
        assert cranked.received[-1] == welcome
        broker.close(0)
        cranked.until(lambda: not link.is_welcome)


def test_what_is_sent_to_no_broker_is_dropped_and_not_kept(cranked: Cranked) -> None:
    assert not any(cranked.link.send(MachineReport(())) for _ in range(5000))


def test_orders_arrive_and_garbage_does_not_stop_them(
    cranked: Cranked, broker: Sock
) -> None:
    cranked.until(partial(broker.poll, 0))
    peer, _ = heard(broker)
    broker.send_multipart([peer, b"garbage", b"more"])
    order = Recycle(HostId("h"), "memory")
    broker.send_multipart([peer, codec.encode(order)])
    cranked.until(lambda: cranked.received)
    assert cranked.received == [order]


def test_a_broker_of_another_protocol_is_refused_with_one_line(
    cranked: Cranked, broker: Sock, caplog: pytest.LogCaptureFixture
) -> None:
    cranked.until(partial(broker.poll, 0))
    peer, _ = heard(broker)
    stranger = Welcome(PROTOCOL + 1, Role.BROKER, "broker", 1)
    order = Recycle(HostId("h"), "memory")
    with caplog.at_level(logging.ERROR):
        for message in (stranger, stranger, stranger, order):
            broker.send_multipart([peer, codec.encode(message)])
        cranked.until(lambda: cranked.received)
    assert cranked.received == [order]
    assert len(caplog.records) == 1
    assert not cranked.link.is_welcome


def front(peers: Peers, endpoint: str, protocol: int = PROTOCOL) -> Sock:
    sock = peers.open(zmq.DEALER)
    sock.connect(endpoint)
    sock.send(codec.encode(Hello(protocol, Role.FRONT, "front-1", BOX)))
    return sock


def test_every_front_that_said_hello_is_told_and_no_other(
    peers: Peers, tmp_path: Path
) -> None:
    notices = Notices(peers.context, f"ipc://{tmp_path}/n", BOX, None)
    fronts = [front(peers, notices.bound) for _ in range(3)]
    mute = peers.open(zmq.DEALER)
    mute.connect(notices.bound)
    mute.send(b"garbage")
    other = front(peers, notices.bound, PROTOCOL + 1)

    def all_greeted() -> bool:
        notices.greet()
        return all(sock.poll(0) for sock in fronts)

    until(all_greeted, "welcomes")
    for sock in fronts:
        welcome = Welcome(PROTOCOL, Role.SUPERVISOR, BOX, 0)
        assert codec.decode(sock.recv()) == welcome
    notices.tell(LOST)
    for sock in fronts:
        assert codec.decode(heard(sock)[0]) == LOST
    assert not mute.poll(0)
    refused = codec.decode(heard(other)[0])
    assert isinstance(refused, Refused)
    assert f"it speaks protocol {PROTOCOL + 1}" in refused.reason
    assert not other.poll(0)
    notices.close()


def test_a_front_that_is_gone_stops_nobody(peers: Peers, tmp_path: Path) -> None:
    notices = Notices(peers.context, f"ipc://{tmp_path}/n", BOX, None)
    gone, stays = (front(peers, notices.bound) for _ in range(2))

    def greeted() -> bool:
        notices.greet()
        return bool(gone.poll(0) and stays.poll(0))

    until(greeted, "welcomes")
    stays.recv()
    gone.close(0)
    for _ in range(50):
        notices.tell(LOST)
        assert codec.decode(heard(stays)[0]) == LOST
    notices.close()


def test_a_front_that_does_not_read_blocks_nobody(peers: Peers, tmp_path: Path) -> None:
    notices = Notices(peers.context, f"ipc://{tmp_path}/n", BOX, None)
    deaf = front(peers, notices.bound)

    def greeted() -> bool:
        notices.greet()
        return bool(deaf.poll(0))

    until(greeted, "a welcome")
    for _ in range(5000):
        notices.tell(LOST)
    notices.close()


def test_over_tcp_only_fronts_with_a_known_key_are_heard(
    peers: Peers, tmp_path: Path
) -> None:
    curve.keygen(tmp_path / "keys")
    keys = curve.load(tmp_path / "keys", "vmhost", BOX)
    zap = ZapHandler(peers.context, keys.badges, Role.FRONT)
    notices = Notices(peers.context, "tcp://127.0.0.1:*", BOX, keys)
    known = curve.load(tmp_path / "keys", "fcgi", BOX).own

    def connected(pair: curve.KeyPair) -> Sock:
        sock = peers.open(zmq.DEALER)
        curve.connect(sock, pair, keys.own.public)
        sock.connect(notices.bound)
        sock.send(codec.encode(Hello(PROTOCOL, Role.FRONT, "front-1", BOX)))
        return sock

    stranger, friend = connected(curve.fresh()), connected(known)

    def greeted() -> bool:
        zap.handle()
        notices.greet()
        return bool(friend.poll(0))

    until(greeted, "a welcome")
    assert not stranger.poll(0)
    assert zap.denied >= 1
    zap.close()
    notices.close()
