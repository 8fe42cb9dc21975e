"""The machine of an HTTP connection: bytes in, requests out, replies to bytes."""

import dataclasses
import gc
import weakref
from collections.abc import Callable
from typing import NamedTuple

import pytest

from fcgi.arrival import Limits
from fcgi.cgi.refusal import Refusal
from fcgi.closing import CLOSE, HALF_CLOSE_S, LINGER, LINGER_S, OPEN, SPARE_S
from fcgi.http.connection import SLOWEST, Connection
from fcgi.http.request import MAX_FIELDS, Aborted, Chunk, Event, Request

KIB = 1024
LIMITS = Limits(
    max_connections=8,
    requests_per_connection=8,
    max_params=16 * KIB,
    max_param=8 * KIB,
    max_body=100,
    inline_body=30,
    idle_s=75.0,
    receive_s=60.0,
    send_s=60.0,
)
LONG = Limits(
    max_connections=8,
    requests_per_connection=8,
    max_params=16 * KIB,
    max_param=8 * KIB,
    max_body=1 << 20,
    inline_body=1 << 20,
    idle_s=75.0,
    receive_s=60.0,
    send_s=60.0,
)
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
HEAD = b"Status: 200 OK\r\nContent-Length: 2\r\n\r\n"
STREAM = b"Status: 200 OK\r\n\r\n"
GET = b"GET /a.lua?b=c HTTP/1.1\r\nHost: x\r\n\r\n"
NEXT = b"GET /next.lua HTTP/1.1\r\nHost: x\r\n\r\n"


def get(*lines: bytes, target: bytes = b"/a.lua", version: bytes = b"1.1") -> bytes:
    first = b"GET %b HTTP/%b" % (target, version)
    return b"\r\n".join([first, b"Host: x", *lines, b"", b""])


