"""The embedded HTTP listener: for development and small sites, without a web server.

uvicorn speaks HTTP; a request becomes FastCGI parameters and goes the same way as any
other. Its script is looked for in all roots of all pools, in the order of the settings,
by the names that each pool's `scripts` allow; a directory means its `index.lua`.
Error pages are those for developers, with the source around the error, unless
`show_errors` is off.
"""

# Impure.

import asyncio
import contextlib
import functools
import logging
import math
import os
import socket
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import uvicorn

from fcgi import arrival
from fcgi.cgi import reply
from fcgi.cgi.refusal import Refusal
from fcgi.http.connection import HttpConnection, Sparing
from fcgi.http.exchange import HttpExchange
from fcgi.quota import Quota
from fcgi.service import Service
from fcgi.spool import BodySpool
from luafarm.config.settings import Settings
from luafarm.errors import SettingsError
from luafarm.scriptnames import ScriptNames

logger = logging.getLogger("luafarm.front")

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers about the connection (RFC 9110, 7.6.1), which is not the script's."""

INDEX: Final = b"index.lua"
_SWEEP_S: Final = 1.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HttpListener:
    """Serves the roots of all pools over HTTP."""

    def __init__(self, settings: Settings, service: Service, quota: Quota) -> None:
        """Serve nothing yet; quota: of the front, for all its temporary files."""
        self._heads = reply.Heads(settings.front.max_reply_header)
        self._front = settings.front
        self._limits = arrival.limits(settings.front)
        self._quota = quota
        self._service = service
        self._roots = [
            (os.fsencode(root).rstrip(b"/"), ScriptNames(pool.scripts))
            for pool in settings.pool.values()
            for root in pool.root
        ]
        if not self._roots:
            raise SettingsError("[front] http needs a pool with a root to serve")
        self._server: uvicorn.Server | None = None

    async def serve(self, sock: socket.socket) -> None:
        """Serve until `stop`."""
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            proxy_headers=False,
            http=HttpConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            limit_concurrency=self._front.max_connections,
            timeout_keep_alive=math.ceil(self._front.idle_timeout),
        )
        self._server = _Server(config)
        sweeper = asyncio.ensure_future(self._sweep(self._server))
        sparing, told = Sparing(), logging.getLogger("uvicorn.error")
        told.addFilter(sparing)
        try:
            await self._server.serve(sockets=[sock])
        finally:
            told.removeFilter(sparing)
            sweeper.cancel()

    def stop(self) -> None:
        """Finish what runs and stop."""
        if self._server is not None:
            self._server.should_exit = True

    async def _sweep(self, server: uvicorn.Server) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for connection in list(server.server_state.connections):
                if isinstance(connection, HttpConnection):
                    connection.sweep(now, self._front)

    # ---- ASGI ----------------------------------------------------------------------

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        method = scope["method"].encode()
        transport: asyncio.Transport = scope["state"]["connection"].transport
        url: bytes = scope["raw_path"].partition(b"?")[0]
        exchange = HttpExchange(
            self._heads, self._front, self._quota, method, url, transport.abort
        )
        gone: asyncio.Future[None] | None = None
        try:
            body = await self._body(receive, exchange)
            if body is None:
                return  # the client went away
            self._begin(scope, exchange, body)
            gone = asyncio.ensure_future(_gone(receive))
            is_late = body is Refusal.RECEIVE_TIMEOUT  # the rest may still come
            is_whole = await _answer(send, exchange, gone, closes=is_late)
            if not is_whole:
                transport.close()
                await gone
        finally:
            if gone is not None:
                gone.cancel()
            if exchange.pending is not None:
                self._service.abandon(exchange.pending)
            exchange.close()

    def _begin(self, scope: Scope, exchange: HttpExchange, body: int | Refusal) -> None:
        if isinstance(body, Refusal):
            exchange.refuse(body)
        else:
            self._submit(scope, exchange, body)

    async def _body(
        self, receive: Receive, exchange: HttpExchange
    ) -> int | Refusal | None:
        """Take the request body, in time; see `_read_body`."""
        try:
            async with asyncio.timeout(self._front.receive_timeout):
                return await self._read_body(receive, exchange)
        except TimeoutError:
            return Refusal.RECEIVE_TIMEOUT

    async def _read_body(
        self, receive: Receive, exchange: HttpExchange
    ) -> int | Refusal | None:
        """Take the request body; its size, why it is refused, or None for a loss."""
        size = 0
        pieces: list[bytes] = []
        refusal: Refusal | None = None
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > self._front.max_body:
                refusal = Refusal.BODY_TOO_LARGE
            elif refusal is None and not self._keep(exchange, pieces, piece, size):
                refusal = Refusal.OVERLOADED
            if not message.get("more_body", False):
                exchange.body = b"".join(pieces)
                return refusal or size

    def _keep(
        self, exchange: HttpExchange, pieces: list[bytes], piece: bytes, size: int
    ) -> bool:
        """Keep a piece of a body, which has this size with it; False: no room."""
        try:
            if size > self._front.inline_body and exchange.spool is None:
                exchange.spool = BodySpool(self._quota)
                exchange.spool.write(0, b"".join(pieces))
                pieces.clear()
            if exchange.spool is not None:
                exchange.spool.write(0, piece)
            else:
                pieces.append(piece)
        except OSError as error:
            logger.error("body spool: %s; the request is refused", error)  # noqa: TRY400
            return False
        return True

    def _submit(self, scope: Scope, exchange: HttpExchange, body_bytes: int) -> None:
        url_path = unquote_to_bytes(scope["raw_path"].partition(b"?")[0])
        roots = iter(self._roots)

        def ask_next() -> bool:
            for root, names in roots:
                path = _meant(names, url_path)
                ends = names.ends(path)
                if not ends:
                    continue
                pairs = _parameters(scope, root, path, ends[-1], body_bytes)
                # not at once: whoever says that a script is missing is still at it
                loop.call_soon(self._ask, exchange, pairs, body_bytes)
                return True
            return False

        if not url_path.startswith(b"/"):
            exchange.refuse(Refusal.BAD_PATH)  # below no root, but maybe beside one
            return
        loop = asyncio.get_running_loop()
        exchange.elsewhere = ask_next
        if not ask_next():
            exchange.elsewhere = None
            exchange.refuse(Refusal.NOT_FOUND)

    def _ask(
        self,
        exchange: HttpExchange,
        pairs: list[tuple[bytes, bytes]],
        body_bytes: int,
    ) -> None:
        if exchange.is_closed:
            return  # the client went away meanwhile
        body = None if exchange.spool is not None else exchange.body
        now = time.monotonic()
        arrived = arrival.admit_pairs(
            exchange, pairs, body, body_bytes, self._limits, now
        )
        self._service.submit(exchange, arrived)


