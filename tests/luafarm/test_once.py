"""`luafarm run` and `luafarm check`: one request without a server."""

from pathlib import Path

import pytest

from tests.luafarm.farms import luafarm

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
