"""D: management records."""

import pytest

from tests.conformance.client import connected
from tests.conformance.site import Site
from tests.fcgi.fastcgi import wire
from tests.fcgi.fastcgi.wire import begin, rec

pytestmark = pytest.mark.process

NAMES = ("FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS")
ASK = rec(wire.GET_VALUES, 0, wire.blob(dict.fromkeys(NAMES, "")), pad=3)


def test_d01_values_are_told(site: Site) -> None:
    with connected(site.address) as client:
        client.send(ASK)
        result = client.management()
    assert (result.type, result.version, result.reserved) == (wire.RESULT, 1, 0)
    values = dict(wire.pairs_of(result.content))
    assert set(values) == {name.encode() for name in NAMES}
    assert int(values[b"FCGI_MAX_CONNS"]) >= 1
    assert int(values[b"FCGI_MAX_REQS"]) >= 1
    assert values[b"FCGI_MPXS_CONNS"] == b"1"


def test_d02_unknown_names_are_left_out(site: Site) -> None:
    query = wire.blob({"FCGI_MPXS_CONNS": "", "NO_SUCH": "", "X" * 200: ""})
    with connected(site.address) as client:
        client.send(rec(wire.GET_VALUES, 0, query) + rec(wire.GET_VALUES, 0))
        known, empty = client.management(), client.management()
    assert wire.pairs_of(known.content) == [(b"FCGI_MPXS_CONNS", b"1")]
    assert (empty.type, empty.content) == (wire.RESULT, b"")


def test_d03_values_may_be_asked_between_requests(site: Site) -> None:
    with connected(site.address) as client:
        for _ in range(2):
            client.send(ASK)
            assert client.management().type == wire.RESULT
            client.send(site.get(keep=True))
            assert client.answer().status == 200


def test_d04_values_may_be_asked_within_a_request(site: Site) -> None:
    parts = wire.split(site.post("echo.lua", b"the body", keep=True))[0]
    with connected(site.address) as client:
        for part in parts:
            client.send(rec(part.type, 1, part.content) + ASK)
        results = [client.management() for _ in parts]
        assert {r.type for r in results} == {wire.RESULT}
        assert client.answer().body == b"the body"


def test_d05_values_are_told_while_a_script_runs(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get("slow.lua", QUERY_STRING="1.5", keep=True) + ASK)
        first = client.record()
        assert first is not None
        assert (first.type, first.id) == (wire.RESULT, 0)
        assert client.answer().body == b"slow"


@pytest.mark.parametrize("kind", [12, 100, 255])
def test_d06_unknown_types_are_named_back(site: Site, kind: int) -> None:
    with connected(site.address) as client:
        client.send(rec(kind, 0))
        found = client.management()
        assert (found.type, found.content) == (wire.UNKNOWN, bytes([kind]) + bytes(7))
        client.send(site.get())
        assert client.answer().status == 200


def test_d07_unknown_types_may_have_content_and_padding(site: Site) -> None:
    parts = wire.split(site.post("echo.lua", b"intact", keep=True))[0][:4]
    with connected(site.address) as client:
        for part in parts:
            client.send(rec(part.type, 1, part.content))
            client.send(rec(200, 0, b"y" * 24, pad=11))
        client.send(rec(wire.STDIN, 1))
        for _ in parts:
            assert client.management().content[0] == 200
        assert client.answer().body == b"intact"


def test_d08_an_unknown_type_with_an_id_leaves_the_request_alone(site: Site) -> None:
    parts = wire.split(site.get(keep=True))[0]
    with connected(site.address) as client:
        for part in parts:
            client.send(rec(part.type, 1, part.content) + rec(99, 1, b"??"))
        assert client.answer().status == 200


def test_d09_types_that_only_applications_send_do_no_harm(site: Site) -> None:
    kinds = (wire.END, wire.STDOUT, wire.STDERR, wire.RESULT, wire.UNKNOWN)
    noise = b"".join(rec(kind, number, bytes(8)) for kind in kinds for number in (0, 1))
    with connected(site.address) as client:
        for part in wire.split(site.post("echo.lua", b"intact", keep=True))[0]:
            client.send(noise + rec(part.type, 1, part.content))
        assert client.answer().body == b"intact"


@pytest.mark.parametrize("query", [b"\x0f\x00FCGI_MAX", b"\xff" * 4, b"\x01"])
def test_d10_a_malformed_query_stops_nobody(site: Site, query: bytes) -> None:
    with connected(site.address) as client, connected(site.address) as other:
        client.send(rec(wire.GET_VALUES, 0, query))
        other.send(site.get())
        assert other.answer().status == 200
        assert client.management().type == wire.RESULT


def test_d11_application_records_never_have_id_0(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get(id=0))
        assert client.is_at_end()
    with connected(site.address) as client:
        client.send(begin(0))
        assert client.is_at_end()
