"""Sockets of VM hosts, of both kinds: keys and roles, deaf and dead peers, a stop."""

import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from luafarm.keys import curve
from luafarm.keys.badges import Badge
from luafarm.names import Machine
from luafarm.wire import zmtp
from luafarm.wire.messages import PROTOCOL, Hello, Refused, Role, TakeInventory, Welcome
from luafarm.wire.zmtp import DEALER, MANY, ROUTER, Session
from tests.vmhost.host.hosting import CONFIG, Process, hosting, run
from vmhost.host.link import Link, Sent
from vmhost.host.zmqlink import CurveLink
from vmhost.host.zmtplink import MAX_WAITING, ZmtpLink

pytestmark = pytest.mark.process

HOST, FRONT, BROKER, STRANGER = (curve.fresh() for _ in range(4))
A = b"/srv/a.lua"
HELLO = b"function main(env, con) con:puts('hello') end"
WAIT_MS = 120_000


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Run a VM host on TCP that knows one front and one broker."""
    config = replace(
        CONFIG,
        endpoint="tcp://",
        secret_key=HOST.secret,
        badges=(
            Badge(FRONT.public, Role.FRONT, Machine(""), "fcgi.public"),
            Badge(BROKER.public, Role.BROKER, Machine(""), "broker.public"),
        ),
    )
    with hosting(tmp_path_factory.mktemp("host"), config) as process:
        yield process


def key(pair: curve.KeyPair) -> Callable[["zmq.Socket[bytes]"], None]:
    return lambda dealer: curve.connect(dealer, pair, HOST.public)


def test_who_has_a_key_is_served_over_tcp(guarded: Process) -> None:
    broker = guarded.connect(key(BROKER))
    broker.hello(Role.BROKER)
    broker.load(A, HELLO)
    front = guarded.connect(key(FRONT))
    front.hello(Role.FRONT)
    assert front.done(run(1, A))[3] == b"hello"


def test_a_key_speaks_for_its_role_only(guarded: Process) -> None:
    front = guarded.connect(key(FRONT))
    front.say(Hello(PROTOCOL, Role.BROKER, "liar", Machine("m")))
    assert "is no key of a broker" in front.expect(Refused).reason
    front.say(TakeInventory())
    front.hello(Role.FRONT)
    assert front.hears_nothing()


def test_who_takes_the_routing_id_of_a_broker_does_not_speak_as_one(
    guarded: Process,
) -> None:
    def known(pair: curve.KeyPair) -> Callable[["zmq.Socket[bytes]"], None]:
        def prepare(dealer: "zmq.Socket[bytes]") -> None:
            dealer.set(zmq.ROUTING_ID, b"known")
            curve.connect(dealer, pair, HOST.public)

        return prepare

    broker = guarded.connect(known(BROKER))
    broker.hello(Role.BROKER)
    broker.close()
    end = time.monotonic() + WAIT_MS / 1000
    while True:  # until libzmq knows that the id is free
        assert time.monotonic() < end
        front = guarded.connect(known(FRONT))
        front.say(TakeInventory(), Hello(PROTOCOL, Role.FRONT, "liar", Machine("m")))
        if front.hears_soon():
            break
        front.close()
    assert front.expect(Welcome).name == CONFIG.host
    front.close()


def test_nobody_gets_in_without_a_known_key(guarded: Process) -> None:
    stranger = guarded.connect(key(STRANGER))
    plain = guarded.connect()
    for peer in (stranger, plain):
        peer.say(Hello(PROTOCOL, Role.FRONT, "stranger", Machine("m")))
    front = guarded.connect(key(FRONT))
    front.hello(Role.FRONT)
    assert stranger.hears_nothing()
    assert plain.hears_nothing()


def new_link(kind: str, run: Path) -> Link:
    """Make a link on a UNIX socket in this process."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(run / "s"))
    listener.listen(8)
    listener.setblocking(False)
    if kind == "stream":
        return ZmtpLink(listener.detach())
    config = replace(
        CONFIG,
        endpoint=f"ipc://{run / 's'}",
        secret_key=HOST.secret,
        badges=(Badge(FRONT.public, Role.FRONT, Machine(""), "fcgi.public"),),
    )
    return CurveLink(config, listener.detach())


