"""L: how a web server starts and stops an application."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.client import TIMEOUT_S, connected
from tests.conformance.conftest import Served
from tests.conformance.site import Site
from tests.farm.farms import directory, until

pytestmark = pytest.mark.process


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as made:
        yield made


def listener(address: str | tuple[str, int]) -> socket.socket:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen(64)
    return sock


@contextlib.contextmanager
def front(
    served: Served,
    stdin: socket.socket,
    environment: dict[str, str] | None = None,
    prefix: tuple[str, ...] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a further front of the farm, its listening socket on fd 0 (2.2)."""
    command = [
        *prefix,
        *(sys.executable, "-m", "luafarm", "fcgi", "--config", str(served.config)),
        *("--set", 'front.listen=["fd:0"]'),
    ]
    with (served.place / "front.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=stdin.fileno(),
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(TIMEOUT_S)


def test_l01_the_listening_socket_may_be_fd_0(served: Served, place: Path) -> None:
    address = str(place / "web.sock")
    with listener(address) as sock, front(served, sock):
        assert Site(address, served.root).is_well()


def test_l02_fds_1_and_2_may_be_closed(served: Served) -> None:
    closed = ("sh", "-c", 'exec "$@" >&- 2>&-', "sh")
    with listener(("127.0.0.1", 0)) as sock:
        address: tuple[str, int] = sock.getsockname()
        with front(served, sock, prefix=closed) as process:
            site = Site(address, served.root)
            assert site.is_well()
            assert site.ask(site.get("fail.lua")).status == 500
            # what is logged must not land in a descriptor that took their place
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize(
    ("addresses", "is_welcome"),
    [
        ("127.0.0.1", True),
        ("10.0.0.1,127.0.0.1", True),
        ("10.0.0.1,10.0.0.2", False),
    ],
)
def test_l03_only_the_listed_web_servers_are_served(
    served: Served, addresses: str, is_welcome: bool
) -> None:
    with listener(("127.0.0.1", 0)) as sock:
        address: tuple[str, int] = sock.getsockname()
        site = Site(address, served.root)
        with front(served, sock, {"FCGI_WEB_SERVER_ADDRS": addresses}):
            if is_welcome:
                assert site.is_well()
                return
            with connected(address) as client:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.send(site.get())
                assert client.is_at_end()


def test_l06_a_list_of_web_servers_excludes_unix_peers(
    served: Served, place: Path
) -> None:
    address = str(place / "web.sock")
    site = Site(address, served.root)
    with (
        listener(address) as sock,
        front(served, sock, {"FCGI_WEB_SERVER_ADDRS": "127.0.0.1"}),
        connected(address) as client,
    ):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.send(site.get())
        assert client.is_at_end()


def test_l04_sigterm_ends_with_exit_code_0(served: Served, place: Path) -> None:
    address = str(place / "web.sock")
    with listener(address) as sock, front(served, sock) as process:
        assert Site(address, served.root).is_well()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0


def test_l05_a_running_request_is_finished_first(served: Served, place: Path) -> None:
    address = str(place / "web.sock")
    site = Site(address, served.root)
    with listener(address) as sock, front(served, sock) as process:
        with connected(address) as client:
            client.send(site.get("slow.lua", QUERY_STRING="1.5", keep=True))
            with connected(address) as other:
                other.send(site.get())
                other.answer()
            process.send_signal(signal.SIGTERM)
            assert client.answer().body == b"slow"
            assert client.is_at_end()
        until(lambda: process.poll() is not None, "the front ends")
        assert process.returncode == 0
