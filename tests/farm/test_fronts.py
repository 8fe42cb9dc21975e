"""Several fronts on the same sockets: spread, deaths, renewal and the end."""

import contextlib
import http.client
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import daemon, procfs
from tests.farm.client import TIMEOUT_S, Client, ask, connected
from tests.farm.farms import LUAFARM, Farm, directory, kill, until, up
from tests.farm.loads import FRESH, RETRY, SLOW, behind_nginx, loading

pytestmark = pytest.mark.process

FRONTS = 3

COUNTER = """
local n = 0
function main(env, con) n = n + 1; con:puts(tostring(n)) end
"""


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up(f"[front]\nprocesses = {FRONTS}\n") as running:
        running.write("counter.lua", COUNTER)
        running.write("slow.lua", SLOW)
        until(lambda: len(fronts(running)) == FRONTS, "every front is known")
        assert ask(running.socket, running.root / "slow.lua").status == 200
        yield running


def fronts(farm: Farm) -> dict[int, dict[str, Any]]:
    """Return the rows of the status by pid, those of fronts that are gone left out."""
    alive = farm.titled("luafarm-front")
    rows = farm.status()["fronts"]
    return {row["pid"]: row for row in rows if row.get("pid") in alive}


def renewed(farm: Farm, old: set[int]) -> bool:
    now = set(farm.titled("luafarm-front"))
    return len(now) == FRONTS and not now & old


def renew(farm: Farm) -> set[int]:
    """Say HUP and wait until every front is another; return the old ones."""
    old = set(farm.titled("luafarm-front"))
    kill(farm.daemons["up"].pid, signal.SIGHUP)
    until(lambda: renewed(farm, old), "every front is another")
    return old


# ---- side by side ------------------------------------------------------------------


def test_the_status_lists_every_front(farm: Farm) -> None:
    rows = fronts(farm)
    assert sorted(rows) == farm.titled("luafarm-front")
    names = sorted(str(row["name"]).rpartition("-front-")[2] for row in rows.values())
    assert names == ["1", "2", "3"]
    for number in names:
        assert len(farm.titled(f"luafarm-front {number}")) == 1
    done = subprocess.run(
        [*LUAFARM, "status", "--config", str(farm.config)],
        capture_output=True,
        check=True,
        text=True,
    )
    for pid in rows:
        assert f" {pid} " in done.stdout


def test_each_front_gets_connections(farm: Farm) -> None:
    with contextlib.ExitStack() as stack:

        def all_have_some() -> bool:
            for _ in range(10):
                client = stack.enter_context(connected(farm.socket))
                client.send(farm.root / "counter.lua")
                assert client.receive().status == 200
            return all(row["connections"] for row in fronts(farm).values())

        until(all_have_some, "every front has a connection")


# ---- a front dies ------------------------------------------------------------------


def test_a_killed_front_costs_its_own_connections_only(farm: Farm) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(farm.socket)) for _ in range(24)]
        for client in clients:
            client.send(farm.root / "counter.lua")
            assert client.receive().status == 200
        counts: dict[int, int] = {}

        def counted() -> bool:
            counts.update({pid: r["connections"] for pid, r in fronts(farm).items()})
            return sum(counts.values()) == len(clients)

        until(counted, "the status shows all connections")
        victim = max(counts, key=lambda pid: counts[pid])
        kill(victim)
        until(lambda: victim not in farm.titled("luafarm-front"), "it is gone")
        lost = [client for client in clients if not still_serves(farm, client)]
        assert len(lost) == counts[victim]
    until(lambda: len(fronts(farm)) == FRONTS, "it is replaced")
    assert victim not in fronts(farm)


def still_serves(farm: Farm, client: Client) -> bool:
    try:
        client.send(farm.root / "counter.lua")
        return client.receive().status == 200
    except OSError:
        return False


@pytest.mark.parametrize("connections", ["kept", "fresh"])
def test_a_killed_front_costs_no_get_that_nginx_may_try_again(
    farm: Farm, connections: str
) -> None:
    changes = RETRY if connections == "kept" else {**RETRY, **FRESH}
    with behind_nginx(farm, changes) as web:
        with loading(web.port, "GET") as load:
            for _ in range(2):
                victim = farm.titled("luafarm-front")[0]
                kill(victim)
                load.go_on(30)
                until(lambda: len(farm.titled("luafarm-front")) == FRONTS, "restarted")
        assert load.wrong == []


# ---- renewal -----------------------------------------------------------------------