def post(body: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    first = b"POST /a.lua HTTP/" + version
    return b"\r\n".join([first, b"Host: x", *lines, b"", b""]) + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    return post(body, b"Transfer-Encoding: chunked", *lines)


class Got(NamedTuple):
    """A request as it arrived, its body put together."""

    refusal: Refusal | None
    method: bytes
    uri: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    is_spooled: bool


def arrived(events: list[Event]) -> list[Got]:
    """Return the requests, and assert that their chunks come before them."""
    found: list[Got] = []
    spooled: dict[Request, bytes] = {}
    for event in events:
        if isinstance(event, Chunk):
            spooled[event.request] = spooled.get(event.request, b"") + event.data
        elif isinstance(event, Request):
            body = spooled.get(event, b"") + event.body
            assert event.body_spooled == (event in spooled)
            assert event.refusal is not None or len(body) == event.body_bytes
            found.append(
                Got(
                    event.refusal,
                    event.method,
                    event.target.uri,
                    event.fields,
                    body,
                    event.body_spooled,
                )
            )
    return found


def requests(events: list[Event]) -> list[Request]:
    return [event for event in events if isinstance(event, Request)]


def whole(machine: Connection, data: bytes) -> list[Event]:
    return machine.receive(data, 0.0)


def byte_by_byte(machine: Connection, data: bytes) -> list[Event]:
    events: list[Event] = []
    for at in range(len(data)):
        events += machine.receive(data[at : at + 1], 0.0)
        machine.check()
    return events


def step_by_step(machine: Connection, data: bytes) -> list[Event]:
    events = machine.receive(data, 0.0, 1)
    while machine.has_more:
        assert not machine.is_idle()
        events += machine.receive(b"", 0.0, 1)
    return events


def with_a_tail(machine: Connection, data: bytes) -> list[Event]:
    return machine.receive(data + NEXT, 0.0)


Way = Callable[[Connection, bytes], list[Event]]
WAYS: list[Way] = [whole, byte_by_byte, step_by_step, with_a_tail]


def one(machine: Connection, data: bytes, way: Way = whole) -> Request:
    """Give the machine one request and return it."""
    (request,) = requests(way(machine, data))
    machine.check()
    return request


def answer(machine: Connection, request: Request, head: bytes = HEAD) -> bytes:
    out = machine.reply(request, head, b"hi", DATE)
    machine.check()
    return out


# ---- what arrives --------------------------------------------------------------------

X = (b"host", b"x")
TAKEN: dict[str, tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]] = {
    "a GET": (GET, b"/a.lua?b=c", [X], b""),
    "empty lines before it (RFC 9112, 2.2)": (
        b"\r\n\r\n" + GET,
        b"/a.lua?b=c",
        [X],
        b"",
    ),
    "lines that end with LF alone (2.2)": (
        b"GET /a.lua HTTP/1.1\nHost: x\n\n",
        b"/a.lua",
        [X],
        b"",
    ),
    "an empty Host (3.2)": (
        b"GET /a.lua HTTP/1.1\r\nHost:\r\n\r\n",
        b"/a.lua",
        [(b"host", b"")],
        b"",
    ),
    "a Host that is an address": (
        b"GET /a.lua HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        b"/a.lua",
        [(b"host", b"[::1]:80")],
        b"",
    ),
    "HTTP/1.0 without a Host": (b"GET /a.lua HTTP/1.0\r\n\r\n", b"/a.lua", [], b""),
    "HTTP/1.2 (2.5)": (get(version=b"1.2"), b"/a.lua", [X], b""),
    "an absolute target, whose host counts (3.2.2)": (
        get(target=b"http://y:80/a.lua?b"),
        b"/a.lua?b",
        [(b"host", b"y:80")],
        b"",
    ),
    "an absolute target without a path": (
        get(target=b"HTTP://y?b"),
        b"/?b",
        [(b"host", b"y")],
        b"",
    ),
    "an unknown method (RFC 9110, 9.1)": (
        b"BREW /a.lua HTTP/1.1\r\nHost: x\r\n\r\n",
        b"/a.lua",
        [X],
        b"",
    ),
    "a name without a value, blanks around one, bytes beyond ASCII": (
        get(b"A:", b"B: \t b c \t", b"C: \xe9"),
        b"/a.lua",
        [X, (b"a", b""), (b"b", b"b c"), (b"c", b"\xe9")],
        b"",
    ),
    "a body": (
        post(b" a\r\n\r\nb", b"Content-Length: 7"),
        b"/a.lua",
        [X, (b"content-length", b"7")],
        b" a\r\n\r\nb",
    ),
    "a body of no bytes": (
        post(b"", b"Content-Length: 0"),
        b"/a.lua",
        [X, (b"content-length", b"0")],
        b"",
    ),
    "the same length twice (6.3)": (
        post(b"ab", b"Content-Length: 2", b"Content-Length: 2"),
        b"/a.lua",
        [X, (b"content-length", b"2")],
        b"ab",
    ),
    "a body in chunks with extensions and trailers (7.1)": (
        chunked(b'3;a="b"\r\nabc\r\n02\r\nde\r\n0;c\r\nX-T: 1\r\nX-U: 2\r\n\r\n'),
        b"/a.lua",
        [X, (b"transfer-encoding", b"chunked")],
        b"abcde",
    ),
    "no chunks at all": (
        chunked(b"0\r\n\r\n"),
        b"/a.lua",
        [X, (b"transfer-encoding", b"chunked")],
        b"",
    ),
    "a long body": (
        post(b"x" * 100, b"Content-Length: 100"),
        b"/a.lua",
        [X, (b"content-length", b"100")],
        b"x" * 100,
    ),
    "a long body in chunks": (
        chunked(b"32\r\n%b\r\n" % (b"y" * 50) * 2 + b"0\r\n\r\n"),
        b"/a.lua",
        [X, (b"transfer-encoding", b"chunked")],
        b"y" * 100,
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", TAKEN.values(), ids=TAKEN)
def test_a_request_arrives_as_it_was_sent(
    case: tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes], way: Way
) -> None:
    sent, uri, fields, body = case
    machine = Connection(LIMITS, 0.0)
    events = way(machine, sent)
    machine.check()
    is_spooled = len(body) > LIMITS.inline_body
    method = sent.split()[0]
    expected = Got(None, method, uri, fields, body, is_spooled)
    assert arrived(events) == [expected]
    assert (machine.closing, machine.data_to_send()) == (OPEN, b"")


LONG_LINE = b"X: " + b"x" * LIMITS.max_params
REFUSED: dict[str, tuple[bytes, Refusal]] = {
    # requests that two readers may understand in two ways
    "a length and chunks (RFC 9112, 6.3)": (
        chunked(b"0\r\n\r\n", b"Content-Length: 5"),
        Refusal.MALFORMED,
    ),
    "chunks in HTTP/1.0 (6.1)": (
        post(b"0\r\n\r\n", b"Transfer-Encoding: chunked", version=b"1.0"),
        Refusal.MALFORMED,
    ),
    "another coding (6.1)": (
        post(b"", b"Transfer-Encoding: gzip, chunked"),
        Refusal.NOT_IMPLEMENTED,
    ),
    "a coding twice": (
        chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked"),
        Refusal.NOT_IMPLEMENTED,
    ),
    "two lengths (6.3)": (
        post(b"ab", b"Content-Length: 1", b"Content-Length: 2"),
        Refusal.MALFORMED,
    ),
    "two lengths in a line": (post(b"", b"Content-Length: 1, 2"), Refusal.MALFORMED),
    "a length with a sign": (post(b"", b"Content-Length: +1"), Refusal.MALFORMED),
    "a length below nothing": (post(b"", b"Content-Length: -1"), Refusal.MALFORMED),
    "a length of another base": (post(b"", b"Content-Length: 0x1"), Refusal.MALFORMED),
    "an empty length": (post(b"", b"Content-Length:"), Refusal.MALFORMED),
    "a folded line (5.2)": (get(b"X-A: b", b" c"), Refusal.MALFORMED),
    "a folded line with a tab": (get(b"X-A: b", b"\t"), Refusal.MALFORMED),
    "a fold after LF": (
        b"GET /a.lua HTTP/1.1\nHost: x\nX-A: b\n c\n\n",
        Refusal.MALFORMED,
    ),
    "a fold at first": (
        b"GET /a.lua HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n",
        Refusal.MALFORMED,
    ),
    "a blank before the colon (5.1)": (
        get(b"Content-Length : 5"),
        Refusal.MALFORMED,
    ),
    "a CR in a value (2.2)": (get(b"X: a\rb"), Refusal.MALFORMED),
    "a CR at the end of a value": (get(b"X: a\r"), Refusal.MALFORMED),
    "a NUL in a value (RFC 9110, 5.5)": (get(b"X: a\0b"), Refusal.MALFORMED),
    "two hosts (3.2)": (get(b"Host: x"), Refusal.MALFORMED),
    "no host (3.2)": (b"GET /a.lua HTTP/1.1\r\n\r\n", Refusal.MALFORMED),
    "no host in HTTP/1.2": (b"GET /a.lua HTTP/1.2\r\n\r\n", Refusal.MALFORMED),
    "a host that is none": (
        b"GET /a.lua HTTP/1.1\r\nHost: a/b@c\r\n\r\n",
        Refusal.MALFORMED,
    ),
    "a chunk that ends elsewhere": (
        chunked(b"2\r\nabXX0\r\n\r\n"),
        Refusal.MALFORMED,
    ),
    "a chunk's length that ends with LF alone (7.1)": (
        chunked(b"2\nab\r\n0\r\n\r\n"),
        Refusal.MALFORMED,
    ),
    "a chunk's length with a base": (
        chunked(b"0x2\r\nab\r\n0\r\n\r\n"),
        Refusal.MALFORMED,
    ),
    "a chunk's length without digits": (
        chunked(b";a\r\nab\r\n0\r\n\r\n"),
        Refusal.MALFORMED,
    ),
    "a chunk's extension with LF": (
        chunked(b"2;a\nb\r\nab\r\n0\r\n\r\n"),
        Refusal.MALFORMED,
    ),
    "a trailer that is none": (
        chunked(b"2\r\nab\r\n0\r\nno colon\r\n\r\n"),
        Refusal.MALFORMED,
    ),
    # no HTTP, or not for us
    "a line without a colon": (get(b"no colon"), Refusal.MALFORMED),
    "a name that is none": (get(b"a(b): c"), Refusal.MALFORMED),
    "two blanks in the first line": (
        b"GET  /a.lua HTTP/1.1\r\nHost: x\r\n\r\n",
        Refusal.MALFORMED,
    ),
    "a blank in the target": (get(target=b"/a lua"), Refusal.MALFORMED),
    "HTTP/0.9": (b"GET /a.lua\r\n\r\n", Refusal.MALFORMED),
    "HTTP/2.0 (RFC 9110, 15.6.6)": (get(version=b"2.0"), Refusal.VERSION_UNKNOWN),
    "HTTP/0.9 said aloud": (get(version=b"0.9"), Refusal.VERSION_UNKNOWN),
    "the preface of HTTP/2": (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        Refusal.VERSION_UNKNOWN,
    ),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", Refusal.MALFORMED),
    "a blank at first": (b" " + GET, Refusal.MALFORMED),
    "a tunnel (RFC 9110, 9.3.6)": (
        b"CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n",
        Refusal.NOT_IMPLEMENTED,
    ),
    "a tunnel to a script": (
        b"CONNECT /a.lua HTTP/1.1\r\nHost: x\r\n\r\n",
        Refusal.NOT_IMPLEMENTED,
    ),
    "an asterisk": (
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        Refusal.BAD_PATH,
    ),
    "a target that is no path": (get(target=b"a.lua"), Refusal.BAD_PATH),
    "another scheme": (get(target=b"https://x/a.lua"), Refusal.BAD_PATH),
    "an absolute target with a user": (get(target=b"http://u@x/a"), Refusal.BAD_PATH),
    "an absolute target without a host": (get(target=b"http:///a"), Refusal.BAD_PATH),
    "a fragment": (get(target=b"/a.lua#b"), Refusal.BAD_PATH),
    # too much
    "a long line": (get(LONG_LINE), Refusal.PARAMS_TOO_LARGE),
    "a long line that does not end": (get(LONG_LINE)[:-2], Refusal.PARAMS_TOO_LARGE),
    "many lines": (get(*[b"a:"] * MAX_FIELDS), Refusal.PARAMS_TOO_LARGE),
    "many trailers": (
        chunked(b"0\r\n" + b"a:\r\n" * 4000 + b"\r\n"),
        Refusal.PARAMS_TOO_LARGE,
    ),
    "many trailers behind small chunks": (
        chunked(b"1\r\nx\r\n" * 99 + b"0\r\n" + b"a:\r\n" * 4000 + b"\r\n"),
        Refusal.PARAMS_TOO_LARGE,
    ),
    "a long line of a chunk": (
        chunked(b"2;%b\r\nab\r\n0\r\n\r\n" % (b"a" * 9 * KIB)),
        Refusal.PARAMS_TOO_LARGE,
    ),
    "a length over the limit": (
        post(b"", b"Content-Length: 101"),
        Refusal.BODY_TOO_LARGE,
    ),
    "a length beyond all numbers": (
        post(b"", b"Content-Length: 99999999999999999999"),
        Refusal.BODY_TOO_LARGE,
    ),
    "chunks over the limit": (
        chunked(b"65\r\n%b\r\n0\r\n\r\n" % (b"x" * 101)),
        Refusal.BODY_TOO_LARGE,
    ),
    "small chunks over the limit": (
        chunked(b"1\r\nx\r\n" * 101 + b"0\r\n\r\n"),
        Refusal.BODY_TOO_LARGE,
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_the_last_of_its_connection(
    case: tuple[bytes, Refusal], way: Way
) -> None:
    sent, refusal = case
    machine = Connection(LIMITS, 0.0)
    events = way(machine, sent)
    machine.check()
    (request,) = requests(events)
    assert request.refusal is refusal
    assert request.body == b""
    assert b"\r\nConnection: close\r\n" in answer(machine, request)
    assert machine.closing == LINGER
    assert machine.receive(NEXT, 0.0) == []
    assert machine.eof(0.0) == []
    assert machine.closing == CLOSE


@pytest.mark.parametrize("name", ["a CR in a value (2.2)", "a trailer that is none"])
def test_what_is_refused_is_kept_by_nothing(name: str) -> None:
    sent, _ = REFUSED[name]
    machine = Connection(LIMITS, 0.0)
    (request,) = requests(machine.receive(sent, 0.0))
    answer(machine, request)
    held = weakref.ref(machine)
    gc.disable()  # it would find what only holds itself
    try:
        del machine
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("end", [b"\0", b"\v", b"\f", b"\ra"])
def test_blanks_before_what_is_no_text_are_not_looked_at_again_and_again(
    end: bytes,
) -> None:
    many = 2 << 20  # a square of it is more than a test may last
    limits = dataclasses.replace(LIMITS, max_params=2 * many)
    machine = Connection(limits, 0.0)
    request = one(machine, get(b"X:" + b" " * many + end))
    assert request.refusal is Refusal.MALFORMED


def test_a_length_over_the_limit_is_refused_before_the_body_comes() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, post(b"", b"Content-Length: 101", b"Expect: 100-continue"))
    assert request.refusal is Refusal.BODY_TOO_LARGE
    assert machine.data_to_send() == b""


def test_chunks_are_refused_as_soon_as_they_pass_the_limit() -> None:
    machine = Connection(LIMITS, 0.0)
    assert requests(machine.receive(chunked(b"1000\r\n" + b"x" * 100), 0.0)) == []
    (request,) = requests(machine.receive(b"x", 0.0))
    assert request.refusal is Refusal.BODY_TOO_LARGE


def test_a_head_of_the_limit_is_taken_however_it_is_cut() -> None:
    room = LIMITS.max_params - len(get(b"X: "))
    for way in (whole, byte_by_byte):
        assert (
            one(Connection(LIMITS, 0.0), get(b"X: " + b"x" * room), way).refusal is None
        )


# ---- 100 (Continue) ------------------------------------------------------------------


def test_who_waits_for_it_is_told_to_go_on() -> None:
    machine = Connection(LIMITS, 0.0)
    sent = post(b"", b"Content-Length: 2", b"Expect: 100-Continue")
    assert machine.receive(sent, 0.0) == []
    assert machine.data_to_send() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert machine.data_to_send() == b""
    assert one(machine, b"ab").body == b"ab"


@pytest.mark.parametrize(
    "sent",
    [
        post(b"ab", b"Content-Length: 2", b"Expect: 100-continue"),
        post(b"", b"Content-Length: 2", b"Expect: 100-continue", version=b"1.0"),
        post(b"", b"Content-Length: 2", b"Expect: a miracle"),
        get(b"Expect: 100-continue"),
    ],
    ids=["the body is there", "HTTP/1.0", "another wish", "no body"],
)
def test_who_does_not_wait_is_told_nothing(sent: bytes) -> None:
    machine = Connection(LIMITS, 0.0)
    machine.receive(sent, 0.0)
    assert machine.data_to_send() == b""


# ---- one after the other -------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_requests_that_come_together_are_answered_in_turn(way: Way) -> None:
    machine = Connection(LIMITS, 0.0)
    sent = GET + chunked(b"2\r\nab\r\n0\r\n\r\n") + post(b"cd", b"Content-Length: 2")
    events = way(machine, sent)
    bodies = []
    for _ in range(3):
        (request,) = requests(events)
        assert not machine.is_idle()
        bodies.append(request.body)
        assert b"Connection" not in answer(machine, request)
        assert machine.has_more == (len(bodies) < 3 or way is with_a_tail)
        events = machine.receive(b"", 0.0) if machine.has_more else []
    assert bodies == [b"", b"ab", b"cd"]
    assert machine.is_idle() == (way is not with_a_tail)


def test_what_comes_behind_the_running_request_is_bounded() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, GET)
    while not machine.is_full:
        assert machine.receive(b"x" * KIB, 0.0) == []
    assert answer(machine, request)
    assert not machine.is_full


@pytest.mark.parametrize(
    "sent",
    [
        get(b"Connection: close"),
        get(b"Connection: x, Close"),
        get(b"Connection: x", b"Connection: close"),
        get(version=b"1.0"),
        get(b"Connection: keep-alive", version=b"1.0"),
    ],
)
def test_who_wants_no_more_is_told_that_it_ends(sent: bytes) -> None:
    machine = Connection(LIMITS, 0.0)
    assert b"\r\nConnection: close\r\n" in answer(machine, one(machine, sent))
    assert machine.closing == CLOSE


def test_a_last_request_with_others_behind_it_lingers() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, get(b"Connection: close") + NEXT)
    answer(machine, request)
    assert machine.closing == LINGER


