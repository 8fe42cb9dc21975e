"""``python -m bench.scale``: what many connections, scripts and states cost each.

One farm of luafarm alone, spoken to in FastCGI over its UNIX socket. Every large
number stands beside a small one: idle connections, concurrent requests, scripts with
two states each. Memory is the proportional set size of the farm's processes, CPU that
of all their threads, both from /proc. Prints a table, writes plots.
"""

import argparse
import asyncio
import contextlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

from bench import daemon, plot, procfs
from bench.question import question
from luafarm.command import tables

CONFIGURATION = """\
[paths]
run = "{place}/run"
[front]
listen = ["unix:{place}/front.sock"]
max_connections = 12000
idle_timeout = "3600 s"
queue = 4096
queue_per_script = 4096
[broker]
states = {states}
clones = {clones}
min_clones = {clones}
clone_cpu_share = 1.0
[pool.scale]
root = ["{place}/root"]
hosts = {hosts}
host_memory = "4 GiB"
"""

SCRIPT = "function main(env, con) con:puts('script {number}') end\n"
CLONES = 2
HOSTS = 4
BASE_CONNECTIONS = 32
LOADERS = 64
SETTLE_S = 120.0
ROLES = ("front", "vmhost", "broker")
COLUMNS = (
    *("what", "number", "MiB", "KiB each", "idle ms/s", "µs/request"),
    *(f"{role} µs" for role in ROLES),
    "requests/s",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number of one thing."""

    what: str
    number: int
    memory_bytes: int
    each_bytes: float  # beyond the row before it of the same kind; 0: not counted
    idle_ms: float  # CPU of a farm without requests, milliseconds a second
    request_us: float
    role_us: tuple[float, ...]  # the same by ROLES
    rate: float

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        return (
            self.what,
            f"{self.number}",
            f"{self.memory_bytes / 2**20:.0f}",
            f"{self.each_bytes / 1024:.1f}" if self.each_bytes else "-",
            f"{self.idle_ms:.1f}",
            f"{self.request_us:.0f}",
            *(f"{us:.0f}" for us in self.role_us),
            f"{self.rate:.0f}",
        )


def request(path: Path) -> bytes:
    """Return a GET of a script at the root of its site."""
    name = f"/{path.name}"
    return question(
        {
            "SCRIPT_FILENAME": str(path),
            "QUERY_STRING": "",
            "REQUEST_METHOD": "GET",
            "CONTENT_TYPE": "",
            "CONTENT_LENGTH": "",
            "SCRIPT_NAME": name,
            "REQUEST_URI": name,
            "DOCUMENT_URI": name,
            "DOCUMENT_ROOT": str(path.parent),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "localhost",
            "HTTP_HOST": "localhost",
        }
    )


class Client(asyncio.Protocol):
    """One kept connection: asks again as soon as it is answered, while it may."""

    def __init__(self, crowd: "Crowd") -> None:
        self._crowd = crowd
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.lost += 1

    def ask(self) -> None:
        """Send the next request, if there is one."""
        question = self._crowd.next_question()
        if question is not None and self._transport is not None:
            self._transport.write(question)

    def data_received(self, data: bytes) -> None:
        """Take an answer; it ends with an END_REQUEST record of 16 bytes."""
        self._received += data
        end = self._received[-16:]
        if len(end) == 16 and end[:2] == b"\x01\x03":
            self._crowd.answered(b"script " in self._received)
            self._received = b""
            self.ask()


class Crowd:
    """Connections to a farm, and the questions that they ask."""

    def __init__(self, path: str) -> None:
        self.lost = 0
        self.clients: list[Client] = []
        self.good = 0
        self.bad = 0
        self._path = path
        self._questions: Iterator[bytes] = iter(())
        self._idle = asyncio.Event()
        self._asking = 0

    async def grow(self, number: int) -> None:
        """Have this many connections."""
        loop = asyncio.get_running_loop()
        while len(self.clients) < number:
            try:
                _, client = await loop.create_unix_connection(
                    lambda: Client(self), self._path
                )
            except BlockingIOError:  # the queue of the listening socket is full
                await asyncio.sleep(0.01)
                continue
            self.clients.append(client)

    async def ask(self, questions: Iterator[bytes], connections: int) -> None:
        """Ask all questions over this many connections."""
        await self.grow(connections)
        self._questions = questions
        self._idle.clear()
        self._asking = connections
        for client in self.clients[:connections]:
            client.ask()
        await self._idle.wait()

    def next_question(self) -> bytes | None:
        """Return what to ask next; None: this connection rests."""
        question = next(self._questions, None)
        if question is None:
            self._asking -= 1
            if not self._asking:
                self._idle.set()
        return question

    def answered(self, is_good: bool) -> None:
        """Count an answer."""
        if is_good:
            self.good += 1
        else:
            self.bad += 1


class Scale:
    """A farm with many scripts, and what is measured on it."""

    def __init__(self, place: Path, scripts: int, seconds: float) -> None:
        self._place = place
        self._seconds = seconds
        self.socket = str(place / "front.sock")
        self.config = place / "luafarm.toml"
        self.config.write_text(
            CONFIGURATION.format(
                place=place, states=CLONES * scripts + 64, clones=CLONES, hosts=HOSTS
            )
        )
        self.questions = [request(self._write(n)) for n in range(scripts)]
        self.rows: list[Row] = []
        self._random = random.Random(1)  # the same requests in every run
        self._pids: set[int] = set()

    def _write(self, number: int) -> Path:
        path = self._place / "root" / f"{number // 100}" / f"{number}.lua"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SCRIPT.format(number=number))
        return path

    async def measure(self, farm: daemon.Daemon, plan: argparse.Namespace) -> None:
        """Measure everything; the rows stand in `rows`."""
        self._pids = procfs.tree(farm.pid)
        crowd = Crowd(self.socket)
        await self._load(crowd, 0, 1)
        await crowd.ask(self._timed(1, 1.0), BASE_CONNECTIONS)
        for number in plan.concurrency:
            await self._row(crowd, "concurrent requests", number, 1, number)
        for number in plan.connections:
            await crowd.grow(number)
            await self._row(crowd, "idle connections", number, 1, BASE_CONNECTIONS)
        loaded = 1
        for number in plan.scripts:
            await self._load(crowd, loaded, number)
            loaded = number
            await self._settled(number)
            await self._row(crowd, "scripts", number, number, BASE_CONNECTIONS)
        if crowd.bad or crowd.lost:
            raise RuntimeError(f"{crowd.bad} wrong answers, {crowd.lost} lost")

    async def _load(self, crowd: Crowd, first: int, end: int) -> None:
        await crowd.ask(iter(self.questions[first:end]), min(LOADERS, end - first))

    async def _settled(self, scripts: int) -> None:
        """Wait until every script has its states, and nothing is loaded any more."""
        deadline = time.monotonic() + SETTLE_S
        while (states := self._states()) < CLONES * scripts:
            if time.monotonic() > deadline:
                print(f"{states} of {CLONES * scripts} states came", file=sys.stderr)
                return
            await asyncio.sleep(0.5)

    def _states(self) -> int:
        """Return how many states are loaded."""
        command = [sys.executable, "-m", "luafarm", "status", "--json"]
        command += ["--timeout", "20", "--config", str(self.config)]
        done = subprocess.run(command, check=True, capture_output=True, timeout=60)
        hosts = json.loads(done.stdout)["hosts"]
        return sum(host["states"] - host["loading"] for host in hosts)

    async def _row(
        self, crowd: Crowd, what: str, number: int, scripts: int, concurrency: int
    ) -> None:
        await crowd.ask(self._timed(scripts, 0.3), concurrency)  # warm again
        used, began = procfs.cpu_ns(self._pids), time.monotonic()
        await asyncio.sleep(self._seconds / 2)
        idle_ms = (procfs.cpu_ns(self._pids) - used) / 1e6 / (time.monotonic() - began)
        before, roles_used, began = crowd.good, self._by_role(), time.monotonic()
        used = procfs.cpu_ns(self._pids)
        await crowd.ask(self._timed(scripts, self._seconds), concurrency)
        requests = crowd.good - before
        took = time.monotonic() - began
        cpu_us = (procfs.cpu_ns(self._pids) - used) / 1000
        roles = zip(self._by_role(), roles_used, strict=True)
        role_us = [(now - then) / 1000 / requests for now, then in roles]
        memory = procfs.pss_bytes(self._pids)
        each = 0.0
        last = self.rows[-1] if self.rows else None
        if last is not None and last.what == what and number > last.number:
            each = (memory - last.memory_bytes) / (number - last.number)
        row = Row(
            what,
            number,
            memory,
            each,
            idle_ms,
            cpu_us / requests,
            tuple(role_us),
            requests / took,
        )
        self.rows.append(row)
        print(" ".join(row.cells()), file=sys.stderr, flush=True)

    def _by_role(self) -> list[int]:
        """Return the CPU time of each role so far, nanoseconds."""
        titles = {pid: procfs.title(pid) for pid in self._pids}
        return [
            procfs.cpu_ns(p for p, t in titles.items() if t.startswith(f"luafarm-{r}"))
            for r in ROLES
        ]

    def _timed(self, scripts: int, seconds: float) -> Iterator[bytes]:
        """Give questions about random scripts of the first ones for this time."""
        end = time.monotonic() + seconds
        known = self.questions[:scripts]
        while time.monotonic() < end:
            yield known[self._random.randrange(len(known))]


@contextlib.contextmanager
def farm(place: Path, config: Path, socket: str) -> Iterator[daemon.Daemon]:
    """Run the farm that is measured."""
    command = [sys.executable, "-m", "luafarm", "up", "--config", str(config)]
    with daemon.running(command, place / "up.log") as process:
        process.wait_until(
            lambda: "Ctrl-C" in process.log.read_text() and daemon.accepts(socket),
            "the farm serves",
            60.0,
        )
        yield process


def write(directory: Path, rows: Sequence[Row]) -> None:
    """Write the plots: cost of a request, and memory, over each number."""
    directory.mkdir(parents=True, exist_ok=True)
    kinds = list(dict.fromkeys(row.what for row in rows))
    cost = {k: [(r.number, r.request_us) for r in rows if r.what == k] for k in kinds}
    memory = {
        k: [(r.number, r.memory_bytes / 2**20) for r in rows if r.what == k]
        for k in kinds
    }
    for name, axis, series in (
        ("scale-cpu", "CPU of a request, µs", cost),
        ("scale-memory", "memory of the farm, MiB", memory),
    ):
        text = plot.chart(f"luafarm: {axis}", "number", series)
        (directory / f"{name}.svg").write_text(text)


def _numbers(text: str) -> list[int]:
    return sorted(int(part) for part in text.split(","))


def main() -> int:
    """Measure, print the table, write the plots; 0 when every answer was right."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale")
    parser.add_argument("--connections", type=_numbers, default=[100, 1000, 10_000])
    parser.add_argument("--concurrency", type=_numbers, default=[32, 100, 1000])
    parser.add_argument("--scripts", type=_numbers, default=[100, 1000, 10_000])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load")
    parser.add_argument("--results", type=Path, default=Path("build/bench"))
    plan = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = max(plan.connections)
    if hard != resource.RLIM_INFINITY and hard < most + 200:
        print(f"cannot measure: {most} connections, {hard} files", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="luafarm-scale-") as name:
        place = Path(name)
        place.chmod(0o755)
        scale = Scale(place, max(plan.scripts), plan.seconds)
        with (
            farm(place, scale.config, scale.socket) as process,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(scale.measure(process, plan))
    print(tables.render(list(COLUMNS), [list(r.cells()) for r in scale.rows], 120))
    write(plan.results, scale.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
