import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcgi.cgi import params
from luafarm.errors import ProtocolError
from tests.fcgi.fastcgi import wire

ANY = 1 << 30
some_pairs = st.lists(st.tuples(st.binary(max_size=200), st.binary(max_size=300)))


@given(some_pairs)
def test_pairs_are_read_back(pairs: list[tuple[bytes, bytes]]) -> None:
    data = params.encode_pairs(pairs)
    assert data == wire.blob(pairs)
    assert params.decode_pairs(data) == pairs == wire.pairs_of(data)
    params.route(data, ANY)


@given(st.lists(st.tuples(st.binary(max_size=200), st.booleans(), st.booleans())))
def test_long_lengths_of_short_strings_count_as_well(
    items: list[tuple[bytes, bool, bool]],
) -> None:
    data = b"".join(wire.pair(b"N", v, (a, b)) for v, a, b in items)
    assert params.decode_pairs(data) == [(b"N", v) for v, _, _ in items]
    params.route(data, ANY)


@given(st.binary(max_size=300))
def test_route_and_decode_agree_on_what_is_malformed(data: bytes) -> None:
    def outcome(read: str) -> str:
        try:
            if read == "route":
                params.route(data, ANY)
            else:
                params.decode_pairs(data)
        except params.MalformedPairsError:
            return "malformed"
        return "pairs"

    assert outcome("route") == outcome("decode")


@given(some_pairs, st.data())
def test_every_proper_prefix_ends_with_a_pair_or_is_malformed(
    pairs: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    whole = params.encode_pairs(pairs)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    found, rest = params.decode_prefix(cut)
    assert found == pairs[: len(found)]
    if rest:
        with pytest.raises(params.MalformedPairsError):
            params.route(cut, ANY)
    else:
        assert params.encode_pairs(found) == cut


def test_route_gives_what_routes_a_genuine_request() -> None:
    found = params.route(wire.blob(wire.NGINX), 200)
    assert found == (b"/srv/www/hello.lua", b"GET", b"")


def test_the_last_of_several_values_counts() -> None:
    data = wire.blob(
        [
            (b"SCRIPT_FILENAME", b"/one"),
            (b"REQUEST_METHOD", b"GET"),
            (b"SCRIPT_FILENAME", b"/two"),
            (b"CONTENT_LENGTH", b"1"),
            (b"CONTENT_LENGTH", b"2"),
        ]
    )
    assert params.route(data, ANY) == (b"/two", b"GET", b"2")
    assert params.find(data, b"SCRIPT_FILENAME") == b"/two"


def test_names_count_in_their_exact_form_only() -> None:
    data = wire.blob(
        [(b"script_filename", b"/x"), (b"HTTP_CONTENT_LENGTH", b"9"), (b"A", b"B")]
    )
    assert params.route(data, ANY) == (b"", b"", b"")


def test_find_tells_absent_from_empty_and_from_mentioned() -> None:
    data = wire.blob([(b"A", b""), (b"X", b"PATH_INFO")])
    assert params.find(data, b"A") == b""
    assert params.find(data, b"PATH_INFO") is None
    assert params.find(data, b"NOWHERE") is None


def test_a_pair_over_the_limit_is_named_with_it() -> None:
    data = wire.blob([(b"NAME", b"v" * 97)])
    assert params.route(data, 101) == (b"", b"", b"")
    with pytest.raises(params.LongPairError, match=r"101 bytes; the limit is 100"):
        params.route(data, 100)


@pytest.mark.parametrize(
    "tail",
    [
        b"\x04",
        b"\x04\x7fABCDxx",
        b"\xff\xff\xff\xff",
        b"\x84\x00\x00",
        b"\x01\xff\xff\xff\xffA",
        b"\x01\x80\x00\x00",
        b"\x80\x00\x00\x01",
    ],
)
def test_a_truncated_pair_is_malformed(tail: bytes) -> None:
    data = wire.blob([(b"A", b"B")]) + tail
    with pytest.raises(ProtocolError, match="runs past their end"):
        params.route(data, 100)
    with pytest.raises(params.MalformedPairsError):
        params.decode_pairs(data)
    assert params.decode_prefix(data) == ([(b"A", b"B")], len(tail))
