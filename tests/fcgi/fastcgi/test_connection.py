import pytest

from fcgi.arrival import Limits, limits
from fcgi.cgi.refusal import Refusal
from fcgi.closing import CLOSE, LINGER, OPEN
from fcgi.fastcgi import records
from fcgi.fastcgi.connection import BROKEN, Connection
from fcgi.fastcgi.request import ENDED, Aborted, Chunk, Event, Request
from luafarm.config.settings import Front
from tests.fcgi.fastcgi import wire
from tests.fcgi.fastcgi.wire import NGINX, Got, begin, rec, req, stream

LIMITS = limits(
    Front(
        requests_per_connection=3,
        max_params=1000,
        max_param=500,
        max_body=200,
        inline_body=50,
    )
)
HEAD = b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n"
SMALL = {"SCRIPT_FILENAME": "/s.lua", "REQUEST_METHOD": "GET"}


def post(length: int | str) -> dict[str, str]:
    return {**SMALL, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(length)}


class Play:
    """A connection with its check() run after every step."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.machine = Connection(limits, 0.0)
        self.now = 0.0

    def give(self, data: bytes) -> list[Event]:
        events = self.machine.receive(data, self.now)
        self.machine.check()
        return events

    def arrived(self, data: bytes) -> list[Request]:
        return [e for e in self.give(data) if isinstance(e, Request)]

    def one(self, data: bytes) -> Request:
        [request] = self.give(data)
        assert isinstance(request, Request)
        return request

    def said(self) -> list[Got]:
        return wire.all_records(self.machine.data_to_send())

    def answer(
        self, request: Request, body: bytes = b"hi", stderr: bytes = b""
    ) -> list[Got]:
        out = self.machine.reply(request, HEAD, body, stderr)
        self.machine.check()
        return wire.all_records(out)

    def wait(self, seconds: float, is_paused: bool = False) -> list[Event]:
        self.now += seconds
        events = self.machine.expired(self.now, is_paused)
        self.machine.check()
        return events


def last_of(request_id: int, *, stderr: bool = False) -> list[Got]:
    ended = [Got(wire.STDERR, request_id, b"")] if stderr else []
    return [
        *ended,
        Got(wire.STDOUT, request_id, b""),
        Got(wire.END, request_id, bytes(8)),
    ]


# ---- a request arrives ---------------------------------------------------------------


def test_a_whole_get_in_one_read_is_one_event_that_routes() -> None:
    play = Play(limits(Front()))
    request = play.one(req(NGINX, keep=True))
    assert request.script_filename == b"/srv/www/hello.lua"
    assert request.method == b"GET"
    assert request.params == wire.blob(NGINX)
    assert (request.id, request.role, request.keep) == (1, 1, True)
    assert (request.content_length, request.body, request.body_bytes) == (-1, b"", 0)
    assert request.complete
    assert request.refusal is None
    assert play.answer(request) == [
        Got(wire.STDOUT, 1, HEAD + b"hi", -len(HEAD + b"hi") % 8),
        *last_of(1),
    ]
    assert play.machine.closing == OPEN


TOLD = [
    "id", "role", "keep", "stage", "refusal", "params", "script_filename", "method",
    "content_length", "body", "body_bytes", "data", "data_bytes", "body_spooled",
    "data_spooled", "complete", "open",
]  # fmt: skip
"""All that a loop may read; by name, for compiled classes have no vars()."""


def describe(events: list[Event]) -> list[object]:
    """Return everything that a loop can see of events."""
    found: list[object] = []
    for event in events:
        if isinstance(event, Request):
            found.append([getattr(event, name) for name in TOLD])
        elif isinstance(event, Chunk):
            found.append((event.request.id, event.stream, event.data))
        else:
            found.append(("aborted", event.request.id))
    return found


@pytest.mark.parametrize(
    "data",
    [
        req(SMALL),
        req(SMALL, keep=True),
        req(SMALL, id=300),
        req({}),
        req(b"\x04"),
        req(b"\xff\xff\xff\xff\x05"),
        req(SMALL, pad=255),
        req(SMALL, role=2),
        req(SMALL, role=3, data=b"d"),
        req(post(5)),
        req(post(5), b"12345"),
        req(post("5x")),
        req(post(0)),
        req({**SMALL, "X": "x" * 2000}),
        req(SMALL) + b"\1",
        begin() + rec(wire.PARAMS, 1) * 2 + rec(wire.STDIN, 1),
        begin() + rec(wire.PARAMS, 1) + rec(wire.STDIN, 1),
        begin() + rec(wire.PARAMS, 2, b"x") + rec(wire.PARAMS, 1) + rec(wire.STDIN, 1),
        records.record(1, 1, b"\0\1\0\0\0\0\0\0")[:10] + rec(wire.STDIN, 1)[1:],
    ],
)
def test_bytes_in_one_read_and_one_by_one_tell_the_same(data: bytes) -> None:
    at_once, one_by_one = Play(), Play()
    events: list[Event] = []
    for i in range(len(data)):
        events += one_by_one.give(data[i : i + 1])
    assert describe(at_once.give(data)) == describe(events)
    assert at_once.said() == one_by_one.said()
    assert at_once.machine.closing == one_by_one.machine.closing


def test_nothing_is_told_before_stdin_ends() -> None:
    play = Play()
    assert play.give(begin() + stream(wire.PARAMS, 1, wire.blob(post(2)))) == []
    assert play.give(rec(wire.STDIN, 1, b"ab")) == []
    assert play.one(rec(wire.STDIN, 1)).body == b"ab"


def test_params_cut_inside_a_pair_are_one_stream() -> None:
    play = Play()
    data = begin() + stream(wire.PARAMS, 1, wire.blob(SMALL), chunk=1)
    request = play.one(data + rec(wire.STDIN, 1))
    assert request.params == wire.blob(SMALL)
    assert request.script_filename == b"/s.lua"


def test_a_pass_has_few_records_and_the_rest_is_not_lost() -> None:
    machine = Connection(LIMITS, 0.0)
    ask = rec(9, 0, b"\x0e\x00FCGI_MAX_CONNS")
    sizes: list[int] = []
    data = ask * 10
    while True:
        assert machine.receive(data, 0.0, 4) == []
        sizes.append(len(machine.data_to_send()))
        data = b""
        if not machine.has_more:
            break
    one = sizes[0] // 4
    assert sizes == [4 * one, 4 * one, 2 * one]
    assert one


def test_a_connection_that_is_closed_has_no_more() -> None:
    machine = Connection(LIMITS, 0.0)
    machine.receive(rec(9, 0, b"") * 10, 0.0, 4)
    machine.lost()
    assert not machine.has_more


def test_padding_and_reserved_bytes_mean_nothing() -> None:
    play = Play()
    data = begin(flags=0xFF, pad=200) + rec(wire.PARAMS, 1, wire.blob(SMALL), 255)
    data += rec(wire.PARAMS, 1, b"", 9, reserved=255) + rec(wire.STDIN, 1, b"", 3)
    assert play.one(data).keep


@pytest.mark.parametrize("length", ["", "-1", None])
def test_without_a_content_length_stdin_ends_the_body(length: str | None) -> None:
    pairs = dict(SMALL) if length is None else post(length)
    request = Play().one(req(pairs, b"body"))
    assert (request.content_length, request.body, request.complete) == (
        -1,
        b"body",
        True,
    )


def test_stdin_beyond_content_length_is_cut() -> None:
    for chunk in (1, 3, 100):
        request = Play().one(req(post(5), b"0123456789", chunk=chunk))
        assert (request.body, request.body_bytes) == (b"01234", 5)
        assert request.complete


@pytest.mark.parametrize("body", [b"", b"short", b"x" * 99])
@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("data", [None, b"of a Filter"])
def test_stdin_short_of_content_length_is_refused(
    body: bytes, chunk: int, data: bytes | None
) -> None:
    role = 1 if data is None else 3
    sent = req(post(100), body, role=role, chunk=chunk, data=data)
    *_, request = Play().give(sent)
    assert isinstance(request, Request)
    assert request.refusal is Refusal.BODY_CUT
    assert (request.body, request.complete) == (b"", False)


def test_a_spooled_body_that_is_cut_short_is_refused_as_well() -> None:
    *pieces, request = Play().give(req(post(120), b"b" * 110, chunk=20))
    assert pieces
    assert all(isinstance(piece, Chunk) for piece in pieces)
    assert isinstance(request, Request)
    assert request.refusal is Refusal.BODY_CUT


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_without_a_body_is_served_whatever_length_its_web_server_names(
    method: str,
) -> None:
    pairs = {**post(100), "REQUEST_METHOD": method}
    request = Play().one(req(pairs, b""))
    assert (request.refusal, request.body, request.complete) == (None, b"", False)
    assert Play().one(req(pairs, b"part")).refusal is Refusal.BODY_CUT


def test_an_authorizer_gets_no_body_and_misses_none() -> None:
    request = Play().one(begin(role=2) + stream(wire.PARAMS, 1, wire.blob(post(100))))
    assert request.refusal is None


def test_an_abort_before_the_end_of_stdin_is_no_refusal() -> None:
    play = Play()
    begun = begin(flags=1) + stream(wire.PARAMS, 1, wire.blob(post(100)))
    play.give(begun + rec(wire.STDIN, 1, b"part"))
    assert not [e for e in play.give(rec(wire.ABORT, 1)) if isinstance(e, Request)]


@pytest.mark.parametrize("length", ["abc", "5x", "+4", " 4", "4 ", "-2", "0x1", "1.0"])
def test_a_content_length_that_is_none_is_refused(length: str) -> None:
    request = Play().one(req(post(length), b"body"))
    assert request.refusal is Refusal.BAD_LENGTH
    assert request.body == b""


@pytest.mark.parametrize("length", ["201", "9" * 20, "1" + "0" * 400])
def test_a_content_length_over_the_limit_is_refused(length: str) -> None:
    assert Play().one(req(post(length), b"b")).refusal is Refusal.BODY_TOO_LARGE


@pytest.mark.parametrize("pairs", [b"\x04", b"\1\xff\xff\xff\xffA", b"\x84\0\0"])
def test_malformed_params_are_refused_and_the_connection_goes_on(pairs: bytes) -> None:
    play = Play()
    first, second = play.arrived(req(pairs, keep=True) + req(SMALL, keep=True, id=2))
    assert first.refusal is Refusal.MALFORMED
    assert second.refusal is None
    assert play.machine.closing == OPEN


def test_params_over_the_limit_are_refused_after_stdin() -> None:
    play = Play()
    data = begin() + stream(wire.PARAMS, 1, wire.blob({"A": "x" * 490}) * 3)
    assert play.give(data) == []
    request = play.one(stream(wire.STDIN, 1, b"body"))
    assert request.refusal is Refusal.PARAMS_TOO_LARGE
    assert (request.params, request.body) == (b"", b"")


def test_params_of_exactly_the_limit_are_taken() -> None:
    limit = LIMITS.max_params
    pairs = {"A": "x" * 450, "B": "y" * 450, "C": ""}
    pairs["C"] = "z" * (limit - len(wire.blob(pairs)))
    assert len(wire.blob(pairs)) == limit
    for chunk in (1, 65535):
        assert Play().one(req(pairs, chunk=chunk)).refusal is None
        longer = {**pairs, "C": pairs["C"] + "z"}
        refused = Play().one(req(longer, chunk=chunk))
        assert refused.refusal is Refusal.PARAMS_TOO_LARGE


def test_the_first_refusal_is_the_answer() -> None:
    play = Play()
    play.give(b"".join(begin(i, flags=1) for i in (1, 2, 3)))
    request = play.one(req({"A": "x" * 490, "B": "x" * 490, "C": "x" * 99}, id=4))
    assert request.refusal is Refusal.OVERLOADED


def test_one_parameter_over_the_limit_is_refused() -> None:
    assert Play().one(req({"A": "x" * 499})).refusal is None
    assert Play().one(req({"A": "x" * 500})).refusal is Refusal.PARAMS_TOO_LARGE


def test_a_long_body_comes_as_chunks_and_a_short_one_with_the_request() -> None:
    body = bytes(range(120))
    for chunk in (1, 7, 50, 51, 120):
        events = Play().give(req(post(120), body, chunk=chunk))
        *pieces, request = events
        assert isinstance(request, Request)
        assert request.body_spooled
        assert (request.body, request.body_bytes) == (b"", 120)
        assert all(isinstance(p, Chunk) for p in pieces)
        assert b"".join(p.data for p in pieces if isinstance(p, Chunk)) == body
    assert Play().one(req(post(50), body[:50], chunk=1)).body == body[:50]


def test_a_body_without_length_over_the_limit_is_read_and_refused() -> None:
    play = Play()
    start = begin(flags=1) + stream(wire.PARAMS, 1, wire.blob(SMALL))
    assert play.give(start) == []
    chunks = play.give(rec(wire.STDIN, 1, b"x" * 100) * 2)
    assert all(isinstance(c, Chunk) for c in chunks)
    assert play.give(rec(wire.STDIN, 1, b"x" * 100) * 50) == []
    assert play.one(rec(wire.STDIN, 1)).refusal is Refusal.BODY_TOO_LARGE


@pytest.mark.parametrize(
    "data",
    [
        rec(wire.STDIN, 1, b"x") + rec(wire.STDIN, 1),
        rec(wire.STDIN, 1),
    ],
)
def test_stdin_before_the_end_of_params_is_refused(data: bytes) -> None:
    play = Play()
    assert play.give(begin() + data) == []
    request = play.one(stream(wire.PARAMS, 1, wire.blob(SMALL)))
    assert request.refusal is Refusal.MALFORMED


def test_second_ends_and_late_params_are_ignored() -> None:
    play = Play()
    data = begin(flags=1) + stream(wire.PARAMS, 1, wire.blob(SMALL))
    data += rec(wire.PARAMS, 1) + rec(wire.PARAMS, 1, b"junk")
    request = play.one(data + rec(wire.STDIN, 1))
    assert request.params == wire.blob(SMALL)
    assert play.give(rec(wire.STDIN, 1, b"x") + rec(wire.STDIN, 1)) == []
    assert play.give(rec(wire.PARAMS, 1)) == []


# ---- roles ---------------------------------------------------------------------------


def test_an_authorizer_needs_no_stdin_and_tolerates_an_empty_one() -> None:
    play = Play()
    data = begin(role=2, flags=1) + stream(wire.PARAMS, 1, wire.blob(post(7)))
    request = play.one(data)
    assert request.complete
    play.answer(request)
    assert play.give(rec(wire.STDIN, 1)) == []
    request = play.one(data + rec(wire.STDIN, 1))
    assert request.role == records.AUTHORIZER


def test_an_authorizers_connection_lingers_for_the_stdin_it_may_send() -> None:
    play = Play()
    request = play.one(begin(role=2) + stream(wire.PARAMS, 1, wire.blob(SMALL)))
    play.answer(request)
    assert play.machine.closing == LINGER


def test_a_filter_arrives_with_stdin_and_data() -> None:
    play = Play()
    pairs = {**SMALL, "FCGI_DATA_LENGTH": "4"}
    data = begin(role=3) + stream(wire.PARAMS, 1, wire.blob(pairs))
    assert play.give(data + stream(wire.STDIN, 1, b"in")) == []
    request = play.one(stream(wire.DATA, 1, b"data"))
    assert (request.body, request.data, request.data_bytes) == (b"in", b"data", 4)
    assert request.complete


def test_a_filter_without_all_its_data_is_told() -> None:
    request = Play().one(req({**SMALL, "FCGI_DATA_LENGTH": "9"}, role=3, data=b"short"))
    assert not request.complete


def test_a_filters_long_data_comes_as_chunks() -> None:
    *pieces, request = Play().give(
        req(post(3), b"abc", role=3, data=b"d" * 110, chunk=20)
    )
    assert isinstance(request, Request)
    assert (request.body, request.data, request.data_spooled) == (b"abc", b"", True)
    assert [(p.stream, p.data) for p in pieces if isinstance(p, Chunk)] == [
        (wire.DATA, b"d" * 60),
        (wire.DATA, b"d" * 50),
    ]


def test_data_before_the_end_of_stdin_is_refused() -> None:
    play = Play()
    data = begin(role=3) + stream(wire.PARAMS, 1, wire.blob(SMALL))
    assert play.give(data + stream(wire.DATA, 1, b"x")) == []
    assert play.one(rec(wire.STDIN, 1)).refusal is Refusal.MALFORMED


def test_stdin_and_data_share_one_limit() -> None:
    request = Play().give(req(SMALL, b"x" * 40, role=3, data=b"d" * 161, chunk=20))[-1]
    assert isinstance(request, Request)
    assert request.refusal is Refusal.BODY_TOO_LARGE


def test_data_to_a_responder_is_ignored() -> None:
    play = Play()
    data = begin() + stream(wire.PARAMS, 1, wire.blob(post(2)))
    data += stream(wire.DATA, 1, b"noise") + stream(wire.STDIN, 1, b"ab")
    assert play.one(data).body == b"ab"


@pytest.mark.parametrize("role", [0, 4, 9, 65535])
def test_an_unknown_role_is_turned_away(role: int) -> None:
    play = Play()
    assert play.give(req(SMALL, role=role, keep=True)) == []
    assert play.said() == [Got(wire.END, 1, bytes(4) + b"\3\0\0\0")]
    assert play.machine.closing == OPEN
    assert play.one(req(SMALL, keep=True)).refusal is None


def test_an_unknown_role_without_keep_conn_closes_gently() -> None:
    play = Play()
    assert play.give(req(SMALL, role=9)) == []
    assert len(play.said()) == 1
    assert play.machine.closing == LINGER


# ---- ids -----------------------------------------------------------------------------


def test_records_for_ids_that_are_not_active_are_ignored() -> None:
    play = Play()
    noise = b"".join(
        rec(kind, 77, b"noise") for kind in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99)
    )
    data = begin(flags=1) + noise + stream(wire.PARAMS, 1, wire.blob(SMALL)) + noise
    request = play.one(data + rec(wire.STDIN, 1))
    play.answer(request)
    assert play.give(noise + rec(wire.STDIN, 1, b"late") + rec(wire.ABORT, 1)) == []
    assert play.said() == []
    play.one(req(SMALL, keep=True))


@pytest.mark.parametrize("request_id", [1, 2, 255, 256, 258, 32768, 65535])
def test_ids_have_16_bits(request_id: int) -> None:
    play = Play()
    request = play.one(req(SMALL, id=request_id))
    assert {r.id for r in play.answer(request)} == {request_id}


def test_ids_are_served_side_by_side() -> None:
    play = Play()
    one, two = req(post(3), b"one", id=1), req(post(3), b"two", id=2)
    got: list[Request] = []
    for a, b in zip(wire.split(one)[0], wire.split(two)[0], strict=True):
        got += play.arrived(rec(a.type, 1, a.content) + rec(b.type, 2, b.content))
    assert [(r.id, r.body) for r in got] == [(1, b"one"), (2, b"two")]
    assert play.answer(got[1])[0].id == 2
    assert play.machine.closing == OPEN
    assert play.answer(got[0])[0].id == 1
    assert play.machine.closing == CLOSE


@pytest.mark.parametrize("is_whole", [False, True])
def test_begin_for_an_active_id_ends_the_connection(is_whole: bool) -> None:
    play = Play()
    play.give(req(SMALL) if is_whole else begin())
    events = play.give(begin())
    assert [type(e) for e in events] == ([Aborted] if is_whole else [])
    assert play.machine.closing == CLOSE
    assert "id 1" in str(play.machine.error)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (rec(wire.BEGIN, 1, b"", version=2), "version 2"),
        (b"\0", "version 0"),
        (b"GET / HTTP/1.1\r\n\r\n", "version 71"),
        (b"\x16\x03\x01", "version 22"),
        (rec(wire.BEGIN, 1), "0 bytes"),
        (rec(wire.BEGIN, 1, bytes(7)), "7 bytes"),
        (rec(wire.BEGIN, 1, b"\0\1\0" + bytes(13)), "16 bytes"),
        (begin(0), "id 0"),
    ],
)
def test_bytes_that_are_no_fastcgi_end_the_connection(data: bytes, why: str) -> None:
    play = Play()
    running = play.one(req(SMALL, id=5, keep=True))
    [aborted] = play.give(data)
    assert isinstance(aborted, Aborted)
    assert aborted.request is running
    assert why in str(play.machine.error)
    assert play.machine.closing == CLOSE
    assert play.give(req(SMALL)) == []
    assert play.answer(running) == []


def test_what_came_before_the_broken_bytes_is_told_first() -> None:
    play = Play()
    events = play.give(req(SMALL) + bytes(8))
    assert [type(e) for e in events] == [Request, Aborted]


def test_application_records_with_id_0_change_nothing() -> None:
    play = Play()
    data = b"".join(rec(kind, 0, b"x") for kind in (2, 3, 4, 5, 6, 7, 8, 10, 11))
    assert play.give(data) == []
    assert play.said() == []
    assert play.machine.closing == OPEN


# ---- management ----------------------------------------------------------------------


def test_values_are_told_for_the_names_asked() -> None:
    play = Play()
    query = wire.blob(
        {"FCGI_MPXS_CONNS": "", "NO_SUCH": "", "FCGI_MAX_REQS": "", "X" * 200: ""}
    )
    assert play.give(rec(wire.GET_VALUES, 0, query, pad=3)) == []
    [result] = play.said()
    assert (result.type, result.id) == (wire.RESULT, 0)
    assert wire.pairs_of(result.content) == [
        (b"FCGI_MAX_REQS", b"3"),
        (b"FCGI_MPXS_CONNS", b"1"),
    ]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (b"", []),
        (b"\x0f\x00FCGI_MAX", []),
        (b"\x0e\x00FCGI_MAX_CONNS\x0f", [(b"FCGI_MAX_CONNS", b"4096")]),
        (b"\x0e\x00FCGI_MAX_CONNS" * 2000, [(b"FCGI_MAX_CONNS", b"4096")]),
    ],
)
def test_odd_queries_are_answered(
    query: bytes, answer: list[tuple[bytes, bytes]]
) -> None:
    play = Play()
    play.give(rec(wire.GET_VALUES, 0, query))
    [result] = play.said()
    assert wire.pairs_of(result.content) == answer


@pytest.mark.parametrize("kind", [0, 12, 100, 255])
def test_unknown_types_are_named_back(kind: int) -> None:
    play = Play()
    assert play.give(rec(kind, 0, b"x" * 24, pad=11)) == []
    assert play.said() == [Got(wire.UNKNOWN, 0, bytes([kind]) + bytes(7))]


def test_management_within_a_request_leaves_it_alone() -> None:
    play = Play()
    ask = rec(wire.GET_VALUES, 0, wire.blob({"FCGI_MAX_CONNS": ""}), pad=3)
    parts = wire.split(req(post(4), b"body"))[0]
    got: list[Request] = []
    for part in parts:
        got += play.arrived(rec(part.type, 1, part.content) + ask + rec(200, 0))
    assert [r.body for r in got] == [b"body"]
    assert [r.type for r in play.said()] == [wire.RESULT, wire.UNKNOWN] * len(parts)


# ---- limits --------------------------------------------------------------------------


def test_more_requests_than_the_limit_are_refused_when_they_are_in() -> None:
    play = Play()
    running = [play.one(req(SMALL, id=i, keep=True)) for i in (1, 2, 3)]
    assert play.give(begin(4, flags=1)) == []
    request = play.one(stream(wire.PARAMS, 4, wire.blob(SMALL)) + rec(wire.STDIN, 4))
    assert request.refusal is Refusal.OVERLOADED
    assert request.params == b""
    play.answer(request)
    play.answer(running[0])
    assert play.one(req(SMALL, id=4, keep=True)).refusal is None


def test_beyond_twice_the_limit_the_end_comes_at_once() -> None:
    play = Play()
    play.give(b"".join(begin(i, flags=1) for i in range(1, 7)))
    assert play.said() == []
    assert play.give(begin(7, flags=1)) == []
    assert play.said() == [Got(wire.END, 7, bytes(4) + b"\2\0\0\0")]
    assert play.machine.active() == 6


def test_an_idle_connection_is_closed_after_its_time() -> None:
    play = Play()
    play.wait(74)
    assert play.machine.closing == OPEN
    play.wait(1)
    assert play.machine.closing == CLOSE
    assert play.machine.error is None


def test_idleness_counts_from_the_last_answer_not_from_the_last_byte() -> None:
    play = Play()
    request = play.one(req(SMALL, keep=True))
    for _ in range(200):
        assert play.wait(1) == []
    play.answer(request)
    play.wait(70)
    assert play.machine.closing == OPEN
    play.wait(5)
    assert play.machine.closing == CLOSE


def test_a_request_that_never_comes_whole_is_refused_and_others_go_on() -> None:
    play = Play()
    running = play.one(req(SMALL, keep=True))
    play.give(begin(2, flags=1) + rec(wire.PARAMS, 2, b"\1"))
    assert play.wait(59) == []
    play.give(rec(wire.PARAMS, 2, b"\1"))  # PARAMS are timed from their begin
    [late] = play.wait(1)
    assert isinstance(late, Request)
    assert late.refusal is Refusal.RECEIVE_TIMEOUT
    assert play.give(rec(wire.PARAMS, 2) + rec(wire.STDIN, 2)) == []
    play.answer(late)
    assert play.machine.closing == OPEN
    play.answer(running)
    assert play.machine.closing == LINGER


def test_a_body_that_keeps_coming_is_not_late() -> None:
    play = Play()
    play.give(begin() + stream(wire.PARAMS, 1, wire.blob(post(5))))
    for _ in range(5):
        assert play.wait(50) == []
        play.give(rec(wire.STDIN, 1, b"x"))
    assert play.one(rec(wire.STDIN, 1)).body == b"xxxxx"


def test_a_record_that_never_comes_whole_closes_the_connection() -> None:
    play = Play()
    record = rec(wire.STDIN, 1, b"content")
    play.give(record[:1])
    play.wait(30)
    play.give(record[1:9])
    play.wait(29)
    assert play.machine.closing == OPEN
    play.wait(1)
    assert play.machine.closing == CLOSE
    assert "not whole" in str(play.machine.error)


def test_what_the_loop_does_not_read_is_not_late() -> None:
    play = Play()
    play.give(begin() + rec(wire.PARAMS, 1, b"\1")[:9])
    for _ in range(10):
        assert play.wait(60, is_paused=True) == []
    assert play.wait(59) == []
    assert play.machine.closing == OPEN


def test_lingering_ends_after_its_time_or_at_eof() -> None:
    for end in ("time", "eof"):
        play = Play()
        play.give(req(SMALL, role=9))
        play.wait(1)
        assert play.machine.closing == LINGER
        if end == "time":
            play.wait(1)
        else:
            assert play.machine.eof(play.now) == []
        assert play.machine.closing == CLOSE


# ---- answers -------------------------------------------------------------------------


def test_stderr_comes_after_the_header_and_is_ended() -> None:
    play = Play()
    found = play.answer(play.one(req(SMALL)), b"body", b"oops")
    assert [(r.type, r.content) for r in found] == [
        (wire.STDOUT, HEAD + b"body"),
        (wire.STDERR, b"oops"),
        (wire.STDERR, b""),
        (wire.STDOUT, b""),
        (wire.END, bytes(8)),
    ]


@pytest.mark.parametrize("size", [0, 32768 - len(HEAD), 32769 - len(HEAD), 300_000])
def test_a_long_answer_is_cut_and_padded(size: int) -> None:
    play = Play()
    body = bytes(i % 253 for i in range(size))
    found = play.answer(play.one(req(SMALL, id=9)), body)
    assert wire.joined(found, wire.STDOUT, 9) == HEAD + body
    assert found[0].content.startswith(HEAD)
    assert found[-2:] == last_of(9)
    assert all((len(r.content) + r.padding) % 8 == 0 for r in found)
    assert all(len(r.content) <= 32768 for r in found)
    assert [r.content for r in found].count(b"") == 1


def test_an_answer_may_come_in_pieces() -> None:
    play = Play()
    request = play.one(req(SMALL, keep=True))
    machine = play.machine
    out = machine.stdout(request, HEAD) + machine.stderr(request, b"log")
    out += machine.stdout(request, b"body") + machine.stdout(request, b"")
    out += machine.end(request)
    machine.check()
    found = wire.all_records(out)
    assert wire.joined(found, wire.STDOUT) == HEAD + b"body"
    assert wire.joined(found, wire.STDERR) == b"log"
    assert found[-3:] == last_of(1, stderr=True)
    assert machine.active() == 0


def test_an_ended_request_is_never_answered_again() -> None:
    play = Play()
    old = play.one(req(SMALL, keep=True))
    play.answer(old)
    new = play.one(req(SMALL, keep=True))
    machine = play.machine
    assert machine.reply(old, HEAD, b"x") == b""
    assert machine.stdout(old, b"x") + machine.stderr(old, b"x") == b""
    assert machine.end(old) == b""
    assert play.answer(new)[-2:] == last_of(1)


def test_keep_conn_leaves_the_connection_open_and_its_absence_closes_it() -> None:
    play = Play()
    for _ in range(50):
        play.answer(play.one(req(SMALL, keep=True)))
    assert play.machine.closing == OPEN
    play.answer(play.one(req(SMALL)))
    assert play.machine.closing == CLOSE


def test_a_request_without_keep_conn_waits_for_the_others() -> None:
    play = Play()
    slow = play.one(req(SMALL, id=1, keep=True))
    quick = play.one(req(SMALL, id=2))
    play.answer(quick)
    assert play.machine.closing == OPEN
    play.answer(slow)
    assert play.machine.closing == CLOSE


def test_an_abandoned_answer_has_no_end_and_closes_the_connection_last() -> None:
    play = Play()
    cut, other = play.arrived(req(SMALL, keep=True) + req(SMALL, id=2, keep=True))
    assert play.machine.stdout(cut, HEAD) != b""
    play.machine.abandon(cut)
    play.machine.abandon(cut)
    assert play.machine.last_words == BROKEN
    play.machine.check()
    assert play.machine.end(cut) == b""
    assert play.said() == []
    assert play.machine.closing == OPEN
    assert play.answer(other)[-2:] == last_of(2)
    assert play.machine.closing == CLOSE


def test_drain_closes_an_idle_connection_at_once_and_a_busy_one_later() -> None:
    idle, busy = Play(), Play()
    request = busy.one(req(SMALL, keep=True))
    idle.machine.drain()
    busy.machine.drain()
    assert idle.machine.closing == CLOSE
    assert busy.machine.closing == OPEN
    assert busy.answer(request)[-2:] == last_of(1)
    assert busy.machine.closing == CLOSE


# ---- the peer goes -------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2])
def test_abort_of_a_running_request_ends_it_at_once(times: int) -> None:
    play = Play()
    request = play.one(req(SMALL, keep=True))
    [aborted] = play.give(rec(wire.ABORT, 1, b"x" * 9, pad=7) * times)
    assert isinstance(aborted, Aborted)
    assert aborted.request is request
    assert play.said() == last_of(1)
    assert play.answer(request) == []
    assert play.machine.closing == OPEN
    play.one(req(SMALL, keep=True))


@pytest.mark.parametrize(
    "sent",
    [
        begin(flags=1),
        begin(flags=1) + rec(wire.PARAMS, 1, b"\1"),
        begin(flags=1) + rec(wire.PARAMS, 1) + rec(wire.STDIN, 1, b"x"),
    ],
)
def test_abort_of_a_half_sent_request_ends_it_without_an_event(sent: bytes) -> None:
    play = Play()
    assert play.give(sent + rec(wire.ABORT, 1)) == []
    assert play.said() == last_of(1)
    assert play.machine.closing == OPEN


def test_abort_of_a_streamed_answer_ends_both_streams() -> None:
    play = Play()
    request = play.one(req(SMALL))
    play.machine.stdout(request, HEAD)
    play.machine.stderr(request, b"log")
    play.give(rec(wire.ABORT, 1))
    assert play.said() == last_of(1, stderr=True)
    assert play.machine.closing == CLOSE


def test_abort_of_a_spooled_upload_is_told() -> None:
    play = Play()
    play.give(begin() + stream(wire.PARAMS, 1, wire.blob(SMALL)))
    [chunk] = play.give(rec(wire.STDIN, 1, b"x" * 60))
    [aborted] = play.give(rec(wire.ABORT, 1))
    assert isinstance(chunk, Chunk)
    assert isinstance(aborted, Aborted)
    assert aborted.request is chunk.request
    assert play.machine.closing == LINGER


def test_abort_of_one_leaves_the_other() -> None:
    play = Play()
    one, two = play.arrived(req(SMALL, id=1) + req(SMALL, id=2))
    assert len(play.give(rec(wire.ABORT, 1))) == 1
    assert one.stage == ENDED
    assert play.machine.closing == OPEN
    assert play.answer(two)[-2:] == last_of(2)
    assert play.machine.closing == CLOSE


def test_lost_tells_of_what_ran_and_nothing_is_said_any_more() -> None:
    play = Play()
    one, two = play.arrived(req(SMALL, id=1, keep=True) + req(SMALL, id=2, keep=True))
    play.give(begin(3))
    events = play.machine.lost()
    play.machine.check()
    assert [e.request for e in events if isinstance(e, Aborted)] == [one, two]
    assert len(events) == 2
    assert play.answer(one) + play.answer(two) == []
    assert play.machine.lost() == []


def test_a_half_closed_peer_gets_its_answer() -> None:
    play = Play()
    request = play.one(req(SMALL, keep=True) + begin(2))
    assert play.machine.eof(0.0) == []
    play.machine.check()
    assert play.wait(0.9) == []
    assert play.answer(request)[-2:] == last_of(1)
    assert play.machine.closing == CLOSE


def test_a_half_closed_peers_slow_request_is_aborted() -> None:
    play = Play()
    request = play.one(req(SMALL))
    play.machine.eof(0.0)
    [aborted] = play.wait(1)
    assert isinstance(aborted, Aborted)
    assert aborted.request is request
    assert play.machine.closing == CLOSE


def test_eof_of_an_idle_connection_closes_it() -> None:
    play = Play()
    assert play.machine.eof(0.0) == []
    assert play.machine.closing == CLOSE


def test_a_connection_is_idle_between_requests_only() -> None:
    play = Play()
    assert play.machine.is_idle()
    data = req(SMALL, b"", keep=True)
    for part in (data[:4], data[4:30]):
        play.give(part)
        assert not play.machine.is_idle()
    request = play.one(data[30:])
    assert not play.machine.is_idle()
    play.answer(request)
    assert play.machine.is_idle()


def test_a_connection_that_is_about_to_close_is_not_idle() -> None:
    play = Play()
    play.machine.drain()
    assert not play.machine.is_idle()
    half = Play()
    half.machine.eof(0.0)
    assert not half.machine.is_idle()


def test_a_connection_with_an_unsaid_answer_is_not_idle() -> None:
    play = Play()
    play.give(rec(wire.GET_VALUES, 0, b""))
    assert not play.machine.is_idle()
    assert play.said()
    assert play.machine.is_idle()
