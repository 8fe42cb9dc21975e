"""F: roles, and G: abort."""

import contextlib

import pytest

from tests.conformance.client import connected
from tests.conformance.site import Site
from tests.fcgi.fastcgi import wire
from tests.fcgi.fastcgi.wire import begin, rec, stream

pytestmark = pytest.mark.process

ABORT = rec(wire.ABORT, 1)


@pytest.mark.parametrize("role", [0, 4, 9, 65535])
def test_f01_an_unknown_role_is_refused(site: Site, role: int) -> None:
    with connected(site.address) as client:
        client.send(site.get(role=role, keep=True))
        answer = client.answer()
        assert (answer.protocol_status, len(answer.records)) == (3, 1)
        client.send(site.get(keep=True))
        assert client.answer().status == 200


def test_f02_a_refused_request_without_keep_conn_closes(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get(role=9))
        assert client.answer().protocol_status == 3
        assert client.is_at_end()


def test_f03_an_authorizer_gets_no_stdin(site: Site) -> None:
    params = stream(wire.PARAMS, 1, wire.blob(site.pairs("hello.lua")))
    with connected(site.address) as client:
        client.send(begin(role=2, flags=1) + params)
        assert client.answer().body == b"Hello World"


def test_f04_an_authorizer_tolerates_an_empty_stdin(site: Site) -> None:
    with connected(site.address) as client:
        for _ in range(2):
            client.send(site.get(role=2, keep=True))
            assert client.answer().body == b"Hello World"
        client.send(site.get())
        assert client.answer().status == 200
        assert client.is_at_end()


def test_f05_a_filter_is_run_when_stdin_and_data_are_in(site: Site) -> None:
    pairs = site.pairs("echo.lua", 6, FCGI_DATA_LENGTH="10000", FCGI_DATA_LAST_MOD="0")
    data = b"filter me " * 1000
    with connected(site.address) as client:
        client.send(begin(role=3, flags=1) + stream(wire.PARAMS, 1, wire.blob(pairs)))
        client.send(rec(wire.STDIN, 1, b"std"))
        client.send(rec(wire.STDIN, 1, b"in.") + rec(wire.STDIN, 1))
        assert client.is_silent(0.2)
        client.send(stream(wire.DATA, 1, data, chunk=3000))
        assert client.answer().body == b"stdin."


def test_g01_abort_of_a_running_request_ends_it(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get("slow.lua", QUERY_STRING="20", keep=True))
        client.send(ABORT)
        answer = client.answer()
        assert (answer.protocol_status, answer.body) == (0, b"")
        client.send(site.get(keep=True))
        assert client.answer().body == b"Hello World"


def test_g01_an_aborted_script_stops(site: Site) -> None:
    with connected(site.address) as client:
        for _ in range(4):
            client.send(site.get("slow.lua", QUERY_STRING="20", keep=True) + ABORT)
            client.answer()
        client.send(site.get("slow.lua", QUERY_STRING="0", keep=True))
        assert client.answer().body == b"slow"


@pytest.mark.parametrize("when", ["g02-params", "g03-stdin", "g04-begin"])
def test_g02_g03_g04_abort_of_a_half_sent_request_ends_it(
    site: Site, when: str
) -> None:
    sent = begin(flags=1)
    if when == "g02-params":
        sent += rec(wire.PARAMS, 1, wire.blob(site.pairs("echo.lua", 9))[:50])
    if when == "g03-stdin":
        sent += stream(wire.PARAMS, 1, wire.blob(site.pairs("echo.lua", 9)))
        sent += rec(wire.STDIN, 1, b"part")
    with connected(site.address) as client:
        client.send(sent + ABORT)
        answer = client.answer()
        assert (answer.protocol_status, answer.body) == (0, b"")
        client.send(site.post("echo.lua", b"next", keep=True))
        assert client.answer().body == b"next"


def test_g05_abort_without_keep_conn_closes(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get("slow.lua", QUERY_STRING="20") + ABORT)
        assert client.answer().body == b""
        assert client.is_at_end()


def test_g06_abort_of_one_leaves_the_other(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get("slow.lua", QUERY_STRING="20", keep=True))
        client.send(site.get("slow.lua", id=2, QUERY_STRING="0.5", keep=True))
        client.send(ABORT)
        assert client.answer(1).body == b""
        assert client.answer(2).body == b"slow"


def test_g07_a_second_abort_and_the_scripts_end_are_silent(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get("slow.lua", QUERY_STRING="2", keep=True))
        client.send(rec(wire.ABORT, 1, b"content", pad=9) * 2)
        client.answer()
        assert client.is_silent(3.0)
        client.send(site.get(keep=True))
        assert client.answer().body == b"Hello World"


def test_g08_closing_is_an_abort(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            client = stack.enter_context(connected(site.address))
            client.send(site.get("slow.lua", QUERY_STRING="20"))
            client.wait_until_heard()
    for _ in range(12):
        with connected(site.address) as client:
            client.send(site.get("slow.lua", QUERY_STRING="0"))
            assert client.answer().body == b"slow"
