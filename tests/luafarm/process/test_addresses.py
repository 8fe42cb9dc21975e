"""Where sockets listen: one spelling for each place, and what cannot stand together."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from luafarm.process import addresses

needs_ipv6 = pytest.mark.skipif(
    not socket.has_dualstack_ipv6(), reason="this machine has no IPv6"
)


@needs_ipv6
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost", ""])
def test_a_socket_has_the_address_of_what_it_was_made_for(host: str) -> None:
    target = addresses.target(host, 0)
    with socket.socket(target.family) as sock:
        if target.family == socket.AF_INET6:
            alone = int(not target.is_both)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
        sock.bind(target.place)
        port = sock.getsockname()[1]
        assert addresses.of_socket(sock) == addresses.target(host, port).address


def test_a_path_has_one_address_however_it_is_written() -> None:
    with tempfile.TemporaryDirectory(prefix="lf") as name:  # a socket's path is short
        place = Path(name)
        (place / "link").symlink_to(place)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{place}/link/../{place.name}/x")
            address = addresses.of_socket(sock)
        assert address == addresses.of_path(f"{place}/x")
        assert address == addresses.of_path(os.path.relpath(f"{place}/link/x"))


@pytest.mark.parametrize("name", ["", "\0abstract"])
def test_a_socket_without_a_path_is_like_no_other(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        if name:
            sock.bind(f"{name}{os.getpid()}")
        assert addresses.of_socket(sock) == ""


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "word"),
    [("127.0.0.1", "127.0.0.1:{}"), ("::1", "[::1]:{}"), ("", "*:{}")],
)
def test_an_address_is_shown_as_settings_write_it(host: str, word: str) -> None:
    target = addresses.target(host, 0)
    with socket.socket(target.family) as sock:
        if target.family == socket.AF_INET6:
            alone = int(not target.is_both)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
        sock.bind(target.place)
        assert addresses.shown(sock) == word.format(sock.getsockname()[1])


def test_a_socket_is_shown_by_its_path_or_at_least_its_number() -> None:
    place = tempfile.TemporaryDirectory(prefix="lf")
    with place as name, socket.socket(socket.AF_UNIX) as sock:
        assert addresses.shown(sock) == f"fd:{sock.fileno()}"
        sock.bind(f"{name}/x")
        assert addresses.shown(sock) == f"unix:{os.path.realpath(name)}/x"


@needs_ipv6
@pytest.mark.parametrize(
    ("one", "other", "is_so"),
    [
        ("127.0.0.1:9", "127.0.0.1:9", True),
        ("127.0.0.1:9", "127.0.0.2:9", False),
        ("127.0.0.1:9", "127.0.0.1:8", False),
        ("127.0.0.1:9", "0.0.0.0:9", True),
        ("127.0.0.1:9", ":::9", False),
        ("::1:9", ":::9", True),
        ("::1:9", "0.0.0.0:9", False),
        (":::9", "0.0.0.0:9", False),
        (":9", "0.0.0.0:9", True),
        (":9", "::1:9", True),
        (":9", "127.0.0.1:9", True),
    ],
)
def test_addresses_overlap_when_one_takes_what_comes_to_the_other(
    one: str, other: str, *, is_so: bool
) -> None:
    found = [
        addresses.target(host, int(port)).address
        for host, _, port in (text.rpartition(":") for text in (one, other))
    ]
    assert addresses.overlap(*found) is is_so
    assert addresses.overlap(*reversed(found)) is is_so


def test_paths_overlap_only_themselves() -> None:
    one, other = addresses.of_path("/a/x"), addresses.of_path("/a/y")
    assert addresses.overlap(one, one)
    assert not addresses.overlap(one, other)
    assert not addresses.overlap(one, addresses.target("127.0.0.1", 9).address)
    assert not addresses.overlap("", "")