@pytest.fixture(params=["stream", "curve"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def link(kind: str, tmp_path: Path) -> Iterator[Link]:
    made = new_link(kind, tmp_path)
    yield made
    made.close()


@pytest.fixture
def dealer(link: Link, kind: str, tmp_path: Path) -> Iterator["zmq.Socket[bytes]"]:
    """Make a peer of the link, libzmq's own, that holds one frame and no more."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made = context.socket(zmq.DEALER)
    made.linger = 0
    made.rcvhwm = 1
    made.rcvtimeo = WAIT_MS
    if kind == "curve":
        curve.connect(made, FRONT, HOST.public)
    made.connect(f"ipc://{tmp_path / 's'}")
    yield made
    context.destroy(linger=0)


def heard(link: Link) -> tuple[bytes, bytes]:
    """Return the next peer and frame; looks that find a handshake are not counted."""
    end = time.monotonic() + WAIT_MS / 1000
    while time.monotonic() < end:
        received = link.receive(100)
        if received is not None:
            return received[:2]
    raise AssertionError("nothing came")


def test_frames_come_in_and_go_out(link: Link, dealer: "zmq.Socket[bytes]") -> None:
    dealer.send(b"question")
    peer, frame = heard(link)
    assert frame == b"question"
    assert link.send(peer, b"answer") is Sent.YES
    assert dealer.recv() == b"answer"


def test_nothing_comes_within_a_time(link: Link) -> None:
    assert not link.has_input()
    assert link.receive(0) is None
    assert link.receive(1) is None


def test_nothing_of_a_message_of_several_frames_is_heard(
    link: Link, dealer: "zmq.Socket[bytes]"
) -> None:
    dealer.send_multipart([b"one", b"two", b"three"])
    end = time.monotonic() + WAIT_MS / 1000
    got = None
    while got is None and time.monotonic() < end:
        with contextlib.suppress(zmq.Again):  # it may have cost the connection
            dealer.send(b"honest", zmq.DONTWAIT)
        got = link.receive(10)
    assert got is not None
    assert got[1] == b"honest"


def test_a_frame_for_nobody_is_lost(link: Link) -> None:
    assert link.send(b"nobody", b"frame") is Sent.LOST


def test_what_a_peer_gets_that_never_reads_has_no_hole(tmp_path: Path) -> None:
    link = new_link("stream", tmp_path)
    frame = bytes(1 << 18)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(tmp_path / "s"))
        session = Session(DEALER, ROUTER)
        peer.sendall(session.opening())
        while not session.is_ready:
            link.receive(100)
            session.receive(peer.recv(4096), MANY)
            peer.sendall(session.answers)
            session.answers = b""
        peer.sendall(zmtp.head(5) + b"hello")
        name, _ = heard(link)
        sent = 0
        while link.send(name, sent.to_bytes(4, "big") + frame) is Sent.YES:
            sent += 1
        # its connection is ended: it is told so, and nothing is dropped before
        assert link.send(name, b"x") is Sent.LOST
        assert sent * len(frame) > MAX_WAITING - len(frame)
        got: list[int] = []
        while data := peer.recv(1 << 20):
            got += [int.from_bytes(f[:4], "big") for f in session.receive(data, MANY)]
            while session.has_more:
                more = session.receive(b"", MANY)
                got += [int.from_bytes(f[:4], "big") for f in more]
    assert got == list(range(len(got)))
    link.close()


@pytest.mark.parametrize("kind", ["curve"])
def test_a_peer_that_never_reads_is_deaf_until_it_reads(
    link: Link, dealer: "zmq.Socket[bytes]"
) -> None:
    dealer.send(b"hello")
    peer, _ = heard(link)
    frame = bytes(1 << 18)
    sent = 0
    while link.send(peer, frame) is Sent.YES:
        sent += 1
    assert sent >= 1
    assert link.dropped == 1
    # that one is not waited for again; after it reads it is served again
    assert link.send(peer, frame) is Sent.DROPPED
    for _ in range(sent):
        while not dealer.poll(1):
            link.receive(1)  # what did not fit goes out while the host waits
        assert dealer.recv() == frame
    while link.send(peer, b"again") is not Sent.YES:
        pass
    assert dealer.recv() == b"again"


def test_a_stop_ends_the_wait(link: Link) -> None:
    assert not link.is_stopped
    link.stop()
    assert link.receive(WAIT_MS) is None
    assert link.is_stopped


def test_a_link_may_be_stopped_again_also_when_it_is_closed(
    kind: str, tmp_path: Path
) -> None:
    link = new_link(kind, tmp_path)
    link.stop()
    assert link.receive(WAIT_MS) is None
    link.stop()
    link.close()
    link.stop()
    assert link.is_stopped


def test_without_descriptors_the_next_peer_waits_for_one_to_leave(
    tmp_path: Path,
) -> None:
    link = new_link("stream", tmp_path)
    clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    spare = [os.dup(0) for _ in range(most)]  # no gaps below
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 3, before[1]))
    try:
        hello = Session(DEALER, ROUTER).opening() + b"\0\1x"
        for client in clients:
            client.connect(str(tmp_path / "s"))
            client.sendall(hello)
        assert [heard(link)[1] for _ in range(2)] == [b"x", b"x"]
        assert link.receive(1) is None
        assert not link.has_input()
        clients[0].close()
        assert heard(link)[1] == b"x"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in spare:
            os.close(fd)
        for client in clients:
            client.close()
        link.close()


def test_who_speaks_no_zmtp_is_let_go(tmp_path: Path) -> None:
    link = new_link("stream", tmp_path)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(WAIT_MS / 1000)
        client.connect(str(tmp_path / "s"))
        client.sendall(b"GET / HTTP/1.1\r\n".ljust(64))
        while link.receive(1) is None:
            with contextlib.suppress(BlockingIOError):
                data = client.recv(1 << 16, socket.MSG_DONTWAIT)
                if not data:
                    break
    link.close()


def test_no_peer_can_stop_the_link(link: Link, dealer: "zmq.Socket[bytes]") -> None:
    dealer.send(b"")
    assert heard(link)[1] == b""
    assert not link.is_stopped


def test_hello_is_welcomed_by_the_host_under_its_name(guarded: Process) -> None:
    front = guarded.connect(key(FRONT))
    front.say(Hello(PROTOCOL, Role.FRONT, "x", Machine("m")))
    assert front.expect(Welcome).name == CONFIG.host
