"""A whole supervisor: what it does about every death, its own among them."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from luafarm.ends import Death
from luafarm.names import Machine, RequestId, Script
from luafarm.process import rundir
from luafarm.wire import codec
from luafarm.wire.messages import (
    PROTOCOL,
    Hello,
    HostLost,
    HostUp,
    Kill,
    MachineReport,
    Recycle,
    Role,
    Welcome,
)
from tests.vmhost.supervisor.supervised import (
    NOBODY,
    Supervised,
    children_of,
    is_alive,
    needs_root,
    send,
    supervised,
    title,
    until,
)

pytestmark = pytest.mark.process

ONE = {"main": "hosts = 1"}
TWO = {"main": "hosts = 2"}


@pytest.fixture
def two() -> Iterator[Supervised]:
    with supervised(TWO, "grace = 0.1\nstart_timeout = 20.0") as running:
        yield running


def run_task(running: Supervised, up: HostUp, budget_ms: int = 60_000) -> None:
    answer = running.ask(up, "begin", "77", "/srv/slow.lua", str(budget_ms))
    assert answer == "ok"


def one_more(running: Supervised, *known: HostUp) -> HostUp:
    """Wait until a host is up that is none of the known ones; return it."""
    hosts = {up.host for up in known}

    def found() -> HostUp | None:
        running.fail_if_ended()
        return next((up for up in running.up() if up.host not in hosts), None)

    return until(found, "a new host", running.log)


# ---- the way up ------------------------------------------------------------------


def test_every_host_is_announced_with_all_that_a_peer_needs(two: Supervised) -> None:
    first, second = two.wait_up(2)
    assert first.host != second.host
    for up in (first, second):
        assert up.host.startswith("box-main-")
        assert up.machine == "box"
        assert up.endpoint.startswith(f"ipc://{two.run}/h/")
        assert up.notices.startswith(f"ipc://{two.run}/notices-")
        assert up.layers
        assert two.ask(up, "ping") == "ok"


def test_processes_have_the_titles_that_operators_look_for(two: Supervised) -> None:
    ups = sorted(two.wait_up(2), key=lambda up: up.host)
    titles = [title(up.pid) for up in ups]
    assert titles == ["luafarm-vmhost main/1", "luafarm-vmhost main/2"]
    assert title(two.zygote()) == "luafarm-zygote"
    assert title(two.pid) == "luafarm-supervisor"


def test_hosts_are_children_of_the_supervisor_itself(two: Supervised) -> None:
    ups = two.wait_up(2)
    family = {two.zygote(), *(up.pid for up in ups)}
    assert set(children_of(two.pid)) == family


def test_the_heartbeat_tells_what_the_scoreboards_say(two: Supervised) -> None:
    first, second = two.wait_up(2)
    run_task(two, first)

    def told() -> MachineReport | None:
        reports = two.all_of(MachineReport)
        if not reports or len(reports[-1].hosts) != 2:
            return None
        rows = {row.host: row for row in reports[-1].hosts}
        running = rows[first.host].running
        return reports[-1] if running == b"/srv/slow.lua" else None

    report = until(told, "a heartbeat")
    rows = {row.host: row for row in report.hosts}
    assert rows[second.host].running == b""
    assert all(row.rss_kib > 1000 for row in report.hosts)


@pytest.mark.parametrize(
    ("trust", "sees"), [("sandboxed", "none"), ("trusted", "hunter2")]
)
def test_secrets_of_the_environment_stay_out_of_sandboxed_pools(
    monkeypatch: pytest.MonkeyPatch, trust: str, sees: str
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    with supervised({"main": f'hosts = 1\ntrust = "{trust}"'}) as running:
        (up,) = running.wait_up(1)
        assert running.ask(up, "getenv", "DATABASE_PASSWORD") == sees


# ---- deaths of hosts --------------------------------------------------------------


@pytest.mark.parametrize("command", ["hang", "chatter"])
def test_a_task_over_its_deadline_costs_its_host_and_no_other(
    two: Supervised, command: str
) -> None:
    first, second = two.wait_up(2)
    run_task(two, first, budget_ms=100)
    two.tell(first, command)
    lost = two.wait_lost(first)
    assert (lost.reason, lost.running) == (Death.WALL, RequestId(77))
    assert lost.script == Script(b"/srv/slow.lua")
    one_more(two, first, second)
    assert two.ask(second, "ping") == "ok"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("alarm",), Death.WALL),
        (("burn",), Death.CPU),
        (("attempt", "abort"), Death.ABORT),
        (("attempt", "crash"), Death.CRASH),
        (("attempt", "fork"), Death.SECCOMP),
        (("attempt", "exit"), Death.FAILED),
        (("stand still",), Death.SILENT),
    ],
)
def test_the_reason_of_a_death_is_told(
    two: Supervised, command: tuple[str, ...], reason: str
) -> None:
    first, second = two.wait_up(2)
    two.tell(first, *command)
    assert two.wait_lost(first).reason == reason
    one_more(two, first, second)


def test_kill_9_of_a_host_names_the_request_that_it_was_running(
    two: Supervised,
) -> None:
    first, second = two.wait_up(2)
    assert two.ask(first, "begin", "5", "/srv/a.lua", "1000") == "ok"
    assert two.ask(first, "end") == "ok"
    run_task(two, first)
    send(first.pid, signal.SIGKILL)
    lost = two.wait_lost(first)
    assert lost.running == RequestId(77)
    assert lost.begun == (RequestId(5), RequestId(77))
    assert lost.script == Script(b"/srv/slow.lua")
    assert lost.reason == Death.KILLED
    again = one_more(two, first, second)
    assert two.ask(again, "ping") == "ok"


def test_an_idle_host_dies_with_nothing_running(two: Supervised) -> None:
    first, _ = two.wait_up(2)
    send(first.pid, signal.SIGKILL)
    lost = two.wait_lost(first)
    assert (lost.running, lost.script) == (RequestId(0), Script(b""))


def test_the_last_words_of_a_host_are_in_the_log(two: Supervised) -> None:
    first, _ = two.wait_up(2)
    assert two.ask(first, "write", "unprotected error\n", "1") == "ok"
    two.ask(first, "attempt", "crash")
    two.wait_lost(first)
    until(lambda: "unprotected error" in two.log.read_text(), "the last words")


def test_a_host_that_floods_its_standard_error_lives_and_fills_no_log(
    two: Supervised,
) -> None:
    first, _ = two.wait_up(2)
    for _ in range(60):
        assert two.ask(first, "write", "x" * 1000, "40") == "ok"
    assert two.ask(first, "attempt", "abort") == ""
    assert two.wait_lost(first).reason == Death.ABORT
    assert len(two.log.read_text()) < 20_000


def test_the_broker_has_hosts_killed_and_recycled(two: Supervised) -> None:
    first, second = two.wait_up(2)
    two.send(Kill(first.host, "a forged reply"))
    lost = two.wait_lost(first)
    assert (lost.reason, lost.detail) == (Death.PROTOCOL, "a forged reply")
    two.send(Recycle(second.host, "memory"))
    assert two.wait_lost(second).reason == Death.STOPPED
    two.wait_up(2)


def test_a_host_that_is_never_ready_is_killed_and_tried_again() -> None:
    with supervised({"never-ready": "hosts = 1"}, "start_timeout = 2.0") as running:
        until(
            lambda: running.log.read_text().count("reason=start") >= 2,
            "two starts that were given up",
            running.log,
        )
        assert running.up() == []


def test_a_host_that_fails_at_its_start_leaves_its_traceback_in_the_log() -> None:
    with supervised({"fail": "hosts = 1"}) as running:
        until(lambda: "told to fail" in running.log.read_text(), "a traceback")
        assert running.up() == []


# ---- deaths of the others ---------------------------------------------------------


def test_kill_9_of_the_zygote_touches_no_host(two: Supervised) -> None:
    first, second = two.wait_up(2)
    zygote = two.zygote()
    send(zygote, signal.SIGKILL)
    until(lambda: two.zygote() != zygote, "another zygote")
    assert two.ask(first, "ping") == two.ask(second, "ping") == "ok"
    assert two.all_of(HostLost) == []
    send(first.pid, signal.SIGKILL)
    again = one_more(two, first, second)
    assert two.ask(again, "ping") == "ok"


def test_a_zygote_that_hangs_is_replaced() -> None:
    with supervised(ONE, "start_timeout = 3.0") as running:
        (first,) = running.wait_up(1)
        send(running.zygote(), signal.SIGSTOP)
        send(first.pid, signal.SIGKILL)
        again = one_more(running, first)
        assert running.ask(again, "ping") == "ok"
        log = running.log.read_text()
        assert "zygote has not answered for 3 s: killed\n" in log
        assert "zygote ended: killed by SIGKILL\n" in log


def test_kill_9_of_the_supervisor_leaves_no_process(two: Supervised) -> None:
    ups = two.wait_up(2)
    run_task(two, ups[0])
    two.tell(ups[0], "hang")
    family = [two.zygote(), *(up.pid for up in ups)]
    send(two.pid, signal.SIGKILL)
    until(lambda: not any(map(is_alive, family)), "the family to end")


def test_a_new_supervisor_clears_away_what_a_killed_one_left(two: Supervised) -> None:
    pids = [up.pid for up in two.wait_up(2)]
    send(two.pid, signal.SIGKILL)
    two.wait_end()
    until(lambda: not any(map(is_alive, pids)), "the hosts to end")
    assert len(list((two.run / "h").iterdir())) == 2
    assert len(list(two.run.glob("notices-*.sock"))) == 1
    rundir.sweep(two.run)
    assert list((two.run / "h").iterdir()) == []
    assert list(two.run.glob("notices-*.sock")) == []


def test_a_broker_that_returns_is_told_everything_again(two: Supervised) -> None:
    ups = two.wait_up(2)
    two.router.close()
    two.heard.clear()
    two.router = two.bind()
    again = two.wait_up(2)
    assert {up.host for up in again} == {up.host for up in ups}


def test_a_broker_that_returns_hears_which_hosts_died_meanwhile_and_of_what(
    two: Supervised,
) -> None:
    first, second = two.wait_up(2)
    run_task(two, first)
    two.router.close()
    two.heard.clear()
    # before it notices that, a word to the old broker would be lost with the connection
    until(lambda: "broker gone" in two.log.read_text(), "the loss is noticed")
    two.ask(first, "attempt", "crash")
    until(lambda: f"host={first.host} lost" in two.log.read_text(), "a death")
    two.router = two.bind()
    lost = two.wait_lost(first)
    assert (lost.reason, lost.script) == (Death.CRASH, Script(b"/srv/slow.lua"))
    assert second.host in {up.host for up in two.wait_up(2)}


def test_fronts_hear_of_a_lost_host_without_any_broker(two: Supervised) -> None:
    first, _ = two.wait_up(2)
    two.router.close()
    front: zmq.Socket[bytes] = two.context.socket(zmq.DEALER)
    try:
        front.linger = 0
        front.connect(first.notices)
        front.send(codec.encode(Hello(PROTOCOL, Role.FRONT, "f", Machine("box"))))
        assert front.poll(10_000)
        welcome = codec.decode(front.recv())
        assert welcome == Welcome(PROTOCOL, Role.SUPERVISOR, "box", 0)
        run_task(two, first)
        send(first.pid, signal.SIGKILL)
        assert front.poll(10_000)
        lost = codec.decode(front.recv())
        assert isinstance(lost, HostLost)
        assert (lost.host, lost.running) == (first.host, RequestId(77))
    finally:
        front.close()
        two.router = two.bind()


# ---- the end ---------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_drains_and_leaves_nothing_behind(
    two: Supervised, number: signal.Signals
) -> None:
    ups = two.wait_up(2)
    family = [two.zygote(), *(up.pid for up in ups)]
    send(two.pid, number)
    assert two.wait_end() == 0
    assert not any(map(is_alive, family))
    assert list((two.run / "h").iterdir()) == []
    assert {two.wait_lost(up).reason for up in ups} == {Death.STOPPED}


def test_what_does_not_stop_in_time_is_killed() -> None:
    with supervised(ONE, "stop_timeout = 0.5") as running:
        (up,) = running.wait_up(1)
        running.tell(up, "hang")
        send(running.pid, signal.SIGTERM)
        assert running.wait_end() == 0


def test_one_that_leaves_ends_when_the_broker_has_had_its_hosts_replaced(
    two: Supervised,
) -> None:
    ups = two.wait_up(2)
    send(two.pid, signal.SIGUSR2)
    until(
        lambda: any(report.is_leaving for report in two.all_of(MachineReport)),
        "the broker is told",
    )
    for up in ups:
        two.send(Recycle(up.host, "restart"))
        two.wait_lost(up)
    assert two.wait_end() == 0
    assert two.up() == []
    assert list(two.run.glob("notices-*.sock")) == []


def test_a_zygote_that_cannot_start_ends_the_supervisor_with_its_reason() -> None:
    missing = "tests.vmhost.supervisor.nothing"
    command = ("tests.vmhost.supervisor.runsupervisor", missing)
    with supervised(ONE, command=command) as running:
        assert running.wait_end() == 1
        log = running.log.read_text()
    assert f"No module named {missing}" in log
    assert "no VM host can be started" in log


# ---- leaks -----------------------------------------------------------------------


def fds_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_hosts_that_come_and_go_leak_no_fds_and_no_zombies() -> None:
    with supervised(ONE) as running:
        (up,) = running.wait_up(1)
        zygote = running.zygote()
        before: list[int] = []
        for turn in range(15):
            # a task to blame: the seat is filled again without a pause
            run_task(running, up)
            send(up.pid, signal.SIGKILL)
            running.wait_lost(up)
            (up,) = running.wait_up(1)
            if turn == 4:
                before = [fds_of(running.pid), fds_of(zygote)]
        assert [fds_of(running.pid), fds_of(zygote)] == before
        assert set(children_of(running.pid)) == {zygote, up.pid}
        stats = [p.read_text() for p in Path("/proc").glob("[0-9]*/stat")]
        zombies = [
            s
            for s in stats
            if s.rpartition(")")[2].split()[:2] == ["Z", str(running.pid)]
        ]
        assert zombies == []


# ---- users -----------------------------------------------------------------------


@needs_root
def test_a_supervisor_that_gives_up_root_still_gives_hosts_a_uid_of_their_own() -> None:
    with supervised(
        ONE,
        'uid_range = "70000-70009"',
        '[security]\nuser = "nobody"',
        owner=NOBODY,
    ) as running:
        (up,) = running.wait_up(1)
        assert "Uid:\t65534" in Path(f"/proc/{running.pid}/status").read_text()
        assert "Uid:\t70000\t70000\t70000" in Path(f"/proc/{up.pid}/status").read_text()
        assert up.missing == ()
        run_task(running, up, budget_ms=300)
        running.tell(up, "hang")
        assert running.wait_lost(up).reason == Death.WALL


def test_an_ordinary_user_runs_a_farm_and_is_told_what_is_missing() -> None:
    with supervised(ONE, as_nobody=True) as running:
        (up,) = running.wait_up(1)
        assert running.ask(up, "ping") == "ok"
        assert [text.partition(":")[0] for text in up.missing] == ["uid"]
        assert "sandbox lacks uid: started without root" in running.log.read_text()


def test_a_required_layer_that_cannot_be_had_ends_as_a_wrong_configuration() -> None:
    pools = {"main": 'hosts = 1\nrequire_layers = ["seccomp", "uid"]'}
    with supervised(pools, as_nobody=True) as running:
        assert running.wait_end() == 2
        log = running.log.read_text()
    assert log.count("[pool.main] require_layers names what cannot be had here") == 1
    assert "uid: started without root" in log
