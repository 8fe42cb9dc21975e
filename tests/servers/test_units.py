"""The systemd units: their syntax, and that their commands make a farm."""

import contextlib
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import daemon
from luafarm.config.settings import Front
from luafarm.process import pulse
from tests.servers import farm, nginx
from tests.servers.client import ask
from tests.servers.conftest import INSTALL
from tests.servers.server import SHIPPED, Application

pytestmark = pytest.mark.process

UNITS = SHIPPED / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
PROGRAM = "/opt/luafarm/bin/luafarm"
CONFIGURATION = "/etc/luafarm/luafarm.toml"


def values(unit: Path, name: str) -> list[str]:
    """Read every value of a directive."""
    lines = unit.read_text().splitlines()
    return [
        line.removeprefix(f"{name}=") for line in lines if line.startswith(f"{name}=")
    ]


@pytest.fixture
def place() -> Iterator[Path]:
    with farm.directory() as made:
        yield made


def test_systemd_finds_no_fault_in_the_units(place: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in [*SERVICES, *UNITS.glob("*.socket")]:
        text = unit.read_text().replace(PROGRAM, "/bin/true")
        (place / unit.name).write_text(text)
    units = [f"./{path.name}" for path in sorted(place.iterdir())]
    done = subprocess.run(
        ["systemd-analyze", "verify", *units],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_wrong_settings_are_not_tried_again_and_again() -> None:
    for unit in SERVICES:
        assert values(unit, "RestartPreventExitStatus") == ["2"], unit.name


def test_the_roles_of_one_machine_meet_in_one_directory() -> None:
    for unit in SERVICES:
        assert "LUAFARM_PATHS__RUN=/run/luafarm" in values(unit, "Environment")


def test_a_log_file_may_be_written_under_every_unit() -> None:
    for unit in SERVICES:
        made = values(unit, "LogsDirectory") == ["luafarm"]
        let_in = "-/var/log/luafarm" in values(unit, "ReadWritePaths")
        assert made != let_in, unit.name
        # the directory of whoever is no root must not become root's
        assert made or unit.name == "luafarm-vmhost.service"


def test_only_the_parent_is_told_to_stop_and_tells_its_children() -> None:
    for unit in SERVICES:
        assert values(unit, "KillMode") == ["mixed"], unit.name


def test_systemd_is_told_by_what_it_started_and_nobody_else() -> None:
    for unit in SERVICES:
        assert values(unit, "Type") == ["notify"], unit.name
        assert values(unit, "NotifyAccess") == ["main"], unit.name


def test_a_service_that_hangs_is_killed_and_started_again() -> None:
    for unit in SERVICES:
        # what is stopped takes no other signal, and would live for TimeoutStopSec
        assert values(unit, "WatchdogSignal") == ["SIGKILL"], unit.name
        assert values(unit, "Restart") == ["on-failure"], unit.name
        (limit,) = values(unit, "WatchdogSec")
        assert float(limit) >= 2 * pulse.EVERY_S, unit.name


def test_every_service_takes_new_settings_and_new_code_without_an_end() -> None:
    for unit in SERVICES:
        assert values(unit, "ExecReload") == ["/bin/kill -HUP $MAINPID"], unit.name


def test_every_connection_of_a_front_may_be_open() -> None:
    for unit in SERVICES:
        (files,) = values(unit, "LimitNOFILE")
        assert int(files) >= 4 * Front().max_connections, unit.name


def test_nothing_is_taken_that_the_sandbox_of_vm_hosts_is_made_of() -> None:
    for name in ("luafarm.service", "luafarm-vmhost.service"):
        unit = UNITS / name
        for directive in (
            *("RestrictNamespaces", "PrivateUsers", "SystemCallFilter"),
            *("ProtectProc", "ProtectHostname", "MemoryDenyWriteExecute"),
        ):
            assert values(unit, directive) == [], (name, directive)


def test_the_commands_of_the_split_units_make_a_farm(place: Path) -> None:
    """Play systemd's part: the socket on fd 0, and the environment."""
    absent = nginx.missing()
    if absent:
        pytest.skip(f"{absent}: {INSTALL}")
    root, path = place / "root", place / "front.sock"
    shutil.copytree(farm.SCRIPTS, root)
    configuration = place / "luafarm.toml"
    configuration.write_text(f'[pool.test]\nroot = ["{root}"]\nhosts = 2\n')
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(16)
        started: list[daemon.Daemon] = []
        for role in ("broker", "vmhost", "fcgi"):
            unit = UNITS / f"luafarm-{role}.service"
            (line,) = values(unit, "ExecStart")
            command = shlex.split(line.replace(CONFIGURATION, str(configuration)))
            assert command[:2] == [PROGRAM, role]
            takes_socket = values(unit, "StandardInput") == ["socket"]
            process = daemon.running(
                [sys.executable, "-m", "luafarm", *command[1:]],
                place / f"{role}.log",
                {"LUAFARM_PATHS__RUN": str(place / "run")},
                listener.fileno() if takes_socket else subprocess.DEVNULL,
            )
            started.append(stack.enter_context(process))
        web = stack.enter_context(nginx.serve(place, Application(path, 0, root)))
        started[-1].wait_until(
            lambda: ask(web.port, "/hello.lua").body == b"Hello World",
            "the farm answers through nginx",
        )
