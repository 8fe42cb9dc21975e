"""`luafarm` as a person runs it: processes of this Python, away from the tree."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, cast

from bench import daemon, procfs
from luafarm.process import children

START_S = 120.0
STOP_S = 120.0

HELLO = "function main(env, con) con:puts('hello') end\n"
SLOW = """
local luafarm = require "luafarm"
function main(env, con)
  con:flush()
  luafarm.sleep(2)
  con:puts('slept')
end
"""


def until(claim: Callable[[], bool], what: str, seconds: float = START_S) -> None:
    """Return once the claim holds; fail if it never does."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def environment() -> dict[str, str]:
    """Return an environment without settings in which this luafarm is found."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LUAFARM_")}
    return children.environment(clean)


def luafarm(
    *arguments: str, cwd: Path | None = None, stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a command of luafarm to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "luafarm", *arguments],
        env=environment(),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Up:
    """A `luafarm up`, in a process group of its own like a shell's job."""

    def __init__(
        self,
        place: Path,
        *arguments: str,
        sockets: Collection[int] = (),
        cwd: Path | None = None,
    ) -> None:
        self.place = place
        self.root = place / "root"
        self.run = f"paths.run={place}/run"
        # threads of a uid are counted over all farms of the machine
        first = 61184 + 8 * (os.getpid() % 500)
        uids = f"vmhost.uid_range={first}-{first + 7}"
        self.port = daemon.free_port()
        self.output = place / "output"
        self.log = place / "log"
        with self.output.open("wb") as output, self.log.open("wb") as log:
            command = [sys.executable, "-P", "-m", "luafarm", "up", str(self.root)]
            command += ["--http", f"127.0.0.1:{self.port}", "--set", self.run]
            command += ["--set", uids]
            self.process = subprocess.Popen(
                [*command, *arguments],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
                pass_fds=sockets,
                cwd=cwd,
            )

    def ready(self) -> None:
        """Wait until it says that it serves."""
        until(self._says_ready, "the farm is ready")

    def _says_ready(self) -> bool:
        code = self.process.poll()
        assert code is None, f"it ended with {code}: {self.log.read_text()}"
        return "Ctrl-C" in self.output.read_text()

    def open(self, path: str) -> http.client.HTTPResponse:
        """Return a reply of which the header has come."""
        url = f"http://127.0.0.1:{self.port}{path}"
        reply = urllib.request.urlopen(url, timeout=START_S)
        return cast("http.client.HTTPResponse", reply)

    def get(self, path: str) -> str:
        """Return the body of a reply."""
        with self.open(path) as reply:
            return reply.read().decode()

    def serves(self, path: str) -> bool:
        """Return whether a path is answered with success now."""
        try:
            self.get(path)
        except OSError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """Return `luafarm status --json`."""
        done = luafarm("status", "--json", "--set", self.run)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def pids(self, title: str = "") -> list[int]:
        """Return the processes of the group whose title begins so."""
        found: list[int] = []
        for pid in procfs.session(self.process.pid):
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
                if line.startswith(title):
                    found.append(pid)
        return found

    def signal(self, number: int) -> None:
        """Send a signal to the process itself."""
        self.process.send_signal(number)

    def press_ctrl_c(self) -> None:
        """Send SIGINT as a terminal does: to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(STOP_S)

    def close(self) -> None:
        """End whatever is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Asking(threading.Thread):
    """A request on its way, while the test does something else."""

    def __init__(self, farm: Up, path: str) -> None:
        super().__init__()
        self._farm = farm
        self._path = path
        self.begun = threading.Event()  # the header of the reply has come
        self.answer = ""
        self.start()

    def run(self) -> None:
        """Ask, and keep the answer or the error."""
        try:
            with self._farm.open(self._path) as reply:
                self.begun.set()
                self.answer = reply.read().decode()
        except OSError as error:
            self.answer = f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Make a directory with a short name, since paths of sockets are limited."""
    made = Path(tempfile.mkdtemp(prefix="lf-"))
    made.chmod(0o755)
    (made / "root").mkdir()
    (made / "root" / "hello.lua").write_text(HELLO)
    (made / "root" / "slow.lua").write_text(SLOW)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def up(*arguments: str, sockets: Collection[int] = ()) -> Iterator[Up]:
    """Run `luafarm up` on a few scripts and wait until it serves."""
    with directory() as place:
        farm = Up(place, *arguments, sockets=sockets)
        try:
            farm.ready()
            yield farm
        finally:
            farm.close()
