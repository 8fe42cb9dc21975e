"""`luafarm up` from its first line to its last process."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import daemon
from tests.luafarm.farms import (
    START_S,
    Asking,
    Up,
    directory,
    luafarm,
    until,
    up,
)

pytestmark = pytest.mark.process

# asks for FCGI_MAX_CONNS
GET_VALUES = bytes.fromhex("01090000001000000e0046434749 5f4d41585f434f4e4e53")

ROLES = ("luafarm-broker", "luafarm-supervisor", "luafarm-front")


@pytest.fixture(scope="module")
def farm() -> Iterator[Up]:
    """Give a farm whose processes the tests leave alone."""
    with up("--listen", f"127.0.0.1:{daemon.free_port()}", "--hosts", "2") as running:
        yield running


# ---- while it runs -----------------------------------------------------------------


def test_it_serves(farm: Up) -> None:
    assert farm.get("/hello.lua") == "hello"


def test_it_says_where_and_what_nginx_needs(farm: Up) -> None:
    text = farm.output.read_text()
    assert f"http://127.0.0.1:{farm.port}/" in text
    assert f"{farm.root} (pool default, luajit21, sandboxed)" in text
    assert "server 127.0.0.1:" in text
    assert f"root {farm.root};" in text
    assert "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;" in text


def test_every_process_is_in_its_group_and_has_its_title(farm: Up) -> None:
    for title in (*ROLES, "luafarm-zygote"):
        assert len(farm.pids(title)) == 1, title
    assert len(farm.pids("luafarm-vmhost default/")) == 2


def test_status_shows_hosts_scripts_and_the_layers_that_hold(farm: Up) -> None:
    farm.get("/hello.lua")
    done = luafarm("status", "--set", farm.run)
    assert done.returncode == 0
    assert "hello.lua  ready" in done.stdout
    assert "default-1" in done.stdout
    assert "seccomp" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_status_shows_one_part_alone(farm: Up) -> None:
    farm.get("/hello.lua")
    scripts = luafarm("status", "--scripts", "--set", farm.run).stdout
    hosts = luafarm("status", "--hosts", "--set", farm.run).stdout
    assert "hello.lua" in scripts
    assert "seccomp" not in scripts
    assert "hello.lua" not in hosts
    assert "seccomp" in hosts


def test_a_second_farm_in_its_run_directory_is_refused(farm: Up) -> None:
    other = f"127.0.0.1:{daemon.free_port()}"
    done = luafarm("up", str(farm.root), "--http", other, "--set", farm.run)
    assert done.returncode == 2
    assert "already runs there (process" in done.stderr
    assert farm.serves("/hello.lua")


def test_a_second_farm_on_its_port_is_refused(farm: Up) -> None:
    done = luafarm("up", str(farm.root), "--http", f"127.0.0.1:{farm.port}")
    assert done.returncode == 2
    assert done.stderr == (
        f'luafarm: configuration: [front] http = "127.0.0.1:{farm.port}": '
        f"127.0.0.1:{farm.port} cannot be used: Address already in use (from --http)\n"
    )


def test_reload_wait_returns_when_the_new_content_counts(farm: Up) -> None:
    script = farm.root / "version.lua"
    for number in range(5):
        script.write_text(f"function main(e, con) con:puts('{number}') end\n")
        done = luafarm("reload", str(script), "--wait", "--set", farm.run)
        assert done.returncode == 0, done.stderr
        assert farm.get("/version.lua") == str(number)


# ---- its end -----------------------------------------------------------------------


def is_running(farm: Up, name: str) -> bool:
    hosts = farm.status()["hosts"]
    return any(str(host["running"]).endswith(name) for host in hosts)


@pytest.mark.parametrize("how", ["TERM", "Ctrl-C"])
def test_it_finishes_what_runs_and_leaves_nothing(how: str) -> None:
    with up("--hosts", "2") as farm:
        asking = Asking(farm, "/slow.lua")
        assert asking.begun.wait(START_S), "the slow script does not run"
        if how == "TERM":
            farm.signal(signal.SIGTERM)
        else:
            farm.press_ctrl_c()
        assert farm.wait() == 0
        asking.join()
        assert asking.answer == "slept"
        assert farm.pids() == []


def test_a_second_ctrl_c_does_not_wait() -> None:
    with up("--hosts", "2") as farm:
        (farm.root / "endless.lua").write_text("function main() while true do end end")
        asking = Asking(farm, "/endless.lua")
        until(lambda: is_running(farm, "endless.lua"), "the script runs")
        farm.press_ctrl_c()
        until(lambda: "stopping" in farm.log.read_text(), "it stops")
        farm.press_ctrl_c()
        assert farm.wait() == 0
        asking.join()
        until(lambda: farm.pids() == [], "every process is gone")


def test_nothing_outlives_it_when_it_is_killed() -> None:
    with up("--hosts", "2") as farm:
        assert len(farm.pids()) >= 7
        farm.signal(signal.SIGKILL)
        farm.process.wait()
        until(lambda: farm.pids() == [], "every process is gone")


def kill_and_await(title: str, farm: Up) -> None:
    (old,) = farm.pids(title)
    os.kill(old, signal.SIGKILL)
    until(lambda: bool(set(farm.pids(title)) - {old}), f"{title} is back")


@pytest.mark.parametrize("title", ROLES)
def test_a_role_that_is_killed_is_started_again(title: str) -> None:
    with up("--hosts", "2") as farm:
        farm.get("/hello.lua")
        kill_and_await(title, farm)
        until(lambda: farm.serves("/hello.lua"), "it serves again")
        until(lambda: len(farm.status()["hosts"]) == 2, "both hosts are known")
        assert "was killed by SIGKILL; restarting" in farm.log.read_text()
        farm.signal(signal.SIGTERM)
        assert farm.wait() == 0


def test_usr1_reopens_the_log_of_every_role(tmp_path: Path) -> None:
    file = tmp_path / "farm.log"
    with up("--hosts", "1", "--set", f"log.file={file}") as farm:
        file.rename(tmp_path / "old.log")
        farm.signal(signal.SIGUSR1)
        until(file.exists, "the log has been reopened")
        farm.signal(signal.SIGTERM)
        assert farm.wait() == 0
        for title in ("luafarm-up", "luafarm-front", "luafarm-supervisor"):
            assert f" {title} info stopping" in file.read_text()


def test_a_socket_that_was_handed_in_is_served_by_every_front() -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed:
        fd = handed.fileno()
        port = handed.getsockname()[1]
        with up("--hosts", "1", "--listen", f"fd:{fd}", sockets=[fd]) as farm:
            for _ in range(2):
                kill_and_await("luafarm-front", farm)
                with socket.create_connection(("127.0.0.1", port), START_S) as asking:
                    asking.sendall(GET_VALUES)
                    assert asking.recv(8)[:2] == b"\x01\x0a"  # GET_VALUES_RESULT


# ---- what it refuses ---------------------------------------------------------------


def test_a_role_that_cannot_start_ends_it_with_2() -> None:
    with directory() as place:
        # only the front itself can find out that the name is taken
        taken = place / "taken.sock"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(taken))
            farm = Up(place, "--listen", f"unix:{taken}")
            listening.listen()
            try:
                assert farm.wait() == 2
                assert "taken.sock" in farm.log.read_text()
            finally:
                farm.close()
                assert farm.pids() == []


def test_a_root_that_is_missing_is_refused() -> None:
    done = luafarm("up", "/no/such/directory")
    assert done.returncode == 2
    assert done.stderr == (
        "luafarm: configuration: [pool.default] root = "
        '["/no/such/directory"]: /no/such/directory: No such file or directory '
        "(from ROOT)\n"
    )


def test_a_file_that_was_found_and_counts_no_more_changes_nothing() -> None:
    with directory() as place:
        config = place / "luafarm.toml"
        config.write_text("[front]\nqueue = 7\n")
        config.chmod(0o644)
        farm = Up(place, "--hosts", "1", cwd=place)
        try:
            farm.ready()
            before = farm.pids("luafarm-front")
            config.chmod(0o666)
            farm.signal(signal.SIGHUP)
            said = "HUP: nothing is changed: no luafarm.toml counts; "
            until(lambda: said in farm.log.read_text(), "it says so")
            assert f"{config} may be written by others" in farm.log.read_text()
            assert farm.pids("luafarm-front") == before
            assert farm.get("/hello.lua") == "hello"
        finally:
            farm.close()