# ---- answers -------------------------------------------------------------------------


def test_a_whole_answer_is_one_piece() -> None:
    machine = Connection(LIMITS, 0.0)
    assert answer(machine, one(machine, GET)) == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: %b\r\n\r\nhi" % DATE
    )
    assert machine.is_idle()


def test_an_answer_in_parts_goes_in_chunks() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, GET)
    assert b"\r\nTransfer-Encoding: chunked\r\n" in machine.begin(request, STREAM, DATE)
    assert machine.piece(request, b"x" * 20) == b"14\r\n" + b"x" * 20 + b"\r\n"
    assert machine.piece(request, b"") == b""
    assert machine.end(request) == b"0\r\n\r\n"
    assert machine.is_idle()


def test_an_answer_in_parts_of_known_length_goes_as_it_is() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, GET)
    assert b"Transfer-Encoding" not in machine.begin(request, HEAD, DATE)
    assert machine.piece(request, b"hi") + machine.end(request) == b"hi"


def test_an_answer_in_parts_to_http_1_0_goes_until_the_connection_ends() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, get(version=b"1.0"))
    head = machine.begin(request, STREAM, DATE)
    assert b"Transfer-Encoding" not in head
    assert b"\r\nConnection: close\r\n" in head
    assert machine.piece(request, b"hi") + machine.end(request) == b"hi"
    assert (machine.closing, machine.is_broken) == (CLOSE, False)


