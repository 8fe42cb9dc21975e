"""What visitors are shown when a script does not answer, by both fronts."""

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import daemon
from tests.farm.client import connected
from tests.farm.farms import Farm, up
from tests.fcgi.fastcgi import wire

pytestmark = pytest.mark.process

SCRIPTS = {
    "fails.lua": "function main()\n  local password = nil\n  return password.x\nend",
    "syntax.lua": "function main(\nlocal password = 1",
    "module.lua": "require 'broken'\nfunction main() end",
    "broken.lua": "error('of a module')",
    "none.lua": "require 'not.there'\nfunction main() end",
    "bad.lua": "function main(e, c) return dofile('/etc/passwd') end",
    "cpu.lua": "function main() while true do end end",
    "memory.lua": "function main() local s = ('x'):rep(1e6) "
    "local t = {} while true do t[#t + 1] = s .. #t end end",
    "reply.lua": "function main(e, c) while true do c:puts(('x'):rep(1e5)) end end",
}
SETTINGS = """
[front]
show_errors = {show}
http = "127.0.0.1:{port}"

[[script]]
pattern = "*"
cpu = "100 ms"
reply = "1 KiB"
"""

Ask = Callable[[str], bytes]


def over_fastcgi(farm: Farm, path: str) -> bytes:
    """Ask as nginx does, with what it says of the URL."""
    pairs = {
        "SCRIPT_FILENAME": f"{farm.root}{path}",
        "SCRIPT_NAME": path,
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": f"{path}?q=1",
        "DOCUMENT_ROOT": str(farm.root),
    }
    with connected(farm.socket) as client:
        client.socket.sendall(wire.req(pairs, b"", keep=True))
        reply = client.receive()
    assert reply.status >= 400, (path, reply)
    return reply.body


def over_http(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", f"{path}?q=1")
        response = connection.getresponse()
        assert response.status >= 400, path
        return response.read()
    finally:
        connection.close()


@pytest.fixture(scope="module", params=["true", "false"])
def site(request: pytest.FixtureRequest) -> Iterator[tuple[Farm, int, bool]]:
    """Run a farm that shows errors, or does not."""
    port = daemon.free_port()
    settings = SETTINGS.format(show=request.param, port=port)
    with up(settings, hosts=2, files=SCRIPTS) as farm:
        farm.daemons["up"].wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "HTTP is served"
        )
        yield farm, port, request.param == "true"


def pages(site: tuple[Farm, int, bool], path: str) -> tuple[bytes, bytes]:
    farm, port, _ = site
    return over_fastcgi(farm, path), over_http(port, path)


@pytest.mark.parametrize("name", ["absent.lua", "folder/absent.lua", "fails.lua.x.lua"])
def test_what_is_not_there_is_named_as_in_its_url_or_not_at_all(
    site: tuple[Farm, int, bool], name: str
) -> None:
    for page in pages(site, f"/{name}"):
        assert str(site[0].place).encode() not in page
        assert (f"<code>/{name}</code>".encode() in page) == site[2]


@pytest.mark.parametrize("name", sorted(SCRIPTS.keys() - {"broken.lua"}))
def test_pages_of_a_site_name_no_directory(
    site: tuple[Farm, int, bool], name: str
) -> None:
    plain, developers = pages(site, f"/{name}")
    place = Path(site[0].place).name.encode()
    assert place not in plain
    if not site[2]:
        for page in (plain, developers):
            assert place not in page
            for hint in (b"password", b"raceback", b".lua", b"luafarm", b"module"):
                assert hint not in page
    elif name == "fails.lua":
        assert b"/fails.lua" in plain
        assert b"password" in developers
