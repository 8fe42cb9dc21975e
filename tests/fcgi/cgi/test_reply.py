import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcgi.cgi import reply
from fcgi.cgi.reply import BadHeaderError, Heads

OK = b"Status: 200 OK\r\nContent-Type: text/html\r\nX-Powered-By: Lua"


def done(
    head: bytes, body: bytes = b"hello", method: bytes = b"GET", *, trust: bool = False
) -> tuple[bytes, bytes]:
    return reply.whole(reply.parse(head, trust), body, method)


def test_a_usual_reply_only_gets_its_length() -> None:
    assert done(OK) == (OK + b"\r\nContent-Length: 5\r\n\r\n", b"hello")
    assert done(OK, b"")[0].endswith(b"\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Status: 404 Not Found", 404),
        (b"Status: 404", 404),
        (b"status:\t599 Odd", 599),
        (b"Content-Type: a/b\r\nSTATUS: 201 Created", 201),
        (b"Content-Type: a/b", 200),
        (b"Location: /x", 302),
        (b"Status: 303 See Other\r\nLocation: /x", 303),
        (b"Location: /x\r\nStatus: 200 OK", 200),
        (b"X-Status: 404", 200),
        (b"X: Status: 404", 200),
    ],
)
def test_the_status_is_found(head: bytes, status: int) -> None:
    assert reply.parse(head, False).status == status


def test_location_alone_becomes_a_302() -> None:
    lines = reply.parse(b"Location: /x\r\nA: b", False).lines
    assert lines == b"Status: 302 Found\r\nLocation: /x\r\nA: b\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n",
        b"\r\n",
        b"no colon",
        b": no name",
        b"Na me: x",
        b"Name : x",
        b"Na\xe4me: x",
        b"A: b\0c",
        b"A: b\rc",
        b"A: b\r",
        b"A: b\r\r\n",
        b"A: b\r\n\r\nC: d",
        b"A: b\n\nC: d",
        b"\r\nA: b",
        b"A: b\r\n folded",
        b"HTTP/1.1 200 OK\r\nA: b",
        b"Status: 100 Continue",
        b"Status: 99",
        b"Status: 1000",
        b"Status: 2000",
        b"Status: ok",
        b"Status:",
        b"Status: 200 OK\r\nStatus: 404 Not Found",
        b"Content-Length: x",
        b"Content-Length:",
        b"Content-Length: -1",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: " + b"9" * 30,
    ],
)
def test_a_header_that_is_none_is_refused(head: bytes) -> None:
    with pytest.raises(BadHeaderError):
        reply.parse(head, True)


@pytest.mark.parametrize(
    "head",
    [
        b"Status: 200 OK\nContent-Type: text/html\nX-Powered-By: Lua",
        b"Status: 200 OK\nContent-Type: text/html\r\nX-Powered-By: Lua\n",
        OK + b"\r\n",
        OK + b"\r\n\r\n",
    ],
)
def test_line_ends_are_made_one_kind(head: bytes) -> None:
    assert reply.parse(head, False).lines == OK + b"\r\n"


@pytest.mark.parametrize("said", [b"0", b"5", b"999999"])
def test_the_length_of_a_whole_body_is_the_true_one(said: bytes) -> None:
    head, body = done(OK + b"\r\nContent-length: " + said)
    assert head == OK + b"\r\nContent-Length: 5\r\n\r\n"
    assert body == b"hello"


def test_204_has_neither_body_nor_length() -> None:
    head = b"Status: 204 No Content\r\nContent-Length: 5\r\nA: b"
    assert done(head) == (b"Status: 204 No Content\r\nA: b\r\n\r\n", b"")
    assert reply.opening(reply.parse(head, False), b"GET") == (
        b"Status: 204 No Content\r\nA: b\r\n\r\n",
        False,
    )


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
def test_205_has_no_body_and_says_so(method: bytes) -> None:
    head = b"Status: 205 Reset Content\r\nContent-Length: 5\r\nA: b"
    told = b"Status: 205 Reset Content\r\nA: b\r\nContent-Length: 0\r\n\r\n"
    assert done(head, method=method) == (told, b"")
    assert reply.opening(reply.parse(head, False), method) == (told, False)


@pytest.mark.parametrize("is_trusted", [True, False])
def test_control_characters_are_refused_but_the_tab(is_trusted: bool) -> None:
    for code in range(256):
        head = OK + b"\r\nA: b" + bytes([code]) + b"c"
        if code == 9 or 32 <= code != 127:
            assert reply.parse(head, is_trusted).lines == head + b"\r\n"
        else:
            with pytest.raises(BadHeaderError):
                reply.parse(head, is_trusted)


def test_304_has_no_body_and_only_the_length_that_the_script_set() -> None:
    head = b"Status: 304 Not Modified"
    assert done(head) == (head + b"\r\n\r\n", b"")
    assert done(head + b"\r\nContent-Length: 7")[0] == (
        head + b"\r\nContent-Length: 7\r\n\r\n"
    )