@pytest.mark.parametrize("head", [HEAD, STREAM])
def test_head_gets_the_fields_of_get_and_no_body(head: bytes) -> None:
    machine = Connection(LIMITS, 0.0)
    ours = one(machine, GET)
    of_get = machine.begin(ours, head, DATE)
    machine.end(ours)
    request = one(machine, b"HEAD /a.lua HTTP/1.1\r\nHost: x\r\n\r\n")
    assert machine.begin(request, head, DATE) == of_get
    assert machine.piece(request, b"hi") + machine.end(request) == b""
    assert machine.is_idle()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_status_without_body_has_no_framing(status: bytes) -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, GET)
    head = machine.begin(request, b"Status: " + status + b"\r\n\r\n", DATE)
    assert head == b"HTTP/1.1 %b\r\nDate: %b\r\n\r\n" % (status, DATE)
    assert machine.piece(request, b"hi") + machine.end(request) == b""


@pytest.mark.parametrize("sent", [GET, get(version=b"1.0")])
def test_a_cut_answer_ends_its_connection_without_its_end(sent: bytes) -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, sent)
    machine.begin(request, STREAM, DATE)
    machine.abandon(request)
    machine.check()
    assert machine.closing == CLOSE
    # the end of the connection is the end of a reply to HTTP/1.0
    assert machine.is_broken == request.is_old


