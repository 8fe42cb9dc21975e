"""Three times as much as the farm can do, for a while: what visitors get meanwhile.

Requests of a script that computes, or waits, come at random times, whether or not those
before are answered (an open loop, as visitors are), at a multiple of the rate that the
same farm serves a few clients one by one. Beside them a quick script is asked all the
time, before, meanwhile and afterwards. The clients are a process of their own.
"""

import asyncio
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

COMPUTES_S: Final = 0.01  # CPU time of the script
WAITS_S: Final = 0.04  # of one that waits instead: then processors are free
QUICK_RATE: Final = 50.0  # requests per second of the bystander
CLOSED: Final = 4  # clients that find out what the farm can
CALM_S: Final = 3.0  # before and after the burst: a third of what the farm can
IN_A_ROW: Final = 10  # requests that are served in time, and all is normal
PATIENCE_S: Final = 30.0

_COMPUTE_LUA: Final = """\
  local clock = os.clock
  local begun = clock()
  while clock() - begun < {seconds} do end"""
_WAIT_LUA: Final = """\
  require('luafarm').sleep({seconds})"""
_LUA: Final = """\
function main(env, con)
{work}
  con:header("Content-Type", "text/plain")
  con:puts("done")
end
"""
_COMPUTE_PHP: Final = """\
function used() {{ $u = getrusage(); return $u["ru_utime.tv_sec"] +
  $u["ru_stime.tv_sec"] + ($u["ru_utime.tv_usec"] + $u["ru_stime.tv_usec"]) / 1e6; }}
$begun = used();
while (used() - $begun < {seconds});"""
_WAIT_PHP: Final = """\
usleep((int)({seconds} * 1e6));"""
_PHP: Final = """\
<?php
{work}
header("Content-Type: text/plain");
echo "done";
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: when it was sent and answered, seconds; 0 if it was not."""

    sent: float
    ended: float
    status: int

    @property
    def took(self) -> float:
        """How long it took."""
        return self.ended - self.sent


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen; times in seconds."""

    capacity: float  # requests per second
    offered: float  # requests per second in the burst
    goodput: float  # part of the capacity that was answered 200 in the burst
    calm: Sequence[float]  # how long requests took before the burst, sorted
    accepted: Sequence[float]
    refused: Sequence[float]
    failed: int  # neither 200 nor 503
    last_s: float  # last answer to a request of the burst, after its end
    normal_s: float  # after its end: when requests are served in time again
    quick_calm: Sequence[float]
    quick: Sequence[float]

    def __str__(self) -> str:
        """Return it in lines."""
        return "\n".join(
            [
                f"capacity {self.capacity:.0f}/s, offered {self.offered:.0f}/s, "
                f"goodput {self.goodput:.1%}, failed {self.failed}",
                f"unloaded:  {_shares(self.calm)}",
                f"accepted:  {_shares(self.accepted)}",
                f"refused:   {_shares(self.refused)}",
                f"after the end: last answer {self.last_s:.2f} s, "
                f"normal {self.normal_s:.2f} s",
                f"bystander: {_shares(self.quick_calm)}; in the burst "
                f"{_shares(self.quick)}",
            ]
        )


def write(root: Path, *, waits: bool) -> None:
    """Put the scripts in place, for luafarm and for PHP.

    waits: the one of which there is too much waits; else it computes.
    """
    seconds = WAITS_S if waits else COMPUTES_S
    lua, php = (_WAIT_LUA, _WAIT_PHP) if waits else (_COMPUTE_LUA, _COMPUTE_PHP)
    for name, is_quick in (("work", False), ("quick", True)):
        for suffix, page, work in (("lua", _LUA, lua), ("php", _PHP, php)):
            text = "" if is_quick else work.format(seconds=seconds)
            (root / f"{name}.{suffix}").write_text(page.format(work=text))


def run(port: int, suffix: str, times: float, seconds: float) -> Outcome:
    """Ask the server on this port, with `times` of what it can for so long."""
    plan = json.dumps([port, suffix, times, seconds])
    command = [sys.executable, "-m", "bench.live.overload", plan]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    capacity, begun, work_rows, quick_rows = json.loads(done.stdout)
    work = [Seen(*row) for row in work_rows]
    quick = [Seen(*row) for row in quick_rows]
    ended = begun + seconds
    calm = sorted(s.took for s in work if s.sent < begun)
    burst = [s for s in work if begun <= s.sent < ended]
    served = [s for s in burst if s.status == 200]
    in_time = [s for s in work if s.status == 200 and begun <= s.ended < ended]
    after = sorted((s for s in work if s.sent >= ended), key=lambda s: s.sent)
    usual = 2 * calm[int(len(calm) * 0.99)]
    well = [s.status == 200 and s.took <= usual for s in after]
    rows = range(len(well) - IN_A_ROW + 1)
    normal = [after[n].ended for n in rows if all(well[n : n + IN_A_ROW])]
    return Outcome(
        capacity,
        len(burst) / seconds,
        len(in_time) / seconds / capacity,
        calm,
        sorted(s.took for s in served),
        sorted(s.took for s in burst if s.status == 503),
        sum(s.status not in {200, 503} for s in burst),
        max(s.ended for s in burst) - ended,
        normal[0] - ended if normal else math.inf,
        sorted(s.took for s in quick if s.sent < begun),
        sorted(s.took for s in quick if begun <= s.sent < ended),
    )


def _shares(values: Sequence[float]) -> str:
    if not values:
        return "none"
    half, most = values[len(values) // 2], values[int(len(values) * 0.99)]
    return (
        f"{len(values)}, 50 % {half * 1e3:.1f} ms, 99 % {most * 1e3:.1f} ms, "
        f"longest {values[-1] * 1e3:.0f} ms"
    )


# ---- the other process ---------------------------------------------------------------


class Asker:
    """Kept connections, as many as are needed at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, path: str, seen: list[Seen]) -> None:
        """Ask once."""
        sent = time.monotonic()
        status = 0
        try:
            async with asyncio.timeout(PATIENCE_S):
                status = await self._ask(path)
        except (OSError, EOFError, ValueError):
            pass
        seen.append(Seen(sent, time.monotonic(), status))

    async def _ask(self, path: str) -> int:
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        if b"transfer-encoding: chunked" in lowered:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        else:
            length = lowered.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        if b"connection: close" in lowered:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head.split(b" ", 2)[1])


