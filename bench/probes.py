"""Single latencies of a farm: a cold script, a changed script, a lost VM host.

They are seen from where a user sits, a kept connection to nginx, and so include what
nginx and the client take; ``warm_request`` says how much that is.
"""

import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench import procfs
from bench.client import Client
from bench.peers.peer import Served
from bench.report import Figure

HOST_TITLE = "luafarm-vmhost "
LIMIT_S = 10.0  # a probe that takes longer is an error
POLL_S = 0.1
STEADY_S = 11.0  # the supervisor replaces at once what lived for ten seconds

SOURCE = """\
local s = "{marker}"

function main(env, con)
   con:puts(s)
end
"""


class ProbeError(RuntimeError):
    """A probe was not answered as it must be."""


def figures(served: Served, count: int) -> Iterator[Figure]:
    """Take every probe, ``count`` files each, on a farm that serves ``served.root``."""
    with Client(served.port) as client:
        cold, warm = _cold(client, served.root, count)
        yield _median("first request to a cold script", cold)
        yield _worst("first request to a cold script", cold)
        yield _median("the same request once warm", warm)
        changed = list(_changes(client, served.root, count))
        yield _median("rename of a changed script to its first new reply", changed)
        yield _worst("rename of a changed script to its first new reply", changed)
    if served.backend is not None:
        replaced = list(_replacements(served.backend.pid))
        if replaced:
            yield _median("death of a VM host to its sealed replacement", replaced)


def _cold(client: Client, root: Path, count: int) -> tuple[list[float], list[float]]:
    names = [f"cold{number}" for number in range(count)]
    for name in names:
        (root / f"{name}.lua").write_text(SOURCE.format(marker=name))
    (root / "ready.lua").write_text(SOURCE.format(marker="ready"))
    _ask(client, "/ready.lua", "ready")  # waits for the first VM host of a new farm
    cold = [_ask(client, f"/{name}.lua", name) for name in names]
    return cold, [_ask(client, f"/{name}.lua", name) for name in names]


def _changes(client: Client, root: Path, count: int) -> Iterator[float]:
    path, fresh = root / "changed.lua", root / "changed.lua.new"
    path.write_text(SOURCE.format(marker="generation 0"))
    _ask(client, "/changed.lua", "generation 0")
    for number in range(1, count + 1):
        marker = f"generation {number}"
        fresh.write_text(SOURCE.format(marker=marker))
        fresh.rename(path)
        renamed = time.perf_counter()
        while client.ask("/changed.lua").body != marker.encode():
            if time.perf_counter() - renamed > LIMIT_S:
                raise ProbeError(f"no reply of {marker} within {LIMIT_S} s")
        yield time.perf_counter() - renamed


def _replacements(farm: int) -> Iterator[float]:
    """Kill each VM host once and await a process as sealed as it was."""
    first = _sealed_hosts(farm)
    while any(procfs.age_s(pid) < STEADY_S for pid in first):
        time.sleep(POLL_S)
    for victim in sorted(first):
        sealed = _sealed_hosts(farm)
        os.kill(victim, signal.SIGKILL)
        killed = time.perf_counter()
        while not _sealed_hosts(farm) - sealed:
            if time.perf_counter() - killed > LIMIT_S:
                raise ProbeError(f"no VM host replaced {victim} within {LIMIT_S} s")
        yield time.perf_counter() - killed


def _sealed_hosts(farm: int) -> set[int]:
    """VM hosts under one more system call filter than the farm's own process."""
    own = procfs.seccomp_filters(farm)
    return {
        pid
        for pid in procfs.tree(farm)
        if procfs.title(pid).startswith(HOST_TITLE)
        and procfs.seccomp_filters(pid) > own
    }


def _ask(client: Client, path: str, expected: str) -> float:
    reply = client.ask(path)
    if reply.body != expected.encode():
        raise ProbeError(f"{path} answered {reply.status} {reply.body[:300]!r}")
    return reply.seconds


def _median(name: str, seconds: list[float]) -> Figure:
    value = statistics.median(seconds) * 1000
    return Figure(f"{name}, median of {len(seconds)}", value, "ms")


def _worst(name: str, seconds: list[float]) -> Figure:
    return Figure(f"{name}, worst of {len(seconds)}", max(seconds) * 1000, "ms")
