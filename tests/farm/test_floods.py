"""Floods, end to end: what scripts and clients pour out costs a bounded amount.

Each flood is let loose on one farm, while a script of another pool is asked: it is
answered all the time, and front, broker and supervisor keep their size.
"""

import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.farm.client import TIMEOUT_S, Client, ask, connected
from tests.farm.farms import Farm, during, until, up
from tests.fcgi.fastcgi import wire

pytestmark = [pytest.mark.process, pytest.mark.long]

MIB = 1 << 20
GROWTH_KIB = 48 * 1024
"""More than the front may keep for a client in memory, and the interpreter's habits."""

LOG_RATE = 4096
PATHS = 2500
SETTINGS = """
[front]
spool = "24 MiB"
receive_timeout = "2 s"

[broker]
states = 40
missing = 500
quarantine_deaths = 0

[pool.bystander]
root = ["{place}/other"]
hosts = 1
"""
POOL = f"""
reply = "16 MiB"
cpu = "2 s"
log_rate = {LOG_RATE}
"""

HELLO = "function main(env, con) con:puts('hello') end"
ENDLESS = """
function main(env, con)
  local piece = ("x"):rep(65536)
  while true do con:puts(piece) con:flush() end
end
"""
LOGS = """
function main(env, con)
  for index = 1, 300 do con:log(("l"):rep(100)) end
  con:puts("logged")
end
"""
LOADS = """
for index = 1, 200 do print(("l"):rep(100)) end
error("e" .. ("e"):rep(1000))
"""
HEADERS = """
function main(env, con)
  for index = 1, 1e6 do con:header("X-" .. index, ("h"):rep(100)) end
end
"""


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up(SETTINGS, hosts=2, pool=POOL, folders=("other",)) as running:
        (running.place / "other" / "hello.lua").write_text(HELLO)
        running.write("endless.lua", ENDLESS)
        running.write("logs.lua", LOGS)
        running.write("headers.lua", HEADERS)
        running.write("hello.lua", HELLO)
        yield running


@contextlib.contextmanager
def bounded(farm: Farm) -> Iterator[None]:
    """Ask the bystander while the block runs; compare what memory is used after it."""

    def look() -> None:
        reply = ask(farm.socket, farm.place / "other" / "hello.lua")
        assert (reply.status, reply.body) == (200, b"hello")

    look()
    before = farm.resident_kib()
    with during(look, pause_s=0.005):
        yield
    for title, kib in farm.resident_kib().items():
        grown = kib - before[title]
        assert grown < GROWTH_KIB, f"{title} has grown by {grown} KiB"


def test_replies_without_end_to_clients_that_do_not_read(farm: Farm) -> None:
    with contextlib.ExitStack() as stack, bounded(farm):
        for _ in range(6):  # 96 MiB, if all were kept
            client = stack.enter_context(connected(farm.socket))
            client.send(farm.root / "endless.lua")
        until(lambda: "the client is cut off" in farm.log(), "the room is used up")
        assert farm.spooled_bytes() <= 24 * MIB
    until(lambda: farm.spooled_bytes() == 0, "the room is free again")
    with connected(farm.socket) as client, bounded(farm):
        client.send(farm.root / "endless.lua")  # alone it comes to its budget
        until(lambda: "budget=reply" in farm.log(), "its budget ends it")
    until(lambda: farm.spooled_bytes() == 0, "the room is free again")


def allowed(since: float) -> float:
    """Return what one process may have logged since then, in bytes."""
    # at once ten seconds' worth and a request, then the rate; other lines besides
    return (20 + time.monotonic() - since) * LOG_RATE


def test_log_lines_without_end(farm: Farm) -> None:
    log = farm.daemons["up"].log
    before, since = log.stat().st_size, time.monotonic()
    with bounded(farm):
        for _ in range(
            150
        ):  # 4.5 MB of text; 200 lines of each request are let through
            assert ask(farm.socket, farm.root / "logs.lua").body == b"logged"
        until(lambda: "logs too much: " in farm.log(), "what is left out is told")
    written = log.stat().st_size - before
    assert written < allowed(since)