async def _one_by_one(asker: Asker, path: str, until: float, seen: list[Seen]) -> None:
    while time.monotonic() < until:
        await asker.ask(path, seen)


async def _capacity(asker: Asker, path: str) -> float:
    """Return how many a few clients are served in a second."""
    seen: list[Seen] = []
    until = time.monotonic() + CALM_S
    await asyncio.gather(
        *[_one_by_one(asker, path, until, seen) for _ in range(CLOSED)]
    )
    return sum(one.status == 200 for one in seen) / CALM_S


async def _at_rate(
    asker: Asker, path: str, rate: float, until: float, seen: list[Seen]
) -> None:
    """Ask at random times, so many a second; return when all are answered."""
    chance = random.Random(path)
    at = time.monotonic()
    async with asyncio.TaskGroup() as group:
        while at < until:
            await asyncio.sleep(at - time.monotonic())
            group.create_task(asker.ask(path, seen))
            at += chance.expovariate(rate)


async def _measure(port: int, suffix: str, times: float, seconds: float) -> str:
    asker = Asker(port)
    work, quick = f"/work.{suffix}", f"/quick.{suffix}"
    await _capacity(asker, work)  # everything gets warm
    capacity = await _capacity(asker, work)
    await asker.ask(quick, [])
    works: list[Seen] = []
    quicks: list[Seen] = []
    begun = time.monotonic() + CALM_S
    ended = begun + seconds
    until = ended + CALM_S
    beside = asyncio.create_task(_at_rate(asker, quick, QUICK_RATE, until, quicks))
    await _at_rate(asker, work, capacity / 3, begun, works)
    late = time.monotonic() - begun  # the last of the calm was answered
    begun, ended = begun + late, ended + late
    burst = asyncio.create_task(_at_rate(asker, work, times * capacity, ended, works))
    await asyncio.sleep(ended - time.monotonic())
    await _at_rate(asker, work, capacity / 3, until + late, works)
    await burst
    await beside
    capacity = (capacity + await _capacity(asker, work)) / 2  # the machine may change
    rows = [[(s.sent, s.ended, s.status) for s in seen] for seen in (works, quicks)]
    return json.dumps([capacity, begun, *rows])


if __name__ == "__main__":
    print(asyncio.run(_measure(*json.loads(sys.argv[1]))))
