"""The suite as requests through nginx to one pool, while a bystander is asked."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from luafarm.dialects import Dialect
from tests.farm.client import TIMEOUT_S, Reply
from tests.farm.farms import Farm
from tests.hostile import bystander, colony
from tests.hostile.bystander import Account
from tests.hostile.catalogue import Attack, Ground
from tests.hostile.trial import Pool, Verdict
from tests.servers import nginx
from tests.servers.server import Application, Running

BYSTANDER = "bystander"
PROMISE_MS = 250.0


_CUT = re.compile(rb"prematurely closed|unsupported FastCGI protocol version")
"""What nginx logs when the front breaks off a reply that has begun."""


class Gate:
    """Asks through nginx; one request at a time, so that what is logged is its."""

    def __init__(self, farm: Farm, server: Running) -> None:
        self.port = server.port
        self._root = farm.root
        self._complaints = _Growth(server.log)
        self._said = _Growth(farm.daemons["up"].log)

    def __call__(
        self,
        script: Path,
        *,
        method: str,
        body: bytes,
        query: str,
        content_type: str = "",
    ) -> Reply:
        """Ask and return the answer."""
        target = f"/{script.relative_to(self._root)}{'?' if query else ''}{query}"
        self._complaints.read()
        self._said.read()
        lines = [f"{method} {target} HTTP/1.0", f"Content-Length: {len(body)}"]
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        data = self._exchange("\r\n".join([*lines, "", ""]), body)
        head, _, content = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in lines]
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", len(content)))
        is_cut = len(content) < length or _CUT.search(self._complaints.read())
        status = int(first.split(" ")[1]) if first else 0
        # nginx cuts what scripts say on STDERR; the farm logs the same
        return Reply(status, headers, content, self._said.read(), not is_cut)

    def _exchange(self, head: str, body: bytes) -> bytes:
        data = bytearray()
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as sock:
            sock.sendall(head.encode() + body)
            while piece := sock.recv(1 << 16):
                data += piece
        return bytes(data)


class _Growth:
    """What a file has got since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0

    def read(self) -> bytes:
        with self._path.open("rb") as file:
            file.seek(self._seen)
            found = file.read()
        self._seen += len(found)
        return found


@dataclass(frozen=True, slots=True)
class Siege:
    """What came of all attacks, and how the bystander fared."""

    verdicts: dict[str, Verdict]
    times: dict[str, tuple[float, float]]  # of CLOCK_MONOTONIC, by attack
    account: Account

    def worst(self) -> list[str]:
        """Return the latest answers to the bystander, and what went on meanwhile."""
        lines = []
        for due, late_ms in self.account.worst:
            end = due + late_ms / 1000
            during = [n for n, (a, b) in self.times.items() if a <= end and due <= b]
            lines.append(f"{late_ms:6.1f} ms during {', '.join(during) or 'nothing'}")
        return lines


@contextlib.contextmanager
def walled(ground: Ground, dialect: Dialect) -> Iterator[tuple[Farm, Gate]]:
    """Run a farm with a pool of this dialect and the bystander's, behind nginx."""
    pools = {dialect.value: dialect, BYSTANDER: Dialect.LUAJIT21}
    with colony.settled(ground, pools) as farm:
        place = farm.place / "nginx"
        place.mkdir(mode=0o755)
        application = Application(Path(farm.socket), 0, farm.root)
        with nginx.serve(place, application) as server:
            yield farm, Gate(farm, server)


def lay(ground: Ground, dialect: Dialect, attacks: Sequence[Attack]) -> Siege:
    """Try all attacks of a ground one after the other, while the bystander is asked."""
    verdicts: dict[str, Verdict] = {}
    times: dict[str, tuple[float, float]] = {}
    with walled(ground, dialect) as (farm, gate):
        pool = Pool(farm, dialect.value, dialect, gate)
        script = farm.root / BYSTANDER / "bystander.lua"
        assert gate(script, method="GET", body=b"", query="1").body == b"1"
        with bystander.asking(gate.port, f"/{BYSTANDER}/bystander.lua") as asked:
            for attack in attacks:
                if attack.is_for(dialect, ground):
                    began = time.monotonic()
                    verdicts[attack.name] = pool.attack(attack)
                    times[attack.name] = began, time.monotonic()
            account = asked.account()
    return Siege(verdicts, times, account)
