"""Paths without a script: any number of them, and still nothing is overlooked."""

from collections.abc import Callable, Iterator

import pytest

from tests.farm.client import ask, connected
from tests.farm.farms import Farm, until, up

pytestmark = pytest.mark.process

HERE = "function main(env, con) con:puts('here') end"
FLOOD = 3000


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up(hosts=1) as running:
        running.write("there/first.lua", HERE)
        yield running


def flood(farm: Farm) -> None:
    """Ask for many paths of 3 KB and 62 components, each of them once."""
    filler = "/" + "x" * 48
    with connected(farm.socket) as client:
        for i in range(FLOOD):
            client.send(f"{farm.root}/{i}{filler * 60}.lua")
            assert client.receive().status == 404


def test_a_flood_of_long_paths_fills_neither_broker_nor_front(farm: Farm) -> None:
    assert ask(farm.socket, farm.root / "there/first.lua").status == 200
    before = farm.resident_kib()
    files = farm.status()["files"]
    said = farm.log()
    flood(farm)
    assert farm.log() == said  # nor the log
    after = farm.resident_kib()
    for title in ("luafarm-broker", "luafarm-front"):
        assert after[title] - before[title] < 32 * 1024, (title, before, after)
    status = farm.status()
    assert status["missing"] <= 4096
    assert status["files"]["paths"] == files["paths"]
    # they are all missing in one directory, which is watched already
    assert status["files"]["places"] <= files["places"] + 1
    assert status["files"]["watches"] <= files["watches"] + 1


@pytest.fixture(scope="module")
def calm() -> Iterator[Farm]:
    """Return a farm that no flood comes to."""
    with up(hosts=1) as running:
        yield running


def nested(farm: Farm, case: str) -> None:
    farm.write(f"{case}/later/a/b/x.lua", HERE)


def renamed(farm: Farm, case: str) -> None:
    farm.write(f"../made-{case}/a/b/x.lua", HERE)
    (farm.place / f"made-{case}").rename(farm.root / case / "later")


def linked(farm: Farm, case: str) -> None:
    farm.write(f"../kept-{case}/a/b/x.lua", HERE)
    farm.write(f"{case}/kept/a/b/x.lua", HERE)
    (farm.root / case / "later").symlink_to("kept")


def over_a_file(farm: Farm, case: str) -> None:
    later = farm.root / case / "later"
    later.write_text("a file, where there will be a directory")
    assert ask(farm.socket, later / "a/b/x.lua").status == 404
    later.unlink()
    nested(farm, case)


@pytest.mark.parametrize("make", [nested, renamed, linked, over_a_file])
@pytest.mark.parametrize("extra", ["", "/path/info"])
def test_a_script_that_comes_is_served_however_it_comes(
    calm: Farm, make: Callable[[Farm, str], None], extra: str
) -> None:
    case = f"{make.__name__}{len(extra)}"
    (calm.root / case).mkdir()
    asked = f"{calm.root}/{case}/later/a/b/x.lua{extra}"
    assert ask(calm.socket, asked).status == 404
    make(calm, case)
    until(lambda: ask(calm.socket, asked).body == b"here", "it is served")


def test_a_script_that_comes_in_the_middle_of_a_flood_is_served(farm: Farm) -> None:
    late = farm.root / "there/late.lua"
    assert ask(farm.socket, late).status == 404
    flood(farm)
    assert ask(farm.socket, late).status == 404
    farm.write("there/late.lua", HERE)
    until(lambda: ask(farm.socket, late).body == b"here", "it is served")


def test_a_reload_makes_fronts_ask_for_what_was_missing(farm: Farm) -> None:
    asked = farm.root / "deployed/x.lua"
    assert ask(farm.socket, asked).status == 404
    farm.write("deployed/x.lua", HERE)
    assert farm.command("reload", "--wait", str(asked)).returncode == 0
    assert ask(farm.socket, asked).status == 200
