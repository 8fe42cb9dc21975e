"""`python -m fcgi.once run|check SCRIPT`: one request to a farm, without a web server.

Behind `luafarm run` and `luafarm check`. The request goes the way of all requests;
`run` prints the reply as CGI, `check` says whether the script loads. Exit code 0 when
the reply is no error page of the farm and the script loads, else 1.
"""

# Impure.

import argparse
import asyncio
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

from fcgi import arrival
from fcgi.cgi import pages, params, reply, scriptname
from fcgi.cgi.refusal import STATUS, Refusal
from fcgi.loop import load_keys
from fcgi.service import Service
from luafarm import output
from luafarm.config import configure
from luafarm.config.settings import Settings
from luafarm.errors import SettingsError
from luafarm.output import OutputError
from luafarm.process import logs, rundir
from luafarm.wire.messages import Place, ScriptError, Verdict

if TYPE_CHECKING:
    from fcgi.dispatch.tables import Pending

_LOOK_S: Final = 0.02  # how often whether a script that has answered goes on
_NO_SCRIPT: Final = (
    "no script: missing, empty, no regular file, or no name that [pool] scripts match"
)


class ConsoleExchange:
    """Prints the reply to standard output and errors to standard error."""

    def __init__(self, url: bytes, method: bytes, body: bytes, limit: int) -> None:
        self.pending: Pending | None = None
        self.error: ScriptError | None = None
        self.refusal: Refusal | None = None
        self.unprinted: OutputError | None = None
        self.done = asyncio.Event()
        self._url = url
        self._method = method
        self._body = body
        self._heads = reply.Heads(limit)
        self._stream = reply.Stream(self._heads, method, is_trusted=True)

    def reply(self, head: bytes, body: bytes, stderr: bytes) -> None:
        """Print a whole reply; see `Exchange`."""
        parsed = self._heads.parse(head, is_trusted=True)
        head, body = reply.whole(parsed, body, self._method)
        self._print(head + body, stderr)
        self.done.set()

    def part(self, head: bytes, chunk: bytes, stderr: bytes) -> None:
        """Print a piece of a reply; see `Exchange`."""
        self._print(self._stream.opening(head) + self._stream.body(chunk), stderr)

    def finish(self, stderr: bytes) -> None:
        """End a reply that was printed in parts."""
        self._print(b"", stderr)
        self.done.set()

    def refuse(
        self,
        refusal: Refusal,
        retry_after_s: int = 0,
        error: ScriptError | None = None,
        stderr: bytes = b"",
    ) -> None:
        """Print an error page; see `Exchange`."""
        self.refusal = refusal
        self.error = error
        if not self._stream.has_begun:
            head, body = pages.refusal(
                refusal,
                url=self._url,
                retry_after_s=retry_after_s,
                error=error,
                show_errors=True,
            )
            self._print(head + body, b"")
        self._print(b"", stderr)
        self.done.set()

    def _print(self, reply_bytes: bytes, stderr: bytes) -> None:
        if stderr:
            output.say(stderr)
        if self.unprinted is None:
            try:
                output.put(reply_bytes)
            except OutputError as error:
                # the rest of the reply is for nobody: there is nothing to wait for
                self.unprinted = error
                self.done.set()

    def read_body(self, stream: int, offset: int, max_bytes: int) -> bytes:
        """Return bytes of the request body."""
        return self._body[offset : offset + max_bytes] if stream == 0 else b""


