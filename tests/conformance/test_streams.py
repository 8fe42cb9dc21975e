"""C: STDIN, DATA, and records for ids that are not active."""

import os
import select
import tempfile

import pytest

from tests.conformance.client import connected
from tests.conformance.site import Site
from tests.fcgi.fastcgi import wire
from tests.fcgi.fastcgi.wire import begin, rec, stream

pytestmark = pytest.mark.process

MIB = bytes(i % 251 for i in range(1 << 20))


@pytest.mark.parametrize(
    ("body", "chunk"),
    [(b"abcdefghijklmnopqrstuvwxyz", 65535), (b"x" * 300, 1), (b"", 1)],
)
def test_c01_stdin_is_a_stream(site: Site, body: bytes, chunk: int) -> None:
    assert site.ask(site.post("echo.lua", body, chunk=chunk)).body == body


def test_c02_a_large_body_arrives_whole(site: Site) -> None:
    answer = site.ask(site.post("echo.lua", MIB, chunk=32768))
    assert answer.body == MIB


@pytest.mark.parametrize("length", [None, "", "-1"])
def test_c03_without_a_length_stdin_ends_the_body(
    site: Site, length: str | None
) -> None:
    body = b"0123456789" * 650
    pairs = site.pairs("echo.lua", length)
    pairs["REQUEST_METHOD"] = "POST"
    assert site.ask(wire.req(pairs, body, chunk=1000)).body == body


def test_c04_a_script_gets_at_most_content_length(site: Site) -> None:
    with connected(site.address) as client:
        client.send(wire.req(site.pairs("echo.lua", 5), b"0123456789", keep=True))
        assert client.answer().body == b"01234"
        client.send(site.get())
        assert client.answer().body == b"Hello World"


def test_c05_a_body_cut_short_is_refused_and_the_connection_in_step(site: Site) -> None:
    pairs = {**site.pairs("echo.lua", 100), "REQUEST_METHOD": "POST"}
    with connected(site.address) as client:
        client.send(wire.req(pairs, b"short", keep=True))
        assert client.answer().status == 400
        client.send(site.post("echo.lua", b"whole"))
        answer = client.answer()
    assert (answer.status, answer.body) == (200, b"whole")


def test_c06_an_unread_body_leaves_the_connection_in_step(site: Site) -> None:
    with connected(site.address) as client:
        for _ in range(2):
            client.send(site.post("deaf.lua", MIB, keep=True))
            assert client.answer().body == b"I did not listen"
        client.send(site.post("echo.lua", b"still in step"))
        assert client.answer().body == b"still in step"


def test_c07_a_client_may_write_all_before_it_reads(site: Site) -> None:
    body = MIB * 4
    with connected(site.address) as client:
        client.send(site.post("echo.lua", body))
        answer = client.answer()
        assert client.is_at_end()
    assert answer.body == body


def test_c08_late_stdin_of_an_ended_request_is_ignored(site: Site) -> None:
    params = wire.blob(site.pairs("echo.lua", 100))
    start = begin(flags=1) + stream(wire.PARAMS, 1, params)
    with connected(site.address) as client:
        client.send(start + rec(wire.STDIN, 1, b"part") + rec(wire.ABORT, 1))
        client.answer()
        client.send(rec(wire.STDIN, 1, b"late") * 3)
        client.send(site.post("echo.lua", b"clean", keep=True))
        assert client.answer().body == b"clean"


def test_c09_records_for_an_ended_id_are_ignored(site: Site) -> None:
    noise = b"".join(rec(kind, 1, b"x") for kind in (wire.STDIN, wire.PARAMS, 2, 8))
    with connected(site.address) as client:
        client.send(site.get(keep=True))
        client.answer()
        client.send(noise)
        assert client.is_silent(0.3)
        client.send(site.get(keep=True))
        assert client.answer().body == b"Hello World"


def test_c10_records_for_ids_never_begun_are_ignored(site: Site) -> None:
    noise = b"".join(
        rec(kind, number, b"x")
        for kind in (wire.PARAMS, wire.STDIN, wire.ABORT, wire.DATA)
        for number in (77, 78, 79)
    )
    parts = wire.split(site.post("echo.lua", b"mine", keep=True))[0]
    with connected(site.address) as client:
        client.send(noise)
        for part in parts:
            client.send(rec(part.type, 1, part.content) + noise)
        assert client.answer().body == b"mine"
        assert client.is_silent(0.2)


def test_c11_data_to_a_responder_leaves_its_body_alone(site: Site) -> None:
    data = begin() + stream(wire.PARAMS, 1, wire.blob(site.pairs("echo.lua", 4)))
    data += rec(wire.DATA, 1, b"noise") + rec(wire.STDIN, 1, b"bo")
    data += stream(wire.DATA, 1, b"noise") + stream(wire.STDIN, 1, b"dy")
    assert site.ask(data).body == b"body"


@pytest.mark.parametrize("length", ["abc", "-2", "9" * 20, "5x", "+4", " 4", "4 "])
def test_c12_a_length_that_is_none_is_refused(site: Site, length: str) -> None:
    with connected(site.address) as client:
        client.send(wire.req(site.pairs("echo.lua", length), b"body", keep=True))
        assert client.answer().status in {400, 413}
        client.send(site.get())
        assert client.answer().status == 200


def test_c13_a_client_that_waits_until_it_may_write_gets_its_body_through(
    site: Site,
) -> None:
    # as lighttpd does: the kernel keeps what `sendfile` gave it in large pieces
    body = MIB * 4
    with connected(site.address) as client, tempfile.TemporaryFile() as file:
        file.write(site.post("echo.lua", body))
        left = file.tell()
        file.flush()
        client.socket.setblocking(False)
        while left:
            assert select.select([], [client.socket], [], client.timeout)[1]
            at = file.tell() - left
            size = min(left, 60_000)
            left -= os.sendfile(client.socket.fileno(), file.fileno(), at, size)
        client.socket.settimeout(client.timeout)
        assert client.answer().body == body
