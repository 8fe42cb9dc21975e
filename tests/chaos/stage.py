"""The farm behind nginx: two pools, two fronts, a small disk, a log that is a pipe."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import daemon, procfs
from tests.chaos import client, mix, processes
from tests.chaos.output import Output
from tests.chaos.record import Framing, Order
from tests.chaos.site import Site
from tests.farm.farms import LUAFARM, directory, until
from tests.servers import nginx
from tests.servers.server import Application

FRONTS = 2
HOSTS = 4  # of each pool
WHOLE = 4 + FRONTS + 2 * HOSTS  # with `luafarm up`, broker, supervisor and zygote
REST_S = 2.0
START_S = 120.0
STOP_S = 60.0
RECOVERED_S = 120.0
_RELOAD_S = 20.0
_SMALL_DISK = "64m"
_GROWTH_KIB = 64 << 10
_MORE_FDS = 8
_CONFIGURATION = """\
[paths]
run = "{small}/run"

[front]
listen = ["{listen}"]
processes = {fronts}
queue_timeout = "20 s"

[vmhost]
stop_timeout = "10 s"

[pool.open]
root = ["{root}/open"]
hosts = {hosts}
trust = "trusted"
wall = "20 s"
preload = ["[!r]*.lua"]

[pool.closed]
root = ["{root}/closed"]
hosts = {hosts}
wall = "20 s"
preload = ["[!r]*.lua"]
"""

_NGINX = {
    "            try_files $fastcgi_script_name =404;\n": "",  # its 404s are not ours
    "fastcgi_read_timeout 75s;": "fastcgi_read_timeout 60s;",
}


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the roles have when nothing is asked of them."""

    resident_kib: dict[str, int]
    fds: dict[str, int]


