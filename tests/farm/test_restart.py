"""A farm that goes on with new code and new settings: HUP, and what it costs nobody."""

import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import fcgi
from bench import daemon
from luafarm.version import VERSION
from tests.farm.client import TIMEOUT_S, ask, connected
from tests.farm.farms import LUAFARM, Farm, directory, hosts_of, kill, until, up
from tests.farm.loads import FRESH, SLOW, behind_nginx, loading

pytestmark = pytest.mark.process

TITLES = ("luafarm-broker", "luafarm-supervisor", "luafarm-front", "luafarm-vmhost")

TOLD = """
function main(env, con)
  con:log("begun " .. env.QUERY_STRING)
  con:puts(env.QUERY_STRING)
end
"""

# runs until there is a file, which only trusted scripts see come
WAITING = """
function main(env, con)
  con:flush()
  repeat require("luafarm").sleep(0.05) until io.open(env.QUERY_STRING)
  con:puts("done")
end
"""
ENDLESS = """
function main(env, con)
  while true do con:puts(".") con:flush() require("luafarm").sleep(0.05) end
end
"""
LONG = "wall = '10 min'\n"

HOME = Path(fcgi.__file__).parents[1]

FEW_UIDS = 'uid_range = "61184-61185"'

NUMBER = """
n = n or 0
function main(env, con) n = n + 1; con:puts(tostring(n)) end
"""


def pids(farm: Farm) -> dict[str, set[int]]:
    """Return the processes of the farm by their titles."""
    return {title: set(farm.titled(title)) for title in TITLES}


def is_renewed(farm: Farm, old: dict[str, set[int]], titles: Sequence[str]) -> bool:
    now = pids(farm)
    return all(now[t] and not now[t] & old[t] for t in titles)


def hup(farm: Farm, role: str = "up", titles: Sequence[str] = TITLES) -> None:
    """Say HUP to a parent; return when each of these processes is another."""
    old = pids(farm)
    kill(farm.daemons[role].pid, signal.SIGHUP)
    renewed = functools.partial(is_renewed, farm, old, titles)
    until(renewed, f"HUP has replaced {', '.join(titles)}")


def says(farm: Farm, line: str) -> None:
    """Say HUP, and wait for this in the log: what was said before does not count."""
    before = len(farm.log())
    kill(farm.daemons["up"].pid, signal.SIGHUP)
    until(lambda: line in farm.log()[before:], line)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up() as running:
        running.write("slow.lua", SLOW)
        running.write("number.lua", NUMBER)
        yield running


# ---- what it costs -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("connections", ["kept", "fresh"])
def test_every_process_is_another_and_no_request_is_lost(
    farm: Farm, connections: str, method: str
) -> None:
    with behind_nginx(farm, {} if connections == "kept" else FRESH) as web:
        with loading(web.port, method) as load:
            for _ in range(2):
                hup(farm)
                load.go_on(30)
        assert load.wrong == []


def test_what_is_warm_is_warm_again_before_anybody_asks(farm: Farm) -> None:
    with behind_nginx(farm, {}) as web, loading(web.port, "GET") as load:
        hup(farm)
        load.go_on(100)
    # the broker is a new one: no front has asked it for the script
    assert "answers" not in farm.status()["counts"], farm.log()
    assert load.wrong == []


def test_a_request_that_runs_is_finished_by_the_host_that_goes() -> None:
    with up(pool=f"{LONG}trust = 'trusted'") as farm, connected(farm.socket) as client:
        script, over = farm.write("waiting.lua", WAITING), farm.place / "over"
        client.send(script, method="POST", body=b"x", query=str(over))
        assert client.socket.recv(1, socket.MSG_PEEK), "it does not run"
        old = pids(farm)
        hup(farm, titles=["luafarm-broker"])
        gone = functools.partial(is_left, farm, old["luafarm-vmhost"])
        until(gone, "all hosts go but the one that runs the script")
        over.touch()
        reply = client.receive()
        assert (reply.status, reply.body, reply.whole) == (200, b"done", True)
        until(lambda: is_renewed(farm, old, TITLES), "every process is another")


