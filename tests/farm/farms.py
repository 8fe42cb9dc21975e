"""Farms under test: `luafarm up`, or each role as a process of its own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench import daemon, nginx, procfs
from bench.daemon import Daemon
from bench.peers import fastcgi
from bench.peers.peer import Room
from luafarm.command import asking
from luafarm.config import configure

LUAFARM = (sys.executable, "-m", "luafarm")
ANSWER_S = 60.0


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Make a directory with a short name, since paths of sockets are limited."""
    made = Path(tempfile.mkdtemp(prefix="lf-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@dataclass
class Farm:
    """A farm that runs, and what the tests do to it."""

    place: Path
    root: Path
    config: Path
    socket: str
    daemons: dict[str, Daemon] = field(default_factory=dict)

    def write(self, name: str, text: str | bytes) -> Path:
        """Put a script in place at once, as a careful deploy does."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_bytes(text.encode() if isinstance(text, str) else text)
        fresh.chmod(0o644)
        fresh.rename(path)
        return path

    def command(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of luafarm with this farm's configuration."""
        return subprocess.run(
            [*LUAFARM, name, "--config", str(self.config), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def status(self) -> dict[str, Any]:
        """Return what `luafarm status --json` prints, without a process for it."""
        settings = configure.load(self.config).settings
        found: dict[str, Any] = json.loads(asking.status(settings, ANSWER_S))
        return found

    def script(self, name: str) -> dict[str, Any]:
        """Return what the status says of a script; empty when it is not known."""
        path = str(self.root / name)
        found = (s for s in self.status()["scripts"] if s["script"] == path)
        return next(found, {})

    def titled(self, title: str) -> list[int]:
        """Return the processes of this farm whose title starts so."""
        found: list[int] = []
        for process in self.daemons.values():
            for pid in procfs.tree(process.pid):
                with contextlib.suppress(OSError):
                    text = Path(f"/proc/{pid}/cmdline").read_bytes()
                    if text.startswith(title.encode()):
                        found.append(pid)
        return sorted(set(found))

    def one(self, title: str) -> int:
        """Return the process with this title, once a renewal has left only one."""
        found: list[int] = []

        def is_one() -> bool:
            found[:] = self.titled(title)
            return len(found) == 1

        until(is_one, f"there is one {title}")
        return found[0]

    def resident_kib(self) -> dict[str, int]:
        """Return the memory of front, broker and supervisor, by title."""
        found: dict[str, int] = {}
        for title in ("luafarm-front", "luafarm-broker", "luafarm-supervisor"):
            pid = self.one(title)
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            found[title] = pages * os.sysconf("SC_PAGE_SIZE") // 1024
        return found

    def spooled_bytes(self) -> int:
        """Return the size of the front's temporary files, which have no name."""
        front = self.one("luafarm-front")
        total = 0
        for fd in Path(f"/proc/{front}/fd").iterdir():
            with contextlib.suppress(OSError):
                if "(deleted)" in str(fd.readlink()):
                    total += fd.stat().st_size
        return total

    def log(self) -> str:
        """Return what all processes logged."""
        texts = [d.log.read_text(errors="replace") for d in self.daemons.values()]
        return "".join(texts)


def until(claim: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    """Return once the claim holds; fail if it never does."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


@contextlib.contextmanager
def up(
    settings: str = "",
    *,
    hosts: int = 4,
    pool: str = "",
    folders: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
) -> Iterator[Farm]:
    """Run `luafarm up` on a root with these files, or none.

    folders: made beside the root, in `{place}`.
    """
    with directory() as place:
        root = place / "root"
        for folder in (root, *[place / name for name in folders]):
            folder.mkdir()
        config = place / "luafarm.toml"
        config.write_text(
            f'[paths]\nrun = "{place}/run"\n'
            f'[pool.web]\nroot = ["{root}"]\nhosts = {hosts}\n{pool}\n'
            + settings.replace("{place}", str(place))
        )
        farm = Farm(place, root, config, str(place / "front.sock"))
        for name, text in (files or {}).items():
            farm.write(name, text)
        command = [*LUAFARM, "up", "--config", str(config)]
        command += ["--listen", f"unix:{farm.socket}"]
        with daemon.running(command, place / "up.log") as process:
            farm.daemons["up"] = process
            # its last words before it only watches: it asks no more how the farm is
            process.wait_until(lambda: "Ctrl-C" in farm.log(), "the farm is ready")
            yield farm


@contextlib.contextmanager
def behind_nginx(farm: Farm) -> Iterator[int]:
    """Run nginx in front of a farm; give its port."""
    absent = nginx.missing()
    if absent:
        pytest.skip(f"{absent}: run tests/servers/packages.sh as root")
    room = Room(farm.place, 1, 1)
    with fastcgi.behind_nginx(
        room, farm.root, Path(farm.socket), farm.daemons["up"], keep=True
    ) as served:
        yield served.port


@contextlib.contextmanager
def during(look: Callable[[], None], pause_s: float = 0.5) -> Iterator[None]:
    """Look again and again, at least once, while the block runs."""
    over = threading.Event()
    failures: list[BaseException] = []

    def watch() -> None:
        try:
            look()
            while not over.wait(pause_s):
                look()
        except BaseException as error:  # noqa: BLE001 - raised where it is seen
            failures.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]


def hosts_of(farm: Farm) -> list[int]:
    """Return the VM host processes of a farm."""
    return farm.titled("luafarm-vmhost ")


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
