"""One attack in one pool: a real request, judged, and the pool looked at after it."""

import functools
import html
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from bench import procfs
from luafarm.dialects import Dialect
from tests.farm.client import Reply, ask
from tests.farm.farms import Farm, hosts_of, until
from tests.hostile import forms
from tests.hostile.catalogue import Attack, Expected, Ground
from tests.hostile.colony import CPU_S, GRACE_S

SPENT_S: Final = CPU_S + GRACE_S + 0.5
"""CPU time in which a host stops an attack on it, and does what it does itself."""

_TIME: Final = frozenset({"cpu", "wall"})


@dataclass
class Verdict:
    """How an attack came out; no faults: as it should."""

    outcome: str = ""
    elapsed_s: float = 0.0  # of the slowest request
    deaths: int = 0  # of VM hosts
    faults: list[str] = field(default_factory=list)


@dataclass
class Witnesses:
    """What the canary and the neighbour said when nothing had happened yet."""

    canary: bytes
    served: int = 0  # by the neighbour's state, so far


class Way(Protocol):
    """How requests get to the farm."""

    def __call__(
        self, script: Path, *, method: str, body: bytes, query: str, content_type: str
    ) -> Reply:
        """Ask and return the answer."""


class Pool:
    """One pool under attack, and its one VM host."""

    def __init__(
        self, farm: Farm, name: str, dialect: Dialect, way: Way | None = None
    ) -> None:
        """Look around once; way: how it is asked, by default at the front's socket."""
        self.dialect = dialect
        self._farm = farm
        self._way: Way = way or functools.partial(ask, farm.socket)
        self._root = farm.root / name
        self._title = f"luafarm-vmhost {name}/"
        self._host = self._find_host()
        self._witnesses = Witnesses(self._ask("canary.lua").body)
        faults: list[str] = []
        self._look_around(faults)
        assert not faults, faults

    def attack(self, attack: Attack) -> Verdict:
        """Run an attack and look whether it harmed anybody."""
        verdict = Verdict()
        expected = attack.outcomes[self.dialect]
        query = attack.query.format(
            place=self._farm.place, root=self._root, pool=self._root.name
        )
        content_type, body = "", b"x" * attack.body_bytes
        if attack.form:
            content_type, body = forms.BUILDERS[attack.form]()
        is_short_of_cpu = attack.ground(self.dialect) is Ground.CPU
        for _ in range(attack.asks):
            pid, _ = self._host
            began, used_ns = time.monotonic(), procfs.cpu_ns([pid])
            reply = self._ask(attack.file, body, query, content_type)
            verdict.elapsed_s = max(verdict.elapsed_s, time.monotonic() - began)
            spent_s = (procfs.cpu_ns([pid]) - used_ns) / 1e9  # negative of a dead host
            died = self._has_died()
            verdict.deaths += died
            verdict.outcome = describe(reply, died=died)
            _judge(verdict, expected, reply, died=died)
            if is_short_of_cpu and spent_s > SPENT_S:
                verdict.faults.append(f"used {spent_s:.1f} s of CPU time")
        self._look_around(verdict.faults)
        if self._has_died():
            verdict.faults.append("the VM host died afterwards")
        return verdict

    def _look_around(self, faults: list[str]) -> None:
        """Ask the canary and the neighbour."""
        canary = self._ask("canary.lua")
        if (canary.status, canary.body) != (200, self._witnesses.canary):
            faults.append(f"the canary said {canary.status} {canary.body[:300]!r}")
        neighbour = self._ask("neighbour.lua")
        self._witnesses.served += 1
        expected = b"served %d" % self._witnesses.served
        if (neighbour.status, neighbour.body) != (200, expected):
            faults.append(f"the neighbour said {neighbour.body!r}, not {expected!r}")
            found = re.search(rb"served (\d+)", neighbour.body)
            self._witnesses.served = int(found[1]) if found else 0

    def _ask(
        self, name: str, body: bytes = b"", query: str = "", content_type: str = ""
    ) -> Reply:
        return self._way(
            self._root / name,
            method="POST" if body else "GET",
            body=body,
            query=query,
            content_type=content_type,
        )

    def _has_died(self) -> bool:
        """Say whether the VM host died since the last look; wait for the next one."""
        pid, started = self._host
        if procfs.start_ticks(pid) == started and not _is_zombie(pid):
            return False
        until(lambda: len(self._hosts()) == 1, f"{self._title} has a host again")
        self._host = self._find_host()
        self._witnesses.served = 0
        return True

    def _hosts(self) -> list[int]:
        return [
            pid
            for pid in hosts_of(self._farm)
            if procfs.title(pid).startswith(self._title) and not _is_zombie(pid)
        ]

    def _find_host(self) -> tuple[int, int]:
        [pid] = self._hosts()
        return pid, procfs.start_ticks(pid)


def describe(reply: Reply, *, died: bool) -> str:
    """Return what came back, in the words of `expect` lines."""
    page = text_of(reply)
    budget = re.search(r"<title>Budget exceeded: (\w+)</title>", page)
    if died:
        return f"kill ({reply.status})"
    if budget is not None:
        return f"budget {budget[1]}"
    return f"{reply.status} {re.sub(r'<[^>]*>', ' ', page)[-200:].strip()}"


def text_of(reply: Reply) -> str:
    """Return the body as text, without the entities of HTML."""
    return html.unescape(reply.body.decode("utf-8", "replace"))


def _judge(
    verdict: Verdict, expected: tuple[Expected, ...], reply: Reply, *, died: bool
) -> None:
    everything = f"{text_of(reply)} {reply.headers} {reply.stderr!r}"
    if "ESCAPED" in everything or "x-escaped" in everything:
        verdict.faults.append(f"escaped: {everything[:500]}")
    if not any(_is(one, reply, died=died) for one in expected):
        wanted = " or ".join(one.shown() for one in expected)
        verdict.faults.append(f"{wanted} was expected, not {verdict.outcome}")
    if not reply.whole and reply.status == 0 and not reply.stderr:
        verdict.faults.append("no answer")


def _is(expected: Expected, reply: Reply, *, died: bool) -> bool:
    page = text_of(reply)
    match expected.kind:
        case "kill":
            return died and reply.status == 504
        case _ if died:
            return False
        case "refused":
            return reply.status == 200 and reply.body == b"refused"
        case "budget":
            return _is_budget(expected.text, reply, page)
        case status:
            return reply.status == int(status) and expected.text in page


def _is_budget(name: str, reply: Reply, page: str) -> bool:
    if not reply.whole or reply.status == 200:  # it had begun
        return f"budget={name}" in reply.stderr.decode()
    status = 504 if name in _TIME else 503
    return reply.status == status and f"<title>Budget exceeded: {name}</title>" in page


def _is_zombie(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] == "Z"