def uid_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nUid:")[2].split()[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives hosts their own uids")
def test_however_often_a_farm_is_renewed_no_two_hosts_have_one_uid() -> None:
    with up(pool=LONG) as farm, connected(farm.socket) as client:
        client.send(farm.write("endless.lua", ENDLESS))
        assert client.socket.recv(1, socket.MSG_PEEK), "it does not run"
        first = set(hosts_of(farm))
        old: set[int] = set()
        for _ in range(2):
            old |= set(hosts_of(farm))
            hup(farm, titles=["luafarm-broker"])
            gone = functools.partial(is_left, farm, old)
            until(gone, "all hosts go but the one that runs the script")
        hosts = hosts_of(farm)
        assert len(set(hosts) & first) == 1
        assert len({uid_of(pid) for pid in hosts}) == len(hosts) == 5


def is_left(farm: Farm, old: set[int]) -> bool:
    """Return whether one of these hosts is left, among all that there have to be."""
    hosts = set(hosts_of(farm))
    return len(hosts & old) == 1 and len(hosts) == 5


def test_idle_connections_stay_and_the_parent_is_the_same_process(farm: Farm) -> None:
    script = farm.root / "number.lua"
    parent = farm.daemons["up"].pid
    with connected(farm.socket) as client:
        for _ in range(3):
            client.send(script)
            assert client.receive().status == 200
            hup(farm)
        client.send(script)
        assert client.receive().status == 200
    assert farm.daemons["up"].pid == parent
    assert farm.daemons["up"].process.poll() is None


def test_what_is_planned_is_nothing_to_be_warned_of(farm: Farm) -> None:
    said = len(farm.log())
    hup(farm)
    fronts = farm.titled("luafarm-front")
    until(lambda: fronts_of(farm) == fronts, "only what serves is in the status")
    lines = farm.log()[said:].splitlines()
    assert [line for line in lines if " warning " in line or " error " in line] == []


def fronts_of(farm: Farm) -> list[int]:
    """Return the pids of the fronts that the status lists."""
    return [front["pid"] for front in farm.status()["fronts"] if "pid" in front]


# ---- what counts ---------------------------------------------------------------------


def changed(farm: Farm, before: str, after: str) -> None:
    text = farm.config.read_text()
    assert before in text
    farm.config.write_text(text.replace(before, after))


def test_new_settings_of_every_role_count() -> None:
    with up("[front]\nping_path = '/ping'\n") as farm:
        script = farm.write("v.lua", "function main(e, con) con:puts(_VERSION) end")
        assert ask(farm.socket, script).body == b"Lua 5.1"
        changed(farm, "hosts = 4", 'hosts = 3\ndialect = "lua54"\nscripts = ["v.lua"]')
        changed(farm, "'/ping'", "'/alive'")
        hup(farm)
        until(lambda: len(hosts_of(farm)) == 3, "there are as many hosts as wanted")
        assert ask(farm.socket, script).body == b"Lua 5.4"  # supervisor
        other = farm.write("other.lua", NUMBER)
        assert ask(farm.socket, other).status == 404  # broker
        assert ask(farm.socket, "/alive").body == b"pong"  # front


def test_listeners_and_fronts_may_become_others() -> None:
    number = daemon.free_port()
    with up(f'[front]\nhttp = "127.0.0.1:{number}"\nprocesses = 1\n') as farm:
        script = farm.write("number.lua", NUMBER)
        fresh = farm.place / "other.sock"
        config = f'listen = ["unix:{fresh}"]\nprocesses = 3\n'
        changed(farm, f'http = "127.0.0.1:{number}"\nprocesses = 1\n', config)
        hup(farm)
        until(lambda: len(farm.titled("luafarm-front")) == 3, "there are three fronts")
        # the option of the command line still counts, and the file no more
        assert ask(farm.socket, script).status == 200
        assert not fresh.exists()
        assert not daemon.accepts(("127.0.0.1", number))
        changed(farm, "processes = 3", "processes = 1")
        hup(farm)
        until(lambda: len(farm.titled("luafarm-front")) == 1, "there is one front")
        assert ask(farm.socket, script).status == 200
    assert not Path(farm.socket).exists()