@pytest.mark.parametrize("connections", ["kept", "fresh"])
def test_renewed_fronts_lose_not_one_post(farm: Farm, connections: str) -> None:
    with behind_nginx(farm, {} if connections == "kept" else FRESH) as web:
        with loading(web.port, "POST") as load:
            renew(farm)
            load.go_on(30)
        assert load.wrong == []


def test_an_idle_connection_outlives_its_front(farm: Farm) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(farm.socket)) for _ in range(40)]
        for client in clients[:20]:
            client.send(farm.root / "counter.lua")
            assert client.receive().status == 200
        old = renew(farm)
        assert not old & set(farm.titled("luafarm-front"))
        for client in clients:
            client.send(farm.root / "counter.lua")
            assert client.receive().status == 200


def test_an_idle_connection_over_http_outlives_its_front() -> None:
    number = daemon.free_port()
    settings = f'[front]\nhttp = "127.0.0.1:{number}"\nprocesses = {FRONTS}\n'
    with up(settings) as farm, contextlib.ExitStack() as stack:
        farm.write("counter.lua", COUNTER)
        until(lambda: len(farm.titled("luafarm-front")) == FRONTS, "fronts are there")
        until(lambda: daemon.accepts(("127.0.0.1", number)), "HTTP is served")
        clients = [
            http.client.HTTPConnection("127.0.0.1", number, timeout=TIMEOUT_S)
            for _ in range(20)
        ]
        for client in clients:
            stack.callback(client.close)
        for client in clients:
            client.request("POST", "/counter.lua", b"x")
            assert client.getresponse().read().isdigit()
        ours = [client.sock.getsockname() for client in clients]
        renew(farm)
        for client, name in zip(clients, ours, strict=True):
            client.request("POST", "/counter.lua", b"x")
            assert client.getresponse().read().isdigit()
            assert client.sock.getsockname() == name


def test_a_request_that_runs_is_finished_by_the_front_that_retires(farm: Farm) -> None:
    farm.write(
        "long.lua", SLOW.replace("luafarm.sleep(0.01)", "con:flush() luafarm.sleep(3)")
    )
    with connected(farm.socket) as client:
        client.send(farm.root / "long.lua", query="done")
        assert client.socket.recv(1, socket.MSG_PEEK), "it does not run"
        renew(farm)
        reply = client.receive()
        assert (reply.status, reply.body, reply.whole) == (200, b"done", True)


def test_new_settings_count_after_a_renewal(farm: Farm) -> None:
    text = farm.config.read_text()
    farm.config.write_text(text.replace("[front]", '[front]\nping_path = "/ping"'))
    renew(farm)
    assert ask(farm.socket, "/ping").body == b"pong"


def test_a_front_that_starts_survives_that_logs_are_reopened(farm: Farm) -> None:
    old = set(farm.titled("luafarm-front"))
    parent = farm.daemons["up"].pid
    kill(parent, signal.SIGHUP)

    def is_renewed() -> bool:
        kill(parent, signal.SIGUSR1)  # passed on to whoever is there, as soon as it is
        return renewed(farm, old)

    until(is_renewed, "every front is another")
    assert "killed by SIGUSR1" not in farm.log()


def test_wrong_settings_change_nothing(farm: Farm) -> None:
    text = farm.config.read_text()
    before = farm.titled("luafarm-front")
    farm.config.write_text(text.replace("[front]", "[front]\nqueue = 'none'"))
    try:
        kill(farm.daemons["up"].pid, signal.SIGHUP)
        until(lambda: "HUP: nothing is changed: [front] queue" in farm.log(), "it says")
    finally:
        farm.config.write_text(text)
    assert farm.titled("luafarm-front") == before


# ---- the end -----------------------------------------------------------------------


def test_the_end_answers_what_was_asked_of_every_front() -> None:
    with up(f"[front]\nprocesses = {FRONTS}\n") as farm:
        script = farm.write("slow.lua", SLOW.replace("0.01", "0.1"))
        until(lambda: len(fronts(farm)) == FRONTS, "every front is known")
        assert ask(farm.socket, script).status == 200
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connected(farm.socket)) for _ in range(12)]
            for number, client in enumerate(clients):
                client.send(script, query=str(number))
            kill(farm.daemons["up"].pid, signal.SIGTERM)
            for number, client in enumerate(clients):
                reply = client.receive()
                assert (reply.status, reply.body) == (200, str(number).encode())
        assert farm.daemons["up"].process.wait(TIMEOUT_S) == 0
        assert not Path(farm.socket).exists()
        assert farm.titled("luafarm-") == []


