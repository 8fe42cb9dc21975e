"""Scripts that no one should write, and the clear answers they get."""

from collections.abc import Iterator

import pytest

from tests.farm.client import ask
from tests.farm.farms import Farm, hosts_of, up

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up("[broker]\nlast_good = false\n") as running:
        running.write("ok.lua", "function main(env, con) con:puts('ok') end")
        yield running


ODD: dict[str, tuple[str | bytes, int, bytes]] = {
    "empty": ("", 404, b"odd.lua"),
    "does not compile": ("function main( end", 500, b"Syntax Error"),
    "no handler": ("x = 1", 500, b"main() function not found"),
    "handler is no function": ("main = 3", 500, b"main() function not found"),
    "not UTF-8": (b"-- \xff\xfe\nfunction main(e, c) c:puts('\xe4') end", 200, b"\xe4"),
    "bytecode": (b"\x1bLJ\x02\x00", 500, b"Error"),
    "raises at load": ("error('at load')", 500, b"at load"),
    "raises a table": ("function main() error({code = 1}) end", 500, b"Runtime Error"),
    "raises nil": ("function main() error(nil) end", 500, b"Runtime Error"),
    "returns odd values": ("function main() return {}, 1, nil end", 200, b""),
    "puts a table": ("function main(e, c) c:puts({}) end", 500, b"string expected"),
    "puts nothing": ("function main(e, c) c:puts() end", 500, b"string expected"),
    "header with CRLF": (
        "function main(e, c) c:header('X', 'a\\r\\nSet-Cookie: b') end",
        500,
        b"Error",
    ),
    "recursion without end": ("function main() return 1 + main() end", 500, b"Error"),
    "coroutine returned": (
        "function main() return coroutine.create(function() end) end",
        200,
        b"",
    ),
    "yields to nobody": ("function main() coroutine.yield(1) end", 500, b"Error"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_script_gets_a_clear_answer_and_disturbs_nobody(
    farm: Farm, name: str
) -> None:
    text, status, part = ODD[name]
    before = hosts_of(farm)
    directory = name.replace(" ", "-")
    path = farm.write(f"{directory}/odd.lua", text)
    for _ in range(3):
        reply = ask(farm.socket, path)
        assert (reply.status, reply.whole) == (status, True)
        assert part in reply.body
    assert ask(farm.socket, farm.root / "ok.lua").body == b"ok"
    assert hosts_of(farm) == before


def test_a_directory_and_a_socket_are_no_scripts(farm: Farm) -> None:
    (farm.root / "dir.lua").mkdir()
    assert ask(farm.socket, farm.root / "dir.lua").status == 404
    assert ask(farm.socket, farm.root / "ok.lua" / "..").status in {400, 404}


@pytest.mark.parametrize(
    "path", ["relative.lua", "", "/etc/passwd", "{root}/../up.log", "{root}/a\0.lua"]
)
def test_paths_outside_the_roots_are_refused(farm: Farm, path: str) -> None:
    reply = ask(farm.socket, path.format(root=farm.root))
    assert reply.status in {400, 404}
    assert reply.whole


def test_errors_show_in_the_web_servers_log_with_a_traceback(farm: Farm) -> None:
    path = farm.write(
        "trace.lua",
        "local function deep() error('found me') end\nfunction main() deep() end",
    )
    reply = ask(farm.socket, path)
    assert reply.status == 500
    assert b"found me" in reply.stderr
    assert b"stack traceback" in reply.stderr