def test_a_farm_that_came_to_new_sockets_removes_them_at_its_end() -> None:
    with directory() as place:
        root = place / "root"
        root.mkdir()
        config = place / "luafarm.toml"
        farm = Farm(place, root, config, str(place / "second.sock"))
        script = farm.write("number.lua", NUMBER)
        base = f'[paths]\nrun = "{place}/run"\n[pool.web]\nroot = ["{root}"]\n'
        first = place / "first.sock"
        config.write_text(f'{base}[front]\nlisten = ["unix:{first}"]\n')
        command = [*LUAFARM, "up", "--config", str(config)]
        with daemon.running(command, place / "log") as process:
            farm.daemons["up"] = process
            process.wait_until(lambda: "Ctrl-C" in farm.log(), "it is ready")
            config.write_text(f'{base}[front]\nlisten = ["unix:{farm.socket}"]\n')
            hup(farm)
            assert not first.exists()
            assert ask(farm.socket, script).status == 200
            process.process.terminate()
            assert process.process.wait(TIMEOUT_S) == 0
            assert not Path(farm.socket).exists()
            assert farm.titled("luafarm-") == []


# ---- what goes wrong -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("hosts = 4", "hosts = 'many'", "[pool.web] hosts"),
        ("[pool.web]", "[pool.web]\nroots = 1", "[pool.web] roots"),
        ('/run"', '/elsewhere"', "[paths] run"),
        ("[pool.web]", '[vmhost]\nmachine = "other"\n[pool.web]', "[vmhost] machine"),
    ],
)
def test_what_cannot_count_changes_nothing(
    farm: Farm, before: str, after: str, line: str
) -> None:
    old = pids(farm)
    text = farm.config.read_text()
    changed(farm, before, after)
    try:
        says(farm, f"HUP: nothing is changed: {line}")
    finally:
        farm.config.write_text(text)
    assert pids(farm) == old
    assert ask(farm.socket, farm.root / "number.lua").status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives hosts uids")
def test_what_only_a_role_finds_out_is_found_out_before(farm: Farm) -> None:
    old = pids(farm)
    text = farm.config.read_text()
    changed(farm, "[pool.web]", f"[vmhost]\n{FEW_UIDS}\n[pool.web]")
    try:
        says(farm, "2 uids for 4 VM hosts")
    finally:
        farm.config.write_text(text)
    assert pids(farm) == old


