"""Heads of answers, and how their bodies end."""

import pytest

from fcgi.http import response

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"


def lines(block: bytes, method: bytes = b"GET", **flags: bool) -> list[bytes]:
    """Return the lines of the head that is made of a header block."""
    given = {"is_old": False, "keep": True, **flags}
    head, _ = response.opening(
        block + b"\r\n\r\n",
        method,
        is_old=given["is_old"],
        keep=given["keep"],
        date=DATE,
    )
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


@pytest.mark.parametrize(
    ("status", "first"),
    [
        (b"200 OK", b"HTTP/1.1 200 OK"),
        (b"404", b"HTTP/1.1 404 Not Found"),
        (b"404 ", b"HTTP/1.1 404 Not Found"),
        (b"404\tGone  Fishing", b"HTTP/1.1 404 Gone  Fishing"),
        (b"299", b"HTTP/1.1 299 "),
        (b"200 \xe9", b"HTTP/1.1 200 \xe9"),
    ],
)
def test_the_status_is_the_scripts_and_has_a_phrase(
    status: bytes, first: bytes
) -> None:
    assert lines(b"X: y\r\nStatus: " + status)[0] == first


def test_fields_stay_as_the_script_wrote_them() -> None:
    given = [b"Content-Type: a/b", b"SET-cookie: a", b"set-Cookie:b ", b"X:"]
    made = lines(b"\r\n".join([b"Status: 200 OK", *given]))
    assert made[1:5] == given
    assert made[5:] == [b"Date: " + DATE, b"Transfer-Encoding: chunked"]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("is_old", [True, False])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize(
    "block", [b"Content-Length: 2", b"X: y", b"Status: 204", b"Status: 304"]
)
def test_a_client_knows_where_each_answer_ends(
    block: bytes, method: bytes, is_old: bool, keep: bool
) -> None:
    head, framing = response.opening(
        block + b"\r\n\r\n", method, is_old=is_old, keep=keep, date=DATE
    )
    is_chunked = b"\r\nTransfer-Encoding: chunked\r\n" in head
    has_length = b"\r\nContent-Length: 2\r\n" in head
    assert (b"\r\nConnection: close\r\n" in head) == (not keep)
    assert is_chunked == (block == b"X: y" and not is_old)
    assert has_length == (block == b"Content-Length: 2")
    sent = response.piece(b"hi", framing) + response.last(framing)
    if method == b"HEAD" or b"Status" in block:
        assert sent == b""
    elif is_chunked:
        assert sent == b"2\r\nhi\r\n0\r\n\r\n"
    else:
        assert sent == b"hi"
        assert (framing == response.UNTIL_CLOSE) == (not has_length)
