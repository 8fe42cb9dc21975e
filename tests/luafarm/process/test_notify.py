"""What a service manager is told: a socket of ours in systemd's place."""

import contextlib
import os
import re
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from luafarm.process import notify


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give an address as the environment names it."""
    if request.param == "path":
        return str(tmp_path / "notify")
    return f"@luafarm-test-{os.getpid()}"


@pytest.fixture
def manager(address: str) -> Iterator[socket.socket]:
    """Listen there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0", 1))
        sock.setblocking(False)
        yield sock


Keep = Callable[[notify.Manager | None], notify.Manager]


@pytest.fixture
def kept() -> Iterator[Keep]:
    """Return what a process is given, which must be something; it is closed later."""
    with contextlib.ExitStack() as stack:

        def keep(service: notify.Manager | None) -> notify.Manager:
            assert service is not None
            stack.callback(service.close)
            return service

        yield keep


def told(manager: socket.socket) -> list[str]:
    found: list[str] = []
    while True:
        try:
            found.append(manager.recv(4096).decode())
        except BlockingIOError:
            return found


def test_the_life_of_a_service(
    manager: socket.socket, address: str, kept: Keep
) -> None:
    service = kept(notify.take({"NOTIFY_SOCKET": address}))
    service.ready("4 VM hosts serve")
    service.alive()
    service.reloading()
    service.ready("serving")
    service.stopping()
    first, alive, reloading, again, stopping = told(manager)
    assert first == "READY=1\nSTATUS=4 VM hosts serve"
    assert alive == "WATCHDOG=1"
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)
    assert again == "READY=1\nSTATUS=serving"
    assert stopping == "STOPPING=1\nSTATUS=stopping"


def test_what_it_is_told_is_kept_from_those_that_it_starts(
    address: str, kept: Keep
) -> None:
    environment = {
        "NOTIFY_SOCKET": address,
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    service = kept(notify.take(environment))
    assert service.watchdog_s == 3.0
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    ("usec", "is_ours"), [("3000000", False), ("", True), ("soon", True)]
)
def test_a_watchdog_that_is_not_for_this_process_wants_nothing(
    usec: str, is_ours: bool, kept: Keep
) -> None:
    pid = str(os.getpid()) if is_ours else "1"
    service = kept(
        notify.take({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid})
    )
    assert service.watchdog_s == 0.0


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_an_address_of_another_kind_is_no_manager(address: str) -> None:
    assert notify.take({"NOTIFY_SOCKET": address} if address else {}) is None


def test_a_manager_that_is_gone_is_no_fault(tmp_path: Path, kept: Keep) -> None:
    kept(notify.Manager(str(tmp_path / "nobody"))).ready("serving")


def test_who_has_no_descriptor_left_goes_on_giving_signs_of_life(
    manager: socket.socket, address: str, kept: Keep
) -> None:
    service = kept(notify.take({"NOTIFY_SOCKET": address}))
    taken: list[int] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (manager.fileno() + 32, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(manager.fileno()))
        service.alive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)
    assert told(manager) == ["WATCHDOG=1"]


def test_a_manager_that_hangs_holds_up_nobody_and_hears_it_later(
    tmp_path: Path,
    kept: Keep,
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.setblocking(False)
        service = kept(notify.Manager(address))
        for number in range(1000):  # more than its queue holds
            service.ready(f"number {number}")
        service.ready("serving")
        taken = told(sock)
        assert taken[0] == "READY=1\nSTATUS=number 0"
        for _ in range(3):
            service.alive()
            taken += told(sock)
        assert "READY=1\nSTATUS=serving" in taken


def test_a_status_is_one_line(manager: socket.socket, address: str, kept: Keep) -> None:
    service = kept(notify.take({"NOTIFY_SOCKET": address}))
    service.ready("a\nSTOPPING=1\n" + "b" * 1000)
    (text,) = told(manager)
    assert text.startswith("READY=1\nSTATUS=a STOPPING=1 bbb")
    assert len(text) < 300
