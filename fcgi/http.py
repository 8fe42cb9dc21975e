"""The embedded HTTP listener: for development and small sites, without a web server.

uvicorn speaks HTTP; a request becomes FastCGI parameters and goes the same way as any
other. Its script is looked for in all roots of all pools, in the order of the settings.
Error pages are those for developers, with the source around the error.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import uvicorn

from fcgi import pages, params, reply, scriptname
from fcgi.peer import SAFE_METHODS
from fcgi.placement import Pending
from fcgi.refusal import Refusal
from fcgi.service import Service
from fcgi.spool import BodySpool, Room
from luafarm.errors import SettingsError
from luafarm.messages import SAFE, ScriptError
from luafarm.settings import Settings

logger = logging.getLogger("luafarm.front")

INDEX: Final = b"index.lua"
SUFFIX: Final = b".lua"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HttpExchange:
    """One HTTP request; what is answered waits in a queue for the ASGI task."""

    def __init__(self, listener: "HttpListener", method: bytes) -> None:
        self.pending: Pending | None = None
        self.body = b""
        self.spool: BodySpool | None = None
        self.elsewhere: Callable[[], bool] | None = None  # asks in the next root
        self._listener = listener
        self.method = method
        self._stream = reply.Stream(listener.heads, method, is_trusted=False)
        #: pieces of the answer: (head or None, chunk, is the end, is cut short)
        self.out: asyncio.Queue[tuple[bytes | None, bytes, bool, bool]]
        self.out = asyncio.Queue()

    def reply(self, head: bytes, body: bytes, stderr: bytes) -> None:
        """Send a whole reply; see `Exchange`."""
        del stderr  # it is in the log
        parsed = self._listener.heads.parse(head)
        head, body = reply.whole(parsed, body, self.method)
        self.out.put_nowait((head, body, True, False))

    def part(self, head: bytes, chunk: bytes, stderr: bytes) -> None:
        """Send a piece of a reply; see `Exchange`."""
        del stderr
        opening = self._stream.opening(head) or None
        self.out.put_nowait((opening, self._stream.body(chunk), False, False))

    def finish(self, stderr: bytes) -> None:
        """End a reply that was sent in parts."""
        del stderr
        self.out.put_nowait((None, b"", True, self._stream.is_short()))

    def refuse(
        self,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        stderr: bytes = b"",
    ) -> None:
        """Answer with a developer's page; see `Exchange`."""
        del stderr
        if self._stream.has_begun:
            self.out.put_nowait((None, b"", True, True))
            return
        if refusal is Refusal.NOT_FOUND and self.elsewhere and self.elsewhere():
            return
        head, body = pages.developer(
            refusal,
            path=self.pending.path if self.pending else b"",
            retry_after_s=retry_after_s,
            error=error,
        )
        self.out.put_nowait(
            (head, b"" if self.method == b"HEAD" else body, True, False)
        )

    def read_body(self, stream: int, offset: int, max_bytes: int) -> bytes:
        """Return bytes of a body that did not travel with the request."""
        if self.spool is not None:
            return self.spool.read(stream, offset, max_bytes)
        return self.body[offset : offset + max_bytes]


