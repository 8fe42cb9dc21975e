"""What each process of a whole farm may do, as the kernel says while it serves."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench import procfs
from luafarm.names import LAYERS
from tests.vmhost.supervisor.supervised import (
    NOBODY,
    environment,
    needs_root,
    python_for_all,
    until,
)
from vmhost.supervisor.rights import KEPT

pytestmark = pytest.mark.process

PROGRAM = "import sys; from luafarm.command.cli import main; sys.exit(main())"
ROLES = ("luafarm-front", "luafarm-broker", "luafarm-supervisor", "luafarm-zygote")
HOST = "luafarm-vmhost"
HERE = Path(__file__).parents[3]


@dataclass
class Process:
    """One process of a farm: its title, and what /proc/PID/status says."""

    title: str
    status: dict[str, str]

    def mask(self, name: str) -> int:
        return int(self.status[name], 16)

    @property
    def uids(self) -> set[int]:
        return {int(word) for word in self.status["Uid"].split()}


@dataclass
class Farm:
    """A farm that serves."""

    command: list[str]
    uid: int | None
    pid: int

    def ask(self) -> dict[str, Any]:
        """Return what `luafarm status --json` says; nothing while it cannot."""
        asked = subprocess.run(
            [*self.command[:4], "status", "--json", *self.command[5:]],
            env=setting(),
            user=self.uid,
            capture_output=True,
            cwd="/",
            check=False,
        )
        told: dict[str, Any] = json.loads(asked.stdout) if not asked.returncode else {}
        return told

    @property
    def is_complete(self) -> bool:
        """Whether a host serves and each role has the title by which it is found."""
        hosts = self.ask().get("hosts")
        return bool(hosts) and {*ROLES, HOST} <= self.processes().keys()

    def processes(self) -> dict[str, Process]:
        """Return its processes by title; of the hosts, one."""
        found: dict[str, Process] = {}
        for pid in procfs.tree(self.pid):
            title = procfs.title(pid)
            with suppress(OSError):  # it has ended since
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                pairs = [line.partition(":") for line in lines]
                status = {key: value.strip() for key, _, value in pairs}
                name = HOST if title.startswith(HOST) else title
                found[name] = Process(name, status)
        return found


def setting() -> dict[str, str]:
    found = environment()
    return {**found, "PYTHONPATH": f"{HERE}:{found['PYTHONPATH']}"}


@contextmanager
def farm(uid: int | None, *more: str, is_used_by_root: bool = False) -> Iterator[Farm]:
    """Run `luafarm up` by this uid; wait until all its roles are there.

    is_used_by_root: its run directory is one that root has used alone before.
    """
    with tempfile.TemporaryDirectory(prefix="lf", ignore_cleanup_errors=True) as name:
        home = Path(name)
        home.chmod(0o755)
        root = home / "root"
        root.mkdir()
        config = home / "luafarm.toml"
        config.write_text(
            f'[paths]\nrun = "{home}/run/r"\n[vmhost]\nmachine = "m"\n'
            f'[pool.main]\nroot = "{root}"\nhosts = 1\n' + "\n".join(more)
        )
        (home / "run").mkdir()
        (home / "run").chmod(0o1777)
        if is_used_by_root:
            for directory in ("r", "r/h", "r/empty"):
                (home / "run" / directory).mkdir(mode=0o700)
            for file in ("broker.pid", "vmhost-m.pid", "farm.pid", "broker.term"):
                (home / "run" / "r" / file).write_text("7\n")
                (home / "run" / "r" / file).chmod(0o600)
        command = [python_for_all(), "-P", "-c", PROGRAM, "up", "--config", str(config)]
        listener = f"--listen=unix:{home}/run/front.sock"
        log = home / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*command, listener],
                env=setting(),
                user=uid,
                group=uid,
                extra_groups=None if uid is None else [],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd="/",
                start_new_session=True,
            )
        running = Farm(command, uid, process.pid)
        try:
            until(lambda: running.is_complete, "all roles and a host that serves", log)
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@needs_root
def test_started_as_root_every_process_gives_up_what_it_does_not_need() -> None:
    with farm(None, '[security]\nuser = "nobody"') as running:
        processes = running.processes()
        layers = running.ask()["hosts"][0]["layers"]
    for title in ("luafarm-front", "luafarm-broker"):
        process = processes[title]
        assert process.uids == {NOBODY}
        assert process.status["NoNewPrivs"] == "1"
        for held in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
            assert process.mask(held) == 0, (title, held)
    kept = sum(1 << capability for capability in KEPT)
    for title in ("luafarm-supervisor", "luafarm-zygote"):
        process = processes[title]
        assert process.uids == {NOBODY}
        assert process.mask("CapPrm") & ~kept == 0
        assert process.mask("CapBnd") & ~kept == 0
    host = processes[HOST]
    assert host.uids.isdisjoint({0, NOBODY})
    assert layers == list(LAYERS)
    _check_host(host)


@needs_root
def test_a_run_directory_of_root_is_given_to_the_user_of_the_farm() -> None:
    user = '[security]\nuser = "nobody"'
    with farm(None, user, is_used_by_root=True) as running:
        assert running.processes()["luafarm-broker"].uids == {NOBODY}


@needs_root
def test_a_farm_that_gives_up_root_serves_in_the_run_directory_that_root_has() -> None:
    # a /run of its own, so that no farm of this machine is met there
    with tempfile.TemporaryDirectory(prefix="lf", ignore_cleanup_errors=True) as name:
        command, log = configured(Path(name), ""), Path(name) / "log"
        apart = ["unshare", "--mount", "sh", "-c"]
        own = 'mount -t tmpfs none /run && exec "$@"'
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*apart, own, "sh", *command],
                env=setting(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd="/",
                start_new_session=True,
            )
        try:

            def is_decided() -> bool:
                said = "Ctrl-C finishes" in log.read_text()
                return said or process.poll() is not None

            until(is_decided, "the greeting", log)
            if "unshare:" in log.read_text() or "mount:" in log.read_text():
                pytest.skip("no mount namespaces here")
            assert process.poll() is None, log.read_text()
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def configured(home: Path, run: str) -> list[str]:
    """Return the command of a farm whose roles become nobody."""
    home.chmod(0o755)
    (home / "root").mkdir(mode=0o755)
    config = home / "luafarm.toml"
    config.write_text(
        f'[paths]\nrun = "{run}"\n[security]\nuser = "nobody"\n'
        f'[pool.main]\nroot = "{home}/root"\nhosts = 1\n'
    )
    listener = f"--listen=unix:{home}/front.sock"
    python = [python_for_all(), "-P", "-c", PROGRAM]
    return [*python, "up", "--config", str(config), listener]


def refused(command: list[str]) -> str:
    """Return the one line with which a command says that it is configured wrongly."""
    ended = subprocess.run(
        command,
        env=setting(),
        capture_output=True,
        cwd="/",
        timeout=120,
        check=False,
        text=True,
    )
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    return line


@needs_root
def test_a_root_that_the_user_cannot_read_is_refused_at_the_start() -> None:
    with tempfile.TemporaryDirectory(prefix="lf") as name:
        command = configured(Path(name), f"{name}/r")
        (Path(name) / "root").chmod(0o700)
        line = refused(command)
    assert f'[pool.main] root = ["{name}/root"]: {name}/root cannot be read' in line
    assert "by nobody, [security] user" in line


@needs_root
def test_a_python_that_the_user_cannot_run_is_refused_at_the_start() -> None:
    with tempfile.TemporaryDirectory(prefix="lf") as name:
        command = configured(Path(name), f"{name}/r")
        closed = Path(name) / "closed"
        closed.mkdir(mode=0o700)
        (closed / "python").symlink_to(command[0])
        line = refused([str(closed / "python"), *command[1:]])
    assert f'[security] user = "nobody": it cannot read {closed}/python, which' in line


@needs_root
def test_roles_that_gave_up_root_go_on_in_a_new_log_file() -> None:
    with tempfile.TemporaryDirectory(prefix="lf") as name:
        log = Path(name) / "farm.log"  # nobody may only look into the directory
        Path(name).chmod(0o755)
        user = '[security]\nuser = "nobody"'
        with farm(None, user, f'[log]\nfile = "{log}"\nlevel = "debug"') as running:
            before = log.rename(Path(name) / "farm.log.1")
            os.kill(running.pid, signal.SIGUSR1)
            until(log.exists, "a new log file")
        # all of them have something to say when they stop
        said = log.read_text()
        for title in ("luafarm-front", "luafarm-supervisor"):
            assert f"{title} info stopping" in said, said
        assert "not reopened" not in before.read_text()


def test_started_by_an_ordinary_user_no_process_has_any_privilege() -> None:
    uid = NOBODY if os.geteuid() == 0 else None
    with farm(uid) as running:
        processes = running.processes()
        status = running.ask()["hosts"][0]
    own = NOBODY if uid is not None else os.geteuid()
    for title in (*ROLES, HOST):
        assert processes[title].uids == {own}
        assert processes[title].mask("CapEff") == 0
    _check_host(processes[HOST])
    missing = [sentence.partition(":")[0] for sentence in status["missing"]]
    assert "uid" in missing
    assert {"seccomp", "no_new_privs"} <= set(status["layers"])
    assert set(status["layers"]) | set(missing) == set(LAYERS)


def _check_host(host: Process) -> None:
    assert host.status["NoNewPrivs"] == "1"
    assert host.status["Seccomp"] == "2"
    for held in ("CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd"):
        assert host.mask(held) == 0, held


def test_a_pool_is_not_served_without_the_layers_that_it_requires() -> None:
    uid = NOBODY if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="lf", ignore_cleanup_errors=True) as name:
        home = Path(name)
        home.chmod(0o1777)
        config = home / "luafarm.toml"
        config.write_text(
            f'[paths]\nrun = "{home}/r"\n'
            f'[pool.main]\nroot = "/"\nhosts = 1\nrequire_layers = ["uid"]\n'
        )
        ended = subprocess.run(
            [python_for_all(), "-P", "-m", "vmhost", "--config", str(config)],
            env=setting(),
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            capture_output=True,
            cwd="/",
            timeout=120,
            check=False,
        )
    assert ended.returncode == 2
    said = ended.stderr.decode()
    assert "pool=main is not served: [pool.main] require_layers names what" in said
    assert "uid: started without root: shares uid" in said
