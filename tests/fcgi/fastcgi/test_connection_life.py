"""Connections as Hypothesis lives them: any records, any cuts, any end."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fcgi.arrival import limits
from fcgi.closing import CLOSE, OPEN
from fcgi.fastcgi.connection import Connection
from fcgi.fastcgi.request import RUNNING, Aborted, Chunk, Event, Request
from luafarm.config.settings import Front
from tests.fcgi.fastcgi import wire
from tests.fcgi.fastcgi.test_connection import describe
from tests.fcgi.fastcgi.wire import begin, rec, req, stream

LIMITS = limits(
    Front(
        requests_per_connection=2,
        max_params=300,
        max_param=200,
        max_body=120,
        inline_body=30,
    )
)
HEAD = b"Status: 200 OK\r\n\r\n"
IDS = st.sampled_from([1, 2, 3, 700])

pairs = st.fixed_dictionaries(
    {"SCRIPT_FILENAME": st.sampled_from(["/a.lua", "", "x" * 150])},
    optional={
        "CONTENT_LENGTH": st.sampled_from(["", "0", "3", "40", "-1", "x", "121"]),
        "REQUEST_METHOD": st.sampled_from(["GET", "POST"]),
        "X": st.text("ab", max_size=250),
    },
)
bodies = st.binary(max_size=130)
whole_requests = st.builds(
    req,
    pairs,
    bodies,
    id=IDS,
    keep=st.booleans(),
    role=st.sampled_from([1, 1, 1, 2, 3, 9]),
    chunk=st.sampled_from([1, 7, 65535]),
    pad=st.sampled_from([None, 0, 3, 255]),
    data=st.none() | bodies,
)
some_records = st.builds(
    rec,
    st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 255]),
    st.sampled_from([0, 1, 2, 700]),
    st.binary(max_size=20) | st.just(b"\0\1\1\0\0\0\0\0"),
)
traffic = st.lists(
    whole_requests | some_records | st.binary(max_size=3), max_size=6
).map(b"".join)


def cut(data: bytes, at: set[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(i for i in at if i < len(data))})
    return [data[i:j] for i, j in itertools.pairwise(edges)]


@given(traffic, st.sets(st.integers(0, 2000)), st.integers(1, 9))
@settings(max_examples=400)
def test_where_the_bytes_are_cut_does_not_matter_nor_how_many_records_a_pass_has(
    data: bytes, at: set[int], most: int
) -> None:
    whole, parts = Connection(LIMITS, 0.0), Connection(LIMITS, 0.0)
    events: list[Event] = []
    for part in cut(data, at):
        events += parts.receive(part, 0.0, most)
        parts.check()
        while parts.has_more:
            assert not parts.is_idle()
            events += parts.receive(b"", 0.0, most)
            parts.check()
    assert describe(whole.receive(data, 0.0)) == describe(events)
    whole.check()
    assert whole.data_to_send() == parts.data_to_send()
    assert (whole.closing, str(whole.error)) == (parts.closing, str(parts.error))


@given(
    st.lists(st.tuples(pairs, bodies), min_size=1, max_size=4),
    st.sampled_from([None, 0, 255]),
    st.data(),
)
def test_interleaved_requests_arrive_as_they_were_sent(
    sent: list[tuple[dict[str, str], bytes]], pad: int | None, data: st.DataObject
) -> None:
    queues = []
    for number, (some, body) in enumerate(sent, 1):
        params = {**some, "CONTENT_LENGTH": str(len(body)), "N": str(number)}
        message = req(params, body, id=number, keep=True, chunk=9, pad=pad)
        queues.append(
            [rec(r.type, r.id, r.content, r.padding) for r in wire.split(message)[0]]
        )
    machine = Connection(limits(Front(inline_body=5)), 0.0)
    got: dict[int, bytes] = {}
    arrived: dict[int, Request] = {}
    while queues:
        queue = data.draw(st.sampled_from(queues))
        for event in machine.receive(queue.pop(0), 0.0):
            if isinstance(event, Chunk):
                got[event.request.id] = got.get(event.request.id, b"") + event.data
            elif isinstance(event, Request):
                arrived[event.id] = event
                got[event.id] = got.get(event.id, b"") + event.body
        machine.check()
        queues = [q for q in queues if q]
    assert sorted(arrived) == list(range(1, len(sent) + 1))
    for number, (_, body) in enumerate(sent, 1):
        request = arrived[number]
        assert got[number] == body
        assert (request.refusal, request.complete) == (None, True)
        assert dict(wire.pairs_of(request.params))[b"N"] == str(number).encode()


@given(st.binary(max_size=400))
def test_garbage_raises_nothing(garbage: bytes) -> None:
    machine = Connection(LIMITS, 0.0)
    machine.receive(garbage, 0.0)
    machine.check()
    machine.receive(garbage, 1.0)
    machine.check()
    machine.lost()
    machine.check()


class Life(RuleBasedStateMachine):
    """A web server that does anything, and a loop that answers when it likes."""

    @initialize()
    def begin_life(self) -> None:
        self.machine = Connection(LIMITS, 0.0)
        self.now = 0.0
        self.sent = b""  # by the machine
        self.begun: dict[int, int] = {}  # id -> how often it was begun
        self.due: list[Request] = []
        self.is_lost = False

    def act(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Request):
                assert event not in self.due
                assert event.stage == RUNNING or Aborted in map(type, events)
                self.due.append(event)
            elif isinstance(event, Aborted) and event.request in self.due:
                self.due.remove(event.request)
        self.write(self.machine.data_to_send())

    def write(self, data: bytes) -> None:
        if not self.is_lost:
            self.sent += data

    def feed(self, data: bytes) -> None:
        for record in wire.split(data)[0]:
            if record.type == wire.BEGIN:
                self.begun[record.id] = self.begun.get(record.id, 0) + 1
        self.act(self.machine.receive(data, self.now))

    @rule(data=whole_requests)
    def whole_request(self, data: bytes) -> None:
        self.feed(data)

    @rule(data=some_records)
    def some_record(self, data: bytes) -> None:
        self.feed(data)

    @rule(request_id=IDS, flags=st.integers(0, 1), role=st.integers(0, 4))
    def begin(self, request_id: int, flags: int, role: int) -> None:
        self.feed(begin(request_id, role, flags))

    @rule(request_id=IDS, params=pairs)
    def params(self, request_id: int, params: dict[str, str]) -> None:
        self.feed(stream(wire.PARAMS, request_id, wire.blob(params)))

    @rule(kind=st.sampled_from([4, 5, 8]), request_id=IDS, data=st.binary(max_size=50))
    def piece(self, kind: int, request_id: int, data: bytes) -> None:
        self.feed(rec(kind, request_id, data))

    @rule(request_id=IDS)
    def abort(self, request_id: int) -> None:
        self.feed(rec(wire.ABORT, request_id))

    @precondition(lambda self: self.due)
    @rule(
        data=st.data(), body=st.binary(max_size=20), stderr=st.sampled_from([b"", b"e"])
    )
    def answer(self, data: st.DataObject, body: bytes, stderr: bytes) -> None:
        request = data.draw(st.sampled_from(self.due))
        self.due.remove(request)
        out = self.machine.reply(request, HEAD, body, stderr)
        assert self.machine.reply(request, HEAD, body) == b""
        found = wire.all_records(out)
        assert {r.id for r in found} == {request.id}
        assert wire.joined(found, wire.STDOUT, request.id).endswith(body)
        self.write(out)

    @precondition(lambda self: self.due)
    @rule(data=st.data())
    def answer_a_piece(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.due))
        assert self.machine.stdout(request, b"piece") != b""
        self.write(rec(wire.STDOUT, request.id, b"piece"))

    @precondition(lambda self: self.due)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.due))
        self.due.remove(request)
        self.machine.abandon(request)
        assert self.machine.end(request) == b""

    @rule(seconds=st.sampled_from([0.5, 3.0, 61.0, 80.0]), is_paused=st.booleans())
    def wait(self, seconds: float, is_paused: bool) -> None:
        self.now += seconds
        self.act(self.machine.expired(self.now, is_paused))

    @rule()
    def eof(self) -> None:
        self.act(self.machine.eof(self.now))

    @rule()
    def drain(self) -> None:
        self.machine.drain()

    @rule()
    def lost(self) -> None:
        self.is_lost = True
        self.act(self.machine.lost())
        assert self.machine.closing == CLOSE

    @invariant()
    def tables_hold(self) -> None:
        self.machine.check()

    @invariant()
    def what_is_due_is_running(self) -> None:
        assert all(request.stage == RUNNING for request in self.due)
        assert self.machine.active() >= len(self.due)
        if self.machine.closing != OPEN:
            assert self.due == []

    @invariant()
    def no_id_ends_more_often_than_it_was_begun(self) -> None:
        ends: dict[int, int] = {}
        for record in wire.all_records(self.sent):
            assert record.version == 1
            assert record.reserved == 0
            assert (len(record.content) + record.padding) % 8 == 0 or (
                record.content == b"piece"
            )
            if record.type == wire.END:
                ends[record.id] = ends.get(record.id, 0) + 1
        assert all(count <= self.begun.get(i, 0) for i, count in ends.items())


Life.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestLife = Life.TestCase