class HttpListener:
    """Serves the roots of all pools over HTTP."""

    def __init__(self, settings: Settings, service: Service, room: Room) -> None:
        """Serve nothing yet; room: of the front, for all its temporary files."""
        self.heads = reply.Heads(settings.front.max_reply_header)
        self._front = settings.front
        self._room = room
        self._service = service
        self._roots = [
            os.fsencode(root).rstrip(b"/")
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
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            timeout_keep_alive=int(self._front.idle_timeout),
        )
        self._server = _Server(config)
        await self._server.serve(sockets=[sock])

    def stop(self) -> None:
        """Finish what runs and stop."""
        if self._server is not None:
            self._server.should_exit = True

    # ---- ASGI ----------------------------------------------------------------------

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        method = scope["method"].encode()
        exchange = HttpExchange(self, method)
        try:
            await self._serve_one(scope, receive, send, exchange)
        finally:
            if exchange.spool is not None:
                exchange.spool.close()

    async def _serve_one(
        self, scope: Scope, receive: Receive, send: Send, exchange: HttpExchange
    ) -> None:
        body = await self._read_body(receive, exchange)
        if body is None:
            return  # the client went away
        if isinstance(body, Refusal):
            exchange.refuse(body, 1 if body is Refusal.OVERLOADED else 0)
        else:
            self._submit(scope, exchange, body)
        watch = asyncio.ensure_future(_gone(receive))
        try:
            await self._answer(send, exchange, watch)
        finally:
            watch.cancel()

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
                exchange.spool = BodySpool(self._room)
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
        path = unquote_to_bytes(scope["raw_path"].partition(b"?")[0])
        if path.endswith(b"/") and b".lua/" not in path:
            path += INDEX
        if SUFFIX not in path:
            # behind a web server its configuration says what is a script
            exchange.refuse(Refusal.NOT_FOUND)
            return
        roots = iter(self._roots)

        def ask_next() -> bool:
            root = next(roots, None)
            if root is None:
                return False
            pairs = _parameters(scope, root, path, body_bytes)
            # not at once: whoever says that a script is missing is still at it
            loop.call_soon(self._ask, exchange, root + path, pairs, body_bytes)
            return True

        loop = asyncio.get_running_loop()
        exchange.elsewhere = ask_next
        ask_next()

    def _ask(
        self,
        exchange: HttpExchange,
        path: bytes,
        pairs: list[tuple[bytes, bytes]],
        body_bytes: int,
    ) -> None:
        blob = params.encode_pairs(pairs)
        found = scriptname.script_path(path, blob)
        longest = max(len(name) + len(value) for name, value in pairs)
        if len(blob) > self._front.max_params or longest > self._front.max_param:
            found = Refusal.PARAMS_TOO_LARGE
        if isinstance(found, Refusal):
            exchange.elsewhere = None  # it is as wrong in the other roots
            exchange.refuse(found)
            return
        flags = SAFE if exchange.method in SAFE_METHODS else 0
        body = None if exchange.spool is not None else exchange.body
        pending = Pending(
            exchange, found, flags, blob, body, body_bytes, 0, time.monotonic()
        )
        self._service.submit(exchange, pending)

    async def _answer(
        self, send: Send, exchange: HttpExchange, gone: "asyncio.Future[None]"
    ) -> None:
        while True:
            piece = asyncio.ensure_future(exchange.out.get())
            either: set[asyncio.Future[Any]] = {piece, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not piece.done():
                piece.cancel()
                if exchange.pending is not None:
                    self._service.abandon(exchange.pending)
                return
            head, chunk, is_end, is_cut = piece.result()
            if head is not None:
                await send(_start(head))
            if is_cut:
                raise ConnectionAbortedError("the script failed amid its reply")
            await send(
                {"type": "http.response.body", "body": chunk, "more_body": not is_end}
            )
            if is_end:
                return


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: the front has its own, which drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture nothing."""
        yield


def _start(head: bytes) -> dict[str, object]:
    """Return the ASGI message of a CGI header block."""
    status = 200
    headers: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon:
            continue
        if name.lower() == b"status":
            status = int(value.strip()[:3])
        else:
            headers.append((name.lower(), value.strip()))
    return {"type": "http.response.start", "status": status, "headers": headers}


def _parameters(
    scope: Scope, root: bytes, path: bytes, body_bytes: int
) -> list[tuple[bytes, bytes]]:
    """Return what a web server would send (RFC 3875, 4.1)."""
    server_host, server_port = scope.get("server") or ("", 0)
    client_host, client_port = scope.get("client") or ("", 0)
    query: bytes = scope["query_string"]
    uri: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    script, _, extra = path.partition(b".lua/")
    if extra or path.endswith(b".lua/"):
        script += b".lua"
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
        glue = b"; " if name == b"cookie" else b", "
        merged[name] = merged[name] + glue + value if name in merged else value
    pairs.append((b"CONTENT_TYPE", merged.pop(b"content-type", b"")))
    merged.pop(b"content-length", None)
    pairs.append((b"CONTENT_LENGTH", str(body_bytes).encode() if body_bytes else b""))
    merged.pop(b"proxy", None)  # httpoxy: HTTP_PROXY is a setting to some programs
    for name, value in merged.items():
        pairs.append((b"HTTP_" + name.upper().replace(b"-", b"_"), value))
    return pairs