def test_nobody_waits_for_what_has_ended() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, GET)
    answer(machine, request)
    for _ in range(2):
        assert machine.reply(request, HEAD, b"hi", DATE) == b""
        assert machine.begin(request, STREAM, DATE) == b""
        assert machine.piece(request, b"x") == b""
        assert machine.end(request) == b""
        machine.abandon(request)
        machine.lost()


# ---- ends ----------------------------------------------------------------------------


def test_a_client_that_ended_its_half_is_answered() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, GET)
    assert machine.eof(0.0) == []
    assert machine.expired(HALF_CLOSE_S - 0.1) == []
    assert answer(machine, request).endswith(b"hi")
    assert machine.closing == CLOSE


def test_all_that_a_client_sent_before_its_half_ended_is_answered() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, GET + GET + GET[:-2])
    machine.eof(0.0)
    assert b"Connection" not in answer(machine, request)
    (request,) = requests(machine.receive(b"", 0.0))
    answer(machine, request)
    assert machine.has_more
    assert machine.receive(b"", 0.0) == []
    machine.check()
    assert machine.closing == CLOSE


def test_steps_that_are_left_are_taken_before_a_half_counts_as_ended() -> None:
    machine = Connection(LIMITS, 0.0)
    machine.receive(chunked(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"), 0.0, 2)
    assert machine.has_more
    assert machine.eof(0.0) == []
    (request,) = requests(machine.receive(b"", 0.0))
    assert request.body == b"ab"


def test_a_half_closed_request_whose_answer_does_not_begin_is_dropped() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, GET)
    machine.eof(5.0)
    assert machine.expired(5.0 + HALF_CLOSE_S - 0.1) == []
    (event,) = machine.expired(5.0 + HALF_CLOSE_S)
    assert isinstance(event, Aborted)
    assert event.request is request
    assert machine.closing == CLOSE


def test_a_half_closed_request_whose_answer_has_begun_is_answered_to_its_end() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, GET)
    machine.begin(request, STREAM, DATE)
    machine.eof(5.0)
    assert machine.expired(500.0) == []
    assert machine.end(request)


