"""Roots that are symlinks, and web servers that name scripts by where they lead."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.farm.client import ask, asking
from tests.farm.farms import Farm, until, up

pytestmark = pytest.mark.process


def says(text: str) -> str:
    return f"function main(e, con) con:puts('{text} ' .. (e.PATH_INFO or '')) end"


def flip(farm: Farm, name: str, target: str) -> None:
    """Let the link lead somewhere else, in one step."""
    fresh = farm.place / f"{name}.new"
    fresh.symlink_to(target)
    fresh.rename(farm.place / name)


@pytest.fixture
def farm() -> Iterator[Farm]:
    settings = '[pool.live]\nroot = ["{place}/live/current"]\nhosts = 1\n'
    settings += '[pool.next]\nroot = ["{place}/next/current"]\nhosts = 1\n'
    folders = ("live", "next", "live/current", "next/current")
    with up(settings, hosts=1, folders=folders) as running:
        for name, release in (("live", "blue"), ("next", "green")):
            running.write(f"../releases/{release}/a.lua", says(release))
            (running.place / name / "current").rmdir()
            (running.place / name / "current").symlink_to(f"../releases/{release}")
        yield running


def real(farm: Farm, release: str, name: str = "a.lua") -> Path:
    return farm.place.resolve() / "releases" / release / name


def test_a_script_has_one_state_by_whichever_name_it_is_asked_for(farm: Farm) -> None:
    own = farm.place / "live/current/a.lua"
    for path in (own, real(farm, "blue"), own, real(farm, "blue")):
        assert ask(farm.socket, path).body == b"blue "
        assert ask(farm.socket, f"{path}/in/fo").body == b"blue /in/fo"
    scripts = [s["script"] for s in farm.status()["scripts"]]
    assert scripts == [str(own)]


def test_a_script_that_is_not_there_is_served_when_it_comes(farm: Farm) -> None:
    late = real(farm, "blue", "late.lua")
    assert ask(farm.socket, late).status == 404
    farm.write("../releases/blue/late.lua", says("late"))
    until(lambda: ask(farm.socket, late).body == b"late ", "it is served")


def test_nothing_fails_while_releases_are_flipped(farm: Farm) -> None:
    for number in range(4):
        farm.write(f"../releases/{number}/a.lua", says(str(number)))
    assert ask(farm.socket, real(farm, "blue")).status == 200
    link = "live/current"
    for number in range(4):
        flip(farm, link, f"../releases/{number}")
        # as a web server that resolves the root for each request
        wanted = str(number).encode() + b" "
        path = real(farm, str(number))
        seen = ask(farm.socket, path)
        assert seen.status == 200, seen
        with asking(farm.socket, [path, f"{path}/x"], 2) as replies:
            until(lambda: ask(farm.socket, path).body == wanted, "it is in force")  # noqa: B023
        assert {r.reply.status for r in replies} == {200}


def test_releases_that_change_places_are_not_mistaken_for_each_other(
    farm: Farm,
) -> None:
    pools = {"blue": "live", "green": "next"}
    for release in pools:
        assert ask(farm.socket, real(farm, release)).body == f"{release} ".encode()
    flip(farm, "live/current", "../releases/none")
    flip(farm, "next/current", "../releases/blue")
    flip(farm, "live/current", "../releases/green")
    for path in ("next/current/a.lua", "live/current/a.lua"):
        assert farm.command("reload", "--wait", str(farm.place / path)).returncode == 0
    for release in pools:
        assert ask(farm.socket, real(farm, release)).body == f"{release} ".encode()
    # a release that both pools serve is nobody's by its own name
    flip(farm, "next/current", "../releases/green")
    shared = real(farm, "green")
    until(lambda: ask(farm.socket, shared).status == 404, "it is not clear whose it is")
    until(lambda: f"path={shared} is outside" in farm.log(), "the log says so")


def test_the_log_tells_of_paths_outside_of_all_roots(farm: Farm) -> None:
    for i in range(50):
        assert ask(farm.socket, f"/srv/else/{i}.lua").status == 404
    lines = [line for line in farm.log().split("\n") if "outside of all" in line]
    assert len(lines) < 5
    assert "path=/srv/else/0.lua" in lines[0]
    assert str(farm.root) in lines[0]
