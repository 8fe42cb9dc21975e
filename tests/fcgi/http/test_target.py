"""What a target and a Host say."""

import pytest

from fcgi.http.target import Target, is_host, read


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        (b"/", Target(b"/", b"", b"/", None)),
        (b"/a%2fb?", Target(b"/a%2fb", b"", b"/a%2fb?", None)),
        (b"/a?b?c=/d", Target(b"/a", b"b?c=/d", b"/a?b?c=/d", None)),
        (b"//x/a", Target(b"//x/a", b"", b"//x/a", None)),
        (b"/http://x/", Target(b"/http://x/", b"", b"/http://x/", None)),
        (b"http://x", Target(b"/", b"", b"/", b"x")),
        (b"http://x:80/a?b", Target(b"/a", b"b", b"/a?b", b"x:80")),
        (b"HTTP://[::1]?b", Target(b"/", b"b", b"/?b", b"[::1]")),
    ],
)
def test_a_path_is_read_as_it_came(asked: bytes, target: Target) -> None:
    assert read(asked) == target


@pytest.mark.parametrize(
    "asked",
    [
        b"*",
        b"a",
        b"x:443",
        b"http:",
        b"http:/a",
        b"http://",
        b"http:///a",
        b"http://u@x/a",
        b"https://x/a",
        b"ftp://x/a",
        b"/a#b",
        b"http://x/a#b",
    ],
)
def test_what_names_nothing_here_is_none(asked: bytes) -> None:
    assert read(asked) is None


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (b"", True),
        (b"x", True),
        (b"x.example.org:8080", True),
        (b"x:", True),
        (b"under_score", True),
        (b"%61", True),
        (b"127.0.0.1", True),
        (b"[::1]", True),
        (b"[fe80::1%25eth0]:80", True),
        (b"x/a", False),
        (b"x y", False),
        (b"u@x", False),
        (b"x:y", False),
        (b"x,y", True),  # a reg-name may (RFC 3986, 3.2.2)
        (b"[::1", False),
        (b"\xe9", False),
        (b"x?y", False),
        (b"x#y", False),
    ],
)
def test_a_host_is_told_from_what_is_none(value: bytes, is_one: bool) -> None:
    assert is_host(value) is is_one