@pytest.mark.parametrize("sent", [b"", GET[:-2]])
def test_half_a_head_is_dropped_when_its_half_ends(sent: bytes) -> None:
    machine = Connection(LIMITS, 0.0)
    assert machine.receive(sent, 0.0) == []
    assert machine.eof(0.0) == []
    machine.check()
    assert machine.closing == CLOSE


@pytest.mark.parametrize("sent", [post(b"a", b"Content-Length: 2"), chunked(b"1\r\na")])
def test_a_body_that_is_not_whole_when_its_half_ends_is_refused(sent: bytes) -> None:
    machine = Connection(LIMITS, 0.0)
    assert machine.receive(sent, 0.0) == []
    [request] = machine.eof(0.0)
    machine.check()
    assert isinstance(request, Request)
    assert (request.refusal, request.body) == (Refusal.BODY_CUT, b"")
    assert machine.reply(request, HEAD, b"", DATE)
    machine.check()
    assert machine.closing == CLOSE


@pytest.mark.parametrize("is_spooled", [True, False])
def test_a_lost_request_is_told_if_it_was_seen(is_spooled: bool) -> None:
    machine = Connection(LIMITS, 0.0)
    size = 40 if is_spooled else 20
    events = machine.receive(post(b"x" * size, b"Content-Length: 50"), 0.0)
    assert len(events) == int(is_spooled)
    assert len(machine.lost()) == int(is_spooled)
    assert machine.lost() == []
    assert machine.closing == CLOSE


