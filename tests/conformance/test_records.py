"""A: records and framing."""

import pytest

from tests.conformance.client import connected
from tests.conformance.site import Site, dumped
from tests.fcgi.fastcgi import wire
from tests.fcgi.fastcgi.wire import begin, rec, stream

pytestmark = pytest.mark.process

PADS = [1, 7, 8, 100, 255]
BODY = bytes(range(256)) * 4


def test_a01_a_responder_answers_and_closes(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get())
        answer = client.answer()
        assert client.is_at_end()
    assert (answer.status, answer.body) == (200, b"Hello World")
    assert answer.records[-1].content == bytes(8)


def test_a02_all_records_carry_the_requests_id(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get(id=7))
        found = client.rest()
    assert {r.id for r in found} == {7}
    assert [r.type for r in found] == [wire.STDOUT, wire.STDOUT, wire.END]


def test_a03_stdout_is_ended_by_one_empty_record(site: Site) -> None:
    for script in ("hello.lua", "stream.lua", "fail.lua", "absent.lua"):
        answer = site.ask(site.get(script))  # checks every stream
        assert [r.content for r in answer.records if r.type == wire.STDOUT][-1] == b""


@pytest.mark.parametrize("size", [1000, 1001, 1003, 1006])
def test_a04_records_sit_on_eight_bytes(site: Site, size: int) -> None:
    answer = site.ask(site.post("echo.lua", b"x" * size))
    assert answer.body == b"x" * size
    assert all((len(r.content) + r.padding) % 8 == 0 for r in answer.records)


def test_a05_one_byte_per_write_is_a_request(site: Site) -> None:
    data = site.post("echo.lua", b"byte by byte")
    with connected(site.address) as client:
        client.send_apart([data[i : i + 1] for i in range(len(data))])
        assert client.answer().body == b"byte by byte"


def test_a06_a_request_may_be_cut_anywhere(site: Site) -> None:
    data = site.post("echo.lua", BODY, pad=5)
    params = data.index(b"SCRIPT_FILENAME")
    stdin = data.index(BODY)
    cuts = [
        *(1, 2, 4, 5, 6, 7, 8, 9, 16, 17, 21, 22, 25, params + 3, params + 16),
        *(stdin - 8, stdin - 3, stdin, stdin + 100, stdin + len(BODY) + 2),
        *(len(data) - 5, len(data) - 1),
    ]
    for cut in cuts:
        with connected(site.address) as client:
            client.send_apart([data[:cut], data[cut:]])
            assert client.answer().body == BODY, f"cut at {cut}"


@pytest.mark.parametrize("pad", PADS)
def test_a07_padding_is_skipped(site: Site, pad: int) -> None:
    answer = site.ask(site.post("echo.lua", BODY, pad=pad))
    assert (answer.status, answer.body) == (200, BODY)


def test_a08_padding_is_skipped_on_a_kept_connection(site: Site) -> None:
    with connected(site.address) as client:
        for pad in (3, 5, 200, 9):
            body = b"%d" % pad * 40
            client.send(site.post("echo.lua", body, pad=pad, keep=True))
            assert client.answer().body == body


def test_a09_unknown_flags_and_reserved_bytes_mean_nothing(site: Site) -> None:
    params = stream(wire.PARAMS, 1, wire.blob(site.pairs("hello.lua")))
    with connected(site.address) as client:
        client.send(begin(flags=0xFF) + params + rec(wire.STDIN, 1))
        assert client.answer().status == 200
        head = rec(wire.BEGIN, 1, b"\0\1\xfe" + b"\xff" * 5, reserved=255)
        tail = rec(wire.PARAMS, 1, b"", reserved=255)
        middle = rec(wire.PARAMS, 1, wire.blob(site.pairs("hello.lua")), reserved=7)
        client.send(head + middle + tail + rec(wire.STDIN, 1, b"", reserved=1))
        assert client.answer().status == 200
        assert client.is_at_end()


def test_a10_content_has_up_to_65535_bytes_and_padding_255(site: Site) -> None:
    pairs = site.pairs("dump.lua", 65535)
    fixed = len(wire.blob({**pairs, "LONG": "x" * 300})) - 300
    value = "v" * (65535 - fixed)
    pairs["LONG"] = value
    body = bytes(range(255)) * 257
    data = begin(pad=255) + rec(wire.PARAMS, 1, wire.blob(pairs), 255)
    data += rec(wire.PARAMS, 1, b"", 255) + rec(wire.STDIN, 1, body, 255)
    answer = site.ask(data + rec(wire.STDIN, 1, b"", 255))
    env, seen = dumped(answer.body)
    assert len(wire.blob(pairs)) == len(body) == 65535
    assert env[b"LONG"] == value.encode()
    assert seen == body


@pytest.mark.parametrize("request_id", [2, 255, 256, 258, 32768, 65535])
def test_a11_ids_have_sixteen_bits(site: Site, request_id: int) -> None:
    with connected(site.address) as client:
        client.send(site.get(id=request_id))
        found = client.rest()
    assert {r.id for r in found} == {request_id}
    assert found[-1].type == wire.END


def test_a12_another_version_is_never_answered(site: Site) -> None:
    data = bytearray(site.get())
    data[0] = 2
    with connected(site.address) as client:
        client.send(bytes(data))
        assert client.is_at_end()
    assert site.is_well()
