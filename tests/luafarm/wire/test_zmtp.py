"""ZMTP by itself: what RFC 37 says, cut anywhere, and what hostile peers send."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luafarm.errors import ProtocolError
from luafarm.wire import zmtp
from luafarm.wire.zmtp import DEALER, ROUTER, Session

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
OPENING = GREETING + READY
# a READY as libzmq writes it, with an identity of no bytes
LIBZMQ_READY = b"\x04\x29" + READY[2:] + b"\x08Identity\x00\x00\x00\x00"
PING = b"\x04\x0a\x04PING\x00\x64abc"
PONG = b"\x04\x08\x04PONGabc"


def router(max_frame: int = 1000) -> Session:
    return Session(ROUTER, DEALER, max_frame)


def framed(frame: bytes) -> bytes:
    return zmtp.head(len(frame)) + frame


def test_the_opening_is_greeting_and_ready() -> None:
    assert Session(DEALER, ROUTER).opening() == OPENING


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x00\x00"),
        (255, b"\x00\xff"),
        (256, b"\x02\x00\x00\x00\x00\x00\x00\x01\x00"),
        (1 << 32, b"\x02\x00\x00\x00\x01\x00\x00\x00\x00"),
    ],
)
def test_a_frame_is_short_up_to_255_bytes(size: int, head: bytes) -> None:
    assert zmtp.head(size) == head


@pytest.mark.parametrize("ready", [READY, LIBZMQ_READY])
def test_a_session_is_ready_after_greeting_and_ready(ready: bytes) -> None:
    session = router()
    steps = [(session.receive(data), session.is_ready) for data in (GREETING, ready)]
    assert steps == [([], False), ([], True)]
    assert session.answers == b""


@given(
    st.lists(st.binary(max_size=600), max_size=6),
    st.lists(st.integers(0, 3000), max_size=20),
)
def test_frames_come_out_as_they_went_in_wherever_they_are_cut(
    frames: list[bytes], cuts: list[int]
) -> None:
    data = OPENING + b"".join(map(framed, frames))
    session = router()
    got: list[bytes] = []
    places = sorted({0, len(data), *[c for c in cuts if c < len(data)]})
    for start, end in pairwise(places):
        got += session.receive(data[start:end])
    assert got == frames
    assert session.wanted == 0


def test_what_a_begun_frame_lacks_is_known() -> None:
    session = router()
    session.receive(OPENING)
    session.receive(framed(bytes(900))[:100])
    assert session.wanted == 900 + 9 - 100
    session.receive(bytes(300))
    assert session.wanted == 900 + 9 - 400
    assert session.receive(bytes(509)) == [bytes(900)]
    assert session.wanted == 0


def test_a_ping_is_answered_with_its_context_and_each_of_several() -> None:
    session = router()
    assert session.receive(OPENING + PING + framed(b"x") + PING) == [b"x"]
    assert session.answers == PONG + PONG


@given(st.integers(1, 5), st.lists(st.binary(max_size=300), max_size=20))
def test_no_more_is_taken_at_a_time_than_asked_for_and_nothing_is_lost(
    most: int, frames: list[bytes]
) -> None:
    data = OPENING + b"".join([PING + framed(f) for f in frames]) + framed(b"x")[:1]
    session = router()
    got = session.receive(data, most)
    while session.has_more:
        assert session.wanted == 0
        before = len(got)
        got += session.receive(b"", most)
        assert len(got) - before <= most
    assert got == frames
    assert session.commands == len(frames)
    assert session.answers == PONG * len(frames)
    assert session.receive(framed(b"x")[1:]) == [b"x"]


def test_what_comes_before_the_rest_was_taken_stands_behind_it() -> None:
    session = router()
    assert session.receive(OPENING + framed(b"1") + framed(b"2"), 2) == [b"1"]
    assert session.has_more
    assert session.receive(framed(b"3")) == [b"2", b"3"]
    assert not session.has_more


def test_commands_that_nobody_knows_are_passed_over() -> None:
    session = router()
    assert session.receive(OPENING + b"\x04\x03\x02XY" + framed(b"x")) == [b"x"]


BAD: dict[str, tuple[bytes, str]] = {
    "no signature": (b"GET / HTTP/1.1\r\n".ljust(64), "signature"),
    "an old version": (GREETING[:10] + b"\x02" + GREETING[11:], "ZMTP 2"),
    "keys": (GREETING[:12] + b"CURVE".ljust(20, b"\0") + bytes(32), "'CURVE'"),
    "a message first": (GREETING + framed(b"x"), "before READY"),
    "a message of several frames": (OPENING + b"\x01\x01x", "of several frames"),
    "a message of several first": (GREETING + b"\x01\x01x", "of several frames"),
    "a PING with much": (OPENING + b"\x04\x18\x04PING\x00\x64" + bytes(17), "17 b.*16"),
    "a command first": (GREETING + PING, "before READY"),
    "another type": (GREETING + READY.replace(b"\x06DEALER", b"\x06ROUTER"), "ROUTER"),
    "no type": (GREETING + b"\x04\x06\x05READY", "type b''"),
    "cut metadata": (GREETING + b"\x04\x0a\x05READY\x03abc", "metadata"),
    "metadata beyond its end": (
        GREETING + b"\x04\x0e\x05READY\x03abc\x00\x00\xff\xff",
        "metadata",
    ),
    "an error": (GREETING + b"\x04\x0a\x05ERROR\x03bad", "ERROR: bad"),
    "reserved flags": (OPENING + b"\x08\x01x", "flags 0x08"),
    "a command with more": (OPENING + b"\x05\x01x", "flags 0x05"),
    "too large": (OPENING + zmtp.head(1001), "1001 bytes; the limit is 1000"),
    "far too large": (OPENING + b"\x02" + b"\xff" * 8, "the limit is 1000"),
    "a large command": (OPENING + b"\x06" + (5000).to_bytes(8, "big"), "4096"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_zmtp_is_refused_for_what_it_is(name: str) -> None:
    data, reason = BAD[name]
    with pytest.raises(ProtocolError, match=reason):
        router().receive(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_a_protocol_error(data: bytes) -> None:
    for start in (b"", GREETING, OPENING):
        session = router()
        try:
            for frame in session.receive(start + data):
                assert frame in data
        except ProtocolError:
            continue