def test_draining_closes_what_is_idle() -> None:
    machine = Connection(LIMITS, 0.0)
    machine.drain()
    assert machine.closing == CLOSE


@pytest.mark.parametrize("already", [0, 10, len(GET)])
def test_draining_answers_what_has_begun_and_says_that_it_ends(already: int) -> None:
    machine = Connection(LIMITS, 0.0)
    events = machine.receive(GET[:already], 0.0)
    if not already:
        return
    machine.drain()
    machine.check()
    events += machine.receive(GET[already:], 0.0)
    (request,) = requests(events)
    assert b"\r\nConnection: close\r\n" in answer(machine, request)
    assert machine.closing == CLOSE


# ---- time ----------------------------------------------------------------------------


def test_an_idle_connection_is_closed_in_time() -> None:
    machine = Connection(LIMITS, 0.0)
    answer(machine, one(machine, GET))
    assert machine.expired(LIMITS.idle_s - 1) == []
    assert machine.closing == OPEN
    machine.expired(LIMITS.idle_s)
    assert machine.closing == CLOSE


def test_an_idle_connection_may_be_spared_once_its_next_request_does_not_come() -> None:
    machine = Connection(LIMITS, 0.0)
    assert not machine.is_spare(SPARE_S - 0.1)
    assert machine.is_spare(SPARE_S)
    request = one(machine, GET)
    assert not machine.is_spare(SPARE_S)
    answer(machine, request)
    assert machine.is_spare(SPARE_S)
    machine.receive(GET[:-2], SPARE_S)
    assert not machine.is_spare(2 * SPARE_S)


