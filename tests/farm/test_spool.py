"""Temporary files of a front: what both of its listeners keep there has one limit."""

import http.client

import pytest

from bench import daemon
from tests.farm.client import connected
from tests.farm.farms import until, up
from tests.fcgi.fastcgi import wire

pytestmark = pytest.mark.process

SPOOL = 1 << 20
BODY = b"b" * (700 << 10)  # two of them are too many
SIZE = "function main(env, con) con:puts(tostring(#con:gets())) end"


def post(port: int) -> tuple[int, str | None, bytes]:
    """Post BODY over HTTP; return status, Retry-After and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/size.lua", BODY)
        reply = connection.getresponse()
        return reply.status, reply.headers["Retry-After"], reply.read()
    finally:
        connection.close()


def test_both_listeners_together_keep_no_more_than_the_spool_allows() -> None:
    port = daemon.free_port()
    settings = f'[front]\nhttp = "127.0.0.1:{port}"\nspool = "{SPOOL >> 20} MiB"\n'
    whole = str(len(BODY)).encode()
    with (
        up(settings, hosts=1, files={"size.lua": SIZE}) as farm,
        connected(farm.socket) as client,
    ):
        farm.daemons["up"].wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "HTTP is served"
        )
        pairs = {
            "SCRIPT_FILENAME": f"{farm.root}/size.lua",
            "REQUEST_METHOD": "POST",
            "CONTENT_LENGTH": str(len(BODY)),
        }
        request = wire.req(pairs, BODY, keep=True)
        client.socket.sendall(request[:-100])
        until(lambda: farm.spooled_bytes() > SPOOL // 2, "most of a body is kept")
        assert post(port)[:2] == (503, "1")
        client.socket.sendall(request[-100:])
        assert client.receive().body == whole
        until(lambda: farm.spooled_bytes() == 0, "the room is free again")
        assert post(port) == (200, None, whole)
