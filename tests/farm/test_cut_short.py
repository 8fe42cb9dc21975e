"""The front's own HTTP listener: a reply that its death cuts short looks so."""

import socket

import pytest

from bench import daemon
from tests.farm.farms import kill, up

pytestmark = pytest.mark.process

TAKEN = 100_000
BEGUN = """\
local luafarm = require("luafarm")
function main(env, con)
   con:header("Content-Type", "text/plain")
   if env.QUERY_STRING == "length" then
      con:header("Content-Length", "1000000000")
   end
   con:puts(string.rep("x", 200000))
   con:flush()
   luafarm.sleep(599)
end
"""


@pytest.mark.parametrize("query", ["", "length"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_end_of_a_front_is_not_that_of_its_reply(version: str, query: str) -> None:
    port = daemon.free_port()
    settings = f'[front]\nhttp = "127.0.0.1:{port}"\n'
    with (
        up(settings, hosts=1, files={"begun.lua": BEGUN}) as farm,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.settimeout(120)
        host = "Host: x\r\n" if version == "1.1" else ""
        asked = f"GET /begun.lua?{query} HTTP/{version}\r\n{host}\r\n"
        client.sendall(asked.encode())
        taken = b""
        while len(taken) < TAKEN:
            taken += client.recv(4096)
        front = farm.one("luafarm-front")
        kill(front)
        try:
            while more := client.recv(1 << 16):
                taken += more
            has_ended = True
        except ConnectionResetError:
            has_ended = False
        head, _, body = taken.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        if query:
            assert b"Content-Length: 1000000000" in head
        elif version == "1.1":
            assert b"Transfer-Encoding: chunked" in head
            assert not body.endswith(b"0\r\n\r\n")
        else:
            assert not has_ended
