"""The command line: usage, exit codes, and the commands that need no farm."""

import argparse
import importlib
import signal
import threading
import tomllib
from pathlib import Path
from typing import cast

import pytest

from luafarm import version
from luafarm.command import cli, serve
from luafarm.command.arguments import ROLES, parser
from luafarm.config import configure
from luafarm.config.settings import Settings

COMMANDS = ("up", *ROLES, "status", "reload", "run", "check", "config", "keygen")


@pytest.fixture(autouse=True)
def _away_from_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where no configuration lies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def code_of(*arguments: str) -> int:
    """Return the exit code of a command, however it ends."""
    try:
        return cli.main(arguments)
    except SystemExit as ended:
        return cast("int", ended.code)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_somewhere(command: str) -> None:
    module = importlib.import_module(f"luafarm.command.{cli.MODULES[command]}")
    assert callable(module.run)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_what_a_farm_is_told_while_it_starts_waits_until_it_can_be_done(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda number, _: heard.append(number))

    def start(arguments: argparse.Namespace) -> int:
        # not to the process: a thread of another test would take it
        signal.pthread_kill(threading.get_ident(), number)
        assert heard == [], arguments
        return 0

    monkeypatch.setattr(serve, "run", start)
    try:
        assert code_of("up") == 0
        assert heard == [number]
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_everywhere(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(*command.split(), "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: luafarm {command}".rstrip())


def test_the_version_says_whether_modules_are_compiled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert code_of("--version") == 0
    kind = "compiled" if version.is_compiled() else "plain Python"
    expected = f"luafarm {version.VERSION} (hot modules: {kind}; Python 3."
    assert capsys.readouterr().out.startswith(expected)


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "nonsense",
        "up --hosts 0",
        "up --hosts x",
        "up a b",
        "run",
        "check",
        "keygen",
        "status --scripts --hosts",
        "status --timeout soon",
        "status --timeout nan",
        "status --timeout inf",
        "reload --timeout 0",
        "reload --timeout -1",
        "config --nonsense",
    ],
)
def test_wrong_usage_ends_with_2_and_one_line(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*arguments.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("luafarm")
    assert error.count("\n") == 1
    assert "--help" in error


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "keygen"])
def test_wrong_configuration_ends_with_2_and_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [command, "--set", "front.queue=none"]
    if command in {"run", "check"}:
        script = tmp_path / "x.lua"
        script.write_text("")
        arguments.append(str(script))
    assert code_of(*arguments) == 2
    assert capsys.readouterr().err == (
        'luafarm: configuration: [front] queue = "none": a whole number belongs here '
        "(from --set front.queue)\n"
    )


def test_status_without_a_farm_fails_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = f"paths.run={tmp_path}"
    assert code_of("status", "--timeout", "0.05", "--set", run) == 1
    assert capsys.readouterr().err == (
        f"luafarm: no broker answers at ipc://{tmp_path}/broker.sock; does the farm "
        "run?\n"
    )


def test_a_script_that_is_missing_fails_with_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert code_of("run", "nosuch.lua") == 1
    assert capsys.readouterr().err == "luafarm: nosuch.lua: no such file\n"


def test_config_shows_every_value_with_its_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "luafarm.toml"
    file.write_text('[pool.main]\nroot = "/srv"\n[[script]]\npattern = "*"\ncpu = 1\n')
    monkeypatch.setenv("LUAFARM_FRONT__QUEUE", "7")
    assert code_of("config", "--set", "broker.poll=2 s") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# configuration file: luafarm.toml"
    assert 'root = ["/srv"]  # luafarm.toml' in lines
    assert "queue = 7  # environment LUAFARM_FRONT__QUEUE" in lines
    assert 'poll = "2 s"  # --set broker.poll' in lines
    assert 'max_body = "16 MiB"  # default' in lines
    assert 'cpu = "1 s"  # luafarm.toml' in lines
    document = tomllib.loads("\n".join(lines))
    assert document["pool"]["main"]["root"] == ["/srv"]


def test_a_header_without_a_colon_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert code_of("run", "x.lua", "--header", "nocolon") == 2
    said = capsys.readouterr().err
    assert said.startswith("luafarm run: argument --header: nocolon: write NAME: VALUE")


def test_keygen_wants_a_directory_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert code_of("keygen") == 2
    assert "the following arguments are required: DIR; see" in capsys.readouterr().err


def test_keygen_prints_what_it_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "keys"
    assert code_of("keygen", str(directory)) == 0
    assert f"{directory}/fcgi.secret\n" in capsys.readouterr().out
    assert code_of("keygen", str(directory)) == 2
    assert "exists already; nothing was changed" in capsys.readouterr().err


