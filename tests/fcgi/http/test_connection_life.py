"""HTTP connections as Hypothesis lives them: any bytes, any cuts, any end."""

import itertools

import h11
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fcgi.arrival import Limits
from fcgi.closing import CLOSE, OPEN
from fcgi.http.connection import Connection
from fcgi.http.request import RUNNING, Aborted, Chunk, Event, Request

LIMITS = Limits(
    max_connections=8,
    requests_per_connection=8,
    max_params=300,
    max_param=200,
    max_body=120,
    inline_body=30,
    idle_s=75.0,
    receive_s=60.0,
    send_s=60.0,
)
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
HEADS = [
    b"Status: 200 OK\r\nContent-Length: 2\r\n\r\n",
    b"Status: 200 OK\r\n\r\n",
    b"Status: 204 No Content\r\n\r\n",
]

lines = st.sampled_from(
    [
        b"Host: x",
        b"Host: x",
        b"Host: x",
        b"Host: /",
        b"X: y",
        b" folded",
        b"X : y",
        b"Connection: close",
        b"Expect: 100-continue",
        b"Content-Length: 2",
        b"Content-Length: 40",
        b"Content-Length: 121",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"X: " + b"x" * 250,
    ]
)
ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])
firsts = st.sampled_from(
    [
        b"GET /a.lua HTTP/1.1",
        b"POST /a.lua HTTP/1.1",
        b"HEAD /a.lua?b HTTP/1.0",
        b"GET http://y/a.lua HTTP/1.1",
        b"CONNECT y:1 HTTP/1.1",
        b"GET /a.lua HTTP/2.0",
        b"GET /a.lua",
        b"\x16\x03",
    ]
)


def head(first: bytes, fields: list[bytes], end: bytes) -> bytes:
    return end.join([first, b"Host: x", *fields, b"", b""])


heads = st.builds(head, firsts, st.lists(lines, max_size=4), ends)
bodies = st.sampled_from(
    [b"", b"ab", b"x" * 40, b"2\r\nab\r\n0\r\n\r\n", b"2;a\r\nab\r\n0\r\nT: u\r\n\r\n"]
    + [b"28\r\n%b\r\n" % (b"y" * 40) * 4 + b"0\r\n\r\n", b"2\r\nabX"]
)
traffic = st.lists(heads | bodies | st.binary(max_size=3), max_size=6).map(b"".join)


def answered(machine: Connection, events: list[Event]) -> list[tuple[object, ...]]:
    """Describe what happened, and answer what is there to be answered, in turn."""
    told: list[tuple[object, ...]] = []
    while events:
        for event in events:
            if isinstance(event, Request):
                asked = (event.method, event.target, event.fields, event.body_bytes)
                refusal = event.refusal
                # of what is refused only the answer counts
                told.append((refusal, asked if refusal is None else None))
                told.append((machine.reply(event, HEADS[0], b"hi", DATE),))
            elif isinstance(event, Aborted):
                told.append(("aborted",))
        machine.check()
        events = []
        while machine.has_more and not events:
            events = machine.receive(b"", 0.0)
    return told


def cut(data: bytes, at: set[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(i for i in at if i < len(data))})
    return [data[i:j] for i, j in itertools.pairwise(edges)]


@given(traffic, st.sets(st.integers(0, 2000)), st.integers(1, 9))
@example(b"GET /a.lua HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nab", {51}, 1)
@settings(max_examples=400)
def test_where_the_bytes_are_cut_does_not_matter_nor_how_many_steps_a_turn_has(
    data: bytes, at: set[int], most: int
) -> None:
    whole, parts = Connection(LIMITS, 0.0), Connection(LIMITS, 0.0)
    told: list[tuple[object, ...]] = []
    for part in cut(data, at):
        events = parts.receive(part, 0.0, most)
        parts.check()
        while parts.has_more and not events:
            assert not parts.is_idle()
            events = parts.receive(b"", 0.0, most)
            parts.check()
        told += answered(parts, events)
    assert answered(whole, whole.receive(data, 0.0)) == told
    # how a connection closes depends on what has come in behind its last request
    ends = [(end.closing != OPEN, end.is_idle()) for end in (whole, parts)]
    assert ends[0] == ends[1]


