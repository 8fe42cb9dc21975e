"""A reply that death cuts short never looks whole, through each web server.

Whoever has another nginx tries that by putting it first in PATH.
"""

import contextlib
import functools
import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import procfs
from luafarm.command import asking
from luafarm.config import configure
from luafarm.errors import NoAnswerError
from tests.servers import apache, farm, haproxy, lighttpd, nginx
from tests.servers.client import send
from tests.servers.conftest import INSTALL
from tests.servers.farm import ANSWER_S, Farm
from tests.servers.server import Application, Running

pytestmark = [pytest.mark.process, pytest.mark.long]

REPLIES = 5  # at most at once
HOSTS = 12  # each of these finds one that is empty
PATIENCE_S = 120.0
TAKEN = 1000  # bytes of each reply, before death comes
BUFFERED = ("", "buffered")
FRAMED = ("", "length")
CLOSE = {
    "fastcgi_pass luafarm;": "fastcgi_pass unix:/run/luafarm.sock;",
    "fastcgi_keep_conn on;": "",
}


def over_tcp(
    start: Callable[..., contextlib.AbstractContextManager[Running]], old: str, new: str
) -> "Serve":
    """Change what a configuration says of the socket; new: with the port's place."""

    def serve(
        place: Path, application: Application
    ) -> contextlib.AbstractContextManager[Running]:
        changes = {old: new.format(port=application.port)}
        return start(place, application, changes=changes)

    return serve


Serve = Callable[[Path, Application], contextlib.AbstractContextManager[Running]]

SERVERS: dict[str, tuple[Callable[[], str | None], Serve]] = {
    "nginx-keep": (nginx.missing, nginx.serve),
    "nginx-keep-tcp": (nginx.missing, functools.partial(nginx.serve, tcp=True)),
    "nginx-close": (nginx.missing, functools.partial(nginx.serve, changes=CLOSE)),
    "nginx-close-tcp": (
        nginx.missing,
        functools.partial(nginx.serve, changes=CLOSE, tcp=True),
    ),
    "apache-keep": (apache.missing, apache.serve),
    "apache-close": (
        apache.missing,
        functools.partial(apache.serve, changes=apache.CLOSE),
    ),
    "apache-tcp": (
        apache.missing,
        over_tcp(
            apache.serve,
            "unix:/run/luafarm.sock|fcgi://luafarm",
            "fcgi://127.0.0.1:{port}",
        ),
    ),
    "lighttpd": (lighttpd.missing, lighttpd.serve),
    "lighttpd-tcp": (
        lighttpd.missing,
        over_tcp(
            lighttpd.serve,
            '"socket"            => "/run/luafarm.sock"',
            '"host" => "127.0.0.1", "port" => {port}',
        ),
    ),
    "haproxy-keep": (haproxy.missing, haproxy.serve),
    "haproxy-multiplexed": (
        haproxy.missing,
        functools.partial(haproxy.serve, changes=haproxy.MULTIPLEX),
    ),
    "haproxy-close": (
        haproxy.missing,
        functools.partial(haproxy.serve, changes=haproxy.CLOSE),
    ),
    "haproxy-tcp": (
        haproxy.missing,
        over_tcp(haproxy.serve, "/run/luafarm.sock", "127.0.0.1:{port}"),
    ),
}


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    with farm.directory() as made:
        yield made


@pytest.fixture(scope="module")
def killed_farm(room: Path) -> Iterator[Farm]:
    # a script for each reply that is on its way: each has a VM host of its own
    with farm.serving(room, hosts=HOSTS) as running:
        text = (running.root / "begun.lua").read_text()
        for number in range(REPLIES):
            (running.root / f"begun{number}.lua").write_text(text)
        yield running


@dataclass(frozen=True, slots=True)
class Cut:
    """A reply that began."""

    query: str
    response: http.client.HTTPResponse

    def looks_whole(self) -> bool:
        """Read to its end, and return whether that is one."""
        try:
            self.response.read()
        except (http.client.IncompleteRead, ConnectionResetError):
            return False
        return True


def begun(stack: contextlib.ExitStack, port: int, query: str, number: int) -> Cut:
    """Ask until a reply begins that has no end, and take some of it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        connection = stack.enter_context(
            contextlib.closing(send(port, f"/begun{number}.lua?{query}"))
        )
        response = connection.getresponse()
        if response.status == 200:
            break
        connection.close()  # what was killed before is not all back yet
        assert time.monotonic() < deadline, f"status {response.status}"
    assert len(response.read(TAKEN)) == TAKEN
    return Cut(query, response)


def role(running: Farm, title: str) -> list[int]:
    """Return the processes of a farm with this title."""
    found = []
    for pid in procfs.tree(running.daemon.pid):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title.encode()):
                found.append(pid)
    return found


def hosts(running: Farm) -> list[dict[str, object]]:
    """Return what the status says of each VM host; nothing while there is none."""
    settings = configure.load(running.directory / "luafarm.toml").settings
    try:
        status = json.loads(asking.status(settings, ANSWER_S))
    except NoAnswerError:
        return []
    found: list[dict[str, object]] = status["hosts"]
    return found


def busy_hosts(running: Farm) -> list[int]:
    """Return the VM hosts that run something."""
    return [int(str(host["pid"])) for host in hosts(running) if host["running"]]


def kill(pids: list[int]) -> None:
    """End processes that are there as if they had crashed."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


VICTIMS: dict[str, Callable[[Farm], list[int]]] = {
    "front": lambda running: role(running, "luafarm-front"),
    "hosts": busy_hosts,
    "roles": lambda running: [
        pid for pid in procfs.tree(running.daemon.pid) if pid != running.daemon.pid
    ],
}


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("name", SERVERS)
def test_a_reply_cut_short_by_a_death_never_looks_whole(
    killed_farm: Farm, room: Path, name: str, victim: str
) -> None:
    missing, serve = SERVERS[name]
    absent = missing()
    if absent:
        pytest.skip(f"{absent}: {INSTALL}")
    place = room / f"{name}-{victim}"
    place.mkdir(mode=0o755)
    application = Application(killed_farm.socket, killed_farm.port, killed_farm.root)
    modes = BUFFERED if "nginx" in name else ("",)
    queries = [f"{framed}&{mode}" for framed in FRAMED for mode in modes]
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(serve(place, application))
        killed_farm.daemon.wait_until(
            lambda: len(hosts(killed_farm)) == HOSTS, "all VM hosts are there"
        )
        cuts = [
            begun(stack, running.port, query, number)
            for number, query in enumerate([*queries, "flood"])
        ]
        killed_farm.daemon.wait_until(
            lambda: len(busy_hosts(killed_farm)) >= len(cuts), "all have begun"
        )
        kill(VICTIMS[victim](killed_farm))
        assert [cut.query for cut in cuts if cut.looks_whole()] == []
        kill(busy_hosts(killed_farm))  # whose client is gone, and which go on
