"""Forms that no browser sends, by the names that attacks give: type and body."""

from collections.abc import Callable
from typing import Final

_BOUNDARY: Final = "boundary"
_TYPE: Final = f"multipart/form-data; boundary={_BOUNDARY}"
_END: Final = f"\r\n--{_BOUNDARY}--\r\n".encode()


def _part(disposition: bytes, content: bytes = b"", more: bytes = b"") -> bytes:
    head = b"Content-Disposition: form-data" + disposition + b"\r\n" + more
    return f"\r\n--{_BOUNDARY}\r\n".encode() + head + b"\r\n" + content


def _multipart(body: bytes) -> tuple[str, bytes]:
    return _TYPE, body[2:] + _END


def _many_parts() -> tuple[str, bytes]:
    return _multipart(_part(b"; name=a") * 49_999)


def _endless_header() -> tuple[str, bytes]:
    return _TYPE, f"--{_BOUNDARY}\r\nX: ".encode() + b"x" * 1_000_000


def _many_headers() -> tuple[str, bytes]:
    lines = b'X: a="b; c="d\r\n' * 5_000
    return _multipart(_part(b"; name=a", b"x", lines))


def _near_boundaries() -> tuple[str, bytes]:
    near = f"\r\n--{_BOUNDARY}"[:-1].encode()
    content = near * 40_000 + b"\r\n-" * 40_000 + b"\r" * 40_000
    return _multipart(_part(b'; name=f; filename="f"', content))


def _odd_names() -> tuple[str, bytes]:
    names = [
        b"__index",
        b"__gc",
        b"",
        b"a\0b",
        b"\xff",
        b"x" * 5_000,
        b"../../etc/passwd",
    ]
    names += [b"..\\..\\x", b'a\\"b', b"a%22b", b"a\rX-Escaped: 1", b"\\", b"/"]
    body = b""
    for name in names[:3] + names[5:9] + names[11:]:
        body += _part(b'; name="' + name + b'"', b"1")
        body += _part(b'; name="f"; filename="' + name + b'"', b"1")
    body += _part(b"; name*=utf-8''%00; filename*=utf-8''..%2f..%2fx", b"1")
    body += _part(b'; name="f"; filename*=utf-8\'\'%2e%2e%2fx; filename="y"', b"1")
    return _multipart(body)


def _cut() -> tuple[str, bytes]:
    whole = _multipart(_part(b"; name=a", b"x"))[1]
    return _TYPE, whole[: -len(_END) + 3]


def _nested() -> tuple[str, bytes]:
    body = b""
    for depth in range(200):
        inner = b"Content-Type: multipart/mixed; boundary=b%d\r\n" % depth
        body += _part(b"; name=a%d" % depth, b"--b%d\r\n" % depth, inner)
    return _multipart(body)


def _quoted() -> tuple[str, bytes]:
    quotes = b';a="' + b'\\"' * 1_900
    return _multipart(
        _part(b"; name=a" + quotes) + _part(b';b="\\";' * 700 + b"name=a")
    )


def _small() -> tuple[str, bytes]:
    file = _part(b'; name=f; filename="f"', b"x" * 300_000)
    return _multipart(_part(b"; name=a", b"1") + file + file)


def _pairs() -> tuple[str, bytes]:
    return "application/x-www-form-urlencoded", b"a=%41&" * 150_000


BUILDERS: Final[dict[str, Callable[[], tuple[str, bytes]]]] = {
    "many_parts": _many_parts,
    "endless_header": _endless_header,
    "many_headers": _many_headers,
    "near_boundaries": _near_boundaries,
    "odd_names": _odd_names,
    "cut": _cut,
    "nested": _nested,
    "quoted": _quoted,
    "small": _small,
    "pairs": _pairs,
}
