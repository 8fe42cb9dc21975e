"""The embedded HTTP listener, asked by a real HTTP client."""

import http.client
import socket
from collections.abc import Iterator

import pytest

from bench import daemon
from tests.farm.farms import Farm, up

pytestmark = pytest.mark.process

ECHO = """
function main(env, con)
  con:header("Content-Type", "text/plain")
  con:puts(env.REQUEST_METHOD .. " " .. (env.PATH_INFO or "") .. " ")
  con:puts((env.QUERY_STRING or "") .. " " .. (env.HTTP_X_COLOUR or "") .. " ")
  con:puts(con:gets() or "")
end
"""

STREAM = """
function main(env, con)
  con:header("Content-Type", "text/plain")
  for i = 1, 3 do con:puts("part " .. i .. "\\n"); con:flush() end
end
"""

Answer = tuple[http.client.HTTPResponse, bytes]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    number = daemon.free_port()
    settings = f'[front]\nhttp = "127.0.0.1:{number}"\nmax_body = "1 MiB"\n'
    settings += '[pool.other]\nroot = ["second", "third"]\nhosts = 1\n'
    with up(settings, folders=("second", "third")) as farm:
        scripts(farm)
        farm.daemons["up"].wait_until(
            lambda: daemon.accepts(("127.0.0.1", number)), "HTTP is served"
        )
        yield number


def scripts(farm: Farm) -> None:
    farm.write("echo.lua", ECHO)
    farm.write("stream.lua", STREAM)
    farm.write("index.lua", "function main(e, c) c:puts('the index') end")
    farm.write("fails.lua", "function main()\n  local x = nil\n  return x.y\nend")
    farm.write("plain.txt", "this is no script")
    for name in ("second", "third"):
        says = "function main(e, c) c:puts(e.DOCUMENT_ROOT:match('[^/]*$') .. '"
        farm.write(f"../{name}/{name}.lua", says + f"{name} ' .. c:gets()) end")
    farm.write("../second/echo.lua", "function main(e, c) c:puts('hidden') end")
    farm.write("../third/folder/index.lua", "function main(e, c) c:puts('in') end")
    tells = "function main(e, c) c:puts(e.SCRIPT_NAME .. ' ' .. e.PATH_INFO) end"
    farm.write("dir.lua/in.lua", tells)
    farm.write("in.lua", tells)
    farm.write("go.lua", "function main(e, c) c:header('Location', '/echo.lua') end")


def ask(
    port: int,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_a_request_arrives_with_its_parameters_and_body(port: int) -> None:
    response, body = ask(
        port, "/echo.lua/more?a=1", "POST", b"\0body\xff", {"X-Colour": "red"}
    )
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain"
    assert body == b"POST /more a=1 red \0body\xff"


def test_a_long_body_is_spooled_and_read(port: int) -> None:
    sent = bytes(range(256)) * 2000
    assert ask(port, "/echo.lua", "POST", sent)[1] == b"POST    " + sent


def test_a_body_over_the_limit_is_refused(port: int) -> None:
    assert ask(port, "/echo.lua", "POST", b"x" * (1 << 20 | 1))[0].status == 413


def test_a_body_in_chunks_arrives(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    pieces = [b"x" * 100_000, b"y", b"z" * 70_000]
    connection.request("PUT", "/echo.lua", iter(pieces), encode_chunked=True)
    assert connection.getresponse().read() == b"PUT    " + b"".join(pieces)
    connection.close()


def test_a_directory_has_an_index(port: int) -> None:
    assert ask(port, "/")[1] == b"the index"


@pytest.mark.parametrize("root", ["second", "third"])
def test_what_is_not_in_a_root_is_looked_for_in_the_next(port: int, root: str) -> None:
    reply = ask(port, f"/{root}.lua/info", "POST", b"body" * 50_000)
    assert reply[0].status == 200
    assert reply[1] == f"{root}{root} ".encode() + b"body" * 50_000


def test_a_root_comes_before_those_after_it(port: int) -> None:
    assert ask(port, "/echo.lua")[1].startswith(b"GET")


def test_a_directory_of_a_later_root_has_its_index(port: int) -> None:
    assert ask(port, "/folder/")[1] == b"in"


def test_a_flushed_reply_arrives_in_parts_and_whole(port: int) -> None:
    response, body = ask(port, "/stream.lua")
    assert body == b"part 1\npart 2\npart 3\n"
    assert response.headers["Transfer-Encoding"] == "chunked"


def test_head_has_no_body_and_the_length_of_get(port: int) -> None:
    response, body = ask(port, "/echo.lua", "HEAD")
    assert (response.status, body) == (200, b"")


def test_a_location_redirects(port: int) -> None:
    response, _ = ask(port, "/go.lua")
    assert (response.status, response.headers["Location"]) == (302, "/echo.lua")


def test_the_error_page_shows_source_and_traceback(port: int) -> None:
    response, body = ask(port, "/fails.lua")
    assert response.status == 500
    assert b"return x.y" in body
    assert b"Traceback" in body


@pytest.mark.parametrize(
    "path", ["/none.lua", "/../up.log", "/%00.lua", "/%2e%2e/x", "/plain.txt"]
)
def test_what_is_not_there_is_refused(port: int, path: str) -> None:
    assert ask(port, path)[0].status in {400, 404}


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01garbage\r\n\r\n",
        b"GET /echo.lua HTTP/1.1\r\n\r\n",  # no Host
        b"GET /echo.lua HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET /echo.lua HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 140_000 + b"\r\n\r\n",
        b"POST /echo.lua HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /echo.lua HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_so(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as rude:
        rude.settimeout(120)
        rude.sendall(sent)
        assert rude.recv(100).split()[1] in {b"400", b"431", b"501"}


def test_a_client_that_goes_away_disturbs_nobody(port: int) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.sendall(b"GET /echo.lua HTTP/1.1\r\nHost: x\r\n\r\n")
    assert ask(port, "/echo.lua")[0].status == 200


@pytest.mark.parametrize(
    ("path", "script", "info"),
    [
        ("/in.lua", "/in.lua", ""),
        ("/in.lua/more/x.lua", "/in.lua", "/more/x.lua"),
        ("/dir.lua/in.lua", "/dir.lua/in.lua", ""),
        ("/dir.lua/in.lua/more", "/dir.lua/in.lua", "/more"),
        ("/dir.lua/in.lua/x.lua", "/dir.lua/in.lua", "/x.lua"),
        ("/in.lua/more/x.lua/and/more", "/in.lua", "/more/x.lua/and/more"),
        ("/dir.lua/in.lua/x.lua/y", "/dir.lua/in.lua", "/x.lua/y"),
        ("/in.lua/" + "x" * 5000, "/in.lua", "/" + "x" * 5000),  # a path has 4095
    ],
)
def test_a_directory_by_the_name_of_a_script_is_none(
    port: int, path: str, script: str, info: str
) -> None:
    response, body = ask(port, path)
    assert (response.status, body.decode()) == (200, f"{script} {info}")


def test_a_target_that_is_no_path_names_nothing_beside_a_root(port: int) -> None:
    # of which the text goes on as the name of another root does
    for target in ("echo.lua", "-beside/echo.lua", "*"):
        assert ask(port, target)[0].status == 400, target