@pytest.mark.parametrize(
    ("lost", "line"),
    [
        ("[pool", "no [pool] is configured any more; there was web"),
        ("[front", "neither [front] listen nor http is configured any more"),
    ],
)
def test_a_file_that_was_cut_short_has_nothing_else_served(
    lost: str, line: str
) -> None:
    with directory() as place:
        (place / "www").mkdir()
        config, path, log = place / "luafarm.toml", place / "front.sock", place / "log"
        pool = f'[pool.web]\nroot = ["{place}/www"]\nhosts = 1\n'
        front = f'[front]\nlisten = ["unix:{path}"]\n'
        parts = [front, pool] if lost == "[pool" else [pool, front]
        text = f'[paths]\nrun = "{place}/run"\n' + "".join(parts)
        config.write_text(text)
        command = [*LUAFARM, "up", "--config", str(config)]
        with daemon.running(command, log) as process:
            process.wait_until(lambda: "Ctrl-C" in log.read_text(), "it is ready")
            config.write_text(text[: text.rindex(lost)])
            process.process.send_signal(signal.SIGHUP)
            process.wait_until(
                lambda: f"HUP: nothing is changed: {line}" in log.read_text(), line
            )
            assert daemon.accepts(str(path))


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_run_directory_that_was_exchanged_or_opened_is_found_out_before(
    *, is_gone: bool
) -> None:
    with up() as farm:
        old = pids(farm)
        run = farm.config.parent / "run"
        if is_gone:
            run.rename(run.with_name("moved"))
        else:
            run.chmod(0o777)
        says(farm, "HUP: nothing is changed: [paths] run")
        assert pids(farm) == old
        if is_gone:
            assert not run.exists()
            run.with_name("moved").rename(run)
        else:
            run.chmod(0o700)
        hup(farm)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the program, which may be broken."""
    home = tmp_path_factory.mktemp("program")
    for name in ("luafarm", "fcgi", "broker", "vmhost"):
        shutil.copytree(HOME / name, home / name, ignore=shutil.ignore_patterns("*.so"))
    shutil.copy(HOME / "pyproject.toml", home)
    return home


@pytest.mark.parametrize(
    "file",
    [
        "luafarm/command/readiness.py",
        "fcgi/http/peer.py",
        "broker/evictions.py",
        "vmhost/host/states.py",
        "vmhost/lua/budget.lua",
    ],
)
def test_whatever_file_is_broken_is_found_out_before(copied: Path, file: str) -> None:
    with directory() as place:
        config, path = place / "luafarm.toml", place / "front.sock"
        (place / "www").mkdir()
        config.write_text(
            f'[paths]\nrun = "{place}/run"\n[pool.web]\nroot = ["{place}/www"]\n'
            f'hosts = 1\n[front]\nlisten = ["unix:{path}"]\n'
        )
        broken = copied / file
        whole = broken.read_text()
        log = place / "log"
        command = [sys.executable, "-P", "-m", "luafarm", "up", "--config", str(config)]
        environment = {**os.environ, "PYTHONPATH": str(copied)}
        with daemon.running(command, log, environment) as process:
            process.wait_until(lambda: "Ctrl-C" in log.read_text(), "it is ready")
            broken.write_text(whole[: len(whole) // 2].rpartition("\n")[0] + "\n(")
            try:
                process.process.send_signal(signal.SIGHUP)
                process.wait_until(
                    lambda: "HUP: nothing is changed: " in log.read_text(), "refused"
                )
            finally:
                broken.write_text(whole)
            process.process.terminate()
            assert process.process.wait(TIMEOUT_S) == 0


def test_an_address_that_is_removed_refuses_though_a_request_still_runs() -> None:
    port = daemon.free_port()
    with up(f'[front]\nhttp = "127.0.0.1:{port}"\n', pool=LONG) as farm:
        script = farm.write("endless.lua", ENDLESS)
        until(lambda: daemon.accepts(("127.0.0.1", port)), "HTTP is served")
        with connected(farm.socket) as client:
            client.send(script)
            assert client.socket.recv(1), "it does not run"
            changed(farm, f'http = "127.0.0.1:{port}"', "")
            says(farm, "HUP: every role has been replaced")
            until(lambda: not daemon.accepts(("127.0.0.1", port)), "nobody listens")
            assert client.socket.recv(1), "it does not run on"
            changed(farm, "[front]", f'[front]\nhttp = "127.0.0.1:{port}"')
            says(farm, "HUP: every role has been replaced")
            until(lambda: daemon.accepts(("127.0.0.1", port)), "HTTP is served again")


def test_a_supervisor_that_does_not_come_to_serve_leaves_the_old_one_where_it_is() -> (
    None
):
    with up() as farm:
        script = farm.write("number.lua", NUMBER)
        old = pids(farm)
        [supervisor] = old["luafarm-supervisor"]
        kill(farm.daemons["up"].pid, signal.SIGHUP)
        until(lambda: len(farm.titled("luafarm-supervisor")) == 2, "another one comes")
        [fresh] = set(farm.titled("luafarm-supervisor")) - {supervisor}
        kill(fresh)
        line = (
            "HUP: given up: vmhost, fcgi could not be replaced, and goes on as it was"
        )
        until(lambda: line in farm.log(), "it is given up")
        assert "role=vmhost was killed by SIGKILL; the old one goes on" in farm.log()
        for title in TITLES[1:]:
            assert pids(farm)[title] == old[title]
        assert ask(farm.socket, script).status == 200
        hup(farm)
        last = f"HUP: every role has been replaced by luafarm {VERSION}"
        until(lambda: last in farm.log(), "it is done")
        status = farm.status()
        rows = [status, *status["fronts"], *status["supervisors"]]
        assert {row["version"] for row in rows} == {VERSION}


AS_IT_WAS = """
import os, sys
from pathlib import Path
from luafarm.command import cli, inheritance
from luafarm.command.inheritance import Inheritance
from luafarm.config import configure
from luafarm.process.sockets import Listening

