"""One farm for the whole suite, reached over UNIX and over TCP."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import daemon
from tests.conformance.client import Address, connected
from tests.conformance.site import Site
from tests.farm.farms import directory
from tests.fcgi.fastcgi import wire

SCRIPTS = Path(__file__).with_name("scripts")

CONFIGURATION = """\
[paths]
run = "{place}/run"

[front]
receive_timeout = "3 s"
# what waits behind slow scripts is to wait, not to be refused
queue_timeout = "1 min"

[pool.test]
root = ["{root}"]
hosts = 4

[[script]]
pattern = "slow.lua"
clones = 2

[[script]]
pattern = "spin.lua"
clones = 1
wall = "1 s"
"""


@dataclass(frozen=True)
class Served:
    """The farm that runs."""

    place: Path
    root: Path
    config: Path
    addresses: dict[str, Address]


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    with directory() as place:
        root = place / "root"
        shutil.copytree(SCRIPTS, root)
        (root / "folder").mkdir()
        (root / "empty.lua").touch()
        config = place / "luafarm.toml"
        config.write_text(CONFIGURATION.format(place=place, root=root))
        addresses: dict[str, Address] = {
            "unix": str(place / "front.sock"),
            "tcp": ("127.0.0.1", daemon.free_port()),
        }
        command = [
            *(sys.executable, "-m", "luafarm", "up", "--config", str(config)),
            *("--listen", f"unix:{addresses['unix']}"),
            *("--listen", "127.0.0.1:{1}".format(*addresses["tcp"])),
        ]
        with daemon.running(command, place / "up.log") as process:
            process.wait_until(
                lambda: all(map(daemon.accepts, addresses.values())),
                "the front accepts connections",
            )
            found = Served(place, root, config, addresses)
            process.wait_until(lambda: _answers(found), "a script answers")
            yield found


@pytest.fixture(params=["unix", "tcp"])
def site(served: Served, request: pytest.FixtureRequest) -> Site:
    return Site(served.addresses[request.param], served.root)


def _answers(served: Served) -> bool:
    with connected(served.addresses["unix"]) as client:
        client.send(wire.req({"SCRIPT_FILENAME": str(served.root / "hello.lua")}))
        return client.answer().status == 200
