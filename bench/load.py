"""Load on one URL by wrk: kept connections, one request at a time on each."""

import json
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

WRK_SCRIPT = Path(__file__).with_name("wrk.lua")
TIMEOUT_S = 10  # a request that takes longer is an error


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw."""

    requests: int
    duration_us: int
    received_bytes: int
    p50_us: float
    p99_us: float
    max_us: float
    status_errors: int
    socket_errors: int
    own_cpu_ns: int  # of wrk itself

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests * 1e6 / self.duration_us


def missing() -> str | None:
    """Why no load can be made, or None."""
    return None if shutil.which("wrk") else "wrk is not installed"


@dataclass(frozen=True, slots=True)
class Target:
    """One request to repeat: its URL, method, headers and the file with its body."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: Path | None = None


def run(target: Target, concurrency: int, seconds: int) -> Load:
    """Load the target over ``concurrency`` kept connections for whole seconds."""
    before = _children_cpu_ns()
    done = subprocess.run(
        _command(target, concurrency, seconds),
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 3 * TIMEOUT_S,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    return Load(**seen, own_cpu_ns=_children_cpu_ns() - before)


def warm(target: Target, concurrency: int, seconds: float) -> None:
    """Load the target for a moment that is not measured."""
    with subprocess.Popen(
        _command(target, concurrency, TIMEOUT_S), stdout=subprocess.DEVNULL
    ) as wrk:
        time.sleep(seconds)
        wrk.send_signal(signal.SIGINT)


def _command(target: Target, concurrency: int, seconds: int) -> list[str]:
    return [
        "wrk",
        f"-c{concurrency}",
        "-t1",  # one thread sends far more than any peer here can answer
        f"-d{seconds}s",
        f"--timeout={TIMEOUT_S}s",
        f"-s{WRK_SCRIPT}",
        target.url,
        "--",
        target.method,
        "-" if target.body is None else str(target.body),
        *(f"{name}={value}" for name, value in target.headers.items()),
    ]


def _children_cpu_ns() -> int:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((used.ru_utime + used.ru_stime) * 1e9)