def test_head_has_no_body_but_its_length() -> None:
    assert done(OK, method=b"HEAD") == (OK + b"\r\nContent-Length: 5\r\n\r\n", b"")
    head = OK + b"\r\nContent-Length: 70"
    assert done(head, b"", b"HEAD") == (
        OK + b"\r\nContent-Length: 70\r\n\r\n",
        b"",
    )
    assert not reply.opening(reply.parse(OK, False), b"HEAD")[1]


def test_a_streamed_reply_keeps_the_scripts_length_and_gets_none() -> None:
    head = reply.parse(OK, False)
    assert reply.opening(head, b"GET") == (OK + b"\r\n\r\n", True)
    assert head.content_length == -1
    head = reply.parse(OK + b"\r\nContent-Length: 12", False)
    assert reply.opening(head, b"POST") == (
        OK + b"\r\nContent-Length: 12\r\n\r\n",
        True,
    )
    assert head.content_length == 12


@pytest.mark.parametrize(
    "line",
    [
        b"X-Accel-Redirect: /secret",
        b"x-sendfile: /etc/passwd",
        b"X-Sendfile2: /etc/passwd 0-",
        b"X-SENDFILE-TEMPORARY: /etc/passwd",
        b"X-LIGHTTPD-send-tempfile: /etc/passwd",
        b"X-LIGHTTPD-send-file: /etc/passwd",
    ],
)
def test_only_trusted_scripts_may_have_files_sent(line: bytes) -> None:
    head = b"A: b\r\n" + line + b"\r\nC: d"
    assert reply.parse(head, False).lines == b"A: b\r\nC: d\r\n"
    assert reply.parse(head, True).lines == head + b"\r\n"
    assert reply.parse(line, False).lines == b"Status: 200 OK\r\n"


def test_transfer_encoding_never_passes() -> None:
    head = b"A: b\r\nTransfer-Encoding: chunked"
    for trust in (False, True):
        assert reply.parse(head, trust).lines == b"A: b\r\n"


def test_several_cookies_and_authorizer_variables_pass() -> None:
    head = b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nVariable-USER: x\r\nEmpty:"
    assert reply.parse(head, False).lines == head + b"\r\n"


def test_a_header_over_the_limit_is_named_with_it() -> None:
    heads = Heads(100)
    assert heads.parse(b"A: " + b"x" * 97).status == 200
    with pytest.raises(BadHeaderError, match="101 bytes; the limit is 100"):
        heads.parse(b"A: " + b"x" * 98)


def test_what_is_remembered_is_what_was_parsed() -> None:
    heads = Heads(7000)
    accel = b"A: b\r\nX-Accel-Redirect: /x"
    for _ in range(2):
        assert heads.parse(accel).lines == b"A: b\r\n"
        assert heads.parse(accel, is_trusted=True).lines == accel + b"\r\n"
    first = heads.parse(OK)
    assert heads.parse(bytes(bytearray(OK))) is first
    for i in range(1000):
        assert heads.parse(b"Status: %d" % (200 + i % 700)).status == 200 + i % 700
        assert len(heads._untrusted) <= 256
    assert heads.parse(OK).lines == first.lines


lines = st.lists(
    st.sampled_from(
        [
            b"Status: 200 OK", b"Status: 404", b"status:abc", b"Content-Length: 3",
            b"content-length: 4", b"Location: /", b"X: y", b"X-Sendfile: /", b"",
            b"bad", b"Transfer-Encoding: chunked", b"A: \0", b" fold",
        ]
    ),
    max_size=6,
)  # fmt: skip


@given(lines, st.sampled_from([b"\r\n", b"\n", b"\r"]), st.binary(max_size=9))
def test_a_header_is_refused_or_comes_out_clean(
    found: list[bytes], end: bytes, body: bytes
) -> None:
    for method in (b"GET", b"HEAD"):
        try:
            head, sent = done(end.join(found), body, method)
        except BadHeaderError:
            return
        assert head.endswith(b"\r\n\r\n")
        names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[:-2]]
        assert all(names)
        assert names.count(b"status") <= 1
        assert names.count(b"content-length") <= 1
        assert not {b"transfer-encoding", b"x-sendfile"} & set(names)
        assert sent in {b"", body}


@given(st.binary(max_size=60))
def test_garbage_is_refused_or_comes_out_clean(head: bytes) -> None:
    try:
        lines = reply.parse(head, False).lines
    except BadHeaderError:
        return
    assert lines.endswith(b"\r\n")
    assert b"\r\n\r\n" not in lines
    assert b"\0" not in lines
    assert lines.count(b"\r") == lines.count(b"\n") == lines.count(b"\r\n")