@given(
    st.lists(
        st.tuples(st.binary(max_size=100), st.none() | st.integers(1, 50)), min_size=1
    ),
    st.integers(1, 200),
)
def test_what_a_client_of_h11_sends_arrives_and_its_answers_are_understood(
    sent: list[tuple[bytes, int | None]], size: int
) -> None:
    machine = Connection(LIMITS, 0.0)
    client = h11.Connection(h11.CLIENT)
    for body, chunk in sent:
        framing = (
            ("Transfer-Encoding", "chunked")
            if chunk
            else (
                "Content-Length",
                str(len(body)),
            )
        )
        asks = h11.Request(method="POST", target="/a", headers=[("Host", "x"), framing])
        data = client.send(asks)
        for at in range(0, len(body), chunk or len(body) or 1):
            data += client.send(h11.Data(data=body[at : at + (chunk or len(body))]))
        data += client.send(h11.EndOfMessage())
        got = b""
        for at in range(0, len(data), size):
            for event in machine.receive(data[at : at + size], 0.0):
                if isinstance(event, Chunk):
                    got += event.data
                elif isinstance(event, Request):
                    assert (event.refusal, got + event.body) == (None, body)
                    reply = machine.begin(event, HEADS[1], DATE)
                    reply += machine.piece(event, body) + machine.end(event)
                    client.receive_data(reply)
        heard = b""
        while not isinstance(said := client.next_event(), h11.EndOfMessage):
            if isinstance(said, h11.Data):
                heard += said.data
        assert heard == body
        client.start_next_cycle()
    assert machine.is_idle()


@given(st.binary(max_size=400))
def test_garbage_raises_nothing(garbage: bytes) -> None:
    machine = Connection(LIMITS, 0.0)
    answered(machine, machine.receive(garbage, 0.0))
    machine.check()
    answered(machine, machine.receive(garbage, 1.0))
    machine.check()
    machine.lost()
    machine.check()


class Life(RuleBasedStateMachine):
    """A client that does anything, and a loop that answers when it likes."""

    @initialize()
    def begin_life(self) -> None:
        self.machine = Connection(LIMITS, 0.0)
        self.now = 0.0
        self.running: Request | None = None
        self.has_begun = False
        self.seen: list[Request] = []
        self.is_over = False  # no more may be sent

    def act(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Request):
                assert event not in self.seen
                assert self.running is None
                assert event.stage == RUNNING
                self.seen.append(event)
                self.running = event
                self.has_begun = False
            elif isinstance(event, Aborted):
                assert self.running in {None, event.request}
                self.running = None

    @rule(data=traffic, most=st.integers(1, 5))
    def hear(self, data: bytes, most: int) -> None:
        if not self.is_over and not self.machine.is_full:
            self.act(self.machine.receive(data, self.now, most))

    @precondition(lambda self: self.machine.has_more)
    @rule()
    def go_on(self) -> None:
        self.act(self.machine.receive(b"", self.now))

    @precondition(lambda self: self.running is not None)
    @rule(head=st.sampled_from(HEADS), is_cut=st.booleans())
    def answer(self, head: bytes, is_cut: bool) -> None:
        request, self.running = self.running, None
        assert request is not None
        if not self.has_begun:
            assert self.machine.begin(request, head, DATE)
        self.machine.piece(request, b"hi")
        if is_cut:
            self.machine.abandon(request)
            assert self.machine.closing
        else:
            self.machine.end(request)
        assert self.machine.begin(request, head, DATE) == b""

    @precondition(lambda self: self.running is not None)
    @rule(head=st.sampled_from(HEADS))
    def begin_answer(self, head: bytes) -> None:
        assert self.running is not None
        if not self.has_begun:
            self.has_begun = True
            assert self.machine.begin(self.running, head, DATE)

    @rule()
    def end_half(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.act(self.machine.eof(self.now))

    @rule()
    def drain(self) -> None:
        self.machine.drain()

    @rule()
    def lose(self) -> None:
        self.is_over = True
        self.act(self.machine.lost())
        assert self.running is None

    @rule(seconds=st.sampled_from([0.5, 3.0, 61.0, 76.0]), is_paused=st.booleans())
    def wait(self, seconds: float, is_paused: bool) -> None:
        self.now += seconds
        self.act(self.machine.expired(self.now, is_paused))

    @rule()
    def send(self) -> None:
        assert self.machine.data_to_send() in {b"", b"HTTP/1.1 100 Continue\r\n\r\n"}

    @invariant()
    def holds(self) -> None:
        self.machine.check()
        if self.machine.closing:
            assert self.running is None
        if self.machine.is_idle():
            assert self.machine.closing == OPEN
            assert self.running is None

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            self.act(self.machine.lost())
            assert self.machine.closing == CLOSE
            assert self.running is None


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=30)
