"""Addresses as settings write them."""

import pytest

from luafarm.config import endpoints
from luafarm.config.endpoints import Listener


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        ("unix:/run/x.sock", Listener("/run/x.sock", "", 0, -1)),
        ("fd:0", Listener("", "", 0, 0)),
        ("127.0.0.1:9000", Listener("", "127.0.0.1", 9000, -1)),
        ("localhost:1", Listener("", "localhost", 1, -1)),
        ("[::1]:9000", Listener("", "::1", 9000, -1)),
        ("*:9000", Listener("", "", 9000, -1)),
        (":9000", Listener("", "", 9000, -1)),
    ],
)
def test_a_listener_is_read(text: str, listener: Listener) -> None:
    assert endpoints.parse_listener(text) == listener


@pytest.mark.parametrize(
    "text",
    ["", "x", "unix:", "fd:", "fd:-1", "h:p", "h:65536", "a b:1", "[x]:1", "::1:1"],
)
def test_what_is_no_listener_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        endpoints.parse_listener(text)


@pytest.mark.parametrize(
    ("endpoint", "is_local"),
    [
        ("ipc:///run/x", True),
        ("tcp://127.0.0.1:1", True),
        ("tcp://127.8.0.1:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://localhost:1", True),
        ("tcp://10.0.0.1:1", False),
        ("tcp://*:1", False),
        ("tcp://0.0.0.0:1", False),
        ("tcp://example.org:1", False),
    ],
)
def test_only_loopback_and_ipc_are_local(endpoint: str, is_local: bool) -> None:
    assert endpoints.is_local(endpoint) is is_local


def test_the_longest_path_of_a_socket_is_107_bytes() -> None:
    endpoints.check_socket_path("/" + "x" * 106)
    with pytest.raises(ValueError, match="108 bytes"):
        endpoints.check_socket_path("/" + "x" * 107)


def test_the_length_of_a_path_is_counted_in_bytes() -> None:
    with pytest.raises(ValueError, match="121 bytes"):
        endpoints.check_socket_path("/" + "ü" * 60)