def test_log_lines_without_end_of_scripts_that_do_not_load(farm: Farm) -> None:
    log = farm.daemons["up"].log
    before, since = log.stat().st_size, time.monotonic()
    with bounded(farm):
        for index in range(100):  # 2 MB of text, told to the broker
            path = farm.write(f"loads_{index}.lua", LOADS)
            assert ask(farm.socket, path).status == 500
        until(
            lambda: "luafarm-broker warning pool=web logs too much: " in farm.log(),
            "what is left out is told",
        )
    # by the broker and by the front, which logs the errors
    assert log.stat().st_size - before < 2 * allowed(since)


def test_headers_without_end(farm: Farm) -> None:
    with bounded(farm):
        for _ in range(5):
            reply = ask(farm.socket, farm.root / "headers.lua")
            assert reply.status == 500
            assert len(reply.headers) < 20


def test_scripts_without_end_each_asked_for_once(farm: Farm) -> None:
    number = 1100
    for index in range(number):
        path = farm.root / f"many_{index}.lua"
        path.write_text(HELLO)
    bystander = farm.place / "other" / "hello.lua"
    with connected(farm.socket) as client:
        for _ in range(1000):
            client.send(bystander)
            assert client.receive().status == 200

    name = str(bystander)  # of another root than the farm's: absolute
    until(lambda: farm.script(name)["heat"] > 500, "its uses are known")
    before = farm.script(name)
    with bounded(farm):
        for index in range(number):
            reply = ask(farm.socket, farm.root / f"many_{index}.lua")
            assert reply.status == 200, (index, reply)
    status = farm.status()
    assert status["states"] <= 40
    assert status["remembered"] <= 1000  # scripts without a state: for their heat
    after = farm.script(name)  # the bystander kept its state, it was worth more
    assert after["states"] == before["states"] != []
    assert after["epoch"] == before["epoch"]
    assert after["evicted"] == before["evicted"]


def test_paths_without_end_that_do_not_exist(farm: Farm) -> None:
    with bounded(farm), connected(farm.socket) as client:
        for index in range(PATHS):
            client.send(f"{farm.root}/none_{index}.lua/{index}")
            assert client.receive().status == 404
    status = farm.status()
    assert status["missing"] <= 500
    assert status["files"]["paths"] < 2000  # a few for each of those


def test_many_connections_with_half_a_request(farm: Farm) -> None:
    begun = wire.req({"SCRIPT_FILENAME": f"{farm.root}/hello.lua"}, b"")[:40]
    clients: list[Client] = []
    try:
        with bounded(farm):
            for _ in range(300):
                client = Client(farm.socket)
                client.socket.sendall(begun)
                clients.append(client)
            # each is given up after receive_timeout, and not after its default of 60 s
            until(lambda: all(map(is_answered, clients)), "all are given up", 50)
    finally:
        for client in clients:
            client.close()


def is_answered(client: Client) -> bool:
    client.socket.setblocking(False)
    try:
        return client.socket.recv(1, 2) is not None  # MSG_PEEK
    except BlockingIOError:
        return False
    finally:
        client.socket.settimeout(TIMEOUT_S)


def test_parameters_without_end(farm: Farm) -> None:
    pairs = {"SCRIPT_FILENAME": f"{farm.root}/hello.lua", "HTTP_X": "p" * 60_000}
    with bounded(farm):
        for _ in range(20):
            with connected(farm.socket) as client:
                more = {f"HTTP_X{index}": "p" * 60_000 for index in range(40)}
                with contextlib.suppress(OSError):  # it may stop to read
                    client.socket.sendall(wire.req({**pairs, **more}, b""))
                with contextlib.suppress(OSError):
                    assert client.receive().status in {0, 431}
    assert ask(farm.socket, farm.root / "hello.lua").status == 200