def test_a_head_that_comes_a_byte_at_a_time_is_given_up() -> None:
    machine = Connection(LIMITS, 0.0)
    head = get(b"X: " + b"x" * 100)
    for second in range(int(LIMITS.receive_s)):
        machine.receive(head[second : second + 1], float(second))
        assert machine.expired(float(second)) == []
    (request,) = requests(machine.expired(LIMITS.receive_s))
    assert request.refusal is Refusal.RECEIVE_TIMEOUT
    assert b"\r\nConnection: close\r\n" in answer(machine, request)
    assert machine.closing == LINGER


def test_the_second_head_has_a_time_of_its_own() -> None:
    machine = Connection(LIMITS, 0.0)
    request = one(machine, GET + GET[:-2])
    machine.expired(100.0)
    answer(machine, request)
    machine.receive(b"", 100.0)
    assert machine.expired(100.0 + LIMITS.receive_s - 1) == []
    assert len(requests(machine.expired(100.0 + LIMITS.receive_s))) == 1


def test_a_body_that_stands_still_is_given_up() -> None:
    machine = Connection(LIMITS, 0.0)
    machine.receive(post(b"x", b"Content-Length: 50"), 0.0)
    assert machine.expired(LIMITS.receive_s - 1) == []
    (request,) = requests(machine.expired(LIMITS.receive_s))
    assert request.refusal is Refusal.RECEIVE_TIMEOUT


def test_a_body_may_take_its_time_as_long_as_it_comes() -> None:
    machine = Connection(LONG, 0.0)
    machine.receive(post(b"", b"Content-Length: 1000000"), 0.0)
    for second in range(1, 500):
        machine.receive(b"x" * 2 * SLOWEST, float(second))
        assert machine.expired(float(second)) == []


def test_a_body_that_hardly_comes_is_given_up() -> None:
    machine = Connection(LONG, 0.0)
    machine.receive(chunked(b""), 0.0)
    second, events = 0, list[Event]()
    while not events:
        second += 1
        machine.receive(b"1\r\nx\r\n" * 10, float(second))
        events = machine.expired(float(second))
    assert LONG.receive_s <= second <= LONG.receive_s + 2
    assert requests(events)[0].refusal is Refusal.RECEIVE_TIMEOUT


def test_a_running_request_is_not_late() -> None:
    machine = Connection(LIMITS, 0.0)
    one(machine, GET)
    assert machine.expired(10_000.0) == []
    assert machine.closing == OPEN


def test_nothing_is_late_while_nothing_is_read() -> None:
    machine = Connection(LIMITS, 0.0)
    machine.receive(GET[:-2], 0.0)
    assert machine.expired(10_000.0, is_paused=True) == []
    assert machine.expired(10_001.0) == []
    assert len(requests(machine.receive(GET[-2:], 10_001.0))) == 1


def test_lingering_lasts_while_the_client_sends_but_not_for_ever() -> None:
    machine = Connection(LIMITS, 0.0)
    machine.receive(post(b"", b"Content-Length: 101"), 0.0)
    machine.lost()
    machine = Connection(LIMITS, 0.0)
    answer(machine, one(machine, post(b"", b"Content-Length: 101")))
    second = 0.0
    while machine.closing == LINGER:
        second += LINGER_S / 2
        machine.receive(b"x" * KIB, second)
        machine.expired(second)
    assert machine.closing == CLOSE
    assert second == LIMITS.receive_s


def test_lingering_ends_when_the_client_is_silent() -> None:
    machine = Connection(LIMITS, 0.0)
    answer(machine, one(machine, post(b"", b"Content-Length: 101")))
    machine.expired(LINGER_S - 0.1)
    assert machine.closing == LINGER
    machine.expired(LINGER_S)
    assert machine.closing == CLOSE
