"""`luafarm run` and `luafarm check`: one request without a server."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import procfs
from tests.luafarm.farms import environment, luafarm, until

pytestmark = pytest.mark.process

ECHO = """
function main(env, con)
  con:header("Content-Type", "text/plain")
  con:puts(env.REQUEST_METHOD .. " " .. tostring(env.QUERY_STRING) .. " ")
  con:puts(tostring(env.PATH_INFO) .. " " .. tostring(env.HTTP_X_TEST) .. " ")
  con:puts(tostring(con:gets()))
end
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Give a script that says what it was asked."""
    path = tmp_path / "echo.lua"
    path.write_text(ECHO)
    return path


def test_run_prints_the_reply_as_cgi(script: Path, tmp_path: Path) -> None:
    done = luafarm("run", "echo.lua", "--query", "a=b", cwd=tmp_path)
    head, _, body = done.stdout.partition("\n\n")
    assert done.returncode == 0, done.stderr
    assert "Status: 200 OK" in head
    assert "Content-Type: text/plain" in head
    assert body.startswith("GET a=b ")
    assert done.stderr == ""


def test_run_passes_everything_that_it_is_given(script: Path) -> None:
    done = luafarm(
        *("run", str(script), "--method", "PUT", "--path", "/x/y", "--query", "q"),
        *("--header", "X-Test: 1", "--data", "text"),
    )
    assert done.stdout.endswith("PUT q /x/y 1 text"), done.stdout


def test_run_takes_its_body_from_a_file_or_standard_input(
    script: Path, tmp_path: Path
) -> None:
    body = tmp_path / "body"
    body.write_text("from a file")
    done = luafarm("run", str(script), "--data", f"@{body}")
    assert done.stdout.endswith("from a file")
    assert "POST" in done.stdout
    done = luafarm("run", str(script), "--data", "-", stdin="from stdin")
    assert done.stdout.endswith("from stdin")


def test_a_script_that_fails_ends_run_with_1(tmp_path: Path) -> None:
    script = tmp_path / "fails.lua"
    script.write_text("function main() error('told so') end")
    done = luafarm("run", str(script))
    assert done.returncode == 1
    assert "Status: 500" in done.stdout
    assert "told so" in done.stderr
    assert "stack traceback" in done.stderr


def test_run_and_check_say_why_a_file_is_no_script(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("function main() end")
    for command in ("run", "check"):
        done = luafarm(command, str(file))
        assert done.returncode == 1
        assert done.stderr == (
            f"{file}: no script: missing, empty, no regular file, or no name that "
            "[pool] scripts match\n"
        )


def test_a_directory_is_told_to_be_served_by_up(tmp_path: Path) -> None:
    for command in ("run", "check"):
        done = luafarm(command, str(tmp_path))
        assert done.returncode == 1
        assert done.stderr == (
            f"luafarm: {tmp_path} is a directory: `luafarm up {tmp_path}` serves it; "
            f"{command} takes one script\n"
        )


def test_check_says_that_a_script_loads(script: Path) -> None:
    done = luafarm("check", str(script))
    assert done.returncode == 0
    assert done.stdout == f"{script}: loads\n"
    assert done.stderr == ""


def test_check_says_where_a_script_does_not_compile(tmp_path: Path) -> None:
    script = tmp_path / "bad.lua"
    script.write_text("local x = 1\nfunction main(\n")
    done = luafarm("check", str(script))
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"{script}: Syntax Error" in done.stderr
    assert "2| function main(" in done.stderr


def test_the_dialect_and_modules_of_the_configured_pool_count(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "mod.lua").write_text("return {answer = 7 // 2}")
    (root / "s.lua").write_text(
        "local mod = require 'mod'\n"
        "function main(env, con) con:puts(_VERSION, ' ') con:puts(mod.answer) end\n"
    )
    config = tmp_path / "luafarm.toml"
    config.write_text(
        '[pool.other]\nroot = "/tmp/other"\n'
        f'[pool.main]\nroot = "{root}"\ndialect = "lua54"\n'
    )
    done = luafarm("run", str(root / "s.lua"), "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("3"), done.stdout


VERSION = "function main(env, con) con:puts(_VERSION .. ' ' .. package.cpath) end\n"


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """Give a script that says which Lua runs it, and whether it is trusted."""
    path = tmp_path / "site" / "v.lua"
    path.parent.mkdir()
    path.write_text(VERSION)
    return path


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_path_of_a_script_may_lead_up(version: Path, command: str) -> None:
    (version.parent / "sub").mkdir()
    done = luafarm(command, "../v.lua", cwd=version.parent / "sub")
    assert done.returncode == 0, done.stdout + done.stderr
    assert command == "run" or done.stdout == f"{version}: loads\n"


def test_the_only_pool_takes_the_scripts_directory_if_it_has_no_root(
    version: Path,
) -> None:
    sets = ("--set", "pool.main.dialect=lua54", "--set", "pool.main.trust=trusted")
    done = luafarm("run", str(version), *sets)
    assert done.returncode == 0, done.stderr
    assert "Lua 5.4 /usr/local/lib/lua/5.4/?.so;" in done.stdout
    assert done.stderr == ""


def test_a_pool_without_root_counts_from_the_file_too(version: Path) -> None:
    (version.parent / "luafarm.toml").write_text('[pool.main]\ndialect = "lua53"\n')
    done = luafarm("run", "v.lua", cwd=version.parent)
    assert done.stdout.endswith("Lua 5.3 "), done.stderr
    assert done.stderr == ""


def test_a_root_may_be_a_link_to_where_the_script_lies(
    version: Path, tmp_path: Path
) -> None:
    (tmp_path / "www").symlink_to(version.parent)
    sets = ("--set", "pool.main.dialect=lua53", "--set", "pool.main.root=.")
    done = luafarm("run", "v.lua", *sets, cwd=tmp_path / "www")
    assert done.stdout.endswith("Lua 5.3 "), done.stderr
    sets = (*sets[:3], f"pool.main.root={tmp_path}/www")
    done = luafarm("run", "v.lua", *sets, cwd=tmp_path / "www")
    assert done.stdout.endswith("Lua 5.3 "), done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("pools", "names"),
    [
        ("[pool.main]\nroot = 'other'", "[pool.main]"),
        ("[pool.a]\nroot = 'other'\n[pool.b]", "[pool.a], [pool.b]"),
        ("[pool.a]\n[pool.b]", "[pool.a], [pool.b]"),
    ],
)
def test_a_script_that_lies_in_no_root_is_told_to_run_with_defaults(
    version: Path, pools: str, names: str
) -> None:
    config = version.parent / "luafarm.toml"
    config.write_text(f"{pools}\ndialect = 'lua54'\n")
    done = luafarm("run", str(version), "--config", str(config))
    assert done.returncode == 0
    assert done.stdout.endswith("Lua 5.1 ")
    assert done.stderr == (
        f"luafarm: {version} lies in no root of {names}: default settings count\n"
    )


def test_a_c_module_that_cannot_be_loaded_is_refused_at_once(
    version: Path, tmp_path: Path
) -> None:
    (tmp_path / "x.so").write_text("junk")
    sets = (
        "--set",
        "pool.main.c_modules=x",
        "--set",
        f"pool.main.cpath={tmp_path}/?.so",
    )
    done = luafarm("run", str(version), *sets)
    assert done.returncode == 2
    assert done.stderr == (
        'luafarm: configuration: [pool.main] c_modules = ["x"]: C module x for '
        f"luajit21: {tmp_path}/x.so cannot be loaded: file too short (from --set "
        "pool.main.c_modules)\n"
    )


# ---- in a directory of a stranger --------------------------------------------------

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give files away"
)
TENANT = 4711


@pytest.fixture
def tenant(tmp_path: Path) -> Path:
    """Make the directory of somebody who would like to be root."""
    home = tmp_path / "tenant"
    home.mkdir()
    (home / "luafarm.toml").write_text(
        f'[pool.main]\nroot = "{home}"\ntrust = "trusted"\n'
    )
    (home / "x.lua").write_text(
        f"local file = io.open('{home}/owned', 'w')\n"
        "if file then file:close() end\n"
        "function main(env, con) con:puts(tostring(file)) end\n"
    )
    for path in (home, *home.iterdir()):
        os.chown(path, TENANT, TENANT)
    return home


@needs_root
@pytest.mark.parametrize("command", ["check", "run"])
def test_the_configuration_of_a_stranger_does_not_count(
    tenant: Path, command: str
) -> None:
    done = luafarm(command, "x.lua", cwd=tenant)
    assert done.returncode == 0, done.stderr
    assert not (tenant / "owned").exists()
    assert command == "check" or done.stdout.endswith("nil")
    assert done.stderr == (
        f"luafarm: configuration: {tenant}/luafarm.toml is left out: {tenant} belongs "
        "to uid 4711 (mode 0755); --config uses a file all the same\n"
    )


@needs_root
def test_a_stranger_in_whose_file_the_operator_trusts_still_does_not_become_root(
    tenant: Path,
) -> None:
    done = luafarm("check", "x.lua", "--config", "luafarm.toml", cwd=tenant)
    assert done.returncode == 2
    assert not (tenant / "owned").exists()
    assert "belongs to uid 4711 (mode 0755), who could run code in this" in done.stderr


@needs_root
def test_the_only_pool_is_not_trusted_in_the_directory_of_a_stranger(
    tenant: Path,
) -> None:
    done = luafarm("check", "x.lua", "--set", "pool.main.trust=trusted", cwd=tenant)
    assert done.returncode == 2
    assert not (tenant / "owned").exists()
    assert "belongs to uid 4711 (mode 0755), who could run code in this" in done.stderr


@needs_root
def test_what_root_runs_of_a_stranger_is_confined(tenant: Path) -> None:
    (tenant / "waits.lua").write_text(
        "function main(env, con) require('luafarm').sleep(20) end\n"
    )
    command = [sys.executable, "-P", "-m", "luafarm", "run", "waits.lua"]
    with subprocess.Popen(
        command,
        env=environment(),
        cwd=tenant,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:

        def sealed() -> list[dict[str, str]]:
            statuses = map(status_of, procfs.session(process.pid))
            return [status for status in statuses if status.get("Seccomp") == "2"]

        try:
            until(lambda: bool(sealed()), "a host is sealed")
            [host] = sealed()
        finally:
            process.send_signal(signal.SIGINT)
    assert host["Name"] == "luafarm-vmhost"
    assert "0" not in host["Uid"].split()
    assert host["NoNewPrivs"] == "1"
    assert int(host["CapPrm"], 16) == 0


def status_of(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process; nothing when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (x.partition(":") for x in lines)}
