"""What visitors name, and which of it runs: files named like scripts, and no others."""

import http.client
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import daemon
from tests.farm.client import ask
from tests.farm.farms import LUAFARM, Farm, up

pytestmark = pytest.mark.process

RUNS = "function main(env, con) con:puts('RUNS ' .. (env.PATH_INFO or '')) end\n"
SECRET = "password = TOPSECRET\n"

REFUSED = (
    "/upload/evil.jpg",
    "/upload/evil.jpg/x.lua",
    "/upload/evil.jpg/d/x.lua/y",
    "/old.lua.bak/x.lua",
    "/old.lua.bak",
    "/settings.toml/a.lua",
    "/.git/config/x.lua",
    "/.git/hook.lua",
    "/.hidden.lua",
    "/.lua",
    "/upload/.lua/x.lua",
    "/SHOUT.LUA",
    "/line.lua%0A",
    "/dir.lua",
    "/dir.lua/x",
    "/" + "x" * 300 + ".lua",
    "/a" * 70 + ".lua",
)
RUN = {
    "/x.lua": b"RUNS ",
    "/x.lua/y.lua": b"RUNS /y.lua",
    "/x.lua/.git/config": b"RUNS /.git/config",
    "/x.lua/evil.jpg": b"RUNS /evil.jpg",
    "/dir.lua/in.lua/info": b"RUNS /info",
    "/renamed.lua": b"RUNS ",
    "/two%0Alines.lua": b"RUNS ",
    "/page.lp/1": b"RUNS /1",
}


def files(farm: Farm) -> None:
    for name in ("upload/evil.jpg", "old.lua.bak", ".git/hook.lua", ".hidden.lua"):
        farm.write(name, RUNS)
    for name in (".lua", "upload/.lua", "SHOUT.LUA", "line.lua\n", "a" * 3):
        farm.write(name, RUNS)
    for name in ("settings.toml", ".git/config"):
        farm.write(name, SECRET)
    for name in ("x.lua", "dir.lua/in.lua", "two\nlines.lua", "page.lp"):
        farm.write(name, RUNS)
    # the requested name counts: whoever makes the link says that it is a script
    (farm.root / "renamed.lua").symlink_to("upload/evil.jpg")


@pytest.fixture(scope="module")
def farm() -> Iterator[tuple[Farm, int]]:
    number = daemon.free_port()
    settings = f'[front]\nhttp = "127.0.0.1:{number}"\n'
    pool = 'scripts = ["*.lua", "*.lp"]\n'
    with up(settings, hosts=1, pool=pool) as running:
        files(running)
        running.daemons["up"].wait_until(
            lambda: daemon.accepts(("127.0.0.1", number)), "HTTP is served"
        )
        yield running, number


def over_http(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def over_fastcgi(farm: Farm, path: str) -> tuple[int, bytes]:
    reply = ask(farm.socket, f"{farm.root}{path}".replace("%0A", "\n"))
    return reply.status, reply.body + reply.stderr


@pytest.mark.parametrize("path", REFUSED)
def test_what_is_not_named_like_a_script_is_404_in_every_front(
    farm: tuple[Farm, int], path: str
) -> None:
    for status, said in (over_fastcgi(farm[0], path), over_http(farm[1], path)):
        assert status == 404, said
        assert b"RUNS" not in said
        assert b"TOPSECRET" not in said


@pytest.mark.parametrize(("path", "says"), RUN.items())
def test_scripts_run_with_whatever_is_behind_them(
    farm: tuple[Farm, int], path: str, says: bytes
) -> None:
    assert over_fastcgi(farm[0], path) == (200, says)
    if not path.startswith("/dir.lua"):  # the listener takes the first such name
        assert over_http(farm[1], path) == (200, says)


def test_no_error_shows_what_a_script_read_as_data(farm: tuple[Farm, int]) -> None:
    says = "require('luafarm').read('settings.toml') error(con:gets(), 0)"
    running, port = farm
    running.write("reads.lua", f"function main(env, con) {says} end")
    forged = f"{running.root}/settings.toml:1: oh"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/reads.lua", forged)
        response = connection.getresponse()
        assert response.status == 500
        assert b"TOPSECRET" not in response.read()
    finally:
        connection.close()


def test_a_root_below_a_hidden_directory_is_served() -> None:
    settings = '[pool.more]\nroot = ["{place}/.sites"]\nhosts = 1\n'
    with up(settings, hosts=1, folders=(".sites",)) as farm:
        path = farm.write("../.sites/x.lua", RUNS)
        assert ask(farm.socket, path.resolve()).status == 200
        hidden = farm.write("../.sites/.git/x.lua", RUNS)
        assert ask(farm.socket, hidden.resolve()).status == 404


def once(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*LUAFARM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_run_and_check_refuse_it_as_well(tmp_path: Path) -> None:
    (tmp_path / "evil.jpg").write_text(RUNS)
    (tmp_path / "x.lua").write_text(RUNS)
    config = tmp_path / "luafarm.toml"
    config.write_text(f'[pool.p]\nroot = ["{tmp_path}"]\n')
    config.chmod(0o644)
    for name, more in (("evil.jpg", []), ("evil.jpg", ["--path", "/x.lua"])):
        done = once("run", "--config", config, tmp_path / name, *more)
        assert done.returncode == 1
        assert "404 Not Found" in done.stdout
        assert "RUNS" not in done.stdout
    done = once("check", "--config", config, tmp_path / "evil.jpg")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no script" in done.stderr
    assert once("check", "--config", config, tmp_path / "x.lua").returncode == 0
    names = 'pool.p.scripts=["*.jpg"]'
    done = once("run", "--config", config, "--set", names, tmp_path / "evil.jpg")
    assert "RUNS " in done.stdout, done.stderr
    assert done.returncode == 0