settings = configure.load(Path(sys.argv[1])).settings
listening = Listening(settings.front)
given = ("--config", str(sys.argv[1]))
left = Inheritance(settings, given, "", {}, listening.kept(), None, (), True)
variables = inheritance.environment(left)
os.environ.update(variables.__enter__())
raise SystemExit(cli.main(["fcgi", "--config", sys.argv[2]]))
"""


def test_what_has_become_wrong_since_the_trial_does_not_end_the_farm() -> None:
    """As after an exec: the next program finds what was left, and wrong settings."""
    with directory() as place:
        right, wrong = place / "right.toml", place / "wrong.toml"
        path = place / "front.sock"
        base = f'[paths]\nrun = "{place}/run"\n[front]\nlisten = ["unix:{path}"]\n'
        right.write_text(base)
        wrong.write_text("[front")
        command = [sys.executable, "-c", AS_IT_WAS, str(right), str(wrong)]
        with daemon.running(command, place / "log") as process:
            process.wait_until(
                lambda: "serving listen=" in (place / "log").read_text(), "it serves"
            )
            assert "HUP: nothing is changed: " in (place / "log").read_text()
            assert daemon.accepts(str(path))
            process.process.terminate()
            assert process.process.wait(TIMEOUT_S) == 0
            assert not path.exists()


def test_a_reply_that_takes_longer_than_a_stop_may_is_whole() -> None:
    with up("[vmhost]\nstop_timeout = '500 ms'\n") as farm:
        script = farm.write("long.lua", SLOW.replace("0.01", "5"))
        with connected(farm.socket) as client:
            client.send(script, query="done", method="POST", body=b"x")
            until(lambda: is_running(farm, "long.lua"), "it runs")
            old = pids(farm)
            kill(farm.daemons["up"].pid, signal.SIGHUP)
            reply = client.receive()
            assert (reply.status, reply.body) == (200, b"done")
        until(lambda: is_renewed(farm, old, TITLES), "all are others in the end")


def is_running(farm: Farm, name: str) -> bool:
    return any(str(h["running"]).endswith(name) for h in farm.status()["hosts"])


def test_a_broker_that_cannot_serve_leaves_the_old_one_where_it_is() -> None:
    with up() as farm, socket.create_server(("127.0.0.1", 0)) as taken:
        script = farm.write("number.lua", NUMBER)
        old = pids(farm)
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        broker = f'[broker]\nendpoint = "{endpoint}"'
        changed(farm, "[pool.web]", f"{broker}\n[pool.web]")
        says(farm, "role=broker ended with exit code 2; the old one goes on")
        assert "[broker] endpoint" in farm.log()
        until(lambda: len(farm.titled("luafarm-broker")) == 1, "one is left")
        assert pids(farm) == old
        assert ask(farm.socket, script).status == 200
        taken.close()
        hup(farm)
        assert ask(farm.socket, script).status == 200
        assert farm.status()["hosts"]


def test_a_front_that_hangs_ends_however_often_it_is_to_retire(farm: Farm) -> None:
    front = farm.one("luafarm-front")
    kill(front, signal.SIGSTOP)

    def is_gone() -> bool:
        fronts = farm.titled("luafarm-front")
        kill(farm.daemons["up"].pid, signal.SIGHUP)
        until(lambda: farm.titled("luafarm-front") != fronts, "another one comes")
        return front not in farm.titled("luafarm-front")

    until(is_gone, "it is ended")
    assert "has been silent for 3 s: killed" in farm.log()


def test_a_supervisor_that_is_killed_leaves_no_socket(farm: Farm) -> None:
    run = farm.place / "run"
    kill(farm.daemons["up"].pid, signal.SIGHUP)
    until(lambda: len(farm.titled("luafarm-supervisor")) == 2, "another one comes")
    for supervisor in farm.titled("luafarm-supervisor"):
        kill(supervisor)
    until(lambda: len(farm.titled("luafarm-supervisor")) == 1, "another one comes")
    until(lambda: len(list((run / "h").iterdir())) == 4, "sockets of the dead go")
    until(lambda: len(list(run.glob("notices-*"))) == 1, "and those of supervisors")


def test_a_broker_that_hangs_keeps_nobody_from_being_renewed(farm: Farm) -> None:
    broker = farm.one("luafarm-broker")
    kill(broker, signal.SIGSTOP)
    hup(farm)
    assert ask(farm.socket, farm.root / "number.lua").status == 200


def test_a_farm_that_is_told_to_end_while_it_is_renewed_ends() -> None:
    with up() as farm:
        process = farm.daemons["up"].process
        kill(process.pid, signal.SIGHUP)
        until(lambda: "going on with it" in farm.log(), "it executes itself")
        kill(process.pid, signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
        assert farm.titled("luafarm-") == []


def test_a_role_that_died_meanwhile_is_started_again(farm: Farm) -> None:
    old = pids(farm)
    kill(farm.daemons["up"].pid, signal.SIGHUP)
    for title in TITLES[:3]:
        for pid in old[title]:
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
    until(lambda: is_renewed(farm, old, TITLES), "every process is another")
    script = farm.root / "number.lua"
    until(lambda: ask(farm.socket, script).status == 200, "it serves")


# ---- roles apart ---------------------------------------------------------------------


def start(farm: Farm, role: str, stack: contextlib.ExitStack) -> None:
    """Start a role by itself, again or for the first time."""
    command = [*LUAFARM, role, "--config", str(farm.config)]
    log = farm.place / f"{role}-{len(list(farm.place.glob('*.log')))}.log"
    farm.daemons[role] = stack.enter_context(daemon.running(command, log))


@contextlib.contextmanager
def roles_apart() -> Iterator[tuple[Farm, contextlib.ExitStack]]:
    """Run a farm whose roles were started one by one."""
    with directory() as place, contextlib.ExitStack() as stack:
        root = place / "root"
        root.mkdir()
        config = place / "luafarm.toml"
        config.write_text(
            f'[paths]\nrun = "{place}/run"\n[pool.web]\nroot = ["{root}"]\nhosts = 2\n'
            f'[front]\nlisten = ["unix:{place}/front.sock"]\n'
            "[roles]\nwatchdog = 0\n"
        )
        running = Farm(place, root, config, str(place / "front.sock"))
        script = running.write("slow.lua", SLOW)
        for role in ("broker", "vmhost", "fcgi"):
            start(running, role, stack)
        running.daemons["fcgi"].wait_until(
            lambda: daemon.accepts(running.socket), "it listens"
        )
        until(lambda: ask(running.socket, script).status == 200, "it serves")
        yield running, stack


@pytest.fixture(scope="module")
def apart() -> Iterator[Farm]:
    with roles_apart() as (running, _):
        yield running


@pytest.mark.parametrize(
    ("role", "titles"),
    [
        ("broker", ("luafarm-broker",)),
        ("vmhost", ("luafarm-supervisor", "luafarm-vmhost")),
        ("fcgi", ("luafarm-front",)),
    ],
)
def test_a_role_by_itself_is_renewed_without_a_loss(
    apart: Farm, role: str, titles: tuple[str, ...]
) -> None:
    others = [title for title in TITLES if title not in titles]
    old = pids(apart)
    with behind_nginx(apart, {}) as web, loading(web.port, "POST") as load:
        hup(apart, role, titles)
        load.go_on(50)
    assert load.wrong == []
    assert [pids(apart)[title] for title in others] == [old[t] for t in others]


def test_fronts_that_know_the_farm_go_on_when_no_broker_tells_others(
    apart: Farm,
) -> None:
    script = apart.root / "slow.lua"
    for _ in range(20):
        assert ask(apart.socket, script).status == 200
    before = apart.titled("luafarm-front")
    broker = apart.one("luafarm-broker")
    kill(broker, signal.SIGSTOP)
    try:
        kill(apart.daemons["fcgi"].pid, signal.SIGHUP)
        until(lambda: "no broker tells a fresh front" in apart.log(), "it is given up")
        until(lambda: apart.titled("luafarm-front") == before, "the old ones remain")
        assert ask(apart.socket, script).status == 200
    finally:
        kill(broker, signal.SIGCONT)


@pytest.mark.parametrize("role", ["vmhost", "broker"])
def test_a_second_one_in_the_run_directory_is_refused(apart: Farm, role: str) -> None:
    done = subprocess.run(
        [*LUAFARM, role, "--config", str(apart.config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 2
    assert "already runs there (process" in done.stderr


def test_what_fronts_executed_before_a_plain_restart_they_have_answered() -> None:
    with roles_apart() as (farm, stack), behind_nginx(farm, {}) as web:
        farm.write("told.lua", TOLD)
        with loading(web.port, "POST", "told.lua") as load:
            for _ in range(3):
                old = farm.daemons["fcgi"]
                old.process.terminate()
                assert old.process.wait(TIMEOUT_S) == 0
                start(farm, "fcgi", stack)
                until(lambda: daemon.accepts(farm.socket), "it listens")
                load.go_on(50)
        logs = farm.place.glob("fcgi-*.log")
        told = "".join([log.read_text() for log in logs])
        begun = re.findall(r"begun (\d+-\d+)", told)
        assert sorted(begun) == sorted(load.right)
