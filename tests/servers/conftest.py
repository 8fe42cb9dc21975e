"""One farm for the whole session, and each web server in front of it in turn."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import apache, farm, haproxy, lighttpd, nginx
from tests.servers.farm import Farm
from tests.servers.server import Application, Running, Server

SERVERS = (*nginx.SERVERS, *apache.SERVERS, *lighttpd.SERVERS, *haproxy.SERVERS)
INSTALL = "run tests/servers/packages.sh as root"


@dataclass(frozen=True, slots=True)
class Site:
    """A farm behind a web server: ``port`` is where it answers HTTP."""

    server: Server
    running: Running
    farm: Farm

    @property
    def port(self) -> int:
        return self.running.port


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    with farm.directory() as made:
        yield made


@pytest.fixture(scope="session")
def served_farm(place: Path) -> Iterator[Farm]:
    with farm.serving(place) as running:
        yield running


@pytest.fixture(scope="session", params=SERVERS, ids=lambda server: server.name)
def site(
    request: pytest.FixtureRequest, place: Path, served_farm: Farm
) -> Iterator[Site]:
    server: Server = request.param
    absent = server.missing()
    if absent:
        pytest.skip(f"{absent}: {INSTALL}")
    # a name of its own: beside other modules a server is started once for each module
    own = Path(tempfile.mkdtemp(prefix=f"{server.name}-", dir=place))
    own.chmod(0o755)
    application = Application(served_farm.socket, served_farm.port, served_farm.root)
    with server.serve(own, application) as running:
        yield Site(server, running, served_farm)
