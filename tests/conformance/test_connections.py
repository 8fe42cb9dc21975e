"""E: the life of connections and requests."""

import random

import pytest

from tests.conformance.client import connected
from tests.conformance.site import Site, dumped
from tests.fcgi.fastcgi import wire
from tests.fcgi.fastcgi.wire import begin, rec, stream

pytestmark = pytest.mark.process


def test_e01_a_kept_connection_stays(site: Site) -> None:
    with connected(site.address) as client:
        for _ in range(50):
            client.send(site.get(keep=True))
            assert client.answer().body == b"Hello World"
        assert client.is_silent(1.0)
        client.send(site.get())
        assert client.answer().status == 200


def test_e02_without_keep_conn_the_application_closes(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get(keep=True))
        client.answer()
        client.send(site.get())
        client.answer()
        assert client.is_at_end()


def test_e03_two_requests_at_once_are_served(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get(keep=True) + site.get(id=2, keep=True))
        assert client.answer(2).body == b"Hello World"
        assert client.answer(1).body == b"Hello World"


def test_e04_interleaved_streams_are_kept_apart(site: Site) -> None:
    one = wire.split(site.post("echo.lua", b"first " * 50, keep=True, chunk=64))[0]
    two = wire.split(site.post("echo.lua", b"second" * 50, keep=True, chunk=64))[0]
    with connected(site.address) as client:
        for a, b in zip(one, two, strict=True):
            client.send(rec(a.type, 1, a.content) + rec(b.type, 2, b.content))
        assert client.answer(1).body == b"first " * 50
        assert client.answer(2).body == b"second" * 50


def test_e05_a_quick_request_overtakes_a_slow_one(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get("slow.lua", QUERY_STRING="1", keep=True))
        client.send(site.get(id=2, keep=True))
        assert client.next_end() == 2
        assert client.answer(1).body == b"slow"


def test_e06_fifty_interleaved_requests_do_not_mix(site: Site) -> None:
    chance = random.Random(2026)
    bodies = {number: chance.randbytes(300) for number in range(1, 51)}
    queues = [
        wire.split(
            site.post("dump.lua", body, id=n, keep=True, chunk=50, MARK=f"mark {n}")
        )[0]
        for n, body in bodies.items()
    ]
    with connected(site.address) as client:
        while queues:
            queue = chance.choice(queues)
            part = queue.pop(0)
            client.send(rec(part.type, part.id, part.content))
            queues = [q for q in queues if q]
        for number, body in bodies.items():
            env, seen = dumped(client.answer(number).body)
            assert env[b"MARK"] == f"mark {number}".encode()
            assert seen == body


@pytest.mark.parametrize("is_whole", [False, True])
def test_e07_begin_for_an_active_id_ends_it(site: Site, is_whole: bool) -> None:
    first = site.get("slow.lua", QUERY_STRING="2", keep=True)
    with connected(site.address) as client:
        client.send((first if is_whole else begin(flags=1)) + begin(flags=1))
        assert all(r.type == wire.END for r in client.rest())
    assert site.is_well()


def test_e08_an_idle_connection_is_left_alone(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get(keep=True))
        client.answer()
        assert client.is_silent(4.0)
        client.send(site.get(keep=True))
        assert client.answer().body == b"Hello World"


def test_e09_a_request_without_keep_conn_waits_for_the_others(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get("slow.lua", QUERY_STRING="1", keep=True))
        client.send(site.get(id=2))
        assert client.next_end() == 2
        assert client.answer(2).status == 200
        assert client.answer(1).body == b"slow"
        assert client.is_at_end()


def test_e10_a_half_sent_request_is_given_up(site: Site) -> None:
    with connected(site.address) as client:
        client.send(begin(flags=1) + rec(wire.PARAMS, 1, b"\1"))
        assert client.answer().status == 408
        assert client.is_at_end()
    with connected(site.address) as client:
        client.send(begin(flags=1) + stream(wire.PARAMS, 1, b"")[:5])
        assert client.is_at_end()
