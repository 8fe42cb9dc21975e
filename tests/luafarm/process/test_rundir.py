"""The run directory: private, owned, and with one process of a role at a time."""

import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from luafarm.config.settings import Broker, Paths, Settings
from luafarm.errors import SettingsError
from luafarm.process import rundir
from tests.luafarm import farms
from tests.vmhost.supervisor.supervised import environment, python_for_all


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a directory with a short name, since paths of sockets are limited."""
    with farms.directory() as place:
        yield place


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        run = rundir.prepare(Paths(run=str(tmp_path / "a" / "run")))
    finally:
        os.umask(old)
    for directory in (run, run / "h"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_strict_umask_does_not_lock_it(tmp_path: Path) -> None:
    old = os.umask(0o777)
    try:
        run = rundir.prepare(Paths(run=str(tmp_path / "run")))
    finally:
        os.umask(old)
    assert stat.S_IMODE(run.stat().st_mode) == 0o700


def test_it_is_used_again(tmp_path: Path) -> None:
    paths = Paths(run=str(tmp_path / "run"))
    assert rundir.prepare(paths) == rundir.prepare(paths) == tmp_path / "run"


def test_one_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    (tmp_path / "run").chmod(0o755)
    with pytest.raises(SettingsError, match=r"has mode 0755; others must not enter"):
        rundir.prepare(Paths(run=str(tmp_path / "run")))


def test_a_symlink_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(SettingsError, match="is no directory"):
        rundir.prepare(Paths(run=str(tmp_path / "run")))


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(SettingsError, match="is no directory"):
        rundir.prepare(Paths(run=str(tmp_path / "run")))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_one_of_another_user_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    os.chown(run, 4711, -1)
    with pytest.raises(SettingsError, match="belongs to uid 4711"):
        rundir.prepare(Paths(run=str(run)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_makes_it_for_the_user_that_the_farm_becomes(tmp_path: Path) -> None:
    run = rundir.prepare(Paths(run=str(tmp_path / "run")), "nobody")
    assert run.stat().st_uid == (run / "h").stat().st_uid != 0
    assert rundir.prepare(Paths(run=str(run)), "nobody") == run


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_one_that_root_has_used_is_given_to_the_user(tmp_path: Path) -> None:
    run = rundir.prepare(Paths(run=str(tmp_path / "run")))
    rundir.Claim(run, "broker").release()
    (run / "broker.term").write_text("7\n")
    (run / "empty").mkdir()
    rundir.prepare(Paths(run=str(run)), "nobody")
    uid = pwd.getpwnam("nobody").pw_uid
    assert {p.stat().st_uid for p in (run, *run.iterdir())} == {uid}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_of_root_with_other_things_in_it_is_not_given_away(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    (run / "letters").write_text("")
    reason = r"run belongs to root and holds letters, .* not given to nobody"
    with pytest.raises(SettingsError, match=reason):
        rundir.prepare(Paths(run=str(run)), "nobody")
    assert run.stat().st_uid == (run / "letters").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_nothing_else_is_given_away_through_a_link_of_the_user(tmp_path: Path) -> None:
    run = rundir.prepare(Paths(run=str(tmp_path / "run")), "nobody")
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (run / "h").rmdir()
    (run / "h").symlink_to(other)
    with pytest.raises(SettingsError, match="h is no directory"):
        rundir.prepare(Paths(run=str(run)), "nobody")
    assert other.stat().st_uid == 0


def test_one_that_others_may_exchange_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s").chmod(0o777)
    with pytest.raises(SettingsError, match="s may be written by others"):
        rundir.prepare(Paths(run=str(tmp_path / "s" / "r")))
    (tmp_path / "s").chmod(0o1777)
    rundir.prepare(Paths(run=str(tmp_path / "s" / "r")))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_one_in_the_directory_of_a_stranger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 4711, -1)
    with pytest.raises(SettingsError, match="theirs belongs to uid 4711"):
        rundir.prepare(Paths(run=str(tmp_path / "theirs" / "run")))


@pytest.mark.parametrize("trap", ["symlink", "hard link", "pipe"])
def test_a_claim_writes_to_no_file_but_its_own(tmp_path: Path, trap: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place = tmp_path / "farm.pid"
    match trap:
        case "symlink":
            place.symlink_to(victim)
        case "hard link":
            place.hardlink_to(victim)
        case _:
            os.mkfifo(place)
    with pytest.raises(SettingsError, match=r"farm\.pid: "):
        rundir.Claim(tmp_path, "farm")
    assert victim.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'user = "nosuchuser": no such user'):
        rundir.prepare(Paths(run=str(tmp_path / "run")), "nosuchuser")


def test_one_that_is_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="too long for its sockets"):
        rundir.prepare(Paths(run=str(tmp_path / ("x" * 90))))


def test_its_place_follows_the_user(tmp_path: Path) -> None:
    assert rundir.default(0, str(tmp_path)) == Path("/run/luafarm")
    assert rundir.default(1000, str(tmp_path)) == tmp_path / "luafarm"
    assert rundir.default(1000, "/no/such/directory").name == "luafarm-1000"
    assert rundir.default(1000, "").name == "luafarm-1000"


def test_endpoints_lie_in_it(tmp_path: Path) -> None:
    settings = Settings(paths=Paths(run=str(tmp_path)))
    assert rundir.broker_endpoint(settings) == f"ipc://{tmp_path}/broker.sock"
    assert rundir.host_endpoint(tmp_path, "m1") == f"ipc://{tmp_path}/h/m1.sock"
    notices = rundir.notices_endpoint(tmp_path, 0xFACE)
    assert notices == f"ipc://{tmp_path}/notices-000000000000face.sock"


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_nobody_speaks_to_a_stranger_where_his_own_farm_would_be() -> None:
    program = (
        "from luafarm.process import rundir\n"
        "from luafarm.config.settings import Settings\n"
        "print(rundir.broker_endpoint(Settings()))\n"
    )
    home = Path(tempfile.mkdtemp(prefix="lf-"))
    home.chmod(0o1777)
    trap = home / "luafarm-65534"

    def ask() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [python_for_all(), "-P", "-c", program],
            env={**environment(), "TMPDIR": str(home), "XDG_RUNTIME_DIR": ""},
            user=65534,
            group=65534,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    try:
        assert ask().stdout == f"ipc://{trap}/broker.sock\n"  # not there yet
        trap.mkdir(mode=0o700)
        os.chown(trap, 4711, -1)
        assert "belongs to uid 4711, not to nobody; give this farm" in ask().stderr
        trap.rmdir()
        trap.symlink_to("/")
        assert "is no directory" in ask().stderr
    finally:
        shutil.rmtree(home)


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_in_a_user_namespace_the_way_may_be_of_somebody_outside() -> None:
    """Root of the machine is nobody there that the namespace knows."""
    home = Path(tempfile.mkdtemp(prefix="lf-"))
    os.chown(home, 65534, 65534)
    program = (
        "import os\n"
        "from luafarm.process import rundir\n"
        "from luafarm.config.settings import Paths\n"
        "print(os.stat('/').st_uid, os.geteuid())\n"
        f"print(rundir.prepare(Paths(run='{home}/run')))\n"
    )
    try:
        done = subprocess.run(
            ["unshare", "-U", "-r", python_for_all(), "-P", "-c", program],
            env=environment(),
            user=65534,
            group=65534,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(home)
    if "unshare" in done.stderr:
        pytest.skip("no user namespaces for ordinary users")
    assert done.stdout == f"65534 0\n{home}/run\n", done.stderr


def test_a_configured_broker_wins() -> None:
    settings = Settings(broker=Broker(endpoint="tcp://127.0.0.1:1"))
    assert rundir.broker_endpoint(settings) == "tcp://127.0.0.1:1"


def test_a_second_process_of_a_role_is_refused_with_the_first_ones_pid(
    tmp_path: Path,
) -> None:
    claim = rundir.Claim(tmp_path, "broker")
    reason = rf"a broker already runs there \(process {os.getpid()}\)"
    with pytest.raises(SettingsError, match=reason):
        rundir.Claim(tmp_path, "broker")
    rundir.Claim(tmp_path, "supervisor").release()
    claim.release()
    rundir.Claim(tmp_path, "broker").release()


def test_who_may_wait_gets_a_claim_as_soon_as_it_is_free(tmp_path: Path) -> None:
    claim = rundir.Claim(tmp_path, "broker")
    waits = 0

    def wait() -> bool:
        nonlocal waits
        waits += 1
        if waits == 3:
            claim.release()
        return True

    later = rundir.Claim(tmp_path, "broker", later=True)
    later.wait(wait)
    assert waits == 3
    later.release()


def test_who_waits_for_a_claim_reads_what_was_noted_of_the_other(
    tmp_path: Path,
) -> None:
    claim = rundir.Claim(tmp_path, "broker")
    later = rundir.Claim(tmp_path, "broker", later=True)
    assert later.noted() == ""
    claim.note("tcp://127.0.0.1:4711")
    assert later.noted() == "tcp://127.0.0.1:4711"
    with pytest.raises(SettingsError, match=rf"\(process {os.getpid()}\)"):
        rundir.Claim(tmp_path, "broker")
    claim.release()
    later.wait(lambda: False)
    assert later.noted() == ""
    later.release()


def test_who_waits_no_more_is_refused(tmp_path: Path) -> None:
    claim = rundir.Claim(tmp_path, "broker")
    with pytest.raises(SettingsError, match="a broker already runs there"):
        rundir.Claim(tmp_path, "broker", later=True).wait(lambda: False)
    claim.release()


@pytest.mark.process
def test_the_claim_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from luafarm.process import rundir\n"
        f"claim = rundir.Claim(Path({str(tmp_path)!r}), 'broker')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    home = str(Path(rundir.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": home}, check=False
    )
    assert done.returncode == -9
    rundir.Claim(tmp_path, "broker").release()


def listening(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


def test_sweeping_removes_what_nobody_listens_on() -> None:
    with tempfile.TemporaryDirectory(prefix="lf") as name:
        run = Path(name)
        (run / "h").mkdir()
        alive = [listening(run / n) for n in ("h/alive.sock", "notices-1.sock")]
        dead = [listening(run / n) for n in ("h/dead.sock", "notices-2.sock", "x.sock")]
        for sock in dead:
            sock.close()
        (run / "h" / "note.txt").write_text("not a socket")
        rundir.sweep(run)
        left = {str(path.relative_to(run)) for path in run.rglob("*.*")}
        assert left == {"h/alive.sock", "h/note.txt", "notices-1.sock", "x.sock"}
        for sock in alive:
            sock.close()
