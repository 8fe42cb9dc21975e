"""B: name-value pairs and PARAMS."""

import itertools

import pytest

from tests.conformance.client import connected
from tests.conformance.site import Site, dumped
from tests.fcgi.fastcgi import wire
from tests.fcgi.fastcgi.wire import begin, rec, stream

pytestmark = pytest.mark.process


def base(site: Site, script: str = "dump.lua") -> bytes:
    return wire.blob(site.pairs(script))


def test_b01_lengths_come_in_four_forms(site: Site) -> None:
    sizes = [2, 100, 127, 128, 300]
    forms = itertools.product(sizes, sizes, (False, True), (False, True))
    pairs: dict[bytes, bytes] = {}
    data = base(site)
    for number, (name_size, size, *long) in enumerate(forms):
        name = b"%02d" % number + b"N" * (name_size - 2)
        pairs[name] = bytes([65 + number % 26]) * size
        data += wire.pair(name, pairs[name], (long[0], long[1]))
    answer = site.ask(wire.req(data))
    env, _ = dumped(answer.body)
    assert {name: env.get(name) for name in pairs} == pairs


def test_b02_record_boundaries_mean_nothing(site: Site) -> None:
    pairs = site.pairs("dump.lua", MARK="x" * 200)
    answer = site.ask(wire.req(pairs, chunk=1))
    assert dumped(answer.body)[0][b"MARK"] == b"x" * 200


def test_b03_a_name_may_be_cut_between_records(site: Site) -> None:
    first = base(site) + b"\x0b\x02SERVER_PORT80\x0b\x0eSER"
    data = begin() + rec(wire.PARAMS, 1, first)
    data += rec(wire.PARAMS, 1, b"VER_ADDR199.170.183.42") + rec(wire.PARAMS, 1)
    env, _ = dumped(site.ask(data + rec(wire.STDIN, 1)).body)
    assert env[b"SERVER_PORT"] == b"80"
    assert env[b"SERVER_ADDR"] == b"199.170.183.42"


def test_b04_a_value_may_be_longer_than_a_record(site: Site) -> None:
    value = "0123456789" * 10_000
    env, _ = dumped(site.ask(wire.req(site.pairs("dump.lua", LONG=value))).body)
    assert env[b"LONG"] == value.encode()


def test_b05_values_are_any_bytes(site: Site) -> None:
    values = {
        b"ALL": bytes(range(1, 256)),
        b"BLANKS": b"  \t ",
        b"EMPTY": b"",
        b"HTTP_X": b"\xff\xfe\r\n",
    }
    data = base(site) + wire.blob(list(values.items()))
    env, _ = dumped(site.ask(wire.req(data)).body)
    assert {name: env.get(name) for name in values} == values


@pytest.mark.parametrize(
    "odd",
    [
        wire.pair(b"", b"value"),
        wire.pair(b"", b""),
        wire.pair(b"=", b"="),
        wire.pair(b"A=B", b"C"),
        wire.pair(b"NUL\0NAME", b"value\0after"),
        wire.pair(b"QUERY_STRING", b"again") * 3,
        b"".join(wire.pair(b"N%d" % i, b"v") for i in range(3000)),
    ],
    ids=["empty-name", "empty", "equals", "equals-inside", "nul", "twice", "many"],
)
def test_b06_odd_pairs_do_no_harm(site: Site, odd: bytes) -> None:
    assert site.ask(wire.req(base(site) + odd)).status in {200, 400, 431}
    assert site.is_well()


@pytest.mark.parametrize(
    "tail",
    [
        b"\x04",
        b"\x04\x7fABCDxx",
        b"\xff" * 4,
        b"\x84\x00\x00",
        b"\x01\xff\xff\xff\xffA",
    ],
)
def test_b07_a_truncated_pair_is_refused_at_once(site: Site, tail: bytes) -> None:
    with connected(site.address) as client:
        client.send(wire.req(base(site) + tail, keep=True))
        assert client.answer().status == 400
        client.send(site.get(keep=True))
        assert client.answer().status == 200


def test_b08_a_second_end_of_params_is_ignored(site: Site) -> None:
    data = begin() + stream(wire.PARAMS, 1, base(site, "hello.lua"))
    data += rec(wire.PARAMS, 1) + rec(wire.STDIN, 1)
    assert site.ask(data).body == b"Hello World"


def test_b08_no_parameter_at_all_is_refused(site: Site) -> None:
    assert site.ask(begin() + rec(wire.PARAMS, 1) + rec(wire.STDIN, 1)).status >= 400
    assert site.ask(wire.req(wire.pair(b"X", b"y"))).status >= 400


def test_b09_nothing_is_said_before_params_end(site: Site) -> None:
    with connected(site.address) as client:
        client.send(begin() + rec(wire.PARAMS, 1, base(site, "hello.lua")))
        assert client.is_silent(0.5)
        client.send(rec(wire.PARAMS, 1) + rec(wire.STDIN, 1))
        assert client.answer().status == 200
