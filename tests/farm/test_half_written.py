"""Files that are written in place, slowly: nothing is served before they are closed."""

from collections.abc import Iterator

import pytest

from tests.farm.client import ask, connected
from tests.farm.farms import Farm, until, up

pytestmark = pytest.mark.process

OLD = "function main(env, con) con:puts('old') end\n"
FIRST = "function main(env, con) con:puts('half') end\n"
SECOND = "function main(env, con) con:puts('whole') end\n"


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up("[broker]\npoll = 0.1\n", hosts=1) as running:
        yield running


def unfinished(farm: Farm) -> int:
    return int(farm.status()["files"]["unfinished"])


def test_a_script_is_the_old_one_until_its_writer_closes_it(farm: Farm) -> None:
    path = farm.write("slow.lua", OLD)
    assert ask(farm.socket, path).body == b"old"
    with path.open("r+") as file:
        file.truncate(0)
        file.write(FIRST)
        file.flush()
        until(lambda: unfinished(farm) == 1, "the broker has noticed")
        for _ in range(3):
            assert ask(farm.socket, path).body == b"old"
            assert unfinished(farm) == 1
        file.write(SECOND)
    until(lambda: ask(farm.socket, path).body == b"whole", "the new one is served")
    assert unfinished(farm) == 0
    assert farm.script("slow.lua")["generation"] > 0


def test_a_module_is_the_old_one_until_its_writer_closes_it(farm: Farm) -> None:
    module = farm.write("words.lua", "return 'old'")
    path = farm.write(
        "uses.lua", "function main(e, con) con:puts(require 'words') end\n"
    )
    assert ask(farm.socket, path).body == b"old"
    with module.open("r+") as file:
        file.write("return 'new'")
        file.flush()
        until(lambda: unfinished(farm) == 1, "the broker has noticed")
        assert ask(farm.socket, path).body == b"old"
        # another script that needs it now gets what it was, too
        other = farm.write("other.lua", path.read_text())
        assert ask(farm.socket, other).body == b"old"
    until(lambda: ask(farm.socket, path).body == b"new", "the new one is used")
    until(lambda: ask(farm.socket, other).body == b"new", "the new one is used")


def test_a_request_for_a_script_that_is_just_uploaded_waits_for_its_end(
    farm: Farm,
) -> None:
    path = farm.root / "fresh.lua"
    with connected(farm.socket) as client:
        with path.open("w") as file:
            file.write(FIRST)
            file.flush()
            client.send(path)
            # the broker has read the question when it answers a later one
            assert ask(farm.socket, farm.root / "none.lua").status == 404
            file.write(SECOND)
        assert client.receive().body == b"whole"


def test_a_script_that_is_uploaded_for_long_is_not_available_yet(farm: Farm) -> None:
    path = farm.root / "long.lua"
    with path.open("w") as file:
        file.write(FIRST)
        file.flush()
        reply = ask(farm.socket, path)
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        file.write(SECOND)
    until(lambda: ask(farm.socket, path).body == b"whole", "it is served")


def test_a_reload_says_that_an_open_file_is_whole(farm: Farm) -> None:
    path = farm.write("open.lua", OLD)
    assert ask(farm.socket, path).body == b"old"
    with path.open("r+") as file:
        file.write(SECOND)
        file.flush()
        assert farm.command("reload", "--wait", str(path)).returncode == 0
        assert ask(farm.socket, path).body == b"whole"