@pytest.mark.parametrize("moment", ["while it starts", "when it serves"])
def test_a_front_that_is_stopped_cuts_nothing_that_waits_for_it(moment: str) -> None:
    """No broker is there: it takes what waits only after a while, for a refusal."""
    with directory() as place, socket.socket(socket.AF_UNIX) as listener:
        address = str(place / "front.sock")
        listener.bind(address)
        listener.listen(16)
        arguments = ["--set", 'front.listen=["fd:0"]']
        arguments += ["--set", "vmhost.stop_timeout=500ms"]
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connected(address)) for _ in range(9)]
            for client in clients:
                client.send(place / "www/none.lua", method="POST", body=b"x")
            log = place / "log"
            process = stack.enter_context(
                daemon.running(fcgi(place, *arguments), log, stdin=listener.fileno())
            )
            if moment == "while it starts":
                process.wait_until(
                    lambda: len(titled(process.pid, "luafarm-front")) == 2, "it starts"
                )
            else:
                process.wait_until(lambda: "serving" in log.read_text(), "it serves")
            process.process.terminate()
            assert process.process.wait(TIMEOUT_S) == 0
            # what no front has taken waits on, unread, for the next one
            listener.setblocking(False)
            left = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        assert connection.recv(1 << 16).startswith(b"\1\1")
                    left += 1
            answered = 0
            for client in clients:
                reply = client.receive()
                answered += (reply.status, reply.whole) == (503, True)
            assert left + answered == len(clients), log.read_text()
            assert "unanswered" not in log.read_text()


# ---- the sockets -------------------------------------------------------------------


def fcgi(place: Path, *arguments: str) -> list[str]:
    run = f"paths.run={place}/run"
    return [*LUAFARM, "fcgi", "--fronts", "2", "--set", run, *arguments]


def test_an_occupied_address_is_one_clear_error() -> None:
    with directory() as place, socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            fcgi(place, "--set", f"front.listen={address}"),
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )
        assert done.returncode == 2
        assert done.stderr == (
            f'luafarm: configuration: [front] listen = ["{address}"]: {address} cannot '
            "be used: Address already in use (from --set front.listen)\n"
        )


def test_a_socket_left_over_is_replaced_with_its_mode_and_owner() -> None:
    with directory() as place:
        path = place / "front.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        arguments = ["--set", f"front.listen=unix:{path}"]
        arguments += ["--set", "front.listen_mode=0640"]
        if os.geteuid() == 0:
            arguments += ["--set", "front.listen_user=nobody"]
            arguments += ["--set", "front.listen_group=nogroup"]
        with daemon.running(fcgi(place, *arguments), place / "log") as process:
            process.wait_until(lambda: daemon.accepts(str(path)), "it listens")
            found = path.stat()
            assert stat.S_IMODE(found.st_mode) == 0o640
            if os.geteuid() == 0:
                assert (found.st_uid, found.st_gid) == (65534, 65534)
        assert not path.exists()


def test_connections_over_tcp_outlive_a_front_that_retires() -> None:
    with directory() as place:
        address = ("127.0.0.1", daemon.free_port())
        arguments = ["--set", "front.listen={}:{}".format(*address)]
        arguments += ["--set", "front.ping_path=/ping"]
        with (
            daemon.running(fcgi(place, *arguments), place / "log") as process,
            contextlib.ExitStack() as stack,
        ):
            process.wait_until(lambda: daemon.accepts(address), "it listens")
            clients = [stack.enter_context(connected(address)) for _ in range(20)]
            for client in clients:
                client.send("/ping")
                assert client.receive().body == b"pong"
            [front] = titled(process.pid, "luafarm-front 1")
            kill(front, signal.SIGUSR2)
            until(lambda: front not in titled(process.pid, "luafarm-front"), "it ends")
            for client in clients:
                client.send("/ping")
                assert client.receive().body == b"pong"


def titled(parent: int, title: str) -> list[int]:
    return [pid for pid in procfs.tree(parent) if procfs.title(pid).startswith(title)]


def test_a_file_in_place_of_the_socket_stays() -> None:
    with directory() as place:
        path = place / "front.sock"
        path.write_text("mine")
        done = subprocess.run(
            fcgi(place, "--set", f"front.listen=unix:{path}"),
            capture_output=True,
            check=False,
            text=True,
            timeout=120,
        )
        assert done.returncode == 2
        assert "a file that is no socket has this name" in done.stderr
        assert path.read_text() == "mine"