class Stage:
    """A farm that runs, what is done to it as a whole, and what it leaves behind."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        self.small = place / "small"
        self.small.mkdir()
        self.is_limited = _mounted(self.small)
        (self.small / "tmp").mkdir()
        self.site = Site(place, self._acknowledge)
        self.log = place / "farm.log"
        self.is_tcp = random.Random(f"{seed} stage").random() < 0.5
        self.tcp_port = daemon.free_port()
        self.socket = place / "front.sock"
        self.port = 0  # of nginx
        self.outlived: list[str] = []  # processes, a sentence each
        self.output: Output | None = None
        self._config = place / "luafarm.toml"
        listen = f"127.0.0.1:{self.tcp_port}" if self.is_tcp else f"unix:{self.socket}"
        self._config.write_text(
            _CONFIGURATION.format(
                small=self.small,
                root=self.site.root,
                listen=listen,
                fronts=FRONTS,
                hosts=HOSTS,
            )
        )
        self._up: subprocess.Popen[bytes] | None = None
        self._sessions: list[int] = []
        self._there: set[int] = set()  # processes of the last look at them
        self._since = 0.0  # monotonic seconds: since when it is them

    # ---- the farm ------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """`luafarm up`, which leads the session of the whole farm."""
        assert self._up is not None
        return self._up.pid

    def start(self) -> None:
        """Start the farm; it needs not serve yet."""
        if self.output is not None:
            if not self.output.join(STOP_S):
                who = [
                    f"{procfs.title(pid)} ({pid})"
                    for pid in processes.holders(self.output.inode)
                ]
                text = (
                    f"{', '.join(who) or 'nobody'} holds the log of a farm that ended"
                )
                self.outlived.append(text)
            self.output.close()
        receiver, end = os.pipe()
        self._up = subprocess.Popen(
            [*LUAFARM, "up", "--config", str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=end,
            stderr=end,
            env={**os.environ, "TMPDIR": str(self.small / "tmp")},
            start_new_session=True,
        )
        os.close(end)
        self._sessions.append(self._up.pid)
        self.output = Output(receiver, self.log)

    def stop(self) -> int:
        """Stop the farm in good order; return its exit code."""
        assert self._up is not None
        self._up.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._up.wait(STOP_S)
        with contextlib.suppress(AssertionError):
            until(lambda: not procfs.session(self.pid), "all have ended", STOP_S)
        for pid in procfs.session(self.pid):
            # a next farm would wait for it, or share its sockets with it
            self.outlived.append(f"{procfs.title(pid) or pid} outlived its farm")
            processes.send(pid, signal.SIGKILL)
        return self._up.wait(STOP_S)

    def close(self) -> None:
        """End whatever is left, and the small disk."""
        for session in self._sessions:
            for pid in procfs.session(session):
                processes.send(pid, signal.SIGCONT)
                processes.send(pid, signal.SIGKILL)
        if self._up is not None:
            self._up.wait()
        if self.output is not None:
            self.output.close()
            self.output.join()
        if self.is_limited:
            subprocess.run(["umount", "-l", str(self.small)], check=False)

    def has_ended(self) -> bool:
        """Return whether `luafarm up` is no more."""
        return self._up is None or self._up.poll() is not None

    def titled(self, title: str) -> list[int]:
        """Return the processes whose title begins so."""
        return processes.titled(self.pid, f"luafarm-{title}")

    def is_whole(self) -> bool:
        """Return whether every process that there should be is there."""
        return (
            len(self.titled("front")) == FRONTS
            and len(self.titled("vmhost ")) == HOSTS * len(mix.POOLS)
            and all(self.titled(n) for n in ("broker", "supervisor", "zygote"))
        )

    def is_at_rest(self) -> bool:
        """Return whether they, and no others, have been there for a while.

        While roles are replaced there may be just as many for a moment.
        """
        now, there = time.monotonic(), procfs.session(self.pid)
        if there != self._there:
            self._there, self._since = there, now
        is_all = len(there) == WHOLE and self.is_whole()
        return is_all and now - self._since >= REST_S

    def command(self, *words: str, timeout_s: float = _RELOAD_S) -> str:
        """Run a command of luafarm; return what went wrong, or nothing."""
        command = [*LUAFARM, words[0], "--config", str(self._config), *words[1:]]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=timeout_s + 30.0, check=False
            )
        except subprocess.TimeoutExpired:
            return "it does not end"
        said = done.stderr.decode(errors="replace").strip()
        return "" if done.returncode == 0 else said or f"exit code {done.returncode}"

    # ---- all scripts ---------------------------------------------------------------

    def serves(self) -> bool:
        """Return whether every script answers as it should."""
        return not self.silent()

    def silent(self) -> list[str]:
        """Return the scripts that do not answer as they should."""
        found: list[str] = []
        for pool in mix.POOLS:
            for script in (*mix.SCRIPTS, mix.LEAVING):
                seen = client.ask(self.port, Order("00-000000", pool, script))
                if seen.framing is not Framing.WHOLE or seen.status != 200:
                    found.append(f"{pool}/{script} {seen.status} {seen.why}")
        return found

    # ---- what is left --------------------------------------------------------------

    def baseline(self) -> Baseline:
        """Return what the roles have now; several of one title count as the largest."""
        titles = ("front", "broker", "supervisor", "vmhost ")
        pids = {title: self.titled(title) for title in titles}
        return Baseline(
            {t: max(map(processes.resident_kib, of_it)) for t, of_it in pids.items()},
            {t: max([len(processes.fds(p)) for p in pids[t]]) for t in titles},
        )

    def growth(self, before: Baseline) -> list[str]:
        """Return what has grown beyond its bound, once nothing is asked any more."""
        with contextlib.suppress(AssertionError):
            until(
                lambda: self.is_at_rest() and not self._more_fds(before),
                "descriptors are closed",
                RECOVERED_S,
            )
        if not self.is_at_rest():
            there = sorted(procfs.title(pid) for pid in procfs.session(self.pid))
            return [f"too many or too few at the end: {', '.join(there)}"]
        now = self.baseline()
        grown = [
            f"{title} grew from {before.resident_kib[title]} to {kib} KiB"
            for title, kib in now.resident_kib.items()
            if kib > before.resident_kib[title] + _GROWTH_KIB
        ]
        return grown + self._more_fds(before) + self._spooled()

    def _more_fds(self, before: Baseline) -> list[str]:
        now = self.baseline().fds if self.is_whole() else {}
        return [
            f"{title} has {count} descriptors, and had {before.fds[title]}"
            for title, count in now.items()
            if count > before.fds[title] + _MORE_FDS
        ]

    def _spooled(self) -> list[str]:
        found = []
        for pid in self.titled("front"):
            for fd in processes.fds(pid):
                with contextlib.suppress(OSError):
                    name = str(Path(f"/proc/{pid}/fd/{fd}").readlink())
                    if name.startswith(str(self.small / "tmp")):
                        found.append(f"a front still has {name}")
        return found

    def remains(self) -> list[str]:
        """Return what a farm that was stopped has left behind."""
        found = [
            f"process {procfs.title(pid) or pid} lives on"
            for session in self._sessions
            for pid in procfs.session(session)
        ]
        hosts = self.small / "run" / "h"
        if hosts.exists():
            found += [
                f"{name.name} is still in {hosts.name}" for name in hosts.iterdir()
            ]
        found += [f"tmp/{one.name} is left" for one in (self.small / "tmp").iterdir()]
        return found

    # ---- inside --------------------------------------------------------------------

    def _acknowledge(self, path: Path) -> bool:
        words = ("reload", "--wait", "--timeout", str(_RELOAD_S), str(path))
        return not self.command(*words)


@contextlib.contextmanager
def opened(seed: int, keep: Callable[[Path], None]) -> Iterator[Stage]:
    """Run a farm behind nginx that serves. keep: is given the log at the end."""
    with directory() as place:
        stage = Stage(place, seed)
        try:
            stage.start()
            until(stage.is_whole, "all processes of the farm are there", START_S)
            yield stage
        finally:
            stage.close()
            keep(stage.log)


@contextlib.contextmanager
def behind_nginx(stage: Stage) -> Iterator[Path]:
    """Run nginx in front of it until every script is served; give nginx's log."""
    with directory() as place:
        application = Application(stage.socket, stage.tcp_port, stage.site.root)
        with nginx.serve(
            place, application, changes=_NGINX, tcp=stage.is_tcp
        ) as running:
            stage.port = running.port
            until(stage.serves, "every script is served", START_S)
            yield running.log


def _mounted(directory: Path) -> bool:
    """Make a directory a small disk of its own, where that is allowed."""
    options = f"size={_SMALL_DISK},mode=755"
    command = ["mount", "-t", "tmpfs", "-o", options, "chaos", str(directory)]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0
