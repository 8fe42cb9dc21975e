"""Listening sockets of hosts."""

import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmhost.supervisor import listening


@pytest.fixture
def run() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lf") as name:
        (Path(name) / "h").mkdir()
        yield Path(name)


def connects(family: int, address: object) -> bool:
    with socket.socket(family) as sock:
        return sock.connect_ex(address) == 0  # type: ignore[arg-type]


def test_without_an_endpoint_a_host_listens_in_the_run_directory(run: Path) -> None:
    door = listening.listen("", run, "1-abcd")
    path = run / "h" / "1-abcd.sock"
    with door.sock:
        assert door.endpoint == f"ipc://{path}"
        assert not door.is_tcp
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert not door.sock.getblocking()
        assert connects(socket.AF_UNIX, str(path))
    listening.remove(door.endpoint)
    assert not path.exists()


def test_tcp_hosts_each_have_a_port_of_their_own(run: Path) -> None:
    doors = [listening.listen("tcp://127.0.0.1:*", run, "x") for _ in range(2)]
    try:
        ports = [int(door.endpoint.rpartition(":")[2]) for door in doors]
        assert ports[0] != ports[1]
        for door, port in zip(doors, ports, strict=True):
            assert door.is_tcp
            assert door.endpoint == f"tcp://127.0.0.1:{port}"
            assert connects(socket.AF_INET, ("127.0.0.1", port))
    finally:
        for door in doors:
            door.sock.close()
            listening.remove(door.endpoint)


def test_a_connection_over_tcp_never_holds_a_small_frame_back(run: Path) -> None:
    door = listening.listen("tcp://127.0.0.1:*", run, "x")
    with door.sock, socket.create_connection(door.sock.getsockname()):
        connection, _ = door.sock.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_ipv6_address_keeps_its_brackets(run: Path) -> None:
    try:
        door = listening.listen("tcp://[::1]:*", run, "x")
    except OSError:
        pytest.skip("no IPv6 here")
    with door.sock:
        assert door.endpoint.startswith("tcp://[::1]:")
    assert listening.tcp_host("tcp://[::1]:*") == "[::1]"
