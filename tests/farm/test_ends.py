"""Standard descriptors that are closed, full or read by nobody: served anyway."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import luafarm
from bench import daemon
from luafarm.config.settings import Security
from luafarm.process import privileges
from tests.farm.client import ask
from tests.farm.farms import LUAFARM, directory, hosts_of, kill, until, up

pytestmark = pytest.mark.process

SCRIPT = "function main(env, con) con:puts('served') end"
CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as made:
        (made / "www").mkdir()
        (made / "www/a.lua").write_text(SCRIPT)
        (made / "c.toml").write_text(
            f'[paths]\nrun = "{made}/run"\n'
            f'[front]\nlisten = ["unix:{made}/f.sock"]\n'
            f'[pool.web]\nroot = ["{made}/www"]\nhosts = 1\n'
            f'[log]\nfile = "{made}/log"\n'
        )
        yield made


def shell(place: Path, redirected: str, *command: str) -> "subprocess.Popen[bytes]":
    """Start a command with what a shell redirects."""
    words = [*LUAFARM, command[0], "--config", str(place / "c.toml"), *command[1:]]
    return subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    """Return the exit code and what is on its standard error, when it has ended."""
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors.decode()


def answers(place: Path) -> bool:
    """Say whether the farm runs the script."""
    socket = str(place / "f.sock")
    if not daemon.accepts(socket):
        return False
    return ask(socket, place / "www/a.lua").body == b"served"


@pytest.mark.parametrize(
    "redirected", [*CLOSED, ">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full"]
)
def test_a_farm_serves_whatever_its_standard_descriptors_are(
    place: Path, redirected: str
) -> None:
    farm = shell(place, redirected, "up")
    try:
        until(lambda: answers(place), "it serves")
        log = place / "log"
        if ">/dev/full" in redirected.replace("2>/dev/full", ""):
            said = "the greeting could not be printed: standard output: No space left"
            until(lambda: said in log.read_text(), "it says so")
    finally:
        farm.send_signal(signal.SIGTERM)
        code, errors = ended(farm)
    assert (code, errors) == (0, "")
    assert "Traceback" not in (place / "log").read_text()


def test_a_farm_whose_greeting_nobody_reads_serves(place: Path) -> None:
    farm = shell(place, "", "up")
    assert farm.stdout is not None
    assert farm.stderr is not None
    farm.stdout.close()
    farm.stderr.close()
    try:
        log = place / "log"
        until(lambda: answers(place), "it serves")
        until(lambda: "Broken pipe" in log.read_text(), "it says so")
        until(lambda: answers(place), "it serves still")
    finally:
        farm.send_signal(signal.SIGTERM)
        assert farm.wait(120) == 0
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("redirected", CLOSED)
@pytest.mark.parametrize("role", ["broker", "vmhost", "fcgi"])
def test_each_role_runs_without_standard_descriptors(
    place: Path, role: str, redirected: str
) -> None:
    process = shell(place, redirected, role)
    made = {"broker": "broker.sock", "vmhost": "vmhost-", "fcgi": "f.sock"}[role]

    def is_there() -> bool:
        names = [*place.iterdir(), *(place / "run").iterdir()]
        return any(path.name.startswith(made) for path in names)

    try:
        until(lambda: (place / "run").exists() and is_there(), "it runs")
        for fd in range(3):
            found = Path(f"/proc/{process.pid}/fd/{fd}").stat()
            assert not stat.S_ISSOCK(found.st_mode)
    finally:
        process.send_signal(signal.SIGTERM)
        code, errors = ended(process)
    assert "Traceback" not in errors
    assert code in {0, -signal.SIGTERM, 143}, errors


FULL = "luafarm: standard output: No space left on device\n"


@pytest.mark.parametrize("command", ["config", "--help", "--version"])
def test_a_command_that_cannot_print_says_so_in_a_line(command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >/dev/full', "sh", *LUAFARM, command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (1, FULL)


def test_a_status_for_nobody_ends_quietly_and_one_that_is_lost_does_not() -> None:
    with up(hosts=1, files={"a.lua": SCRIPT}) as farm:
        until(lambda: len(hosts_of(farm)) == 1, "it serves")
        config = ["--config", str(farm.config)]
        codes = []
        for redirected in (">/dev/full", "2>&- >&- <&-"):
            for what in (["status"], ["status", "--json"]):
                done = subprocess.run(
                    ["sh", "-c", f'"$@" {redirected}', "sh", *LUAFARM, *what, *config],
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=120,
                )
                codes.append((done.returncode, done.stderr))
        assert codes == [(1, FULL), (1, FULL), (0, ""), (0, "")]
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [*LUAFARM, "status", *config],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("what", ["run", "check"])
def test_a_reply_that_cannot_be_printed_ends_the_command(
    place: Path, what: str
) -> None:
    script = str(place / "www/a.lua")
    full = shell(place, ">/dev/full", what, script)
    assert ended(full) == (1, FULL)
    gone = shell(place, "", what, script)
    assert gone.stdout is not None
    assert gone.stderr is not None
    gone.stdout.close()
    assert (gone.wait(120), gone.stderr.read()) == (141, b"")
    gone.stderr.close()
    closed = shell(place, "<&- >&- 2>&-", what, script)
    assert ended(closed) == (0, "")


def test_the_body_of_a_run_without_standard_input_is_empty(place: Path) -> None:
    script = str(place / "www/a.lua")
    run = shell(place, "<&-", "run", script, "--data", "-")
    assert ended(run) == (0, "")


@pytest.mark.parametrize("data", ["@/dev/zero", "-"])
def test_a_body_without_an_end_is_refused(place: Path, data: str) -> None:
    script = str(place / "www/a.lua")
    sets = ["--set", "front.max_body=1MiB"]
    run = shell(place, "</dev/zero", "run", script, "--data", data, *sets)
    output, _ = run.communicate(timeout=120)
    assert output.startswith(b"Status: 413 ")
    assert run.returncode == 1


def test_what_cannot_be_recorded_ends_the_broker_as_wrongly_configured(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUAFARM_RECORD", str(place / "none/trace"))
    code, errors = ended(shell(place, "", "broker"))
    assert code == 2
    assert errors == (
        f"luafarm: configuration: LUAFARM_RECORD={place}/none/trace: "
        "No such file or directory\n"
    )


def test_a_zygote_whose_supervisor_dies_ends_without_a_word() -> None:
    with up(hosts=2, files={"a.lua": SCRIPT}) as farm:
        for _ in range(3):
            supervisor = farm.one("luafarm-supervisor")
            kill(supervisor)
            until(
                lambda old=supervisor: (  # type: ignore[misc]
                    farm.titled("luafarm-supervisor") not in ([], [old])
                    and len(hosts_of(farm)) == 2
                ),
                "the hosts are back",
            )
        assert "Traceback" not in farm.log()


def nobody_reads() -> bool:
    """Say whether the user without rights can read this Python and luafarm."""
    ours = [Path(sys.executable), Path(os.__file__), Path(luafarm.__file__)]
    return privileges.first_unreadable(Security(user="nobody"), ours) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")
@pytest.mark.skipif(not nobody_reads(), reason="nobody else can read this Python")
def test_a_log_that_is_rotated_as_root_is_gone_on_with_after_root_is_given_up() -> None:
    with directory() as logs:
        file = logs / "luafarm.log"
        settings = f'[security]\nuser = "nobody"\n[log]\nfile = "{file}"\n'
        with up(settings, hosts=1, files={"a.lua": SCRIPT}) as farm:
            old = logs / "luafarm.log.1"
            file.rename(old)
            file.touch(0o640)  # as `create 0640 root root` of logrotate
            kill(farm.daemons["up"].pid, signal.SIGUSR1)

            def is_everywhere() -> bool:
                front = farm.one("luafarm-front")
                broker = farm.one("luafarm-broker")
                supervisor = farm.one("luafarm-supervisor")
                return all(
                    any(
                        fd.samefile(file)
                        for fd in Path(f"/proc/{pid}/fd").iterdir()
                        if fd.exists()
                    )
                    for pid in (front, broker, supervisor, farm.daemons["up"].pid)
                )

            until(is_everywhere, "all write to the new file")
            assert "not reopened" not in old.read_text() + file.read_text()
