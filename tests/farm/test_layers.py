"""Which layers of the sandbox hold, as `luafarm status` prints it: root or not."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import daemon, procfs
from tests.farm.client import ask
from tests.farm.farms import directory, until

pytestmark = pytest.mark.process

NOBODY = 65534
AS_NOBODY = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=-all",
)
ALWAYS = ("fds", "rlimits", "no_new_privs", "undumpable", "pdeathsig", "seccomp")
"""Layers that hold on every Linux that luafarm runs on, for everybody."""

HELLO = "function main(env, con) con:puts('hello') end"


@dataclass(frozen=True, slots=True)
class Printed:
    """A farm's status in 80 columns, and what /proc says of its VM hosts."""

    text: str
    uids: set[int]
    filters: set[int]


@contextlib.contextmanager
def _status(luafarm: Sequence[str], environment: dict[str, str]) -> Iterator[Printed]:
    with directory() as place:
        root = place / "root"
        root.mkdir()
        (root / "hello.lua").write_text(HELLO)
        if luafarm[0] == AS_NOBODY[0]:
            os.chown(place, NOBODY, NOBODY)
        config = place / "luafarm.toml"
        config.write_text(
            f'[paths]\nrun = "{place}/run"\n[pool.web]\nroot = ["{root}"]\nhosts = 2\n'
        )
        socket = str(place / "front.sock")
        command = [
            *luafarm,
            "up",
            "--config",
            str(config),
            "--listen",
            f"unix:{socket}",
        ]
        with daemon.running(command, place / "up.log", environment) as up:
            up.wait_until(lambda: daemon.accepts(socket), "the front listens")
            until(lambda: ask(socket, root / "hello.lua").body == b"hello", "it serves")

            def text() -> str:
                asked = [*luafarm, "status", "--config", str(config)]
                variables = {**os.environ, **environment, "COLUMNS": "80"}
                done = subprocess.run(
                    asked, capture_output=True, text=True, env=variables, check=False
                )
                assert done.returncode == 0, done.stderr
                return done.stdout

            until(lambda: text().count("  idle") == 2, "both hosts are known")
            hosts = [p for p in procfs.tree(up.pid) if "vmhost web/" in procfs.title(p)]
            yield Printed(
                text(),
                {Path(f"/proc/{pid}").stat().st_uid for pid in hosts},
                {procfs.seccomp_filters(pid) for pid in hosts},
            )


def _confined(printed: Printed) -> tuple[list[str], str]:
    """Return the layers that hold, and the text about those that do not."""
    words = " ".join(printed.text.split("confined (all hosts): ")[1].split())
    holding, _, lacking = words.partition("script is states")[0].partition(
        " not confined by: "
    )
    return holding.split(), lacking


def _as_nobody() -> tuple[tuple[str, ...], dict[str, str]]:
    """Return a command by which an ordinary user runs luafarm; skip if there is none.

    A Python below a home directory may be out of reach for others.
    """
    here = Path(__file__).resolve().parents[2]
    library = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    environment = {"PYTHONPATH": f"{here}:{library}", "PYTHONDONTWRITEBYTECODE": "1"}
    system = f"/usr/bin/python3.{sys.version_info.minor}"
    for python in (sys.executable, system):
        # in a second process: the first one still gets past directories as root
        probe = ["sh", "-c", f"{python} -c 'import lupa, zmq, luafarm, inotify_simple'"]
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [*AS_NOBODY, *probe],
                env={**os.environ, **environment},
                capture_output=True,
                check=False,
            )
            if done.returncode == 0:
                return (*AS_NOBODY, python, "-m", "luafarm"), environment
    pytest.skip("no Python that an ordinary user may run")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can show it")
def test_root_gets_a_uid_for_each_host_and_an_empty_root() -> None:
    with _status((sys.executable, "-m", "luafarm"), {}) as printed:
        holding, lacking = _confined(printed)
        assert set(ALWAYS) | {"uid", "capbset", "capabilities"} <= set(holding)
        assert "uid" not in lacking
        assert len(printed.uids) == 2
        assert 0 not in printed.uids
        assert min(printed.filters) >= 1
        assert max(map(len, printed.text.splitlines())) <= 80


def test_an_ordinary_user_gets_the_rest_and_is_told_what_is_missing() -> None:
    luafarm: tuple[str, ...] = (sys.executable, "-m", "luafarm")
    environment: dict[str, str] = {}
    if os.geteuid() == 0:
        luafarm, environment = _as_nobody()
    with _status(luafarm, environment) as printed:
        holding, lacking = _confined(printed)
        assert set(ALWAYS) | {"capabilities"} <= set(holding)
        assert "uid: started without root: shares uid" in lacking
        [uid] = printed.uids
        assert f"shares uid {uid}" in lacking
        assert uid != 0
        assert min(printed.filters) >= 1
        assert max(map(len, printed.text.splitlines())) <= 80
