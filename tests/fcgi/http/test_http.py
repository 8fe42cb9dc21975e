"""The HTTP listener with slow and broken clients, in front of a service of the test."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from fcgi.cgi import params
from fcgi.cgi.refusal import STATUS, Refusal
from fcgi.cgi.reply import BadHeaderError
from fcgi.connections import Connections
from fcgi.dispatch.machine import Dispatch
from fcgi.dispatch.tables import Pending
from fcgi.exchange import Exchange
from fcgi.gauges import Gauges
from fcgi.http.listener import HttpListener
from fcgi.quota import Quota
from fcgi.terms import Terms
from luafarm.config.settings import Front, PoolSettings, Settings
from luafarm.ends import Budget
from luafarm.wire.messages import ScriptError

if TYPE_CHECKING:
    from fcgi.service import Service

pytestmark = pytest.mark.process

KIB = 1024
MIB = 1024 * KIB
QUOTA = 64 * MIB
HEAD = b"Status: 200 OK\r\nContent-Type: text/plain"
GET = b"GET /a.lua HTTP/1.1\r\nHost: x\r\n\r\n"
DEADLINE_S = 50  # less than what no test sets: 60 s


@dataclass
class FakeService:
    """Keeps what it is given; the test answers."""

    exchanges: list[Exchange] = field(default_factory=list)
    abandoned: list[Pending] = field(default_factory=list)

    def submit(self, exchange: Exchange, arrived: Pending | Refusal) -> None:
        if isinstance(arrived, Refusal):
            exchange.refuse(arrived)
            return
        exchange.pending = arrived
        self.exchanges.append(exchange)

    def abandon(self, pending: Pending) -> None:
        self.abandoned.append(pending)


@dataclass
class Stage:
    """A listener in front of a fake service."""

    port: int
    service: FakeService
    quota: Quota
    connections: Connections

    async def until(self, claim: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not claim():  # noqa: ASYNC110 - nobody tells the test
                await asyncio.sleep(0.01)

    async def asked(self, number: int = 1) -> Exchange:
        """Return the newest request, once there are so many."""
        await self.until(lambda: len(self.service.exchanges) >= number)
        return self.service.exchanges[-1]


@contextlib.asynccontextmanager
async def stage(**front: object) -> AsyncIterator[Stage]:
    given = Front(**{"spool": QUOTA, **front})  # type: ignore[arg-type]
    settings = Settings(front=given, pool={"web": PoolSettings(root=("/srv",))})
    service = FakeService()
    terms = Terms(settings)
    quota = terms.quota
    dispatch = Dispatch(
        lambda: 1,
        number=0,
        queue=given.queue,
        queue_per_script=given.queue_per_script,
        queue_timeout_s=given.queue_timeout,
        queue_target_s=given.queue_target,
        remembered=1,
    )
    gauges = Gauges(dispatch)
    loop = asyncio.get_running_loop()
    connections = Connections(loop, given.max_connections, given.backlog, gauges)
    listener = HttpListener(settings, terms, cast("Service", service), connections)
    sock = socket.create_server(("127.0.0.1", 0))
    port: int = sock.getsockname()[1]
    connections.listen([(sock, listener)])
    play = Stage(port, service, quota, connections)
    try:
        yield play
        connections.drain()
        await play.until(lambda: not connections)
        assert quota.left == QUOTA
    finally:
        sock.close()
        connections.close()


@contextlib.asynccontextmanager
async def client(
    port: int, sent: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect and send something; the kernel takes little unless it is read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KIB)
    sock.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=16 * KIB)
    try:
        writer.write(sent)
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(2 * DEADLINE_S):
            await scene()

    asyncio.run(within())


# ---- slow clients --------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 64])
def test_a_long_reply_waits_on_disk_and_arrives_whole(parts: int) -> None:
    body = bytes(range(256)) * (16 * MIB // 256)

    async def scene() -> None:
        async with stage(reply_memory=64 * KIB) as play:
            async with client(play.port, GET) as (reader, _):
                exchange = await play.asked()
                if parts == 1:
                    exchange.reply(HEAD, body, b"")
                else:
                    size = len(body) // parts
                    for at in range(0, len(body), size):
                        exchange.part(
                            HEAD if not at else b"", body[at : at + size], b""
                        )
                    exchange.finish(b"")
                assert exchange.pending is None
                assert len(body) // 2 < QUOTA - play.quota.left < len(body)
                head = await reader.readuntil(b"\r\n\r\n")
                if parts == 1:
                    assert b"Content-Length: %d" % len(body) in head
                    assert await reader.readexactly(len(body)) == body
                else:
                    assert await chunks(reader) == body
            await play.until(lambda: play.quota.left == QUOTA)
            assert not play.service.abandoned

    play(scene)


async def chunks(reader: asyncio.StreamReader) -> bytes:
    """Return a body that comes in chunks (RFC 9112, 7.1)."""
    pieces: list[bytes] = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        pieces.append(await reader.readexactly(size))
        assert await reader.readexactly(2) == b"\r\n"
    return b"".join(pieces)


def test_a_client_that_goes_away_frees_the_room_and_ends_the_request() -> None:
    async def scene() -> None:
        async with stage(reply_memory=64 * KIB) as play:
            async with client(play.port, GET):
                exchange = await play.asked()
                exchange.part(HEAD, b"x" * (8 * MIB), b"")
                assert play.quota.left < QUOTA
            await play.until(lambda: play.quota.left == QUOTA)
            assert len(play.service.abandoned) == 1
            assert exchange.pending is None  # each would keep the other, and a body
            exchange.part(b"", b"x" * MIB, b"")
            assert play.quota.left == QUOTA

    play(scene)


def test_a_reply_without_room_costs_its_client_the_connection() -> None:
    async def scene() -> None:
        async with (
            stage(reply_memory=64 * KIB) as play,
            client(play.port, GET) as (reader, _),
        ):
            exchange = await play.asked()
            exchange.part(HEAD, b"x" * (16 * MIB), b"")
            left = play.quota.left
            play.quota.take(left)
            exchange.part(b"", b"y", b"")
            await play.until(lambda: bool(play.service.abandoned))
            play.quota.give_back(left)
            with contextlib.suppress(ConnectionError):
                assert b"\r\n0\r\n" not in await reader.read(-1)

    play(scene)


def test_a_client_that_takes_nothing_is_disconnected_in_time() -> None:
    async def scene() -> None:
        async with (
            stage(reply_memory=64 * KIB, send_timeout=0.2) as play,
            client(play.port, GET),
        ):
            exchange = await play.asked()
            exchange.part(HEAD, b"x" * (16 * MIB), b"")
            await play.until(lambda: bool(play.service.abandoned))
            assert play.quota.left == QUOTA

    play(scene)


# ---- requests that do not come -------------------------------------------------------


def test_a_body_that_is_late_is_answered_408_and_the_connection_ends() -> None:
    async def scene() -> None:
        post = b"POST /a.lua HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
        async with (
            stage(receive_timeout=0.2) as play,
            client(play.port, post) as (reader, _),
        ):
            answer = await reader.read(-1)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"connection: close" in answer.lower()
            assert not play.service.exchanges

    play(scene)


def test_bodies_that_never_end_are_given_up() -> None:
    async def scene() -> None:
        post = b"POST /a.lua HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with (
            stage(receive_timeout=0.2) as play,
            client(play.port, post) as (reader, writer),
        ):
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"1\r\nx\r\n")
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(KIB), 0.01)
            assert not play.service.exchanges

    play(scene)


@pytest.mark.parametrize(
    ("sent", "short"),
    [
        (b"", "idle_timeout"),
        (GET[:-2], "receive_timeout"),
        (GET, "idle_timeout"),
        (GET + GET[:-2], "receive_timeout"),
    ],
    ids=["nothing", "half a head", "one request", "one and a half"],
)
def test_a_connection_that_asks_nothing_more_ends(sent: bytes, short: str) -> None:
    async def scene() -> None:
        async with (
            stage(**{short: 1.0}) as play,
            client(play.port, sent) as (reader, _),
        ):
            if GET in sent:
                (await play.asked()).reply(HEAD, b"hi", b"")
            answer = await reader.read(-1)
            assert answer.count(b"HTTP/1.1 200") == int(GET in sent)
            assert len(play.service.exchanges) == int(GET in sent)

    play(scene)


def test_a_request_that_runs_long_is_waited_for() -> None:
    async def scene() -> None:
        async with (
            stage(receive_timeout=0.5, idle_timeout=0.5, send_timeout=0.5) as play,
            client(play.port, GET) as (reader, _),
        ):
            exchange = await play.asked()
            began = time.monotonic()
            await play.until(lambda: time.monotonic() - began > 3.0)  # two sweeps
            exchange.reply(HEAD, b"at last", b"")
            assert (await reader.read(-1)).endswith(b"at last")

    play(scene)


# ---- requests that may be read in two ways -------------------------------------------

POST = b"POST /a.lua HTTP/1.1\r\nHost: x\r\n"
TWO_WAYS = {
    "a length and chunks": POST + b"Content-Length: 6\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\n"
    b"Content-Length: 15\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0")
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a folded line": GET[:-2] + b"X-A: b\r\n c\r\n\r\n",
    "a folded line with a tab": GET[:-2] + b"X-A: b\r\n\t\r\n\r\n",
    "a fold after a bare LF": b"GET /a.lua HTTP/1.1\nHost: x\nX-A: b\n c\n\n",
    "a fold at first": b"GET /a.lua HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n",
    "a blank before the colon": GET[:-2] + b"Content-Length : 5\r\n\r\n",
    "two hosts": GET[:-2] + b"Host: y\r\n\r\n",
}


@pytest.mark.parametrize("sent", TWO_WAYS.values(), ids=TWO_WAYS)
def test_what_may_be_read_in_two_ways_is_answered_400_and_ends_the_connection(
    sent: bytes,
) -> None:
    async def scene() -> None:
        async with stage() as play, client(play.port, sent + GET) as (reader, _):
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
            assert b"\r\nconnection: close\r\n" in answer.lower()
            with contextlib.suppress(ConnectionError):
                assert b"HTTP/1.1" not in await reader.read(-1)
            assert not play.service.exchanges

    play(scene)


@pytest.mark.parametrize("sent", TWO_WAYS.values(), ids=TWO_WAYS)
def test_what_may_be_read_in_two_ways_is_no_request_byte_by_byte_either(
    sent: bytes,
) -> None:
    async def scene() -> None:
        async with stage() as play, client(play.port, b"") as (reader, writer):
            with contextlib.suppress(ConnectionError):  # it ends before the last byte
                for at in range(len(sent)):
                    writer.write(sent[at : at + 1])
                    await writer.drain()
                    await asyncio.sleep(0)
                assert b" 200 " not in await reader.read(-1)
            assert not play.service.exchanges

    play(scene)


def test_a_second_request_that_may_be_read_in_two_ways_ends_the_connection() -> None:
    async def scene() -> None:
        sent = GET + TWO_WAYS["a folded line"] + GET
        async with stage() as play, client(play.port, sent) as (reader, _):
            (await play.asked()).reply(HEAD, b"hi", b"")
            answer = await reader.read(-1)
            assert answer.count(b"HTTP/1.1 200 ") == 1
            assert answer.count(b"HTTP/1.1 400 ") == 1
            assert len(play.service.exchanges) == 1

    play(scene)


def test_blanks_at_the_start_of_a_body_are_no_folds() -> None:
    async def scene() -> None:
        sent = POST + b"Content-Length: 9\r\n\r\n a\n b\r\n\tc"
        async with stage() as play, client(play.port, sent + GET) as (reader, _):
            exchange = await play.asked()
            assert exchange.read_body(0, 0, 100) == b" a\n b\r\n\tc"
            exchange.reply(HEAD, b"one", b"")
            (await play.asked(2)).reply(HEAD, b"two", b"")
            assert (await reader.readuntil(b"two")).count(b"HTTP/1.1 200 ") == 2

    play(scene)


def test_names_with_underscores_are_not_passed_on() -> None:
    async def scene() -> None:
        lines = b"X-Real-IP: 10.0.0.1\r\nX_Real_IP: 6.6.6.6\r\nX_Other: 1\r\n"
        async with stage() as play, client(play.port, GET[:-2] + lines + b"\r\n"):
            exchange = await play.asked()
            assert exchange.pending is not None
            pairs = params.decode_pairs(exchange.pending.params)
            named = [pair for pair in pairs if pair[0].startswith(b"HTTP_X_")]
            assert named == [(b"HTTP_X_REAL_IP", b"10.0.0.1")]

    play(scene)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /a.lua HTTP/1.1\r\nHost: x\r\nbad line\r\n\r\n",
        GET[:-2] + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
        GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n",
    ],
    ids=["no HTTP", "HTTP/2", "WebSocket"],
)
def test_odd_requests_do_not_fill_the_log(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with stage() as play:
            for number in range(20):
                async with client(play.port, sent) as (reader, _):
                    if b"bad" not in sent:
                        (await play.asked(number + 1)).reply(HEAD, b"hi", b"")
                    expected = b"400" if b"bad" in sent else b"200"
                    assert (await reader.readline()).split()[1] == expected

    caplog.set_level(logging.INFO)
    play(scene)
    texts = [
        line.getMessage() for line in caplog.records if line.levelno > logging.INFO
    ]
    assert len(texts) <= 1
    assert not any("ebsocket" in text or "pip install" in text for text in texts)


# ---- what RFC 9112 lets a client do --------------------------------------------------


def test_a_client_that_ended_its_half_gets_its_answer() -> None:
    async def scene() -> None:
        async with stage() as play, client(play.port, GET) as (reader, writer):
            exchange = await play.asked()
            writer.write_eof()
            exchange.reply(HEAD, b"hi", b"")
            answer = await reader.read(-1)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"hi")
            assert not play.service.abandoned

    play(scene)


def test_many_requests_at_once_are_answered_in_their_order() -> None:
    many = 3000  # more than are kept unread

    async def scene() -> None:
        async with stage() as play, client(play.port, b"") as (reader, writer):
            for number in range(many):
                writer.write(GET.replace(b"a.lua", b"a.lua?%d" % number))
            for number in range(many):
                exchange = await play.asked(number + 1)
                assert len(play.service.exchanges) == number + 1
                assert exchange.pending is not None
                query = params.find(exchange.pending.params, b"QUERY_STRING")
                assert query == b"%d" % number
                exchange.reply(HEAD, b"<%d>" % number, b"")
                await reader.readuntil(b"<%d>" % number)
            assert not play.service.abandoned

    play(scene)


def test_who_asks_much_and_takes_little_is_asked_for_no_more() -> None:
    async def scene() -> None:
        async with (
            stage(reply_memory=64 * KIB) as play,
            client(play.port, GET * 3) as (reader, _),
        ):
            (await play.asked()).reply(HEAD, b"x" * (16 * MIB), b"")
            assert play.quota.left < QUOTA
            assert len(play.service.exchanges) == 1
            while len(play.service.exchanges) == 1:
                assert await reader.read(64 * KIB)
            assert play.quota.left == QUOTA  # all of it is on its way
            for number in (2, 3):
                (await play.asked(number)).reply(HEAD, b"<%d>" % number, b"")
            rest = b""
            while not rest.endswith(b"<3>"):
                rest = rest[-8:] + await reader.read(64 * KIB)

    play(scene)


@pytest.mark.parametrize("framing", [b"Content-Length: %d", b"Transfer-Encoding: x"])
def test_who_goes_on_sending_what_is_refused_gets_the_answer(framing: bytes) -> None:
    async def scene() -> None:
        head = POST + (framing % (99 * MIB) if b"%" in framing else framing)
        async with stage() as play, client(play.port, head) as (reader, writer):
            writer.write(b"\r\n\r\n" + b"x" * (8 * MIB))
            answer = await reader.readuntil(b"</html>\n")
            assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 501 "))
            await writer.drain()
            writer.write_eof()
            assert await reader.read(-1) == b""
            assert not play.service.exchanges

    play(scene)


def test_who_waits_before_sending_is_told_to_go_on() -> None:
    async def scene() -> None:
        head = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        async with stage() as play, client(play.port, head) as (reader, writer):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            writer.write(b"ab")
            exchange = await play.asked()
            assert exchange.read_body(0, 0, 9) == b"ab"
            exchange.reply(HEAD, b"hi", b"")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")

    play(scene)


def test_a_cut_reply_to_http_1_0_does_not_end_in_order() -> None:
    async def scene() -> None:
        sent = GET.replace(b"1.1", b"1.0")
        async with stage() as play, client(play.port, sent) as (reader, _):
            exchange = await play.asked()
            exchange.part(HEAD, b"begun", b"")
            await reader.readuntil(b"begun")
            exchange.refuse(Refusal.HOST_LOST)
            with pytest.raises(ConnectionResetError):
                await reader.read(-1)

    play(scene)


def test_a_body_for_which_there_is_no_room_is_answered_503() -> None:
    async def scene() -> None:
        head = POST + b"Content-Length: %d\r\n\r\n" % MIB
        async with stage() as play:
            left = play.quota.left
            play.quota.take(left)
            async with client(play.port, head + b"x" * MIB) as (reader, _):
                assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
            play.quota.give_back(left)
            assert not play.service.exchanges

    play(scene)


def test_connections_over_the_limit_wait_until_one_closes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        async with (
            stage(max_connections=1) as play,
            client(play.port, GET[:-2]) as (_, first),
        ):
            await play.until(lambda: len(play.connections) == 1)
            async with client(play.port, GET) as (reader, _):
                await play.until(lambda: bool(caplog.records))
                assert not play.service.exchanges
                first.close()
                (await play.asked()).reply(HEAD, b"hi", b"")
                assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")

    caplog.set_level(logging.WARNING)
    play(scene)


def test_idle_connections_close_for_new_ones_where_there_are_too_many() -> None:
    async def scene() -> None:
        async with (
            stage(max_connections=2) as play,
            client(play.port, GET[:-2]) as (asking, writer),
            client(play.port, GET) as (idle, _),
        ):
            (await play.asked()).reply(HEAD, b"hi", b"")
            async with client(play.port, GET) as (reader, _):
                (await play.asked(2)).reply(HEAD, b"hi", b"")
                assert (await idle.read(-1)).endswith(b"hi")
                assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            writer.write(b"\r\n")
            (await play.asked(3)).reply(HEAD, b"hi", b"")
            assert (await asking.readline()).startswith(b"HTTP/1.1 200 ")

    play(scene)


def test_that_there_are_too_many_connections_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        async with stage(max_connections=8) as play, contextlib.AsyncExitStack() as all:
            begun = [
                await all.enter_async_context(client(play.port, GET[:-2]))
                for _ in range(8)
            ]
            await play.until(lambda: len(play.connections) == 8)
            for _ in range(4):
                await all.enter_async_context(client(play.port, GET))
            for number in range(3):
                begun[number][1].close()
                await play.asked(number + 1)
            assert len(caplog.records) == 1

    caplog.set_level(logging.WARNING)
    play(scene)


# ---- error pages ---------------------------------------------------------------------

ERROR = ScriptError(
    kind="Runtime Error",
    message="/srv/secret/a.lua:3: bad",
    traceback="stack traceback:\n\t/srv/secret/a.lua:3: in function 'main'",
    file="/srv/secret/a.lua",
    line=3,
    excerpt="  3| local password = 1",
    budget=Budget.NONE,
)
HINTS = (b"/srv", b"secret", b"Traceback", b"password", b"bad", b"Runtime", b"luafarm")


@pytest.mark.parametrize("refusal", list(Refusal))
@pytest.mark.parametrize("error", [None, ERROR])
def test_without_show_errors_a_page_says_no_more_than_its_status(
    refusal: Refusal, error: ScriptError | None
) -> None:
    async def scene() -> None:
        async with (
            stage(show_errors=False) as play,
            client(play.port, GET) as (reader, writer),
        ):
            (await play.asked()).refuse(refusal, 3, error)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(f"http/1.1 {STATUS[refusal][:3]} ".encode())
            length = int(head.partition(b"content-length: ")[2].split()[0])
            body = await reader.readexactly(length)
            assert not [hint for hint in HINTS if hint in body]
            assert b"server:" not in head
            writer.write(GET)  # the connection is as good as before
            (await play.asked(2)).reply(HEAD, b"hi", b"")

    play(scene)


def test_what_is_missing_is_named_as_the_url_names_it() -> None:
    async def scene() -> None:
        async with (
            stage() as play,
            client(play.port, GET.replace(b"/a.lua", b"/a.lua/b?c=/d")) as (reader, _),
        ):
            (await play.asked()).refuse(Refusal.NOT_FOUND)
            answer = await reader.readuntil(b"</html>")
            assert b"<code>/a.lua/b</code>" in answer
            assert b"/srv" not in answer

    play(scene)


# ---- headers of replies --------------------------------------------------------------


@pytest.mark.parametrize("is_whole", [True, False])
def test_headers_about_the_connection_are_not_the_scripts(is_whole: bool) -> None:
    lines = [
        b"Connection: close, X-Kept",
        b"Keep-Alive: timeout=1",
        b"Proxy-Authenticate: Basic",
        b"Proxy-Connection: close",
        b"TE: trailers",
        b"TRAILER: X-Kept",
        b"Transfer-Encoding: gzip",
        b"upgrade: websocket",
        b"X-Kept: kept",
    ]

    async def scene() -> None:
        async with stage() as play, client(play.port, GET) as (reader, writer):
            exchange = await play.asked()
            head = b"\r\n".join([HEAD, *lines])
            if is_whole:
                exchange.reply(head, b"hi", b"")
            else:
                exchange.part(head, b"hi", b"")
                exchange.finish(b"")
            answer = await reader.readuntil(b"\r\n\r\n")
            names = {line.partition(b":")[0] for line in answer.split(b"\r\n")[1:-2]}
            framing = b"content-length" if is_whole else b"transfer-encoding"
            assert {name.lower() for name in names} == {
                b"content-type",
                b"date",
                b"x-kept",
                framing,
            }
            await reader.readuntil(b"hi" if is_whole else b"\r\n0\r\n\r\n")
            writer.write(GET)  # it goes on
            (await play.asked(2)).reply(HEAD, b"hi", b"")

    play(scene)


@pytest.mark.parametrize("own", [True, False])
def test_a_reply_has_one_date_and_it_is_the_scripts_if_that_sets_one(own: bool) -> None:
    date = b"Sun, 06 Nov 1994 08:49:37 GMT"

    async def scene() -> None:
        async with stage() as play, client(play.port, GET) as (reader, _):
            head = HEAD + (b"\r\nDate: " + date if own else b"")
            (await play.asked()).reply(head, b"hi", b"")
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert answer.count(b"\r\ndate: ") == 1
            assert (date.lower() in answer) == own

    play(scene)


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_reset_content_has_no_body(is_whole: bool) -> None:
    async def scene() -> None:
        async with stage() as play, client(play.port, GET + GET) as (reader, _):
            exchange = await play.asked()
            head = b"Status: 205 Reset Content\r\nContent-Length: 12"
            if is_whole:
                exchange.reply(head, b"twelve bytes", b"")
            else:
                exchange.part(head, b"twelve ", b"")
                exchange.part(b"", b"bytes", b"")
                exchange.finish(b"")
            (await play.asked(2)).reply(HEAD, b"the next", b"")
            answer = await reader.readuntil(b"the next")
            first, _, second = answer.partition(b"\r\n\r\n")
            assert first.startswith(b"HTTP/1.1 205 ")
            assert b"\r\ncontent-length: 0" in first.lower()
            assert second.startswith(b"HTTP/1.1 200 ")

    play(scene)


# ---- replies that are none -----------------------------------------------------------


@pytest.mark.parametrize(
    "line", [b"X: a\x0bb", b"X: a\x1bb", b"X: \x7f", b"X: a\0b", b"Status: 700 Odd"]
)
def test_a_header_that_http_cannot_say_is_refused_before_it_is_sent(
    line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with stage() as play, client(play.port, GET) as (reader, _):
            exchange = await play.asked()
            for send in (exchange.reply, exchange.part):
                with pytest.raises(BadHeaderError):
                    send(b"Content-Type: a/b\r\n" + line, b"", b"")
            exchange.refuse(Refusal.BAD_REPLY)
            assert (await reader.readline()).startswith(b"HTTP/1.1 502 ")

    caplog.set_level(logging.WARNING)
    play(scene)
    assert not caplog.records


def test_a_reply_that_is_cut_ends_without_its_end_and_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        async with stage() as play, client(play.port, GET) as (reader, _):
            exchange = await play.asked()
            exchange.part(HEAD, b"begun", b"")
            exchange.refuse(Refusal.HOST_LOST)
            answer = await reader.read(-1)
            assert answer.endswith(b"5\r\nbegun\r\n")
            assert not play.service.abandoned

    caplog.set_level(logging.WARNING)
    play(scene)
    assert not caplog.records
