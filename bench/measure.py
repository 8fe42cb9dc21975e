"""The measurement: each peer started in turn, loaded cell by cell, round after round.

Rounds alternate over the peers, so that a noisy minute of the machine falls on all of
them; a cell's figures are the medians over its rounds.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import client, load, procfs
from bench.daemon import Daemon
from bench.peers.peer import Peer, Room, Served
from bench.plan import Plan
from bench.script import HEADERS, Script

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """One load on one peer."""

    peer: str
    script: str
    concurrency: int
    round: int
    rate: float
    p50_us: float
    p99_us: float
    backend_us: float
    web_us: float
    memory_bytes: int
    errors: int
    foreign: float  # CPU used by others meanwhile, as a share of the machine


@dataclass(frozen=True, slots=True)
class Cell:
    """The medians of a peer's samples of one script at one concurrency."""

    peer: str
    script: str
    concurrency: int
    rate: float
    p50_us: float
    p99_us: float
    backend_us: float
    web_us: float
    memory_bytes: int
    errors: int


def samples(
    plan: Plan,
    peers: Sequence[Peer],
    scripts: Sequence[Script],
    say: Say,
) -> Iterator[Sample]:
    """All loads of the plan, one at a time."""
    for number in range(1, plan.rounds + 1):
        for peer in peers:
            say(f"round {number} of {plan.rounds}: {peer.name}")
            with serving(plan, peer) as (served, directory):
                for script in scripts:
                    client.verify(served.port, peer.name, script, peer.suffix)
                    for concurrency in plan.concurrency:
                        yield _sample(
                            plan, peer, served, directory, script, concurrency, number
                        )


@contextmanager
def serving(plan: Plan, peer: Peer) -> Iterator[tuple[Served, Path]]:
    """One peer, started in a fresh directory that every user may read."""
    directory = Path(tempfile.mkdtemp(prefix="luafarm-bench-"))
    directory.chmod(0o755)
    room = Room(directory, plan.workers, plan.nginx_workers)
    try:
        with peer.serve(room) as served:
            yield served, directory
    finally:
        if plan.keep:
            print(f"kept {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def medians(taken: Iterable[Sample]) -> list[Cell]:
    """One cell for each peer, script and concurrency, in order of appearance."""
    groups: dict[tuple[str, str, int], list[Sample]] = {}
    for sample in taken:
        key = (sample.peer, sample.script, sample.concurrency)
        groups.setdefault(key, []).append(sample)
    return [
        Cell(
            *key,
            rate=statistics.median(one.rate for one in group),
            p50_us=statistics.median(one.p50_us for one in group),
            p99_us=statistics.median(one.p99_us for one in group),
            backend_us=statistics.median(one.backend_us for one in group),
            web_us=statistics.median(one.web_us for one in group),
            memory_bytes=int(statistics.median(one.memory_bytes for one in group)),
            errors=sum(one.errors for one in group),
        )
        for key, group in groups.items()
    ]


def _sample(
    plan: Plan,
    peer: Peer,
    served: Served,
    directory: Path,
    script: Script,
    concurrency: int,
    number: int,
) -> Sample:
    target = _target(served, peer, script, directory)
    load.warm(target, concurrency, plan.warm_s)
    busy_before, began = procfs.busy_ns(), time.monotonic_ns()
    backend_before, web_before = _cpu(served.backend), _cpu(served.web)
    seen = load.run(target, concurrency, plan.seconds)
    backend_ns = _cpu(served.backend) - backend_before
    web_ns = _cpu(served.web) - web_before
    foreign_ns = procfs.busy_ns() - busy_before - backend_ns - web_ns - seen.own_cpu_ns
    machine_ns = (time.monotonic_ns() - began) * (os.cpu_count() or 1)
    answered = max(seen.requests, 1)
    short = seen.received_bytes < seen.requests * len(script.reply)
    return Sample(
        peer=peer.name,
        script=script.name,
        concurrency=concurrency,
        round=number,
        rate=seen.rate,
        p50_us=seen.p50_us,
        p99_us=seen.p99_us,
        backend_us=backend_ns / 1000 / answered,
        web_us=web_ns / 1000 / answered,
        memory_bytes=_memory(served.backend or served.web),
        errors=seen.status_errors + seen.socket_errors + int(short),
        foreign=max(0.0, foreign_ns / machine_ns),
    )


def _target(served: Served, peer: Peer, script: Script, directory: Path) -> load.Target:
    body = None
    if script.body:
        body = directory / f"{script.name}.body"
        body.write_bytes(script.body)
    url = f"http://127.0.0.1:{served.port}{script.path(peer.suffix)}"
    return load.Target(url, script.method, HEADERS, body)


def _cpu(daemon: Daemon | None) -> int:
    return 0 if daemon is None else procfs.cpu_ns(procfs.tree(daemon.pid))


def _memory(daemon: Daemon | None) -> int:
    return 0 if daemon is None else procfs.pss_bytes(procfs.tree(daemon.pid))


def stamp() -> str:
    """Name the results of a run after this moment."""
    return time.strftime("%Y-%m-%d-%H%M%S")
