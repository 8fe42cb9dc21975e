"""H: hostile and broken peers."""

import contextlib
import random
import socket
import struct

import pytest

from tests.conformance.client import Client, connected
from tests.conformance.site import Site
from tests.fcgi.fastcgi import wire
from tests.fcgi.fastcgi.wire import begin, rec, stream

pytestmark = pytest.mark.process

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


def test_h01_a_peer_may_leave_at_any_point(site: Site) -> None:
    data = site.post("echo.lua", b"a body", keep=True)
    slow = site.get("slow.lua", QUERY_STRING="0.2")
    for sent in (data[:1], data[:8], data[:20], data[:60], data[:-9], data, slow):
        with connected(site.address) as client:
            client.send(sent)
    assert site.is_well()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        bytes(1000),
        random.Random(1).randbytes(4000),
        b"\1" + random.Random(2).randbytes(4000),
    ],
    ids=["http", "tls", "zeros", "random", "version-1-random"],
)
def test_h02_garbage_is_never_answered(site: Site, garbage: bytes) -> None:
    with connected(site.address) as client, contextlib.suppress(BrokenPipeError):
        client.send(garbage)
        client.finish()
        assert all(r.id == 0 for r in client.rest())
    assert site.is_well()


@pytest.mark.parametrize("size", [0, 7, 16])
def test_h03_begin_of_another_length_ends_the_connection(site: Site, size: int) -> None:
    with connected(site.address) as client:
        client.send(rec(wire.BEGIN, 1, b"\0\1\1".ljust(size, b"\0")[:size]))
        assert client.is_at_end()
    assert site.is_well()


@pytest.mark.parametrize("order", ["stdin-first", "data-first", "no-begin"])
def test_h04_streams_in_the_wrong_order_are_refused(site: Site, order: str) -> None:
    params = stream(wire.PARAMS, 1, wire.blob(site.pairs("echo.lua", 4)))
    stdin = stream(wire.STDIN, 1, b"body")
    data = stream(wire.DATA, 1, b"data")
    sent = {
        "stdin-first": begin(flags=1) + stdin + params,
        "data-first": begin(role=3, flags=1) + params + data + stdin,
        "no-begin": params + stdin,
    }[order]
    with connected(site.address) as client:
        client.send(sent)
        if order != "no-begin":
            assert client.answer().status == 400
        client.send(site.get(keep=True))
        assert client.answer().status == 200


def test_h05_idle_and_half_sent_connections_stop_nobody(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(40):
            client = stack.enter_context(connected(site.address))
            client.send(site.get()[: [0, 3, 20, 100][number % 4]])
        assert site.is_well()


def test_h06_a_reader_that_does_not_read_stops_nobody(site: Site) -> None:
    size = 4 << 20
    with contextlib.ExitStack() as stack:
        clients: list[Client] = []
        for _ in range(4):
            client = stack.enter_context(connected(site.address))
            client.send(site.get("big.lua", QUERY_STRING=str(size)))
            clients.append(client)
        for _ in range(10):
            assert site.is_well()
        for client in clients:
            assert len(client.answer().body) == size


def test_h07_a_half_closed_peer_gets_its_answer(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.post("echo.lua", b"and no more", keep=True))
        client.finish()
        assert client.answer().body == b"and no more"
        assert client.is_at_end()


def test_h08_a_reset_in_mid_response_stops_nobody(site: Site) -> None:
    for _ in range(5):
        with connected(site.address) as client:
            client.send(site.get("big.lua", QUERY_STRING=str(4 << 20)))
            assert client.record() is not None
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    assert site.is_well()


def test_h09_a_name_of_four_gib_is_refused(site: Site) -> None:
    pairs = wire.blob(site.pairs("hello.lua")) + b"\xff\xff\xff\xff\x01NAME"
    answer = site.ask(wire.req(pairs))
    assert answer.status in {400, 431}
    assert site.is_well()
