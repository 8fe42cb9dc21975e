"""A VM host that was taken over speaks to a real front; nobody else may notice."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest
import zmq
import zmq.asyncio

from fcgi.exchange import MAX_PIECE, piece
from fcgi.placement import Pending
from fcgi.refusal import Refusal
from fcgi.reply import Heads
from fcgi.service import Service
from luafarm import scripterrors, wire
from luafarm.lograte import AT_ONCE_S
from luafarm.messages import (
    PROTOCOL,
    SAFE,
    Accuse,
    Hello,
    HostUp,
    Message,
    Miss,
    Part,
    Place,
    Report,
    Role,
    Runs,
    ScriptError,
    Snapshot,
    Verdict,
    Want,
    Welcome,
)
from luafarm.names import Epoch, HostId, Machine, Pool, RequestId, Script
from luafarm.settings import PoolSettings, Settings

pytestmark = pytest.mark.process

SCRIPT = Script(b"/srv/a.lua")
GOOD_HEAD = b"Status: 200 OK\r\nContent-Type: text/plain"


@dataclass
class Recorder:
    """An exchange that remembers how it ended."""

    pending: Pending | None = None
    ends: list[object] = field(default_factory=list)
    said: list[bytes] = field(default_factory=list)  # to the web server's log
    wanted: list[tuple[int, int, int]] = field(default_factory=list)
    error: ScriptError | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    heads: Heads = field(default_factory=lambda: Heads(7168))

    def reply(self, head: bytes, body: bytes, stderr: bytes) -> None:
        self.heads.parse(head)
        self._end(body)

    def part(self, head: bytes, chunk: bytes, stderr: bytes) -> None:
        self.heads.parse(head)

    def finish(self, stderr: bytes) -> None:
        self._end("finished")

    def refuse(
        self,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        stderr: bytes = b"",
    ) -> None:
        self.error = error
        self.said.append(stderr)
        self._end(refusal)

    def read_body(self, stream: int, offset: int, max_bytes: int) -> bytes:
        self.wanted.append((stream, offset, max_bytes))
        return b"body"[offset : offset + max_bytes]

    def _end(self, how: object) -> None:
        self.ends.append(how)
        self.done.set()


class FakePeer:
    """A ROUTER that says what the test wants and remembers what it hears."""

    def __init__(self, context: "zmq.asyncio.Context", endpoint: str) -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(endpoint)
        self.endpoint = endpoint
        self.heard: list[Message] = []
        self.client = b""

    async def hear(self, wanted: Callable[[Message], bool]) -> Message:
        while True:
            self.client, frame = await self.socket.recv_multipart()
            message = wire.decode(frame)
            self.heard.append(message)
            if wanted(message):
                return message

    async def say(self, message: Message | bytes) -> None:
        frame = message if isinstance(message, bytes) else wire.encode(message)
        await self.socket.send_multipart([self.client, frame])


@dataclass
class Stage:
    """A front between a fake broker and two fake hosts."""

    service: Service
    broker: FakePeer
    hosts: dict[str, FakePeer]

    def ask(self, flags: int = SAFE) -> Recorder:
        recorder = Recorder()
        pending = Pending(recorder, SCRIPT, flags, b"", b"", 0, 0, time.monotonic())
        self.service.submit(recorder, pending)
        return recorder

    async def run_of(self, name: str) -> int:
        runs = await self.hosts[name].hear(lambda m: isinstance(m, Runs))
        assert isinstance(runs, Runs)
        return runs.rows[0][0]


@contextlib.asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    context = zmq.asyncio.Context()
    broker = FakePeer(context, f"ipc://{directory}/broker")
    service = Service(
        asyncio.get_running_loop(),
        Settings(),
        "b",  # an even name: it hunts in the published order
        Machine("m"),
        broker.endpoint,
        None,
    )
    hosts: dict[str, FakePeer] = {}
    try:
        await broker.hear(lambda m: isinstance(m, Hello))
        await broker.say(Welcome(PROTOCOL, Role.BROKER, "broker", 1))
        ups: list[HostUp] = []
        for name in ("bad", "good"):
            hosts[name] = FakePeer(context, f"ipc://{directory}/{name}")
            up = HostUp(
                HostId(name),
                Pool("web"),
                Machine("m"),
                hosts[name].endpoint,
                b"",
                "",
                b"",
                (),
                (),
                1,
                1,
            )
            ups.append(up)
        place = Place(
            b"",
            SCRIPT,
            Pool("web"),
            Verdict.READY,
            Epoch(1),
            (HostId("bad"), HostId("good")),
            30_000,
            0,
            None,
        )
        await broker.say(Snapshot(tuple(ups), (place,)))
        for peer in hosts.values():
            await peer.hear(lambda m: isinstance(m, Hello))
            await peer.say(Welcome(PROTOCOL, Role.HOST, "host", 0))
        await asyncio.sleep(0)
        yield Stage(service, broker, hosts)
    finally:
        service.close()
        for peer in (broker, *hosts.values()):
            peer.socket.close()
        context.term()


def done(request: int, head: bytes = GOOD_HEAD, body: bytes = b"hi") -> bytes:
    return wire.encode_dones([(request, 0, head, body, b"", b"", 10)])


GARBAGE: dict[str, Callable[[int], bytes]] = {
    "no msgpack": lambda _: b"\xc1\xff\x00",
    "a map": lambda _: bytes(msgpack.packb({1: 2})),
    "an unknown kind": lambda _: bytes(msgpack.packb([99, 1])),
    "no kind": lambda _: bytes(msgpack.packb(["x"])),
    "a stranger's request": lambda _: done(12345),
    "a row too short": lambda r: bytes(msgpack.packb([wire.DONES, [[r, 0, b""]]])),
    "a field of a wrong type": lambda r: bytes(
        msgpack.packb([wire.DONES, [[r, 0, "text", b"", b"", b"", 1]]])
    ),
    "an unknown outcome": lambda r: bytes(
        msgpack.packb([wire.DONES, [[r, 77, b"", b"", b"", b"", 1]]])
    ),
    "an error that is none": lambda r: bytes(
        msgpack.packb([wire.DONES, [[r, 1, b"", b"", b"", b"junk", 1]]])
    ),
    "a message of the broker": lambda _: wire.encode(Miss(b"/x", ())),
    "nested without end": lambda _: b"\x91" * 5000 + b"\x90",
    "more values than replies have": lambda r: bytes(
        msgpack.packb([wire.DONES, [[r, 0, [[]] * 5000, b"", b"", b"", 1]]])
    ),
    "a body that is none": lambda r: wire.encode(Want(RequestId(r), 2, 0, 10)),
    "a body before its start": lambda r: wire.encode(Want(RequestId(r), 0, -1, 10)),
    "a body of less than nothing": lambda r: wire.encode(Want(RequestId(r), 0, 0, -1)),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_host_that_breaks_the_protocol_is_accused_and_its_runs_go_elsewhere(
    name: str, tmp_path: Path
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(20):
            recorder = play.ask()
            request = await play.run_of("bad")
            await play.hosts["bad"].say(GARBAGE[name](request))
            accused = await play.broker.hear(lambda m: isinstance(m, Accuse))
            assert isinstance(accused, Accuse)
            assert accused.host == "bad"
            if recorder.ends:  # an answer that cannot be read is an answer
                assert recorder.ends == [Refusal.BAD_REPLY]
                return
            again = await play.run_of("good")
            assert again != request
            await play.hosts["good"].say(done(again))
            await recorder.done.wait()
            assert recorder.ends == [b"hi"]

    asyncio.run(play())


BAD_HEADS = {
    "no header": b"",
    "no colon": b"Status 200",
    "a NUL": b"Status: 200 OK\r\nX: a\0b",
    "a lone CR": b"Status: 200 OK\r\nX: a\rSet-Cookie: b",
    "a blank line": b"Status: 200 OK\r\n\r\n<html>",
    "too long": b"X: " + b"a" * 10_000,
    "no status": b"Status: abc",
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_a_reply_without_a_valid_header_is_a_502_and_costs_no_host(
    name: str, tmp_path: Path
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(20):
            recorder = play.ask()
            request = await play.run_of("bad")
            await play.hosts["bad"].say(done(request, BAD_HEADS[name]))
            await recorder.done.wait()
            assert recorder.ends == [Refusal.BAD_REPLY]
            second = play.ask()
            await play.hosts["bad"].say(done(await play.run_of("bad")))
            await second.done.wait()
            assert second.ends == [b"hi"]

    asyncio.run(play())


def test_a_host_cannot_answer_for_another(tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(20):
            play.ask()
            await play.run_of("bad")
            victim = play.ask()
            stolen = await play.run_of("good")
            part = Part(stolen, GOOD_HEAD, b"forged", b"")  # type: ignore[arg-type]
            await play.hosts["bad"].say(part)
            await play.hosts["bad"].say(done(stolen, body=b"forged"))
            await play.broker.hear(lambda m: isinstance(m, Accuse))
            await play.hosts["good"].say(done(stolen, body=b"true"))
            await victim.done.wait()
            assert victim.ends == [b"true"]

    asyncio.run(play())


@pytest.mark.parametrize(("count", "end"), [(b"3", "finished"), (b"6", None)])
def test_a_reply_whose_pieces_did_not_all_arrive_is_cut_visibly(
    tmp_path: Path, count: bytes, end: str | None
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(20):
            recorder = play.ask()
            request = await play.run_of("bad")
            host = play.hosts["bad"]
            await host.say(Part(RequestId(request), GOOD_HEAD, b"abc", b""))
            row = (request, 0, count, b"", b"", b"", 10)
            await host.say(wire.encode_dones([row]))
            await recorder.done.wait()
            assert recorder.ends == [end or Refusal.HOST_LOST]

    asyncio.run(play())


def test_an_answer_counts_once(tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(20):
            recorder = play.ask()
            request = await play.run_of("bad")
            await play.hosts["bad"].say(done(request, body=b"first"))
            await play.hosts["bad"].say(done(request, body=b"second"))
            await play.broker.hear(lambda m: isinstance(m, Accuse))
            assert recorder.ends == [b"first"]

    asyncio.run(play())


LONG = "\0" * (1 << 20)


def test_neither_page_nor_logs_show_all_of_an_error_without_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(20):
            recorder = play.ask()
            request = await play.run_of("bad")
            error = ScriptError(LONG, LONG, LONG, LONG, 1, LONG, LONG)
            row = (request, 1, b"", b"", LONG.encode(), wire.encode_error(error), 1)
            await play.hosts["bad"].say(wire.encode_dones([row]))
            await recorder.done.wait()
            assert recorder.error == scripterrors.cut(error)
            rate = PoolSettings().log_rate * AT_ONCE_S
            most = rate + 4 * 3 * scripterrors.MAX_TEXT  # all of one text is written
            assert sum(map(len, recorder.said)) < most
            assert sum(map(len, caplog.messages)) < most

    asyncio.run(play())


def test_times_that_nothing_takes_do_not_stop_the_front(tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(20):
            for service_us in (2**64 - 1, -(2**63), 2**64 - 1):
                recorder = play.ask()
                request = await play.run_of("bad")
                row = (request, 0, GOOD_HEAD, b"hi", b"", b"", service_us)
                await play.hosts["bad"].say(wire.encode_dones([row]))
                await recorder.done.wait()
            for _ in range(2):  # the clock ticks on
                await play.broker.hear(lambda m: isinstance(m, Report))

    asyncio.run(play())


def test_a_host_gets_no_more_of_a_body_at_once_than_a_piece() -> None:
    recorder = Recorder()
    assert piece(recorder, 1, 2**64 - 1, 2**64 - 1) == b""
    assert piece(recorder, 0, 1, 2) == b"od"
    assert recorder.wanted == [(1, 1 << 40, MAX_PIECE), (0, 1, 2)]