def test_keygen_makes_the_keys_of_a_further_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of("keygen", str(tmp_path), "vmhost-node2", "fcgi-web2") == 0
    assert capsys.readouterr().out.split() == [
        f"{tmp_path}/{name}.{kind}"
        for name in ("vmhost-node2", "fcgi-web2")
        for kind in ("secret", "public")
    ]
    assert code_of("keygen", str(tmp_path), "node2") == 2
    assert "node2 names no key of a machine" in capsys.readouterr().err


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_has_nothing_to_do_is_refused(
    role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(role) == 2
    assert capsys.readouterr().err.startswith("luafarm: configuration: [")


# ---- what `up` decides -------------------------------------------------------------


def chosen(*arguments: str, settings: str = "", tmp_path: Path) -> Settings:
    """Return the settings with which `up` would start."""
    file = tmp_path / "up.toml"
    file.write_text(settings)
    parsed = parser().parse_args(["up", "--config", str(file), *arguments])
    return serve.up_configuration(parsed).settings


def test_up_serves_the_current_directory_on_port_9000(tmp_path: Path) -> None:
    settings = chosen(tmp_path=tmp_path)
    assert list(settings.pool) == ["default"]
    assert settings.pool["default"].root == (str(Path.cwd()),)
    assert settings.front.listen == ("127.0.0.1:9000",)
    assert settings.front.http == ""


def test_up_with_http_needs_no_fastcgi_listener(tmp_path: Path) -> None:
    settings = chosen("x", "--http", "127.0.0.1:8080", tmp_path=tmp_path)
    assert settings.pool["default"].root == (str(Path.cwd() / "x"),)
    assert settings.front.listen == ()
    assert settings.front.http == "127.0.0.1:8080"


def test_up_listens_on_all_that_it_is_told(tmp_path: Path) -> None:
    arguments = ("--listen", "unix:a,b.sock", "--listen", "127.0.0.1:1", "--hosts", "3")
    settings = chosen(*arguments, tmp_path=tmp_path)
    assert settings.front.listen == (f"unix:{Path.cwd()}/a,b.sock", "127.0.0.1:1")
    assert settings.pool["default"].hosts == 3


def test_up_takes_pool_and_listeners_from_the_configuration(tmp_path: Path) -> None:
    text = '[front]\nlisten = ["127.0.0.1:1"]\n[pool.main]\nroot = "/srv"\n'
    settings = chosen(settings=text, tmp_path=tmp_path)
    assert list(settings.pool) == ["main"]
    assert settings.pool["main"].root == ("/srv",)
    assert settings.front.listen == ("127.0.0.1:1",)


def test_a_root_replaces_that_of_the_only_pool(tmp_path: Path) -> None:
    settings = chosen("y", settings='[pool.main]\nroot = "/srv"\n', tmp_path=tmp_path)
    assert list(settings.pool) == ["main"]
    assert settings.pool["main"].root == (str(Path.cwd() / "y"),)


def test_a_root_is_refused_when_several_pools_could_take_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "two.toml"
    file.write_text('[pool.a]\nroot = "/a"\n[pool.b]\nroot = "/b"\n')
    assert code_of("up", "--config", str(file), "x") == 2
    assert capsys.readouterr().err == (
        "luafarm: configuration: ROOT x: 2 pools are configured (a, b); say their "
        "roots in the configuration\n"
    )


def test_what_up_decided_reaches_the_roles(tmp_path: Path) -> None:
    file = tmp_path / "up.toml"
    file.write_text("")
    arguments = ["up", "x", "--config", str(file), "--set", "front.queue=7"]
    parsed = parser().parse_args([*arguments, "--http", "127.0.0.1:1"])
    configuration = serve.up_configuration(parsed)
    assert serve.passed_on(configuration, parsed) == [
        "--config",
        str(file),
        "--set",
        "front.queue=7",
        "--set",
        f'pool.default.root=["{Path.cwd()}/x"]',
        "--set",
        "front.http=127.0.0.1:1",
    ]


def test_a_file_that_was_found_is_looked_for_again_by_the_roles(tmp_path: Path) -> None:
    """By its path it might be another one by then."""
    (tmp_path / "luafarm.toml").write_text("")
    parsed = parser().parse_args(["fcgi"])
    configuration = configure.load(parsed.config, parsed.sets)
    assert configuration.file == Path("luafarm.toml")
    assert serve.passed_on(configuration, parsed) == []


def test_a_file_that_is_left_out_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "luafarm.toml").write_text("[broker]\nstates = 7\n")
    (tmp_path / "luafarm.toml").chmod(0o666)
    assert code_of("config") == 0
    said = capsys.readouterr()
    assert "# configuration file: none" in said.out
    [line] = said.err.splitlines()
    assert line.startswith(f"luafarm: configuration: {tmp_path}/luafarm.toml is left")


def test_up_tells_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "luafarm.toml").write_text("[broker]\nstates = 7\n")
    (tmp_path / "luafarm.toml").chmod(0o666)
    assert code_of("up", "--listen", "unix:no/x.sock") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "luafarm.toml is left out" in first
    assert "there is no directory" in second
