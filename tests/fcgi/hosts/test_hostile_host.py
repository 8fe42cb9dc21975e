"""A VM host that was taken over speaks to a real front; nobody else may notice."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest
import zmq
import zmq.asyncio

from fcgi.cgi.refusal import Refusal
from fcgi.cgi.reply import Heads
from fcgi.dispatch.conduct import IDLE_AT_ONCE, MAX_PIECE
from fcgi.dispatch.tables import Pending
from fcgi.service import Service
from luafarm import scripterrors
from luafarm.config.settings import PoolSettings, Settings
from luafarm.ends import Budget
from luafarm.names import Epoch, HostId, Machine, Pool, RequestId, Script
from luafarm.process.lograte import AT_ONCE_S
from luafarm.wire import codec, zmtp
from luafarm.wire.messages import (
    PROTOCOL,
    SAFE,
    Accuse,
    Body,
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
from luafarm.wire.zmtp import Session

pytestmark = pytest.mark.process

SCRIPT = Script(b"/srv/a.lua")
REPLY_BYTES = 1 << 20
LOG_BYTES = 1 << 20
BODY = b"0123456789" * 100_000  # of requests that have a long one
GOOD_HEAD = b"Status: 200 OK\r\nContent-Type: text/plain"


@dataclass
class Recorder:
    """An exchange that remembers how it ended."""

    pending: Pending | None = None
    ends: list[object] = field(default_factory=list)
    said: list[bytes] = field(default_factory=list)  # to the web server's log
    error: ScriptError | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    heads: Heads = field(default_factory=lambda: Heads(7168))
    has_begun: bool = False

    def reply(self, head: bytes, body: bytes, stderr: bytes) -> None:
        self.heads.parse(head)
        self._end(body)

    def part(self, head: bytes, chunk: bytes, stderr: bytes) -> None:
        if not self.has_begun:
            self.heads.parse(head)
        self.has_begun = True

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
        return BODY[offset : offset + max_bytes]

    def _end(self, how: object) -> None:
        self.ends.append(how)
        self.done.set()


class FakePeer:
    """A ROUTER that says what the test wants and remembers what it hears."""

    def __init__(self, context: "zmq.asyncio.Context", endpoint: str) -> None:
        self.context = context
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(endpoint)
        self.endpoint = endpoint
        self.heard: list[Message] = []
        self.client = b""

    async def hear(self, wanted: Callable[[Message], bool]) -> Message:
        while True:
            self.client, frame = await self.socket.recv_multipart()
            message = codec.decode(frame)
            self.heard.append(message)
            if wanted(message):
                return message

    async def say(self, message: Message | bytes) -> None:
        frame = message if isinstance(message, bytes) else codec.encode(message)
        await self.socket.send_multipart([self.client, frame])

    def close(self) -> None:
        self.socket.close()


class RawPeer:
    """The same as a host, on a socket that is read by `hear` and at no other time."""

    def __init__(self, path: Path) -> None:
        self.endpoint = f"ipc://{path}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.setblocking(False)
        self.socket: socket.socket | None = None
        self._session = Session(zmtp.ROUTER, zmtp.DEALER)

    async def hear(self, wanted: Callable[[Message], bool]) -> Message:
        loop = asyncio.get_running_loop()
        if self.socket is None:
            self.socket, _ = await loop.sock_accept(self.listener)
            await loop.sock_sendall(self.socket, self._session.opening())
        while True:
            data = await loop.sock_recv(self.socket, 1 << 16)
            assert data
            for message in map(codec.decode, self._session.receive(data)):
                if wanted(message):
                    return message

    async def say(self, message: Message | bytes) -> None:
        frame = message if isinstance(message, bytes) else codec.encode(message)
        await self.send(zmtp.head(len(frame)) + frame)

    async def send(self, data: bytes) -> None:
        assert self.socket is not None
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def close(self) -> None:
        self.listener.close()
        if self.socket is not None:
            self.socket.close()


@dataclass
class Stage:
    """A front between a fake broker and two fake hosts."""

    service: Service
    broker: FakePeer
    hosts: dict[str, FakePeer | RawPeer]
    snapshot: Snapshot

    def ask(self, flags: int = SAFE, body: bytes | None = b"") -> Recorder:
        """Send a request; without a body it has a long one, to be pulled."""
        recorder = Recorder()
        size = len(BODY) if body is None else len(body)
        now = time.monotonic()
        pending = Pending(recorder, SCRIPT, flags, b"", body, size, 0, now)
        self.service.submit(recorder, pending)
        return recorder

    async def run_of(self, name: str) -> int:
        runs = await self.hosts[name].hear(lambda m: isinstance(m, Runs))
        assert isinstance(runs, Runs)
        return runs.rows[0][0]


@contextlib.asynccontextmanager
async def stage(directory: Path, *, is_deaf: bool = False) -> AsyncIterator[Stage]:
    """Set it; is_deaf: the bad host reads only what the test wants to hear."""
    context = zmq.asyncio.Context()
    bad = directory / "bad"
    hosts: dict[str, FakePeer | RawPeer] = {
        "bad": RawPeer(bad) if is_deaf else FakePeer(context, f"ipc://{bad}"),
        "good": FakePeer(context, f"ipc://{directory}/good"),
    }
    play = Stage(
        service=Service(
            asyncio.get_running_loop(),
            Settings(),
            "b",  # an even name: it hunts in the published order
            Machine("m"),
            f"ipc://{directory}/broker",
            None,
        ),
        broker=FakePeer(context, f"ipc://{directory}/broker"),
        hosts=hosts,
        snapshot=snapshot(hosts),
    )
    try:
        await play.broker.hear(lambda m: isinstance(m, Hello))
        await play.broker.say(Welcome(PROTOCOL, Role.BROKER, "broker", 1))
        await play.broker.say(play.snapshot)
        for peer in hosts.values():
            await peer.hear(lambda m: isinstance(m, Hello))
            await peer.say(Welcome(PROTOCOL, Role.HOST, "host", 0))
        await asyncio.sleep(0)
        yield play
    finally:
        play.service.close()
        for peer in (play.broker, *hosts.values()):
            peer.close()
        context.term()


def snapshot(hosts: dict[str, FakePeer | RawPeer]) -> Snapshot:
    """Return what the broker says of two hosts that have a script."""
    ups = [
        HostUp(
            host=HostId(name),
            pool=Pool("web"),
            machine=Machine("m"),
            endpoint=peer.endpoint,
            server_key=b"",
            notices="",
            notices_key=b"",
            layers=(),
            missing=(),
            pid=1,
            uid=1,
        )
        for name, peer in hosts.items()
    ]
    place = Place(
        asked=b"",
        script=SCRIPT,
        pool=Pool("web"),
        verdict=Verdict.READY,
        epoch=Epoch(1),
        hosts=tuple([up.host for up in ups]),
        wall_ms=30_000,
        reply_bytes=REPLY_BYTES,
        log_bytes=LOG_BYTES,
        retry_after_s=0,
        error=None,
    )
    return Snapshot(tuple(ups), (place,))


def done(request: int, head: bytes = GOOD_HEAD, body: bytes = b"hi") -> bytes:
    return codec.encode_dones([(request, 0, head, body, b"", b"", 10)])


def part(
    request: int, head: bytes = b"", chunk: bytes = b"", log: bytes = b""
) -> bytes:
    return codec.encode(Part(RequestId(request), head, chunk, log))


def want(request: int, offset: int = 0, size: int = 10, stream: int = 0) -> bytes:
    return codec.encode(Want(RequestId(request), stream, offset, size))


def row(request: int, outcome: int, body: bytes, log: bytes) -> bytes:
    return codec.encode_dones([(request, outcome, GOOD_HEAD, body, log, b"", 1)])


GARBAGE: dict[str, Callable[[int], bytes]] = {
    "no msgpack": lambda _: b"\xc1\xff\x00",
    "a map": lambda _: bytes(msgpack.packb({1: 2})),
    "an unknown kind": lambda _: bytes(msgpack.packb([99, 1])),
    "no kind": lambda _: bytes(msgpack.packb(["x"])),
    "a stranger's request": lambda _: done(12345),
    "a row too short": lambda r: bytes(msgpack.packb([codec.DONES, [[r, 0, b""]]])),
    "a field of a wrong type": lambda r: bytes(
        msgpack.packb([codec.DONES, [[r, 0, "text", b"", b"", b"", 1]]])
    ),
    "an unknown outcome": lambda r: bytes(
        msgpack.packb([codec.DONES, [[r, 77, b"", b"", b"", b"", 1]]])
    ),
    "an error that is none": lambda r: bytes(
        msgpack.packb([codec.DONES, [[r, 1, b"", b"", b"", b"junk", 1]]])
    ),
    "a message of the broker": lambda _: codec.encode(Miss(b"/x", ())),
    "nested without end": lambda _: b"\x91" * 5000 + b"\x90",
    "more values than replies have": lambda r: bytes(
        msgpack.packb([codec.DONES, [[r, 0, [[]] * 5000, b"", b"", b"", 1]]])
    ),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_host_that_breaks_the_protocol_is_accused_and_its_runs_go_elsewhere(
    name: str, tmp_path: Path
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(120):
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


LIES: dict[str, tuple[Callable[[int], list[bytes]], str]] = {
    "a part for nobody": (lambda r: [part(r + 1, GOOD_HEAD)], "a part of a reply to a"),
    "a part with nothing in it": (
        lambda r: [part(r, GOOD_HEAD), part(r)],
        "nothing in it",
    ),
    "two heads": (
        lambda r: [part(r, GOOD_HEAD, b"x"), part(r, GOOD_HEAD, b"y")],
        "a second head of a reply",
    ),
    "parts beyond the reply budget": (
        lambda r: [part(r, GOOD_HEAD), *[part(r, chunk=bytes(300_000))] * 4],
        "a reply of 1200000 bytes; its script may make 1048576",
    ),
    "a whole reply beyond its budget": (
        lambda r: [row(r, 0, bytes(REPLY_BYTES + 1), b"")],
        "a reply of 1048577 bytes; its script may make 1048576",
    ),
    "logs beyond their budget": (
        lambda r: [part(r, GOOD_HEAD), *[part(r, log=b"ix\0" * 100_000)] * 4],
        "a log of 1200000 bytes; its script may make 1048576",
    ),
    "a log beyond its budget": (
        lambda r: [row(r, 0, b"", bytes(LOG_BYTES + 1))],
        "a log of 1048577 bytes; its script may make 1048576",
    ),
    "a log of a failure beyond its budget": (
        lambda r: [row(r, 1, b"", bytes(LOG_BYTES + 1))],
        "a log of 1048577 bytes; its script may make 1048576",
    ),
    "a frame beyond all that it may say": (
        lambda r: [part(r, GOOD_HEAD, bytes(3 << 20))],
        "a frame of 3145.* the limit is 2",
    ),
    "no state for a stranger's request": (
        lambda r: [row(r + 1, 3, b"", b"")],
        "an answer to a request that it does not have",
    ),
    "a Welcome again": (
        lambda _: [codec.encode(Welcome(PROTOCOL, Role.HOST, "bad", 0))],
        "a Welcome without a Hello",
    ),
    "a Welcome of a broker": (
        lambda _: [codec.encode(Welcome(PROTOCOL, Role.BROKER, "bad", 0))],
        "Welcome as BROKER",
    ),
    "answers to nothing without end": (
        lambda _: [codec.encode_dones([])] * (5 * IDLE_AT_ONCE),
        "more than 100 messages without content at once",
    ),
    "a body for nobody": (lambda r: [want(r + 1)], "an ask for the body"),
    "a body that is none": (lambda r: [want(r, stream=2)], "body 2; there are 0 and 1"),
    "a body before its start": (lambda r: [want(r, -1)], "at -1; it goes on at 0"),
    "a body of less than nothing": (lambda r: [want(r, size=-1)], "for -1 bytes"),
    "a body of nothing": (lambda r: [want(r, size=0)], "for 0 bytes"),
    "a body in one piece": (
        lambda r: [want(r, size=MAX_PIECE + 1)],
        "for 262145 bytes of body 0; .* 1 to 262144",
    ),
    "a body from far away": (
        lambda r: [want(r, 2**64 - 1)],
        "at 18446744073709551615; it goes on at 0 of 1000000",
    ),
    "the same piece again": (
        lambda r: [want(r), want(r)],
        "at 0; it goes on at 10 of 1000000",
    ),
    "a body that there is not": (
        lambda r: [want(r, stream=1)],
        "body 1 at 0; it goes on at 0 of 0",
    ),
}
"""What a host says that does not hold, and what it is accused of."""


@pytest.mark.parametrize("name", LIES)
def test_a_host_that_says_too_much_is_accused_once_of_what_it_did(
    name: str, tmp_path: Path
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(20):
            recorder = play.ask(flags=0, body=None)
            request = await play.run_of("bad")
            frames, why = LIES[name]
            for frame in [*frames(request), part(4711)]:
                await play.hosts["bad"].say(frame)
            accused = await play.broker.hear(lambda m: isinstance(m, Accuse))
            assert isinstance(accused, Accuse)
            assert accused.host == "bad"
            assert re.search(why, accused.why), accused.why
            await recorder.done.wait()
            assert recorder.ends in ([Refusal.HOST_LOST], [Refusal.BAD_REPLY])
            asking = asyncio.create_task(play.service.ask(b"/last"))
            await play.broker.hear(lambda m: isinstance(m, Miss))
            asking.cancel()
            assert [m for m in play.broker.heard if isinstance(m, Accuse)] == [accused]

    asyncio.run(play())


PING = b"\x04\x07\x04PING\x00\x64"
NO_ZMTP: dict[str, tuple[bytes, str]] = {
    "PINGs without end": (PING * 10_000, "more than 100 commands of ZMTP at once"),
    "commands that nobody knows": (b"\x04\x03\x02XY" * 10_000, "more than 100 comm"),
    "READY again and again": (b"\x04\x06\x05READY" * 10_000, "more than 100 comm"),
    "a PING of many bytes": (
        b"\x04\x27\x04PING\x00\x64" + bytes(32),
        "32 bytes of con",
    ),
    "a command of many bytes": (b"\x06" + (1 << 16).to_bytes(8), "65536 .* 4096"),
    "the start of 80 MiB": (b"\x02" + (80 << 20).to_bytes(8), "83886080 .* limit is 2"),
    "a message of frames without end": (b"\x01\x00" * 10, "of several frames"),
    "empty frames": (b"\x00\x00" * 10_000, "no msgpack message"),
    "flags that there are not": (b"\x40\x00", "flags 0x40"),
    "an ERROR": (b"\x04\x09\x05ERROR\x02no", "ERROR: no"),
}


@pytest.mark.parametrize("name", NO_ZMTP)
def test_a_host_that_abuses_zmtp_is_accused_of_it(name: str, tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path, is_deaf=True) as play, asyncio.timeout(20):
            recorder = play.ask()
            await play.run_of("bad")
            bad = play.hosts["bad"]
            assert isinstance(bad, RawPeer)
            data, why = NO_ZMTP[name]
            with contextlib.suppress(ConnectionError):  # cut off before its end
                await bad.send(data)
            accused = await play.broker.hear(lambda m: isinstance(m, Accuse))
            assert isinstance(accused, Accuse)
            assert accused.host == "bad"
            assert re.search(why, accused.why), accused.why
            await play.hosts["good"].say(done(await play.run_of("good")))
            await recorder.done.wait()
            assert recorder.ends == [b"hi"]

    asyncio.run(play())


@pytest.mark.parametrize(
    "words",
    [
        b"\x06" + (906).to_bytes(8) + b"\x05ERROR" + b"x\nERROR forged\x1b[2J" * 50,
        zmtp.head(1_000_004) + b"\x91\xc6" + (999_998).to_bytes(4) + bytes(999_998),
    ],
)
def test_an_accusation_quotes_a_host_in_short_and_forges_no_line(
    words: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        async with stage(tmp_path, is_deaf=True) as play, asyncio.timeout(20):
            bad = play.hosts["bad"]
            assert isinstance(bad, RawPeer)
            await bad.send(words)
            accused = await play.broker.hear(lambda m: isinstance(m, Accuse))
            assert isinstance(accused, Accuse)
            assert len(accused.why) < 2000
            assert accused.why.replace("\n\t", "").isprintable()
            assert max(map(len, caplog.messages)) < 2000

    asyncio.run(play())


def test_pieces_that_are_asked_for_and_not_taken_end_the_connection(
    tmp_path: Path,
) -> None:
    """A host that reads nothing asks on, each time for what comes next."""

    async def play() -> None:
        async with stage(tmp_path, is_deaf=True) as play, asyncio.timeout(20):
            play.ask(flags=0, body=None)
            host = play.hosts["bad"]
            request = await play.run_of("bad")
            for offset in range(0, len(BODY), 200_000):
                await host.say(want(request, offset, 200_000))
            accused = await play.broker.hear(lambda m: isinstance(m, Accuse))
            assert isinstance(accused, Accuse)
            assert accused.why == "an ask for a further piece before the last was taken"

    asyncio.run(play())


def test_an_honest_host_reads_a_body_to_its_end_and_answers_as_much_as_it_may(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(20):
            recorder = play.ask(flags=0, body=None)
            request = await play.run_of("bad")
            host = play.hosts["bad"]
            got = b""
            while len(got) < len(BODY):
                await host.say(want(request, len(got), 1 if not got else MAX_PIECE))
                body = await host.hear(lambda m: isinstance(m, Body))
                assert isinstance(body, Body)
                assert body.offset == len(got)
                got += body.chunk
            assert got == BODY
            await host.say(part(request, GOOD_HEAD, b"x", b"isaid\0"))
            left = REPLY_BYTES - 1
            while left:
                size = min(left, MAX_PIECE)
                await host.say(part(request, chunk=bytes(size)))
                left -= size
            count = b"%d" % REPLY_BYTES
            await host.say(codec.encode_dones([(request, 0, count, b"", b"", b"", 10)]))
            await recorder.done.wait()
            assert recorder.ends == ["finished"]
            assert not [m for m in play.broker.heard if isinstance(m, Accuse)]

    asyncio.run(play())


def test_a_host_that_is_accused_while_the_broker_is_away_is_accused_to_the_next(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(20):
            recorder = play.ask()
            request = await play.run_of("bad")
            play.broker.close()
            while play.service.has_broker():  # noqa: ASYNC110 - libzmq's thread says so
                await asyncio.sleep(0.001)
            await play.hosts["bad"].say(part(request + 1))
            await play.hosts["good"].say(done(await play.run_of("good")))
            await recorder.done.wait()
            assert recorder.ends == [b"hi"]  # nobody waits for the broker
            play.broker = FakePeer(play.broker.context, play.broker.endpoint)
            await play.broker.hear(lambda m: isinstance(m, Hello))
            await play.broker.say(Welcome(PROTOCOL, Role.BROKER, "broker", 2))
            await play.broker.say(play.snapshot)
            accused = await play.broker.hear(lambda m: isinstance(m, Accuse))
            assert isinstance(accused, Accuse)
            assert accused.host == "bad"

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
        async with stage(tmp_path) as play, asyncio.timeout(120):
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
        async with stage(tmp_path) as play, asyncio.timeout(120):
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


@pytest.mark.parametrize(
    ("pieces", "count", "end"),
    [(1, b"3", "finished"), (1, b"6", None), (0, b"3", None), (0, b"0", None)],
)
def test_a_reply_whose_pieces_did_not_all_arrive_is_cut_visibly(
    tmp_path: Path, pieces: int, count: bytes, end: str | None
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(120):
            recorder = play.ask()
            request = await play.run_of("bad")
            host = play.hosts["bad"]
            for _ in range(pieces):
                await host.say(Part(RequestId(request), GOOD_HEAD, b"abc", b""))
            row = (request, 0, count, b"", b"", b"", 10)
            await host.say(codec.encode_dones([row]))
            await recorder.done.wait()
            assert recorder.ends == [end or Refusal.HOST_LOST]

    asyncio.run(play())


def test_an_answer_counts_once(tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(120):
            recorder = play.ask()
            request = await play.run_of("bad")
            await play.hosts["bad"].say(done(request, body=b"first"))
            await play.hosts["bad"].say(done(request, body=b"second"))
            await play.broker.hear(lambda m: isinstance(m, Accuse))
            assert recorder.ends == [b"first"]

    asyncio.run(play())


LONG = "\0" * (200 << 10)


def test_neither_page_nor_logs_show_all_of_an_error_without_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(120):
            recorder = play.ask()
            request = await play.run_of("bad")
            error = ScriptError(LONG, LONG, LONG, LONG, 1, LONG, Budget.NONE)
            row = (request, 1, b"", b"", LONG.encode(), codec.encode_error(error), 1)
            await play.hosts["bad"].say(codec.encode_dones([row]))
            await recorder.done.wait()
            assert recorder.error == scripterrors.cut(error)
            rate = PoolSettings().log_rate * AT_ONCE_S
            most = rate + 4 * 3 * scripterrors.MAX_TEXT  # all of one text is written
            assert sum(map(len, recorder.said)) < most
            assert sum(map(len, caplog.messages)) < most

    asyncio.run(play())


def test_times_that_nothing_takes_do_not_stop_the_front(tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as play, asyncio.timeout(120):
            for service_us in (2**64 - 1, -(2**63), 2**64 - 1):
                recorder = play.ask()
                request = await play.run_of("bad")
                row = (request, 0, GOOD_HEAD, b"hi", b"", b"", service_us)
                await play.hosts["bad"].say(codec.encode_dones([row]))
                await recorder.done.wait()
            for _ in range(2):  # the clock ticks on
                await play.broker.hear(lambda m: isinstance(m, Report))

    asyncio.run(play())
