"""I: responses as web servers need them."""

import pytest

from tests.conformance.client import connected
from tests.conformance.site import Site, dumped
from tests.fcgi.fastcgi import wire

pytestmark = pytest.mark.process

SIZE = 4 << 20


def test_i01_a_response_is_a_cgi_document(site: Site) -> None:
    answer = site.ask(site.get())
    assert not answer.stdout.startswith(b"HTTP/")  # no NPH (6.1)
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-length"] == str(len(answer.body))
    names = [name for name, _ in answer.lines]
    assert names.count("status") <= 1
    assert names.count("content-type") == 1


@pytest.mark.parametrize("script", ["hello.lua", "big.lua", "stream.lua", "note.lua"])
def test_i02_the_header_is_in_the_first_record(site: Site, script: str) -> None:
    answer = site.ask(site.get(script, QUERY_STRING="100000"))
    first = answer.records[0]
    assert first.type == wire.STDOUT
    assert b"\r\n\r\n" in first.content


def test_i03_a_missing_script_is_404_and_the_connection_usable(site: Site) -> None:
    with connected(site.address) as client:
        for script in ("absent.lua", "nowhere/x.lua", "empty.lua"):
            client.send(site.get(script, keep=True))
            answer = client.answer()
            assert answer.status == 404
            assert answer.body != b""
        client.send(site.get(keep=True))
        assert client.answer().status == 200


@pytest.mark.parametrize(
    "path",
    [
        "",
        "{root}",
        "{root}/",
        "{root}/folder",
        "hello.lua",
        "./hello.lua",
        "{root}/../root/hello.lua",
        "{root}/folder/../hello.lua",
        "{root}/hello.lua\0.txt",
        "/etc/passwd",
        "/",
        "/" + "x" * 5000,
    ],
)
def test_i04_a_path_that_is_no_script_is_refused(site: Site, path: str) -> None:
    pairs = site.pairs("x", SCRIPT_FILENAME=path.format(root=site.root))
    answer = site.ask(wire.req(pairs))
    assert answer.status in {400, 403, 404, 414}
    assert answer.body != b""


def test_i04_no_path_at_all_is_refused(site: Site) -> None:
    pairs = site.pairs("x")
    del pairs["SCRIPT_FILENAME"]
    assert site.ask(wire.req(pairs)).status >= 400


@pytest.mark.parametrize(
    "prefix",
    [
        "proxy:fcgi://127.0.0.1:9000",
        "proxy:fcgi://[::1]:9000",
        "proxy:balancer://farm",
        "proxy:unix:/run/front.sock|fcgi://localhost",
    ],
)
def test_i05_apaches_prefixes_are_understood(site: Site, prefix: str) -> None:
    path = f"{prefix}{site.root}/hello.lua"
    answer = site.ask(wire.req(site.pairs("hello.lua", SCRIPT_FILENAME=path)))
    assert (answer.status, answer.body) == (200, b"Hello World")


@pytest.mark.parametrize("script", ["hello.lua", "stream.lua", "absent.lua"])
def test_i06_head_has_no_body(site: Site, script: str) -> None:
    with connected(site.address) as client:
        client.send(site.get(script, REQUEST_METHOD="HEAD", keep=True))
        answer = client.answer()
        assert answer.body == b""
        client.send(site.get(keep=True))
        assert client.answer().body == b"Hello World"
    if script == "hello.lua":
        assert answer.headers["content-length"] == "11"


def test_i07_a_large_response_arrives_whole(site: Site) -> None:
    answer = site.ask(site.get("big.lua", QUERY_STRING=str(SIZE)))
    block = bytes(i % 251 for i in range(4096))
    assert answer.body == block * (SIZE // 4096)
    assert max(len(r.content) for r in answer.records) <= 32768


@pytest.mark.parametrize("size", [0, 1, 8000, 200_000])
def test_i07_a_response_that_is_known_whole_tells_its_length(
    site: Site, size: int
) -> None:
    answer = site.ask(site.get("big.lua", QUERY_STRING=str(size)))
    assert len(answer.body) == size
    assert answer.headers["content-length"] == str(size)


def test_i08_stderr_is_a_stream_that_ends(site: Site) -> None:
    answer = site.ask(site.get("note.lua"))  # checks every stream
    assert answer.body == b"noted"
    assert b"a line for the log" in answer.stderr


def test_i09_nothing_leaks_between_requests(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.post("count.lua", b"secret", keep=True, LEFT="left"))
        assert client.answer().body.endswith(b" left secret")
        for _ in range(8):
            client.send(site.get("count.lua", keep=True))
            assert client.answer().body.endswith(b" nil nothing")


def test_i10_an_uncaught_error_is_a_500_with_stderr(site: Site) -> None:
    with connected(site.address) as client:
        client.send(site.get("fail.lua", keep=True))
        answer = client.answer()
        assert answer.status == 500
        assert b"discarded" not in answer.body
        assert b"failed as asked" in answer.stderr
        client.send(site.get(keep=True))
        assert client.answer().status == 200


def test_i11_path_info_may_hide_in_script_filename(site: Site) -> None:
    path = f"proxy:fcgi://h:1{site.root}/dump.lua/extra/path"
    pairs = site.pairs("dump.lua/extra/path", SCRIPT_FILENAME=path)
    answer = site.ask(wire.req(pairs))
    assert answer.status == 200
    env, _ = dumped(answer.body)
    assert env[b"PATH_INFO"] == b"/extra/path"
