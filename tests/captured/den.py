"""The farm of the crimes: pools of captured hosts beside an honest one."""

import contextlib
import os
import select
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import daemon, procfs
from tests.captured import criminal
from tests.captured.catalogue import CRIMES
from tests.farm.client import ask, connected
from tests.farm.farms import LUAFARM, Farm, directory, hosts_of, until

COUNTER = "local n = 0 function main(env, con) n = n + 1 con:puts(tostring(n)) end"
START_S = 60.0

_PERIOD_S = 0.004
_PAGE = 4096


@contextlib.contextmanager
def opened(pools: Sequence[str], more: str = "") -> Iterator[Farm]:
    """Run a farm with the pool `web`, and these of captured hosts; one host each.

    more: lines of the `[vmhost]` table.
    """
    with directory() as place, contextlib.ExitStack() as stack:
        for pool in (criminal.HONEST, *pools):
            (place / pool).mkdir()
        for pool in pools:
            for name in (*CRIMES, "honest", "a"):
                (place / pool / f"{name}.lua").write_text("-- never run")
            (place / pool / "large.txt").write_text("x" * (1 << 20))
        (place / criminal.HONEST / "counter.lua").write_text(COUNTER)
        config = place / "luafarm.toml"
        config.write_text(
            f'[paths]\nrun = "{place}/run"\n'
            f'[vmhost]\nstop_timeout = "1 s"\n{more}\n'
            f'[front]\nqueue_timeout = "10 s"\nlisten = ["unix:{place}/front.sock"]\n'
            + "".join(
                f'[pool.{pool}]\nroot = ["{place}/{pool}"]\nhosts = 1\n'
                f'wall = "1 s"\nload_wall = "1 s"\nreply = "4 MiB"\n'
                for pool in (criminal.HONEST, *pools)
            )
        )
        farm = Farm(place, place, config, str(place / "front.sock"))
        for name, command in {
            "broker": [*LUAFARM, "broker"],
            "vmhost": [sys.executable, "-m", criminal.MODULE],
            "fcgi": [*LUAFARM, "fcgi"],
        }.items():
            process = daemon.running(
                [*command, "--config", str(config)], place / f"{name}.log"
            )
            farm.daemons[name] = stack.enter_context(process)
        farm.daemons["fcgi"].wait_until(
            lambda: daemon.accepts(farm.socket), "it listens", START_S
        )
        until(
            lambda: ask(farm.socket, place / "web" / "counter.lua").status == 200,
            "the honest pool serves",
            START_S,
        )
        yield farm


def hosts(farm: Farm, pool: str) -> list[int]:
    """Return the VM hosts of a pool."""
    title = f"luafarm-vmhost {pool}/"
    return [pid for pid in hosts_of(farm) if procfs.title(pid).startswith(title)]


class Watched:
    """A process of which the end is noticed when it comes."""

    def __init__(self, pid: int) -> None:
        self._fd = os.pidfd_open(pid)

    def __enter__(self) -> "Watched":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Watch no more."""
        os.close(self._fd)

    def has_ended(self, within_s: float) -> bool:
        """Return whether it has ended, or does within a time."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return bool(poller.poll(within_s * 1000))


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer that the bystander got."""

    began: float
    took_s: float
    body: bytes


class Bystander:
    """Somebody who asks the honest pool's one script all the time."""

    def __init__(self, farm: Farm) -> None:
        self.seen: list[Seen] = []
        self.failures: list[BaseException] = []
        self._address = farm.socket
        self._script = farm.place / "web" / "counter.lua"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._guarded)

    def __enter__(self) -> "Bystander":
        """Begin to ask."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ask no more."""
        self._over.set()
        self._thread.join()

    def _guarded(self) -> None:
        try:
            self._ask_on()
        except BaseException as error:  # noqa: BLE001 - the test is told
            self.failures.append(error)

    def _ask_on(self) -> None:
        with connected(self._address) as client:
            while not self._over.wait(_PERIOD_S):
                began = time.monotonic()
                client.send(self._script)
                reply = client.receive()
                took_s = time.monotonic() - began
                self.seen.append(Seen(began, took_s, reply.body))

    def wrong(self) -> list[str]:
        """Return what was not as it should be: one state counts all its requests."""
        wrong = [repr(failure) for failure in self.failures]
        for one, other in zip(self.seen, self.seen[1:], strict=False):
            if not one.body.isdigit() or other.body != b"%d" % (int(one.body) + 1):
                wrong.append(f"{other.body[:200]!r} after {one.body[:200]!r}")
        return wrong

    def p99_ms(self, spans: Sequence[tuple[float, float]]) -> float:
        """Return the 99th percentile of the answers to what was asked in these."""
        times = sorted(
            seen.took_s
            for seen in self.seen
            if any(since <= seen.began <= end for since, end in spans)
        )
        return times[int(0.99 * (len(times) - 1))] * 1000 if times else 0.0


class Memory:
    """The most that front, broker and supervisor have had resident."""

    def __init__(self, farm: Farm) -> None:
        self._pids: dict[str, int] = {}
        for title in ("luafarm-front", "luafarm-broker", "luafarm-supervisor"):
            self._pids[title] = farm.one(title)

    def forget(self) -> None:
        """Begin anew with what they have now."""
        for pid in self._pids.values():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def most_kib(self) -> dict[str, int]:
        """Return the most since, by process."""
        return {title: _field(pid, "VmHWM") for title, pid in self._pids.items()}

    def now_kib(self) -> dict[str, int]:
        """Return what they have now."""
        return {title: _field(pid, "VmRSS") for title, pid in self._pids.items()}


def _field(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"{pid} has no {name}")
