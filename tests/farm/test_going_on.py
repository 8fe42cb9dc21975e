"""Work after the reply, and without the client, through both doors of a farm."""

import contextlib
import http.client
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from bench import daemon
from tests.farm.client import Client
from tests.farm.farms import Farm, until, up
from tests.fcgi.fastcgi import wire

pytestmark = pytest.mark.process

WAITS = """
local luafarm = require "luafarm"
local function waits(con, gate, word)
  while not io.open(gate) do
    con:puts(".")
    con:flush()  -- so a web server sees that nobody takes it any more
    luafarm.sleep(0.05)
  end
  con:log(word)
end
"""

FILES = {
    "finish.lua": WAITS
    + """
function main(env, con)
  con:header("Content-Type", "text/plain")
  con:puts("answer")
  con:finish()
  waits(con, "finish.gate", "work after the reply is done")
end
""",
    "kept.lua": WAITS
    + """
function main(env, con)
  con:detach()
  con:puts("begun") con:flush()
  waits(con, "left.gate", "work of kept.lua is done")
end
""",
    "../other/left.lua": WAITS
    + """
function main(env, con)
  con:puts("begun") con:flush()
  waits(con, "../root/left.gate", "work of left.lua is done")
end
""",
}


# trusted, to see a file that was not there before
POOL = 'trust = "trusted"\nwall = "300 s"'


# another VM host, whatever runs in the first
LEFT = "../other/left.lua"
OTHER = '[pool.other]\nroot = ["{place}/other"]\nhosts = 1\n' + POOL


class Request(Protocol):
    """A request that has begun."""

    def whole(self) -> bytes:
        """Return the body once the reply is whole."""
        ...

    def first(self) -> None:
        """Return once something of the body is there."""
        ...

    def leave(self) -> None:
        """Close the connection."""
        ...


class Door(Protocol):
    """A way into the farm."""

    def ask(self, farm: Farm, name: str) -> Request:
        """Send a request for a script."""
        ...


@dataclass
class OverFastCGI:
    client: Client
    data: bytes = b""

    def whole(self) -> bytes:
        reply = self.client.receive()
        assert reply.whole
        return reply.body

    def first(self) -> None:
        while b"begun" not in self.data:
            piece = self.client.socket.recv(1 << 16)
            assert piece, "the connection has ended"
            self.data += piece
        assert not any(r.type == wire.END for r in wire.split(self.data)[0])

    def leave(self) -> None:
        self.client.close()


@dataclass
class OverHTTP:
    connection: http.client.HTTPConnection
    reply: http.client.HTTPResponse | None = None

    def whole(self) -> bytes:
        return self.connection.getresponse().read()

    def first(self) -> None:
        self.reply = self.connection.getresponse()
        assert self.reply.read(5) == b"begun"

    def leave(self) -> None:
        if self.reply is not None:
            self.reply.close()
        self.connection.close()


@dataclass(frozen=True)
class FastCGIDoor:
    def ask(self, farm: Farm, name: str) -> Request:
        client = Client(farm.socket)
        client.send((farm.root / name).resolve())
        return OverFastCGI(client)


@dataclass(frozen=True)
class HTTPDoor:
    port: int

    def ask(self, farm: Farm, name: str) -> Request:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", f"/{Path(name).name}")
        return OverHTTP(connection)


@contextlib.contextmanager
def opened(door: str) -> Iterator[tuple[Farm, Door]]:
    """Run a farm with the scripts, and say how they are asked for."""
    port = daemon.free_port()
    settings = f'[front]\nhttp = "127.0.0.1:{port}"\n' + OTHER
    with up(settings, hosts=1, pool=POOL, folders=("other",)) as farm:
        for name, text in FILES.items():
            farm.write(name, text)
        if door == "fastcgi":
            yield farm, FastCGIDoor()
            return
        farm.daemons["up"].wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "HTTP is served"
        )
        yield farm, HTTPDoor(port)


def is_running(farm: Farm, name: str) -> bool:
    script = str((farm.root / name).resolve())
    return any(host["running"] == script for host in farm.status()["hosts"])


@pytest.mark.parametrize("door", ["fastcgi", "http"])
def test_a_client_has_its_reply_before_the_script_has_done_its_work(door: str) -> None:
    with opened(door) as (farm, way):
        request = way.ask(farm, "finish.lua")
        assert request.whole() == b"answer"
        request.leave()
        assert "work after the reply is done" not in farm.log()
        farm.write("finish.gate", "open")
        until(lambda: "work after the reply is done" in farm.log(), "the work is done")


@pytest.mark.parametrize("door", ["fastcgi", "http"])
def test_a_script_goes_on_without_its_client_if_it_says_so(door: str) -> None:
    with opened(door) as (farm, way):
        kept, left = way.ask(farm, "kept.lua"), way.ask(farm, LEFT)
        kept.first()
        left.first()
        until(lambda: is_running(farm, LEFT), "it is seen to run")
        kept.leave()
        left.leave()
        until(lambda: not is_running(farm, LEFT), "the other one is stopped")
        farm.write("left.gate", "open")
        until(lambda: "work of kept.lua is done" in farm.log(), "the work is done")
        assert "work of left.lua is done" not in farm.log()