async def _answer(
    send: Send, exchange: HttpExchange, gone: "asyncio.Future[None]", *, closes: bool
) -> bool:
    """Send what is answered; False: it is cut short, and that is to be seen."""
    while True:
        taking = asyncio.ensure_future(exchange.take())
        either: set[asyncio.Future[Any]] = {taking, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            taking.cancel()
            return True
        head, chunk, is_last, is_cut = taking.result()
        if head is not None:
            await send(_response_start(head, closes=closes))
        is_end = is_last and not is_cut
        await send(
            {"type": "http.response.body", "body": chunk, "more_body": not is_end}
        )
        if is_last:
            return not is_cut


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: the front has its own, which drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture nothing."""
        yield


@functools.lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


def _response_start(head: bytes, *, closes: bool) -> dict[str, object]:
    """Return the ASGI message of a CGI header block; closes: the connection as well."""
    status = 200
    has_date = False
    headers: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon:
            continue
        name = name.lower()
        if name == b"status":
            status = int(value.strip()[:3])
        elif name not in _HOP_BY_HOP:
            headers.append((name, value.strip()))
            has_date = has_date or name == b"date"
    if not has_date:
        headers.append((b"date", _date(int(time.time()))))
    if closes:
        headers.append((b"connection", b"close"))
    return {"type": "http.response.start", "status": status, "headers": headers}


def _meant(names: ScriptNames, path: bytes) -> bytes:
    """Return the path that a URL's path means: a directory means its index."""
    if path.endswith(b"/") and not names.ends(path):
        return path + INDEX
    return path


def _parameters(
    scope: Scope, root: bytes, path: bytes, end: int, body_bytes: int
) -> list[tuple[bytes, bytes]]:
    """Return what a web server would send (RFC 3875, 4.1).

    end: of what is the script in the path unless one of the directories turns out to
    be a file; then `scriptname.told_apart` puts it right.
    """
    server_host, server_port = scope.get("server") or ("", 0)
    client_host, client_port = scope.get("client") or ("", 0)
    query: bytes = scope["query_string"]
    uri: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    script = path[:end]
    pairs = [
        (b"SCRIPT_FILENAME", root + path),
        (b"QUERY_STRING", query),
        (b"REQUEST_METHOD", scope["method"].encode()),
        (b"SCRIPT_NAME", script),
        (b"PATH_INFO", path[len(script) :]),
        (b"REQUEST_URI", uri),
        (b"DOCUMENT_URI", path),
        (b"DOCUMENT_ROOT", root),
        (b"SERVER_PROTOCOL", b"HTTP/" + scope["http_version"].encode()),
        (b"REQUEST_SCHEME", scope["scheme"].encode()),
        (b"GATEWAY_INTERFACE", b"CGI/1.1"),
        (b"SERVER_SOFTWARE", b"luafarm"),
        (b"REMOTE_ADDR", str(client_host).encode()),
        (b"REMOTE_PORT", str(client_port).encode()),
        (b"SERVER_ADDR", str(server_host).encode()),
        (b"SERVER_PORT", str(server_port).encode()),
        (b"SERVER_NAME", str(server_host).encode()),
    ]
    merged: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if b"_" in name:
            continue  # X_Real_IP would be X-Real-IP to scripts
        glue = b"; " if name == b"cookie" else b", "
        merged[name] = merged[name] + glue + value if name in merged else value
    pairs.append((b"CONTENT_TYPE", merged.pop(b"content-type", b"")))
    merged.pop(b"content-length", None)
    pairs.append((b"CONTENT_LENGTH", str(body_bytes).encode() if body_bytes else b""))
    merged.pop(b"proxy", None)  # httpoxy: HTTP_PROXY is a setting to some programs
    for name, value in merged.items():
        pairs.append((b"HTTP_" + name.upper().replace(b"-", b"_"), value))
    return pairs
