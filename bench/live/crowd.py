"""Clients that ask as they are told and remember every reply.

They are a process of their own, so that neither they nor who deploys waits for the
other: ``python -m bench.live.crowd``, started and read by `Crowd`.
"""

import contextlib
import dataclasses
import http.client
import itertools
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench.client import Client

Due = tuple[float, str]
"""(seconds from the beginning, path)"""

_CLIENTS: Final = 16  # that share a schedule: as many requests may be under way


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: when it was sent, when answered, and how."""

    path: str
    started: float  # time.perf_counter, which on Linux all processes share
    ended: float
    status: int  # 0: the connection failed
    body: str


class Asker:
    """A client that writes down what it sees."""

    def __init__(self, port: int, seen: list[Seen]) -> None:
        self._client = Client(port)
        self._seen = seen

    def ask(self, path: str) -> Seen:
        """Ask once; a connection that failed is made anew by the next request."""
        started = time.perf_counter()
        try:
            reply = self._client.ask(path)
            status, body = reply.status, reply.body.decode("latin-1")
        except (OSError, http.client.HTTPException) as error:
            self._client.close()
            status, body = 0, repr(error)
        seen = Seen(path, started, time.perf_counter(), status, body)
        self._seen.append(seen)
        return seen

    def close(self) -> None:
        """End it."""
        self._client.close()


class Crowd:
    """The other process: give it work, read what it saw."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.seen: list[Seen] = []

    @contextlib.contextmanager
    def asking(
        self, paths: Sequence[str], clients: int, pause_s: float
    ) -> Iterator[None]:
        """Have this many clients ask at random, each with pauses, while the block runs.

        Afterwards `seen` has all replies.
        """
        with self._started([list(paths), clients, pause_s]) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdout.readline()  # all have asked once
                yield
            finally:
                process.stdin.close()
                self._read(process)

    def ask(self, due: Sequence[Due]) -> None:
        """Have each asked for when it is due; return when all are answered."""
        with self._started([list(due)]) as process:
            self._read(process)

    def _started(self, plan: list[object]) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.live.crowd"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps([self._port, *plan]) + "\n")
        process.stdin.flush()
        return process

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.seen += [Seen(*json.loads(line)) for line in process.stdout]


# ---- the other process ---------------------------------------------------------------


def _wander(port: int, paths: list[str], clients: int, pause_s: float) -> list[Seen]:
    """Ask at random until the input ends."""
    over = threading.Event()
    seen: list[list[Seen]] = [[] for _ in range(clients)]

    def live(number: int) -> None:
        chance = random.Random(number)
        with contextlib.closing(Asker(port, seen[number])) as asker:
            while not over.is_set():
                asker.ask(chance.choice(paths))
                over.wait(chance.uniform(0.0, 2.0 * pause_s))

    threads = [threading.Thread(target=live, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    while not all(seen):
        time.sleep(0.001)
    print("asking", flush=True)
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    return list(itertools.chain.from_iterable(seen))


def _follow(port: int, due: list[Due]) -> list[Seen]:
    """Ask for each when it is due."""
    seen: list[Seen] = []
    source = iter(due)
    turn = threading.Lock()
    begun = time.perf_counter()

    def live() -> None:
        with contextlib.closing(Asker(port, seen)) as asker:
            while True:
                with turn:
                    following = next(source, None)
                if following is None:
                    return
                at, path = following
                time.sleep(max(0.0, begun + at - time.perf_counter()))
                asker.ask(path)

    threads = [threading.Thread(target=live) for _ in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def main() -> None:
    """Ask as the first line of the input says; then tell what was seen."""
    port, *plan = json.loads(sys.stdin.readline())
    seen = _follow(port, *plan) if len(plan) == 1 else _wander(port, *plan)
    for one in seen:
        print(json.dumps(dataclasses.astuple(one)))


if __name__ == "__main__":
    main()