def main() -> int:
    """Send one request with the settings of the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="luafarm run")
    configure.add_arguments(parser)
    parser.add_argument("what", choices=("run", "check"))
    parser.add_argument("script", type=Path)
    parser.add_argument("--method", default="GET")
    parser.add_argument("--path-info", default="")
    parser.add_argument("--query", default="")
    parser.add_argument("--data-file", type=Path)
    parser.add_argument("--header", action="append", default=[])
    arguments = parser.parse_args()
    try:
        settings = configure.load(arguments.config, arguments.sets).settings
        logs.setup(settings.log, "luafarm-once")
    except SettingsError as error:
        configure.refuse(error)
    # the exchange prints what the script says; the log would say it twice
    logging.getLogger("luafarm.script").setLevel(logging.CRITICAL)
    arguments.script = arguments.script.absolute()
    try:
        return uvloop.run(_once(settings, arguments))
    except OutputError as error:
        if error.is_gone:
            return output.GONE
        return _failed(f"luafarm: {error}")


async def _once(settings: Settings, arguments: argparse.Namespace) -> int:
    service = Service(
        asyncio.get_running_loop(),
        settings,
        f"once-{os.getpid()}",
        rundir.machine(settings),
        rundir.broker_endpoint(settings),
        load_keys(settings),
    )
    try:
        if arguments.what == "check":
            return await _check(settings, arguments.script, service)
        return await _run(settings, arguments, service)
    finally:
        service.close()


async def _check(settings: Settings, script: Path, service: Service) -> int:
    path = scriptname.script_path(os.fsencode(script), b"")
    if isinstance(path, Refusal):
        return _failed(f"{script}: {STATUS[path]}")
    try:
        async with asyncio.timeout(settings.front.queue_timeout):
            place = await service.ask(path)
    except TimeoutError:
        return _failed(f"{script}: the farm did not answer")
    return _checked(script, place)


def _checked(script: Path, place: Place) -> int:
    match place.verdict:
        case Verdict.READY:
            output.put(f"{script}: loads\n")
            return 0
        case Verdict.MISSING:
            return _failed(f"{script}: {_NO_SCRIPT}")
        case Verdict.BROKEN if place.error is not None:
            error = place.error
            return _failed(
                "\n".join(
                    text
                    for text in (
                        f"{script}: {error.kind}: {error.message}",
                        error.excerpt,
                        error.traceback,
                    )
                    if text
                )
            )
        case _:
            return _failed(f"{script}: the farm refuses it for now")


async def _run(
    settings: Settings, arguments: argparse.Namespace, service: Service
) -> int:
    method = arguments.method.upper().encode()
    body = b""
    if arguments.data_file is not None:
        body = arguments.data_file.read_bytes()
        method = b"POST" if method == b"GET" else method
    script = os.fsencode(arguments.script)
    extra = os.fsencode(arguments.path_info)
    pairs = _parameters(arguments, script + extra, method, body)
    url = scriptname.url_path(params.encode_pairs(pairs))
    limit = settings.front.max_reply_header
    exchange = ConsoleExchange(url, method, body, limit)
    limits = arrival.limits(settings.front)
    inline = body if len(body) <= limits.inline_body else None
    now = time.monotonic()
    arrived = arrival.admit_pairs(exchange, pairs, inline, len(body), limits, now)
    service.submit(exchange, arrived)
    await exchange.done.wait()
    if exchange.unprinted is not None:
        raise exchange.unprinted
    # a script may go on after its reply, and what it says then is in the log alone
    logging.getLogger("luafarm.script").setLevel(logging.NOTSET)
    while service.outstanding:  # noqa: ASYNC110 - who reads the answers tells nobody
        await asyncio.sleep(_LOOK_S)
    if exchange.refusal is Refusal.NOT_FOUND:
        return _failed(f"{arguments.script}: {_NO_SCRIPT}")
    return 0 if exchange.refusal is None else 1


def _parameters(
    arguments: argparse.Namespace, script: bytes, method: bytes, body: bytes
) -> list[tuple[bytes, bytes]]:
    name = b"/" + os.fsencode(arguments.script.name)
    query = os.fsencode(arguments.query)
    extra = os.fsencode(arguments.path_info)
    pairs = [
        (b"SCRIPT_FILENAME", script),
        (b"SCRIPT_NAME", name),
        (b"PATH_INFO", extra),
        (b"REQUEST_METHOD", method),
        (b"QUERY_STRING", query),
        (b"REQUEST_URI", name + extra + (b"?" + query if query else b"")),
        (b"CONTENT_LENGTH", str(len(body)).encode() if body else b""),
        (b"DOCUMENT_ROOT", os.fsencode(arguments.script.parent)),
        (b"GATEWAY_INTERFACE", b"CGI/1.1"),
        (b"SERVER_PROTOCOL", b"HTTP/1.1"),
        (b"SERVER_SOFTWARE", b"luafarm"),
        (b"SERVER_NAME", b"localhost"),
        (b"SERVER_PORT", b"80"),
        (b"REMOTE_ADDR", b"127.0.0.1"),
    ]
    for header in arguments.header:
        key, _, value = header.partition(":")
        upper = key.strip().upper().replace("-", "_")
        prefix = "" if upper == "CONTENT_TYPE" else "HTTP_"
        pairs.append((f"{prefix}{upper}".encode(), value.strip().encode()))
    return pairs


def _failed(text: str) -> int:
    output.say(text)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
